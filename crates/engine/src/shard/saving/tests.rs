//! Whatever happens between the slices of a walk, what is written is what was there at the moment, each entry once.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use proptest::prelude::*;

use crate::access::Access;
use crate::entry::{Entry, string_value};
use crate::keyspace::Keyspace;
use crate::lock::{Guard, Patience};
use crate::relocate::Mover;
use crate::shard::{self, Name, Seed, Shard, Walked};
use crate::snapshot::{Epoch, Part, Pen, Place, Scribe};
use crate::types::list::List;
use crate::value::{Collection, ObjectMut, ObjectRef, Value, View};

/// An element that makes a collection large with a few of its like.
const HEAVY: usize = 20_000;

/// Writes `key\0value\0`, of a list its elements behind each other. When an entry ends stands behind its value; of a string that lies in
/// pieces it is what stands before.
#[derive(Debug)]
struct Plain;

impl Pen for Plain {
    fn whole(&mut self, entry: &Entry, out: &mut Vec<u8>) {
        let mut place = self.piece(entry, None, out);
        while place.is_some() {
            place = self.piece(entry, place, out);
        }
    }

    fn piece(&mut self, entry: &Entry, place: Option<Place>, out: &mut Vec<u8>) -> Option<Place> {
        let at = place.map_or(0, |place| place.at as usize);
        if at == 0 {
            out.extend_from_slice(entry.key());
            out.push(0);
        }
        let text = value_of(entry);
        let end = text.len().min(at + HEAVY);
        out.extend_from_slice(&text[at..end]);
        if end < text.len() {
            return Some(Place { part: 0, at: end as u128 });
        }
        out.push(0);
        None
    }

    fn before(&mut self, entry: &Entry, out: &mut Vec<u8>) {
        out.extend_from_slice(&end_of(entry));
    }
}

/// Everything that counts, as bytes without a zero.
pub(in crate::shard) fn value_of(entry: &Entry) -> Vec<u8> {
    let mut text = match entry.view() {
        View::Short(bytes) => bytes.to_vec(),
        View::Int(number) => number.to_string().into_bytes(),
        View::Chunks(chunks) => chunks.to_vec(),
        View::Object(ObjectRef::List(list)) => list.iter().flatten().copied().collect(),
        View::Object(_) => panic!("only strings and lists here"),
    };
    text.extend(end_of(entry));
    text
}

/// When an entry ends.
fn end_of(entry: &Entry) -> Vec<u8> {
    entry.expiry().map_or_else(Vec::new, |at| format!("@{at}").into_bytes())
}

/// A pen that panics once when it is told to, with half a record written.
#[derive(Debug)]
struct Clumsy(Arc<AtomicBool>);

impl Clumsy {
    fn trip(&self, out: &mut Vec<u8>) {
        if self.0.swap(false, Ordering::Relaxed) {
            out.extend_from_slice(b"half");
            panic!("as the test wants it");
        }
    }
}

impl Pen for Clumsy {
    fn whole(&mut self, entry: &Entry, out: &mut Vec<u8>) {
        self.trip(out);
        Plain.whole(entry, out);
    }

    fn piece(&mut self, entry: &Entry, place: Option<Place>, out: &mut Vec<u8>) -> Option<Place> {
        self.trip(out);
        Plain.piece(entry, place, out)
    }

    fn before(&mut self, entry: &Entry, out: &mut Vec<u8>) {
        Plain.before(entry, out);
    }
}

#[derive(Debug, Default)]
struct Desk {
    pressed: AtomicUsize,
    trips: Arc<AtomicBool>,
}

impl Scribe for Desk {
    fn pen(&self) -> Box<dyn Pen> {
        Box::new(Clumsy(Arc::clone(&self.trips)))
    }

    fn pressed(&self, is_full: bool) {
        self.pressed.fetch_add(usize::from(is_full), Ordering::Relaxed);
    }
}

pub(in crate::shard) type Data = BTreeMap<(u32, Vec<u8>), Vec<u8>>;

#[derive(Clone, Debug)]
pub(in crate::shard) enum Step {
    Set(u32, u8, usize),
    Push(u32, u8, usize),
    Expire(u32, u8, u64),
    Remove(u32, u8),
    Rename(u32, u8, u32, u8),
    Clear(u32),
    Swap(u32, u32),
    /// Asks for a key to be written next.
    Wait(u32, u8),
    /// Moves so many allocations together, or a few more.
    Move(usize),
    Walk,
}

pub(in crate::shard) fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![6 => 0usize..40, 1 => Just(HEAVY)];
    let (db, key) = (0u32..3, 0u8..24);
    prop_oneof![
        6 => (db.clone(), key.clone(), len.clone()).prop_map(|(d, k, n)| Step::Set(d, k, n)),
        6 => (db.clone(), key.clone(), len).prop_map(|(d, k, n)| Step::Push(d, k, n)),
        2 => (db.clone(), key.clone(), 1u64..90).prop_map(|(d, k, at)| Step::Expire(d, k, at)),
        3 => (db.clone(), key.clone()).prop_map(|(d, k)| Step::Remove(d, k)),
        3 => (db.clone(), key.clone(), db.clone(), key.clone())
            .prop_map(|(d, k, e, l)| Step::Rename(d, k, e, l)),
        1 => db.clone().prop_map(Step::Clear),
        1 => (db.clone(), db.clone()).prop_map(|(d, e)| Step::Swap(d, e)),
        1 => (db, key).prop_map(|(d, k)| Step::Wait(d, k)),
        2 => (1usize..60).prop_map(Step::Move),
        8 => Just(Step::Walk),
    ]
}

