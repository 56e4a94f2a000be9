//! In what two right replies may differ, by the command they answer.

use std::mem::discriminant;

use crate::client::Reply;

/// How far apart two times may be, in the unit of the reply.
const SECONDS_APART: i64 = 2;
const MILLISECONDS_APART: i64 = 2_000;

/// In what two right replies may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// In nothing.
    Exact,
    /// In the order of the elements.
    Unordered,
    /// In the order of pairs of elements.
    UnorderedPairs,
    /// By so much, where both are positive integers.
    Near(i64),
    /// By so much, wherever in the reply both have integers that are not negative.
    Within(i64),
    /// In everything but the kind of reply and the number of elements.
    Shape,
    /// In everything, unless both are the end of a scan: then in the order of the elements.
    Scan,
    /// In anything but being an error.
    Anything,
}

impl Mask {
    /// What the replies to a command may differ in.
    pub fn of<A: AsRef<[u8]>>(args: &[A]) -> Self {
        let name = args.first().map(|name| name.as_ref().to_ascii_uppercase()).unwrap_or_default();
        match name.as_slice() {
            b"TTL" | b"EXPIRETIME" => Self::Near(SECONDS_APART),
            b"PTTL" | b"PEXPIRETIME" => Self::Near(MILLISECONDS_APART),
            // Redis shares small integers, which are as old as the server.
            b"OBJECT" if has(args, b"IDLETIME") => Self::Anything,
            b"XINFO" | b"XPENDING" => Self::Within(MILLISECONDS_APART),
            b"KEYS" | b"SMEMBERS" | b"SUNION" | b"SINTER" | b"SDIFF" | b"HKEYS" | b"HVALS" => {
                Self::Unordered
            }
            b"HGETALL" => Self::UnorderedPairs,
            b"SORT" | b"SORT_RO" => of_sort(args),
            b"SRANDMEMBER" | b"HRANDFIELD" | b"ZRANDMEMBER" => Self::Shape,
            b"SCAN" => of_scan(args, 1),
            b"SSCAN" | b"HSCAN" | b"ZSCAN" => of_scan(args, 2),
            b"TIME" | b"RANDOMKEY" | b"LASTSAVE" | b"HELLO" => Self::Anything,
            _ => Self::Exact,
        }
    }

    /// Whether two replies are the same but for what they may differ in.
    pub fn is_met(self, left: &Reply, right: &Reply) -> bool {
        match (self, left, right) {
            (Self::Near(apart), Reply::Int(left), Reply::Int(right)) => {
                left == right
                    || *left > 0 && *right > 0 && left.abs_diff(*right) <= apart.unsigned_abs()
            }
            (Self::Within(apart), left, right) => within(apart, left, right),
            (Self::Unordered, Reply::Array(left), Reply::Array(right))
            | (Self::Unordered, Reply::Set(left), Reply::Set(right)) => {
                sorted(left) == sorted(right)
            }
            (Self::UnorderedPairs, Reply::Array(left), Reply::Array(right)) => {
                pairs(left) == pairs(right)
            }
            (Self::UnorderedPairs, Reply::Map(left), Reply::Map(right)) => {
                entries(left) == entries(right)
            }
            (Self::Scan, Reply::Array(left), Reply::Array(right)) => same_scan(left, right),
            (Self::Shape, left, right) => {
                discriminant(left) == discriminant(right)
                    && (!left.is_error() || left == right)
                    && left.items().map(<[_]>::len) == right.items().map(<[_]>::len)
            }
            (Self::Anything, left, right) => left.is_error() == right.is_error(),
            _ => left == right,
        }
    }
}

fn has<A: AsRef<[u8]>>(args: &[A], word: &[u8]) -> bool {
    args.iter().any(|arg| arg.as_ref().eq_ignore_ascii_case(word))
}

/// Where a walk goes on from elsewhere than the beginning is each server's own affair.
fn of_scan<A: AsRef<[u8]>>(args: &[A], cursor_at: usize) -> Mask {
    let is_begin = args.get(cursor_at).is_none_or(|cursor| cursor.as_ref() == b"0");
    if is_begin { Mask::Scan } else { Mask::Anything }
}

