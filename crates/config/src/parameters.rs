//! The table.
//!
//! A row is a kind of value, a name and a default; what else is true of it follows as words: `fixed` (not by
//! CONFIG SET), `protected`, `hidden`, `secret`, `inert` (accepted, without effect). Rows stand in chapters,
//! and the order of chapters and rows is the order of CONFIG GET and of the generated files.

use crate::{Kind, Names, Parameter, Rule, Section};

const INT: i64 = i32::MAX as i64;
const UINT: i64 = u32::MAX as i64;
const LONG: i64 = i64::MAX;
const PORT: i64 = u16::MAX as i64;
/// The greatest number of bytes where Redis keeps them in a signed number.
const BYTES: u64 = i64::MAX as u64;
const MIB: u64 = 1 << 20;
/// More threads than this help nobody.
const THREADS: i64 = 1024;

/// Every row of every chapter.
pub const PARAMETERS: &[Parameter] = &{
    let mut rows = [yes_no("", "no"); count()];
    let mut row = 0;
    let mut section = 0;
    while section < SECTIONS.len() {
        let mut index = 0;
        while index < SECTIONS[section].parameters.len() {
            rows[row] = SECTIONS[section].parameters[index];
            row += 1;
            index += 1;
        }
        section += 1;
    }
    rows
};

/// The chapters.
pub const SECTIONS: &[Section] = &[
    Section { title: "Network", parameters: NETWORK },
    Section { title: "TLS", parameters: TLS },
    Section { title: "Process and log", parameters: PROCESS },
    Section { title: "Security", parameters: SECURITY },
    Section { title: "Clients", parameters: CLIENTS },
    Section { title: "Memory and eviction", parameters: MEMORY },
    Section { title: "Threads and timers", parameters: THREADING },
    Section { title: "Snapshots", parameters: SNAPSHOTS },
    Section { title: "Append-only file", parameters: AOF },
    Section { title: "Replication", parameters: REPLICATION },
    Section { title: "Cluster", parameters: CLUSTER },
    Section { title: "Scripts and shutdown", parameters: SCRIPTS },
    Section { title: "Observation", parameters: OBSERVATION },
    Section { title: "Encodings", parameters: ENCODINGS },
    Section { title: "For tests", parameters: TESTING },
    Section { title: "Accepted, without effect", parameters: INERT },
];

const fn count() -> usize {
    let mut rows = 0;
    let mut section = 0;
    while section < SECTIONS.len() {
        rows += SECTIONS[section].parameters.len();
        section += 1;
    }
    rows
}

const fn row(name: &'static str, kind: Kind, default: &'static str) -> Parameter {
    Parameter {
        name,
        alias: None,
        kind,
        default,
        immutable: false,
        protected: false,
        hidden: false,
        sensitive: false,
        deny_loading: false,
        volatile: false,
        inert: false,
        doc: "",
    }
}

const fn yes_no(name: &'static str, default: &'static str) -> Parameter {
    row(name, Kind::YesNo, default)
}

const fn integer(name: &'static str, min: i64, max: i64, default: &'static str) -> Parameter {
    row(name, Kind::Integer { min, max }, default)
}

const fn memory(name: &'static str, min: u64, max: u64, default: &'static str) -> Parameter {
    row(name, Kind::Memory { min, max }, default)
}

const fn choice(name: &'static str, names: Names, default: &'static str) -> Parameter {
    row(name, Kind::Choice(names), default)
}

const fn text(name: &'static str, rule: Rule, default: &'static str) -> Parameter {
    row(name, Kind::Text { rule, optional: false }, default)
}

/// Text that may be absent, and is by default.
const fn optional(name: &'static str, rule: Rule) -> Parameter {
    row(name, Kind::Text { rule, optional: true }, "")
}

/// The name of a file to be read again whenever it is set.
const fn file(name: &'static str) -> Parameter {
    Parameter { volatile: true, ..optional(name, Rule::Any) }
}

impl Parameter {
    const fn doc(self, doc: &'static str) -> Self {
        Self { doc, ..self }
    }

    const fn alias(self, alias: &'static str) -> Self {
        Self { alias: Some(alias), ..self }
    }

    const fn fixed(self) -> Self {
        Self { immutable: true, ..self }
    }

    const fn protected(self) -> Self {
        Self { protected: true, ..self }
    }

    const fn hidden(self) -> Self {
        Self { hidden: true, ..self }
    }

    const fn secret(self) -> Self {
        Self { sensitive: true, ..self }
    }

    const fn not_while_loading(self) -> Self {
        Self { deny_loading: true, ..self }
    }

    const fn inert(self) -> Self {
        Self { inert: true, ..self }
    }
}

