//! Fields that end: when a field of a hash ends, and what is set or read along with that.
//!
//! Times reach the journal as milliseconds since 1970, and only for the fields that took them; a time that is not in the future removes
//! the field, and the journal says HDEL.

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{ACCESS, DELETE, RO, RW, UPDATE, at};
use russet_dispatch::{Args, Class, Command, Context, Error, Key, Outcome};
use russet_engine::number::{DIGITS_MAX, parse_i64, write_i64};
use russet_engine::types::hash::Hash;

use super::{HASH, pairs_of, reply_view, rules};

/// What the rows of this file have in common.
const ENDS: Command = Command {
    complexity: "O(N) where N is the number of fields",
    since: "7.4.0",
    file: file!(),
    ..HASH
};

/// What the rows that set an end have in common.
const SETS: Command =
    Command { arity: -6, flags: &[Write, Fast], keys: &[at(1, RW | UPDATE)], ..ENDS };

/// What the rows that tell an end have in common.
const TELLS: Command = Command {
    syntax: "key FIELDS numfields:int field [field ...]",
    arity: -5,
    flags: &[ReadOnly, Fast],
    keys: &[at(1, RO | ACCESS)],
    ..ENDS
};

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "hexpire",
        syntax: "key seconds:int [NX | XX | GT | LT] FIELDS numfields:int field [field ...]",
        summary: "Sets in how many seconds fields of a hash end.",
        run: hexpire,
        ..SETS
    },
    Command {
        name: "hexpireat",
        syntax: "key unix-time-seconds:time [NX | XX | GT | LT] FIELDS numfields:int field [field ...]",
        summary: "Sets the second at which fields of a hash end.",
        run: hexpireat,
        ..SETS
    },
    Command {
        name: "hexpiretime",
        summary: "Tells the second at which fields of a hash end.",
        run: hexpiretime,
        ..TELLS
    },
    Command {
        name: "hgetdel",
        syntax: "key FIELDS numfields:int field [field ...]",
        summary: "Gives the values of fields of a hash and removes the fields.",
        since: "8.0.0",
        arity: -5,
        flags: &[Write, Fast],
        keys: &[at(1, RW | ACCESS | DELETE)],
        run: hgetdel,
        ..ENDS
    },
    Command {
        name: "hgetex",
        syntax: "key [EX seconds:int | PX milliseconds:int | EXAT unix-time-seconds:time | PXAT unix-time-milliseconds:time | PERSIST] FIELDS numfields:int field [field ...]",
        summary: "Gives the values of fields of a hash and changes when the fields end.",
        since: "8.0.0",
        arity: -5,
        flags: &[Write, Fast],
        keys: &[at(1, RW | ACCESS | UPDATE)],
        run: hgetex,
        ..ENDS
    },
    Command {
        name: "hpersist",
        syntax: "key FIELDS numfields:int field [field ...]",
        summary: "Makes fields of a hash stay that would have ended.",
        arity: -5,
        flags: &[Write, Fast],
        keys: &[at(1, RW | UPDATE)],
        run: hpersist,
        ..ENDS
    },
    Command {
        name: "hpexpire",
        syntax: "key milliseconds:int [NX | XX | GT | LT] FIELDS numfields:int field [field ...]",
        summary: "Sets in how many milliseconds fields of a hash end.",
        run: hpexpire,
        ..SETS
    },
    Command {
        name: "hpexpireat",
        syntax: "key unix-time-milliseconds:time [NX | XX | GT | LT] FIELDS numfields:int field [field ...]",
        summary: "Sets the millisecond at which fields of a hash end.",
        run: hpexpireat,
        ..SETS
    },
    Command {
        name: "hpexpiretime",
        summary: "Tells the millisecond at which fields of a hash end.",
        run: hpexpiretime,
        ..TELLS
    },
    Command {
        name: "hpttl",
        summary: "Tells in how many milliseconds fields of a hash end.",
        run: hpttl,
        ..TELLS
    },
    Command {
        name: "hsetex",
        syntax: "key [NX | XX] [FNX | FXX] [EX seconds:int | PX milliseconds:int | EXAT unix-time-seconds:time | PXAT unix-time-milliseconds:time | KEEPTTL] FIELDS numfields:int field value [field value ...]",
        summary: "Sets fields of a hash and when they end.",
        since: "8.0.0",
        arity: -6,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | UPDATE)],
        run: hsetex,
        ..ENDS
    },
    Command {
        name: "httl",
        summary: "Tells in how many seconds fields of a hash end.",
        run: httl,
        ..TELLS
    },
];

