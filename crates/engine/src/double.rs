//! Doubles as text, where a value's bytes hold them: scores in a listpack.
//!
//! The fewest digits that read back as the same double, laid out as Redis 7.2 and Valkey 8 do:
//!
//! ```text
//!   integers up to 2^62                   3                      no point, never an exponent
//!   at most seven zeros to be added       1234567890120000000000  no point
//!   at most six decimals, or exponent ≤ 3 0.000001               with a point
//!   everything else                       1.5e-7  1e+21          with an exponent, signed, unpadded
//! ```
//!
//! (The wire prints by the same rule; it is a layer that knows nothing of values, as this one knows nothing of it.)

use smallvec::SmallVec;

/// Room for any double.
pub type Text = SmallVec<[u8; 32]>;

/// Beyond this a double that is an integer is not taken for one.
const INTEGER_MAX: f64 = (1_u64 << 62) as f64;

/// The integer that a double is, if it is one and not too large. Minus zero is zero.
#[inline]
pub fn integer(value: f64) -> Option<i64> {
    let integer = value as i64;
    #[expect(clippy::float_cmp, reason = "asks for exactly this integer")]
    let is_exact = value.abs() <= INTEGER_MAX && integer as f64 == value;
    is_exact.then_some(integer)
}

/// The text of a double. Integers of more than 17 digits show zeros behind those that tell them apart from other doubles.
pub fn text(value: f64) -> Text {
    let mut out = Text::new();
    if value.is_infinite() || value == 0.0 {
        let words: [&[u8]; 2] = if value == 0.0 { [b"0", b"-0"] } else { [b"inf", b"-inf"] };
        out.extend_from_slice(words[usize::from(value.is_sign_negative())]);
        return out;
    }
    let mut printed = zmij::Buffer::new();
    if (1e-3..1e4).contains(&value.abs()) && value.fract() != 0.0 {
        out.extend_from_slice(printed.format_finite(value).as_bytes());
        return out;
    }
    let (digits, scale) = digits_of(printed.format_finite(value.abs()));
    if value.is_sign_negative() {
        out.push(b'-');
    }
    lay_out(&digits, scale, &mut out);
    out
}

/// Puts a point or an exponent to digits that are to be multiplied with ten to the `scale`.
fn lay_out(digits: &[u8], scale: i32, out: &mut Text) {
    let count = digits.len() as i32;
    let exponent = scale + count - 1;
    if scale >= 0 && exponent < count + 7 {
        out.extend_from_slice(digits);
        out.extend(zeros(scale));
    } else if scale < 0 && (scale > -7 || exponent.abs() < 4) {
        let (before, after) = digits.split_at((scale + count).max(0) as usize);
        out.extend_from_slice(if before.is_empty() { b"0" } else { before });
        out.push(b'.');
        out.extend(zeros(-scale - count));
        out.extend_from_slice(after);
    } else {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        out.extend_from_slice(itoa::Buffer::new().format(exponent.unsigned_abs()).as_bytes());
    }
}

fn zeros(count: i32) -> impl Iterator<Item = u8> {
    std::iter::repeat_n(b'0', count.max(0) as usize)
}

/// Significant digits of a printed number, and the power of ten they are to be multiplied with.
fn digits_of(printed: &str) -> (Text, i32) {
    let (mantissa, exponent) = printed.split_once('e').unwrap_or((printed, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = whole.bytes().chain(fraction.bytes());
    let mut digits: Text = all.skip_while(|digit| *digit == b'0').collect();
    let mut scale = exponent.parse::<i32>().unwrap_or(0) - fraction.len() as i32;
    while digits.last() == Some(&b'0') {
        digits.pop();
        scale += 1;
    }
    (digits, scale)
}

/// The double that text spells, as far as it does: what no writer wrote is zero.
pub fn parse(text: &[u8]) -> f64 {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
    number.filter(|number| !number.is_nan()).unwrap_or(0.0)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "just these numbers")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_are_those_of_redis() {
        let cases: &[(f64, &str)] = &[
            (0.0, "0"),
            (-0.0, "-0"),
            (300.0, "300"),
            (-1e7, "-10000000"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (1.5e-7, "1.5e-7"),
            (0.000_001, "0.000001"),
            (1e19, "1e+19"),
            (1e21, "1e+21"),
            (1.797_693_134_862_315_7e308, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (value, shown) in cases {
            assert_eq!(String::from_utf8_lossy(&text(*value)), *shown);
            assert_eq!(parse(shown.as_bytes()), *value);
        }
        assert_eq!(integer(-0.0), Some(0));
        assert_eq!(integer(1.5), None);
        assert_eq!(integer(1e30), None);
    }

    proptest! {
        #[test]
        fn doubles_survive_the_round_trip(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            prop_assert_eq!(parse(&text(value)), value);
        }
    }
}
