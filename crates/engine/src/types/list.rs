//! Lists.
//!
//! A deque of rows ([`Packed`]), each of up to 8 KB of elements; an element too long for a row stands in one of its own. Pushing and
//! popping touch the row at that end. A position is found by counting over rows, whose lengths are known, and then within one row,
//! from whichever end is nearer: a list of a million short elements is 1500 rows. Changes in the middle ([`edit`]) touch the one row
//! where they happen, which splits when it is full and joins its neighbour when both are nearly empty.
//!
//! Redis keeps a short list as one listpack and a long one as several, and clients can ask which. So each row's note says what its
//! elements would take in a listpack, and the list remembers which of the two it is ([`form`]).
//!
//! Invariants:
//! * No row is empty.
//! * `len` is the sum of their elements, `weight` of their bytes on the heap.
//! * A row's note is the sum of what its elements would take in a listpack.

mod edit;
mod form;

pub use form::ListMax;

use std::collections::VecDeque;
use std::iter::FusedIterator;
use std::ops::Range;

use crate::collections::packed::Packed;
use crate::relocate::{Mover, Progress};
use crate::size_class::usable;
use crate::value::{Collection, collection};
use form::{Weight, listpack_size};

/// Directories of rows up to here are not worth shrinking.
const SHRINK_ABOVE: usize = 16;

/// A list of byte strings, open at both ends.
#[derive(Debug, Default)]
pub struct List {
    rows: VecDeque<Packed>,
    len: usize,
    weight: Weight,
}

const _: () = assert!(size_of::<List>() == 48);

impl Clone for List {
    /// The copy's rows are made to measure, so it may weigh less.
    fn clone(&self) -> Self {
        let (rows, mut weight) = (self.rows.clone(), Weight::new());
        rows.iter().for_each(|row| weight.moved(0, row.heap_bytes()));
        weight.set_quick(self.weight.is_quick());
        Self { rows, len: self.len, weight }
    }
}

impl Collection for List {
    collection!(List);

    #[inline]
    fn len(&self) -> usize {
        self.len
    }

    fn encoding(&self) -> &'static str {
        if self.weight.is_quick() { "quicklist" } else { "listpack" }
    }

    #[inline]
    fn heap_bytes(&self) -> usize {
        let directory = self.rows.capacity() * size_of::<Packed>();
        self.weight.bytes() + if directory == 0 { 0 } else { usable(directory) }
    }

    fn free_cost(&self) -> usize {
        self.rows.len()
    }

    fn relocate(&mut self, mover: &mut Mover, from: Progress) -> Option<Progress> {
        if from.at == 0 {
            mover.deque(&mut self.rows);
        }
        let rows = &mut self.rows;
        let next = mover.walk(from.at, rows.len(), |mover, at| rows[at].move_buffer(mover));
        from.then(next, 1)
    }
}

impl List {
    /// The empty list, which allocates nothing.
    pub const fn new() -> Self {
        Self { rows: VecDeque::new(), len: 0, weight: Weight::new() }
    }

    /// How many elements there are.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// In how many rows they stand.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an element at the end.
    pub fn push_back(&mut self, element: &[u8]) {
        if self.rows.back().is_none_or(|row| !row.has_room_behind(element.len())) {
            self.add_row(Self::last_row, VecDeque::push_back);
        }
        self.change(Self::last_row, |row| {
            row.push_back(element);
            row.note += listpack_size(element);
        });
        self.len += 1;
    }

    /// Adds an element before the first.
    pub fn push_front(&mut self, element: &[u8]) {
        if self.rows.front().is_none_or(|row| !row.has_room_before(element.len())) {
            self.add_row(Self::first_row, VecDeque::push_front);
        }
        self.change(Self::first_row, |row| {
            row.push_front(element);
            row.note += listpack_size(element);
        });
        self.len += 1;
    }

    /// The first element.
    #[inline]
    pub fn front(&self) -> Option<&[u8]> {
        self.rows.front()?.front()
    }