/// A keyspace of one shard, a snapshot of it under way, and what it has given so far.
pub(in crate::shard) struct Bench {
    keyspace: Keyspace,
    desk: Arc<Desk>,
    epoch: Option<Arc<Epoch>>,
    given: Vec<(u32, Vec<u8>)>,
    half: Option<(u32, Vec<u8>)>,
    moves: shard::Walk,
}

impl Bench {
    pub(in crate::shard) fn new() -> Self {
        let keyspace = Keyspace::new(1, Seed(5, 6));
        let (desk, moves) = (Arc::default(), shard::Walk::default());
        Self { keyspace, desk, epoch: None, given: Vec::new(), half: None, moves }
    }

    pub(in crate::shard) fn shard(&self) -> Guard<'_, Shard> {
        self.keyspace.hold_one(0, Patience::NONE).expect("free")
    }

    fn data(&self) -> Data {
        let shard = self.shard();
        let databases = (0..shard.databases()).filter_map(|db| Some((db, shard.database(db)?)));
        let of = |(db, database): (u32, &super::super::Database)| {
            let entries = database.table().iter();
            entries.map(|e| ((db, e.key().to_vec()), value_of(e))).collect::<Vec<_>>()
        };
        databases.flat_map(of).collect()
    }

    pub(in crate::shard) fn begin(&mut self) {
        let desk: Arc<dyn Scribe> = Arc::<Desk>::clone(&self.desk);
        let epoch = Epoch::new(desk, 1000);
        self.epoch = Some(Arc::clone(&epoch));
        let mut held = self.keyspace.hold_all(Patience::NONE).expect("free");
        self.keyspace.begin_snapshot(&mut held, epoch);
    }

    pub(in crate::shard) fn walk(&mut self, bytes: usize) -> Walked {
        let mut parts = Vec::new();
        let mut shard = self.keyspace.hold_one(0, Patience::NONE).expect("free");
        let walked = shard.walk(&mut Plain, bytes, &mut parts);
        drop(shard);
        parts.into_iter().for_each(|part| self.take(part));
        if self.half.is_none()
            && let Some(epoch) = self.epoch.clone()
        {
            epoch.take().into_iter().for_each(|part| self.take(part));
            epoch.take_wanted();
        }
        walked
    }

    fn take(&mut self, part: Part) {
        match part {
            Part::Records { db, bytes, .. } => {
                assert!(self.half.is_none(), "a record between the pieces of another");
                self.given.push((db, bytes));
            }
            Part::Piece { db, bytes, is_last } => {
                let (of, mut so_far) = self.half.take().unwrap_or((db, Vec::new()));
                assert_eq!(of, db);
                so_far.extend(bytes);
                if is_last {
                    self.given.push((of, so_far));
                } else {
                    self.half = Some((of, so_far));
                }
            }
            Part::Text { db, before, name, chunks } => {
                assert!(self.half.is_none(), "a record between the pieces of another");
                let text = [&name[..], b"\0", &chunks.to_vec(), &before, b"\0"].concat();
                self.given.push((db, text));
            }
            Part::Table { db, table, mark } => {
                let mut out = Vec::new();
                let unsaved = table.iter().filter(|entry| entry.mark() != mark);
                unsaved.for_each(|entry| Plain.whole(entry, &mut out));
                self.given.push((db, out));
            }
        }
    }

    pub(in crate::shard) fn finish(&mut self) -> Data {
        while self.walk(50) != Walked::Done {}
        if let Some(epoch) = self.epoch.take() {
            epoch.take().into_iter().for_each(|part| self.take(part));
        }
        self.keyspace.end_snapshot();
        let mut data = Data::new();
        for (db, bytes) in std::mem::take(&mut self.given) {
            let words: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
            for pair in words[..words.len() - 1].chunks(2) {
                let before = data.insert((db, pair[0].to_vec()), pair[1].to_vec());
                assert!(before.is_none(), "{:?} twice", String::from_utf8_lossy(pair[0]));
            }
        }
        data
    }

    pub(in crate::shard) fn apply(&mut self, step: &Step) {
        let seed = self.keyspace.seed();
        let mut shard = self.keyspace.hold_one(0, Patience::NONE).expect("free");
        let keys: Vec<[u8; 1]> = (0..=u8::MAX).map(|key| [key.wrapping_add(1)]).collect();
        let name = |db: u32, key: u8| {
            let key = &keys[usize::from(key)][..];
            Name { db, key, hash: seed.hash(key) }
        };
        match *step {
            Step::Set(db, key, len) => {
                shard.set(
                    name(db, key),
                    string_value(&vec![b'a' + key; len]),
                    None,
                    Access::recency(0),
                    || 0,
                );
            }
            Step::Push(db, key, len) => {
                let name = name(db, key);
                let is_list = shard.get(name).is_some_and(|entry| entry.object().is_some());
                if !is_list {
                    shard.set(
                        name,
                        Value::Object(List::new().wrap()),
                        None,
                        Access::recency(0),
                        || 0,
                    );
                }
                shard.update(name, |entry| {
                    let Some(ObjectMut::List(list)) = entry.object_mut() else { panic!("a list") };
                    list.push_back(&vec![b'A' + key; len]);
                });
            }
            Step::Expire(db, key, at) => drop(shard.set_expiry(name(db, key), Some(at))),
            Step::Remove(db, key) => drop(shard.remove(name(db, key))),
            Step::Rename(db, key, to_db, to) => {
                let (from, to) = (name(db, key), name(to_db, to));
                if let Some(entry) = shard.take(from) {
                    let expiry = entry.expiry();
                    shard.remove(to);
                    shard.put(to, entry.renamed(to.key, expiry));
                }
            }
            Step::Clear(db) => drop(shard.clear(db)),
            Step::Swap(one, other) => shard.swap(one, other),
            Step::Wait(db, key) => drop(shard.is_closed(name(db, key))),
            Step::Move(work) => {
                if shard.relocate(&mut Mover::new(|_| true, work), &mut self.moves) {
                    self.moves = shard::Walk::default();
                }
            }
            Step::Walk => {}
        }
        shard.finish();
    }
}

