//! What a negative count may ask for: elements of a collection at random, the same one perhaps several times.
//!
//! A few bytes of a request can ask for more than any memory holds, so there is a bound that Redis lacks. Where
//! `client-output-buffer-limit` is set, who asks for more than that is cut, as in Redis; but it is not made first.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use russet_dispatch::session::{Client, mode};
use russet_dispatch::state::OUTPUT_UNCOUNTED;
use russet_dispatch::{Context, Error};
use russet_resp::Writer;

/// The most elements.
const COUNT_MAX: usize = 1 << 24;

/// What they may be together, in bytes, where the configuration lets more wait to be read.
const REPLY_MAX: usize = 1 << 30;

/// What an element takes at least, in bytes.
const ELEMENT_MIN: usize = 6;

/// Where a reply that has begun must end.
#[derive(Debug)]
pub(crate) struct Room {
    /// At so many bytes of output.
    end: usize,
    /// Who is cut then.
    client: Option<Arc<Client>>,
}

impl Room {
    /// For so many elements, if they are not too many.
    pub(crate) fn new(count: usize, cx: &Context<'_>) -> Result<Self, Error> {
        let tunables = &cx.state.tunables;
        let is_subscriber = cx.session.is_in_mode(mode::SUBSCRIBER);
        let limit = tunables.output_max(is_subscriber).saturating_add(OUTPUT_UNCOUNTED) as usize;
        // Inside a transaction or a script this is no reply of its own.
        let is_limited = tunables.output(is_subscriber).hard.load(Ordering::Relaxed) > 0;
        let is_cut = is_limited && limit < REPLY_MAX && !cx.session.deny_blocking;
        let room = Self {
            end: cx.reply.out.len().saturating_add(limit.min(REPLY_MAX)),
            client: is_cut.then(|| Arc::clone(&cx.session.client)),
        };
        let is_too_much = is_cut && count.saturating_mul(ELEMENT_MIN) > limit;
        if is_too_much || count > COUNT_MAX {
            return Err(if is_too_much { room.exceeded() } else { Error::OutOfRange });
        }
        Ok(room)
    }

    /// Whether there is still some.
    pub(crate) fn check(&self, reply: &Writer<'_>) -> Result<(), Error> {
        if reply.out.len() > self.end { Err(self.exceeded()) } else { Ok(()) }
    }

    #[cold]
    fn exceeded(&self) -> Error {
        if let Some(client) = &self.client {
            client.overflow();
        }
        Error::OutOfRange
    }
}
