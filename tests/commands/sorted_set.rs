//! What the sorted set commands answer.

use std::time::{Duration, Instant};

use russet_testkit::{Client, Reply, Transcript};

use crate::{Server, server};

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

fn transcript(server: &Server) -> Transcript {
    Transcript::new(server.client())
}

/// Runs the same checks on a small set and on a large one.
fn in_both_forms(checks: impl Fn(&mut Transcript)) {
    for entries in ["128", "0"] {
        let server = Server::with(&["--zset-max-listpack-entries", entries]);
        checks(&mut transcript(&server));
    }
}

#[test]
fn zadd_adds_and_changes_scores() {
    in_both_forms(|t| {
        t.check("ZADD z 1 a 2 b 3 c", "3");
        t.check("ZADD z 1 a 5 b", "0");
        t.check("ZADD z CH 1 a 6 b 7 d", "2");
        t.check("ZRANGE z 0 -1 WITHSCORES", "[a, 1, c, 3, b, 6, d, 7]");
        t.check("ZCARD z", "4");
        t.check("ZSCORE z b", "6");
        t.check("ZSCORE z none", "(nil)");
        t.check("ZMSCORE z a none c", "[1, (nil), 3]");
        t.check("ZADD z 1", "-ERR wrong number of arguments for 'zadd' command");
        t.check("ZADD z 1 a 2", "-ERR syntax error");
        t.check("ZADD z x a", "-ERR value is not a valid float");
        t.check("ZADD z 9 e nan f", "-ERR value is not a valid float");
        t.check("ZSCORE z e", "(nil)");
    });
}

#[test]
fn zadd_heeds_its_conditions() {
    in_both_forms(|t| {
        t.check("ZADD z XX 1 a", "0");
        t.check("EXISTS z", "0");
        t.check("ZADD z 10 a", "1");
        t.check("ZADD z NX 11 a 1 b", "1");
        t.check("ZADD z XX CH 11 a 1 c", "1");
        t.check("ZADD z GT CH 10 a 5 b 3 d", "2");
        t.check("ZADD z LT CH 10 a 6 b", "1");
        t.check("ZRANGE z 0 -1 WITHSCORES", "[d, 3, b, 5, a, 10]");
        t.check("ZADD z NX XX 1 a", "-ERR XX and NX options at the same time are not compatible");
        let not_compatible = "-ERR GT, LT, and/or NX options at the same time are not compatible";
        t.check("ZADD z NX GT 1 a", not_compatible);
        t.check("ZADD z LT GT 1 a", not_compatible);
    });
}

#[test]
fn increments_answer_the_new_score() {
    in_both_forms(|t| {
        t.check("ZADD z INCR 1.5 a", "1.5");
        t.check("ZADD z XX INCR 1 b", "(nil)");
        t.check("ZADD z GT INCR -1 a", "(nil)");
        t.check("ZADD z INCR 1 a 1 b", "-ERR INCR option supports a single increment-element pair");
        t.check("ZINCRBY z 2.25 a", "3.75");
        t.check("ZINCRBY z inf a", "inf");
        t.check("ZINCRBY z -inf a", "-ERR resulting score is not a number (NaN)");
        t.check("ZSCORE z a", "inf");
        t.check("ZINCRBY z 1 new", "1");
    });
}

#[test]
fn ranks_are_told_from_both_ends() {
    in_both_forms(|t| {
        t.check("ZADD z 1 a 1 b 1.5 c", "3");
        t.check("ZRANK z c", "2");
        t.check("ZREVRANK z c", "0");
        t.check("ZRANK z b WITHSCORE", "[1, 1]");
        t.check("ZREVRANK z b WITHSCORE", "[1, 1]");
        t.strict("ZRANK z none", "$-1");
        t.strict("ZRANK z none WITHSCORE", "*-1");
        t.check("ZRANK z a WITHSCORES", "-ERR syntax error");
        t.check("ZRANK z a b c", "-ERR wrong number of arguments for 'zrank' command");
    });
}

