//! Parts of strings: reading, overwriting, extending.

use std::sync::atomic::Ordering;

use russet_dispatch::{Args, Class, Context, Error, Key, Outcome, Stop, Text};
use russet_engine::collections::chunks::Chunks;
use russet_engine::number::{DIGITS_MAX, write_i64};
use russet_engine::types::string::{append as append_to, write_at};
use russet_engine::{View, raw_value, string_value};

/// A part of a large string from this length on is given by reference, a shorter one is copied.
const REFERENCE_MIN: usize = 4096;

/// STRLEN.
pub(super) fn strlen(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let len = cx.data.string(key)?.map_or(0, Text::len);
    cx.reply.integer(len as i64);
    Ok(())
}

/// GETRANGE and SUBSTR.
pub(super) fn getrange(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, start, end) = (args.key()?, args.int()?, args.int()?);
    let Some(text) = cx.data.string(key)? else {
        cx.reply.bulk(b"");
        return Ok(());
    };
    let (start, end) = bounds(start, end, text.len());
    match text.view() {
        View::Short(bytes) => cx.reply.bulk(&bytes[start..end]),
        View::Int(number) => cx.reply.bulk(&write_i64(number, &mut [0; DIGITS_MAX])[start..end]),
        View::Chunks(chunks) => part_of(chunks, start, end, &mut cx.reply),
        View::Object(_) => unreachable!("a text is no collection"),
    }
    Ok(())
}

fn part_of(chunks: &Chunks, start: usize, end: usize, reply: &mut russet_resp::Writer<'_>) {
    if end - start >= REFERENCE_MIN {
        return reply.shared(&chunks.range_shared(start, end));
    }
    reply.bulk_header(end - start);
    chunks.range(start, end).for_each(|piece| reply.raw(piece));
    reply.crlf();
}

/// The first byte and the one behind the last, of `len`; negative positions count from the end.
fn bounds(start: i64, end: i64, len: usize) -> (usize, usize) {
    if start < 0 && end < 0 && start > end {
        return (0, 0);
    }
    let from_front = |position: i64| {
        if position < 0 { position.saturating_add(len as i64).max(0) } else { position }
    };
    let start = from_front(start) as usize;
    let end = (from_front(end) as usize).saturating_add(1).min(len);
    if start < end { (start, end) } else { (0, 0) }
}

/// SETRANGE.
pub(super) fn setrange(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, offset, bytes) = (args.key()?, args.int()?, args.next()?);
    let offset = usize::try_from(offset).map_err(|_| Error::OffsetOutOfRange)?;
    let len = cx.data.string_to_change(key)?.map(Text::len);
    if bytes.is_empty() {
        cx.reply.integer(len.unwrap_or(0) as i64);
        return Ok(());
    }
    check_len(cx, offset, bytes.len())?;
    cx.make_sure_of((offset + bytes.len()).saturating_sub(len.unwrap_or(0)))?;
    if len.is_none() {
        cx.data.set(key, raw_value(b""), None);
    }
    let len = cx.data.update_found(key, |entry| write_at(entry, offset, bytes)).flatten();
    cx.data.notify(Class::String, "setrange", key);
    cx.data.count_as(1);
    cx.reply.integer(len.expect("a string, looked up or made above") as i64);
    Ok(())
}

/// APPEND.
pub(super) fn append(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, bytes) = (args.key()?, args.next()?);
    let len = if let Some(len) = cx.data.string_to_change(key)?.map(Text::len) {
        extend(cx, key, len, bytes)?
    } else {
        cx.data.set(key, string_value(bytes), None);
        bytes.len()
    };
    cx.data.notify(Class::String, "append", key);
    cx.reply.integer(len as i64);
    Ok(())
}

fn extend(cx: &mut Context<'_>, key: Key<'_>, len: usize, bytes: &[u8]) -> Result<usize, Stop> {
    check_len(cx, len, bytes.len())?;
    cx.make_sure_of(bytes.len())?;
    let len = cx.data.update_found(key, |entry| append_to(entry, bytes)).flatten();
    Ok(len.expect("a string, looked up by the caller"))
}

/// No string grows beyond `proto-max-bulk-len`.
fn check_len(cx: &Context<'_>, len: usize, more: usize) -> Result<(), Error> {
    let most = cx.state.tunables.bulk_bytes_max.load(Ordering::Relaxed);
    let total = len.checked_add(more).filter(|total| *total as u64 <= most);
    total.map(|_| ()).ok_or(Error::StringTooLong)
}

#[cfg(test)]
mod tests {
    use super::bounds;

    #[test]
    fn bounds_are_those_of_redis() {
        let part = |start, end| {
            let (start, end) = bounds(start, end, 5);
            &"hello"[start..end]
        };
        assert_eq!(part(0, 3), "hell");
        assert_eq!(part(0, -1), "hello");
        assert_eq!(part(-4, -1), "ello");
        assert_eq!(part(3, 1), "");
        assert_eq!(part(0, -100), "h");
        assert_eq!(part(-100, -99), "h");
        assert_eq!(part(-100, -101), "");
        assert_eq!(part(5, 9), "");
        assert_eq!(part(i64::MIN, i64::MAX), "hello");
        assert_eq!(part(i64::MAX, i64::MIN), "");
        assert_eq!(bounds(0, -1, 0), (0, 0));
    }
}
