//! The end of a unit: whoever waited is served, effects are appended, others hear of what changed, and the shards are whole again.

use std::sync::atomic::Ordering;

use russet_engine::prefetch_to_write;
use russet_journal::{Lsn, Record};

use super::locks::is_awaited;
use crate::context::Data;
use crate::effect::Own;
use crate::serve::{Served, serve};
use crate::state::{State, rule};
use crate::tracking;

/// Ends a unit: serves whoever waited for what changed, appends the effects, tells who has read what changed, and marks the shards
/// whole. `own` is the only effect if it is there.
#[inline]
pub(crate) fn finish(data: &mut Data<'_>, own: Option<Own<'_>>) {
    if data.unit.has_touched() {
        finish_touched(data, own);
    }
}

/// As [`finish`], for a unit that may have something for others.
pub(super) fn finish_touched(data: &mut Data<'_>, mut own: Option<Own<'_>>) {
    let concerns = data.held.iter().any(|shard| shard.interest().is_some());
    if concerns && let Some(own) = own.take() {
        // Whoever is served has effects behind it.
        data.unit.record.push_wire(own.db, own.wire);
    }
    let served = if concerns { finish_for_others(data) } else { Vec::new() };
    data.thread.counters.changes.add(data.unit.changes);
    let record = &mut data.unit.record;
    let lsn = match own {
        Some(own) => Some(append_own(data.state, own)),
        None => (!record.is_empty()).then(|| append(data.state, record)),
    };
    for shard in data.held.iter_mut().filter(|shard| shard.is_changed()) {
        if let Some(lsn) = lsn {
            shard.lsn = lsn;
        }
        data.thread.keep_books(shard);
        shard.finish();
    }
    let stamp = lsn.unwrap_or_default();
    if !data.unit.notes.is_empty() {
        data.publish_notes(stamp);
    }
    if !served.is_empty() {
        served.into_iter().for_each(|served| served.post(stamp));
    }
    if !data.unit.stale.is_empty() {
        // Behind the replies of those who were served: they may be about what the same clients hear of now.
        tracking::tell(data.state, data.thread, &mut data.unit.stale, stamp);
    }
}

/// Appends a unit's effects.
pub(crate) fn append(state: &State, record: &mut Record) -> Lsn {
    let lsn = state.journal.append(record, prefetch_to_write);
    appended(state);
    lsn
}

/// Appends a request as the only effect of its unit.
#[inline]
fn append_own(state: &State, own: Own<'_>) -> Lsn {
    let lsn = state.journal.append_wire(own.db, own.wire, prefetch_to_write);
    appended(state);
    lsn
}

/// Where there is more than is read in time, whoever may write is kept waiting from here on.
#[inline]
fn appended(state: &State) {
    if state.journal.is_full() {
        state.set_rule(rule::LAGGING, true);
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
pub(super) fn stamp(data: &Data<'_>) -> Lsn {
    data.held.iter().map(|shard| shard.lsn).max().unwrap_or_else(|| {
        // While something is in doubt, who asks for no data is not to wait for it.
        let rules = data.state.rules.load(Ordering::Relaxed);
        if rules & rule::UNLOGGED == 0 { data.state.journal.end() } else { 0 }
    })
}
