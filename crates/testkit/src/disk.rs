//! A file system in memory that behaves as badly as a real one may.
//!
//! Everything that is written is seen at once by whoever reads, as in a page cache, and is durable only after a sync that succeeded.
//! [`Disk::crash`] gives what a power cut could have left: of what was not synced any part, torn at sectors of 512 bytes, zero-filled or
//! filled with garbage, and of renames and new names that no directory sync has made durable any beginning, or any of them.
//! [`Disk::fail`] lets the n-th call of a kind fail with an error number, once or from then on; a write that fails has written half, and
//! after a sync that failed the kernel has forgotten what it should have written, as Linux does. [`Disk::panic`] lets it panic instead.
//!
//! The same seed and the same calls give the same disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use russet_persist::vfs::{Vfs, VfsFile, VfsRead};

use crate::random::Random;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Opening a file to read it, reading it, or reading a directory.
    Read,
    /// Making a file or a directory, or opening a file to add to it.
    Create,
    /// Writing.
    Write,
    /// Syncing a file.
    Sync,
    /// Cutting a file.
    Truncate,
    /// Renaming.
    Rename,
    /// Removing.
    Remove,
    /// Syncing a directory.
    SyncDirectory,
}

/// A planned failure.
#[derive(Clone, Copy, Debug)]
struct Fault {
    call: Call,
    /// Calls of the kind that still succeed.
    after: u64,
    /// 0 for a panic.
    errno: i32,
    is_sticky: bool,
}

/// A write that is not durable yet.
#[derive(Clone, Debug)]
struct Write {
    at: usize,
    bytes: Vec<u8>,
}

/// A file, whatever its name.
#[derive(Clone, Debug, Default)]
struct Inode {
    /// What readers see.
    now: Vec<u8>,
    /// What survives for certain.
    durable: Vec<u8>,
    unsynced: Vec<Write>,
}

impl Inode {
    fn write(&mut self, at: usize, bytes: &[u8]) {
        self.unsynced.push(Write { at, bytes: bytes.to_vec() });
        put(&mut self.now, at, bytes);
    }

    /// Cuts it for those who read; for the disk that is so after the next sync.
    fn trim(&mut self, len: usize) {
        self.now.truncate(len);
    }

    fn sync(&mut self) {
        for write in std::mem::take(&mut self.unsynced) {
            put(&mut self.durable, write.at, &write.bytes);
        }
        self.durable.truncate(self.now.len());
    }

    fn truncate(&mut self, len: usize) {
        self.now.truncate(len);
        self.durable.truncate(len);
        self.unsynced.retain(|write| write.at + write.bytes.len() <= len);
    }

    /// What a crash leaves.
    fn crash(&self, random: &mut Random) -> Vec<u8> {
        let mut left = self.durable.clone();
        match random.below(4) {
            0 => {}
            1 => {
                // The file has grown, but what was to stand there was not written.
                let growth = self.now.len().saturating_sub(left.len()) as u64;
                left.resize(left.len() + random.below(growth + 1) as usize, 0);
            }
            2 => self.keep_beginning(random, &mut left),
            _ => self.keep_some(random, &mut left),
        }
        left
    }

    /// Some first writes, and of the next one some sectors.
    fn keep_beginning(&self, random: &mut Random, left: &mut Vec<u8>) {
        let kept = random.below(self.unsynced.len() as u64 + 1) as usize;
        for write in &self.unsynced[..kept] {
            put(left, write.at, &write.bytes);
        }
        if let Some(torn) = self.unsynced.get(kept) {
            let sectors = random.below(torn.bytes.len().div_ceil(SECTOR) as u64 + 1) as usize;
            let end = (sectors * SECTOR).saturating_sub(torn.at % SECTOR).min(torn.bytes.len());
            put(left, torn.at, &torn.bytes[..end]);
        }
    }

