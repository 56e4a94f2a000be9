//! The core without sockets: how it scales over threads, what taking all shards costs, and whether a growing table pauses.
//!
//! ```text
//! cargo run --release -p russet-bench --bin core ["reads alone" | "random keys" | "one shard" | scripts | "all shards" | growth]
//! ```
//!
//! Each figure is a median of 25; threads run the same prepared batches of 16 requests through an [`Executor`] of their own.

#![forbid(unsafe_code)]

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use russet_bench::request::{self, Numbers, Template};
use russet_bench::workload;
use russet_config::Config;
use russet_dispatch::session::{Client, Peer, Session};
use russet_dispatch::state::Identity;
use russet_dispatch::{Chunk, Executor, State, Table};
use russet_engine::{Keyspace, Patience, Seed};
use russet_resp::{Batch, Decoder, Limits, Output};

const KEYS: u64 = 1_000_000;
const BATCH: usize = 16;
const BATCHES: usize = 40_000;
const ROUNDS: usize = 25;
const READ_CELLS: usize = 8 << 20;
const READS: usize = 2_000_000;

fn state(table: &'static Table) -> &'static State {
    let keyspace = Keyspace::new(1024, Seed(11, 13));
    Box::leak(Box::new(State::new(keyspace, table, Config::new(), Identity::default(), 7, 16)))
}

/// A SET or a GET of a key.
fn plain(nth: usize, key: &str) -> String {
    let value = "v".repeat(64);
    match nth % 2 {
        0 => format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n$64\r\n{value}\r\n", key.len()),
        _ => format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len()),
    }
}

/// The script of the workload `script`, for a key.
fn script(_: usize, key: &str) -> String {
    let line = workload::find("script").expect("a workload has that name").commands[0].1;
    let sha = line.split(' ').nth(1).expect("EVALSHA, hash, …");
    let len = key.len();
    format!("*4\r\n$7\r\nEVALSHA\r\n$40\r\n{sha}\r\n$1\r\n1\r\n${len}\r\n{key}\r\n")
}

/// Batches of requests, ready to run; each with the bytes that its spans refer to.
fn batches(seed: u64, request: impl Fn(usize, u64) -> String) -> Vec<(Vec<u8>, Batch)> {
    let mut dice = seed;
    let mut next = || {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % KEYS
    };
    let mut one = || {
        let mut input: Vec<u8> =
            (0..BATCH).flat_map(|nth| request(nth, next()).into_bytes()).collect();
        let mut batch = Batch::default();
        Decoder::default().decode(&mut input, &Limits::DEFAULT, BATCH, &mut batch);
        (input, batch)
    };
    (0..1024).map(|_| one()).collect()
}

/// Runs batches on `threads` threads at once and answers commands per second of all together.
fn throughput(
    state: &'static State,
    threads: u64,
    request: impl Fn(usize, u64) -> String + Copy + Sync,
) -> f64 {
    let barrier = Barrier::new(threads as usize);
    let work = |thread: u64| {
        let batches = batches(thread + 1, request);
        let mut executor = Executor::new(state.thread("core"));
        let mut session = Session::new(Client::new(thread, Peer::Internal, 0, 0).into(), true);
        let mut out = Output::default();
        barrier.wait();
        let started = Instant::now();
        for (input, batch) in batches.iter().cycle().take(BATCHES) {
            run(&mut executor, state, &mut session, input, batch, &mut out);
        }
        started.elapsed()
    };
    let work = &work;
    let slowest = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        all.into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .max()
            .expect("at least one thread")
    });
    (threads as usize * BATCHES * BATCH) as f64 / slowest.as_secs_f64()
}

/// Runs a whole batch, again from where it was busy.
fn run(
    executor: &mut Executor,
    state: &'static State,
    session: &mut Session,
    input: &[u8],
    batch: &Batch,
    out: &mut Output,
) {
    let mut at = 0;
    while at < batch.len() {
        let requests = Chunk { input, batch, from: at, until: batch.len() };
        (at, _) = executor.run(state, session, requests, out);
    }
    executor.end_turn(0);
    out.clear();
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// How long taking and letting go of all shards takes while another thread works: median and worst, in microseconds.
fn lock_all(
    state: &'static State,
    request: impl Fn(usize, u64) -> String + Copy + Send + Sync,
) -> (f64, f64) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                throughput(state, 1, request);
            }
        });
        std::thread::park_timeout(Duration::from_millis(300));
        let mut figures: Vec<f64> = (0..500)
            .map(|_| {
                let started = Instant::now();
                drop(state.keyspace.hold_all(Patience::ENDLESS));
                started.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        over.store(true, Ordering::Relaxed);
        figures.sort_by(f64::total_cmp);
        (figures[figures.len() / 2], figures[figures.len() - 1])
    })
}

