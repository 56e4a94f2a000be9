//! Streams: what is added, read and removed. Who reads in groups stands in [`group`] and [`claim`], waiting in [`read`].

mod add;
mod claim;
mod group;
mod info;
mod pending;
mod producer;
mod read;
mod trim;

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{ACCESS, Begin, DELETE, Find, KeySpec, RO, RW, UPDATE, at};
use russet_dispatch::parts::{self, Show};
use russet_dispatch::{Args, Class, Command, Context, Error, Group, Outcome, Stop};
use russet_engine::Told;
use russet_engine::types::stream::{
    Element, Entry, ID_TEXT_MAX, Log, References, Stream, StreamId,
};
use russet_resp::Writer;
use smallvec::SmallVec;

/// What every stream command has in common.
const STREAM: Command = Command { group: Group::Stream, file: file!(), ..Command::BASE };

/// Keys behind the word STREAMS, which is looked for from a place on, and as many IDs behind them.
const fn streams(from: i32) -> [KeySpec; 1] {
    let find = Find::Range { last: -1, step: 1, limit: 2 };
    [KeySpec { begin: Begin::Keyword("STREAMS", from), find, access: RO | ACCESS }]
}

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "xack",
        syntax: "key group id [id ...]",
        summary: "Acknowledges entries that a consumer group was given.",
        complexity: "O(1) for each ID",
        since: "5.0.0",
        arity: -4,
        flags: &[Write, Fast],
        keys: &[at(1, RW | UPDATE)],
        run: group::xack,
        ..STREAM
    },
    Command {
        name: "xackdel",
        syntax: "key group [KEEPREF | DELREF | ACKED] IDS numids:int id [id ...]",
        summary: "Acknowledges entries that a consumer group was given, and removes them.",
        complexity: "O(1) for each ID",
        since: "8.2.0",
        arity: -6,
        flags: &[Write, Fast],
        keys: &[at(1, RW | UPDATE | DELETE)],
        run: group::xackdel,
        ..STREAM
    },
    Command {
        name: "xadd",
        syntax: "key [NOMKSTREAM] [KEEPREF | DELREF | ACKED] [IDMPAUTO producer-id | IDMP producer-id idempotent-id] [<MAXLEN | MINID> [= | ~] threshold [LIMIT count:int]] <* | id> field value [field value ...]",
        summary: "Adds an entry to a stream, and makes the stream if there is none.",
        complexity: "O(1), and O(N) where N is the number of entries that are trimmed",
        since: "5.0.0",
        arity: -5,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | UPDATE)],
        tips: &["nondeterministic_output"],
        history: &[
            ("6.2.0", "Takes NOMKSTREAM, MINID and LIMIT."),
            ("7.0.0", "Takes an ID whose sequence is left open."),
            ("8.2.0", "Takes KEEPREF, DELREF and ACKED."),
            ("8.6.0", "Takes IDMP and IDMPAUTO."),
        ],
        run: add::xadd,
        ..STREAM
    },
    Command {
        name: "xautoclaim",
        syntax: "key group consumer min-idle-time start [COUNT count:int] [JUSTID]",
        summary: "Gives a consumer entries that others have been given long ago.",
        complexity: "O(1) if the count is small",
        since: "6.2.0",
        arity: -6,
        flags: &[Write, Fast],
        keys: &[at(1, RW | DELETE)],
        tips: &["nondeterministic_output"],
        history: &[("7.0.0", "Also answers which entries were no longer there.")],
        run: claim::xautoclaim,
        ..STREAM
    },
    Command {
        name: "xcfgset",
        syntax: "key [IDMP-DURATION idmp-duration:int] [IDMP-MAXSIZE idmp-maxsize:int]",
        summary: "Says for how long a stream notices that a producer repeats itself.",
        complexity: "O(N) where N is the number of names that are forgotten",
        since: "8.6.0",
        arity: -2,
        flags: &[Write, Fast],
        keys: &[at(1, RW | UPDATE)],
        run: producer::xcfgset,
        ..STREAM
    },
    Command {
        name: "xclaim",
        syntax: "key group consumer min-idle-time id [id ...] [IDLE ms:int] [TIME unix-time-milliseconds:time] [RETRYCOUNT count:int] [FORCE] [JUSTID] [LASTID lastid]",
        summary: "Gives a consumer entries that others have been given.",
        complexity: "O(log N) for each ID where N is the number of entries that are pending in the group",
        since: "5.0.0",
        arity: -6,
        flags: &[Write, Fast],
        keys: &[at(1, RW | UPDATE)],
        tips: &["nondeterministic_output"],
        run: claim::xclaim,
        ..STREAM
    },
    Command {
        name: "xdel",
        syntax: "key id [id ...]",
        summary: "Removes entries by their IDs.",
        complexity: "O(1) for each ID",
        since: "5.0.0",
        arity: -3,
        flags: &[Write, Fast],
        keys: &[at(1, RW | DELETE)],
        run: xdel,
        ..STREAM
    },
    Command {
        name: "xdelex",
        syntax: "key [KEEPREF | DELREF | ACKED] IDS numids:int id [id ...]",
        summary: "Removes entries by their IDs, and says what happens to what groups know of them.",
        complexity: "O(1) for each ID",
        since: "8.2.0",
        arity: -5,
        flags: &[Write, Fast],
        keys: &[at(1, RW | DELETE)],
        run: xdelex,
        ..STREAM
    },
    group::XGROUP,
    Command {
        name: "xidmprecord",
        syntax: "key pid iid stream-id",
        summary: "Notes that a producer made an entry under a name: what the journal says of IDMP.",
        since: "8.6.2",
        arity: 5,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | UPDATE)],
        run: producer::xidmprecord,
        ..STREAM
    },
    info::XINFO,
    Command {
        name: "xlen",
        syntax: "key",
        summary: "Tells how many entries a stream has.",
        since: "5.0.0",
        arity: 2,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO)],
        run: xlen,
        ..STREAM
    },
    Command {
        name: "xnack",
        syntax: "key group <SILENT | FAIL | FATAL> IDS numids:int id [id ...] [RETRYCOUNT count:int] [FORCE]",
        summary: "Gives entries back to a consumer group, for others to take at once.",
        complexity: "O(1) for each ID",
        since: "8.8.0",
        arity: -7,
        flags: &[Write, Fast],
        keys: &[at(1, RW | UPDATE)],
        run: group::xnack,
        ..STREAM
    },
    Command {
        name: "xpending",
        syntax: "key group [[IDLE min-idle-time:int] start end count:int [consumer]]",
        summary: "Tells which entries a consumer group was given and has not acknowledged.",
        complexity: "O(N) where N is the number of entries returned, O(M) where M is the number of consumers for the short form",
        since: "5.0.0",
        arity: -3,
        flags: &[ReadOnly],
        keys: &[at(1, RO | ACCESS)],
        tips: &["nondeterministic_output"],
        history: &[("6.2.0", "Takes IDLE and open intervals.")],
        run: pending::xpending,
        ..STREAM
    },
    Command {
        name: "xrange",
        syntax: "key start end [COUNT count:int]",
        summary: "Gives the entries from one ID to another.",
        complexity: "O(log N + M) where M is the number of entries returned",
        since: "5.0.0",
        arity: -4,
        flags: &[ReadOnly],
        keys: &[at(1, RO | ACCESS)],
        history: &[("6.2.0", "Takes open intervals.")],
        run: xrange,
        ..STREAM
    },
    Command {
        name: "xread",
        syntax: "[COUNT count:int] [MAXCOUNT maxcount:int] [MAXSIZE maxsize:int] [BLOCK milliseconds:int] STREAMS key [key ...] id [id ...]",
        summary: "Gives the entries of streams behind the IDs given, and waits for some if there are none.",
        complexity: "O(M) for each stream where M is the number of entries returned",
        since: "5.0.0",
        arity: -4,
        flags: &[ReadOnly, Blocking, MovableKeys],
        keys: &streams(1),
        history: &[("8.10.0", "Takes MAXCOUNT and MAXSIZE.")],
        run: read::xread,
        ..STREAM
    },
    Command {
        name: "xreadgroup",
        syntax: "GROUP group consumer [COUNT count:int] [MAXCOUNT maxcount:int] [MAXSIZE maxsize:int] [BLOCK milliseconds:int] [CLAIM min-idle-time:int] [NOACK] STREAMS key [key ...] id [id ...]",
        summary: "Gives a consumer entries that its group was not given before, or those it has not acknowledged.",
        complexity: "O(M) for each stream where M is the number of entries returned",
        since: "5.0.0",
        arity: -7,
        flags: &[Write, Blocking, MovableKeys],
        keys: &streams(4),
        history: &[("8.4.0", "Takes CLAIM."), ("8.10.0", "Takes MAXCOUNT and MAXSIZE.")],
        run: read::xreadgroup,
        ..STREAM
    },
    Command {
        name: "xrevrange",
        syntax: "key end start [COUNT count:int]",
        summary: "Gives the entries from one ID back to another.",
        complexity: "O(log N + M) where M is the number of entries returned",
        since: "5.0.0",
        arity: -4,
        flags: &[ReadOnly],
        keys: &[at(1, RO | ACCESS)],
        history: &[("6.2.0", "Takes open intervals.")],
        run: xrevrange,
        ..STREAM
    },
    Command {
        name: "xsetid",
        syntax: "key last-id [ENTRIESADDED entries-added:int] [MAXDELETEDID max-deleted-id]",
        summary: "Sets what a stream knows of the entries that it had.",
        since: "5.0.0",
        arity: -3,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | UPDATE)],
        history: &[("7.0.0", "Takes ENTRIESADDED and MAXDELETEDID.")],
        run: xsetid,
        ..STREAM
    },
    Command {
        name: "xtrim",
        syntax: "key <MAXLEN | MINID> [= | ~] threshold [LIMIT count:int] [KEEPREF | DELREF | ACKED]",
        summary: "Removes the oldest entries, down to a number or an ID.",
        complexity: "O(N) where N is the number of entries removed, little for each as whole blocks go",
        since: "5.0.0",
        arity: -4,
        flags: &[Write],
        keys: &[at(1, RW | DELETE)],
        tips: &["nondeterministic_output"],
        history: &[
            ("6.2.0", "Takes MINID and LIMIT."),
            ("8.2.0", "Takes KEEPREF, DELREF and ACKED."),
        ],
        run: trim::xtrim,
        ..STREAM
    },
];

