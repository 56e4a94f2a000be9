//! Several sets put together: unions, intersections, differences; given, kept or counted.
//!
//! An intersection goes through the smallest set and asks the others. A difference does so with the first set, unless that costs more
//! than to take the members of all others out of a copy. Only unions, and that copy, need memory for what they have seen.

use russet_dispatch::context::Data;
use russet_dispatch::{Args, Class, Context, Error, Key, Outcome};
use russet_engine::collections::listpack::Element;
use russet_engine::types::set::{Rules, Set};
use russet_engine::{Collection, SmallMax, View};
use russet_resp::Protocol;

use super::{bulk, here, rules};

/// How sets are put together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

impl Operation {
    /// What has happened when a result was stored.
    const fn stored(self) -> &'static str {
        match self {
            Self::Union => "sunionstore",
            Self::Intersection => "sinterstore",
            Self::Difference => "sdiffstore",
        }
    }
}

pub(super) fn sunion(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    give(cx, args, Operation::Union)
}

pub(super) fn sinter(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    give(cx, args, Operation::Intersection)
}

pub(super) fn sdiff(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    give(cx, args, Operation::Difference)
}

pub(super) fn sunionstore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    store(cx, args, Operation::Union)
}

pub(super) fn sinterstore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    store(cx, args, Operation::Intersection)
}

pub(super) fn sdiffstore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    store(cx, args, Operation::Difference)
}

pub(super) fn sunioncard(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    card(cx, args, Operation::Union)
}

pub(super) fn sintercard(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    card(cx, args, Operation::Intersection)
}

pub(super) fn sdiffcard(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    card(cx, args, Operation::Difference)
}

/// Reads keys and checks what is there. Answers how many members they have in all.
fn look(cx: &mut Context<'_>, keys: &[Key<'_>]) -> Result<usize, Error> {
    keys.iter().try_fold(0_usize, |sum, key| {
        let len = cx.data.read_as::<Set>(*key)?.map_or(0, Set::len);
        Ok(sum.saturating_add(len))
    })
}

/// The sets of keys that [`look`] has checked.
fn sets<'d>(data: &'d Data<'_>, keys: &[Key<'_>]) -> Vec<Option<&'d Set>> {
    let set_of = |key: &Key<'_>| match data.again(*key)?.view() {
        View::Object(object) => Set::of(object),
        View::Short(_) | View::Int(_) | View::Chunks(_) => None,
    };
    keys.iter().map(set_of).collect()
}

fn keys<'k>(args: &mut Args<'k>, count: usize) -> Result<Vec<Key<'k>>, Error> {
    (0..count).map(|_| args.key()).collect()
}

fn give(cx: &mut Context<'_>, args: &mut Args<'_>, operation: Operation) -> Outcome {
    let keys = keys(args, args.left())?;
    let (work, rules) = (look(cx, &keys)?, rules(cx));
    here(cx, work)?;
    let (start, mut found) = (cx.reply.out.mark(), 0);
    let Context { data, reply, .. } = cx;
    put_together(&sets(data, &keys), operation, &rules, |member| {
        bulk(reply, member);
        found += 1;
        true
    });
    let kind = if reply.protocol == Protocol::Resp3 { '~' } else { '*' };
    reply.out.insert(start, format!("{kind}{found}\r\n").as_bytes());
    Ok(())
}

fn store(cx: &mut Context<'_>, args: &mut Args<'_>, operation: Operation) -> Outcome {
    let target = args.key()?;
    let keys = keys(args, args.left())?;
    let (work, rules) = (look(cx, &keys)?, rules(cx));
    here(cx, work)?;
    let result = kept(&sets(&cx.data, &keys), operation, &rules);
    let len = result.len();
    cx.data.put(target, result);
    if len > 0 {
        cx.data.notify(Class::Set, operation.stored(), target);
    }
    cx.reply.integer(len as i64);
    Ok(())
}

/// The result as a set. An intersection ends as a row of integers whenever it may, others only if all they came from are.
fn kept(sets: &[Option<&Set>], operation: Operation, rules: &Rules) -> Set {
    let is_ints = |set: &&Set| set.as_intset().is_some();
    let smallest = sets.iter().flatten().min_by_key(|set| set.len());
    let is_inter = operation == Operation::Intersection;
    let mut result =
        if is_inter && !smallest.is_some_and(is_ints) { Set::small() } else { Set::new() };
    let mut is_all_ints = true;
    put_together(sets, operation, rules, |member| {
        is_all_ints = is_all_ints && member.int().is_some();
        result.add(member, rules);
        true
    });
    if is_inter && is_all_ints && !result.is_empty() {
        result.become_ints(rules);
    }
    result
}

