//! The bound of the resident set.
//!
//! `maxmemory` bounds what is used. What the process takes of the machine is more: clients' buffers, which have a bound of their own, what lies
//! in the bin, free pages that the allocator keeps, and pages that are filled only in part. The machine, or the control group, does not ask
//! which it was. So ten times a second the resident set is compared with [`bound`]. Near it, free pages are given back and values are moved
//! together, whatever `activedefrag` says; where that does not help, data may take less by as much as is lost in pages, until it does.
//! Buffers of clients are never a reason for that.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use crate::state::State;

/// The resident set may be larger than the limit by this part of it, at least by so much, as [`bound`] says.
const BESIDE_SHARE: u64 = 4;
const BESIDE_MIN: u64 = 64 << 20;

/// Of the memory of a machine or of a control group this part is left alone: the kernel keeps some itself.
const SYSTEM_RESERVE: u64 = 16;

/// Clients may take so much whatever is left.
const CLIENTS_MIN: u64 = 16 << 20;

/// What is done begins at this part below the bound.
const NEAR: u64 = 16;

/// How the resident set compares with its bound.
#[derive(Debug, Default)]
pub struct Resident {
    is_near: AtomicBool,
    /// Bytes that data may take less.
    squeeze: AtomicI64,
}

impl Resident {
    /// Whether it is near its bound, so that it is worth some work to bring it down.
    pub fn is_near(&self) -> bool {
        self.is_near.load(Ordering::Relaxed)
    }

    /// Bytes that data may take less than `maxmemory` allows.
    pub fn squeeze(&self) -> i64 {
        self.squeeze.load(Ordering::Relaxed)
    }
}

/// What the process may take under a limit of so many bytes, where the machine, or the control group, has `system`; all in bytes.
fn bound(limit: u64, system: u64) -> u64 {
    let wanted = limit.saturating_add((limit / BESIDE_SHARE).max(BESIDE_MIN));
    wanted.min(usable(system)).max(limit)
}

/// What clients may take of a `system` with hardly more memory than the limit of data: half of what is left, and something in any case.
pub(crate) fn for_clients(limit: u64, system: u64) -> u64 {
    (usable(system).saturating_sub(limit) / 2).max(CLIENTS_MIN)
}

const fn usable(system: u64) -> u64 {
    system - system / SYSTEM_RESERVE
}

impl State {
    /// Compares the resident set with its bound, as it was measured right before, and does what is to be done at once.
    pub(crate) fn watch_resident(&self) {
        if self.compare_resident() && self.tools.get().is_some_and(|tools| (tools.purge)()) {
            self.probe();
        }
        self.squeeze_data();
    }

    /// Finds out whether the resident set is near its bound.
    fn compare_resident(&self) -> bool {
        let rss = self.gauges.rss.load(Ordering::Relaxed);
        let is_near = self.resident_goal().is_some_and(|goal| rss > goal);
        self.resident.is_near.store(is_near, Ordering::Relaxed);
        is_near
    }

    /// Adapts what data may take to what is lost in pages.
    fn squeeze_data(&self) {
        let squeeze = &self.resident.squeeze;
        let Some(goal) = self.resident_goal() else { return squeeze.store(0, Ordering::Relaxed) };
        let [rss, active, used] = [&self.gauges.rss, &self.gauges.active, &self.gauges.used_memory]
            .map(|gauge| gauge.load(Ordering::Relaxed) as i64);
        let (before, excess) = (squeeze.load(Ordering::Relaxed), rss - goal as i64);
        // What data may take grows slowly, since data fills it at once.
        let step = excess.max(-before / 8 - 1);
        squeeze.store((before + step).min(active - used).max(0), Ordering::Relaxed);
    }

    /// Beyond this the resident set is near its bound; `None` where there is no limit.
    fn resident_goal(&self) -> Option<u64> {
        let limit = self.tunables.memory_max.load(Ordering::Relaxed);
        let system = self.gauges.system_memory.load(Ordering::Relaxed);
        let bound = bound(limit, system);
        (limit > 0).then_some(bound - bound / NEAR)
    }
}

#[cfg(test)]
mod tests {
    use super::{bound, for_clients};

    const MB: u64 = 1 << 20;

    #[test]
    fn the_bound_is_a_quarter_above_the_limit_and_within_the_group() {
        assert_eq!(bound(100 * MB, 16_384 * MB), 164 * MB);
        assert_eq!(bound(1024 * MB, 16_384 * MB), 1280 * MB);
        assert_eq!(bound(200 * MB, 256 * MB), 240 * MB);
        assert_eq!(bound(300 * MB, 256 * MB), 300 * MB, "what is configured holds");
    }

    #[test]
    fn clients_have_half_of_what_a_group_leaves() {
        assert_eq!(for_clients(200 * MB, 256 * MB), 20 * MB);
        assert_eq!(for_clients(250 * MB, 256 * MB), 16 * MB);
        assert!(for_clients(200 * MB, 16_384 * MB) > 1024 * MB);
    }
}
