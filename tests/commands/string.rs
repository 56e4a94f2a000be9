//! What the string commands answer, and what they write to the journal.

use russet_testkit::differential::{Pair, Reference};
use russet_testkit::edges::INTEGERS;
use russet_testkit::{Client, Random, Reply, Transcript};

use crate::{Server, server};

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";
const NOT_FLOAT: &str = "-ERR value is not a valid float";
const SYNTAX: &str = "-ERR syntax error";
const TOO_LONG: &str = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)";

fn transcript(server: &Server) -> Transcript {
    Transcript::new(server.client())
}

/// A client of a new server that has a list under `l`.
fn with_list() -> (Server, Transcript) {
    let server = server();
    let mut t = transcript(&server);
    t.check("RPUSH l a b", "2");
    (server, t)
}

/// Milliseconds that a key has left.
fn left_ms(t: &mut Transcript, key: &str) -> i64 {
    match t.client.cmd(&["PTTL", key]) {
        Reply::Int(milliseconds) => milliseconds,
        other => panic!("PTTL answered {other}"),
    }
}

#[track_caller]
fn lives(t: &mut Transcript, key: &str, milliseconds: i64) {
    let left = left_ms(t, key);
    assert!((milliseconds - 5_000..=milliseconds).contains(&left), "{key} has {left} ms left");
}

#[test]
fn a_string_is_set_and_read() {
    let (_server, mut t) = with_list();
    t.strict("GET k", "$-1");
    t.strict("SET k v", "+OK");
    t.strict("GET k", "$v");
    t.strict("SET k 12", "+OK");
    t.strict("GET k", "$12");
    t.strict("SET k \"\"", "+OK");
    t.strict("GET k", "$\"\"");
    t.strict("STRLEN k", ":0");
    t.check("SET k 0012", "OK");
    t.check("GET k", "0012");
    t.check("GET l", WRONG_TYPE);
    t.check("SET l v", "OK");
    t.check("GET l", "v");
    t.check("GET", "-ERR wrong number of arguments for 'get' command");
    t.check("SET k", "-ERR wrong number of arguments for 'set' command");
}

#[test]
fn set_takes_conditions() {
    let (_server, mut t) = with_list();
    t.strict("SET k 1 XX", "$-1");
    t.check("EXISTS k", "0");
    t.strict("SET k 1 NX", "+OK");
    t.strict("SET k 2 nx", "$-1");
    t.strict("SET k 3 xx", "+OK");
    t.strict("SET k 4 GET", "$3");
    t.strict("SET k 5 NX GET", "$4");
    t.strict("SET new 1 GET NX", "$-1");
    t.check("GET new", "1");
    t.strict("SET none 1 XX GET", "$-1");
    t.check("EXISTS none", "0");
    t.check("SET l 1 GET", WRONG_TYPE);
    t.check("LLEN l", "2");
    t.check("SET l 1 NX", "(nil)");
    t.check("SET k 1 NX NX GET GET", "4");
    t.check("SET k 1 NX XX", SYNTAX);
    t.check("SET k 1 nosuch", SYNTAX);
    t.check("SET k 1 PERSIST", SYNTAX);
    t.check("GET k", "4");
}

#[test]
fn set_compares_values_and_digests() {
    let (_server, mut t) = with_list();
    t.strict("SET k a IFEQ x", "$-1");
    t.check("EXISTS k", "0");
    t.strict("SET k a IFNE x", "+OK");
    t.strict("SET k b IFEQ x", "$-1");
    t.strict("SET k b IFEQ a", "+OK");
    t.strict("SET k c IFNE b", "$-1");
    t.strict("SET k hello IFNE a GET", "$b");
    t.strict("SET k x IFEQ nothing GET", "$hello");
    t.strict("SET k world IFDEQ 9555e8555c62dcfd", "+OK");
    t.strict("SET k x IFDEQ 9555E8555C62DCFD", "$-1");
    t.strict("SET k hello IFDNE 9555e8555c62dcfd", "+OK");
    t.strict("SET k x IFDNE 9555E8555C62DCFD", "$-1");
    t.check("SET none x IFDEQ 9555e8555c62dcfd", "(nil)");
    t.check("SET none x IFDNE 9555e8555c62dcfd EX 100", "OK");
    lives(&mut t, "none", 100_000);
    t.check("SET k x IFDEQ 9555", "-ERR must be exactly 16 hexadecimal characters");
    t.check("SET k x IFEQ", SYNTAX);
    t.check("SET k x IFEQ a NX", SYNTAX);
    t.check("SET l x IFEQ a", WRONG_TYPE);
    t.check("SET l x IFNE a", WRONG_TYPE);
    t.check("SET n 12", "OK");
    t.check("SET n 13 IFEQ 12", "OK");
}

