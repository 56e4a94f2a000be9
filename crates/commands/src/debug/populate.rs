//! DEBUG POPULATE: many keys at once.

use russet_dispatch::{Args, Context, Outcome, Stop};
use russet_engine::{Busy, Name, string_value};

/// More than this many keys are made where nobody waits for it.
const AT_ONCE_MAX: usize = 2_000;

/// Keys are made past the journal and without a count of changes, as Redis does. A shard that is busy lets the whole be repeated, which
/// finds what has been made already.
pub(super) fn populate(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let count = args.count()?;
    let prefix = args.peek().unwrap_or(b"key");
    let size = if args.left() > 1 { sized(args)? } else { None };
    if count > AT_ONCE_MAX && !cx.is_worker && !cx.session.deny_blocking {
        return Err(Stop::Elsewhere);
    }
    for number in 0..count {
        let key = [prefix, b":", number.to_string().as_bytes()].concat();
        make(cx, &key, &value(number, size))?;
    }
    cx.reply.ok();
    Ok(())
}

/// The size behind the prefix; zero is none.
fn sized(args: &mut Args<'_>) -> Result<Option<usize>, russet_dispatch::Error> {
    args.next()?;
    let size = args.count()?;
    Ok((size > 0).then_some(size))
}

/// `value:7`, cut or filled up with zeros.
fn value(number: usize, size: Option<usize>) -> Vec<u8> {
    let mut value = format!("value:{number}").into_bytes();
    if let Some(size) = size {
        value.resize(size, 0);
    }
    value
}

fn make(cx: &mut Context<'_>, key: &[u8], value: &[u8]) -> Result<(), Busy> {
    let spot = cx.state.keyspace.locate(key);
    let (name, now) = (Name { db: cx.data.db, key, hash: spot.hash }, cx.now());
    let access = cx.data.access;
    cx.data.visit_mut(spot.shard, |shard| {
        let is_there = shard.get(name).is_some_and(|entry| !entry.is_expired(now));
        if !is_there {
            shard.set(name, string_value(value), None, access, || 0);
        }
    })
}
