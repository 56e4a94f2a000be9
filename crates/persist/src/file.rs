//! The real file system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::vfs::{Vfs, VfsFile};

/// Files that others may not read: they hold data and passwords.
const MODE: u32 = 0o600;

/// The real file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files;

#[derive(Debug)]
struct Open(File);

impl Vfs for Files {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        let file = OpenOptions::new().append(true).create(true).mode(MODE).open(path)?;
        Ok(Box::new(Open(file)))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        let file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(path)?;
        Ok(Box::new(Open(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

impl VfsFile for Open {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replace_leaves_the_new_file_and_nothing_else() {
        let directory = std::env::temp_dir().join(format!("russet-vfs-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("a.conf");
        for text in ["old", "new"] {
            Files.replace(&path, text.as_bytes()).unwrap();
        }
        assert_eq!(Files.read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn replace_fails_in_a_directory_that_is_not_there() {
        assert!(Files.replace(Path::new("/nonexistent-russet/a"), b"x").is_err());
    }
}
