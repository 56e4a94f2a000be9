//! Bytes to values.
//!
//! Every form is read that any version of Redis or Valkey has written, also those that are long out of use. Nothing is taken on trust: a
//! count makes no room, only elements that are there do; packed forms are checked entry by entry; what stands twice where it may not, and
//! what is empty where nothing may be, is refused.

mod packed;

use std::borrow::Cow;

use russet_engine::types::hash::{Hash, Rules as HashRules};
use russet_engine::types::list::{List, ListMax};
use russet_engine::types::set::{Rules as SetRules, Set};
use russet_engine::types::sorted_set::{Rules as SortedSetRules, SortedSet};
use russet_engine::{Collection, Object};

use crate::kind;
use crate::primitives::{DecodeError, Source};
use packed::{each_of_intset, each_of_listpack, each_of_ziplist, each_of_zipmap};

/// How collections are kept.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Lists.
    pub list: ListMax,
    /// Hashes.
    pub hash: HashRules,
    /// Sets.
    pub set: SetRules,
    /// Sorted sets.
    pub sorted_set: SortedSetRules,
}

/// A value.
#[derive(Debug)]
pub enum Content<'a> {
    /// A string.
    Text(Cow<'a, [u8]>),
    /// A collection.
    Object(Object),
}

/// Reads a value and the type before it, as `version` of the format has them. O(n).
pub fn decode<'a>(
    source: &mut Source<'a>,
    version: u16,
    rules: &Rules,
) -> Result<Content<'a>, DecodeError> {
    let [kind] = source.array()?;
    match kind {
        kind::STRING => return Ok(Content::Text(source.text()?)),
        kind::LIST | kind::LIST_ZIPLIST | kind::LIST_ZIPLISTS | kind::LIST_LISTPACKS => {
            list(kind, source, rules)
        }
        kind::SET | kind::SET_INTSET | kind::SET_LISTPACK => set(kind, source, rules),
        kind::SORTED_SET
        | kind::SORTED_SET_TEXTS
        | kind::SORTED_SET_ZIPLIST
        | kind::SORTED_SET_LISTPACK => sorted_set(kind, source, rules),
        kind::HASH
        | kind::HASH_ZIPMAP
        | kind::HASH_ZIPLIST
        | kind::HASH_LISTPACK
        | kind::HASH_WITH_ENDS
        | kind::HASH_LISTPACK_WITH_ENDS => hash(kind, source, rules),
        kind::HASH_WITH_ENDS_VALKEY if version >= VALKEY => hash(kind, source, rules),
        _ => Err(DecodeError::UnknownForm(kind)),
    }
    .map(Content::Object)
}

/// Valkey counts versions from here on.
const VALKEY: u16 = 80;

/// What Valkey writes for a field that does not end.
const NEVER: u64 = u64::MAX;

/// A collection that has something in it.
fn filled<T: Collection>(it: T) -> Result<Object, DecodeError> {
    if it.len() == 0 { Err(DecodeError::Empty) } else { Ok(it.wrap()) }
}

fn list(kind: u8, source: &mut Source<'_>, rules: &Rules) -> Result<Object, DecodeError> {
    let mut list = List::new();
    let mut push = |element: &[u8]| {
        list.push_back(element);
        Ok(())
    };
    match kind {
        kind::LIST => source.each(|source| push(&source.text()?))?,
        kind::LIST_ZIPLIST => each_of_ziplist(&source.text()?, push)?,
        kind::LIST_ZIPLISTS => source.each(|source| each_of_ziplist(&source.text()?, &mut push))?,
        _ => source.each(|source| {
            let (is_packed, node) = (source.length()?, source.text()?);
            match is_packed {
                1 => push(&node),
                2 => each_of_listpack(node, &mut push),
                _ => Err(DecodeError::Malformed),
            }
        })?,
    }
    list.was_made(rules.list);
    filled(list)
}

fn set(kind: u8, source: &mut Source<'_>, rules: &Rules) -> Result<Object, DecodeError> {
    let mut set = if kind == kind::SET_LISTPACK { Set::small() } else { Set::new() };
    let mut add = |member: &[u8]| {
        if set.insert(member, &rules.set) { Ok(()) } else { Err(DecodeError::Duplicate) }
    };
    match kind {
        kind::SET => source.each(|source| add(&source.text()?))?,
        kind::SET_INTSET => each_of_intset(&source.text()?, add)?,
        _ => each_of_listpack(source.text()?, add)?,
    }
    filled(set)
}

