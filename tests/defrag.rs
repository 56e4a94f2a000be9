//! Memory that half of the keys have left goes back to the system, while everybody is served.
//!
//! The server runs in a process of its own, so that its memory can be weighed. In CI there are few keys, and what the process takes when
//! it is empty is left out; with `RUSSET_LONG_TESTS=1` there are a million, and nothing is left out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use russet_testkit::client::encode;
use russet_testkit::{Client, Process, Random, Setup};

/// How long it may take: the goal is a minute, on a machine that has nothing else to do.
const PATIENCE: Duration = Duration::from_mins(2);

/// Commands sent at once.
const BATCH: usize = 500;

fn is_long() -> bool {
    std::env::var("RUSSET_LONG_TESTS").as_deref() == Ok("1")
}

struct Alone {
    client: Client,
    process: Process,
}

impl Alone {
    fn start(arguments: &[&str]) -> Self {
        let setup = Setup::new(env!("CARGO_BIN_EXE_russet"))
            .args(["--save", "", "--enable-debug-command", "yes"])
            .args(arguments);
        let process = setup.start().expect("the server starts");
        let client = process.client().expect("the server listens");
        Self { client, process }
    }

    fn ask(&mut self, line: &str) -> String {
        self.client.cmd(&line.split(' ').collect::<Vec<_>>()).to_string()
    }

    fn info(&mut self, field: &str) -> u64 {
        info(&mut self.client, field)
    }

    fn rss(&self) -> u64 {
        self.process.rss_bytes().expect("the server runs")
    }

    /// Sends commands and waits for as many replies, none of them an error.
    fn run(&mut self, commands: &[Words]) {
        for batch in commands.chunks(BATCH) {
            let bytes: Vec<u8> = batch.iter().flat_map(|words| encode(words)).collect();
            self.client.send_raw(&bytes).expect("the server reads");
            for _ in batch {
                let reply = self.client.recv().expect("the server answers").to_string();
                assert!(!reply.starts_with("(error)") && !reply.starts_with('-'), "{reply}");
            }
        }
    }
}

fn info(client: &mut Client, field: &str) -> u64 {
    let info = client.cmd(&["INFO", "everything"]);
    let info = String::from_utf8_lossy(info.bytes().expect("a text")).into_owned();
    let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let number = line.and_then(|value| value.trim().parse().ok());
    number.unwrap_or_else(|| panic!("{field} in {info}"))
}

/// Resident over used bytes, and both, beyond those of the empty process.
fn ratio(process: &Process, client: &mut Client, empty: (u64, u64)) -> (f64, u64, u64) {
    let (rss, used) = (process.rss_bytes().expect("the server runs"), info(client, "used_memory"));
    let (rss, used) = (rss - empty.0, used - empty.1);
    (rss as f64 / used as f64, rss, used)
}

/// The words of a command.
type Words = Vec<Vec<u8>>;

fn words<const N: usize>(words: [&[u8]; N]) -> Words {
    words.map(<[u8]>::to_vec).to_vec()
}

/// What puts a value under the key with this number: most are strings of 16 to 4096 bytes, about as many of each size class.
fn made(random: &mut Random, nth: usize) -> Words {
    let key = format!("key:{nth}").into_bytes();
    let least = 16 << random.below(8);
    let size = (least + random.below(least)) as usize;
    let value = vec![b'v'; size];
    match nth % 10 {
        0 => words([b"HSET", &key, b"f", &value[..size.min(60)], b"g", b"1", b"h", b"word"]),
        1 => words([b"ZADD", &key, b"1", b"one", b"2.5", &value[..size.min(40)], b"3", b"three"]),
        2 => words([b"RPUSH", &key, &value[..size.min(900)], b"b", &value]),
        3 => words([b"SADD", &key, b"member", &value[..size.min(100)], b"another"]),
        4 => words([b"SET", &key, &value, b"EX", b"100000"]),
        _ => words([b"SET", &key, &value]),
    }
}

/// Collections with many elements, of which most go.
fn large(random: &mut Random) -> (Vec<Words>, Vec<Words>) {
    let (mut made, mut gone) = (Vec::new(), Vec::new());
    for nth in 0..6_000 {
        let element = format!("element:{nth}:{}", "e".repeat(random.below(60) as usize));
        let (element, score) = (element.as_bytes(), nth.to_string());
        made.push(words([b"HSET", b"hash", element, element]));
        made.push(words([b"SADD", b"set", element]));
        made.push(words([b"ZADD", b"zset", score.as_bytes(), element]));
        made.push(words([b"RPUSH", b"list", element]));
        made.push(words([b"XADD", b"stream", b"*", b"field", element]));
        if nth % 4 != 0 {
            gone.push(words([b"HDEL", b"hash", element]));
            gone.push(words([b"SREM", b"set", element]));
            gone.push(words([b"ZREM", b"zset", element]));
        }
    }
    (made, gone)
}

/// Asks again and again until `stop`; answers how often.
fn ping(process: &Process, stop: &AtomicBool) -> u64 {
    let mut client = process.client().expect("the server listens");
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        assert_eq!(client.cmd(&["PING"]).to_string(), "PONG");
        count += 1;
        std::thread::sleep(Duration::from_millis(2));
    }
    count
}

