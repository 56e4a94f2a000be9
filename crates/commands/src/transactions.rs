//! Transactions: MULTI queues, EXEC runs the queue as one unit, WATCH makes EXEC depend on keys that nobody changed.

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{RO, range};
use russet_dispatch::session::Session;
use russet_dispatch::transaction::{self, Multi};
use russet_dispatch::{Args, Command, Context, Error, Group, Outcome};

/// What every transaction command has in common.
const TRANSACTION: Command = Command { group: Group::Transactions, file: file!(), ..Command::BASE };

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "multi",
        summary: "Starts to queue commands for EXEC.",
        since: "1.2.0",
        arity: 1,
        flags: &[NoScript, Loading, Stale, Fast, AllowBusy, Immediate],
        run: multi,
        ..TRANSACTION
    },
    Command {
        name: "exec",
        summary: "Runs all queued commands as one unit.",
        complexity: "Depends on commands in the transaction",
        since: "1.2.0",
        arity: 1,
        flags: &[NoScript, Loading, Stale, SkipSlowlog, Immediate, RunsQueue],
        run: exec,
        ..TRANSACTION
    },
    Command {
        name: "discard",
        summary: "Forgets all queued commands and all watches.",
        complexity: "O(N), when N is the number of queued commands",
        since: "2.0.0",
        arity: 1,
        flags: &[NoScript, Loading, Stale, Fast, AllowBusy, Immediate],
        run: discard,
        ..TRANSACTION
    },
    Command {
        name: "watch",
        syntax: "key [key ...]",
        summary: "Makes the next EXEC depend on keys that nobody has changed.",
        complexity: "O(1) for every key.",
        since: "2.2.0",
        arity: -2,
        flags: &[NoScript, Loading, Stale, Fast, AllowBusy, Immediate],
        keys: &[range(1, -1, 1, RO)],
        run: watch,
        ..TRANSACTION
    },
    Command {
        name: "unwatch",
        summary: "Forgets all watches.",
        since: "2.2.0",
        arity: 1,
        flags: &[NoScript, Loading, Stale, Fast, AllowBusy],
        run: unwatch,
        ..TRANSACTION
    },
];

fn multi(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    if let Some(multi) = &mut cx.session.multi {
        multi.is_broken = true;
        return Err(Error::NestedMulti.into());
    }
    cx.session.multi = Some(Box::<Multi>::default());
    cx.session.client.queued.store(0, std::sync::atomic::Ordering::Relaxed);
    cx.reply.ok();
    Ok(())
}

fn exec(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    transaction::exec(cx)
}

fn discard(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    cx.session.end_multi().ok_or(Error::DiscardWithoutMulti)?;
    forget_watches(cx);
    cx.reply.ok();
    Ok(())
}

fn watch(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    if let Some(multi) = &mut cx.session.multi {
        multi.is_broken = true;
        return Err(Error::WatchInMulti.into());
    }
    while !args.is_empty() {
        transaction::watch(cx, args.key()?);
    }
    cx.reply.ok();
    Ok(())
}

fn unwatch(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    forget_watches(cx);
    cx.reply.ok();
    Ok(())
}

/// Neither DISCARD nor UNWATCH holds a shard, except inside EXEC, which has ended all watches already.
fn forget_watches(cx: &mut Context<'_>) {
    let session: &mut Session = cx.session;
    session.unwatch(&cx.state.keyspace);
}
