//! `maxmemory`: the limit holds, whoever goes under it, and everybody is told.
//!
//! What goes by the memory of the process has a process of its own; what goes by who is told runs in this one, with a limit that nothing
//! fits under.

use std::time::{Duration, Instant};

use russet_dispatch::State;
use russet_engine::Patience;
use russet_testkit::{Client, Process, Random, Reference, Reply, Setup, Transcript};

use crate::{Server, server};

/// How long the housekeeping may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a limit may be exceeded by, after a command.
const TOLERANCE: i64 = 4096;

/// A server alone in its process, whose clients' buffers count as data do in Redis.
struct Alone {
    client: Client,
    process: Process,
}

impl Alone {
    fn start(arguments: &[&str]) -> Self {
        let setup = Setup::new(env!("CARGO_BIN_EXE_russet")).args(["--save", ""]).args(arguments);
        let process = setup.start().expect("the server starts");
        let client = process.client().expect("the server listens");
        Self { client, process }
    }

    fn info(&mut self, field: &str) -> i64 {
        let info = self.client.cmd(&["INFO", "everything"]);
        number(&String::from_utf8_lossy(info.bytes().expect("a text")), field)
    }

    fn set(&mut self, parameter: &str, value: &str) {
        assert_eq!(self.client.cmd(&["CONFIG", "SET", parameter, value]).to_string(), "OK");
    }

    /// Limits memory to what is used, and so much more. Answers the limit.
    fn leave_room(&mut self, bytes: i64) -> i64 {
        let limit = self.info("used_memory") + bytes;
        self.set("maxmemory", &limit.to_string());
        limit
    }

