//! The notation of expected replies, read into a tree that a reply either matches or not.

use super::split::quoted;
use crate::client::Reply;

/// What a reply should be.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// Anything.
    Any,
    /// Exactly this reply.
    Exactly(Reply),
    /// Any string or integer so spelled.
    Text(Vec<u8>),
    /// An error that begins so.
    ErrorBegins(Vec<u8>),
    /// An array of these.
    Array(Vec<Self>),
    /// A push of these.
    Push(Vec<Self>),
    /// A set of these; the flag says whether in this order.
    Set(Vec<Self>, bool),
    /// A map of these; the flag says whether in this order.
    Map(Vec<(Self, Self)>, bool),
}

impl Expected {
    /// Reads the notation; strictly, every text must say what type it is.
    pub fn parse(text: &str, strict: bool) -> Result<Self, String> {
        let mut reader = Reader { rest: text.as_bytes(), strict, depth: 0, key: false };
        let expected = reader.value()?;
        if reader.rest.is_empty() {
            return Ok(expected);
        }
        Err(format!("the expected reply ends before {}", reader.rest.escape_ascii()))
    }

    /// Whether a reply is what was expected.
    pub fn matches(&self, reply: &Reply) -> bool {
        match (self, reply) {
            (Self::Any, _) => true,
            (Self::Exactly(expected), _) => same(expected, reply),
            (Self::Text(text), _) => spelled(reply).is_some_and(|spelled| spelled == *text),
            (Self::ErrorBegins(text), Reply::Error(error)) => error.starts_with(text),
            (Self::Array(expected), Reply::Array(items))
            | (Self::Push(expected), Reply::Push(items))
            | (Self::Set(expected, true), Reply::Set(items)) => in_order(expected, items),
            (Self::Set(expected, false), Reply::Set(items)) => in_any_order(expected, items),
            (Self::Map(expected, ordered), Reply::Map(pairs)) => map(expected, pairs, *ordered),
            _ => false,
        }
    }
}

fn same(expected: &Reply, reply: &Reply) -> bool {
    match (expected, reply) {
        (Reply::Double(left), Reply::Double(right)) => left.total_cmp(right).is_eq(),
        _ => expected == reply,
    }
}

fn spelled(reply: &Reply) -> Option<Vec<u8>> {
    match reply {
        Reply::Error(_) => None,
        Reply::Int(number) => Some(number.to_string().into_bytes()),
        other => other.bytes().map(<[u8]>::to_vec),
    }
}

fn in_order(expected: &[Expected], items: &[Reply]) -> bool {
    let pairs = expected.iter().zip(items);
    expected.len() == items.len()
        && pairs.into_iter().all(|(expected, item)| expected.matches(item))
}

fn in_any_order(expected: &[Expected], items: &[Reply]) -> bool {
    pair_off(expected, items, Expected::matches)
}

fn map(expected: &[(Expected, Expected)], pairs: &[(Reply, Reply)], ordered: bool) -> bool {
    let same = |expected: &(Expected, Expected), pair: &(Reply, Reply)| {
        expected.0.matches(&pair.0) && expected.1.matches(&pair.1)
    };
    if ordered {
        let mut both = expected.iter().zip(pairs);
        return expected.len() == pairs.len() && both.all(|(expected, pair)| same(expected, pair));
    }
    pair_off(expected, pairs, same)
}

/// Whether each expectation finds an item of its own. Greedy: `(any)` belongs at the end.
fn pair_off<E, R>(expected: &[E], items: &[R], matches: impl Fn(&E, &R) -> bool) -> bool {
    let mut left: Vec<&R> = items.iter().collect();
    let mut found = |expected: &E| {
        let place = left.iter().position(|item| matches(expected, item));
        place.map(|place| left.swap_remove(place)).is_some()
    };
    expected.len() == items.len() && expected.iter().all(&mut found)
}

struct Reader<'a> {
    rest: &'a [u8],
    strict: bool,
    /// Brackets that are open.
    depth: usize,
    /// Whether a map's key is read, which ends at a colon.
    key: bool,
}

