//! What a server that is always a primary can say about replication.

use russet_dispatch::command::Flag::*;
use russet_dispatch::{Args, Category, Command, Context, Error, Group, Outcome};

/// What every one of them has in common.
const REPLICATION: Command = Command { group: Group::Server, file: file!(), ..Command::BASE };

/// What REPLICAOF and its older name have in common.
const REPLICAOF: Command = Command {
    syntax: "<host port:int | NO ONE>",
    summary: "Makes the server a replica of another one, or a primary.",
    arity: 3,
    flags: &[Admin, NoScript, Stale, NoAsyncLoading],
    run: replicaof,
    ..REPLICATION
};

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command { name: "replicaof", since: "5.0.0", ..REPLICAOF },
    Command {
        name: "slaveof",
        since: "1.0.0",
        deprecated: Some(("5.0.0", "`REPLICAOF`")),
        ..REPLICAOF
    },
    Command {
        name: "role",
        summary: "Tells what part the server plays in replication.",
        since: "2.8.12",
        arity: 1,
        flags: &[NoScript, Loading, Stale, Fast],
        also: &[Category::Admin, Category::Dangerous],
        run: role,
        ..REPLICATION
    },
];

fn replicaof(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    if !args.flag("no") || !args.flag("one") {
        return Err(Error::NoReplication.into());
    }
    cx.reply.ok();
    Ok(())
}

fn role(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    let offset = cx.state.journal.end();
    cx.reply.array(3);
    cx.reply.bulk(b"master");
    cx.reply.integer(offset as i64);
    cx.reply.array(0);
    Ok(())
}
