//! How many keys have how large a value: a histogram by powers of two for each type, kept true as values change.
//!
//! The size of a string is its bytes, that of a collection its elements. A database of a shard has few classes as a rule, so they stand in
//! a short list that is searched from its front, the first two in place.

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

/// How many entries there are of a class.
#[derive(Clone, Copy, Debug)]
struct Count {
    class: Class,
    entries: u32,
}

/// Classes that are counted in place.
const NEAR: usize = 2;

/// The histograms of one database's part of a shard. What it holds is of a class or two as a rule: these stand here, where nothing is to be
/// waited for, and the others in a list. A class that comes and goes may stand in both.
#[derive(Debug)]
pub struct Sizes {
    near: [Count; NEAR],
    far: Box<[Count]>,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { near: [Count { class: Class::NONE, entries: 0 }; NEAR], far: Box::default() }
    }
}

impl Sizes {
    /// An entry goes from one class to another. Answers by how many bytes this has grown.
    #[inline]
    pub(crate) fn move_one(&mut self, old: Class, new: Class) -> isize {
        if old == new {
            return 0;
        }
        let grown = if new == Class::NONE { 0 } else { self.enter(new) };
        grown + if old == Class::NONE { 0 } else { self.leave(old) }
    }

    #[inline]
    fn enter(&mut self, class: Class) -> isize {
        match self.near.iter_mut().find(|near| near.class == class && near.entries > 0) {
            Some(near) => {
                near.entries += 1;
                0
            }
            None => self.enter_far(class),
        }
    }

    #[inline]
    fn leave(&mut self, class: Class) -> isize {
        match self.near.iter_mut().find(|near| near.class == class && near.entries > 0) {
            Some(near) => {
                near.entries -= 1;
                0
            }
            None => self.leave_far(class),
        }
    }

    #[inline(never)]
    fn enter_far(&mut self, class: Class) -> isize {
        if let Some(far) = self.far.iter_mut().find(|far| far.class == class) {
            far.entries += 1;
            return 0;
        }
        let first = Count { class, entries: 1 };
        if let Some(free) = self.near.iter_mut().find(|near| near.entries == 0) {
            *free = first;
            return 0;
        }
        let before = self.heap_bytes();
        let mut far = std::mem::take(&mut self.far).into_vec();
        far.reserve_exact(1);
        far.push(first);
        self.far = far.into_boxed_slice();
        self.heap_bytes() as isize - before as isize
    }

    #[inline(never)]
    fn leave_far(&mut self, class: Class) -> isize {
        let is_it = |far: &&mut Count| far.class == class && far.entries > 0;
        let Some(far) = self.far.iter_mut().find(is_it) else { return 0 };
        far.entries -= 1;
        if self.far.iter().any(|far| far.entries > 0) {
            return 0;
        }
        let before = self.heap_bytes();
        self.far = Box::default();
        -(before as isize)
    }

    pub(crate) fn relocate(&mut self, mover: &mut Mover) {
        mover.slice(&mut self.far);
    }

    /// Bytes on the heap.
    pub(crate) const fn heap_bytes(&self) -> usize {
        match self.far.len() {
            0 => 0,
            classes => usable(classes * size_of::<Count>()),
        }
    }

    /// Adds the counts to those of `kind` by class.
    pub fn add_to(&self, kind: Type, bins: &mut [u64; BINS]) {
        let first = kind as usize * BINS;
        for count in self.near.iter().chain(&self.far) {
            let bin = (count.class.0 as usize).checked_sub(first).filter(|bin| *bin < BINS);
            if let Some(bin) = bin {
                bins[bin] += u64::from(count.entries);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn counts_are_those_of_a_plain_histogram(moves in proptest::collection::vec((0usize..6, any::<bool>()), 0..200)) {
            let (mut sizes, mut twin, mut bytes) = (Sizes::default(), [0; BINS], 0);
            for (bin, comes) in moves {
                let class = Measure::of(Type::Hash, least(bin) as usize, 0).class;
                if comes {
                    bytes += sizes.move_one(Class::NONE, class);
                    twin[bin] += 1;
                } else if twin[bin] > 0 {
                    bytes += sizes.move_one(class, Class::NONE);
                    twin[bin] -= 1;
                }
                let mut bins = [0; BINS];
                sizes.add_to(Type::Hash, &mut bins);
                prop_assert_eq!(bins, twin);
                prop_assert_eq!(bytes, sizes.heap_bytes() as isize);
            }
        }
    }
}
