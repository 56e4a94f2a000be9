//! The door through which a script runs commands: under the locks that its request holds, as one unit.
//!
//! A script takes over the locks, the unit and the time of its request with [`Script::begin`] and gives them back with [`Script::end`];
//! between the two, each [`Script::call`] runs one row's handler as EXEC would. The effects of all calls are one record, and who waits is
//! served once, at the end.
//!
//! A call may touch only shards that are held. One that wants another, while nothing has been done that others can see, ends the script,
//! which runs again under all shards ([`Refused::Roams`]). One that has done something already takes the shard if it can be had within
//! a bounded time. That is out of order, so two such scripts may want each other's shards; then one of them gives up and its call fails.
//! Locks are let go only at the end, so whatever a script has seen stays as it saw it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use russet_engine::number::{DIGITS_MAX, write_i64};
use russet_engine::{Access, Held, Patience, Shard, Spot};
use russet_resp::{Mark, Output, Protocol, Span, Writer};
use smallvec::SmallVec;

use crate::args::{Args, Spots};
use crate::clock::Still;
use crate::command::Flag;
use crate::commandlog::Ran;
use crate::context::{Context, Data};
use crate::effect::Unit;
use crate::error::{Error, Stop};
use crate::execute::{failed, find_row, gather, no_wait, note_reading};
use crate::monitor;
use crate::session::Session;
use crate::state::{State, Thread, rule};
use crate::table::{Locks, Row};

/// What [`Buffers`] keep for the next script.
const KEPT_MAX: usize = 16 << 10;

/// Keys that are longer are located anew each time.
const KNOWN_MAX: usize = 256;

/// How long a script waits at least for a shard out of order, in nanoseconds, where nobody but others who want its shards waits for it.
const GROWING_MAX_NS: u64 = 20_000_000;

/// The same where the clients of an I/O thread wait for it.
const GROWING_INLINE_MAX_NS: u64 = 2_000_000;

/// How long it rests between two looks, if who holds the shard holds it for long.
const GROWING_REST: Duration = Duration::from_micros(50);

/// What a script may do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// It may not write.
    pub is_read_only: bool,
    /// It may write when memory is full.
    pub allows_oom: bool,
}

/// Why a command of a script was not run.
#[derive(Debug)]
pub enum Refused {
    /// The script is told; the error has been counted.
    Error(Error),
    /// It touches what the request does not declare, and nothing has been done yet: the script is to run again under all shards.
    Roams,
}

/// Words and reply of a call: their memory goes from script to script.
#[derive(Debug, Default)]
pub struct Buffers {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    spots: Vec<(u32, Spot)>,
    out: Output,
    /// The reply in one piece, where it was spliced.
    joined: Vec<u8>,
    /// The key that was located last, and where it lies: the next call often names it again.
    known: Vec<u8>,
    known_spot: Option<Spot>,
}

impl Buffers {
    /// Forgets the words and the reply of the last call.
    fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
        self.spots.clear();
        self.out.clear();
        self.joined.clear();
    }

    /// Forgets everything, and gives back what is large.
    fn tidy(&mut self) {
        self.clear();
        self.bytes.shrink_to(KEPT_MAX);
        self.spans.shrink_to(KEPT_MAX / size_of::<Span>());
        self.spots.shrink_to(KEPT_MAX / size_of::<(u32, Spot)>());
        self.joined.shrink_to(0);
        self.known_spot = None;
    }

    /// Remembers where a key lies.
    fn learn(&mut self, key: &[u8], spot: Spot) {
        if key.len() <= KNOWN_MAX {
            self.known.clear();
            self.known.extend_from_slice(key);
            self.known_spot = Some(spot);
        }
    }

    /// Where the key lies that word `at` is.
    fn locate(&mut self, state: &State, at: usize) -> Spot {
        let key = self.spans[at].of(&self.bytes);
        if let Some(spot) = self.known_spot
            && *self.known == *key
        {
            return spot;
        }
        let spot = state.keyspace.locate(key);
        // As `learn`, which would borrow the words too.
        if key.len() <= KNOWN_MAX {
            self.known.clear();
            self.known.extend_from_slice(key);
            self.known_spot = Some(spot);
        }
        spot
    }
}

