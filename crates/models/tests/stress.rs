//! Whole commands on many threads over one state, without sockets: what sanitizers watch.
//!
//! There are few shards, so that unrelated keys meet too. `RUSSET_LIN_OPERATIONS` and `RUSSET_STRESS_SECONDS` make the runs long; how to
//! run them under a sanitizer stands in `docs/testing.md`.

#![expect(clippy::disallowed_methods, reason = "a test's own threads may sleep")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use russet_dispatch::blocking::Blocked;
use russet_dispatch::{State, expire};
use russet_engine::Patience;
use russet_journal::Reader;
use russet_models::{Local, state};
use russet_testkit::record::{Ask, record};
use russet_testkit::{Random, Reply};

/// A number from the environment, for longer runs than CI's.
fn from_env(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn follow(state: &'static State) -> Reader {
    let all = state.keyspace.hold_all(Patience::ENDLESS).expect("endless patience");
    let reader = state.journal.follow();
    drop(all);
    reader
}

#[test]
fn lin_1_threads_see_one_command_at_a_time() {
    let state = state(8);
    let operations = from_env("RUSSET_LIN_OPERATIONS", 10_000);
    let histories = record((0..8).map(|_| Local::new(state)).collect(), operations, 4);
    histories.check().unwrap_or_else(|why| panic!("{why}"));
}

fn blocked(client: &mut Local, words: &[&str]) -> Arc<Blocked> {
    client.begin(words).expect_err("there is nothing to be had")
}

#[test]
fn a_served_reply_is_posted_behind_its_record() {
    let state = state(8);
    let mut reader = follow(state);
    let (mut waiter, mut pusher) = (Local::new(state), Local::new(state));
    let wait = blocked(&mut waiter, &["BLPOP", "k", "0"]);
    pusher.ask(&["RPUSH", "k", "x"]);
    let mail = waiter.client().take_mail();
    assert!(mail.has_reply, "the waiter is served");
    assert_eq!(mail.stamp, state.journal.end(), "the reply's stamp covers the unit that served it");
    assert!(!wait.claim(), "it has been claimed by its server");
    let record = reader.read().expect("nothing is forgotten").expect("one unit");
    assert!(
        record.ends_with(b"LPOP\r\n$1\r\nk\r\n*1\r\n$4\r\nEXEC\r\n"),
        "{}",
        record.escape_ascii()
    );
    state.unregister(&wait);
}

#[test]
fn a_wait_that_was_ended_is_not_served() {
    let state = state(8);
    let (mut waiter, mut pusher) = (Local::new(state), Local::new(state));
    let wait = blocked(&mut waiter, &["BLMOVE", "k", "l", "LEFT", "RIGHT", "0"]);
    assert!(wait.claim() && !wait.claim());
    assert_eq!(pusher.ask(&["RPUSH", "k", "x"]), Reply::Int(1));
    assert!(!waiter.client().has_mail());
    assert_eq!(waiter.time_out(&wait), Reply::Nil);
    assert_eq!(pusher.ask(&["LLEN", "k"]), Reply::Int(1));
}

#[test]
fn a_kill_is_not_overlooked_by_who_takes_mail_at_that_moment() {
    let state = state(1);
    for _ in 0..from_env("RUSSET_LIN_OPERATIONS", 10_000) / 10 {
        let client = Arc::clone(Local::new(state).client());
        let killed = Arc::clone(&client);
        let killer = std::thread::spawn(move || killed.kill());
        while !killer.is_finished() {
            client.take_mail();
        }
        killer.join().expect("no panic");
        assert!(client.has_mail() && client.is_killed());
    }
}

/// Words of a random command over a few keys, some of which end soon.
fn command(random: &mut Random, now: u64) -> Vec<String> {
    let key = |random: &mut Random, kind: &str| format!("{kind}{}", random.below(12));
    let say = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (s, t) = (key(random, "s"), key(random, "s"));
    let (l, m) = (key(random, "l"), key(random, "l"));
    let end = (now + random.below(20)).to_string();
    match random.below(14) {
        0 => say(&["SET", &s, &"v".repeat(random.below(100) as usize)]),
        1 => say(&["SET", &s, &"V".repeat(random.below(200_000) as usize)]),
        2 => say(&["GET", &s]),
        3 => say(&["DEL", &s, &l, &t]),
        4 => say(&["RENAME", &s, &t]),
        5 => say(&["COPY", &s, &t, "REPLACE"]),
        6 => say(&["PEXPIREAT", &s, &end]),
        7 => say(&["PEXPIREAT", &l, &end]),
        8..=9 => say(&["RPUSH", &l, &end, "x"]),
        10 => say(&["LMOVE", &l, &m, "LEFT", "RIGHT"]),
        11 => say(&["BLPOP", &l, &m, &l, "0.002"]),
        12 => say(&["BLMOVE", &l, &m, "RIGHT", "LEFT", "0.002"]),
        _ => say(&["LRANGE", &l, "0", "-1"]),
    }
}

fn refs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// One client that does a bit of everything.
fn strain(state: &'static State, seed: u64, is_over: &AtomicBool) {
    let (mut random, mut client) = (Random::new(seed), Local::new(state));
    while !is_over.load(Ordering::Relaxed) {
        match random.below(40) {
            0..=5 => {
                client.ask(&["WATCH", "s1", "l1"]);
                client.ask(&["MULTI"]);
                (0..random.below(6)).for_each(|_| {
                    drop(client.ask(&refs(&command(&mut random, state.clock.now()))))
                });
                client.ask(&["EXEC"]);
            }
            6 => drop(client.ask(&["FLUSHALL"])),
            7 => drop(client.ask(&["SWAPDB", "0", "1"])),
            8 => client = Local::new(state),
            _ => drop(client.ask(&refs(&command(&mut random, state.clock.now())))),
        }
    }
}

/// What the server's other threads do: the clock, active expiry, growing tables, the bin, CLIENT PAUSE.
fn keep_house(state: &'static State, is_over: &AtomicBool) {
    let thread = state.thread("core");
    while !is_over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(2));
        state.clock.advance(state.clock.now() + 2);
        expire::cycle(state, &thread, 1_000);
        for shard in 0..state.keyspace.shards() {
            state.keyspace.hold_patiently(shard).settle(16);
        }
        let now = state.clock.now();
        if now.is_multiple_of(100) {
            state.pause(now + 4, now.is_multiple_of(200));
        }
        state.pause_holds();
    }
    // The clock stands still from here on: a pause would never end.
    state.unpause();
}

