//! One element of a listpack, to the byte: how it is spelled, and its length behind it.
//!
//! ```text
//! 0xxxxxxx                    0 to 127                          110xxxxx +1   13 bits, signed
//! 10xxxxxx + bytes            text of up to 63                  11110001 +2   16 bits, and so on: 24, 32, 64
//! 1110xxxx +1 + bytes         text of up to 4095                11110000 +4 + bytes   text of any length
//! ```
//!
//! Text that spells an integer as Redis does is kept as that integer. The length behind takes seven bits a byte, most significant
//! first, every byte but the first with its high bit set, so that it is read backwards.

use crate::number::{DIGITS_MAX, parse_i64, write_i64};

/// The byte behind the last element.
pub(super) const END: u8 = 0xff;

/// An element, to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element<'a> {
    /// Bytes.
    Text(&'a [u8]),
    /// An integer; to clients it is its decimal spelling.
    Int(i64),
}

impl<'a> Element<'a> {
    /// The bytes that a client sees; `buffer` is for those of an integer.
    pub fn bytes<'b>(self, buffer: &'b mut [u8; DIGITS_MAX]) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Self::Text(text) => text,
            Self::Int(number) => write_i64(number, buffer),
        }
    }

    /// Whether a client sees these bytes.
    #[inline]
    pub fn is(self, bytes: &[u8]) -> bool {
        match self {
            Self::Text(text) => text == bytes,
            Self::Int(number) => parse_i64(bytes) == Some(number),
        }
    }

    /// The number; 0 for text, which no field of numbers in a block that was checked holds.
    #[inline]
    pub(super) const fn int(self) -> i64 {
        match self {
            Self::Text(_) => 0,
            Self::Int(number) => number,
        }
    }
}

/// The element at `at`, and where the next begins.
#[inline]
pub(super) fn decode(bytes: &[u8], at: usize) -> (Element<'_>, usize) {
    let first = bytes[at];
    if first < 0x80 {
        return (Element::Int(i64::from(first)), at + 2);
    }
    let (head, len) = shape(bytes, at);
    let next = at + head + len + behind_len(head + len);
    if is_text(first) {
        return (Element::Text(&bytes[at + head..at + head + len]), next);
    }
    let number = match first {
        0xc0..=0xdf => signed(u64::from(first & 0x1f) << 8 | u64::from(bytes[at + 1]), 13),
        _ => little(&bytes[at + 1..at + 1 + len]),
    };
    (Element::Int(number), next)
}

/// Where the element behind the one at `at` begins.
#[inline]
pub(super) fn skip(bytes: &[u8], at: usize) -> usize {
    let first = bytes[at];
    // Small numbers and short text, nearly always.
    if first < 0x80 {
        return at + 2;
    }
    if first < 0xc0 {
        return at + 2 + usize::from(first & 0x3f);
    }
    let (head, len) = shape(bytes, at);
    at + head + len + behind_len(head + len)
}

/// Where the element begins that ends at `at`.
#[inline]
pub(super) fn before(bytes: &[u8], at: usize) -> usize {
    let (mut len, mut shift, mut from) = (0, 0, at - 1);
    loop {
        let byte = bytes[from];
        len |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return from - len;
        }
        shift += 7;
        from -= 1;
    }
}

/// Whether an element that begins so is text.
const fn is_text(first: u8) -> bool {
    matches!(first, 0x80..=0xbf | 0xe0..=0xf0)
}

/// How many bytes stand before the content of an element, and how many are the content.
#[inline]
fn shape(bytes: &[u8], at: usize) -> (usize, usize) {
    let first = bytes[at];
    match first {
        0x00..=0x7f => (1, 0),
        0x80..=0xbf => (1, usize::from(first & 0x3f)),
        0xc0..=0xdf => (1, 1),
        0xe0..=0xef => (2, usize::from(first & 0x0f) << 8 | usize::from(bytes[at + 1])),
        0xf0 => {
            let len: [u8; 4] = bytes[at + 1..at + 5].try_into().expect("four bytes");
            (5, u32::from_le_bytes(len) as usize)
        }
        0xf1 => (1, 2),
        0xf2 => (1, 3),
        0xf3 => (1, 4),
        _ => (1, 8),
    }
}

/// A number of as many bytes, least significant first, signed.
fn little(bytes: &[u8]) -> i64 {
    let number = bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    signed(number, bytes.len() as u32 * 8)
}

const fn signed(number: u64, bits: u32) -> i64 {
    (number << (64 - bits)) as i64 >> (64 - bits)
}

