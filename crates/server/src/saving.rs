//! The shell's part in saving: the thread that does it, loading at the start, rules that say when, and the end of the process.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use russet_config::{Config, Id, id};
use russet_dispatch::persistence::{Answer, Wish};
use russet_dispatch::request::{Emptied, Shutdown};
use russet_dispatch::state::rule;
use russet_dispatch::{Error, State};
use russet_persist::Saver;
use russet_persist::aof::{Log, RecoverError};
use russet_persist::saver::StartError as LoadError;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

use crate::StartError;
use crate::tasks::Means;

/// After a snapshot that failed, the rules wait for so many seconds.
const RETRY_S: u64 = 5;

/// Between two looks whether a snapshot is over.
const PAUSE: Duration = Duration::from_millis(2);

/// Between two looks whether a script keeps the server from ending.
const SCRIPT_LOOK: Duration = Duration::from_millis(20);

/// Starts the thread that saves.
pub(crate) fn spawn(saver: &Saver) -> Option<JoinHandle<()>> {
    let saver = saver.clone();
    let spawned = std::thread::Builder::new().name("saver".to_owned()).spawn(move || saver.run());
    spawned.inspect_err(|error| tracing::error!(%error, "no thread to save: nothing will be")).ok()
}

/// Starts the thread that writes and syncs the append-only file.
pub(crate) fn spawn_log(log: &Arc<Log>) -> std::io::Result<JoinHandle<()>> {
    let log = Arc::clone(log);
    std::thread::Builder::new().name("aof".to_owned()).spawn(move || log.run())
}

/// Ends the thread that writes the append-only file, when all of it is on the disk.
pub(crate) fn end_log(log: &Log, thread: JoinHandle<()>) {
    log.end();
    if thread.join().is_err() {
        tracing::error!("the thread that writes the append-only file panicked");
    }
}

/// Ends the thread that saves. What it is at is given up.
pub(crate) fn end(state: &State, thread: Option<JoinHandle<()>>) {
    state.persistence.loading.is_cancelled.store(true, Ordering::Relaxed);
    state.persistence.is_leaving.store(true, Ordering::Release);
    state.persistence.cancel();
    state.aof.is_cancelled.store(true, Ordering::Release);
    state.persistence.ask(Wish::End);
    if let Some(thread) = thread
        && thread.join().is_err()
    {
        tracing::error!("the saving thread panicked");
    }
}

/// Loads the data that is there on a thread of its own, until it is loaded or the server is to stop.
pub(crate) async fn load(
    saver: &Saver,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), StartError> {
    let (sender, receiver) = oneshot::channel();
    let own = saver.clone();
    let work = move || drop(sender.send(own.load()));
    std::thread::Builder::new().name("loader".to_owned()).spawn(work)?;
    let cancelled = || Err(LoadError::Aof(RecoverError::Cancelled));
    let loaded = tokio::select! {
        loaded = receiver => loaded.unwrap_or_else(|_| cancelled()),
        _ = stopping.wait_for(|stopping| *stopping) => cancelled(),
    };
    loaded.map_err(StartError::Load)
}

/// After a failure a new base is tried so often, in milliseconds.
const REPAIR_MS: u64 = 2_000;

/// Rewrites in a row that may fail before the next one is put off, and for how long at most, in minutes.
const FAILURES: u64 = 3;
const DELAY_MAX: u64 = 60;

