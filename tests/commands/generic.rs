//! What the generic commands answer, what they leave in the journal, and what SCAN guarantees.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use russet_testkit::{Client, Reply, Transcript};

use crate::{Server, server};

fn transcript(server: &Server) -> Transcript {
    Transcript::new(server.client())
}

const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";
const NOT_INT: &str =
    "-\"ERR value is out of range, value must between -2147483648 and 2147483647\"";
const SAME: &str = "-ERR source and destination objects are the same";

#[test]
fn keys_are_removed_and_counted() {
    let server = server();
    let mut t = transcript(&server);
    t.check("SET a 1", "OK");
    t.check("SET b 2", "OK");
    t.check("RPUSH l x", "1");
    t.strict("EXISTS a b l none a", ":4");
    t.strict("TOUCH a none a", ":2");
    t.strict("DEL a none a", ":1");
    t.strict("UNLINK b l none", ":2");
    t.strict("EXISTS a b l", ":0");
    t.check("DEL", "-ERR wrong number of arguments for 'del' command");
    t.check("EXISTS", "-ERR wrong number of arguments for 'exists' command");
}

#[test]
fn type_names_what_a_key_holds() {
    let server = server();
    let mut t = transcript(&server);
    t.check("SET s 1", "OK");
    t.check("RPUSH l x", "1");
    t.strict("TYPE s", "+string");
    t.strict("TYPE l", "+list");
    t.strict("TYPE none", "+none");
}

#[test]
fn ends_are_set_and_told() {
    let server = server();
    let mut t = transcript(&server);
    t.check("SET k v", "OK");
    t.strict("TTL k", ":-1");
    t.check("PTTL k", "-1");
    t.check("EXPIRETIME k", "-1");
    t.check("PEXPIRETIME k", "-1");
    t.check("TTL none", "-2");
    t.check("PTTL none", "-2");
    t.check("EXPIRETIME none", "-2");
    t.check("PEXPIRETIME none", "-2");
    t.strict("EXPIRE k 100", ":1");
    t.check("TTL k", "100");
    t.check("PEXPIRE k 1499900", "1");
    t.check("TTL k", "1500");
    t.check("EXPIREAT k 33177117420", "1");
    t.check("EXPIRETIME k", "33177117420");
    t.check("PEXPIREAT k 33177117420500", "1");
    t.check("PEXPIRETIME k", "33177117420500");
    t.check("EXPIRETIME k", "33177117421");
    t.strict("PERSIST k", ":1");
    t.strict("PERSIST k", ":0");
    t.check("PERSIST none", "0");
    t.check("TTL k", "-1");
    t.check("EXPIRE none 10", "0");
}

#[test]
fn an_end_in_the_past_removes_the_key() {
    let server = server();
    let mut t = transcript(&server);
    for command in ["EXPIRE k 0", "EXPIRE k -1", "PEXPIRE k 0", "EXPIREAT k 1", "PEXPIREAT k -5"] {
        t.check("SET k v", "OK");
        t.check(command, "1");
        t.check("EXISTS k", "0");
    }
    t.check("SET k v", "OK");
    t.check("EXPIRE k -9223372036854775", "1");
    t.check("EXISTS k", "0");
}

#[test]
fn ends_that_do_not_fit_are_refused() {
    let server = server();
    let mut t = transcript(&server);
    t.check("SET k v", "OK");
    t.check("EXPIRE k 9223372036854775807", "-ERR invalid expire time in 'expire' command");
    t.check("EXPIRE k 9223372036854775", "-ERR invalid expire time in 'expire' command");
    t.check("EXPIRE k -9223372036854775808", "-ERR invalid expire time in 'expire' command");
    t.check("EXPIRE none 9223372036854775", "-ERR invalid expire time in 'expire' command");
    t.check("PEXPIRE k 9223372036854775807", "-ERR invalid expire time in 'pexpire' command");
    t.check("EXPIREAT k 9223372036854776", "-ERR invalid expire time in 'expireat' command");
    t.check("EXPIRE k x", NOT_INTEGER);
    t.check("EXPIRE k 1.5", NOT_INTEGER);
    t.check("TTL k", "-1");
    t.check("PEXPIREAT k 9223372036854775807", "1");
    t.check("PEXPIRETIME k", "9223372036854775807");
    t.check("GET k", "v");
}

