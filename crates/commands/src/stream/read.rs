//! XREAD and XREADGROUP.
//!
//! A reply is begun with the first stream that has something, and its head is put before it when the number of streams is known. What
//! groups are given is recorded as what came of it: to whom which entries went, and how far the group has read.

use russet_dispatch::args::OwnedRequest;
use russet_dispatch::blocking::{OnTimeout, Wait};
use russet_dispatch::{Args, Class, Context, Error, Key, Outcome, Stop, parts};
use russet_engine::types::stream::{Entry, Group, ID_TEXT_MAX, Log, Slot, Stream, StreamId};
use russet_engine::{Told, Type};
use russet_resp::{Protocol, Writer};
use smallvec::SmallVec;

use super::claim::{Claimed, record_claim};
use super::{Entries, Place, read_id, reply_content, reply_entry, reply_id, reply_range};

/// How XREAD goes through a stream.
const FORWARD: Entries = Entries { is_reverse: false };

/// What a request says before its streams.
#[derive(Debug)]
struct Options<'a> {
    /// `None`: do not wait; 0: for ever.
    block_ms: Option<u64>,
    /// Entries per stream; all if 0.
    count: usize,
    /// Entries of all streams.
    entries_max: usize,
    /// Bytes of the reply, of which the first entry may take more.
    bytes_max: usize,
    /// The group and its consumer.
    reader: Option<(&'a [u8], &'a [u8])>,
    no_ack: bool,
    claim_ms: Option<u64>,
    /// Where the keys begin among all words, and how many there are.
    keys_at: usize,
    streams: usize,
}

/// From where on a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// Behind this ID; for a group, what the consumer has been given and not acknowledged.
    Behind(StreamId),
    /// What the group was not given yet.
    New,
}

impl<'a> Options<'a> {
    fn read(args: &mut Args<'a>, is_group: bool, now: u64) -> Result<Self, Error> {
        let mut options = Self {
            block_ms: None,
            count: 0,
            entries_max: usize::MAX,
            bytes_max: usize::MAX,
            reader: None,
            no_ack: false,
            claim_ms: None,
            keys_at: 0,
            streams: 0,
        };
        while options.keys_at == 0 {
            options.read_word(args, is_group, now)?;
        }
        if is_group && options.reader.is_none() {
            return Err(Error::GroupMissing);
        }
        if options.entries_max < options.count {
            return Err(Error::MaxcountBelowCount);
        }
        Ok(options)
    }

    fn read_word(&mut self, args: &mut Args<'a>, is_group: bool, now: u64) -> Result<(), Error> {
        let has_more = args.left() > 1;
        if has_more && args.flag("BLOCK") {
            self.block_ms = Some(read_block(args, now)?);
        } else if has_more && args.flag("COUNT") {
            self.count = args.int()?.max(0) as usize;
        } else if has_more && args.flag("STREAMS") {
            self.keys_at = Args::position(args);
            if !args.left().is_multiple_of(2) {
                return Err(unbalanced(is_group));
            }
            self.streams = args.left() / 2;
        } else if args.left() > 2 && args.flag("GROUP") {
            let reader = (args.next()?, args.next()?);
            self.reader = Some(reader).filter(|_| is_group);
            self.reader.ok_or(Error::GroupOfXread)?;
        } else if args.flag("NOACK") {
            self.no_ack = true;
            return if is_group { Ok(()) } else { Err(Error::NoackOfXread) };
        } else if has_more && args.flag("CLAIM") {
            if !is_group {
                return Err(Error::ClaimOfXread);
            }
            let idle = args.int().map_err(|_| Error::ClaimNotInteger)?;
            self.claim_ms = Some(u64::try_from(idle).map_err(|_| Error::ClaimNegative)?);
        } else if has_more && args.flag("MAXCOUNT") {
            self.entries_max = positive(args, Error::MaxcountNotPositive)?;
        } else if has_more && args.flag("MAXSIZE") {
            self.bytes_max = positive(args, Error::MaxsizeNotPositive)?;
        } else {
            return Err(Error::Syntax);
        }
        Ok(())
    }

