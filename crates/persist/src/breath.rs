//! How a thread that works for long lets those who serve have the core.
//!
//! Where it shares a core with them, the kernel would leave it there for many times a stint, and they would wait. So it rests for more than
//! half of its time while they need all cores but less than one, and hardly at all else.

use std::time::{Duration, Instant};

use russet_dispatch::State;

/// How long work goes on before it rests.
const STINT: Duration = Duration::from_micros(200);

/// How long it rests where it has a core for itself, and where it shares one.
const SHORT: Duration = Duration::from_micros(40);
const LONG: Duration = Duration::from_micros(600);

/// How often it is looked at which of these holds.
const LOOK: Duration = Duration::from_millis(100);

/// Those who serve may need this part of a core more than is left to them.
const SHARE: u128 = 8;

/// Rests of one thread.
#[derive(Debug)]
pub(crate) struct Breath {
    state: &'static State,
    cores: u128,
    rested: Instant,
    looked: Instant,
    /// What those who serve had worked then.
    served_ns: u64,
    length: Duration,
}

impl Breath {
    /// Work begins.
    pub(crate) fn new(state: &'static State) -> Self {
        let now = Instant::now();
        Self {
            state,
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u128),
            rested: now,
            looked: now,
            served_ns: state.stats.busy_ns(),
            length: LONG,
        }
    }

    /// Rests, if it is time to.
    pub(crate) fn take(&mut self) {
        if self.rested.elapsed() < STINT {
            return;
        }
        let since = self.looked.elapsed();
        if since >= LOOK {
            self.look(since);
        }
        self.rest(self.length);
    }

    /// As [`Breath::take`], in work that piles up meanwhile: others have the core for a moment.
    pub(crate) fn take_short(&mut self) {
        if self.rested.elapsed() >= STINT {
            self.rest(SHORT);
        }
    }

    fn rest(&mut self, length: Duration) {
        std::thread::park_timeout(length);
        self.rested = Instant::now();
    }

    fn look(&mut self, since: Duration) {
        let served_ns = self.state.stats.busy_ns();
        let served = u128::from(served_ns.saturating_sub(self.served_ns));
        let is_shared = is_shared(served, since.as_nanos(), self.cores);
        self.length = if is_shared { LONG } else { SHORT };
        (self.served_ns, self.looked) = (served_ns, Instant::now());
    }
}

/// Whether a thread has no core for itself beside others that have worked for `served` of so much time on so many cores.
const fn is_shared(served: u128, elapsed: u128, cores: u128) -> bool {
    served > elapsed * (cores - 1) + elapsed / SHARE
}

#[cfg(test)]
mod tests {
    use super::is_shared;

    #[test]
    fn a_core_is_shared_where_others_need_all_of_them() {
        assert!(!is_shared(0, 1_000, 1));
        assert!(!is_shared(120, 1_000, 1));
        assert!(is_shared(130, 1_000, 1));
        assert!(!is_shared(1_000, 1_000, 2));
        assert!(is_shared(1_900, 1_000, 2));
        assert!(!is_shared(1_900, 1_000, 4));
    }
}
