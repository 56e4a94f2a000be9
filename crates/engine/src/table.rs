//! The hash table: entries by the hash of their key.
//!
//! ```text
//! bucket, one cache line:  | 7 tags | flags |  7 slots of 8 bytes  |
//! ```
//!
//! A tag is eight bits of the hash, never zero; zero means that the slot is empty. A lookup compares seven tags with one word and
//! follows, as a rule, one pointer. A bucket that is full spills into a side table, which is rare: at the load where the table grows
//! (5.25 of 7) one bucket in eight has spilled.
//!
//! The table grows and shrinks by doubling and halving, one bucket at a time: while it does, there are two arrays, and a hash lives
//! in the old one until its old bucket has been moved. So no operation ever pauses to move everything. Clearing and freeing an array of
//! megabytes would be a pause too: that is done [`aside`].
//!
//! Cursors count in reversed binary (Pieter Noordhuis' way, as Redis' dict does), so that a scan visits every entry that is there from
//! its beginning to its end at least once, whatever the table does meanwhile.
//!
//! Invariants:
//! * Array lengths are powers of two, or zero.
//! * An entry lies in exactly one bucket: `home(hash)`.
//! * `flags & SPILLED` of a bucket says whether the side map has more of it.

use std::fmt;

use bytemuck::Zeroable;
use hashbrown::HashTable;

use crate::aside::{self, Coming};
use crate::entry::Entry;
use crate::prefetch::prefetch;
use crate::relocate::Mover;
use crate::same;

const SLOTS: usize = 7;
/// Where in a hash the tag begins. Below are the bits that lead to a bucket.
pub(crate) const TAG_AT: u32 = 46;
const SPILLED: u64 = 1 << 56;
const TAGS: u64 = 0x00ff_ffff_ffff_ffff;
/// One for each tag.
const ONES: u64 = 0x0001_0101_0101_0101;

/// Grow above 5.25 entries a bucket, shrink below 0.75.
const GROW_QUARTERS: usize = 21;
const SHRINK_QUARTERS: usize = 3;

/// Arrays of so few buckets do not shrink, but go with the last entry.
const SMALL: usize = 4;

/// Arrays from here on are cleared and freed aside.
const ASIDE_BYTES: usize = 4 << 20;

#[derive(Zeroable)]
#[repr(C, align(64))]
struct Bucket {
    /// Seven tags in the low bytes, flags in the highest.
    tags: u64,
    slots: [Option<Entry>; SLOTS],
}

// One cache line: seven slots, seven tags, one byte of flags.
const _: () = assert!(size_of::<Bucket>() == 64);

/// The tag of a hash.
#[inline]
pub(crate) const fn tag_of(hash: u64) -> u64 {
    let tag = (hash >> TAG_AT) & 0xff;
    if tag == 0 { 1 } else { tag }
}

/// A hash that leads to a bucket and has a tag.
pub(crate) const fn place_of(index: usize, tag: u64) -> u64 {
    index as u64 | tag << TAG_AT
}

/// The slots whose tags have their high bit set here.
#[inline]
fn slots_of(mut hits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let slot = (hits != 0).then(|| hits.trailing_zeros() as usize / 8);
        hits &= hits.wrapping_sub(1);
        slot
    })
}

impl Bucket {
    /// A bit in the high bit of each byte whose tag equals.
    #[inline]
    const fn matches(&self, tag: u64) -> u64 {
        let x = (self.tags & TAGS) ^ (tag * ONES);
        let low = (x & (ONES * 0x7f)) + ONES * 0x7f;
        !(low | x) & (ONES << 7)
    }

    /// The slot of an entry with this tag that `is_it`.
    #[inline]
    fn find(&self, tag: u64, is_it: impl Fn(&Entry) -> bool) -> Option<usize> {
        slots_of(self.matches(tag)).find(|slot| self.slots[*slot].as_ref().is_some_and(&is_it))
    }

    /// The slots that are not empty: it takes a branch for each of them, but none for the empty ones between.
    #[inline]
    fn occupied(&self) -> impl Iterator<Item = usize> + use<> {
        slots_of(!self.matches(0) & (ONES << 7))
    }

    fn is_spilled(&self) -> bool {
        self.tags & SPILLED != 0
    }

    fn tag_at(&self, slot: usize) -> u64 {
        (self.tags >> (slot * 8)) & 0xff
    }

    fn set_tag(&mut self, slot: usize, tag: u64) {
        self.tags = self.tags & !(0xff << (slot * 8)) | (tag << (slot * 8));
    }

    fn free_slot(&self) -> Option<usize> {
        slots_of(self.matches(0)).next()
    }

    fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().flatten()
    }
}

