//! As how many changes commands count in INFO, which decides when a snapshot is due.

use russet_testkit::Transcript;

use crate::server;

/// Commands, one after the other, and as how many changes each counts.
const COMMANDS: &[(&str, i64)] = &[
    ("SET s 1", 1),
    ("GET s", 0),
    ("MSET a 1 b 2", 2),
    ("DEL a b none", 2),
    ("RPUSH l 1 2 3 4 5 6", 6),
    ("LPUSHX none 1 2", 0),
    ("LPOP l", 1),
    ("RPOP l 2", 2),
    ("LMOVE l k LEFT RIGHT", 1),
    ("LMOVE l l LEFT RIGHT", 1),
    ("LTRIM l 0 0", 1),
    ("LREM l 0 1", 0),
    ("SADD t a b c a", 3),
    ("SREM t a none", 1),
    ("SMOVE t u b", 2),
    ("SPOP t 5", 1),
    ("HSET h a 1 b 2", 2),
    ("HSET h a 1 b 2", 2),
    ("HDEL h a b c", 2),
    ("ZADD z 1 a 2 b 3 c 4 d", 4),
    ("ZADD z 1 a 3 b", 1),
    ("ZREM z a none", 1),
    ("ZPOPMAX z 2", 2),
    ("ZREMRANGEBYRANK z 0 -1", 1),
    ("GEOADD g 1 1 a 2 2 b", 2),
    ("GEOSEARCHSTORE z g FROMLONLAT 1 1 BYRADIUS 9 m", 1),
    ("RPUSH n 3 1 2", 3),
    ("SORT n STORE m", 3),
    ("PFADD p", 1),
    ("PFADD p a b c", 3),
    ("PFCOUNT p", 1),
    ("PFCOUNT p", 0),
    ("BITFIELD f SET u8 0 1 SET u8 8 2 GET u8 0", 2),
    ("BITFIELD f SET u8 0 1 SET u8 8 3", 1),
    ("XADD x 1-1 a 1", 1),
    ("XADD x 2-1 a 1", 1),
    ("XADD x 3-1 a 1", 1),
    ("XGROUP CREATE x g 0", 1),
    ("XREADGROUP GROUP g c STREAMS x >", 2),
    ("XREADGROUP GROUP g c STREAMS x 0", 1),
    ("XREADGROUP GROUP g c STREAMS x >", 0),
    ("XCLAIM x g d 0 1-1 2-1", 3),
    ("XACK x g 1-1 9-9 3-1", 2),
    ("XDEL x 1-1 9-9", 1),
    ("XTRIM x MAXLEN 0", 2),
    ("EXPIRE s 100", 1),
    ("RENAME s r", 1),
    ("MULTI", 0),
    ("RPUSH l 1 2", 0),
    ("SADD t 1 2 3", 0),
    ("EXEC", 5),
];

fn changes(t: &mut Transcript) -> i64 {
    let text = t.run("INFO persistence");
    let text = String::from_utf8_lossy(text.bytes().expect("it is there")).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("rdb_changes_since_last_save:"));
    line.expect("no error").parse().expect("no error")
}

#[test]
fn elements_count_one_by_one() {
    let server = server();
    let (mut t, mut watcher) = (Transcript::new(server.client()), Transcript::new(server.client()));
    for (command, expected) in COMMANDS {
        let before = changes(&mut watcher);
        let reply = t.run(command);
        assert!(!reply.is_error(), "{command}: {reply}");
        assert_eq!(changes(&mut watcher) - before, *expected, "{command}");
    }
}
