//! DEBUG: for tests and for those who look under the lid.
//!
//! One command to Redis, so its topics are no subcommands: they have a small table of their own. What a topic promises is done or the
//! topic is unknown here.

mod digest;
mod populate;
mod protocol;

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::time::Duration;

use russet_config::{Config, id};
use russet_dispatch::command::{Flag::*, Handler};
use russet_dispatch::persistence::Reload;
use russet_dispatch::request::Request;
use russet_dispatch::{Args, Command, Context, Error, Group, Outcome, Stop};
use russet_engine::random::Random;
use russet_engine::types::list::List;
use russet_engine::{Access, Busy, Entry, Name, ObjectRef};
use russet_rdb::Style;

use crate::generic::dump::style;
use crate::help;

/// The row.
pub const COMMANDS: &[Command] = &[Command {
    name: "debug",
    syntax: "subcommand [arg [arg ...]]",
    summary: "Shows and changes what only tests should.",
    complexity: "Depends on subcommand.",
    since: "1.0.0",
    group: Group::Server,
    arity: -2,
    flags: &[Admin, NoScript, Loading, Stale, Protected, Walks],
    file: file!(),
    run: debug,
    ..Command::BASE
}];

/// One thing that DEBUG can do.
struct Topic {
    name: &'static str,
    syntax: &'static str,
    summary: &'static str,
    /// How many words may follow the name.
    words: RangeInclusive<usize>,
    run: Handler,
}

const MANY: usize = usize::MAX;

