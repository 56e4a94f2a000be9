//! The index that finds what is due.
//!
//! One ordered list of (deadline, hash of the key), cut into blocks:
//!
//! ```text
//! head                     rest: a B-tree from the lower bound of a block to the block
//! [ 10 a, 10 c, 12 b ]     17 a -> [ 17 a, 18 f, … ]    40 d -> [ 41 b, … ]
//! ```
//!
//! The head stands outside the tree: what is due next is found without a search, and the few keys of a small shard cost no tree.
//! Expiries mostly come in ascending order, so a full block that is written at its end stays full and a new one begins beside it;
//! written elsewhere, it is halved. Blocks grow and shrink along the allocator's size classes, 16 bytes a pair and little more.
//! Every operation is one search in the tree and one move within 64 pairs.
//!
//! Invariants:
//! * Pairs ascend within a block. All in the head are below the first bound; all in a block are at or above its bound and below
//!   the next. Equal pairs (two keys, one hash, one deadline) are kept as often as they were put in and stand in one block.
//! * No block is empty, but for the head of an empty index.
//! * `len` counts the pairs, `block_bytes` the bytes of all blocks, as the allocator counts them.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use crate::relocate::Mover;
use crate::size_class::usable;

/// A deadline in milliseconds of Unix time, and the hash of the key that it ends.
type Pair = (u64, u64);

/// Ascending pairs.
type Block = Vec<Pair>;

/// A block holds 1 KB; more would make every insertion move more.
const BLOCK_MAX: usize = 64;

/// A block with fewer pairs than this looks for a neighbour to join.
const JOIN_BELOW: usize = 16;

/// Joined blocks keep room, so that they are not halved again at once.
const JOINED_MAX: usize = 48;

/// What one block costs in the tree, measured: a node of eleven takes 512 bytes, and about six places are in use.
const DIRECTORY_BYTES: usize = 88;

const _: () = assert!(size_of::<Pair>() == 16);
const _: () = assert!(JOIN_BELOW <= JOINED_MAX && JOINED_MAX < BLOCK_MAX);

/// Which keys of a shard expire, by deadline.
#[derive(Clone, Debug, Default)]
pub struct ExpiryIndex {
    head: Block,
    rest: BTreeMap<Pair, Block>,
    len: usize,
    block_bytes: usize,
    deadlines: u128,
}

impl ExpiryIndex {
    /// An index of nothing, which allocates nothing.
    pub const fn new() -> Self {
        Self { head: Vec::new(), rest: BTreeMap::new(), len: 0, block_bytes: 0, deadlines: 0 }
    }

    /// How many pairs there are.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether no key expires.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The sum of all deadlines. Costs nothing to ask.
    #[inline]
    pub const fn deadlines(&self) -> u128 {
        self.deadlines
    }

    /// Bytes on the heap. Costs nothing to ask.
    pub fn heap_bytes(&self) -> usize {
        self.block_bytes + self.rest.len() * DIRECTORY_BYTES
    }

    /// The earliest deadline and its hash. Costs nothing to ask.
    #[inline]
    pub fn first(&self) -> Option<(u64, u64)> {
        self.head.first().copied()
    }

    /// Some pair, each with about the same chance. `dice` gives random numbers. O(blocks).
    pub fn sample(&self, dice: &mut impl FnMut() -> u64) -> Option<(u64, u64)> {
        if self.is_empty() {
            return None;
        }
        let mut below = |bound: usize| ((u128::from(dice()) * bound as u128) >> 64) as usize;
        loop {
            let block = match below(self.rest.len() + 1) {
                0 => &self.head,
                nth => self.rest.values().nth(nth - 1)?,
            };
            // Blocks are kept in proportion to what they hold, so that pairs, not blocks, are equally likely.
            let bound = block.len().max(BLOCK_MAX);
            if let Some(pair) = block.get(below(bound)) {
                return Some(*pair);
            }
        }
    }