    /// Any sectors of any writes, in no order; between them zeros, or what the disk had there before.
    fn keep_some(&self, random: &mut Random, left: &mut Vec<u8>) {
        for write in &self.unsynced {
            for (nth, sector) in write.bytes.chunks(SECTOR).enumerate() {
                let at = write.at + nth * SECTOR;
                match random.below(3) {
                    0 => {}
                    1 => put(left, at, sector),
                    _ => {
                        let garbage: Vec<u8> = sector.iter().map(|_| random.bits() as u8).collect();
                        put(left, at, &garbage);
                    }
                }
            }
        }
    }
}

/// Writes into a file, with zeros before it if it is too short.
fn put(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if file.len() < at + bytes.len() {
        file.resize(at + bytes.len(), 0);
    }
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A change of names that is not durable yet.
#[derive(Clone, Debug)]
enum Naming {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, usize),
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Link(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Self::Unlink(path) => {
                names.remove(path);
            }
            Self::Rename(from, to, inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }

    fn is_in(&self, directory: &Path) -> bool {
        match self {
            Self::Link(path, _) | Self::Unlink(path) | Self::Rename(_, path, _) => {
                path.parent() == Some(directory)
            }
        }
    }
}

#[derive(Debug, Default)]
struct World {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    unsynced_names: Vec<Naming>,
    directories: BTreeSet<PathBuf>,
    faults: Vec<Fault>,
    calls: BTreeMap<u8, u64>,
}

impl World {
    fn call(&mut self, call: Call) -> io::Result<()> {
        *self.calls.entry(call as u8).or_default() += 1;
        let mut failed = None;
        self.faults.retain_mut(|fault| {
            if fault.call != call || failed.is_some() {
                return true;
            }
            if fault.after > 0 {
                fault.after -= 1;
                return true;
            }
            failed = Some(fault.errno);
            fault.is_sticky
        });
        assert_ne!(failed, Some(0), "a panic, as the test wants it");
        failed.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
    }

    fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.unsynced_names.push(naming);
    }

    fn inode(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn new_inode(&mut self, path: &Path) -> usize {
        self.inodes.push(Inode::default());
        let inode = self.inodes.len() - 1;
        self.name(Naming::Link(path.to_owned(), inode));
        inode
    }

    /// The names after a crash: those that are durable, and some of the changes since.
    fn names_after(&self, random: &mut Random) -> BTreeMap<PathBuf, usize> {
        let mut names = self.durable_names.clone();
        let in_order = random.percent(60);
        let kept = random.below(self.unsynced_names.len() as u64 + 1) as usize;
        for (nth, naming) in self.unsynced_names.iter().enumerate() {
            if (in_order && nth < kept) || (!in_order && random.percent(50)) {
                naming.apply(&mut names);
            }
        }
        names
    }
}

/// The file system. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<World>>);

impl Disk {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // Who panics in here has been told to, and has changed nothing yet.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a call of a kind fail after `after` more that succeed; from then on always, if `is_sticky`.
    pub fn fail(&self, call: Call, after: u64, errno: i32, is_sticky: bool) {
        self.world().faults.push(Fault { call, after, errno, is_sticky });
    }

    /// Lets a call of a kind panic after `after` more that succeed.
    pub fn panic(&self, call: Call, after: u64) {
        self.fail(call, after, 0, false);
    }

    /// The disk is well again.
    pub fn heal(&self) {
        self.world().faults.clear();
    }

    /// How many calls of a kind there were.
    pub fn calls(&self, call: Call) -> u64 {
        self.world().calls.get(&(call as u8)).copied().unwrap_or(0)
    }

    /// What a power cut at this moment could leave. The disk itself goes on as if nothing had happened.
    #[must_use]
    pub fn crash(&self, random: &mut Random) -> Self {
        let world = self.world();
        let names = world.names_after(random);
        let mut after = World { directories: world.directories.clone(), ..World::default() };
        for (path, inode) in names {
            let bytes = world.inodes[inode].crash(random);
            after.inodes.push(Inode { now: bytes.clone(), durable: bytes, unsynced: Vec::new() });
            after.names.insert(path, after.inodes.len() - 1);
        }
        after.durable_names.clone_from(&after.names);
        Self(Arc::new(Mutex::new(after)))
    }

    /// What is left when the process is killed and the machine lives on: everything that was written.
    #[must_use]
    pub fn kill(&self) -> Self {
        let world = self.world();
        let after = World {
            inodes: world.inodes.clone(),
            names: world.names.clone(),
            durable_names: world.durable_names.clone(),
            unsynced_names: world.unsynced_names.clone(),
            directories: world.directories.clone(),
            ..World::default()
        };
        Self(Arc::new(Mutex::new(after)))
    }

    /// Changes a file as no program would: for bits that flip.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut world = self.world();
        let inode = world.inode(path).expect("a file that is there");
        let inode = &mut world.inodes[inode];
        change(&mut inode.now);
        inode.durable.clone_from(&inode.now);
        inode.unsynced.clear();
    }
}

