//! How many keys have how large a value: a histogram by powers of two for each type, kept true as values change.
//!
//! The size of a string is its bytes, that of a collection its elements. A database of a shard has few classes as a rule, so they stand in
//! a short list that is searched from its front.

use crate::relocate::Mover;
use crate::size_class::usable;
use crate::value::Type;

/// Classes of sizes of a type: nothing, one, two to three, four to seven …
pub const BINS: usize = 65;

/// A type and a class of sizes, as one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(u16);

impl Class {
    /// That of no entry.
    pub(crate) const NONE: Self = Self(u16::MAX);
}

/// How large an entry is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    /// Bytes that the entry and its value take from the allocator.
    pub(crate) weight: usize,
    pub(crate) class: Class,
}

impl Measure {
    /// Of no entry.
    pub(crate) const NOTHING: Self = Self { weight: 0, class: Class::NONE };

    /// Of a value of `len` bytes or elements.
    #[inline]
    pub(crate) const fn of(kind: Type, len: usize, weight: usize) -> Self {
        Self { weight, class: Class(kind as u16 * BINS as u16 + bin(len) as u16) }
    }
}

/// The class of a size: 0, or how many bits it has.
#[inline]
pub const fn bin(len: usize) -> usize {
    (usize::BITS - len.leading_zeros()) as usize
}

/// The least size of a class.
pub const fn least(bin: usize) -> u64 {
    if bin == 0 { 0 } else { 1 << (bin - 1) }
}

/// How long a number is as text.
#[inline]
pub(crate) const fn digits(number: i64) -> usize {
    let digits = match number.unsigned_abs() {
        0 => 1,
        number => number.ilog10() as usize + 1,
    };
    digits + (number < 0) as usize
}

/// The histograms of one database's part of a shard.
#[derive(Debug, Default)]
pub struct Sizes {
    counts: Vec<(Class, u32)>,
}

impl Sizes {
    /// An entry goes from one class to another. Answers by how many bytes this has grown.
    #[inline]
    pub(crate) fn move_one(&mut self, old: Class, new: Class) -> isize {
        if old == new { 0 } else { self.move_apart(old, new) }
    }

    #[inline(never)]
    fn move_apart(&mut self, old: Class, new: Class) -> isize {
        let before = self.heap_bytes();
        self.change(old, new);
        self.heap_bytes() as isize - before as isize
    }

    fn change(&mut self, old: Class, new: Class) {
        if new != Class::NONE {
            match self.counts.iter_mut().find(|(class, _)| *class == new) {
                Some((_, count)) => *count += 1,
                None => self.counts.push((new, 1)),
            }
        }
        let Some(at) = self.counts.iter().position(|(class, _)| *class == old) else { return };
        self.counts[at].1 -= 1;
        if self.counts[at].1 == 0 && self.counts.iter().all(|(_, count)| *count == 0) {
            self.counts = Vec::new();
        }
    }

    pub(crate) fn relocate(&mut self, mover: &mut Mover) {
        mover.vec(&mut self.counts);
    }

    /// Bytes on the heap.
    pub(crate) const fn heap_bytes(&self) -> usize {
        match self.counts.capacity() {
            0 => 0,
            classes => usable(classes * size_of::<(Class, u32)>()),
        }
    }

    /// Adds the counts to those of `kind` by class.
    pub fn add_to(&self, kind: Type, bins: &mut [u64; BINS]) {
        let first = kind as usize * BINS;
        for (class, count) in &self.counts {
            if let Some(bin) = (class.0 as usize).checked_sub(first).filter(|bin| *bin < BINS) {
                bins[bin] += u64::from(*count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_sizes_from_a_power_of_two_to_the_next() {
        let cases = [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (7, 3), (8, 4), (1 << 40, 1 << 40)];
        for (len, least_of) in cases {
            let expected = if len < 1 << 40 { least_of } else { bin(len) };
            assert_eq!(bin(len), expected);
            assert!(least(bin(len)) <= len as u64);
        }
        assert_eq!((digits(0), digits(-1), digits(10), digits(i64::MIN)), (1, 2, 2, 20));
    }
}
