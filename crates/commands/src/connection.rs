//! The client's own connection.

use russet_dispatch::command::Flag::*;
use russet_dispatch::{Args, Command, Context, Group, Outcome};

/// What every connection command has in common.
const CONNECTION: Command = Command { group: Group::Connection, file: file!(), ..Command::BASE };

/// The rows.
pub const COMMANDS: &[Command] = &[Command {
    name: "ping",
    syntax: "[message]",
    summary: "Answers PONG, or the message.",
    since: "1.0.0",
    arity: -1,
    flags: &[Fast],
    run: ping,
    ..CONNECTION
}];

fn ping(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    if args.left() > 1 {
        return Err(russet_dispatch::Error::arity("ping").into());
    }
    match args.peek() {
        Some(message) => cx.reply.bulk(message),
        None => cx.reply.simple("PONG"),
    }
    Ok(())
}
