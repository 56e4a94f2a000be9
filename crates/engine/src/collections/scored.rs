//! Scored names in pages: many small byte strings, each with a number, without an allocation for each.
//!
//! ```text
//! id:      [ page: 21 bits | unit within the page: 11 bits ]          a unit is eight bytes
//! record:  [ score: f64 ][ len: u16 | bytes … | up to 7 bytes free ]  one record of 2 to 128 units
//! ```
//!
//! A page holds records of one size; so a record that goes leaves a hole that fits the next, and a page whose last record goes is given
//! back. The first page of a size grows with what is in it, so that few members take little. A member too long for a page stands in an
//! allocation of its own, and its record says where.
//!
//! Where the pages of a size are half empty together, one that is emptier still is drained: its records move to the others. So pages
//! follow what is in them downwards too, at about one record moved for one removed, a hundred or two at a time.
//!
//! An id is good until its record is removed or moved, and is then used again. There is room for 32 GB of records.
//!
//! Invariants:
//! * A page without records has no units, and is on the list of vacant pages.
//! * A page with room is on the list of its size, a full one is on none.
//! * Of each size it is known how many pages there are, and how many records in them.

use crate::prefetch::prefetch;
use crate::relocate::Mover;
use crate::size_class::usable;

/// What finds a record again.
pub type Id = u32;

/// Units of a full page: 16 KB.
const PAGE_UNITS: usize = 2048;
const UNIT_BITS: u32 = PAGE_UNITS.trailing_zeros();
const UNIT: usize = 8;

/// Before the member's bytes: its length.
const LEN_BYTES: usize = 2;

/// The longest member that stands in a page.
const INLINE_MAX: usize = 1000;

/// The length of a member that stands elsewhere, at the place that the next four bytes name.
const ELSEWHERE: u16 = u16::MAX;

/// No page, no record.
const NONE: u32 = u32::MAX;
const NO_UNIT: u16 = u16::MAX;

/// Records of one size.
#[derive(Clone, Debug, Default)]
struct Page {
    units: Vec<u64>,
    /// Units of one record.
    size: u16,
    /// Records in use.
    live: u16,
    /// The first hole; each begins with where the next is.
    hole: u16,
    /// Neighbours on the list of pages with room, or of vacant pages.
    next: u32,
    previous: u32,
}

impl Page {
    fn is_full(&self) -> bool {
        self.hole == NO_UNIT && self.units.len() + usize::from(self.size) > PAGE_UNITS
    }

    /// The unit at which a new record begins. The page is not full.
    fn take(&mut self) -> usize {
        self.live += 1;
        if self.hole != NO_UNIT {
            let at = usize::from(self.hole);
            self.hole = self.units[at] as u16;
            return at;
        }
        let (at, size) = (self.units.len(), usize::from(self.size));
        if at + size > self.units.capacity() {
            let wanted = (at + at / 2).max(at + size).min(PAGE_UNITS);
            self.units.reserve_exact(usable(wanted * UNIT) / UNIT - at);
        }
        self.units.resize(at + size, 0);
        at
    }

    /// Where records begin.
    fn records(&self) -> Vec<usize> {
        let (size, mut is_hole) = (usize::from(self.size), [false; PAGE_UNITS]);
        let mut hole = self.hole;
        while hole != NO_UNIT {
            is_hole[usize::from(hole)] = true;
            hole = self.units[usize::from(hole)] as u16;
        }
        (0..self.units.len()).step_by(size).filter(|at| !is_hole[*at]).collect()
    }

    fn heap_bytes(&self) -> usize {
        if self.units.capacity() == 0 { 0 } else { usable(self.units.capacity() * UNIT) }
    }
}

/// The pages of one size.
#[derive(Clone, Copy, Debug)]
struct Size {
    /// The first page with room.
    roomy: u32,
    pages: u32,
    /// Records in all of them.
    live: u32,
}

impl Size {
    const NEW: Self = Self { roomy: NONE, pages: 0, live: 0 };

    /// Whether a page with `live` records is worth draining: there is room in the others, and it does not give them much to do.
    const fn is_sparse(self, live: u16, full: usize) -> bool {
        let room = self.pages as usize * full;
        self.pages > 1 && self.live as usize * 2 <= room && live as usize * 8 <= full * 3
    }
}

