//! LRM: whoever was not changed for the longest time goes first.
//!
//! ```text
//! | seconds since 1970: 24 bits |
//! ```

use super::recency::Recency;
use crate::policy::Policy;

/// By the last change: what this second is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change(pub Recency);

impl Policy for Change {
    fn first(self) -> u32 {
        self.0.first()
    }

    #[inline]
    fn hit(self, bits: u32, _dice: impl FnOnce() -> u64) -> u32 {
        bits
    }

    #[inline]
    fn update(self, _bits: u32, _dice: impl FnOnce() -> u64) -> u32 {
        self.0.first()
    }

    #[inline]
    fn rank(self, glance: u32) -> u32 {
        self.0.rank(glance)
    }

    fn idle_for(self, seconds: u64) -> Option<u32> {
        self.0.idle_for(seconds)
    }

    fn idle_seconds(self, bits: u32) -> Option<u32> {
        self.0.idle_seconds(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_and_a_use_does_not() {
        let (early, late) = (Change(Recency(5)), Change(Recency(9)));
        let bits = early.first();
        assert_eq!(late.hit(bits, || 0), bits);
        assert_eq!(late.idle_seconds(bits), Some(4));
        assert_eq!(late.update(bits, || 0), late.first());
    }
}
