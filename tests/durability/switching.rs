//! What clients ask of files in places where they cannot wait for them, and what emptying a database does to the file.

use std::time::{Duration, Instant};

use russet_testkit::Client;
use russet_testkit::disk::{Call, Disk};

use crate::durability::aof::{await_rewritten, on};
use crate::durability::snapshot::{figure, ok, process, run, until};

#[test]
fn flushall_saves_at_once_where_there_are_rules() {
    let mut server = process(&["--save", "3600 1"]);
    let mut client = server.client().unwrap();
    ok(&mut client, "SET k v");
    ok(&mut client, "SAVE");
    ok(&mut client, "SET k w");
    ok(&mut client, "FLUSHDB");
    assert_eq!(figure(&mut client, "rdb_changes_since_last_save"), "2", "one database is not all");
    for line in ["FLUSHALL", "FLUSHALL ASYNC", "FLUSHALL SYNC"] {
        ok(&mut client, "SET k v");
        let saves: u64 = figure(&mut client, "rdb_saves").parse().unwrap();
        ok(&mut client, line);
        assert_eq!(figure(&mut client, "rdb_changes_since_last_save"), "0", "{line}");
        assert_eq!(figure(&mut client, "rdb_saves"), (saves + 1).to_string(), "{line}");
    }
    server.kill().unwrap();
    server.restart().unwrap();
    assert_eq!(run(&mut server.client().unwrap(), "DBSIZE"), "0");
}

#[test]
fn flushall_gives_up_the_snapshot_under_way_also_in_a_transaction() {
    let server = process(&["--save", "3600 1"]);
    let mut client = server.client().unwrap();
    for words in [&["FLUSHALL"][..], &["MULTI", "FLUSHALL", "EXEC"]] {
        ok(&mut client, "CONFIG SET rdb-key-save-delay 10000000");
        (0..10).for_each(|n| ok(&mut client, &format!("SET {n} v")));
        run(&mut client, "BGSAVE");
        let saves = figure(&mut client, "rdb_saves");
        ok(&mut client, "CONFIG SET rdb-key-save-delay 0");
        words.iter().for_each(|line| drop(run(&mut client, line)));
        until("it is saved", || {
            figure(&mut client, "rdb_saves") != saves
                && figure(&mut client, "rdb_bgsave_in_progress") == "0"
        });
        assert_eq!(figure(&mut client, "rdb_last_bgsave_status"), "ok");
        assert_eq!(figure(&mut client, "rdb_changes_since_last_save"), "0");
    }
}

#[test]
fn flushall_ends_a_snapshot_in_the_background_and_none_that_a_client_waits_for() {
    let server = process(&["--save", ""]);
    let (mut client, mut other) = (server.client().unwrap(), server.client().unwrap());
    for (line, status) in [("BGSAVE", "ok"), ("SAVE", "ok")] {
        (0..40).for_each(|n| ok(&mut client, &format!("SET {n} v")));
        ok(&mut client, "CONFIG SET rdb-key-save-delay 20000");
        other.send(&[line]).unwrap();
        until("it saves", || figure(&mut client, "rdb_bgsave_in_progress") == "1");
        let saves = figure(&mut client, "rdb_saves");
        ok(&mut client, "FLUSHALL");
        let answer = other.recv().unwrap().to_string();
        until("it is over", || figure(&mut client, "rdb_bgsave_in_progress") == "0");
        assert_eq!(figure(&mut client, "rdb_last_bgsave_status"), status);
        assert_eq!(figure(&mut client, "rdb_saves") != saves, line == "SAVE", "{answer}");
        ok(&mut client, "CONFIG SET rdb-key-save-delay 0");
    }
}

#[test]
fn flushall_without_rules_leaves_the_file_and_the_count() {
    let server = process(&["--save", ""]);
    let mut client = server.client().unwrap();
    ok(&mut client, "SET k v");
    ok(&mut client, "FLUSHALL");
    assert_eq!(figure(&mut client, "rdb_saves"), "0");
    assert_ne!(figure(&mut client, "rdb_changes_since_last_save"), "0");
}

#[test]
fn a_rewrite_in_a_transaction_is_scheduled() {
    let server = process(&["--save", "", "--appendonly", "yes"]);
    let mut client = server.client().unwrap();
    ok(&mut client, "MULTI");
    run(&mut client, "SET k v");
    run(&mut client, "BGREWRITEAOF");
    assert_eq!(
        run(&mut client, "EXEC"),
        "[OK, \"Background append only file rewriting scheduled\"]"
    );
    await_rewritten(&mut client);
    assert_eq!(figure(&mut client, "aof_rewrites"), "1");
}

