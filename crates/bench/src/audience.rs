//! Those who listen while others publish.
//!
//! Each is subscribed to one channel and reads whatever comes, counting messages. A run is over when all
//! have heard all: what a server owes its listeners is part of what a request costs.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;
use mio::{Interest, Poll, Token};

use crate::load::Plan;
use crate::scan::Scanner;
use crate::workload::CHANNEL;

/// Everybody who listens.
#[derive(Debug)]
pub struct Audience {
    listeners: Vec<(TcpStream, Scanner)>,
    /// The token of the first.
    first: usize,
    /// Messages that all have heard together.
    heard: u64,
}

impl Audience {
    /// Connects and subscribes as many as the plan wants. Their tokens follow those of the connections.
    pub fn gather(plan: &Plan, poll: &Poll) -> io::Result<Self> {
        let first = plan.connections;
        let join = |nth| {
            let mut stream = std::net::TcpStream::connect(plan.address)?;
            stream.write_all(format!("SUBSCRIBE {CHANNEL}\r\n").as_bytes())?;
            let mut scanner = Scanner::default();
            let mut buffer = [0; 256];
            let mut confirmed = 0;
            while confirmed == 0 {
                let count = stream.read(&mut buffer)?;
                confirmed = scanner.feed(&buffer[..count]).map_err(io::Error::other)?;
            }
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(first + nth), Interest::READABLE)?;
            Ok((stream, scanner))
        };
        let listeners = (0..plan.listeners).map(join).collect::<io::Result<_>>()?;
        Ok(Self { listeners, first, heard: 0 })
    }

    /// Reads what one of them was sent; other tokens are of no concern.
    pub fn hear(&mut self, token: Token, buffer: &mut [u8]) -> io::Result<()> {
        let listener = token.0.checked_sub(self.first).and_then(|nth| self.listeners.get_mut(nth));
        let Some((stream, scanner)) = listener else { return Ok(()) };
        loop {
            match stream.read(buffer) {
                Ok(0) => return Err(io::Error::other("the server closed a listener")),
                Ok(count) => {
                    self.heard += scanner.feed(&buffer[..count]).map_err(io::Error::other)?;
                    if count < buffer.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether somebody has not heard all of so many messages.
    pub fn has_to_hear(&self, messages: u64) -> bool {
        self.heard < messages * self.listeners.len() as u64
    }
}
