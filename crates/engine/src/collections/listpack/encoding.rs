//! Entries of a listpack, to the byte: for [`super::Listpack`], and for blocks of streams, which are listpacks that only grow.

use super::Element;

/// Two bytes: an encoding and the low half of a length or a number.
const BYTES_12: u8 = 0xe0;
const BYTES_6: u8 = 0x80;
const BYTES_32: u8 = 0xf0;
const INT_13: u8 = 0xc0;
const INT_16: u8 = 0xf1;
const INT_24: u8 = 0xf2;
const INT_32: u8 = 0xf3;
const INT_64: u8 = 0xf4;

/// The longest encoding without content: an integer of eight bytes.
const HEAD_MAX: usize = 9;

/// An entry that is about to be written.
pub(super) struct Encoded<'a> {
    head: [u8; HEAD_MAX],
    head_size: usize,
    bytes: &'a [u8],
}

impl<'a> Encoded<'a> {
    #[inline]
    pub(super) fn new(element: Element<'a>) -> Self {
        match element {
            Element::Int(number) => Self::of_int(number),
            Element::Bytes(bytes) => Self::of_bytes(bytes),
        }
    }

    fn of_bytes(bytes: &'a [u8]) -> Self {
        let mut head = [0; HEAD_MAX];
        let len = bytes.len();
        let head_size = match len {
            0..64 => {
                head[0] = BYTES_6 | len as u8;
                1
            }
            64..4096 => {
                head[0] = BYTES_12 | (len >> 8) as u8;
                head[1] = len as u8;
                2
            }
            _ => {
                head[0] = BYTES_32;
                head[1..5].copy_from_slice(&(len as u32).to_le_bytes());
                5
            }
        };
        Self { head, head_size, bytes }
    }

    fn of_int(number: i64) -> Self {
        let mut head = [0; HEAD_MAX];
        let head_size = int_size(number);
        head[1..].copy_from_slice(&number.to_le_bytes());
        match head_size {
            1 => head[0] = number as u8,
            2 => {
                head[1] = number as u8;
                head[0] = INT_13 | ((number >> 8) & 0x1f) as u8;
            }
            3 => head[0] = INT_16,
            4 => head[0] = INT_24,
            5 => head[0] = INT_32,
            _ => head[0] = INT_64,
        }
        Self { head, head_size, bytes: &[] }
    }

    /// Writes the entry to the front of `target`; the answer is its size.
    #[inline]
    pub(super) fn write(&self, target: &mut [u8]) -> usize {
        let size = self.head_size + self.bytes.len();
        target[..self.head_size].copy_from_slice(&self.head[..self.head_size]);
        target[self.head_size..size].copy_from_slice(self.bytes);
        size + write_length(size, &mut target[size..])
    }
}

/// Adds an entry at the end of a buffer.
#[inline]
pub(crate) fn push(buffer: &mut Vec<u8>, element: Element<'_>) {
    match element {
        // Small numbers and short text, nearly always.
        Element::Int(number @ 0..=127) => buffer.extend_from_slice(&[number as u8, 1]),
        Element::Bytes(bytes) if bytes.len() < 64 => {
            buffer.push(BYTES_6 | bytes.len() as u8);
            buffer.extend_from_slice(bytes);
            buffer.push(bytes.len() as u8 + 1);
        }
        _ => push_any(buffer, &Encoded::new(element)),
    }
}

fn push_any(buffer: &mut Vec<u8>, encoded: &Encoded<'_>) {
    let mut length = [0; 5];
    let groups = write_length(encoded.head_size + encoded.bytes.len(), &mut length);
    buffer.extend_from_slice(&encoded.head[..encoded.head_size]);
    buffer.extend_from_slice(encoded.bytes);
    buffer.extend_from_slice(&length[..groups]);
}

/// Bytes of an integer with its encoding.
const fn int_size(number: i64) -> usize {
    match number {
        0..=127 => 1,
        -4096..=4095 => 2,
        -0x8000..=0x7fff => 3,
        -0x80_0000..=0x7f_ffff => 4,
        -0x8000_0000..=0x7fff_ffff => 5,
        _ => 9,
    }
}

/// Bytes of the entry that this element makes.
#[inline]
pub(super) const fn entry_size(element: Element<'_>) -> usize {
    let size = match element {
        Element::Int(number) => int_size(number),
        Element::Bytes(bytes) => match bytes.len() {
            len @ 0..64 => 1 + len,
            len @ 64..4096 => 2 + len,
            len => 5 + len,
        },
    };
    size + length_size(size)
}

