//! How requests run: look up, check, lock, run, record, serve, let go.
//!
//! Requests of a pipeline run in chunks. For a chunk, all rows are found and all keys hashed first, and the memory of their shards,
//! buckets and entries is asked for; then the requests run in order, and find it in the cache. That halves the time per command.
//!
//! The common case is decided with two tests: the session has no mode set, and the server no rule. Everything else is judged in `check`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use russet_engine::shard::Step;
use russet_engine::{Busy, Guard, Held, Interest, Patience, Shard, Spot, Waiter};
use russet_journal::Lsn;
use russet_resp::{Batch, Output, Span, Writer};
use smallvec::SmallVec;

use crate::args::{Args, OwnedRequest, Spots};
use crate::blocking::{Blocked, OnTimeout, Wait};
use crate::command::Flag;
use crate::commandlog::Ran;
use crate::context::{Context, Data};
use crate::effect::Unit;
use crate::error::{Error, Stop};
use crate::keys::positions;
use crate::meter::{BRIEF_WORDS, Late};
use crate::monitor;
use crate::request::Request;
use crate::serve::{Served, serve};
use crate::session::{Replies, Session, mode};
use crate::state::{State, Thread, rule};
use crate::table::{Locks, Row};
use crate::tracking;
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

/// Looks at the shards of some keys, as far as nobody holds them. Each is taken once for all keys in a row that lie behind it.
#[inline]
fn visit<T>(
    state: &'static State,
    keys: impl Iterator<Item = (Spot, T)>,
    mut look: impl FnMut(&Shard, T),
) {
    let mut held: Option<Guard<'_, Shard>> = None;
    for (spot, what) in keys {
        if held.as_ref().is_none_or(|shard| shard.index() != spot.shard) {
            // Let go first: locks are taken in ascending order, or one at a time.
            drop(held.take());
            held = state.keyspace.peek(spot.shard);
        }
        if let Some(shard) = &held {
            look(shard, what);
        }
    }
}

/// Work that goes on in slices.
pub trait Walk: Send + std::fmt::Debug {
    /// Does one slice; says whether the work is done and the reply written.
    fn step(&mut self, cx: &mut Context<'_>) -> Result<bool, Stop>;
}

/// One request of a chunk, looked up.
#[derive(Clone, Copy)]
struct Prepared {
    row: Option<&'static Row>,
    /// The only key's argument, or where the keys stand in `spots`.
    keys: KeySet,
    /// Whether it is not timed by itself.
    is_brief: bool,
}

impl Prepared {
    /// Where the element is looked for that one of the words names, if the command's row says that one does.
    #[inline]
    fn element<'a>(self, input: &'a [u8], spans: &[Span]) -> Option<(Spot, &'a [u8])> {
        match (self.keys, self.row) {
            (KeySet::One(_, spot), Some(row)) if row.element > 0 => {
                Some((spot, spans.get(row.element)?.of(input)))
            }
            _ => None,
        }
    }
}

/// Which requests of a chunk are brief.
#[derive(Clone, Copy, Debug, Default)]
struct Brevity {
    /// None: each is timed by itself.
    is_exact: bool,
    /// Those of up to so many bytes, if that has to be looked at.
    bytes_max: Option<usize>,
}

impl Brevity {
    fn of_chunk(state: &State, batch: &Batch, from: usize, until: usize) -> Self {
        let observe = &state.tunables.observe;
        let begin = if from == 0 { 0 } else { batch.end_of(from - 1) };
        let bytes = batch.end_of(until.saturating_sub(1)).saturating_sub(begin);
        let bytes_max = observe.brief_request.load(Ordering::Relaxed);
        let is_exact = observe.is_exact();
        Self { is_exact, bytes_max: (bytes > bytes_max).then_some(bytes_max) }
    }

    #[inline]
    fn takes(self, row: &Row, spans: &[Span]) -> bool {
        row.is_brief
            && spans.len() <= BRIEF_WORDS
            && !self.is_exact
            && self.bytes_max.is_none_or(|max| extent(spans) <= max)
    }
}

/// Bytes from the beginning of the first word to the end of the last.
fn extent(spans: &[Span]) -> usize {
    match spans {
        [first, .., last] => last.start + last.len - first.start,
        [only] => only.len,
        [] => 0,
    }
}