    /// Takes the earliest pair out, if its deadline is `now` or before.
    pub fn pop_due(&mut self, now: u64) -> Option<(u64, u64)> {
        let (deadline, hash) = self.first().filter(|(deadline, _)| *deadline <= now)?;
        let removed = self.remove(deadline, hash);
        debug_assert!(removed);
        Some((deadline, hash))
    }

    /// Adds a pair, once more if it is there already.
    pub fn insert(&mut self, deadline: u64, hash: u64) {
        let pair = (deadline, hash);
        let (_, block) = locate(&mut self.head, &mut self.rest, pair);
        let bytes = block_bytes(block);
        let split = put(block, pair);
        self.block_bytes = self.block_bytes - bytes + block_bytes(block);
        if let Some((bound, right)) = split {
            self.block_bytes += block_bytes(&right);
            self.rest.insert(bound, right);
        }
        self.len += 1;
        self.deadlines += u128::from(deadline);
    }

    /// Takes this pair out, once; `false` if it was not there.
    pub fn remove(&mut self, deadline: u64, hash: u64) -> bool {
        let pair = (deadline, hash);
        let (bound, block) = locate(&mut self.head, &mut self.rest, pair);
        let Ok(at) = block.binary_search(&pair) else { return false };
        let bytes = block_bytes(block);
        block.remove(at);
        shrink(block);
        let left = block.len();
        self.block_bytes = self.block_bytes - bytes + block_bytes(block);
        self.len -= 1;
        self.deadlines -= u128::from(deadline);
        if left < JOIN_BELOW {
            self.join_neighbour(bound, left);
        }
        true
    }

    /// Moves the blocks whose bound has the deadline `from` or a later one, until spent. Answers the deadline to go on from, zero if all
    /// were visited. Blocks of one deadline are visited together.
    pub(crate) fn relocate(&mut self, mover: &mut Mover, from: u64) -> u64 {
        if from == 0 {
            mover.vec(&mut self.head);
            self.relocate_tree(mover);
        }
        let mut last = u64::MAX;
        for ((deadline, _), block) in self.rest.range_mut((from, 0)..) {
            if mover.is_spent() && last < *deadline {
                return *deadline;
            }
            mover.vec(block);
            last = *deadline;
        }
        0
    }

    /// The nodes of a tree cannot be moved one by one: a small tree is made anew where its first node should move.
    fn relocate_tree(&mut self, mover: &mut Mover) {
        let Some(block) = self.rest.values().next() else { return };
        let bytes = self.rest.len() * DIRECTORY_BYTES;
        if mover.wants(std::ptr::from_ref(block).cast(), bytes) {
            self.rest = std::mem::take(&mut self.rest).into_iter().collect();
        }
    }

    /// Mends a block that became small, with `len` pairs left; the head is the block without a bound.
    fn join_neighbour(&mut self, bound: Option<Pair>, len: usize) {
        let after = bound.map_or(Unbounded, Excluded);
        let next = self.rest.range((after, Unbounded)).next();
        if let Some((&next, _)) = next.filter(|(_, block)| fits(len, block.len())) {
            self.join(bound, next);
        } else if let Some(bound) = bound {
            let (previous, previous_len) = match self.rest.range(..bound).next_back() {
                Some((previous, block)) => (Some(*previous), block.len()),
                None => (None, self.head.len()),
            };
            if fits(previous_len, len) {
                self.join(previous, bound);
            }
        }
    }

    /// Moves the block at `bound` to the end of the one before it.
    fn join(&mut self, before: Option<Pair>, bound: Pair) {
        let source = self.rest.remove(&bound).expect("the caller has just seen this bound");
        let target = match before {
            None => &mut self.head,
            Some(before) => {
                self.rest.get_mut(&before).expect("the caller has just seen this one too")
            }
        };
        self.block_bytes -= block_bytes(target) + block_bytes(&source);
        if target.is_empty() {
            *target = source;
        } else {
            grow(target, source.len());
            target.extend(source);
        }
        self.block_bytes += block_bytes(target);
    }
}

