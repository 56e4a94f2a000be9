//! Runs one command or a workload, GET unless told otherwise, from decoded requests to written replies, for tools that count instructions:
//!
//! ```text
//! valgrind --tool=callgrind target/quick/examples/count 20000
//! valgrind --tool=callgrind target/quick/examples/count 20000 script
//! valgrind --tool=callgrind target/quick/examples/count 20000 'SISMEMBER s m{}' 'SADD s m{}'
//! ```
//!
//! The difference between two runs, divided by the difference of their batches of 16, is what sixteen commands cost. A line behind the
//! first is run 10,000 times before, or several, `|` between them; `{}` is a number that differs. A third word is the policy of eviction
//! that uses are noted for; behind it come parameters, each followed by its value. The allocator is the server's, so that its part is, too.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

use russet_bench::request::{self, Numbers, Template};
use russet_bench::workload;
use russet_config::{Config, find, id};
use russet_dispatch::session::{Client, Peer, Session};
use russet_dispatch::state::Identity;
use russet_dispatch::{Chunk, Executor, State, Table};
use russet_engine::{Keyspace, Seed};
use russet_resp::{Batch, Decoder, Limits, Output};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const KEYS: u32 = 10_000;
const BATCH: usize = 16;
const VALUE_BYTES: usize = 64;

/// A clock that costs nothing and goes forward.
fn ticks() -> u64 {
    static NOW: AtomicU64 = AtomicU64::new(1);
    NOW.fetch_add(1_000, Ordering::Relaxed)
}

/// One command line over and over.
fn only(line: &str) -> Vec<(u32, Template)> {
    vec![(1, Template::parse(&line.replace("{}", "__rand_digits__"), VALUE_BYTES))]
}

/// The next requests of a mix, decoded.
fn requests(source: &mut request::Batch, count: usize, numbers: &mut Numbers) -> (Vec<u8>, Batch) {
    let mut input = source.fill(count, numbers).to_vec();
    let mut batch = Batch::default();
    Decoder::default().decode(&mut input, &Limits::DEFAULT, count, &mut batch);
    (input, batch)
}

fn main() {
    let arg = |nth, default: &str| std::env::args().nth(nth).unwrap_or_else(|| default.to_owned());
    let batches: usize = arg(1, "1").parse().expect("a number of batches");
    let (what, before) = (arg(2, "get"), arg(3, "SET key:{} __value__"));
    let workload = workload::find(&what);
    let mix = workload.map_or_else(|| only(&what), |workload| workload.mix(VALUE_BYTES));
    let keyspace = Keyspace::new(1024, Seed(11, 13));
    let families = russet_commands::FAMILIES.iter().chain(russet_scripting::FAMILIES);
    let table = Table::leak(&families.copied().collect::<Vec<_>>());
    let mut config = Config::new();
    let policy = const { id("maxmemory-policy") };
    config.assign(policy, &arg(4, "noeviction")).expect("a policy");
    let rest: Vec<String> = std::env::args().skip(5).collect();
    for parameter in rest.chunks_exact(2) {
        let (id, _) = find(&parameter[0]).expect("a parameter");
        config.assign(id, &parameter[1]).expect("a value of it");
    }
    let state = State::new(keyspace, table, config, Identity::default(), 7, 16);
    let state: &'static State = Box::leak(Box::new(state));
    state.clock.measure_by(ticks);
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
    let steps = workload.map_or(&[][..], |workload| workload.steps);
    let steps = steps.iter().map(|step| (step.times, step.line));
    let before = before.split('|').map(|line| (KEYS, line.trim()));
    for (times, line) in before.chain(steps) {
        let mut source = request::Batch::new(only(line), 1);
        let mut numbers = Numbers::in_order(KEYS);
        (0..times).for_each(|_| run(&requests(&mut source, 1, &mut numbers)));
    }
    let mut source = request::Batch::new(mix, BATCH);
    let mut numbers = Numbers::random(KEYS, 7);
    let prepared: Vec<_> = (0..64).map(|_| requests(&mut source, BATCH, &mut numbers)).collect();
    prepared.iter().cycle().take(batches).for_each(run);
}
