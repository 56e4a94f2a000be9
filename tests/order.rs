//! The journal tells what happened in the order in which it happened: who replays it has what the server has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use bytes::Bytes;
use russet_dispatch::State;
use russet_engine::{Entry, Patience};
use russet_journal::Reader;
use russet_resp::{Batch, Decoder, Limits};
use russet_testkit::record::{Ask, record};
use russet_testkit::{Client, Random, Reply};

use crate::Server;

/// Starts to follow as a replica would: while no unit is under way.
fn follow(state: &'static State) -> Reader {
    let all = state.keyspace.hold_all(Patience::ENDLESS).expect("endless patience");
    let reader = state.journal.follow();
    drop(all);
    reader
}

/// Reads along until it is told to stop and has read everything.
fn read_along(mut reader: Reader, is_over: Arc<AtomicBool>) -> JoinHandle<Vec<Bytes>> {
    spawn(move || {
        let mut records = Vec::new();
        loop {
            let was_over = is_over.load(Ordering::SeqCst);
            match reader.read().expect("a reader that keeps up") {
                Some(record) => records.push(record),
                None if was_over => return records,
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    })
}

/// The commands of a record.
fn commands(record: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let (mut input, mut decoder, mut batch) =
        (record.to_vec(), Decoder::default(), Batch::default());
    decoder.decode(&mut input, &Limits::DEFAULT, usize::MAX, &mut batch);
    assert_eq!(decoder.consumed(), input.len(), "a record is whole commands");
    let words =
        |nth: usize| batch.request(nth).iter().map(|span| span.of(&input).to_vec()).collect();
    (0..batch.len()).map(words).collect()
}

/// One effect, or several between MULTI and EXEC; SELECT may stand in front of each.
fn is_one_unit(record: &[u8]) -> bool {
    let names: Vec<_> =
        commands(record).into_iter().map(|mut words| words.swap_remove(0)).collect();
    let effects = |names: &[Vec<u8>]| names.iter().filter(|name| **name != b"SELECT").count();
    let is_marker = |name: &Vec<u8>| name == b"MULTI" || name == b"EXEC";
    match names.iter().position(|name| name == b"MULTI") {
        None => effects(&names) == 1 && !names.iter().any(is_marker),
        Some(at) => {
            let inner = &names[at + 1..names.len() - 1];
            effects(&names[..at]) == 0
                && names.last().is_some_and(|n| n == b"EXEC")
                && effects(inner) > 1
                && !inner.iter().any(is_marker)
        }
    }
}

/// Sends records to a server; nothing in them may fail.
fn replay(records: &[Bytes], client: &mut Client) {
    for chunk in records.chunks(64) {
        let sent: usize = chunk.iter().map(|record| commands(record).len()).sum();
        chunk.iter().for_each(|record| client.send_raw(record).expect("the server is there"));
        for _ in 0..sent {
            let reply = client.recv().expect("every command is answered");
            assert!(
                !reply.to_string().contains('-') || is_negative(&reply),
                "replaying answers {reply}"
            );
        }
    }
}

/// Whether the only minus signs are those of numbers.
fn is_negative(reply: &Reply) -> bool {
    match reply {
        Reply::Error(_) => false,
        Reply::Array(items) => items.iter().all(is_negative),
        _ => true,
    }
}

/// Everything that a server holds: type and contents, by database and key.
fn contents(server: &Server) -> BTreeMap<(u32, String), String> {
    let (state, mut client) = (server.state(), server.client());
    let mut names = Vec::new();
    for shard in 0..state.keyspace.shards() {
        let shard = state.keyspace.hold_patiently(shard);
        let databases = (0..shard.databases()).filter_map(|db| Some((db, shard.database(db)?)));
        let keys = databases.flat_map(|(db, database)| {
            database.table().iter().map(move |entry| (db, text(entry), entry.expiry()))
        });
        names.extend(keys);
    }
    let show = |(db, key, expiry): (u32, String, Option<u64>)| {
        client.cmd(&["SELECT", &db.to_string()]);
        let range = client.cmd(&["LRANGE", &key, "0", "-1"]);
        let value =
            if matches!(range, Reply::Error(_)) { client.cmd(&["GET", &key]) } else { range };
        ((db, key), format!("{value} until {expiry:?}"))
    };
    names.into_iter().map(show).collect()
}

fn text(entry: &Entry) -> String {
    String::from_utf8_lossy(entry.key()).into_owned()
}

/// Clients that push, pop, move and wait, in two databases.
fn wait_and_move(mut client: Client, seed: u64, rounds: u64) {
    let mut random = Random::new(seed);
    client.cmd(&["SELECT", &(seed % 2).to_string()]);
    for round in 0..rounds {
        let (one, other) = (format!("q{}", random.below(3)), format!("q{}", random.below(3)));
        match random.below(6) {
            0..=2 => client.cmd(&["RPUSH", &one, &format!("{seed}.{round}"), "x"]),
            3 => client.cmd(&["BLPOP", &one, &other, "0.002"]),
            4 => client.cmd(&["BLMOVE", &one, &other, "RIGHT", "LEFT", "0.002"]),
            _ => client.cmd(&["LPOP", &one, "2"]),
        };
    }
}

/// Records while all kinds of clients are at work, and answers the records.
fn work(server: &Server, operations: u64) -> Vec<Bytes> {
    let is_over = Arc::new(AtomicBool::new(false));
    let reading = read_along(follow(server.state()), Arc::clone(&is_over));
    let waiting: Vec<_> = (0..6)
        .map(|seed| {
            let client = server.client();
            spawn(move || wait_and_move(client, seed, operations / 10))
        })
        .collect();
    record((0..6).map(|_| server.client()).collect(), operations, 3);
    waiting.into_iter().for_each(|thread| thread.join().expect("no panic"));
    is_over.store(true, Ordering::SeqCst);
    reading.join().expect("no panic")
}

#[test]
fn the_journal_has_the_order_of_execution() {
    let (first, second) = (Server::with(&["--io-threads", "3"]), crate::server());
    let records = work(&first, 5_000);
    let torn = records.iter().find(|record| !is_one_unit(record));
    assert!(torn.is_none(), "a record is no unit: {}", torn.expect("some").escape_ascii());
    assert!(records.iter().any(|record| commands(record).iter().any(|words| words[0] == b"MULTI")));
    replay(&records, &mut second.client());
    let (left, right) = (contents(&first), contents(&second));
    assert!(left.len() > 20, "something was written");
    for (name, value) in &left {
        assert_eq!(Some(value), right.get(name), "{name:?}");
    }
    assert_eq!(left.len(), right.len());
}

#[test]
fn a_command_that_changes_nothing_is_not_recorded() {
    let server = crate::server();
    let mut reader = follow(server.state());
    let mut client = server.client();
    for words in [
        &["GET", "k"][..],
        &["LPOP", "k"],
        &["DEL", "k"],
        &["BLPOP", "k", "0.001"],
        &["EXISTS", "k"],
    ] {
        client.ask(words);
        assert_eq!(reader.read(), Ok(None), "{words:?}");
    }
}

#[test]
fn a_transaction_is_one_record_without_its_exec() {
    let server = crate::server();
    let mut reader = follow(server.state());
    let mut client = server.client();
    for words in
        [&["MULTI"][..], &["SET", "a", "1"], &["GET", "a"], &["RPUSH", "l", "x"], &["EXEC"]]
    {
        client.ask(words);
    }
    let record = reader.read().expect("nothing is forgotten").expect("something changed");
    let names: Vec<_> = commands(&record)
        .into_iter()
        .map(|words| String::from_utf8_lossy(&words[0]).into_owned())
        .collect();
    assert_eq!(names, ["MULTI", "SELECT", "SET", "RPUSH", "EXEC"]);
    assert_eq!(reader.read(), Ok(None));
}

#[test]
fn what_chance_popped_from_sets_is_recorded() {
    let (first, second) = (crate::server(), crate::server());
    let mut reader = follow(first.state());
    let mut client = first.client();
    let members: Vec<String> = (0..2_000).map(|n| format!("m{n}")).collect();
    let sadd = |key: &str, count: usize| {
        let words = ["SADD", key].into_iter().chain(members.iter().map(String::as_str));
        words.take(2 + count).map(str::to_owned).collect::<Vec<_>>()
    };
    client.cmd(&sadd("big", 2_000));
    client.cmd(&sadd("small", 50));
    client.cmd(&sadd("gone", 5));
    for words in [
        &["SPOP", "big"][..],
        &["SPOP", "big", "20"],
        &["SPOP", "big", "1700"],
        &["SPOP", "small", "20"],
        &["SPOP", "gone", "5"],
        &["SMOVE", "small", "t", "m1"],
    ] {
        client.cmd(words);
    }
    let records: Vec<_> =
        std::iter::from_fn(|| reader.read().expect("a reader that keeps up")).collect();
    assert!(records.iter().all(|record| !record.windows(4).any(|word| word == b"SPOP")));
    replay(&records, &mut second.client());
    let digest = |server: &Server| server.client().cmd(&["DEBUG", "DIGEST"]);
    assert_eq!(digest(&first), digest(&second));
}

#[test]
fn what_is_restored_ends_at_the_same_moment_wherever_it_is_replayed() {
    let (first, second) = (crate::server(), crate::server());
    let mut client = first.client();
    client.ask(&["SET", "k", "value"]);
    let Reply::Bulk(payload) = client.cmd(&["DUMP", "k"]) else { panic!("a dump") };
    let mut reader = follow(first.state());
    let restore = |client: &mut Client, key: &str, ttl: &str, option: &str| {
        let words = [&b"RESTORE"[..], key.as_bytes(), ttl.as_bytes(), &payload, option.as_bytes()];
        assert_eq!(client.cmd(&words).to_string(), "OK", "{key}");
    };
    restore(&mut client, "ends", "100000", "REPLACE");
    restore(&mut client, "stays", "0", "REPLACE");
    client.cmd(&[&b"RESTORE"[..], b"k", b"1", &payload, b"ABSTTL", b"REPLACE"]);
    let records: Vec<_> =
        std::iter::from_fn(|| reader.read().expect("a reader that keeps up")).collect();
    second.client().ask(&["SET", "k", "value"]);
    replay(&records, &mut second.client());
    for key in ["ends", "stays", "k"] {
        let end = |server: &Server| server.client().cmd(&["PEXPIRETIME", key]).to_string();
        assert_eq!(end(&first), end(&second), "{key}");
    }
}
