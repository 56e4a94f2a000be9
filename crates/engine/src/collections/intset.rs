//! A sorted row of integers in one buffer, byte for byte as Redis keeps and saves it.
//!
//! ```text
//! | bytes of an integer: u32 | integers: u32 | integer | integer | …      all little-endian, ascending
//! ```
//!
//! All integers take two, four or eight bytes, as many as the one that needs most; a row that has become wide stays wide.
//!
//! Invariants:
//! * The buffer is eight bytes and `integers` times their width, and the integers ascend.
//! * The buffer's capacity is a size class of the allocator, the smallest that holds it.

use crate::relocate::Mover;
use crate::size_class::usable;

/// Bytes before the first integer.
const HEADER: usize = 8;

/// More integers than this Redis keeps in no row, whatever its configuration says.
pub const INTSET_MAX: usize = 1 << 30;

/// A sorted row of integers.
#[derive(Debug, PartialEq, Eq)]
pub struct Intset(Vec<u8>);

impl Default for Intset {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for Intset {
    fn clone(&self) -> Self {
        let mut buffer = Vec::with_capacity(usable(self.0.len()));
        buffer.extend_from_slice(&self.0);
        Self(buffer)
    }
}

/// Bytes that this integer needs.
const fn width_of(number: i64) -> usize {
    match number {
        -0x8000..=0x7fff => 2,
        -0x8000_0000..=0x7fff_ffff => 4,
        _ => 8,
    }
}

impl Intset {
    /// A row of nothing.
    pub fn new() -> Self {
        Self::with_width(2, HEADER)
    }

    fn with_width(width: usize, bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(usable(bytes));
        buffer.extend_from_slice(&[width as u8, 0, 0, 0, 0, 0, 0, 0]);
        Self(buffer)
    }

    /// Moves the buffer.
    pub(crate) fn relocate(&mut self, mover: &mut Mover) {
        mover.vec(&mut self.0);
    }

    /// A row of these bytes, if they are one. O(n).
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let width = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
        let len = u32::from_le_bytes(*bytes.get(4..HEADER)?.first_chunk()?) as usize;
        if !matches!(width, 2 | 4 | 8) || bytes.len() != HEADER + len * width {
            return None;
        }
        let mut intset = Self(bytes);
        intset.0.shrink_to(usable(intset.0.len()));
        intset.reserve_class(intset.0.len());
        intset.iter().is_sorted_by(|one, other| one < other).then_some(intset)
    }

    /// The bytes, as files have them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many integers there are.
    #[inline]
    pub fn len(&self) -> usize {
        (self.0.len() - HEADER) / self.width()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.len() == HEADER
    }

