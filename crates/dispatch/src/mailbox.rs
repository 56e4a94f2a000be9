//! Foreign bytes on their way to a connection.
//!
//! Messages, invalidations and the replies of served waiters come to a connection only through its client's mailbox, which its thread
//! empties between two commands: so nothing overtakes the reply that it follows. The mailbox is bounded, and putting something in never
//! waits, since whoever does may hold locks: a client that lets it overflow is marked for closing.
//!
//! ```text
//! put ──▶ mailbox: an Output ──take──▶ the connection's output
//!  └────▶ Calls ──▶ Home of the client's thread ──bell──▶ its connections
//! ```
//!
//! What lies in a mailbox is an [`Output`] already: small pieces copied side by side, large ones by reference. A connection with nothing
//! else to send takes it as it is, and however many pieces there are, they leave in one write.
//!
//! Who finds the mailbox empty wakes the connection, and nobody else does until the connection has looked. A thread that reaches many
//! clients gathers whom to wake ([`Calls`]) and rings once for each thread that serves some of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use russet_journal::Lsn;
use russet_resp::Output;

use crate::session::Client;

/// Bytes that may wait in a mailbox, where no other bound is named, before its client is cut.
const MAIL_BYTES_MAX: usize = 64 << 20;

/// Something for a connection to write, from outside.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The bytes, which may be many clients'.
    pub bytes: Bytes,
    /// They may leave when the journal has reached this.
    pub stamp: Lsn,
    /// Whether this is the reply that a blocked client waits for.
    pub is_reply: bool,
}

/// What was in a mailbox.
#[derive(Debug, Default)]
pub struct Mailed {
    /// The bytes, in the order in which they came.
    pub out: Output,
    /// They may leave when the journal has reached this.
    pub stamp: Lsn,
    /// Whether the reply that a blocked client waits for is among them.
    pub has_reply: bool,
}

#[derive(Debug, Default)]
struct Contents {
    mail: Mailed,
    waker: Option<Waker>,
}

/// Where others leave what a connection is to write.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    contents: Mutex<Contents>,
    /// Whether there is something to look at: mail, or the end.
    has_mail: AtomicBool,
    is_killed: AtomicBool,
    is_ended: AtomicBool,
    has_overflowed: AtomicBool,
    is_evicted: AtomicBool,
}

impl Client {
    /// Puts something into the mailbox and wakes the connection. Never waits.
    pub fn post(&self, mail: &Mail) {
        if let Some(waker) = self.put(mail, MAIL_BYTES_MAX) {
            waker.wake();
        }
    }

    /// Puts something into the mailbox, unless it and what waits to be sent would be more than `bytes_max`: then the client is marked
    /// for closing. Never waits. Answers how to wake the connection, if nobody has been told that since it last looked.
    #[inline]
    pub fn put(&self, mail: &Mail, bytes_max: usize) -> Option<Waker> {
        let mailbox = &self.mailbox;
        if self.is_killed() {
            return None;
        }
        let mut contents = mailbox.contents.lock();
        let waiting = contents.mail.out.len() + self.output_bytes.load(Ordering::Relaxed);
        if waiting + mail.bytes.len() > bytes_max {
            contents.mail = Mailed::default();
            mailbox.has_overflowed.store(true, Ordering::Relaxed);
            mailbox.is_killed.store(true, Ordering::Release);
        } else {
            contents.mail.add(mail);
        }
        let is_known = mailbox.has_mail.load(Ordering::Relaxed);
        mailbox.has_mail.store(true, Ordering::Release);
        if is_known { None } else { contents.waker.clone() }
    }

    /// Marks the client for closing and wakes its connection. If it waits for keys, nobody serves it any more.
    pub fn kill(&self) {
        let blocked = self.blocked.lock().clone();
        if let Some(blocked) = blocked {
            blocked.claim();
        }
        self.mailbox.is_killed.store(true, Ordering::Release);
        let contents = self.mailbox.contents.lock();
        // Under the lock, or a connection that is taking its mail could wipe it out unseen.
        self.mailbox.has_mail.store(true, Ordering::Release);
        let waker = contents.waker.clone();
        drop(contents);
        waker.into_iter().for_each(Waker::wake);
    }

    /// As [`Client::kill`], since somebody has asked for that: a script that it runs ends too, even one that has written.
    pub fn end(&self) {
        self.mailbox.is_ended.store(true, Ordering::Release);
        self.kill();
    }

