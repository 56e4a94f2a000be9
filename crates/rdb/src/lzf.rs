//! LZF, as Redis compresses strings with: read only.
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
    let (mut out, mut source) = (Vec::with_capacity(length), Source::new(packed));
    while source.left() > 0 {
        let [control] = source.array()?;
        if control < 32 {
            out.extend_from_slice(source.take(usize::from(control).saturating_add(1))?);
        } else {
            again(control, &mut source, &mut out)?;
        }
        if out.len() > length {
            return Err(DecodeError::Malformed);
        }
    }
    if out.len() == length { Ok(out) } else { Err(DecodeError::Malformed) }
}

/// Repeats what stands further back, perhaps up to what is being repeated.
fn again(control: u8, source: &mut Source<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut len = usize::from(control >> 5).saturating_add(2);
    if control >> 5 == 7 {
        let [more] = source.array()?;
        len = len.saturating_add(usize::from(more));
    }
    let [low] = source.array()?;
    let back = usize::from(u16::from_be_bytes([control & 0x1f, low])).saturating_add(1);
    let start = out.len().checked_sub(back).ok_or(DecodeError::Malformed)?;
    for at in start..start.saturating_add(len) {
        let byte = *out.get(at).ok_or(DecodeError::Malformed)?;
        out.push(byte);
    }
    Ok(())
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

    proptest! {
        #[test]
        fn no_bytes_do_harm(packed in proptest::collection::vec(any::<u8>(), 0..200), length in 0_usize..3000) {
            if let Ok(bytes) = expand(&packed, length) {
                prop_assert_eq!(bytes.len(), length);
            }
        }
    }
}
