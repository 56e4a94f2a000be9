//! Values that are made to break what reads them: patterns, HyperLogLogs, dumps, streams, inputs that sort or hash badly.

use russet_rdb::encode::VERSION_7_0;
use russet_testkit::differential::{Pair, Reference};
use russet_testkit::{Random, Reply};

use super::*;

/// How long a pattern may take.
const PATTERN_TIME: Duration = Duration::from_millis(100);

#[test]
fn sec_16_no_pattern_takes_long() {
    let target = Target::start(&[]);
    let mut client = target.process.client().unwrap();
    for n in 0..100 {
        client.cmd(&["SET", &format!("{}{n:02}", "a".repeat(62)), "v"]);
    }
    let stars = format!("{}b", "a*".repeat(30));
    let long = "*?".repeat(few_or(20_000, 500_000));
    let nested = format!("{}x", "*".repeat(few_or(10_000, 100_000)));
    let open = format!("[{}", "a".repeat(few_or(10_000, 100_000)));
    let ranges = "[a-z]*".repeat(1_000);
    for pattern in [&stars, &long, &nested, &open, &ranges, "[", "[^", "[a-", "\\", "*\\"] {
        for words in [
            vec!["KEYS", pattern],
            vec!["SCAN", "0", "MATCH", pattern, "COUNT", "1000"],
            vec!["CONFIG", "GET", pattern],
            vec!["COMMAND", "LIST", "FILTERBY", "PATTERN", pattern],
            vec!["HSCAN", "none", "0", "MATCH", pattern],
        ] {
            let began = Instant::now();
            client.cmd(&words);
            let took = began.elapsed();
            let shown: String = pattern.chars().take(20).collect();
            // A dev build on a machine that others use, too.
            assert!(took <= PATTERN_TIME * few_or(10, 1), "{} {shown}: {took:?}", words[0]);
        }
    }
    target.expect_well();
}

/// Changes a few bytes, cuts some off, or adds some.
fn mutate(random: &mut Random, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len().max(1) as u64) as usize;
        match random.below(8) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), random.bits() as u8),
            2 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            3 if at < bytes.len() => bytes[at] = [0, 0x7f, 0x80, 0xff][random.below(4) as usize],
            _ if at < bytes.len() => bytes[at] = random.bits() as u8,
            _ => {}
        }
    }
    bytes
}

#[test]
fn sec_17_spoilt_hyperloglogs_are_refused_or_read() {
    let mut target = Target::start(&[]);
    let client = &mut target.witness;
    let mut random = Random::new(17);
    for n in 0..2_000 {
        client.cmd(&["PFADD", "dense", &n.to_string()]);
    }
    client.cmd(&["PFDEBUG", "TODENSE", "dense"]);
    client.cmd(&["PFADD", "sparse", "a", "b", "c"]);
    client.cmd(&["PFADD", "good", "x"]);
    let whole = ["dense", "sparse"].map(|key| client.cmd(&["GET", key]).bytes().unwrap().to_vec());
    for nth in 0..few_or(2_000, 100_000) {
        let spoilt = mutate(&mut random, &whole[nth % 2]);
        client.cmd(&[b"SET", &b"k"[..], &spoilt]);
        for words in [
            ["PFCOUNT", "k"].as_slice(),
            &["PFCOUNT", "k", "good"],
            &["PFADD", "k", "e"],
            &["PFMERGE", "to", "k", "good"],
            &["PFMERGE", "k", "good"],
            &["PFDEBUG", "DECODE", "k"],
            &["PFDEBUG", "GETREG", "k"],
        ] {
            client.send(words).unwrap();
        }
        let replies: Vec<_> = (0..7).map(|_| client.recv().expect("an answer")).collect();
        // A counter that cannot be read is not changed halfway.
        if replies[0].is_error() && replies[2].is_error() && replies[4].is_error() {
            assert_eq!(client.cmd(&["GET", "k"]).bytes().unwrap(), spoilt);
        }
    }
    target.expect_well();
}

/// Commands that make a value of every kind and form under `k`.
const KINDS: [&str; 14] = [
    "RPUSH k a bb 7 ccc 1000000",
    "SADD k 1 2 300000",
    "SADD k a b 3",
    "ZADD k 1 a 2.5 b inf c",
    "HSET k a 1 b 2",
    "XADD k 1-1 a b c d",
    "SET k text",
    "SET k 12345",
    "SETBIT k 100000 1",
    "PFADD k a b c",
    "BIG RPUSH",
    "BIG SADD",
    "BIG ZADD",
    "BIG HSET",
];

