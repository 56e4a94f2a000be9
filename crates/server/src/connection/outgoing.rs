//! What a client has yet to take: replies and messages, how they are sent, and how much of them may wait.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;

use russet_dispatch::session::Client;
use russet_dispatch::state::{OUTPUT_UNCOUNTED, Tunables};
use russet_resp::Output;

use crate::runtime::IoThread;
use crate::stream::Stream;

/// Bytes of replies that one turn sends, a large value aside.
const SEND_BYTES: usize = 256 * 1024;

/// Replies that may wait for a client that has not authenticated.
const UNAUTHENTICATED_OUTPUT_MAX: u64 = 64 * 1024;

/// From how many bytes on it pays to give back what a slow reader has taken.
const SENT_BYTES_KEPT: usize = 64 * 1024;

/// Which bounds hold for what waits.
#[derive(Clone, Copy)]
pub(super) enum Class {
    /// Of a client that has yet to say who it is.
    Stranger,
    Normal,
    Subscriber,
}

/// Output that waits to be sent.
#[derive(Default)]
pub(super) struct Outgoing {
    /// Written by commands, not yet taken by the socket; `sent` bytes of it have been.
    output: Output,
    sent: usize,
    /// Since when more waits than the soft limit.
    over_soft_since: Option<Box<Instant>>,
    /// What waits was made aside: Redis keeps none of that in its buffer of fixed size.
    is_made_aside: bool,
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.output.is_empty()
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Where the next reply is written: into the thread's buffer, unless others wait to be sent before it.
    pub(super) fn or<'a>(&'a mut self, shared: &'a mut Output) -> &'a mut Output {
        if self.output.is_empty() { shared } else { &mut self.output }
    }

    /// Where a reply is written that does not come out of a turn.
    pub(super) const fn own(&mut self) -> &mut Output {
        &mut self.output
    }

    /// Nothing waits any more: the client is cut.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Takes what the turn has written out of the thread's buffer.
    pub(super) fn keep(&mut self, io: &IoThread) {
        let mut shared = io.output.borrow_mut();
        if !shared.is_empty() {
            self.output = std::mem::replace(&mut *shared, io.spare_output());
        }
    }

    /// Puts a reply that was made aside behind what waits.
    pub(super) fn append_made_aside(&mut self, reply: Output) {
        self.output.append(reply);
        self.is_made_aside = true;
    }

    /// Tells others what waits.
    pub(super) fn note(&self, client: &Client) {
        client.output_bytes.store(self.len(), Ordering::Relaxed);
        client.output_shared.store(self.output.shared_bytes(), Ordering::Relaxed);
    }

    /// Whether more waits than may.
    pub(super) fn is_over(&mut self, class: Class, tunables: &Tunables) -> bool {
        let is_whole = self.is_made_aside || matches!(class, Class::Stranger);
        let uncounted = if is_whole { 0 } else { OUTPUT_UNCOUNTED };
        let counted = (self.len() as u64).saturating_sub(uncounted);
        if counted == 0 {
            self.over_soft_since = None;
            return false;
        }
        let is_subscriber = matches!(class, Class::Subscriber);
        let max = match class {
            Class::Stranger => UNAUTHENTICATED_OUTPUT_MAX,
            _ => tunables.output_max(is_subscriber),
        };
        let soft = &tunables.output(is_subscriber);
        let soft_max = soft.soft.load(Ordering::Relaxed);
        if soft_max == 0 || counted <= soft_max {
            self.over_soft_since = None;
            return counted > max;
        }
        let since = self.over_soft_since.get_or_insert_with(|| Box::new(Instant::now()));
        counted > max || since.elapsed().as_secs() >= soft.soft_seconds.load(Ordering::Relaxed)
    }

    /// Sends as much as the socket takes, and no more than others can wait for: the rest has its turn behind theirs. Answers how many
    /// bytes went.
    pub(super) fn send(
        &mut self,
        stream: &mut Stream,
        io: &IoThread,
        cx: &mut Context<'_>,
    ) -> io::Result<usize> {
        let before = self.sent;
        self.push(stream, io, cx)?;
        let count = self.sent - before;
        if self.sent == self.output.len() {
            let sent = std::mem::take(self);
            io.put_back(sent.output);
        } else if self.sent >= SENT_BYTES_KEPT.max(self.output.len() / 2) {
            self.output.drop_front(std::mem::take(&mut self.sent));
        }
        Ok(count)
    }

    fn push(&mut self, stream: &mut Stream, io: &IoThread, cx: &mut Context<'_>) -> io::Result<()> {
        let until = self.output.len().min(self.sent + SEND_BYTES);
        while self.sent < until {
            match self.write(stream, until, cx) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.sent += count;
                    io.count_write(count);
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
        }
        if self.sent < self.output.len() {
            come_again(cx);
        }
        Ok(())
    }

    /// One write of flat bytes up to `until`, or of slices.
    fn write(
        &self,
        stream: &mut Stream,
        until: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Some(flat) = self.output.flat() {
            return stream.poll_write_some(cx, &flat[self.sent..until]);
        }
        let mut slices = Vec::new();
        self.output.slices(self.sent, &mut slices);
        stream.poll_write_slices(cx, &slices)
    }
}

/// Has the task woken when all others that are ready have had their turn, and sockets have been looked at. If it just woke itself, they would
/// be looked at after so many turns of it as the runtime allows tasks at a time.
fn come_again(cx: &mut Context<'_>) {
    let is_over = pin!(tokio::task::yield_now()).poll(cx).is_ready();
    debug_assert!(!is_over, "nobody yields for no time");
}
