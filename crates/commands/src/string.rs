//! Strings: one value under one key.
//!
//! GET, SET, MGET, MSET and INCR are what servers do most. They look their key up once or twice, copy the value once, and neither
//! allocate nor format beyond that; SET reads options only where there are any. Numbers live here too: Redis keeps them as strings.
//!
//! What reaches the journal is what came of a command: no conditions, no relative times, no sums.

mod counter;
mod lcs;
mod options;
mod range;

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{
    ACCESS, DELETE, INSERT, OW, RM, RO, RW, UPDATE, VARIABLE_FLAGS, at, counted, range as keys,
};
use russet_dispatch::{Args, Command, Context, Error, Group, Key, Outcome, Text};
use russet_engine::number::{DIGITS_MAX, write_i64};

use options::{Condition, End, Life, Options, Unit, digest_of, remove, store};

/// What every string command has in common.
const STRING: Command = Command { group: Group::String, file: file!(), ..Command::BASE };

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "append",
        syntax: "key value",
        summary: "Adds bytes to the end of a string, which is made if it is not there.",
        complexity: "O(1) amortized: room at the end grows with the string",
        since: "2.0.0",
        arity: 3,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | INSERT)],
        run: range::append,
        ..STRING
    },
    Command {
        name: "decr",
        syntax: "key",
        summary: "Takes one from an integer; a key that is not there counts as zero.",
        since: "1.0.0",
        arity: 2,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | ACCESS | UPDATE)],
        run: counter::decr,
        ..STRING
    },
    Command {
        name: "decrby",
        syntax: "key decrement:int",
        summary: "Takes a number from an integer; a key that is not there counts as zero.",
        since: "1.0.0",
        arity: 3,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | ACCESS | UPDATE)],
        run: counter::decrby,
        ..STRING
    },
    Command {
        name: "delex",
        syntax: "key [IFEQ ifeq-value | IFNE ifne-value | IFDEQ ifdeq-digest | IFDNE ifdne-digest]",
        summary: "Removes a key if its value, or the digest of it, is what is said.",
        complexity: "O(1) by value, O(N) by digest of N bytes",
        since: "8.4.0",
        arity: -2,
        flags: &[Write, Fast],
        keys: &[at(1, RW | DELETE | VARIABLE_FLAGS)],
        run: delex,
        ..STRING
    },
    Command {
        name: "delifeq",
        syntax: "key value",
        summary: "Removes a key if its value is what is said.",
        since: "9.0.0",
        arity: 3,
        flags: &[Write, Fast],
        keys: &[at(1, RM | DELETE)],
        run: delifeq,
        ..STRING
    },
    Command {
        name: "digest",
        syntax: "key",
        summary: "Gives the XXH3 digest of a string in hexadecimal.",
        complexity: "O(N) where N is the length of the string",
        since: "8.4.0",
        arity: 2,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO | ACCESS)],
        run: digest,
        ..STRING
    },
    Command {
        name: "get",
        syntax: "key",
        summary: "Gives the string under a key.",
        since: "1.0.0",
        arity: 2,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO | ACCESS)],
        run: get,
        ..STRING
    },
    Command {
        name: "getdel",
        syntax: "key",
        summary: "Gives the string under a key and removes the key.",
        since: "6.2.0",
        arity: 2,
        flags: &[Write, Fast],
        keys: &[at(1, RW | ACCESS | DELETE)],
        run: getdel,
        ..STRING
    },
    Command {
        name: "getex",
        syntax: "key [EX seconds:int | PX milliseconds:int | EXAT unix-time-seconds:time | PXAT unix-time-milliseconds:time | PERSIST]",
        summary: "Gives the string under a key and changes when the key ends.",
        since: "6.2.0",
        arity: -2,
        flags: &[Write, Fast],
        keys: &[at(1, RW | ACCESS | UPDATE)],
        run: getex,
        ..STRING
    },
    Command {
        name: "getrange",
        syntax: "key start:int end:int",
        summary: "Gives a part of a string.",
        complexity: "O(N) where N is the length of the part; large parts are given by reference",
        since: "2.4.0",
        arity: 4,
        flags: &[ReadOnly],
        keys: &[at(1, RO | ACCESS)],
        run: range::getrange,
        ..STRING
    },
    Command {
        name: "getset",
        syntax: "key value",
        summary: "Sets a key to a string and gives what it was.",
        since: "1.0.0",
        arity: 3,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | ACCESS | UPDATE)],
        deprecated: Some(("6.2.0", "`SET` with the `GET` argument")),
        run: getset,
        ..STRING
    },
    Command {
        name: "incr",
        syntax: "key",
        summary: "Adds one to an integer; a key that is not there counts as zero.",
        since: "1.0.0",
        arity: 2,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | ACCESS | UPDATE)],
        run: counter::incr,
        ..STRING
    },
    Command {
        name: "incrby",
        syntax: "key increment:int",
        summary: "Adds a number to an integer; a key that is not there counts as zero.",
        since: "1.0.0",
        arity: 3,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | ACCESS | UPDATE)],
        run: counter::incrby,
        ..STRING
    },
    Command {
        name: "incrbyfloat",
        syntax: "key increment:double",
        summary: "Adds a number to a float; a key that is not there counts as zero.",
        since: "2.6.0",
        arity: 3,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | ACCESS | UPDATE)],
        run: counter::incrbyfloat,
        ..STRING
    },
    Command {
        name: "increx",
        syntax: "key [BYFLOAT increment:double | BYINT increment:int] [LBOUND lowerbound] [UBOUND upperbound] [SATURATE] [EX seconds:int | PX milliseconds:int | EXAT unix-time-seconds:time | PXAT unix-time-milliseconds:time | PERSIST] [ENX]",
        summary: "Adds to a number within bounds and says when it ends; gives the number and what was added.",
        since: "8.8.0",
        arity: -2,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | ACCESS | UPDATE)],
        run: counter::increx,
        ..STRING
    },
    Command {
        name: "lcs",
        syntax: "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len:int] [WITHMATCHLEN]",
        summary: "Finds the longest common subsequence of two strings.",
        complexity: "O(N*M) where N and M are the lengths of the strings",
        since: "7.0.0",
        arity: -3,
        flags: &[ReadOnly],
        keys: &[keys(1, 1, 1, RO | ACCESS)],
        run: lcs::lcs,
        ..STRING
    },
    Command {
        name: "mget",
        syntax: "key [key ...]",
        summary: "Gives the strings under several keys; null where there is none.",
        complexity: "O(N) where N is the number of keys",
        since: "1.0.0",
        arity: -2,
        flags: &[ReadOnly, Fast],
        keys: &[keys(1, -1, 1, RO | ACCESS)],
        tips: &["request_policy:multi_shard"],
        run: mget,
        ..STRING
    },
    Command {
        name: "mset",
        syntax: "key value [key value ...]",
        summary: "Sets several keys to strings, all at once.",
        complexity: "O(N) where N is the number of keys",
        since: "1.0.1",
        arity: -3,
        flags: &[Write, DenyOom],
        keys: &[keys(1, -1, 2, OW | UPDATE)],
        tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
        run: mset,
        ..STRING
    },
    Command {
        name: "msetex",
        syntax: "numkeys:int key value [key value ...] [NX | XX] [EX seconds:int | PX milliseconds:int | EXAT unix-time-seconds:time | PXAT unix-time-milliseconds:time | KEEPTTL]",
        summary: "Sets several keys to strings, all at once or none, and says when they end.",
        complexity: "O(N) where N is the number of keys",
        since: "8.4.0",
        arity: -4,
        flags: &[Write, DenyOom, MovableKeys],
        keys: &[counted(1, 2, OW | UPDATE)],
        run: msetex,
        ..STRING
    },
    Command {
        name: "msetnx",
        syntax: "key value [key value ...]",
        summary: "Sets several keys to strings if none of them is there.",
        complexity: "O(N) where N is the number of keys",
        since: "1.0.1",
        arity: -3,
        flags: &[Write, DenyOom],
        keys: &[keys(1, -1, 2, OW | INSERT)],
        run: msetnx,
        ..STRING
    },
    Command {
        name: "psetex",
        syntax: "key milliseconds:int value",
        summary: "Sets a key to a string for a number of milliseconds.",
        since: "2.6.0",
        arity: 4,
        flags: &[Write, DenyOom],
        keys: &[at(1, OW | UPDATE)],
        deprecated: Some(("2.6.12", "`SET` with the `PX` argument")),
        run: psetex,
        ..STRING
    },
    Command {
        name: "set",
        syntax: "key value [NX | XX | IFEQ ifeq-value | IFNE ifne-value | IFDEQ ifdeq-digest | IFDNE ifdne-digest] [GET] [EX seconds:int | PX milliseconds:int | EXAT unix-time-seconds:time | PXAT unix-time-milliseconds:time | KEEPTTL]",
        summary: "Sets a key to a string, whatever it was.",
        complexity: "O(1), but O(N) for IFDEQ and IFDNE where N is the length of the string before",
        since: "1.0.0",
        arity: -3,
        flags: &[Write, DenyOom],
        keys: &[at(1, RW | ACCESS | UPDATE | VARIABLE_FLAGS)],
        exact_access: Some(|words| {
            let gets = words.iter().skip(3).any(|word| word.eq_ignore_ascii_case(b"GET"));
            if gets { RW | ACCESS | UPDATE } else { OW | UPDATE }
        }),
        history: &[
            ("2.6.12", "`EX`, `PX`, `NX` and `XX` came."),
            ("6.0.0", "`KEEPTTL` came."),
            ("6.2.0", "`GET`, `EXAT` and `PXAT` came."),
            ("7.0.0", "`NX` and `GET` may stand together."),
            ("8.4.0", "`IFEQ`, `IFNE`, `IFDEQ` and `IFDNE` came."),
        ],
        run: set,
        ..STRING
    },
    Command {
        name: "setex",
        syntax: "key seconds:int value",
        summary: "Sets a key to a string for a number of seconds.",
        since: "2.0.0",
        arity: 4,
        flags: &[Write, DenyOom],
        keys: &[at(1, OW | UPDATE)],
        deprecated: Some(("2.6.12", "`SET` with the `EX` argument")),
        run: setex,
        ..STRING
    },
    Command {
        name: "setnx",
        syntax: "key value",
        summary: "Sets a key to a string if it is not there.",
        since: "1.0.0",
        arity: 3,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, OW | INSERT)],
        deprecated: Some(("2.6.12", "`SET` with the `NX` argument")),
        run: setnx,
        ..STRING
    },
    Command {
        name: "setrange",
        syntax: "key offset:int value",
        summary: "Overwrites a part of a string, which is extended with zeros as needed.",
        complexity: "O(N) where N is the length of the part",
        since: "2.2.0",
        arity: 4,
        flags: &[Write, DenyOom],
        keys: &[at(1, RW | UPDATE)],
        run: range::setrange,
        ..STRING
    },
    Command {
        name: "strlen",
        syntax: "key",
        summary: "Tells how many bytes a string has.",
        since: "2.2.0",
        arity: 2,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO)],
        run: range::strlen,
        ..STRING
    },
    Command {
        name: "substr",
        syntax: "key start:int end:int",
        summary: "Gives a part of a string.",
        complexity: "O(N) where N is the length of the part; large parts are given by reference",
        since: "1.0.0",
        arity: 4,
        flags: &[ReadOnly],
        keys: &[at(1, RO | ACCESS)],
        deprecated: Some(("2.0.0", "`GETRANGE`")),
        run: range::getrange,
        ..STRING
    },
];