const NETWORK: &[Parameter] = &[
    row("bind", Kind::Addresses, "* -::*")
        .doc("Addresses to listen on; a leading dash lets the server start without that one."),
    integer("port", 0, PORT, "6379").doc("TCP port; 0 listens on none."),
    yes_no("protected-mode", "yes")
        .doc("Refuse clients from other machines while the default user has no password."),
    integer("tcp-backlog", 0, INT, "511")
        .fixed()
        .doc("Connections the kernel queues before they are accepted."),
    integer("tcp-keepalive", 0, INT, "300").doc(
        "Seconds of silence before the kernel asks whether a client is still there; 0 never asks.",
    ),
    integer("timeout", 0, INT, "0").doc("Close clients idle for so many seconds; 0 never does."),
    optional("unixsocket", Rule::Any).fixed().doc("Path of a Unix socket to listen on as well."),
    row("unixsocketperm", Kind::Octal { max: 0o777 }, "0")
        .fixed()
        .doc("Permissions of the Unix socket, in base eight; 0 leaves them to the umask."),
    optional("unixsocketgroup", Rule::Any).fixed().doc("Group the Unix socket is given to."),
    optional("bind-source-addr", Rule::Any)
        .doc("Address that connections made by this server come from."),
    integer("socket-mark-id", 0, UINT, "0")
        .fixed()
        .doc("Mark put on sockets for the firewall; 0 puts none."),
    integer("metrics-port", 0, PORT, "0")
        .doc("Port that serves metrics in Prometheus' format, and whether the server is well; 0 serves none."),
    row("metrics-bind", Kind::Addresses, "127.0.0.1 -::1")
        .doc("Addresses to listen on for that."),
];

const TLS_CLIENTS: Names = &[("no", 0), ("yes", 1), ("optional", 2)];
const TLS_USER: Names = &[("off", 0), ("CN", 1), ("URI", 2)];

const TLS: &[Parameter] = &[
    integer("tls-port", 0, PORT, "0").doc("Port for TLS; 0 listens on none."),
    file("tls-cert-file").doc("Certificate of this server, PEM."),
    file("tls-key-file").doc("Its private key, PEM."),
    optional("tls-key-file-pass", Rule::Any).secret().doc("Passphrase of the private key."),
    file("tls-client-cert-file")
        .doc("Certificate for connections this server makes; else its own."),
    file("tls-client-key-file").doc("Private key to go with it."),
    optional("tls-client-key-file-pass", Rule::Any).secret().doc("Passphrase of that key."),
    file("tls-ca-cert-file").doc("Certificates of the authorities that peers are checked against."),
    file("tls-ca-cert-dir").doc("Directory of such certificates."),
    choice("tls-auth-clients", TLS_CLIENTS, "yes").doc("Whether clients must show a certificate."),
    choice("tls-auth-clients-user", TLS_USER, "off")
        .doc("Field of a client's certificate that names the user it logs in as."),
    yes_no("tls-replication", "no").doc("Use TLS towards the primary."),
    yes_no("tls-cluster", "no").doc("Use TLS on the cluster bus."),
    optional("tls-protocols", Rule::Any)
        .doc("Versions to offer, such as \"TLSv1.2 TLSv1.3\"; empty offers both."),
    optional("tls-ciphers", Rule::Any)
        .doc("Cipher suites for TLS 1.2; empty for the library's choice."),
    optional("tls-ciphersuites", Rule::Any)
        .doc("Cipher suites for TLS 1.3; empty for the library's choice."),
    yes_no("tls-prefer-server-ciphers", "no").doc("Let this server's order of suites decide."),
    yes_no("tls-session-caching", "yes").doc("Let clients resume sessions."),
    integer("tls-session-cache-size", 0, INT, "20480").doc("Sessions remembered."),
    integer("tls-session-cache-timeout", 0, INT, "300").doc("Seconds a session is remembered."),
];

const LOG_LEVEL: Names =
    &[("debug", 0), ("verbose", 1), ("notice", 2), ("warning", 3), ("nothing", 4)];
const LOG_FORMAT: Names = &[("text", 0), ("json", 1), ("legacy", 0), ("logfmt", 2)];
const SUPERVISED: Names = &[("upstart", 3), ("systemd", 2), ("auto", 1), ("no", 0)];
const OOM_ADJUST: Names = &[("no", 0), ("yes", 1), ("relative", 1), ("absolute", 2)];
const FACILITY: Names = &[
    ("user", 8),
    ("local0", 128),
    ("local1", 136),
    ("local2", 144),
    ("local3", 152),
    ("local4", 160),
    ("local5", 168),
    ("local6", 176),
    ("local7", 184),
];