/// What the server allocates with.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Time that this thread has spent on a processor, in microseconds: what the machine gives to others in between does not count.
fn cpu_us() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// Inserts ten million keys and answers the longest single SET, in microseconds by the clock and of processor time; all in one shard if
/// `key` says so.
fn growth(state: &'static State, key: impl Fn(u64) -> String) -> (f64, f64) {
    let mut executor = Executor::new(state.thread("core"));
    let mut session = Session::new(Client::new(1, Peer::Internal, 0, 0).into(), true);
    let (mut batch, mut out) = (Batch::default(), Output::default());
    let (mut longest, mut longest_cpu) = (0.0f64, 0.0f64);
    for n in 0..10 * KEYS {
        let key = key(n);
        let mut input =
            format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n$1\r\nv\r\n", key.len()).into_bytes();
        batch.clear();
        Decoder::default().decode(&mut input, &Limits::DEFAULT, 1, &mut batch);
        let (started, cpu) = (Instant::now(), cpu_us());
        run(&mut executor, state, &mut session, &input, &batch, &mut out);
        longest_cpu = longest_cpu.max(cpu_us() - cpu);
        longest = longest.max(started.elapsed().as_secs_f64() * 1e6);
    }
    (longest, longest_cpu)
}

/// Makes the script of [`script`] known.
fn load_script(state: &'static State) {
    let line = workload::find("script").expect("a workload has that name").steps[0].line;
    let mut source = request::Batch::new(vec![(1, Template::parse(line, 0))], 1);
    let mut input = source.fill(1, &mut Numbers::in_order(1)).to_vec();
    let mut batch = Batch::default();
    Decoder::default().decode(&mut input, &Limits::DEFAULT, 1, &mut batch);
    let mut executor = Executor::new(state.thread("core"));
    let mut session = Session::new(Client::new(1, Peer::Internal, 0, 0).into(), true);
    run(&mut executor, state, &mut session, &input, &batch, &mut Output::default());
}

/// What the machine itself gives: reads per second at random places of 64 MB of its own for each thread. Two threads of one processor
/// core, or two guests of one host, share what they wait for; no program gains more from them than this.
fn reads(threads: u64) -> f64 {
    let barrier = Barrier::new(threads as usize);
    let work = |seed: u64| {
        let cells: Vec<u64> = (0..READ_CELLS as u64).collect();
        barrier.wait();
        let started = Instant::now();
        let mut at = seed;
        for _ in 0..READS {
            at = at
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1 + cells[at as usize >> 13 & (READ_CELLS - 1)]);
        }
        std::hint::black_box(at);
        started.elapsed()
    };
    let work = &work;
    let slowest = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        all.into_iter().map(|thread| thread.join().expect("no panic")).max().expect("at least one")
    });
    threads as f64 * READS as f64 / slowest.as_secs_f64()
}

/// Prints how much two threads do more than one.
#[expect(clippy::print_stdout, reason = "this program is there to print")]
fn compare(what: &str, unit: &str, rate: impl Fn(u64) -> f64) {
    let (mut ones, mut twos, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (one, two) = (rate(1), rate(2));
        ones.push(one / 1e6);
        twos.push(two / 1e6);
        times.push(two / one);
    }
    println!("{:24}{:.2} M {unit}/s", format!("{what}, 1 thread:"), median(ones));
    println!(
        "{:24}{:.2} M {unit}/s, {:.2} times one",
        format!("{what}, 2 threads:"),
        median(twos),
        median(times)
    );
}

#[expect(clippy::print_stdout, reason = "this program is there to print")]
fn main() {
    let families = russet_commands::FAMILIES.iter().chain(russet_scripting::FAMILIES);
    let table = Table::leak(&families.copied().collect::<Vec<_>>());
    let random = |n: u64| format!("key:{n:012}");
    let tagged = |n: u64| format!("{{t}}:{n:012}");
    let shared = state(table);
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let is_wanted = |what: &str| what.contains(&wanted);
    if is_wanted("reads alone") {
        compare("reads alone", "reads", reads);
    }
    throughput(shared, 1, |nth, n| plain(nth, &random(n)));
    if is_wanted("random keys") {
        let rate = |threads| throughput(shared, threads, |nth, n| plain(nth, &random(n)));
        compare("random keys", "commands", rate);
    }
    if is_wanted("one shard") {
        let rate = |threads| throughput(shared, threads, |nth, n| plain(nth, &tagged(n)));
        compare("one shard", "commands", rate);
    }
    if is_wanted("scripts") {
        load_script(shared);
        let request = |nth: usize, n: u64| script(nth, &format!("num:{n:012}"));
        compare("scripts", "commands", |threads| throughput(shared, threads, request));
    }
    if is_wanted("all shards") {
        let (median, worst) = lock_all(shared, |nth, n| plain(nth, &random(n)));
        println!("taking all 1024 shards under load: median {median:.0} us, worst {worst:.0} us");
    }
    if is_wanted("growth") {
        print_growth("1024 shards", growth(state(table), random));
        print_growth("one shard", growth(state(table), tagged));
    }
}

/// Prints the longest SET while a table grows.
#[expect(clippy::print_stdout, reason = "this program is there to print")]
fn print_growth(what: &str, (longest, cpu): (f64, f64)) {
    println!("10 M keys inserted, {what}: longest SET {longest:.0} us, {cpu:.0} us of processor");
}
