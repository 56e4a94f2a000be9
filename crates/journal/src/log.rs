//! Appending under the shards' locks, and reading behind.
//!
//! ```text
//! | segment | segment | segment | tail      appended to; frozen into a segment when it is read, or large
//! ^ start                       ^     ^ end
//! ```
//!
//! The critical section fixes which database is selected, assigns the LSN and copies a few bytes behind the others, or links many;
//! nothing in it waits. What has been appended is kept up to a bound; a reader that falls further behind is told so with [`Lagged`] and
//! starts anew from a snapshot. For a reader that may lose nothing ([`Journal::follow_all`]) everything is kept until it has read it; when
//! that becomes too much, [`Journal::is_full`] says so, and those who append are to wait before they lock anything.
//!
//! **What an append touches** is one line of memory, that of the lock, and the bytes it adds: two threads that write at the same time pass
//! both from core to core, and each further line would cost as much again. All else is looked at when the end has come to a mark, `look_at`.
//!
//! Invariants:
//! * `end - start` is the number of bytes kept, and `start` the position of the first.
//! * Records are kept whole.
//! * `look_at` is no further than the next position at which there is something to do: whoever changes what it depends on sets it anew.

use std::collections::VecDeque;
use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::yield_now;

use bytes::Bytes;
use spin::mutex::{SpinMutex, SpinMutexGuard};

use crate::record::{Record, select};

/// A position in the log, in bytes; the Redis replication offset.
pub type Lsn = u64;

/// Larger tails are frozen, for what nobody needs to be forgotten piece by piece.
const SEGMENT_BYTES: usize = 64 << 10;

/// Larger records become segments of their own, without being copied under the lock.
const COPIED_BYTES_MAX: usize = 16 << 10;

/// So much that a reader who may lose nothing has not read is too much, as long as nobody says otherwise.
pub const UNREAD_BYTES_MAX: u64 = 64 << 20;

/// What comes next is asked for in pieces of so many bytes.
const LINE_BYTES: usize = 64;

/// Behind so many lines the processor sees by itself where this goes.
const LINES_AHEAD: usize = 8;

/// Who finds the log held looks again so often, which is many times as long as a record takes to be copied, and then leaves the core to
/// others, of whom the holder may be one. Nobody is put to sleep: to wake somebody costs as much as ten records.
const LOOKS: u32 = 200;

/// Bytes that do not change any more.
#[derive(Debug)]
struct Segment {
    start: Lsn,
    bytes: Bytes,
    /// Where its records end, counted from `start`.
    ends: Vec<u32>,
}

/// What is appended to.
#[derive(Debug)]
struct Log {
    tail: Vec<u8>,
    /// Behind this position there is something to do besides appending.
    look_at: Lsn,
    selected: Option<u32>,
    kept: Box<Kept>,
}

/// What is not looked at for each record.
#[derive(Debug)]
struct Kept {
    /// Position of the first byte that is kept.
    start: Lsn,
    segments: VecDeque<Segment>,
    /// Where the records of the tail end.
    tail_ends: Vec<u32>,
    /// Readers that are told when they have fallen behind. Where records end is noted for them alone.
    lossy: usize,
    /// Where those are that may lose nothing.
    anchors: Vec<Arc<AtomicU64>>,
    /// The least of those, or [`Lsn::MAX`].
    slowest: Lsn,
    /// So much that a reader who may lose nothing has not read is too much.
    unread_max: u64,
    /// About so much is kept for readers that are behind.
    bytes_max: usize,
}

/// The log of one server.
#[derive(Debug)]
pub struct Journal {
    hot: Hot,
    readers: AtomicUsize,
    is_full: AtomicBool,
}

/// One line: the lock, what it protects, and the position behind the last record, which is changed under it.
#[derive(Debug)]
#[repr(C, align(128))]
struct Hot {
    log: SpinMutex<Log>,
    end: AtomicU64,
}

