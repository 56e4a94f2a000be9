//! Counting replies without building them.
//!
//! A load generator needs to know how many replies have arrived, and how many were errors; never
//! what they say. So there is no tree and no stack: `open` is the number of elements still missing
//! from the reply being read. A scalar closes one, an array of n closes one and opens n, and the
//! reply is whole when none is open. All state is in a few words, so bytes may be cut anywhere.

use std::mem;

/// No server sends more digits than this in a length.
const LENGTH_DIGITS_MAX: u32 = 18;

/// How much of the first error is kept for printing.
const ERROR_TEXT_MAX: usize = 256;

/// What cannot be a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// A reply began with a byte that names no type.
    #[error("a reply begins with byte {0:#04x}, which names no type")]
    Type(u8),
    /// A length held something other than digits, or too many of them.
    #[error("a length in a reply is not a number")]
    Length,
}

/// Where in the byte stream the scanner stands.
#[derive(Debug, Clone, Copy)]
enum State {
    /// Before the type byte of an element.
    Type,
    /// In a line whose content does not matter.
    Line,
    /// In the text of an error.
    Error,
    /// In the length of a bulk string or an aggregate.
    Length { kind: Kind, value: u64, digits: u32, negative: bool },
    /// In a bulk string: this many bytes of it, line end included, are still to come.
    Bulk(u64),
}

/// What a length counts.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Bulk,
    /// Elements per unit of length: one for arrays, two for maps.
    Aggregate(u64),
    /// Pairs that precede the element they describe.
    Attribute,
}

/// A resumable counter of replies.
#[derive(Debug)]
pub struct Scanner {
    state: State,
    /// Elements missing from the reply being read; 0 between replies.
    open: u64,
    replies: u64,
    errors: u64,
    first_error: Vec<u8>,
}

impl Default for Scanner {
    fn default() -> Self {
        Self { state: State::Type, open: 0, replies: 0, errors: 0, first_error: Vec::new() }
    }
}

