//! A log done again by many.
//!
//! ```text
//! reader ── batches of commands ──> thread 0: shards 0, 2, 4, …
//!        <─ the same, to be filled ─
//!        ── … ────────────────────> thread 1: shards 1, 3, 5, …
//! ```
//!
//! The commands of a batch are prepared together, as in a pipeline: the memory that they will touch is asked for before the first is run.
//!
//! A command that the reader has to do itself waits until all batches are back. So that a log in which such commands stand close together is
//! not slower than with one thread, the reader does all by itself for a while after each; and in the beginning, for small logs to need nobody.

use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

use russet_engine::Spot;
use russet_resp::Span;

use super::{Hand, ReplayError, Words, find, takes_all};
use crate::command::Flag;
use crate::execute::{CHUNK, extent, gather, prefetch};
use crate::state::State;
use crate::table::{Locks, Row};

/// Commands that go from hand to hand together.
const BATCH_COMMANDS: usize = 512;

/// Bytes that do.
const BATCH_BYTES: usize = 128 << 10;

/// Batches on their way to one thread and back.
const BATCHES: usize = 4;

/// A command of more bytes is done in its place instead of being copied.
const COPIED_BYTES_MAX: usize = 64 << 10;

/// So many commands the reader does itself after one that had to wait for all before it.
const ALONE: u32 = 256;

/// More threads than this wait for the one that reads.
const THREADS_MAX: usize = 8;

/// A command of a log could not be done again. Those before it in the log were, and some behind it may have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where in the log its unit stands.
    pub unit: Range<u64>,
    /// Why.
    pub error: ReplayError,
}

/// Has `read` give away the commands of a log, and does them again with up to `threads` other threads, or with none: then nothing behind
/// a command that is refused has been done. Answers what `read` does and the first command that was refused, once everything that was
/// given away has been done.
pub fn replay<R>(
    state: &'static State,
    threads: usize,
    read: impl FnOnce(&mut Replay<'_, '_>) -> R,
) -> (R, Option<Refused>) {
    std::thread::scope(|scope| {
        let mut replay = Replay {
            state,
            scope,
            threads: threads.min(THREADS_MAX),
            own: Hand::new(state),
            spots: Vec::new(),
            others: Vec::new(),
            alone: ALONE,
            refused: None,
        };
        let result = read(&mut replay);
        replay.wait();
        (result, replay.refused)
    })
}

/// Does the commands of a log again; see [`replay`].
#[derive(Debug)]
pub struct Replay<'scope, 'env> {
    state: &'static State,
    scope: &'scope Scope<'scope, 'env>,
    threads: usize,
    own: Hand,
    spots: Vec<(u32, Spot)>,
    /// Those who help, from when there is anything for them.
    others: Vec<Other>,
    /// Commands that are still to be done without them.
    alone: u32,
    /// The first that was, as far as is known.
    refused: Option<Refused>,
}

impl Replay<'_, '_> {
    /// Does one command again, now or later; `unit` is where in the log the unit stands that it belongs to. An error is about this command
    /// or about one before it.
    pub fn run(
        &mut self,
        input: &[u8],
        spans: &[Span],
        unit: Range<u64>,
    ) -> Result<(), ReplayError> {
        let words = Words { row: find(self.state, input, spans)?, input, spans };
        self.spots.clear();
        gather(self.state, words.row, input, spans, &mut self.spots);
        let shard = self.shard_of(words);
        if self.alone == 0
            && let Some(shard) = shard
        {
            self.give(shard, words, unit);
        } else {
            if shard.is_some() || is_about_nothing(words.row) {
                self.alone = self.alone.saturating_sub(1);
            } else {
                self.wait();
                self.alone = ALONE;
            }
            if self.refused.is_none() {
                return self.own.run(words, &self.spots);
            }
        }
        self.refused.as_ref().map_or(Ok(()), |refused| Err(refused.error.clone()))
    }

    /// The shard that all keys of a command lie in, if others may do it.
    fn shard_of(&self, words: Words<'_>) -> Option<u32> {
        let (_, first) = self.spots.first()?;
        let row = words.row;
        let may_go = self.threads > 0
            && row.has(Flag::Write)
            && !row.has(Flag::RunsScript)
            && row.locks != Locks::Queue
            && !takes_all(words)
            && extent(words.spans) <= COPIED_BYTES_MAX
            && self.spots.iter().all(|(_, spot)| spot.shard == first.shard);
        may_go.then_some(first.shard)
    }

