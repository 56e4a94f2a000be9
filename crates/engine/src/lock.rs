//! Many locks, taken in ascending order, by one function, and never waited for long.
//!
//! A lock is one word. Taking a free one is one compare-and-swap, freeing it one swap. A thread that finds it held spins shortly, yields
//! a few times (the holder may be waiting for this very core), and then gives up: it drops whatever it took and says [`Busy`]. Who wants
//! to wait longer leaves a [`Waker`] with [`Locks::queue`] and does other work; the holder wakes all who wait when it lets go. No thread
//! is ever parked here, since a parked thread would be a hundred dead clients.
//!
//! Invariants:
//! * Within one thread, locks are taken in ascending order and only through [`Locks::hold`]; so there is no cycle of waiting. Who adds one
//!   out of order ([`Held::insert`]) has waited for it with a patience that ends, and goes without it then.
//! * The value of a cell is reached only through the one [`Guard`] of the thread that set `HELD`.
//! * `QUEUED` is set while wakers wait, so that the holder looks at the queue only when somebody is in it.

use std::cell::UnsafeCell;
use std::fmt;
use std::task::Waker;

use smallvec::SmallVec;

use crate::sync::{AtomicU32, Mutex, Ordering, spin_loop, yield_now};

const FREE: u32 = 0;
const HELD: u32 = 1;
const QUEUED: u32 = 2;
const LONG: u32 = 4;

/// What a lock protects, as far as the lock must know it.
pub trait Protected {
    /// Whether it is in the middle of a change. A panic that unwinds through a guard in this state ends the process: a half-changed
    /// shard is not served.
    fn is_half_changed(&self) -> bool;
}

/// How long to wait for one lock before giving up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    spins: u32,
    yields: u32,
    /// Whether it waits even for who has said that it takes long.
    awaits_long: bool,
}

impl Patience {
    /// Look once.
    pub const NONE: Self = Self { spins: 0, yields: 0, awaits_long: false };
    /// About 50 microseconds.
    pub const SHORT: Self = Self { spins: 200, yields: 40, awaits_long: false };
    /// For threads that serve nobody and hold nothing that others want: until it is free.
    pub const ENDLESS: Self = Self { spins: 200, yields: u32::MAX, awaits_long: true };
    /// For threads that serve nobody: until it is free, unless its holder has said that it takes long.
    pub const STEADY: Self = Self { spins: 200, yields: u32::MAX, awaits_long: false };

    /// Patience grows with every retry, so that a plan of many shards gets its turn among plans of one.
    #[must_use]
    pub const fn after(retries: u32) -> Self {
        let retries = if retries > 6 { 6 } else { retries };
        Self { spins: 200 << retries, yields: 40 << retries, awaits_long: false }
    }
}

/// The lock that could not be had, by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy(pub u32);

/// A lock and what it protects, on cache lines of its own.
#[repr(C, align(128))]
struct Cell<T> {
    word: AtomicU32,
    index: u32,
    value: UnsafeCell<T>,
    queue: Mutex<Vec<Waker>>,
}

// SAFETY: the value is reached only by the thread that holds the lock (see the invariants), so T moves between threads but is never
// shared; everything else in a cell is Sync.
unsafe impl<T: Send> Sync for Cell<T> {}

impl<T> Cell<T> {
    #[inline]
    fn try_hold(&self) -> bool {
        self.word.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
            || self.try_hold_marked()
    }

    /// Free, but with others in the queue.
    #[cold]
    fn try_hold_marked(&self) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        word & HELD == 0
            && self
                .word
                .compare_exchange(word, word | HELD, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }

    #[inline]
    fn hold(&self, patience: Patience) -> bool {
        self.try_hold() || self.hold_slow(patience)
    }

    #[cold]
    fn hold_slow(&self, patience: Patience) -> bool {
        for _ in 0..patience.spins {
            let word = self.word.load(Ordering::Relaxed);
            if word & HELD == 0 && self.try_hold() {
                return true;
            }
            if word & LONG != 0 && !patience.awaits_long {
                return false;
            }
            spin_loop();
        }
        let mut yields = 0;
        while yields < patience.yields {
            yield_now();
            if self.try_hold() {
                return true;
            }
            if self.word.load(Ordering::Relaxed) & LONG != 0 && !patience.awaits_long {
                return false;
            }
            yields += u32::from(patience.yields != u32::MAX);
        }
        false
    }

