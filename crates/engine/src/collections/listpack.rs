//! The listpack: a short row of byte strings and integers in one buffer, byte for byte as Redis keeps and saves it.
//!
//! ```text
//! | bytes in all: u32 | elements: u16 | entry | entry | … | 0xff |          integers are little-endian
//!
//! entry = encoding, content, and how many bytes these two take, to be read from behind
//!
//! 0xxxxxxx                    0..=127              11110000 u32        that many bytes
//! 10xxxxxx                    up to 63 bytes       11110001 i16        an integer
//! 110xxxxx xxxxxxxx           -4096..=4095         11110010 i24
//! 1110xxxx xxxxxxxx           up to 4095 bytes     11110011 i32        11110100 i64
//! ```
//!
//! The length behind stands in groups of seven bits, the highest group first; all groups but the first have their high bit set, so
//! that one who reads backwards knows where to stop.
//!
//! What spells an integer in the one way that Redis takes for it is kept as an integer. Files may hold others: readers compare what
//! an element spells, not how it is encoded.
//!
//! A [`Position`] is the offset of an entry. It stays good until something at or before it changes.
//!
//! Invariants:
//! * The buffer is a whole listpack: every entry is complete, its length behind agrees, and 0xff ends it.
//! * The number of elements is right, or 65535, which says that nobody has counted.
//! * The first four bytes are the length, which is what [`Buffer`] goes by.

#[expect(unsafe_code, reason = "a pointer without length or capacity beside it")]
mod buffer;
mod element;
pub(crate) mod encoding;

pub use element::Element;

use buffer::{Buffer, LENGTH};
use encoding::{Encoded, before, decode, decode_at, entry_size, skip, whole_entry};
use std::iter::FusedIterator;

use crate::relocate::Mover;

/// Bytes before the first entry.
const HEADER: usize = 6;

/// Ends a listpack.
pub(crate) const END: u8 = 0xff;

/// Bytes of an empty listpack.
const EMPTY: usize = HEADER + 1;

/// The number of elements that says nothing.
const UNCOUNTED: u16 = u16::MAX;

/// What a listpack may take, as with Redis: far below what its header can say.
pub const LISTPACK_MAX: usize = 1 << 30;

/// The offset of an entry, or of the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(u32);

impl Position {
    const fn at(self) -> usize {
        self.0 as usize
    }

    const fn new(offset: usize) -> Self {
        Self(offset as u32)
    }
}

/// A short row of elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listpack(Buffer);

impl Default for Listpack {
    fn default() -> Self {
        Self::new()
    }
}

impl Listpack {
    /// A listpack without elements.
    pub fn new() -> Self {
        Self(Buffer::new(&[EMPTY as u8, 0, 0, 0, 0, 0, END]))
    }

    /// Moves the buffer.
    pub(crate) fn relocate(&mut self, mover: &mut Mover) {
        self.0.relocate(mover);
    }

