//! What the set commands answer.

use russet_testkit::{Reply, Transcript};

use crate::{Server, server};

fn transcript(server: &Server) -> Transcript {
    Transcript::new(server.client())
}

const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

#[test]
fn members_are_added_removed_and_asked_for() {
    let server = server();
    let mut t = transcript(&server);
    t.check("SADD s a b c a", "3");
    t.check("SADD s a d", "1");
    t.check("SCARD s", "4");
    t.check("SISMEMBER s a", "1");
    t.check("SISMEMBER s z", "0");
    t.check("SMISMEMBER s a z d", "[1, 0, 1]");
    t.check("SMISMEMBER none a z", "[0, 0]");
    t.check("SREM s a z d", "2");
    t.check("SMEMBERS s", "[b, c]");
    t.check("SREM s b c", "2");
    t.check("EXISTS s", "0");
    t.check("SREM s b", "0");
    t.check("SMEMBERS s", "[]");
    t.check("SCARD s", "0");
    t.check("SET word v", "OK");
    for command in [
        "SADD word a",
        "SREM word a",
        "SCARD word",
        "SISMEMBER word a",
        "SMISMEMBER word a",
        "SMEMBERS word",
        "SPOP word",
        "SPOP word 3",
        "SRANDMEMBER word",
        "SRANDMEMBER word 3",
        "SSCAN word 0",
        "SUNION word",
        "SINTER none word",
        "SDIFF none word",
        "SINTERCARD 2 none word",
        "SUNIONSTORE t none word",
        "SMOVE word t a",
    ] {
        t.check(command, WRONG);
    }
}

#[test]
fn encodings_follow_the_thresholds() {
    let server = server();
    let mut t = transcript(&server);
    t.check("SADD s 3 1 2", "3");
    t.check("OBJECT ENCODING s", "intset");
    t.check("SMEMBERS s", "[1, 2, 3]");
    t.check("SADD s x", "1");
    t.check("OBJECT ENCODING s", "listpack");
    t.check("SMEMBERS s", "[1, 2, 3, x]");
    t.check("CONFIG SET set-max-listpack-entries 4", "OK");
    t.check("SADD s y", "1");
    t.check("OBJECT ENCODING s", "hashtable");
    t.check("CONFIG SET set-max-intset-entries 3", "OK");
    t.check("SADD i 1 2 3", "3");
    t.check("OBJECT ENCODING i", "intset");
    t.check("SADD i 4", "1");
    t.check("OBJECT ENCODING i", "hashtable");
    t.check("SADD i 4", "0");
    t.check("SADD j 1 2 3 4", "4");
    t.check("OBJECT ENCODING j", "listpack");
    t.check("CONFIG SET set-max-listpack-value 3", "OK");
    t.check("SADD k abc", "1");
    t.check("OBJECT ENCODING k", "listpack");
    t.check("SADD k abcd", "1");
    t.check("OBJECT ENCODING k", "hashtable");
}

#[test]
fn smove_moves() {
    let server = server();
    let mut t = transcript(&server);
    t.check("SADD a 1 x", "2");
    t.check("SMOVE a b x", "1");
    t.check("SMEMBERS b", "[x]");
    t.check("SMOVE a b x", "0");
    t.check("SMOVE none b x", "0");
    t.check("SMOVE b b x", "1");
    t.check("SMOVE b b y", "0");
    t.check("SADD b 1", "1");
    t.check("SMOVE a b 1", "1");
    t.check("EXISTS a", "0");
    t.check("SMEMBERS b", "[x, 1]");
    t.check("SET word v", "OK");
    t.check("SMOVE b word x", WRONG);
    t.check("SMOVE none word x", "0");
    t.check("SMEMBERS b", "[x, 1]");
}

