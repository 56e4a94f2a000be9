//! Which keys files hold: how many, of which types, how large, by their prefixes. For `russet inspect`.
//!
//! A snapshot is looked at record by record and never as a whole. A log has to be done again to know what it comes to: it is read into
//! memory as at a start, but nothing on the disk is touched, and what is torn at its end is left out and said.

mod print;
mod tally;

use std::fmt;
use std::path::Path;

use russet_dispatch::State;
use russet_dispatch::replay::replay;
use russet_engine::{Entry, Patience, Value, string_value};
use russet_rdb::read::{Item, Reader};
use russet_rdb::{Content, DecodeError, Source, decode};

pub use self::tally::{Tally, Wish};

use crate::aof::LogError;
use crate::aof::reader::LogReader;
use crate::aof::recover::is_snapshot;
use crate::check::{CheckError, manifest_of, parts_of, rules};
use crate::load::{LoadError, Manner, SnapshotError, load};
use crate::vfs::Vfs;

/// Why files cannot be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// They are not whole.
    #[error(transparent)]
    File(#[from] CheckError),
    /// A snapshot cannot be loaded.
    #[error("{path}: {error}")]
    Load {
        /// Which.
        path: String,
        /// Why.
        error: LoadError,
    },
}

impl From<LogError> for InspectError {
    fn from(error: LogError) -> Self {
        Self::File(error.into())
    }
}

/// What files hold.
#[derive(Debug)]
pub struct Inspection {
    tally: Tally,
    /// What was left out.
    notes: Vec<String>,
}

impl Inspection {
    /// As one JSON object.
    pub fn json(&self) -> String {
        let mut value = self.tally.json();
        value["notes"] = self.notes.clone().into();
        format!("{value:#}\n")
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.tally)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

/// Looks into a snapshot, a log, a manifest or the directory of an append-only file. `make_state` makes an empty server for a log to be
/// done again in.
pub fn inspect(
    vfs: &dyn Vfs,
    path: &Path,
    wish: Wish,
    make_state: impl FnOnce() -> &'static State,
) -> Result<Inspection, InspectError> {
    let mut inspection = Inspection { tally: Tally::new(wish), notes: Vec::new() };
    let manifest = manifest_of(vfs, path)?;
    let parts = match &manifest {
        Some(manifest) => parts_of(vfs, manifest)?,
        None if is_only_snapshot(vfs, path, &mut inspection)? => return Ok(inspection),
        None => vec![path.to_owned()],
    };
    let state = make_state();
    for (nth, part) in parts.iter().enumerate() {
        let is_last = nth + 1 == parts.len();
        if let Some(note) = read_part(state, vfs, part, is_last)? {
            inspection.notes.push(note);
        }
    }
    inspection.tally.libraries = state.scripts.libraries().len() as u64;
    for shard in 0..state.keyspace.shards() {
        let shard = state.keyspace.hold_one(shard, Patience::ENDLESS).expect("endless patience");
        for db in 0..shard.databases() {
            let entries = shard.database(db).into_iter().flat_map(|it| it.table().iter());
            entries.for_each(|entry| inspection.tally.add(db.into(), entry));
        }
    }
    Ok(inspection)
}

/// Reads a part of a log into memory. Answers what was left out.
fn read_part(
    state: &'static State,
    vfs: &dyn Vfs,
    path: &Path,
    is_last: bool,
) -> Result<Option<String>, InspectError> {
    let io = |error| CheckError::Io { path: path.to_owned(), error };
    let mut from = 0;
    if is_snapshot(vfs, path).map_err(io)? {
        let manner = Manner { keeps_expired: true, ..Manner::default() };
        let fail = |error| InspectError::Load { path: path.display().to_string(), error };
        from = load(state, vfs, path, manner).map_err(fail)?.end;
    }
    let mut reader = LogReader::open(vfs, path, from)?;
    let (read, refused) = replay(state, state.identity.io_threads, |replay| {
        let run = |input: &[u8], spans: &[_], unit| {
            replay.run(input, spans, unit).map_err(|error| error.to_string())
        };
        reader.each(run, |_| true)
    });
    let refused = refused.map(|it| reader.refused(&it.unit, it.error.to_string()));
    match refused.map_or(read, Err) {
        Ok(_) => Ok(None),
        Err(error @ LogError::Torn { .. }) if is_last => Ok(Some(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// Tallies a file that is a snapshot and nothing else; `false` if it is something else.
fn is_only_snapshot(
    vfs: &dyn Vfs,
    path: &Path,
    into: &mut Inspection,
) -> Result<bool, InspectError> {
    let io = |error| CheckError::Io { path: path.to_owned(), error };
    if !is_snapshot(vfs, path).map_err(io)? {
        return Ok(false);
    }
    let fail = |error| CheckError::Snapshot { path: path.to_owned(), error };
    let is_whole = read_snapshot(vfs, path, into).map_err(fail)?;
    if !is_whole {
        // Commands follow, which change what was tallied.
        *into = Inspection { tally: into.tally.emptied(), notes: Vec::new() };
    }
    Ok(is_whole)
}

/// Tallies a snapshot. O(n); holds one record at a time. Answers whether nothing follows it.
fn read_snapshot(vfs: &dyn Vfs, path: &Path, into: &mut Inspection) -> Result<bool, SnapshotError> {
    let file = vfs.open(path).map_err(SnapshotError::Open)?;
    let len = file.len().map_err(SnapshotError::Open)?;
    let mut reader = Reader::new(file, Some(len), true)?;
    let (rules, mut bytes, mut db) = (rules(), Vec::new(), 0);
    loop {
        bytes.clear();
        match reader.next(&mut bytes)? {
            Item::Select(number) => db = number,
            Item::Skipped(what) => {
                into.notes.push(format!("it has {what}, which Russet leaves out"))
            }
            Item::Aux { .. } | Item::Resize(..) => {}
            Item::Function(_) => into.tally.libraries += 1,
            Item::End { .. } => return Ok(reader.offset() == len),
            Item::Record(record) => {
                let name = bytes.get(record.name.clone()).unwrap_or_default();
                let mut source = Source::new(bytes.get(record.value.clone()).unwrap_or_default());
                let decoded = decode(&mut source, reader.version(), &rules);
                match decoded.and_then(|content| source.end().map(|()| content)) {
                    Ok(content) => into.tally.add(db, &entry(name, content, record.end_ms)),
                    // As when it is loaded: there is no such key.
                    Err(DecodeError::Empty) => {}
                    Err(error) => {
                        let name = String::from_utf8_lossy(name).into_owned();
                        return Err(SnapshotError::Record { offset: record.offset, name, error });
                    }
                }
            }
        }
    }
}

/// A record as it would be in memory.
fn entry(name: &[u8], content: Content<'_>, end_ms: Option<u64>) -> Entry {
    match content {
        Content::Object(object) => Entry::new(name, Value::Object(object), end_ms),
        Content::Text(text) => Entry::new(name, string_value(&text), end_ms),
    }
}