/// Starts a rewrite of the append-only file if it has grown enough, or is of no use.
pub(crate) fn rewrite_if_due(state: &State) {
    let aof = &state.aof;
    let is_loading = state.rules.load(Ordering::Relaxed) & rule::LOADING != 0;
    if is_loading || aof.is_rewriting() || !aof.is_enabled.load(Ordering::Relaxed) {
        return;
    }
    let since_ms = state.clock.now().saturating_sub(aof.tried_ms.load(Ordering::Relaxed));
    if aof.needs_base.load(Ordering::Relaxed) {
        if since_ms >= REPAIR_MS {
            state.rewrite_log();
        }
        return;
    }
    let config = state.config.load();
    let (bytes, base) =
        (aof.bytes.load(Ordering::Relaxed), aof.base_bytes.load(Ordering::Relaxed).max(1));
    let percentage = config.integer(const { id("auto-aof-rewrite-percentage") }).unsigned_abs();
    let is_large = bytes >= config.memory(const { id("auto-aof-rewrite-min-size") });
    let growth = bytes.saturating_sub(base).saturating_mul(100) / base;
    let failures = aof.failed_rewrites.load(Ordering::Relaxed);
    let delay = match failures.checked_sub(FAILURES) {
        None => 0,
        Some(more) => (1 << more.min(6)).min(DELAY_MAX),
    };
    if percentage > 0 && is_large && growth >= percentage && since_ms >= delay * 60_000 {
        tracing::info!("Starting automatic rewriting of AOF on {growth}% growth");
        state.rewrite_log();
    }
}

/// Starts a snapshot if a `save` rule says so.
pub(crate) fn save_if_due(state: &State) {
    let persistence = &state.persistence;
    if persistence.is_saving() || state.rules.load(Ordering::Relaxed) & rule::LOADING != 0 {
        return;
    }
    let now_s = state.clock.now() / 1000;
    let changes = persistence.changes_unsaved(state.stats.changes());
    let since_s = now_s.saturating_sub(persistence.saved_s.load(Ordering::Relaxed));
    let tried_s = persistence.tried_s.load(Ordering::Relaxed);
    let may_try = persistence.is_ok.load(Ordering::Relaxed) || now_s > tried_s + RETRY_S;
    let config = state.config.load();
    let due = config.save_rules().iter().find(|rule| {
        changes >= rule.changes.unsigned_abs() && since_s > rule.seconds.unsigned_abs()
    });
    if let Some(rule) = due.filter(|_| may_try)
        && persistence.begin_saving(false)
    {
        tracing::info!("{} changes in {} seconds. Saving...", rule.changes, rule.seconds);
        persistence.ask(Wish::Save(None));
    }
}

/// Leaves a wish and waits for how it comes out.
pub(crate) async fn wish(state: &State, make: impl FnOnce(Answer) -> Wish) -> Result<(), String> {
    let (sender, receiver) = oneshot::channel();
    // Who does not wait any more does not want to know.
    state.persistence.ask(make(Box::new(move |result| drop(sender.send(result)))));
    receiver.await.unwrap_or_else(|_| Err("the server ends".to_owned()))
}

/// Saves databases that have been emptied, and waits until what was in them is freed, as far as that is wished. They are empty even if
/// the snapshot fails: that is for the next write to tell.
pub(crate) async fn follow_emptying(state: &State, what: Emptied) {
    if what.saves {
        let (sender, receiver) = oneshot::channel();
        // As in `wish`.
        state.persistence.save_anew(Some(Box::new(move |result| drop(sender.send(result)))));
        drop(receiver.await);
    }
    while what.frees && state.keyspace.trash().pending() > 0 {
        tokio::time::sleep(PAUSE).await;
    }
}

/// Ends the server, after saving if that is wished. Nothing that is acknowledged from the moment of the last snapshot on is lost: clients
/// wait, and wait until the connection ends. An answer means that the server goes on.
pub(crate) async fn shut_down(means: &Means, how: Shutdown) -> Result<(), String> {
    let state = means.state;
    let saves = how.save.unwrap_or_else(|| !state.config.load().save_rules().is_empty());
    tracing::info!("User requested shutdown...");
    let aof = &state.aof;
    if aof.is_rewriting()
        && aof.is_enabled.load(Ordering::Relaxed)
        && aof.needs_base.load(Ordering::Relaxed)
    {
        if !how.force {
            tracing::warn!("Writing initial AOF, can't exit.");
            return Err(Error::ShutdownFailed.text().into_owned());
        }
        tracing::warn!("Writing initial AOF. Exit anyway.");
    }
    if saves && let Err(error) = save_at_the_end(state).await {
        tracing::warn!(error, "Error trying to save the DB, can't exit.");
        if !how.force {
            state.unpause();
            state.persistence.is_leaving.store(false, Ordering::Release);
            return Err(Error::ShutdownFailed.text().into_owned());
        }
    }
    means.stop().await;
    Ok(())
}

