//! Which commands the comparison leaves out, and why.

use russet_dispatch::Row;

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
            "function",
            "commandlog",
        ],
    ),
    ("replication", &["psync", "replconf", "replicaof", "slaveof", "sync", "wait", "waitaof"]),
    ("files", &["bgrewriteaof", "bgsave", "save"]),
    ("messages, which reach other connections", &["publish", "psubscribe", "subscribe"]),
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

/// A server to compare with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// What is started.
    pub(super) program: &'static str,
    /// Words of options that it does not know, besides those that no peer knows.
    newer: &'static [&'static str],
    /// Whether it calls encodings as we do, and fails transactions as we do.
    pub(super) is_recent: bool,
}

/// The servers to compare with.
pub(super) const VALKEY: Peer = Peer { program: "valkey-server", newer: &[], is_recent: true };
pub(super) const REDIS: Peer =
    Peer { program: "redis-server", newer: &["NOVALUES", "WITHSCORE"], is_recent: false };

impl Peer {
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
