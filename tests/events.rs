//! Keyspace events: which command tells what, in which order, when; and that none of the table is forgotten.
//!
//! A [`Listener`] is subscribed to everything; after each command of a script it reads up to a marker that the commands' own connection
//! publishes, so it knows that there is no more. Each line of the script in `events/script.rs` stands beside what it tells; where
//! valkey-server is installed, what it tells is compared, too.

mod script;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use russet_dispatch::Flag;
use russet_testkit::transcript::split;
use russet_testkit::{Client, Reference, Reply, Transcript};

use self::script::{SCRIPT, Step};
use crate::{Server, server};

/// Where the end of a command's events is marked.
const MARKER: &str = "marker";

/// The words of a message, as they are.
fn words(message: &Reply) -> Vec<String> {
    let text = |item: &Reply| match item {
        Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => other.to_string(),
    };
    message.items().expect("a message is an array").iter().map(text).collect()
}

/// Two connections: one gives commands, one hears what is told.
struct Listener {
    commands: Client,
    events: Client,
}

impl Listener {
    fn new(mut commands: Client, mut events: Client, classes: &str) -> Self {
        let set = commands.cmd(&["CONFIG", "SET", "notify-keyspace-events", classes]);
        assert_eq!(set.to_string(), "OK", "{classes}");
        events.cmd(&["PSUBSCRIBE", "*"]);
        Self { commands, events }
    }

    fn on(server: &Server, classes: &str) -> Self {
        Self::new(server.client(), server.client(), classes)
    }

    /// Gives a command; answers what it told: `event key`, in order.
    fn told(&mut self, line: &str) -> Vec<String> {
        let words = split(line).expect("no error");
        self.commands.cmd(&words);
        self.heard()
    }

    /// What was told up to now.
    fn heard(&mut self) -> Vec<String> {
        self.commands.cmd(&["PUBLISH", MARKER, ""]);
        let mut heard = Vec::new();
        loop {
            let message = self.events.push().expect("the marker comes");
            let words = words(&message);
            if words[2] == MARKER {
                return heard;
            }
            let event = words[2].split_once("__:").expect("an event's channel").1;
            heard.push(format!("{event} {}", words[3]));
        }
    }
}

