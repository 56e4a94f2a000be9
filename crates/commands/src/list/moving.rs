//! Elements that go from one list to another: LMOVE, RPOPLPUSH, LMOVEM.

use russet_dispatch::{Args, Class, Context, Error, Key, Outcome};
use russet_engine::number::{DIGITS_MAX, write_i64};
use russet_engine::types::list::List;

use super::{End, list_max};

/// LMOVE.
pub(super) fn lmove(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (source, target) = (args.key()?, args.key()?);
    let (from, to) = (End::read(args)?, End::read(args)?);
    reply_moved(cx, source, target, from, to)
}

/// RPOPLPUSH.
pub(super) fn rpoplpush(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (source, target) = (args.key()?, args.key()?);
    reply_moved(cx, source, target, End::Right, End::Left)
}

fn reply_moved(
    cx: &mut Context<'_>,
    source: Key<'_>,
    target: Key<'_>,
    from: End,
    to: End,
) -> Outcome {
    if !move_one(cx, source, target, from, to)? {
        cx.reply.null();
    }
    Ok(())
}

/// Moves an element and replies with it; says whether there was one.
pub(super) fn move_one(
    cx: &mut Context<'_>,
    source: Key<'_>,
    target: Key<'_>,
    from: End,
    to: End,
) -> Result<bool, Error> {
    if cx.data.find_as::<List>(source)?.is_none() {
        return Ok(false);
    }
    cx.data.find_as::<List>(target)?;
    let max = list_max(cx);
    if source.bytes == target.bytes {
        rotate(cx, source, from, to)?;
    } else {
        let pop = |list: &mut List| {
            let element = from.pop(list);
            list.has_shrunk(max);
            (element, true)
        };
        let element = cx.data.change_found(source, pop)?.flatten();
        let element = element.expect("a list that is there has elements");
        let push = |list: &mut List| {
            list.will_grow(max, element.len(), 1);
            to.push(list, &element);
            ((), true)
        };
        cx.data.change(target, List::new, push)?;
        cx.reply.bulk(&element);
    }
    tell_moved(cx, source, target, from, to);
    cx.data.effect(&[b"LMOVE", source.bytes, target.bytes, from.word(), to.word()]);
    cx.data.count_as(1);
    Ok(true)
}

/// Where it has arrived is told before where it has gone.
fn tell_moved(cx: &mut Context<'_>, source: Key<'_>, target: Key<'_>, from: End, to: End) {
    cx.data.notify(Class::List, to.pushed(), target);
    cx.data.announce_anyway(Class::List, from.popped(), source);
}

/// Within one list: at no moment is the list empty.
fn rotate(cx: &mut Context<'_>, key: Key<'_>, from: End, to: End) -> Result<(), Error> {
    let reply = &mut cx.reply;
    cx.data.change_found(key, |list: &mut List| {
        if let Some(element) = from.pop(list) {
            to.push(list, &element);
            reply.bulk(&element);
        }
        ((), true)
    })?;
    Ok(())
}

/// How many elements LMOVEM moves, and in which order they arrive.
#[derive(Clone, Copy)]
pub(super) struct Amount {
    count: usize,
    /// Whether fewer are not enough.
    is_exact: bool,
    /// Whether they arrive in the order they had, rather than one by one.
    in_bulk: bool,
}

impl Amount {
    /// One, if nothing else is said.
    pub(super) fn read(args: &mut Args<'_>) -> Result<Self, Error> {
        if args.is_empty() {
            return Ok(Self { count: 1, is_exact: false, in_bulk: true });
        }
        if args.left() != 3 {
            return Err(Error::Syntax);
        }
        let is_exact = args.flag("EXACTLY");
        if !is_exact && !args.flag("COUNT") {
            return Err(Error::Syntax);
        }
        let count = args.int().ok().filter(|count| *count > 0).ok_or(Error::CountNotPositive)?;
        let in_bulk = args.flag("BULK");
        if !in_bulk && !args.flag("OBO") {
            return Err(Error::Syntax);
        }
        Ok(Self { count: count as usize, is_exact, in_bulk })
    }

    /// How many of `len` elements go; none if they are too few.
    fn of(self, len: usize) -> usize {
        if self.is_exact && len < self.count { 0 } else { self.count.min(len) }
    }
}

/// LMOVEM.
pub(super) fn lmovem(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (source, target) = (args.key()?, args.key()?);
    let (from, to) = (End::read(args)?, End::read(args)?);
    let amount = Amount::read(args)?;
    if !move_many(cx, source, target, from, to, amount)? {
        cx.reply.null_array();
    }
    Ok(())
}

/// Moves elements and replies with them as they lie in the target; says whether there were enough.
pub(super) fn move_many(
    cx: &mut Context<'_>,
    source: Key<'_>,
    target: Key<'_>,
    from: End,
    to: End,
    amount: Amount,
) -> Result<bool, Error> {
    let taken = amount.of(cx.data.find_as::<List>(source)?.map_or(0, List::len));
    if taken == 0 {
        return Ok(false);
    }
    cx.data.find_as::<List>(target)?;
    let max = list_max(cx);
    // Within one list the elements go back before anybody could see it empty.
    let is_rotation = source.bytes == target.bytes;
    let moved = cx.data.change_found(source, |list: &mut List| {
        let mut moved: Vec<_> = (0..taken).filter_map(|_| from.pop(list)).collect();
        let arrives_reversed = if amount.in_bulk { from == End::Right } else { to == End::Left };
        if arrives_reversed {
            moved.reverse();
        }
        if is_rotation {
            push_block(list, to, &moved);
        } else {
            list.has_shrunk(max);
        }
        (moved, true)
    })?;
    let moved = moved.expect("found above");
    if !is_rotation {
        cx.data.change(target, List::new, |list| {
            list.will_grow(max, moved.iter().map(Vec::len).sum(), moved.len());
            push_block(list, to, &moved);
            ((), true)
        })?;
    }
    tell_moved(cx, source, target, from, to);
    cx.reply.array(moved.len());
    moved.iter().for_each(|element| cx.reply.bulk(element));
    let mut digits = [0; DIGITS_MAX];
    let (count, order) = (write_i64(moved.len() as i64, &mut digits), amount.order());
    let (from, to) = (from.word(), to.word());
    let words = [b"LMOVEM", source.bytes, target.bytes, from, to, b"EXACTLY", count, order];
    cx.data.effect(&words);
    cx.data.count_as(moved.len());
    Ok(true)
}

impl Amount {
    const fn order(self) -> &'static [u8] {
        if self.in_bulk { b"BULK" } else { b"OBO" }
    }
}

/// Puts elements at an end so that they lie there in this order.
fn push_block(list: &mut List, end: End, elements: &[Vec<u8>]) {
    match end {
        End::Left => elements.iter().rev().for_each(|element| list.push_front(element)),
        End::Right => elements.iter().for_each(|element| list.push_back(element)),
    }
}
