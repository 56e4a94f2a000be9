//! Replies to Lua values, and Lua values to replies.
//!
//! Both go straight between bytes and Lua's stack; see `stack.rs` for what that asks of the functions here.

use std::ffi::CStr;

use russet_engine::number::parse_i64;
use russet_resp::Writer;

use crate::number::INTEGER_END;
use crate::stack::{Kind, Stack};

/// How deep a table may be nested in a reply.
const NESTING_MAX: usize = 500;

/// Items of a table that is looked through before it is asked for names.
const SHORT_MAX: usize = 8;

/// Values that stand on the stack at most for each level of nesting.
const VALUES_PER_LEVEL: i32 = 6;

/// Puts a reply there as a script sees it. The bytes are this server's own, so they are whole. May jump.
pub(crate) fn push_reply(stack: Stack, bytes: &[u8]) {
    Reply { stack, bytes, at: 0 }.push();
}

/// Puts an error reply there that is no command's. May jump.
pub(crate) fn push_refusal(stack: Stack, message: &str) {
    stack.push_table(0, 1);
    stack.push_text(b"ERR ");
    stack.push_text(message.as_bytes());
    stack.concat(2);
    stack.set_field(c"err");
}

struct Reply<'a> {
    stack: Stack,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reply<'a> {
    fn line(&mut self) -> (u8, &'a [u8]) {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\r').unwrap_or(rest.len());
        self.at += end + 2;
        (rest.first().copied().unwrap_or(b'_'), rest.get(1..end).unwrap_or_default())
    }

    fn bulk(&mut self, len: usize) -> &'a [u8] {
        let bytes = &self.bytes[self.at..self.at + len];
        self.at += len + 2;
        bytes
    }

    /// A table with one name for a text.
    fn push_named(&self, name: &'static CStr, text: &[u8]) {
        self.stack.push_table(0, 1);
        self.stack.push_text(text);
        self.stack.set_field(name);
    }

    fn push(&mut self) {
        let stack = self.stack;
        let (kind, line) = self.line();
        let number = || parse_i64(line).unwrap_or_default();
        match kind {
            b':' => stack.push_number(number() as f64),
            b'$' | b'*' if line.first() == Some(&b'-') => stack.push_boolean(false),
            b'$' => stack.push_text(self.bulk(number() as usize)),
            b'+' => self.push_named(c"ok", line),
            b'-' => {
                self.push_named(c"err", line);
                stack.push_boolean(true);
                stack.set_field(c"ignore_error_stats_update");
            }
            b'*' | b'>' => self.push_array(number() as usize),
            b'%' => self.push_map(number() as usize),
            b'~' => self.push_set(number() as usize),
            b'#' => stack.push_boolean(line == b"t"),
            b',' => {
                stack.push_table(0, 1);
                stack.push_number(double(line));
                stack.set_field(c"double");
            }
            b'(' => self.push_named(c"big_number", line),
            b'=' => self.push_verbatim(number() as usize),
            b'|' => {
                for _ in 0..number() * 2 {
                    self.push();
                    stack.pop(1);
                }
                self.push();
            }
            _ => stack.push_nil(),
        }
    }

    /// Makes room for one more level of a reply; raises an error when there is none.
    fn deepen(&self) {
        if !self.stack.reserve(VALUES_PER_LEVEL) {
            push_refusal(self.stack, "reached lua stack limit");
            self.stack.raise();
        }
    }

    fn push_array(&mut self, len: usize) {
        self.deepen();
        self.stack.push_table(len, 0);
        for nth in 1..=len {
            self.push();
            self.stack.set_item(nth);
        }
    }

    fn push_map(&mut self, len: usize) {
        self.deepen();
        self.stack.push_table(0, 1);
        self.stack.push_table(0, len);
        for _ in 0..len {
            self.push();
            self.push();
            self.enter();
        }
        self.stack.set_field(c"map");
    }

    fn push_set(&mut self, len: usize) {
        self.deepen();
        self.stack.push_table(0, 1);
        self.stack.push_table(0, len);
        for _ in 0..len {
            self.push();
            self.stack.push_boolean(true);
            self.enter();
        }
        self.stack.set_field(c"set");
    }

    /// Enters key and value; `nil` is no key.
    fn enter(&self) {
        if self.stack.kind(-2) == Kind::Nil { self.stack.pop(2) } else { self.stack.set() }
    }

    fn push_verbatim(&mut self, len: usize) {
        let (bytes, stack) = (self.bulk(len), self.stack);
        self.deepen();
        stack.push_table(0, 1);
        stack.push_table(0, 2);
        stack.push_text(bytes.get(4..).unwrap_or_default());
        stack.set_field(c"string");
        stack.push_text(bytes.get(..3).unwrap_or_default());
        stack.set_field(c"format");
        stack.set_field(c"verbatim_string");
    }
}