#[test]
fn set_says_how_long_a_value_stays() {
    let server = server();
    let mut t = transcript(&server);
    t.check("SET k v EX 100", "OK");
    lives(&mut t, "k", 100_000);
    t.check("SET k v KEEPTTL", "OK");
    lives(&mut t, "k", 100_000);
    t.check("SET k 7 px 50000 ex 1", SYNTAX);
    t.check("SET k 7 px 50000", "OK");
    lives(&mut t, "k", 50_000);
    t.check("SET k v EX 5 EX 100", "OK");
    lives(&mut t, "k", 100_000);
    t.check("SET k v", "OK");
    t.check("TTL k", "-1");
    t.check("SET k v EXAT 4000000000", "OK");
    t.check("EXPIRETIME k", "4000000000");
    t.check("SET k v PXAT 4000000000123", "OK");
    t.check("PEXPIRETIME k", "4000000000123");
    t.check("SET k v KEEPTTL EX 1", SYNTAX);
    t.check("SET k v EX 1 KEEPTTL", SYNTAX);
    t.check("SET k v EX", SYNTAX);
    t.check("SET k v EX 1 PXAT 5", SYNTAX);
    t.check("SET k v PXAT 1", "OK");
    t.check("EXISTS k", "0");
    t.check("SET k v GET EXAT 1", "(nil)");
    t.check("EXISTS k", "0");
}

#[test]
fn times_that_make_no_sense_are_refused() {
    let server = server();
    let mut t = transcript(&server);
    t.check("SET k v", "OK");
    for time in ["0", "-1", "9223372036854775807", "9223372036854776", "-9223372036854775808"] {
        for command in ["SET k v EX", "GETEX k EX", "SETEX k"] {
            let name = command.split(' ').next().expect("a word").to_lowercase();
            let line = format!("{command} {time}{}", if name == "setex" { " v" } else { "" });
            t.check(&line, &format!("-ERR invalid expire time in '{name}' command"));
        }
    }
    t.check("SET k v PX 9223372036854775807", "-ERR invalid expire time in 'set' command");
    t.check("SET k v PXAT 0", "-ERR invalid expire time in 'set' command");
    t.check("SET k v EXAT 9223372036854776", "-ERR invalid expire time in 'set' command");
    t.check("PSETEX k 0 v", "-ERR invalid expire time in 'psetex' command");
    t.check("MSETEX 1 k v EX 0", "-ERR invalid expire time in 'msetex' command");
    t.check("INCREX k EX 0", "-ERR invalid expire time in 'increx' command");
    t.check("SET k v EX a", NOT_INTEGER);
    t.check("SET k v PX 9223372036854775808", NOT_INTEGER);
    t.check("SETEX k 1.5 v", NOT_INTEGER);
    t.check("SET k v EXAT 9223372036854775", "OK");
    t.check("PEXPIRETIME k", "9223372036854775000");
}

#[test]
fn setnx_setex_and_psetex_are_short_for_set() {
    let (_server, mut t) = with_list();
    t.strict("SETNX k v", ":1");
    t.strict("SETNX k w", ":0");
    t.check("GET k", "v");
    t.strict("SETNX l v", ":0");
    t.strict("SETEX k 100 w", "+OK");
    lives(&mut t, "k", 100_000);
    t.strict("PSETEX l 100000 w", "+OK");
    lives(&mut t, "l", 100_000);
    t.check("GET l", "w");
}

#[test]
fn getex_changes_when_a_key_ends() {
    let (_server, mut t) = with_list();
    t.strict("GETEX none EX 0", "$-1");
    t.check("SET k v", "OK");
    t.strict("GETEX k", "$v");
    t.check("GETEX k EX 100", "v");
    lives(&mut t, "k", 100_000);
    t.check("GETEX k", "v");
    lives(&mut t, "k", 100_000);
    t.check("GETEX k PERSIST", "v");
    t.check("TTL k", "-1");
    t.check("GETEX k PX 100000", "v");
    lives(&mut t, "k", 100_000);
    t.check("GETEX k EXAT 4000000000", "v");
    t.check("EXPIRETIME k", "4000000000");
    t.check("GETEX k KEEPTTL", SYNTAX);
    t.check("GETEX k NX", SYNTAX);
    t.check("GETEX k EX 1 PERSIST", SYNTAX);
    t.check("GETEX k EX", SYNTAX);
    t.check("GETEX k EX a", NOT_INTEGER);
    t.check("GETEX l", WRONG_TYPE);
    t.check("GETEX k PXAT 1", "v");
    t.check("EXISTS k", "0");
}

