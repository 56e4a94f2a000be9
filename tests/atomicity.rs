//! Whatever threads, shards and sockets do, clients see one server that runs one command at a time.
//!
//! Many clients work on few keys, and what they saw is judged afterwards: that it is linearizable or strictly serializable, that no
//! element is lost or doubled, that nobody waits for ever. `RUSSET_LIN_OPERATIONS` and `RUSSET_LIN_SECONDS` make the runs long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use russet_testkit::client::encode;
use russet_testkit::record::{Ask, Liar, Lie, record};
use russet_testkit::{Client, Random, Reply};

use crate::Server;

/// Clients at a time.
const CLIENTS: usize = 12;

/// A number from the environment, for longer runs than CI's.
fn from_env(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn server() -> Server {
    Server::with(&["--io-threads", "3"])
}

#[test]
fn lin_1_clients_see_one_command_at_a_time() {
    let server = server();
    let operations = from_env("RUSSET_LIN_OPERATIONS", 10_000);
    let histories = record((0..CLIENTS).map(|_| server.client()).collect(), operations, 1);
    assert!(histories.len() as u64 > operations - CLIENTS as u64);
    histories.check().unwrap_or_else(|why| panic!("{why}"));
}

/// A client that sends most of its commands by way of scripts, which declare their keys or do not.
struct Scripted {
    client: Client,
    random: Random,
}

impl Ask for Scripted {
    fn ask(&mut self, words: &[&str]) -> Reply {
        const PLAIN: &str = "return redis.call(unpack(ARGV))";
        const LATE: &str = "redis.call('SET', KEYS[1], 1) return redis.call(unpack(ARGV))";
        if matches!(words[0], "MULTI" | "EXEC" | "DISCARD" | "WATCH" | "UNWATCH") {
            return self.client.cmd(words);
        }
        let own = format!("own:{}", self.random.below(4));
        let head = match self.random.below(6) {
            0 | 1 => return self.client.cmd(words),
            2 | 3 => vec!["EVAL", PLAIN, "1", words[1]],
            4 => vec!["EVAL", PLAIN, "0"],
            _ => vec!["EVAL", LATE, "1", &own],
        };
        match self.client.cmd(&[&head[..], words].concat()) {
            // Two scripts met for the first time: the command did not run.
            Reply::Error(text) if text.starts_with(b"ERR The script touched") => {
                self.client.cmd(words)
            }
            reply => reply,
        }
    }
}

#[test]
fn clients_see_one_script_at_a_time() {
    let server = server();
    let operations = from_env("RUSSET_LIN_OPERATIONS", 10_000);
    let scripted = |id| Scripted { client: server.client(), random: Random::new(id as u64 + 77) };
    let histories = record((0..CLIENTS).map(scripted).collect(), operations, 3);
    histories.check().unwrap_or_else(|why| panic!("{why}"));
}

fn is_noticed(lie: Lie) {
    let server = server();
    let clients = (0..8).map(|id| Liar::new(server.client(), lie, id)).collect();
    let histories = record(clients, 8_000, 2);
    assert!(histories.check().is_err(), "{lie:?} goes unnoticed");
}

#[test]
fn lin_3_a_stale_read_is_noticed() {
    is_noticed(Lie::StaleRead);
}

#[test]
fn lin_3_a_lost_update_is_noticed() {
    is_noticed(Lie::LostUpdate);
}

#[test]
fn lin_3_a_torn_transaction_is_noticed() {
    is_noticed(Lie::TornMulti);
}

/// Lists that elements are pushed to.
const LISTS: [&str; 3] = ["list:a", "list:b", "list:c"];

/// Pushes so many elements, each with a number of its own, one to three at a time, at times in a transaction.
fn produce(mut client: Client, from: u64, count: u64) {
    let mut random = Random::new(from);
    let mut next = from;
    while next < from + count {
        let many = (1 + random.below(3)).min(from + count - next);
        let elements: Vec<String> = (next..next + many).map(|n| n.to_string()).collect();
        let mut words = vec!["RPUSH", *random.pick(&LISTS)];
        words.extend(elements.iter().map(String::as_str));
        if random.percent(20) {
            client.cmd(&["MULTI"]);
            client.cmd(&words);
            client.cmd(&["LLEN", LISTS[0]]);
            client.cmd(&["EXEC"]);
        } else {
            client.cmd(&words);
        }
        next += many;
    }
}

/// How clients that wait may end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manners {
    /// They say goodbye and listen to what was on its way.
    Polite,
    /// Some cut the line, and some are killed.
    Rough,
}

