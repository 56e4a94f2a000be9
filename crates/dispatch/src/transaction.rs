//! MULTI's queue and WATCH's keys.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use russet_engine::{Keyspace, Name, NameBuf, Patience, Shard, Spot, Watch};

use crate::args::{Args, Key, OwnedRequest, Spots};
use crate::burden::WATCH_BYTES;
use crate::clock::Still;
use crate::command::Flag;
use crate::commandlog::Ran;
use crate::context::{Context, Data, Outcome};
use crate::error::{Error, Stop};
use crate::execute::{failed, look_on, no_wait};
use crate::session::Session;
use crate::table::Row;

/// One queued command.
#[derive(Debug)]
pub struct Queued {
    /// Its row.
    pub row: &'static Row,
    /// Its words.
    pub request: OwnedRequest,
    /// Where its keys lie, by argument.
    pub spots: Vec<(u32, Spot)>,
}

impl Queued {
    /// Its keys, and where they lie.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&[u8], Spot)> {
        let (input, spans) = (self.request.input(), self.request.spans());
        self.spots.iter().map(move |(at, spot)| (spans[*at as usize].of(input), *spot))
    }

    /// Whether it takes all shards, whatever its keys are.
    fn takes_all(&self) -> bool {
        let (input, spans) = (self.request.input(), self.request.spans());
        self.row.takes_all(spans.len(), |at| spans[at].of(input))
    }
}

/// A transaction that is being queued.
#[derive(Debug, Default)]
pub struct Multi {
    /// The commands so far.
    pub queue: Vec<Queued>,
    /// Whether a command was refused: EXEC will not run.
    pub is_broken: bool,
    /// Bytes of the queue.
    pub bytes: usize,
}

impl Multi {
    pub(crate) fn push(&mut self, queued: Queued) {
        self.bytes += size_of::<Queued>() + queued.request.heap_bytes();
        self.queue.push(queued);
    }
}

/// The keys that a client watches.
#[derive(Debug, Default)]
pub struct Watching {
    /// Marked by the door of a shard when one of the keys changes.
    pub watch: Arc<Watch>,
    /// The keys.
    pub keys: Vec<(NameBuf, Spot)>,
    /// What they take.
    bytes: usize,
}

impl Session {
    /// Ends MULTI.
    pub fn end_multi(&mut self) -> Option<Box<Multi>> {
        self.client.queued.store(-1, Ordering::Relaxed);
        self.client.queued_bytes.store(0, Ordering::Relaxed);
        self.multi.take()
    }

    /// Ends all watches, outside of any lock.
    pub fn unwatch(&mut self, keyspace: &Keyspace) {
        let Some(watching) = self.watching.take() else { return };
        self.note_watches();
        for (name, spot) in &watching.keys {
            // A shard that is held for long keeps a watch of nobody until its name changes; the flag it would set is read by no one.
            if let Ok(mut shard) = keyspace.hold_one(spot.shard, Patience::after(6)) {
                forget(&mut shard, name, &watching.watch);
            }
        }
    }

    /// Tells others what the client watches.
    fn note_watches(&self) {
        let watching = self.watching.as_deref();
        let count = watching.map_or(0, |watching| watching.keys.len());
        self.client.watched.store(count as u32, Ordering::Relaxed);
        let bytes = watching.map_or(0, |watching| watching.bytes);
        self.client.watched_bytes.store(bytes, Ordering::Relaxed);
        *self.client.watch.lock() = watching.map(|watching| Arc::clone(&watching.watch));
    }

    /// The shards that EXEC needs, or `None` for all.
    pub(crate) fn queued_shards(&self) -> Option<Vec<u32>> {
        let queue = self.multi.as_ref().map_or(&[][..], |multi| &multi.queue);
        let needs_all =
            |q: &Queued| q.takes_all() || q.row.has(Flag::Walks) || q.row.has(Flag::RunsScript);
        if queue.iter().any(needs_all) {
            return None;
        }
        let of_queue = queue.iter().flat_map(|queued| &queued.spots).map(|(_, spot)| spot.shard);
        let of_watches = self.watching.iter().flat_map(|w| &w.keys).map(|(_, spot)| spot.shard);
        Some(of_queue.chain(of_watches).collect())
    }
}

fn forget(shard: &mut Shard, name: &NameBuf, watch: &Arc<Watch>) {
    shard.interest_mut().unwatch(name.db, &name.key, watch);
    shard.drop_idle_interest();
}