#[test]
fn getdel_and_getset_give_what_was_there() {
    let (_server, mut t) = with_list();
    t.strict("GETSET k 1", "$-1");
    t.check("EXPIRE k 100", "1");
    t.strict("GETSET k 2", "$1");
    t.check("TTL k", "-1");
    t.check("GETSET l 1", WRONG_TYPE);
    t.strict("GETDEL k", "$2");
    t.strict("GETDEL k", "$-1");
    t.check("GETDEL l", WRONG_TYPE);
    t.check("LLEN l", "2");
}

#[test]
fn many_keys_are_set_and_read_at_once() {
    let (_server, mut t) = with_list();
    t.strict("MSET a 1 b two a 3", "+OK");
    t.check("MGET a none b l a", "[3, (nil), two, (nil), 3]");
    t.check("MSET a", "-ERR wrong number of arguments for 'mset' command");
    t.check("MSET a 1 b", "-ERR wrong number of arguments for 'mset' command");
    t.check("MSETNX a 1 b", "-ERR wrong number of arguments for 'msetnx' command");
    t.strict("MSETNX c 1 a 1", ":0");
    t.check("EXISTS c", "0");
    t.strict("MSETNX c 1 d 2 c 3", ":1");
    t.check("MGET c d", "[3, 2]");
    t.check("MSET l v", "OK");
    t.check("MGET l", "[v]");
}

#[test]
fn msetex_sets_all_or_none_and_when_they_end() {
    let server = server();
    let mut t = transcript(&server);
    t.strict("MSETEX 2 a 1 b 2", ":1");
    t.check("TTL a", "-1");
    t.strict("MSETEX 2 a 3 c 3 NX", ":0");
    t.strict("MSETEX 2 a 3 c 3 XX", ":0");
    t.check("MGET a b c", "[1, 2, (nil)]");
    t.strict("MSETEX 2 a 4 b 4 XX EX 100", ":1");
    lives(&mut t, "a", 100_000);
    lives(&mut t, "b", 100_000);
    t.strict("MSETEX 2 a 5 c 5 KEEPTTL", ":1");
    lives(&mut t, "a", 100_000);
    t.check("TTL c", "-1");
    t.check("MSETEX 1 d 1 NX PX 100000", "1");
    lives(&mut t, "d", 100_000);
    t.check("MSETEX 1 d 1 PXAT 1", "1");
    t.check("EXISTS d", "0");
    for count in ["0", "-1", "a", "2147483648", "9223372036854775807"] {
        t.check(&format!("MSETEX {count} a 1"), "-ERR invalid numkeys value");
    }
    t.check("MSETEX 2 a 1 b", "-ERR wrong number of key-value pairs");
    t.check("MSETEX 2147483647 a 1", "-ERR wrong number of key-value pairs");
    t.check("MSETEX 1 a 1 b", SYNTAX);
    t.check("MSETEX 1 a 1 NX XX", SYNTAX);
    t.check("MSETEX 1 a 1 EX 1 PX 1", SYNTAX);
    t.check("MSETEX 1 a 1 KEEPTTL EX 1", SYNTAX);
    t.check("MSETEX 1 a 1 GET", SYNTAX);
    t.check("MSETEX 1 a 1 IFEQ 5", SYNTAX);
}

#[test]
fn integers_count() {
    let (_server, mut t) = with_list();
    t.strict("INCR n", ":1");
    t.strict("INCRBY n 41", ":42");
    t.strict("DECR n", ":41");
    t.strict("DECRBY n 50", ":-9");
    t.strict("GET n", "$-9");
    t.check("EXPIRE n 100", "1");
    t.check("INCR n", "-8");
    lives(&mut t, "n", 100_000);
    t.check("SET n 9223372036854775807", "OK");
    t.check("INCR n", "-ERR increment or decrement would overflow");
    t.check("SET n -9223372036854775808", "OK");
    t.check("DECR n", "-ERR increment or decrement would overflow");
    t.check("DECRBY n -9223372036854775808", "-ERR decrement would overflow");
    t.check("INCRBY n 9223372036854775807", "-1");
    t.check("INCRBY n 1.5", NOT_INTEGER);
    t.check("SET s \" 1\"", "OK");
    t.check("INCR s", NOT_INTEGER);
    t.check("SET s 1", "OK");
    t.check("APPEND s 2", "2");
    t.check("INCR s", "13");
    t.check("INCR l", WRONG_TYPE);
}

