//! Rules about all rows.

use std::collections::BTreeSet;

use russet_config::{Config, Id, Kind, PARAMETERS, SECTIONS, find};

/// What redis-server 7.0.15 answers to CONFIG GET *.
const REDIS_7_0: &str = "\
    acl-pubsub-default aclfile acllog-max-len active-defrag-cycle-max \
    active-defrag-cycle-min active-defrag-ignore-bytes active-defrag-max-scan-fields \
    active-defrag-threshold-lower active-defrag-threshold-upper active-expire-effort \
    activedefrag activerehashing always-show-logo aof-disable-auto-gc aof-load-truncated \
    aof-rewrite-incremental-fsync aof-timestamp-enabled aof-use-rdb-preamble \
    aof_rewrite_cpulist appenddirname appendfilename appendfsync appendonly \
    auto-aof-rewrite-min-size auto-aof-rewrite-percentage bgsave_cpulist bind \
    bind-source-addr bio_cpulist busy-reply-threshold client-output-buffer-limit \
    client-query-buffer-limit cluster-allow-pubsubshard-when-down \
    cluster-allow-reads-when-down cluster-allow-replica-migration cluster-announce-bus-port \
    cluster-announce-hostname cluster-announce-ip cluster-announce-port \
    cluster-announce-tls-port cluster-config-file cluster-enabled cluster-link-sendbuf-limit \
    cluster-migration-barrier cluster-node-timeout cluster-port \
    cluster-preferred-endpoint-type cluster-replica-no-failover \
    cluster-replica-validity-factor cluster-require-full-coverage cluster-slave-no-failover \
    cluster-slave-validity-factor crash-log-enabled crash-memcheck-enabled daemonize \
    databases dbfilename dir disable-thp dynamic-hz enable-debug-command \
    enable-module-command enable-protected-configs hash-max-listpack-entries \
    hash-max-listpack-value hash-max-ziplist-entries hash-max-ziplist-value \
    hll-sparse-max-bytes hz ignore-warnings io-threads io-threads-do-reads \
    jemalloc-bg-thread latency-monitor-threshold latency-tracking \
    latency-tracking-info-percentiles lazyfree-lazy-eviction lazyfree-lazy-expire \
    lazyfree-lazy-server-del lazyfree-lazy-user-del lazyfree-lazy-user-flush lfu-decay-time \
    lfu-log-factor list-compress-depth list-max-listpack-size list-max-ziplist-size logfile \
    loglevel lua-time-limit masterauth masteruser maxclients maxmemory maxmemory-clients \
    maxmemory-eviction-tenacity maxmemory-policy maxmemory-samples min-replicas-max-lag \
    min-replicas-to-write min-slaves-max-lag min-slaves-to-write no-appendfsync-on-rewrite \
    notify-keyspace-events oom-score-adj oom-score-adj-values pidfile port \
    proc-title-template propagation-error-behavior protected-mode proto-max-bulk-len \
    rdb-del-sync-files rdb-save-incremental-fsync rdbchecksum rdbcompression \
    repl-backlog-size repl-backlog-ttl repl-disable-tcp-nodelay repl-diskless-load \
    repl-diskless-sync repl-diskless-sync-delay repl-diskless-sync-max-replicas \
    repl-ping-replica-period repl-ping-slave-period repl-timeout replica-announce-ip \
    replica-announce-port replica-announced replica-ignore-disk-write-errors \
    replica-ignore-maxmemory replica-lazy-flush replica-priority replica-read-only \
    replica-serve-stale-data replicaof requirepass sanitize-dump-payload save server_cpulist \
    set-max-intset-entries set-proc-title shutdown-on-sigint shutdown-on-sigterm \
    shutdown-timeout slave-announce-ip slave-announce-port slave-ignore-maxmemory \
    slave-lazy-flush slave-priority slave-read-only slave-serve-stale-data slaveof \
    slowlog-log-slower-than slowlog-max-len socket-mark-id stop-writes-on-bgsave-error \
    stream-node-max-bytes stream-node-max-entries supervised syslog-enabled syslog-facility \
    syslog-ident tcp-backlog tcp-keepalive timeout tls-auth-clients tls-ca-cert-dir \
    tls-ca-cert-file tls-cert-file tls-ciphers tls-ciphersuites tls-client-cert-file \
    tls-client-key-file tls-client-key-file-pass tls-cluster tls-dh-params-file tls-key-file \
    tls-key-file-pass tls-port tls-prefer-server-ciphers tls-protocols tls-replication \
    tls-session-cache-size tls-session-cache-timeout tls-session-caching \
    tracking-table-max-keys unixsocket unixsocketperm zset-max-listpack-entries \
    zset-max-listpack-value zset-max-ziplist-entries zset-max-ziplist-value";

