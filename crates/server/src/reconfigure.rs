//! CONFIG SET where noting the new value is not enough: sockets, limits and files of the process.
//!
//! All or nothing: what can fail is tried first, in an order in which each step can be taken back.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use russet_config::{Config, Id, SetError, id};
use russet_dispatch::State;
use russet_dispatch::request::Change;

use crate::host;
use crate::limits::{self, TooMany};
use crate::listener::Listeners;
use crate::log;
use crate::metrics;
use crate::tasks::{Answer, Doors, Means};
use crate::unbuilt::{self, TLS, TLS_PORT};

const APPEND_ONLY: Id = id("appendonly");
const KEEPS_HISTORY: Id = id("aof-disable-auto-gc");
const BIND: Id = id("bind");
const DIR: Id = id("dir");
const PORT: Id = id("port");
const SCORE: Id = id("oom-score-adj");
const SCORES: Id = id("oom-score-adj-values");
const METRICS_BIND: Id = id("metrics-bind");
const METRICS_PORT: Id = id("metrics-port");

/// Between two looks whether a log that was switched off has been written to its end.
const PAUSE: Duration = Duration::from_millis(1);

/// Carries a change out. The lock keeps changes of this kind apart; others may come between.
pub(crate) async fn reconfigure(means: &Means, change: &Change) -> Answer {
    let state = means.state;
    let mut doors = means.doors.lock().await;
    let mut next = Config::clone(&state.config.load());
    let changed = next.set(&change.pairs(), change.caller).map_err(text)?;
    let before = std::env::current_dir();
    let applied = match apply_to_process(&next, &changed) {
        Ok(()) => listen_all(&mut doors, state, &next, &changed).await,
        refused => refused,
    };
    if let Err(error) = applied {
        take_back(&state.config.load(), &changed, before);
        return Err(text(error));
    }
    state.reconfigure(change, note_directory).map_err(text)?;
    log::follow(&state.config.load());
    state.switch_log();
    means.shell.log.call();
    if !next.bool(APPEND_ONLY) {
        // What was begun for it is given up, and what was written is on the disk, before anybody is told.
        while state.aof.is_closing.load(Ordering::Acquire)
            || state.aof.is_rewriting() && state.aof.is_cancelled.load(Ordering::Acquire)
        {
            tokio::time::sleep(PAUSE).await;
        }
    }
    if changed.contains(&KEEPS_HISTORY) {
        means.shell.log.collect();
    }
    Ok(())
}

/// Back to how the process was: it was so a moment ago.
fn take_back(config: &Config, changed: &[Id], directory: io::Result<PathBuf>) {
    drop(directory.and_then(std::env::set_current_dir));
    if changed.contains(&SCORE) || changed.contains(&SCORES) {
        drop(host::adjust_score(config));
    }
}

fn text(error: SetError) -> String {
    match error {
        SetError::Loading => error.to_string(),
        _ => format!("ERR {error}"),
    }
}

/// `dir` is kept as an absolute path.
fn note_directory(config: &mut Config, changed: &[Id]) -> Result<(), SetError> {
    if !changed.contains(&DIR) {
        return Ok(());
    }
    let failed = |reason: String| SetError::failed(DIR.name(), reason);
    let here = std::env::current_dir().map_err(|error| failed(error.to_string()))?;
    config.assign(DIR, &here.to_string_lossy()).map_err(failed)
}

fn apply_to_process(next: &Config, changed: &[Id]) -> Result<(), SetError> {
    const MAX_CLIENTS: Id = id("maxclients");
    if changed.contains(&TLS_PORT) {
        return Err(SetError::failed(TLS_PORT.name(), unbuilt::sentence(TLS)));
    }
    if changed.contains(&MAX_CLIENTS) {
        limits::make_room(next).map_err(|TooMany { room }| {
            let reason =
                format!("The operating system is not able to handle the specified number of clients, try with {room}");
            SetError::failed(MAX_CLIENTS.name(), reason)
        })?;
    }
    if changed.contains(&SCORE) || changed.contains(&SCORES) {
        host::adjust_score(next).map_err(|error| {
            tracing::warn!(%error, "Unable to write oom_score_adj");
            let name = if changed.contains(&SCORE) { SCORE } else { SCORES };
            let reason = "Failed to apply new oom_score_adj configuration, check server logs.";
            SetError::failed(name.name(), reason)
        })?;
    }
    if changed.contains(&DIR) {
        let entered = std::env::set_current_dir(Path::new(next.text(DIR)));
        entered.map_err(|error| SetError::failed(DIR.name(), error.to_string()))?;
    }
    Ok(())
}

async fn listen_all(
    doors: &mut Doors,
    state: &State,
    next: &Config,
    changed: &[Id],
) -> Result<(), SetError> {
    listen_for_metrics(&mut doors.metrics, state, next, changed).await?;
    let listening = listen(&mut doors.clients, next, changed).await;
    if listening.is_err() {
        // Metrics, too, are served where they were.
        drop(
            listen_for_metrics(&mut doors.metrics, state, &state.config.load_full(), changed).await,
        );
    }
    listening
}

/// Metrics are served where the new configuration says, or where the old one did.
async fn listen_for_metrics(
    door: &mut metrics::Door,
    state: &State,
    next: &Config,
    changed: &[Id],
) -> Result<(), SetError> {
    let Some(name) = [METRICS_PORT, METRICS_BIND].into_iter().find(|id| changed.contains(id))
    else {
        return Ok(());
    };
    if let Err(error) = door.exchange(next).await {
        tracing::warn!(%error, "could not serve metrics as CONFIG SET asked");
        // It was possible a moment ago.
        drop(door.exchange(&state.config.load_full()).await);
        let reason = "Unable to listen on this port. Check server logs.";
        return Err(SetError::failed(name.name(), reason));
    }
    Ok(())
}

async fn listen(listeners: &mut Listeners, next: &Config, changed: &[Id]) -> Result<(), SetError> {
    let of_port = changed.contains(&PORT);
    if !of_port && !changed.contains(&BIND) {
        return Ok(());
    }
    let (name, reason) = if of_port {
        (PORT.name(), "Unable to listen on this port. Check server logs.")
    } else {
        (BIND.name(), "Failed to bind to specified addresses.")
    };
    let exchanged: io::Result<()> = listeners.exchange(next).await;
    exchanged.map_err(|error| {
        tracing::warn!(%error, "could not listen as CONFIG SET asked");
        SetError::failed(name, reason)
    })
}
