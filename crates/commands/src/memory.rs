//! MEMORY: what keys and the server take.

mod doctor;
mod stats;

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{RO, at};
use russet_dispatch::{Args, Command, Context, Error, Group, Outcome};

use crate::help;

/// What every one of them has in common.
const MEMORY: Command =
    Command { since: "4.0.0", group: Group::Server, file: file!(), ..Command::BASE };

/// What clients of a cluster do: ask every node.
const EVERYWHERE: &[&str] =
    &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];

/// The rows.
pub const COMMANDS: &[Command] = &[Command {
    name: "memory",
    summary: "Holds the commands about memory.",
    complexity: "Depends on subcommand.",
    arity: -2,
    subcommands: &[
        Command {
            name: "doctor",
            summary: "Says in words what is wrong with the use of memory, if anything is.",
            arity: 2,
            flags: &[Walks],
            tips: EVERYWHERE,
            run: doctor::doctor,
            ..MEMORY
        },
        help::row("4.0.0", &MEMORY),
        Command {
            name: "malloc-stats",
            summary: "Shows what the allocator says of itself.",
            complexity: "Depends on how much memory is allocated, could be slow",
            arity: 2,
            tips: EVERYWHERE,
            run: malloc_stats,
            ..MEMORY
        },
        Command {
            name: "purge",
            summary: "Asks the allocator to give back what it does not need.",
            complexity: "Depends on how much memory is allocated, could be slow",
            arity: 2,
            tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
            run: purge,
            ..MEMORY
        },
        Command {
            name: "stats",
            summary: "Shows what the server's memory is used for.",
            arity: 2,
            flags: &[Walks],
            tips: EVERYWHERE,
            run: stats::stats,
            ..MEMORY
        },
        Command {
            name: "usage",
            syntax: "key [SAMPLES count:int]",
            summary: "Tells how many bytes a key and its value take.",
            complexity: "O(1)",
            arity: -3,
            flags: &[ReadOnly],
            keys: &[at(2, RO)],
            run: usage,
            ..MEMORY
        },
    ],
    ..MEMORY
}];

fn usage(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    while !args.is_empty() {
        // Weights are counted as values change, so nothing is sampled; the number is checked all the same.
        if !args.flag("samples") || args.int()? < 0 {
            return Err(Error::Syntax.into());
        }
    }
    match cx.data.inspect(key).map(russet_engine::Entry::weight) {
        Some(bytes) => cx.reply.integer(bytes as i64),
        None => cx.reply.null(),
    }
    Ok(())
}

fn malloc_stats(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    let text = cx.state.tools.get().map(|tools| (tools.allocator_report)());
    cx.reply.verbatim("txt", text.unwrap_or_default().as_bytes());
    Ok(())
}

fn purge(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    if !cx.state.tools.get().is_some_and(|tools| (tools.purge)()) {
        return Err(Error::PurgeFailed.into());
    }
    cx.reply.ok();
    Ok(())
}
