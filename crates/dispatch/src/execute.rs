//! How requests run: look up, check, lock, run, record, serve, let go.
//!
//! Requests of a pipeline run in chunks. For a chunk, all rows are found and all keys hashed first, and the memory of their shards,
//! buckets and entries is asked for; then the requests run in order, and find it in the cache. That halves the time per command. A row, a
//! key or a collection that several in a row are about is found once. Brief ones in a row about one shard run under one hold of it.
//!
//! The common case is decided with two tests: the session has no mode that is judged, and the server no rule. Everything else is judged in
//! `check`.

mod admit;
mod after;
mod chunk;
mod finish;
mod locks;
mod stop;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use russet_engine::{Busy, Guard, Held, Name, Patience, Shard, Spot};
use russet_resp::{Output, Span, Writer};

pub use self::admit::refuse;
use self::admit::{Verdict, abort, check, explain};
use self::after::{after_unusual, silence};
pub(crate) use self::after::{look_on, note_reading};
pub use self::chunk::Chunk;
use self::chunk::{Brevity, KeySet, Last, Prepared, Wanted};
pub(crate) use self::chunk::{extent, find_row, gather, prefetch};
pub(crate) use self::finish::{append, finish};
use self::finish::{finish_touched, stamp};
pub(crate) use self::locks::sorted;
use self::locks::{close_over_targets, has_closed_target};
use self::stop::stopped;
pub(crate) use self::stop::{failed, no_wait};
use crate::args::{Args, OwnedRequest, Spots};
use crate::blocking::Blocked;
use crate::command::Flag;
use crate::commandlog::Ran;
use crate::context::{Context, Data};
use crate::effect::Unit;
use crate::error::{Error, Stop};
use crate::eviction;
use crate::meter::Late;
use crate::monitor;
use crate::promise::{Lack, asked_for, promise};
use crate::request::Request;
use crate::session::{Replies, Session, mode};
use crate::state::{State, Thread, rule};
use crate::table::{Locks, Row};
use crate::transaction::{Multi, Queued};

/// Requests of a pipeline that are prepared together.
pub const CHUNK: usize = 32;

/// Why a connection does not go on with the next request.
#[derive(Debug)]
pub enum Halt {
    /// The client waits for keys.
    Wait(Arc<Blocked>),
    /// A shard is held; the same request again when it is free.
    Busy(u32),
    /// The rules changed between check and lock: the same request again at once.
    Again,
    /// The same request again on a worker thread.
    Elsewhere,
    /// The same request again when there is room for the bytes that it adds.
    Room(usize),
    /// The same request again with all shards. The executor does that itself.
    All,
    /// The rest of the work, in slices.
    Later(Box<dyn Walk>),
    /// The shell is asked; its answer is the reply.
    Ask(Request),
    /// CLIENT PAUSE: the same request again later.
    Paused,
    /// There is mail for the client, to be written before the next reply.
    Mail,
    /// The connection ends after what has been written.
    Close,
}

impl Halt {
    /// Whether the request runs again on the same connection.
    const fn comes_again_here(&self) -> bool {
        self.comes_again() && !matches!(self, Self::Elsewhere)
    }

    /// Whether the request has not run.
    const fn comes_again(&self) -> bool {
        use Halt::{Again, All, Busy, Elsewhere, Paused, Room};
        matches!(self, Busy(_) | Again | Elsewhere | Room(_) | All | Paused)
    }
}

