//! INFO's sections that have the same fields every time.

use std::sync::atomic::{AtomicU64, Ordering};

use russet_config::{REDIS_VERSION, SERVER_NAME, SERVER_VERSION, id};
use russet_dispatch::Client;
use russet_dispatch::pubsub::Kind;
use russet_dispatch::session::Delivery;
use russet_dispatch::state::{Gauges, rule};
use russet_engine::Access;

use super::Field;
use super::facts::{Facts, input_bytes, output_bytes};

const NONE: &str = "0000000000000000000000000000000000000000";

pub(super) const SERVER: &[Field] = &[
    ("redis_version", |_| REDIS_VERSION.to_owned()),
    ("server_name", |_| SERVER_NAME.to_owned()),
    ("russet_version", |_| SERVER_VERSION.to_owned()),
    ("redis_git_sha1", |_| "00000000".to_owned()),
    ("redis_git_dirty", |_| "0".to_owned()),
    ("redis_mode", |_| "standalone".to_owned()),
    ("os", |f| f.state.identity.os.clone()),
    ("arch_bits", |_| usize::BITS.to_string()),
    ("monotonic_clock", |_| "POSIX clock_gettime".to_owned()),
    ("multiplexing_api", |_| {
        (if cfg!(target_os = "linux") { "epoll" } else { "kqueue" }).to_owned()
    }),
    ("process_id", |f| f.state.identity.pid.to_string()),
    ("process_supervised", |_| "no".to_owned()),
    ("run_id", |f| f.state.identity.run_id.clone()),
    ("tcp_port", |f| f.config.integer(const { id("port") }).to_string()),
    ("server_time_usec", |f| (f.now * 1000).to_string()),
    ("uptime_in_seconds", |f| uptime(f).to_string()),
    ("uptime_in_days", |f| (uptime(f) / 86_400).to_string()),
    ("hz", |f| f.state.tunables.hz.load(Ordering::Relaxed).to_string()),
    ("configured_hz", |f| f.config.integer(const { id("hz") }).to_string()),
    ("lru_clock", |f| Access::recency(f.now).first().to_string()),
    ("executable", |f| f.state.identity.executable.clone()),
    ("config_file", |f| f.state.identity.config_file.clone()),
    ("io_threads_active", |f| u8::from(f.state.identity.io_threads > 1).to_string()),
    ("io_threads", |f| f.state.identity.io_threads.to_string()),
    ("availability_zone", |f| f.config.text(const { id("availability-zone") }).to_owned()),
    ("listener0", listener),
];

pub(super) const CLIENTS: &[Field] = &[
    ("connected_clients", |f| f.state.clients.count().saturating_sub(replicas(f)).to_string()),
    ("cluster_connections", |_| "0".to_owned()),
    ("maxclients", |f| f.state.tunables.clients_max.load(Ordering::Relaxed).to_string()),
    ("client_recent_max_input_buffer", |f| f.greatest(input_bytes)),
    ("client_recent_max_output_buffer", |f| f.greatest(output_bytes)),
    ("blocked_clients", |f| {
        f.count(|client| client.blocked.lock().is_some() || client.paused.load(Ordering::Relaxed))
    }),
    ("tracking_clients", |f| f.state.tracking.clients().to_string()),
    ("pubsub_clients", |f| f.state.pubsub.clients().to_string()),
    ("watching_clients", |f| f.count(|client| client.watched.load(Ordering::Relaxed) > 0)),
    ("clients_in_timeout_table", |f| f.count(has_timeout)),
    ("total_watched_keys", |f| f.walked.watched.to_string()),
    ("total_blocking_keys", |f| f.walked.awaited.to_string()),
    ("total_blocking_keys_on_nokey", |f| f.walked.awaited_or_lost.to_string()),
];

/// Bytes that the interpreters of all threads take.
fn lua_bytes(f: &Facts) -> u64 {
    f.state.scripts.lua_bytes.load(Ordering::Relaxed)
}

/// Bytes of what scripts and libraries were made from.
fn script_bytes(f: &Facts) -> u64 {
    f.state.scripts.source_bytes() + f.state.scripts.library_bytes()
}

/// A number about defragmentation.
fn defrag(number: &AtomicU64) -> String {
    number.load(Ordering::Relaxed).to_string()
}

