//! XGROUP, and what a group is told of entries: XACK, XACKDEL, XNACK.

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{DELETE, INSERT, RW, UPDATE, at};
use russet_dispatch::{Args, Class, Command, Context, Error, Key, Outcome};
use russet_engine::Told;
use russet_engine::types::stream::{Group, Log, References, Stream, StreamId};
use smallvec::SmallVec;

use super::{
    Ids, STREAM, read_counted_ids, read_id, read_ids, read_removal, reply_verdicts, verdict,
};
use crate::help;

/// What the subcommands have in common.
const OF_GROUP: Command = Command { file: file!(), since: "5.0.0", flags: &[Write], ..STREAM };

/// The row.
pub(super) const XGROUP: Command = Command {
    name: "xgroup",
    summary: "Holds what makes, changes and removes consumer groups.",
    complexity: "Depends on subcommand.",
    since: "5.0.0",
    arity: -2,
    subcommands: SUBCOMMANDS,
    file: file!(),
    ..STREAM
};

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "create",
        syntax: "key group <id | $> [MKSTREAM] [ENTRIESREAD entries-read:int]",
        summary: "Makes a consumer group.",
        arity: -5,
        flags: &[Write, DenyOom],
        keys: &[at(2, RW | INSERT)],
        history: &[("7.0.0", "Takes ENTRIESREAD.")],
        run: create,
        ..OF_GROUP
    },
    Command {
        name: "createconsumer",
        syntax: "key group consumer",
        summary: "Makes a consumer of a group.",
        since: "6.2.0",
        arity: 5,
        flags: &[Write, DenyOom],
        keys: &[at(2, RW | INSERT)],
        run: create_consumer,
        ..OF_GROUP
    },
    Command {
        name: "delconsumer",
        syntax: "key group consumer",
        summary: "Removes a consumer, and what is pending with it.",
        arity: 5,
        keys: &[at(2, RW | DELETE)],
        run: delete_consumer,
        ..OF_GROUP
    },
    Command {
        name: "destroy",
        syntax: "key group",
        summary: "Removes a consumer group.",
        complexity: "O(N) where N is the number of entries that are pending in the group",
        arity: 4,
        keys: &[at(2, RW | DELETE)],
        run: destroy,
        ..OF_GROUP
    },
    help::row("5.0.0", &STREAM),
    Command {
        name: "setid",
        syntax: "key group <id | $> [ENTRIESREAD entries-read:int]",
        summary: "Says up to which entry a consumer group has read.",
        arity: -5,
        keys: &[at(2, RW | UPDATE)],
        history: &[("7.0.0", "Takes ENTRIESREAD.")],
        run: set_id,
        ..OF_GROUP
    },
];

/// What may stand at the end of CREATE and SETID.
#[derive(Default)]
struct Options {
    makes_stream: bool,
    entries_read: Option<u64>,
}

fn read_options(args: &mut Args<'_>, may_make: bool) -> Result<Options, Error> {
    let mut options = Options::default();
    let (subcommand, words) = (args.word(1), args.left());
    while !args.is_empty() {
        if may_make && args.flag("MKSTREAM") {
            options.makes_stream = true;
        } else if args.left() > 1 && args.flag("ENTRIESREAD") {
            options.entries_read = match args.int()? {
                -1 => None,
                read => Some(u64::try_from(read).map_err(|_| Error::EntriesReadNegative)?),
            };
        } else {
            return Err(Error::subcommand(subcommand, "xgroup"));
        }
    }
    // The words may not be said again and again.
    if words > if may_make { 3 } else { 2 } {
        return Err(Error::subcommand(subcommand, "xgroup"));
    }
    Ok(options)
}

/// The ID that a group begins behind; `$` is the stream's last.
fn read_position(text: &[u8], log: Option<&Log>, may_be_bound: bool) -> Result<StreamId, Error> {
    match text {
        b"$" => Ok(log.map(Log::last_id).unwrap_or_default()),
        _ if may_be_bound => StreamId::parse_bound(text, 0).ok_or(Error::InvalidStreamId),
        _ => read_id(text),
    }
}

