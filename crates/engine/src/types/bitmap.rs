//! Bitmaps: strings, read and changed bit by bit.
//!
//! Bit 0 is the highest of the first byte. A string is looked at in pieces of at most [`CHUNK`] bytes, each of which begins at a multiple
//! of that: a short string is one piece, a number the digits that spell it, a large string its chunks. Nothing is ever put together, so
//! counting, searching and combining cost a pass over the bytes that are there, and a gap of zeros costs no memory.
//!
//! The inner loops are written so that they become vector instructions: whole words or blocks, no branch within a block.

mod combine;
mod field;

pub use combine::{Combined, Operation, combine};
pub use field::{Field, Overflow};

use crate::collections::chunks::{CHUNK, Chunks};
use crate::entry::{Entry, INLINE_MAX};
use crate::number::{DIGITS_MAX, write_i64};
use crate::types::string::write_at;
use crate::value::View;

/// A short string is one piece.
const _: () = assert!(INLINE_MAX <= CHUNK);

/// Bytes that are looked at together when a bit is searched.
const BLOCK: usize = 64;

/// A string as bits, to be read. The default has none.
#[derive(Clone, Copy, Debug)]
pub enum Bitmap<'a> {
    /// At most one piece.
    Short(&'a [u8]),
    /// A number's digits, and how many there are.
    Digits([u8; DIGITS_MAX], usize),
    /// Many pieces.
    Large(&'a Chunks),
}

impl Default for Bitmap<'_> {
    fn default() -> Self {
        Self::Short(&[])
    }
}

impl<'a> Bitmap<'a> {
    /// The bits of a string; `None` of a collection.
    pub fn of(view: View<'a>) -> Option<Self> {
        Some(match view {
            View::Short(bytes) => Self::Short(bytes),
            View::Chunks(chunks) => Self::Large(chunks),
            View::Int(number) => {
                let mut digits = [0; DIGITS_MAX];
                let len = write_i64(number, &mut digits).len();
                Self::Digits(digits, len)
            }
            View::Object(_) => return None,
        })
    }

    /// Number of bytes.
    pub const fn len(&self) -> usize {
        match self {
            Self::Short(bytes) => bytes.len(),
            Self::Digits(_, len) => *len,
            Self::Large(chunks) => chunks.len(),
        }
    }

    /// Whether there are no bytes.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The piece with this number; empty behind the end.
    fn piece(&self, number: usize) -> &[u8] {
        match (self, number) {
            (Self::Short(bytes), 0) => bytes,
            (Self::Digits(digits, len), 0) => &digits[..*len],
            (Self::Large(chunks), _) => chunks.chunks().get(number).map_or(&[], |chunk| chunk),
            _ => &[],
        }
    }

    /// The byte at this index; zero behind the end.
    pub fn byte(&self, index: usize) -> u8 {
        self.piece(index / CHUNK).get(index % CHUNK).copied().unwrap_or(0)
    }

    /// The bit at this offset; behind the end there are none.
    pub fn bit(&self, offset: usize) -> bool {
        self.byte(offset / 8) & mask(offset) != 0
    }

    /// The bytes from `from` until before `until`, as far as there are any, in pieces, each with the index of its first byte.
    fn pieces(&self, from: usize, until: usize) -> impl Iterator<Item = (usize, &[u8])> {
        let until = until.min(self.len());
        let pieces = if from < until { from / CHUNK..until.div_ceil(CHUNK) } else { 0..0 };
        pieces.map(move |number| {
            let base = number * CHUNK;
            let begin = from.max(base);
            (begin, &self.piece(number)[begin - base..until.min(base + CHUNK) - base])
        })
    }

    /// How many bits are set from `from` until before `until`. O(n) in bytes.
    pub fn count(&self, from: usize, until: usize) -> u64 {
        let until = until.min(self.len() * 8);
        if from >= until {
            return 0;
        }
        let whole = self.pieces(from / 8, until.div_ceil(8)).map(|(_, piece)| count_ones(piece));
        let before = self.byte(from / 8) & !below(from);
        let behind = if until.is_multiple_of(8) { 0 } else { self.byte(until / 8) & below(until) };
        whole.sum::<u64>() - u64::from(before.count_ones() + behind.count_ones())
    }

    /// The offset of the first bit from `from` until before `until` that is set, or that is not. Behind the end there are no bits. O(n).
    pub fn find(&self, is_set: bool, from: usize, until: usize) -> Option<usize> {
        let until = until.min(self.len() * 8);
        if from >= until {
            return None;
        }
        // Seen through `flip`, what is looked for is a one.
        let flip = if is_set { 0 } else { 0xff };
        let found = |index: usize, byte: u8| {
            let offset = index * 8 + byte.leading_zeros() as usize;
            (offset < until).then_some(offset)
        };
        let first = (self.byte(from / 8) ^ flip) & below(from);
        if first != 0 {
            return found(from / 8, first);
        }
        self.pieces(from / 8 + 1, until.div_ceil(8)).find_map(|(base, piece)| {
            first_other(piece, flip).map(|at| found(base + at, piece[at] ^ flip))
        })?
    }
}

/// The mask of a bit in its byte.
const fn mask(offset: usize) -> u8 {
    0x80 >> (offset % 8)
}

/// The mask of a bit and of those behind it in its byte.
const fn below(offset: usize) -> u8 {
    0xff >> (offset % 8)
}

/// How many bits of `bytes` are set.
pub fn count_ones(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let of_words: u64 =
        words.iter().map(|word| u64::from(u64::from_le_bytes(*word).count_ones())).sum();
    let of_rest: u32 = rest.iter().map(|byte| byte.count_ones()).sum();
    of_words + u64::from(of_rest)
}

