//! Lengths, strings and the checksum.
//!
//! ```text
//! 00xxxxxx                      a length below 64
//! 01xxxxxx xxxxxxxx             a length below 16384, big-endian
//! 10000000 and four bytes       a length below 2^32, big-endian
//! 10000001 and eight bytes      any length, big-endian
//! 11000011                      a compressed string: its length, the length of what it stands for, and its bytes
//! 110000nn                      instead of a length: an integer of 1, 2 or 4 bytes, little-endian, that stands for its decimal text
//! ```

use std::borrow::Cow;

use crc_fast::CrcAlgorithm::Crc64Redis;
use russet_engine::number::{DIGITS_MAX, parse_i64, write_i64};

use crate::lzf;
pub use crate::lzf::Packer;

/// The checksum of dumps and snapshots: CRC-64 as Redis computes it.
pub fn crc64(bytes: &[u8]) -> u64 {
    crc_fast::checksum(Crc64Redis, bytes)
}

/// The checksum of bytes that come in pieces.
#[derive(Clone, Debug)]
pub struct Checksum(crc_fast::Digest);

impl Default for Checksum {
    fn default() -> Self {
        Self(crc_fast::Digest::new(Crc64Redis))
    }
}

impl Checksum {
    /// Adds a piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// Of all pieces so far.
    pub fn value(&self) -> u64 {
        self.0.finalize()
    }
}

pub(crate) const LENGTH_14: u8 = 0x40;
pub(crate) const LENGTH_32: u8 = 0x80;
pub(crate) const LENGTH_64: u8 = 0x81;
pub(crate) const ENCODED: u8 = 0xc0;
pub(crate) const COMPRESSED: u8 = 0xc3;
pub(crate) const KIND_MASK: u8 = 0xc0;
pub(crate) const LOW_MASK: u8 = 0x3f;

/// Why bytes are no value of this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end in the middle of something.
    #[error("the data ends in the middle of a value")]
    Truncated,
    /// A form that this format does not have, or that may not stand here.
    #[error("the byte {0:#04x} begins no form that may stand here")]
    UnknownForm(u8),
    /// A packed form that contradicts itself.
    #[error("a packed form contradicts itself")]
    Malformed,
    /// Something stands twice that may stand once.
    #[error("a member or a field stands twice")]
    Duplicate,
    /// A collection of nothing.
    #[error("a collection is empty")]
    Empty,
}

/// Appends a length.
pub fn write_length(out: &mut Vec<u8>, length: u64) {
    match length {
        0..64 => out.push(length.to_le_bytes()[0]),
        64..16_384 => {
            let [high, low] = u16::try_from(length).expect("below 16384").to_be_bytes();
            out.extend_from_slice(&[LENGTH_14 | high, low]);
        }
        _ => match u32::try_from(length) {
            Ok(length) => {
                out.push(LENGTH_32);
                out.extend_from_slice(&length.to_be_bytes());
            }
            Err(_) => {
                out.push(LENGTH_64);
                out.extend_from_slice(&length.to_be_bytes());
            }
        },
    }
}

/// Appends a string: as an integer where that is shorter, else its length and its bytes.
pub fn write_string(out: &mut Vec<u8>, bytes: &[u8]) {
    match parse_i64(bytes).and_then(|number| i32::try_from(number).ok()) {
        Some(number) => write_integer(out, number),
        None => write_plain(out, bytes),
    }
}

