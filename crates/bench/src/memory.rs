//! What keys and elements take of a server's memory.
//!
//! Every kind is loaded into a fresh server; its resident size then, less that of the empty server,
//! is divided by the keys or by the elements.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::compare::{Options, Results, drive, say};
use crate::process::{self, Server};
use crate::workload::Suite;

/// From the last key until memory is read: allocators keep pages for some seconds that growth has left behind.
const SETTLE: Duration = Duration::from_secs(3);

/// What a kind of key or element takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    /// What was stored.
    pub stored: &'static str,
    /// Where.
    pub server: &'static str,
    /// Growth of the resident size by key, or by element.
    pub bytes_each: f64,
    /// What it may be over Valkey's.
    pub goal: f64,
}

/// One kind: how it is loaded and what the growth is divided by.
struct Kind {
    stored: &'static str,
    line: &'static str,
    /// How often the line is sent.
    times: u32,
    /// Keys or elements that one line stores.
    each: u32,
    goal: f64,
}

const fn kind(stored: &'static str, line: &'static str, goal: f64) -> Kind {
    Kind { stored, line, times: 1_000_000, each: 1, goal }
}

const KEYS: &[Kind] = &[
    kind("keys of 16 bytes, values of 64", "SET __rand_key__ __value__", 0.83),
    kind("the same, expiring", "SET __rand_key__ __value__ EX 86400", 0.77),
    // Larger than the integers servers keep shared, so each key holds its own.
    kind("keys of 16 bytes, integers of 10 digits", "SET __rand_key__ 1234567890", 0.80),
];

const TYPES: &[Kind] = &[
    kind(
        "hash, fields and values of 16",
        "HSET hash fld:__rand_digits__ val:__rand_digits__",
        0.72,
    ),
    kind("set, members of 16", "SADD set mbr:__rand_digits__", 0.75),
    kind("sorted set, members of 16", "ZADD zset __rand_int__ mbr:__rand_digits__", 0.65),
    kind("list, elements of 16", "RPUSH list elm:__rand_digits__", 1.0),
    kind("stream, a field and a value of 16", "XADD stream * field val:__rand_digits__", 1.0),
    Kind { times: 100_000, each: 10, ..kind("100,000 hashes of 10, by field", SMALL_HASH, 1.0) },
    Kind {
        times: 100_000,
        each: 10,
        ..kind("100,000 sorted sets of 10, by member", SMALL_SORTED_SET, 1.0)
    },
];

const SMALL_HASH: &str = "HSET hsh:__rand_digits__ f0 val:__rand_digits__ f1 val:__rand_digits__ \
    f2 val:__rand_digits__ f3 val:__rand_digits__ f4 val:__rand_digits__ f5 val:__rand_digits__ \
    f6 val:__rand_digits__ f7 val:__rand_digits__ f8 val:__rand_digits__ f9 val:__rand_digits__";

const SMALL_SORTED_SET: &str = "ZADD zst:__rand_digits__ 0 mbr:__rand_digits__ \
    1 mbr:__rand_digits__ 2 mbr:__rand_digits__ 3 mbr:__rand_digits__ 4 mbr:__rand_digits__ \
    5 mbr:__rand_digits__ 6 mbr:__rand_digits__ 7 mbr:__rand_digits__ 8 mbr:__rand_digits__ \
    9 mbr:__rand_digits__";

/// Loads every kind of the suite into every server.
pub fn measure(results: &Results) -> io::Result<Vec<Memory>> {
    let options = &results.options;
    let kinds = match options.suite {
        Suite::Keys => KEYS,
        Suite::Types => TYPES,
        Suite::Heavy | Suite::Messages | Suite::Scripts => &[],
    };
    let mut measured = Vec::new();
    for Kind { stored, line, times, each, goal } in kinds {
        for contender in &results.contenders {
            say(&format!("memory of {stored} in {}", contender.name));
            let grown = growth(options, &contender.program, line, *times)?;
            let bytes_each = grown as f64 / (f64::from(*times) * f64::from(*each));
            measured.push(Memory { stored, server: contender.name, bytes_each, goal: *goal });
        }
    }
    Ok(measured)
}

/// By how many bytes a fresh server grows when the line is sent so often, its numbers counting up.
fn growth(options: &Options, program: &Path, line: &str, times: u32) -> io::Result<u64> {
    let server = Server::start(program, options.server_core)?;
    let before = server.rss_bytes()?;
    let times = times.to_string();
    // More numbers than there are, so that those of a line with several differ from all others.
    drive(
        options,
        &server,
        &["--command", line, "--in-order", "-n", &times, "-P", "64", "-r", "20000000"],
    )?;
    process::pause(SETTLE);
    Ok(server.rss_bytes()?.saturating_sub(before))
}
