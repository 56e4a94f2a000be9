//! Which commands the comparison leaves out, and why.

use russet_dispatch::Row;
use russet_testkit::differential::{Doubles, Excuse};

/// Names of commands, or of containers with all that is in them, each list with its reason.
const LEFT_OUT: &[(&str, &[&str])] = &[
    (
        "newer than the servers compared with",
        &[
            "delex",
            "delifeq",
            "digest",
            "increx",
            "msetex",
            "lmovem",
            "blmovem",
            "hexpire",
            "himport",
            "hexpireat",
            "hexpiretime",
            "hpexpire",
            "hpexpireat",
            "hpexpiretime",
            "hpttl",
            "httl",
            "hpersist",
            "hgetdel",
            "hgetex",
            "hsetex",
            "sdiffcard",
            "sunioncard",
            "xackdel",
            "xcfgset",
            "xdelex",
            "xidmprecord",
            "xnack",
        ],
    ),
    (
        "scripts, which are programs and not arguments; transcripts of their own",
        &["eval", "eval_ro", "evalsha", "evalsha_ro", "fcall", "fcall_ro", "function", "script"],
    ),
    (
        "about the connection or the client; transcripts of their own",
        &["auth", "client", "hello", "ping", "quit", "reset"],
    ),
    (
        "about the server: its own figures, its own names, its end",
        &[
            "acl",
            "command",
            "config",
            "debug",
            "info",
            "lastsave",
            "latency",
            "lolwut",
            "memory",
            "module",
            "monitor",
            "role",
            "shutdown",
            "slowlog",
            "time",
            "commandlog",
            "hotkeys",
        ],
    ),
    ("replication", &["psync", "replconf", "replicaof", "slaveof", "sync", "wait", "waitaof"]),
    ("files", &["bgrewriteaof", "bgsave", "save"]),
    (
        "messages, which reach other connections; transcripts of their own",
        &[
            "publish",
            "spublish",
            "subscribe",
            "psubscribe",
            "ssubscribe",
            "unsubscribe",
            "punsubscribe",
            "sunsubscribe",
            "pubsub",
        ],
    ),
    ("empties everything; each stretch begins so", &["flushall", "flushdb"]),
    (
        "the bytes are those of the version; travelling between servers is tested with RDB",
        &["dump", "restore", "restore-asking"],
    ),
    ("text for people", &["help"]),
    ("inner figures", &["object|refcount", "object|freq", "pfdebug", "pfselftest"]),
];

/// Words of options that the servers compared with do not know.
const NEWER_WORDS: &[&str] = &[
    "KEEPREF",
    "DELREF",
    "ACKED",
    "IDMPAUTO",
    "IDMP",
    "MAXCOUNT",
    "MAXSIZE",
    "CLAIM",
    "IFEQ",
    "IFNE",
    "IFDEQ",
    "IFDNE",
    "BYPOLYGON",
    "DIFF",
    "DIFF1",
    "ANDOR",
    "ONE",
    "NOSCORES",
];

/// The longest member of a small sorted set: the default, which nothing changes here.
const SHORT_BYTES_MAX: usize = 64;

/// A server to compare with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// What is started.
    pub(super) program: &'static str,
    /// The version of Redis whose commands it has.
    version: (u32, u32),
    /// Words of options that it does not know, besides those that no peer knows.
    newer: &'static [&'static str],
    /// Parameters that it does not know.
    newer_parameters: &'static [&'static str],
    /// What it answers otherwise.
    pub(super) excuse: Excuse,
    /// How it prints doubles.
    pub(super) doubles: Doubles,
    /// Whether it calls encodings as we do, and fails transactions as we do.
    pub(super) is_recent: bool,
}

/// The servers to compare with.
pub(super) const VALKEY: Peer = Peer {
    program: "valkey-server",
    version: (8, 0),
    newer: &[],
    newer_parameters: &[],
    excuse: |_, _, _| false,
    doubles: Doubles::Longer,
    is_recent: true,
};
pub(super) const REDIS: Peer = Peer {
    program: "redis-server",
    version: (7, 0),
    newer: &["NOVALUES", "WITHSCORE"],
    newer_parameters: &["set-max-listpack-entries"],
    excuse: is_of_7_0,
    doubles: Doubles::Unlike,
    is_recent: false,
};

/// Commands whose answers 7.2 has changed: how ours begin and how theirs do.
const CHANGED: &[(&[&str], &str, &str)] = &[
    // Takes WITHSCORE.
    (&["ZRANK", "ZREVRANK"], "-ERR syntax", "-ERR wrong number"),
    // Looks at the cursor before the key.
    (&["SCAN", "HSCAN", "SSCAN", "ZSCAN"], "-ERR invalid cursor", "*2"),
    // Counts an offset before the beginning from the end of a large set.
    (&["ZRANGE", "ZRANGEBYSCORE", "ZREVRANGEBYSCORE", "ZRANGEBYLEX", "ZREVRANGEBYLEX"], "*", "*0"),
    // Takes spaces before a cursor.
    (&["SCAN", "HSCAN", "SSCAN", "ZSCAN"], "*2", "-ERR invalid cursor"),
    // Looks at the rank before it reads on.
    (&["LPOS"], "-ERR value is out of range", ""),
    // Knows which types there are.
    (&["SCAN"], "-ERR unknown type name", ""),
    // Takes a start without an end, and looks at numbers before the key, at the unit before the end.
    (&["BITCOUNT"], "", "-ERR syntax"),
    (&["BITCOUNT"], "-ERR syntax", "-ERR value is not an integer"),
    (&["BITCOUNT", "BITPOS"], "-ERR", ":"),
    (&["BITCOUNT", "BITPOS"], "-ERR", "-WRONGTYPE"),
    // Takes `+`.
    (&["XREAD"], "", "-ERR Invalid stream ID"),
    (&["XREADGROUP"], "-ERR", "-ERR Invalid stream ID"),
    (&["XREAD", "XREADGROUP"], "-ERR Unbalanced", "-ERR Unbalanced"),
    (
        &["BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP"],
        "-ERR timeout is out of range",
        "-ERR timeout is negative",
    ),
    (&["OBJECT"], "$", "$"),
];

