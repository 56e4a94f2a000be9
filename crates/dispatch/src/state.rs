//! What all sessions share.

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use parking_lot::Mutex;
use russet_config::{Config, Id, OutputBufferLimit, SetError, event, id};
use russet_engine::eviction::Pool;
use russet_engine::policy::s3fifo::S3Fifo;
use russet_engine::policy::sieve::Sieve;
use russet_engine::policy::tinylfu::TinyLfu;
use russet_engine::random::Random;
use russet_engine::{Access, Busy, Guard, Keyspace, Patience, Shard, Waiter};
use russet_journal::{Journal, UNREAD_BYTES_MAX};
use russet_resp::Protocol;

use crate::aof::Aof;
use crate::blocking::Blocked;
use crate::burden::Burden;
use crate::clock::Clock;
use crate::commandlog::CommandLogs;
use crate::defrag::Defrag;
use crate::error::Error;
use crate::eviction::Ceiling;
use crate::hotkeys::{HotKeys, Wish};
use crate::latency::Latency;
use crate::mailbox::{Calls, Mail};
use crate::meter::Meter;
use crate::monitor::Monitors;
use crate::observe::Observe;
use crate::persistence::Persistence;
use crate::pubsub::PubSub;
use crate::request::Change;
use crate::resident::Resident;
use crate::scripting::Scripts;
use crate::session::Client;
use crate::stats::{Counters, Stats};
use crate::table::Table;
use crate::thresholds::Thresholds;
use crate::tracking::Tracking;

/// Rules that hold for all clients, one bit each; zero in the common case, which is all that the hot path asks.
pub mod rule {
    /// CLIENT PAUSE … WRITE: whatever may change data waits.
    pub const PAUSE_WRITE: u32 = 1;
    /// CLIENT PAUSE … ALL: everything waits.
    pub const PAUSE_ALL: u32 = 2;
    /// Data is being loaded.
    pub const LOADING: u32 = 4;
    /// Memory is full, and nothing may be evicted: commands that need more are refused.
    pub const FULL: u32 = 8;
    /// There is more data than there may be: every command tries to make room first.
    pub const OVER: u32 = 16;
    /// Somebody monitors: every command is shown.
    pub const MONITORED: u32 = 1 << 8;
    /// A snapshot has more to write than may wait: whatever may change data waits.
    pub const PRESSED: u32 = 1 << 9;
    /// The last snapshot failed: commands that may change data are refused.
    pub const UNSAVED: u32 = 1 << 10;
    /// The append-only file cannot be written: commands that may change data are refused.
    pub const UNLOGGED: u32 = 1 << 11;
    /// The append-only file is far behind: whatever may change data waits.
    pub const LAGGING: u32 = 1 << 12;
    /// The process takes nearly more than it may, and values are being moved together: whatever needs more memory waits for a moment.
    pub const CROWDED: u32 = 1 << 13;
}

