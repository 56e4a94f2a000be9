//! What OBJECT answers.

use russet_testkit::{Reply, Transcript};

use crate::{Server, server};

#[test]
fn encodings_are_named_as_in_redis() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("SET i 12345", "OK");
    t.check("SET e short", "OK");
    t.check(&format!("SET m {}", "x".repeat(44)), "OK");
    t.check(&format!("SET r {}", "x".repeat(45)), "OK");
    t.check(&format!("SET c {}", "x".repeat(100_000)), "OK");
    t.check("RPUSH l a", "1");
    t.strict("OBJECT ENCODING i", "$int");
    t.check("OBJECT ENCODING e", "embstr");
    t.check("OBJECT ENCODING m", "embstr");
    t.check("OBJECT ENCODING r", "raw");
    t.check("OBJECT ENCODING c", "raw");
    t.check("OBJECT ENCODING l", "listpack");
    t.strict("OBJECT ENCODING none", "$-1");
    t.check("COPY i i2", "1");
    t.check("OBJECT ENCODING i2", "int");
    t.check("RENAME l l2", "OK");
    t.check("OBJECT ENCODING l2", "listpack");
}

#[test]
fn small_integers_count_as_shared() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("SET i 9999", "OK");
    t.check("SET j 10000", "OK");
    t.check("SET k v", "OK");
    t.strict("OBJECT REFCOUNT i", ":2147483647");
    t.check("OBJECT REFCOUNT j", "1");
    t.check("OBJECT REFCOUNT k", "1");
    t.check("OBJECT REFCOUNT none", "(nil)");
}

#[test]
fn looking_is_no_use() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("SET k v", "OK");
    t.strict("OBJECT IDLETIME k", ":0");
    t.check("OBJECT IDLETIME none", "(nil)");
    // The clock that commands see is ten seconds ahead from here on.
    let now = server.state().clock.now();
    server.state().clock.advance(now + 10_000);
    for look in ["TTL k", "TYPE k", "EXISTS k", "OBJECT ENCODING k", "PTTL k"] {
        t.run(look);
    }
    let idle: u64 = t.run("OBJECT IDLETIME k").to_string().parse().unwrap();
    assert!((10..=11).contains(&idle), "{idle}");
    t.check("TOUCH k", "1");
    t.check("OBJECT IDLETIME k", "0");
}

#[test]
fn frequencies_need_a_policy_that_counts() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("SET k v", "OK");
    t.check("OBJECT FREQ none", "(nil)");
    t.check("OBJECT FREQ k", "-ERR An LFU maxmemory policy is not selected...");
    let server = Server::with(&["--maxmemory-policy", "allkeys-lfu"]);
    let mut t = Transcript::new(server.client());
    t.check("SET k v", "OK");
    t.check("OBJECT IDLETIME k", "-ERR An LFU maxmemory policy is selected...");
    t.check("OBJECT IDLETIME none", "(nil)");
    t.check("OBJECT FREQ k", "5");
}

#[test]
fn uses_are_counted_and_forgotten() {
    let server =
        Server::with(&["--maxmemory-policy", "allkeys-lfu", "--enable-debug-command", "yes"]);
    let mut t = Transcript::new(server.client());
    t.check("CONFIG SET lfu-log-factor 0", "OK");
    t.check("SET k v", "OK");
    t.check("HSET h f v", "1");
    for use_of in ["GET k", "SET k w", "APPEND k x", "TOUCH k"] {
        t.run(use_of);
    }
    t.check("OBJECT FREQ k", "9");
    for use_of in ["HGET h f", "HSET h f w", "HINCRBY h n 1", "HDEL h n"] {
        t.run(use_of);
    }
    t.check("OBJECT FREQ h", "9");
    for look in ["TTL k", "TYPE k", "EXISTS k", "DEBUG OBJECT k", "OBJECT ENCODING k"] {
        t.run(look);
    }
    t.check("CLIENT NO-TOUCH ON", "OK");
    t.check("GET k", "wx");
    t.check("OBJECT FREQ k", "9");
    t.check("COPY k k2", "1");
    t.check("RENAME k k3", "OK");
    t.check("OBJECT FREQ k2", "5");
    t.check("OBJECT FREQ k3", "9");
    // Three minutes later each has lost three.
    server.state().clock.advance(server.state().clock.now() + 180_000);
    t.check("OBJECT FREQ k3", "6");
    t.check("CONFIG SET lfu-decay-time 0", "OK");
    t.check("OBJECT FREQ k3", "9");
    let shown = t.run("DEBUG OBJECT k3").to_string();
    assert!(shown.contains(" lfu_freq:9 lfu_access_time_minutes:"), "{shown}");
}

#[test]
fn the_more_uses_the_less_one_more_counts() {
    let server = Server::with(&["--maxmemory-policy", "volatile-lfu"]);
    let mut t = Transcript::new(server.client());
    t.check("SET k v", "OK");
    (0..100).for_each(|_| drop(t.run("GET k")));
    let after_100: u64 = t.run("OBJECT FREQ k").to_string().parse().unwrap();
    (0..900).for_each(|_| drop(t.run("GET k")));
    let after_1000: u64 = t.run("OBJECT FREQ k").to_string().parse().unwrap();
    assert!((6..=20).contains(&after_100), "{after_100}");
    assert!((12..=30).contains(&after_1000), "{after_1000}");
}

fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(reply.bytes().expect("a string")).into_owned()
}

#[test]
fn object_explains_itself() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("OBJECT", "-ERR wrong number of arguments for 'object' command");
    t.check("OBJECT ENCODING", "-ERR wrong number of arguments for 'object|encoding' command");
    t.check("OBJECT ENCODING a b", "-ERR wrong number of arguments for 'object|encoding' command");
    t.check("OBJECT HELP x", "-ERR wrong number of arguments for 'object|help' command");
    t.check("OBJECT foo k", "-ERR unknown subcommand 'foo'. Try OBJECT HELP.");
    let help = t.run("OBJECT HELP");
    let lines: Vec<_> = help.items().unwrap().iter().map(text).collect();
    assert_eq!(lines[0], "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    for topic in ["ENCODING", "FREQ", "IDLETIME", "REFCOUNT", "HELP"] {
        assert!(lines.iter().any(|line| line.starts_with(topic)), "{topic} in {lines:?}");
    }
}