fn make(client: &mut Client, kind: &str) {
    client.cmd(&["DEL", "k"]);
    let Some(name) = kind.strip_prefix("BIG ") else {
        client.cmd(&kind.split(' ').collect::<Vec<_>>());
        if kind.starts_with("XADD") {
            for more in
                ["XADD k 2-1 a x c y", "XADD k 3-1 e f", "XGROUP CREATE k g 0", "XDEL k 2-1"]
            {
                client.cmd(&more.split(' ').collect::<Vec<_>>());
            }
            client.cmd(&["XREADGROUP", "GROUP", "g", "c", "COUNT", "1", "STREAMS", "k", ">"]);
        }
        return;
    };
    for n in 0..600 {
        let element = format!("element {n}");
        match name {
            "ZADD" => client.cmd(&["ZADD", "k", &n.to_string(), &element]),
            "HSET" => client.cmd(&["HSET", "k", &element, "value"]),
            _ => client.cmd(&[name, "k", &element]),
        };
    }
}

/// What reads a value whole, whichever kind it is.
const READS: [&str; 16] = [
    "TYPE k",
    "OBJECT ENCODING k",
    "DEBUG DIGEST-VALUE k",
    "DUMP k",
    "GET k",
    "LRANGE k 0 -1",
    "SMEMBERS k",
    "ZRANGE k 0 -1 WITHSCORES",
    "HGETALL k",
    "XRANGE k - +",
    "XREVRANGE k + -",
    "XINFO STREAM k FULL",
    "XPENDING k g",
    "XAUTOCLAIM k g d 0 0",
    "COPY k k2 REPLACE",
    "SORT k BY nosort",
];

/// What changes a value, whichever kind it is.
const CHANGES: [&str; 12] = [
    "LPOP k",
    "RPUSH k z",
    "LSET k 0 y",
    "SPOP k",
    "SADD k z",
    "ZPOPMIN k",
    "ZINCRBY k 1 a",
    "HINCRBY k a 1",
    "HDEL k b",
    "XADD k * q r",
    "XTRIM k MAXLEN 1",
    "APPEND k z",
];

/// A dump with its footer made good.
fn resealed(body: &[u8]) -> Vec<u8> {
    let mut payload = body.to_vec();
    russet_rdb::payload::seal(&mut payload, VERSION_7_0);
    payload
}

/// Restores spoilt dumps and uses what they make.
fn restore_spoilt(seed: u64, cycles: usize) {
    let mut target = Target::start(&["--enable-debug-command", "yes"]);
    let before = target.rss();
    let client = &mut target.witness;
    let mut random = Random::new(seed);
    let mut accepted = 0;
    for cycle in 0..cycles {
        make(client, KINDS[cycle % KINDS.len()]);
        let dump = client.cmd(&["DUMP", "k"]).bytes().expect("there is a key").to_vec();
        for _ in 0..20 {
            let spoilt = resealed(&mutate(&mut random, &dump[..dump.len() - 10]));
            let reply = client.cmd(&[b"RESTORE", &b"k"[..], b"0", &spoilt, b"REPLACE"]);
            if reply.is_error() {
                continue;
            }
            accepted += 1;
            for line in READS.iter().chain(&CHANGES).chain(&READS) {
                client.send(&line.split(' ').collect::<Vec<_>>()).expect("no error");
            }
            for _ in 0..READS.len() * 2 + CHANGES.len() {
                client.recv().unwrap_or_else(|error| panic!("seed {seed}: {spoilt:?}: {error}"));
            }
        }
    }
    client.cmd(&["FLUSHALL"]);
    println!("{accepted} of {} spoilt dumps were taken", cycles * 20);
    assert!(accepted > 0);
    let grown = target.rss().saturating_sub(before);
    assert!(grown <= 256 << 20, "grown by {grown} bytes");
    target.expect_well();
}

/// A stream of one entry, into which as many have been put as there are numbers.
const COUNTED_OUT: &[u8] = b"\x13\x01\x10\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\x1d\x1d\0\0\0\x0a\0\x01\x01\0\x01\x01\x01\x81a\x02\0\x01\x02\x01\0\x01\0\x01\x81b\x02\x04\x01\xff\x01\x01\x01\x01\x01\0\0\x81\xff\xff\xff\xff\xff\xff\xff\xff\0";

