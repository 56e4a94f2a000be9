//! HSCAN: a hash, some fields at a time.
//!
//! A small hash is shown at once, whatever the cursor. A big one is walked bucket by bucket with the cursor of its table, which survives
//! growth: a field that is there from a round's beginning to its end is shown.

use russet_dispatch::command::Flag::ReadOnly;
use russet_dispatch::keys::{ACCESS, RO, at};
use russet_dispatch::{Args, Command, Context, Outcome, Text};
use russet_engine::Type;
use russet_engine::types::hash::{Hash, Pair};
use russet_resp::Writer;

use super::{HASH, may_leave};
use crate::generic::scan::options::{Options, cursor};

/// The row.
pub(super) const HSCAN: Command = Command {
    name: "hscan",
    syntax: "key cursor:int [MATCH pattern:pattern] [COUNT count:int] [NOVALUES]",
    summary: "Gives some fields of a hash with their values, and a cursor to go on with.",
    complexity: "O(1) for every call, O(N) for a whole round, where N is the size of the hash",
    since: "2.8.0",
    arity: -3,
    flags: &[ReadOnly],
    keys: &[at(1, RO | ACCESS)],
    tips: &["nondeterministic_output"],
    history: &[("7.4.0", "Takes `NOVALUES`.")],
    file: file!(),
    run: hscan,
    ..HASH
};

/// Buckets visited for each field wanted, as in Redis.
const STEPS_PER_FIELD: u64 = 10;

/// Shows what is wanted and answers how many replies that made.
fn show(options: &Options, reply: &mut Writer<'_>, pair: Pair<'_>) -> usize {
    if !options.wants(&Text::from(pair.field).bytes()) {
        return 0;
    }
    Text::from(pair.field).reply(reply);
    if options.names_only {
        return 1;
    }
    Text::from(pair.value).reply(reply);
    2
}

/// Options are not looked at where there is no key, as in Redis.
fn hscan(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, cursor) = (args.key()?, cursor(args.next()?)?);
    let may_leave = may_leave(cx);
    let Some(hash) = cx.data.read_as::<Hash>(key)? else {
        cx.reply.array(2);
        cx.reply.bulk(b"0");
        cx.reply.array(0);
        return Ok(());
    };
    let options = Options::read(args, Some(Type::Hash))?;
    may_leave.if_long(hash.len().min(options.count as usize))?;
    let start = cx.reply.out.mark();
    let (next, shown) = walk(hash, cursor, &options, &mut cx.reply);
    let next = next.to_string();
    let head = format!("*2\r\n${}\r\n{next}\r\n*{shown}\r\n", next.len());
    cx.reply.out.insert(start, head.as_bytes());
    Ok(())
}

/// Visits buckets until there is enough; answers the next cursor and how many replies were made.
fn walk(hash: &Hash, mut cursor: u64, options: &Options, reply: &mut Writer<'_>) -> (u64, usize) {
    let (mut shown, mut seen) = (0, 0);
    let mut steps_left = options.count.saturating_mul(STEPS_PER_FIELD);
    loop {
        cursor = hash.scan(cursor, |pair| {
            seen += 1;
            shown += show(options, reply, pair);
        });
        steps_left -= 1;
        if cursor == 0 || steps_left == 0 || seen >= options.count {
            return (cursor, shown);
        }
    }
}
