//! Where a reply ends: a scan that goes on where it stopped.
//!
//! Only lengths are read, so the cost is linear however many reads a reply takes. What it means is left
//! to the decoder.

/// Longest line looked for; anything longer is not a reply.
const LINE_BYTES_MAX: usize = 1 << 20;

/// A scan of the bytes at the beginning of a buffer that only grows.
#[derive(Debug)]
pub(super) struct Scanner {
    /// Bytes that belong to complete items.
    position: usize,
    /// Items that must follow until the reply is complete.
    missing: usize,
}

impl Default for Scanner {
    fn default() -> Self {
        Self { position: 0, missing: 1 }
    }
}

impl Scanner {
    /// The reply's length in bytes, once all of it is there.
    pub(super) fn scan(&mut self, buffer: &[u8]) -> Result<Option<usize>, String> {
        while self.missing > 0 {
            let rest = buffer.get(self.position..).unwrap_or_default();
            let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else {
                return if rest.len() > LINE_BYTES_MAX {
                    Err("a line without end".into())
                } else {
                    Ok(None)
                };
            };
            let Some((len, items)) = item(&rest[..end])? else { return Err(unknown(rest)) };
            if rest.len() < end + 2 + len {
                return Ok(None);
            }
            self.position += end + 2 + len;
            self.missing = self.missing - 1 + items;
        }
        Ok(Some(self.position))
    }
}

fn unknown(rest: &[u8]) -> String {
    let shown = &rest[..rest.len().min(60)];
    format!("not a reply: {}", shown.escape_ascii())
}

/// The bytes and the items that follow a line.
fn item(line: &[u8]) -> Result<Option<(usize, usize)>, String> {
    let Some(kind) = line.first() else { return Ok(None) };
    Ok(match kind {
        b'+' | b'-' | b':' | b',' | b'#' | b'_' | b'(' => Some((0, 0)),
        b'$' | b'=' | b'!' => Some((length(line)?.map_or(0, |len| len + 2), 0)),
        b'*' | b'~' | b'>' => Some((0, length(line)?.unwrap_or(0))),
        b'%' => Some((0, length(line)?.unwrap_or(0) * 2)),
        // Attributes come before the item they describe and do not count as one.
        b'|' => Some((0, length(line)?.unwrap_or(0) * 2 + 1)),
        _ => None,
    })
}

/// The length in a line, or none for the nulls of RESP2.
fn length(line: &[u8]) -> Result<Option<usize>, String> {
    let text = std::str::from_utf8(&line[1..]).map_err(|_| unknown(line))?;
    if text == "-1" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| unknown(line))
}

#[cfg(test)]
mod tests {
    use super::Scanner;

    #[test]
    fn the_end_is_the_same_however_the_bytes_come() {
        let reply = b"*3\r\n%1\r\n+a\r\n$-1\r\n|1\r\n+k\r\n:1\r\n~0\r\n$3\r\n\r\n\r\r\n";
        let mut scanner = Scanner::default();
        for len in 0..reply.len() {
            assert_eq!(scanner.scan(&reply[..len]), Ok(None), "{len}");
        }
        assert_eq!(scanner.scan(reply), Ok(Some(reply.len())));
        let mut more = reply.to_vec();
        more.extend_from_slice(b"+OK\r\n");
        assert_eq!(Scanner::default().scan(&more), Ok(Some(reply.len())));
    }

    #[test]
    fn what_is_not_a_reply_is_refused() {
        assert!(Scanner::default().scan(b"HTTP/1.1 200 OK\r\n").is_err());
        assert!(Scanner::default().scan(b"$x\r\n").is_err());
    }
}
