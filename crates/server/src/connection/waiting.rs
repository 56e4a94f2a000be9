//! What a connection waits for before its next request: keys, work elsewhere, a pause.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use russet_dispatch::args::OwnedRequest;
use russet_dispatch::blocking::Blocked;
use russet_dispatch::execute::{Walk, refuse};
use russet_dispatch::request::AwaitDisk;
use russet_dispatch::session::{Client, Session};
use russet_dispatch::{Error, Executor, Halt, State};
use russet_journal::Lsn;
use russet_resp::{Output, Protocol, Writer};

use super::TURN_MAX;
use crate::runtime::IoThread;
use crate::tasks::Shell;

/// What a connection waits for before its next request.
pub(super) enum Waiting {
    /// Nothing: it reads on.
    Nothing,
    /// Keys, until a time.
    Keys(Arc<Blocked>, Timers),
    /// Something that takes its time: a shard, a pause.
    Work(Work),
    /// A reply that somebody else writes: a worker, the shell. Mail is taken behind it, since it may be about what the reply shows.
    Reply(Work),
}

/// Something that takes its time, and what comes of it.
pub(super) type Work = Pin<Box<dyn Future<Output = Done>>>;

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

/// A part of a reply.
pub(crate) struct Part {
    pub(super) out: Output,
    /// The position of the journal that it shows at most, or where that is unknown, none.
    pub(super) shows: Option<Lsn>,
    /// What makes the rest.
    pub(super) rest: Work,
}

/// What came of waiting.
pub(crate) enum Done {
    /// The same request again.
    Again,
    /// Its reply.
    Reply(Output),
    /// A part of its reply.
    Part(Part),
    /// All of its reply is there, or an error comes instead of the rest; either way the connection ends.
    End(Option<Error>),
    /// Its reply, which is an error that nobody has counted for its command.
    Refused(Output),
    /// An error instead of the same request again, which is still to be taken from the input.
    Instead(Error),
}

/// How often somebody who waits for a shard looks whether a script has held it for too long.
const OVERDUE_LOOK: Duration = Duration::from_millis(20);

/// Waits until a shard may be free. If a script has held it for longer than `busy-reply-threshold`, the client is told that instead.
pub(super) async fn shard_free(state: &'static State, shard: u32) -> Done {
    let mut free: Option<Arc<Free>> = None;
    let mut look = tokio::time::interval(OVERDUE_LOOK);
    look.reset();
    poll_fn(|cx| {
        let Some(free) = &free else {
            let queued =
                Arc::new(Free { is_free: AtomicBool::new(false), waker: cx.waker().clone() });
            state.keyspace.locks().queue(shard, Waker::from(Arc::clone(&queued)));
            free = Some(queued);
            while look.poll_tick(cx).is_ready() {}
            return Poll::Pending;
        };
        if free.is_free.load(Ordering::Acquire) {
            return Poll::Ready(Done::Again);
        }
        while look.poll_tick(cx).is_ready() {}
        overdue(state, shard).map_or(Poll::Pending, |error| Poll::Ready(Done::Instead(error)))
    })
    .await
}

/// Whether the holder of a shard has let go: told apart from all else that wakes who waits for it.
struct Free {
    is_free: AtomicBool,
    waker: Waker,
}

impl Wake for Free {
    fn wake(self: Arc<Self>) {
        self.is_free.store(true, Ordering::Release);
        self.waker.wake_by_ref();
    }
}

/// What a client is told that has waited too long for a script.
fn overdue(state: &State, shard: u32) -> Option<Error> {
    let threshold = state.tunables.busy_threshold.load(Ordering::Relaxed);
    let running = state.scripts.overdue(shard, threshold).filter(|_| threshold > 0)?;
    Some(if running.is_eval { Error::Busy } else { Error::BusyFunction })
}

/// An error for a request that is no longer in the input.
fn refused(error: &Error, protocol: Protocol) -> Output {
    let mut out = Output::default();
    Writer { out: &mut out, protocol }.error(&error.text());
    out
}

/// Lets others go first; while CLIENT PAUSE holds, for a moment.
pub(super) async fn others_turn(state: &'static State) -> Done {
    if state.pause_holds() {
        tokio::time::sleep(PAUSE_REST).await;
    } else {
        tokio::task::yield_now().await;
    }
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

/// How often somebody who waits for replicas looks whether there still is a log.
const LOG_LOOK: Duration = Duration::from_millis(20);

/// Waits until the disk has what a client has written, or for as long as it wants to wait.
pub(super) async fn on_disk(state: &'static State, shell: Shell, what: AwaitDisk) -> Done {
    let is_off = || what.is_local && !state.aof.is_enabled.load(Ordering::Relaxed);
    let wanted = async {
        shell.log.push();
        if what.is_local {
            let poll = |cx: &mut Context<'_>| {
                let waits = state.aof.wait_for_disk(what.lsn, cx.waker());
                if waits { Poll::Pending } else { Poll::Ready(()) }
            };
            poll_fn(poll).await;
        }
        // There are no replicas: only the time or the end of the log ends this.
        while what.replicas > 0 && !is_off() {
            tokio::time::sleep(LOG_LOOK).await;
        }
    };
    if what.timeout_ms == 0 {
        wanted.await;
    } else {
        let time = Duration::from_millis(what.timeout_ms);
        // That the time is up is an answer, too.
        drop(tokio::time::timeout(time, wanted).await);
    }
    let mut out = Output::default();
    let mut reply = Writer { out: &mut out, protocol: Protocol::Resp2 };
    if is_off() {
        reply.error(&Error::NoLocalAof.text());
        return Done::Refused(out);
    }
    reply.array(2);
    reply.integer(i64::from(state.aof.has(what.lsn)));
    reply.integer(0);
    Done::Reply(out)
}

