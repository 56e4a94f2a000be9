//! Our snapshots in the servers that the format comes from, and theirs in ours.

use std::fs;
use std::path::Path;

use russet_testkit::differential::installed;
use russet_testkit::{Client, Process, Setup};

use crate::commands::dump::fill;
use crate::durability::aof::await_rewritten;
use crate::durability::crashes::scribble;
use crate::durability::snapshot::{LIBRARY, times};

const RUSSET: &str = env!("CARGO_BIN_EXE_russet");

fn start(program: &str) -> Process {
    let arguments = ["--save", "", "--enable-debug-command", "yes", "--dbfilename", "dump.rdb"];
    Setup::new(program).args(arguments).start().expect("it starts")
}

pub(crate) fn digest(client: &mut Client) -> String {
    client.cmd(&["DEBUG", "DIGEST"]).to_string()
}

/// All types in two databases, some of it with an end far away.
pub(crate) fn fill_databases(client: &mut Client) {
    fill(client);
    client.cmd(&["PEXPIREAT", "hash", "4000000000000"]);
    client.cmd(&["SELECT", "7"]);
    client.cmd(&["SET", "elsewhere", "yes"]);
    client.cmd(&["SET", "", "no name"]);
    client.cmd(&["SELECT", "0"]);
    client.cmd(&["FUNCTION", "LOAD", "REPLACE", LIBRARY]);
}

/// Saves in one server and starts the other with the file.
fn carry(from: &Process, to: &mut Process) {
    let saved = from.client().expect("it serves").cmd(&["SAVE"]).to_string();
    assert_eq!(saved, "OK", "{}", from.stdout());
    to.kill().expect("it runs");
    copy(from.dir(), to.dir());
    to.restart().expect("it loads the file");
    let (mut one, mut other) = (from.client().expect("no error"), to.client().expect("no error"));
    assert_eq!(databases(&mut one), databases(&mut other));
    assert_eq!(digest(&mut one), digest(&mut other));
    assert_eq!(other.cmd(&["FCALL", "twice", "0", "21"]).to_string(), "42");
    let ttl = other.cmd(&["PEXPIRETIME", "hash"]).to_string();
    assert!(ttl == "4000000000000" || ttl.contains("unknown command"), "{ttl}");
}

/// How many databases hold anything.
pub(crate) fn databases(client: &mut Client) -> usize {
    let reply = client.cmd(&["INFO", "keyspace"]);
    let text = String::from_utf8_lossy(reply.bytes().expect("a text")).into_owned();
    text.lines().filter(|line| line.starts_with("db")).count()
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from.join("dump.rdb"), to.join("dump.rdb")).expect("a file to copy");
}

fn both_ways(program: &str) {
    if !installed(program) {
        return;
    }
    for compresses in ["yes", "no"] {
        let (mut ours, mut theirs) = (start(RUSSET), start(program));
        for server in [&ours, &theirs] {
            server.client().expect("no error").cmd(&[
                "CONFIG",
                "SET",
                "rdbcompression",
                compresses,
            ]);
        }
        fill_databases(&mut ours.client().expect("no error"));
        carry(&ours, &mut theirs);
        // What was theirs for a moment is as it was.
        theirs.client().expect("no error").cmd(&["SET", "one-more", "key"]);
        carry(&theirs, &mut ours);
        theirs.client().expect("no error").cmd(&["FLUSHALL"]);
        fill_databases(&mut theirs.client().expect("no error"));
        carry(&theirs, &mut ours);
    }
}

#[test]
fn snapshots_travel_to_redis_and_back() {
    both_ways("redis-server");
}

#[test]
fn snapshots_travel_to_valkey_and_back() {
    both_ways("valkey-server");
}

/// What FUNCTION DUMP packs, from one to the other and back.
#[test]
fn libraries_travel_to_redis_and_to_valkey_and_back() {
    for program in ["redis-server", "valkey-server"] {
        if !installed(program) {
            continue;
        }
        let (ours, theirs) = (start(RUSSET), start(program));
        let (mut one, mut other) = (ours.client().unwrap(), theirs.client().unwrap());
        let more = "#!lua name=more\nredis.register_function{function_name='thrice', callback=function(_, args) \
                    return args[1] * 3 end, flags={'no-writes', 'allow-oom'}, description='times three'}";
        one.cmd(&["FUNCTION", "LOAD", LIBRARY]);
        restore(&mut one, &mut other, "APPEND");
        assert_eq!(other.cmd(&["FCALL", "twice", "0", "21"]).to_string(), "42", "{program}");
        other.cmd(&["FUNCTION", "LOAD", more]);
        restore(&mut other, &mut one, "REPLACE");
        assert_eq!(one.cmd(&["FCALL_RO", "thrice", "0", "14"]).to_string(), "42", "{program}");
        for name in ["lib", "more"] {
            let words = ["FUNCTION", "LIST", "LIBRARYNAME", name, "WITHCODE"];
            assert_eq!(one.cmd(&words).to_string(), other.cmd(&words).to_string(), "{program}");
        }
        restore(&mut one, &mut other, "FLUSH");
        assert_eq!(other.cmd(&["FCALL_RO", "thrice", "0", "14"]).to_string(), "42", "{program}");
    }
}

