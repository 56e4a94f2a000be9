//! Snapshots read back.
//!
//! One thread reads the file and finds where records end; others decode them and put them in, and so does the first while they have enough
//! to do. Room is made for as many keys as the file says that there are, so that no table is moved while it fills. Whoever holds all shards
//! does everything alone. Keys that have ended are left out, collections of nothing too, and a key that stands twice is an error: something is wrong with
//! such a file.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use russet_config::id;
use russet_dispatch::State;
use russet_engine::{Access, Held, Name, Shard, Spot, Value, string_value};
use russet_rdb::file::Usage;
use russet_rdb::read::{Item, ReadError, Reader, Record};
use russet_rdb::{Content, DecodeError, Rules, Source, decode};

use crate::vfs::Vfs;

/// Records that go from hand to hand together.
const BATCH_BYTES: usize = 128 << 10;

/// Records whose places in memory are asked for before the first of them is put in.
const AT_ONCE: usize = 32;

/// See [`BATCH_BYTES`].
const BATCH_RECORDS: usize = 512;

/// Batches that wait for one thread.
const BATCHES: usize = 4;

/// A record has at least so many bytes.
const RECORD_BYTES_MIN: u64 = 4;

/// More threads than this wait for the one that reads.
const THREADS_MAX: usize = 8;

/// Why a snapshot cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file cannot be opened.
    #[error("it cannot be opened: {0}")]
    Open(io::Error),
    /// It cannot be read to its end.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record makes no sense.
    #[error("the record at byte {offset}, of the key '{name}', makes no sense: {error}")]
    Record {
        /// Where it begins.
        offset: u64,
        /// Its key.
        name: String,
        /// Why.
        error: DecodeError,
    },
}

/// Why a snapshot was not loaded. What was put in before is there.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read, or makes no sense.
    #[error(transparent)]
    File(#[from] SnapshotError),
    /// A key stands twice.
    #[error("the key '{name}' of database {db} stands there a second time at byte {offset}")]
    Duplicate {
        /// Which database.
        db: u32,
        /// Its name.
        name: String,
        /// Where the second one begins.
        offset: u64,
    },
    /// A database that this server does not have.
    #[error("there are keys of database {db}, but this server is configured for {databases}")]
    Database {
        /// Its number.
        db: u64,
        /// How many there are.
        databases: u32,
    },
    /// A library of functions cannot be loaded.
    #[error("a library of functions cannot be loaded: {0}")]
    Library(String),
    /// The server ends.
    #[error("it was given up")]
    Cancelled,
}

/// What was loaded.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Keys put in.
    pub keys: u64,
    /// Keys left out, as they had ended.
    pub expired: u64,
    /// Keys left out, as there was nothing in them.
    pub empty: u64,
    /// Libraries of functions.
    pub functions: u64,
    /// Whether there was a checksum, and it was right.
    pub is_checked: bool,
    /// Bytes up to its end: commands may follow.
    pub end: u64,
}

/// What to do with keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// A key that is there already is replaced, and no error.
    pub merges: bool,
    /// Keys that have ended are put in all the same: a log follows that counts on them.
    pub keeps_expired: bool,
}

/// What a file gives.
enum Given {
    /// So many keys of a database are going to come.
    Keys { db: u32, count: usize },
    /// Some of them.
    Batch(Batch),
}

/// Records and their bytes.
#[derive(Debug, Default)]
struct Batch {
    /// Of the format.
    version: u16,
    bytes: Vec<u8>,
    records: Vec<(u32, Record)>,
}

impl Batch {
    fn new(version: u16) -> Self {
        Self { version, ..Self::default() }
    }

    /// One that follows this one, and is about as long.
    fn next(&self) -> Self {
        let bytes = Vec::with_capacity(self.bytes.len().min(BATCH_BYTES) * 9 / 8);
        Self { version: self.version, bytes, records: Vec::with_capacity(BATCH_RECORDS) }
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= BATCH_BYTES || self.records.len() >= BATCH_RECORDS
    }
}

