//! What stands before each block of an increment: how long it is and its checksum, in a line that Redis and Valkey skip.
//!
//! ```text
//! #BLOCK:v1;len:71;crc64:0123456789abcdef;durable:1042;head:89abcdef\r\n
//! *2\r\n$6\r\nSELECT\r\n…                                71 bytes: whole units
//! ```
//!
//! `durable` says how many bytes of the file were known to be on the disk when the line was written. So a reader can tell a tail that a
//! crash has torn from damage: what some later line calls durable was whole once. `head` is the checksum of the line before it, so that a
//! line that is damaged itself says nothing. A block of no bytes says that everything before it is durable: an increment begins with one,
//! and gets one when nobody has written for a while.

use russet_rdb::primitives::crc64;

/// How such a line begins.
pub(crate) const MARK: &[u8] = b"#BLOCK:v1;";

/// No such line is longer.
pub(crate) const LINE_MAX: usize = 160;

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes of the block.
    pub(crate) len: u64,
    /// Their CRC-64.
    pub(crate) checksum: u64,
    /// Bytes of the file that were on the disk.
    pub(crate) durable: u64,
}

impl Header {
    /// Of a block of no bytes.
    pub(crate) const fn seal(durable: u64) -> Self {
        Self { len: 0, checksum: 0, durable }
    }

    /// The line, its end included.
    pub(crate) fn line(self) -> String {
        let Self { len, checksum, durable } = self;
        let mut text = String::with_capacity(LINE_MAX);
        text.push_str("#BLOCK:v1;len:");
        text.push_str(&len.to_string());
        text.push_str(";crc64:");
        push_hex(&mut text, checksum, 16);
        text.push_str(";durable:");
        text.push_str(&durable.to_string());
        text.push_str(";head:");
        let head = check(text.as_bytes());
        push_hex(&mut text, u64::from(head), 8);
        text.push_str("\r\n");
        text
    }

    /// Reads a line without its end; `None` if it is no such line, or a damaged one.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        let rest = text.strip_prefix("#BLOCK:v1;len:")?;
        let (len, rest) = rest.split_once(";crc64:")?;
        let (checksum, rest) = rest.split_once(";durable:")?;
        let (durable, head) = rest.split_once(";head:")?;
        let checked = text.len() - head.len();
        let is_right = u32::from_str_radix(head, 16).ok()? == check(&line[..checked]);
        let header = Self {
            len: len.parse().ok()?,
            checksum: u64::from_str_radix(checksum, 16).ok()?,
            durable: durable.parse().ok()?,
        };
        is_right.then_some(header)
    }
}

/// Adds the last digits of a number.
fn push_hex(out: &mut String, number: u64, digits: u32) {
    let nibbles = (0..digits).rev().map(|nth| (number >> (4 * nth)) & 15);
    out.extend(nibbles.map(|nibble| char::from(b"0123456789abcdef"[nibble as usize])));
}

/// Half a checksum is enough for a line.
fn check(bytes: &[u8]) -> u32 {
    (crc64(bytes) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_back_and_no_damaged_one_does() {
        let header = Header { len: 71, checksum: 0x0123_4567_89ab_cdef, durable: 1042 };
        let line = header.line();
        assert!(line.len() < LINE_MAX && line.as_bytes().starts_with(MARK));
        assert!(line.starts_with("#BLOCK:v1;len:71;crc64:0123456789abcdef;durable:1042;head:"));
        assert_eq!(line.len(), "#BLOCK:v1;len:71;crc64:;durable:1042;head:\r\n".len() + 16 + 8);
        let line = line.trim_end().as_bytes();
        assert_eq!(Header::parse(line), Some(header));
        for at in 0..line.len() {
            for bit in 0..8 {
                let mut damaged = line.to_vec();
                damaged[at] ^= 1 << bit;
                let parsed = Header::parse(&damaged);
                // A digit of a checksum may change between its large form and its small one.
                assert!(parsed.is_none() || parsed == Some(header), "byte {at}, bit {bit}");
            }
            assert_eq!(Header::parse(&line[..at]), None);
        }
    }
}
