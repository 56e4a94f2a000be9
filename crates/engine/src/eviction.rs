//! Who goes when memory is full: candidates from all over the keyspace, and the best of them.
//!
//! ```text
//! Weights ──▶ a shard, the likelier the more it holds ──▶ a few of its entries, ranked ──▶ Pool ──▶ the victim
//! ```
//!
//! As a rule nobody keeps entries in an order: some are glanced at, where the table shows how they are used, and the [`Pool`] keeps the best of
//! them. A candidate is known by where and how it was seen, not by its key, so that the pool allocates nothing and only victims are looked
//! at; whoever takes one looks whether it is still what it was.

use smallvec::SmallVec;

use crate::access::Access;
use crate::entry::{Entry, Seen};
use crate::policy::Source;
use crate::prefetch::prefetch;
use crate::table;

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

    /// How soon an entry should go: the highest first. A glance is all that it costs, but where who ends first goes.
    #[inline]
    pub fn rank(&self, entry: &Entry) -> u64 {
        match self.policy.kind().plan().source {
            Source::Soonest => u64::MAX - entry.expiry().unwrap_or(u64::MAX),
            _ => u64::from(self.policy.rank(entry.glance())),
        }
    }

    /// Whether the order has nothing to do with how the ranks of another wish were made.
    #[must_use]
    pub fn is_unlike(&self, other: &Self) -> bool {
        self.only_volatile != other.only_volatile || self.policy.kind() != other.policy.kind()
    }
}

/// Where an entry was seen, and how: enough to find it again without its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// A hash that leads to its bucket of the table.
    pub place: u64,
    seen: Seen,
}

impl Sight {
    /// Of an entry that a hash leads to. It is not looked at.
    #[inline]
    pub fn of(place: u64, entry: &Entry) -> Self {
        Self { place, seen: entry.seen() }
    }

    /// Whether this was seen of an entry, and it was not used since.
    #[inline]
    pub fn is_of(&self, entry: &Entry) -> bool {
        self.seen == entry.seen()
    }

    /// Whether its key may have this hash.
    #[inline]
    pub const fn may_be_of(&self, hash: u64) -> bool {
        table::tag_of(self.place) == table::tag_of(hash)
    }

    /// Asks for the first two lines of the entry: the one to remove it, the other since whoever comes next is given this memory.
    #[inline]
    pub fn prefetch(&self) {
        let first = std::ptr::without_provenance::<u8>(self.seen.address());
        prefetch(first);
        prefetch(first.wrapping_add(64));
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
    /// Where it was seen.
    pub sight: Sight,
}

/// The best candidates, best last.
#[derive(Debug, Default)]
pub struct Pool {
    candidates: Vec<Candidate>,
    /// Those that were seen in a search in haste, until [`Pool::choose`]; and their databases and shards, with how many there are before
    /// those behind.
    seen: Vec<Sight>,
    of: Vec<(u32, u32, usize)>,
    wish: Option<Wish>,
}

/// How many candidates are kept, where they are kept for long.
const POOL_MAX: usize = 24;

impl Pool {
    /// Forgets candidates that were ranked by another order.
    pub fn begin(&mut self, wish: &Wish) {
        if self.wish.is_none_or(|old| wish.is_unlike(&old)) {
            self.candidates.clear();
        }
        self.wish = Some(*wish);
    }

    /// Begins a search in haste: candidates of those before go. Who is seen in it is told with [`Pool::see`].
    pub fn hurry(&mut self) {
        self.candidates.clear();
    }

    /// Has `look` push those that are seen in a database of a shard. Answers how many there are.
    #[inline]
    pub fn see(&mut self, db: u32, shard: u32, look: impl FnOnce(&mut Vec<Sight>)) -> usize {
        let before = self.seen.len();
        look(&mut self.seen);
        self.of.push((db, shard, self.seen.len()));
        self.seen.len() - before
    }

    /// Keeps a candidate, if it is among the best.
    #[inline]
    pub fn offer(&mut self, candidate: Candidate) {
        if self.candidates.len() < POOL_MAX || self.candidates[0].rank < candidate.rank {
            self.keep(candidate);
        }
    }

    #[cold]
    fn keep(&mut self, candidate: Candidate) {
        let is_same =
            |other: &Candidate| other.sight.seen.address() == candidate.sight.seen.address();
        if let Some(at) = self.candidates.iter().position(is_same) {
            if self.candidates[at] == candidate {
                return;
            }
            // It was used since it was seen.
            self.candidates.remove(at);
        }
        if self.candidates.len() >= POOL_MAX {
            self.candidates.remove(0);
        }
        // Among equals the first goes first: it was not used for longer.
        let better = self.candidates.iter().rev().take_while(|other| other.rank >= candidate.rank);
        let at = self.candidates.len() - better.count();
        self.candidates.insert(at, candidate);
    }

