//! Bytes to values.
//!
//! Every form is read that any version of Redis or Valkey has written, also those that are long out of use. Nothing is taken on trust: a
//! count makes no room, only elements that are there do; packed forms are checked entry by entry; what stands twice where it may not, and
//! what is empty where nothing may be, is refused.

mod hash;
mod packed;
mod sorted_set;
mod stream;

use std::borrow::Cow;

use russet_engine::types::hash::Rules as HashRules;
use russet_engine::types::list::{List, ListMax};
use russet_engine::types::set::{Rules as SetRules, Set};
use russet_engine::types::sorted_set::Rules as SortedSetRules;
use russet_engine::{Collection, Object};

use crate::kind;
use crate::primitives::{DecodeError, Source};
use packed::{each_of_intset, each_of_listpack, each_of_ziplist};

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
        kind::HASH
        | kind::HASH_ZIPMAP
        | kind::HASH_ZIPLIST
        | kind::HASH_LISTPACK
        | kind::HASH_WITH_ENDS
        | kind::HASH_LISTPACK_WITH_ENDS => hash::read(kind, source, &rules.hash),
        kind::HASH_WITH_ENDS_VALKEY if version >= VALKEY => hash::read(kind, source, &rules.hash),
        kind::HASH_WITH_ENDS_EARLY | kind::HASH_LISTPACK_WITH_ENDS_EARLY if version < VALKEY => {
            hash::read_early(kind, source, &rules.hash)
        }
        kind::SORTED_SET_TEXTS
        | kind::SORTED_SET
        | kind::SORTED_SET_ZIPLIST
        | kind::SORTED_SET_LISTPACK => sorted_set::read(kind, source, rules.sorted_set),
        kind::STREAM | kind::STREAM_2 | kind::STREAM_3 => stream::read(kind, source),
        _ => Err(DecodeError::UnknownForm(kind)),
    }
    .map(Content::Object)
}

/// Valkey counts versions from here on.
const VALKEY: u16 = 80;

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
    if kind == kind::SET {
        // What is said to be many is not looked for in a row, one by one.
        set.expect(source.count()?, &rules.set);
    }
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

#[cfg(test)]
mod tests;