/// One array of buckets with what has spilled from them.
#[repr(C)]
struct Array {
    buckets: Box<[Bucket]>,
    spill: HashTable<Spilled>,
    /// On the heap: each command that adds or removes an entry asks for it twice.
    heap_bytes: usize,
}

/// An entry that its bucket has no room for, and what leads to that bucket and would be its tag there: so that only who looks like the one
/// that is asked for is looked at.
struct Spilled {
    place: u64,
    entry: Entry,
}

impl Spilled {
    const fn bucket(&self) -> usize {
        (self.place & ((1 << TAG_AT) - 1)) as usize
    }

    const fn is_at(&self, bucket: usize, hash: u64) -> bool {
        self.place == place_of(bucket, tag_of(hash))
    }
}

/// The hash of a bucket's number in the side table, where it is all there is to tell entries apart before their keys are compared.
const fn spill_hash(bucket: usize) -> u64 {
    (bucket as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Array {
    /// Where there are many buckets there is room for what will spill from them, which could not be moved in one step later: a fifth of
    /// an entry a bucket when the table is full.
    fn new(buckets: usize) -> Self {
        let spill = match buckets * size_of::<Bucket>() {
            0..ASIDE_BYTES => HashTable::new(),
            ASIDE_BYTES.. => HashTable::with_capacity(buckets / 4),
        };
        let mut array = Self { buckets: bytemuck::zeroed_slice_box(buckets), spill, heap_bytes: 0 };
        array.weigh();
        array
    }

    /// Finds out what it takes, after whatever may have changed that.
    fn weigh(&mut self) {
        self.heap_bytes = self.buckets.len() * size_of::<Bucket>() + self.spill.allocation_size();
    }

    #[inline]
    fn index(&self, hash: u64) -> usize {
        hash as usize & (self.buckets.len().wrapping_sub(1))
    }

    /// The entry in a bucket of a hash that `is_it`.
    #[inline]
    fn get(&self, index: usize, hash: u64, is_it: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        let bucket = &self.buckets[index];
        match bucket.find(tag_of(hash), &is_it) {
            Some(slot) => bucket.slots[slot].as_ref(),
            None if bucket.is_spilled() => self.get_spilled(index, hash, is_it),
            None => None,
        }
    }

    #[inline]
    fn get_mut(
        &mut self,
        index: usize,
        hash: u64,
        is_it: impl Fn(&Entry) -> bool,
    ) -> Option<&mut Entry> {
        let bucket = &self.buckets[index];
        match bucket.find(tag_of(hash), &is_it) {
            Some(slot) => self.buckets[index].slots[slot].as_mut(),
            None if bucket.is_spilled() => self.get_spilled_mut(index, hash, is_it),
            None => None,
        }
    }

    #[cold]
    fn get_spilled(
        &self,
        index: usize,
        hash: u64,
        is_it: impl Fn(&Entry) -> bool,
    ) -> Option<&Entry> {
        let is_it = |it: &Spilled| it.is_at(index, hash) && is_it(&it.entry);
        self.spill.find(spill_hash(index), is_it).map(|it| &it.entry)
    }

    #[cold]
    fn get_spilled_mut(
        &mut self,
        index: usize,
        hash: u64,
        is_it: impl Fn(&Entry) -> bool,
    ) -> Option<&mut Entry> {
        let is_it = |it: &Spilled| it.is_at(index, hash) && is_it(&it.entry);
        self.spill.find_mut(spill_hash(index), is_it).map(|it| &mut it.entry)
    }

    fn put(&mut self, hash: u64, entry: Entry) -> &mut Entry {
        let index = self.index(hash);
        let Some(slot) = self.buckets[index].free_slot() else {
            return self.put_spilled(place_of(index, tag_of(hash)), entry);
        };
        let bucket = &mut self.buckets[index];
        bucket.set_tag(slot, tag_of(hash));
        bucket.slots[slot].insert(entry)
    }

    #[cold]
    fn put_spilled(&mut self, place: u64, entry: Entry) -> &mut Entry {
        let spilled = Spilled { place, entry };
        let bucket = spilled.bucket();
        self.buckets[bucket].tags |= SPILLED;
        let rehash = |spilled: &Spilled| spill_hash(spilled.bucket());
        if self.spill.len() == self.spill.capacity() {
            self.spill.reserve(1, rehash);
            self.weigh();
        }
        &mut self.spill.insert_unique(spill_hash(bucket), spilled, rehash).into_mut().entry
    }

    /// Takes out the entry in a bucket of a hash that `is_it`.
    fn take(&mut self, index: usize, hash: u64, is_it: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let bucket = &mut self.buckets[index];
        let Some(slot) = bucket.find(tag_of(hash), &is_it) else {
            let is_it = |it: &Spilled| it.is_at(index, hash) && is_it(&it.entry);
            return Some(self.take_spilled(index, is_it)?.entry);
        };
        bucket.set_tag(slot, 0);
        let entry = bucket.slots[slot].take();
        if bucket.is_spilled() {
            self.refill(index);
        }
        entry
    }

    /// Takes out an entry that has spilled from a bucket.
    fn take_spilled(&mut self, index: usize, is_it: impl Fn(&Spilled) -> bool) -> Option<Spilled> {
        if !self.buckets[index].is_spilled() {
            return None;
        }
        let spilled = self.spill.find_entry(spill_hash(index), is_it).ok()?.remove().0;
        if self.spilled_from(index).next().is_none() {
            self.buckets[index].tags &= !SPILLED;
        }
        if self.spill.is_empty() && self.buckets.len() * size_of::<Bucket>() < ASIDE_BYTES {
            self.spill = HashTable::new();
            self.weigh();
        }
        Some(spilled)
    }

    /// Takes out some entry that has spilled from a bucket.
    fn take_first_spilled(&mut self, index: usize) -> Option<Spilled> {
        self.take_spilled(index, |it| it.bucket() == index)
    }

    fn spilled_from(&self, index: usize) -> impl Iterator<Item = &Spilled> {
        let of_bucket = self.spill.iter_hash(spill_hash(index));
        of_bucket.filter(move |spilled| spilled.bucket() == index)
    }

    /// A slot came free in a bucket that has spilled: one of the spilled comes home.
    #[cold]
    fn refill(&mut self, index: usize) {
        if let Some(spilled) = self.take_first_spilled(index) {
            self.put(spilled.place, spilled.entry);
        }
    }

    /// Every entry of one bucket.
    fn bucket(&self, index: usize) -> impl Iterator<Item = &Entry> {
        let bucket = &self.buckets[index];
        let spilled = bucket.is_spilled().then(|| self.spilled_from(index));
        bucket.iter().chain(spilled.into_iter().flatten().map(|spilled| &spilled.entry))
    }

    /// As [`Array::bucket`], to be changed, with a hash that leads to each; keys stay.
    fn each_in_bucket(&mut self, index: usize, each: &mut impl FnMut(u64, &mut Entry)) {
        let bucket = &mut self.buckets[index];
        let (is_spilled, tags) = (bucket.is_spilled(), bucket.tags);
        for slot in bucket.occupied() {
            if let Some(entry) = &mut bucket.slots[slot] {
                each(place_of(index, (tags >> (slot * 8)) & 0xff), entry);
            }
        }
        if is_spilled {
            let of_hash = self.spill.iter_hash_mut(spill_hash(index));
            let of_bucket = of_hash.filter(|it| it.bucket() == index);
            of_bucket.for_each(|it| each(it.place, &mut it.entry));
        }
    }

    fn clear_bucket(&mut self, index: usize, mut each: impl FnMut(Entry)) {
        while let Some(spilled) = self.take_first_spilled(index) {
            each(spilled.entry);
        }
        let bucket = &mut self.buckets[index];
        bucket.tags = 0;
        bucket.slots.iter_mut().filter_map(Option::take).for_each(each);
    }

    /// Moves the buckets, if they are few, and what has spilled.
    fn relocate(&mut self, mover: &mut Mover) {
        let bytes = size_of_val(&*self.buckets);
        if mover.wants(self.buckets.as_ptr().cast(), bytes) {
            let mut next = bytemuck::zeroed_slice_box(self.buckets.len());
            next.swap_with_slice(&mut self.buckets);
            self.buckets = next;
        }
        let Some(spilled) = self.spill.iter().next() else { return };
        if mover.wants(std::ptr::from_ref(spilled).cast(), self.spill.allocation_size()) {
            let mut next = HashTable::with_capacity(self.spill.capacity());
            if next.allocation_size() != self.spill.allocation_size() {
                // Where much has gone there would be another size, and the counts know of this one.
                return;
            }
            for spilled in self.spill.drain() {
                next.insert_unique(spill_hash(spilled.bucket()), spilled, |it: &Spilled| {
                    spill_hash(it.bucket())
                });
            }
            self.spill = next;
        }
    }

    #[inline]
    fn heap_bytes(&self) -> usize {
        debug_assert_eq!(
            self.heap_bytes,
            self.buckets.len() * size_of::<Bucket>() + self.spill.allocation_size()
        );
        self.heap_bytes
    }
}

/// An array on its way out: buckets below `moved` are empty.
struct Leaving {
    array: Array,
    moved: usize,
}

/// Entries by the hash of their key. The hash is an argument: the table does not know how it is made, `hash_of` is only for moving. What
/// every look needs stands first.
#[repr(C)]
pub struct Table {
    len: usize,
    leaving: Option<Box<Leaving>>,
    array: Array,
    /// The next array, while it is being made.
    coming: Option<Box<Coming<Array>>>,
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("len", &self.len)
            .field("buckets", &self.buckets())
            .finish_non_exhaustive()
    }
}

impl Table {
    /// An empty table, without any allocation.
    pub fn new() -> Self {
        Self { array: Array::new(0), leaving: None, coming: None, len: 0 }
    }

    /// Number of entries.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of buckets, those of the array on its way out not counted.
    pub fn buckets(&self) -> usize {
        self.array.buckets.len()
    }

    /// Whether two arrays stand side by side.
    pub const fn is_moving(&self) -> bool {
        self.leaving.is_some()
    }

    /// Bytes of the arrays; the entries know their own.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        self.array.heap_bytes() + self.leaving.as_ref().map_or(0, |l| l.array.heap_bytes())
    }

    /// Bytes of the array on its way out.
    pub fn moving_bytes(&self) -> usize {
        self.leaving.as_ref().map_or(0, |leaving| leaving.array.heap_bytes())
    }

    /// The one array that holds `hash`, and the bucket in it.
    #[inline]
    fn home(&self, hash: u64) -> (&Array, usize) {
        if let Some(leaving) = &self.leaving {
            let index = leaving.array.index(hash);
            if index >= leaving.moved {
                return (&leaving.array, index);
            }
        }
        (&self.array, self.array.index(hash))
    }

    #[inline]
    fn home_mut(&mut self, hash: u64) -> (&mut Array, usize) {
        if let Some(leaving) = &mut self.leaving {
            let index = leaving.array.index(hash);
            if index >= leaving.moved {
                return (&mut leaving.array, index);
            }
        }
        let index = self.array.index(hash);
        (&mut self.array, index)
    }

    /// The entry of a key.
    #[inline]
    pub fn get(&self, hash: u64, key: &[u8]) -> Option<&Entry> {
        self.by_hash(hash, |entry| same(entry.key(), key))
    }

    /// The entry of a key, to be changed. The key itself must stay.
    #[inline]
    pub fn get_mut(&mut self, hash: u64, key: &[u8]) -> Option<&mut Entry> {
        self.by_hash_mut(hash, |entry| same(entry.key(), key))
    }

    /// The entry of a hash that `is_it`, for those who know no key: of those that a lookup of the hash would look at.
    #[inline]
    pub fn by_hash(&self, hash: u64, is_it: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        if self.len == 0 {
            return None;
        }
        let (array, index) = self.home(hash);
        array.get(index, hash, is_it)
    }

    /// As [`Table::by_hash`], to be changed; the key stays.
    #[inline]
    pub fn by_hash_mut(&mut self, hash: u64, is_it: impl Fn(&Entry) -> bool) -> Option<&mut Entry> {
        if self.len == 0 {
            return None;
        }
        let (array, index) = self.home_mut(hash);
        array.get_mut(index, hash, is_it)
    }

    /// Makes room for `len` entries, if nothing is in it yet: as many buckets as there would be after them, and nothing is moved on the
    /// way there. The first removal may take it back.
    pub fn expect(&mut self, len: usize) {
        let buckets = (len * 4).div_ceil(GROW_QUARTERS).next_power_of_two();
        if self.len == 0 && self.leaving.is_none() && self.array.buckets.len() < buckets {
            self.array = Array::new(buckets);
        }
    }

    /// Gives back, at once, what [`Table::expect`] has made too much of.
    pub fn fit(&mut self, hash_of: &impl Fn(&[u8]) -> u64) {
        if self.len == 0 && self.leaving.is_none() {
            self.array = Array::new(0);
        }
        while self.leaving.is_none() && self.is_sparse() {
            self.shrink_if_due(hash_of);
            while self.leaving.is_some() {
                self.step(hash_of);
            }
        }
    }

    /// Adds an entry whose key is not there yet.
    pub fn insert(
        &mut self,
        hash: u64,
        entry: Entry,
        hash_of: &impl Fn(&[u8]) -> u64,
    ) -> &mut Entry {
        self.step(hash_of);
        self.len += 1;
        self.grow_if_due(hash_of);
        self.home_mut(hash).0.put(hash, entry)
    }

    /// Takes an entry out.
    pub fn remove(
        &mut self,
        hash: u64,
        key: &[u8],
        hash_of: &impl Fn(&[u8]) -> u64,
    ) -> Option<Entry> {
        self.remove_by_hash(hash, |entry| same(entry.key(), key), hash_of)
    }

    /// As [`Table::remove`], for those who know no key; see [`Table::by_hash`].
    pub fn remove_by_hash(
        &mut self,
        hash: u64,
        is_it: impl Fn(&Entry) -> bool,
        hash_of: &impl Fn(&[u8]) -> u64,
    ) -> Option<Entry> {
        if self.len == 0 {
            return None;
        }
        let (array, index) = self.home_mut(hash);
        let entry = array.take(index, hash, is_it)?;
        self.shrink_by_one(hash_of);
        Some(entry)
    }

    /// An entry was taken out.
    fn shrink_by_one(&mut self, hash_of: &impl Fn(&[u8]) -> u64) {
        self.len -= 1;
        self.step(hash_of);
        self.shrink_if_due(hash_of);
        if self.len == 0 && self.leaving.is_none() && self.array.buckets.len() <= SMALL {
            self.array = Array::new(0);
        }
    }

    /// Begins to grow when the load says so.
    fn grow_if_due(&mut self, hash_of: &impl Fn(&[u8]) -> u64) {
        let buckets = self.array.buckets.len();
        if self.len * 4 > buckets * GROW_QUARTERS {
            self.resize((buckets * 2).max(1), hash_of);
        }
    }

    /// Begins to shrink when the load says so. An insertion does not: room may have been made for more of them.
    fn shrink_if_due(&mut self, hash_of: &impl Fn(&[u8]) -> u64) {
        if self.is_sparse() {
            self.resize(self.array.buckets.len() / 2, hash_of);
        }
    }

    fn is_sparse(&self) -> bool {
        let buckets = self.array.buckets.len();
        self.len * 4 < buckets * SHRINK_QUARTERS && buckets > SMALL
    }

    /// A resize that is still going on is let finish first, except that a table which fills up meanwhile is helped along.
    fn resize(&mut self, wanted: usize, hash_of: &impl Fn(&[u8]) -> u64) {
        if self.leaving.is_some() {
            return self.step(hash_of);
        }
        let Some(new) = self.next_array(wanted) else { return };
        let old = std::mem::replace(&mut self.array, new);
        if !old.buckets.is_empty() {
            self.leaving = Some(Box::new(Leaving { array: old, moved: 0 }));
        }
    }

    /// An empty array of `wanted` buckets; `None` while it is still being made.
    fn next_array(&mut self, wanted: usize) -> Option<Array> {
        if wanted * size_of::<Bucket>() < ASIDE_BYTES {
            return Some(Array::new(wanted));
        }
        let coming =
            self.coming.get_or_insert_with(|| Box::new(aside::make(move || Array::new(wanted))));
        // A table that fills up meanwhile spills; twice as full, it waits.
        if !coming.is_there() && self.len < self.array.buckets.len() * SLOTS * 3 / 2 {
            return None;
        }
        let made = self.coming.take()?.wait();
        Some(made).filter(|array| array.buckets.len() == wanted)
    }

    /// Goes on moving an array that is on its way out: one bucket when growing, four when shrinking. Three would do: between one shrink and
    /// the next three eighths as many entries leave as there are buckets.
    #[inline]
    pub fn step(&mut self, hash_of: &impl Fn(&[u8]) -> u64) {
        if let Some(leaving) = &self.leaving {
            let buckets =
                if leaving.array.buckets.len() > self.array.buckets.len() { 4 } else { 1 };
            (0..buckets).for_each(|_| self.move_bucket(hash_of));
        }
    }

    fn move_bucket(&mut self, hash_of: &impl Fn(&[u8]) -> u64) {
        let Some(leaving) = &mut self.leaving else { return };
        let array = &mut self.array;
        let index = leaving.moved;
        leaving.moved += 1;
        // All keys are hashed: they are asked for together.
        leaving.array.buckets[index].iter().for_each(|entry| prefetch(entry.address()));
        leaving.array.clear_bucket(index, |entry| {
            array.put(hash_of(entry.key()), entry);
        });
        if leaving.moved == leaving.array.buckets.len() {
            let gone = self.leaving.take();
            if gone.as_ref().is_some_and(|gone| gone.array.heap_bytes() >= ASIDE_BYTES) {
                aside::free(gone);
            }
        }
    }

    /// Visits the buckets that `cursor` stands for and answers the next cursor; zero means that the round is complete.
    pub fn scan(&self, cursor: u64, mut each: impl FnMut(&Entry)) -> u64 {
        if self.buckets() == 0 {
            return 0;
        }
        let Some(leaving) = &self.leaving else {
            self.array.bucket(self.array.index(cursor)).for_each(each);
            return next_cursor(cursor, self.array.buckets.len());
        };
        let (small, large) = if leaving.array.buckets.len() < self.array.buckets.len() {
            (&leaving.array, &self.array)
        } else {
            (&self.array, &leaving.array)
        };
        small.bucket(small.index(cursor)).for_each(&mut each);
        let mut cursor = cursor;
        loop {
            large.bucket(large.index(cursor)).for_each(&mut each);
            cursor = next_cursor(cursor, large.buckets.len());
            let between = (large.buckets.len() - 1) ^ (small.buckets.len() - 1);
            if cursor & between as u64 == 0 {
                return cursor;
            }
        }
    }

    /// As [`Table::scan`], to change entries; keys stay.
    pub fn scan_mut(&mut self, cursor: u64, mut each: impl FnMut(&mut Entry)) -> u64 {
        self.scan_places(cursor, |_, entry| each(entry))
    }

    /// As [`Table::scan_mut`], with a hash that leads to each entry; see [`Table::neighbours`].
    pub fn scan_places(&mut self, cursor: u64, mut each: impl FnMut(u64, &mut Entry)) -> u64 {
        if self.buckets() == 0 {
            return 0;
        }
        let Some(leaving) = &mut self.leaving else {
            let index = self.array.index(cursor);
            self.array.each_in_bucket(index, &mut each);
            return next_cursor(cursor, self.array.buckets.len());
        };
        let (small, large) = if leaving.array.buckets.len() < self.array.buckets.len() {
            (&mut leaving.array, &mut self.array)
        } else {
            (&mut self.array, &mut leaving.array)
        };
        small.each_in_bucket(small.index(cursor), &mut each);
        let between = ((large.buckets.len() - 1) ^ (small.buckets.len() - 1)) as u64;
        let mut cursor = cursor;
        loop {
            large.each_in_bucket(large.index(cursor), &mut each);
            cursor = next_cursor(cursor, large.buckets.len());
            if cursor & between == 0 {
                return cursor;
            }
        }
    }

    /// Moves the arrays.
    pub(crate) fn relocate_arrays(&mut self, mover: &mut Mover) {
        self.array.relocate(mover);
        if let Some(leaving) = &mut self.leaving {
            leaving.array.relocate(mover);
        }
    }

    /// Moves arrays and entries, for tables whose entries are strings: from the cursor `from` on until spent, as a scan. Answers the next
    /// cursor, zero if that was all.
    pub(crate) fn relocate(&mut self, mover: &mut Mover, from: u64) -> u64 {
        if from == 0 {
            self.relocate_arrays(mover);
        }
        let mut cursor = from;
        loop {
            cursor = self.scan_mut(cursor, |entry| {
                let rest = entry.relocate(mover);
                debug_assert!(rest.is_none(), "strings are moved in one go");
            });
            if cursor == 0 || mover.is_spent() {
                return cursor;
            }
        }
    }

    /// Some entry, each with about the same chance. `dice` gives random numbers.
    pub fn sample(&self, mut dice: impl FnMut() -> u64) -> Option<&Entry> {
        if self.len == 0 {
            return None;
        }
        loop {
            let (array, index) = self.home(dice());
            let count = array.bucket(index).count();
            // A bucket is kept in proportion to what it holds, so that entries, not buckets, are equally likely.
            let nth = (dice() % (SLOTS as u64 + 1)) as usize;
            if count > SLOTS {
                return array.bucket(index).nth((dice() % count as u64) as usize);
            }
            if nth < count {
                return array.bucket(index).nth(nth);
            }
        }
    }

    /// About `wanted` entries that lie side by side, from where this hash would be on: for who wants several, at the price of a line of
    /// the cache for five of them. With hashes at random no entry comes much more often than another, since buckets come whole: those behind
    /// nearly empty buckets about three times as often as the mean. No bucket comes twice. None where the table is nearly empty.
    ///
    /// Each comes with a hash by which [`Table::by_hash`] finds it for as long as nothing is moved: that of its key is not known without
    /// looking at the entry.
    #[inline]
    pub fn neighbours<'t>(
        &'t self,
        hash: u64,
        wanted: usize,
        mut each: impl FnMut(u64, &'t Entry),
    ) {
        let mut found = 0;
        let leaving = self.leaving.as_ref().map_or(0, |leaving| leaving.array.buckets.len());
        for next in 0..wanted.min(self.buckets().max(leaving)) as u64 {
            if found >= wanted || self.len == 0 {
                break;
            }
            let (array, index) = self.home(hash.wrapping_add(next));
            let bucket = &array.buckets[index];
            for slot in bucket.occupied() {
                if let Some(entry) = &bucket.slots[slot] {
                    found += 1;
                    each(place_of(index, bucket.tag_at(slot)), entry);
                }
            }
            if bucket.is_spilled() {
                for spilled in array.spilled_from(index) {
                    found += 1;
                    each(spilled.place, &spilled.entry);
                }
            }
        }
    }

    /// Every entry, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        let arrays = std::iter::once(&self.array).chain(self.leaving.as_deref().map(|l| &l.array));
        arrays.flat_map(|array| (0..array.buckets.len()).flat_map(|index| array.bucket(index)))
    }

    /// Brings towards the cache what a walk with [`Table::scan_mut`] meets behind `cursor`: of the bucket after next its entries' heads, of
    /// the next one the entries. Where a table is changing its size some of that is in vain.
    pub(crate) fn prefetch_behind(&self, cursor: u64) {
        let buckets = &self.array.buckets;
        if buckets.is_empty() {
            return;
        }
        let next = next_cursor(cursor, buckets.len());
        let second = next_cursor(next, buckets.len());
        let third = next_cursor(second, buckets.len());
        let at = |cursor| &buckets[self.array.index(cursor)];
        prefetch(std::ptr::from_ref(at(third)).cast());
        at(second).iter().for_each(|entry| prefetch(entry.address()));
        at(next).iter().for_each(Entry::prefetch_rest);
    }

    /// Where the buckets lie and how many there are, for prefetching only.
    #[inline]
    pub(crate) const fn whereabouts(&self) -> (*const u8, usize) {
        (self.array.buckets.as_ptr().cast(), self.array.buckets.len())
    }

    /// Brings the bucket of a hash towards the cache.
    #[inline]
    pub fn prefetch_bucket(&self, hash: u64) {
        if self.len != 0 {
            let (array, index) = self.home(hash);
            prefetch(std::ptr::from_ref(&array.buckets[index]).cast());
        }
    }

    /// Brings the first two lines of an entry that looks like `hash` towards the cache. Says whether there is one in its bucket.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) -> bool {
        if self.len == 0 {
            return false;
        }
        let (array, index) = self.home(hash);
        let bucket = &array.buckets[index];
        let Some(entry) =
            bucket.find(tag_of(hash), |_| true).and_then(|at| bucket.slots[at].as_ref())
        else {
            return false;
        };
        prefetch(entry.address());
        prefetch(entry.address().wrapping_add(64));
        true
    }
}

