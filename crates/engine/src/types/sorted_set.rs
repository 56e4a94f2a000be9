//! Sorted sets: members in the order of their scores, and of their names where scores are equal.
//!
//! A small set is a listpack of members and scores, in order, byte for byte as Redis keeps it; a large one is [`big::Big`]. A small set
//! becomes large when it has too many members or too long ones, and does not go back by itself.
//!
//! Whatever a range is given by, it is two positions: [`SortedSet::positions`] finds them, and members are shown and removed by them.

mod big;
mod small;

use std::ops::Range;

use big::Big;
use small::Small;

use crate::collections::listpack::Listpack;
use crate::prefetch::prefetch;
use crate::relocate::{Mover, Progress};
use crate::shard::Seed;
use crate::size_class::usable;
use crate::value::{Collection, SmallMax, collection};

/// Members by score.
#[derive(Clone, Debug)]
pub struct SortedSet(Form);

#[derive(Clone, Debug)]
enum Form {
    Small(Small),
    Big(Box<Big>),
}

const _: () = assert!(size_of::<SortedSet>() == 16);

impl Default for SortedSet {
    fn default() -> Self {
        Self::new()
    }
}

impl Collection for SortedSet {
    collection!(SortedSet);

    #[inline]
    fn len(&self) -> usize {
        Self::len(self)
    }

    fn encoding(&self) -> &'static str {
        match &self.0 {
            Form::Small(_) => "listpack",
            Form::Big(_) => "skiplist",
        }
    }

    #[inline]
    fn heap_bytes(&self) -> usize {
        match &self.0 {
            Form::Small(small) => small.heap_bytes(),
            Form::Big(big) => usable(size_of::<Big>()) + big.heap_bytes(),
        }
    }

    fn free_cost(&self) -> usize {
        match &self.0 {
            Form::Small(_) => 1,
            Form::Big(big) => big.allocations(),
        }
    }

    fn relocate(&mut self, mover: &mut Mover, from: Progress) -> Option<Progress> {
        match &mut self.0 {
            Form::Small(small) => {
                small.relocate(mover);
                None
            }
            Form::Big(big) => Big::relocate(big, mover, from),
        }
    }

    fn buckets(&self) -> Option<usize> {
        match &self.0 {
            Form::Small(_) => None,
            Form::Big(big) => Some(big.buckets()),
        }
    }
}

/// How sorted sets are kept.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How small a small set is.
    pub max: SmallMax,
    /// What the members of a large one are hashed with.
    pub seed: Seed,
}

/// What [`SortedSet::update`] did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// The score that the member had, if it was there.
    pub old: Option<f64>,
    /// The score that it was given, if it was.
    pub new: Option<f64>,
}

impl Update {
    /// Whether the member was added.
    pub const fn is_new(self) -> bool {
        self.old.is_none() && self.new.is_some()
    }

    /// Whether the member was there and has another score now.
    pub fn is_changed(self) -> bool {
        matches!((self.old, self.new), (Some(old), Some(new)) if !are_same(old, new))
    }
}

/// Whether two scores rank the same, as both zeros do.
#[expect(clippy::float_cmp, reason = "scores are equal or they are not")]
const fn are_same(one: f64, other: f64) -> bool {
    one == other
}

/// One end of a range of scores.
#[derive(Clone, Copy, Debug)]
pub struct ScoreBound {
    /// The score.
    pub score: f64,
    /// Whether members of just this score are left out.
    pub is_exclusive: bool,
}

/// One end of a range of names.
#[derive(Clone, Copy, Debug)]
pub enum LexBound<'a> {
    /// Before all names.
    First,
    /// Behind all names.
    Last,
    /// This name, which is in the range.
    Including(&'a [u8]),
    /// This name, which is not in the range.
    Excluding(&'a [u8]),
}

impl LexBound<'_> {
    /// Whether a name stands before a range that begins here.
    fn begins_behind(self, name: &[u8]) -> bool {
        match self {
            Self::First => false,
            Self::Last => true,
            Self::Including(bound) => name < bound,
            Self::Excluding(bound) => name <= bound,
        }
    }

    /// Whether a name stands before the end of a range that ends here.
    fn ends_behind(self, name: &[u8]) -> bool {
        match self {
            Self::First => false,
            Self::Last => true,
            Self::Including(bound) => name <= bound,
            Self::Excluding(bound) => name < bound,
        }
    }
}

