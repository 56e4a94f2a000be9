//! What a server that is always a primary can say about replication, and WAITAOF for the own disk.

use std::sync::atomic::Ordering;

use russet_dispatch::command::Flag::*;
use russet_dispatch::request::{AwaitDisk, Request};
use russet_dispatch::{Args, Category, Command, Context, Error, Group, Outcome, Stop};

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
    Command {
        name: "waitaof",
        syntax: "numlocal:int numreplicas:int timeout:int",
        summary: "Waits until the client's writes are on the disk.",
        since: "7.2.0",
        group: Group::Generic,
        arity: 4,
        flags: &[Blocking],
        also: &[Category::Connection],
        not: &[Category::Keyspace],
        tips: &["request_policy:all_shards", "response_policy:agg_min"],
        run: wait_aof,
        ..REPLICATION
    },
];

/// WAITAOF waits for everything that the client has seen, which is no less than what it has written.
fn wait_aof(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let local = args.int()?;
    if !(0..=1).contains(&local) {
        return Err(Error::of("ERR value is out of range, value must between 0 and 1").into());
    }
    let replicas = args.int()?;
    if replicas < 0 {
        return Err(Error::NotPositive.into());
    }
    let timeout = args.int().map_err(|_| Error::TimeoutNotInteger)?;
    let timeout_ms = u64::try_from(timeout).map_err(|_| Error::TimeoutNegative)?;
    let aof = &cx.state.aof;
    if local > 0 && !aof.is_enabled.load(Ordering::Relaxed) {
        return Err(Error::NoLocalAof.into());
    }
    let lsn = cx.session.stamp;
    let is_there = aof.has(lsn);
    if (is_there || local == 0) && replicas == 0 || cx.session.deny_blocking {
        cx.reply.array(2);
        cx.reply.integer(i64::from(is_there));
        cx.reply.integer(0);
        return Ok(());
    }
    let what = AwaitDisk { lsn, is_local: local > 0, replicas, timeout_ms };
    Err(Stop::Ask(Box::new(Request::AwaitDisk(what))))
}

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
