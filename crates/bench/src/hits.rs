//! How many requests a full cache answers: traces replayed through Russet, Valkey and Redis under the same `maxmemory`.
//!
//! Each request is a GET, and where it misses, a SET. They go out in small batches, as from many clients, at a rate that all servers
//! keep, since Redis' clocks of use tick in seconds. Some servers are asked at a time, each with a trace of its own.
//!
//! A server that needs fewer bytes for a key holds more keys under the same limit. So that policies can be told from bytes, each trace is
//! replayed a second time with a limit under which each server holds the same number of keys: what it uses when it has been given so many.

mod plot;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use clap::Parser;

use crate::process::{self, Server};
use crate::traces::{Ask, TRACES, Trace};

/// Requests sent together.
const BATCH: usize = 32;

/// How often a limit is corrected by what it leads to.
const TRIALS: usize = 2;

/// What every server has.
const COMMON: &[&str] = &["allkeys-lru", "allkeys-lfu"];

/// What Russet has besides.
const OWN: &[&str] = &["allkeys-s3fifo", "allkeys-sieve", "allkeys-tinylfu"];

/// What to replay, and where.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// Servers to compare.
    #[arg(long, value_delimiter = ',', default_value = "russet,valkey-server,redis-server")]
    pub servers: Vec<PathBuf>,
    /// `maxmemory` of each server.
    #[arg(long, default_value = "5mb")]
    pub memory: String,
    /// Keys that each server holds in the second round; 0 for none.
    #[arg(long, default_value_t = 25_000)]
    pub same_keys: u64,
    /// Keys of a trace.
    #[arg(long, default_value_t = 250_000)]
    pub keys: u64,
    /// Requests of a trace; the first quarter warms the cache and is not counted.
    #[arg(long, default_value_t = 2_000_000)]
    pub requests: u64,
    /// Requests per second.
    #[arg(long, default_value_t = 40_000)]
    pub rate: u64,
    /// What the traces are made from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Only traces whose names contain this.
    #[arg(long, default_value = "")]
    pub trace: String,
    /// Servers that run at a time.
    #[arg(long, default_value_t = 9)]
    pub jobs: usize,
    /// Processors that servers run on, in turn.
    #[arg(long, default_value_t = 2)]
    pub cores: usize,
    /// The page to write, with plots in a folder beside it.
    #[arg(long)]
    pub page: Option<PathBuf>,
}

/// A server under a policy.
#[derive(Clone, Debug)]
struct Contestant {
    program: PathBuf,
    policy: &'static str,
}

impl Contestant {
    fn server(&self) -> String {
        self.program.file_name().unwrap_or_default().display().to_string()
    }

    fn is_russet(&self) -> bool {
        self.server().starts_with("russet")
    }

    fn label(&self) -> String {
        format!("{} {}", self.server(), self.policy)
    }
}

/// What came of one replay.
#[derive(Clone, Debug)]
struct Outcome {
    /// Misses of a hundred requests, when the cache is warm.
    misses: f64,
    /// Keys that were held in the end.
    keys: u64,
}

/// Of a trace and a round, what came of each contestant.
type Row = Vec<Option<Outcome>>;

/// Replays everything and prints a page about it.
#[expect(clippy::print_stdout, reason = "a command line tool")]
pub fn run(options: &Options) -> io::Result<()> {
    let contestants = contestants(options);
    let chosen = TRACES.iter().filter(|trace| trace.name.contains(&options.trace));
    let traces: Vec<Trace> = chosen.copied().collect();
    let mut rounds = Vec::new();
    for is_same_keys in [false, true] {
        if is_same_keys && options.same_keys == 0 {
            continue;
        }
        let rows =
            traces.iter().map(|trace| replay_all(options, &contestants, *trace, is_same_keys));
        rounds.push(rows.collect::<io::Result<Vec<Row>>>()?);
    }
    let names: Vec<&str> = traces.iter().map(|trace| trace.name).collect();
    let page = plot::page(options, &contestants, &traces, &rounds)?;
    println!("{page}");
    if let Some(path) = &options.page {
        fs::write(path, page)?;
        plot::draw_all(&path.with_extension(""), &contestants, &names, &rounds)?;
    }
    Ok(())
}

fn contestants(options: &Options) -> Vec<Contestant> {
    let mut all = Vec::new();
    for program in process::find_all(&options.servers) {
        let of = |policy: &&'static str| Contestant { program: program.clone(), policy };
        all.extend(COMMON.iter().map(of));
        if all.last().is_some_and(Contestant::is_russet) {
            all.extend(OWN.iter().map(of));
        }
    }
    all
}

