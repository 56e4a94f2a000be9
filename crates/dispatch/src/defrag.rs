//! Defragmentation: when, how much of it, and the walk over all shards and the texts of scripts.
//!
//! Whether the allocator's pages are filled only in part is known from its own figures. While they are, by more than the configuration
//! puts up with, somebody walks over the shards with an [`IsSparse`] that the shell gives, a few allocations under each hold of a lock,
//! and rests in between, so that it takes no more than its share of a core. See `engine/src/relocate.rs` for how something is moved.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use russet_config::{Config, id};
use russet_engine::Patience;
use russet_engine::relocate::{IsSparse, Mover, Walk};

use crate::scripting::Source;
use crate::state::State;

/// Work under one hold of a shard: some tens of microseconds.
const WORK_PER_HOLD: usize = 128;

/// A shard that is held by others so often in a row is left for the next round.
const TRIES_MAX: usize = 64;

/// What the configuration says of defragmentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How long it works at a stretch, in microseconds.
    pub slice_us: u64,
    /// Its least and its greatest share of a core, in percent.
    share: (u64, u64),
    /// From which fragmentation on it has these, in percent.
    threshold: (u64, u64),
    /// Fewer bytes are not worth it.
    ignored: u64,
}

impl Plan {
    /// Where the alternative is that data goes.
    pub(crate) const URGENT: Self =
        Self { slice_us: 500, share: (30, 90), threshold: (4, 12), ignored: 4 << 20 };

    /// What is to be done now: what the configuration says, more if the resident set is close to its bound, or nothing.
    pub fn now(state: &State) -> Option<Self> {
        if state.resident.is_close() {
            return Some(Self::URGENT);
        }
        Self::of(&state.config.load())
    }

    /// What a configuration says; `None` if it is switched off.
    fn of(config: &Config) -> Option<Self> {
        let number = |id| config.integer(id).unsigned_abs();
        config.bool(const { id("activedefrag") }).then(|| Self {
            slice_us: number(const { id("active-defrag-cycle-us") }),
            share: (
                number(const { id("active-defrag-cycle-min") }),
                number(const { id("active-defrag-cycle-max") }),
            ),
            threshold: (
                number(const { id("active-defrag-threshold-lower") }),
                number(const { id("active-defrag-threshold-upper") }),
            ),
            ignored: config.memory(const { id("active-defrag-ignore-bytes") }),
        })
    }

    /// The share of a core, in percent, that it is to have where `allocated` bytes lie in pages of `active` bytes; `None` if that is well.
    pub fn share(&self, allocated: u64, active: u64) -> Option<u64> {
        let lost = active.saturating_sub(allocated);
        let percent = lost * 100 / allocated.max(1);
        let ((least, most), (lower, upper)) = (self.share, self.threshold);
        if percent < lower || lost < self.ignored {
            return None;
        }
        let most = most.max(least);
        let beyond = (percent - lower).min(upper.saturating_sub(lower));
        let more = ((most - least) * beyond).checked_div(upper.saturating_sub(lower));
        Some(more.map_or(most, |more| least + more))
    }
}

/// What INFO tells of it.
#[derive(Debug, Default)]
pub struct Defrag {
    /// The share of a core that it has just now, in percent; zero if it rests.
    pub share: AtomicU64,
    /// Allocations that were moved.
    pub hits: AtomicU64,
    /// Allocations that were looked at and stayed.
    pub misses: AtomicU64,
    /// Keys of which something was moved.
    pub key_hits: AtomicU64,
    /// Keys of which nothing was.
    pub key_misses: AtomicU64,
    /// Since when it works, in milliseconds since 1970, or zero.
    since_ms: AtomicU64,
    /// For how long it has worked before that.
    total_ms: AtomicU64,
    /// Until when it rests after a round that was of little use.
    rests_until_ms: AtomicU64,
}

impl Defrag {
    /// Begins to work.
    pub fn begin(&self, now: u64) {
        self.since_ms.store(now, Ordering::Relaxed);
    }

    /// Ends, for the time being.
    pub fn end(&self, now: u64) {
        self.share.store(0, Ordering::Relaxed);
        let elapsed = now.saturating_sub(self.since_ms.swap(0, Ordering::Relaxed));
        self.total_ms.fetch_add(elapsed, Ordering::Relaxed);
    }

