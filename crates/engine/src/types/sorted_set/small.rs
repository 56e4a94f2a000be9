//! The form of small sorted sets: a listpack of members, each with its score behind it, in order.
//!
//! A score that is an integer is kept as one, any other as its text.

use std::cmp::Ordering;
use std::ops::Range;

use crate::collections::listpack::{Element, Iter, Listpack, Position};
use crate::double;
use crate::relocate::Mover;
use crate::value::SmallMax;

/// A sorted set of few and short members.
#[derive(Clone, Debug, Default)]
pub(super) struct Small(Listpack);

/// The score that an element spells.
fn score_of(element: Element<'_>) -> f64 {
    match element {
        Element::Int(score) => score as f64,
        Element::Bytes(text) => double::parse(text),
    }
}

impl Small {
    pub(super) fn len(&self) -> usize {
        self.0.len() / 2
    }

    pub(super) const fn list(&self) -> &Listpack {
        &self.0
    }

    pub(super) fn relocate(&mut self, mover: &mut Mover) {
        self.0.relocate(mover);
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }

    /// Whether a set with one more member, this one, may stay small.
    pub(super) fn has_room(&self, member: &[u8], small: SmallMax) -> bool {
        self.len() < small.entries && member.len() <= small.bytes && self.0.has_room(member.len())
    }

    /// Where a member is, and its score.
    pub(super) fn find(&self, member: &[u8]) -> Option<(Position, f64)> {
        let at = self.0.find(self.0.first()?, member, 1)?;
        let score = self.0.next(at).expect("a score stands behind each member");
        Some((at, score_of(self.0.get(score))))
    }

    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        self.find(member).map(|(_, score)| score)
    }

    pub(super) fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let found = self.iter().position(|(name, _)| name.equals(member))?;
        Some((found, self.score(member)?))
    }

    /// Where a member of this score belongs: before the first that is greater.
    fn place(&self, score: f64, member: &[u8]) -> Position {
        let mut elements = self.0.iter();
        loop {
            let at = elements.position();
            let (Some(name), Some(other)) = (elements.next(), elements.next()) else {
                return self.0.end();
            };
            let order = score_of(other).partial_cmp(&score).unwrap_or(Ordering::Equal);
            if order.then_with(|| name.compare(member)).is_gt() {
                return at;
            }
        }
    }

    /// Adds a member that is not there.
    pub(super) fn insert(&mut self, score: f64, member: &[u8]) {
        self.insert_at(self.place(score, member), score, member);
    }

    /// Adds a member that belongs behind all others.
    pub(super) fn push(&mut self, score: f64, member: &[u8]) {
        self.insert_at(self.0.end(), score, member);
    }

    fn insert_at(&mut self, place: Position, score: f64, member: &[u8]) {
        if let Some(integer) = double::integer(score) {
            self.0.splice(place, 0, &[Element::new(member), Element::Int(integer)]);
        } else {
            let text = double::text(score);
            self.0.splice(place, 0, &[Element::new(member), Element::Bytes(&text)]);
        }
    }

    /// Gives the member at a position another score.
    pub(super) fn move_to(&mut self, at: Position, score: f64, member: &[u8]) {
        self.0.remove(at, 2);
        self.insert(score, member);
    }

    pub(super) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let (at, score) = self.find(member)?;
        self.0.remove(at, 2);
        Some(score)
    }

    pub(super) fn remove_range(&mut self, positions: Range<usize>) {
        if let Some(first) = self.0.seek(2 * positions.start as i64) {
            self.0.remove(first, 2 * positions.len());
        }
    }

    /// Members and scores in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Element<'_>, f64)> {
        Pairs(self.0.iter())
    }

    /// Members and scores, the last first.
    pub(super) fn iter_back(&self) -> impl Iterator<Item = (Element<'_>, f64)> {
        let mut elements = self.0.iter();
        std::iter::from_fn(move || {
            let score = elements.next_back()?;
            Some((elements.next_back()?, score_of(score)))
        })
    }
}

struct Pairs<'a>(Iter<'a>);

impl<'a> Iterator for Pairs<'a> {
    type Item = (Element<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let name = self.0.next()?;
        Some((name, score_of(self.0.next()?)))
    }
}
