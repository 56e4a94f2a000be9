//! The time that commands see.
//!
//! The shell owns the one real clock and tells this one; commands read a number. It never goes back: when the system's clock does, time
//! stands still here until the system has caught up.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Milliseconds since 1970, shared by all threads, monotonic.
#[derive(Debug)]
pub struct Clock {
    now_ms: AtomicU64,
    /// Tells microseconds, for TIME alone; set by the shell.
    precise: OnceLock<fn() -> u64>,
    /// Measures; set by the shell.
    ticks: OnceLock<fn() -> u64>,
}

impl Clock {
    /// A clock that shows `now_ms`.
    pub const fn new(now_ms: u64) -> Self {
        Self { now_ms: AtomicU64::new(now_ms), precise: OnceLock::new(), ticks: OnceLock::new() }
    }

    /// What time it is.
    #[inline]
    pub fn now(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    /// Says who knows the microseconds since 1970.
    pub fn refine(&self, precise: fn() -> u64) {
        self.precise.get_or_init(|| precise);
    }

    /// Says who measures, in nanoseconds of no particular beginning.
    pub fn measure_by(&self, ticks: fn() -> u64) {
        self.ticks.get_or_init(|| ticks);
    }

    /// Nanoseconds of no particular beginning, never fewer than before; always 0 where nobody measures.
    #[inline]
    pub fn ticks(&self) -> u64 {
        self.ticks.get().map_or(0, |ticks| ticks())
    }

    /// Microseconds since 1970, never before [`Clock::now`]; whole milliseconds where nobody knows better.
    pub fn now_us(&self) -> u64 {
        let now_us = self.precise.get().map_or(0, |precise| precise());
        now_us.max(self.now() * 1000)
    }

    /// What the shell's clock shows. A store only when it differs: the line is shared by all threads.
    #[inline]
    pub fn advance(&self, now_ms: u64) {
        if now_ms > self.now() {
            self.now_ms.fetch_max(now_ms, Ordering::Relaxed);
        }
    }
}

/// The time as a unit of several commands sees it: that of its beginning, however long it takes.
#[derive(Clone, Debug)]
pub struct Still {
    /// When it began, as [`Clock::ticks`] measures.
    started: u64,
    /// Microseconds since 1970, once somebody has asked.
    us: Cell<Option<u64>>,
}

impl Still {
    /// Of a unit that began at `started`, as [`Clock::ticks`] measures.
    pub(crate) const fn at(started: u64) -> Self {
        Self { started, us: Cell::new(None) }
    }

    /// Microseconds since 1970, the same whenever this is asked; never before `now_ms`, which commands go by. Reads the clock once.
    pub fn now_us(&self, clock: &Clock, now_ms: u64) -> u64 {
        if let Some(us) = self.us.get() {
            return us;
        }
        let elapsed_us = clock.ticks().saturating_sub(self.started) / 1000;
        let us = clock.now_us().saturating_sub(elapsed_us).max(now_ms * 1000);
        self.us.set(Some(us));
        us
    }
}