/// Runs a walk in slices of a millisecond.
pub(super) async fn walk_through(
    io: Rc<IoThread>,
    mut session: Session,
    mut walk: Box<dyn Walk>,
) -> Done {
    let mut out = bound_output(io.state, &session);
    loop {
        let started = Instant::now();
        while started.elapsed() < TURN_MAX && !is_part(walk.as_ref(), &out) {
            let step =
                io.executor.borrow_mut().walk(io.state, &mut session, walk.as_mut(), &mut out);
            match step {
                Ok(true) => return Done::Reply(whole(io.state, out, &session)),
                Ok(false) => {}
                Err(Halt::Busy(shard)) => {
                    if let Done::Instead(error) = shard_free(io.state, shard).await {
                        return Done::Refused(refused(&error, session.protocol));
                    }
                }
                Err(_) => unreachable!("a walk is at most busy"),
            }
        }
        if is_part(walk.as_ref(), &out) {
            return Done::Part(Part { out, shows: None, rest: Box::pin(go_on(io, session, walk)) });
        }
        tokio::task::yield_now().await;
    }
}

/// Whether enough of a reply is there to be sent before the rest is made.
fn is_part(walk: &dyn Walk, out: &Output) -> bool {
    walk.is_sent_in_parts() && out.len() >= PART_BYTES
}

/// Goes on with a walk when what it has written is taken, but for a part. A client that takes it at once does not keep others waiting.
async fn go_on(io: Rc<IoThread>, session: Session, walk: Box<dyn Walk>) -> Done {
    tokio::task::yield_now().await;
    // Its connection looks at this whenever it has sent something.
    poll_fn(|cx| {
        let waits = session.client.output_bytes.load(Ordering::Relaxed) >= PART_BYTES;
        if waits && !walk.is_hurried(cx.waker()) { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    walk_through(io, session, walk).await
}

/// A reply that is sent in parts waits while more than this waits to be taken.
const PART_BYTES: usize = 256 * 1024;

/// For replies that are made aside.
fn bound_output(state: &State, session: &Session) -> Output {
    let mut out = Output::default();
    out.bind(state.reply_bytes_max(&session.client));
    out
}

/// Who asks for more than may wait for a client is cut.
fn whole(state: &State, out: Output, session: &Session) -> Output {
    if out.has_overflowed() {
        state.cut_for_replies(&session.client);
    }
    out
}

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// As [`shard_free`], for a worker. Fifty of them that looked again and again would keep whoever holds the shard from the processor; so
/// each has its place behind those who came before.
fn await_shard(state: &State, shard: u32) -> Result<(), Error> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let queued = Arc::new(Free { is_free: AtomicBool::new(false), waker });
    state.keyspace.locks().queue(shard, Waker::from(Arc::clone(&queued)));
    let is_closing = || state.scripts.is_closing.load(Ordering::Acquire);
    while !queued.is_free.load(Ordering::Acquire) && !is_closing() {
        if let Some(error) = overdue(state, shard) {
            return Err(error);
        }
        std::thread::park_timeout(OVERDUE_LOOK);
    }
    Ok(())
}

/// How long a worker rests while CLIENT PAUSE holds it up.
const PAUSE_REST: Duration = Duration::from_millis(1);

/// Runs a request on a worker thread.
pub(super) async fn on_worker(
    state: &'static State,
    mut session: Session,
    request: OwnedRequest,
) -> Done {
    let protocol = session.protocol;
    let work = move || {
        let mut executor = Executor::for_worker(state.worker());
        let mut out = bound_output(state, &session);
        let reply = loop {
            match executor.run_owned(state, &mut session, &request, &mut out) {
                Some(Halt::Busy(shard)) => {
                    if let Err(error) = await_shard(state, shard) {
                        break Err(refused(&refuse(state, &mut session, error), protocol));
                    }
                    if state.scripts.is_closing.load(Ordering::Acquire) {
                        break Ok(whole(state, out, &session));
                    }
                }
                Some(Halt::Again | Halt::Room(_)) => std::thread::yield_now(),
                Some(Halt::Paused) => std::thread::park_timeout(PAUSE_REST),
                _ => break Ok(whole(state, out, &session)),
            }
        };
        state.give_back(executor.into_thread());
        russet_scripting::leave();
        reply
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(reply)) => Done::Reply(reply),
        Ok(Err(refused)) => Done::Refused(refused),
        Err(_) => Done::Reply(refused(&Error::Internal, protocol)),
    }
}