pub(super) const MEMORY: &[Field] = &[
    ("used_memory", |f| f.used().to_string()),
    ("used_memory_human", |f| human(f.used())),
    ("used_memory_rss", |f| gauge(f, |g| &g.rss).to_string()),
    ("used_memory_rss_human", |f| human(gauge(f, |g| &g.rss))),
    ("used_memory_peak", |f| peak(f).to_string()),
    ("used_memory_peak_human", |f| human(peak(f))),
    ("used_memory_peak_perc", |f| percent(f.used(), peak(f))),
    ("used_memory_overhead", |f| f.overhead().to_string()),
    ("used_memory_startup", |f| gauge(f, |g| &g.used_memory_startup).to_string()),
    ("used_memory_dataset", |f| f.walked.data_bytes.to_string()),
    ("used_memory_dataset_perc", |f| percent(f.walked.data_bytes, since_start(f))),
    ("allocator_allocated", |f| gauge(f, |g| &g.allocated).to_string()),
    ("allocator_active", |f| gauge(f, |g| &g.active).to_string()),
    ("allocator_resident", |f| gauge(f, |g| &g.resident).to_string()),
    ("allocator_muzzy", |_| "0".to_owned()),
    ("total_system_memory", |f| gauge(f, |g| &g.system_memory).to_string()),
    ("total_system_memory_human", |f| human(gauge(f, |g| &g.system_memory))),
    ("used_memory_lua", |f| lua_bytes(f).to_string()),
    ("used_memory_vm_eval", |f| lua_bytes(f).to_string()),
    ("used_memory_lua_human", |f| human(lua_bytes(f))),
    ("used_memory_scripts_eval", |f| f.state.scripts.source_bytes().to_string()),
    ("number_of_cached_scripts", |f| f.state.scripts.count().to_string()),
    ("number_of_functions", |f| f.state.scripts.functions().to_string()),
    ("number_of_libraries", |f| f.state.scripts.libraries().len().to_string()),
    // Scripts and functions share the interpreters, which are counted once.
    ("used_memory_vm_functions", |_| "0".to_owned()),
    ("used_memory_vm_total", |f| lua_bytes(f).to_string()),
    ("used_memory_vm_total_human", |f| human(lua_bytes(f))),
    ("used_memory_functions", |f| f.state.scripts.library_bytes().to_string()),
    ("used_memory_scripts", |f| script_bytes(f).to_string()),
    ("used_memory_scripts_human", |f| human(script_bytes(f))),
    ("maxmemory", |f| f.config.memory(const { id("maxmemory") }).to_string()),
    ("maxmemory_human", |f| human(f.config.memory(const { id("maxmemory") }))),
    ("maxmemory_policy", |f| f.config.choice(const { id("maxmemory-policy") }).to_owned()),
    ("allocator_frag_ratio", |f| ratio(gauge(f, |g| &g.active), gauge(f, |g| &g.allocated))),
    ("allocator_frag_bytes", |f| beyond(gauge(f, |g| &g.active), gauge(f, |g| &g.allocated))),
    ("allocator_rss_ratio", |f| ratio(gauge(f, |g| &g.resident), gauge(f, |g| &g.active))),
    ("allocator_rss_bytes", |f| beyond(gauge(f, |g| &g.resident), gauge(f, |g| &g.active))),
    ("rss_overhead_ratio", |f| ratio(gauge(f, |g| &g.rss), gauge(f, |g| &g.resident))),
    ("rss_overhead_bytes", |f| beyond(gauge(f, |g| &g.rss), gauge(f, |g| &g.resident))),
    ("mem_fragmentation_ratio", |f| ratio(gauge(f, |g| &g.rss), f.used())),
    ("mem_fragmentation_bytes", |f| beyond(gauge(f, |g| &g.rss), f.used())),
    ("mem_not_counted_for_evict", |f| f.state.uncounted_bytes().to_string()),
    ("mem_replication_backlog", |_| "0".to_owned()),
    ("mem_total_replication_buffers", |_| "0".to_owned()),
    ("mem_clients_slaves", |_| "0".to_owned()),
    ("mem_clients_normal", |f| f.client_bytes().to_string()),
    ("mem_cluster_links", |_| "0".to_owned()),
    ("mem_aof_buffer", |f| f.state.journal.unread().to_string()),
    ("mem_allocator", |f| f.state.identity.allocator.clone()),
    ("mem_overhead_db_hashtable_rehashing", |f| f.walked.moving_bytes.to_string()),
    ("active_defrag_running", |f| defrag(&f.state.defrag.share)),
    ("lazyfree_pending_objects", |f| f.state.keyspace.trash().pending().to_string()),
    ("lazyfreed_objects", |f| f.state.keyspace.trash().freed().to_string()),
];

