//! The journal by itself: requests of 61 bytes, appended as they came, while one of the threads reads what all have appended, as who
//! writes the append-only file does.
//!
//! Times are per append and thread. `alone` is one thread that does nothing else; in `together` two threads do something else between two
//! appends, as commands do.

#![expect(clippy::disallowed_methods, reason = "what is measured is time")]

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use russet_journal::{Journal, Reader};

/// A request as it comes over the wire.
const WIRE: &[u8] = b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000012345\r\n$16\r\nvalue:0000000001\r\n";

/// So many are appended before they are read.
const BATCH: u64 = 512;

/// Something else, in steps of about a nanosecond.
fn work(steps: u64) {
    black_box((0..steps).fold(steps, |sum, step| black_box(sum.rotate_left(5) ^ step)));
}

fn read_all(reader: &mut Reader) {
    while let Ok(Some(bytes)) = reader.read_some() {
        black_box(bytes);
    }
}

/// How long it takes when each of so many threads appends so often, and works before each.
fn run(threads: usize, steps: u64, times: u64) -> Duration {
    let (journal, start) = (Arc::new(Journal::new(16 << 20)), Barrier::new(threads));
    let mut reader = Some(journal.follow_all());
    thread::scope(|scope| {
        let go = |mut reader: Option<Reader>| {
            let (journal, start) = (&journal, &start);
            scope.spawn(move || {
                start.wait();
                let began = Instant::now();
                for nth in 0..times {
                    work(steps);
                    journal.append_wire(0, WIRE, |_| {});
                    if let Some(reader) = reader.as_mut().filter(|_| nth % BATCH == 0) {
                        read_all(reader);
                    }
                }
                began.elapsed()
            })
        };
        let all: Vec<_> = (0..threads).map(|_| go(reader.take())).collect();
        all.into_iter().map(|thread| thread.join().expect("no panic")).max().unwrap_or_default()
    })
}

fn journal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("journal");
    for (name, threads, steps) in [("alone", 1, 0), ("together", 2, 400)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| run(threads, steps, times));
        });
    }
    group.finish();
}

criterion_group!(benches, journal);
criterion_main!(benches);
