//! One page: a few members in one allocation, behind their tags and ends.

use crate::prefetch::prefetch;
use crate::relocate::Mover;
use crate::size_class::usable;

/// Bytes of the count.
const HEADER: usize = 2;

/// Bytes of a tag and an end.
const EACH: usize = 3;

/// Bytes of a cache line.
const LINE: usize = 64;

/// Cache lines of a page that are asked for at once: as many as a page of sixteen members of twenty bytes has.
const LINES_AHEAD: usize = 6;

/// Members together take at most this, so that an end is two bytes.
const BYTES_MAX: usize = u16::MAX as usize;

/// A few members. The allocation is of one of the allocator's classes; a page of none has none.
#[derive(Clone, Debug, Default)]
pub(super) struct Page(Box<[u8]>);

/// Eight bits of a hash that name no page.
#[inline]
const fn tag_of(hash: u64) -> u8 {
    (hash >> 56) as u8
}

impl Page {
    #[inline]
    pub(super) fn len(&self) -> usize {
        if self.0.is_empty() { 0 } else { self.word(0) }
    }

    #[inline]
    pub(super) fn heap_bytes(&self) -> usize {
        self.0.len()
    }

    pub(super) fn relocate(&mut self, mover: &mut Mover) {
        mover.slice(&mut self.0);
    }

    /// Whether a member of this length may join.
    #[inline]
    pub(super) fn has_room(&self, len: usize) -> bool {
        let count = self.len();
        count < 1024 && self.end(count) + len <= BYTES_MAX
    }

    /// The member with this index.
    #[inline]
    pub(super) fn get(&self, index: usize) -> &[u8] {
        let data = HEADER + EACH * self.len();
        &self.0[data + self.end(index)..data + self.end(index + 1)]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Asks for the tags and for what follows them: which of the members is compared is known too late.
    #[inline]
    pub(super) fn prefetch(&self) {
        self.0.chunks(LINE).take(LINES_AHEAD).for_each(|line| prefetch(line.as_ptr()));
    }

    /// The index of a member.
    #[inline]
    pub(super) fn find(&self, hash: u64, member: &[u8]) -> Option<usize> {
        let tags = self.0.get(HEADER..HEADER + self.len())?;
        memchr::memchr_iter(tag_of(hash), tags).find(|index| self.get(*index) == member)
    }

    /// Adds a member that is not there. The caller has asked [`Self::has_room`].
    pub(super) fn push(&mut self, hash: u64, member: &[u8]) {
        let count = self.len();
        let (ends, data, until) = (HEADER + count, HEADER + EACH * count, self.used());
        self.resize(until.max(HEADER) + EACH + member.len());
        let end = if count == 0 { 0 } else { until - data } + member.len();
        self.0.copy_within(data..until.max(data), data + EACH);
        self.0.copy_within(ends..data, ends + 1);
        self.0[ends] = tag_of(hash);
        self.set_word(data + 1, end);
        let place = data + EACH + end;
        self.0[place - member.len()..place].copy_from_slice(member);
        self.set_word(0, count + 1);
    }

    /// A page of those members whose hash `is_meant`; `hashes` has that of each.
    pub(super) fn pick(&self, hashes: &[u64], is_meant: impl Fn(u64) -> bool) -> Self {
        let picked = || self.iter().zip(hashes).filter(|(_, hash)| is_meant(**hash));
        let (count, data) =
            picked().fold((0, 0), |(count, data), (member, _)| (count + 1, data + member.len()));
        let mut page = Self::default();
        if count == 0 {
            return page;
        }
        page.resize(HEADER + EACH * count + data);
        page.set_word(0, count);
        let mut end = 0;
        for (nth, (member, hash)) in picked().enumerate() {
            let place = HEADER + EACH * count + end;
            end += member.len();
            page.0[HEADER + nth] = tag_of(*hash);
            page.set_word(HEADER + count + 2 * nth, end);
            page.0[place..place + member.len()].copy_from_slice(member);
        }
        page
    }

    /// Removes the member with this index. O(n).
    pub(super) fn remove(&mut self, index: usize) {
        let (count, until) = (self.len(), self.used());
        let (ends, data) = (HEADER + count, HEADER + EACH * count);
        let (begin, end) = (data + self.end(index), data + self.end(index + 1));
        for later in index + 1..=count {
            let shorter = self.end(later) - (end - begin);
            self.set_word(ends + 2 * (later - 1), shorter);
        }
        // What stays, piece by piece: tags, ends, members, each without its own.
        self.0.copy_within(HEADER + index + 1..ends + 2 * index, HEADER + index);
        self.0.copy_within(ends + 2 * (index + 1)..begin, ends + 2 * index - 1);
        self.0.copy_within(end..until, begin - EACH);
        self.set_word(0, count - 1);
        self.resize(if count == 1 { 0 } else { until - EACH - (end - begin) });
    }

    /// Where the members before this index end, counted from the first.
    #[inline]
    fn end(&self, index: usize) -> usize {
        if index == 0 { 0 } else { self.word(HEADER + self.len() + 2 * (index - 1)) }
    }

    /// Bytes in use.
    fn used(&self) -> usize {
        let count = self.len();
        if count == 0 { 0 } else { HEADER + EACH * count + self.end(count) }
    }

    #[inline]
    fn word(&self, at: usize) -> usize {
        u16::from_le_bytes([self.0[at], self.0[at + 1]]) as usize
    }

    #[inline]
    fn set_word(&mut self, at: usize, word: usize) {
        self.0[at..at + 2].copy_from_slice(&(word as u16).to_le_bytes());
    }

    /// Takes the class that holds `used` bytes.
    fn resize(&mut self, used: usize) {
        let class = if used == 0 { 0 } else { usable(used) };
        if class != self.0.len() {
            let mut bytes = std::mem::take(&mut self.0).into_vec();
            bytes.reserve_exact(class.saturating_sub(bytes.len()));
            bytes.resize(class, 0);
            self.0 = bytes.into_boxed_slice();
        }
    }
}
