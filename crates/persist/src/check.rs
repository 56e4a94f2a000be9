//! What files hold, and whether all of it can be read: for `russet check`.
//!
//! A snapshot is told by its first bytes, a manifest by its name; everything else is a log of commands. A directory is looked at by its
//! manifest: then its files belong together, and only the last one that says anything may be torn.

mod snapshot;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use self::snapshot::{Found, check};

pub(crate) use self::snapshot::rules;

use crate::aof::LogError;
use crate::aof::manifest::{Manifest, ManifestError};
use crate::aof::reader::LogReader;
use crate::aof::recover::{cut, is_snapshot};
use crate::load::SnapshotError;
use crate::vfs::Vfs;

/// Why a file is not whole.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// It cannot be looked at.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is a snapshot that cannot be read.
    #[error("{}: {error}", path.display())]
    Snapshot {
        /// Which.
        path: PathBuf,
        /// Why.
        error: SnapshotError,
    },
    /// It is a log that cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// It is a manifest that makes no sense.
    #[error("{}: {error}", path.display())]
    Manifest {
        /// Which.
        path: PathBuf,
        /// Why.
        error: ManifestError,
    },
    /// A directory without a manifest, or with several.
    #[error("{}: there is not one manifest, but {count}", path.display())]
    Manifests {
        /// Which.
        path: PathBuf,
        /// How many.
        count: usize,
    },
}

/// What a log of commands holds.
#[derive(Clone, Debug, Default)]
pub struct FoundLog {
    /// Commands by name.
    pub commands: BTreeMap<String, u64>,
    /// Blocks whose checksum is right.
    pub blocks: u64,
    /// Bytes that are whole.
    pub bytes: u64,
    /// Bytes of room behind them for blocks that were still to come.
    pub room: u64,
}

impl fmt::Display for FoundLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: u64 = self.commands.values().sum();
        let names: Vec<String> =
            self.commands.iter().map(|(name, count)| format!("{count} {name}")).collect();
        writeln!(f, "{all} commands in {} bytes ({})", self.bytes, names.join(", "))?;
        writeln!(f, "blocks with a checksum, all right: {}", self.blocks)?;
        match self.room {
            0 => Ok(()),
            room => writeln!(f, "room for further blocks: {room} bytes"),
        }
    }
}

/// Looks at a file or a directory, and tells `say` what each file holds. With `fixes`, a file that is torn or damaged is cut to its first
/// whole units, if it is the last one; the rest is kept beside it.
pub fn check_all(
    vfs: &dyn Vfs,
    path: &Path,
    fixes: bool,
    say: &mut dyn FnMut(&Path, &dyn fmt::Display),
) -> Result<(), CheckError> {
    match manifest_of(vfs, path)? {
        Some(manifest) => check_parts(vfs, &manifest, fixes, say),
        None => check_file(vfs, path, fixes, say),
    }
}

/// The manifest of a directory, or the path itself if it is one.
pub(crate) fn manifest_of(vfs: &dyn Vfs, path: &Path) -> Result<Option<PathBuf>, CheckError> {
    let manifest = match vfs.list(path) {
        Ok(names) => path.join(only_manifest(path, &names)?),
        Err(_) => path.to_owned(),
    };
    Ok(Some(manifest).filter(|it| it.extension().is_some_and(|it| it == "manifest")))
}

/// The files of a manifest that hold data, in their order.
pub(crate) fn parts_of(vfs: &dyn Vfs, path: &Path) -> Result<Vec<PathBuf>, CheckError> {
    let manifest = read_manifest(vfs, path)?;
    let parts = manifest.base.iter().chain(&manifest.increments);
    Ok(parts.map(|part| path.with_file_name(&part.name)).collect())
}

fn read_manifest(vfs: &dyn Vfs, path: &Path) -> Result<Manifest, CheckError> {
    let text = vfs.read(path).map_err(|error| CheckError::Io { path: path.to_owned(), error })?;
    let manifest = Manifest::parse(&String::from_utf8_lossy(&text));
    manifest.map_err(|error| CheckError::Manifest { path: path.to_owned(), error })
}

fn only_manifest<'n>(path: &Path, names: &'n [PathBuf]) -> Result<&'n Path, CheckError> {
    let is_manifest = |name: &&PathBuf| name.extension().is_some_and(|it| it == "manifest");
    let manifests: Vec<&PathBuf> = names.iter().filter(is_manifest).collect();
    match manifests[..] {
        [only] => Ok(only),
        _ => Err(CheckError::Manifests { path: path.to_owned(), count: manifests.len() }),
    }
}

fn check_parts(
    vfs: &dyn Vfs,
    path: &Path,
    fixes: bool,
    say: &mut dyn FnMut(&Path, &dyn fmt::Display),
) -> Result<(), CheckError> {
    say(path, &read_manifest(vfs, path)?.text());
    let parts = parts_of(vfs, path)?;
    for (nth, part) in parts.iter().enumerate() {
        let is_last = nth + 1 == parts.len();
        check_file(vfs, part, fixes && is_last, say)?;
    }
    Ok(())
}

fn check_file(
    vfs: &dyn Vfs,
    path: &Path,
    fixes: bool,
    say: &mut dyn FnMut(&Path, &dyn fmt::Display),
) -> Result<(), CheckError> {
    let mut from = 0;
    if is_snapshot(vfs, path).map_err(|error| CheckError::Io { path: path.to_owned(), error })? {
        let (found, result) = check(vfs, path);
        say(path, &found);
        result.map_err(|error| CheckError::Snapshot { path: path.to_owned(), error })?;
        if found.behind == 0 {
            return Ok(());
        }
        from = found.bytes;
    }
    let mut found = FoundLog::default();
    let result = read_log(vfs, path, from, &mut found);
    say(path, &found);
    match result {
        Err(LogError::Torn { whole, .. } | LogError::Damaged { whole, .. }) if fixes => {
            let cut = cut(vfs, path, whole);
            let aside = cut.map_err(|error| CheckError::Io { path: path.to_owned(), error })?;
            say(path, &format!("cut to {whole} bytes; the rest is in {}\n", aside.display()));
            Ok(())
        }
        result => Ok(result?),
    }
}

fn read_log(vfs: &dyn Vfs, path: &Path, from: u64, found: &mut FoundLog) -> Result<(), LogError> {
    let mut reader = LogReader::open(vfs, path, from)?;
    let (commands, bytes) = (&mut found.commands, &mut found.bytes);
    let result = reader.each(
        |input, spans, _| {
            let name = spans.first().map_or(&[][..], |span| span.of(input));
            let name = String::from_utf8_lossy(&name[..name.len().min(64)]).to_ascii_lowercase();
            *commands.entry(name).or_default() += 1;
            Ok(())
        },
        |whole| {
            *bytes = whole;
            true
        },
    );
    found.blocks = reader.blocks;
    found.room = reader.room;
    result.map(drop)
}
