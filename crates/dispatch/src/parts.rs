//! Long replies about one collection, made in parts, as fast as the client takes them.
//!
//! A handler writes the head of its reply and begins to show elements. Where that gets long, it stops, and a walk goes on from there when
//! what is there has been sent. Meanwhile the door of the shard sees to it that the reply still tells of the moment of the request; see
//! [`russet_engine::shard::Reader`]. Inside a transaction or a script all is shown at once.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use parking_lot::Mutex;
use russet_engine::shard::{Reader, Removed};
use russet_engine::{Collection, Entry, Name};
use russet_resp::{Output, Protocol, Writer};

use crate::args::Key;
use crate::context::{Context, Outcome};
use crate::error::Stop;
use crate::execute::Walk;

/// How long a reply gets before the rest of it is made in parts: a fraction of a millisecond under the shard's lock.
const FIRST_BYTES: usize = 128 * 1024;

/// What is made under one hold of the shard after that.
const PIECE_BYTES: usize = 64 * 1024;

/// Shows elements of a collection to a client.
pub trait Show: Send + Sync + Debug + 'static {
    /// What it shows elements of.
    type Of: Collection;

    /// Where it goes on.
    type Place: Copy + Send + Debug;

    /// Replies with elements from `place` on, until the output has so many bytes. Answers where to go on. Between two calls the
    /// collection does not change.
    fn show(
        &self,
        of: &Self::Of,
        place: Self::Place,
        until: usize,
        reply: &mut Writer<'_>,
    ) -> Option<Self::Place>;
}

/// Replies with elements of the collection at `key`. `head` replies with how many there will be, none if there is no such key, and says
/// where they begin.
#[inline]
pub fn reply<S: Show>(
    cx: &mut Context<'_>,
    key: Key<'_>,
    show: S,
    head: impl FnOnce(Option<&S::Of>, &mut Writer<'_>) -> Option<S::Place>,
) -> Outcome {
    let until = until(cx);
    let of = cx.data.read_as::<S::Of>(key)?;
    let next = head(of, &mut cx.reply)
        .zip(of)
        .and_then(|(place, of)| show.show(of, place, until, &mut cx.reply));
    rest(cx, key, show, next)
}

/// Ends a handler that has replied itself with the elements before `next`, if there are more. The key's shard is held, and what it holds
/// was shown.
#[inline]
pub fn rest<S: Show>(
    cx: &mut Context<'_>,
    key: Key<'_>,
    show: S,
    next: Option<S::Place>,
) -> Outcome {
    match next {
        None => Ok(()),
        Some(place) => begin(cx, key, show, place),
    }
}

/// How long the output may get before the rest of a reply is made in parts.
#[inline]
pub fn until(cx: &Context<'_>) -> usize {
    if cx.session.deny_blocking || cx.is_worker || cx.data.is_serving {
        usize::MAX
    } else {
        cx.reply.out.len().saturating_add(FIRST_BYTES)
    }
}

/// Shows what `scan` shows from one cursor to the next, as [`Show::show`] does.
#[inline]
pub fn through(
    mut cursor: u64,
    until: usize,
    reply: &mut Writer<'_>,
    mut scan: impl FnMut(u64, &mut Writer<'_>) -> u64,
) -> Option<u64> {
    loop {
        cursor = scan(cursor, reply);
        if cursor == 0 || reply.out.len() >= until {
            return (cursor > 0).then_some(cursor);
        }
    }
}

#[cold]
fn begin<S: Show>(cx: &mut Context<'_>, key: Key<'_>, show: S, place: S::Place) -> Outcome {
    let reading = Arc::new(Reading {
        show,
        protocol: cx.reply.protocol,
        bytes_max: cx.state.reply_bytes_max(&cx.session.client),
        source: Mutex::new(Source::Shard(place)),
        is_hurried: AtomicBool::new(false),
        is_done: AtomicBool::new(false),
        waker: Mutex::new(None),
    });
    let (db, spot) = (cx.data.db, key.spot);
    let name = Name { db, key: key.bytes, hash: spot.hash };
    let shard = cx.data.held.get_mut(spot.shard).expect("a handler's key is held");
    if shard.read_in_parts(name, Arc::<Reading<S>>::clone(&reading)) {
        let (shard, hash, key) = (spot.shard, spot.hash, key.bytes.into());
        return Err(Stop::Rest(Box::new(Parts { reading, db, shard, hash, key })));
    }
    if let Some(of) = shard.get(name).and_then(collection::<S>) {
        reading.show.show(of, place, usize::MAX, &mut cx.reply);
    }
    Ok(())
}

fn collection<S: Show>(entry: &Entry) -> Option<&S::Of> {
    entry.object().and_then(S::Of::of)
}

/// Where the rest of a reply is.
#[derive(Debug)]
enum Source<P> {
    /// In the shard, from a place on.
    Shard(P),
    /// In what has been removed from there, from a place on.
    Removed(Arc<Removed>, P),
    /// It is made.
    Made(Output),
    /// Nowhere: all of it has been given.
    Nothing,
}

/// A reply under way, as the door of the shard sees it.
#[derive(Debug)]
struct Reading<S: Show> {
    show: S,
    protocol: Protocol,
    /// The most that may wait for the client.
    bytes_max: usize,
    /// Locked under the shard's lock by those who have that.
    source: Mutex<Source<S::Place>>,
    is_hurried: AtomicBool,
    is_done: AtomicBool,
    /// Whom to wake for the hurry.
    waker: Mutex<Option<Waker>>,
}

impl<S: Show> Reader for Reading<S> {
    fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Acquire)
    }

    fn hurry(&self) {
        if !self.is_hurried.swap(true, Ordering::AcqRel)
            && let Some(waker) = self.waker.lock().take()
        {
            waker.wake();
        }
    }

    fn is_hurried(&self) -> bool {
        self.is_hurried.load(Ordering::Acquire)
    }

    fn finish(&self, entry: &Entry) {
        self.hurry();
        let mut source = self.source.lock();
        if let (Source::Shard(place), Some(of)) = (&*source, collection::<S>(entry)) {
            let mut out = Output::default();
            out.bind(self.bytes_max);
            let mut reply = Writer { out: &mut out, protocol: self.protocol };
            self.show.show(of, *place, usize::MAX, &mut reply);
            *source = Source::Made(out);
        }
    }

    fn keep(&self, removed: Arc<Removed>) {
        self.hurry();
        let mut source = self.source.lock();
        if let Source::Shard(place) = *source {
            *source = Source::Removed(removed, place);
        }
    }
}

