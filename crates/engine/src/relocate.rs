//! Moving allocations to where others are, so that pages come free.
//!
//! An allocator serves small sizes from slabs: some pages, cut into equal places. After many values have gone, each slab holds a few that
//! stayed, and none of its pages can be given back. Who walks over the data with a [`Mover`] puts an allocation that lies in a sparse slab
//! into another place of its size: a new one is made, the content goes over, the old one is freed. What is sparse, and that the new place
//! is a better one, is the business of whoever makes the mover; nothing here knows the allocator.
//!
//! A mover does a limited amount of work: walks stop when it is spent, and say where they are to go on. Data may change in between: then
//! something may be met twice or missed, which does no harm.
//!
//! Invariants:
//! * An allocation that moves keeps its size: what is counted stays true.
//! * Nobody but the owner knows the address of anything that moves.

use std::collections::VecDeque;

pub use crate::shard::Walk;
use crate::size_class::SLAB_MAX;

/// Whether an allocation should move. It is asked with the address of a living allocation, or of something within it, right before the
/// new one is made by the same thread, if it is made.
pub type IsSparse = fn(*const u8) -> bool;

/// What a look at an allocation counts, what a move counts in addition, and how many bytes that are copied count as one more.
const LOOK: usize = 1;
const MOVE: usize = 4;
const BYTES: usize = 1024;

/// Moves what lies in sparse slabs, up to an amount of work.
#[derive(Debug)]
pub struct Mover {
    is_sparse: IsSparse,
    left: usize,
    moved: u64,
    stayed: u64,
}

impl Mover {
    /// A mover that does about `work` looks at allocations; a move counts as a few.
    pub const fn new(is_sparse: IsSparse, work: usize) -> Self {
        Self { is_sparse, left: work, moved: 0, stayed: 0 }
    }

    /// How many allocations have moved, and how many were looked at and stayed.
    pub const fn counts(&self) -> (u64, u64) {
        (self.moved, self.stayed)
    }

    /// Whether it has done what it may.
    pub const fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// Whether an allocation of `bytes` at `at` should move. The caller moves it if so.
    pub(crate) fn wants(&mut self, at: *const u8, bytes: usize) -> bool {
        self.left = self.left.saturating_sub(LOOK);
        if bytes == 0 || bytes > SLAB_MAX {
            return false;
        }
        let is_wanted = (self.is_sparse)(at);
        if is_wanted {
            self.moved += 1;
            self.left = self.left.saturating_sub(MOVE + bytes / BYTES);
        } else {
            self.stayed += 1;
        }
        is_wanted
    }

    /// The buffer of a vector.
    pub(crate) fn vec<T>(&mut self, vec: &mut Vec<T>) {
        if self.wants(vec.as_ptr().cast(), vec.capacity() * size_of::<T>()) {
            let mut next = Vec::with_capacity(vec.capacity());
            next.append(vec);
            *vec = next;
        }
    }

    /// The buffer of a deque.
    pub(crate) fn deque<T>(&mut self, deque: &mut VecDeque<T>) {
        // The first element lies within the buffer, wherever that begins; without one there is nothing worth a move.
        let Some(first) = deque.front() else { return };
        if self.wants(std::ptr::from_ref(first).cast(), deque.capacity() * size_of::<T>()) {
            let mut next = VecDeque::with_capacity(deque.capacity());
            next.append(deque);
            *deque = next;
        }
    }

    /// A slice of what can be copied.
    pub fn slice<T: Copy>(&mut self, slice: &mut Box<[T]>) {
        if self.wants(slice.as_ptr().cast(), size_of_val(&**slice)) {
            *slice = slice.clone();
        }
    }

    /// A box, by way of another with something that costs little to make.
    pub(crate) fn boxed<T>(&mut self, boxed: &mut Box<T>, empty: impl FnOnce() -> T) {
        if self.wants(std::ptr::from_ref(&**boxed).cast(), size_of::<T>()) {
            let mut next = Box::new(empty());
            std::mem::swap(&mut *next, &mut **boxed);
            *boxed = next;
        }
    }

    /// Visits `from` and what follows below `len` until spent, one at least. Answers where to go on, zero if all were visited.
    pub(crate) fn walk(
        &mut self,
        from: u64,
        len: usize,
        mut visit: impl FnMut(&mut Self, usize),
    ) -> u64 {
        for at in from as usize..len {
            visit(self, at);
            if self.is_spent() && at + 1 < len {
                return at as u64 + 1;
            }
        }
        0
    }
}

/// How far a walk over one value has come: which of its parts, and where in that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub(crate) part: u32,
    pub(crate) at: u64,
}

impl Progress {
    /// Goes on at `next` in the same part, or with the next of `parts` if that is zero; `None` behind the last.
    pub(crate) const fn then(self, next: u64, parts: u32) -> Option<Self> {
        match next {
            0 if self.part + 1 >= parts => None,
            0 => Some(Self { part: self.part + 1, at: 0 }),
            at => Some(Self { part: self.part, at }),
        }
    }
}

/// Walks over a value until that is done or the mover is spent.
pub(crate) fn walk_value(
    mover: &mut Mover,
    from: Progress,
    mut step: impl FnMut(&mut Mover, Progress) -> Option<Progress>,
) -> Option<Progress> {
    let mut next = step(mover, from);
    while let Some(from) = next
        && !mover.is_spent()
    {
        next = step(mover, from);
    }
    next
}

#[cfg(test)]
mod tests;