fn create(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, name, position) = (args.key()?, args.next()?, args.next()?);
    let options = read_options(args, true)?;
    let stream = cx.data.find_as::<Stream>(key)?;
    if stream.is_none() && !options.makes_stream {
        return Err(Error::GroupNeedsKey.into());
    }
    let is_there = stream.is_some();
    let id = read_position(position, stream.map(|stream| &stream.log), false)?;
    let add = |stream: &mut Stream| stream.groups.add(Group::new(name, id, options.entries_read));
    let is_new = if is_there {
        let told = |is_new| if is_new { Told::Journal } else { Told::Nobody };
        let add = |stream: &mut Stream| {
            let is_new = add(stream);
            (is_new, told(is_new))
        };
        cx.data.change_telling(key, add)?.unwrap_or(false)
    } else {
        cx.data.change(key, Stream::new, |stream| (add(stream), true))?
    };
    if !is_new {
        return Err(Error::BusyGroup.into());
    }
    cx.data.announce(Class::Stream, "xgroup-create", key);
    cx.reply.ok();
    Ok(())
}

/// Changes a group that must be there, the stream's log at hand; `change` says whether it was a change.
fn with_group<R>(
    cx: &mut Context<'_>,
    key: Key<'_>,
    name: &[u8],
    change: impl FnOnce(&mut Group, &Log) -> (R, bool),
) -> Result<R, Error> {
    let done = cx.data.change_telling(key, |stream: &mut Stream| {
        let Stream { log, groups, .. } = stream;
        match groups.change(name, |group| change(group, log)) {
            Some((result, true)) => (Some(result), Told::Journal),
            Some((result, false)) => (Some(result), Told::Nobody),
            None => (None, Told::Nobody),
        }
    })?;
    done.ok_or(Error::GroupNeedsKey)?.ok_or_else(|| Error::no_group_of(key.bytes, name))
}

fn set_id(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, name, position) = (args.key()?, args.next()?, args.next()?);
    let options = read_options(args, false)?;
    let done = with_group(cx, key, name, |group, log| {
        match read_position(position, Some(log), true) {
            Ok(id) => (group.last_id, group.entries_read) = (id, options.entries_read),
            Err(error) => return (Err(error), false),
        }
        (Ok(()), true)
    })?;
    done?;
    cx.data.announce(Class::Stream, "xgroup-setid", key);
    cx.reply.ok();
    Ok(())
}

fn create_consumer(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, name, consumer, now) = (args.key()?, args.next()?, args.next()?, cx.now());
    let is_new = with_group(cx, key, name, |group, _| {
        let (_, is_new) = group.find_or_add(consumer, now);
        (is_new, is_new)
    })?;
    cx.data.announce(Class::Stream, "xgroup-createconsumer", key);
    cx.reply.integer(i64::from(is_new));
    Ok(())
}

fn delete_consumer(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, name, consumer) = (args.key()?, args.next()?, args.next()?);
    let pending = with_group(cx, key, name, |group, _| {
        let pending = group.remove_consumer(consumer);
        (pending.unwrap_or(0), pending.is_some())
    })?;
    cx.data.announce(Class::Stream, "xgroup-delconsumer", key);
    cx.reply.integer(pending as i64);
    Ok(())
}

fn destroy(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, name) = (args.key()?, args.next()?);
    let removed = cx.data.change_telling(key, |stream: &mut Stream| {
        let is_removed = stream.groups.remove(name);
        (is_removed, if is_removed { Told::Waiters } else { Told::Nobody })
    })?;
    cx.data.announce(Class::Stream, "xgroup-destroy", key);
    cx.reply.integer(i64::from(removed.ok_or(Error::GroupNeedsKey)?));
    Ok(())
}

/// Whether a stream has a group.
fn has_group(cx: &mut Context<'_>, key: Key<'_>, name: &[u8]) -> Result<bool, Error> {
    let stream = cx.data.read_as::<Stream>(key)?;
    Ok(stream.is_some_and(|stream| stream.groups.get(name).is_some()))
}

