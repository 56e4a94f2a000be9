//! SIEVE (Zhang and others, NSDI 2024): one queue, and a hand that takes whoever was not used since it came by.
//!
//! ```text
//! | nothing: 4 bits | newest: 1 bit | nothing: 18 bits | used: 1 bit |
//! ```
//!
//! The hand goes from the oldest to the newest and then begins anew; who stays keeps its place, so that what is new is soon looked at.
//! Here the hand goes round the table as long as it is among those who stayed before, in whatever order that is, and then on along the
//! newest, in the order in which they came.

use crate::policy::{NEWEST, Newest, Plan, Policy, Source, Verdict};

/// Used since the hand came by.
const USED: u32 = 1;

/// By whether an entry was used since it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sieve;

impl Policy for Sieve {
    const PLAN: Plan =
        Plan { source: Source::Hand, newest: Newest::Round, remembers: false, is_patient: true };

    fn first(self) -> u32 {
        0
    }

    #[inline]
    fn hit(self, bits: u32, _dice: impl FnOnce() -> u64) -> u32 {
        bits | USED
    }

    #[inline]
    fn rank(self, glance: u32) -> u32 {
        if glance & NEWEST != 0 { 0 } else { 1 + USED - (glance & USED) }
    }

    fn enter(bits: u32, _remembered: Option<u8>) -> u32 {
        bits | NEWEST
    }

    fn leave(self, bits: u32) -> Verdict {
        self.pass(bits)
    }

    fn pass(self, bits: u32) -> Verdict {
        if bits & USED == 0 { Verdict::Go(0, 2) } else { Verdict::Stay(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_use_lasts_for_one_round() {
        let bits = Sieve.hit(Sieve::enter(Sieve.first(), None), || 0);
        assert_eq!(bits, NEWEST | USED);
        assert_eq!(Sieve.leave(bits), Verdict::Stay(0));
        assert_eq!(Sieve.pass(0), Verdict::Go(0, 2));
    }
}
