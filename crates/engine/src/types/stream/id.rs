//! IDs of stream entries: milliseconds and a sequence number, spelled `1526919030474-55`.

use std::fmt;

/// The longest spelling of an ID, in bytes.
pub const ID_TEXT_MAX: usize = 41;

/// The longest text that is looked at as an ID.
const TEXT_MAX: usize = 127;

/// The ID of an entry; ordered by time, then by sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Milliseconds since 1970, as a rule.
    pub ms: u64,
    /// Tells entries of one millisecond apart.
    pub seq: u64,
}

/// The ID that a new entry is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewId {
    /// `*`: the time, or the next one if that is not later than the last.
    Auto,
    /// `ms-*`: the next one within a millisecond.
    Within(u64),
    /// This one.
    Exactly(StreamId),
}

impl StreamId {
    /// `0-0`, which no entry has.
    pub const MIN: Self = Self { ms: 0, seq: 0 };
    /// The last there is.
    pub const MAX: Self = Self { ms: u64::MAX, seq: u64::MAX };

    /// An ID from its parts.
    pub const fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    /// The one behind; `None` behind the last.
    pub const fn next(self) -> Option<Self> {
        match (self.ms, self.seq) {
            (u64::MAX, u64::MAX) => None,
            (ms, u64::MAX) => Some(Self::new(ms + 1, 0)),
            (ms, seq) => Some(Self::new(ms, seq + 1)),
        }
    }

    /// The one before; `None` before the first.
    pub const fn previous(self) -> Option<Self> {
        match (self.ms, self.seq) {
            (0, 0) => None,
            (ms, 0) => Some(Self::new(ms - 1, u64::MAX)),
            (ms, seq) => Some(Self::new(ms, seq - 1)),
        }
    }

    /// Reads `ms-seq`, or `ms` alone with a sequence of `missing_seq`.
    pub fn parse(text: &[u8], missing_seq: u64) -> Option<Self> {
        match NewId::parse_with(text, missing_seq)? {
            NewId::Exactly(id) => Some(id),
            _ => None,
        }
    }

    /// As [`StreamId::parse`], and `-` and `+` for the first and the last.
    pub fn parse_bound(text: &[u8], missing_seq: u64) -> Option<Self> {
        match text {
            b"-" => Some(Self::MIN),
            b"+" => Some(Self::MAX),
            _ => Self::parse(text, missing_seq),
        }
    }

    /// Spells it at the front of `buffer` and gives that part.
    pub fn write(self, buffer: &mut [u8; ID_TEXT_MAX]) -> &[u8] {
        let mut digits = itoa::Buffer::new();
        let ms = digits.format(self.ms).as_bytes();
        let dash = ms.len();
        buffer[..dash].copy_from_slice(ms);
        buffer[dash] = b'-';
        let seq = digits.format(self.seq).as_bytes();
        let end = dash + 1 + seq.len();
        buffer[dash + 1..end].copy_from_slice(seq);
        &buffer[..end]
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl NewId {
    /// Reads `ms-seq`, `ms` and `ms-*`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::parse_with(text, 0)
    }

    fn parse_with(text: &[u8], missing_seq: u64) -> Option<Self> {
        if text.len() > TEXT_MAX {
            return None;
        }
        let mut parts = text.splitn(2, |byte| *byte == b'-');
        let ms = parse_part(parts.next()?)?;
        Some(match parts.next() {
            None => Self::Exactly(StreamId::new(ms, missing_seq)),
            Some(b"*") => Self::Within(ms),
            Some(seq) => Self::Exactly(StreamId::new(ms, parse_part(seq)?)),
        })
    }
}

/// A part of an ID. Redis leaves all but the plain spelling to `strtoull`, which takes spaces, a plus and zeros before the digits.
fn parse_part(text: &[u8]) -> Option<u64> {
    let digits = text.trim_ascii_start();
    let digits = digits.strip_prefix(b"+").unwrap_or(digits);
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_read() {
        let parse = |text: &str| StreamId::parse(text.as_bytes(), 7);
        assert_eq!(parse("1-2"), Some(StreamId::new(1, 2)));
        assert_eq!(parse("5"), Some(StreamId::new(5, 7)));
        assert_eq!(parse("18446744073709551615-18446744073709551615"), Some(StreamId::MAX));
        assert_eq!(parse("007-01"), Some(StreamId::new(7, 1)));
        for text in
            ["", "-", "+", "-1", "1-", "1-2-3", "a", "1-b", "1-*", "18446744073709551616", "1 "]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(StreamId::parse_bound(b"-", 0), Some(StreamId::MIN));
        assert_eq!(StreamId::parse_bound(b"+", 0), Some(StreamId::MAX));
        assert_eq!(NewId::parse(b"9-*"), Some(NewId::Within(9)));
        assert_eq!(NewId::parse(&[b'1'; 128]), None);
    }

    #[test]
    fn neighbours_cross_milliseconds() {
        assert_eq!(StreamId::new(1, u64::MAX).next(), Some(StreamId::new(2, 0)));
        assert_eq!(StreamId::new(2, 0).previous(), Some(StreamId::new(1, u64::MAX)));
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(StreamId::MIN.previous(), None);
    }

    proptest! {
        #[test]
        fn ids_survive_the_round_trip(ms: u64, seq: u64, shift in 0_u32..64) {
            let id = StreamId::new(ms >> shift, seq >> shift);
            let mut buffer = [0; ID_TEXT_MAX];
            prop_assert_eq!(StreamId::parse(id.write(&mut buffer), 0), Some(id));
            let shown = id.to_string();
            prop_assert_eq!(shown.as_bytes(), id.write(&mut buffer));
        }
    }
}
