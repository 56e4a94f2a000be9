//! A short row of byte strings in one buffer, open at both ends.
//!
//! ```text
//! gap      start                                                    end    capacity
//! |........|5 hello 5|0 0|3 foo 3|200 … 200|........................|
//! ```
//!
//! An element is its length, its bytes, and its length again, so that it can be read from either side. A length takes one byte up to
//! 127, two up to 16383 and so on, seven bits a byte; behind the element the same bytes stand in reverse. Small elements thus cost two
//! bytes more than they are.
//!
//! Taking an element off the front moves `start`, off the back `end`. When an end has no room left but a quarter of the buffer is
//! free, the content slides and both ends share what is free; else the buffer doubles; and one that may grow no more is full. So
//! about an eighth of the buffer is filled or emptied between two moves, and pushing costs constant time on the average, from
//! whichever end. Three quarters empty, the buffer shrinks.
//!
//! Invariants:
//! * `buffer[start..]` is `count` whole elements and nothing else; the buffer's length is the end.
//! * Elements together take at most [`PACKED_MAX`] bytes, unless there is only one.
//! * `start` is less than [`PACKED_MAX`], as only buffers up to that size have a gap; `count` is, as an element takes two bytes.

use crate::relocate::Mover;
use crate::size_class::usable;

/// What elements may take together, as with Redis' `list-max-listpack-size -2`.
pub const PACKED_MAX: usize = 8 * 1024;

/// The first buffer, so that a queue that wavers between one and two elements does not move.
const CAPACITY_MIN: usize = 16;

/// Buffers up to here are not worth shrinking.
const SHRINK_ABOVE: usize = 64;

/// The bytes of the longest length.
const LENGTH_MAX: usize = 10;

/// A short row of byte strings.
#[derive(Clone, Debug, Default)]
pub struct Packed {
    buffer: Vec<u8>,
    start: u16,
    count: u16,
    /// A number about the elements that the row's owner keeps with them.
    pub note: u32,
}

const _: () = assert!(size_of::<Packed>() == 32);

impl Packed {
    /// A row of nothing.
    pub const fn new() -> Self {
        Self { buffer: Vec::new(), start: 0, count: 0, note: 0 }
    }

    /// How many elements there are.
    #[inline]
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes on the heap.
    #[inline]
    pub const fn heap_bytes(&self) -> usize {
        if self.buffer.capacity() == 0 { 0 } else { usable(self.buffer.capacity()) }
    }

    /// Moves the buffer.
    pub(crate) fn move_buffer(&mut self, mover: &mut Mover) {
        mover.vec(&mut self.buffer);
    }

    /// Whether an element of `len` bytes may join at the end. A row of nothing takes one of any length.
    #[inline]
    pub const fn has_room_behind(&self, len: usize) -> bool {
        self.has_room(len, self.buffer.capacity() - self.end())
    }

    /// As [`Self::has_room_behind`], before the first.
    #[inline]
    pub const fn has_room_before(&self, len: usize) -> bool {
        self.has_room(len, self.begin())
    }

    /// Adds an element at the end. The caller has asked [`Self::has_room_behind`].
    #[inline]
    pub fn push_back(&mut self, element: &[u8]) {
        debug_assert!(self.has_room_behind(element.len()));
        let size = element_size(element.len());
        if self.buffer.capacity() - self.end() < size {
            self.make_room_behind(size);
        }
        let (length, width) = encode(element.len());
        self.buffer.extend_from_slice(&length[..width]);
        self.buffer.extend_from_slice(element);
        self.buffer.extend(length[..width].iter().rev());
        self.count += 1;
    }

    /// Adds an element before the first. The caller has asked [`Self::has_room_before`].
    #[inline]
    pub fn push_front(&mut self, element: &[u8]) {
        debug_assert!(self.has_room_before(element.len()));
        let size = element_size(element.len());
        if size > PACKED_MAX {
            return self.push_back(element);
        }
        if self.begin() < size {
            self.make_room_before(size);
        }
        let begin = self.begin() - size;
        write(&mut self.buffer[begin..begin + size], element);
        self.start = begin as u16;
        self.count += 1;
    }

    /// The first element.
    #[inline]
    pub fn front(&self) -> Option<&[u8]> {
        (self.count > 0).then(|| self.after(self.begin()).0)
    }

    /// The last element.
    #[inline]
    pub fn back(&self) -> Option<&[u8]> {
        (self.count > 0).then(|| self.before(self.end()).0)
    }

