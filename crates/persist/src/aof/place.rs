//! Where the append-only file is, and what its parts are called.

use std::path::{Path, PathBuf};

use russet_config::id;
use russet_dispatch::State;

use super::manifest::{Manifest, Part, Role};

/// The directory of the parts, and the name that theirs begin with.
#[derive(Clone, Debug)]
pub struct Place {
    dir: PathBuf,
    directory: PathBuf,
    name: String,
}

impl Place {
    /// As configured.
    pub fn new(state: &State) -> Self {
        let config = state.config.load();
        let dir = PathBuf::from(config.text(const { id("dir") }));
        let directory = dir.join(config.text(const { id("appenddirname") }));
        Self { dir, directory, name: config.text(const { id("appendfilename") }).to_owned() }
    }

    /// The directory of the parts.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What says which parts there are.
    pub fn manifest(&self) -> PathBuf {
        self.directory.join(format!("{}.manifest", self.name))
    }

    /// A part.
    pub fn file(&self, part: &Part) -> PathBuf {
        self.directory.join(&part.name)
    }

    /// The one file that servers before Redis 7 have.
    pub(crate) fn former(&self) -> PathBuf {
        self.dir.join(&self.name)
    }

    /// That file as a base.
    pub(crate) fn former_base(&self) -> Part {
        Part { name: self.name.clone(), seq: 1, role: Role::Base }
    }

    /// A base of a number that none has had.
    pub(crate) fn next_base(&self, manifest: &Manifest, is_snapshot: bool) -> Part {
        let seq = manifest.last(|part| part.role != Role::Increment && !part.is_named_increment());
        let form = if is_snapshot { "rdb" } else { "aof" };
        let name = format!("{}.{}.base.{form}", self.name, seq + 1);
        Part { name, seq: seq + 1, role: Role::Base }
    }

    /// An increment of a number that none has had.
    pub(crate) fn next_increment(&self, manifest: &Manifest) -> Part {
        let seq = manifest.last(Part::is_named_increment) + 1;
        Part { name: format!("{}.{seq}.incr.aof", self.name), seq, role: Role::Increment }
    }
}