    /// Ends a search in haste: the best of those who were seen, so many if there are, are candidates, in no order. O(seen × bits of the highest
    /// rank).
    pub fn choose(&mut self, policy: Access, wanted: usize) {
        let rank = |sight: &Sight| policy.rank(sight.seen.glance());
        let ranks: SmallVec<[u32; SEEN]> = self.seen.iter().map(rank).collect();
        let least = least_of_best(&ranks, wanted);
        let mut among_equals = wanted - count(&ranks, |rank| rank > least).min(wanted);
        for (nth, (sight, rank)) in self.seen.iter().zip(&ranks).enumerate() {
            // Among equals the first goes first: it was not used for longer.
            if *rank > least || *rank == least && among_equals > 0 {
                among_equals -= usize::from(*rank == least);
                let (db, shard, _) = self.of[self.of.partition_point(|(.., until)| *until <= nth)];
                let rank = u64::from(*rank);
                self.candidates.push(Candidate { rank, db, shard, sight: *sight });
            }
        }
        self.seen.clear();
        self.of.clear();
    }

    /// The best candidate.
    pub fn pop(&mut self) -> Option<Candidate> {
        self.candidates.pop()
    }
}

/// How many ranks are so.
#[inline]
fn count(ranks: &[u32], is_so: impl Fn(u32) -> bool) -> usize {
    ranks.iter().map(|rank| u32::from(is_so(*rank))).sum::<u32>() as usize
}

/// The highest rank that so many have or exceed; 0 if there are not so many. Found bit by bit from the highest that is set, each time by one
/// pass that branches nowhere: where much is evicted, ages are of few bits.
fn least_of_best(ranks: &[u32], wanted: usize) -> u32 {
    let bits = u32::BITS - ranks.iter().fold(0, |bits, rank| bits | rank).leading_zeros();
    (0..bits).rev().fold(0, |least, bit| {
        let higher = least | 1 << bit;
        if count(ranks, |rank| rank >= higher) >= wanted { higher } else { least }
    })
}

/// As many are seen in a search as a rule.
const SEEN: usize = 96;

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

    fn sight(address: usize, glance: u32) -> Sight {
        Sight { place: 0, seen: Seen::new(address << 4, glance) }
    }

    fn candidate(address: usize, rank: u64) -> Candidate {
        Candidate { rank, db: 0, shard: 0, sight: sight(address, rank as u32) }
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

    /// Some second.
    const RECENT: u64 = 1_000;

    proptest! {
        #[test]
        fn the_pool_keeps_the_best(ranks in proptest::collection::vec(0u64..50, 0..100)) {
            let mut pool = Pool::default();
            for (nth, rank) in ranks.iter().enumerate() {
                pool.offer(candidate(nth, *rank));
                pool.offer(candidate(nth, *rank));
            }
            let mut twin = ranks;
            twin.sort_unstable_by(|a, b| b.cmp(a));
            twin.truncate(POOL_MAX);
            let popped: Vec<u64> = std::iter::from_fn(|| pool.pop()).map(|c| c.rank).collect();
            prop_assert_eq!(popped, twin);
        }

        #[test]
        fn a_search_in_haste_has_the_best_of_its_own(ranks in proptest::collection::vec(0u64..50, 0..300), most in 1usize..20) {
            let mut pool = Pool::default();
            pool.offer(candidate(1_000, u64::MAX));
            pool.hurry();
            for (shard, ranks) in ranks.chunks(7).enumerate() {
                let seen = ranks.iter().enumerate().map(|(nth, rank)| {
                    sight(shard * 7 + nth, (RECENT - *rank) as u32)
                });
                prop_assert_eq!(pool.see(0, shard as u32, |all| all.extend(seen)), ranks.len());
            }
            pool.choose(Access::recency(RECENT * 1000), most);
            let mut twin: Vec<_> = ranks.into_iter().enumerate().collect();
            twin.sort_by_key(|(_, rank)| std::cmp::Reverse(*rank));
            twin.truncate(most);
            let mut twin: Vec<_> =
                twin.into_iter().map(|(nth, rank)| (nth, rank, nth as u32 / 7)).collect();
            twin.sort_unstable();
            let popped = std::iter::from_fn(|| pool.pop());
            let mut popped: Vec<_> =
                popped.map(|it| (it.sight.seen.address() >> 4, it.rank, it.shard)).collect();
            popped.sort_unstable();
            prop_assert_eq!(popped, twin);
        }

        #[test]
        fn the_pool_knows_of_an_entry_what_was_seen_last(seen in proptest::collection::vec((0usize..12, 0u64..50), 0..100)) {
            let mut pool = Pool::default();
            let mut twin = std::collections::BTreeMap::new();
            for (address, rank) in seen {
                pool.offer(candidate(address, rank));
                twin.insert(address, rank);
            }
            let kept: std::collections::BTreeMap<usize, u64> = std::iter::from_fn(|| pool.pop())
                .map(|candidate| (candidate.sight.seen.address() >> 4, candidate.rank))
                .collect();
            prop_assert_eq!(kept, twin);
        }
    }
}
