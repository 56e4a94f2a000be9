//! The 80-bit `long double` of x87, in integers.
//!
//! INCRBYFLOAT reads, adds and prints with it, and clients see its last digits: `1e17 + 10.6` is `100000000000000010.6015625`. So
//! numbers are kept as what the hardware keeps, a sign, 64 bits of significand and a power of two, and every step is done exactly on
//! large integers and rounded once, to nearest, ties to even:
//!
//! ```text
//!   text   ->  digits * 10^k          exact     -> 64 bits
//!   a + b  ->  one integer * 2^e      exact     -> 64 bits
//!   text   <-  integer / 10^17        exact     -> 17 decimals, zeros cut
//! ```
//!
//! Invariants: a finite number is `significand * 2^exponent` with the top bit of the significand set, unless it is zero or so small that
//! the exponent is [`EXPONENT_MIN`].

use std::cmp::Ordering;

use num_bigint::{BigInt, BigUint, Sign};

/// Bits of a significand.
const SIGNIFICAND_BITS: u64 = 64;

/// The power of two of the smallest number.
const EXPONENT_MIN: i64 = -16_445;

/// The power of two of the largest number's significand.
const EXPONENT_MAX: i64 = 16_320;

/// Where decimal exponents stop to matter: below, everything is zero, above, infinite.
const DECIMAL_EXPONENT_MAX: i64 = 5_000;

/// The longest text that is read; Redis has a buffer of this size, a zero at its end included.
const TEXT_MAX: usize = 5 * 1024 - 1;

/// Decimals that are printed.
const DECIMALS: usize = 17;

/// A number, or infinity; there is no NaN, for nobody may store one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LongDouble {
    /// Sign, significand, power of two.
    Finite(bool, u64, i64),
    /// Its sign.
    Infinite(bool),
}

impl LongDouble {
    /// Zero.
    pub(crate) const ZERO: Self = Self::Finite(false, 0, EXPONENT_MIN);

    /// The largest number.
    pub(crate) const MAX: Self = Self::Finite(false, u64::MAX, EXPONENT_MAX);

    /// The smallest number.
    pub(crate) const MIN: Self = Self::MAX.negated();

    /// The number that all of `text` spells, as C's strtold reads it: decimal, hexadecimal or infinite. Nothing that is too large, and
    /// nothing so small that it would become zero.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > TEXT_MAX {
            return None;
        }
        let (negative, digits) = split_sign(text);
        if digits.eq_ignore_ascii_case(b"inf") || digits.eq_ignore_ascii_case(b"infinity") {
            return Some(Self::Infinite(negative));
        }
        let magnitude = match digits {
            [b'0', b'x' | b'X', rest @ ..] => parse_hexadecimal(rest)?,
            rest => parse_decimal(rest)?,
        };
        Some(if negative { magnitude.negated() } else { magnitude })
    }

    /// The nearest number: an integer fits exactly.
    pub(crate) fn from_int(number: i64) -> Self {
        let magnitude = round(&BigUint::from(number.unsigned_abs()), 0, false);
        if number < 0 { magnitude.negated() } else { magnitude }
    }

    /// With the other sign.
    #[must_use]
    pub(crate) const fn negated(self) -> Self {
        match self {
            Self::Finite(negative, significand, exponent) => {
                Self::Finite(!negative, significand, exponent)
            }
            Self::Infinite(negative) => Self::Infinite(!negative),
        }
    }

    /// Whether it is a number.
    pub(crate) const fn is_finite(self) -> bool {
        matches!(self, Self::Finite(..))
    }

    /// The sum, rounded once; nothing where infinities cancel.
    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Infinite(one), Self::Infinite(two)) => (one == two).then_some(self),
            (Self::Infinite(_), _) => Some(self),
            (_, Self::Infinite(_)) => Some(other),
            (Self::Finite(.., one), Self::Finite(.., two)) => {
                let exponent = one.min(two);
                let sum = self.scaled(exponent) + other.scaled(exponent);
                let magnitude = round(sum.magnitude(), exponent, false);
                Some(if sum.sign() == Sign::Minus { magnitude.negated() } else { magnitude })
            }
        }
    }

    /// The integer that this is in units of two to the `exponent`, which is at most its own.
    fn scaled(self, exponent: i64) -> BigInt {
        let Self::Finite(negative, significand, own) = self else {
            unreachable!("callers scale finite numbers")
        };
        let magnitude = BigUint::from(significand) << (own - exponent).unsigned_abs();
        BigInt::from_biguint(if negative { Sign::Minus } else { Sign::Plus }, magnitude)
    }

    /// Which is larger.
    pub(crate) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Infinite(one), Self::Infinite(two)) => two.cmp(&one),
            (Self::Infinite(negative), _) => {
                if negative {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (_, Self::Infinite(_)) => other.compare(self).reverse(),
            (Self::Finite(.., one), Self::Finite(.., two)) => {
                let exponent = one.min(two);
                self.scaled(exponent).cmp(&other.scaled(exponent))
            }
        }
    }

    /// In decimal with up to seventeen decimals, none of them a zero at the end; never an exponent, never `-0`.
    pub(crate) fn print(self) -> String {
        let (negative, significand, exponent) = match self {
            Self::Finite(negative, significand, exponent) => (negative, significand, exponent),
            Self::Infinite(negative) => return if negative { "-inf" } else { "inf" }.to_owned(),
        };
        let units = BigUint::from(significand) * BigUint::from(10_u8).pow(DECIMALS as u32);
        let units = shifted(&units, exponent, false).to_string();
        let text = with_point(&units);
        if negative && text != "0" { format!("-{text}") } else { text }
    }
}