#[test]
fn conditions_of_expire_compare_ends() {
    let server = server();
    let mut t = transcript(&server);
    t.check("SET k v", "OK");
    t.check("EXPIRE k 10 XX", "0");
    t.check("EXPIRE k 10 GT", "0");
    t.check("EXPIRE k 10 xx gt", "0");
    t.check("EXPIRE k 10 LT", "1");
    t.check("EXPIRE k 20 LT", "0");
    t.check("EXPIRE k 20 NX", "0");
    t.check("EXPIRE k 20 XX GT", "1");
    t.check("EXPIRE k 15 GT", "0");
    t.check("EXPIRE k 15 XX LT", "1");
    t.check("TTL k", "15");
    t.check("EXPIRE k -5 LT", "1");
    t.check("EXPIRE k 10 NX", "0");
    t.check("SET k v", "OK");
    t.check("EXPIRE k 10 NX", "1");
    let others = "-\"ERR NX and XX, GT or LT options at the same time are not compatible\"";
    t.check("EXPIRE k 10 NX XX", others);
    t.check("PEXPIRE k 10 GT NX", others);
    t.check("EXPIRE k 10 GT LT", "-ERR GT and LT options at the same time are not compatible");
    t.check("EXPIRE k 10 AB", "-ERR Unsupported option AB");
    t.check("EXPIRE k x AB", "-ERR Unsupported option AB");
    t.check("EXPIRE k", "-ERR wrong number of arguments for 'expire' command");
}

#[test]
fn rename_takes_value_and_end_along() {
    let server = server();
    let mut t = transcript(&server);
    t.check("SET a 1", "OK");
    t.check("EXPIREAT a 33177117420", "1");
    t.check("SET b 2", "OK");
    t.strict("RENAME a b", "+OK");
    t.check("GET b", "1");
    t.check("EXPIRETIME b", "33177117420");
    t.check("EXISTS a", "0");
    t.check("RPUSH l x y", "2");
    t.check("RENAME l b", "OK");
    t.check("LRANGE b 0 -1", "[x, y]");
    t.check("TTL b", "-1");
    t.check("RENAME b b", "OK");
    t.check("RENAME none none", "-ERR no such key");
    t.check("RENAME none b", "-ERR no such key");
    t.check("RENAMENX none b", "-ERR no such key");
    t.check("SET c 3", "OK");
    t.strict("RENAMENX c b", ":0");
    t.strict("RENAMENX c d", ":1");
    t.check("RENAMENX d d", "0");
    t.check("GET d", "3");
}

#[test]
fn copy_leaves_two_values_of_their_own() {
    let server = server();
    let mut t = transcript(&server);
    let large = "x".repeat(50_000);
    t.check("RPUSH a 1 2", "2");
    t.check("EXPIREAT a 33177117420", "1");
    t.strict("COPY a b", ":1");
    t.check("RPUSH b 3", "3");
    t.check("LRANGE a 0 -1", "[1, 2]");
    t.check("EXPIRETIME b", "33177117420");
    t.check("SET s v", "OK");
    t.strict("COPY s b", ":0");
    t.check("COPY s b REPLACE", "1");
    t.check("GET b", "v");
    t.check("TTL b", "-1");
    t.check(&format!("SET large {large}"), "OK");
    t.check("COPY large other DB 3 REPLACE", "1");
    t.check("DEL large", "1");
    t.check("SELECT 3", "OK");
    t.check("GET other", &large);
    t.check("COPY other x DB 0", "1");
    t.check("COPY other other", SAME);
    t.check("COPY other other DB 3", SAME);
    t.check("COPY none none", SAME);
    t.check("COPY none b", "0");
    t.check("COPY other b DB 16", "-ERR DB index is out of range");
    t.check("COPY other b DB -1", "-ERR DB index is out of range");
    t.check("COPY other b DB x", NOT_INTEGER);
    t.check("COPY other b DB 99999999999", NOT_INT);
    t.check("COPY other b DB", "-ERR syntax error");
    t.check("COPY other b FOO", "-ERR syntax error");
}