const PROCESS: &[Parameter] = &[
    integer("databases", 1, INT, "16").fixed().doc("Number of databases, from 0."),
    yes_no("daemonize", "no").fixed().doc("Go into the background after the start."),
    choice("supervised", SUPERVISED, "no")
        .fixed()
        .doc("Tell this supervisor when the server is ready."),
    optional("pidfile", Rule::Any)
        .fixed()
        .doc("File that holds the process id while the server runs."),
    row("dir", Kind::Directory, ".")
        .protected()
        .not_while_loading()
        .doc("Directory where snapshots and the append-only file live."),
    choice("loglevel", LOG_LEVEL, "notice").doc("How much is logged."),
    text("logfile", Rule::Any, "").fixed().doc("Log to this file; empty logs to standard output."),
    choice("log-format", LOG_FORMAT, "text").doc("Write the log for people, as JSON or in pairs."),
    yes_no("hide-user-data-from-log", "yes")
        .doc("Keep keys and values out of logs and crash reports."),
    yes_no("crash-log-enabled", "yes").doc("Log where a thread panicked."),
    yes_no("syslog-enabled", "no").fixed().doc("Log to /dev/log as well."),
    text("syslog-ident", Rule::Any, "redis").fixed().doc("Name in syslog."),
    choice("syslog-facility", FACILITY, "local0").fixed().doc("Facility in syslog."),
    choice("oom-score-adj", OOM_ADJUST, "no")
        .doc("Whether to tell the kernel what to kill first when memory runs out."),
    row("oom-score-adj-values", Kind::Scores, "0 200 800")
        .doc("Scores of a primary, a replica and a background process."),
];

const ALLOWED: Names = &[("no", 0), ("yes", 1), ("local", 2)];
const CHANNELS: Names = &[("allchannels", 1), ("resetchannels", 0)];

const SECURITY: &[Parameter] = &[
    optional("requirepass", Rule::Any).secret().doc("Password of the default user."),
    text("aclfile", Rule::Any, "").fixed().doc("File that holds the users; empty keeps them in this file."),
    choice("acl-pubsub-default", CHANNELS, "resetchannels").doc("Channels a new user may use."),
    integer("acllog-max-len", 0, LONG, "128").doc("Refusals ACL LOG remembers."),
    choice("enable-protected-configs", ALLOWED, "no")
        .fixed()
        .doc("Who may change `dir` and `dbfilename` by CONFIG SET."),
    choice("enable-debug-command", ALLOWED, "no").fixed().doc("Who may use DEBUG."),
    integer("unauthenticated-timeout", 0, INT, "10")
        .doc("Close clients that have not logged in after so many seconds where they must; 0 never does."),
    integer("unauthenticated-clients-percent", 1, 100, "25")
        .doc("Share of `maxclients` that may be clients who have yet to log in."),
    memory("unauthenticated-output-limit", 1024, BYTES, "64kb")
        .doc("Unsent output of a client who has yet to log in."),
    integer("auth-failures-max", 0, INT, "5")
        .doc("Close a connection after so many wrong passwords; 0 never does."),
];

const CLIENTS: &[Parameter] = &[
    integer("maxclients", 1, UINT, "10000").doc("Clients connected at once."),
    integer("maxclients-reserved", 0, INT, "32")
        .doc("Further clients let in from this machine when all places are taken; a hundredth of maxclients at most."),
    integer("partial-command-timeout", 0, INT, "60")
        .doc("Close clients that take more than so many seconds over one command; 0 never does."),
    memory("client-query-buffer-limit", MIB, BYTES, "1gb").doc("Unread input of one client."),
    row(
        "client-output-buffer-limit",
        Kind::OutputLimits,
        "normal 1gb 0 0 slave 256mb 64mb 60 pubsub 32mb 8mb 60",
    )
    .doc(
        "Unsent output of a client, by class: hard limit, soft limit, seconds above it; 0 is none.",
    ),
    row("maxmemory-clients", Kind::Share, "auto")
        .doc("Buffers of all clients: bytes, a percentage of maxmemory, 0 for no limit, or auto."),
    memory("proto-max-bulk-len", MIB, BYTES, "512mb").doc("Longest single string."),
    integer("tracking-table-max-keys", 0, LONG, "1000000")
        .doc("Keys remembered for client-side caching; 0 is no limit."),
    row("notify-keyspace-events", Kind::Events, "").doc(
        "Events to publish: K and E choose the channels, g$lshzxetdmnoc the events, A most of them.",
    ),
];

const EVICTION: Names = &[
    ("volatile-lru", 1),
    ("volatile-lfu", 2),
    ("volatile-random", 3),
    ("volatile-ttl", 4),
    ("volatile-lrm", 8),
    ("allkeys-lru", 5),
    ("allkeys-lfu", 6),
    ("allkeys-random", 7),
    ("allkeys-lrm", 9),
    ("volatile-s3fifo", 10),
    ("volatile-sieve", 11),
    ("volatile-tinylfu", 12),
    ("allkeys-s3fifo", 13),
    ("allkeys-sieve", 14),
    ("allkeys-tinylfu", 15),
    ("noeviction", 0),
];

