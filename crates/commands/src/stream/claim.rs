//! XCLAIM and XAUTOCLAIM: entries change hands.

use russet_dispatch::context::Data;
use russet_dispatch::{Args, Class, Context, Error, Key, Outcome};
use russet_engine::Told;
use russet_engine::types::stream::{Group, ID_TEXT_MAX, Log, Pending, Slot, Stream, StreamId};
use russet_resp::Writer;

use super::read::record_position;
use super::{Ids, read_id, read_start, reply_entry, reply_id};

/// How many pending entries XAUTOCLAIM looks at for each that it may claim.
const ATTEMPTS: u64 = 10;

/// How many entries XAUTOCLAIM claims unless COUNT says otherwise.
const COUNT: i64 = 100;

/// The greatest COUNT of XAUTOCLAIM.
const COUNT_MAX: i64 = i64::MAX / 16;

/// An entry that changed hands, for the journal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claimed {
    pub(super) id: StreamId,
    pub(super) delivered_ms: u64,
    pub(super) count: u64,
}

/// What came of claiming, for the journal.
#[derive(Debug, Default)]
struct Changes {
    /// The consumer is new.
    is_new: bool,
    claimed: Vec<Claimed>,
    /// Entries that turned out to be gone.
    gone: Vec<StreamId>,
    /// LASTID has moved the group on: up to here, and how many entries it has read.
    moved: Option<(StreamId, Option<u64>)>,
}

impl Changes {
    const fn told(&self) -> Told {
        let is_change = self.is_new
            || !self.claimed.is_empty()
            || !self.gone.is_empty()
            || self.moved.is_some();
        if is_change { Told::Journal } else { Told::Nobody }
    }

    /// As how many changes they count.
    fn count(&self) -> usize {
        let entries = self.claimed.len() + self.gone.len();
        let moves = entries == 0 && self.moved.is_some();
        usize::from(self.is_new) + entries + usize::from(moves)
    }

    fn record(&self, data: &mut Data<'_>, key: Key<'_>, (group, consumer): (&[u8], &[u8])) {
        if self.is_new {
            data.effect(&[b"XGROUP", b"CREATECONSUMER", key.bytes, group, consumer]);
        }
        let mut buffer = [0; ID_TEXT_MAX];
        for id in &self.gone {
            data.effect(&[b"XACK", key.bytes, group, id.write(&mut buffer)]);
        }
        for claimed in &self.claimed {
            record_claim(data, key, (group, consumer), claimed);
        }
        if let Some((last, read)) = self.moved {
            record_position(data, key, group, last.write(&mut buffer), read);
        }
    }
}

/// Tells the journal and who listens.
fn tell(cx: &mut Context<'_>, changes: &Changes, key: Key<'_>, place: (&[u8], &[u8])) {
    if changes.is_new {
        cx.data.notify(Class::Stream, "xgroup-createconsumer", key);
    }
    if cx.data.is_followed() {
        changes.record(&mut cx.data, key, place);
    }
}

/// Tells the journal that an entry changed hands.
pub(super) fn record_claim(
    data: &mut Data<'_>,
    key: Key<'_>,
    (group, consumer): (&[u8], &[u8]),
    claimed: &Claimed,
) {
    let (mut buffer, mut time, mut count) =
        ([0; ID_TEXT_MAX], itoa::Buffer::new(), itoa::Buffer::new());
    let id = claimed.id.write(&mut buffer);
    let time = time.format(claimed.delivered_ms).as_bytes();
    let count = count.format(claimed.count).as_bytes();
    let place: [&[u8]; 6] = [b"XCLAIM", key.bytes, group, consumer, b"0", id];
    let state: [&[u8]; 6] = [b"TIME", time, b"RETRYCOUNT", count, b"FORCE", b"JUSTID"];
    data.effect(&[place, state].concat());
}

/// What XCLAIM asks for.
struct Claim<'a> {
    consumer: &'a [u8],
    min_idle_ms: u64,
    ids: Ids,
    delivered_ms: u64,
    retries: Option<u64>,
    force: bool,
    just_ids: bool,
    last_id: StreamId,
}

