//! MEMORY: what keys and the server take.

use std::sync::atomic::{AtomicU64, Ordering};

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{RO, at};
use russet_dispatch::{Args, Command, Context, Error, Group, Outcome};

use crate::help;
use crate::info::Walked;

/// What every one of them has in common.
const MEMORY: Command = Command { group: Group::Server, file: file!(), ..Command::BASE };

/// The rows.
pub const COMMANDS: &[Command] = &[Command {
    name: "memory",
    summary: "Holds the commands about memory.",
    complexity: "Depends on subcommand.",
    since: "4.0.0",
    arity: -2,
    subcommands: &[
        Command {
            name: "usage",
            syntax: "key [SAMPLES count:int]",
            summary: "Tells how many bytes a key and its value take.",
            since: "4.0.0",
            arity: -3,
            flags: &[ReadOnly],
            keys: &[at(2, RO)],
            run: usage,
            ..MEMORY
        },
        Command {
            name: "stats",
            summary: "Shows what the server's memory is used for.",
            since: "4.0.0",
            arity: 2,
            flags: &[Walks],
            tips: &[
                "nondeterministic_output",
                "request_policy:all_shards",
                "response_policy:special",
            ],
            run: stats,
            ..MEMORY
        },
        help::row("4.0.0", MEMORY),
    ],
    ..MEMORY
}];

fn usage(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    while !args.is_empty() {
        // Weights are counted as values change, so nothing is sampled; the number is checked all the same.
        if !args.flag("samples") || args.int()? < 0 {
            return Err(Error::Syntax.into());
        }
    }
    match cx.data.inspect(key).map(russet_engine::Entry::weight) {
        Some(bytes) => cx.reply.integer(bytes as i64),
        None => cx.reply.null(),
    }
    Ok(())
}

/// A number of MEMORY STATS.
enum Stat {
    Bytes(u64),
    Part(f64),
}

fn stats(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    cx.state.probe();
    let walked = Walked::gather(cx)?;
    let rows = measure(cx, &walked);
    cx.reply.map(rows.len());
    for (name, stat) in rows {
        cx.reply.bulk(name.as_bytes());
        match stat {
            Stat::Bytes(bytes) => cx.reply.integer(bytes as i64),
            Stat::Part(part) => cx.reply.double(part),
        }
    }
    Ok(())
}

fn measure(cx: &Context<'_>, walked: &Walked) -> [(&'static str, Stat); 18] {
    use Stat::{Bytes, Part};
    let gauges = &cx.state.gauges;
    let load = |gauge: &AtomicU64| gauge.load(Ordering::Relaxed);
    let ratio = |one: u64, other: u64| Part(one as f64 / other.max(1) as f64);
    let (used, startup) = (load(&gauges.used_memory), load(&gauges.used_memory_startup));
    let (active, resident, rss) = (load(&gauges.active), load(&gauges.resident), load(&gauges.rss));
    let (data, keys) = (walked.data_bytes, walked.keys() as u64);
    let share = |part: u64, whole: u64| Part(part as f64 * 100.0 / whole.max(1) as f64);
    [
        ("peak.allocated", Bytes(load(&gauges.used_memory_peak))),
        ("total.allocated", Bytes(used)),
        ("startup.allocated", Bytes(startup)),
        ("overhead.db.hashtable.lut", Bytes(walked.table_bytes)),
        ("overhead.total", Bytes(used.saturating_sub(data))),
        ("db.dict.rehashing.count", Bytes(walked.moving_tables as u64)),
        ("keys.count", Bytes(keys)),
        ("keys.bytes-per-key", Bytes(data.checked_div(keys).unwrap_or(0))),
        ("dataset.bytes", Bytes(data)),
        ("dataset.percentage", share(data, used.saturating_sub(startup))),
        ("peak.percentage", share(used, load(&gauges.used_memory_peak))),
        ("allocator.allocated", Bytes(used)),
        ("allocator.active", Bytes(active)),
        ("allocator.resident", Bytes(resident)),
        ("allocator-fragmentation.ratio", ratio(active, used)),
        ("allocator-rss.ratio", ratio(resident, active)),
        ("rss-overhead.ratio", ratio(rss, resident)),
        ("fragmentation", ratio(rss, used)),
    ]
}