/// A script under way.
#[derive(Debug)]
pub struct Script {
    held: Held<'static, Shard>,
    unit: Unit,
    /// The client as the commands of the script see it: with a database and a protocol of its own.
    pub session: Session,
    state: &'static State,
    row: &'static Row,
    now: u64,
    /// When it began, on the clock that measures.
    started: u64,
    access: Access,
    is_touching: bool,
    rules: Rules,
    was_full: bool,
    /// Why it may not write, whatever it is, if that is so.
    refusal: Option<Error>,
    is_worker: bool,
    /// Whether a command that writes has run.
    pub has_written: bool,
    /// Whether anything was done that others can see.
    pub is_committed: bool,
    /// Whether a key was touched that the request does not declare.
    pub has_roamed: bool,
    /// Whether what it changes goes to the journal.
    pub is_propagated: bool,
    /// Commands that have run.
    calls: u64,
    /// How long it had run when the last of them had ended, in nanoseconds.
    pub called_ns: u64,
    call: Box<Buffers>,
}

impl Script {
    /// Takes over what a request of these words holds. Those who monitor see it now.
    pub fn begin(
        cx: &mut Context<'_>,
        args: &Args<'_>,
        rules: Rules,
        mut buffers: Box<Buffers>,
    ) -> Self {
        if let Some(key) = args.keys().next() {
            buffers.learn(key.bytes, key.spot);
        }
        let state_rules = cx.state.rules.load(Ordering::Relaxed);
        if state_rules & rule::MONITORED != 0 && !std::mem::replace(&mut cx.session.is_shown, true)
        {
            monitor::show(cx, args);
        }
        let mut session = Session::new(Arc::clone(&cx.session.client), true);
        session.db = cx.session.db;
        session.no_touch = cx.session.no_touch;
        session.deny_blocking = true;
        session.is_script = true;
        let started = cx.thread.meter.mark();
        cx.thread.meter.know(0);
        session.still = cx.session.still.clone().or_else(|| Some(Still::at(started)));
        cx.session.lend_reading(&mut session);
        Self {
            held: std::mem::replace(&mut cx.data.held, Held::none()),
            unit: std::mem::replace(cx.data.unit, Unit::new()),
            session,
            state: cx.state,
            row: cx.row,
            now: cx.data.now,
            started,
            access: cx.data.access,
            is_touching: cx.data.is_touching,
            rules,
            was_full: state_rules & rule::FULL != 0,
            refusal: cx.state.refuses_writes(state_rules),
            is_worker: cx.is_worker,
            has_written: false,
            is_committed: false,
            has_roamed: false,
            is_propagated: true,
            calls: 0,
            called_ns: 0,
            call: buffers,
        }
    }

    /// Gives everything back; `thread` is the one that its commands ran with.
    pub fn end(&mut self, cx: &mut Context<'_>, thread: &Thread) {
        if self.session.db != cx.session.db {
            cx.session.select(cx.session.db);
        }
        if self.session.protocol != cx.session.protocol {
            cx.session.speak(cx.session.protocol);
        }
        cx.session.commands += self.calls;
        let is_timed_now = thread.meter.count() > 0;
        thread.close(cx.state, || None);
        thread.meter.is_nested.set(false);
        if self.calls > 0 {
            self.called_ns = thread.meter.mark().saturating_sub(self.started);
        }
        if is_timed_now {
            cx.thread.meter.know(thread.meter.mark());
        }
        std::mem::swap(&mut cx.data.held, &mut self.held);
        std::mem::swap(cx.data.unit, &mut self.unit);
        cx.thread.call_for(thread);
    }

    /// The memory for calls, for the next script.
    pub fn into_buffers(self) -> Box<Buffers> {
        let mut buffers = self.call;
        buffers.tidy();
        buffers
    }

    /// How long it has run. Reads the clock.
    pub fn elapsed_ns(&self) -> u64 {
        self.state.clock.ticks().saturating_sub(self.started)
    }

