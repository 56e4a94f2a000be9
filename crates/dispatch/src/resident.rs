//! The bound of the resident set.
//!
//! `maxmemory` bounds what is used. What the process takes of the machine is more: clients' buffers, which have a bound of their own, what lies
//! in the bin, free pages that the allocator keeps, and pages that are filled only in part. The machine, or the control group, does not ask
//! which it was. So ten times a second, and whenever much was evicted, the resident set is compared with [`bound`]. Close to it values are
//! moved together, whatever `activedefrag` says. Near it free pages are given back, and as long as moving helps, whatever needs more memory
//! waits for it, for some moments at a time: what is evicted here and there makes no page free, and new values of other sizes need new pages.
//! Where that does not help, data may take less by as much as is lost in pages, until it does. Buffers of clients are never a reason for that.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use crate::defrag::Plan;
use crate::state::{State, rule};

/// The resident set may be larger than the limit by this part of it, at least by so much, as [`bound`] says.
const BESIDE_SHARE: u64 = 4;
const BESIDE_MIN: u64 = 64 << 20;

/// Of the memory of a machine or of a control group this part is left alone: the kernel keeps some itself.
const SYSTEM_RESERVE: u64 = 16;

/// Clients may take so much whatever is left.
const CLIENTS_MIN: u64 = 16 << 20;

/// At this part below the bound values begin to be moved together.
const CLOSE: u64 = 8;

/// At this part below it free pages are given back, and data may take less.
const SQUEEZE: u64 = 12;

/// At this part below it whatever needs more memory waits.
const NEAR: u64 = 16;

/// Near it, whatever needs more memory waits so long at most, goes on for a while, waits again, and so forth; in nanoseconds.
const HOLD_NS: u64 = 80_000_000;
const GO_ON_NS: u64 = 20_000_000;

/// The resident set is looked at whenever this part of the limit was evicted, at least so much.
const LOOK_SHARE: u64 = 64;
const LOOK_BYTES_MIN: u64 = 1 << 20;

/// How the resident set compares with its bound.
#[derive(Debug, Default)]
pub struct Resident {
    is_close: AtomicBool,
    /// Since when it is near its bound, by the clock's ticks, or 0.
    near_since_ns: AtomicU64,
    /// Bytes evicted since it was looked at.
    evicted: AtomicU64,
    /// Bytes that data may take less.
    squeeze: AtomicI64,
}

impl Resident {
    /// Whether it comes close to its bound, so that it is worth some work to bring it down.
    pub fn is_close(&self) -> bool {
        self.is_close.load(Ordering::Relaxed)
    }

    /// Whether what needs more memory waits at this moment, while [`rule::CROWDED`] holds. Whoever waits asks again and again, so that it
    /// goes on in time whatever else happens.
    pub(crate) fn holds(&self, ticks: u64) -> bool {
        let for_ns = ticks.saturating_sub(self.near_since_ns.load(Ordering::Relaxed));
        for_ns % (HOLD_NS + GO_ON_NS) < HOLD_NS
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
    /// Measures the process, compares the resident set with its bound, and does what is to be done at once.
    pub fn watch_resident(&self) {
        self.probe();
        if self.compare_resident() && self.tools.get().is_some_and(|tools| (tools.purge)()) {
            self.probe();
            self.compare_resident();
        }
        self.set_rule_if_not(rule::CROWDED, self.is_crowded());
    }

    /// Looks at the resident set if much was evicted, `bytes` of it just now.
    pub(crate) fn note_evicted(&self, bytes: u64) {
        let limit = self.tunables.memory_max.load(Ordering::Relaxed);
        let (evicted, much) = (&self.resident.evicted, (limit / LOOK_SHARE).max(LOOK_BYTES_MIN));
        if evicted.fetch_add(bytes, Ordering::Relaxed) + bytes > much {
            evicted.store(0, Ordering::Relaxed);
            self.watch_resident();
        }
    }

    /// Whether what needs more memory is to wait for values to be moved together, as they are, or will be in a moment.
    fn is_crowded(&self) -> bool {
        let [allocated, active] =
            [&self.gauges.allocated, &self.gauges.active].map(|it| it.load(Ordering::Relaxed));
        self.resident.near_since_ns.load(Ordering::Relaxed) != 0
            && !self.defrag.rests(self.clock.now())
            && Plan::URGENT.share(allocated, active).is_some()
    }

    /// Finds out how far the resident set is from its bound. Says whether free pages should go back.
    fn compare_resident(&self) -> bool {
        let rss = self.gauges.rss.load(Ordering::Relaxed);
        let is_within = |part| self.resident_goal(part).is_some_and(|goal| rss > goal);
        self.resident.is_close.store(is_within(CLOSE), Ordering::Relaxed);
        let (is_near, since) = (is_within(NEAR), &self.resident.near_since_ns);
        if is_near != (since.load(Ordering::Relaxed) != 0) {
            since.store(if is_near { self.clock.ticks().max(1) } else { 0 }, Ordering::Relaxed);
        }
        is_within(SQUEEZE)
    }

    /// Adapts what data may take to what is lost in pages, ten times a second.
    pub(crate) fn squeeze_data(&self) {
        let squeeze = &self.resident.squeeze;
        let Some(goal) = self.resident_goal(SQUEEZE) else {
            return squeeze.store(0, Ordering::Relaxed);
        };
        let [rss, active, used] = [&self.gauges.rss, &self.gauges.active, &self.gauges.used_memory]
            .map(|gauge| gauge.load(Ordering::Relaxed) as i64);
        let (before, excess) = (squeeze.load(Ordering::Relaxed), rss - goal as i64);
        // What data may take grows slowly, since data fills it at once.
        let step = excess.max(-before / 8 - 1);
        squeeze.store((before + step).min(active - used).max(0), Ordering::Relaxed);
    }

    /// What is a `part` below the bound; `None` where there is no limit.
    fn resident_goal(&self, part: u64) -> Option<u64> {
        let limit = self.tunables.memory_max.load(Ordering::Relaxed);
        let system = self.gauges.system_memory.load(Ordering::Relaxed);
        let bound = bound(limit, system);
        (limit > 0).then_some(bound - bound / part)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::{GO_ON_NS, HOLD_NS, Resident, bound, for_clients};

    const MB: u64 = 1 << 20;

    #[test]
    fn the_bound_is_a_quarter_above_the_limit_and_within_the_group() {
        assert_eq!(bound(100 * MB, 16_384 * MB), 164 * MB);
        assert_eq!(bound(1024 * MB, 16_384 * MB), 1280 * MB);
        assert_eq!(bound(200 * MB, 256 * MB), 240 * MB);
        assert_eq!(bound(300 * MB, 256 * MB), 300 * MB, "what is configured holds");
    }

    #[test]
    fn who_waits_goes_on_in_time_though_nobody_looks_at_the_resident_set() {
        let resident = Resident::default();
        resident.near_since_ns.store(7, Ordering::Relaxed);
        for round in 0..1_000 {
            let begun = 7 + round * (HOLD_NS + GO_ON_NS);
            assert!(resident.holds(begun) && resident.holds(begun + HOLD_NS - 1));
            assert!(!resident.holds(begun + HOLD_NS));
            assert!(!resident.holds(begun + HOLD_NS + GO_ON_NS - 1));
        }
    }

    #[test]
    fn clients_have_half_of_what_a_group_leaves() {
        assert_eq!(for_clients(200 * MB, 256 * MB), 20 * MB);
        assert_eq!(for_clients(250 * MB, 256 * MB), 16 * MB);
        assert!(for_clients(200 * MB, 16_384 * MB) > 1024 * MB);
    }
}
