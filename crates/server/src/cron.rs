//! The only timers: the clock's tick, active expiry, gauges, clients that are silent for too long, tables that are growing.

use std::sync::atomic::Ordering;
use std::time::Duration;

use russet_dispatch::latency::Event;
use russet_dispatch::session::Client;
use russet_dispatch::state::{Gauges, Thread, rule};
use russet_dispatch::{State, eviction, expire, tracking};

use crate::clock;
use crate::defrag::Defragmenter;
use crate::saving;

/// A round's removals of ended keys at most: some milliseconds of one core, spread over many short holds.
const REMOVALS_PER_ROUND: usize = 100_000;

/// How often at least what has ended is looked for. A look at every shard takes some tens of microseconds.
const EXPIRY_PERIOD_MS: u64 = 50;

/// Buckets of growing tables moved per shard and round.
const BUCKETS_PER_ROUND: usize = 128;

/// Runs until the server stops.
pub(crate) async fn run(state: &'static State) {
    let thread = state.thread("cron");
    let mut round = 0u64;
    let mut last = Rates::default();
    let mut defragmenter = Defragmenter::default();
    loop {
        let hz = state.tunables.hz.load(Ordering::Relaxed).clamp(10, 500) as u64;
        expire_meanwhile(state, &thread, 1000 / hz).await;
        let started = clock::ticks();
        if state.is_cron_paused.load(Ordering::Relaxed) {
            continue;
        }
        state.pause_holds();
        if round.is_multiple_of(hz / 10) {
            state.watch_memory(&thread);
            make_room(state, &thread).await;
            tracking::tend(state, &thread);
            defragmenter.look(state);
            saving::save_if_due(state);
            saving::rewrite_if_due(state);
        }
        if round.is_multiple_of(hz) {
            last = last.measure(state);
            close_silent(state);
            state.cut_burdens();
            settle(state).await;
            stop_hot_keys(state);
        }
        round += 1;
        count_round(&thread, started);
    }
}

/// Rests between slices, since a core that it shares with those who serve would be left to it for many of them, and they would wait.
const BREATH: Duration = Duration::from_micros(200);

/// Memory that is over its bound though nobody adds to it, as when the bound was lowered, is freed in slices.
#[expect(
    clippy::disallowed_methods,
    reason = "tokio's timers rest for a millisecond at least, and this thread serves nobody"
)]
async fn make_room(state: &'static State, thread: &Thread) {
    let is_over = || state.rules.load(Ordering::Relaxed) & rule::OVER != 0;
    while is_over() && eviction::relieve_for_a_turn(state, thread) {
        thread.call(state);
        std::thread::sleep(BREATH);
        tokio::task::yield_now().await;
    }
    state.show_memory();
    thread.call(state);
}

/// A round of the housekeeping counts as a turn of its thread.
fn count_round(thread: &Thread, started: u64) {
    let took = clock::ticks().saturating_sub(started);
    let counters = &thread.counters;
    counters.batches.add(1);
    counters.busy_ns.add(took);
    counters.cron_ns.add(took);
    counters.turn_max_ns.raise(took);
}

/// Ends HOTKEYS when its time is up.
fn stop_hot_keys(state: &State) {
    let now = state.clock.now();
    if state.hot_keys.is_over(now) {
        state.stop_hot_keys();
    }
}

/// Spends the time of a round, and removes meanwhile what ends: events of it are due within a tenth of a second.
async fn expire_meanwhile(state: &'static State, thread: &Thread, period_ms: u64) {
    let looks = period_ms.div_ceil(EXPIRY_PERIOD_MS).max(1);
    for _ in 0..looks {
        tokio::time::sleep(Duration::from_millis(period_ms / looks)).await;
        state.clock.advance(clock::now_ms());
        if expire::is_on(state) && !state.is_cron_paused.load(Ordering::Relaxed) {
            expire_due(state, thread).await;
        }
    }
}

/// A storm of ended keys is worked off in slices; between them this thread does its other work.
async fn expire_due(state: &'static State, thread: &Thread) {
    const SLICE: usize = 2_000;
    for _ in 0..REMOVALS_PER_ROUND / SLICE {
        let started = clock::ticks();
        let removed = expire::cycle(state, thread, SLICE);
        let took = clock::ticks().saturating_sub(started);
        thread.counters.expire_ns.add(took);
        state.took(Event::ExpireCycle, took);
        if removed < SLICE {
            return;
        }
        tokio::task::yield_now().await;
    }
    thread.counters.expire_capped.add(1);
}