const MEMORY: &[Parameter] = &[
    memory("maxmemory", 0, u64::MAX, "0").doc("Memory for data; 0 is no limit."),
    choice("maxmemory-policy", EVICTION, "noeviction").doc("What goes when memory is full."),
    integer("maxmemory-samples", 1, 64, "5").doc("Keys compared to find the one to evict."),
    integer("maxmemory-eviction-tenacity", 0, 100, "10")
        .doc("How long eviction may go on at a time, from 0 to 100."),
    integer("lfu-log-factor", 0, INT, "10").doc("How slowly the counter of uses grows."),
    integer("lfu-decay-time", 0, INT, "1")
        .doc("Minutes after which the counter of uses falls by one."),
    integer("active-expire-effort", 1, 10, "1").doc("How hard to look for keys that have expired."),
    yes_no("activedefrag", "no").doc("Move values together where they fill pages only in part."),
    integer("active-defrag-cycle-min", 1, 99, "1")
        .doc("Share of a core for that, in percent, at the lower threshold …"),
    integer("active-defrag-cycle-max", 1, 99, "25").doc("… and at the upper one."),
    integer("active-defrag-cycle-us", 0, 100_000, "500")
        .doc("Microseconds it works at a stretch, in holds of some tens of them."),
    integer("active-defrag-threshold-lower", 0, 1000, "10")
        .doc("Percent of the memory in use that must be lost before it begins."),
    integer("active-defrag-threshold-upper", 0, 1000, "100")
        .doc("Percent from which on it works as much as it may."),
    memory("active-defrag-ignore-bytes", 1, BYTES, "100mb")
        .doc("Bytes that must be lost before it begins."),
];

const THREADING: &[Parameter] = &[
    row("io-threads", Kind::Threads { max: THREADS }, "auto")
        .fixed()
        .doc("Threads that serve clients; 0 or auto is one per available core."),
    integer("hz", 0, INT, "10").doc("How often a second the housekeeping runs."),
    optional("server-cpulist", Rule::Any)
        .alias("server_cpulist")
        .fixed()
        .doc("Cores the threads that serve clients stay on."),
];

const SANITIZE: Names = &[("no", 0), ("yes", 1), ("clients", 2)];
const VERSION_CHECK: Names = &[("strict", 0), ("relaxed", 1)];

const SNAPSHOTS: &[Parameter] = &[
    row("save", Kind::Save, "3600 1 300 100 60 10000")
        .doc("Snapshot after so many seconds with so many changes, in pairs; empty for never."),
    text("dbfilename", Rule::FileName, "dump.rdb").protected().doc("Name of the snapshot."),
    yes_no("rdbcompression", "yes").doc("Compress strings in snapshots."),
    yes_no("rdbchecksum", "yes").fixed().doc("Write and check the checksum of snapshots."),
    yes_no("stop-writes-on-bgsave-error", "yes")
        .doc("Refuse writes while the last snapshot failed."),
    yes_no("rdb-del-sync-files", "no")
        .doc("Delete snapshots made for replication when nothing else is kept on disk."),
    choice("rdb-version-check", VERSION_CHECK, "strict")
        .doc("Refuse snapshots of newer versions, or try."),
];

const FSYNC: Names = &[("everysec", 1), ("always", 2), ("no", 0)];

const AOF: &[Parameter] = &[
    yes_no("appendonly", "no")
        .not_while_loading()
        .doc("Log every write, so that a crash loses a second at most."),
    text("appendfilename", Rule::FileName, "appendonly.aof")
        .fixed()
        .doc("Beginning of the files' names."),
    text("appenddirname", Rule::DirectoryName, "appendonlydir")
        .fixed()
        .doc("Their directory, within `dir`."),
    choice("appendfsync", FSYNC, "everysec").doc("When to force writes to the disk."),
    yes_no("no-appendfsync-on-rewrite", "no")
        .doc("Do not force them while a rewrite or a snapshot runs."),
    integer("auto-aof-rewrite-percentage", 0, INT, "100")
        .doc("Rewrite the log when it has grown by this much; 0 never does."),
    memory("auto-aof-rewrite-min-size", 0, BYTES, "64mb").doc("But not below this size."),
    yes_no("aof-load-truncated", "yes").doc("Start although the end of the log is cut off."),
    memory("aof-load-corrupt-tail-max-size", 0, BYTES, "0")
        .doc("Start although so many bytes at the end of the log are damaged."),
    yes_no("aof-use-rdb-preamble", "yes").doc("Write the base of the log as a snapshot."),
    yes_no("aof-timestamp-enabled", "no")
        .doc("Note the time in the log, for recovery up to a point."),
    yes_no("aof-checksum", "yes")
        .doc("Write checksums into the log, as comments that Redis skips."),
    yes_no("aof-disable-auto-gc", "no").hidden().doc("Keep log files that are no longer needed."),
];