#[test]
fn ranges_are_given_by_position_score_and_name() {
    in_both_forms(|t| {
        t.check("ZADD z 1 a 2 b 3 c 4 d 5 e", "5");
        t.check("ZRANGE z 1 -2", "[b, c, d]");
        t.check("ZRANGE z 3 99", "[d, e]");
        t.check("ZRANGE z 3 1", "[]");
        t.check("ZREVRANGE z 0 1 WITHSCORES", "[e, 5, d, 4]");
        t.check("ZRANGE z 0 1 REV", "[e, d]");
        t.check("ZRANGE z (1 3 BYSCORE", "[b, c]");
        t.check("ZRANGE z +inf (1 BYSCORE REV LIMIT 1 2", "[d, c]");
        t.check("ZRANGE z -inf inf BYSCORE LIMIT 2 -1", "[c, d, e]");
        t.check("ZRANGEBYSCORE z 2 (4 WITHSCORES", "[b, 2, c, 3]");
        t.check("ZREVRANGEBYSCORE z 4 2 LIMIT 0 2", "[d, c]");
        t.check("ZCOUNT z (1 (5", "3");
        t.check("ZCOUNT z x 5", "-ERR min or max is not a float");
        t.check(
            "ZRANGE z 0 1 LIMIT 1 2",
            "-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
        );
        t.check(
            "ZRANGE z - + BYLEX WITHSCORES",
            "-ERR syntax error, WITHSCORES not supported in combination with BYLEX",
        );
        t.check("ZADD l 0 a 0 b 0 c 0 d", "4");
        t.check("ZRANGE l [b + BYLEX", "[b, c, d]");
        t.check("ZRANGEBYLEX l - (c", "[a, b]");
        t.check("ZREVRANGEBYLEX l [c (a", "[c, b]");
        t.check("ZLEXCOUNT l (a +", "3");
        t.check("ZLEXCOUNT l a +", "-ERR min or max not valid string range item");
    });
}

#[test]
fn ranges_are_removed_and_stored() {
    in_both_forms(|t| {
        t.check("ZADD z 1 a 2 b 3 c 4 d 5 e 6 f", "6");
        t.check("ZREMRANGEBYRANK z 0 0", "1");
        t.check("ZREMRANGEBYSCORE z (5 inf", "1");
        t.check("ZRANGESTORE s z 0 1 REV", "2");
        t.check("ZRANGE s 0 -1 WITHSCORES", "[d, 4, e, 5]");
        t.check("ZRANGESTORE s z 9 9 BYSCORE", "0");
        t.check("EXISTS s", "0");
        t.check("ZREMRANGEBYRANK z 0 -1", "4");
        t.check("EXISTS z", "0");
        t.check("ZADD l 0 a 0 b 0 c", "3");
        t.check("ZREMRANGEBYLEX l [b +", "2");
        t.check("ZRANGE l 0 -1", "[a]");
        t.check("ZREM l a none", "1");
        t.check("EXISTS l", "0");
    });
}

#[test]
fn a_stored_range_keeps_the_sign_of_zero_where_redis_does() {
    let server = server();
    let mut t = Transcript::new(server.client());
    let long = "m".repeat(65);
    t.check(&format!("ZADD z -0 zero 1.5 {long} inf last"), "3");
    // What comes first is too long for the compact form, which knows no -0.
    t.check("ZRANGESTORE s z 1 2 REV", "2");
    t.check("ZRANGE s 0 -1 WITHSCORES", &format!("[zero, -0, {long}, 1.5]"));
    t.check("ZRANGESTORE s z 0 1", "2");
    t.check("ZRANGE s 0 -1 WITHSCORES", &format!("[zero, 0, {long}, 1.5]"));
    t.check("CONFIG SET zset-max-listpack-entries 1", "OK");
    t.check("ZRANGESTORE s z 0 1", "2");
    t.check("ZRANGE s 0 0 WITHSCORES", "[zero, -0]");
    t.check("ZRANGESTORE s z -inf 2 BYSCORE", "2");
    t.check("ZRANGE s 0 0 WITHSCORES", "[zero, 0]");
}

