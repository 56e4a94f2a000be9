//! The thread that saves: carries out one wish after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use russet_config::id;
use russet_dispatch::State;
use russet_dispatch::persistence::{Answer, Reload, Wish};
use russet_engine::{Held, Shard};

use crate::load::{LoadError, Loaded, Manner, exists, load, load_held};
use crate::snapshot::{Report, SaveError, abandon, hold_all, save, save_held};
use crate::vfs::Vfs;

/// Saves and loads for one server.
#[derive(Clone, Debug)]
pub struct Saver {
    state: &'static State,
    vfs: Arc<dyn Vfs>,
}

impl Saver {
    /// For a server and its files.
    pub fn new(state: &'static State, vfs: Arc<dyn Vfs>) -> Self {
        Self { state, vfs }
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
                Wish::Save(answer) => self.save(answer),
                Wish::Reload(how, answer) => {
                    let reload = catch_unwind(AssertUnwindSafe(|| self.reload(how)));
                    answer(reload.unwrap_or_else(|_| Err(SaveError::Panicked.to_string())));
                }
                Wish::End => return,
            }
        }
    }

    /// Loads the snapshot that is there, if one is.
    pub fn load(&self) -> Result<Option<Loaded>, LoadError> {
        let path = self.path();
        if !exists(&self.vfs, &path).map_err(LoadError::Open)? {
            return Ok(None);
        }
        let began = Instant::now();
        let mut loaded = load(self.state, self.vfs.as_ref(), &path, Manner::default())?;
        self.keep_functions(&mut loaded);
        tracing::info!(
            "Done loading RDB, keys loaded: {}, keys expired: {}, empty keys skipped: {}.",
            loaded.keys,
            loaded.expired,
            loaded.empty
        );
        tracing::info!("DB loaded from disk: {:.3} seconds", began.elapsed().as_secs_f64());
        Ok(Some(loaded))
    }

    /// There is nothing here to run functions: they are kept as they are, and saved again.
    fn keep_functions(&self, loaded: &mut Loaded) {
        if !loaded.functions.is_empty() {
            let count = loaded.functions.len();
            tracing::warn!(
                count,
                "libraries of functions are kept for the next snapshot, but cannot be called"
            );
        }
        *self.state.persistence.functions.lock() = std::mem::take(&mut loaded.functions);
    }

    fn save(&self, answer: Option<Answer>) {
        let persistence = &self.state.persistence;
        persistence.began_ms.store(self.state.clock.now(), Ordering::Relaxed);
        persistence.tried_s.store(self.state.clock.now() / 1000, Ordering::Relaxed);
        let began = Instant::now();
        let path = self.path();
        let saved = catch_unwind(AssertUnwindSafe(|| save(self.state, &self.vfs, &path)));
        let result = saved.unwrap_or_else(|_| {
            abandon(self.state, &self.vfs, &path);
            Err(SaveError::Panicked)
        });
        let took_s = i64::try_from(began.elapsed().as_secs()).unwrap_or(i64::MAX);
        persistence.took_s.store(took_s, Ordering::Relaxed);
        let result = self.note(result);
        persistence.end_saving();
        if let Some(answer) = answer {
            answer(result);
        }
    }

    /// Writes down how a snapshot came out.
    fn note(&self, result: Result<Report, SaveError>) -> Result<(), String> {
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
                persistence.is_ok.store(false, Ordering::Relaxed);
                Err(error.to_string())
            }
        };
        self.state.judge_saving();
        result
    }

    /// DEBUG RELOAD: nobody sees anything between the old data and the new.
    fn reload(&self, how: Reload) -> Result<(), String> {
        let mut held = hold_all(self.state);
        held.mark_long();
        let path = self.path();
        if !how.no_save {
            let saved = save_held(self.state, &held, &self.vfs, &path);
            self.note(saved)?;
        }
        if !how.no_flush {
            clear(&mut held);
        }
        let manner = Manner { merges: how.merges, keeps_expired: false };
        let loaded = load_held(self.state, &mut held, self.vfs.as_ref(), &path, manner);
        held.iter_mut().for_each(Shard::finish);
        let mut loaded = loaded.map_err(|error| {
            tracing::warn!(%error, "DEBUG RELOAD could not load the snapshot");
            error.to_string()
        })?;
        self.keep_functions(&mut loaded);
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