#[test]
fn floats_count_as_long_doubles() {
    let (_server, mut t) = with_list();
    t.strict("INCRBYFLOAT f 10.50", "$10.5");
    t.strict("INCRBYFLOAT f 0.1", "$10.6");
    t.strict("INCRBYFLOAT f -5", "$5.6");
    t.check("SET f 5.0e3", "OK");
    t.check("INCRBYFLOAT f 2.0e2", "5200");
    t.check("SET f 1e17", "OK");
    t.check("INCRBYFLOAT f 10.6", "100000000000000010.6015625");
    t.check("SET f 3 EX 100", "OK");
    t.check("INCRBYFLOAT f 1.1", "4.1");
    lives(&mut t, "f", 100_000);
    t.check("INCRBYFLOAT f abc", NOT_FLOAT);
    t.check("INCRBYFLOAT f nan", NOT_FLOAT);
    t.check("INCRBYFLOAT f 1e5000", NOT_FLOAT);
    t.check("INCRBYFLOAT f +inf", "-ERR increment would produce NaN or Infinity");
    t.check("SET f \"1 1\"", "OK");
    t.check("INCRBYFLOAT f 1", NOT_FLOAT);
    t.check("SET f 1e4932", "OK");
    t.check("INCRBYFLOAT f 1e4932", "-ERR increment would produce NaN or Infinity");
    t.check("INCRBYFLOAT l 1", WRONG_TYPE);
    t.check("SET f 1", "OK");
    t.check("INCRBYFLOAT f -1.1", "-0.1");
}

#[test]
fn increx_counts_within_bounds() {
    let (_server, mut t) = with_list();
    t.strict("INCREX n", "[:1, :1]");
    t.check("INCREX n BYINT -10", "[-9, -10]");
    t.check("INCREX n BYINT 100 UBOUND 80", "[-9, 0]");
    t.check("INCREX n BYINT 100 UBOUND 80 SATURATE", "[80, 89]");
    t.check("INCREX n LBOUND 0 BYINT -100 saturate", "[0, -80]");
    t.check("INCREX new BYINT 15 UBOUND 10", "[0, 0]");
    t.check("EXISTS new", "0");
    t.check("SET n 9223372036854775800", "OK");
    t.check("INCREX n BYINT 9223372036854775800", "[9223372036854775800, 0]");
    t.check("INCREX n BYINT 9223372036854775800 SATURATE", "[9223372036854775807, 7]");
    t.check("INCREX n BYINT 1 UBOUND -5 SATURATE", "-ERR increment or decrement would overflow");
    t.check("SET f 1.5", "OK");
    t.strict("INCREX f BYFLOAT 0.25", "[$1.75, $0.25]");
    t.check("INCREX f BYFLOAT 100 UBOUND 42.5", "[1.75, 0]");
    t.check("INCREX f BYFLOAT 100 UBOUND 42.5 SATURATE", "[42.5, 40.75]");
    t.check("INCREX f BYFLOAT +inf", "-ERR increment would produce NaN or Infinity");
    t.check("INCREX f BYINT 1", NOT_INTEGER);
    t.check("INCREX l", WRONG_TYPE);
    t.check("SET s hello", "OK");
    t.check("INCREX s BYFLOAT 1", NOT_FLOAT);
    t.client.hello3();
    t.strict("INCREX f BYFLOAT 0.5", "[,43, ,0.5]");
}

#[test]
fn increx_refuses_what_contradicts_itself() {
    let server = server();
    let mut t = transcript(&server);
    for options in [
        "FOO",
        "BYINT 1 BYFLOAT 1",
        "BYINT 1 BYINT 1",
        "LBOUND 0 LBOUND 0",
        "UBOUND 1 UBOUND 1",
        "SATURATE SATURATE",
        "EX 10 EX 10",
        "EX 10 PX 5",
        "EX 10 PERSIST",
        "PERSIST PERSIST",
        "ENX PERSIST",
        "ENX ENX EX 10",
        "KEEPTTL",
        "BYINT",
    ] {
        t.check(&format!("INCREX n {options}"), SYNTAX);
    }
    t.check("INCREX n ENX", "-ERR ENX flag requires an expiration");
    t.check("INCREX n BYINT 1.5", "-ERR Increment is not an integer or out of range");
    t.check("INCREX n BYFLOAT x", "-ERR Increment is not a valid float");
    t.check("INCREX n UBOUND x", "-ERR UBOUND is not an integer or out of range");
    t.check("INCREX n BYFLOAT 1 LBOUND x", "-ERR LBOUND is not a valid float");
    t.check("INCREX n LBOUND 2 UBOUND 1", "-ERR LBOUND can't be greater than UBOUND");
    t.check("INCREX n BYFLOAT 1 LBOUND 2.5 UBOUND 1.5", "-ERR LBOUND can't be greater than UBOUND");
    t.check("INCREX", "-ERR wrong number of arguments for 'increx' command");
    t.check("EXISTS n", "0");
}

