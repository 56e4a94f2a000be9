//! Ids by the hash of what they stand for.
//!
//! ```text
//! bucket, one cache line:  | 12 ids of 4 bytes | 12 tags | where it goes on |
//! ```
//!
//! A tag is eight bits of the hash, never zero; zero means that the place is free. What a lookup finds by tag is compared by the caller,
//! who alone knows what an id stands for. A bucket that is full goes on in another one beside the array.
//!
//! The array grows by one bucket whenever there are more than [`LOAD`] ids a bucket, and shrinks by one below half of that (Litwin's
//! linear hashing): one bucket is parted in two, or two are joined, so nothing ever pauses to move everything, and an id costs about
//! thirteen bytes at any size.
//!
//! A cursor of a scan goes by the smaller power of two: it stands for a bucket and the one parted from it. Counting in reversed binary
//! makes it survive growth, as in [`crate::table`].
//!
//! Invariants:
//! * An id whose hash is `h` is in bucket `home(h)` or where that goes on.
//! * The used places of a bucket are its first ones; none is free in a bucket that goes on.
//! * All segments but the last have [`SEGMENT`] buckets.

use smallvec::SmallVec;

use crate::prefetch::prefetch;
use crate::relocate::Mover;
use crate::size_class::usable;
use crate::table::next_cursor;

/// Places in a bucket.
const PLACES: usize = 12;

/// Ids per bucket above which there is one bucket more; below half of it there is one less.
const LOAD: usize = 5;

/// Buckets in a segment, so that no list of buckets has to move as a whole: 32 KB.
const SEGMENT: usize = 512;

/// A few ids whose hashes are alike.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Bucket {
    ids: [u32; PLACES],
    tags: [u8; PLACES],
    /// The bucket beside the array that it goes on in, plus one.
    next: u32,
}

const _: () = assert!(size_of::<Bucket>() == 64);

const fn tag_of(hash: u64) -> u8 {
    (hash >> 56) as u8 | 1
}

impl Bucket {
    /// Where an id with this tag is that `is_it` holds for.
    #[inline]
    fn find(&self, tag: u8, is_it: &mut impl FnMut(u32) -> bool) -> Option<usize> {
        (0..PLACES).find(|&place| self.tags[place] == tag && is_it(self.ids[place]))
    }

    fn free_place(&self) -> Option<usize> {
        self.tags.iter().position(|tag| *tag == 0)
    }

    fn set(&mut self, place: usize, tag: u8, id: u32) {
        self.tags[place] = tag;
        self.ids[place] = id;
    }

    /// Takes out the last id and its tag.
    fn pop(&mut self) -> Option<(u8, u32)> {
        let last = self.free_place().unwrap_or(PLACES).checked_sub(1)?;
        Some((std::mem::take(&mut self.tags[last]), self.ids[last]))
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        let used = |(tag, id): (&u8, &u32)| (*tag != 0).then_some(*id);
        self.tags.iter().zip(&self.ids).map_while(used)
    }
}

/// What an index asks of those who know what its ids stand for.
pub trait Hashes {
    /// The hash of an id that is there.
    fn hash(&self, id: u32) -> u64;

    /// Brings what [`Self::hash`] reads towards the cache.
    fn prefetch(&self, _id: u32) {}
}

impl<F: Fn(u32) -> u64> Hashes for F {
    fn hash(&self, id: u32) -> u64 {
        self(id)
    }
}

/// Ids by hash.
#[derive(Clone, Debug, Default)]
pub struct IdIndex {
    segments: Vec<Vec<Bucket>>,
    buckets: usize,
    len: usize,
    /// What full buckets go on in, and which of these are not used.
    beside: Vec<Bucket>,
    vacant: Vec<u32>,
}

/// A bucket: in the array, or beside it.
#[derive(Clone, Copy)]
enum Place {
    Home(usize),
    Beside(usize),
}

impl IdIndex {
    /// How many ids there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many buckets there are, but for those that full ones go on in.
    pub const fn buckets(&self) -> usize {
        self.buckets
    }

    /// Bytes on the heap. O(1).
    pub fn heap_bytes(&self) -> usize {
        let last = self.segments.last().map_or(0, |last| usable(last.capacity() * 64));
        let full = self.segments.len().saturating_sub(1) * usable(SEGMENT * 64);
        let beside = usable(self.beside.capacity() * 64) + self.vacant.capacity() * 4;
        last + full + self.segments.capacity() * size_of::<Vec<Bucket>>() + beside
    }

    /// Moves the lists of buckets, as far as they are small.
    pub(crate) fn relocate(&mut self, mover: &mut Mover, from: u64) -> u64 {
        if from == 0 {
            mover.vec(&mut self.segments);
            mover.vec(&mut self.beside);
            mover.vec(&mut self.vacant);
        }
        let segments = &mut self.segments;
        mover.walk(from, segments.len(), |mover, at| mover.vec(&mut segments[at]))
    }

    /// Number of allocations.
    pub const fn allocations(&self) -> usize {
        self.segments.len() + 2
    }

