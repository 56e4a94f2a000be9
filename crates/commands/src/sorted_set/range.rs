//! Ranges of sorted sets, by position, by score and by name: read, counted, stored and removed.
//!
//! Whatever a range is given by, it comes down to two positions.

use std::ops::Range;

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{ACCESS, DELETE, OW, RO, RW, UPDATE, at};
use russet_dispatch::parts::{self, Show};
use russet_dispatch::{Args, Class, Command, Context, Error, Outcome, Stop};
use russet_engine::types::sorted_set::{Bounds, LexBound, ScoreBound, SortedSet};
use russet_resp::Writer;
use russet_resp::number::parse_double;

use super::{SORTED_SET, head, is_elsewhere, member, rules};

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "zcount",
        syntax: "key min:double max:double",
        summary: "Counts the members with scores in a range.",
        run: zcount,
        ..COUNT
    },
    Command {
        name: "zlexcount",
        syntax: "key min max",
        summary: "Counts the members with names in a range, where all scores are the same.",
        since: "2.8.9",
        run: zlexcount,
        ..COUNT
    },
    Command {
        name: "zrange",
        syntax: "key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset:int count:int] [WITHSCORES]",
        summary: "Gives the members in a range of positions, scores or names.",
        since: "1.2.0",
        history: &[("6.2.0", "Added the `REV`, `BYSCORE`, `BYLEX` and `LIMIT` options.")],
        run: zrange,
        ..READ
    },
    Command {
        name: "zrangebylex",
        syntax: "key min max [LIMIT offset:int count:int]",
        summary: "Gives the members with names in a range, where all scores are the same.",
        since: "2.8.9",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `BYLEX` argument")),
        run: zrangebylex,
        ..READ
    },
    Command {
        name: "zrangebyscore",
        syntax: "key min:double max:double [WITHSCORES] [LIMIT offset:int count:int]",
        summary: "Gives the members with scores in a range.",
        since: "1.0.5",
        history: &[("2.0.0", "Added the `WITHSCORES` modifier.")],
        deprecated: Some(("6.2.0", "`ZRANGE` with the `BYSCORE` argument")),
        run: zrangebyscore,
        ..READ
    },
    Command {
        name: "zrangestore",
        syntax: "dst src min max [BYSCORE | BYLEX] [REV] [LIMIT offset:int count:int]",
        summary: "Stores the members in a range of positions, scores or names as another sorted set.",
        complexity: "O(log(N)+M) where N is the number of members in the set and M that of members stored",
        since: "6.2.0",
        arity: -5,
        flags: &[Write, DenyOom],
        keys: &[at(1, OW | UPDATE), at(2, RO | ACCESS)],
        run: zrangestore,
        ..SORTED_SET
    },
    Command {
        name: "zremrangebylex",
        syntax: "key min max",
        summary: "Removes the members with names in a range, where all scores are the same.",
        since: "2.8.9",
        run: zremrangebylex,
        ..REMOVE
    },
    Command {
        name: "zremrangebyrank",
        syntax: "key start:int stop:int",
        summary: "Removes the members in a range of positions.",
        since: "2.0.0",
        run: zremrangebyrank,
        ..REMOVE
    },
    Command {
        name: "zremrangebyscore",
        syntax: "key min:double max:double",
        summary: "Removes the members with scores in a range.",
        since: "1.2.0",
        run: zremrangebyscore,
        ..REMOVE
    },
    Command {
        name: "zrevrange",
        syntax: "key start:int stop:int [WITHSCORES]",
        summary: "Gives the members in a range of positions, counted from the highest score.",
        since: "1.2.0",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` argument")),
        run: zrevrange,
        ..READ
    },
    Command {
        name: "zrevrangebylex",
        syntax: "key max min [LIMIT offset:int count:int]",
        summary: "Gives the members with names in a range, the last first, where all scores are the same.",
        since: "2.8.9",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments")),
        run: zrevrangebylex,
        ..READ
    },
    Command {
        name: "zrevrangebyscore",
        syntax: "key max:double min:double [WITHSCORES] [LIMIT offset:int count:int]",
        summary: "Gives the members with scores in a range, the highest first.",
        since: "2.2.0",
        history: &[("2.1.6", "`min` and `max` can be exclusive.")],
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments")),
        run: zrevrangebyscore,
        ..READ
    },
];

/// What the commands have in common that count a range.
const COUNT: Command = Command {
    complexity: "O(log(N)) where N is the number of members in the set",
    since: "2.0.0",
    arity: 4,
    flags: &[ReadOnly, Fast],
    keys: &[at(1, RO | ACCESS)],
    ..SORTED_SET
};

/// What the commands have in common that give a range.
const READ: Command = Command {
    complexity: "O(log(N)+M) where N is the number of members in the set and M that of members returned",
    arity: -4,
    flags: &[ReadOnly],
    keys: &[at(1, RO | ACCESS)],
    ..SORTED_SET
};

/// What the commands have in common that remove a range.
const REMOVE: Command = Command {
    complexity: "O(log(N)+M) where N is the number of members in the set and M that of members removed",
    arity: 4,
    flags: &[Write],
    keys: &[at(1, RW | DELETE)],
    ..SORTED_SET
};

/// What a range is given by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// Two positions, the last one included, or bounds of scores or names.
#[derive(Clone, Copy, Debug)]
enum Span<'a> {
    Ranks(i64, i64),
    Bounds(Bounds<'a>),
}

impl<'a> Span<'a> {
    fn read(by: By, first: &'a [u8], last: &'a [u8]) -> Result<Self, Error> {
        let int = |word| russet_engine::number::parse_i64(word).ok_or(Error::NotInteger);
        Ok(match by {
            By::Rank => Self::Ranks(int(first)?, int(last)?),
            By::Score => Self::Bounds(Bounds::Scores(score_bound(first)?, score_bound(last)?)),
            By::Lex => Self::Bounds(Bounds::Lex(lex_bound(first)?, lex_bound(last)?)),
        })
    }

    /// The positions in a set, from its end if `is_reverse`.
    fn of(self, set: &SortedSet, is_reverse: bool) -> Range<usize> {
        match self {
            Self::Bounds(bounds) => set.positions(bounds),
            Self::Ranks(first, last) => {
                let found = ranks(first, last, set.len());
                if is_reverse { set.len() - found.end..set.len() - found.start } else { found }
            }
        }
    }
}

/// Two positions of which negative ones count from the end, the last included.
fn ranks(first: i64, last: i64, len: usize) -> Range<usize> {
    let len = len as i64;
    let from_start = |at: i64| if at < 0 { len + at } else { at };
    let (first, last) = (from_start(first).max(0), from_start(last).min(len - 1));
    if first > last { 0..0 } else { first as usize..last as usize + 1 }
}

/// A score, behind `(` if it is not included; a number as C's strtod reads it, white space before it and all.
fn score_bound(word: &[u8]) -> Result<ScoreBound, Error> {
    let (is_exclusive, number) = match word {
        [b'(', number @ ..] => (true, number),
        number => (false, number),
    };
    let score = lenient_double(number).ok_or(Error::RangeNotFloat)?;
    Ok(ScoreBound { score, is_exclusive })
}

fn lenient_double(number: &[u8]) -> Option<f64> {
    if number.is_empty() {
        return Some(0.0);
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = number.iter().position(|byte| !is_space(byte))?;
    let number = &number[start..];
    // What is too large or too small for a double is infinite or nothing here.
    let rounded = || std::str::from_utf8(number).ok()?.parse::<f64>().ok();
    parse_double(number).or_else(rounded).filter(|score| !score.is_nan())
}

fn lex_bound(word: &[u8]) -> Result<LexBound<'_>, Error> {
    match word {
        b"-" => Ok(LexBound::First),
        b"+" => Ok(LexBound::Last),
        [b'[', name @ ..] => Ok(LexBound::Including(name)),
        [b'(', name @ ..] => Ok(LexBound::Excluding(name)),
        _ => Err(Error::RangeNotLex),
    }
}

/// Which members of a range are wanted, and how.
#[derive(Clone, Copy, Debug)]
struct Query<'a> {
    span: Span<'a>,
    is_reverse: bool,
    offset: i64,
    limit: i64,
    with_scores: bool,
}

impl<'a> Query<'a> {
    /// Reads what stands behind the key. `by` and `is_reverse` are what the command's name says, if it does.
    fn read(
        args: &mut Args<'a>,
        by: Option<By>,
        is_reverse: Option<bool>,
        is_stored: bool,
    ) -> Result<Self, Error> {
        let (first, last) = (args.next()?, args.next()?);
        let (mut asked_by, mut asked_reverse) = (by, is_reverse);
        let (mut with_scores, mut offset, mut limit) = (false, 0, -1);
        while !args.is_empty() {
            if !is_stored && args.flag("withscores") {
                with_scores = true;
            } else if args.left() > 2 && args.flag("limit") {
                (offset, limit) = (args.int()?, args.int()?);
            } else if is_reverse.is_none() && args.flag("rev") {
                asked_reverse = Some(true);
            } else if asked_by.is_none() && args.flag("bylex") {
                asked_by = Some(By::Lex);
            } else if asked_by.is_none() && args.flag("byscore") {
                asked_by = Some(By::Score);
            } else {
                return Err(Error::Syntax);
            }
        }
        let (by, is_reverse) = (asked_by.unwrap_or(By::Rank), asked_reverse.unwrap_or(false));
        if limit != -1 && by == By::Rank {
            return Err(Error::LimitByRank);
        }
        if with_scores && by == By::Lex {
            return Err(Error::ScoresByLex);
        }
        let is_swapped = is_reverse && by != By::Rank;
        let (min, max) = if is_swapped { (last, first) } else { (first, last) };
        let span = Span::read(by, min, max)?;
        Ok(Self { span, is_reverse, offset, limit, with_scores })
    }

    /// The positions that are wanted.
    fn of(self, set: &SortedSet) -> Range<usize> {
        let found = self.span.of(set, self.is_reverse);
        if matches!(self.span, Span::Ranks(..)) {
            return found;
        }
        let left = self.left(found.len(), set.is_small());
        let count = usize::try_from(self.limit).map_or(left, |limit| limit.min(left));
        if self.is_reverse {
            found.start + left - count..found.start + left
        } else {
            found.end - left..found.end - left + count
        }
    }

    /// How many of `len` elements are left behind the offset. One before the beginning finds nothing in the compact
    /// form; in the other it counts from the range's end, as in Redis' skiplist.
    fn left(self, len: usize, is_small: bool) -> usize {
        match usize::try_from(self.offset) {
            Ok(offset) => len.saturating_sub(offset),
            Err(_) if is_small => 0,
            Err(_) => usize::try_from(self.offset.unsigned_abs())
                .ok()
                .filter(|back| *back <= len)
                .unwrap_or(0),
        }
    }
}

fn zrange(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    show(cx, args, None, None)
}

fn zrevrange(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    show(cx, args, Some(By::Rank), Some(true))
}

fn zrangebyscore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    show(cx, args, Some(By::Score), Some(false))
}

fn zrevrangebyscore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    show(cx, args, Some(By::Score), Some(true))
}

fn zrangebylex(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    show(cx, args, Some(By::Lex), Some(false))
}

fn zrevrangebylex(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    show(cx, args, Some(By::Lex), Some(true))
}

fn show(
    cx: &mut Context<'_>,
    args: &mut Args<'_>,
    by: Option<By>,
    is_reverse: Option<bool>,
) -> Outcome {
    let key = args.key()?;
    let query = Query::read(args, by, is_reverse, false)?;
    let members = Members { is_reverse: query.is_reverse, with_scores: query.with_scores };
    parts::reply(cx, key, members, |set, reply| {
        let positions = set.map_or(0..0, |set| query.of(set));
        head(reply, positions.len(), query.with_scores);
        Some((positions.start, positions.end))
    })
}

/// Shows members of a sorted set.
#[derive(Clone, Copy, Debug)]
struct Members {
    is_reverse: bool,
    with_scores: bool,
}

impl Show for Members {
    type Of = SortedSet;
    /// The positions that are left.
    type Place = (usize, usize);

    #[inline]
    fn show(
        &self,
        set: &SortedSet,
        (mut start, mut end): (usize, usize),
        until: usize,
        reply: &mut Writer<'_>,
    ) -> Option<(usize, usize)> {
        let mut shown = 0;
        let show = |name: &[u8], score: f64| {
            member(reply, name, self.with_scores.then_some(score));
            shown += 1;
            reply.out.len() < until
        };
        if self.is_reverse {
            set.each_back_while(start..end, show);
            end -= shown;
        } else {
            set.each_while(start..end, show);
            start += shown;
        }
        (start < end).then_some((start, end))
    }
}

fn zrangestore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (target, source) = (args.key()?, args.key()?);
    let query = Query::read(args, None, None, true)?;
    let rules = rules(cx);
    let len = cx.data.read_as::<SortedSet>(source)?.map_or(0, |set| query.of(set).len());
    if is_elsewhere(cx, len) {
        return Err(Stop::Elsewhere);
    }
    let mut stored = SortedSet::new();
    if let Some(set) = cx.data.find_as::<SortedSet>(source)? {
        if matches!(query.span, Span::Ranks(..)) {
            stored.expect(len, 0, rules);
        }
        // In Redis' order, so that a score of -0 loses its sign where it does there: in the compact form, before that is outgrown.
        let store = |name: &[u8], score| stored.set(score, name, rules);
        if query.is_reverse {
            set.each_back(query.of(set), store);
        } else {
            set.each(query.of(set), store);
        }
    }
    cx.data.put(target, stored);
    if len > 0 {
        cx.data.notify(Class::SortedSet, "zrangestore", target);
    }
    cx.reply.integer(len as i64);
    Ok(())
}

fn zcount(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    count(cx, args, By::Score)
}

fn zlexcount(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    count(cx, args, By::Lex)
}

fn count(cx: &mut Context<'_>, args: &mut Args<'_>, by: By) -> Outcome {
    let (key, span) = (args.key()?, Span::read(by, args.next()?, args.next()?)?);
    let count = cx.data.read_as::<SortedSet>(key)?.map_or(0, |set| span.of(set, false).len());
    cx.reply.integer(count as i64);
    Ok(())
}

fn zremrangebyrank(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    remove(cx, args, By::Rank)
}

fn zremrangebyscore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    remove(cx, args, By::Score)
}

fn zremrangebylex(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    remove(cx, args, By::Lex)
}

fn remove(cx: &mut Context<'_>, args: &mut Args<'_>, by: By) -> Outcome {
    let (key, span) = (args.key()?, Span::read(by, args.next()?, args.next()?)?);
    let found = cx.data.find_as::<SortedSet>(key)?.map_or(0..0, |set| span.of(set, false));
    if is_elsewhere(cx, found.len()) {
        return Err(Stop::Elsewhere);
    }
    if !found.is_empty() {
        let gone = found.clone();
        cx.data.change_found(key, |set: &mut SortedSet| (set.remove_range(gone), true))?;
        let event = match by {
            By::Rank => "zremrangebyrank",
            By::Score => "zremrangebyscore",
            By::Lex => "zremrangebylex",
        };
        cx.data.announce(Class::SortedSet, event, key);
        cx.data.count_as(found.len());
    }
    cx.reply.integer(found.len() as i64);
    Ok(())
}
