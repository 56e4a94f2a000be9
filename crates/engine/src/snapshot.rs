//! A point in time without fork.
//!
//! ```text
//! all locks, briefly:   every shard's mark turns over: what has the old mark is not saved, what has the new one is
//! the walk:             shard by shard, slice by slice: what has the old mark is written and marked
//! the door of a shard:  what has the old mark and is about to change is written first, into the shard's images
//! ```
//!
//! So each entry that was there at the moment of the turn is written once, as it was at that moment, and nothing else is. New entries are
//! born with the new mark. When the walk has passed every shard, all entries have the new mark, and the next snapshot turns it again: one
//! bit is enough, because a snapshot that has failed still walks to its end, *mute*: it marks and writes nothing.
//!
//! Large strings are pinned, which is one reference. Large collections are written in pieces by the walk; who wants to change one
//! meanwhile is told to come again ([`Shard::is_closed`](crate::Shard::is_closed)) and the collection is written next. Whoever does not
//! ask and changes it all the same has it written to its end first, however long that takes. One that is removed unasked, since it has
//! ended, goes to the snapshot as it is.
//!
//! FLUSHALL gives its tables to the snapshot. SWAPDB takes the snapshot's numbers of databases along. RENAME and MOVE go through the door
//! under the old name, and what they put in is new.
//!
//! Invariants:
//! * While a shard is not being saved, all its entries have its mark.
//! * A record is written to its end before another one begins: pieces of one collection stand together.
//! * Who produces parts never waits: beyond a bound the [`Scribe`] is told, who keeps writers away from the locks.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::collections::chunks::Chunks;
use crate::entry::Entry;
use crate::table::Table;

/// Collections of more bytes are written in pieces.
pub const WHOLE_BYTES_MAX: usize = 64 << 10;

/// Where a collection that is written in pieces goes on; only a [`Pen`] knows what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Of a collection that has parts, which.
    pub part: u32,
    /// Where in it.
    pub at: u128,
}

/// Writes entries in the format of a snapshot.
pub trait Pen: Send + Debug {
    /// Writes a whole entry. O(n).
    fn whole(&mut self, entry: &Entry, out: &mut Vec<u8>);

    /// Writes a piece of an entry, from `place` on or, without one, from the beginning. Answers where to go on. Between two pieces the
    /// entry does not change.
    fn piece(&mut self, entry: &Entry, place: Option<Place>, out: &mut Vec<u8>) -> Option<Place>;

    /// Writes what stands before the type of an entry.
    fn before(&mut self, entry: &Entry, out: &mut Vec<u8>);
}

/// Whoever wanted the snapshot.
pub trait Scribe: Send + Sync + Debug {
    /// A pen for the door of a shard, under its lock: it should be quick rather than thrifty.
    fn pen(&self) -> Box<dyn Pen>;

    /// More waits to be written than may, or no more than that. Writers are to be kept away from the locks meanwhile.
    fn pressed(&self, is_full: bool);
}

/// Something to be written.
#[derive(Debug)]
pub enum Part {
    /// Whole records.
    Records {
        /// Of which database.
        db: u32,
        /// Their bytes.
        bytes: Vec<u8>,
        /// How many there are.
        keys: u64,
    },
    /// A part of one record.
    Piece {
        /// Of which database.
        db: u32,
        /// Its bytes.
        bytes: Vec<u8>,
        /// Whether the record ends with it.
        is_last: bool,
    },
    /// A large string, pinned.
    Text {
        /// Of which database.
        db: u32,
        /// What stands before its type.
        before: Vec<u8>,
        /// Its name.
        name: Box<[u8]>,
        /// The string.
        chunks: Chunks,
    },
    /// What a database had before it was emptied; entries with the mark are saved.
    Table {
        /// Which database.
        db: u32,
        /// Its entries.
        table: Box<Table>,
        /// The mark.
        mark: bool,
    },
}

impl Part {
    /// Bytes that it keeps in memory.
    fn bytes(&self) -> usize {
        match self {
            Self::Records { bytes, .. } | Self::Piece { bytes, .. } => bytes.capacity(),
            Self::Text { before, name, chunks, .. } => before.len() + name.len() + chunks.len(),
            // What is in it was data a moment ago, and there is no more of it than there was.
            Self::Table { .. } => 0,
        }
    }
}

/// A snapshot under way.
#[derive(Debug)]
pub struct Epoch {
    scribe: Arc<dyn Scribe>,
    parts: Mutex<VecDeque<Part>>,
    waiting_bytes: AtomicUsize,
    waiting_bytes_max: usize,
    is_full: AtomicBool,
    is_mute: AtomicBool,
    /// Shards with a collection that a client waits for.
    wanted: Mutex<Vec<u32>>,
}

impl Epoch {
    /// A snapshot for `scribe`, who is told when more than `waiting_bytes_max` wait to be written.
    pub fn new(scribe: Arc<dyn Scribe>, waiting_bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            scribe,
            parts: Mutex::default(),
            waiting_bytes: AtomicUsize::new(0),
            waiting_bytes_max,
            is_full: AtomicBool::new(false),
            is_mute: AtomicBool::new(false),
            wanted: Mutex::default(),
        })
    }

    pub(crate) fn pen(&self) -> Box<dyn Pen> {
        self.scribe.pen()
    }

    /// From here on nothing is written, only marked: the snapshot has failed.
    pub fn mute(&self) {
        self.is_mute.store(true, Ordering::Relaxed);
        self.take();
    }

    /// Whether the snapshot has failed.
    pub fn is_mute(&self) -> bool {
        self.is_mute.load(Ordering::Relaxed)
    }

    pub(crate) fn push(&self, part: Part) {
        if self.is_mute() {
            return;
        }
        let bytes = part.bytes();
        let waiting = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.parts.lock().push_back(part);
        if waiting > self.waiting_bytes_max && !self.is_full.swap(true, Ordering::AcqRel) {
            self.scribe.pressed(true);
        }
    }

    /// Takes everything that waits to be written.
    pub fn take(&self) -> VecDeque<Part> {
        let mut parts = self.parts.lock();
        let taken = std::mem::take(&mut *parts);
        self.waiting_bytes.store(0, Ordering::Relaxed);
        drop(parts);
        if self.is_full.swap(false, Ordering::AcqRel) {
            self.scribe.pressed(false);
        }
        taken
    }

    /// Whether so much has come to wait that whoever writes should make haste: a fourth of what may.
    pub fn presses(&self) -> bool {
        self.waiting_bytes.load(Ordering::Relaxed) > self.waiting_bytes_max / 4
    }

    pub(crate) fn want(&self, shard: u32) {
        let mut wanted = self.wanted.lock();
        if !wanted.contains(&shard) {
            wanted.push(shard);
        }
    }

    /// The shards with collections that clients wait for.
    pub fn take_wanted(&self) -> Vec<u32> {
        std::mem::take(&mut *self.wanted.lock())
    }
}

/// Whether an entry is not written in one go.
pub(crate) fn is_large(entry: &Entry) -> bool {
    use crate::value::View;
    match entry.view() {
        View::Chunks(_) => true,
        View::Object(object) => object.heap_bytes() > WHOLE_BYTES_MAX,
        View::Short(_) | View::Int(_) => false,
    }
}