impl<S: Show> Reading<S> {
    /// Shows a piece of a collection.
    fn piece(&self, entry: &Entry, place: S::Place, reply: &mut Writer<'_>) -> Option<S::Place> {
        let until = reply.out.len().saturating_add(PIECE_BYTES);
        self.show.show(collection::<S>(entry)?, place, until, reply)
    }

    /// Gives a piece of what is no longer in the shard. Says whether that was the last; nothing if the shard still has it.
    fn take_aside(&self, reply: &mut Writer<'_>) -> Option<bool> {
        let mut source = self.source.lock();
        match std::mem::replace(&mut *source, Source::Nothing) {
            Source::Shard(place) => {
                *source = Source::Shard(place);
                None
            }
            Source::Removed(removed, place) => {
                let next = removed.entry().and_then(|entry| self.piece(entry, place, reply));
                if let Some(place) = next {
                    *source = Source::Removed(removed, place);
                }
                Some(next.is_none())
            }
            Source::Made(made) => {
                reply.out.append(made);
                Some(true)
            }
            Source::Nothing => Some(true),
        }
    }
}

/// The rest of a reply, as its connection sees it.
#[derive(Debug)]
struct Parts<S: Show> {
    reading: Arc<Reading<S>>,
    db: u32,
    shard: u32,
    hash: u64,
    key: Box<[u8]>,
}

impl<S: Show> Walk for Parts<S> {
    fn step(&mut self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        let (reading, reply) = (&self.reading, &mut cx.reply);
        if let Some(is_last) = reading.take_aside(reply) {
            return Ok(is_last);
        }
        let name = Name { db: self.db, key: &self.key, hash: self.hash };
        let is_last = cx.data.visit(self.shard, |shard| {
            let mut source = reading.source.lock();
            // It may have changed hands before the shard was held.
            let Source::Shard(place) = *source else { return false };
            let entry = shard.get(name);
            let next = entry.and_then(|entry| reading.piece(entry, place, reply));
            *source = next.map_or(Source::Nothing, Source::Shard);
            next.is_none()
        })?;
        Ok(is_last)
    }

    fn is_sent_in_parts(&self) -> bool {
        true
    }

    fn is_hurried(&self, waker: &Waker) -> bool {
        // In this order, so that a hurry that comes between is not missed.
        *self.reading.waker.lock() = Some(waker.clone());
        Reader::is_hurried(&*self.reading)
    }
}

impl<S: Show> Drop for Parts<S> {
    fn drop(&mut self) {
        self.reading.is_done.store(true, Ordering::Release);
        *self.reading.source.lock() = Source::Nothing;
    }
}
