//! The closed loop.
//!
//! One thread, one epoll set, non-blocking sockets. Each connection sends a batch of `pipeline`
//! requests in one write and sends the next when the last reply of the batch is in. Latency is
//! measured per batch, from its write to its last reply.
//!
//! A connection has at most one batch in flight, so once the batch is answered there is nothing
//! left to read: the loop never asks the kernel twice for the same news. The request buffer and
//! the read buffer are shared by all connections and stay in the first-level cache.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::audience::Audience;
use crate::request::{Batch, Numbers, Template};
use crate::scan::Scanner;
use crate::usage;

/// Read at once: a batch of 64 replies of a kilobyte.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;

/// With requests in flight, a server silent for this long is taken for dead.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The longest latency the histogram tells apart, in nanoseconds.
const LATENCY_MAX_NS: u64 = 60_000_000_000;

/// When to stop sending.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After exactly this many requests.
    Requests(u64),
    /// After this much time.
    Elapsed(Duration),
}

/// What to send where.
#[derive(Debug)]
pub struct Plan {
    /// The server.
    pub address: SocketAddr,
    /// How many connections send at the same time.
    pub connections: usize,
    /// Requests per batch.
    pub pipeline: usize,
    /// When to stop.
    pub until: Until,
    /// Templates with their weights; not empty.
    pub mix: Vec<(u32, Template)>,
    /// The numbers that fill them.
    pub numbers: Numbers,
    /// How many others listen to the channel that the requests publish on.
    pub listeners: usize,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Replies received.
    pub requests: u64,
    /// How many of them were, or held, errors.
    pub errors: u64,
    /// The text of the first.
    pub first_error: Option<String>,
    /// From the first write to the last reply.
    pub elapsed: Duration,
    /// CPU time of this process in that time.
    pub own_cpu: Duration,
    /// Nanoseconds per batch.
    pub latency_ns: Histogram<u64>,
}

struct Connection {
    stream: TcpStream,
    scanner: Scanner,
    /// Replies missing from the batch in flight; 0 when idle.
    missing: u64,
    sent_at: Instant,
    /// What the socket did not take.
    unsent: Vec<u8>,
}

struct Load {
    pipeline: u64,
    batch: Batch,
    numbers: Numbers,
    /// Requests not yet sent, when there is a number to reach.
    left: Option<u64>,
    deadline: Option<Instant>,
    /// Connections with a batch in flight.
    active: usize,
    requests: u64,
    latency_ns: Histogram<u64>,
    buffer: Vec<u8>,
}

/// Carries out the plan.
pub fn run(plan: Plan) -> io::Result<Outcome> {
    let mut poll = Poll::new()?;
    let mut connections = connect(&plan, &poll)?;
    let mut audience = Audience::gather(&plan, &poll)?;
    let cpu_before = usage::cpu(process::id())?;
    let start = Instant::now();
    let mut load = Load::new(plan, start);
    for connection in &mut connections {
        load.begin(connection, Instant::now())?;
    }
    load.drive(&mut poll, &mut connections, &mut audience)?;
    load.hear_out(&mut poll, &mut audience)?;
    let elapsed = start.elapsed();
    let own_cpu = usage::cpu(process::id())?.saturating_sub(cpu_before);
    Ok(Outcome {
        requests: load.requests,
        errors: connections.iter().map(|connection| connection.scanner.errors()).sum(),
        first_error: connections.iter().find_map(|connection| connection.scanner.first_error()),
        elapsed,
        own_cpu,
        latency_ns: load.latency_ns,
    })
}

fn connect(plan: &Plan, poll: &Poll) -> io::Result<Vec<Connection>> {
    let open = |at| {
        let stream = std::net::TcpStream::connect(plan.address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, Token(at), interest)?;
        Ok(Connection::new(stream))
    };
    (0..plan.connections).map(open).collect()
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        let sent_at = Instant::now();
        Self { stream, scanner: Scanner::default(), missing: 0, sent_at, unsent: Vec::new() }
    }

    /// Sends what it can and keeps the rest.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = send_some(&mut self.stream, bytes)?;
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let sent = send_some(&mut self.stream, &self.unsent)?;
        self.unsent.drain(..sent);
        Ok(())
    }
}

fn send_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