impl Scanner {
    /// Reads the next bytes of the stream; gives the number of replies they completed.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<u64, ScanError> {
        while let Some(&first) = bytes.first() {
            bytes = match self.state {
                State::Type => {
                    self.begin(first)?;
                    &bytes[1..]
                }
                State::Line => self.line(bytes),
                State::Error => self.error_text(bytes),
                State::Length { .. } => self.length(bytes)?,
                State::Bulk(left) => self.bulk(bytes, left),
            };
        }
        Ok(mem::take(&mut self.replies))
    }

    /// How many errors have been seen, also inside arrays.
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// The text of the first error, cut at 256 bytes.
    pub fn first_error(&self) -> Option<String> {
        (self.errors > 0).then(|| String::from_utf8_lossy(&self.first_error).trim_end().to_owned())
    }

    fn begin(&mut self, kind: u8) -> Result<(), ScanError> {
        self.open = self.open.max(1);
        let length = |kind| State::Length { kind, value: 0, digits: 0, negative: false };
        self.state = match kind {
            b'+' | b':' | b'_' | b'#' | b',' | b'(' => State::Line,
            b'$' | b'=' => length(Kind::Bulk),
            b'*' | b'~' | b'>' => length(Kind::Aggregate(1)),
            b'%' => length(Kind::Aggregate(2)),
            b'|' => length(Kind::Attribute),
            b'-' => {
                self.errors += 1;
                State::Error
            }
            b'!' => {
                self.errors += 1;
                length(Kind::Bulk)
            }
            other => return Err(ScanError::Type(other)),
        };
        Ok(())
    }

    fn line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        match memchr::memchr(b'\n', bytes) {
            Some(at) => {
                self.close();
                &bytes[at + 1..]
            }
            None => &[],
        }
    }

    fn error_text<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let rest = self.line(bytes);
        if self.errors == 1 {
            let text = &bytes[..bytes.len() - rest.len()];
            let room = ERROR_TEXT_MAX - self.first_error.len();
            self.first_error.extend_from_slice(&text[..text.len().min(room)]);
        }
        rest
    }

    /// Reads digits until the line ends, keeping them in the state if it does not end here.
    fn length<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], ScanError> {
        let State::Length { kind, mut value, mut digits, mut negative } = self.state else {
            return Ok(bytes);
        };
        for (at, &byte) in bytes.iter().enumerate() {
            match byte {
                b'0'..=b'9' if digits < LENGTH_DIGITS_MAX => {
                    value = value * 10 + u64::from(byte - b'0');
                    digits += 1;
                }
                b'-' if digits == 0 && !negative => negative = true,
                b'\r' => {}
                b'\n' if digits > 0 => {
                    self.measured(kind, if negative { None } else { Some(value) });
                    return Ok(&bytes[at + 1..]);
                }
                _ => return Err(ScanError::Length),
            }
        }
        self.state = State::Length { kind, value, digits, negative };
        Ok(&[])
    }

    /// A length line has ended; `None` is the null of RESP2.
    fn measured(&mut self, kind: Kind, length: Option<u64>) {
        match (kind, length) {
            (Kind::Bulk, Some(length)) => self.state = State::Bulk(length + 2),
            (Kind::Aggregate(each), Some(length)) => {
                self.open = self.open.saturating_add(length.saturating_mul(each));
                self.close();
            }
            (Kind::Attribute, Some(length)) => {
                self.open = self.open.saturating_add(length.saturating_mul(2));
                self.state = State::Type;
            }
            (_, None) => self.close(),
        }
    }

    fn bulk<'a>(&mut self, bytes: &'a [u8], left: u64) -> &'a [u8] {
        if left > bytes.len() as u64 {
            self.state = State::Bulk(left - bytes.len() as u64);
            return &[];
        }
        self.close();
        &bytes[left as usize..]
    }

    /// One element is whole; with the last of them, the reply is.
    fn close(&mut self) {
        self.open -= 1;
        self.replies += u64::from(self.open == 0);
        self.state = State::Type;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLIES: &[&[u8]] = &[
        b"+OK\r\n",
        b"-ERR no\r\n",
        b":-42\r\n",
        b"$-1\r\n",
        b"$0\r\n\r\n",
        b"$5\r\na\r\nbc\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*2\r\n$1\r\na\r\n:1\r\n",
        b"*3\r\n*2\r\n+a\r\n*0\r\n$-1\r\n*1\r\n*1\r\n:7\r\n",
        b"%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n",
        b"~1\r\n,1.5\r\n",
        b"_\r\n",
        b"#t\r\n",
        b"(123456789012345678901234567890\r\n",
        b"=7\r\ntxt:abc\r\n",
        b"|1\r\n+ttl\r\n:3\r\n+value\r\n",
        b"*2\r\n-ERR inner\r\n|1\r\n+a\r\n:1\r\n+b\r\n",
    ];

    fn count(parts: &[&[u8]]) -> u64 {
        let mut scanner = Scanner::default();
        parts.iter().map(|part| scanner.feed(part).unwrap()).sum()
    }

    #[test]
    fn every_reply_counts_once() {
        for reply in REPLIES {
            assert_eq!(count(&[reply]), 1, "{:?}", String::from_utf8_lossy(reply));
        }
        assert_eq!(count(REPLIES), REPLIES.len() as u64);
        assert_eq!(count(&[&REPLIES.concat()]), REPLIES.len() as u64);
    }

    #[test]
    fn the_stream_may_be_cut_anywhere() {
        let stream = REPLIES.concat();
        for at in 0..=stream.len() {
            assert_eq!(count(&[&stream[..at], &stream[at..]]), REPLIES.len() as u64, "at {at}");
        }
        let single: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(count(&single), REPLIES.len() as u64);
    }

    #[test]
    fn a_reply_counts_when_its_last_byte_arrives() {
        for reply in REPLIES {
            let mut scanner = Scanner::default();
            assert_eq!(scanner.feed(&reply[..reply.len() - 1]), Ok(0));
            assert_eq!(scanner.feed(&reply[reply.len() - 1..]), Ok(1));
        }
    }

    #[test]
    fn errors_count_and_the_first_is_kept_across_cuts() {
        let stream = b"-ERR first one\r\n+OK\r\n*1\r\n-ERR second\r\n!5\r\nthird\r\n";
        for at in 0..=stream.len() {
            let mut scanner = Scanner::default();
            scanner.feed(&stream[..at]).unwrap();
            scanner.feed(&stream[at..]).unwrap();
            assert_eq!(scanner.errors(), 3);
            assert_eq!(scanner.first_error().as_deref(), Some("ERR first one"));
        }
        assert_eq!(Scanner::default().first_error(), None);
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        let feed = |bytes: &[u8]| Scanner::default().feed(bytes);
        assert_eq!(feed(b"HTTP/1.1"), Err(ScanError::Type(b'H')));
        assert_eq!(feed(b"$x\r\n"), Err(ScanError::Length));
        assert_eq!(feed(b"$\r\n"), Err(ScanError::Length));
        assert_eq!(feed(b"*9999999999999999999999\r\n"), Err(ScanError::Length));
    }
}