#[derive(Clone, Copy)]
enum KeySet {
    None,
    One(usize, Spot),
    Many(usize, usize),
    /// As many, and all shards with them.
    All(usize, usize),
}

impl KeySet {
    #[inline]
    const fn is_in(self, shard: u32) -> bool {
        matches!(self, Self::One(_, spot) if spot.shard == shard)
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
    brevity: Brevity,
    /// The first request of the stretch under way.
    stretch_from: usize,
    /// Commands that the thread had run when the turn began.
    processed_before: u64,
    is_worker: bool,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prepared")
    }
}

impl Executor {
    /// For one thread.
    pub const fn new(thread: Thread) -> Self {
        Self {
            thread,
            unit: Unit::new(),
            prepared: Vec::new(),
            spots: Vec::new(),
            brevity: Brevity { is_exact: false, bytes_max: None },
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
    #[expect(clippy::too_many_arguments, reason = "the batch and its bounds, borrowed apart")]
    pub fn run(
        &mut self,
        state: &'static State,
        session: &mut Session,
        input: &[u8],
        batch: &Batch,
        from: usize,
        until: usize,
        out: &mut Output,
    ) -> (usize, Option<Halt>) {
        let until = until.min(from + CHUNK);
        if self.thread.meter.mark() == 0 {
            self.begin_turn(state.clock.ticks());
        }
        self.brevity = Brevity::of_chunk(state, batch, from, until);
        self.prepare(state, input, batch, from, until);
        self.stretch_from = from;
        let result = self.run_prepared(state, session, input, batch, from, until, out);
        self.thread.call();
        result
    }

    #[expect(clippy::too_many_arguments, reason = "the batch and its bounds, borrowed apart")]
    #[inline]
    fn run_prepared(
        &mut self,
        state: &'static State,
        session: &mut Session,
        input: &[u8],
        batch: &Batch,
        from: usize,
        until: usize,
        out: &mut Output,
    ) -> (usize, Option<Halt>) {
        let mut at = from;
        while at < until {
            // Unwinding is the rare way: what ran before a panic has been replied to, and `at` says where it was.
            let ran = catch_unwind(AssertUnwindSafe(|| {
                while at < until {
                    let prepared = self.prepared[at - from];
                    if !prepared.is_brief {
                        // What comes next sees the counts of all before it, and its own time only.
                        self.close(state, session, input, batch, from, at);
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
                Ok(Some(halt)) => {
                    self.close(state, session, input, batch, from, at);
                    self.publish(session, at - from);
                    let again = matches!(
                        halt,
                        Halt::Busy(_) | Halt::Again | Halt::Elsewhere | Halt::Paused
                    );
                    return (at + usize::from(!again), Some(halt));
                }
                Err(_) => {
                    Writer { out, protocol: session.protocol }.error(&Error::Internal.text());
                    at += 1;
                }
            }
        }
        self.close(state, session, input, batch, from, until);
        self.publish(session, (until - from).saturating_sub(1));
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
    fn close(
        &mut self,
        state: &'static State,
        session: &Session,
        input: &[u8],
        batch: &Batch,
        chunk_from: usize,
        until: usize,
    ) {
        let stretch = std::mem::replace(&mut self.stretch_from, until)..until;
        let prepared = |at: usize| self.prepared[at - chunk_from];
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
            client.last_command.store(row.id, Ordering::Relaxed);
        }
    }

    /// Looks all requests up, hashes their keys and asks for the memory that they will touch: first locks and buckets, which needs no
    /// lock, then entries, which finds in the cache what was asked for before.
    fn prepare(
        &mut self,
        state: &'static State,
        input: &[u8],
        batch: &Batch,
        from: usize,
        until: usize,
    ) {
        self.prepared.clear();
        self.spots.clear();
        let mut has_elements = false;
        for at in from..until {
            let prepared = self.look_up(state, input, batch.request(at));
            has_elements |= prepared.row.is_some_and(|row| row.element > 0);
            self.prepared.push(prepared);
        }
        if until - from > 1 || self.spots.len() > 1 {
            self.prefetch_entries(state);
        }
        if until - from > 1 && has_elements {
            self.prefetch_elements(state, input, batch, from, Step::Place);
            self.prefetch_elements(state, input, batch, from, Step::Element);
        }
    }

    fn look_up(&mut self, state: &'static State, input: &[u8], spans: &[Span]) -> Prepared {
        let Some(row) = find_row(state, input, spans) else {
            return Prepared { row: None, keys: KeySet::None, is_brief: true };
        };
        let keys = self.key_set(state, row, input, spans);
        Prepared { row: Some(row), keys, is_brief: self.brevity.takes(row, spans) }
    }

    /// Hashes the keys of a request.
    #[inline]
    fn key_set(
        &mut self,
        state: &'static State,
        row: &Row,
        input: &[u8],
        spans: &[Span],
    ) -> KeySet {
        match row.locks {
            Locks::One(at) if at < spans.len() => {
                let spot = state.keyspace.locate(spans[at].of(input));
                // Asking again for a lock would take it from whoever holds it.
                if !matches!(self.prepared.last(), Some(last) if last.keys.is_in(spot.shard)) {
                    state.keyspace.prefetch_lock(spot.shard);
                }
                state.keyspace.prefetch_bucket(spot);
                KeySet::One(at, spot)
            }
            Locks::Keys | Locks::KeysOrAll => {
                let start = self.spots.len();
                gather(state, row, input, spans, &mut self.spots);
                for (_, spot) in &self.spots[start..] {
                    state.keyspace.prefetch_lock(spot.shard);
                    state.keyspace.prefetch_bucket(*spot);
                }
                let end = self.spots.len();
                if row.takes_all(spans.len(), |at| spans[at].of(input)) {
                    KeySet::All(start, end)
                } else {
                    KeySet::Many(start, end)
                }
            }
            _ => KeySet::None,
        }
    }

    fn prefetch_entries(&self, state: &'static State) {
        let one = |prepared: &Prepared| match prepared.keys {
            KeySet::One(_, spot) => Some(spot),
            _ => None,
        };
        let many = self.spots.iter().map(|(_, spot)| *spot);
        let spots = self.prepared.iter().filter_map(one).chain(many);
        visit(state, spots.map(|spot| (spot, spot)), |shard, spot| {
            shard.prefetch_entry(spot.hash);
            if let Some(interest) = shard.interest() {
                interest.tracked.prefetch(spot.hash);
            }
        });
    }

    /// The same for what commands like HGET look for in a collection.
    fn prefetch_elements(
        &self,
        state: &'static State,
        input: &[u8],
        batch: &Batch,
        from: usize,
        step: Step,
    ) {
        let element = |(nth, prepared): (usize, &Prepared)| {
            let (spot, element) = prepared.element(input, batch.request(from + nth))?;
            Some((spot, (spot.hash, element)))
        };
        let elements = self.prepared.iter().enumerate().filter_map(element);
        visit(state, elements, |shard, (hash, element)| {
            shard.prefetch_element(hash, element, step)
        });
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
        let rules = state.rules.load(Ordering::Acquire);
        let Some(row) = prepared.row.filter(|row| row.takes(spans.len())) else {
            let error = explain(state, session, input, spans);
            return self.refuse(state, session, prepared.row, &error, out);
        };
        let is_plain =
            session.multi.is_none() && session.modes == 0 && row.flags & Flag::Protected.bit() == 0;
        if !is_plain || rules != 0 {
            match check(state, session, row) {
                Ok(Verdict::Run) => {}
                Ok(Verdict::Queue) => return enqueue(state, session, row, input, spans, out),
                Ok(Verdict::Pause) => return Some(Halt::Paused),
                Err(error) => {
                    if row.locks == Locks::Queue && rules & rule::MONITORED != 0 {
                        // Who has seen MULTI sees that it is over.
                        let words = spans.iter().map(|span| span.of(input));
                        let who = (&*session.client, session.db);
                        monitor::show_words(state, &self.thread, who, row, words);
                    }
                    return self.refuse(state, session, Some(row), &error, out);
                }
            }
        }
        self.execute(state, session, row, input, spans, prepared, rules, out)
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
        let held = match self.lock(state, session, row, keys, patience) {
            Ok(held) => held,
            Err(Busy(shard)) => return Some(self.busy(session, shard)),
        };
        if state.rules.load(Ordering::Acquire) != rules {
            return Some(Halt::Again);
        }
        if self.is_worker {
            held.mark_long();
        }
        session.retries = 0;
        let spots = match keys {
            KeySet::None => Spots::None,
            KeySet::One(at, spot) => Spots::One(at, spot),
            KeySet::Many(start, end) | KeySet::All(start, end) => {
                Spots::many(&self.spots[start..end])
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
        let has_run = !matches!(halt, Some(Halt::Busy(_) | Halt::Elsewhere));
        cx.data.unit.end_command(cx.session.db, args.words());
        if has_run && (cx.session.is_in_mode(mode::READER) || rules & rule::MONITORED != 0) {
            look_on(&mut cx, &args, rules);
        }
        finish(&mut cx.data);
        if cx.data.unit.is_followed {
            cx.session.stamp = cx.session.stamp.max(stamp(&cx.data));
        }
        drop(cx);
        let reply_bytes = out.len().saturating_sub(mark.offset());
        let observe = &state.tunables.observe;
        if prepared.is_brief
            && halt.is_none()
            && reply_bytes <= observe.brief_reply.load(Ordering::Relaxed)
        {
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
                let is_held_back = matches!(halt, Some(Halt::Ask(Request::Refuse { .. })));
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

    /// Takes the shards of a request's keys.
    #[inline]
    fn lock(
        &self,
        state: &'static State,
        session: &Session,
        row: &Row,
        keys: KeySet,
        patience: Patience,
    ) -> Result<Held<'static, Shard>, Busy> {
        match keys {
            KeySet::One(_, spot) => {
                let guard = state.keyspace.hold_one(spot.shard, patience)?;
                let is_awaited = guard.interest().is_some_and(Interest::is_awaited);
                let held = Held::from(guard);
                if is_awaited && row.has(Flag::Write) {
                    close_over_targets(state, held, patience)
                } else {
                    Ok(held)
                }
            }
            KeySet::Many(start, end) => {
                let shards = sorted(self.spots[start..end].iter().map(|(_, spot)| spot.shard));
                let held = state.keyspace.hold(&shards, patience)?;
                if row.has(Flag::Write) {
                    close_over_targets(state, held, patience)
                } else {
                    Ok(held)
                }
            }
            KeySet::All(..) => state.keyspace.hold_all(patience),
            KeySet::None => {
                if row.locks != Locks::None {
                    // A transaction may take long: nobody waits for their mail until it is over.
                    self.thread.call();
                }
                lock_unkeyed(state, session, row, patience)
            }
        }
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
        self.brevity = Brevity { is_exact: true, bytes_max: None };
        self.thread.meter.begin(state.clock.ticks());
        let prepared = self.look_up(state, input, spans);
        let halt = self.run_one(state, session, input, spans, prepared, out);
        self.thread.call();
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
        finish_touched(&mut data);
        drop(data);
        self.thread.call();
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
        thread.call();
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

/// Takes a reply back, as CLIENT REPLY has ordered. One that comes later is the connection's to drop: see [`Session::drops_reply`].
#[cold]
fn silence(session: &mut Session, mark: russet_resp::Mark, halt: Option<&Halt>, out: &mut Output) {
    if session.replies == Replies::SkipNext {
        session.replies = Replies::Skip;
        return;
    }
    if !session.is_in_mode(mode::PUSHED) {
        out.truncate(mark);
    }
    // A waiter carries the order with it, and whatever else halts has not replied yet.
    let is_over = matches!(halt, None | Some(Halt::Wait(_) | Halt::Close | Halt::Mail));
    if is_over {
        session.drops_reply();
    }
}

/// What follows a command of a session that is not like most.
#[cold]
fn after_unusual(
    session: &mut Session,
    row: Option<&'static Row>,
    halt: Option<Halt>,
) -> Option<Halt> {
    session.set_mode(mode::PUSHED, false);
    if session.is_in_mode(mode::CACHING) && ends_caching(session, row, halt.as_ref()) {
        session.end_caching();
    }
    if session.is_in_mode(mode::CLOSING) {
        session.client.closing.store(true, Ordering::Release);
        return halt.or(Some(Halt::Close));
    }
    let is_told = session.is_in_mode(mode::SUBSCRIBER | mode::TOLD);
    let has_mail = is_told && session.client.has_mail();
    if has_mail { halt.or(Some(Halt::Mail)) } else { halt }
}

/// Whether CLIENT CACHING, which is about the next command or transaction, is over: not before that has run, nor by CLIENT itself.
fn ends_caching(session: &Session, row: Option<&'static Row>, halt: Option<&Halt>) -> bool {
    let comes_again =
        matches!(halt, Some(Halt::Busy(_) | Halt::Again | Halt::Elsewhere | Halt::Paused));
    let is_client = row.is_some_and(|row| row.full_name.starts_with("client|"));
    !comes_again && !is_client && session.multi.is_none()
}

/// What a command was that has run, for those who look on: who reads, and who monitors.
#[inline]
pub(crate) fn look_on(cx: &mut Context<'_>, args: &Args<'_>, rules: u32) {
    if cx.row.has(Flag::ReadOnly)
        && let Some(reader) = cx.session.reads_as()
    {
        tracking::remember(&mut cx.data, reader, args.keys());
    }
    if rules & rule::MONITORED != 0 {
        monitor::show(cx, args);
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

/// The row of a request, a subcommand's if it has one.
#[inline]
fn find_row(state: &'static State, input: &[u8], spans: &[Span]) -> Option<&'static Row> {
    let row = state.table.find(spans.first()?.of(input))?;
    if row.subcommands.is_empty() {
        return Some(row);
    }
    match spans.get(1) {
        Some(sub) => row.subcommand(sub.of(input)),
        None => Some(row),
    }
}

/// The keys of a request, ascending by argument.
pub(crate) fn gather(
    state: &'static State,
    row: &Row,
    input: &[u8],
    spans: &[Span],
    into: &mut Vec<(u32, Spot)>,
) {
    let start = into.len();
    let arg = |at: usize| spans[at].of(input);
    // Arguments that make no sense give no keys; the handler, which reads the same arguments, says what is wrong.
    let makes_sense = positions(row.command.keys, spans.len(), arg, |at, _| {
        into.push((at as u32, state.keyspace.locate(arg(at))));
    });
    if !makes_sense {
        into.truncate(start);
    }
    if row.command.keys.len() > 1 {
        into[start..].sort_unstable_by_key(|(at, _)| *at);
    }
}

fn sorted(shards: impl Iterator<Item = u32>) -> SmallVec<[u32; 16]> {
    let mut shards: SmallVec<[u32; 16]> = shards.collect();
    shards.sort_unstable();
    shards.dedup();
    shards
}

/// Commands without keys of their own: none, all, or what a transaction has queued.
fn lock_unkeyed(
    state: &'static State,
    session: &Session,
    row: &Row,
    patience: Patience,
) -> Result<Held<'static, Shard>, Busy> {
    match row.locks {
        Locks::All => state.keyspace.hold_all(patience),
        Locks::Queue => match session.queued_shards() {
            None => state.keyspace.hold_all(patience),
            Some(shards) => {
                let held = state.keyspace.hold(&sorted(shards.into_iter()), patience)?;
                close_over_targets(state, held, patience)
            }
        },
        _ => Ok(Held::none()),
    }
}

/// Serving a waiter may change another shard than those of the command that serves it: those are taken too, before anything runs.
fn close_over_targets(
    state: &'static State,
    held: Held<'static, Shard>,
    patience: Patience,
) -> Result<Held<'static, Shard>, Busy> {
    if !held.iter().any(is_awaited) {
        return Ok(held);
    }
    let mut held = held;
    loop {
        let targets = held.iter().filter_map(Shard::interest).flat_map(Interest::targets);
        let all = sorted(held.indexes().chain(targets));
        if all.len() == held.len() {
            return Ok(held);
        }
        drop(held);
        held = state.keyspace.hold(&all, patience)?;
    }
}

/// A handler that did not reply.
#[cold]
fn stopped(
    cx: &mut Context<'_>,
    stop: Stop,
    mark: russet_resp::Mark,
    input: &[u8],
    spans: &[Span],
) -> Option<Halt> {
    cx.reply.out.truncate(mark);
    match stop {
        Stop::Error(error) => {
            failed(cx, &error);
            None
        }
        Stop::Busy(Busy(shard)) => {
            cx.session.retries += 1;
            Some(Halt::Busy(shard))
        }
        Stop::Wait(wait) if cx.session.deny_blocking => {
            no_wait(cx, wait.on_timeout);
            None
        }
        Stop::Wait(mut wait) => {
            let request = wait.request.take();
            let request = request.unwrap_or_else(|| OwnedRequest::copy(input, spans));
            Some(Halt::Wait(register(cx, *wait, request)))
        }
        Stop::Elsewhere => Some(Halt::Elsewhere),
        Stop::Later(walk) => Some(Halt::Later(walk)),
        Stop::Ask(request) => Some(Halt::Ask(*request)),
    }
}

/// Writes and counts a handler's error.
pub(crate) fn failed(cx: &mut Context<'_>, error: &Error) {
    let counters = &cx.thread.counters;
    counters.commands[cx.row.id].failed.add(1);
    counters.error(&error.code());
    cx.reply.error(&error.text());
}

/// A blocking command where waiting is not allowed answers as if its time were up.
pub(crate) fn no_wait(cx: &mut Context<'_>, on_timeout: OnTimeout) {
    match on_timeout {
        OnTimeout::NullArray => cx.reply.null_array(),
        OnTimeout::Null => cx.reply.null(),
    }
}

/// Puts a waiter on the queues of all its keys, under the locks of all of them.
fn register(cx: &mut Context<'_>, wait: Wait, request: OwnedRequest) -> Arc<Blocked> {
    let session = &*cx.session;
    let client = Arc::clone(&session.client);
    let mut blocked =
        Blocked::new(client, session.db, wait, request, cx.row, session.protocol, session.no_touch);
    blocked.reads_as = session.reads_as().filter(|_| cx.row.has(Flag::ReadOnly));
    blocked.is_silent = session.is_silent();
    let blocked = Arc::new(blocked);
    for (name, shard) in blocked.names() {
        let shard =
            cx.data.held.get_mut(shard).expect("a waiter waits for keys that its row declares");
        let waiter: Arc<dyn Waiter> = Arc::<Blocked>::clone(&blocked);
        shard.interest_mut().wait(name, waiter);
    }
    *session.client.blocked.lock() = Some(Arc::clone(&blocked));
    session.client.blocked_bytes.store(blocked.request.heap_bytes(), Ordering::Relaxed);
    blocked
}

/// Whether anybody waits for a name of a shard.
fn is_awaited(shard: &Shard) -> bool {
    shard.interest().is_some_and(Interest::is_awaited)
}

/// Ends a unit: serves whoever waited for what changed, appends the effects, tells who has read what changed, and marks the shards
/// whole.
#[inline]
pub(crate) fn finish(data: &mut Data<'_>) {
    if data.unit.has_touched() {
        finish_touched(data);
    }
}

/// As [`finish`], for a unit that may have something for others.
fn finish_touched(data: &mut Data<'_>) {
    let concerns = data.held.iter().any(|shard| shard.interest().is_some());
    let served = if concerns { finish_for_others(data) } else { Vec::new() };
    data.thread.counters.changes.add(data.unit.changes);
    let lsn = (!data.unit.record.is_empty()).then(|| data.state.journal.append(&data.unit.record));
    for shard in data.held.iter_mut().filter(|shard| shard.is_changed()) {
        if let Some(lsn) = lsn {
            shard.lsn = lsn;
        }
        shard.finish();
    }
    let stamp = lsn.unwrap_or_default();
    if !data.unit.notes.is_empty() {
        data.publish_notes(stamp);
    }
    served.into_iter().for_each(|served| served.post(stamp));
    if !data.unit.stale.is_empty() {
        // Behind the replies of those who were served: they may be about what the same clients hear of now.
        tracking::tell(data.state, data.thread, &mut data.unit.stale, stamp);
    }
}

/// Serves whoever waited, and gathers what somebody has read.
#[cold]
fn finish_for_others(data: &mut Data<'_>) -> Vec<Served> {
    let served = if data.held.iter().any(is_awaited) { serve(data) } else { Vec::new() };
    data.gather_all_stale(data.client);
    served
}

/// What a reply given under these locks shows, whatever it says: the last write to any of the shards, or, without a shard, to anything.
fn stamp(data: &Data<'_>) -> Lsn {
    data.held.iter().map(|shard| shard.lsn).max().unwrap_or_else(|| data.state.journal.end())
}

enum Verdict {
    Run,
    Queue,
    Pause,
}

/// Everything that may stand between a request and its execution but for the common case.
#[cold]
fn check(state: &State, session: &Session, row: &'static Row) -> Result<Verdict, Error> {
    if row.has(Flag::Protected) {
        check_protected(state, session)?;
    }
    if !session.authenticated
        && state.tunables.needs_password.load(Ordering::Relaxed)
        && !row.has(Flag::NoAuth)
    {
        return Err(Error::NoAuth);
    }
    let is_queueing = session.multi.is_some();
    if is_queueing && row.has(Flag::NoMulti) {
        return Err(Error::NotInMulti);
    }
    let rules = state.rules.load(Ordering::Acquire);
    if session.client.monitors.load(Ordering::Relaxed) && touches_data(row) {
        return Err(Error::MonitorTouchesData);
    }
    if rules & rule::FULL != 0 && may(session, row, Flag::DenyOom.bit()) {
        return Err(Error::OutOfMemory);
    }
    if session.is_in_mode(mode::RESTRICTED) && !row.has(Flag::WhileSubscribed) {
        return Err(Error::only_while_subscribed(&row.full_name));
    }
    if rules & rule::LOADING != 0 && !row.has(Flag::Loading) {
        return Err(Error::Loading);
    }
    if is_paused(state, session, row, rules) {
        return Ok(Verdict::Pause);
    }
    Ok(if is_queueing && !row.has(Flag::Immediate) { Verdict::Queue } else { Verdict::Run })
}

fn check_protected(state: &State, session: &Session) -> Result<(), Error> {
    match state.debug_policy() {
        "yes" => Ok(()),
        "local" if session.client.peer.is_local() => Ok(()),
        _ => Err(Error::DebugNotAllowed),
    }
}

const fn touches_data(row: &Row) -> bool {
    row.has(Flag::Write) || row.has(Flag::ReadOnly) || row.has(Flag::MayReplicate)
}

/// Whether CLIENT PAUSE holds this command back: all, or those that may change something, also through EXEC. Who monitors goes on.
fn is_paused(state: &State, session: &Session, row: &Row, rules: u32) -> bool {
    if rules & (rule::PAUSE_ALL | rule::PAUSE_WRITE) == 0 || !state.pause_holds() {
        return false;
    }
    if session.client.monitors.load(Ordering::Relaxed) {
        return false;
    }
    let writes = Flag::Write.bit() | Flag::MayReplicate.bit();
    rules & rule::PAUSE_ALL != 0 || may(session, row, writes)
}

/// Whether a command has one of these flags, or is EXEC and has queued one that has.
fn may(session: &Session, row: &Row, flags: u32) -> bool {
    let queue = session
        .multi
        .as_ref()
        .filter(|_| row.locks == Locks::Queue)
        .map_or(&[][..], |multi| &multi.queue);
    row.flags & flags != 0 || queue.iter().any(|queued| queued.row.flags & flags != 0)
}

/// An EXEC that is refused ends the transaction that it should have run, and all watches.
fn abort(state: &State, session: &mut Session, error: &Error) -> Error {
    drop(session.end_multi());
    session.unwatch(&state.keyspace);
    let text = error.text();
    let reason = text.strip_prefix("ERR ").unwrap_or(&text);
    Error::of(format!("EXECABORT Transaction discarded because of: {reason}"))
}

/// Why a request names no command that takes so many words.
#[cold]
fn explain(state: &'static State, session: &Session, input: &[u8], spans: &[Span]) -> Error {
    let _ = session;
    let word = |at: usize| String::from_utf8_lossy(spans[at].of(input)).into_owned();
    let Some(row) = state.table.find(spans[0].of(input)) else {
        return unknown(input, spans);
    };
    if row.subcommands.is_empty() || spans.len() < 2 {
        return Error::arity(row.command.name);
    }
    match row.subcommand(spans[1].of(input)) {
        Some(sub) => Error::arity(&sub.full_name),
        None => {
            let name = row.command.name.to_uppercase();
            let sub: String = word(1).chars().take(128).collect();
            Error::of(format!("ERR unknown subcommand '{sub}'. Try {name} HELP."))
        }
    }
}

fn unknown(input: &[u8], spans: &[Span]) -> Error {
    let clip = |bytes: &[u8], len: usize| {
        String::from_utf8_lossy(&bytes[..bytes.len().min(len)]).into_owned()
    };
    let mut args = String::new();
    for span in &spans[1..] {
        if args.len() >= 128 {
            break;
        }
        let arg = clip(span.of(input), 128 - args.len());
        args.extend(["'", &arg, "' "]);
    }
    let name = clip(spans[0].of(input), 128);
    Error::of(format!("ERR unknown command '{name}', with args beginning with: {args}"))
}
