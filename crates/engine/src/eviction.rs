//! Who goes when memory is full: candidates from all over the keyspace, and the best of them.
//!
//! ```text
//! Weights ──▶ a shard, the likelier the more it holds ──▶ a few of its entries, ranked ──▶ Pool ──▶ the victim
//! ```
//!
//! As a rule nobody keeps entries in an order: a few are looked at, and the [`Pool`] keeps the best of those that were looked at before and did
//! not go, so that over time the worst of thousands go. A candidate is known by the hash of its key, not by the key, so that the pool
//! allocates nothing; whoever takes a victim looks whether it is still what it was.

use crate::access::Access;
use crate::entry::Entry;

pub mod ghosts;
pub mod queue;
#[cfg(test)]
mod replay;

/// What is wished of a victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Only among entries that end some time.
    pub only_volatile: bool,
    /// Who goes first.
    pub policy: Access,
}

impl Wish {
    /// Whether an entry may go at all.
    #[inline]
    pub fn takes(&self, entry: &Entry) -> bool {
        !self.only_volatile || entry.expiry().is_some()
    }

    /// How soon an entry should go: the highest first.
    #[inline]
    pub fn rank(&self, entry: &Entry) -> u64 {
        self.policy.rank(entry)
    }

    /// Whether the order has nothing to do with how the ranks of another wish were made.
    #[must_use]
    pub fn is_unlike(&self, other: &Self) -> bool {
        self.only_volatile != other.only_volatile || self.policy.kind() != other.policy.kind()
    }
}

/// An entry that may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// How soon it should.
    pub rank: u64,
    /// Its database.
    pub db: u32,
    /// Its shard.
    pub shard: u32,
    /// The hash of its key.
    pub hash: u64,
    /// What its bits of access were.
    pub bits: u32,
}

/// The best candidates, best last.
#[derive(Debug, Default)]
pub struct Pool {
    candidates: Vec<Candidate>,
    wish: Option<Wish>,
}

/// How many candidates are kept: half of them and some more stay where several are taken at a time.
const POOL_MAX: usize = 24;

impl Pool {
    /// Forgets candidates that were ranked by another order.
    pub fn begin(&mut self, wish: &Wish) {
        if self.wish.is_none_or(|old| wish.is_unlike(&old)) {
            self.candidates.clear();
        }
        self.wish = Some(*wish);
    }

    /// Keeps a candidate, if it is among the best.
    pub fn offer(&mut self, candidate: Candidate) {
        let at = self.candidates.partition_point(|other| other.rank <= candidate.rank);
        let is_full = self.candidates.len() == POOL_MAX;
        let is_same = |other: &Candidate| (other.hash, other.db) == (candidate.hash, candidate.db);
        if is_full && at == 0 || self.candidates.iter().any(is_same) {
            return;
        }
        if is_full {
            self.candidates.remove(0);
        }
        self.candidates.insert(at - usize::from(is_full), candidate);
    }

    /// Whether a candidate of this rank would be kept.
    #[inline]
    pub fn wants(&self, rank: u64) -> bool {
        self.candidates.len() < POOL_MAX || self.candidates[0].rank <= rank
    }

    /// The `count` best candidates, which come next.
    pub fn best(&self, count: usize) -> &[Candidate] {
        &self.candidates[self.candidates.len().saturating_sub(count)..]
    }

    /// The best candidate.
    pub fn pop(&mut self) -> Option<Candidate> {
        self.candidates.pop()
    }
}

/// How many entries each shard holds, as of some moment: to choose a shard so that entries, not shards, are equally likely.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    /// Entries up to and with each shard.
    sums: Box<[u64]>,
}

impl Weights {
    /// From how many entries each shard holds.
    pub fn new(counts: impl Iterator<Item = u64>) -> Self {
        let mut sum = 0;
        let sums = counts.map(|count| {
            sum += count;
            sum
        });
        Self { sums: sums.collect() }
    }

    /// All entries.
    pub fn total(&self) -> u64 {
        self.sums.last().copied().unwrap_or(0)
    }

    /// Some shard that holds something, with this random number. O(log shards).
    pub fn pick(&self, dice: u64) -> Option<u32> {
        let nth = ((u128::from(dice) * u128::from(self.total())) >> 64) as u64;
        let at = self.sums.partition_point(|sum| *sum <= nth);
        (at < self.sums.len()).then_some(at as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Entry, string_value};
    use crate::random::Random;
    use proptest::prelude::*;

    fn candidate(hash: u64, rank: u64) -> Candidate {
        Candidate { rank, db: 0, shard: 0, hash, bits: 0 }
    }

    #[test]
    fn shards_are_picked_by_what_they_hold() {
        let weights = Weights::new([0, 10, 0, 30, 0].into_iter());
        let (mut random, mut picked) = (Random::new(1), [0; 5]);
        for _ in 0..40_000 {
            picked[weights.pick(random.next_u64()).expect("not empty") as usize] += 1;
        }
        assert!((9_500..10_500).contains(&picked[1]), "{picked:?}");
        assert_eq!((picked[0], picked[2], picked[4]), (0, 0, 0));
        assert_eq!(Weights::new([0, 0].into_iter()).pick(7), None);
        assert_eq!(Weights::default().pick(7), None);
    }

    #[test]
    fn another_order_begins_with_nobody() {
        let wish = |policy| Wish { only_volatile: false, policy };
        let recency = |ms| wish(Access::recency(ms));
        let mut pool = Pool::default();
        pool.begin(&recency(1_000));
        pool.offer(candidate(1, 1));
        pool.begin(&recency(90_000));
        assert_eq!(pool.candidates.len(), 1, "the clock goes on, the order stays");
        pool.begin(&wish(Access::deadline(90_000)));
        assert_eq!(pool.pop(), None);
    }

    #[test]
    fn ranks_say_who_goes_first() {
        let mut old = Entry::new(b"old", string_value(b"v"), Some(50));
        let mut new = Entry::new(b"new", string_value(b"v"), Some(90));
        old.set_access(Access::recency(1_000).first());
        new.set_access(Access::recency(5_000).first());
        let at = |policy| Wish { only_volatile: true, policy };
        for policy in [Access::recency(9_000), Access::change(9_000), Access::deadline(9_000)] {
            assert!(at(policy).rank(&old) > at(policy).rank(&new), "{policy:?}");
        }
        assert!(!at(Access::random(0)).takes(&Entry::new(b"k", string_value(b"v"), None)));
    }

    proptest! {
        #[test]
        fn the_pool_keeps_the_best(ranks in proptest::collection::vec(0u64..50, 0..100)) {
            let mut pool = Pool::default();
            for (nth, rank) in ranks.iter().enumerate() {
                pool.offer(candidate(nth as u64, *rank));
                pool.offer(candidate(nth as u64, *rank));
            }
            let mut twin = ranks;
            twin.sort_unstable_by(|a, b| b.cmp(a));
            twin.truncate(POOL_MAX);
            let popped: Vec<u64> = std::iter::from_fn(|| pool.pop()).map(|c| c.rank).collect();
            prop_assert_eq!(popped, twin);
        }
    }
}
