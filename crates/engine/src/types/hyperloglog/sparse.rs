//! Runs of equal registers.
//!
//! ```text
//! 00xxxxxx             1 to 64 zeros
//! 01xxxxxx xxxxxxxx    1 to 16384 zeros
//! 1vvvvvxx             1 to 4 registers of 1 to 32
//! ```
//!
//! A register that rises cuts its run in up to three, which takes up to three bytes more; afterwards equal neighbours nearby are joined
//! again. Which of several ways of writing the same registers comes about is part of being like Redis byte for byte.

use super::{Corrupted, HEADER, Observation, REGISTERS};

/// The greatest value that this form can hold.
const VALUE_MAX: u8 = 32;

/// The most registers of a run with a value.
const VALUES_MAX: usize = 4;

/// The most zeros of a short run.
const ZEROS_MAX: usize = 64;

/// Runs that are looked at, from the one before a change on, to join equal ones.
const JOINED_MAX: usize = 5;

/// So many registers with this value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The value.
    pub value: u8,
    /// How many: at least one.
    pub len: usize,
    /// Bytes of the run.
    pub width: usize,
}

/// The run that some bytes begin with.
fn first(bytes: &[u8]) -> Option<Run> {
    let byte = *bytes.first()?;
    let low = usize::from(byte & 63);
    Some(match byte >> 6 {
        0 => Run { value: 0, len: low + 1, width: 1 },
        1 => Run { value: 0, len: (low << 8 | usize::from(*bytes.get(1)?)) + 1, width: 2 },
        _ => Run { value: (byte >> 2 & 31) + 1, len: usize::from(byte & 3) + 1, width: 1 },
    })
}

/// The runs of a string in this form, up to the first that is not whole.
pub fn runs(bytes: &[u8]) -> impl Iterator<Item = Run> + '_ {
    runs_of(&bytes[HEADER..])
}

fn runs_of(bytes: &[u8]) -> impl Iterator<Item = Run> + '_ {
    let mut left = bytes;
    std::iter::from_fn(move || {
        let run = first(left)?;
        left = &left[run.width..];
        Some(run)
    })
}

/// Shows each run to `each`, with the number of its first register, and checks that together they are all registers.
fn for_all(bytes: &[u8], mut each: impl FnMut(usize, Run)) -> Result<(), Corrupted> {
    let (mut register, mut width) = (0, 0);
    for run in runs_of(bytes) {
        if register + run.len > REGISTERS {
            return Err(Corrupted);
        }
        each(register, run);
        register += run.len;
        width += run.width;
    }
    if register == REGISTERS && width == bytes.len() { Ok(()) } else { Err(Corrupted) }
}

pub(super) fn add_to_histogram(bytes: &[u8], histogram: &mut [u32; 64]) -> Result<(), Corrupted> {
    for_all(bytes, |_, run| histogram[usize::from(run.value)] += run.len as u32)
}

pub(super) fn merge(values: &mut [u8; REGISTERS], bytes: &[u8]) -> Result<(), Corrupted> {
    for_all(bytes, |register, run| {
        if run.value > 0 {
            let values = &mut values[register..register + run.len];
            values.iter_mut().for_each(|value| *value = (*value).max(run.value));
        }
    })
}

/// Appends zeros.
pub(super) fn push_zeros(out: &mut Vec<u8>, len: usize) {
    if len > ZEROS_MAX {
        let [high, low] = ((len - 1) as u16).to_be_bytes();
        out.extend_from_slice(&[0x40 | high, low]);
    } else if len > 0 {
        out.push((len - 1) as u8);
    }
}

const fn value_run(value: u8, len: usize) -> u8 {
    0x80 | (value - 1) << 2 | (len - 1) as u8
}

/// Appends registers with a value.
fn push_values(out: &mut Vec<u8>, value: u8, len: usize) {
    if len > 0 {
        out.push(value_run(value, len));
    }
}

fn push_run(out: &mut Vec<u8>, value: u8, len: usize) {
    if value == 0 { push_zeros(out, len) } else { push_values(out, value, len) }
}

/// Appends all registers. Says whether that is possible, and in at most `most` bytes.
pub(super) fn push_all(out: &mut Vec<u8>, values: &[u8; REGISTERS], most: usize) -> bool {
    for equal in values.chunk_by(|one, other| one == other) {
        let len_max = if equal[0] == 0 { REGISTERS } else { VALUES_MAX };
        equal.chunks(len_max).for_each(|run| push_run(out, run[0], run.len()));
        if equal[0] > VALUE_MAX || out.len() > most {
            return false;
        }
    }
    true
}

/// What came of raising a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Raised {
    /// It was no less.
    No,
    /// It was.
    Yes,
    /// It was, and this form cannot hold it. Nothing was done.
    NeedsDense,
}

/// Raises a register of a string whose head precedes the runs, and which may not exceed `most` bytes.
pub(super) fn raise(
    bytes: &mut Vec<u8>,
    seen: Observation,
    most: usize,
) -> Result<Raised, Corrupted> {
    if seen.value > VALUE_MAX {
        return Ok(Raised::NeedsDense);
    }
    let found = find(bytes, seen.register).ok_or(Corrupted)?;
    let run = found.run;
    if run.value >= seen.value {
        return Ok(Raised::No);
    }
    let mut cut = Vec::with_capacity(5);
    push_run(&mut cut, run.value, seen.register - found.register);
    push_values(&mut cut, seen.value, 1);
    push_run(&mut cut, run.value, found.register + run.len - 1 - seen.register);
    if cut.len() > run.width && bytes.len() + cut.len() - run.width > most {
        return Ok(Raised::NeedsDense);
    }
    bytes.splice(found.at..found.at + run.width, cut);
    join_from(bytes, found.before);
    Ok(Raised::Yes)
}

/// Where a register stands.
struct Found {
    run: Run,
    /// Where its run begins.
    at: usize,
    /// Where the run before begins; the same if there is none.
    before: usize,
    /// The first register of its run.
    register: usize,
}

fn find(bytes: &[u8], wanted: usize) -> Option<Found> {
    let (mut at, mut before, mut register) = (HEADER, HEADER, 0);
    loop {
        let run = first(&bytes[at..])?;
        if wanted < register + run.len {
            return Some(Found { run, at, before, register });
        }
        before = at;
        at += run.width;
        register += run.len;
    }
}

/// Joins neighbours of the same value, from a run on, as far as one run can hold them.
fn join_from(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOINED_MAX {
        let Some(run) = bytes.get(at..).and_then(first) else { return };
        let next = first(&bytes[at + run.width..]).filter(|next| next.value == run.value);
        match next {
            Some(next) if run.value > 0 && run.len + next.len <= VALUES_MAX => {
                bytes[at + 1] = value_run(run.value, run.len + next.len);
                bytes.remove(at);
            }
            _ => at += run.width,
        }
    }
}