fn double(line: &[u8]) -> f64 {
    match line {
        b"inf" => f64::INFINITY,
        b"-inf" => f64::NEG_INFINITY,
        b"nan" => f64::NAN,
        _ => std::str::from_utf8(line).ok().and_then(|text| text.parse().ok()).unwrap_or_default(),
    }
}

/// A text that stays one frame, whatever the script put into it. What follows a zero byte is not sent, as in C.
pub(crate) fn one_line(text: &[u8]) -> Vec<u8> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |at| at + 1);
    plain(&text[..end])
}

/// Without ends of line.
fn plain(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect()
}

/// An error reply that a script returned as its result.
#[derive(Debug)]
pub(crate) struct ReturnedError {
    /// Its text, in one line.
    pub(crate) text: Vec<u8>,
    /// Whether it has been counted.
    pub(crate) is_counted: bool,
}

/// Writes the value on top, which is what a script returned, unless it is an error: that goes to `error`. `is_resp3` if the script chose
/// to see RESP3: then booleans are booleans. May jump.
pub(crate) fn write_result(
    stack: Stack,
    writer: &mut Writer<'_>,
    is_resp3: bool,
    error: &mut Option<ReturnedError>,
) {
    let answer = &mut Answer { stack, writer, is_resp3 };
    if stack.kind(-1) == Kind::Table && !answer.write_short_array() {
        let is_error = stack.push_field("err") == Kind::Text;
        if is_error {
            let is_counted = is_counted(stack);
            let text = stack.with_text(-1, one_line);
            *error = Some(ReturnedError { text, is_counted });
            return stack.pop(1);
        }
        stack.pop(1);
        answer.write_table(0);
    } else if stack.kind(-1) != Kind::Table {
        answer.write(0);
    }
}

/// Whether the error whose text is on top, and whose table is below it, has been counted. May jump.
fn is_counted(stack: Stack) -> bool {
    stack.push_again(-2);
    stack.push_field("ignore_error_stats_update");
    let is_counted = stack.kind(-1) == Kind::Boolean && stack.is_true(-1);
    stack.pop(2);
    is_counted
}

/// A value of a script on its way to the client. Each method finds its value on top of the stack and leaves it there.
struct Answer<'a, 'w> {
    stack: Stack,
    writer: &'a mut Writer<'w>,
    is_resp3: bool,
}

impl Answer<'_, '_> {
    fn write(&mut self, depth: usize) {
        let stack = self.stack;
        match stack.kind(-1) {
            Kind::Text => stack.with_text(-1, |text| self.writer.bulk(text)),
            Kind::Number => self.writer.integer(truncated(stack.number(-1))),
            Kind::Boolean if self.is_resp3 => self.writer.boolean(stack.is_true(-1)),
            Kind::Boolean if stack.is_true(-1) => self.writer.integer(1),
            Kind::Table if depth < NESTING_MAX && stack.reserve(VALUES_PER_LEVEL) => {
                self.write_table(depth);
            }
            Kind::Table => self.writer.error("ERR reached lua stack limit"),
            _ => self.writer.null(),
        }
    }

    /// Writes a table of few items, none of them tables, and no names: what most scripts return that return more than one value. Says
    /// no, and writes nothing, if it is another one.
    fn write_short_array(&mut self) -> bool {
        let (stack, mut len) = (self.stack, 0);
        stack.push_nil();
        while stack.next() {
            let next = (len + 1) as f64;
            let is_next =
                stack.kind(-2) == Kind::Number && stack.number(-2).to_bits() == next.to_bits();
            if !is_next || stack.kind(-1) == Kind::Table || len == SHORT_MAX {
                stack.pop(2);
                return false;
            }
            stack.pop(1);
            len += 1;
        }
        self.writer.array(len);
        for nth in 1..=len {
            stack.push_item(-1, nth);
            self.write(0);
            stack.pop(1);
        }
        true
    }