/// Bytes of the length behind a content of `size` bytes.
#[inline]
const fn length_size(size: usize) -> usize {
    match size {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

fn write_length(size: usize, target: &mut [u8]) -> usize {
    let groups = length_size(size);
    for (nth, byte) in target[..groups].iter_mut().enumerate() {
        let more = if nth == 0 { 0 } else { 0x80 };
        *byte = (size >> (7 * (groups - 1 - nth))) as u8 & 0x7f | more;
    }
    groups
}

/// The length that stands at the end of `before`, which is not empty and ends with an entry.
#[inline]
fn length_behind(before: &[u8]) -> usize {
    let mut size = 0;
    for (nth, byte) in before.iter().rev().take(5).enumerate() {
        size |= ((byte & 0x7f) as usize) << (7 * nth);
        if byte & 0x80 == 0 {
            break;
        }
    }
    size
}

/// The element at the front of `bytes`, which begin with a whole entry, and the size of its encoding and content.
#[inline]
pub(super) fn decode(bytes: &[u8]) -> (Element<'_>, usize) {
    let first = bytes[0];
    match first {
        0..=0x7f => (Element::Int(first as i64), 1),
        0x80..=0xbf => content(bytes, 1, (first & 0x3f) as usize),
        0xc0..=0xdf => {
            let number = ((first & 0x1f) as i16) << 8 | bytes[1] as i16;
            (Element::Int((number << 3 >> 3) as i64), 2)
        }
        0xe0..=0xef => content(bytes, 2, ((first & 0x0f) as usize) << 8 | bytes[1] as usize),
        BYTES_32 => content(bytes, 5, little_endian::<4>(bytes) as u32 as usize),
        INT_16 => (Element::Int(little_endian::<2>(bytes)), 3),
        INT_24 => (Element::Int(little_endian::<3>(bytes)), 4),
        INT_32 => (Element::Int(little_endian::<4>(bytes)), 5),
        _ => (Element::Int(little_endian::<8>(bytes)), 9),
    }
}

/// The element of the entry at `at`, and where the next begins.
#[inline]
pub(crate) fn decode_at(bytes: &[u8], at: usize) -> (Element<'_>, usize) {
    let (element, size) = decode(&bytes[at..]);
    (element, at + size + length_size(size))
}

/// Where the entry behind the one at `at` begins.
#[inline]
pub(crate) fn skip(bytes: &[u8], at: usize) -> usize {
    let first = bytes[at];
    // Small numbers and short text, nearly always.
    if first < 0x80 {
        return at + 2;
    }
    if first < 0xc0 {
        return at + 2 + usize::from(first & 0x3f);
    }
    decode_at(bytes, at).1
}

/// Where the entry begins that ends at `at`, which is not the first entry's place.
#[inline]
pub(crate) fn before(bytes: &[u8], at: usize) -> usize {
    let size = length_behind(&bytes[..at]);
    at - size - length_size(size)
}

#[inline]
fn content(bytes: &[u8], head: usize, len: usize) -> (Element<'_>, usize) {
    (Element::Bytes(&bytes[head..head + len]), head + len)
}

/// The signed number of `N` bytes behind the first.
#[inline]
fn little_endian<const N: usize>(bytes: &[u8]) -> i64 {
    let mut wide = [0; 8];
    wide[8 - N..].copy_from_slice(&bytes[1..=N]);
    i64::from_le_bytes(wide) >> (64 - 8 * N)
}

/// The size of the entry at the front of `bytes`, if it is whole: nothing of them is believed.
pub(crate) fn whole_entry(bytes: &[u8]) -> Option<usize> {
    let size = match *bytes.first()? {
        0..=0x7f => 1,
        first @ 0x80..=0xbf => 1 + (first & 0x3f) as usize,
        0xc0..=0xdf => 2,
        first @ 0xe0..=0xef => 2 + (((first & 0x0f) as usize) << 8 | *bytes.get(1)? as usize),
        BYTES_32 => 5 + u32::from_le_bytes(*bytes.get(1..5)?.first_chunk()?) as usize,
        INT_16 => 3,
        INT_24 => 4,
        INT_32 => 5,
        INT_64 => 9,
        _ => return None,
    };
    let mut expected = [0; 5];
    let groups = write_length(size, &mut expected);
    (bytes.get(size..size + groups)? == &expected[..groups]).then_some(size + groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::{DIGITS_MAX, parse_i64};
    use proptest::prelude::*;

    fn round_trip(text: &[u8]) {
        let mut buffer = vec![7];
        push(&mut buffer, Element::new(text));
        let end = buffer.len();
        let mut target = vec![0; end - 1];
        let encoded = Encoded::new(Element::new(text));
        assert_eq!(encoded.write(&mut target), entry_size(Element::new(text)));
        assert_eq!(target, buffer[1..]);
        assert_eq!(whole_entry(&buffer[1..]), Some(end - 1));
        assert_eq!(whole_entry(&buffer[1..end - 1]), None);
        let (element, next) = decode_at(&buffer, 1);
        assert_eq!(next, end);
        assert_eq!(skip(&buffer, 1), end);
        assert_eq!(before(&buffer, end), 1);
        assert!(element.equals(text));
        assert_eq!(element.text(&mut [0; DIGITS_MAX]), text);
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
            push(&mut buffer, Element::new(text));
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
            let _ = whole_entry(&bytes);
        }
    }
}
