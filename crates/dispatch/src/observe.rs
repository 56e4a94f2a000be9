//! The parameters that say what is watched while commands run, as plain numbers that the hot path can ask.
//!
//! Commands are timed exactly where that is cheap or asked for, and together where both is not so; [`Observe::is_exact`] says which, and
//! [`Meter`](crate::meter::Meter) how.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};

use russet_config::{Config, id};

/// A slow log that wants what is shorter than this wants every command timed by itself.
const EXACT_BELOW_US: i64 = 1_000;

/// Requests and replies up to this size take no time worth a look at the clock.
const BRIEF_BYTES: usize = 16 * 1024;

/// What is watched.
#[derive(Debug, Default)]
pub struct Observe {
    /// `latency-tracking`.
    pub tracks_latency: AtomicBool,
    /// `latency-monitor-threshold`, in milliseconds; 0 watches nothing.
    pub latency_ms: AtomicU64,
    /// Set while HOTKEYS is tracking.
    pub tracks_keys: AtomicBool,
    /// Brief commands in a row that together take as long, in nanoseconds, hide one that was not brief.
    pub suspicious_ns: AtomicU64,
    /// A reply of more bytes than this was not brief.
    pub brief_reply: AtomicUsize,
    /// Requests of more bytes than this are not brief.
    pub brief_request: AtomicUsize,
    wants_exact: AtomicBool,
}

impl Observe {
    /// Whether every command is timed by itself.
    #[inline]
    pub fn is_exact(&self) -> bool {
        self.wants_exact.load(Relaxed) || self.tracks_keys.load(Relaxed)
    }

    /// Takes over what is configured.
    pub(crate) fn apply(&self, config: &Config) {
        let slow = config.integer(const { id("slowlog-log-slower-than") });
        let monitored = config.memory(const { id("latency-monitor-threshold") });
        self.tracks_latency.store(config.bool(const { id("latency-tracking") }), Relaxed);
        self.latency_ms.store(monitored, Relaxed);
        self.wants_exact.store((0..EXACT_BELOW_US).contains(&slow), Relaxed);
        self.suspicious_ns.store(suspicious_ns(slow, monitored), Relaxed);
        let brief = |larger_than: i64| match usize::try_from(larger_than) {
            Ok(bytes) => bytes.saturating_sub(1).min(BRIEF_BYTES),
            Err(_) => BRIEF_BYTES,
        };
        let reply = brief(config.integer(const { id("commandlog-reply-larger-than") }));
        let request = brief(config.integer(const { id("commandlog-request-larger-than") }));
        self.brief_reply.store(reply, Relaxed);
        self.brief_request.store(request, Relaxed);
    }
}

/// The least that anybody wants to hear of.
fn suspicious_ns(slow_us: i64, monitored_ms: u64) -> u64 {
    let slow = u64::try_from(slow_us).map_or(u64::MAX, |us| us.saturating_mul(1_000));
    let monitored =
        if monitored_ms == 0 { u64::MAX } else { monitored_ms.saturating_mul(1_000_000) };
    slow.min(monitored)
}

/// The parameters of one of the logs of commands.
#[derive(Debug, Default)]
pub struct LogParameters {
    threshold: AtomicI64,
    len_max: AtomicUsize,
}

impl LogParameters {
    /// Whether a command that took so much is to be written down.
    #[inline]
    pub fn wants(&self, amount: u64) -> bool {
        u64::try_from(self.threshold.load(Relaxed)).is_ok_and(|least| amount >= least)
    }

    /// How many entries are kept.
    pub fn len_max(&self) -> usize {
        self.len_max.load(Relaxed)
    }

    pub(crate) fn set(&self, threshold: i64, len_max: u64) {
        self.threshold.store(threshold, Relaxed);
        self.len_max.store(len_max as usize, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_asked_for_each_command_only_if_somebody_wants_to_know() {
        let (mut config, observe) = (Config::new(), Observe::default());
        let mut set = |slower_than: &str| {
            config.assign(id("slowlog-log-slower-than"), slower_than).unwrap();
            observe.apply(&config);
            (observe.is_exact(), observe.suspicious_ns.load(Relaxed))
        };
        assert_eq!(set("10000"), (false, 10_000_000));
        assert_eq!(set("0"), (true, 0));
        assert_eq!(set("999"), (true, 999_000));
        assert_eq!(set("-1"), (false, u64::MAX));
    }

    #[test]
    fn a_log_without_a_threshold_wants_nothing() {
        let log = LogParameters::default();
        log.set(-1, 128);
        assert!(!log.wants(u64::MAX));
        log.set(0, 128);
        assert!(log.wants(0));
        log.set(100, 128);
        assert!(!log.wants(99) && log.wants(100));
    }
}