/// What all sessions share.
pub struct State {
    /// All data.
    pub keyspace: Keyspace,
    /// The log of effects.
    pub journal: Arc<Journal>,
    /// Every connected client, by id.
    pub clients: Clients,
    /// Who is subscribed to what.
    pub pubsub: PubSub,
    /// Scripts and functions.
    pub scripts: Scripts,
    /// Counters of all threads.
    pub stats: Stats,
    /// Commands that cost much.
    pub logs: CommandLogs,
    /// What took long.
    pub latency: Latency,
    /// Keys that cost much.
    pub hot_keys: HotKeys,
    /// Saving and loading.
    pub persistence: Persistence,
    /// The append-only file.
    pub aof: Aof,
    /// The time that commands see.
    pub clock: Clock,
    /// All commands.
    pub table: &'static Table,
    /// Every parameter.
    pub config: ArcSwap<Config>,
    /// Held by whoever changes the configuration.
    pub config_change: Mutex<()>,
    /// Parameters that are read often.
    pub tunables: Tunables,
    /// Bits of [`rule`].
    pub rules: AtomicU32,
    /// Those who see every command.
    pub monitors: Monitors,
    /// Who caches what.
    pub tracking: Tracking,
    /// What clients take of memory.
    pub burden: Burden,
    /// How much data there may be.
    pub ceiling: Ceiling,
    /// How much the process takes of the machine, compared with what it may.
    pub resident: Resident,
    /// What moving allocations together has done.
    pub defrag: Defrag,
    /// Until when CLIENT PAUSE holds, in milliseconds since 1970.
    pub paused_until_ms: AtomicU64,
    /// Whether active expiry runs; DEBUG SET-ACTIVE-EXPIRE.
    pub active_expire: AtomicBool,
    /// Whether the housekeeping rests; DEBUG PAUSE-CRON.
    pub is_cron_paused: AtomicBool,
    /// Number of databases.
    pub databases: u32,
    /// What never changes while the process lives.
    pub identity: Identity,
    /// What the shell has measured.
    pub gauges: Gauges,
    /// What only the shell can do at once; set by the shell.
    pub tools: OnceLock<Tools>,
    /// Forty hexadecimal digits that name this history of the data.
    pub replication_id: ArcSwap<String>,
    seed: u64,
    threads: AtomicUsize,
    /// What worker threads own, while none of them needs it.
    workers: Mutex<Vec<Thread>>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("keyspace", &self.keyspace).finish_non_exhaustive()
    }
}

/// What never changes while the process lives.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Forty hexadecimal digits.
    pub run_id: String,
    /// Process id.
    pub pid: u32,
    /// When the server started, in milliseconds since 1970.
    pub started_ms: u64,
    /// The TCP port as configured.
    pub port: u16,
    /// Path of the binary.
    pub executable: String,
    /// Path of the configuration file, or empty.
    pub config_file: String,
    /// Operating system and kernel.
    pub os: String,
    /// I/O threads.
    pub io_threads: usize,
    /// Name and version of the allocator.
    pub allocator: String,
}

/// What only the shell can do, and does at once.
#[derive(Clone, Copy, Debug)]
pub struct Tools {
    /// Measures the gauges anew.
    pub probe: fn(&Gauges),
    /// Gives unused memory back to the system. Says whether that worked.
    pub purge: fn() -> bool,
    /// What the allocator says of itself, for people.
    pub allocator_report: fn() -> String,
    /// A number that the allocator knows by this name, if it does.
    pub allocator_number: fn(name: &str) -> Option<i64>,
    /// Has the calling thread give back what it keeps at hand of freed memory. Says whether that worked.
    pub let_go: fn() -> bool,
    /// Adds a library of functions that was saved, over one of the same name or not; or says why it cannot be.
    pub add_library: fn(&'static State, code: &[u8], replaces: bool) -> Result<(), String>,
}

/// What the shell has measured.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Bytes in use as the allocator sees it.
    pub used_memory: AtomicU64,
    /// The most that was ever in use.
    pub used_memory_peak: AtomicU64,
    /// In use right after the start.
    pub used_memory_startup: AtomicU64,
    /// Resident set, from the kernel.
    pub rss: AtomicU64,
    /// Bytes that the allocator has handed out, with what threads keep at hand of them.
    pub allocated: AtomicU64,
    /// The allocator's active pages, in bytes.
    pub active: AtomicU64,
    /// The allocator's resident pages, in bytes.
    pub resident: AtomicU64,
    /// All memory of the machine or the control group.
    pub system_memory: AtomicU64,
    /// Processor time in user mode, in microseconds.
    pub cpu_user_us: AtomicU64,
    /// Processor time in the kernel, in microseconds.
    pub cpu_system_us: AtomicU64,
    /// Commands per second over the last second or so.
    pub ops_per_second: AtomicU64,
    /// Bytes read per second.
    pub input_per_second: AtomicU64,
    /// Bytes written per second.
    pub output_per_second: AtomicU64,
    /// Turns of all threads per second.
    pub turns_per_second: AtomicU64,
    /// How long a turn took on average, in microseconds.
    pub turn_us: AtomicU64,
}

