//! A new base: all data of one moment, and an increment for what comes after it.
//!
//! | step | the manifest says | a crash here loses |
//! |---|---|---|
//! | the next increment is made, and named behind the others | base 1, increments 1, 2 | nothing: 2 is empty |
//! | the moment; increment 1 is written to its end and synced | the same | nothing |
//! | base 2 is written, and has its name | the same | nothing |
//! | the manifest is replaced | base 2, increment 2, the others as history | nothing |
//! | the others are removed, and the manifest says so | base 2, increment 2 | nothing |
//!
//! If there is no log that is in use, since it is switched on or has failed, the next increment stands in no manifest before base 2 does.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use russet_config::id;
use russet_dispatch::state::rule;

use super::manifest::{Manifest, Part, Role};
use super::tail::{Increment, Tail};
use super::{Files, Log, Place};
use crate::snapshot::{Occasion, Report, SaveError, save};
use crate::vfs::directory_of;

/// The moment of a base.
#[derive(Debug)]
struct Base<'l> {
    log: &'l Log,
    /// Whether there is a log that goes on behind it.
    goes_on: bool,
}

impl Occasion for Base<'_> {
    fn is_base(&self) -> bool {
        true
    }

    fn is_cancelled(&self) -> bool {
        self.log.state.aof.is_cancelled.load(Ordering::Acquire)
    }

    fn at_moment(&self) {
        if self.goes_on {
            self.log.cut();
        }
    }

    fn after_moment(&self) -> io::Result<()> {
        if self.goes_on { self.log.go_on() } else { Ok(()) }
    }
}

impl Log {
    /// Writes a new base, as a snapshot or as commands. One at a time.
    pub(crate) fn rewrite(&self, is_snapshot: bool) -> Result<Report, SaveError> {
        let place = Place::new(self.state);
        self.await_closed();
        let goes_on = self.state.aof.is_enabled.load(Ordering::Relaxed);
        self.make_directory(&place)?;
        let result = self.prepare(&place, goes_on).map_err(SaveError::from).and_then(|()| {
            let base = place.next_base(&self.files.lock().manifest, is_snapshot);
            let report = self.write_base(&place.file(&base), is_snapshot, goes_on)?;
            if let Err(error) = self.adopt(&place, &base, goes_on) {
                self.keep_or_remove(&place, base);
                return Err(error.into());
            }
            Ok(report)
        });
        if result.is_err() {
            self.give_up();
        }
        result
    }

    /// Writes a base, as a snapshot or as commands. It has its name then, for good.
    fn write_base(
        &self,
        path: &Path,
        is_snapshot: bool,
        goes_on: bool,
    ) -> Result<Report, SaveError> {
        let occasion = Base { log: self, goes_on };
        if is_snapshot {
            return save(self.state, &self.vfs, path, &occasion);
        }
        let snapshot = path.with_file_name(format!("temp-base-{}.rdb", std::process::id()));
        let mut report = save(self.state, &self.vfs, &snapshot, &occasion)?;
        let vfs = self.vfs.as_ref();
        let told = super::plain::tell(vfs, &snapshot, path, self.style()).and_then(|()| {
            vfs.sync_directory(directory_of(path))?;
            super::length(vfs, path)
        });
        // What is left of it is removed at the next start.
        drop(vfs.remove(&snapshot));
        report.bytes = told.inspect_err(|_| drop(vfs.remove(path)))?;
        Ok(report)
    }

    fn make_directory(&self, place: &Place) -> io::Result<()> {
        self.vfs.create_directory(place.directory())?;
        self.vfs.sync_directory(directory_of(place.directory()))
    }

    /// Makes the increment for what comes after the moment.
    fn prepare(&self, place: &Place, goes_on: bool) -> io::Result<()> {
        let mut files = self.files.lock();
        if files.manifest == Manifest::default() {
            files.manifest = self.find(place).map_err(io::Error::other)?.unwrap_or_default();
        }
        if !goes_on {
            return Ok(());
        }
        let part = place.next_increment(&files.manifest);
        let increment = Increment::create(self.vfs.as_ref(), &place.file(&part), self.style());
        let increment = increment.and_then(|increment| {
            self.vfs.sync_directory(place.directory())?;
            Ok(increment)
        });
        let increment = increment.inspect_err(|_| {
            // It is named nowhere; what cannot be removed is made anew under the same name.
            drop(self.vfs.remove(&place.file(&part)));
        })?;
        if !self.state.aof.needs_base.load(Ordering::Relaxed) {
            // From here on it may be named on the disk, whatever the replacing says.
            files.manifest.increments.push(part.clone());
            self.vfs.replace(&place.manifest(), files.manifest.text().as_bytes())?;
        }
        files.next = Some((part, increment));
        Ok(())
    }

    /// At the moment, under the locks of all shards: what comes from here on belongs to the next increment.
    fn cut(&self) {
        let mut desk = self.desk.lock();
        desk.moment = if let Some(stop) = &desk.stop {
            self.state.journal.cut(stop)
        } else {
            let reader = self.state.journal.follow_all();
            let moment = reader.position();
            desk.reader = Some(reader);
            moment
        };
    }

