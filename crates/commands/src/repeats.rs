//! What a negative count may ask for: elements of a collection at random, the same one perhaps several times.
//!
//! A few bytes of a request can ask for more than any memory holds. So a long reply is made in slices, as fast as it is taken, of what the
//! key holds at the moment; if that is nothing any more, the last element comes again and again. Who asks for more than anybody takes, and
//! than may wait, is cut, as Redis cuts who has been given that much. A transaction or a script cannot send anything before it is over, so
//! there is a bound for them that Redis lacks.

use russet_dispatch::execute::Walk;
use russet_dispatch::state::Thread;
use russet_dispatch::{Context, Error, Key, Outcome, Stop};
use russet_engine::{Entry, Name};
use russet_resp::{Protocol, Writer};

/// So many elements are given at once.
const AT_ONCE: usize = 1024;

/// Bytes of a slice, about.
const SLICE_BYTES: usize = 64 * 1024;

/// The most elements of a reply that is made at once, and of one that need not fit into what may wait for its client.
const COUNT_MAX: usize = 1 << 24;

/// What an element takes of a reply, if it is empty.
const ELEMENT_BYTES_MIN: usize = b"$0\r\n\r\n".len();

/// Draws so many elements of what an entry holds and replies with them, and with what belongs to them if that is wanted. Says whether the
/// entry holds such a collection.
pub(crate) type Draw = fn(&Entry, usize, &Thread, &mut Writer<'_>, bool) -> bool;

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Repeats {
    /// How many elements.
    pub count: usize,
    /// Whether what belongs to an element is wanted.
    pub is_full: bool,
    pub draw: Draw,
}

impl Repeats {
    /// Gives elements of a collection that is there.
    pub(crate) fn reply(self, cx: &mut Context<'_>, key: Key<'_>) -> Outcome {
        if self.count <= AT_ONCE || cx.session.deny_blocking {
            return self.at_once(cx, key);
        }
        if cx.session.is_silent() {
            return Ok(());
        }
        if self.is_too_long(cx) {
            cx.state.cut_for_replies(&cx.session.client);
            return Ok(());
        }
        let (db, key, spot) = (cx.data.db, key.bytes.into(), key.spot);
        let (left, last) = (self.count, Vec::new());
        let slices =
            Slices { wanted: self, db, key, shard: spot.shard, hash: spot.hash, left, last };
        Err(Stop::Later(Box::new(slices)))
    }

    /// Whether the reply cannot but be longer than may wait for the client, and is not one that is made nonetheless.
    fn is_too_long(&self, cx: &Context<'_>) -> bool {
        let bytes = self.count.saturating_mul(ELEMENT_BYTES_MIN);
        self.count > COUNT_MAX && bytes > cx.state.reply_bytes_max(&cx.session.client)
    }

    fn at_once(self, cx: &mut Context<'_>, key: Key<'_>) -> Outcome {
        if self.count > COUNT_MAX {
            return Err(Error::OutOfRange.into());
        }
        let max = cx.reply.out.len().saturating_add(cx.state.reply_bytes_max(&cx.session.client));
        self.head(&mut cx.reply);
        let Some(entry) = cx.data.find(key) else { return Ok(()) };
        let mut left = self.count;
        while left > 0 {
            let slice = left.min(AT_ONCE);
            (self.draw)(entry, slice, cx.thread, &mut cx.reply, self.is_full);
            if cx.reply.out.len() > max {
                return Err(Error::OutOfRange.into());
            }
            left -= slice;
        }
        Ok(())
    }

    /// How many parts the reply has: in RESP2 what belongs to an element is one of its own.
    fn head(&self, reply: &mut Writer<'_>) {
        let is_flat = self.is_full && reply.protocol == Protocol::Resp2;
        reply.array(self.count << u32::from(is_flat));
    }
}

/// A long reply under way.
#[derive(Debug)]
struct Slices {
    wanted: Repeats,
    db: u32,
    key: Box<[u8]>,
    shard: u32,
    hash: u64,
    /// Elements that are still to come.
    left: usize,
    /// The last one, as it was sent.
    last: Vec<u8>,
}

impl Walk for Slices {
    fn step(&mut self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        let begin = cx.reply.out.mark();
        if self.last.is_empty() {
            self.wanted.head(&mut cx.reply);
        }
        // The first element tells how long they are, about.
        let fitting = SLICE_BYTES.checked_div(self.last.len()).unwrap_or(1);
        let slice = fitting.clamp(1, AT_ONCE).min(self.left);
        if !self.draw(cx, slice)? {
            if self.last.is_empty() {
                // It went before anything was drawn.
                cx.reply.out.truncate(begin);
                cx.reply.array(0);
                return Ok(true);
            }
            (0..slice).for_each(|_| cx.reply.out.push(&self.last));
        }
        self.left -= slice;
        Ok(self.left == 0)
    }

    fn is_sent_in_parts(&self) -> bool {
        true
    }
}

impl Slices {
    /// Replies with so many elements, at least one, of what the key holds; false if there is no such thing.
    fn draw(&mut self, cx: &mut Context<'_>, count: usize) -> Result<bool, Stop> {
        let name = Name { db: self.db, key: &self.key, hash: self.hash };
        let (now, thread, reply) = (cx.now(), cx.thread, &mut cx.reply);
        let (draw, is_full) = (self.wanted.draw, self.wanted.is_full);
        let mut last = None;
        cx.data.visit(self.shard, |shard| {
            let Some(entry) = shard.get(name).filter(|entry| !entry.is_due(now)) else { return };
            if draw(entry, count - 1, thread, reply, is_full) {
                last = Some(reply.out.mark());
                draw(entry, 1, thread, reply, is_full);
            }
        })?;
        let is_there = last.is_some();
        self.last = last.map_or(std::mem::take(&mut self.last), |last| cx.reply.out.since(last));
        Ok(is_there)
    }
}
