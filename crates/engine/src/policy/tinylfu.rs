//! TinyLFU (Einziger, Friedman and Manes, 2017): whoever is asked for least goes first, and what was evicted is remembered.
//!
//! ```text
//! | nothing: 4 bits | newest: 1 bit | nothing: 3 bits | epoch: 8 bits | uses: 8 bits |
//! ```
//!
//! The original counts every request in a sketch. Here the uses of a key that is there are counted in its entry, where that costs
//! nothing more, and those of a key that was evicted are in the [`Ghosts`](crate::eviction::ghosts::Ghosts) until it comes back. Uses
//! count half in each epoch after theirs; an epoch is as long as it takes to evict a multiple of what there is.
//!
//! What is new stands aside until some more has come, so that it can be asked for again: then it is compared with the least of those
//! who were looked at, and one of them goes.

use crate::policy::{NEWEST, Newest, Plan, Policy, Source, Verdict};

const USES: u32 = 0xff;

/// More than these are not counted, so that what was popular is forgotten in a few epochs.
const USES_MAX: u32 = 63;

/// Uses that are remembered, of four bits.
const REMEMBERED_MAX: u32 = 15;

const EPOCH_SHIFT: u32 = 8;
const EPOCH_MASK: u32 = 0xff;

/// By the count of uses: in which epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TinyLfu(pub u8);

impl TinyLfu {
    /// What the uses of an entry count by now.
    #[inline]
    const fn uses(self, bits: u32) -> u32 {
        let epochs = (self.0 as u32).wrapping_sub(bits >> EPOCH_SHIFT) & EPOCH_MASK;
        // Shifted by more than a byte has, nothing is left.
        if epochs > 8 { 0 } else { (bits & USES) >> epochs }
    }

    #[inline]
    const fn bits(self, uses: u32) -> u32 {
        (self.0 as u32) << EPOCH_SHIFT | uses
    }

    const fn rank_of(self, bits: u32) -> u32 {
        1 + USES - self.uses(bits)
    }
}

impl Policy for TinyLfu {
    const PLAN: Plan = Plan {
        source: Source::Samples,
        newest: Newest::Percent(2),
        remembers: true,
        is_patient: true,
    };

    fn first(self) -> u32 {
        self.bits(1)
    }

    #[inline]
    fn hit(self, bits: u32, _dice: impl FnOnce() -> u64) -> u32 {
        let uses = self.uses(bits) + 1;
        bits & NEWEST | self.bits(if uses > USES_MAX { USES_MAX } else { uses })
    }

    #[inline]
    fn rank(self, glance: u32) -> u32 {
        if glance & NEWEST != 0 { 0 } else { self.rank_of(glance) }
    }

    fn enter(bits: u32, remembered: Option<u8>) -> u32 {
        NEWEST | (bits + u32::from(remembered.unwrap_or(0)))
    }

    fn leave(self, bits: u32) -> Verdict {
        let bits = bits & !NEWEST;
        Verdict::Go(bits, u64::from(self.rank_of(bits)))
    }

    fn memory(self, bits: u32) -> Option<u8> {
        Some(self.uses(bits).min(REMEMBERED_MAX) as u8)
    }

    fn counted(self, count: u8) -> Option<u32> {
        Some(self.bits(u32::from(count).min(USES_MAX)))
    }

    fn count(self, bits: u32) -> Option<u32> {
        Some(self.uses(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_count_half_in_each_later_epoch() {
        let bits = TinyLfu(255).counted(40).unwrap();
        let left = [255, 0, 1, 5, 9, 100].map(|epoch| TinyLfu(epoch).count(bits).unwrap());
        assert_eq!(left, [40, 20, 10, 0, 0, 0]);
        assert_eq!(TinyLfu(0).count(TinyLfu(0).hit(bits, || 0)), Some(21));
        assert_eq!(TinyLfu(0).count(TinyLfu(0).hit(63, || 0)), Some(63));
    }

    #[test]
    fn who_comes_back_has_its_uses_again() {
        let policy = TinyLfu(3);
        let memory = policy.memory(policy.counted(9).unwrap());
        let bits = TinyLfu::enter(policy.first(), memory);
        assert_eq!((policy.count(bits), bits & NEWEST), (Some(10), NEWEST));
        assert_eq!(policy.leave(bits), Verdict::Go(bits & !NEWEST, 246));
        assert_eq!(policy.hit(bits, || 0) & NEWEST, NEWEST);
    }
}
