//! HIMPORT: many hashes of the same fields, whose names are sent once.
//!
//! A connection prepares a list of names under a name of its own and then sends values alone. What is made is a hash as any other; Redis
//! also keeps the names only once for all of them, which shows in OBJECT ENCODING and nowhere else.

use hashbrown::HashSet;
use russet_dispatch::command::Flag::*;
use russet_dispatch::fieldsets::Fieldsets;
use russet_dispatch::keys::{OW, UPDATE, at};
use russet_dispatch::{Args, Category, Class, Command, Context, Error, Key, Outcome};
use russet_engine::types::hash::Hash;

use super::{HASH, rules};

/// The row.
pub(super) const HIMPORT: Command = Command {
    name: "himport",
    summary: "Holds what makes many hashes of the same fields.",
    complexity: "Depends on subcommand.",
    since: "8.10.0",
    arity: -2,
    also: &[Category::Hash],
    subcommands: SUBCOMMANDS,
    file: file!(),
    ..HASH
};

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "discard",
        syntax: "fieldset-name",
        summary: "Forgets a list of fields that the connection has prepared.",
        complexity: "O(N) where N is the number of fields of the list",
        arity: 3,
        run: discard,
        ..PART
    },
    Command {
        name: "discardall",
        summary: "Forgets all lists of fields that the connection has prepared.",
        complexity: "O(N) where N is the number of fields of all lists",
        arity: 2,
        run: discard_all,
        ..PART
    },
    Command {
        name: "prepare",
        syntax: "fieldset-name field [field ...]",
        summary: "Gives a list of fields a name, for this connection alone.",
        complexity: "O(N) where N is the number of fields",
        arity: -4,
        flags: &[DenyOom],
        run: prepare,
        ..PART
    },
    Command {
        name: "set",
        syntax: "key fieldset-name value [value ...]",
        summary: "Makes a hash of prepared fields and these values, in the place of any other hash.",
        complexity: "O(N) where N is the number of fields",
        arity: -5,
        flags: &[Write, DenyOom],
        keys: &[at(2, OW | UPDATE)],
        run: set,
        ..PART
    },
];

const PART: Command = Command { since: "8.10.0", file: file!(), ..HASH };

fn prepare(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let name = args.next()?;
    let (mut known, mut fields) = (HashSet::with_capacity(args.left()), *args);
    if !fields.all(|field| known.insert(field)) {
        return Err(Error::FieldTwice.into());
    }
    let fields = args.map(Box::from).collect();
    if !cx.session.change_fieldsets(|sets| sets.get_or_insert_default().put(name, fields)) {
        return Err(Error::FieldsetsTooLarge.into());
    }
    cx.reply.ok();
    Ok(())
}

fn discard(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let name = args.next()?;
    let remove =
        |sets: &mut Option<Box<Fieldsets>>| sets.as_mut().is_some_and(|sets| sets.remove(name));
    let is_gone = cx.session.change_fieldsets(remove);
    cx.reply.integer(i64::from(is_gone));
    Ok(())
}

fn discard_all(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    let gone = cx.session.change_fieldsets(Option::take).map_or(0, |sets| sets.len());
    cx.reply.integer(gone as i64);
    Ok(())
}

fn set(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, name, rules) = (args.key()?, args.next()?, rules(cx));
    let fields = cx.session.fieldset(name).ok_or(Error::NoSuchFieldset)?;
    if fields.len() != args.left() {
        return Err(Error::FieldsetMismatch.into());
    }
    let is_there = cx.data.find_as::<Hash>(key)?.is_some();
    let pairs = || fields.iter().map(|field| &field[..]).zip(*args);
    let mut hash = Hash::new();
    hash.prepare(fields.len(), pairs(), &rules);
    for (field, value) in pairs() {
        hash.set(field, value, false, &rules);
    }
    let words = cx.data.is_followed().then(|| hset(key, pairs()));
    cx.data.put(key, hash);
    cx.data.announce(Class::Hash, "hset", key);
    if is_there {
        cx.data.effect(&[b"DEL", key.bytes]);
    }
    cx.data.effect(&words.unwrap_or_default());
    cx.reply.ok();
    Ok(())
}

/// What the journal gets: who reads it has prepared nothing.
fn hset<'a>(key: Key<'a>, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<&'a [u8]> {
    let head = [&b"HSET"[..], key.bytes];
    head.into_iter().chain(pairs.flat_map(|(field, value)| [field, value])).collect()
}
