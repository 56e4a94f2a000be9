//! Those that wait: each does at once what its sister does that does not wait, if it can.

use russet_dispatch::blocking::{OnTimeout, Wait, timeout_ms};
use russet_dispatch::{Args, Context, Error, Key, Outcome, Stop};
use russet_engine::Type;
use russet_engine::types::list::List;

use super::moving::{Amount, move_many, move_one};
use super::{End, ManyPop, pop_one};

/// BLPOP.
pub(super) fn blpop(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    blocking_pop(cx, args, End::Left)
}

/// BRPOP.
pub(super) fn brpop(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    blocking_pop(cx, args, End::Right)
}

fn blocking_pop(cx: &mut Context<'_>, args: &mut Args<'_>, end: End) -> Outcome {
    let keys = (1..args.left()).map(|_| args.key()).collect::<Result<Vec<_>, _>>()?;
    let timeout = read_timeout(cx, args)?;
    for key in &keys {
        if cx.data.find_as::<List>(*key)?.is_some() {
            cx.reply.array(2);
            cx.reply.bulk(key.bytes);
            pop_one(cx, *key, end)?;
            cx.data.effect(&[end.pop_word(), key.bytes]);
            return Ok(());
        }
    }
    wait(keys.into_iter(), timeout, OnTimeout::NullArray)
}

fn wait<'a>(keys: impl Iterator<Item = Key<'a>>, timeout: u64, on_timeout: OnTimeout) -> Outcome {
    Err(Stop::Wait(Box::new(Wait::new(keys, Type::List, timeout, on_timeout))))
}

fn wait_to_move(source: Key<'_>, target: Key<'_>, timeout: u64, on_timeout: OnTimeout) -> Outcome {
    let wait = Wait::new(std::iter::once(source), Type::List, timeout, on_timeout);
    Err(Stop::Wait(Box::new(wait.moving_to(target))))
}

/// BLMPOP.
pub(super) fn blmpop(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let mut first = *args;
    args.next()?;
    let pop = ManyPop::read(args)?;
    let timeout = read_timeout(cx, &mut first)?;
    if pop.run(cx)? {
        return Ok(());
    }
    wait(pop.keys.into_iter(), timeout, OnTimeout::NullArray)
}

/// BLMOVE.
pub(super) fn blmove(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (source, target) = (args.key()?, args.key()?);
    let (from, to) = (End::read(args)?, End::read(args)?);
    let timeout = read_timeout(cx, args)?;
    if move_one(cx, source, target, from, to)? {
        return Ok(());
    }
    wait_to_move(source, target, timeout, OnTimeout::Null)
}

/// BRPOPLPUSH.
pub(super) fn brpoplpush(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (source, target, timeout) = (args.key()?, args.key()?, read_timeout(cx, args)?);
    if move_one(cx, source, target, End::Right, End::Left)? {
        return Ok(());
    }
    wait_to_move(source, target, timeout, OnTimeout::Null)
}

/// BLMOVEM. One that wants an exact number waits also for a list that is there to grow.
pub(super) fn blmovem(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (source, target) = (args.key()?, args.key()?);
    let (from, to) = (End::read(args)?, End::read(args)?);
    let timeout = read_timeout(cx, args)?;
    let amount = Amount::read(args)?;
    if move_many(cx, source, target, from, to, amount)? {
        return Ok(());
    }
    wait_to_move(source, target, timeout, OnTimeout::NullArray)
}

/// The next argument: seconds, as milliseconds.
fn read_timeout(cx: &Context<'_>, args: &mut Args<'_>) -> Result<u64, Error> {
    timeout_ms(args.float().map_err(|_| Error::TimeoutNotFloat)?, cx.now())
}
