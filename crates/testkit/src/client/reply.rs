//! A reply, decoded and shown.
//!
//! Shown as transcripts write it: `OK`, `42`, `(nil)`, `-ERR syntax error`, `[a, [b], (nil)]`, `{a: 1}`,
//! `~[a, b]`, `>[message, c, m]`, `,1.5`, `#t`. Strings are quoted where they would be taken for
//! something else.

use std::fmt::{self, Display, Formatter};

use redis_protocol::resp3::types::VerbatimStringFormat;
use redis_protocol::{resp2, resp3};

/// What a server answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `+OK`
    Simple(Vec<u8>),
    /// `-ERR syntax error`, or RESP3's long form.
    Error(Vec<u8>),
    /// `:1`
    Int(i64),
    /// `$1`
    Bulk(Vec<u8>),
    /// RESP2's `$-1` and `*-1`, RESP3's `_`.
    Nil,
    /// `*1`
    Array(Vec<Self>),
    /// `%1`, in the order of the wire.
    Map(Vec<(Self, Self)>),
    /// `~1`, in the order of the wire.
    Set(Vec<Self>),
    /// `>1`
    Push(Vec<Self>),
    /// `,1.5`
    Double(f64),
    /// `#t`
    Bool(bool),
    /// `=7` with its three-letter format.
    Verbatim(String, Vec<u8>),
    /// `(123`
    BigNumber(Vec<u8>),
}

impl Reply {
    /// Decodes one whole frame of either protocol.
    pub fn decode(frame: &[u8]) -> Result<Self, String> {
        if let Ok(Some((range, len))) = resp2::decode::decode_range(frame)
            && len == frame.len()
        {
            return Ok(Decoder { frame }.resp2(&range));
        }
        match resp3::decode::complete::decode_range(frame) {
            Ok(Some((range, len))) if len == frame.len() => Decoder { frame }.resp3(range),
            other => Err(format!("{} is read as {other:?}", frame.escape_ascii())),
        }
    }

    /// The bytes of a string of any kind, or of an error.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(bytes)
            | Self::Error(bytes)
            | Self::Bulk(bytes)
            | Self::Verbatim(_, bytes)
            | Self::BigNumber(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The number of an integer reply.
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The elements of an array, a set or a push.
    pub fn items(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) | Self::Set(items) | Self::Push(items) => Some(items),
            _ => None,
        }
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }
}

struct Decoder<'a> {
    frame: &'a [u8],
}

impl Decoder<'_> {
    fn bytes(&self, range: &(usize, usize)) -> Vec<u8> {
        self.frame[range.0..range.1].to_vec()
    }

    fn resp2(&self, range: &resp2::types::RangeFrame) -> Reply {
        use resp2::types::RangeFrame;
        match range {
            RangeFrame::SimpleString(range) => Reply::Simple(self.bytes(range)),
            RangeFrame::Error(range) => Reply::Error(self.bytes(range)),
            RangeFrame::Integer(number) => Reply::Int(*number),
            RangeFrame::BulkString(range) => Reply::Bulk(self.bytes(range)),
            RangeFrame::Array(items) => {
                Reply::Array(items.iter().map(|item| self.resp2(item)).collect())
            }
            RangeFrame::Null => Reply::Nil,
        }
    }

    fn resp3(&self, range: resp3::types::RangeFrame) -> Result<Reply, String> {
        use resp3::types::RangeFrame;
        Ok(match range {
            RangeFrame::SimpleString { data, .. } => Reply::Simple(self.bytes(&data)),
            RangeFrame::SimpleError { data, .. } | RangeFrame::BlobError { data, .. } => {
                Reply::Error(self.bytes(&data))
            }
            RangeFrame::BlobString { data, .. } => Reply::Bulk(self.bytes(&data)),
            RangeFrame::BigNumber { data, .. } => Reply::BigNumber(self.bytes(&data)),
            RangeFrame::VerbatimString { data, format, .. } => {
                Reply::Verbatim(letters(&format).into(), self.bytes(&data))
            }
            RangeFrame::Number { data, .. } => Reply::Int(data),
            RangeFrame::Double { data, .. } => Reply::Double(data),
            RangeFrame::Boolean { data, .. } => Reply::Bool(data),
            RangeFrame::Null => Reply::Nil,
            RangeFrame::Array { data, .. } => Reply::Array(self.all(data)?),
            RangeFrame::Push { data, .. } => Reply::Push(self.all(data)?),
            RangeFrame::Set { data, .. } => Reply::Set(self.all(data)?),
            RangeFrame::Map { data, .. } => Reply::Map(self.pairs(data)?),
            other => return Err(format!("a server does not send {other:?}")),
        })
    }

    fn all(
        &self,
        items: impl IntoIterator<Item = resp3::types::RangeFrame>,
    ) -> Result<Vec<Reply>, String> {
        items.into_iter().map(|item| self.resp3(item)).collect()
    }

    /// The decoder fills maps from the last pair to the first; this turns them around again.
    fn pairs(
        &self,
        pairs: resp3::types::FrameMap<resp3::types::RangeFrame, resp3::types::RangeFrame>,
    ) -> Result<Vec<(Reply, Reply)>, String> {
        let pairs = pairs.into_iter().rev();
        pairs.map(|(key, value)| Ok((self.resp3(key)?, self.resp3(value)?))).collect()
    }
}

