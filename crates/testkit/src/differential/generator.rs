//! Random commands from a table of their shapes.
//!
//! Four in five are well-formed; one in five has an edge value, a word too many or too few, or a word
//! that does not belong. All commands use the same few keys, so most meet a value of another type at
//! times. Two runs from one seed are the same.

use super::arguments::{Kind, all, edge};
use crate::random::Random;

use Kind::*;

/// How many in a hundred commands are well-formed.
const VALID_PERCENT: u64 = 80;

/// How many in a hundred commands within MULTI end it.
const EXEC_PERCENT: u64 = 20;

const EXPIRY: &[Kind] = &[Either(&[
    &[Word("EX"), Life],
    &[Word("PX"), LifeMs],
    &[Word("EXAT"), Seconds],
    &[Word("PXAT"), Milliseconds],
])];
const EXISTENCE: Kind = OneOf(&["NX", "XX", "GT", "LT"]);
const END: Kind = OneOf(&["LEFT", "RIGHT"]);

/// A command and how often it is picked.
struct Shape {
    weight: u64,
    kinds: &'static [Kind],
}

const fn shape(weight: u64, kinds: &'static [Kind]) -> Shape {
    Shape { weight, kinds }
}

const STRINGS: &[Shape] = &[
    shape(3, &[Word("APPEND"), Key, Value]),
    shape(2, &[Word("DECR"), Key]),
    shape(2, &[Word("DECRBY"), Key, Int]),
    shape(4, &[Word("GET"), Key]),
    shape(2, &[Word("GETDEL"), Key]),
    shape(2, &[Word("GETEX"), Key, Maybe(EXPIRY)]),
    shape(1, &[Word("GETEX"), Key, Word("PERSIST")]),
    shape(2, &[Word("GETRANGE"), Key, Int, Int]),
    shape(2, &[Word("GETSET"), Key, Value]),
    shape(2, &[Word("INCR"), Key]),
    shape(2, &[Word("INCRBY"), Key, Int]),
    shape(3, &[Word("INCRBYFLOAT"), Key, Float]),
    shape(1, &[Word("LCS"), Key, Key]),
    shape(1, &[Word("LCS"), Key, Key, Word("LEN")]),
    shape(
        1,
        &[
            Word("LCS"),
            Key,
            Key,
            Word("IDX"),
            Maybe(&[Word("MINMATCHLEN"), Int]),
            Maybe(&[Word("WITHMATCHLEN")]),
        ],
    ),
    shape(2, &[Word("MGET"), Many(&[Key])]),
    shape(2, &[Word("MSET"), Many(&[Key, Value])]),
    shape(1, &[Word("MSETNX"), Many(&[Key, Value])]),
    shape(1, &[Word("PSETEX"), Key, LifeMs, Value]),
    shape(8, &[Word("SET"), Key, Value]),
    shape(
        4,
        &[
            Word("SET"),
            Key,
            Value,
            Maybe(&[OneOf(&["NX", "XX"])]),
            Maybe(&[Word("GET")]),
            Maybe(EXPIRY),
        ],
    ),
    shape(
        1,
        &[Word("SET"), Key, Value, Maybe(&[Word("KEEPTTL")]), Maybe(&[Word("GET")]), Maybe(EXPIRY)],
    ),
    shape(1, &[Word("SETEX"), Key, Life, Value]),
    shape(1, &[Word("SETNX"), Key, Value]),
    shape(2, &[Word("SETRANGE"), Key, Offset, Value]),
    shape(2, &[Word("STRLEN"), Key]),
    shape(1, &[Word("SUBSTR"), Key, Int, Int]),
];

const GENERIC: &[Shape] = &[
    shape(2, &[Word("COPY"), Key, Key, Maybe(&[Word("DB"), Database]), Maybe(&[Word("REPLACE")])]),
    shape(3, &[Word("DEL"), Many(&[Key])]),
    shape(2, &[Word("EXISTS"), Many(&[Key])]),
    shape(1, &[Word("EXPIRE"), Key, Life, Maybe(&[OneOf(&["NX", "XX"])])]),
    shape(1, &[Word("EXPIRE"), Key, OtherLife, EXISTENCE]),
    shape(2, &[Word("EXPIREAT"), Key, Seconds, Maybe(&[EXISTENCE])]),
    shape(1, &[Word("EXPIRETIME"), Key]),
    shape(1, &[Word("KEYS"), Pattern]),
    shape(1, &[Word("MOVE"), Key, Database]),
    shape(2, &[Word("PERSIST"), Key]),
    shape(1, &[Word("PEXPIRE"), Key, LifeMs, Maybe(&[OneOf(&["NX", "XX"])])]),
    shape(1, &[Word("PEXPIRE"), Key, OtherLife, EXISTENCE]),
    shape(2, &[Word("PEXPIREAT"), Key, Milliseconds, Maybe(&[EXISTENCE])]),
    shape(1, &[Word("PEXPIRETIME"), Key]),
    shape(1, &[Word("PTTL"), Key]),
    shape(2, &[Word("RENAME"), Key, Key]),
    shape(2, &[Word("RENAMENX"), Key, Key]),
    shape(1, &[Word("TOUCH"), Many(&[Key])]),
    shape(1, &[Word("TTL"), Key]),
    shape(2, &[Word("TYPE"), Key]),
    shape(1, &[Word("UNLINK"), Many(&[Key])]),
];

