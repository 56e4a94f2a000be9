//! One connection: read, decode, execute, write.
//!
//! A turn reads what the socket has, runs it where it arrived, and writes once, when all others that are ready have read. Reading goes
//! into a buffer of the thread, and so does the output; only what is left over (half a request, replies until they are sent) moves into
//! buffers of the connection, so an idle connection holds none.
//!
//! A connection goes on reading while replies wait to be taken: a client may send a long pipeline before it reads anything. The bound on
//! what may wait is `client-output-buffer-limit`, and reaching it ends the connection.

mod outgoing;
mod sending;
mod waiting;

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use russet_commands::client::line_for_log;
use russet_dispatch::aof::Leave;
use russet_dispatch::args::OwnedRequest;
use russet_dispatch::blocking::Blocked;
use russet_dispatch::execute::refuse;
use russet_dispatch::request::Request;
use russet_dispatch::session::{Delivery, Session, mode};
use russet_dispatch::{Chunk, Error, Halt, State};
use russet_journal::Lsn;
use russet_resp::{Batch, Decoder, Limits, Output, Writer};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use self::outgoing::{Class, Outgoing};
pub(crate) use self::waiting::Done;
use self::waiting::{
    Part, Timers, Waiting, again, is_due, look_again, on_disk, on_worker, others_turn, pause_over,
    shard_free, timer, walk_through,
};
use crate::lobby::{self, Ticket};
use crate::runtime::IoThread;
use crate::stream::Stream;
use crate::tasks::ask;

/// Requests in one turn, before others get theirs.
const REQUESTS_PER_TURN: usize = 256;

/// Time in one turn, before others get theirs.
const TURN_MAX: Duration = Duration::from_millis(1);

const TURN_NS_MAX: u64 = TURN_MAX.as_nanos() as u64;

/// Bytes that one read takes at most.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// Mail of so many bytes counts as output as soon as it is no mail any more.
const MAIL_NOTED_BYTES: usize = 16 * 1024;

/// Why a turn ended.
enum Turn {
    /// The connection is over.
    Close,
    /// Others get their turn.
    Yield,
}

/// One client's connection.
pub(crate) struct Connection {
    stream: Stream,
    session: Session,
    decoder: Decoder,
    /// Received and not yet run.
    input: BytesMut,
    /// Whether `input` may hold whole requests, since a turn ended early.
    has_more: bool,
    outgoing: Outgoing,
    waiting: Waiting,
    /// When the work began that is being waited for, by the clock that measures.
    working_since: u64,
    /// The first request of `input` has been refused.
    is_refused: bool,
    /// The connection closes once `output` has been sent.
    closing: bool,
    /// Whether the client knows how to wake this connection.
    is_listening: bool,
    /// What is to be sent waits for the append-only file. No more is added to it meanwhile, or it would wait for ever.
    is_held: bool,
    /// The client has stopped sending while it waits for a reply that is on its way.
    has_hung_up: bool,
    /// Turns for which this is a newcomer still, and its number in the lobby.
    newcomer_turns: u8,
    ticket: Ticket,
}

impl Connection {
    pub(crate) fn new(stream: Stream, session: Session) -> Self {
        Self {
            stream,
            session,
            decoder: Decoder::default(),
            input: BytesMut::new(),
            has_more: false,
            outgoing: Outgoing::default(),
            waiting: Waiting::Nothing,
            working_since: 0,
            is_refused: false,
            closing: false,
            is_listening: false,
            is_held: false,
            has_hung_up: false,
            newcomer_turns: lobby::TURNS,
            ticket: Ticket::default(),
        }
    }

    /// Serves the client until one side closes.
    pub(crate) async fn serve(mut self: Box<Self>, io: Rc<IoThread>) {
        loop {
            match poll_fn(|cx| self.turn(&io, cx)).await {
                Turn::Close => break,
                Turn::Yield => tokio::task::yield_now().await,
            }
        }
        self.leave(io.state);
        io.exit.close(self.stream);
    }

