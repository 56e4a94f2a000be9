//! Hashes: fields, their values, and when fields end.
//!
//! ```text
//! small:           one listpack   field value  field value  …
//! small with ends: one listpack   field value end  field value end  …   first due first, 0 for no end, those last
//! big:             a table of entries, and an index of what ends
//! ```
//!
//! The small forms are Redis' `listpack` and `listpackex`, to the byte. A hash becomes big when it has too many fields or one of them is
//! too long, and stays big. Nothing here knows what time it is: a field that has ended is there until [`Hash::pop_due`] takes it.
//!
//! Invariants:
//! * A field is there once.
//! * [`Hash::first_deadline`] is the earliest end of all fields, at no cost.

mod big;
mod small;

use big::Big;
use small::Small;

use crate::collections::listpack::Listpack;
use crate::entry::string_value;
use crate::relocate::{Mover, Progress};
use crate::shard::Seed;
use crate::value::{Collection, SmallMax, Value, View, collection};

/// A hash.
#[derive(Clone, Debug, Default)]
pub struct Hash(Form);

#[derive(Clone, Debug)]
enum Form {
    Small(Small),
    Big(Box<Big>),
}

const _: () = assert!(size_of::<Hash>() == 16);

impl Default for Form {
    fn default() -> Self {
        Self::Small(Small::new())
    }
}

/// How hashes are kept.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How small a small one is.
    pub max: SmallMax,
    /// What fields of a big one are hashed with.
    pub seed: Seed,
}

impl Rules {
    const fn is_long(&self, word: &[u8]) -> bool {
        word.len() > self.max.bytes
    }
}

/// Redis keeps no listpack above this, in bytes.
const SMALL_BYTES_MAX: usize = 1 << 30;

/// A field, its value, and when it ends, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// Its name.
    pub field: View<'a>,
    /// Its value.
    pub value: View<'a>,
    /// Its end, if it has one.
    pub expiry: Option<u64>,
}

impl Pair<'_> {
    /// Where the name of a big hash's field lies: different fields, different places.
    pub fn field_address(&self) -> usize {
        match self.field {
            View::Short(bytes) => bytes.as_ptr().addr(),
            _ => 0,
        }
    }
}

