//! The metrics, one row each.

use std::sync::atomic::Ordering;

use russet_config::{REDIS_VERSION, SERVER_VERSION};
use russet_dispatch::commandlog::Cost;
use russet_dispatch::state::rule;
use russet_dispatch::stats::{Counters, Distribution};

use super::facts::{CommandFacts, Facts};
use super::{Kind, Row, Sample, Value};

/// Limits of histograms: powers of two of nanoseconds, as the counts are kept, from a microsecond to a second, each four times the last.
const LIMIT_POWERS: [u32; 11] = [10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30];

const fn counter(name: &'static str, help: &'static str, read: fn(&Facts) -> Vec<Sample>) -> Row {
    Row { name, kind: Kind::Counter, help, labels: &[], read }
}

const fn gauge(name: &'static str, help: &'static str, read: fn(&Facts) -> Vec<Sample>) -> Row {
    Row { kind: Kind::Gauge, ..counter(name, help, read) }
}

impl Row {
    const fn by(self, labels: &'static [&'static str]) -> Self {
        Self { labels, ..self }
    }
}

/// All of them, in the order in which they are served.
pub(super) const ROWS: &[Row] = &[
    gauge("build_info", "One, with the versions as labels.", |_| {
        vec![labelled(&[SERVER_VERSION, REDIS_VERSION], 1)]
    })
    .by(&["version", "redis_version"]),
    gauge("uptime_seconds", "How long the server has been running.", |f| {
        let now = f.state.clock.now();
        one(now.saturating_sub(f.state.identity.started_ms) / 1_000)
    }),
    gauge("loading", "One while data is being loaded.", |f| {
        one(u64::from(f.state.rules.load(Ordering::Relaxed) & rule::LOADING != 0))
    }),
    counter("connections_received", "Connections accepted.", |f| {
        one(f.state.stats.connections().0)
    }),
    counter("connections_rejected", "Connections refused.", |f| one(f.state.stats.connections().1)),
    gauge("connected_clients", "Connections open.", |f| one(f.state.clients.count() as u64)),
    gauge("blocked_clients", "Clients that wait for keys.", |f| one(f.blocked as u64)),
    gauge("max_clients", "Connections that may be open.", |f| {
        one(f.state.tunables.clients_max.load(Ordering::Relaxed) as u64)
    }),
    gauge("memory_used_bytes", "Memory in use as the allocator sees it.", |f| {
        one(f.gauge(|g| &g.used_memory))
    }),
    gauge("memory_used_peak_bytes", "The most memory that was ever in use.", |f| {
        one(f.gauge(|g| &g.used_memory_peak))
    }),
    gauge("memory_rss_bytes", "Resident memory as the kernel sees it.", |f| {
        one(f.gauge(|g| &g.rss))
    }),
    gauge("memory_active_bytes", "Pages of the allocator with something in them.", |f| {
        one(f.gauge(|g| &g.active))
    }),
    gauge("memory_dataset_bytes", "Memory of keys and values.", |f| one(f.data_bytes as u64)),
    gauge("memory_tables_bytes", "Memory of tables and indexes.", |f| one(f.table_bytes as u64)),
    gauge("memory_max_bytes", "The configured maxmemory; 0 is no limit.", |f| {
        one(f.state.tunables.memory_max.load(Ordering::Relaxed))
    }),
    gauge("memory_system_bytes", "Memory that the process may have.", |f| {
        one(f.gauge(|g| &g.system_memory))
    }),
    gauge("lazyfree_pending_objects", "Values that wait to be freed.", |f| {
        one(f.state.keyspace.trash().pending())
    }),
    counter("cpu_seconds", "Processor time of the process.", |f| {
        let (user, system) = f.state.gauges.cpu_us();
        let seconds = |mode: &str, us: u64| Sample {
            labels: vec![mode.to_owned()],
            value: Value::Number(us as f64 / 1e6),
        };
        vec![seconds("user", user), seconds("system", system)]
    })
    .by(&["mode"]),
    gauge("db_keys", "Keys of a database.", |f| by_database(f, |database| database.keys))
        .by(&["db"]),
    gauge("db_keys_expiring", "Keys of a database that end some time.", |f| {
        by_database(f, |database| database.volatile)
    })
    .by(&["db"]),
    gauge("shards", "Parts of the keyspace, each with a lock of its own.", |f| {
        one(u64::from(f.state.keyspace.shards()))
    }),
    gauge("shard_keys_min", "Keys of the shard with the fewest.", |f| one(f.shard_keys.0 as u64)),
    gauge("shard_keys_max", "Keys of the shard with the most.", |f| one(f.shard_keys.1 as u64)),
    counter("lock_retries", "Times a command found a shard held and had to come again.", |f| {
        one(f.totals.busy)
    }),
    counter("keyspace_hits", "Lookups by reading commands that found a key.", |f| {
        one(f.totals.hits)
    }),
    counter("keyspace_misses", "Lookups by reading commands that found none.", |f| {
        one(f.totals.misses)
    }),
    counter("expired_keys", "Keys removed since they had ended.", |f| one(f.totals.expired)),
    counter("evicted_keys", "Keys removed since memory was full.", |f| one(f.totals.evicted)),
    counter("expired_fields", "Fields of hashes removed since they had ended.", |f| {
        one(f.totals.expired_fields)
    }),
    counter("expire_seconds", "Time spent on removing what has ended.", |f| {
        seconds(f.totals.expire_ns)
    }),
    counter("changes", "Changes to data.", |f| one(f.state.stats.changes())),
    gauge("journal_offset_bytes", "Bytes of effects that followers have been given.", |f| {
        one(f.state.journal.end())
    }),
    counter("output_limit_disconnections", "Clients cut since they did not read replies.", |f| {
        one(f.totals.output_limit_cuts)
    }),
    counter("query_limit_disconnections", "Clients cut since they sent too much at once.", |f| {
        one(f.totals.query_limit_cuts)
    }),
    counter("auth_failures", "Wrong passwords.", |f| one(f.totals.auth_denied)),
    counter("errors", "Error replies, by the first word.", |f| {
        let errors = f.state.stats.errors();
        errors.iter().map(|(code, count)| labelled(&[&**code], *count)).collect()
    })
    .by(&["code"]),
    gauge("commandlog_entries", "Entries of the logs of commands that cost much.", |f| {
        let entry = |cost: Cost| labelled(&[cost.name()], f.state.logs.of(cost).len() as u64);
        Cost::ALL.into_iter().map(entry).collect()
    })
    .by(&["log"]),
    counter("cron_seconds", "Time of the housekeeping.", |f| seconds(f.totals.cron_ns)),
    gauge("thread_clients", "Connections that a thread serves.", |f| {
        by_thread(f, |thread| thread.clients.get() as f64)
    })
    .by(&["thread"]),
    counter("thread_commands", "Commands that a thread has run.", |f| {
        by_thread(f, |thread| thread.processed.get() as f64)
    })
    .by(&["thread"]),
    counter("thread_turns", "Turns of a thread: batches of requests of one client.", |f| {
        by_thread(f, |thread| thread.batches.get() as f64)
    })
    .by(&["thread"]),
    counter("thread_busy_seconds", "Time of the turns of a thread.", |f| {
        by_thread(f, |thread| thread.busy_ns.get() as f64 / 1e9)
    })
    .by(&["thread"]),
    counter("thread_command_seconds", "Time of the commands of a thread.", |f| {
        by_thread(f, |thread| thread.command_ns.get() as f64 / 1e9)
    })
    .by(&["thread"]),
    counter("thread_input_bytes", "Bytes that a thread has read from clients.", |f| {
        by_thread(f, |thread| thread.bytes_in.get() as f64)
    })
    .by(&["thread"]),
    counter("thread_output_bytes", "Bytes that a thread has written to clients.", |f| {
        by_thread(f, |thread| thread.bytes_out.get() as f64)
    })
    .by(&["thread"]),
    counter("thread_reads", "Reads of a thread from sockets.", |f| {
        by_thread(f, |thread| thread.reads.get() as f64)
    })
    .by(&["thread"]),
    counter("thread_writes", "Writes of a thread to sockets.", |f| {
        by_thread(f, |thread| thread.writes.get() as f64)
    })
    .by(&["thread"]),
    gauge("thread_turn_max_seconds", "The longest turn of a thread since the last reset.", |f| {
        by_thread(f, |thread| thread.turn_max_ns.get() as f64 / 1e9)
    })
    .by(&["thread"]),
    counter("command_calls", "Calls of a command.", |f| {
        by_command(f, |command| command.totals.calls as f64)
    })
    .by(&["command"]),
    counter("command_seconds", "Time of all calls of a command.", |f| {
        by_command(f, |command| command.totals.nanoseconds as f64 / 1e9)
    })
    .by(&["command"]),
    counter("command_rejected", "Calls of a command that were refused before it ran.", |f| {
        by_command(f, |command| command.totals.rejected as f64)
    })
    .by(&["command"]),
    counter("command_failed", "Calls of a command that answered with an error.", |f| {
        by_command(f, |command| command.totals.failed as f64)
    })
    .by(&["command"]),
    Row {
        name: "command_duration_seconds",
        kind: Kind::Histogram,
        help: "How long calls of a command took, while latency-tracking is on.",
        labels: &["command"],
        read: durations,
    },
];