    fn keys(&self, args: &mut Args<'a>) -> Result<SmallVec<[Key<'a>; 4]>, Error> {
        args.seek(self.keys_at);
        (0..self.streams).map(|_| args.key()).collect()
    }

    /// The word that says from where a stream is read.
    fn from(&self, args: &Args<'a>, stream: usize) -> &'a [u8] {
        args.word(self.keys_at + self.streams + stream)
    }

    /// Whether nothing but the number of entries bounds the reply, which is about one stream.
    const fn is_of_one_stream(&self) -> bool {
        self.streams == 1 && self.entries_max == usize::MAX && self.bytes_max == usize::MAX
    }

    const fn per_stream(&self) -> usize {
        if self.count == 0 { usize::MAX } else { self.count }
    }
}

fn read_block(args: &mut Args<'_>, now: u64) -> Result<u64, Error> {
    let timeout = args.int().map_err(|_| Error::TimeoutNotInteger)?;
    let timeout = u64::try_from(timeout).map_err(|_| Error::TimeoutNegative)?;
    if timeout > (i64::MAX as u64).saturating_sub(now) {
        return Err(Error::TimeoutOutOfRange);
    }
    Ok(timeout)
}

fn positive(args: &mut Args<'_>, error: Error) -> Result<usize, Error> {
    let number = args.int().ok().and_then(|number| usize::try_from(number).ok());
    number.filter(|number| *number > 0).ok_or(error)
}

fn unbalanced(is_group: bool) -> Error {
    let (name, symbol) = if is_group { ("xreadgroup", '>') } else { ("xread", '$') };
    Error::of(format!(
        "ERR Unbalanced '{name}' list of streams: for each stream key an ID or '{symbol}' must be specified."
    ))
}

/// The reply, and how much more it may take.
struct Reply<'r, 'w> {
    writer: &'r mut Writer<'w>,
    start: russet_resp::Mark,
    streams: usize,
    /// Streams that have something.
    served: usize,
    entries_left: usize,
    bytes_max: usize,
    entries: usize,
}

impl<'r, 'w> Reply<'r, 'w> {
    fn new(writer: &'r mut Writer<'w>, options: &Options<'_>) -> Self {
        let start = writer.out.mark();
        let (entries_left, bytes_max) = (options.entries_max, options.bytes_max);
        let streams = options.streams;
        Self { writer, start, streams, served: 0, entries_left, bytes_max, entries: 0 }
    }

    /// Whether nothing more may be written.
    const fn is_full(&self) -> bool {
        self.entries_left == 0
    }

    /// Begins the entries of a stream.
    fn begin(&mut self, key: Key<'_>) -> russet_resp::Mark {
        self.served += 1;
        let is_map = self.writer.protocol == Protocol::Resp3;
        // With one stream its number is known.
        match (self.streams, is_map) {
            (1, true) => self.writer.raw(b"%1\r\n"),
            (1, false) => self.writer.array(1),
            _ => {}
        }
        if !is_map {
            self.writer.array(2);
        }
        self.writer.bulk(key.bytes);
        self.entries = 0;
        self.writer.out.mark()
    }