    /// Takes back everything that others may know of this client.
    fn leave(&mut self, state: &State) {
        if self.session.client.is_evicted() {
            tracing::info!("Evicting client: {}", line_for_log(state, &self.session.client));
        }
        if let Waiting::Keys(blocked, _) = &self.waiting {
            blocked.claim();
            state.unregister(blocked);
        }
        self.session.unwatch(&state.keyspace);
        self.session.unsubscribe_all(&state.pubsub);
        self.session.leave_tracking(&state.tracking);
        state.stop_monitoring(&self.session.client);
        if !self.session.authenticated {
            state.clients.unauthenticated.fetch_sub(1, Ordering::Relaxed);
        }
        state.clients.remove(self.session.client.id);
        state.report_end(&self.session.client);
    }

    fn turn(&mut self, io: &Rc<IoThread>, cx: &mut Context<'_>) -> Poll<Turn> {
        loop {
            let client = &self.session.client;
            if self.is_called() {
                if client.is_killed() {
                    if client.has_overflowed() {
                        self.count_cut(io, client.mail_bytes() + self.outgoing.len());
                    }
                    return Poll::Ready(Turn::Close);
                }
                self.take_mail(io);
            }
            // Judged before it is sent: what is too large is so however fast it is taken.
            if !self.outgoing.is_empty() {
                if self.is_over_limit(io) {
                    return Poll::Ready(Turn::Close);
                }
                if !self.may_leave(io, cx) {
                    ready!(self.pend(cx));
                    continue;
                }
                if self.flush(io, cx).is_err() {
                    return Poll::Ready(Turn::Close);
                }
            }
            if self.closing {
                if self.outgoing.is_empty() {
                    return Poll::Ready(Turn::Close);
                }
                ready!(self.pend(cx));
                continue;
            }
            if !matches!(self.waiting, Waiting::Nothing) {
                match self.wait(io, cx) {
                    Poll::Ready(Ok(())) => continue,
                    Poll::Ready(Err(_)) => return Poll::Ready(Turn::Close),
                    Poll::Pending => {}
                }
                ready!(self.pend(cx));
                continue;
            }
            if std::mem::take(&mut self.has_more) {
                let mut input = std::mem::take(&mut self.input);
                let rest = self.run(io, &mut input);
                self.keep_rest(io.state, input, rest);
            } else if self.newcomer_turns > 0 && self.come_in(io, cx).is_pending() {
                ready!(self.pend(cx));
                continue;
            } else {
                match self.read(io, cx) {
                    Poll::Ready(Ok(true)) => {}
                    Poll::Ready(Ok(false)) => {
                        // Who only stopped sending may still want the replies.
                        self.closing = true;
                        continue;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Turn::Close),
                    Poll::Pending => {
                        ready!(self.pend(cx));
                        continue;
                    }
                }
            }
            if self.session.is_laden() || !matches!(self.waiting, Waiting::Nothing) {
                io.state.report(&self.session.client);
            }
            // Sent when all others that are ready have had their turn: a client that is woken by one reply at a time is woken more often.
            self.outgoing.keep(io);
            if !self.outgoing.is_empty() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.has_more {
                return Poll::Ready(Turn::Yield);
            }
        }
    }

    /// Waits until the client has something to say, and until it is its turn among those who have come lately.
    fn come_in(&mut self, io: &IoThread, cx: &mut Context<'_>) -> Poll<()> {
        // What is wrong with the socket, reading it will tell.
        let _ = ready!(self.stream.poll_readable(cx));
        if !io.lobby.enter(&mut self.ticket, cx.waker()) {
            return Poll::Pending;
        }
        self.newcomer_turns -= 1;
        Poll::Ready(())
    }

    /// Whether what is to be sent may leave: not before the append-only file has come as far as it shows. Who first has to wait writes
    /// for all. What may never leave, since the disk has failed, is thrown away, and the client hears of that before it is cut.
    fn may_leave(&mut self, io: &IoThread, cx: &Context<'_>) -> bool {
        let (aof, stamp) = (&io.state.aof, self.session.stamp);
        self.is_held = false;
        if stamp == 0 || aof.judge(stamp) == Leave::Now {
            return true;
        }
        io.shell.log.push();
        match aof.judge(stamp) {
            Leave::Now => true,
            Leave::Later => {
                self.is_held = true;
                io.gate.wait(stamp, cx.waker());
                false
            }
            Leave::Never => {
                self.outgoing = Outgoing::default();
                self.fail(
                    io,
                    b"MISCONF the append-only file failed: whether this was written is not known",
                );
                self.outgoing.keep(io);
                true
            }
        }
    }

