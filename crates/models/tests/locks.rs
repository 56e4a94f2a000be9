//! The locks and the claim, under every order of steps that shuttle comes up with.
//!
//! The files under test are included as they are; only the primitives under them are shuttle's. Shuttle knows one memory, in which
//! everything is seen at once: that `Acquire` and `Release` stand where they must is for the thread sanitizer to judge
//! (`docs/testing.md`). A failure prints its schedule, and `shuttle::replay` brings it back.

mod sync {
    pub(crate) use shuttle::hint::spin_loop;
    pub(crate) use shuttle::sync::MutexGuard;
    pub(crate) use shuttle::sync::atomic::{AtomicU8, AtomicU32, Ordering};
    pub(crate) use shuttle::thread::yield_now;

    /// Shuttle's mutex, without poison as the real one.
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("a model that panics has failed")
        }
    }
}

#[expect(
    dead_code,
    unreachable_pub,
    reason = "the engine's own file, of which a model uses a part"
)]
#[path = "../../engine/src/lock.rs"]
mod lock;

#[expect(unreachable_pub, reason = "the file of dispatch as it is")]
#[path = "../../dispatch/src/claim.rs"]
mod claim;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32 as Plain, Ordering::SeqCst};
use std::task::{Wake, Waker};

use claim::Claim;
use lock::{Busy, Locks, Patience, Protected};
use russet_journal::{Journal, Record};
use shuttle::sync::mpsc::{Sender, channel};
use shuttle::thread;

/// Schedules of each kind for each model.
const SCHEDULES: usize = 10_000;

/// Changes of priority that the second kind of schedule spends: enough for bugs of that many ordering constraints.
const DEPTH: usize = 4;

/// Runs a model under random schedules, and under schedules that follow priorities.
fn explore(model: fn()) {
    shuttle::check_random(model, SCHEDULES);
    shuttle::check_pct(model, SCHEDULES, DEPTH);
}

/// A count that is read, and written back in another step: whoever comes between is lost.
#[derive(Default)]
struct Count(u32);

impl Protected for Count {
    fn is_half_changed(&self) -> bool {
        false
    }
}

fn counts(n: usize) -> Arc<Locks<Count>> {
    Arc::new(Locks::new((0..n).map(|_| Count::default())))
}

/// Takes a set of locks and counts in each of them, in two steps.
fn count_in(locks: &Locks<Count>, set: &[u32], patience: Patience) -> Result<(), Busy> {
    let mut held = locks.hold(set.iter().copied(), patience)?;
    let before: Vec<u32> = held.iter().map(|count| count.0).collect();
    thread::yield_now();
    held.iter_mut().zip(before).for_each(|(count, before)| count.0 = before + 1);
    Ok(())
}

/// Sets of three threads: any two of them meet.
const SETS: [&[u32]; 3] = [&[0, 1], &[1, 2], &[0, 2]];