    /// Takes the first element off, if there is one.
    #[inline]
    pub fn drop_front(&mut self) {
        if self.count > 0 {
            self.start = self.after(self.begin()).1 as u16;
            self.count -= 1;
            self.shrink();
        }
    }

    /// Takes the last element off, if there is one.
    #[inline]
    pub fn drop_back(&mut self) {
        if self.count > 0 {
            let end = self.before(self.end()).1;
            self.buffer.truncate(end);
            self.count -= 1;
            self.shrink();
        }
    }

    /// Whether an element of `len` bytes may be put in somewhere between others.
    #[inline]
    pub const fn has_room_between(&self, len: usize) -> bool {
        self.used() + element_size(len) <= PACKED_MAX
    }

    /// Puts an element in at `position`. The caller has asked [`Self::has_room_between`]. O(n) in bytes.
    pub fn insert(&mut self, position: usize, element: &[u8]) {
        debug_assert!(self.has_room_between(element.len()));
        let (size, at) = (element_size(element.len()), position - self.begin());
        if self.buffer.capacity() - self.end() < size {
            self.make_room_behind(size);
        }
        let (position, end) = (self.begin() + at, self.end());
        self.buffer.resize(end + size, 0);
        self.buffer.copy_within(position..end, position + size);
        write(&mut self.buffer[position..position + size], element);
        self.count += 1;
    }

    /// Takes `count` elements out that stand between two positions. O(n) in bytes.
    pub fn remove(&mut self, from: usize, until: usize, count: usize) {
        let end = self.end();
        self.buffer.copy_within(until..end, from);
        self.buffer.truncate(end - (until - from));
        self.count -= count as u16;
        self.shrink();
    }

    /// Replaces the element that follows `position` by one of the same length.
    pub fn overwrite(&mut self, position: usize, element: &[u8]) {
        let size = element_size(element.len());
        write(&mut self.buffer[position..position + size], element);
    }

    /// Takes out the elements that `matches` names, but for the first `spared` of them. Answers how many went. O(n) in bytes.
    pub fn remove_where(&mut self, spared: usize, mut matches: impl FnMut(&[u8]) -> bool) -> usize {
        let (mut kept, mut from, mut seen, mut gone) = (self.begin(), self.begin(), 0, 0);
        for _ in 0..self.len() {
            let (element, behind) = self.after(from);
            let is_match = matches(element);
            seen += usize::from(is_match);
            if is_match && seen > spared {
                gone += 1;
            } else {
                self.buffer.copy_within(from..behind, kept);
                kept += behind - from;
            }
            from = behind;
        }
        self.buffer.truncate(kept);
        self.count -= gone as u16;
        if gone > 0 {
            self.shrink();
        }
        gone
    }

    /// Cuts the row at `position`, before which there are `count` elements, and gives what stood behind.
    #[must_use]
    pub fn split_off(&mut self, position: usize, count: usize) -> Self {
        let behind = &self.buffer[position..];
        let mut buffer = Vec::with_capacity(usable(behind.len()));
        buffer.extend_from_slice(behind);
        let rest = Self { buffer, start: 0, count: self.count - count as u16, note: 0 };
        self.buffer.truncate(position);
        self.count = count as u16;
        self.shrink();
        rest
    }

    /// Whether two rows fill one no more than half.
    pub const fn would_join(&self, other: &Self) -> bool {
        self.used() + other.used() <= PACKED_MAX / 2
    }

    /// Adds the elements of another row, and its note to the row's. The caller has asked [`Self::would_join`].
    pub fn join(&mut self, other: &Self) {
        if self.buffer.capacity() - self.end() < other.used() {
            self.make_room_behind(other.used());
        }
        self.buffer.extend_from_slice(&other.buffer[other.begin()..]);
        self.count += other.count;
        self.note += other.note;
    }

    /// Gives back what is free, if it is a size class or more: for a row that is not expected to grow.
    pub fn fit(&mut self) {
        if usable(self.used()) < usable(self.buffer.capacity()) {
            self.relocate(usable(self.used()), 0);
        }
    }

    /// The position before the first element.
    #[inline]
    pub const fn begin(&self) -> usize {
        self.start as usize
    }

    /// The position behind the last element.
    #[inline]
    pub const fn end(&self) -> usize {
        self.buffer.len()
    }