    /// Whether somebody has asked for its end.
    pub fn is_ended(&self) -> bool {
        self.mailbox.is_ended.load(Ordering::Acquire)
    }

    /// As [`Client::kill`], since it lets more wait, or asks for more, than it may.
    pub fn overflow(&self) {
        self.mailbox.has_overflowed.store(true, Ordering::Relaxed);
        self.kill();
    }

    /// As [`Client::kill`], since all clients together take more than they may.
    pub(crate) fn evict(&self) {
        self.mailbox.is_evicted.store(true, Ordering::Relaxed);
        self.kill();
    }

    /// Whether the client is closed for what it takes of memory.
    pub fn is_evicted(&self) -> bool {
        self.mailbox.is_evicted.load(Ordering::Relaxed)
    }

    /// Wakes the connection, for it to look around.
    pub fn wake(&self) {
        let waker = self.mailbox.contents.lock().waker.clone();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Whether the connection is to be closed.
    #[inline]
    pub fn is_killed(&self) -> bool {
        self.mailbox.is_killed.load(Ordering::Acquire)
    }

    /// Whether the client is closed since it did not take its mail.
    pub fn has_overflowed(&self) -> bool {
        self.mailbox.has_overflowed.load(Ordering::Relaxed)
    }

    /// Whether there is something to look at: mail, or a kill.
    #[inline]
    pub fn has_mail(&self) -> bool {
        self.mailbox.has_mail.load(Ordering::Acquire)
    }

    /// Bytes in the mailbox.
    pub fn mail_bytes(&self) -> usize {
        if self.has_mail() { self.mailbox.contents.lock().mail.out.len() } else { 0 }
    }

    /// Takes everything out of the mailbox, its buffer too: an idle subscriber keeps none.
    pub fn take_mail(&self) -> Mailed {
        let mut contents = self.mailbox.contents.lock();
        self.mailbox.has_mail.store(self.is_killed(), Ordering::Release);
        std::mem::take(&mut contents.mail)
    }

    /// Leaves a waker, for every mail and kill from now on. Whoever leaves it looks at [`Client::has_mail`] afterwards.
    pub fn listen(&self, waker: &Waker) {
        self.mailbox.contents.lock().waker = Some(waker.clone());
    }
}

impl Mailed {
    #[inline]
    fn add(&mut self, mail: &Mail) {
        self.out.push_shared(&mail.bytes);
        self.stamp = self.stamp.max(mail.stamp);
        self.has_reply |= mail.is_reply;
    }
}

/// The thread that serves some clients, as others see it: which of its connections are to look into their mailboxes.
#[derive(Debug, Default)]
pub struct Home {
    called: Mutex<Called>,
}

#[derive(Debug, Default)]
struct Called {
    connections: Vec<Waker>,
    bell: Option<Waker>,
}

impl Home {
    /// Has connections of this thread woken by the thread itself. Empties the list.
    fn ring(&self, connections: &mut Vec<Waker>) {
        let mut called = self.called.lock();
        let bell = if called.connections.is_empty() { called.bell.clone() } else { None };
        called.connections.append(connections);
        drop(called);
        bell.into_iter().for_each(Waker::wake);
    }

    /// For the thread: wakes whom others have called, or leaves word to be woken for that.
    pub fn answer(&self, cx: &Context<'_>) -> Poll<()> {
        let mut called = self.called.lock();
        if !called.bell.as_ref().is_some_and(|bell| bell.will_wake(cx.waker())) {
            called.bell = Some(cx.waker().clone());
        }
        let connections = std::mem::take(&mut called.connections);
        drop(called);
        if connections.is_empty() {
            return Poll::Pending;
        }
        connections.into_iter().for_each(Waker::wake);
        Poll::Ready(())
    }
}

/// Connections that a thread has put mail for and not woken yet.
#[derive(Debug, Default)]
pub struct Calls {
    by_home: Vec<(Arc<Home>, Vec<Waker>)>,
    homeless: Vec<Waker>,
    is_due: bool,
    /// Clients may take more than they may since this thread has put something.
    is_too_much: bool,
}

impl Calls {
    /// Notes one: what [`Client::put`] answered.
    pub(crate) fn add(&mut self, client: &Client, waker: Waker) {
        self.is_due = true;
        let Some(home) = client.home.get() else {
            self.homeless.push(waker);
            return;
        };
        match self.by_home.iter_mut().find(|(other, _)| Arc::ptr_eq(other, home)) {
            Some((_, wakers)) => wakers.push(waker),
            None => self.by_home.push((Arc::clone(home), vec![waker])),
        }
    }