const _: () = assert!(std::mem::offset_of!(Hot, end) + size_of::<Lsn>() <= LINE_BYTES);

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
        let kept = Kept {
            start: 0,
            segments: VecDeque::new(),
            tail_ends: Vec::new(),
            lossy: 0,
            anchors: Vec::new(),
            slowest: Lsn::MAX,
            unread_max: UNREAD_BYTES_MAX,
            bytes_max,
        };
        let log = Log { tail: Vec::new(), look_at: 0, selected: None, kept: Box::new(kept) };
        Self {
            hot: Hot { log: SpinMutex::new(log), end: AtomicU64::new(0) },
            readers: AtomicUsize::new(0),
            is_full: AtomicBool::new(false),
        }
    }

    #[inline]
    fn hold(&self) -> SpinMutexGuard<'_, Log> {
        self.hot.log.try_lock().unwrap_or_else(|| self.hold_slow())
    }

    #[cold]
    fn hold_slow(&self) -> SpinMutexGuard<'_, Log> {
        loop {
            for _ in 0..LOOKS {
                if !self.hot.log.is_locked()
                    && let Some(log) = self.hot.log.try_lock()
                {
                    return log;
                }
                spin_loop();
            }
            yield_now();
        }
    }

    /// Whether anybody reads. If not, effects need not be recorded.
    #[inline]
    pub fn is_followed(&self) -> bool {
        self.readers.load(Ordering::Relaxed) != 0
    }

    /// Whether a reader that may lose nothing has too much to read.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// Says how much a reader that may lose nothing may have to read before that is too much.
    pub fn bound_unread(&self, bytes: u64) {
        let mut log = self.hold();
        log.kept.unread_max = bytes;
        log.mark();
    }

    /// Bytes that a reader that may lose nothing has yet to read.
    pub fn unread(&self) -> u64 {
        self.hold().unread()
    }

    /// Position behind the last record.
    pub fn end(&self) -> Lsn {
        self.hot.end.load(Ordering::Acquire)
    }

    /// Appends one unit's effects and answers the position behind them; the record is empty then. The caller holds the locks of every
    /// shard that the unit changed.
    ///
    /// `prefetch` brings memory towards the cache, to be written. As much as was appended now is asked for behind it, for the next record:
    /// letting the lock go waits for every byte that was written under it.
    pub fn append(&self, record: &mut Record, prefetch: impl Fn(*const u8)) -> Lsn {
        let Some((first, last)) = record.databases() else { return self.end() };
        let place = record.close();
        let bytes = if record.bytes().len() > COPIED_BYTES_MAX {
            Bytes::from(record.take()).into()
        } else {
            record.bytes().into()
        };
        let end = self.put(Closed { first, last, place, bytes }, prefetch);
        record.clear();
        end
    }

    /// As [`Journal::append`], for a unit of one command, as it came over the wire; see [`Record::push_wire`].
    #[inline]
    pub fn append_wire(&self, db: u32, wire: &[u8], prefetch: impl Fn(*const u8)) -> Lsn {
        let bytes = if wire.len() > COPIED_BYTES_MAX {
            Bytes::copy_from_slice(wire).into()
        } else {
            wire.into()
        };
        self.put(Closed { first: db, last: db, place: 0, bytes }, prefetch)
    }

    fn put(&self, record: Closed<'_>, prefetch: impl Fn(*const u8)) -> Lsn {
        let bytes = record.bytes.len();
        let mut log = self.hold();
        let end = self.hot.end.load(Ordering::Relaxed) + log.add(record);
        self.hot.end.store(end, Ordering::Release);
        log.ahead(bytes).for_each(prefetch);
        if end >= log.look_at {
            self.look(log);
        }
        end
    }

    /// What there is to do besides appending, now and then.
    #[cold]
    fn look(&self, mut log: SpinMutexGuard<'_, Log>) {
        log.note_end();
        if log.tail.len() >= log.kept.segment_bytes() {
            log.freeze();
        }
        log.forget();
        if log.unread() > log.kept.unread_max {
            self.is_full.store(true, Ordering::Relaxed);
        }
        log.mark();
    }

    /// Starts to follow from the end of the log. Called while no unit is under way (all shards locked), so that none is half recorded.
    pub fn follow(self: &Arc<Self>) -> Reader {
        self.readers.fetch_add(1, Ordering::SeqCst);
        let mut log = self.hold();
        log.kept.lossy += 1;
        // From here on it is noted where records end.
        log.freeze();
        log.mark();
        self.reader(&mut log, None)
    }

    /// As [`Journal::follow`], for a reader that may lose nothing.
    pub fn follow_all(self: &Arc<Self>) -> Reader {
        self.readers.fetch_add(1, Ordering::SeqCst);
        let mut log = self.hold();
        let anchor = Arc::new(AtomicU64::new(log.end()));
        log.kept.anchors.push(Arc::clone(&anchor));
        log.find_slowest();
        log.mark();
        self.reader(&mut log, Some(anchor))
    }

    fn reader(self: &Arc<Self>, log: &mut Log, anchor: Option<Arc<AtomicU64>>) -> Reader {
        // The first follower knows nothing of what was selected before.
        log.selected = None;
        let stop = Arc::new(AtomicU64::new(Lsn::MAX));
        Reader { journal: Arc::clone(self), at: log.end(), stop, anchor }
    }

    /// What comes from here on belongs to another file of a reader: it stops here until [`Reader::go_on`], and the stream says anew which
    /// database is selected. Called while no unit is under way.
    pub fn cut(&self, stop: &Stop) -> Lsn {
        let mut log = self.hold();
        log.freeze();
        log.mark();
        log.selected = None;
        stop.0.store(log.end(), Ordering::Release);
        log.end()
    }
}