    #[inline]
    fn release(&self) {
        if self.word.swap(FREE, Ordering::Release) & QUEUED != 0 {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        let wakers = std::mem::take(&mut *self.queue.lock());
        wakers.into_iter().for_each(Waker::wake);
    }

    fn wait(&self, waker: Waker) {
        let mut queue = self.queue.lock();
        queue.push(waker);
        if self.word.fetch_or(QUEUED, Ordering::AcqRel) & HELD == 0 {
            // Free already: nobody would come to wake us.
            self.word.fetch_and(!QUEUED, Ordering::AcqRel);
            drop(queue);
            self.wake();
        }
    }
}

/// All locks of a keyspace.
pub struct Locks<T> {
    cells: Box<[Cell<T>]>,
}

impl<T> fmt::Debug for Locks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Locks({})", self.cells.len())
    }
}

impl<T: Protected> Locks<T> {
    /// How many bytes behind its lock a value begins.
    pub(crate) const VALUE_AT: usize = std::mem::offset_of!(Cell<T>, value);

    /// What a lock takes with its value.
    pub(crate) const EACH_BYTES: usize = size_of::<Cell<T>>();

    /// One lock for each value.
    pub fn new(values: impl Iterator<Item = T>) -> Self {
        let cell = |(index, value)| Cell {
            word: AtomicU32::new(FREE),
            index,
            queue: Mutex::new(Vec::new()),
            value: UnsafeCell::new(value),
        };
        Self { cells: (0..).zip(values).map(cell).collect() }
    }

    /// How many locks there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Takes one lock.
    #[inline]
    pub fn hold_one(&self, index: u32, patience: Patience) -> Result<Guard<'_, T>, Busy> {
        let cell = &self.cells[index as usize];
        if cell.hold(patience) { Ok(Guard { cell }) } else { Err(Busy(index)) }
    }

    /// Takes a set of locks: `indexes` ascending and without duplicates. All or none.
    pub fn hold(
        &self,
        indexes: impl IntoIterator<Item = u32>,
        patience: Patience,
    ) -> Result<Held<'_, T>, Busy> {
        let indexes = indexes.into_iter();
        let mut held: Held<'_, T> = Held { guards: SmallVec::with_capacity(indexes.size_hint().0) };
        for index in indexes {
            debug_assert!(held.guards.last().is_none_or(|last| last.index() < index), "ascending");
            held.guards.push(self.hold_one(index, patience)?);
        }
        Ok(held)
    }

    /// Whether a lock is held just now, as a hint.
    #[inline]
    pub fn is_held(&self, index: u32) -> bool {
        self.cells[index as usize].word.load(Ordering::Relaxed) & HELD != 0
    }

    /// Leaves a waker to be called when the lock is let go; at once if it is free.
    pub fn queue(&self, index: u32, waker: Waker) {
        self.cells[index as usize].wait(waker);
    }

    /// The address of a cell, for prefetching only.
    #[inline]
    pub fn address(&self, index: u32) -> *const u8 {
        std::ptr::from_ref(&self.cells[index as usize]).cast()
    }
}

/// One held lock; dropping it lets go.
pub struct Guard<'a, T: Protected> {
    cell: &'a Cell<T>,
}

impl<T: Protected> fmt::Debug for Guard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guard({})", self.index())
    }
}

impl<T: Protected> Guard<'_, T> {
    /// Which lock this is.
    #[inline]
    pub const fn index(&self) -> u32 {
        self.cell.index
    }

    /// Says that this will take longer than a millisecond: others give up at once instead of spinning.
    pub fn mark_long(&self) {
        self.cell.word.fetch_or(LONG, Ordering::Relaxed);
    }
}

impl<T: Protected> std::ops::Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard is the only one of its cell, and it holds the lock.
        unsafe { &*self.cell.value.get() }
    }
}

impl<T: Protected> std::ops::DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and `&mut self` makes this the only reference.
        unsafe { &mut *self.cell.value.get() }
    }
}

impl<T: Protected> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if std::thread::panicking() && self.is_half_changed() {
            // Recovery is the answer to a half-changed shard; the panic hook has written why.
            std::process::abort();
        }
        self.cell.release();
    }
}

/// A set of held locks, ascending by index.
pub struct Held<'a, T: Protected> {
    guards: SmallVec<[Guard<'a, T>; 2]>,
}

impl<T: Protected> fmt::Debug for Held<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.guards).finish()
    }
}

impl<'a, T: Protected> From<Guard<'a, T>> for Held<'a, T> {
    #[inline]
    fn from(guard: Guard<'a, T>) -> Self {
        let mut held = Self::none();
        held.add_last(guard);
        held
    }
}

impl<'a, T: Protected> Held<'a, T> {
    /// No lock at all.
    #[inline]
    pub fn none() -> Self {
        Self { guards: SmallVec::new() }
    }