/// Loads a file with all cores, for a server that serves nobody yet.
pub fn load(
    state: &'static State,
    vfs: &dyn Vfs,
    path: &Path,
    manner: Manner,
) -> Result<Loaded, LoadError> {
    let threads = state.identity.io_threads.clamp(1, THREADS_MAX);
    let failed = AtomicBool::new(false);
    let first_error = Mutex::new(None);
    let fail = |error: LoadError| {
        first_error.lock().get_or_insert(error);
        failed.store(true, Ordering::Release);
    };
    let loaded = std::thread::scope(|scope| {
        let senders: Vec<SyncSender<Batch>> = (0..threads)
            .map(|_| {
                let (sender, receiver) = sync_channel(BATCHES);
                let fail = &fail;
                scope.spawn(move || {
                    if let Err(error) = put_in(state, manner, &receiver) {
                        fail(error);
                    }
                });
                sender
            })
            .collect();
        let (mut nth, mut own) = (0, Hand::new(state, manner));
        pull(state, vfs, path, manner, |given| {
            if failed.load(Ordering::Acquire) {
                return Err(LoadError::Cancelled);
            }
            match given {
                Given::Keys { db, count } => each_shard(state, |shard| shard.expect(db, count)),
                Given::Batch(batch) => {
                    nth = (nth + 1) % threads;
                    match senders[nth].try_send(batch) {
                        Err(TrySendError::Full(batch)) => own.put_in(&batch)?,
                        // Who does not take it has failed, and says so.
                        Err(TrySendError::Disconnected(_)) | Ok(()) => {}
                    }
                }
            }
            Ok(())
        })
    });
    each_shard(state, Shard::fit);
    if let Some(error) = first_error.into_inner() {
        return Err(error);
    }
    Ok(count(state, loaded?))
}

/// Loads a file into shards that the caller holds: all of them.
pub fn load_held(
    state: &'static State,
    held: &mut Held<'_, Shard>,
    vfs: &dyn Vfs,
    path: &Path,
    manner: Manner,
) -> Result<Loaded, LoadError> {
    let mut hand = Hand::new(state, manner);
    let loaded = pull(state, vfs, path, manner, |given| match given {
        Given::Keys { db, count } => {
            held.iter_mut().for_each(|shard| shard.expect(db, count));
            Ok(())
        }
        Given::Batch(batch) => hand.each(&batch, |name, shard, put| {
            let shard = held.get_mut(shard).expect("all are held");
            put(shard, name)
        }),
    });
    held.iter_mut().for_each(Shard::fit);
    Ok(count(state, loaded?))
}

fn each_shard(state: &State, mut with: impl FnMut(&mut Shard)) {
    for shard in 0..state.keyspace.shards() {
        with(&mut state.keyspace.hold_patiently(shard));
    }
}

fn count(state: &State, loaded: Loaded) -> Loaded {
    let loading = &state.persistence.loading;
    Loaded {
        keys: loading.keys.load(Ordering::Relaxed),
        expired: loading.expired.load(Ordering::Relaxed),
        empty: loading.empty.load(Ordering::Relaxed),
        ..loaded
    }
}

/// Reads a file and gives its records away in batches.
fn pull(
    state: &'static State,
    vfs: &dyn Vfs,
    path: &Path,
    manner: Manner,
    mut give: impl FnMut(Given) -> Result<(), LoadError>,
) -> Result<Loaded, LoadError> {
    let file = vfs.open(path).map_err(SnapshotError::Open)?;
    let len = file.len().map_err(SnapshotError::Open)?;
    let loading = &state.persistence.loading;
    loading.begin(state.clock.now(), len);
    let checks = state.config.load().bool(const { id("rdbchecksum") })
        && !state.persistence.skips_checksums.load(Ordering::Relaxed);
    let mut reader = Reader::new(file, Some(len), checks).map_err(SnapshotError::Read)?;
    let version = reader.version();
    let mut pace = Pace::of(state);
    let (mut loaded, mut batch, mut db) = (Loaded::default(), Batch::new(version), 0);
    loop {
        let mut has_rested = false;
        match reader.next(&mut batch.bytes).map_err(SnapshotError::Read)? {
            Item::Record(record) => {
                batch.records.push((db, record));
                has_rested = pace.rest(state);
            }
            Item::Select(number) => db = database(state, number)?,
            Item::Resize(keys, _) => {
                let count = state.keyspace.share(keys.min(len / RECORD_BYTES_MIN) as usize);
                if count > 0 {
                    give(Given::Keys { db, count })?;
                }
            }
            Item::Function(code) => {
                add_library(state, &code, manner.merges)?;
                loaded.functions += 1;
            }
            Item::Skipped(what) => tracing::warn!("the snapshot has {what}: it is left out"),
            Item::Aux { name, value } => say(state, &name, &value),
            Item::End { is_checked } => {
                loaded.is_checked = is_checked;
                loaded.end = reader.offset();
                give(Given::Batch(batch))?;
                return Ok(loaded);
            }
        }
        if batch.is_full() || has_rested {
            loading.loaded_bytes.store(reader.offset(), Ordering::Relaxed);
            let next = batch.next();
            give(Given::Batch(std::mem::replace(&mut batch, next)))?;
            if loading.is_cancelled.load(Ordering::Relaxed) {
                return Err(LoadError::Cancelled);
            }
        }
    }
}

