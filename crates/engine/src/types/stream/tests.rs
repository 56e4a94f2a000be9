//! Streams beside a slow twin, and their bytes beside Redis'.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::number::DIGITS_MAX;
use crate::value::SmallMax;

const LIMITS: SmallMax = SmallMax { entries: 10, bytes: 200 };

type Fields = Vec<Vec<u8>>;

/// What a group knows, element by element.
#[derive(Clone, Debug, Default)]
struct SlowGroup {
    last_id: StreamId,
    pending: BTreeMap<StreamId, (String, u64, u64)>,
}

/// The slow twin.
#[derive(Clone, Debug, Default)]
struct Twin {
    entries: BTreeMap<StreamId, Fields>,
    last_id: StreamId,
    max_deleted: StreamId,
    added: u64,
    groups: BTreeMap<String, SlowGroup>,
}

fn push(stream: &mut Stream, id: StreamId, fields: &Fields, limits: SmallMax) {
    let payload = fields.iter().map(Vec::len).sum();
    stream.log.push(id, fields.len() / 2, payload, fields.iter().map(Vec::as_slice), limits);
}

fn pieces(entry: &Entry<'_>) -> Fields {
    entry.pieces().map(|piece| piece.text(&mut [0; DIGITS_MAX]).to_vec()).collect()
}

fn fields_of(words: &[&str]) -> Fields {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// Everything that the heads of the files promise.
fn check_invariants(stream: &Stream) {
    let log = &stream.log;
    let mut bytes = 0;
    for (id, block) in log.blocks() {
        bytes += block.heap_bytes();
        let checked = Block::from_listpack(block.listpack().to_vec());
        assert!(checked.is_some(), "{id}: {:?}", block.listpack());
    }
    assert_eq!(stream.clone().log.len(), log.len());
    assert_eq!(log.blocks().map(|(_, block)| block.count() as u64).sum::<u64>(), log.len());
    let first = log.range(StreamId::MIN, StreamId::MAX).next().map(|entry| entry.id);
    assert_eq!(first.unwrap_or_default(), log.first_id());
    assert!(log.heap_bytes() >= bytes);
    for group in stream.groups.iter() {
        let owned: usize = group.consumers().map(|(_, consumer)| consumer.pending_len()).sum();
        let free = group.pending(StreamId::MIN, StreamId::MAX).filter(|(_, p)| p.owner().is_none());
        assert_eq!(owned + free.count(), group.pending_len());
        for (slot, consumer) in group.consumers() {
            for id in consumer.pending(StreamId::MIN, StreamId::MAX) {
                assert_eq!(group.pending_of(id).and_then(|pending| pending.owner()), Some(slot));
            }
        }
    }
}

#[test]
fn a_block_is_what_redis_keeps() {
    let mut stream = Stream::new();
    let limits = SmallMax { entries: 100, bytes: 4096 };
    push(&mut stream, StreamId::new(1, 1), &fields_of(&["a", "1", "b", "xy"]), limits);
    push(&mut stream, StreamId::new(1, 2), &fields_of(&["a", "-5", "b", ""]), limits);
    push(&mut stream, StreamId::new(300, 0), &fields_of(&["c", "5000"]), limits);
    assert!(stream.log.remove(StreamId::new(1, 2)));
    let (id, block) = stream.log.blocks().next().expect("one block");
    assert_eq!(id, StreamId::new(1, 1));
    // What valkey 8.0.1 gives for the same commands, in its DUMP.
    #[rustfmt::skip]
    let expected = [
        67, 0, 0, 0, 25, 0,
        2, 1, 1, 1, 2, 1, 0x81, b'a', 2, 0x81, b'b', 2, 0, 1,
        2, 1, 0, 1, 0, 1, 1, 1, 0x82, b'x', b'y', 3, 5, 1,
        3, 1, 0, 1, 1, 1, 0xdf, 0xfb, 2, 0x80, 1, 5, 1,
        0, 1, 0xc1, 0x2b, 2, 0xdf, 0xff, 2, 1, 1, 0x81, b'c', 2, 0xf1, 0x88, 0x13, 3, 6, 1,
        255,
    ];
    assert_eq!(block.listpack(), expected);
}

#[test]
fn counts_that_outgrow_a_byte_move_what_is_behind() {
    let mut stream = Stream::new();
    let limits = SmallMax { entries: 0, bytes: 0 };
    let fields = fields_of(&["f", "v"]);
    (1..=300).for_each(|n| push(&mut stream, StreamId::new(n, 0), &fields, limits));
    assert_eq!(stream.log.block_count(), 1);
    check_invariants(&stream);
    (1..=200).for_each(|n| assert!(stream.log.remove(StreamId::new(n, 0))));
    check_invariants(&stream);
    assert_eq!(stream.log.trim(Trim::ToLen(10), false, 0), 90);
    check_invariants(&stream);
    let ids: Vec<u64> = stream.log.range(StreamId::MIN, StreamId::MAX).map(|e| e.id.ms).collect();
    assert_eq!(ids, (291..=300).collect::<Vec<_>>());
}

#[test]
fn torn_blocks_are_refused() {
    let mut stream = Stream::new();
    push(&mut stream, StreamId::new(1, 1), &fields_of(&["a", "1", "b", "xy"]), LIMITS);
    push(&mut stream, StreamId::new(1, 2), &fields_of(&["c", "1"]), LIMITS);
    let (_, block) = stream.log.blocks().next().expect("one block");
    let whole = block.listpack();
    for len in 0..whole.len() {
        assert!(Block::from_listpack(whole[..len].to_vec()).is_none());
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut torn = whole.to_vec();
            torn[at] ^= 1 << bit;
            // Some bits are content: then it is another block, and as good to walk through.
            let Some(block) = Block::from_listpack(torn) else { continue };
            let parts = std::iter::once((StreamId::new(1, 1), block));
            let Some(log) = Log::from_parts(parts, 2, StreamId::MAX) else { continue };
            log.range(StreamId::MIN, StreamId::MAX).for_each(|entry| drop(pieces(&entry)));
            log.range_back(StreamId::MIN, StreamId::MAX).for_each(|entry| drop(pieces(&entry)));
        }
    }
}