fn get(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    show(cx, key)
}

/// Gives the string of a key, or null.
#[inline]
fn show(cx: &mut Context<'_>, key: Key<'_>) -> Outcome {
    match cx.data.string(key)? {
        Some(text) => text.reply(&mut cx.reply),
        None => cx.reply.null(),
    }
    Ok(())
}

fn set(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, value) = (args.key()?, args.next()?);
    if !args.is_empty() {
        return set_with_options(cx, args, key, value);
    }
    cx.data.set_string(key, value, None);
    cx.reply.ok();
    Ok(())
}

fn set_with_options(
    cx: &mut Context<'_>,
    args: &mut Args<'_>,
    key: Key<'_>,
    value: &[u8],
) -> Outcome {
    let options = Options::of_set(args)?;
    let end = options.life.settle(cx.now(), "set")?;
    if options.gives_old {
        show(cx, key)?;
    }
    let holds = options.condition.holds(&mut cx.data, key)?;
    if holds {
        store(&mut cx.data, key, value, end);
    }
    match (options.gives_old, holds) {
        (true, _) => {}
        (false, true) => cx.reply.ok(),
        (false, false) => cx.reply.null(),
    }
    Ok(())
}

fn setex(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    set_for(cx, args, Unit::Seconds, "setex")
}

