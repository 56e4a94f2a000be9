//! The increment that is being written.
//!
//! Whoever holds the tail writes for all: everything that the journal has becomes the next block. A second handle of the same file syncs,
//! so that nobody waits for a sync who only writes.
//!
//! **Room.** Where every block is synced before the next, and they follow each other closely, the file is longer than what is written to
//! it: behind that stands a note of nothing but `#`, and blocks are written over its beginning. A sync that has no new length to record is
//! one write of the disk instead of two or three. At any moment there is either no room or a whole note of it, so that others find a file
//! that they can read and add to.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use russet_journal::{Lsn, Reader};
use russet_rdb::primitives::Checksum;

use super::block::Header;
use crate::vfs::{Vfs, VfsFile};

/// Room is made for so many bytes at once.
const ROOM_BYTES: usize = 256 << 10;

/// Room is made where so many writes have followed each other, each within that time: a few are not worth it.
const BRISK_WRITES: u32 = 16;
const BRISK: Duration = Duration::from_millis(100);

/// The least that stands for room.
const ROOM_MIN: u64 = b"#\r\n".len() as u64;

/// What stands where nothing has been written yet.
static ROOM: [u8; ROOM_BYTES] = {
    let mut room = [b'#'; ROOM_BYTES];
    room[ROOM_BYTES - 2] = b'\r';
    room[ROOM_BYTES - 1] = b'\n';
    room
};

/// A block has about so many bytes at most, unless a single unit has more.
const BLOCK_BYTES: usize = 1 << 20;

/// How blocks are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// With a line before it that says how long it is, and its checksum.
    pub(crate) with_header: bool,
    /// With the time, in seconds since 1970, when it is another second.
    pub(crate) now_s: Option<u64>,
    /// With room behind it for the next ones.
    pub(crate) with_room: bool,
}

/// A file that an increment is written to.
#[derive(Debug)]
pub(crate) struct Increment {
    file: Box<dyn VfsFile>,
    syncer: Arc<Syncer>,
    /// Its bytes, but for room.
    len: u64,
    /// Where the room behind them ends, if there is any.
    room: u64,
    /// Whether none could be made: the disk may be full.
    is_tight: bool,
    /// How many of them are known to be on the disk.
    durable: u64,
    /// What its last line says of that.
    sealed: u64,
    /// Since when something waits for a sync.
    unsynced_since: Option<Instant>,
    /// When it was written to last.
    written: Instant,
    /// How many writes before that have followed each other closely.
    brisk: u32,
    /// The second that was noted last.
    noted_s: u64,
}

/// What syncs a file, or why it could not. After a sync has failed nobody knows what of the file is on the disk, and one that succeeds
/// later does not tell either, since the system may have dropped what it could not write: so none succeeds.
#[derive(Debug)]
struct Syncer(Mutex<Result<Box<dyn VfsFile>, (io::ErrorKind, String)>>);

impl Syncer {
    fn sync(&self) -> io::Result<()> {
        let mut file = self.0.lock();
        let result = match file.as_mut() {
            Ok(file) => file.sync(),
            Err((kind, reason)) => return Err(io::Error::new(*kind, reason.clone())),
        };
        if let Err(error) = &result {
            *file = Err((error.kind(), error.to_string()));
        }
        result
    }
}

impl Increment {
    /// A new file, over an old one: on the disk but for its name.
    pub(crate) fn create(vfs: &dyn Vfs, path: &Path, style: Style) -> io::Result<Self> {
        drop(vfs.create(path)?);
        Self::resume(vfs, path, 0, style)
    }

    /// A file that is there, behind its first `len` bytes. What stands there goes.
    pub(crate) fn resume(vfs: &dyn Vfs, path: &Path, len: u64, style: Style) -> io::Result<Self> {
        let mut file = vfs.resume(path, len)?;
        file.trim()?;
        let mut increment = Self {
            file,
            syncer: Arc::new(Syncer(Mutex::new(Ok(vfs.resume(path, len)?)))),
            len,
            room: 0,
            is_tight: false,
            durable: 0,
            sealed: 0,
            unsynced_since: None,
            written: Instant::now(),
            brisk: 0,
            noted_s: 0,
        };
        increment.sync()?;
        increment.seal(style)?;
        increment.sync()?;
        Ok(increment)
    }

