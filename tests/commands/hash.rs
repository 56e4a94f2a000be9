//! What the hash commands answer.

use std::time::{Duration, Instant};

use russet_testkit::{Reply, Transcript, check};

use crate::{Server, server};

mod expire;
mod import;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

fn transcript(server: &Server) -> Transcript {
    Transcript::new(server.client())
}

/// Speaks RESP3.
fn modern(server: &Server) -> Transcript {
    let mut t = transcript(server);
    t.run("HELLO 3");
    t
}

/// What the journal has got since it was followed, on one line.
fn journal(reader: &mut russet_journal::Reader) -> String {
    let mut text = String::new();
    while let Some(record) = reader.read().expect("in memory") {
        text.push_str(&String::from_utf8_lossy(&record).replace("\r\n", " "));
    }
    text
}

/// Waits until a command answers so.
fn until(t: &mut Transcript, command: &str, expected: &str) {
    let end = Instant::now() + Duration::from_secs(5);
    while t.run(command).to_string() != expected && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    t.check(command, expected);
}

#[test]
fn fields_are_set_and_read() {
    let server = server();
    let mut t = transcript(&server);
    t.strict("HSET h a 1 b two", ":2");
    t.strict("HSET h a 2 c 007", ":1");
    t.strict("HGET h a", "$2");
    t.strict("HGET h c", "$007");
    t.strict("HGET h x", "$-1");
    t.strict("HGET none x", "$-1");
    t.check("HMGET h a x b", "[2, (nil), two]");
    t.check("HMGET none a b", "[(nil), (nil)]");
    t.strict("HMSET h d \"\" e \"\\x00\\r\\n\"", "+OK");
    t.check("HGET h d", "\"\"");
    t.check("HGET h e", "\"\\x00\\r\\n\"");
    t.strict("HLEN h", ":5");
    t.strict("HLEN none", ":0");
    t.check("HSTRLEN h c", "3");
    t.check("HSTRLEN h a", "1");
    t.check("HSTRLEN h x", "0");
    t.check("HSTRLEN none x", "0");
    t.check("HEXISTS h a", "1");
    t.check("HEXISTS h x", "0");
    t.check("HEXISTS none x", "0");
    t.strict("HSETNX h a 9", ":0");
    t.strict("HSETNX h f 9", ":1");
    t.check("HGET h f", "9");
    t.strict("HDEL h a x b", ":2");
    t.strict("HDEL none a", ":0");
    t.check("HDEL h c d e f f", "4");
    t.check("EXISTS h", "0");
}

#[test]
fn arguments_that_do_not_pair_and_other_types_are_refused() {
    let server = server();
    let mut t = transcript(&server);
    t.check("HSET h a", "-ERR wrong number of arguments for 'hset' command");
    t.check("HSET h a 1 b", "-ERR wrong number of arguments for 'hset' command");
    t.check("HMSET h a 1 b", "-ERR wrong number of arguments for 'hmset' command");
    t.check("EXISTS h", "0");
    t.check("SET s v", "OK");
    for command in [
        "HSET s a 1",
        "HMSET s a 1",
        "HSETNX s a 1",
        "HGET s a",
        "HMGET s a",
        "HGETALL s",
        "HKEYS s",
        "HVALS s",
        "HLEN s",
        "HSTRLEN s a",
        "HEXISTS s a",
        "HDEL s a",
        "HINCRBY s a 1",
        "HINCRBYFLOAT s a 1",
        "HRANDFIELD s",
        "HRANDFIELD s 1",
        "HSCAN s 0",
    ] {
        t.check(command, WRONG_TYPE);
    }
    t.check("HSCAN s 0 NOSUCH", WRONG_TYPE);
    t.check("HSET h a 1", "1");
    t.check("GET h", WRONG_TYPE);
    t.check("LPUSH h a", WRONG_TYPE);
    t.check("TYPE h", "hash");
}