    /// Writes an entry if it has room; the first always has.
    #[inline]
    fn entry(&mut self, write: impl FnOnce(&mut Writer<'_>)) -> bool {
        if self.entries_left == 0 {
            return false;
        }
        let is_first = self.served == 1 && self.entries == 0;
        let mark = self.writer.out.mark();
        write(self.writer);
        let len = self.writer.out.mark().offset() - self.start.offset();
        if len > self.bytes_max && !is_first {
            self.writer.out.truncate(mark);
            self.entries_left = 0;
            return false;
        }
        self.entries += 1;
        self.entries_left -= 1;
        true
    }

    /// Ends the entries of a stream.
    fn end(&mut self, mark: russet_resp::Mark) {
        self.writer.array_at(mark, self.entries);
    }

    /// Ends the reply; says whether there was anything.
    fn finish(self) -> bool {
        if self.served > 0 && self.streams > 1 {
            match self.writer.protocol {
                Protocol::Resp2 => self.writer.array_at(self.start, self.served),
                Protocol::Resp3 => self.writer.map_at(self.start, self.served),
            }
        }
        self.served > 0
    }
}

pub(super) fn xread(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let options = Options::read(args, false, cx.now())?;
    let keys = options.keys(args)?;
    let mut behind: SmallVec<[StreamId; 4]> = SmallVec::new();
    for (nth, key) in keys.iter().enumerate() {
        let stream = cx.data.read_as::<Stream>(*key)?;
        behind.push(read_behind(options.from(args, nth), stream.map(|stream| &stream.log))?);
    }
    let until = parts::until(cx);
    let (mut reply, mut rest) = (Reply::new(&mut cx.reply, &options), None);
    for (key, behind) in keys.iter().zip(&behind) {
        let Some(stream) = cx.data.find_as::<Stream>(*key)? else { continue };
        if reply.is_full() || stream.log.last_entry_id().is_none_or(|last| last <= *behind) {
            continue;
        }
        let mark = reply.begin(*key);
        let start = behind.next().unwrap_or(StreamId::MAX);
        if options.is_of_one_stream() {
            let place = Place { start, end: StreamId::MAX, max: options.per_stream() as u64 };
            rest = reply_range(reply.writer, &stream.log, FORWARD, place, until);
            continue;
        }
        let entries = stream.log.range(start, StreamId::MAX).take(options.per_stream());
        for entry in entries {
            if !reply.entry(|writer| reply_entry(writer, &entry)) {
                break;
            }
        }
        reply.end(mark);
    }
    if reply.finish() {
        return parts::rest(cx, keys[0], FORWARD, rest);
    }
    let Some(timeout_ms) = options.block_ms else {
        cx.reply.null_array();
        return Ok(());
    };
    let wait = Wait::new(keys.into_iter(), Type::Stream, timeout_ms, OnTimeout::NullArray);
    Err(Stop::Wait(Box::new(wait.running(without_dollars(args, &options, &behind)))))
}

/// From where XREAD reads a stream, which may not be there.
fn read_behind(text: &[u8], log: Option<&Log>) -> Result<StreamId, Error> {
    let last = log.map(Log::last_id);
    match text {
        b"$" => Ok(last.unwrap_or_default()),
        b"+" => match last {
            Some(last) => last.previous().ok_or(Error::PlusOfNothing),
            None => Ok(StreamId::MIN),
        },
        b">" => Err(Error::NewOfXread),
        id => read_id(id),
    }
}

/// The request with what `$` meant when it came: it would mean something else each time it runs again.
fn without_dollars(args: &Args<'_>, options: &Options<'_>, behind: &[StreamId]) -> OwnedRequest {
    let first = options.keys_at + options.streams;
    let texts: Vec<String> = behind.iter().map(ToString::to_string).collect();
    OwnedRequest::of_words(args.words().enumerate().map(|(at, word)| {
        if at >= first && word == b"$" { texts[at - first].as_bytes() } else { word }
    }))
}

/// Who waits for entries that others leave lying looks after them at least this seldom, in milliseconds.
const UNFORESEEN_MS: u64 = 100;

/// What a consumer was given of one stream, for the journal.
#[derive(Debug, Default)]
struct Given {
    /// The consumer is new.
    is_new: bool,
    /// There was an answer, if only an empty one.
    is_served: bool,
    /// Entries that the group was not given before.
    fresh: Vec<StreamId>,
    /// Entries that were given again.
    again: Vec<Claimed>,
    /// Entries that turned out to be gone.
    gone: Vec<StreamId>,
    /// The group has read further: up to here, and how many entries that were.
    advanced: Option<(StreamId, Option<u64>)>,
    /// Something was given again.
    has_again: bool,
}

impl Given {
    /// Whether it changed anything but when the consumer was seen.
    const fn has_changed(&self) -> bool {
        self.is_new || self.has_again || self.advanced.is_some() || !self.gone.is_empty()
    }

