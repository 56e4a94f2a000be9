//! Streams: blocks of entries, what is known of the past, and who reads.

use std::collections::BTreeMap;

use russet_engine::types::stream::{Block, Group, Groups, Log, Stream, StreamId};
use russet_engine::{Collection, Object};

use crate::kind;
use crate::primitives::{DecodeError, Source};

/// What stands for a time or a count that is not known.
const UNKNOWN: u64 = u64::MAX;

/// An entry that is pending in a group, of which it is not known yet with whom.
#[derive(Clone, Copy, Debug)]
struct Unowned {
    delivered_ms: u64,
    count: u64,
}

/// Reads a stream. One of no entries is a stream too.
pub(super) fn read(kind: u8, source: &mut Source<'_>) -> Result<Object, DecodeError> {
    let log = log(kind, source)?;
    let mut groups = Groups::default();
    source.each(|source| {
        let group = group(kind, &log, source)?;
        if groups.add(group) { Ok(()) } else { Err(DecodeError::Duplicate) }
    })?;
    Ok(Stream { log, groups, idempotence: None }.wrap())
}

fn log(kind: u8, source: &mut Source<'_>) -> Result<Log, DecodeError> {
    let mut blocks = Vec::new();
    source.each(|source| {
        let id: [u8; 16] = (*source.text()?).try_into().map_err(|_| DecodeError::Malformed)?;
        let block = Block::from_listpack(source.text()?.into_owned());
        blocks.push((id_of(id), block.ok_or(DecodeError::Malformed)?));
        Ok(())
    })?;
    let (len, last_id) = (source.length()?, id(source)?);
    let mut log =
        Log::from_parts(blocks.into_iter(), len, last_id).ok_or(DecodeError::Malformed)?;
    if kind == kind::STREAM {
        log.set_past(StreamId::MIN, len);
    } else {
        // The first entry's ID is seen from the entries.
        id(source)?;
        log.set_past(id(source)?, source.length()?);
    }
    Ok(log)
}

/// An ID of sixteen bytes.
const fn id_of(bytes: [u8; 16]) -> StreamId {
    let id = u128::from_be_bytes(bytes);
    let [ms, seq] = [id >> 64, id & u64::MAX as u128];
    #[expect(clippy::cast_possible_truncation, reason = "halves")]
    StreamId::new(ms as u64, seq as u64)
}

/// An ID of two lengths.
fn id(source: &mut Source<'_>) -> Result<StreamId, DecodeError> {
    Ok(StreamId::new(source.length()?, source.length()?))
}

/// A time in milliseconds since 1970; one that cannot be counts as the last that can.
fn time(source: &mut Source<'_>) -> Result<u64, DecodeError> {
    source.word().map(|ms| ms.min(i64::MAX.unsigned_abs()))
}

fn group(kind: u8, log: &Log, source: &mut Source<'_>) -> Result<Group, DecodeError> {
    let (name, last_id) = (source.text()?, id(source)?);
    let read = if kind == kind::STREAM {
        log.rank(last_id)
    } else {
        Some(source.length()?).filter(|read| *read != UNKNOWN)
    };
    let mut group = Group::new(&name, last_id, read);
    let mut unowned = pending(source)?;
    source.each(|source| consumer(kind, &mut group, &mut unowned, source))?;
    unowned.into_iter().for_each(|(id, it)| group.give_back(id, it.count));
    Ok(group)
}

/// What is pending in a group.
fn pending(source: &mut Source<'_>) -> Result<BTreeMap<StreamId, Unowned>, DecodeError> {
    let mut pending = BTreeMap::new();
    source.each(|source| {
        let id = id_of(source.array()?);
        let it = Unowned { delivered_ms: time(source)?, count: source.length()? };
        if pending.insert(id, it).is_none() { Ok(()) } else { Err(DecodeError::Duplicate) }
    })?;
    Ok(pending)
}

/// A consumer, and which entries it has; each is with one consumer only.
fn consumer(
    kind: u8,
    group: &mut Group,
    unowned: &mut BTreeMap<StreamId, Unowned>,
    source: &mut Source<'_>,
) -> Result<(), DecodeError> {
    let (name, seen_ms) = (source.text()?, time(source)?);
    let active_ms = match kind {
        kind::STREAM_3 => Some(source.word()?).filter(|ms| *ms != UNKNOWN),
        _ => Some(seen_ms),
    };
    let (slot, is_new) = group.find_or_add(&name, seen_ms);
    if !is_new {
        return Err(DecodeError::Duplicate);
    }
    if let Some(active_ms) = active_ms {
        group.active(slot, active_ms.min(i64::MAX.unsigned_abs()));
    }
    source.each(|source| {
        let id = id_of(source.array()?);
        let it = unowned.remove(&id).ok_or(DecodeError::Malformed)?;
        group.assign(id, slot, it.delivered_ms, it.count);
        Ok(())
    })
}