/// Ends waits as CLIENT UNBLOCK would: the one who claims answers.
fn unblock(state: &'static State, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_micros(300));
        for client in state.clients.all() {
            let blocked = client.blocked.lock().clone();
            if blocked.is_some_and(|blocked| blocked.claim()) {
                let bytes = "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n".into();
                client.post(&russet_dispatch::session::Mail { bytes, stamp: 0, is_reply: true });
            }
        }
    }
}

/// Follows the journal from time to time, so that it is at times followed and at times not.
fn read_along(state: &'static State, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let mut reader = follow(state);
        for _ in 0..20 {
            while reader.read().is_ok_and(|record| record.is_some()) {}
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A waiter that closed while a shard was held for long goes when the next one leaves: one comes to every list, and leaves.
fn pass_every_list(state: &'static State) {
    let mut client = Local::new(state);
    let lists: Vec<_> = (0..12).map(|l| format!("l{l}")).collect();
    for db in ["0", "1"] {
        client.ask(&["SELECT", db]);
        client.ask(&["FLUSHDB"]);
        let words: Vec<_> =
            ["BLPOP"].into_iter().chain(lists.iter().map(String::as_str)).chain(["0"]).collect();
        let wait = blocked(&mut client, &words);
        assert!(wait.claim(), "there is nothing to serve it with");
        client.time_out(&wait);
    }
}

#[test]
fn stress_all_that_threads_do_to_each_other() {
    let state = state(16);
    let is_over = Arc::new(AtomicBool::new(false));
    let run = |work: Box<dyn FnOnce(&AtomicBool) + Send>| {
        let is_over = Arc::clone(&is_over);
        std::thread::spawn(move || work(&is_over))
    };
    let mut threads: Vec<_> =
        (0..6).map(|seed| run(Box::new(move |is_over| strain(state, seed, is_over)))).collect();
    threads.push(run(Box::new(move |is_over| keep_house(state, is_over))));
    threads.push(run(Box::new(move |is_over| unblock(state, is_over))));
    threads.push(run(Box::new(move |is_over| read_along(state, is_over))));
    let (trash, until) = (
        Arc::clone(state.keyspace.trash()),
        Instant::now() + Duration::from_secs(from_env("RUSSET_STRESS_SECONDS", 2)),
    );
    while Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
        if trash.pending() > 0 {
            trash.empty_once();
        }
    }
    is_over.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    pass_every_list(state);
    let waiting: usize = (0..16)
        .filter_map(|shard| state.keyspace.hold_patiently(shard).interest().map(|i| i.waiting().1))
        .sum();
    assert_eq!(waiting, 0, "nobody waits any more");
}