    /// Bytes on the heap, in the allocator's classes.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        usable(self.0.capacity())
    }

    /// The integer with this index, by size.
    #[inline]
    pub fn get(&self, index: usize) -> Option<i64> {
        (index < self.len()).then(|| self.read(index))
    }

    /// The smallest integer.
    pub fn first(&self) -> Option<i64> {
        self.get(0)
    }

    /// The greatest integer.
    pub fn last(&self) -> Option<i64> {
        self.get(self.len().wrapping_sub(1))
    }

    /// All integers, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = i64> + DoubleEndedIterator {
        (0..self.len()).map(|index| self.read(index))
    }

    /// Whether `number` is there. O(log n).
    pub fn contains(&self, number: i64) -> bool {
        self.search(number).is_ok()
    }

    /// Adds an integer; `false` if it is there. O(n) for those above it.
    pub fn insert(&mut self, number: i64) -> bool {
        let Err(index) = self.search(number) else { return false };
        if width_of(number) > self.width() {
            self.widen(width_of(number));
        }
        let (len, width, at) = (self.len(), self.width(), self.place(index));
        let old = self.0.len();
        self.reserve_class(old + width);
        self.0.resize(old + width, 0);
        self.0.copy_within(at..old, at + width);
        self.0[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
        self.set_len(len + 1);
        true
    }

    /// Removes an integer; `false` if it is not there. O(n) for those above it.
    pub fn remove(&mut self, number: i64) -> bool {
        let Ok(index) = self.search(number) else { return false };
        let (len, width, at) = (self.len(), self.width(), self.place(index));
        self.0.copy_within(at + width.., at);
        self.0.truncate(self.0.len() - width);
        self.set_len(len - 1);
        if usable(self.0.len()) < self.0.capacity() {
            self.0.shrink_to(usable(self.0.len()));
        }
        true
    }

    #[inline]
    fn width(&self) -> usize {
        self.0[0] as usize
    }

    #[inline]
    fn place(&self, index: usize) -> usize {
        HEADER + index * self.width()
    }

    #[inline]
    fn read(&self, index: usize) -> i64 {
        let bytes = &self.0[self.place(index)..];
        match self.width() {
            2 => i16::from_le_bytes([bytes[0], bytes[1]]) as i64,
            4 => i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as i64,
            _ => i64::from_le_bytes(*bytes.first_chunk().expect("eight bytes for each integer")),
        }
    }

    /// The index of `number`, or the one where it would be.
    fn search(&self, number: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        // Most rows are filled in ascending order.
        if self.last().is_none_or(|last| last < number) {
            return Err(high);
        }
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.read(middle).cmp(&number) {
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    fn set_len(&mut self, len: usize) {
        self.0[4..HEADER].copy_from_slice(&(len as u32).to_le_bytes());
    }

    #[cold]
    fn widen(&mut self, width: usize) {
        let mut wide = Self::with_width(width, HEADER + self.len() * width);
        for number in self.iter() {
            wide.0.extend_from_slice(&number.to_le_bytes()[..width]);
        }
        wide.set_len(self.len());
        *self = wide;
    }

    /// Grows to the class that holds `bytes`.
    fn reserve_class(&mut self, bytes: usize) {
        if usable(bytes) > self.0.capacity() {
            self.0.reserve_exact(usable(bytes) - self.0.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn check_invariants(intset: &Intset) {
        assert_eq!(Intset::from_bytes(intset.as_bytes().to_vec()).as_ref(), Some(intset));
        assert_eq!(intset.0.capacity(), usable(intset.0.len()));
    }

    fn of(numbers: &[i64]) -> Intset {
        let mut intset = Intset::new();
        numbers.iter().for_each(|number| assert!(intset.insert(*number)));
        intset
    }

    /// By DUMP of Redis 7.0.15.
    #[test]
    fn bytes_are_those_of_redis() {
        assert_eq!(of(&[1, -2, 300]).0, b"\x02\0\0\0\x03\0\0\0\xfe\xff\x01\0\x2c\x01");
        assert_eq!(of(&[1, -70_000]).0, b"\x04\0\0\0\x02\0\0\0\x90\xee\xfe\xff\x01\0\0\0");
        let wide = of(&[5, -5, 1 << 40]);
        assert_eq!(wide.0[..HEADER], *b"\x08\0\0\0\x03\0\0\0");
        assert_eq!(wide.0[HEADER..HEADER + 8], *b"\xfb\xff\xff\xff\xff\xff\xff\xff");
        assert_eq!(wide.0[HEADER + 16..], *b"\0\0\0\0\0\x01\0\0");
    }

    #[test]
    fn hostile_bytes_are_refused() {
        for bytes in [
            &b""[..],
            b"\x02\0\0\0\0\0\0",
            b"\x03\0\0\0\0\0\0\0",
            b"\x02\0\0\0\x01\0\0\0",
            b"\x02\0\0\0\x01\0\0\0\x01",
            b"\x02\0\0\0\xff\xff\xff\xff\x01\0",
            b"\x02\0\0\0\x02\0\0\0\x01\0\x01\0",
            b"\x02\0\0\0\x02\0\0\0\x01\0\xff\xff",
        ] {
            assert_eq!(Intset::from_bytes(bytes.to_vec()), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_slow_twin(
            steps in proptest::collection::vec((any::<bool>(), any::<i64>(), 0_u32..64), 0..200),
        ) {
            let (mut intset, mut twin) = (Intset::new(), BTreeSet::new());
            for (adds, number, shift) in steps {
                let number = number >> shift;
                if adds {
                    prop_assert_eq!(intset.insert(number), twin.insert(number));
                } else {
                    prop_assert_eq!(intset.remove(number), twin.remove(&number));
                }
                check_invariants(&intset);
                prop_assert_eq!(intset.contains(number), twin.contains(&number));
                prop_assert!(intset.iter().eq(twin.iter().copied()));
                prop_assert_eq!(intset.first(), twin.first().copied());
                prop_assert_eq!(intset.last(), twin.last().copied());
            }
        }
    }
}