const LISTS: &[Shape] = &[
    shape(6, &[Word("LPUSH"), Key, Many(&[Value])]),
    shape(6, &[Word("RPUSH"), Key, Many(&[Value])]),
    shape(3, &[Word("LPOP"), Key, Maybe(&[Int])]),
    shape(3, &[Word("RPOP"), Key, Maybe(&[Int])]),
    shape(2, &[Word("LLEN"), Key]),
    shape(4, &[Word("LRANGE"), Key, Int, Int]),
    shape(3, &[Word("LMOVE"), Key, Key, END, END]),
];

const TRANSACTIONS: &[Shape] = &[
    shape(4, &[Word("MULTI")]),
    shape(1, &[Word("EXEC")]),
    shape(1, &[Word("DISCARD")]),
    shape(3, &[Word("WATCH"), Many(&[Key])]),
    shape(1, &[Word("UNWATCH")]),
];

/// What versions of the reference answer differently.
const VERSIONED: &[Shape] = &[shape(10, &[Word("OBJECT"), Word("ENCODING"), Key])];

const FAMILIES: &[&[Shape]] = &[STRINGS, GENERIC, LISTS, TRANSACTIONS];

/// Words that belong to no command, or to another place.
const STRAY: [&[u8]; 8] = [b"", b"NX", b"GET", b"COUNT", b"nosuch", b"-1", b"\r\n", b"*"];

/// An endless sequence of commands.
#[derive(Clone, Debug)]
pub struct Generator {
    random: Random,
    families: Vec<&'static [Shape]>,
    in_multi: bool,
    one_version: bool,
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.kinds.fmt(out)
    }
}

impl Generator {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            families: FAMILIES.to_vec(),
            in_multi: false,
            one_version: false,
        }
    }

    /// Asks for what versions of the reference answer differently as well: OBJECT ENCODING, and MULTI and
    /// WATCH within MULTI, which Valkey 8 lets fail the transaction and Redis 7 does not.
    #[must_use]
    pub fn for_one_version(mut self) -> Self {
        self.families.push(VERSIONED);
        self.one_version = true;
        self
    }

    /// Makes string commands only.
    #[must_use]
    pub fn of_strings(mut self) -> Self {
        self.families = vec![STRINGS];
        self
    }

    /// Tells that the transaction was ended by somebody else.
    pub fn left_transaction(&mut self) {
        self.in_multi = false;
    }

    /// The next command.
    #[expect(
        clippy::should_implement_trait,
        reason = "it never ends, so there is no Option to give"
    )]
    pub fn next(&mut self) -> Vec<Vec<u8>> {
        let end = self.in_multi && self.random.percent(EXEC_PERCENT);
        let mut command = if end { self.end() } else { self.any() };
        while self.in_multi && !self.one_version && is_one_of(&command, &["MULTI", "WATCH"]) {
            command = self.any();
        }
        self.in_multi |= command.len() == 1 && is_one_of(&command, &["MULTI"]);
        self.in_multi &= command.len() > 1 || !is_one_of(&command, &["EXEC", "DISCARD"]);
        command
    }

    fn end(&mut self) -> Vec<Vec<u8>> {
        let ends: [&[u8]; 5] = [b"EXEC", b"exec", b"EXEC", b"EXEC", b"DISCARD"];
        vec![self.random.pick(&ends).to_vec()]
    }

    fn any(&mut self) -> Vec<Vec<u8>> {
        let valid = self.random.percent(VALID_PERCENT);
        let mut command = self.shaped(valid);
        if !valid {
            self.spoil(&mut command);
        }
        command
    }

    fn shaped(&mut self, valid: bool) -> Vec<Vec<u8>> {
        let shapes = || self.families.iter().flat_map(|family| family.iter());
        let mut place = self.random.below(shapes().map(|shape| shape.weight).sum());
        let shape = shapes().find(|shape| {
            let here = place < shape.weight;
            place = place.saturating_sub(shape.weight);
            here
        });
        let mut command = Vec::new();
        all(
            shape.expect("the place is below the sum").kinds,
            &mut self.random,
            valid,
            &mut command,
        );
        command
    }

    /// Makes a command wrong in one more way, or leaves it at its edge values.
    fn spoil(&mut self, command: &mut Vec<Vec<u8>>) {
        let place = self.random.below(command.len() as u64) as usize;
        match self.random.below(10) {
            0 => drop(command.pop()),
            1 => command.push(self.random.pick(&STRAY).to_vec()),
            2 => command.insert(place + 1, self.random.pick(&STRAY).to_vec()),
            3 if place > 0 => drop(command.remove(place)),
            4 if place > 0 && !may_end_soon(command) => command[place] = edge(&mut self.random),
            5 => command[0].push(b'X'),
            _ => {}
        }
        if command.is_empty() {
            command.push(b"NOSUCH".to_vec());
        }
    }
}

fn is_one_of(command: &[Vec<u8>], names: &[&str]) -> bool {
    names.iter().any(|name| command[0].eq_ignore_ascii_case(name.as_bytes()))
}

/// Whether an edge in the wrong place could set a time to live that ends on one server before the other.
fn may_end_soon(command: &[Vec<u8>]) -> bool {
    is_one_of(command, &["SET", "GETEX", "SETEX", "PSETEX", "EXPIRE", "PEXPIRE"])
}