#[test]
fn sets_are_put_together() {
    let server = server();
    let mut t = transcript(&server);
    t.check("SADD a 1 2 3 4", "4");
    t.check("SADD b 2 4 6", "3");
    t.check("SADD c 4 5", "2");
    t.check("SUNION a b c none", "[1, 2, 3, 4, 5, 6]");
    t.check("SINTER a b c", "[4]");
    t.check("SINTER a b none", "[]");
    t.check("SINTER a a", "[1, 2, 3, 4]");
    t.check("SDIFF a b c none", "[1, 3]");
    t.check("SDIFF none a", "[]");
    t.check("SDIFF a b a", "[]");
    t.check("SUNIONSTORE d a b", "5");
    t.check("OBJECT ENCODING d", "intset");
    t.check("SINTERSTORE d d c", "1");
    t.check("SMEMBERS d", "[4]");
    t.check("SDIFFSTORE d a b", "2");
    t.check("SMEMBERS d", "[1, 3]");
    t.check("SET d word", "OK");
    t.check("SINTERSTORE d a none", "0");
    t.check("EXISTS d", "0");
    t.check("SADD w x 2 4", "3");
    t.check("SINTERSTORE d w a", "2");
    t.check("OBJECT ENCODING d", "intset");
    t.check("SUNIONSTORE d w b", "4");
    t.check("OBJECT ENCODING d", "listpack");
    t.check("SDIFFSTORE d w a", "1");
    t.check("SMEMBERS d", "[x]");
}

#[test]
fn results_are_counted() {
    let server = server();
    let mut t = transcript(&server);
    t.check("SADD a 1 2 3 4", "4");
    t.check("SADD b 2 3 4 5 x", "5");
    t.check("SINTERCARD 2 a b", "3");
    t.check("SINTERCARD 2 a b LIMIT 2", "2");
    t.check("SINTERCARD 2 a b LIMIT 0", "3");
    t.check("SINTERCARD 2 a none", "0");
    t.check("SUNIONCARD 2 a b", "6");
    t.check("SUNIONCARD 2 a b LIMIT 5", "5");
    t.check("SUNIONCARD 2 a b APPROX", "6");
    t.check("SDIFFCARD 2 b a", "2");
    t.check("SDIFFCARD 2 b a LIMIT 1", "1");
    t.check("SINTERCARD 0 a", "-ERR numkeys should be greater than 0");
    t.check("SINTERCARD x a", "-ERR numkeys should be greater than 0");
    t.check("SINTERCARD 3 a b", "-ERR Number of keys can't be greater than number of args");
    t.check("SINTERCARD 1 a LIMIT", "-ERR syntax error");
    t.check("SINTERCARD 1 a LIMIT -1", "-ERR LIMIT can't be negative");
    t.check("SINTERCARD 1 a LIMIT x", "-ERR LIMIT can't be negative");
    t.check("SINTERCARD 1 a b", "-ERR syntax error");
    t.check("SINTERCARD 1 a APPROX", "-ERR syntax error");
}

#[test]
fn chance_gives_and_takes() {
    let server = server();
    let mut t = transcript(&server);
    t.check("SADD s a", "1");
    t.check("SRANDMEMBER s", "a");
    t.check("SRANDMEMBER s 5", "[a]");
    t.check("SRANDMEMBER s -3", "[a, a, a]");
    t.check("SRANDMEMBER s 0", "[]");
    t.check("SRANDMEMBER none 3", "[]");
    t.strict("SRANDMEMBER none", "(nil)");
    t.check(
        "SRANDMEMBER s -9223372036854775808",
        "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
    );
    t.check("SRANDMEMBER s x", "-ERR value is not an integer or out of range");
    t.check("SRANDMEMBER s 1 2", "-ERR syntax error");
    t.check("SPOP s 0", "[]");
    t.check("SPOP s -1", "-ERR value is out of range, must be positive");
    t.check("SPOP s x", "-ERR value is out of range, must be positive");
    t.check("SPOP s 1 2", "-ERR syntax error");
    t.check("SPOP s", "a");
    t.check("EXISTS s", "0");
    t.strict("SPOP s", "(nil)");
    t.check("SPOP s 3", "[]");
    t.check("SADD s b", "1");
    t.check("SPOP s 3", "[b]");
    t.check("EXISTS s", "0");
}

/// A set of this many members, made by a script of commands.
fn fill(server: &Server, key: &str, members: impl Iterator<Item = String>) {
    let mut client = server.client();
    let words: Vec<String> = members.collect();
    for batch in words.chunks(1_000) {
        let argv: Vec<&str> =
            ["SADD", key].into_iter().chain(batch.iter().map(String::as_str)).collect();
        client.cmd(&argv);
    }
}