/// The index of the first byte that is not `byte`.
fn first_other(bytes: &[u8], byte: u8) -> Option<usize> {
    let differs =
        |block: &[u8; BLOCK]| block.iter().fold(0, |sum, other| sum | (other ^ byte)) != 0;
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    let skipped = blocks.iter().position(differs).unwrap_or(blocks.len()) * BLOCK;
    bytes[skipped..].iter().position(|other| *other != byte).map(|at| skipped + at)
}

/// Sets or clears a bit of a string, which grows as needed. Answers what the bit was, and whether anything changed; `None`, and nothing
/// done, for a collection.
pub fn set_bit(entry: &mut Entry, offset: usize, is_set: bool) -> Option<(bool, bool)> {
    let bitmap = Bitmap::of(entry.view())?;
    let index = offset / 8;
    let (old, is_beyond) = (bitmap.byte(index), index >= bitmap.len());
    let new = if is_set { old | mask(offset) } else { old & !mask(offset) };
    let has_changed = is_beyond || new != old;
    // Written in any case: what SETBIT has touched is raw from then on.
    if has_changed || entry.encoding() != "raw" {
        write_at(entry, index, &[new]);
    }
    Some((old & mask(offset) != 0, has_changed))
}

/// Extends a string with zeros to at least `len` bytes, of which there must be one. Says whether it grew; raw it is in any case.
pub fn grow(entry: &mut Entry, len: usize) -> bool {
    let is_shorter = Bitmap::of(entry.view()).is_some_and(|bitmap| bitmap.len() < len);
    if is_shorter {
        write_at(entry, len - 1, &[0]);
    } else if entry.encoding() != "raw" {
        let first = Bitmap::of(entry.view()).map_or(0, |bitmap| bitmap.byte(0));
        write_at(entry, 0, &[first]);
    }
    is_shorter
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::string_value;
    use proptest::prelude::*;

    fn bits_of(bytes: &[u8]) -> Vec<bool> {
        bytes.iter().flat_map(|byte| (0..8).map(move |n| byte & (0x80 >> n) != 0)).collect()
    }

    fn slow_find(bits: &[bool], is_set: bool, from: usize, until: usize) -> Option<usize> {
        (from..until.min(bits.len())).find(|at| bits[*at] == is_set)
    }

    #[test]
    fn numbers_are_read_as_their_digits() {
        let bitmap = Bitmap::of(View::Int(-12)).unwrap();
        assert_eq!(bitmap.len(), 3);
        assert_eq!(bitmap.count(0, 24), u64::from(b"-12".map(u8::count_ones).iter().sum::<u32>()));
        assert!(!bitmap.bit(0));
        assert!(bitmap.bit(2));
        assert!(!bitmap.bit(24));
    }

    #[test]
    fn a_bit_far_out_costs_no_memory_of_its_own() {
        let mut entry = Entry::new(b"k", string_value(b""), None);
        let last = (1_usize << 32) - 1;
        assert_eq!(set_bit(&mut entry, last, true), Some((false, true)));
        assert_eq!(set_bit(&mut entry, last, true), Some((true, false)));
        let bitmap = Bitmap::of(entry.view()).unwrap();
        assert_eq!(bitmap.len(), 1 << 29);
        assert_eq!(bitmap.find(true, last - 1, usize::MAX), Some(last));
        assert_eq!(bitmap.find(true, 0, last), None);
        assert_eq!(bitmap.find(false, last, usize::MAX), None);
    }

    /// Strings with long stretches of the same byte, of many pieces and of a few bytes.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let run = (prop_oneof![Just(0_u8), Just(0xff), any::<u8>()], 0_usize..9_000);
        let runs = proptest::collection::vec(run, 0..8)
            .prop_map(|runs| runs.iter().flat_map(|(b, n)| vec![*b; *n]).collect());
        prop_oneof![runs, proptest::collection::vec(any::<u8>(), 0..20)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn counts_and_finds_as_the_slow_twin(bytes in bytes(), places in proptest::collection::vec((0_usize..600_000, 0_usize..600_000, any::<bool>()), 1..8)) {
            let chunks = Chunks::from_slice(&bytes);
            let twin = bits_of(&bytes);
            let short = (bytes.len() <= INLINE_MAX).then_some(Bitmap::Short(&bytes));
            for bitmap in short.into_iter().chain([Bitmap::Large(&chunks)]) {
                for (from, until, is_set) in &places {
                    let (from, until) = (from % (twin.len() + 9), until % (twin.len() + 9));
                    let inside = twin.get(from..until.min(twin.len())).unwrap_or_default();
                    let expected = inside.iter().filter(|bit| **bit).count() as u64;
                    prop_assert_eq!(bitmap.count(from, until), expected);
                    prop_assert_eq!(bitmap.find(*is_set, from, until), slow_find(&twin, *is_set, from, until));
                    prop_assert_eq!(bitmap.bit(from), twin.get(from).copied().unwrap_or(false));
                }
            }
        }

        #[test]
        fn setting_bits_does_what_it_does_to_a_vec(steps in proptest::collection::vec((0_usize..200_000, any::<bool>()), 1..40)) {
            let mut entry = Entry::new(b"k", string_value(b"7"), None);
            let mut twin = bits_of(b"7");
            for (offset, is_set) in steps {
                let len = twin.len().max((offset / 8 + 1) * 8);
                let grows = len > twin.len();
                twin.resize(len, false);
                let old = std::mem::replace(&mut twin[offset], is_set);
                prop_assert_eq!(set_bit(&mut entry, offset, is_set), Some((old, grows || old != is_set)));
            }
            let bitmap = Bitmap::of(entry.view()).unwrap();
            prop_assert_eq!(bitmap.len() * 8, twin.len());
            prop_assert!((0..twin.len()).all(|at| bitmap.bit(at) == twin[at]));
        }
    }
}
