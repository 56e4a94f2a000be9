//! `russet inspect`: the same figures whichever way the data lies in files.

use std::path::Path;

use serde_json::Value;

use crate::commands::dump::fill;
use crate::durability::aof::await_rewritten;
use crate::durability::snapshot::{ok, process, run};

/// What `russet inspect` prints, and whether it is content.
fn inspect(arguments: &[&str], path: &Path) -> (bool, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_russet"));
    let output = command.arg("inspect").args(arguments).arg(path).output().expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn json(arguments: &[&str], path: &Path) -> Value {
    let (is_content, text) = inspect(&[&["--json"], arguments].concat(), path);
    assert!(is_content, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Whatever the way, these are the figures; how large something is in memory depends a little on how it came there.
fn counts(value: &Value) -> Vec<(u64, u64, u64)> {
    let databases = value["databases"].as_array().expect("a list").iter();
    let figure = |it: &Value, name: &str| it[name].as_u64().expect("a number");
    databases
        .map(|it| (figure(it, "database"), figure(it, "keys"), figure(it, "keys_with_an_end")))
        .collect()
}

/// It ended with a panic.
#[test]
fn whoever_reads_what_is_told_may_have_seen_enough_before_the_end() {
    let mut server = process(&[]);
    ok(&mut server.client().unwrap(), "SET k v");
    ok(&mut server.client().unwrap(), "SAVE");
    server.kill().unwrap();
    for tool in ["inspect", "check"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_russet"));
        command.arg(tool).arg(server.dir().join("dump.rdb")).stdout(writer);
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{tool}: {said}");
    }
}

#[test]
fn a_snapshot_and_a_log_of_the_same_data_say_the_same() {
    let mut server = process(&["--save", "", "--appendonly", "yes"]);
    let mut client = server.client().unwrap();
    fill(&mut client);
    for n in 0..30 {
        ok(&mut client, &format!("SET user:{n}:name v"));
        ok(&mut client, &format!("SET session:{n} {} EX 10000", "v".repeat(1000)));
    }
    run(&mut client, "BGREWRITEAOF");
    await_rewritten(&mut client);
    run(&mut client, "DEL user:0:name session:0");
    ok(&mut client, "SELECT 7");
    run(&mut client, "LPUSH elsewhere a b c");
    ok(&mut client, "SAVE");
    server.kill().unwrap();
    let snapshot = json(&[], &server.dir().join("dump.rdb"));
    let directory = server.dir().join("appendonlydir");
    for path in [directory.clone(), directory.join("appendonly.aof.manifest")] {
        assert_eq!(counts(&json(&[], &path)), counts(&snapshot));
    }
    let counted = counts(&snapshot);
    assert_eq!((counted.len(), counted[1]), (2, (7, 1, 0)));
    let prefixes = snapshot["prefixes"].as_array().unwrap();
    let of_sessions = prefixes.iter().find(|it| it["prefix"] == "session:").unwrap();
    assert!(of_sessions["keys"] == 29 && of_sessions["keys_with_an_end"] == 29, "{of_sessions}");
    assert!(of_sessions["bytes"].as_u64().unwrap() > 29_000);
    let deep = json(&["--depth", "2", "--top", "1000"], &directory);
    let prefixes = deep["prefixes"].as_array().unwrap().iter();
    let users = prefixes.filter(|it| it["prefix"].as_str().unwrap().starts_with("user:"));
    assert_eq!(users.count(), 29);
    let (is_content, text) = inspect(&["--top", "3"], &directory);
    assert!(
        is_content && text.contains("database 7") && text.contains("0 session: (string)"),
        "{text}"
    );
}

#[test]
fn what_is_torn_is_left_out_and_said_and_nothing_is_touched() {
    let mut server = process(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
    let mut client = server.client().unwrap();
    (0..5).for_each(|n| ok(&mut client, &format!("SET k{n} v")));
    server.kill().unwrap();
    let directory = server.dir().join("appendonlydir");
    let path = directory.join("appendonly.aof.1.incr.aof");
    let torn = [&std::fs::read(&path).unwrap()[..], b"*1\r\n$4\r\nPI"].concat();
    std::fs::write(&path, &torn).unwrap();
    let found = json(&[], &directory);
    assert_eq!(counts(&found), [(0, 5, 0)]);
    assert!(found["notes"][0].as_str().unwrap().contains("ends in the middle"), "{found}");
    assert_eq!(std::fs::read(&path).unwrap(), torn);
    let mut damaged = torn;
    // In the first of several blocks: later ones say that it was on the disk.
    let at = damaged.windows(2).position(|it| it == b"k0").expect("the key");
    damaged[at] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let (is_content, text) = inspect(&[], &directory);
    assert!(!is_content, "{text}");
    assert!(!inspect(&[], &directory.join("elsewhere")).0);
}
