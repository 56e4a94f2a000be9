//! A plain blocking RESP client, decoding with `redis-protocol`, which shares nothing with our own codec.
//!
//! It speaks both protocols without being told: RESP2 is tried first, and what RESP2 does not know is
//! read as RESP3. Where a frame ends is found by a scan of lengths alone, so a reply of any size is decoded
//! once, and its raw bytes can be compared as they came.

mod frame;
mod reply;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

pub use reply::Reply;

/// How long a client waits for bytes, unless told otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// Bytes asked of the socket at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Messages that come unasked on a RESP3 connection; every other push frame answers a command.
const UNASKED: [&[u8]; 4] = [b"invalidate", b"message", b"pmessage", b"smessage"];

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
    /// Bytes received, from `taken` on not yet handed out.
    buffer: Vec<u8>,
    taken: usize,
    scanner: frame::Scanner,
    pushes: VecDeque<Reply>,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Client {
    /// Connects over TCP.
    pub fn connect(addr: impl ToSocketAddrs) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        Self::new(Stream::Tcp(stream))
    }

    /// Connects to a socket in the file system.
    pub fn connect_unix(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::new(Stream::Unix(UnixStream::connect(path)?))
    }

    fn new(stream: Stream) -> io::Result<Self> {
        let (buffer, scanner) = (Vec::new(), frame::Scanner::default());
        let client = Self { stream, buffer, taken: 0, scanner, pushes: VecDeque::new() };
        client.set_timeout(TIMEOUT)?;
        Ok(client)
    }

    /// How long to wait for bytes and for room to write, each time.
    pub fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        let timeout = Some(timeout.max(Duration::from_millis(1)));
        match &self.stream {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)
            }
        }
    }

    /// This end's address on a TCP connection.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.stream {
            Stream::Tcp(stream) => stream.local_addr().ok(),
            Stream::Unix(_) => None,
        }
    }

    /// Asks and waits for the answer; panics when the connection fails.
    #[track_caller]
    pub fn cmd<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Reply {
        match self.try_cmd(args) {
            Ok(reply) => reply,
            Err(error) => panic!("{error}: no reply to {}", clipped(&show(args))),
        }
    }

    /// Asks and waits for the answer. Unasked messages that come first are kept for [`Self::push`].
    pub fn try_cmd<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Reply> {
        self.send(args)?;
        loop {
            let reply = self.recv()?;
            if !is_unasked(&reply) {
                return Ok(reply);
            }
            self.pushes.push_back(reply);
        }
    }

    /// Switches to RESP3; panics when the server refuses.
    #[track_caller]
    pub fn hello3(&mut self) -> Reply {
        let reply = self.cmd(&["HELLO", "3"]);
        assert!(matches!(reply, Reply::Map(_)), "HELLO 3 was answered with {reply}");
        reply
    }

    /// The next unasked message: kept from before, or received within the timeout.
    pub fn push(&mut self) -> io::Result<Reply> {
        match self.pushes.pop_front() {
            Some(push) => Ok(push),
            None => self.recv(),
        }
    }

    /// Sends a command and does not wait.
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<()> {
        self.send_raw(&encode(args))
    }

    /// Receives one reply, whatever it answers.
    pub fn recv(&mut self) -> io::Result<Reply> {
        let frame = self.recv_frame()?;
        Reply::decode(&frame).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }

    /// Receives the reply to nothing for a while: `None` when the line stayed silent.
    pub fn recv_within(&mut self, wait: Duration) -> io::Result<Option<Reply>> {
        self.set_timeout(wait)?;
        let reply = self.recv();
        self.set_timeout(TIMEOUT)?;
        match reply {
            Ok(reply) => Ok(Some(reply)),
            Err(error) if timed_out(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Receives one reply as the bytes it came in. After a timeout it can be called again.
    pub fn recv_frame(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let len = self.scanner.scan(&self.buffer[self.taken..]);
            let len = len.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            match len {
                Some(len) => return Ok(self.take(len)),
                None => self.fill()?,
            }
        }
    }

    /// Asks, and receives the answer as the bytes it came in.
    pub fn cmd_frame<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Vec<u8>> {
        self.send(args)?;
        self.recv_frame()
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        }
    }

    /// Receives exactly so many bytes.
    pub fn read_exact_raw(&mut self, len: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() - self.taken < len {
            self.fill()?;
        }
        Ok(self.take(len))
    }

    /// Receives until the server closes the connection, within the time given.
    pub fn read_until_closed(&mut self, within: Duration) -> io::Result<Vec<u8>> {
        let until = Instant::now() + within;
        while Instant::now() < until {
            self.set_timeout(until.saturating_duration_since(Instant::now()))?;
            match self.fill() {
                Ok(()) => {}
                Err(error) if is_closed(&error) => {
                    return Ok(self.take(self.buffer.len() - self.taken));
                }
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::TimedOut.into())
    }

    /// Says that nothing more will be sent, and goes on receiving.
    pub fn close_write(&self) -> io::Result<()> {
        let how = std::net::Shutdown::Write;
        match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(how),
            Stream::Unix(stream) => stream.shutdown(how),
        }
    }

    fn take(&mut self, len: usize) -> Vec<u8> {
        self.scanner = frame::Scanner::default();
        let bytes = self.buffer[self.taken..self.taken + len].to_vec();
        self.taken += len;
        bytes
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..std::mem::take(&mut self.taken));
        let len = self.buffer.len();
        self.buffer.resize(len + CHUNK_BYTES, 0);
        let read = match &mut self.stream {
            Stream::Tcp(stream) => stream.read(&mut self.buffer[len..]),
            Stream::Unix(stream) => stream.read(&mut self.buffer[len..]),
        };
        self.buffer.truncate(len + read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A command as every client library sends it: an array of bulk strings.
pub fn encode<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(&mut out, args);
    out
}

/// As [`encode`], behind what is there already.
pub fn encode_into<A: AsRef<[u8]>>(out: &mut Vec<u8>, args: &[A]) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.as_ref().len()).as_bytes());
        out.extend_from_slice(arg.as_ref());
        out.extend_from_slice(b"\r\n");
    }
}