#[test]
fn a_million_small_entries_take_little() {
    let mut stream = Stream::new();
    let limits = SmallMax { entries: 100, bytes: 4096 };
    let fields = fields_of(&["temperature", "21"]);
    (1..=100_000).for_each(|n| push(&mut stream, StreamId::new(n, 0), &fields, limits));
    let each = stream.heap_bytes() as f64 / 100_000.0;
    assert!(each < 15.0, "{each}");
}

#[test]
fn what_is_pending_takes_little() {
    let mut groups = Groups::default();
    groups.add(Group::new(b"g", StreamId::MIN, None));
    groups.change(b"g", |group| {
        let (slot, _) = group.find_or_add(b"consumer", 1);
        (1..=100_000).for_each(|n| group.assign(StreamId::new(n, 0), slot, 1, 1));
    });
    let each = groups.heap_bytes() as f64 / 100_000.0;
    assert!(each < 60.0, "{each}");
    groups.change(b"g", |group| group.remove_consumer(b"consumer"));
    assert!(groups.heap_bytes() < 1_000, "{}", groups.heap_bytes());
}

#[derive(Clone, Debug)]
enum Step {
    Push(u64, u64, Fields),
    Remove(usize),
    Trim(Trim, bool, u64),
    TrimUnneeded(Trim, bool),
    Range(u64, u64),
    Deliver(u8, u8, usize, bool),
    Claim(u8, u8, usize),
    GiveBack(u8, usize),
    Acknowledge(u8, usize),
    Leave(u8, u8),
    Destroy(u8),
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (-70_000_i64..70_000).prop_map(|number| number.to_string().into_bytes()),
        4 => "[a-c]{0,3}".prop_map(String::into_bytes),
        1 => (60_usize..70).prop_map(|len| vec![b'x'; len]),
        1 => any::<i64>().prop_map(|number| number.to_string().into_bytes()),
    ]
}

