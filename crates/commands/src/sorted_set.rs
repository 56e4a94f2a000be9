//! Sorted sets: members by score.
//!
//! What asks for ranges stands in `sorted_set/range.rs`, what takes from the ends in `sorted_set/pop.rs`, what joins several sets in
//! `sorted_set/store.rs`.

pub mod pop;
pub mod range;
pub mod sample;
mod scan;
pub mod store;

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{ACCESS, DELETE, RO, RW, UPDATE, at};
use russet_dispatch::{Args, Class, Command, Context, Error, Group, Key, Outcome, Prefetch};
use russet_engine::types::sorted_set::{Rules, SortedSet, Update};
use russet_resp::{Protocol, Writer};
use smallvec::SmallVec;

/// What every sorted set command has in common.
const SORTED_SET: Command = Command { group: Group::SortedSet, file: file!(), ..Command::BASE };

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "zadd",
        syntax: "key [NX | XX] [GT | LT] [CH] [INCR] score:double member [score:double member ...]",
        summary: "Adds members with their scores, or gives members other scores.",
        complexity: "O(log(N)) for each member, where N is the number of members in the set",
        since: "1.2.0",
        arity: -4,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | UPDATE)],
        prefetch: Prefetch::Element(3),
        history: &[
            ("2.4.0", "Accepts multiple elements."),
            ("3.0.2", "Added the `XX`, `NX`, `CH` and `INCR` options."),
            ("6.2.0", "Added the `GT` and `LT` options."),
        ],
        run: zadd,
        ..SORTED_SET
    },
    Command {
        name: "zcard",
        syntax: "key",
        summary: "Tells how many members a sorted set has.",
        since: "1.2.0",
        arity: 2,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO)],
        run: zcard,
        ..SORTED_SET
    },
    Command {
        name: "zincrby",
        syntax: "key increment:double member",
        summary: "Adds to the score of a member, which is added if it is not there.",
        complexity: "O(log(N)) where N is the number of members in the set",
        since: "1.2.0",
        arity: 4,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | ACCESS | UPDATE)],
        prefetch: Prefetch::Element(3),
        run: zincrby,
        ..SORTED_SET
    },
    Command {
        name: "zmscore",
        syntax: "key member [member ...]",
        summary: "Gives the scores of members.",
        complexity: "O(N) where N is the number of members asked for",
        since: "6.2.0",
        arity: -3,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO | ACCESS)],
        prefetch: Prefetch::Element(2),
        run: zmscore,
        ..SORTED_SET
    },
    Command {
        name: "zrank",
        syntax: "key member [WITHSCORE]",
        summary: "Tells at which position a member stands, by ascending score.",
        run: zrank,
        ..RANK
    },
    Command {
        name: "zrem",
        syntax: "key member [member ...]",
        summary: "Removes members.",
        complexity: "O(M*log(N)) where N is the number of members in the set and M that of members to remove",
        since: "1.2.0",
        arity: -3,
        flags: &[Write, Fast],
        keys: &[at(1, RW | DELETE)],
        prefetch: Prefetch::Element(2),
        history: &[("2.4.0", "Accepts multiple elements.")],
        run: zrem,
        ..SORTED_SET
    },
    Command {
        name: "zrevrank",
        syntax: "key member [WITHSCORE]",
        summary: "Tells at which position a member stands, by descending score.",
        run: zrevrank,
        ..RANK
    },
    scan::ZSCAN,
    Command {
        name: "zscore",
        syntax: "key member",
        summary: "Gives the score of a member.",
        since: "1.2.0",
        arity: 3,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO | ACCESS)],
        prefetch: Prefetch::Element(2),
        run: zscore,
        ..SORTED_SET
    },
];

/// What ZRANK and ZREVRANK have in common.
const RANK: Command = Command {
    complexity: "O(log(N)) where N is the number of members in the set",
    since: "2.0.0",
    arity: -3,
    flags: &[ReadOnly, Fast],
    keys: &[at(1, RO | ACCESS)],
    prefetch: Prefetch::Element(2),
    history: &[("7.2.0", "Added the optional `WITHSCORE` argument.")],
    ..SORTED_SET
};

