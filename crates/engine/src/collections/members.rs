//! A set of byte strings, many of them to an allocation.
//!
//! ```text
//! pages:  | page | page | …           a member lies in the page that its hash names
//! page:   | count: u16 | tags, a byte each | ends, two bytes each | members, one behind the other |
//! ```
//!
//! A member of sixteen bytes would take 32 in an allocation of its own, and a pointer to it. Here about sixteen members share one
//! allocation, and each costs four bytes beyond itself. To find one, its tag (eight bits of the hash) is looked for among those of its
//! page, which are one cache line with the ends as a rule, and what has the tag is compared.
//!
//! The pages grow by one whenever there are more than [`LOAD`] members a page, and shrink by one below half of that (Litwin's linear
//! hashing): each time one page is parted in two, or two are joined, so nothing ever pauses to move everything, and the load is about
//! the same at any size.
//!
//! Members longer than [`INLINE_MAX`] have an allocation each, in a table of entries without a value beside the pages; and so would a
//! member whose page is full, which only hashes that somebody has chosen could bring about.
//!
//! A scan goes by the smaller power of two: a cursor that stands for a page stands for the one parted from it too. Counting in reversed
//! binary makes it survive growth, as in [`crate::table`].
//!
//! Invariants:
//! * The member with hash `h` is in page `home(h)`, or in the side table.
//! * `page_bytes` is the sum of the pages' allocations, `segment_bytes` that of the lists of pages.
//! * All segments but the last have [`SEGMENT`] pages.

mod page;

use smallvec::SmallVec;

use crate::entry::Entry;
use crate::prefetch::prefetch;
use crate::relocate::{Mover, Progress};
use crate::shard::Seed;
use crate::size_class::usable;
use crate::table::{Table, next_cursor};
use crate::value::Value;
use page::Page;

/// Members per page above which there is one page more; below half of it there is one less.
const LOAD: usize = 16;

/// The longest member that lies in a page.
const INLINE_MAX: usize = 128;

/// Pages in a segment, so that no list of pages has to move as a whole.
const SEGMENT: usize = 512;

/// No page has more members than this, as a rule of chance: sampling rejects by it.
const CROWD: u64 = 48;

/// A set of byte strings.
#[derive(Debug)]
pub struct Members {
    segments: Vec<Vec<Page>>,
    pages: usize,
    /// In the pages.
    packed: usize,
    page_bytes: usize,
    segment_bytes: usize,
    /// Members with an allocation each.
    long: Option<Box<Long>>,
    seed: Seed,
}

/// Members that lie in no page.
#[derive(Debug, Default)]
struct Long {
    table: Table,
    bytes: usize,
}

impl Clone for Members {
    fn clone(&self) -> Self {
        let mut copy = Self::new(self.seed);
        for page in self.segments.iter().flatten() {
            copy.push_page(page.clone());
        }
        copy.packed = self.packed;
        for entry in self.long.iter().flat_map(|long| long.table.iter()) {
            copy.insert_long(self.seed.hash(entry.key()), entry.key());
        }
        copy
    }
}

impl Members {
    /// An empty set whose members are hashed with `seed`.
    pub const fn new(seed: Seed) -> Self {
        let segments = Vec::new();
        Self { segments, pages: 0, packed: 0, page_bytes: 0, segment_bytes: 0, long: None, seed }
    }

    /// What members are hashed with.
    pub(crate) const fn seed(&self) -> Seed {
        self.seed
    }

    /// Number of members.
    #[inline]
    pub fn len(&self) -> usize {
        self.packed + self.long_len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes on the heap, in the allocator's classes. O(1).
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        let long = |long: &Long| usable(size_of::<Long>()) + long.table.heap_bytes() + long.bytes;
        self.segment_bytes + self.page_bytes + self.long.as_deref().map_or(0, long)
    }

    /// What `segment_bytes` is to be.
    fn count_segments(&self) -> usize {
        self.segments.last().map_or(0, |last| {
            usable(self.segments.capacity() * size_of::<Vec<Page>>())
                + (self.segments.len() - 1) * usable(SEGMENT * size_of::<Page>())
                + usable(last.capacity() * size_of::<Page>())
        })
    }

    /// How many pages there are.
    pub const fn pages(&self) -> usize {
        self.pages
    }

    /// About how many allocations there are.
    pub fn free_cost(&self) -> usize {
        self.pages + self.long_len()
    }