/// IDs of a request.
type Ids = SmallVec<[StreamId; 8]>;

/// Entries of which the blocks are more than this are counted by a worker: about a millisecond's work.
const BLOCKS_MAX: usize = 10_000;

/// An ID that is spelled out; its sequence is zero if it has none.
fn read_id(text: &[u8]) -> Result<StreamId, Error> {
    StreamId::parse(text, 0).ok_or(Error::InvalidStreamId)
}

/// All arguments that are left, as IDs.
fn read_ids(args: &mut Args<'_>) -> Result<Ids, Error> {
    args.map(read_id).collect()
}

/// `IDS numids id …`, if it comes next.
fn read_counted_ids(args: &mut Args<'_>) -> Result<Option<Ids>, Error> {
    if !args.flag("IDS") {
        return Ok(None);
    }
    let count = args.int().map_err(|_| Error::IdsNotPositive)?;
    let count = usize::try_from(count).ok().filter(|count| *count > 0);
    let count = count.ok_or(Error::IdsNotPositive)?;
    if count > args.left() {
        return Err(Error::IdsMismatch);
    }
    args.by_ref().take(count).map(read_id).collect::<Result<Ids, Error>>().map(Some)
}

/// Where an interval begins: `-`, `+`, an ID, or `(` and an ID that is not in it.
fn read_start(text: &[u8]) -> Result<StreamId, Error> {
    match text {
        [b'(', id @ ..] if !id.is_empty() => read_id(id)?.next().ok_or(Error::IntervalStart),
        _ => StreamId::parse_bound(text, 0).ok_or(Error::InvalidStreamId),
    }
}

