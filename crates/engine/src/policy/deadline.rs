//! TTL: whoever ends first goes first. The bits say when entries were used, since OBJECT IDLETIME is asked all the same.

use super::recency::Recency;
use crate::policy::{Plan, Policy, Source};

/// By the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(pub Recency);

impl Policy for Deadline {
    const PLAN: Plan = Plan { source: Source::Soonest, is_patient: true, ..Plan::SAMPLES };

    fn first(self) -> u32 {
        self.0.first()
    }

    fn hit(self, bits: u32, dice: impl FnOnce() -> u64) -> u32 {
        self.0.hit(bits, dice)
    }

    fn idle_for(self, seconds: u64) -> Option<u32> {
        self.0.idle_for(seconds)
    }

    fn idle_seconds(self, bits: u32) -> Option<u32> {
        self.0.idle_seconds(bits)
    }
}