pub(super) const PERSISTENCE: &[Field] = &[
    ("loading", |f| {
        let rules = f.state.rules.load(Ordering::Relaxed);
        u8::from(rules & rule::LOADING != 0).to_string()
    }),
    ("async_loading", |_| "0".to_owned()),
    ("current_cow_peak", |_| "0".to_owned()),
    ("current_cow_size", |_| "0".to_owned()),
    ("current_cow_size_age", |_| "0".to_owned()),
    ("current_fork_perc", |f| {
        let [done, all] = [&f.state.persistence.keys_done, &f.state.persistence.keys_total]
            .map(|keys| saving(f, keys));
        format!("{:.2}", done as f64 * 100.0 / all.max(1) as f64)
    }),
    ("current_save_keys_processed", |f| saving(f, &f.state.persistence.keys_done).to_string()),
    ("current_save_keys_total", |f| saving(f, &f.state.persistence.keys_total).to_string()),
    ("rdb_changes_since_last_save", |f| {
        f.state.persistence.changes_unsaved(f.state.stats.changes()).to_string()
    }),
    ("rdb_bgsave_in_progress", |f| flag(f.state.persistence.is_busy())),
    ("rdb_last_save_time", |f| count(&f.state.persistence.saved_s)),
    ("rdb_last_bgsave_status", |f| status(f.state.persistence.is_ok.load(Ordering::Relaxed))),
    ("rdb_last_bgsave_time_sec", |f| {
        f.state.persistence.took_s.load(Ordering::Relaxed).to_string()
    }),
    ("rdb_current_bgsave_time_sec", |f| since(f, &f.state.persistence.began_ms)),
    ("rdb_saves", |f| count(&f.state.persistence.saves)),
    ("rdb_last_cow_size", |_| "0".to_owned()),
    ("rdb_last_load_keys_expired", |f| count(&f.state.persistence.loading.expired)),
    ("rdb_last_load_keys_loaded", |f| count(&f.state.persistence.loading.keys)),
    ("rdb_last_stop_usec", |f| count(&f.state.persistence.stopped_us)),
    ("aof_enabled", |f| flag(f.state.aof.is_enabled.load(Ordering::Relaxed))),
    ("aof_rewrite_in_progress", |f| flag(f.state.aof.is_rewriting() && !is_scheduled(f))),
    ("aof_rewrite_scheduled", |f| flag(is_scheduled(f))),
    ("aof_last_rewrite_time_sec", |f| f.state.aof.took_s.load(Ordering::Relaxed).to_string()),
    ("aof_current_rewrite_time_sec", |f| since(f, &f.state.aof.began_ms)),
    ("aof_last_bgrewrite_status", |f| status(f.state.aof.is_rewrite_ok.load(Ordering::Relaxed))),
    ("aof_rewrites", |f| count(&f.state.aof.rewrites)),
    ("aof_rewrites_consecutive_failures", |f| count(&f.state.aof.failed_rewrites)),
    ("aof_last_write_status", |f| status(f.state.aof.is_ok())),
    ("aof_last_cow_size", |_| "0".to_owned()),
];

/// Whether a rewrite waits for a snapshot to end.
fn is_scheduled(f: &Facts) -> bool {
    let aof = &f.state.aof;
    let waits = aof.is_rewriting() && aof.began_ms.load(Ordering::Relaxed) == 0;
    waits && f.state.persistence.is_busy()
}

/// While there is an append-only file, how large it is and what is still to be done.
pub(super) const AOF: &[Field] = &[
    ("aof_current_size", |f| count(&f.state.aof.bytes)),
    ("aof_base_size", |f| count(&f.state.aof.base_bytes)),
    ("aof_pending_rewrite", |_| "0".to_owned()),
    ("aof_buffer_length", |f| {
        f.state.journal.end().saturating_sub(f.state.aof.written()).to_string()
    }),
    ("aof_pending_bio_fsync", |f| flag(f.state.aof.synced() < f.state.aof.written())),
    ("aof_delayed_fsync", |f| count(&f.state.aof.delayed)),
];