    /// Nothing to do but to wait, unless mail came just now.
    fn pend(&mut self, cx: &Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.is_listening, true) {
            self.session.client.listen(cx.waker());
        }
        if self.is_called() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether there is mail to be taken now, or a kill.
    fn is_called(&self) -> bool {
        let client = &self.session.client;
        let is_taking = !self.is_held && !matches!(self.waiting, Waiting::Reply(_));
        client.has_mail() && (client.is_killed() || is_taking)
    }

    /// Reads once and runs what came. `Ok(false)` at the end of the stream.
    fn read(&mut self, io: &Rc<IoThread>, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if !self.input.is_empty() {
            return self.read_on(io, cx);
        }
        let mut scratch = io.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        let bytes = buffer.filled_mut();
        if bytes.is_empty() {
            return Poll::Ready(Ok(false));
        }
        io.count_read(bytes.len());
        self.count_in(bytes.len());
        let rest = self.run(io, bytes);
        let len = bytes.len();
        if rest < len {
            self.input.extend_from_slice(&scratch[rest..len]);
            self.note_input(io.state, true);
        }
        Poll::Ready(Ok(true))
    }

    /// As `read`, behind half a request that came before.
    fn read_on(&mut self, io: &Rc<IoThread>, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let received = ready!(self.receive(io, cx))?;
        if received == 0 {
            return Poll::Ready(Ok(false));
        }
        if self.input.len() >= READ_BYTES {
            // What is too much is not run, even if this read has brought the last of it.
            self.note_input(io.state, false);
            if self.session.client.is_killed() {
                return Poll::Ready(Ok(true));
            }
        }
        let mut input = std::mem::take(&mut self.input);
        let rest = self.run(io, &mut input);
        self.keep_rest(io.state, input, rest);
        Poll::Ready(Ok(true))
    }

