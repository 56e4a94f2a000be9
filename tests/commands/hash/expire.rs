//! What the commands about fields that end answer, and what becomes of such fields.

use super::*;

/// One minute past midnight, 2100-01-01, in seconds.
const FAR: &str = "4102444860";

#[test]
fn ends_are_set_told_and_dropped() {
    let server = server();
    for entries in ["0", "512"] {
        let mut t = transcript(&server);
        t.check("FLUSHALL", "OK");
        t.check(&format!("CONFIG SET hash-max-listpack-entries {entries}"), "OK");
        t.check("HSET h a 1 b 2 c 3", "3");
        t.strict("HEXPIRE h 100 FIELDS 2 a x", "[:1, :-2]");
        t.strict("HTTL h FIELDS 3 a b x", "[:100, :-1, :-2]");
        t.check("HPEXPIRE h 200500 FIELDS 1 b", "[1]");
        t.check("HTTL h FIELDS 1 b", "[201]");
        t.check(&format!("HEXPIREAT h {FAR} FIELDS 1 c"), "[1]");
        t.check("HEXPIRETIME h FIELDS 1 c", &format!("[{FAR}]"));
        t.check("HPEXPIRETIME h FIELDS 2 c x", &format!("[{FAR}000, -2]"));
        t.check(&format!("HPEXPIREAT h {FAR}001 FIELDS 1 c"), "[1]");
        t.check("HPEXPIRETIME h FIELDS 1 c", &format!("[{FAR}001]"));
        t.check("HEXPIRETIME h FIELDS 1 c", "[4102444861]");
        t.strict("HPERSIST h FIELDS 4 a a c x", "[:1, :-1, :1, :-2]");
        t.check("HTTL h FIELDS 2 a c", "[-1, -1]");
        t.check("HMGET h a b c", "[1, 2, 3]");
        t.check("HEXPIRE h 0 FIELDS 2 a a", "[2, -2]");
        t.check("HEXPIREAT h 1 FIELDS 1 b", "[2]");
        t.check("HGETALL h", "[c, 3]");
        t.check("HPEXPIRE h 0 FIELDS 1 c", "[2]");
        t.check("EXISTS h", "0");
    }
}

#[test]
fn fields_of_no_hash_are_not_there() {
    let server = server();
    let mut t = transcript(&server);
    t.strict("HEXPIRE h 10 FIELDS 2 a b", "[:-2, :-2]");
    t.strict("HTTL h FIELDS 2 a b", "[:-2, :-2]");
    t.strict("HPERSIST h FIELDS 1 a", "[:-2]");
    t.strict("HGETEX h EX 10 FIELDS 2 a b", "[(nil), (nil)]");
    t.strict("HGETDEL h FIELDS 1 a", "[(nil)]");
    t.check("EXISTS h", "0");
    t.check("SET s v", "OK");
    for command in [
        "HEXPIRE s x FIELDS 1 a",
        "HPEXPIRE s 1 FIELDS 1 a",
        "HEXPIREAT s 1 FIELDS 1 a",
        "HPEXPIREAT s 1 FIELDS 1 a",
        "HTTL s FIELDS 1 a",
        "HPTTL s FIELDS 1 a",
        "HEXPIRETIME s FIELDS 1 a",
        "HPEXPIRETIME s FIELDS 1 a",
        "HPERSIST s FIELDS 1 a",
        "HGETEX s FIELDS 1 a",
        "HGETDEL s FIELDS 1 a",
        "HSETEX s FIELDS 1 a 1",
    ] {
        t.check(command, WRONG_TYPE);
    }
}

#[test]
fn conditions_compare_with_the_end_that_is_there() {
    let server = server();
    let mut t = transcript(&server);
    t.check("HSET h a 1 b 2", "2");
    t.check("HEXPIRE h 100 XX FIELDS 1 a", "[0]");
    t.check("HEXPIRE h 100 GT FIELDS 1 a", "[0]");
    t.check("HEXPIRE h 100 NX FIELDS 1 a", "[1]");
    t.check("HEXPIRE h 200 NX FIELDS 2 a b", "[0, 1]");
    t.check("HEXPIRE h 50 GT FIELDS 1 a", "[0]");
    t.check("HEXPIRE h 150 GT FIELDS 1 a", "[1]");
    t.check("HEXPIRE h 250 LT FIELDS 1 a", "[0]");
    t.check("HEXPIRE h 50 LT FIELDS 1 a", "[1]");
    t.check("HEXPIRE h 70 xx FIELDS 1 a", "[1]");
    t.check("HTTL h FIELDS 2 a b", "[70, 200]");
    t.check("HSET h c 3", "1");
    t.check("HEXPIRE h 70 LT FIELDS 1 c", "[1]");
    t.check("HEXPIRE h 0 NX FIELDS 1 c", "[0]");
}

