//! HRANDFIELD: fields chosen by dice.
//!
//! Each field has about the same chance. Different fields are chosen in one of two ways, whichever is cheaper: when a third or more is
//! wanted, all are gathered and the unwanted thrown out; else dice are thrown until there are enough.

use hashbrown::HashSet;
use russet_dispatch::command::Flag::ReadOnly;
use russet_dispatch::keys::{ACCESS, RO, at};
use russet_dispatch::state::Thread;
use russet_dispatch::{Args, Command, Context, Error, Outcome, Text};
use russet_engine::number::parse_i64;
use russet_engine::types::hash::{Hash, Pair};
use russet_engine::{Collection, Entry};
use russet_resp::{Protocol, Writer};

use super::{HASH, may_leave};
use crate::repeats::Repeats;

/// The row.
pub(super) const HRANDFIELD: Command = Command {
    name: "hrandfield",
    syntax: "key [count:int [WITHVALUES]]",
    summary: "Gives fields of a hash chosen at random.",
    complexity: "O(N) where N is the number of fields returned",
    since: "6.2.0",
    arity: -2,
    flags: &[ReadOnly],
    keys: &[at(1, RO | ACCESS)],
    tips: &["nondeterministic_output"],
    file: file!(),
    run: hrandfield,
    ..HASH
};

/// Where a hash has more than so many times the fields that are wanted, dice are thrown.
const FEW: usize = 3;

fn hrandfield(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    if args.is_empty() {
        let hash = cx.data.read_as::<Hash>(key)?;
        match hash.and_then(|hash| hash.sample(|| cx.thread.random())) {
            Some(pair) => Text::from(pair.field).reply(&mut cx.reply),
            None => cx.reply.null(),
        }
        return Ok(());
    }
    let (count, with_values) = options(args)?;
    let may_leave = may_leave(cx);
    let wanted = usize::try_from(count.unsigned_abs()).expect("a usize has 64 bits");
    let Some(hash) = cx.data.read_as::<Hash>(key)? else {
        cx.reply.array(0);
        return Ok(());
    };
    if count < 0 {
        return Repeats { count: wanted, is_full: with_values, draw: any }.reply(cx, key);
    }
    let wanted = wanted.min(hash.len());
    may_leave.if_long(wanted.max(hash.len().min(wanted.saturating_mul(FEW))))?;
    let is_flat = with_values && cx.reply.protocol == Protocol::Resp2;
    cx.reply.array(wanted << u32::from(is_flat));
    different(hash, wanted, cx.thread, &mut Show { reply: &mut cx.reply, with_values });
    Ok(())
}

/// The count, and whether values are wanted.
fn options(args: &mut Args<'_>) -> Result<(i64, bool), Error> {
    let count = parse_i64(args.next()?).ok_or(Error::NotInteger)?;
    if count == i64::MIN {
        return Err(Error::OutOfLongRange);
    }
    let with_values = args.flag("WITHVALUES");
    args.end()?;
    if with_values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(Error::OutOfRange);
    }
    Ok((count, with_values))
}

/// Where chosen fields go.
struct Show<'r, 'w> {
    reply: &'r mut Writer<'w>,
    with_values: bool,
}

impl Show<'_, '_> {
    fn pair(&mut self, pair: Pair<'_>) {
        if self.with_values && self.reply.protocol == Protocol::Resp3 {
            self.reply.array(2);
        }
        Text::from(pair.field).reply(self.reply);
        if self.with_values {
            Text::from(pair.value).reply(self.reply);
        }
    }
}

/// So many fields, some of them perhaps several times.
fn any(
    entry: &Entry,
    wanted: usize,
    thread: &Thread,
    reply: &mut Writer<'_>,
    with_values: bool,
) -> bool {
    let Some(hash) = entry.object().and_then(Hash::of) else { return false };
    let mut show = Show { reply, with_values };
    let all: Vec<Pair<'_>> =
        if hash.is_small() && wanted > FEW { hash.iter().collect() } else { Vec::new() };
    for _ in 0..wanted {
        let gathered = all.get(thread.random_below(all.len() as u64) as usize).copied();
        let pair = gathered.or_else(|| hash.sample(|| thread.random()));
        show.pair(pair.expect("a hash that is there has fields"));
    }
    true
}

/// So many different fields, at most as many as there are.
fn different(hash: &Hash, wanted: usize, thread: &Thread, show: &mut Show<'_, '_>) {
    if wanted == hash.len() {
        hash.iter().for_each(|pair| show.pair(pair));
    } else if hash.is_small() || wanted.saturating_mul(FEW) > hash.len() {
        gathered(hash, wanted, thread).into_iter().for_each(|pair| show.pair(pair));
    } else {
        thrown(hash, wanted, thread, show);
    }
}

/// All fields, without some that are thrown out by dice.
fn gathered<'a>(hash: &'a Hash, wanted: usize, thread: &Thread) -> Vec<Pair<'a>> {
    let mut all: Vec<Pair<'_>> = hash.iter().collect();
    while all.len() > wanted {
        all.swap_remove(thread.random_below(all.len() as u64) as usize);
    }
    all
}

/// Throws dice until there are enough. Fields of a big hash are told apart by where they lie.
fn thrown(hash: &Hash, wanted: usize, thread: &Thread, show: &mut Show<'_, '_>) {
    let mut seen = HashSet::with_capacity(wanted);
    while seen.len() < wanted {
        let pair = hash.sample(|| thread.random()).expect("a hash that is there has fields");
        if seen.insert(pair.field_address()) {
            show.pair(pair);
        }
    }
}
