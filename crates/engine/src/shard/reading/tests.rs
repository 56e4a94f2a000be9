//! Whatever happens between the parts of a reply, it tells of what was there when it began.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use proptest::prelude::*;

use super::{Reader, Removed};
use crate::entry::Entry;
use crate::shard::saving::tests::{Bench, Step, step, value_of};
use crate::shard::{Name, Shard};

/// Reads all that counts of an entry.
#[derive(Debug)]
struct Slow {
    db: u32,
    key: [u8; 1],
    source: Mutex<Source>,
    is_hurried: AtomicBool,
    is_done: AtomicBool,
}

/// What has been read, and where the rest is.
#[derive(Debug, Default)]
struct Source {
    seen: Vec<u8>,
    removed: Option<Arc<Removed>>,
    is_made: bool,
}

impl Source {
    /// Reads a fifth of it, or all that is left. Says whether that was the last.
    fn read(&mut self, entry: &Entry, is_all: bool) -> bool {
        let text = value_of(entry);
        let piece = if is_all { text.len() } else { text.len() / 5 + 1 };
        let end = text.len().min(self.seen.len() + piece);
        self.seen.extend_from_slice(&text[self.seen.len()..end]);
        end == text.len()
    }
}

impl Reader for Slow {
    fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Relaxed)
    }

    fn hurry(&self) {
        self.is_hurried.store(true, Ordering::Relaxed);
    }

    fn is_hurried(&self) -> bool {
        self.is_hurried.load(Ordering::Relaxed)
    }

    fn finish(&self, entry: &Entry) {
        let mut source = self.source.lock();
        assert!(!source.is_made && source.removed.is_none(), "told once");
        source.read(entry, true);
        source.is_made = true;
    }

    fn keep(&self, removed: Arc<Removed>) {
        let mut source = self.source.lock();
        assert!(!source.is_made && source.removed.is_none(), "told once");
        source.removed = Some(removed);
    }
}

impl Slow {
    /// Reads on. Says whether that was the last.
    fn go(&self, shard: &Shard, hash: u64) -> bool {
        let mut source = self.source.lock();
        let is_last = match source.removed.clone() {
            _ if source.is_made => true,
            Some(removed) => source.read(removed.entry().expect("removed"), false),
            None => {
                let name = Name { db: self.db, key: &self.key, hash };
                source.read(shard.get(name).expect("nobody took it"), false)
            }
        };
        self.is_done.store(is_last, Ordering::Relaxed);
        is_last
    }
}

#[derive(Clone, Debug)]
enum Act {
    Change(Step),
    Read(u32, u8),
    Go(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => step().prop_map(Act::Change),
        3 => (0u32..3, 1u8..25).prop_map(|(db, key)| Act::Read(db, key)),
        4 => (0usize..9).prop_map(Act::Go),
    ]
}

/// Replies under way, each with what it is to tell.
#[derive(Default)]
struct Replies(Vec<(Arc<Slow>, Vec<u8>)>);

impl Replies {
    fn begin(&mut self, shard: &mut Shard, db: u32, key: u8, hash: u64) {
        let name = Name { db, key: &[key], hash };
        let Some(value) = shard.get(name).map(value_of) else { return };
        let slow = Arc::new(Slow {
            db,
            key: [key],
            source: Mutex::default(),
            is_hurried: AtomicBool::new(false),
            is_done: AtomicBool::new(false),
        });
        if shard.read_in_parts(name, Arc::<Slow>::clone(&slow) as Arc<dyn Reader>) {
            self.0.push((slow, value));
        }
    }

    fn go(&mut self, shard: &Shard, nth: usize) {
        let Some((slow, value)) = self.0.get(nth) else { return };
        if slow.go(shard, shard.common.seed.hash(&slow.key)) {
            assert_eq!(slow.source.lock().seen, *value);
            self.0.remove(nth);
        }
    }
}

proptest! {
    #[test]
    fn a_reply_in_parts_tells_of_its_moment(
        before in proptest::collection::vec(step(), 0..80),
        during in proptest::collection::vec(act(), 0..200),
        saves in any::<bool>(),
    ) {
        let mut bench = Bench::new();
        before.iter().for_each(|step| bench.apply(step));
        if saves {
            bench.begin();
        }
        let mut replies = Replies::default();
        for act in &during {
            match act {
                Act::Change(Step::Walk) => drop(saves.then(|| bench.walk(1))),
                Act::Change(step) => bench.apply(step),
                Act::Read(db, key) => {
                    let mut shard = bench.shard();
                    let hash = shard.common.seed.hash(&[*key]);
                    replies.begin(&mut shard, *db, *key, hash);
                }
                Act::Go(nth) => replies.go(&bench.shard(), *nth),
            }
        }
        while !replies.0.is_empty() {
            replies.go(&bench.shard(), 0);
        }
        if saves {
            bench.finish();
        }
        let mut shard = bench.shard();
        (0..3).for_each(|db| shard.read_first_of(db));
        prop_assert!(!shard.is_guarded() && shard.readings.is_empty());
    }
}

#[test]
fn who_is_waited_for_is_told_so_and_nobody_else_begins() {
    let mut bench = Bench::new();
    bench.apply(&Step::Push(0, 4, 100));
    let mut replies = Replies::default();
    let mut shard = bench.shard();
    let hash = shard.common.seed.hash(&[5]);
    let name = Name { db: 0, key: &[5], hash };
    replies.begin(&mut shard, 0, 5, hash);
    replies.begin(&mut shard, 0, 5, hash);
    assert_eq!(replies.0.len(), 2);
    assert!(shard.is_closed(name), "both read it");
    assert!(replies.0.iter().all(|(slow, _)| slow.is_hurried()));
    replies.begin(&mut shard, 0, 5, hash);
    assert_eq!(replies.0.len(), 2, "who waits does not wait for ever");
    while !replies.0.is_empty() {
        replies.go(&shard, 0);
    }
    assert!(!shard.is_closed(name) && !shard.is_guarded());
}

#[test]
fn what_is_removed_is_freed_when_its_last_reader_is_done() {
    let mut bench = Bench::new();
    (0..80).for_each(|_| bench.apply(&Step::Push(0, 4, 20_000)));
    let mut replies = Replies::default();
    let hash = bench.shard().common.seed.hash(&[5]);
    replies.begin(&mut bench.shard(), 0, 5, hash);
    let bytes = bench.shard().bytes();
    bench.apply(&Step::Remove(0, 4));
    assert!(bytes > 1_600_000 && bench.shard().bytes() == 0);
    while !replies.0.is_empty() {
        replies.go(&bench.shard(), 0);
    }
    let trash = Arc::clone(&bench.shard().common.trash);
    assert!(trash.pending_bytes() >= 1_600_000, "the last reader has thrown it away");
}
