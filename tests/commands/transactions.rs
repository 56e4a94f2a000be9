//! What MULTI, EXEC, DISCARD, WATCH and UNWATCH answer.

use russet_testkit::Transcript;

use crate::server;

#[test]
fn a_transaction_runs_as_one() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("MULTI", "OK");
    t.check("SET a 1", "QUEUED");
    t.check("GET a", "QUEUED");
    t.check("LPUSH a x", "QUEUED");
    t.check("EXEC", "[OK, 1, -WRONGTYPE Operation against a key holding the wrong kind of value]");
    t.check("GET a", "1");
    t.check("EXEC", "-ERR EXEC without MULTI");
    t.check("DISCARD", "-ERR DISCARD without MULTI");
}

#[test]
fn discard_forgets_the_queue() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("MULTI", "OK");
    t.check("SET a 1", "QUEUED");
    t.check("DISCARD", "OK");
    t.check("GET a", "(nil)");
}

#[test]
fn a_refused_command_spoils_the_transaction() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("MULTI", "OK");
    t.check("NOSUCH a", "-ERR unknown command 'NOSUCH', with args beginning with: 'a' ");
    t.check("SET a 1", "QUEUED");
    t.check("EXEC", "-EXECABORT Transaction discarded because of previous errors.");
    t.check("GET a", "(nil)");
    t.check("MULTI", "OK");
    t.check("GET", "-ERR wrong number of arguments for 'get' command");
    t.check("EXEC", "-EXECABORT Transaction discarded because of previous errors.");
}

#[test]
fn multi_and_watch_do_not_nest_and_spoil_the_transaction() {
    let server = server();
    let mut t = Transcript::new(server.client());
    for (command, error) in [
        ("MULTI", "-ERR MULTI calls can not be nested"),
        ("WATCH a", "-ERR WATCH inside MULTI is not allowed"),
    ] {
        t.check("MULTI", "OK");
        t.check(command, error);
        t.check("EXEC", "-EXECABORT Transaction discarded because of previous errors.");
    }
}

#[test]
fn a_watched_key_that_changed_undoes_exec() {
    let server = server();
    let (mut a, mut b) = (Transcript::new(server.client()), Transcript::new(server.client()));
    for change in ["SET k 2", "LPUSH none x", "SET k 1"] {
        a.check("SET k 1", "OK");
        a.check("WATCH k none", "OK");
        b.run(change);
        a.check("MULTI", "OK");
        a.check("SET k 3", "QUEUED");
        a.check("EXEC", "(nil)");
        a.check("GET k", if change == "SET k 2" { "2" } else { "1" });
    }
    a.check("WATCH k", "OK");
    b.check("GET k", "1");
    a.check("MULTI", "OK");
    a.check("SET k 3", "QUEUED");
    a.check("EXEC", "[OK]");
}

#[test]
fn unwatch_discard_and_exec_end_watches() {
    let server = server();
    let (mut a, mut b) = (Transcript::new(server.client()), Transcript::new(server.client()));
    for end in [&["UNWATCH"][..], &["MULTI", "DISCARD"], &["MULTI", "EXEC"]] {
        a.check("WATCH k", "OK");
        for command in end {
            a.run(command);
        }
        b.check("SET k x", "OK");
        a.check("MULTI", "OK");
        a.check("PING", "QUEUED");
        a.check("EXEC", "[PONG]");
    }
    let watched = |shard: u32| server.state().keyspace.hold_patiently(shard).interest().is_some();
    assert!(!(0..1024).any(watched), "no shard remembers a watch");
}

#[test]
fn two_transactions_that_watch_each_others_key_do_not_both_commit() {
    let server = server();
    for _ in 0..200 {
        let threads: Vec<_> = [("x", "y"), ("y", "x")]
            .into_iter()
            .map(|(mine, theirs)| {
                let mut t = Transcript::new(server.client());
                std::thread::spawn(move || {
                    t.check(&format!("WATCH {theirs}"), "OK");
                    t.check("MULTI", "OK");
                    t.check(&format!("SET {mine} 1"), "QUEUED");
                    t.run("EXEC")
                })
            })
            .collect();
        let replies: Vec<_> = threads.into_iter().map(|t| t.join().expect("no panic")).collect();
        let committed =
            replies.iter().filter(|reply| **reply != russet_testkit::Reply::Nil).count();
        assert!(committed >= 1, "at least one commits");
    }
}

#[test]
fn what_has_ended_is_no_change_when_swapdb_brings_it() {
    let server = server();
    let (mut a, mut b) = (Transcript::new(server.client()), Transcript::new(server.client()));
    b.check("DEBUG SET-ACTIVE-EXPIRE 0", "OK");
    b.check("SELECT 1", "OK");
    b.check("SET x v PX 1", "OK");
    a.check("WATCH x", "OK");
    std::thread::park_timeout(std::time::Duration::from_millis(20));
    b.check("SWAPDB 0 1", "OK");
    a.check("MULTI", "OK");
    a.check("PING", "QUEUED");
    a.check("EXEC", "[PONG]");
}

#[test]
fn exec_is_refused_when_memory_is_full_and_the_queue_needs_some() {
    let server = server();
    let (mut a, mut b) = (Transcript::new(server.client()), Transcript::new(server.client()));
    a.check("MULTI", "OK");
    a.check("SET x 1", "QUEUED");
    b.check("CONFIG SET maxmemory 1", "OK");
    a.check("EXEC", "-EXECABORT Transaction discarded because of: OOM...");
    b.check("CONFIG SET maxmemory 0", "OK");
    a.check("GET x", "(nil)");
}
