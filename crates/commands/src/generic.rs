//! Keys, whatever they hold: removing, renaming, copying, and when they end.
//!
//! What walks the whole keyspace stands in `generic/scan.rs`, SORT in `generic/sort.rs`, DUMP in
//! `generic/dump.rs`.

pub(crate) mod dump;
pub mod scan;
mod sort;

use russet_dispatch::command::Flag::*;
use russet_dispatch::context::type_name;
use russet_dispatch::keys::{ACCESS, DELETE, INSERT, OW, RM, RO, RW, UPDATE, at, range};
use russet_dispatch::{Args, Class, Command, Context, Error, Group, Key, Outcome, Stop};
use russet_engine::Entry;
use russet_engine::number::parse_i64;

/// What every generic command has in common.
const GENERIC: Command = Command { group: Group::Generic, file: file!(), ..Command::BASE };

/// What those have in common that ask nodes of a cluster for their part and add up.
const ADDED_UP: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];

/// What the commands that set an end have learnt.
const CONDITIONS: &[(&str, &str)] = &[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")];

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "copy",
        syntax: "source destination [DB destination-db:int] [REPLACE]",
        summary: "Copies a key's value and its end to another key.",
        complexity: "O(N) where N is the number of elements of a collection, O(1) for strings",
        since: "6.2.0",
        arity: -3,
        flags: &[Write, DenyOom],
        keys: &[at(1, RO | ACCESS), at(2, OW | UPDATE)],
        run: copy,
        ..GENERIC
    },
    Command {
        name: "del",
        syntax: "key [key ...]",
        summary: "Removes keys.",
        complexity: "O(N) where N is the number of keys; large values are freed in the background",
        arity: -2,
        flags: &[Write],
        keys: &[range(1, -1, 1, RM | DELETE)],
        tips: ADDED_UP,
        run: remove,
        ..GENERIC
    },
    dump::DUMP,
    Command {
        name: "exists",
        syntax: "key [key ...]",
        summary: "Counts the keys that are there, each as often as it is named.",
        complexity: "O(N) where N is the number of keys",
        arity: -2,
        flags: &[ReadOnly, Fast],
        keys: &[range(1, -1, 1, RO)],
        tips: ADDED_UP,
        history: &[("3.0.3", "Accepts multiple `key` arguments.")],
        run: exists,
        ..GENERIC
    },
    Command {
        name: "expire",
        syntax: "key seconds:int [NX | XX | GT | LT]",
        summary: "Sets in how many seconds a key ends.",
        arity: -3,
        flags: &[Write, Fast],
        keys: &[at(1, RW | UPDATE)],
        history: CONDITIONS,
        run: expire,
        ..GENERIC
    },
    Command {
        name: "expireat",
        syntax: "key unix-time-seconds:time [NX | XX | GT | LT]",
        summary: "Sets the second at which a key ends.",
        since: "1.2.0",
        arity: -3,
        flags: &[Write, Fast],
        keys: &[at(1, RW | UPDATE)],
        history: CONDITIONS,
        run: expireat,
        ..GENERIC
    },
    Command {
        name: "expiretime",
        syntax: "key",
        summary: "Tells the second at which a key ends.",
        since: "7.0.0",
        arity: 2,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO | ACCESS)],
        run: expiretime,
        ..GENERIC
    },
    scan::KEYS,
    Command {
        name: "move",
        syntax: "key db:int",
        summary: "Moves a key to another database, unless there is one of its name.",
        arity: 3,
        flags: &[Write, Fast],
        keys: &[at(1, RW | ACCESS | UPDATE)],
        run: move_to_db,
        ..GENERIC
    },
    Command {
        name: "persist",
        syntax: "key",
        summary: "Makes a key stay that would have ended.",
        since: "2.2.0",
        arity: 2,
        flags: &[Write, Fast],
        keys: &[at(1, RW | UPDATE)],
        run: persist,
        ..GENERIC
    },
    Command {
        name: "pexpire",
        syntax: "key milliseconds:int [NX | XX | GT | LT]",
        summary: "Sets in how many milliseconds a key ends.",
        since: "2.6.0",
        arity: -3,
        flags: &[Write, Fast],
        keys: &[at(1, RW | UPDATE)],
        history: CONDITIONS,
        run: pexpire,
        ..GENERIC
    },
    Command {
        name: "pexpireat",
        syntax: "key unix-time-milliseconds:time [NX | XX | GT | LT]",
        summary: "Sets the millisecond at which a key ends.",
        since: "2.6.0",
        arity: -3,
        flags: &[Write, Fast],
        keys: &[at(1, RW | UPDATE)],
        history: CONDITIONS,
        run: pexpireat,
        ..GENERIC
    },
    Command {
        name: "pexpiretime",
        syntax: "key",
        summary: "Tells the millisecond at which a key ends.",
        since: "7.0.0",
        arity: 2,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO | ACCESS)],
        run: pexpiretime,
        ..GENERIC
    },
    Command {
        name: "pttl",
        syntax: "key",
        summary: "Tells in how many milliseconds a key ends.",
        since: "2.6.0",
        arity: 2,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO | ACCESS)],
        tips: &["nondeterministic_output"],
        history: &[("2.8.0", "Added the -2 reply.")],
        run: pttl,
        ..GENERIC
    },
    scan::RANDOMKEY,
    Command {
        name: "rename",
        syntax: "key newkey",
        summary: "Gives a key another name, over whatever had it.",
        arity: 3,
        flags: &[Write],
        keys: &[at(1, RW | ACCESS | DELETE), at(2, OW | UPDATE)],
        run: rename,
        ..GENERIC
    },
    Command {
        name: "renamenx",
        syntax: "key newkey",
        summary: "Gives a key another name, unless something has it.",
        arity: 3,
        flags: &[Write, Fast],
        keys: &[at(1, RW | ACCESS | DELETE), at(2, OW | INSERT)],
        history: &[("3.2.0", "No error any more when both names are the same.")],
        run: renamenx,
        ..GENERIC
    },
    dump::RESTORE,
    scan::SCAN,
    sort::SORT,
    sort::SORT_RO,
    Command {
        name: "touch",
        syntax: "key [key ...]",
        summary: "Marks keys as just used and counts those that are there.",
        complexity: "O(N) where N is the number of keys",
        since: "3.2.1",
        arity: -2,
        flags: &[ReadOnly, Fast],
        keys: &[range(1, -1, 1, RO)],
        tips: ADDED_UP,
        run: touch,
        ..GENERIC
    },
    Command {
        name: "ttl",
        syntax: "key",
        summary: "Tells in how many seconds a key ends.",
        arity: 2,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO | ACCESS)],
        tips: &["nondeterministic_output"],
        history: &[("2.8.0", "Added the -2 reply.")],
        run: ttl,
        ..GENERIC
    },
    Command {
        name: "type",
        syntax: "key",
        summary: "Tells what type of value a key holds.",
        arity: 2,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO)],
        run: kind,
        ..GENERIC
    },
    Command {
        name: "unlink",
        syntax: "key [key ...]",
        summary: "Removes keys, as DEL: large values are freed in the background by both.",
        complexity: "O(N) where N is the number of keys",
        since: "4.0.0",
        arity: -2,
        flags: &[Write, Fast],
        keys: &[range(1, -1, 1, RM | DELETE)],
        tips: ADDED_UP,
        run: remove,
        ..GENERIC
    },
];

