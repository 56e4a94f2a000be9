//! How long commands take, with few looks at the clock.
//!
//! ```text
//! GET GET SET │ LRANGE │ GET GET GET … GET │          a chunk; │ is a look at the clock
//! └─ stretch ─┘         └──── stretch ─────┘
//! ```
//!
//! A command that may take long is timed by itself, with a look before it, unless the clock has just been looked at, and one behind it.
//! Commands that cannot, as long as they have few words and small replies, run in a *stretch*: they share its time equally, for one
//! look. What cannot take long does so all the same when the machine has other plans, or when a reply turns out large: then the stretch
//! ends, the others are said to have taken what such commands usually take, and the rest is the suspect's. So whatever is slow enough
//! for a log is written down for one command, and sums are always right.
//!
//! [`Observe::is_exact`](crate::observe::Observe::is_exact) times every command by itself.

use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering::Relaxed;

use crate::args::OwnedRequest;
use crate::blocking::Blocked;
use crate::command::Flag;
use crate::commandlog::Ran;
use crate::latency::Event;
use crate::session::Client;
use crate::state::{State, Thread};
use crate::table::Row;

/// Requests of more words than this are not brief, whatever their command.
pub(crate) const BRIEF_WORDS: usize = 32;

/// A thread's stopwatch.
#[derive(Debug)]
pub struct Meter {
    /// When the clock was looked at last; 0 before a turn.
    mark: Cell<u64>,
    /// What the next look will show, where somebody else has just looked; or 0.
    known: Cell<u64>,
    /// The command that ran last in this stretch, and how often in a row.
    last: Cell<usize>,
    times: Cell<u64>,
    /// Those before it, and how many they are.
    earlier: RefCell<Vec<(usize, u64)>>,
    earlier_count: Cell<u64>,
    /// What a brief command takes as a rule.
    usual_ns: Cell<u64>,
    /// Commands of a transaction are being timed, whose time is also that of EXEC.
    pub(crate) is_nested: Cell<bool>,
    /// What this turn has spent on making room.
    room_ns: Cell<u64>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            mark: Cell::default(),
            known: Cell::default(),
            last: Cell::new(usize::MAX),
            times: Cell::default(),
            earlier: RefCell::default(),
            earlier_count: Cell::default(),
            usual_ns: Cell::default(),
            is_nested: Cell::default(),
            room_ns: Cell::default(),
        }
    }
}

impl Meter {
    /// When the clock was looked at last, in nanoseconds of no particular beginning.
    #[inline]
    pub const fn mark(&self) -> u64 {
        self.mark.get()
    }

    /// Begins a turn.
    #[inline]
    pub(crate) fn begin(&self, now: u64) {
        self.mark.set(now);
        self.known.set(0);
        self.is_nested.set(false);
        self.room_ns.set(0);
    }

    /// Of the time that a turn may spend on making room, what is left.
    pub(crate) const fn room_left(&self, budget_ns: u64) -> u64 {
        budget_ns.saturating_sub(self.room_ns.get())
    }

    /// Room was made for so long.
    pub(crate) fn note_room(&self, elapsed_ns: u64) {
        self.room_ns.set(self.room_ns.get().saturating_add(elapsed_ns));
    }

    /// Says what the clock shows now: the next look, which is soon, takes it from here. 0 if nobody knows.
    pub(crate) fn know(&self, now: u64) {
        self.known.set(now);
    }

    /// How many commands have run in this stretch.
    #[inline]
    pub(crate) const fn count(&self) -> u64 {
        self.times.get() + self.earlier_count.get()
    }

    /// A brief command has run.
    #[inline]
    pub(crate) fn note(&self, id: usize) {
        if self.last.get() == id {
            self.times.set(self.times.get() + 1);
        } else {
            self.put_away();
            self.last.set(id);
            self.times.set(1);
        }
    }

    fn put_away(&self) {
        let times = self.times.take();
        if times > 0 {
            self.earlier.borrow_mut().push((self.last.get(), times));
            self.earlier_count.set(self.earlier_count.get() + times);
        }
    }

    /// One command of the stretch is accounted for otherwise. Says whether there is one: it may have been refused.
    fn forget(&self, id: usize) -> bool {
        self.put_away();
        let mut earlier = self.earlier.borrow_mut();
        let found = earlier.iter_mut().find(|(other, times)| *other == id && *times > 0);
        let Some((_, times)) = found else { return false };
        *times -= 1;
        self.earlier_count.set(self.earlier_count.get() - 1);
        true
    }

    /// Looks at the clock, and says how long it was since the last look.
    fn look(&self, state: &State) -> u64 {
        let now = match self.known.take() {
            0 => state.clock.ticks(),
            known => known,
        };
        now.saturating_sub(self.mark.replace(now))
    }
}

/// A command whose reply comes later than its run: a walk in slices, or something for the shell to do.
#[derive(Debug)]
pub struct Late {
    /// Its row.
    pub row: &'static Row,
    /// Its words.
    pub request: OwnedRequest,
    /// What it has taken so far, in nanoseconds.
    pub spent_ns: u64,
    /// The reply is held back on purpose, or goes on for as long as the client takes it; that is no time of the command.
    pub is_held_back: bool,
}

/// A command that runs within another.
#[derive(Debug)]
pub(crate) struct Nested {
    is_brief: bool,
    started: u64,
}

