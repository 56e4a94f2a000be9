//! The start: the manifest, the base, and what came after it.
//!
//! | what is there | what is done |
//! |---|---|
//! | a manifest | its files are read in their order; the last one that says anything may be torn, and is cut |
//! | one file of a server before Redis 7 | it becomes the base |
//! | a snapshot | it is read, and a base is written of it |
//! | nothing | an empty base is written |
//!
//! What is cut off is kept beside the file. Everything is on the disk before anybody is served.

use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

use russet_config::id;
use russet_dispatch::replay::replay;
use russet_rdb::primitives::crc64;

use super::block::Header;
use super::manifest::{Manifest, ManifestError, Part};
use super::reader::{Block, LogError, LogReader};
use super::tail::{Increment, Tail};
use super::{Log, Place, length};
use crate::load::{LoadError, Manner, Pace, exists, load};
use crate::snapshot::SaveError;
use crate::vfs::{Vfs, directory_of};

/// Why the log that is there was not loaded. Its files are as they were.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The system refused something.
    #[error("{} cannot be read: {error}", path.display())]
    Io {
        /// About which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The manifest makes no sense.
    #[error("{}: {error}", path.display())]
    Manifest {
        /// Which.
        path: PathBuf,
        /// Why.
        error: ManifestError,
    },
    /// A base cannot be loaded.
    #[error("{}: {error}", path.display())]
    Base {
        /// Which.
        path: PathBuf,
        /// Why.
        error: LoadError,
    },
    /// A log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A file ends in the middle of something, and `aof-load-truncated` is off.
    #[error("{}: Unexpected end of file reading the append only file: it ends in the middle of something; aof-load-truncated yes would cut it to its first {whole} bytes", path.display())]
    Truncated {
        /// Which.
        path: PathBuf,
        /// Bytes that are whole.
        whole: u64,
    },
    /// The first base cannot be written.
    #[error("the first base could not be written: {0}")]
    Begin(#[from] SaveError),
    /// There is none.
    #[error("there is no append-only file")]
    Absent,
    /// The server ends.
    #[error("it was given up")]
    Cancelled,
}

/// What a log has.
struct Extent {
    /// Bytes that say something.
    bytes: u64,
    /// Bytes of room behind them.
    room: u64,
}

/// Puts the path to an error.
fn of(path: &Path) -> impl FnOnce(io::Error) -> RecoverError + '_ {
    move |error| RecoverError::Io { path: path.to_owned(), error }
}

impl Log {
    /// Loads what is there, and goes on behind it; `snapshot` is where a snapshot would be. Nobody is served yet.
    pub(crate) fn recover(&self, snapshot: &Path) -> Result<(), RecoverError> {
        let place = Place::new(self.state);
        self.upgrade(&place)?;
        match self.find(&place)? {
            Some(manifest) => {
                let room = self.load(&place, &manifest)?;
                self.resume(&place, manifest, room)
            }
            None => {
                if exists(&self.vfs, snapshot).map_err(of(snapshot))? {
                    let manner = Manner::default();
                    load(self.state, self.vfs.as_ref(), snapshot, manner)
                        .map_err(|error| RecoverError::Base { path: snapshot.to_owned(), error })?;
                    tracing::info!("there is no append-only file: the snapshot was loaded");
                }
                self.state.aof.enable();
                self.rewrite(self.state.config.load().bool(const { id("aof-use-rdb-preamble") }))?;
                Ok(())
            }
        }
    }

    /// What DEBUG LOADAOF is to read: the log that is in use or, where none is, the one that lies there.
    pub(crate) fn to_load_again(&self) -> Result<Manifest, RecoverError> {
        let aof = &self.state.aof;
        if aof.is_enabled.load(Ordering::Relaxed) {
            let is_there = !aof.needs_base.load(Ordering::Relaxed);
            return is_there
                .then(|| self.files.lock().manifest.clone())
                .ok_or(RecoverError::Absent);
        }
        self.await_closed();
        self.find(&Place::new(self.state))?.ok_or(RecoverError::Absent)
    }

