//! Caches on the side of clients, under fire: readers keep what they read, writers of all kinds change it. When all is quiet, whatever
//! a cache still holds is what the server holds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use russet_testkit::{Client, Reply};

use crate::{Server, server};

const KEYS: u64 = 60;

/// Dice.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn key(&mut self) -> String {
        // Some keys share a shard.
        match self.below(KEYS) {
            n if n % 3 == 0 => format!("{{tag}}{n}"),
            n => format!("k{n}"),
        }
    }
}

/// A connection with a cache.
struct Reader {
    client: Client,
    cache: BTreeMap<String, String>,
    opts_in: bool,
    invalidations: usize,
}

impl Reader {
    fn new(server: &Server, options: &str) -> Self {
        let mut client = server.client();
        client.hello3();
        let words = format!("CLIENT TRACKING ON {options}");
        let words: Vec<&str> = words.split_whitespace().collect();
        assert_eq!(client.cmd(&words).to_string(), "OK");
        let opts_in = options.contains("OPTIN");
        Self { client, cache: BTreeMap::new(), opts_in, invalidations: 0 }
    }

    /// One reply; pushes before it change the cache in the order in which they come.
    fn reply(&mut self) -> Reply {
        loop {
            match self.client.recv().expect("a reply") {
                Reply::Push(words) => self.invalidate(&words),
                reply => return reply,
            }
        }
    }

    fn invalidate(&mut self, words: &[Reply]) {
        assert_eq!(words[0].to_string(), "invalidate");
        self.invalidations += 1;
        match &words[1] {
            Reply::Array(keys) => {
                for key in keys {
                    let key = String::from_utf8_lossy(key.bytes().expect("a name"));
                    self.cache.remove(&*key);
                }
            }
            _ => self.cache.clear(),
        }
    }

    /// Reads a few keys that are not in the cache, in one pipeline.
    fn read(&mut self, dice: &mut Dice) {
        let keys: Vec<String> = (0..=dice.below(12))
            .map(|_| dice.key())
            .filter(|k| !self.cache.contains_key(k))
            .collect();
        for key in &keys {
            if self.opts_in {
                self.client.send(&["CLIENT", "CACHING", "YES"]).expect("sent");
            }
            self.client.send(&["GET", key]).expect("sent");
        }
        for key in keys {
            if self.opts_in {
                assert_eq!(self.reply().to_string(), "OK");
            }
            let value = self.reply().to_string();
            self.cache.insert(key, value);
        }
    }

    /// Takes everything that was on its way.
    fn settle(&mut self) {
        for _ in 0..2 {
            self.client.send(&["PING"]).expect("sent");
            assert_eq!(self.reply().to_string(), "PONG");
        }
    }
}

fn write(client: &mut Client, dice: &mut Dice, nth: u64) {
    let (key, value) = (dice.key(), nth.to_string());
    let words: Vec<&str> = match dice.below(40) {
        0..=15 => vec!["SET", &key, &value],
        16..=20 => vec!["DEL", &key],
        21..=24 => vec!["SET", &key, &value, "PX", "5"],
        25..=27 => vec!["PEXPIRE", &key, "3"],
        28..=29 => vec!["GETDEL", &key],
        30..=31 => return transaction(client, dice, &value),
        32..=33 => return rename(client, dice),
        34..=36 => vec!["COPY", &key, "k1", "REPLACE"],
        37 if nth.is_multiple_of(50) => vec!["FLUSHALL"],
        38 if nth.is_multiple_of(30) => vec!["SWAPDB", "0", "1"],
        _ => vec!["APPEND", &key, "x"],
    };
    client.cmd(&words);
}

fn write_on(server: &Server, seed: u64, stop: &AtomicBool) {
    let (mut client, mut dice) = (server.client(), Dice(seed));
    let mut nth = 0;
    while !stop.load(Ordering::Relaxed) {
        nth += 1;
        write(&mut client, &mut dice, nth);
    }
}

fn transaction(client: &mut Client, dice: &mut Dice, value: &str) {
    client.cmd(&["MULTI"]);
    for _ in 0..3 {
        client.cmd(&["SET", &dice.key(), value]);
    }
    client.cmd(&["EXEC"]);
}

fn rename(client: &mut Client, dice: &mut Dice) {
    client.cmd(&["RENAME", &dice.key(), &dice.key()]);
}

/// Readers with these options, while three connections write.
fn check(server: &Server, options: &[&str], seconds: f64) {
    let mut readers: Vec<Reader> =
        options.iter().map(|options| Reader::new(server, options)).collect();
    let stop = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 1..=3 {
            scope.spawn(move || write_on(server, seed * 0x9e37_79b9, stop));
        }
        for (seed, reader) in (101_u64..).zip(&mut readers) {
            scope.spawn(move || {
                let mut dice = Dice(seed * 0x51_7cc1_b727);
                while !stop.load(Ordering::Relaxed) {
                    reader.read(&mut dice);
                }
            });
        }
        std::thread::sleep(Duration::from_secs_f64(seconds));
        stop.store(true, Ordering::Relaxed);
    });
    // What was given milliseconds has ended, and is removed within a round of the timer.
    std::thread::sleep(Duration::from_millis(500));
    let mut truth = server.client();
    for (reader, options) in readers.iter_mut().zip(options) {
        reader.settle();
        assert!(reader.invalidations > 0, "{options}");
        for (key, cached) in &reader.cache {
            let value = truth.cmd(&["GET", key]).to_string();
            assert_eq!(*cached, value, "{key} is stale for a reader with [{options}]");
        }
    }
}

#[test]
fn a_cache_holds_nothing_stale_when_all_is_quiet() {
    check(&server(), &["", "", "OPTIN", "BCAST", "BCAST PREFIX k PREFIX {tag}"], 3.0);
}

#[test]
fn a_cache_holds_nothing_stale_when_the_table_is_too_small() {
    let server = Server::with(&["--tracking-table-max-keys", "10"]);
    check(&server, &["", "", "OPTIN"], 2.0);
}

#[test]
fn a_cache_holds_nothing_stale_while_others_come_and_go() {
    let server = server();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in [7_u64, 8] {
            let (server, stop) = (&server, &stop);
            scope.spawn(move || {
                let mut dice = Dice(seed);
                while !stop.load(Ordering::Relaxed) {
                    let options = ["", "BCAST", "NOLOOP"][dice.below(3) as usize];
                    let mut passer = Reader::new(server, options);
                    passer.read(&mut dice);
                }
            });
        }
        check(&server, &["", "BCAST"], 2.0);
        stop.store(true, Ordering::Relaxed);
    });
}
