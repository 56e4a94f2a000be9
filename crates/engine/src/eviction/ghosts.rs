//! What is remembered of keys that were evicted: some bits of their hash, and four bits beside.
//!
//! ```text
//! group: | 8 slots of 16 bits |        slot: | hash: 12 bits | memory: 4 bits |
//! ```
//!
//! A key has one group, and whoever comes takes the slot there that says least, unless that says more than it would: then it wears it by
//! one, so that what was much asked for once does not stay for ever. There are about as many slots as keys, one or two bytes a key. A key is
//! taken for another once in five hundred times, which costs a policy little.

use crate::prefetch::prefetch;
use crate::relocate::Mover;
use crate::size_class::usable;

const SLOTS: usize = 8;
const MEMORY_BITS: u32 = 4;
const MEMORY_MASK: u16 = (1 << MEMORY_BITS) - 1;

type Group = [u16; SLOTS];

/// Keys that are not there any more.
#[derive(Debug, Default)]
pub struct Ghosts {
    /// A power of two, or none.
    groups: Box<[Group]>,
}

/// The bits of a hash that a slot keeps; never none.
const fn face(hash: u64) -> u16 {
    let face = (hash >> 32) as u16 & (u16::MAX >> MEMORY_BITS);
    if face == 0 { 1 } else { face }
}

/// The slot that says least: one that is empty, or has the least memory; among equals the first from `turn` on. One number is made of each, so
/// that nothing is branched on.
fn least(group: &Group, turn: usize) -> usize {
    let order = |(nth, slot): (usize, &u16)| {
        let (is_used, memory) = (u32::from(*slot != 0), u32::from(*slot & MEMORY_MASK));
        let distance = nth.wrapping_sub(turn) % SLOTS;
        (is_used << 8 | memory << 4) as usize | distance
    };
    let least = group.iter().enumerate().map(order).fold(usize::MAX, usize::min);
    least.wrapping_add(turn) % SLOTS
}

impl Ghosts {
    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        if self.groups.is_empty() { 0 } else { usable(size_of_val(&*self.groups)) }
    }

    pub(crate) fn relocate(&mut self, mover: &mut Mover) {
        mover.slice(&mut self.groups);
    }

    fn group(&mut self, hash: u64) -> Option<&mut Group> {
        let at = hash as usize & self.groups.len().wrapping_sub(1);
        self.groups.get_mut(at)
    }

    /// Asks for what is remembered of a key, by the lower bits of its hash.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        let at = hash as usize & self.groups.len().wrapping_sub(1);
        prefetch(self.groups.as_ptr().wrapping_add(at).cast());
    }

    /// Remembers a key by its hash, beside about `keys` others.
    pub fn remember(&mut self, hash: u64, memory: u8, keys: usize) {
        self.fit(keys);
        let Some(group) = self.group(hash) else { return };
        let face = face(hash);
        let same = group.iter().position(|slot| slot >> MEMORY_BITS == face);
        let slot = &mut group[same.unwrap_or_else(|| least(group, (hash >> 44) as usize))];
        if same.is_none() && *slot & MEMORY_MASK > u16::from(memory) {
            *slot -= 1;
            return;
        }
        *slot = face << MEMORY_BITS | u16::from(memory) & MEMORY_MASK;
    }

    /// What is remembered of a key, which is forgotten with this.
    pub fn recall(&mut self, hash: u64) -> Option<u8> {
        let slot = self.group(hash)?.iter_mut().find(|slot| **slot >> MEMORY_BITS == face(hash))?;
        Some((std::mem::take(slot) & MEMORY_MASK) as u8)
    }

    /// Has as many slots as there are keys, or up to half of that.
    fn fit(&mut self, keys: usize) {
        let wanted = 1 << (keys / SLOTS).max(1).ilog2();
        let groups = self.groups.len();
        if wanted > groups || wanted * 4 <= groups {
            // A key's group is told by the low bits of its hash: twice as many groups hold the same ones twice, half as many the lower.
            let of = |at: usize| self.groups.get(at & groups.wrapping_sub(1)).copied();
            self.groups = (0..wanted).map(|at| of(at).unwrap_or_default()).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn who_was_remembered_is_recalled_once() {
        let mut ghosts = Ghosts::default();
        assert_eq!((ghosts.recall(7), ghosts.heap_bytes()), (None, 0));
        ghosts.remember(7 << 32, 5, 100);
        assert_eq!((ghosts.recall(7 << 32), ghosts.recall(7 << 32)), (Some(5), None));
    }

    #[test]
    fn most_of_as_many_as_there_are_keys_are_remembered_and_few_others_recalled() {
        let (mut ghosts, mut random) = (Ghosts::default(), Random::new(1));
        let keys: Vec<u64> = (0..1000).map(|_| random.next_u64()).collect();
        keys.iter().for_each(|hash| ghosts.remember(*hash, 3, 2048));
        assert_eq!(ghosts.heap_bytes(), 4096);
        let strangers = (0..10_000).filter(|_| ghosts.recall(random.next_u64()).is_some()).count();
        assert!(strangers < 50, "{strangers}");
        let recalled = keys.iter().filter(|hash| ghosts.recall(**hash).is_some()).count();
        assert!(recalled > 900, "{recalled}");
    }

    #[test]
    fn the_slot_that_says_least_is_taken() {
        assert_eq!(least(&[0x11, 0x20, 0, 0x10, 0, 0x11, 0x11, 0x11], 3), 4);
        assert_eq!(least(&[0x11, 0x20, 0x13, 0x10, 0x15, 0x11, 0x11, 0x11], 0), 1);
        assert_eq!(least(&[0x11, 0x20, 0x13, 0x10, 0x15, 0x11, 0x11, 0x11], usize::MAX - 5), 3);
        assert_eq!(least(&[0x11; SLOTS], 21), 5);
    }

    #[test]
    fn memories_outlive_growth() {
        let mut ghosts = Ghosts::default();
        ghosts.remember(9 << 32 | 0xabcd, 7, 8);
        ghosts.remember(1, 1, 100_000);
        assert_eq!(ghosts.recall(9 << 32 | 0xabcd), Some(7));
    }
}
