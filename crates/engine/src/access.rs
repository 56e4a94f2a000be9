//! How an entry's uses are noted, at some moment: one of the [policies](crate::policy), and what it goes by just then.
//!
//! A policy is one file, and one row of [`policies!`]. Which one holds is told by a comparison, since the door of a shard meets it with
//! every command: no call goes through a pointer.

use crate::policy::change::Change;
use crate::policy::deadline::Deadline;
use crate::policy::frequency::Frequency;
use crate::policy::random::Random;
use crate::policy::recency::Recency;
use crate::policy::s3fifo::S3Fifo;
use crate::policy::sieve::Sieve;
use crate::policy::tinylfu::TinyLfu;
use crate::policy::{Plan, Policy, Verdict};

/// Makes the sum of all policies, and passes on to them what they are told and asked.
macro_rules! policies {
    ($($(#[$doc:meta])* $policy:ident,)+) => {
        /// A policy at some moment.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Access {
            $($(#[$doc])* $policy($policy),)+
        }

        /// A policy at no moment: which one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Kind {
            $($(#[$doc])* $policy,)+
        }

        impl Kind {
            const ALL: &[Self] = &[$(Self::$policy,)+];

            /// Where this policy looks for who is to go.
            pub const fn plan(self) -> Plan {
                match self { $(Self::$policy => $policy::PLAN,)+ }
            }

            /// The bits of a new entry, when a queue is kept, and what is remembered of its key.
            pub(crate) fn enter(self, bits: u32, remembered: Option<u8>) -> u32 {
                match self { $(Self::$policy => $policy::enter(bits, remembered),)+ }
            }
        }

        impl Access {
            /// Which policy this is.
            pub const fn kind(self) -> Kind {
                match self { $(Self::$policy(_) => Kind::$policy,)+ }
            }

            /// The bits of an entry that is new.
            #[inline]
            pub fn first(self) -> u32 {
                match self { $(Self::$policy(policy) => policy.first(),)+ }
            }

            /// The bits of an entry that had these and is used. `dice` gives a random number; it is asked only where one is needed.
            #[inline]
            pub fn hit(self, bits: u32, dice: impl FnOnce() -> u64) -> u32 {
                match self { $(Self::$policy(policy) => policy.hit(bits, dice),)+ }
            }

            /// The bits of an entry that had these and is changed.
            #[inline]
            pub fn update(self, bits: u32, dice: impl FnOnce() -> u64) -> u32 {
                match self { $(Self::$policy(policy) => policy.update(bits, dice),)+ }
            }

            /// How soon an entry should go of which a glance showed this: whoever has the highest goes first.
            #[inline]
            pub fn rank(self, glance: u32) -> u32 {
                match self { $(Self::$policy(policy) => policy.rank(glance),)+ }
            }

            /// The oldest of the newest leaves them.
            pub(crate) fn leave(self, bits: u32) -> Verdict {
                match self { $(Self::$policy(policy) => policy.leave(bits),)+ }
            }

            /// The hand has come to an entry.
            pub(crate) fn pass(self, bits: u32) -> Verdict {
                match self { $(Self::$policy(policy) => policy.pass(bits),)+ }
            }

            /// What is to be remembered of an entry that is evicted.
            pub fn memory(self, bits: u32) -> Option<u8> {
                match self { $(Self::$policy(policy) => policy.memory(bits),)+ }
            }

            /// The bits of an entry that was last used so many seconds ago, where that is what they say.
            pub fn idle_for(self, seconds: u64) -> Option<u32> {
                match self { $(Self::$policy(policy) => policy.idle_for(seconds),)+ }
            }

            /// For how many seconds an entry has not been used, where its bits say that.
            pub fn idle_seconds(self, bits: u32) -> Option<u32> {
                match self { $(Self::$policy(policy) => policy.idle_seconds(bits),)+ }
            }

            /// The bits of an entry with this count, where there is one.
            pub fn counted(self, count: u8) -> Option<u32> {
                match self { $(Self::$policy(policy) => policy.counted(count),)+ }
            }

            /// The count of an entry as it is by now, where it has one.
            pub fn count(self, bits: u32) -> Option<u32> {
                match self { $(Self::$policy(policy) => policy.count(bits),)+ }
            }
        }
    };
}

policies! {
    /// By the last use.
    Recency,
    /// By the last change.
    Change,
    /// By how many uses there were.
    Frequency,
    /// By the end.
    Deadline,
    /// By chance.
    Random,
    /// By two queues.
    S3Fifo,
    /// By one queue and a hand.
    Sieve,
    /// By how many uses there were, also before it was evicted.
    TinyLfu,
}

impl Kind {
    /// From its number.
    pub(crate) fn numbered(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl Access {
    /// By recency, at this millisecond since 1970.
    #[inline]
    pub const fn recency(now_ms: u64) -> Self {
        Self::Recency(Recency::at(now_ms))
    }

    /// By the last change, at this millisecond since 1970.
    #[inline]
    pub const fn change(now_ms: u64) -> Self {
        Self::Change(Change(Recency::at(now_ms)))
    }

    /// By frequency, at this millisecond since 1970.
    #[inline]
    pub const fn frequency(now_ms: u64, log_factor: u32, decay_minutes: u32) -> Self {
        Self::Frequency(Frequency::at(now_ms, log_factor, decay_minutes))
    }

    /// By the end, at this millisecond since 1970.
    pub const fn deadline(now_ms: u64) -> Self {
        Self::Deadline(Deadline(Recency::at(now_ms)))
    }

    /// By chance, at this millisecond since 1970.
    pub const fn random(now_ms: u64) -> Self {
        Self::Random(Random(Recency::at(now_ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_leads_back_to_its_policy() {
        for (number, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, number);
            assert_eq!(Kind::numbered(number as u8), Some(*kind));
        }
        assert_eq!(Kind::numbered(u8::MAX), None);
    }
}