    /// Writes a table by the one name that says what it is, or as an array.
    fn write_table(&mut self, depth: usize) {
        let stack = self.stack;
        let is_written = self.write_if(Kind::Text, "err", |answer| {
            stack.with_text(-1, |text| answer.writer.error_bytes(&one_line(text)));
        }) || self.write_if(Kind::Text, "ok", Self::write_status)
            || self.write_if(Kind::Number, "double", |answer| {
                answer.writer.double(stack.number(-1));
            })
            || self.write_if(Kind::Table, "map", |answer| answer.write_map(depth))
            || self.write_if(Kind::Table, "set", |answer| answer.write_set(depth))
            || self.write_if(Kind::Text, "big_number", |answer| {
                let digits = stack.with_text(-1, plain);
                answer.writer.big_number(&String::from_utf8_lossy(&digits));
            })
            || self.write_verbatim();
        if !is_written {
            self.write_array(depth);
        }
    }

    /// Writes what the table has under a name, if it is of that kind.
    fn write_if(&mut self, kind: Kind, name: &'static str, write: impl FnOnce(&mut Self)) -> bool {
        let is_it = self.stack.push_field(name) == kind;
        if is_it {
            write(self);
        }
        self.stack.pop(1);
        is_it
    }

    fn write_status(&mut self) {
        // What follows a zero byte is not sent, as in C.
        self.stack.with_text(-1, |text| {
            let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
            self.writer.raw(b"+");
            self.writer.raw(&plain(&text[..end]));
            self.writer.crlf();
        });
    }

    fn write_verbatim(&mut self) -> bool {
        let stack = self.stack;
        let mut is_written = false;
        self.write_if(Kind::Table, "verbatim_string", |answer| {
            let has_format = stack.push_field("format") == Kind::Text;
            stack.push_again(-2);
            is_written = stack.push_field("string") == Kind::Text && has_format;
            if is_written {
                stack.with_text(-1, |text| {
                    stack.with_text(-3, |format| write_verbatim(answer.writer, format, text));
                });
            }
            stack.pop(3);
        });
        is_written
    }

    fn write_map(&mut self, depth: usize) {
        self.writer.map(self.count());
        self.stack.push_nil();
        while self.stack.next() {
            self.stack.push_again(-2);
            self.write(depth + 1);
            self.stack.pop(1);
            self.write(depth + 1);
            self.stack.pop(1);
        }
    }

    fn write_set(&mut self, depth: usize) {
        self.writer.set(self.count());
        self.stack.push_nil();
        while self.stack.next() {
            self.stack.pop(1);
            self.stack.push_again(-1);
            self.write(depth + 1);
            self.stack.pop(1);
        }
    }

    /// How many entries the table has.
    fn count(&self) -> usize {
        let mut count = 0;
        self.stack.push_nil();
        while self.stack.next() {
            self.stack.pop(1);
            count += 1;
        }
        count
    }

    /// Writes items up to the first that is missing.
    fn write_array(&mut self, depth: usize) {
        let (mark, mut len) = (self.writer.out.mark(), 0);
        loop {
            self.stack.push_item(-1, len + 1);
            if self.stack.kind(-1) == Kind::Nil {
                self.stack.pop(1);
                break;
            }
            self.write(depth + 1);
            self.stack.pop(1);
            len += 1;
        }
        self.writer.array_at(mark, len);
    }
}

/// The format has three bytes: cut or filled with blanks; `txt` where it has any that might end the frame.
fn write_verbatim(writer: &mut Writer<'_>, format: &[u8], text: &[u8]) {
    let mut three = [b' '; 3];
    three.iter_mut().zip(format).for_each(|(byte, given)| *byte = *given);
    let is_plain = three.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let format = if is_plain { std::str::from_utf8(&three).unwrap_or("txt") } else { "txt" };
    writer.verbatim(format, text);
}

/// The integer part, as C casts it.
fn truncated(number: f64) -> i64 {
    let fits = (-INTEGER_END..INTEGER_END).contains(&number);
    if fits { number as i64 } else { i64::MIN }
}