/// Members beyond which a command runs on a worker: about a millisecond's work.
const MEMBERS_MAX: usize = 2000;

/// How sorted sets are kept.
pub(crate) fn rules(cx: &Context<'_>) -> Rules {
    let state = cx.state;
    Rules { max: state.tunables.thresholds.sorted_set(), seed: state.keyspace.seed() }
}

/// Whether a command on so many members belongs on a worker and is not there.
pub(crate) fn is_elsewhere(cx: &Context<'_>, members: usize) -> bool {
    members > MEMBERS_MAX && !cx.is_worker && !cx.session.deny_blocking
}

/// The head of a reply of `members`, each with its score if that is wanted: pairs in RESP3, one flat array in RESP2.
fn head(reply: &mut Writer<'_>, members: usize, with_scores: bool) {
    let is_flat = with_scores && reply.protocol == Protocol::Resp2;
    reply.array(if is_flat { members * 2 } else { members });
}

/// A member behind such a head.
fn member(reply: &mut Writer<'_>, member: &[u8], score: Option<f64>) {
    if score.is_some() && reply.protocol == Protocol::Resp3 {
        reply.array(2);
    }
    reply.bulk(member);
    if let Some(score) = score {
        reply.double(score);
    }
}

/// The options of ZADD.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Adding {
    /// NX.
    pub(crate) only_new: bool,
    /// XX.
    pub(crate) only_old: bool,
    only_greater: bool,
    only_less: bool,
    /// CH.
    pub(crate) counts_changed: bool,
    is_increment: bool,
}

impl Adding {
    fn read(args: &mut Args<'_>) -> Self {
        let mut options = Self::default();
        loop {
            let place = match () {
                () if args.flag("nx") => &mut options.only_new,
                () if args.flag("xx") => &mut options.only_old,
                () if args.flag("gt") => &mut options.only_greater,
                () if args.flag("lt") => &mut options.only_less,
                () if args.flag("ch") => &mut options.counts_changed,
                () if args.flag("incr") => &mut options.is_increment,
                () => return options,
            };
            *place = true;
        }
    }

    const fn check(self, pairs: usize) -> Result<(), Error> {
        let is_compared = self.only_greater || self.only_less;
        if self.only_new && self.only_old {
            return Err(Error::ZaddNxXx);
        }
        if self.only_new && is_compared || self.only_greater && self.only_less {
            return Err(Error::ZaddGtLtNx);
        }
        if self.is_increment && pairs > 1 {
            return Err(Error::ZaddIncrPairs);
        }
        Ok(())
    }

    /// The new score of a member that has the `old`, if it is to get one.
    fn decide(self, old: Option<f64>, score: f64) -> Result<Option<f64>, Error> {
        let Some(old) = old else { return Ok((!self.only_old).then_some(score)) };
        let score = if self.is_increment { old + score } else { score };
        if self.only_new {
            return Ok(None);
        }
        if score.is_nan() {
            return Err(Error::ScoreNotNumber);
        }
        let is_kept = self.only_less && score >= old || self.only_greater && score <= old;
        Ok((!is_kept).then_some(score))
    }
}

/// What ZADD did.
#[derive(Clone, Copy, Debug, Default)]
struct Added {
    new: usize,
    changed: usize,
    last: Option<f64>,
}

impl Added {
    fn count(&mut self, update: Update) {
        self.new += usize::from(update.is_new());
        self.changed += usize::from(update.is_changed());
        self.last = update.new;
    }
}

fn zadd(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    args.seek(2);
    let options = Adding::read(args);
    let pairs = args.left() / 2;
    if pairs == 0 || !args.left().is_multiple_of(2) {
        return Err(Error::Syntax.into());
    }
    options.check(pairs)?;
    let first = Args::position(args);
    args.seek(1);
    let key = args.key()?;
    args.seek(first);
    add(cx, key, args, options)
}

fn zincrby(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    add(cx, key, args, Adding { is_increment: true, ..Adding::default() })
}

