//! A block of entries: one listpack, to the byte what Redis keeps in a node of a stream.
//!
//! ```text
//! bytes:u32 elements:u16  count deleted fields name … name 0   entry … entry  255
//!                         `---------- the master ---------´
//! entry: flags ms seq [fields] [name] value [name] value … pieces
//! ```
//!
//! The master says how many entries live and how many are marked as deleted, and has the field names of the first entry. An entry of
//! the same names leaves them out and says so in its flags. Its time and sequence are relative to the block's ID, the first entry's.
//! `pieces` is the number of elements before it, so that entries can be read backwards; the master ends with zero.
//!
//! Deleting an entry sets a flag and moves a one from count to deleted.

use crate::collections::listpack::encoding::{before, decode_at, push, skip, whole_entry};
use crate::collections::listpack::{END, Element};
use crate::relocate::Mover;
use crate::size_class::usable;
use crate::types::stream::id::StreamId;

/// Set on an entry that is marked as deleted.
const DELETED: i64 = 1;
/// Set on an entry with the master's field names.
const SAME_FIELDS: i64 = 2;

/// The counts of bytes and elements.
const HEADER: usize = 6;

/// In the header: more elements than it can say.
const MANY: u16 = u16::MAX;

/// The first buffer.
const CAPACITY_MIN: usize = 64;

/// The number that an element is; 0 for text, which no field of numbers in a block that was checked holds.
#[inline]
const fn number(element: Element<'_>) -> i64 {
    match element {
        Element::Int(number) => number,
        Element::Bytes(_) => 0,
    }
}

#[inline]
fn push_int(buffer: &mut Vec<u8>, number: i64) {
    push(buffer, Element::Int(number));
}

/// Entries of nearby IDs.
#[derive(Clone, Debug)]
pub struct Block {
    bytes: Vec<u8>,
}

/// What the master says.
#[derive(Clone, Copy, Debug)]
struct Master {
    count: i64,
    deleted: i64,
    fields: usize,
    /// Where the first field name begins.
    names: usize,
}

impl Block {
    pub(super) fn relocate(&mut self, mover: &mut Mover) {
        mover.vec(&mut self.bytes);
    }