fn fields() -> impl Strategy<Value = Fields> {
    let named = |names: &'static [&'static str]| {
        proptest::collection::vec(piece(), names.len()).prop_map(move |values| {
            let pairs = names.iter().zip(values);
            pairs.flat_map(|(name, value)| [name.as_bytes().to_vec(), value]).collect()
        })
    };
    prop_oneof![4 => named(&["a", "7"]), 1 => named(&["a"]), 1 => named(&["q", "r", "s"])]
}

fn step() -> impl Strategy<Value = Step> {
    let trim = || {
        prop_oneof![
            (0_u64..60).prop_map(Trim::ToLen),
            (0_u64..300).prop_map(|ms| Trim::ToId(StreamId::new(ms, 1))),
        ]
    };
    let (group, consumer) = (|| 0_u8..2, || 0_u8..3);
    let nth = || 0_usize..200;
    prop_oneof![
        12 => (0_u64..4, 0_u64..3, fields()).prop_map(|(ms, seq, f)| Step::Push(ms, seq, f)),
        4 => nth().prop_map(Step::Remove),
        1 => (trim(), any::<bool>(), 0_u64..20).prop_map(|(t, w, l)| Step::Trim(t, w, l)),
        1 => (trim(), any::<bool>()).prop_map(|(t, w)| Step::TrimUnneeded(t, w)),
        1 => (0_u64..300, 0_u64..300).prop_map(|(a, b)| Step::Range(a, b)),
        4 => (group(), consumer(), 1_usize..9, any::<bool>())
            .prop_map(|(g, c, n, ack)| Step::Deliver(g, c, n, ack)),
        2 => (group(), consumer(), nth()).prop_map(|(g, c, n)| Step::Claim(g, c, n)),
        1 => (group(), nth()).prop_map(|(g, n)| Step::GiveBack(g, n)),
        3 => (group(), nth()).prop_map(|(g, n)| Step::Acknowledge(g, n)),
        1 => (group(), consumer()).prop_map(|(g, c)| Step::Leave(g, c)),
        1 => group().prop_map(Step::Destroy),
    ]
}

impl Twin {
    /// The entries that a trim passes by or removes, until there are few enough; of those the ones that no group needs.
    fn unneeded(&self, trim: Trim) -> Vec<StreamId> {
        let (mut len, mut gone) = (self.entries.len() as u64, Vec::new());
        for id in self.entries.keys() {
            let is_within = match trim {
                Trim::ToLen(max) => len > max,
                Trim::ToId(min) => *id < min,
            };
            let is_needed =
                |group: &SlowGroup| *id > group.last_id || group.pending.contains_key(id);
            if is_within && !self.groups.values().any(is_needed) {
                gone.push(*id);
                len -= 1;
            }
        }
        gone
    }

    fn nth(&self, nth: usize) -> Option<StreamId> {
        self.entries.keys().nth(nth % self.entries.len().max(1)).copied()
    }

    fn nth_pending(&self, group: &str, nth: usize) -> Option<StreamId> {
        let pending = &self.groups.get(group)?.pending;
        pending.keys().nth(nth % pending.len().max(1)).copied()
    }
}