    /// Right after the moment: the old increment is written to its end, and the next one is the tail.
    fn go_on(&self) -> io::Result<()> {
        let reader = self.desk.lock().reader.take();
        let mut files = self.files.lock();
        let Some((part, increment)) = files.next.take() else {
            return Err(io::ErrorKind::Interrupted.into());
        };
        let mut tail = self.tail.lock();
        match (tail.as_mut(), reader) {
            (Some(it), None) => {
                if let Err(error) = self.turn(it, increment) {
                    let told = io::Error::new(error.kind(), error.to_string());
                    self.broke(tail.take(), error);
                    return Err(told);
                }
            }
            // A part that is named already comes behind one that may be torn now.
            (None, Some(reader)) if !files.manifest.increments.contains(&part) => {
                let it = Tail::new(reader, increment);
                self.desk.lock().stop = Some(it.stop());
                *tail = Some(it);
            }
            _ => return Err(io::Error::other("the append-only file failed at the same time")),
        }
        files.current = Some(part);
        drop(tail);
        self.call();
        Ok(())
    }

    fn turn(&self, tail: &mut Tail, next: Increment) -> io::Result<()> {
        let style = self.style();
        tail.write(style)?;
        let lsn = tail.sync()?;
        tail.seal(style)?;
        self.state.aof.has_synced(lsn);
        tail.go_on(next);
        Ok(())
    }

    /// The base is on the disk: it and what came after it are all that is needed from here on.
    fn adopt(&self, place: &Place, base: &Part, goes_on: bool) -> io::Result<()> {
        let mut files = self.files.lock();
        let aof = &self.state.aof;
        let is_lost = goes_on && self.tail.lock().is_none();
        if is_lost || aof.is_cancelled.load(Ordering::Acquire) {
            return Err(lost());
        }
        let current = if goes_on { files.current.clone() } else { None };
        let is_needed = |part: &Part| Some(part) == current.as_ref() || part.name == base.name;
        let before = &files.manifest;
        // Who went last stands first, as Redis writes it.
        let others = before.increments.iter().chain(&before.base).chain(&before.history);
        let others = others.filter(|part| !is_needed(part));
        let history = others.map(|part| Part { role: Role::History, ..part.clone() }).collect();
        let increments = current.clone().into_iter().collect();
        let next = Manifest { base: Some(base.clone()), increments, history };
        let replaced = self.vfs.replace(&place.manifest(), next.text().as_bytes());
        if let Err(error) = replaced {
            // The new one may be on the disk all the same: nothing that it names may go.
            files.manifest.history.push(Part { role: Role::History, ..base.clone() });
            let is_named = |part: &Part| files.manifest.files().any(|other| other == part);
            if let Some(part) = current.filter(|part| !is_named(part)) {
                files.manifest.history.push(Part { role: Role::History, ..part });
            }
            return Err(error);
        }
        files.manifest = next;
        self.forget_history(place, &mut files);
        self.count_bytes(place, &files);
        drop(files);
        if goes_on {
            // Whoever finds the tail broken takes it away and then has writes refused: not before this, unless it is seen here.
            let _verdict = self.verdict.lock();
            let tail = self.tail.lock();
            if tail.is_none() {
                return Err(lost());
            }
            self.trust();
        }
        Ok(())
    }

    /// The log is in use from here on, if it was not. The caller holds the verdict and the tail.
    fn trust(&self) {
        let aof = &self.state.aof;
        aof.has_synced(self.desk.lock().moment);
        aof.needs_base.store(false, Ordering::Relaxed);
        aof.set_failure("");
        aof.trust();
        self.settle(self.policy());
        self.state.set_rule(rule::UNLOGGED, false);
        self.call();
    }

    /// Removes what is no longer needed; what cannot be removed is tried again with the next base.
    pub(super) fn forget_history(&self, place: &Place, files: &mut Files) {
        let keeps = self.state.config.load().bool(const { id("aof-disable-auto-gc") });
        if keeps || files.manifest.history.is_empty() {
            return;
        }
        files.manifest.history.retain(|part| match self.vfs.remove(&place.file(part)) {
            Ok(()) => false,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        });
        let text = files.manifest.text();
        if let Err(error) = self.vfs.replace(&place.manifest(), text.as_bytes()) {
            tracing::warn!(%error, "the manifest still names files that are gone");
        }
    }

    /// A base that was not adopted goes, unless the manifest may name it.
    fn keep_or_remove(&self, place: &Place, base: Part) {
        let may_be_named = self.files.lock().manifest.files().any(|part| part.name == base.name);
        if !may_be_named {
            // What cannot be removed is written over: the next base has the same number.
            drop(self.vfs.remove(&place.file(&base)));
        }
    }

    /// There is no new base. What was begun for it goes, unless it belongs to a log that is in use.
    pub(crate) fn give_up(&self) {
        let place = Place::new(self.state);
        self.desk.lock().reader = None;
        let mut files = self.files.lock();
        let prepared = files.next.take().map(|(part, _)| part);
        let is_in_use = !self.state.aof.needs_base.load(Ordering::Relaxed);
        let begun = if is_in_use { None } else { files.current.take() };
        if !is_in_use {
            *self.tail.lock() = None;
            self.desk.lock().stop = None;
        }
        for part in prepared.into_iter().chain(begun) {
            if !files.manifest.files().any(|named| named.name == part.name) {
                // As with a base.
                drop(self.vfs.remove(&place.file(&part)));
            }
        }
    }
}

/// A new base is of no use: what was to come behind it is gone.
fn lost() -> io::Error {
    io::Error::other("the append-only file failed or was closed meanwhile")
}
