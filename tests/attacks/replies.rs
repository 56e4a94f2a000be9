//! Replies as long as all that a key holds, and clients that do not take them.

use std::time::Instant;

use russet_testkit::{Client, Reply};

use super::{PATIENCE, Target, pause};

/// Elements of each key, of a megabyte each.
const ELEMENTS: usize = 96;

/// What asks for all of them, and for as many keys.
const ASKING: [&[&str]; 10] = [
    &["LRANGE", "list", "0", "-1"],
    &["HVALS", "hash"],
    &["HGETALL", "hash"],
    &["SMEMBERS", "set"],
    &["ZRANGE", "zset", "0", "-1"],
    &["ZREVRANGE", "zset", "0", "-1", "WITHSCORES"],
    &["XRANGE", "stream", "-", "+"],
    &["XREVRANGE", "stream", "+", "1", "COUNT", "1000"],
    &["XREAD", "STREAMS", "stream", "0"],
    &["KEYS", "0000*"],
];

impl Target {
    /// A server that has a key of each kind, and keys that are as long as their elements.
    fn laden() -> Self {
        let mut target = Self::start(&[]);
        for nth in 0..ELEMENTS {
            let number = nth.to_string();
            let element = &format!("{nth:09}{}", "v".repeat(1 << 20)).into_bytes()[..];
            target.change::<&[u8]>(&[b"RPUSH", b"list", element]);
            target.change::<&[u8]>(&[b"HSET", b"hash", number.as_bytes(), element]);
            target.change::<&[u8]>(&[b"SADD", b"set", element]);
            target.change::<&[u8]>(&[b"ZADD", b"zset", number.as_bytes(), element]);
            let id = &format!("{}-{nth}", nth / 7 + 1).into_bytes()[..];
            target.change::<&[u8]>(&[b"XADD", b"stream", id, b"f", element]);
            target.change::<&[u8]>(&[b"SET", element, b""]);
        }
        target
    }

    #[track_caller]
    fn change<A: AsRef<[u8]>>(&mut self, command: &[A]) {
        let reply = self.witness.cmd(command);
        assert!(!matches!(reply, Reply::Error(_)), "{reply}");
    }

    /// A client that has asked, and does not take the reply that is on its way.
    fn lazy(&mut self, command: &[&str]) -> Client {
        let mut lazy = Client::connect(self.addr()).expect("the server listens");
        let id = lazy.cmd(&["CLIENT", "ID"]).to_string();
        lazy.send(command).expect("a fresh socket takes a little");
        let until = Instant::now() + PATIENCE;
        while self.witness.cmd(&["CLIENT", "LIST", "ID", &id]).to_string().contains(" omem=0 ") {
            assert!(Instant::now() < until, "{command:?} is not answered");
            pause(5);
        }
        lazy
    }
}

/// How many elements of a megabyte a reply has, all different.
fn elements(reply: &Reply) -> usize {
    let mut great = Vec::new();
    collect(reply, &mut great);
    great.sort_unstable();
    great.dedup();
    great.len()
}

fn collect<'a>(reply: &'a Reply, great: &mut Vec<&'a [u8]>) {
    match reply {
        Reply::Bulk(bytes) if bytes.len() > 1 << 20 => great.push(bytes),
        Reply::Array(parts) => parts.iter().for_each(|part| collect(part, great)),
        _ => {}
    }
}

#[test]
fn res_6_long_replies_that_nobody_takes_take_no_memory() {
    let mut target = Target::laden();
    for command in ASKING {
        let before = target.rss();
        let mut lazy = target.lazy(command);
        // What goes on being made would show by then.
        pause(300);
        let grown = target.growth_that_stays(before, 64 << 20);
        println!("{command:?}: grown by {grown} bytes");
        assert!(grown <= 64 << 20, "{command:?}: grown by {grown} bytes");
        assert_eq!(elements(&lazy.recv().expect("a reply")), ELEMENTS, "{command:?}");
        assert_eq!(lazy.cmd(&["PING"]).to_string(), "PONG");
    }
    target.expect_well();
}

#[test]
fn res_6_a_long_reply_tells_of_one_moment_whatever_changes() {
    let mut target = Target::laden();
    for (nth, command) in ASKING.iter().enumerate() {
        let mut lazy = target.lazy(command);
        let new = format!("new{nth}");
        // These wait for the reply to be made; a script that names no keys does not know that it should.
        target.change(&["RPUSH", "list", &new]);
        target.change(&["HSET", "hash", &new, &new]);
        target.change(&["SADD", "set", &new]);
        target.change(&["ZADD", "zset", "-1", &new]);
        target.change(&["XADD", "stream", "*", &new, &new]);
        let script = format!("for at = 1, 300 do redis.call('SET', '0000{new}' .. at, '') end");
        target.change(&["EVAL", &script, "0"]);
        let reply = lazy.recv().expect("a reply");
        assert_eq!(elements(&reply), ELEMENTS, "{command:?}");
        assert!(!reply.to_string().contains(&new), "{command:?} tells of what came later");
    }
    target.expect_well();
}