/// Work that goes on in slices.
pub trait Walk: Send + std::fmt::Debug {
    /// Does one slice; says whether the work is done and the reply written.
    fn step(&mut self, cx: &mut Context<'_>) -> Result<bool, Stop>;

    /// Whether what is written is final, so that it may be sent before the rest is made.
    fn is_sent_in_parts(&self) -> bool {
        false
    }

    /// Whether others wait for the rest to be made, whoever takes it. If not, `waker` is called once they do.
    fn is_hurried(&self, _waker: &Waker) -> bool {
        false
    }
}

/// What a thread needs to run requests; reused from chunk to chunk.
#[derive(Debug)]
pub struct Executor {
    /// What the thread owns.
    pub thread: Thread,
    unit: Unit,
    prepared: Vec<Prepared>,
    spots: Vec<(u32, Spot)>,
    elements: Vec<Wanted>,
    brevity: Brevity,
    /// The shard of the request that runs next, held since the last: see [`Prepared::keeps`]. Nothing else is locked meanwhile.
    kept: Option<Guard<'static, Shard>>,
    /// Whether entries were not asked for beforehand, since somebody held their shards.
    has_missed: bool,
    /// The first request of the stretch under way.
    stretch_from: usize,
    /// Commands that the thread had run when the turn began.
    processed_before: u64,
    is_worker: bool,
}

impl Executor {
    /// For one thread.
    pub const fn new(thread: Thread) -> Self {
        Self {
            thread,
            unit: Unit::new(),
            prepared: Vec::new(),
            spots: Vec::new(),
            elements: Vec::new(),
            brevity: Brevity::EXACT,
            kept: None,
            has_missed: false,
            stretch_from: 0,
            processed_before: 0,
            is_worker: false,
        }
    }

    /// For a thread that may take its time.
    pub fn for_worker(thread: Thread) -> Self {
        Self { is_worker: true, ..Self::new(thread) }
    }

    /// Runs the requests `from` to `until` of a batch, at most a chunk. Answers the index of the request to go on with, and why to halt.
    pub fn run(
        &mut self,
        state: &'static State,
        session: &mut Session,
        requests: Chunk<'_>,
        out: &mut Output,
    ) -> (usize, Option<Halt>) {
        let chunk = Chunk { until: requests.until.min(requests.from + CHUNK), ..requests };
        if self.thread.meter.mark() == 0 {
            self.begin_turn(state.clock.ticks());
        }
        self.brevity = Brevity::of_chunk(state, chunk);
        self.prepare(state, chunk);
        self.stretch_from = chunk.from;
        let (ran, halt) = self.run_prepared(state, session, chunk, out);
        debug_assert!(self.kept.is_none(), "kept for a request of this chunk");
        end_promise(session, halt.as_ref());
        let is_whole = ran == chunk.until;
        self.close(state, session, chunk, ran);
        self.publish(session, (ran - chunk.from).saturating_sub(usize::from(is_whole)));
        self.thread.call(state);
        let is_done = halt.as_ref().is_some_and(|halt| !halt.comes_again());
        (ran + usize::from(is_done), halt)
    }

    /// Runs what has been prepared, up to the first request that halts: answers which that is, or the end of the chunk.
    #[inline]
    fn run_prepared(
        &mut self,
        state: &'static State,
        session: &mut Session,
        chunk: Chunk<'_>,
        out: &mut Output,
    ) -> (usize, Option<Halt>) {
        let Chunk { input, batch, from, until } = chunk;
        let mut at = from;
        while at < until {
            // Unwinding is the rare way: what ran before a panic has been replied to, and `at` says where it was.
            let ran = catch_unwind(AssertUnwindSafe(|| {
                while at < until {
                    let prepared = self.prepared[at - from];
                    if !prepared.is_brief {
                        // What comes next sees the counts of all before it, and its own time only.
                        self.close(state, session, chunk, at);
                    }
                    if prepared.keeps && self.has_missed && self.kept.is_none() {
                        self.begin_run(state, at - from);
                    }
                    let halt =
                        self.run_one(state, session, input, batch.request(at), prepared, out);
                    match halt {
                        None => at += 1,
                        Some(halt) => return Some(halt),
                    }
                }
                None
            }));
            match ran {
                Ok(None) => {}
                Ok(halt @ Some(_)) => return (at, halt),
                Err(_) => {
                    self.kept = None;
                    session.leave_unit();
                    Writer { out, protocol: session.protocol }.error(&Error::Internal.text());
                    at += 1;
                }
            }
        }
        (at, None)
    }

