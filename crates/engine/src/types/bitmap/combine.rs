//! Bitmaps combined bit by bit: BITOP.
//!
//! The result is made piece by piece: of each source the piece with the same number, shorter ones counting as followed by zeros. A piece
//! of the result that is all zeros refers to the one chunk of zeros that all gaps share.

use bytes::Bytes;

use super::Bitmap;
use crate::collections::chunks::{CHUNK, Chunks};

/// What is done with the bits of several sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Set in all.
    And,
    /// Set in any.
    Or,
    /// Set in an odd number.
    Xor,
    /// Not set in the only one.
    Not,
    /// Set in the first and in none of the others.
    Diff,
    /// Not set in the first, but in any of the others.
    Diff1,
    /// Set in the first and in any of the others.
    AndOr,
    /// Set in exactly one.
    One,
}

/// What came of it: as a string is kept, in one piece or in many.
#[derive(Debug)]
pub enum Combined {
    /// At most [`CHUNK`] bytes.
    Short(Vec<u8>),
    /// More.
    Large(Chunks),
}

/// Combines the sources; the result is as long as the longest. O(n) in bytes of all of them.
pub fn combine(operation: Operation, sources: &[Bitmap<'_>]) -> Combined {
    let len = sources.iter().map(Bitmap::len).max().unwrap_or(0);
    let mut maker = Maker { operation, sources, spare: Vec::new(), more: Vec::new() };
    if len <= CHUNK {
        maker.make(0, len);
        return Combined::Short(maker.spare);
    }
    let piece = |number| maker.piece(number, CHUNK.min(len - number * CHUNK));
    Combined::Large(Chunks::from_pieces((0..len.div_ceil(CHUNK)).map(piece).collect()))
}

struct Maker<'s, 'a> {
    operation: Operation,
    sources: &'s [Bitmap<'a>],
    /// The piece that was made last, unless it became part of the result.
    spare: Vec<u8>,
    /// What has been seen twice.
    more: Vec<u8>,
}

impl Maker<'_, '_> {
    fn piece(&mut self, number: usize, len: usize) -> Bytes {
        self.make(number, len);
        if is_zero(&self.spare) {
            Chunks::zeros(len)
        } else {
            std::mem::take(&mut self.spare).into()
        }
    }

    /// Makes a piece of `len` bytes.
    fn make(&mut self, number: usize, len: usize) {
        let (first, others) = self.sources.split_first().expect("BITOP has a source");
        let first = first.piece(number);
        let others = others.iter().map(|source| source.piece(number));
        let out = &mut self.spare;
        out.clear();
        out.reserve_exact(len);
        match self.operation {
            Operation::And => fold(out, len, first, others, |one, other| one & other),
            Operation::Or => fold(out, len, first, others, |one, other| one | other),
            Operation::Xor => fold(out, len, first, others, |one, other| one ^ other),
            Operation::Diff => fold(out, len, first, others, |one, other| one & !other),
            Operation::Not => {
                out.extend(first.iter().map(|byte| !byte));
                out.resize(len, u8::MAX);
            }
            Operation::Diff1 => {
                fold(out, len, &[], others, |one, other| one | other);
                each(out, first, |others, first| others & !first);
            }
            Operation::AndOr => {
                fold(out, len, &[], others, |one, other| one | other);
                each(out, first, |others, first| others & first);
            }
            Operation::One => {
                fold(out, len, first, std::iter::empty(), |one, _| one);
                exactly_one(out, others, &mut self.more);
            }
        }
    }
}

/// Whether nothing is set. Most often the first bytes say it.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(256).all(|block| block.iter().fold(0, |sum, byte| sum | byte) == 0)
}

/// Fills `out` with `len` bytes, each made of those of all sources in the same place, with zeros behind shorter ones. The first two are
/// read together: that is one pass over memory less.
#[inline]
fn fold<'a>(
    out: &mut Vec<u8>,
    len: usize,
    first: &[u8],
    mut others: impl Iterator<Item = &'a [u8]>,
    with: impl Fn(u8, u8) -> u8,
) {
    match others.next() {
        Some(second) => {
            out.extend(first.iter().zip(second).map(|(one, other)| with(*one, *other)));
            let both = out.len();
            out.extend(first[both..].iter().map(|one| with(*one, 0)));
            out.extend(second[out.len().min(second.len())..].iter().map(|other| with(0, *other)));
        }
        None => out.extend_from_slice(first),
    }
    out.resize(len, 0);
    others.for_each(|other| each(out, other, &with));
}