/// Scored byte strings, found by their ids.
#[derive(Clone, Debug, Default)]
pub struct Scored {
    pages: Vec<Page>,
    sizes: Vec<Size>,
    /// The first vacant page, plus one.
    vacant: u32,
    long: Vec<Box<[u8]>>,
    long_vacant: Vec<u32>,
    bytes: usize,
}

/// A page with so few records that it should be drained.
#[derive(Clone, Copy, Debug)]
pub struct Sparse(u32);

/// Units of a record: a score and `text` bytes.
const fn units_of(text: usize) -> usize {
    1 + text.div_ceil(UNIT)
}

const fn split(id: Id) -> (usize, usize) {
    ((id >> UNIT_BITS) as usize, id as usize % PAGE_UNITS)
}

impl Scored {
    /// None, without any allocation.
    pub const fn new() -> Self {
        Self {
            pages: Vec::new(),
            sizes: Vec::new(),
            vacant: 0,
            long: Vec::new(),
            long_vacant: Vec::new(),
            bytes: 0,
        }
    }

    /// Bytes on the heap.
    pub const fn heap_bytes(&self) -> usize {
        self.bytes
            + self.pages.capacity() * size_of::<Page>()
            + self.sizes.capacity() * size_of::<Size>()
            + self.long.capacity() * size_of::<Box<[u8]>>()
            + self.long_vacant.capacity() * size_of::<u32>()
    }

    /// Moves pages and members that stand elsewhere, and the lists of both.
    pub(crate) fn relocate(&mut self, mover: &mut Mover, from: u64) -> u64 {
        if from == 0 {
            mover.vec(&mut self.pages);
            mover.vec(&mut self.sizes);
            mover.vec(&mut self.long);
            mover.vec(&mut self.long_vacant);
        }
        let pages = self.pages.len();
        mover.walk(from, pages + self.long.len(), |mover, at| match at.checked_sub(pages) {
            None => mover.vec(&mut self.pages[at].units),
            Some(long) => mover.slice(&mut self.long[long]),
        })
    }

    /// Number of allocations.
    pub const fn allocations(&self) -> usize {
        self.pages.len() + self.long.len()
    }

    /// Adds a member, however many of the same name there are.
    pub fn insert(&mut self, score: f64, member: &[u8]) -> Id {
        if member.len() > INLINE_MAX {
            return self.insert_long(score, member);
        }
        let id = self.allocate(units_of(LEN_BYTES + member.len()));
        let record = self.record_mut(id);
        record[0] = score.to_bits();
        let text: &mut [u8] = bytemuck::cast_slice_mut(&mut record[1..]);
        text[..LEN_BYTES].copy_from_slice(&(member.len() as u16).to_le_bytes());
        text[LEN_BYTES..LEN_BYTES + member.len()].copy_from_slice(member);
        id
    }

    fn insert_long(&mut self, score: f64, member: &[u8]) -> Id {
        self.bytes += usable(member.len());
        let place = match self.long_vacant.pop() {
            Some(place) => {
                self.long[place as usize] = member.into();
                place
            }
            None => {
                self.long.push(member.into());
                self.long.len() as u32 - 1
            }
        };
        let id = self.allocate(units_of(UNIT));
        let record = self.record_mut(id);
        record[0] = score.to_bits();
        record[1] = (u64::from(ELSEWHERE) | u64::from(place) << 32).to_le();
        id
    }

    /// The member's bytes.
    #[inline]
    pub fn member(&self, id: Id) -> &[u8] {
        let (page, unit) = split(id);
        let text: &[u8] = bytemuck::cast_slice(&self.pages[page].units[unit + 1..]);
        let len = u16::from_le_bytes([text[0], text[1]]);
        if len == ELSEWHERE {
            let place = u32::from_le_bytes([text[4], text[5], text[6], text[7]]);
            return &self.long[place as usize];
        }
        &text[LEN_BYTES..LEN_BYTES + usize::from(len)]
    }

    /// Brings a record towards the cache.
    #[inline]
    pub fn prefetch(&self, id: Id) {
        let (page, unit) = split(id);
        prefetch(self.pages[page].units.as_ptr().wrapping_add(unit).cast());
    }

    /// The member's score.
    #[inline]
    pub fn score(&self, id: Id) -> f64 {
        let (page, unit) = split(id);
        f64::from_bits(self.pages[page].units[unit])
    }

