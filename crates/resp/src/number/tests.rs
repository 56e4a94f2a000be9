//! Numbers against what a running valkey-server 8.0.1 answers to ZADD and ZSCORE.

use super::*;
use proptest::prelude::*;

fn check(value: f64, text: &str) {
    assert_eq!(str::from_utf8(format_double(value, &mut DoubleBuffer::default())), Ok(text));
}

fn reads(text: &str, value: f64) {
    assert_eq!(parse_double(text.as_bytes()), Some(value), "{text}");
}

#[test]
fn integers_have_no_point_up_to_2_to_the_62nd() {
    check(0.0, "0");
    check(-0.0, "-0");
    check(-3.0, "-3");
    check(1e17, "100000000000000000");
    check(9_007_199_254_740_993.0, "9007199254740992");
    check(99_999_999_999_999_990.0, "99999999999999984");
    check(4_611_686_018_427_387_904.0, "4611686018427387904");
    check(-4_611_686_018_427_387_904.0, "-4611686018427387904");
}

#[test]
fn large_integers_are_rounded_and_get_an_exponent_when_short() {
    check(4_611_686_018_427_388_928.0, "4611686018427389000");
    check(9_223_372_036_854_775_808.0, "9223372036854776000");
    check(123_456_789_012_345_680_000.0, "123456789012345680000");
    check(12_345_678_901_234_567_890_123.0, "12345678901234568000000");
    check(5.5e18, "5.5e+18");
    check(1e19, "1e+19");
    check(1e21, "1e+21");
    check(6.022_140_76e23, "6.02214076e+23");
    check(12_345_678_901_234_567e8, "1.2345678901234568e+24");
    check(-1.797_693_134_862_315_7e308, "-1.7976931348623157e+308");
}

#[test]
fn fractions_are_shortest() {
    check(0.1, "0.1");
    check(0.1 + 0.2, "0.30000000000000004");
    check(-0.5, "-0.5");
    check(123_456.789, "123456.789");
    check(999_999_999_999_999.9, "999999999999999.9");
    check(0.001, "0.001");
    check(-0.001_234_567_890_123, "-0.001234567890123");
    check(9_999.5, "9999.5");
    check(10_000.25, "10000.25");
}

#[test]
fn small_fractions_get_an_exponent() {
    check(1e-5, "0.00001");
    check(1e-6, "0.000001");
    check(1e-7, "1e-7");
    check(1.5e-7, "1.5e-7");
    check(1.25e-6, "1.25e-6");
    check(0.000_012_3, "1.23e-5");
    check(-0.000_123_456_789_012_345_67, "-1.2345678901234567e-4");
    check(1e-100, "1e-100");
    check(5e-324, "5e-324");
    check(2.225_073_858_507_201_4e-308, "2.2250738585072014e-308");
}

#[test]
fn what_is_no_number_has_a_name() {
    check(f64::INFINITY, "inf");
    check(f64::NEG_INFINITY, "-inf");
    check(f64::NAN, "nan");
}

#[test]
fn doubles_are_read_as_strtod_does() {
    reads(".5", 0.5);
    reads("5.", 5.0);
    reads("+.5e-1", 0.05);
    reads("1E5", 1e5);
    reads("1e+5", 1e5);
    reads("0e-400", 0.0);
    reads("4e-324", 5e-324);
    for infinite in ["inf", "+inf", "INF", "Infinity", "infinity"] {
        reads(infinite, f64::INFINITY);
    }
    reads("-INF", f64::NEG_INFINITY);
    assert!(parse_double(b"-0").is_some_and(f64::is_sign_negative));
}

#[test]
fn hexadecimal_doubles_are_read_as_strtod_does() {
    reads("0x10", 16.0);
    reads("-0X1.8P3", -12.0);
    reads("0X.8", 0.5);
    reads("0x0p-99999", 0.0);
    reads("0x1p-1074", 5e-324);
    reads("0x1.8p-1074", 1e-323);
    reads("0x1.fffffffffffffp1023", f64::MAX);
    reads("0x1.00000000000008p0", 1.0);
    reads("0x1.00000000000008000000001p0", 1.0 + f64::EPSILON);
    reads("0x123456789abcdef0123456789abcdefp-64", 81_985_529_216_486_895.07);
}

#[test]
fn what_is_no_double_is_refused() {
    for text in [
        "",
        " 1",
        "1 ",
        "\t1",
        "nan",
        "NaN",
        "-nan",
        "infinit",
        "infx",
        "0x",
        "0xp1",
        "0x1p",
        "0x1g",
        "0x.",
        "1e400",
        "-1e400",
        "1e-400",
        "1e",
        "e1",
        ".",
        "--1",
        "+-1",
        "1_0",
        "1d5",
        "0x1p2000",
        "0x1p-2000",
        "0x1p-1075",
        "0x1.fffffffffffff8p1023",
        "1\0",
        "0x1p+",
        "\u{661}",
    ] {
        assert_eq!(parse_double(text.as_bytes()), None, "{text:?}");
    }
    assert_eq!(parse_double(b"1\xff"), None);
}

#[test]
fn integers_have_one_spelling() {
    for value in [0, 1, -1, 10, i64::MAX, i64::MIN, 2_147_483_648] {
        assert_eq!(parse_integer(value.to_string().as_bytes()), Some(value));
    }
    for text in [
        "",
        "-",
        "-0",
        "+1",
        "01",
        "-01",
        " 1",
        "1 ",
        "1x",
        "0x1",
        "9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999999",
    ] {
        assert_eq!(parse_integer(text.as_bytes()), None, "{text:?}");
    }
}

proptest! {
    #[test]
    fn printed_doubles_read_back(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        prop_assume!(!value.is_nan());
        let mut buffer = DoubleBuffer::default();
        let text = format_double(value, &mut buffer).to_vec();
        prop_assert_eq!(parse_double(&text).map(f64::to_bits), Some(bits));
        prop_assert!(text.len() <= 32 && !buffer.0.spilled());
    }

    #[test]
    fn any_text_is_read_as_a_double_or_refused(text in "[-+]?(0x)?[0-9a-f.]{0,24}([ep][-+]?[0-9]{1,4})?") {
        let _ = parse_double(text.as_bytes());
    }
}
