//! What is counted, per thread, and summed when somebody asks.
//!
//! Each thread writes its own counters and no other's: an addition is a load and a store, without a lock prefix and without a line that
//! two threads fight for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::Mutex;

/// A number that one thread writes and all may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds. Only the owning thread may.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed) + n, Ordering::Relaxed);
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
    /// How long it ran, in nanoseconds; a batch's time is shared equally among its commands.
    pub nanoseconds: Counter,
    /// How often it was refused before it ran.
    pub rejected: Counter,
    /// How often it answered with an error.
    pub failed: Counter,
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
            /// By command id.
            pub commands: Box<[PerCommand]>,
        }

        /// The sum over all threads.
        #[derive(Clone, Debug, Default)]
        #[expect(missing_docs, reason = "see Counters")]
        pub struct Totals { $(pub $name: u64,)* }

        impl Counters {
            fn new(commands: usize) -> Self {
                let commands = std::iter::repeat_with(PerCommand::default).take(commands).collect();
                Self { $($name: Counter::default(),)* changes: Counter::default(), commands }
            }

            fn reset(&self) {
                $(self.$name.reset();)*
                for command in &self.commands {
                    command.calls.reset();
                    command.nanoseconds.reset();
                    command.rejected.reset();
                    command.failed.reset();
                }
            }
        }

        impl Totals {
            fn add(&mut self, counters: &Counters) {
                $(self.$name += counters.$name.get();)*
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
    /// Times a command found a shard held and had to come again.
    busy,
    /// Clients cut since they did not read their replies.
    output_limit_cuts,
    /// Clients cut since they sent too much at once.
    query_limit_cuts,
    /// Batches run.
    batches,
}

/// All threads' counters.
#[derive(Debug)]
pub struct Stats {
    /// Counted by the acceptor.
    connected: AtomicU64,
    /// Counted by the acceptor.
    refused: AtomicU64,
    threads: Mutex<Vec<Arc<Counters>>>,
    errors: Mutex<HashMap<String, u64>>,
    commands: usize,
}

/// Kinds of errors beyond which INFO counts no new ones, as Redis does, so that a script cannot fill memory with them.
const ERROR_KINDS_MAX: usize = 128;

impl Stats {
    /// Counters for `commands` commands.
    pub fn new(commands: usize) -> Self {
        Self {
            connected: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            threads: Mutex::default(),
            errors: Mutex::default(),
            commands,
        }
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
    pub fn thread(&self) -> Arc<Counters> {
        let counters = Arc::new(Counters::new(self.commands));
        self.threads.lock().push(Arc::clone(&counters));
        counters
    }

    /// The sum over all threads.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.threads.lock().iter().for_each(|counters| totals.add(counters));
        totals
    }

    /// Calls, nanoseconds, rejected and failed of a command.
    pub fn command(&self, id: usize) -> [u64; 4] {
        let mut sums = [0; 4];
        for counters in self.threads.lock().iter() {
            let one = &counters.commands[id];
            let numbers = [&one.calls, &one.nanoseconds, &one.rejected, &one.failed];
            sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number.get());
        }
        sums
    }

    /// Changes to data since the start.
    pub fn changes(&self) -> u64 {
        self.threads.lock().iter().map(|counters| counters.changes.get()).sum()
    }

    /// Counts an error by its code.
    pub fn error(&self, code: &str) {
        let mut errors = self.errors.lock();
        if let Some(count) = errors.get_mut(code) {
            *count += 1;
        } else if errors.len() < ERROR_KINDS_MAX {
            errors.insert(code.to_owned(), 1);
        }
    }

    /// Error codes and how often each was sent, by code.
    pub fn errors(&self) -> Vec<(String, u64)> {
        let mut errors: Vec<_> = self.errors.lock().iter().map(|(k, v)| (k.clone(), *v)).collect();
        errors.sort();
        errors
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        self.threads.lock().iter().for_each(|counters| counters.reset());
        self.errors.lock().clear();
        self.connected.store(0, Ordering::Relaxed);
        self.refused.store(0, Ordering::Relaxed);
    }
}