#[test]
fn a_large_collection_is_copied_by_a_worker() {
    let server = server();
    let mut t = transcript(&server);
    let elements = format!(" {}", "x".repeat(1000)).repeat(3000);
    t.check(&format!("RPUSH a{elements}"), "3000");
    t.check("COPY a b", "1");
    t.check("LLEN b", "3000");
    t.check("MULTI", "OK");
    t.check("COPY a c", "QUEUED");
    t.check("EXEC", "[1]");
    t.check("LLEN c", "3000");
}

#[test]
fn move_goes_to_another_database() {
    let server = server();
    let mut t = transcript(&server);
    t.check("SET k v", "OK");
    t.check("EXPIREAT k 33177117420", "1");
    t.strict("MOVE k 9", ":1");
    t.check("EXISTS k", "0");
    t.check("MOVE k 9", "0");
    t.check("SET k new", "OK");
    t.check("MOVE k 9", "0");
    t.check("SELECT 9", "OK");
    t.check("GET k", "v");
    t.check("EXPIRETIME k", "33177117420");
    t.check("MOVE k 9", SAME);
    t.check("MOVE k 16", "-ERR DB index is out of range");
    t.check("MOVE k -1", "-ERR DB index is out of range");
    t.check("MOVE k x", NOT_INTEGER);
    t.check("MOVE k 99999999999", NOT_INT);
}

#[test]
fn renaming_a_list_serves_who_waits_for_its_new_name() {
    let server = server();
    let mut t = transcript(&server);
    for command in ["RENAME a b", "COPY a b", "RENAMENX a b"] {
        let mut waiting = server.client();
        waiting.send(&["BLPOP", "b", "0"]).unwrap();
        wait_until(|| server.state().clients.all().iter().any(|c| c.blocked.lock().is_some()));
        t.check("RPUSH a x", "1");
        t.run(command);
        assert_eq!(waiting.recv().unwrap().to_string(), "[b, x]", "{command}");
        t.check("EXISTS b", "0");
        t.run("DEL a");
    }
}

fn wait_until(is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(5), "waited too long");
        std::thread::yield_now();
    }
}

#[test]
fn keys_gives_what_a_pattern_matches() {
    let server = server();
    let mut t = transcript(&server);
    for key in ["hello", "hallo", "world", "\"\"", "h*llo"] {
        t.check(&format!("SET {key} v"), "OK");
    }
    assert_eq!(sorted(t.run("KEYS *")), ["", "h*llo", "hallo", "hello", "world"]);
    assert_eq!(sorted(t.run("KEYS h?llo")), ["h*llo", "hallo", "hello"]);
    assert_eq!(sorted(t.run("KEYS h[ae]llo")), ["hallo", "hello"]);
    t.strict(r#"KEYS "h\\*llo""#, "[$h*llo]");
    t.check("KEYS world", "[world]");
    t.check("KEYS none", "[]");
    t.check("KEYS \"\"", "[\"\"]");
    t.check("KEYS **", "(any)");
    t.check("SELECT 1", "OK");
    t.check("KEYS *", "[]");
    t.check("KEYS world", "[]");
    t.check("KEYS", "-ERR wrong number of arguments for 'keys' command");
}

#[test]
fn keys_in_a_transaction_and_in_a_pipeline_keep_their_place() {
    let server = server();
    let mut t = transcript(&server);
    t.check("SET a 1", "OK");
    t.check("MULTI", "OK");
    t.check("KEYS *", "QUEUED");
    t.check("RANDOMKEY", "QUEUED");
    t.check("SCAN 0 COUNT 100000", "QUEUED");
    t.check("DBSIZE", "QUEUED");
    t.check("GET a", "QUEUED");
    t.check("EXEC", "[[a], a, [0, [a]], 1, 1]");
    let client = &mut t.client;
    client.send(&["KEYS", "*"]).unwrap();
    client.send(&["SCAN", "0", "COUNT", "100000"]).unwrap();
    client.send(&["GET", "a"]).unwrap();
    assert_eq!(client.recv().unwrap().to_string(), "[a]");
    assert_eq!(client.recv().unwrap().to_string(), "[0, [a]]");
    assert_eq!(client.recv().unwrap().to_string(), "1");
}

fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(reply.bytes().expect("a string")).into_owned()
}

