//! Bitmaps: strings, read and changed bit by bit.
//!
//! Whatever passes over the bytes of large strings and is known to take long moves to a worker first.

mod bitfield;

use std::sync::atomic::Ordering;

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{ACCESS, OW, RO, RW, UPDATE, VARIABLE_FLAGS, at, range};
use russet_dispatch::promise::LARGE;
use russet_dispatch::{Args, Class, Command, Context, Error, Group, Key, Outcome, Stop, Text};
use russet_engine::number::parse_i64;
use russet_engine::types::bitmap::{Bitmap, Combined, Operation, combine, set_bit};
use russet_engine::{Entry, Value};

/// What every bitmap command has in common.
const BITMAP: Command = Command { group: Group::Bitmap, file: file!(), ..Command::BASE };

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "bitcount",
        syntax: "key [start:int [end:int [BYTE | BIT]]]",
        summary: "Counts the bits of a string that are set.",
        complexity: "O(N) where N is the number of bytes looked at",
        since: "2.6.0",
        arity: -2,
        flags: &[ReadOnly],
        keys: &[at(1, RO | ACCESS)],
        history: &[("7.0.0", "The range may be in bits.")],
        run: bitcount,
        ..BITMAP
    },
    Command {
        name: "bitfield",
        syntax: "key [<GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] <SET encoding offset value:int | INCRBY encoding offset increment:int>> ...]",
        summary: "Reads and changes integers of any width anywhere in a string.",
        complexity: "O(1) for each integer",
        since: "3.2.0",
        arity: -2,
        flags: &[Write, DenyOom],
        keys: &[at(1, RW | ACCESS | UPDATE | VARIABLE_FLAGS)],
        exact_access: Some(|words| {
            let writes = |word: &&[u8]| {
                word.eq_ignore_ascii_case(b"SET") || word.eq_ignore_ascii_case(b"INCRBY")
            };
            if words.iter().skip(2).any(writes) { RW | ACCESS | UPDATE } else { RO | ACCESS }
        }),
        run: bitfield::bitfield,
        ..BITMAP
    },
    Command {
        name: "bitfield_ro",
        syntax: "key [GET encoding offset [GET encoding offset ...]]",
        summary: "Reads integers of any width anywhere in a string.",
        complexity: "O(1) for each integer",
        since: "6.0.0",
        arity: -2,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO | ACCESS)],
        run: bitfield::bitfield_ro,
        ..BITMAP
    },
    Command {
        name: "bitop",
        syntax: "<AND | OR | XOR | NOT | DIFF | DIFF1 | ANDOR | ONE> destkey key [key ...]",
        summary: "Combines strings bit by bit and keeps the result under a key.",
        complexity: "O(N) where N is the number of bytes of all strings",
        since: "2.6.0",
        arity: -4,
        flags: &[Write, DenyOom],
        keys: &[at(2, OW | UPDATE), range(3, -1, 1, RO | ACCESS)],
        history: &[("8.2.0", "`DIFF`, `DIFF1`, `ANDOR` and `ONE` came.")],
        run: bitop,
        ..BITMAP
    },
    Command {
        name: "bitpos",
        syntax: "key bit:int [start:int [end:int [BYTE | BIT]]]",
        summary: "Finds the first bit of a string that is set, or that is not.",
        complexity: "O(N) where N is the number of bytes looked at",
        since: "2.8.7",
        arity: -3,
        flags: &[ReadOnly],
        keys: &[at(1, RO | ACCESS)],
        history: &[("7.0.0", "The range may be in bits.")],
        run: bitpos,
        ..BITMAP
    },
    Command {
        name: "getbit",
        syntax: "key offset:int",
        summary: "Gives a bit of a string.",
        since: "2.2.0",
        arity: 3,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO | ACCESS)],
        run: getbit,
        ..BITMAP
    },
    Command {
        name: "setbit",
        syntax: "key offset:int value:int",
        summary: "Sets or clears a bit of a string, which is extended with zeros as needed, and gives what it was.",
        since: "2.2.0",
        arity: 4,
        flags: &[Write, DenyOom],
        keys: &[at(1, RW | ACCESS | UPDATE)],
        run: setbit,
        ..BITMAP
    },
];

