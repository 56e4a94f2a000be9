//! Requests that are prepared together: found in the table, their keys hashed, and the memory that they will touch asked for.

use std::sync::atomic::Ordering;

use russet_engine::{Guard, Held, Patience, Shard, Spot, same};
use russet_resp::{Batch, Span};

use super::Executor;
use crate::keys::positions;
use crate::meter::BRIEF_WORDS;
use crate::state::State;
use crate::table::{Locks, Row};

/// Requests of a batch, from one to before another.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// What the batch was decoded from.
    pub input: &'a [u8],
    /// The requests.
    pub batch: &'a Batch,
    /// The first.
    pub from: usize,
    /// The one behind the last.
    pub until: usize,
}

/// One request of a chunk, looked up.
#[derive(Clone, Copy)]
pub(super) struct Prepared {
    pub(super) row: Option<&'static Row>,
    /// The only key's argument, or where the keys stand in `spots`.
    pub(super) keys: KeySet,
    /// Whether it is not timed by itself.
    pub(super) is_brief: bool,
    /// Whether the next request runs under the same hold of the shard: both are brief and have one key each, in the same shard.
    pub(super) keeps: bool,
}

impl Prepared {
    /// Whether `next` may run under the same hold of a shard.
    #[inline]
    fn shares_hold_with(self, next: Self) -> bool {
        let shard = |prepared: Self| prepared.keys.spot().map(|spot| spot.shard);
        self.is_brief && next.is_brief && shard(self).is_some() && shard(self) == shard(next)
    }

    /// The element that is looked for in a collection, if the command's row says that one is.
    #[inline]
    fn wanted(self, spans: &[Span]) -> Option<Wanted> {
        match (self.keys, self.row) {
            (KeySet::One(_, spot), Some(row)) if row.element > 0 => {
                spans.get(row.element).map(|word| Wanted { spot, word: *word, hash: None })
            }
            _ => None,
        }
    }
}

/// An element that will be looked for in a collection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Where the collection lies.
    spot: Spot,
    word: Span,
    /// What it is looked for by.
    hash: Option<u64>,
}

/// Which requests of a chunk are brief.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Brevity {
    /// None: each is timed by itself.
    is_exact: bool,
    /// Those of up to so many bytes, if that has to be looked at.
    bytes_max: Option<usize>,
}

impl Brevity {
    /// Each request is timed by itself.
    pub(super) const EXACT: Self = Self { is_exact: true, bytes_max: None };

    pub(super) fn of_chunk(state: &State, chunk: Chunk<'_>) -> Self {
        let (observe, batch) = (&state.tunables.observe, chunk.batch);
        let begin = if chunk.from == 0 { 0 } else { batch.end_of(chunk.from - 1) };
        let bytes = batch.end_of(chunk.until.saturating_sub(1)).saturating_sub(begin);
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
pub(crate) fn extent(spans: &[Span]) -> usize {
    match spans {
        [first, .., last] => last.start + last.len - first.start,
        [only] => only.len,
        [] => 0,
    }
}

/// What was looked up last. The next request is often like it: the same command, about the same key.
#[derive(Default)]
pub(super) struct Last<'a> {
    name: &'a [u8],
    row: Option<&'static Row>,
    key: &'a [u8],
    spot: Option<Spot>,
}

impl<'a> Last<'a> {
    /// The row of a request, a subcommand's if it has one.
    #[inline]
    fn find_row(
        &mut self,
        state: &'static State,
        input: &'a [u8],
        spans: &[Span],
    ) -> Option<&'static Row> {
        let name = spans.first()?.of(input);
        if self.row.is_none() || !same(name, self.name) {
            (self.name, self.row) = (name, state.table.find(name));
        }
        subcommand_of(self.row?, input, spans)
    }

    /// Where a key lies.
    #[inline]
    fn locate(&mut self, state: &'static State, key: &'a [u8]) -> Spot {
        match self.spot {
            Some(spot) if same(key, self.key) => spot,
            _ => {
                let spot = state.keyspace.locate(key);
                (self.key, self.spot) = (key, Some(spot));
                spot
            }
        }
    }
}

#[derive(Clone, Copy)]
pub(super) enum KeySet {
    None,
    One(usize, Spot),
    Many(usize, usize),
    /// As many, and all shards with them.
    All(usize, usize),
}

impl KeySet {
    /// The only key's.
    #[inline]
    pub(super) const fn spot(self) -> Option<Spot> {
        if let Self::One(_, spot) = self { Some(spot) } else { None }
    }