#[test]
fn members_are_taken_off_both_ends() {
    in_both_forms(|t| {
        t.check("ZADD z 1 a 2 b 3 c 4 d 5 e", "5");
        t.check("ZPOPMIN z", "[a, 1]");
        t.check("ZPOPMAX z 2", "[e, 5, d, 4]");
        t.check("ZPOPMIN z 0", "[]");
        t.check("ZPOPMIN z -1", "-ERR value is out of range, must be positive");
        t.check("ZMPOP 2 none z MAX", "[z, [[c, 3]]]");
        t.check("ZMPOP 1 z MIN COUNT 10", "[z, [[b, 2]]]");
        t.strict("ZMPOP 1 z MIN", "*-1");
        t.check("ZMPOP 0 z MIN", "-ERR numkeys should be greater than 0");
        t.check("ZMPOP 1 z MIN COUNT 0", "-ERR count should be greater than 0");
        t.check("ZMPOP 1 z UP", "-ERR syntax error");
        t.check("ZPOPMIN z", "[]");
    });
}

#[test]
fn replies_of_resp3_hold_doubles_and_pairs() {
    in_both_forms(|t| {
        t.run("HELLO 3");
        t.check("ZADD z 1 a 2.5 b", "2");
        t.strict("ZSCORE z b", ",2.5");
        t.strict("ZRANGE z 0 -1 WITHSCORES", "[[$a, ,1], [$b, ,2.5]]");
        t.strict("ZRANK z b WITHSCORE", "[:1, ,2.5]");
        t.strict("ZINCRBY z 1 a", ",2");
        t.strict("ZPOPMIN z", "[$a, ,2]");
        t.strict("ZPOPMIN z 1", "[[$b, ,2.5]]");
    });
}

#[test]
fn sets_are_joined_told_counted_and_stored() {
    in_both_forms(|t| {
        t.check("ZADD a 1 x 2 y 3 z", "3");
        t.check("ZADD b 10 y 20 z 30 w", "3");
        t.check("ZUNION 2 a b", "[x, y, z, w]");
        t.check("ZUNION 2 a b WITHSCORES", "[x, 1, y, 12, z, 23, w, 30]");
        t.check("ZINTER 2 a b WEIGHTS 2 1 AGGREGATE MAX WITHSCORES", "[y, 10, z, 20]");
        t.check("ZINTER 2 a b AGGREGATE COUNT WEIGHTS 2 1 WITHSCORES", "[y, 3, z, 3]");
        t.check("ZDIFF 2 a b WITHSCORES", "[x, 1]");
        t.check("ZINTERCARD 2 a b", "2");
        t.check("ZINTERCARD 2 a b LIMIT 1", "1");
        t.check("ZINTERCARD 2 a b LIMIT -1", "-ERR LIMIT can't be negative");
        t.check("ZUNIONSTORE a 2 a b AGGREGATE MIN", "4");
        t.check("ZRANGE a 0 -1 WITHSCORES", "[x, 1, y, 2, z, 3, w, 30]");
        t.check("ZINTERSTORE c 2 a none", "0");
        t.check("ZDIFFSTORE c 2 a b", "1");
        t.check("ZUNION 0 a", "-ERR at least 1 input key is needed for 'zunion' command");
        t.check("ZUNIONSTORE c x a", "-ERR value is not an integer or out of range");
        t.check("ZUNION 3 a b", "-ERR syntax error");
        t.check("ZUNION 1 a WEIGHTS x", "-ERR weight value is not a float");
        t.check("SADD plain x 7", "2");
        t.check("ZUNION 2 b plain WITHSCORES", "[7, 1, x, 1, y, 10, z, 20, w, 30]");
        t.check("ZINTER 2 plain a WITHSCORES", "[x, 2]");
        t.check("SET s v", "OK");
        t.check("ZUNION 2 a s", WRONG_TYPE);
    });
}