/// The keys that differ, and how long what belongs to them is.
fn difference(given: &Data, expected: &Data) -> String {
    let differ = |name: &&(u32, Vec<u8>)| given.get(*name) != expected.get(*name);
    let names: BTreeSet<_> = given.keys().chain(expected.keys()).filter(differ).collect();
    let len = |data: &Data, name| data.get(name).map(Vec::len);
    let told = names.into_iter().map(|name| (name, len(given, name), len(expected, name)));
    format!("name, bytes given, bytes expected: {:?}", told.collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_snapshot_is_what_was_there_at_its_moment(
        before in proptest::collection::vec(step(), 0..80),
        during in proptest::collection::vec(step(), 0..120),
        after in proptest::collection::vec(step(), 0..30),
    ) {
        let mut bench = Bench::new();
        before.iter().for_each(|step| bench.apply(step));
        // Twice: what the first one leaves is what the second one begins with.
        for steps in [during, after] {
            let expected = bench.data();
            bench.begin();
            for step in &steps {
                if matches!(step, Step::Walk) {
                    bench.walk(1);
                } else {
                    bench.apply(step);
                }
            }
            let given = bench.finish();
            prop_assert!(given == expected, "{}", difference(&given, &expected));
        }
    }

    #[test]
    fn a_snapshot_that_failed_leaves_the_next_one_whole(
        before in proptest::collection::vec(step(), 0..60),
        during in proptest::collection::vec(step(), 0..60),
        until in 0usize..60,
    ) {
        let mut bench = Bench::new();
        before.iter().for_each(|step| bench.apply(step));
        bench.begin();
        for (nth, step) in during.iter().enumerate() {
            if nth == until {
                bench.epoch.as_ref().expect("begun").mute();
            }
            bench.apply(step);
            if matches!(step, Step::Walk) {
                bench.walk(1);
            }
        }
        while bench.walk(1) != Walked::Done {}
        bench.keyspace.end_snapshot();
        bench.given.clear();
        bench.half = None;
        let expected = bench.data();
        bench.begin();
        let given = bench.finish();
        prop_assert!(given == expected, "{}", difference(&given, &expected));
    }
}

#[test]
fn whoever_makes_much_of_it_wait_is_heard_of() {
    let mut bench = Bench::new();
    (0..24).for_each(|key| bench.apply(&Step::Set(0, key, HEAVY)));
    bench.begin();
    (0..24).for_each(|key| bench.apply(&Step::Remove(0, key)));
    assert_eq!(bench.desk.pressed.load(Ordering::Relaxed), 1);
    assert_eq!(bench.finish().len(), 24);
}

#[test]
fn a_pen_that_panics_at_the_door_loses_nothing() {
    let mut bench = Bench::new();
    (0..9).for_each(|key| bench.apply(&Step::Set(0, key, 9)));
    // A collection that is written in pieces: the first has been written, the rest is written at the door.
    (0..9).for_each(|_| bench.apply(&Step::Push(0, 20, HEAVY)));
    let expected = bench.data();
    bench.begin();
    bench.apply(&Step::Remove(0, 1));
    bench.apply(&Step::Wait(0, 20));
    bench.walk(1);
    assert!(bench.half.is_some());
    for key in [2, 20] {
        bench.desk.trips.store(true, Ordering::Relaxed);
        let removed = catch_unwind(AssertUnwindSafe(|| bench.apply(&Step::Remove(0, key))));
        assert!(removed.is_err(), "{key}");
        bench.apply(&Step::Remove(0, key));
    }
    assert_eq!(bench.finish(), expected);
}