/// Everything DEBUG can do.
const TOPICS: &[Topic] = &[
    Topic {
        name: "aof-flush-sleep",
        syntax: "<microsec>",
        summary: "Makes each write of the append-only file under `appendfsync always` come so much later.",
        words: 1..=1,
        run: aof_flush_sleep,
    },
    Topic {
        name: "change-repl-id",
        syntax: "",
        summary: "Gives the history of the data a new name.",
        words: 0..=0,
        run: change_replication_id,
    },
    Topic {
        name: "config-rewrite-force-all",
        syntax: "",
        summary: "Writes every parameter into the configuration file, also those at their defaults.",
        words: 0..=0,
        run: rewrite_all,
    },
    Topic {
        name: "dict-resizing",
        syntax: "<0|1>",
        summary: "Is accepted: tables grow and shrink with what is in them.",
        words: 1..=1,
        run: accepted,
    },
    Topic {
        name: "digest",
        syntax: "",
        summary: "Sums all keys and values up in forty hexadecimal digits.",
        words: 0..=0,
        run: digest::of_all,
    },
    Topic {
        name: "digest-value",
        syntax: "<key> [<key> ...]",
        summary: "Sums values up in forty hexadecimal digits each.",
        words: 0..=MANY,
        run: digest::of_values,
    },
    Topic {
        name: "error",
        syntax: "<string>",
        summary: "Answers with this error.",
        words: 1..=1,
        run: error,
    },
    Topic {
        name: "help",
        syntax: "",
        summary: "Tells what the subcommands do.",
        words: 0..=0,
        run: help,
    },
    Topic {
        name: "htstats",
        syntax: "<dbid> [full]",
        summary: "Tells how large the tables of a database are.",
        words: 1..=2,
        run: table_sizes,
    },
    Topic {
        name: "htstats-key",
        syntax: "<key> [full]",
        summary: "Tells how large the table of a big hash, set or sorted set is.",
        words: 1..=2,
        run: table_size,
    },
    Topic {
        name: "loadaof",
        syntax: "",
        summary: "Reads the append-only file back.",
        words: 0..=0,
        run: load_aof,
    },
    Topic {
        name: "log",
        syntax: "<message>",
        summary: "Writes a line into the log.",
        words: 1..=1,
        run: log,
    },
    Topic {
        name: "mallctl",
        syntax: "<name>",
        summary: "Shows a number that the allocator knows by this name.",
        words: 1..=1,
        run: allocator_number,
    },
    Topic {
        name: "mallctl-str",
        syntax: "thread.tcache.flush VOID",
        summary: "Has the thread that runs this give back what it keeps at hand of freed memory.",
        words: 2..=2,
        run: let_go,
    },
    Topic {
        name: "object",
        syntax: "<key> [fast]",
        summary: "Shows how the value of a key is kept, and unless it has to be fast, how long its dump is.",
        words: 1..=2,
        run: object,
    },
    Topic {
        name: "pause-cron",
        syntax: "<0|1>",
        summary: "Stops the housekeeping, or lets it go on.",
        words: 1..=1,
        run: pause_cron,
    },
    Topic {
        name: "populate",
        syntax: "<count> [<prefix>] [<size>]",
        summary: "Makes so many keys, as <prefix>:<number>, where they are not there; nobody is told.",
        words: 1..=3,
        run: populate::populate,
    },
    Topic {
        name: "protocol",
        syntax: "<type>",
        summary: "Answers with a sample of a type of reply.",
        words: 1..=1,
        run: protocol::sample,
    },
    Topic {
        name: "quicklist-packed-threshold",
        syntax: "<size>",
        summary: "Is accepted: elements of any size are kept the same way.",
        words: 1..=1,
        run: accepted,
    },
    Topic {
        name: "reload",
        syntax: "[NOSAVE] [NOFLUSH] [MERGE]",
        summary: "Saves all data and reads it back, while nobody sees it.",
        words: 0..=3,
        run: reload,
    },
    Topic {
        name: "replybuffer",
        syntax: "<peak-reset-time|resizing> <value>",
        summary: "Is accepted: replies wait in buffers of just their size.",
        words: 2..=2,
        run: accepted,
    },
    Topic {
        name: "set-active-expire",
        syntax: "<0|1>",
        summary: "Leaves keys that have ended where they are until somebody asks for them, or removes them.",
        words: 1..=1,
        run: set_active_expire,
    },
    Topic {
        name: "set-disable-deny-scripts",
        syntax: "<0|1>",
        summary: "Lets scripts run what they may not, or forbids it again.",
        words: 1..=1,
        run: set_disable_deny_scripts,
    },
    Topic {
        name: "set-skip-checksum-validation",
        syntax: "<0|1>",
        summary: "Takes dumps and snapshots whatever their checksums say, or looks at those again.",
        words: 1..=1,
        run: set_skip_checksums,
    },
    Topic {
        name: "sleep",
        syntax: "<seconds>",
        summary: "Lets this client wait.",
        words: 1..=1,
        run: sleep,
    },
    Topic {
        name: "stringmatch-len",
        syntax: "<length> <pattern>",
        summary: "Matches a pattern against a text of so many letters.",
        words: 2..=2,
        run: match_long,
    },
];

fn debug(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let word = args.next()?;
    let topic = TOPICS.iter().find(|topic| {
        word.eq_ignore_ascii_case(topic.name.as_bytes()) && topic.words.contains(&args.left())
    });
    if let Some(topic) = topic {
        return (topic.run)(cx, args);
    }
    let word: String = String::from_utf8_lossy(word).chars().take(128).collect();
    let text = format!(
        "ERR unknown subcommand or wrong number of arguments for '{word}'. Try DEBUG HELP."
    );
    Err(Error::of(text).into())
}

fn help(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    help::lines(cx, "debug", TOPICS.iter().map(|topic| (topic.name, topic.syntax, topic.summary)));
    Ok(())
}

fn change_replication_id(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    cx.state.begin_history(&mut Random::new(cx.thread.random()));
    cx.reply.ok();
    Ok(())
}

fn rewrite_all(_: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    Err(Stop::Ask(Box::new(Request::RewriteConfig { force: true })))
}

fn load_aof(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    if cx.session.deny_blocking {
        return Err(Error::NotInMulti.into());
    }
    Err(Stop::Ask(Box::new(Request::LoadAof)))
}