    /// Gives the member another score.
    #[inline]
    pub fn set_score(&mut self, id: Id, score: f64) {
        let (page, unit) = split(id);
        self.pages[page].units[unit] = score.to_bits();
    }

    /// Removes a member. Answers which page is worth draining now, if one is; see [`Self::drain`].
    #[must_use]
    pub fn remove(&mut self, id: Id) -> Option<Sparse> {
        self.remove_long(id);
        let (at, unit) = split(id);
        let page = &mut self.pages[at];
        let was_full = page.is_full();
        page.units[unit] = u64::from(page.hole);
        page.hole = unit as u16;
        page.live -= 1;
        let (live, size) = (page.live, usize::from(page.size));
        self.sizes[size].live -= 1;
        if live > 0 {
            if was_full {
                self.link(at as u32);
            }
            let is_sparse = self.sizes[size].is_sparse(live, PAGE_UNITS / size);
            return is_sparse.then_some(Sparse(at as u32));
        }
        if !was_full {
            self.unlink(at as u32);
        }
        self.vacate(at as u32);
        None
    }

    /// Moves the records of a sparse page to others of its size, and gives the page back. `moved` is told the id that each had and the
    /// one that it has; the old one can still be read meanwhile.
    #[cold]
    pub fn drain(&mut self, sparse: Sparse, mut moved: impl FnMut(&Self, Id, Id)) {
        let at = sparse.0;
        self.unlink(at);
        let size = usize::from(self.pages[at as usize].size);
        for unit in self.pages[at as usize].records() {
            let (old, new) = (at << UNIT_BITS | unit as u32, self.allocate(size));
            for nth in 0..size {
                let word = self.pages[at as usize].units[unit + nth];
                self.record_mut(new)[nth] = word;
            }
            self.sizes[size].live -= 1;
            moved(self, old, new);
        }
        self.vacate(at);
    }

    /// Frees what stands outside of the pages.
    fn remove_long(&mut self, id: Id) {
        let (page, unit) = split(id);
        let word = u64::from_le(self.pages[page].units[unit + 1]);
        if word as u16 == ELSEWHERE {
            let place = (word >> 32) as u32;
            let member = std::mem::take(&mut self.long[place as usize]);
            self.bytes -= usable(member.len());
            self.long_vacant.push(place);
        }
    }

    fn record_mut(&mut self, id: Id) -> &mut [u64] {
        let (page, unit) = split(id);
        let page = &mut self.pages[page];
        let size = usize::from(page.size);
        &mut page.units[unit..unit + size]
    }

    /// Room for a record of `size` units.
    fn allocate(&mut self, size: usize) -> Id {
        if self.sizes.len() <= size {
            self.sizes.resize(size + 1, Size::NEW);
        }
        let at = match self.sizes[size].roomy {
            NONE => self.open(size),
            at => at,
        };
        self.sizes[size].live += 1;
        let page = &mut self.pages[at as usize];
        let before = page.heap_bytes();
        let unit = page.take();
        self.bytes = self.bytes - before + page.heap_bytes();
        if page.is_full() {
            self.unlink(at);
        }
        at << UNIT_BITS | unit as u32
    }

    /// A page for records of `size` units.
    #[cold]
    fn open(&mut self, size: usize) -> u32 {
        let at = if self.vacant == 0 {
            self.pages.push(Page::default());
            self.pages.len() as u32 - 1
        } else {
            let at = self.vacant - 1;
            self.vacant = self.pages[at as usize].next;
            at
        };
        assert!(at < 1 << (u32::BITS - UNIT_BITS), "a sorted set has room for 32 GB of members");
        self.pages[at as usize] = Page { size: size as u16, hole: NO_UNIT, ..Page::default() };
        self.sizes[size].pages += 1;
        self.link(at);
        at
    }

    /// Gives the units of a page back that is on no list.
    fn vacate(&mut self, at: u32) {
        let page = &mut self.pages[at as usize];
        self.bytes -= page.heap_bytes();
        self.sizes[usize::from(page.size)].pages -= 1;
        *page = Page { next: self.vacant, ..Page::default() };
        self.vacant = at + 1;
    }

    /// Puts a page with room at the head of the list of its size.
    fn link(&mut self, at: u32) {
        let size = usize::from(self.pages[at as usize].size);
        let next = std::mem::replace(&mut self.sizes[size].roomy, at);
        if next != NONE {
            self.pages[next as usize].previous = at;
        }
        let page = &mut self.pages[at as usize];
        (page.next, page.previous) = (next, NONE);
    }