    /// Reads all files again, into shards that are empty. The caller keeps everybody away.
    pub(crate) fn load_again(&self, manifest: &Manifest) -> Result<(), RecoverError> {
        self.load(&Place::new(self.state), manifest).map(drop)
    }

    /// The manifest of the log that is there, if one is.
    pub(super) fn find(&self, place: &Place) -> Result<Option<Manifest>, RecoverError> {
        let path = place.manifest();
        let text = match self.vfs.read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(RecoverError::Io { path, error }),
        };
        match Manifest::parse(&String::from_utf8_lossy(&text)) {
            Ok(manifest) => Ok(Some(manifest)),
            Err(error) => Err(RecoverError::Manifest { path, error }),
        }
    }

    /// The file of a server before Redis 7 becomes the base of a log: first the manifest says so, then it is moved.
    fn upgrade(&self, place: &Place) -> Result<(), RecoverError> {
        let (former, base) = (place.former(), place.former_base());
        if !exists(&self.vfs, &former).map_err(of(&former))? {
            return Ok(());
        }
        let upgraded = Manifest { base: Some(base.clone()), ..Manifest::default() };
        match self.find(place)? {
            None => {
                self.vfs.create_directory(place.directory()).map_err(of(place.directory()))?;
                let manifest = place.manifest();
                self.vfs.replace(&manifest, upgraded.text().as_bytes()).map_err(of(&manifest))?;
            }
            Some(manifest) if manifest == upgraded => {
                if exists(&self.vfs, &place.file(&base)).map_err(of(&former))? {
                    // It was moved before. What lies in the old place now is another one.
                    return Ok(());
                }
            }
            // A file of this name that has nothing to do with the log.
            Some(_) => return Ok(()),
        }
        tracing::info!("the former append-only file becomes the base of a new one");
        let moved = self.vfs.rename(&former, &place.file(&base)).and_then(|()| {
            self.vfs.sync_directory(place.directory())?;
            self.vfs.sync_directory(directory_of(&former))
        });
        moved.map_err(of(&former))
    }

    /// Reads all files of a manifest. Answers how much room there is behind the last one.
    fn load(&self, place: &Place, manifest: &Manifest) -> Result<u64, RecoverError> {
        let began = Instant::now();
        let loading = &self.state.persistence.loading;
        let mut total = 0;
        for part in manifest.base.iter().chain(&manifest.increments) {
            let path = place.file(part);
            total += length(self.vfs.as_ref(), &path).map_err(of(&path))?;
        }
        loading.begin(self.state.clock.now(), total);
        let (mut done, mut room) = (0, 0);
        if let Some(base) = &manifest.base {
            done = self.load_base(place, manifest, base)?;
            loading.total_bytes.store(total, Ordering::Relaxed);
        }
        for (nth, part) in manifest.increments.iter().enumerate() {
            let later = &manifest.increments[nth + 1..];
            let read = self.replay(place, part, 0, later, done)?;
            done += read.bytes;
            room = read.room;
        }
        // What was done again is no change.
        let changes = self.state.stats.changes();
        self.state.persistence.changes_saved.store(changes, Ordering::Relaxed);
        tracing::info!(
            "DB loaded from append only file: {:.3} seconds",
            began.elapsed().as_secs_f64()
        );
        Ok(room)
    }

    /// A snapshot, commands, or, as servers before Redis 7 wrote it, a snapshot with commands behind it. Answers its bytes.
    fn load_base(
        &self,
        place: &Place,
        manifest: &Manifest,
        base: &Part,
    ) -> Result<u64, RecoverError> {
        let path = place.file(base);
        let mut from = 0;
        if is_snapshot(self.vfs.as_ref(), &path).map_err(of(&path))? {
            // What has ended since is still there for the commands that follow.
            let manner = Manner { keeps_expired: true, ..Manner::default() };
            let loaded = load(self.state, self.vfs.as_ref(), &path, manner);
            let fail = |error| match error {
                LoadError::Cancelled => RecoverError::Cancelled,
                error => RecoverError::Base { path: path.clone(), error },
            };
            from = loaded.map_err(fail)?.end;
        }
        if from < length(self.vfs.as_ref(), &path).map_err(of(&path))? {
            return Ok(self.replay(place, base, from, &manifest.increments, 0)?.bytes);
        }
        Ok(from)
    }

    /// Does again what a file says from a position on; `later` are those that come after it.
    fn replay(
        &self,
        place: &Place,
        part: &Part,
        from: u64,
        later: &[Part],
        done: u64,
    ) -> Result<Extent, RecoverError> {
        let path = place.file(part);
        let mut reader = LogReader::open(self.vfs.as_ref(), &path, from)?;
        let loading = &self.state.persistence.loading;
        // Where the log may be cut before a command that is refused, nothing behind that one is to be done.
        let threads = if self.tail_given_up() > 0 { 0 } else { self.state.identity.io_threads };
        let mut pace = Pace::of(self.state);
        let (read, refused) = replay(self.state, threads, |replay| {
            reader.each(
                |input, spans, unit| {
                    pace.rest(self.state);
                    replay.run(input, spans, unit).map_err(|error| error.to_string())
                },
                |offset| {
                    loading.loaded_bytes.store(done + offset, Ordering::Relaxed);
                    !loading.is_cancelled.load(Ordering::Relaxed)
                },
            )
        });
        if loading.is_cancelled.load(Ordering::Relaxed) {
            return Err(RecoverError::Cancelled);
        }
        // Whatever stopped the reader came later in the file.
        let refused = refused.map(|it| reader.refused(&it.unit, it.error.to_string()));
        match refused.map_or(read, Err) {
            Ok(bytes) => Ok(Extent { bytes, room: reader.room }),
            Err(LogError::Torn { path, whole }) if self.are_empty(place, later)? => {
                if !self.state.config.load().bool(const { id("aof-load-truncated") }) {
                    return Err(RecoverError::Truncated { path, whole });
                }
                cut(self.vfs.as_ref(), &path, whole).map_err(of(&path))?;
                Ok(Extent { bytes: whole, room: 0 })
            }
            Err(LogError::Damaged { path, whole, .. })
                if self.may_cut(&path, whole) && self.are_empty(place, later)? =>
            {
                cut(self.vfs.as_ref(), &path, whole).map_err(of(&path))?;
                Ok(Extent { bytes: whole, room: 0 })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// `aof-load-corrupt-tail-max-size`.
    fn tail_given_up(&self) -> u64 {
        self.state.config.load().memory(const { id("aof-load-corrupt-tail-max-size") })
    }

    /// Whether what is damaged is no more than may be given up.
    fn may_cut(&self, path: &Path, whole: u64) -> bool {
        let max = self.tail_given_up();
        let len = length(self.vfs.as_ref(), path).unwrap_or(u64::MAX);
        max > 0 && len.saturating_sub(whole) <= max
    }

    /// Whether files say nothing.
    fn are_empty(&self, place: &Place, parts: &[Part]) -> Result<bool, RecoverError> {
        for part in parts {
            let mut reader = LogReader::open(self.vfs.as_ref(), &place.file(part), 0)?;
            let mut commands = 0;
            let read = reader.each(
                |_, _, _| {
                    commands += 1;
                    Ok(())
                },
                |_| false,
            );
            if read.is_err() || commands > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Goes on behind the last increment, which has so much room. What a crash has left lying around is removed.
    fn resume(&self, place: &Place, manifest: Manifest, room: u64) -> Result<(), RecoverError> {
        let mut files = self.files.lock();
        files.manifest = manifest;
        let (vfs, style) = (self.vfs.as_ref(), self.style());
        let (part, increment) = match files.manifest.increments.last().cloned() {
            Some(part) => {
                let path = place.file(&part);
                let len = length(vfs, &path).map_err(of(&path))?.saturating_sub(room);
                (part, Increment::resume(vfs, &path, len, style).map_err(of(&path))?)
            }
            None => {
                let part = place.next_increment(&files.manifest);
                let path = place.file(&part);
                let increment = Increment::create(vfs, &path, style).map_err(of(&path))?;
                vfs.sync_directory(place.directory()).map_err(of(&path))?;
                files.manifest.increments.push(part.clone());
                let path = place.manifest();
                vfs.replace(&path, files.manifest.text().as_bytes()).map_err(of(&path))?;
                (part, increment)
            }
        };
        files.current = Some(part);
        self.count_bytes(place, &files);
        self.forget_history(place, &mut files);
        drop(files);
        self.remove_temporary(place);
        let tail = Tail::new(self.state.journal.follow_all(), increment);
        self.state.aof.has_synced(tail.position());
        self.desk.lock().stop = Some(tail.stop());
        *self.tail.lock() = Some(tail);
        self.state.aof.is_enabled.store(true, Ordering::Relaxed);
        self.settle(self.policy());
        self.call();
        Ok(())
    }

    /// Removes files that were to get a name and did not live to see it.
    fn remove_temporary(&self, place: &Place) {
        let names = self.vfs.list(place.directory()).unwrap_or_default();
        let is_temporary = |name: &&PathBuf| name.to_string_lossy().starts_with("temp-");
        for name in names.iter().filter(is_temporary) {
            if let Err(error) = self.vfs.remove(&place.directory().join(name)) {
                tracing::warn!(%error, file = %name.display(), "could not be removed");
            }
        }
    }
}

/// Whether a file begins as a snapshot does.
pub(crate) fn is_snapshot(vfs: &dyn Vfs, path: &Path) -> io::Result<bool> {
    let mut first = [0; 6];
    let mut file = vfs.open(path)?;
    let mut filled = 0;
    while filled < first.len() {
        match file.read(&mut first[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(first.starts_with(b"REDIS") || first == *b"VALKEY")
}

/// Cuts a file to its first `whole` bytes, and keeps the others beside it. If that is within a block, its line is written anew. After a
/// crash at any moment there is the file as it was or as it is to be.
pub(crate) fn cut(vfs: &dyn Vfs, path: &Path, whole: u64) -> io::Result<PathBuf> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".cut-{whole}"));
    let aside = path.with_file_name(name);
    let mut kept = vfs.create(&aside)?;
    let bytes = copy(vfs, path, whole..u64::MAX, |piece| kept.write_all(piece))?;
    kept.sync()?;
    vfs.sync_directory(directory_of(path))?;
    match LogReader::block_around(vfs, path, whole) {
        Some(block) => shorten(vfs, path, &block, whole)?,
        None => vfs.truncate(path, whole)?,
    }
    tracing::warn!(
        "{}: cut to its first {whole} bytes; the last {bytes} are in {}",
        path.display(),
        aside.display()
    );
    Ok(aside)
}

/// Puts a file in place of one whose last block is to end at `whole`.
fn shorten(vfs: &dyn Vfs, path: &Path, block: &Block, whole: u64) -> io::Result<()> {
    let directory = directory_of(path);
    let temporary = directory.join(format!("temp-cut-{}.aof", std::process::id()));
    let mut contents = Vec::new();
    copy(vfs, path, block.contents..whole, |piece| {
        contents.extend_from_slice(piece);
        Ok(())
    })?;
    let (len, checksum) = (contents.len() as u64, crc64(&contents));
    let mut file = vfs.create(&temporary)?;
    copy(vfs, path, 0..block.line, |piece| file.write_all(piece))?;
    // All that stands before it is on the disk with it.
    file.write_all(Header { len, checksum, durable: block.line }.line().as_bytes())?;
    file.write_all(&contents)?;
    file.sync()?;
    vfs.rename(&temporary, path)?;
    vfs.sync_directory(directory)
}

/// Gives bytes of a file away in pieces. Answers how many there were.
fn copy(
    vfs: &dyn Vfs,
    path: &Path,
    bytes: Range<u64>,
    mut give: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let mut file = vfs.open(path)?;
    super::reader::skip(file.as_mut(), bytes.start)?;
    let max = bytes.end - bytes.start;
    let mut file = file.take(max);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(max - file.limit()),
            read => give(&buffer[..read])?,
        }
    }
}
