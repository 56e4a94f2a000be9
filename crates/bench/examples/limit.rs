//! What a SET of a new key costs where memory is limited, from decoded requests to written replies: without sockets, whose share is larger
//! and whose times differ more.
//!
//! ```text
//! cargo run --profile quick -p russet-bench --example limit -- allkeys-lru 150
//! ```
//!
//! prints nanoseconds per SET by the lower quartile and the median of 40 rounds of 100,000, once the limit of so many megabytes has been
//! reached; with 0 nothing is limited. A third word is the number of SETs before that, a fourth another number of rounds.

#![forbid(unsafe_code)]

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::Instant;

use russet_config::{Config, id};
use russet_dispatch::session::{Client, Peer, Session};
use russet_dispatch::state::Identity;
use russet_dispatch::{Chunk, Executor, State, Table};
use russet_engine::{Keyspace, Seed};
use russet_resp::{Batch, Decoder, Limits, Output};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const BATCH: usize = 16;
const ROUND: u64 = 100_000;

fn ticks() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed().as_nanos() as u64 + 1
}

/// A batch of SETs of keys that come one after the other.
fn requests(first: u64) -> (Vec<u8>, Batch) {
    let (mut input, value) = (Vec::new(), "v".repeat(64));
    for key in first..first + BATCH as u64 {
        write!(input, "*3\r\n$3\r\nSET\r\n$16\r\nkey:{key:012}\r\n$64\r\n{value}\r\n")
            .expect("memory");
    }
    let mut batch = Batch::default();
    Decoder::default().decode(&mut input, &Limits::DEFAULT, BATCH, &mut batch);
    (input, batch)
}

#[expect(clippy::print_stdout, reason = "a command line tool")]
fn main() {
    let arg = |nth, default: &str| std::env::args().nth(nth).unwrap_or_else(|| default.to_owned());
    let number = |nth, default| arg(nth, default).parse::<u64>().expect("a number");
    let (policy, limit) = (arg(1, "allkeys-lru"), number(2, "150") << 20);
    let (before, rounds) = (number(3, "1800000"), number(4, "40"));
    let families = russet_commands::FAMILIES.iter().chain(russet_scripting::FAMILIES);
    let table = Table::leak(&families.copied().collect::<Vec<_>>());
    let mut config = Config::new();
    config.assign(const { id("maxmemory-policy") }, &policy).expect("a policy");
    let keyspace = Keyspace::new(1024, Seed(11, 13));
    let state = State::new(keyspace, table, config, Identity::default(), 7, 16);
    let state: &'static State = Box::leak(Box::new(state));
    state.clock.measure_by(ticks);
    state.tunables.memory_max.store(limit, Ordering::Relaxed);
    state.judge_memory();
    let mut executor = Executor::new(state.thread("core"));
    let mut session = Session::new(Client::new(1, Peer::Internal, 0, 0).into(), true);
    let mut out = Output::default();
    let mut run = |(input, batch): &(Vec<u8>, Batch)| {
        let started = state.clock.ticks();
        executor.begin_turn(started);
        let mut at = 0;
        while at < batch.len() {
            let requests = Chunk { input, batch, from: at, until: batch.len() };
            (at, _) = executor.run(state, &mut session, requests, &mut out);
        }
        executor.end_turn(started);
        out.clear();
    };
    let mut key = 0;
    let mut round = |count: u64| {
        state.clock.advance(1_700_000_000_000 + ticks() / 1_000_000);
        let prepared: Vec<_> = (key..key + count).step_by(BATCH).map(requests).collect();
        key += count;
        let began = Instant::now();
        prepared.iter().for_each(&mut run);
        began.elapsed().as_nanos() as u64 / count
    };
    (0..before / ROUND).for_each(|_| _ = round(ROUND));
    let mut took: Vec<u64> = (0..rounds).map(|_| round(ROUND)).collect();
    took.sort_unstable();
    let at = |part: usize| took[took.len() * part / 4];
    let (lower, median, bytes) = (at(1), at(2), state.stats.data_bytes());
    println!("{policy} {limit}: {lower} ns, {median} ns, {bytes} bytes of data");
}