#[test]
fn arguments_are_checked_as_redis_checks_them() {
    let server = server();
    let mut t = transcript(&server);
    t.check("HSET h a 1 b 2", "2");
    let missing = "-ERR Mandatory argument FIELDS is missing or not at the right position";
    t.check("HEXPIRE h 10 1 a b", missing);
    t.check("HTTL h 2 a b", missing);
    t.check("HPERSIST h NX 1 b", missing);
    t.check("HGETDEL h FIELD 1 a", missing);
    t.check("HGETEX h PERSIST 1 a", missing);
    t.check("HEXPIRE h 10 NX XX FIELDS 1 a", missing);
    let mismatch = "-ERR The `numfields` parameter must match the number of arguments";
    t.check("HEXPIRE h 10 FIELDS 2 a", mismatch);
    t.check("HEXPIRE h 10 FIELDS 1 a b", mismatch);
    t.check("HTTL h FIELDS 3 a b", mismatch);
    t.check("HGETEX h FIELDS 9223372036854775807 a", mismatch);
    t.check("HEXPIRE h 10 FIELDS 0 a", "-ERR Parameter `numFields` should be greater than 0");
    t.check("HEXPIRE h 10 FIELDS x a", "-ERR Parameter `numFields` should be greater than 0");
    t.check("HTTL h FIELDS 0 a", "-ERR Number of fields must be a positive integer");
    t.check("HGETDEL h FIELDS -1 a", "-ERR Number of fields must be a positive integer");
    t.check("HEXPIRE h x FIELDS 1 a", "-ERR value is not an integer or out of range");
    t.check("HEXPIRE h -1 FIELDS 1 a", "-ERR invalid expire time, must be >= 0");
    t.check("HEXPIRE h 70368744178 FIELDS 1 a", "-ERR invalid expire time in 'hexpire' command");
    t.check(
        "HPEXPIREAT h 70368744177664 FIELDS 1 a",
        "-ERR invalid expire time in 'hpexpireat' command",
    );
    t.check("HPEXPIREAT h 70368744177663 FIELDS 1 a", "[1]");
    t.check(
        "HPEXPIRE h 9223372036854775807 FIELDS 1 a",
        "-ERR invalid expire time in 'hpexpire' command",
    );
    t.check("HEXPIRE h 10", "-ERR wrong number of arguments for 'hexpire' command");
}

#[test]
fn hgetdel_reads_and_removes() {
    let server = server();
    let mut t = transcript(&server);
    let mut reader = server.state().journal.follow();
    t.check("HSET h a 1 b x c 3", "3");
    t.strict("HGETDEL h FIELDS 3 a x a", "[$1, (nil), (nil)]");
    t.strict("HGETDEL h FIELDS 2 b c", "[$x, $3]");
    t.check("EXISTS h", "0");
    let text = journal(&mut reader);
    assert!(text.contains("HDEL $1 h $1 a ") && text.contains("HDEL $1 h $1 b $1 c "), "{text}");
}

#[test]
fn hgetex_reads_and_changes_ends() {
    let server = server();
    let mut t = transcript(&server);
    t.check("HSET h a 1 b 2", "2");
    let mut reader = server.state().journal.follow();
    t.check("HGETEX h FIELDS 2 a x", "[1, (nil)]");
    t.check("HTTL h FIELDS 1 a", "[-1]");
    t.check("HGETEX h EX 100 FIELDS 2 a x", "[1, (nil)]");
    t.check("HTTL h FIELDS 1 a", "[100]");
    t.check(&format!("HGETEX h EXAT {FAR} FIELDS 1 b"), "[2]");
    t.check("HGETEX h PERSIST FIELDS 2 a b", "[1, 2]");
    t.check("HTTL h FIELDS 2 a b", "[-1, -1]");
    t.check("HGETEX h PXAT 1 FIELDS 2 a b", "[1, 2]");
    t.check("EXISTS h", "0");
    let text = journal(&mut reader);
    assert!(text.contains(&format!("HPEXPIREAT $1 h $13 {FAR}000 $6 FIELDS $1 1 $1 b ")), "{text}");
    assert!(text.contains("HPERSIST $1 h $6 FIELDS $1 2 $1 a $1 b "), "{text}");
    assert!(text.contains("HDEL $1 h $1 a $1 b ") && !text.contains("HGETEX"), "{text}");
    t.check("HGETEX h EX -1 FIELDS 1 a", "-ERR invalid expire time, must be >= 0");
    t.check("HGETEX h EX x FIELDS 1 a", "-ERR value is not an integer or out of range");
    t.check("HGETEX h EX 1 PX 1 FIELDS 1 a", "-ERR Mandatory argument FIELDS...");
}

