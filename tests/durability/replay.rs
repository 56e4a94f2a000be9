//! A log that is done again by several threads comes to what it says, and what is refused in it is named as if one had done it.

use std::path::Path;

use russet_rdb::primitives::crc64;
use russet_testkit::client::encode;
use russet_testkit::disk::Disk;
use russet_testkit::{Client, Random};

use crate::durability::aof::{begin, digest, on};
use crate::durability::crashes::scribble;
use crate::durability::snapshot::run;

/// The log that is being written on a new disk.
const LOG: &str = "/data/appendonlydir/appendonly.aof.1.incr.aof";

/// Sends commands and reads as many replies, whatever they are.
fn send(client: &mut Client, commands: &[Vec<u8>]) {
    client.send_raw(&commands.concat()).expect("it is connected");
    for _ in commands {
        client.recv().expect("each is answered");
    }
}

/// Commands about one key each, most of which find their key used before.
fn about_one_key(random: &mut Random) -> Vec<u8> {
    let (key, n) = (random.below(200).to_string(), random.below(50).to_string());
    let name = |kind: &str| format!("{kind}:{key}");
    match random.below(9) {
        0 => encode(&["APPEND", &name("s"), &n]),
        1 => encode(&["INCRBY", &name("n"), &n]),
        2 => encode(&["RPUSH", &name("l"), &n, "x"]),
        3 => encode(&["LPOP", &name("l")]),
        4 => encode(&["SADD", &name("t"), &n]),
        5 => encode(&["SPOP", &name("t")]),
        6 => encode(&["HSET", &name("h"), &n, &key]),
        7 => encode(&["ZINCRBY", &name("z"), &n, "member"]),
        _ => encode(&["DEL", &name("n")]),
    }
}

#[test]
fn a_log_done_again_by_many_comes_to_what_it_says() {
    let disk = Disk::new();
    let (handle, mut client) = on(&disk, &["--appendfsync", "no"]);
    let mut random = Random::new(16);
    for round in 0..8_u64 {
        // Where only single keys are written, the threads work side by side; what follows waits for all of them.
        let many: Vec<_> = (0..1500).map(|_| about_one_key(&mut random)).collect();
        send(&mut client, &many);
        send(&mut client, &[encode(&["SELECT", &(round % 3).to_string()])]);
        match round % 4 {
            0 => send(&mut client, &[encode(&["MSET", "n:1", "5", "n:2", "6", "s:3", "7"])]),
            1 => send(&mut client, &[encode(&["RENAME", "l:1", "l:2"])]),
            2 => send(&mut client, &[encode(&["SWAPDB", "0", "2"])]),
            _ => scribble(&mut client, 300, round),
        }
        let words = [&["MULTI"][..], &["INCR", "n:1"], &["RPUSH", "l:9", "in"], &["EXEC"]];
        send(&mut client, &words.map(encode));
    }
    let before = digest(&mut client);
    assert_ne!(before, "0".repeat(40));
    for threads in ["1", "2", "5"] {
        let (other, mut again) = on(&disk.kill(), &["--io-threads", threads]);
        assert_eq!(digest(&mut again), before, "{threads} threads");
        drop(again);
        other.stop();
    }
    drop(client);
    handle.stop();
}

#[test]
fn what_is_refused_is_named_with_its_place_and_cut_before_it_where_that_is_wished() {
    let disk = Disk::new();
    on(&disk, &[]).0.stop();
    let sets = |range: std::ops::Range<u32>| -> Vec<u8> {
        range.flat_map(|n| encode(&["SET", &format!("k{n}"), "v"])).collect()
    };
    let (first, wrong, rest) = (sets(0..3000), encode(&["LPUSH", "k7", "x"]), sets(3000..9000));
    let (whole, end) = (first.len(), first.len() + wrong.len());
    disk.damage(Path::new(LOG), |bytes| {
        bytes.clear();
        // One more is refused later: the first counts.
        for part in [&first, &wrong, &rest, &wrong, &rest] {
            bytes.extend_from_slice(part);
        }
    });
    let error = begin(&disk, &[]).map(drop).unwrap_err().to_string();
    assert!(error.contains("'LPUSH' was refused: WRONGTYPE"), "{error}");
    assert!(error.contains(&format!("at byte {end}; whole up to byte {whole}")), "{error}");
    let (handle, mut client) = on(&disk, &["--aof-load-corrupt-tail-max-size", "100mb"]);
    assert_eq!(run(&mut client, "DBSIZE"), "3000", "nothing behind the cut has been done");
    drop(client);
    handle.stop();
}

#[test]
fn a_block_that_is_cut_within_is_whole_and_later_writes_survive() {
    let disk = Disk::new();
    let (handle, mut client) = on(&disk, &["--appendfsync", "always"]);
    run(&mut client, "SET before 1");
    // A block of its own, in which the second command is refused.
    let sets = ["first", "wrong", "last"].map(|key| encode(&["SET", key, "v"])).concat();
    client.send_raw(&sets).expect("it is connected");
    (0..3).for_each(|_| drop(client.recv().expect("each is answered")));
    drop(client);
    handle.stop();
    disk.damage(Path::new(LOG), |bytes| {
        let begin = find(bytes, b"*3\r\n$3\r\nSET\r\n$5\r\nfirst");
        let line = bytes[..begin].iter().rposition(|byte| *byte == b'#').expect("a line");
        let wrong = encode(&["LPUSH", "first", "x"]);
        let middle = find(bytes, b"*3\r\n$3\r\nSET\r\n$5\r\nwrong");
        let mut contents = [&bytes[begin..middle], &wrong].concat();
        contents.extend_from_slice(&encode(&["SET", "last", "v"]));
        let text = format!(
            "#BLOCK:v1;len:{};crc64:{:016x};durable:{line};head:",
            contents.len(),
            crc64(&contents)
        );
        let head = crc64(text.as_bytes()) >> 32;
        bytes.truncate(line);
        bytes.extend_from_slice(format!("{text}{head:08x}\r\n").as_bytes());
        bytes.extend_from_slice(&contents);
    });
    let tolerant = ["--aof-load-corrupt-tail-max-size", "100mb", "--appendfsync", "always"];
    for round in 0..3 {
        let arguments = if round == 0 { &tolerant[..] } else { &[] };
        let (handle, mut client) = on(&disk, arguments);
        assert_eq!(run(&mut client, "MGET before first last"), "[1, v, (nil)]", "{round}");
        assert_eq!(run(&mut client, "INCR later"), (round + 1).to_string());
        drop(client);
        handle.stop();
    }
}

fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).position(|window| window == what).expect("it is there")
}
