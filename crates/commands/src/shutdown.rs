//! SHUTDOWN: the end.

use std::sync::atomic::Ordering;

use russet_dispatch::command::Flag::*;
use russet_dispatch::request::{Request, Shutdown};
use russet_dispatch::{Args, Command, Context, Error, Group, Outcome, Stop};

/// The row.
pub const COMMANDS: &[Command] = &[Command {
    name: "shutdown",
    syntax: "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
    summary: "Ends the server.",
    complexity: "O(1)",
    since: "1.0.0",
    group: Group::Server,
    arity: -1,
    flags: &[Admin, NoScript, Loading, Stale, NoMulti, AllowBusy],
    history: &[("7.0.0", "Takes NOW, FORCE and ABORT.")],
    file: file!(),
    run: shutdown,
    ..Command::BASE
}];

fn shutdown(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (how, abort) = read(args)?;
    if !abort {
        return Err(Stop::Ask(Box::new(Request::Shutdown(how))));
    }
    if how != Shutdown::default() {
        return Err(Error::Syntax.into());
    }
    if !cx.state.persistence.is_ending.swap(false, Ordering::AcqRel) {
        return Err(Error::NoShutdown.into());
    }
    tracing::info!("Shutdown manually aborted");
    cx.reply.ok();
    Ok(())
}

fn read(args: &mut Args<'_>) -> Result<(Shutdown, bool), Error> {
    let (mut how, mut abort) = (Shutdown::default(), false);
    while !args.is_empty() {
        if args.flag("nosave") && how.save != Some(true) {
            how.save = Some(false);
        } else if args.flag("save") && how.save != Some(false) {
            how.save = Some(true);
        } else if args.flag("now") {
            how.now = true;
        } else if args.flag("force") {
            how.force = true;
        } else if args.flag("abort") {
            abort = true;
        } else {
            return Err(Error::Syntax);
        }
    }
    Ok((how, abort))
}
