//! S3-FIFO (Yang and others, SOSP 2023): a small queue for what is new, a large one for what was asked for again.
//!
//! ```text
//! | nothing: 4 bits | newest: 1 bit | left: 1 bit | nothing: 16 bits | uses: 2 bits |
//! ```
//!
//! A tenth of the keys are the newest. Who leaves them without two uses goes, and is remembered; who had them, or comes back while it is
//! remembered, joins the others. Of these a hand takes whoever has no use left, and one use from everybody else. The original keeps the
//! others in the order in which they joined; here the hand goes round the table, which needs no bytes and meets them as often.

use crate::policy::{NEWEST, Newest, Plan, Policy, Source, Verdict};

/// Left the newest and may go; if it does, it is remembered.
const LEFT: u32 = 1 << 18;

/// Of the uses.
const USES: u32 = 3;

/// By the queue that an entry is in, and how often it was used in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct S3Fifo;

impl Policy for S3Fifo {
    const PLAN: Plan = Plan {
        source: Source::Hand,
        newest: Newest::Percent(10),
        remembers: true,
        is_patient: true,
    };

    fn first(self) -> u32 {
        0
    }

    #[inline]
    fn hit(self, bits: u32, _dice: impl FnOnce() -> u64) -> u32 {
        if bits & USES == USES { bits } else { bits + 1 }
    }

    #[inline]
    fn rank(self, glance: u32) -> u32 {
        if glance & NEWEST != 0 { 0 } else { 1 + USES - (glance & USES) }
    }

    fn enter(_bits: u32, remembered: Option<u8>) -> u32 {
        if remembered.is_some() { 0 } else { NEWEST }
    }

    fn leave(self, bits: u32) -> Verdict {
        match bits & USES {
            uses @ ..=1 => Verdict::Go(LEFT | uses, u64::MAX),
            _ => Verdict::Stay(0),
        }
    }

    fn pass(self, bits: u32) -> Verdict {
        match bits & USES {
            0 => Verdict::Go(bits, 1 + u64::from(USES)),
            uses => Verdict::Stay(uses - 1),
        }
    }

    fn memory(self, bits: u32) -> Option<u8> {
        (bits & LEFT != 0).then_some(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_for_twice_joins_the_others() {
        let mut bits = S3Fifo::enter(S3Fifo.first(), None);
        assert_eq!(S3Fifo.leave(bits), Verdict::Go(LEFT, u64::MAX));
        bits = S3Fifo.hit(S3Fifo.hit(bits, || 0), || 0);
        assert_eq!(S3Fifo.leave(bits), Verdict::Stay(0));
        assert_eq!(S3Fifo.memory(LEFT), Some(1));
        assert_eq!(S3Fifo::enter(0, Some(1)), 0);
    }

    #[test]
    fn the_hand_takes_uses_until_there_are_none() {
        let mut bits = (0..9).fold(0, |bits, _| S3Fifo.hit(bits, || 0));
        for _ in 0..3 {
            let Verdict::Stay(left) = S3Fifo.pass(bits) else { panic!("it was used") };
            bits = left;
        }
        assert!(matches!(S3Fifo.pass(bits), Verdict::Go(0, _)));
        assert_eq!(S3Fifo.memory(bits), None);
    }
}
