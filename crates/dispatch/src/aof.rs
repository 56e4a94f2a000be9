//! How far the append-only file has come, and whose replies wait for it.
//!
//! A reply shows what it shows: also a read shows somebody's write. So while somebody follows the journal every reply carries the
//! journal's position behind what it shows, and leaves when the file has come so far: to the disk under `appendfsync always`, to the
//! system otherwise, so that a killed process loses nothing. Replies of all connections wait for the same write and the same sync.
//!
//! When the disk fails under `always`, what had been done and not synced is in doubt until a new base is on the disk: replies that
//! would show it never leave, and whoever asks for it is refused ([`Aof::is_in_doubt`]).

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::task::Waker;

use parking_lot::Mutex;
use russet_config::id;
use russet_journal::Lsn;

use crate::persistence::Wish;
use crate::state::{State, rule};

/// What replies wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Awaited {
    /// For nothing.
    Nothing,
    /// Until the system has what they show.
    Write,
    /// Until the disk has it.
    Sync,
}

/// Whether a reply may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It may.
    Now,
    /// It may when the file has come so far.
    Later,
    /// Nobody knows whether what it shows is on the disk.
    Never,
}

/// The append-only file as commands and connections see it.
#[derive(Debug)]
pub struct Aof {
    awaited: AtomicU8,
    written: AtomicU64,
    synced: AtomicU64,
    /// What is in doubt lies behind `synced` and not behind this.
    doubted: AtomicU64,
    /// How many connections came to wait for the disk so far, each time anew.
    came: AtomicU64,
    /// Whoever waits, once for each thread.
    waiting: Mutex<Vec<(Lsn, Waker)>>,
    /// Who waits for the disk, whatever replies wait for.
    waiting_for_disk: Mutex<Vec<(Lsn, Waker)>>,
    /// Why the last write or sync failed; empty if it did not.
    failure: Mutex<String>,
    /// `appendonly`.
    pub is_enabled: AtomicBool,
    /// Whether it is of no use until a new base is on the disk.
    pub needs_base: AtomicBool,
    /// Whether whoever writes it is to end it in order.
    pub is_closing: AtomicBool,
    is_rewriting: AtomicBool,
    /// The rewrite under way is to be given up.
    pub is_cancelled: AtomicBool,
    /// Whether the last rewrite succeeded.
    pub is_rewrite_ok: AtomicBool,
    /// Rewrites that succeeded.
    pub rewrites: AtomicU64,
    /// Rewrites in a row that failed.
    pub failed_rewrites: AtomicU64,
    /// When a rewrite was tried last, in milliseconds since 1970.
    pub tried_ms: AtomicU64,
    /// How many seconds the last one took, or -1.
    pub took_s: AtomicI64,
    /// When the one under way began, in milliseconds since 1970, or 0.
    pub began_ms: AtomicU64,
    /// Bytes of all files.
    pub bytes: AtomicU64,
    /// Bytes of all files right after the last rewrite.
    pub base_bytes: AtomicU64,
    /// Syncs that took longer than the time between two.
    pub delayed: AtomicU64,
    /// How much later whoever writes and syncs is to write, in microseconds; DEBUG AOF-FLUSH-SLEEP.
    pub sleep_us: AtomicU64,
}

impl Default for Aof {
    fn default() -> Self {
        Self {
            awaited: AtomicU8::new(Awaited::Nothing as u8),
            written: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            doubted: AtomicU64::new(0),
            came: AtomicU64::new(0),
            waiting: Mutex::default(),
            waiting_for_disk: Mutex::default(),
            failure: Mutex::default(),
            is_enabled: AtomicBool::new(false),
            needs_base: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            is_rewriting: AtomicBool::new(false),
            is_cancelled: AtomicBool::new(false),
            is_rewrite_ok: AtomicBool::new(true),
            rewrites: AtomicU64::new(0),
            failed_rewrites: AtomicU64::new(0),
            tried_ms: AtomicU64::new(0),
            took_s: AtomicI64::new(-1),
            began_ms: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            base_bytes: AtomicU64::new(0),
            delayed: AtomicU64::new(0),
            sleep_us: AtomicU64::new(0),
        }
    }
}

impl Aof {
    /// Whether a reply that shows everything up to `stamp` may leave.
    #[inline]
    pub fn judge(&self, stamp: Lsn) -> Leave {
        match self.awaited() {
            Awaited::Nothing => Leave::Now,
            Awaited::Write if stamp <= self.written() => Leave::Now,
            Awaited::Sync if stamp <= self.synced() => Leave::Now,
            _ => self.judge_unsynced(stamp),
        }
    }

    #[cold]
    fn judge_unsynced(&self, stamp: Lsn) -> Leave {
        match self.doubted.load(Ordering::Acquire) {
            0 => Leave::Later,
            doubted if stamp <= doubted => Leave::Never,
            // What came later is no answer to a write: those are refused.
            _ => Leave::Now,
        }
    }