fn reload(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let mut how = Reload::default();
    while !args.is_empty() {
        if args.flag("nosave") {
            how.no_save = true;
        } else if args.flag("noflush") {
            how.no_flush = true;
        } else if args.flag("merge") {
            how.merges = true;
        } else {
            return Err(Error::of(
                "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
            )
            .into());
        }
    }
    if cx.session.deny_blocking {
        return Err(Error::NotInMulti.into());
    }
    Err(Stop::Ask(Box::new(Request::Reload(how))))
}

/// The client's own words, without a code put before them and without being counted.
fn error(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let text = args.next()?;
    cx.reply.error_bytes(text);
    Ok(())
}

fn log(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let text = String::from_utf8_lossy(args.next()?);
    tracing::warn!("DEBUG LOG: {}", text.escape_debug());
    cx.reply.ok();
    Ok(())
}

fn allocator_number(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let name = String::from_utf8_lossy(args.next()?).into_owned();
    let number = cx.state.tools.get().and_then(|tools| (tools.allocator_number)(&name));
    let number =
        number.ok_or_else(|| Error::of("ERR the allocator knows no number of this name"))?;
    cx.reply.integer(number);
    Ok(())
}

/// The one name that is for doing, not for reading or writing, and harms nobody.
fn let_go(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let is_known = args.next()? == b"thread.tcache.flush" && args.next()? == b"VOID";
    if !is_known || !cx.state.tools.get().is_some_and(|tools| (tools.let_go)()) {
        return Err(Error::of("ERR Operation not permitted").into());
    }
    cx.reply.ok();
    Ok(())
}

fn accepted(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    cx.reply.ok();
    Ok(())
}

/// Whether the next argument is a number other than zero.
fn is_on(args: &mut Args<'_>) -> Result<bool, Error> {
    Ok(args.int()? != 0)
}

fn set_active_expire(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    cx.state.active_expire.store(is_on(args)?, Ordering::Relaxed);
    cx.reply.ok();
    Ok(())
}

fn set_disable_deny_scripts(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    cx.state.scripts.is_unrestricted.store(is_on(args)?, Ordering::Relaxed);
    cx.reply.ok();
    Ok(())
}

fn set_skip_checksums(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    cx.state.persistence.skips_checksums.store(is_on(args)?, Ordering::Relaxed);
    cx.reply.ok();
    Ok(())
}

fn aof_flush_sleep(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let microseconds = args.int()?.max(0).unsigned_abs();
    cx.state.aof.sleep_us.store(microseconds, Ordering::Relaxed);
    cx.reply.ok();
    Ok(())
}

fn pause_cron(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    cx.state.is_cron_paused.store(is_on(args)?, Ordering::Relaxed);
    cx.reply.ok();
    Ok(())
}

fn sleep(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let milliseconds = (args.float()?.max(0.0) * 1000.0).ceil() as u64;
    if cx.session.deny_blocking {
        sleep_in_place(cx, Duration::from_millis(milliseconds));
        return Ok(());
    }
    Err(Stop::Ask(Box::new(Request::Sleep { milliseconds })))
}

/// Inside a transaction nobody else may run meanwhile, as in Redis: the thread sleeps with all that the transaction holds.
#[expect(clippy::disallowed_methods, reason = "a test asks for a server that stands still")]
fn sleep_in_place(cx: &mut Context<'_>, time: Duration) {
    std::thread::sleep(time);
    // The thread may be the only one that tells the time. What is left of the transaction still sees the time of its start; those whom
    // it serves at its end do not.
    let clock = &cx.state.clock;
    clock.advance(clock.now_us() / 1000);
    cx.reply.ok();
}

fn match_long(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    /// Longer texts would keep the thread from its other clients.
    const LEN_MAX: usize = 1 << 20;
    let (len, pattern) = (args.count()?.min(LEN_MAX), args.next()?);
    let is_match = russet_engine::glob::matches(pattern, &vec![b'a'; len]);
    cx.reply.integer(i64::from(is_match));
    Ok(())
}

