//! What the bitmap commands answer.

use russet_testkit::Transcript;

use crate::server;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

#[test]
fn bits_are_set_and_got() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("SETBIT k 7 1", "0");
    t.check("SETBIT k 7 1", "1");
    t.check("GET k", "\"\\x01\"");
    t.check("OBJECT ENCODING k", "raw");
    t.check("SETBIT k 7 0", "1");
    t.check("GETBIT k 100", "0");
    t.check("STRLEN k", "1");
    t.check("SETBIT k 4294967295 1", "0");
    t.check("STRLEN k", "536870912");
    t.check("GETBIT k 4294967295", "1");
    t.check("BITPOS k 1", "4294967295");
    t.check("BITCOUNT k", "1");
    t.check("SET n 12", "OK");
    t.check("GETBIT n 3", "1");
    t.check("SETBIT n 15 1", "0");
    t.check("GET n", "13");
    t.check("RPUSH l a", "1");
    t.check("SETBIT l 0 1", WRONG_TYPE);
    t.check("GETBIT l 0", WRONG_TYPE);
    t.check("BITCOUNT l", WRONG_TYPE);
    t.check("BITPOS l 1", WRONG_TYPE);
    t.check("BITOP AND d l", WRONG_TYPE);
    t.check("BITFIELD l GET u8 0", WRONG_TYPE);
    t.check("BITFIELD l SET u8 0 1", WRONG_TYPE);
}

#[test]
fn offsets_and_bits_are_checked() {
    let server = server();
    let mut t = Transcript::new(server.client());
    let out_of_range = "-ERR bit offset is not an integer or out of range";
    for offset in ["-1", "x", "4294967296", "99999999999999999999", "9223372036854775807"] {
        t.check(&format!("SETBIT k {offset} 1"), out_of_range);
        t.check(&format!("GETBIT k {offset}"), out_of_range);
        t.check(&format!("BITFIELD k GET u8 {offset}"), out_of_range);
    }
    t.check("BITFIELD k GET u8 #9223372036854775807", out_of_range);
    for bit in ["2", "-1", "x", "10"] {
        t.check(&format!("SETBIT k 0 {bit}"), "-ERR bit is not an integer or out of range");
    }
    t.check("EXISTS k", "0");
    t.check("CONFIG SET proto-max-bulk-len 1mb", "OK");
    t.check("SETBIT k 8388608 1", out_of_range);
    t.check("SETBIT k 8388607 1", "0");
}

#[test]
fn bits_are_counted_in_ranges_of_bytes_and_bits() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("SET k foobar", "OK");
    t.check("BITCOUNT k", "26");
    t.check("BITCOUNT k 0 0", "4");
    t.check("BITCOUNT k 1 1 BYTE", "6");
    t.check("BITCOUNT k 5 30 BIT", "17");
    t.check("BITCOUNT k 1", "22");
    t.check("BITCOUNT k -2 -1", "7");
    t.check("BITCOUNT k -1 -2", "0");
    t.check("BITCOUNT k 5 -100", "0");
    t.check("BITCOUNT k 0 1000000000 BIT", "26");
    t.check("BITCOUNT none", "0");
    t.check("BITCOUNT none 0 -1", "0");
    t.check("BITCOUNT k 0 1 HELLO", "-ERR syntax error");
    t.check("BITCOUNT k 0 x HELLO", "-ERR syntax error");
    t.check("BITCOUNT k 0 x BIT", "-ERR value is not an integer or out of range");
    t.check("BITCOUNT k 0 1 BIT more", "-ERR syntax error");
}

