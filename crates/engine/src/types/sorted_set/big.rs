//! The form of large sorted sets: every member once in a page, an index by name, and an order by score.
//!
//! ```text
//! name -> index -> id -> record: score, name              ZSCORE
//! (score, name) -> order -> position                      ZRANK, ZRANGEBYSCORE
//! position -> order -> (score, id) -> record              ZRANGE
//! ```
//!
//! The order compares scores, and looks at names only where scores are equal.

use std::ops::Range;

use super::are_same;
use crate::collections::id_index::{Hashes, IdIndex};
use crate::collections::rank_tree::{self, Item, RankTree};
use crate::collections::scored::{Id, Scored, Sparse};
use crate::relocate::{Mover, Progress};
use crate::shard::Seed;

/// How many names are on their way to the cache while members are shown one after the other.
const AHEAD: usize = 10;

/// A sorted set of any size.
#[derive(Clone, Debug)]
pub(super) struct Big {
    members: Scored,
    order: RankTree,
    index: IdIndex,
    seed: Seed,
}

impl Big {
    /// The empty set, whose members are hashed with `seed`.
    pub(super) fn new(seed: Seed) -> Self {
        let (members, order, index) = (Scored::new(), RankTree::new(), IdIndex::default());
        Self { members, order, index, seed }
    }

    pub(super) const fn len(&self) -> usize {
        self.order.len()
    }

    /// Moves its own box and what it owns, part by part.
    pub(super) fn relocate(
        this: &mut Box<Self>,
        mover: &mut Mover,
        from: Progress,
    ) -> Option<Progress> {
        if from == Progress::default() {
            let seed = this.seed;
            mover.boxed(this, || Self::new(seed));
        }
        let next = match from.part {
            0 => this.members.relocate(mover, from.at),
            1 => this.order.relocate(mover, from.at),
            _ => this.index.relocate(mover, from.at),
        };
        from.then(next, 3)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.members.heap_bytes() + self.order.heap_bytes() + self.index.heap_bytes()
    }

    pub(super) const fn buckets(&self) -> usize {
        self.index.buckets()
    }

    pub(super) const fn allocations(&self) -> usize {
        self.members.allocations() + self.order.allocations() + self.index.allocations()
    }

    fn id(&self, member: &[u8]) -> Option<Id> {
        self.index.find(self.seed.hash(member), |id| self.members.member(id) == member)
    }