fn letters(format: &VerbatimStringFormat) -> &'static str {
    match format {
        VerbatimStringFormat::Text => "txt",
        VerbatimStringFormat::Markdown => "mkd",
    }
}

impl Display for Reply {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(bytes)
            | Self::Bulk(bytes)
            | Self::Verbatim(_, bytes)
            | Self::BigNumber(bytes) => out.write_str(&quote(bytes)),
            Self::Error(bytes) => write!(out, "-{}", quote_error(bytes)),
            Self::Int(number) => write!(out, "{number}"),
            Self::Nil => out.write_str("(nil)"),
            Self::Double(number) => write!(out, ",{number}"),
            Self::Bool(true) => out.write_str("#t"),
            Self::Bool(false) => out.write_str("#f"),
            Self::Array(items) => list(out, "[", items),
            Self::Set(items) => list(out, "~[", items),
            Self::Push(items) => list(out, ">[", items),
            Self::Map(pairs) => map(out, pairs),
        }
    }
}

fn list(out: &mut Formatter<'_>, open: &str, items: &[Reply]) -> fmt::Result {
    out.write_str(open)?;
    for (index, item) in items.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(out, "{comma}{item}")?;
    }
    out.write_str("]")
}

fn map(out: &mut Formatter<'_>, pairs: &[(Reply, Reply)]) -> fmt::Result {
    out.write_str("{")?;
    for (index, (key, value)) in pairs.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(out, "{comma}{key}: {value}")?;
    }
    out.write_str("}")
}

/// A string as it is when it is plain, in quotes with escapes when it is not.
pub(super) fn quote(bytes: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"'\\,:[]{}()~>#".contains(byte);
    let number = bytes.strip_prefix(b"-").is_none_or(|rest| rest.iter().all(u8::is_ascii_digit));
    if !bytes.is_empty() && bytes.iter().all(plain) && number {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    escape(bytes)
}

fn quote_error(bytes: &[u8]) -> String {
    let plain = |byte: &u8| (b' '..=b'~').contains(byte) && !b"\"\\,]}".contains(byte);
    if bytes.iter().all(plain) {
        String::from_utf8_lossy(bytes).into_owned()
    } else {
        escape(bytes)
    }
}

fn escape(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    format!("\"{}\"", text.replace("\\'", "'"))
}

#[cfg(test)]
mod tests {
    use super::Reply;

    fn shown(frame: &str) -> String {
        Reply::decode(frame.as_bytes()).unwrap().to_string()
    }

    #[test]
    fn every_kind_of_reply_is_decoded_and_shown() {
        assert_eq!(shown("+OK\r\n"), "OK");
        assert_eq!(shown("-ERR syntax error\r\n"), "-ERR syntax error");
        assert_eq!(shown("!3\r\nE x\r\n"), "-E x");
        assert_eq!(shown(":-1\r\n"), "-1");
        assert_eq!(shown("$0\r\n\r\n"), "\"\"");
        assert_eq!(shown("$3\r\na b\r\n"), "\"a b\"");
        assert_eq!(shown("$-1\r\n"), "(nil)");
        assert_eq!(shown("*-1\r\n"), "(nil)");
        assert_eq!(shown("_\r\n"), "(nil)");
        assert_eq!(shown("*3\r\n$1\r\na\r\n*1\r\n:1\r\n$-1\r\n"), "[a, [1], (nil)]");
        assert_eq!(shown("%2\r\n+b\r\n:1\r\n+a\r\n_\r\n"), "{b: 1, a: (nil)}");
        assert_eq!(shown("~2\r\n+b\r\n+a\r\n"), "~[b, a]");
        assert_eq!(shown(">1\r\n+b\r\n"), ">[b]");
        assert_eq!(shown("*4\r\n,1.5\r\n,inf\r\n,-0\r\n,1e3\r\n"), "[,1.5, ,inf, ,-0, ,1000]");
        assert_eq!(shown("*2\r\n#t\r\n#f\r\n"), "[#t, #f]");
        assert_eq!(shown("=6\r\ntxt:ab\r\n"), "ab");
        assert_eq!(shown("(123456789012345678901\r\n"), "123456789012345678901");
        assert_eq!(shown("|1\r\n+k\r\n:1\r\n+OK\r\n"), "OK");
    }

    #[test]
    fn strings_need_not_be_text() {
        let frame = b"-ERR \xff\r\n";
        assert_eq!(Reply::decode(frame).unwrap(), Reply::Error(b"ERR \xff".to_vec()));
        let frame = b"*2\r\n$1\r\n\xff\r\n#t\r\n";
        assert_eq!(Reply::decode(frame).unwrap().to_string(), "[\"\\xff\", #t]");
    }

    #[test]
    fn a_frame_of_neither_protocol_is_refused() {
        assert!(Reply::decode(b"*2\r\n$-1\r\n#t\r\n").is_err());
        assert!(Reply::decode(b"+OK\r\n+OK\r\n").is_err());
        assert!(Reply::decode(b"#maybe\r\n").is_err());
    }
}
