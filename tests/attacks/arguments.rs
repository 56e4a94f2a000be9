//! Arguments that are at the edges, too many, or twice the same: every row of the table.

use russet_dispatch::keys::positions;
use russet_testkit::edges::INTEGERS;

use super::samples::{Edge, Sampler, arguments, may_wait, numbers, repeats, rows};
use super::*;

/// Something under a key for each type.
const FILL: [&str; 12] = [
    "SET k:string 10",
    "SET k:bitmap abc",
    "DEL k:list k:generic",
    "RPUSH k:list c a b",
    "RPUSH k:generic 3 1 2",
    "SADD k:set a b c",
    "ZADD k:sorted-set 1 a 2 b 3 c",
    "HSET k:hash w0 1 b 2",
    "DEL k:stream",
    "XADD k:stream 1-1 a b",
    "XGROUP CREATE k:stream g 0",
    "GEOADD k:geo 13 38 a",
];

fn send(client: &mut Client, words: &[String], waits: bool) -> usize {
    if waits {
        client.send(&["MULTI"]).expect("no error");
    }
    client.send(words).expect("no error");
    if waits {
        client.send(&["EXEC"]).expect("no error");
    }
    if waits { 3 } else { 1 }
}

/// A client that takes every reply within the time that a server may take.
fn client_of(target: &Target) -> Client {
    let client = target.process.client().expect("the server listens");
    client.set_timeout(PATIENCE).expect("a time that is not zero");
    client
}

#[test]
fn sec_13_numbers_at_the_edges_do_no_harm() {
    // Bits and ranges may make a string as long as a request may be: here that is a megabyte.
    let small = ["--proto-max-bulk-len", "1mb"];
    let big = ["--hash-max-listpack-entries", "0", "--zset-max-listpack-entries", "0"];
    for more in [&big[..0], &[&big[..], &["--set-max-listpack-entries", "0"]].concat()] {
        let target = Target::start(&[&small[..], more].concat());
        let mut client = client_of(&target);
        let before = target.rss();
        for row in rows() {
            let key = |_| format!("k:{}", row.command.group.name());
            let sampler = Sampler { key: &key, times: 1, in_options: false };
            for nth in 0..numbers(&arguments(row)) {
                for text in INTEGERS {
                    FILL.iter().for_each(|line| {
                        client.send(&line.split(' ').collect::<Vec<_>>()).unwrap();
                    });
                    let request = sampler.request(row, Some(Edge { nth, text }));
                    let replies = FILL.len() + send(&mut client, &request, may_wait(row));
                    if asks_for_more_than_may_wait(&request) {
                        while client.recv().is_ok() {}
                        client = client_of(&target);
                        continue;
                    }
                    for _ in 0..replies {
                        client.recv().unwrap_or_else(|error| panic!("{request:?}: {error}"));
                    }
                }
            }
        }
        let grown = target.rss().saturating_sub(before);
        println!("grown by {grown} bytes");
        assert!(grown <= 128 << 20, "grown by {grown} bytes");
        target.expect_well();
    }
}

/// Whether these are so many random elements that their client is cut.
fn asks_for_more_than_may_wait(request: &[String]) -> bool {
    let [name, _, count, ..] = request else { return false };
    let count: i64 = count.parse().unwrap_or_default();
    let is_taken = request.len() == 3 || count >= i64::MIN / 2;
    ["SRANDMEMBER", "ZRANDMEMBER", "HRANDFIELD"].contains(&name.to_uppercase().as_str())
        && (-i64::MAX..-(1 << 30)).contains(&count)
        && is_taken
}

/// A key of each type that has random elements, one of sixty bytes each.
fn put_one_in_each(target: &mut Target) {
    let member = "m".repeat(60);
    target.witness.cmd(&["SADD", "s", &member]);
    target.witness.cmd(&["ZADD", "z", "1", &member]);
    target.witness.cmd(&["HSET", "h", &member, &member]);
}

