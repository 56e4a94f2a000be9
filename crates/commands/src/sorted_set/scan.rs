//! ZSCAN: a sorted set, some members at a time.
//!
//! A small set is shown at once, whatever the cursor. A large one is walked bucket by bucket with the cursor of its index, which
//! survives growth: a member that is there from a round's beginning to its end is shown.

use russet_dispatch::command::Flag::ReadOnly;
use russet_dispatch::keys::{ACCESS, RO, at};
use russet_dispatch::{Args, Command, Context, Outcome, Stop};
use russet_engine::Type;
use russet_engine::types::sorted_set::SortedSet;
use russet_resp::Writer;

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
    let (mut found, reply, is_small) = (0, &mut cx.reply, set.is_small());
    let next = walk(set, cursor, &options, |name, score| {
        reply.bulk(name);
        found += 1;
        if !options.names_only {
            if is_small {
                reply.double_bulk(score);
            } else {
                reply_long(reply, score);
            }
            found += 1;
        }
    });
    head(start, cx, next, found);
    Ok(())
}

/// Integers below this are printed whole.
const WHOLE_MAX: f64 = 1e17;

/// A score as Redis prints those of a large set here, and nowhere else: with seventeen digits, as C's `%.17g`.
fn reply_long(reply: &mut Writer<'_>, score: f64) {
    let is_whole = score.trunc().to_bits() == score.to_bits() && score.abs() < WHOLE_MAX;
    if is_whole && (score != 0.0 || score.is_sign_positive()) {
        reply.bulk_int(score as i64);
    } else {
        reply.bulk(long(score).as_bytes());
    }
}

fn long(score: f64) -> String {
    if score.is_infinite() {
        return if score > 0.0 { "inf".to_owned() } else { "-inf".to_owned() };
    }
    let text = format!("{score:.16e}");
    let (digits, exponent) = text.split_once('e').expect("a number is printed with its exponent");
    let exponent: i32 = exponent.parse().expect("what was printed is a number");
    if (-4..17).contains(&exponent) {
        let decimals = usize::try_from(16 - exponent).expect("at most sixteen");
        return trimmed(&format!("{score:.decimals$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(digits), exponent.unsigned_abs())
}

/// Without zeros at the end of its decimals.
fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
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

#[cfg(test)]
mod tests {
    use super::long;

    #[test]
    fn seventeen_digits_are_printed_as_c_prints_them() {
        let cases = [
            (0.1, "0.10000000000000001"),
            (-1.5, "-1.5"),
            (-0.0, "-0"),
            (5e-324, "4.9406564584124654e-324"),
            (123_456_789.123_456_79, "123456789.12345679"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1e308, "1e+308"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        cases.iter().for_each(|(score, text)| assert_eq!(long(*score), *text));
    }
}