    /// A turn begins; `now` is what the clock that measures shows.
    pub fn begin_turn(&mut self, now: u64) {
        self.thread.meter.begin(now);
        self.processed_before = self.thread.counters.processed.get();
    }

    /// When the clock was looked at last, which is at the end of each chunk.
    pub const fn looked(&self) -> u64 {
        self.thread.meter.mark()
    }

    /// A turn ends that began at `started`.
    pub fn end_turn(&mut self, started: u64) {
        let counters = &self.thread.counters;
        let took = self.thread.meter.mark().saturating_sub(started);
        counters.batches.add(1);
        counters.busy_ns.add(took);
        counters.turn_max_ns.raise(took);
        // CONFIG RESETSTAT may have come between.
        let commands = counters.processed.get().saturating_sub(self.processed_before);
        counters.turn_commands_max.raise(commands);
        self.thread.meter.begin(0);
    }

    /// Ends the stretch of brief commands that ends before request `until` of the batch.
    #[inline]
    fn close(&mut self, state: &'static State, session: &Session, chunk: Chunk<'_>, until: usize) {
        let Chunk { input, batch, from, .. } = chunk;
        let stretch = std::mem::replace(&mut self.stretch_from, until)..until;
        let prepared = |at: usize| self.prepared[at - from];
        self.thread.close(state, || {
            let brief = stretch.filter(|at| prepared(*at).is_brief);
            let at = brief.max_by_key(|at| extent(batch.request(*at)))?;
            let (row, spans, client) = (prepared(at).row?, batch.request(at), &*session.client);
            Some(Ran { row, input, spans, reply_bytes: 0, client })
        });
    }

    /// Tells others what the client has run, once for a chunk.
    fn publish(&self, session: &Session, nth: usize) {
        let client = &session.client;
        client.total_commands.store(session.commands, Ordering::Relaxed);
        if let Some(row) = self.prepared.get(nth).and_then(|prepared| prepared.row) {
            client.last_command.store(row.id as u32, Ordering::Relaxed);
        }
    }

    fn run_one(
        &mut self,
        state: &'static State,
        session: &mut Session,
        input: &[u8],
        spans: &[Span],
        prepared: Prepared,
        out: &mut Output,
    ) -> Option<Halt> {
        let mark = out.mark();
        let halt = self.run_checked(state, session, input, spans, prepared, out);
        if session.replies != Replies::On {
            silence(session, mark, halt.as_ref(), out);
        }
        if session.modes == 0 { halt } else { after_unusual(session, prepared.row, halt) }
    }

    #[inline]
    fn run_checked(
        &mut self,
        state: &'static State,
        session: &mut Session,
        input: &[u8],
        spans: &[Span],
        prepared: Prepared,
        out: &mut Output,
    ) -> Option<Halt> {
        let mut rules = state.rules.load(Ordering::Acquire);
        if self.kept.is_some() && (rules != 0 || session.modes != 0 || session.multi.is_some()) {
            self.kept = None;
        }
        if rules & rule::OVER != 0 {
            eviction::relieve(state, &self.thread);
            rules = state.rules.load(Ordering::Acquire);
        }
        let Some(row) = prepared.row.filter(|row| row.takes(spans.len())) else {
            let error = explain(state, session, input, spans);
            return self.refuse(state, session, prepared.row, &error, out);
        };
        let is_plain = session.multi.is_none()
            && !session.is_in_mode(mode::JUDGED)
            && row.flags & Flag::Protected.bit() == 0;
        if !is_plain || rules != 0 {
            match check(state, session, row, (input, spans)) {
                Ok(Verdict::Run) if self.needs_worker(session, row) => {
                    return Some(Halt::Elsewhere);
                }
                Ok(Verdict::Run) if rules & rule::UNLOGGED != 0 => {
                    match self.is_in_doubt(state, session, row, prepared.keys) {
                        Ok(false) => {}
                        Ok(true) => {
                            return self.refuse(state, session, Some(row), &Error::InDoubt, out);
                        }
                        Err(Busy(shard)) => return Some(self.busy(session, shard)),
                    }
                }
                Ok(Verdict::Run) => {}
                Ok(Verdict::Queue) => return enqueue(state, session, row, input, spans, out),
                Ok(Verdict::Pause) => return Some(Halt::Paused),
                Ok(Verdict::Room) => return Some(Halt::Room(0)),
                Err(error) => {
                    if row.locks == Locks::Queue && rules & rule::MONITORED != 0 {
                        // Who has seen MULTI sees that it is over.
                        let words = spans.iter().map(|span| span.of(input));
                        let who = (Some(&*session.client), session.db);
                        monitor::show_words(state, &self.thread, who, row, words);
                    }
                    return self.refuse(state, session, Some(row), &error, out);
                }
            }
        }
        if !prepared.is_brief
            && let Err(lack) = self.promise(state, session, asked_for(session, row, spans))
        {
            return self.lacks_room(state, session, row, lack, out);
        }
        let halt = self.execute(state, session, row, input, spans, prepared, rules, out);
        let prepared = match halt {
            Some(Halt::All) => {
                Prepared { keys: prepared.keys.and_all(&mut self.spots), ..prepared }
            }
            Some(Halt::Room(bytes)) => {
                if let Err(lack) = self.promise(state, session, bytes) {
                    return self.lacks_room(state, session, row, lack, out);
                }
                prepared
            }
            _ => return halt,
        };
        self.execute_again(state, session, row, input, spans, prepared, rules, out)
    }

