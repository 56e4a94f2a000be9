//! Counters: strings that spell a number.
//!
//! Integers are kept as integers and overwritten in place. Floats are strings; they are added as x87 adds them, see
//! [`crate::long_double`], and what comes out is what the journal says.

use std::cmp::Ordering;

use russet_dispatch::{Args, Class, Context, Error, Key, Outcome, Text};
use russet_engine::number::{DIGITS_MAX, parse_i64, write_i64};
use russet_engine::{Value, View, raw_value};
use russet_resp::Protocol;

use super::options::{End, Life, record_set};
use crate::long_double::LongDouble;

/// INCR.
pub(super) fn incr(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    add(cx, key, 1)
}

/// DECR.
pub(super) fn decr(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    add(cx, key, -1)
}

/// INCRBY.
pub(super) fn incrby(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, increment) = (args.key()?, args.int()?);
    add(cx, key, increment)
}

/// DECRBY.
pub(super) fn decrby(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, decrement) = (args.key()?, args.int()?);
    add(cx, key, decrement.checked_neg().ok_or(Error::DecrementOverflow)?)
}

fn add(cx: &mut Context<'_>, key: Key<'_>, increment: i64) -> Outcome {
    let old = cx.data.string_to_change(key)?.map(int_of).transpose()?;
    let sum = old.unwrap_or(0).checked_add(increment).ok_or(Error::Overflow)?;
    if old.is_some() {
        cx.data.update_found(key, |entry| entry.replace(Value::Int(sum), entry.expiry()));
    } else {
        cx.data.set(key, Value::Int(sum), None);
    }
    cx.data.notify(Class::String, "incrby", key);
    cx.reply.integer(sum);
    Ok(())
}

fn int_of(text: Text<'_>) -> Result<i64, Error> {
    text.int().ok_or(Error::NotInteger)
}

fn float_of(text: Text<'_>) -> Result<LongDouble, Error> {
    match text.view() {
        View::Int(number) => Ok(LongDouble::from_int(number)),
        _ => LongDouble::parse(&text.bytes()).ok_or(Error::NotFloat),
    }
}

/// INCRBYFLOAT.
pub(super) fn incrbyfloat(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, increment) = (args.key()?, args.next()?);
    let old = cx.data.string_to_change(key)?.map(float_of).transpose()?;
    let increment = LongDouble::parse(increment).ok_or(Error::NotFloat)?;
    let sum = old.unwrap_or(LongDouble::ZERO).plus(increment).filter(|sum| sum.is_finite());
    let text = sum.ok_or(Error::NanOrInfinity)?.print();
    let expiry = cx.data.expiry(key).flatten();
    cx.data.set(key, raw_value(text.as_bytes()), expiry);
    cx.data.notify(Class::String, "incrbyfloat", key);
    record_set(&mut cx.data, key, text.as_bytes(), End::Kept);
    cx.reply.bulk(text.as_bytes());
    Ok(())
}

/// What INCREX takes behind its key, as it was written.
#[derive(Debug, Default)]
struct Options<'a> {
    by: Option<(Kind, &'a [u8])>,
    lower: Option<&'a [u8]>,
    upper: Option<&'a [u8]>,
    is_saturating: bool,
    life: Life<'a>,
    only_without_end: bool,
}

/// What INCREX counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Int,
    Float,
}

impl<'a> Options<'a> {
    fn read(args: &mut Args<'a>) -> Result<Self, Error> {
        let mut options = Self::default();
        while let Some(word) = args.peek() {
            args.next()?;
            options.take(word, args)?;
        }
        match options.life {
            Life::Unsaid if options.only_without_end => Err(Error::EnxWithoutTime),
            Life::Endless if options.only_without_end => Err(Error::Syntax),
            _ => Ok(options),
        }
    }

    /// Takes one word. Unlike SET's, none of these may come twice.
    fn take(&mut self, word: &'a [u8], args: &mut Args<'a>) -> Result<(), Error> {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        let is_first = if is("BYINT") {
            self.by.replace((Kind::Int, args.next()?)).is_none()
        } else if is("BYFLOAT") {
            self.by.replace((Kind::Float, args.next()?)).is_none()
        } else if is("LBOUND") {
            self.lower.replace(args.next()?).is_none()
        } else if is("UBOUND") {
            self.upper.replace(args.next()?).is_none()
        } else if is("SATURATE") {
            !std::mem::replace(&mut self.is_saturating, true)
        } else if is("ENX") {
            !std::mem::replace(&mut self.only_without_end, true)
        } else {
            let life = Life::read(word, args)?.filter(|life| *life != Life::Kept);
            std::mem::replace(&mut self.life, life.ok_or(Error::Syntax)?) == Life::Unsaid
        };
        if is_first { Ok(()) } else { Err(Error::Syntax) }
    }
}

/// INCREX: an increment within bounds, and when the counter ends.
pub(super) fn increx(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let options = Options::read(args)?;
    match options.by {
        Some((Kind::Float, increment)) => increx_float(cx, key, &options, increment),
        Some((Kind::Int, increment)) => increx_int(cx, key, &options, increment),
        None => increx_int(cx, key, &options, b"1"),
    }
}