    /// A block of no entry yet, with a master of these field names.
    pub(super) fn new<'f>(pairs: usize, fields: impl Iterator<Item = &'f [u8]>) -> Self {
        let mut bytes = Vec::with_capacity(CAPACITY_MIN);
        bytes.extend_from_slice(&[0; HEADER]);
        [0, 0, pairs as i64].iter().for_each(|number| push_int(&mut bytes, *number));
        fields.step_by(2).for_each(|name| push(&mut bytes, name.into()));
        push_int(&mut bytes, 0);
        let mut block = Self { bytes };
        block.end(pairs + 4);
        block
    }

    /// A listpack from outside, if it is one that a stream may have.
    pub fn from_listpack(bytes: Vec<u8>) -> Option<Self> {
        check(&bytes)?;
        Some(Self { bytes })
    }

    /// The listpack.
    pub fn listpack(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes on the heap.
    #[inline]
    pub const fn heap_bytes(&self) -> usize {
        usable(self.bytes.capacity())
    }

    fn master(&self) -> Master {
        let (count, at) = decode_at(&self.bytes, HEADER);
        let (deleted, at) = decode_at(&self.bytes, at);
        let (fields, names) = decode_at(&self.bytes, at);
        let (count, deleted) = (number(count), number(deleted));
        Master { count, deleted, fields: number(fields) as usize, names }
    }

    /// How many entries live here.
    #[inline]
    pub fn count(&self) -> usize {
        self.master().count as usize
    }

    /// How many entries live here from one ID to another, in a block whose ID is `id`.
    pub(super) fn count_between(&self, id: StreamId, from: StreamId, until: StreamId) -> usize {
        let mut walk = self.forward(id);
        let entries = std::iter::from_fn(|| walk.next());
        entries.filter(|e| !e.is_deleted && from <= e.id && e.id <= until).count()
    }

    /// Whether the next entry, of so many bytes, belongs into another block.
    #[inline]
    pub(super) fn is_full(&self, payload: usize, bytes_max: usize, entries_max: usize) -> bool {
        let has_entries = || {
            let master = self.master();
            (master.count + master.deleted) as usize
        };
        self.bytes.len() + payload >= bytes_max || (entries_max > 0 && has_entries() >= entries_max)
    }

    /// Adds an entry at the end. `fields` is names and values in turn, `pairs` of each.
    #[inline]
    pub(super) fn push<'f>(
        &mut self,
        delta: (u64, u64),
        pairs: usize,
        fields: impl Iterator<Item = &'f [u8]> + Clone,
    ) {
        let is_same = self.has_names(pairs, fields.clone());
        self.bytes.pop();
        let out = &mut self.bytes;
        push_int(out, if is_same { SAME_FIELDS } else { 0 });
        push_int(out, delta.0 as i64);
        push_int(out, delta.1 as i64);
        let pieces = if is_same {
            fields.skip(1).step_by(2).for_each(|value| push(out, value.into()));
            pairs + 3
        } else {
            push_int(out, pairs as i64);
            fields.for_each(|piece| push(out, piece.into()));
            pairs * 2 + 4
        };
        push_int(out, pieces as i64);
        self.end(pieces + 1);
        self.recount(1, 0);
    }

    /// Whether these are the master's field names.
    #[inline]
    fn has_names<'f>(&self, pairs: usize, fields: impl Iterator<Item = &'f [u8]>) -> bool {
        let master = self.master();
        let mut at = master.names;
        master.fields == pairs
            && fields.step_by(2).all(|name| {
                let (known, next) = decode_at(&self.bytes, at);
                at = next;
                known.equals(name)
            })
    }

    /// Closes the listpack behind what was written, which has so many elements more.
    #[inline]
    fn end(&mut self, more: usize) {
        self.bytes.push(END);
        let elements = usize::from(u16::from_le_bytes([self.bytes[4], self.bytes[5]])) + more;
        let elements = elements.min(usize::from(MANY)) as u16;
        self.bytes[4..HEADER].copy_from_slice(&elements.to_le_bytes());
        self.write_len();
    }

    #[inline]
    fn write_len(&mut self) {
        let len = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&len.to_le_bytes());
    }

    /// Changes the counts of those that live and those that are marked as deleted.
    #[inline]
    fn recount(&mut self, count: i64, deleted: i64) {
        let at = self.add(HEADER, count);
        self.add(at, deleted);
    }

    /// Adds to the number at `at`; answers where the next element begins.
    #[inline]
    fn add(&mut self, at: usize, more: i64) -> usize {
        let (found, next) = decode_at(&self.bytes, at);
        let number = number(found) + more;
        if self.bytes[at] < 0x80 && number < 0x80 {
            self.bytes[at] = number as u8;
            return next;
        }
        let mut spelled = Vec::with_capacity(16);
        push_int(&mut spelled, number);
        self.bytes.splice(at..next, spelled.iter().copied());
        self.write_len();
        at + spelled.len()
    }

    /// Marks entries as deleted that are not yet.
    pub(super) fn mark(&mut self, entries: &[Spot]) {
        // Flags are less than 128, so they stay as long as they are.
        entries.iter().for_each(|entry| self.bytes[entry.flags] |= DELETED as u8);
        self.recount(-(entries.len() as i64), entries.len() as i64);
    }

    /// Gives back what is free, for a block that is not expected to grow.
    pub(super) fn fit(&mut self) {
        let used = usable(self.bytes.len());
        if used < usable(self.bytes.capacity()) {
            self.bytes.shrink_to(used);
        }
    }

    /// From the first entry on.
    #[inline]
    pub(super) fn forward(&self, id: StreamId) -> Walk<'_> {
        let master = self.master();
        let mut at = master.names;
        (0..=master.fields).for_each(|_| at = skip(&self.bytes, at));
        Walk { bytes: &self.bytes, id, fields: master.fields, names: master.names, at }
    }

    /// From the last entry back.
    #[inline]
    pub(super) fn backward(&self, id: StreamId) -> Walk<'_> {
        let master = self.master();
        let at = self.bytes.len() - 1;
        Walk { bytes: &self.bytes, id, fields: master.fields, names: master.names, at }
    }

    /// The entry of an ID that is not marked as deleted.
    pub(super) fn find(&self, block: StreamId, id: StreamId) -> Option<Entry<'_>> {
        let mut walk = self.forward(block);
        std::iter::from_fn(|| walk.next())
            .take_while(|entry| entry.id <= id)
            .find(|entry| entry.id == id && !entry.is_deleted)
    }

    /// The ID of the last entry, deleted or not.
    pub(super) fn last_id(&self, block: StreamId) -> Option<StreamId> {
        self.backward(block).next_back().map(|entry| entry.id)
    }
}

/// Where an entry stands in its block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    flags: usize,
}

/// A walk through a block, one way or the other.
#[derive(Clone, Debug)]
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    id: StreamId,
    fields: usize,
    names: usize,
    at: usize,
}

impl<'a> Walk<'a> {
    /// The entry ahead.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Entry<'a>> {
        if self.bytes[self.at] == END {
            return None;
        }
        let entry = self.entry(self.at);
        // Behind its last value stands the number of its pieces.
        self.at = skip(self.bytes, entry.end());
        Some(entry)
    }

    /// The entry behind, for a walk back.
    #[inline]
    pub(super) fn next_back(&mut self) -> Option<Entry<'a>> {
        let pieces_at = before(self.bytes, self.at);
        let pieces = number(decode_at(self.bytes, pieces_at).0);
        if pieces == 0 {
            return None;
        }
        self.at = (0..pieces).fold(pieces_at, |at, _| before(self.bytes, at));
        Some(self.entry(self.at))
    }

    #[inline]
    fn entry(&self, flags_at: usize) -> Entry<'a> {
        let (flags, at) = decode_at(self.bytes, flags_at);
        let (ms, at) = decode_at(self.bytes, at);
        let (seq, at) = decode_at(self.bytes, at);
        let flags = number(flags);
        let is_same = flags & SAME_FIELDS != 0;
        let (pairs, values) = if is_same {
            (self.fields, at)
        } else {
            let (pairs, at) = decode_at(self.bytes, at);
            (number(pairs) as usize, at)
        };
        Entry {
            id: StreamId {
                ms: self.id.ms.wrapping_add(number(ms) as u64),
                seq: self.id.seq.wrapping_add(number(seq) as u64),
            },
            is_deleted: flags & DELETED != 0,
            pairs,
            bytes: self.bytes,
            flags: flags_at,
            names: is_same.then_some(self.names),
            values,
        }
    }
}