    /// Promises so many bytes to the request under way, and makes room for them.
    fn promise(
        &self,
        state: &'static State,
        session: &mut Session,
        bytes: usize,
    ) -> Result<(), Lack> {
        if bytes == 0 { Ok(()) } else { promise(state, &self.thread, session, bytes) }
    }

    /// There is no room yet for what a request adds, or never will be.
    #[cold]
    fn lacks_room(
        &mut self,
        state: &'static State,
        session: &mut Session,
        row: &'static Row,
        lack: Lack,
        out: &mut Output,
    ) -> Option<Halt> {
        match lack {
            Lack::ForNow(bytes) => Some(Halt::Room(bytes)),
            Lack::ForEver => self.refuse(state, session, Some(row), &Error::OutOfMemory, out),
        }
    }

    /// [`Executor::execute`] in a copy of its own, so that the rare second time takes no room in the path of the first.
    #[expect(clippy::too_many_arguments, reason = "the executor's parts, borrowed apart")]
    #[cold]
    #[inline(never)]
    fn execute_again(
        &mut self,
        state: &'static State,
        session: &mut Session,
        row: &'static Row,
        input: &[u8],
        spans: &[Span],
        prepared: Prepared,
        rules: u32,
        out: &mut Output,
    ) -> Option<Halt> {
        self.execute(state, session, row, input, spans, prepared, rules, out)
    }

    /// Whether this is an EXEC that runs scripts: inside a transaction nothing can move to a worker any more.
    fn needs_worker(&self, session: &Session, row: &Row) -> bool {
        let runs_script = |queued: &Queued| queued.row.has(Flag::RunsScript);
        row.locks == Locks::Queue
            && !self.is_worker
            && session.multi.as_ref().is_some_and(|multi| multi.queue.iter().any(runs_script))
    }

    /// A command that does not run: the client is told why, and a transaction that is being queued will not run.
    #[cold]
    fn refuse(
        &mut self,
        state: &'static State,
        session: &mut Session,
        row: Option<&'static Row>,
        error: &Error,
        out: &mut Output,
    ) -> Option<Halt> {
        self.kept = None;
        if let Some(multi) = &mut session.multi {
            multi.is_broken = true;
        }
        if let Some(row) = row {
            self.thread.counters.commands[row.id].rejected.add(1);
        }
        let aborted =
            row.filter(|row| row.locks == Locks::Queue).map(|_| abort(state, session, error));
        let error = aborted.as_ref().unwrap_or(error);
        self.thread.counters.error(&error.code());
        Writer { out, protocol: session.protocol }.error(&error.text());
        None
    }

