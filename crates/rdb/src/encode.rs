//! Values to bytes.
//!
//! Of the forms that the format has for each type those are written that Redis 7.0 writes, which all later servers read: small collections
//! as the listpacks and rows of integers that they are kept as, lists as listpacks of 8 KB, everything else element by element. Three
//! things need newer readers. What Redis 7.2 knows of sets and of consumers is written for those who know it; a hash whose fields end has
//! only the forms that Redis 7.4 brought.

mod list;
pub mod pieces;
mod stream;

use russet_engine::collections::listpack::{Element, Listpack};
use russet_engine::types::hash::{Hash, Pair};
use russet_engine::types::set::Set;
use russet_engine::types::sorted_set::SortedSet;
use russet_engine::{ObjectRef, View};

use crate::kind;
use crate::primitives::{Packer, Sink};

/// The version of the format that Redis 7.0 writes.
pub const VERSION_7_0: u16 = 10;

/// The version that brought small sets of texts and consumers that are active.
pub const VERSION_7_2: u16 = 11;

/// The version that brought fields that end.
pub const VERSION_7_4: u16 = 12;

/// How values are written.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// The version of the format that readers know. Fields that end are written in spite of it.
    pub version: u16,
    /// Whether strings are compressed.
    pub compresses: bool,
}

/// Appends the type of a value and its contents. Answers which version of the format a reader must know. O(n).
pub fn encode(value: View<'_>, style: Style, out: &mut Vec<u8>) -> u16 {
    let mut packer = style.compresses.then(Packer::default);
    encode_into(value, style.version, &mut Sink::new(out, packer.as_mut()))
}

/// As [`encode()`], into a sink that may have a name for the value, for readers of `version`.
pub fn encode_into(value: View<'_>, version: u16, sink: &mut Sink<'_>) -> u16 {
    let View::Object(object) = value else {
        sink.kind(kind::STRING);
        text(value, sink);
        return VERSION_7_0;
    };
    match object {
        ObjectRef::List(it) => list::write(it, sink),
        ObjectRef::Set(it) => return set(it, version, sink),
        ObjectRef::Hash(it) => return hash(it, sink),
        ObjectRef::SortedSet(it) => sorted_set(it, sink),
        ObjectRef::Stream(it) => return stream::write(it, version, sink),
    }
    VERSION_7_0
}

/// Begins a value that is written element by element.
fn head(kind: u8, len: usize, sink: &mut Sink<'_>) {
    sink.kind(kind);
    sink.length(len as u64);
}

/// Writes a value that is one packed form.
fn packed(kind: u8, bytes: &[u8], sink: &mut Sink<'_>) {
    sink.kind(kind);
    sink.string(bytes);
}

fn text(value: View<'_>, sink: &mut Sink<'_>) {
    match value {
        View::Short(bytes) => sink.string(bytes),
        View::Int(number) => sink.number(number),
        View::Chunks(chunks) => sink.pieces(chunks.len(), chunks.chunks().iter()),
        View::Object(_) => unreachable!("a string"),
    }
}

fn element(element: Element<'_>, sink: &mut Sink<'_>) {
    match element {
        Element::Int(number) => sink.number(number),
        Element::Bytes(bytes) => sink.string(bytes),
    }
}

fn set(set: &Set, version: u16, sink: &mut Sink<'_>) -> u16 {
    if let Some(ints) = set.as_intset() {
        packed(kind::SET_INTSET, ints.as_bytes(), sink);
    } else if let Some(small) = set.as_listpack().filter(|_| version >= VERSION_7_2) {
        packed(kind::SET_LISTPACK, small.as_bytes(), sink);
        return VERSION_7_2;
    } else {
        head(kind::SET, set.len(), sink);
        set.iter().for_each(|member| element(member, sink));
    }
    VERSION_7_0
}

fn sorted_set(set: &SortedSet, sink: &mut Sink<'_>) {
    if let Some(small) = set.as_listpack() {
        return packed(kind::SORTED_SET_LISTPACK, small.as_bytes(), sink);
    }
    head(kind::SORTED_SET, set.len(), sink);
    set.each(0..set.len(), |member, score| {
        sink.string(member);
        sink.word(score.to_bits());
    });
}

fn hash(hash: &Hash, sink: &mut Sink<'_>) -> u16 {
    if let Some(first) = hash.first_deadline() {
        hash_with_ends(hash, first, sink);
        return VERSION_7_4;
    }
    if let Some(small) = hash.as_listpack().map(Listpack::as_bytes) {
        packed(kind::HASH_LISTPACK, small, sink);
        return VERSION_7_0;
    }
    head(kind::HASH, hash.len(), sink);
    for pair in hash.iter() {
        text(pair.field, sink);
        text(pair.value, sink);
    }
    VERSION_7_0
}

fn hash_with_ends(hash: &Hash, first: u64, sink: &mut Sink<'_>) {
    sink.kind(kind::HASH_WITH_ENDS);
    sink.word(first);
    sink.length(hash.len() as u64);
    hash.iter().for_each(|it| pair_with_end(it, first, sink));
}

fn pair_with_end(pair: Pair<'_>, first: u64, sink: &mut Sink<'_>) {
    // Ends are told from the first one on, plus one: zero is for none.
    let end = pair.expiry.map_or(0, |end| end.saturating_sub(first).saturating_add(1));
    sink.length(end);
    text(pair.field, sink);
    text(pair.value, sink);
}