#[test]
fn every_command_tells_what_it_did() {
    let server = server();
    let mut listener = Listener::on(&server, "EA");
    let mut wrong = String::new();
    for Step { line, events, .. } in SCRIPT {
        let told = listener.told(line).join(", ");
        if told != *events {
            let _ = writeln!(wrong, "{line}\n  expected: {events}\n      told: {told}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn valkey_tells_the_same() {
    let Some(valkey) = Reference::start("valkey-server") else { return };
    let server = server();
    for classes in ["EA", "EAnm"] {
        let mut ours = Listener::on(&server, classes);
        let mut theirs = Listener::new(valkey.client(), valkey.client(), classes);
        let mut wrong = String::new();
        for Step { line, is_common, .. } in SCRIPT {
            let (ours, theirs) = if *is_common {
                (ours.told(line).join(", "), theirs.told(line).join(", "))
            } else {
                ours.told(line);
                continue;
            };
            if ours != theirs {
                let _ = writeln!(wrong, "{classes}: {line}\n  valkey: {theirs}\n  russet: {ours}");
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
        ours.told("FLUSHALL");
        theirs.told("FLUSHALL");
    }
}

/// Commands that write and tell nothing, and why.
const SILENT: &[(&str, &str)] = &[
    ("debug", "for tests; nobody is told"),
    ("function", "libraries are no keys"),
    ("flushall", "Redis tells nothing of keys that go by the thousand"),
    ("flushdb", "as flushall"),
    ("swapdb", "no key changes"),
    ("xack", "what a group knows is no matter of the key"),
    ("xnack", "as xack"),
    ("xcfgset", "as xack"),
    ("xidmprecord", "as xack"),
    ("pfdebug", "for tests"),
];

#[test]
fn every_command_that_writes_stands_in_the_script_or_is_known_to_be_silent() {
    let server = server();
    let mut listener = Listener::on(&server, "EA");
    let mut heard = BTreeSet::new();
    for Step { line, .. } in SCRIPT {
        if !listener.told(line).is_empty() {
            let words: Vec<String> = line.split(' ').map(str::to_lowercase).collect();
            heard.insert(words[0].clone());
            heard.insert(words[..2].join("|"));
        }
    }
    let rows = server.state().table.all();
    let silent = |name: &str| {
        let container = name.split('|').next().unwrap();
        SILENT.iter().any(|(known, _)| *known == container)
    };
    let missing: Vec<&str> = rows
        .filter(|row| row.has(Flag::Write) && row.subcommands.is_empty())
        .map(|row| row.full_name.as_str())
        .filter(|name| !heard.contains(*name) && !silent(name))
        .collect();
    assert!(missing.is_empty(), "{}", missing.join(", "));
}

#[test]
fn channels_and_classes_are_chosen() {
    let server = server();
    let mut both = Listener::on(&server, "KE$");
    assert_eq!(both.told("SET foo bar"), ["foo set", "set foo"]);
    assert_eq!(both.told("DEL foo"), [""; 0]);
    let mut t = Transcript::new(server.client());
    for (classes, events) in [
        ("Kg", vec!["foo del"]),
        ("A", vec![]),
        ("g$", vec![]),
        ("", vec![]),
        ("E$", vec!["set foo"]),
    ] {
        t.check(&format!("CONFIG SET notify-keyspace-events \"{classes}\""), "OK");
        t.run("SELECT 5");
        t.run("SET foo bar");
        t.run("DEL foo");
        assert_eq!(both.heard(), events, "{classes}");
    }
    t.check("CONFIG SET notify-keyspace-events KEAmnoc", "OK");
    t.check("CONFIG GET notify-keyspace-events", "[notify-keyspace-events, AnocKEm]");
}

#[test]
fn new_missing_and_overwritten_keys_are_told_of() {
    let server = server();
    let mut listener = Listener::on(&server, "EAmnoc");
    assert_eq!(listener.told("GET foo"), ["keymiss foo"]);
    assert_eq!(listener.told("SET foo bar"), ["new foo", "set foo"]);
    assert_eq!(listener.told("SET foo baz"), ["overwritten foo", "set foo"]);
    assert_eq!(listener.told("SADD s a"), ["new s", "sadd s"]);
    assert_eq!(listener.told("SADD s b"), ["sadd s"]);
    let expected = ["overwritten s", "type_changed s", "set s"];
    assert_eq!(listener.told("SET s x"), expected);
    assert_eq!(listener.told("MGET foo a b"), ["keymiss a", "keymiss b"]);
    assert_eq!(listener.told("RENAME foo bar"), ["new bar", "rename_from foo", "rename_to bar"]);
    assert_eq!(listener.told("EXISTS nosuch"), ["keymiss nosuch"]);
    assert_eq!(listener.told("OBJECT ENCODING nosuch"), [""; 0]);
}

#[test]
fn events_of_a_transaction_come_in_order_with_its_messages() {
    let server = server();
    let mut listener = Listener::on(&server, "KEA");
    listener.commands.cmd(&["MULTI"]);
    for line in ["SET a 1", "PUBLISH __:m x", "LPUSH l 1", "RPOP l", "EXPIRE a 0"] {
        listener.commands.cmd(&split(line).unwrap());
    }
    listener.commands.cmd(&["EXEC"]);
    let expected = [
        "a set", "set a", "m x", "l lpush", "lpush l", "l rpop", "rpop l", "l del", "del l",
        "a del", "del a",
    ];
    assert_eq!(listener.heard(), expected);
}

#[test]
fn a_served_waiter_tells_what_it_took() {
    let server = server();
    let mut listener = Listener::on(&server, "EA");
    let mut waiting = server.client();
    waiting.send(&["BLMOVE", "from", "to", "LEFT", "RIGHT", "0"]).unwrap();
    while !listener.commands.cmd(&["INFO", "clients"]).to_string().contains("blocked_clients:1") {}
    assert_eq!(listener.told("RPUSH from x"), ["rpush from", "rpush to", "lpop from", "del from"]);
    assert_eq!(waiting.recv().unwrap().to_string(), "x");
}

#[test]
fn what_has_ended_is_told_when_it_is_met_and_when_its_time_comes() {
    let server = server();
    let mut listener = Listener::on(&server, "EA");
    listener.commands.cmd(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
    listener.told("SET lazy x PX 1");
    listener.told("HSET h f 1 g 2");
    listener.told("HPEXPIRE h 1 FIELDS 1 f");
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(listener.told("GET lazy"), ["expired lazy"]);
    assert_eq!(listener.told("HGET h f"), ["hexpired h"]);
    listener.told("HPEXPIRE h 1 FIELDS 1 g");
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(listener.told("HLEN h"), ["hexpired h", "del h"]);
    listener.commands.cmd(&["DEBUG", "SET-ACTIVE-EXPIRE", "1"]);
    listener.told("SET eager x PX 30");
    let message = words(&listener.events.push().unwrap());
    assert_eq!(message, ["pmessage", "*", "__keyevent@0__:expired", "eager"]);
}

/// Ten thousand keys a second among many that end later: each is told of at most so long after its time.
#[test]
fn expired_events_come_within_a_tenth_of_a_second() {
    const EVENTS: usize = 2_000;
    let server = server();
    let mut t = Transcript::new(server.client());
    t.run("DEBUG POPULATE 100000 later 8");
    let mut client = server.client();
    for chunk in (0..100_000_usize).collect::<Vec<_>>().chunks(1_000) {
        let line = |n: &usize| format!("EXPIRE later:{n} {}\r\n", 1_000 + n % 5_000);
        let lines = chunk.iter().map(line).collect::<Vec<_>>().concat();
        client.send_raw(lines.as_bytes()).unwrap();
        chunk.iter().for_each(|_| drop(client.recv().unwrap()));
    }
    let mut listener = Listener::on(&server, "Ex");
    let started = Instant::now();
    let line = |n| format!("SET soon:{n} x PX {}\r\n", 300 + n % 500);
    let lines = (0..EVENTS).map(line).collect::<Vec<_>>().concat();
    client.send_raw(lines.as_bytes()).unwrap();
    (0..EVENTS).for_each(|_| drop(client.recv().unwrap()));
    let set_within = started.elapsed();
    let mut latest = Duration::ZERO;
    for _ in 0..EVENTS {
        let message = listener.events.push().unwrap();
        let key = words(&message).swap_remove(3);
        let n: u64 = key.strip_prefix("soon:").unwrap().parse().unwrap();
        let due = Duration::from_millis(300 + n % 500);
        latest = latest.max(started.elapsed().saturating_sub(due + set_within));
    }
    // In CI others use the machine too; `RUSSET_LONG_TESTS=1` takes the goal at its word.
    let is_long = std::env::var("RUSSET_LONG_TESTS").as_deref() == Ok("1");
    let bound = Duration::from_millis(if is_long { 100 } else { 500 });
    assert!(latest < bound, "told {latest:?} after its time");
}
