//! What those hear who would be replicas, and those who only want a snapshot.

use std::time::Duration;

use russet_testkit::differential::installed;
use russet_testkit::{Client, Setup, Transcript};

use crate::durability::snapshot::until;
use crate::server;

const REFUSED: &str =
    "-ERR replication is not supported yet: without REPLCONF rdb-only 1 there is nothing to SYNC";

/// Lines, some of which are not answered.
const LINES: &[&str] = &[
    "REPLCONF",
    "REPLCONF a",
    "REPLCONF a b",
    "REPLCONF listening-port 6380 capa eof capa psync2 capa nosuch ip-address 10.0.0.1",
    "REPLCONF listening-port x",
    "REPLCONF rdb-only 2",
    "REPLCONF rdb-only x",
    "REPLCONF rdb-only 1 nosuch 1",
    "REPLCONF ack 10",
    "REPLCONF getack *",
    "REPLCONF ack 1 nosuch 1",
    "REPLCONF RDB-ONLY 0",
    "REPLCONF rdb-filter-only \"functions\"",
    "REPLCONF rdb-filter-only \"functions Functions keys\"",
    "REPLCONF rdb-filter-only \"\\\"functions\"",
    "PSYNC ?",
    "PSYNC ? -1 failover",
    "SYNC now",
    "MULTI",
    "SYNC",
    "EXEC",
    "EVAL \"return redis.pcall('SYNC')\" 0",
    "CONFIG RESETSTAT",
];

/// What a client that says that it wants no more than a snapshot hears where it gets none.
const LINES_OF_READERS: &[&str] = &[
    "REPLCONF rdb-only 1 rdb-filter-only functions",
    "SYNC",
    "PSYNC ? nosuch",
    "REPLCONF capa eof",
    "PSYNC ? nosuch",
    "PING\r\nSYNC",
    "MONITOR",
    "SYNC",
    "PSYNC ? -1",
];

/// All that is answered to these lines, each of them asked by itself.
fn answers(client: &mut Client, lines: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    for line in lines {
        client.send_raw(format!("{line}\r\nNOSUCH\r\n").as_bytes()).expect("no error");
        loop {
            let answer = client.recv().expect("no error").to_string();
            if answer.contains("unknown command 'NOSUCH'") {
                break;
            }
            all.push(format!("{line}: {answer}"));
        }
    }
    all
}

#[test]
fn replconf_and_what_is_wrong_with_sync_is_answered_as_redis_does() {
    for program in ["redis-server", "valkey-server"] {
        if !installed(program) {
            continue;
        }
        let (ours, theirs) = (server(), Setup::new(program).start().expect("it starts"));
        for lines in [LINES, LINES_OF_READERS] {
            let mut client = theirs.client().expect("it listens");
            assert_eq!(
                answers(&mut ours.client(), lines),
                answers(&mut client, lines),
                "{program}"
            );
        }
    }
}

#[test]
fn an_address_that_is_too_long_is_refused() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check(&format!("REPLCONF ip-address {}", "x".repeat(255)), "OK");
    t.check(
        &format!("REPLCONF ip-address {}", "x".repeat(256)),
        "-ERR REPLCONF ip-address provided by replica instance is too long: 256 bytes",
    );
}

#[test]
fn who_wants_to_be_a_replica_hears_that_there_is_no_such_thing() {
    let server = server();
    let mut t = Transcript::new(server.client());
    for line in ["SYNC", "PSYNC ? -1"] {
        t.check(line, REFUSED);
    }
    t.check("REPLCONF rdb-only 1 rdb-only 0", "OK");
    t.check("SYNC", REFUSED);
    t.check("PING", "PONG");
    let info = t.run("INFO").to_string();
    for field in ["sync_full:0", "connected_slaves:0", "rdb_saves:0", "total_forks:0"] {
        assert!(info.contains(field), "{field} in {info}");
    }
    t.check("ROLE", "[master, 0, []]");
}

#[test]
fn a_server_that_follows_this_one_says_in_its_log_why_it_cannot() {
    for program in ["redis-server", "valkey-server"] {
        if !installed(program) {
            continue;
        }
        let server = server();
        let (ip, port) = (server.address().ip().to_string(), server.address().port().to_string());
        let replica = Setup::new(program).args(["--replicaof", &ip, &port, "--save", ""]);
        let replica = replica.start().expect("it starts");
        until("it has tried", || replica.stdout().contains(&REFUSED[1..]));
    }
}

#[test]
fn what_replicas_tell_is_not_answered() {
    let server = server();
    let mut client = server.client();
    for line in ["REPLCONF ack 10", "REPLCONF getack *"] {
        client.send_raw(format!("{line}\r\n").as_bytes()).expect("no error");
        let answer = client.recv_within(Duration::from_millis(50)).expect("no error");
        assert!(answer.is_none(), "{line}: {answer:?}");
    }
    assert_eq!(client.cmd(&["PING"]).to_string(), "PONG");
}
