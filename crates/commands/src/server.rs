//! The server as a whole: how much it holds, emptying it, what time it is.

mod lolwut;

use std::sync::atomic::Ordering;

use russet_dispatch::command::Flag::*;
use russet_dispatch::monitor::MATCH_BYTES_MAX;
use russet_dispatch::request::{Emptied, Request};
use russet_dispatch::state::rule;
use russet_dispatch::{Args, Category, Command, Context, Error, Group, Outcome, Stop};

use crate::generic::dump::RESTORE;
use crate::generic::scan::entries;

/// What every server command has in common.
const SERVER: Command = Command { group: Group::Server, file: file!(), ..Command::BASE };

/// What the commands have in common that empty databases.
const FLUSH: Command = Command {
    syntax: "[ASYNC | SYNC]",
    arity: -1,
    flags: &[Write, LocksAll],
    also: &[Category::Keyspace, Category::Dangerous],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    history: &[
        ("4.0.0", "Added the `ASYNC` flushing mode modifier."),
        ("6.2.0", "Added the `SYNC` flushing mode modifier."),
    ],
    ..SERVER
};

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "dbsize",
        summary: "Counts the keys of a database.",
        complexity: "O(S) where S is the number of shards, a thousand or so",
        flags: &[ReadOnly, Fast, Walks],
        also: &[Category::Keyspace],
        tips: &["request_policy:all_shards", "response_policy:agg_sum"],
        run: dbsize,
        ..SERVER
    },
    Command {
        name: "flushall",
        summary: "Removes all keys of all databases.",
        complexity: "O(S) where S is the number of shards; what was there is freed in the background",
        run: flushall,
        ..FLUSH
    },
    Command {
        name: "flushdb",
        summary: "Removes all keys of a database.",
        complexity: "O(S) where S is the number of shards; what was there is freed in the background",
        run: flushdb,
        ..FLUSH
    },
    Command {
        name: "lolwut",
        syntax: "[VERSION version:int]",
        summary: "Draws a tree, and tells the version.",
        since: "5.0.0",
        arity: -1,
        flags: &[ReadOnly, Fast],
        run: lolwut::lolwut,
        ..SERVER
    },
    Command {
        name: "monitor",
        syntax: "[MATCH pattern:pattern]",
        summary: "Shows the commands of all clients as they run, or those that have a word for a pattern.",
        arity: -1,
        complexity: "O(1), and for every command then O(N) where N is the length of its words",
        flags: &[Admin, NoScript, Loading, Stale],
        run: monitor,
        ..SERVER
    },
    Command {
        name: "restore-asking",
        syntax: RESTORE.syntax,
        summary: "Makes a key of what DUMP gave, while its slot is being imported.",
        complexity: RESTORE.complexity,
        since: "3.0.0",
        arity: RESTORE.arity,
        flags: &[Write, DenyOom, Asking],
        also: &[Category::Keyspace, Category::Dangerous],
        keys: RESTORE.keys,
        history: RESTORE.history,
        run: RESTORE.run,
        ..SERVER
    },
    Command {
        name: "swapdb",
        syntax: "index1:int index2:int",
        summary: "Exchanges the contents of two databases.",
        complexity: "O(N) where N is the number of clients that watch or wait for keys of both",
        since: "4.0.0",
        arity: 3,
        flags: &[Write, Fast, LocksAll],
        also: &[Category::Keyspace, Category::Dangerous],
        run: swapdb,
        ..SERVER
    },
    Command {
        name: "time",
        summary: "Tells the time in seconds and microseconds.",
        since: "2.6.0",
        flags: &[Loading, Stale, Fast],
        tips: &["nondeterministic_output"],
        run: time,
        ..SERVER
    },
];

fn dbsize(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    let (mut total, db) = (0, cx.data.db);
    for shard in 0..cx.state.keyspace.shards() {
        total += cx.data.visit(shard, |shard| entries(shard, db))?;
    }
    cx.reply.integer(total as i64);
    Ok(())
}

fn flushall(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    flush(cx, args, None)
}

fn flushdb(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let db = cx.data.db;
    flush(cx, args, Some(db))
}

/// Empties one database or all. Freeing happens in the background; SYNC waits for that, where waiting is allowed. If it is all, a snapshot
/// in the background is given up, and where there are rules that save, another one is made at once: what is gone does not come back.
fn flush(cx: &mut Context<'_>, args: &mut Args<'_>, db: Option<u32>) -> Outcome {
    let frees = args.flag("sync");
    if !frees {
        args.flag("async");
    }
    args.end()?;
    cx.data.clear(db);
    if db.is_none() {
        cx.state.persistence.give_up();
    }
    let is_loading = cx.state.rules.load(Ordering::Relaxed) & rule::LOADING != 0;
    let saves = db.is_none() && !is_loading && !cx.state.config.load().save_rules().is_empty();
    if cx.session.deny_blocking {
        // Whatever else the transaction does is in it, too.
        saves.then(|| cx.state.persistence.save_anew(None));
    } else if saves || frees {
        return Err(Stop::Ask(Box::new(Request::Emptied(Emptied { saves, frees }))));
    }
    cx.reply.ok();
    Ok(())
}

/// The number of a database, whether there is one or not.
fn index(args: &mut Args<'_>, error: Error) -> Result<i32, Error> {
    args.int().ok().and_then(|number| i32::try_from(number).ok()).ok_or(error)
}

fn swapdb(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let one = index(args, Error::InvalidFirstDb)?;
    let other = index(args, Error::InvalidSecondDb)?;
    let database = |number: i32| u32::try_from(number).ok().filter(|db| *db < cx.state.databases);
    let (Some(one), Some(other)) = (database(one), database(other)) else {
        return Err(Error::DbOutOfRange.into());
    };
    // One with itself changes nothing, but is recorded, as Redis does.
    if one == other {
        cx.data.changed();
    } else {
        cx.data.swap(one, other);
    }
    cx.reply.ok();
    Ok(())
}

/// Who monitors already is not answered, as in Redis.
fn monitor(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let pattern = if args.flag("MATCH") { Some(args.next()?) } else { None };
    args.end()?;
    if pattern.is_some_and(|pattern| pattern.len() > MATCH_BYTES_MAX) {
        return Err(Error::Syntax.into());
    }
    let client = &cx.session.client;
    if cx.session.deny_blocking {
        return Err(Error::MonitorDenied.into());
    }
    if !client.monitors.load(Ordering::Relaxed) {
        cx.state.start_monitoring(client, pattern);
        cx.reply.ok();
    }
    Ok(())
}

fn time(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    let clock = &cx.state.clock;
    let still = cx.session.still.as_ref();
    let now = still.map_or_else(|| clock.now_us(), |still| still.now_us(clock, cx.data.now));
    cx.reply.array(2);
    cx.reply.bulk_int((now / 1_000_000) as i64);
    cx.reply.bulk_int((now % 1_000_000) as i64);
    Ok(())
}