    fn give(&mut self, shard: u32, words: Words<'_>, unit: Range<u64>) {
        while self.others.len() < self.threads {
            self.others.push(Other::start(self.state, self.scope));
        }
        let other = &mut self.others[shard as usize % self.threads];
        other.filling.push(words, self.own.session.db, &self.spots, unit);
        if other.filling.is_full() {
            other.give(&mut self.refused);
        }
    }

    /// Waits until everything that was given away has been done.
    fn wait(&mut self) {
        for other in self.others.iter_mut().filter(|other| !other.filling.jobs.is_empty()) {
            other.give(&mut self.refused);
        }
        for other in &mut self.others {
            while other.away > 0 {
                drop(other.take(&mut self.refused));
            }
        }
    }
}

/// Whether a command is about the session alone, as SELECT is.
fn is_about_nothing(row: &Row) -> bool {
    row.locks == Locks::None && !row.has(Flag::Write) && !row.has(Flag::MayReplicate)
}

/// A command of a batch.
#[derive(Debug)]
struct Job {
    row: &'static Row,
    db: u32,
    spans: Range<usize>,
    spots: Range<usize>,
    unit: Range<u64>,
}

/// Commands, with their bytes, words and keys.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    spots: Vec<(u32, Spot)>,
    jobs: Vec<Job>,
    refused: Option<Refused>,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.jobs.len() >= BATCH_COMMANDS || self.bytes.len() >= BATCH_BYTES
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
        self.spots.clear();
        self.jobs.clear();
    }

    fn push(&mut self, words: Words<'_>, db: u32, spots: &[(u32, Spot)], unit: Range<u64>) {
        let (begin, at) = (words.spans.first().map_or(0, |first| first.start), self.bytes.len());
        let spans = self.spans.len()..self.spans.len() + words.spans.len();
        let keys = self.spots.len()..self.spots.len() + spots.len();
        self.bytes.extend_from_slice(&words.input[begin..begin + extent(words.spans)]);
        let moved = |span: &Span| Span { start: span.start - begin + at, ..*span };
        self.spans.extend(words.spans.iter().map(moved));
        self.spots.extend_from_slice(spots);
        self.jobs.push(Job { row: words.row, db, spans, spots: keys, unit });
    }
}

impl Hand {
    /// Does all commands of a batch again, up to one that is refused.
    fn run_all(&mut self, batch: &Batch) -> Result<(), Refused> {
        for jobs in batch.jobs.chunks(CHUNK) {
            let keys = jobs.iter().flat_map(|job| &batch.spots[job.spots.clone()]);
            prefetch(self.state, keys.map(|(_, spot)| *spot));
            for Job { row, db, spans, spots, unit } in jobs {
                let spans = &batch.spans[spans.clone()];
                let words = Words { row, input: &batch.bytes, spans };
                self.session.db = *db;
                self.run(words, &batch.spots[spots.clone()])
                    .map_err(|error| Refused { unit: unit.clone(), error })?;
            }
        }
        Ok(())
    }
}

/// A thread that does what is given to it, as the one that gives sees it.
#[derive(Debug)]
struct Other {
    filling: Batch,
    /// How many batches have not come back.
    away: usize,
    to: Sender<Batch>,
    back: Receiver<Batch>,
}

impl Other {
    /// It ends when there is nobody any more who could give it anything.
    fn start<'scope>(state: &'static State, scope: &'scope Scope<'scope, '_>) -> Self {
        let (to, batches) = channel::<Batch>();
        let (done, back) = channel();
        scope.spawn(move || {
            let mut hand = Hand::new(state);
            let mut has_failed = false;
            for mut batch in batches {
                if !has_failed {
                    batch.refused = hand.run_all(&batch).err();
                    has_failed = batch.refused.is_some();
                }
                batch.clear();
                if done.send(batch).is_err() {
                    break;
                }
            }
        });
        Self { filling: Batch::default(), away: 0, to, back }
    }

    /// Gives away what is there. With enough batches on their way, one has to be back first.
    fn give(&mut self, refused: &mut Option<Refused>) {
        let empty = if self.away < BATCHES { Batch::default() } else { self.take(refused) };
        let batch = std::mem::replace(&mut self.filling, empty);
        self.to.send(batch).expect("it ends after this one, or it has panicked");
        self.away += 1;
    }

    /// Waits for a batch to come back, empty.
    fn take(&mut self, refused: &mut Option<Refused>) -> Batch {
        let mut batch = self.back.recv().expect("it gives all batches back, or it has panicked");
        self.away -= 1;
        if let Some(found) = batch.refused.take()
            && refused.as_ref().is_none_or(|known| found.unit.start < known.unit.start)
        {
            *refused = Some(found);
        }
        batch
    }
}