    /// A listpack of these bytes, if they are one: every entry is looked at, whatever the header says. O(n).
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let total = u32::from_le_bytes(*bytes.first_chunk()?);
        let count = u16::from_le_bytes(*bytes.get(4..HEADER)?.first_chunk()?);
        if bytes.len() < EMPTY || total as usize != bytes.len() || *bytes.last()? != END {
            return None;
        }
        let (mut at, mut entries) = (HEADER, 0_usize);
        while at < bytes.len() - 1 {
            at += whole_entry(&bytes[at..bytes.len() - 1])?;
            entries += 1;
        }
        (count == UNCOUNTED || count as usize == entries).then(|| Self(Buffer::new(bytes)))
    }

    /// The bytes, as files have them.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many elements there are: O(1), O(n) from 65535 on.
    #[inline]
    pub fn len(&self) -> usize {
        match self.count() {
            UNCOUNTED => self.iter().count(),
            count => count as usize,
        }
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.len() == EMPTY
    }

    /// Bytes on the heap, in the allocator's classes. O(1).
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        self.0.capacity()
    }

    /// Whether elements of `bytes` together may join: nobody may make a listpack of more than [`LISTPACK_MAX`].
    #[inline]
    pub fn has_room(&self, bytes: usize) -> bool {
        bytes <= LISTPACK_MAX && self.0.len() + bytes <= LISTPACK_MAX
    }

    /// Adds an element at the end. O(1) on the average.
    #[inline]
    pub fn push_back<'e>(&mut self, element: impl Into<Element<'e>>) {
        self.splice(self.end(), 0, &[element.into()]);
    }

    /// Adds an integer at the end.
    #[inline]
    pub fn push_int(&mut self, number: i64) {
        self.push_back(number);
    }

    /// Adds an element before the one at `position`, which may be the end; the answer is where it is now. O(n) for what is behind it.
    pub fn insert_before<'e>(
        &mut self,
        position: Position,
        element: impl Into<Element<'e>>,
    ) -> Position {
        self.splice(position, 0, &[element.into()])
    }

    /// Adds an element behind the one at `position`; the answer is where it is now. O(n) for what is behind it.
    pub fn insert_after<'e>(
        &mut self,
        position: Position,
        element: impl Into<Element<'e>>,
    ) -> Position {
        self.splice(self.skip(position), 0, &[element.into()])
    }

    /// Puts an element in the place of the one at `position`. O(n) for what is behind it, unless both take the same number of bytes.
    pub fn replace<'e>(&mut self, position: Position, element: impl Into<Element<'e>>) {
        self.splice(position, 1, &[element.into()]);
    }

    /// Removes `count` elements from `position` on, or as many as there are; the answer is where that is now that follows them, which
    /// may be the end. O(n) for what is behind them.
    pub fn remove(&mut self, position: Position, count: usize) -> Position {
        self.splice(position, count, &[]);
        position
    }

    /// Removes `count` elements from `position` on, or as many as there are, and puts others in their place, whose first is at
    /// `position` then. What is behind moves once.
    pub fn splice(
        &mut self,
        position: Position,
        count: usize,
        elements: &[Element<'_>],
    ) -> Position {
        let (from, end) = (position.at(), self.end().at());
        let (mut until, mut removed) = (from, 0);
        while removed < count && until < end {
            until = self.skip(Position::new(until)).at();
            removed += 1;
        }
        let size = elements.iter().map(|element| entry_size(*element)).sum();
        self.make_gap(from, until, size);
        self.write_all(from, elements);
        self.recount(removed, elements.len());
        position
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// The first element.
    #[inline]
    pub fn first(&self) -> Option<Position> {
        (!self.is_empty()).then_some(Position::new(HEADER))
    }

    /// The last element.
    #[inline]
    pub fn last(&self) -> Option<Position> {
        self.previous(self.end())
    }

    /// Behind the last element.
    #[inline]
    pub fn end(&self) -> Position {
        Position::new(self.0.len() - 1)
    }

    /// The element behind the one at `position`.
    #[inline]
    pub fn next(&self, position: Position) -> Option<Position> {
        let next = self.skip(position);
        (next < self.end()).then_some(next)
    }

    /// The element before `position`, which may be the end.
    #[inline]
    pub fn previous(&self, position: Position) -> Option<Position> {
        let at = position.at();
        (at > HEADER).then(|| Position::new(before(&self.0, at)))
    }

    /// The element with this index; -1 is the last. O(n) from the nearer end.
    pub fn seek(&self, index: i64) -> Option<Position> {
        let len = self.len() as i64;
        let index = if index < 0 { index.saturating_add(len) } else { index };
        if !(0..len).contains(&index) {
            return None;
        }
        if index <= len / 2 {
            (0..index).try_fold(self.first()?, |position, _| self.next(position))
        } else {
            (index + 1..len).try_fold(self.last()?, |position, _| self.previous(position))
        }
    }

    /// The element at `position`, which is not the end.
    #[inline]
    pub fn get(&self, position: Position) -> Element<'_> {
        decode(&self.0[position.at()..]).0
    }

    /// The first element from `from` on that spells `needle`, where `skip` elements are passed over behind each that is compared: 1 for
    /// the fields of a row of fields and values. O(n).
    pub fn find(&self, from: Position, needle: &[u8], skip: usize) -> Option<Position> {
        let (number, end) = (crate::number::parse_i64(needle), self.end());
        let mut position = from;
        while position < end {
            let (element, next) = decode_at(&self.0, position.at());
            let is_it = match element {
                Element::Int(found) => number == Some(found),
                Element::Bytes(bytes) => bytes == needle,
            };
            if is_it {
                return Some(position);
            }
            position = Position::new(next);
            for _ in 0..skip {
                if position < end {
                    position = self.skip(position);
                }
            }
        }
        None
    }

    /// All elements in order, from either end.
    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        self.between(Position::new(HEADER), self.end())
    }

    /// The elements from one position up to another, which may be the end and is not before the first.
    #[inline]
    pub fn between(&self, from: Position, until: Position) -> Iter<'_> {
        Iter { listpack: self, front: from, back: until }
    }

    fn count(&self) -> u16 {
        u16::from_le_bytes([self.0[4], self.0[5]])
    }

    /// The position behind the element at `position`, which is not the end.
    #[inline]
    fn skip(&self, position: Position) -> Position {
        Position::new(skip(&self.0, position.at()))
    }

    /// Makes the bytes from `from` to `until` `size` bytes long.
    fn make_gap(&mut self, from: usize, until: usize, size: usize) {
        let (old, new) = (self.0.len(), self.0.len() - (until - from) + size);
        assert!(u32::try_from(new).is_ok(), "whoever adds asks has_room first");
        if new > old {
            self.0.resize(new);
        }
        self.0.content_mut().copy_within(until - LENGTH..old - LENGTH, from + size - LENGTH);
        if new < old {
            self.0.resize(new);
        }
    }

    fn write_all(&mut self, from: usize, elements: &[Element<'_>]) {
        let mut at = from - LENGTH;
        for element in elements {
            at += Encoded::new(*element).write(&mut self.0.content_mut()[at..]);
        }
    }

    /// Brings the number of elements up to date. Once nobody has counted, nobody does until none is left.
    fn recount(&mut self, removed: usize, added: usize) {
        let count = match self.count() {
            _ if self.is_empty() => 0,
            UNCOUNTED => UNCOUNTED,
            count => (count as usize - removed + added).min(UNCOUNTED as usize) as u16,
        };
        self.0.content_mut()[..HEADER - LENGTH].copy_from_slice(&count.to_le_bytes());
    }
}

impl<'e, T: Into<Element<'e>>> Extend<T> for Listpack {
    fn extend<I: IntoIterator<Item = T>>(&mut self, elements: I) {
        elements.into_iter().for_each(|element| self.push_back(element));
    }
}

impl<'e, T: Into<Element<'e>>> FromIterator<T> for Listpack {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut listpack = Self::new();
        listpack.extend(elements);
        listpack
    }
}

impl<'a> IntoIterator for &'a Listpack {
    type Item = Element<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Elements of a listpack, from either end.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    listpack: &'a Listpack,
    front: Position,
    back: Position,
}

impl Iter<'_> {
    /// Where the element is that comes next, or the end of what is left.
    pub const fn position(&self) -> Position {
        self.front
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        if self.front >= self.back {
            return None;
        }
        let (element, next) = decode_at(&self.listpack.0, self.front.at());
        self.front = Position::new(next);
        Some(element)
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        self.back = self.listpack.previous(self.back)?;
        Some(self.listpack.get(self.back))
    }
}

impl FusedIterator for Iter<'_> {}

#[cfg(test)]
mod tests;