/// Where a reader is to stop.
#[derive(Clone, Debug)]
pub struct Stop(Arc<AtomicU64>);

impl Log {
    /// Adds a record, with a SELECT where it wants one. Answers how many bytes that made.
    #[inline]
    fn add(&mut self, record: Closed<'_>) -> u64 {
        let is_selected = self.selected.replace(record.last) == Some(record.first);
        let mut rest = match record.bytes {
            Run::Copied(bytes) => bytes,
            Run::Linked(bytes) if is_selected => return self.link(bytes),
            Run::Linked(bytes) => return self.link(selecting(record.first, record.place, &bytes)),
        };
        let before = self.tail.len();
        if !is_selected {
            let begin = rest.split_off(..record.place).unwrap_or_default();
            self.tail.extend_from_slice(begin);
            select(record.first, &mut self.tail);
        }
        self.tail.extend_from_slice(rest);
        (self.tail.len() - before) as u64
    }

    /// Adds a record as a segment of its own.
    #[cold]
    fn link(&mut self, bytes: Bytes) -> u64 {
        self.freeze();
        let len = bytes.len();
        self.kept.push(bytes, vec![u32::try_from(len).unwrap_or(u32::MAX)]);
        self.look_at = 0;
        len as u64
    }

    /// The lines of memory that the next `bytes` bytes are going to reach, behind the one in which the tail ends.
    #[inline]
    fn ahead(&self, bytes: usize) -> impl Iterator<Item = *const u8> + use<> {
        let next = self.tail.as_ptr().wrapping_add(self.tail.len());
        (1..=bytes / LINE_BYTES + 1)
            .take(LINES_AHEAD)
            .map(move |nth| next.wrapping_add(nth * LINE_BYTES))
    }

    /// Position behind the last record.
    fn end(&self) -> Lsn {
        self.kept.end() + self.tail.len() as u64
    }

    /// Notes where the last record of the tail ends, if anybody reads record by record.
    fn note_end(&mut self) {
        if self.kept.lossy > 0 && !self.tail.is_empty() {
            self.kept.tail_ends.push(self.tail.len() as u32);
        }
    }

    /// Sets the mark where there is something to do next: at each record where it is noted where they end; otherwise when the tail is large or
    /// too much has not been read.
    fn mark(&mut self) {
        let kept = &self.kept;
        self.look_at = if kept.lossy > 0 {
            0
        } else {
            let large = kept.end() + kept.segment_bytes() as u64;
            let full = kept.slowest.saturating_add(kept.unread_max);
            large.min(full)
        };
    }

    /// Makes a segment of the tail.
    fn freeze(&mut self) {
        if !self.tail.is_empty() {
            let room = self.tail.len().next_power_of_two().min(SEGMENT_BYTES + COPIED_BYTES_MAX);
            let bytes = std::mem::replace(&mut self.tail, Vec::with_capacity(room));
            // As many records as a rule make up the next one.
            let room = Vec::with_capacity(self.kept.tail_ends.len());
            let ends = std::mem::replace(&mut self.kept.tail_ends, room);
            self.kept.push(bytes.into(), ends);
        }
    }

    /// Bytes that somebody who may lose nothing has not read.
    fn unread(&self) -> u64 {
        self.end().saturating_sub(self.kept.slowest)
    }