/// What became of the elements.
#[derive(Default)]
struct Fate {
    received: Vec<u64>,
    /// How many clients were cut off while they waited, and may have taken an element with them.
    cut: usize,
}

/// The element of a BLPOP's reply.
fn element(reply: &Reply) -> Option<u64> {
    let Reply::Array(items) = reply else { return None };
    let text = items.last().and_then(Reply::bytes).expect("a key and an element");
    Some(String::from_utf8_lossy(text).parse().expect("a number"))
}

/// Takes elements until nobody pushes any more and nothing has come for a while.
fn consume(server: &Server, seed: u64, manners: Manners, is_over: &AtomicBool) -> Fate {
    let (mut random, mut fate) = (Random::new(seed), Fate::default());
    let mut client = server.client();
    loop {
        let first = random.below(3) as usize;
        let (one, other) = (LISTS[first], LISTS[(first + 1) % 3]);
        let command = *random.pick(&["BLPOP", "BRPOP"]);
        if random.percent(5) && !is_over.load(Ordering::SeqCst) {
            let words = [command, one, other, one, "0"];
            client.send(&words).expect("the server is there");
            sleep(Duration::from_micros(random.below(2_000)));
            let says_goodbye = manners == Manners::Polite || random.percent(50);
            leave(client, says_goodbye, &mut fate);
            client = server.client();
            continue;
        }
        let timeout = format!("0.{:03}", 1 + random.below(30));
        let words =
            [&[command][..], &[one, LISTS[(first + 2) % 3], other, one], &[&timeout]].concat();
        let was_over = is_over.load(Ordering::SeqCst);
        match client.try_cmd(&words).as_ref().map(element) {
            Ok(Some(element)) => fate.received.push(element),
            Ok(None) if was_over => return fate,
            Ok(None) => {}
            Err(_) => {
                fate.cut += 1;
                client = server.client();
            }
        }
    }
}

/// Goes away while waiting: says goodbye and listens to what was on its way, or cuts the line.
fn leave(mut client: Client, says_goodbye: bool, fate: &mut Fate) {
    let rest = says_goodbye.then(|| {
        client.close_write()?;
        client.read_until_closed(Duration::from_secs(10))
    });
    match rest {
        Some(Ok(rest)) if rest.is_empty() => {}
        Some(Ok(rest)) => {
            let reply = Reply::decode(&rest).expect("one reply or none");
            fate.received.extend(element(&reply));
        }
        Some(Err(_)) | None => fate.cut += 1,
    }
}

/// Unblocks those who wait, and kills one now and then.
fn meddle(server: &Server, manners: Manners, is_over: &AtomicBool) {
    let (mut random, mut client) = (Random::new(9), server.client());
    while !is_over.load(Ordering::SeqCst) {
        let waiting: Vec<_> = server
            .state()
            .clients
            .all()
            .into_iter()
            .filter(|client| client.blocked.lock().is_some())
            .collect();
        if let Some(other) = waiting.get(random.below(8) as usize) {
            let id = other.id.to_string();
            let words = match random.below(20) {
                0 if manners == Manners::Rough => ["CLIENT", "KILL", "ID", &id],
                1..=10 => ["CLIENT", "UNBLOCK", &id, "ERROR"],
                _ => ["CLIENT", "UNBLOCK", &id, "TIMEOUT"],
            };
            assert!(matches!(client.cmd(&words), Reply::Int(0 | 1)));
        }
        sleep(Duration::from_micros(random.below(2_000)));
    }
}

