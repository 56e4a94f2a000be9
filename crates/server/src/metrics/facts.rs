//! What metrics are functions of, gathered once per scrape.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use russet_dispatch::State;
use russet_dispatch::stats::{CommandTotals, Counters, Distribution, Totals, latency_of};
use russet_engine::Patience;

/// What one database holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DatabaseFacts {
    pub(super) keys: usize,
    pub(super) volatile: usize,
}

/// What one command has done.
#[derive(Debug)]
pub(super) struct CommandFacts {
    pub(super) name: &'static str,
    pub(super) totals: CommandTotals,
    pub(super) latency: Distribution,
}

/// Everything that a row can ask.
pub(super) struct Facts {
    pub(super) state: &'static State,
    pub(super) totals: Totals,
    pub(super) threads: Vec<Arc<Counters>>,
    /// Those that were called or refused.
    pub(super) commands: Vec<CommandFacts>,
    pub(super) databases: Vec<DatabaseFacts>,
    pub(super) data_bytes: usize,
    pub(super) table_bytes: usize,
    /// The fewest and the most keys of a shard.
    pub(super) shard_keys: (usize, usize),
    pub(super) blocked: usize,
}

impl Facts {
    /// O(shards + commands × threads + clients): no key is looked at.
    pub(super) fn gather(state: &'static State) -> Self {
        state.probe();
        let blocked = state.clients.all().iter().filter(|c| c.blocked.lock().is_some()).count();
        let threads = state.stats.threads();
        let mut facts = Self {
            state,
            totals: state.stats.totals(),
            commands: commands(state, &threads),
            threads,
            databases: Vec::new(),
            data_bytes: 0,
            table_bytes: 0,
            shard_keys: (usize::MAX, 0),
            blocked,
        };
        facts.walk();
        facts
    }

    /// What a script holds for long is left out.
    fn walk(&mut self) {
        let keyspace = &self.state.keyspace;
        for shard in 0..keyspace.shards() {
            let Ok(shard) = keyspace.hold_one(shard, Patience::STEADY) else { continue };
            self.data_bytes += shard.bytes();
            self.table_bytes += shard.overhead_bytes();
            let count = self.databases.len().max(shard.databases() as usize);
            self.databases.resize(count, DatabaseFacts::default());
            let mut keys = 0;
            for (db, facts) in self.databases.iter_mut().enumerate() {
                let Some(database) = shard.database(db as u32) else { continue };
                facts.keys += database.table().len();
                facts.volatile += database.volatile();
                keys += database.table().len();
            }
            self.shard_keys = (self.shard_keys.0.min(keys), self.shard_keys.1.max(keys));
        }
    }

    /// The I/O threads.
    pub(super) fn io_threads(&self) -> impl Iterator<Item = &Counters> {
        self.threads.iter().map(|thread| &**thread).filter(|thread| thread.name.starts_with("io-"))
    }

    /// A number of the state that changes while it is read.
    pub(super) fn gauge(
        &self,
        which: fn(&russet_dispatch::state::Gauges) -> &std::sync::atomic::AtomicU64,
    ) -> u64 {
        which(&self.state.gauges).load(Ordering::Relaxed)
    }
}

fn commands(state: &'static State, threads: &[Arc<Counters>]) -> Vec<CommandFacts> {
    let facts = |row: &'static russet_dispatch::Row| {
        let totals = CommandTotals::of(threads, row.id);
        (!totals.is_empty()).then(|| CommandFacts {
            name: &row.full_name,
            totals,
            latency: latency_of(threads, row.id),
        })
    };
    state.table.all().filter_map(facts).collect()
}
