//! `cmsgpack`: MessagePack, as far as it has words for what Lua knows.
//!
//! Numbers without a fraction become integers. Tables with the keys 1 to n become arrays, others maps; what is nested deeper than 16
//! levels becomes nil. Decoding keeps its own stack, so that what is nested deeply costs memory and no more.

use mlua::{Lua, MultiValue, Table, Value, Variadic};

use crate::number::INTEGER_END;
use crate::raised;

/// How deep tables may be nested.
const NESTING_MAX: usize = 16;

/// How deep arrays and maps may be nested in what is decoded.
const DECODE_NESTING_MAX: usize = 1000;

/// The library.
pub(crate) fn library(lua: &Lua) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    library.raw_set("pack", lua.create_function(pack)?)?;
    library.raw_set(
        "unpack",
        lua.create_function(|lua, args: Variadic<Value>| unpack(lua, &args, 0, 0))?,
    )?;
    let one = |lua: &Lua, args: Variadic<Value>| {
        let offset = integer(lua, &args, 2, Some(0))?;
        unpack(lua, &args, 1, offset)
    };
    library.raw_set("unpack_one", lua.create_function(one)?)?;
    let limited = |lua: &Lua, args: Variadic<Value>| {
        let limit = integer(lua, &args, 2, None)?;
        let offset = integer(lua, &args, 3, Some(0))?;
        unpack(lua, &args, limit, offset)
    };
    library.raw_set("unpack_limit", lua.create_function(limited)?)?;
    library.raw_set("_NAME", "cmsgpack")?;
    library.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    library.raw_set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    Ok(library)
}

/// The integer part of an argument, wrapped to 32 bits as C does it.
fn integer(lua: &Lua, args: &[Value], nth: usize, default: Option<i64>) -> mlua::Result<i64> {
    let value = args.get(nth - 1);
    if let (None | Some(Value::Nil), Some(default)) = (value, default) {
        return Ok(default);
    }
    let number = lua.coerce_number(value.cloned().unwrap_or_default())?;
    let number = number.ok_or_else(|| raised::mistyped(lua, nth, "number", value))?;
    Ok(i64::from(number as i64 as i32))
}

fn pack(lua: &Lua, values: Variadic<Value>) -> mlua::Result<mlua::LuaString> {
    if values.is_empty() {
        return Err(raised::argument(lua, 0, "MessagePack pack needs input."));
    }
    let mut out = Vec::new();
    for value in values.iter() {
        encode(value, 0, &mut out)?;
    }
    lua.create_string(out)
}

