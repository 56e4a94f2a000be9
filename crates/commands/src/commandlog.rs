//! SLOWLOG and COMMANDLOG: commands that cost much, for those who want to know which.
//!
//! SLOWLOG is the part of COMMANDLOG about time, with the words it had before there was more.

use russet_dispatch::command::Flag::*;
use russet_dispatch::commandlog::{Cost, Entry};
use russet_dispatch::{Args, Command, Context, Error, Group, Outcome};

use crate::help;

/// What every row of this file has in common.
const LOG: Command = Command {
    group: Group::Server,
    flags: &[Admin, Loading, Stale],
    file: file!(),
    ..Command::BASE
};

/// What the rows of SLOWLOG have in common.
const SLOWLOG: Command = Command { since: "2.2.12", ..LOG };

/// What the rows of COMMANDLOG have in common.
const COMMANDLOG: Command = Command { since: "8.1.0", ..LOG };

/// What clients of a cluster do to see or empty a log: ask every node.
const EVERYWHERE: &[&str] = &["request_policy:all_nodes", "nondeterministic_output"];
const EVERYWHERE_SUM: &[&str] =
    &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"];
const EVERYWHERE_OK: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

/// Both containers.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "slowlog",
        summary: "Holds the commands about the log of slow commands.",
        complexity: "Depends on subcommand.",
        arity: -2,
        flags: &[],
        subcommands: &[
            Command {
                name: "get",
                syntax: "[count:int]",
                summary: "Shows the latest slow commands: ten, or so many, or with -1 all.",
                complexity: "O(N) where N is the number of entries returned",
                arity: -2,
                tips: EVERYWHERE,
                history: &[("4.0.0", "Tells the address and the name of the client as well.")],
                run: slowlog_get,
                ..SLOWLOG
            },
            help::row("6.2.0", &SLOWLOG),
            Command {
                name: "len",
                summary: "Counts the slow commands that are remembered.",
                arity: 2,
                tips: EVERYWHERE_SUM,
                run: slowlog_len,
                ..SLOWLOG
            },
            Command {
                name: "reset",
                summary: "Forgets all slow commands.",
                complexity: "O(N) where N is the number of entries in the slowlog",
                arity: 2,
                tips: EVERYWHERE_OK,
                run: slowlog_reset,
                ..SLOWLOG
            },
        ],
        ..SLOWLOG
    },
    Command {
        name: "commandlog",
        summary: "Holds the commands about the logs of commands that cost much.",
        complexity: "Depends on subcommand.",
        arity: -2,
        flags: &[],
        subcommands: &[
            Command {
                name: "get",
                syntax: "count:int <SLOW | LARGE-REQUEST | LARGE-REPLY>",
                summary: "Shows the latest entries of a log: so many, or with -1 all.",
                complexity: "O(N) where N is the number of entries returned",
                arity: 4,
                tips: EVERYWHERE,
                run: commandlog_get,
                ..COMMANDLOG
            },
            help::row("8.1.0", &COMMANDLOG),
            Command {
                name: "len",
                syntax: "<SLOW | LARGE-REQUEST | LARGE-REPLY>",
                summary: "Counts the entries of a log.",
                arity: 3,
                tips: EVERYWHERE_SUM,
                run: commandlog_len,
                ..COMMANDLOG
            },
            Command {
                name: "reset",
                syntax: "<SLOW | LARGE-REQUEST | LARGE-REPLY>",
                summary: "Forgets all entries of a log.",
                complexity: "O(N) where N is the number of entries in the commandlog",
                arity: 3,
                tips: EVERYWHERE_OK,
                run: commandlog_reset,
                ..COMMANDLOG
            },
        ],
        ..COMMANDLOG
    },
];

fn slowlog_get(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    /// Entries shown where nobody says how many.
    const SHOWN: usize = 10;
    let count = if args.is_empty() { SHOWN } else { count(args)? };
    args.end().map_err(|_| Error::subcommand(args.word(1), "slowlog"))?;
    show(cx, Cost::Time, count)
}

fn slowlog_len(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    len(cx, Cost::Time)
}

fn slowlog_reset(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    reset(cx, Cost::Time)
}

fn commandlog_get(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (count, cost) = (count(args)?, cost(args)?);
    show(cx, cost, count)
}

fn commandlog_len(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let cost = cost(args)?;
    len(cx, cost)
}

fn commandlog_reset(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let cost = cost(args)?;
    reset(cx, cost)
}

/// How many entries; -1 is all.
fn count(args: &mut Args<'_>) -> Result<usize, Error> {
    match args.int().map_err(|_| Error::LogCount)? {
        -1 => Ok(usize::MAX),
        count => usize::try_from(count).map_err(|_| Error::LogCount),
    }
}

fn cost(args: &mut Args<'_>) -> Result<Cost, Error> {
    Cost::ALL.into_iter().find(|cost| args.flag(cost.name())).ok_or(Error::LogKind)
}

fn show(cx: &mut Context<'_>, cost: Cost, count: usize) -> Outcome {
    let entries = cx.state.logs.of(cost).latest(count);
    cx.reply.array(entries.len());
    entries.iter().for_each(|entry| write(cx, entry));
    Ok(())
}

fn write(cx: &mut Context<'_>, entry: &Entry) {
    let reply = &mut cx.reply;
    reply.array(6);
    reply.integer(entry.id as i64);
    reply.integer(entry.at as i64);
    reply.integer(entry.amount as i64);
    reply.array(entry.words.len());
    entry.words.iter().for_each(|word| reply.bulk(word));
    reply.bulk(entry.addr.as_bytes());
    reply.bulk(entry.client_name.as_bytes());
}

fn len(cx: &mut Context<'_>, cost: Cost) -> Outcome {
    cx.reply.integer(cx.state.logs.of(cost).len() as i64);
    Ok(())
}

fn reset(cx: &mut Context<'_>, cost: Cost) -> Outcome {
    cx.state.logs.of(cost).reset();
    cx.reply.ok();
    Ok(())
}