impl Thread {
    /// Ends the stretch under way, if there is one. Where it took so long that one of its commands must have, and somebody wants to hear
    /// of that, `suspect` says which.
    #[inline]
    pub(crate) fn close<'a>(&self, state: &State, suspect: impl FnOnce() -> Option<Ran<'a>>) {
        let count = self.meter.count();
        if count == 0 {
            return;
        }
        let elapsed = self.meter.look(state);
        if elapsed >= state.tunables.observe.suspicious_ns.load(Relaxed)
            && let Some(ran) = suspect()
        {
            return self.blame(state, &ran, elapsed);
        }
        let share = elapsed / count;
        let usual = self.meter.usual_ns.get();
        self.meter.usual_ns.set((usual * 7 + share) / 8);
        self.share(state, share);
    }

    /// Ends the stretch under way with a command that has just run and turned out not to be brief.
    #[cold]
    pub(crate) fn close_on(&self, state: &State, ran: &Ran<'_>) {
        self.meter.note(ran.row.id);
        let elapsed = self.meter.look(state);
        self.blame(state, ran, elapsed);
    }

    /// Gives one command of the stretch the time that the others do not take as a rule.
    #[cold]
    fn blame(&self, state: &State, suspect: &Ran<'_>, elapsed: u64) {
        if !self.meter.forget(suspect.row.id) {
            return self.share(state, elapsed / self.meter.count().max(1));
        }
        let count = self.meter.count();
        let share = self.meter.usual_ns.get().min(elapsed / (count + 1));
        self.share(state, share);
        self.ran(state, suspect, elapsed - share * count);
    }

    /// Accounts for the commands of the stretch, each with this time.
    fn share(&self, state: &State, ns: u64) {
        let (meter, counters) = (&self.meter, &self.counters);
        meter.put_away();
        let is_tracked = state.tunables.observe.tracks_latency.load(Relaxed);
        for (id, times) in meter.earlier.borrow_mut().drain(..) {
            counters.commands[id].ran(ns, times, is_tracked);
        }
        let count = meter.earlier_count.take();
        counters.processed.add(count);
        if !meter.is_nested.get() {
            counters.command_ns.add(ns * count);
        }
    }

    /// Ends the time of a command that was timed by itself, and says how long it took.
    pub(crate) fn stop(&self, state: &State, started: u64) -> u64 {
        self.meter.look(state);
        self.meter.mark().saturating_sub(started)
    }

    /// Accounts for one command, and writes it down where it cost too much.
    pub(crate) fn ran(&self, state: &State, ran: &Ran<'_>, ns: u64) {
        let (observe, counters) = (&state.tunables.observe, &self.counters);
        counters.commands[ran.row.id].ran(ns, 1, observe.tracks_latency.load(Relaxed));
        counters.processed.add(1);
        if !self.meter.is_nested.get() {
            counters.command_ns.add(ns);
        }
        let event = if ran.row.has(Flag::Fast) { Event::FastCommand } else { Event::Command };
        state.took(event, ns);
        state.logs.note(ran, ns / 1_000, state.clock.now());
        if observe.tracks_keys.load(Relaxed) && !ran.row.has(Flag::RunsQueue) {
            state.hot_keys.note(ran, ns, self.random());
        }
    }

    /// Begins the time of a command that runs within another: EXEC's queue, a script. It is accounted for as by itself, and its time is that
    /// of the other, too, as in Redis.
    pub(crate) fn begin_nested(&self, state: &State, row: &Row, request_bytes: usize) -> Nested {
        let observe = &state.tunables.observe;
        let is_brief = row.is_brief
            && !observe.is_exact()
            && request_bytes <= observe.brief_request.load(Relaxed);
        if !is_brief {
            self.close(state, || None);
        }
        Nested { is_brief, started: self.meter.mark() }
    }

    /// Ends the time of such a command.
    pub(crate) fn end_nested(&self, state: &State, nested: &Nested, ran: &Ran<'_>) {
        if !nested.is_brief {
            self.ran(state, ran, self.stop(state, nested.started));
        } else if ran.reply_bytes <= state.tunables.observe.brief_reply.load(Relaxed) {
            self.meter.note(ran.row.id);
        } else {
            self.close_on(state, ran);
        }
    }

    /// Accounts for a command whose reply has come at last; `elapsed_ns` is what that took.
    pub fn finish_late(
        &self,
        state: &State,
        client: &Client,
        late: &Late,
        elapsed_ns: u64,
        reply_bytes: usize,
    ) {
        let elapsed_ns = if late.is_held_back { 0 } else { elapsed_ns };
        let (input, spans) = (late.request.input(), late.request.spans());
        let ran = Ran { row: late.row, input, spans, reply_bytes, client };
        self.ran(state, &ran, late.spent_ns + elapsed_ns);
    }

    /// Accounts for a command that has waited for keys and is answered now. What it waited is no time of it.
    pub fn finish_waiting(&self, state: &State, blocked: &Blocked, reply_bytes: usize) {
        let (input, spans) = (blocked.request.input(), blocked.request.spans());
        let ran = Ran { row: blocked.row, input, spans, reply_bytes, client: &blocked.client };
        self.ran(state, &ran, blocked.spent_ns.load(Relaxed));
    }
}