/// Ends lie below this, in milliseconds since 1970: a field's end has 46 bits in Redis.
const END_MAX: i64 = (1 << 46) - 1;

/// The reply for a field that is not there.
const NO_FIELD: i64 = -2;
/// The reply for a field that does not end.
const NO_END: i64 = -1;
/// The reply for a field whose end was not set, for the condition did not hold.
const NOT_MET: i64 = 0;
/// The reply for a field whose end was set, or dropped.
const DONE: i64 = 1;
/// The reply for a field that was removed, for the time is not in the future.
const REMOVED: i64 = 2;

/// In what a time is given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Seconds,
    Milliseconds,
}

/// From when a time counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Now,
    Epoch,
}

/// Milliseconds since 1970 of a time as it was written.
fn read_end(cx: &Context<'_>, word: &[u8], unit: Unit, from: Start) -> Result<u64, Error> {
    let number = parse_i64(word).ok_or(Error::NotInteger)?;
    if number < 0 {
        return Err(Error::EndNegative);
    }
    let scale = if unit == Unit::Seconds { 1000 } else { 1 };
    let start = if from == Start::Now { cx.now() } else { 0 };
    number
        .checked_mul(scale)
        .and_then(|milliseconds| milliseconds.checked_add_unsigned(start))
        .filter(|end| *end <= END_MAX)
        .map(i64::unsigned_abs)
        .ok_or_else(|| Error::expire_time(cx.row.command.name))
}

/// Under which condition an end is set. A field that does not end counts as ending later than all others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    HasNone,
    HasOne,
    Later,
    Sooner,
}

impl Condition {
    fn read(args: &mut Args<'_>) -> Self {
        let words = [
            ("NX", Self::HasNone),
            ("XX", Self::HasOne),
            ("GT", Self::Later),
            ("LT", Self::Sooner),
        ];
        let found = words.into_iter().find(|(word, _)| args.flag(word));
        found.map_or(Self::Always, |(_, condition)| condition)
    }

    fn holds(self, old: Option<u64>, new: u64) -> bool {
        match self {
            Self::Always => true,
            Self::HasNone => old.is_none(),
            Self::HasOne => old.is_some(),
            Self::Later => old.is_some_and(|old| new > old),
            Self::Sooner => old.is_none_or(|old| new < old),
        }
    }
}

/// `FIELDS numfields`: what is left behind them are so many fields.
fn read_fields(args: &mut Args<'_>, wrong_number: Error) -> Result<(), Error> {
    if !args.flag("FIELDS") {
        return Err(Error::FieldsMissing);
    }
    let count = parse_i64(args.peek().unwrap_or_default()).filter(|count| *count >= 1);
    let count = count.ok_or(wrong_number)?;
    args.next()?;
    if count as u64 == args.left() as u64 { Ok(()) } else { Err(Error::NumFieldsMismatch) }
}

/// What the arguments came to. That the key holds something else is said before what is wrong with them; where nothing is, the key is
/// not looked up here.
fn unless_wrong_type<T>(
    cx: &mut Context<'_>,
    key: Key<'_>,
    read: Result<T, Error>,
) -> Result<T, Error> {
    if read.is_err() {
        cx.data.find_as::<Hash>(key)?;
    }
    read
}

/// What became of fields, for the journal.
#[derive(Default)]
struct Effects<'a> {
    changed: Vec<&'a [u8]>,
    removed: Vec<&'a [u8]>,
}

impl<'a> Effects<'a> {
    /// Gives a field an end, or removes it, and notes it.
    fn end(&mut self, hash: &mut Hash, field: &'a [u8], end: u64, now: u64) -> i64 {
        if end <= now {
            hash.remove(field);
            self.removed.push(field);
            return REMOVED;
        }
        hash.set_expiry(field, Some(end));
        self.changed.push(field);
        DONE
    }

    const fn is_any(&self) -> bool {
        !self.changed.is_empty() || !self.removed.is_empty()
    }

    /// Tells the journal: `head`, the number of fields and the changed ones, and HDEL of the removed; and who listens, that the former
    /// have `event`.
    fn record(&self, cx: &mut Context<'_>, key: Key<'_>, head: &[&[u8]], event: &'static str) {
        if !self.changed.is_empty() {
            cx.data.notify(Class::Hash, event, key);
            let mut digits = [0; DIGITS_MAX];
            let count = write_i64(self.changed.len() as i64, &mut digits);
            let words = [head, &[b"FIELDS", count], &self.changed].concat();
            cx.data.effect(&words);
        }
        if !self.removed.is_empty() {
            cx.data.announce_anyway(Class::Hash, "hdel", key);
            let words = [&[&b"HDEL"[..], key.bytes], &self.removed[..]].concat();
            cx.data.effect(&words);
        }
    }