/// A range, by what it is bounded.
#[derive(Clone, Copy, Debug)]
pub enum Bounds<'a> {
    /// By scores.
    Scores(ScoreBound, ScoreBound),
    /// By names; makes sense where all scores are the same.
    Lex(LexBound<'a>, LexBound<'a>),
}

impl SortedSet {
    /// The empty set.
    pub fn new() -> Self {
        Self(Form::Small(Small::default()))
    }

    /// The empty set in its large form, for one who looks members up while there are more and more; see [`Self::reduce`].
    pub fn large(rules: Rules) -> Self {
        Self(Form::Big(Box::new(Big::new(rules.seed))))
    }

    /// Makes a large set small if it may be.
    pub fn reduce(&mut self, rules: Rules) {
        let Form::Big(big) = &self.0 else { return };
        let mut small = Small::default();
        if big.len() <= rules.max.entries
            && big.range(0..big.len()).all(|(name, score)| {
                let fits = small.has_room(name, rules.max);
                if fits {
                    small.push(score, name);
                }
                fits
            })
        {
            self.0 = Form::Small(small);
        }
    }

    /// How many members there are.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Small(small) => small.len(),
            Form::Big(big) => big.len(),
        }
    }

    /// Whether it is kept in the compact form.
    pub const fn is_small(&self) -> bool {
        matches!(self.0, Form::Small(_))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The members and scores of a small set, as files have them.
    pub const fn as_listpack(&self) -> Option<&Listpack> {
        match &self.0 {
            Form::Small(small) => Some(small.list()),
            Form::Big(_) => None,
        }
    }

    /// The score of a member. O(1) for a large set.
    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.0 {
            Form::Small(small) => small.score(member),
            Form::Big(big) => big.score(member),
        }
    }

    /// Brings towards the cache where a member is looked for; see [`crate::ObjectRef::prefetch_place`].
    #[inline]
    pub fn prefetch_place(&self, member: &[u8]) -> Option<u64> {
        match &self.0 {
            Form::Small(small) => {
                prefetch(small.list().as_bytes().as_ptr());
                None
            }
            Form::Big(big) => Some(big.prefetch_place(member)),
        }
    }

    /// Brings the member of a hash towards the cache.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        if let Form::Big(big) = &self.0 {
            big.prefetch(hash);
        }
    }

    /// How many members stand before a member, and its score. O(log n).
    #[inline]
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        match &self.0 {
            Form::Small(small) => small.rank(member),
            Form::Big(big) => big.rank(member),
        }
    }

    /// Prepares for so many members, the longest of so many bytes, to be added or given other scores: what would not stay small is made
    /// large at once.
    pub fn expect(&mut self, members: usize, longest: usize, rules: Rules) {
        if members > rules.max.entries || longest > rules.max.bytes {
            self.enlarge(rules.seed);
        }
    }

    /// Looks a member up and gives it the score that `decide` makes of the one it has; nothing is done where there is none to be given.
    /// A member that is not there is added. O(log n).
    pub fn update<E>(
        &mut self,
        member: &[u8],
        rules: Rules,
        decide: impl FnOnce(Option<f64>) -> Result<Option<f64>, E>,
    ) -> Result<Update, E> {
        let small = match &mut self.0 {
            Form::Big(big) => return big.update(member, decide),
            Form::Small(small) => small,
        };
        let found = small.find(member);
        let old = found.map(|(_, score)| score);
        let new = decide(old)?;
        match (found, new) {
            (Some((at, old)), Some(score)) if !are_same(old, score) => {
                small.move_to(at, score, member)
            }
            (None, Some(score)) if small.has_room(member, rules.max) => small.insert(score, member),
            (None, Some(score)) => self.enlarge(rules.seed).insert(score, member),
            _ => {}
        }
        Ok(Update { old, new })
    }

    /// Gives a member the score that `join` makes of the one it has, to the bit: where two zeros meet, the sign is that of their sum. The
    /// set becomes large. O(log n).
    pub fn join(&mut self, member: &[u8], rules: Rules, join: impl FnOnce(Option<f64>) -> f64) {
        self.enlarge(rules.seed).join(member, join);
    }

    /// Gives a member this score, whether it is there or not. O(log n).
    pub fn set(&mut self, score: f64, member: &[u8], rules: Rules) {
        let Ok(_) = self.update(member, rules, |_| Ok::<_, std::convert::Infallible>(Some(score)));
    }

    /// Removes a member; its score, if it was there. O(log n).
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match &mut self.0 {
            Form::Small(small) => small.remove(member),
            Form::Big(big) => big.remove(member),
        }
    }

    /// Removes the members at these positions, which are there. O(log n) for each.
    pub fn remove_range(&mut self, positions: Range<usize>) {
        match &mut self.0 {
            Form::Small(small) => small.remove_range(positions),
            Form::Big(big) => positions.rev().for_each(|position| big.remove_at(position)),
        }
    }

    /// The positions of a range. O(log n).
    pub fn positions(&self, bounds: Bounds<'_>) -> Range<usize> {
        let (from, until) = match bounds {
            Bounds::Scores(min, max) => (
                self.before_scores(|score| {
                    score < min.score || min.is_exclusive && are_same(score, min.score)
                }),
                self.before_scores(|score| {
                    score < max.score || !max.is_exclusive && are_same(score, max.score)
                }),
            ),
            Bounds::Lex(min, max) => (
                self.before_names(|name| min.begins_behind(name)),
                self.before_names(|name| max.ends_behind(name)),
            ),
        };
        from.min(until)..until
    }

    /// How many members at the front have a score that `is_before` holds for.
    fn before_scores(&self, is_before: impl Fn(f64) -> bool) -> usize {
        match &self.0 {
            Form::Small(small) => small.iter().take_while(|(_, score)| is_before(*score)).count(),
            Form::Big(big) => big.before_scores(is_before),
        }
    }

    /// How many members at the front have a name that `is_before` holds for.
    fn before_names(&self, is_before: impl Fn(&[u8]) -> bool) -> usize {
        match &self.0 {
            Form::Small(small) => {
                small.iter().take_while(|(name, _)| name.with_bytes(&is_before)).count()
            }
            Form::Big(big) => big.before_names(is_before),
        }
    }

    /// Shows the members at these positions, which are there, with their scores. O(log n), and O(1) for each.
    #[inline]
    pub fn each(&self, positions: Range<usize>, mut show: impl FnMut(&[u8], f64)) {
        self.each_while(positions, |name, score| {
            show(name, score);
            true
        });
    }

    /// As [`Self::each`], the last first.
    #[inline]
    pub fn each_back(&self, positions: Range<usize>, mut show: impl FnMut(&[u8], f64)) {
        self.each_back_while(positions, |name, score| {
            show(name, score);
            true
        });
    }

    /// As [`Self::each`], until `show` says that it is enough. Says whether it never did.
    #[inline]
    pub fn each_while(
        &self,
        positions: Range<usize>,
        mut show: impl FnMut(&[u8], f64) -> bool,
    ) -> bool {
        match &self.0 {
            Form::Small(small) => {
                let mut shown = small.iter().skip(positions.start).take(positions.len());
                shown.all(|(name, score)| name.with_bytes(|name| show(name, score)))
            }
            Form::Big(big) => big.each_while(positions, show),
        }
    }

    /// As [`Self::each_while`], the last first.
    #[inline]
    pub fn each_back_while(
        &self,
        positions: Range<usize>,
        mut show: impl FnMut(&[u8], f64) -> bool,
    ) -> bool {
        match &self.0 {
            Form::Small(small) => {
                let shown = small.iter_back().skip(small.len() - positions.end);
                let mut shown = shown.take(positions.len());
                shown.all(|(name, score)| name.with_bytes(|name| show(name, score)))
            }
            Form::Big(big) => big.each_back_while(positions, show),
        }
    }

    /// Shows some members with their scores, and gives the cursor to go on with; zero begins and ends. A small set is shown at once.
    pub fn scan(&self, cursor: u64, show: impl FnMut(&[u8], f64)) -> u64 {
        match &self.0 {
            Form::Small(_) => {
                self.each(0..self.len(), show);
                0
            }
            Form::Big(big) => big.scan(cursor, show),
        }
    }

    /// Makes a small set large, which it stays until [`Self::reduce`]. O(n log n).
    pub fn make_large(&mut self, seed: Seed) {
        self.enlarge(seed);
    }

    fn enlarge(&mut self, seed: Seed) -> &mut Big {
        if let Form::Small(small) = &self.0 {
            let mut big = Box::new(Big::new(seed));
            for (name, score) in small.iter() {
                name.with_bytes(|name| big.insert(score, name));
            }
            self.0 = Form::Big(big);
        }
        match &mut self.0 {
            Form::Big(big) => big,
            Form::Small(_) => unreachable!("made large above"),
        }
    }
}

#[cfg(test)]
mod tests;