    /// After each change of who follows and may lose nothing, or of where they are.
    fn find_slowest(&mut self) {
        let anchors = self.kept.anchors.iter().map(|anchor| anchor.load(Ordering::Relaxed));
        self.kept.slowest = anchors.min().unwrap_or(Lsn::MAX);
    }

    /// Forgets what nobody needs: all but `bytes_max` bytes for readers that may fall behind, and what others have not read.
    fn forget(&mut self) {
        let (end, unread, kept) = (self.end(), self.unread(), &mut self.kept);
        let room = if kept.lossy > 0 { kept.bytes_max as u64 } else { 0 };
        let needed = end.saturating_sub(room).min(end - unread);
        while kept.segments.front().is_some_and(|first| first.end() <= needed) {
            kept.start = kept.segments.pop_front().map_or(kept.start, |first| first.end());
        }
    }

    /// The segment in which a position lies, and where in it.
    fn find(&self, at: Lsn) -> Option<(&Segment, usize)> {
        let segments = &self.kept.segments;
        let nth = segments.partition_point(|segment| segment.end() <= at);
        segments.get(nth).map(|segment| (segment, (at - segment.start) as usize))
    }
}

impl Kept {
    /// Position behind the last segment.
    fn end(&self) -> Lsn {
        self.segments.back().map_or(self.start, Segment::end)
    }

    /// Larger tails are frozen.
    fn segment_bytes(&self) -> usize {
        SEGMENT_BYTES.min(self.bytes_max)
    }

    fn push(&mut self, bytes: Bytes, ends: Vec<u32>) {
        let start = self.end();
        self.segments.push_back(Segment { start, bytes, ends });
    }
}

/// A record as it stands in the stream, but for a SELECT.
struct Closed<'a> {
    /// What its first command is for.
    first: u32,
    /// What its last one is for.
    last: u32,
    /// Where a SELECT belongs.
    place: usize,
    bytes: Run<'a>,
}

/// Bytes that are copied behind others, or become a segment of their own.
enum Run<'a> {
    Copied(&'a [u8]),
    Linked(Bytes),
}

impl Run<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Copied(bytes) => bytes.len(),
            Self::Linked(bytes) => bytes.len(),
        }
    }
}

impl<'a> From<&'a [u8]> for Run<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Copied(bytes)
    }
}

impl From<Bytes> for Run<'_> {
    fn from(bytes: Bytes) -> Self {
        Self::Linked(bytes)
    }
}

/// A record with a SELECT in it.
fn selecting(db: u32, place: usize, record: &[u8]) -> Bytes {
    let (begin, rest) = record.split_at(place);
    let mut bytes = Vec::with_capacity(record.len() + 32);
    bytes.extend_from_slice(begin);
    select(db, &mut bytes);
    bytes.extend_from_slice(rest);
    bytes.into()
}

impl Segment {
    fn end(&self) -> Lsn {
        self.start + self.bytes.len() as u64
    }

    /// Where the record ends in which `at` lies.
    fn end_of_record(&self, at: usize) -> usize {
        let nth = self.ends.partition_point(|end| *end as usize <= at);
        // A record of more than four gigabytes is alone in its segment.
        self.ends.get(nth).map_or(self.bytes.len(), |end| *end as usize).min(self.bytes.len())
    }
}

/// A follower of the log.
#[derive(Debug)]
pub struct Reader {
    journal: Arc<Journal>,
    at: Lsn,
    stop: Arc<AtomicU64>,
    anchor: Option<Arc<AtomicU64>>,
}

impl Reader {
    /// Position behind what has been read.
    pub const fn position(&self) -> Lsn {
        self.at
    }

    /// The next record's bytes, or `None` at the end.
    pub fn read(&mut self) -> Result<Option<Bytes>, Lagged> {
        self.take(Segment::end_of_record)
    }

    /// The bytes of the next records, as many as lie together, or `None` at the end.
    pub fn read_some(&mut self) -> Result<Option<Bytes>, Lagged> {
        self.take(|segment, _| segment.bytes.len())
    }