impl Gauges {
    /// Processor time of the process in user mode and in the kernel, in microseconds.
    pub fn cpu_us(&self) -> (u64, u64) {
        (self.cpu_user_us.load(Ordering::Relaxed), self.cpu_system_us.load(Ordering::Relaxed))
    }
}

/// Parameters that are read often, as plain numbers. Written by [`State::apply`] only.
#[derive(Debug, Default)]
pub struct Tunables {
    /// `proto-max-bulk-len`.
    pub bulk_bytes_max: AtomicU64,
    /// `client-query-buffer-limit`.
    pub query_bytes_max: AtomicU64,
    /// `client-output-buffer-limit normal`.
    pub output_normal: OutputTunables,
    /// `client-output-buffer-limit pubsub`.
    pub output_pubsub: OutputTunables,
    /// `timeout`, in seconds.
    pub timeout: AtomicU64,
    /// `tcp-keepalive`, in seconds.
    pub keepalive: AtomicU64,
    /// `maxclients`.
    pub clients_max: AtomicUsize,
    /// `maxmemory`.
    pub memory_max: AtomicU64,
    /// How uses of keys are noted: zero by recency, or [`IS_LFU`] with `lfu-log-factor` from bit 31 on, `lfu-decay-time` below, or one of
    /// the others, with the epoch in its lowest byte.
    access: AtomicU64,
    /// `script-memory-limit`, in bytes.
    pub script_memory: AtomicU64,
    /// `busy-reply-threshold`, in milliseconds.
    pub busy_threshold: AtomicU64,
    /// `rdbcompression`.
    pub compresses: AtomicBool,
    /// `tracking-table-max-keys`.
    pub tracked_max: AtomicUsize,
    /// Whether a password is needed.
    pub needs_password: AtomicBool,
    /// Seconds that a client has to authenticate.
    pub auth_timeout: AtomicU64,
    /// Seconds after which half a request is given up.
    pub request_timeout: AtomicU64,
    /// `protected-mode`.
    pub is_protected: AtomicBool,
    /// Connections kept for this machine beyond `maxclients`.
    pub clients_reserved: AtomicUsize,
    /// How many of a hundred clients may be unauthenticated.
    pub unauthenticated_percent: AtomicUsize,
    /// `notify-keyspace-events`: bits of [`russet_config::event`], or zero if no channel is chosen.
    pub events: AtomicU32,
    /// `hz`.
    pub hz: AtomicI64,
    /// What makes a collection big.
    pub thresholds: Thresholds,
    /// What is watched while commands run.
    pub observe: Observe,
}

/// Among the bits of how uses are noted: `maxmemory-policy` is one of the LFU policies.
const IS_LFU: u64 = 1 << 63;

/// Or one of the LRM policies.
const IS_LRM: u64 = 1 << 62;

/// Or of those that have no parameters.
const IS_S3_FIFO: u64 = 1 << 61;
const IS_SIEVE: u64 = 1 << 60;

/// Or one whose time is counted in epochs.
const IS_TINY_LFU: u64 = 1 << 59;

/// The bits of the epoch.
const EPOCH: u64 = 0xff;

/// Bits of one of its parameters.
const LFU_BITS: u32 = 31;

/// How much may wait to be sent to a client of one class.
#[derive(Debug, Default)]
pub struct OutputTunables {
    /// Bytes at which the client is cut, or 0.
    pub hard: AtomicU64,
    /// Bytes at which it is cut after a while, or 0.
    pub soft: AtomicU64,
    /// How long a while is.
    pub soft_seconds: AtomicU64,
}

/// What may wait where the configuration names no limit, and the least that this is where memory is bounded.
const OUTPUT_MAX: std::ops::RangeInclusive<u64> = 32 << 20..=1 << 30;

/// Under a limit of memory this part of it may be on its way to a file, but so many bytes in any case.
const ON_THE_WAY_SHARE: u64 = 32;
const ON_THE_WAY_MIN: u64 = 1 << 20;

