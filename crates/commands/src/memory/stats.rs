//! MEMORY STATS: one number for each use of memory.

use std::sync::atomic::{AtomicU64, Ordering};

use russet_dispatch::{Args, Context, Outcome};

use crate::info::{Walked, client_bytes};

/// What stands behind a name.
enum Stat {
    Count(u64),
    Part(f64),
    Difference(i64),
    /// Bytes of the tables, and of what knows when keys end.
    Database(usize, usize),
}

pub(super) fn stats(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    cx.state.probe();
    let walked = Walked::gather(cx)?;
    let rows = measure(cx, &walked);
    cx.reply.map(rows.len());
    for (name, stat) in rows {
        cx.reply.bulk(name.as_bytes());
        match stat {
            Stat::Count(count) => cx.reply.integer(count as i64),
            Stat::Part(part) => cx.reply.double(part),
            Stat::Difference(bytes) => cx.reply.integer(bytes),
            Stat::Database(main, expiry) => write_database(cx, main, expiry),
        }
    }
    Ok(())
}

fn write_database(cx: &mut Context<'_>, main: usize, expiry: usize) {
    cx.reply.map(2);
    cx.reply.bulk(b"overhead.hashtable.main");
    cx.reply.integer(main as i64);
    cx.reply.bulk(b"overhead.hashtable.expires");
    cx.reply.integer(expiry as i64);
}

fn measure(cx: &Context<'_>, walked: &Walked) -> Vec<(String, Stat)> {
    use Stat::{Count, Difference, Part};
    let gauges = &cx.state.gauges;
    let load = |gauge: &AtomicU64| gauge.load(Ordering::Relaxed);
    let ratio = |one: u64, other: u64| Part(one as f64 / other.max(1) as f64);
    let beyond = |one: u64, other: u64| Difference(one as i64 - other as i64);
    let share = |part: u64, whole: u64| Part(part as f64 * 100.0 / whole.max(1) as f64);
    let (used, startup) = (cx.state.used_memory(), load(&gauges.used_memory_startup));
    let allocated = load(&gauges.allocated);
    let (active, resident, rss) = (load(&gauges.active), load(&gauges.resident), load(&gauges.rss));
    let (data, keys) = (walked.data_bytes, walked.keys() as u64);
    let before = [
        ("peak.allocated", Count(load(&gauges.used_memory_peak))),
        ("total.allocated", Count(used)),
        ("startup.allocated", Count(startup)),
        ("replication.backlog", Count(0)),
        ("clients.slaves", Count(0)),
        ("clients.normal", Count(client_bytes(&cx.state.clients.all()) as u64)),
        ("cluster.links", Count(0)),
        ("aof.buffer", Count(0)),
        ("lua.caches", Count(cx.state.scripts.source_bytes())),
        ("functions.caches", Count(cx.state.scripts.library_bytes())),
    ];
    let after = [
        ("overhead.db.hashtable.lut", Count(walked.table_bytes)),
        ("overhead.db.hashtable.rehashing", Count(walked.moving_bytes)),
        ("overhead.total", Count(used.saturating_sub(data))),
        ("db.dict.rehashing.count", Count(walked.moving_tables as u64)),
        ("keys.count", Count(keys)),
        ("keys.bytes-per-key", Count(data.checked_div(keys).unwrap_or(0))),
        ("dataset.bytes", Count(data)),
        ("dataset.percentage", share(data, used.saturating_sub(startup))),
        ("peak.percentage", share(used, load(&gauges.used_memory_peak))),
        ("allocator.allocated", Count(allocated)),
        ("allocator.active", Count(active)),
        ("allocator.resident", Count(resident)),
        ("allocator.muzzy", Count(0)),
        ("allocator-fragmentation.ratio", ratio(active, allocated)),
        ("allocator-fragmentation.bytes", beyond(active, allocated)),
        ("allocator-rss.ratio", ratio(resident, active)),
        ("allocator-rss.bytes", beyond(resident, active)),
        ("rss-overhead.ratio", ratio(rss, resident)),
        ("rss-overhead.bytes", beyond(rss, resident)),
        ("fragmentation", ratio(rss, used)),
        ("fragmentation.bytes", beyond(rss, used)),
    ];
    let databases = walked.databases.iter().enumerate().filter(|(_, database)| database.keys > 0);
    let databases = databases.map(|(db, facts)| {
        (format!("db.{db}"), Stat::Database(facts.main_bytes, facts.expiry_bytes))
    });
    let named = |(name, stat): (&str, Stat)| (name.to_owned(), stat);
    before.into_iter().map(named).chain(databases).chain(after.into_iter().map(named)).collect()
}