    /// Whether `member` is in the set.
    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        self.is_there(self.seed.hash(member), member)
    }

    /// Brings towards the cache where the page of a member stands. Answers the hash that it is looked for by.
    #[inline]
    pub fn prefetch_place(&self, member: &[u8]) -> u64 {
        let hash = self.seed.hash(member);
        if self.pages > 0 {
            prefetch(std::ptr::from_ref(self.page(self.home(hash))).cast());
        }
        hash
    }

    /// Brings what the page of a hash begins with towards the cache.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        if self.pages > 0 {
            self.page(self.home(hash)).prefetch();
        }
    }

    /// Adds a member; `false` if it is there already.
    pub fn insert(&mut self, member: &[u8]) -> bool {
        let hash = self.seed.hash(member);
        if self.is_there(hash, member) {
            return false;
        }
        if member.len() > INLINE_MAX {
            self.insert_long(hash, member);
            return true;
        }
        self.grow();
        let home = self.home(hash);
        if self.page(home).has_room(member.len()) {
            self.packed += 1;
            self.change(home, |page| page.push(hash, member));
        } else {
            self.insert_long(hash, member);
        }
        true
    }

    /// Removes a member; `false` if it is not there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let hash = self.seed.hash(member);
        let Some((home, index)) = self.find(hash, member) else {
            return self.remove_long(hash, member);
        };
        self.change(home, |page| page.remove(index));
        self.packed -= 1;
        self.shrink();
        true
    }

    /// All members, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let packed = self.segments.iter().flatten().flat_map(Page::iter);
        packed.chain(self.long.iter().flat_map(|long| long.table.iter()).map(Entry::key))
    }

    /// Moves pages and lists of pages, then members with an allocation of their own.
    pub(crate) fn relocate(&mut self, mover: &mut Mover, from: Progress) -> Option<Progress> {
        let next = match from.part {
            0 => self.relocate_pages(mover, from.at),
            _ => self.relocate_long(mover, from.at),
        };
        from.then(next, 2)
    }

    fn relocate_pages(&mut self, mover: &mut Mover, from: u64) -> u64 {
        if from == 0 {
            mover.vec(&mut self.segments);
        }
        mover.walk(from, self.pages, |mover, at| {
            let segment = &mut self.segments[at / SEGMENT];
            if at.is_multiple_of(SEGMENT) {
                mover.vec(segment);
            }
            segment[at % SEGMENT].relocate(mover);
        })
    }

    fn relocate_long(&mut self, mover: &mut Mover, from: u64) -> u64 {
        let Some(long) = &mut self.long else { return 0 };
        if from == 0 {
            mover.boxed(long, Long::default);
        }
        long.table.relocate(mover, from)
    }

    /// Visits the pages that `cursor` stands for and answers the next cursor; zero means that the round is complete. The lowest bit says
    /// whether the round has come to the side table.
    pub fn scan(&self, cursor: u64, mut each: impl FnMut(&[u8])) -> u64 {
        let (place, in_long) = (cursor >> 1, cursor & 1 == 1);
        match &self.long {
            Some(long) if in_long => match long.table.scan(place, |entry| each(entry.key())) {
                0 => 0,
                next => next << 1 | 1,
            },
            None if in_long => 0,
            long => match self.scan_pages(place, each) {
                0 => u64::from(long.is_some()),
                next => next << 1,
            },
        }
    }

    fn scan_pages(&self, place: u64, mut each: impl FnMut(&[u8])) -> u64 {
        if self.pages == 0 {
            return 0;
        }
        let half = self.lower_half();
        let index = place as usize & (half - 1);
        self.page(index).iter().for_each(&mut each);
        if index + half < self.pages {
            self.page(index + half).iter().for_each(&mut each);
        }
        next_cursor(place, half)
    }

    /// Some member, each with the same chance. `dice` gives random numbers.
    pub fn sample(&self, mut dice: impl FnMut() -> u64) -> Option<&[u8]> {
        let below = |dice: u64, bound: usize| ((dice as u128 * bound as u128) >> 64) as usize;
        if self.is_empty() {
            return None;
        }
        if let Some(long) = &self.long
            && below(dice(), self.len()) >= self.packed
        {
            return long.table.sample(dice).map(Entry::key);
        }
        if self.pages == 1 {
            return Some(self.page(0).get(below(dice(), self.packed)));
        }
        loop {
            // A page is kept in proportion to what it holds, so that members, not pages, are equally likely.
            let page = self.page(below(dice(), self.pages));
            let crowd = CROWD.max(page.len() as u64) as usize;
            let nth = below(dice(), crowd);
            if nth < page.len() {
                return Some(page.get(nth));
            }
        }
    }

    /// The page of a member and its index there, if it is in a page.
    #[inline]
    fn find(&self, hash: u64, member: &[u8]) -> Option<(usize, usize)> {
        if self.pages == 0 {
            return None;
        }
        let home = self.home(hash);
        Some((home, self.page(home).find(hash, member)?))
    }

    #[inline]
    fn is_there(&self, hash: u64, member: &[u8]) -> bool {
        let is_long = |long: &Long| long.table.get(hash, member).is_some();
        self.find(hash, member).is_some() || self.long.as_deref().is_some_and(is_long)
    }

    #[inline]
    fn long_len(&self) -> usize {
        self.long.as_ref().map_or(0, |long| long.table.len())
    }

    /// The greatest power of two that is not above the number of pages: as many pages have been parted as there are beyond it.
    #[inline]
    const fn lower_half(&self) -> usize {
        1 << self.pages.ilog2()
    }

    /// The page of a hash.
    #[inline]
    const fn home(&self, hash: u64) -> usize {
        let half = self.lower_half();
        let index = hash as usize & (half * 2 - 1);
        if index < self.pages { index } else { index & (half - 1) }
    }

    #[inline]
    fn page(&self, index: usize) -> &Page {
        &self.segments[index / SEGMENT][index % SEGMENT]
    }

    /// Changes a page and counts its bytes anew.
    #[inline]
    fn change<R>(&mut self, index: usize, with: impl FnOnce(&mut Page) -> R) -> R {
        let page = &mut self.segments[index / SEGMENT][index % SEGMENT];
        let before = page.heap_bytes();
        let result = with(page);
        self.page_bytes = self.page_bytes - before + page.heap_bytes();
        result
    }

    fn push_page(&mut self, page: Page) {
        if self.pages.is_multiple_of(SEGMENT) {
            self.segments.push(Vec::new());
        }
        let is_first = self.segments.len() == 1;
        let last = self.segments.last_mut().expect("just looked after");
        if last.is_empty() && !is_first {
            last.reserve_exact(SEGMENT);
        }
        self.page_bytes += page.heap_bytes();
        last.push(page);
        self.pages += 1;
        self.segment_bytes = self.count_segments();
    }

    fn pop_page(&mut self) -> Option<Page> {
        let last = self.segments.last_mut()?;
        let page = last.pop()?;
        self.page_bytes -= page.heap_bytes();
        self.pages -= 1;
        if last.is_empty() {
            self.segments.pop();
        }
        self.segment_bytes = self.count_segments();
        Some(page)
    }

    /// One page more if one more member is more than the pages should hold: half of what is in the page whose turn it is goes there.
    #[inline]
    fn grow(&mut self) {
        if self.packed < self.pages * LOAD {
            return;
        }
        let new = self.pages;
        self.push_page(Page::default());
        if new == 0 {
            return;
        }
        let half = parted_at(new);
        let (seed, mut hashes) = (self.seed, SmallVec::<[u64; 32]>::new());
        let parted = self.page(new - half);
        hashes.extend(parted.iter().map(|member| seed.hash(member)));
        let goes = parted.pick(&hashes, |hash| hash as usize & half != 0);
        let stays = parted.pick(&hashes, |hash| hash as usize & half == 0);
        self.change(new - half, |page| *page = stays);
        self.change(new, |page| *page = goes);
    }

    /// One page less if there are few members: its own go back to where they were parted from.
    #[inline]
    fn shrink(&mut self) {
        if self.pages < 2 || self.packed >= self.pages * (LOAD / 2) {
            return;
        }
        let Some(page) = self.pop_page() else { return };
        let home = self.pages - parted_at(self.pages);
        for member in page.iter() {
            let hash = self.seed.hash(member);
            if self.page(home).has_room(member.len()) {
                self.change(home, |page| page.push(hash, member));
            } else {
                self.packed -= 1;
                self.insert_long(hash, member);
            }
        }
    }

    #[cold]
    fn insert_long(&mut self, hash: u64, member: &[u8]) {
        let (seed, long) = (self.seed, self.long.get_or_insert_default());
        let entry = Entry::new(member, Value::Short(b""), None);
        long.bytes += entry.weight();
        long.table.insert(hash, entry, &|member| seed.hash(member));
    }

    fn remove_long(&mut self, hash: u64, member: &[u8]) -> bool {
        let (seed, Some(long)) = (self.seed, &mut self.long) else { return false };
        let Some(entry) = long.table.remove(hash, member, &|member| seed.hash(member)) else {
            return false;
        };
        long.bytes -= entry.weight();
        if long.table.is_empty() {
            self.long = None;
        }
        true
    }
}

/// How far the page with this number, which is not the first, is from the one that it was parted from.
const fn parted_at(page: usize) -> usize {
    1 << page.ilog2()
}

#[cfg(test)]
mod tests;
