//! Members at random.

use hashbrown::HashSet;
use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{ACCESS, RO, at};
use russet_dispatch::state::Thread;
use russet_dispatch::{Args, Command, Context, Error, Key, Outcome, Stop};
use russet_engine::number::parse_i64;
use russet_engine::types::sorted_set::SortedSet;
use russet_engine::{Collection, Entry};
use russet_resp::Writer;

use super::{SORTED_SET, head, is_elsewhere, member};
use crate::repeats::Repeats;

/// The rows.
pub const COMMANDS: &[Command] = &[Command {
    name: "zrandmember",
    syntax: "key [count:int [WITHSCORES]]",
    summary: "Gives members at random.",
    complexity: "O(N*log(M)) where N is the number of members returned and M that of members in the set",
    since: "6.2.0",
    arity: -2,
    flags: &[ReadOnly],
    keys: &[at(1, RO | ACCESS)],
    tips: &["nondeterministic_output"],
    run: zrandmember,
    ..SORTED_SET
}];

/// While fewer than one in so many members are wanted, positions are drawn until enough are different.
const DRAWN_SHARE: usize = 3;

fn zrandmember(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let Some(count) = args.peek() else { return one(cx, key) };
    let count = parse_i64(count).ok_or(Error::NotInteger)?;
    args.next()?;
    if count == i64::MIN {
        return Err(Error::OutOfLongRange.into());
    }
    let with_scores = args.flag("withscores");
    args.end()?;
    if with_scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(Error::OutOfRange.into());
    }
    let len = cx.data.read_as::<SortedSet>(key)?.map_or(0, SortedSet::len);
    let wanted = usize::try_from(count).map_or(count.unsigned_abs() as usize, |n| n.min(len));
    if len == 0 || wanted == 0 {
        cx.reply.array(0);
        return Ok(());
    }
    if count < 0 {
        return Repeats { count: wanted, is_full: with_scores, draw: any }.reply(cx, key);
    }
    if is_elsewhere(cx, wanted) {
        return Err(Stop::Elsewhere);
    }
    head(&mut cx.reply, wanted, with_scores);
    if wanted == len {
        return show(cx, key, 0..len, with_scores);
    }
    let chosen = choose(cx, wanted, len);
    show(cx, key, chosen.into_iter(), with_scores)
}

/// So many members, some of them perhaps several times.
fn any(
    entry: &Entry,
    wanted: usize,
    thread: &Thread,
    reply: &mut Writer<'_>,
    with_scores: bool,
) -> bool {
    let Some(set) = entry.object().and_then(SortedSet::of) else { return false };
    for _ in 0..wanted {
        let at = thread.random_below(set.len() as u64) as usize;
        set.each(at..at + 1, |name, score| member(reply, name, with_scores.then_some(score)));
    }
    true
}

fn one(cx: &mut Context<'_>, key: Key<'_>) -> Outcome {
    let dice = cx.thread;
    let Some(set) = cx.data.read_as::<SortedSet>(key)? else {
        cx.reply.null();
        return Ok(());
    };
    let at = dice.random_below(set.len() as u64) as usize;
    set.each(at..at + 1, |name, _| cx.reply.bulk(name));
    Ok(())
}

/// Replies with the members at these positions.
fn show(
    cx: &mut Context<'_>,
    key: Key<'_>,
    positions: impl Iterator<Item = usize>,
    with_scores: bool,
) -> Outcome {
    let (reply, set) = (&mut cx.reply, cx.data.find_as::<SortedSet>(key)?);
    let Some(set) = set else { return Ok(()) };
    for at in positions {
        set.each(at..at + 1, |name, score| member(reply, name, with_scores.then_some(score)));
    }
    Ok(())
}

/// So many different positions below `len`, all choices with the same chance.
fn choose(cx: &Context<'_>, wanted: usize, len: usize) -> Vec<usize> {
    let mut chosen = Vec::with_capacity(wanted);
    if wanted * DRAWN_SHARE < len {
        let mut seen = HashSet::with_capacity(wanted);
        while chosen.len() < wanted {
            let at = cx.thread.random_below(len as u64) as usize;
            if seen.insert(at) {
                chosen.push(at);
            }
        }
        return chosen;
    }
    for at in 0..len {
        let left = (wanted - chosen.len()) as u64;
        if cx.thread.random_below((len - at) as u64) < left {
            chosen.push(at);
        }
    }
    chosen
}