/// Output that counts for no limit of the configuration: Redis' buffer of fixed size, without which a small limit would cut off
/// whoever asks for a way to raise it.
pub const OUTPUT_UNCOUNTED: u64 = 16 * 1024;

impl OutputTunables {
    fn apply(&self, limit: &OutputBufferLimit) {
        self.hard.store(limit.hard_bytes, Ordering::Relaxed);
        self.soft.store(limit.soft_bytes, Ordering::Relaxed);
        self.soft_seconds.store(limit.soft_seconds, Ordering::Relaxed);
    }
}

impl Tunables {
    /// The limits of a client's class.
    pub const fn output(&self, is_subscriber: bool) -> &OutputTunables {
        if is_subscriber { &self.output_pubsub } else { &self.output_normal }
    }

    /// How much may wait to be taken by a client of a class. Where the configuration sets no bound there is one still: what nobody
    /// reads must not take the memory of the data.
    pub fn output_max(&self, is_subscriber: bool) -> u64 {
        let hard = self.output(is_subscriber).hard.load(Ordering::Relaxed);
        match (hard, self.memory_max.load(Ordering::Relaxed)) {
            (0, 0) => *OUTPUT_MAX.end(),
            (0, memory) => (memory / 4).clamp(*OUTPUT_MAX.start(), *OUTPUT_MAX.end()),
            (hard, _) => hard,
        }
    }

    /// What may lie in memory on its way to a file: `max` bytes or, under a limit of memory, no more than a part of that, which is beside
    /// the data.
    pub fn on_the_way_max(&self, max: u64) -> u64 {
        match self.memory_max.load(Ordering::Relaxed) {
            0 => max,
            limit => (limit / ON_THE_WAY_SHARE).clamp(ON_THE_WAY_MIN.min(max), max),
        }
    }

    /// How uses of keys are noted at this millisecond since 1970.
    #[inline]
    pub fn access(&self, now: u64) -> Access {
        match self.access.load(Ordering::Relaxed) {
            0 => Access::recency(now),
            bits if bits & IS_LFU != 0 => {
                let parameter = |shift: u32| (bits >> shift) as u32 & (u32::MAX >> 1);
                Access::frequency(now, parameter(LFU_BITS), parameter(0))
            }
            IS_LRM => Access::change(now),
            IS_S3_FIFO => Access::S3Fifo(S3Fifo),
            IS_SIEVE => Access::Sieve(Sieve),
            bits => Access::TinyLfu(TinyLfu((bits & EPOCH) as u8)),
        }
    }

    /// So much was evicted that what was used before counts less, where a policy has epochs.
    pub(crate) fn begin_epoch(&self) {
        let next = |bits: u64| {
            let is_counted = bits & (IS_LFU | IS_TINY_LFU) == IS_TINY_LFU;
            is_counted.then_some(IS_TINY_LFU | bits.wrapping_add(1) & EPOCH)
        };
        let _bits_before = self.access.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }
}

impl State {
    /// The state of a new server.
    pub fn new(
        keyspace: Keyspace,
        table: &'static Table,
        config: Config,
        identity: Identity,
        random_seed: u64,
        databases: u32,
    ) -> Self {
        let state = Self {
            keyspace,
            journal: Arc::new(Journal::new(16 << 20)),
            clients: Clients::default(),
            pubsub: PubSub::default(),
            scripts: Scripts::default(),
            stats: Stats::new(table.ids()),
            logs: CommandLogs::default(),
            latency: Latency::default(),
            hot_keys: HotKeys::default(),
            persistence: Persistence::new(identity.started_ms),
            aof: Aof::default(),
            clock: Clock::new(identity.started_ms),
            table,
            config: ArcSwap::from_pointee(config),
            config_change: Mutex::new(()),
            tunables: Tunables::default(),
            rules: AtomicU32::new(0),
            monitors: Monitors::default(),
            tracking: Tracking::default(),
            burden: Burden::default(),
            ceiling: Ceiling::default(),
            resident: Resident::default(),
            defrag: Defrag::default(),
            paused_until_ms: AtomicU64::new(0),
            active_expire: AtomicBool::new(true),
            is_cron_paused: AtomicBool::new(false),
            databases,
            identity,
            gauges: Gauges::default(),
            tools: OnceLock::new(),
            replication_id: ArcSwap::default(),
            seed: random_seed,
            threads: AtomicUsize::new(0),
            workers: Mutex::default(),
        };
        state.apply();
        state.begin_history(&mut Random::new(!random_seed));
        state
    }