    /// For how long it has worked in all, and since it began for the last time, in milliseconds.
    pub fn worked_ms(&self, now: u64) -> (u64, u64) {
        let current = match self.since_ms.load(Ordering::Relaxed) {
            0 => 0,
            since => now.saturating_sub(since),
        };
        (self.total_ms.load(Ordering::Relaxed) + current, current)
    }

    /// Does nothing until then, in milliseconds since 1970.
    pub fn rest_until(&self, then: u64) {
        self.rests_until_ms.store(then, Ordering::Relaxed);
    }

    /// Whether it does nothing at this moment though there might be something to do.
    pub fn rests(&self, now: u64) -> bool {
        now < self.rests_until_ms.load(Ordering::Relaxed)
    }

    /// Counts what was moved, and what was looked at and stayed.
    fn note(&self, mover: &Mover) {
        let (moved, stayed) = mover.counts();
        self.hits.fetch_add(moved, Ordering::Relaxed);
        self.misses.fetch_add(stayed, Ordering::Relaxed);
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        let counts = [&self.hits, &self.misses, &self.key_hits, &self.key_misses, &self.total_ms];
        counts.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }
}

/// A walk over all shards, and then over the scripts that are cached.
#[derive(Debug, Default)]
pub struct Round {
    shard: u32,
    walk: Walk,
    tries: usize,
    /// Those that are left, once all shards are done.
    scripts: Option<Vec<Arc<Source>>>,
}

/// How one step of a round went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Well.
    Done,
    /// Somebody else holds the shard.
    Busy,
    /// It was the last.
    Last,
}

impl Round {
    /// Goes on for one short hold of a shard, or with a few scripts.
    pub fn step(&mut self, state: &State, is_sparse: IsSparse) -> Step {
        if self.shard >= state.keyspace.shards() {
            return self.step_scripts(state, is_sparse);
        }
        let Ok(mut shard) = state.keyspace.hold_one(self.shard, Patience::NONE) else {
            self.tries += 1;
            if self.tries > TRIES_MAX {
                self.next_shard(&state.defrag);
            }
            return Step::Busy;
        };
        let mut mover = Mover::new(is_sparse, WORK_PER_HOLD);
        let is_over = shard.relocate(&mut mover, &mut self.walk);
        drop(shard);
        self.tries = 0;
        state.defrag.note(&mover);
        if is_over {
            self.next_shard(&state.defrag);
        }
        Step::Done
    }

    fn step_scripts(&mut self, state: &State, is_sparse: IsSparse) -> Step {
        let scripts = self.scripts.get_or_insert_with(|| state.scripts.sources());
        let mut mover = Mover::new(is_sparse, WORK_PER_HOLD);
        while !mover.is_spent()
            && let Some(script) = scripts.pop()
        {
            script.relocate(&mut mover);
        }
        state.defrag.note(&mover);
        if scripts.is_empty() { Step::Last } else { Step::Done }
    }

    fn next_shard(&mut self, counts: &Defrag) {
        let walk = std::mem::take(&mut self.walk);
        counts.key_hits.fetch_add(walk.keys_moved, Ordering::Relaxed);
        counts.key_misses.fetch_add(walk.keys_stayed, Ordering::Relaxed);
        self.shard += 1;
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_grows_with_what_is_lost() {
        let plan = Plan { slice_us: 500, share: (1, 25), threshold: (10, 100), ignored: 100 << 20 };
        let gigabytes = |tenths: u64| tenths * 100_000_000;
        assert_eq!(plan.share(gigabytes(10), gigabytes(10)), None);
        assert_eq!(plan.share(gigabytes(20), gigabytes(21)), None);
        assert_eq!(plan.share(gigabytes(10), gigabytes(11)), None, "just below 100 MB");
        assert_eq!(plan.share(gigabytes(20), gigabytes(22)), Some(1));
        assert_eq!(plan.share(gigabytes(20), gigabytes(31)), Some(13));
        assert_eq!(plan.share(gigabytes(10), gigabytes(20)), Some(25));
        assert_eq!(plan.share(gigabytes(10), gigabytes(90)), Some(25));
        assert_eq!(plan.share(1000, 3000), None, "far below 100 MB");
    }

    #[test]
    fn thresholds_in_the_wrong_order_are_one() {
        let plan = Plan { slice_us: 500, share: (30, 20), threshold: (50, 10), ignored: 0 };
        assert_eq!(plan.share(100, 149), None);
        assert_eq!(plan.share(100, 150), Some(30));
        assert_eq!(plan.share(0, 0), None);
    }
}
