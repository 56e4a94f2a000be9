//! What a connection waits for before its next request: keys, work elsewhere, a pause.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use russet_dispatch::args::OwnedRequest;
use russet_dispatch::blocking::Blocked;
use russet_dispatch::execute::Walk;
use russet_dispatch::session::{Client, Session};
use russet_dispatch::{Error, Executor, Halt, State};
use russet_resp::{Output, Writer};

use super::TURN_MAX;
use crate::runtime::IoThread;

/// What a connection waits for before its next request.
pub(super) enum Waiting {
    /// Nothing: it reads on.
    Nothing,
    /// Keys, until a time.
    Keys(Arc<Blocked>, Timers),
    /// Something that takes its time: a shard, a pause.
    Work(Pin<Box<dyn Future<Output = Done>>>),
    /// A reply that somebody else writes: a worker, the shell. Mail is taken behind it, since it may be about what the reply shows.
    Reply(Pin<Box<dyn Future<Output = Done>>>),
}

/// What goes on while keys are waited for.
#[derive(Default)]
pub(super) struct Timers {
    /// The end of the wait.
    pub(super) timeout: Timer,
    /// When there may be something by the mere passing of time.
    pub(super) again: Timer,
}

pub(super) type Timer = Option<Pin<Box<tokio::time::Sleep>>>;

pub(super) fn timer(milliseconds: u64) -> Timer {
    Some(Box::pin(tokio::time::sleep(Duration::from_millis(milliseconds))))
}

pub(super) fn is_due(timer: &mut Timer, cx: &mut Context<'_>) -> bool {
    timer.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready())
}

/// When a waiter is to be looked at again.
pub(super) fn again(state: &State, blocked: &Blocked) -> Timer {
    timer(blocked.again_ms()?.saturating_sub(state.clock.now()).max(1))
}

/// Looks at what a waiter waits for whenever it says so.
pub(super) fn look_again(
    io: &IoThread,
    blocked: &Blocked,
    timer_again: &mut Timer,
    cx: &mut Context<'_>,
) {
    while is_due(timer_again, cx) {
        io.state.clock.advance(crate::clock::now_ms());
        let is_busy = io.executor.borrow_mut().look_again(io.state, blocked).is_err();
        *timer_again = if is_busy { timer(1) } else { again(io.state, blocked) };
    }
}

/// What came of waiting.
pub(crate) enum Done {
    /// The same request again.
    Again,
    /// Its reply.
    Reply(Output),
    /// Its reply, which is an error that nobody has counted for its command.
    Refused(Output),
}

pub(super) async fn shard_free(state: &'static State, shard: u32) -> Done {
    let mut is_queued = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut is_queued, true) {
            return Poll::Ready(());
        }
        state.keyspace.locks().queue(shard, cx.waker().clone());
        Poll::Pending
    })
    .await;
    Done::Again
}

/// Waits until CLIENT PAUSE is over, or a snapshot has caught up. Woken by CLIENT UNPAUSE, through the client's own waker, and at the
/// latest when its time is up.
pub(super) async fn pause_over(state: &'static State, client: Arc<Client>) -> Done {
    if !state.pause_holds() {
        tokio::time::sleep(Duration::from_millis(1)).await;
        return Done::Again;
    }
    client.paused.store(true, Ordering::Release);
    while state.pause_holds() {
        let left = state.paused_until_ms.load(Ordering::Acquire).saturating_sub(state.clock.now());
        tokio::time::sleep(Duration::from_millis(left.clamp(1, 20))).await;
        state.clock.advance(crate::clock::now_ms());
    }
    client.paused.store(false, Ordering::Release);
    Done::Again
}

/// Runs a walk in slices of a millisecond.
pub(super) async fn walk_through(
    io: Rc<IoThread>,
    mut session: Session,
    mut walk: Box<dyn Walk>,
) -> Done {
    let mut out = Output::default();
    loop {
        let started = Instant::now();
        while started.elapsed() < TURN_MAX {
            let step =
                io.executor.borrow_mut().walk(io.state, &mut session, walk.as_mut(), &mut out);
            match step {
                Ok(true) => return Done::Reply(out),
                Ok(false) => {}
                Err(Halt::Busy(shard)) => drop(shard_free(io.state, shard).await),
                Err(_) => unreachable!("a walk is at most busy"),
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Runs a request on a worker thread.
pub(super) async fn on_worker(
    state: &'static State,
    mut session: Session,
    request: OwnedRequest,
) -> Done {
    let protocol = session.protocol;
    let work = move || {
        let mut executor = Executor::for_worker(state.worker());
        let mut out = Output::default();
        loop {
            match executor.run_owned(state, &mut session, &request, &mut out) {
                Some(Halt::Busy(_) | Halt::Again) => std::thread::yield_now(),
                Some(Halt::Paused) => std::thread::park_timeout(Duration::from_millis(1)),
                _ => break,
            }
        }
        state.give_back(executor.into_thread());
        out
    };
    Done::Reply(tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        let mut out = Output::default();
        Writer { out: &mut out, protocol }.error(&Error::Internal.text());
        out
    }))
}