    /// Gives the history of the data a new name.
    pub fn begin_history(&self, random: &mut Random) {
        let [a, b, c] = [random.next_u64(), random.next_u64(), random.next_u64()];
        self.replication_id.store(Arc::new(format!("{a:016x}{b:016x}{:08x}", c as u32)));
    }

    /// What one more thread owns, which is called so in statistics.
    pub fn thread(&self, name: &str) -> Thread {
        let nth = self.threads.fetch_add(1, Ordering::Relaxed) as u64;
        let seed = self.seed.wrapping_add(nth.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Thread {
            counters: self.stats.thread(name),
            meter: Meter::default(),
            random: RefCell::new(Random::new(seed)),
            calls: RefCell::default(),
            pool: RefCell::default(),
        }
    }

    /// What a worker thread owns for a while: as many of them are made as work at once, and used again.
    pub fn worker(&self) -> Thread {
        let idle = self.workers.lock().pop();
        idle.unwrap_or_else(|| self.thread("worker"))
    }

    /// A worker is done.
    pub fn give_back(&self, worker: Thread) {
        self.workers.lock().push(worker);
    }

    /// Begins a session of HOTKEYS, unless one is under way.
    pub fn start_hot_keys(&self, wish: Wish) -> bool {
        self.probe();
        let has_begun = self.hot_keys.start(wish, self.clock.now(), self.gauges.cpu_us());
        self.tunables.observe.tracks_keys.fetch_or(has_begun, Ordering::Relaxed);
        has_begun
    }

    /// Ends the session of HOTKEYS; false if there is none under way.
    pub fn stop_hot_keys(&self) -> bool {
        self.probe();
        self.tunables.observe.tracks_keys.store(false, Ordering::Relaxed);
        self.hot_keys.stop(self.clock.now(), self.gauges.cpu_us())
    }

    /// The most that replies to a client may be before they are sent: it would be cut for more, or all clients together would take more
    /// than they may.
    pub fn reply_bytes_max(&self, client: &Client) -> usize {
        let max = self.mail_bytes_max(client);
        match self.burden.max() {
            of_all if of_all > 0 && !client.no_evict.load(Ordering::Relaxed) => {
                max.min(of_all as usize)
            }
            _ => max,
        }
    }

    /// How much may wait to be sent to a client of its class, its mailbox included.
    pub(crate) fn mail_bytes_max(&self, client: &Client) -> usize {
        (self.tunables.output_max(client.is_subscriber()) + OUTPUT_UNCOUNTED) as usize
    }

    /// How much may wait to be sent to a subscriber, its mailbox included.
    pub(crate) fn subscriber_bytes_max(&self) -> usize {
        (self.tunables.output_max(true) + OUTPUT_UNCOUNTED) as usize
    }

    /// What a worker owns, for as long as its thread lives: given back when the answer is dropped.
    pub fn lend_thread(&'static self) -> Lent {
        Lent { state: self, thread: Some(self.worker()) }
    }

    /// Measures the gauges anew, if there is a shell to do it.
    pub fn probe(&self) {
        if let Some(tools) = self.tools.get() {
            (tools.probe)(&self.gauges);
        }
    }

    /// Passes every shard once, so that whoever judged by rules from before has finished.
    pub fn barrier(&self) {
        for shard in 0..self.keyspace.shards() {
            drop(self.keyspace.hold_patiently(shard));
        }
    }

    /// As [`State::barrier`], unless somebody holds a shard for long.
    pub fn try_barrier(&self) -> Result<(), Busy> {
        let pass = |shard| self.keyspace.hold_one(shard, Patience::STEADY).map(drop);
        (0..self.keyspace.shards()).try_for_each(pass)
    }

    /// Takes a waiter off the queues of its keys.
    pub fn unregister(&self, blocked: &Arc<Blocked>) {
        let waiter: Arc<dyn Waiter> = Arc::<Blocked>::clone(blocked);
        for (name, shard) in blocked.names() {
            // A shard that is held for long keeps a closed waiter until somebody passes by.
            if let Ok(mut shard) = self.keyspace.hold_one(shard, Patience::after(6)) {
                unwait(&mut shard, name.db, &name.key, &waiter);
            }
        }
        *blocked.client.blocked.lock() = None;
        blocked.client.blocked_bytes.store(0, Ordering::Relaxed);
    }

    /// What clients speak until they say HELLO: `client-default-resp`.
    pub fn first_protocol(&self) -> Protocol {
        match self.config.load().integer(const { id("client-default-resp") }) {
            3 => Protocol::Resp3,
            _ => Protocol::Resp2,
        }
    }

    /// Bytes of keys and values.
    pub fn data_bytes(&self) -> usize {
        (0..self.keyspace.shards()).map(|s| self.keyspace.hold_patiently(s).bytes()).sum()
    }

    /// Changes parameters, all or none. `apply` makes the new values true where that can fail, and may correct them.
    pub fn reconfigure(
        &self,
        change: &Change,
        apply: impl FnOnce(&mut Config, &[Id]) -> Result<(), SetError>,
    ) -> Result<(), SetError> {
        let _changing = self.config_change.lock();
        let mut next = Config::clone(&self.config.load());
        let changed = next.set(&change.pairs(), change.caller)?;
        apply(&mut next, &changed)?;
        self.config.store(Arc::new(next));
        self.apply();
        Ok(())
    }

    /// Brings the parameters that are read often up to the configuration.
    pub fn apply(&self) {
        let config = self.config.load();
        let tunables = &self.tunables;
        let set = |place: &AtomicU64, id| place.store(config.memory(id), Ordering::Relaxed);
        set(&tunables.bulk_bytes_max, const { id("proto-max-bulk-len") });
        set(&tunables.query_bytes_max, const { id("client-query-buffer-limit") });
        let busy_threshold = config.integer(const { id("busy-reply-threshold") });
        tunables.busy_threshold.store(busy_threshold as u64, Ordering::Relaxed);
        set(&tunables.script_memory, const { id("script-memory-limit") });
        set(&tunables.timeout, const { id("timeout") });
        set(&tunables.keepalive, const { id("tcp-keepalive") });
        set(&tunables.memory_max, const { id("maxmemory") });
        set(&tunables.auth_timeout, const { id("unauthenticated-timeout") });
        tunables
            .clients_max
            .store(config.memory(const { id("maxclients") }) as usize, Ordering::Relaxed);
        set(&tunables.request_timeout, const { id("partial-command-timeout") });
        tunables.is_protected.store(config.bool(const { id("protected-mode") }), Ordering::Relaxed);
        tunables
            .clients_reserved
            .store(config.memory(const { id("maxclients-reserved") }) as usize, Ordering::Relaxed);
        let percent = config.memory(const { id("unauthenticated-clients-percent") }) as usize;
        tunables.unauthenticated_percent.store(percent, Ordering::Relaxed);
        tunables.hz.store(config.integer(const { id("hz") }), Ordering::Relaxed);
        let compresses = config.bool(const { id("rdbcompression") });
        tunables.compresses.store(compresses, Ordering::Relaxed);
        let tracked_max = config.memory(const { id("tracking-table-max-keys") }) as usize;
        tunables.tracked_max.store(tracked_max, Ordering::Relaxed);
        let needs_password = !config.text(const { id("requirepass") }).is_empty();
        tunables.needs_password.store(needs_password, Ordering::Relaxed);
        let policy = config.choice(const { id("maxmemory-policy") });
        let number = |id| config.integer(id) as u64;
        let (log_factor, decay) =
            (number(const { id("lfu-log-factor") }), number(const { id("lfu-decay-time") }));
        let frequency = IS_LFU | log_factor << LFU_BITS | decay;
        let access = match policy.rsplit('-').next() {
            Some("lfu") => frequency,
            Some("lrm") => IS_LRM,
            Some("s3fifo") => IS_S3_FIFO,
            Some("sieve") => IS_SIEVE,
            Some("tinylfu") => IS_TINY_LFU,
            _ => 0,
        };
        tunables.access.store(access, Ordering::Relaxed);
        self.journal.bound_unread(tunables.on_the_way_max(UNREAD_BYTES_MAX));
        self.ceiling.apply(&config);
        // If another queue is to be kept, then not before there is something to evict.
        self.keyspace.keep_no_queues_but(tunables.access(self.clock.now()).kind());
        let [normal, _, pubsub] = config.output_buffer_limits();
        tunables.output_normal.apply(normal);
        tunables.output_pubsub.apply(pubsub);
        let events = config.integer(const { id("notify-keyspace-events") });
        let has_channel = events & (event::KEYSPACE | event::KEYEVENT) != 0;
        tunables.events.store(if has_channel { events as u32 } else { 0 }, Ordering::Relaxed);
        tunables.thresholds.apply(&config);
        tunables.observe.apply(&config);
        self.logs.apply(&config);
        self.judge_memory();
        self.cut_burdens();
        self.judge_saving();
    }

    /// Sets the rule that refuses writes after a snapshot that failed.
    pub fn judge_saving(&self) {
        let config = self.config.load();
        let is_wanted = config.bool(const { id("stop-writes-on-bgsave-error") })
            && !config.save_rules().is_empty();
        let is_ok = self.persistence.is_ok.load(Ordering::Relaxed);
        self.set_rule(rule::UNSAVED, is_wanted && !is_ok);
    }

    /// Why these rules refuse what may change data, if they do: it would not be durable.
    pub fn refuses_writes(&self, rules: u32) -> Option<Error> {
        if rules & rule::UNSAVED != 0 {
            return Some(Error::Unsaved);
        }
        let failure = || format!("MISCONF Errors writing to the AOF file: {}", self.aof.failure());
        (rules & rule::UNLOGGED != 0).then(|| Error::of(failure()))
    }

    /// Who may use DEBUG: `yes`, `local` or `no`.
    pub fn debug_policy(&self) -> &'static str {
        self.config.load().choice(const { id("enable-debug-command") })
    }

