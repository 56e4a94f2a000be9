//! What MONITOR shows, and what it does to whoever looks.

use std::time::{Duration, Instant};

use russet_testkit::{Client, Transcript};

use crate::{Server, server};

/// How long something may take that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

fn connect(server: &Server) -> Transcript {
    Transcript::new(server.client())
}

/// A connection that monitors.
fn monitor(server: &Server) -> Client {
    let mut client = server.client();
    assert_eq!(client.cmd(&["MONITOR"]).to_string(), "OK");
    client
}

/// The next line, without the time, and where it came from.
fn line(client: &mut Client) -> (String, String) {
    let line = client.recv().expect("a line");
    let line = String::from_utf8_lossy(line.bytes().expect("text")).into_owned();
    let (time, rest) = line.split_once(" [").expect("a time");
    let (seconds, micros) = time.split_once('.').expect("a fraction");
    assert!(seconds.parse::<u64>().is_ok_and(|seconds| seconds > 1_000_000_000), "{line}");
    assert!(micros.len() == 6 && micros.parse::<u32>().is_ok(), "{line}");
    let (from, words) = rest.split_once("] ").expect("words");
    (from.to_owned(), words.to_owned())
}

#[track_caller]
fn check_lines(client: &mut Client, lines: &[&str]) {
    for expected in lines {
        assert_eq!(line(client).1, *expected);
    }
}

#[track_caller]
fn assert_silent(client: &mut Client) {
    assert_eq!(client.recv_within(Duration::from_millis(50)).expect("no error"), None);
}

