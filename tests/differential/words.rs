//! What arguments are made of, by the names they have in the syntax lines: ordinary values, and every edge.

use russet_dispatch::Group;
use russet_dispatch::syntax::{Argument, Kind};
use russet_testkit::Random;
use russet_testkit::edges::INTEGERS;

/// Values, elements, members, fields.
const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "-1",
    "2",
    "10",
    "1.5",
    "a",
    "b",
    "c",
    "hello",
    "world",
    "-0",
    " 1",
    "1 ",
    "+1",
    "012",
    "3.0e2",
    "inf",
    "nan",
    "1e308",
    "1e-320",
    "9223372036854775807",
    "-9223372036854775808",
    "9007199254740993",
    "\x01\x7f\r\n",
    "sixty-four bytes, the most that the compact encodings will keep.....",
    "a string of far more than sixty-four bytes, which is kept apart from its smaller friends, in another way",
];

const FLOATS: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "-1",
    "1.5",
    "-0",
    "0.1",
    "1e5",
    "-1e-5",
    "17179869184.25",
    "inf",
    "-inf",
    "+inf",
    "1e308",
    "-1e308",
    "5e-324",
    "9007199254740992",
    "9007199254740993",
    "3.0",
    "1.7976931348623157e308",
    "0.30000000000000004",
    "1e21",
    "123456789.123456789",
];
const NOT_FLOATS: &[&str] = &[
    "nan", "-nan", "", "abc", " 1", "1 ", "1x", "+1", "1e309", "0x10", "infinity", "1e-400", ".5",
    "5.", "--1",
];

const SCORE_ENDS: &[&str] =
    &["-inf", "+inf", "inf", "0", "1", "(1", "2", "(2", "-1", "(-1", "1.5", "(0", "3", "1e308"];
const NOT_SCORE_ENDS: &[&str] = &["nan", "(", "((1", "[1", "abc", "", "(nan", "(inf", "-", "+"];
const LEX_ENDS: &[&str] = &["-", "+", "[a", "(a", "[b", "(c", "[", "(", "[hello", "(z", "[0", "(1"];
const NOT_LEX_ENDS: &[&str] = &["a", "", "1", "--", "+a", "-a", "inf"];

const PLACES: &[&str] = &[
    "13.361389",
    "15.087269",
    "2.35",
    "0",
    "-0",
    "37.5",
    "38.115556",
    "-73.9",
    "180",
    "-85",
    "14",
];
const NO_PLACES: &[&str] =
    &["-180.0001", "181", "85.05112879", "-86", "nan", "inf", "abc", "", "1e308"];
const LENGTHS: &[&str] = &["0", "1", "100", "200.5", "1000", "5000", "1e5", "20000"];
const NO_LENGTHS: &[&str] = &["-1", "abc", "nan", "inf", "", "1e308"];

const PATTERNS: &[&str] =
    &["*", "?", "a*", "[ab]", "[^a]", "s*", "\\*", "[a-c]*", "**?", "h?*", "", "[", "[a", "[z-a]*"];
const SORT_BY: &[&str] = &["nosort", "s*", "h1->*", "s*->a", "*", "nokey*", "h*->hello", ""];
const SORT_GET: &[&str] = &["#", "s*", "h1->*", "h*->a", "*", "nokey*", "#x"];

/// Gone at once, or wrong; none is so short that it could end on one server before the other.
const NO_LIVES: &[&str] = &[
    "0",
    "-1",
    "-9223372036854775808",
    "9223372036854775807",
    "9223372036854775",
    "9223372036854775808",
    "abc",
    "",
    "1.5",
    "9223370000000000000",
];
const TIMES: &[&str] = &["4000000000", "33177117420"];
const NO_TIMES: &[&str] =
    &["1", "-5", "0", "abc", "9223372036854775807", "9223372036854775", "-9223372036854775808"];

const ENCODINGS: &[&str] = &["u1", "u8", "i8", "u16", "i5", "u63", "i64", "i32", "u4"];
const NO_ENCODINGS: &[&str] = &["u64", "i65", "u0", "i0", "x8", "", "u", "8", "u-1", "u08"];
const BITFIELD_OFFSETS: &[&str] = &["0", "1", "5", "8", "#0", "#1", "#3", "100", "31"];
const NO_BITFIELD_OFFSETS: &[&str] =
    &["-1", "#-1", "abc", "", "#", "4294967296", "99999999999999", "#9223372036854775807"];

/// Offsets that make a string longer, so that all that is allowed is small.
const NO_OFFSETS: &[&str] = &[
    "-1",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "abc",
    "",
    "4294967295000",
];

/// Counts whose replies could fill a memory are left out.
const NO_COUNTS: &[&str] =
    &["9223372036854775807", "-9223372036854775808", "abc", "", "-9223372036854775809", "0"];

/// The keys of each family. Other families come to them as well, but not often.
pub(super) const fn keys(group: Group) -> &'static [&'static str] {
    match group {
        Group::String => &["s1", "s2", "s3"],
        Group::List => &["l1", "l2"],
        Group::Hash => &["h1", "h2"],
        Group::Set => &["t1", "t2", "t3"],
        Group::SortedSet => &["z1", "z2", "z3"],
        Group::Geo => &["g1", "z1"],
        Group::Stream => &["x1", "x2"],
        Group::Bitmap => &["s1", "b1", "b2"],
        Group::HyperLogLog => &["p1", "p2", "p3"],
        _ => ALL_KEYS,
    }
}

