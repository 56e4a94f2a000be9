//! An ordered map for keys that mostly come in ascending order: a deque of rows, each sorted and of at most [`ROW_MAX`] pairs.
//!
//! ```text
//! rows: [1 2 3 … 64] [65 … 128] [129 … 140]      appending fills the last row, then begins another
//! ```
//!
//! A pair is found by two binary searches. Appending costs a comparison; what is appended in order fills rows to the brim, so a pair
//! takes what it is and nothing more. Inserting in the midst moves at most a row, and splits it if it is full. Removing moves at most a
//! row; a row that is empty goes, and one that is three quarters empty gives back half.
//!
//! Invariants:
//! * No row is empty; keys ascend within rows and from row to row.
//! * `len` is the number of pairs, `row_bytes` what the rows take from the allocator.

use std::collections::VecDeque;
use std::iter::FusedIterator;
use std::ops::{Bound, RangeBounds};

use crate::relocate::Mover;
use crate::size_class::usable;

/// The most pairs in a row.
pub const ROW_MAX: usize = 64;

/// Rows of fewer pairs are not worth shrinking.
const SHRINK_ABOVE: usize = 8;

/// An ordered map; see the head of the file. `V`'s own heap is not its business.
#[derive(Debug)]
pub struct SortedRows<K, V> {
    rows: VecDeque<Vec<(K, V)>>,
    len: usize,
    row_bytes: usize,
}

impl<K, V> Default for SortedRows<K, V> {
    fn default() -> Self {
        Self { rows: VecDeque::new(), len: 0, row_bytes: 0 }
    }
}

impl<K: Clone, V: Clone> Clone for SortedRows<K, V> {
    /// A copy has rows of no more capacity than they need.
    fn clone(&self) -> Self {
        let rows = self.rows.clone();
        let row_bytes = rows.iter().map(row_bytes).sum();
        Self { rows, len: self.len, row_bytes }
    }
}

/// Before a pair, or at the end: a row, and a pair in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    row: usize,
    pair: usize,
}