fn sorted(reply: Reply) -> Vec<String> {
    let mut keys: Vec<_> = reply.items().expect("an array").iter().map(text).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn randomkey_gives_every_key_its_turn() {
    let server = server();
    let mut t = transcript(&server);
    t.strict("RANDOMKEY", "$-1");
    // Forty keys share a shard, ten have one of their own each, as good as always.
    let keys: Vec<_> =
        (0..40).map(|n| format!("{{t}}{n}")).chain((0..10).map(|n| n.to_string())).collect();
    for key in &keys {
        t.check(&format!("SET {key} v"), "OK");
    }
    let mut counts = BTreeMap::new();
    for _ in 0..5_000 {
        *counts.entry(text(&t.run("RANDOMKEY"))).or_insert(0) += 1;
    }
    assert!(keys.iter().all(|key| (50..170).contains(counts.get(key).unwrap_or(&0))), "{counts:?}");
}

#[test]
fn what_has_ended_is_shown_to_nobody() {
    let server = server();
    let mut t = transcript(&server);
    // As DEBUG SET-ACTIVE-EXPIRE 0 does.
    server.state().active_expire.store(false, Ordering::Relaxed);
    for n in 0..100 {
        t.check(&format!("SET k{n} v"), "OK");
        t.check(&format!("PEXPIRE k{n} 1"), "1");
    }
    wait_until(|| {
        let mut client = server.client();
        client.cmd(&["PING"]);
        client.cmd(&["KEYS", "*"]).items().unwrap().is_empty()
    });
    t.check("DBSIZE", "100");
    t.check("SCAN 0 COUNT 1000", "[0, []]");
    t.check("SCAN 0 MATCH k1", "[0, []]");
    t.check("KEYS k1", "[]");
    t.check("RANDOMKEY", "(nil)");
    t.check("SET alive v", "OK");
    t.check("RANDOMKEY", "alive");
    t.check("EXISTS k1 k2 k3", "0");
    t.check("TYPE k4", "none");
    t.check("TTL k5", "-2");
    t.check("RENAME k6 k7", "-ERR no such key");
    t.check("COPY k8 k9", "0");
    t.check("MOVE k10 3", "0");
    t.check("PERSIST k11", "0");
    t.check("RENAMENX alive k12", "1");
    t.check("TTL k12", "-1");
    t.check("OBJECT ENCODING k13", "(nil)");
    t.check("DEL k14", "0");
}

#[test]
fn ended_keys_leave_within_a_fifth_of_a_second() {
    let server = server();
    let mut t = transcript(&server);
    for n in 0..1_000 {
        t.check(&format!("SET k{n} v"), "OK");
    }
    let (mut client, end) = (server.client(), server.state().clock.now() + 3_000);
    for n in 0..1_000 {
        client.cmd(&["PEXPIREAT", &format!("k{n}"), &end.to_string()]);
    }
    t.check("SET stays v", "OK");
    t.check("DBSIZE", "1001");
    let empty = || Client::cmd(&mut server.client(), &["DBSIZE"]).to_string() == "1";
    wait_until(empty);
    let late = server.state().clock.now().saturating_sub(end);
    assert!(late <= 200, "{late} ms late");
}

#[test]
fn scan_reads_its_options() {
    let server = server();
    let mut t = transcript(&server);
    t.strict("SCAN 0", "[$0, []]");
    t.check("SET s v", "OK");
    t.check("SET n 5", "OK");
    t.check("RPUSH l x", "1");
    t.check("SCAN 0 TYPE list", "[0, [l]]");
    t.check("SCAN 0 type LIST match * count 3", "(any)");
    t.check("SCAN 0 TYPE zset", "[0, []]");
    t.check("SCAN 0 MATCH s", "[0, [s]]");
    t.check("SCAN 0 MATCH s TYPE list", "[0, []]");
    t.check("SCAN 0 MATCH s*", "[0, [s]]");
    t.check("SCAN 0 MATCH none", "[0, []]");
    t.check("SCAN 0 TYPE foo", "-ERR unknown type name 'foo'");
    t.check("SCAN 0 COUNT 0", "-ERR syntax error");
    t.check("SCAN 0 COUNT -5", "-ERR syntax error");
    t.check("SCAN 0 COUNT x", NOT_INTEGER);
    for half in ["SCAN 0 COUNT", "SCAN 0 MATCH", "SCAN 0 TYPE", "SCAN 0 FOO"] {
        t.check(half, "-ERR syntax error");
    }
    t.check("SCAN 0 NOVALUES", "-ERR NOVALUES option can only be used in HSCAN");
    t.check("SCAN 0 NOSCORES", "-ERR NOSCORES option can only be used in ZSCAN");
    for cursor in ["x", "-1", "99999999999999999999", "\"1 \"", "\"\"", "1.0"] {
        t.check(&format!("SCAN {cursor}"), "-ERR invalid cursor");
    }
    for cursor in ["18446744073709551615", "+1", "\" 01\"", "-0"] {
        t.check(&format!("SCAN {cursor} COUNT 100"), "[(any), (any)]");
    }
    t.check("SCAN 9223372036854775808 COUNT 100000", "(any)");
    t.check("SCAN", "-ERR wrong number of arguments for 'scan' command");
}

/// All keys of a round, and the number of calls.
fn round(client: &mut Client, options: &[&str]) -> (Vec<String>, usize) {
    let (mut cursor, mut keys, mut calls) = ("0".to_owned(), Vec::new(), 0);
    loop {
        let reply = client.cmd(&[&["SCAN", &cursor], options].concat());
        let [next, found] = reply.items().expect("a cursor and keys") else { panic!("{reply}") };
        keys.extend(found.items().expect("keys").iter().map(text));
        calls += 1;
        cursor = text(next);
        if cursor == "0" {
            return (keys, calls);
        }
    }
}

#[test]
fn scan_shows_every_key_in_calls_of_about_count() {
    let server = server();
    let mut client = server.client();
    for n in 0..3_000 {
        client.cmd(&["SET", &format!("key:{n}"), "v"]);
    }
    for (count, calls) in [("10", 100..=310), ("100", 20..=31), ("5000", 1..=1), ("1000", 3..=4)] {
        let (mut keys, made) = round(&mut client, &["COUNT", count]);
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 3_000, "COUNT {count}");
        assert!(calls.contains(&made), "COUNT {count}: {made} calls");
    }
    let (keys, _) = round(&mut client, &["MATCH", "key:1??"]);
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 100);
}