#[test]
fn hsetex_sets_fields_with_an_end() {
    let server = server();
    let mut t = transcript(&server);
    let mut reader = server.state().journal.follow();
    t.strict("HSETEX h EX 100 FIELDS 2 a 1 b 2", ":1");
    t.check("HTTL h FIELDS 2 a b", "[100, 100]");
    t.check("HSETEX h KEEPTTL FIELDS 1 a 5", "1");
    t.check("HTTL h FIELDS 1 a", "[100]");
    t.check("HSETEX h FIELDS 1 a 6", "1");
    t.check("HTTL h FIELDS 1 a", "[-1]");
    t.check("HSETEX h FNX FIELDS 2 a 7 c 7", "0");
    t.check("HSETEX h FXX FIELDS 2 a 7 c 7", "0");
    t.check("HSETEX h FXX PX 100000 FIELDS 2 a 7 b 7", "1");
    t.check("HSETEX h FNX FIELDS 1 c 7", "1");
    t.check("HMGET h a b c", "[7, 7, 7]");
    t.check("HSETEX h PXAT 1 FIELDS 3 a 1 b 2 c 3", "1");
    t.check("EXISTS h", "0");
    t.check("HSETEX h FXX FIELDS 1 a 1", "0");
    t.check("HSETEX h XX FIELDS 1 a 1", "0");
    t.check("HSETEX h NX FIELDS 1 a 1", "1");
    t.check("HSETEX h NX FIELDS 1 b 1", "0");
    t.check("HGETALL h", "[a, 1]");
    let text = journal(&mut reader);
    assert!(text.contains("HSETEX $1 h $4 PXAT $13 ") && !text.contains("$2 EX"), "{text}");
    assert!(text.contains("HSETEX $1 h $7 KEEPTTL $6 FIELDS $1 1 $1 a $1 5 "), "{text}");
    assert!(
        text.contains("HSET $1 h $1 a $1 6 ") && text.contains("HDEL $1 h $1 a $1 b $1 c "),
        "{text}"
    );
}

#[test]
fn hsetex_refuses_what_contradicts_itself() {
    let server = server();
    let mut t = transcript(&server);
    let arity = "-ERR wrong number of arguments for 'hsetex' command";
    t.check("HSETEX h FIELDS 1 a", arity);
    t.check("HSETEX h FIELDS 2 a 1", arity);
    t.check("HSETEX h FIELDS 1 a 1 b", arity);
    t.check("HSETEX h EX 10 FXX FXX2", "-ERR unknown argument: FXX2");
    t.check("HSETEX h EX 10 FXX NX", arity);
    t.check("HSETEX h FIELDS 0 a 1", "-ERR invalid number of fields");
    t.check("HSETEX h FIELDS x a 1", "-ERR invalid number of fields");
    t.check("HSETEX h SOON FIELDS 1 a 1", "-ERR unknown argument: SOON");
    let twice = "-ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified";
    t.check("HSETEX h EX 10 PX 10 FIELDS 1 a 1", twice);
    t.check("HSETEX h KEEPTTL EX 10 FIELDS 1 a 1", twice);
    t.check(
        "HSETEX h FXX FNX FIELDS 1 a 1",
        "-ERR Only one of FXX or FNX arguments can be specified",
    );
    t.check("HSETEX h EX -1 FIELDS 1 a 1", "-ERR invalid expire time, must be >= 0");
    t.check(
        "HSETEX h EX 9223372036854775807 FIELDS 1 a 1",
        "-ERR invalid expire time in 'hsetex' command",
    );
    t.check(
        "HSETEX h FXX FNX FXX FNX EX",
        "-ERR Only one of FXX or FNX arguments can be specified",
    );
    t.check(
        "HSETEX h FXX KEEPTTL FNX EX",
        "-ERR Only one of FXX or FNX arguments can be specified",
    );
    t.check("EXISTS h", "0");
}

#[test]
fn setting_drops_an_end_and_counting_keeps_it() {
    let server = server();
    let mut t = transcript(&server);
    t.check("HSETEX h EX 100 FIELDS 3 a 1 b 1 c 1", "1");
    let mut reader = server.state().journal.follow();
    t.check("HSET h a 2", "0");
    t.check("HINCRBY h b 2", "3");
    t.check("HINCRBYFLOAT h c 0.5", "1.5");
    t.check("HTTL h FIELDS 3 a b c", "[-1, 100, 100]");
    let text = journal(&mut reader);
    assert!(text.contains("HSETEX $1 h $7 KEEPTTL $6 FIELDS $1 1 $1 c $3 1.5 "), "{text}");
}

