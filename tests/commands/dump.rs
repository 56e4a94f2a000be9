//! What DUMP gives and RESTORE takes, also from and to the servers that brought them.

use std::fmt::Write;
use std::time::Duration;

use russet_testkit::{Client, Reply, Transcript};

use crate::{Server, server};

/// One key of each kind that there is: short and long, of numbers and of texts.
fn fill(client: &mut Client) {
    let long = "x".repeat(100_000);
    let many: Vec<String> = (0..2_000).map(|n| format!("element-{n}")).collect();
    let mut run = |words: &[&str]| {
        let reply = client.cmd(words);
        assert!(!matches!(reply, Reply::Error(_)), "{words:?}: {reply}");
    };
    run(&["SET", "text", "hello world"]);
    run(&["SET", "number", "-1234567890123"]);
    run(&["SET", "long", &long]);
    run(&["RPUSH", "list", "1", "two", "", "-4000000000"]);
    run(&["RPUSH", "list-of-long", &long, "short"]);
    run(&["SADD", "integers", "1", "-70000", "5000000000"]);
    run(&["SADD", "texts", "1", "b", "c"]);
    run(&["ZADD", "scores", "1.5", "a", "-inf", "b", "3", "7"]);
    run(&["HSET", "hash", "a", "1", "b", "two", "empty", ""]);
    let several = |name: &str, key: &str| {
        [name, key].into_iter().map(str::to_owned).chain(many.iter().cloned()).collect::<Vec<_>>()
    };
    for words in
        [several("RPUSH", "long-list"), several("SADD", "big-set"), several("HSET", "big-hash")]
    {
        run(&words.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

const KEYS: [&str; 12] = [
    "scores",
    "text",
    "number",
    "long",
    "list",
    "list-of-long",
    "integers",
    "texts",
    "hash",
    "long-list",
    "big-set",
    "big-hash",
];

/// What a key holds, in an order that does not depend on how it is kept.
fn contents(client: &mut Client, key: &str) -> Vec<String> {
    let reply = match client.cmd(&["TYPE", key]).to_string().as_str() {
        "string" => client.cmd(&["GET", key]),
        "list" => return vec![client.cmd(&["LRANGE", key, "0", "-1"]).to_string()],
        "set" => client.cmd(&["SORT", key, "ALPHA"]),
        "zset" => client.cmd(&["ZRANGE", key, "0", "-1", "WITHSCORES"]),
        "hash" => {
            let fields = client.cmd(&["HGETALL", key]);
            let Reply::Array(parts) = fields else { panic!("fields") };
            let mut pairs: Vec<String> =
                parts.chunks(2).map(|pair| format!("{} {}", pair[0], pair[1])).collect();
            pairs.sort();
            return pairs;
        }
        kind => panic!("{key} is a {kind}"),
    };
    vec![reply.to_string()]
}

fn dump(client: &mut Client, key: &str) -> Vec<u8> {
    match client.cmd(&["DUMP", key]) {
        Reply::Bulk(bytes) => bytes,
        other => panic!("{other}"),
    }
}

/// Takes all keys from one server to another, which may keep them in the same forms.
fn carry(from: &mut Client, to: &mut Client, in_same_forms: bool) {
    for key in KEYS {
        let payload = dump(from, key);
        let reply = to.cmd(&[&b"RESTORE"[..], key.as_bytes(), b"0", &payload, b"REPLACE"]);
        assert_eq!(reply.to_string(), "OK", "{key}");
        assert_eq!(contents(from, key), contents(to, key), "{key}");
        let encoding = |client: &mut Client| client.cmd(&["OBJECT", "ENCODING", key]).to_string();
        assert!(!in_same_forms || encoding(from) == encoding(to), "{key}");
    }
}

#[test]
fn values_come_back() {
    let (one, other) = (server(), server());
    let (mut one, mut other) = (one.client(), other.client());
    fill(&mut one);
    carry(&mut one, &mut other, true);
}

/// A server of others, if it is installed, and what ends it.
struct Reference(std::process::Child, u16);

impl Reference {
    fn start(program: &str) -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let child = std::process::Command::new(program)
            .args(["--port", &port.to_string(), "--save", "", "--daemonize", "no"])
            .stdout(std::process::Stdio::null())
            .spawn()
            .ok()?;
        Some(Self(child, port))
    }

    fn client(&self) -> Client {
        for _ in 0..100 {
            if let Ok(client) = Client::connect(("127.0.0.1", self.1)) {
                return client;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the reference server does not listen");
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn with_reference(program: &str, in_same_forms: bool) {
    let Some(reference) = Reference::start(program) else {
        println!("left out: {program} is not installed");
        return;
    };
    let ours: Server = server();
    let (mut ours, mut theirs) = (ours.client(), reference.client());
    fill(&mut ours);
    carry(&mut ours, &mut theirs, in_same_forms);
    ours.cmd(&["FLUSHALL"]);
    theirs.cmd(&["FLUSHALL"]);
    fill(&mut theirs);
    carry(&mut theirs, &mut ours, in_same_forms);
}

#[test]
fn values_travel_to_redis_and_back() {
    // Redis 7.0 has other forms of lists and sets.
    with_reference("redis-server", false);
}

#[test]
fn values_travel_to_valkey_and_back() {
    with_reference("valkey-server", true);
}

#[test]
fn restore_heeds_its_options() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("DUMP none", "(nil)");
    t.check("SET k v", "OK");
    let payload = dump(&mut t.client, "k");
    let shown = payload.iter().fold(String::new(), |mut shown, byte| {
        write!(shown, "\\x{byte:02x}").unwrap();
        shown
    });
    let mut restore = |line: &str, expected: &str| {
        t.check(&line.replace("PAYLOAD", &format!("\"{shown}\"")), expected);
    };
    restore("RESTORE k 0 PAYLOAD", "-BUSYKEY Target key name already exists.");
    restore("RESTORE k 100000 PAYLOAD REPLACE", "OK");
    restore("RESTORE n 0 PAYLOAD IDLETIME 500", "OK");
    restore("OBJECT IDLETIME n", "500");
    restore("RESTORE a 9999999999999 PAYLOAD ABSTTL", "OK");
    restore("PEXPIRETIME a", "9999999999999");
    restore("RESTORE k 1 PAYLOAD ABSTTL REPLACE", "OK");
    restore("EXISTS k", "0");
    restore("RESTORE k -1 PAYLOAD", "-ERR Invalid TTL value, must be >= 0");
    restore("RESTORE k x PAYLOAD", "-ERR value is not an integer or out of range");
    restore("RESTORE k 0 PAYLOAD IDLETIME -1", "-ERR Invalid IDLETIME value, must be >= 0");
    restore("RESTORE k 0 PAYLOAD FREQ 256", "-ERR Invalid FREQ value, must be >= 0 and <= 255");
    restore("RESTORE k 0 PAYLOAD FREQ 1 IDLETIME 1", "-ERR syntax error");
    restore("RESTORE k 0 PAYLOAD FOO", "-ERR syntax error");
    restore("RESTORE k 0 nonsense", "-ERR DUMP payload version or checksum are wrong");
    restore("RESTORE-ASKING k 0 PAYLOAD", "OK");
    restore("GET k", "v");
}
