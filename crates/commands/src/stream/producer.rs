//! IDMP: producers that say the same twice, and XCFGSET, which says for how long that is noticed.

use russet_dispatch::{Args, Context, Error, Outcome};
use russet_engine::Told;
use russet_engine::types::stream::{Idempotence, Stream, StreamId};
use smallvec::SmallVec;
use std::ops::RangeInclusive;
use xxhash_rust::xxh3::Xxh3;

use super::read_id;

/// What IDMP-DURATION may be, in seconds.
const DURATIONS: RangeInclusive<i64> = 1..=86_400;

/// What IDMP-MAXSIZE may be.
const SIZES: RangeInclusive<i64> = 1..=10_000;

/// Who says something, and under which name.
#[derive(Clone, Debug)]
pub(super) struct Said<'a> {
    producer: &'a [u8],
    /// For IDMPAUTO, what stands in the entry decides.
    name: Option<&'a [u8]>,
}

/// A name that was given, or made of an entry's content.
pub(super) type Name = SmallVec<[u8; 16]>;

impl<'a> Said<'a> {
    /// Reads `IDMP producer name` or `IDMPAUTO producer`, if that comes next.
    pub(super) fn read(args: &mut Args<'a>) -> Result<Option<Self>, Error> {
        let said = if args.flag("IDMP") {
            Self { producer: args.next()?, name: Some(args.next()?) }
        } else if args.flag("IDMPAUTO") {
            Self { producer: args.next()?, name: None }
        } else {
            return Ok(None);
        };
        if said.producer.is_empty() || said.name.is_some_and(<[u8]>::is_empty) {
            return Err(Error::ProducerNameEmpty);
        }
        Ok(Some(said))
    }

    /// Who says it.
    pub(super) const fn producer(&self) -> &'a [u8] {
        self.producer
    }

    /// Under which name, for an entry of these fields and values.
    pub(super) fn name(&self, fields: &Args<'a>) -> Name {
        if let Some(name) = self.name {
            return name.into();
        }
        let mut hash = Xxh3::new();
        for piece in *fields {
            hash.update(&(piece.len() as u64).to_le_bytes());
            hash.update(piece);
        }
        hash.digest128().to_le_bytes().as_slice().into()
    }

    /// The entry that was made when this was said before.
    pub(super) fn before(&self, stream: &mut Stream, name: &[u8], now: u64) -> Option<StreamId> {
        let known = stream.idempotence.as_deref_mut()?;
        let id = known.find(self.producer, name, now)?;
        known.duplicates += 1;
        Some(id)
    }

    /// Notes that an entry was made of it.
    pub(super) fn record(&self, stream: &mut Stream, name: &[u8], id: StreamId, now: u64) {
        let known = stream.idempotence.get_or_insert_default();
        known.record(self.producer, name, id, now);
    }
}

pub(super) fn xcfgset(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let (mut duration, mut size) = (None, None);
    while !args.is_empty() {
        if args.flag("IDMP-DURATION") {
            duration = Some(within(args, DURATIONS, Error::ProducerDuration)?);
        } else if args.flag("IDMP-MAXSIZE") {
            size = Some(within(args, SIZES, Error::ProducerNames)?);
        } else {
            return Err(Error::Syntax.into());
        }
    }
    if duration.is_none() && size.is_none() {
        return Err(Error::Syntax.into());
    }
    let found = cx.data.change_telling(key, |stream: &mut Stream| {
        let known = stream.idempotence.get_or_insert_default();
        ((), configure(known, duration, size))
    })?;
    found.ok_or(Error::NoSuchKey)?;
    cx.reply.ok();
    Ok(())
}

fn within(args: &mut Args<'_>, range: RangeInclusive<i64>, error: Error) -> Result<u64, Error> {
    args.int().ok().filter(|number| range.contains(number)).map(|number| number as u64).ok_or(error)
}

/// Other values than those in force let all names be forgotten.
fn configure(known: &mut Idempotence, duration_s: Option<u64>, size: Option<u64>) -> Told {
    let duration_ms = duration_s.map_or(known.duration_ms, |seconds| seconds * 1000);
    let names_max = size.map_or(known.names_max, |size| size as usize);
    if (duration_ms, names_max) != (known.duration_ms, known.names_max) {
        known.clear();
    }
    (known.duration_ms, known.names_max) = (duration_ms, names_max);
    Told::Journal
}

pub(super) fn xidmprecord(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let (producer, name) = (args.next()?, args.next()?);
    if producer.is_empty() || name.is_empty() {
        return Err(Error::ProducerNameEmpty.into());
    }
    let (id, now) = (read_id(args.next()?)?, cx.now());
    let done = cx.data.change_telling(key, |stream: &mut Stream| {
        if stream.log.get(id).is_none() {
            return (Err(Error::RecordOfNothing), Told::Nobody);
        }
        let known = stream.idempotence.get_or_insert_default();
        match known.find(producer, name, now) {
            Some(other) if other != id => (Err(Error::RecordConflict), Told::Nobody),
            Some(_) => (Ok(()), Told::Nobody),
            None => {
                known.record(producer, name, id, now);
                (Ok(()), Told::Journal)
            }
        }
    })?;
    done.ok_or(Error::NoSuchKey)??;
    cx.reply.ok();
    Ok(())
}
