//! A snapshot's file while it is being written: a header, records of any database in any order, a checksum.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russet_rdb::file;
use russet_rdb::primitives::Checksum;

use crate::vfs::{Vfs, VfsFile, directory_of};

/// So much is handed to the system at once.
const WRITE_BYTES: usize = 256 << 10;

/// After so much the disk has to have all of it. One sync of everything in the end would keep the kernel busy for as long as it takes to find
/// all pages that it has, on the core of somebody who serves, and the disk from those who want it.
const STEP_BYTES: u64 = 8 << 20;

/// What one database has at the moment that the snapshot tells of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) keys: u64,
    pub(crate) volatile: u64,
}

/// A file that gets its name when it is whole.
pub(crate) struct Writer {
    vfs: Arc<dyn Vfs>,
    file: Box<dyn VfsFile>,
    temporary: PathBuf,
    buffer: Vec<u8>,
    /// The checksum so far, if there is to be one.
    digest: Option<Checksum>,
    sizes: Vec<Size>,
    selected: Option<u32>,
    written: u64,
    /// Up to where the disk was told to have it, if it is to have it at all.
    synced: Option<u64>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer({}, {} bytes)", self.temporary.display(), self.written)
    }
}

impl Writer {
    /// Begins a file beside its later place. `sizes` are hints, by the number of the database.
    pub(crate) fn new(
        vfs: Arc<dyn Vfs>,
        temporary: PathBuf,
        version: u16,
        with_checksum: bool,
        sizes: Vec<Size>,
    ) -> io::Result<Self> {
        let opened = vfs.create(&temporary)?;
        let mut buffer = Vec::with_capacity(WRITE_BYTES * 2);
        file::begin(version, &mut buffer);
        Ok(Self {
            vfs,
            file: opened,
            temporary,
            buffer,
            digest: with_checksum.then(Checksum::default),
            sizes,
            selected: None,
            written: 0,
            synced: None,
        })
    }

    /// Has the disk keep pace with what is written, for a file that is to be there after a crash.
    pub(crate) fn reach_the_disk_in_steps(&mut self) {
        self.synced = Some(self.written);
    }

    /// Where bytes for the file are put; follow with [`Writer::flush_if_due`].
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// What follows belongs to a database. The first time, its size is told.
    pub(crate) fn select(&mut self, db: u32) {
        if self.selected == Some(db) {
            return;
        }
        self.selected = Some(db);
        file::select(db, &mut self.buffer);
        if let Some(size) = self.sizes.get_mut(db as usize)
            && *size != Size::default()
        {
            let Size { keys, volatile } = std::mem::take(size);
            file::resize(keys, volatile, &mut self.buffer);
        }
    }

    /// Adds bytes.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() >= WRITE_BYTES {
            self.flush()?;
            return self.write(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        self.flush_if_due()
    }

    /// Hands the buffer to the system when it is large.
    pub(crate) fn flush_if_due(&mut self) -> io::Result<()> {
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let result = self.write(&buffer);
        self.buffer = buffer;
        self.buffer.clear();
        result
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
        self.written += bytes.len() as u64;
        self.file.write_all(bytes)?;
        self.sync_if_due()
    }

    fn sync_if_due(&mut self) -> io::Result<()> {
        let is_due = |synced: &mut u64| self.written - *synced >= STEP_BYTES;
        if self.synced.take_if(is_due).is_none() {
            return Ok(());
        }
        self.synced = Some(self.written);
        self.sync()
    }

    /// The pages of what is on the disk are given back: or they would count as this process' in its cgroup, and be given back by the
    /// million when another file takes the name of this one.
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()?;
        self.file.forget();
        Ok(())
    }

    /// Ends the file. Answers how many bytes it has.
    pub(crate) fn end(&mut self) -> io::Result<u64> {
        file::end(&mut self.buffer);
        self.flush()?;
        let checksum = self.digest.as_ref().map_or(0, Checksum::value);
        self.write(&checksum.to_le_bytes())?;
        Ok(self.written)
    }

    /// Ends the file and gives it its name, durably. Answers how many bytes it has.
    pub(crate) fn finish(mut self, path: &Path) -> io::Result<u64> {
        self.end()?;
        self.sync()?;
        self.vfs.rename(&self.temporary, path)?;
        self.vfs.sync_directory(directory_of(path))?;
        Ok(self.written)
    }

    /// Removes what there is of the file.
    pub(crate) fn give_up(self) {
        // It may have been removed already, or have its name.
        drop(self.vfs.remove(&self.temporary));
    }
}