    /// Whether CLIENT PAUSE still holds; ends it when its time is up.
    pub fn pause_holds(&self) -> bool {
        let holds = self.clock.now() < self.paused_until_ms.load(Ordering::Acquire);
        if !holds {
            self.unpause();
        }
        holds
    }

    /// As [`State::pause_holds`], without ending it: for those who hold shards.
    pub fn is_paused(&self) -> bool {
        self.rules.load(Ordering::Relaxed) & (rule::PAUSE_ALL | rule::PAUSE_WRITE) != 0
            && self.clock.now() < self.paused_until_ms.load(Ordering::Acquire)
    }

    /// Starts or prolongs CLIENT PAUSE. Whoever judged by the rules from before has finished after a [`State::barrier`].
    pub fn pause(&self, until_ms: u64, all: bool) {
        self.paused_until_ms.fetch_max(until_ms, Ordering::SeqCst);
        self.set_rule(if all { rule::PAUSE_ALL } else { rule::PAUSE_WRITE }, true);
    }

    /// Ends CLIENT PAUSE and wakes who waits for that.
    pub fn unpause(&self) {
        self.paused_until_ms.store(0, Ordering::SeqCst);
        self.set_rule(rule::PAUSE_ALL | rule::PAUSE_WRITE, false);
        for client in self.clients.all() {
            if client.paused.load(Ordering::Acquire) {
                client.wake();
            }
        }
    }