const DISKLESS_LOAD: Names =
    &[("disabled", 0), ("on-empty-db", 1), ("swapdb", 2), ("flush-before-load", 3)];
const PROPAGATION: Names = &[("ignore", 0), ("panic", 1), ("panic-on-replicas", 2)];

const REPLICATION: &[Parameter] = &[
    row("replicaof", Kind::Replica, "no one")
        .alias("slaveof")
        .fixed()
        .doc("Host and port of the primary to follow."),
    optional("masterauth", Rule::Any)
        .alias("primaryauth")
        .secret()
        .doc("Password for the primary."),
    optional("masteruser", Rule::Any)
        .alias("primaryuser")
        .secret()
        .doc("User to log in at the primary as."),
    yes_no("replica-read-only", "yes").alias("slave-read-only").doc("Refuse writes on a replica."),
    yes_no("replica-serve-stale-data", "yes")
        .alias("slave-serve-stale-data")
        .doc("Answer while the link to the primary is down."),
    yes_no("replica-ignore-maxmemory", "yes")
        .alias("slave-ignore-maxmemory")
        .doc("Let the primary alone decide what is evicted."),
    yes_no("replica-ignore-disk-write-errors", "no")
        .doc("Follow the primary on although the replica cannot write to its disk."),
    yes_no("replica-announced", "yes").doc("Let Sentinel tell clients about this replica."),
    optional("replica-announce-ip", Rule::Any)
        .alias("slave-announce-ip")
        .doc("Address a replica says it has."),
    integer("replica-announce-port", 0, PORT, "0")
        .alias("slave-announce-port")
        .doc("Port a replica says it has; 0 is the one it listens on."),
    integer("replica-priority", 0, INT, "100")
        .alias("slave-priority")
        .doc("Sentinel promotes the replica with the least; 0 is never promoted."),
    integer("min-replicas-to-write", 0, INT, "0")
        .alias("min-slaves-to-write")
        .doc("Refuse writes with fewer good replicas than this."),
    integer("min-replicas-max-lag", 0, INT, "10")
        .alias("min-slaves-max-lag")
        .doc("A replica is good when it was heard of within so many seconds."),
    memory("repl-backlog-size", 1, BYTES, "10mb")
        .doc("Writes kept for replicas that come back after a broken link."),
    integer("repl-backlog-ttl", 0, LONG, "3600")
        .doc("Seconds without replicas after which they are dropped; 0 never drops them."),
    integer("repl-timeout", 1, INT, "60").doc("Seconds of silence after which a link is broken."),
    integer("repl-ping-replica-period", 1, INT, "10")
        .alias("repl-ping-slave-period")
        .doc("Seconds between the primary's signs of life."),
    yes_no("repl-disable-tcp-nodelay", "no").doc("Send to replicas in fewer, larger packets."),
    yes_no("repl-diskless-sync", "yes").doc("Send the first snapshot to replicas without a file."),
    integer("repl-diskless-sync-delay", 0, INT, "5")
        .doc("Seconds to wait for more replicas before sending it."),
    integer("repl-diskless-sync-max-replicas", 0, INT, "0")
        .doc("Do not wait once so many are there; 0 always waits."),
    choice("repl-diskless-load", DISKLESS_LOAD, "disabled")
        .not_while_loading()
        .doc("When a replica loads the snapshot without a file."),
    memory("replica-full-sync-buffer-limit", 0, BYTES, "0").doc(
        "Writes a replica keeps while it loads the snapshot; 0 is the limit of its output buffer.",
    ),
    yes_no("dual-channel-replication-enabled", "no")
        .alias("repl-rdb-channel")
        .doc("Send snapshot and writes over two connections."),
    choice("propagation-error-behavior", PROPAGATION, "ignore")
        .doc("What to do when a command from the primary or the log fails."),
];

const ENDPOINT: Names = &[("ip", 0), ("hostname", 1), ("unknown-endpoint", 2)];