#[test]
fn scan_of_a_nearly_empty_database_takes_one_call() {
    let server = server();
    let mut client = server.client();
    for n in 0..5 {
        client.cmd(&["SET", &n.to_string(), "v"]);
    }
    let (keys, calls) = round(&mut client, &[]);
    assert_eq!((keys.len(), calls), (5, 1));
}

#[test]
fn scan_shows_what_stays_while_others_come_and_go() {
    let server = server();
    let mut client = server.client();
    let stay: BTreeSet<String> = (0..2_000).map(|n| format!("stay:{n}")).collect();
    // A tag of their own keeps many keys in one shard, whose table grows and shrinks.
    let tagged: BTreeSet<String> = (0..2_000).map(|n| format!("{{t}}stay:{n}")).collect();
    let stay: BTreeSet<String> = stay.into_iter().chain(tagged).collect();
    for key in &stay {
        client.cmd(&["SET", key, "v"]);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let churn = churn(server.client(), Arc::clone(&stop));
    for count in ["1", "7", "100", "1000"].repeat(2) {
        let options = if count == "1" { vec!["COUNT", "50"] } else { vec!["COUNT", count] };
        let (keys, _) = round(&mut client, &options);
        let seen: BTreeSet<String> = keys.into_iter().collect();
        let missed: Vec<_> = stay.difference(&seen).take(5).collect();
        assert!(missed.is_empty(), "{missed:?}");
    }
    stop.store(true, Ordering::Relaxed);
    churn.join().unwrap();
}

/// Adds and removes thousands of keys of the tag, in waves, until told to stop.
fn churn(mut client: Client, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            for verb in ["SET", "DEL"] {
                for n in 0..5_000 {
                    let key = format!("{{t}}churn:{n}");
                    let words: &[&str] =
                        if verb == "SET" { &["SET", &key, "v"] } else { &["DEL", &key] };
                    client.send(words).expect("the server answers");
                    if n % 100 == 99 {
                        (0..100).for_each(|_| drop(client.recv().expect("the server answers")));
                    }
                }
            }
        }
    })
}

