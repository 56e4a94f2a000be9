//! What a server that is always a primary can say about replication, snapshots for those who want nothing behind them, and WAITAOF for the
//! own disk.
//!
//! `redis-cli --rdb` takes a snapshot as a replica does: REPLCONF says what it wants, and SYNC sends that. Whoever wants to be a replica
//! hears at SYNC, and not before, that there is no such thing: until then it has asked for nothing that is not so.

use std::sync::atomic::Ordering;

use russet_config::split_arguments;
use russet_dispatch::command::Flag::*;
use russet_dispatch::persistence::Contents;
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

/// What SYNC and PSYNC have in common.
const SYNC: Command = Command {
    complexity: "O(N) where N is the number of keys in all databases",
    flags: &[Admin, NoScript, NoAsyncLoading, NoMulti],
    ..REPLICATION
};

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "psync",
        syntax: "replicationid offset:int",
        summary: "Sends a snapshot, and which moment it is of.",
        since: "2.8.0",
        arity: -3,
        run: psync,
        ..SYNC
    },
    Command {
        name: "replconf",
        summary: "Says what kind of snapshot the client wants.",
        complexity: "O(1)",
        since: "3.0.0",
        arity: -1,
        flags: &[Admin, NoScript, Loading, Stale, AllowBusy],
        run: replconf,
        ..REPLICATION
    },
    Command { name: "sync", summary: "Sends a snapshot.", arity: 1, run: sync, ..SYNC },
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
    let is_local = zero_or_one(args.int()?)?;
    let replicas = args.int()?;
    if replicas < 0 {
        return Err(Error::NotPositive.into());
    }
    let timeout = args.int().map_err(|_| Error::TimeoutNotInteger)?;
    let timeout_ms = u64::try_from(timeout).map_err(|_| Error::TimeoutNegative)?;
    let aof = &cx.state.aof;
    if is_local && !aof.is_enabled.load(Ordering::Relaxed) {
        return Err(Error::NoLocalAof.into());
    }
    let lsn = cx.session.stamp;
    let is_there = aof.has(lsn);
    if (is_there || !is_local) && replicas == 0 || cx.session.deny_blocking {
        cx.reply.array(2);
        cx.reply.integer(i64::from(is_there));
        cx.reply.integer(0);
        return Ok(());
    }
    let what = AwaitDisk { lsn, is_local, replicas, timeout_ms };
    Err(Stop::Ask(Box::new(Request::AwaitDisk(what))))
}

fn sync(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    send_snapshot(cx, args, false)
}

fn psync(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let option = args.words().nth(3);
    if option.is_some_and(|word| word.eq_ignore_ascii_case(b"failover")) {
        return Err(Error::FailoverOfPrimary.into());
    }
    send_snapshot(cx, args, true)
}

/// Has a snapshot sent, as REPLCONF has said. PSYNC tells of which moment it is; what position it asks for makes no difference.
fn send_snapshot(cx: &mut Context<'_>, args: &mut Args<'_>, tells_moment: bool) -> Outcome {
    let client = &cx.session.client;
    if client.monitors.load(Ordering::Relaxed) {
        // Redis takes it for a replica, which is not asked twice.
        return Ok(());
    }
    let replica = cx.session.replica();
    if !replica.wants_snapshot_only {
        return Err(Error::NoReplicas.into());
    }
    if !cx.reply.out.is_empty() {
        return Err(Error::PendingOutput.into());
    }
    if replica.contents != Contents::All && !replica.knows_marks {
        return Err(Error::FilterWithoutEof.into());
    }
    if tells_moment {
        args.next()?;
        args.int()?;
    }
    cx.state.persistence.asked.fetch_add(1, Ordering::Relaxed);
    let contents = replica.contents;
    Err(Stop::Ask(Box::new(Request::SendSnapshot { contents, tells_moment })))
}

/// Options come in pairs. What those before one that is wrong have said stays said.
fn replconf(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    if !args.left().is_multiple_of(2) {
        return Err(Error::Syntax.into());
    }
    while !args.is_empty() {
        let option = args.next()?;
        match option.to_ascii_lowercase().as_slice() {
            b"listening-port" => drop(args.int()?),
            b"ip-address" => heed_address(args.next()?)?,
            b"capa" => {
                let knows_marks = args.next()?.eq_ignore_ascii_case(b"eof");
                cx.session.replica_mut().knows_marks |= knows_marks;
            }
            b"rdb-only" => {
                let is_only = zero_or_one(args.int()?)?;
                cx.session.replica_mut().wants_snapshot_only = is_only;
            }
            b"rdb-filter-only" => cx.session.replica_mut().contents = filtered(args.next()?)?,
            // What replicas and primaries tell each other, which is not answered.
            b"ack" | b"getack" => return Ok(()),
            _ => return Err(named("ERR Unrecognized REPLCONF option: ", option).into()),
        }
    }
    cx.reply.ok();
    Ok(())
}

/// The address that a replica would have others use.
fn heed_address(address: &[u8]) -> Result<(), Error> {
    /// As long as the name of a host can be, with the zero byte that ends it in Redis.
    const HOST_BYTES: usize = 256;
    let len = address.len();
    if len >= HOST_BYTES {
        let text = "ERR REPLCONF ip-address provided by replica instance is too long";
        return Err(Error::of(format!("{text}: {len} bytes")));
    }
    Ok(())
}

fn zero_or_one(number: i64) -> Result<bool, Error> {
    if (0..=1).contains(&number) { Ok(number == 1) } else { Err(Error::NotZeroOrOne) }
}

/// What is left when everything but this is taken out.
fn filtered(words: &[u8]) -> Result<Contents, Error> {
    let words = String::from_utf8_lossy(words);
    let words = split_arguments(&words).map_err(|_| Error::NoFilter)?;
    let other = words.iter().find(|word| !word.eq_ignore_ascii_case("functions"));
    match other {
        Some(other) => Err(named("ERR Unsupported rdb-filter-only option: ", other.as_bytes())),
        None if words.is_empty() => Ok(Contents::Nothing),
        None => Ok(Contents::Functions),
    }
}

fn named(before: &str, word: &[u8]) -> Error {
    Error::of(format!("{before}{}", String::from_utf8_lossy(word)))
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
