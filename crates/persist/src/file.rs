//! The real file system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Advice, fadvise};

use crate::vfs::{Vfs, VfsFile, VfsRead};

/// Files that others may not read: they hold data and passwords.
const MODE: u32 = 0o600;

/// So many pieces are given to the system at once.
const PIECES_MAX: usize = 32;

/// Directories that others may not enter.
const DIRECTORY_MODE: u32 = 0o700;

/// The pages of so many bytes are given back at once.
const FORGOTTEN_BYTES: NonZeroU64 = NonZeroU64::new(8 << 20).unwrap();

/// Between two such steps others have the core.
const REST: Duration = Duration::from_micros(40);

/// The real file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files;

#[derive(Debug)]
struct Open(File);

impl Vfs for Files {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn VfsRead>> {
        Ok(Box::new(Open(File::open(path)?)))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        let file = OpenOptions::new().append(true).create(true).mode(MODE).open(path)?;
        Ok(Box::new(Open(file)))
    }

    fn resume(&self, path: &Path, at: u64) -> io::Result<Box<dyn VfsFile>> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(false).mode(MODE).open(path)?;
        file.seek(SeekFrom::Start(at))?;
        Ok(Box::new(Open(file)))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        let file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(path)?;
        Ok(Box::new(Open(file)))
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(len)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fade(to);
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fade(path);
        fs::remove_file(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        match fs::DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            made => made,
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(path)?
            .map(|entry| entry.map(|entry| PathBuf::from(entry.file_name())))
            .collect()
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

/// Before a file goes: has the system forget its pages step by step. It would forget all of them at once with the last of its names, gigabytes
/// in hundreds of milliseconds of a core that others want. Whoever reads the file still, for a copy, finds it as it was.
fn fade(path: &Path) {
    let len = fs::metadata(path).ok().filter(fs::Metadata::is_file).map_or(0, |file| file.len());
    if len <= FORGOTTEN_BYTES.get() {
        return;
    }
    let Ok(file) = File::open(path) else { return };
    for at in (0..len).step_by(FORGOTTEN_BYTES.get() as usize) {
        // It is advice.
        fadvise(&file, at, Some(FORGOTTEN_BYTES), Advice::DontNeed).ok();
        std::thread::park_timeout(REST);
    }
}

impl VfsFile for Open {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn write_all_of(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        for pieces in pieces.chunks(PIECES_MAX) {
            let mut slices: [IoSlice<'_>; PIECES_MAX] = [IoSlice::new(&[]); PIECES_MAX];
            for (slice, piece) in slices.iter_mut().zip(pieces) {
                *slice = IoSlice::new(piece);
            }
            let mut left = &mut slices[..pieces.len()];
            // Empty pieces are gone before the first write, which would have nothing to do.
            IoSlice::advance_slices(&mut left, 0);
            while !left.is_empty() {
                match self.0.write_vectored(left) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => IoSlice::advance_slices(&mut left, written),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn write_ahead(&mut self, bytes: &[u8]) -> io::Result<()> {
        let at = self.0.stream_position()?;
        self.0.write_all_at(bytes, at)
    }

    fn trim(&mut self) -> io::Result<()> {
        let len = self.0.stream_position()?;
        self.0.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn forget(&mut self) {
        // It is advice.
        fadvise(&self.0, 0, None, Advice::DontNeed).ok();
    }
}

impl Read for Open {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl VfsRead for Open {
    fn len(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
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
    fn pieces_are_written_in_their_order_the_empty_ones_too() {
        let directory = std::env::temp_dir().join(format!("russet-pieces-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("a.aof");
        let all: Vec<Vec<u8>> = (0..100).map(|n| vec![n; usize::from(n) % 7 * 1000]).collect();
        let pieces: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
        let mut file = Files.create(&path).unwrap();
        for pieces in [&pieces[..], &[], &[&[]]] {
            file.write_all_of(pieces).unwrap();
        }
        assert_eq!(Files.read(&path).unwrap(), all.concat());
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_file_that_goes_is_read_on_by_who_has_it_open() {
        let directory = std::env::temp_dir().join(format!("russet-fade-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (path, other) = (directory.join("dump.rdb"), directory.join("temp.rdb"));
        let bytes = vec![7; FORGOTTEN_BYTES.get() as usize * 2 + 1];
        Files.create(&path).unwrap().write_all(&bytes).unwrap();
        let mut copied = [Files.open(&path).unwrap(), Files.open(&path).unwrap()];
        Files.create(&other).unwrap().write_all(b"new").unwrap();
        Files.rename(&other, &path).unwrap();
        Files.remove(&path).unwrap();
        for copied in &mut copied {
            let mut found = Vec::new();
            copied.read_to_end(&mut found).unwrap();
            assert_eq!(found.len(), bytes.len());
            assert!(found == bytes, "not what was written");
        }
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn replace_fails_in_a_directory_that_is_not_there() {
        assert!(Files.replace(Path::new("/nonexistent-russet/a"), b"x").is_err());
    }
}
