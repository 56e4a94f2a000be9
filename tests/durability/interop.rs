//! Our snapshots in the servers that the format comes from, and theirs in ours.

use std::fs;
use std::path::Path;

use russet_testkit::differential::installed;
use russet_testkit::{Client, Process, Setup};

use crate::commands::dump::fill;

const RUSSET: &str = env!("CARGO_BIN_EXE_russet");

fn start(program: &str) -> Process {
    let arguments = ["--save", "", "--enable-debug-command", "yes", "--dbfilename", "dump.rdb"];
    Setup::new(program).args(arguments).start().expect("it starts")
}

fn digest(client: &mut Client) -> String {
    client.cmd(&["DEBUG", "DIGEST"]).to_string()
}

/// All types in two databases, some of it with an end far away.
fn fill_databases(client: &mut Client) {
    fill(client);
    client.cmd(&["PEXPIREAT", "hash", "4000000000000"]);
    client.cmd(&["SELECT", "7"]);
    client.cmd(&["SET", "elsewhere", "yes"]);
    client.cmd(&["SET", "", "no name"]);
    client.cmd(&["SELECT", "0"]);
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
    let ttl = other.cmd(&["PEXPIRETIME", "hash"]).to_string();
    assert!(ttl == "4000000000000" || ttl.contains("unknown command"), "{ttl}");
}

/// How many databases hold anything.
fn databases(client: &mut Client) -> usize {
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
