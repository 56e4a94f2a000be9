//! XINFO: streams, groups and consumers described.

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{ACCESS, RO, at};
use russet_dispatch::{Args, Command, Context, Error, Outcome};
use russet_engine::types::stream::{Consumer, Entry, Group, Log, Stream, StreamId};
use russet_resp::Writer;

use super::pending::owner_name;
use super::{STREAM, reply_entries, reply_entry, reply_id};
use crate::help;

/// What the subcommands have in common.
const OF_INFO: Command = Command { file: file!(), since: "5.0.0", flags: &[ReadOnly], ..STREAM };

/// The row.
pub(super) const XINFO: Command = Command {
    name: "xinfo",
    summary: "Holds what describes streams and consumer groups.",
    complexity: "Depends on subcommand.",
    since: "5.0.0",
    arity: -2,
    subcommands: SUBCOMMANDS,
    file: file!(),
    ..STREAM
};

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "consumers",
        syntax: "key group",
        summary: "Describes the consumers of a group.",
        arity: 4,
        keys: &[at(2, RO | ACCESS)],
        tips: &["nondeterministic_output"],
        history: &[("7.2.0", "Tells `inactive`, and `idle` means something else.")],
        run: consumers,
        ..OF_INFO
    },
    Command {
        name: "groups",
        syntax: "key",
        summary: "Describes the consumer groups of a stream.",
        arity: 3,
        keys: &[at(2, RO | ACCESS)],
        history: &[("7.0.0", "Tells `entries-read` and `lag`.")],
        run: groups,
        ..OF_INFO
    },
    help::row("5.0.0", &STREAM),
    Command {
        name: "stream",
        syntax: "key [FULL [COUNT count:int]]",
        summary: "Describes a stream, with all its groups if that is asked for.",
        arity: -3,
        keys: &[at(2, RO | ACCESS)],
        history: &[
            ("6.0.0", "Takes FULL."),
            ("7.0.0", "Tells of entries that were, and how far groups have read."),
            ("7.2.0", "Tells `active-time`, and `seen-time` means something else."),
        ],
        run: stream,
        ..OF_INFO
    },
];

/// Entries that FULL shows unless COUNT says otherwise.
const COUNT: i64 = 10;

fn consumers(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, name, now) = (args.key()?, args.next()?, cx.now());
    let stream = cx.data.read_as::<Stream>(key)?.ok_or(Error::NoSuchKey)?;
    let group = stream.groups.get(name).ok_or_else(|| Error::no_group_of(key.bytes, name))?;
    cx.reply.array(group.consumer_count());
    for (_, consumer) in group.consumers() {
        let inactive = consumer.active_ms.map_or(-1, |active| (now as i64) - active as i64);
        let reply = &mut cx.reply;
        reply.map(4);
        text(reply, "name", &consumer.name);
        number(reply, "pending", consumer.pending_len() as i64);
        number(reply, "idle", now.saturating_sub(consumer.seen_ms) as i64);
        number(reply, "inactive", inactive);
    }
    Ok(())
}

fn groups(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let stream = cx.data.read_as::<Stream>(key)?.ok_or(Error::NoSuchKey)?;
    cx.reply.array(stream.groups.len());
    for group in stream.groups.iter() {
        let reply = &mut cx.reply;
        reply.map(6);
        text(reply, "name", group.name());
        number(reply, "consumers", group.consumer_count() as i64);
        number(reply, "pending", group.pending_len() as i64);
        progress(reply, group, &stream.log);
    }
    Ok(())
}

fn stream(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, now) = (args.key()?, cx.now());
    let stream = cx.data.read_as::<Stream>(key)?.ok_or(Error::NoSuchKey)?;
    let full = read_full(args)?;
    let reply = &mut cx.reply;
    let producers = stream.idempotence.as_ref().map_or(0, |_| 6);
    reply.map(producers + if full.is_some() { 9 } else { 10 });
    describe(reply, stream, now);
    match full {
        None => describe_ends(reply, stream),
        Some(count) => describe_all(reply, stream, count),
    }
    Ok(())
}

/// `FULL [COUNT count]`: how many entries to show; 0 is all.
fn read_full(args: &mut Args<'_>) -> Result<Option<usize>, Error> {
    if args.is_empty() {
        return Ok(None);
    }
    let wrong = Error::subcommand(args.word(1), "xinfo");
    let words = args.left();
    if !matches!(words, 1 | 3) || !args.flag("FULL") || (words == 3 && !args.flag("COUNT")) {
        return Err(wrong);
    }
    let count = if words == 3 { args.int()? } else { COUNT };
    Ok(Some(if count < 0 { COUNT } else { count } as usize))
}

/// What both forms begin with.
fn describe(reply: &mut Writer<'_>, stream: &Stream, now: u64) {
    let log = &stream.log;
    number(reply, "length", log.len() as i64);
    number(reply, "radix-tree-keys", log.block_count() as i64);
    number(reply, "radix-tree-nodes", radix_nodes(log) as i64);
    id(reply, "last-generated-id", log.last_id());
    id(reply, "max-deleted-entry-id", log.max_deleted_id());
    number(reply, "entries-added", log.entries_added() as i64);
    id(reply, "recorded-first-entry-id", log.first_id());
    if let Some(known) = &stream.idempotence {
        let (producers, names) = known.tracked(now);
        number(reply, "idmp-duration", (known.duration_ms / 1000) as i64);
        number(reply, "idmp-maxsize", known.names_max as i64);
        number(reply, "pids-tracked", producers as i64);
        number(reply, "iids-tracked", names as i64);
        number(reply, "iids-added", known.added as i64);
        number(reply, "iids-duplicates", known.duplicates as i64);
    }
}

