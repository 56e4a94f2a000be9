//! Kinds of arguments, each with the values it takes: few ordinary ones, and every edge.

use crate::random::Random;

/// The keys all commands share, whatever their type.
pub(super) const KEYS: [&str; 6] = ["a", "b", "c", "{t}a", "{t}b", ""];

/// Values strings and elements are made of.
const VALUES: [&[u8]; 14] = [
    b"",
    b"0",
    b"1",
    b"-1",
    b"10",
    b"1.5",
    b"hello",
    b"world",
    b"012",
    b" 1",
    b"3.0e2",
    b"\x00\xff\r\n",
    b"9223372036854775807",
    b"a string of more than forty-four bytes, which is kept in another way",
];

/// Integers at which parsing and arithmetic turn over.
const EDGES: [&str; 20] = [
    "-9223372036854775808",
    "-9223372036854775807",
    "-9223372036854775809",
    "-4294967296",
    "-2147483649",
    "-2147483648",
    "-1",
    "0",
    "1",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775806",
    "9223372036854775807",
    "9223372036854775808",
    "+1",
    " 1",
    "1e3",
    "123456789012345678901",
];

/// Lengths of life in seconds, and with three digits more in milliseconds: long, gone, or wrong. None is so short that it could end
/// on one server before the other.
const LIVES: [&str; 6] = ["1000", "100000", "100000000", "0", "-1", "4294967296"];

/// Points in time in seconds, and with three digits more in milliseconds: far ahead or long past.
const TIMES: [&str; 5] = ["4000000000", "33177117420", "1", "-5", "0"];

const FLOATS: [&str; 10] =
    ["0", "1.5", "-0.1", "3", "1e5", "-1e-5", "17179869184.25", "0.000001", "1.0e+2", "-7"];
const NOT_FLOATS: [&str; 5] = ["nan", "inf", "1.5x", "", " 1"];

const PATTERNS: [&str; 9] = ["*", "?", "a*", "[ab]", "[^a]", "{t}*", "\\*", "[a-c]*", "**?"];

/// What an argument may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// This word, in any case.
    Word(&'static str),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A key.
    Key,
    /// A value.
    Value,
    /// An index or a difference.
    Int,
    /// An offset into a string, kept small: a large one that is allowed costs its memory.
    Offset,
    /// A number that need not be whole.
    Float,
    /// A glob pattern.
    Pattern,
    /// Seconds to live.
    Life,
    /// Milliseconds to live.
    LifeMs,
    /// Seconds to live, hardly ever the same: a comparison with an equal one would depend on the moment.
    OtherLife,
    /// A time in seconds.
    Seconds,
    /// A time in milliseconds.
    Milliseconds,
    /// A database.
    Database,
    /// All of these or nothing.
    Maybe(&'static [Self]),
    /// All of one of these.
    Either(&'static [&'static [Self]]),
    /// All of these, one to four times.
    Many(&'static [Self]),
}

impl Kind {
    /// Appends such an argument; `valid` is whether it should make sense.
    pub(super) fn write(self, random: &mut Random, valid: bool, out: &mut Vec<Vec<u8>>) {
        match self {
            Self::Maybe(kinds) if random.percent(40) => all(kinds, random, valid, out),
            Self::Maybe(_) => {}
            Self::Either(ways) => {
                let way: &[Self] = random.pick::<&[Self]>(ways);
                all(way, random, valid, out);
            }
            Self::Many(kinds) => {
                for _ in 0..=random.below(4) {
                    all(kinds, random, valid, out);
                }
            }
            one => out.push(one.one(random, valid)),
        }
    }

    fn one(self, random: &mut Random, valid: bool) -> Vec<u8> {
        match self {
            Self::Word(word) => cased(random, word),
            Self::OneOf(words) => {
                let word: &str = random.pick::<&str>(words);
                cased(random, word)
            }
            Self::Value => random.pick(&VALUES).to_vec(),
            Self::Key => text(random, &KEYS),
            Self::Pattern => text(random, &PATTERNS),
            Self::Int if valid => (random.below(12) as i64 - 4).to_string().into_bytes(),
            Self::Offset if valid => random.below(40).to_string().into_bytes(),
            Self::Int | Self::Offset => text(random, &EDGES),
            Self::Float if valid => text(random, &FLOATS),
            Self::Float => text(random, &NOT_FLOATS),
            Self::Database => random.below(if valid { 2 } else { 20 }).to_string().into_bytes(),
            Self::Life => life(random, valid, &LIVES, ""),
            Self::OtherLife => (2_000_000 + random.below(1 << 30)).to_string().into_bytes(),
            Self::LifeMs => life(random, valid, &LIVES, "000"),
            Self::Seconds => life(random, valid, &TIMES, ""),
            Self::Milliseconds => life(random, valid, &TIMES, "000"),
            Self::Maybe(_) | Self::Either(_) | Self::Many(_) => Vec::new(),
        }
    }
}

/// Appends arguments of all these kinds.
pub(super) fn all(kinds: &[Kind], random: &mut Random, valid: bool, out: &mut Vec<Vec<u8>>) {
    for kind in kinds {
        kind.write(random, valid, out);
    }
}

/// An edge of any integer; what a wrong argument is replaced with.
pub(super) fn edge(random: &mut Random) -> Vec<u8> {
    text(random, &EDGES)
}

fn text(random: &mut Random, from: &[&str]) -> Vec<u8> {
    random.pick(from).as_bytes().to_vec()
}

fn cased(random: &mut Random, word: &str) -> Vec<u8> {
    if random.percent(50) {
        word.as_bytes().to_vec()
    } else {
        word.to_ascii_lowercase().into_bytes()
    }
}

/// The first entries are fine; edges that would end soon are left out.
fn life(random: &mut Random, valid: bool, from: &[&str], unit: &str) -> Vec<u8> {
    if valid {
        return format!("{}{unit}", random.pick(&from[..2])).into_bytes();
    }
    if random.percent(50) {
        return format!("{}{unit}", random.pick(from)).into_bytes();
    }
    let edge = edge(random);
    if SOON.contains(&edge.as_slice()) { b"0".to_vec() } else { edge }
}

/// Edges that are a short time to live; as times they are long past, but tables share their edges.
const SOON: [&[u8]; 1] = [b"1"];
