//! An element: bytes, or the integer that they spell.

use crate::number::{DIGITS_MAX, digits, parse_i64, write_i64};
use std::cmp::Ordering;

/// An element of a listpack, or one on its way into it. Two are equal if they spell the same.
#[derive(Clone, Copy, Debug)]
pub enum Element<'a> {
    /// The decimal spelling of this number.
    Int(i64),
    /// These bytes.
    Bytes(&'a [u8]),
}

impl<'a> Element<'a> {
    /// The element that spells these bytes: an integer if they do.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        parse_i64(bytes).map_or(Self::Bytes(bytes), Self::Int)
    }

    /// How many bytes it spells.
    #[inline]
    pub const fn len(self) -> usize {
        match self {
            Self::Int(number) => digits(number),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether it spells nothing.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// What it spells; the buffer takes the digits of a number.
    #[inline]
    pub fn text<'b>(self, buffer: &'b mut [u8; DIGITS_MAX]) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Self::Int(number) => write_i64(number, buffer),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// Hands what it spells to `with`.
    #[inline]
    pub fn with_bytes<T>(self, with: impl FnOnce(&[u8]) -> T) -> T {
        with(self.text(&mut [0; DIGITS_MAX]))
    }

    /// Writes what it spells behind what is in `buffer`.
    #[inline]
    pub fn write_to(self, buffer: &mut Vec<u8>) {
        self.with_bytes(|bytes| buffer.extend_from_slice(bytes));
    }

    /// What it spells, in memory of its own.
    pub fn to_vec(self) -> Vec<u8> {
        self.with_bytes(<[u8]>::to_vec)
    }

    /// Whether it spells `bytes`.
    #[inline]
    pub fn equals(self, bytes: &[u8]) -> bool {
        match self {
            Self::Int(number) => parse_i64(bytes) == Some(number),
            Self::Bytes(own) => own == bytes,
        }
    }

    /// The integer that it spells, if it does.
    #[inline]
    pub fn int(self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(number),
            Self::Bytes(bytes) => parse_i64(bytes),
        }
    }

    /// Compares what it spells with `bytes`, byte by byte.
    #[inline]
    pub fn compare(self, bytes: &[u8]) -> Ordering {
        self.with_bytes(|own| own.cmp(bytes))
    }
}

impl PartialEq for Element<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (*self, *other) {
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Bytes(bytes), element) | (element, Self::Bytes(bytes)) => element.equals(bytes),
        }
    }
}

impl Eq for Element<'_> {}

impl PartialOrd for Element<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By the bytes that they spell.
impl Ord for Element<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.with_bytes(|bytes| self.compare(bytes))
    }
}

impl From<i64> for Element<'_> {
    #[inline]
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl<'a> From<&'a [u8]> for Element<'a> {
    #[inline]
    fn from(bytes: &'a [u8]) -> Self {
        Self::new(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Element<'a> {
    #[inline]
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::new(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Element<'a> {
    #[inline]
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::new(bytes)
    }
}