/// All keys.
pub(super) const ALL_KEYS: &[&str] = &[
    "s1", "s2", "s3", "l1", "l2", "h1", "h2", "t1", "t2", "t3", "z1", "z2", "z3", "g1", "x1", "x2",
    "b1", "b2", "p1", "p2", "p3", "",
];

/// Keys of sorted sets whose scores are all the same.
pub(super) const LEX_KEYS: &[&str] = &["y1", "y2"];

/// Any value.
pub(super) fn value(random: &mut Random) -> String {
    (*random.pick(VALUES)).to_owned()
}

/// Good and bad values of a name.
type Pools = (&'static [&'static str], &'static [&'static str]);

/// The values of an argument that is no key and no number of others, where they are a list.
pub(super) fn pools(command: &str, argument: &Argument) -> Option<Pools> {
    let name = argument.name.as_str();
    Some(match (&argument.kind, name) {
        (Kind::Pattern, "by-pattern") => (SORT_BY, SORT_BY),
        (Kind::Pattern, "get-pattern") => (SORT_GET, SORT_GET),
        (Kind::Pattern, _) => (PATTERNS, PATTERNS),
        (Kind::Double, "longitude" | "latitude") => (PLACES, NO_PLACES),
        (Kind::Double, "radius" | "width" | "height") => (LENGTHS, NO_LENGTHS),
        (Kind::Double, "timeout") => {
            (&["0.001", "0.01", "1e-3"], &["-1", "abc", "nan", "1e308", ""])
        }
        (Kind::Double, "min" | "max") => (SCORE_ENDS, NOT_SCORE_ENDS),
        (Kind::Double, _) => (FLOATS, NOT_FLOATS),
        (Kind::String, "min" | "max") => (LEX_ENDS, NOT_LEX_ENDS),
        (Kind::String, "encoding") => (ENCODINGS, NO_ENCODINGS),
        (Kind::String, "offset") => (BITFIELD_OFFSETS, NO_BITFIELD_OFFSETS),
        (Kind::String, "group") => (&["g1", "g2"], &["", "nogroup"]),
        (Kind::String, "consumer") => (&["c1", "c2", "c3"], &[""]),
        (Kind::String, "min-idle-time") => {
            (&["0", "0", "100000000"], &["-1", "abc", "9223372036854775807"])
        }
        (Kind::String, "type") => (&["string", "list", "zset", "HASH"], &["", "nosuch"]),
        (Kind::String, "start" | "stop") => (INTS, INTEGERS),
        (
            Kind::String,
            "value" | "element" | "member" | "member1" | "member2" | "field" | "pivot" | "message",
        ) => (VALUES, VALUES),
        (Kind::Integer, _) => return integers(command, argument),
        _ => return None,
    })
}

const INTS: &[&str] = &["0", "1", "2", "3", "4", "5", "7", "10", "-1", "-2", "-3", "-5", "-100"];

fn integers(command: &str, argument: &Argument) -> Option<Pools> {
    Some(match (command, argument.name.as_str()) {
        ("select" | "swapdb" | "move" | "copy", _) => (&["0", "0", "1"], &["16", "-1", "abc", ""]),
        (_, "cursor") => (&["0"], &["abc", "", "-1", "18446744073709551616"]),
        ("srandmember" | "hrandfield" | "zrandmember", "count") => (INTS, NO_COUNTS),
        ("setbit" | "setrange", "offset") => {
            (&["0", "1", "7", "8", "9", "31", "100", "1000"], NO_OFFSETS)
        }
        // Valkey cuts larger ones to 32 bits.
        ("lset", "index") => (INTS, &["2147483647", "-2147483648", "abc", "9223372036854775808"]),
        ("getbit", "offset") => (&["0", "1", "7", "8", "100", "4294967295"], NO_OFFSETS),
        ("setbit", "value") | (_, "bit") => (&["0", "1"], &["2", "-1", "abc"]),
        ("xread" | "xreadgroup", "milliseconds") => (&["1", "2"], &["-1", "abc", ""]),
        ("xclaim", "ms") => (&["0", "1000"], &["-1", "abc"]),
        ("xpending", "min-idle-time") => (&["0", "100000000"], &["-1", "abc"]),
        _ => (INTS, INTEGERS),
    })
}

/// A value of an argument whose values are made, not listed.
pub(super) fn made(random: &mut Random, argument: &Argument, valid: bool) -> Option<String> {
    let is_ms = argument.name.contains("milli");
    let unit = if is_ms { "000" } else { "" };
    match (&argument.kind, argument.name.as_str()) {
        (Kind::Integer, "seconds" | "milliseconds")
            if argument.token.as_deref() != Some("BLOCK") =>
        {
            Some(if valid {
                // Hardly ever the same, for a comparison of equal ones would depend on the moment.
                (1_000_000 + random.below(1 << 30)).to_string() + unit
            } else {
                (*random.pick(NO_LIVES)).to_owned()
            })
        }
        (Kind::UnixTime, _) if valid => Some((*random.pick(TIMES)).to_owned() + unit),
        (Kind::UnixTime, _) => Some((*random.pick(NO_TIMES)).to_owned()),
        _ => None,
    }
}

/// An edge of any integer.
pub(super) fn edge(random: &mut Random) -> String {
    (*random.pick(INTEGERS)).to_owned()
}

/// An end of a range of ranks, scores or members.
pub(super) fn end(random: &mut Random, by: &str, valid: bool) -> String {
    let (good, bad) = match by {
        "BYSCORE" => (SCORE_ENDS, NOT_SCORE_ENDS),
        "BYLEX" => (LEX_ENDS, NOT_LEX_ENDS),
        _ => (INTS, INTEGERS),
    };
    (*random.pick(if valid { good } else { bad })).to_owned()
}