fn apply(stream: &mut Stream, twin: &mut Twin, step: Step) {
    match step {
        Step::Push(ms, seq, fields) => {
            let id = StreamId::new(twin.last_id.ms + ms, seq);
            let given = stream.log.next_id(NewId::Exactly(id), 0);
            assert_eq!(given, Some(id).filter(|id| *id > twin.last_id));
            if given.is_some() {
                push(stream, id, &fields, LIMITS);
                twin.entries.insert(id, fields);
                (twin.last_id, twin.added) = (id, twin.added + 1);
            }
        }
        Step::Remove(nth) => {
            let Some(id) = twin.nth(nth) else { return };
            assert!(stream.log.remove(id));
            assert!(!stream.log.remove(id));
            twin.entries.remove(&id);
            twin.max_deleted = twin.max_deleted.max(id);
        }
        Step::Trim(trim, whole_blocks, limit) => {
            let removed = stream.log.trim(trim, whole_blocks, if whole_blocks { limit } else { 0 });
            (0..removed).for_each(|_| drop(twin.entries.pop_first()));
            let is_trimmed = match trim {
                Trim::ToLen(max) => twin.entries.len() as u64 <= max,
                Trim::ToId(min) => twin.entries.keys().all(|id| *id >= min),
            };
            assert!(whole_blocks || is_trimmed);
            assert!(!whole_blocks || limit == 0 || removed <= limit);
        }
        Step::TrimUnneeded(trim, whole_blocks) => {
            let expected = twin.unneeded(trim);
            let removed = stream.trim(trim, whole_blocks, 0, References::Need);
            if !whole_blocks {
                assert_eq!(removed, expected.len() as u64);
            }
            let log = &stream.log;
            twin.entries.retain(|id, _| log.get(*id).is_some() || !expected.contains(id));
        }
        Step::Range(from, until) => {
            let (from, until) = (StreamId::new(from, 0), StreamId::new(until, u64::MAX));
            let within = |id: &StreamId| (from..=until).contains(id);
            let slow: Vec<_> = twin.entries.keys().copied().filter(within).collect();
            assert!(stream.log.range(from, until).map(|e| e.id).eq(slow.iter().copied()));
            let back = stream.log.range_back(from, until).map(|e| e.id);
            assert!(back.eq(slow.iter().rev().copied()));
            assert_eq!(stream.log.count(from, until), slow.len() as u64);
        }
        other => apply_to_group(stream, twin, other),
    }
}

fn apply_to_group(stream: &mut Stream, twin: &mut Twin, step: Step) {
    let name = |group: u8| format!("group{group}");
    let who = |consumer: u8| format!("c{consumer}");
    match step {
        Step::Deliver(group, consumer, count, is_acknowledged) => {
            let (group, consumer) = (name(group), who(consumer));
            let slow = twin.groups.entry(group.clone()).or_default();
            stream.groups.add(Group::new(group.as_bytes(), StreamId::MIN, None));
            let log = &stream.log;
            let given = stream.groups.change(group.as_bytes(), |group| {
                let (slot, _) = group.find_or_add(consumer.as_bytes(), 1);
                let from = group.last_id.next().expect("IDs are small here");
                let ids: Vec<_> =
                    log.range(from, StreamId::MAX).take(count).map(|e| e.id).collect();
                for id in &ids {
                    group.advance(log, *id);
                    if !is_acknowledged {
                        group.assign(*id, slot, 7, 1);
                    }
                }
                ids
            });
            let from = slow.last_id.next().expect("IDs are small here");
            let expected: Vec<_> =
                twin.entries.range(from..).take(count).map(|(id, _)| *id).collect();
            assert_eq!(given.as_ref(), Some(&expected));
            slow.last_id = expected.last().copied().unwrap_or(slow.last_id);
            if !is_acknowledged {
                slow.pending.extend(expected.iter().map(|id| (*id, (consumer.clone(), 7, 1))));
            }
        }
        Step::Claim(group, consumer, nth) => {
            let (group, consumer) = (name(group), who(consumer));
            let Some(id) = twin.nth_pending(&group, nth) else { return };
            stream.groups.change(group.as_bytes(), |group| {
                let (slot, _) = group.find_or_add(consumer.as_bytes(), 1);
                group.assign(id, slot, 9, 5);
            });
            let slow = twin.groups.get_mut(&group).expect("something is pending in it");
            slow.pending.insert(id, (consumer, 9, 5));
        }
        Step::GiveBack(group, nth) => {
            let group = name(group);
            let Some(id) = twin.nth_pending(&group, nth) else { return };
            stream.groups.change(group.as_bytes(), |group| group.give_back(id, 3));
            let slow = twin.groups.get_mut(&group).expect("something is pending in it");
            slow.pending.insert(id, (String::new(), 0, 3));
        }
        Step::Acknowledge(group, nth) => {
            let group = name(group);
            let Some(id) = twin.nth_pending(&group, nth) else { return };
            assert_eq!(stream.groups.change(group.as_bytes(), |g| g.acknowledge(id)), Some(true));
            assert_eq!(stream.groups.change(group.as_bytes(), |g| g.acknowledge(id)), Some(false));
            twin.groups.get_mut(&group).expect("just found").pending.remove(&id);
        }
        Step::Leave(group, consumer) => {
            let (group, consumer) = (name(group), who(consumer));
            let left = stream.groups.change(group.as_bytes(), |group| {
                group.remove_consumer(consumer.as_bytes()).unwrap_or(0)
            });
            let Some(slow) = twin.groups.get_mut(&group) else { return };
            let before = slow.pending.len();
            slow.pending.retain(|_, (owner, _, _)| *owner != consumer);
            assert_eq!(left, Some(before - slow.pending.len()));
        }
        Step::Destroy(group) => {
            let is_there = twin.groups.remove(&name(group)).is_some();
            assert_eq!(stream.groups.remove(name(group).as_bytes()), is_there);
        }
        _ => unreachable!("the others are about the log"),
    }
}