fn encode(value: &Value, level: usize, out: &mut Vec<u8>) -> mlua::Result<()> {
    match value {
        Value::String(text) => encode_bytes(&text.as_bytes(), out),
        Value::Boolean(is_true) => out.push(if *is_true { 0xc3 } else { 0xc2 }),
        Value::Integer(number) => encode_integer(*number, out),
        Value::Number(number) => encode_number(*number, out),
        Value::Table(table) if level < NESTING_MAX => encode_table(table, level, out)?,
        _ => out.push(0xc0),
    }
    Ok(())
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    match bytes.len() {
        len @ 0..32 => out.push(0xa0 | len as u8),
        len @ 32..256 => out.extend([0xd9, len as u8]),
        len @ 256..65536 => {
            out.push(0xda);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(0xdb);
            out.extend((len as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

fn encode_number(number: f64, out: &mut Vec<u8>) {
    let is_integer = number.fract() == 0.0 && (-INTEGER_END..INTEGER_END).contains(&number);
    if is_integer {
        return encode_integer(number as i64, out);
    }
    if !number.is_nan() && f64::from(number as f32).to_bits() == number.to_bits() {
        out.push(0xca);
        out.extend((number as f32).to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend(number.to_be_bytes());
    }
}

fn encode_integer(number: i64, out: &mut Vec<u8>) {
    match number {
        -32..=0x7f => out.push(number as u8),
        0x80..=0xff => out.extend([0xcc, number as u8]),
        0x100..=0xffff => {
            out.push(0xcd);
            out.extend((number as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend((number as u32).to_be_bytes());
        }
        0x1_0000_0000.. => {
            out.push(0xcf);
            out.extend(number.to_be_bytes());
        }
        -128..=-33 => out.extend([0xd0, number as u8]),
        -32768..=-129 => {
            out.push(0xd1);
            out.extend((number as i16).to_be_bytes());
        }
        -2_147_483_648..=-32769 => {
            out.push(0xd2);
            out.extend((number as i32).to_be_bytes());
        }
        _ => {
            out.push(0xd3);
            out.extend(number.to_be_bytes());
        }
    }
}

fn encode_head(len: usize, short: u8, long: u8, out: &mut Vec<u8>) {
    match len {
        0..16 => out.push(short | len as u8),
        16..65536 => {
            out.push(long);
            out.extend((len as u16).to_be_bytes());
        }
        _ => {
            out.push(long + 1);
            out.extend((len as u32).to_be_bytes());
        }
    }
}

fn encode_table(table: &Table, level: usize, out: &mut Vec<u8>) -> mlua::Result<()> {
    let (count, is_array) = shape(table)?;
    if is_array {
        encode_head(count, 0x90, 0xdc, out);
        for nth in 1..=count {
            encode(&table.raw_get::<Value>(nth)?, level + 1, out)?;
        }
        return Ok(());
    }
    encode_head(count, 0x80, 0xde, out);
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        encode(&key, level + 1, out)?;
        encode(&value, level + 1, out)?;
    }
    Ok(())
}

/// How many entries a table has, and whether their keys are 1 to that.
fn shape(table: &Table) -> mlua::Result<(usize, bool)> {
    let (mut count, mut max, mut is_array) = (0, 0, true);
    for pair in table.pairs::<Value, Value>() {
        let (key, _) = pair?;
        count += 1;
        match key {
            Value::Integer(key) if key > 0 && i32::try_from(key).is_ok() => max = max.max(key),
            _ => is_array = false,
        }
    }
    Ok((count, is_array && max == count as i64))
}

/// Why something cannot be decoded.
enum Fault {
    Short,
    Format,
    Lua(mlua::Error),
}

impl From<mlua::Error> for Fault {
    fn from(error: mlua::Error) -> Self {
        Self::Lua(error)
    }
}

fn unpack(lua: &Lua, args: &[Value], limit: i64, offset: i64) -> mlua::Result<MultiValue> {
    let data = args.first();
    let bytes = data.and_then(raised::bytes_of);
    let bytes = bytes.ok_or_else(|| raised::mistyped(lua, 1, "string", data))?;
    if offset < 0 || limit < 0 {
        let text = format!(
            "Invalid request to unpack with offset of {offset} and limit of {}.",
            bytes.len()
        );
        return Err(raised::text(lua, text));
    }
    if offset > bytes.len() as i64 {
        let text = format!("Start offset {offset} greater than input length {}.", bytes.len());
        return Err(raised::text(lua, text));
    }
    let is_whole = limit == 0 && offset == 0;
    let limit = if is_whole { i64::from(i32::MAX) } else { limit };
    let mut source = Source { bytes: &bytes, at: offset as usize };
    let mut values = Vec::new();
    while source.at < bytes.len() && (values.len() as i64) < limit {
        if values.len() >= 7000 {
            return Err(raised::text(
                lua,
                "stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)",
            ));
        }
        values.push(source.value(lua).map_err(|fault| match fault {
            Fault::Short => raised::text(lua, "Missing bytes in input."),
            Fault::Format => raised::text(lua, "Bad data format in input."),
            Fault::Lua(error) => error,
        })?);
    }
    if !is_whole {
        let next = if source.at == bytes.len() { -1 } else { source.at as i64 };
        values.insert(0, Value::Integer(next));
    }
    Ok(MultiValue::from_iter(values))
}

struct Source<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A value, or the beginning of a table of so many entries.
enum Item {
    Value(Value),
    Array(usize),
    Map(usize),
}

/// A table whose entries are being read.
struct Open {
    table: Table,
    is_map: bool,
    left: usize,
    next: usize,
    key: Option<Value>,
}

impl<'a> Source<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len());
        let bytes = &self.bytes[self.at..end.ok_or(Fault::Short)?];
        self.at += len;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        Ok(self.take(N)?.try_into().expect("taken so many"))
    }

    fn len(&mut self, bytes: usize) -> Result<usize, Fault> {
        Ok(self.take(bytes)?.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)))
    }

    fn string(&mut self, lua: &Lua, len: usize) -> Result<Item, Fault> {
        Ok(Item::Value(Value::String(lua.create_string(self.take(len)?)?)))
    }

    fn item(&mut self, lua: &Lua) -> Result<Item, Fault> {
        let first = self.take(1)?[0];
        let integer = |number: i64| Item::Value(Value::Integer(number));
        let number = |number: f64| Item::Value(Value::Number(number));
        Ok(match first {
            0x00..=0x7f => integer(i64::from(first)),
            0x80..=0x8f => Item::Map(usize::from(first & 15)),
            0x90..=0x9f => Item::Array(usize::from(first & 15)),
            0xa0..=0xbf => self.string(lua, usize::from(first & 31))?,
            0xc0 => Item::Value(Value::Nil),
            0xc2 | 0xc3 => Item::Value(Value::Boolean(first == 0xc3)),
            0xca => number(f64::from(f32::from_be_bytes(self.array()?))),
            0xcb => number(f64::from_be_bytes(self.array()?)),
            0xcc => integer(i64::from(self.array::<1>()?[0])),
            0xcd => integer(i64::from(u16::from_be_bytes(self.array()?))),
            0xce => integer(i64::from(u32::from_be_bytes(self.array()?))),
            // C hands the 64 bits to Lua with a sign.
            0xcf | 0xd3 => integer(i64::from_be_bytes(self.array()?)),
            0xd0 => integer(i64::from(self.array::<1>()?[0] as i8)),
            0xd1 => integer(i64::from(i16::from_be_bytes(self.array()?))),
            0xd2 => integer(i64::from(i32::from_be_bytes(self.array()?))),
            0xd9..=0xdb => {
                let len = self.len(1 << (first - 0xd9))?;
                self.string(lua, len)?
            }
            0xdc | 0xdd => Item::Array(self.len(2 << (first - 0xdc))?),
            0xde | 0xdf => Item::Map(self.len(2 << (first - 0xde))?),
            0xe0..=0xff => integer(i64::from(first as i8)),
            _ => return Err(Fault::Format),
        })
    }

    /// One value with all that is in it.
    fn value(&mut self, lua: &Lua) -> Result<Value, Fault> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            let mut value = match self.item(lua)? {
                Item::Value(value) => value,
                Item::Array(0) | Item::Map(0) => Value::Table(lua.create_table()?),
                item => {
                    let (left, is_map) = match item {
                        Item::Map(len) => (len.saturating_mul(2), true),
                        Item::Array(len) => (len, false),
                        Item::Value(_) => unreachable!("matched above"),
                    };
                    if open.len() == DECODE_NESTING_MAX {
                        return Err(Fault::Format);
                    }
                    open.push(Open {
                        table: lua.create_table()?,
                        is_map,
                        left,
                        next: 1,
                        key: None,
                    });
                    continue;
                }
            };
            // A value closes the table that it completes, which is a value in turn.
            loop {
                let Some(last) = open.last_mut() else { return Ok(value) };
                last.add(lua, value)?;
                if last.left > 0 {
                    break;
                }
                value = Value::Table(open.pop().expect("there is a last one").table);
            }
        }
    }
}

impl Open {
    fn add(&mut self, lua: &Lua, value: Value) -> Result<(), Fault> {
        self.left -= 1;
        if !self.is_map {
            self.table.raw_set(self.next, value)?;
            self.next += 1;
            return Ok(());
        }
        match self.key.take() {
            None => self.key = Some(value),
            Some(Value::Nil) => return Err(raised::text(lua, "table index is nil").into()),
            Some(Value::Number(key)) if key.is_nan() => {
                return Err(raised::text(lua, "table index is NaN").into());
            }
            Some(key) => self.table.raw_set(key, value)?,
        }
        Ok(())
    }
}
