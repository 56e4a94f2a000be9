//! Sorted sets: members, each with its score behind it.

use russet_engine::Object;
use russet_engine::types::sorted_set::{Rules, SortedSet};

use super::filled;
use super::packed::{each_of_listpack, each_of_ziplist};
use crate::kind;
use crate::primitives::{DecodeError, Source};

/// In the place of the length of a score's text: what has no digits.
const NAN: u8 = 253;
/// See [`NAN`].
const INFINITY: u8 = 254;
/// See [`NAN`].
const NEGATIVE_INFINITY: u8 = 255;

/// A sorted set under way.
struct Maker {
    set: SortedSet,
    rules: Rules,
    /// The member that a packed form has shown last, if its score is yet to come.
    member: Option<Vec<u8>>,
}

impl Maker {
    fn new(rules: Rules) -> Self {
        Self { set: SortedSet::new(), rules, member: None }
    }

    fn add(&mut self, member: &[u8], score: f64) -> Result<(), DecodeError> {
        if score.is_nan() {
            return Err(DecodeError::Malformed);
        }
        self.set.expect(1, member.len(), self.rules);
        let add = |old: Option<f64>| match old {
            None => Ok(Some(score)),
            Some(_) => Err(DecodeError::Duplicate),
        };
        self.set.update(member, self.rules, add).map(|_| ())
    }

    /// Takes the next part: a member, or its score.
    fn part(&mut self, part: &[u8]) -> Result<(), DecodeError> {
        match self.member.take() {
            Some(member) => self.add(&member, parsed(part)?),
            None => {
                self.member = Some(part.to_vec());
                Ok(())
            }
        }
    }

    fn end(self) -> Result<Object, DecodeError> {
        if self.member.is_none() { filled(self.set) } else { Err(DecodeError::Malformed) }
    }
}

/// Reads a sorted set.
pub(super) fn read(kind: u8, source: &mut Source<'_>, rules: Rules) -> Result<Object, DecodeError> {
    let mut maker = Maker::new(rules);
    match kind {
        kind::SORTED_SET_ZIPLIST => each_of_ziplist(&source.text()?, |part| maker.part(part))?,
        kind::SORTED_SET_LISTPACK => each_of_listpack(source.text()?, |part| maker.part(part))?,
        _ => {
            // What is said to be many is not sorted into a row, one by one.
            maker.set.expect(source.count()?, 0, rules);
            source.each(|source| {
                let member = source.text()?;
                let is_text = kind == kind::SORTED_SET_TEXTS;
                let score = if is_text { text_score(source)? } else { score(source)? };
                maker.add(&member, score)
            })?;
        }
    }
    maker.end()
}

fn score(source: &mut Source<'_>) -> Result<f64, DecodeError> {
    source.word().map(f64::from_bits)
}

/// A score as Redis wrote them before version 4: a text behind its length in one byte.
fn text_score(source: &mut Source<'_>) -> Result<f64, DecodeError> {
    match source.array()? {
        [NAN] => Err(DecodeError::Malformed),
        [INFINITY] => Ok(f64::INFINITY),
        [NEGATIVE_INFINITY] => Ok(f64::NEG_INFINITY),
        [len] => parsed(source.take(usize::from(len))?),
    }
}

fn parsed(text: &[u8]) -> Result<f64, DecodeError> {
    let text = std::str::from_utf8(text).map_err(|_| DecodeError::Malformed)?;
    text.parse().map_err(|_| DecodeError::Malformed)
}
