//! Strings: one value under one key.

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{ACCESS, RO, RW, UPDATE, VARIABLE_FLAGS, at};
use russet_dispatch::{Args, Command, Context, Group, Outcome};

/// What every string command has in common.
const STRING: Command = Command { group: Group::String, file: file!(), ..Command::BASE };

/// The rows.
pub const COMMANDS: &[Command] = &[
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
        name: "set",
        syntax: "key value",
        summary: "Sets a key to a string, whatever it was.",
        since: "1.0.0",
        arity: -3,
        flags: &[Write, DenyOom],
        keys: &[at(1, RW | ACCESS | UPDATE | VARIABLE_FLAGS)],
        run: set,
        ..STRING
    },
];

fn get(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    match cx.data.string(key)? {
        Some(text) => text.reply(&mut cx.reply),
        None => cx.reply.null(),
    }
    Ok(())
}

fn set(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, value) = (args.key()?, args.next()?);
    args.end()?;
    cx.data.set_string(key, value, None);
    cx.reply.ok();
    Ok(())
}