#[test]
fn while_files_are_made_nothing_is_synced_where_the_configuration_says_so() {
    let disk = Disk::new();
    let (_handle, mut client) = on(&disk, &["--appendfsync", "always"]);
    let syncs_of_ten_writes = |client: &mut Client| {
        ok(client, "SET k v");
        let before = disk.calls(Call::Sync);
        (0..10).for_each(|n| ok(client, &format!("SET k {n}")));
        disk.calls(Call::Sync) - before
    };
    for (choice, line, progress) in [
        ("no", "BGREWRITEAOF", "aof_rewrite_in_progress"),
        ("yes", "BGREWRITEAOF", "aof_rewrite_in_progress"),
        ("yes", "BGSAVE", "rdb_bgsave_in_progress"),
    ] {
        ok(&mut client, &format!("CONFIG SET no-appendfsync-on-rewrite {choice}"));
        ok(&mut client, "CONFIG SET rdb-key-save-delay 10000000");
        until("writes are synced", || syncs_of_ten_writes(&mut client) >= 10);
        run(&mut client, line);
        until("it is made", || figure(&mut client, progress) == "1");
        let syncs = syncs_of_ten_writes(&mut client);
        assert_eq!(syncs == 0, choice == "yes", "{choice}, {line}: {syncs}");
        ok(&mut client, "CONFIG SET rdb-key-save-delay 0");
        until("it is there", || figure(&mut client, progress) == "0");
    }
    until("writes are synced again", || syncs_of_ten_writes(&mut client) >= 10);
}

#[test]
fn a_log_is_read_back_as_slowly_as_asked() {
    let server = process(&["--save", "", "--appendonly", "yes"]);
    let mut client = server.client().unwrap();
    for n in 0..100 {
        client.cmd(&["SET", &n.to_string(), "v"]);
    }
    for (delay, at_least) in [("2000", 200), ("-10", 0)] {
        ok(&mut client, &format!("CONFIG SET key-load-delay {delay}"));
        let began = Instant::now();
        ok(&mut client, "DEBUG LOADAOF");
        assert!(began.elapsed() >= Duration::from_millis(at_least), "{delay}");
        assert_eq!(run(&mut client, "DBSIZE"), "100");
    }
}

#[test]
fn a_transaction_switches_the_log_on_and_off() {
    let server = process(&["--save", "", "--appendfsync", "always"]);
    let mut client = server.client().unwrap();
    for round in 0..4 {
        for line in ["MULTI", "CONFIG SET appendonly yes", &format!("SET k {round}"), "EXEC"] {
            run(&mut client, line);
        }
        assert_eq!(figure(&mut client, "aof_enabled"), "1");
        assert_eq!(run(&mut client, "WAITAOF 1 0 0"), "[1, 0]", "the base is there");
        let stats = run(&mut client, "INFO stats");
        assert!(!stats.contains("total_forks:0"), "Redis forks for a base: {stats}");
        ok(&mut client, "DEBUG LOADAOF");
        assert_eq!(run(&mut client, "GET k"), round.to_string());
        for line in ["MULTI", "CONFIG SET appendonly no", "SET k lost"] {
            run(&mut client, line);
        }
        assert_eq!(run(&mut client, "EXEC"), "[OK, OK]");
        assert_eq!(figure(&mut client, "aof_enabled"), "0");
        if round % 2 == 0 {
            run(&mut client, "MULTI");
            run(&mut client, "CONFIG SET appendonly yes");
            run(&mut client, "CONFIG SET appendonly no");
            assert_eq!(run(&mut client, "EXEC"), "[OK, OK]");
        }
    }
}

#[test]
fn debug_loadaof_reads_the_log_that_lies_there_and_without_one_the_data_stays() {
    let server = process(&["--save", ""]);
    let mut client = server.client().unwrap();
    ok(&mut client, "SET k 1");
    assert!(run(&mut client, "DEBUG LOADAOF").starts_with("ERR Error trying to load the AOF"));
    assert_eq!(run(&mut client, "GET k"), "1");
    // The base is awaited.
    ok(&mut client, "CONFIG SET appendonly yes");
    ok(&mut client, "DEBUG LOADAOF");
    assert_eq!(run(&mut client, "GET k"), "1");
    ok(&mut client, "SET k 2");
    ok(&mut client, "CONFIG SET appendonly no");
    ok(&mut client, "SET k 3");
    ok(&mut client, "DEBUG LOADAOF");
    assert_eq!(run(&mut client, "GET k"), "2");
}

#[test]
fn waitaof_ends_when_the_log_does() {
    let server = process(&["--save", "", "--appendonly", "yes"]);
    let (mut waiter, mut other) = (server.client().unwrap(), server.client().unwrap());
    ok(&mut waiter, "SET k v");
    waiter.send(&["WAITAOF", "1", "1", "0"]).unwrap();
    until("it waits", || run(&mut other, "CLIENT LIST").contains("cmd=waitaof"));
    ok(&mut other, "CONFIG SET appendonly no");
    let answer = waiter.recv().unwrap().to_string();
    assert!(answer.contains("WAITAOF cannot be used when"), "{answer}");
}
