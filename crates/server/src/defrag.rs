//! The thread that moves allocations together: it comes when there is something to do, and goes when that is done.
//!
//! It works for `active-defrag-cycle-us` at a stretch and sleeps in between, so that its share of a core is what the configuration
//! allows. A stretch is many holds of one shard each; whoever holds a shard is not waited for. Nobody runs on this thread but the walk, so
//! the allocator's cache for it is switched off: with it, what is freed would be what is allocated next.

use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use russet_dispatch::State;
use russet_dispatch::defrag::{Plan, Round, Step};
use russet_dispatch::latency::Event;

use crate::allocator;
use crate::clock;
use crate::gauges;

/// How often the configuration and the allocator's figures are looked at, and where it is urgent.
const LOOK_NS: u64 = 100_000_000;
const URGENT_LOOK_NS: u64 = 10_000_000;

/// A stretch is at least so long.
const SLICE_US_MIN: u64 = 50;

/// A round that lowers what is lost by less than one part in so many is of little use; where it is urgent, and data changes meanwhile, one that
/// moves less than this part of what it looks at.
const USE: u64 = 16;

/// After such a round the next one waits for at least so long, at most so long, and in between so many times as long as it took.
const REST_MS: std::ops::RangeInclusive<u64> = 2_000..=60_000;
const REST: u64 = 4;

/// Starts the thread when there is something to do.
#[derive(Debug, Default)]
pub(crate) struct Defragmenter(Option<JoinHandle<()>>);

impl Defragmenter {
    /// To be called every now and then.
    pub(crate) fn look(&mut self, state: &'static State) {
        let Some(plan) = Plan::now(state) else { return };
        let is_there = self.0.as_ref().is_some_and(|thread| !thread.is_finished());
        if is_there || state.defrag.rests(state.clock.now()) || share(state, &plan).is_none() {
            return;
        }
        let work = move || run(state);
        match std::thread::Builder::new().name("defrag".to_owned()).spawn(work) {
            Ok(thread) => self.0 = Some(thread),
            Err(error) => {
                tracing::error!(%error, "no thread to move values together");
                state.defrag.rest_until(state.clock.now() + REST_MS.end());
            }
        }
    }
}

/// The share of a core to work with now, if there is something to do. A snapshot is let finish first, unless that is urgent: what it takes
/// for a while lies among the data, and goes by itself.
fn share(state: &State, plan: &Plan) -> Option<u64> {
    if state.keyspace.snapshot().is_some() && !state.resident.is_close() {
        return None;
    }
    let (allocated, active) = gauges::allocation();
    plan.share(allocated, active)
}

fn run(state: &'static State) {
    if !allocator::without_cache() {
        tracing::error!("the allocator does not let values be moved together");
        return state.defrag.rest_until(u64::MAX);
    }
    state.defrag.begin(state.clock.now());
    while work_a_round(state) {}
    state.defrag.end(state.clock.now());
}

/// Walks over all shards once. Says whether to begin again.
fn work_a_round(state: &State) -> bool {
    let (mut round, begun) = (Round::default(), clock::ticks());
    let (lost, counts) = (lost(), counts(state));
    let mut looked = None;
    let (mut slice_us, mut part) = (0, 0);
    loop {
        let now = clock::ticks();
        if looked.is_none_or(|looked| now - looked > pace_ns(state)) {
            if state.resident.is_close() {
                state.watch_resident();
            }
            let plan = Plan::now(state);
            let share = plan.and_then(|plan| Some((plan.slice_us, share(state, &plan)?)));
            let Some(wanted) = share.filter(|_| !is_stopping(state)) else { return false };
            (slice_us, part) = (wanted.0.max(SLICE_US_MIN), wanted.1.clamp(1, 99));
            state.defrag.share.store(part, Ordering::Relaxed);
            looked = Some(now);
        }
        let is_over = work_a_while(state, &mut round, slice_us * 1_000);
        let took = clock::ticks() - now;
        state.took(Event::DefragCycle, took);
        if is_over {
            break;
        }
        rest(took * (100 - part) / part);
    }
    let [moved, looked] =
        std::array::from_fn(|nth| self::counts(state)[nth].saturating_sub(counts[nth]));
    if lost.saturating_sub(self::lost()) >= lost / USE
        || state.resident.is_close() && moved >= looked / USE
    {
        return true;
    }
    let took_ms = (clock::ticks() - begun) / 1_000_000;
    let rest = (took_ms * REST).clamp(*REST_MS.start(), *REST_MS.end());
    state.defrag.rest_until(state.clock.now() + rest);
    false
}

/// How long it goes on before it looks what is to be done.
fn pace_ns(state: &State) -> u64 {
    if state.resident.is_close() { URGENT_LOOK_NS } else { LOOK_NS }
}

#[expect(clippy::disallowed_methods, reason = "this thread serves nobody")]
fn rest(ns: u64) {
    std::thread::sleep(Duration::from_nanos(ns));
}

/// Goes on with a round for so long. Says whether it is over.
fn work_a_while(state: &State, round: &mut Round, ns: u64) -> bool {
    let until = clock::ticks() + ns;
    while clock::ticks() < until {
        match round.step(state, allocator::is_sparse) {
            Step::Done => {}
            Step::Busy => std::thread::yield_now(),
            Step::Last => return true,
        }
    }
    false
}

/// Allocations that were moved, and that were looked at.
fn counts(state: &State) -> [u64; 2] {
    let [hits, misses] =
        [&state.defrag.hits, &state.defrag.misses].map(|count| count.load(Ordering::Relaxed));
    [hits, hits + misses]
}

/// Bytes of pages that nothing is in, though something is in the page.
fn lost() -> u64 {
    let (allocated, active) = gauges::allocation();
    active.saturating_sub(allocated)
}

fn is_stopping(state: &State) -> bool {
    state.scripts.is_closing.load(Ordering::Acquire)
}
