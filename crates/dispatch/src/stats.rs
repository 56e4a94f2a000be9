//! What is counted, per thread, and summed when somebody asks.
//!
//! Each thread writes its own counters and no other's: an addition is a load and a store, without a lock prefix and without a line that
//! two threads fight for.

mod histogram;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

pub use self::histogram::{Distribution, Histogram};

/// A number that one thread writes and all may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Nothing counted yet.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds. Only the owning thread may.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed) + n, Ordering::Relaxed);
    }

    /// Keeps the greater of what it has and this. Only the owning thread may.
    #[inline]
    pub fn raise(&self, n: u64) {
        if n > self.0.load(Ordering::Relaxed) {
            self.0.store(n, Ordering::Relaxed);
        }
    }

    /// Takes this number. Only the owning thread may.
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The count so far.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Back to zero; an addition at the same moment may survive.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// What is counted for each command.
#[derive(Debug, Default)]
pub struct PerCommand {
    /// How often it ran.
    pub calls: Counter,
    /// How long it ran, in nanoseconds; brief commands in a row share their time equally.
    pub nanoseconds: Counter,
    /// How often it was refused before it ran.
    pub rejected: Counter,
    /// How often it answered with an error.
    pub failed: Counter,
    /// How long each call took, from the first one on that is tracked.
    latency: OnceLock<Box<Histogram>>,
}

impl PerCommand {
    /// Counts `times` calls of `ns` each, for percentiles too if they are tracked. Only the owning thread may.
    #[inline]
    pub fn ran(&self, ns: u64, times: u64, is_tracked: bool) {
        self.calls.add(times);
        self.nanoseconds.add(ns * times);
        if is_tracked {
            self.latency.get_or_init(Box::default).add(ns, times);
        }
    }

    fn reset(&self) {
        self.calls.reset();
        self.nanoseconds.reset();
        self.rejected.reset();
        self.failed.reset();
        self.latency.get().into_iter().for_each(|latency| latency.reset());
    }
}

/// One command's counts over all threads.
#[derive(Clone, Debug, Default)]
pub struct CommandTotals {
    /// How often it ran.
    pub calls: u64,
    /// How long it ran, in nanoseconds.
    pub nanoseconds: u64,
    /// How often it was refused before it ran.
    pub rejected: u64,
    /// How often it answered with an error.
    pub failed: u64,
}

impl CommandTotals {
    /// Whether nothing was counted.
    pub const fn is_empty(&self) -> bool {
        self.calls + self.rejected + self.failed == 0
    }

    /// The sum over some threads.
    pub fn of(threads: &[Arc<Counters>], id: usize) -> Self {
        let mut totals = Self::default();
        threads.iter().for_each(|counters| totals.add(&counters.commands[id]));
        totals
    }

