//! What COMMAND and its subcommands answer, and whether the table says of every command what Valkey says.

use std::collections::BTreeSet;

use russet_testkit::differential::Reference;
use russet_testkit::{Client, Reply, Transcript};

use crate::server;

#[test]
fn info_describes_commands() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check(
        "COMMAND INFO get nosuch",
        "[[get, 2, [readonly, fast], 1, 1, 1, [@read, @string, @fast], [], \
         [[flags, [RO, access], begin_search, [type, index, spec, [index, 1]], find_keys, [type, range, spec, [lastkey, 0, keystep, 1, \
         limit, 0]]]], []], (nil)]",
    );
    t.check("COMMAND INFO GET|x client|nosuch", "[(nil), (nil)]");
}

/// Not by transcript: the decoder of the tests knows no maps inside of sets.
#[test]
fn info_is_told_in_sets_and_maps() {
    let server = server();
    let mut client = server.client();
    client.hello3();
    let frame = client.cmd_frame(&["COMMAND", "INFO", "get"]).unwrap();
    let words = "*1 *10 $3 get :2 ~2 +readonly +fast :1 :1 :1 ~3 +@read +@string +@fast *0 ~1 %3 $5 flags ~2 +RO +access $12 begin_search \
        %2 $4 type $5 index $4 spec %1 $5 index :1 $9 find_keys %2 $4 type $5 range $4 spec %3 $7 lastkey :0 $7 keystep :1 $5 limit :0 ~0";
    assert_eq!(
        String::from_utf8(frame).unwrap().split_whitespace().collect::<Vec<_>>().join(" "),
        words
    );
}

#[test]
fn commands_are_counted_and_listed() {
    let server = server();
    let mut t = Transcript::new(server.client());
    let count = t.run("COMMAND COUNT").int().unwrap();
    for command in ["COMMAND", "COMMAND INFO"] {
        assert_eq!(t.run(command).items().unwrap().len() as i64, count, "{command}");
    }
    assert_eq!(t.run("COMMAND DOCS").items().unwrap().len() as i64, 2 * count);
    assert!(
        t.run("COMMAND LIST").items().unwrap().len() as i64 > count,
        "subcommands are listed, too"
    );
    t.check("COMMAND LIST FILTERBY PATTERN CLIENT|K*", "[client|kill]");
    t.check("COMMAND LIST FILTERBY ACLCAT nosuch", "[]");
    t.check("COMMAND LIST FILTERBY MODULE nosuch", "[]");
    let dangerous = t.run("COMMAND LIST FILTERBY ACLCAT dangerous").to_string();
    assert!(dangerous.contains("client|kill") && !dangerous.contains("client|id"), "{dangerous}");
    for wrong in ["FILTERBY", "FILTERBY x y", "x", "FILTERBY PATTERN"] {
        t.check(&format!("COMMAND LIST {wrong}"), "-ERR syntax error");
    }
    t.check("COMMAND COUNT x", "-ERR wrong number of arguments for 'command|count' command");
    t.check("COMMAND nosuch", "-ERR unknown subcommand 'nosuch'. Try COMMAND HELP.");
}

#[test]
fn docs_show_the_arguments() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check(
        "COMMAND DOCS client|pause nosuch",
        "[client|pause, [summary, (any), since, 3.0.0, group, connection, complexity, O(1), history, [[6.2.0, (any)]], arguments, [\
         [name, timeout, type, integer, display_text, timeout], \
         [name, write-all, type, oneof, flags, [optional], arguments, [\
         [name, write, type, pure-token, display_text, write, token, WRITE], \
         [name, all, type, pure-token, display_text, all, token, ALL]]]]]]",
    );
    let copy = t.run("COMMAND DOCS copy").to_string();
    assert!(copy.contains("key_spec_index, 0") && copy.contains("key_spec_index, 1"), "{copy}");
    let client = t.run("COMMAND DOCS client").to_string();
    assert!(client.contains("subcommands, [client|"), "{client}");
    t.client.hello3();
    t.check(
        "COMMAND DOCS quit",
        "{quit: {summary: (any), since: 1.0.0, group: connection, complexity: O(1), doc_flags: ~[deprecated], deprecated_since: 7.2.0, \
         replaced_by: (any)}}",
    );
}

