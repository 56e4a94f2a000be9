//! How many requests a full cache answers: traces replayed through Russet, Valkey and Redis under the same `maxmemory`.
//!
//! Each request is a GET, and where it misses, a SET. They go out in small batches, as from many clients, at a rate that all servers
//! keep, since their clocks of use tick in seconds.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;

use crate::process::{self, Server};
use crate::traces::{Ask, TRACES, Trace};

/// Requests sent together.
const BATCH: usize = 32;

/// What to replay, and where.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// Servers to compare.
    #[arg(long, value_delimiter = ',', default_value = "russet,valkey-server,redis-server")]
    pub servers: Vec<PathBuf>,
    /// Policies to compare.
    #[arg(long, value_delimiter = ',', default_value = "allkeys-lru,allkeys-lfu")]
    pub policies: Vec<String>,
    /// `maxmemory` of each server.
    #[arg(long, default_value = "4mb")]
    pub memory: String,
    /// Keys of a trace.
    #[arg(long, default_value_t = 50_000)]
    pub keys: u64,
    /// Requests of a trace; the first quarter warms the cache and is not counted.
    #[arg(long, default_value_t = 200_000)]
    pub requests: u64,
    /// Requests per second.
    #[arg(long, default_value_t = 40_000)]
    pub rate: u64,
    /// What the traces are made from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The processor of the servers.
    #[arg(long, default_value_t = 0)]
    pub server_core: usize,
}

/// Replays everything and prints a table: hits of a hundred requests.
#[expect(clippy::print_stdout, reason = "a command line tool")]
pub fn run(options: &Options) -> io::Result<()> {
    let programs = process::find_all(&options.servers);
    print!("{}", process::head(&["trace", "policy"], &programs));
    for trace in TRACES {
        for policy in &options.policies {
            let hits = |program: &PathBuf| replay(options, program, *trace, policy);
            let hits = programs.iter().map(hits).collect::<io::Result<Vec<_>>>()?;
            let cells: Vec<String> = hits.iter().map(|hits| format!("{hits:.2}")).collect();
            println!("| {} | {policy} | {} |", trace.name, cells.join(" | "));
        }
    }
    Ok(())
}

/// Hits of a hundred requests, when the cache is warm.
fn replay(options: &Options, program: &Path, trace: Trace, policy: &str) -> io::Result<f64> {
    let server = Server::start(program, options.server_core)?;
    let mut client = Client::connect(server.address)?;
    client.order(&["CONFIG", "SET", "maxmemory-policy", policy])?;
    client.order(&["CONFIG", "SET", "maxmemory", &options.memory])?;
    let (started, warm) = (Instant::now(), options.requests / 4);
    let (mut asked, mut hits) = (0, 0);
    let mut asks = trace.asks(options.seed, options.keys, options.requests);
    loop {
        let batch: Vec<Ask> = asks.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            break;
        }
        let found = client.ask(&batch)?;
        if asked >= warm {
            hits += found;
        }
        asked += batch.len() as u64;
        let due = Duration::from_secs_f64(asked as f64 / options.rate as f64);
        process::pause(due.saturating_sub(started.elapsed()));
    }
    Ok(hits as f64 * 100.0 / (options.requests - warm) as f64)
}

/// One connection.
struct Client {
    stream: BufReader<TcpStream>,
    out: Vec<u8>,
}

impl Client {
    fn connect(address: std::net::SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), out: Vec::new() })
    }

    fn put(&mut self, words: &[&[u8]]) {
        self.out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            self.out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            self.out.extend_from_slice(word);
            self.out.extend_from_slice(b"\r\n");
        }
    }

    fn send(&mut self) -> io::Result<()> {
        self.stream.get_mut().write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    fn order(&mut self, words: &[&str]) -> io::Result<()> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.put(&words);
        self.send()?;
        self.receive().map(|_| ())
    }

    /// Reads a reply; says whether it is more than nothing. An error is one here, too.
    fn receive(&mut self) -> io::Result<bool> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        match (line.get(..1), line.get(1..).map(str::trim_end)) {
            (Some("$"), Some("-1")) => Ok(false),
            (Some("$"), Some(len)) => {
                let len: u64 = len.parse().map_err(io::Error::other)?;
                io::copy(&mut self.stream.by_ref().take(len + 2), &mut io::sink())?;
                Ok(true)
            }
            (Some("+"), _) => Ok(true),
            _ => Err(io::Error::other(line)),
        }
    }

    /// Asks for some keys, and stores what is missing. Answers how many were there.
    fn ask(&mut self, batch: &[Ask]) -> io::Result<u64> {
        for ask in batch {
            self.put(&[b"GET", &name(ask.key)]);
        }
        self.send()?;
        let mut missing = Vec::new();
        for ask in batch {
            if !self.receive()? {
                missing.push(*ask);
            }
        }
        for ask in &missing {
            self.put(&[b"SET", &name(ask.key), &vec![b'v'; ask.value_bytes]]);
        }
        self.send()?;
        missing.iter().try_for_each(|_| self.receive().map(|_| ()))?;
        Ok((batch.len() - missing.len()) as u64)
    }
}

fn name(key: u64) -> Vec<u8> {
    format!("key:{key:012}").into_bytes()
}
