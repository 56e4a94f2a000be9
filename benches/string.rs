//! The hot path without sockets: string commands from decoded requests to written replies, on one thread.
//!
//! Times are per command, over 100,000 keys of 16 bytes chosen at random, values of 64 bytes; so they include what a miss of the cache
//! costs, and batches of 16 show what asking for memory ahead saves. Nobody follows the journal. What is measured is processor time of
//! the thread, so that others on the same machine disturb little.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use russet_commands::FAMILIES;
use russet_config::Config;
use russet_dispatch::session::Peer;
use russet_dispatch::state::Identity;
use russet_dispatch::{Chunk, Client, Executor, Session, State, Table};
use russet_engine::random::Random;
use russet_engine::{Keyspace, Seed};
use russet_resp::{Batch, Decoder, Limits, Output};
use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How many keys there are.
const KEYS: u64 = 100_000;

/// How many batches are prepared, and then run in turn.
const BATCHES: usize = 4096;

/// Processor time of this thread, shown as time is.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
    }

    fn end(&self, started: Duration) -> Duration {
        self.start().saturating_sub(started)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// A server without its shell.
struct Core {
    state: &'static State,
    executor: Executor,
    session: Session,
    out: Output,
}

impl Core {
    fn new() -> Self {
        let keyspace = Keyspace::new(Keyspace::shards_for(1), Seed(1, 2));
        let (table, config) = (Table::leak(FAMILIES), Config::new());
        let state = State::new(keyspace, table, config, Identity::default(), 3, 16);
        let state: &'static State = Box::leak(Box::new(state));
        let client = Client::new(1, Peer::Internal, 0, 0);
        Self {
            state,
            executor: Executor::new(state.thread("core")),
            session: Session::new(client.into(), true),
            out: Output::default(),
        }
    }

    fn run(&mut self, requests: &Requests) {
        let (count, mut at) = (requests.batch.len(), 0);
        while at < count {
            let (session, out) = (&mut self.session, &mut self.out);
            let Requests { input, batch } = requests;
            let chunk = Chunk { input, batch, from: at, until: count };
            let ran = self.executor.run(self.state, session, chunk, out);
            assert!(ran.1.is_none(), "nothing halts here");
            at = ran.0;
        }
        self.executor.end_turn(0);
        black_box(&self.out);
        self.out.clear();
    }
}

/// Requests as they stand decoded in a read buffer.
struct Requests {
    input: Vec<u8>,
    batch: Batch,
}

impl Requests {
    fn new(commands: &[Vec<String>]) -> Self {
        let mut input = Vec::new();
        for words in commands {
            input.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
            for word in words {
                input.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
            }
        }
        let mut batch = Batch::default();
        Decoder::default().decode(&mut input, &Limits::DEFAULT, commands.len(), &mut batch);
        assert_eq!(batch.len(), commands.len());
        Self { input, batch }
    }
}

fn key(kind: &str, random: &mut Random) -> String {
    format!("{kind}{:014}", random.below(KEYS))
}

/// What is measured: a name, and how one command of it looks.
type Shape = (&'static str, fn(&mut Random) -> Vec<String>);

const SHAPES: [Shape; 6] = [
    ("SET", |random| vec!["SET".into(), key("s:", random), "v".repeat(64)]),
    ("GET", |random| vec!["GET".into(), key("s:", random)]),
    ("SET EX", |random| {
        vec!["SET".into(), key("x:", random), "v".repeat(64), "EX".into(), "1000".into()]
    }),
    ("INCR", |random| vec!["INCR".into(), key("n:", random)]),
    ("MSET10", |random| {
        let pairs = (0..10).flat_map(|_| [key("s:", random), "v".repeat(64)]);
        std::iter::once("MSET".into()).chain(pairs).collect()
    }),
    ("MGET10", |random| {
        let keys = (0..10).map(|_| key("s:", random));
        std::iter::once("MGET".into()).chain(keys).collect()
    }),
];

fn fill(core: &mut Core) {
    for at in 0..KEYS {
        let set = |kind: &str, value: &str| {
            vec!["SET".into(), format!("{kind}{at:014}"), value.to_owned()]
        };
        core.run(&Requests::new(&[set("s:", &"v".repeat(64)), set("n:", "1000000")]));
    }
}

fn strings(c: &mut Criterion<CpuTime>) {
    let mut core = Core::new();
    fill(&mut core);
    for (name, shape) in SHAPES {
        let mut group = c.benchmark_group(format!("string/{name}"));
        for size in [1, 16] {
            let mut random = Random::new(7);
            let batch =
                |_| Requests::new(&(0..size).map(|_| shape(&mut random)).collect::<Vec<_>>());
            let batches: Vec<_> = (0..BATCHES / size).map(batch).collect();
            let mut all = batches.iter().cycle();
            group.throughput(Throughput::Elements(size as u64));
            group.bench_function(BenchmarkId::from_parameter(size), |b| {
                b.iter(|| core.run(all.next().expect("it never ends")));
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = strings
}
criterion_main!(benches);