/// Shows the entry of any key, declared or not, and one that has ended as long as nobody has removed it.
fn look<R>(
    cx: &Context<'_>,
    key: &[u8],
    look: impl FnOnce(&Entry) -> R,
) -> Result<Option<R>, Busy> {
    let spot = cx.state.keyspace.locate(key);
    let name = Name { db: cx.data.db, key, hash: spot.hash };
    cx.data.visit(spot.shard, |shard| shard.get(name).map(look))
}

/// The bits of use are read both ways, as Redis does: the policy says which of them means something.
fn object(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (config, now, style) = (cx.state.config.load(), cx.now(), style(cx));
    let (key, is_fast) = (args.next()?, args.flag("fast"));
    let decay = config.integer(const { id("lfu-decay-time") }) as u32;
    let described = look(cx, key, |entry| {
        let (address, encoding, access) = (entry.address(), entry.encoding(), entry.access());
        let idle = Access::recency(now).idle_seconds(access).unwrap_or_default();
        let count = Access::frequency(now, 0, decay).count(access).unwrap_or_default();
        let length = if is_fast { String::new() } else { serialized_length(entry, style) };
        let rows = list_of(entry).map(|list| rows(list, &config, is_fast)).unwrap_or_default();
        format!(
            "Value at:{address:p} refcount:1 encoding:{encoding}{length} lru:{access} lru_seconds_idle:{idle} \
             lfu_freq:{count} lfu_access_time_minutes:{}{rows}",
            access >> 8
        )
    })?;
    cx.reply.simple(&described.ok_or(Error::NoSuchKey)?);
    Ok(())
}

/// The list of an entry, if it is one that Redis would keep in several listpacks.
fn list_of(entry: &Entry) -> Option<&List> {
    match entry.object()? {
        ObjectRef::List(list) if entry.encoding() == "quicklist" => Some(list),
        _ => None,
    }
}

/// What Redis tells of the nodes of a long list; ours are its rows. Whether they are compressed is whether they would be: ours never are.
fn rows(list: &List, config: &Config, is_fast: bool) -> String {
    let (rows, max) = (list.rows(), config.integer(const { id("list-max-listpack-size") }));
    let is_compressed = config.integer(const { id("list-compress-depth") }) != 0;
    let mut text = format!(
        " ql_nodes:{rows} ql_avg_node:{:.2} ql_listpack_max:{max} ql_compressed:{}",
        list.len() as f64 / rows as f64,
        u8::from(is_compressed)
    );
    if !is_fast {
        text += &[" ql_uncompressed_size:", &list.quicklist_bytes().to_string()].concat();
    }
    text
}

/// How long the contents of a dump are, without the type.
fn serialized_length(entry: &Entry, style: Style) -> String {
    let mut out = Vec::new();
    russet_rdb::encode(entry.view(), style, &mut out);
    format!(" serializedlength:{}", out.len() - 1)
}

fn table_sizes(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let db = args.db(cx.state.databases).map_err(|_| Error::of("ERR Out of range database"))?;
    let (mut buckets, mut keys, mut volatile) = (0, 0, 0);
    for shard in 0..cx.state.keyspace.shards() {
        cx.data.visit(shard, |shard| {
            let Some(database) = shard.database(db) else { return };
            buckets += database.table().buckets();
            keys += database.table().len();
            volatile += database.volatile();
        })?;
    }
    let text = format!(
        "[Dictionary HT]\nHash table 0 stats (main hash table):\n table size: {buckets}\n number of elements: {keys}\n\
         [Expires HT]\nHash table 0 stats (main hash table):\n number of elements: {volatile}\n"
    );
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// For a set that is a page, for the others a bucket.
fn table_size(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let of = |entry: &Entry| entry.object().and_then(|it| Some((it.buckets()?, it.len())));
    let found = look(cx, args.next()?, of)?.ok_or(Error::NoSuchKey)?;
    let (buckets, elements) = found.ok_or(Error::NoHashTable)?;
    let text = format!(
        "Hash table 0 stats (main hash table):\n table size: {buckets}\n number of elements: {elements}\n"
    );
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}