    fn take(&mut self, until: impl Fn(&Segment, usize) -> usize) -> Result<Option<Bytes>, Lagged> {
        let mut log = self.journal.hold();
        if self.at < log.kept.start {
            return Err(Lagged { wanted: self.at, start: log.kept.start });
        }
        if self.at == log.end() || self.at == self.stop.load(Ordering::Acquire) {
            return Ok(None);
        }
        if log.kept.end() <= self.at {
            log.freeze();
        }
        let Some((segment, from)) = log.find(self.at) else { return Ok(None) };
        let bytes = segment.bytes.slice(from..until(segment, from));
        self.at += bytes.len() as u64;
        if let Some(anchor) = &self.anchor {
            anchor.store(self.at, Ordering::Relaxed);
            log.find_slowest();
            log.forget();
            if log.unread() <= log.kept.unread_max / 2 {
                self.journal.is_full.store(false, Ordering::Relaxed);
            }
        }
        log.mark();
        Ok(Some(bytes))
    }

    /// What tells this reader to stop; see [`Journal::cut`].
    pub fn stop(&self) -> Stop {
        Stop(Arc::clone(&self.stop))
    }

    /// Whether it stands where it was told to stop.
    pub fn has_stopped(&self) -> bool {
        self.at == self.stop.load(Ordering::Acquire)
    }