    fn add(&mut self, one: &PerCommand) {
        self.calls += one.calls.get();
        self.nanoseconds += one.nanoseconds.get();
        self.rejected += one.rejected.get();
        self.failed += one.failed.get();
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One thread's counters, on cache lines of their own.
        #[derive(Debug)]
        #[repr(align(128))]
        pub struct Counters {
            $($(#[$doc])* pub $name: Counter,)*
            /// Changes to data; CONFIG RESETSTAT leaves them.
            pub changes: Counter,
            /// Bytes of data that the thread has added, less those that it has removed; CONFIG RESETSTAT leaves them. May be negative.
            pub data_bytes: Counter,
            /// Up to where those may grow before the thread looks at what all threads have added. Others may set it back.
            pub data_bytes_max: AtomicI64,
            /// The longest turn, in nanoseconds.
            pub turn_max_ns: Counter,
            /// The most commands in one turn.
            pub turn_commands_max: Counter,
            /// By command id.
            pub commands: Box<[PerCommand]>,
            /// Connections that the thread serves now.
            pub clients: Counter,
            /// What the thread is called.
            pub name: String,
            /// How often each kind of error was sent. Errors take their time anyway; the lock is never waited for but by those who ask.
            kinds: Mutex<BTreeMap<Box<str>, u64>>,
        }

        /// The sum over all threads.
        #[derive(Clone, Debug, Default)]
        #[expect(missing_docs, reason = "see Counters")]
        pub struct Totals {
            $(pub $name: u64,)*
            /// The longest turn of any thread, in nanoseconds.
            pub turn_max_ns: u64,
            /// The most commands in one turn of any thread.
            pub turn_commands_max: u64,
        }

        impl Counters {
            fn new(commands: usize, name: String) -> Self {
                let commands = std::iter::repeat_with(PerCommand::default).take(commands).collect();
                Self {
                    $($name: Counter::new(),)*
                    changes: Counter::new(),
                    data_bytes: Counter::new(),
                    data_bytes_max: AtomicI64::new(i64::MIN),
                    turn_max_ns: Counter::new(),
                    turn_commands_max: Counter::new(),
                    commands,
                    clients: Counter::new(),
                    name,
                    kinds: Mutex::default(),
                }
            }

            fn reset(&self) {
                $(self.$name.reset();)*
                self.turn_max_ns.reset();
                self.turn_commands_max.reset();
                self.commands.iter().for_each(PerCommand::reset);
                self.kinds.lock().clear();
            }
        }

        impl Totals {
            fn add(&mut self, counters: &Counters) {
                $(self.$name += counters.$name.get();)*
                self.turn_max_ns = self.turn_max_ns.max(counters.turn_max_ns.get());
                self.turn_commands_max = self.turn_commands_max.max(counters.turn_commands_max.get());
            }
        }
    };
}

counters! {
    /// Commands run.
    processed,
    /// Lookups by reading commands that found a key.
    hits,
    /// Lookups by reading commands that found none.
    misses,
    /// Keys removed since they had ended.
    expired,
    /// Fields of hashes removed since they had ended.
    expired_fields,
    /// Bytes read from clients.
    bytes_in,
    /// Bytes written to clients.
    bytes_out,
    /// Reads from sockets.
    reads,
    /// Writes to sockets.
    writes,
    /// Error replies.
    errors,
    /// Keys removed since memory was full.
    evicted,
    /// Times a command found a shard held and had to come again.
    busy,
    /// Clients cut since they did not read their replies.
    output_limit_cuts,
    /// Clients cut since they sent too much at once.
    query_limit_cuts,
    /// Wrong passwords.
    auth_denied,
    /// Payloads that were looked through before they became values.
    payloads_checked,
    /// Turns taken: batches run, and rounds of the housekeeping.
    batches,
    /// Time of turns, in nanoseconds.
    busy_ns,
    /// Time of commands, in nanoseconds.
    command_ns,
    /// Time of the housekeeping, in nanoseconds.
    cron_ns,
    /// Time spent on removing what has ended, in nanoseconds.
    expire_ns,
    /// Times that the removal of what has ended stopped since it had taken long enough.
    expire_capped,
}

impl Counters {
    /// Counts an error reply by its code, one of the server's own.
    pub fn error(&self, code: &str) {
        self.errors.add(1);
        *self.kinds.lock().entry_ref_or_insert(code) += 1;
    }
}

/// Looks a name up before it is copied.
trait EntryRef {
    fn entry_ref_or_insert(&mut self, name: &str) -> &mut u64;
}

impl EntryRef for BTreeMap<Box<str>, u64> {
    fn entry_ref_or_insert(&mut self, name: &str) -> &mut u64 {
        if !self.contains_key(name) {
            self.insert(name.into(), 0);
        }
        self.get_mut(name).expect("it is there or has just been put in")
    }
}

/// How long calls of a command took on some threads.
pub fn latency_of(threads: &[Arc<Counters>], id: usize) -> Distribution {
    let mut distribution = Distribution::default();
    for counters in threads {
        if let Some(latency) = counters.commands[id].latency.get() {
            distribution.add(latency);
        }
    }
    distribution
}

/// All threads' counters.
#[derive(Debug)]
pub struct Stats {
    /// Counted by the acceptor.
    connected: AtomicU64,
    /// Counted by the acceptor.
    refused: AtomicU64,
    /// Read on every way to more memory where that is short, so without a lock.
    threads: ArcSwap<Vec<Arc<Counters>>>,
    /// Codes of errors that scripts have thought up, of all threads: there is one bound on how many are told apart.
    foreign: Mutex<BTreeMap<Box<str>, u64>>,
    commands: usize,
}

/// Kinds of errors beyond which INFO tells no new ones of clients' making apart, as Valkey does: a script must not fill memory with them.
const ERROR_KINDS_MAX: usize = 128;

/// What they are counted as from then on.
const ERROR_KINDS_OVERFLOW: &str = "ERRORSTATS_OVERFLOW";

impl Stats {
    /// Counters for `commands` commands.
    pub fn new(commands: usize) -> Self {
        Self {
            connected: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            threads: ArcSwap::default(),
            foreign: Mutex::default(),
            commands,
        }
    }

    /// As [`Counters::error`], for a code that a client has thought up. Beyond a number of kinds they are counted as one.
    pub fn foreign_error(&self, counters: &Counters, code: &str) {
        counters.errors.add(1);
        let mut kinds = self.foreign.lock();
        let is_one_more = kinds.len() >= ERROR_KINDS_MAX && !kinds.contains_key(code);
        let code = if is_one_more { ERROR_KINDS_OVERFLOW } else { code };
        *kinds.entry_ref_or_insert(code) += 1;
    }

    /// Counts a connection.
    pub fn connected(&self) {
        self.connected.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that was refused.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections accepted and refused.
    pub fn connections(&self) -> (u64, u64) {
        (self.connected.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }

    /// Counters for one more thread.
    pub fn thread(&self, name: &str) -> Arc<Counters> {
        let counters = Arc::new(Counters::new(self.commands, name.to_owned()));
        self.threads.rcu(|threads| {
            let mut more = Vec::clone(threads);
            more.push(Arc::clone(&counters));
            more
        });
        counters
    }

    /// Every thread's counters, in the order in which the threads came.
    pub fn threads(&self) -> Vec<Arc<Counters>> {
        Vec::clone(&self.threads.load())
    }

    /// Bytes of data: entries, tables and indexes. As exact as can be said while others add to it. O(threads).
    pub fn data_bytes(&self) -> i64 {
        self.threads.load().iter().map(|counters| counters.data_bytes.get() as i64).sum()
    }

    /// For how long threads have worked, in nanoseconds. O(threads).
    pub fn busy_ns(&self) -> u64 {
        self.threads.load().iter().map(|counters| counters.busy_ns.get()).sum()
    }

    /// Bytes of data, and those together with what threads may add to them without asking. O(threads).
    pub(crate) fn data_bytes_promised(&self) -> (i64, i64) {
        let one = |counters: &Arc<Counters>| {
            let bytes = counters.data_bytes.get() as i64;
            let max = counters.data_bytes_max.load(Ordering::Relaxed);
            (bytes, if max == i64::MAX { bytes } else { bytes.max(max) })
        };
        let threads = self.threads.load();
        threads.iter().map(one).fold((0, 0), |(a, b), (c, d)| (a + c, b + d))
    }

    /// Has every thread look at the bound of memory before it adds more data; or never, where there is none.
    pub(crate) fn recall(&self, is_bounded: bool) {
        let max = if is_bounded { i64::MIN } else { i64::MAX };
        self.threads.load().iter().for_each(|c| c.data_bytes_max.store(max, Ordering::Relaxed));
    }

    /// How many threads there are.
    pub(crate) fn thread_count(&self) -> usize {
        self.threads.load().len()
    }

    /// The sum over all threads.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.threads.load().iter().for_each(|counters| totals.add(counters));
        totals
    }

    /// The counts of a command.
    pub fn command(&self, id: usize) -> CommandTotals {
        CommandTotals::of(&self.threads.load(), id)
    }

    /// How long calls of a command took.
    pub fn latency(&self, id: usize) -> Distribution {
        latency_of(&self.threads.load(), id)
    }

    /// Changes to data since the start.
    pub fn changes(&self) -> u64 {
        self.threads.load().iter().map(|counters| counters.changes.get()).sum()
    }

    /// Error codes and how often each was sent, by code.
    pub fn errors(&self) -> BTreeMap<Box<str>, u64> {
        let mut errors = self.foreign.lock().clone();
        for counters in self.threads.load().iter() {
            for (code, count) in counters.kinds.lock().iter() {
                *errors.entry_ref_or_insert(code) += count;
            }
        }
        errors
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        self.threads.load().iter().for_each(|counters| counters.reset());
        self.foreign.lock().clear();
        self.connected.store(0, Ordering::Relaxed);
        self.refused.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_clients_making_are_told_apart_up_to_a_number() {
        let stats = Stats::new(0);
        let [counters, others] = ["t", "u"].map(|name| stats.thread(name));
        (0..100).for_each(|n| stats.foreign_error(&counters, &format!("E{n}")));
        (100..200).for_each(|n| stats.foreign_error(&others, &format!("E{n}")));
        counters.error("ERR");
        stats.foreign_error(&others, "E0");
        let errors = stats.errors();
        assert_eq!(errors["ERRORSTATS_OVERFLOW"], 72);
        assert_eq!((errors["ERR"], errors["E0"]), (1, 2));
        assert_eq!(errors.len(), 130);
        assert_eq!(stats.totals().errors, 202);
    }

    #[test]
    fn counts_of_all_threads_are_added_up_and_reset() {
        let stats = Stats::new(2);
        let (one, other) = (stats.thread("one"), stats.thread("other"));
        one.commands[1].ran(2_000, 3, true);
        other.commands[1].ran(1_000, 1, true);
        one.turn_max_ns.raise(5);
        other.turn_max_ns.raise(3);
        assert_eq!((stats.command(1).calls, stats.command(1).nanoseconds), (4, 7_000));
        assert_eq!((stats.latency(1).count(), stats.totals().turn_max_ns), (4, 5));
        stats.reset();
        assert!(stats.command(1).is_empty() && stats.latency(1).is_empty());
    }
}