#[test]
fn a_hash_is_given_whole() {
    let server = server();
    let mut t = transcript(&server);
    t.check("HSET h a 1 b x", "2");
    t.strict("HGETALL h", "[$a, $1, $b, $x]");
    t.strict("HKEYS h", "[$a, $b]");
    t.strict("HVALS h", "[$1, $x]");
    t.strict("HGETALL none", "[]");
    t.strict("HKEYS none", "[]");
    t.strict("HVALS none", "[]");
    let mut t = modern(&server);
    t.strict("HGETALL h", "{$a: $1, $b: $x}");
    t.strict("HKEYS h", "[$a, $b]");
    t.strict("HGETALL none", "{}");
    t.strict("HGET h x", "_");
}

#[test]
fn integers_are_counted() {
    let server = server();
    let mut t = transcript(&server);
    t.strict("HINCRBY h n 5", ":5");
    t.strict("HINCRBY h n -7", ":-2");
    t.check("HGET h n", "-2");
    t.check("HINCRBY h n x", "-ERR value is not an integer or out of range");
    t.check("HINCRBY h n 1.5", "-ERR value is not an integer or out of range");
    t.check("HSET h s text p \" 1\" f 1.5 big 9223372036854775807 low -9223372036854775808", "5");
    for field in ["s", "p", "f"] {
        t.check(&format!("HINCRBY h {field} 1"), "-ERR hash value is not an integer");
    }
    t.check("HINCRBY h big 1", "-ERR increment or decrement would overflow");
    t.check("HINCRBY h low -1", "-ERR increment or decrement would overflow");
    t.check("HGET h big", "9223372036854775807");
}

#[test]
fn floats_are_counted_as_x87_counts() {
    let server = server();
    let mut t = transcript(&server);
    let mut reader = server.state().journal.follow();
    t.strict("HINCRBYFLOAT h n 10.5", "$10.5");
    t.strict("HINCRBYFLOAT h n 0.1", "$10.6");
    t.check("HINCRBYFLOAT h n -5", "5.6");
    t.check("HSET h e 5.0e3 i 3 s text", "3");
    t.check("HINCRBYFLOAT h e 2.0e2", "5200");
    t.check("HINCRBYFLOAT h i 1", "4");
    t.check("HINCRBYFLOAT h s 1", "-ERR hash value is not a float");
    t.check("HINCRBYFLOAT h n x", "-ERR value is not a valid float");
    t.check("HINCRBYFLOAT h n inf", "-ERR value is NaN or Infinity");
    t.check("HINCRBYFLOAT h n nan", "-ERR value is not a valid float");
    t.check("HSET h m 1.1e4932", "1");
    t.check("HINCRBYFLOAT h m 1.1e4932", "-ERR increment would produce NaN or Infinity");
    let text = journal(&mut reader);
    assert!(text.contains("HSET $1 h $1 n $4 10.6 "), "{text}");
    assert!(!text.contains("HINCRBYFLOAT"), "{text}");
}

#[test]
fn the_encoding_is_that_of_redis() {
    let server =
        Server::with(&["--hash-max-listpack-entries", "4", "--hash-max-listpack-value", "8"]);
    let mut t = transcript(&server);
    t.check("HSET h a 1 b 2 c 3 d 4", "4");
    t.check("OBJECT ENCODING h", "listpack");
    t.check("HSET h a 5 b 6", "0");
    t.check("OBJECT ENCODING h", "listpack");
    t.check("HSET h e 1", "1");
    t.check("OBJECT ENCODING h", "hashtable");
    t.check("HMGET h a b c d e", "[5, 6, 3, 4, 1]");
    t.check("HSET v a 12345678", "1");
    t.check("OBJECT ENCODING v", "listpack");
    t.check("HSETNX v b 123456789", "1");
    t.check("OBJECT ENCODING v", "hashtable");
    t.check("HSET f 123456789 1", "1");
    t.check("OBJECT ENCODING f", "hashtable");
    t.check("HSET g a 1 a 1 a 1 a 1 a 1", "1");
    t.check("OBJECT ENCODING g", "hashtable");
    t.check("HINCRBYFLOAT i a 12345678.5", "12345678.5");
    t.check("OBJECT ENCODING i", "hashtable");
    t.check("HSET e a 1", "1");
    t.check("HEXPIRE e 100 FIELDS 1 a", "[1]");
    t.check("OBJECT ENCODING e", "listpackex");
    t.check("HPERSIST e FIELDS 1 a", "[1]");
    t.check("OBJECT ENCODING e", "listpackex");
    t.check("HSET e b 1 c 2 d 3 e 4", "4");
    t.check("OBJECT ENCODING e", "hashtable");
}