    /// Reads on behind where it was told to stop.
    pub fn go_on(&mut self) {
        self.stop.store(Lsn::MAX, Ordering::Release);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut log = self.journal.hold();
        match &self.anchor {
            None => log.kept.lossy -= 1,
            Some(own) => log.kept.anchors.retain(|anchor| !Arc::ptr_eq(anchor, own)),
        }
        log.find_slowest();
        log.mark();
        if log.kept.anchors.is_empty() {
            self.journal.is_full.store(false, Ordering::Relaxed);
        }
        drop(log);
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

    fn append(journal: &Journal, record: &mut Record) {
        journal.append(record, |_| {});
    }

    #[test]
    fn a_reader_sees_select_only_when_it_changes_and_units_wrapped() {
        let journal = Arc::new(Journal::new(1 << 20));
        let mut reader = journal.follow();
        append(&journal, &mut record(&[(0, &["SET", "k", "v"])]));
        append(&journal, &mut record(&[(0, &["DEL", "k"]), (3, &["DEL", "q"])]));
        assert_eq!(
            &reader.read().unwrap().unwrap()[..],
            b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"
        );
        let unit = reader.read().unwrap().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&unit),
            "*1\r\n$5\r\nMULTI\r\n*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*2\r\n$3\r\nDEL\r\n$1\r\nq\r\n*1\r\n$4\r\nEXEC\r\n"
        );
        let large = "v".repeat(COPIED_BYTES_MAX);
        for value in ["v", &large] {
            append(&journal, &mut record(&[(0, &["SET", "k", value]), (5, &["DEL", "q"])]));
            let unit = reader.read().unwrap().unwrap();
            let begin = "*1\r\n$5\r\nMULTI\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n";
            assert!(unit.starts_with(begin.as_bytes()), "{}", unit[..80].escape_ascii());
        }
        assert_eq!(reader.read(), Ok(None));
        assert_eq!(reader.position(), journal.end());
    }

    #[test]
    fn a_reader_that_falls_behind_is_told() {
        let journal = Arc::new(Journal::new(64));
        let mut reader = journal.follow();
        for _ in 0..10 {
            append(&journal, &mut record(&[(0, &["SET", "key", "some value"])]));
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

    #[test]
    fn for_a_reader_that_may_lose_nothing_everything_is_kept() {
        let journal = Arc::new(Journal::new(64));
        let mut reader = journal.follow_all();
        let large = "v".repeat(COPIED_BYTES_MAX);
        let mut all = Vec::new();
        for n in 0..100 {
            append(
                &journal,
                &mut record(&[(0, &["SET", "key", if n % 7 == 0 { &large } else { "v" }])]),
            );
        }
        while let Some(bytes) = reader.read_some().unwrap() {
            all.extend_from_slice(&bytes);
        }
        assert_eq!((all.len() as u64, reader.position()), (journal.end(), journal.end()));
        assert_eq!(all.windows(3).filter(|w| w == b"SET").count(), 100);
        let log = journal.hold();
        assert_eq!((log.kept.start, log.kept.segments.len()), (log.end(), 0), "nobody needs it");
    }

    #[test]
    fn a_request_as_it_came_is_appended_as_a_record_of_it_would_be() {
        for bytes in [1, COPIED_BYTES_MAX, COPIED_BYTES_MAX + 1] {
            let unit = record(&[(7, &["SET", "key", &"v".repeat(bytes)])]);
            let wire = unit.bytes().to_vec();
            let streams = [false, true].map(|as_it_came| {
                let journal = Arc::new(Journal::new(1 << 20));
                let mut reader = journal.follow();
                for _ in 0..3 {
                    if as_it_came {
                        journal.append_wire(7, &wire, |_| {});
                    } else {
                        append(&journal, &mut unit.clone());
                    }
                }
                std::iter::from_fn(|| reader.read().unwrap()).collect::<Vec<_>>()
            });
            assert_eq!(streams[0], streams[1]);
            assert_eq!(streams[1].len(), 3, "records are read one by one");
        }
    }

    #[test]
    fn many_small_records_are_frozen_together_and_fill_the_log_too() {
        let journal = Arc::new(Journal::new(16 << 20));
        let mut reader = journal.follow_all();
        journal.bound_unread(200_000);
        for _ in (0..10_000).take_while(|_| !journal.is_full()) {
            append(&journal, &mut record(&[(0, &["SET", "key", "v"])]));
        }
        let unread = journal.unread();
        assert!((200_001..200_064).contains(&unread), "full with {unread} bytes");
        let first = reader.read_some().unwrap().expect("much");
        assert!((0..64).contains(&(first.len() - SEGMENT_BYTES)), "{} bytes", first.len());
    }

    #[test]
    fn what_threads_append_at_once_stands_whole_and_in_the_order_of_each() {
        let (journal, each) = (Arc::new(Journal::new(1 << 20)), 5_000);
        let mut reader = journal.follow_all();
        let append = |thread: usize| {
            for nth in 0..each {
                journal.append_wire(0, format!("{thread}:{nth}\n").as_bytes(), |_| {});
            }
        };
        let mut all = Vec::new();
        std::thread::scope(|scope| {
            let append = &append;
            let threads = [0, 1, 2, 3].map(|thread| scope.spawn(move || append(thread)));
            let mut is_over = false;
            while !is_over {
                is_over = threads.iter().all(std::thread::ScopedJoinHandle::is_finished);
                while let Some(bytes) = reader.read_some().unwrap() {
                    all.extend_from_slice(&bytes);
                }
            }
        });
        assert_eq!(all.len() as u64, journal.end());
        let all = String::from_utf8(all).unwrap();
        let records = all.strip_prefix("*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n").expect("a SELECT");
        let mut next = [0; 4];
        for record in records.lines() {
            let (thread, nth) = record.split_once(':').unwrap();
            let next = &mut next[thread.parse::<usize>().unwrap()];
            assert_eq!(nth.parse(), Ok(*next));
            *next += 1;
        }
        assert_eq!(next, [each; 4]);
    }

    #[test]
    fn a_reader_that_is_far_behind_fills_the_log() {
        let journal = Arc::new(Journal::new(64));
        let mut reader = journal.follow_all();
        let large = "v".repeat(1 << 20);
        for _ in 0..70 {
            append(&journal, &mut record(&[(0, &["SET", "key", &large])]));
        }
        assert!(journal.is_full());
        while reader.read_some().unwrap().is_some() {}
        assert!(!journal.is_full());
        journal.bound_unread(3 << 20);
        for has_filled in [false, false, true] {
            append(&journal, &mut record(&[(0, &["SET", "key", &large])]));
            assert_eq!(journal.is_full(), has_filled, "{} bytes", journal.unread());
        }
        drop(reader.read_some().unwrap());
        assert!(journal.is_full(), "more than half of the bound is still to be read");
        drop(reader.read_some().unwrap());
        assert!(!journal.is_full());
    }

    #[test]
    fn a_reader_stops_at_a_cut_and_reads_on_with_a_select() {
        let journal = Arc::new(Journal::new(1 << 20));
        let mut reader = journal.follow_all();
        append(&journal, &mut record(&[(0, &["DEL", "a"])]));
        assert_eq!(journal.cut(&reader.stop()), journal.end());
        append(&journal, &mut record(&[(0, &["DEL", "b"])]));
        assert!(reader.read_some().unwrap().is_some_and(|bytes| bytes.ends_with(b"a\r\n")));
        assert!(reader.has_stopped() && reader.read_some() == Ok(None));
        reader.go_on();
        let next = reader.read_some().unwrap().expect("it goes on");
        assert!(next.starts_with(b"*2\r\n$6\r\nSELECT") && next.ends_with(b"b\r\n"));
    }
}