/// Runs producers and consumers; answers how many elements are gone, and how many clients were cut off.
fn lost_and_cut(manners: Manners) -> (usize, usize) {
    const PRODUCERS: u64 = 4;
    let each = from_env("RUSSET_LIN_OPERATIONS", 10_000) / PRODUCERS;
    let server = Arc::new(server());
    let is_over = Arc::new(AtomicBool::new(false));
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|nth| {
            let client = server.client();
            spawn(move || produce(client, nth * each, each))
        })
        .collect();
    let consumers: Vec<_> = (0..8)
        .map(|seed| {
            let (server, is_over) = (Arc::clone(&server), Arc::clone(&is_over));
            spawn(move || consume(&server, seed, manners, &is_over))
        })
        .collect();
    let meddler = {
        let (server, is_over) = (Arc::clone(&server), Arc::clone(&is_over));
        spawn(move || meddle(&server, manners, &is_over))
    };
    producers.into_iter().for_each(|thread| thread.join().expect("no panic"));
    is_over.store(true, Ordering::SeqCst);
    meddler.join().expect("no panic");
    let mut seen = BTreeMap::<u64, usize>::new();
    let mut cut = 0;
    for thread in consumers {
        let fate = thread.join().expect("no panic");
        fate.received.into_iter().for_each(|element| *seen.entry(element).or_default() += 1);
        cut += fate.cut;
    }
    left_in(&server, &LISTS).into_iter().for_each(|element| *seen.entry(element).or_default() += 1);
    assert_eq!(seen.iter().find(|(_, times)| **times > 1), None, "an element came twice");
    ((PRODUCERS * each) as usize - seen.len(), cut)
}

#[test]
fn lin_1_every_element_is_received_once_or_still_there() {
    assert_eq!(lost_and_cut(Manners::Polite), (0, 0), "elements are gone, or clients were cut off");
}

#[test]
fn lin_1_clients_that_are_cut_off_take_one_element_with_them_at_most() {
    let (lost, cut) = lost_and_cut(Manners::Rough);
    assert!(lost <= cut, "{lost} elements are gone, and only {cut} clients were cut off");
}

/// All elements of some lists.
fn left_in(server: &Server, lists: &[&str]) -> Vec<u64> {
    let mut client = server.client();
    let mut all = Vec::new();
    for list in lists {
        let Reply::Array(items) = client.cmd(&["LRANGE", list, "0", "-1"]) else {
            panic!("{list} is a list")
        };
        let number = |item: &Reply| {
            String::from_utf8_lossy(item.bytes().expect("a string"))
                .parse::<u64>()
                .expect("a number")
        };
        all.extend(items.iter().map(number));
    }
    all
}

/// Moves elements on from list to list, and goes away in the middle of it now and then.
fn carry(server: &Server, seed: u64, is_over: &AtomicBool) {
    let mut random = Random::new(seed);
    let mut client = server.client();
    while !is_over.load(Ordering::SeqCst) {
        let (from, to) = (random.below(3) as usize, random.below(3) as usize);
        let timeout = format!("0.{:03}", 1 + random.below(30));
        let words =
            ["BLMOVE", LISTS[from], LISTS[to], "LEFT", *random.pick(&["LEFT", "RIGHT"]), &timeout];
        if random.percent(5) {
            client.send(&words).expect("the server is there");
            client = server.client();
        } else {
            client.cmd(&words);
        }
    }
}

#[test]
fn lin_1_elements_that_are_moved_are_always_in_one_list() {
    let server = Arc::new(server());
    let is_over = Arc::new(AtomicBool::new(false));
    let carriers: Vec<_> = (0..8)
        .map(|seed| {
            let (server, is_over) = (Arc::clone(&server), Arc::clone(&is_over));
            spawn(move || carry(&server, seed, &is_over))
        })
        .collect();
    let count = from_env("RUSSET_LIN_OPERATIONS", 10_000) / 50;
    let mut client = server.client();
    for element in 0..count {
        client.cmd(&["RPUSH", LISTS[element as usize % 3], &element.to_string()]);
        client.cmd(&["MULTI"]);
        LISTS.iter().for_each(|list| drop(client.cmd(&["LLEN", list])));
        let Reply::Array(lengths) = client.cmd(&["EXEC"]) else { panic!("EXEC runs") };
        let sum: i64 = lengths
            .iter()
            .map(|len| if let Reply::Int(len) = len { *len } else { panic!("a length") })
            .sum();
        assert_eq!(sum, element as i64 + 1, "an element is between two lists, or in both");
    }
    is_over.store(true, Ordering::SeqCst);
    carriers.into_iter().for_each(|thread| thread.join().expect("no panic"));
    let mut left = left_in(&server, &LISTS);
    left.sort_unstable();
    assert_eq!(left, (0..count).collect::<Vec<_>>());
}

