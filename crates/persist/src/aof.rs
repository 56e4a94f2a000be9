//! The append-only file: what the journal says, in files that stand one behind the other.
//!
//! ```text
//! appendonlydir/appendonly.aof.manifest          which files, in which order
//! appendonlydir/appendonly.aof.3.base.rdb        all data of one moment
//! appendonlydir/appendonly.aof.4.incr.aof        what came after it
//! ```
//!
//! **Writing.** Threads that serve clients write, the first that has replies to send for all ([`Log::push`]); a thread of its own
//! ([`Log::run`]) syncs, and under `appendfsync always` writes too: all that came in while it synced is the next block, and where a sync
//! is slow, what comes in soon after ([`company`]). Replies wait for it in [`russet_dispatch::aof::Aof`].
//!
//! **A new base** is written by the thread that saves ([`rewrite`]): the next increment is made and named in the manifest; at the base's
//! moment, under the locks of all shards, the journal is cut; right after it the old increment is written to the cut, synced, and left.
//! When the base is on the disk, it and the new increment replace all others in the manifest.
//!
//! **Failing.** A file whose write or sync has failed is never touched again: commands that write are refused, and a new base with a new
//! increment is tried until it is on the disk. That increment is in no manifest before its base is.
//!
//! Locks: `files` is held by whoever changes which files there are, `tail` by whoever writes; both during input and output, so never
//! together with a shard. `desk` is held for moments, also under the locks of shards.

pub(crate) mod block;
mod company;
pub mod manifest;
mod place;
mod plain;
pub(crate) mod reader;
pub(crate) mod recover;
mod rewrite;
mod tail;

use std::io;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use russet_config::id;
use russet_dispatch::State;
use russet_dispatch::aof::Awaited;
use russet_dispatch::state::rule;
use russet_journal::{Lsn, Reader, Stop};
use rustix::thread::set_current_timer_slack;

pub use self::place::Place;
pub use self::reader::LogError;
pub use self::recover::RecoverError;

use self::company::Company;
use self::manifest::{Manifest, Part};
use self::tail::{Increment, Style, Tail};
use crate::vfs::Vfs;

/// Under everysec, for how long what was written may wait until its sync begins: a second, less the time that a sync takes as a rule.
const SYNC_PERIOD: Duration = Duration::from_millis(800);

/// By how much a step of waiting for others may be longer.
const TIMER_SLACK_NS: Option<NonZeroU64> = NonZeroU64::new(1000);

/// How often it is looked for what nobody waits for.
const LOOK: Duration = Duration::from_millis(50);

/// Nothing has been written for so long: the file says that all of it is on the disk.
const REST: Duration = Duration::from_secs(1);

/// `appendfsync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Always,
    EverySecond,
    Never,
}

/// What lies between those who write, sync, save and configure.
#[derive(Debug, Default)]
struct Desk {
    /// What makes the tail stop.
    stop: Option<Stop>,
    /// Who reads from the moment of a base on, where nobody has read before.
    reader: Option<Reader>,
    /// The journal's position at the moment of the last base.
    moment: Lsn,
    failure: Option<io::Error>,
    /// The tail that has failed. It goes on following the journal until nobody writes any more: what is not recorded is not waited for.
    broken: Option<Tail>,
    is_ending: bool,
}

/// Which files there are.
#[derive(Debug, Default)]
struct Files {
    manifest: Manifest,
    /// Which increment is being written.
    current: Option<Part>,
    /// What is written after the next moment.
    next: Option<(Part, Increment)>,
}

/// The append-only file of one server.
#[derive(Debug)]
pub struct Log {
    state: &'static State,
    vfs: Arc<dyn Vfs>,
    files: Mutex<Files>,
    tail: Mutex<Option<Tail>>,
    desk: Mutex<Desk>,
    /// Held by who says that the log is in use, or is not any more: both are several steps. Taken before the tail.
    verdict: Mutex<()>,
    changed: Condvar,
    is_called: AtomicBool,
}

