//! What the HyperLogLog commands answer.

use russet_testkit::Transcript;

use crate::server;

const NO_HYPERLOGLOG: &str = "-WRONGTYPE Key is not a valid HyperLogLog string value.";
const CORRUPTED: &str = "-INVALIDOBJ Corrupted HLL object detected";

#[test]
fn elements_are_counted() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("PFCOUNT none", "0");
    t.check("PFADD h", "1");
    t.check("PFADD h", "0");
    t.check("PFCOUNT h", "0");
    t.check("PFADD h a b c d", "1");
    t.check("PFADD h a", "0");
    t.check("PFCOUNT h", "4");
    t.check("PFCOUNT h", "4");
    t.check("PFADD i e", "1");
    t.check("PFCOUNT h i none", "5");
    t.check("PFMERGE m h i none", "OK");
    t.check("PFCOUNT m", "5");
    t.check("PFMERGE fresh", "OK");
    t.check("PFCOUNT fresh", "0");
    t.check("OBJECT ENCODING m", "raw");
}

#[test]
fn the_bytes_are_those_of_redis() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("PFADD h a", "1");
    t.check("PFDEBUG ENCODING h", "sparse");
    t.check("PFDEBUG DECODE h", "Z:12711 v:2,1 Z:3672");
    t.check(
        "GET h",
        r#""HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x71\xa6\x84\x4e\x57""#,
    );
    t.check("PFDEBUG TODENSE h", "1");
    t.check("PFDEBUG TODENSE h", "0");
    t.check("PFDEBUG ENCODING h", "dense");
    t.check("STRLEN h", "12304");
    t.check("PFCOUNT h", "1");
    t.check("PFADD h a", "0");
    t.check("PFADD h b", "1");
    t.check("PFCOUNT h", "2");
    t.check("PFDEBUG DECODE h", "-ERR HLL encoding is not sparse");
    t.check("PFDEBUG FOO h", "-ERR Unknown PFDEBUG subcommand 'FOO'");
    t.check("PFDEBUG ENCODING none", "-ERR The specified key does not exist");
}

#[test]
fn a_sparse_form_that_would_be_too_long_becomes_dense() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("CONFIG SET hll-sparse-max-bytes 30", "OK");
    t.check("PFADD h a b c", "1");
    t.check("PFDEBUG ENCODING h", "sparse");
    t.check("PFADD h d e f g", "1");
    t.check("PFDEBUG ENCODING h", "dense");
    t.check("PFCOUNT h", "7");
    t.check("PFMERGE i h", "OK");
    t.check("PFDEBUG ENCODING i", "dense");
}

#[test]
fn what_is_no_hyperloglog_is_refused() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("SET s hello", "OK");
    t.check("SET n 12345", "OK");
    t.check("RPUSH l a", "1");
    for key in ["s", "n"] {
        t.check(&format!("PFADD {key} a"), NO_HYPERLOGLOG);
        t.check(&format!("PFCOUNT {key}"), NO_HYPERLOGLOG);
        t.check(&format!("PFMERGE d {key}"), NO_HYPERLOGLOG);
        t.check(&format!("PFMERGE {key}"), NO_HYPERLOGLOG);
        t.check(&format!("PFDEBUG GETREG {key}"), NO_HYPERLOGLOG);
    }
    t.check("PFADD l a", "-WRONGTYPE Operation against a key holding the wrong kind of value");
    t.check("PFADD h a b c", "1");
    t.check("APPEND h hello", "32");
    t.check("PFCOUNT h", CORRUPTED);
    t.check("PFCOUNT h h", CORRUPTED);
    t.check("PFMERGE d h", CORRUPTED);
    t.check("SETRANGE h 100000 x", "100001");
    t.check("PFCOUNT h", CORRUPTED);
    t.check("PFADD h a", CORRUPTED);
    t.check("SETRANGE h 0 0123", "100001");
    t.check("PFCOUNT h", NO_HYPERLOGLOG);
    t.check("EXISTS d", "0");
}

#[test]
fn the_self_test_passes() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("PFSELFTEST", "OK");
}

#[test]
fn a_count_that_is_kept_is_a_change() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("PFADD h a", "1");
    for reply in ["(nil)", "[PONG]"] {
        t.check("WATCH h", "OK");
        t.check("PFCOUNT h", "1");
        t.check("MULTI", "OK");
        t.check("PING", "QUEUED");
        t.check("EXEC", reply);
    }
}