/// A command over keys of a thousand, in random order and with duplicates.
fn many_keys(random: &mut Random) -> Vec<String> {
    let keys = |random: &mut Random, n: u64| {
        (0..n).map(|_| format!("k{}", random.below(1_000))).collect::<Vec<_>>()
    };
    let many = 2 + random.below(20);
    let mut words: Vec<String> = Vec::new();
    let mut say = |parts: &[&str], keys: Vec<String>| {
        words.extend(parts.iter().map(ToString::to_string));
        words.extend(keys);
    };
    match random.below(10) {
        0 => say(&["MGET"], keys(random, many)),
        1 => say(&["DEL"], keys(random, many)),
        2 => say(&["EXISTS"], keys(random, many)),
        3 => say(&["MSET"], keys(random, many & !1)),
        4 => say(&["MSETNX"], keys(random, many & !1)),
        5 => say(&["RENAME"], keys(random, 2)),
        6 => say(&["COPY"], keys(random, 2)),
        7 => say(&["TOUCH"], keys(random, many)),
        8 => say(&["BLMOVE"], keys(random, 2)),
        _ => say(&["BLPOP"], keys(random, many)),
    }
    let waits: &[&str] = match words[0].as_str() {
        "BLPOP" => &["0.001"],
        "BLMOVE" => &["LEFT", "RIGHT", "0.001"],
        _ => &[],
    };
    words.extend(waits.iter().map(ToString::to_string));
    words
}

/// The same in a script that declares one key at most, and may have written before it finds out about the others.
fn as_script(random: &mut Random, words: &[String]) -> Vec<String> {
    const PLAIN: &str = "return redis.pcall(unpack(ARGV))";
    const LATE: &str = "redis.call('SETNX', KEYS[1], 1) return redis.pcall(unpack(ARGV))";
    let own = format!("k{}", random.below(1_000));
    let head = match random.below(3) {
        0 => vec!["EVAL", PLAIN, "0"],
        1 => vec!["EVAL", PLAIN, "1", &words[1]],
        _ => vec!["EVAL", LATE, "1", &own],
    };
    head.into_iter().chain(words.iter().map(String::as_str)).map(str::to_owned).collect()
}

/// Asks for as long as it may, and counts what it was told.
fn tangle(mut client: Client, seed: u64, is_over: &AtomicBool, told: &AtomicUsize) {
    let mut random = Random::new(seed);
    while !is_over.load(Ordering::Relaxed) {
        if random.percent(20) {
            client.cmd(&["WATCH", "k1", &format!("k{}", random.below(1_000)), "k1"]);
            client.cmd(&["MULTI"]);
            (0..random.below(10)).for_each(|_| drop(client.cmd(&many_keys(&mut random))));
            client.cmd(&["LMOVE", &format!("k{}", random.below(1_000)), "k7", "LEFT", "RIGHT"]);
            client.cmd(&["EXEC"]);
        } else {
            let words = many_keys(&mut random);
            let is_script = random.percent(10);
            client.cmd(&if is_script { as_script(&mut random, &words) } else { words });
        }
        told.fetch_add(1, Ordering::Relaxed);
    }
}

/// Ticks of the watchdog without an answer that make a deadlock: a second of its own time, so that a machine that stands still for all
/// is no deadlock.
const TICKS_MAX: usize = 100;

/// Watches until the time is over that every client is told something.
fn watch_over(told: &[Arc<AtomicUsize>], time: Duration) {
    let mut last = vec![(0, 0); told.len()];
    let started = Instant::now();
    while started.elapsed() < time {
        sleep(Duration::from_millis(10));
        for (client, (told, (count, ticks))) in told.iter().zip(&mut last).enumerate() {
            let now = told.load(Ordering::Relaxed);
            *ticks = if now == *count { *ticks + 1 } else { 0 };
            *count = now;
            assert!(*ticks < TICKS_MAX, "client {client} has been told nothing for a second");
        }
    }
}

#[test]
fn lin_5_commands_and_scripts_over_many_keys_do_not_deadlock() {
    let server = server();
    let is_over = Arc::new(AtomicBool::new(false));
    let told: Vec<_> = (0..16).map(|_| Arc::new(AtomicUsize::new(0))).collect();
    let clients: Vec<_> = (told.iter().zip(0..))
        .map(|(told, seed)| {
            let (client, is_over, told) = (server.client(), Arc::clone(&is_over), Arc::clone(told));
            spawn(move || tangle(client, seed, &is_over, &told))
        })
        .collect();
    watch_over(&told, Duration::from_secs(from_env("RUSSET_LIN_SECONDS", 2)));
    is_over.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|thread| thread.join().expect("no panic"));
    let total: usize = told.iter().map(|told| told.load(Ordering::Relaxed)).sum();
    assert!(total > 500, "only {total} commands in all");
}

