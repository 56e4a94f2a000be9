//! DUMP and RESTORE: a value as bytes, and back.

use std::sync::atomic::Ordering;

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{ACCESS, OW, RO, UPDATE, at};
use russet_dispatch::{Args, Category, Class, Command, Context, Error, Key, Outcome, Stop};
use russet_engine::number::{DIGITS_MAX, write_i64};
use russet_engine::{Value, string_value};
use russet_rdb::encode::VERSION_7_0;
use russet_rdb::payload::{PayloadError, pack, unpack_if};
use russet_rdb::{Content, Style};

use super::GENERIC;

/// The row of DUMP.
pub(super) const DUMP: Command = Command {
    name: "dump",
    syntax: "key",
    summary: "Gives the value of a key as bytes that RESTORE takes.",
    complexity: "O(N) where N is the size of the value",
    since: "2.6.0",
    arity: 2,
    flags: &[ReadOnly],
    keys: &[at(1, RO | ACCESS)],
    tips: &["nondeterministic_output"],
    run: dump,
    ..GENERIC
};

/// The row of RESTORE.
pub(crate) const RESTORE: Command = Command {
    name: "restore",
    syntax: "key ttl:int serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds:int] [FREQ frequency:int]",
    summary: "Makes a key of what DUMP gave.",
    complexity: "O(N) where N is the size of the value, O(N*log(N)) for sorted sets",
    since: "2.6.0",
    arity: -4,
    flags: &[Write, DenyOom],
    also: &[Category::Dangerous],
    keys: &[at(1, OW | UPDATE)],
    history: &[
        ("3.0.0", "Added the `REPLACE` modifier."),
        ("5.0.0", "Added the `ABSTTL` modifier."),
        ("5.0.0", "Added the `IDLETIME` and `FREQ` options."),
    ],
    run: restore,
    ..GENERIC
};

/// Packing or unpacking more bytes than this takes about a millisecond.
const LONG_BYTES: usize = 256 << 10;

fn go_where_it_may_take(cx: &Context<'_>, bytes: usize) -> Result<(), Stop> {
    let may_move = !cx.is_worker && !cx.session.deny_blocking;
    if may_move && bytes > LONG_BYTES { Err(Stop::Elsewhere) } else { Ok(()) }
}

/// How values are dumped: for every server since Redis 7.0, unless fields end.
pub(crate) fn style(cx: &Context<'_>) -> Style {
    let compresses = cx.state.tunables.compresses.load(Ordering::Relaxed);
    Style { version: VERSION_7_0, compresses }
}

fn dump(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let Some(weight) = cx.data.read(key).map(russet_engine::Entry::weight) else {
        cx.reply.null();
        return Ok(());
    };
    go_where_it_may_take(cx, weight)?;
    let entry = cx.data.again(key).expect("found above");
    cx.reply.bulk(&pack(entry.view(), style(cx)));
    Ok(())
}

/// What RESTORE may be told.
#[derive(Debug, Default)]
struct Options {
    replaces: bool,
    is_absolute: bool,
    /// Seconds since the last use.
    idle: Option<i64>,
    /// How often it was used.
    frequency: Option<u8>,
}

impl Options {
    fn read(args: &mut Args<'_>) -> Result<Self, Error> {
        let mut options = Self::default();
        while !args.is_empty() {
            let left = args.left();
            if args.flag("REPLACE") {
                options.replaces = true;
            } else if args.flag("ABSTTL") {
                options.is_absolute = true;
            } else if left > 1 && options.frequency.is_none() && args.flag("IDLETIME") {
                let idle = args.int()?;
                options.idle = Some(idle).filter(|idle| *idle >= 0);
                options.idle.ok_or(Error::InvalidIdleTime)?;
            } else if left > 1 && options.idle.is_none() && args.flag("FREQ") {
                let frequency = u8::try_from(args.int()?).map_err(|_| Error::InvalidFrequency)?;
                options.frequency = Some(frequency);
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }
}

/// When a key ends that is told to end at `ttl`, or after so many milliseconds; zero is never.
fn end_of(ttl: i64, is_absolute: bool, now: u64) -> Result<Option<u64>, Error> {
    let ttl = u64::try_from(ttl).map_err(|_| Error::InvalidTtl)?;
    let end = if is_absolute { ttl } else { now.saturating_add(ttl).min(i64::MAX as u64) };
    Ok((ttl > 0).then_some(end))
}

fn restore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, mut ttl, payload) = (args.key()?, *args, args.by_ref().nth(1).ok_or(Error::Syntax)?);
    let options = Options::read(args)?;
    if !options.replaces && cx.data.exists(key) {
        return Err(Error::BusyKey.into());
    }
    let end = end_of(ttl.int()?, options.is_absolute, cx.now())?;
    go_where_it_may_take(cx, payload.len())?;
    cx.thread.counters.payloads_checked.add(1);
    let rules = cx.state.tunables.thresholds.rules(cx.state.keyspace.seed());
    let checks = !cx.state.persistence.skips_checksums.load(Ordering::Relaxed);
    let content = unpack_if(payload, &rules, checks).map_err(|error| match error {
        PayloadError::Footer => Error::DumpFooter,
        PayloadError::Contents(_) => Error::DumpFormat,
    })?;
    if end.is_some_and(|end| end <= cx.now()) {
        cx.data.remove_ended(key);
    } else {
        put(cx, key, content, end, &options);
        // Words that do not depend on the clock say what was done.
        if let Some(end) = end.filter(|_| !options.is_absolute) {
            record(cx, key, payload, end);
        }
    }
    cx.reply.ok();
    Ok(())
}

fn put(
    cx: &mut Context<'_>,
    key: Key<'_>,
    content: Content<'_>,
    end: Option<u64>,
    options: &Options,
) {
    if cx.data.exists(key) {
        // What is replaced counts as removed before, without a word.
        cx.data.notify(Class::New, "new", key);
    }
    match content {
        Content::Text(text) => cx.data.set(key, string_value(&text), end),
        Content::Object(object) => cx.data.set(key, Value::Object(object), end),
    }
    cx.data.notify(Class::Generic, "restore", key);
    // What the policy does not go by is forgotten, and how the key that was there was used.
    let idle = options.idle.and_then(|idle| cx.data.access.idle_for(idle as u64));
    let bits = idle.or_else(|| options.frequency.and_then(|count| cx.data.access.counted(count)));
    cx.data.set_access(key, bits.unwrap_or_else(|| cx.data.access.first()));
}

/// Says in the journal when the key ends, whatever the time is then.
fn record(cx: &mut Context<'_>, key: Key<'_>, payload: &[u8], end: u64) {
    let mut digits = [0; DIGITS_MAX];
    let end = write_i64(end as i64, &mut digits);
    cx.data.effect(&[b"RESTORE", key.bytes, end, payload, b"REPLACE", b"ABSTTL"]);
}