    /// As how many changes it counts.
    fn count(&self) -> usize {
        usize::from(self.is_new) + usize::from(self.is_served)
    }
}

/// What a consumer asks of one stream.
struct Ask<'a> {
    options: &'a Options<'a>,
    from: From,
    now: u64,
    is_followed: bool,
}

pub(super) fn xreadgroup(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let options = Options::read(args, true, cx.now())?;
    let (group, _) = options.reader.ok_or(Error::GroupMissing)?;
    let keys = options.keys(args)?;
    let mut froms: SmallVec<[From; 4]> = SmallVec::new();
    for (nth, key) in keys.iter().enumerate() {
        let is_reachable = cx.data.is_reachable(*key);
        let stream = cx.data.read_as::<Stream>(*key)?;
        if is_reachable && stream.is_none_or(|stream| stream.groups.get(group).is_none()) {
            return Err(Error::no_group_to_read(key.bytes, group).into());
        }
        froms.push(read_from(options.from(args, nth))?);
    }
    let (now, is_followed) = (cx.now(), cx.data.is_followed());
    let mut reply = Reply::new(&mut cx.reply, &options);
    let mut again_ms = None;
    let mut changes = 0;
    for (key, from) in keys.iter().zip(&froms) {
        let ask = Ask { options: &options, from: *from, now, is_followed };
        let given = cx.data.change_telling(*key, |stream: &mut Stream| {
            let mut given = Given::default();
            ask.serve(stream, *key, &mut reply, &mut given);
            again_ms = again_ms.into_iter().chain(ask.next_idle(stream)).min();
            let told = if given.has_changed() { Told::Journal } else { Told::Nobody };
            (given, told)
        })?;
        let Some(given) = given else { continue };
        changes += given.count();
        if given.is_new {
            cx.data.notify(Class::Stream, "xgroup-createconsumer", *key);
        }
        if is_followed {
            record(&mut cx.data, *key, &options, now, &given);
        }
    }
    cx.data.count_as(changes);
    if reply.finish() {
        return Ok(());
    }
    let Some(timeout_ms) = options.block_ms else {
        cx.reply.null_array();
        return Ok(());
    };
    let wait = Wait::new(keys.into_iter(), Type::Stream, timeout_ms, OnTimeout::NullArray);
    Err(Stop::Wait(Box::new(wait.or_loss().again_at(again_ms))))
}

fn read_from(text: &[u8]) -> Result<From, Error> {
    match text {
        b"$" => Err(Error::DollarOfGroup),
        b"+" => Err(Error::PlusOfGroup),
        b">" => Ok(From::New),
        // The last ID there is stands for new entries, too.
        id => read_id(id).map(|id| if id == StreamId::MAX { From::New } else { From::Behind(id) }),
    }
}

impl Ask<'_> {
    /// Gives the consumer what it asks for of one stream.
    fn serve(
        &self,
        stream: &mut Stream,
        key: Key<'_>,
        reply: &mut Reply<'_, '_>,
        given: &mut Given,
    ) {
        let Some((name, consumer)) = self.options.reader else { return };
        let Stream { log, groups, .. } = stream;
        groups.change(name, |group| {
            let (slot, is_new) = group.find_or_add(consumer, self.now);
            given.is_new = is_new;
            group.seen(slot, self.now);
            if !reply.is_full() {
                match self.from {
                    From::Behind(id) => self.give_again(log, group, slot, id, key, reply, given),
                    From::New => self.give_new(log, group, slot, key, reply, given),
                }
            }
        });
    }

