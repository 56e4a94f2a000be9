//! Members by chance: SPOP and SRANDMEMBER.
//!
//! Several different members are chosen in one of two ways: many of a set by going through it, where each is taken with the chance that
//! as many as are wanted still come from those that are left (Knuth's selection sampling); few of a big set by throwing dice until there
//! are enough different ones.

use hashbrown::HashSet;
use russet_dispatch::effect::GONE;
use russet_dispatch::state::Thread;
use russet_dispatch::{Args, Class, Context, Error, Key, Outcome};
use russet_engine::collections::listpack::Element;
use russet_engine::types::set::{Rules, Set};
use russet_engine::{Collection, Entry};
use russet_resp::Writer;

use super::{bulk, here, rules};
use crate::repeats::Repeats;

/// Above a third of a set it is cheaper to go through it.
const FEW: usize = 3;

/// Below a sixth of a set left, a new set is made of what stays.
const NEARLY_ALL: usize = 5;

/// Members that one SREM in the journal removes.
const BATCH: usize = 1024;

fn dice(thread: &Thread) -> impl FnMut() -> u64 + '_ {
    || thread.random()
}

pub(super) fn srandmember(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    if args.is_empty() {
        return one(cx, key);
    }
    if args.left() > 1 {
        return Err(Error::Syntax.into());
    }
    let count = args.int()?;
    let repeats = count < 0;
    let count = count.checked_abs().ok_or(Error::OutOfLongRange)? as usize;
    let Some(len) = cx.data.read_as::<Set>(key)?.map(Set::len) else {
        cx.reply.array(0);
        return Ok(());
    };
    if repeats {
        return Repeats { count, is_full: false, draw: repeat }.reply(cx, key);
    }
    here(cx, len.min(count.saturating_mul(FEW)))?;
    let Some(set) = cx.data.find_as::<Set>(key)? else { return Ok(()) };
    cx.reply.array(count.min(len));
    choose(set, count.min(len), cx.thread, |member| bulk(&mut cx.reply, member));
    Ok(())
}

/// So many members, some of them perhaps several times.
fn repeat(entry: &Entry, count: usize, thread: &Thread, reply: &mut Writer<'_>, _: bool) -> bool {
    let Some(set) = entry.object().and_then(Set::of) else { return false };
    let members = (0..count).filter_map(|_| set.sample(dice(thread)));
    members.for_each(|member| bulk(reply, member));
    true
}

fn one(cx: &mut Context<'_>, key: Key<'_>) -> Outcome {
    match cx.data.read_as::<Set>(key)?.and_then(|set| set.sample(dice(cx.thread))) {
        Some(member) => bulk(&mut cx.reply, member),
        None => cx.reply.null(),
    }
    Ok(())
}

/// Hands `count` different members to `each`; there are as many.
fn choose<'s>(set: &'s Set, count: usize, thread: &Thread, mut each: impl FnMut(Element<'s>)) {
    if !set.is_big() || count.saturating_mul(FEW) > set.len() {
        select(set, count, thread, |member, is_chosen| {
            if is_chosen {
                each(member);
            }
        });
        return;
    }
    let mut chosen = HashSet::with_capacity(count);
    while chosen.len() < count {
        if let Some(member @ Element::Bytes(bytes)) = set.sample(dice(thread))
            && chosen.insert(bytes)
        {
            each(member);
        }
    }
}

/// Goes through all members and says of each whether it is one of the `count` that are chosen.
fn select<'s>(
    set: &'s Set,
    count: usize,
    thread: &Thread,
    mut each: impl FnMut(Element<'s>, bool),
) {
    let (mut wanted, mut left) = (count as u64, set.len() as u64);
    for member in set.iter() {
        let is_chosen = wanted > 0 && thread.random_below(left) < wanted;
        wanted -= u64::from(is_chosen);
        left -= 1;
        each(member, is_chosen);
    }
}

pub(super) fn spop(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    if args.is_empty() {
        return pop_one(cx, key);
    }
    let count = args.peek().map(|_| args.count().map_err(|_| Error::NotPositive)).transpose();
    if args.left() > 0 {
        return Err(Error::Syntax.into());
    }
    let count = count?.unwrap_or(0);
    let len = cx.data.find_as(key)?.map_or(0, Set::len);
    if count == 0 || len == 0 {
        cx.reply.set(0);
        return Ok(());
    }
    here(cx, if len - count.min(len) <= count / NEARLY_ALL { len } else { count })?;
    if count >= len { pop_all(cx, key) } else { pop_some(cx, key, count) }
}

fn pop_one(cx: &mut Context<'_>, key: Key<'_>) -> Outcome {
    let thread = cx.thread;
    let popped = cx.data.change_found(key, |set: &mut Set| {
        let member = set.sample(dice(thread)).map(Element::to_vec).unwrap_or_default();
        let is_removed = set.remove(&member);
        (member, is_removed)
    })?;
    match popped {
        Some(member) => {
            cx.data.announce(Class::Set, "spop", key);
            cx.data.effect(&[b"SREM", key.bytes, &member]);
            cx.reply.bulk(&member);
        }
        None => cx.reply.null(),
    }
    Ok(())
}

fn pop_all(cx: &mut Context<'_>, key: Key<'_>) -> Outcome {
    if let Some(set) = cx.data.find_as::<Set>(key)? {
        cx.reply.set(set.len());
        set.iter().for_each(|member| bulk(&mut cx.reply, member));
    }
    cx.data.notify(Class::Set, "spop", key);
    let len = cx.data.find_as::<Set>(key)?.map_or(0, Set::len);
    cx.data.remove(key);
    cx.data.count_as(len);
    cx.data.effect(&[GONE, key.bytes]);
    Ok(())
}

fn pop_some(cx: &mut Context<'_>, key: Key<'_>, count: usize) -> Outcome {
    let (rules, thread) = (rules(cx), cx.thread);
    let popped =
        cx.data.change_found(key, |set: &mut Set| (pop(set, count, thread, &rules), true))?;
    let popped = popped.unwrap_or_default();
    cx.data.announce(Class::Set, "spop", key);
    cx.data.count_as(popped.len());
    cx.reply.set(popped.len());
    popped.iter().for_each(|member| cx.reply.bulk(member));
    if cx.data.is_followed() {
        for batch in popped.chunks(BATCH) {
            let head = [b"SREM".as_slice(), key.bytes];
            let words: Vec<_> = head.into_iter().chain(batch.iter().map(Vec::as_slice)).collect();
            cx.data.effect(&words);
        }
    }
    Ok(())
}

/// Takes `count` members out of a set that has more.
fn pop(set: &mut Set, count: usize, thread: &Thread, rules: &Rules) -> Vec<Vec<u8>> {
    if set.is_big() && (set.len() - count).saturating_mul(NEARLY_ALL) > count {
        return (0..count).filter_map(|_| pop_from_big(set, thread)).collect();
    }
    let mut popped = Vec::with_capacity(count);
    let mut stays = if set.is_big() { Set::small() } else { Set::like(set, rules) };
    select(set, count, thread, |member, is_chosen| {
        if is_chosen {
            popped.push(member.to_vec());
        } else {
            stays.add(member, rules);
        }
    });
    *set = stays;
    popped
}

fn pop_from_big(set: &mut Set, thread: &Thread) -> Option<Vec<u8>> {
    let member = set.sample(dice(thread))?.to_vec();
    set.remove(&member).then_some(member)
}
