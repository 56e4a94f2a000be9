//! The thread that saves: carries out one wish after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use russet_config::id;
use russet_dispatch::State;
use russet_dispatch::persistence::{Answer, Contents, Recipient, Reload, Wish};
use russet_dispatch::scripting::Libraries;
use russet_dispatch::state::rule;
use russet_engine::{Held, Shard};

use crate::aof::{Log, RecoverError};
use crate::load::{LoadError, Manner, SnapshotError, exists, load, load_held};
use crate::parcel;
use crate::snapshot::{Plain, Report, SaveError, abandon, hold_all, save, save_held};
use crate::vfs::Vfs;

/// Why the data that is there was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The snapshot.
    #[error("{path}: {error}")]
    Snapshot {
        /// Where it is.
        path: String,
        /// Why.
        error: LoadError,
    },
    /// The append-only file.
    #[error(transparent)]
    Aof(#[from] RecoverError),
}

/// Saves and loads for one server.
#[derive(Clone, Debug)]
pub struct Saver {
    state: &'static State,
    vfs: Arc<dyn Vfs>,
    log: Arc<Log>,
}

impl Saver {
    /// For a server and its files.
    pub fn new(state: &'static State, vfs: Arc<dyn Vfs>, log: Arc<Log>) -> Self {
        Self { state, vfs, log }
    }

    /// Where the snapshot is, as configured now.
    pub fn path(&self) -> PathBuf {
        let config = self.state.config.load();
        PathBuf::from(config.text(const { id("dir") }))
            .join(config.text(const { id("dbfilename") }))
    }

    /// Carries out wishes until the last one.
    pub fn run(&self) {
        loop {
            match self.state.persistence.next_wish() {
                Wish::Save(answer) => {
                    let is_told = answer.is_some();
                    self.save(answer, is_told);
                }
                Wish::SaveAnew(answer) => self.save(answer, false),
                Wish::Reload(how, answer) => {
                    let reload = catch_unwind(AssertUnwindSafe(|| self.reload(how)));
                    answer(reload.unwrap_or_else(|_| Err(SaveError::Panicked.to_string())));
                }
                Wish::Rewrite { is_snapshot } => self.rewrite(is_snapshot),
                Wish::LoadAof(answer) => answer(self.load_aof()),
                Wish::Send(contents, recipient) => self.send(contents, recipient),
                Wish::End => return,
            }
        }
    }

    /// Loads the append-only file if there is to be one, or the snapshot, if there is one.
    pub fn load(&self) -> Result<(), StartError> {
        let path = self.path();
        if self.state.config.load().bool(const { id("appendonly") }) {
            return Ok(self.log.recover(&path)?);
        }
        self.load_snapshot(&path).map_err(|error| StartError::Snapshot {
            path: path.to_string_lossy().into_owned(),
            error,
        })
    }

    fn load_snapshot(&self, path: &Path) -> Result<(), LoadError> {
        if !exists(&self.vfs, path).map_err(SnapshotError::Open)? {
            return Ok(());
        }
        let began = Instant::now();
        let loaded = load(self.state, self.vfs.as_ref(), path, Manner::default())?;
        tracing::info!(
            "Done loading RDB, keys loaded: {}, keys expired: {}, empty keys skipped: {}.",
            loaded.keys,
            loaded.expired,
            loaded.empty
        );
        tracing::info!("DB loaded from disk: {:.3} seconds", began.elapsed().as_secs_f64());
        Ok(())
    }

    /// Saves. A failure that somebody is told of does not make others wait for a snapshot that succeeds.
    fn save(&self, answer: Option<Answer>, is_told: bool) {
        let persistence = &self.state.persistence;
        // As a rule whoever wishes it has said so.
        persistence.begin_saving(is_told);
        persistence.begun.fetch_add(1, Ordering::Relaxed);
        persistence.began_ms.store(self.state.clock.now(), Ordering::Relaxed);
        persistence.tried_s.store(self.state.clock.now() / 1000, Ordering::Relaxed);
        let began = Instant::now();
        let path = self.path();
        let occasion = Plain(self.state);
        let saved =
            catch_unwind(AssertUnwindSafe(|| save(self.state, &self.vfs, &path, &occasion)));
        let result = saved.unwrap_or_else(|_| {
            abandon(self.state, &self.vfs, &path);
            Err(SaveError::Panicked)
        });
        let took_s = i64::try_from(began.elapsed().as_secs()).unwrap_or(i64::MAX);
        persistence.took_s.store(took_s, Ordering::Relaxed);
        let result = self.note(result, is_told);
        persistence.end_saving();
        if let Some(answer) = answer {
            answer(result);
        }
    }

