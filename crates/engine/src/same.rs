//! Whether two words are the same, for words as short as names and keys are: a call of `memcmp` costs more than looking at them.

/// Whether two slices are equal.
#[inline]
pub fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && match one.len() {
            4..=8 => ends::<4>(one) == ends::<4>(other),
            9..=16 => ends::<8>(one) == ends::<8>(other),
            17..=32 => ends::<16>(one) == ends::<16>(other),
            _ => one == other,
        }
}

/// The first and the last bytes, which may be the same in part.
#[inline]
fn ends<const N: usize>(bytes: &[u8]) -> (Option<&[u8; N]>, Option<&[u8; N]>) {
    (bytes.first_chunk(), bytes.last_chunk())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_are_the_same_if_each_byte_is(one in proptest::collection::vec(0..3u8, 0..40), at in 0..40usize, to in 0..3u8, len in 0..40usize) {
            let mut other = one.clone();
            prop_assert!(same(&one, &other));
            if let Some(byte) = other.get_mut(at) {
                *byte = to;
            }
            prop_assert_eq!(same(&one, &other), one == other);
            other.truncate(len);
            prop_assert_eq!(same(&one, &other), one == other);
        }
    }
}
