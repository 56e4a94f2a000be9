//! Snapshots: the walk of the engine, driven into a file.
//!
//! [`save`] takes a moment under the locks of all shards and then walks them slice by slice while commands run; what their doors write
//! first comes in between. [`save_held`] is for whoever holds all shards anyway. Either way the file gets its name when it is whole and
//! on the disk; until then the one before stands.
//!
//! What fails on the way does not end the walk: it goes on mute, so that all entries have the same mark when the next snapshot begins.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use russet_config::id;
use russet_dispatch::State;
use russet_dispatch::scripting::Libraries;
use russet_engine::collections::chunks::Chunks;
use russet_engine::snapshot::{Epoch, Part, Pen as _};
use russet_engine::table::Table;
use russet_engine::{Held, Patience, Shard, Walked};
use russet_journal::Lsn;
use russet_rdb::file;

use crate::breath::Breath;
use crate::pen::{self, Mute, Pen, Scribe, Style};
use crate::vfs::{Vfs, directory_of};
use crate::writer::{Size, Writer};

/// A slice of the walk: under a shard's lock for some tens of microseconds, more where strings are compressed.
const SLICE_BYTES: usize = 16 << 10;

/// What may wait to be written before writers are kept away.
const WAITING_BYTES_MAX: u64 = 32 << 20;

/// Longer strings are not compressed, but handed on as they lie.
const TEXT_BYTES_MAX: usize = 4 << 20;

/// A look around while the snapshot is being held up for a test.
const NAP: Duration = Duration::from_millis(5);

/// What a snapshot came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Records.
    pub keys: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// For how long all shards were held.
    pub stopped: Duration,
    /// Changes to data up to the moment that the file tells of.
    pub changes: u64,
    /// The journal's position at that moment.
    pub lsn: Lsn,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The disk does not take it.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It was given up.
    #[error("it was given up")]
    Cancelled,
    /// Something is wrong with Russet.
    #[error("whoever wrote it panicked")]
    Panicked,
}

/// The moment that a snapshot tells of.
struct Moment {
    epoch: Arc<Epoch>,
    style: Style,
    sizes: Vec<Size>,
    libraries: Arc<Libraries>,
    report: Report,
}

/// What a snapshot is for.
pub trait Occasion {
    /// Whether it is the base of an append-only file.
    fn is_base(&self) -> bool;

    /// Whether the file is to be there after a crash.
    fn is_kept(&self) -> bool {
        true
    }

    /// Whether it is to be given up.
    fn is_cancelled(&self) -> bool;

    /// Called at the moment that it tells of, under the locks of all shards.
    fn at_moment(&self);

    /// Called right after that, under no lock.
    fn after_moment(&self) -> io::Result<()>;