    /// What the consumer has been given and not acknowledged.
    #[expect(clippy::too_many_arguments, reason = "a stream's parts, borrowed apart")]
    fn give_again(
        &self,
        log: &Log,
        group: &mut Group,
        slot: Slot,
        behind: StreamId,
        key: Key<'_>,
        reply: &mut Reply<'_, '_>,
        given: &mut Given,
    ) {
        let mark = reply.begin(key);
        given.is_served = true;
        let start = behind.next().unwrap_or(StreamId::MAX);
        let ids = group.consumer(slot).pending(start, StreamId::MAX);
        let ids: SmallVec<[StreamId; 8]> = ids.take(self.options.per_stream()).collect();
        for id in ids {
            let Some(entry) = log.get(id) else {
                if reply.entry(|writer| reply_gone(writer, id)) {
                    continue;
                }
                break;
            };
            if !reply.entry(|writer| reply_entry(writer, &entry)) {
                break;
            }
            self.assign_again(group, slot, id, given);
        }
        reply.end(mark);
    }

    /// Counts one more delivery of an entry.
    fn assign_again(&self, group: &mut Group, slot: Slot, id: StreamId, given: &mut Given) {
        let Some(pending) = group.pending_of(id) else { return };
        let count = pending.count.saturating_add(1);
        group.assign(id, slot, self.now, count);
        given.has_again = true;
        if self.is_followed {
            given.again.push(Claimed { id, delivered_ms: self.now, count });
        }
    }

    /// What others were given long ago, if that is asked for, and what nobody was given yet.
    fn give_new(
        &self,
        log: &Log,
        group: &mut Group,
        slot: Slot,
        key: Key<'_>,
        reply: &mut Reply<'_, '_>,
        given: &mut Given,
    ) {
        let idle = self.find_idle(log, group, given);
        let has_new = log.last_entry_id().is_some_and(|last| last > group.last_id);
        if idle.is_empty() && !has_new {
            return;
        }
        let mark = reply.begin(key);
        given.is_served = true;
        let mut left = self.options.per_stream();
        for id in idle {
            let (Some(entry), Some(pending)) = (log.get(id), group.pending_of(id)) else {
                continue;
            };
            let known = (super::pending::idle_reply(&pending, self.now), pending.count as i64);
            if !reply.entry(|writer| reply_with(writer, &entry, known)) {
                break;
            }
            self.assign_again(group, slot, id, given);
            group.active(slot, self.now);
            left -= 1;
        }
        if has_new && left > 0 {
            self.give_fresh(log, group, slot, left, reply, given);
        }
        reply.end(mark);
    }

    /// When the next entry will have been pending for as long as CLAIM says, in milliseconds since 1970, or might have been, if it is
    /// given to somebody now. O(n) for what is pending.
    fn next_idle(&self, stream: &Stream) -> Option<u64> {
        let (min_ms, (name, _)) = (self.options.claim_ms?, self.options.reader?);
        self.options.block_ms?;
        if self.from != From::New {
            return None;
        }
        let group = stream.groups.get(name)?;
        let pending = group.pending(StreamId::MIN, StreamId::MAX);
        let times = pending.map(|(_, pending)| pending.delivered_ms.saturating_add(min_ms));
        let unforeseen = self.now.saturating_add(min_ms.max(UNFORESEEN_MS));
        Some(times.filter(|at| *at > self.now).min().unwrap_or(unforeseen).min(unforeseen))
    }

    /// The entries that have been pending for as long as CLAIM says, longest first. Those that are gone are pending no more.
    fn find_idle(&self, log: &Log, group: &mut Group, given: &mut Given) -> Vec<StreamId> {
        let Some(min_ms) = self.options.claim_ms else { return Vec::new() };
        let pending = group.pending(StreamId::MIN, StreamId::MAX);
        let idle = pending.filter(|(_, pending)| pending.idle_ms(self.now) >= min_ms);
        let mut idle: Vec<_> = idle.map(|(id, pending)| (pending.delivered_ms, id)).collect();
        idle.sort_unstable();
        idle.truncate(self.options.per_stream());
        let (there, gone): (Vec<_>, Vec<_>) =
            idle.into_iter().map(|(_, id)| id).partition(|id| log.get(*id).is_some());
        gone.iter().for_each(|id| {
            group.acknowledge(*id);
        });
        given.gone = gone;
        there
    }

