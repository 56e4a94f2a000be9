//! What the list commands answer, and how those who wait are served.

use std::time::{Duration, Instant};

use russet_testkit::{Client, Reply, Transcript, check};

use crate::{Server, server};

fn transcript(server: &Server) -> Transcript {
    Transcript::new(server.client())
}

#[test]
fn lists_are_pushed_popped_and_ranged() {
    let server = server();
    let mut t = transcript(&server);
    t.check("RPUSH l a b c", "3");
    t.check("LPUSH l x y", "5");
    t.check("LRANGE l 0 -1", "[y, x, a, b, c]");
    t.check("LRANGE l 1 2", "[x, a]");
    t.check("LRANGE l 5 9", "[]");
    t.check("LRANGE l a 2", "-ERR value is not an integer or out of range");
    t.check("LLEN l", "5");
    t.check("LPOP l", "y");
    t.check("RPOP l 2", "[c, b]");
    t.check("LPOP l 0", "[]");
    t.check("LPOP l -1", "-ERR value is out of range, must be positive");
    t.check("LPOP l 10", "[x, a]");
    t.check("LLEN l", "0");
    t.strict("LPOP l", "(nil)");
    t.check("LPOP l 1", "(nil)");
    t.check("LPOP l 1 2", "-ERR wrong number of arguments for 'lpop' command");
    t.check("SET s v", "OK");
    t.check("LPUSH s a", "-WRONGTYPE Operation against a key holding the wrong kind of value");
    t.check("LLEN s", "-WRONGTYPE Operation against a key holding the wrong kind of value");
}

#[test]
fn lmove_moves_and_rotates() {
    let server = server();
    let mut t = transcript(&server);
    t.check("RPUSH a 1 2 3", "3");
    t.check("LMOVE a b LEFT RIGHT", "1");
    t.check("LMOVE a b RIGHT LEFT", "3");
    t.check("LRANGE b 0 -1", "[3, 1]");
    t.check("LMOVE b b LEFT RIGHT", "3");
    t.check("LRANGE b 0 -1", "[1, 3]");
    t.check("LMOVE none b LEFT RIGHT", "(nil)");
    t.check("LMOVE a b UP RIGHT", "-ERR syntax error");
    t.check("SET s v", "OK");
    t.check(
        "LMOVE a s LEFT LEFT",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    );
    t.check("LRANGE a 0 -1", "[2]");
}

#[test]
fn blocking_commands_answer_at_once_when_they_can() {
    let server = server();
    let mut t = transcript(&server);
    t.check("RPUSH l a b", "2");
    t.check("BLPOP none l 0", "[l, a]");
    t.check("BRPOP l 0", "[l, b]");
    t.check("BLPOP l 0.05", "(nil)");
    t.check("BLMOVE l m LEFT RIGHT 0.05", "(nil)");
    t.check("BLPOP l -1", "-ERR timeout is negative");
    t.check("BLPOP l x", "-ERR timeout is not a float or out of range");
    t.check("SET s v", "OK");
    t.check("BLPOP s 0", "-WRONGTYPE Operation against a key holding the wrong kind of value");
}

#[test]
fn a_timeout_beyond_the_end_of_time_is_out_of_range() {
    let server = server();
    let mut t = transcript(&server);
    t.check("SET s v", "OK");
    for timeout in ["0x7FFFFFFFFFFFFF", "1e300", "inf", "9223372036854775"] {
        for command in ["BLPOP", "BRPOP", "BZPOPMIN"] {
            t.check(&format!("{command} s {timeout}"), "-ERR timeout is out of range");
        }
    }
    t.check("BLPOP s nan", "-ERR timeout is not a float or out of range");
    t.check("BLPOP s -inf", "-ERR timeout is negative");
    t.check("RPUSH l a", "1");
    t.check("BLPOP l -0.0001", "[l, a]");
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
    while !is_blocked() && Instant::now() < until {
        std::thread::yield_now();
    }
    assert!(is_blocked(), "the client waits");
    client
}