pub(super) fn xclaim(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let (group, consumer) = (args.next()?, args.next()?);
    check_group(cx, key, group)?;
    let claim = read_claim(args, consumer, cx.now())?;
    let (reply, now) = (&mut cx.reply, cx.data.now);
    let changes = cx.data.change_telling(key, |stream: &mut Stream| {
        let Stream { log, groups, .. } = stream;
        let changes = groups.change(group, |group| claim.run(log, group, reply, now));
        let changes = changes.unwrap_or_default();
        let told = changes.told();
        (changes, told)
    })?;
    let changes = changes.unwrap_or_default();
    cx.data.count_as(changes.count());
    tell(cx, &changes, key, (group, consumer));
    Ok(())
}

fn check_group(cx: &mut Context<'_>, key: Key<'_>, group: &[u8]) -> Result<(), Error> {
    let stream = cx.data.read_as::<Stream>(key)?;
    match stream.and_then(|stream| stream.groups.get(group)) {
        Some(_) => Ok(()),
        None => Err(Error::no_group(key.bytes, group)),
    }
}

fn read_claim<'a>(args: &mut Args<'a>, consumer: &'a [u8], now: u64) -> Result<Claim<'a>, Error> {
    let min_idle_ms = args.int().map_err(|_| Error::ClaimIdle)?.max(0) as u64;
    let mut claim = Claim {
        consumer,
        min_idle_ms,
        ids: Ids::new(),
        delivered_ms: now,
        retries: None,
        force: false,
        just_ids: false,
        last_id: StreamId::MIN,
    };
    while let Some(id) = args.peek().and_then(|text| StreamId::parse(text, 0)) {
        claim.ids.push(id);
        args.next()?;
    }
    while !args.is_empty() {
        claim.read_option(args, now)?;
    }
    Ok(claim)
}

impl Claim<'_> {
    fn read_option(&mut self, args: &mut Args<'_>, now: u64) -> Result<(), Error> {
        let has_more = args.left() > 1;
        // A time that cannot be is now: clients reckon with clocks of their own.
        let sane = |time: i64| if (0..=now as i64).contains(&time) { time as u64 } else { now };
        if args.flag("FORCE") {
            self.force = true;
        } else if args.flag("JUSTID") {
            self.just_ids = true;
        } else if has_more && args.flag("IDLE") {
            let idle = args.int().map_err(|_| Error::ClaimIdleOption)?;
            self.delivered_ms = sane((now as i64).wrapping_sub(idle));
        } else if has_more && args.flag("TIME") {
            self.delivered_ms = sane(args.int().map_err(|_| Error::ClaimTimeOption)?);
        } else if has_more && args.flag("RETRYCOUNT") {
            let count = args.int().map_err(|_| Error::ClaimRetryOption)?;
            self.retries = u64::try_from(count).ok();
        } else if has_more && args.flag("LASTID") {
            self.last_id = read_id(args.next()?)?;
        } else {
            let word = String::from_utf8_lossy(args.next()?).into_owned();
            return Err(Error::of(format!("ERR Unrecognized XCLAIM option '{word}'")));
        }
        Ok(())
    }

    fn run(&self, log: &Log, group: &mut Group, reply: &mut Writer<'_>, now: u64) -> Changes {
        let mut changes = Changes::default();
        if self.last_id > group.last_id {
            group.last_id = self.last_id;
            changes.moved = Some((group.last_id, group.entries_read));
        }
        let (slot, is_new) = group.find_or_add(self.consumer, now);
        changes.is_new = is_new;
        group.seen(slot, now);
        let mark = reply.out.mark();
        let before = changes.claimed.len();
        for id in &self.ids {
            self.claim_one(log, group, slot, *id, reply, now, &mut changes);
        }
        reply.array_at(mark, changes.claimed.len() - before);
        if !changes.claimed.is_empty() {
            group.active(slot, now);
        }
        changes
    }

    #[expect(clippy::too_many_arguments, reason = "a stream's parts, borrowed apart")]
    fn claim_one(
        &self,
        log: &Log,
        group: &mut Group,
        slot: Slot,
        id: StreamId,
        reply: &mut Writer<'_>,
        now: u64,
        changes: &mut Changes,
    ) {
        let pending = group.pending_of(id);
        let Some(entry) = log.get(id) else {
            if group.acknowledge(id) {
                changes.gone.push(id);
            }
            return;
        };
        let count = match pending {
            Some(pending) if is_too_fresh(&pending, self.min_idle_ms, now) => return,
            Some(pending) => pending.count,
            None if self.force => 1,
            None => return,
        };
        let more = u64::from(!self.just_ids);
        let count = self.retries.unwrap_or_else(|| count.saturating_add(more));
        group.assign(id, slot, self.delivered_ms, count);
        changes.claimed.push(Claimed { id, delivered_ms: self.delivered_ms, count });
        if self.just_ids {
            reply_id(reply, id);
        } else {
            reply_entry(reply, &entry);
        }
    }
}