#[test]
fn memory_of_deleted_keys_goes_back_while_clients_are_served() {
    let mut server = Alone::start(&["--active-defrag-ignore-bytes", "1mb"]);
    let (keys, empty) = if is_long() {
        (1_000_000, (0, 0))
    } else {
        (40_000, (server.rss(), server.info("used_memory")))
    };
    server.ask("CONFIG SET active-defrag-threshold-lower 5 active-defrag-cycle-max 75");
    let mut random = Random::new(5);
    for first in (0..keys).step_by(BATCH) {
        let batch: Vec<_> = (first..first + BATCH).map(|nth| made(&mut random, nth)).collect();
        server.run(&batch);
    }
    let (made, gone) = large(&mut random);
    server.run(&made);
    server.run(&gone);
    for first in (0..keys).step_by(BATCH) {
        let doomed = (first..first + BATCH).filter(|_| random.percent(50));
        let batch: Vec<_> =
            doomed.map(|nth| words([b"DEL", format!("key:{nth}").as_bytes()])).collect();
        server.run(&batch);
    }
    let digest = server.ask("DEBUG DIGEST");
    let before = ratio(&server.process, &mut server.client, empty);
    assert!(before.0 > 1.3, "there is nothing to be done: {before:?}");
    assert!(server.ask("MEMORY DOCTOR").contains("CONFIG SET activedefrag yes"));
    assert_eq!(server.info("active_defrag_running"), 0);
    assert_eq!(server.ask("CONFIG SET activedefrag yes"), "OK");

    let (began, stop) = (Instant::now(), AtomicBool::new(false));
    let (after, pings) = std::thread::scope(|scope| {
        let pinger = {
            let (process, stop) = (&server.process, &stop);
            scope.spawn(move || ping(process, stop))
        };
        let after = loop {
            let now = ratio(&server.process, &mut server.client, empty);
            if now.0 <= 1.25 || began.elapsed() > PATIENCE {
                break now;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        stop.store(true, Ordering::Relaxed);
        (after, pinger.join().expect("every PING is answered"))
    });
    let took = began.elapsed();
    println!("resident over used {before:?} -> {after:?} in {took:?}, {pings} PINGs");
    let fields = ["hits", "misses", "key_hits", "key_misses"];
    let counts = fields.map(|name| server.info(&format!("active_defrag_{name}")));
    println!("{fields:?} {counts:?}, {} ms", server.info("total_active_defrag_time"));
    assert!(after.0 <= 1.25, "{after:?}, {counts:?}");
    assert_eq!(server.ask("DEBUG DIGEST"), digest);
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert!(server.info("total_active_defrag_time") > 0);
    assert_eq!(server.ask("CONFIG SET activedefrag no"), "OK");
    let until = Instant::now() + PATIENCE;
    while server.info("active_defrag_running") > 0 {
        assert!(Instant::now() < until, "it goes on though it was switched off");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.ask("CONFIG RESETSTAT"), "OK");
    assert_eq!(server.info("active_defrag_hits"), 0);
}

#[test]
fn texts_of_scripts_move_together_where_keys_between_them_have_gone() {
    const SCRIPTS: usize = 10_000;
    let mut server = Alone::start(&["--active-defrag-ignore-bytes", "500kb"]);
    server.ask("CONFIG SET active-defrag-threshold-lower 5 active-defrag-cycle-max 75");
    let text = |nth: usize| format!("--{}\nreturn {nth}", "x".repeat(400)).into_bytes();
    let pair = |nth| {
        let (key, text) = (format!("key:{nth}").into_bytes(), text(nth));
        [words([b"SCRIPT", b"LOAD", &text]), words([b"SET", &key, &text])]
    };
    server.run(&(0..SCRIPTS).flat_map(pair).collect::<Vec<_>>());
    let gone = |nth: usize| words([b"DEL", format!("key:{nth}").as_bytes()]);
    server.run(&(0..SCRIPTS).map(gone).collect::<Vec<_>>());
    let lost_percent = |server: &mut Alone| {
        let [active, allocated] =
            ["allocator_active", "allocator_allocated"].map(|field| server.info(field));
        active * 100 / allocated - 100
    };
    let (before, until) = (lost_percent(&mut server), Instant::now() + PATIENCE);
    assert!(before > 20, "there is nothing to be done: {before} %");
    assert_eq!(server.ask("CONFIG SET activedefrag yes"), "OK");
    while lost_percent(&mut server) > before / 2 {
        assert!(Instant::now() < until, "{} of {before} %", lost_percent(&mut server));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(server.info("active_defrag_hits") > SCRIPTS as u64 / 4);
    for nth in (0..SCRIPTS).step_by(997) {
        let sha = server.client.cmd(&[&b"SCRIPT"[..], b"LOAD", &text(nth)]).to_string();
        assert_eq!(server.ask(&format!("EVALSHA {sha} 0")), nth.to_string());
    }
}