fn expect(client: &mut Client, reply: &str) {
    let got = client.recv().expect("a reply");
    assert_eq!(got.to_string(), reply);
}

#[test]
fn those_who_wait_are_served_first_come_first_served() {
    let server = server();
    let mut first = block(&server, &["BLPOP", "l", "0"]);
    let mut second = block(&server, &["BLPOP", "other", "l", "0"]);
    let mut t = transcript(&server);
    t.check("RPUSH l a b c", "3");
    expect(&mut first, "[l, a]");
    expect(&mut second, "[l, b]");
    t.check("LRANGE l 0 -1", "[c]");
}

#[test]
fn a_chain_of_blmove_is_served_in_one_go() {
    let server = server();
    let mut last = block(&server, &["BLPOP", "c", "0"]);
    let mut middle = block(&server, &["BLMOVE", "b", "c", "LEFT", "LEFT", "0"]);
    let mut first = block(&server, &["BLMOVE", "a", "b", "LEFT", "LEFT", "0"]);
    check(&mut server.client(), "RPUSH a x", "1");
    expect(&mut first, "x");
    expect(&mut middle, "x");
    expect(&mut last, "[c, x]");
    check(&mut server.client(), "EXISTS a b c", "0");
}

#[test]
fn a_transaction_serves_at_its_end() {
    let server = server();
    let mut waiter = block(&server, &["BLPOP", "l", "0.2"]);
    let mut t = transcript(&server);
    t.check("MULTI", "OK");
    t.check("LPUSH l a", "QUEUED");
    t.check("DEL l", "QUEUED");
    t.check("EXEC", "[1, 1]");
    expect(&mut waiter, "(nil)");
    let mut waiter = block(&server, &["BLPOP", "l", "0"]);
    t.check("MULTI", "OK");
    t.check("LPUSH l a", "QUEUED");
    t.check("RPUSH l b", "QUEUED");
    t.check("EXEC", "[1, 2]");
    expect(&mut waiter, "[l, a]");
    t.check("LRANGE l 0 -1", "[b]");
}

#[test]
fn inside_a_transaction_nobody_waits() {
    let server = server();
    let mut t = transcript(&server);
    t.check("MULTI", "OK");
    t.check("BLPOP l 0", "QUEUED");
    t.check("BLMOVE l m LEFT LEFT 0", "QUEUED");
    t.check("EXEC", "[(nil), (nil)]");
}

#[test]
fn a_waiter_with_a_wrong_target_gets_the_error_and_the_element_stays() {
    let server = server();
    let mut t = transcript(&server);
    t.check("SET target v", "OK");
    let mut waiter = block(&server, &["BLMOVE", "l", "target", "LEFT", "LEFT", "0"]);
    t.check("RPUSH l a", "1");
    expect(&mut waiter, "-WRONGTYPE Operation against a key holding the wrong kind of value");
    t.check("LRANGE l 0 -1", "[a]");
}

#[test]
fn a_string_wakes_nobody() {
    let server = server();
    let mut waiter = block(&server, &["BLPOP", "l", "0"]);
    let mut t = transcript(&server);
    t.check("SET l v", "OK");
    t.check("DEL l", "1");
    t.check("RPUSH l a", "1");
    expect(&mut waiter, "[l, a]");
}

#[test]
fn an_element_is_not_lost_to_a_client_that_went_away() {
    let server = server();
    let gone = block(&server, &["BLPOP", "l", "0"]);
    drop(gone);
    let mut stays = block(&server, &["BLPOP", "l", "0"]);
    // The one that left may still be in line for a moment; the element must reach somebody who is there.
    std::thread::park_timeout(Duration::from_millis(50));
    check(&mut server.client(), "RPUSH l a", "1");
    expect(&mut stays, "[l, a]");
}

#[test]
fn what_is_sent_behind_a_blocking_command_runs_after_it() {
    let server = server();
    let mut waiter = block(&server, &["BLPOP", "l", "0"]);
    waiter.send(&["PING"]).unwrap();
    check(&mut server.client(), "RPUSH l a", "1");
    expect(&mut waiter, "[l, a]");
    expect(&mut waiter, "PONG");
}

