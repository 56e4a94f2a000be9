//! LZF, as Redis compresses strings with.
//!
//! ```text
//! 000xxxxx                        that many bytes, plus one, as they stand
//! xxxyyyyy yyyyyyyy               x + 2 bytes again, from y + 1 bytes back
//! 111yyyyy xxxxxxxx yyyyyyyy      x + 9 bytes again
//! ```

use crate::primitives::{DecodeError, Source};

/// The most bytes that three can stand for: 255 + 9.
const GROWTH_MAX: usize = 264;

/// The `length` bytes that `packed` stands for.
pub(crate) fn expand(packed: &[u8], length: usize) -> Result<Vec<u8>, DecodeError> {
    if length > packed.len().saturating_mul(GROWTH_MAX) {
        return Err(DecodeError::Malformed);
    }
    let (mut out, mut filled, mut source) = (vec![0; length], 0, Source::new(packed));
    while source.left() > 0 {
        let [control] = source.array()?;
        let (before, room) = out.split_at_mut_checked(filled).ok_or(DecodeError::Malformed)?;
        let added = if control < 32 {
            as_it_stands(control, &mut source, room)?
        } else {
            again(control, &mut source, before, room)?
        };
        filled = filled.saturating_add(added);
    }
    if filled == length { Ok(out) } else { Err(DecodeError::Malformed) }
}

fn as_it_stands(
    control: u8,
    source: &mut Source<'_>,
    room: &mut [u8],
) -> Result<usize, DecodeError> {
    let literal = source.take(usize::from(control).saturating_add(1))?;
    room.get_mut(..literal.len()).ok_or(DecodeError::Malformed)?.copy_from_slice(literal);
    Ok(literal.len())
}

/// Repeats what stands further back, perhaps up to what is being repeated: then that comes again and again.
fn again(
    control: u8,
    source: &mut Source<'_>,
    before: &[u8],
    room: &mut [u8],
) -> Result<usize, DecodeError> {
    let mut len = usize::from(control >> 5).saturating_add(2);
    if control >> 5 == 7 {
        let [more] = source.array()?;
        len = len.saturating_add(usize::from(more));
    }
    let [low] = source.array()?;
    let back = usize::from(u16::from_be_bytes([control & 0x1f, low])).saturating_add(1);
    let start = before.len().checked_sub(back).ok_or(DecodeError::Malformed)?;
    let run = before.get(start..).unwrap_or_default();
    let room = room.get_mut(..len).ok_or(DecodeError::Malformed)?;
    for part in room.chunks_mut(back) {
        part.copy_from_slice(run.get(..part.len()).unwrap_or_default());
    }
    Ok(len)
}

/// Shorter strings are not worth it.
const PACKED_MIN: usize = 21;

/// Longer ones are left as they are.
const PACKED_MAX: usize = 1 << 30;

/// How far back a repetition may lie.
const BACK_MAX: usize = 1 << 13;

/// The longest repetition.
const RUN_MAX: usize = GROWTH_MAX;

/// The most bytes that stand as they are behind one control byte.
const LITERALS_MAX: usize = 32;

/// Places in the table of what has been seen.
const TABLE_BITS: u32 = 12;

/// Compresses strings, one after the other, with the same memory.
#[derive(Debug, Default)]
pub struct Packer {
    /// Where three bytes of this hash were last seen, counted from the first string on; what lies before the present one is old.
    seen: Vec<u32>,
    /// The place of the present string's first byte.
    base: u32,
    /// The place behind its last.
    end: u32,
    out: Vec<u8>,
}

#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "offsets lie within a string of less than 2^30 bytes, lengths and distances are bounded by the format"
)]
impl Packer {
    /// What stands for `text`, if it is at least five bytes shorter. O(n).
    pub(crate) fn pack(&mut self, text: &[u8]) -> Option<&[u8]> {
        if !(PACKED_MIN..PACKED_MAX).contains(&text.len()) {
            return None;
        }
        self.begin(text.len());
        let (mut at, mut literals) = (0, 0);
        while at + 2 < text.len() {
            match self.find(text, at) {
                None => at += 1,
                Some((back, run)) => {
                    self.put_literals(&text[literals..at]);
                    self.put_repetition(back, run);
                    // Only the last place is noted of what is passed over: that is where new things begin.
                    at += run;
                    if at + 1 < text.len() {
                        self.note(text, at - 1);
                    }
                    literals = at;
                }
            }
            if self.out.len() + at - literals + 4 >= text.len() {
                return None;
            }
        }
        self.put_literals(&text[literals..]);
        (self.out.len() + 4 < text.len()).then_some(&self.out)
    }