fn write_plain(out: &mut Vec<u8>, bytes: &[u8]) {
    write_length(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn write_integer(out: &mut Vec<u8>, number: i32) {
    if let Ok(number) = i8::try_from(number) {
        out.push(ENCODED);
        out.extend_from_slice(&number.to_le_bytes());
    } else if let Ok(number) = i16::try_from(number) {
        out.push(ENCODED | 1);
        out.extend_from_slice(&number.to_le_bytes());
    } else {
        out.push(ENCODED | 2);
        out.extend_from_slice(&number.to_le_bytes());
    }
}

/// Bytes that are added to.
#[derive(Debug)]
pub struct Sink<'a> {
    out: &'a mut Vec<u8>,
    packer: Option<&'a mut Packer>,
    /// Stands between the type of a value and its contents, in files.
    name: Option<&'a [u8]>,
}

impl<'a> Sink<'a> {
    /// Adds to these bytes; strings are compressed if there is a packer and it makes them shorter.
    pub fn new(out: &'a mut Vec<u8>, packer: Option<&'a mut Packer>) -> Self {
        Self { out, packer, name: None }
    }

    /// The same, for a value with a name.
    #[must_use]
    pub fn named(self, name: &'a [u8]) -> Self {
        Self { name: Some(name), ..self }
    }

    /// How many bytes there are.
    pub const fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Adds the type of a value, and its name if it has one.
    pub fn kind(&mut self, kind: u8) {
        self.raw(&[kind]);
        if let Some(name) = self.name {
            self.string(name);
        }
    }

    /// Adds bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Adds a length, or another number that is not below zero.
    pub fn length(&mut self, length: u64) {
        write_length(self.out, length);
    }

    /// Adds a word of eight bytes, little-endian.
    pub fn word(&mut self, word: u64) {
        self.raw(&word.to_le_bytes());
    }

    /// Adds the text of a number.
    pub fn number(&mut self, number: i64) {
        match i32::try_from(number) {
            Ok(number) => write_integer(self.out, number),
            Err(_) => write_plain(self.out, write_i64(number, &mut [0; DIGITS_MAX])),
        }
    }

    /// Adds a string in the shortest way there is.
    pub fn string(&mut self, bytes: &[u8]) {
        let packed = self.packer.as_mut().and_then(|packer| packer.pack(bytes));
        let Some(packed) = packed else { return write_string(self.out, bytes) };
        self.out.push(COMPRESSED);
        write_length(self.out, packed.len() as u64);
        write_length(self.out, bytes.len() as u64);
        self.out.extend_from_slice(packed);
    }

    /// Adds a string that lies in pieces.
    pub fn pieces(&mut self, len: usize, pieces: impl Iterator<Item = impl AsRef<[u8]>>) {
        if self.packer.is_some() {
            let mut whole = Vec::with_capacity(len);
            pieces.for_each(|piece| whole.extend_from_slice(piece.as_ref()));
            return self.string(&whole);
        }
        self.length(len as u64);
        pieces.for_each(|piece| self.raw(piece.as_ref()));
    }
}

/// Bytes that are read from the front.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    left: &'a [u8],
}

