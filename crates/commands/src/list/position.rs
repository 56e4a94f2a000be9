//! What looks for elements: LPOS, LINSERT, LREM.

use russet_dispatch::{Args, Class, Context, Error, Key, Outcome, Stop};
use russet_engine::Collection;
use russet_engine::types::list::List;

use super::{go_where_it_may_take, list_max};

/// How LPOS looks.
struct Search {
    /// How many matches are passed over.
    skipped: usize,
    /// Whether it begins at the tail.
    from_tail: bool,
    /// How many matches are wanted, zero for all; `None` for one that is not put into an array.
    count: Option<usize>,
    /// How many elements are looked at.
    len_max: usize,
}

impl Search {
    fn read(args: &mut Args<'_>) -> Result<Self, Error> {
        let mut search = Self { skipped: 0, from_tail: false, count: None, len_max: usize::MAX };
        while args.left() > 1 {
            if args.flag("RANK") {
                let rank = long(args)?;
                search.from_tail = rank < 0;
                search.skipped =
                    (rank.unsigned_abs() as usize).checked_sub(1).ok_or(Error::RankZero)?;
            } else if args.flag("COUNT") {
                search.count = Some(args.count().map_err(|_| Error::CountNegative)?);
            } else if args.flag("MAXLEN") {
                let most = args.count().map_err(|_| Error::MaxlenNegative)?;
                search.len_max = if most == 0 { usize::MAX } else { most };
            } else {
                return Err(Error::Syntax);
            }
        }
        args.end()?;
        Ok(search)
    }

    /// The indexes of the matches that are wanted.
    fn run(&self, list: &List, element: &[u8]) -> Vec<usize> {
        let wanted = match self.count {
            None => 1,
            Some(0) => usize::MAX,
            Some(count) => count,
        };
        let matches = |(_, other): &(usize, &[u8])| *other == element;
        let len = list.len();
        if self.from_tail {
            let found = list.iter().rev().enumerate().take(self.len_max).filter(matches);
            found.skip(self.skipped).take(wanted).map(|(at, _)| len - 1 - at).collect()
        } else {
            let found = list.iter().enumerate().take(self.len_max).filter(matches);
            found.skip(self.skipped).take(wanted).map(|(at, _)| at).collect()
        }
    }
}

/// A number that has an opposite.
fn long(args: &mut Args<'_>) -> Result<i64, Error> {
    let number = args.int()?;
    if number == i64::MIN { Err(Error::OutOfLongRange) } else { Ok(number) }
}

/// LPOS.
pub(super) fn lpos(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, element) = (args.key()?, args.next()?);
    let search = Search::read(args)?;
    if search.len_max > 10_000 {
        stay_or_go(cx, key)?;
    }
    let found = match cx.data.read_as::<List>(key)? {
        Some(list) => search.run(list, element),
        None => Vec::new(),
    };
    if search.count.is_some() {
        cx.reply.array(found.len());
        found.iter().for_each(|at| cx.reply.integer(*at as i64));
    } else {
        match found.first() {
            Some(at) => cx.reply.integer(*at as i64),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

/// Moves to a worker if the list is large.
fn stay_or_go(cx: &mut Context<'_>, key: Key<'_>) -> Result<(), Stop> {
    let bytes = cx.data.find_as::<List>(key)?.map_or(0, List::heap_bytes);
    go_where_it_may_take(cx, bytes)
}

/// LINSERT.
pub(super) fn linsert(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let is_after = args.flag("AFTER");
    if !is_after && !args.flag("BEFORE") {
        return Err(Error::Syntax.into());
    }
    let (pivot, element, max) = (args.next()?, args.next()?, list_max(cx));
    stay_or_go(cx, key)?;
    let len = cx.data.change_found(key, |list: &mut List| {
        list.will_grow(max, element.len(), 1);
        let is_done = list.insert(pivot, element, is_after);
        (if is_done { list.len() as i64 } else { -1 }, is_done)
    })?;
    cx.data.announce(Class::List, "linsert", key);
    cx.reply.integer(len.unwrap_or(0));
    Ok(())
}

/// LREM.
pub(super) fn lrem(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, count, element, max) = (args.key()?, long(args)?, args.next()?, list_max(cx));
    stay_or_go(cx, key)?;
    let gone = cx.data.change_found(key, |list: &mut List| {
        let gone = list.remove(element, count);
        list.has_shrunk(max);
        (gone, gone > 0)
    })?;
    cx.data.announce(Class::List, "lrem", key);
    cx.data.count_as(gone.unwrap_or(0));
    cx.reply.integer(gone.unwrap_or(0) as i64);
    Ok(())
}
