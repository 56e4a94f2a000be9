//! Active expiry: removing what has ended though nobody asks for it.
//!
//! Each shard's indexes know what is due first, so a round costs one look per shard and one removal per ended key or field. A shard is held for a
//! few dozen removals at a time; one that is busy is left for the next round.

use std::sync::atomic::Ordering;

use russet_engine::{Name, Patience, Shard};
use russet_journal::Record;

use crate::effect::{GONE, push_hdel};
use crate::execute::append;
use crate::notify::Class;
use crate::state::{State, Thread, rule};
use crate::tracking::tell_of;

/// Removals under one hold of a shard: some tens of microseconds.
const PER_HOLD: usize = 64;

/// Removes what is due in all shards, up to about `removals_max` keys and fields. Answers how many were removed.
pub fn cycle(state: &State, thread: &Thread, removals_max: usize) -> usize {
    let mut removed = 0;
    for shard in 0..state.keyspace.shards() {
        loop {
            let now = removed_in(state, thread, shard);
            removed += now;
            if now < PER_HOLD || removed >= removals_max {
                break;
            }
        }
    }
    removed
}

/// What was removed under one hold of a shard, for those who follow the journal or listen to events.
#[derive(Default)]
struct Ended {
    record: Option<Record>,
    events: Vec<(Class, &'static str, u32, Box<[u8]>)>,
}

impl Ended {
    fn of(state: &State) -> Self {
        let record = state.journal.is_followed().then(Record::default);
        Self { record, events: Vec::new() }
    }

    fn key(&mut self, db: u32, key: Box<[u8]>) {
        if let Some(record) = &mut self.record {
            record.push(db, [GONE, &key].into_iter());
        }
        self.events.push((Class::Expired, "expired", db, key));
    }

    fn fields(&mut self, db: u32, key: Box<[u8]>, fields: &[Vec<u8>], is_gone: bool) {
        if let Some(record) = &mut self.record {
            push_hdel(record, db, &key, fields);
        }
        self.events.push((Class::Hash, "hexpired", db, key.clone()));
        if is_gone {
            self.events.push((Class::Generic, "del", db, key));
        }
    }

    /// Records and tells, before the shard's lock falls.
    fn tell(self, state: &State, thread: &Thread, shard: &mut Shard) {
        if let Some(mut record) = self.record.filter(|record| !record.is_empty()) {
            shard.lsn = append(state, &mut record);
        }
        for (class, name, db, key) in self.events {
            state.notify(thread, class, name, db, &key, shard.lsn);
        }
        let lsn = shard.lsn;
        tell_of(state, thread, shard, lsn);
    }
}

fn removed_in(state: &State, thread: &Thread, index: u32) -> usize {
    let Ok(mut shard) = state.keyspace.hold_one(index, Patience::NONE) else { return 0 };
    let mut ended = Ended::of(state);
    let keys = remove_due(state, &mut shard, &mut ended);
    let fields = end_fields(state, &mut shard, PER_HOLD - keys, &mut ended);
    let removed = keys + fields;
    if removed > 0 {
        thread.counters.expired.add(keys as u64);
        thread.counters.expired_fields.add(fields as u64);
        ended.tell(state, thread, &mut shard);
        thread.keep_books(&mut shard);
        shard.finish();
        drop(shard);
        thread.call(state);
    }
    removed
}

fn remove_due(state: &State, shard: &mut Shard, ended: &mut Ended) -> usize {
    let now = state.clock.now();
    let mut removed = 0;
    for db in 0..shard.databases() {
        while removed < PER_HOLD
            && let Some(key) = shard.due(db, now)
        {
            let name = Name { db, key: &key, hash: state.keyspace.seed().hash(&key) };
            if is_closed(shard, name) {
                break;
            }
            shard.remove(name);
            ended.key(db, key);
            removed += 1;
        }
    }
    removed
}

/// Whether a key holds a large collection that is still to be written or read as it is: that is done next, and the key ends in a later round.
fn is_closed(shard: &mut Shard, name: Name<'_>) -> bool {
    shard.is_guarded() && shard.is_closed(name)
}

/// Removes fields of hashes that have ended, up to `max` of them.
fn end_fields(state: &State, shard: &mut Shard, max: usize, ended: &mut Ended) -> usize {
    let now = state.clock.now();
    let mut removed = 0;
    for db in 0..shard.databases() {
        while removed < max
            && let Some(key) = shard.due_hash(db, now)
        {
            let name = Name { db, key: &key, hash: state.keyspace.seed().hash(&key) };
            if is_closed(shard, name) {
                break;
            }
            let fields = shard.end_fields(name, now, max - removed);
            debug_assert!(!fields.is_empty(), "the index says that one is due");
            removed += fields.len();
            let is_gone = shard.get(name).is_none();
            ended.fields(db, key, &fields, is_gone);
        }
    }
    removed
}

/// Removes one key if it has ended and no CLIENT PAUSE holds: for commands that walk and meet it. A shard that is held leaves it for the
/// next who comes.
pub fn end(state: &State, thread: &Thread, db: u32, key: &[u8]) {
    let spot = state.keyspace.locate(key);
    let name = Name { db, key, hash: spot.hash };
    let Ok(mut shard) = state.keyspace.hold_one(spot.shard, Patience::NONE) else { return };
    if state.is_paused() {
        return;
    }
    let now = state.clock.now();
    if !shard.get(name).is_some_and(|entry| entry.is_expired(now)) {
        return;
    }
    shard.remove(name);
    thread.counters.expired.add(1);
    let mut ended = Ended::of(state);
    ended.key(db, key.into());
    ended.tell(state, thread, &mut shard);
    thread.keep_books(&mut shard);
    shard.finish();
}

/// Whether active expiry is switched on, no CLIENT PAUSE holds, and all data is there: a log that is being read counts on what has ended
/// since.
pub fn is_on(state: &State) -> bool {
    let is_loading = state.rules.load(Ordering::Relaxed) & rule::LOADING != 0;
    state.active_expire.load(Ordering::Relaxed) && !state.is_paused() && !is_loading
}