#[test]
fn res_6_a_long_reply_tells_of_what_is_gone() {
    let mut target = Target::laden();
    // By commands that wait for the reply to be made and by those that do not.
    let steps: [(&[&str], &[&str]); 9] = [
        (&["LRANGE", "list", "0", "-1"], &["LTRIM", "list", "1", "0"]),
        (&["HVALS", "hash"], &["DEL", "hash"]),
        (&["SMEMBERS", "set"], &["EVAL", "redis.call('DEL', 'set')", "0"]),
        (&["ZRANGE", "zset", "0", "-1"], &["RENAME", "zset", "other"]),
        (&["ZREVRANGE", "other", "0", "-1"], &["SET", "other", "one string"]),
        (&["XRANGE", "stream", "-", "+"], &["RENAME", "stream", "log"]),
        (&["XREVRANGE", "log", "+", "-"], &["XTRIM", "log", "MAXLEN", "0"]),
        (&["KEYS", "0000*"], &["SWAPDB", "0", "1"]),
        (&["KEYS", "0000*"], &["FLUSHALL"]),
    ];
    for (asking, removing) in steps {
        let mut lazy = target.lazy(asking);
        target.change(removing);
        assert_eq!(elements(&lazy.recv().expect("a reply")), ELEMENTS, "{asking:?}, {removing:?}");
        if removing[0] == "SWAPDB" {
            target.change(removing);
        }
    }
    assert_eq!(target.witness.cmd(&["DBSIZE"]).to_string(), "0");
    target.expect_well();
}

#[test]
fn res_6_long_replies_outlive_a_flush() {
    let mut target = Target::laden();
    let mut replies: Vec<_> = ASKING.iter().map(|command| target.lazy(command)).collect();
    target.change(&["FLUSHALL"]);
    for (lazy, command) in replies.iter_mut().zip(ASKING) {
        assert_eq!(elements(&lazy.recv().expect("a reply")), ELEMENTS, "{command:?}");
    }
    target.expect_well();
}

#[test]
fn res_6_who_leaves_in_the_middle_of_a_long_reply_holds_nobody_up() {
    let mut target = Target::laden();
    for command in ASKING {
        drop(target.lazy(command));
    }
    target.change(&["LPOP", "list"]);
    target.change(&["HDEL", "hash", "1"]);
    target.change(&["SPOP", "set"]);
    target.change(&["ZPOPMIN", "zset"]);
    target.change(&["FLUSHALL"]);
    target.expect_well();
}

#[test]
fn res_6_a_snapshot_that_nobody_takes_takes_no_memory() {
    let mut target = Target::start(&["--rdbcompression", "no"]);
    let value = "v".repeat(1 << 20);
    (0..ELEMENTS).for_each(|nth| target.change(&["SET", &nth.to_string(), &value]));
    let before = target.rss();
    let mut lazy: Vec<Client> = Vec::new();
    for nth in 1..=4 {
        let mut client = Client::connect(target.addr()).expect("the server listens");
        assert_eq!(client.cmd(&["REPLCONF", "rdb-only", "1"]).to_string(), "OK");
        client.send(&["SYNC"]).expect("a fresh socket takes a little");
        lazy.push(client);
        let until = Instant::now() + PATIENCE;
        let sent = |info: &Reply| info.to_string().matches("state=send_bulk").count();
        while sent(&target.witness.cmd(&["INFO", "replication"])) < nth {
            assert!(Instant::now() < until, "it is not sent");
            pause(5);
        }
    }
    // What goes on being read would show by then.
    pause(300);
    let grown = target.growth_that_stays(before, 16 << 20);
    println!("grown by {grown} bytes");
    assert!(grown <= 16 << 20, "grown by {grown} bytes");
    let clients = target.witness.cmd(&["CLIENT", "LIST", "TYPE", "replica"]).to_string();
    let waiting = clients.split(" omem=").skip(1).filter_map(|rest| rest.split(' ').next());
    let waiting: Vec<usize> = waiting.map(|bytes| bytes.parse().expect("a number")).collect();
    assert!(waiting.len() == 4 && waiting.iter().all(|bytes| *bytes <= 256 << 10), "{waiting:?}");
    for mut client in lazy {
        let all = client.read_until_closed(PATIENCE).expect("it ends").len();
        assert!(all > ELEMENTS << 20, "{all} bytes");
    }
    target.expect_well();
}