/// Where an interval ends; an ID without a sequence has the greatest.
fn read_end(text: &[u8]) -> Result<StreamId, Error> {
    match text {
        [b'(', id @ ..] if !id.is_empty() => {
            let id = StreamId::parse(id, u64::MAX).ok_or(Error::InvalidStreamId)?;
            id.previous().ok_or(Error::IntervalEnd)
        }
        _ => StreamId::parse_bound(text, u64::MAX).ok_or(Error::InvalidStreamId),
    }
}

#[inline]
fn reply_id(reply: &mut Writer<'_>, id: StreamId) {
    reply.bulk(id.write(&mut [0; ID_TEXT_MAX]));
}

/// An entry: its ID, and its fields and values.
#[inline]
fn reply_entry(reply: &mut Writer<'_>, entry: &Entry<'_>) {
    reply.array(2);
    reply_content(reply, entry);
}

/// The ID of an entry, and its fields and values, within an array.
#[inline]
fn reply_content(reply: &mut Writer<'_>, entry: &Entry<'_>) {
    reply_id(reply, entry.id);
    let pieces = entry.pieces();
    reply.array(pieces.len());
    for piece in pieces {
        match piece {
            Element::Bytes(text) => reply.bulk(text),
            Element::Int(number) => reply.bulk_int(number),
        }
    }
}