impl Log {
    /// None yet.
    pub fn new(state: &'static State, vfs: Arc<dyn Vfs>) -> Self {
        Self {
            state,
            vfs,
            files: Mutex::default(),
            tail: Mutex::default(),
            desk: Mutex::default(),
            verdict: Mutex::default(),
            changed: Condvar::new(),
            is_called: AtomicBool::new(false),
        }
    }

    fn policy(&self) -> Policy {
        let config = self.state.config.load();
        let is_saving = self.state.persistence.is_busy() || self.state.aof.is_rewriting();
        if is_saving && config.bool(const { id("no-appendfsync-on-rewrite") }) {
            return Policy::Never;
        }
        match config.choice(const { id("appendfsync") }) {
            "always" => Policy::Always,
            "no" => Policy::Never,
            _ => Policy::EverySecond,
        }
    }

    fn style(&self) -> Style {
        let config = self.state.config.load();
        let with_time = config.bool(const { id("aof-timestamp-enabled") });
        Style {
            with_header: config.bool(const { id("aof-checksum") }),
            now_s: with_time.then(|| self.state.clock.now() / 1000),
            with_room: false,
        }
    }

    /// Somebody has replies that wait: under `always` the thread that syncs is called, otherwise everything is written right here,
    /// unless somebody else is at it, who then does it.
    pub fn push(&self) {
        if self.state.aof.awaited() == Awaited::Sync {
            // First: whoever is called looks at how many have come.
            self.state.aof.come();
            return self.call();
        }
        loop {
            let Some(mut tail) = self.tail.try_lock() else { return };
            if self.write(&mut tail).is_none_or(|tail| tail.has_stopped()) {
                return;
            }
            drop(tail);
            // Who came while the tail was held has left: what they appended must be seen here.
            fence(Ordering::SeqCst);
            if self.state.journal.end() <= self.state.aof.written() {
                return;
            }
        }
    }