fn card(cx: &mut Context<'_>, args: &mut Args<'_>, operation: Operation) -> Outcome {
    let count = args.int().ok().filter(|count| *count > 0).ok_or(Error::NumkeysNotPositive)?;
    let count = usize::try_from(count).ok().filter(|count| *count <= args.left());
    let keys = keys(args, count.ok_or(Error::NumkeysTooMany)?)?;
    let limit = limit(args, operation)?;
    let (work, rules) = (look(cx, &keys)?, rules(cx));
    here(cx, work)?;
    let mut found = 0;
    put_together(&sets(&cx.data, &keys), operation, &rules, |_| {
        found += 1;
        found != limit
    });
    cx.reply.integer(found as i64);
    Ok(())
}

/// Where to stop counting; 0 for nowhere. An approximation may be exact, so APPROX is read and nothing else.
fn limit(args: &mut Args<'_>, operation: Operation) -> Result<usize, Error> {
    let mut limit = 0;
    while !args.is_empty() {
        if args.left() > 1 && args.flag("LIMIT") {
            limit = args.count().map_err(|_| Error::LimitNegative)?;
        } else if operation != Operation::Union || !args.flag("APPROX") {
            return Err(Error::Syntax);
        }
    }
    Ok(limit)
}

/// Hands each member of the result to `each` once, until that has had enough.
fn put_together(
    sets: &[Option<&Set>],
    operation: Operation,
    rules: &Rules,
    each: impl FnMut(Element<'_>) -> bool,
) {
    match operation {
        Operation::Union => union(sets, rules, each),
        Operation::Intersection => intersection(sets, each),
        Operation::Difference => difference(sets, rules, each),
    }
}

fn union(sets: &[Option<&Set>], rules: &Rules, mut each: impl FnMut(Element<'_>) -> bool) {
    let sets: Vec<_> = sets.iter().flatten().collect();
    let mut seen = scratch(&sets, rules);
    if seen.as_intset().is_some() {
        // Integers come out in order, as they do from Redis.
        sets.iter().flat_map(|set| set.iter()).for_each(|member| {
            seen.add(member, rules);
        });
        let _ = seen.iter().all(each);
        return;
    }
    for (nth, set) in sets.iter().enumerate() {
        for member in set.iter() {
            // What the last set alone has need not be remembered.
            let is_new =
                if nth + 1 == sets.len() { !seen.has(member) } else { seen.add(member, rules) };
            if is_new && !each(member) {
                return;
            }
        }
    }
}

/// An empty set that finds members fast.
fn scratch(sets: &[&&Set], rules: &Rules) -> Set {
    if sets.iter().all(|set| set.as_intset().is_some()) {
        return Set::new();
    }
    Set::expecting(b"", 1, &Rules { max: SmallMax { entries: 0, bytes: 0 }, ..*rules })
}

fn intersection(sets: &[Option<&Set>], mut each: impl FnMut(Element<'_>) -> bool) {
    let Some(mut sets) = sets.iter().copied().collect::<Option<Vec<_>>>() else { return };
    sets.sort_by_key(|set| set.len());
    let Some((smallest, others)) = sets.split_first() else { return };
    let others: Vec<_> = others.iter().filter(|set| !std::ptr::eq(**set, *smallest)).collect();
    for member in smallest.iter() {
        if others.iter().all(|set| set.has(member)) && !each(member) {
            return;
        }
    }
}

fn difference(sets: &[Option<&Set>], rules: &Rules, mut each: impl FnMut(Element<'_>) -> bool) {
    let Some((Some(first), others)) = sets.split_first() else { return };
    let mut others: Vec<_> = others.iter().flatten().copied().collect();
    if others.iter().any(|set| std::ptr::eq(*set, *first)) {
        return;
    }
    let asked = first.len().saturating_mul(others.len() + 1) / 2;
    let taken = others.iter().fold(first.len(), |sum, set| sum.saturating_add(set.len()));
    if asked > taken {
        let left = taken_out(first, &others, rules);
        let _ = left.iter().all(each);
        return;
    }
    others.sort_by_key(|set| std::cmp::Reverse(set.len()));
    for member in first.iter() {
        if !others.iter().any(|set| set.has(member)) && !each(member) {
            return;
        }
    }
}

/// A copy of the first set without the members of the others.
fn taken_out(first: &Set, others: &[&Set], rules: &Rules) -> Set {
    let mut left = scratch(&[&first], rules);
    first.iter().for_each(|member| {
        left.add(member, rules);
    });
    for member in others.iter().flat_map(|set| set.iter()) {
        left.take(member);
        if left.is_empty() {
            break;
        }
    }
    left
}
