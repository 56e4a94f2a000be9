//! LRU: whoever was not used for the longest time goes first.
//!
//! ```text
//! | seconds since 1970: 24 bits |
//! ```
//!
//! A glance shows the lower 20 of them: twelve days. Who was not used for longer may look as if it were new, for as long as it would take
//! to be among the oldest once more.

use crate::policy::{GLANCE_MASK, Policy};

/// The bits of the clock that an entry has room for.
pub(super) const CLOCK_MASK: u32 = 0x00ff_ffff;

/// By the last use: what this second is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recency(pub u32);

impl Recency {
    /// At this millisecond since 1970.
    #[inline]
    pub const fn at(now_ms: u64) -> Self {
        Self((now_ms / 1000) as u32 & CLOCK_MASK)
    }

    /// For how many seconds an entry has not been used.
    #[inline]
    pub const fn idle(self, bits: u32) -> u32 {
        self.0.wrapping_sub(bits) & CLOCK_MASK
    }
}

impl Policy for Recency {
    #[inline]
    fn first(self) -> u32 {
        self.0
    }

    #[inline]
    fn hit(self, _bits: u32, _dice: impl FnOnce() -> u64) -> u32 {
        self.0
    }

    #[inline]
    fn rank(self, glance: u32) -> u32 {
        self.idle(glance) & GLANCE_MASK
    }

    fn idle_for(self, seconds: u64) -> Option<u32> {
        Some(self.0.wrapping_sub(seconds as u32) & CLOCK_MASK)
    }

    fn idle_seconds(self, bits: u32) -> Option<u32> {
        Some(self.idle(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recency_is_the_second_of_the_last_use() {
        let recency = Recency::at(1_700_000_000_999);
        let bits = recency.hit(0, || unreachable!("no dice"));
        assert_eq!(bits, recency.first());
        assert_eq!(recency.idle_seconds(bits), Some(0));
        assert_eq!(Recency::at(1_700_000_010_000).idle_seconds(bits), Some(10));
        assert_eq!(recency.idle_seconds(recency.idle_for(3600).unwrap()), Some(3600));
        assert_eq!(recency.count(bits), None);
    }

    #[test]
    fn a_clock_that_comes_round_goes_on() {
        assert_eq!(Recency(9).idle(Recency(CLOCK_MASK).first()), 10);
    }
}