/// What is not sorted comes in any order, and of that a part is any part. So do elements for which other keys say the same text. What is
/// stored is always sorted.
fn of_sort<A: AsRef<[u8]>>(args: &[A]) -> Mask {
    let mut pairs = args.windows(2);
    let is_text = has(args, b"ALPHA");
    let is_unsorted = |by: &[u8]| is_text || !by.contains(&b'*');
    let unsorted = pairs.any(|pair| has(&pair[..1], b"BY") && is_unsorted(pair[1].as_ref()));
    match unsorted && !has(args, b"STORE") {
        true if has(args, b"LIMIT") => Mask::Shape,
        true => Mask::Unordered,
        false => Mask::Exact,
    }
}

fn within(apart: i64, left: &Reply, right: &Reply) -> bool {
    let all = |left: &[Reply], right: &[Reply]| {
        left.len() == right.len()
            && left.iter().zip(right).all(|(left, right)| within(apart, left, right))
    };
    match (left, right) {
        (Reply::Int(left), Reply::Int(right)) => {
            left == right
                || *left >= 0 && *right >= 0 && left.abs_diff(*right) <= apart.unsigned_abs()
        }
        (Reply::Array(left), Reply::Array(right)) | (Reply::Set(left), Reply::Set(right)) => {
            all(left, right)
        }
        (Reply::Map(left), Reply::Map(right)) => {
            let mut both = left.iter().zip(right);
            left.len() == right.len()
                && both.all(|(left, right)| left.0 == right.0 && within(apart, &left.1, &right.1))
        }
        (left, right) => left == right,
    }
}

/// Whether two replies are the same but for how doubles are printed, each pair of which must satisfy `may`.
pub(super) fn are_close(left: &Reply, right: &Reply, may: fn(&[u8], &[u8]) -> bool) -> bool {
    let all = |left: &[Reply], right: &[Reply]| {
        left.len() == right.len()
            && left.iter().zip(right).all(|(left, right)| are_close(left, right, may))
    };
    match (left, right) {
        (Reply::Bulk(one), Reply::Bulk(other)) => {
            one == other || is_same_double(one, other) && may(one, other)
        }
        (Reply::Array(left), Reply::Array(right)) => all(left, right),
        (Reply::Map(left), Reply::Map(right)) => {
            let mut both = left.iter().zip(right);
            left.len() == right.len()
                && both.all(|(left, right)| left.0 == right.0 && are_close(&left.1, &right.1, may))
        }
        (left, right) => left == right,
    }
}

/// Whether two numbers have other digits, the first no more of them.
pub(super) fn has_other_digits(left: &[u8], right: &[u8]) -> bool {
    let digits = |text: &[u8]| {
        let mantissa = text.split(|byte| *byte == b'e').next().unwrap_or_default();
        let digits: Vec<u8> = mantissa.iter().copied().filter(u8::is_ascii_digit).collect();
        let text = String::from_utf8(digits).unwrap_or_default();
        text.trim_matches('0').to_owned()
    };
    let (left, right) = (digits(left), digits(right));
    left != right && left.len() <= right.len()
}

fn is_same_double(left: &[u8], right: &[u8]) -> bool {
    let read = |text| std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
    matches!((read(left), read(right)), (Some(left), Some(right)) if left.to_bits() == right.to_bits())
}

fn same_scan(left: &[Reply], right: &[Reply]) -> bool {
    let is_whole = |reply: &[Reply]| reply.first().and_then(Reply::bytes) == Some(b"0");
    let elements = |reply: &[Reply]| sorted(reply[1].items().unwrap_or_default());
    !(is_whole(left) && is_whole(right)) || elements(left) == elements(right)
}

fn sorted(items: &[Reply]) -> Vec<String> {
    let mut items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.sort_unstable();
    items
}

fn pairs(items: &[Reply]) -> Vec<String> {
    let pairs = items.chunks(2).map(|pair| format!("{pair:?}"));
    let mut pairs: Vec<String> = pairs.collect();
    pairs.sort_unstable();
    pairs
}

fn entries(items: &[(Reply, Reply)]) -> Vec<String> {
    let mut entries: Vec<String> = items.iter().map(|entry| format!("{entry:?}")).collect();
    entries.sort_unstable();
    entries
}