    /// As [`Effects::record`], the changed ones having got an end.
    fn record_end(&self, cx: &mut Context<'_>, key: Key<'_>, end: u64) {
        let mut digits = [0; DIGITS_MAX];
        let end = write_i64(end as i64, &mut digits);
        self.record(cx, key, &[b"HPEXPIREAT", key.bytes, end], "hexpire");
    }
}

fn hexpire(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    set_ends(cx, args, Unit::Seconds, Start::Now)
}

fn hexpireat(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    set_ends(cx, args, Unit::Seconds, Start::Epoch)
}

fn hpexpire(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    set_ends(cx, args, Unit::Milliseconds, Start::Now)
}

fn hpexpireat(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    set_ends(cx, args, Unit::Milliseconds, Start::Epoch)
}

fn read_end_and_condition(
    cx: &Context<'_>,
    args: &mut Args<'_>,
    unit: Unit,
    from: Start,
) -> Result<(u64, Condition), Error> {
    let end = read_end(cx, args.next()?, unit, from)?;
    let condition = Condition::read(args);
    read_fields(args, Error::NumFieldsZero)?;
    Ok((end, condition))
}

fn set_ends(cx: &mut Context<'_>, args: &mut Args<'_>, unit: Unit, from: Start) -> Outcome {
    let key = args.key()?;
    let read = read_end_and_condition(cx, args, unit, from);
    let (end, condition) = unless_wrong_type(cx, key, read)?;
    let (mut effects, now) = (Effects::default(), cx.now());
    each_field(cx, key, args, |hash, field| {
        let code = match hash.expiry(field) {
            None => NO_FIELD,
            Some(old) if !condition.holds(old, end) => NOT_MET,
            Some(_) => effects.end(hash, field, end, now),
        };
        (code, code > NOT_MET)
    })?;
    effects.record_end(cx, key, end);
    Ok(())
}

/// Replies with a number for each field that is left in the arguments; `change` gives it, and says whether it changed the field.
fn each_field<'a>(
    cx: &mut Context<'_>,
    key: Key<'_>,
    args: &mut Args<'a>,
    mut change: impl FnMut(&mut Hash, &'a [u8]) -> (i64, bool),
) -> Result<(), Error> {
    let (count, reply) = (args.left(), &mut cx.reply);
    reply.array(count);
    let found = cx.data.change_found(key, |hash: &mut Hash| {
        let mut has_changed = false;
        for field in args {
            let (code, has_changed_it) = change(hash, field);
            reply.integer(code);
            has_changed |= has_changed_it;
        }
        ((), has_changed)
    })?;
    if found.is_none() {
        (0..count).for_each(|_| reply.integer(NO_FIELD));
    }
    Ok(())
}

fn httl(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    tell_ends(cx, args, Unit::Seconds, Start::Now)
}

fn hpttl(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    tell_ends(cx, args, Unit::Milliseconds, Start::Now)
}

fn hexpiretime(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    tell_ends(cx, args, Unit::Seconds, Start::Epoch)
}

fn hpexpiretime(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    tell_ends(cx, args, Unit::Milliseconds, Start::Epoch)
}

/// Seconds are rounded up.
fn tell_ends(cx: &mut Context<'_>, args: &mut Args<'_>, unit: Unit, from: Start) -> Outcome {
    let key = args.key()?;
    unless_wrong_type(cx, key, read_fields(args, Error::NumFieldsNotPositive))?;
    let start = if from == Start::Now { cx.now() } else { 0 };
    let hash = cx.data.read_as::<Hash>(key)?;
    cx.reply.array(args.left());
    for field in args {
        cx.reply.integer(match hash.and_then(|hash| hash.expiry(field)) {
            None => NO_FIELD,
            Some(None) => NO_END,
            Some(Some(end)) if unit == Unit::Seconds => (end - start).div_ceil(1000) as i64,
            Some(Some(end)) => (end - start) as i64,
        });
    }
    Ok(())
}

fn hpersist(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    unless_wrong_type(cx, key, read_fields(args, Error::NumFieldsNotPositive))?;
    each_field(cx, key, args, |hash, field| match hash.expiry(field) {
        None => (NO_FIELD, false),
        Some(None) => (NO_END, false),
        Some(Some(_)) => (DONE, hash.set_expiry(field, None)),
    })?;
    cx.data.announce(Class::Hash, "hpersist", key);
    Ok(())
}

/// What HGETEX does to the fields that it reads.
#[derive(Clone, Copy)]
enum Change {
    Nothing,
    Persist,
    End(u64),
}