/// Scripts are nothing that this crate knows: the shell has said who does.
fn add_library(state: &'static State, code: &[u8], replaces: bool) -> Result<(), LoadError> {
    let tools = state.tools.get();
    let add = tools.ok_or_else(|| LoadError::Library("there is nothing to run it".to_owned()))?;
    (add.add_library)(state, code, replaces).map_err(LoadError::Library)
}

/// How fast a file is read: `key-load-delay`, for tests.
pub(crate) struct Pace {
    rest: Duration,
    /// Keys, or commands, from one rest to the next.
    every: u64,
    read: u64,
}

impl Pace {
    pub(crate) fn of(state: &State) -> Self {
        let delay = state.config.load().integer(const { id("key-load-delay") });
        let (micros, every) = if delay < 0 { (1, delay.unsigned_abs()) } else { (delay as u64, 1) };
        Self { rest: Duration::from_micros(micros), every, read: 0 }
    }

    /// Does nothing for a while, where it is time for that. Says whether it was.
    pub(crate) fn rest(&mut self, state: &State) -> bool {
        if self.rest.is_zero() {
            return false;
        }
        self.read += 1;
        let is_time = self.read.is_multiple_of(self.every);
        if is_time {
            pause(state, self.rest);
        }
        is_time
    }
}

fn pause(state: &State, time: Duration) {
    let until = Instant::now() + time;
    while !state.persistence.loading.is_cancelled.load(Ordering::Relaxed) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        std::thread::park_timeout(left.min(Duration::from_millis(5)));
    }
}

fn database(state: &State, number: u64) -> Result<u32, LoadError> {
    let known = u32::try_from(number).ok().filter(|db| *db < state.databases);
    known.ok_or(LoadError::Database { db: number, databases: state.databases })
}

/// What a file says of itself and somebody may want to know.
fn say(state: &State, name: &[u8], value: &[u8]) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match name {
        b"redis-ver" => tracing::info!("Loading RDB produced by Redis version {}", text(value)),
        b"valkey-ver" => tracing::info!("Loading RDB produced by Valkey version {}", text(value)),
        b"russet-ver" => tracing::info!("Loading RDB produced by Russet version {}", text(value)),
        b"ctime" => {
            let then = russet_engine::number::parse_i64(value).unwrap_or(0);
            let age = (state.clock.now() / 1000).saturating_sub(then.max(0).unsigned_abs());
            tracing::info!("RDB age {age} seconds");
        }
        b"used-mem" => {
            let used = russet_engine::number::parse_i64(value).unwrap_or(0).max(0).unsigned_abs();
            state.persistence.loading.used_memory.store(used, Ordering::Relaxed);
        }
        [b'%', ..] => tracing::info!("RDB '{}': {}", text(name), text(value)),
        _ => {}
    }
}

/// Decodes and puts in what comes, until nothing comes any more.
fn put_in(
    state: &'static State,
    manner: Manner,
    batches: &Receiver<Batch>,
) -> Result<(), LoadError> {
    let mut hand = Hand::new(state, manner);
    batches.iter().try_for_each(|batch| hand.put_in(&batch))
}

