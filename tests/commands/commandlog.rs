//! SLOWLOG and COMMANDLOG.

use russet_testkit::{Reply, Transcript};

use crate::{Server, server};

fn transcript() -> (Server, Transcript) {
    let server = server();
    let transcript = Transcript::new(server.client());
    (server, transcript)
}

/// The words of the entries of a log, latest first.
fn words(t: &mut Transcript, command: &str) -> Vec<String> {
    let Reply::Array(entries) = t.run(command) else { panic!("{command} answers an array") };
    let words = |entry: &Reply| match entry {
        Reply::Array(fields) if fields.len() == 6 => fields[3].to_string(),
        other => panic!("no entry: {other}"),
    };
    entries.iter().map(words).collect()
}

#[test]
fn a_slow_command_is_written_down_with_who_sent_it() {
    let (_server, mut t) = transcript();
    t.check("CLIENT SETNAME me", "OK");
    t.check("CONFIG SET slowlog-log-slower-than 50000", "OK");
    t.check("PING", "PONG");
    t.strict("SLOWLOG LEN", ":0");
    t.check("DEBUG SLEEP 0.1", "OK");
    let Reply::Array(entries) = t.run("SLOWLOG GET") else { panic!("an array") };
    let Reply::Array(fields) = &entries[0] else { panic!("an entry") };
    assert_eq!((entries.len(), fields.len()), (1, 6));
    assert_eq!(fields[0], Reply::Int(0));
    assert!(matches!(fields[2], Reply::Int(100_000..1_000_000)), "{}", fields[2]);
    assert_eq!(fields[3].to_string(), "[DEBUG, SLEEP, 0.1]");
    assert!(fields[4].to_string().contains("127.0.0.1:"));
    assert_eq!(fields[5].to_string(), "me");
    t.strict("SLOWLOG RESET", "+OK");
    t.strict("SLOWLOG GET", "[]");
}

#[test]
fn with_a_threshold_of_zero_every_command_is_written_down_latest_first() {
    let (_server, mut t) = transcript();
    t.check("CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 3", "OK");
    t.check("SET k v", "OK");
    t.check("GET k", "v");
    t.check("INCR n", "1");
    assert_eq!(words(&mut t, "SLOWLOG GET"), ["[INCR, n]", "[GET, k]", "[SET, k, v]"]);
    assert_eq!(words(&mut t, "SLOWLOG GET 1"), ["[SLOWLOG, GET]"]);
    t.check("SLOWLOG GET 0", "[]");
    assert_eq!(words(&mut t, "SLOWLOG GET -1").len(), 3);
    t.check("SLOWLOG GET -2", "-ERR count should be greater than or equal to -1");
    t.check("SLOWLOG GET x", "-ERR count should be greater than or equal to -1");
    t.check("CONFIG SET slowlog-max-len 0", "OK");
    t.check("PING", "PONG");
    t.check("SLOWLOG LEN", "0");
}

#[test]
fn commands_of_a_pipeline_are_written_down_one_by_one() {
    let (_server, mut t) = transcript();
    t.check("CONFIG SET slowlog-log-slower-than 0", "OK");
    t.check("SLOWLOG RESET", "OK");
    for n in 0..40 {
        t.client.send(&["SET", &format!("k{n}"), "v"]).unwrap();
    }
    (0..40).for_each(|_| drop(t.client.recv().unwrap()));
    t.check("SLOWLOG LEN", "41");
}

#[test]
fn many_and_long_words_are_cut() {
    let (_server, mut t) = transcript();
    t.check("CONFIG SET slowlog-log-slower-than 0", "OK");
    let many: Vec<String> = (3..34).map(|n| n.to_string()).collect();
    t.check(&format!("SADD set {}", many.join(" ")), "31");
    let shown = words(&mut t, "SLOWLOG GET 1");
    assert!(shown[0].ends_with("30, 31, \"... (2 more arguments)\"]"), "{}", shown[0]);
    t.check(&format!("SADD set {}", "A".repeat(129)), "1");
    let shown = words(&mut t, "SLOWLOG GET 1");
    assert_eq!(shown[0], format!("[SADD, set, \"{}... (1 more bytes)\"]", "A".repeat(128)));
}

#[test]
fn secrets_are_left_out() {
    let (_server, mut t) = transcript();
    t.check("CONFIG SET slowlog-log-slower-than 0", "OK");
    let cases = [
        (
            "CONFIG SET requirepass \"\" timeout 0",
            "[CONFIG, SET, requirepass, (redacted), timeout, 0]",
        ),
        ("CONFIG SET PRIMARYAUTH \"\"", "[CONFIG, SET, PRIMARYAUTH, (redacted)]"),
        ("CONFIG SET masteruser \"\"", "[CONFIG, SET, masteruser, (redacted)]"),
        ("AUTH secret", "[AUTH, (redacted)]"),
        ("AUTH me secret", "[AUTH, (redacted), (redacted)]"),
        (
            "HELLO 2 AUTH default secret SETNAME x",
            "[HELLO, 2, AUTH, (redacted), (redacted), SETNAME, x]",
        ),
    ];
    for (command, shown) in cases {
        t.run(command);
        let logged = words(&mut t, "SLOWLOG GET 1").concat().replace('"', "");
        assert_eq!(logged, shown);
    }
}