/// Adds the pairs that are left. All scores are read before anything is done.
fn add(cx: &mut Context<'_>, key: Key<'_>, args: &mut Args<'_>, options: Adding) -> Outcome {
    let mut pairs = SmallVec::<[(f64, &[u8]); 4]>::new();
    while !args.is_empty() {
        pairs.push((args.float()?, args.next()?));
    }
    add_pairs(cx, key, &pairs, options)
}

/// As [`add`], for pairs that have been read.
pub(crate) fn add_pairs(
    cx: &mut Context<'_>,
    key: Key<'_>,
    pairs: &[(f64, &[u8])],
    options: Adding,
) -> Outcome {
    let rules = rules(cx);
    let longest = pairs.iter().map(|(_, member)| member.len()).max().unwrap_or(0);
    let added = cx.data.change(key, SortedSet::new, |set| {
        set.expect(pairs.len(), longest, rules);
        let mut added = Added::default();
        let result = pairs.iter().try_for_each(|&(score, member)| {
            let update = set.update(member, rules, |old| options.decide(old, score))?;
            added.count(update);
            Ok::<(), Error>(())
        });
        (result.map(|()| added), added.new + added.changed > 0)
    })?;
    let event = if options.is_increment { "zincr" } else { "zadd" };
    cx.data.announce(Class::SortedSet, event, key);
    let added = added?;
    cx.data.count_as(added.new + added.changed);
    match (options.is_increment, options.counts_changed) {
        (true, _) => match added.last {
            Some(score) => cx.reply.double(score),
            None => cx.reply.null(),
        },
        (_, true) => cx.reply.integer((added.new + added.changed) as i64),
        (_, false) => cx.reply.integer(added.new as i64),
    }
    Ok(())
}

fn zcard(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let len = cx.data.read_as::<SortedSet>(key)?.map_or(0, SortedSet::len);
    cx.reply.integer(len as i64);
    Ok(())
}

fn zscore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, member) = (args.key()?, args.next()?);
    let score = cx.data.read_as::<SortedSet>(key)?.and_then(|set| set.score(member));
    match score {
        Some(score) => cx.reply.double(score),
        None => cx.reply.null(),
    }
    Ok(())
}

fn zmscore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let set = cx.data.read_as::<SortedSet>(key)?;
    cx.reply.array(args.left());
    for member in args {
        match set.and_then(|set| set.score(member)) {
            Some(score) => cx.reply.double(score),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

fn zrank(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    rank(cx, args, |rank, _| rank)
}

fn zrevrank(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    rank(cx, args, |rank, len| len - 1 - rank)
}

/// Tells where a member stands; `shown` makes of a position in a set of so many what is told.
fn rank(
    cx: &mut Context<'_>,
    args: &mut Args<'_>,
    shown: impl FnOnce(usize, usize) -> usize,
) -> Outcome {
    let (key, member) = (args.key()?, args.next()?);
    if args.left() > 1 {
        return Err(Error::arity(cx.row.command.name).into());
    }
    let with_score = args.flag("withscore");
    args.end()?;
    let found = cx.data.read_as::<SortedSet>(key)?.and_then(|set| {
        let (rank, score) = set.rank(member)?;
        Some((shown(rank, set.len()), score))
    });
    match (found, with_score) {
        (Some((rank, score)), true) => {
            cx.reply.array(2);
            cx.reply.integer(rank as i64);
            cx.reply.double(score);
        }
        (Some((rank, _)), false) => cx.reply.integer(rank as i64),
        (None, true) => cx.reply.null_array(),
        (None, false) => cx.reply.null(),
    }
    Ok(())
}

fn zrem(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let removed = cx.data.change_found(key, |set: &mut SortedSet| {
        let removed = args.by_ref().filter(|member| set.remove(member).is_some()).count();
        (removed, removed > 0)
    })?;
    cx.data.announce(Class::SortedSet, "zrem", key);
    let removed = removed.unwrap_or(0);
    cx.data.count_as(removed);
    cx.reply.integer(removed as i64);
    Ok(())
}