/// The successor in reversed binary of a table of `buckets`.
pub(crate) fn next_cursor(cursor: u64, buckets: usize) -> u64 {
    let mask = buckets as u64 - 1;
    (cursor | !mask).reverse_bits().wrapping_add(1).reverse_bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::string_value;
    use hashbrown::{HashMap as Twin, HashSet};
    use proptest::prelude::*;

    fn hash_of(key: &[u8]) -> u64 {
        use std::hash::Hasher;
        let mut hasher = siphasher::sip::SipHasher13::new_with_keys(1, 2);
        hasher.write(key);
        hasher.finish()
    }

    /// All keys in few buckets and with few tags.
    fn poor_hash_of(key: &[u8]) -> u64 {
        hash_of(key) & 0x3
    }

    fn put(table: &mut Table, key: &[u8], value: &[u8], hash_of: &impl Fn(&[u8]) -> u64) {
        let hash = hash_of(key);
        match table.get_mut(hash, key) {
            Some(entry) => drop(entry.replace(string_value(value), None)),
            None => drop(table.insert(hash, Entry::new(key, string_value(value), None), hash_of)),
        }
    }

    fn agrees_with_a_map(ops: &[(u16, bool)], hash_of: &impl Fn(&[u8]) -> u64) {
        let mut table = Table::new();
        let mut twin: Twin<Vec<u8>, ()> = Twin::new();
        for (n, is_put) in ops {
            let key = n.to_string().into_bytes();
            if *is_put {
                put(&mut table, &key, b"v", hash_of);
                twin.insert(key, ());
            } else {
                let removed = table.remove(hash_of(&key), &key, hash_of).is_some();
                assert_eq!(removed, twin.remove(&key).is_some());
            }
            assert_eq!(table.len(), twin.len());
        }
        for key in twin.keys() {
            assert!(table.get(hash_of(key), key).is_some());
        }
        assert_eq!(table.iter().count(), twin.len());
    }

    #[test]
    fn large_arrays_are_made_aside_and_nothing_is_lost() {
        const KEYS: usize = 800_000;
        let mut table = Table::new();
        for n in 0..KEYS {
            put(&mut table, format!("k{n}").as_bytes(), b"v", &hash_of);
        }
        assert!(table.buckets() * size_of::<Bucket>() > ASIDE_BYTES, "{}", table.buckets());
        assert_eq!((table.len(), table.iter().count()), (KEYS, KEYS));
        for n in 0..KEYS {
            let key = format!("k{n}");
            assert!(table.remove(hash_of(key.as_bytes()), key.as_bytes(), &hash_of).is_some());
        }
        assert!(table.is_empty() && table.iter().next().is_none());
    }

    proptest! {
        #[test]
        fn the_table_is_a_map(ops in proptest::collection::vec((0u16..300, prop::bool::weighted(0.6)), 0..1500)) {
            agrees_with_a_map(&ops, &hash_of);
        }

        #[test]
        fn the_table_is_a_map_when_everything_collides(ops in proptest::collection::vec((0u16..60, prop::bool::weighted(0.6)), 0..300)) {
            agrees_with_a_map(&ops, &poor_hash_of);
        }

        #[test]
        fn a_scan_sees_what_stays(stay in 1usize..200, churn in proptest::collection::vec((200u32..3000, any::<bool>()), 0..2000)) {
            let mut table = Table::new();
            for n in 0..stay {
                put(&mut table, n.to_string().as_bytes(), b"v", &hash_of);
            }
            let (mut seen, mut cursor, mut churn) = (HashSet::new(), 0, churn.into_iter());
            loop {
                let before = cursor;
                let mut of_step = 0;
                cursor = table.scan(before, |entry| { seen.insert(entry.key().to_vec()); of_step += 1; });
                let mut changed = 0;
                prop_assert_eq!(table.scan_mut(before, |entry| { entry.set_mark(true); changed += 1; }), cursor);
                prop_assert_eq!(changed, of_step);
                for (n, is_put) in churn.by_ref().take(40) {
                    let key = n.to_string().into_bytes();
                    if is_put { put(&mut table, &key, b"v", &hash_of) } else { drop(table.remove(hash_of(&key), &key, &hash_of)) }
                }
                if cursor == 0 { break }
            }
            for n in 0..stay {
                prop_assert!(seen.contains(n.to_string().as_bytes()), "missed {}", n);
            }
        }
    }

    #[test]
    fn what_is_expected_is_not_moved_and_what_does_not_come_is_given_back() {
        let mut table = Table::new();
        table.expect(1000);
        let buckets = table.buckets();
        for n in 0..1000u32 {
            put(&mut table, &n.to_le_bytes(), b"v", &hash_of);
            assert!(!table.is_moving() && table.buckets() == buckets, "{n}");
        }
        table.expect(100_000);
        table.fit(&hash_of);
        assert_eq!((table.len(), table.buckets()), (1000, buckets), "it was right");
        let mut table = Table::new();
        table.expect(100_000);
        put(&mut table, b"one", b"v", &hash_of);
        assert!(table.buckets() * SLOTS > 100_000);
        table.fit(&hash_of);
        assert!(table.buckets() <= SMALL && table.get(hash_of(b"one"), b"one").is_some());
        let mut table = Table::new();
        table.expect(100_000);
        table.fit(&hash_of);
        assert_eq!(table.heap_bytes(), 0);
    }

    #[test]
    fn growth_moves_one_bucket_at_a_time_and_ends() {
        let mut table = Table::new();
        for n in 0..100_000u32 {
            put(&mut table, &n.to_le_bytes(), b"v", &hash_of);
        }
        assert!(table.buckets() * 21 / 4 >= 100_000 && table.buckets() < 65_536);
        for n in 0..100_000u32 {
            table.remove(hash_of(&n.to_le_bytes()), &n.to_le_bytes(), &hash_of).expect("is there");
        }
        assert!(table.buckets() <= 64, "shrinks again: {}", table.buckets());
    }

    #[test]
    fn samples_are_spread() {
        let mut table = Table::new();
        for n in 0..1000u32 {
            put(&mut table, &n.to_le_bytes(), b"v", &hash_of);
        }
        let (mut seed, mut seen) = (1u64, HashSet::new());
        for _ in 0..20_000 {
            let dice = || {
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                seed >> 11
            };
            seen.insert(table.sample(dice).expect("not empty").key().to_vec());
        }
        assert!(seen.len() > 990, "{}", seen.len());
    }

    #[test]
    fn neighbours_all_come_about_as_often() {
        let mut table = Table::new();
        (0..1000u32).for_each(|n| put(&mut table, &n.to_le_bytes(), b"v", &hash_of));
        let mut seen = vec![0u32; 1000];
        let mut random = crate::random::Random::new(7);
        for _ in 0..40_000 {
            table.neighbours(random.next_u64(), 5, |place, entry| {
                let is_it = |other: &Entry| other.address() == entry.address();
                assert!(table.by_hash(place, is_it).is_some());
                seen[u32::from_le_bytes(entry.key().try_into().expect("four bytes")) as usize] += 1;
            });
        }
        let mean = seen.iter().sum::<u32>() / 1000;
        let (least, most) = (seen.iter().min(), seen.iter().max());
        assert!(
            least > Some(&(mean / 3)) && most < Some(&(mean * 4)),
            "{mean}: {least:?}, {most:?}"
        );
    }

    #[test]
    fn neighbours_of_few_are_all_and_of_none_nobody() {
        let mut table = Table::new();
        table.neighbours(3, 5, |_, _| unreachable!("nobody is there"));
        (0..3u32).for_each(|n| put(&mut table, &n.to_le_bytes(), b"v", &hash_of));
        let mut met = 0;
        (0..64u64).for_each(|hash| table.neighbours(hash, 5, |_, _| met += 1));
        assert!(met >= 64, "{met}");
    }
}
