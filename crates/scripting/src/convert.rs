//! Replies to Lua values, and Lua values to replies.

use mlua::{Lua, LuaString, Table, Value};
use russet_resp::Writer;

use crate::number::INTEGER_END;
use crate::raised;

/// How deep a table may be nested in a reply.
const NESTING_MAX: usize = 500;

/// A reply as a script sees it. The bytes are this server's own, so they are whole.
pub(crate) fn to_lua(lua: &Lua, bytes: &[u8]) -> mlua::Result<Value> {
    Reply { lua, bytes, at: 0 }.value()
}

struct Reply<'a> {
    lua: &'a Lua,
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

    fn tagged(&self, name: &str, value: Value) -> mlua::Result<Value> {
        let table = self.lua.create_table()?;
        table.raw_set(name, value)?;
        Ok(Value::Table(table))
    }

    fn text(&self, bytes: &[u8]) -> mlua::Result<Value> {
        Ok(Value::String(self.lua.create_string(bytes)?))
    }

    fn value(&mut self) -> mlua::Result<Value> {
        let (kind, line) = self.line();
        let number = || integer(line);
        match kind {
            b':' => Ok(Value::Integer(number())),
            b'$' | b'*' if line.first() == Some(&b'-') => Ok(Value::Boolean(false)),
            b'$' => {
                let bytes = self.bulk(number() as usize);
                self.text(bytes)
            }
            b'+' => self.tagged("ok", self.text(line)?),
            b'-' => Ok(Value::Table(raised::table(self.lua, line, true)?)),
            b'*' | b'>' => self.array(number() as usize),
            b'%' => self.map(number() as usize),
            b'~' => self.set(number() as usize),
            b'#' => Ok(Value::Boolean(line == b"t")),
            b',' => self.tagged("double", Value::Number(double(line))),
            b'(' => self.tagged("big_number", self.text(line)?),
            b'=' => self.verbatim(number() as usize),
            b'|' => {
                for _ in 0..number() * 2 {
                    self.value()?;
                }
                self.value()
            }
            _ => Ok(Value::Nil),
        }
    }

    fn array(&mut self, len: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table_with_capacity(len, 0)?;
        for nth in 1..=len {
            table.raw_set(nth, self.value()?)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, len: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table_with_capacity(0, len)?;
        for _ in 0..len {
            let key = self.value()?;
            let value = self.value()?;
            if !matches!(key, Value::Nil) {
                table.raw_set(key, value)?;
            }
        }
        self.tagged("map", Value::Table(table))
    }

    fn set(&mut self, len: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table_with_capacity(0, len)?;
        for _ in 0..len {
            let member = self.value()?;
            if !matches!(member, Value::Nil) {
                table.raw_set(member, true)?;
            }
        }
        self.tagged("set", Value::Table(table))
    }

    fn verbatim(&mut self, len: usize) -> mlua::Result<Value> {
        let bytes = self.bulk(len);
        let table = self.lua.create_table()?;
        table.raw_set("string", self.text(bytes.get(4..).unwrap_or_default())?)?;
        table.raw_set("format", self.text(bytes.get(..3).unwrap_or_default())?)?;
        self.tagged("verbatim_string", Value::Table(table))
    }
}

fn integer(line: &[u8]) -> i64 {
    russet_engine::number::parse_i64(line).unwrap_or_default()
}

fn double(line: &[u8]) -> f64 {
    match line {
        b"inf" => f64::INFINITY,
        b"-inf" => f64::NEG_INFINITY,
        b"nan" => f64::NAN,
        _ => std::str::from_utf8(line).ok().and_then(|text| text.parse().ok()).unwrap_or_default(),
    }
}

/// An error reply that a script returned as its result: its text, and whether it has been counted.
pub(crate) fn error_of(value: &Value) -> mlua::Result<Option<(Vec<u8>, bool)>> {
    let Value::Table(table) = value else { return Ok(None) };
    let Value::String(text) = table.raw_get("err")? else { return Ok(None) };
    let ignored: Value = table.raw_get("ignore_error_stats_update")?;
    Ok(Some((one_line(&text.as_bytes()), matches!(ignored, Value::Boolean(true)))))
}

/// A text that stays one frame, whatever the script put into it.
pub(crate) fn one_line(text: &[u8]) -> Vec<u8> {
    let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |at| at + 1);
    let plain = |byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte };
    text[..end].iter().map(plain).collect()
}