#[test]
fn the_first_bit_is_found() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check(r#"SET k "\xff\xf0\x00""#, "OK");
    t.check("BITPOS k 0", "12");
    t.check("BITPOS k 1 2", "-1");
    t.check("BITPOS k 1 0 -1 BIT", "0");
    t.check("BITPOS k 0 0 11 BIT", "-1");
    t.check("BITPOS k 0 3 12 BIT", "12");
    t.check(r#"SET k "\xff\xff\xff""#, "OK");
    t.check("BITPOS k 0", "24");
    t.check("BITPOS k 0 0", "24");
    t.check("BITPOS k 0 0 -1", "-1");
    t.check("BITPOS k 0 3", "-1");
    t.check("BITPOS k 2", "-ERR The bit argument must be 1 or 0.");
    t.check("BITPOS k x", "-ERR value is not an integer or out of range");
    t.check("BITPOS none 0", "0");
    t.check("BITPOS none 1", "-1");
    t.check("BITPOS none 0 5 9", "0");
    t.check("BITPOS k 1 0 1 BOTH", "-ERR syntax error");
    t.check("SET k \"\"", "OK");
    t.check("BITPOS k 0", "-1");
}

#[test]
fn bitop_combines() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check(r#"SET a "\x0f\xff""#, "OK");
    t.check(r#"SET b "\x33""#, "OK");
    t.check(r#"SET c "\x55\x01\x80""#, "OK");
    for (line, expected) in [
        ("AND d a b c", r#""\x01\x00\x00""#),
        ("OR d a b c", r#""\x7f\xff\x80""#),
        ("XOR d a b c", r#""\x69\xfe\x80""#),
        ("NOT d a", r#""\xf0\x00""#),
        ("diff d a b c", r#""\x08\xfe\x00""#),
        ("DIFF1 d a b c", r#""\x70\x00\x80""#),
        ("ANDOR d a b c", r#""\x07\x01\x00""#),
        ("ONE d a b c", r#""\x68\xfe\x80""#),
    ] {
        let bytes = if line.starts_with("NOT") { "2" } else { "3" };
        t.check(&format!("BITOP {line}"), bytes);
        t.check("GET d", expected);
    }
    t.check("BITOP OR d none", "0");
    t.check("EXISTS d", "0");
    t.check("BITOP OR a a b", "2");
    t.check("BITOP NOT d a b", "-ERR BITOP NOT must be called with a single source key.");
    t.check("BITOP Diff d a", "-ERR BITOP DIFF must be called with multiple source keys.");
    t.check("BITOP FOO d a", "-ERR syntax error");
}

#[test]
fn long_strings_are_combined_piece_by_piece() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("SETBIT a 79999999 1", "0");
    t.check("SETBIT b 39999999 1", "0");
    t.check("BITOP OR d a b", "10000000");
    t.check("BITCOUNT d", "2");
    t.check("BITPOS d 1", "39999999");
    t.check("BITPOS d 1 40000000 -1 BIT", "79999999");
    t.check("BITOP AND d a b", "10000000");
    t.check("BITCOUNT d", "0");
    t.check("BITOP NOT d d", "10000000");
    t.check("BITCOUNT d", "80000000");
    t.check("MULTI", "OK");
    t.check("BITOP XOR d d a", "QUEUED");
    t.check("BITCOUNT d", "QUEUED");
    t.check("EXEC", "[10000000, 79999999]");
}

#[test]
fn bitfield_gets_sets_and_adds() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("BITFIELD k SET i5 100 7 GET u4 0 INCRBY u2 100 1", "[0, 0, 1]");
    t.check("BITFIELD k SET u8 #0 255 GET i8 0 GET u8 0 GET i64 0", "[0, -1, 255, (any)]");
    t.check("BITFIELD k OVERFLOW SAT INCRBY u8 0 10", "[255]");
    t.check("BITFIELD k OVERFLOW FAIL INCRBY u8 0 10", "[(nil)]");
    t.check("BITFIELD k OVERFLOW WRAP INCRBY u8 0 10", "[9]");
    t.check("BITFIELD k OVERFLOW SAT SET u8 0 -1 GET u8 0", "[9, 255]");
    t.check("BITFIELD k INCRBY i64 #1 9223372036854775807 INCRBY i64 #1 1", "[(any), (any)]");
    t.check("BITFIELD none GET u8 0", "[0]");
    t.check("EXISTS none", "0");
    t.check("BITFIELD none", "[]");
    t.check("BITFIELD k GET u64 0", "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.");
    t.check("BITFIELD k OVERFLOW NONE", "-ERR Invalid OVERFLOW type specified");
    t.check("BITFIELD k SET u8 0", "-ERR syntax error");
    t.check("BITFIELD k SET u8 0 x", "-ERR value is not an integer or out of range");
    t.check("BITFIELD_RO k GET u8 0 GET u8 #1", "[255, (any)]");
    t.check(
        "BITFIELD_RO k GET u8 0 SET u8 0 1",
        "-ERR BITFIELD_RO only supports the GET subcommand",
    );
}

#[test]
fn what_changes_nothing_breaks_no_watch() {
    let server = server();
    let (mut t, mut other) = (Transcript::new(server.client()), Transcript::new(server.client()));
    t.check("SETBIT k 1 1", "0");
    t.check("WATCH k", "OK");
    other.check("SETBIT k 1 1", "1");
    other.check("BITFIELD k SET u8 0 64", "[64]");
    t.check("MULTI", "OK");
    t.check("PING", "QUEUED");
    t.check("EXEC", "[PONG]");
    t.check("WATCH k", "OK");
    other.check("SETBIT k 0 1", "0");
    t.check("MULTI", "OK");
    t.check("EXEC", "(nil)");
}

#[test]
fn what_bit_commands_have_written_is_raw() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("DECR counter", "-1");
    t.check("SETBIT counter 0 0", "0");
    t.check("OBJECT ENCODING counter", "raw");
    t.check("SET s 1", "OK");
    t.check("BITOP AND result s s", "1");
    t.check("OBJECT ENCODING result", "raw");
}

#[test]
fn what_bitfield_has_touched_is_raw() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("SET s v", "OK");
    t.check("BITFIELD s OVERFLOW FAIL INCRBY u1 0 3", "[(nil)]");
    t.check("OBJECT ENCODING s", "raw");
    t.check("SET n 12", "OK");
    t.check("BITFIELD n INCRBY u8 0 0", "[49]");
    t.check("OBJECT ENCODING n", "raw");
}
