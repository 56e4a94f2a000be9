//! FUNCTION: libraries of functions, of which there are none as long as nothing can load one.

use russet_dispatch::command::Flag::*;
use russet_dispatch::{Args, Command, Context, Error, Group, Outcome};

use crate::help;

/// What every one of them has in common.
const FUNCTION: Command = Command { group: Group::Scripting, file: file!(), ..Command::BASE };

/// The rows.
pub const COMMANDS: &[Command] = &[Command {
    name: "function",
    summary: "Holds the commands about functions.",
    complexity: "Depends on subcommand.",
    since: "7.0.0",
    arity: -2,
    subcommands: &[
        Command {
            name: "flush",
            syntax: "[ASYNC | SYNC]",
            summary: "Removes all libraries.",
            complexity: "O(N) with N the functions removed",
            since: "7.0.0",
            arity: -2,
            flags: &[Write, NoScript],
            tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
            run: flush,
            ..FUNCTION
        },
        Command {
            name: "list",
            syntax: "[LIBRARYNAME library-name-pattern:pattern] [WITHCODE]",
            summary: "Shows the libraries.",
            complexity: "O(N) with N the functions",
            since: "7.0.0",
            arity: -2,
            flags: &[NoScript],
            tips: &["nondeterministic_output_order"],
            run: list,
            ..FUNCTION
        },
        help::row("7.0.0", &FUNCTION),
    ],
    ..FUNCTION
}];

fn flush(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let understood = args.is_empty() || args.flag("sync") || args.flag("async");
    if !understood || !args.is_empty() {
        return Err(Error::FunctionFlushMode.into());
    }
    cx.reply.ok();
    Ok(())
}

fn list(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    while let Some(word) = args.peek() {
        if args.flag("libraryname") {
            args.next().map_err(|_| Error::NoLibraryName)?;
        } else if !args.flag("withcode") {
            let word = String::from_utf8_lossy(word);
            return Err(Error::of(format!("ERR Unknown argument {word}")).into());
        }
    }
    cx.reply.array(0);
    Ok(())
}
