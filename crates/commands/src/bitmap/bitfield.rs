//! BITFIELD: integers of any width anywhere in a string.
//!
//! All steps are read first. If any of them writes, the string is extended to the farthest of those before the first is done.

use russet_dispatch::{Args, Class, Context, Error, Outcome};
use russet_engine::Entry;
use russet_engine::number::parse_i64;
use russet_engine::types::bitmap::{Bitmap, Field, Overflow, grow};
use smallvec::SmallVec;

use super::{bitmap_of, check_offset, make_sure_of_len};

/// What is done with an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// It is read.
    Get,
    /// It is replaced, and what it was is read.
    Set(i64),
    /// It is added to, and the sum is read.
    Add(i64),
}

/// One step.
#[derive(Clone, Copy, Debug)]
struct Step {
    field: Field,
    action: Action,
    overflow: Overflow,
}

type Steps = SmallVec<[Step; 8]>;

/// BITFIELD.
pub(super) fn bitfield(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    run(cx, args, true)
}

/// BITFIELD_RO.
pub(super) fn bitfield_ro(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    run(cx, args, false)
}

fn run(cx: &mut Context<'_>, args: &mut Args<'_>, may_write: bool) -> Outcome {
    let key = args.key()?;
    let steps = read_steps(cx, args)?;
    let writes = |step: &&Step| step.action != Action::Get;
    let end = steps.iter().filter(writes).map(|step| step.field.end()).max();
    let answers: SmallVec<[Option<i64>; 8]> = match end {
        None => {
            let bitmap = bitmap_of(cx, key)?.unwrap_or_default();
            steps.iter().map(|step| Some(step.field.read(&bitmap))).collect()
        }
        Some(_) if !may_write => return Err(Error::BitfieldReadOnly.into()),
        Some(end) => {
            make_sure_of_len(cx, key, end)?;
            let (answers, changes) = cx.data.change_string(key, |entry| {
                let (has_grown, mut changes) = (grow(entry, end), 0);
                let run = |step: &Step| step.run(entry, has_grown, &mut changes);
                let answers = steps.iter().map(run).collect();
                ((answers, changes), has_grown || changes > 0)
            })?;
            cx.data.count_as(changes);
            answers
        }
    };
    cx.data.announce(Class::String, "setbit", key);
    cx.reply.array(answers.len());
    for answer in answers {
        match answer {
            Some(number) => cx.reply.integer(number),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

impl Step {
    /// What it answers. Whatever is written to a string that has grown counts as a change.
    fn run(self, entry: &mut Entry, has_grown: bool, changes: &mut usize) -> Option<i64> {
        let bitmap = Bitmap::of(entry.view()).expect("a string, looked up by the caller");
        let old = self.field.read(&bitmap);
        let wanted = match self.action {
            Action::Get => return Some(old),
            Action::Set(number) => self.field.meant(number),
            Action::Add(number) => i128::from(old) + i128::from(number),
        };
        let new = self.field.settle(wanted, self.overflow)?;
        if new != old {
            self.field.write(entry, new);
        }
        *changes += usize::from(new != old || has_grown);
        Some(if matches!(self.action, Action::Set(_)) { old } else { new })
    }
}

fn read_steps(cx: &Context<'_>, args: &mut Args<'_>) -> Result<Steps, Error> {
    let (mut steps, mut overflow) = (Steps::new(), Overflow::default());
    while !args.is_empty() {
        let left = args.left();
        if left >= 2 && args.flag("OVERFLOW") {
            overflow = read_overflow(args)?;
        } else if left >= 3 && args.flag("GET") {
            steps.push(Step { field: read_field(cx, args)?, action: Action::Get, overflow });
        } else if left >= 4 && args.flag("SET") {
            let field = read_field(cx, args)?;
            steps.push(Step { field, action: Action::Set(args.int()?), overflow });
        } else if left >= 4 && args.flag("INCRBY") {
            let field = read_field(cx, args)?;
            steps.push(Step { field, action: Action::Add(args.int()?), overflow });
        } else {
            return Err(Error::Syntax);
        }
    }
    Ok(steps)
}

fn read_overflow(args: &mut Args<'_>) -> Result<Overflow, Error> {
    if args.flag("WRAP") {
        Ok(Overflow::Wrap)
    } else if args.flag("SAT") {
        Ok(Overflow::Saturate)
    } else if args.flag("FAIL") {
        Ok(Overflow::Fail)
    } else {
        Err(Error::BitfieldOverflow)
    }
}

/// A type such as `u8`, and an offset; after `#` it counts integers of that width.
fn read_field(cx: &Context<'_>, args: &mut Args<'_>) -> Result<Field, Error> {
    let (width, is_signed) = read_type(args.next()?).ok_or(Error::BitfieldType)?;
    let offset = match args.next()? {
        [b'#', number @ ..] => parse_i64(number).and_then(|n| n.checked_mul(i64::from(width))),
        number => parse_i64(number),
    };
    Ok(Field { offset: check_offset(cx, offset)?, width, is_signed })
}

fn read_type(word: &[u8]) -> Option<(u32, bool)> {
    let (is_signed, width, most) = match word {
        [b'i', width @ ..] => (true, width, 64),
        [b'u', width @ ..] => (false, width, 63),
        _ => return None,
    };
    let width = parse_i64(width).filter(|width| (1..=most).contains(width))?;
    Some((width as u32, is_signed))
}