    /// The same keys, which stand in `spots` then, and all shards.
    pub(super) fn and_all(self, spots: &mut Vec<(u32, Spot)>) -> Self {
        match self {
            Self::Many(start, end) | Self::All(start, end) => Self::All(start, end),
            Self::One(at, spot) => {
                spots.push((at as u32, spot));
                Self::All(spots.len() - 1, spots.len())
            }
            Self::None => Self::All(0, 0),
        }
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prepared")
    }
}

/// Looks at the shards of some keys, as far as nobody holds them. Each is taken once for all keys in a row that lie behind it. Says
/// whether all were looked at.
#[inline]
fn visit<T>(
    state: &'static State,
    keys: impl Iterator<Item = (Spot, T)>,
    mut look: impl FnMut(&Shard, Spot, T),
) -> bool {
    let mut held: Option<Guard<'_, Shard>> = None;
    let mut all = true;
    for (spot, what) in keys {
        if held.as_ref().is_none_or(|shard| shard.index() != spot.shard) {
            // Let go first: locks are taken in ascending order, or one at a time.
            drop(held.take());
            held = state.keyspace.peek(spot.shard);
        }
        match &held {
            Some(shard) => look(shard, spot, what),
            None => all = false,
        }
    }
    all
}

/// Without those that are the same as the one before: clients send many requests about one key.
#[inline]
fn once_in_a_row(spots: impl Iterator<Item = Spot>) -> impl Iterator<Item = Spot> {
    let mut last = None;
    spots.filter(move |spot| last.replace(spot.hash) != Some(spot.hash))
}

/// Locks and buckets, in a loop that does nothing else: so the processor translates several addresses at a time.
#[inline]
fn prefetch_buckets(state: &'static State, spots: impl Iterator<Item = Spot>) {
    let mut last = None;
    for spot in once_in_a_row(spots) {
        // Asking again for a lock would take it from whoever holds it.
        if last.replace(spot.shard) != Some(spot.shard) {
            state.keyspace.prefetch_lock(spot.shard);
        }
        state.keyspace.prefetch_bucket(spot);
    }
}

/// The entries themselves, of shards that nobody holds. Says whether those are all.
#[inline]
fn prefetch_entries(state: &'static State, spots: impl Iterator<Item = Spot>) -> bool {
    let spots = once_in_a_row(spots).map(|spot| (spot, ()));
    visit(state, spots, |shard, spot, ()| prefetch_entry(shard, spot))
}

/// Asks for the memory that commands about these keys will touch.
pub(crate) fn prefetch(state: &'static State, spots: impl Iterator<Item = Spot> + Clone) {
    prefetch_buckets(state, spots.clone());
    prefetch_entries(state, spots);
}

impl Executor {
    /// Looks all requests up, hashes their keys and asks for the memory that they will touch: first locks and buckets, which needs no
    /// lock, then entries, which finds in the cache what was asked for before.
    pub(super) fn prepare(&mut self, state: &'static State, chunk: Chunk<'_>) {
        self.prepared.clear();
        self.spots.clear();
        let (mut has_elements, mut last) = (false, Last::default());
        for at in chunk.from..chunk.until {
            let prepared = self.look_up(state, chunk.input, chunk.batch.request(at), &mut last);
            has_elements |= prepared.row.is_some_and(|row| row.element > 0);
            if let Some(before) = self.prepared.last_mut() {
                before.keeps = before.shares_hold_with(prepared);
            }
            self.prepared.push(prepared);
        }
        prefetch_buckets(state, self.all_spots());
        if self.prepared.len() > 1 {
            self.has_missed = !prefetch_entries(state, self.all_spots());
            if has_elements {
                self.prefetch_elements(state, chunk);
            }
        }
    }