#[test]
fn sec_18_a_stream_that_has_counted_all_numbers_counts_on() {
    let mut target = Target::start(&[]);
    let payload = resealed(COUNTED_OUT);
    let restored = target.witness.cmd(&[b"RESTORE", &b"k"[..], b"0", &payload]);
    assert_eq!(restored.to_string(), "OK");
    assert_eq!(target.witness.cmd(&["XADD", "k", "5-1", "a", "b"]).to_string(), "5-1");
    let about = target.witness.cmd(&["XINFO", "STREAM", "k"]).to_string();
    assert!(about.contains("entries-added, 0"), "{about}");
    target.expect_well();
}

#[test]
fn sec_18_lengths_in_dumps_are_not_believed() {
    let mut target = Target::start(&[]);
    let before = target.rss();
    let client = &mut target.witness;
    // Every type with a length of four thousand million, in each of the ways in which a length is written.
    let lengths: [&[u8]; 3] = [
        &[0x80, 0xff, 0xff, 0xff, 0xff],
        &[0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x7f, 0xff],
    ];
    for kind in 0..=255_u8 {
        for length in lengths {
            for rest in [&b""[..], b"\x01a", b"\x01a\x01b\x01c\x01d"] {
                let payload = resealed(&[&[kind], length, rest].concat());
                let reply = client.cmd(&[b"RESTORE", &b"k"[..], b"0", &payload]);
                assert!(reply.is_error(), "{payload:?}: {reply}");
            }
        }
    }
    let grown = target.rss().saturating_sub(before);
    assert!(grown <= 16 << 20, "grown by {grown} bytes");
    target.expect_well();
}

#[test]
fn sec_18_and_fuz_2_spoilt_dumps_are_refused_or_sound() {
    restore_spoilt(2, few_or(30, 1_000));
}

#[test]
fn fuz_2_dumps_spoilt_at_random_never_end_the_server() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    restore_spoilt(seed, few_or(15, 3_000));
}

/// The next command on a stream, of those that Redis 7.0 knows. No reply depends on what time it is.
fn stream_command(random: &mut Random, id: &mut u64) -> String {
    let count =
        *random.pick(&["-9223372036854775808", "-1", "0", "1", "2", "3", "9223372036854775807"]);
    let at = random.below(*id + 2).to_string();
    let consumer = *random.pick(&["a", "b", "c"]);
    match random.below(16) {
        0..=4 => {
            *id += 1 + random.below(2);
            format!("XADD s {id}-{} f {id}", random.below(3))
        }
        5 => format!("XDEL s {at}"),
        6 => format!("XTRIM s MAXLEN {}", random.below(12)),
        7 => format!("XTRIM s MINID {at}"),
        8 => format!("XREADGROUP GROUP g {consumer} COUNT {count} STREAMS s >"),
        9 => format!("XREADGROUP GROUP g {consumer} COUNT {count} STREAMS s {at}"),
        10 => format!("XACK s g {at} {}", random.below(*id + 1)),
        11 => format!("XCLAIM s g {consumer} 0 {at} {} JUSTID FORCE", random.below(*id + 1)),
        12 => format!("XCLAIM s g {consumer} 0 {at} RETRYCOUNT {}", random.below(9)),
        13 => format!("XAUTOCLAIM s g {consumer} 0 {at} COUNT {count}"),
        14 => format!("XAUTOCLAIM s g {consumer} 0 {at} COUNT {count} JUSTID"),
        _ => [
            "XGROUP SETID s g 0".to_owned(),
            format!("XGROUP SETID s g {at}"),
            format!("XGROUP DELCONSUMER s g {consumer}"),
            "XPENDING s g".to_owned(),
        ][random.below(4) as usize]
            .clone(),
    }
}

