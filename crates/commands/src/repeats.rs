//! What a negative count may ask for: elements of a collection at random, the same one perhaps several times.
//!
//! A few bytes of a request can ask for more than any memory holds, so there is a bound that Redis lacks.

use russet_dispatch::{Error, State};
use russet_resp::Writer;

/// The most elements.
const COUNT_MAX: usize = 1 << 24;

/// What they may be together, in bytes, where the configuration lets more wait to be read.
const REPLY_MAX: usize = 1 << 30;

/// Where a reply that has begun must end, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room(usize);

impl Room {
    /// For so many elements, if they are not too many.
    pub(crate) fn new(count: usize, state: &State, reply: &Writer<'_>) -> Result<Self, Error> {
        if count > COUNT_MAX {
            return Err(Error::OutOfRange);
        }
        // A client is cut when more than this waits to be read: so much the rather is it not made.
        let room = REPLY_MAX.min(state.tunables.output_max(false) as usize);
        Ok(Self(reply.out.len().saturating_add(room)))
    }

    /// Whether there is still some.
    pub(crate) fn check(self, reply: &Writer<'_>) -> Result<(), Error> {
        if reply.out.len() > self.0 { Err(Error::OutOfRange) } else { Ok(()) }
    }
}