impl<'a> Source<'a> {
    /// Reads these bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// How many bytes are left.
    pub const fn left(&self) -> usize {
        self.left.len()
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, left) = self.left.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.left = left;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, left) = self.left.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.left = left;
        Ok(*taken)
    }

    /// A length.
    pub fn length(&mut self) -> Result<u64, DecodeError> {
        let [first] = self.array()?;
        match (first & KIND_MASK, first) {
            (0, _) => Ok(u64::from(first)),
            (LENGTH_14, _) => {
                let [low] = self.array()?;
                Ok(u64::from(u16::from_be_bytes([first & LOW_MASK, low])))
            }
            (_, LENGTH_32) => Ok(u64::from(u32::from_be_bytes(self.array()?))),
            (_, LENGTH_64) => Ok(u64::from_be_bytes(self.array()?)),
            _ => Err(DecodeError::UnknownForm(first)),
        }
    }

    /// A word of eight bytes, little-endian.
    pub fn word(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// An error unless all bytes have been read.
    pub const fn end(&self) -> Result<(), DecodeError> {
        if self.left.is_empty() { Ok(()) } else { Err(DecodeError::Malformed) }
    }

    /// The count that comes next, without going on; no more than there are bytes.
    pub fn count(&self) -> Result<usize, DecodeError> {
        let count = Self::new(self.left).length()?;
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= self.left())
            .ok_or(DecodeError::Truncated)
    }

    /// Reads a count, and then so many things.
    pub fn each(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let count = self.length()?;
        (0..count).try_for_each(|_| read(self))
    }

    /// A string; borrowed where its bytes stand as they are.
    pub fn text(&mut self) -> Result<Cow<'a, [u8]>, DecodeError> {
        let first = *self.left.first().ok_or(DecodeError::Truncated)?;
        if first == COMPRESSED {
            return self.compressed().map(Cow::Owned);
        }
        if first & KIND_MASK == ENCODED {
            return self.integer().map(|number| Cow::Owned(number.to_string().into_bytes()));
        }
        let length = usize::try_from(self.length()?).map_err(|_| DecodeError::Truncated)?;
        self.take(length).map(Cow::Borrowed)
    }

    fn compressed(&mut self) -> Result<Vec<u8>, DecodeError> {
        self.take(1)?;
        let (packed, length) = (self.length()?, self.length()?);
        let packed = usize::try_from(packed).map_err(|_| DecodeError::Truncated)?;
        let length = usize::try_from(length).map_err(|_| DecodeError::Malformed)?;
        lzf::expand(self.take(packed)?, length)
    }

    fn integer(&mut self) -> Result<i32, DecodeError> {
        let [form] = self.array()?;
        match form & LOW_MASK {
            0 => Ok(i32::from(i8::from_le_bytes(self.array()?))),
            1 => Ok(i32::from(i16::from_le_bytes(self.array()?))),
            2 => Ok(i32::from_le_bytes(self.array()?)),
            _ => Err(DecodeError::UnknownForm(form)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_checksum_is_redis() {
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }

    /// As the definition has it.
    fn bit_by_bit(bytes: &[u8]) -> u64 {
        const REFLECTED: u64 = 0x95ac_9329_ac4b_c9b5;
        let step = |crc: u64, _| (crc >> 1) ^ if crc & 1 == 1 { REFLECTED } else { 0 };
        bytes.iter().fold(0, |crc, byte| (0..8).fold(crc ^ u64::from(*byte), step))
    }

    proptest! {
        #[test]
        fn the_checksum_is_the_same_however_the_bytes_come(
            bytes in proptest::collection::vec(any::<u8>(), 0..3000),
            cut in any::<proptest::sample::Index>(),
        ) {
            let (one, other) = bytes.split_at(cut.index(bytes.len().saturating_add(1)));
            let mut pieces = Checksum::default();
            pieces.update(one);
            pieces.update(other);
            prop_assert_eq!(pieces.value(), bit_by_bit(&bytes));
            prop_assert_eq!(crc64(&bytes), bit_by_bit(&bytes));
        }
    }

    #[test]
    fn lengths_take_the_form_that_the_page_shows() {
        let written = |length| {
            let mut out = Vec::new();
            write_length(&mut out, length);
            out
        };
        assert_eq!(written(63), [63]);
        assert_eq!(written(64), [0x40, 64]);
        assert_eq!(written(16_384), [0x80, 0, 0, 0x40, 0]);
        assert_eq!(written(1 << 32), [0x81, 0, 0, 0, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn a_length_beyond_the_data_is_refused_before_anything_is_allocated() {
        assert_eq!(
            Source::new(&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0]).text(),
            Err(DecodeError::Truncated)
        );
        assert_eq!(Source::new(&[0xc4]).text(), Err(DecodeError::UnknownForm(0xc4)));
        assert_eq!(Source::new(&[]).text(), Err(DecodeError::Truncated));
    }

    proptest! {
        #[test]
        fn lengths_come_back(length: u64) {
            let mut out = Vec::new();
            write_length(&mut out, length);
            let mut source = Source::new(&out);
            prop_assert_eq!(source.length(), Ok(length));
            prop_assert_eq!(source.left(), 0);
        }

        #[test]
        fn strings_come_back(bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            any::<i64>().prop_map(|n| n.to_string().into_bytes()),
            any::<i16>().prop_map(|n| n.to_string().into_bytes()),
            Just(b"-0".to_vec()), Just(b"+1".to_vec()), Just(b"007".to_vec()),
        ]) {
            let mut out = Vec::new();
            write_string(&mut out, &bytes);
            let mut source = Source::new(&out);
            prop_assert_eq!(source.text(), Ok(Cow::Owned(bytes)));
            prop_assert_eq!(source.left(), 0);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut source = Source::new(&bytes);
            while source.text().is_ok() {}
        }
    }
}