#[test]
fn every_way_to_choose_gives_different_members() {
    let server = server();
    let mut t = transcript(&server);
    fill(&server, "ints", (0..300).map(|n| n.to_string()));
    fill(&server, "small", (0..100).map(|n| format!("m{n}")));
    fill(&server, "big", (0..3_000).map(|n| format!("m{n}")));
    for (key, len) in [("ints", 300), ("small", 100), ("big", 3_000)] {
        for count in [1, 7, len / 4, len / 2, len - 1, len, len + 1] {
            let reply = t.run(&format!("SRANDMEMBER {key} {count}"));
            let mut members = words(&reply);
            assert_eq!(members.len(), count.min(len), "{key} {count}");
            members.sort_unstable();
            members.dedup();
            assert_eq!(members.len(), count.min(len), "{key} {count}");
        }
        let mut left = len;
        for count in [1, 5, len / 2, len / 2 - 10, len] {
            let popped = words(&t.run(&format!("SPOP {key} {count}")));
            assert_eq!(popped.len(), count.min(left));
            left -= popped.len();
            t.check(&format!("SCARD {key}"), &left.to_string());
        }
    }
}

#[test]
fn what_takes_long_is_answered_too() {
    let server = server();
    let mut t = transcript(&server);
    fill(&server, "big", (0..30_000).map(|n| format!("m{n}")));
    fill(&server, "half", (15_000..30_000).map(|n| format!("m{n}")));
    t.check("SINTERCARD 2 big half", "15000");
    t.check("SDIFFSTORE d big half", "15000");
    t.check("SUNIONSTORE d d half", "30000");
    t.check("SDIFFCARD 2 d big", "0");
    assert_eq!(words(&t.run("SMEMBERS d")).len(), 30_000);
    assert_eq!(words(&t.run("SRANDMEMBER d 29000")).len(), 29_000);
    assert_eq!(words(&t.run("SPOP d 29950")).len(), 29_950);
    t.check("OBJECT ENCODING d", "listpack");
    assert_eq!(words(&t.run("SPOP big 20500")).len(), 20_500);
    t.check("SCARD big", "9500");
    let cut = server.client().try_cmd(&["SRANDMEMBER", "big", "-9223372036854775807"]);
    assert!(cut.is_err(), "nobody can be given so many");
    t.check("MULTI", "OK");
    t.check("SUNIONSTORE u big half", "QUEUED");
    t.check("SCARD big", "QUEUED");
    assert_eq!(t.run("EXEC").items().map(<[Reply]>::len), Some(2));
}

fn words(reply: &Reply) -> Vec<Vec<u8>> {
    let items = reply.items().expect("an array");
    items.iter().map(|item| item.bytes().expect("a member").to_vec()).collect()
}

#[test]
fn scans_see_every_member() {
    let server = server();
    let mut t = transcript(&server);
    t.check("SADD s 1 2 3", "3");
    t.check("SSCAN s 0", "[0, [1, 2, 3]]");
    t.check("SSCAN s 17 COUNT 1 MATCH 2", "[0, [2]]");
    t.check("SSCAN none 0 FOO", "[0, []]");
    t.check("SSCAN s 0 FOO", "-ERR syntax error");
    t.check("SSCAN s 0 TYPE set", "-ERR syntax error");
    t.check("SSCAN s 0 COUNT 0", "-ERR syntax error");
    t.check("SSCAN s x", "-ERR invalid cursor");
    t.check("SSCAN s 0 NOVALUES", "-ERR NOVALUES option can only be used in HSCAN");
    t.check("SSCAN s 0 NOSCORES", "-ERR NOSCORES option can only be used in ZSCAN");
    fill(&server, "big", (0..2_000).map(|n| format!("m{n}")));
    let (mut cursor, mut seen) = (b"0".to_vec(), Vec::new());
    loop {
        let mut client = server.client();
        let reply = client.cmd(&[b"SSCAN".as_slice(), b"big", &cursor, b"COUNT", b"50"]);
        let parts = reply.items().expect("a cursor and members");
        seen.extend(words(&parts[1]));
        cursor = parts[0].bytes().expect("a cursor").to_vec();
        if cursor == b"0" {
            break;
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 2_000);
}

#[test]
fn srandmember_counts_its_words_before_it_reads_them() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("SRANDMEMBER none a", "-ERR value is not an integer or out of range");
    t.check("SRANDMEMBER none a b", "-ERR syntax error");
}