/// Takes all libraries of one server to another.
fn restore(from: &mut Client, to: &mut Client, policy: &str) {
    let payload = from.cmd(&["FUNCTION", "DUMP"]);
    let payload = payload.bytes().expect("a payload");
    let words: [&[u8]; 4] = [b"FUNCTION", b"RESTORE", payload, policy.as_bytes()];
    assert_eq!(to.cmd(&words).to_string(), "OK");
}

#[test]
fn a_file_that_tells_how_keys_are_used_is_taken_by_all() {
    for program in ["redis-server", "valkey-server"] {
        if !installed(program) {
            continue;
        }
        for policy in ["allkeys-lru", "volatile-lfu"] {
            let (mut ours, mut theirs) = (start(RUSSET), start(program));
            let set_policy = |server: &Process| {
                server.client().unwrap().cmd(&["CONFIG", "SET", "maxmemory-policy", policy]);
            };
            set_policy(&ours);
            set_policy(&theirs);
            ours.client().unwrap().cmd(&["SET", "k", "v"]);
            carry_file(&ours, &mut theirs);
            set_policy(&theirs);
            carry_file(&theirs, &mut ours);
            assert_eq!(ours.client().unwrap().cmd(&["GET", "k"]).to_string(), "v");
        }
    }
}

fn carry_file(from: &Process, to: &mut Process) {
    assert_eq!(from.client().expect("no error").cmd(&["SAVE"]).to_string(), "OK");
    to.kill().expect("it runs");
    copy(from.dir(), to.dir());
    to.restart().expect("it loads the file");
}

/// A server that logs.
fn logging(program: &str, arguments: &[&str]) -> Process {
    let own = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"];
    let debug = ["--enable-debug-command", "yes"];
    Setup::new(program)
        .args(own)
        .args(debug)
        .args(arguments.iter().copied())
        .start()
        .expect("it starts")
}

/// Starts the second server with the append-only file of the first, and expects the same data.
fn carry_log(from: &mut Process, to: &mut Process) {
    let before = digest(&mut from.client().expect("it serves"));
    from.kill().expect("it runs");
    to.kill().expect("it runs");
    let (source, target) = (from.dir().join("appendonlydir"), to.dir().join("appendonlydir"));
    fs::remove_dir_all(&target).expect("no error");
    fs::create_dir(&target).expect("no error");
    for entry in fs::read_dir(source).expect("no error").flatten() {
        fs::copy(entry.path(), target.join(entry.file_name())).expect("no error");
    }
    to.restart().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(digest(&mut to.client().expect("it serves")), before);
    let twice = to.client().expect("it serves").cmd(&["FCALL", "twice", "0", "21"]);
    assert_eq!(twice.to_string(), "42");
}

/// Whether the tool that comes with a server finds a log whole.
fn passes(tool: &str, server: &Process) {
    let manifest = server.dir().join("appendonlydir/appendonly.aof.manifest");
    if installed(tool) {
        let output = std::process::Command::new(tool).arg(manifest).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && text.contains("All AOF files and manifest are valid"),
            "{text}"
        );
    }
}

/// All types, ends, transactions and scripts, then a rewrite, then some more.
fn fill_log(server: &Process) {
    let mut client = server.client().expect("it serves");
    fill_databases(&mut client);
    client.cmd(&["BGREWRITEAOF"]);
    await_rewritten(&mut client);
    for words in [
        &["SELECT", "3"][..],
        &["SET", "with-an-end", "v", "PX", "10000000"],
        &["MULTI"],
        &["INCR", "n"],
        &["LPUSH", "l", "a", "b"],
        &["EXEC"],
        &["EVAL", "redis.call('set', KEYS[1], 'x'); redis.call('append', KEYS[1], 'y')", "1", "s"],
        &["SPOP", "none"],
        &["XADD", "x", "*", "f", "v"],
        &["EXPIRE", "l", "10000"],
        &["SELECT", "0"],
        &["RENAME", "hash", "hash-too"],
    ] {
        client.cmd(words);
    }
}

