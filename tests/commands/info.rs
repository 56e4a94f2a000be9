//! INFO, ROLE, REPLICAOF and SHUTDOWN.

use std::time::Duration;

use russet_testkit::{Reply, Transcript};

use crate::{Server, server};

fn transcript() -> (Server, Transcript) {
    let server = server();
    let transcript = Transcript::new(server.client());
    (server, transcript)
}

fn info(t: &mut Transcript, sections: &str) -> String {
    match t.run(&format!("INFO {sections}")) {
        Reply::Bulk(text) => String::from_utf8_lossy(&text).into_owned(),
        other => panic!("INFO answered {other}"),
    }
}

/// What stands behind a field's name.
#[track_caller]
fn field(text: &str, name: &str) -> String {
    let line = text.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

fn titles(text: &str) -> Vec<&str> {
    text.split("\r\n").filter_map(|line| line.strip_prefix("# ")).collect()
}

#[test]
fn sections_come_in_one_order_however_they_are_asked_for() {
    let (_server, mut t) = transcript();
    let default = "Server Clients Memory Persistence Threads Stats Replication CPU Modules Errorstats Cluster Keyspace";
    assert_eq!(titles(&info(&mut t, "")).join(" "), default);
    assert_eq!(titles(&info(&mut t, "default")).join(" "), default);
    assert_eq!(titles(&info(&mut t, "KEYSPACE cpu")), ["CPU", "Keyspace"]);
    assert_eq!(titles(&info(&mut t, "commandstats commandstats")), ["Commandstats"]);
    assert_eq!(titles(&info(&mut t, "everything")).len(), 15);
    assert_eq!(titles(&info(&mut t, "all")).len(), 15);
    assert_eq!(titles(&info(&mut t, "debug shards")), ["Shards", "Debug"]);
    assert_eq!(info(&mut t, "nothing"), "");
    assert!(info(&mut t, "").contains("\r\n\r\n# Clients\r\n"));
}

#[test]
fn in_resp3_it_is_text_for_people() {
    let (_server, mut t) = transcript();
    t.run("HELLO 3");
    t.strict("INFO cluster", r##"=txt:"# Cluster\r\ncluster_enabled:0\r\n""##);
}

#[test]
fn the_server_names_itself_as_tools_expect() {
    let (server, mut t) = transcript();
    let text = info(&mut t, "server");
    assert_eq!(field(&text, "redis_version"), russet_config::REDIS_VERSION);
    assert_eq!(field(&text, "russet_version"), russet_server::VERSION);
    assert_eq!(field(&text, "server_name"), "russet");
    assert_eq!(field(&text, "process_id"), std::process::id().to_string());
    assert_eq!(field(&text, "run_id"), server.state().identity.run_id);
    assert_eq!(field(&text, "redis_mode"), "standalone");
}

#[test]
fn databases_that_hold_something_are_counted() {
    let (_server, mut t) = transcript();
    t.check("SET a 1", "OK");
    t.check("SET b 1 EX 100", "OK");
    t.check("SELECT 9", "OK");
    t.check("SET c 1", "OK");
    let text = info(&mut t, "keyspace");
    let ttl: u64 = field(&text, "db0")
        .strip_prefix("keys=2,expires=1,avg_ttl=")
        .unwrap()
        .strip_suffix(",subexpiry=0")
        .unwrap()
        .parse()
        .unwrap();
    assert!((90_000..=100_000).contains(&ttl), "{text}");
    assert_eq!(field(&text, "db9"), "keys=1,expires=0,avg_ttl=0,subexpiry=0");
    assert!(!text.contains("db1:"), "{text}");
}

#[test]
fn commands_and_errors_are_counted_by_name() {
    let (_server, mut t) = transcript();
    t.check("SET k v", "OK");
    t.check("GET k", "v");
    t.check("GET none", "(nil)");
    t.check("LPUSH k x", "-WRONGTYPE...");
    t.check("GET", "-ERR wrong...");
    let text = info(&mut t, "all");
    assert!(field(&text, "cmdstat_get").starts_with("calls=2,usec="), "{text}");
    assert!(field(&text, "cmdstat_get").ends_with(",rejected_calls=1,failed_calls=0"), "{text}");
    assert!(field(&text, "cmdstat_lpush").ends_with(",rejected_calls=0,failed_calls=1"), "{text}");
    assert_eq!(field(&text, "errorstat_WRONGTYPE"), "count=1");
    assert_eq!(field(&text, "errorstat_ERR"), "count=1");
    assert_eq!(field(&text, "total_error_replies"), "2");
    assert_eq!(field(&text, "keyspace_hits"), "1");
    assert_eq!(field(&text, "keyspace_misses"), "1");
}

#[test]
fn calls_are_counted_one_by_one_in_a_pipeline_and_in_a_transaction() {
    let (_server, mut t) = transcript();
    t.check("CONFIG RESETSTAT", "OK");
    let pipeline: [&[&str]; 7] = [
        &["SET", "k", "1"],
        &["SET", "k", "2"],
        &["GET", "k"],
        &["MULTI"],
        &["SET", "k", "3"],
        &["LRANGE", "none", "0", "-1"],
        &["EXEC"],
    ];
    for words in pipeline {
        t.client.send(words).unwrap();
    }
    t.client.send(&["INFO", "commandstats"]).unwrap();
    (0..pipeline.len()).for_each(|_| drop(t.client.recv().unwrap()));
    let Reply::Bulk(text) = t.client.recv().unwrap() else { panic!("text") };
    let text = String::from_utf8_lossy(&text);
    for (name, calls) in [("set", 3), ("get", 1), ("multi", 1), ("lrange", 1), ("exec", 1)] {
        let line = field(&text, &format!("cmdstat_{name}"));
        assert!(line.starts_with(&format!("calls={calls},usec=")), "{name}: {line}");
    }
    assert_eq!(field(&text, "cmdstat_config|resetstat").split(',').next(), Some("calls=1"));
    assert!(!text.contains("cmdstat_info"), "it has not ended yet: {text}");
}

#[test]
fn a_call_that_waits_counts_when_it_is_answered() {
    let (server, mut t) = transcript();
    let mut waiter = server.client();
    waiter.send(&["BLPOP", "list", "0"]).unwrap();
    while field(&info(&mut t, "clients"), "blocked_clients") == "0" {
        std::thread::yield_now();
    }
    assert!(!info(&mut t, "commandstats").contains("blpop"));
    t.check("RPUSH list a", "1");
    waiter.recv().unwrap();
    let line = field(&info(&mut t, "commandstats"), "cmdstat_blpop");
    assert!(line.starts_with("calls=1,"), "{line}");
    waiter.send(&["BLPOP", "list", "0.01"]).unwrap();
    waiter.recv().unwrap();
    let line = field(&info(&mut t, "commandstats"), "cmdstat_blpop");
    assert!(line.starts_with("calls=2,"), "{line}");
}

#[test]
fn threads_and_shards_have_figures_of_their_own() {
    let (_server, mut t) = transcript();
    t.check("SET k v", "OK");
    let threads = info(&mut t, "threads");
    let clients = |nth: usize| {
        let line = field(&threads, &format!("io_thread_{nth}"));
        line.strip_prefix("clients=").unwrap().split(',').next().unwrap().parse::<u32>().unwrap()
    };
    assert_eq!(clients(0) + clients(1), 1, "{threads}");
    let shards = info(&mut t, "shards");
    assert_eq!(field(&shards, "shards"), "1024");
    assert_eq!(field(&shards, "shard_keys_max"), "1");
    assert_eq!(shards.matches("keys=1,bytes=").count(), 1, "{shards}");
}

#[test]
fn sizes_of_values_are_counted_by_powers_of_two() {
    let (_server, mut t) = transcript();
    t.check("MSET a 1 b 22 c 333 d 4444", "OK");
    t.check(&format!("SET e {}", "x".repeat(3000)), "OK");
    t.check("RPUSH l 1 2 3 4 5", "5");
    t.check("SADD s 1", "1");
    let text = info(&mut t, "keysizes");
    assert_eq!(field(&text, "db0_distrib_strings_sizes"), "1=1,2=2,4=1,2K=1");
    assert_eq!(field(&text, "db0_distrib_lists_items"), "4=1");
    assert_eq!(field(&text, "db0_distrib_sets_items"), "1=1");
    t.check("LPOP l 4", "[1, 2, 3, 4]");
    t.check("DEL s", "1");
    t.check("SET a 4444", "OK");
    t.check("INCRBY b 99978", "100000");
    let text = info(&mut t, "keysizes");
    assert_eq!(field(&text, "db0_distrib_strings_sizes"), "2=1,4=3,2K=1");
    assert_eq!(field(&text, "db0_distrib_lists_items"), "1=1");
    assert!(!text.contains("sets"), "{text}");
    t.check("FLUSHALL", "OK");
    assert_eq!(info(&mut t, "keysizes"), "# Keysizes\r\n");
}

#[test]
fn turns_are_counted_and_timed() {
    let (_server, mut t) = transcript();
    t.check("SET k v", "OK");
    let number = |text: &str, name: &str| field(text, name).parse::<u64>().unwrap();
    let before = info(&mut t, "stats");
    std::thread::sleep(Duration::from_millis(250));
    let after = info(&mut t, "stats");
    let grown = number(&after, "eventloop_cycles") - number(&before, "eventloop_cycles");
    assert!((2..20).contains(&grown), "{grown}");
    assert!(number(&after, "eventloop_duration_sum") > number(&before, "eventloop_duration_sum"));
    let debug = info(&mut t, "debug");
    assert!(number(&debug, "eventloop_cmd_per_cycle_max") >= 1, "{debug}");
    assert!(number(&debug, "eventloop_duration_cron_sum") > 0, "{debug}");
    assert!(!info(&mut t, "all").contains("eventloop_duration_cron_sum"));
}

#[test]
fn clients_are_counted_by_what_they_do() {
    let (server, mut t) = transcript();
    let mut waiter = server.client();
    waiter.send(&["BLPOP", "list", "0"]).unwrap();
    let mut watcher = Transcript::new(server.client());
    watcher.check("WATCH a b", "OK");
    while field(&info(&mut t, "clients"), "blocked_clients") == "0" {
        std::thread::yield_now();
    }
    let text = info(&mut t, "clients");
    for (name, value) in [
        ("connected_clients", "3"),
        ("blocked_clients", "1"),
        ("clients_in_timeout_table", "0"),
        ("watching_clients", "1"),
        ("total_watched_keys", "2"),
        ("total_blocking_keys", "1"),
    ] {
        assert_eq!(field(&text, name), value, "{name}");
    }
}

#[test]
fn memory_counts_what_keys_take() {
    let (_server, mut t) = transcript();
    t.check("CONFIG SET maxmemory 1gb", "OK");
    let bytes = |text: &str, name: &str| field(text, name).parse::<u64>().unwrap();
    let before = info(&mut t, "memory");
    t.check("DEBUG POPULATE 1000 key 1000", "OK");
    let after = info(&mut t, "memory");
    let grown = bytes(&after, "used_memory_dataset") - bytes(&before, "used_memory_dataset");
    assert!((1_000_000..1_300_000).contains(&grown), "{grown}");
    assert!(bytes(&after, "used_memory_peak") >= bytes(&after, "used_memory"));
    assert_eq!(field(&after, "maxmemory_human"), "1.00G");
    assert!(field(&after, "mem_allocator").starts_with("jemalloc-5"));
}

#[test]
fn inside_a_transaction_info_sees_what_the_transaction_did() {
    let (_server, mut t) = transcript();
    t.check("MULTI", "OK");
    t.check("SET a 1", "QUEUED");
    t.check("INFO keyspace", "QUEUED");
    t.check("EXEC", r##"[OK, "# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0,subexpiry=0\r\n"]"##);
}

#[test]
fn the_server_is_a_primary_without_replicas() {
    let (_server, mut t) = transcript();
    t.check("ROLE", "[master, 0, []]");
    t.check("REPLICAOF NO ONE", "OK");
    t.check("SLAVEOF no one", "OK");
    t.check("REPLICAOF localhost 6379", "-ERR replication is not supported...");
    let text = info(&mut t, "replication");
    assert_eq!(field(&text, "role"), "master");
    let id = field(&text, "master_replid");
    assert_eq!(id.len(), 40);
    t.check("DEBUG CHANGE-REPL-ID", "OK");
    assert_ne!(field(&info(&mut t, "replication"), "master_replid"), id);
}

#[test]
fn shutdown_says_no_to_what_it_cannot_do() {
    let (_server, mut t) = transcript();
    t.check("SHUTDOWN ABORT", "-ERR No shutdown in progress.");
    t.check("SHUTDOWN SAVE NOSAVE", "-ERR syntax error");
    t.check("SHUTDOWN ABORT NOW", "-ERR syntax error");
    t.check("MULTI", "OK");
    t.check("SHUTDOWN", "-ERR Command not allowed inside a transaction");
}

#[test]
fn shutdown_ends_every_connection() {
    let (server, mut t) = transcript();
    let mut other = server.client();
    t.client.send(&["SHUTDOWN", "NOSAVE"]).unwrap();
    assert_eq!(t.client.read_until_closed(Duration::from_secs(5)).unwrap(), b"");
    assert_eq!(other.read_until_closed(Duration::from_secs(5)).unwrap(), b"");
}

#[test]
fn changes_are_counted_as_elements() {
    let server = server();
    let mut t = Transcript::new(server.client());
    let changes = || -> u64 {
        let info = server.client().cmd(&["INFO", "persistence"]).to_string();
        let (_, rest) = info.split_once("rdb_changes_since_last_save:").expect("a field");
        let digits = rest.chars().take_while(char::is_ascii_digit);
        digits.collect::<String>().parse().expect("a number")
    };
    let mut before = changes();
    for (command, count) in [
        ("RPUSH l a b c", 3),
        ("LMOVE l k LEFT RIGHT", 1),
        ("LPOP l 2", 2),
        ("SADD s a b a", 2),
        ("SADD s a", 0),
        ("SREM s a b", 2),
        ("HSET h a 1 b 2", 2),
        ("HDEL h a b c", 2),
        ("ZADD z 1 a 2 b", 2),
        ("ZADD z 1 a 3 b", 1),
        ("ZREM z a b", 2),
        ("XADD x 1-1 a b", 1),
        ("SET k v", 1),
        ("GET k", 0),
    ] {
        t.run(command);
        let after = changes();
        assert_eq!(after - before, count, "{command}");
        before = after;
    }
}

#[test]
fn what_the_allocator_hands_out_lies_in_its_pages() {
    let (_server, mut t) = transcript();
    let mut is_so = || {
        let text = info(&mut t, "memory");
        let figure = |name: &str| field(&text, name).parse::<u64>().unwrap();
        let (used, allocated) = (figure("used_memory"), figure("allocator_allocated"));
        let (active, between) = (figure("allocator_active"), figure("allocator_frag_bytes"));
        used <= allocated && allocated <= active && between == active - allocated
    };
    // The housekeeping may measure anew between two of the figures.
    assert!((0..50).any(|_| is_so()));
}
