//! MEMORY.

use russet_testkit::{Reply, Transcript};

use crate::{Server, server};

fn transcript() -> (Server, Transcript) {
    let server = server();
    let transcript = Transcript::new(server.client());
    (server, transcript)
}

fn usage(t: &mut Transcript, key: &str) -> i64 {
    match t.run(&format!("MEMORY USAGE {key}")) {
        Reply::Int(bytes) => bytes,
        other => panic!("MEMORY USAGE answered {other}"),
    }
}

#[test]
fn a_key_weighs_at_least_what_it_holds() {
    let (_server, mut t) = transcript();
    t.check("MEMORY USAGE none", "(nil)");
    t.check("SET small v", "OK");
    assert!((6..64).contains(&usage(&mut t, "small")));
    let large = "x".repeat(100_000);
    t.check(&format!("SET large {large}"), "OK");
    assert!((100_000..140_000).contains(&usage(&mut t, "large")));
    t.check("RPUSH list a b c", "3");
    assert!(usage(&mut t, "list") > 0);
}

#[test]
fn samples_are_read_and_change_nothing() {
    let (_server, mut t) = transcript();
    t.check("SET k v", "OK");
    let bytes = usage(&mut t, "k");
    t.check("MEMORY USAGE k SAMPLES 0", &bytes.to_string());
    t.check("MEMORY USAGE k samples 5", &bytes.to_string());
    t.check("MEMORY USAGE k SAMPLES -1", "-ERR syntax error");
    t.check("MEMORY USAGE k SAMPLES", "-ERR syntax error");
    t.check("MEMORY USAGE k SAMPLES x", "-ERR value is not an integer or out of range");
    t.check("MEMORY USAGE k other", "-ERR syntax error");
}

#[test]
fn stats_are_a_map_of_numbers() {
    let (_server, mut t) = transcript();
    t.run("HELLO 3");
    t.check("DEBUG POPULATE 10", "OK");
    let stats = t.run("MEMORY STATS").to_string();
    assert!(stats.contains("keys.count: 10"), "{stats}");
    assert!(stats.contains("total.allocated: "), "{stats}");
}

#[test]
fn stats_have_all_names_that_redis_has() {
    let (_server, mut t) = transcript();
    t.check("SELECT 3", "OK");
    t.check("SET k v EX 100", "OK");
    let stats = t.run("MEMORY STATS").to_string();
    for name in [
        "peak.allocated",
        "replication.backlog",
        "clients.normal",
        "lua.caches",
        "db.3, [overhead.hashtable.main",
        "overhead.hashtable.expires",
        "overhead.db.hashtable.rehashing",
        "allocator-fragmentation.bytes",
        "rss-overhead.bytes",
        "fragmentation.bytes",
    ] {
        assert!(stats.contains(name), "{name}: {stats}");
    }
    assert!(!stats.contains("db.0"), "{stats}");
}

#[test]
fn the_allocator_tells_and_gives_back() {
    let (_server, mut t) = transcript();
    t.strict("MEMORY PURGE", "+OK");
    let stats = t.run("MEMORY MALLOC-STATS").to_string();
    assert!(stats.contains("jemalloc"), "{stats}");
    let empty = t.run("MEMORY DOCTOR").to_string();
    assert!(!empty.is_empty());
    t.check("MEMORY HELP x", "-ERR wrong number of arguments for 'memory|help' command");
}

#[test]
fn looking_at_a_key_is_no_access() {
    let (_server, mut t) = transcript();
    t.check("SET k v", "OK");
    t.check("CONFIG RESETSTAT", "OK");
    usage(&mut t, "k");
    let stats = t.run("INFO stats").to_string();
    assert!(stats.contains("keyspace_hits:0") && stats.contains("keyspace_misses:0"), "{stats}");
}