    /// The last element.
    #[inline]
    pub fn back(&self) -> Option<&[u8]> {
        self.rows.back()?.back()
    }

    /// Takes the first element off.
    pub fn pop_front(&mut self) -> Option<Vec<u8>> {
        let element = self.front()?.to_vec();
        self.drop_front();
        Some(element)
    }

    /// Takes the last element off.
    pub fn pop_back(&mut self) -> Option<Vec<u8>> {
        let element = self.back()?.to_vec();
        self.drop_back();
        Some(element)
    }

    /// As [`Self::pop_front`], for one who has read it already; `false` if there is none.
    pub fn drop_front(&mut self) -> bool {
        if self.is_empty() {
            return false;
        }
        self.change(Self::first_row, |row| {
            row.note -= row.front().map_or(0, listpack_size);
            row.drop_front();
        });
        self.len -= 1;
        self.rows.pop_front_if(|row| row.is_empty());
        self.shrink();
        true
    }

    /// As [`Self::pop_back`], for one who has read it already; `false` if there is none.
    pub fn drop_back(&mut self) -> bool {
        if self.is_empty() {
            return false;
        }
        self.change(Self::last_row, |row| {
            row.note -= row.back().map_or(0, listpack_size);
            row.drop_back();
        });
        self.len -= 1;
        self.rows.pop_back_if(|row| row.is_empty());
        self.shrink();
        true
    }

    /// The element at `index`; -1 is the last.
    pub fn get(&self, index: i64) -> Option<&[u8]> {
        let index = usize::try_from(self.absolute(index)).ok().filter(|index| *index < self.len)?;
        let place = self.seek(index);
        Some(self.rows[place.row].after(place.position).0)
    }

    /// All elements in order.
    pub fn iter(&self) -> Iter<'_> {
        self.between(0..self.len)
    }

    /// The elements from `start` up to and with `stop`, where -1 is the last: LRANGE. Whatever is outside the list is left out.
    pub fn range(&self, start: i64, stop: i64) -> Iter<'_> {
        let start = self.absolute(start).max(0);
        let behind = self.absolute(stop).saturating_add(1).min(self.len as i64);
        self.between(if start < behind { start as usize..behind as usize } else { 0..0 })
    }

    fn between(&self, range: Range<usize>) -> Iter<'_> {
        Iter {
            rows: &self.rows,
            front: self.seek(range.start),
            back: self.seek(range.end),
            left: range.len(),
        }
    }

    /// Goes on with elements that were left; the list has not changed since.
    pub fn go_on(&self, left: Left) -> Iter<'_> {
        let back = Place { row: self.rows.len(), position: 0 };
        Iter { rows: &self.rows, front: left.front, back, left: left.count }
    }

    /// Counts from the front what may be counted from the end.
    const fn absolute(&self, index: i64) -> i64 {
        if index < 0 { index.saturating_add(self.len as i64) } else { index }
    }

    /// The place before the element at `index`; the end for the number of elements.
    fn seek(&self, index: usize) -> Place {
        let (row, index) = if index <= self.len / 2 {
            self.row_from_front(index)
        } else {
            self.row_from_back(index)
        };
        Place { row, position: self.rows.get(row).map_or(0, |row| row.seek(index)) }
    }

    /// The row that holds `index`, and the index within.
    fn row_from_front(&self, mut index: usize) -> (usize, usize) {
        for (number, row) in self.rows.iter().enumerate() {
            if index < row.len() {
                return (number, index);
            }
            index -= row.len();
        }
        (self.rows.len(), 0)
    }

    /// As [`Self::row_from_front`]; the end is in the last row.
    fn row_from_back(&self, index: usize) -> (usize, usize) {
        let mut first = self.len;
        for (number, row) in self.rows.iter().enumerate().rev() {
            first -= row.len();
            if first <= index {
                return (number, index - first);
            }
        }
        (0, 0)
    }

    fn first_row(&mut self) -> Option<&mut Packed> {
        self.rows.front_mut()
    }

    fn last_row(&mut self) -> Option<&mut Packed> {
        self.rows.back_mut()
    }

    /// Adds a row beside the one at that end, which will hardly grow again.
    #[cold]
    fn add_row(
        &mut self,
        end: fn(&mut Self) -> Option<&mut Packed>,
        push: fn(&mut VecDeque<Packed>, Packed),
    ) {
        if self.rows.is_empty() {
            // Most lists never need a second row, and the deque would begin with room for four.
            self.rows.reserve_exact(1);
        } else {
            self.change(end, Packed::fit);
        }
        push(&mut self.rows, Packed::new());
    }

    /// Changes the row at one end and counts its bytes anew.
    #[inline]
    fn change(
        &mut self,
        end: fn(&mut Self) -> Option<&mut Packed>,
        with: impl FnOnce(&mut Packed),
    ) {
        let row = end(self).expect("the caller has seen to it that there is a row");
        let before = row.heap_bytes();
        with(row);
        let after = row.heap_bytes();
        self.weight.moved(before, after);
    }

    #[inline]
    fn shrink(&mut self) {
        if self.rows.capacity() > SHRINK_ABOVE && self.rows.len() * 4 <= self.rows.capacity() {
            self.rows.shrink_to(self.rows.len() * 2);
        }
    }
}