/// A pass over more bytes than this takes about a millisecond.
const LONG_BYTES: usize = 4 << 20;

/// Moves to a worker what is going to pass over so many bytes.
fn go_where_it_may_take(cx: &Context<'_>, bytes: usize) -> Result<(), Stop> {
    let may_move = !cx.is_worker && !cx.session.deny_blocking;
    if may_move && bytes > LONG_BYTES { Err(Stop::Elsewhere) } else { Ok(()) }
}

/// There is room for a string of so many bytes where there is a shorter one, or none.
fn make_sure_of_len(cx: &mut Context<'_>, key: Key<'_>, bytes: usize) -> Result<(), Stop> {
    if bytes < LARGE {
        return Ok(());
    }
    let before = cx.data.string_to_change(key)?.map_or(0, Text::len);
    cx.make_sure_of(bytes.saturating_sub(before))
}

/// The bits of a key, counted as a hit or a miss; `None` if there is no such key.
fn bitmap_of<'c>(cx: &'c mut Context<'_>, key: Key<'_>) -> Result<Option<Bitmap<'c>>, Error> {
    Ok(cx.data.string(key)?.and_then(|text| Bitmap::of(text.view())))
}

/// The next argument as the offset of a bit, within what a string can be.
fn read_offset(cx: &Context<'_>, args: &mut Args<'_>) -> Result<usize, Error> {
    check_offset(cx, parse_i64(args.next()?))
}

fn check_offset(cx: &Context<'_>, offset: Option<i64>) -> Result<usize, Error> {
    let bytes_max = cx.state.tunables.bulk_bytes_max.load(Ordering::Relaxed);
    offset
        .and_then(|offset| usize::try_from(offset).ok())
        .filter(|offset| (offset >> 3) as u64 <= bytes_max.saturating_sub(1))
        .ok_or(Error::BitOffset)
}

fn getbit(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, offset) = (args.key()?, read_offset(cx, args)?);
    let bit = bitmap_of(cx, key)?.is_some_and(|bitmap| bitmap.bit(offset));
    cx.reply.integer(i64::from(bit));
    Ok(())
}

fn setbit(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, offset) = (args.key()?, read_offset(cx, args)?);
    let is_set = match parse_i64(args.next()?) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(Error::BitValue.into()),
    };
    make_sure_of_len(cx, key, offset / 8 + 1)?;
    let change = |entry: &mut Entry| set_bit(entry, offset, is_set).expect("a string, looked up");
    let old = cx.data.change_string(key, change)?;
    cx.data.announce(Class::String, "setbit", key);
    cx.reply.integer(i64::from(old));
    Ok(())
}

/// The part of a string that BITCOUNT and BITPOS look at, as it was asked for.
#[derive(Clone, Copy)]
struct Part {
    start: i64,
    end: Option<i64>,
    /// Whether both count bits rather than bytes.
    in_bits: bool,
}

impl Part {
    /// `start`, `end` and a unit, each of which may end the arguments.
    fn read(args: &mut Args<'_>) -> Result<Self, Error> {
        if args.left() > 3 {
            return Err(Error::Syntax);
        }
        if args.is_empty() {
            return Ok(Self { start: 0, end: None, in_bits: false });
        }
        let start = args.int()?;
        let mut unit = *args;
        unit.next().ok();
        // Redis looks at the unit before it looks whether the end is a number.
        let in_bits = unit.flag("BIT");
        if !in_bits && !unit.flag("BYTE") {
            unit.end()?;
        }
        let end = if args.is_empty() { None } else { Some(args.int()?) };
        Ok(Self { start, end, in_bits })
    }

    /// The first bit and the one behind the last, of a string of `len` bytes.
    fn bits(self, len: usize) -> (usize, usize) {
        let unit = if self.in_bits { 1 } else { 8 };
        let count = (len * 8 / unit) as i64;
        let from_front = |at: i64| if at < 0 { at.saturating_add(count).max(0) } else { at };
        let start = from_front(self.start).min(count);
        let behind = self.end.map_or(count, |end| from_front(end).min(count - 1) + 1);
        if start < behind { (start as usize * unit, behind as usize * unit) } else { (0, 0) }
    }

    /// Whether both ends count from the end of the string, in the wrong order.
    fn is_reversed(self) -> bool {
        self.end.is_some_and(|end| self.start < 0 && end < 0 && self.start > end)
    }
}