/// While data is being loaded, how far that has come.
pub(super) const LOADING: &[Field] = &[
    ("loading_start_time", |f| count(&f.state.persistence.loading.began_s)),
    ("loading_total_bytes", |f| count(&f.state.persistence.loading.total_bytes)),
    ("loading_rdb_used_mem", |f| count(&f.state.persistence.loading.used_memory)),
    ("loading_loaded_bytes", |f| count(&f.state.persistence.loading.loaded_bytes)),
    ("loading_loaded_perc", |f| {
        let loading = &f.state.persistence.loading;
        let (done, all) = (
            loading.loaded_bytes.load(Ordering::Relaxed),
            loading.total_bytes.load(Ordering::Relaxed),
        );
        format!("{:.2}", done as f64 / all.max(1) as f64 * 100.0)
    }),
    ("loading_eta_seconds", |f| {
        let loading = &f.state.persistence.loading;
        let elapsed = (f.now / 1000).saturating_sub(loading.began_s.load(Ordering::Relaxed));
        let (done, all) = (
            loading.loaded_bytes.load(Ordering::Relaxed),
            loading.total_bytes.load(Ordering::Relaxed),
        );
        let left = all.saturating_sub(done);
        left.saturating_mul(elapsed).checked_div(done).unwrap_or(1).to_string()
    }),
];

