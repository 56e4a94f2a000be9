//! Values of every form, before and after everything that can move has moved.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::access::Access;
use crate::collections::chunks::Chunks;
use crate::entry::{Entry, string_value};
use crate::keyspace::Keyspace;
use crate::lock::{Guard, Patience};
use crate::shard::{Name, Seed, Shard};
use crate::types::stream::group::Group;
use crate::types::stream::id::StreamId;
use crate::types::{hash, list::List, set, sorted_set, stream::Stream};
use crate::value::{Collection, ObjectRef, SmallMax, Value, View};

const SEED: Seed = Seed(1, 2);

/// The largest of what is small.
const MAX: SmallMax = SmallMax { entries: 8, bytes: 64 };

fn always(_: *const u8) -> bool {
    true
}

fn never(_: *const u8) -> bool {
    false
}

/// Every third allocation or so, by its address.
fn some(at: *const u8) -> bool {
    (at.addr() >> 4).is_multiple_of(3)
}

fn words(count: usize, size: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(move |nth| format!("{nth:0size$}x").into_bytes())
}

/// The forms of value that there are.
const FORMS: usize = 7;

/// A value of a form with `count` elements of about `size` bytes.
fn value_of(form: usize, count: usize, size: usize) -> Value<'static> {
    match form {
        0 => Value::Int(count as i64),
        1 => Value::Chunks(Chunks::from_slice(&vec![7; 20_000 + count * size])),
        2 => {
            let mut list = List::new();
            words(count, size).for_each(|word| list.push_back(&word));
            Value::Object(list.wrap())
        }
        3 => {
            let (mut set, rules) = (set::Set::new(), set::Rules { ints: 8, max: MAX, seed: SEED });
            // Numbers alone, or numbers and names; one of them too long for a page.
            words(count, size).for_each(|word| {
                let is_int = size.is_multiple_of(2);
                set.insert(if is_int { &word[..word.len() - 1] } else { &word }, &rules);
            });
            if count > 20 {
                set.insert(&[b'l'; 300], &rules);
            }
            Value::Object(set.wrap())
        }
        4 => {
            let rules = sorted_set::Rules { max: MAX, seed: SEED };
            let mut set = sorted_set::SortedSet::new();
            let scored = words(count, size).zip([3.0, 1.5, 2.0].into_iter().cycle());
            scored.for_each(|(word, score)| set.set(score, &word, rules));
            if count > 20 {
                set.set(4.0, &[b'l'; 2000], rules);
            }
            Value::Object(set.wrap())
        }
        5 => {
            let (mut hash, rules) = (hash::Hash::new(), hash::Rules { max: MAX, seed: SEED });
            for (nth, word) in words(count, size).enumerate() {
                hash.set(&word, &word[1..], false, &rules);
                if nth % 3 == 0 {
                    hash.set_expiry(&word, Some(5_000 + nth as u64));
                }
            }
            Value::Object(hash.wrap())
        }
        _ => Value::Object(stream_of(count, size).wrap()),
    }
}

fn stream_of(count: usize, size: usize) -> Stream {
    let (mut stream, mut group) = (Stream::new(), Group::new(b"readers", StreamId::MIN, None));
    for (nth, word) in words(count, size).enumerate() {
        let (id, fields) = (StreamId::new(nth as u64 + 1, 0), [b"field".to_vec(), word]);
        stream.log.push(id, 1, size, fields.iter().map(Vec::as_slice), MAX);
        let (slot, _) = group.find_or_add(format!("reader {}", nth % 5).as_bytes(), 7);
        group.assign(id, slot, 9, 1);
    }
    stream.groups.add(group);
    stream.groups.add(Group::new(b"nobody", StreamId::MIN, Some(3)));
    stream
}

