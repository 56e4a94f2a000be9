//! What producers have said already, so that saying it again adds nothing.
//!
//! A producer names itself and each entry; a name that it has used lately stands for the entry that it made then. Lately is as long as
//! `duration_ms`, and no more than the last `max` names of each producer.

use std::collections::{BTreeMap, VecDeque};

use crate::size_class::usable;
use crate::types::stream::id::StreamId;

/// For how long names are kept unless XCFGSET says otherwise, in milliseconds.
const DURATION_MS: u64 = 100_000;

/// How many names are kept of each producer unless XCFGSET says otherwise.
const NAMES_MAX: usize = 100;

/// The nodes of a tree, shared among their keys, and a name's place in its queue.
const NAME_OVERHEAD: usize = 96;

/// What producers have said; see the head of the file.
#[derive(Clone, Debug)]
pub struct Idempotence {
    /// For how long a name is kept, in milliseconds.
    pub duration_ms: u64,
    /// How many names are kept of each producer.
    pub names_max: usize,
    /// How many entries had a name.
    pub added: u64,
    /// How many entries were not added, since they had been.
    pub duplicates: u64,
    producers: BTreeMap<Box<[u8]>, Producer>,
    bytes: usize,
    /// Producers that are looked through for outdated ones when there are as many again.
    sweep_at: usize,
}

#[derive(Clone, Debug, Default)]
struct Producer {
    said: BTreeMap<Box<[u8]>, StreamId>,
    /// Names in the order in which they came, and when.
    order: VecDeque<(Box<[u8]>, u64)>,
}

impl Default for Idempotence {
    fn default() -> Self {
        Self {
            duration_ms: DURATION_MS,
            names_max: NAMES_MAX,
            added: 0,
            duplicates: 0,
            producers: BTreeMap::new(),
            bytes: 0,
            sweep_at: 16,
        }
    }
}

const fn name_bytes(name: &[u8]) -> usize {
    2 * usable(name.len()) + NAME_OVERHEAD
}

impl Producer {
    /// Drops the names that came before `since`, and the oldest beyond `max`. Answers how many bytes that freed.
    fn expire(&mut self, since: u64, max: usize) -> usize {
        let mut freed = 0;
        while let Some((name, _)) =
            self.order.front().filter(|(_, at)| *at < since || self.order.len() > max)
        {
            freed += name_bytes(name);
            self.said.remove(name);
            self.order.pop_front();
        }
        freed
    }
}

impl Idempotence {
    /// Bytes on the heap, about. O(1).
    pub(super) const fn heap_bytes(&self) -> usize {
        usable(size_of::<Self>()) + self.bytes
    }

    /// The entry that a producer made under this name.
    pub fn find(&mut self, producer: &[u8], name: &[u8], now: u64) -> Option<StreamId> {
        let since = now.saturating_sub(self.duration_ms);
        let of = self.producers.get_mut(producer)?;
        self.bytes -= of.expire(since, self.names_max);
        of.said.get(name).copied()
    }

    /// Notes that a producer made an entry under a name.
    pub fn record(&mut self, producer: &[u8], name: &[u8], id: StreamId, now: u64) {
        self.make_room(now);
        let since = now.saturating_sub(self.duration_ms);
        if !self.producers.contains_key(producer) {
            self.bytes += name_bytes(producer);
        }
        let of = self.producers.entry(producer.into()).or_default();
        if of.said.insert(name.into(), id).is_none() {
            of.order.push_back((name.into(), now));
            self.bytes += name_bytes(name);
        }
        self.bytes -= of.expire(since, self.names_max);
        self.added += 1;
    }

    /// Drops producers that have said nothing lately, whenever their number has doubled.
    fn make_room(&mut self, now: u64) {
        if self.producers.len() >= self.sweep_at {
            self.sweep(now);
            self.sweep_at = (self.producers.len() * 2).max(16);
        }
    }

    /// Drops all that is outdated. O(n)
    pub fn sweep(&mut self, now: u64) {
        let since = now.saturating_sub(self.duration_ms);
        let mut freed = 0;
        self.producers.retain(|name, producer| {
            freed += producer.expire(since, self.names_max);
            let stays = !producer.order.is_empty();
            freed += if stays { 0 } else { name_bytes(name) };
            stays
        });
        self.bytes -= freed;
    }

    /// Forgets what producers have said.
    pub fn clear(&mut self) {
        self.producers.clear();
        self.bytes = 0;
    }

    /// Number of producers, and of names, that are kept and not outdated at `now`. O(n)
    pub fn tracked(&self, now: u64) -> (usize, usize) {
        let since = now.saturating_sub(self.duration_ms);
        let live = |of: &Producer| of.order.iter().filter(|(_, at)| *at >= since).count();
        let counts = self.producers.values().map(live).filter(|count| *count > 0);
        counts.fold((0, 0), |(producers, names), count| (producers + 1, names + count))
    }
}
