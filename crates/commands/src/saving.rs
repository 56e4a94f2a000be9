//! Saving: SAVE, BGSAVE, LASTSAVE, BGREWRITEAOF.
//!
//! A thread of the server saves; handlers only leave wishes. SAVE makes its own client wait and nobody else.

use std::sync::atomic::Ordering;

use russet_dispatch::command::Flag::*;
use russet_dispatch::persistence::Wish;
use russet_dispatch::request::Request;
use russet_dispatch::{Args, Category, Command, Context, Error, Group, Outcome, Stop};

/// What the rows have in common.
const SAVING: Command = Command {
    group: Group::Server,
    flags: &[Admin, NoScript, NoAsyncLoading],
    file: file!(),
    ..Command::BASE
};

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "bgrewriteaof",
        summary: "Writes the append-only file anew while commands run.",
        run: rewrite_aof,
        ..SAVING
    },
    Command {
        name: "bgsave",
        syntax: "[SCHEDULE | CANCEL]",
        summary: "Saves all data to disk while commands run.",
        arity: -1,
        history: &[
            ("3.2.2", "Added the `SCHEDULE` option."),
            ("8.1.0", "Added the `CANCEL` option, in Valkey."),
        ],
        run: bgsave,
        ..SAVING
    },
    Command {
        name: "lastsave",
        summary: "Tells when data was last saved to disk.",
        flags: &[Loading, Stale, Fast],
        also: &[Category::Admin, Category::Dangerous],
        tips: &["nondeterministic_output"],
        run: lastsave,
        ..SAVING
    },
    Command {
        name: "save",
        summary: "Saves all data to disk, and answers when it is there.",
        complexity: "O(N) where N is the number of keys in all databases",
        flags: &[Admin, NoScript, NoAsyncLoading, NoMulti],
        run: save,
        ..SAVING
    },
];

fn bgsave(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let is_cancel = args.flag("cancel");
    // A snapshot under way is nothing that another one could be scheduled behind: it is the same data but for the last seconds.
    let may_wait = !is_cancel && args.flag("schedule");
    args.end()?;
    let persistence = &cx.state.persistence;
    let is_rewriting = cx.state.aof.is_rewriting();
    if is_cancel {
        if !persistence.is_saving() {
            return Err(Error::NotSaving.into());
        }
        persistence.cancel();
        cx.reply.simple("Background saving cancelled");
        return Ok(());
    }
    if is_rewriting && !may_wait && !persistence.is_saving() {
        return Err(Error::RewritesAof.into());
    }
    if !persistence.begin_saving(false) {
        return Err(Error::IsSaving.into());
    }
    persistence.ask(Wish::Save(None));
    let waits = is_rewriting || persistence.is_packing();
    let begins = if waits { "scheduled" } else { "started" };
    cx.reply.simple(&format!("Background saving {begins}"));
    Ok(())
}

fn rewrite_aof(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    if !cx.state.rewrite_log() {
        return Err(Error::IsRewriting.into());
    }
    // A transaction holds what the rewrite needs to begin.
    let waits = cx.state.persistence.is_busy() || cx.session.deny_blocking;
    let begins = if waits { "scheduled" } else { "started" };
    cx.reply.simple(&format!("Background append only file rewriting {begins}"));
    Ok(())
}

fn save(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    // It would wait for a script that may never end.
    let threshold = cx.state.tunables.busy_threshold.load(Ordering::Relaxed);
    let running = cx.state.scripts.overdue_anywhere(threshold).filter(|_| threshold > 0);
    if let Some(running) = running {
        return Err(if running.is_eval { Error::Busy } else { Error::BusyFunction }.into());
    }
    if !cx.state.persistence.begin_saving(true) {
        return Err(Error::IsSaving.into());
    }
    Err(Stop::Ask(Box::new(Request::Save)))
}

fn lastsave(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    let saved_s = cx.state.persistence.saved_s.load(Ordering::Relaxed);
    cx.reply.integer(i64::try_from(saved_s).unwrap_or(i64::MAX));
    Ok(())
}