#[test]
fn sec_13_a_huge_negative_count_costs_no_more_than_may_wait_to_be_read() {
    let mut target = Target::start(&[]);
    put_one_in_each(&mut target);
    for request in
        ["SRANDMEMBER s -9000000\r\n", "ZRANDMEMBER z -9000000\r\n", "HRANDFIELD h -9000000\r\n"]
    {
        let before = target.rss();
        let stream = target.connect_and_send(request.as_bytes());
        let until = Instant::now() + Duration::from_secs(2);
        let mut peak = 0;
        // Nobody reads.
        while Instant::now() < until {
            peak = peak.max(target.rss().saturating_sub(before));
            pause(5);
        }
        println!("{}: {peak} bytes at most", request.trim_end());
        assert!(peak <= 16 << 20, "{request}: {peak} bytes");
        assert_eq!(target.clients(), 2, "who has not read yet may still");
        drop(stream);
        let until = Instant::now() + PATIENCE;
        while target.clients() > 1 {
            assert!(Instant::now() < until, "who has gone is still answered");
            pause(5);
        }
    }
    target.expect_well();
}

#[test]
fn sec_13_a_reply_longer_than_may_wait_comes_whole() {
    let mut target = Target::start(&["--client-output-buffer-limit", "normal 1mb 0 0"]);
    put_one_in_each(&mut target);
    let requests = [
        ("SRANDMEMBER s -200000\r\n", 200_000 * 67),
        ("ZRANDMEMBER z -200000 WITHSCORES\r\n", 200_000 * (67 + 7)),
        ("HRANDFIELD h -200000 WITHVALUES\r\n", 200_000 * 2 * 67),
    ];
    for (nth, (request, bytes)) in requests.into_iter().enumerate() {
        let mut stream = target.connect_and_send(request.as_bytes());
        let head = format!("*{}\r\n", if nth == 0 { 200_000 } else { 400_000 });
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut begin = vec![0; head.len()];
        stream.read_exact(&mut begin).unwrap();
        assert_eq!(begin, head.as_bytes(), "{request}");
        // What comes after this is drawn from nothing.
        target.witness.cmd(&["DEL", ["s", "z", "h"][nth]]);
        stream.write_all(b"PING\r\n").unwrap();
        let mut reply = vec![0; bytes + "+PONG\r\n".len()];
        stream.read_exact(&mut reply).unwrap();
        assert!(reply.ends_with(b"+PONG\r\n"), "{request}");
    }
    target.expect_well();
}

#[test]
fn sec_13_who_asks_for_more_elements_than_may_wait_is_cut_before_they_are_made() {
    let mut target = Target::start(&["--client-output-buffer-limit", "normal 1mb 0 0"]);
    put_one_in_each(&mut target);
    let before = target.rss();
    for command in ["SRANDMEMBER s", "ZRANDMEMBER z", "HRANDFIELD h"] {
        for count in ["-16777217", "-999999999", "-9223372036854775807"] {
            let request = format!("{command} {count}\r\n");
            let mut stream = target.connect_and_send(request.as_bytes());
            assert_eq!(rest_of(&mut stream), "", "{request}");
            let unheard = format!("CLIENT REPLY SKIP\r\n{request}PING\r\n");
            let mut stream = target.connect_and_send(unheard.as_bytes());
            let mut reply = [0; 7];
            stream.read_exact(&mut reply).unwrap();
            assert_eq!(&reply, b"+PONG\r\n", "{request}");
            target.witness.cmd(&["MULTI"]);
            target.witness.cmd(&request.split_whitespace().collect::<Vec<_>>());
            let refused = target.witness.cmd(&["EXEC"]).to_string();
            assert_eq!(refused, "[-ERR value is out of range]", "{request}");
        }
    }
    assert_eq!(target.info("client_output_buffer_limit_disconnections:"), "9");
    let grown = target.growth_that_stays(before, 4 << 20);
    assert!(grown <= 4 << 20, "grown by {grown} bytes");
    target.expect_well();
}

#[test]
fn sec_13_a_great_many_elements_that_may_wait_are_given() {
    let mut target = Target::start(&[]);
    put_one_in_each(&mut target);
    for request in ["SRANDMEMBER s -16777217\r\n", "ZRANDMEMBER z -16777217\r\n"] {
        let mut stream = target.connect_and_send(request.as_bytes());
        let mut begin = [0; b"*16777217\r\n$60\r\nmmm".len()];
        stream.read_exact(&mut begin).unwrap();
        assert_eq!(&begin, b"*16777217\r\n$60\r\nmmm", "{request}");
    }
    target.expect_well();
}

