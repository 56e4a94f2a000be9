//! Keys counted: by database, by type, by prefix, and the largest of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use russet_engine::{Entry, View, number};

/// How keys are to be counted and shown.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What parts of a name end with.
    pub separator: Box<[u8]>,
    /// How many parts make a prefix.
    pub depth: usize,
    /// How many prefixes and keys are shown, the largest first.
    pub top: usize,
}

impl Default for Wish {
    fn default() -> Self {
        Self { separator: b":"[..].into(), depth: 1, top: 20 }
    }
}

impl Wish {
    /// The beginning of a name up to and with so many separators, or as many as it has; empty without any.
    fn prefix<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        let (mut end, of) = (0, &*self.separator);
        for _ in 0..self.depth {
            let rest = key.get(end..).unwrap_or_default();
            let found = rest.windows(of.len().max(1)).position(|window| window == of);
            let Some(at) = found else { break };
            end += at + of.len();
        }
        key.get(..end).unwrap_or_default()
    }
}

/// How many keys there are of a kind, and how large.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) keys: u64,
    /// Bytes in memory, as Russet keeps them, names included.
    pub(super) bytes: u64,
    /// Elements of collections, bytes of strings.
    pub(super) len: u64,
    /// Keys that end.
    pub(super) ending: u64,
    /// The bytes of the largest one.
    pub(super) largest: u64,
}

impl Count {
    fn add(&mut self, other: &Self) {
        self.keys += other.keys;
        self.bytes += other.bytes;
        self.len += other.len;
        self.ending += other.ending;
        self.largest = self.largest.max(other.largest);
    }
}

/// Kinds by the names of their types.
pub(super) type Types = BTreeMap<&'static str, Count>;

/// A key that is among the largest: its bytes first, so that it is ordered by them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Large {
    pub(super) bytes: u64,
    pub(super) db: u64,
    pub(super) key: Box<[u8]>,
    pub(super) kind: &'static str,
    pub(super) encoding: &'static str,
    pub(super) len: u64,
}

/// A prefix and what has it.
#[derive(Debug)]
pub(super) struct Heavy<'t> {
    pub(super) db: u64,
    pub(super) prefix: &'t [u8],
    pub(super) types: &'t Types,
    /// All types together.
    pub(super) count: Count,
}

/// What was counted.
#[derive(Debug)]
pub struct Tally {
    pub(super) wish: Wish,
    /// Libraries of functions.
    pub(super) libraries: u64,
    pub(super) databases: BTreeMap<u64, Types>,
    pub(super) prefixes: BTreeMap<(u64, Box<[u8]>), Types>,
    /// The smallest of the largest first.
    largest: BinaryHeap<Reverse<Large>>,
}

impl Tally {
    /// Of nothing yet.
    pub(super) fn new(wish: Wish) -> Self {
        Self {
            wish,
            libraries: 0,
            databases: BTreeMap::new(),
            prefixes: BTreeMap::new(),
            largest: BinaryHeap::new(),
        }
    }

    /// As it was at the beginning.
    pub(super) fn emptied(&self) -> Self {
        Self::new(self.wish.clone())
    }

    /// Counts a key.
    pub(super) fn add(&mut self, db: u64, entry: &Entry) {
        let (kind, bytes, len) = (entry.kind().name(), entry.weight() as u64, length(entry));
        let ending = u64::from(entry.expiry().is_some());
        let count = Count { keys: 1, bytes, len, ending, largest: bytes };
        let prefix = self.wish.prefix(entry.key());
        let prefixes = self.prefixes.entry((db, prefix.into())).or_default();
        for types in [self.databases.entry(db).or_default(), prefixes] {
            types.entry(kind).or_default().add(&count);
        }
        let is_large = self.largest.peek().is_none_or(|Reverse(least)| bytes > least.bytes);
        if is_large || self.largest.len() < self.wish.top {
            let (key, encoding) = (entry.key().into(), entry.encoding());
            self.largest.push(Reverse(Large { bytes, db, key, kind, encoding, len }));
            if self.largest.len() > self.wish.top {
                self.largest.pop();
            }
        }
    }

    /// The largest keys, the largest first.
    pub(super) fn largest(&self) -> Vec<&Large> {
        let mut largest: Vec<&Large> = self.largest.iter().map(|Reverse(large)| large).collect();
        largest.sort_unstable_by(|one, other| {
            other
                .bytes
                .cmp(&one.bytes)
                .then_with(|| (one.db, &one.key).cmp(&(other.db, &other.key)))
        });
        largest
    }

    /// The prefixes that take most, and how many others there are.
    pub(super) fn heaviest(&self) -> (Vec<Heavy<'_>>, usize) {
        let mut all: Vec<Heavy<'_>> = self
            .prefixes
            .iter()
            .map(|((db, prefix), types)| Heavy { db: *db, prefix, types, count: sum(types) })
            .collect();
        // Those of one weight stay in the order of their names.
        all.sort_by_key(|heavy| Reverse(heavy.count.bytes));
        let others = all.len().saturating_sub(self.wish.top);
        all.truncate(self.wish.top);
        (all, others)
    }
}

/// All types together.
pub(super) fn sum(types: &Types) -> Count {
    let mut sum = Count::default();
    types.values().for_each(|count| sum.add(count));
    sum
}

/// Elements of a collection, bytes of a string.
fn length(entry: &Entry) -> u64 {
    let len = match entry.view() {
        View::Short(text) => text.len(),
        View::Int(value) => number::digits(value),
        View::Chunks(chunks) => chunks.len(),
        View::Object(object) => object.len(),
    };
    len as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use russet_engine::string_value;

    fn prefix(wish: &Wish, key: &str) -> String {
        String::from_utf8_lossy(wish.prefix(key.as_bytes())).into_owned()
    }

    #[test]
    fn a_prefix_has_as_many_parts_as_are_wished_and_there() {
        let one = Wish::default();
        assert_eq!(prefix(&one, "user:1:name"), "user:");
        assert_eq!(["", "user", ":", "a:"].map(|key| prefix(&one, key)), ["", "", ":", "a:"]);
        let two = Wish { depth: 2, ..Wish::default() };
        assert_eq!(prefix(&two, "user:1:name"), "user:1:");
        assert_eq!(prefix(&two, "user:1"), "user:");
        let other = Wish { separator: b"::"[..].into(), ..Wish::default() };
        assert_eq!(["a:b::c", "a:b"].map(|key| prefix(&other, key)), ["a:b::", ""]);
        let none = Wish { separator: b""[..].into(), ..Wish::default() };
        assert_eq!(prefix(&none, "user:1"), "");
    }

    #[test]
    fn the_largest_keys_are_kept_and_no_more_than_wished() {
        let mut tally = Tally::new(Wish { top: 3, ..Wish::default() });
        for n in 0..16_usize {
            let text = "v".repeat(1 << n);
            let entry =
                Entry::new(format!("k:{n}").as_bytes(), string_value(text.as_bytes()), None);
            tally.add(0, &entry);
        }
        let keys: Vec<_> =
            tally.largest().iter().map(|it| it.key.escape_ascii().to_string()).collect();
        assert_eq!(keys, ["k:15", "k:14", "k:13"]);
        let (heaviest, others) = tally.heaviest();
        assert_eq!((heaviest.len(), others, heaviest[0].count.keys), (1, 0, 16));
    }
}