    /// The element that follows `position`, which is not the end, and the position behind it.
    #[inline]
    pub fn after(&self, position: usize) -> (&[u8], usize) {
        let (len, width) = decode(self.buffer[position..].iter());
        let from = position + width;
        (&self.buffer[from..from + len], from + len + width)
    }

    /// The element that precedes `position`, which is not the beginning, and the position before it.
    #[inline]
    pub fn before(&self, position: usize) -> (&[u8], usize) {
        let (len, width) = decode(self.buffer[..position].iter().rev());
        let until = position - width;
        (&self.buffer[until - len..until], until - len - width)
    }

    /// The position before the element with this index, walked to from the nearer end; the end for the number of elements.
    pub fn seek(&self, index: usize) -> usize {
        debug_assert!(index <= self.len());
        if index <= self.len() / 2 {
            (0..index).fold(self.begin(), |position, _| self.after(position).1)
        } else {
            (index..self.len()).fold(self.end(), |position, _| self.before(position).1)
        }
    }

    /// Bytes that the elements take.
    #[inline]
    const fn used(&self) -> usize {
        self.end() - self.begin()
    }

    /// Bytes of the buffer that no element takes, at both ends.
    #[inline]
    const fn free(&self) -> usize {
        self.buffer.capacity() - self.used()
    }

    /// Whether `len` bytes may join at an end with `here` bytes to spare.
    #[inline]
    const fn has_room(&self, len: usize, here: usize) -> bool {
        let size = element_size(len);
        self.count == 0 || (self.used() + size <= PACKED_MAX && (here >= size || self.can_move()))
    }

    /// Whether the buffer may grow, or the content slide far enough to be worth it.
    #[inline]
    const fn can_move(&self) -> bool {
        self.buffer.capacity() < PACKED_MAX || self.free() * 4 >= self.buffer.capacity()
    }

    #[cold]
    fn make_room_behind(&mut self, size: usize) {
        let capacity = self.roomier(size);
        let left = capacity - self.used() - size;
        let slides = capacity == self.buffer.capacity();
        self.relocate(capacity, if slides { left / 2 } else { left.min(self.begin()) });
    }

    #[cold]
    fn make_room_before(&mut self, size: usize) {
        let capacity = self.roomier(size);
        let left = capacity - self.used() - size;
        let slides = capacity == self.buffer.capacity();
        let behind = if slides { left / 2 } else { left.min(self.buffer.capacity() - self.end()) };
        self.relocate(capacity, capacity - self.used() - behind);
    }

    /// The capacity with which `size` more bytes fit: the present one if sliding is enough.
    const fn roomier(&self, size: usize) -> usize {
        let (capacity, needed) = (self.buffer.capacity(), self.used() + size);
        if needed > PACKED_MAX {
            needed
        } else if needed <= capacity && self.free() * 4 >= capacity {
            capacity
        } else {
            let doubled = usable(greatest(greatest(needed, capacity * 2), CAPACITY_MIN));
            if doubled < PACKED_MAX { doubled } else { PACKED_MAX }
        }
    }

    /// Gives memory back once a quarter or less is used.
    #[inline]
    fn shrink(&mut self) {
        if self.count == 0 {
            *self = Self { note: self.note, ..Self::new() };
        } else if self.used() * 4 <= self.buffer.capacity() && self.buffer.capacity() > SHRINK_ABOVE
        {
            self.relocate(usable(self.used() * 2), 0);
        }
    }

    /// Moves the elements so that `gap` bytes precede them in a buffer of `capacity`.
    fn relocate(&mut self, capacity: usize, gap: usize) {
        let (begin, used) = (self.begin(), self.used());
        if capacity == self.buffer.capacity() {
            self.buffer.resize(self.end().max(gap + used), 0);
            self.buffer.copy_within(begin..begin + used, gap);
            self.buffer.truncate(gap + used);
        } else {
            let mut buffer = Vec::with_capacity(capacity);
            buffer.resize(gap, 0);
            buffer.extend_from_slice(&self.buffer[begin..]);
            self.buffer = buffer;
        }
        self.start = gap as u16;
    }
}

/// Writes an element into the bytes that it takes.
#[inline]
fn write(target: &mut [u8], element: &[u8]) {
    match target {
        [head, middle @ .., tail] if element.len() < 128 => {
            *head = element.len() as u8;
            middle.copy_from_slice(element);
            *tail = element.len() as u8;
        }
        _ => write_long(target, element),
    }
}