/// One trace through every contestant, some at a time.
#[expect(clippy::print_stderr, reason = "a command line tool")]
fn replay_all(
    options: &Options,
    contestants: &[Contestant],
    trace: Trace,
    is_same_keys: bool,
) -> io::Result<Row> {
    let (next, row) = (AtomicUsize::new(0), Mutex::new(vec![None; contestants.len()]));
    let work = || -> io::Result<()> {
        while let at = next.fetch_add(1, Ordering::Relaxed)
            && let Some(contestant) = contestants.get(at)
        {
            let outcome = replay(options, contestant, at % options.cores, trace, is_same_keys)?;
            eprintln!("{}: {} {outcome:?}", trace.name, contestant.label());
            if let Ok(mut row) = row.lock() {
                row[at] = Some(outcome);
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..options.jobs).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or(Ok(())))
    })?;
    row.into_inner().map_err(|_| io::Error::other("a replay panicked"))
}

fn replay(
    options: &Options,
    contestant: &Contestant,
    core: usize,
    trace: Trace,
    is_same_keys: bool,
) -> io::Result<Outcome> {
    let server = Server::start(&contestant.program, core)?;
    let mut client = Client::connect(server.address)?;
    client.order(&["CONFIG", "SET", "maxmemory-policy", contestant.policy])?;
    let limit = if is_same_keys {
        client.limit_for(options.same_keys, trace)?.to_string()
    } else {
        options.memory.clone()
    };
    client.order(&["CONFIG", "SET", "maxmemory", &limit])?;
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
    let counted = (options.requests - warm) as f64;
    let misses = (counted - hits as f64) * 100.0 / counted;
    Ok(Outcome { misses, keys: client.number(&["DBSIZE"])? })
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

    fn put_order(&mut self, words: &[&str]) -> io::Result<()> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.put(&words);
        self.send()
    }

    fn order(&mut self, words: &[&str]) -> io::Result<()> {
        self.put_order(words)?;
        self.receive().map(|_| ())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(line)
    }

    fn number(&mut self, words: &[&str]) -> io::Result<u64> {
        self.put_order(words)?;
        let line = self.line()?;
        line.trim_start_matches(':').trim_end().parse().map_err(io::Error::other)
    }

    /// Bytes in use, as the server counts them.
    fn used_bytes(&mut self) -> io::Result<u64> {
        self.put_order(&["INFO", "memory"])?;
        let len: usize =
            self.line()?.trim_start_matches('$').trim_end().parse().map_err(io::Error::other)?;
        let mut text = vec![0; len + 2];
        self.stream.read_exact(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let value = text.lines().find_map(|line| line.strip_prefix("used_memory:"));
        value.unwrap_or_default().trim().parse().map_err(io::Error::other)
    }

    /// The limit under which so many of the trace's keys are held: what they use, and then what comes of trying.
    fn limit_for(&mut self, keys: u64, trace: Trace) -> io::Result<u64> {
        let empty = self.used_bytes()?;
        self.fill(keys, trace)?;
        let mut limit = self.used_bytes()?;
        for _ in 0..TRIALS {
            self.order(&["FLUSHALL"])?;
            self.order(&["CONFIG", "SET", "maxmemory", &limit.to_string()])?;
            self.fill(keys * 3, trace)?;
            let held = self.number(&["DBSIZE"])?.max(1);
            limit = empty + limit.saturating_sub(empty) * keys / held;
        }
        self.order(&["FLUSHALL"])?;
        Ok(limit)
    }

    /// Asks for so many of the trace's keys once.
    fn fill(&mut self, keys: u64, trace: Trace) -> io::Result<()> {
        let asks: Vec<Ask> = (0..keys).map(|key| trace.ask(key)).collect();
        asks.chunks(BATCH).try_for_each(|batch| self.ask(batch).map(|_| ()))?;
        // What is freed aside is in use for a while.
        process::pause(Duration::from_millis(300));
        Ok(())
    }

    /// Reads a reply; says whether it is more than nothing. An error is one here, too.
    fn receive(&mut self) -> io::Result<bool> {
        let line = self.line()?;
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

/// Of one trace: the fewest misses of those that `is_one`, if there are any.
fn best<'a>(
    contestants: &'a [Contestant],
    row: &Row,
    is_one: impl Fn(&Contestant) -> bool,
) -> Option<(&'a Contestant, f64)> {
    let outcomes = contestants.iter().zip(row).filter(|(contestant, _)| is_one(contestant));
    let misses = outcomes.filter_map(|(contestant, it)| Some((contestant, it.as_ref()?.misses)));
    misses.min_by(|one, other| one.1.total_cmp(&other.1))
}

/// Whether a path is one that plots of a page are in.
fn folder_name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().display().to_string()
}