/// What a view becomes when it is stored elsewhere.
fn value_of(view: View<'_>) -> Value<'_> {
    match view {
        View::Short(bytes) => string_value(bytes),
        View::Int(number) => Value::Int(number),
        View::Chunks(chunks) => Value::Chunks(chunks.clone()),
        View::Object(_) => unreachable!("a hash holds strings"),
    }
}

impl Hash {
    /// A hash of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of fields, those included that have ended and are still there.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Small(small) => small.len(),
            Form::Big(big) => big.len(),
        }
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is a listpack.
    pub const fn is_small(&self) -> bool {
        matches!(self.0, Form::Small(_))
    }

    /// The fields and values of a small hash whose fields have never ended, as files have them.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match &self.0 {
            Form::Small(small) if !small.has_ends() => Some(small.list()),
            _ => None,
        }
    }

    /// The value of a field. O(1), O(n) in a small hash.
    #[inline]
    pub fn get(&self, field: &[u8]) -> Option<View<'_>> {
        match &self.0 {
            Form::Small(small) => small.get(field),
            Form::Big(big) => big.get(field),
        }
    }

    /// Brings towards the cache where a field is looked for; see [`crate::ObjectRef::prefetch_place`].
    #[inline]
    pub fn prefetch_place(&self, field: &[u8]) -> Option<u64> {
        match &self.0 {
            Form::Small(small) => {
                small.prefetch();
                None
            }
            Form::Big(big) => Some(big.prefetch_place(field)),
        }
    }

    /// Brings the field of a hash towards the cache.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        if let Form::Big(big) = &self.0 {
            big.prefetch(hash);
        }
    }

    /// When a field ends: `None` if there is no such field, `Some(None)` if it does not end.
    pub fn expiry(&self, field: &[u8]) -> Option<Option<u64>> {
        match &self.0 {
            Form::Small(small) => small.pair(field),
            Form::Big(big) => big.pair(field),
        }
        .map(|pair| pair.expiry)
    }

    /// Looks at `count` fields and values that are about to be set: if they do not fit a small hash, it becomes big at once.
    #[inline]
    pub fn prepare<'a>(
        &mut self,
        count: usize,
        pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        rules: &Rules,
    ) {
        if !self.is_small() {
            return;
        }
        let (mut is_long, mut bytes) = (false, 0);
        for (field, value) in pairs {
            is_long |= rules.is_long(field) || rules.is_long(value);
            bytes += field.len() + value.len();
        }
        let is_large = self.heap_bytes().saturating_add(bytes) > SMALL_BYTES_MAX;
        if count > rules.max.entries || is_long || is_large {
            self.grow_big(rules.seed);
        }
    }

    /// Sets a field, which keeps its end or loses it. Says whether the field is new. O(1), O(n) in a small hash.
    #[inline]
    pub fn set(&mut self, field: &[u8], value: &[u8], keeps_expiry: bool, rules: &Rules) -> bool {
        if self.is_small() && (rules.is_long(field) || rules.is_long(value)) {
            self.grow_big(rules.seed);
        }
        match &mut self.0 {
            Form::Big(big) => big.set(field, value, keeps_expiry),
            Form::Small(small) => {
                let is_new = small.set(field, value, keeps_expiry);
                if is_new && small.len() > rules.max.entries {
                    self.grow_big(rules.seed);
                }
                is_new
            }
        }
    }

    /// Makes a small hash big.
    #[cold]
    fn grow_big(&mut self, seed: Seed) {
        let Form::Small(small) = &self.0 else { return };
        let mut big = Big::new(seed);
        let mut digits = [0; crate::number::DIGITS_MAX];
        for pair in small.iter() {
            let field = match pair.field {
                View::Int(number) => crate::number::write_i64(number, &mut digits),
                View::Short(bytes) => bytes,
                _ => unreachable!("a listpack holds bytes and numbers"),
            };
            big.insert(field, value_of(pair.value), pair.expiry);
        }
        self.0 = Form::Big(Box::new(big));
    }

    /// Changes when a field ends. Says whether there is such a field. O(log n), O(n) in a small hash.
    pub fn set_expiry(&mut self, field: &[u8], expiry: Option<u64>) -> bool {
        match &mut self.0 {
            Form::Small(small) => small.set_expiry(field, expiry),
            Form::Big(big) => big.set_expiry(field, expiry),
        }
    }

    /// Removes a field. Says whether there was one. O(1), O(n) in a small hash.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        match &mut self.0 {
            Form::Small(small) => small.remove(field),
            Form::Big(big) => big.remove(field),
        }
    }

    /// The earliest end of a field, in milliseconds since 1970.
    #[inline]
    pub fn first_deadline(&self) -> Option<u64> {
        match &self.0 {
            Form::Small(small) => small.first_deadline(),
            Form::Big(big) => big.first_deadline(),
        }
    }

    /// Removes a field that has ended at `now`, the first due first, and gives its name.
    pub fn pop_due(&mut self, now: u64) -> Option<Vec<u8>> {
        match &mut self.0 {
            Form::Small(small) => {
                small.first_deadline().filter(|at| *at <= now)?;
                small.pop_first()
            }
            Form::Big(big) => big.pop_due(now),
        }
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = Pair<'_>> {
        let (small, big) = match &self.0 {
            Form::Small(small) => (Some(small.iter()), None),
            Form::Big(big) => (None, Some(big.iter())),
        };
        small.into_iter().flatten().chain(big.into_iter().flatten())
    }

    /// Visits some fields and answers the cursor to go on with, zero at the end. A small hash is visited at once.
    pub fn scan(&self, cursor: u64, mut each: impl FnMut(Pair<'_>)) -> u64 {
        match &self.0 {
            Form::Small(small) => {
                small.iter().for_each(&mut each);
                0
            }
            Form::Big(big) => big.scan(cursor, each),
        }
    }

    /// Some field, each with about the same chance. `dice` gives random numbers.
    pub fn sample(&self, mut dice: impl FnMut() -> u64) -> Option<Pair<'_>> {
        match &self.0 {
            Form::Small(small) => {
                let below =
                    |number: u64, n: usize| ((u128::from(number) * n as u128) >> 64) as usize;
                small.nth(below(dice(), small.len()))
            }
            Form::Big(big) => big.sample(dice),
        }
    }
}

impl Collection for Hash {
    collection!(Hash);

    #[inline]
    fn len(&self) -> usize {
        Self::len(self)
    }

    fn encoding(&self) -> &'static str {
        match &self.0 {
            Form::Small(small) if small.has_ends() => "listpackex",
            Form::Small(_) => "listpack",
            Form::Big(_) => "hashtable",
        }
    }

    #[inline]
    fn heap_bytes(&self) -> usize {
        match &self.0 {
            Form::Small(small) => small.heap_bytes(),
            Form::Big(big) => big.heap_bytes(),
        }
    }

    #[inline]
    fn first_deadline(&self) -> Option<u64> {
        Self::first_deadline(self)
    }

    fn free_cost(&self) -> usize {
        match &self.0 {
            Form::Small(_) => 1,
            Form::Big(big) => big.len(),
        }
    }

    fn relocate(&mut self, mover: &mut Mover, from: Progress) -> Option<Progress> {
        match &mut self.0 {
            Form::Small(small) => {
                small.relocate(mover);
                None
            }
            Form::Big(big) => Big::relocate(big, mover, from),
        }
    }

    fn buckets(&self) -> Option<usize> {
        match &self.0 {
            Form::Small(_) => None,
            Form::Big(big) => Some(big.buckets()),
        }
    }
}

#[cfg(test)]
mod tests;
