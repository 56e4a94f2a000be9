//! Runs one command, GET unless told otherwise, from decoded requests to written replies, for tools that count instructions:
//!
//! ```text
//! valgrind --tool=callgrind target/quick/examples/count 20000
//! valgrind --tool=callgrind target/quick/examples/count 20000 'SISMEMBER s m{}' 'SADD s m{}'
//! ```
//!
//! The difference between two runs, divided by the difference of their batches of 16, is what sixteen commands cost. The second line is
//! run 10,000 times before; `{}` is a number that differs.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

use russet_config::Config;
use russet_dispatch::session::{Client, Peer, Session};
use russet_dispatch::state::Identity;
use russet_dispatch::{Chunk, Executor, State, Table};
use russet_engine::{Keyspace, Seed};
use russet_resp::{Batch, Decoder, Limits, Output};

const KEYS: u64 = 10_000;
const BATCH: usize = 16;

/// A string of 64 bytes.
const SET: &str = "SET key:{} vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv";

/// A clock that costs nothing and goes forward.
fn ticks() -> u64 {
    static NOW: AtomicU64 = AtomicU64::new(1);
    NOW.fetch_add(1_000, Ordering::Relaxed)
}

fn requests(lines: &[Vec<String>]) -> (Vec<u8>, Batch) {
    let mut input = Vec::new();
    for words in lines {
        input.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            input.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
    }
    let mut batch = Batch::default();
    Decoder::default().decode(&mut input, &Limits::DEFAULT, lines.len(), &mut batch);
    (input, batch)
}

/// The words of a line with a number in it.
fn words(line: &str, n: u64) -> Vec<String> {
    let number = format!("{:012}", n % KEYS);
    line.split(' ').map(|word| word.replace("{}", &number)).collect()
}

fn main() {
    let arg = |nth, default: &str| std::env::args().nth(nth).unwrap_or_else(|| default.to_owned());
    let batches: usize = arg(1, "1").parse().expect("a number of batches");
    let (line, before) = (arg(2, "GET key:{}"), arg(3, SET));
    let keyspace = Keyspace::new(1024, Seed(11, 13));
    let table = Table::leak(russet_commands::FAMILIES);
    let state = State::new(keyspace, table, Config::new(), Identity::default(), 7, 16);
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
    (0..KEYS).for_each(|n| run(&requests(&[words(&before, n)])));
    let nth = |n: u64| words(&line, n.wrapping_mul(7_919));
    let prepared: Vec<_> = (0..64u64)
        .map(|batch| requests(&(0..BATCH as u64).map(|n| nth(batch * 16 + n)).collect::<Vec<_>>()))
        .collect();
    prepared.iter().cycle().take(batches).for_each(run);
}