/// How many bytes the length of an element takes behind it.
#[inline]
const fn behind_len(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// Adds an element at the end.
#[inline]
pub(super) fn push(buffer: &mut Vec<u8>, text: &[u8]) {
    // Only digits and a sign begin a number, and no number is longer than this.
    if text.len() <= DIGITS_MAX
        && let Some(number) = parse_i64(text)
    {
        return push_int(buffer, number);
    }
    let len = text.len();
    if len < 64 {
        buffer.push(0x80 | len as u8);
        buffer.extend_from_slice(text);
        buffer.push(len as u8 + 1);
        return;
    }
    if len < 4096 {
        buffer.extend_from_slice(&[0xe0 | (len >> 8) as u8, len as u8]);
        push_text(buffer, text, len + 2);
    } else {
        buffer.push(0xf0);
        buffer.extend_from_slice(&(len as u32).to_le_bytes());
        push_text(buffer, text, len + 5);
    }
}

fn push_text(buffer: &mut Vec<u8>, text: &[u8], len: usize) {
    buffer.extend_from_slice(text);
    push_behind(buffer, len);
}

/// Adds an integer at the end.
#[inline]
pub(super) fn push_int(buffer: &mut Vec<u8>, number: i64) {
    if (0..128).contains(&number) {
        buffer.extend_from_slice(&[number as u8, 1]);
        return;
    }
    let bytes = number.to_le_bytes();
    match number {
        -0x1000..=0x0fff => {
            buffer.extend_from_slice(&[0xc0 | (bytes[1] & 0x1f), bytes[0], 2]);
        }
        -0x8000..=0x7fff => push_bytes(buffer, 0xf1, &bytes[..2]),
        -0x80_0000..=0x7f_ffff => push_bytes(buffer, 0xf2, &bytes[..3]),
        -0x8000_0000..=0x7fff_ffff => push_bytes(buffer, 0xf3, &bytes[..4]),
        _ => push_bytes(buffer, 0xf4, &bytes),
    }
}

fn push_bytes(buffer: &mut Vec<u8>, first: u8, bytes: &[u8]) {
    buffer.push(first);
    buffer.extend_from_slice(bytes);
    buffer.push(bytes.len() as u8 + 1);
}

/// Adds the length of the element that has just been written.
fn push_behind(buffer: &mut Vec<u8>, len: usize) {
    let width = behind_len(len);
    for nth in (0..width).rev() {
        let more = if nth + 1 == width { 0 } else { 0x80 };
        buffer.push((len >> (nth * 7)) as u8 & 0x7f | more);
    }
}

/// Where the next element begins if there is a whole one at `at`, its length behind it included, that ends before `bytes` does: for
/// what comes from outside.
pub(super) fn check(bytes: &[u8], at: usize) -> Option<usize> {
    let head = bytes.get(at..)?;
    let enough = match head.first()? {
        0xe0..=0xef => 2,
        0xf0 => 5,
        0xf5..=0xff => return None,
        _ => 1,
    };
    if head.len() < enough {
        return None;
    }
    let (head, len) = shape(bytes, at);
    let end = at.checked_add(head)?.checked_add(len)?;
    let mut behind = Vec::new();
    push_behind(&mut behind, head + len);
    let next = end.checked_add(behind.len())?;
    (bytes.get(end..next)? == behind && next < bytes.len()).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(text: &[u8]) {
        let mut buffer = vec![7];
        push(&mut buffer, text);
        let end = buffer.len();
        buffer.push(END);
        let (element, next) = decode(&buffer, 1);
        assert_eq!(next, end);
        assert_eq!(skip(&buffer, 1), end);
        assert_eq!(before(&buffer, end), 1);
        assert_eq!(check(&buffer, 1), Some(end));
        assert!(element.is(text));
        assert_eq!(element.bytes(&mut [0; DIGITS_MAX]), text);
        assert_eq!(matches!(element, Element::Int(_)), parse_i64(text).is_some());
    }

    #[test]
    fn elements_at_the_edges_survive() {
        for len in
            [0, 1, 63, 64, 125, 126, 127, 4095, 4096, 16_377, 16_378, 16_379, 2_097_146, 2_097_147]
        {
            round_trip(&vec![b'x'; len]);
        }
        for bits in [7, 12, 15, 23, 31, 62] {
            for number in [(1_i64 << bits) - 1, 1 << bits, -(1 << bits), -(1 << bits) - 1] {
                round_trip(number.to_string().as_bytes());
            }
        }
        round_trip(i64::MIN.to_string().as_bytes());
        round_trip(i64::MAX.to_string().as_bytes());
    }

    #[test]
    fn elements_are_spelled_as_in_redis() {
        let spelled = |text: &[u8]| {
            let mut buffer = Vec::new();
            push(&mut buffer, text);
            buffer
        };
        assert_eq!(spelled(b"5"), [5, 1]);
        assert_eq!(spelled(b"-1"), [0xdf, 0xff, 2]);
        assert_eq!(spelled(b"1000"), [0xc3, 0xe8, 2]);
        assert_eq!(spelled(b"32767"), [0xf1, 0xff, 0x7f, 3]);
        assert_eq!(spelled(b"abc"), [0x83, b'a', b'b', b'c', 4]);
        assert_eq!(spelled(&[b'x'; 200])[..2], [0xe0, 200]);
        assert_eq!(spelled(&[b'x'; 200])[202..], [1, 0xca]);
    }

    proptest! {
        #[test]
        fn elements_survive(number: i64, shift in 0_u32..64, text in proptest::collection::vec(any::<u8>(), 0..200)) {
            round_trip((number >> shift).to_string().as_bytes());
            round_trip(&text);
        }

        #[test]
        fn what_is_no_element_is_refused_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            let _ = check(&bytes, 0);
        }
    }
}