#[test]
fn of_a_transaction_the_commands_are_written_down_and_not_exec() {
    let (_server, mut t) = transcript();
    t.check("CONFIG SET slowlog-log-slower-than 0", "OK");
    t.check("SLOWLOG RESET", "OK");
    t.check("MULTI", "OK");
    t.check("SET k v", "QUEUED");
    t.check("LRANGE none 0 -1", "QUEUED");
    t.check("EXEC", "[OK, []]");
    let shown = words(&mut t, "SLOWLOG GET");
    assert_eq!(shown, ["[LRANGE, none, 0, -1]", "[SET, k, v]", "[MULTI]", "[SLOWLOG, RESET]"]);
    t.check("CONFIG SET slowlog-log-slower-than 50000", "OK");
    t.check("SLOWLOG RESET", "OK");
    t.check("MULTI", "OK");
    t.check("SET k v", "QUEUED");
    t.check("DEBUG SLEEP 0.1", "QUEUED");
    t.check("EXEC", "[OK, OK]");
    assert_eq!(words(&mut t, "SLOWLOG GET"), ["[DEBUG, SLEEP, 0.1]"]);
}

#[test]
fn a_command_that_waits_is_written_down_when_it_is_answered_without_the_waiting() {
    let (server, mut t) = transcript();
    let mut waiter = Transcript::new(server.client());
    t.check("CONFIG SET slowlog-log-slower-than 0", "OK");
    waiter.client.send(&["BLPOP", "list", "0"]).unwrap();
    while !t.run("INFO clients").to_string().contains("blocked_clients:1") {
        std::thread::yield_now();
    }
    std::thread::sleep(std::time::Duration::from_millis(50));
    t.check("SLOWLOG RESET", "OK");
    t.check("PING", "PONG");
    assert_eq!(words(&mut t, "SLOWLOG GET"), ["[PING]", "[SLOWLOG, RESET]"]);
    t.check("LPUSH list x", "1");
    assert_eq!(waiter.client.recv().unwrap().to_string(), "[list, x]");
    let Reply::Array(entries) = t.run("SLOWLOG GET") else { panic!("an array") };
    let blpop = entries.iter().find_map(|entry| match entry {
        Reply::Array(fields) if fields[3].to_string() == "[BLPOP, list, 0]" => Some(&fields[2]),
        _ => None,
    });
    assert!(matches!(blpop, Some(Reply::Int(0..20_000))), "{blpop:?}");
}

#[test]
fn large_requests_and_replies_have_logs_of_their_own() {
    let (_server, mut t) = transcript();
    t.check("CONFIG SET commandlog-request-larger-than 1024", "OK");
    t.check("CONFIG SET commandlog-reply-larger-than 1024", "OK");
    t.check(&format!("SET k {}", "A".repeat(1024)), "OK");
    t.check("PING", "PONG");
    t.run("GET k");
    t.check("COMMANDLOG LEN large-request", "1");
    t.check("COMMANDLOG LEN large-reply", "1");
    t.check("COMMANDLOG LEN slow", "0");
    assert_eq!(words(&mut t, "COMMANDLOG GET -1 large-reply"), ["[GET, k]"]);
    let Reply::Array(entries) = t.run("COMMANDLOG GET 10 LARGE-REQUEST") else {
        panic!("an array")
    };
    let Reply::Array(fields) = &entries[0] else { panic!("an entry") };
    // *3, SET, k, and the value: as the client sent it.
    assert_eq!(fields[2], Reply::Int(4 + 9 + 7 + 1033));
    t.strict("COMMANDLOG RESET large-reply", "+OK");
    t.check("COMMANDLOG LEN large-reply", "0");
    t.check("COMMANDLOG LEN large-request", "1");
    let kinds = "-ERR type should be one of the following: slow, large-request, large-reply";
    t.check("COMMANDLOG LEN other", kinds);
    t.check("COMMANDLOG GET 1 other", kinds);
    t.check("COMMANDLOG GET -2 slow", "-ERR count should be greater than or equal to -1");
    t.check("COMMANDLOG GET", "-ERR wrong number of arguments for 'commandlog|get' command");
}

#[test]
fn a_large_reply_in_the_middle_of_a_pipeline_is_found() {
    let (_server, mut t) = transcript();
    t.check(&format!("SET big {}", "A".repeat(40_000)), "OK");
    t.check("CONFIG SET commandlog-reply-larger-than 30000", "OK");
    for n in 0..20 {
        let key = if n == 7 { "big".to_owned() } else { format!("k{n}") };
        t.client.send(&["GET", &key]).unwrap();
    }
    (0..20).for_each(|_| drop(t.client.recv().unwrap()));
    assert_eq!(words(&mut t, "COMMANDLOG GET -1 large-reply"), ["[GET, big]"]);
    let stats = t.run("INFO commandstats").to_string();
    assert!(stats.contains("cmdstat_get:calls=20,"), "{stats}");
}

#[test]
fn slowlog_and_commandlog_slow_are_one_log() {
    let (_server, mut t) = transcript();
    t.check("CONFIG SET commandlog-execution-slower-than 0", "OK");
    t.check("CONFIG GET slowlog-log-slower-than", "[slowlog-log-slower-than, 0]");
    t.check("PING", "PONG");
    assert_eq!(words(&mut t, "COMMANDLOG GET 1 slow").len(), 1);
    t.check("COMMANDLOG RESET slow", "OK");
    t.check("SLOWLOG LEN", "1");
}