/// Collections from this size on are copied by a worker: about a millisecond's work.
const COPY_BYTES_MAX: usize = 1 << 20;

/// How many of the keys that are left `is_counted`.
fn count(args: &mut Args<'_>, mut is_counted: impl FnMut(Key<'_>) -> bool) -> Result<i64, Error> {
    let mut count = 0;
    while !args.is_empty() {
        count += i64::from(is_counted(args.key()?));
    }
    Ok(count)
}

fn remove(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let removed = count(args, |key| cx.data.remove(key))?;
    cx.reply.integer(removed);
    Ok(())
}

fn exists(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let there = count(args, |key| cx.data.peek(key).is_some())?;
    cx.reply.integer(there);
    Ok(())
}

fn touch(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let touched = count(args, |key| cx.data.touch(key))?;
    cx.reply.integer(touched);
    Ok(())
}

fn kind(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    cx.reply.simple(type_name(cx.data.peek(key)));
    Ok(())
}

/// When EXPIRE and kin are to do anything.
#[derive(Clone, Copy, Debug, Default)]
struct Condition {
    is_new: bool,
    is_old: bool,
    is_later: bool,
    is_sooner: bool,
}

impl Condition {
    fn read(args: &mut Args<'_>) -> Result<Self, Error> {
        let mut condition = Self::default();
        while let Some(option) = args.peek() {
            let place = match option.to_ascii_lowercase().as_slice() {
                b"nx" => &mut condition.is_new,
                b"xx" => &mut condition.is_old,
                b"gt" => &mut condition.is_later,
                b"lt" => &mut condition.is_sooner,
                _ => return Err(unsupported(option)),
            };
            *place = true;
            args.next()?;
        }
        condition.check()
    }

    const fn check(self) -> Result<Self, Error> {
        if self.is_new && (self.is_old || self.is_later || self.is_sooner) {
            return Err(Error::ExpireNxAndOthers);
        }
        if self.is_later && self.is_sooner {
            return Err(Error::ExpireGtAndLt);
        }
        Ok(self)
    }

    /// A key that does not end counts as one that ends last of all.
    fn allows(self, old: Option<u64>, new: i64) -> bool {
        let old = old.map(|at| at as i64);
        !(self.is_new && old.is_some()
            || self.is_old && old.is_none()
            || self.is_later && old.is_none_or(|old| new <= old)
            || self.is_sooner && old.is_some_and(|old| new >= old))
    }
}

fn unsupported(option: &[u8]) -> Error {
    Error::of(format!("ERR Unsupported option {}", String::from_utf8_lossy(option)))
}