fn bitcount(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, part) = (args.key()?, Part::read(args)?);
    let len = bitmap_of(cx, key)?.map_or(0, |bitmap| bitmap.len());
    let (from, until) = if part.is_reversed() { (0, 0) } else { part.bits(len) };
    go_where_it_may_take(cx, (until - from) / 8)?;
    let bitmap = again(cx, key).unwrap_or_default();
    let count = bitmap.count(from, until);
    cx.reply.integer(count as i64);
    Ok(())
}

fn bitpos(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let is_set = match args.int()? {
        0 => false,
        1 => true,
        _ => return Err(Error::BitSought.into()),
    };
    let part = Part::read(args)?;
    let Some(len) = bitmap_of(cx, key)?.map(|bitmap| bitmap.len()) else {
        // What is not there is zeros without end.
        cx.reply.integer(if is_set { -1 } else { 0 });
        return Ok(());
    };
    let (from, until) = part.bits(len);
    go_where_it_may_take(cx, (until - from) / 8)?;
    let found = again(cx, key).and_then(|bitmap| bitmap.find(is_set, from, until));
    // Behind a string whose end was not asked for there are zeros.
    let behind = (!is_set && part.end.is_none() && from < until).then_some(until);
    cx.reply.integer(found.or(behind).map_or(-1, |offset| offset as i64));
    Ok(())
}

/// The bits of a key that has been looked up before.
fn again<'c>(cx: &'c Context<'_>, key: Key<'_>) -> Option<Bitmap<'c>> {
    cx.data.again(key).and_then(|entry| Bitmap::of(entry.view()))
}

fn read_operation(args: &mut Args<'_>) -> Result<Operation, Error> {
    const WORDS: [(&str, Operation); 8] = [
        ("AND", Operation::And),
        ("OR", Operation::Or),
        ("XOR", Operation::Xor),
        ("NOT", Operation::Not),
        ("DIFF", Operation::Diff),
        ("DIFF1", Operation::Diff1),
        ("ANDOR", Operation::AndOr),
        ("ONE", Operation::One),
    ];
    let found = WORDS.into_iter().find(|(word, _)| args.flag(word));
    found.map(|(_, operation)| operation).ok_or(Error::Syntax)
}

/// NOT takes one source; some others make no sense of one.
fn check_sources(operation: Operation, word: &[u8], count: usize) -> Result<(), Error> {
    match operation {
        Operation::Not if count != 1 => Err(Error::BitNotOfMany),
        Operation::Diff | Operation::Diff1 | Operation::AndOr if count < 2 => {
            let word = String::from_utf8_lossy(word).to_uppercase();
            Err(Error::of(format!("ERR BITOP {word} must be called with multiple source keys.")))
        }
        _ => Ok(()),
    }
}

fn bitop(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let operation = read_operation(args)?;
    check_sources(operation, args.word(1), args.left() - 1)?;
    let target = args.key()?;
    let keys = (0..args.left()).map(|_| args.key()).collect::<Result<Vec<_>, _>>()?;
    let (mut bytes, mut longest) = (0, 0);
    for key in &keys {
        let len = bitmap_of(cx, *key)?.map_or(0, |bitmap| bitmap.len());
        (bytes, longest) = (bytes + len, longest.max(len));
    }
    cx.make_sure_of(longest)?;
    go_where_it_may_take(cx, bytes)?;
    let sources: Vec<Bitmap<'_>> =
        keys.iter().map(|key| again(cx, *key).unwrap_or_default()).collect();
    let result = combine(operation, &sources);
    let len = match result {
        Combined::Short(bytes) if bytes.is_empty() => {
            cx.data.remove(target);
            0
        }
        Combined::Short(bytes) => {
            cx.data.set(target, Value::Short(&bytes), None);
            cx.data.change_string(target, |entry| (entry.mark_raw(), false))?;
            bytes.len()
        }
        Combined::Large(chunks) => {
            let len = chunks.len();
            cx.data.set(target, Value::Chunks(chunks), None);
            len
        }
    };
    if len > 0 {
        cx.data.notify(Class::String, "set", target);
    }
    cx.reply.integer(len as i64);
    Ok(())
}