/// All that is in an entry, as text; what has no order is put in one.
fn text_of(entry: &Entry) -> String {
    let mut lines = match entry.view() {
        View::Short(bytes) => vec![format!("{bytes:?}")],
        View::Int(number) => vec![number.to_string()],
        View::Chunks(chunks) => vec![format!("{:?}", chunks.to_vec())],
        View::Object(ObjectRef::List(list)) => list.iter().map(|it| format!("{it:?}")).collect(),
        View::Object(ObjectRef::Set(set)) => set.iter().map(|it| format!("{it:?}")).collect(),
        View::Object(ObjectRef::SortedSet(set)) => {
            let mut lines = Vec::new();
            set.each(0..set.len(), |name, score| {
                lines.push(format!("{:?} {score} {:?}", set.rank(name), name));
            });
            lines
        }
        View::Object(ObjectRef::Hash(hash)) => {
            hash.iter().map(|pair| format!("{pair:?} {:?}", hash.first_deadline())).collect()
        }
        View::Object(ObjectRef::Stream(stream)) => lines_of(stream),
    };
    if !matches!(entry.view(), View::Object(ObjectRef::List(_))) {
        lines.sort_unstable();
    }
    let mut text = format!("{:?} {:?} {}\n", entry.key(), entry.expiry(), entry.weight());
    lines.iter().for_each(|line| writeln!(text, "{line}").expect("a string takes everything"));
    text
}

fn lines_of(stream: &Stream) -> Vec<String> {
    let entries = stream.log.range(StreamId::MIN, StreamId::MAX);
    let mut lines: Vec<_> = entries
        .map(|entry| {
            let pieces: Vec<_> = entry
                .pieces()
                .map(|piece| piece.text(&mut [0; crate::number::DIGITS_MAX]).to_vec())
                .collect();
            format!("{:?} {pieces:?}", entry.id)
        })
        .collect();
    for group in stream.groups.iter() {
        let pending = group.consumers().map(|(_, consumer)| {
            let ids: Vec<_> = consumer.pending(StreamId::MIN, StreamId::MAX).collect();
            format!("{:?} {:?} {ids:?}", group.name(), consumer.name)
        });
        lines.extend(pending);
        lines.push(format!("{:?} {:?} {:?}", group.name(), group.last_id, group.pending_ends()));
    }
    lines
}

fn name(key: &[u8]) -> Name<'_> {
    Name { db: 0, key, hash: SEED.hash(key) }
}

fn set(shard: &mut Shard, key: usize, value: Value<'_>, expiry: Option<u64>) {
    let key = format!("key:{key}").into_bytes();
    shard.set(name(&key), value, expiry, Access::recency(0), || 0);
}

/// All entries, as text, and what they and the tables take.
fn everything(shard: &Shard) -> (Vec<String>, usize, usize) {
    let table = shard.database(0).expect("the first is always there").table();
    let mut texts: Vec<_> = table.iter().map(text_of).collect();
    texts.sort_unstable();
    (texts, shard.bytes(), shard.overhead_bytes())
}

/// Walks to the end in holds of `work` each; answers what has moved and how many holds it took.
fn walk(shard: &mut Shard, is_sparse: IsSparse, work: usize) -> (u64, Walk, usize) {
    let (mut walk, mut moved, mut holds) = (Walk::default(), 0, 0);
    loop {
        let mut mover = Mover::new(is_sparse, work);
        let is_over = shard.relocate(&mut mover, &mut walk);
        moved += mover.counts().0;
        holds += 1;
        if is_over {
            return (moved, walk, holds);
        }
    }
}

fn hold(keyspace: &Keyspace) -> Guard<'_, Shard> {
    keyspace.hold_one(0, Patience::NONE).expect("nobody else is there")
}

#[test]
fn nothing_moves_where_nothing_is_sparse() {
    let keyspace = Keyspace::new(1, SEED);
    let mut shard = hold(&keyspace);
    for form in 0..FORMS {
        set(&mut shard, form, value_of(form, 100, 20), None);
    }
    let before = everything(&shard);
    let (moved, walk, _) = walk(&mut shard, never, 100);
    assert_eq!((moved, walk.keys_moved, walk.keys_stayed), (0, 0, FORMS as u64));
    assert_eq!(everything(&shard), before);
}

