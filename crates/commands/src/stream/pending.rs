//! XPENDING: what was delivered and is not acknowledged.

use russet_dispatch::{Args, Context, Error, Outcome};
use russet_engine::types::stream::{Group, Pending, Stream, StreamId};
use russet_resp::Writer;

use super::{read_end, read_start, reply_id};

/// The long form.
struct Filter<'a> {
    min_idle_ms: i64,
    start: StreamId,
    end: StreamId,
    count: u64,
    consumer: Option<&'a [u8]>,
}

pub(super) fn xpending(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, name) = (args.key()?, args.next()?);
    let filter = if args.is_empty() { None } else { Some(read_filter(args)?) };
    let now = cx.now();
    let stream = cx.data.read_as::<Stream>(key)?;
    let group = stream.and_then(|stream| stream.groups.get(name));
    let group = group.ok_or_else(|| Error::no_group(key.bytes, name))?;
    match filter {
        None => summarise(&mut cx.reply, group),
        Some(filter) => filter.reply(&mut cx.reply, group, now),
    }
    Ok(())
}

fn read_filter<'a>(args: &mut Args<'a>) -> Result<Filter<'a>, Error> {
    if !(3..=6).contains(&args.left()) {
        return Err(Error::Syntax);
    }
    let mut min_idle_ms = 0;
    if args.flag("IDLE") {
        min_idle_ms = args.int()?;
        if args.left() < 3 {
            return Err(Error::Syntax);
        }
    }
    let (start, end) = (args.next()?, args.next()?);
    let count = args.int()?.max(0) as u64;
    let (start, end) = (read_start(start)?, read_end(end)?);
    let consumer = if args.is_empty() { None } else { Some(args.next()?) };
    Ok(Filter { min_idle_ms, start, end, count, consumer })
}

/// How many, from where to where, and how many of each consumer.
fn summarise(reply: &mut Writer<'_>, group: &Group) {
    reply.array(4);
    reply.integer(group.pending_len() as i64);
    let Some((first, last)) = group.pending_ends() else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    reply_id(reply, first);
    reply_id(reply, last);
    let busy = || group.consumers().filter(|(_, consumer)| consumer.pending_len() > 0);
    reply.array(busy().count());
    for (_, consumer) in busy() {
        reply.array(2);
        reply.bulk(&consumer.name);
        reply.bulk_int(consumer.pending_len() as i64);
    }
}

impl Filter<'_> {
    fn reply(&self, reply: &mut Writer<'_>, group: &Group, now: u64) {
        if self.start > self.end {
            return reply.array(0);
        }
        let Some(name) = self.consumer else {
            let all = group.pending(self.start, self.end).map(|(id, pending)| (id, *pending));
            return self.reply_those(reply, group, all, now);
        };
        let Some(slot) = group.find(name) else { return reply.array(0) };
        let ids = group.consumer(slot).pending(self.start, self.end);
        let own = ids.filter_map(|id| Some((id, group.pending_of(id)?)));
        self.reply_those(reply, group, own, now);
    }

    fn reply_those(
        &self,
        reply: &mut Writer<'_>,
        group: &Group,
        pending: impl Iterator<Item = (StreamId, Pending)>,
        now: u64,
    ) {
        let is_idle = |pending: &Pending| {
            self.min_idle_ms == 0
                || (now as i64).wrapping_sub(pending.delivered_ms as i64) >= self.min_idle_ms
        };
        let mark = reply.out.mark();
        let mut count = 0;
        for (id, pending) in pending.filter(|(_, it)| is_idle(it)).take(self.count as usize) {
            reply.array(4);
            reply_id(reply, id);
            reply.bulk(owner_name(group, &pending));
            reply.integer(idle_reply(&pending, now));
            reply.integer(pending.count as i64);
            count += 1;
        }
        reply.array_at(mark, count);
    }
}

/// Who has a pending entry; nobody has no name.
pub(super) fn owner_name<'g>(group: &'g Group, pending: &Pending) -> &'g [u8] {
    pending.owner().map_or(b"", |slot| &group.consumer(slot).name)
}

/// For how long an entry has been pending, in milliseconds; -1 if it was given back.
pub(super) fn idle_reply(pending: &Pending, now: u64) -> i64 {
    if pending.owner().is_none() { -1 } else { pending.idle_ms(now) as i64 }
}
