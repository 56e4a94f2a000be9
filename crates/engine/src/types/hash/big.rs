//! The form of hashes that are not small: a table of entries, as the keyspace's own.
//!
//! An [`Entry`] is a name, a value and, if need be, an end in one allocation, and a [`Table`] finds it with one look at a cache line:
//! what serves a database serves a hash. 16 bytes of field and 16 of value take 48 bytes, with an end too, and some 17 in the table.
//!
//! Invariants:
//! * `bytes` is the sum of the weights of all entries.
//! * An entry has an end if and only if `deadlines` has (end, hash of its field).

use std::fmt;

use super::Pair;
use crate::entry::{Entry, string_value};
use crate::expire::ExpiryIndex;
use crate::relocate::{Mover, Progress};
use crate::shard::Seed;
use crate::size_class::usable;
use crate::table::Table;
use crate::value::{Value, View};

/// Fields in a table.
pub(super) struct Big {
    table: Table,
    deadlines: ExpiryIndex,
    seed: Seed,
    bytes: usize,
}

impl fmt::Debug for Big {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Big(len: {})", self.table.len())
    }
}

impl Clone for Big {
    fn clone(&self) -> Self {
        let mut copy = Self::new(self.seed);
        self.table.iter().for_each(|entry| copy.add(entry.copied(entry.key())));
        copy
    }
}

fn pair(entry: &Entry) -> Pair<'_> {
    Pair { field: View::Short(entry.key()), value: entry.view(), expiry: entry.expiry() }
}

impl Big {
    pub(super) fn new(seed: Seed) -> Self {
        Self { table: Table::new(), deadlines: ExpiryIndex::new(), seed, bytes: 0 }
    }

    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn buckets(&self) -> usize {
        self.table.buckets()
    }

    /// Moves its own box and fields, then the blocks of the index.
    pub(super) fn relocate(
        this: &mut Box<Self>,
        mover: &mut Mover,
        from: Progress,
    ) -> Option<Progress> {
        if from == Progress::default() {
            let seed = this.seed;
            mover.boxed(this, || Self::new(seed));
        }
        let next = match from.part {
            0 => this.table.relocate(mover, from.at),
            _ => this.deadlines.relocate(mover, from.at),
        };
        from.then(next, 2)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        usable(size_of::<Self>())
            + self.bytes
            + self.table.heap_bytes()
            + self.deadlines.heap_bytes()
    }

    #[inline]
    fn entry(&self, field: &[u8]) -> Option<&Entry> {
        self.table.get(self.seed.hash(field), field)
    }

    #[inline]
    pub(super) fn get(&self, field: &[u8]) -> Option<View<'_>> {
        self.entry(field).map(Entry::view)
    }

    #[inline]
    pub(super) fn prefetch_place(&self, field: &[u8]) -> u64 {
        let hash = self.seed.hash(field);
        self.table.prefetch_bucket(hash);
        hash
    }

    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        self.table.prefetch_entry(hash);
    }

    pub(super) fn pair(&self, field: &[u8]) -> Option<Pair<'_>> {
        self.entry(field).map(pair)
    }

    /// Adds an entry whose field is not there.
    fn add(&mut self, entry: Entry) {
        let (seed, hash) = (self.seed, self.seed.hash(entry.key()));
        if let Some(at) = entry.expiry() {
            self.deadlines.insert(at, hash);
        }
        self.bytes += entry.weight();
        self.table.insert(hash, entry, &|field| seed.hash(field));
    }

    /// Adds a field that is not there.
    pub(super) fn insert(&mut self, field: &[u8], value: Value<'_>, expiry: Option<u64>) {
        self.add(Entry::new(field, value, expiry));
    }

    /// Sets a field, which keeps its end or loses it. Says whether the field is new.
    #[inline]
    pub(super) fn set(&mut self, field: &[u8], value: &[u8], keeps_expiry: bool) -> bool {
        let hash = self.seed.hash(field);
        let Some(entry) = self.table.get_mut(hash, field) else {
            let seed = self.seed;
            let entry = Entry::new(field, string_value(value), None);
            self.bytes += entry.weight();
            self.table.insert(hash, entry, &|field| seed.hash(field));
            return true;
        };
        let (value, old) = (string_value(value), entry.expiry());
        let new = if keeps_expiry { old } else { None };
        if entry.replace_alike(&value, new) {
            return false;
        }
        let weight = entry.weight();
        drop(entry.replace(value, new));
        self.bytes = self.bytes - weight + entry.weight();
        move_deadline(&mut self.deadlines, hash, old, new);
        false
    }

    /// Changes when a field ends. Says whether there is such a field.
    pub(super) fn set_expiry(&mut self, field: &[u8], expiry: Option<u64>) -> bool {
        let hash = self.seed.hash(field);
        let Some(entry) = self.table.get_mut(hash, field) else { return false };
        let (old, weight) = (entry.expiry(), entry.weight());
        entry.set_expiry(expiry);
        self.bytes = self.bytes - weight + entry.weight();
        move_deadline(&mut self.deadlines, hash, old, expiry);
        true
    }

    pub(super) fn remove(&mut self, field: &[u8]) -> bool {
        let (seed, hash) = (self.seed, self.seed.hash(field));
        let Some(entry) = self.table.remove(hash, field, &|field| seed.hash(field)) else {
            return false;
        };
        self.bytes -= entry.weight();
        move_deadline(&mut self.deadlines, hash, entry.expiry(), None);
        true
    }

    #[inline]
    pub(super) fn first_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|(at, _)| at)
    }

    /// Removes a field that has ended at `now`, the first due first.
    pub(super) fn pop_due(&mut self, now: u64) -> Option<Vec<u8>> {
        let (at, hash) = self.deadlines.first().filter(|(at, _)| *at <= now)?;
        let entry = self.table.by_hash(hash, |entry| entry.expiry() == Some(at));
        let field = entry.expect("the index knows entries only").key().to_vec();
        self.remove(&field);
        Some(field)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Pair<'_>> {
        self.table.iter().map(pair)
    }

    pub(super) fn scan(&self, cursor: u64, mut each: impl FnMut(Pair<'_>)) -> u64 {
        self.table.scan(cursor, |entry| each(pair(entry)))
    }

    pub(super) fn sample(&self, dice: impl FnMut() -> u64) -> Option<Pair<'_>> {
        self.table.sample(dice).map(pair)
    }
}

fn move_deadline(index: &mut ExpiryIndex, hash: u64, old: Option<u64>, new: Option<u64>) {
    if old == new {
        return;
    }
    if let Some(at) = old {
        index.remove(at, hash);
    }
    if let Some(at) = new {
        index.insert(at, hash);
    }
}