/// The same where the length takes several bytes.
fn write_long(target: &mut [u8], element: &[u8]) {
    let (length, width) = encode(element.len());
    let size = target.len();
    target[..width].copy_from_slice(&length[..width]);
    target[width..size - width].copy_from_slice(element);
    target[size - width..].copy_from_slice(&length[..width]);
    target[size - width..].reverse();
}

/// What an element of `len` bytes takes.
#[inline]
const fn element_size(len: usize) -> usize {
    len.saturating_add(2 * width(len))
}

/// How many bytes the length takes.
#[inline]
const fn width(len: usize) -> usize {
    if len < 128 { 1 } else { (len.ilog2() as usize) / 7 + 1 }
}

/// The length, lowest seven bits first, each byte but the last with its highest bit set; and how many bytes that is.
#[inline]
const fn encode(len: usize) -> ([u8; LENGTH_MAX], usize) {
    let (mut bytes, mut left, mut width) = ([0; LENGTH_MAX], len, 0);
    while left >= 128 {
        bytes[width] = left as u8 | 128;
        left >>= 7;
        width += 1;
    }
    bytes[width] = left as u8;
    (bytes, width + 1)
}

/// The length that `bytes` begin with, and how many bytes it takes.
#[inline]
fn decode<'a>(bytes: impl Iterator<Item = &'a u8>) -> (usize, usize) {
    let (mut len, mut width) = (0, 0);
    for byte in bytes {
        len |= usize::from(byte & 127) << (7 * width);
        width += 1;
        if *byte < 128 {
            break;
        }
    }
    (len, width)
}