async fn save_at_the_end(state: &'static State) -> Result<(), String> {
    tracing::info!("Saving the final RDB snapshot before exiting.");
    state.pause(u64::MAX, true);
    // Whoever judged by the rules from before is through when every shard has been passed once.
    let mut barrier = tokio::task::spawn_blocking(move || state.barrier());
    loop {
        tokio::select! {
            passed = &mut barrier => break passed.map_err(|error| error.to_string())?,
            () = tokio::time::sleep(SCRIPT_LOOK) => {
                let threshold = state.tunables.busy_threshold.load(Ordering::Relaxed);
                state.scripts.end_overdue(threshold);
            }
        }
    }
    // What is saved comes before what is sent.
    state.persistence.is_leaving.store(true, Ordering::Release);
    while !state.persistence.begin_saving(true) {
        state.persistence.cancel();
        tokio::time::sleep(PAUSE).await;
    }
    wish(state, |answer| Wish::Save(Some(answer))).await
}

/// How a signal wants the server to end.
fn manner(config: &Config, of: Id) -> Shutdown {
    const NOSAVE: i64 = 1;
    const SAVE: i64 = 2;
    const NOW: i64 = 4;
    const FORCE: i64 = 8;
    let flags = config.integer(of);
    let save = match (flags & SAVE != 0, flags & NOSAVE != 0) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    Shutdown { save, now: flags & NOW != 0, force: flags & FORCE != 0 }
}

/// SIGTERM and SIGINT end the server, unless it cannot save.
pub(crate) async fn obey_signals(means: Rc<Means>) {
    let signals = signal(SignalKind::terminate())
        .and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
    let (mut terminate, mut interrupt) = match signals {
        Ok(signals) => signals,
        Err(error) => return tracing::error!(%error, "signals will end the process at once"),
    };
    loop {
        let of = tokio::select! {
            _ = terminate.recv() => {
                tracing::warn!("Received SIGTERM scheduling shutdown...");
                const { id("shutdown-on-sigterm") }
            }
            _ = interrupt.recv() => {
                tracing::warn!("Received SIGINT scheduling shutdown...");
                const { id("shutdown-on-sigint") }
            }
        };
        if !may_end(means.state).await {
            continue;
        }
        let how = manner(&means.state.config.load(), of);
        tokio::select! {
            ended = shut_down(&means, how) => if let Err(error) = ended {
                tracing::warn!(error, "SIGTERM received but errors trying to shut down the server, check the logs for more information");
            },
            _ = interrupt.recv() => {
                tracing::warn!("You insist... exiting now.");
                means.shell.stop();
            }
        }
    }
}

/// A signal is obeyed by the housekeeping, which may be resting; until then SHUTDOWN ABORT can take it back.
async fn may_end(state: &State) -> bool {
    state.persistence.is_ending.store(true, Ordering::Release);
    while state.is_cron_paused.load(Ordering::Relaxed) {
        tokio::time::sleep(PAUSE).await;
    }
    state.persistence.is_ending.swap(false, Ordering::AcqRel)
}

/// What a server says of itself: what a crash loses.
pub fn promise(config: &Config) -> String {
    if config.bool(const { id("appendonly") }) {
        let loses = match config.choice(const { id("appendfsync") }) {
            "always" => "a crash loses nothing that was acknowledged",
            "no" => "a power cut loses what the system had not written yet",
            _ => "a power cut loses up to a second",
        };
        return format!("append-only file: {loses}");
    }
    let rules = config.save_rules();
    if rules.is_empty() {
        return "no snapshots: data ends with the process".to_owned();
    }
    let rule =
        |rule: &russet_config::SaveRule| format!("{} changes in {} s", rule.changes, rule.seconds);
    let rules: Vec<String> = rules.iter().map(rule).collect();
    format!("snapshots after {}: a crash loses what came after the last", rules.join(" or "))
}