impl Reader<'_> {
    fn value(&mut self) -> Result<Expected, String> {
        if self.eat("(nil)") {
            return Ok(Expected::Exactly(Reply::Nil));
        }
        if self.eat("(any)") {
            return Ok(Expected::Any);
        }
        match self.rest {
            [b'[', ..] => Ok(Expected::Array(self.list("[")?)),
            [b'~', b'[', ..] => Ok(Expected::Set(self.list("~[")?, self.strict)),
            [b'>', b'[', ..] => Ok(Expected::Push(self.list(">[")?)),
            [b'{', ..] => Ok(Expected::Map(self.pairs()?, self.strict)),
            [b'-', b'A'..=b'Z' | b'"', ..] => self.error(),
            [b',', ..] => self.double(),
            [b'#', ..] => self.boolean(),
            _ if self.strict => self.typed(),
            _ => Ok(Expected::Text(self.text()?)),
        }
    }

    fn eat(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text.as_bytes());
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// A string in quotes, or all up to what ends an element; outside of brackets, all.
    fn text(&mut self) -> Result<Vec<u8>, String> {
        if self.rest.first() == Some(&b'"') {
            let (text, rest) = quoted(self.rest)?;
            self.rest = rest;
            return Ok(text);
        }
        let ends = |byte: &u8| self.depth > 0 && b",]}".contains(byte) || self.key && *byte == b':';
        let end = self.rest.iter().position(ends).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        if text.is_empty() {
            Err("an empty string is written \"\"".into())
        } else {
            Ok(text.to_vec())
        }
    }

    fn error(&mut self) -> Result<Expected, String> {
        self.rest = &self.rest[1..];
        let text = self.text()?;
        Ok(match text.strip_suffix(b"...") {
            Some(begin) => Expected::ErrorBegins(begin.to_vec()),
            None => Expected::Exactly(Reply::Error(text)),
        })
    }

    fn double(&mut self) -> Result<Expected, String> {
        self.rest = &self.rest[1..];
        let text = String::from_utf8_lossy(&self.text()?).into_owned();
        let number = text.parse().map_err(|_| format!("{text} is not a double"))?;
        Ok(Expected::Exactly(Reply::Double(number)))
    }

    fn boolean(&mut self) -> Result<Expected, String> {
        match self.text()?.as_slice() {
            b"#t" => Ok(Expected::Exactly(Reply::Bool(true))),
            b"#f" => Ok(Expected::Exactly(Reply::Bool(false))),
            _ => Err("a boolean is #t or #f".into()),
        }
    }

    fn typed(&mut self) -> Result<Expected, String> {
        let mark = *self.rest.first().ok_or("an expected reply is missing")?;
        self.rest = &self.rest[1..];
        if mark == b'=' {
            return self.verbatim();
        }
        let text = self.text()?;
        Ok(Expected::Exactly(match mark {
            b'+' => Reply::Simple(text),
            b'$' => Reply::Bulk(text),
            b'(' => Reply::BigNumber(text),
            b':' => Reply::Int(integer(&text)?),
            _ => return Err("a strict text begins with + $ : = or (".into()),
        }))
    }

    fn verbatim(&mut self) -> Result<Expected, String> {
        let (format, rest) = self.rest.split_at_checked(3).ok_or("a format has three letters")?;
        self.rest = rest;
        let format = String::from_utf8_lossy(format).into_owned();
        if !self.eat(":") {
            return Err("a format ends with a colon".into());
        }
        Ok(Expected::Exactly(Reply::Verbatim(format, self.text()?)))
    }

    fn list(&mut self, open: &str) -> Result<Vec<Expected>, String> {
        self.sequence(open, "]", Self::value)
    }

    fn pairs(&mut self) -> Result<Vec<(Expected, Expected)>, String> {
        self.sequence("{", "}", |reader| {
            reader.key = true;
            let key = reader.value()?;
            reader.key = false;
            if !reader.eat(": ") {
                return Err("a key and its value are written a: b".into());
            }
            Ok((key, reader.value()?))
        })
    }

    fn sequence<T>(
        &mut self,
        open: &str,
        close: &str,
        item: impl Fn(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        self.rest = &self.rest[open.len()..];
        self.depth += 1;
        let mut items = Vec::new();
        while !self.eat(close) {
            if !items.is_empty() && !self.eat(", ") {
                return Err(format!("elements are separated by `, ` and end with {close}"));
            }
            items.push(item(self)?);
        }
        self.depth -= 1;
        Ok(items)
    }
}

fn integer(text: &[u8]) -> Result<i64, String> {
    let text = String::from_utf8_lossy(text);
    text.parse().map_err(|_| format!("{text} is not an integer"))
}
