//! The cheapest server there could be: answers `PING` without looking at it.
//!
//! It shows what the load generator itself can do, next to a server that costs next to nothing:
//! `taskset -c 0 sink 7999`, then `taskset -c 1 loadgen -p 7999 -P 16`.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::{env, io};

use mio::{Events, Interest, Poll, Token};

/// `*1\r\n$4\r\nPING\r\n`
const REQUEST_BYTES: usize = 14;

const REPLY: &[u8] = b"+PONG\r\n";

fn main() -> io::Result<()> {
    let port = env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(7999);
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let mut poll = Poll::new()?;
    let mut clients: Vec<(mio::net::TcpStream, usize)> = Vec::new();
    let mut listener = mio::net::TcpListener::from_std(nonblocking(listener)?);
    poll.registry().register(&mut listener, Token(usize::MAX - 1), Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let replies = REPLY.repeat(8192);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if let Some((stream, partial)) = clients.get_mut(event.token().0) {
                answer(stream, partial, &replies);
            } else {
                accept(&listener, &poll, &mut clients)?;
            }
        }
    }
}

fn nonblocking(listener: TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn accept(
    listener: &mio::net::TcpListener,
    poll: &Poll,
    clients: &mut Vec<(mio::net::TcpStream, usize)>,
) -> io::Result<()> {
    while let Ok((mut stream, _)) = listener.accept() {
        stream.set_nodelay(true)?;
        poll.registry().register(&mut stream, Token(clients.len()), Interest::READABLE)?;
        clients.push((stream, 0));
    }
    Ok(())
}

/// Reads once; replies are assumed to fit in the socket's buffer.
fn answer(stream: &mut mio::net::TcpStream, partial: &mut usize, replies: &[u8]) {
    let mut buffer = [0; 16_384];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        let bytes = *partial + count;
        *partial = bytes % REQUEST_BYTES;
        let _ = stream.write(&replies[..bytes / REQUEST_BYTES * REPLY.len()]);
        if count < buffer.len() {
            break;
        }
    }
}