/// Entries as an array.
fn reply_entries<'e>(reply: &mut Writer<'_>, entries: impl Iterator<Item = Entry<'e>>) {
    let mark = reply.out.mark();
    let mut count = 0;
    for entry in entries {
        reply_entry(reply, &entry);
        count += 1;
    }
    reply.array_at(mark, count);
}

fn xlen(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let len = cx.data.read_as::<Stream>(key)?.map_or(0, |stream| stream.log.len());
    cx.reply.integer(len as i64);
    Ok(())
}

fn xrange(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    range(cx, args, false)
}

fn xrevrange(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    range(cx, args, true)
}

fn range(cx: &mut Context<'_>, args: &mut Args<'_>, is_reverse: bool) -> Outcome {
    let (key, first, second) = (args.key()?, args.next()?, args.next()?);
    let (start, end) = if is_reverse { (second, first) } else { (first, second) };
    let (start, end) = (read_start(start)?, read_end(end)?);
    let mut count = None;
    while !args.is_empty() {
        if args.left() < 2 || !args.flag("COUNT") {
            return Err(Error::Syntax.into());
        }
        count = Some(args.int()?.max(0) as u64);
    }
    let (until, may_move) = (parts::until(cx), !cx.is_worker && !cx.session.deny_blocking);
    let Some(stream) = cx.data.read_as::<Stream>(key)? else {
        cx.reply.array(0);
        return Ok(());
    };
    let place = Place { start, end, max: count.unwrap_or(u64::MAX) };
    if place.max == 0 {
        cx.reply.null_array();
        return Ok(());
    }
    if may_move && place.takes_long_to_count(&stream.log) {
        return Err(Stop::Elsewhere);
    }
    let entries = Entries { is_reverse };
    let next = reply_range(&mut cx.reply, &stream.log, entries, place, until);
    parts::rest(cx, key, entries, next)
}

/// Replies with an array of the entries of a place, of which those are shown that come before the output has `until` bytes. Answers where
/// to go on.
fn reply_range(
    reply: &mut Writer<'_>,
    log: &Log,
    entries: Entries,
    place: Place,
    until: usize,
) -> Option<Place> {
    let mark = reply.out.mark();
    let (shown, next) = entries.show_and_count(log, place, until, reply);
    let left = next.map_or(0, |next| log.count(next.start, next.end).min(next.max));
    reply.array_at(mark, (shown + left) as usize);
    next
}

/// Between which IDs entries are to be shown, and how many.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: StreamId,
    end: StreamId,
    max: u64,
}

impl Place {
    fn takes_long_to_count(self, log: &Log) -> bool {
        let is_all = self.start <= log.first_id() && self.end >= log.last_id();
        log.block_count() > BLOCKS_MAX && self.max > BLOCKS_MAX as u64 && !is_all
    }
}

/// Shows entries of a stream.
#[derive(Clone, Copy, Debug)]
struct Entries {
    is_reverse: bool,
}

impl Entries {
    /// As [`Show::show`], and says how many were shown.
    #[inline]
    fn show_and_count(
        self,
        log: &Log,
        place: Place,
        until: usize,
        reply: &mut Writer<'_>,
    ) -> (u64, Option<Place>) {
        let Place { start, end, max } = place;
        let (mut shown, mut last) = (0, StreamId::MIN);
        let show = |entry: Entry<'_>| {
            reply_entry(reply, &entry);
            (shown, last) = (shown + 1, entry.id);
            shown < max && reply.out.len() < until
        };
        let is_over = if self.is_reverse {
            log.range_back(start, end).all(show)
        } else {
            log.range(start, end).all(show)
        };
        if is_over || shown == max {
            return (shown, None);
        }
        let left = Place { max: max - shown, ..place };
        let next = if self.is_reverse {
            last.previous().map(|end| Place { end, ..left })
        } else {
            last.next().map(|start| Place { start, ..left })
        };
        (shown, next)
    }
}

impl Show for Entries {
    type Of = Stream;
    type Place = Place;