fn logs_travel(program: &str, tool: &str) {
    if !installed(program) {
        return;
    }
    for arguments in
        [&[][..], &["--aof-use-rdb-preamble", "no"], &["--aof-timestamp-enabled", "yes"]]
    {
        let (mut ours, mut theirs) = (logging(RUSSET, arguments), logging(program, arguments));
        fill_log(&ours);
        passes(tool, &ours);
        carry_log(&mut ours, &mut theirs);
        // They go on where we were; we go on where they were.
        theirs.client().expect("it serves").cmd(&["SET", "by", "them"]);
        carry_log(&mut theirs, &mut ours);
        ours.client().expect("it serves").cmd(&["APPEND", "by", " and us"]);
        carry_log(&mut ours, &mut theirs);
        theirs.client().expect("it serves").cmd(&["FLUSHALL"]);
        fill_log(&theirs);
        carry_log(&mut theirs, &mut ours);
    }
}

#[test]
fn dur_7_logs_travel_to_redis_and_back() {
    logs_travel("redis-server", "redis-check-aof");
}

#[test]
fn dur_7_logs_travel_to_valkey_and_back() {
    logs_travel("valkey-server", "valkey-check-aof");
}

/// Data that seeds make, from one to the other and back, as logs and as snapshots.
fn data_sets_travel(program: &str, tool: &str) {
    if !installed(program) {
        return;
    }
    for seed in 0..times("RUSSET_DATA_SETS", 2) {
        let (mut ours, mut theirs) = (logging(RUSSET, &[]), logging(program, &[]));
        let mut client = ours.client().expect("it serves");
        client.cmd(&["FUNCTION", "LOAD", "REPLACE", LIBRARY]);
        scribble(&mut client, 600, 2 * seed);
        passes(tool, &ours);
        carry_log(&mut ours, &mut theirs);
        scribble(&mut theirs.client().expect("it serves"), 600, 2 * seed + 1);
        carry_log(&mut theirs, &mut ours);
        scribble(&mut ours.client().expect("it serves"), 600, 2 * seed);
        let before = digest(&mut ours.client().expect("it serves"));
        let (mut theirs, mut others) = (start(program), start(RUSSET));
        carry_file(&ours, &mut theirs);
        assert_eq!(digest(&mut theirs.client().expect("it serves")), before, "seed {seed}");
        carry_file(&theirs, &mut others);
        assert_eq!(digest(&mut others.client().expect("it serves")), before, "seed {seed}");
    }
}

#[test]
fn dur_7_data_sets_travel_to_redis_and_back() {
    data_sets_travel("redis-server", "redis-check-aof");
}

#[test]
fn dur_7_data_sets_travel_to_valkey_and_back() {
    data_sets_travel("valkey-server", "valkey-check-aof");
}

#[test]
fn the_one_file_of_a_server_before_redis_7_becomes_the_base() {
    let snapshot = start(RUSSET);
    snapshot.client().expect("it serves").cmd(&["SET", "in-the-snapshot", "1"]);
    assert_eq!(snapshot.client().expect("it serves").cmd(&["SAVE"]).to_string(), "OK");
    let preamble = fs::read(snapshot.dir().join("dump.rdb")).expect("no error");
    let commands = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
    for (beginning, keys) in [(&[][..], "1"), (&preamble[..], "2")] {
        let mut ours = logging(RUSSET, &[]);
        ours.kill().expect("it runs");
        fs::remove_dir_all(ours.dir().join("appendonlydir")).expect("no error");
        let former = ours.dir().join("appendonly.aof");
        fs::write(&former, [beginning, &commands[..]].concat()).expect("no error");
        for _ in 0..2 {
            ours.restart().expect("it loads the file");
            let mut client = ours.client().expect("it serves");
            assert_eq!(client.cmd(&["GET", "k"]).to_string(), "v");
            assert_eq!(client.cmd(&["DBSIZE"]).to_string(), keys);
            assert!(!former.exists());
        }
    }
}

#[test]
fn the_one_file_of_a_server_before_redis_7_is_not_taken_twice() {
    let commands = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
    let mut ours = logging(RUSSET, &[]);
    ours.kill().expect("it runs");
    let parts = ours.dir().join("appendonlydir");
    fs::remove_dir_all(&parts).expect("no error");
    fs::create_dir(&parts).expect("no error");
    fs::write(parts.join("appendonly.aof.manifest"), "file appendonly.aof seq 1 type b\n")
        .expect("no error");
    fs::write(parts.join("appendonly.aof"), commands).expect("no error");
    // Another one, which has nothing to do with the log.
    let other = ours.dir().join("appendonly.aof");
    fs::write(&other, "*1\r\n$8\r\nFLUSHALL\r\n").expect("no error");
    ours.restart().expect("it loads the file");
    assert_eq!(ours.client().expect("it serves").cmd(&["GET", "k"]).to_string(), "v");
    assert!(other.exists());
}
