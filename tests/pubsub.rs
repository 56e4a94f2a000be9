//! Subscribers under strain: many of them, killed at random, slow ones, and those that come and go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use russet_testkit::client::is_closed;
use russet_testkit::{Client, Random, Reply, Setup, Transcript};

use crate::{Server, server};

/// Channels of the strain: some subscribers listen to one, some by pattern to all.
const CHANNELS: u64 = 4;

/// How long one strain lasts: longer if the environment says so.
fn strain() -> Duration {
    let seconds = std::env::var("RUSSET_STRESS_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(2))
}

/// What a message says: who published it, and its number among theirs; the channel has it, too.
fn parse(reply: &Reply) -> Option<(String, u64, u64)> {
    let words: Vec<String> = reply.items()?.iter().map(ToString::to_string).collect();
    let (channel, text) = match words.first()?.as_str() {
        "message" | "smessage" => (&words[1], &words[2]),
        "pmessage" => (&words[2], &words[3]),
        _ => return None,
    };
    let (publisher, number) = text.split_once('.')?;
    Some((channel.clone(), publisher.parse().ok()?, number.parse().ok()?))
}

/// What one subscriber has seen: for each channel the messages in their order.
type Seen = BTreeMap<String, Vec<(u64, u64)>>;

/// Listens until the connection ends or a message says `end.0`.
fn listen(mut client: Client) -> Seen {
    let mut seen = Seen::new();
    loop {
        let reply = match client.push() {
            Ok(reply) => reply,
            Err(error) => {
                assert!(is_closed(&error), "a subscriber hears nothing: {error}");
                return seen;
            }
        };
        match parse(&reply) {
            Some((channel, publisher, number)) => {
                seen.entry(channel).or_default().push((publisher, number));
            }
            None if reply.to_string().contains("the end") => return seen,
            None => {}
        }
    }
}

/// A subscriber on a thread of its own; its client's id, and what it has seen in the end.
struct Subscriber {
    id: i64,
    is_pattern: bool,
    channel: u64,
    seen: JoinHandle<Seen>,
}

impl Subscriber {
    fn new(server: &Server, nth: u64) -> Self {
        let mut client = server.client();
        if nth.is_multiple_of(2) {
            client.hello3();
        }
        let id = client.cmd(&["CLIENT", "ID"]).int().expect("it is there");
        let (is_pattern, channel) = (nth.is_multiple_of(5), nth % CHANNELS);
        if is_pattern {
            client.cmd(&["PSUBSCRIBE", "c*"]);
        } else {
            client.cmd(&["SUBSCRIBE", &format!("c{channel}"), "end"]);
            client.recv().expect("no error");
        }
        Self { id, is_pattern, channel, seen: spawn(move || listen(client)) }
    }
}

/// Publishes on random channels until told to stop. Answers how much on each.
fn publish(mut client: Client, publisher: u64, is_over: &AtomicBool) -> BTreeMap<u64, u64> {
    let mut random = Random::new(publisher);
    let mut numbers = BTreeMap::<u64, u64>::new();
    while !is_over.load(Ordering::Relaxed) {
        let batch: Vec<u64> = (0..=random.below(8)).map(|_| random.below(CHANNELS)).collect();
        for channel in &batch {
            let number = numbers.entry(*channel).or_default();
            let (channel, text) = (format!("c{channel}"), format!("{publisher}.{number}"));
            client.send(&["PUBLISH", &channel, &text]).expect("no error");
            *number += 1;
        }
        batch.iter().for_each(|_| drop(client.recv().expect("no error")));
        std::thread::sleep(Duration::from_micros(random.below(2_000)));
    }
    numbers
}

/// That a subscriber which was there all the time has seen each message of each publisher, in order.
fn check_whole(seen: &Seen, channel: u64, published: &[BTreeMap<u64, u64>]) {
    let messages = seen.get(&format!("c{channel}")).map_or(&[][..], Vec::as_slice);
    for (publisher, numbers) in published.iter().enumerate() {
        let of_publisher =
            messages.iter().filter(|(who, _)| *who == publisher as u64).map(|(_, number)| *number);
        let expected = 0..numbers.get(&channel).copied().unwrap_or(0);
        assert!(of_publisher.eq(expected), "messages of {publisher} on {channel} are lost");
    }
}

/// 200 subscribers, 20 publishers; subscribers are killed and others come. Those that stay lose nothing, and agree on the order.
#[test]
fn subscribers_that_stay_lose_nothing_and_agree_on_the_order() {
    let server = server();
    let subscribers: Vec<Subscriber> = (0..200).map(|nth| Subscriber::new(&server, nth)).collect();
    let (is_over, mut random) = (Arc::new(AtomicBool::new(false)), Random::new(7));
    let publishers: Vec<_> = (0..20)
        .map(|nth| {
            let (client, is_over) = (server.client(), Arc::clone(&is_over));
            spawn(move || publish(client, nth, &is_over))
        })
        .collect();
    let (mut killer, mut killed) = (server.client(), Vec::new());
    let until = Instant::now() + strain();
    let mut passers = Vec::new();
    while Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
        let nth = random.below(200) as usize;
        if nth.is_multiple_of(3) && !killed.contains(&nth) {
            let id = subscribers[nth].id.to_string();
            assert_eq!(killer.cmd(&["CLIENT", "KILL", "ID", &id]).int(), Some(1));
            killed.push(nth);
            passers.push(Subscriber::new(&server, random.below(200)));
        }
    }
    is_over.store(true, Ordering::Relaxed);
    let published: Vec<_> =
        publishers.into_iter().map(|thread| thread.join().expect("no panic")).collect();
    killer.cmd(&["PUBLISH", "end", "the end"]);
    killer.cmd(&["PUBLISH", "c-end", "the end"]);
    let mut orders = BTreeMap::<String, Vec<(u64, u64)>>::new();
    for (nth, subscriber) in subscribers.into_iter().enumerate() {
        let seen = subscriber.seen.join().expect("no panic");
        if killed.contains(&nth) {
            continue;
        }
        let channels = if subscriber.is_pattern {
            0..CHANNELS
        } else {
            subscriber.channel..subscriber.channel + 1
        };
        channels.for_each(|channel| check_whole(&seen, channel, &published));
        for (channel, messages) in seen {
            let order = orders.entry(channel).or_insert_with(|| messages.clone());
            assert!(*order == messages, "subscriber {nth} saw another order");
        }
    }
    assert!(!killed.is_empty() && orders.len() as u64 == CHANNELS);
    passers.into_iter().for_each(|passer| drop(passer.seen.join().expect("no panic")));
    let mut t = Transcript::new(killer);
    for _ in 0..100 {
        if t.run("PUBSUB CHANNELS").to_string() == "[]" {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    t.check("PUBSUB CHANNELS", "[]");
    t.check("PUBSUB NUMPAT", "0");
}

/// Subscribing and ending it at random beside publishers: what comes between the confirmations is all that was published between them.
#[test]
fn messages_come_between_their_subscriptions_confirmations_and_nowhere_else() {
    let server = server();
    let is_over = Arc::new(AtomicBool::new(false));
    let publishers: Vec<_> = (0..3)
        .map(|nth| {
            let (client, is_over) = (server.client(), Arc::clone(&is_over));
            spawn(move || publish(client, nth, &is_over))
        })
        .collect();
    let mut client = server.client();
    client.hello3();
    let (mut random, mut is_subscribed) = (Random::new(3), [false; CHANNELS as usize]);
    let mut last = BTreeMap::<(String, u64), u64>::new();
    let until = Instant::now() + strain();
    while Instant::now() < until {
        let channel = random.below(CHANNELS) as usize;
        let name = format!("c{channel}");
        let word = if is_subscribed[channel] { "UNSUBSCRIBE" } else { "SUBSCRIBE" };
        client.send(&[word, &name]).unwrap();
        loop {
            let reply = client.recv().unwrap();
            let Some((from, publisher, number)) = parse(&reply) else { break };
            let nth: usize = from[1..].parse().unwrap();
            assert!(is_subscribed[nth], "a message of {from}, to which nobody is subscribed");
            let key = (from, publisher);
            if let Some(before) = last.insert(key.clone(), number) {
                assert_eq!(number, before + 1, "a message of {key:?} is lost");
            }
        }
        is_subscribed[channel] = !is_subscribed[channel];
        last.retain(|(from, _), _| *from != name);
        std::thread::sleep(Duration::from_micros(random.below(3_000)));
    }
    is_over.store(true, Ordering::Relaxed);
    publishers.into_iter().for_each(|thread| drop(thread.join().expect("no panic")));
}

/// How many clients have been cut at their output limit.
fn cuts(t: &mut Transcript) -> u64 {
    let info = t.run("INFO stats").to_string();
    let (_, rest) =
        info.split_once("client_output_buffer_limit_disconnections:").expect("it is there");
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("no error")
}

/// The line of CLIENT LIST that belongs to a client of this name.
fn line_of(t: &mut Transcript, name: &str) -> Option<String> {
    let list = t.run("CLIENT LIST").to_string();
    list.split("id=").find(|line| line.contains(&format!("name={name} "))).map(str::to_owned)
}

/// The number behind a word of such a line.
fn number(line: &str, word: &str) -> u64 {
    let (_, rest) = line.split_once(&format!(" {word}=")).expect("it is there");
    rest.split(' ').next().expect("no error").parse().expect("no error")
}

#[test]
fn res_7_a_subscriber_that_does_not_read_is_cut_at_the_hard_limit_and_slows_nobody() {
    let server = server();
    let mut t = Transcript::new(server.client());
    let (mut slow, mut quick) = (server.client(), server.client());
    slow.cmd(&["CLIENT", "SETNAME", "slow"]);
    slow.cmd(&["SUBSCRIBE", "c"]);
    quick.cmd(&["SUBSCRIBE", "c"]);
    let seen = spawn(move || listen(quick));
    let (before, text) = (cuts(&mut t), "x".repeat(100_000));
    let mut waited = 0;
    for sent in 1..=2_000 {
        let receivers = t.client.cmd(&["PUBLISH", "c", &text]).int().unwrap();
        if receivers == 1 || line_of(&mut t, "slow").is_none() {
            // 32 MB by default, and what the sockets hold.
            assert!((320..640).contains(&sent), "cut after {sent} messages");
            break;
        }
        waited = waited.max(line_of(&mut t, "slow").map_or(0, |line| number(&line, "omem")));
    }
    assert!(waited > 30 << 20, "{waited} bytes waited at most");
    // Who publishes marks it as cut; it is counted by its own thread.
    let until = Instant::now() + Duration::from_secs(2);
    while cuts(&mut t) == before && Instant::now() < until {}
    assert_eq!(cuts(&mut t), before + 1);
    t.run("PUBLISH c \"the end\"");
    assert!(seen.join().is_ok());
}

#[test]
fn res_7_a_subscriber_that_reads_too_slowly_is_cut_after_a_while() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("CONFIG SET client-output-buffer-limit \"pubsub 0 100000 1\"", "OK");
    let mut slow = server.client();
    slow.cmd(&["CLIENT", "SETNAME", "slow"]);
    slow.cmd(&["SUBSCRIBE", "c"]);
    let text = "x".repeat(10_000);
    let is_behind = |t: &mut Transcript| {
        let line = line_of(t, "slow").expect("the soft limit is not the hard one");
        number(&line, "omem") >= 200_000
    };
    let mut reached = Instant::now();
    // A thread that is late has much to send, too, to a client that would take it.
    while !is_behind(&mut t) || Instant::now() < reached + Duration::from_millis(50) {
        if !is_behind(&mut t) {
            t.client.cmd(&["PUBLISH", "c", &text]);
            reached = Instant::now();
        }
    }
    while line_of(&mut t, "slow").is_some() {
        assert!(reached.elapsed() < Duration::from_secs(5), "nobody cuts it");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(reached.elapsed() > Duration::from_millis(900));
    assert_eq!(cuts(&mut t), 1);
}

/// A large message costs its bytes once, however many slow readers wait for it. In a process of its own, to be weighed.
#[test]
fn res_6_a_large_message_to_many_slow_subscribers_is_kept_once() {
    const SUBSCRIBERS: usize = 50;
    let setup = Setup::new(env!("CARGO_BIN_EXE_russet")).args([
        "--save",
        "",
        "--client-output-buffer-limit",
        "pubsub 0 0 0",
    ]);
    let server = setup.start().expect("the server starts");
    let client = || server.client().expect("the server listens");
    let slow: Vec<Client> = (0..SUBSCRIBERS)
        .map(|_| {
            let mut client = client();
            client.cmd(&["SUBSCRIBE", "c"]);
            client
        })
        .collect();
    let (mut publisher, text) = (client(), "x".repeat(8 << 20));
    let before = server.rss_bytes().expect("the server runs");
    for _ in 0..2 {
        assert_eq!(publisher.cmd(&["PUBLISH", "c", &text]).int(), Some(SUBSCRIBERS as i64));
    }
    let grown = server.rss_bytes().expect("the server runs").saturating_sub(before);
    assert!(grown < 100 << 20, "{SUBSCRIBERS} readers of 16 MB take {grown} bytes");
    drop(slow);
}

/// Clients of every kind come, subscribe, publish and go at once, while others are cut and killed: nothing is touched that is gone.
#[test]
fn sec_09_subscribers_that_go_at_any_moment_leave_nothing() {
    let server = Server::with(&[
        "--enable-debug-command",
        "yes",
        "--client-output-buffer-limit",
        "pubsub 100000 0 0",
    ]);
    let (is_over, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let address = server.address();
    let churn: Vec<_> = (0..6)
        .map(|seed| {
            let (is_over, made) = (Arc::clone(&is_over), Arc::clone(&made));
            spawn(move || {
                let mut random = Random::new(seed);
                while !is_over.load(Ordering::Relaxed) {
                    let mut client = Client::connect(address).expect("the server listens");
                    let name = format!("c{}", random.below(3));
                    for _ in 0..random.below(6) {
                        let words: &[&str] = match random.below(30) {
                            0 => &["CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "no"],
                            1..5 => &["SUBSCRIBE", &name],
                            5..9 => &["PSUBSCRIBE", "c*"],
                            9..13 => &["SSUBSCRIBE", &name],
                            13..17 => &["UNSUBSCRIBE"],
                            17..20 => &["HELLO", "3"],
                            20..22 => &["BLPOP", "nosuch", "0"],
                            _ => &["PUBLISH", &name, "0123456789abcdef0123456789abcdef"],
                        };
                        // Whoever was killed meanwhile cannot send.
                        drop(client.send(words));
                    }
                    made.fetch_add(1, Ordering::Relaxed);
                    // Not faster than connections are taken in.
                    std::thread::sleep(Duration::from_millis(1 + random.below(4)));
                }
            })
        })
        .collect();
    std::thread::sleep(strain());
    is_over.store(true, Ordering::Relaxed);
    churn.into_iter().for_each(|thread| thread.join().expect("no panic"));
    assert!(made.load(Ordering::Relaxed) > 100);
    let mut t = Transcript::new(server.client());
    for _ in 0..250 {
        let info = t.run("INFO clients").to_string();
        if info.contains("pubsub_clients:0") && info.contains("connected_clients:1\\r") {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    t.check("PUBSUB CHANNELS", "[]");
    t.check("PUBSUB SHARDCHANNELS", "[]");
    t.check("PUBSUB NUMPAT", "0");
    let info = t.run("INFO clients").to_string();
    assert!(info.contains("pubsub_clients:0"), "{info}");
}

/// Lists of channels and messages whose lengths lie around the edges of buffers.
#[test]
fn sec_10_replies_and_messages_around_the_edges_of_buffers_arrive_whole() {
    let server = server();
    let (mut t, mut subscriber) = (Transcript::new(server.client()), server.client());
    subscriber.hello3();
    subscriber.cmd(&["SUBSCRIBE", "c"]);
    let edges = [4_096, 16_384, 65_536].into_iter().flat_map(|edge: usize| edge - 40..edge + 3);
    for size in edges {
        let text = "m".repeat(size);
        assert_eq!(t.client.cmd(&["PUBLISH", "c", &text]).int(), Some(1));
        let message = subscriber.push().unwrap();
        assert_eq!(message.items().unwrap()[2], Reply::Bulk(text.into_bytes()), "{size}");
    }
    for count in [1_usize, 100, 1_637, 1_638, 1_639, 20_000] {
        let names: Vec<String> = (0..count).map(|nth| format!("{nth:05}")).collect();
        let words: Vec<&str> =
            std::iter::once("SUBSCRIBE").chain(names.iter().map(String::as_str)).collect();
        let mut client = server.client();
        client.send(&words).unwrap();
        (0..count).for_each(|_| drop(client.recv().unwrap()));
        assert_eq!(t.run("PUBSUB CHANNELS").items().unwrap().len(), count + 1);
        client.cmd(&["RESET"]);
        assert_eq!(t.run("PUBSUB CHANNELS").items().unwrap().len(), 1);
    }
}

/// A subscriber sends requests whose sizes rise and fall while messages come: nothing of either is lost.
#[test]
fn sec_11_buffers_that_grow_and_shrink_while_messages_come_lose_nothing() {
    let server = server();
    let (mut t, mut client) = (Transcript::new(server.client()), server.client());
    client.hello3();
    client.cmd(&["SUBSCRIBE", "c"]);
    let mut number = 0;
    for size in [0, 1 << 20, 1, 16_384, 24 << 20, 1, 0, 65_536, 1 << 24, 2] {
        let text = "x".repeat(size);
        client.send(&["ECHO", &text]).unwrap();
        for _ in 0..20 {
            t.client.cmd(&["PUBLISH", "c", &number.to_string()]);
            number += 1;
        }
        let mut has_echo = false;
        let mut messages = Vec::new();
        while !has_echo || messages.len() < 20 {
            match client.recv().unwrap() {
                Reply::Bulk(echo) => has_echo = echo.len() == size,
                message => messages.push(message.items().unwrap()[2].to_string()),
            }
        }
        let expected: Vec<String> = (number - 20..number).map(|n| n.to_string()).collect();
        assert_eq!(messages, expected);
    }
}

/// The slow twin: who is subscribed to what, by the names themselves.
#[derive(Default)]
struct Twin {
    channels: Vec<String>,
    patterns: Vec<String>,
    /// What should have come, in this order.
    expected: Vec<String>,
}

impl Twin {
    fn toggle(names: &mut Vec<String>, name: &str) -> bool {
        let was_there = names.iter().position(|other| other == name).map(|at| names.remove(at));
        if was_there.is_none() {
            names.push(name.to_owned());
            names.sort();
        }
        was_there.is_none()
    }

    /// Takes note of a message; answers how often it comes.
    fn publish(&mut self, channel: &str, text: &str) -> i64 {
        let before = self.expected.len();
        if self.channels.iter().any(|name| name == channel) {
            self.expected.push(format!(">[message, {channel}, {text}]"));
        }
        let prefix = |pattern: &str| pattern.trim_end_matches('*').to_owned();
        let matching = self.patterns.iter().filter(|name| channel.starts_with(&prefix(name)));
        let messages = matching.map(|name| format!(">[pmessage, {name}, {channel}, {text}]"));
        self.expected.extend(messages.collect::<Vec<_>>());
        (self.expected.len() - before) as i64
    }
}

#[test]
fn random_subscriptions_and_messages_agree_with_the_slow_twin() {
    let server = server();
    for seed in 0..8 {
        let mut random = Random::new(seed);
        let mut clients: Vec<(Client, Twin)> = (0..4)
            .map(|_| {
                let mut client = server.client();
                client.hello3();
                (client, Twin::default())
            })
            .collect();
        for step in 0..300_u32 {
            let (who, letter) =
                (random.below(4) as usize, char::from(b'a' + random.below(3) as u8));
            let name = format!("{letter}{}", random.below(2));
            match random.below(5) {
                0 => {
                    let (client, twin) = &mut clients[who];
                    let is_new = Twin::toggle(&mut twin.channels, &name);
                    client.cmd(&[if is_new { "SUBSCRIBE" } else { "UNSUBSCRIBE" }, &name]);
                }
                1 => {
                    let (client, twin) = &mut clients[who];
                    let pattern = format!("{letter}*");
                    let is_new = Twin::toggle(&mut twin.patterns, &pattern);
                    client.cmd(&[if is_new { "PSUBSCRIBE" } else { "PUNSUBSCRIBE" }, &pattern]);
                }
                _ => {
                    let text = step.to_string();
                    let receivers: i64 =
                        clients.iter_mut().map(|(_, twin)| twin.publish(&name, &text)).sum();
                    let sent = clients[who].0.cmd(&["PUBLISH", &name, &text]);
                    assert_eq!(sent.int(), Some(receivers), "seed {seed}, step {step}");
                }
            }
        }
        for (client, twin) in &mut clients {
            for expected in &twin.expected {
                assert_eq!(client.push().unwrap().to_string(), *expected, "seed {seed}");
            }
            client.cmd(&["RESET"]);
        }
    }
}

#[test]
fn sec_16_hostile_patterns_of_subscribers_cost_pattern_times_channel() {
    let server = server();
    let (mut t, mut client) = (Transcript::new(server.client()), server.client());
    client.hello3();
    for pattern in ["a*".repeat(30) + "b", "*?".repeat(500_000), "[".repeat(100_000)] {
        client.cmd(&["PSUBSCRIBE", &pattern]);
    }
    let (channel, started) = ("a".repeat(64), Instant::now());
    assert_eq!(t.client.cmd(&["PUBLISH", &channel, "x"]).int(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}
