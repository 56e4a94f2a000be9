//! Unions, intersections and differences of sorted sets, to be told, counted or stored.
//!
//! A plain set takes part as a sorted set whose members all have the score 1.

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{ACCESS, KeySpec, OW, RO, UPDATE, at, counted};
use russet_dispatch::{Args, Class, Command, Context, Error, Key, Outcome, Stop};
use russet_engine::types::set::Set;
use russet_engine::types::sorted_set::{Rules, SortedSet};
use russet_engine::{Entry, ObjectRef};

use super::{SORTED_SET, head, is_elsewhere, member, rules};

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "zdiff",
        syntax: "numkeys:int key [key ...] [WITHSCORES]",
        summary: "Gives the members of the first sorted set that no other has.",
        complexity: "O(N*K) where N is the number of members in the first set and K that of sets, and O(M*log(M)) for M members returned",
        since: "6.2.0",
        run: zdiff,
        ..READ
    },
    Command {
        name: "zdiffstore",
        syntax: "destination numkeys:int key [key ...]",
        summary: "Stores the members of the first sorted set that no other has.",
        complexity: "O(N*K) where N is the number of members in the first set and K that of sets, and O(M*log(M)) for M members stored",
        since: "6.2.0",
        run: zdiffstore,
        ..STORE
    },
    Command {
        name: "zinter",
        syntax: "numkeys:int key [key ...] [WEIGHTS weight:int [weight:int ...]] [AGGREGATE <SUM | MIN | MAX | COUNT>] [WITHSCORES]",
        summary: "Gives the members that all of several sorted sets have.",
        complexity: "O(N*K) where N is the number of members in the smallest set and K that of sets, and O(M*log(M)) for M members returned",
        since: "6.2.0",
        history: COUNTS,
        run: zinter,
        ..READ
    },
    Command {
        name: "zintercard",
        syntax: "numkeys:int key [key ...] [LIMIT limit:int]",
        summary: "Counts the members that all of several sorted sets have.",
        complexity: "O(N*K) where N is the number of members in the smallest set and K that of sets",
        since: "7.0.0",
        run: zintercard,
        ..READ
    },
    Command {
        name: "zinterstore",
        syntax: "destination numkeys:int key [key ...] [WEIGHTS weight:int [weight:int ...]] [AGGREGATE <SUM | MIN | MAX | COUNT>]",
        summary: "Stores the members that all of several sorted sets have.",
        complexity: "O(N*K) where N is the number of members in the smallest set and K that of sets, and O(M*log(M)) for M members stored",
        history: COUNTS,
        run: zinterstore,
        ..STORE
    },
    Command {
        name: "zunion",
        syntax: "numkeys:int key [key ...] [WEIGHTS weight:int [weight:int ...]] [AGGREGATE <SUM | MIN | MAX | COUNT>] [WITHSCORES]",
        summary: "Gives the members that any of several sorted sets has.",
        complexity: "O(N*log(M)) where N is the number of members in all sets and M that of members returned",
        since: "6.2.0",
        history: COUNTS,
        run: zunion,
        ..READ
    },
    Command {
        name: "zunionstore",
        syntax: "destination numkeys:int key [key ...] [WEIGHTS weight:int [weight:int ...]] [AGGREGATE <SUM | MIN | MAX | COUNT>]",
        summary: "Stores the members that any of several sorted sets has.",
        complexity: "O(N*log(M)) where N is the number of members in all sets and M that of members stored",
        history: COUNTS,
        run: zunionstore,
        ..STORE
    },
];

/// What AGGREGATE has learnt.
const COUNTS: &[(&str, &str)] = &[("8.8.0", "Added the `COUNT` aggregation.")];

/// What the commands have in common that tell.
const READ: Command = Command {
    arity: -3,
    flags: &[ReadOnly, MovableKeys],
    keys: &[counted(1, 1, RO | ACCESS)],
    ..SORTED_SET
};

/// Where the commands that store have their keys.
const STORE_KEYS: &[KeySpec] = &[at(1, OW | UPDATE), counted(2, 1, RO | ACCESS)];

/// What the commands have in common that store.
const STORE: Command = Command {
    since: "2.0.0",
    arity: -4,
    flags: &[Write, DenyOom, MovableKeys],
    keys: STORE_KEYS,
    ..SORTED_SET
};

/// How sets are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Union,
    Inter,
    Diff,
}

/// What becomes of the scores that a member has in several sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
    /// Scores do not matter: each set counts with its weight.
    Count,
}

