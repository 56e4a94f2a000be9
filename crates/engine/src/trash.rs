//! Large values on their way out.
//!
//! Freeing a big value takes long, so no command does it: the door of a shard throws it here, and a thread of the server empties the
//! bin. What lies here is no data any more, but it is memory: its bytes are counted until they are gone.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::entry::Large;
use crate::sync::yield_now;
use crate::table::Table;

/// Values that cost more than this many allocations to free go to the bin.
pub const COST_MIN: usize = 64;

/// Something to be freed.
#[derive(Debug)]
pub enum Garbage {
    /// A large value.
    Value(Large),
    /// A whole table, after FLUSHALL.
    Table(Box<Table>),
}

/// Something to be freed, and its bytes.
type Piece = (Garbage, usize);

/// The bin.
#[derive(Default)]
pub struct Trash {
    bin: Mutex<Vec<Piece>>,
    filled: Condvar,
    /// Objects thrown in and freed.
    thrown: AtomicU64,
    freed: AtomicU64,
    /// Bytes thrown in and not yet freed.
    bytes: AtomicUsize,
    /// What `freed` was when the count was last set back.
    freed_before: AtomicU64,
}

impl fmt::Debug for Trash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trash(pending: {})", self.pending())
    }
}

impl Trash {
    /// Throws a value in, or frees it here if that is cheap.
    pub fn throw(&self, large: Large) {
        if large.free_cost() >= COST_MIN {
            let bytes = large.heap_bytes();
            self.push(Garbage::Value(large), bytes);
        }
    }

    /// Throws a whole table in, which takes so many bytes with its entries.
    pub fn throw_table(&self, table: Table, bytes: usize) {
        if !table.is_empty() {
            self.push(Garbage::Table(Box::new(table)), bytes);
        }
    }

    fn push(&self, garbage: Garbage, bytes: usize) {
        self.thrown.fetch_add(weight(&garbage), Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bin.lock().push((garbage, bytes));
        self.filled.notify_one();
    }

    /// Waits until something is there, and frees it. Called by one thread for ever.
    pub fn empty_once(&self) {
        let mut bin = self.bin.lock();
        self.filled.wait_while(&mut bin, |bin| bin.is_empty());
        let garbage = std::mem::take(&mut *bin);
        drop(bin);
        for (piece, bytes) in garbage {
            let weight = weight(&piece);
            drop(piece);
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.freed.fetch_add(weight, Ordering::Relaxed);
        }
    }

    /// Objects that wait to be freed.
    pub fn pending(&self) -> u64 {
        self.thrown.load(Ordering::Relaxed).saturating_sub(self.freed.load(Ordering::Relaxed))
    }

    /// Bytes that wait to be freed.
    pub fn pending_bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Waits until no more than `bytes` wait to be freed, or until it `is_late`. For those who hold no lock.
    pub fn wait_below(&self, bytes: usize, is_late: impl Fn() -> bool) {
        while self.pending_bytes() > bytes && !is_late() {
            yield_now();
        }
    }

    /// Objects freed here since the start, or since [`Trash::reset`].
    pub fn freed(&self) -> u64 {
        let before = self.freed_before.load(Ordering::Relaxed);
        self.freed.load(Ordering::Relaxed).saturating_sub(before)
    }

    /// Counts what is freed from zero again.
    pub fn reset(&self) {
        self.freed_before.store(self.freed.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

fn weight(garbage: &Garbage) -> u64 {
    match garbage {
        Garbage::Value(_) => 1,
        Garbage::Table(table) => table.len() as u64,
    }
}