impl<'a> IntoIterator for &'a List {
    type Item = &'a [u8];
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Elements of a list, from either end.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rows: &'a VecDeque<Packed>,
    front: Place,
    back: Place,
    left: usize,
}

/// Between two elements: a row, and a position in it as [`Packed`] gives them.
#[derive(Clone, Copy, Debug)]
struct Place {
    row: usize,
    position: usize,
}

/// Elements of a list that are yet to be seen, from the front: what is left of an [`Iter`] that nothing was taken from the back of.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    front: Place,
    count: usize,
}

impl Iter<'_> {
    /// What has not been seen yet.
    pub const fn left(&self) -> Left {
        Left { front: self.front, count: self.left }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        if self.front.position == self.rows[self.front.row].end() {
            self.front.row += 1;
            self.front.position = self.rows[self.front.row].begin();
        }
        let (element, behind) = self.rows[self.front.row].after(self.front.position);
        self.front.position = behind;
        Some(element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        if self.back.row == self.rows.len()
            || self.back.position == self.rows[self.back.row].begin()
        {
            self.back.row -= 1;
            self.back.position = self.rows[self.back.row].end();
        }
        let (element, before) = self.rows[self.back.row].before(self.back.position);
        self.back.position = before;
        Some(element)
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl FusedIterator for Iter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use proptest::prelude::*;

    /// Everything the head of this file promises.
    fn check_invariants(list: &List) {
        assert!(list.rows.iter().all(|row| !row.is_empty()));
        assert_eq!(list.rows.iter().map(Packed::len).sum::<usize>(), list.len);
        assert_eq!(list.rows.iter().map(Packed::heap_bytes).sum::<usize>(), list.weight.bytes());
        let notes = list.rows.iter().map(|row| row.note).sum::<u32>();
        assert_eq!(list.iter().map(listpack_size).sum::<u32>(), notes);
    }

    fn numbers(count: u32) -> List {
        let mut list = List::new();
        (0..count).for_each(|n| list.push_back(&n.to_le_bytes()));
        list
    }

    fn bytes_per_element(list: &List) -> f64 {
        list.heap_bytes() as f64 / list.len() as f64
    }

    #[test]
    fn small_elements_take_two_bytes_more_than_they_are() {
        let mut front = List::new();
        (0..100_000_u32).for_each(|n| front.push_front(&n.to_le_bytes()));
        for list in [numbers(100_000), front] {
            assert!(bytes_per_element(&list) < 4.0 + 2.1, "{}", bytes_per_element(&list));
            check_invariants(&list);
        }
    }

    #[test]
    fn awkward_elements_leave_no_row_half_empty() {
        let mut list = List::new();
        (0..1_000).for_each(|_| list.push_back(&[1; 2_900]));
        assert!(bytes_per_element(&list) < 2_900.0 * 1.1, "{}", bytes_per_element(&list));
    }

    #[test]
    fn a_list_of_one_takes_its_row_and_one_place() {
        let mut list = List::new();
        assert_eq!(list.heap_bytes(), 0);
        list.push_back(b"hello");
        assert_eq!(list.heap_bytes(), 16 + 32);
    }

    #[test]
    fn a_queue_does_not_grow() {
        let mut list = List::new();
        for n in 0..200_000_u32 {
            list.push_back(&n.to_le_bytes());
            if n >= 1_000 {
                assert_eq!(list.pop_front(), Some((n - 1_000).to_le_bytes().to_vec()));
            }
        }
        assert!(list.heap_bytes() < 20_000, "{}", list.heap_bytes());
        check_invariants(&list);
    }

    #[test]
    fn a_drained_list_holds_nothing_but_its_directory() {
        let mut list = numbers(100_000);
        while list.drop_back() {}
        check_invariants(&list);
        assert_eq!(list.weight.bytes(), 0);
        assert!(list.heap_bytes() < 1_000, "{}", list.heap_bytes());
    }

    #[test]
    fn ranges_are_those_of_lrange() {
        let list = numbers(10);
        let range = |start, stop| list.range(start, stop).map(|e| e[0]).collect::<Vec<_>>();
        assert_eq!(range(0, -1), (0..10).collect::<Vec<_>>());
        assert_eq!(range(-3, -1), [7, 8, 9]);
        assert_eq!(range(-100, 1), [0, 1]);
        assert_eq!(range(8, 100), [8, 9]);
        assert_eq!(range(i64::MIN, i64::MAX).len(), 10);
        for (start, stop) in [
            (5, 4),
            (10, 20),
            (0, -11),
            (-1, -2),
            (i64::MAX, i64::MIN),
            (0, i64::MIN),
            (i64::MAX, i64::MAX),
        ] {
            assert_eq!(range(start, stop), [0_u8; 0], "{start} {stop}");
            assert_eq!(list.range(start, stop).next_back(), None);
        }
        assert_eq!(List::new().range(0, -1).next(), None);
        assert_eq!(List::new().iter().next_back(), None);
    }

    #[test]
    fn iteration_meets_in_the_middle() {
        let list = numbers(5_000);
        let mut iter = list.iter();
        let mut seen = Vec::new();
        while let (Some(front), back) = (iter.next(), iter.next_back()) {
            seen.push(front.to_vec());
            seen.extend(back.map(<[u8]>::to_vec));
        }
        assert_eq!(seen.len(), 5_000);
        assert_eq!(iter.next_back(), None);
        assert!(list.iter().rev().eq(list.iter().collect::<Vec<_>>().into_iter().rev()));
    }

    #[derive(Clone, Debug)]
    enum Step {
        PushFront(usize),
        PushBack(usize),
        PopFront,
        PopBack,
        Get(i64),
        Range(i64, i64),
        Set(i64, usize),
        Insert(u8, bool, usize),
        Remove(i64, u8),
        Trim(i64, i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let len = || prop_oneof![6 => 0_usize..20, 3 => 500_usize..3_000, 1 => 8_100_usize..20_000];
        prop_oneof![
            4 => len().prop_map(Step::PushFront),
            4 => len().prop_map(Step::PushBack),
            2 => Just(Step::PopFront),
            2 => Just(Step::PopBack),
            1 => (-60_i64..60).prop_map(Step::Get),
            1 => (-60_i64..60, -60_i64..60).prop_map(|(start, stop)| Step::Range(start, stop)),
            2 => (-60_i64..60, len()).prop_map(|(index, len)| Step::Set(index, len)),
            2 => (any::<u8>(), any::<bool>(), len()).prop_map(|(n, is_after, len)| Step::Insert(n, is_after, len)),
            1 => (-3_i64..4, any::<u8>()).prop_map(|(count, n)| Step::Remove(count, n)),
            1 => (-200_i64..20, -20_i64..200).prop_map(|(start, stop)| Step::Trim(start, stop)),
        ]
    }

    /// The twin's LRANGE, element by element.
    fn slow_range(twin: &VecDeque<Vec<u8>>, start: i64, stop: i64) -> Vec<&[u8]> {
        let len = twin.len() as i64;
        let absolute = |index| if index < 0 { index + len } else { index };
        let inside = |n: &i64| absolute(start) <= *n && *n <= absolute(stop);
        (0..len).filter(inside).map(|n| twin[n as usize].as_slice()).collect()
    }

    fn slow_remove(twin: &mut VecDeque<Vec<u8>>, element: &[u8], count: i64) -> usize {
        let wanted = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
        for gone in 0..wanted {
            let found = if count < 0 {
                twin.iter().rposition(|other| other == element)
            } else {
                twin.iter().position(|other| other == element)
            };
            let Some(at) = found else { return gone };
            twin.remove(at);
        }
        wanted
    }

    fn twins_agree(steps: Vec<Step>) {
        let (mut list, mut twin) = (List::new(), VecDeque::new());
        let mut random = Random::new(3);
        for step in steps {
            let mut fresh = |len| vec![random.next_u64() as u8; len];
            match step {
                Step::PushFront(len) => {
                    twin.push_front(fresh(len));
                    list.push_front(&twin[0]);
                }
                Step::PushBack(len) => {
                    twin.push_back(fresh(len));
                    list.push_back(&twin[twin.len() - 1]);
                }
                Step::PopFront => assert_eq!(list.pop_front(), twin.pop_front()),
                Step::PopBack => assert_eq!(list.pop_back(), twin.pop_back()),
                Step::Get(index) => {
                    assert_eq!(list.get(index), slow_range(&twin, index, index).first().copied());
                }
                Step::Range(start, stop) => {
                    let expected = slow_range(&twin, start, stop);
                    assert!(list.range(start, stop).eq(expected.iter().copied()));
                    assert!(list.range(start, stop).rev().eq(expected.iter().rev().copied()));
                    assert_eq!(list.range(start, stop).len(), expected.len());
                }
                Step::Set(index, len) => {
                    let at =
                        usize::try_from(if index < 0 { index + twin.len() as i64 } else { index });
                    let old = at.ok().and_then(|at| twin.get_mut(at));
                    let element = fresh(len);
                    assert_eq!(list.set(index, &element), old.is_some());
                    old.into_iter().for_each(|old| old.clone_from(&element));
                }
                Step::Insert(n, is_after, len) => {
                    let element = fresh(len);
                    let pivot =
                        twin.get(usize::from(n) % twin.len().max(1)).cloned().unwrap_or_default();
                    let found = twin.iter().position(|other| *other == pivot);
                    assert_eq!(list.insert(&pivot, &element, is_after), found.is_some());
                    found
                        .into_iter()
                        .for_each(|at| twin.insert(at + usize::from(is_after), element.clone()));
                }
                Step::Remove(count, n) => {
                    let element =
                        twin.get(usize::from(n) % twin.len().max(1)).cloned().unwrap_or_default();
                    assert_eq!(
                        list.remove(&element, count),
                        slow_remove(&mut twin, &element, count)
                    );
                }
                Step::Trim(start, stop) => {
                    let kept: VecDeque<_> =
                        slow_range(&twin, start, stop).into_iter().map(<[u8]>::to_vec).collect();
                    assert_eq!(list.trim(start, stop), twin.len() - kept.len());
                    twin = kept;
                }
            }
            check_invariants(&list);
        }
        assert!(list.iter().eq(twin.iter().map(Vec::as_slice)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn agrees_with_the_slow_twin(steps in proptest::collection::vec(step(), 0..300)) {
            twins_agree(steps);
        }
    }
}
