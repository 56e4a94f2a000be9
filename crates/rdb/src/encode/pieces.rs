//! Large collections, written in pieces.
//!
//! Between two pieces the collection may not change; then each element is written once. The forms are those that need no more than the
//! number of elements before the first of them, so a large list is a plain row of elements, which every version reads.

use russet_engine::ObjectRef;
use russet_engine::snapshot::Place;
use russet_engine::types::hash::Hash;
use russet_engine::types::list::List;
use russet_engine::types::set::Set;
use russet_engine::types::sorted_set::SortedSet;
use russet_engine::types::stream::{Stream, StreamId};

use super::{element, head, pair_with_end, stream, text};
use crate::kind;
use crate::primitives::Sink;

/// Ranks of a sorted set that are written between two looks at the size.
const RANKS: usize = 64;

/// The parts of a stream.
const BLOCKS: u32 = 0;
const GROUPS: u32 = 1;

/// Writes a piece of about `bytes` bytes, from `place` on or, without one, from the beginning. Answers where to go on.
pub fn piece(
    object: ObjectRef<'_>,
    place: Option<Place>,
    version: u16,
    bytes: usize,
    sink: &mut Sink<'_>,
) -> Option<Place> {
    let until = sink.len().saturating_add(bytes);
    match object {
        ObjectRef::List(it) => list(it, place, until, sink),
        ObjectRef::Set(it) => set(it, place, until, sink),
        ObjectRef::Hash(it) => hash(it, place, until, sink),
        ObjectRef::SortedSet(it) => sorted_set(it, place, until, sink),
        ObjectRef::Stream(it) => of_stream(it, place, version, until, sink),
    }
}

/// A place in a collection of one part.
fn at(at: u64) -> Place {
    Place { part: 0, at: u128::from(at) }
}

/// The number that stands for a place.
fn number(place: Place) -> u64 {
    u64::try_from(place.at).expect("made by `at`")
}

fn list(list: &List, place: Option<Place>, until: usize, sink: &mut Sink<'_>) -> Option<Place> {
    if place.is_none() {
        head(kind::LIST, list.len(), sink);
    }
    let mut index = place.map_or(0, number);
    for element in list.range(i64::try_from(index).expect("an index"), -1) {
        if sink.len() >= until {
            return Some(at(index));
        }
        sink.string(element);
        index = index.saturating_add(1);
    }
    None
}

fn set(set: &Set, place: Option<Place>, until: usize, sink: &mut Sink<'_>) -> Option<Place> {
    if place.is_none() {
        head(kind::SET, set.len(), sink);
    }
    let mut cursor = place.map_or(0, number);
    loop {
        cursor = set.scan(cursor, |member| element(member, sink));
        if cursor == 0 {
            return None;
        }
        if sink.len() >= until {
            return Some(at(cursor));
        }
    }
}

fn hash(hash: &Hash, place: Option<Place>, until: usize, sink: &mut Sink<'_>) -> Option<Place> {
    let first = hash.first_deadline();
    if place.is_none() {
        match first {
            None => head(kind::HASH, hash.len(), sink),
            Some(first) => {
                sink.kind(kind::HASH_WITH_ENDS);
                sink.word(first);
                sink.length(hash.len() as u64);
            }
        }
    }
    let mut cursor = place.map_or(0, number);
    loop {
        cursor = hash.scan(cursor, |pair| match first {
            Some(first) => pair_with_end(pair, first, sink),
            None => {
                text(pair.field, sink);
                text(pair.value, sink);
            }
        });
        if cursor == 0 {
            return None;
        }
        if sink.len() >= until {
            return Some(at(cursor));
        }
    }
}

fn sorted_set(
    set: &SortedSet,
    place: Option<Place>,
    until: usize,
    sink: &mut Sink<'_>,
) -> Option<Place> {
    if place.is_none() {
        head(kind::SORTED_SET, set.len(), sink);
    }
    let mut rank = usize::try_from(place.map_or(0, number)).expect("a rank");
    while rank < set.len() {
        if sink.len() >= until {
            return Some(at(rank as u64));
        }
        let end = rank.saturating_add(RANKS).min(set.len());
        set.each(rank..end, |member, score| {
            sink.string(member);
            sink.word(score.to_bits());
        });
        rank = end;
    }
    None
}

/// A stream in blocks, then what is known of the past, then group after group, each in one piece.
fn of_stream(
    it: &Stream,
    place: Option<Place>,
    version: u16,
    until: usize,
    sink: &mut Sink<'_>,
) -> Option<Place> {
    let place = place.unwrap_or_else(|| {
        stream::begin(it, version, sink);
        Place { part: BLOCKS, at: 0 }
    });
    if place.part == BLOCKS {
        for (id, block) in it.log.blocks_from(id_of(place.at)) {
            if sink.len() >= until {
                return Some(Place { part: BLOCKS, at: number_of(id) });
            }
            stream::block(id, block, sink);
        }
        stream::past(it, sink);
    }
    let mut written = if place.part == GROUPS { place.at } else { 0 };
    for group in it.groups.iter().skip(usize::try_from(written).expect("a count")) {
        if sink.len() >= until {
            return Some(Place { part: GROUPS, at: written });
        }
        stream::group(group, version, sink);
        written = written.saturating_add(1);
    }
    None
}

fn number_of(id: StreamId) -> u128 {
    u128::from(id.ms) << 64 | u128::from(id.seq)
}

fn id_of(number: u128) -> StreamId {
    let low = number & u128::from(u64::MAX);
    let half = |half: u128| u64::try_from(half).expect("half of the bits");
    StreamId::new(half(number >> 64), half(low))
}
