//! Hashes: fields and their values.
//!
//! A handler sees only fields that have not ended: what has ended is taken out when the key is looked up. What HEXPIRE and its kin do
//! stands in `hash/expire.rs`, what throws dice or walks in `hash/random.rs` and `hash/scan.rs`.

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{ACCESS, DELETE, INSERT, RO, RW, UPDATE, at};
use russet_dispatch::parts::{self, Show};
use russet_dispatch::{
    Args, Class, Command, Context, Error, Group, Key, Outcome, Prefetch, Stop, Text,
};
use russet_engine::View;
use russet_engine::number::{DIGITS_MAX, write_i64};
use russet_engine::types::hash::{Hash, Rules};
use russet_resp::Writer;

use crate::long_double::LongDouble;

pub mod expire;
mod import;
mod random;
mod scan;

/// What every hash command has in common.
const HASH: Command = Command { group: Group::Hash, file: file!(), ..Command::BASE };

/// The rows, but for those in `expire.rs`.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "hdel",
        syntax: "key field [field ...]",
        summary: "Removes fields of a hash, and the hash with its last field.",
        complexity: "O(N) where N is the number of fields to be removed",
        since: "2.0.0",
        arity: -3,
        flags: &[Write, Fast],
        keys: &[at(1, RW | DELETE)],
        prefetch: Prefetch::Element(2),
        history: &[("2.4.0", "Takes several fields.")],
        run: hdel,
        ..HASH
    },
    Command {
        name: "hexists",
        syntax: "key field",
        summary: "Tells whether a hash has a field.",
        since: "2.0.0",
        arity: 3,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO)],
        prefetch: Prefetch::Element(2),
        run: hexists,
        ..HASH
    },
    Command {
        name: "hget",
        syntax: "key field",
        summary: "Gives the value of a field of a hash.",
        since: "2.0.0",
        arity: 3,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO | ACCESS)],
        prefetch: Prefetch::Element(2),
        run: hget,
        ..HASH
    },
    Command {
        name: "hgetall",
        syntax: "key",
        summary: "Gives all fields of a hash with their values.",
        complexity: "O(N) where N is the size of the hash",
        since: "2.0.0",
        arity: 2,
        flags: &[ReadOnly],
        keys: &[at(1, RO | ACCESS)],
        tips: &["nondeterministic_output_order"],
        run: hgetall,
        ..HASH
    },
    Command {
        name: "hincrby",
        syntax: "key field increment:int",
        summary: "Adds to the integer in a field of a hash, which counts as zero if it is not there.",
        since: "2.0.0",
        arity: 4,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | ACCESS | UPDATE)],
        prefetch: Prefetch::Element(2),
        run: hincrby,
        ..HASH
    },
    Command {
        name: "hincrbyfloat",
        syntax: "key field increment:double",
        summary: "Adds to the float in a field of a hash, which counts as zero if it is not there.",
        since: "2.6.0",
        arity: 4,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | ACCESS | UPDATE)],
        prefetch: Prefetch::Element(2),
        run: hincrbyfloat,
        ..HASH
    },
    Command {
        name: "hkeys",
        syntax: "key",
        summary: "Gives all fields of a hash.",
        complexity: "O(N) where N is the size of the hash",
        since: "2.0.0",
        arity: 2,
        flags: &[ReadOnly],
        keys: &[at(1, RO | ACCESS)],
        tips: &["nondeterministic_output_order"],
        run: hkeys,
        ..HASH
    },
    Command {
        name: "hlen",
        syntax: "key",
        summary: "Tells how many fields a hash has.",
        since: "2.0.0",
        arity: 2,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO)],
        run: hlen,
        ..HASH
    },
    Command {
        name: "hmget",
        syntax: "key field [field ...]",
        summary: "Gives the values of several fields of a hash.",
        complexity: "O(N) where N is the number of fields being requested",
        since: "2.0.0",
        arity: -3,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO | ACCESS)],
        prefetch: Prefetch::Element(2),
        run: hmget,
        ..HASH
    },
    Command {
        name: "hmset",
        syntax: "key field value [field value ...]",
        summary: "Sets fields of a hash.",
        complexity: "O(N) where N is the number of fields being set",
        since: "2.0.0",
        arity: -4,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | UPDATE)],
        prefetch: Prefetch::Element(2),
        deprecated: Some(("4.0.0", "`HSET` with multiple field-value pairs")),
        run: hmset,
        ..HASH
    },
    import::HIMPORT,
    random::HRANDFIELD,
    scan::HSCAN,
    Command {
        name: "hset",
        syntax: "key field value [field value ...]",
        summary: "Sets fields of a hash and tells how many of them are new.",
        complexity: "O(1) for each field set, so O(N) for N of them",
        since: "2.0.0",
        arity: -4,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | UPDATE)],
        prefetch: Prefetch::Element(2),
        history: &[("4.0.0", "Takes several fields and values.")],
        run: hset,
        ..HASH
    },
    Command {
        name: "hsetnx",
        syntax: "key field value",
        summary: "Sets a field of a hash unless it is there.",
        since: "2.0.0",
        arity: 4,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | INSERT)],
        prefetch: Prefetch::Element(2),
        run: hsetnx,
        ..HASH
    },
    Command {
        name: "hstrlen",
        syntax: "key field",
        summary: "Tells how many bytes the value of a field has.",
        since: "3.2.0",
        arity: 3,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO)],
        prefetch: Prefetch::Element(2),
        run: hstrlen,
        ..HASH
    },
    Command {
        name: "hvals",
        syntax: "key",
        summary: "Gives all values of a hash.",
        complexity: "O(N) where N is the size of the hash",
        since: "2.0.0",
        arity: 2,
        flags: &[ReadOnly],
        keys: &[at(1, RO | ACCESS)],
        tips: &["nondeterministic_output_order"],
        run: hvals,
        ..HASH
    },
];