    /// Receives behind what is in the connection's buffer. It grows with what has arrived, never with what is announced, and not
    /// for a read that finds nothing: only the rest of a large argument, half a buffer of which is here, is read into its place.
    fn receive(&mut self, io: &Rc<IoThread>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let wants = self.decoder.wants();
        let received = if wants.min(self.input.len()) >= READ_BYTES {
            if self.input.capacity() - self.input.len() < READ_BYTES / 4 {
                self.grow(wants.min(self.input.len()));
            }
            ready!(pin!(self.stream.read_buf(&mut self.input)).poll(cx))?
        } else {
            let mut scratch = io.scratch.borrow_mut();
            let mut buffer = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            let received = buffer.filled();
            let has_room = self.input.capacity() - self.input.len() >= received.len();
            if wants >= received.len() && !has_room {
                // In doubling steps up to the end of the argument: what is held then does not depend on the pieces it came in.
                self.grow(wants.min(self.input.len().max(received.len())));
            }
            self.input.extend_from_slice(received);
            received.len()
        };
        io.count_read(received);
        self.count_in(received);
        if self.input.len() as u64 > io.state.tunables.query_bytes_max.load(Ordering::Relaxed) {
            io.executor.borrow().thread.counters.query_limit_cuts.add(1);
            tracing::warn!(
                id = self.session.client.id,
                "closing a client that reached the query buffer limit"
            );
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
        Poll::Ready(Ok(received))
    }

    /// Makes room for just so many more bytes: `reserve` would double what is there. Both buffers count while the old one is copied,
    /// which takes long where it is large, so that they are not taken for data.
    fn grow(&mut self, bytes: usize) {
        let client = &self.session.client;
        let needed = self.input.len() + bytes;
        client.growing_bytes.store(needed, Ordering::Relaxed);
        let mut grown = BytesMut::with_capacity(needed);
        grown.extend_from_slice(&self.input);
        client.input_free.store(grown.capacity() - grown.len(), Ordering::Relaxed);
        self.input = grown;
        client.growing_bytes.store(0, Ordering::Relaxed);
    }

    fn count_in(&self, bytes: usize) {
        self.session.client.total_in.add(bytes as u64);
    }

    /// Keeps what has not run. Room that nothing needs is given back, so `advance` hides less than it leaves.
    fn keep_rest(&mut self, state: &State, mut input: BytesMut, rest: usize) {
        let left = input.get(rest..).unwrap_or_default();
        if left.is_empty() {
            drop(input);
        } else if left.len() < rest {
            self.input = BytesMut::from(left);
        } else {
            bytes::Buf::advance(&mut input, rest);
            self.input = input;
        }
        self.note_input(state, rest > 0);
    }

    /// Tells others what has been received and not run; `is_new` if it began just now. What is parsed of it is counted apart.
    fn note_input(&self, state: &State, is_new: bool) {
        let client = &self.session.client;
        let (_, parsed) = self.decoder.pending();
        let parsed = parsed.min(self.input.len());
        client.argv_bytes.store(parsed, Ordering::Relaxed);
        client.input_bytes.store(self.input.len() - parsed, Ordering::Relaxed);
        client.input_free.store(self.input.capacity() - self.input.len(), Ordering::Relaxed);
        state.report(client);
        let is_half =
            !self.input.is_empty() && !self.has_more && matches!(self.waiting, Waiting::Nothing);
        if !is_half {
            client.half_since_ms.store(0, Ordering::Relaxed);
        } else if is_new || client.half_since_ms.load(Ordering::Relaxed) == 0 {
            client.half_since_ms.store(state.clock.now(), Ordering::Relaxed);
        }
    }

    /// Runs the requests that `input` holds and says how many of its bytes are done with.
    fn run(&mut self, io: &Rc<IoThread>, input: &mut [u8]) -> usize {
        let started = io.begin_turn();
        self.session.client.active_ms.store(io.state.clock.now(), Ordering::Relaxed);
        let mut batch = io.batch.borrow_mut();
        batch.clear();
        let limits = self.limits(io.state);
        let requests_max = if limits.authenticated { REQUESTS_PER_TURN } else { 1 };
        self.decoder.decode(input, &limits, requests_max, &mut batch);
        let total = batch.len();
        // Who was refused has its reply, and is passed.
        let mut at = usize::from(std::mem::take(&mut self.is_refused)).min(total);
        while at < total && matches!(self.waiting, Waiting::Nothing) && !self.closing {
            let (next, halt) = self.run_chunk(io, input, &batch, at, total);
            at = next;
            if let Some(halt) = halt {
                let is_copied = matches!(halt, Halt::Elsewhere);
                self.halt(io, halt, input, &batch, at);
                at += usize::from(is_copied);
                break;
            }
            let took = io.executor.borrow().looked().saturating_sub(started);
            if at < total && (self.session.client.has_mail() || took > TURN_NS_MAX) {
                break;
            }
        }
        io.executor.borrow_mut().end_turn(started);
        self.end_run(io, input.len(), &batch, at)
    }

    /// Decides what stays of the input after a run that got as far as request `at`.
    fn end_run(&mut self, io: &Rc<IoThread>, len: usize, batch: &Batch, at: usize) -> usize {
        let is_error_early = batch.error().is_some() && !matches!(self.waiting, Waiting::Nothing);
        if at < batch.len() || is_error_early {
            // Not all requests have run, or not to their end: what is left is decoded anew when its turn comes.
            self.decoder = Decoder::default();
            self.has_more = true;
            return if at == 0 { 0 } else { batch.end_of(at - 1) };
        }
        if let Some(error) = batch.error().filter(|_| !self.closing) {
            self.fail(io, &[b"ERR ", &*error.text()].concat());
            return len;
        }
        let consumed = self.decoder.consumed();
        self.decoder.discard(consumed);
        self.has_more = consumed < len && !self.decoder.is_mid_request() && !batch.is_empty();
        consumed
    }

    fn run_chunk(
        &mut self,
        io: &Rc<IoThread>,
        input: &[u8],
        batch: &Batch,
        at: usize,
        total: usize,
    ) -> (usize, Option<Halt>) {
        let mut executor = io.executor.borrow_mut();
        let mut shared = io.output.borrow_mut();
        let out = self.outgoing.or(&mut shared);
        out.bind(io.state.reply_bytes_max(&self.session.client));
        let requests = Chunk { input, batch, from: at, until: total };
        let ran = executor.run(io.state, &mut self.session, requests, out);
        out.bind(usize::MAX);
        if out.has_overflowed() {
            io.state.cut_for_replies(&self.session.client);
            self.outgoing.or(&mut shared).clear();
            self.outgoing.forget();
        }
        ran
    }

    fn limits(&self, state: &State) -> Limits {
        let limits = Limits {
            bulk_bytes_max: state.tunables.bulk_bytes_max.load(Ordering::Relaxed),
            ..Limits::DEFAULT
        };
        if self.is_stranger(state) { limits.unauthenticated() } else { limits }
    }

    /// Whether the client has yet to say who it is.
    fn is_stranger(&self, state: &State) -> bool {
        !self.session.authenticated && state.tunables.needs_password.load(Ordering::Relaxed)
    }

    /// The client is told, and the connection closes.
    fn fail(&mut self, io: &IoThread, text: &[u8]) {
        let mut shared = io.output.borrow_mut();
        let out = self.outgoing.or(&mut shared);
        Writer { out, protocol: self.session.protocol }.error_bytes(text);
        let code = text.split(|byte| *byte == b' ').next().unwrap_or_default();
        io.executor.borrow().thread.counters.error(&String::from_utf8_lossy(code));
        self.closing = true;
    }

    /// Sends more of what waits. Others are told of what is left: most often there is nothing, as before.
    fn flush(&mut self, io: &IoThread, cx: &mut Context<'_>) -> io::Result<()> {
        let sent = self.outgoing.send(&mut self.stream, io, cx)?;
        let client = &self.session.client;
        client.total_out.add(sent as u64);
        if !self.outgoing.is_empty() || client.output_bytes.load(Ordering::Relaxed) > 0 {
            self.outgoing.note(client);
            io.state.report(client);
        }
        Ok(())
    }

    /// Whether more waits to be taken than the client's class may let wait. Asked before others are told of it: who is over the own
    /// limit is cut, and nobody else for its sake.
    fn is_over_limit(&mut self, io: &IoThread) -> bool {
        let class = if self.is_stranger(io.state) {
            Class::Stranger
        } else if self.session.is_in_mode(mode::SUBSCRIBER) {
            Class::Subscriber
        } else {
            Class::Normal
        };
        // A snapshot that is sent bounds itself.
        let is_over = self.outgoing.is_over(class, &io.state.tunables)
            && self.session.client.delivery() != Delivery::Sent;
        if is_over {
            self.count_cut(io, self.outgoing.len());
        }
        is_over
    }

    /// Says that the client is cut since it let so many bytes wait.
    fn count_cut(&self, io: &IoThread, waiting: usize) {
        io.executor.borrow().thread.counters.output_limit_cuts.add(1);
        let id = self.session.client.id;
        tracing::warn!(id, waiting, "closing a client that does not read its replies");
    }

    /// Takes what others have sent, behind what is to be written already.
    fn take_mail(&mut self, io: &IoThread) {
        let mailed = self.session.client.take_mail();
        self.session.stamp = self.session.stamp.max(mailed.stamp);
        let reply_bytes = mailed.out.len();
        self.outgoing.own().append(mailed.out);
        if reply_bytes >= MAIL_NOTED_BYTES {
            // Or until it is sent it would count as nobody's.
            self.outgoing.note(&self.session.client);
        }
        if mailed.has_reply
            && let Waiting::Keys(blocked, _) =
                std::mem::replace(&mut self.waiting, Waiting::Nothing)
        {
            self.end_waiting(io, &blocked, reply_bytes);
            self.has_more = !self.input.is_empty();
        }
    }

    /// Turns a halt into what the connection waits for.
    fn halt(&mut self, io: &Rc<IoThread>, halt: Halt, input: &[u8], batch: &Batch, at: usize) {
        let state = io.state;
        self.working_since = io.executor.borrow().looked();
        self.waiting = match halt {
            Halt::Close => {
                self.closing = true;
                return;
            }
            Halt::Again | Halt::Mail => return,
            Halt::Wait(blocked) => {
                let milliseconds = blocked.wait.timeout_ms;
                let timeout = if milliseconds > 0 { timer(milliseconds) } else { None };
                let again = again(state, &blocked);
                Waiting::Keys(blocked, Timers { timeout, again })
            }
            Halt::Busy(shard) => Waiting::Work(Box::pin(shard_free(state, shard))),
            Halt::Room(_) => Waiting::Work(Box::pin(others_turn(state))),
            Halt::All => unreachable!("the executor runs such a request again by itself"),
            Halt::Paused => {
                Waiting::Work(Box::pin(pause_over(state, Arc::clone(&self.session.client))))
            }
            Halt::Later(walk) => {
                Waiting::Reply(Box::pin(walk_through(Rc::clone(io), self.spare_session(), walk)))
            }
            Halt::Elsewhere => {
                let request = OwnedRequest::copy(input, batch.request(at));
                let mut session = self.spare_session();
                session.is_shown = std::mem::take(&mut self.session.is_shown);
                if self.session.multi.is_some() {
                    // EXEC takes with it what it runs and what it depends on.
                    session.multi = self.session.multi.take();
                    session.watching = self.session.watching.take();
                }
                Waiting::Reply(Box::pin(on_worker(state, session, request)))
            }
            Halt::Ask(Request::AwaitDisk(what)) => {
                Waiting::Reply(Box::pin(on_disk(state, io.shell.clone(), what)))
            }
            Halt::Ask(Request::SendSnapshot { contents, tells_moment }) => {
                let client = Arc::clone(&self.session.client);
                Waiting::Reply(sending::send(state, client, contents, tells_moment))
            }
            Halt::Ask(request) => {
                Waiting::Reply(Box::pin(ask(io.shell.clone(), request, self.session.protocol)))
            }
        };
        let awaits = !matches!(self.waiting, Waiting::Keys(..));
        self.session.client.awaits.store(awaits, Ordering::Relaxed);
    }

    /// A session for work that runs beside the connection: same client, database and protocol.
    fn spare_session(&self) -> Session {
        let mut session = Session::new(Arc::clone(&self.session.client), true);
        session.db = self.session.db;
        session.protocol = self.session.protocol;
        session.no_touch = self.session.no_touch;
        self.session.lend_reading(&mut session);
        session
    }

    /// Waits for keys or for work. What the client sends meanwhile is kept; if it goes away, the wait is over.
    fn wait(&mut self, io: &Rc<IoThread>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.waiting {
            Waiting::Nothing => return Poll::Ready(Ok(())),
            Waiting::Keys(blocked, timers) => {
                look_again(io, blocked, &mut timers.again, cx);
                let is_over = is_due(&mut timers.timeout, cx);
                if is_over && blocked.claim() {
                    let blocked = Arc::clone(blocked);
                    self.time_out(io, &blocked);
                    return Poll::Ready(Ok(()));
                }
                if is_over {
                    timers.timeout = None;
                }
            }
            Waiting::Work(work) | Waiting::Reply(work) => {
                if let Poll::Ready(done) = work.as_mut().poll(cx) {
                    self.waiting = Waiting::Nothing;
                    self.session.client.active_ms.store(io.state.clock.now(), Ordering::Relaxed);
                    self.session.client.awaits.store(false, Ordering::Relaxed);
                    self.has_more = !self.input.is_empty();
                    self.closing |= self.session.is_in_mode(mode::CLOSING);
                    let done = match done {
                        Done::Instead(error) => self.refuse(io, error),
                        Done::Part(part) => return Poll::Ready(self.go_on(io, part)),
                        Done::End(error) => return Poll::Ready(self.end(io, error)),
                        done => done,
                    };
                    if let Done::Refused(_) = done {
                        self.count_refused(io);
                    }
                    if let Done::Reply(reply) | Done::Refused(reply) = done {
                        self.stamp(io.state, None);
                        self.finish_late(io, reply.len());
                        if !self.session.drops_reply() {
                            self.outgoing.append_made_aside(reply);
                        }
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
        if self.has_hung_up {
            return Poll::Pending;
        }
        match ready!(self.receive(io, cx)) {
            Ok(0) => self.hang_up(),
            Ok(_) => {
                self.note_input(io.state, false);
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// A part of a reply has come, and the rest is waited for.
    fn go_on(&mut self, io: &Rc<IoThread>, part: Part) -> io::Result<()> {
        self.waiting = Waiting::Reply(part.rest);
        self.session.client.awaits.store(true, Ordering::Relaxed);
        self.stamp(io.state, part.shows);
        if !self.session.is_silent() {
            self.outgoing.append_made_aside(part.out);
            self.outgoing.note(&self.session.client);
        }
        Ok(())
    }

    /// A reply that came in parts has ended, and the connection with it.
    fn end(&mut self, io: &IoThread, error: Option<Error>) -> io::Result<()> {
        self.finish_late(io, 0);
        self.closing = true;
        if let Some(error) = error {
            self.count_refused(io);
            self.fail(io, error.text().as_bytes());
            self.outgoing.keep(io);
        }
        Ok(())
    }

    /// A request that waited for a shard is answered with an error. It is the first one in the input.
    fn refuse(&mut self, io: &IoThread, error: Error) -> Done {
        self.is_refused = true;
        let error = refuse(io.state, &mut self.session, error);
        io.executor.borrow().thread.counters.error(&error.code());
        let mut out = Output::default();
        Writer { out: &mut out, protocol: self.session.protocol }.error(&error.text());
        Done::Refused(out)
    }

    /// What somebody else has written shows what was there at a position of the journal, or at most everything up to now.
    fn stamp(&mut self, state: &State, shows: Option<Lsn>) {
        if state.journal.is_followed() && state.aof.is_ok() {
            let shows = shows.unwrap_or_else(|| state.journal.end());
            self.session.stamp = self.session.stamp.max(shows);
        }
    }

    /// The client has stopped sending. Who waits for keys is let go, as in Redis, unless an element is on its way to them already;
    /// other work is waited for, since its reply may still be wanted.
    fn hang_up(&mut self) -> Poll<io::Result<()>> {
        if let Waiting::Keys(blocked, _) = &self.waiting
            && blocked.claim()
        {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.has_hung_up = true;
        Poll::Pending
    }

    /// What was halted for work has its reply: accounts for it, or counts what a worker has accounted for.
    fn finish_late(&mut self, io: &IoThread, reply_bytes: usize) {
        let Some(late) = self.session.late.take() else { return self.session.count_answered() };
        let elapsed = crate::clock::ticks().saturating_sub(self.working_since);
        let client = &self.session.client;
        let executor = io.executor.borrow();
        executor.thread.finish_late(io.state, client, &late, elapsed, reply_bytes);
    }

    /// The command that was halted last has failed after all.
    fn count_refused(&self, io: &IoThread) {
        let id = self.session.client.last_command.load(Ordering::Relaxed) as usize;
        if let Some(command) = io.executor.borrow().thread.counters.commands.get(id) {
            command.failed.add(1);
        }
    }

    /// A command that has waited for keys is answered: first it is accounted for, so that whoever sees it end sees that too.
    fn end_waiting(&mut self, io: &IoThread, blocked: &Arc<Blocked>, reply_bytes: usize) {
        io.executor.borrow().thread.finish_waiting(io.state, blocked, reply_bytes);
        io.state.unregister(blocked);
        self.session.count_answered();
    }

    fn time_out(&mut self, io: &IoThread, blocked: &Arc<Blocked>) {
        let protocol = self.session.protocol;
        let out = self.outgoing.own();
        let before = out.len();
        if !blocked.is_silent() {
            Writer { out, protocol }.null_array();
        }
        let reply_bytes = out.len() - before;
        self.end_waiting(io, blocked, reply_bytes);
        self.waiting = Waiting::Nothing;
        self.has_more = !self.input.is_empty();
    }
}