    /// Locks, runs, and ends the unit.
    #[expect(clippy::too_many_arguments, reason = "the executor's parts, borrowed apart")]
    #[inline]
    fn execute(
        &mut self,
        state: &'static State,
        session: &mut Session,
        row: &'static Row,
        input: &[u8],
        spans: &[Span],
        prepared: Prepared,
        rules: u32,
        out: &mut Output,
    ) -> Option<Halt> {
        let keys = prepared.keys;
        let patience =
            if session.retries == 0 { Patience::SHORT } else { Patience::after(session.retries) };
        let mut held = Held::none();
        if let Err(Busy(shard)) = self.lock(state, session, row, keys, patience, &mut held) {
            return Some(self.busy(session, shard));
        }
        if state.rules.load(Ordering::Acquire) != rules {
            return Some(Halt::Again);
        }
        if (row.has(Flag::Write) || row.has(Flag::MayReplicate) || row.locks == Locks::Queue)
            && held.iter().any(Shard::is_guarded)
            && (self.is_closed(session, keys, input, spans, &mut held)
                | has_closed_target(state, &mut held))
        {
            return Some(Halt::Paused);
        }
        if self.is_worker {
            held.mark_long();
        }
        session.retries = 0;
        let spots = match keys {
            KeySet::None => Spots::None,
            KeySet::One(at, spot) => Spots::One(at, spot),
            KeySet::Many(start, end) | KeySet::All(start, end) => {
                let spots = &self.spots[start..end];
                self.prefetch_held(&held, spots);
                Spots::many(spots)
            }
        };
        let mut args = Args::new(input, spans, row.first_arg(), spots);
        let (now, mark, started) = (state.clock.now(), out.mark(), self.thread.meter.mark());
        self.unit.begin(state.journal.is_followed());
        let data = Data::new(state, &self.thread, held, &mut self.unit, session, now);
        let reply = Writer { out, protocol: session.protocol };
        let (thread, is_worker) = (&self.thread, self.is_worker);
        let mut cx = Context { data, reply, session, state, thread, row, is_worker };
        let result = (row.command.run)(&mut cx, &mut args);
        let halt = match result {
            Ok(()) => None,
            Err(stop) => stopped(&mut cx, stop, mark, input, spans),
        };
        let has_run = !halt.as_ref().is_some_and(Halt::comes_again);
        let own = cx.data.unit.end_only_command(cx.session.db, &args);
        if has_run && (cx.session.is_in_mode(mode::READER) || rules & rule::MONITORED != 0) {
            look_on(&mut cx, &args, rules);
        }
        finish(&mut cx.data, own);
        if cx.data.unit.is_followed {
            cx.session.stamp = cx.session.stamp.max(stamp(&cx.data));
        }
        let held = cx.data.held;
        let reply_bytes = out.len().saturating_sub(mark.offset());
        let observe = &state.tunables.observe;
        let is_brief = prepared.is_brief
            && halt.is_none()
            && reply_bytes <= observe.brief_reply.load(Ordering::Relaxed);
        let must_ask = self.thread.must_ask();
        if prepared.keeps && is_brief && !must_ask && session.modes == 0 {
            self.kept = held.into_only();
        } else {
            drop(held);
        }
        if must_ask {
            session.end_promise();
            eviction::repay(state, &self.thread, keys.spot().map(|spot| spot.hash));
        }
        if is_brief {
            self.thread.meter.note(row.id);
            session.commands += 1;
        } else {
            let is_alone = !prepared.is_brief;
            self.account(
                state,
                session,
                row,
                input,
                spans,
                reply_bytes,
                is_alone,
                started,
                halt.as_ref(),
            );
        }
        halt
    }