pub(super) const STATS: &[Field] = &[
    ("total_connections_received", |f| f.state.stats.connections().0.to_string()),
    ("total_commands_processed", |f| f.totals.processed.to_string()),
    ("instantaneous_ops_per_sec", |f| gauge(f, |g| &g.ops_per_second).to_string()),
    ("total_net_input_bytes", |f| f.totals.bytes_in.to_string()),
    ("total_net_output_bytes", |f| f.totals.bytes_out.to_string()),
    ("total_net_repl_input_bytes", |_| "0".to_owned()),
    ("total_net_repl_output_bytes", |f| count(&f.state.persistence.sent_bytes)),
    ("instantaneous_input_kbps", |f| kilobytes(gauge(f, |g| &g.input_per_second))),
    ("instantaneous_output_kbps", |f| kilobytes(gauge(f, |g| &g.output_per_second))),
    ("instantaneous_input_repl_kbps", |_| kilobytes(0)),
    ("instantaneous_output_repl_kbps", |_| kilobytes(0)),
    ("rejected_connections", |f| f.state.stats.connections().1.to_string()),
    ("sync_full", |f| count(&f.state.persistence.asked)),
    ("sync_partial_ok", |_| "0".to_owned()),
    ("sync_partial_err", |_| "0".to_owned()),
    ("expired_keys", |f| f.totals.expired.to_string()),
    ("expired_subkeys", |f| f.totals.expired_fields.to_string()),
    ("expired_stale_perc", |_| "0.00".to_owned()),
    ("expired_time_cap_reached_count", |f| f.totals.expire_capped.to_string()),
    ("expire_cycle_cpu_milliseconds", |f| (f.totals.expire_ns / 1_000_000).to_string()),
    ("evicted_keys", |f| f.totals.evicted.to_string()),
    ("evicted_clients", |f| f.state.burden.cut().to_string()),
    ("evicted_scripts", |f| f.state.scripts.evicted.load(Ordering::Relaxed).to_string()),
    ("total_eviction_exceeded_time", |f| exceeded(f).0.to_string()),
    ("current_eviction_exceeded_time", |f| exceeded(f).1.to_string()),
    ("keyspace_hits", |f| f.totals.hits.to_string()),
    ("keyspace_misses", |f| f.totals.misses.to_string()),
    ("pubsub_channels", |f| f.state.pubsub.count(Kind::Channel).to_string()),
    ("pubsub_patterns", |f| f.state.pubsub.count(Kind::Pattern).to_string()),
    ("pubsubshard_channels", |f| f.state.pubsub.count(Kind::ShardChannel).to_string()),
    ("latest_fork_usec", |_| "0".to_owned()),
    ("total_forks", |f| count(&f.state.persistence.begun)),
    ("tracking_total_keys", |f| f.walked.tracked_keys.to_string()),
    ("tracking_total_items", |f| f.walked.tracked_items.to_string()),
    ("tracking_total_prefixes", |f| f.state.tracking.prefixes().to_string()),
    ("migrate_cached_sockets", |_| "0".to_owned()),
    ("slave_expires_tracked_keys", |_| "0".to_owned()),
    ("active_defrag_hits", |f| defrag(&f.state.defrag.hits)),
    ("active_defrag_misses", |f| defrag(&f.state.defrag.misses)),
    ("active_defrag_key_hits", |f| defrag(&f.state.defrag.key_hits)),
    ("active_defrag_key_misses", |f| defrag(&f.state.defrag.key_misses)),
    ("total_active_defrag_time", |f| f.state.defrag.worked_ms(f.now).0.to_string()),
    ("current_active_defrag_time", |f| f.state.defrag.worked_ms(f.now).1.to_string()),
    ("unexpected_error_replies", |_| "0".to_owned()),
    ("total_error_replies", |f| f.totals.errors.to_string()),
    ("dump_payload_sanitizations", |f| f.totals.payloads_checked.to_string()),
    ("total_reads_processed", |f| f.totals.reads.to_string()),
    ("total_writes_processed", |f| f.totals.writes.to_string()),
    ("io_threaded_reads_processed", |f| f.totals.reads.to_string()),
    ("io_threaded_writes_processed", |f| f.totals.writes.to_string()),
    ("client_query_buffer_limit_disconnections", |f| f.totals.query_limit_cuts.to_string()),
    ("client_output_buffer_limit_disconnections", |f| f.totals.output_limit_cuts.to_string()),
    ("reply_buffer_shrinks", |_| "0".to_owned()),
    ("reply_buffer_expands", |_| "0".to_owned()),
    ("eventloop_cycles", |f| f.totals.batches.to_string()),
    ("eventloop_duration_sum", |f| (f.totals.busy_ns / 1_000).to_string()),
    ("eventloop_duration_cmd_sum", |f| (f.totals.command_ns / 1_000).to_string()),
    ("instantaneous_eventloop_cycles_per_sec", |f| gauge(f, |g| &g.turns_per_second).to_string()),
    ("instantaneous_eventloop_duration_usec", |f| gauge(f, |g| &g.turn_us).to_string()),
    ("acl_access_denied_auth", |f| f.totals.auth_denied.to_string()),
    ("acl_access_denied_cmd", |_| "0".to_owned()),
    ("acl_access_denied_key", |_| "0".to_owned()),
    ("acl_access_denied_channel", |_| "0".to_owned()),
];

pub(super) const DEBUG: &[Field] = &[
    ("eventloop_duration_aof_sum", |_| "0".to_owned()),
    ("eventloop_duration_cron_sum", |f| (f.totals.cron_ns / 1_000).to_string()),
    ("eventloop_duration_max", |f| (f.totals.turn_max_ns / 1_000).to_string()),
    ("eventloop_cmd_per_cycle_max", |f| f.totals.turn_commands_max.to_string()),
];

pub(super) const ROLE: &[Field] =
    &[("role", |_| "master".to_owned()), ("connected_slaves", |f| f.count(is_replica))];

pub(super) const REPLICATION: &[Field] = &[
    ("master_failover_state", |_| "no-failover".to_owned()),
    ("master_replid", |f| f.state.replication_id.load().to_string()),
    ("master_replid2", |_| NONE.to_owned()),
    ("master_repl_offset", |f| f.state.journal.end().to_string()),
    ("second_repl_offset", |_| "-1".to_owned()),
    ("repl_backlog_active", |_| "0".to_owned()),
    ("repl_backlog_size", |f| f.config.memory(const { id("repl-backlog-size") }).to_string()),
    ("repl_backlog_first_byte_offset", |_| "0".to_owned()),
    ("repl_backlog_histlen", |_| "0".to_owned()),
];

pub(super) const CPU: &[Field] = &[
    ("used_cpu_sys", |f| seconds(gauge(f, |g| &g.cpu_system_us))),
    ("used_cpu_user", |f| seconds(gauge(f, |g| &g.cpu_user_us))),
    ("used_cpu_sys_children", |_| seconds(0)),
    ("used_cpu_user_children", |_| seconds(0)),
];

