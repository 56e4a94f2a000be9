//! What a snapshot holds, and whether all of it can be read.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use russet_engine::types::list::ListMax;
use russet_engine::types::{hash, set, sorted_set};
use russet_engine::{Seed, SmallMax};
use russet_rdb::read::{Item, Reader, Record};
use russet_rdb::{Content, DecodeError, Rules, Source, decode};

use crate::load::SnapshotError;
use crate::vfs::Vfs;

/// What was found, up to the end or to what cannot be read.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The version of the format.
    pub version: u16,
    /// What the file says of itself.
    pub fields: Vec<(String, String)>,
    /// Keys by type, of each database.
    pub databases: BTreeMap<u64, BTreeMap<&'static str, u64>>,
    /// Keys that end.
    pub ending: u64,
    /// Libraries of functions.
    pub functions: u64,
    /// What Russet has no use for.
    pub skipped: Vec<String>,
    /// Bytes that were read.
    pub bytes: u64,
    /// Whether the end was reached, and the checksum was there and right.
    pub is_checked: bool,
    /// Bytes behind the end, which a snapshot has that is the beginning of an append-only file.
    pub behind: u64,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "version {}, {} bytes read", self.version, self.bytes)?;
        for (name, value) in &self.fields {
            writeln!(f, "{name}: {value}")?;
        }
        for (db, types) in &self.databases {
            let all: u64 = types.values().sum();
            let types: Vec<String> =
                types.iter().map(|(name, count)| format!("{count} {name}")).collect();
            writeln!(f, "database {db}: {all} keys ({})", types.join(", "))?;
        }
        writeln!(f, "keys that end: {}, libraries of functions: {}", self.ending, self.functions)?;
        for what in &self.skipped {
            writeln!(f, "left out: {what}")?;
        }
        let checksum = if self.is_checked { "right" } else { "none, or not reached" };
        writeln!(f, "checksum: {checksum}")
    }
}

/// Reads a file to its end or to what makes no sense. O(n); holds one record at a time.
pub fn check(vfs: &dyn Vfs, path: &Path) -> (Found, Result<(), SnapshotError>) {
    let mut found = Found::default();
    let result = read(vfs, path, &mut found);
    (found, result)
}

fn read(vfs: &dyn Vfs, path: &Path, found: &mut Found) -> Result<(), SnapshotError> {
    let file = vfs.open(path).map_err(SnapshotError::Open)?;
    let len = file.len().map_err(SnapshotError::Open)?;
    let mut reader = Reader::new(file, Some(len), true)?;
    found.version = reader.version();
    let (rules, mut bytes, mut db) = (rules(), Vec::new(), 0);
    loop {
        bytes.clear();
        let item = reader.next(&mut bytes)?;
        found.bytes = reader.offset();
        match item {
            Item::Aux { name, value } => found.fields.push((text(&name), text(&value))),
            Item::Select(number) => db = number,
            Item::Resize(..) => {}
            Item::Function(_) => found.functions += 1,
            Item::Skipped(what) => found.skipped.push(what),
            Item::Record(record) => {
                let name = type_of(&record, &bytes, found.version, &rules)?;
                *found.databases.entry(db).or_default().entry(name).or_default() += 1;
                found.ending += u64::from(record.end_ms.is_some());
            }
            Item::End { is_checked } => {
                found.is_checked = is_checked;
                found.behind = len - reader.offset();
                return Ok(());
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Decodes a record and says of which type it is.
fn type_of(
    record: &Record,
    bytes: &[u8],
    version: u16,
    rules: &Rules,
) -> Result<&'static str, SnapshotError> {
    let mut source = Source::new(bytes.get(record.value.clone()).unwrap_or_default());
    let decoded = decode(&mut source, version, rules);
    match decoded.and_then(|content| source.end().map(|()| content)) {
        Ok(Content::Text(_)) => Ok("string"),
        Ok(Content::Object(object)) => Ok(object.as_ref().kind().name()),
        Err(DecodeError::Empty) => Ok("empty"),
        Err(error) => {
            let name = text(bytes.get(record.name.clone()).unwrap_or_default());
            Err(SnapshotError::Record { offset: record.offset, name, error })
        }
    }
}

/// The usual thresholds: nothing is kept.
pub(crate) fn rules() -> Rules {
    let (max, seed) = (SmallMax { entries: 128, bytes: 64 }, Seed(0, 0));
    Rules {
        list: ListMax::of(-2),
        hash: hash::Rules { max, seed },
        set: set::Rules { ints: 512, max, seed },
        sorted_set: sorted_set::Rules { max, seed },
    }
}
