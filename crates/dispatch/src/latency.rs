//! The latency monitor: what took longer than `latency-monitor-threshold`, event by event, for LATENCY.
//!
//! An event is something that can take long: a command, a cycle of expiry. Of each the last samples are kept, at most one a second, and
//! the worst ever. Only those take the lock who have seen something slow.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use crate::state::State;

/// Samples kept of an event.
const SAMPLES_MAX: usize = 160;

/// What can take long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A command.
    Command,
    /// A command with the flag `fast`.
    FastCommand,
    /// Removing what has ended.
    ExpireCycle,
    /// Making room for new data.
    EvictionCycle,
    /// Removing one key to make room.
    EvictionDelete,
    /// Writing to the append-only file.
    AofWrite,
    /// Bringing the append-only file to the disk, where replies wait for that.
    AofFsyncAlways,
    /// Moving allocations together.
    DefragCycle,
    /// Taking the instant of a snapshot, while everything stands still.
    SnapshotBegin,
}

impl Event {
    /// As LATENCY calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::FastCommand => "fast-command",
            Self::ExpireCycle => "expire-cycle",
            Self::EvictionCycle => "eviction-cycle",
            Self::EvictionDelete => "eviction-del",
            Self::AofWrite => "aof-write",
            Self::AofFsyncAlways => "aof-fsync-always",
            Self::DefragCycle => "active-defrag-cycle",
            Self::SnapshotBegin => "snapshot-begin",
        }
    }
}

/// How long an event took, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When, in seconds since 1970.
    pub at: u64,
    /// How long, in milliseconds.
    pub ms: u64,
}

/// What is known of an event.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// The last samples, oldest first.
    pub samples: VecDeque<Sample>,
    /// The longest ever, in milliseconds.
    pub max_ms: u64,
}

impl Series {
    fn add(&mut self, sample: Sample) {
        self.max_ms = self.max_ms.max(sample.ms);
        if let Some(last) = self.samples.back_mut().filter(|last| last.at == sample.at) {
            last.ms = last.ms.max(sample.ms);
            return;
        }
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }
}

/// All events that were slow at some time.
#[derive(Debug, Default)]
pub struct Latency {
    events: Mutex<BTreeMap<Event, Series>>,
}

impl Latency {
    /// Adds a sample; whether it is long enough for that is the caller's to judge.
    pub fn add(&self, event: Event, sample: Sample) {
        self.events.lock().entry(event).or_default().add(sample);
    }

    /// All events, by the order of their kinds.
    pub fn all(&self) -> Vec<(Event, Series)> {
        self.events.lock().iter().map(|(event, series)| (*event, series.clone())).collect()
    }

    /// One event, if there is anything to tell of it.
    pub fn of(&self, name: &[u8]) -> Option<Series> {
        let events = self.events.lock();
        let found = events.iter().find(|(event, _)| event.name().as_bytes() == name);
        found.map(|(_, series)| series.clone())
    }

    /// Forgets the events that `is_meant`, and says how many those were.
    pub fn reset(&self, is_meant: impl Fn(Event) -> bool) -> usize {
        let mut events = self.events.lock();
        let before = events.len();
        events.retain(|event, _| !is_meant(*event));
        before - events.len()
    }
}

impl State {
    /// When something begins that LATENCY may want to know of; the clock is not looked at if it does not.
    pub fn watch(&self) -> Option<u64> {
        let is_watched = self.tunables.observe.latency_ms.load(Ordering::Relaxed) > 0;
        is_watched.then(|| self.clock.ticks())
    }

    /// Notes for LATENCY what took longer than `latency-monitor-threshold`.
    pub fn took(&self, event: Event, ns: u64) {
        let (limit, ms) =
            (self.tunables.observe.latency_ms.load(Ordering::Relaxed), ns / 1_000_000);
        if limit > 0 && ms >= limit {
            self.latency.add(event, Sample { at: self.clock.now() / 1_000, ms });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_samples_in_one_second_the_longest_stays() {
        let latency = Latency::default();
        for (at, ms) in [(1, 10), (1, 30), (1, 20), (2, 5)] {
            latency.add(Event::Command, Sample { at, ms });
        }
        let series = latency.of(b"command").unwrap();
        assert_eq!(series.samples, [Sample { at: 1, ms: 30 }, Sample { at: 2, ms: 5 }]);
        assert_eq!(series.max_ms, 30);
        assert!(latency.of(b"fast-command").is_none());
    }

    #[test]
    fn the_oldest_samples_go_and_the_worst_is_remembered() {
        let latency = Latency::default();
        (0..200).for_each(|at| latency.add(Event::ExpireCycle, Sample { at, ms: 200 - at }));
        let series = latency.of(b"expire-cycle").unwrap();
        assert_eq!((series.samples.len(), series.samples[0].at, series.max_ms), (160, 40, 200));
        assert_eq!(latency.reset(|event| event == Event::Command), 0);
        assert_eq!(latency.reset(|_| true), 1);
        assert!(latency.all().is_empty());
    }
}