impl Load {
    fn new(plan: Plan, start: Instant) -> Self {
        let (left, deadline) = match plan.until {
            Until::Requests(requests) => (Some(requests), None),
            Until::Elapsed(time) => (None, Some(start + time)),
        };
        let latency_ns = Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3)
            .expect("the bounds are constants that a histogram accepts");
        Self {
            pipeline: plan.pipeline as u64,
            batch: Batch::new(plan.mix, plan.pipeline),
            numbers: plan.numbers,
            left,
            deadline,
            active: 0,
            requests: 0,
            latency_ns,
            buffer: vec![0; READ_BUFFER_BYTES],
        }
    }

    fn drive(
        &mut self,
        poll: &mut Poll,
        connections: &mut [Connection],
        audience: &mut Audience,
    ) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while self.active > 0 {
            wait(poll, &mut events)?;
            for event in &events {
                let Some(connection) = connections.get_mut(event.token().0) else {
                    audience.hear(event.token(), &mut self.buffer)?;
                    continue;
                };
                if event.is_writable() && !connection.unsent.is_empty() {
                    connection.flush()?;
                }
                if event.is_readable() {
                    self.receive(connection)?;
                }
            }
        }
        Ok(())
    }

    /// Waits until every listener has heard what was published.
    fn hear_out(&mut self, poll: &mut Poll, audience: &mut Audience) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while audience.has_to_hear(self.requests) {
            wait(poll, &mut events)?;
            for event in &events {
                audience.hear(event.token(), &mut self.buffer)?;
            }
        }
        Ok(())
    }

    /// Sends the next batch on an idle connection, unless enough has been sent.
    fn begin(&mut self, connection: &mut Connection, now: Instant) -> io::Result<()> {
        let requests = self.take(now);
        if requests == 0 {
            return Ok(());
        }
        self.active += 1;
        connection.missing = requests;
        connection.sent_at = now;
        connection.send(self.batch.fill(requests as usize, &mut self.numbers))
    }

    /// How many requests the next batch holds.
    fn take(&mut self, now: Instant) -> u64 {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            return 0;
        }
        let Some(left) = &mut self.left else { return self.pipeline };
        let taken = self.pipeline.min(*left);
        *left -= taken;
        taken
    }

    /// Reads until the batch is answered or the socket is empty. A short read means empty.
    fn receive(&mut self, connection: &mut Connection) -> io::Result<()> {
        while connection.missing > 0 {
            match connection.stream.read(&mut self.buffer) {
                Ok(0) => return Err(io::Error::other("the server closed a connection")),
                Ok(count) => {
                    self.count(connection, count)?;
                    if count < self.buffer.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Counts the replies in the first `count` bytes of the buffer.
    fn count(&mut self, connection: &mut Connection, count: usize) -> io::Result<()> {
        let replies = connection.scanner.feed(&self.buffer[..count]).map_err(io::Error::other)?;
        let missing = connection.missing.checked_sub(replies);
        connection.missing =
            missing.ok_or_else(|| io::Error::other("more replies than requests"))?;
        self.requests += replies;
        if connection.missing > 0 {
            return Ok(());
        }
        let now = Instant::now();
        let latency_ns = now.duration_since(connection.sent_at).as_nanos() as u64;
        self.latency_ns.saturating_record(latency_ns);
        self.active -= 1;
        self.begin(connection, now)
    }
}

fn wait(poll: &mut Poll, events: &mut Events) -> io::Result<()> {
    match poll.poll(events, Some(SILENCE_MAX)) {
        Ok(()) if events.is_empty() => Err(io::Error::other("the server fell silent")),
        Err(error) if error.kind() != ErrorKind::Interrupted => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// Answers every `PING` of 14 bytes, in pieces of seven bytes where `torn`.
    fn sink(torn: bool) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || answer(stream, torn));
            }
        });
        address
    }

    fn answer(mut stream: std::net::TcpStream, torn: bool) {
        let (mut buffer, mut pending) = ([0; 4096], 0);
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            pending += count;
            let reply = b"+PONG\r\n".repeat(pending / 14);
            pending %= 14;
            for piece in reply.chunks(if torn { 5 } else { 4096 }) {
                let _ = stream.write_all(piece);
            }
        }
    }

    fn ping(torn: bool, pipeline: usize, until: Until) -> Outcome {
        run(Plan {
            address: sink(torn),
            connections: 3,
            pipeline,
            until,
            mix: vec![(1, Template::parse("PING", 0))],
            numbers: Numbers::random(1, 1),
            listeners: 0,
        })
        .unwrap()
    }

    #[test]
    fn the_number_of_requests_is_exact() {
        for torn in [false, true] {
            let outcome = ping(torn, 16, Until::Requests(1_000));
            assert_eq!((outcome.requests, outcome.errors), (1_000, 0));
            assert_eq!(outcome.latency_ns.len(), 63);
        }
    }

    #[test]
    fn time_ends_the_run() {
        let outcome = ping(false, 4, Until::Elapsed(Duration::from_millis(50)));
        assert!(outcome.requests > 0 && outcome.requests.is_multiple_of(4));
        assert!(outcome.elapsed >= Duration::from_millis(50));
        assert!(outcome.elapsed < Duration::from_secs(5));
    }

    #[test]
    fn a_batch_larger_than_the_socket_takes_is_sent_in_parts() {
        let outcome = ping(false, 500_000, Until::Requests(1_000_000));
        assert_eq!(outcome.requests, 1_000_000);
    }
}