    /// What all clients share.
    pub const fn state(&self) -> &'static State {
        self.state
    }

    /// Whether this runs on a worker thread.
    pub const fn is_worker(&self) -> bool {
        self.is_worker
    }

    /// The shards that are held, or `None` for all.
    pub fn shards(&self) -> Option<Vec<u32>> {
        (!self.holds_all()).then(|| self.held.indexes().collect())
    }

    /// Says that the shards will be held for long: others give up at once instead of spinning, and who wants all lets go of the rest.
    pub fn mark_long(&self) {
        self.held.mark_long();
    }

    /// How many shards are held.
    pub fn shard_count(&self) -> usize {
        self.held.len()
    }

    /// In which protocol replies are written for the script.
    pub const fn protocol(&self) -> Protocol {
        self.session.protocol
    }

    /// Chooses it.
    pub const fn speak(&mut self, protocol: Protocol) {
        self.session.protocol = protocol;
    }

    /// Forgets words and reply of the last call.
    pub fn begin_call(&mut self) {
        self.call.clear();
    }

    /// Adds a word to the call.
    pub fn push(&mut self, word: &[u8]) {
        let Buffers { bytes, spans, .. } = &mut *self.call;
        spans.push(Span { start: bytes.len(), len: word.len() });
        bytes.extend_from_slice(word);
    }

    /// Adds a number to the call, in digits.
    pub fn push_integer(&mut self, number: i64) {
        self.push(write_i64(number, &mut [0; DIGITS_MAX]));
    }

    /// The row that the words of the call name.
    pub fn row(&self) -> Option<&'static Row> {
        find_row(self.state, &self.call.bytes, &self.call.spans)
    }

    /// The reply of the last call, in one piece.
    pub fn reply(&mut self) -> &[u8] {
        let Buffers { out, joined, .. } = &mut *self.call;
        match out.flat() {
            Some(flat) => flat,
            None => {
                *joined = out.since(Mark::default());
                joined
            }
        }
    }

    /// Makes an error the reply of the last call.
    pub fn reply_error(&mut self, error: &Error) {
        self.call.out.clear();
        Writer { out: &mut self.call.out, protocol: self.session.protocol }.error(&error.text());
    }

    /// Runs the command of the words that were pushed; its reply stands in `out` then.
    pub fn call(&mut self, thread: &Thread) -> Result<(), Refused> {
        let row = self.row();
        if let Err(error) = self.check(row) {
            return Err(Self::refuse(thread, row, error));
        }
        let row = row.expect("checked");
        self.reach(thread, row)?;
        self.has_written |= row.has(Flag::Write);
        self.run(thread, row);
        let is_seen = row.has(Flag::PubSub) || row.has(Flag::MayReplicate);
        self.is_committed |= self.unit.changes > 0 || is_seen;
        Ok(())
    }

    fn check(&self, row: Option<&'static Row>) -> Result<(), Error> {
        let row = row.ok_or(Error::ScriptUnknownCommand)?;
        if !row.takes(self.call.spans.len()) {
            return Err(Error::ScriptArity);
        }
        let unrestricted = self.state.scripts.is_unrestricted.load(Ordering::Relaxed);
        if row.has(Flag::NoScript) && !unrestricted {
            return Err(Error::ScriptNotAllowed);
        }
        if self.rules.is_read_only && (row.has(Flag::Write) || row.has(Flag::MayReplicate)) {
            return Err(Error::ScriptReadOnly);
        }
        if let Some(error) = self.refusal.as_ref().filter(|_| row.has(Flag::Write)) {
            return Err(error.clone());
        }
        let is_full = self.was_full && !self.rules.allows_oom && !self.has_written;
        if is_full && row.has(Flag::DenyOom) {
            return Err(Error::OutOfMemory);
        }
        Ok(())
    }

    fn refuse(thread: &Thread, row: Option<&Row>, error: Error) -> Refused {
        if let Some(row) = row {
            thread.counters.commands[row.id].rejected.add(1);
        }
        thread.counters.error(&error.code());
        Refused::Error(error)
    }

    fn holds_all(&self) -> bool {
        self.held.len() == self.state.keyspace.shards() as usize
    }

    /// Makes sure that everything the command touches is held.
    #[inline]
    fn reach(&mut self, thread: &Thread, row: &'static Row) -> Result<(), Refused> {
        match row.locks {
            Locks::One(at) if at < self.call.spans.len() => {
                let spot = self.call.locate(self.state, at);
                self.call.spots.push((at as u32, spot));
                if self.held.get(spot.shard).is_some() {
                    return Ok(());
                }
            }
            _ => {
                let Buffers { bytes, spans, spots, .. } = &mut *self.call;
                gather(self.state, row, bytes, spans, spots);
            }
        }
        if self.holds_all() { Ok(()) } else { self.reach_out(thread, row) }
    }

    /// As [`Script::reach`], where something may not be held.
    fn reach_out(&mut self, thread: &Thread, row: &'static Row) -> Result<(), Refused> {
        let Buffers { bytes, spans, spots, .. } = &*self.call;
        let wants_all = row.locks == Locks::All
            || row.has(Flag::Walks)
            || row.takes_all(spans.len(), |at| spans[at].of(bytes));
        let missing: SmallVec<[u32; 8]> = if wants_all {
            let is_missing = |shard: &u32| self.held.get(*shard).is_none();
            (0..self.state.keyspace.shards()).filter(is_missing).collect()
        } else {
            let shards = spots.iter().map(|(_, spot)| spot.shard);
            shards.filter(|shard| self.held.get(*shard).is_none()).collect()
        };
        if missing.is_empty() {
            return Ok(());
        }
        self.has_roamed = true;
        if !self.is_committed {
            return Err(Refused::Roams);
        }
        for shard in missing {
            if let Err(error) = self.grow(shard) {
                return Err(Self::refuse(thread, Some(row), error));
            }
        }
        Ok(())
    }

    /// Takes one more shard, out of order: the patience ends, so two scripts that want each other's shards do not wait for ever. It is
    /// not the same for all, so that one of them gets what it wants.
    fn grow(&mut self, shard: u32) -> Result<(), Error> {
        if self.held.get(shard).is_some() {
            return Ok(());
        }
        let max = if self.is_worker { GROWING_MAX_NS } else { GROWING_INLINE_MAX_NS };
        let max = max + max / 8 * (self.session.client.id % 8);
        let began = self.state.clock.ticks();
        let guard = loop {
            if let Ok(guard) = self.state.keyspace.hold_one(shard, Patience::after(6)) {
                break guard;
            }
            if self.state.clock.ticks().saturating_sub(began) > max {
                return Err(Error::ScriptUndeclared);
            }
            std::thread::park_timeout(GROWING_REST);
        };
        if self.is_worker {
            guard.mark_long();
        }
        self.held.insert(guard);
        Ok(())
    }

    /// Runs a handler under the locks that are held, as EXEC runs what was queued.
    fn run(&mut self, thread: &Thread, row: &'static Row) {
        let Buffers { bytes, spans, spots, out, .. } = &mut *self.call;
        let mut args = Args::new(bytes, spans, row.first_arg(), Spots::many(spots));
        if self.calls == 0 {
            thread.meter.begin(self.state.clock.ticks());
            thread.meter.is_nested.set(true);
        }
        let nested = thread.begin_nested(self.state, row, bytes.len());
        let is_followed = self.unit.is_followed;
        self.unit.is_followed &= self.is_propagated;
        self.unit.begin_command();
        let db = self.session.db;
        // The locks go with the context: a handler that panics lets them fall, as everywhere.
        let data = Data {
            held: std::mem::replace(&mut self.held, Held::none()),
            state: self.state,
            thread,
            unit: &mut self.unit,
            now: self.now,
            db,
            access: self.access,
            is_touching: self.is_touching,
            client: self.session.client.id,
            is_serving: false,
        };
        let reply = Writer { out, protocol: self.session.protocol };
        let (state, is_worker) = (self.state, self.is_worker);
        let session = &mut self.session;
        let mut cx = Context { data, reply, session, state, thread, row, is_worker };
        if let Err(stop) = (row.command.run)(&mut cx, &mut args) {
            cx.reply.out.clear();
            match stop {
                Stop::Wait(wait) => no_wait(&mut cx, wait.on_timeout),
                Stop::Error(error) => failed(&mut cx, &error),
                // As inside a transaction: handlers see `deny_blocking` and reply at once.
                Stop::Busy(_)
                | Stop::Elsewhere
                | Stop::Room(_)
                | Stop::All
                | Stop::Later(_)
                | Stop::Rest(_)
                | Stop::Ask(_) => {
                    failed(&mut cx, &Error::ScriptNotAllowed);
                }
            }
        }
        cx.data.unit.end_command(db, &args);
        note_reading(&mut cx, &args);
        if state.rules.load(Ordering::Relaxed) & rule::MONITORED != 0 {
            monitor::show_scripted(&cx, &args);
        }
        self.held = cx.data.held;
        self.calls += 1;
        self.unit.is_followed = is_followed;
        let Buffers { bytes, spans, out, .. } = &*self.call;
        let client = &*self.session.client;
        let ran = Ran { row, input: bytes, spans, reply_bytes: out.len(), client };
        thread.end_nested(self.state, &nested, &ran);
    }

    /// The row of the request that runs the script.
    pub const fn own_row(&self) -> &'static Row {
        self.row
    }
}

/// Ends a script with an error; `is_counted` if it was counted when one of its commands failed.
pub fn fail(cx: &mut Context<'_>, text: &[u8], is_counted: bool) {
    let counters = &cx.thread.counters;
    counters.commands[cx.row.id].failed.add(1);
    if !is_counted {
        let code = text.split(|byte| *byte == b' ').next().unwrap_or_default();
        cx.state.stats.foreign_error(counters, &String::from_utf8_lossy(code));
    }
    cx.reply.error_bytes(text);
}