    /// Switches a rule on or off.
    pub fn set_rule(&self, bit: u32, on: bool) {
        if on {
            self.rules.fetch_or(bit, Ordering::SeqCst);
        } else {
            self.rules.fetch_and(!bit, Ordering::SeqCst);
        }
    }
}

fn unwait(shard: &mut Guard<'_, Shard>, db: u32, key: &[u8], waiter: &Arc<dyn Waiter>) {
    if shard.interest().is_some() {
        shard.interest_mut().unwait(db, key, waiter);
        shard.drop_idle_interest();
    }
}

/// What one thread owns.
#[derive(Debug)]
pub struct Thread {
    /// Its counters.
    pub counters: Arc<Counters>,
    /// Its stopwatch.
    pub meter: Meter,
    random: RefCell<Random>,
    calls: RefCell<Calls>,
    /// Who may go next when memory is full.
    pub(crate) pool: RefCell<Pool>,
}

impl Thread {
    /// Puts something into a client's mailbox, with this much room, and notes whom to wake for it; see [`Client::put`].
    #[inline]
    pub fn put(&self, client: &Client, mail: &Mail, bytes_max: usize) {
        if let Some(waker) = client.put(mail, bytes_max) {
            self.calls.borrow_mut().add(client, waker);
        }
    }

