//! Runs GETs from decoded requests to written replies, for tools that count instructions:
//!
//! ```text
//! valgrind --tool=callgrind target/quick/examples/count 20000
//! ```
//!
//! The difference between two runs, divided by the difference of their batches of 16, is what sixteen GETs cost.

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

fn main() {
    let batches: usize = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(1);
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
    let key = |n: u64| format!("key:{:012}", n % KEYS);
    for n in 0..KEYS {
        run(&requests(&[vec!["SET".to_owned(), key(n), "v".repeat(64)]]));
    }
    let get = |n: u64| vec!["GET".to_owned(), key(n.wrapping_mul(7_919))];
    let prepared: Vec<_> = (0..64u64)
        .map(|nth| requests(&(0..BATCH as u64).map(|n| get(nth * 16 + n)).collect::<Vec<_>>()))
        .collect();
    prepared.iter().cycle().take(batches).for_each(run);
}
