//! Room for what one command adds at once.
//!
//! Most commands add little, and room for it is made behind them. What adds a megabyte or more, by its words or by what they ask for, has
//! room made first: the bytes are promised to it, others see them as if they were there, and the command runs when data and promises
//! together are within the bound. Until then its client waits; where nothing may go, it hears that memory is used up, and nothing was
//! added. So however many add much at once, all of them together stay within the bound.

use std::sync::atomic::Ordering;

use russet_resp::Span;

use crate::command::Flag;
use crate::context::Context;
use crate::error::{Error, Stop};
use crate::eviction::{self, Room};
use crate::execute::extent;
use crate::session::Session;
use crate::state::{State, Thread};
use crate::table::{Locks, Row};

/// What adds fewer bytes than this is small.
pub const LARGE: usize = 1 << 20;

/// Bytes that somebody is going to add. They count until this is dropped.
#[derive(Debug)]
pub struct Promise {
    state: &'static State,
    bytes: usize,
}

impl Promise {
    fn new(state: &'static State, bytes: usize) -> Self {
        state.ceiling.promised.fetch_add(bytes as i64, Ordering::Relaxed);
        Self { state, bytes }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.state.ceiling.promised.fetch_sub(self.bytes as i64, Ordering::Relaxed);
    }
}

impl Session {
    /// Has so many bytes promised for the request under way.
    pub(crate) fn have_promised(&mut self, state: &'static State, bytes: usize) {
        if self.promised() < bytes {
            self.set_promise(None);
            self.set_promise(Some(Promise::new(state, bytes)));
        }
    }

    /// The request under way has run, or never will.
    pub(crate) fn end_promise(&mut self) {
        self.set_promise(None);
    }

    fn promised(&self) -> usize {
        self.promise().map_or(0, |promise| promise.bytes)
    }
}

/// Why a promise is not kept yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// Room for so many bytes is being made.
    ForNow(usize),
    /// There is nothing that may go.
    ForEver,
}

/// Promises so many bytes to the request under way, and makes room for them.
#[cold]
#[inline(never)]
pub(crate) fn promise(
    state: &'static State,
    thread: &Thread,
    session: &mut Session,
    bytes: usize,
) -> Result<(), Lack> {
    if !state.is_bounded() {
        return Ok(());
    }
    let max = state.ceiling.data_max();
    if bytes as i64 <= max {
        session.have_promised(state, bytes);
        let room = eviction::make_room_for_promises(state, thread, None);
        if room == Room::Made {
            return Ok(());
        }
        // What others are promised will be data, or will not: that decides.
        if room == Room::NotYet || state.stats.data_bytes() + bytes as i64 <= max {
            return Err(Lack::ForNow(bytes));
        }
    }
    session.end_promise();
    Err(Lack::ForEver)
}

/// How many bytes a request may add by its words alone, or by those that it has queued; zero if that is little.
pub(crate) fn asked_for(session: &Session, row: &Row, spans: &[Span]) -> usize {
    let queue = session.multi.as_ref().filter(|_| row.locks == Locks::Queue);
    let bytes = match queue {
        Some(multi) if multi.queue.iter().any(|it| it.row.has(Flag::DenyOom)) => multi.bytes,
        _ if row.has(Flag::DenyOom) => extent(spans),
        _ => 0,
    };
    if bytes < LARGE { 0 } else { bytes }
}

impl Context<'_> {
    /// For a handler that is going to add so many bytes: there is room for them. Otherwise the request comes again when there is; inside a
    /// transaction or a script, which cannot wait, it fails.
    pub fn make_sure_of(&self, bytes: usize) -> Result<(), Stop> {
        match self.session.deny_blocking {
            _ if bytes < LARGE || !self.state.is_bounded() => Ok(()),
            _ if self.session.promised() >= bytes => Ok(()),
            true if self.state.has_room_for(bytes) => Ok(()),
            true => Err(Error::OutOfMemory.into()),
            false => Err(Stop::Room(bytes)),
        }
    }
}

impl State {
    /// Whether so many bytes more are within the bound.
    fn has_room_for(&self, bytes: usize) -> bool {
        self.wanted_bytes().saturating_add(bytes as i64) <= self.ceiling.data_max()
    }
}
