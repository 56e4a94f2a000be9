//! How lately or how often an entry has been used: what the 24 bits in its header mean, and how they change.
//!
//! ```text
//! recency:    | seconds since 1970: 24 bits                 |
//! change:     | seconds since 1970: 24 bits                 |
//! frequency:  | minutes since 1970: 16 bits | count: 8 bits |
//! ```
//!
//! Which of them holds is a matter of the eviction policy, so it is not written down anywhere in the entry: when the policy changes,
//! the bits of entries that are there mean little until these are used again, as in Redis.
//!
//! The count is Morris': the higher it is, the less likely one more use raises it, so that eight bits reach from one use to a million.
//! While an entry is not used, its count falls by one every so many minutes; that is worked out when the entry is looked at.
//!
//! Whoever evicts asks four things of a policy: what an entry begins with ([`Access::first`]), what a use makes of it
//! ([`Access::hit`]), and a change ([`Access::update`]), and who is to go first ([`Access::rank`]). Nothing is kept outside of the
//! entry, so that a use costs a store into a line that is in the cache already.

/// The bits of the clock that an entry has room for.
const CLOCK_MASK: u32 = 0x00ff_ffff;

/// The bits of the minutes that an entry has room for.
const MINUTES_MASK: u32 = 0xffff;

/// The count of a new entry, so that it is not the first to go.
const COUNT_FIRST: u32 = 5;

/// The highest count.
const COUNT_MAX: u32 = u8::MAX as u32;

/// How uses are noted at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// When the last one was: what this second is.
    Recency(u32),
    /// When the last change was: what this second is.
    Change(u32),
    /// How many there were.
    Frequency(Frequency),
}

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

impl Access {
    /// By recency, at this millisecond since 1970.
    #[inline]
    pub const fn recency(now_ms: u64) -> Self {
        Self::Recency((now_ms / 1000) as u32 & CLOCK_MASK)
    }

    /// By the last change, at this millisecond since 1970.
    pub const fn change(now_ms: u64) -> Self {
        Self::Change((now_ms / 1000) as u32 & CLOCK_MASK)
    }

    /// By frequency, at this millisecond since 1970.
    pub const fn frequency(now_ms: u64, log_factor: u32, decay_minutes: u32) -> Self {
        let minutes = (now_ms / 60_000) as u32 & MINUTES_MASK;
        Self::Frequency(Frequency { minutes, log_factor, decay_minutes })
    }

    /// The bits of an entry that is new.
    #[inline]
    pub const fn first(self) -> u32 {
        match self {
            Self::Recency(clock) | Self::Change(clock) => clock,
            Self::Frequency(frequency) => frequency.bits(COUNT_FIRST),
        }
    }

    /// The bits of an entry that had these and is used. `dice` gives a random number; it is asked only where one is needed.
    #[inline]
    pub fn hit(self, bits: u32, dice: impl FnOnce() -> u64) -> u32 {
        match self {
            Self::Recency(clock) => clock,
            Self::Change(_) => bits,
            Self::Frequency(frequency) => frequency.hit(bits, dice()),
        }
    }

    /// The bits of an entry that had these and is changed.
    #[inline]
    pub fn update(self, bits: u32, dice: impl FnOnce() -> u64) -> u32 {
        match self {
            Self::Change(clock) => clock,
            _ => self.hit(bits, dice),
        }
    }

    /// Whoever has the highest goes first.
    pub const fn rank(self, bits: u32) -> u64 {
        match self {
            Self::Recency(clock) | Self::Change(clock) => {
                (clock.wrapping_sub(bits) & CLOCK_MASK) as u64
            }
            Self::Frequency(frequency) => (COUNT_MAX - frequency.count(bits)) as u64,
        }
    }

    /// The bits of an entry that was last used so many seconds ago, where that is what they say.
    pub const fn idle_for(self, seconds: u64) -> Option<u32> {
        match self {
            Self::Recency(clock) | Self::Change(clock) => {
                Some(clock.wrapping_sub(seconds as u32) & CLOCK_MASK)
            }
            Self::Frequency(_) => None,
        }
    }

