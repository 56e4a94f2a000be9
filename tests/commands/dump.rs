//! What DUMP gives and RESTORE takes, also from and to the servers that brought them.

use russet_testkit::differential::installed;
use russet_testkit::{Client, Reply, Setup, Transcript};
use std::fmt::Write;

use crate::{Server, server};

/// One key of each kind that there is: short and long, of numbers and of texts.
pub(crate) fn fill(client: &mut Client) {
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
    run(&["HSET", "hash", "a", "1", "b", "two", "empty", ""]);
    run(&["ZADD", "scores", "1.5", "a", "-inf", "b", "3", "c", "-0.25", "7"]);
    run(&["XADD", "stream", "1-1", "field", "value", "number", "7"]);
    run(&["XADD", "stream", "2-1", "field", "other", "number", "-300"]);
    run(&["XADD", "stream", "2-5", "another", &long]);
    run(&["XADD", "stream", "3-0", "x", "y"]);
    run(&["XDEL", "stream", "2-1"]);
    run(&["XGROUP", "CREATE", "stream", "group", "0"]);
    run(&["XGROUP", "CREATE", "stream", "idle", "2-5", "ENTRIESREAD", "3"]);
    run(&["XREADGROUP", "GROUP", "group", "one", "COUNT", "1", "STREAMS", "stream", ">"]);
    run(&["XREADGROUP", "GROUP", "group", "two", "STREAMS", "stream", ">"]);
    run(&["XADD", "no-entries", "1-1", "a", "b"]);
    run(&["XDEL", "no-entries", "1-1"]);
    let several = |name: &str, key: &str| {
        [name, key].into_iter().map(str::to_owned).chain(many.iter().cloned()).collect::<Vec<_>>()
    };
    for words in
        [several("RPUSH", "long-list"), several("SADD", "big-set"), several("HSET", "big-hash")]
    {
        run(&words.iter().map(String::as_str).collect::<Vec<_>>());
    }
    for (nth, member) in many.iter().enumerate() {
        run(&["ZADD", "big-scores", &(nth as f64 / 4.0).to_string(), member]);
        run(&["XADD", "big-stream", &format!("{}-{nth}", nth / 3 + 1), member, "value"]);
    }
}

const KEYS: [&str; 16] = [
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
    "scores",
    "big-scores",
    "stream",
    "no-entries",
    "big-stream",
];

/// What a key holds, in an order that does not depend on how it is kept.
fn contents(client: &mut Client, key: &str) -> Vec<String> {
    let reply = match client.cmd(&["TYPE", key]).to_string().as_str() {
        "string" => client.cmd(&["GET", key]),
        "list" => return vec![client.cmd(&["LRANGE", key, "0", "-1"]).to_string()],
        "set" => client.cmd(&["SORT", key, "ALPHA"]),
        "hash" => {
            let fields = client.cmd(&["HGETALL", key]);
            let Reply::Array(parts) = fields else { panic!("fields") };
            let mut pairs: Vec<String> =
                parts.chunks(2).map(|pair| format!("{} {}", pair[0], pair[1])).collect();
            pairs.sort();
            return pairs;
        }
        "zset" => client.cmd(&["ZRANGE", key, "0", "-1", "WITHSCORES"]),
        "stream" => return stream(client, key),
        kind => panic!("{key} is a {kind}"),
    };
    vec![reply.to_string()]
}

/// What a stream holds, and what its groups know, but for times.
fn stream(client: &mut Client, key: &str) -> Vec<String> {
    let entries = client.cmd(&["XRANGE", key, "-", "+"]).to_string();
    let groups = client.cmd(&["XINFO", "GROUPS", key]).to_string();
    let mut pending = client.cmd(&["XPENDING", key, "group", "-", "+", "10"]).to_string();
    if client.cmd(&["XPENDING", key, "group", "-", "+", "10"]).items().is_some() {
        pending = client.cmd(&["XPENDING", key, "group"]).to_string();
    }
    let about = client.cmd(&["XINFO", "STREAM", key]);
    let Reply::Array(about) = about else { panic!("{about}") };
    let known: Vec<String> = about
        .chunks(2)
        .filter(|pair| !pair[0].to_string().contains("radix"))
        .map(|pair| format!("{} {}", pair[0], pair[1]))
        .collect();
    [vec![entries, groups, pending], known].concat()
}

/// The sum of a value, which all servers compute alike.
fn digest(client: &mut Client, key: &str) -> String {
    client.cmd(&["DEBUG", "DIGEST-VALUE", key]).to_string()
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
        assert_eq!(digest(from, key), digest(to, key), "{key}");
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

/// From us to a server of others, and from there to us.
fn with_reference(program: &str, in_same_forms: bool) {
    if !installed(program) {
        return;
    }
    let setup = Setup::new(program).args(["--save", "", "--enable-debug-command", "yes"]);
    let reference = setup.start().expect("it starts");
    let ours: Server = server();
    let (mut ours, mut theirs) = (ours.client(), reference.client().expect("it serves"));
    for compresses in ["yes", "no"] {
        for client in [&mut ours, &mut theirs] {
            client.cmd(&["FLUSHALL"]);
            client.cmd(&["CONFIG", "SET", "rdbcompression", compresses]);
        }
        fill(&mut ours);
        carry(&mut ours, &mut theirs, in_same_forms);
        // What was theirs for a moment is as it was.
        carry(&mut theirs, &mut ours, in_same_forms);
        theirs.cmd(&["FLUSHALL"]);
        ours.cmd(&["FLUSHALL"]);
        fill(&mut theirs);
        carry(&mut theirs, &mut ours, in_same_forms);
    }
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

#[test]
fn restored_keys_have_the_frequency_that_they_are_told() {
    let server = Server::with(&["--maxmemory-policy", "allkeys-lfu"]);
    let mut client = server.client();
    client.cmd(&["SET", "k", "v"]);
    let payload = dump(&mut client, "k");
    let mut restore = |options: [&[u8]; 2], expected: &str| {
        let words = [&b"RESTORE"[..], b"n", b"0", &payload, b"REPLACE", options[0], options[1]];
        assert_eq!(client.cmd(&words).to_string(), "OK");
        assert_eq!(client.cmd(&["OBJECT", "FREQ", "n"]).to_string(), expected);
    };
    restore([b"FREQ", b"100"], "100");
    // What the policy does not go by is forgotten, and what was there before counts for nothing.
    restore([b"IDLETIME", b"1000"], "5");
}

#[test]
fn fields_keep_their_ends() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("HSET h a 1 b 2", "2");
    t.check("HPEXPIREAT h 9999999999999 FIELDS 1 a", "[1]");
    let payload = dump(&mut t.client, "h");
    assert_eq!(t.client.cmd(&[&b"RESTORE"[..], b"copy", b"0", &payload]).to_string(), "OK");
    t.check("HPEXPIRETIME copy FIELDS 2 a b", "[9999999999999, -1]");
}

#[test]
fn what_is_dumped_is_as_long_as_debug_says() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("SET k hello", "OK");
    let object = t.run("DEBUG OBJECT k").to_string();
    assert!(object.contains(" encoding:embstr serializedlength:6 lru:"), "{object}");
    let object = t.run("DEBUG OBJECT k FAST").to_string();
    assert!(object.contains(" encoding:embstr lru:"), "{object}");
}
