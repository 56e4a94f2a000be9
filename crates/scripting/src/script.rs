//! SCRIPT: the cache of scripts, and ending one that runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use russet_dispatch::command::Flag::*;
use russet_dispatch::scripting::Running;
use russet_dispatch::{Args, Command, Context, Error, Group, Outcome};

use crate::run::Title;
use crate::{eval, help};

/// What every one of them has in common.
const SCRIPT: Command = Command { group: Group::Scripting, file: file!(), ..Command::BASE };

/// The rows.
pub const COMMANDS: &[Command] = &[Command {
    name: "script",
    summary: "Holds the commands about scripts.",
    complexity: "Depends on subcommand.",
    since: "2.6.0",
    arity: -2,
    subcommands: &[
        Command {
            name: "debug",
            syntax: "<YES | SYNC | NO>",
            summary: "Is refused: there is no debugger.",
            since: "3.2.0",
            arity: 3,
            flags: &[NoScript],
            run: debug,
            ..SCRIPT
        },
        Command {
            name: "exists",
            syntax: "sha1 [sha1 ...]",
            summary: "Tells which scripts are cached.",
            complexity: "O(N) with N the scripts asked about",
            since: "2.6.0",
            arity: -3,
            flags: &[NoScript],
            tips: &["request_policy:all_shards", "response_policy:agg_logical_and"],
            run: exists,
            ..SCRIPT
        },
        Command {
            name: "flush",
            syntax: "[ASYNC | SYNC]",
            summary: "Forgets all scripts.",
            complexity: "O(N) with N the scripts",
            since: "2.6.0",
            arity: -2,
            flags: &[NoScript],
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            history: &[("6.2.0", "Added the `ASYNC` and `SYNC` flushing mode modifiers.")],
            run: flush,
            ..SCRIPT
        },
        help::row("5.0.0", &SCRIPT),
        Command {
            name: "kill",
            summary: "Ends a script that runs and has not written.",
            since: "2.6.0",
            arity: 2,
            flags: &[NoScript, AllowBusy],
            tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
            run: kill,
            ..SCRIPT
        },
        Command {
            name: "load",
            syntax: "script",
            summary: "Puts a script into the cache.",
            complexity: "O(N) with N the bytes of the script",
            since: "2.6.0",
            arity: 3,
            flags: &[NoScript, Stale],
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            run: load,
            ..SCRIPT
        },
        Command {
            name: "show",
            syntax: "sha1",
            summary: "Shows a script of the cache.",
            since: "8.0.0",
            arity: 3,
            flags: &[NoScript, Stale],
            run: show,
            ..SCRIPT
        },
    ],
    ..SCRIPT
}];

fn debug(_: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    Err(Error::NoScriptDebugger.into())
}

fn exists(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    cx.reply.array(args.left());
    for word in args {
        let is_there =
            eval::parse_sha(word).is_some_and(|sha| cx.state.scripts.find(&sha).is_some());
        cx.reply.integer(is_there.into());
    }
    Ok(())
}

fn flush(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let understood = args.is_empty() || args.flag("sync") || args.flag("async");
    if !understood || !args.is_empty() {
        return Err(Error::ScriptFlushMode.into());
    }
    cx.state.scripts.flush();
    cx.reply.ok();
    Ok(())
}

fn load(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let vm = eval::interpreter(cx)?;
    let compiled = eval::compiled(cx, &vm, args.next()?, true)?;
    cx.reply.bulk(Title::Script(compiled.source.sha).to_string().as_bytes());
    Ok(())
}

fn show(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let sha = eval::parse_sha(args.next()?);
    let source = sha.and_then(|sha| cx.state.scripts.find(&sha)).ok_or(Error::NoScript)?;
    cx.reply.bulk(&source.code());
    Ok(())
}

fn kill(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    end_running(cx, true)
}

/// Ends what runs of one kind: everything that has run for too long, or else what has run the longest. What has written is not ended,
/// unless its client has gone, which would be how to end it.
pub(crate) fn end_running(cx: &mut Context<'_>, is_eval: bool) -> Outcome {
    let mut running = cx.state.scripts.running();
    if running.is_empty() {
        return Err(Error::NotBusy.into());
    }
    running.retain(|one| one.is_eval == is_eval);
    if running.is_empty() {
        return Err(if is_eval { Error::BusyFunction } else { Error::Busy }.into());
    }
    let is_free = |one: &Running| {
        !one.has_written.load(Ordering::Acquire) || cx.state.clients.get(one.client).is_none()
    };
    running.retain(|one| is_free(one));
    let threshold = cx.state.tunables.busy_threshold.load(Ordering::Relaxed);
    let overdue: Vec<&Arc<Running>> =
        running.iter().filter(|one| one.milliseconds() >= threshold).collect();
    let longest = running.iter().max_by_key(|one| one.since.elapsed());
    let victims = if overdue.is_empty() { longest.into_iter().collect() } else { overdue };
    if victims.is_empty() {
        return Err(Error::Unkillable.into());
    }
    victims.iter().for_each(|one| one.is_killed.store(true, Ordering::Release));
    cx.reply.ok();
    Ok(())
}