    /// Wakes everybody who got mail from this thread since the last call, and cuts whom that mail was too much for. Not while holding a
    /// lock, since it may enter the kernel; the executor does it after each chunk of commands.
    #[inline]
    pub fn call(&self, state: &State) {
        let is_too_much = self.calls.borrow_mut().make();
        if is_too_much {
            state.cut_burdens();
        }
    }

    /// Reports what a client takes that has just got mail; [`Thread::call`] does what follows.
    pub(crate) fn report(&self, state: &State, client: &Client) {
        if state.is_too_much(client) {
            self.calls.borrow_mut().add_too_much();
        }
    }

    /// Takes over whom another is to wake: its mail was put while locks were held here.
    pub(crate) fn call_for(&self, other: &Self) {
        self.calls.borrow_mut().append(&mut other.calls.borrow_mut());
    }

    /// Throws dice.
    pub fn random(&self) -> u64 {
        self.random.borrow_mut().next_u64()
    }

    /// Throws dice with `n` sides, from 0.
    pub fn random_below(&self, n: u64) -> u64 {
        self.random.borrow_mut().below(n)
    }
}

/// What a thread that comes and goes owns; see [`State::lend_thread`].
#[derive(Debug)]
pub struct Lent {
    state: &'static State,
    thread: Option<Thread>,
}

impl std::ops::Deref for Lent {
    type Target = Thread;

    fn deref(&self) -> &Thread {
        self.thread.as_ref().expect("taken only when dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.state.workers.lock().extend(self.thread.take());
    }
}

/// Every connected client.
#[derive(Debug, Default)]
pub struct Clients {
    by_id: DashMap<u64, Arc<Client>>,
    last_id: AtomicU64,
    count: AtomicUsize,
    /// How many have not authenticated though they must.
    pub unauthenticated: AtomicUsize,
}

impl Clients {
    /// The id of the next client.
    pub fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Enters a client.
    pub fn add(&self, client: &Arc<Client>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.by_id.insert(client.id, Arc::clone(client));
    }

    /// Forgets a client.
    pub fn remove(&self, id: u64) {
        if self.by_id.remove(&id).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// A client by its id.
    pub fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.by_id.get(&id).map(|client| Arc::clone(&client))
    }

    /// All clients, by id. A copy, so that nobody holds the map while working on them.
    pub fn all(&self) -> Vec<Arc<Client>> {
        let mut all: Vec<_> = self.by_id.iter().map(|client| Arc::clone(&client)).collect();
        all.sort_by_key(|client| client.id);
        all
    }
}