    /// Makes a snapshot for all clients that have asked for one with this in it. Those who get none hear of that by not being needed any
    /// more.
    fn send(&self, contents: Contents, first: Box<dyn Recipient>) {
        let persistence = &self.state.persistence;
        let mut recipients = vec![first];
        recipients.extend(persistence.take_recipients(contents));
        recipients.retain(|recipient| !recipient.is_gone());
        if recipients.is_empty() || persistence.is_leaving.load(Ordering::Acquire) {
            return;
        }
        let began = Instant::now();
        persistence.begin_packing(self.state.clock.now());
        let pack = || parcel::pack(self.state, &self.vfs, contents, &recipients);
        let packed = catch_unwind(AssertUnwindSafe(pack)).unwrap_or_else(|_| {
            drop(self.vfs.remove(&parcel::place(self.state)));
            abandon(self.state, &self.vfs, &self.path());
            Err(SaveError::Panicked)
        });
        let took_s = i64::try_from(began.elapsed().as_secs()).unwrap_or(i64::MAX);
        persistence.took_s.store(took_s, Ordering::Relaxed);
        persistence.end_packing();
        match packed {
            Ok((report, parcels)) => {
                let stopped_us = u64::try_from(report.stopped.as_micros()).unwrap_or(u64::MAX);
                if contents == Contents::All {
                    persistence.stopped_us.store(stopped_us, Ordering::Relaxed);
                }
                tracing::info!(
                    "Snapshot for {} clients: {} keys in {} bytes, all shards stopped for {stopped_us} us",
                    parcels.len(),
                    report.keys,
                    report.bytes
                );
                recipients.into_iter().zip(parcels).for_each(|(one, parcel)| one.take(parcel));
            }
            Err(SaveError::Cancelled) => {
                tracing::info!("Snapshot for clients given up: nobody waits for it any more");
            }
            Err(error) => tracing::warn!(%error, "Snapshot for clients failed"),
        }
    }

    /// Writes down how a snapshot came out.
    fn note(&self, result: Result<Report, SaveError>, is_told: bool) -> Result<(), String> {
        let persistence = &self.state.persistence;
        let result = match result {
            Ok(report) => {
                let stopped_us = u64::try_from(report.stopped.as_micros()).unwrap_or(u64::MAX);
                persistence.saved_s.store(self.state.clock.now() / 1000, Ordering::Relaxed);
                persistence.changes_saved.store(report.changes, Ordering::Relaxed);
                persistence.saves.fetch_add(1, Ordering::Relaxed);
                persistence.stopped_us.store(stopped_us, Ordering::Relaxed);
                persistence.is_ok.store(true, Ordering::Relaxed);
                tracing::info!(
                    "DB saved on disk: {} keys in {} bytes, all shards stopped for {stopped_us} us",
                    report.keys,
                    report.bytes
                );
                Ok(())
            }
            // Nobody is to be kept from writing because somebody changed their mind.
            Err(SaveError::Cancelled) => {
                tracing::warn!("Background saving terminated by signal");
                Err(SaveError::Cancelled.to_string())
            }
            Err(error) => {
                tracing::warn!(%error, "Background saving error");
                if !is_told {
                    persistence.is_ok.store(false, Ordering::Relaxed);
                }
                Err(error.to_string())
            }
        };
        self.state.judge_saving();
        result
    }