/// What a stretch of commands leaves in the journal, one line for each command.
pub(super) fn journal_of(server: &Server, commands: &[&str]) -> Vec<String> {
    let mut reader = server.state().journal.follow();
    let mut t = transcript(server);
    for command in commands {
        t.run(command);
    }
    let mut lines = Vec::new();
    while let Some(record) = reader.read().expect("the log keeps this much") {
        lines.extend(commands_in(&record));
    }
    lines
}

/// The commands of a record, each as one line.
fn commands_in(record: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(record);
    let commands = text.split_inclusive("\r\n").fold(Vec::<Vec<String>>::new(), |mut all, line| {
        let line = line.trim_end();
        match line.as_bytes()[0] {
            b'*' => all.push(Vec::new()),
            b'$' => {}
            _ => all.last_mut().expect("words follow their number").push(line.to_owned()),
        }
        all
    });
    commands.into_iter().map(|words| words.join(" ")).collect()
}

#[test]
fn the_journal_says_what_happened() {
    let server = server();
    server.client().cmd(&["SET", "far", "v"]);
    let said = journal_of(
        &server,
        &[
            "SET a 1",
            "EXPIRE none 10",
            "EXPIREAT a 33177117420 NX",
            "EXPIREAT a 33177117420 NX",
            "PERSIST a",
            "PERSIST a",
            "RENAME a b",
            "RENAME b b",
            "COPY b c REPLACE",
            "COPY b c",
            "MOVE c 3",
            "MOVE c 3",
            "EXPIRE b -1",
            "DEL none",
            "DEL far none",
            "SET z 1",
            "UNLINK z",
            "GET z",
            "TOUCH z",
        ],
    );
    let expected = [
        "SELECT 0",
        "SET a 1",
        "PEXPIREAT a 33177117420000",
        "PERSIST a",
        "RENAME a b",
        "COPY b c REPLACE",
        "MOVE c 3",
        "UNLINK b",
        "DEL far none",
        "SET z 1",
        "UNLINK z",
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_relative_end_is_recorded_as_a_moment() {
    let server = server();
    let before = server.state().clock.now();
    let said = journal_of(&server, &["SET a 1", "EXPIRE a 100", "PEXPIRE a 5000 LT"]);
    let [_, _, first, second] = &said[..] else { panic!("{said:?}") };
    let at =
        |line: &str| line.strip_prefix("PEXPIREAT a ").unwrap().parse::<u64>().unwrap() - before;
    assert!(
        (100_000..130_000).contains(&at(first)) && (5_000..35_000).contains(&at(second)),
        "{said:?}"
    );
}

#[test]
fn a_transaction_is_recorded_without_its_exec() {
    let server = server();
    let said =
        journal_of(&server, &["MULTI", "SET a 1", "EXPIREAT a 33177117420", "GET a", "EXEC"]);
    assert_eq!(said, ["MULTI", "SELECT 0", "SET a 1", "PEXPIREAT a 33177117420000", "EXEC"]);
    let said = journal_of(&server, &["MULTI", "PERSIST a", "EXEC"]);
    assert_eq!(said, ["SELECT 0", "PERSIST a"]);
}

#[test]
fn what_ended_is_recorded_as_removed() {
    let server = server();
    let mut reader = server.state().journal.follow();
    let mut t = transcript(&server);
    t.check("SET a 1", "OK");
    t.check("PEXPIRE a 20", "1");
    wait_until(|| server.client().cmd(&["DBSIZE"]).to_string() == "0");
    let mut lines = Vec::new();
    while let Some(record) = reader.read().unwrap() {
        lines.extend(commands_in(&record));
    }
    assert_eq!(lines.last().map(String::as_str), Some("UNLINK a"), "{lines:?}");
    assert_eq!(lines.len(), 4, "{lines:?}");
}

#[test]
fn scan_removes_the_keys_that_have_ended_and_would_be_shown() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("DEBUG SET-ACTIVE-EXPIRE 0", "OK");
    t.check("SET s 1 PX 1", "OK");
    t.check("RPUSH l 1", "1");
    t.check("PEXPIRE l 1", "1");
    std::thread::sleep(std::time::Duration::from_millis(20));
    t.check("DBSIZE", "2");
    t.check("SCAN 0 TYPE string", "[0, []]");
    t.check("DBSIZE", "1");
    t.check("SCAN 0", "[0, []]");
    t.check("DBSIZE", "0");
    t.check("DEBUG SET-ACTIVE-EXPIRE 1", "OK");
}