/// Sets when a key ends: so many times `unit_ms` after `start_ms`.
fn set_end(cx: &mut Context<'_>, args: &mut Args<'_>, unit_ms: i64, start_ms: u64) -> Outcome {
    let (key, number) = (args.key()?, args.next()?);
    let condition = Condition::read(args)?;
    let number = parse_i64(number).ok_or(Error::NotInteger)?;
    let end = number.checked_mul(unit_ms).and_then(|ms| ms.checked_add(start_ms as i64));
    let end = end.ok_or_else(|| Error::expire_time(cx.row.command.name))?;
    let old = cx.data.expiry(key);
    let is_due = old.is_some_and(|old| condition.allows(old, end));
    if is_due {
        end_at(cx, key, end.max(0) as u64);
    }
    cx.reply.integer(is_due.into());
    Ok(())
}

fn end_at(cx: &mut Context<'_>, key: Key<'_>, end: u64) {
    cx.data.set_expiry(key, Some(end));
    if end > cx.now() {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(end);
        cx.data.effect(&[b"PEXPIREAT", key.bytes, digits.as_bytes()]);
    }
}

fn expire(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let now = cx.now();
    set_end(cx, args, 1000, now)
}

fn pexpire(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let now = cx.now();
    set_end(cx, args, 1, now)
}

fn expireat(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    set_end(cx, args, 1000, 0)
}

fn pexpireat(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    set_end(cx, args, 1, 0)
}

/// Tells when a key ends, in the unit that `shown` chooses.
fn tell_end(cx: &mut Context<'_>, args: &mut Args<'_>, shown: impl Fn(u64) -> u64) -> Outcome {
    let key = args.key()?;
    let end = cx.data.peek(key).map(Entry::expiry);
    cx.reply.integer(match end {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => shown(at) as i64,
    });
    Ok(())
}

/// Milliseconds as seconds, rounded to the nearest.
const fn seconds(milliseconds: u64) -> u64 {
    (milliseconds + 500) / 1000
}

fn ttl(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let now = cx.now();
    tell_end(cx, args, |at| seconds(at.saturating_sub(now)))
}

fn pttl(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let now = cx.now();
    tell_end(cx, args, |at| at.saturating_sub(now))
}

fn expiretime(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    tell_end(cx, args, seconds)
}

fn pexpiretime(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    tell_end(cx, args, |at| at)
}

fn persist(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let ends = cx.data.expiry(key).flatten().is_some();
    if ends {
        cx.data.set_expiry(key, None);
    }
    cx.reply.integer(ends.into());
    Ok(())
}

fn rename(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (source, target) = (args.key()?, args.key()?);
    if !cx.data.exists(source) {
        return Err(Error::NoSuchKey.into());
    }
    if source.bytes != target.bytes {
        rename_found(cx, source, target);
    }
    cx.reply.ok();
    Ok(())
}

fn renamenx(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (source, target) = (args.key()?, args.key()?);
    if !cx.data.exists(source) {
        return Err(Error::NoSuchKey.into());
    }
    let is_free = !cx.data.exists(target);
    if is_free {
        rename_found(cx, source, target);
    }
    cx.reply.integer(is_free.into());
    Ok(())
}

fn rename_found(cx: &mut Context<'_>, source: Key<'_>, target: Key<'_>) {
    let db = cx.data.db;
    cx.data.rename(source, target, db);
    cx.data.notify(Class::Generic, "rename_from", source);
    cx.data.notify(Class::Generic, "rename_to", target);
}

fn move_to_db(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, db) = (args.key()?, args.db(cx.state.databases)?);
    if db == cx.data.db {
        return Err(Error::SameObject.into());
    }
    let is_due = cx.data.exists(key) && !cx.data.in_db(db, |data| data.exists(key));
    if is_due {
        cx.data.rename(key, key, db);
        cx.data.notify(Class::Generic, "move_from", key);
        cx.data.in_db(db, |data| data.notify(Class::Generic, "move_to", key));
    }
    cx.reply.integer(is_due.into());
    Ok(())
}

fn copy(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (source, target) = (args.key()?, args.key()?);
    let (mut db, mut may_replace) = (cx.data.db, false);
    while !args.is_empty() {
        if args.flag("replace") {
            may_replace = true;
        } else if args.left() > 1 && args.flag("db") {
            db = args.db(cx.state.databases)?;
        } else {
            return Err(Error::Syntax.into());
        }
    }
    if db == cx.data.db && source.bytes == target.bytes {
        return Err(Error::SameObject.into());
    }
    let (bytes, is_object) =
        cx.data.read(source).map_or((0, false), |it| (it.weight(), it.object().is_some()));
    cx.make_sure_of(bytes)?;
    // A long string is copied by reference.
    if is_object && bytes > COPY_BYTES_MAX && !cx.is_worker && !cx.session.deny_blocking {
        return Err(Stop::Elsewhere);
    }
    let is_free = may_replace || !cx.data.in_db(db, |data| data.exists(target));
    let is_copied = is_free && cx.data.copy(source, target, db);
    if is_copied {
        cx.data.in_db(db, |data| data.notify(Class::Generic, "copy_to", target));
    }
    cx.reply.integer(is_copied.into());
    Ok(())
}