impl Aggregate {
    fn read(args: &mut Args<'_>) -> Result<Self, Error> {
        match () {
            () if args.flag("sum") => Ok(Self::Sum),
            () if args.flag("min") => Ok(Self::Min),
            () if args.flag("max") => Ok(Self::Max),
            () if args.flag("count") => Ok(Self::Count),
            () => Err(Error::Syntax),
        }
    }

    fn weighted(self, score: f64, weight: f64) -> f64 {
        let product = if self == Self::Count { weight } else { score * weight };
        if product.is_nan() { 0.0 } else { product }
    }

    /// Two scores made one. What infinities of both signs add up to is zero.
    fn join(self, one: f64, other: f64) -> f64 {
        match self {
            Self::Min if other < one => other,
            Self::Max if other > one => other,
            Self::Min | Self::Max => one,
            Self::Sum | Self::Count => {
                let sum = one + other;
                if sum.is_nan() { 0.0 } else { sum }
            }
        }
    }
}

/// What stands under a key that takes part.
#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    Nothing,
    Sorted(&'a SortedSet),
    Plain(&'a Set),
}

impl<'a> Source<'a> {
    fn of(entry: Option<&'a Entry>) -> Result<Self, Error> {
        match entry.map(Entry::object) {
            None => Ok(Self::Nothing),
            Some(Some(ObjectRef::SortedSet(set))) => Ok(Self::Sorted(set)),
            Some(Some(ObjectRef::Set(set))) => Ok(Self::Plain(set)),
            Some(_) => Err(Error::WrongType),
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Sorted(set) => set.len(),
            Self::Plain(set) => set.len(),
        }
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Self::Nothing => None,
            Self::Sorted(set) => set.score(member),
            Self::Plain(set) => set.contains(member).then_some(1.0),
        }
    }

    /// Shows members until `show` says that it is enough.
    fn all(self, mut show: impl FnMut(&[u8], f64) -> bool) {
        match self {
            Self::Nothing => {}
            Self::Sorted(set) => {
                set.each_while(0..set.len(), show);
            }
            Self::Plain(set) => {
                set.iter().all(|member| member.with_bytes(|name| show(name, 1.0)));
            }
        }
    }
}

/// What is asked for.
#[derive(Debug)]
struct Query<'a> {
    operation: Operation,
    keys: Vec<Key<'a>>,
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
    /// Members beyond this need not be counted; none for all.
    limit: usize,
}

/// Where the answer of a command goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Told,
    Counted,
    Stored,
}

impl<'a> Query<'a> {
    fn read(
        cx: &mut Context<'_>,
        args: &mut Args<'a>,
        operation: Operation,
        answer: Answer,
    ) -> Result<Self, Error> {
        let numkeys = args.int()?;
        let Some(numkeys) = usize::try_from(numkeys).ok().filter(|numkeys| *numkeys > 0) else {
            let name = cx.row.command.name;
            return Err(Error::of(format!(
                "ERR at least 1 input key is needed for '{name}' command"
            )));
        };
        if numkeys > args.left() {
            return Err(Error::Syntax);
        }
        let keys = (0..numkeys).map(|_| args.key()).collect::<Result<Vec<_>, _>>()?;
        for key in &keys {
            Source::of(cx.data.read(*key))?;
        }
        let weights = vec![1.0; numkeys];
        let (aggregate, with_scores, limit) = (Aggregate::Sum, false, 0);
        let mut query = Self { operation, keys, weights, aggregate, with_scores, limit };
        while !args.is_empty() {
            query.read_option(args, answer)?;
        }
        Ok(query)
    }

    fn read_option(&mut self, args: &mut Args<'_>, answer: Answer) -> Result<(), Error> {
        let is_weighable = self.operation != Operation::Diff && answer != Answer::Counted;
        let is_last = args.left() < 2;
        if is_weighable && args.left() > self.keys.len() && args.flag("weights") {
            for weight in &mut self.weights {
                *weight = args.float().map_err(|_| Error::WeightNotFloat)?;
            }
        } else if is_weighable && !is_last && args.flag("aggregate") {
            self.aggregate = Aggregate::read(args)?;
        } else if answer == Answer::Told && args.flag("withscores") {
            self.with_scores = true;
        } else if answer == Answer::Counted && !is_last && args.flag("limit") {
            self.limit = args.count().map_err(|_| Error::LimitNegative)?;
        } else {
            return Err(Error::Syntax);
        }
        Ok(())
    }