#[test]
fn keys_are_picked_out_of_command_lines() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("COMMAND GETKEYS GET k", "[k]");
    t.check("COMMAND GETKEYS mset a 1 b 2", "[a, b]");
    t.check("COMMAND GETKEYS BLPOP a b 0", "[a, b]");
    t.check("COMMAND GETKEYS OBJECT ENCODING k", "[k]");
    t.check("COMMAND GETKEYS EVAL x 0 y", "[]");
    t.check("COMMAND GETKEYS EVAL x 2 y", "[]");
    t.check("COMMAND GETKEYSANDFLAGS GET k", "[[k, [RO, access]]]");
    t.check("COMMAND GETKEYSANDFLAGS SET k v", "[[k, [OW, update]]]");
    t.check("COMMAND GETKEYSANDFLAGS SET k v EX 1 GET", "[[k, [RW, access, update]]]");
    t.check("COMMAND GETKEYSANDFLAGS BITFIELD k GET u8 0", "[[k, [RO, access]]]");
    t.check("COMMAND GETKEYSANDFLAGS BITFIELD k SET u8 0 1", "[[k, [RW, access, update]]]");
    t.check("COMMAND GETKEYSANDFLAGS COPY a b", "[[a, [RO, access]], [b, [OW, update]]]");
    t.check("COMMAND GETKEYS PING", "-ERR The command has no key arguments");
    t.check("COMMAND GETKEYS NOSUCH", "-ERR Invalid command specified");
    t.check("COMMAND GETKEYS OBJECT NOSUCH", "-ERR Invalid command specified");
    t.check("COMMAND GETKEYS GET k k", "-ERR Invalid number of arguments specified for command");
    t.check("COMMAND GETKEYS MSET a 1 b", "[a, b]");
}

/// What COMMAND INFO says of a command, made comparable: sets in order, subcommands left out, for they have rows of their own.
#[derive(Debug)]
struct Info {
    name: String,
    parts: Vec<(&'static str, String)>,
}

impl Info {
    fn of(reply: &Reply) -> Option<Self> {
        let items = reply.items()?;
        let names =
            ["arity", "flags", "first key", "last key", "step", "categories", "tips", "key specs"];
        let parts = names.into_iter().zip(&items[1..9]);
        let name = items[0].to_string();
        Some(Self { name, parts: parts.map(|(name, item)| (name, sorted(item))).collect() })
    }
}

/// A reply as text; what stands in arrays, which are sets and maps here, is sorted. Notes are for people.
fn sorted(reply: &Reply) -> String {
    let Reply::Array(items) = reply else { return reply.to_string() };
    let mut shown: Vec<String> = items.iter().map(sorted).collect();
    if shown.first().is_some_and(|first| first == "notes") {
        shown.drain(..2);
    }
    shown.sort();
    format!("[{}]", shown.join(", "))
}

fn infos(client: &mut Client, names: &[String]) -> Vec<Option<Info>> {
    let mut words = vec!["COMMAND".to_owned(), "INFO".to_owned()];
    words.extend(names.iter().cloned());
    client.cmd(&words).items().expect("an array").iter().map(Info::of).collect()
}

/// Command, part, and why the two differ.
const KNOWN_DIFFERENCES: &[(&str, &str, &str)] = &[
    ("client|capa", "flags", "may run while a script is busy, as in Valkey 9.1"),
    ("monitor", "arity", "MATCH is Russet's own"),
    ("psubscribe", "flags", "refused when memory is full, as by Redis 8"),
    ("ssubscribe", "flags", "refused when memory is full, as by Redis 8"),
    ("subscribe", "flags", "refused when memory is full, as by Redis 8"),
    (
        "multi",
        "flags",
        "inside MULTI it has an error of its own, as in Redis 7.2; no_multi would hide it",
    ),
    (
        "watch",
        "flags",
        "inside MULTI it has an error of its own, as in Redis 7.2; no_multi would hide it",
    ),
    ("script|show", "flags", "as in Valkey 9.1: it is served while data are stale"),
];

#[test]
fn every_row_says_what_valkey_says() {
    let Some(valkey) = Reference::start("valkey-server") else { return };
    let server = server();
    let names: Vec<String> =
        russet_server::table().all().map(|row| row.full_name.clone()).collect();
    let ours = infos(&mut server.client(), &names);
    let theirs = infos(&mut valkey.client(), &names);
    let mut wrong = BTreeSet::new();
    for (ours, theirs) in ours.iter().flatten().zip(&theirs) {
        // What Valkey 8.0 does not know is newer.
        let Some(theirs) = theirs else { continue };
        assert_eq!(ours.name, theirs.name);
        for ((part, our), (_, their)) in ours.parts.iter().zip(&theirs.parts) {
            let is_known = KNOWN_DIFFERENCES
                .iter()
                .any(|(name, known, _)| *name == ours.name && known == part);
            if our != their && !is_known {
                wrong.insert(format!("{}: {part} should be {their}, is {our}", ours.name));
            }
        }
    }
    let wrong: Vec<String> = wrong.into_iter().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