    /// Called when the file has been made and nothing is in it yet.
    fn opened(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// A snapshot by itself.
#[derive(Clone, Copy, Debug)]
pub struct Plain(pub &'static State);

impl Occasion for Plain {
    fn is_base(&self) -> bool {
        false
    }

    fn is_cancelled(&self) -> bool {
        self.0.persistence.is_cancelled()
    }

    fn at_moment(&self) {}

    fn after_moment(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Saves all data as it is at one moment, while commands run. One at a time.
pub fn save(
    state: &'static State,
    vfs: &Arc<dyn Vfs>,
    path: &Path,
    occasion: &dyn Occasion,
) -> Result<Report, SaveError> {
    let temporary = temporary(path);
    let written = write(state, vfs, &temporary, occasion).and_then(|(report, writer)| {
        let bytes = writer.finish(path)?;
        Ok(Report { bytes, ..report })
    });
    written.inspect_err(|_| {
        // Nobody wants half a file; if it cannot be removed, the next one goes over it.
        drop(vfs.remove(&temporary));
    })
}

/// Writes all data as it is at one moment, but for the end of the file.
pub(crate) fn write(
    state: &'static State,
    vfs: &Arc<dyn Vfs>,
    path: &Path,
    occasion: &dyn Occasion,
) -> Result<(Report, Writer), SaveError> {
    let moment = begin(state, occasion);
    let is_ready = occasion.after_moment();
    let keys: u64 = moment.sizes.iter().map(|size| size.keys).sum();
    state.persistence.keys_done.store(0, Ordering::Relaxed);
    state.persistence.keys_total.store(keys, Ordering::Relaxed);
    let (style, sizes, lsn) = (moment.style, moment.sizes, moment.report.lsn);
    let (libraries, is_base) = (moment.libraries, occasion.is_base());
    let head = Head { style, sizes, libraries, is_base, lsn };
    let writer = is_ready.and_then(|()| open(state, vfs, path, head, occasion));
    let mut report = moment.report;
    let mut walk = Walk::new(state, moment.epoch, style, writer, occasion);
    walk.walk();
    let (writer, result, keys) = walk.end();
    report.keys = keys;
    match (writer, result) {
        (Some(writer), Ok(())) => Ok((report, writer)),
        (_, Err(error)) => Err(error),
        (None, Ok(())) => unreachable!("without a writer there was an error"),
    }
}

/// Writes what a file says of itself, and libraries, but for its end.
pub(crate) fn write_head(
    state: &'static State,
    vfs: &Arc<dyn Vfs>,
    path: &Path,
    libraries: Arc<Libraries>,
    occasion: &dyn Occasion,
) -> Result<(Report, Writer), SaveError> {
    let lsn = state.journal.end();
    let style = Style::new(state, pen::version(false));
    let head = Head { style, sizes: Vec::new(), libraries, is_base: false, lsn };
    let writer = open(state, vfs, path, head, occasion)?;
    Ok((Report { lsn, ..Report::default() }, writer))
}

/// Saves all data; `held` are all shards.
pub fn save_held(
    state: &'static State,
    held: &Held<'_, Shard>,
    vfs: &Arc<dyn Vfs>,
    path: &Path,
) -> Result<Report, SaveError> {
    let (sizes, has_ends) = measure(held);
    let style = Style::new(state, pen::version(has_ends));
    let mut pen = Pen::new(style, pen::compresses(state));
    let temporary = temporary(path);
    let (changes, lsn) = (state.stats.changes(), state.journal.end());
    let mut report = Report { changes, lsn, ..Report::default() };
    let write = || -> io::Result<u64> {
        let libraries = state.scripts.libraries();
        let head = Head { style, sizes, libraries, is_base: false, lsn };
        let mut writer = open(state, vfs, &temporary, head, &Plain(state))?;
        for shard in held.iter() {
            for db in 0..shard.databases() {
                let Some(database) = shard.database(db) else { continue };
                for entry in database.table().iter() {
                    writer.select(db);
                    pen.whole(entry, writer.buffer());
                    writer.flush_if_due()?;
                    report.keys += 1;
                }
            }
        }
        writer.finish(path)
    };
    report.bytes = write().inspect_err(|_| drop(vfs.remove(&temporary)))?;
    Ok(report)
}

/// Ends a snapshot whose writer has panicked: what is left of it is walked mute, and half a file is removed.
pub(crate) fn abandon(state: &'static State, vfs: &Arc<dyn Vfs>, path: &Path) {
    // It may not have been made yet.
    drop(vfs.remove(&temporary(path)));
    if let Some(epoch) = state.keyspace.snapshot() {
        let style = Style::new(state, pen::version(true));
        let nothing = Err(io::ErrorKind::Other.into());
        Walk::new(state, epoch, style, nothing, &Plain(state)).walk();
    }
}

/// A name beside the later one, as Redis names it.
fn temporary(path: &Path) -> PathBuf {
    directory_of(path).join(format!("temp-{}.rdb", std::process::id()))
}

/// How long to rest before somebody who holds a shard for long is asked for it again.
const HELD_REST: Duration = Duration::from_millis(2);

/// Takes all shards, without letting those who need them wait for one that is held for long: that of a script, say, which may never end.
pub fn hold_all(state: &'static State) -> Held<'static, Shard> {
    /// Attempts before the patience of those who have to get through.
    const ATTEMPTS: u32 = 500;
    for retries in 0.. {
        let is_late = retries >= ATTEMPTS;
        let patience = if is_late { Patience::STEADY } else { Patience::after(retries) };
        if let Ok(held) = state.keyspace.hold_all(patience) {
            return held;
        }
        std::thread::park_timeout(if is_late { HELD_REST } else { Duration::from_micros(200) });
    }
    unreachable!("there is always another attempt")
}

/// How much all databases hold, and whether fields of hashes end.
fn measure(held: &Held<'_, Shard>) -> (Vec<Size>, bool) {
    let (mut sizes, mut has_ends) = (Vec::new(), false);
    for shard in held.iter() {
        for db in 0..shard.databases() {
            let Some(database) = shard.database(db) else { continue };
            if sizes.len() <= db as usize {
                sizes.resize(db as usize + 1, Size::default());
            }
            let size: &mut Size = &mut sizes[db as usize];
            size.keys += database.table().len() as u64;
            size.volatile += database.volatile() as u64;
            has_ends |= database.hashes_with_deadlines() > 0;
        }
    }
    (sizes, has_ends)
}

/// Stops everything for as long as it takes to say which moment it is.
fn begin(state: &'static State, occasion: &dyn Occasion) -> Moment {
    let mut held = hold_all(state);
    let stopped = Instant::now();
    let (sizes, has_ends) = measure(&held);
    let style = Style::new(state, pen::version(has_ends));
    let waiting_max = state.tunables.on_the_way_max(WAITING_BYTES_MAX);
    let epoch = Epoch::new(Scribe::new(state, style), waiting_max as usize);
    state.keyspace.begin_snapshot(&mut held, Arc::clone(&epoch));
    occasion.at_moment();
    let (changes, lsn) = (state.stats.changes(), state.journal.end());
    // Who changes them holds all shards, too.
    let libraries = state.scripts.libraries();
    drop(held);
    let report = Report { stopped: stopped.elapsed(), changes, lsn, ..Report::default() };
    Moment { epoch, style, sizes, libraries, report }
}

/// What a file begins with.
struct Head {
    style: Style,
    sizes: Vec<Size>,
    libraries: Arc<Libraries>,
    is_base: bool,
    lsn: Lsn,
}

/// Begins the file: who wrote it, when, and the functions.
fn open(
    state: &State,
    vfs: &Arc<dyn Vfs>,
    path: &Path,
    head: Head,
    occasion: &dyn Occasion,
) -> io::Result<Writer> {
    let Head { style, sizes, libraries, is_base, lsn } = head;
    let config = state.config.load();
    let with_checksum = config.bool(const { id("rdbchecksum") });
    let mut writer =
        Writer::new(Arc::clone(vfs), path.to_owned(), style.version, with_checksum, sizes)?;
    if occasion.is_kept() {
        writer.reach_the_disk_in_steps();
    }
    occasion.opened(path)?;
    let used = state.gauges.used_memory.load(Ordering::Relaxed);
    let fields = [
        ("redis-ver", russet_config::REDIS_VERSION.to_owned()),
        ("russet-ver", russet_config::SERVER_VERSION.to_owned()),
        ("redis-bits", usize::BITS.to_string()),
        ("ctime", (state.clock.now() / 1000).to_string()),
        ("used-mem", used.to_string()),
        ("repl-stream-db", "0".to_owned()),
        ("repl-id", state.replication_id.load().to_string()),
        ("repl-offset", lsn.to_string()),
        ("aof-base", u8::from(is_base).to_string()),
    ];
    for (name, value) in fields {
        file::aux(name, value.as_bytes(), writer.buffer());
    }
    libraries.values().for_each(|library| file::function(&library.code, writer.buffer()));
    Ok(writer)
}

/// A walk over all shards.
struct Walk<'o> {
    occasion: &'o dyn Occasion,
    state: &'static State,
    epoch: Arc<Epoch>,
    pen: Pen,
    /// Where it is written, unless something failed.
    writer: Option<Writer>,
    result: Result<(), SaveError>,
    parts: Vec<Part>,
    /// Whether a record is half written: nothing else may come between its pieces.
    is_half: bool,
    keys: u64,
    slice_bytes: usize,
    breath: Breath,
    /// How long to wait after each key, for tests.
    delay: Duration,
}

impl<'o> Walk<'o> {
    fn new(
        state: &'static State,
        epoch: Arc<Epoch>,
        style: Style,
        writer: io::Result<Writer>,
        occasion: &'o dyn Occasion,
    ) -> Self {
        let delay = state.config.load().integer(const { id("rdb-key-save-delay") });
        let delay = Duration::from_micros(u64::try_from(delay).unwrap_or(0));
        let (writer, result) = match writer {
            Ok(writer) => (Some(writer), Ok(())),
            Err(error) => (None, Err(SaveError::Io(error))),
        };
        if writer.is_none() {
            epoch.mute();
        }
        Self {
            occasion,
            state,
            epoch,
            pen: Pen::new(style, pen::compresses(state)),
            writer,
            result,
            parts: Vec::new(),
            is_half: false,
            keys: 0,
            slice_bytes: if delay.is_zero() { SLICE_BYTES } else { 1 },
            breath: Breath::new(state),
            delay,
        }
    }

    fn walk(&mut self) {
        let mut left: Vec<u32> = (0..self.state.keyspace.shards()).collect();
        loop {
            left.retain(|shard| {
                let is_done = self.walk_shard(*shard);
                self.breath.take();
                !is_done
            });
            self.catch_up();
            if left.is_empty() {
                break;
            }
            std::thread::park_timeout(HELD_REST);
        }
        self.state.keyspace.end_snapshot();
    }

    /// All of a shard, or as much as can be had before somebody holds it for long: then others come first, so that few images wait.
    fn walk_shard(&mut self, shard: u32) -> bool {
        loop {
            match self.step(shard, false) {
                Some(Walked::Done) => return true,
                Some(_) => {
                    self.catch_up();
                    self.breath.take();
                }
                None if self.is_half && self.writer.is_some() => {
                    std::thread::park_timeout(HELD_REST)
                }
                None => return false,
            }
        }
    }

    /// What became of it: the file if all is well, the first error, the number of records.
    fn end(self) -> (Option<Writer>, Result<(), SaveError>, u64) {
        (self.writer, self.result, self.keys)
    }

    /// A slice of one shard, unless that is held for long.
    fn step(&mut self, shard: u32, only_large: bool) -> Option<Walked> {
        let Ok(mut held) = self.state.keyspace.hold_one(shard, Patience::STEADY) else {
            self.heed_cancel();
            return None;
        };
        let pen: &mut dyn russet_engine::snapshot::Pen =
            if self.writer.is_some() { &mut self.pen } else { &mut Mute };
        let walked = if only_large {
            held.walk_large(pen, &mut self.parts)
        } else {
            held.walk(pen, self.slice_bytes, &mut self.parts)
        };
        drop(held);
        let parts = std::mem::take(&mut self.parts);
        self.write(parts);
        self.heed_cancel();
        Some(walked)
    }

    fn heed_cancel(&mut self) {
        if self.occasion.is_cancelled() {
            self.fail(SaveError::Cancelled);
        }
    }

    /// Writes what the doors have written first, and the collections that clients wait for.
    fn catch_up(&mut self) {
        if self.is_half && self.writer.is_some() {
            return;
        }
        let parts = self.epoch.take();
        self.write(parts);
        for shard in self.epoch.take_wanted() {
            while self.step(shard, true) == Some(Walked::More) {}
        }
    }

    fn write(&mut self, parts: impl IntoIterator<Item = Part>) {
        for part in parts {
            if self.writer.is_none() {
                self.throw(part);
            } else if let Err(error) = self.write_part(part) {
                self.fail(SaveError::Io(error));
            }
            if self.epoch.presses() {
                self.breath.take_short();
            } else {
                self.breath.take();
            }
        }
    }

    /// Nothing is written from here on.
    fn fail(&mut self, error: SaveError) {
        if let Some(writer) = self.writer.take() {
            self.epoch.mute();
            self.result = Err(error);
            writer.give_up();
        }
    }

    /// Tables are too large to be freed here.
    fn throw(&self, part: Part) {
        if let Part::Table { table, .. } = part {
            let bytes = table.heap_bytes();
            self.state.keyspace.trash().throw_table(*table, bytes);
        }
    }

    fn write_part(&mut self, part: Part) -> io::Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        match part {
            Part::Records { db, bytes, keys } => {
                writer.select(db);
                writer.put(&bytes)?;
                self.count(keys);
            }
            Part::Piece { db, bytes, is_last } => {
                if !self.is_half {
                    writer.select(db);
                }
                writer.put(&bytes)?;
                self.is_half = !is_last;
                self.count(u64::from(is_last));
            }
            Part::Text { db, before, name, chunks } => {
                writer.select(db);
                write_text(writer, &mut self.pen, &before, &name, &chunks)?;
                self.count(1);
            }
            Part::Table { db, table, mark } => {
                let written = self.write_table(db, &table, mark);
                let bytes = table.heap_bytes();
                self.state.keyspace.trash().throw_table(*table, bytes);
                written?;
            }
        }
        Ok(())
    }

    /// What a database had before it was emptied; it belongs to nobody else any more.
    fn write_table(&mut self, db: u32, table: &Table, mark: bool) -> io::Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let mut keys = 0;
        for entry in table.iter().filter(|entry| entry.mark() != mark) {
            writer.select(db);
            let mut place = self.pen.piece(entry, None, writer.buffer());
            writer.flush_if_due()?;
            while place.is_some() {
                place = self.pen.piece(entry, place, writer.buffer());
                writer.flush_if_due()?;
            }
            keys += 1;
            self.breath.take();
        }
        self.count(keys);
        Ok(())
    }

    fn count(&mut self, keys: u64) {
        self.keys += keys;
        self.state.persistence.keys_done.store(self.keys, Ordering::Relaxed);
        if !self.delay.is_zero() {
            self.rest(self.delay.saturating_mul(u32::try_from(keys).unwrap_or(u32::MAX)));
        }
    }

    /// Does nothing for a while, as a test has asked.
    fn rest(&self, time: Duration) {
        let until = Instant::now() + time.min(Duration::from_hours(1));
        while !self.occasion.is_cancelled() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::park_timeout(left.min(NAP));
        }
    }
}

/// Writes a large string; one that is very large piece by piece.
fn write_text(
    writer: &mut Writer,
    pen: &mut Pen,
    before: &[u8],
    name: &[u8],
    chunks: &Chunks,
) -> io::Result<()> {
    if chunks.len() <= TEXT_BYTES_MAX {
        pen.text(before, name, chunks, writer.buffer());
        return writer.flush_if_due();
    }
    writer.put(before)?;
    file::text(name, chunks.len() as u64, writer.buffer());
    chunks.chunks().iter().try_for_each(|chunk| writer.put(chunk))
}
