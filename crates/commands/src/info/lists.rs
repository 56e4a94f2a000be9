//! INFO's sections with a line for each command, error, database, thread or shard.

use std::fmt::Write;

use russet_config::id;
use russet_dispatch::session::Delivery;
use russet_dispatch::stats::CommandTotals;

use russet_engine::Type;
use russet_engine::sizes::least;

use super::facts::Facts;
use super::fields::is_replica;

/// A line for each command that was called or refused since the last CONFIG RESETSTAT.
pub(super) fn commands(facts: &Facts, text: &mut String) {
    for row in facts.state.table.all() {
        let totals = facts.state.stats.command(row.id);
        if totals.is_empty() {
            continue;
        }
        let CommandTotals { calls, nanoseconds, rejected, failed } = totals;
        let microseconds = nanoseconds / 1000;
        let each = nanoseconds as f64 / 1000.0 / calls.max(1) as f64;
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "cmdstat_{}:calls={calls},usec={microseconds},usec_per_call={each:.2},rejected_calls={rejected},failed_calls={failed}\r\n",
            row.full_name
        );
    }
}

/// A line for each client that is sent a snapshot.
pub(super) fn replicas(facts: &Facts, text: &mut String) {
    let replicas = facts.clients.iter().filter(|client| is_replica(client));
    for (nth, client) in replicas.enumerate() {
        let addr = client.peer.addr();
        let ip = addr.rsplit_once(':').map_or("", |(ip, _)| ip);
        let ip = ip.trim_start_matches('[').trim_end_matches(']');
        let state =
            if client.delivery() == Delivery::Awaited { "wait_bgsave" } else { "send_bulk" };
        // What would be a replica's own port and position.
        let _ = write!(text, "slave{nth}:ip={ip},port=0,state={state},offset=0,lag=0\r\n");
    }
}

/// A line for each kind of error.
pub(super) fn errors(facts: &Facts, text: &mut String) {
    for (code, count) in facts.state.stats.errors() {
        let code = harmless(&code);
        let _ = write!(text, "errorstat_{code}:count={count}\r\n");
    }
}

/// A name without what a line of INFO is made of.
fn harmless(name: &str) -> String {
    name.replace(['#', ':', '\n', '\r'], "_")
}

/// A line for each command whose latency is tracked, with the percentiles that the configuration names, in microseconds.
pub(super) fn latencies(facts: &Facts, text: &mut String) {
    if !facts.config.bool(const { id("latency-tracking") }) {
        return;
    }
    for row in facts.state.table.all() {
        let latency = facts.state.stats.latency(row.id);
        if latency.is_empty() {
            continue;
        }
        let shown = |percent: &f64| {
            format!("p{percent}={:.3}", latency.percentile(*percent) as f64 / 1_000.0)
        };
        let all: Vec<String> = facts.config.percentiles().iter().map(shown).collect();
        let _ = write!(text, "latency_percentiles_usec_{}:{}\r\n", row.full_name, all.join(","));
    }
}

/// A line for each database and type that there are keys of: how many values are how large, by powers of two.
pub(super) fn sizes(facts: &Facts, text: &mut String) {
    const NAMES: [(Type, &str); 5] = [
        (Type::String, "strings_sizes"),
        (Type::List, "lists_items"),
        (Type::Set, "sets_items"),
        (Type::SortedSet, "zsets_items"),
        (Type::Hash, "hashes_items"),
    ];
    for (db, database) in facts.walked.databases.iter().enumerate() {
        for (kind, name) in NAMES {
            let bins = database.sizes[kind as usize].iter().enumerate();
            let bins = bins.filter(|(_, count)| **count > 0);
            let all: Vec<String> =
                bins.map(|(bin, count)| format!("{}={count}", size(least(bin)))).collect();
            if !all.is_empty() {
                let _ = write!(text, "db{db}_distrib_{name}:{}\r\n", all.join(","));
            }
        }
    }
}

/// `512`, `1K`, `2M`.
fn size(number: u64) -> String {
    const UNITS: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];
    let power = if number == 0 { 0 } else { number.ilog2() / 10 };
    format!("{}{}", number >> (power * 10), UNITS[power as usize])
}

/// A line for each thread that has run anything.
pub(super) fn threads(facts: &Facts, text: &mut String) {
    let mut nth = 0;
    for counters in facts.state.stats.threads() {
        if !counters.name.starts_with("io-") {
            continue;
        }
        let _ = write!(
            text,
            "io_thread_{nth}:clients={},reads={},writes={},commands={},turns={},busy_usec={},command_usec={}\r\n",
            counters.clients.get(),
            counters.reads.get(),
            counters.writes.get(),
            counters.processed.get(),
            counters.batches.get(),
            counters.busy_ns.get() / 1_000,
            counters.command_ns.get() / 1_000,
        );
        nth += 1;
    }
}

/// A line for each shard that holds something: too many to be shown to those who do not ask for them.
pub(super) fn shards(facts: &Facts, text: &mut String) {
    let shards = &facts.walked.shards;
    let keys = shards.iter().map(|shard| shard.keys);
    let _ = write!(
        text,
        "shards:{}\r\nshard_keys_min:{}\r\nshard_keys_max:{}\r\n",
        shards.len(),
        keys.clone().min().unwrap_or(0),
        keys.max().unwrap_or(0),
    );
    for (nth, shard) in shards.iter().enumerate().filter(|(_, shard)| shard.keys > 0) {
        let (keys, bytes, lsn) = (shard.keys, shard.bytes, shard.lsn);
        let _ = write!(text, "shard_{nth}:keys={keys},bytes={bytes},last_write={lsn}\r\n");
    }
}

/// A line for each database that holds something.
pub(super) fn keyspace(facts: &Facts, text: &mut String) {
    let databases = facts.walked.databases.iter().enumerate();
    for (db, of_db) in databases.filter(|(_, of_db)| of_db.keys > 0) {
        let (keys, expires, ttl) = (of_db.keys, of_db.volatile, of_db.mean_ttl_ms(facts.now));
        let hashes = of_db.hashes_with_deadlines;
        let _ = write!(
            text,
            "db{db}:keys={keys},expires={expires},avg_ttl={ttl},subexpiry={hashes}\r\n"
        );
    }
}