#[test]
fn sec_19_groups_and_deleted_entries_are_as_in_redis() {
    let Some(reference) = Reference::start("redis-server") else { return };
    let server = crate::server();
    for seed in 0..few_or(30, 2_000) {
        let (mut random, mut id) = (Random::new(seed), 0);
        let mut pair = Pair::new(server.client(), reference.client());
        let entries = (1 + random.below(5)).to_string();
        let mut said = Vec::new();
        let mut both = |line: String| {
            let words: Vec<&str> = line.split(' ').collect();
            let agreed = pair.both(&words);
            said.push(line.clone());
            agreed.unwrap_or_else(|it| panic!("seed {seed}: {it:?}\n{}", said.join("\n")));
        };
        both("FLUSHALL".to_owned());
        both(format!("CONFIG SET stream-node-max-entries {entries}"));
        both("XGROUP CREATE s g 0 MKSTREAM".to_owned());
        // Redis 7.0 makes a consumer when it is given something, and later ones when it asks: so all are there always.
        for name in ["a", "b", "c"] {
            both(format!("XGROUP CREATECONSUMER s g {name}"));
        }
        for _ in 0..200 {
            let line = stream_command(&mut random, &mut id);
            let gone = line.strip_prefix("XGROUP DELCONSUMER s g ").map(str::to_owned);
            both(line);
            gone.into_iter().for_each(|name| both(format!("XGROUP CREATECONSUMER s g {name}")));
        }
        for line in ["XRANGE s - +", "XPENDING s g", "XINFO GROUPS s"] {
            both(line.to_owned());
        }
    }
}

/// Strings that all have the same hash under djb2 and its kin: any row of these two pairs.
fn colliding(nth: usize) -> String {
    (0..17).map(|bit| if nth >> bit & 1 == 0 { "Ez" } else { "FY" }).collect()
}

/// How long many commands of this kind take, in pipelines.
fn time_of(client: &mut Client, count: usize, request: impl Fn(usize) -> Vec<String>) -> Duration {
    let began = Instant::now();
    for chunk in (0..count).collect::<Vec<_>>().chunks(500) {
        let bytes: Vec<u8> = chunk.iter().flat_map(|nth| encode(&request(*nth))).collect();
        client.send_raw(&bytes).expect("no error");
        chunk.iter().for_each(|_| drop(client.recv().expect("an answer")));
    }
    began.elapsed()
}

#[test]
fn sec_34_keys_that_collide_elsewhere_take_no_longer() {
    let target = Target::start(&[]);
    let mut client = target.process.client().unwrap();
    let count = few_or(20_000, 100_000);
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    for head in ["SET KEY v", "HSET h KEY v", "SADD s KEY", "ZADD z 1 KEY"] {
        let ratios = (0..5).map(|_| {
            client.cmd(&["FLUSHALL"]);
            let random = |nth: usize| words(&head.replace("KEY", &format!("{:034}", nth * 7919)));
            let plain = time_of(&mut client, count, random);
            client.cmd(&["FLUSHALL"]);
            let bad =
                time_of(&mut client, count, |nth| words(&head.replace("KEY", &colliding(nth))));
            plain.as_secs_f64() / bad.as_secs_f64()
        });
        let best = ratios.fold(0.0, f64::max);
        println!("{head}: {best:.2} of the rate of other keys");
        assert!(best >= few_or(0.5, 0.9), "{head}: {best:.2}");
    }
    target.expect_well();
}

#[test]
fn sec_34_no_order_makes_sorting_slow() {
    let target = Target::start(&[]);
    let mut client = target.process.client().unwrap();
    let count = few_or(20_000, 200_000);
    let mut random = Random::new(34);
    let organ_pipe = |n: usize| if n < count / 2 { n } else { count - n };
    let orders: [(&str, Vec<usize>); 5] = [
        ("random", (0..count).map(|_| random.below(count as u64) as usize).collect()),
        ("ascending", (0..count).collect()),
        ("descending", (0..count).rev().collect()),
        ("organ pipe", (0..count).map(organ_pipe).collect()),
        ("all the same", vec![7; count]),
    ];
    let mut first = None;
    for (name, numbers) in orders {
        client.cmd(&["DEL", "l"]);
        for chunk in numbers.chunks(1000) {
            let words: Vec<_> = ["RPUSH", "l"]
                .map(str::to_owned)
                .into_iter()
                .chain(chunk.iter().map(ToString::to_string))
                .collect();
            client.cmd(&words);
        }
        let best = (0..3).map(|_| {
            let began = Instant::now();
            assert_eq!(
                client.cmd(&["SORT", "l", "LIMIT", "0", "1"]).items().map(<[Reply]>::len),
                Some(1)
            );
            began.elapsed()
        });
        let best = best.min().expect("three times");
        let random = *first.get_or_insert(best);
        println!("{name}: {best:?}");
        assert!(
            best <= random * 2 + Duration::from_millis(20),
            "{name}: {best:?}, random {random:?}"
        );
    }
    target.expect_well();
}