pub(super) fn xack(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, name) = (args.key()?, args.next()?);
    if !has_group(cx, key, name)? {
        cx.reply.integer(0);
        return Ok(());
    }
    let ids = read_ids(args)?;
    let count = with_group(cx, key, name, |group, _| {
        let count = ids.iter().filter(|id| group.acknowledge(**id)).count();
        (count, count > 0)
    })?;
    cx.data.count_as(count);
    cx.reply.integer(count as i64);
    Ok(())
}

pub(super) fn xackdel(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, name) = (args.key()?, args.next()?);
    let (references, ids) = read_removal(args)?;
    let verdicts = cx.data.change_telling(key, |stream: &mut Stream| {
        let acknowledge = |id: &StreamId| acknowledge_and_remove(stream, name, *id, references);
        let verdicts: SmallVec<[i64; 8]> = ids.iter().map(acknowledge).collect();
        let has_changed = verdicts.iter().any(|verdict| *verdict > 0);
        (verdicts, if has_changed { Told::Watchers } else { Told::Nobody })
    })?;
    if verdicts.as_ref().is_some_and(|verdicts| verdicts.contains(&1)) {
        cx.data.notify(Class::Stream, "xdel", key);
    }
    let none = || ids.iter().map(|_| -1).collect();
    reply_verdicts(&mut cx.reply, &verdicts.unwrap_or_else(none));
    Ok(())
}

fn acknowledge_and_remove(
    stream: &mut Stream,
    name: &[u8],
    id: StreamId,
    references: References,
) -> i64 {
    let was_pending = stream.groups.change(name, |group| group.acknowledge(id));
    if was_pending != Some(true) {
        return -1;
    }
    // An entry that was gone before is gone.
    verdict(Some(stream.remove(id, references).unwrap_or(true)))
}

/// What giving an entry back does to how often it was delivered.
#[derive(Clone, Copy)]
enum Mode {
    Silent,
    Fail,
    Fatal,
}

impl Mode {
    fn read(args: &mut Args<'_>) -> Result<Self, Error> {
        if args.flag("SILENT") {
            Ok(Self::Silent)
        } else if args.flag("FAIL") {
            Ok(Self::Fail)
        } else if args.flag("FATAL") {
            Ok(Self::Fatal)
        } else {
            Err(Error::NackMode)
        }
    }

    const fn count(self, count: u64) -> u64 {
        match self {
            Self::Silent => count.saturating_sub(1),
            Self::Fail => count,
            Self::Fatal => i64::MAX as u64,
        }
    }
}

pub(super) fn xnack(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, name, mode) = (args.key()?, args.next()?, Mode::read(args)?);
    let (mut ids, mut retries, mut force): (Option<Ids>, _, _) = (None, None, false);
    while !args.is_empty() {
        if let Some(read) = read_counted_ids(args)? {
            ids = Some(read);
        } else if args.left() > 1 && args.flag("RETRYCOUNT") {
            retries = Some(args.count()? as u64);
        } else if args.flag("FORCE") {
            force = true;
        } else {
            let word = String::from_utf8_lossy(args.next()?).into_owned();
            return Err(Error::of(format!("ERR Unrecognized XNACK option '{word}'")).into());
        }
    }
    let ids = ids.ok_or(Error::Syntax)?;
    if !has_group(cx, key, name)? {
        return Err(Error::no_group(key.bytes, name).into());
    }
    let count = with_group(cx, key, name, |group, log| {
        let give_back = |id: &&StreamId| {
            let count = match group.pending_of(**id) {
                Some(pending) => pending.count,
                None if force && log.get(**id).is_some() => 0,
                None => return false,
            };
            group.give_back(**id, retries.unwrap_or_else(|| mode.count(count)));
            true
        };
        let count = ids.iter().filter(give_back).count();
        (count, count > 0)
    })?;
    cx.reply.integer(count as i64);
    Ok(())
}