/// The word that begins a time, with what the time is in.
const TIMES: [(&str, Unit, Start); 4] = [
    ("EX", Unit::Seconds, Start::Now),
    ("PX", Unit::Milliseconds, Start::Now),
    ("EXAT", Unit::Seconds, Start::Epoch),
    ("PXAT", Unit::Milliseconds, Start::Epoch),
];

impl Change {
    fn read(cx: &Context<'_>, args: &mut Args<'_>) -> Result<Self, Error> {
        if args.flag("PERSIST") {
            return Ok(Self::Persist);
        }
        let time = TIMES.into_iter().find(|(word, ..)| args.flag(word));
        let Some((_, unit, from)) = time else { return Ok(Self::Nothing) };
        read_end(cx, args.next()?, unit, from).map(Self::End)
    }

    fn apply<'a>(self, hash: &mut Hash, field: &'a [u8], now: u64, effects: &mut Effects<'a>) {
        let Some(old) = hash.expiry(field) else { return };
        match self {
            Self::End(end) => drop(effects.end(hash, field, end, now)),
            Self::Persist if old.is_some() => {
                hash.set_expiry(field, None);
                effects.changed.push(field);
            }
            Self::Nothing | Self::Persist => {}
        }
    }
}

fn hgetex(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let read = Change::read(cx, args).and_then(|change| {
        read_fields(args, Error::NumFieldsNotPositive)?;
        Ok(change)
    });
    let change = unless_wrong_type(cx, key, read)?;
    let (mut effects, now) = (Effects::default(), cx.now());
    reply_and_change(cx, key, args, |hash, field| {
        change.apply(hash, field, now, &mut effects);
        effects.is_any()
    })?;
    match change {
        Change::Nothing => {}
        Change::Persist => effects.record(cx, key, &[b"HPERSIST", key.bytes], "hpersist"),
        Change::End(end) => effects.record_end(cx, key, end),
    }
    Ok(())
}

/// Replies with the value of each field that is left in the arguments; `change` then does something to the field, and says whether
/// anything was changed.
fn reply_and_change<'a>(
    cx: &mut Context<'_>,
    key: Key<'_>,
    args: &mut Args<'a>,
    mut change: impl FnMut(&mut Hash, &'a [u8]) -> bool,
) -> Result<(), Error> {
    let (count, reply) = (args.left(), &mut cx.reply);
    reply.array(count);
    let found = cx.data.change_found(key, |hash: &mut Hash| {
        let mut has_changed = false;
        for field in args {
            reply_view(reply, hash.get(field));
            has_changed |= change(hash, field);
        }
        ((), has_changed)
    })?;
    if found.is_none() {
        (0..count).for_each(|_| reply.null());
    }
    Ok(())
}

fn hgetdel(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    unless_wrong_type(cx, key, read_fields(args, Error::NumFieldsNotPositive))?;
    let mut effects = Effects::default();
    reply_and_change(cx, key, args, |hash, field| {
        let is_removed = hash.remove(field);
        if is_removed {
            effects.removed.push(field);
        }
        is_removed
    })?;
    effects.record(cx, key, &[], "hdel");
    Ok(())
}

/// Whether something is to be there, or not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Absent,
    Present,
}

/// What HSETEX takes before its fields.
#[derive(Default)]
struct Options {
    key: Option<Presence>,
    fields: Option<Presence>,
    keeps_ends: bool,
    end: Option<u64>,
}

impl Options {
    /// Reads up to `FIELDS`.
    fn read(cx: &Context<'_>, args: &mut Args<'_>) -> Result<Self, Error> {
        let mut options = Self::default();
        while let Some(word) = args.peek() {
            if word.eq_ignore_ascii_case(b"FIELDS") {
                return Ok(options);
            }
            options.take(cx, args)?;
        }
        Err(Error::arity(cx.row.command.name))
    }

    fn take(&mut self, cx: &Context<'_>, args: &mut Args<'_>) -> Result<(), Error> {
        let word = args.next()?;
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        let presence = |yes: &str| if is(yes) { Presence::Present } else { Presence::Absent };
        if let Some((_, unit, from)) = TIMES.into_iter().find(|(name, ..)| is(name)) {
            self.only_one_end()?;
            let time = args.next().map_err(|_| Error::EndMissing)?;
            self.end = Some(read_end(cx, time, unit, from)?);
            Ok(())
        } else if is("KEEPTTL") {
            self.only_one_end()?;
            self.keeps_ends = true;
            Ok(())
        } else if is("FXX") || is("FNX") {
            let old = self.fields.replace(presence("FXX"));
            if old.is_none() { Ok(()) } else { Err(Error::FieldConditionTwice) }
        } else if is("XX") || is("NX") {
            let old = self.key.replace(presence("XX"));
            if old.is_none() { Ok(()) } else { Err(Error::Syntax) }
        } else {
            Err(Error::of(format!("ERR unknown argument: {}", String::from_utf8_lossy(word))))
        }
    }