    fn write(&mut self, pieces: &[&[u8]], with_room: bool) -> io::Result<()> {
        let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
        self.prepare(bytes, with_room)?;
        self.file.write_all_of(pieces)?;
        self.len += bytes;
        let before = std::mem::replace(&mut self.written, Instant::now());
        let is_close = self.written - before < BRISK;
        self.brisk = if is_close { self.brisk.saturating_add(1) } else { 0 };
        self.unsynced_since.get_or_insert(self.written);
        Ok(())
    }

    /// Sees to it that so many bytes leave some of the room, or find none.
    fn prepare(&mut self, bytes: u64, with_room: bool) -> io::Result<()> {
        let is_left = |end: u64| bytes + ROOM_MIN <= end.saturating_sub(self.len);
        if is_left(self.room) {
            return Ok(());
        }
        let widened = self.len + ROOM_BYTES as u64;
        let wants_room = with_room && !self.is_tight && self.brisk >= BRISK_WRITES;
        if wants_room && is_left(widened) {
            // Whether this succeeds is no matter: it is done to be quick.
            self.is_tight = self.file.write_ahead(&ROOM).is_err();
            self.room = widened;
        }
        if self.room > self.len && (self.is_tight || !is_left(self.room)) {
            self.trim()?;
        }
        Ok(())
    }

    /// Gives back what room there is.
    fn trim(&mut self) -> io::Result<()> {
        self.room = 0;
        self.file.trim()
    }

    /// Writes that all before is on the disk, as far as that is known.
    pub(super) fn seal(&mut self, style: Style) -> io::Result<()> {
        if style.with_header {
            self.write(&[Header::seal(self.durable).line().as_bytes()], false)?;
        }
        self.sealed = self.len;
        Ok(())
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.syncer.sync()?;
        self.has_synced(self.len);
        Ok(())
    }

    fn has_synced(&mut self, len: u64) {
        self.durable = self.durable.max(len);
        if self.durable == self.len {
            self.unsynced_since = None;
        }
    }

    /// Writes pieces of whole units as one block. Answers how many bytes that made.
    pub(super) fn block(&mut self, pieces: &[Bytes], style: Style) -> io::Result<u64> {
        let before = self.len;
        let note = style.now_s.filter(|now_s| *now_s != self.noted_s);
        let note = note.map(|now_s| format!("#TS:{now_s}\r\n")).unwrap_or_default();
        self.noted_s = style.now_s.unwrap_or(0);
        let line =
            if style.with_header { self.header(&note, pieces).line() } else { String::new() };
        let head = [line.as_bytes(), note.as_bytes()];
        let all: Vec<&[u8]> =
            head.into_iter().chain(pieces.iter().map(|piece| &piece[..])).collect();
        self.write(&all, style.with_room && style.with_header)?;
        Ok(self.len - before)
    }

    fn header(&self, note: &str, pieces: &[Bytes]) -> Header {
        let mut digest = Checksum::default();
        digest.update(note.as_bytes());
        pieces.iter().for_each(|piece| digest.update(piece));
        let len = note.len() + pieces.iter().map(Bytes::len).sum::<usize>();
        Header { len: len as u64, checksum: digest.value(), durable: self.durable }
    }
}

/// What is written now, and from where.
#[derive(Debug)]
pub(crate) struct Tail {
    reader: Reader,
    increment: Increment,
    pieces: Vec<Bytes>,
}

/// What a sync that begins now makes durable.
#[derive(Debug)]
pub(crate) struct Unsynced {
    pub(crate) at: Lsn,
    len: u64,
    syncer: Arc<Syncer>,
}

