//! Numbers as C's `printf` writes them: `%.14g` and kin, which Lua and cjson use.

/// The first number that is too large for 64 bits and a sign: 2^63.
pub(crate) const INTEGER_END: f64 = (1_u64 << 63) as f64;

/// A number with at most `precision` significant digits, in the shorter of two notations: C's `%.*g`.
pub(crate) fn general(number: f64, precision: usize) -> String {
    if number.is_nan() {
        return if number.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    if number.is_infinite() {
        return if number < 0.0 { "-inf" } else { "inf" }.to_owned();
    }
    let precision = precision.max(1);
    let scientific = format!("{number:.*e}", precision - 1);
    let (digits, exponent) = scientific.split_once('e').expect("scientific notation has an e");
    let exponent: i32 = exponent.parse().expect("a small integer");
    if exponent < -4 || exponent >= precision as i32 {
        let digits = trimmed(digits);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
    let decimals = (precision as i32 - 1 - exponent).max(0) as usize;
    trimmed(&format!("{number:.decimals$}")).to_owned()
}

/// Without zeros at the end of a fraction.
fn trimmed(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

/// The number that a text of digits alone spells, as few as a double holds exactly; a sign may stand before them.
pub(crate) fn of_digits(text: &[u8]) -> Option<f64> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1.0, digits),
        digits => (1.0, digits),
    };
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    let mut number = 0_u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u64::from(digit - b'0');
    }
    Some(sign * number as f64)
}

/// The beginning of a text that C's `strtod` takes for a number, and its value.
pub(crate) fn leading(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let rest = &text[sign..];
    let (magnitude, len) = word(rest).or_else(|| hexadecimal(rest)).or_else(|| decimal(rest))?;
    Some((if text.first() == Some(&b'-') { -magnitude } else { magnitude }, sign + len))
}

fn word(text: &[u8]) -> Option<(f64, usize)> {
    const WORDS: [(&[u8], f64); 3] =
        [(b"infinity", f64::INFINITY), (b"inf", f64::INFINITY), (b"nan", f64::NAN)];
    let begins =
        |word: &[u8]| text.len() >= word.len() && text[..word.len()].eq_ignore_ascii_case(word);
    WORDS.iter().find(|(word, _)| begins(word)).map(|(word, value)| (*value, word.len()))
}

fn hexadecimal(text: &[u8]) -> Option<(f64, usize)> {
    if text.len() < 3 || text[0] != b'0' || text[1] | 0x20 != b'x' {
        return None;
    }
    let digits = |from: usize| text[from..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let whole = digits(2);
    let has_point = text.get(2 + whole) == Some(&b'.');
    let fraction = if has_point { digits(3 + whole) } else { 0 };
    if whole + fraction == 0 {
        return None;
    }
    let add = |value: f64, byte: &u8| {
        value * 16.0 + f64::from((*byte as char).to_digit(16).expect("a hexadecimal digit"))
    };
    let value = text[2..2 + whole].iter().fold(0.0, add);
    let point = 2 + whole + usize::from(has_point);
    let value = text[point..point + fraction].iter().fold(value, add);
    let end = point + fraction;
    let (exponent, len) = binary_exponent(&text[end..]);
    Some((value * 2_f64.powi(exponent.saturating_sub(4 * fraction as i32)), end + len))
}

/// `p` and a power of two, if they stand there, and how many bytes that takes.
fn binary_exponent(text: &[u8]) -> (i32, usize) {
    let [b'p' | b'P', rest @ ..] = text else { return (0, 0) };
    let sign = usize::from(matches!(rest.first(), Some(b'-' | b'+')));
    let digits = rest[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return (0, 0);
    }
    let number = std::str::from_utf8(&rest[..sign + digits]).expect("a sign and digits");
    let clamped = if rest[0] == b'-' { -9_999 } else { 9_999 };
    (number.parse().unwrap_or(clamped).clamp(-9_999, 9_999), 1 + sign + digits)
}

fn decimal(text: &[u8]) -> Option<(f64, usize)> {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(0);
    let mut end = whole;
    if text.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        if whole + fraction == 0 {
            return None;
        }
        end += 1 + fraction;
    }
    if end == 0 {
        return None;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'-' | b'+')));
        let exponent = text.get(end + 1 + sign..).map_or(0, |_| digits(end + 1 + sign));
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    let text = std::str::from_utf8(&text[..end]).expect("digits, a point and an exponent");
    Some((text.parse().ok()?, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_as_c_prints_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (100.0, "100"),
            (0.1, "0.1"),
            (1.0 / 3.0, "0.33333333333333"),
            (1e14, "1e+14"),
            (123_456_789_012_345.0, "1.2345678901234e+14"),
            (99_999_999_999_999.0, "99999999999999"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e300, "1e+300"),
            (1023.2, "1023.2"),
        ];
        for (number, text) in cases {
            assert_eq!(general(number, 14), text, "{number}");
        }
        assert_eq!(general(1234.5, 2), "1.2e+03");
        assert_eq!(general(f64::INFINITY, 14), "inf");
    }

    #[test]
    fn digits_are_read_as_the_numbers_that_they_are() {
        assert_eq!(of_digits(b"0"), Some(0.0));
        assert_eq!(of_digits(b"-0").map(f64::to_bits), Some((-0.0_f64).to_bits()));
        assert_eq!(of_digits(b"-123456789012345"), Some(-123_456_789_012_345.0));
        assert_eq!(of_digits(b"007"), Some(7.0));
        for text in ["", "-", "+1", " 1", "1 ", "1.5", "0x10", "1e3", "1234567890123456", "--1"] {
            assert_eq!(of_digits(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_read_as_far_as_they_go() {
        assert_eq!(leading(b"0.3e-3,"), Some((0.3e-3, 6)));
        assert_eq!(leading(b"-5e3]"), Some((-5000.0, 4)));
        assert_eq!(leading(b"1e]"), Some((1.0, 1)));
        assert_eq!(leading(b"0x1F "), Some((31.0, 4)));
        assert_eq!(leading(b"0x1p4]"), Some((16.0, 5)));
        assert_eq!(leading(b"-0x1.8p-1"), Some((-0.75, 9)));
        assert_eq!(leading(b"0x.8p"), Some((0.5, 4)));
        assert_eq!(leading(b"0x"), Some((0.0, 1)));
        assert_eq!(leading(b"-Infinity"), Some((f64::NEG_INFINITY, 9)));
        assert_eq!(leading(b"-."), None);
        assert_eq!(leading(b"1."), Some((1.0, 2)));
        assert_eq!(leading(b""), None);
        assert_eq!(leading(b"1e400"), Some((f64::INFINITY, 5)));
    }
}
