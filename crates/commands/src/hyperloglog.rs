//! HyperLogLogs: strings that count distinct elements.

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{ACCESS, INSERT, RO, RW, at, range};
use russet_dispatch::{Args, Class, Command, Context, Error, Group, Key, Outcome, Stop, Text};
use russet_engine::random::Random;
use russet_engine::types::hyperloglog::{
    Corrupted, Form, LEN_MAX, Observation, Registers, Sketch, cached_count, count, forget_count,
    form_of, observe, raise_dense, runs, set_cached_count,
};
use russet_engine::{Entry, raw_value};
use std::borrow::Cow;
use std::fmt::Write;

/// What every HyperLogLog command has in common.
const HYPERLOGLOG: Command =
    Command { group: Group::HyperLogLog, file: file!(), since: "2.8.9", ..Command::BASE };

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "pfadd",
        syntax: "key [element [element ...]]",
        summary: "Adds elements to a HyperLogLog, and says whether that changed what it counts.",
        complexity: "O(1) for each element added",
        arity: -2,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | INSERT)],
        run: pfadd,
        ..HYPERLOGLOG
    },
    Command {
        name: "pfcount",
        syntax: "key [key ...]",
        summary: "Estimates how many distinct elements were added to one HyperLogLog, or to several together.",
        complexity: "O(1) for one key whose count has not changed since it was asked for, O(N) for N keys, with a large constant",
        arity: -2,
        flags: &[ReadOnly, MayReplicate],
        keys: &[range(1, -1, 1, RW | ACCESS)],
        run: pfcount,
        ..HYPERLOGLOG
    },
    Command {
        name: "pfdebug",
        syntax: "subcommand key",
        summary: "Shows how a HyperLogLog is kept.",
        complexity: "O(N) where N is the number of registers",
        arity: 3,
        flags: &[Write, DenyOom, Admin],
        keys: &[at(2, RW | ACCESS)],
        run: pfdebug,
        ..HYPERLOGLOG
    },
    Command {
        name: "pfmerge",
        syntax: "destkey [sourcekey [sourcekey ...]]",
        summary: "Makes a HyperLogLog count what it and others count.",
        complexity: "O(N) where N is the number of keys, with a large constant",
        arity: -2,
        flags: &[Write, DenyOom],
        keys: &[at(1, RW | ACCESS | INSERT), range(2, -1, 1, RO | ACCESS)],
        run: pfmerge,
        ..HYPERLOGLOG
    },
    Command {
        name: "pfselftest",
        summary: "Tests that HyperLogLogs count as they should.",
        complexity: "O(N) where N is the number of elements that the test adds",
        arity: 1,
        flags: &[Admin],
        run: pfselftest,
        ..HYPERLOGLOG
    },
];

/// The bytes of a string that is a HyperLogLog, and its form.
fn parts(text: Text<'_>) -> Result<(Cow<'_, [u8]>, Form), Error> {
    if text.len() > LEN_MAX {
        // None is so long. Its head says which error it is.
        let mut head = Vec::new();
        text.pieces(|piece| head.extend_from_slice(&piece[..piece.len().min(64 - head.len())]));
        return Err(form_of(&head).map_or(Error::NoHyperLogLog, |_| Error::CorruptedHyperLogLog));
    }
    let bytes = text.bytes();
    let form = form_of(&bytes).ok_or(Error::NoHyperLogLog)?;
    Ok((bytes, form))
}

fn corrupted(_: Corrupted) -> Error {
    Error::CorruptedHyperLogLog
}

fn sparse_max(cx: &Context<'_>) -> usize {
    cx.state.tunables.thresholds.hyperloglog()
}

/// Puts a HyperLogLog into an entry.
fn store(entry: &mut Entry, sketch: &Sketch) {
    entry.replace(raw_value(sketch.bytes()), entry.expiry());
    entry.mark_raw();
}

fn pfadd(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, most) = (args.key()?, sparse_max(cx));
    let form = match cx.data.string_to_change(key)? {
        Some(text) => Some(parts(text)?.1),
        None => None,
    };
    let raised = cx.data.change_string(key, |entry| {
        let added = match form {
            None => add_to_new(entry, args, most),
            Some(Form::Sparse) => add_to_sparse(entry, args, most),
            Some(Form::Dense) => Ok(add_to_dense(entry, args)),
        };
        let has_changed = added.is_ok_and(|raised| raised > 0);
        (added, has_changed)
    })?;
    cx.data.announce(Class::String, "pfadd", key);
    let raised = raised.map_err(corrupted)?;
    cx.data.count_as(raised);
    cx.reply.integer(i64::from(raised > 0));
    Ok(())
}