/// Writes what a script returned. `is_resp3` if the script chose to see RESP3: then booleans are booleans.
pub(crate) fn reply(writer: &mut Writer<'_>, value: &Value, is_resp3: bool) -> mlua::Result<()> {
    Answer { writer, is_resp3 }.value(value, 0)
}

struct Answer<'a, 'w> {
    writer: &'a mut Writer<'w>,
    is_resp3: bool,
}

impl Answer<'_, '_> {
    fn value(&mut self, value: &Value, depth: usize) -> mlua::Result<()> {
        if depth > NESTING_MAX {
            self.writer.error("ERR reached lua stack limit");
            return Ok(());
        }
        match value {
            Value::String(text) => self.writer.bulk(&text.as_bytes()),
            Value::Boolean(is_true) if self.is_resp3 => self.writer.boolean(*is_true),
            Value::Boolean(true) => self.writer.integer(1),
            Value::Integer(number) => self.writer.integer(*number),
            Value::Number(number) => self.writer.integer(truncated(*number)),
            Value::Table(table) => self.table(table, depth)?,
            _ => self.writer.null(),
        }
        Ok(())
    }

    fn table(&mut self, table: &Table, depth: usize) -> mlua::Result<()> {
        if let Value::String(text) = table.raw_get("err")? {
            self.writer.error_bytes(&one_line(&text.as_bytes()));
            return Ok(());
        }
        if let Value::String(text) = table.raw_get("ok")? {
            self.status(&text);
            return Ok(());
        }
        match table.raw_get("double")? {
            Value::Number(number) => {
                self.writer.double(number);
                return Ok(());
            }
            Value::Integer(number) => {
                self.writer.double(number as f64);
                return Ok(());
            }
            _ => {}
        }
        if let Value::String(digits) = table.raw_get("big_number")? {
            let digits = plain(&digits.as_bytes());
            self.writer.big_number(&String::from_utf8_lossy(&digits));
            return Ok(());
        }
        if let Value::Table(parts) = table.raw_get("verbatim_string")?
            && let Value::String(format) = parts.raw_get("format")?
            && let Value::String(text) = parts.raw_get("string")?
        {
            let format = format.as_bytes();
            let is_format = format.len() == 3 && format.iter().all(u8::is_ascii_alphanumeric);
            let format = if is_format { String::from_utf8_lossy(&format) } else { "txt".into() };
            self.writer.verbatim(&format, &text.as_bytes());
            return Ok(());
        }
        if let Value::Table(map) = table.raw_get("map")? {
            return self.map(&map, depth);
        }
        if let Value::Table(set) = table.raw_get("set")? {
            return self.set(&set, depth);
        }
        self.array(table, depth)
    }

    fn status(&mut self, text: &LuaString) {
        // What follows a zero byte is not sent, as in C.
        let bytes = plain(&text.as_bytes());
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        self.writer.raw(b"+");
        self.writer.raw(&bytes[..end]);
        self.writer.crlf();
    }

    fn map(&mut self, map: &Table, depth: usize) -> mlua::Result<()> {
        self.writer.map(count(map)?);
        for pair in map.pairs::<Value, Value>() {
            let (key, value) = pair?;
            self.value(&key, depth + 1)?;
            self.value(&value, depth + 1)?;
        }
        Ok(())
    }

    fn set(&mut self, set: &Table, depth: usize) -> mlua::Result<()> {
        self.writer.set(count(set)?);
        for pair in set.pairs::<Value, Value>() {
            self.value(&pair?.0, depth + 1)?;
        }
        Ok(())
    }

    fn array(&mut self, table: &Table, depth: usize) -> mlua::Result<()> {
        let (mark, mut len) = (self.writer.out.mark(), 0);
        loop {
            let value: Value = table.raw_get(len + 1)?;
            if matches!(value, Value::Nil) {
                break;
            }
            self.value(&value, depth + 1)?;
            len += 1;
        }
        self.writer.array_at(mark, len);
        Ok(())
    }
}

/// How many entries a table has.
fn count(table: &Table) -> mlua::Result<usize> {
    table.pairs::<Value, Value>().try_fold(0, |count, pair| pair.map(|_| count + 1))
}

/// Without ends of line.
fn plain(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect()
}

/// The integer part, as C casts it.
fn truncated(number: f64) -> i64 {
    let fits = (-INTEGER_END..INTEGER_END).contains(&number);
    if fits { number as i64 } else { i64::MIN }
}
