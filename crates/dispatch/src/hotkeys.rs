//! Which keys cost most, for HOTKEYS: a session counts time and bytes by key in a bounded sketch.
//!
//! The sketch is that of heavy hitters ("space saving"): so many keys have a counter each; a key without one takes over the smallest
//! counter and what it says. A key that really is hot is always there, and its count too high by the smallest at most.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::commandlog::Ran;
use crate::keys::positions;

/// Counters for each key that is asked for: with more, keys that are not hot push each other out and not those that are.
const COUNTERS_PER_KEY: usize = 16;

/// What HOTKEYS START was told.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// Count time.
    pub cpu: bool,
    /// Count bytes.
    pub net: bool,
    /// How many keys are to be told of.
    pub count: usize,
    /// How long it goes on, in milliseconds; 0 until it is stopped.
    pub duration_ms: u64,
    /// One in so many commands is looked at.
    pub sample: u64,
}

/// Keys and how much each has cost.
#[derive(Debug, Default)]
struct Sketch {
    counts: HashMap<Box<[u8]>, u64>,
}

impl Sketch {
    fn add(&mut self, key: &[u8], amount: u64, room: usize) {
        if let Some(count) = self.counts.get_mut(key) {
            *count += amount;
            return;
        }
        let mut start = 0;
        if self.counts.len() >= room {
            let least = self.counts.iter().min_by_key(|(_, count)| **count);
            let Some((smallest, count)) = least.map(|(key, count)| (key.clone(), *count)) else {
                return;
            };
            self.counts.remove(&smallest);
            start = count;
        }
        self.counts.insert(key.into(), start + amount);
    }

    fn greatest(&self, count: usize) -> Vec<(Box<[u8]>, u64)> {
        let mut all: Vec<_> =
            self.counts.iter().map(|(key, count)| (key.clone(), *count)).collect();
        all.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        all.truncate(count);
        all
    }
}

/// What a session has found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whether it goes on.
    pub is_active: bool,
    /// What it was told.
    pub wish: Wish,
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// How long it has lasted, in milliseconds.
    pub lasted_ms: u64,
    /// Time of all commands, in microseconds.
    pub all_us: u64,
    /// Bytes of all requests and replies.
    pub all_bytes: u64,
    /// Processor time of the process in user mode and in the kernel meanwhile, in milliseconds.
    pub cpu_ms: (u64, u64),
    /// The keys that took most time, in microseconds.
    pub by_time: Vec<(Box<[u8]>, u64)>,
    /// The keys that took most bytes.
    pub by_bytes: Vec<(Box<[u8]>, u64)>,
}

#[derive(Debug)]
struct Session {
    wish: Wish,
    started_ms: u64,
    /// When it ended, if it has.
    stopped_ms: Option<u64>,
    /// Processor time at the start, and at the end if that has come, in microseconds.
    cpu_us: [(u64, u64); 2],
    time: Sketch,
    bytes: Sketch,
}

/// The one session that there may be.
#[derive(Debug, Default)]
pub struct HotKeys {
    session: Mutex<Option<Session>>,
    /// Nanoseconds and bytes of all commands of the session.
    all_ns: AtomicU64,
    all_bytes: AtomicU64,
}

impl HotKeys {
    /// Begins a session, unless one is under way. `cpu_us` is the processor time of the process so far.
    pub fn start(&self, wish: Wish, now_ms: u64, cpu_us: (u64, u64)) -> bool {
        let mut session = self.session.lock();
        if session.as_ref().is_some_and(|session| session.stopped_ms.is_none()) {
            return false;
        }
        self.all_ns.store(0, Relaxed);
        self.all_bytes.store(0, Relaxed);
        *session = Some(Session {
            wish,
            started_ms: now_ms,
            stopped_ms: None,
            cpu_us: [cpu_us; 2],
            time: Sketch::default(),
            bytes: Sketch::default(),
        });
        true
    }

