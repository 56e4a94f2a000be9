//! Doing again what a log says.
//!
//! What stands in a log took effect in its order, with absolute times and chosen members. So it is done again without a clock: it is
//! always 1970, nothing ends, and what had ended stands in the log as removed. No rule of the moment applies either, neither a full memory nor
//! a password: all that has been weighed when it was done first. Commands are found by the names that they were born with, if
//! `rename-command` has given those to nobody else.
//!
//! Order matters where commands share a key, and keys of different shards have nothing to do with each other. So [`Replay`] reads along
//! and hands each command whose keys lie in one shard to the thread that does all of that shard; everything else it does itself, when all
//! before it has been done. A transaction is no exception: nobody looks on, and no part of one is given away before all of it is known.

mod crowd;

use std::sync::Arc;

use russet_engine::{Held, Patience, Shard, Spot};
use russet_resp::{Output, Span, Writer};

use crate::args::{Args, Spots};
use crate::command::Flag;
use crate::context::{Context, Data};
use crate::effect::Unit;
use crate::error::Stop;
use crate::execute::{find_row, finish, sorted};
use crate::session::{Client, Peer, Session};
use crate::state::{Lent, State};
use crate::table::{Locks, Row};

pub use self::crowd::{Refused, Replay, replay};

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

/// Does commands again, one after the other, while nobody else does anything with their shards.
#[derive(Debug)]
struct Hand {
    state: &'static State,
    thread: Lent,
    unit: Unit,
    session: Session,
    out: Output,
}

impl Hand {
    fn new(state: &'static State) -> Self {
        let client = Arc::new(Client::new(0, Peer::Internal, -1, state.clock.now()));
        let mut session = Session::new(client, true);
        session.deny_blocking = true;
        Self {
            state,
            thread: state.lend_thread(),
            unit: Unit::new(),
            session,
            out: Output::default(),
        }
    }

    /// Does one command again; `spots` are its keys'.
    fn run(&mut self, words: Words<'_>, spots: &[(u32, Spot)]) -> Result<(), ReplayError> {
        let Words { row, input, spans } = words;
        let needs_all = takes_all(words);
        match self.execute(words, spots, needs_all) {
            Err(Stop::All) => self.execute(words, spots, true),
            outcome => outcome,
        }
        .or_else(|stop| match stop {
            // What the shell does for a command is no part of what the command has done.
            Stop::Ask(_) => Ok(()),
            Stop::Error(error) => Err(error.text().into_owned()),
            _ => Err(format!("{} cannot be done at once", row.full_name)),
        })
        .map_err(|error| ReplayError::Refused { name: name(input, spans), error })
    }

    fn hold(&self, spots: &[(u32, Spot)], needs_all: bool) -> Held<'static, Shard> {
        let keyspace = &self.state.keyspace;
        if needs_all {
            return keyspace.hold_all(Patience::ENDLESS).expect("endless patience");
        }
        if let [(_, spot)] = spots {
            return Held::from(keyspace.hold_patiently(spot.shard));
        }
        let shards = sorted(spots.iter().map(|(_, spot)| spot.shard));
        keyspace.hold(&shards, Patience::ENDLESS).expect("endless patience")
    }

    fn execute(
        &mut self,
        Words { row, input, spans }: Words<'_>,
        spots: &[(u32, Spot)],
        needs_all: bool,
    ) -> Result<(), Stop> {
        /// Nothing ends.
        const NOW: u64 = 0;
        let held = self.hold(spots, needs_all);
        let (state, session, thread) = (self.state, &mut self.session, &*self.thread);
        self.out.clear();
        self.unit.begin(false);
        let mut args = Args::new(input, spans, row.first_arg(), Spots::many(spots));
        let mut data = Data::new(state, thread, held, &mut self.unit, session, NOW);
        data.access = state.tunables.access(state.clock.now());
        let reply = Writer { out: &mut self.out, protocol: session.protocol };
        let mut cx = Context { data, reply, session, state, thread, row, is_worker: true };
        let result = (row.command.run)(&mut cx, &mut args);
        cx.data.unit.end_command(cx.session.db, &args);
        finish(&mut cx.data, None);
        result
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.thread.call(self.state);
    }
}

/// One command of a log, found in the table.
#[derive(Clone, Copy)]
struct Words<'a> {
    row: &'static Row,
    input: &'a [u8],
    spans: &'a [Span],
}

/// Whether a command takes all shards.
fn takes_all(Words { row, input, spans }: Words<'_>) -> bool {
    row.locks == Locks::All
        || row.has(Flag::Walks)
        || row.takes_all(spans.len(), |at| spans[at].of(input))
}

/// The row of a command that takes so many words.
fn find(state: &'static State, input: &[u8], spans: &[Span]) -> Result<&'static Row, ReplayError> {
    let row = find_row(state, input, spans).or_else(|| {
        let first = spans.first()?.of(input);
        let row = state.table.born(first)?;
        if row.subcommands.is_empty() { Some(row) } else { row.subcommand(spans.get(1)?.of(input)) }
    });
    let row = row.filter(|row| row.takes(spans.len()));
    row.ok_or_else(|| ReplayError::Unknown(name(input, spans)))
}

/// What a request calls.
fn name(input: &[u8], spans: &[Span]) -> String {
    let first = spans.first().map_or(&[][..], |span| span.of(input));
    String::from_utf8_lossy(&first[..first.len().min(64)]).into_owned()
}