#[test]
fn increx_says_when_the_counter_ends() {
    let server = server();
    let mut t = transcript(&server);
    t.check("INCREX n EX 100 ENX", "[1, 1]");
    lives(&mut t, "n", 100_000);
    t.check("INCREX n EX 500 ENX", "[2, 1]");
    lives(&mut t, "n", 100_000);
    t.check("INCREX n EXAT 1 ENX", "[3, 1]");
    t.check("INCREX n", "[4, 1]");
    lives(&mut t, "n", 100_000);
    t.check("INCREX n PERSIST", "[5, 1]");
    t.check("TTL n", "-1");
    t.check("INCREX n UBOUND 5 EX 100", "[5, 0]");
    t.check("TTL n", "-1");
    t.check("INCREX n BYFLOAT 0.5 PX 100000", "[5.5, 0.5]");
    lives(&mut t, "n", 100_000);
    t.check("INCREX n BYFLOAT 1 PXAT 1", "[6.5, 1]");
    t.check("EXISTS n", "0");
}

#[test]
fn parts_of_strings_are_read() {
    let (_server, mut t) = with_list();
    t.check("SET k \"Hello World\"", "OK");
    for command in ["GETRANGE", "SUBSTR"] {
        t.strict(&format!("{command} k 0 3"), "$Hell");
        t.check(&format!("{command} k 0 -1"), "Hello World");
        t.check(&format!("{command} k -4 -1"), "orld");
        t.check(&format!("{command} k 5 3"), "\"\"");
        t.check(&format!("{command} k -5000 10000"), "Hello World");
        t.check(&format!("{command} k 0 -100"), "H");
        t.check(&format!("{command} k -100 -101"), "\"\"");
        t.strict(&format!("{command} none 0 -1"), "$\"\"");
        t.check(&format!("{command} k 0 x"), NOT_INTEGER);
        t.check(&format!("{command} l 0 -1"), WRONG_TYPE);
    }
    t.check("SET n 1234", "OK");
    t.check("GETRANGE n -3 -2", "23");
    t.check("STRLEN k", "11");
    t.check("STRLEN n", "4");
    t.check("STRLEN none", "0");
    t.check("STRLEN l", WRONG_TYPE);
}