const CLUSTER: &[Parameter] = &[
    yes_no("cluster-enabled", "no").fixed().doc("Be a node of a cluster."),
    text("cluster-config-file", Rule::Required, "nodes.conf")
        .fixed()
        .doc("File where a node keeps what it knows of the cluster."),
    integer("cluster-databases", 1, INT, "1").doc("Number of databases in a cluster, from the next start on."),
    integer("cluster-port", 0, PORT, "0").fixed().doc("Port of the cluster bus; 0 is the port plus 10000."),
    integer("cluster-node-timeout", 0, LONG, "15000")
        .doc("Milliseconds of silence after which a node counts as failing."),
    integer("cluster-replica-validity-factor", 0, INT, "10")
        .alias("cluster-slave-validity-factor")
        .doc("A replica out of touch for this many timeouts does not stand for election; 0 always may."),
    integer("cluster-migration-barrier", 0, INT, "1")
        .doc("Replicas a primary keeps when others have none."),
    yes_no("cluster-allow-replica-migration", "yes").doc("Let replicas move to primaries without any."),
    yes_no("cluster-replica-no-failover", "no")
        .alias("cluster-slave-no-failover")
        .doc("Never stand for election."),
    yes_no("cluster-require-full-coverage", "yes").doc("Refuse queries while any slot has no node."),
    yes_no("cluster-allow-reads-when-down", "no").doc("Answer reads while the cluster is down."),
    yes_no("cluster-allow-pubsubshard-when-down", "yes")
        .doc("Serve shard channels while the cluster is down."),
    optional("cluster-announce-ip", Rule::Any).doc("Address a node says it has."),
    optional("cluster-announce-client-ipv4", Rule::Ipv4).doc("IPv4 address told to clients."),
    optional("cluster-announce-client-ipv6", Rule::Ipv6).doc("IPv6 address told to clients."),
    optional("cluster-announce-hostname", Rule::HostName).doc("Host name a node says it has."),
    optional("cluster-announce-human-nodename", Rule::NodeName).doc("Name of the node in logs."),
    integer("cluster-announce-port", 0, PORT, "0").doc("Port a node says it has."),
    integer("cluster-announce-tls-port", 0, PORT, "0").doc("Port for TLS a node says it has."),
    integer("cluster-announce-bus-port", 0, PORT, "0").doc("Port of the bus a node says it has."),
    choice("cluster-preferred-endpoint-type", ENDPOINT, "ip").doc("What clients are told to connect to."),
    memory("cluster-link-sendbuf-limit", 0, u64::MAX, "0")
        .doc("Unsent output of a link of the bus; 0 is no limit."),
    integer("cluster-blacklist-ttl", 0, LONG, "60").doc("Seconds a forgotten node is kept away."),
    integer("cluster-manual-failover-timeout", 1, INT, "5000")
        .doc("Milliseconds a manual failover may take."),
    integer("cluster-message-gossip-perc", 1, 100, "10").doc("Share of the nodes told of in a message."),
    yes_no("cluster-slot-stats-enabled", "no").doc("Count what each slot costs."),
    integer("cluster-compatibility-sample-ratio", 0, 100, "0")
        .doc("Share of commands checked for what a cluster would refuse."),
    integer("cluster-slot-migration-log-max-len", 0, LONG, "1000").doc("Past migrations remembered."),
    memory("cluster-slot-migration-handoff-max-lag-bytes", 0, BYTES, "1mb")
        .doc("Hand a slot over when the other side is this close behind."),
    integer("cluster-slot-migration-write-pause-timeout", 0, LONG, "10000")
        .doc("Milliseconds writes may pause while a slot is handed over."),
    integer("cluster-slot-migration-sync-buffer-drain-timeout", 0, LONG, "60000")
        .doc("Milliseconds the other side may take to catch up."),
    memory("slot-migration-max-failover-repl-bytes", 0, BYTES, "0")
        .doc("Bytes that may be on the way when a migrated slot changes hands."),
    integer("cluster-ping-interval", 0, LONG, "0").hidden().doc("Milliseconds between pings; 0 is automatic."),
];

const SHUTDOWN: Names = &[("default", 0), ("save", 2), ("nosave", 1), ("now", 4), ("force", 8)];

const SCRIPTS: &[Parameter] = &[
    integer("busy-reply-threshold", 0, LONG, "5000")
        .alias("lua-time-limit")
        .doc("Milliseconds after which a running script can be killed and others are told."),
    memory("script-memory-limit", MIB, BYTES, "256mb").doc("Memory one script may use."),
    integer("shutdown-timeout", 0, INT, "10")
        .doc("Seconds a shutdown waits for replicas to catch up."),
    row("shutdown-on-sigint", Kind::Flags(SHUTDOWN), "default").doc("How to shut down on SIGINT."),
    row("shutdown-on-sigterm", Kind::Flags(SHUTDOWN), "default")
        .doc("How to shut down on SIGTERM."),
];

const OBSERVATION: &[Parameter] = &[
    integer("slowlog-log-slower-than", -1, LONG, "10000")
        .alias("commandlog-execution-slower-than")
        .doc("Log commands that take longer than so many microseconds; 0 logs all, -1 none."),
    integer("slowlog-max-len", 0, LONG, "128")
        .alias("commandlog-slow-execution-max-len")
        .doc("Slow commands remembered."),
    integer("commandlog-request-larger-than", -1, LONG, "1048576")
        .doc("Log commands with a request of more bytes than this; -1 logs none."),
    integer("commandlog-large-request-max-len", 0, LONG, "128").doc("Large requests remembered."),
    integer("commandlog-reply-larger-than", -1, LONG, "1048576")
        .doc("Log commands with a reply of more bytes than this; -1 logs none."),
    integer("commandlog-large-reply-max-len", 0, LONG, "128").doc("Large replies remembered."),
    integer("latency-monitor-threshold", 0, LONG, "0")
        .doc("Note events that take so many milliseconds; 0 notes none."),
    yes_no("latency-tracking", "yes").doc("Keep a histogram of each command's latency."),
    row("latency-tracking-info-percentiles", Kind::Percentiles, "50 99 99.9")
        .doc("Percentiles of it that INFO shows."),
    text("availability-zone", Rule::Any, "").doc("Zone told to clients that ask."),
];