fn psetex(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    set_for(cx, args, Unit::Milliseconds, "psetex")
}

fn set_for(cx: &mut Context<'_>, args: &mut Args<'_>, unit: Unit, command: &str) -> Outcome {
    let (key, time, value) = (args.key()?, args.next()?, args.next()?);
    let end = Life::Until(unit, time).settle(cx.now(), command)?;
    store(&mut cx.data, key, value, end);
    cx.reply.ok();
    Ok(())
}

fn setnx(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, value) = (args.key()?, args.next()?);
    let is_new = !cx.data.exists(key);
    if is_new {
        cx.data.set_string(key, value, None);
    }
    cx.reply.integer(i64::from(is_new));
    Ok(())
}

fn getset(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, value) = (args.key()?, args.next()?);
    show(cx, key)?;
    store(&mut cx.data, key, value, End::Unsaid);
    Ok(())
}

fn getdel(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    show(cx, key)?;
    remove(&mut cx.data, key);
    Ok(())
}

fn getex(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let life = life_of_getex(args)?;
    let Some(text) = cx.data.string(key)? else {
        cx.reply.null();
        return Ok(());
    };
    // The time is judged only for a key that is there.
    text.reply(&mut cx.reply);
    match life.settle(cx.now(), "getex")? {
        End::At(at) => end_at(cx, key, at),
        End::Never if cx.data.expiry(key).flatten().is_some() => {
            cx.data.set_expiry(key, None);
            cx.data.effect(&[b"PERSIST", key.bytes]);
        }
        End::Never | End::Kept | End::Unsaid => {}
    }
    Ok(())
}