#[test]
fn blocking_effects_reach_the_journal_as_what_they_did() {
    let server = server();
    let mut reader = server.state().journal.follow();
    let mut waiter = block(&server, &["BLMOVE", "a", "b", "LEFT", "RIGHT", "0"]);
    check(&mut server.client(), "RPUSH a x", "1");
    expect(&mut waiter, "x");
    let record = reader.read().unwrap().expect("one unit");
    let text = String::from_utf8_lossy(&record).replace("\r\n", " ");
    assert!(text.contains("MULTI") && text.contains("RPUSH $1 a $1 x"), "{text}");
    assert!(text.contains("LMOVE $1 a $1 b $4 LEFT $5 RIGHT") && text.ends_with("EXEC "), "{text}");
}

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

#[test]
fn elements_are_read_replaced_and_inserted_by_index_and_value() {
    let server = server();
    let mut t = transcript(&server);
    t.check("LPUSHX l a", "0");
    t.check("EXISTS l", "0");
    t.check("RPUSH l a b c", "3");
    t.check("RPUSHX l d", "4");
    t.check("LPUSHX l z y", "6");
    t.check("LINDEX l 0", "y");
    t.check("LINDEX l -1", "d");
    t.check("LINDEX l 6", "(nil)");
    t.check("LINDEX none x", "(nil)");
    t.check("LINDEX l x", "-ERR value is not an integer or out of range");
    t.check("LSET l -1 D", "OK");
    t.check("LSET l 6 D", "-ERR index out of range");
    t.check("LSET none x D", "-ERR no such key");
    t.check("LINSERT l before b long-element", "7");
    t.check("LINSERT l AFTER D e", "8");
    t.check("LINSERT l AFTER nothing e", "-1");
    t.check("LINSERT none AFTER a e", "0");
    t.check("LINSERT l BESIDE a e", "-ERR syntax error");
    t.check("LRANGE l 0 -1", "[y, z, a, long-element, b, c, D, e]");
    t.check("SET s v", "OK");
    for line in [
        "LSET s 0 a",
        "LINDEX s 0",
        "LINSERT s AFTER a b",
        "LPUSHX s a",
        "LTRIM s 0 1",
        "LREM s 0 a",
        "LPOS s a",
    ] {
        t.check(line, WRONG_TYPE);
    }
}

#[test]
fn elements_are_removed_and_trimmed() {
    let server = server();
    let mut t = transcript(&server);
    t.check("RPUSH l a b a c a b", "6");
    t.check("LREM l 1 a", "1");
    t.check("LREM l -1 b", "1");
    t.check("LRANGE l 0 -1", "[b, a, c, a]");
    t.check("LREM l 0 a", "2");
    t.check("LREM l 0 nothing", "0");
    t.check("LREM l -9223372036854775808 a", "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");
    t.check("LTRIM l 1 -1", "OK");
    t.check("LRANGE l 0 -1", "[c]");
    t.check("LTRIM l 5 1", "OK");
    t.check("EXISTS l", "0");
    t.check("LTRIM l 0 -1", "OK");
    t.check("RPUSH l a", "1");
    t.check("LREM l 5 a", "1");
    t.check("EXISTS l", "0");
}

#[test]
fn positions_are_found() {
    let server = server();
    let mut t = transcript(&server);
    t.check("RPUSH l a b c 1 2 3 c c", "8");
    t.check("LPOS l c", "2");
    t.check("LPOS l c RANK 2", "6");
    t.check("LPOS l c RANK -1", "7");
    t.check("LPOS l c RANK 4", "(nil)");
    t.check("LPOS l c COUNT 0", "[2, 6, 7]");
    t.check("LPOS l c COUNT 2 RANK -1", "[7, 6]");
    t.check("LPOS l c COUNT 0 MAXLEN 3", "[2]");
    t.check("LPOS l c MAXLEN 2", "(nil)");
    t.check("LPOS none c", "(nil)");
    t.check("LPOS none c COUNT 1", "[]");
    t.check("LPOS l c RANK 0", "-ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list");
    t.check("LPOS l c RANK -9223372036854775808", "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");
    t.check("LPOS l c COUNT -1", "-ERR COUNT can't be negative");
    t.check("LPOS l c COUNT x", "-ERR COUNT can't be negative");
    t.check("LPOS l c MAXLEN -1", "-ERR MAXLEN can't be negative");
    t.check("LPOS l c RANK", "-ERR syntax error");
}