    /// The largest power of two that is not more than the number of buckets.
    const fn round(&self) -> usize {
        if self.buckets == 0 { 0 } else { 1 << self.buckets.ilog2() }
    }

    #[inline]
    const fn home(&self, hash: u64) -> usize {
        let round = self.round();
        let wide = hash as usize & (2 * round - 1);
        if wide < self.buckets { wide } else { wide & (round - 1) }
    }

    #[inline]
    fn bucket(&self, place: Place) -> &Bucket {
        match place {
            Place::Home(at) => &self.segments[at / SEGMENT][at % SEGMENT],
            Place::Beside(at) => &self.beside[at],
        }
    }

    #[inline]
    fn bucket_mut(&mut self, place: Place) -> &mut Bucket {
        match place {
            Place::Home(at) => &mut self.segments[at / SEGMENT][at % SEGMENT],
            Place::Beside(at) => &mut self.beside[at],
        }
    }

    #[inline]
    fn next(&self, place: Place) -> Option<Place> {
        self.bucket(place).next.checked_sub(1).map(|at| Place::Beside(at as usize))
    }

    /// The id with this hash that `is_it` holds for.
    #[inline]
    pub fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.buckets == 0 {
            return None;
        }
        let (tag, mut place) = (tag_of(hash), Place::Home(self.home(hash)));
        loop {
            let bucket = self.bucket(place);
            if let Some(found) = bucket.find(tag, &mut is_it) {
                return Some(bucket.ids[found]);
            }
            place = self.next(place)?;
        }
    }

    /// Asks for the bucket of a hash.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        if self.buckets > 0 {
            prefetch(std::ptr::from_ref(self.bucket(Place::Home(self.home(hash)))).cast());
        }
    }

    /// Adds an id with this hash.
    pub fn insert(&mut self, hash: u64, id: u32, hashes: &impl Hashes) {
        if self.len >= self.buckets * LOAD {
            self.grow(hashes);
        }
        self.put(hash, id);
        self.len += 1;
    }

    /// Puts an id in the place of another one with the same hash. Says whether that was there.
    pub fn replace(&mut self, hash: u64, old: u32, new: u32) -> bool {
        if self.buckets == 0 {
            return false;
        }
        let (tag, mut place) = (tag_of(hash), Place::Home(self.home(hash)));
        loop {
            if let Some(found) = self.bucket(place).find(tag, &mut |id| id == old) {
                self.bucket_mut(place).ids[found] = new;
                return true;
            }
            let Some(next) = self.next(place) else { return false };
            place = next;
        }
    }

    fn put(&mut self, hash: u64, id: u32) {
        let mut place = Place::Home(self.home(hash));
        loop {
            if let Some(free) = self.bucket(place).free_place() {
                return self.bucket_mut(place).set(free, tag_of(hash), id);
            }
            place = self.next(place).unwrap_or_else(|| self.go_on(place));
        }
    }

    /// A new bucket that a full one goes on in.
    #[cold]
    fn go_on(&mut self, full: Place) -> Place {
        let at = self.vacant.pop().map_or(self.beside.len(), |at| at as usize);
        if at == self.beside.len() {
            self.beside.push(Bucket::default());
        }
        self.bucket_mut(full).next = at as u32 + 1;
        Place::Beside(at)
    }

    /// Removes an id with this hash. Says whether it was there.
    pub fn remove(&mut self, hash: u64, id: u32, hashes: &impl Hashes) -> bool {
        if self.buckets == 0 || !self.take(hash, id) {
            return false;
        }
        self.len -= 1;
        if self.len == 0 {
            *self = Self::default();
        } else if self.len * 2 < (self.buckets - 1) * LOAD {
            self.shrink(hashes);
        }
        true
    }

    fn take(&mut self, hash: u64, id: u32) -> bool {
        let home = Place::Home(self.home(hash));
        let mut place = home;
        loop {
            if let Some(found) = self.bucket(place).find(tag_of(hash), &mut |other| other == id) {
                self.fill(home, place, found);
                return true;
            }
            match self.next(place) {
                Some(next) => place = next,
                None => return false,
            }
        }
    }

    /// Fills a place of a bucket with the last id of all that its home goes on in.
    fn fill(&mut self, home: Place, hole: Place, found: usize) {
        let (mut before, mut last) = (None, home);
        while let Some(next) = self.next(last) {
            (before, last) = (Some(last), next);
        }
        let (tag, id) = self.bucket_mut(last).pop().expect("no bucket of a chain is empty");
        if self.bucket(hole).tags[found] != 0 {
            self.bucket_mut(hole).set(found, tag, id);
        }
        if let (Some(before), Place::Beside(at)) = (before, last)
            && self.beside[at].tags[0] == 0
        {
            self.bucket_mut(before).next = 0;
            self.vacate(at);
        }
    }

    fn vacate(&mut self, at: usize) {
        self.beside[at] = Bucket::default();
        self.vacant.push(at as u32);
        if self.vacant.len() == self.beside.len() {
            (self.beside, self.vacant) = (Vec::new(), Vec::new());
        }
    }

    /// Takes everything out of a bucket and of what it goes on in.
    fn empty(&mut self, home: usize) -> SmallVec<[u32; PLACES]> {
        let first = std::mem::take(self.bucket_mut(Place::Home(home)));
        let (mut ids, mut next): (SmallVec<_>, u32) = (first.iter().collect(), first.next);
        while let Some(at) = next.checked_sub(1) {
            let bucket = self.beside[at as usize];
            ids.extend(bucket.iter());
            next = bucket.next;
            self.vacate(at as usize);
        }
        ids
    }

    /// Adds a bucket, and parts the one in two that has held its ids.
    fn grow(&mut self, hashes: &impl Hashes) {
        if self.segments.last().is_none_or(|last| last.len() == SEGMENT) {
            self.segments.push(Vec::new());
        }
        let last = self.segments.last_mut().expect("just made sure");
        if last.len() == last.capacity() {
            last.reserve_exact(last.len().max(1).min(SEGMENT - last.len()));
        }
        last.push(Bucket::default());
        self.buckets += 1;
        if self.buckets > 1 {
            let parted = self.buckets - 1 - (1 << (self.buckets - 1).ilog2());
            let ids = self.empty(parted);
            self.put_all(&ids, hashes);
        }
    }

    /// Takes the last bucket away; its ids go where they were before it came.
    fn shrink(&mut self, hashes: &impl Hashes) {
        let ids = self.empty(self.buckets - 1);
        self.buckets -= 1;
        let last = self.segments.last_mut().expect("there are buckets");
        last.pop();
        if last.is_empty() {
            self.segments.pop();
        } else if last.len() * 4 < last.capacity() {
            last.shrink_to(last.len() * 2);
        }
        self.put_all(&ids, hashes);
    }

    fn put_all(&mut self, ids: &[u32], hashes: &impl Hashes) {
        ids.iter().for_each(|id| hashes.prefetch(*id));
        ids.iter().for_each(|id| self.put(hashes.hash(*id), *id));
    }

    /// Shows the ids that a cursor stands for, and gives the next one; zero begins and ends.
    pub fn scan(&self, cursor: u64, mut show: impl FnMut(u32)) -> u64 {
        let round = self.round();
        if round == 0 {
            return 0;
        }
        let first = cursor as usize & (round - 1);
        for home in [first, first + round] {
            let mut place = (home < self.buckets).then_some(Place::Home(home));
            while let Some(at) = place {
                self.bucket(at).iter().for_each(&mut show);
                place = self.next(at);
            }
        }
        next_cursor(cursor, round)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hashbrown::HashSet;
    use proptest::prelude::*;

    fn good(id: u32) -> u64 {
        crate::shard::Seed(1, 2).hash(&id.to_le_bytes())
    }

    fn poor(id: u32) -> u64 {
        good(id) & 0x0300_0000_0000_0001
    }

    fn agrees(steps: &[(u32, bool)], hash_of: fn(u32) -> u64) {
        let (mut index, mut twin) = (IdIndex::default(), HashSet::new());
        for (id, is_in) in steps {
            if *is_in && twin.insert(*id) {
                index.insert(hash_of(*id), *id, &hash_of);
            } else if !is_in {
                assert_eq!(index.remove(hash_of(*id), *id, &hash_of), twin.remove(id));
            }
            assert_eq!(index.len(), twin.len());
        }
        for id in 0..400 {
            let found = index.find(hash_of(id), |other| other == id);
            assert_eq!(found.is_some(), twin.contains(&id));
        }
        let (mut cursor, mut seen) = (0, HashSet::new());
        loop {
            cursor = index.scan(cursor, |id| assert!(seen.insert(id)));
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen, twin);
    }

    #[test]
    fn an_id_takes_thirteen_bytes() {
        let mut index = IdIndex::default();
        for id in 0..150_000 {
            index.insert(good(id), id, &good);
            assert!(id < 5000 || index.heap_bytes() < id as usize * 16, "{id}");
        }
        for id in 0..149_000 {
            assert!(index.remove(good(id), id, &good));
        }
        assert!(index.heap_bytes() < 1000 * 40, "{}", index.heap_bytes());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn agrees_with_a_set(steps in proptest::collection::vec((0u32..400, prop::bool::weighted(0.6)), 0..2000)) {
            agrees(&steps, good);
            agrees(&steps, poor);
        }

        #[test]
        fn a_scan_sees_what_stays(stay in 1u32..200, churn in proptest::collection::vec((200u32..3000, any::<bool>()), 0..2000)) {
            let mut index = IdIndex::default();
            (0..stay).for_each(|id| index.insert(good(id), id, &good));
            let (mut there, mut churn) = (HashSet::new(), churn.into_iter());
            let (mut seen, mut cursor) = (HashSet::new(), 0);
            loop {
                cursor = index.scan(cursor, |id| { seen.insert(id); });
                for (id, is_in) in churn.by_ref().take(40) {
                    if is_in && there.insert(id) {
                        index.insert(good(id), id, &good);
                    } else if !is_in && there.remove(&id) {
                        index.remove(good(id), id, &good);
                    }
                }
                if cursor == 0 { break }
            }
            prop_assert!((0..stay).all(|id| seen.contains(&id)));
        }
    }
}