impl Vfs for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut world = self.world();
        world.call(Call::Read)?;
        let inode = world.inode(path)?;
        Ok(world.inodes[inode].now.clone())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn VfsRead>> {
        let mut world = self.world();
        world.call(Call::Read)?;
        let inode = world.inode(path)?;
        Ok(Box::new(Reading { disk: self.clone(), inode, at: 0 }))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        let mut world = self.world();
        world.call(Call::Create)?;
        let inode = world.inode(path).unwrap_or_else(|_| world.new_inode(path));
        let at = world.inodes[inode].now.len();
        Ok(Box::new(Writing { disk: self.clone(), inode, at }))
    }

    fn resume(&self, path: &Path, at: u64) -> io::Result<Box<dyn VfsFile>> {
        let mut world = self.world();
        world.call(Call::Create)?;
        let inode = world.inode(path).unwrap_or_else(|_| world.new_inode(path));
        Ok(Box::new(Writing { disk: self.clone(), inode, at: at as usize }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        let mut world = self.world();
        world.call(Call::Create)?;
        let inode = world.new_inode(path);
        Ok(Box::new(Writing { disk: self.clone(), inode, at: 0 }))
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let mut world = self.world();
        world.call(Call::Truncate)?;
        let inode = world.inode(path)?;
        world.inodes[inode].truncate(len as usize);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.call(Call::Rename)?;
        let inode = world.inode(from)?;
        world.name(Naming::Rename(from.to_owned(), to.to_owned(), inode));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.call(Call::Remove)?;
        world.inode(path)?;
        world.name(Naming::Unlink(path.to_owned()));
        Ok(())
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.call(Call::Create)?;
        world.directories.insert(path.to_owned());
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut world = self.world();
        world.call(Call::Read)?;
        let within = world.names.keys().filter(|name| name.parent() == Some(path));
        let found: Vec<PathBuf> =
            within.filter_map(|name| name.file_name()).map(PathBuf::from).collect();
        if found.is_empty() && !world.directories.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(found)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.call(Call::SyncDirectory)?;
        let World { unsynced_names, durable_names, .. } = &mut *world;
        unsynced_names.retain(|naming| {
            let stays = !naming.is_in(path);
            if !stays {
                naming.apply(durable_names);
            }
            stays
        });
        Ok(())
    }
}

/// A file that is being read: the inode, whatever its name is by now.
#[derive(Debug)]
struct Reading {
    disk: Disk,
    inode: usize,
    at: usize,
}

/// A file that is being written.
#[derive(Debug)]
struct Writing {
    disk: Disk,
    inode: usize,
    at: usize,
}

impl Writing {
    /// Answers how much was written, too.
    fn write(&self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut world = self.disk.world();
        let result = world.call(Call::Write);
        let len = if result.is_ok() { bytes.len() } else { bytes.len() / 2 };
        world.inodes[self.inode].write(self.at, &bytes[..len]);
        (len, result)
    }
}

impl VfsFile for Writing {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (len, result) = self.write(bytes);
        self.at += len;
        result
    }

    fn write_ahead(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes).1
    }

    fn trim(&mut self) -> io::Result<()> {
        let mut world = self.disk.world();
        world.call(Call::Truncate)?;
        world.inodes[self.inode].trim(self.at);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut world = self.disk.world();
        let result = world.call(Call::Sync);
        let inode = &mut world.inodes[self.inode];
        match &result {
            Ok(()) => inode.sync(),
            // The pages count as clean from here on, and nobody writes them.
            Err(_) => inode.unsynced.clear(),
        }
        result
    }
}