/// Puts a decoded value under a name; `false` if there is one already.
type Put<'p> = &'p mut dyn FnMut(&mut Shard, Name<'_>) -> bool;

/// Who decodes.
struct Hand {
    state: &'static State,
    manner: Manner,
    rules: Rules,
    now_ms: u64,
    access: Access,
}

/// What became of a record.
enum Fate {
    PutIn,
    Ended,
    Empty,
}

impl Hand {
    fn new(state: &'static State, manner: Manner) -> Self {
        let now_ms = state.clock.now();
        let rules = state.tunables.thresholds.rules(state.keyspace.seed());
        Self { state, manner, rules, now_ms, access: state.tunables.access(now_ms) }
    }

    /// Decodes a batch and puts it in, one shard held at a time.
    fn put_in(&mut self, batch: &Batch) -> Result<(), LoadError> {
        let keyspace = &self.state.keyspace;
        self.each(batch, |name, shard, put| put(&mut keyspace.hold_patiently(shard), name))
    }

    /// Decodes a batch; `with_shard` shows the shard of a name to what puts the value in.
    fn each(
        &mut self,
        batch: &Batch,
        mut with_shard: impl FnMut(Name<'_>, u32, Put<'_>) -> bool,
    ) -> Result<(), LoadError> {
        let (mut keys, mut expired, mut empty) = (0, 0, 0);
        let mut spots = Vec::with_capacity(AT_ONCE);
        for records in batch.records.chunks(AT_ONCE) {
            spots.clear();
            spots.extend(records.iter().map(|(_, record)| self.spot(batch, record)));
            for ((db, record), spot) in records.iter().zip(&spots) {
                match self.one(batch, *db, record, *spot, &mut with_shard)? {
                    Fate::PutIn => keys += 1,
                    Fate::Ended => expired += 1,
                    Fate::Empty => empty += 1,
                }
            }
        }
        let loading = &self.state.persistence.loading;
        loading.keys.fetch_add(keys, Ordering::Relaxed);
        loading.expired.fetch_add(expired, Ordering::Relaxed);
        loading.empty.fetch_add(empty, Ordering::Relaxed);
        Ok(())
    }

    /// Where a record's key is going to lie. The memory there is asked for.
    fn spot(&self, batch: &Batch, record: &Record) -> Spot {
        let keyspace = &self.state.keyspace;
        let spot = keyspace.locate(batch.bytes.get(record.name.clone()).unwrap_or_default());
        keyspace.prefetch_lock(spot.shard);
        keyspace.prefetch_bucket(spot);
        spot
    }

    fn one(
        &self,
        batch: &Batch,
        db: u32,
        record: &Record,
        spot: Spot,
        with_shard: &mut impl FnMut(Name<'_>, u32, Put<'_>) -> bool,
    ) -> Result<Fate, LoadError> {
        let bytes = |range: &Range<usize>| batch.bytes.get(range.clone()).unwrap_or_default();
        let key = bytes(&record.name);
        let text = || String::from_utf8_lossy(key).into_owned();
        if record.end_ms.is_some_and(|end| end <= self.now_ms) && !self.manner.keeps_expired {
            return Ok(Fate::Ended);
        }
        let mut source = Source::new(bytes(&record.value));
        let decoded = decode(&mut source, batch.version, &self.rules);
        let content = match decoded.and_then(|content| source.end().map(|()| content)) {
            Ok(content) => content,
            Err(DecodeError::Empty) => return Ok(Fate::Empty),
            Err(error) => {
                let (offset, name) = (record.offset, text());
                return Err(SnapshotError::Record { offset, name, error }.into());
            }
        };
        let name = Name { db, key, hash: spot.hash };
        let bits = self.access(record.usage);
        let string;
        let mut value = Some(match content {
            Content::Object(object) => Value::Object(object),
            Content::Text(bytes) => {
                string = bytes;
                string_value(&string)
            }
        });
        let is_in = with_shard(name, spot.shard, &mut |shard, name| {
            let Some(value) = value.take() else { return false };
            let is_in = if self.manner.merges {
                shard.set(name, value, record.end_ms, self.access, || 0);
                true
            } else {
                shard.set_new(name, value, record.end_ms, self.access)
            };
            if is_in && bits != self.access.first() {
                shard.set_access(name, bits);
            }
            shard.finish();
            is_in
        });
        if is_in {
            Ok(Fate::PutIn)
        } else {
            Err(LoadError::Duplicate { db, name: text(), offset: record.offset })
        }
    }

    /// The bits of a key that was used so, as far as the policy of now can tell.
    fn access(&self, usage: Usage) -> u32 {
        let bits = match usage {
            Usage::Unknown => None,
            Usage::Idle(seconds) => self.access.idle_for(seconds),
            Usage::Frequency(count) => self.access.counted(count),
        };
        bits.unwrap_or(self.access.first())
    }
}

/// Whether there is such a file.
pub(crate) fn exists(vfs: &Arc<dyn Vfs>, path: &Path) -> io::Result<bool> {
    match vfs.open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
