//! What the commands about channels answer, and what subscribers are sent.

use std::time::Duration;

use russet_testkit::{Client, Transcript};

use crate::{Server, server};

/// Receives one more reply or message.
#[track_caller]
fn receives(client: &mut Client, expected: &str) {
    let reply = client.push().expect("a message comes");
    assert_eq!(reply.to_string(), expected);
}

/// Nothing more comes.
#[track_caller]
fn receives_nothing(client: &mut Client) {
    let reply = client.recv_within(Duration::from_millis(50)).expect("the line is open");
    assert_eq!(reply, None);
}

fn subscriber(server: &Server, is_resp3: bool) -> Transcript {
    let mut client = server.client();
    if is_resp3 {
        client.hello3();
    }
    Transcript::new(client)
}

#[test]
fn messages_reach_subscribers_of_channels_and_patterns() {
    for (is_resp3, mark) in [(false, ""), (true, ">")] {
        let server = server();
        let mut publisher = Transcript::new(server.client());
        let mut t = subscriber(&server, is_resp3);
        t.check("SUBSCRIBE news", &format!("{mark}[subscribe, news, 1]"));
        t.check("PSUBSCRIBE n*s", &format!("{mark}[psubscribe, n*s, 2]"));
        t.check("SSUBSCRIBE news", &format!("{mark}[ssubscribe, news, 1]"));
        publisher.check("PUBLISH news hello", "2");
        receives(&mut t.client, &format!("{mark}[message, news, hello]"));
        receives(&mut t.client, &format!("{mark}[pmessage, n*s, news, hello]"));
        publisher.check("PUBLISH noses hello", "1");
        receives(&mut t.client, &format!("{mark}[pmessage, n*s, noses, hello]"));
        publisher.check("PUBLISH other hello", "0");
        publisher.check("SPUBLISH news sharded", "1");
        receives(&mut t.client, &format!("{mark}[smessage, news, sharded]"));
        publisher.check("SPUBLISH noses sharded", "0");
        receives_nothing(&mut t.client);
    }
}

#[test]
fn who_was_killed_is_no_receiver_any_more() {
    let server = server();
    let mut publisher = Transcript::new(server.client());
    for _ in 0..20 {
        let mut t = subscriber(&server, true);
        t.check("SUBSCRIBE news", ">[subscribe, news, 1]");
        publisher.check("CLIENT KILL TYPE pubsub", "1");
        publisher.check("PUBLISH news hello", "0");
    }
}

#[test]
fn every_name_is_confirmed_with_the_number_of_subscriptions() {
    let server = server();
    let mut t = subscriber(&server, true);
    t.check("SUBSCRIBE a b a", ">[subscribe, a, 1]");
    assert_eq!(t.client.recv().unwrap().to_string(), ">[subscribe, b, 2]");
    assert_eq!(t.client.recv().unwrap().to_string(), ">[subscribe, a, 2]");
    t.check("PSUBSCRIBE p*", ">[psubscribe, p*, 3]");
    t.check("SSUBSCRIBE s", ">[ssubscribe, s, 1]");
    t.check("UNSUBSCRIBE nosuch", ">[unsubscribe, nosuch, 3]");
    t.check("UNSUBSCRIBE", ">[unsubscribe, a, 2]");
    assert_eq!(t.client.recv().unwrap().to_string(), ">[unsubscribe, b, 1]");
    t.check("PUNSUBSCRIBE", ">[punsubscribe, p*, 0]");
    t.check("SUNSUBSCRIBE s", ">[sunsubscribe, s, 0]");
    t.check("UNSUBSCRIBE", ">[unsubscribe, (nil), 0]");
    t.check("PUNSUBSCRIBE", ">[punsubscribe, (nil), 0]");
    t.check("SUNSUBSCRIBE", ">[sunsubscribe, (nil), 0]");
    t.check("PUNSUBSCRIBE x", ">[punsubscribe, x, 0]");
    let mut plain = subscriber(&server, false);
    plain.strict("UNSUBSCRIBE", "[$unsubscribe, (nil), :0]");
}

#[test]
fn a_subscriber_that_speaks_resp2_may_do_little_else() {
    let server = server();
    let mut t = subscriber(&server, false);
    let refused = |name: &str| {
        format!(
            "-ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
        )
    };
    for subscribe in ["SUBSCRIBE a", "PSUBSCRIBE a", "SSUBSCRIBE a"] {
        t.run(subscribe);
        t.check("GET k", &refused("get"));
        t.check("get k", &refused("get"));
        t.check("CLIENT LIST", &refused("client|list"));
        t.check("HELLO 3", &refused("hello"));
        t.check("MULTI", &refused("multi"));
        t.check("GET", "-ERR wrong number of arguments for 'get' command");
        t.check("PING", "[pong, \"\"]");
        t.check("PING x", "[pong, x]");
        t.run(&subscribe.replace("SUBSCRIBE", "UNSUBSCRIBE"));
        t.check("PING", "PONG");
        t.check("GET k", "(nil)");
    }
    t.run("SUBSCRIBE a");
    t.check("QUIT", "OK");
}