    /// Ends the session; false if there is none under way.
    pub fn stop(&self, now_ms: u64, cpu_us: (u64, u64)) -> bool {
        let mut session = self.session.lock();
        let Some(session) = session.as_mut().filter(|session| session.stopped_ms.is_none()) else {
            return false;
        };
        session.stopped_ms = Some(now_ms);
        session.cpu_us[1] = cpu_us;
        true
    }

    /// Whether the session under way has lasted long enough.
    pub fn is_over(&self, now_ms: u64) -> bool {
        let is_over = |session: &Session| {
            let end = session.started_ms + session.wish.duration_ms;
            session.stopped_ms.is_none() && session.wish.duration_ms > 0 && now_ms >= end
        };
        self.session.lock().as_ref().is_some_and(is_over)
    }

    /// Forgets what was found; false while a session is under way.
    pub fn reset(&self) -> bool {
        let mut session = self.session.lock();
        if session.as_ref().is_some_and(|session| session.stopped_ms.is_none()) {
            return false;
        }
        *session = None;
        true
    }

    /// What was found, if anything was looked for.
    pub fn report(&self, now_ms: u64, cpu_us: (u64, u64)) -> Option<Report> {
        let session = self.session.lock();
        let session = session.as_ref()?;
        let is_active = session.stopped_ms.is_none();
        let [start, end] = session.cpu_us;
        let end = if is_active { cpu_us } else { end };
        Some(Report {
            is_active,
            wish: session.wish,
            started_ms: session.started_ms,
            lasted_ms: session.stopped_ms.unwrap_or(now_ms).saturating_sub(session.started_ms),
            all_us: self.all_ns.load(Relaxed) / 1_000,
            all_bytes: self.all_bytes.load(Relaxed),
            cpu_ms: (end.0.saturating_sub(start.0) / 1_000, end.1.saturating_sub(start.1) / 1_000),
            by_time: session
                .time
                .greatest(session.wish.count)
                .into_iter()
                .map(|(k, ns)| (k, ns / 1_000))
                .collect(),
            by_bytes: session.bytes.greatest(session.wish.count),
        })
    }

    /// Counts a command; `dice` says whether its keys are looked at.
    pub(crate) fn note(&self, ran: &Ran<'_>, ns: u64, dice: u64) {
        let bytes = (ran.request_bytes() + ran.reply_bytes) as u64;
        self.all_ns.fetch_add(ns, Relaxed);
        self.all_bytes.fetch_add(bytes, Relaxed);
        let mut session = self.session.lock();
        let Some(session) = session.as_mut().filter(|session| session.stopped_ms.is_none()) else {
            return;
        };
        if !dice.is_multiple_of(session.wish.sample) {
            return;
        }
        let room = session.wish.count * COUNTERS_PER_KEY;
        let mut keys: Vec<&[u8]> = Vec::new();
        let word = |at: usize| ran.spans[at].of(ran.input);
        if !positions(ran.row.command.keys, ran.spans.len(), word, |at, _| keys.push(word(at))) {
            return;
        }
        // Of what several keys have cost together, each has its share.
        let each = keys.len().max(1) as u64;
        for key in keys {
            if session.wish.cpu {
                session.time.add(key, ns / each, room);
            }
            if session.wish.net {
                session.bytes.add(key, bytes / each, room);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hot_stays_while_others_come_and_go() {
        let mut sketch = Sketch::default();
        for n in 0..10_000u64 {
            sketch.add(b"hot", 10, 16);
            sketch.add(b"warm", 5, 16);
            sketch.add(n.to_string().as_bytes(), 1, 16);
        }
        let greatest = sketch.greatest(2);
        assert_eq!(greatest[0], (b"hot"[..].into(), 100_000));
        assert_eq!(greatest[1], (b"warm"[..].into(), 50_000));
        assert_eq!(sketch.counts.len(), 16);
    }
}