impl<K: Ord + Copy, V> SortedRows<K, V> {
    /// A map of nothing, which allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of pairs.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes on the heap, but for what values own. O(1).
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        let directory = self.rows.capacity() * size_of::<Vec<(K, V)>>();
        self.row_bytes + if directory == 0 { 0 } else { usable(directory) }
    }

    /// Moves the rows, and what values own as `each` does.
    pub(crate) fn relocate(
        &mut self,
        mover: &mut Mover,
        from: u64,
        each: impl Fn(&mut Mover, &mut V),
    ) -> u64 {
        if from == 0 {
            mover.deque(&mut self.rows);
        }
        let rows = &mut self.rows;
        mover.walk(from, rows.len(), |mover, at| {
            mover.vec(&mut rows[at]);
            rows[at].iter_mut().for_each(|(_, value)| each(mover, value));
        })
    }

    /// How many allocations there are.
    pub fn allocations(&self) -> usize {
        self.rows.len()
    }

    /// The value of a key. O(log n), as all that look for a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let place = self.find(key)?;
        Some(&self.rows[place.row][place.pair].1)
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = self.find(key)?;
        Some(&mut self.rows[place.row][place.pair].1)
    }

    /// Whether a key is there.
    pub fn contains(&self, key: &K) -> bool {
        self.find(key).is_some()
    }

    /// The pair with the least key. O(1).
    #[inline]
    pub fn first(&self) -> Option<(K, &V)> {
        self.rows.front()?.first().map(|(key, value)| (*key, value))
    }

    /// The pair with the greatest key. O(1).
    #[inline]
    pub fn last(&self) -> Option<(K, &V)> {
        self.rows.back()?.last().map(|(key, value)| (*key, value))
    }

    /// As [`Self::last`], its value to be changed.
    #[inline]
    pub fn last_mut(&mut self) -> Option<(K, &mut V)> {
        self.rows.back_mut()?.last_mut().map(|(key, value)| (*key, value))
    }

    /// Sets the value of a key; gives back the one it had.
    #[inline]
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.last().is_none_or(|(last, _)| last < key) {
            self.append(key, value);
            return None;
        }
        let place = self.place(|other| *other < key);
        let pair = &mut self.rows[place.row][place.pair];
        if pair.0 == key {
            return Some(std::mem::replace(&mut pair.1, value));
        }
        self.insert_at(place, key, value);
        None
    }

    #[inline]
    fn append(&mut self, key: K, value: V) {
        if self.rows.back().is_none_or(|row| row.len() == ROW_MAX) {
            if self.rows.is_empty() {
                // Most maps never need a second row, and the deque would begin with room for four.
                self.rows.reserve_exact(1);
            }
            self.rows.push_back(Vec::new());
        }
        let row = self.rows.len() - 1;
        self.make_room(row);
        self.rows[row].push((key, value));
        self.len += 1;
    }

    fn insert_at(&mut self, place: Place, key: K, value: V) {
        let mut place = place;
        if self.rows[place.row].len() == ROW_MAX {
            self.split(place.row);
            if place.pair > ROW_MAX / 2 {
                place = Place { row: place.row + 1, pair: place.pair - ROW_MAX / 2 };
            }
        }
        self.make_room(place.row);
        self.rows[place.row].insert(place.pair, (key, value));
        self.len += 1;
    }

    /// Doubles a row that is full.
    #[inline]
    fn make_room(&mut self, row: usize) {
        let pairs = &mut self.rows[row];
        if pairs.len() < pairs.capacity() {
            return;
        }
        self.row_bytes -= row_bytes(pairs);
        pairs.reserve_exact(pairs.len().clamp(1, ROW_MAX - pairs.len()));
        self.row_bytes += row_bytes(pairs);
    }

    fn split(&mut self, row: usize) {
        let pairs = &mut self.rows[row];
        self.row_bytes -= row_bytes(pairs);
        let upper = pairs.split_off(ROW_MAX / 2);
        pairs.shrink_to_fit();
        self.row_bytes += row_bytes(pairs) + row_bytes(&upper);
        self.rows.insert(row + 1, upper);
    }

    /// Takes a key out; gives back its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let place = self.find(key)?;
        let pairs = &mut self.rows[place.row];
        let (_, value) = pairs.remove(place.pair);
        self.len -= 1;
        if pairs.is_empty() {
            self.row_bytes -= row_bytes(pairs);
            self.rows.remove(place.row);
            self.shrink_directory();
        } else if pairs.capacity() > SHRINK_ABOVE && pairs.len() * 4 <= pairs.capacity() {
            self.row_bytes -= row_bytes(pairs);
            pairs.shrink_to(pairs.len() * 2);
            self.row_bytes += row_bytes(pairs);
        }
        Some(value)
    }

    fn shrink_directory(&mut self) {
        if self.rows.capacity() > SHRINK_ABOVE && self.rows.len() * 4 <= self.rows.capacity() {
            self.rows.shrink_to(self.rows.len() * 2);
        }
    }

    /// All pairs in order.
    pub fn iter(&self) -> Iter<'_, K, V> {
        self.range(..)
    }

    /// The pairs whose keys lie in `range`, from either end. O(log n) and what is taken.
    pub fn range(&self, range: impl RangeBounds<K>) -> Iter<'_, K, V> {
        let front = match range.start_bound() {
            Bound::Unbounded => Place { row: 0, pair: 0 },
            Bound::Included(from) => self.place(|key| key < from),
            Bound::Excluded(from) => self.place(|key| key <= from),
        };
        let back = match range.end_bound() {
            Bound::Unbounded => Place { row: self.rows.len(), pair: 0 },
            Bound::Included(until) => self.place(|key| key <= until),
            Bound::Excluded(until) => self.place(|key| key < until),
        };
        Iter { rows: &self.rows, front, back }
    }

    fn find(&self, key: &K) -> Option<Place> {
        let place = self.place(|other| other < key);
        self.rows.get(place.row).filter(|row| row[place.pair].0 == *key).map(|_| place)
    }

    /// The place of the first pair for which `is_before` does not hold. Never behind the last pair of a row.
    fn place(&self, is_before: impl Fn(&K) -> bool) -> Place {
        let last_is_before = |row: &Vec<(K, V)>| row.last().is_some_and(|(key, _)| is_before(key));
        let row = self.rows.partition_point(last_is_before);
        let pair =
            self.rows.get(row).map_or(0, |row| row.partition_point(|(key, _)| is_before(key)));
        Place { row, pair }
    }
}

impl<'a, K: Ord + Copy, V> IntoIterator for &'a SortedRows<K, V> {
    type Item = (K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

fn row_bytes<T>(row: &Vec<T>) -> usize {
    let bytes = row.capacity() * size_of::<T>();
    if bytes == 0 { 0 } else { usable(bytes) }
}

/// Pairs in order, from either end.
#[derive(Debug)]
pub struct Iter<'a, K, V> {
    rows: &'a VecDeque<Vec<(K, V)>>,
    front: Place,
    back: Place,
}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<K, V> Iter<'_, K, V> {
    const fn is_done(&self) -> bool {
        self.front.row > self.back.row
            || (self.front.row == self.back.row && self.front.pair >= self.back.pair)
    }
}