    /// Whether nobody knows if the disk has everything up to `stamp`.
    pub fn is_in_doubt(&self, stamp: Lsn) -> bool {
        self.awaited() == Awaited::Sync && self.judge(stamp) == Leave::Never
    }

    /// A connection has come to wait for the disk.
    pub fn come(&self) {
        self.came.fetch_add(1, Ordering::Relaxed);
    }

    /// How many connections came to wait for the disk so far, each time anew.
    pub fn came(&self) -> u64 {
        self.came.load(Ordering::Relaxed)
    }

    /// Wakes when a reply may leave, or never will; `false` if that is so already. A waker that waits already does not wait longer.
    pub fn wait(&self, stamp: Lsn, waker: &Waker) -> bool {
        let mut waiting = self.waiting.lock();
        if self.judge(stamp) != Leave::Later {
            return false;
        }
        match waiting.iter_mut().find(|(_, known)| known.will_wake(waker)) {
            Some((known, _)) => *known = stamp.min(*known),
            None => waiting.push((stamp, waker.clone())),
        }
        true
    }

    /// Wakes when the disk has everything up to a position, or nothing is written any more; `false` if that is so already.
    pub fn wait_for_disk(&self, lsn: Lsn, waker: &Waker) -> bool {
        let mut waiting = self.waiting_for_disk.lock();
        let waits = self.is_awaiting_disk(lsn);
        if waits {
            waiting.retain(|(_, known)| !known.will_wake(waker));
            waiting.push((lsn, waker.clone()));
        }
        waits
    }

    fn is_awaiting_disk(&self, lsn: Lsn) -> bool {
        self.is_enabled.load(Ordering::Relaxed) && !self.has(lsn)
    }

    fn wake(&self) {
        wake_if(&self.waiting, |stamp| self.judge(stamp) != Leave::Later);
    }

    fn wake_disk(&self) {
        wake_if(&self.waiting_for_disk, |lsn| !self.is_awaiting_disk(lsn));
    }

    /// Everything up to a position has been written.
    pub fn wrote(&self, lsn: Lsn) {
        self.written.fetch_max(lsn, Ordering::AcqRel);
        self.wake();
    }

    /// Everything up to a position is on the disk.
    pub fn has_synced(&self, lsn: Lsn) {
        self.written.fetch_max(lsn, Ordering::AcqRel);
        self.synced.fetch_max(lsn, Ordering::AcqRel);
        self.wake();
        self.wake_disk();
    }

    /// How far it has been written.
    pub fn written(&self) -> Lsn {
        self.written.load(Ordering::Acquire)
    }

    /// How far it is on the disk.
    pub fn synced(&self) -> Lsn {
        self.synced.load(Ordering::Acquire)
    }

    /// Whether the disk has everything up to a position, before the first base of this process included.
    pub fn has(&self, lsn: Lsn) -> bool {
        self.is_enabled.load(Ordering::Relaxed)
            && !self.needs_base.load(Ordering::Relaxed)
            && self.synced() >= lsn
    }

    /// What replies wait for.
    #[inline]
    pub fn awaited(&self) -> Awaited {
        match self.awaited.load(Ordering::Acquire) {
            0 => Awaited::Nothing,
            1 => Awaited::Write,
            _ => Awaited::Sync,
        }
    }

    /// Says what replies wait for from now on.
    pub fn set_awaited(&self, awaited: Awaited) {
        if self.awaited.swap(awaited as u8, Ordering::AcqRel) != awaited as u8 {
            self.wake();
        }
    }

    /// The disk has failed. What was done up to `end` and is not synced is in doubt; replies that wait for less than the disk leave.
    pub fn doubt(&self, end: Lsn) {
        if self.awaited() == Awaited::Sync {
            self.doubted.store(end, Ordering::Release);
        } else {
            self.awaited.store(Awaited::Nothing as u8, Ordering::Release);
        }
        self.wake();
    }

    /// A new base is on the disk: nothing is in doubt any more.
    pub fn trust(&self) {
        self.doubted.store(0, Ordering::Release);
        self.wake();
        self.wake_disk();
    }

    /// There is to be one: a base is written first. Replies wait when it is there.
    pub fn enable(&self) {
        self.needs_base.store(true, Ordering::Relaxed);
        self.is_enabled.store(true, Ordering::Relaxed);
    }

    /// There is to be none any more: what was written stays as it is.
    fn disable(&self) {
        self.is_enabled.store(false, Ordering::Relaxed);
        self.needs_base.store(false, Ordering::Relaxed);
        self.is_cancelled.store(true, Ordering::Release);
        self.set_failure("");
        self.set_awaited(Awaited::Nothing);
        self.trust();
        self.is_closing.store(true, Ordering::Release);
    }