    /// Begins a string: everything that was seen is older than its first byte.
    fn begin(&mut self, len: usize) {
        self.out.clear();
        if self.seen.is_empty() || self.end.checked_add(len as u32).is_none() {
            self.seen = vec![0; 1 << TABLE_BITS];
            self.end = 1;
        }
        self.base = self.end;
        self.end += len as u32;
    }

    /// Writes down where three bytes are; answers where their like were before.
    fn note(&mut self, text: &[u8], at: usize) -> u32 {
        let three = u32::from_le_bytes([text[at], text[at + 1], text[at + 2], 0]);
        let slot = three.wrapping_mul(0x9e37_79b1) >> (32 - TABLE_BITS);
        std::mem::replace(&mut self.seen[slot as usize], self.base + at as u32)
    }

    /// How far back the bytes at `at` have stood before, and how many of them.
    fn find(&mut self, text: &[u8], at: usize) -> Option<(usize, usize)> {
        let before = self.note(text, at).checked_sub(self.base)? as usize;
        let back = at.checked_sub(before)?;
        if back > BACK_MAX || back == 0 {
            return None;
        }
        let pairs = text[at..].iter().zip(&text[before..]).take(RUN_MAX);
        let run = pairs.take_while(|(new, old)| new == old).count();
        (run >= 3).then_some((back, run))
    }

    fn put_literals(&mut self, literals: &[u8]) {
        for part in literals.chunks(LITERALS_MAX) {
            self.out.push(part.len() as u8 - 1);
            self.out.extend_from_slice(part);
        }
    }

    fn put_repetition(&mut self, back: usize, run: usize) {
        let [high, low] = (back as u16 - 1).to_be_bytes();
        if run < 9 {
            self.out.extend_from_slice(&[(run as u8 - 2) << 5 | high, low]);
        } else {
            self.out.extend_from_slice(&[7 << 5 | high, (run - 9) as u8, low]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn runs_and_repetitions_are_expanded() {
        assert_eq!(expand(b"\x02abc", 3), Ok(b"abc".to_vec()));
        assert_eq!(expand(b"\x00a\xe0\x05\x00", 15), Ok(vec![b'a'; 15]));
        assert_eq!(expand(b"\x01ab\x20\x01", 5), Ok(b"ababa".to_vec()));
        assert_eq!(expand(b"\x00a\x20\x01", 4), Err(DecodeError::Malformed));
        assert_eq!(expand(b"\x02abc", 4), Err(DecodeError::Malformed));
        assert_eq!(expand(b"\x02ab", 3), Err(DecodeError::Truncated));
        assert_eq!(expand(b"\x00a", usize::MAX), Err(DecodeError::Malformed));
    }

    #[test]
    fn what_repeats_itself_is_packed_and_what_does_not_is_not() {
        let mut packer = Packer::default();
        let packed = packer.pack(&[b'x'; 10_000]).unwrap();
        assert!(packed.len() < 130, "{}", packed.len());
        assert_eq!(packer.pack(b"abcdefghijklmnopqrstuvwxyz0123456789"), None);
        assert_eq!(packer.pack(&[b'x'; 20]), None);
        packer.end = u32::MAX - 10;
        assert!(packer.pack(&[b'x'; 100]).is_some());
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            "[a-c]{1,9}".prop_map(String::into_bytes),
            (any::<u8>(), 1_usize..600).prop_map(|(byte, count)| vec![byte; count]),
            proptest::collection::vec(any::<u8>(), 1..50),
        ];
        proptest::collection::vec(piece, 1..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn texts_come_back(texts in proptest::collection::vec(text(), 1..4)) {
            let mut packer = Packer::default();
            for text in texts {
                if let Some(packed) = packer.pack(&text) {
                    prop_assert!(packed.len() < text.len());
                    prop_assert_eq!(expand(packed, text.len()), Ok(text));
                }
            }
        }

        #[test]
        fn no_bytes_do_harm(packed in proptest::collection::vec(any::<u8>(), 0..200), length in 0_usize..3000) {
            if let Ok(bytes) = expand(&packed, length) {
                prop_assert_eq!(bytes.len(), length);
            }
        }
    }
}