/// Bytes of `out` become what they and those of `other` are together, with zeros behind a shorter one.
#[inline]
fn each(out: &mut [u8], other: &[u8], with: impl Fn(u8, u8) -> u8) {
    let (both, rest) = out.split_at_mut(other.len());
    both.iter_mut().zip(other).for_each(|(one, other)| *one = with(*one, *other));
    rest.iter_mut().for_each(|one| *one = with(*one, 0));
}

fn exactly_one<'a>(out: &mut [u8], others: impl Iterator<Item = &'a [u8]>, more: &mut Vec<u8>) {
    more.clear();
    more.resize(out.len(), 0);
    for other in others {
        for ((one, other), more) in out.iter_mut().zip(other).zip(more.iter_mut()) {
            *more |= *one & *other;
            *one ^= *other;
        }
    }
    each(out, more, |one, more| one & !more);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Operation; 8] = [
        Operation::And,
        Operation::Or,
        Operation::Xor,
        Operation::Not,
        Operation::Diff,
        Operation::Diff1,
        Operation::AndOr,
        Operation::One,
    ];

    /// Bit by bit, from the number of sources that have it.
    fn slow(operation: Operation, sources: &[Vec<u8>]) -> Vec<u8> {
        let len = sources.iter().map(Vec::len).max().unwrap();
        let bit = |source: &Vec<u8>, at: usize, n: usize| {
            source.get(at).is_some_and(|byte| byte >> n & 1 == 1)
        };
        let byte = |at: usize| {
            (0..8).fold(0_u8, |sum, n| {
                let first = bit(&sources[0], at, n);
                let others = sources[1..].iter().filter(|source| bit(source, at, n)).count();
                let all = others + usize::from(first);
                let is_set = match operation {
                    Operation::And => all == sources.len(),
                    Operation::Or => all > 0,
                    Operation::Xor => all % 2 == 1,
                    Operation::Not => !first,
                    Operation::Diff => first && others == 0,
                    Operation::Diff1 => !first && others > 0,
                    Operation::AndOr => first && others > 0,
                    Operation::One => all == 1,
                };
                sum | u8::from(is_set) << n
            })
        };
        (0..len).map(byte).collect()
    }

    fn source() -> impl Strategy<Value = Vec<u8>> {
        let run = (prop_oneof![Just(0_u8), any::<u8>()], 0_usize..20_000);
        let runs = proptest::collection::vec(run, 0..4)
            .prop_map(|runs| runs.iter().flat_map(|(b, n)| vec![*b; *n]).collect());
        prop_oneof![runs, proptest::collection::vec(any::<u8>(), 0..20)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn agrees_with_the_slow_twin(sources in proptest::collection::vec(source(), 1..5)) {
            let chunks: Vec<Chunks> = sources.iter().map(|source| Chunks::from_slice(source)).collect();
            let bitmaps: Vec<Bitmap<'_>> = sources.iter().zip(&chunks).map(|(source, chunks)| {
                if source.len() <= CHUNK { Bitmap::Short(source) } else { Bitmap::Large(chunks) }
            }).collect();
            for operation in ALL {
                let result = match combine(operation, &bitmaps) {
                    Combined::Short(bytes) => bytes,
                    Combined::Large(chunks) => chunks.to_vec(),
                };
                prop_assert!(result == slow(operation, &sources), "{:?}", operation);
            }
        }
    }

    #[test]
    fn zeros_of_a_result_are_shared() {
        let (mut one, mut other) = (Chunks::new(), Chunks::new());
        one.write_at(1 << 24, b"x");
        other.write_at(1 << 24, b"y");
        let sources = [Bitmap::Large(&one), Bitmap::Large(&other)];
        let Combined::Large(result) = combine(Operation::And, &sources) else { panic!("long") };
        assert_eq!(result.len(), (1 << 24) + 1);
        assert_eq!(result.chunks()[7].as_ptr(), Chunks::zeros(1).as_ptr());
        assert_eq!(result.byte(1 << 24), Some(b'x' & b'y'));
    }
}