pub(super) const CLUSTER: &[Field] = &[("cluster_enabled", |_| "0".to_owned())];

fn count(of: &AtomicU64) -> String {
    of.load(Ordering::Relaxed).to_string()
}

/// A figure of the snapshot under way, or zero.
fn flag(is_so: bool) -> String {
    u8::from(is_so).to_string()
}

fn status(is_ok: bool) -> String {
    (if is_ok { "ok" } else { "err" }).to_owned()
}

/// For how many seconds something has been under way that began at a time; -1 if nothing is.
fn since(facts: &Facts, began_ms: &AtomicU64) -> String {
    match began_ms.load(Ordering::Relaxed) {
        0 => "-1".to_owned(),
        began => (facts.now.saturating_sub(began) / 1000).to_string(),
    }
}

fn saving(facts: &Facts, figure: &AtomicU64) -> u64 {
    if facts.state.persistence.is_busy() { figure.load(Ordering::Relaxed) } else { 0 }
}

fn gauge(facts: &Facts, which: fn(&Gauges) -> &AtomicU64) -> u64 {
    which(&facts.state.gauges).load(Ordering::Relaxed)
}

fn peak(facts: &Facts) -> u64 {
    gauge(facts, |g| &g.used_memory_peak).max(facts.used())
}

fn exceeded(facts: &Facts) -> (u64, u64) {
    facts.state.ceiling.exceeded_ms(facts.state.clock.now_us())
}

fn uptime(facts: &Facts) -> u64 {
    facts.now.saturating_sub(facts.state.identity.started_ms) / 1000
}

fn since_start(facts: &Facts) -> u64 {
    facts.used().saturating_sub(gauge(facts, |g| &g.used_memory_startup))
}

/// `name=tcp,bind=*,bind=-::*,port=6379`
fn listener(facts: &Facts) -> String {
    let binds = facts.config.addresses().iter().map(|address| format!("bind={address},"));
    format!(
        "name=tcp,{}port={}",
        binds.collect::<String>(),
        facts.config.integer(const { id("port") })
    )
}

/// Whether Redis would call it one: it is sent a snapshot.
pub(super) fn is_replica(client: &Client) -> bool {
    client.delivery() != Delivery::None
}

fn replicas(facts: &Facts) -> usize {
    facts.clients.iter().filter(|client| is_replica(client)).count()
}

fn has_timeout(client: &Client) -> bool {
    client.blocked.lock().as_ref().is_some_and(|blocked| blocked.wait.timeout_ms > 0)
}

/// `894.66K`, as Redis prints bytes for people.
fn human(bytes: u64) -> String {
    const UNITS: [char; 5] = ['K', 'M', 'G', 'T', 'P'];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let power = (bytes.ilog2() / 10).min(UNITS.len() as u32);
    format!("{:.2}{}", bytes as f64 / 1024f64.powi(power as i32), UNITS[power as usize - 1])
}

fn percent(part: u64, whole: u64) -> String {
    format!("{:.2}%", part as f64 / whole.max(1) as f64 * 100.0)
}

fn ratio(one: u64, other: u64) -> String {
    format!("{:.2}", one as f64 / other.max(1) as f64)
}

fn beyond(one: u64, other: u64) -> String {
    (one as i64 - other as i64).to_string()
}

fn kilobytes(bytes: u64) -> String {
    format!("{:.2}", bytes as f64 / 1024.0)
}

fn seconds(microseconds: u64) -> String {
    format!("{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::{human, percent, seconds};

    #[test]
    fn bytes_are_written_as_redis_writes_them() {
        let cases = [
            (0, "0B"),
            (1023, "1023B"),
            (916_128, "894.66K"),
            (12_193_792, "11.63M"),
            (25_276_514_304, "23.54G"),
            (1 << 40, "1.00T"),
        ];
        for (bytes, text) in cases {
            assert_eq!(human(bytes), text);
        }
    }

    #[test]
    fn shares_and_times_have_fixed_places() {
        assert_eq!(percent(1, 3), "33.33%");
        assert_eq!(percent(1, 0), "100.00%");
        assert_eq!(seconds(12_888), "0.012888");
    }
}