impl Unsynced {
    /// Syncs; nobody needs to hold the tail for that.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.syncer.sync()
    }
}

impl Tail {
    pub(crate) const fn new(reader: Reader, increment: Increment) -> Self {
        Self { reader, increment, pieces: Vec::new() }
    }

    /// The journal's position behind what has been written.
    pub(crate) const fn position(&self) -> Lsn {
        self.reader.position()
    }

    /// What tells it to stop.
    pub(crate) fn stop(&self) -> russet_journal::Stop {
        self.reader.stop()
    }

    /// Whether it stands where it was told to stop.
    pub(crate) fn has_stopped(&self) -> bool {
        self.reader.has_stopped()
    }

    /// Since when something waits for a sync.
    pub(crate) const fn unsynced_since(&self) -> Option<Instant> {
        self.increment.unsynced_since
    }

    /// Writes everything that the journal has. Answers how many bytes that made.
    pub(crate) fn write(&mut self, style: Style) -> io::Result<u64> {
        let mut written = 0;
        loop {
            let mut bytes = 0;
            while bytes < BLOCK_BYTES {
                let read = self.reader.read_some();
                let read = read.map_err(|lagged| io::Error::other(lagged.to_string()))?;
                let Some(piece) = read else { break };
                bytes += piece.len();
                self.pieces.push(piece);
            }
            if bytes == 0 {
                return Ok(written);
            }
            written += self.increment.block(&self.pieces, style)?;
            self.pieces.clear();
        }
    }

    /// Whether nothing has been written for so long.
    pub(crate) fn is_idle(&self, time: Duration) -> bool {
        self.increment.written.elapsed() >= time
    }

    /// What is to be synced, if anything is.
    pub(crate) fn unsynced(&self) -> Option<Unsynced> {
        self.unsynced_since().map(|_| Unsynced {
            at: self.position(),
            len: self.increment.len,
            syncer: Arc::clone(&self.increment.syncer),
        })
    }

    /// A sync has succeeded.
    pub(crate) fn has_synced(&mut self, what: &Unsynced) {
        if Arc::ptr_eq(&what.syncer, &self.increment.syncer) {
            self.increment.has_synced(what.len);
        }
    }

    /// Syncs all that was written, and answers the journal's position behind it.
    pub(crate) fn sync(&mut self) -> io::Result<Lsn> {
        self.increment.sync()?;
        Ok(self.position())
    }

    /// Says at the end of the file that all of it is on the disk, if that is so and it does not say so yet. There is no room then.
    pub(crate) fn seal(&mut self, style: Style) -> io::Result<()> {
        let it = &mut self.increment;
        if it.durable == it.len && it.sealed < it.len {
            it.trim()?;
            it.seal(style)?;
            it.sync()?;
        }
        Ok(())
    }

    /// Bytes of the file that is written, but for room.
    pub(crate) const fn len(&self) -> u64 {
        self.increment.len
    }

    /// Goes on in another file behind where it was told to stop.
    pub(crate) fn go_on(&mut self, next: Increment) {
        self.increment = next;
        self.reader.go_on();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file whose first sync fails and whose others do not.
    #[derive(Debug, Default)]
    struct Forgetful {
        has_failed: bool,
    }

    impl VfsFile for Forgetful {
        fn write_all(&mut self, _bytes: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn write_ahead(&mut self, _bytes: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn trim(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            if std::mem::replace(&mut self.has_failed, true) {
                return Ok(());
            }
            Err(io::Error::from_raw_os_error(5))
        }
    }

    #[test]
    fn after_a_failed_sync_none_succeeds() {
        let syncer = Syncer(Mutex::new(Ok(Box::new(Forgetful::default()))));
        let first = syncer.sync().expect_err("the disk says so");
        let second = syncer.sync().expect_err("nobody knows what is on the disk");
        assert_eq!((first.kind(), first.to_string()), (second.kind(), second.to_string()));
    }
}