    /// Waits until so much is not used any more.
    fn settle(&mut self, limit: i64) {
        let until = Instant::now() + PATIENCE;
        while self.info("used_memory") - self.info("mem_not_counted_for_evict") > limit {
            assert!(Instant::now() < until, "still over {limit}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn keys(&mut self) -> i64 {
        self.client.cmd(&["DBSIZE"]).int().expect("a number")
    }
}

fn number(info: &str, field: &str) -> i64 {
    let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("{field} in {info}"))
}

fn is_oom(reply: &Reply) -> bool {
    let text = "OOM command not allowed when used memory > 'maxmemory'.";
    matches!(reply, Reply::Error(_)) && reply.to_string().contains(text)
}

#[test]
fn res_10_the_limit_holds_under_every_policy() {
    let mut server = Alone::start(&["--maxmemory-clients", "0"]);
    let policies = ["lru", "lfu", "lrm", "random", "s3fifo", "sieve", "tinylfu"];
    let all = policies.iter().flat_map(|p| [format!("allkeys-{p}"), format!("volatile-{p}")]);
    for policy in all.chain(["volatile-ttl".to_owned()]) {
        server.set("maxmemory", "0");
        server.client.cmd(&["FLUSHALL", "SYNC"]);
        server.client.cmd(&["CONFIG", "RESETSTAT"]);
        server.set("maxmemory-policy", &policy);
        let limit = server.leave_room(300_000);
        let mut random = Random::new(7);
        for nth in 0..3_000 {
            let (key, value) = (random.bits().to_string(), "x".repeat(random.below(200) as usize));
            let reply = server.client.cmd(&["SET", &key, &value, "EX", "10000"]);
            assert_eq!(reply.to_string(), "OK", "{policy} after {nth}");
            if nth % 50 == 0 {
                let over = server.info("used_memory") - limit;
                assert!(over < TOLERANCE, "{policy}: {over} over after {nth}");
            }
        }
        let (evicted, keys) = (server.info("evicted_keys"), server.keys());
        // The housekeeping may remove some between the one question and the other.
        assert!((evicted + keys).abs_diff(3_000) < 100, "{policy}: {evicted} and {keys}");
        assert!(keys > 500, "{policy} keeps {keys}");
    }
}

#[test]
fn res_10_the_process_takes_little_more_than_the_limit() {
    let mut server = Alone::start(&["--maxmemory", "24mb", "--maxmemory-policy", "allkeys-s3fifo"]);
    let mut random = Random::new(9);
    for _ in 0..400 {
        let keys: Vec<String> = (0..50).map(|_| random.below(1 << 20).to_string()).collect();
        let value = "x".repeat(random.below(4_000) as usize);
        let mut words = vec!["MSET"];
        keys.iter().for_each(|key| words.extend([key.as_str(), &value]));
        assert_eq!(server.client.cmd(&words).to_string(), "OK");
    }
    assert!(server.info("evicted_keys") > 0);
    let rss = server.process.rss_bytes().expect("the server runs");
    assert!(rss < (24 + 64) << 20, "{rss} resident bytes");
}

/// What 10,000 values of up to so many bytes make a server use: with their keys and a separator for each, that many were written.
fn written_and_used(client: &mut Client, range: u64) -> (i64, i64) {
    let used = |client: &mut Client| {
        let info = client.cmd(&["INFO", "memory"]);
        number(&String::from_utf8_lossy(info.bytes().expect("a text")), "used_memory")
    };
    client.cmd(&["FLUSHALL", "SYNC"]);
    let (before, mut written, mut random) = (used(client), 0, Random::new(range));
    for first in (0..10_000).step_by(50) {
        let pairs: Vec<(String, String)> = (first..first + 50)
            .map(|nth| (format!("key:{nth}"), "A".repeat(random.below(range) as usize)))
            .collect();
        written += pairs.iter().map(|(key, value)| key.len() + value.len() + 2).sum::<usize>();
        let words = pairs.iter().flat_map(|(key, value)| [key.as_str(), value]);
        client.cmd(&std::iter::once("MSET").chain(words).collect::<Vec<_>>());
    }
    (written as i64, used(client) - before)
}

/// The rows of Valkey's own test, whose keys and values these are.
#[test]
fn res_12_most_of_what_is_used_is_values_and_it_is_no_more_than_valkeys() {
    let mut server = Alone::start(&[]);
    let valkey = Reference::start("valkey-server");
    for (range, percent) in [(32, 15), (64, 25), (128, 35), (1_024, 75), (16_384, 82)] {
        let (written, used) = written_and_used(&mut server.client, range);
        let share = written as f64 / used as f64;
        assert!(written * 100 >= used * percent, "{written} of {used} in range {range}");
        let Some(valkey) = &valkey else { continue };
        let (_, theirs) = written_and_used(&mut valkey.client(), range);
        println!("up to {range} bytes: {share:.3} of {used} used, Valkey uses {theirs}");
        assert!(used <= theirs, "{used} used, {theirs} by Valkey in range {range}");
    }
}

#[test]
fn only_what_ends_goes_under_a_volatile_policy() {
    let mut server = Alone::start(&["--maxmemory-clients", "0"]);
    let policies = ["lru", "lfu", "random", "ttl", "lrm", "s3fifo", "sieve", "tinylfu"];
    for policy in policies.map(|policy| format!("volatile-{policy}")) {
        server.set("maxmemory", "0");
        server.client.cmd(&["FLUSHALL", "SYNC"]);
        server.set("maxmemory-policy", &policy);
        for nth in 0..300 {
            server.client.cmd(&["SET", &format!("stays{nth}"), "x"]);
        }
        server.leave_room(100_000);
        for nth in 0..3_000 {
            let reply = server.client.cmd(&["SET", &format!("goes{nth}"), "x", "EX", "10000"]);
            assert_eq!(reply.to_string(), "OK", "{policy}");
        }
        assert!(server.keys() < 3_300, "{policy}");
        // What never ends takes the place of what does, until nothing is left that may go.
        let refused = (0..100_000)
            .position(|n| is_oom(&server.client.cmd(&["SET", &format!("more{n}"), "x"])));
        let kept = server.keys();
        assert_eq!(kept, 300 + refused.expect("it ends") as i64, "{policy}");
    }
}

#[test]
fn who_ends_first_goes_first() {
    let samples = ["--maxmemory-samples", "10"];
    let mut server =
        Alone::start(&[&samples[..], &["--maxmemory-policy", "volatile-ttl"]].concat());
    for nth in 0..2_000 {
        let (key, end) = (format!("k{nth}"), (10_000 + nth).to_string());
        server.client.cmd(&["SET", &key, &"x".repeat(100), "EX", &end]);
    }
    let limit = server.leave_room(-80_000);
    server.settle(limit);
    let evicted = 2_000 - server.keys();
    assert!((100..1_500).contains(&evicted), "{evicted}");
    let early = (0..evicted).filter(|n| exists(&mut server.client, &format!("k{n}"))).count();
    assert!(early as i64 * 5 < evicted, "{early} of the first {evicted} are still there");
}

#[test]
fn what_was_just_written_is_there_under_every_new_policy() {
    let mut server =
        Alone::start(&["--maxmemory-clients", "0", "--maxmemory-policy", "allkeys-lru"]);
    let limit = server.leave_room(1_000_000);
    let mut random = Random::new(5);
    // From one policy to the next while memory is full: the bits of the one mean something else to the other.
    for policy in ["allkeys-s3fifo", "allkeys-sieve", "allkeys-tinylfu", "allkeys-s3fifo"] {
        server.set("maxmemory-policy", policy);
        let mut lost = 0;
        for _ in 0..8_000 {
            let key = random.bits().to_string();
            server.client.cmd(&["SET", &key, &"x".repeat(100)]);
            lost += i64::from(!exists(&mut server.client, &key));
        }
        assert!(lost < 5, "{policy}: {lost} of 8000 were gone at once");
        let over = server.info("used_memory") - limit;
        assert!(over < TOLERANCE, "{policy}: {over} over");
        assert!(server.keys() > 2_000, "{policy} keeps {}", server.keys());
    }
    server.set("maxmemory-policy", "noeviction");
    server.set("maxmemory", "0");
    server.client.cmd(&["FLUSHALL", "SYNC"]);
}

fn exists(client: &mut Client, key: &str) -> bool {
    client.cmd(&["EXISTS", key]).int() == Some(1)
}

#[test]
fn what_was_used_lately_stays() {
    for policy in ["allkeys-lru", "allkeys-lrm"] {
        let mut server = Alone::start(&["--maxmemory-policy", policy]);
        for nth in 0..2_000 {
            server.client.cmd(&["SET", &format!("k{nth}"), &"x".repeat(100)]);
        }
        std::thread::sleep(Duration::from_millis(2_100));
        for nth in 0..1_000 {
            let key = format!("k{nth}");
            let used = if policy == "allkeys-lru" {
                server.client.cmd(&["GET", &key])
            } else {
                // A read is no change.
                server.client.cmd(&["GET", &format!("k{}", nth + 1_000)]);
                server.client.cmd(&["APPEND", &key, "x"])
            };
            assert!(!used.is_error());
        }
        let limit = server.leave_room(-80_000);
        server.settle(limit);
        let evicted = 2_000 - server.keys();
        let lost = (0..1_000).filter(|n| !exists(&mut server.client, &format!("k{n}"))).count();
        assert!(evicted > 100 && (lost as i64) * 5 < evicted, "{policy}: {lost} of {evicted}");
    }
}

#[test]
fn without_eviction_commands_that_need_memory_are_refused() {
    let mut server = Alone::start(&["--maxmemory-clients", "0"]);
    server.leave_room(100_000);
    let mut filled = 0;
    while !is_oom(&server.client.cmd(&["SET", &format!("k{filled}"), "x"])) {
        filled += 1;
    }
    assert!(filled > 100, "{filled}");
    assert!(is_oom(&server.client.cmd(&["LPUSH", "list", "x"])));
    let mut check = |command: &str, expected: &str| {
        let words: Vec<&str> = command.split(' ').collect();
        assert_eq!(server.client.cmd(&words).to_string(), expected, "{command}");
    };
    check("GET k0", "x");
    check("STRLEN k0", "1");
    // A queue would grow: nothing is queued but what ends it.
    for (command, expected) in [("MULTI", "OK"), ("GET k0", "OOM"), ("EXEC", "EXECABORT")] {
        let words: Vec<&str> = command.split(' ').collect();
        let reply = server.client.cmd(&words).to_string();
        assert!(reply.contains(expected), "{command}: {reply}");
    }
    let deleted = server.client.cmd(&["DEL", "k1"]);
    assert_eq!(deleted.int(), Some(1));
    std::thread::sleep(Duration::from_millis(5));
    assert!(server.info("total_eviction_exceeded_time") > 0);
    server.client.cmd(&["FLUSHALL"]);
    let reply = server.client.cmd(&["SET", "k", "v"]);
    assert_eq!(reply.to_string(), "OK", "there is room again");
    assert_eq!(server.info("current_eviction_exceeded_time"), 0);
    assert!(server.info("total_eviction_exceeded_time") > 0);
}

#[test]
fn a_transaction_is_refused_whole_when_memory_is_full() {
    let mut server = Alone::start(&["--maxmemory-clients", "0"]);
    let mut other = server.process.client().expect("the server listens");
    server.client.cmd(&["MULTI"]);
    server.client.cmd(&["SET", "k", "v"]);
    server.client.cmd(&["GET", "k"]);
    assert_eq!(other.cmd(&["CONFIG", "SET", "maxmemory", "1"]).to_string(), "OK");
    let reply = server.client.cmd(&["EXEC"]).to_string();
    let expected = "EXECABORT Transaction discarded because of: \
                    OOM command not allowed when used memory > 'maxmemory'.";
    assert!(reply.contains(expected), "{reply}");
    // One that only reads runs.
    assert_eq!(other.cmd(&["CONFIG", "SET", "maxmemory", "0"]).to_string(), "OK");
    server.client.cmd(&["MULTI"]);
    server.client.cmd(&["GET", "k"]);
    assert_eq!(other.cmd(&["CONFIG", "SET", "maxmemory", "1"]).to_string(), "OK");
    assert_eq!(server.client.cmd(&["EXEC"]).items().map(<[Reply]>::len), Some(1));
}

#[test]
fn a_limit_that_is_lowered_is_reached_though_nobody_writes() {
    let mut server = Alone::start(&["--maxmemory-policy", "allkeys-random"]);
    for nth in 0..3_000 {
        server.client.cmd(&["SET", &format!("k{nth}"), &"x".repeat(500)]);
    }
    let limit = server.leave_room(-1_000_000);
    server.settle(limit);
    assert!((500..2_000).contains(&server.keys()));
}

#[test]
fn large_values_go_as_well_and_one_that_does_not_fit_leaves_nothing() {
    let mut server = Alone::start(&["--maxmemory-policy", "allkeys-lru"]);
    let limit = server.leave_room(3_000_000);
    for nth in 0..200 {
        let reply = server.client.cmd(&["SET", &format!("k{nth}"), &"x".repeat(100_000)]);
        assert_eq!(reply.to_string(), "OK");
    }
    let keys = server.keys();
    assert!((20..30).contains(&keys), "{keys}");
    let refused = server.client.cmd(&["SETRANGE", "huge", "5000000", "x"]).to_string();
    assert!(refused.contains("OOM"), "it alone is more than the limit: {refused}");
    assert_eq!(server.keys(), keys, "nobody goes for it");
    assert_eq!(server.client.cmd(&["SETRANGE", "huge", "2000000", "x"]).int(), Some(2_000_001));
    assert!(server.keys() < keys);
    server.settle(limit);
    assert_eq!(server.client.cmd(&["SET", "k", "v"]).to_string(), "OK");
}

#[test]
fn listeners_clients_with_caches_and_followers_are_told() {
    let server = server();
    let state = server.state();
    let all = state.keyspace.hold_all(Patience::ENDLESS).expect("endless patience");
    let mut journal = state.journal.follow();
    drop(all);
    let mut t = Transcript::new(server.client());
    t.check("CONFIG SET notify-keyspace-events Ee maxmemory-policy allkeys-lru", "OK");
    let (mut listener, mut reader) = (server.client(), server.client());
    listener.cmd(&["SUBSCRIBE", "__keyevent@3__:evicted"]);
    reader.hello3();
    reader.cmd(&["CLIENT", "TRACKING", "on"]);
    reader.cmd(&["SELECT", "3"]);
    t.check("SELECT 3", "OK");
    t.check("SET k v", "OK");
    reader.cmd(&["GET", "k"]);
    t.check("WATCH k", "OK");
    t.check("CONFIG SET maxmemory 1", "OK");
    let event = listener.recv().expect("an event").to_string();
    assert!(event.contains("evicted") && event.contains('k'), "{event}");
    let told = reader.push().expect("an invalidation").to_string();
    assert!(told.contains("invalidate") && told.contains('k'), "{told}");
    let mut records = Vec::new();
    while let Some(record) = journal.read().expect("a reader that keeps up") {
        records.extend_from_slice(&record);
    }
    let records = String::from_utf8_lossy(&records).into_owned();
    assert!(records.contains("UNLINK\r\n$1\r\nk\r\n"), "{records}");
    t.check("CONFIG SET maxmemory 0", "OK");
    t.check("MULTI", "OK");
    t.check("PING", "QUEUED");
    t.check("EXEC", "(nil)");
}

#[test]
fn a_pause_of_writes_holds_eviction_too() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("CONFIG SET maxmemory-policy allkeys-random", "OK");
    t.check("SET k v", "OK");
    t.check("CLIENT PAUSE 100000 WRITE", "OK");
    t.check("CONFIG SET maxmemory 1", "OK");
    t.check("EXISTS k", "1");
    t.check("CLIENT UNPAUSE", "OK");
    t.check("EXISTS k", "0");
}