    fn show(
        &self,
        of: &Stream,
        place: Place,
        until: usize,
        reply: &mut Writer<'_>,
    ) -> Option<Place> {
        self.show_and_count(&of.log, place, until, reply).1
    }
}

fn xdel(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    if cx.data.find_as::<Stream>(key)?.is_none() {
        cx.reply.integer(0);
        return Ok(());
    }
    let ids = read_ids(args)?;
    let removed = cx.data.change_telling(key, |stream: &mut Stream| {
        let removed = ids.iter().filter(|id| stream.log.remove(**id)).count();
        (removed, if removed > 0 { Told::Watchers } else { Told::Nobody })
    })?;
    cx.data.announce(Class::Stream, "xdel", key);
    cx.data.count_as(removed.unwrap_or(0));
    cx.reply.integer(removed.unwrap_or(0) as i64);
    Ok(())
}

/// `[KEEPREF | DELREF | ACKED] IDS numids id …`, in any order.
fn read_removal(args: &mut Args<'_>) -> Result<(References, Ids), Error> {
    let (mut references, mut ids) = (References::Keep, None);
    while !args.is_empty() {
        if args.flag("KEEPREF") {
            references = References::Keep;
        } else if args.flag("DELREF") {
            references = References::Drop;
        } else if args.flag("ACKED") {
            references = References::Need;
        } else if let Some(read) = read_counted_ids(args)? {
            ids = Some(read);
        } else if ids.is_some() {
            return Err(Error::IdsMismatch);
        } else {
            return Err(Error::Syntax);
        }
    }
    Ok((references, ids.ok_or(Error::Syntax)?))
}

/// What the commands that remove several entries say of each.
const fn verdict(removed: Option<bool>) -> i64 {
    match removed {
        None => -1,
        Some(true) => 1,
        Some(false) => 2,
    }
}

fn reply_verdicts(reply: &mut Writer<'_>, verdicts: &[i64]) {
    reply.array(verdicts.len());
    verdicts.iter().for_each(|verdict| reply.integer(*verdict));
}

fn xdelex(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let (references, ids) = read_removal(args)?;
    let verdicts = cx.data.change_telling(key, |stream: &mut Stream| {
        let verdicts: SmallVec<[i64; 8]> =
            ids.iter().map(|id| verdict(stream.remove(*id, references))).collect();
        // What groups know of entries that are gone already may go too.
        let has_changed = references == References::Drop || verdicts.contains(&1);
        (verdicts, if has_changed { Told::Watchers } else { Told::Nobody })
    })?;
    if verdicts.as_ref().is_some_and(|verdicts| verdicts.contains(&1)) {
        cx.data.notify(Class::Stream, "xdel", key);
    }
    let none = || ids.iter().map(|_| -1).collect();
    reply_verdicts(&mut cx.reply, &verdicts.unwrap_or_else(none));
    Ok(())
}

fn xsetid(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, id) = (args.key()?, read_id(args.next()?)?);
    let (mut added, mut max_deleted) = (None, StreamId::MIN);
    while !args.is_empty() {
        let has_more = args.left() > 1;
        if has_more && args.flag("ENTRIESADDED") {
            added = Some(u64::try_from(args.int()?).map_err(|_| Error::EntriesAddedNegative)?);
        } else if has_more && args.flag("MAXDELETEDID") {
            max_deleted = read_id(args.next()?)?;
            if id < max_deleted {
                return Err(Error::SetBelowGivenDeleted.into());
            }
        } else {
            return Err(Error::Syntax.into());
        }
    }
    let done = cx.data.change_telling(key, |stream: &mut Stream| {
        match may_set(&stream.log, id, added) {
            Ok(()) => stream.log.set_last_id(id, added, max_deleted),
            Err(error) => return (Err(error), Told::Nobody),
        }
        (Ok(()), Told::Journal)
    })?;
    done.ok_or(Error::NoSuchKey)??;
    cx.data.announce(Class::Stream, "xsetid", key);
    cx.reply.ok();
    Ok(())
}

/// Whether a stream may say so of itself.
fn may_set(log: &Log, id: StreamId, added: Option<u64>) -> Result<(), Error> {
    if id < log.max_deleted_id() {
        return Err(Error::SetBelowDeleted);
    }
    let Some(last) = log.last_entry_id() else { return Ok(()) };
    if id < last {
        return Err(Error::SetBelowLast);
    }
    if added.is_some_and(|added| added < log.len()) {
        return Err(Error::SetBelowLen);
    }
    Ok(())
}
