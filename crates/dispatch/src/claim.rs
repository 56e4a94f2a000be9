//! One word that decides who ends a client's wait.
//!
//! ```text
//! OPEN ──▶ CLAIMED                 by timeout, CLIENT UNBLOCK, kill or disconnection
//! OPEN ──▶ SERVING ──▶ CLAIMED     by the server of a key
//!             └──────▶ OPEN        there was nothing for it after all
//! ```
//!
//! Exactly one of all who want it gets from OPEN to CLAIMED. Whoever meets SERVING waits for the verdict, which takes as long as one
//! command: a server at work holds all the locks that it needs, so it waits for nobody, and whoever waits for it may hold other locks.

use crate::sync::{AtomicU8, Ordering, yield_now};

const OPEN: u8 = 0;
const SERVING: u8 = 1;
const CLAIMED: u8 = 2;

/// Who ends a wait.
#[derive(Debug)]
pub struct Claim {
    word: AtomicU8,
}

impl Claim {
    /// A wait that nobody has ended.
    pub const fn new() -> Self {
        Self { word: AtomicU8::new(OPEN) }
    }

    /// Ends the wait for good: true for exactly one caller.
    pub fn claim(&self) -> bool {
        self.leave_open_for(CLAIMED)
    }

    /// Tries to serve: true means that [`Claim::stop_serving`] or [`Claim::end_serving`] follows. Who serves another key of the same
    /// client meanwhile must not pass by, or its element would lie there unseen if the other has nothing.
    pub fn begin_serving(&self) -> bool {
        self.leave_open_for(SERVING)
    }

    /// There was nothing after all: the wait goes on.
    pub fn stop_serving(&self) {
        self.word.store(OPEN, Ordering::Release);
    }

    /// It has been served.
    pub fn end_serving(&self) {
        self.word.store(CLAIMED, Ordering::Release);
    }

    /// Whether nobody has ended the wait yet.
    pub fn is_open(&self) -> bool {
        self.word.load(Ordering::Acquire) != CLAIMED
    }

    fn leave_open_for(&self, next: u8) -> bool {
        loop {
            match self.word.compare_exchange(OPEN, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(SERVING) => yield_now(),
                Err(_) => return false,
            }
        }
    }
}

impl Default for Claim {
    fn default() -> Self {
        Self::new()
    }
}
