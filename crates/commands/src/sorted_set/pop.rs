//! Taking members off the ends of sorted sets, and waiting for them.

use russet_dispatch::blocking::{OnTimeout, Wait, timeout_ms};
use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{ACCESS, DELETE, RW, at, counted, range};
use russet_dispatch::{Args, Class, Command, Context, Error, Key, Outcome, Stop};
use russet_engine::Type;
use russet_engine::types::sorted_set::SortedSet;
use russet_resp::Protocol;

use super::{SORTED_SET, is_elsewhere};

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "bzmpop",
        syntax: "timeout:double numkeys:int key [key ...] <MIN | MAX> [COUNT count:int]",
        summary: "Takes members as ZMPOP does, and waits if there are none.",
        complexity: "O(K) + O(M*log(N)) where K is the number of keys, N that of members in the set and M that of members taken",
        since: "7.0.0",
        arity: -5,
        flags: &[Write, Blocking, MovableKeys],
        keys: &[counted(2, 1, RW | ACCESS | DELETE)],
        run: bzmpop,
        ..SORTED_SET
    },
    Command {
        name: "bzpopmax",
        summary: "Takes the member with the highest score off the first sorted set that has one, and waits if none does.",
        run: bzpopmax,
        ..BLOCKING
    },
    Command {
        name: "bzpopmin",
        summary: "Takes the member with the lowest score off the first sorted set that has one, and waits if none does.",
        run: bzpopmin,
        ..BLOCKING
    },
    Command {
        name: "zmpop",
        syntax: "numkeys:int key [key ...] <MIN | MAX> [COUNT count:int]",
        summary: "Takes members off an end of the first sorted set that has any.",
        complexity: "O(K) + O(M*log(N)) where K is the number of keys, N that of members in the set and M that of members taken",
        since: "7.0.0",
        arity: -4,
        flags: &[Write, MovableKeys],
        keys: &[counted(1, 1, RW | ACCESS | DELETE)],
        run: zmpop,
        ..SORTED_SET
    },
    Command {
        name: "zpopmax",
        summary: "Takes the members with the highest scores.",
        run: zpopmax,
        ..POP
    },
    Command {
        name: "zpopmin",
        summary: "Takes the members with the lowest scores.",
        run: zpopmin,
        ..POP
    },
];

/// What BZPOPMIN and BZPOPMAX have in common.
const BLOCKING: Command = Command {
    syntax: "key [key ...] timeout:double",
    complexity: "O(log(N)) where N is the number of members in the set",
    since: "5.0.0",
    arity: -3,
    flags: &[Write, Blocking, Fast],
    keys: &[range(1, -2, 1, RW | ACCESS | DELETE)],
    history: &[("6.0.0", "`timeout` is interpreted as a double instead of an integer.")],
    ..SORTED_SET
};

/// What ZPOPMIN and ZPOPMAX have in common.
const POP: Command = Command {
    syntax: "key [count:int]",
    complexity: "O(log(N)*M) where N is the number of members in the set and M that of members taken",
    since: "5.0.0",
    arity: -2,
    flags: &[Write, Fast],
    keys: &[at(1, RW | ACCESS | DELETE)],
    ..SORTED_SET
};

/// An end of a sorted set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

impl End {
    fn read(args: &mut Args<'_>) -> Result<Self, Error> {
        if args.flag("MIN") {
            Ok(Self::Min)
        } else if args.flag("MAX") {
            Ok(Self::Max)
        } else {
            Err(Error::Syntax)
        }
    }

    /// The command that pops here, for the journal.
    const fn word(self) -> &'static [u8] {
        match self {
            Self::Min => b"ZPOPMIN",
            Self::Max => b"ZPOPMAX",
        }
    }
}

/// How the members of a reply are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// One array of all members and scores.
    Flat,
    /// An array of pairs.
    Pairs,
    /// The key, a member, its score.
    KeyAndOne,
    /// The key, and an array of pairs.
    KeyAndPairs,
}

fn zpopmin(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    pop(cx, args, End::Min)
}

fn zpopmax(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    pop(cx, args, End::Max)
}

fn pop(cx: &mut Context<'_>, args: &mut Args<'_>, end: End) -> Outcome {
    if args.left() > 2 {
        return Err(Error::Syntax.into());
    }
    let key = args.key()?;
    let count = if args.is_empty() { None } else { Some(args.count()) };
    let count = count.transpose().map_err(|_| Error::NotPositive)?;
    let is_nested = count.is_some() && cx.reply.protocol == Protocol::Resp3;
    let shape = if is_nested { Shape::Pairs } else { Shape::Flat };
    let count = count.unwrap_or(1);
    let len = cx.data.find_as::<SortedSet>(key)?.map_or(0, SortedSet::len);
    if len == 0 || count == 0 {
        cx.reply.array(0);
        return Ok(());
    }
    take(cx, key, end, count.min(len), shape)
}