/// Tables that nobody writes to finish growing here.
async fn settle(state: &'static State) {
    for shard in 0..state.keyspace.shards() {
        if let Ok(mut shard) = state.keyspace.hold_one(shard, russet_engine::Patience::NONE) {
            shard.settle(BUCKETS_PER_ROUND);
        }
        if shard.is_multiple_of(64) {
            tokio::task::yield_now().await;
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Rates {
    at_ms: u64,
    processed: u64,
    bytes_in: u64,
    bytes_out: u64,
    turns: u64,
    busy_ns: u64,
}

impl Rates {
    fn measure(self, state: &State) -> Self {
        let totals = state.stats.totals();
        let now = Self {
            at_ms: state.clock.now(),
            processed: totals.processed,
            bytes_in: totals.bytes_in,
            bytes_out: totals.bytes_out,
            turns: totals.batches,
            busy_ns: totals.busy_ns,
        };
        let elapsed = now.at_ms.saturating_sub(self.at_ms).max(1);
        let rate = |new: u64, old: u64| new.saturating_sub(old) * 1000 / elapsed;
        let Gauges {
            ops_per_second,
            input_per_second,
            output_per_second,
            turns_per_second,
            turn_us,
            ..
        } = &state.gauges;
        let turns = now.turns.saturating_sub(self.turns);
        let busy_us = now.busy_ns.saturating_sub(self.busy_ns) / 1_000;
        turn_us.store(busy_us.checked_div(turns).unwrap_or(0), Ordering::Relaxed);
        turns_per_second.store(rate(now.turns, self.turns), Ordering::Relaxed);
        ops_per_second.store(rate(now.processed, self.processed), Ordering::Relaxed);
        input_per_second.store(rate(now.bytes_in, self.bytes_in), Ordering::Relaxed);
        output_per_second.store(rate(now.bytes_out, self.bytes_out), Ordering::Relaxed);
        now
    }
}

/// Bytes per second at which half a request counts as on its way, however long it takes.
const UPLOAD_BYTES_PER_SECOND: u64 = 1024;

/// Clients that have been silent for `timeout`, have not authenticated in time, or stopped in the middle of a request.
///
/// Those who let replies wait look at their limits themselves, if something wakes them.
fn close_silent(state: &State) {
    let now = state.clock.now();
    let timeout = state.tunables.timeout.load(Ordering::Relaxed) * 1000;
    let auth_timeout = state.tunables.auth_timeout.load(Ordering::Relaxed) * 1000;
    let request_timeout = state.tunables.request_timeout.load(Ordering::Relaxed) * 1000;
    let needs_password = state.tunables.needs_password.load(Ordering::Relaxed);
    for client in state.clients.all() {
        let silent = now.saturating_sub(client.active_ms.load(Ordering::Relaxed));
        let is_patient = client.blocked.lock().is_some()
            || client.monitors.load(Ordering::Relaxed)
            || client.awaits.load(Ordering::Relaxed);
        let unknown = needs_password && !client.authenticated.load(Ordering::Relaxed);
        let unknown_for = now.saturating_sub(client.stranger_since_ms.load(Ordering::Relaxed));
        let limits = state.tunables.output(client.is_subscriber());
        let soft = limits.soft.load(Ordering::Relaxed);
        if soft > 0 && client.output_bytes.load(Ordering::Relaxed) as u64 > soft {
            client.wake();
        }
        let over = |limit: u64, elapsed: u64| limit > 0 && elapsed > limit;
        let reason = if over(timeout, silent) && !is_patient {
            "idle"
        } else if unknown && over(auth_timeout, unknown_for) {
            "not authenticated"
        } else if request_timeout > 0 && trickles(&client, now, request_timeout) {
            "half a request"
        } else {
            continue;
        };
        tracing::debug!(id = client.id, reason, "closing a silent client");
        client.kill();
    }
}

/// Whether half a request has been waiting for the rest for so long, and comes at no rate worth waiting for.
fn trickles(client: &Client, now: u64, timeout_ms: u64) -> bool {
    let since = client.half_since_ms.load(Ordering::Relaxed);
    let age = now.saturating_sub(since);
    let bytes =
        client.input_bytes.load(Ordering::Relaxed) + client.argv_bytes.load(Ordering::Relaxed);
    since > 0 && age > timeout_ms && (bytes as u64) < age / 1000 * UPLOAD_BYTES_PER_SECOND
}