    /// Writes everything there is. If that fails, there is no tail any more.
    fn write<'t>(&self, tail: &'t mut Option<Tail>) -> Option<&'t mut Tail> {
        let aof = &self.state.aof;
        let with_room = aof.awaited() == Awaited::Sync;
        match tail.as_mut()?.write(Style { with_room, ..self.style() }) {
            Ok(0) => {}
            Ok(bytes) => drop(aof.bytes.fetch_add(bytes, Ordering::Relaxed)),
            Err(error) => {
                self.broke(tail.take(), error);
                return None;
            }
        }
        let tail = tail.as_mut()?;
        aof.wrote(tail.position());
        if !self.state.journal.is_full()
            && self.state.rules.load(Ordering::Relaxed) & rule::LAGGING != 0
        {
            self.state.set_rule(rule::LAGGING, false);
        }
        Some(tail)
    }

    /// Writes and syncs everything that the journal has.
    pub(crate) fn flush(&self) {
        let synced = self.write(&mut self.tail.lock()).map(Tail::sync);
        match synced {
            Some(Ok(lsn)) => self.acknowledge(lsn),
            Some(Err(error)) => self.break_tail(error),
            None => {}
        }
    }

    /// Calls the thread: there is something to sync, or to close.
    pub fn call(&self) {
        if !self.is_called.swap(true, Ordering::SeqCst) {
            // Under the lock, or the thread could be about to wait.
            drop(self.desk.lock());
            self.changed.notify_all();
        }
    }

    /// The tail has failed, whoever noticed.
    fn broke(&self, tail: Option<Tail>, error: io::Error) {
        let mut desk = self.desk.lock();
        desk.broken = tail.or(desk.broken.take());
        desk.failure.get_or_insert(error);
        drop(desk);
        self.call();
    }

    /// Writes and syncs until [`Log::end`]. A panic is one more way to fail.
    pub fn run(&self) {
        // Where the system knows no such precision, the steps of `gather` are a little longer.
        set_current_timer_slack(TIMER_SLACK_NS).ok();
        while catch_unwind(AssertUnwindSafe(|| self.serve())).is_err() {
            self.break_tail(io::Error::other("whoever writes it panicked"));
        }
    }

    fn serve(&self) {
        let mut company = Company::default();
        loop {
            self.is_called.store(false, Ordering::SeqCst);
            let policy = self.policy();
            self.settle(policy);
            self.rest(policy);
            if policy == Policy::Always {
                self.gather(&mut company);
            }
            let came = self.state.aof.came();
            self.write(&mut self.tail.lock());
            if let Some(took) = self.sync_if_due(policy) {
                company.note(took, came, self.state.aof.came());
            }
            let mut desk = self.desk.lock();
            if let Some(error) = desk.failure.take() {
                drop(desk);
                self.fail(&error);
                continue;
            }
            let is_closing = &self.state.aof.is_closing;
            if desk.is_ending || is_closing.load(Ordering::Acquire) {
                let is_ending = desk.is_ending;
                drop(desk);
                self.close();
                let desk = self.desk.lock();
                is_closing.store(false, Ordering::Release);
                drop(desk);
                self.changed.notify_all();
                if is_ending {
                    return;
                }
                continue;
            }
            if self.is_called.load(Ordering::SeqCst) {
                continue;
            }
            let is_idle = desk.stop.is_none();
            let time = if is_idle { Duration::from_hours(1) } else { LOOK };
            self.changed.wait_for(&mut desk, time);
        }
    }

    /// Waits for those who are about to want a sync, too, if there is something to sync.
    fn gather(&self, company: &mut Company) {
        let aof = &self.state.aof;
        if self.state.journal.end() > aof.written() {
            company.gather(|| aof.came(), std::thread::park_timeout);
        }
    }

    /// Does nothing for a while, as a test has asked.
    fn rest(&self, policy: Policy) {
        let time = Duration::from_micros(self.state.aof.sleep_us.load(Ordering::Relaxed));
        if policy == Policy::Always && !time.is_zero() {
            std::thread::park_timeout(time);
        }
    }

    /// Has replies wait for what `appendfsync` says, if there is anything to wait for.
    fn settle(&self, policy: Policy) {
        let aof = &self.state.aof;
        if !aof.is_enabled.load(Ordering::Relaxed) || aof.needs_base.load(Ordering::Relaxed) {
            return;
        }
        aof.set_awaited(match policy {
            Policy::Always => Awaited::Sync,
            Policy::EverySecond | Policy::Never => Awaited::Write,
        });
    }

    /// Answers how long that took, if it was due.
    fn sync_if_due(&self, policy: Policy) -> Option<Duration> {
        let unsynced = {
            let tail = self.tail.lock();
            let tail = tail.as_ref()?;
            let is_due = match policy {
                Policy::Always => true,
                Policy::EverySecond => {
                    tail.unsynced_since().is_some_and(|since| since.elapsed() >= SYNC_PERIOD)
                }
                Policy::Never => false,
            };
            let unsynced = tail.unsynced().filter(|_| is_due);
            if unsynced.is_none() && tail.unsynced_since().is_none() {
                self.acknowledge(tail.position());
            }
            unsynced
        };
        let began = Instant::now();
        match unsynced.as_ref().map(tail::Unsynced::sync) {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                self.break_tail(error);
                return None;
            }
            None => {
                if policy != Policy::Never {
                    self.seal_if_idle();
                }
                return None;
            }
        }
        let took = began.elapsed();
        if took > SYNC_PERIOD {
            self.state.aof.delayed.fetch_add(1, Ordering::Relaxed);
        }
        if let (Some(tail), Some(unsynced)) = (self.tail.lock().as_mut(), &unsynced) {
            tail.has_synced(unsynced);
            self.acknowledge(unsynced.at);
        }
        Some(took)
    }

    /// Everything up to a position is on the disk, if its base is: behind one that is still to be written nothing is safe.
    fn acknowledge(&self, lsn: Lsn) {
        let aof = &self.state.aof;
        if !aof.needs_base.load(Ordering::Acquire) {
            aof.has_synced(lsn);
        }
    }

    fn seal_if_idle(&self) {
        let mut tail = self.tail.lock();
        let Some(it) = tail.as_mut().filter(|tail| tail.is_idle(REST)) else { return };
        if let Err(error) = it.seal(self.style()) {
            self.broke(tail.take(), error);
        }
    }

    fn break_tail(&self, error: io::Error) {
        let tail = self.tail.lock().take();
        self.broke(tail, error);
    }

    /// The files are not touched again. If replies have waited for them, commands that write are refused from here on.
    fn fail(&self, error: &io::Error) {
        tracing::error!(%error, "the append-only file cannot be written: a new one will be tried");
        let _verdict = self.verdict.lock();
        let aof = &self.state.aof;
        // First: a tail that comes after this one waits for its base.
        let was_in_use =
            aof.is_enabled.load(Ordering::Relaxed) && !aof.needs_base.swap(true, Ordering::AcqRel);
        let tail = self.tail.lock().take();
        let mut desk = self.desk.lock();
        desk.stop = None;
        let broken = (tail, desk.broken.take());
        drop(desk);
        if !aof.is_enabled.load(Ordering::Relaxed) {
            return;
        }
        self.state.set_rule(rule::LAGGING, false);
        if !was_in_use {
            return;
        }
        aof.set_failure(&plain(error));
        self.state.set_rule(rule::UNLOGGED, true);
        // Whoever judged by the rules from before is through when every shard has been passed once.
        self.state.barrier();
        aof.doubt(self.state.journal.end());
        drop(broken);
    }

    /// Ends the file in order.
    fn close(&self) {
        let mut tail = self.tail.lock();
        let Some(mut it) = tail.take() else { return };
        let style = self.style();
        let written = it.write(style).and_then(|_| it.sync()).and_then(|lsn| {
            self.state.aof.has_synced(lsn);
            it.seal(style)
        });
        if let Err(error) = written {
            tracing::error!(%error, "the end of the append-only file may not be on the disk");
        }
        self.desk.lock().stop = None;
    }

    /// Removes what is no longer needed, if it may.
    pub fn collect(&self) {
        let mut files = self.files.lock();
        self.forget_history(&Place::new(self.state), &mut files);
    }

    /// The process ends: everything is written and synced, then [`Log::run`] ends.
    pub fn end(&self) {
        self.desk.lock().is_ending = true;
        self.call();
    }

    /// Waits until a file that is being closed is.
    fn await_closed(&self) {
        self.call();
        let mut desk = self.desk.lock();
        while self.state.aof.is_closing.load(Ordering::Acquire) && !desk.is_ending {
            self.changed.wait(&mut desk);
        }
    }

    /// Sums up what all parts take right after a base, but for the room behind the one that is being written.
    fn count_bytes(&self, place: &Place, files: &Files) {
        let written = self.tail.lock().as_ref().map(Tail::len);
        let len = |part: &Part| {
            if let Some(written) = written.filter(|_| files.current.as_ref() == Some(part)) {
                return written;
            }
            length(self.vfs.as_ref(), &place.file(part)).unwrap_or_else(|error| {
                tracing::warn!(%error, "INFO tells less than the append-only file takes");
                0
            })
        };
        let Manifest { base, increments, .. } = &files.manifest;
        let bytes = base.iter().chain(increments).map(len).sum();
        let aof = &self.state.aof;
        aof.bytes.store(bytes, Ordering::Relaxed);
        aof.base_bytes.store(bytes, Ordering::Relaxed);
    }
}

/// How many bytes a file has.
fn length(vfs: &dyn Vfs, path: &Path) -> io::Result<u64> {
    vfs.open(path)?.len()
}

/// An error without its number, as Redis prints it.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