#[test]
fn a_subscriber_that_speaks_resp3_may_do_everything() {
    let server = server();
    let mut t = subscriber(&server, true);
    t.check("SUBSCRIBE a", ">[subscribe, a, 1]");
    t.check("SET k v", "OK");
    t.check("PING", "PONG");
    t.check("PUBLISH a self", "1");
    receives(&mut t.client, ">[message, a, self]");
    t.run("HELLO 2");
    t.check("GET k", "-ERR Can't execute 'get'...");
}

#[test]
fn a_message_to_oneself_follows_the_reply_and_precedes_the_next() {
    let server = server();
    let mut client = server.client();
    client.hello3();
    client.cmd(&["SUBSCRIBE", "a"]);
    client.send_raw(b"PUBLISH a 1\r\nPING\r\nPUBLISH a 2\r\nPING\r\n").unwrap();
    let seen: Vec<String> = (0..6).map(|_| client.recv().unwrap().to_string()).collect();
    let expected = ["1", ">[message, a, 1]", "PONG", "1", ">[message, a, 2]", "PONG"];
    assert_eq!(seen, expected);
}

#[test]
fn in_a_transaction_messages_come_behind_all_replies() {
    let server = server();
    let mut t = subscriber(&server, true);
    t.check("SUBSCRIBE a b", ">[subscribe, a, 1]");
    t.client.recv().unwrap();
    for command in ["PING x", "PUBLISH a 1", "UNSUBSCRIBE b", "PUBLISH a 2", "SUBSCRIBE c"] {
        if command.starts_with("PING") {
            t.check("MULTI", "OK");
        }
        t.check(command, "QUEUED");
    }
    t.check("EXEC", "[x, 1, >[unsubscribe, b, 1], 1, >[subscribe, c, 2]]");
    receives(&mut t.client, ">[message, a, 1]");
    receives(&mut t.client, ">[message, a, 2]");
    t.check("MULTI", "OK");
    t.check("SSUBSCRIBE x", "QUEUED");
    t.check("EXEC", "[-ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client]");
    let mut plain = subscriber(&server, false);
    plain.check("MULTI", "OK");
    plain.check("SUBSCRIBE a", "QUEUED");
    plain.check("PING", "QUEUED");
    plain.check("EXEC", "[[subscribe, a, 1], [pong, \"\"]]");
    plain.check("GET k", "-ERR Can't execute 'get'...");
}