const ENCODINGS: &[Parameter] = &[
    integer("hash-max-listpack-entries", 0, LONG, "512")
        .alias("hash-max-ziplist-entries")
        .doc("A hash of at most so many fields is kept compact …"),
    memory("hash-max-listpack-value", 0, BYTES, "64")
        .alias("hash-max-ziplist-value")
        .doc("… while none is longer than this."),
    integer("list-max-listpack-size", i32::MIN as i64, INT, "-2")
        .alias("list-max-ziplist-size")
        .doc("Elements of a list's node, or -1 to -5 for 4, 8, 16, 32 or 64 kB."),
    integer("set-max-intset-entries", 0, LONG, "512")
        .doc("A set of at most so many integers is kept compact."),
    integer("set-max-listpack-entries", 0, LONG, "128")
        .doc("A set of at most so many members is kept compact …"),
    integer("set-max-listpack-value", 0, LONG, "64").doc("… while none is longer than this."),
    integer("zset-max-listpack-entries", 0, LONG, "128")
        .alias("zset-max-ziplist-entries")
        .doc("A sorted set of at most so many members is kept compact …"),
    memory("zset-max-listpack-value", 0, BYTES, "64")
        .alias("zset-max-ziplist-value")
        .doc("… while none is longer than this."),
    memory("hll-sparse-max-bytes", 0, BYTES, "3000")
        .doc("A HyperLogLog up to this size is kept sparse."),
    memory("stream-node-max-bytes", 0, BYTES, "4096")
        .doc("Bytes of a stream's node; 0 is no limit."),
    integer("stream-node-max-entries", 0, LONG, "100")
        .doc("Entries of a stream's node; 0 is no limit."),
    integer("stream-idmp-duration", 1, 86_400, "100")
        .doc("Seconds a stream remembers a producer's message, to drop it if it comes again."),
    integer("stream-idmp-maxsize", 1, 10_000, "100").doc("Messages remembered for each producer."),
];

const TESTING: &[Parameter] = &[
    integer("key-load-delay", i32::MIN as i64, INT, "0")
        .hidden()
        .doc("Microseconds to wait after loading a key; below 0, keys to load before waiting one."),
    integer("rdb-key-save-delay", i32::MIN as i64, INT, "0")
        .hidden()
        .doc("Microseconds to wait after saving a key; below 0, keys to save before waiting one."),
    integer("loading-process-events-interval-bytes", 1024, INT, "2097152")
        .hidden()
        .doc("Bytes loaded between two looks at the clients."),
    integer("client-default-resp", 2, 3, "2")
        .fixed()
        .hidden()
        .doc("Protocol that clients speak until they say HELLO."),
    text("debug-context", Rule::Any, "").hidden().doc("Note that appears in crash reports."),
    yes_no("enable-debug-assert", "no").fixed().hidden().doc("Let DEBUG ASSERT crash the server."),
    yes_no("import-mode", "no")
        .doc("Let a client that imports data see and keep what has expired."),
];

const TIMESTAMP: Names = &[("legacy", 0), ("iso8601", 1), ("milliseconds", 2)];

