//! HSCAN: a hash, some fields at a time.
//!
//! A small hash is shown at once, whatever the cursor. A big one is walked bucket by bucket with the cursor of its table, which survives
//! growth: a field that is there from a round's beginning to its end is shown.

use russet_dispatch::command::Flag::ReadOnly;
use russet_dispatch::keys::{ACCESS, RO, at};
use russet_dispatch::{Args, Command, Context, Error, Outcome, Text};
use russet_engine::number::parse_i64;
use russet_engine::types::hash::{Hash, Pair};
use russet_engine::{View, glob};
use russet_resp::Writer;

use super::{HASH, leave_if_long};

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
const STEPS_PER_FIELD: usize = 10;

/// What stands behind the cursor.
struct Options<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    only_fields: bool,
}

impl<'a> Options<'a> {
    fn read(args: &mut Args<'a>) -> Result<Self, Error> {
        let mut options = Self { pattern: None, count: 10, only_fields: false };
        while !args.is_empty() {
            if args.left() > 1 && args.flag("COUNT") {
                let count = parse_i64(args.next()?).ok_or(Error::NotInteger)?;
                options.count = usize::try_from(count).map_err(|_| Error::Syntax)?;
                if count < 1 {
                    return Err(Error::Syntax);
                }
            } else if args.left() > 1 && args.flag("MATCH") {
                options.pattern = Some(args.next()?).filter(|pattern| *pattern != b"*");
            } else if args.flag("NOVALUES") {
                options.only_fields = true;
            } else if args.flag("NOSCORES") {
                return Err(Error::NoScoresOnlyInZscan);
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }

    fn wants(&self, field: View<'_>) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, &Text::from(field).bytes()))
    }

    /// Shows what is wanted and answers how many replies that made.
    fn show(&self, reply: &mut Writer<'_>, pair: Pair<'_>) -> usize {
        if !self.wants(pair.field) {
            return 0;
        }
        Text::from(pair.field).reply(reply);
        if self.only_fields {
            return 1;
        }
        Text::from(pair.value).reply(reply);
        2
    }
}

/// An unsigned number of 64 bits, in decimal digits and nothing else.
fn cursor(word: &[u8]) -> Result<u64, Error> {
    let is_plain = !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    let digits = std::str::from_utf8(word).ok().filter(|_| is_plain);
    digits.and_then(|digits| digits.parse().ok()).ok_or(Error::InvalidCursor)
}

/// Options are not looked at where there is no key, as in Redis.
fn hscan(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, cursor) = (args.key()?, cursor(args.next()?)?);
    let Some(len) = cx.data.read_as::<Hash>(key)?.map(Hash::len) else {
        cx.reply.array(2);
        cx.reply.bulk(b"0");
        cx.reply.array(0);
        return Ok(());
    };
    let options = Options::read(args)?;
    leave_if_long(cx, len.min(options.count))?;
    let start = cx.reply.out.mark();
    let hash = cx.data.find_as::<Hash>(key)?.expect("found above");
    let (next, shown) = walk(hash, cursor, &options, &mut cx.reply);
    let next = next.to_string();
    let head = format!("*2\r\n${}\r\n{next}\r\n*{shown}\r\n", next.len());
    cx.reply.out.insert(start, head.as_bytes());
    Ok(())
}

/// Visits buckets until there is enough; answers the next cursor and how many replies were made.
fn walk(
    hash: &Hash,
    mut cursor: u64,
    options: &Options<'_>,
    reply: &mut Writer<'_>,
) -> (u64, usize) {
    let (mut shown, mut seen) = (0, 0);
    let mut steps_left = options.count.saturating_mul(STEPS_PER_FIELD);
    loop {
        cursor = hash.scan(cursor, |pair| {
            seen += 1;
            shown += options.show(reply, pair);
        });
        steps_left -= 1;
        if cursor == 0 || steps_left == 0 || seen >= options.count {
            return (cursor, shown);
        }
    }
}