    /// Whether the disk failed before the last write to a shard of these keys was on it. Nothing comes to be in doubt later: commands that
    /// write are refused already.
    #[cold]
    fn is_in_doubt(
        &self,
        state: &'static State,
        session: &Session,
        row: &Row,
        keys: KeySet,
    ) -> Result<bool, Busy> {
        let all = || (0..state.keyspace.shards()).collect();
        let roams = row.has(Flag::RunsScript) || row.has(Flag::Walks) && row.has(Flag::ReadOnly);
        let shards: Vec<u32> = match keys {
            _ if roams => all(),
            KeySet::One(_, spot) => vec![spot.shard],
            KeySet::Many(start, end) => {
                self.spots[start..end].iter().map(|(_, spot)| spot.shard).collect()
            }
            KeySet::All(..) => all(),
            KeySet::None => match row.locks {
                Locks::Queue => session.queued_shards().unwrap_or_else(all),
                Locks::All => all(),
                _ => Vec::new(),
            },
        };
        for shard in shards {
            if state.aof.is_in_doubt(state.keyspace.hold_one(shard, Patience::SHORT)?.lsn) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a key holds a large collection that a snapshot is still to write: all of those are written next, and the request comes
    /// again. A transaction may select another database: what it writes is looked at in all of them.
    #[cold]
    fn is_closed(
        &self,
        session: &Session,
        keys: KeySet,
        input: &[u8],
        spans: &[Span],
        held: &mut Held<'static, Shard>,
    ) -> bool {
        let key = |at: usize| spans[at].of(input);
        let mut is_closed = |key: &[u8], spot: Spot| {
            let name = Name { db: session.db, key, hash: spot.hash };
            held.get_mut(spot.shard).is_some_and(|shard| shard.is_closed(name))
        };
        match keys {
            KeySet::One(at, spot) => is_closed(key(at), spot),
            KeySet::Many(start, end) => self.spots[start..end]
                .iter()
                .fold(false, |any, (at, spot)| is_closed(key(*at as usize), *spot) | any),
            KeySet::None => {
                let queue = session.multi.as_ref().map_or(&[][..], |multi| &multi.queue);
                let writing = queue.iter().filter(|queued| queued.row.has(Flag::Write));
                let mut is_closed = |key: &[u8], spot: Spot| {
                    let Some(shard) = held.get_mut(spot.shard) else { return false };
                    let name = |db| Name { db, key, hash: spot.hash };
                    (0..shard.databases()).fold(false, |any, db| shard.is_closed(name(db)) | any)
                };
                writing
                    .flat_map(Queued::keys)
                    .fold(false, |any, (key, spot)| is_closed(key, spot) | any)
            }
            KeySet::All(..) => false,
        }
    }

    /// Accounts for a command that was timed by itself, or turned out not to be brief.
    #[expect(clippy::too_many_arguments, reason = "a command and what came of it")]
    #[inline(never)]
    fn account(
        &self,
        state: &'static State,
        session: &mut Session,
        row: &'static Row,
        input: &[u8],
        spans: &[Span],
        reply_bytes: usize,
        is_alone: bool,
        started: u64,
        halt: Option<&Halt>,
    ) {
        let thread = &self.thread;
        let started = if is_alone || halt.is_none() {
            started
        } else {
            thread.close(state, || None);
            thread.meter.mark()
        };
        match halt {
            None => {
                session.commands += 1;
                let ran = Ran { row, input, spans, reply_bytes, client: &session.client };
                if is_alone {
                    let ns = thread.stop(state, started);
                    thread.ran(state, &ran, ns);
                } else {
                    thread.close_on(state, &ran);
                }
            }
            Some(Halt::Wait(blocked)) => {
                blocked.spent_ns.fetch_add(thread.stop(state, started), Ordering::Relaxed);
            }
            Some(Halt::Later(_) | Halt::Ask(_)) => {
                session.commands += 1;
                let spent_ns = thread.stop(state, started);
                let is_held_back = matches!(
                    halt,
                    Some(Halt::Ask(Request::Refuse { .. } | Request::SendSnapshot { .. }))
                );
                let request = OwnedRequest::copy(input, spans);
                session.late = Some(Box::new(Late { row, request, spent_ns, is_held_back }));
            }
            // It will run again.
            _ => {}
        }
    }

    fn busy(&self, session: &mut Session, shard: u32) -> Halt {
        session.retries += 1;
        self.thread.counters.busy.add(1);
        Halt::Busy(shard)
    }

    /// Runs a request that was copied, on a worker or in slices; see [`Halt::Elsewhere`].
    pub fn run_owned(
        &mut self,
        state: &'static State,
        session: &mut Session,
        request: &OwnedRequest,
        out: &mut Output,
    ) -> Option<Halt> {
        self.prepared.clear();
        self.spots.clear();
        let (input, spans) = (request.input(), request.spans());
        self.brevity = Brevity::EXACT;
        self.thread.meter.begin(state.clock.ticks());
        let prepared = self.look_up(state, input, spans, &mut Last::default());
        let halt = self.run_one(state, session, input, spans, prepared, out);
        end_promise(session, halt.as_ref());
        self.thread.call(state);
        self.thread.meter.begin(0);
        halt
    }

    /// Runs the commands of all who wait for the keys that one of them waits for: what it waits for may have come about by the mere
    /// passing of time.
    pub fn look_again(&mut self, state: &'static State, blocked: &Blocked) -> Result<(), Busy> {
        let shards = sorted(blocked.names().map(|(_, shard)| shard));
        let held = state.keyspace.hold(&shards, Patience::SHORT)?;
        let mut held = close_over_targets(state, held, Patience::SHORT)?;
        for (name, shard) in blocked.names() {
            let shard = held.get_mut(shard).expect("held above");
            if shard.interest().is_some() {
                shard.interest_mut().make_ready(name);
            }
        }
        self.unit.begin(state.journal.is_followed());
        let session = Session::new(Arc::clone(&blocked.client), true);
        let now = state.clock.now();
        let mut data = Data::new(state, &self.thread, held, &mut self.unit, &session, now);
        finish_touched(&mut data, None);
        drop(data);
        self.thread.call(state);
        Ok(())
    }

    /// What a thread that is done with executing keeps.
    pub fn into_thread(self) -> Thread {
        self.thread
    }

    /// Does one slice of a walk; `Ok(true)` when its reply is written.
    pub fn walk(
        &mut self,
        state: &'static State,
        session: &mut Session,
        walk: &mut dyn Walk,
        out: &mut Output,
    ) -> Result<bool, Halt> {
        self.unit.begin(false);
        let data = Data::new(
            state,
            &self.thread,
            Held::none(),
            &mut self.unit,
            session,
            state.clock.now(),
        );
        let reply = Writer { out, protocol: session.protocol };
        let row = state.table.rows()[0];
        let (thread, is_worker) = (&self.thread, self.is_worker);
        let mut cx = Context { data, reply, session, state, thread, row, is_worker };
        let step = walk.step(&mut cx);
        thread.call(state);
        match step {
            Ok(done) => Ok(done),
            Err(Stop::Busy(Busy(shard))) => Err(Halt::Busy(shard)),
            Err(Stop::Error(error)) => {
                cx.reply.error(&error.text());
                Ok(true)
            }
            Err(_) => unreachable!("a walk ends, is busy or fails"),
        }
    }
}

/// What was promised to a request that does not run again here is no longer.
#[inline]
fn end_promise(session: &mut Session, halt: Option<&Halt>) {
    if session.promise().is_some() && !halt.is_some_and(Halt::comes_again_here) {
        session.end_promise();
    }
}

/// Puts a command into the queue of a transaction.
fn enqueue(
    state: &'static State,
    session: &mut Session,
    row: &'static Row,
    input: &[u8],
    spans: &[Span],
    out: &mut Output,
) -> Option<Halt> {
    let mut spots = Vec::new();
    gather(state, row, input, spans, &mut spots);
    let queued = Queued { row, request: OwnedRequest::copy(input, spans), spots };
    let multi = session.multi.get_or_insert_with(Box::<Multi>::default);
    multi.push(queued);
    session.client.queued.store(multi.queue.len() as i64, Ordering::Relaxed);
    session.client.queued_bytes.store(multi.bytes, Ordering::Relaxed);
    Writer { out, protocol: session.protocol }.simple("QUEUED");
    None
}