    /// Whether the last write and sync succeeded.
    pub fn is_ok(&self) -> bool {
        self.failure.lock().is_empty()
    }

    /// Why the last write or sync failed; empty if it did not.
    pub fn failure(&self) -> String {
        self.failure.lock().clone()
    }

    /// Says why a write or a sync has failed, or, with nothing, that they succeed again.
    pub fn set_failure(&self, text: &str) {
        text.clone_into(&mut self.failure.lock());
    }

    /// Says that a rewrite is wished; `false` if one is under way.
    pub fn begin_rewriting(&self) -> bool {
        let begins = !self.is_rewriting.swap(true, Ordering::AcqRel);
        if begins {
            self.is_cancelled.store(false, Ordering::Release);
        }
        begins
    }

    /// Whether a rewrite is under way or about to be.
    pub fn is_rewriting(&self) -> bool {
        self.is_rewriting.load(Ordering::Acquire)
    }

    /// The rewrite is over.
    pub fn end_rewriting(&self) {
        self.began_ms.store(0, Ordering::Relaxed);
        self.is_rewriting.store(false, Ordering::Release);
    }
}

/// Wakes, under no lock, those who need not wait any more.
fn wake_if(waiting: &Mutex<Vec<(Lsn, Waker)>>, is_over: impl Fn(Lsn) -> bool) {
    let mut waiting = waiting.lock();
    let over: Vec<_> = waiting.extract_if(.., |(lsn, _)| is_over(*lsn)).collect();
    drop(waiting);
    over.into_iter().for_each(|(_, waker)| waker.wake());
}

impl State {
    /// Begins an append-only file, or ends it, if `appendonly` has come to say so.
    pub fn switch_log(&self) {
        let is_wanted = self.config.load().bool(const { id("appendonly") });
        if is_wanted == self.aof.is_enabled.load(Ordering::Relaxed) {
            return;
        }
        if !is_wanted {
            self.aof.disable();
            self.set_rule(rule::UNLOGGED, false);
            return;
        }
        self.aof.enable();
        self.rewrite_log();
    }

    /// Leaves the wish for a new base of the append-only file, as the configuration wants it now; `false` if there is one already.
    pub fn rewrite_log(&self) -> bool {
        let begins = self.aof.begin_rewriting();
        if begins {
            let is_snapshot = self.config.load().bool(const { id("aof-use-rdb-preamble") });
            self.persistence.ask(Wish::Rewrite { is_snapshot });
        }
        begins
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counting::Count;
    use std::sync::Arc;

    fn counting() -> (Arc<Count>, Waker) {
        let count = Arc::<Count>::default();
        (Arc::clone(&count), Waker::from(count))
    }

    #[test]
    fn a_reply_leaves_when_the_file_has_what_it_shows() {
        let (aof, (count, waker)) = (Aof::default(), counting());
        let woken = || count.get();
        assert!(aof.judge(7) == Leave::Now && !aof.wait(7, &waker), "nobody waits for no file");
        aof.set_awaited(Awaited::Sync);
        assert!(aof.judge(7) == Leave::Later && aof.wait(9, &waker) && aof.wait(7, &waker));
        aof.wrote(9);
        assert_eq!((aof.judge(7), woken()), (Leave::Later, 0), "always waits for the disk");
        aof.has_synced(6);
        assert_eq!(woken(), 0);
        aof.has_synced(7);
        assert_eq!(woken(), 1, "a waker that waits twice is woken for the first of both");
        assert!(aof.judge(7) == Leave::Now && aof.judge(8) == Leave::Later);
        aof.set_awaited(Awaited::Write);
        assert!(aof.judge(9) == Leave::Now && aof.wait(10, &waker));
        aof.set_awaited(Awaited::Nothing);
        assert_eq!(woken(), 2);
    }

    #[test]
    fn what_is_in_doubt_is_shown_to_nobody_until_a_new_base_is_there() {
        let (aof, (count, waker)) = (Aof::default(), counting());
        aof.set_awaited(Awaited::Sync);
        aof.has_synced(5);
        assert!(aof.wait(8, &waker));
        aof.doubt(9);
        assert_eq!(count.get(), 1);
        assert_eq!([5, 6, 9, 10].map(|lsn| aof.is_in_doubt(lsn)), [false, true, true, false]);
        assert_eq!((aof.judge(8), aof.judge(10)), (Leave::Never, Leave::Now));
        aof.has_synced(12);
        aof.trust();
        assert_eq!((aof.judge(8), aof.judge(13)), (Leave::Now, Leave::Later));
    }

    #[test]
    fn replies_that_wait_for_the_system_alone_leave_when_it_fails() {
        let (aof, (count, waker)) = (Aof::default(), counting());
        aof.set_awaited(Awaited::Write);
        assert!(aof.wait(8, &waker));
        aof.doubt(9);
        assert_eq!((count.get(), aof.judge(8)), (1, Leave::Now));
    }
}
