//! MODULE: there are none, and none can be loaded. Clients ask for the list when they connect.

use russet_dispatch::command::Flag::*;
use russet_dispatch::{Args, Command, Context, Group, Outcome};

use crate::help;

/// What every one of them has in common.
const MODULE: Command = Command { group: Group::Server, file: file!(), ..Command::BASE };

/// The rows.
pub const COMMANDS: &[Command] = &[Command {
    name: "module",
    summary: "Holds the commands about modules.",
    complexity: "Depends on subcommand.",
    since: "4.0.0",
    arity: -2,
    subcommands: &[
        help::row("5.0.0", &MODULE),
        Command {
            name: "list",
            summary: "Lists the loaded modules: none.",
            complexity: "O(N) where N is the number of loaded modules.",
            since: "4.0.0",
            arity: 2,
            flags: &[Admin, NoScript],
            tips: &["nondeterministic_output_order"],
            run: list,
            ..MODULE
        },
    ],
    ..MODULE
}];

fn list(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    cx.reply.array(0);
    Ok(())
}