fn one(number: u64) -> Vec<Sample> {
    vec![Sample { labels: Vec::new(), value: Value::Number(number as f64) }]
}

fn seconds(nanoseconds: u64) -> Vec<Sample> {
    vec![Sample { labels: Vec::new(), value: Value::Number(nanoseconds as f64 / 1e9) }]
}

fn labelled(labels: &[&str], number: u64) -> Sample {
    let labels = labels.iter().map(ToString::to_string).collect();
    Sample { labels, value: Value::Number(number as f64) }
}

fn by_database(facts: &Facts, of: fn(&super::facts::DatabaseFacts) -> usize) -> Vec<Sample> {
    let databases = facts.databases.iter().enumerate().filter(|(_, database)| database.keys > 0);
    databases.map(|(db, facts)| labelled(&[&format!("db{db}")], of(facts) as u64)).collect()
}

fn by_thread(facts: &Facts, of: fn(&Counters) -> f64) -> Vec<Sample> {
    let sample = |thread: &Counters| Sample {
        labels: vec![thread.name.clone()],
        value: Value::Number(of(thread)),
    };
    facts.io_threads().map(sample).collect()
}

fn by_command(facts: &Facts, of: fn(&CommandFacts) -> f64) -> Vec<Sample> {
    let sample = |command: &CommandFacts| Sample {
        labels: vec![command.name.to_owned()],
        value: Value::Number(of(command)),
    };
    facts.commands.iter().map(sample).collect()
}

fn durations(facts: &Facts) -> Vec<Sample> {
    let measured = facts.commands.iter().filter(|command| !command.latency.is_empty());
    let sample = |command: &CommandFacts| Sample {
        labels: vec![command.name.to_owned()],
        value: buckets(&command.latency, command.totals.nanoseconds),
    };
    measured.map(sample).collect()
}

fn buckets(latency: &Distribution, nanoseconds: u64) -> Value {
    let mut before = 0;
    let mut buckets: Vec<(f64, u64)> = Vec::with_capacity(LIMIT_POWERS.len() + 1);
    for power in LIMIT_POWERS {
        let limit = 1u64 << power;
        let count = latency.up_to(limit - 1);
        buckets.push((limit as f64 / 1e9, count - before));
        before = count;
    }
    buckets.push((f64::INFINITY, latency.count() - before));
    Value::Buckets(nanoseconds as f64 / 1e9, buckets)
}
