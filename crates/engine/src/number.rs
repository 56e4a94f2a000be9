//! Integers as text: the one spelling that Redis takes for a number, and back.

/// The longest decimal `i64`, sign included.
pub const DIGITS_MAX: usize = 20;

/// The number that `text` spells, if writing it gives `text` again: no sign `+`, no spaces, no leading zeros, no `-0`.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [digit @ b'0'..=b'9'] if !negative => Some(i64::from(digit - b'0')),
        // Nineteen digits fit a u64; twenty never fit an i64.
        [b'1'..=b'9', ..] if digits.len() <= 19 => signed(negative, magnitude(digits)?),
        _ => None,
    }
}

/// How many bytes `number` takes in decimal, its sign included.
#[inline]
pub const fn digits(number: i64) -> usize {
    let sign = (number < 0) as usize;
    match number.unsigned_abs().checked_ilog10() {
        Some(log) => sign + log as usize + 1,
        None => 1,
    }
}

/// Writes `number` in decimal to the front of `buffer` and returns that part.
#[inline]
pub fn write_i64(number: i64, buffer: &mut [u8; DIGITS_MAX]) -> &[u8] {
    let mut scratch = itoa::Buffer::new();
    let text = scratch.format(number).as_bytes();
    let target = &mut buffer[..text.len()];
    target.copy_from_slice(text);
    target
}

#[inline]
fn magnitude(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |sum: u64, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| sum * 10 + u64::from(digit))
    })
}

#[inline]
fn signed(negative: bool, magnitude: u64) -> Option<i64> {
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EDGES: &[i64] = &[
        0,
        1,
        -1,
        9,
        10,
        99,
        100,
        -9,
        -10,
        i64::MIN,
        i64::MIN + 1,
        i64::MAX,
        i64::MAX - 1,
        1_000_000_000_000_000_000,
    ];

    #[test]
    fn refuses_every_second_spelling() {
        for text in [
            "",
            "-",
            "+1",
            " 1",
            "1 ",
            "01",
            "00",
            "-0",
            "-01",
            "1e3",
            "0x1",
            "1.0",
            "--1",
            "1-",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551616",
            "99999999999999999999",
            "123456789012345678901",
            "1\0",
            "/",
            ":",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn edges_survive_the_round_trip() {
        for number in EDGES {
            round_trip(*number);
        }
    }

    fn round_trip(number: i64) {
        let text = number.to_string();
        assert_eq!(parse_i64(text.as_bytes()), Some(number));
        assert_eq!(digits(number), text.len());
        assert_eq!(write_i64(number, &mut [0; DIGITS_MAX]), text.as_bytes());
    }

    proptest! {
        #[test]
        fn numbers_survive_the_round_trip(number: i64, shift in 0_u32..64) {
            round_trip(number >> shift);
        }

        #[test]
        fn agrees_with_the_slow_twin(text in "[-+0-9]{0,22}") {
            let slow = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
            prop_assert_eq!(parse_i64(text.as_bytes()), slow);
        }
    }
}
