//! How long one client keeps the others waiting.
//!
//! A scene is played on a fresh server: something large stands there, one client sends what may take
//! long, and another sends PING after PING meanwhile. The figure is the longest that one of these
//! was answered after, of several plays the median; the same without the deed says what the machine
//! does by itself. Where the user may, the thread that measures comes before all others of its core:
//! what it waits for is the server.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;

use crate::load::{self, Plan, Until};
use crate::process::{self, Server};
use crate::request::{Numbers, Template};
use crate::workload::Step;

/// PINGs go on for so long when the deed is done: some of it may be done behind the reply.
const AFTERWARDS: Duration = Duration::from_millis(300);

/// How far the thread that asks for much stands behind the one that measures, as `nice` counts.
const BEHIND: i32 = 10;

/// Bytes of `__value__`.
const VALUE_BYTES: usize = 16;

/// Measures the longest PING beside commands that take long.
#[derive(Debug, Clone, Parser)]
#[command(name = "pauses")]
pub struct Options {
    /// Servers, by their binaries.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "target/release/russet,valkey-server,redis-server"
    )]
    pub servers: Vec<PathBuf>,
    /// How often each scene is played.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Only scenes with this in their name.
    #[arg(long, default_value = "")]
    pub scene: String,
    /// The core the servers run on.
    #[arg(long, default_value_t = 0)]
    pub server_core: usize,
    /// The core of this program.
    #[arg(long, default_value_t = 1)]
    pub load_core: usize,
}

/// Keys that end together do so this long after the first of them is written: all are there by then.
const SOON: Duration = Duration::from_secs(8);

/// What goes on while others wait.
#[derive(Clone, Copy)]
enum Deed {
    /// One client sends this.
    Send(Step),
    /// Time passes.
    Pass(Duration),
    /// So many clients come at once, ask one thing, and go; so often.
    Come(usize, usize),
}

/// What stands there before, and what goes on while others wait.
struct Scene {
    name: &'static str,
    before: &'static [Step],
    deeds: &'static [Deed],
}

const fn send_once(line: &'static str) -> Deed {
    Deed::Send(step(1, line))
}

const fn step(times: u32, line: &'static str) -> Step {
    Step { times, line, is_random: false }
}

const HASH: Step = step(1_000_000, "HSET hash fld:__rand_digits__ val:__rand_digits__");
const SET: Step = step(1_000_000, "SADD set mbr:__rand_digits__");
const SORTED_SET: Step = step(1_000_000, "ZADD zset __rand_int__ mbr:__rand_digits__");
const LIST: Step = step(1_000_000, "RPUSH list elm:__rand_digits__");
const KEYS: Step = step(1_000_000, "SET __rand_key__ __value__");

const SCENES: &[Scene] = &[
    Scene { name: "nothing", before: &[], deeds: &[send_once("ECHO nothing")] },
    Scene { name: "DEL, hash of 1 M fields", before: &[HASH], deeds: &[send_once("DEL hash")] },
    Scene { name: "DEL, set of 1 M members", before: &[SET], deeds: &[send_once("DEL set")] },
    Scene {
        name: "DEL, sorted set of 1 M",
        before: &[SORTED_SET],
        deeds: &[send_once("DEL zset")],
    },
    Scene { name: "DEL, list of 1 M", before: &[LIST], deeds: &[send_once("DEL list")] },
    Scene {
        name: "SET over a hash of 1 M",
        before: &[HASH],
        deeds: &[send_once("SET hash __value__")],
    },
    Scene {
        name: "FLUSHALL SYNC, 1 M keys",
        before: &[KEYS],
        deeds: &[send_once("FLUSHALL SYNC")],
    },
    Scene { name: "KEYS, 1 M keys", before: &[KEYS], deeds: &[send_once("KEYS nothing*")] },
    Scene { name: "HGETALL, 1 M fields", before: &[HASH], deeds: &[send_once("HGETALL hash")] },
    Scene {
        name: "a script that counts to 20 M",
        before: &[],
        deeds: &[send_once("EVAL 'for n = 1, 2e7 do end' 1 spin")],
    },
    Scene {
        name: "500 k keys end in the same moment",
        before: &[step(500_000, "SET __rand_key__ __value__ PXAT __soon__")],
        deeds: &[Deed::Pass(SOON), Deed::Pass(Duration::from_secs(3))],
    },
    Scene {
        name: "half of 1 M keys are evicted, and who writes evicts",
        before: &[KEYS],
        deeds: &[
            send_once("CONFIG SET maxmemory-policy allkeys-lru"),
            send_once("CONFIG SET maxmemory 50mb"),
            Deed::Send(step(500_000, "SET new:__rand_digits__ __value__")),
            Deed::Pass(Duration::from_secs(2)),
        ],
    },
    Scene {
        name: "1,000 clients come at once, ten times",
        before: &[],
        deeds: &[Deed::Come(1_000, 10)],
    },
    Scene { name: "a hash grows to 1 M", before: &[], deeds: &[Deed::Send(HASH)] },
    Scene { name: "a set grows to 1 M", before: &[], deeds: &[Deed::Send(SET)] },
    Scene { name: "a sorted set grows to 1 M", before: &[], deeds: &[Deed::Send(SORTED_SET)] },
];