/// The raw elements of a raw array.
pub fn elements(frame: &[u8]) -> Option<Vec<&[u8]>> {
    let head = frame.windows(2).position(|two| two == b"\r\n")?;
    let count: usize = str::from_utf8(frame[..head].strip_prefix(b"*")?).ok()?.parse().ok()?;
    let mut rest = &frame[head + 2..];
    let element = |_| {
        let len = frame::Scanner::default().scan(rest).ok()??;
        let (element, behind) = rest.split_at(len);
        rest = behind;
        Some(element)
    };
    (0..count).map(element).collect()
}

/// A command as a person would type it.
pub fn show<A: AsRef<[u8]>>(args: &[A]) -> String {
    let words: Vec<String> = args.iter().map(|arg| reply::quote(arg.as_ref())).collect();
    words.join(" ")
}

/// The beginning of a text that may be very long.
fn clipped(text: &str) -> &str {
    text.get(..text.floor_char_boundary(200)).unwrap_or_default()
}

/// Whether a read or write only took too long.
pub fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Whether the other side is gone.
pub fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
    )
}

fn is_unasked(reply: &Reply) -> bool {
    let Reply::Push(items) = reply else { return false };
    matches!(items.first(), Some(Reply::Bulk(kind)) if UNASKED.contains(&kind.as_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_an_array_of_bulk_strings() {
        assert_eq!(encode(&["GET", "k"]), b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
        assert_eq!(show(&[&b"SET"[..], b"a b", b"\x00"]), r#"SET "a b" "\x00""#);
    }

    #[test]
    fn an_array_has_raw_elements() {
        let frame = b"*3\r\n$-1\r\n*2\r\n:1\r\n+a\r\n$2\r\nab\r\n";
        let parts: [&[u8]; 3] = [b"$-1\r\n", b"*2\r\n:1\r\n+a\r\n", b"$2\r\nab\r\n"];
        assert_eq!(elements(frame).unwrap(), parts);
        assert_eq!(elements(b"*-1\r\n"), None);
        assert_eq!(elements(b"+OK\r\n"), None);
    }

    #[test]
    fn replies_may_come_in_pieces() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut client = Client::new(Stream::Unix(ours)).unwrap();
        theirs.write_all(b"+OK\r\n*2\r\n:1\r\n$3\r\na").unwrap();
        assert_eq!(client.recv().unwrap().to_string(), "OK");
        assert_eq!(client.recv_within(Duration::from_millis(10)).unwrap(), None);
        theirs.write_all(b"\r\n\r\nrest").unwrap();
        assert_eq!(client.recv().unwrap(), Reply::Array(vec![Reply::Int(1), bulk(b"a\r\n")]));
        assert_eq!(client.read_exact_raw(2).unwrap(), b"re");
        drop(theirs);
        assert_eq!(client.read_until_closed(TIMEOUT).unwrap(), b"st");
    }

    #[test]
    fn unasked_messages_wait_for_their_reader() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut client = Client::new(Stream::Unix(ours)).unwrap();
        theirs.write_all(b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n+PONG\r\n").unwrap();
        assert_eq!(client.cmd(&["PING"]).to_string(), "PONG");
        assert_eq!(client.push().unwrap().to_string(), ">[message, c, m]");
    }

    fn bulk(bytes: &[u8]) -> Reply {
        Reply::Bulk(bytes.to_vec())
    }
}
