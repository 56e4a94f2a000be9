//! Appending under the shards' locks, and reading behind.
//!
//! The critical section fixes which database is selected, assigns the LSN and links the bytes; nothing in it waits. What has been
//! appended is kept up to a bound; a reader that falls further behind is told so with [`Lagged`] and starts anew from a snapshot.
//!
//! Invariants:
//! * `end - start` is the number of bytes kept, and `start` the position of the first.
//! * Records are kept whole.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::record::Record;

/// A position in the log, in bytes; the Redis replication offset.
pub type Lsn = u64;

#[derive(Debug, Default)]
struct Log {
    start: Lsn,
    end: Lsn,
    /// Records, each with the position of its first byte.
    kept: VecDeque<(Lsn, Bytes)>,
    selected: Option<u32>,
    wakers: Vec<Waker>,
}

/// The log of one server.
#[derive(Debug)]
pub struct Journal {
    log: Mutex<Log>,
    end: AtomicU64,
    readers: AtomicUsize,
    bytes_max: usize,
}

/// A reader wanted what is not kept any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reader is at {wanted}, but the log begins at {start}")]
pub struct Lagged {
    /// Where the reader was.
    pub wanted: Lsn,
    /// Where the log begins.
    pub start: Lsn,
}

impl Journal {
    /// An empty log that keeps about `bytes_max` bytes for readers that are behind.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            log: Mutex::default(),
            end: AtomicU64::new(0),
            readers: AtomicUsize::new(0),
            bytes_max,
        }
    }

    /// Whether anybody reads. If not, effects need not be recorded.
    #[inline]
    pub fn is_followed(&self) -> bool {
        self.readers.load(Ordering::Relaxed) != 0
    }

    /// Position behind the last record.
    pub fn end(&self) -> Lsn {
        self.end.load(Ordering::Acquire)
    }

    /// Appends one unit's effects and answers the position behind them. The caller holds the locks of every shard that the unit changed.
    pub fn append(&self, record: &Record) -> Lsn {
        if record.is_empty() {
            return self.end();
        }
        let mut log = self.log.lock();
        let mut bytes = Vec::new();
        log.selected = record.encode(log.selected, &mut bytes);
        let start = log.end;
        log.end += bytes.len() as u64;
        log.kept.push_back((start, Bytes::from(bytes)));
        log.forget(self.bytes_max);
        self.end.store(log.end, Ordering::Release);
        let (end, wakers) = (log.end, std::mem::take(&mut log.wakers));
        drop(log);
        wakers.into_iter().for_each(Waker::wake);
        end
    }

    /// Starts to follow from the end of the log. Called while no unit is under way (all shards locked), so that none is half recorded.
    pub fn follow(self: &Arc<Self>) -> Reader {
        self.readers.fetch_add(1, Ordering::SeqCst);
        let mut log = self.log.lock();
        // The first follower knows nothing of what was selected before.
        log.selected = None;
        Reader { journal: Arc::clone(self), at: log.end }
    }
}

impl Log {
    fn forget(&mut self, bytes_max: usize) {
        while (self.end - self.start) as usize > bytes_max && self.kept.len() > 1 {
            let (start, first) = self.kept.pop_front().expect("more than one");
            self.start = start + first.len() as u64;
        }
    }
}

/// A follower of the log.
#[derive(Debug)]
pub struct Reader {
    journal: Arc<Journal>,
    at: Lsn,
}

impl Reader {
    /// Position behind what has been read.
    pub const fn position(&self) -> Lsn {
        self.at
    }

    /// The next record's bytes, or `None` at the end.
    pub fn read(&mut self) -> Result<Option<Bytes>, Lagged> {
        let log = self.journal.log.lock();
        if self.at < log.start {
            return Err(Lagged { wanted: self.at, start: log.start });
        }
        let nth = log.kept.partition_point(|(start, _)| *start < self.at);
        let record = log.kept.get(nth).map(|(_, record)| record.clone());
        self.at += record.as_ref().map_or(0, |record| record.len() as u64);
        Ok(record)
    }

    /// Calls a waker when something is appended.
    pub fn wake_on_append(&self, waker: Waker) {
        self.journal.log.lock().wakers.push(waker);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.journal.readers.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(commands: &[(u32, &[&str])]) -> Record {
        let mut record = Record::default();
        for (db, argv) in commands {
            record.push(*db, argv.iter().map(|arg| arg.as_bytes()));
        }
        record
    }

    #[test]
    fn a_reader_sees_select_only_when_it_changes_and_units_wrapped() {
        let journal = Arc::new(Journal::new(1 << 20));
        let mut reader = journal.follow();
        journal.append(&record(&[(0, &["SET", "k", "v"])]));
        journal.append(&record(&[(0, &["DEL", "k"]), (3, &["DEL", "q"])]));
        assert_eq!(
            &reader.read().unwrap().unwrap()[..],
            b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"
        );
        let unit = reader.read().unwrap().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&unit),
            "*1\r\n$5\r\nMULTI\r\n*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*2\r\n$3\r\nDEL\r\n$1\r\nq\r\n*1\r\n$4\r\nEXEC\r\n"
        );
        assert_eq!(reader.read(), Ok(None));
        assert_eq!(reader.position(), journal.end());
    }

    #[test]
    fn a_reader_that_falls_behind_is_told() {
        let journal = Arc::new(Journal::new(64));
        let mut reader = journal.follow();
        for _ in 0..10 {
            journal.append(&record(&[(0, &["SET", "key", "some value"])]));
        }
        assert!(matches!(reader.read(), Err(Lagged { wanted: 0, .. })));
    }

    #[test]
    fn nobody_follows_after_the_last_reader_left() {
        let journal = Arc::new(Journal::new(64));
        let reader = journal.follow();
        assert!(journal.is_followed());
        drop(reader);
        assert!(!journal.is_followed());
    }
}
