//! What the commands about the server as a whole answer.

use russet_testkit::{Reply, Transcript};

use super::generic::journal_of;
use crate::server;

#[test]
fn databases_are_counted_and_emptied() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.strict("DBSIZE", ":0");
    t.check("SET a 1", "OK");
    t.check("SET b 2", "OK");
    t.check("SELECT 3", "OK");
    t.check("SET c 3", "OK");
    t.check("DBSIZE", "1");
    t.strict("FLUSHDB", "+OK");
    t.check("DBSIZE", "0");
    t.check("SELECT 0", "OK");
    t.check("DBSIZE", "2");
    t.check("FLUSHDB ASYNC", "OK");
    t.check("DBSIZE", "0");
    t.check("FLUSHALL foo", "-ERR syntax error");
    t.check("FLUSHALL SYNC ASYNC", "-ERR syntax error");
    t.check("FLUSHDB SYNC foo", "-ERR syntax error");
    t.check("DBSIZE x", "-ERR wrong number of arguments for 'dbsize' command");
}

#[test]
fn flushall_sync_answers_when_all_is_freed() {
    let server = server();
    let mut t = Transcript::new(server.client());
    for n in 0..20_000 {
        t.client.send(&["SET", &n.to_string(), "v"]).unwrap();
    }
    (0..20_000).for_each(|_| drop(t.client.recv().unwrap()));
    t.strict("FLUSHALL SYNC", "+OK");
    assert_eq!(server.state().keyspace.trash().pending(), 0);
    t.check("DBSIZE", "0");
    t.check("SET k v", "OK");
    t.check("MULTI", "OK");
    t.check("FLUSHALL SYNC", "QUEUED");
    t.check("DBSIZE", "QUEUED");
    t.check("EXEC", "[OK, 0]");
}

#[test]
fn flushing_breaks_the_watch_of_what_was_there() {
    let server = server();
    let (mut t, mut other) = (Transcript::new(server.client()), Transcript::new(server.client()));
    for (flush, result) in
        [("FLUSHALL", "(nil)"), ("FLUSHDB", "(nil)"), ("SWAPDB 0 1", "(nil)"), ("PING", "[PONG]")]
    {
        t.check("SET k v", "OK");
        t.check("WATCH k", "OK");
        other.run(flush);
        t.check("MULTI", "OK");
        t.check("PING", "QUEUED");
        t.check("EXEC", result);
    }
}

#[test]
fn databases_change_places() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("SET a 1", "OK");
    t.check("EXPIREAT a 33177117420", "1");
    t.strict("SWAPDB 0 5", "+OK");
    t.check("EXISTS a", "0");
    t.check("SELECT 5", "OK");
    t.check("GET a", "1");
    t.check("EXPIRETIME a", "33177117420");
    t.check("SWAPDB 5 5", "OK");
    t.check("GET a", "1");
    t.check("SWAPDB x 1", "-ERR invalid first DB index");
    t.check("SWAPDB 99999999999 x", "-ERR invalid first DB index");
    t.check("SWAPDB 1 x", "-ERR invalid second DB index");
    t.check("SWAPDB 0 16", "-ERR DB index is out of range");
    t.check("SWAPDB -1 0", "-ERR DB index is out of range");
}

#[test]
fn a_swap_serves_who_waits_in_the_other_database() {
    let server = server();
    let mut t = Transcript::new(server.client());
    let mut waiting = server.client();
    waiting.send(&["BLPOP", "l", "0"]).unwrap();
    t.check("SELECT 1", "OK");
    t.check("RPUSH l x", "1");
    t.check("SWAPDB 0 1", "OK");
    assert_eq!(waiting.recv().unwrap().to_string(), "[l, x]");
}

#[test]
fn time_goes_on_in_microseconds() {
    let server = server();
    let mut t = Transcript::new(server.client());
    let mut time = || match t.run("TIME").items() {
        Some([Reply::Bulk(seconds), Reply::Bulk(micros)]) => {
            let number = |digits: &[u8]| String::from_utf8_lossy(digits).parse::<u64>().unwrap();
            assert!(number(micros) < 1_000_000);
            number(seconds) * 1_000_000 + number(micros)
        }
        other => panic!("{other:?}"),
    };
    let times: Vec<u64> = (0..50).map(|_| time()).collect();
    assert!(times.is_sorted());
    assert!(times.iter().any(|time| time % 1000 != 0), "whole milliseconds only: {times:?}");
    assert!(times[0] / 1000 + 60_000 > server.state().clock.now());
}

#[test]
fn lolwut_draws_and_tells_the_version() {
    let server = server();
    let mut t = Transcript::new(server.client());
    for command in ["LOLWUT", "LOLWUT VERSION 5", "LOLWUT VERSION 6 40 20", "LOLWUT foo"] {
        let text = t.run(command);
        let text = String::from_utf8_lossy(text.bytes().unwrap()).into_owned();
        assert!(text.ends_with("\nRedis ver. 7.4.0\n"), "{command}: {text}");
        assert!(text.lines().count() > 10, "{command}: {text}");
    }
    assert_eq!(t.run("LOLWUT VERSION 7"), t.run("LOLWUT VERSION 7"));
    t.check("LOLWUT VERSION x", "-ERR value is not an integer or out of range");
}

#[test]
fn flushing_and_swapping_are_recorded_word_for_word() {
    let server = server();
    let said = journal_of(
        &server,
        &[
            "FLUSHALL",
            "SET a 1",
            "FLUSHDB SYNC",
            "SWAPDB 0 1",
            "SWAPDB 2 2",
            "FLUSHALL ASYNC",
            "DBSIZE",
        ],
    );
    let expected = [
        "SELECT 0",
        "FLUSHALL",
        "SET a 1",
        "FLUSHDB SYNC",
        "SWAPDB 0 1",
        "SWAPDB 2 2",
        "FLUSHALL ASYNC",
    ];
    assert_eq!(said, expected);
}

#[test]
fn there_are_no_modules() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("MODULE LIST", "[]");
    t.check("MODULE LOAD x", "-ERR unknown subcommand 'LOAD'. Try MODULE HELP.");
    assert!(t.run("MODULE HELP").to_string().contains("MODULE <subcommand>"));
}