    #[inline(always)]
    pub(super) fn look_up<'a>(
        &mut self,
        state: &'static State,
        input: &'a [u8],
        spans: &[Span],
        last: &mut Last<'a>,
    ) -> Prepared {
        let Some(row) = last.find_row(state, input, spans) else {
            return Prepared { row: None, keys: KeySet::None, is_brief: true, keeps: false };
        };
        let keys = self.key_set(state, row, input, spans, last);
        Prepared { row: Some(row), keys, is_brief: self.brevity.takes(row, spans), keeps: false }
    }

    /// Hashes the keys of a request.
    #[inline(always)]
    fn key_set<'a>(
        &mut self,
        state: &'static State,
        row: &Row,
        input: &'a [u8],
        spans: &[Span],
        last: &mut Last<'a>,
    ) -> KeySet {
        match row.locks {
            Locks::One(at) if at < spans.len() => {
                KeySet::One(at, last.locate(state, spans[at].of(input)))
            }
            Locks::Counted(at) if names_one(at, input, spans) => {
                KeySet::One(at + 1, last.locate(state, spans[at + 1].of(input)))
            }
            Locks::Keys | Locks::KeysOrAll | Locks::Counted(_) => {
                let start = self.spots.len();
                gather(state, row, input, spans, &mut self.spots);
                let end = self.spots.len();
                if row.takes_all(spans.len(), |at| spans[at].of(input)) {
                    return KeySet::All(start, end);
                }
                match self.spots[start..] {
                    [(at, spot)] => {
                        self.spots.truncate(start);
                        KeySet::One(at as usize, spot)
                    }
                    _ => KeySet::Many(start, end),
                }
            }
            _ => KeySet::None,
        }
    }

    /// Where all keys lie.
    #[inline]
    fn all_spots(&self) -> impl Iterator<Item = Spot> {
        let one = self.prepared.iter().filter_map(|prepared| prepared.keys.spot());
        one.chain(self.spots.iter().map(|(_, spot)| *spot))
    }

    /// The same for a request that came alone, once the shards of its keys are held: nothing is gained by taking them before.
    #[inline]
    pub(super) fn prefetch_held(&self, held: &Held<'_, Shard>, spots: &[(u32, Spot)]) {
        if self.prepared.len() > 1 {
            return;
        }
        for (_, spot) in spots {
            if let Some(shard) = held.get(spot.shard) {
                prefetch_entry(shard, *spot);
            }
        }
    }

    /// Takes the shard of several requests in a row, the first of which is `nth` of the prepared, and asks for their entries: somebody
    /// held it before. If it is held for long, the request itself sees to that.
    #[cold]
    pub(super) fn begin_run(&mut self, state: &'static State, nth: usize) {
        let run = &self.prepared[nth..];
        let len = run.iter().take_while(|prepared| prepared.keeps).count() + 1;
        let mut spots = run[..len].iter().filter_map(|prepared| prepared.keys.spot()).peekable();
        let Some(first) = spots.peek() else { return };
        if let Ok(shard) = state.keyspace.hold_one(first.shard, Patience::SHORT) {
            spots.for_each(|spot| prefetch_entry(&shard, spot));
            self.kept = Some(shard);
        }
    }

    /// The same for what commands like HGET look for in a collection: first the places of all, then the elements. A collection that is
    /// meant several times in a row is found once.
    fn prefetch_elements(&mut self, state: &'static State, chunk: Chunk<'_>) {
        self.elements.clear();
        let wanted = |(nth, prepared): (usize, &Prepared)| {
            prepared.wanted(chunk.batch.request(chunk.from + nth))
        };
        self.elements.extend(self.prepared.iter().enumerate().filter_map(wanted));
        let is_same = |one: &Wanted, other: &Wanted| one.spot.hash == other.spot.hash;
        let runs = self.elements.chunk_by_mut(is_same).map(|run| (run[0].spot, run));
        visit(state, runs, |shard, spot, run| {
            if let Some(collection) = shard.collection_of(spot.hash) {
                let place = |word: Span| collection.prefetch_place(word.of(chunk.input));
                run.iter_mut().for_each(|wanted| wanted.hash = place(wanted.word));
            }
        });
        let runs = self.elements.chunk_by(is_same).map(|run| (run[0].spot, run));
        visit(state, runs, |shard, spot, run| {
            if let Some(collection) = shard.collection_of(spot.hash) {
                run.iter()
                    .filter_map(|wanted| wanted.hash)
                    .for_each(|hash| collection.prefetch(hash));
            }
        });
    }
}

#[inline]
fn prefetch_entry(shard: &Shard, spot: Spot) {
    shard.prefetch_entry(spot.hash);
    if let Some(interest) = shard.interest() {
        interest.tracked.prefetch(spot.hash);
    }
}

/// Whether the word at `at`, which says how many keys follow, says that one does, and one is there.
#[inline]
fn names_one(at: usize, input: &[u8], spans: &[Span]) -> bool {
    at + 1 < spans.len() && spans[at].of(input) == b"1"
}

/// The row of a request, a subcommand's if it has one.
#[inline]
pub(crate) fn find_row(
    state: &'static State,
    input: &[u8],
    spans: &[Span],
) -> Option<&'static Row> {
    subcommand_of(state.table.find(spans.first()?.of(input))?, input, spans)
}

/// The row of the subcommand that a request names, if its command has some.
#[inline]
fn subcommand_of(row: &'static Row, input: &[u8], spans: &[Span]) -> Option<&'static Row> {
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