const INERT: &[Parameter] = &[
    integer("active-defrag-max-scan-fields", 1, LONG, "1000")
        .inert()
        .doc("Large values are always moved in parts."),
    yes_no("activerehashing", "yes").inert().doc("Tables grow a little with each write anyway."),
    yes_no("always-show-logo", "no").fixed().inert().doc("There is no logo."),
    yes_no("aof-rewrite-incremental-fsync", "yes")
        .inert()
        .doc("Rewrites always reach the disk in steps."),
    optional("aof-rewrite-cpulist", Rule::Any)
        .alias("aof_rewrite_cpulist")
        .fixed()
        .inert()
        .doc("Rewrites need no process of their own."),
    optional("bgsave-cpulist", Rule::Any)
        .alias("bgsave_cpulist")
        .fixed()
        .inert()
        .doc("Snapshots need no process of their own."),
    optional("bio-cpulist", Rule::Any)
        .alias("bio_cpulist")
        .fixed()
        .inert()
        .doc("Background threads run where the kernel puts them."),
    yes_no("crash-memcheck-enabled", "yes").inert().doc("Memory is not tested after a crash."),
    yes_no("debug-client-enforce-reply-list", "no")
        .hidden()
        .inert()
        .doc("Replies are kept in one way only."),
    yes_no("disable-thp", "yes")
        .fixed()
        .inert()
        .doc("Snapshots do not copy the process, so huge pages do no harm."),
    yes_no("dynamic-hz", "yes").inert().doc("The housekeeping costs the same with many clients."),
    choice("enable-module-command", ALLOWED, "no")
        .fixed()
        .inert()
        .doc("There are no loadable modules."),
    integer("events-per-io-thread", 0, INT, "2")
        .inert()
        .doc("Every thread serves its clients all the time."),
    yes_no("extended-redis-compatibility", "no").inert().doc("The server always answers as Redis."),
    optional("hash-seed", Rule::Any)
        .fixed()
        .hidden()
        .inert()
        .doc("Each process draws a seed of its own."),
    text("ignore-warnings", Rule::Any, "")
        .inert()
        .doc("There are no warnings that stop the start."),
    yes_no("io-threads-always-active", "no").hidden().inert().doc("They always are."),
    yes_no("io-threads-do-reads", "yes")
        .fixed()
        .inert()
        .doc("Every thread reads, executes and writes."),
    yes_no("jemalloc-bg-thread", "yes").inert().doc("The allocator looks after itself."),
    yes_no("key-memory-histograms", "no").inert().doc("Sizes of keys are not counted by class."),
    yes_no("lazyfree-lazy-eviction", "yes")
        .inert()
        .doc("Large values are always freed in the background."),
    yes_no("lazyfree-lazy-expire", "yes").inert().doc("See lazyfree-lazy-eviction."),
    yes_no("lazyfree-lazy-server-del", "yes").inert().doc("See lazyfree-lazy-eviction."),
    yes_no("lazyfree-lazy-user-del", "yes").inert().doc("See lazyfree-lazy-eviction."),
    yes_no("lazyfree-lazy-user-flush", "yes").inert().doc("See lazyfree-lazy-eviction."),
    yes_no("replica-lazy-flush", "yes")
        .alias("slave-lazy-flush")
        .inert()
        .doc("See lazyfree-lazy-eviction."),
    integer("list-compress-depth", 0, INT, "0").inert().doc("Nodes of lists are not compressed."),
    text("locale-collate", Rule::Any, "").inert().doc("SORT ALPHA compares bytes."),
    choice("log-timestamp-format", TIMESTAMP, "legacy")
        .inert()
        .doc("The log has one way to write the time."),
    integer("lookahead", 1, INT, "16")
        .inert()
        .doc("Commands that have arrived are all seen at once."),
    yes_no("lua-enable-insecure-api", "no")
        .alias("lua-enable-deprecated-api")
        .hidden()
        .inert()
        .doc("Scripts never get print, getfenv, setfenv and newproxy."),
    integer("max-new-connections-per-cycle", 1, 1000, "10")
        .inert()
        .doc("Accepting is spread over the threads."),
    integer("max-new-tls-connections-per-cycle", 1, 1000, "1")
        .inert()
        .doc("Accepting is spread over the threads."),
    yes_no("mptcp", "no").inert().doc("There is no multipath TCP."),
    yes_no("repl-mptcp", "no").inert().doc("There is no multipath TCP."),
    integer("prefetch-batch-max-size", 0, 128, "16").inert().doc("Lookups are not batched."),
    text("proc-title-template", Rule::Title, "{title} {listen-addr} {server-mode}")
        .inert()
        .doc("The process keeps the name it was started by."),
    yes_no("set-proc-title", "yes")
        .fixed()
        .inert()
        .doc("The process keeps the name it was started by."),
    yes_no("rdb-save-incremental-fsync", "yes")
        .inert()
        .doc("Snapshots always reach the disk in steps."),
    row("rdma-bind", Kind::Text { rule: Rule::Any, optional: true }, "")
        .inert()
        .doc("There is no RDMA."),
    integer("rdma-port", 0, PORT, "0").inert().doc("There is no RDMA."),
    integer("rdma-rx-size", 64 << 10, 16 << 20, "1048576").inert().doc("There is no RDMA."),
    integer("rdma-completion-vector", -1, 1024, "-1").inert().doc("There is no RDMA."),
    optional("req-res-logfile", Rule::Any).fixed().hidden().inert().doc("Requests are not logged."),
    choice("sanitize-dump-payload", SANITIZE, "yes")
        .inert()
        .doc("Payloads are always checked in depth."),
    file("tls-dh-params-file").inert().doc("Keys are exchanged over elliptic curves."),
    yes_no("use-exit-on-panic", "no").hidden().inert().doc("A crash always exits."),
    yes_no("vset-force-single-threaded-execution", "no")
        .inert()
        .doc("Vector sets have no threads of their own."),
    integer("watchdog-period", 0, INT, "0")
        .hidden()
        .inert()
        .doc("Slow commands are found by the slow log."),
];