fn life_of_getex<'a>(args: &mut Args<'a>) -> Result<Life<'a>, Error> {
    let mut life = Life::Unsaid;
    while let Some(word) = args.peek() {
        args.next()?;
        let next = Life::read(word, args)?.filter(|life| *life != Life::Kept);
        life.replace(next.ok_or(Error::Syntax)?)?;
    }
    Ok(life)
}

fn end_at(cx: &mut Context<'_>, key: Key<'_>, at: u64) {
    if at <= cx.now() {
        return cx.data.remove_ended(key);
    }
    cx.data.set_expiry(key, Some(at));
    let mut digits = [0; DIGITS_MAX];
    cx.data.effect(&[b"PEXPIREAT", key.bytes, write_i64(at as i64, &mut digits)]);
}

fn mget(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    cx.reply.array(args.left());
    while !args.is_empty() {
        let key = args.key()?;
        match cx.data.read(key).map(Text::of) {
            Some(Ok(text)) => text.reply(&mut cx.reply),
            _ => cx.reply.null(),
        }
    }
    Ok(())
}

fn mset(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    if !args.left().is_multiple_of(2) {
        return Err(Error::arity("mset").into());
    }
    set_pairs(cx, args)?;
    cx.reply.ok();
    Ok(())
}

fn msetnx(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    if !args.left().is_multiple_of(2) {
        return Err(Error::arity("msetnx").into());
    }
    let count = args.left() / 2;
    let is_free = all_hold(cx, *args, count, Condition::Absent)?;
    if is_free {
        set_pairs(cx, args)?;
    }
    cx.reply.integer(i64::from(is_free));
    Ok(())
}

fn set_pairs(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<(), Error> {
    while !args.is_empty() {
        let (key, value) = (args.key()?, args.next()?);
        cx.data.set_string(key, value, None);
    }
    Ok(())
}

/// Whether a condition holds for all of the `count` pairs that come next.
fn all_hold(
    cx: &mut Context<'_>,
    mut args: Args<'_>,
    count: usize,
    condition: Condition<'_>,
) -> Result<bool, Error> {
    for _ in 0..count {
        let (key, _) = (args.key()?, args.next()?);
        if !condition.holds(&mut cx.data, key)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn msetex(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let count =
        args.int().ok().and_then(|count| i32::try_from(count).ok()).filter(|count| *count > 0);
    let count = count.ok_or(Error::InvalidNumkeys)? as usize;
    if args.left() / 2 < count {
        return Err(Error::PairsMissing.into());
    }
    let mut pairs = *args;
    args.nth(2 * count - 1);
    let options = Options::of_msetex(args)?;
    let end = options.life.settle(cx.now(), "msetex")?;
    let holds = all_hold(cx, pairs, count, options.condition)?;
    if holds {
        for _ in 0..count {
            store(&mut cx.data, pairs.key()?, pairs.next()?, end);
        }
    }
    cx.reply.integer(i64::from(holds));
    Ok(())
}

fn digest(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    match cx.data.string(key)? {
        Some(text) => cx.reply.bulk(&digest_of(text)),
        None => cx.reply.null(),
    }
    Ok(())
}

fn delifeq(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, value) = (args.key()?, args.next()?);
    let holds = cx.data.string_to_change(key)?.is_some_and(|text| text.equals(value));
    remove_if(cx, key, holds);
    Ok(())
}

fn delex(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    if !matches!(args.left(), 0 | 2) {
        return Err(Error::arity("delex").into());
    }
    let holds = if args.is_empty() { cx.data.exists(key) } else { delex_holds(cx, key, args)? };
    remove_if(cx, key, holds);
    Ok(())
}

/// Whether the condition of DELEX, which is read only for a string that is there, holds for it.
fn delex_holds(cx: &mut Context<'_>, key: Key<'_>, args: &mut Args<'_>) -> Result<bool, Error> {
    let Some(entry) = cx.data.find(key) else { return Ok(false) };
    let text = Text::of(entry).map_err(|_| Error::ConditionOnNoString)?;
    let condition = Condition::read(args.next()?, args)?;
    let condition = condition.filter(|c| !matches!(c, Condition::Absent | Condition::Present));
    let condition = condition.ok_or(Error::InvalidCondition)?;
    condition.check()?;
    Ok(condition.holds_for(Some(text)))
}

fn remove_if(cx: &mut Context<'_>, key: Key<'_>, holds: bool) {
    if holds {
        remove(&mut cx.data, key);
    }
    cx.reply.integer(i64::from(holds));
}