#[test]
fn large_values_come_back_whole() {
    let server = server();
    let mut t = transcript(&server);
    let large = "x".repeat(100_000);
    t.check(&format!("HSET h a {large} {large} b"), "2");
    t.check("HGET h a", &large);
    t.check(&format!("HGET h {large}"), "b");
    t.check("HSTRLEN h a", "100000");
    t.check("COPY h copy", "1");
    t.check("DEL h", "1");
    t.check("HGET copy a", &large);
}

#[test]
fn random_fields_have_the_shape_that_was_asked_for() {
    let server = server();
    let mut t = transcript(&server);
    t.check("HSET h a 1", "1");
    t.strict("HRANDFIELD h", "$a");
    t.strict("HRANDFIELD h 5", "[$a]");
    t.strict("HRANDFIELD h 5 WITHVALUES", "[$a, $1]");
    t.strict("HRANDFIELD h -3", "[$a, $a, $a]");
    t.strict("HRANDFIELD h -2 WITHVALUES", "[$a, $1, $a, $1]");
    t.strict("HRANDFIELD h 0", "[]");
    t.strict("HRANDFIELD none", "$-1");
    t.strict("HRANDFIELD none 3", "[]");
    t.strict("HRANDFIELD none -3 WITHVALUES", "[]");
    let mut m = modern(&server);
    m.strict("HRANDFIELD h 1 WITHVALUES", "[[$a, $1]]");
    m.strict("HRANDFIELD h -2 WITHVALUES", "[[$a, $1], [$a, $1]]");
    m.strict("HRANDFIELD none", "_");
    t.check("HRANDFIELD h 1 VALUES", "-ERR syntax error");
    t.check("HRANDFIELD h 1 WITHVALUES x", "-ERR syntax error");
    t.check("HRANDFIELD h x", "-ERR value is not an integer or out of range");
    let range = "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
    t.check("HRANDFIELD h -9223372036854775808", range);
    t.check("HRANDFIELD h -4611686018427387905 WITHVALUES", "-ERR value is out of range");
    let cut = t.client.try_cmd(&["HRANDFIELD", "h", "-9223372036854775807"]);
    assert!(cut.is_err(), "nobody can be given so many");
}

#[test]
fn random_fields_differ_unless_they_may_repeat() {
    for entries in ["0", "512"] {
        let server = Server::with(&["--hash-max-listpack-entries", entries]);
        let mut t = transcript(&server);
        for n in 0..100 {
            t.check(&format!("HSET h f{n} {n}"), "1");
        }
        for count in [1, 10, 33, 34, 70, 99, 100, 1000] {
            let Reply::Array(fields) = t.run(&format!("HRANDFIELD h {count}")) else { panic!() };
            let different: std::collections::BTreeSet<String> =
                fields.iter().map(ToString::to_string).collect();
            assert_eq!((fields.len(), different.len()), (count.min(100), count.min(100)));
        }
        let Reply::Array(fields) = t.run("HRANDFIELD h -1000") else { panic!() };
        assert_eq!(fields.len(), 1000);
    }
}

/// All that a round of HSCAN shows.
fn scan(t: &mut Transcript, options: &str) -> Vec<String> {
    let (mut cursor, mut all) = ("0".to_owned(), Vec::new());
    loop {
        let Reply::Array(reply) = t.run(&format!("HSCAN h {cursor} {options}")) else { panic!() };
        let [next, Reply::Array(shown)] = &reply[..] else { panic!() };
        all.extend(shown.iter().map(ToString::to_string));
        cursor = next.to_string();
        if cursor == "0" {
            return all;
        }
    }
}