    #[inline]
    pub(super) fn prefetch_place(&self, member: &[u8]) -> u64 {
        let hash = self.seed.hash(member);
        self.index.prefetch(hash);
        hash
    }

    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        // Nothing is compared: that would wait for what is only being asked for.
        self.index.find(hash, |id| {
            self.members.prefetch(id);
            false
        });
    }

    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        Some(self.members.score(self.id(member)?))
    }

    pub(super) fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let score = self.members.score(self.id(member)?);
        Some((self.position(score, member), score))
    }

    /// How many stand before a score and name.
    fn position(&self, score: f64, member: &[u8]) -> usize {
        position(&self.order, &self.members, score, member)
    }

    /// How many members at the front have a score that `is_before` holds for.
    pub(super) fn before_scores(&self, is_before: impl Fn(f64) -> bool) -> usize {
        self.order.partition_point(|score, _| is_before(score))
    }

    /// How many members at the front have a name that `is_before` holds for.
    pub(super) fn before_names(&self, is_before: impl Fn(&[u8]) -> bool) -> usize {
        self.order.partition_point(|_, id| is_before(self.members.member(id)))
    }

    /// Adds a member that is not there.
    pub(super) fn insert(&mut self, score: f64, member: &[u8]) {
        let position = self.position(score, member);
        let id = self.members.insert(score, member);
        let (members, seed) = (&self.members, self.seed);
        let names = Names { members, seed };
        self.index.insert(seed.hash(member), id, &names);
        self.order.insert(position, (score, id));
    }

    /// As [`super::SortedSet::update`].
    pub(super) fn update<E>(
        &mut self,
        member: &[u8],
        decide: impl FnOnce(Option<f64>) -> Result<Option<f64>, E>,
    ) -> Result<super::Update, E> {
        let Some(id) = self.id(member) else {
            let new = decide(None)?;
            if let Some(score) = new {
                self.insert(score, member);
            }
            return Ok(super::Update { old: None, new });
        };
        let old = self.members.score(id);
        let new = decide(Some(old))?;
        if let Some(score) = new
            && !are_same(score, old)
        {
            self.set_score(id, old, score);
        }
        Ok(super::Update { old: Some(old), new })
    }

    /// As [`super::SortedSet::join`].
    pub(super) fn join(&mut self, member: &[u8], join: impl FnOnce(Option<f64>) -> f64) {
        let Some(id) = self.id(member) else { return self.insert(join(None), member) };
        let old = self.members.score(id);
        let new = join(Some(old));
        if new.to_bits() != old.to_bits() {
            self.set_score(id, old, new);
        }
    }

    fn set_score(&mut self, id: Id, old: f64, score: f64) {
        let member = self.members.member(id);
        let (from, to) = (self.position(old, member), self.position(score, member));
        self.members.set_score(id, score);
        if to == from || to == from + 1 {
            self.order.set(from, (score, id));
        } else {
            self.order.remove(from);
            self.order.insert(if to > from { to - 1 } else { to }, (score, id));
        }
    }

    pub(super) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let (position, score) = self.rank(member)?;
        self.remove_at(position);
        Some(score)
    }

    /// Removes what stands at a position.
    pub(super) fn remove_at(&mut self, position: usize) {
        let (_, id) = self.order.remove(position);
        let names = Names { members: &self.members, seed: self.seed };
        self.index.remove(names.hash(id), id, &names);
        if let Some(sparse) = self.members.remove(id) {
            self.drain(sparse);
        }
    }

    /// Has the records of a page moved, and notes their new ids in index and order.
    #[cold]
    fn drain(&mut self, sparse: Sparse) {
        let Self { members, order, index, seed } = self;
        members.drain(sparse, |members, old, new| {
            let (member, score) = (members.member(new), members.score(new));
            index.replace(seed.hash(member), old, new);
            let position = position(order, members, score, member);
            order.set(position, (score, new));
        });
    }

    /// As [`super::SortedSet::scan`].
    pub(super) fn scan(&self, cursor: u64, mut show: impl FnMut(&[u8], f64)) -> u64 {
        let members = &self.members;
        self.index.scan(cursor, |id| show(members.member(id), members.score(id)))
    }

    pub(super) fn range(&self, positions: Range<usize>) -> Iter<'_> {
        Iter { members: &self.members, order: self.order.range(positions.start, positions.end) }
    }

    /// As [`super::SortedSet::each_while`]: names lie anywhere, so each is asked for while those before it are shown.
    #[inline]
    pub(super) fn each_while(
        &self,
        positions: Range<usize>,
        show: impl FnMut(&[u8], f64) -> bool,
    ) -> bool {
        let order = self.order.range(positions.start, positions.end);
        self.show(order.clone(), order, show)
    }

    /// As [`Self::each_while`], the last first.
    #[inline]
    pub(super) fn each_back_while(
        &self,
        positions: Range<usize>,
        show: impl FnMut(&[u8], f64) -> bool,
    ) -> bool {
        let order = self.order.range(positions.start, positions.end);
        self.show(order.clone().rev(), order.rev(), show)
    }

    #[inline]
    fn show(
        &self,
        order: impl Iterator<Item = Item>,
        mut ahead: impl Iterator<Item = Item>,
        mut show: impl FnMut(&[u8], f64) -> bool,
    ) -> bool {
        let members = &self.members;
        ahead.by_ref().take(AHEAD).for_each(|(_, id)| members.prefetch(id));
        for (score, id) in order {
            if let Some((_, id)) = ahead.next() {
                members.prefetch(id);
            }
            if !show(members.member(id), score) {
                return false;
            }
        }
        true
    }
}

/// The hashes of the names that ids stand for.
struct Names<'a> {
    members: &'a Scored,
    seed: Seed,
}

impl Hashes for Names<'_> {
    #[inline]
    fn hash(&self, id: Id) -> u64 {
        self.seed.hash(self.members.member(id))
    }

    #[inline]
    fn prefetch(&self, id: Id) {
        self.members.prefetch(id);
    }
}

fn position(order: &RankTree, members: &Scored, score: f64, member: &[u8]) -> usize {
    order.partition_point(|before, id| {
        before < score || (are_same(before, score) && members.member(id) < member)
    })
}

/// Scored and scores in order, from either end.
#[derive(Clone, Debug)]
pub(super) struct Iter<'a> {
    members: &'a Scored,
    order: rank_tree::Range<'a>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.order.next().map(|(score, id)| (self.members.member(id), score))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.order.size_hint()
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.order.next_back().map(|(score, id)| (self.members.member(id), score))
    }
}