fn sorted_set(kind: u8, source: &mut Source<'_>, rules: &Rules) -> Result<Object, DecodeError> {
    let mut maker = SortedSetMaker { set: SortedSet::new(), rules: rules.sorted_set, member: None };
    match kind {
        kind::SORTED_SET_ZIPLIST => each_of_ziplist(&source.text()?, |part| maker.part(part))?,
        kind::SORTED_SET_LISTPACK => each_of_listpack(source.text()?, |part| maker.part(part))?,
        kind::SORTED_SET => source.each(|source| {
            let member = source.text()?;
            maker.add(&member, f64::from_bits(source.word()?))
        })?,
        _ => source.each(|source| {
            let member = source.text()?;
            maker.add(&member, score(score_text(source)?)?)
        })?,
    }
    if maker.member.is_some() { Err(DecodeError::Malformed) } else { filled(maker.set) }
}

/// A sorted set under way.
struct SortedSetMaker {
    set: SortedSet,
    rules: SortedSetRules,
    /// In packed forms members and scores come by turns: a member whose score comes next.
    member: Option<Vec<u8>>,
}

impl SortedSetMaker {
    fn add(&mut self, member: &[u8], score: f64) -> Result<(), DecodeError> {
        if score.is_nan() {
            return Err(DecodeError::Malformed);
        }
        if self.set.score(member).is_some() {
            return Err(DecodeError::Duplicate);
        }
        self.set.set(score, member, self.rules);
        Ok(())
    }

    fn part(&mut self, part: &[u8]) -> Result<(), DecodeError> {
        if let Some(member) = self.member.take() {
            return self.add(&member, score(part)?);
        }
        self.member = Some(part.to_vec());
        Ok(())
    }
}

/// A score as a text.
fn score(text: &[u8]) -> Result<f64, DecodeError> {
    let text = std::str::from_utf8(text).map_err(|_| DecodeError::Malformed)?;
    text.parse().map_err(|_| DecodeError::Malformed)
}

/// A score as the oldest form has it: a length and the text, or one of three that have no digits.
fn score_text<'a>(source: &mut Source<'a>) -> Result<&'a [u8], DecodeError> {
    match source.array()? {
        [253] => Err(DecodeError::Malformed),
        [254] => Ok(b"inf"),
        [255] => Ok(b"-inf"),
        [len] => source.take(usize::from(len)),
    }
}

/// A hash under way: fields come with a value and perhaps an end.
struct HashMaker<'r> {
    hash: Hash,
    rules: &'r HashRules,
    /// What a packed form has shown of the pair that comes next.
    parts: Vec<Vec<u8>>,
    /// How many parts a field has.
    width: usize,
}

impl<'r> HashMaker<'r> {
    fn new(rules: &'r HashRules, width: usize) -> Self {
        Self { hash: Hash::new(), rules, parts: Vec::new(), width }
    }

    fn set(&mut self, field: &[u8], value: &[u8], end: Option<u64>) -> Result<(), DecodeError> {
        if !self.hash.set(field, value, false, self.rules) {
            return Err(DecodeError::Duplicate);
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
        let mut parts = std::mem::take(&mut self.parts).into_iter();
        let mut next = || parts.next().unwrap_or_default();
        let (field, value, end) = (next(), next(), next());
        let end = if self.width == 3 { number(&end)? } else { 0 };
        self.set(&field, &value, (end > 0).then_some(end))
    }

    fn end(self) -> Result<Object, DecodeError> {
        if self.parts.is_empty() { filled(self.hash) } else { Err(DecodeError::Malformed) }
    }
}

/// A number that is not below zero.
fn number(text: &[u8]) -> Result<u64, DecodeError> {
    let number = russet_engine::number::parse_i64(text);
    number.and_then(|number| u64::try_from(number).ok()).ok_or(DecodeError::Malformed)
}

fn hash(kind: u8, source: &mut Source<'_>, rules: &Rules) -> Result<Object, DecodeError> {
    let width = if kind == kind::HASH_LISTPACK_WITH_ENDS { 3 } else { 2 };
    let mut maker = HashMaker::new(&rules.hash, width);
    match kind {
        kind::HASH => source.each(|source| maker.set(&source.text()?, &source.text()?, None))?,
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

#[cfg(test)]
mod tests;