    fn rewrite(&self, is_snapshot: bool) {
        let (aof, began) = (&self.state.aof, Instant::now());
        self.state.persistence.begun.fetch_add(1, Ordering::Relaxed);
        aof.began_ms.store(self.state.clock.now(), Ordering::Relaxed);
        aof.tried_ms.store(self.state.clock.now(), Ordering::Relaxed);
        let rewritten = catch_unwind(AssertUnwindSafe(|| self.log.rewrite(is_snapshot)));
        let result = rewritten.unwrap_or_else(|_| {
            abandon(self.state, &self.vfs, &self.path());
            self.log.give_up();
            Err(SaveError::Panicked)
        });
        // Who ends the log makes whatever step is under way fail.
        let is_cancelled = aof.is_cancelled.load(Ordering::Acquire);
        let result =
            result.map_err(|error| if is_cancelled { SaveError::Cancelled } else { error });
        aof.took_s
            .store(i64::try_from(began.elapsed().as_secs()).unwrap_or(i64::MAX), Ordering::Relaxed);
        match &result {
            Ok(report) => {
                aof.rewrites.fetch_add(1, Ordering::Relaxed);
                aof.failed_rewrites.store(0, Ordering::Relaxed);
                aof.is_rewrite_ok.store(true, Ordering::Relaxed);
                tracing::info!(
                    "Background AOF rewrite finished successfully: {} keys in {} bytes, all shards stopped for {} us",
                    report.keys,
                    report.bytes,
                    report.stopped.as_micros()
                );
            }
            // As with a snapshot: nothing has failed. There is no child; the words are those that somebody may look for.
            Err(SaveError::Cancelled) => {
                tracing::info!("Killing running AOF rewrite child: it is given up");
            }
            Err(error) => {
                aof.is_rewrite_ok.store(false, Ordering::Relaxed);
                aof.failed_rewrites.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, "Background AOF rewrite terminated with error");
            }
        }
        aof.end_rewriting();
    }

    /// DEBUG LOADAOF: nobody sees anything before all of it is there. What the journal still has is written first. Without a log to load
    /// the data stays as it is.
    fn load_aof(&self) -> Result<(), String> {
        let manifest = self.log.to_load_again().map_err(|error| {
            tracing::error!(%error, "DEBUG LOADAOF found nothing to load");
            error.to_string()
        })?;
        self.state.set_rule(rule::LOADING, true);
        self.state.barrier();
        self.log.flush();
        let mut held = hold_all(self.state);
        clear(&mut held);
        held.iter_mut().for_each(Shard::finish);
        drop(held);
        self.forget_libraries();
        self.log.load_again(&manifest).map_err(|error| {
            // What is in memory is not what is in the files: nobody is to be served, and nothing saved, before the next start.
            tracing::error!(%error, "DEBUG LOADAOF could not load the files");
            error.to_string()
        })?;
        self.state.set_rule(rule::LOADING, false);
        Ok(())
    }

    fn forget_libraries(&self) {
        let _changing = self.state.scripts.library_change.lock();
        self.state.scripts.set_libraries(Libraries::new());
    }

    /// DEBUG RELOAD: nobody sees anything between the old data and the new.
    fn reload(&self, how: Reload) -> Result<(), String> {
        let mut held = hold_all(self.state);
        held.mark_long();
        let path = self.path();
        if !how.no_save {
            let saved = save_held(self.state, &held, &self.vfs, &path);
            self.note(saved, true)?;
        }
        if !how.no_flush {
            clear(&mut held);
            self.forget_libraries();
        }
        let manner = Manner { merges: how.merges, keeps_expired: false };
        let loaded = load_held(self.state, &mut held, self.vfs.as_ref(), &path, manner);
        held.iter_mut().for_each(Shard::finish);
        loaded.map_err(|error| {
            tracing::warn!(%error, "DEBUG RELOAD could not load the snapshot");
            error.to_string()
        })?;
        drop(held);
        if how.no_save && self.state.aof.is_enabled.load(Ordering::Relaxed) {
            // The append-only file tells of other data.
            self.state.rewrite_log();
        }
        tracing::warn!("DB reloaded by DEBUG RELOAD");
        Ok(())
    }
}

fn clear(held: &mut Held<'_, Shard>) {
    for shard in held.iter_mut() {
        for db in 0..shard.databases() {
            shard.clear(db);
        }
    }
}
