//! The trait behind which files live.
//!
//! What it promises is what POSIX does, and no more: what was written may be lost, whole or in part, until [`VfsFile::sync`]; what a
//! directory lists may be an old state until [`Vfs::sync_directory`]; a file whose sync has failed is not to be trusted again, whatever
//! later syncs say.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};

/// A file system.
pub trait Vfs: Debug + Send + Sync {
    /// All bytes of a file. For small ones.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Opens a file to be read from its beginning.
    fn open(&self, path: &Path) -> io::Result<Box<dyn VfsRead>>;

    /// Opens a file to add to its end, and makes it if it is not there.
    fn append(&self, path: &Path) -> io::Result<Box<dyn VfsFile>>;

    /// Opens a file, and makes it if it is not there, to go on behind its first `at` bytes, over what follows them.
    fn resume(&self, path: &Path, at: u64) -> io::Result<Box<dyn VfsFile>>;

    /// Makes a new, empty file, over an old one.
    fn create(&self, path: &Path) -> io::Result<Box<dyn VfsFile>>;

    /// Cuts a file to its first `len` bytes, durably.
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()>;

    /// Gives a file another name, over an old one, at once.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes a directory; that it is there already is no error.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, in no order.
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;

    /// Makes durable which files a directory has.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Puts `bytes` in place of a file, so that after a crash there is the old one or the new one, whole.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let directory = directory_of(path);
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let temporary =
            directory.join(format!(".{}-{}.tmp", name.to_string_lossy(), std::process::id()));
        let written = self.create(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync()
        });
        written.and_then(|()| self.rename(&temporary, path)).inspect_err(|_| {
            // What is left of a failed attempt is of no use; that it could not be removed is of no consequence.
            drop(self.remove(&temporary));
        })?;
        self.sync_directory(directory)
    }
}

/// The directory that a file is in.
pub fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file that is being written: from its end, or from where it was [resumed](Vfs::resume), on.
pub trait VfsFile: Debug + Send {
    /// Writes all bytes. After an error some of them may have been written.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Writes all bytes of all pieces, as one write where the system can.
    fn write_all_of(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        self.write_all(&pieces.concat())
    }

    /// Writes bytes that what is written next will stand over. After an error some of them may have been written.
    fn write_ahead(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts off what stands behind what has been written.
    fn trim(&mut self) -> io::Result<()>;

    /// Makes durable what has been written.
    fn sync(&mut self) -> io::Result<()>;

    /// What has been synced need not be kept in memory: nobody is going to read it soon.
    fn forget(&mut self) {}
}

/// A file that is being read.
pub trait VfsRead: io::Read + Debug + Send {
    /// How many bytes it has, those that have been read included.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has none.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|len| len == 0)
    }
}