/// An entry of a stream, to be read.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its ID.
    pub id: StreamId,
    /// Whether it is only a mark of what was there.
    pub(super) is_deleted: bool,
    pairs: usize,
    bytes: &'a [u8],
    flags: usize,
    /// Where the master's names begin, if it has the same.
    names: Option<usize>,
    values: usize,
}

impl<'a> Entry<'a> {
    /// Number of fields.
    #[inline]
    pub const fn len(&self) -> usize {
        self.pairs
    }

    /// Whether it has none.
    pub const fn is_empty(&self) -> bool {
        self.pairs == 0
    }

    /// Field names and values in turn, as they were added.
    #[inline]
    pub const fn pieces(&self) -> Pieces<'a> {
        let (bytes, names, values) = (self.bytes, self.names, self.values);
        Pieces { bytes, names, values, left: self.pairs * 2 }
    }

    pub(super) const fn spot(&self) -> Spot {
        Spot { flags: self.flags }
    }

    /// Where it ends, but for its number of pieces.
    #[inline]
    fn end(&self) -> usize {
        let pieces = if self.names.is_some() { self.pairs } else { self.pairs * 2 };
        (0..pieces).fold(self.values, |at, _| skip(self.bytes, at))
    }
}

/// Field names and values in turn.
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    bytes: &'a [u8],
    names: Option<usize>,
    values: usize,
    left: usize,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        self.left = self.left.checked_sub(1)?;
        let is_name = self.left % 2 == 1;
        let at = match &mut self.names {
            Some(names) if is_name => names,
            _ => &mut self.values,
        };
        let (element, next) = decode_at(self.bytes, *at);
        *at = next;
        Some(element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Pieces<'_> {}

/// A reader of a listpack from outside: every element is looked at before it is read.
struct Checker<'a> {
    bytes: &'a [u8],
    at: usize,
    elements: usize,
}

impl Checker<'_> {
    fn skip(&mut self) -> Option<()> {
        self.at += whole_entry(self.bytes.get(self.at..self.bytes.len() - 1)?)?;
        self.elements += 1;
        Some(())
    }

    fn int(&mut self) -> Option<i64> {
        let at = self.at;
        self.skip()?;
        match decode_at(self.bytes, at).0 {
            Element::Int(number) => Some(number),
            Element::Bytes(_) => None,
        }
    }

    fn count(&mut self) -> Option<usize> {
        self.int().and_then(|number| usize::try_from(number).ok())
    }

    fn skip_many(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.skip())
    }
}

/// Whether bytes from outside are a block, all of whose counts are true. All its entries may be marked as deleted.
fn check(bytes: &[u8]) -> Option<()> {
    let header = bytes.get(..HEADER)?;
    let len = u32::from_le_bytes(header[..4].try_into().expect("four bytes"));
    if len as usize != bytes.len() || bytes.last() != Some(&END) {
        return None;
    }
    let mut checker = Checker { bytes, at: HEADER, elements: 0 };
    let (count, deleted, fields) = (checker.count()?, checker.count()?, checker.count()?);
    checker.skip_many(fields)?;
    if checker.int()? != 0 {
        return None;
    }
    let mut marked = 0;
    for _ in 0..count.checked_add(deleted)? {
        marked += usize::from(check_entry(&mut checker, fields)?);
    }
    let elements = u16::from_le_bytes([header[4], header[5]]);
    let is_true = elements == MANY || usize::from(elements) == checker.elements;
    (is_true && marked == deleted && checker.at + 1 == bytes.len()).then_some(())
}

/// Whether an entry is whole; says whether it is marked as deleted.
fn check_entry(checker: &mut Checker<'_>, fields: usize) -> Option<bool> {
    let flags = checker.int()?;
    if !(0..=DELETED | SAME_FIELDS).contains(&flags) {
        return None;
    }
    checker.int()?;
    checker.int()?;
    let values = if flags & SAME_FIELDS != 0 { fields } else { checker.count()?.checked_mul(2)? };
    checker.skip_many(values)?;
    let pieces = values + if flags & SAME_FIELDS != 0 { 3 } else { 4 };
    (checker.count()? == pieces).then_some(flags & DELETED != 0)
}