/// How many registers were raised; that there is a sketch now is one more change.
fn add_to_new(entry: &mut Entry, args: &mut Args<'_>, most: usize) -> Result<usize, Corrupted> {
    let mut sketch = Sketch::new();
    let raised = add_all(&mut sketch, args, most)?;
    let mut bytes = sketch.bytes().to_vec();
    forget_count(&mut bytes);
    store(entry, &Sketch::copy(&bytes, sketch.form()));
    Ok(raised + 1)
}

fn add_to_sparse(entry: &mut Entry, args: &mut Args<'_>, most: usize) -> Result<usize, Corrupted> {
    let text = Text::of(entry).expect("a string, looked up by the caller");
    let mut sketch = Sketch::copy(&text.bytes(), Form::Sparse);
    let raised = add_all(&mut sketch, args, most)?;
    if raised > 0 {
        store(entry, &sketch);
    }
    Ok(raised)
}

fn add_all(sketch: &mut Sketch, args: &mut Args<'_>, most: usize) -> Result<usize, Corrupted> {
    args.try_fold(
        0,
        |raised, element| Ok(raised + usize::from(sketch.add(observe(element), most)?)),
    )
}

/// In place.
fn add_to_dense(entry: &mut Entry, args: &mut Args<'_>) -> usize {
    let bytes = entry.short_mut().expect("the dense form is a short string");
    let raised = args.filter(|element| raise_dense(bytes, observe(element))).count();
    if raised > 0 {
        forget_count(bytes);
        entry.mark_raw();
    }
    raised
}

fn pfcount(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let number = if args.left() == 1 { count_one(cx, args.key()?)? } else { count_many(cx, args)? };
    cx.reply.integer(number as i64);
    Ok(())
}

fn count_one(cx: &mut Context<'_>, key: Key<'_>) -> Result<u64, Error> {
    let Some(text) = cx.data.string(key)? else { return Ok(0) };
    let (bytes, form) = parts(text)?;
    if let Some(number) = cached_count(&bytes) {
        return Ok(number);
    }
    let number = count(&bytes, form).map_err(corrupted)?;
    // The count is kept where it was asked for. As in Redis that is a change like others, for whoever reads the string.
    cx.data.change_string(key, |entry| {
        if let Some(bytes) = entry.short_mut() {
            set_cached_count(bytes, number);
        }
        ((), true)
    })?;
    Ok(number)
}