    /// The sources with their weights; in no order that matters but for differences, and then the smallest first.
    fn sources<'d>(&self, cx: &'d Context<'_>) -> Result<Vec<(Source<'d>, f64)>, Error> {
        let sources = self.keys.iter().map(|key| Source::of(cx.data.again(*key)));
        let sources = sources.collect::<Result<Vec<_>, _>>()?;
        let mut weighted: Vec<_> = sources.into_iter().zip(self.weights.iter().copied()).collect();
        if self.operation != Operation::Diff {
            weighted.sort_by_key(|(source, _)| source.len());
        }
        Ok(weighted)
    }

    /// About how many members will be looked at.
    fn cost(&self, sources: &[(Source<'_>, f64)]) -> usize {
        match self.operation {
            Operation::Union => sources.iter().map(|(source, _)| source.len()).sum(),
            Operation::Inter | Operation::Diff => sources[0].0.len() * sources.len(),
        }
    }

    /// The members that are wanted; in an intersection, up to the limit.
    fn joined(&self, sources: &[(Source<'_>, f64)], rules: Rules) -> SortedSet {
        let mut result = SortedSet::large(rules);
        match self.operation {
            Operation::Union => self.unite(sources, rules, &mut result),
            Operation::Inter => self.intersect(sources, |name, score| {
                result.set(score, name, rules);
                true
            }),
            Operation::Diff => sources[0].0.all(|name, score| {
                if !sources[1..].iter().any(|(other, _)| other.score(name).is_some()) {
                    result.set(score, name, rules);
                }
                true
            }),
        }
        result
    }

    fn unite(&self, sources: &[(Source<'_>, f64)], rules: Rules, result: &mut SortedSet) {
        for (source, weight) in sources {
            source.all(|name, score| {
                let score = self.aggregate.weighted(score, *weight);
                result.join(name, rules, |old| {
                    old.map_or(score, |old| self.aggregate.join(old, score))
                });
                true
            });
        }
    }

    /// Shows what is in all sources until `show` says that it is enough.
    fn intersect(&self, sources: &[(Source<'_>, f64)], mut show: impl FnMut(&[u8], f64) -> bool) {
        let (first, weight) = sources[0];
        first.all(|name, score| {
            let start = self.aggregate.weighted(score, weight);
            let joined = sources[1..].iter().try_fold(start, |sum, (other, weight)| {
                // As with Redis, only the first product is made zero where it is no number.
                let product = match self.aggregate {
                    Aggregate::Count => other.score(name).map(|_| *weight)?,
                    _ => other.score(name)? * weight,
                };
                Some(self.aggregate.join(sum, product))
            });
            joined.is_none_or(|score| show(name, score))
        });
    }
}

fn zunion(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    tell(cx, args, Operation::Union)
}

fn zinter(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    tell(cx, args, Operation::Inter)
}

fn zdiff(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    tell(cx, args, Operation::Diff)
}

fn tell(cx: &mut Context<'_>, args: &mut Args<'_>, operation: Operation) -> Outcome {
    let query = Query::read(cx, args, operation, Answer::Told)?;
    let result = join(cx, &query)?;
    let reply = &mut cx.reply;
    head(reply, result.len(), query.with_scores);
    result.each(0..result.len(), |name, score| {
        member(reply, name, query.with_scores.then_some(score));
    });
    Ok(())
}

fn join(cx: &Context<'_>, query: &Query<'_>) -> Result<SortedSet, Stop> {
    let sources = query.sources(cx)?;
    if is_elsewhere(cx, query.cost(&sources)) {
        return Err(Stop::Elsewhere);
    }
    Ok(query.joined(&sources, rules(cx)))
}

fn zintercard(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let query = Query::read(cx, args, Operation::Inter, Answer::Counted)?;
    let sources = query.sources(cx)?;
    if is_elsewhere(cx, query.cost(&sources)) {
        return Err(Stop::Elsewhere);
    }
    let mut count = 0;
    query.intersect(&sources, |_, _| {
        count += 1;
        count != query.limit
    });
    cx.reply.integer(count as i64);
    Ok(())
}

fn zunionstore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    store(cx, args, Operation::Union)
}

fn zinterstore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    store(cx, args, Operation::Inter)
}

fn zdiffstore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    store(cx, args, Operation::Diff)
}

fn store(cx: &mut Context<'_>, args: &mut Args<'_>, operation: Operation) -> Outcome {
    args.seek(2);
    let query = Query::read(cx, args, operation, Answer::Stored)?;
    args.seek(1);
    let target = args.key()?;
    let mut result = join(cx, &query)?;
    result.reduce(rules(cx));
    let len = result.len();
    cx.data.put(target, result);
    if len > 0 {
        let event = match operation {
            Operation::Union => "zunionstore",
            Operation::Inter => "zinterstore",
            Operation::Diff => "zdiffstore",
        };
        cx.data.notify(Class::SortedSet, event, target);
    }
    cx.reply.integer(len as i64);
    Ok(())
}