    const fn only_one_end(&self) -> Result<(), Error> {
        if self.keeps_ends || self.end.is_some() { Err(Error::FieldEndTwice) } else { Ok(()) }
    }

    /// Whether the conditions hold for a hash, or for none.
    fn hold(&self, hash: Option<&Hash>, args: &Args<'_>) -> bool {
        let has = |field: &[u8]| hash.is_some_and(|hash| hash.get(field).is_some());
        let mut fields = pairs_of(*args).map(|(field, _)| field);
        let fields_hold = match self.fields {
            None => true,
            Some(Presence::Present) => fields.all(has),
            Some(Presence::Absent) => !fields.any(has),
        };
        let key_holds = self.key.is_none_or(|key| (key == Presence::Present) == hash.is_some());
        fields_hold && key_holds
    }
}

/// `FIELDS numfields` of HSETEX, whose errors are others than elsewhere.
fn read_pairs(cx: &Context<'_>, args: &mut Args<'_>) -> Result<(), Error> {
    let arity = || Error::arity(cx.row.command.name);
    args.next()?;
    if args.left() < 3 {
        return Err(arity());
    }
    let count = parse_i64(args.next()?).and_then(|count| i32::try_from(count).ok());
    let count = count.filter(|count| *count >= 1).ok_or(Error::InvalidFieldCount)?;
    if args.left() as u64 == 2 * u64::from(count.unsigned_abs()) { Ok(()) } else { Err(arity()) }
}

fn hsetex(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let options = Options::read(cx, args)?;
    read_pairs(cx, args)?;
    let holds = options.hold(cx.data.find_as::<Hash>(key)?, args);
    if holds {
        match options.end {
            // Redis sets the fields before it sees that they have ended.
            Some(end) if end <= cx.now() => {
                cx.data.notify(Class::Hash, "hset", key);
                remove_pairs(cx, key, args)?;
            }
            _ => set_pairs(cx, key, args, &options)?,
        }
    }
    cx.reply.integer(i64::from(holds));
    Ok(())
}

/// Fields that would end at once are as good as removed.
fn remove_pairs(cx: &mut Context<'_>, key: Key<'_>, args: &Args<'_>) -> Result<(), Error> {
    let mut effects = Effects::default();
    cx.data.change_found(key, |hash: &mut Hash| {
        let fields = pairs_of(*args).map(|(field, _)| field);
        effects.removed.extend(fields.filter(|field| hash.remove(field)));
        ((), effects.is_any())
    })?;
    effects.record(cx, key, &[], "hdel");
    Ok(())
}

fn set_pairs(
    cx: &mut Context<'_>,
    key: Key<'_>,
    args: &Args<'_>,
    options: &Options,
) -> Result<(), Error> {
    let (rules, count) = (rules(cx), args.left() / 2);
    let keeps_ends = options.keeps_ends || options.end.is_some();
    cx.data.change(key, Hash::new, |hash| {
        hash.prepare(count, pairs_of(*args), &rules);
        for (field, value) in pairs_of(*args) {
            hash.set(field, value, keeps_ends, &rules);
            if options.end.is_some() {
                hash.set_expiry(field, options.end);
            }
        }
        ((), true)
    })?;
    cx.data.notify(Class::Hash, "hset", key);
    if options.end.is_some() {
        cx.data.notify(Class::Hash, "hexpire", key);
    }
    record_pairs(cx, key, args, options);
    Ok(())
}

/// Without conditions, and the end as it came out.
fn record_pairs(cx: &mut Context<'_>, key: Key<'_>, args: &Args<'_>, options: &Options) {
    let (mut end, mut count) = ([0; DIGITS_MAX], [0; DIGITS_MAX]);
    let count = write_i64((args.left() / 2) as i64, &mut count);
    let mut words: Vec<&[u8]> = vec![b"HSETEX", key.bytes];
    match options.end {
        Some(at) => words.extend([b"PXAT", write_i64(at as i64, &mut end), b"FIELDS", count]),
        None if options.keeps_ends => words.extend([b"KEEPTTL", &b"FIELDS"[..], count]),
        None => words[0] = b"HSET",
    }
    words.extend(*args);
    cx.data.effect(&words);
}