#[test]
fn members_at_random_are_different_unless_told_otherwise() {
    in_both_forms(|t| {
        t.check("ZRANDMEMBER none", "(nil)");
        t.check("ZRANDMEMBER none 5", "[]");
        t.check("ZADD z 1 a 2 b 3 c", "3");
        for _ in 0..20 {
            let Reply::Array(two) = t.run("ZRANDMEMBER z 2") else { panic!("an array") };
            assert_ne!(two[0], two[1]);
            let Reply::Array(many) = t.run("ZRANDMEMBER z -7") else { panic!("an array") };
            assert_eq!(many.len(), 7);
        }
        t.check("ZRANDMEMBER z 9 WITHSCORES", "[a, 1, b, 2, c, 3]");
        t.check(
            "ZRANDMEMBER z -9223372036854775808",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        );
        t.check("ZRANDMEMBER z -9223372036854775807 WITHSCORES", "-ERR value is out of range");
    });
}

#[test]
fn a_scan_shows_every_member_that_stays() {
    let server = server();
    let mut t = transcript(&server);
    t.check("ZSCAN none 0", "[0, []]");
    t.check("ZADD z 1 a 2.5 b", "2");
    t.check("ZSCAN z 0", "[0, [a, 1, b, 2.5]]");
    t.check("ZSCAN z 0 NOSCORES MATCH b*", "[0, [b]]");
    t.check("ZSCAN z x", "-ERR invalid cursor");
    t.check("ZSCAN z 0 COUNT 0", "-ERR syntax error");
    t.check("ZSCAN z 0 NOVALUES", "-ERR NOVALUES option can only be used in HSCAN");
    for n in 0..1000 {
        t.check(&format!("ZADD large {n} m{n}"), "1");
    }
    let (mut cursor, mut seen) = ("0".to_owned(), std::collections::BTreeSet::new());
    loop {
        let reply = t.run(&format!("ZSCAN large {cursor} COUNT 20 NOSCORES"));
        let Reply::Array(parts) = reply else { panic!("an array") };
        let Reply::Array(names) = &parts[1] else { panic!("an array of names") };
        seen.extend(names.iter().map(ToString::to_string));
        cursor = parts[0].to_string();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 1000);
}

#[test]
fn a_set_becomes_large_and_says_so() {
    let server = server();
    let mut t = transcript(&server);
    t.check("ZADD z 1 a", "1");
    t.check("OBJECT ENCODING z", "listpack");
    t.check(&format!("ZADD z 1 {}", "x".repeat(64)), "1");
    t.check("OBJECT ENCODING z", "listpack");
    t.check(&format!("ZADD z 1 {}", "x".repeat(65)), "1");
    t.check("OBJECT ENCODING z", "skiplist");
    for n in 0..128 {
        t.check(&format!("ZADD y {n} {n}"), "1");
    }
    t.check("OBJECT ENCODING y", "listpack");
    t.check("ZADD y 1 one-more", "1");
    t.check("OBJECT ENCODING y", "skiplist");
    t.check("SET s v", "OK");
    t.check("ZADD s 1 a", WRONG_TYPE);
    t.check("ZRANGE s 0 -1", WRONG_TYPE);
    t.check("ZPOPMIN s", WRONG_TYPE);
}

/// Sends a command and waits until the server has blocked its client.
fn block(server: &Server, command: &[&str]) -> Client {
    let mut client = server.client();
    let Reply::Int(id) = client.cmd(&["CLIENT", "ID"]) else { panic!("an id") };
    client.send(command).expect("the server reads");
    let until = Instant::now() + Duration::from_secs(5);
    let is_blocked = || {
        server.state().clients.get(id as u64).is_some_and(|client| client.blocked.lock().is_some())
    };
    while !is_blocked() {
        assert!(Instant::now() < until, "the client blocks");
        std::thread::sleep(Duration::from_millis(1));
    }
    client
}