/// Takes so many members, which are there, and replies with them.
fn take(cx: &mut Context<'_>, key: Key<'_>, end: End, count: usize, shape: Shape) -> Outcome {
    if is_elsewhere(cx, count) {
        return Err(Stop::Elsewhere);
    }
    let reply = &mut cx.reply;
    match shape {
        Shape::Flat => reply.array(count * 2),
        Shape::Pairs => reply.array(count),
        Shape::KeyAndOne => reply.array(3),
        Shape::KeyAndPairs => reply.array(2),
    }
    if matches!(shape, Shape::KeyAndOne | Shape::KeyAndPairs) {
        reply.bulk(key.bytes);
    }
    if shape == Shape::KeyAndPairs {
        reply.array(count);
    }
    let mut show = |member: &[u8], score| {
        if matches!(shape, Shape::Pairs | Shape::KeyAndPairs) {
            reply.array(2);
        }
        reply.bulk(member);
        reply.double(score);
    };
    cx.data.change_found(key, |set: &mut SortedSet| {
        let len = set.len();
        if end == End::Min {
            set.each(0..count, &mut show);
            set.remove_range(0..count);
        } else {
            set.each_back(len - count..len, &mut show);
            set.remove_range(len - count..len);
        }
        ((), true)
    })?;
    let event = if end == End::Min { "zpopmin" } else { "zpopmax" };
    cx.data.announce(Class::SortedSet, event, key);
    cx.data.count_as(count);
    Ok(())
}

/// The key, the end and the number behind a number of keys; the keys among them.
fn read_many<'a>(args: &mut Args<'a>) -> Result<(Vec<Key<'a>>, End, usize), Error> {
    let numkeys = args.int().ok().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
    let numkeys = numkeys.ok_or(Error::NumkeysNotPositive)?;
    if numkeys >= args.left() {
        return Err(Error::Syntax);
    }
    let keys = (0..numkeys).map(|_| args.key()).collect::<Result<Vec<_>, _>>()?;
    let end = End::read(args)?;
    let mut count = None;
    while !args.is_empty() {
        if count.is_some() || !args.flag("COUNT") || args.is_empty() {
            return Err(Error::Syntax);
        }
        let wanted = args.int().ok().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        count = Some(wanted.ok_or(Error::CountNotPositive)?);
    }
    Ok((keys, end, count.unwrap_or(1)))
}

/// The first of the keys that holds anything, and how much.
fn first_of(cx: &mut Context<'_>, keys: &[Key<'_>]) -> Result<Option<(usize, usize)>, Error> {
    for (at, key) in keys.iter().enumerate() {
        if let Some(set) = cx.data.find_as::<SortedSet>(*key)? {
            return Ok(Some((at, set.len())));
        }
    }
    Ok(None)
}

/// Takes members of the first set that has any, replies with them and tells the journal. Says whether there was one.
fn take_first(
    cx: &mut Context<'_>,
    keys: &[Key<'_>],
    end: End,
    count: usize,
    shape: Shape,
) -> Result<bool, Stop> {
    let Some((at, len)) = first_of(cx, keys)? else { return Ok(false) };
    let count = count.min(len);
    take(cx, keys[at], end, count, shape)?;
    let mut digits = itoa::Buffer::new();
    let words = [end.word(), keys[at].bytes, digits.format(count).as_bytes()];
    cx.data.effect(if shape == Shape::KeyAndOne { &words[..2] } else { &words });
    Ok(true)
}

fn zmpop(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (keys, end, count) = read_many(args)?;
    if !take_first(cx, &keys, end, count, Shape::KeyAndPairs)? {
        cx.reply.null_array();
    }
    Ok(())
}

fn bzmpop(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let timeout = args.float();
    let (keys, end, count) = read_many(args)?;
    let timeout = timeout_ms(timeout.map_err(|_| Error::TimeoutNotFloat)?, cx.now())?;
    if take_first(cx, &keys, end, count, Shape::KeyAndPairs)? {
        return Ok(());
    }
    wait(keys, timeout)
}

fn bzpopmin(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    blocking_pop(cx, args, End::Min)
}

fn bzpopmax(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    blocking_pop(cx, args, End::Max)
}

fn blocking_pop(cx: &mut Context<'_>, args: &mut Args<'_>, end: End) -> Outcome {
    let keys = (1..args.left()).map(|_| args.key()).collect::<Result<Vec<_>, _>>()?;
    let timeout = timeout_ms(args.float().map_err(|_| Error::TimeoutNotFloat)?, cx.now())?;
    if take_first(cx, &keys, end, 1, Shape::KeyAndOne)? {
        return Ok(());
    }
    wait(keys, timeout)
}

fn wait(keys: Vec<Key<'_>>, timeout: u64) -> Outcome {
    let wait = Wait::new(keys.into_iter(), Type::SortedSet, timeout, OnTimeout::NullArray);
    Err(Stop::Wait(Box::new(wait)))
}
