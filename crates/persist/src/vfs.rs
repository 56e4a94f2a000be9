//! The trait behind which files live.

use std::fmt::Debug;
use std::io;
use std::path::Path;

/// A file system.
pub trait Vfs: Debug + Send + Sync {
    /// All bytes of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Opens a file to add to its end, and makes it if it is not there.
    fn append(&self, path: &Path) -> io::Result<Box<dyn VfsFile>>;

    /// Makes a new, empty file, over an old one.
    fn create(&self, path: &Path) -> io::Result<Box<dyn VfsFile>>;

    /// Gives a file another name, over an old one, at once.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes durable which files a directory has.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Puts `bytes` in place of a file, so that after a crash there is the old one or the new one, whole.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let directory =
            path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
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

/// An open file.
pub trait VfsFile: Debug + Send {
    /// Writes all bytes at the end.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes durable what has been written.
    fn sync(&mut self) -> io::Result<()>;
}