/// Plays every scene and prints a table, in milliseconds.
#[expect(clippy::print_stdout, reason = "a command line tool")]
pub fn run(options: &Options) -> io::Result<()> {
    let programs = process::find_all(&options.servers);
    process::stay_on(options.load_core)?;
    print!("{}", process::head(&["longest PING beside, ms"], &programs));
    for scene in SCENES.iter().filter(|scene| scene.name.contains(&options.scene)) {
        let mut cells = Vec::new();
        for program in &programs {
            let play = |_| play(options, program, scene);
            let mut pauses = (0..options.rounds).map(play).collect::<io::Result<Vec<_>>>()?;
            pauses.sort_unstable();
            cells.push(format!("{:.1}", pauses[pauses.len() / 2].as_secs_f64() * 1000.0));
        }
        println!("| {} | {} |", scene.name, cells.join(" | "));
    }
    Ok(())
}

/// The longest PING of one play.
fn play(options: &Options, program: &std::path::Path, scene: &Scene) -> io::Result<Duration> {
    let server = Server::start(program, options.server_core)?;
    let soon = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)? + SOON;
    scene.before.iter().try_for_each(|step| send(server.address, *step, soon))?;
    let ((), longest) = ping_meanwhile(server.address, || {
        let done = scene.deeds.iter().try_for_each(|deed| carry_out(server.address, *deed, soon));
        process::pause(AFTERWARDS);
        done
    })?;
    Ok(longest)
}

fn carry_out(address: SocketAddr, deed: Deed, soon: Duration) -> io::Result<()> {
    match deed {
        Deed::Send(step) => send(address, step, soon),
        Deed::Pass(time) => {
            process::pause(time);
            Ok(())
        }
        Deed::Come(count, times) => (0..times).try_for_each(|_| come_and_go(address, count)),
    }
}

/// So many clients connect, each asks, all are answered, and all go.
fn come_and_go(address: SocketAddr, count: usize) -> io::Result<()> {
    let connect = |_| TcpStream::connect(address);
    let mut crowd = (0..count).map(connect).collect::<io::Result<Vec<_>>>()?;
    crowd.iter_mut().try_for_each(|stream| stream.write_all(b"PING\r\n"))?;
    crowd.iter_mut().try_for_each(|stream| stream.read_exact(&mut [0; 7]))
}

/// `__soon__` stands for the time since 1970 at which keys end together.
fn send(address: SocketAddr, step: Step, soon: Duration) -> io::Result<()> {
    let line = step.line.replace("__soon__", &soon.as_millis().to_string());
    let plan = Plan {
        address,
        connections: 1,
        pipeline: 16,
        until: Until::Requests(u64::from(step.times)),
        mix: vec![(1, Template::parse(&line, VALUE_BYTES))],
        numbers: Numbers::in_order(u32::MAX / 2),
        listeners: 0,
    };
    match load::run(plan)?.first_error {
        Some(error) => Err(io::Error::other(error)),
        None => Ok(()),
    }
}

/// Does something on a thread that makes way for another, which sends PING after PING meanwhile: what that one waits for shall be the server,
/// not the core. Answers what came of it, and the longest that a PING was answered after.
pub(crate) fn ping_meanwhile<T: Send>(
    address: SocketAddr,
    what: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<(T, Duration)> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let pinger = scope.spawn(|| longest_ping(address, &is_over));
        let doer =
            scope.spawn(|| rustix::process::nice(BEHIND).map_err(Into::into).and_then(|_| what()));
        let done = doer.join().unwrap_or_else(|_| Err(io::Error::other("the doer ended")));
        is_over.store(true, Ordering::Relaxed);
        let longest = pinger.join().map_err(|_| io::Error::other("the pinger ended"))??;
        Ok((done?, longest))
    })
}

/// Puts this thread before all others of its core, the kernel's own too, some of which take it for milliseconds: with `chrt`, where it is
/// there and the user may.
fn come_first() {
    let thread = rustix::thread::gettid().to_string();
    let mut chrt = Command::new("chrt");
    chrt.args(["--fifo", "--pid", "1", &thread]).stderr(Stdio::null());
    // Others measure what they can.
    chrt.status().ok();
}

/// The longest that a PING is answered after, until it is over.
fn longest_ping(address: SocketAddr, is_over: &AtomicBool) -> io::Result<Duration> {
    come_first();
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut longest = Duration::ZERO;
    let mut reply = [0; 7];
    while !is_over.load(Ordering::Relaxed) {
        let sent = Instant::now();
        stream.write_all(b"PING\r\n")?;
        stream.read_exact(&mut reply)?;
        longest = longest.max(sent.elapsed());
        // Not to take the core from what it watches.
        process::pause(Duration::from_micros(200));
    }
    Ok(longest)
}