/// Puts the point before the last decimals and cuts zeros.
fn with_point(units: &str) -> String {
    let padded = format!("{units:0>width$}", width = DECIMALS + 1);
    let (whole, fraction) = padded.split_at(padded.len() - DECIMALS);
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

/// `number * 2^exponent` as an integer, to nearest, ties to even; `is_more` says that the true number is a little larger.
fn shifted(number: &BigUint, exponent: i64, is_more: bool) -> BigUint {
    let bits = exponent.unsigned_abs();
    if exponent >= 0 {
        return number << bits;
    }
    let quotient = number >> bits;
    let half = number.bit(bits - 1);
    let is_beyond = is_more || number.trailing_zeros().is_some_and(|zeros| zeros < bits - 1);
    if half && (is_beyond || quotient.bit(0)) { quotient + 1_u8 } else { quotient }
}

/// The nearest number to `number * 2^exponent`.
fn round(number: &BigUint, exponent: i64, is_more: bool) -> LongDouble {
    if number.bits() == 0 {
        return LongDouble::ZERO;
    }
    let excess = number.bits() as i64 - SIGNIFICAND_BITS as i64;
    let target = (exponent + excess).max(EXPONENT_MIN);
    let mut significand = shifted(number, exponent - target, is_more);
    let mut exponent = target;
    if significand.bits() > SIGNIFICAND_BITS {
        // Rounding up gave one bit more, and all others zero.
        significand >>= 1_u8;
        exponent += 1;
    }
    if exponent > EXPONENT_MAX {
        return LongDouble::Infinite(false);
    }
    let significand = u64::try_from(&significand).expect("shifted to at most 64 bits");
    LongDouble::Finite(false, significand, exponent)
}

/// What was read must neither be too large nor have vanished.
fn honest(magnitude: LongDouble, is_zero: bool) -> Option<LongDouble> {
    match magnitude {
        LongDouble::Infinite(_) => None,
        LongDouble::Finite(_, 0, _) if !is_zero => None,
        LongDouble::Finite(..) => Some(magnitude),
    }
}

/// Digits, perhaps with a point, perhaps with a power of ten.
fn parse_decimal(text: &[u8]) -> Option<LongDouble> {
    let (mantissa, power) = split_power(text, b'e')?;
    let (digits, decimals) = split_point(mantissa, u8::is_ascii_digit)?;
    let number = BigUint::parse_bytes(&digits, 10)?;
    if number.bits() == 0 {
        return Some(LongDouble::ZERO);
    }
    let power = power.saturating_sub(decimals as i64);
    let significant = digits.iter().skip_while(|digit| **digit == b'0').count();
    let order = power.saturating_add(significant as i64);
    if order.abs() > DECIMAL_EXPONENT_MAX {
        return None;
    }
    let ten = BigUint::from(10_u8).pow(power.unsigned_abs() as u32);
    if power >= 0 {
        return honest(round(&(number * ten), 0, false), false);
    }
    // Enough bits for a significand, and one to round by: what the division leaves only matters as more than nothing.
    let shift = (ten.bits() + SIGNIFICAND_BITS + 2).saturating_sub(number.bits());
    let shifted = number << shift;
    let (quotient, rest) = (&shifted / &ten, &shifted % &ten);
    honest(round(&quotient, -(shift as i64), rest.bits() > 0), false)
}

/// Hexadecimal digits, perhaps with a point, perhaps with a power of two.
fn parse_hexadecimal(text: &[u8]) -> Option<LongDouble> {
    let (mantissa, power) = split_power(text, b'p')?;
    let (digits, fraction) = split_point(mantissa, u8::is_ascii_hexdigit)?;
    let number = BigUint::parse_bytes(&digits, 16)?;
    if number.bits() == 0 {
        return Some(LongDouble::ZERO);
    }
    let power = power.saturating_sub(4 * fraction as i64);
    let order = power.saturating_add(number.bits() as i64);
    if order.abs() > 4 * DECIMAL_EXPONENT_MAX {
        return None;
    }
    honest(round(&number, power, false), false)
}

/// Whether there is a minus, and what stands behind the sign.
fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text.strip_prefix(b"+").unwrap_or(text)),
    }
}