fn count_many(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<u64, Error> {
    let mut registers = Registers::new();
    while !args.is_empty() {
        let key = args.key()?;
        merge(cx, key, &mut registers)?;
    }
    Ok(registers.count())
}

/// Merges what a key holds, if anything. Answers its form.
fn merge(
    cx: &mut Context<'_>,
    key: Key<'_>,
    registers: &mut Registers,
) -> Result<Option<Form>, Error> {
    let Some(text) = cx.data.string(key)? else { return Ok(None) };
    let (bytes, form) = parts(text)?;
    registers.merge(&bytes, form).map_err(corrupted)?;
    Ok(Some(form))
}

fn pfmerge(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let mut target = *args;
    let target = target.key()?;
    let (mut registers, mut is_dense) = (Registers::new(), false);
    let old = cx.data.string_to_change(target)?.map(|text| text.bytes().into_owned());
    while !args.is_empty() {
        let key = args.key()?;
        is_dense |= merge(cx, key, &mut registers)? == Some(Form::Dense);
    }
    let most = sparse_max(cx);
    let sketch = match old {
        Some(old) if !is_dense => raised(&old, &registers, most).map_err(corrupted)?,
        _ => registers.into_sketch(is_dense, most),
    };
    cx.data.change_string(target, |entry| {
        store(entry, &sketch);
        ((), true)
    })?;
    cx.data.announce(Class::String, "pfadd", target);
    cx.reply.ok();
    Ok(())
}

/// A sparse sketch, raised to these registers one after the other: there are several ways to write a sparse form, and Redis comes to
/// the one that this leads to.
fn raised(old: &[u8], registers: &Registers, most: usize) -> Result<Sketch, Corrupted> {
    let (mut sketch, mut own) = (Sketch::copy(old, Form::Sparse), Registers::new());
    own.merge(old, Form::Sparse)?;
    let both = registers.values().iter().zip(own.values()).enumerate();
    for (register, (value, own)) in both {
        if value > own {
            sketch.add(Observation { register, value: *value }, most)?;
        }
    }
    sketch.forget_count();
    Ok(sketch)
}

fn pfdebug(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let word = args.next()?;
    let key = args.key()?;
    let text = cx.data.string_to_change(key)?.ok_or(Error::NoSuchHyperLogLog)?;
    let (bytes, form) = parts(text)?;
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    if is("GETREG") {
        let sketch = make_dense(cx, key, form)?;
        let mut registers = Registers::new();
        registers.merge(sketch.bytes(), Form::Dense).map_err(corrupted)?;
        cx.reply.array(registers.values().len());
        registers.values().iter().for_each(|value| cx.reply.integer(i64::from(*value)));
    } else if is("DECODE") {
        if form == Form::Dense {
            return Err(Error::HyperLogLogNotSparse.into());
        }
        let decoded = decode(&bytes);
        cx.reply.bulk(decoded.as_bytes());
    } else if is("ENCODING") {
        cx.reply.simple(if form == Form::Dense { "dense" } else { "sparse" });
    } else if is("TODENSE") {
        make_dense(cx, key, form)?;
        cx.reply.integer(i64::from(form == Form::Sparse));
    } else {
        let word = String::from_utf8_lossy(word);
        return Err(Error::of(format!("ERR Unknown PFDEBUG subcommand '{word}'")).into());
    }
    Ok(())
}

fn make_dense(cx: &mut Context<'_>, key: Key<'_>, form: Form) -> Result<Sketch, Error> {
    cx.data
        .change_string(key, |entry| {
            let text = Text::of(entry).expect("a string, looked up by the caller");
            let mut sketch = Sketch::copy(&text.bytes(), form);
            let made = sketch.make_dense();
            let has_changed = form == Form::Sparse && made.is_ok();
            if has_changed {
                store(entry, &sketch);
            }
            (made.map(|()| sketch), has_changed)
        })?
        .map_err(corrupted)
}

/// The runs of a sparse form, in Redis' shorthand.
fn decode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for run in runs(bytes) {
        let separator = if text.is_empty() { "" } else { " " };
        let written = match (run.value, run.width) {
            (0, 1) => write!(text, "{separator}z:{}", run.len),
            (0, _) => write!(text, "{separator}Z:{}", run.len),
            (value, _) => write!(text, "{separator}v:{value},{}", run.len),
        };
        written.expect("a string takes whatever is written");
    }
    text
}

/// Elements that the self-test adds.
const TESTED: u64 = 1_000_000;

fn pfselftest(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    if !cx.is_worker && !cx.session.deny_blocking {
        return Err(Stop::Elsewhere);
    }
    let mut random = Random::new(cx.now());
    let (mut sketch, mut dense, salt) = (Sketch::new(), Sketch::new(), random.next_u64());
    dense.make_dense().map_err(corrupted)?;
    let (most, mut checkpoint) = (sparse_max(cx), 1);
    for nth in 1..=TESTED {
        let seen = observe(&(nth ^ salt).to_le_bytes());
        sketch.add(seen, most).map_err(corrupted)?;
        dense.add(seen, most).map_err(corrupted)?;
        if nth == checkpoint {
            check(&sketch, &dense, nth)?;
            checkpoint *= 10;
        }
    }
    cx.reply.ok();
    Ok(())
}

/// Both forms count the same, and what they count is off by no more than six times the usual.
fn check(sketch: &Sketch, dense: &Sketch, exact: u64) -> Result<(), Error> {
    let counted = count(sketch.bytes(), sketch.form()).map_err(corrupted)?;
    if count(dense.bytes(), Form::Dense) != Ok(counted) {
        return Err(Error::of("ERR TESTFAILED dense/sparse disagree"));
    }
    let off = exact.abs_diff(counted);
    let most = (1.04 / 128.0 * 6.0 * exact as f64).ceil() as u64;
    if off > most {
        let text = format!("ERR TESTFAILED Too big error. card:{exact} abserr:{off}");
        return Err(Error::of(text));
    }
    Ok(())
}
