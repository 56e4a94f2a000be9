//! What INFO's fields are functions of, gathered once per INFO.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use russet_config::Config;
use russet_dispatch::stats::Totals;
use russet_dispatch::{Client, Context, State};
use russet_engine::sizes::BINS;
use russet_engine::{Busy, Shard, Type};

/// What all databases hold together, from one look at each shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walked {
    /// By number.
    pub(crate) databases: Vec<DatabaseFacts>,
    /// Bytes of keys and values.
    pub(crate) data_bytes: u64,
    /// Bytes of tables and indexes.
    pub(crate) table_bytes: u64,
    /// Tables that are growing or shrinking.
    pub(crate) moving_tables: usize,
    /// Bytes of the tables that those are moving out of.
    pub(crate) moving_bytes: u64,
    /// By number.
    pub(crate) shards: Vec<ShardFacts>,
    /// Names that somebody watches.
    pub(crate) watched: usize,
    /// Names that somebody waits for.
    pub(crate) awaited: usize,
    /// Of those, where somebody is also told when the key is gone.
    pub(crate) awaited_or_lost: usize,
    /// Names that somebody keeps in a cache.
    pub(crate) tracked_keys: usize,
    /// How many keep each, all together.
    pub(crate) tracked_items: usize,
}

/// What one shard holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ShardFacts {
    pub(crate) keys: usize,
    pub(crate) bytes: usize,
    pub(crate) lsn: u64,
}

/// What one database holds.
#[derive(Clone, Debug)]
pub(crate) struct DatabaseFacts {
    pub(crate) keys: usize,
    /// How many of them end.
    pub(crate) volatile: usize,
    /// When they end, all together, in milliseconds since 1970.
    pub(crate) deadlines: u128,
    /// Bytes of its tables.
    pub(crate) main_bytes: usize,
    /// Bytes of what knows when keys end.
    pub(crate) expiry_bytes: usize,
    /// How many values are how large, by type.
    pub(crate) sizes: [[u64; BINS]; Type::ALL.len()],
    /// How many hashes have fields that end.
    pub(crate) hashes_with_deadlines: usize,
}

impl Default for DatabaseFacts {
    fn default() -> Self {
        Self {
            keys: 0,
            volatile: 0,
            deadlines: 0,
            main_bytes: 0,
            expiry_bytes: 0,
            sizes: [[0; BINS]; Type::ALL.len()],
            hashes_with_deadlines: 0,
        }
    }
}

impl DatabaseFacts {
    /// Milliseconds that keys with an end have left on average.
    pub(crate) fn mean_ttl_ms(&self, now: u64) -> u64 {
        let mean = self.deadlines.checked_div(self.volatile as u128).unwrap_or(0);
        (mean as u64).saturating_sub(now)
    }
}

impl Walked {
    /// Looks at each shard once.
    pub(crate) fn gather(cx: &Context<'_>) -> Result<Self, Busy> {
        let mut walked = Self::default();
        for shard in 0..cx.state.keyspace.shards() {
            cx.data.visit(shard, |shard| walked.add(shard))?;
        }
        Ok(walked)
    }

    fn add(&mut self, shard: &Shard) {
        let databases = (0..shard.databases()).filter_map(|db| shard.database(db));
        let keys = databases.map(|database| database.table().len()).sum();
        self.shards.push(ShardFacts { keys, bytes: shard.bytes(), lsn: shard.lsn });
        self.data_bytes += shard.bytes() as u64;
        self.table_bytes += shard.overhead_bytes() as u64;
        if let Some(interest) = shard.interest() {
            self.watched += interest.watched();
            let (awaited, awaited_or_lost) = interest.awaited();
            self.awaited += awaited;
            self.awaited_or_lost += awaited_or_lost;
            self.tracked_keys += interest.tracked.keys();
            self.tracked_items += interest.tracked.items();
        }
        let count = self.databases.len().max(shard.databases() as usize);
        self.databases.resize(count, DatabaseFacts::default());
        for (db, facts) in self.databases.iter_mut().enumerate() {
            let Some(database) = shard.database(db as u32) else { continue };
            facts.keys += database.table().len();
            facts.volatile += database.volatile();
            facts.deadlines += database.deadlines();
            facts.hashes_with_deadlines += database.hashes_with_deadlines();
            self.moving_tables += usize::from(database.table().is_moving());
            self.moving_bytes += database.table().moving_bytes() as u64;
            for kind in Type::ALL {
                database.sizes().add_to(kind, &mut facts.sizes[kind as usize]);
            }
            facts.main_bytes += database.table().heap_bytes();
            facts.expiry_bytes += database.expiry_bytes();
        }
    }

    /// Keys of all databases.
    pub(crate) fn keys(&self) -> usize {
        self.databases.iter().map(|database| database.keys).sum()
    }
}

/// Everything that a field can ask.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) state: &'static State,
    pub(crate) config: Arc<Config>,
    pub(crate) totals: Totals,
    pub(crate) clients: Vec<Arc<Client>>,
    pub(crate) walked: Walked,
    pub(crate) now: u64,
    used: u64,
}

impl Facts {
    pub(crate) fn new(cx: &Context<'_>, walked: Walked) -> Self {
        Self {
            state: cx.state,
            config: cx.state.config.load_full(),
            totals: cx.state.stats.totals(),
            clients: cx.state.clients.all(),
            walked,
            now: cx.now(),
            used: cx.state.used_memory(),
        }
    }

    /// How many clients are so.
    pub(crate) fn count(&self, is_so: impl Fn(&Client) -> bool) -> String {
        self.clients.iter().filter(|client| is_so(client)).count().to_string()
    }

    /// The greatest of something of the clients.
    pub(crate) fn greatest(&self, of: impl Fn(&Client) -> usize) -> String {
        self.clients.iter().map(|client| of(client)).max().unwrap_or(0).to_string()
    }

    /// Bytes of all clients' buffers.
    pub(crate) fn client_bytes(&self) -> usize {
        client_bytes(&self.clients)
    }

    /// Bytes in use as the allocator sees it.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// Bytes in use beyond keys and values.
    pub(crate) fn overhead(&self) -> u64 {
        self.used().saturating_sub(self.walked.data_bytes)
    }
}

/// Bytes of the buffers of some clients.
pub(crate) fn client_bytes(clients: &[Arc<Client>]) -> usize {
    clients.iter().map(|client| client.burden()).sum()
}

/// Bytes of a client's read buffer and of what MULTI has queued.
pub(crate) fn input_bytes(client: &Client) -> usize {
    let parts = [&client.input_bytes, &client.input_free, &client.queued_bytes];
    parts.into_iter().map(|part| part.load(Ordering::Relaxed)).sum()
}

/// Bytes that wait to be sent to a client.
pub(crate) fn output_bytes(client: &Client) -> usize {
    client.output_bytes.load(Ordering::Relaxed) + client.mail_bytes()
}