/// Two keys that always hold the same, written by some and read by others in one command.
#[test]
fn lin_1_readers_of_two_keys_see_both_halves_of_a_write() {
    let server = server();
    let is_over = Arc::new(AtomicBool::new(false));
    let writes = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..3)
        .map(|_| {
            let (mut client, is_over, writes) =
                (server.client(), Arc::clone(&is_over), Arc::clone(&writes));
            spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let value = writes.fetch_add(1, Ordering::Relaxed).to_string();
                    client.cmd(&["MSET", "left", &value, "right", &value]);
                }
            })
        })
        .collect();
    let mut client = server.client();
    for _ in 0..from_env("RUSSET_LIN_OPERATIONS", 10_000) / 4 {
        let Reply::Array(both) = client.cmd(&["MGET", "right", "left"]) else {
            panic!("MGET gives an array")
        };
        assert_eq!(both[0], both[1]);
    }
    is_over.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|thread| thread.join().expect("no panic"));
}

/// Requests that come between those about one shard: refused, without keys, with more keys than one, queued, or taking long.
const BETWEEN: [&[&str]; 10] = [
    &["INCR"],
    &["NOSUCH", "{t}n"],
    &["PING"],
    &["DBSIZE"],
    &["SWAPDB", "3", "4"],
    &["LRANGE", "{t}n", "0", "-1"],
    &["MSET", "{t}other", "1", "elsewhere", "2"],
    &["BLPOP", "{t}list", "0.001"],
    &["MULTI"],
    &["EXEC"],
];

/// Sends a pipeline of increments with other requests between them. Answers what the counter was after each.
fn count_in_a_pipeline(client: &mut Client, random: &mut Random) -> Vec<i64> {
    let requests: Vec<&[&str]> = (0..60)
        .map(|_| match random.below(6) {
            0 => BETWEEN[random.below(BETWEEN.len() as u64) as usize],
            1 | 2 => &["GET", "{t}m"],
            _ => &["INCR", "{t}n"],
        })
        .chain([&["EXEC"][..]])
        .collect();
    let bytes: Vec<u8> = requests.iter().flat_map(|request| encode(request)).collect();
    client.send_raw(&bytes).expect("sent");
    let mut counts = Vec::new();
    for request in requests {
        match client.recv().expect("a reply") {
            Reply::Int(count) if request[0] == "INCR" => counts.push(count),
            Reply::Array(replies) if request[0] == "EXEC" => {
                let count = |reply| if let Reply::Int(count) = reply { Some(count) } else { None };
                // DBSIZE in a transaction gives a number below all counts.
                counts.extend(replies.into_iter().filter_map(count).filter(|count| *count > 1000));
            }
            _ => {}
        }
    }
    counts
}

/// Requests in a row about one shard run under one hold of it, whatever stands between such rows.
#[test]
fn lin_1_pipelines_to_one_shard_run_beside_each_other() {
    let server = server();
    assert_eq!(server.client().cmd(&["SET", "{t}n", "1000"]), Reply::Simple("OK".into()));
    let rounds = from_env("RUSSET_LIN_OPERATIONS", 10_000) / 100;
    let threads: Vec<_> = (0..4)
        .map(|seed| {
            let mut client = server.client();
            spawn(move || {
                let mut random = Random::new(seed);
                let counts: Vec<i64> = (0..rounds)
                    .flat_map(|_| count_in_a_pipeline(&mut client, &mut random))
                    .collect();
                assert!(counts.is_sorted_by(|one, next| one < next), "each count is seen once");
                counts.len() as i64
            })
        })
        .collect();
    let counted: i64 = threads.into_iter().map(|thread| thread.join().expect("no panic")).sum();
    assert_eq!(server.client().cmd(&["INCRBY", "{t}n", "0"]), Reply::Int(1000 + counted));
    assert!(counted > 4 * rounds as i64, "{counted} increments");
}
