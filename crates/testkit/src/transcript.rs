//! Transcripts as tests: what is typed, and what comes back.
//!
//! ```text
//! check(client, "SET k v EX 10", "OK");            a bare text is any string or integer so spelled
//! check(client, r#"GET "\x00\r\n""#, "(nil)");     requests are split as a shell would, quotes and escapes too
//! check(client, "LRANGE l 0 -1", "[a, b, [c]]");   elements are bare up to a comma or a bracket, or quoted
//! check(client, "INCR l", "-WRONGTYPE Operation against a key holding the wrong kind of value");
//! check(client, "GET", "-ERR wrong...");           three dots at the end of an error: whatever follows
//! check(client, "HGETALL h", "{a: 1}");            maps and sets `~[a, b]` in any order; pushes `>[…]`
//! check(client, "ZSCORE z a", ",1.5");             doubles; booleans are `#t` and `#f`
//! check(client, "RANDOMKEY", "(any)");             anything at all
//! ```
//!
//! The strict variant tells types apart: `+OK`, `:1`, `$v`, `=txt:v`, `(123` instead of bare texts, nulls
//! as `$-1`, `*-1` or `_` where they are the whole reply, and maps and sets in the order of the wire.

mod expected;
mod split;

pub use expected::Expected;
pub use split::split;

use crate::client::{Client, Reply};

/// A client and the habit of checking what it is told.
#[derive(Debug)]
pub struct Transcript {
    /// The connection, for what a transcript cannot say.
    pub client: Client,
}

impl Transcript {
    /// Speaks over this connection.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Sends a command and compares the answer.
    #[track_caller]
    pub fn check(&mut self, command: &str, expected: &str) {
        check(&mut self.client, command, expected);
    }

    /// Sends a command and compares the answer, types and order included.
    #[track_caller]
    pub fn strict(&mut self, command: &str, expected: &str) {
        strict(&mut self.client, command, expected);
    }

    /// Sends a command and returns the answer.
    #[track_caller]
    pub fn run(&mut self, command: &str) -> Reply {
        self.client.cmd(&words(command))
    }
}

/// Sends a command and compares the answer; the notation is this module's.
#[track_caller]
pub fn check(client: &mut Client, command: &str, expected: &str) {
    let reply = client.cmd(&words(command));
    let same = parse(expected, false).matches(&reply);
    assert!(same, "{command}\n  expected: {expected}\n       got: {reply}");
}

/// Sends a command and compares the answer, types and order included.
#[track_caller]
pub fn strict(client: &mut Client, command: &str, expected: &str) {
    let frame = client.cmd_frame(&words(command));
    let frame = frame.unwrap_or_else(|error| panic!("no reply to {command}: {error}"));
    let same = match expected {
        "$-1" | "*-1" | "_" => frame == format!("{expected}\r\n").as_bytes(),
        _ => Reply::decode(&frame).is_ok_and(|reply| parse(expected, true).matches(&reply)),
    };
    assert!(same, "{command}\n  expected: {expected}\n       got: {}", frame.escape_ascii());
}

#[track_caller]
fn words(command: &str) -> Vec<Vec<u8>> {
    split(command).unwrap_or_else(|error| panic!("{command}: {error}"))
}

#[track_caller]
fn parse(expected: &str, strict: bool) -> Expected {
    Expected::parse(expected, strict).unwrap_or_else(|error| panic!("{expected}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(expected: &str, frame: &str, strict: bool) -> bool {
        let frame = frame.replace('|', "\r\n");
        parse(expected, strict).matches(&Reply::decode(frame.as_bytes()).unwrap())
    }

    fn is(expected: &str, frame: &str) -> bool {
        matches(expected, frame, false)
    }

    #[test]
    fn a_bare_text_is_any_reply_so_spelled() {
        assert!(is("OK", "+OK|"));
        assert!(is("-1", ":-1|"));
        assert!(is("42", "$2|42|"));
        assert!(is("a, b]", "$5|a, b]|"));
        assert!(is("-foo", "$4|-foo|"));
        assert!(is("\"\\x61\"", "$1|a|"));
        assert!(is("\"\"", "$0||"));
        assert!(!is("OK", "-OK|"));
        assert!(!is("1", ":2|"));
        assert!(!is("(nil)", "$5|(nil)|"));
        assert!(is("(nil)", "*-1|"));
    }

    #[test]
    fn errors_match_whole_or_up_to_three_dots() {
        assert!(is("-ERR syntax error", "-ERR syntax error|"));
        assert!(!is("-ERR syntax", "-ERR syntax error|"));
        assert!(is("-ERR syn...", "-ERR syntax error|"));
        assert!(is("[-ERR a, \"-ERR\"]", "*2|-ERR a|$4|-ERR|"));
        assert!(is("[-\"ERR a, b\"]", "*1|-ERR a, b|"));
    }

    #[test]
    fn aggregates_nest() {
        assert!(is("[a, 1, (nil), [b c, []]]", "*4|+a|:1|$-1|*2|$3|b c|*0|"));
        assert!(!is("[a]", "*2|+a|+b|"));
        assert!(is("{a: 1, b: [x]}", "%2|+b|*1|+x|+a|:1|"));
        assert!(is("~[a, b]", "~2|+b|+a|"));
        assert!(is(">[subscribe, c, 1]", ">3|+subscribe|+c|:1|"));
        assert!(is("[,1.5, ,inf, #t, #f, (any)]", "*5|,1.50|,inf|#t|#f|+x|"));
        assert!(is("{}", "%0|"));
    }

    #[test]
    fn strict_tells_types_and_order_apart() {
        assert!(matches("+OK", "+OK|", true));
        assert!(!matches("$OK", "+OK|", true));
        assert!(matches(":1", ":1|", true));
        assert!(matches("$1", "$1|1|", true));
        assert!(matches("[$a, :1, $\"b, c\"]", "*3|$1|a|:1|$4|b, c|", true));
        assert!(!matches("~[+a, +b]", "~2|+b|+a|", true));
        assert!(matches("=txt:a b", "=7|txt:a b|", true));
        assert!(matches("(123", "(123|", true));
        assert!(Expected::parse("OK", true).is_err());
    }

    #[test]
    fn a_notation_that_does_not_end_is_refused() {
        for text in ["[a", "[a]]", "{a}", "\"a", "[a, ", "#x", ",x"] {
            assert!(Expected::parse(text, false).is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_reply_shows_matches_it() {
        let frames = ["+a b|", "$2|-1|", "$2|-x|", "*2|$0||$3|a,b|", "-ERR a, b|", "%1|+a:b|#t|"];
        for frame in frames {
            let reply = Reply::decode(frame.replace('|', "\r\n").as_bytes()).unwrap();
            assert!(parse(&reply.to_string(), false).matches(&reply), "{reply}");
        }
    }
}
