//! From where on small collections become big ones: Redis' `…-max-listpack-…` parameters and kin, for handlers to read without a lock.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use russet_config::{Config, Id, id};
use russet_engine::types::list::ListMax;
use russet_engine::types::{hash, set, sorted_set};
use russet_engine::{Seed, SmallMax};
use russet_rdb::Rules;

/// A number of elements and a length.
#[derive(Debug, Default)]
struct Pair {
    entries: AtomicUsize,
    bytes: AtomicUsize,
}

impl Pair {
    fn get(&self) -> SmallMax {
        SmallMax {
            entries: self.entries.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    fn set(&self, config: &Config, entries: Id, bytes: Id) {
        self.entries.store(config.memory(entries) as usize, Ordering::Relaxed);
        self.bytes.store(config.memory(bytes) as usize, Ordering::Relaxed);
    }
}

/// The thresholds in force.
#[derive(Debug, Default)]
pub struct Thresholds {
    hash: Pair,
    set: Pair,
    sorted_set: Pair,
    stream: Pair,
    set_integers: AtomicUsize,
    list: AtomicI64,
    hyperloglog: AtomicUsize,
}

impl Thresholds {
    /// `hash-max-listpack-entries` and `-value`.
    pub fn hash(&self) -> SmallMax {
        self.hash.get()
    }

    /// `set-max-listpack-entries` and `-value`.
    pub fn set(&self) -> SmallMax {
        self.set.get()
    }

    /// `set-max-intset-entries`.
    pub fn set_integers(&self) -> usize {
        self.set_integers.load(Ordering::Relaxed)
    }

    /// `zset-max-listpack-entries` and `-value`.
    pub fn sorted_set(&self) -> SmallMax {
        self.sorted_set.get()
    }

    /// `stream-node-max-entries` and `-bytes`; zero is no bound.
    pub fn stream(&self) -> SmallMax {
        self.stream.get()
    }

    /// `list-max-listpack-size`: a number of elements, or one of the sizes -1 to -5.
    pub fn list(&self) -> i64 {
        self.list.load(Ordering::Relaxed)
    }

    /// `hll-sparse-max-bytes`.
    pub fn hyperloglog(&self) -> usize {
        self.hyperloglog.load(Ordering::Relaxed)
    }

    /// How values from files and dumps are kept; `seed` is the keyspace's.
    pub fn rules(&self, seed: Seed) -> Rules {
        Rules {
            list: ListMax::of(self.list()),
            hash: hash::Rules { max: self.hash(), seed },
            set: set::Rules { ints: self.set_integers(), max: self.set(), seed },
            sorted_set: sorted_set::Rules { max: self.sorted_set(), seed },
        }
    }

    /// Takes over what is configured.
    pub fn apply(&self, config: &Config) {
        let set = |pair: &Pair, entries, bytes| pair.set(config, entries, bytes);
        set(
            &self.hash,
            const { id("hash-max-listpack-entries") },
            const { id("hash-max-listpack-value") },
        );
        set(
            &self.set,
            const { id("set-max-listpack-entries") },
            const { id("set-max-listpack-value") },
        );
        set(
            &self.sorted_set,
            const { id("zset-max-listpack-entries") },
            const { id("zset-max-listpack-value") },
        );
        set(
            &self.stream,
            const { id("stream-node-max-entries") },
            const { id("stream-node-max-bytes") },
        );
        let integers = config.memory(const { id("set-max-intset-entries") }) as usize;
        self.set_integers.store(integers, Ordering::Relaxed);
        let list = config.integer(const { id("list-max-listpack-size") });
        self.list.store(list, Ordering::Relaxed);
        let sparse = config.memory(const { id("hll-sparse-max-bytes") }) as usize;
        self.hyperloglog.store(sparse, Ordering::Relaxed);
    }
}