fn is_of_7_0(command: &[u8], left: &[u8], right: &[u8]) -> bool {
    CHANGED.iter().any(|(commands, ours, theirs)| {
        commands.iter().any(|name| name.as_bytes() == command)
            && left.starts_with(ours.as_bytes())
            && right.starts_with(theirs.as_bytes())
    })
}

impl Peer {
    /// Whether it has a command.
    pub(super) fn has(&self, row: &Row) -> bool {
        let mut since = row.command.since.split('.').map_while(|number| number.parse().ok());
        let since = (since.next().unwrap_or(0), since.next().unwrap_or(0));
        since <= self.version
    }

    /// Whether CONFIG SET of this parameter is left out.
    pub(super) fn lacks_parameter(&self, name: &str) -> bool {
        self.newer_parameters.contains(&name)
    }

    /// Whether it does something else with such a command, whatever that command then answers.
    pub(super) fn lacks_form(&self, command: &[String]) -> bool {
        let is = |place: usize, word: &str| {
            command.get(place).is_some_and(|it| it.eq_ignore_ascii_case(word))
        };
        let has = |word: &str| command.iter().any(|it| it.eq_ignore_ascii_case(word));
        // It asks for the memory of so many ids at once, and whether it gets that is the machine's affair.
        let count = command.iter().skip_while(|it| !it.eq_ignore_ascii_case("COUNT")).nth(1);
        let is_huge = count.and_then(|it| it.parse::<i64>().ok()).is_some_and(|it| it >> 30 > 0);
        let is_any_long = command.iter().any(|word| word.len() > SHORT_BYTES_MAX);
        if is(0, "XAUTOCLAIM") && is_huge {
            return true;
        }
        // Without the words of a syntax that came later; a key whose time is past stays until it is met; -0 becomes 0 where a set does not
        // stay small; a long member makes a set large that XX does not put it into; the least number is negated there; the last entry
        // deleted is not looked at.
        !self.is_recent
            && ((is(0, "ZRANK") || is(0, "ZREVRANK")) && command.len() > 3
                || is(0, "XSETID")
                || is(0, "SET") && (has("EXAT") || has("PXAT"))
                || is(0, "ZRANGESTORE") && has("LIMIT")
                || is(0, "ZADD") && (has("-0") || has("XX") && is_any_long)
                || is(0, "LREM") && has("-9223372036854775808")
                || is(0, "XINFO") && (is(1, "CONSUMERS") || has("FULL")))
    }

    /// What must come right before a command, so that both are in the same state.
    pub(super) fn first(&self, command: &[String]) -> Vec<Vec<String>> {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        let consumer = |key: &String, group: &String, consumer: &String| {
            words(&["XGROUP", "CREATECONSUMER", key, group, consumer])
        };
        match (command[0].to_ascii_lowercase().as_str(), command) {
            // It takes it for its own when a number that was read before was out of range: by another command, or by itself where it makes a
            // sorted set large. So that is done before, and a cursor that is spelled oddly puts the rest right.
            ("sort" | "sort_ro", _) if command.iter().any(|word| word == "nosort") => Vec::new(),
            ("sort" | "sort_ro", [_, key, ..]) => vec![
                words(&["SORT", key, "BY", "nosort", "LIMIT", "0", "0"]),
                words(&["SSCAN", "nosuchkey", "+0"]),
            ],
            // They make the consumer only if there is something for it.
            ("xclaim" | "xautoclaim", [_, key, group, name, ..]) if !self.is_recent => {
                vec![consumer(key, group, name)]
            }
            ("xreadgroup", [_, _, group, name, rest @ ..]) if !self.is_recent => {
                let keys = rest.iter().skip_while(|word| *word != "STREAMS").skip(1);
                keys.map(|key| consumer(key, group, name)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether an option of this word is left out.
    pub(super) fn lacks(&self, word: &str) -> bool {
        self.newer.contains(&word) || NEWER_WORDS.contains(&word)
    }
}

/// Why a command is left out, if it is.
pub(super) fn left_out(row: &Row) -> Option<&'static str> {
    let container = row.full_name.split('|').next().unwrap_or_default();
    let names = [row.full_name.as_str(), container, row.command.name];
    let is_named = |list: &&[&str]| names.iter().any(|name| list.contains(name));
    LEFT_OUT.iter().find(|(_, list)| is_named(list)).map(|(reason, _)| *reason)
}