fn overlapping_sets(count: fn(&Locks<Count>, &[u32])) {
    let locks = counts(3);
    let threads: Vec<_> = SETS
        .into_iter()
        .map(|set| {
            let locks = Arc::clone(&locks);
            thread::spawn(move || count(&locks, set))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    let held = locks.hold(0..3, Patience::NONE).expect("all are free");
    assert!(held.iter().all(|count| count.0 == 2), "each lock is in two sets");
}

#[test]
fn sets_of_locks_exclude_each_other_and_do_not_deadlock() {
    explore(|| {
        overlapping_sets(|locks, set| count_in(locks, set, Patience::ENDLESS).expect("endless"))
    });
}

/// Tells a thread that waits, once.
struct Bell(std::sync::Mutex<Sender<()>>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        // Nobody may be listening any more.
        self.0.lock().expect("no panic").send(()).ok();
    }
}

/// As a connection does: look once, leave a waker, sleep until it is called, try again.
fn count_when_woken(locks: &Locks<Count>, set: &[u32]) {
    while let Err(Busy(index)) = count_in(locks, set, Patience::NONE) {
        let (sender, receiver) = channel();
        locks.queue(index, Waker::from(Arc::new(Bell(std::sync::Mutex::new(sender)))));
        receiver.recv().expect("a waker that is left is called before it is dropped");
    }
}

#[test]
fn a_waker_that_is_left_is_always_called() {
    explore(|| overlapping_sets(count_when_woken));
}

#[test]
fn a_hold_that_is_marked_long_sends_others_away_and_wakes_them() {
    explore(|| {
        let locks = counts(1);
        let long = Arc::clone(&locks);
        let holder = thread::spawn(move || {
            let mut held = long.hold([0], Patience::ENDLESS).expect("endless");
            held.mark_long();
            thread::yield_now();
            held.get_mut(0).expect("held").0 += 1;
        });
        count_when_woken(&locks, &[0]);
        holder.join().expect("no panic");
        assert_eq!(locks.hold_one(0, Patience::NONE).expect("free").0, 2);
    });
}

/// Two keys under two locks, one client that waits for both, and what the keys hold.
struct Wait {
    keys: Locks<Count>,
    claim: Claim,
    /// Elements the client got, and how often its wait was ended without one.
    served: Plain,
    ended: Plain,
}

impl Wait {
    fn new() -> Arc<Self> {
        let keys = Locks::new((0..2).map(|_| Count::default()));
        Arc::new(Self { keys, claim: Claim::new(), served: Plain::new(0), ended: Plain::new(0) })
    }

    /// Touches a key, adding an element or not, and serves the client if there is one, as `serve.rs` does.
    fn touch(&self, key: u32, added: u32) {
        let mut held = self.keys.hold([key], Patience::ENDLESS).expect("endless");
        let count = held.get_mut(key).expect("held");
        count.0 += added;
        if self.claim.begin_serving() {
            if count.0 == 0 {
                return self.claim.stop_serving();
            }
            count.0 -= 1;
            self.served.fetch_add(1, SeqCst);
            self.claim.end_serving();
        }
    }

    /// Ends the wait as a timeout, CLIENT UNBLOCK or a disconnection does.
    fn end(&self) {
        if self.claim.claim() {
            self.ended.fetch_add(1, SeqCst);
        }
    }

    fn left(&self) -> u32 {
        self.keys
            .hold([0, 1], Patience::NONE)
            .expect("all are free")
            .iter()
            .map(|count| count.0)
            .sum()
    }
}

fn run_all(wait: &Arc<Wait>, steps: &[fn(&Wait)]) {
    let run = |step: &fn(&Wait)| {
        let (wait, step) = (Arc::clone(wait), *step);
        thread::spawn(move || step(&wait))
    };
    let threads: Vec<_> = steps.iter().map(run).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
}

#[test]
fn exactly_one_of_serve_timeout_and_unblock_ends_a_wait() {
    explore(|| {
        let wait = Wait::new();
        run_all(&wait, &[|w| w.touch(0, 1), |w| w.touch(1, 1), Wait::end, Wait::end]);
        let (served, ended) = (wait.served.load(SeqCst), wait.ended.load(SeqCst));
        assert_eq!(served + ended, 1, "served {served} times, ended {ended} times");
        assert_eq!(served + wait.left(), 2, "no element is lost or doubled");
        assert!(!wait.claim.is_open());
    });
}

#[test]
fn a_waiter_is_not_passed_by_while_another_key_has_nothing_for_it() {
    explore(|| {
        let wait = Wait::new();
        run_all(&wait, &[|w| w.touch(0, 0), |w| w.touch(1, 1), |w| w.touch(0, 0)]);
        assert_eq!(
            (wait.served.load(SeqCst), wait.left()),
            (1, 0),
            "an element and a waiter for it do not pass each other"
        );
    });
}

/// Appends a key's count to the journal under the key's lock.
fn write(locks: &Locks<Count>, journal: &Journal, set: &[u32]) {
    let mut held = locks.hold(set.iter().copied(), Patience::ENDLESS).expect("endless");
    let mut record = Record::new();
    for key in set {
        let count = held.get_mut(*key).expect("held");
        count.0 += 1;
        let (name, value) = (key.to_string(), count.0.to_string());
        record.push(0, [&b"SET"[..], name.as_bytes(), value.as_bytes()].into_iter());
    }
    thread::yield_now();
    journal.append(&mut record, |_| {});
}

#[test]
fn the_journal_has_each_keys_writes_in_their_order() {
    explore(|| {
        let (locks, journal) = (counts(3), Arc::new(Journal::new(1 << 20)));
        let mut reader = journal.follow();
        let threads: Vec<_> = SETS
            .into_iter()
            .map(|set| {
                let (locks, journal) = (Arc::clone(&locks), Arc::clone(&journal));
                thread::spawn(move || write(&locks, &journal, set))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        let mut log = String::new();
        while let Some(record) = reader.read().expect("nothing is forgotten") {
            log += &String::from_utf8_lossy(&record);
        }
        for key in 0..3 {
            let at = |value: u32| log.find(&format!("SET\r\n$1\r\n{key}\r\n$1\r\n{value}"));
            assert!(at(1).is_some() && at(1) < at(2), "{log}");
        }
    });
}