/// What valkey-server 8.0.1 answers beyond that.
const VALKEY_8_0: &str = "\
    aof-rewrite-cpulist availability-zone bgsave-cpulist bio-cpulist \
    cluster-announce-client-ipv4 cluster-announce-client-ipv6 \
    cluster-announce-human-nodename cluster-blacklist-ttl cluster-slot-stats-enabled \
    dual-channel-replication-enabled events-per-io-thread extended-redis-compatibility \
    hide-user-data-from-log locale-collate max-new-connections-per-cycle \
    max-new-tls-connections-per-cycle prefetch-batch-max-size primaryauth primaryuser \
    server-cpulist set-max-listpack-entries set-max-listpack-value unixsocketgroup";

/// What both hide from CONFIG GET *.
const HIDDEN: &str = "use-exit-on-panic rdb-key-save-delay key-load-delay watchdog-period \
    cluster-ping-interval loading-process-events-interval-bytes enable-debug-assert debug-context";

#[test]
fn every_parameter_of_redis_and_valkey_is_known() {
    for name in [REDIS_7_0, VALKEY_8_0, HIDDEN].into_iter().flat_map(str::split_whitespace) {
        assert!(find(name).is_some(), "{name} is unknown");
    }
}

#[test]
fn names_are_unique_and_lower_case() {
    let mut names = BTreeSet::new();
    for name in PARAMETERS.iter().flat_map(|row| [Some(row.name), row.alias]).flatten() {
        assert!(!name.is_empty());
        assert!(name.bytes().all(|byte| b"abcdefghijklmnopqrstuvwxyz0123456789-_".contains(&byte)));
        assert!(names.insert(name), "{name} stands twice");
    }
}

#[test]
fn every_row_of_a_chapter_is_a_parameter() {
    let rows: Vec<&str> =
        SECTIONS.iter().flat_map(|section| section.parameters).map(|row| row.name).collect();
    assert_eq!(rows, PARAMETERS.iter().map(|row| row.name).collect::<Vec<_>>());
}

#[test]
fn every_row_has_one_line_of_explanation() {
    for row in PARAMETERS {
        assert!(row.doc.len() > 10, "{} is not explained", row.name);
        assert!(!row.doc.contains(['\n', '|']), "{}", row.name);
        assert!(row.doc.ends_with(['.', '…']), "{}: {}", row.name, row.doc);
    }
}

/// [`Config::new`] parses every default.
#[test]
fn defaults_parse_and_print_back_to_themselves() {
    let config = Config::new();
    for id in Id::all() {
        let mut again = config.clone();
        again
            .assign(id, id.parameter().default)
            .unwrap_or_else(|why| panic!("{}: {why}", id.name()));
        assert!(again.is_default(id), "{}", id.name());
        if !matches!(id.parameter().kind, Kind::Replica) {
            let shown = config.show(id);
            again.assign(id, &shown).unwrap_or_else(|why| panic!("{} {shown}: {why}", id.name()));
            assert_eq!(again.show(id), shown);
        }
    }
}

#[test]
fn bounds_hold() {
    let mut config = Config::new();
    for id in Id::all() {
        let (least, most) = match id.parameter().kind {
            Kind::Integer { min, max } => (min, max),
            Kind::Threads { max } => (0, max),
            _ => continue,
        };
        assert!(least <= most, "{}", id.name());
        for wrong in [least.checked_sub(1), most.checked_add(1)].into_iter().flatten() {
            let reason = config.assign(id, &wrong.to_string()).unwrap_err();
            assert_eq!(reason, format!("argument must be between {least} and {most} inclusive"));
        }
        config.assign(id, &least.to_string()).unwrap();
        config.assign(id, &most.to_string()).unwrap();
    }
}
