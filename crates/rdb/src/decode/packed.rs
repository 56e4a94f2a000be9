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
    let listpack = Listpack::from_bytes(bytes.into_owned()).ok_or(DecodeError::Malformed)?;
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

/// Shows each element of a ziplist.
pub(super) fn each_of_ziplist(bytes: &[u8], mut each: impl FnMut(&[u8]) -> Done) -> Done {
    let mut source = Source::new(bytes);
    let total = u32::from_le_bytes(source.array()?);
    source.take(6)?;
    if usize::try_from(total) != Ok(bytes.len()) {
        return Err(DecodeError::Malformed);
    }
    loop {
        match source.array()? {
            [0xff] => return source.end(),
            [0xfe] => _ = source.take(4)?,
            _ => {}
        }
        ziplist_entry(&mut source, &mut each)?;
    }
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

/// Shows each field and each value of a zipmap, by turns.
pub(super) fn each_of_zipmap(bytes: &[u8], mut each: impl FnMut(&[u8]) -> Done) -> Done {
    let mut source = Source::new(bytes);
    source.take(1)?;
    while let Some(len) = zipmap_length(&mut source)? {
        each(source.take(len)?)?;
        let len = zipmap_length(&mut source)?.ok_or(DecodeError::Malformed)?;
        let [spare] = source.array()?;
        each(source.take(len)?)?;
        source.take(usize::from(spare))?;
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