#[test]
fn sec_14_any_number_of_arguments_is_taken_or_refused() {
    let target = Target::start(&[]);
    let mut client = client_of(&target);
    let times = few_or(20_000, 1_000_000);
    let mut tried = 0;
    for row in rows() {
        let arguments = arguments(row);
        if !repeats(&arguments, true) {
            continue;
        }
        let in_options = !repeats(&arguments, false);
        let key = |nth| {
            if nth == 0 { format!("k:{}", row.command.group.name()) } else { format!("k{nth}") }
        };
        let sampler = Sampler { key: &key, times, in_options };
        FILL.iter().for_each(|line| {
            client.cmd(&line.split(' ').collect::<Vec<_>>());
        });
        let request = sampler.request(row, None);
        assert!(request.len() > times, "{}", row.full_name);
        for _ in 0..send(&mut client, &request, may_wait(row)) {
            client.recv().unwrap_or_else(|error| panic!("{}: {error}", row.full_name));
        }
        client.cmd(&["FLUSHALL", "ASYNC"]);
        tried += 1;
    }
    println!("{tried} commands of {times} arguments each");
    assert!(tried > 50);
    target.expect_well();
}

#[test]
fn sec_15_the_same_key_twice_and_keys_in_any_order_lead_to_no_deadlock() {
    let target = Target::start(&[]);
    let orders: [&(dyn Fn(usize) -> String + Sync); 3] =
        [&|_| "{t}a".to_owned(), &|nth| ["a", "b", "c"][nth % 3].to_owned(), &|nth| {
            ["c", "b", "a"][nth % 3].to_owned()
        }];
    let many_keys = || {
        rows().filter(|row| {
            let sampler = Sampler { key: &|_| "k".to_owned(), times: 3, in_options: false };
            let words = sampler.request(row, None);
            let mut keys = 0;
            positions(row.command.keys, words.len(), |at| words[at].as_bytes(), |_, _| keys += 1);
            keys > 1
        })
    };
    assert!(many_keys().count() > 25);
    let rounds = few_or(10, 500);
    std::thread::scope(|scope| {
        for key in orders {
            let (target, many_keys) = (&target, &many_keys);
            scope.spawn(move || {
                let mut client = client_of(target);
                let sampler = Sampler { key, times: 3, in_options: false };
                let requests: Vec<_> =
                    many_keys().map(|row| (sampler.request(row, None), may_wait(row))).collect();
                for _ in 0..rounds {
                    for (request, waits) in &requests {
                        for _ in 0..send(&mut client, request, *waits) {
                            client.recv().unwrap_or_else(|error| panic!("{request:?}: {error}"));
                        }
                    }
                    client.cmd(&["SET", "a", "1"]);
                    client.cmd(&["DEL", "b"]);
                }
            });
        }
    });
    target.expect_well();
}

#[test]
fn sec_15_no_increment_makes_what_is_no_number() {
    let mut target = Target::start(&[]);
    let client = &mut target.witness;
    for bad in ["inf", "-inf", "+inf", "nan", "-nan", "1e5000", "0x", "", " ", "1 ", "infinity"] {
        for request in [
            ["INCRBYFLOAT", "s", bad].as_slice(),
            &["HINCRBYFLOAT", "h", "f", bad],
            &["HINCRBY", "h", "f", bad],
            &["INCRBY", "s", bad],
        ] {
            assert!(client.cmd(request).is_error(), "{request:?}");
        }
    }
    assert_eq!(client.cmd(&["EXISTS", "s", "h"]).to_string(), "0");
    assert_eq!(client.cmd(&["HINCRBYFLOAT", "h", "f", "-0"]).to_string(), "0");
    assert_eq!(client.cmd(&["HINCRBYFLOAT", "h", "f", "1.5"]).to_string(), "1.5");
    client.cmd(&["ZADD", "z", "inf", "m"]);
    assert!(client.cmd(&["ZINCRBY", "z", "-inf", "m"]).is_error());
    assert!(client.cmd(&["ZADD", "z", "nan", "m"]).is_error());
    assert_eq!(client.cmd(&["ZSCORE", "z", "m"]).to_string(), "inf");
    target.expect_well();
}
