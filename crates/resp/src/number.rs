//! Numbers as text, the way Redis prints and reads them.
//!
//! Doubles are printed with the fewest digits that read back as the same double. `zmij` finds the digits;
//! where the point goes is a matter of taste, and clients compare scores as text, so the taste is that of
//! Redis 7.2 and Valkey 8:
//!
//! ```text
//!   value                                 shown
//!   integers up to 2^62                   3                      no point, never an exponent
//!   at most seven zeros to be added       10000000000000000000   no point
//!   at most six decimals, or exponent ≤ 3 0.000001               with a point
//!   everything else                       1.5e-7  1e+21          with an exponent, signed, unpadded
//! ```

use std::str;

use smallvec::SmallVec;

/// Room for any double: a sign, "0.", three zeros and 17 digits are the longest.
#[derive(Debug, Default)]
pub struct DoubleBuffer(SmallVec<[u8; 32]>);

/// Beyond this a double that is an integer is no longer printed as one.
const INTEGER_MAX: f64 = (1_u64 << 62) as f64;

/// `value` as clients see it: `0.1`, `1.5e-7`, `1e+21`, `3`, `-0`, `inf`, `-inf`, `nan`.
pub fn format_double(value: f64, buffer: &mut DoubleBuffer) -> &[u8] {
    let out = &mut buffer.0;
    out.clear();
    if value.is_nan() {
        out.extend_from_slice(b"nan");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
    } else if let Some(integer) = as_integer(value) {
        out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
    } else {
        lay_out(value, out);
    }
    out
}

/// The integer a double is, if it is one and small enough. Minus zero is none: it keeps its sign.
fn as_integer(value: f64) -> Option<i64> {
    if value.abs() > INTEGER_MAX || (value == 0.0 && value.is_sign_negative()) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most 2^62, and compared")]
    let integer = value as i64;
    #[expect(clippy::float_cmp, reason = "asks for exactly this integer")]
    let exact = integer as f64 == value;
    exact.then_some(integer)
}

/// Puts point or exponent to the shortest digits.
fn lay_out(value: f64, out: &mut SmallVec<[u8; 32]>) {
    let mut printed = zmij::Buffer::new();
    if (1e-3..1e4).contains(&value.abs()) {
        // Here, where most scores are, zmij puts the point where Redis does.
        return out.extend_from_slice(printed.format_finite(value).as_bytes());
    }
    let (digits, scale) = digits_of(printed.format_finite(value.abs()));
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let exponent = scale.saturating_add(count).saturating_sub(1);
    if value.is_sign_negative() {
        out.push(b'-');
    }
    if scale >= 0 && exponent < count.saturating_add(7) {
        out.extend_from_slice(&digits);
        out.extend(zeros(scale));
    } else if scale < 0 && (scale > -7 || exponent.abs() < 4) {
        with_point(&digits, scale.saturating_add(count), out);
    } else {
        with_exponent(&digits, exponent, out);
    }
}