    /// The bits of an entry with this count, where there is one.
    pub const fn counted(self, count: u8) -> Option<u32> {
        match self {
            Self::Recency(_) | Self::Change(_) => None,
            Self::Frequency(frequency) => Some(frequency.bits(count as u32)),
        }
    }

    /// For how many seconds an entry has not been used, where its bits say that.
    pub const fn idle_seconds(self, bits: u32) -> Option<u32> {
        match self {
            Self::Recency(clock) | Self::Change(clock) => {
                Some(clock.wrapping_sub(bits) & CLOCK_MASK)
            }
            Self::Frequency(_) => None,
        }
    }

    /// The count of an entry as it is by now, where it has one.
    pub const fn count(self, bits: u32) -> Option<u32> {
        match self {
            Self::Recency(_) | Self::Change(_) => None,
            Self::Frequency(frequency) => Some(frequency.count(bits)),
        }
    }
}

impl Frequency {
    const fn bits(self, count: u32) -> u32 {
        self.minutes << 8 | count
    }

    /// What is left of a count after the minutes in which the entry was not used.
    pub const fn count(self, bits: u32) -> u32 {
        let (since, count) = (bits >> 8, bits & COUNT_MAX);
        let elapsed = self.minutes.wrapping_sub(since) & MINUTES_MASK;
        match elapsed.checked_div(self.decay_minutes) {
            Some(steps) => count.saturating_sub(steps),
            None => count,
        }
    }

    /// One step more, with a chance of one in `log_factor` times the steps that were made already.
    fn hit(self, bits: u32, dice: u64) -> u32 {
        let count = self.count(bits);
        let steps = u64::from(count.saturating_sub(COUNT_FIRST));
        let sides = steps * u64::from(self.log_factor) + 1;
        let is_raised = (u128::from(dice) * u128::from(sides)) >> 64 == 0;
        self.bits((count + u32::from(is_raised)).min(COUNT_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const MINUTE: u64 = 60_000;

    fn at(minutes: u64) -> Access {
        Access::frequency(minutes * MINUTE, 10, 1)
    }

    #[test]
    fn recency_is_the_second_of_the_last_use() {
        let access = Access::recency(1_700_000_000_999);
        let bits = access.hit(0, || unreachable!("no dice"));
        assert_eq!(bits, access.first());
        assert_eq!(access.idle_seconds(bits), Some(0));
        assert_eq!(Access::recency(1_700_000_010_000).idle_seconds(bits), Some(10));
        assert_eq!(access.idle_seconds(access.idle_for(3600).unwrap()), Some(3600));
        assert_eq!(access.count(bits), None);
    }

    #[test]
    fn a_clock_that_comes_round_goes_on() {
        let late = Access::Recency(CLOCK_MASK);
        assert_eq!(Access::Recency(9).idle_seconds(late.first()), Some(10));
        let late = Access::frequency(u64::from(MINUTES_MASK) * MINUTE, 10, 1);
        assert_eq!(at(u64::from(MINUTES_MASK) + 3).count(late.first()), Some(2));
    }

    #[test]
    fn a_count_falls_with_time() {
        let bits = at(100).counted(100).unwrap();
        assert_eq!(at(100).count(bits), Some(100));
        assert_eq!(at(110).count(bits), Some(90));
        assert_eq!(at(300).count(bits), Some(0));
        assert_eq!(Access::frequency(300 * MINUTE, 10, 0).count(bits), Some(100));
        assert_eq!(Access::frequency(300 * MINUTE, 10, 50).count(bits), Some(96));
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
        let every = Access::frequency(MINUTE, 0, 1);
        let mut bits = every.first();
        (0..1000).for_each(|_| bits = every.hit(bits, || u64::MAX));
        assert_eq!(every.count(bits), Some(255));
        let never = Access::frequency(MINUTE, u32::MAX, 1);
        assert_eq!(never.hit(never.counted(200).unwrap(), || 1 << 40), never.counted(200).unwrap());
    }
}
