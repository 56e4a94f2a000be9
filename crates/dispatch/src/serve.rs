//! Serving those who wait, at the end of a unit and before its locks fall.
//!
//! Keys in the order they became ready, waiters of a key first come first served. A waiter's command runs again, with the keys that are
//! held here; what it writes goes to its client's mailbox once the unit is recorded, what it changes goes to this unit's record. It may
//! make other keys ready.
//!
//! Waiters see the time at which they are served, not the one that the unit began at: after a transaction that took long, what it made
//! may have ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use russet_engine::{Held, Name, NameBuf, Shard, Waiter};
use russet_journal::Lsn;
use russet_resp::{Output, Writer};

use crate::args::{Args, Spots};
use crate::blocking::Blocked;
use crate::context::{Context, Data};
use crate::error::Stop;
use crate::execute::failed;
use crate::session::{Client, Mail, Session};

/// A waiter that was served, and its reply.
pub(crate) struct Served {
    client: Arc<Client>,
    reply: Bytes,
}

impl Served {
    /// Posts the reply. Only once the unit is in the journal: what the client does next, on whatever shard, must come behind it there.
    pub(crate) fn post(self, stamp: Lsn) {
        self.client.post(&Mail { bytes: self.reply, stamp, is_reply: true });
    }
}

/// Serves all that can be served.
pub(crate) fn serve(data: &mut Data<'_>) -> Vec<Served> {
    let mut served = Vec::new();
    data.now = data.now.max(data.state.clock.now());
    data.gather_all_stale(data.client);
    while let Some((shard, name)) = pop_ready(data) {
        let queue = interest_queue(data, shard, &name);
        for waiter in queue {
            let Some(blocked) = waiter.as_any().downcast_ref::<Blocked>() else { continue };
            if !blocked.wait.on_loss && !holds_kind(data, shard, &name, blocked) {
                continue;
            }
            if blocked.claim.begin_serving() {
                served.extend(serve_one(data, blocked));
                data.gather_all_stale(blocked.client.id);
            }
            if !waiter.is_open() {
                forget(data, shard, &name, &waiter);
            }
        }
    }
    served
}

fn pop_ready(data: &mut Data<'_>) -> Option<(u32, NameBuf)> {
    let shards: Vec<u32> = data.held.indexes().collect();
    shards.into_iter().find_map(|index| {
        let shard = data.held.get_mut(index).expect("one of the held");
        shard.interest()?;
        let name = shard.interest_mut().pop_ready();
        shard.drop_idle_interest();
        name.map(|name| (index, name))
    })
}

fn interest_queue(data: &Data<'_>, shard: u32, name: &NameBuf) -> Vec<Arc<dyn Waiter>> {
    data.held
        .get(shard)
        .and_then(Shard::interest)
        .map(|interest| interest.queue(name))
        .unwrap_or_default()
}

/// Whether the key holds what the waiter waits for.
fn holds_kind(data: &mut Data<'_>, shard: u32, name: &NameBuf, blocked: &Blocked) -> bool {
    let hash = data.state.keyspace.seed().hash(&name.key);
    let engine_name = Name { db: name.db, key: &name.key, hash };
    let entry = data.held.get(shard).and_then(|shard| shard.get(engine_name));
    entry.is_some_and(|entry| !entry.is_expired(data.now) && entry.kind() == blocked.wait.kind)
}

fn forget(data: &mut Data<'_>, shard: u32, name: &NameBuf, waiter: &Arc<dyn Waiter>) {
    if let Some(shard) = data.held.get_mut(shard)
        && shard.interest().is_some()
    {
        shard.interest_mut().unwait(name.db, &name.key, waiter);
        shard.drop_idle_interest();
    }
}

/// Runs a waiter's command again.
fn serve_one(data: &mut Data<'_>, blocked: &Blocked) -> Option<Served> {
    let mut session = Session::new(Arc::clone(&blocked.client), true);
    session.db = blocked.db;
    session.protocol = blocked.protocol;
    session.no_touch = blocked.no_touch;
    let mut out = Output::default();
    let started = data.state.clock.ticks();
    let served = rerun(data, blocked, &mut session, &mut out);
    let took = data.state.clock.ticks().saturating_sub(started);
    blocked.spent_ns.fetch_add(took, Ordering::Relaxed);
    if !served {
        blocked.claim.stop_serving();
        return None;
    }
    blocked.claim.end_serving();
    Some(Served { client: Arc::clone(&blocked.client), reply: blocked.audible(out) })
}

/// Says whether the command replied.
fn rerun(data: &mut Data<'_>, blocked: &Blocked, session: &mut Session, out: &mut Output) -> bool {
    let (input, spans, row) = (blocked.request.input(), blocked.request.spans(), blocked.row);
    let mut spots = Vec::new();
    crate::execute::gather(data.state, row, input, spans, &mut spots);
    let mut args = Args::new(input, spans, row.first_arg(), Spots::many(&spots));
    data.unit.begin_command();
    // The waiter's handler works on this unit's locks and record, lent for the while.
    let lent = Data {
        held: std::mem::replace(&mut data.held, Held::none()),
        state: data.state,
        thread: data.thread,
        unit: &mut *data.unit,
        now: data.now,
        db: blocked.db,
        access: data.access,
        is_touching: data.is_touching,
        client: blocked.client.id,
        is_serving: true,
    };
    let reply = Writer { out, protocol: session.protocol };
    let mut cx = Context {
        data: lent,
        reply,
        session,
        state: data.state,
        thread: data.thread,
        row,
        is_worker: false,
    };
    let result = (row.command.run)(&mut cx, &mut args);
    let served = match result {
        Ok(()) => true,
        Err(Stop::Error(error)) => {
            cx.reply.out.clear();
            failed(&mut cx, &error);
            true
        }
        Err(Stop::Wait(wait)) => {
            blocked.again_ms.store(wait.again_ms.unwrap_or(0), Ordering::Relaxed);
            false
        }
        Err(_) => false,
    };
    let Context { data: lent, .. } = cx;
    data.held = lent.held;
    if served {
        data.unit.end_command(blocked.db, &args);
        if let Some(reader) = blocked.reads_as {
            crate::tracking::remember(data, reader, args.keys());
        }
    }
    served
}