/// The block that holds `pair`, or should, and its bound.
#[inline]
fn locate<'a>(
    head: &'a mut Block,
    rest: &'a mut BTreeMap<Pair, Block>,
    pair: Pair,
) -> (Option<Pair>, &'a mut Block) {
    match rest.range_mut(..=pair).next_back() {
        Some((bound, block)) => (Some(*bound), block),
        None => (None, head),
    }
}

/// Adds `pair` to its block. What no longer fits comes back as a block of its own, with its bound.
fn put(block: &mut Block, pair: Pair) -> Option<(Pair, Block)> {
    if block.len() >= BLOCK_MAX {
        if block.last().is_some_and(|last| *last < pair) {
            return Some((pair, vec![pair]));
        }
        if let Some(middle) = middle(block) {
            return Some(halve(block, middle, pair));
        }
    }
    add(block, pair);
    None
}

/// Cuts `block` and adds `pair` to the half that it belongs to.
fn halve(block: &mut Block, middle: usize, pair: Pair) -> (Pair, Block) {
    let mut right = block.split_off(middle);
    let bound = right[0];
    shrink(block);
    add(if pair < bound { block } else { &mut right }, pair);
    (bound, right)
}

/// Where to cut, next to the middle but not between equal pairs; nowhere if all are equal.
fn middle(block: &[Pair]) -> Option<usize> {
    let pair = block[block.len() / 2];
    match block.partition_point(|other| *other < pair) {
        0 => Some(block.partition_point(|other| *other <= pair)).filter(|at| *at < block.len()),
        at => Some(at),
    }
}

#[inline]
fn add(block: &mut Block, pair: Pair) {
    grow(block, 1);
    let at = if block.last().is_none_or(|last| *last <= pair) {
        block.len()
    } else {
        block.partition_point(|other| *other < pair)
    };
    block.insert(at, pair);
}

/// Makes room for `more` pairs, up to the end of the size class.
#[inline]
fn grow(block: &mut Block, more: usize) {
    if block.capacity() - block.len() < more {
        block.reserve_exact(capacity_for(block.len() + more) - block.len());
    }
}

/// Gives memory back once half of it is unused.
#[inline]
fn shrink(block: &mut Block) {
    if block.len() * 2 <= block.capacity() {
        block.shrink_to(capacity_for(block.len()));
    }
}

/// How many pairs fit where `pairs` must.
const fn capacity_for(pairs: usize) -> usize {
    usable(pairs * size_of::<Pair>()) / size_of::<Pair>()
}

const fn fits(left: usize, right: usize) -> bool {
    left == 0 || right == 0 || left + right <= JOINED_MAX
}

