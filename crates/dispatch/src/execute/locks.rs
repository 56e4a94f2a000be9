//! Which shards a request holds while it runs: those of its keys, and those that serving a waiter may change.

use russet_engine::{Busy, Held, Interest, Name, Patience, Shard};
use smallvec::SmallVec;

use super::chunk::KeySet;
use super::{Executor, gather};
use crate::blocking::Blocked;
use crate::command::Flag;
use crate::session::Session;
use crate::state::State;
use crate::table::{Locks, Row};

impl Executor {
    /// Takes the shards of a request's keys into `held`, which is empty: what is moved from place to place there and then costs more
    /// than the lock.
    #[inline]
    pub(super) fn lock(
        &mut self,
        state: &'static State,
        session: &Session,
        row: &Row,
        keys: KeySet,
        patience: Patience,
        held: &mut Held<'static, Shard>,
    ) -> Result<(), Busy> {
        let KeySet::One(_, spot) = keys else {
            *held = self.lock_several(state, session, row, keys, patience)?;
            return Ok(());
        };
        let guard = match self.kept.take() {
            Some(kept) => kept,
            None => state.keyspace.hold_one(spot.shard, patience)?,
        };
        debug_assert_eq!(guard.index(), spot.shard, "kept for this request");
        let is_awaited = guard.interest().is_some_and(Interest::is_awaited);
        held.add_last(guard);
        if is_awaited && (row.has(Flag::Write) || row.has(Flag::MayReplicate)) {
            *held = close_over_targets(state, std::mem::replace(held, Held::none()), patience)?;
        }
        Ok(())
    }

    /// The same for a request with another number of keys than one.
    fn lock_several(
        &self,
        state: &'static State,
        session: &Session,
        row: &Row,
        keys: KeySet,
        patience: Patience,
    ) -> Result<Held<'static, Shard>, Busy> {
        match keys {
            KeySet::Many(start, end) => {
                let shards = sorted(self.spots[start..end].iter().map(|(_, spot)| spot.shard));
                let held = state.keyspace.hold(&shards, patience)?;
                if row.flags & (Flag::Write.bit() | Flag::MayReplicate.bit()) != 0 {
                    close_over_targets(state, held, patience)
                } else {
                    Ok(held)
                }
            }
            KeySet::All(..) => state.keyspace.hold_all(patience),
            KeySet::None | KeySet::One(..) => {
                if row.locks != Locks::None {
                    // A transaction may take long: nobody waits for their mail until it is over.
                    self.thread.call(state);
                }
                lock_unkeyed(state, session, row, patience)
            }
        }
    }
}

/// Ascending, each once.
pub(crate) fn sorted(shards: impl Iterator<Item = u32>) -> SmallVec<[u32; 16]> {
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
pub(super) fn close_over_targets(
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

/// Whether serving a waiter could change a large collection that a snapshot is still to write. Those are written next.
#[cold]
pub(super) fn has_closed_target(state: &'static State, held: &mut Held<'static, Shard>) -> bool {
    let movers = held.iter().filter_map(Shard::interest).flat_map(Interest::movers);
    let movers: Vec<_> = movers.cloned().collect();
    let mut any = false;
    for blocked in movers.iter().filter_map(|waiter| waiter.as_any().downcast_ref::<Blocked>()) {
        let (input, spans) = (blocked.request.input(), blocked.request.spans());
        let mut spots = Vec::new();
        gather(state, blocked.row, input, spans, &mut spots);
        for (at, spot) in spots {
            let name = Name { db: blocked.db, key: spans[at as usize].of(input), hash: spot.hash };
            any |= held.get_mut(spot.shard).is_some_and(|shard| shard.is_closed(name));
        }
    }
    any
}

/// Whether anybody waits for a name of a shard.
pub(super) fn is_awaited(shard: &Shard) -> bool {
    shard.interest().is_some_and(Interest::is_awaited)
}
