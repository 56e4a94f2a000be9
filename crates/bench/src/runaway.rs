//! What others notice of a script that loops for ever.
//!
//! One client asks for a key again and again, never faster than the machine can follow, while
//! nothing else runs, while a script loops that has declared another key, and while a thread of
//! this program loops instead. The last is what any busy neighbour costs on so few cores, and no
//! server can do better than that. The three take turns, so that they have the machine's loud and
//! still minutes in common; each round gives three distributions, and the table has the medians.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{hint, thread};

use clap::Parser;
use hdrhistogram::Histogram;

use crate::process::{self, Server};

/// Between two requests: the client is to leave the cores to what it watches.
const PAUSE: Duration = Duration::from_micros(200);

/// What loops may settle for so long before anybody measures.
const SETTLE: Duration = Duration::from_millis(100);

/// A server silent for this long is taken for dead, or holds the key that is asked for.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// The longest latency the histogram tells apart, in nanoseconds.
const LATENCY_MAX_NS: u64 = 60_000_000_000;

const SET: &[u8] = b"SET watched __________value__________\r\n";
const GET: &[u8] = b"GET watched\r\n";
const LOOP: &[u8] = b"EVAL 'while true do end' 1 looping\r\n";
const KILL: &[u8] = b"SCRIPT KILL\r\n";

/// How the reply to what was killed begins.
const KILLED: &str = "-ERR Script killed";

/// Measures GET beside a script that loops for ever.
#[derive(Debug, Clone, Parser)]
#[command(name = "runaway")]
pub struct Options {
    /// The server, by its binary.
    #[arg(long, default_value = "target/release/russet")]
    pub server: PathBuf,
    /// How often each is measured.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// How long each time.
    #[arg(long, default_value_t = 1.0)]
    pub seconds: f64,
    /// The cores of the server.
    #[arg(long, default_value = "0,1")]
    pub cores: String,
}

/// What runs beside the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    Script,
    Loop,
}

const ALL: [(Beside, &str); 3] = [
    (Beside::Nothing, "nothing"),
    (Beside::Script, "a script that loops"),
    (Beside::Loop, "another program that loops"),
];

/// Latencies of one round at each of [`QUANTILES`], in nanoseconds.
type Figures = [u64; QUANTILES.len()];

const QUANTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")];

/// Measures and prints a table, in microseconds.
#[expect(clippy::print_stdout, reason = "a command line tool")]
pub fn run(options: &Options) -> io::Result<()> {
    let program = process::find(&options.server)
        .ok_or_else(|| io::Error::other(format!("no {}", options.server.display())))?;
    let rounds = measure(options, &program)?;
    println!("| beside | p50 µs | p99 µs | p99.9 µs | p99 over that beside nothing |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    for (at, (_, name)) in ALL.iter().enumerate() {
        let figure = |quantile| {
            let of_round = |round: &[Figures; ALL.len()]| round[at][quantile] as f64 / 1000.0;
            median(rounds.iter().map(of_round))
        };
        let cells: Vec<String> =
            (0..QUANTILES.len()).map(|quantile| format!("{:.0}", figure(quantile))).collect();
        let over = median(rounds.iter().map(|round| round[at][1] as f64 / round[0][1] as f64));
        println!("| {name} | {} | {over:.2} |", cells.join(" | "));
    }
    Ok(())
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// All rounds; prints each.
#[expect(clippy::print_stderr, reason = "a command line tool")]
fn measure(options: &Options, program: &Path) -> io::Result<Vec<[Figures; ALL.len()]>> {
    let server = Server::start(program, &options.cores)?;
    ask(&mut connect(server.address)?, SET)?;
    let time = Duration::from_secs_f64(options.seconds);
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        let mut round = [Figures::default(); ALL.len()];
        for (figures, (beside, name)) in round.iter_mut().zip(ALL) {
            *figures = one(server.address, beside, time)?;
            eprintln!("{name}: {figures:?} ns");
        }
        rounds.push(round);
    }
    Ok(rounds)
}

fn one(address: SocketAddr, beside: Beside, time: Duration) -> io::Result<Figures> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        if beside == Beside::Loop {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    hint::black_box(());
                }
            });
        }
        let measured = match beside {
            Beside::Script => beside_script(address, time),
            _ => latencies(address, time),
        };
        is_over.store(true, Ordering::Relaxed);
        measured
    })
}

/// Starts the script, measures, and sees that it was running to the end.
fn beside_script(address: SocketAddr, time: Duration) -> io::Result<Figures> {
    let mut looping = connect(address)?;
    looping.write_all(LOOP)?;
    let measured = latencies(address, time);
    ask(&mut connect(address)?, KILL)?;
    let end = reply(&mut looping)?;
    if !end.starts_with(KILLED) {
        return Err(io::Error::other(format!("the script did not loop: {end}")));
    }
    measured
}

/// How long GET takes, for so long.
fn latencies(address: SocketAddr, time: Duration) -> io::Result<Figures> {
    let mut stream = connect(address)?;
    process::pause(SETTLE);
    let mut latency_ns = Histogram::<u64>::new_with_bounds(1, LATENCY_MAX_NS, 3)
        .expect("the bounds are constants that a histogram accepts");
    let start = Instant::now();
    while start.elapsed() < time {
        let sent = Instant::now();
        ask(&mut stream, GET)?;
        latency_ns.saturating_record(sent.elapsed().as_nanos() as u64);
        process::pause(PAUSE);
    }
    Ok(QUANTILES.map(|(quantile, _)| latency_ns.value_at_quantile(quantile)))
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    Ok(stream)
}

/// Sends a request; an error is one here too.
fn ask(stream: &mut TcpStream, request: &[u8]) -> io::Result<()> {
    stream.write_all(request)?;
    let reply = reply(stream)?;
    if reply.starts_with('-') { Err(io::Error::other(reply)) } else { Ok(()) }
}

/// A reply that comes in one piece.
fn reply(stream: &mut TcpStream) -> io::Result<String> {
    let mut buffer = [0; 512];
    let count = stream.read(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..count]).trim_end().to_owned())
}