#[test]
fn those_who_wait_for_members_are_served_in_the_order_they_came() {
    let server = server();
    let mut t = transcript(&server);
    let mut first = block(&server, &["BZPOPMIN", "none", "z", "0"]);
    let mut second = block(&server, &["BZPOPMAX", "z", "0"]);
    let mut third = block(&server, &["BZMPOP", "0", "1", "z", "MAX", "COUNT", "2"]);
    t.check("ZADD z 1 a 2 b 3 c 4 d 5 e", "5");
    assert_eq!(first.recv().expect("served").to_string(), "[z, a, 1]");
    assert_eq!(second.recv().expect("served").to_string(), "[z, e, 5]");
    assert_eq!(third.recv().expect("served").to_string(), "[z, [[d, 4], [c, 3]]]");
    t.check("ZRANGE z 0 -1", "[b]");
    t.check("BZPOPMIN none 0.01", "(nil)");
    t.check("BZMPOP 0.01 1 none MIN", "(nil)");
    t.check("BZPOPMIN z x", "-ERR timeout is not a float or out of range");
    t.check("BZPOPMIN z -1", "-ERR timeout is negative");
}

#[test]
fn an_offset_before_the_beginning_counts_from_the_end_of_a_large_set() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("ZADD z 1 a 2 b 3 c 4 d", "4");
    t.check("ZRANGEBYSCORE z -inf +inf LIMIT -2 5", "[]");
    t.check("CONFIG SET zset-max-listpack-entries 1", "OK");
    t.check("ZADD z 5 e", "1");
    t.check("OBJECT ENCODING z", "skiplist");
    t.check("ZRANGEBYSCORE z -inf +inf LIMIT -2 5", "[d, e]");
    t.check("ZRANGEBYSCORE z -inf +inf LIMIT -2 1", "[d]");
    t.check("ZREVRANGEBYSCORE z +inf -inf LIMIT -2 5", "[b, a]");
    t.check("ZRANGEBYSCORE z -inf +inf LIMIT -6 5", "[]");
}

#[test]
fn zeros_that_meet_in_a_union_have_the_sign_of_their_sum() {
    // A listpack has no zero below zero.
    for (entries, negative) in [("128", "0"), ("0", "-0")] {
        let server = Server::with(&["--zset-max-listpack-entries", entries]);
        let mut t = transcript(&server);
        t.check("ZADD a -0 x", "1");
        t.check("ZADD b 0 x", "1");
        t.check("ZSCORE a x", negative);
        t.check("ZUNION 2 a b WITHSCORES", "[x, 0]");
        t.check("ZUNION 2 a a WITHSCORES", &format!("[x, {negative}]"));
        t.check("ZINTER 2 a b WITHSCORES", "[x, 0]");
        t.check("ZUNIONSTORE c 2 a b", "1");
        t.check("ZSCORE c x", "0");
    }
}

#[test]
fn a_negative_count_asks_for_no_more_than_there_is_room_for() {
    let server = server();
    let mut t = transcript(&server);
    t.check("ZADD z 1 a", "1");
    t.check("ZRANDMEMBER z -3 WITHSCORES", "[a, 1, a, 1, a, 1]");
    t.check("ZRANDMEMBER none -16777217", "[]");
    t.check("MULTI", "OK");
    t.check("ZRANDMEMBER z -16777217", "QUEUED");
    t.check("EXEC", "[-ERR value is out of range]");
    assert!(t.client.try_cmd(&["ZRANDMEMBER", "z", "-9223372036854775807"]).is_err());
}

#[test]
fn a_sum_may_turn_the_sign_of_zero() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("CONFIG SET zset-max-listpack-entries 0", "OK");
    t.check("ZADD n -1 x", "1");
    t.check("ZADD m 1 x", "1");
    t.check("ZUNIONSTORE z 1 n WEIGHTS 0", "1");
    t.check("ZRANGE z 0 -1 WITHSCORES", "[x, -0]");
    t.check("ZUNIONSTORE z 2 n m WEIGHTS 0 0", "1");
    t.check("ZRANGE z 0 -1 WITHSCORES", "[x, 0]");
}

#[test]
fn zscan_prints_the_scores_of_large_sets_at_length() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("ZADD y 0.1 a", "1");
    t.check("ZSCAN y 0", "[0, [a, 0.1]]");
    t.check("CONFIG SET zset-max-listpack-entries 0", "OK");
    t.check("ZADD z 0.1 a 2 b", "2");
    t.check("ZSCAN z 0 MATCH a", "[0, [a, 0.10000000000000001]]");
    t.check("ZSCAN z 0 MATCH b", "[0, [b, 2]]");
}
