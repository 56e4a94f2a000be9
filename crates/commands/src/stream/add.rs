//! XADD.

use russet_dispatch::{Args, Class, Context, Error, Key, Outcome};
use russet_engine::types::stream::{ENTRY_BYTES_MAX, ID_TEXT_MAX, NewId, Stream, StreamId};
use smallvec::SmallVec;

use super::producer::Name;
use super::reply_id;
use super::trim::Options;

/// What came of it.
struct Added {
    id: StreamId,
    /// Nothing was added: the producer has said it before.
    is_duplicate: bool,
    name: Name,
    /// How many entries trimming has taken.
    trimmed: u64,
    /// What trimming with `~` came to.
    threshold: SmallVec<[u8; ID_TEXT_MAX]>,
}

pub(super) fn xadd(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let options = Options::read(args, true)?;
    let id_at = Args::position(args) - 1;
    if args.left() < 2 || !args.left().is_multiple_of(2) {
        return Err(Error::arity(cx.row.command.name).into());
    }
    if options.id == Some(NewId::Exactly(StreamId::MIN)) {
        return Err(Error::AddedZero.into());
    }
    if options.makes_none && cx.data.find_as::<Stream>(key)?.is_none() {
        cx.reply.null();
        return Ok(());
    }
    let fields = *args;
    let (now, limits) = (cx.now(), cx.state.tunables.thresholds.stream());
    let added = cx.data.change(key, Stream::new, |stream| {
        let added = add(stream, &options, fields, now, limits);
        let has_changed = added.as_ref().is_ok_and(|added| !added.is_duplicate);
        (added, has_changed)
    })??;
    cx.data.announce(Class::Stream, "xadd", key);
    if added.trimmed > 0 {
        cx.data.notify(Class::Stream, "xtrim", key);
    }
    reply_id(&mut cx.reply, added.id);
    if !added.is_duplicate && cx.data.is_followed() && options.is_vague() {
        record(cx, args, key, &options, id_at, &added);
    }
    Ok(())
}

#[inline]
fn add(
    stream: &mut Stream,
    options: &Options<'_>,
    fields: Args<'_>,
    now: u64,
    limits: russet_engine::SmallMax,
) -> Result<Added, Error> {
    let name = options.said.as_ref().map(|said| said.name(&fields)).unwrap_or_default();
    if let Some(said) = &options.said
        && let Some(id) = said.before(stream, &name, now)
    {
        return Ok(Added { id, is_duplicate: true, name, trimmed: 0, threshold: SmallVec::new() });
    }
    if stream.log.last_id() == StreamId::MAX {
        return Err(Error::StreamExhausted);
    }
    let wanted = options.id.unwrap_or(NewId::Auto);
    let id = stream.log.next_id(wanted, now).ok_or(Error::AddedTooSmall)?;
    let payload = fields.map(<[u8]>::len).sum();
    if payload > ENTRY_BYTES_MAX {
        return Err(Error::AddedTooLarge);
    }
    stream.log.push(id, fields.left() / 2, payload, fields, limits);
    if let Some(said) = &options.said {
        said.record(stream, &name, id, now);
    }
    let (mut trimmed, mut threshold) = (0, SmallVec::new());
    if options.trim.is_some() {
        trimmed = options.apply(stream, limits.entries);
        threshold = options.reached(stream);
    }
    Ok(Added { id, is_duplicate: false, name, trimmed, threshold })
}

/// Tells the journal what happened: the ID, the threshold, and under which name it was said.
#[cold]
fn record(
    cx: &mut Context<'_>,
    args: &Args<'_>,
    key: Key<'_>,
    options: &Options<'_>,
    id_at: usize,
    added: &Added,
) {
    let mut buffer = [0; ID_TEXT_MAX];
    let id = added.id.write(&mut buffer);
    cx.data.effect(&options.effect(args, Some((id_at, id)), &added.threshold));
    if let Some(said) = &options.said {
        cx.data.effect(&[b"XIDMPRECORD", key.bytes, said.producer(), &added.name, id]);
    }
}
