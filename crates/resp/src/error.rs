//! What can be wrong with a request, in Redis' words.
//!
//! After any of these the stream cannot be trusted any more: where the next request begins is unknown. The
//! server answers `-ERR ` and the text, and closes.

use thiserror::Error;

/// Why the bytes are no request. The text is the reply's, without `-ERR `.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// `*` is not followed by a number, or by one beyond 2^31-1.
    #[error("Protocol error: invalid multibulk length")]
    InvalidMultibulkLength,
    /// More than 64 KB after `*` without an end of line.
    #[error("Protocol error: too big mbulk count string")]
    TooBigMultibulkCount,
    /// More than 64 KB where `$` and a length should be, without an end of line.
    #[error("Protocol error: too big bulk count string")]
    TooBigBulkCount,
    /// More than ten arguments before authentication.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedMultibulkLength,
    /// An argument of more than 16384 bytes before authentication.
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedBulkLength,
    /// An argument of a multibulk does not begin with `$`.
    #[error("Protocol error: expected '$', got '{}'", shown(*.0))]
    ExpectedBulk(u8),
    /// `$` is not followed by a number, or by a negative one, or by one beyond `proto-max-bulk-len`.
    #[error("Protocol error: invalid bulk length")]
    InvalidBulkLength,
    /// An inline request of more than 64 KB.
    #[error("Protocol error: too big inline request")]
    TooBigInline,
    /// An inline request with an open quote, or with a closing one in mid-word.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// CR LF is missing where it must stand: behind a header or behind an argument's bytes. Older servers
    /// skip two bytes there without looking, and take a client's miscount for its next request.
    #[error("Protocol error: invalid CRLF in request")]
    InvalidCrlf,
}

impl ProtocolError {
    /// The text as bytes for the wire, where the offending byte is shown as it is.
    pub fn text(self) -> Vec<u8> {
        self.to_string().chars().map(|shown| u8::try_from(shown).unwrap_or(b'?')).collect()
    }
}

/// The offending byte as one character: what would end the reply's line is shown as a space.
fn shown(byte: u8) -> char {
    match byte {
        b'\r' | b'\n' | 0 => ' ',
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offending_byte_is_sent_as_it_is() {
        let text = ProtocolError::ExpectedBulk(0xe9).text();
        assert_eq!(text, b"Protocol error: expected '$', got '\xe9'");
        assert!(ProtocolError::ExpectedBulk(b'\n').text().ends_with(b"got ' '"));
    }
}