/// Hashes from this size on are read as a whole by a worker: about a millisecond's work.
const AT_ONCE_MAX: usize = 20_000;

/// How the server keeps hashes.
fn rules(cx: &Context<'_>) -> Rules {
    Rules { max: cx.state.tunables.thresholds.hash(), seed: cx.state.keyspace.seed() }
}

/// Whether a command may go on at a worker.
#[derive(Clone, Copy)]
struct MayLeave(bool);

fn may_leave(cx: &Context<'_>) -> MayLeave {
    MayLeave(!cx.is_worker && !cx.session.deny_blocking)
}

impl MayLeave {
    /// Sends a command that visits `fields` fields to a worker if that takes long and may be done there.
    const fn if_long(self, fields: usize) -> Result<(), Stop> {
        if self.0 && fields > AT_ONCE_MAX { Err(Stop::Elsewhere) } else { Ok(()) }
    }
}

/// Replies with a field or a value, or with nothing.
fn reply_view(reply: &mut Writer<'_>, view: Option<View<'_>>) {
    match view {
        Some(view) => Text::from(view).reply(reply),
        None => reply.null(),
    }
}

/// A field with its value, read from the arguments.
type Words<'a> = (&'a [u8], &'a [u8]);

/// The rest of the arguments, two by two.
fn pairs_of(mut args: Args<'_>) -> impl Iterator<Item = Words<'_>> + Clone {
    std::iter::from_fn(move || Some((args.next().ok()?, args.next().ok()?)))
}

/// Sets fields, their ends being dropped, and answers how many are new.
fn set_pairs(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<usize, Error> {
    let key = args.key()?;
    if !args.left().is_multiple_of(2) {
        return Err(Error::arity(cx.row.command.name));
    }
    let (rules, pairs, count) = (rules(cx), pairs_of(*args), args.left() / 2);
    let created = cx.data.change(key, Hash::new, |hash| {
        hash.prepare(count, pairs.clone(), &rules);
        let created = pairs.filter(|(field, value)| hash.set(field, value, false, &rules)).count();
        (created, true)
    })?;
    cx.data.announce(Class::Hash, "hset", key);
    cx.data.count_as(count);
    Ok(created)
}

fn hset(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let created = set_pairs(cx, args)?;
    cx.reply.integer(created as i64);
    Ok(())
}

fn hmset(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    set_pairs(cx, args)?;
    cx.reply.ok();
    Ok(())
}

fn hsetnx(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, field, value, rules) = (args.key()?, args.next()?, args.next()?, rules(cx));
    let is_set = cx.data.change(key, Hash::new, |hash| {
        if hash.get(field).is_some() {
            return (false, false);
        }
        hash.prepare(1, std::iter::once((field, value)), &rules);
        hash.set(field, value, false, &rules);
        (true, true)
    })?;
    cx.data.announce(Class::Hash, "hset", key);
    cx.reply.integer(i64::from(is_set));
    Ok(())
}

fn hget(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, field) = (args.key()?, args.next()?);
    let value = cx.data.read_as::<Hash>(key)?.and_then(|hash| hash.get(field));
    reply_view(&mut cx.reply, value);
    Ok(())
}

fn hmget(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let hash = cx.data.read_as::<Hash>(key)?;
    cx.reply.array(args.left());
    for field in args {
        reply_view(&mut cx.reply, hash.and_then(|hash| hash.get(field)));
    }
    Ok(())
}

fn hlen(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let len = cx.data.read_as::<Hash>(key)?.map_or(0, Hash::len);
    cx.reply.integer(len as i64);
    Ok(())
}