const fn block_bytes(block: &Block) -> usize {
    if block.capacity() == 0 { 0 } else { usable(block.capacity() * size_of::<Pair>()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use proptest::prelude::*;

    /// Everything the head of this file promises.
    fn check_invariants(index: &ExpiryIndex) {
        let blocks = || std::iter::once(&index.head).chain(index.rest.values());
        assert!(blocks().all(|block| block.is_sorted()));
        assert_eq!(blocks().map(Vec::len).sum::<usize>(), index.len);
        assert_eq!(blocks().map(block_bytes).sum::<usize>(), index.block_bytes);
        assert!(index.rest.values().all(|block| !block.is_empty()));
        assert!(!index.head.is_empty() || index.len == 0);
        let mut last = index.head.last().copied();
        for (bound, block) in &index.rest {
            assert!(last < Some(*bound));
            assert!(*bound <= block[0]);
            last = block.last().copied();
        }
    }

    fn bytes_per_key(deadlines: impl Iterator<Item = u64>) -> f64 {
        let mut random = Random::new(1);
        let mut index = ExpiryIndex::new();
        deadlines.for_each(|deadline| index.insert(deadline, random.next_u64()));
        check_invariants(&index);
        index.heap_bytes() as f64 / index.len() as f64
    }

    #[test]
    fn ascending_deadlines_take_18_bytes_a_key() {
        let thousand = bytes_per_key(0..1_000);
        assert!(thousand <= 18.0, "{thousand}");
        let hundred_thousand = bytes_per_key(0..100_000);
        assert!(hundred_thousand <= 18.0, "{hundred_thousand}");
    }

    #[test]
    fn three_ascending_rows_of_deadlines_take_19_bytes_a_key() {
        let bytes = bytes_per_key(
            (0..100_000).map(|n| n + [60_000, 3_600_000, 86_400_000][n as usize % 3]),
        );
        assert!(bytes <= 19.0, "{bytes}");
    }

    #[test]
    fn random_deadlines_take_24_bytes_a_key() {
        let mut random = Random::new(2);
        let thousand = bytes_per_key((0..1_000).map(|_| random.below(1 << 40)));
        assert!(thousand <= 24.0, "{thousand}");
        let hundred_thousand = bytes_per_key((0..100_000).map(|_| random.below(1 << 40)));
        assert!(hundred_thousand <= 24.0, "{hundred_thousand}");
    }

    #[test]
    fn three_keys_take_three_pairs() {
        let mut index = ExpiryIndex::new();
        (0..3).for_each(|deadline| index.insert(deadline, 0));
        assert_eq!(index.heap_bytes(), 48);
        assert_eq!(ExpiryIndex::new().heap_bytes(), 0);
    }

    #[test]
    fn a_drained_index_holds_nothing() {
        let mut index = ExpiryIndex::new();
        (0..10_000).for_each(|n| index.insert(n * 7919 % 10_007, n));
        let mut last = 0;
        while let Some((deadline, _)) = index.pop_due(u64::MAX) {
            assert!(last <= deadline);
            last = deadline;
        }
        assert!(index.is_empty());
        assert_eq!(index.heap_bytes(), 0);
    }

    #[test]
    fn thinned_blocks_are_joined() {
        let mut index = ExpiryIndex::new();
        (0..64_000).for_each(|n| index.insert(n, n));
        (0..64_000).filter(|n| n % 100 != 0).for_each(|n| assert!(index.remove(n, n)));
        check_invariants(&index);
        assert!(index.heap_bytes() < index.len() * 32, "{}", index.heap_bytes());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64, u64),
        Remove(u64, u64),
        Pop(u64),
    }

    fn step(deadlines: u64) -> impl Strategy<Value = Step> {
        prop_oneof![
            5 => (0..deadlines, 0_u64..3).prop_map(|(d, h)| Step::Insert(d, h)),
            3 => (0..deadlines, 0_u64..3).prop_map(|(d, h)| Step::Remove(d, h)),
            1 => (0..deadlines).prop_map(Step::Pop),
        ]
    }

    /// The slow twin is a vector, sorted anew whenever it is asked.
    fn twins_agree(steps: Vec<Step>) {
        let (mut index, mut twin) = (ExpiryIndex::new(), Vec::new());
        for step in steps {
            match step {
                Step::Insert(deadline, hash) => {
                    index.insert(deadline, hash);
                    twin.push((deadline, hash));
                }
                Step::Remove(deadline, hash) => {
                    let at = twin.iter().position(|pair| *pair == (deadline, hash));
                    assert_eq!(index.remove(deadline, hash), at.is_some());
                    at.map(|at| twin.remove(at));
                }
                Step::Pop(now) => {
                    twin.sort_unstable();
                    let due = twin.first().copied().filter(|pair| pair.0 <= now);
                    assert_eq!(index.pop_due(now), due);
                    due.map(|_| twin.remove(0));
                }
            }
            assert_eq!(index.first(), twin.iter().min().copied());
            assert_eq!(index.len(), twin.len());
        }
        check_invariants(&index);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn agrees_with_the_slow_twin(steps in proptest::collection::vec(step(5_000), 0..2_000)) {
            twins_agree(steps);
        }

        #[test]
        fn agrees_with_the_slow_twin_on_equal_pairs(steps in proptest::collection::vec(step(3), 0..2_000)) {
            twins_agree(steps);
        }
    }
}
