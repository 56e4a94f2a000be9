//! DEBUG.

use russet_testkit::differential::installed;
use russet_testkit::{Reply, Setup, Transcript, check};

use crate::{Server, server};

fn transcript() -> (Server, Transcript) {
    let server = server();
    let transcript = Transcript::new(server.client());
    (server, transcript)
}

#[test]
fn without_permission_it_is_refused() {
    let refusal = "-ERR DEBUG command not allowed. If the enable-debug-command option is set...";
    let closed = Server::with(&[]);
    Transcript::new(closed.client()).check("DEBUG HELP", refusal);
    let local = Server::with(&["--enable-debug-command", "local"]);
    Transcript::new(local.client()).check("DEBUG SET-ACTIVE-EXPIRE 1", "OK");
}

#[test]
fn the_allocator_does_one_thing_when_asked() {
    let (_server, mut t) = transcript();
    t.check("DEBUG MALLCTL-STR thread.tcache.flush VOID", "OK");
    let refusal = "-ERR Operation not permitted";
    t.check("DEBUG MALLCTL-STR arena.0.destroy VOID", refusal);
    t.check("DEBUG MALLCTL-STR thread.tcache.flush 1", refusal);
}

#[test]
fn every_type_of_reply_has_a_sample() {
    let (_server, mut t) = transcript();
    let in_resp2 = [
        ("string", "$\"Hello World\""),
        ("integer", ":12345"),
        ("double", "$3.141"),
        ("bignum", "$1234567999999999999999999999999999999"),
        ("null", "$-1"),
        ("array", "[:0, :1, :2]"),
        ("set", "[:0, :1, :2]"),
        ("map", "[:0, :0, :1, :1, :2, :0]"),
        ("attrib", "$\"Some real reply following the attribute\""),
        ("push", "-ERR RESP2 is not supported by this command"),
        ("true", ":1"),
        ("false", ":0"),
        ("verbatim", r#"$"This is a verbatim\nstring""#),
    ];
    for (kind, sample) in in_resp2 {
        t.strict(&format!("DEBUG PROTOCOL {kind}"), sample);
    }
    t.check(
        "DEBUG PROTOCOL other",
        "-ERR Wrong protocol type name. Please use one of the following: ...",
    );
    t.run("HELLO 3");
    let in_resp3 = [
        ("double", ",3.141"),
        ("bignum", "(1234567999999999999999999999999999999"),
        ("null", "_"),
        ("set", "~[:0, :1, :2]"),
        ("map", "{:0: #f, :1: #t, :2: #f}"),
        ("push", ">[$server-cpu-usage, :42]"),
        ("true", "#t"),
        ("verbatim", r#"=txt:"This is a verbatim\nstring""#),
    ];
    for (kind, sample) in in_resp3 {
        t.strict(&format!("DEBUG PROTOCOL {kind}"), sample);
        if kind == "push" {
            let behind = t.client.recv().unwrap();
            assert_eq!(behind, Reply::Bulk(b"Some real reply following the push reply".to_vec()));
        }
    }
}

/// Data of every kind that Russet keeps, and what it is asked afterwards.
const DATA: [&str; 9] = [
    "SET short value",
    "SET number 42",
    "SET ends value EX 1000",
    "RPUSH list a b c 12",
    "SELECT 3",
    "SET other 1",
    "SET bytes \"\\x00\\xff\"",
    "SELECT 0",
    "DEBUG POPULATE 300 filler 200",
];

#[test]
fn digests_are_those_of_redis() {
    if !installed("valkey-server") {
        return;
    }
    let arguments = ["--save", "", "--enable-debug-command", "yes"];
    let reference = Setup::new("valkey-server").args(arguments).start().unwrap();
    let mut theirs = Transcript::new(reference.client().unwrap());
    let (_server, mut ours) = transcript();
    for command in ["DEBUG DIGEST"].into_iter().chain(DATA) {
        assert_eq!(ours.run(command), theirs.run(command), "{command}");
    }
    let asked =
        ["DEBUG DIGEST", "DEBUG DIGEST-VALUE short number ends list none", "DEBUG DIGEST-VALUE"];
    for command in asked {
        assert_eq!(ours.run(command), theirs.run(command), "{command}");
    }
}

#[test]
fn a_digest_knows_order_and_database() {
    let (_server, mut t) = transcript();
    t.check("DEBUG DIGEST", "0000000000000000000000000000000000000000");
    t.check("RPUSH a x y", "2");
    let one = t.run("DEBUG DIGEST");
    t.check("FLUSHALL", "OK");
    t.check("RPUSH a y x", "2");
    assert_ne!(t.run("DEBUG DIGEST"), one);
    t.check("FLUSHALL", "OK");
    t.check("SELECT 1", "OK");
    t.check("RPUSH a x y", "2");
    assert_ne!(t.run("DEBUG DIGEST"), one);
}

#[test]
fn populate_makes_keys_that_are_not_there() {
    let (_server, mut t) = transcript();
    t.check("SET key:1 mine", "OK");
    t.check("DEBUG POPULATE 3", "OK");
    t.check("GET key:0", "value:0");
    t.check("GET key:1", "mine");
    t.check("DEBUG POPULATE 2 wide 10", "OK");
    t.check("GET wide:1", r#""value:1\x00\x00\x00""#);
    t.check("DEBUG POPULATE 1 narrow 3", "OK");
    t.check("GET narrow:0", "val");
    t.check("DEBUG POPULATE 5000 many", "OK");
    t.check("DBSIZE", "5006");
    t.check("DEBUG POPULATE x", "-ERR value is not an integer or out of range");
}

#[test]
fn keys_that_have_ended_stay_while_expiry_is_off() {
    let (_server, mut t) = transcript();
    t.check("DEBUG SET-ACTIVE-EXPIRE 0", "OK");
    t.check("SET k v PX 1", "OK");
    t.check("DEBUG SLEEP 0.3", "OK");
    t.check("DBSIZE", "1");
    assert!(t.run("DEBUG OBJECT k").to_string().contains("Value at:"));
    t.check("EXISTS k", "0");
    t.check("DEBUG OBJECT k", "-ERR no such key");
    t.check("SET k v PX 1", "OK");
    t.check("DEBUG SET-ACTIVE-EXPIRE 1", "OK");
    t.check("DEBUG SLEEP 0.3", "OK");
    t.check("DBSIZE", "0");
}

#[test]
fn object_shows_where_and_how_a_value_is_kept() {
    let (_server, mut t) = transcript();
    t.check("SET k 1", "OK");
    let shown = t.run("DEBUG OBJECT k").to_string();
    assert!(shown.contains("Value at:0x"), "{shown}");
    assert!(shown.contains(" refcount:1 encoding:int serializedlength:2 lru:"), "{shown}");
    let again = t.run("DEBUG OBJECT k fast").to_string();
    assert_eq!(shown.split(' ').nth(1), again.split(' ').nth(1), "the same place");
}

#[test]
fn long_lists_tell_of_their_rows_and_big_collections_of_their_tables() {
    let (_server, mut t) = transcript();
    t.check("RPUSH short a", "1");
    assert!(!t.run("DEBUG OBJECT short").to_string().contains("ql_nodes"));
    for n in 0..3 {
        t.check(&format!("RPUSH long {}", "x".repeat(5000)), &(n + 1).to_string());
    }
    let shown = t.run("DEBUG OBJECT long").to_string();
    let fields = " ql_nodes:3 ql_avg_node:1.00 ql_listpack_max:-2 ql_compressed:0 ql_uncompressed_size:15042";
    assert!(shown.contains(fields), "{shown}");
    assert!(!t.run("DEBUG OBJECT long FAST").to_string().contains("ql_uncompressed_size"));
    for n in 0..600 {
        t.run(&format!("SADD set member:{n}"));
        t.run(&format!("ZADD zset {n} member:{n}"));
        t.run(&format!("HSET hash member:{n} 1"));
    }
    for key in ["set", "zset", "hash"] {
        let sizes = t.run(&format!("DEBUG HTSTATS-KEY {key}")).to_string();
        assert!(sizes.contains("number of elements: 600"), "{sizes}");
    }
    t.check(
        "DEBUG HTSTATS-KEY short",
        "-ERR The value stored at the specified key is not represented using an hash table",
    );
    t.check("DEBUG HTSTATS-KEY none", "-ERR no such key");
}

#[test]
fn small_tools_do_what_they_say() {
    let (_server, mut t) = transcript();
    t.check("DEBUG ERROR \"MYCODE text\"", "-MYCODE text");
    t.check("DEBUG LOG hello", "OK");
    t.check("DEBUG STRINGMATCH-LEN 4 a?*", "1");
    t.check("DEBUG STRINGMATCH-LEN 4 b*", "0");
    t.check("DEBUG PAUSE-CRON 1", "OK");
    t.check("DEBUG PAUSE-CRON 0", "OK");
    t.check("DEBUG QUICKLIST-PACKED-THRESHOLD 100b", "OK");
    t.check("SET k v EX 100", "OK");
    let sizes = t.run("DEBUG HTSTATS 0").to_string();
    assert!(sizes.contains("number of elements: 1"), "{sizes}");
    t.check("DEBUG HTSTATS 99", "-ERR Out of range database");
    t.check("DEBUG LOADAOF", "-ERR Error trying to load the AOF files, check server logs.");
    let unknown =
        "-ERR unknown subcommand or wrong number of arguments for 'SEGFAULT'. Try DEBUG HELP.";
    t.check("DEBUG SEGFAULT", unknown);
    let help = t.run("DEBUG HELP").to_string();
    assert!(help.contains("DIGEST-VALUE <key> [<key> ...]"), "{help}");
}

#[test]
fn sleep_inside_a_transaction_holds_what_the_transaction_holds() {
    let server = server();
    let (mut transaction, mut other) = (server.client(), server.client());
    check(&mut transaction, "MULTI", "OK");
    check(&mut transaction, "SET k before", "QUEUED");
    check(&mut transaction, "DEBUG SLEEP 0.2", "QUEUED");
    check(&mut transaction, "SET k after", "QUEUED");
    transaction.send(&["EXEC"]).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(other.cmd(&["GET", "k"]).to_string(), "after");
    assert_eq!(transaction.recv().unwrap().to_string(), "[OK, OK, OK]");
}