#[test]
fn what_has_ended_is_not_seen_even_before_it_is_removed() {
    for entries in ["0", "512"] {
        let server = Server::with(&[
            "--enable-debug-command",
            "yes",
            "--hash-max-listpack-entries",
            entries,
        ]);
        let mut t = transcript(&server);
        t.check("DEBUG SET-ACTIVE-EXPIRE 0", "OK");
        t.check("HSET h a 1 b 2 c 3", "3");
        t.check("HPEXPIRE h 1 FIELDS 2 a b", "[1, 1]");
        t.check("HSETEX gone PX 1 FIELDS 1 a 1", "1");
        until(&mut t, "HLEN h", "1");
        t.check("HMGET h a b c", "[(nil), (nil), 3]");
        t.check("HGETALL h", "[c, 3]");
        t.check("HRANDFIELD h -2", "[c, c]");
        t.check("HSCAN h 0", "[0, [c, 3]]");
        t.check("HDEL h a", "0");
        t.check("HSETNX h a 5", "1");
        t.check("HTTL h FIELDS 1 a", "[-1]");
        until(&mut t, "EXISTS gone", "0");
        t.check("TYPE gone", "none");
    }
}

#[test]
fn what_has_ended_is_removed_though_nobody_asks() {
    for entries in ["0", "512"] {
        let server = Server::with(&[
            "--enable-debug-command",
            "yes",
            "--hash-max-listpack-entries",
            entries,
        ]);
        let mut t = transcript(&server);
        let mut reader = server.state().journal.follow();
        t.check("HSET h a 1 b 2", "2");
        t.check("HPEXPIRE h 1 FIELDS 1 a", "[1]");
        t.check("HSETEX all PX 1 FIELDS 2 a 1 b 2", "1");
        until(&mut t, "DBSIZE", "1");
        t.check("HGETALL h", "[b, 2]");
        let info = t.run("INFO stats").to_string();
        assert!(info.contains("expired_subkeys:3"), "{info}");
        let text = journal(&mut reader);
        assert!(text.contains("HDEL $1 h $1 a ") && text.contains("HDEL $3 all "), "{text}");
    }
}

#[test]
fn many_fields_that_end_together_go_in_slices() {
    let server = server();
    let mut t = transcript(&server);
    t.check("DEBUG SET-ACTIVE-EXPIRE 0", "OK");
    for chunk in 0..50 {
        let pairs: Vec<String> = (0..200).map(|n| format!("f{chunk}:{n} v")).collect();
        t.check(&format!("HSETEX h PX 1 FIELDS 200 {}", pairs.join(" ")), "1");
    }
    t.check("HSET other a 1", "1");
    t.check("DEBUG SET-ACTIVE-EXPIRE 1", "OK");
    until(&mut t, "DBSIZE", "1");
}

#[test]
fn a_watch_sees_a_field_end() {
    let server = server();
    let mut t = transcript(&server);
    t.check("HSET h a 1 b 2", "2");
    t.check("HPEXPIRE h 30 FIELDS 1 a", "[1]");
    t.check("WATCH h", "OK");
    until(&mut Transcript::new(server.client()), "HLEN h", "1");
    t.check("MULTI", "OK");
    t.check("PING", "QUEUED");
    t.check("EXEC", "(nil)");
}

#[test]
fn ends_go_with_the_hash_wherever_it_goes() {
    let server = server();
    let mut t = transcript(&server);
    for entries in ["0", "512"] {
        t.check("FLUSHALL", "OK");
        t.check(&format!("CONFIG SET hash-max-listpack-entries {entries}"), "OK");
        t.check(&format!("HSETEX h EXAT {FAR} FIELDS 2 a 1 b 2"), "1");
        t.check("HSET h c 3", "1");
        t.check("COPY h copy", "1");
        t.check("RENAME h other", "OK");
        t.check("MOVE other 1", "1");
        t.check("HEXPIRETIME copy FIELDS 2 a c", &format!("[{FAR}, -1]"));
        t.check("SELECT 1", "OK");
        t.check("HEXPIRETIME other FIELDS 2 a c", &format!("[{FAR}, -1]"));
        t.check("HPEXPIRE other 1 FIELDS 2 a b", "[1, 1]");
        until(&mut t, "HLEN other", "1");
        t.check("SELECT 0", "OK");
        t.check("HLEN copy", "3");
        let info = t.run("INFO keyspace").to_string();
        assert!(info.contains("subexpiry=1"), "{info}");
        t.check("DEL copy", "1");
    }
}