#[test]
fn several_elements_are_popped_from_the_first_list_there_is() {
    let server = server();
    let mut t = transcript(&server);
    t.check("RPUSH l a b c d", "4");
    t.check("LMPOP 2 none l LEFT", "[l, [a]]");
    t.check("LMPOP 2 none l right count 2", "[l, [d, c]]");
    t.check("BLMPOP 0 1 l LEFT COUNT 9", "[l, [b]]");
    t.strict("LMPOP 1 l LEFT", "*-1");
    t.strict("BLMPOP 0.01 1 l LEFT", "*-1");
    for numkeys in ["0", "-1", "x"] {
        t.check(&format!("LMPOP {numkeys} l LEFT"), "-ERR numkeys should be greater than 0");
    }
    t.check("LMPOP 3 a b LEFT", "-ERR syntax error");
    t.check("LMPOP 1 a UP", "-ERR syntax error");
    t.check("LMPOP 1 a LEFT COUNT 0", "-ERR count should be greater than 0");
    t.check("LMPOP 1 a LEFT COUNT", "-ERR syntax error");
    t.check("LMPOP 1 a LEFT COUNT 1 COUNT 1", "-ERR syntax error");
    t.check("BLMPOP -1 1 a LEFT", "-ERR timeout is negative");
    t.check("SET s v", "OK");
    t.check("LMPOP 2 none s LEFT", WRONG_TYPE);
}

#[test]
fn many_elements_move_in_the_order_that_was_asked_for() {
    let server = server();
    let mut t = transcript(&server);
    let mut moved = |line: &str, expected: &str| {
        t.check("DEL s t", "(any)");
        t.check("RPUSH s 1 2 3 4", "4");
        t.check(&format!("LMOVEM s t {line}"), expected);
        if expected != "(nil)" {
            t.check("LRANGE t 0 -1", expected);
        }
    };
    moved("LEFT RIGHT", "[1]");
    moved("LEFT LEFT COUNT 3 OBO", "[3, 2, 1]");
    moved("LEFT LEFT COUNT 3 BULK", "[1, 2, 3]");
    moved("RIGHT RIGHT COUNT 3 OBO", "[4, 3, 2]");
    moved("RIGHT RIGHT COUNT 3 BULK", "[2, 3, 4]");
    moved("RIGHT LEFT COUNT 9 OBO", "[1, 2, 3, 4]");
    moved("LEFT RIGHT EXACTLY 4 BULK", "[1, 2, 3, 4]");
    moved("LEFT RIGHT EXACTLY 5 BULK", "(nil)");
    t.check("LMOVEM s s LEFT RIGHT COUNT 2 BULK", "[1, 2]");
    t.check("LRANGE s 0 -1", "[3, 4, 1, 2]");
    t.strict("LMOVEM none t LEFT LEFT", "*-1");
    t.check("LMOVEM s t LEFT LEFT COUNT 0 OBO", "-ERR count should be greater than 0");
    t.check("LMOVEM s t LEFT LEFT COUNT 1", "-ERR syntax error");
    t.check("LMOVEM s t LEFT LEFT COUNT 1 NOW", "-ERR syntax error");
    t.check("RPOPLPUSH s t", "2");
    t.check("RPOPLPUSH none t", "(nil)");
    t.check("BRPOPLPUSH s t 0", "1");
    t.strict("BRPOPLPUSH none t 0.01", "*-1");
    t.check("LRANGE t 0 -1", "[1, 2]");
}