fn describe_ends(reply: &mut Writer<'_>, stream: &Stream) {
    let log = &stream.log;
    number(reply, "groups", stream.groups.len() as i64);
    reply.bulk(b"first-entry");
    end(reply, log.range(StreamId::MIN, StreamId::MAX).next());
    reply.bulk(b"last-entry");
    end(reply, log.range_back(StreamId::MIN, StreamId::MAX).next());
}

fn end(reply: &mut Writer<'_>, entry: Option<Entry<'_>>) {
    match entry {
        Some(entry) => reply_entry(reply, &entry),
        None => reply.null(),
    }
}

fn describe_all(reply: &mut Writer<'_>, stream: &Stream, count: usize) {
    let count = if count == 0 { usize::MAX } else { count };
    reply.bulk(b"entries");
    reply_entries(reply, stream.log.range(StreamId::MIN, StreamId::MAX).take(count));
    reply.bulk(b"groups");
    reply.array(stream.groups.len());
    for group in stream.groups.iter() {
        reply.map(7);
        text(reply, "name", group.name());
        progress(reply, group, &stream.log);
        number(reply, "pel-count", group.pending_len() as i64);
        reply.bulk(b"pending");
        group_pending(reply, group, count);
        reply.bulk(b"consumers");
        reply.array(group.consumer_count());
        for (_, consumer) in group.consumers() {
            describe_consumer(reply, group, consumer, count);
        }
    }
}

fn group_pending(reply: &mut Writer<'_>, group: &Group, count: usize) {
    reply.array(group.pending_len().min(count));
    for (pending_id, pending) in group.pending(StreamId::MIN, StreamId::MAX).take(count) {
        reply.array(4);
        reply_id(reply, pending_id);
        reply.bulk(owner_name(group, pending));
        reply.integer(pending.delivered_ms as i64);
        reply.integer(pending.count as i64);
    }
}

fn describe_consumer(reply: &mut Writer<'_>, group: &Group, consumer: &Consumer, count: usize) {
    reply.map(5);
    text(reply, "name", &consumer.name);
    number(reply, "seen-time", consumer.seen_ms as i64);
    number(reply, "active-time", consumer.active_ms.map_or(-1, |active| active as i64));
    number(reply, "pel-count", consumer.pending_len() as i64);
    reply.bulk(b"pending");
    reply.array(consumer.pending_len().min(count));
    for pending_id in consumer.pending(StreamId::MIN, StreamId::MAX).take(count) {
        let pending = group.pending_of(pending_id).expect("what a consumer has the group has");
        reply.array(3);
        reply_id(reply, pending_id);
        reply.integer(pending.delivered_ms as i64);
        reply.integer(pending.count as i64);
    }
}

/// How far a group has read.
fn progress(reply: &mut Writer<'_>, group: &Group, log: &Log) {
    id(reply, "last-delivered-id", group.last_id);
    maybe(reply, "entries-read", group.entries_read.map(|read| read as i64));
    maybe(reply, "lag", group.lag(log));
}

fn text(reply: &mut Writer<'_>, name: &str, text: &[u8]) {
    reply.bulk(name.as_bytes());
    reply.bulk(text);
}

fn number(reply: &mut Writer<'_>, name: &str, number: i64) {
    reply.bulk(name.as_bytes());
    reply.integer(number);
}

fn id(reply: &mut Writer<'_>, name: &str, id: StreamId) {
    reply.bulk(name.as_bytes());
    reply_id(reply, id);
}

fn maybe(reply: &mut Writer<'_>, name: &str, number: Option<i64>) {
    reply.bulk(name.as_bytes());
    match number {
        Some(number) => reply.integer(number),
        None => reply.null(),
    }
}

/// How many nodes a radix tree of the blocks' IDs has, as Redis keeps them. O(n) where n is the number of blocks.
fn radix_nodes(log: &Log) -> usize {
    let bytes = |id: StreamId| (u128::from(id.ms) << 64 | u128::from(id.seq)).to_be_bytes();
    let ids: Vec<_> = log.blocks().map(|(id, _)| bytes(id)).collect();
    if ids.is_empty() { 1 } else { nodes_below(&ids, 0) }
}

/// The nodes below one that IDs with the same first `depth` bytes lead to: one for a stretch that all share, one where they part, and
/// a leaf for each.
fn nodes_below(ids: &[[u8; 16]], depth: usize) -> usize {
    let (first, last) = (&ids[0], &ids[ids.len() - 1]);
    let shared = first.iter().zip(last).take_while(|(a, b)| a == b).count();
    let stretch = usize::from(shared > depth);
    if ids.len() == 1 {
        return stretch + 1;
    }
    let parts = ids.chunk_by(|a, b| a[shared] == b[shared]);
    stretch + 1 + parts.map(|part| nodes_below(part, shared + 1)).sum::<usize>()
}