#[test]
fn strings_are_overwritten_and_extended() {
    let (_server, mut t) = with_list();
    t.check("SETRANGE k 0 \"\"", "0");
    t.check("EXISTS k", "0");
    t.check("SETRANGE k 1 foo", "4");
    t.check("GET k", r#""\x00foo""#);
    t.check("SETRANGE k 6 bar", "9");
    t.check("GET k", r#""\x00foo\x00\x00bar""#);
    t.check("SETRANGE k 100 \"\"", "9");
    t.check("SET n 1234", "OK");
    t.check("SETRANGE n 1 3", "4");
    t.check("GET n", "1334");
    t.check("OBJECT ENCODING n", "raw");
    t.check("SETRANGE n -1 x", "-ERR offset is out of range");
    t.check("SETRANGE n a x", NOT_INTEGER);
    t.check("SETRANGE n 536870908 world", TOO_LONG);
    t.check("SETRANGE n 9223372036854775807 x", TOO_LONG);
    t.check("SETRANGE l 0 x", WRONG_TYPE);
    t.check("APPEND a 12", "2");
    t.check("OBJECT ENCODING a", "int");
    t.check("EXPIRE a 100", "1");
    t.check("APPEND a 3", "3");
    t.check("GET a", "123");
    t.check("OBJECT ENCODING a", "raw");
    lives(&mut t, "a", 100_000);
    t.check("APPEND l x", WRONG_TYPE);
}

#[test]
fn large_strings_are_read_and_written_in_place() {
    let server = server();
    let mut t = transcript(&server);
    let large = "0123456789".repeat(10_000);
    t.client.cmd(&["SET", "k", &large]);
    assert_eq!(t.client.cmd(&["GET", "k"]).bytes(), Some(large.as_bytes()));
    let part = t.client.cmd(&["GETRANGE", "k", "16380", "49999"]);
    assert_eq!(part.bytes(), Some(&large.as_bytes()[16_380..50_000]));
    t.check("GETRANGE k 16380 16389", "0123456789");
    t.check("SETRANGE k 16382 xxxx", "100000");
    t.check("GETRANGE k 16380 16389", "01xxxx6789");
    t.check("APPEND k end", "100003");
    t.check("GETRANGE k -5 -1", "89end");
    t.check("STRLEN k", "100003");
    t.check("INCR k", NOT_INTEGER);
    let mut grown = Vec::new();
    for _ in 0..40 {
        grown.extend_from_slice(&[b'g'; 1000]);
        t.client.cmd(&["APPEND", "g", &"g".repeat(1000)]);
    }
    assert_eq!(t.client.cmd(&["GET", "g"]).bytes(), Some(&grown[..]));
    t.check("SETRANGE zeros 536870911 x", "536870912");
    t.check("GETRANGE zeros 536870910 -1", r#""\x00x""#);
    t.check("APPEND zeros x", TOO_LONG);
}

#[test]
fn the_longest_string_is_configured() {
    let server = Server::with(&["--proto-max-bulk-len", "1mb"]);
    let mut t = transcript(&server);
    t.check("SETRANGE k 1048575 x", "1048576");
    t.check("APPEND k x", TOO_LONG);
    t.check("SETRANGE k 1048576 x", TOO_LONG);
}

#[test]
fn lcs_finds_what_two_strings_share() {
    let (_server, mut t) = with_list();
    t.check("MSET a ohmytext b mynewtext", "OK");
    t.strict("LCS a b", "$mytext");
    t.strict("LCS a b LEN", ":6");
    t.check("LCS a b IDX", "[matches, [[[4, 7], [5, 8]], [[2, 3], [0, 1]]], len, 6]");
    t.check("LCS a b IDX MINMATCHLEN 4", "[matches, [[[4, 7], [5, 8]]], len, 6]");
    t.check("LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN", "[matches, [[[4, 7], [5, 8], 4]], len, 6]");
    t.check(
        "LCS a b IDX MINMATCHLEN -1",
        "[matches, [[[4, 7], [5, 8]], [[2, 3], [0, 1]]], len, 6]",
    );
    t.check("LCS a b MINMATCHLEN 5 WITHMATCHLEN", "mytext");
    t.strict("LCS a none", "$\"\"");
    t.check("LCS a none IDX", "[matches, [], len, 0]");
    t.check("LCS none none LEN", "0");
    t.check("LCS a a", "ohmytext");
    t.check(
        "LCS a b LEN IDX",
        "-ERR If you want both the length and indexes, please just use IDX.",
    );
    t.check("LCS a b MINMATCHLEN", SYNTAX);
    t.check("LCS a b MINMATCHLEN x", NOT_INTEGER);
    t.check("LCS a b nosuch", SYNTAX);
    t.check("LCS a l nosuch", "-ERR The specified keys must contain string values");
    t.client.hello3();
    t.strict("LCS a b IDX MINMATCHLEN 5", "{$matches: [], $len: :6}");
}

#[test]
fn lcs_of_long_strings_runs_elsewhere_and_is_bounded() {
    let server = server();
    let mut t = transcript(&server);
    let (one, other) = ("ab".repeat(1500), "ba".repeat(1500));
    t.client.cmd(&["MSET", "a", &one, "b", &other]);
    t.check("LCS a b LEN", "2999");
    t.check("MULTI", "OK");
    t.check("LCS a b LEN", "QUEUED");
    t.check("EXEC", "[2999]");
    t.check("SETRANGE a 20000 x", "20001");
    t.check("SETRANGE b 20000 x", "20001");
    t.check(
        "LCS a b",
        "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
    );
}

#[test]
fn digests_are_xxh3() {
    let (_server, mut t) = with_list();
    t.strict("DIGEST none", "$-1");
    t.check("DIGEST l", WRONG_TYPE);
    for (value, digest) in [
        ("hello", "9555e8555c62dcfd"),
        ("\"Hello world\"", "b6acb9d84a38ff74"),
        ("\"\"", "2d06800538d394c2"),
        ("123", "404a763b3f4c8c9a"),
        ("v8", "0cc76dbb41381419"),
    ] {
        t.check(&format!("SET k {value}"), "OK");
        t.strict("DIGEST k", &format!("${digest}"));
    }
    t.client.cmd(&["SET", "k", &"x".repeat(16_384)]);
    let short = t.client.cmd(&["DIGEST", "k"]);
    t.client.cmd(&["SET", "large", &"x".repeat(16_000)]);
    t.client.cmd(&["APPEND", "large", &"x".repeat(1_000)]);
    t.client.cmd(&["SET", "k", &"x".repeat(17_000)]);
    assert_ne!(t.client.cmd(&["DIGEST", "large"]), short);
    assert_eq!(t.client.cmd(&["DIGEST", "large"]), t.client.cmd(&["DIGEST", "k"]));
}

#[test]
fn keys_are_removed_by_value() {
    let (_server, mut t) = with_list();
    t.strict("DELEX none", ":0");
    t.strict("DELEX none FOO bar", ":0");
    t.check("SET k hello", "OK");
    t.strict("DELEX k IFEQ other", ":0");
    t.check("DELEX k IFNE hello", "0");
    t.check("DELEX k IFDNE 9555E8555C62DCFD", "0");
    t.check("DELEX k IFDEQ 0000000000000000", "0");
    t.check("DELEX k IFDEQ 123", "-ERR must be exactly 16 hexadecimal characters");
    t.check("DELEX k FOO hello", "-ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE");
    t.check("DELEX k NX hello", "-ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE");
    t.check("DELEX k IFEQ", "-ERR wrong number of arguments for 'delex' command");
    t.check("DELEX k IFEQ a b", "-ERR wrong number of arguments for 'delex' command");
    t.strict("DELEX k IFDEQ 9555E8555C62DCFD", ":1");
    t.check("DELEX l IFEQ a", "-ERR Key should be of string type if conditions are specified");
    t.check("DELIFEQ l a", WRONG_TYPE);
    t.check("DELEX l", "1");
    t.check("SET k 12", "OK");
    t.strict("DELIFEQ k 13", ":0");
    t.strict("DELIFEQ k 12", ":1");
    t.strict("DELIFEQ k 12", ":0");
}

/// What the commands of a transcript write to the journal, a line for each command.
fn journal_of(commands: &[&str]) -> Vec<String> {
    let server = server();
    let mut t = transcript(&server);
    t.check("SET n 5 PXAT 4000000000000", "OK");
    let mut reader = server.state().journal.follow();
    let mut lines = Vec::new();
    for command in commands {
        t.run(command);
        while let Some(record) = reader.read().expect("nobody lags here") {
            let text = String::from_utf8_lossy(&record).into_owned();
            let words = text.lines().filter(|line| !line.starts_with(['*', '$']));
            lines.push(words.collect::<Vec<_>>().join(" "));
        }
    }
    lines
}

#[track_caller]
fn journals(commands: &[&str], lines: &[&str]) {
    let got = journal_of(commands);
    assert_eq!(got.len(), lines.len(), "{got:?}");
    for (got, line) in got.iter().zip(lines) {
        let got = &got.replacen("SELECT 0 ", "", 1);
        match line.strip_suffix('*') {
            Some(start) => assert!(got.starts_with(start), "{got} is not {line}"),
            None => assert_eq!(got, line),
        }
    }
}

#[test]
fn the_journal_says_what_came_of_it() {
    journals(&["SET k v EX 100"], &["SET k v PXAT *"]);
    journals(
        &["SET k v NX GET", "SET k w XX PXAT 4000000000000"],
        &["SET k v", "SET k w PXAT 4000000000000"],
    );
    journals(&["SETEX k 100 v", "PSETEX k 5000 v"], &["SET k v PXAT *", "SET k v PXAT *"]);
    journals(&["SET n 6 KEEPTTL", "SET n 7 XX", "SET n 8 NX"], &["SET n 6 KEEPTTL", "SET n 7"]);
    journals(&["SET n 6 EXAT 1", "SET k v EXAT 1"], &["UNLINK n"]);
    journals(&["GETEX n", "GETEX n PERSIST", "GETEX n PERSIST"], &["PERSIST n"]);
    journals(&["GETEX n EX 100", "GETEX n EXAT 1"], &["PEXPIREAT n *", "UNLINK n"]);
    journals(&["GETDEL n", "GETDEL n", "GETSET k v"], &["DEL n", "SET k v"]);
    journals(&["INCR n", "INCRBYFLOAT n 0.5"], &["INCR n", "SET n 6.5 KEEPTTL"]);
    journals(
        &["INCREX n", "INCREX n PERSIST", "INCREX n EX 5"],
        &["SET n 6 KEEPTTL", "SET n 7", "SET n 8 PXAT *"],
    );
    journals(&["INCREX n UBOUND 5", "INCREX n EXAT 1"], &["UNLINK n"]);
    journals(&["MSETEX 2 a 1 b 2 EX 5"], &["MULTI SET a 1 PXAT *"]);
    journals(&["DELEX n IFEQ 6", "DELEX n IFEQ 5"], &["DEL n"]);
    journals(&["DELIFEQ n 5", "SETNX k v", "SETNX k w"], &["DEL n", "SETNX k v"]);
    journals(
        &["APPEND k v", "SETRANGE k 1 w", "SETRANGE k 1 \"\""],
        &["APPEND k v", "SETRANGE k 1 w"],
    );
}

#[test]
fn sec_13_no_integer_argument_of_a_string_command_does_harm() {
    let server = server();
    let mut t = transcript(&server);
    let shapes = [
        "GETRANGE k # #",
        "SUBSTR k # #",
        "SETRANGE k # x",
        "SETRANGE new # \"\"",
        "INCRBY n #",
        "DECRBY n #",
        "SET k v EX #",
        "SET k v PX #",
        "SET k v EXAT #",
        "SET k v PXAT #",
        "GETEX k EX #",
        "GETEX k PXAT #",
        "SETEX k # v",
        "PSETEX k # v",
        "MSETEX # k v",
        "MSETEX 1 k v EX #",
        "LCS k k IDX MINMATCHLEN #",
        "INCREX n BYINT #",
        "INCREX n BYINT # SATURATE",
        "INCREX n LBOUND # UBOUND #",
        "INCREX n UBOUND # SATURATE",
        "INCREX n EX #",
        "INCRBYFLOAT n #",
        "INCREX n BYFLOAT #",
    ];
    for shape in shapes {
        for edge in INTEGERS {
            t.check("MSET k hello n 7", "OK");
            t.run(&shape.replace('#', &format!("\"{edge}\"")));
            t.run("DEL new");
        }
    }
    t.check("SET k v", "OK");
    t.check("GET k", "v");
}

/// Two connections: to a new server of ours, and to a reference. Nothing where there is no reference.
fn pair(server: &Server) -> Option<(Reference, Pair)> {
    let reference = Reference::start("valkey-server")?;
    let pair = Pair::new(server.client(), reference.client());
    Some((reference, pair))
}

/// A float as people write it, or as they should not.
fn float(random: &mut Random) -> String {
    let digits = random.below(20) as usize + 1;
    let number = (0..digits).map(|_| char::from(b'0' + random.below(10) as u8)).collect::<String>();
    let sign = ["", "-", "+", ""][random.below(4) as usize];
    let power = [3, 20, 30, 5000][random.below(4) as usize];
    let power = random.below(2 * power) as i64 - power as i64;
    match random.below(4) {
        0 => format!("{sign}{number}"),
        1 => format!("{sign}{number}e{power}"),
        2 => format!("{sign}0.{number}"),
        _ => format!("{sign}{}.{number}e{power}", random.below(1000)),
    }
}

#[test]
fn valkey_adds_floats_the_same() {
    let server = server();
    let Some((_reference, mut pair)) = pair(&server) else { return };
    let mut random = Random::new(5);
    for _ in 0..3_000 {
        let (one, other) = (float(&mut random), float(&mut random));
        let set = pair.both(&["SET", "f", &one]);
        let sum = pair.both(&["INCRBYFLOAT", "f", &other]);
        set.and(sum).unwrap_or_else(|difference| panic!("{one} + {other}: {difference}"));
    }
}

#[test]
fn valkey_finds_the_same_common_subsequences() {
    let server = server();
    let Some((_reference, mut pair)) = pair(&server) else { return };
    let mut random = Random::new(6);
    let mut text = |len: u64| {
        (0..random.below(len)).map(|_| char::from(b'a' + random.below(3) as u8)).collect::<String>()
    };
    for _ in 0..300 {
        pair.both(&["MSET", "a", &text(60), "b", &text(60)]).expect("both set");
        for options in
            [&["LEN"][..], &["IDX"], &["IDX", "WITHMATCHLEN"], &["IDX", "MINMATCHLEN", "2"], &[]]
        {
            let command = [&["LCS", "a", "b"], options].concat();
            pair.both(&command).unwrap_or_else(|difference| panic!("{difference}"));
        }
    }
}

#[test]
fn hits_and_misses_are_counted_for_what_reads() {
    let server = server();
    let mut t = transcript(&server);
    let keyspace = |client: &mut Client, field: &str| {
        let stats = client.cmd(&["INFO", "stats"]).to_string();
        let at =
            stats.find(field).unwrap_or_else(|| panic!("{field} in {stats}")) + field.len() + 1;
        stats[at..].chars().take_while(char::is_ascii_digit).collect::<String>()
    };
    t.check("SET k v", "OK");
    t.check("GET k", "v");
    t.check("MGET k none", "[v, (nil)]");
    t.check("INCR n", "1");
    assert_eq!(keyspace(&mut t.client, "keyspace_hits"), "2");
    assert_eq!(keyspace(&mut t.client, "keyspace_misses"), "1");
}
