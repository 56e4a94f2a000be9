//! The packed forms: listpacks, and what was before them.
//!
//! ```text
//! ziplist: | bytes: u32 | last: u32 | entries: u16 | entry | … | 0xff |
//! entry:   | length of the one before: u8, or 0xfe u32 | encoding | content |
//!          00xxxxxx  01xxxxxx x  10…… u32 (big-endian)       that many bytes
//!          c0 i16    d0 i32    e0 i64    f0 i24    fe i8      an integer
//!          f1 … fd                                            0 … 12
//! intset:  | width: u32 | count: u32 | integers of so many bytes |
//! zipmap:  | count: u8 | length | field | length | spare: u8 | value | spare bytes | … | 0xff |
//! length:  up to 253 in one byte, or 0xfe u32
//! ```

use std::borrow::Cow;

use russet_engine::collections::listpack::Listpack;
use russet_engine::number::{DIGITS_MAX, write_i64};

use crate::primitives::{DecodeError, Source};

type Done = Result<(), DecodeError>;

/// Shows each element of a listpack.
pub(super) fn each_of_listpack(bytes: Cow<'_, [u8]>, mut each: impl FnMut(&[u8]) -> Done) -> Done {
    let listpack = Listpack::from_bytes(&bytes).ok_or(DecodeError::Malformed)?;
    listpack.iter().try_for_each(|element| element.with_bytes(&mut each))
}

/// Shows the digits of a number.
fn show(number: i64, each: &mut impl FnMut(&[u8]) -> Done) -> Done {
    each(write_i64(number, &mut [0; DIGITS_MAX]))
}

/// Shows each member of a row of integers.
pub(super) fn each_of_intset(bytes: &[u8], mut each: impl FnMut(&[u8]) -> Done) -> Done {
    let mut source = Source::new(bytes);
    let (width, count) = (u32::from_le_bytes(source.array()?), u32::from_le_bytes(source.array()?));
    let mut before = None;
    for _ in 0..count {
        let number = match width {
            2 => i64::from(i16::from_le_bytes(source.array()?)),
            4 => i64::from(i32::from_le_bytes(source.array()?)),
            8 => i64::from_le_bytes(source.array()?),
            _ => return Err(DecodeError::Malformed),
        };
        if before.is_some_and(|before| before >= number) {
            return Err(DecodeError::Malformed);
        }
        before = Some(number);
        show(number, &mut each)?;
    }
    source.end()
}

/// Bytes of a ziplist before its first entry.
const ZIPLIST_HEAD: usize = 10;

/// The number of entries that says nothing.
const UNCOUNTED: u16 = u16::MAX;

/// Shows each element of a ziplist. What its head says of it has to be true, and what each entry says of the one before.
pub(super) fn each_of_ziplist(bytes: &[u8], mut each: impl FnMut(&[u8]) -> Done) -> Done {
    let mut source = Source::new(bytes);
    let (total, tail) = (u32::from_le_bytes(source.array()?), u32::from_le_bytes(source.array()?));
    let count = u16::from_le_bytes(source.array()?);
    let (mut entries, mut last, mut size) = (0_usize, ZIPLIST_HEAD, 0);
    loop {
        let left = source.left();
        let before = match source.array()? {
            [0xff] => break,
            [0xfe] => u32::from_le_bytes(source.array()?),
            [size] => u32::from(size),
        };
        if is_not(before, size) {
            return Err(DecodeError::Malformed);
        }
        last = last.saturating_add(size);
        ziplist_entry(&mut source, &mut each)?;
        size = left.saturating_sub(source.left());
        entries = entries.saturating_add(1);
    }
    source.end()?;
    let is_miscounted = count != UNCOUNTED && usize::from(count) != entries;
    if is_miscounted || is_not(total, bytes.len()) || is_not(tail, last) {
        return Err(DecodeError::Malformed);
    }
    Ok(())
}

fn is_not(said: u32, seen: usize) -> bool {
    usize::try_from(said) != Ok(seen)
}

fn ziplist_entry(source: &mut Source<'_>, each: &mut impl FnMut(&[u8]) -> Done) -> Done {
    let [first] = source.array()?;
    let len = match first {
        0..0x40 => u32::from(first),
        0x40..0x80 => {
            let [low] = source.array()?;
            u32::from(u16::from_be_bytes([first & 0x3f, low]))
        }
        0x80..0xc0 => u32::from_be_bytes(source.array()?),
        _ => return show(ziplist_number(first, source)?, each),
    };
    let len = usize::try_from(len).map_err(|_| DecodeError::Truncated)?;
    each(source.take(len)?)
}

fn ziplist_number(first: u8, source: &mut Source<'_>) -> Result<i64, DecodeError> {
    Ok(match first {
        0xc0 => i64::from(i16::from_le_bytes(source.array()?)),
        0xd0 => i64::from(i32::from_le_bytes(source.array()?)),
        0xe0 => i64::from_le_bytes(source.array()?),
        0xf0 => {
            let [low, middle, high] = source.array()?;
            i64::from(i32::from_le_bytes([0, low, middle, high]) >> 8)
        }
        0xfe => i64::from(i8::from_le_bytes(source.array()?)),
        0xf1..=0xfd => i64::from(first & 0x0f).saturating_sub(1),
        _ => return Err(DecodeError::Malformed),
    })
}

/// The number of fields of a zipmap that says nothing.
const MANY: u8 = 254;

/// Shows each field and each value of a zipmap, by turns.
pub(super) fn each_of_zipmap(bytes: &[u8], mut each: impl FnMut(&[u8]) -> Done) -> Done {
    let (mut source, mut fields) = (Source::new(bytes), 0_usize);
    let [count] = source.array()?;
    while let Some(len) = zipmap_length(&mut source)? {
        each(source.take(len)?)?;
        let len = zipmap_length(&mut source)?.ok_or(DecodeError::Malformed)?;
        let [spare] = source.array()?;
        each(source.take(len)?)?;
        source.take(usize::from(spare))?;
        fields = fields.saturating_add(1);
    }
    if count != MANY && usize::from(count) != fields {
        return Err(DecodeError::Malformed);
    }
    source.end()
}

/// A length, or the end.
fn zipmap_length(source: &mut Source<'_>) -> Result<Option<usize>, DecodeError> {
    let len = match source.array()? {
        [0xff] => return Ok(None),
        [0xfe] => u32::from_le_bytes(source.array()?),
        [len] => u32::from(len),
    };
    usize::try_from(len).map(Some).map_err(|_| DecodeError::Truncated)
}
