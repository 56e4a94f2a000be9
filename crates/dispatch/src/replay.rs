//! Doing again what a log says.
//!
//! What stands in a log took effect in its order, with absolute times and chosen members. So it is done again without a clock: it is
//! always 1970, nothing ends, and what had ended stands in the log as DEL. No rule of the moment applies either, neither a full memory nor
//! a password: all that has been weighed when it was done first. Commands are found by the names that they were born with, if
//! `rename-command` has given those to nobody else.

use std::sync::Arc;

use russet_engine::{Held, Patience, Shard, Spot};
use russet_resp::{Output, Span, Writer};
use smallvec::SmallVec;

use crate::args::{Args, Spots};
use crate::command::Flag;
use crate::context::{Context, Data};
use crate::effect::Unit;
use crate::error::Stop;
use crate::execute::{find_row, finish, gather};
use crate::session::{Client, Peer, Session};
use crate::state::{State, Thread};
use crate::table::{Locks, Row};

/// Why a command of a log could not be done again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// There is no such command, or it does not take so many words.
    #[error(
        "Unknown command '{0}' reading the append only file: there is none that takes so many words"
    )]
    Unknown(String),
    /// It was refused.
    #[error("'{name}' was refused: {error}")]
    Refused {
        /// The command.
        name: String,
        /// What a client would have been told.
        error: String,
    },
}

/// Does commands again, one after the other, while nobody else does anything.
#[derive(Debug)]
pub struct Replay {
    state: &'static State,
    thread: Thread,
    unit: Unit,
    session: Session,
    spots: Vec<(u32, Spot)>,
    out: Output,
}

impl Replay {
    /// From the beginning of a log.
    pub fn new(state: &'static State) -> Self {
        let client = Arc::new(Client::new(0, Peer::Internal, -1, state.clock.now()));
        let mut session = Session::new(client, true);
        session.deny_blocking = true;
        let (unit, spots, out) = (Unit::new(), Vec::new(), Output::default());
        Self { state, thread: state.worker(), unit, session, spots, out }
    }

    /// Does one command again.
    pub fn run(&mut self, input: &[u8], spans: &[Span]) -> Result<(), ReplayError> {
        let row = self.row(input, spans).ok_or_else(|| ReplayError::Unknown(name(input, spans)))?;
        self.spots.clear();
        gather(self.state, row, input, spans, &mut self.spots);
        let needs_all = row.locks == Locks::All
            || row.has(Flag::Walks)
            || row.takes_all(spans.len(), |at| spans[at].of(input));
        match self.execute(row, input, spans, needs_all) {
            Err(Stop::All) => self.execute(row, input, spans, true),
            outcome => outcome,
        }
        .or_else(|stop| match stop {
            // What the shell does for a command is no part of what the command has done.
            Stop::Ask(_) => Ok(()),
            Stop::Error(error) => Err(error.text().into_owned()),
            _ => Err("it cannot be done at once".to_owned()),
        })
        .map_err(|error| ReplayError::Refused { name: name(input, spans), error })
    }

    fn row(&self, input: &[u8], spans: &[Span]) -> Option<&'static Row> {
        let row = find_row(self.state, input, spans).or_else(|| {
            let first = spans.first()?.of(input);
            let row = self.state.table.born(first)?;
            if row.subcommands.is_empty() {
                Some(row)
            } else {
                row.subcommand(spans.get(1)?.of(input))
            }
        });
        row.filter(|row| row.takes(spans.len()))
    }

    fn hold(&self, needs_all: bool) -> Held<'static, Shard> {
        let keyspace = &self.state.keyspace;
        let held = if needs_all {
            keyspace.hold_all(Patience::ENDLESS)
        } else {
            let mut shards: SmallVec<[u32; 16]> =
                self.spots.iter().map(|(_, spot)| spot.shard).collect();
            shards.sort_unstable();
            shards.dedup();
            keyspace.hold(&shards, Patience::ENDLESS)
        };
        held.expect("endless patience")
    }

    fn execute(
        &mut self,
        row: &'static Row,
        input: &[u8],
        spans: &[Span],
        needs_all: bool,
    ) -> Result<(), Stop> {
        /// Nothing ends.
        const NOW: u64 = 0;
        let held = self.hold(needs_all);
        let (state, session, thread) = (self.state, &mut self.session, &self.thread);
        self.out.clear();
        self.unit.begin(false);
        let mut args = Args::new(input, spans, row.first_arg(), Spots::many(&self.spots));
        let mut data = Data::new(state, thread, held, &mut self.unit, session, NOW);
        data.access = state.tunables.access(state.clock.now());
        let reply = Writer { out: &mut self.out, protocol: session.protocol };
        let mut cx = Context { data, reply, session, state, thread, row, is_worker: true };
        let result = (row.command.run)(&mut cx, &mut args);
        cx.data.unit.end_command(cx.session.db, &args);
        finish(&mut cx.data);
        result
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.thread.call();
        let fresh = self.state.worker();
        self.state.give_back(std::mem::replace(&mut self.thread, fresh));
    }
}

/// What a request calls.
fn name(input: &[u8], spans: &[Span]) -> String {
    let first = spans.first().map_or(&[][..], |span| span.of(input));
    String::from_utf8_lossy(&first[..first.len().min(64)]).into_owned()
}
