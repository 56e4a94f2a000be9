//! ZSCAN: a sorted set, some members at a time.
//!
//! A small set is shown at once, whatever the cursor. A large one is walked bucket by bucket with the cursor of its index, which
//! survives growth: a member that is there from a round's beginning to its end is shown.

use russet_dispatch::command::Flag::ReadOnly;
use russet_dispatch::keys::{ACCESS, RO, at};
use russet_dispatch::{Args, Command, Context, Outcome, Stop};
use russet_engine::Type;
use russet_engine::types::sorted_set::SortedSet;

use super::{SORTED_SET, is_elsewhere};
use crate::generic::scan::head;
use crate::generic::scan::options::{Options, cursor};

/// The row.
pub(super) const ZSCAN: Command = Command {
    name: "zscan",
    syntax: "key cursor:int [MATCH pattern:pattern] [COUNT count:int] [NOSCORES]",
    summary: "Gives some members of a sorted set with their scores, and a cursor to go on with.",
    complexity: "O(1) for every call, O(N) for a whole round, where N is the number of members",
    since: "2.8.0",
    arity: -3,
    flags: &[ReadOnly],
    keys: &[at(1, RO | ACCESS)],
    tips: &["nondeterministic_output"],
    history: &[("8.0.0", "Added noscores option.")],
    file: file!(),
    run: zscan,
    ..SORTED_SET
};

/// Buckets visited for each member wanted, as in Redis.
const STEPS_PER_MEMBER: u64 = 10;

/// Options are not looked at where there is no key, as in Redis.
fn zscan(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, cursor) = (args.key()?, cursor(args.next()?)?);
    let start = cx.reply.out.mark();
    let Some(len) = cx.data.read_as::<SortedSet>(key)?.map(SortedSet::len) else {
        head(start, cx, 0, 0);
        return Ok(());
    };
    let options = Options::read(args, Some(Type::SortedSet))?;
    if is_elsewhere(cx, len.min(options.count as usize)) {
        return Err(Stop::Elsewhere);
    }
    let set = cx.data.find_as::<SortedSet>(key)?.expect("found above");
    let (mut found, reply) = (0, &mut cx.reply);
    let next = walk(set, cursor, &options, |name, score| {
        reply.bulk(name);
        found += 1;
        if !options.names_only {
            reply.double_bulk(score);
            found += 1;
        }
    });
    head(start, cx, next, found);
    Ok(())
}

/// Visits buckets until there is enough, and shows what is wanted; answers the next cursor.
fn walk(
    set: &SortedSet,
    mut cursor: u64,
    options: &Options,
    mut show: impl FnMut(&[u8], f64),
) -> u64 {
    let mut seen = 0_u64;
    let mut steps_left = options.count.saturating_mul(STEPS_PER_MEMBER);
    loop {
        cursor = set.scan(cursor, |name, score| {
            seen += 1;
            if options.wants(name) {
                show(name, score);
            }
        });
        steps_left -= 1;
        if cursor == 0 || steps_left == 0 || seen >= options.count {
            return cursor;
        }
    }
}