fn agree(stream: &Stream, twin: &Twin) {
    let log = &stream.log;
    assert_eq!(log.len(), twin.entries.len() as u64);
    assert_eq!((log.last_id(), log.entries_added()), (twin.last_id, twin.added));
    assert_eq!(log.max_deleted_id(), twin.max_deleted);
    assert_eq!(log.first_id(), twin.entries.keys().next().copied().unwrap_or_default());
    assert_eq!(log.last_entry_id(), twin.entries.keys().next_back().copied());
    assert_eq!(stream.groups.len(), twin.groups.len());
    for (group, (name, slow)) in stream.groups.iter().zip(&twin.groups) {
        assert_eq!((group.name(), group.last_id), (name.as_bytes(), slow.last_id));
        let pending = group.pending(StreamId::MIN, StreamId::MAX).map(|(id, pending)| {
            let owner = pending.owner().map(|slot| group.consumer(slot).name.to_vec());
            let owner = String::from_utf8(owner.unwrap_or_default()).expect("ours are ASCII");
            (id, (owner, pending.delivered_ms, pending.count))
        });
        assert_eq!(pending.collect::<BTreeMap<_, _>>(), slow.pending);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn agrees_with_the_slow_twin(steps in proptest::collection::vec(step(), 0..250)) {
        let (mut stream, mut twin) = (Stream::new(), Twin::default());
        for step in steps {
            apply(&mut stream, &mut twin, step);
            agree(&stream, &twin);
        }
        check_invariants(&stream);
        let all = |stream: &Stream| -> Vec<_> {
            stream.log.range(StreamId::MIN, StreamId::MAX).map(|e| (e.id, pieces(&e))).collect()
        };
        prop_assert_eq!(all(&stream), twin.entries.clone().into_iter().collect::<Vec<_>>());
        for (id, fields) in &twin.entries {
            let found = stream.log.get(*id).map(|entry| pieces(&entry));
            prop_assert_eq!(found.as_ref(), Some(fields));
        }
        let copy = stream.clone();
        agree(&copy, &twin);
        check_invariants(&copy);
        // Emptied, it holds on to little, and the count of its bytes is that of a stream made so.
        stream.log.trim(Trim::ToLen(0), true, 0);
        twin.groups.keys().for_each(|name| assert!(stream.groups.remove(name.as_bytes())));
        prop_assert!(stream.heap_bytes() < 1_000, "{}", stream.heap_bytes());
    }
}
