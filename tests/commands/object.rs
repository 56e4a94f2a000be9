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
    t.check("OBJECT FREQ k", "(any)");
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
