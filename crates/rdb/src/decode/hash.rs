//! Hashes, with ends of fields and without.

use russet_engine::Object;
use russet_engine::types::hash::{Hash, Rules};

use super::filled;
use super::packed::{each_of_listpack, each_of_ziplist, each_of_zipmap};
use crate::kind;
use crate::primitives::{DecodeError, Source};

/// What Valkey writes for a field that does not end.
const NEVER: u64 = u64::MAX;

/// The last moment that may be an end, in milliseconds since 1970.
const END_MAX: u64 = i64::MAX.unsigned_abs();

/// A hash under way: fields come with a value and perhaps an end.
struct Maker<'r> {
    hash: Hash,
    rules: &'r Rules,
    /// What a packed form has shown of the pair that comes next.
    parts: Vec<Vec<u8>>,
    /// How many parts a field has.
    width: usize,
}

impl<'r> Maker<'r> {
    fn new(rules: &'r Rules, width: usize) -> Self {
        Self { hash: Hash::new(), rules, parts: Vec::new(), width }
    }

    fn set(&mut self, field: &[u8], value: &[u8], end: Option<u64>) -> Result<(), DecodeError> {
        self.hash.prepare(1, std::iter::once((field, value)), self.rules);
        if !self.hash.set(field, value, false, self.rules) {
            return Err(DecodeError::Duplicate);
        }
        if end.is_some_and(|end| end > END_MAX) {
            return Err(DecodeError::Malformed);
        }
        if end.is_some() {
            self.hash.set_expiry(field, end);
        }
        Ok(())
    }

    /// Takes the next part: a field, its value, and its end if fields have one here.
    fn part(&mut self, part: &[u8]) -> Result<(), DecodeError> {
        self.parts.push(part.to_vec());
        if self.parts.len() < self.width {
            return Ok(());
        }
        let parts = std::mem::take(&mut self.parts);
        match parts.as_slice() {
            [field, value] => self.set(field, value, None),
            [field, value, end] => self.set(field, value, unless_zero(number(end)?)),
            _ => Err(DecodeError::Malformed),
        }
    }

    fn end(self) -> Result<Object, DecodeError> {
        if self.parts.is_empty() { filled(self.hash) } else { Err(DecodeError::Malformed) }
    }
}

/// An end; zero is none.
fn unless_zero(end: u64) -> Option<u64> {
    Some(end).filter(|end| *end > 0)
}

/// A number that is not below zero.
fn number(text: &[u8]) -> Result<u64, DecodeError> {
    let number = russet_engine::number::parse_i64(text);
    number.and_then(|number| u64::try_from(number).ok()).ok_or(DecodeError::Malformed)
}

/// Reads a hash.
pub(super) fn read(
    kind: u8,
    source: &mut Source<'_>,
    rules: &Rules,
) -> Result<Object, DecodeError> {
    let width = if kind == kind::HASH_LISTPACK_WITH_ENDS { 3 } else { 2 };
    let mut maker = Maker::new(rules, width);
    match kind {
        kind::HASH => {
            maker.hash.prepare(source.count()?, std::iter::empty(), rules);
            source.each(|source| maker.set(&source.text()?, &source.text()?, None))?;
        }
        kind::HASH_ZIPMAP => each_of_zipmap(&source.text()?, |part| maker.part(part))?,
        kind::HASH_ZIPLIST => each_of_ziplist(&source.text()?, |part| maker.part(part))?,
        kind::HASH_LISTPACK => each_of_listpack(source.text()?, |part| maker.part(part))?,
        kind::HASH_LISTPACK_WITH_ENDS => {
            source.word()?;
            each_of_listpack(source.text()?, |part| maker.part(part))?;
        }
        kind::HASH_WITH_ENDS => {
            let first = source.word()?;
            source.each(|source| {
                let end = source.length()?.checked_sub(1).map(|after| first.saturating_add(after));
                maker.set(&source.text()?, &source.text()?, end)
            })?;
        }
        _ => source.each(|source| {
            let (field, value, end) = (source.text()?, source.text()?, source.word()?);
            maker.set(&field, &value, Some(end).filter(|end| *end != NEVER))
        })?,
    }
    maker.end()
}

/// Reads a hash whose fields end in the forms that release candidates of Redis 7.4 wrote: without the first end before them.
pub(super) fn read_early(
    kind: u8,
    source: &mut Source<'_>,
    rules: &Rules,
) -> Result<Object, DecodeError> {
    let mut maker = Maker::new(rules, 3);
    if kind == kind::HASH_LISTPACK_WITH_ENDS_EARLY {
        each_of_listpack(source.text()?, |part| maker.part(part))?;
    } else {
        source.each(|source| {
            let end = unless_zero(source.length()?);
            maker.set(&source.text()?, &source.text()?, end)
        })?;
    }
    maker.end()
}
