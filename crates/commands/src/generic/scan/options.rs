//! What stands behind a cursor: MATCH, COUNT, and what only one kind of scan takes.

use russet_dispatch::{Args, Error};
use russet_engine::Type;
use russet_engine::glob::Glob;
use russet_engine::number::parse_i64;

/// The options of SCAN, SSCAN, HSCAN and ZSCAN.
#[derive(Debug)]
pub(crate) struct Options {
    /// `None` for any name, also the empty one, which no other pattern but the empty one matches.
    pub(crate) pattern: Option<Glob>,
    /// How many are wanted, about; at least one.
    pub(crate) count: u64,
    /// What keys hold, for SCAN.
    pub(crate) kind: Option<Type>,
    /// Whether to leave out values, or scores.
    pub(crate) names_only: bool,
}

impl Options {
    /// Reads what is left of the arguments. `within` is the type whose elements are scanned; none for the keys of a database.
    pub(crate) fn read(args: &mut Args<'_>, within: Option<Type>) -> Result<Self, Error> {
        let mut options = Self { pattern: None, count: 10, kind: None, names_only: false };
        while let Some(option) = args.peek() {
            args.next()?;
            options.one(&option.to_ascii_lowercase(), args, within)?;
        }
        Ok(options)
    }

    fn one(&mut self, name: &[u8], args: &mut Args<'_>, within: Option<Type>) -> Result<(), Error> {
        match name {
            b"match" => {
                let pattern = args.next()?;
                self.pattern = (pattern != b"*").then(|| Glob::new(pattern));
            }
            b"count" => self.count = wanted(args.next()?)?,
            b"type" if within.is_none() => self.kind = Some(kind_of(args.next()?)?),
            b"novalues" if within == Some(Type::Hash) => self.names_only = true,
            b"novalues" => return Err(Error::NoValuesOnlyInHscan),
            b"noscores" if within == Some(Type::SortedSet) => self.names_only = true,
            b"noscores" => return Err(Error::NoScoresOnlyInZscan),
            _ => return Err(Error::Syntax),
        }
        Ok(())
    }

    /// Whether a name matches.
    #[inline]
    pub(crate) fn wants(&self, name: &[u8]) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.matches(name))
    }
}

fn wanted(count: &[u8]) -> Result<u64, Error> {
    let count = parse_i64(count).ok_or(Error::NotInteger)?;
    if count < 1 { Err(Error::Syntax) } else { Ok(count as u64) }
}

fn kind_of(name: &[u8]) -> Result<Type, Error> {
    let is_it = |kind: &Type| kind.name().as_bytes().eq_ignore_ascii_case(name);
    let unknown = || format!("ERR unknown type name '{}'", String::from_utf8_lossy(name));
    Type::ALL.into_iter().find(is_it).ok_or_else(|| Error::of(unknown()))
}

/// A cursor: an unsigned number of 64 bits, in decimal digits and nothing else.
pub(crate) fn cursor(word: &[u8]) -> Result<u64, Error> {
    let word = word.split(|byte| *byte == 0).next().unwrap_or_default();
    match parse_i64(word) {
        Some(number) => u64::try_from(number).map_err(|_| Error::InvalidCursor),
        None => odd_cursor(word).ok_or(Error::InvalidCursor),
    }
}

/// What C's strtoull reads: spaces, a sign and zeros may stand before the digits.
fn odd_cursor(word: &[u8]) -> Option<u64> {
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let word = &word[word.iter().take_while(|byte| is_space(byte)).count()..];
    let (is_negative, digits) = match word {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(if is_negative { number.wrapping_neg() } else { number })
}

#[cfg(test)]
mod tests {
    use super::cursor;

    #[test]
    fn cursors_are_read_as_c_reads_them() {
        let good: [(&[u8], u64); 6] = [
            (b"0", 0),
            (b"18446744073709551615", u64::MAX),
            (b" +01", 1),
            (b"-0", 0),
            (b"-9223372036854775809", (1 << 63) - 1),
            (b"7\0x", 7),
        ];
        good.iter().for_each(|(word, number)| assert_eq!(cursor(word), Ok(*number)));
        let bad: [&[u8]; 6] = [b"", b"-1", b"abc", b"1 ", b"18446744073709551616", b"+"];
        bad.iter().for_each(|word| assert!(cursor(word).is_err()));
    }
}