    /// Notes that clients are to be cut.
    pub(crate) const fn add_too_much(&mut self) {
        self.is_due = true;
        self.is_too_much = true;
    }

    /// Takes over what another thread's hands have noted.
    pub(crate) fn append(&mut self, other: &mut Self) {
        if !std::mem::take(&mut other.is_due) {
            return;
        }
        self.is_due = true;
        self.is_too_much |= std::mem::take(&mut other.is_too_much);
        self.homeless.append(&mut other.homeless);
        for (home, wakers) in other.by_home.drain(..) {
            match self.by_home.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &home)) {
                Some((_, known)) => known.extend(wakers),
                None => self.by_home.push((home, wakers)),
            }
        }
    }

    /// Wakes all of them. Answers whether clients are to be cut.
    #[inline]
    pub(crate) fn make(&mut self) -> bool {
        self.is_due && self.make_due()
    }

    #[cold]
    fn make_due(&mut self) -> bool {
        self.is_due = false;
        self.homeless.drain(..).for_each(Waker::wake);
        for (home, wakers) in self.by_home.iter_mut().filter(|(_, wakers)| !wakers.is_empty()) {
            home.ring(wakers);
        }
        std::mem::take(&mut self.is_too_much)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counting::Count;
    use crate::session::Peer;

    fn client() -> (Client, Arc<Count>) {
        let (client, count) = (Client::new(1, Peer::Internal, -1, 0), Arc::<Count>::default());
        client.listen(&Waker::from(Arc::clone(&count)));
        (client, count)
    }

    fn mail(len: usize, stamp: Lsn) -> Mail {
        Mail { bytes: vec![b'x'; len].into(), stamp, is_reply: false }
    }

    #[test]
    fn only_the_first_mail_since_the_last_look_wakes() {
        let (client, woken) = client();
        for stamp in [1, 5, 3] {
            client.post(&mail(10, stamp));
        }
        assert_eq!(woken.get(), 1);
        let mailed = client.take_mail();
        assert_eq!((mailed.out.len(), mailed.stamp, mailed.has_reply), (30, 5, false));
        assert!(!client.has_mail());
        client.post(&Mail { is_reply: true, ..mail(1, 0) });
        assert_eq!(woken.get(), 2);
        assert!(client.take_mail().has_reply);
    }

    #[test]
    fn what_does_not_fit_ends_the_client_and_keeps_nothing() {
        let (client, woken) = client();
        client.output_bytes.store(50, Ordering::Relaxed);
        drop(client.put(&mail(50, 0), 100));
        assert!(!client.is_killed());
        drop(client.put(&mail(1, 0), 100));
        assert!(client.is_killed() && client.has_overflowed() && client.has_mail());
        assert_eq!(client.mail_bytes(), 0);
        assert!(client.put(&mail(1, 0), 100).is_none(), "nobody is woken for a client that ends");
        assert_eq!(woken.get(), 0, "put leaves waking to the caller");
    }

    #[test]
    fn many_clients_of_a_thread_are_one_ring_of_its_bell() {
        let home = Arc::<Home>::default();
        let bell = Arc::<Count>::default();
        let waker = Waker::from(Arc::clone(&bell));
        let cx = Context::from_waker(&waker);
        assert!(home.answer(&cx).is_pending());
        let clients: Vec<_> = (0..5).map(|_| client()).collect();
        let mut calls = Calls::default();
        for (client, _) in &clients {
            client.home.get_or_init(|| Arc::clone(&home));
            let waker = client.put(&mail(1, 0), 100).expect("nobody has been told");
            calls.add(client, waker);
        }
        assert_eq!(bell.get(), 0);
        calls.make();
        calls.make();
        assert_eq!(bell.get(), 1);
        assert!(clients.iter().all(|(_, woken)| woken.get() == 0), "their own thread wakes them");
        assert!(home.answer(&cx).is_ready() && home.answer(&cx).is_pending());
        assert!(clients.iter().all(|(_, woken)| woken.get() == 1));
    }
}