fn hstrlen(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, field) = (args.key()?, args.next()?);
    let value = cx.data.read_as::<Hash>(key)?.and_then(|hash| hash.get(field));
    cx.reply.integer(value.map_or(0, |value| Text::from(value).len()) as i64);
    Ok(())
}

fn hexists(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, field) = (args.key()?, args.next()?);
    let value = cx.data.read_as::<Hash>(key)?.and_then(|hash| hash.get(field));
    cx.reply.integer(i64::from(value.is_some()));
    Ok(())
}

fn hdel(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let remove = |hash: &mut Hash| {
        let removed = args.filter(|field| hash.remove(field)).count();
        (removed, removed > 0)
    };
    let removed = cx.data.change_found(key, remove)?.unwrap_or(0);
    cx.data.announce(Class::Hash, "hdel", key);
    cx.data.count_as(removed);
    cx.reply.integer(removed as i64);
    Ok(())
}

fn hgetall(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    reply_all(cx, args, Fields { with_names: true, with_values: true })
}

fn hkeys(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    reply_all(cx, args, Fields { with_names: true, with_values: false })
}

fn hvals(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    reply_all(cx, args, Fields { with_names: false, with_values: true })
}

fn reply_all(cx: &mut Context<'_>, args: &mut Args<'_>, fields: Fields) -> Outcome {
    parts::reply(cx, args.key()?, fields, |hash, reply| {
        let len = hash.map_or(0, Hash::len);
        if fields.with_names && fields.with_values {
            reply.map(len);
        } else {
            reply.array(len);
        }
        Some(0)
    })
}

/// Shows all fields of a hash: their names, their values or both.
#[derive(Clone, Copy, Debug)]
struct Fields {
    with_names: bool,
    with_values: bool,
}

impl Show for Fields {
    type Of = Hash;
    type Place = u64;

    fn show(&self, hash: &Hash, place: u64, until: usize, reply: &mut Writer<'_>) -> Option<u64> {
        parts::through(place, until, reply, |cursor, reply| {
            hash.scan(cursor, |pair| {
                if self.with_names {
                    Text::from(pair.field).reply(reply);
                }
                if self.with_values {
                    Text::from(pair.value).reply(reply);
                }
            })
        })
    }
}

fn hincrby(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, field, increment, rules) = (args.key()?, args.next()?, args.int()?, rules(cx));
    let sum = change_field(cx, key, |hash| {
        let old = hash.get(field).map(|value| Text::from(value).int().ok_or(Error::HashNotInteger));
        let old = old.transpose()?.unwrap_or(0);
        let sum = old.checked_add(increment).ok_or(Error::Overflow)?;
        hash.set(field, write_i64(sum, &mut [0; DIGITS_MAX]), true, &rules);
        Ok(sum)
    })?;
    cx.data.announce(Class::Hash, "hincrby", key);
    cx.reply.integer(sum);
    Ok(())
}

/// Changes a hash, which is made if it is not there, unless `change` fails.
fn change_field<R>(
    cx: &mut Context<'_>,
    key: Key<'_>,
    change: impl FnOnce(&mut Hash) -> Result<R, Error>,
) -> Result<R, Error> {
    cx.data.change(key, Hash::new, |hash| {
        let result = change(hash);
        let has_changed = result.is_ok();
        (result, has_changed)
    })?
}

fn float_of(value: View<'_>) -> Result<LongDouble, Error> {
    match value {
        View::Int(number) => Ok(LongDouble::from_int(number)),
        _ => LongDouble::parse(&Text::from(value).bytes()).ok_or(Error::HashNotFloat),
    }
}

/// The journal gets what the sum came to.
fn hincrbyfloat(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, field, rules) = (args.key()?, args.next()?, rules(cx));
    let increment = LongDouble::parse(args.next()?).ok_or(Error::NotFloat)?;
    if !increment.is_finite() {
        return Err(Error::FloatNotFinite.into());
    }
    let (text, has_end) = change_field(cx, key, |hash| {
        let old = hash.get(field).map(float_of).transpose()?.unwrap_or(LongDouble::ZERO);
        let sum = old.plus(increment).filter(|sum| sum.is_finite()).ok_or(Error::NanOrInfinity)?;
        let text = sum.print();
        hash.set(field, text.as_bytes(), true, &rules);
        Ok((text, hash.expiry(field).flatten().is_some()))
    })?;
    cx.data.announce(Class::Hash, "hincrbyfloat", key);
    if has_end {
        let words: [&[u8]; 7] =
            [b"HSETEX", key.bytes, b"KEEPTTL", b"FIELDS", b"1", field, text.as_bytes()];
        cx.data.effect(&words);
    } else {
        cx.data.effect(&[b"HSET", key.bytes, field, text.as_bytes()]);
    }
    cx.reply.bulk(text.as_bytes());
    Ok(())
}