    fn give_fresh(
        &self,
        log: &Log,
        group: &mut Group,
        slot: Slot,
        left: usize,
        reply: &mut Reply<'_, '_>,
        given: &mut Given,
    ) {
        let start = group.last_id.next().unwrap_or(StreamId::MAX);
        let has_counts = self.options.claim_ms.is_some();
        let mut any = false;
        for entry in log.range(start, StreamId::MAX).take(left) {
            let write = |writer: &mut Writer<'_>| {
                if has_counts {
                    reply_with(writer, &entry, (0, 0));
                } else {
                    reply_entry(writer, &entry);
                }
            };
            if !reply.entry(write) {
                break;
            }
            any = true;
            group.advance(log, entry.id);
            if !self.options.no_ack {
                group.assign(entry.id, slot, self.now, 1);
                if self.is_followed {
                    given.fresh.push(entry.id);
                }
            }
        }
        if any {
            given.advanced = Some((group.last_id, group.entries_read));
            if !self.options.no_ack {
                group.active(slot, self.now);
            }
        }
    }
}

/// An entry that the consumer was given and that is gone.
fn reply_gone(reply: &mut Writer<'_>, id: StreamId) {
    reply.array(2);
    reply_id(reply, id);
    reply.null_array();
}

/// An entry, for how long it was pending, and how often it was delivered.
fn reply_with(reply: &mut Writer<'_>, entry: &Entry<'_>, (idle_ms, count): (i64, i64)) {
    reply.array(4);
    reply_content(reply, entry);
    reply.integer(idle_ms);
    reply.integer(count);
}

/// Tells the journal what a consumer was given.
fn record(
    data: &mut russet_dispatch::context::Data<'_>,
    key: Key<'_>,
    options: &Options<'_>,
    now: u64,
    given: &Given,
) {
    let Some((group, consumer)) = options.reader else { return };
    if given.is_new {
        data.effect(&[b"XGROUP", b"CREATECONSUMER", key.bytes, group, consumer]);
    }
    let mut buffer = [0; ID_TEXT_MAX];
    for id in &given.gone {
        data.effect(&[b"XACK", key.bytes, group, id.write(&mut buffer)]);
    }
    for claimed in &given.again {
        record_claim(data, key, (group, consumer), claimed);
    }
    let Some((last_id, entries_read)) = given.advanced else { return };
    let last = last_id.write(&mut buffer);
    if !given.fresh.is_empty() {
        let ids: Vec<String> = given.fresh.iter().map(ToString::to_string).collect();
        let mut digits = itoa::Buffer::new();
        let mut words: Vec<&[u8]> = vec![b"XCLAIM", key.bytes, group, consumer, b"0"];
        words.extend(ids.iter().map(String::as_bytes));
        words.extend([&b"TIME"[..], digits.format(now).as_bytes(), b"RETRYCOUNT", b"1"]);
        words.extend([&b"FORCE"[..], b"JUSTID", b"LASTID", last]);
        data.effect(&words);
    }
    record_position(data, key, group, last, entries_read);
}

/// Tells the journal how far a group has read.
pub(super) fn record_position(
    data: &mut russet_dispatch::context::Data<'_>,
    key: Key<'_>,
    group: &[u8],
    last: &[u8],
    entries_read: Option<u64>,
) {
    let mut digits = itoa::Buffer::new();
    let read = digits.format(entries_read.map_or(-1, |read| read as i64)).as_bytes();
    data.effect(&[b"XGROUP", b"SETID", key.bytes, group, last, b"ENTRIESREAD", read]);
}