#[test]
fn scans_show_every_field() {
    for entries in ["0", "512"] {
        let server = Server::with(&["--hash-max-listpack-entries", entries]);
        let mut t = transcript(&server);
        for n in 0..300 {
            t.check(&format!("HSET h f{n} {n}"), "1");
        }
        for options in ["", "COUNT 1", "COUNT 1000", "MATCH * COUNT 3"] {
            let shown = scan(&mut t, options);
            assert!(shown.len() >= 600, "{}", shown.len());
            assert!((0..300).all(|n| shown.contains(&format!("f{n}"))));
        }
        assert_eq!(scan(&mut t, "MATCH f1 COUNT 7"), ["f1", "1"]);
        assert_eq!(scan(&mut t, "MATCH f29? NOVALUES").len(), 10);
    }
}

#[test]
fn scans_refuse_what_they_do_not_know() {
    let server = server();
    let mut t = transcript(&server);
    t.strict("HSCAN none 0", "[$0, []]");
    t.strict("HSCAN none 0 NOSUCH", "[$0, []]");
    t.check("HSCAN none x", "-ERR invalid cursor");
    t.check("HSET h a 1", "1");
    t.strict("HSCAN h 0", "[$0, [$a, $1]]");
    t.strict("HSCAN h 0 NOVALUES", "[$0, [$a]]");
    t.check("HSCAN h x", "-ERR invalid cursor");
    t.check("HSCAN h -1", "-ERR invalid cursor");
    t.check("HSCAN h 0 COUNT 0", "-ERR syntax error");
    t.check("HSCAN h 0 COUNT x", "-ERR value is not an integer or out of range");
    t.check("HSCAN h 0 COUNT", "-ERR syntax error");
    t.check("HSCAN h 0 TYPE hash", "-ERR syntax error");
    t.check("HSCAN h 0 NOSCORES", "-ERR NOSCORES option can only be used in ZSCAN");
    t.check("HSCAN h 99999999999999", "[0, [a, 1]]");
}

#[test]
fn nothing_changed_is_told_to_nobody() {
    let server = server();
    let mut t = transcript(&server);
    t.check("HSET h a 1", "1");
    let mut reader = server.state().journal.follow();
    for (command, reply) in [
        ("HSETNX h a 2", "0"),
        ("HDEL h x", "0"),
        ("HPERSIST h FIELDS 1 a", "[-1]"),
        ("HEXPIRE h 10 XX FIELDS 1 a", "[0]"),
        ("HEXPIRE h 10 FIELDS 1 x", "[-2]"),
        ("HGETDEL h FIELDS 1 x", "[(nil)]"),
        ("HGETEX h FIELDS 1 a", "[1]"),
        ("HGETEX h PERSIST FIELDS 1 a", "[1]"),
        ("HSETEX h FNX FIELDS 1 a 5", "0"),
    ] {
        t.check("WATCH h", "OK");
        t.check(command, reply);
        t.check("MULTI", "OK");
        t.check("PING", "QUEUED");
        t.check("EXEC", "[PONG]");
    }
    assert_eq!(journal(&mut reader), "");
    check(&mut server.client(), "HGETALL h", "[a, 1]");
}

#[test]
fn who_asks_for_more_than_may_wait_to_be_read_is_cut_unless_it_comes_in_parts() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("HSET h a b", "1");
    t.check("SADD s a", "1");
    t.check("ZADD z 1 a", "1");
    t.check("SETRANGE long 2000000 x", "2000001");
    t.check("CONFIG SET client-output-buffer-limit \"normal 1000000 0 0\"", "OK");
    for (command, key) in [("HRANDFIELD", "h"), ("SRANDMEMBER", "s"), ("ZRANDMEMBER", "z")] {
        assert!(server.client().try_cmd(&[command, key, "-999999999"]).is_err());
        for (count, len) in [("-1000", 1000), ("-160000", 160_000)] {
            let drawn = t.client.cmd(&[command, key, count]);
            assert_eq!(drawn.items().map(<[_]>::len), Some(len));
        }
        t.check("MULTI", "OK");
        t.check(&format!("{command} {key} -160000"), "QUEUED");
        t.check("EXEC", "[-ERR value is out of range]");
    }
    assert!(server.client().try_cmd(&["GET", "long"]).is_err());
    let stats = t.client.cmd(&["INFO", "stats"]).to_string();
    assert!(stats.contains("client_output_buffer_limit_disconnections:4"), "{stats}");
}