/// Significant digits of a printed number, and the power of ten they are to be multiplied with.
fn digits_of(printed: &str) -> (SmallVec<[u8; 24]>, i32) {
    let (mantissa, exponent) = printed.split_once('e').unwrap_or((printed, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits: SmallVec<[u8; 24]> = whole.bytes().chain(fraction.bytes()).collect();
    let decimals = i32::try_from(fraction.len()).unwrap_or(0);
    let mut scale = exponent.parse::<i32>().unwrap_or(0).saturating_sub(decimals);
    while digits.len() > 1 && digits.last() == Some(&b'0') {
        digits.pop();
        scale = scale.saturating_add(1);
    }
    let leading = digits.iter().take_while(|&&digit| digit == b'0').count();
    digits.drain(..leading.min(digits.len().saturating_sub(1)));
    if digits.as_slice() == b"0" {
        scale = 0;
    }
    (digits, scale)
}

/// `digits` with a point behind the first `whole` of them; zeros stand in for those before the first.
fn with_point(digits: &[u8], whole: i32, out: &mut SmallVec<[u8; 32]>) {
    let (before, after) =
        digits.split_at_checked(usize::try_from(whole).unwrap_or(0)).unwrap_or((digits, b""));
    out.extend_from_slice(if before.is_empty() { b"0" } else { before });
    out.push(b'.');
    out.extend(zeros(whole.saturating_neg()));
    out.extend_from_slice(after);
}

/// One digit, the others behind a point, and the exponent with its sign.
fn with_exponent(digits: &[u8], exponent: i32, out: &mut SmallVec<[u8; 32]>) {
    let (first, rest) = digits.split_at_checked(1).unwrap_or((digits, b""));
    out.extend_from_slice(first);
    if !rest.is_empty() {
        out.push(b'.');
        out.extend_from_slice(rest);
    }
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    out.extend_from_slice(itoa::Buffer::new().format(exponent.unsigned_abs()).as_bytes());
}

/// As many zeros as `count` says, none if it is negative.
fn zeros(count: i32) -> impl Iterator<Item = u8> {
    std::iter::repeat_n(b'0', usize::try_from(count).unwrap_or(0))
}

/// The double that all of `text` spells, as C's strtod reads it: decimal or hexadecimal, `inf` and
/// `infinity` in any case. No spaces, no `nan`; and nothing that is too large, or so small that it
/// would become zero.
pub fn parse_double(text: &[u8]) -> Option<f64> {
    let text = str::from_utf8(text).ok()?;
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let hexadecimal = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X"));
    if let Some(digits) = hexadecimal {
        let value = parse_hexadecimal(digits)?;
        return Some(if text.starts_with('-') { -value } else { value });
    }
    let value = text.parse::<f64>().ok()?;
    let spelled_infinite = unsigned.starts_with(['i', 'I']);
    let mantissa = unsigned.split(['e', 'E']).next().unwrap_or_default();
    let spelled_zero = !mantissa.bytes().any(|digit| matches!(digit, b'1'..=b'9'));
    let honest = value.is_infinite() == spelled_infinite
        && (value != 0.0 || spelled_zero)
        && !value.is_nan();
    honest.then_some(value)
}

/// What stands behind `0x`: digits, perhaps with a point, perhaps with a power of two behind `p`. (A
/// subnormal may be off by its last bit.)
fn parse_hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, power) = text.split_once(['p', 'P']).unwrap_or((text, "0"));
    let power = parse_power(power)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut bits = 0_u64;
    let mut scale = 4_i64.saturating_mul(i64::try_from(fraction.len()).ok()?).saturating_neg();
    for digit in whole.chars().chain(fraction.chars()) {
        let digit = u64::from(digit.to_digit(16)?);
        if bits >> 59 == 0 {
            bits = bits << 4 | digit;
        } else {
            // Only whether something follows matters for rounding now.
            bits |= u64::from(digit != 0);
            scale = scale.saturating_add(4);
        }
    }
    let exponent = scale.saturating_add(power).clamp(-4000, 4000);
    let value = scaled(bits as f64, i32::try_from(exponent).ok()?);
    (value.is_finite() && (value != 0.0 || bits == 0)).then_some(value)
}

/// A decimal power; too long a one is as good as the largest.
fn parse_power(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let power = digits.parse::<i64>().unwrap_or(i64::MAX);
    Some(if text.starts_with('-') { power.saturating_neg() } else { power })
}

/// `value` times two to the `exponent`, in steps that are doubles themselves.
fn scaled(mut value: f64, exponent: i32) -> f64 {
    let step = if exponent < 0 { 0.5_f64.powi(512) } else { 2.0_f64.powi(512) };
    let mut left = exponent.unsigned_abs();
    while left > 512 && value != 0.0 && value.is_finite() {
        value *= step;
        left = left.saturating_sub(512);
    }
    let base: f64 = if exponent < 0 { 0.5 } else { 2.0 };
    value * base.powi(i32::try_from(left.min(512)).unwrap_or(512))
}

/// The integer that all of `text` spells in the one way to spell it: no plus, no leading zeros, no spaces.
/// Lengths on the wire and integer arguments are read by this.
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'0'] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if !matches!(digits, [b'1'..=b'9', ..]) {
        return None;
    }
    let mut value = 0_i64;
    for &digit in digits {
        let digit = i64::from(digit.checked_sub(b'0').filter(|&digit| digit <= 9)?);
        // Downwards, for the smallest integer has no positive twin.
        value = value.checked_mul(10)?.checked_sub(digit)?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

#[cfg(test)]
mod tests;