fn increx_int(
    cx: &mut Context<'_>,
    key: Key<'_>,
    options: &Options<'_>,
    increment: &[u8],
) -> Outcome {
    let increment = parse_i64(increment).ok_or(Error::IncrementNotInteger)?;
    let bound = |name, text: Option<&[u8]>, default| match text {
        Some(text) => {
            parse_i64(text).ok_or_else(|| not_a_bound(name, "an integer or out of range"))
        }
        None => Ok(default),
    };
    let lower = bound("LBOUND", options.lower, i64::MIN)?;
    let upper = bound("UBOUND", options.upper, i64::MAX)?;
    if lower > upper {
        return Err(Error::BoundsCrossed.into());
    }
    let end = options.life.settle(cx.now(), "increx")?;
    let old = cx.data.string_to_change(key)?.map(int_of).transpose()?.unwrap_or(0);
    let sum = i128::from(old) + i128::from(increment);
    let kept = sum.clamp(i128::from(lower), i128::from(upper));
    cx.reply.array(2);
    if kept != sum && !options.is_saturating {
        cx.reply.integer(old);
        cx.reply.integer(0);
        return Ok(());
    }
    let applied = i64::try_from(kept - i128::from(old)).map_err(|_| Error::Overflow)?;
    let (kept, mut digits) = (kept as i64, [0; DIGITS_MAX]);
    count(cx, key, Value::Int(kept), write_i64(kept, &mut digits), end, options.only_without_end);
    cx.reply.integer(kept);
    cx.reply.integer(applied);
    Ok(())
}

fn increx_float(
    cx: &mut Context<'_>,
    key: Key<'_>,
    options: &Options<'_>,
    increment: &[u8],
) -> Outcome {
    let increment = LongDouble::parse(increment).ok_or(Error::IncrementNotFloat)?;
    let bound = |name, text: Option<&[u8]>, default| match text {
        Some(text) => LongDouble::parse(text).ok_or_else(|| not_a_bound(name, "a valid float")),
        None => Ok(default),
    };
    let lower = bound("LBOUND", options.lower, LongDouble::MIN)?;
    let upper = bound("UBOUND", options.upper, LongDouble::MAX)?;
    if lower.compare(upper) == Ordering::Greater {
        return Err(Error::BoundsCrossed.into());
    }
    let end = options.life.settle(cx.now(), "increx")?;
    let old = cx.data.string_to_change(key)?.map(float_of).transpose()?.unwrap_or(LongDouble::ZERO);
    if !old.is_finite() || !increment.is_finite() {
        return Err(Error::NanOrInfinity.into());
    }
    let sum = old.plus(increment).ok_or(Error::NanOrInfinity)?;
    let kept = clamped(sum, lower, upper);
    cx.reply.array(2);
    if kept != sum && !options.is_saturating {
        reply_float(cx, old);
        reply_float(cx, LongDouble::ZERO);
        return Ok(());
    }
    // What was not cut short was applied as it was said, though the sum may have been rounded.
    let applied = if kept == sum { Some(increment) } else { kept.plus(old.negated()) };
    let applied = applied
        .filter(|applied| applied.is_finite() && kept.is_finite())
        .ok_or(Error::NanOrInfinity)?;
    let text = kept.print();
    count(cx, key, raw_value(text.as_bytes()), text.as_bytes(), end, options.only_without_end);
    reply_float(cx, kept);
    reply_float(cx, applied);
    Ok(())
}

fn not_a_bound(name: &str, kind: &str) -> Error {
    Error::of(format!("ERR {name} is not {kind}"))
}

fn clamped(number: LongDouble, lower: LongDouble, upper: LongDouble) -> LongDouble {
    if number.compare(lower) == Ordering::Less {
        lower
    } else if number.compare(upper) == Ordering::Greater {
        upper
    } else {
        number
    }
}

/// A float as INCREX shows it: a bulk string, or a double for who knows doubles.
fn reply_float(cx: &mut Context<'_>, number: LongDouble) {
    let text = number.print();
    if cx.reply.protocol == Protocol::Resp2 {
        return cx.reply.bulk(text.as_bytes());
    }
    cx.reply.raw(b",");
    cx.reply.raw(text.as_bytes());
    cx.reply.crlf();
}

/// Keeps what INCREX came to, `text` being what `value` spells, and says so in the journal.
fn count(
    cx: &mut Context<'_>,
    key: Key<'_>,
    value: Value<'_>,
    text: &[u8],
    end: End,
    only_without_end: bool,
) {
    let old = cx.data.expiry(key).flatten();
    let end =
        if end == End::Unsaid || (only_without_end && old.is_some()) { End::Kept } else { end };
    let expiry = match end {
        End::At(at) if at <= cx.data.now => return cx.data.remove_ended(key),
        End::At(at) => Some(at),
        End::Kept => old,
        End::Unsaid | End::Never => None,
    };
    let event = if matches!(value, Value::Int(_)) { "incrby" } else { "incrbyfloat" };
    cx.data.set(key, value, expiry);
    cx.data.notify(Class::String, event, key);
    match end {
        End::At(_) => cx.data.notify(Class::Generic, "expire", key),
        End::Never if old.is_some() => cx.data.notify(Class::Generic, "persist", key),
        End::Never | End::Kept | End::Unsaid => {}
    }
    record_set(&mut cx.data, key, text, end);
}