    /// Where lock `index` stands among the held, for [`Held::nth_mut`].
    #[inline]
    pub fn position(&self, index: u32) -> Option<usize> {
        if let [only] = &self.guards[..] {
            return (only.index() == index).then_some(0);
        }
        self.guards.binary_search_by_key(&index, Guard::index).ok()
    }

    /// The only lock, or nothing, and then all are let go.
    #[inline]
    pub fn into_only(mut self) -> Option<Guard<'a, T>> {
        if self.guards.len() == 1 { self.guards.pop() } else { None }
    }

    /// Adds a lock above all of them.
    #[inline]
    pub fn add_last(&mut self, guard: Guard<'a, T>) {
        debug_assert!(
            self.guards.last().is_none_or(|last| last.index() < guard.index()),
            "ascending"
        );
        self.guards.push(guard);
    }

    /// Adds a lock that is not among them. It was taken out of order: by whoever gives up after a bounded time, never with
    /// [`Patience::ENDLESS`].
    pub fn insert(&mut self, guard: Guard<'a, T>) {
        let at = self.guards.partition_point(|other| other.index() < guard.index());
        self.guards.insert(at, guard);
    }

    /// What lock `index` protects, if it is among the held.
    #[inline]
    pub fn get(&self, index: u32) -> Option<&T> {
        self.position(index).map(|at| &*self.guards[at])
    }

    /// As [`Held::get`], to be changed.
    #[inline]
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.position(index).map(|at| &mut *self.guards[at])
    }

    /// What the lock protects that stands at `position`.
    #[inline]
    pub fn nth_mut(&mut self, position: usize) -> &mut T {
        &mut self.guards[position]
    }

    /// How many locks are held.
    #[inline]
    pub fn len(&self) -> usize {
        self.guards.len()
    }

    /// Whether no lock is held.
    pub fn is_empty(&self) -> bool {
        self.guards.is_empty()
    }

    /// Indexes of the held locks, ascending.
    pub fn indexes(&self) -> impl Iterator<Item = u32> + '_ {
        self.guards.iter().map(Guard::index)
    }

    /// Everything that is held.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.guards.iter().map(|guard| &**guard)
    }

    /// Everything that is held, to be changed.
    #[inline]
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> + use<'_, 'a, T> {
        self.guards.iter_mut().map(|guard| &mut **guard)
    }

    /// See [`Guard::mark_long`].
    pub fn mark_long(&self) {
        self.guards.iter().for_each(Guard::mark_long);
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::task::Wake;

    struct Counter(u64);

    impl Protected for Counter {
        fn is_half_changed(&self) -> bool {
            false
        }
    }

    fn locks(n: u64) -> Locks<Counter> {
        Locks::new((0..n).map(|_| Counter(0)))
    }

    #[test]
    fn a_held_lock_makes_others_busy_and_frees_what_they_took() {
        let locks = locks(4);
        let first = locks.hold([2], Patience::NONE).expect("free");
        assert_eq!(locks.hold([1, 2, 3], Patience::SHORT).err(), Some(Busy(2)));
        assert!(!locks.is_held(1));
        drop(first);
        assert!(locks.hold([1, 2, 3], Patience::NONE).is_ok());
    }

    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }

    #[test]
    fn a_waker_is_called_when_the_lock_is_let_go_or_is_free() {
        let locks = locks(1);
        for hold_first in [true, false] {
            let flag = Arc::new(Flag(AtomicBool::new(false)));
            let held = hold_first.then(|| locks.hold([0], Patience::NONE).expect("free"));
            locks.queue(0, Waker::from(Arc::clone(&flag)));
            assert_eq!(flag.0.load(std::sync::atomic::Ordering::SeqCst), !hold_first);
            drop(held);
            assert!(flag.0.load(std::sync::atomic::Ordering::SeqCst));
        }
    }

    #[test]
    fn threads_that_take_random_sets_count_right() {
        let locks = &locks(8);
        let work = |t: u32| {
            for n in 0..2_000u32 {
                let set: Vec<u32> = (0..8).filter(|i| (n * 7 + t + i).is_multiple_of(3)).collect();
                let mut held = locks.hold(set, Patience::ENDLESS).expect("endless");
                held.iter_mut().for_each(|counter| counter.0 += 1);
            }
        };
        let work = &work;
        std::thread::scope(|scope| (0..4).for_each(|t| drop(scope.spawn(move || work(t)))));
        let held = locks.hold(0..8, Patience::NONE).expect("all done");
        let expected: u64 = (0..4u32)
            .flat_map(|t| {
                (0..2_000u32).map(move |n| {
                    (0..8).filter(|i| (n * 7 + t + i).is_multiple_of(3)).count() as u64
                })
            })
            .sum();
        assert_eq!(held.iter().map(|counter| counter.0).sum::<u64>(), expected);
    }
}