/// What stands before the letter, and the power behind it; one too long is as good as the largest.
fn split_power(text: &[u8], letter: u8) -> Option<(&[u8], i64)> {
    let Some(at) = text.iter().position(|byte| byte.to_ascii_lowercase() == letter) else {
        return Some((text, 0));
    };
    let (negative, digits) = split_sign(&text[at + 1..]);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: i64, digit: &u8| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
    let power = digits.iter().fold(0_i64, add);
    Some((&text[..at], if negative { -power } else { power }))
}

/// The digits without the point, and how many stand behind it; nothing if there are none, or anything else.
fn split_point(text: &[u8], is_digit: fn(&u8) -> bool) -> Option<(Vec<u8>, usize)> {
    let point = text.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[][..]),
    };
    let digits = [whole, fraction].concat();
    let is_number = !digits.is_empty() && digits.iter().all(is_digit);
    is_number.then_some((digits, fraction.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(one: &str, other: &str) -> String {
        let parse = |text: &str| LongDouble::parse(text.as_bytes()).expect(text);
        parse(one).plus(parse(other)).map_or("nan".to_owned(), LongDouble::print)
    }

    #[test]
    fn sums_are_those_of_the_hardware() {
        assert_eq!(sum("1e17", "10.6"), "100000000000000010.6015625");
        assert_eq!(sum("0", "0.1"), "0.1");
        assert_eq!(sum("0.1", "0.2"), "0.3");
        assert_eq!(sum("17179869184", "1.5"), "17179869185.5");
        assert_eq!(sum("5.0e3", "200"), "5200");
        assert_eq!(sum("-1", "1"), "0");
        assert_eq!(sum("-1e-30", "0"), "0");
        assert_eq!(sum("1", "-1.1"), "-0.1");
        assert_eq!(sum("9223372036854775807", "1"), "9223372036854775808");
        assert_eq!(sum("18446744073709551615", "1"), "18446744073709551616");
        assert_eq!(sum("18446744073709551616", "1"), "18446744073709551616");
        assert_eq!(sum("inf", "-inf"), "nan");
        assert_eq!(sum("inf", "1"), "inf");
        assert_eq!(sum("1e4932", "1e4932"), "inf");
    }

    #[test]
    fn texts_are_read_as_strtold_reads_them() {
        for (text, same) in [
            ("0x10", "16"),
            ("0x1p-1", "0.5"),
            ("0X.8", "0.5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("+5", "5"),
            ("1E2", "100"),
            ("-0", "0"),
            ("0e99999999999999999999", "0"),
            ("1e-17", "0.00000000000000001"),
            ("Infinity", "inf"),
            ("-INF", "-inf"),
        ] {
            assert_eq!(
                LongDouble::parse(text.as_bytes()).map(LongDouble::print).as_deref(),
                Some(same),
                "{text}"
            );
        }
        for text in [
            "",
            "-",
            "+-1",
            " 1",
            "1 ",
            "1\0",
            "nan",
            "nan()",
            "1e",
            "1e+",
            "e1",
            ".",
            "0x",
            "0xp1",
            "0x.",
            "1..2",
            "1e5000",
            "1e4933",
            "-1e99999999999999999999",
            "1e-4960",
            "1e-99999999999999999999",
            "infx",
            "1_0",
        ] {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text}");
        }
        assert!(LongDouble::parse(&[b'1'; TEXT_MAX]).is_none());
        assert!(LongDouble::parse(&[b'0'; TEXT_MAX]).is_some());
        assert!(LongDouble::parse(&[b'0'; TEXT_MAX + 1]).is_none());
    }

    #[test]
    fn the_smallest_and_the_largest_are_read() {
        let smallest = LongDouble::parse(b"3.6e-4951").expect("the smallest");
        assert_eq!(smallest, LongDouble::Finite(false, 1, EXPONENT_MIN));
        let largest = LongDouble::parse(b"1.18973149535723176502e+4932").expect("the largest");
        assert_eq!(largest, LongDouble::MAX);
        assert_eq!(largest.print().len(), 4933);
    }

    #[test]
    fn numbers_are_ordered() {
        let all = ["-inf", "-2", "-1", "0", "1e-4950", "0.5", "1", "1e4000", "inf"];
        let all = all.map(|text| LongDouble::parse(text.as_bytes()).expect(text));
        for (at, one) in all.iter().enumerate() {
            for (other_at, other) in all.iter().enumerate() {
                assert_eq!(one.compare(*other), at.cmp(&other_at));
            }
        }
    }
}
