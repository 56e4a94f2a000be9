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