/// What all shards hold, counted anew.
fn counted(state: &State) -> i64 {
    let of = |shard| {
        let shard = state.keyspace.hold_patiently(shard);
        shard.bytes() + shard.overhead_bytes()
    };
    (0..state.keyspace.shards()).map(of).sum::<usize>() as i64
}

/// Commands on a few hundred keys of all types.
fn work(mut client: Client, seed: u64, rounds: u64) {
    let mut random = Random::new(seed);
    client.cmd(&["SELECT", &(seed % 3).to_string()]);
    for _ in 0..rounds {
        let (key, word) = (random.below(300).to_string(), random.below(1000).to_string());
        let (key, word) = (key.as_str(), word.as_str());
        let long = "x".repeat(random.below(40_000) as usize);
        let words: &[&str] = match random.below(16) {
            0 => &["SET", key, word],
            1 => &["SET", key, &long, "PX", word],
            2 => &["APPEND", key, word],
            3 => &["LPUSH", key, word, &long],
            4 => &["RPOP", key],
            5 => &["SADD", key, word],
            6 => &["HSET", key, word, word],
            7 => &["HEXPIRE", key, "1", "FIELDS", "1", word],
            8 => &["ZADD", key, word, word],
            9 => &["XADD", key, "*", word, word],
            10 => &["PEXPIRE", key, word],
            11 => &["RENAME", key, word],
            12 => &["MOVE", key, word.get(..1).unwrap_or("0")],
            13 => &["UNLINK", key],
            14 => &["COPY", key, word, "REPLACE"],
            _ if word == "7" => &["FLUSHDB"],
            _ if word == "8" => &["SWAPDB", "0", "1"],
            _ => &["GETDEL", key],
        };
        client.cmd(words);
    }
}

#[test]
fn what_threads_have_counted_is_what_there_is() {
    let server = Server::with(&["--maxmemory-policy", "allkeys-lru", "--io-threads", "2"]);
    let state = server.state();
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let client = server.client();
            scope.spawn(move || work(client, seed, 4_000));
        }
    });
    let until = Instant::now() + PATIENCE;
    // What ends meanwhile is removed between the one look and the other.
    while state.stats.data_bytes() != counted(state) {
        assert!(Instant::now() < until, "{} != {}", state.stats.data_bytes(), counted(state));
        std::thread::sleep(Duration::from_millis(50));
    }
}
