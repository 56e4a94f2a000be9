//! Doubles as text.
use std::str;
/// Room for any double.
#[derive(Debug, Default)]
pub struct DoubleBuffer(Vec<u8>);
/// Prints.
pub fn format_double(value: f64, buffer: &mut DoubleBuffer) -> &[u8] {
    buffer.0 = value.to_string().into_bytes();
    &buffer.0
}
/// Parses.
pub fn parse_double(text: &[u8]) -> Option<f64> {
    str::from_utf8(text).ok()?.parse().ok()
}
