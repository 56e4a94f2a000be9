//! CONFIG: the parameters, to be read and changed while the server runs.

use russet_config::{Caller, Config, Id, SetError, id};
use russet_dispatch::command::Flag::*;
use russet_dispatch::request::{Change, Request};
use russet_dispatch::state::rule;
use russet_dispatch::{Args, Command, Context, Error, Group, Outcome, Secret, Stop, tracking};
use russet_engine::glob::Glob;

use crate::help;

/// What every one of them has in common.
const CONFIG: Command = Command { group: Group::Server, file: file!(), ..Command::BASE };

/// What clients of a cluster do with CONFIG SET and kin: ask every node.
const EVERYWHERE: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

const APPEND_ONLY: Id = id("appendonly");

/// Parameters that take more to change than to note the new value: sockets, files, limits of the process.
const OF_THE_SHELL: [Id; 13] = [
    id("aof-disable-auto-gc"),
    APPEND_ONLY,
    id("bind"),
    id("dir"),
    id("log-format"),
    id("loglevel"),
    id("maxclients"),
    id("oom-score-adj"),
    id("oom-score-adj-values"),
    id("metrics-bind"),
    id("metrics-port"),
    id("port"),
    id("tls-port"),
];

/// The rows.
pub const COMMANDS: &[Command] = &[Command {
    name: "config",
    summary: "Holds the commands about the configuration.",
    complexity: "Depends on subcommand.",
    since: "2.0.0",
    arity: -2,
    subcommands: &[
        Command {
            name: "get",
            syntax: "parameter:pattern [parameter:pattern ...]",
            summary: "Shows the parameters whose names match a pattern.",
            complexity: "O(N) with N the parameters that match",
            since: "2.0.0",
            arity: -3,
            flags: &[Admin, NoScript, Loading, Stale],
            history: &[("7.0.0", "Takes several patterns.")],
            run: get,
            ..CONFIG
        },
        Command {
            name: "set",
            syntax: "parameter value [parameter value ...]",
            summary: "Changes parameters, all or none.",
            complexity: "O(N) with N the parameters given",
            since: "2.0.0",
            arity: -4,
            flags: &[Admin, NoScript, Loading, Stale],
            tips: EVERYWHERE,
            history: &[("7.0.0", "Takes several parameters.")],
            secrets: &[Secret::Parameters(2)],
            run: set,
            ..CONFIG
        },
        Command {
            name: "resetstat",
            summary: "Sets the counters that INFO shows back to zero.",
            since: "2.0.0",
            arity: 2,
            flags: &[Admin, NoScript, Loading, Stale],
            tips: EVERYWHERE,
            run: reset_stat,
            ..CONFIG
        },
        Command {
            name: "rewrite",
            summary: "Writes the parameters in force into the configuration file.",
            since: "2.8.0",
            arity: 2,
            flags: &[Admin, NoScript, Loading, Stale],
            tips: EVERYWHERE,
            run: rewrite,
            ..CONFIG
        },
        help::row("5.0.0", &CONFIG),
    ],
    ..CONFIG
}];

fn get(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let patterns: Vec<&[u8]> = args.by_ref().collect();
    let glob = |pattern: &[u8]| {
        let glob = Glob::new(pattern);
        move |name: &[u8]| glob.matches(name)
    };
    let found = cx.state.config.load().matching(&patterns, glob);
    cx.reply.map(found.len());
    for (name, value) in found {
        cx.reply.bulk(name.as_bytes());
        cx.reply.bulk(value.as_bytes());
    }
    Ok(())
}

fn set(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    if !args.left().is_multiple_of(2) {
        return Err(Error::Syntax.into());
    }
    let change = read_change(cx, args)?;
    let mut trial = Config::clone(&cx.state.config.load());
    let changed = trial.set(&change.pairs(), change.caller).map_err(|error| refused(&error))?;
    // A transaction does not wait: what a log needs, somebody else does soon after.
    let is_prompt = |id: &Id| *id == APPEND_ONLY && cx.session.deny_blocking;
    if changed.iter().any(|id| OF_THE_SHELL.contains(id) && !is_prompt(id)) {
        return Err(Stop::Ask(Box::new(Request::Reconfigure(change))));
    }
    let begins_log = changed.contains(&APPEND_ONLY) && trial.bool(APPEND_ONLY);
    // What it takes is not to be counted when memory is measured for a new limit.
    drop(trial);
    cx.state.reconfigure(&change, |_, _| Ok(())).map_err(|error| refused(&error))?;
    cx.state.switch_log();
    if !cx.session.deny_blocking {
        // A lower limit of what is tracked holds at once, unless a transaction holds shards.
        tracking::tend(cx.state, cx.thread);
    } else if begins_log {
        tracing::info!(
            "AOF was enabled during a transaction. An AOF background was scheduled to start when possible."
        );
    }
    cx.reply.ok();
    Ok(())
}

fn read_change(cx: &Context<'_>, args: &mut Args<'_>) -> Result<Change, Error> {
    let mut words = Vec::with_capacity(args.left() / 2);
    while !args.is_empty() {
        words.push((args.next()?.into(), args.next()?.into()));
    }
    let rules = cx.state.rules.load(std::sync::atomic::Ordering::Relaxed);
    let caller =
        Caller { local: cx.session.client.peer.is_local(), loading: rules & rule::LOADING != 0 };
    Ok(Change { words, caller })
}

fn refused(error: &SetError) -> Error {
    match error {
        SetError::Loading => Error::Loading,
        other => Error::of(format!("ERR {other}")),
    }
}

fn reset_stat(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    cx.state.stats.reset();
    cx.state.burden.reset();
    cx.state.persistence.reset();
    cx.state.ceiling.reset();
    cx.state.defrag.reset();
    cx.state.keyspace.trash().reset();
    cx.state.scripts.evicted.store(0, std::sync::atomic::Ordering::Relaxed);
    cx.reply.ok();
    Ok(())
}

fn rewrite(_: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    Err(Stop::Ask(Box::new(Request::RewriteConfig { force: false })))
}