/// WATCH of one key, under its lock.
pub fn watch(cx: &mut Context<'_>, key: Key<'_>) {
    // A key that has ended is removed first, so that its removal later is no change to what was watched.
    cx.data.exists(key);
    let name = NameBuf { db: cx.data.db, key: key.bytes.into() };
    let watching = cx.session.watching.get_or_insert_default();
    if watching.keys.iter().any(|(known, _)| *known == name) {
        return;
    }
    watching.bytes += WATCH_BYTES + 2 * key.bytes.len();
    watching.keys.push((name.clone(), key.spot));
    let shard = cx.data.held.get_mut(key.spot.shard).expect("WATCH declares its keys");
    shard.interest_mut().watch(name, Arc::clone(&watching.watch));
    cx.session.note_watches();
}

/// Whether anything watched has changed, judged under the locks of all of it; a key that has ended since has changed.
fn is_dirty(data: &Data<'_>, watching: &Watching) -> bool {
    let has_ended = |(name, spot): &(NameBuf, Spot)| {
        let name = Name { db: name.db, key: &name.key, hash: spot.hash };
        let shard = data.held.get(spot.shard).expect("EXEC takes the shards of watched keys");
        shard.get(name).is_some_and(|entry| entry.is_expired(data.now))
    };
    watching.watch.is_dirty() || watching.keys.iter().any(has_ended)
}

/// Ends all watches under the locks that EXEC holds.
fn unwatch_held(cx: &mut Context<'_>) -> bool {
    let Some(watching) = cx.session.watching.take() else { return false };
    cx.session.note_watches();
    let dirty = is_dirty(&cx.data, &watching);
    for (name, spot) in &watching.keys {
        let shard =
            cx.data.held.get_mut(spot.shard).expect("EXEC takes the shards of watched keys");
        forget(shard, name, &watching.watch);
    }
    dirty
}

/// EXEC: the executor has taken the shards of everything queued and watched.
pub fn exec(cx: &mut Context<'_>) -> Outcome {
    let multi = cx.session.end_multi().ok_or(Error::ExecWithoutMulti)?;
    let is_dirty = unwatch_held(cx);
    if multi.is_broken {
        return Err(Error::ExecAbort.into());
    }
    if is_dirty {
        cx.reply.null_array();
        return Ok(());
    }
    cx.reply.array(multi.queue.len());
    let own_row = cx.row;
    cx.session.deny_blocking = true;
    cx.session.still = Some(Still::at(cx.thread.meter.mark()));
    cx.thread.meter.is_nested.set(true);
    for queued in &multi.queue {
        run_timed(cx, queued);
    }
    cx.thread.close(cx.state, || None);
    cx.thread.meter.is_nested.set(false);
    cx.session.leave_unit();
    cx.row = own_row;
    Ok(())
}

/// Runs one command of the queue.
fn run_timed(cx: &mut Context<'_>, queued: &Queued) {
    let (input, spans, row) = (queued.request.input(), queued.request.spans(), queued.row);
    let (before, nested) = (cx.reply.out.len(), cx.thread.begin_nested(cx.state, row, input.len()));
    run_queued(cx, queued);
    let reply_bytes = cx.reply.out.len().saturating_sub(before);
    let client = &cx.session.client;
    cx.thread.end_nested(cx.state, &nested, &Ran { row, input, spans, reply_bytes, client });
}

fn run_queued(cx: &mut Context<'_>, queued: &Queued) {
    let (request, row) = (&queued.request, queued.row);
    let mark = cx.reply.out.mark();
    let mut args =
        Args::new(request.input(), request.spans(), row.first_arg(), Spots::many(&queued.spots));
    cx.row = row;
    cx.data.db = cx.session.db;
    cx.reply.protocol = cx.session.protocol;
    cx.data.unit.begin_command();
    if let Err(stop) = (row.command.run)(cx, &mut args) {
        cx.reply.out.truncate(mark);
        match stop {
            Stop::Wait(wait) => no_wait(cx, wait.on_timeout),
            Stop::Error(error) => failed(cx, &error),
            // Inside a transaction nothing moves to another thread, sleeps or asks: handlers see `deny_blocking` and reply at once.
            Stop::Busy(_)
            | Stop::Elsewhere
            | Stop::Room(_)
            | Stop::All
            | Stop::Later(_)
            | Stop::Rest(_)
            | Stop::Ask(_) => failed(cx, &Error::NotInMulti),
        }
    }
    cx.data.unit.end_command(cx.data.db, &args);
    look_on(cx, &args, cx.state.rules.load(Ordering::Relaxed));
}