/// Whether an entry's owner has had it for less than that. What nobody owns may be taken at any time.
fn is_too_fresh(pending: &Pending, min_idle_ms: u64, now: u64) -> bool {
    min_idle_ms > 0 && pending.owner().is_some() && pending.idle_ms(now) < min_idle_ms
}

/// What XAUTOCLAIM asks for.
struct Search {
    min_idle_ms: u64,
    start: StreamId,
    count: u64,
    just_ids: bool,
}

pub(super) fn xautoclaim(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let (group, consumer) = (args.next()?, args.next()?);
    let search = read_search(args)?;
    check_group(cx, key, group)?;
    let (reply, now) = (&mut cx.reply, cx.data.now);
    let changes = cx.data.change_telling(key, |stream: &mut Stream| {
        let Stream { log, groups, .. } = stream;
        let run = |group: &mut Group| search.run(log, group, consumer, reply, now);
        let changes = groups.change(group, run).unwrap_or_default();
        let told = changes.told();
        (changes, told)
    })?;
    let changes = changes.unwrap_or_default();
    cx.data.count_as(changes.count());
    tell(cx, &changes, key, (group, consumer));
    Ok(())
}

fn read_search(args: &mut Args<'_>) -> Result<Search, Error> {
    let min_idle_ms = args.int().map_err(|_| Error::AutoclaimIdle)?.max(0) as u64;
    let start = read_start(args.next()?)?;
    let (mut count, mut just_ids) = (COUNT, false);
    while !args.is_empty() {
        if args.left() > 1 && args.flag("COUNT") {
            let number = args.int().ok().filter(|number| (1..=COUNT_MAX).contains(number));
            count = number.ok_or(Error::AutoclaimCount)?;
        } else if args.flag("JUSTID") {
            just_ids = true;
        } else {
            return Err(Error::Syntax);
        }
    }
    Ok(Search { min_idle_ms, start, count: count as u64, just_ids })
}

impl Search {
    fn run(
        &self,
        log: &Log,
        group: &mut Group,
        consumer: &[u8],
        reply: &mut Writer<'_>,
        now: u64,
    ) -> Changes {
        let (slot, is_new) = group.find_or_add(consumer, now);
        let mut changes = Changes { is_new, ..Changes::default() };
        group.seen(slot, now);
        reply.array(3);
        let mark = reply.out.mark();
        let cursor = self.claim_all(log, group, slot, reply, now, &mut changes);
        reply.array_at(mark, changes.claimed.len());
        let mut buffer = [0; ID_TEXT_MAX];
        let id = cursor.unwrap_or_default().write(&mut buffer);
        let mut digits = itoa::Buffer::new();
        let len = digits.format(id.len()).as_bytes();
        reply.out.insert(mark, &[b"$", len, b"\r\n", id, b"\r\n"].concat());
        reply.array(changes.gone.len());
        changes.gone.iter().for_each(|id| reply_id(reply, *id));
        if !changes.claimed.is_empty() {
            group.active(slot, now);
        }
        changes
    }

    /// Claims what has been pending for long enough; answers where the next search begins.
    fn claim_all(
        &self,
        log: &Log,
        group: &mut Group,
        slot: Slot,
        reply: &mut Writer<'_>,
        now: u64,
        changes: &mut Changes,
    ) -> Option<StreamId> {
        let (mut left, mut attempts) = (self.count, self.count.saturating_mul(ATTEMPTS));
        let mut at = Some(self.start);
        while let Some((id, pending)) = group.pending(at?, StreamId::MAX).next() {
            if attempts == 0 || left == 0 {
                return Some(id);
            }
            let pending = *pending;
            attempts -= 1;
            at = id.next();
            let Some(entry) = log.get(id) else {
                group.acknowledge(id);
                changes.gone.push(id);
                left -= 1;
                continue;
            };
            if is_too_fresh(&pending, self.min_idle_ms, now) {
                continue;
            }
            let count = pending.count.saturating_add(u64::from(!self.just_ids));
            group.assign(id, slot, now, count);
            changes.claimed.push(Claimed { id, delivered_ms: now, count });
            if self.just_ids {
                reply_id(reply, id);
            } else {
                reply_entry(reply, &entry);
            }
            left -= 1;
        }
        None
    }
}