impl<'a, K: Copy, V> Iterator for Iter<'a, K, V> {
    type Item = (K, &'a V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done() {
            return None;
        }
        let row = &self.rows[self.front.row];
        let (key, value) = &row[self.front.pair];
        self.front.pair += 1;
        if self.front.pair == row.len() {
            self.front = Place { row: self.front.row + 1, pair: 0 };
        }
        Some((*key, value))
    }
}

impl<K: Copy, V> DoubleEndedIterator for Iter<'_, K, V> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.is_done() {
            return None;
        }
        if self.back.pair == 0 {
            let row = self.back.row - 1;
            self.back = Place { row, pair: self.rows[row].len() };
        }
        self.back.pair -= 1;
        let (key, value) = &self.rows[self.back.row][self.back.pair];
        Some((*key, value))
    }
}

impl<K: Copy, V> FusedIterator for Iter<'_, K, V> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Everything the head of this file promises.
    fn check_invariants(map: &SortedRows<u32, u64>) {
        assert!(map.rows.iter().all(|row| !row.is_empty() && row.len() <= ROW_MAX));
        assert!(map.iter().map(|(key, _)| key).is_sorted_by(|a, b| a < b));
        assert_eq!(map.rows.iter().map(Vec::len).sum::<usize>(), map.len);
        assert_eq!(map.rows.iter().map(row_bytes).sum::<usize>(), map.row_bytes);
    }

    #[test]
    fn what_comes_in_order_takes_what_it_is() {
        let mut map = SortedRows::new();
        (0..100_000_u32).for_each(|n| assert_eq!(map.insert(n, u64::from(n)), None));
        check_invariants(&map);
        assert!(map.heap_bytes() < 100_000 * 17, "{}", map.heap_bytes());
        assert_eq!(SortedRows::<u32, u64>::new().heap_bytes(), 0);
    }

    #[test]
    fn a_queue_does_not_grow() {
        let mut map = SortedRows::new();
        for n in 0..100_000_u32 {
            map.insert(n, 0);
            if n >= 100 {
                assert_eq!(map.remove(&(n - 100)), Some(0));
            }
        }
        assert!(map.heap_bytes() < 8_000, "{}", map.heap_bytes());
        check_invariants(&map);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u32),
        Append(u32),
        Remove(u32),
        Range(u32, u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        let key = || 0_u32..600;
        prop_oneof![
            4 => key().prop_map(Step::Insert),
            4 => (1_u32..5).prop_map(Step::Append),
            4 => key().prop_map(Step::Remove),
            1 => (key(), key()).prop_map(|(from, until)| Step::Range(from, until)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn agrees_with_the_slow_twin(steps in proptest::collection::vec(step(), 0..900)) {
            let (mut map, mut twin) = (SortedRows::new(), BTreeMap::new());
            for (n, step) in steps.into_iter().enumerate() {
                let value = n as u64;
                match step {
                    Step::Insert(key) => {
                        prop_assert_eq!(map.insert(key, value), twin.insert(key, value));
                    }
                    Step::Append(gap) => {
                        let key = twin.keys().next_back().map_or(0, |last| last + gap);
                        prop_assert_eq!(map.insert(key, value), twin.insert(key, value));
                    }
                    Step::Remove(key) => {
                        prop_assert_eq!(map.contains(&key), twin.contains_key(&key));
                        prop_assert_eq!(map.get(&key), twin.get(&key));
                        prop_assert_eq!(map.remove(&key), twin.remove(&key));
                    }
                    Step::Range(from, until) if from <= until => {
                        let slow: Vec<_> = twin.range(from..=until).map(|(k, v)| (*k, *v)).collect();
                        let owned = |(key, value): (u32, &u64)| (key, *value);
                        let fast: Vec<_> = map.range(from..=until).map(owned).collect();
                        prop_assert_eq!(&slow, &fast);
                        let mut back: Vec<_> = map.range(from..=until).rev().map(owned).collect();
                        back.reverse();
                        prop_assert_eq!(&slow, &back);
                        let slow: Vec<_> = twin.range(..until).map(|(k, v)| (*k, *v)).collect();
                        prop_assert_eq!(slow, map.range(..until).map(owned).collect::<Vec<_>>());
                    }
                    Step::Range(from, until) => prop_assert!(map.range(from..=until).next().is_none()),
                }
                check_invariants(&map);
                prop_assert_eq!(map.first().map(|(k, v)| (k, *v)), twin.first_key_value().map(|(k, v)| (*k, *v)));
                prop_assert_eq!(map.last().map(|(k, v)| (k, *v)), twin.last_key_value().map(|(k, v)| (*k, *v)));
            }
        }
    }
}