const fn greatest(one: usize, other: usize) -> usize {
    if one > other { one } else { other }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    /// Everything the head of this file promises.
    fn check_invariants(packed: &Packed) {
        assert!(packed.len() <= 1 || packed.used() <= PACKED_MAX);
        assert!(packed.begin() < PACKED_MAX);
        assert!(packed.len() <= 1 || packed.buffer.capacity() <= PACKED_MAX);
        let mut position = packed.begin();
        for _ in 0..packed.len() {
            position = packed.after(position).1;
        }
        assert_eq!(position, packed.end());
    }

    fn elements(packed: &Packed) -> Vec<Vec<u8>> {
        let mut position = packed.begin();
        let mut next = || {
            let (element, behind) = packed.after(position);
            position = behind;
            element.to_vec()
        };
        (0..packed.len()).map(|_| next()).collect()
    }

    #[test]
    fn lengths_take_a_byte_for_seven_bits() {
        for len in [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            2_097_151,
            2_097_152,
            1 << 29,
            u32::MAX as usize + 1,
            usize::MAX,
        ] {
            let (bytes, bytes_len) = encode(len);
            assert_eq!(bytes_len, width(len));
            assert_eq!(decode(bytes.iter()), (len, bytes_len));
        }
    }

    #[test]
    fn a_full_row_of_small_elements_wastes_nothing() {
        for front in [false, true] {
            let mut packed = Packed::new();
            while if front { packed.has_room_before(8) } else { packed.has_room_behind(8) } {
                if front { packed.push_front(&[7; 8]) } else { packed.push_back(&[7; 8]) }
            }
            assert_eq!(packed.len(), PACKED_MAX / 10);
            assert_eq!(packed.heap_bytes(), PACKED_MAX);
        }
    }

    #[test]
    fn a_long_element_stands_alone_in_a_buffer_of_its_size() {
        let mut packed = Packed::new();
        packed.push_front(&vec![1; 100_000]);
        assert_eq!(packed.heap_bytes(), usable(100_006));
        assert!(!packed.has_room_behind(0));
        assert!(!packed.has_room_before(0));
        packed.drop_back();
        assert_eq!(packed.heap_bytes(), 0);
    }

    #[test]
    fn a_queue_stays_in_a_small_buffer() {
        let mut packed = Packed::new();
        for n in 0_u32..10_000 {
            packed.push_back(&n.to_le_bytes());
            if n >= 10 {
                packed.drop_front();
            }
        }
        assert_eq!(packed.front(), Some(&9_990_u32.to_le_bytes()[..]));
        assert!(packed.heap_bytes() <= 128, "{}", packed.heap_bytes());
    }

    #[test]
    fn positions_are_found_from_the_nearer_end() {
        let mut packed = Packed::new();
        (0..100_u8).for_each(|n| packed.push_back(&[n]));
        for n in 0..100_u8 {
            assert_eq!(packed.after(packed.seek(n.into())).0, [n]);
        }
        assert_eq!(packed.seek(100), packed.end());
    }

    #[derive(Clone, Debug)]
    enum Step {
        PushFront(usize),
        PushBack(usize),
        DropFront,
        DropBack,
        Insert(usize, usize),
        Remove(usize, usize),
        Overwrite(usize),
        RemoveWhere(u8, usize),
        SplitAndJoin(usize),
    }

    fn step(long: usize) -> impl Strategy<Value = Step> {
        let len = || prop_oneof![6 => 0_usize..20, 2 => 120_usize..140, 1 => 0..long];
        prop_oneof![
            4 => len().prop_map(Step::PushFront),
            4 => len().prop_map(Step::PushBack),
            3 => Just(Step::DropFront),
            3 => Just(Step::DropBack),
            2 => (0_usize..100, len()).prop_map(|(at, len)| Step::Insert(at, len)),
            1 => (0_usize..100, 0_usize..9).prop_map(|(at, count)| Step::Remove(at, count)),
            1 => (0_usize..100).prop_map(Step::Overwrite),
            1 => (0_u8..7, 0_usize..5).prop_map(|(rest, spared)| Step::RemoveWhere(rest, spared)),
            1 => (0_usize..100).prop_map(Step::SplitAndJoin),
        ]
    }

    fn twins_agree(steps: Vec<Step>) {
        let (mut packed, mut twin) = (Packed::new(), VecDeque::new());
        for (salt, step) in steps.into_iter().enumerate() {
            match step {
                Step::PushFront(len) if packed.has_room_before(len) => {
                    packed.push_front(&vec![salt as u8; len]);
                    twin.push_front(vec![salt as u8; len]);
                }
                Step::PushBack(len) if packed.has_room_behind(len) => {
                    packed.push_back(&vec![salt as u8; len]);
                    twin.push_back(vec![salt as u8; len]);
                }
                Step::PushFront(_) | Step::PushBack(_) => assert!(!packed.is_empty()),
                Step::DropFront => {
                    packed.drop_front();
                    twin.pop_front();
                }
                Step::DropBack => {
                    packed.drop_back();
                    twin.pop_back();
                }
                Step::Insert(at, len) if packed.has_room_between(len) => {
                    let at = at.min(twin.len());
                    packed.insert(packed.seek(at), &vec![salt as u8; len]);
                    twin.insert(at, vec![salt as u8; len]);
                }
                Step::Remove(at, count) => {
                    let (at, until) = (at.min(twin.len()), (at + count).min(twin.len()));
                    packed.remove(packed.seek(at), packed.seek(until), until - at);
                    twin.drain(at..until);
                }
                Step::Overwrite(at) if at < twin.len() => {
                    twin[at].fill(salt as u8);
                    packed.overwrite(packed.seek(at), &twin[at]);
                }
                Step::Insert(..) | Step::Overwrite(_) => {}
                Step::RemoveWhere(rest, spared) => {
                    let is_match = |e: &[u8]| e.first().is_some_and(|byte| byte % 7 == rest);
                    let (before, mut seen) = (twin.len(), 0);
                    twin.retain(|e| {
                        seen += usize::from(is_match(e));
                        !is_match(e) || seen <= spared
                    });
                    assert_eq!(packed.remove_where(spared, is_match), before - twin.len());
                }
                Step::SplitAndJoin(at) => {
                    let at = at.min(twin.len());
                    let rest = packed.split_off(packed.seek(at), at);
                    assert_eq!((packed.len(), rest.len()), (at, twin.len() - at));
                    if packed.would_join(&rest) {
                        packed.join(&rest);
                    } else if at > 0 {
                        twin.truncate(at);
                    } else {
                        packed = rest;
                    }
                }
            }
            assert_eq!(packed.len(), twin.len());
            assert_eq!(packed.front(), twin.front().map(Vec::as_slice));
            assert_eq!(packed.back(), twin.back().map(Vec::as_slice));
            check_invariants(&packed);
        }
        assert_eq!(elements(&packed), Vec::from(twin));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn agrees_with_the_slow_twin(steps in proptest::collection::vec(step(500), 0..400)) {
            twins_agree(steps);
        }

        #[test]
        fn agrees_with_the_slow_twin_on_long_elements(steps in proptest::collection::vec(step(20_000), 0..100)) {
            twins_agree(steps);
        }
    }
}
