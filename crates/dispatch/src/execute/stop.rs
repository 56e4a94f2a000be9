//! What becomes of a request whose handler did not reply: an error, a wait, or the same again elsewhere.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use russet_engine::{Busy, Waiter};
use russet_resp::Span;

use super::Halt;
use crate::args::OwnedRequest;
use crate::blocking::{Blocked, OnTimeout, Wait};
use crate::command::Flag;
use crate::context::Context;
use crate::error::{Error, Stop};
use crate::monitor;

/// A handler that did not reply.
#[cold]
pub(super) fn stopped(
    cx: &mut Context<'_>,
    stop: Stop,
    mark: russet_resp::Mark,
    input: &[u8],
    spans: &[Span],
) -> Option<Halt> {
    if let Stop::Rest(walk) = stop {
        return Some(Halt::Later(walk));
    }
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
            monitor::show_first(cx, spans.iter().map(|span| span.of(input)));
            let request = wait.request.take();
            let request = request.unwrap_or_else(|| OwnedRequest::copy(input, spans));
            Some(Halt::Wait(register(cx, *wait, request)))
        }
        Stop::Elsewhere => Some(Halt::Elsewhere),
        Stop::Room(bytes) => Some(Halt::Room(bytes)),
        Stop::All => Some(Halt::All),
        Stop::Later(walk) | Stop::Rest(walk) => Some(Halt::Later(walk)),
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
