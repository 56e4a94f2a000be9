//! CLIENT PAUSE: everybody waits, or those who may write.

use russet_dispatch::command::Flag::*;
use russet_dispatch::{Args, Command, Context, Error, Outcome};
use russet_engine::number::parse_i64;

use super::CLIENT;

/// CLIENT PAUSE.
pub(super) const PAUSE: Command = Command {
    name: "pause",
    syntax: "timeout:int [WRITE | ALL]",
    summary: "Lets the commands of all clients wait for some milliseconds, or only those that may write.",
    since: "3.0.0",
    arity: -3,
    flags: &[Admin, NoScript, Loading, Stale],
    history: &[("6.2.0", "`WRITE` and `ALL`.")],
    run: pause,
    ..CLIENT
};

/// CLIENT UNPAUSE.
pub(super) const UNPAUSE: Command = Command {
    name: "unpause",
    summary: "Ends CLIENT PAUSE.",
    complexity: "O(N) Where N is the number of paused clients",
    since: "6.2.0",
    arity: 2,
    flags: &[Admin, NoScript, Loading, Stale],
    run: unpause,
    ..CLIENT
};

/// When this answers, whatever was judged by the rules from before has finished. Inside a transaction, which holds shards, others may
/// still be finishing.
fn pause(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let timeout = args.next()?;
    let all = args.is_empty() || args.flag("ALL");
    if !all && !args.flag("WRITE") {
        return Err(Error::PauseMode.into());
    }
    let timeout = parse_i64(timeout).ok_or(Error::TimeoutNotInteger)?;
    let timeout = u64::try_from(timeout).map_err(|_| Error::TimeoutNegative)?;
    let until = cx.now().checked_add(timeout).filter(|until| i64::try_from(*until).is_ok());
    let until = until.ok_or(Error::TimeoutOutOfRange)?;
    if cx.session.deny_blocking {
        cx.state.pause(until, all);
        cx.reply.ok();
        return Ok(());
    }
    // Where a script holds a shard for long nothing is paused, and this waits or is BUSY.
    cx.state.try_barrier()?;
    let was_paused = cx.state.pause_holds();
    cx.state.pause(until, all);
    if let Err(busy) = cx.state.try_barrier() {
        if !was_paused {
            cx.state.unpause();
        }
        return Err(busy.into());
    }
    cx.reply.ok();
    Ok(())
}

fn unpause(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    cx.state.unpause();
    cx.reply.ok();
    Ok(())
}