#[test]
fn a_line_tells_when_where_and_what() {
    let server = server();
    let mut t = connect(&server);
    let mut monitor = monitor(&server);
    t.check("SELECT 3", "OK");
    t.check(r#"SET "a b" "\x00\n\r\t\"\\\xff\a\b""#, "OK");
    t.check("GET nosuch", "(nil)");
    t.check("INCR \"a b\"", "-ERR value is not an integer or out of range");
    let from = format!("3 {}", t.client.local_addr().unwrap());
    assert_eq!(line(&mut monitor), (from.clone(), r#""SELECT" "3""#.to_owned()));
    let words = r#""SET" "a b" "\x00\n\r\t\"\\\xff\a\b""#.to_owned();
    assert_eq!(line(&mut monitor), (from, words));
    check_lines(&mut monitor, &[r#""GET" "nosuch""#, r#""INCR" "a b""#]);
}

#[test]
fn what_is_refused_or_for_operators_is_not_shown() {
    let server = server();
    let mut t = connect(&server);
    let mut monitor = monitor(&server);
    t.check("GET", "-ERR wrong number of arguments for 'get' command");
    t.check("NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: ");
    t.check("CONFIG SET maxmemory 0", "OK");
    t.check("CLIENT KILL ID 9999", "0");
    t.check("PING", "PONG");
    check_lines(&mut monitor, &["\"PING\""]);
    assert_silent(&mut monitor);
}

#[test]
fn passwords_are_not_shown() {
    let server = server();
    let mut t = connect(&server);
    let mut monitor = monitor(&server);
    t.run("AUTH secret");
    t.run("AUTH user secret");
    t.run("HELLO 2 AUTH user secret SETNAME me");
    check_lines(
        &mut monitor,
        &[
            r#""AUTH" "(redacted)""#,
            r#""AUTH" "(redacted)" "(redacted)""#,
            r#""HELLO" "2" "AUTH" "(redacted)" "(redacted)" "SETNAME" "me""#,
        ],
    );
}

#[test]
fn a_pattern_chooses_what_is_shown() {
    let server = server();
    let mut t = connect(&server);
    t.check("MONITOR MATCH", "-ERR syntax error");
    t.check("MONITOR user:*", "-ERR syntax error");
    t.check(&format!("MONITOR MATCH {}", "x".repeat(1025)), "-ERR syntax error");
    let [mut users, mut gets, mut secrets] = ["user:*", "[gs]et", "*secret*"].map(|pattern| {
        let mut client = server.client();
        assert_eq!(client.cmd(&["MONITOR", "MATCH", pattern]).to_string(), "OK");
        client
    });
    t.check("MSET other 1 user:1 2", "OK");
    t.check("GET other", "1");
    t.check("get USER:1", "(nil)");
    t.run("AUTH secret");
    t.check("EXISTS user:1 user:2", "1");
    check_lines(
        &mut users,
        &[r#""MSET" "other" "1" "user:1" "2""#, r#""EXISTS" "user:1" "user:2""#],
    );
    check_lines(&mut gets, &[r#""GET" "other""#, r#""get" "USER:1""#]);
    for client in [&mut users, &mut gets, &mut secrets] {
        assert_silent(client);
    }
}

#[test]
fn a_transaction_is_shown_when_it_runs_and_exec_last() {
    let server = server();
    let mut t = connect(&server);
    let mut monitor = monitor(&server);
    t.check("MULTI", "OK");
    t.check("SET k v", "QUEUED");
    t.check("INCR k", "QUEUED");
    t.run("EXEC");
    check_lines(&mut monitor, &["\"MULTI\"", r#""SET" "k" "v""#, r#""INCR" "k""#, "\"EXEC\""]);
    t.check("MULTI", "OK");
    t.run("NOSUCH");
    t.check("EXEC", "-EXECABORT Transaction discarded because of previous errors.");
    check_lines(&mut monitor, &["\"MULTI\"", "\"EXEC\""]);
    t.check("MULTI", "OK");
    t.check("MONITOR", "QUEUED");
    t.check("EXEC", "[-ERR MONITOR isn't allowed for DENY BLOCKING client]");
}

#[test]
fn who_waits_is_shown_once() {
    let server = server();
    let ((mut t, mut other), mut monitor) =
        ((connect(&server), connect(&server)), monitor(&server));
    other.client.send(&["BLPOP", "k", "0"]).unwrap();
    check_lines(&mut monitor, &[r#""BLPOP" "k" "0""#]);
    t.check("RPUSH k x", "1");
    assert_eq!(other.client.recv().unwrap().to_string(), "[k, x]");
    t.check("RPUSH k y", "1");
    check_lines(&mut monitor, &[r#""RPUSH" "k" "x""#, r#""RPUSH" "k" "y""#]);
}

#[test]
fn who_monitors_touches_no_data_until_reset() {
    let server = server();
    let mut t = connect(&server);
    let mut monitor = monitor(&server);
    let id = t.run("CLIENT ID").int().unwrap() + 1;
    check_lines(&mut monitor, &[r#""CLIENT" "ID""#]);
    let listed = t.run(&format!("CLIENT LIST ID {id}")).to_string();
    assert!(listed.contains(" flags=O "), "{listed}");
    for refused in ["GET k", "SET k v"] {
        let words: Vec<&str> = refused.split(' ').collect();
        assert_eq!(
            monitor.cmd(&words).to_string(),
            "-ERR Replica can't interact with the keyspace"
        );
    }
    monitor.send(&["PING"]).unwrap();
    assert_eq!(monitor.recv().unwrap().to_string(), "PONG");
    check_lines(&mut monitor, &["\"PING\""]);
    // Who monitors already is not answered.
    monitor.send(&["MONITOR"]).unwrap();
    assert_silent(&mut monitor);
    assert_eq!(monitor.cmd(&["RESET"]).to_string(), "RESET");
    t.check("SET k v", "OK");
    assert_silent(&mut monitor);
    assert_eq!(monitor.cmd(&["GET", "k"]).to_string(), "v");
}

#[test]
fn lines_come_in_the_order_in_which_a_key_changed() {
    let server = server();
    let mut monitor = monitor(&server);
    let work = |name: u32| {
        let mut client = server.client();
        for n in 0..500 {
            client.cmd(&["RPUSH".to_owned(), "k".to_owned(), format!("{name}:{n}")]);
        }
    };
    std::thread::scope(|scope| (0..3).for_each(|name| drop(scope.spawn(move || work(name)))));
    let list = server.client().cmd(&["LRANGE", "k", "0", "-1"]).to_string().replace('"', "");
    let shown: Vec<String> = (0..1500)
        .map(|_| line(&mut monitor).1.rsplit(' ').next().unwrap().trim_matches('"').to_owned())
        .collect();
    assert_eq!(list, format!("[{}]", shown.join(", ")));
}

#[test]
fn what_has_asked_for_room_is_shown_once() {
    let server = server();
    let mut t = connect(&server);
    // Far from what this process takes with all its servers: whoever adds a megabyte asks all the same.
    t.check("CONFIG SET maxmemory-policy allkeys-random maxmemory 100gb", "OK");
    let mut monitor = monitor(&server);
    t.check("SETRANGE k 3000000 x", "3000001");
    t.check("STRLEN k", "3000001");
    check_lines(&mut monitor, &[r#""SETRANGE" "k" "3000000" "x""#, r#""STRLEN" "k""#]);
}

/// Asks until the answer is this.
fn ask_until(client: &mut Client, words: &[&str], answer: &str) {
    let until = Instant::now() + PATIENCE;
    while !client.cmd(words).to_string().contains(answer) {
        assert!(Instant::now() < until, "{words:?} is not {answer}");
    }
}

/// Sends PING with a word that is seen in MONITOR's line.
fn tell(client: &mut Client, word: &str) {
    client.cmd(&["PING", word]);
}

/// Sends what is answered later.
fn begin(client: &mut Client, words: &[&str]) {
    client.send(words).expect("the server reads");
}

/// What comes next.
fn hear(client: &mut Client) -> String {
    client.recv().expect("the server answers").to_string()
}

/// Three clients, of which each acts when it knows of what the one before has done; what MONITOR shows of them, without who only asked.
fn round_of_three(
    monitor: &mut Client,
    (asker, waiter): (&mut Client, &mut Client),
    nth: u32,
) -> Vec<String> {
    let (key, element) = (format!("k{nth}"), nth.to_string());
    begin(waiter, &["BLPOP", &key, "0"]);
    ask_until(asker, &["INFO", "clients"], "blocked_clients:1");
    tell(asker, "saw who waits");
    asker.cmd(&["RPUSH", &key, &element]);
    assert!(hear(waiter).contains(&element));
    tell(waiter, "was served");
    begin(waiter, &["SUBSCRIBE", &key]);
    ask_until(asker, &["PUBSUB", "NUMSUB", &key], "1]");
    tell(asker, "saw who listens");
    hear(waiter);
    begin(asker, &["PUBLISH", &key, &element]);
    hear(waiter);
    tell(waiter, "has heard");
    hear(asker);
    begin(waiter, &["UNSUBSCRIBE", &key]);
    ask_until(asker, &["PUBSUB", "NUMSUB", &key], "0]");
    tell(asker, "over");
    hear(waiter);
    let mut lines = Vec::new();
    while lines.last().is_none_or(|last: &String| !last.contains("over")) {
        let words = line(monitor).1;
        if !words.contains("INFO") && !words.contains("NUMSUB") {
            lines.push(words);
        }
    }
    lines
}

#[test]
fn a_line_stands_before_those_of_whoever_knew_of_it() {
    let server = Server::with(&["--io-threads", "2"]);
    let mut monitor = monitor(&server);
    // Whoever connects goes to the thread with fewer clients: the two are on different threads.
    let (mut asker, mut waiter) = (server.client(), server.client());
    for nth in 0..rounds() {
        let lines = round_of_three(&mut monitor, (&mut asker, &mut waiter), nth);
        let (key, element) = (format!("\"k{nth}\""), format!("\"{nth}\""));
        let expected = [
            format!("\"BLPOP\" {key} \"0\""),
            "\"PING\" \"saw who waits\"".to_owned(),
            format!("\"RPUSH\" {key} {element}"),
            "\"PING\" \"was served\"".to_owned(),
            format!("\"SUBSCRIBE\" {key}"),
            "\"PING\" \"saw who listens\"".to_owned(),
            format!("\"PUBLISH\" {key} {element}"),
            "\"PING\" \"has heard\"".to_owned(),
            format!("\"UNSUBSCRIBE\" {key}"),
            "\"PING\" \"over\"".to_owned(),
        ];
        assert_eq!(lines, expected, "round {nth}");
    }
}

/// How often what may go wrong between two threads is tried.
fn rounds() -> u32 {
    let asked = std::env::var("RUSSET_MONITOR_ROUNDS").ok();
    asked.and_then(|rounds| rounds.parse().ok()).unwrap_or(200)
}

#[test]
fn a_script_comes_before_its_commands_which_are_of_lua() {
    let server = server();
    let mut t = connect(&server);
    t.check("FUNCTION LOAD \"#!lua name=l\\nredis.register_function('f', function() return redis.call('get', 'b') end)\"", "l");
    let mut monitor = monitor(&server);
    let from = format!("0 {}", t.client.local_addr().unwrap());
    // The first run is on a worker, the second where the request arrived; a transaction runs both there.
    for _ in 0..2 {
        t.check("EVAL \"return redis.call('set', KEYS[1], 'x')\" 1 a", "OK");
        assert_eq!(line(&mut monitor).0, from);
        assert_eq!(line(&mut monitor), ("0 lua".to_owned(), r#""set" "a" "x""#.to_owned()));
        t.check("FCALL f 1 b", "(nil)");
        assert_eq!(line(&mut monitor), (from.clone(), r#""FCALL" "f" "1" "b""#.to_owned()));
        assert_eq!(line(&mut monitor), ("0 lua".to_owned(), r#""get" "b""#.to_owned()));
    }
    // Keys that are not declared: it begins anew, under all shards.
    t.check("EVAL \"return redis.call('get', 'b')\" 0", "(nil)");
    check_lines(&mut monitor, &[r#""EVAL" "return redis.call('get', 'b')" "0""#, r#""get" "b""#]);
    t.check(
        "EVAL nonsense 0",
        "-ERR Error compiling script (new function): user_script:1: '=' expected near '<eof>'",
    );
    check_lines(&mut monitor, &[r#""EVAL" "nonsense" "0""#]);
    t.check("MULTI", "OK");
    t.check("FCALL f 1 b", "QUEUED");
    t.check("EXEC", "[(nil)]");
    check_lines(
        &mut monitor,
        &[r#""MULTI""#, r#""FCALL" "f" "1" "b""#, r#""get" "b""#, r#""EXEC""#],
    );
    assert_silent(&mut monitor);
}