impl io::Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut world = self.disk.world();
        world.call(Call::Read)?;
        let left = world.inodes[self.inode].now.get(self.at..).unwrap_or_default();
        let len = left.len().min(buffer.len());
        buffer[..len].copy_from_slice(&left[..len]);
        drop(world);
        self.at += len;
        Ok(len)
    }
}

impl VfsRead for Reading {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.world().inodes[self.inode].now.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EIO: i32 = 5;

    fn path(name: &str) -> PathBuf {
        Path::new("/data").join(name)
    }

    #[test]
    fn what_was_synced_survives_every_crash() {
        let disk = Disk::new();
        let mut file = disk.create(&path("a")).unwrap();
        file.write_all(&[b'x'; 3000]).unwrap();
        file.sync().unwrap();
        disk.sync_directory(Path::new("/data")).unwrap();
        file.write_all(&[b'y'; 3000]).unwrap();
        let lens: BTreeSet<usize> = (0..200)
            .map(|seed| {
                let left = disk.crash(&mut Random::new(seed)).read(&path("a")).unwrap();
                assert!(left[..3000].iter().all(|byte| *byte == b'x'));
                left.len()
            })
            .collect();
        assert!(lens.contains(&3000) && lens.contains(&6000) && lens.len() > 5, "{lens:?}");
    }

    #[test]
    fn a_rename_without_a_directory_sync_may_be_lost() {
        let disk = Disk::new();
        disk.replace(&path("a"), b"old").unwrap();
        disk.create(&path("b")).unwrap().write_all(b"new").unwrap();
        disk.rename(&path("b"), &path("a")).unwrap();
        let seen: BTreeSet<Vec<u8>> = (0..200)
            .map(|seed| disk.crash(&mut Random::new(seed)).read(&path("a")).unwrap())
            .collect();
        // The last two: the name is new, what was written under it is not there.
        assert!(
            seen.contains(&b"old"[..]) && seen.contains(&b"new"[..]) && seen.contains(&b""[..])
        );
    }

    #[test]
    fn replace_leaves_the_old_or_the_new_wherever_it_is_cut() {
        for call in [Call::Create, Call::Write, Call::Sync, Call::Rename, Call::SyncDirectory] {
            let disk = Disk::new();
            disk.replace(&path("a"), b"old").unwrap();
            disk.fail(call, 0, EIO, false);
            assert!(disk.replace(&path("a"), b"new").is_err());
            for seed in 0..50 {
                let left = disk.crash(&mut Random::new(seed)).read(&path("a")).unwrap();
                assert!(left == b"old" || left == b"new", "{call:?} {left:?}");
            }
        }
    }

    #[test]
    fn a_failed_sync_forgets_what_a_later_one_does_not_bring_back() {
        let disk = Disk::new();
        let mut file = disk.create(&path("a")).unwrap();
        disk.sync_directory(Path::new("/data")).unwrap();
        file.write_all(b"lost").unwrap();
        disk.fail(Call::Sync, 0, EIO, false);
        assert!(file.sync().is_err() && file.sync().is_ok());
        let left = disk.crash(&mut Random::new(1)).read(&path("a")).unwrap();
        assert_eq!(
            (left.iter().filter(|byte| **byte != 0).count(), disk.read(&path("a")).unwrap().len()),
            (0, 4)
        );
    }

    #[test]
    fn the_nth_call_fails_and_only_that() {
        let disk = Disk::new();
        disk.fail(Call::Write, 2, EIO, false);
        let mut file = disk.create(&path("a")).unwrap();
        let written: Vec<bool> = (0..4).map(|_| file.write_all(b"ab").is_ok()).collect();
        assert_eq!(written, [true, true, false, true]);
        assert_eq!(disk.read(&path("a")).unwrap(), b"ababaab");
    }
}