    /// Takes a page off the list of its size.
    fn unlink(&mut self, at: u32) {
        let page = &self.pages[at as usize];
        let (size, next, previous) = (usize::from(page.size), page.next, page.previous);
        if next != NONE {
            self.pages[next as usize].previous = previous;
        }
        match previous {
            NONE => self.sizes[size].roomy = next,
            _ => self.pages[previous as usize].next = next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check_bytes(members: &Scored) {
        let pages: usize = members.pages.iter().map(Page::heap_bytes).sum();
        let long = members.long.iter().filter(|long| !long.is_empty());
        assert_eq!(members.bytes, pages + long.map(|long| usable(long.len())).sum::<usize>());
        for (size, known) in members.sizes.iter().enumerate().skip(1) {
            let pages = || members.pages.iter().filter(|page| usize::from(page.size) == size);
            assert_eq!(known.pages as usize, pages().count());
            assert_eq!(known.live, pages().map(|page| u32::from(page.live)).sum::<u32>());
        }
    }

    /// Removes a record, and tells the twin what moved.
    fn remove(members: &mut Scored, id: Id, ids: &mut [Id]) {
        let Some(sparse) = members.remove(id) else { return };
        members.drain(sparse, |members, old, new| {
            assert_eq!(members.member(old), members.member(new));
            let known = ids.iter_mut().find(|id| **id == old).expect("only what is there moves");
            *known = new;
        });
    }

    #[test]
    fn sixteen_bytes_take_thirty_two() {
        let mut members = Scored::new();
        for n in 0..100_000 {
            members.insert(0.5, format!("member:{n:09}").as_bytes());
        }
        assert!(members.heap_bytes() < 100_000 * 33, "{}", members.heap_bytes());
    }

    #[test]
    fn pages_that_become_empty_are_given_back_and_used_again() {
        let mut members = Scored::new();
        for round in 0..3 {
            let ids: Vec<_> =
                (0..10_000).map(|n| members.insert(n as f64, &[b'x'; 100][..50 * round])).collect();
            let mut ids = ids;
            while let Some(id) = ids.pop() {
                remove(&mut members, id, &mut ids);
            }
            check_bytes(&members);
            assert_eq!(members.bytes, 0);
        }
        assert!(members.pages.len() < 800);
    }

    #[test]
    fn pages_follow_what_is_in_them_downwards() {
        let (mut members, mut dice) = (Scored::new(), crate::random::Random::new(3));
        let mut ids: Vec<_> =
            (0..20_000).map(|n| members.insert(0.5, format!("member:{n:09}").as_bytes())).collect();
        while ids.len() > 1_000 {
            let id = ids.swap_remove(dice.below(ids.len() as u64) as usize);
            remove(&mut members, id, &mut ids);
        }
        check_bytes(&members);
        // Thirty-two bytes each, and no page less than three eighths full but the last few.
        assert!(members.bytes < 1_000 * 32 * 3 + (32 << 10), "{}", members.bytes);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn agrees_with_the_slow_twin(
            steps in proptest::collection::vec((any::<u16>(), prop_oneof![0usize..40, 990usize..1100], 0u8..5), 0..1500)
        ) {
            let (mut members, mut twin) = (Scored::new(), Vec::<(Id, f64, Vec<u8>)>::new());
            for (n, len, what) in steps {
                let pick = usize::from(n) % twin.len().max(1);
                match what {
                    0 | 1 if !twin.is_empty() => {
                        let id = twin.swap_remove(pick).0;
                        let mut ids: Vec<_> = twin.iter().map(|(id, ..)| *id).collect();
                        remove(&mut members, id, &mut ids);
                        twin.iter_mut().zip(ids).for_each(|(known, id)| known.0 = id);
                    }
                    2 if !twin.is_empty() => {
                        twin[pick].1 = f64::from(n);
                        members.set_score(twin[pick].0, f64::from(n));
                    }
                    _ => {
                        let member = vec![n as u8; len];
                        twin.push((members.insert(1.5, &member), 1.5, member));
                    }
                }
            }
            for (id, score, member) in &twin {
                prop_assert_eq!(members.score(*id).to_bits(), score.to_bits());
                prop_assert_eq!(members.member(*id), &member[..]);
            }
            check_bytes(&members);
        }
    }
}
