//! OBJECT: how values are kept.

use std::sync::atomic::Ordering;

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{RO, at};
use russet_dispatch::{Args, Command, Context, Error, Group, Outcome};
use russet_engine::{Entry, View};

use crate::help;

/// What every row of this file has in common.
const OBJECT: Command = Command { group: Group::Generic, file: file!(), ..Command::BASE };

/// What the subcommands about a key have in common.
const OF_KEY: Command = Command {
    syntax: "key",
    since: "2.2.3",
    arity: 3,
    flags: &[ReadOnly],
    keys: &[at(2, RO)],
    tips: &["nondeterministic_output"],
    ..OBJECT
};

/// The rows.
pub const COMMANDS: &[Command] = &[Command {
    name: "object",
    summary: "Holds what tells how values are kept.",
    complexity: "Depends on subcommand.",
    since: "2.2.3",
    arity: -2,
    subcommands: SUBCOMMANDS,
    ..OBJECT
}];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "encoding",
        summary: "Tells in which form a key's value is kept.",
        run: encoding,
        ..OF_KEY
    },
    Command {
        name: "freq",
        summary: "Tells how often a key is used, on a logarithmic scale; needs an LFU policy.",
        since: "4.0.0",
        run: freq,
        ..OF_KEY
    },
    Command {
        name: "idletime",
        summary: "Tells for how many seconds a key has not been used.",
        run: idletime,
        ..OF_KEY
    },
    Command {
        name: "refcount",
        summary: "Tells how many references a value has: one, or for small integers the most there can be.",
        run: refcount,
        ..OF_KEY
    },
    help::row("6.2.0", &OBJECT),
];

/// What Redis answers for the integers that it shares among all keys.
const SHARED: i64 = i32::MAX as i64;

/// The integers that Redis shares among all keys are less than this.
const SHARED_MAX: i64 = 10_000;

/// Answers what `look` sees in the key's entry, or null if there is no such key.
fn answer(
    cx: &mut Context<'_>,
    args: &mut Args<'_>,
    look: impl FnOnce(&Entry) -> Result<i64, Error>,
) -> Outcome {
    let key = args.key()?;
    match cx.data.inspect(key) {
        Some(entry) => {
            let number = look(entry)?;
            cx.reply.integer(number);
        }
        None => cx.reply.null(),
    }
    Ok(())
}

fn encoding(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    match cx.data.inspect(key) {
        Some(entry) => cx.reply.bulk(entry.encoding().as_bytes()),
        None => cx.reply.null(),
    }
    Ok(())
}

fn freq(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let access = cx.data.access;
    answer(cx, args, |entry| access.count(entry.access()).map(i64::from).ok_or(Error::NotLfu))
}

fn idletime(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let access = cx.data.access;
    answer(cx, args, |entry| access.idle_seconds(entry.access()).map(i64::from).ok_or(Error::IsLfu))
}

fn refcount(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    // Redis shares none where each must know how it is used.
    let has_limit = cx.state.tunables.memory_max.load(Ordering::Relaxed) > 0;
    let shares = !(has_limit && cx.state.ceiling.goes_by_use());
    answer(cx, args, |entry| match entry.view() {
        View::Int(0..SHARED_MAX) if shares => Ok(SHARED),
        _ => Ok(1),
    })
}
