//! LFU: whoever was used least goes first, older uses counting less.
//!
//! ```text
//! | minutes since 1970: 16 bits | count: 8 bits |
//! ```
//!
//! The count is Morris': the higher it is, the less likely one more use raises it, so that eight bits reach from one use to a million.
//! While an entry is not used, its count falls by one every so many minutes; that is worked out when the entry is looked at. A glance shows
//! the lower 12 bits of the minutes, 68 hours: who was not used for longer looks for a while as if its count had hardly fallen.

use crate::policy::{GLANCE_MASK, Plan, Policy};

/// The bits of the minutes that an entry has room for.
const MINUTES_MASK: u32 = 0xffff;

/// The count of a new entry, so that it is not the first to go.
const COUNT_FIRST: u32 = 5;

/// The highest count.
const COUNT_MAX: u32 = u8::MAX as u32;

/// What a count of uses goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frequency {
    /// What this minute is; 16 bits.
    pub minutes: u32,
    /// How much less likely each step of the count is than the one before: Redis' `lfu-log-factor`.
    pub log_factor: u32,
    /// After how many minutes the count falls by one, 0 for never: Redis' `lfu-decay-time`.
    pub decay_minutes: u32,
}

impl Frequency {
    /// At this millisecond since 1970.
    #[inline]
    pub const fn at(now_ms: u64, log_factor: u32, decay_minutes: u32) -> Self {
        let minutes = (now_ms / 60_000) as u32 & MINUTES_MASK;
        Self { minutes, log_factor, decay_minutes }
    }

    const fn bits(self, count: u32) -> u32 {
        self.minutes << 8 | count
    }

    /// What is left of a count after the minutes in which the entry was not used.
    const fn left(self, bits: u32) -> u32 {
        self.left_within(bits, MINUTES_MASK)
    }

    /// The same, where only these bits of the minutes are known.
    const fn left_within(self, bits: u32, mask: u32) -> u32 {
        let (since, count) = (bits >> 8, bits & COUNT_MAX);
        let elapsed = self.minutes.wrapping_sub(since) & mask;
        match elapsed.checked_div(self.decay_minutes) {
            Some(steps) => count.saturating_sub(steps),
            None => count,
        }
    }
}

impl Policy for Frequency {
    const PLAN: Plan = Plan { is_patient: true, ..Plan::SAMPLES };

    fn first(self) -> u32 {
        self.bits(COUNT_FIRST)
    }

    /// One step more, with a chance of one in `log_factor` times the steps that were made already.
    #[inline]
    fn hit(self, bits: u32, dice: impl FnOnce() -> u64) -> u32 {
        let count = self.left(bits);
        let steps = u64::from(count.saturating_sub(COUNT_FIRST));
        let sides = steps * u64::from(self.log_factor) + 1;
        let is_raised = (u128::from(dice()) * u128::from(sides)) >> 64 == 0;
        self.bits((count + u32::from(is_raised)).min(COUNT_MAX))
    }

    #[inline]
    fn rank(self, glance: u32) -> u32 {
        COUNT_MAX - self.left_within(glance, GLANCE_MASK >> 8)
    }

    fn counted(self, count: u8) -> Option<u32> {
        Some(self.bits(u32::from(count)))
    }

    fn count(self, bits: u32) -> Option<u32> {
        Some(self.left(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const MINUTE: u64 = 60_000;

    fn at(minutes: u64) -> Frequency {
        Frequency::at(minutes * MINUTE, 10, 1)
    }

    #[test]
    fn a_clock_that_comes_round_goes_on() {
        let late = Frequency::at(u64::from(MINUTES_MASK) * MINUTE, 10, 1);
        assert_eq!(at(u64::from(MINUTES_MASK) + 3).count(late.first()), Some(2));
    }

    #[test]
    fn a_count_falls_with_time() {
        let bits = at(100).counted(100).unwrap();
        assert_eq!(at(100).count(bits), Some(100));
        assert_eq!(at(110).count(bits), Some(90));
        assert_eq!(at(300).count(bits), Some(0));
        assert_eq!(Frequency::at(300 * MINUTE, 10, 0).count(bits), Some(100));
        assert_eq!(Frequency::at(300 * MINUTE, 10, 50).count(bits), Some(96));
        assert_eq!(at(110).hit(bits, || 0) & COUNT_MAX, 91);
    }

    #[test]
    fn a_count_is_about_the_logarithm_of_the_uses() {
        // The table of Redis' redis.conf for a factor of 10: hits and the count they come to.
        for (hits, from, until) in [(100, 8, 14), (1_000, 15, 21), (100_000, 130, 155)] {
            let (mut bits, mut random) = (at(1).first(), Random::new(7));
            (0..hits).for_each(|_| bits = at(1).hit(bits, || random.next_u64()));
            let count = at(1).count(bits).unwrap();
            assert!((from..=until).contains(&count), "{count} after {hits}");
        }
    }

    #[test]
    fn a_count_ends_at_its_highest() {
        let every = Frequency::at(MINUTE, 0, 1);
        let mut bits = every.first();
        (0..1000).for_each(|_| bits = every.hit(bits, || u64::MAX));
        assert_eq!(every.count(bits), Some(255));
        let never = Frequency::at(MINUTE, u32::MAX, 1);
        assert_eq!(never.hit(never.counted(200).unwrap(), || 1 << 40), never.counted(200).unwrap());
    }
}