#[test]
fn one_who_waits_for_many_is_served_when_there_are_enough() {
    let server = server();
    let mut t = transcript(&server);
    let mut waiter =
        block(&server, &["BLMOVEM", "s", "t", "LEFT", "RIGHT", "0", "EXACTLY", "3", "BULK"]);
    t.check("RPUSH s 1 2", "2");
    t.check("EXISTS t", "0");
    t.check("LINSERT s BEFORE 1 0", "3");
    assert_eq!(waiter.recv().unwrap().to_string(), "[0, 1, 2]");
    t.check("EXISTS s", "0");
    let mut waiter = block(&server, &["BLMPOP", "0", "2", "a", "b", "RIGHT", "COUNT", "2"]);
    t.check("RPUSH b 1 2 3", "3");
    assert_eq!(waiter.recv().unwrap().to_string(), "[b, [3, 2]]");
    t.check("LRANGE b 0 -1", "[1]");
}

#[test]
fn the_form_of_a_list_follows_its_size() {
    let server = server();
    let mut t = transcript(&server);
    t.check("CONFIG SET list-max-listpack-size 4", "OK");
    t.check("RPUSH l 1 2 3 4", "4");
    t.check("OBJECT ENCODING l", "listpack");
    t.check("LINSERT l BEFORE nothing 5", "-1");
    t.check("OBJECT ENCODING l", "quicklist");
    t.check("LPOP l", "1");
    t.check("OBJECT ENCODING l", "quicklist");
    t.check("LREM l 0 2", "1");
    t.check("OBJECT ENCODING l", "listpack");
    t.check("CONFIG SET list-max-listpack-size -2", "OK");
    let long = "x".repeat(9_000);
    t.check(&format!("LSET l 0 {long}"), "OK");
    t.check("OBJECT ENCODING l", "quicklist");
    t.check("COPY l m", "1");
    t.check("OBJECT ENCODING m", "quicklist");
    t.check("LSET l 0 short", "OK");
    t.check("OBJECT ENCODING l", "listpack");
}

#[test]
fn what_ended_while_a_transaction_slept_serves_nobody() {
    let server = server();
    let mut waiter = block(&server, &["BLPOP", "l", "0.5"]);
    let mut t = transcript(&server);
    t.check("DEBUG SET-ACTIVE-EXPIRE 0", "OK");
    t.check("MULTI", "OK");
    t.check("RPUSH l a", "QUEUED");
    t.check("PEXPIRE l 20", "QUEUED");
    t.check("DEBUG SLEEP 0.1", "QUEUED");
    t.check("LLEN l", "QUEUED");
    t.check("EXEC", "[1, 1, OK, 1]");
    expect(&mut waiter, "(nil)");
}

#[test]
fn a_count_that_is_no_number_is_not_positive() {
    let server = server();
    let mut t = transcript(&server);
    t.check("LPOP l word", "-ERR value is out of range, must be positive");
    t.check("RPOP l 9223372036854775808", "-ERR value is out of range, must be positive");
}

#[test]
fn a_timeout_beyond_all_numbers_is_out_of_range() {
    let server = server();
    let mut t = transcript(&server);
    t.check("BLPOP l 1e308", "-ERR timeout is out of range");
    t.check("BLMPOP 1e308 1 l LEFT", "-ERR timeout is out of range");
    t.check("BLPOP l nan", "-ERR timeout is not a float or out of range");
}

#[test]
fn a_move_that_waited_in_vain_gives_a_null_array_and_one_that_may_not_wait_a_null() {
    let server = server();
    let mut client = server.client();
    assert_eq!(
        client.cmd_frame(&["BLMOVE", "l", "m", "LEFT", "LEFT", "0.01"]).unwrap(),
        b"*-1\r\n"
    );
    assert_eq!(client.cmd_frame(&["BRPOPLPUSH", "l", "m", "0.01"]).unwrap(), b"*-1\r\n");
    client.cmd(&["MULTI"]);
    client.cmd(&["BRPOPLPUSH", "l", "m", "0.01"]);
    assert_eq!(client.cmd_frame(&["EXEC"]).unwrap(), b"*1\r\n$-1\r\n");
}