#[test]
fn reset_and_disconnection_end_subscriptions() {
    let server = server();
    let mut other = Transcript::new(server.client());
    let mut t = subscriber(&server, false);
    t.run("SUBSCRIBE a");
    t.run("PSUBSCRIBE p");
    t.run("SSUBSCRIBE s");
    other.check("PUBSUB CHANNELS", "[a]");
    t.check("RESET", "RESET");
    t.check("PING", "PONG");
    other.check("PUBSUB CHANNELS", "[]");
    other.check("PUBSUB NUMPAT", "0");
    other.check("PUBSUB SHARDCHANNELS", "[]");
    t.run("SUBSCRIBE a");
    drop(t);
    for _ in 0..100 {
        if other.run("PUBSUB CHANNELS").to_string() == "[]" {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the subscription outlives its client");
}

#[test]
fn client_reply_silences_replies_and_no_messages() {
    let server = server();
    let mut other = Transcript::new(server.client());
    for is_resp3 in [false, true] {
        let mut client = subscriber(&server, is_resp3).client;
        client.send(&["CLIENT", "REPLY", "OFF"]).unwrap();
        client.send(&["PING"]).unwrap();
        client.send(&["SUBSCRIBE", "a"]).unwrap();
        let confirmed = client.recv().unwrap().to_string();
        assert!(confirmed.ends_with("[subscribe, a, 1]"), "{confirmed}");
        other.check("PUBLISH a x", "1");
        let message = client.push().unwrap().to_string();
        assert!(message.ends_with("[message, a, x]"), "{message}");
        client.send(&["SUBSCRIBE"]).unwrap();
        client.send(&["PUBLISH", "a", "y"]).unwrap();
        client.send(&["UNSUBSCRIBE", "a"]).unwrap();
        if is_resp3 {
            assert_eq!(client.recv().unwrap().to_string(), ">[message, a, y]");
        }
        let confirmed = client.recv().unwrap().to_string();
        assert!(confirmed.ends_with("[unsubscribe, a, 0]"), "{confirmed}");
        client.send(&["CLIENT", "REPLY", "ON"]).unwrap();
        assert_eq!(client.recv().unwrap().to_string(), "OK");
    }
    let mut t = subscriber(&server, true);
    t.client.send_raw(b"CLIENT REPLY SKIP\r\nSUBSCRIBE a\r\nPING\r\n").unwrap();
    assert_eq!(t.client.recv().unwrap().to_string(), ">[subscribe, a, 1]");
    assert_eq!(t.client.recv().unwrap().to_string(), "PONG");
}

#[test]
fn pubsub_tells_who_listens_to_what() {
    let server = server();
    let mut other = Transcript::new(server.client());
    let (mut one, mut two) = (subscriber(&server, false), subscriber(&server, true));
    for t in [&mut one, &mut two] {
        t.run("SUBSCRIBE ab");
        t.run("PSUBSCRIBE x*");
        t.run("SSUBSCRIBE s");
    }
    two.run("SUBSCRIBE ac");
    two.run("PSUBSCRIBE y*");
    let mut names: Vec<String> =
        other.run("PUBSUB CHANNELS").items().unwrap().iter().map(ToString::to_string).collect();
    names.sort();
    assert_eq!(names, ["ab", "ac"]);
    other.check("PUBSUB CHANNELS *c", "[ac]");
    other.check("PUBSUB NUMPAT", "2");
    other.check("PUBSUB NUMSUB", "[]");
    other.check("PUBSUB NUMSUB ab ac ad", "[ab, 2, ac, 1, ad, 0]");
    other.check("PUBSUB SHARDCHANNELS", "[s]");
    other.check("PUBSUB SHARDCHANNELS x", "[]");
    other.check("PUBSUB SHARDNUMSUB s ab", "[s, 2, ab, 0]");
    other.check("PUBSUB NUMPAT x", "-ERR wrong number of arguments for 'pubsub|numpat' command");
    other.check("PUBSUB nosuch", "-ERR unknown subcommand 'nosuch'. Try PUBSUB HELP.");
    other.check(
        "PUBSUB CHANNELS a b",
        "-ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.",
    );
    other.check("COMMAND GETKEYS SPUBLISH c m", "-ERR The command has no key arguments");
    let info = other.run("INFO clients stats").to_string();
    for line in
        ["pubsub_clients:2", "pubsub_channels:2", "pubsub_patterns:2", "pubsubshard_channels:1"]
    {
        assert!(info.contains(line), "{line} of {info}");
    }
}

#[test]
fn client_list_and_kill_know_subscribers() {
    let server = server();
    let mut other = Transcript::new(server.client());
    let mut t = subscriber(&server, true);
    t.run("SUBSCRIBE a b");
    t.client.recv().unwrap();
    t.run("PSUBSCRIBE c");
    t.run("SSUBSCRIBE d");
    let line = t.run("CLIENT INFO").to_string();
    assert!(line.contains(" flags=P ") && line.contains(" sub=2 psub=1 ssub=1 "), "{line}");
    let list = |kind: &str, other: &mut Transcript| {
        other.run(&format!("CLIENT LIST TYPE {kind}")).to_string().matches("id=").count()
    };
    assert_eq!((list("pubsub", &mut other), list("normal", &mut other)), (1, 1));
    other.check("CLIENT KILL TYPE pubsub", "1");
    assert!(t.client.recv().is_err());
}

#[test]
fn large_messages_arrive_whole_and_in_order() {
    let server = server();
    let mut publisher = server.client();
    let (mut two, mut three) = (subscriber(&server, false), subscriber(&server, true));
    two.run("SUBSCRIBE a");
    three.run("SUBSCRIBE a");
    let message = |n: usize| (n as u8 % 26 + b'a') as char;
    let sizes = [1, 4_000, 4_096, 100_000, 3, 1 << 20, 10, 0, 70_000];
    for (n, size) in sizes.into_iter().enumerate() {
        let text = message(n).to_string().repeat(size);
        assert_eq!(publisher.cmd(&["PUBLISH", "a", &text]).int(), Some(2));
    }
    for client in [&mut two.client, &mut three.client] {
        for (n, size) in sizes.into_iter().enumerate() {
            let reply = client.push().unwrap();
            let text = reply.items().unwrap()[2].to_string();
            let expected = message(n).to_string().repeat(size);
            assert!(text.trim_matches('"') == expected, "message {n} of {size} bytes");
        }
    }
}

#[test]
fn empty_and_binary_names_are_names() {
    let server = server();
    let mut publisher = Transcript::new(server.client());
    let mut t = subscriber(&server, true);
    t.run(r#"SUBSCRIBE "" "\x00\r\n""#);
    t.client.recv().unwrap();
    publisher.check(r#"PUBLISH "" """#, "1");
    publisher.check(r#"PUBLISH "\x00\r\n" "\x00""#, "1");
    receives(&mut t.client, r#">[message, "", ""]"#);
    receives(&mut t.client, r#">[message, "\x00\r\n", "\x00"]"#);
}