#[test]
fn a_large_value_moves_in_many_short_holds() {
    for form in 2..FORMS {
        let keyspace = Keyspace::new(1, SEED);
        let mut shard = hold(&keyspace);
        set(&mut shard, form, value_of(form, 20_000, 30), None);
        let before = everything(&shard);
        let (moved, walk, holds) = walk(&mut shard, always, 128);
        assert_eq!(everything(&shard), before, "form {form}");
        assert_eq!(walk.keys_moved, 1);
        assert!(holds > 3 && moved as usize > holds, "form {form}: {moved} in {holds}");
    }
}

#[test]
fn a_value_that_goes_or_becomes_another_meanwhile_is_left_alone() {
    let keyspace = Keyspace::new(1, SEED);
    let mut shard = hold(&keyspace);
    for (form, next) in (2..FORMS).flat_map(|form| (0..FORMS).map(move |next| (form, next))) {
        set(&mut shard, 0, value_of(form, 5_000, 30), None);
        let mut walk = Walk::default();
        for _ in 0..3 {
            assert!(!shard.relocate(&mut Mover::new(always, 8), &mut walk), "form {form}");
        }
        set(&mut shard, 0, value_of(next, 300, 10), None);
        let before = everything(&shard);
        while !shard.relocate(&mut Mover::new(always, 40), &mut walk) {}
        assert_eq!(everything(&shard), before, "{form} to {next}");
    }
    assert!(shard.remove(name(b"key:0")));
    walk(&mut shard, always, 40);
    assert!(everything(&shard).0.is_empty());
}

#[test]
fn shared_chunks_stay_and_single_ones_move() {
    let mut chunks = Chunks::from_slice(&vec![5; 40_000]);
    let reader = chunks.clone();
    let tail = |chunks: &Chunks| chunks.chunks()[2].as_ptr();
    let before = tail(&chunks);
    chunks.relocate(&mut Mover::new(always, 100));
    assert_eq!(tail(&chunks), before);
    drop(reader);
    chunks.relocate(&mut Mover::new(always, 100));
    assert_ne!(tail(&chunks), before);
    chunks.append(b"and more");
    assert_eq!(
        (chunks.len(), chunks.byte(39_999), chunks.byte(40_000)),
        (40_008, Some(5), Some(b'a'))
    );
}

#[derive(Clone, Debug)]
enum Step {
    Set(usize, usize, usize, usize, Option<u64>),
    Short(usize, usize),
    Remove(usize),
    Move(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let expiry = prop_oneof![Just(None), (1u64..9).prop_map(Some)];
    prop_oneof![
        3 => (0usize..40, 0..FORMS, 1usize..60, 1usize..40, expiry)
            .prop_map(|(key, form, count, size, expiry)| Step::Set(key, form, count, size, expiry)),
        2 => (0usize..40, 0usize..600).prop_map(|(key, size)| Step::Short(key, size)),
        2 => (0usize..40).prop_map(Step::Remove),
        4 => (1usize..60, any::<bool>()).prop_map(|(work, all)| Step::Move(work, all)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn moving_changes_nothing(steps in proptest::collection::vec(step(), 1..60)) {
        let keyspace = Keyspace::new(1, SEED);
        let mut shard = hold(&keyspace);
        let mut walk = Walk::default();
        for step in steps {
            match step {
                Step::Set(key, form, count, size, expiry) => {
                    set(&mut shard, key, value_of(form, count, size), expiry);
                }
                Step::Short(key, size) => {
                    set(&mut shard, key, string_value(&vec![b's'; size]), None);
                }
                Step::Remove(key) => {
                    shard.remove(name(format!("key:{key}").as_bytes()));
                }
                Step::Move(work, all) => {
                    let before = everything(&shard);
                    shard.take_growth();
                    let is_sparse = if all { always } else { some };
                    if shard.relocate(&mut Mover::new(is_sparse, work), &mut walk) {
                        walk = Walk::default();
                    }
                    let after = everything(&shard);
                    prop_assert_eq!(&after.0, &before.0);
                    prop_assert_eq!(after.1, before.1);
                    prop_assert_eq!(shard.take_growth(), after.2 as isize - before.2 as isize);
                }
            }
        }
    }
}
