//! `cjson`: JSON as Redis' scripts know it.
//!
//! What differs from JSON as others write it: a table with the keys 1 to n is an array, an empty one an object; arrays with holes are
//! filled with null, unless they are too sparse; `/` is escaped; numbers have 14 digits; null is `cjson.null`, a value of its own. Errors
//! name the character, counted from 1.
//!
//! Settings last for one script: see [`reset`]. In Redis they last for ever.

use std::cell::Cell;

use mlua::{Lua, LuaString, Table, Value, Variadic};

use crate::raised;

/// How deep tables may be nested, whatever a script sets.
const NESTING_MAX: usize = 1000;

/// What `encode` does with numbers that JSON has no words for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Invalid {
    Refuse,
    Write,
    Null,
}

/// The settings.
#[derive(Clone, Copy, Debug)]
struct Settings {
    sparse_convert: bool,
    sparse_ratio: i64,
    sparse_safe: i64,
    encode_depth: i64,
    decode_depth: i64,
    encode_invalid: Invalid,
    decode_invalid: bool,
    precision: i64,
    keep_buffer: bool,
    array_metatable: bool,
}

impl Settings {
    const DEFAULT: Self = Self {
        sparse_convert: false,
        sparse_ratio: 2,
        sparse_safe: 10,
        encode_depth: NESTING_MAX as i64,
        decode_depth: NESTING_MAX as i64,
        encode_invalid: Invalid::Refuse,
        decode_invalid: true,
        precision: 14,
        keep_buffer: true,
        array_metatable: false,
    };
}

thread_local! {
    static SETTINGS: Cell<Settings> = const { Cell::new(Settings::DEFAULT) };
}

/// Forgets what the last script has set.
pub(crate) fn reset() {
    SETTINGS.set(Settings::DEFAULT);
}

/// The mark on the metatable of decoded arrays, where a script asked for one.
const ARRAY_MARK: &str = "__is_cjson_array";

/// The library.
pub(crate) fn library(lua: &Lua) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    library.raw_set("encode", lua.create_function(encode)?)?;
    library.raw_set("decode", lua.create_function(decode)?)?;
    // Its settings are those of the script.
    library.raw_set("new", lua.create_function(|lua, ()| self::library(lua))?)?;
    let number = |field: fn(&mut Settings) -> &mut i64, max: i64| {
        lua.create_function(move |lua, args: Variadic<Value>| {
            at_most(lua, &args, 1)?;
            integer_option(lua, &args, 1, field, 1, max)
        })
    };
    let max = i64::from(i32::MAX);
    library.raw_set("encode_max_depth", number(|s| &mut s.encode_depth, max)?)?;
    library.raw_set("decode_max_depth", number(|s| &mut s.decode_depth, max)?)?;
    library.raw_set("encode_number_precision", number(|s| &mut s.precision, 14)?)?;
    let switch = |field: fn(&mut Settings) -> &mut bool| {
        lua.create_function(move |lua, args: Variadic<Value>| {
            at_most(lua, &args, 1)?;
            switch_option(lua, &args, field)
        })
    };
    library.raw_set("encode_keep_buffer", switch(|s| &mut s.keep_buffer)?)?;
    library.raw_set("decode_invalid_numbers", switch(|s| &mut s.decode_invalid)?)?;
    library.raw_set("decode_array_with_array_mt", switch(|s| &mut s.array_metatable)?)?;
    library.raw_set("encode_invalid_numbers", lua.create_function(set_encode_invalid)?)?;
    library.raw_set("encode_sparse_array", lua.create_function(set_sparse)?)?;
    library.raw_set("null", Value::NULL)?;
    library.raw_set("_NAME", "cjson")?;
    library.raw_set("_VERSION", "2.1.0")?;
    Ok(library)
}

fn at_most(lua: &Lua, args: &[Value], count: usize) -> mlua::Result<()> {
    if args.len() > count {
        return Err(raised::argument(lua, count + 1, "found too many arguments"));
    }
    Ok(())
}

fn change<R>(work: impl FnOnce(&mut Settings) -> R) -> R {
    let mut settings = SETTINGS.get();
    let result = work(&mut settings);
    SETTINGS.set(settings);
    result
}

fn integer_option(
    lua: &Lua,
    args: &[Value],
    nth: usize,
    field: fn(&mut Settings) -> &mut i64,
    min: i64,
    max: i64,
) -> mlua::Result<i64> {
    let value = args.get(nth - 1);
    let number = match value {
        None | Some(Value::Nil) => return Ok(change(|settings| *field(settings))),
        Some(given) => {
            lua.coerce_number(given.clone())?
                .ok_or_else(|| raised::mistyped(lua, nth, "number", value))? as i64
        }
    };
    if !(min..=max).contains(&number) {
        let text = format!("expected integer between {min} and {max}");
        // C means the first one, whichever it was.
        return Err(raised::argument(lua, 1, text));
    }
    change(|settings| *field(settings) = number);
    Ok(number)
}

fn switch_option(
    lua: &Lua,
    args: &[Value],
    field: fn(&mut Settings) -> &mut bool,
) -> mlua::Result<bool> {
    let is_on = match args.first() {
        None | Some(Value::Nil) => return Ok(change(|settings| *field(settings))),
        Some(Value::Boolean(is_on)) => *is_on,
        Some(value) => option(lua, value, &["off", "on"])? == 1,
    };
    change(|settings| *field(settings) = is_on);
    Ok(is_on)
}

fn option(lua: &Lua, value: &Value, options: &[&str]) -> mlua::Result<usize> {
    let text = raised::bytes_of(value);
    let text = text.ok_or_else(|| raised::mistyped(lua, 1, "string", Some(value)))?;
    options.iter().position(|option| option.as_bytes() == text).ok_or_else(|| {
        let text = format!("invalid option '{}'", String::from_utf8_lossy(&text));
        raised::argument(lua, 1, text)
    })
}

fn set_encode_invalid(lua: &Lua, args: Variadic<Value>) -> mlua::Result<Value> {
    at_most(lua, &args, 1)?;
    let chosen = match args.first() {
        None | Some(Value::Nil) => SETTINGS.get().encode_invalid,
        Some(Value::Boolean(true)) => Invalid::Write,
        Some(Value::Boolean(false)) => Invalid::Refuse,
        Some(value) => match option(lua, value, &["off", "on", "null"])? {
            0 => Invalid::Refuse,
            1 => Invalid::Write,
            _ => Invalid::Null,
        },
    };
    change(|settings| settings.encode_invalid = chosen);
    Ok(match chosen {
        Invalid::Null => Value::String(lua.create_string("null")?),
        chosen => Value::Boolean(chosen == Invalid::Write),
    })
}

fn set_sparse(lua: &Lua, args: Variadic<Value>) -> mlua::Result<(bool, i64, i64)> {
    at_most(lua, &args, 3)?;
    let max = i64::from(i32::MAX);
    Ok((
        switch_option(lua, &args, |s| &mut s.sparse_convert)?,
        integer_option(lua, &args, 2, |s| &mut s.sparse_ratio, 0, max)?,
        integer_option(lua, &args, 3, |s| &mut s.sparse_safe, 0, max)?,
    ))
}

// Encoding.

fn encode(lua: &Lua, args: Variadic<Value>) -> mlua::Result<LuaString> {
    let [value] = &args[..] else {
        return Err(raised::argument(lua, 1, "expected 1 argument"));
    };
    let mut encoder = Encoder { lua, settings: SETTINGS.get(), out: Vec::new() };
    encoder.value(value, 0)?;
    lua.create_string(encoder.out)
}

struct Encoder<'a> {
    lua: &'a Lua,
    settings: Settings,
    out: Vec<u8>,
}

impl Encoder<'_> {
    fn refuse(&self, value: &Value, reason: &str) -> mlua::Error {
        let found = crate::type_name(value);
        raised::text(self.lua, format!("Cannot serialise {found}: {reason}"))
    }

    fn value(&mut self, value: &Value, depth: usize) -> mlua::Result<()> {
        match value {
            Value::String(text) => self.string(&text.as_bytes()),
            Value::Integer(number) => self.number(*number as f64, value)?,
            Value::Number(number) => self.number(*number, value)?,
            Value::Boolean(is_true) => {
                self.out.extend_from_slice(if *is_true { b"true" } else { b"false" });
            }
            Value::Table(table) => self.table(table, depth + 1)?,
            Value::Nil => self.out.extend_from_slice(b"null"),
            value if *value == Value::NULL => self.out.extend_from_slice(b"null"),
            value => return Err(self.refuse(value, "type not supported")),
        }
        Ok(())
    }

    fn table(&mut self, table: &Table, depth: usize) -> mlua::Result<()> {
        if depth > NESTING_MAX || depth as i64 > self.settings.encode_depth {
            let text = format!("Cannot serialise, excessive nesting ({depth})");
            return Err(raised::text(self.lua, text));
        }
        let marked = table.metatable().map_or(Ok(false), |marks| marks.raw_get(ARRAY_MARK))?;
        match self.array_len(table)? {
            Some(len) if len > 0 || marked => self.array(table, len, depth),
            _ => self.object(table, depth),
        }
    }

    /// The largest key, if all keys are positive integers and few enough are missing.
    fn array_len(&self, table: &Table) -> mlua::Result<Option<i64>> {
        let (mut max, mut count) = (0, 0_i64);
        for pair in table.pairs::<Value, Value>() {
            let (key, _) = pair?;
            match key {
                Value::Integer(key) if key >= 1 && key <= i64::from(i32::MAX) => max = max.max(key),
                _ => return Ok(None),
            }
            count += 1;
        }
        let settings = &self.settings;
        let ratio = settings.sparse_ratio;
        let is_sparse =
            ratio > 0 && max > count.saturating_mul(ratio) && max > settings.sparse_safe;
        if is_sparse && !settings.sparse_convert {
            return Err(self.refuse(&Value::Table(table.clone()), "excessively sparse array"));
        }
        Ok((!is_sparse).then_some(max))
    }

    fn array(&mut self, table: &Table, len: i64, depth: usize) -> mlua::Result<()> {
        self.out.push(b'[');
        for nth in 1..=len {
            if nth > 1 {
                self.out.push(b',');
            }
            self.value(&table.raw_get(nth)?, depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, table: &Table, depth: usize) -> mlua::Result<()> {
        self.out.push(b'{');
        for (nth, pair) in table.pairs::<Value, Value>().enumerate() {
            let (key, value) = pair?;
            if nth > 0 {
                self.out.push(b',');
            }
            self.key(&key)?;
            self.out.push(b':');
            self.value(&value, depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn key(&mut self, key: &Value) -> mlua::Result<()> {
        match key {
            Value::String(text) => self.string(&text.as_bytes()),
            Value::Integer(_) | Value::Number(_) => {
                let number = if let Value::Integer(n) = key {
                    *n as f64
                } else {
                    key.as_f64().unwrap_or_default()
                };
                self.out.push(b'"');
                self.number(number, key)?;
                self.out.push(b'"');
            }
            key => return Err(self.refuse(key, "table key must be a number or string")),
        }
        Ok(())
    }

    fn number(&mut self, number: f64, value: &Value) -> mlua::Result<()> {
        if !number.is_finite() {
            match self.settings.encode_invalid {
                Invalid::Refuse => return Err(self.refuse(value, "must not be NaN or Inf")),
                Invalid::Null => self.out.extend_from_slice(b"null"),
                Invalid::Write if number.is_nan() => self.out.extend_from_slice(b"nan"),
                Invalid::Write => {
                    self.out.extend_from_slice(if number > 0.0 { b"inf" } else { b"-inf" });
                }
            }
            return Ok(());
        }
        let text = crate::number::general(number, self.settings.precision as usize);
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        self.out.push(b'"');
        for byte in text {
            match byte {
                b'"' => self.out.extend_from_slice(b"\\\""),
                b'\\' => self.out.extend_from_slice(b"\\\\"),
                b'/' => self.out.extend_from_slice(b"\\/"),
                0x08 => self.out.extend_from_slice(b"\\b"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                0x0c => self.out.extend_from_slice(b"\\f"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                0..0x20 | 0x7f => self.out.extend(format!("\\u{byte:04x}").bytes()),
                byte => self.out.push(*byte),
            }
        }
        self.out.push(b'"');
    }
}

// Decoding.

fn decode(lua: &Lua, args: Variadic<Value>) -> mlua::Result<Value> {
    let [value] = &args[..] else {
        return Err(raised::argument(lua, 1, "expected 1 argument"));
    };
    let text = raised::bytes_of(value);
    let text = text.ok_or_else(|| raised::mistyped(lua, 1, "string", Some(value)))?;
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        return Err(raised::text(lua, "JSON parser does not support UTF-16 or UTF-32"));
    }
    Decoder { lua, settings: SETTINGS.get(), text: &text, at: 0, array_metatable: None }.document()
}

#[derive(Debug)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Colon,
    Comma,
    String(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    End,
    Error(&'static str),
}

impl Token {
    const fn name(&self) -> &'static str {
        match self {
            Self::ObjectBegin => "T_OBJ_BEGIN",
            Self::ObjectEnd => "T_OBJ_END",
            Self::ArrayBegin => "T_ARR_BEGIN",
            Self::ArrayEnd => "T_ARR_END",
            Self::Colon => "T_COLON",
            Self::Comma => "T_COMMA",
            Self::String(_) => "T_STRING",
            Self::Number(_) => "T_NUMBER",
            Self::Boolean(_) => "T_BOOLEAN",
            Self::Null => "T_NULL",
            Self::End => "T_END",
            Self::Error(text) => text,
        }
    }
}

/// A table whose entries are being read: an array's next index, or an object's key.
enum Open {
    Array(Table, usize),
    Object(Table, LuaString),
}

struct Decoder<'a> {
    lua: &'a Lua,
    settings: Settings,
    text: &'a [u8],
    at: usize,
    /// What marks arrays, where the script asks for marks.
    array_metatable: Option<Table>,
}

impl Decoder<'_> {
    /// The byte at a place; zero behind the end, as C has it.
    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    fn next(&mut self) -> (Token, usize) {
        while matches!(self.byte(self.at), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        let start = self.at;
        let token = match self.byte(start) {
            0 => Token::End,
            b'{' => self.one(Token::ObjectBegin),
            b'}' => self.one(Token::ObjectEnd),
            b'[' => self.one(Token::ArrayBegin),
            b']' => self.one(Token::ArrayEnd),
            b',' => self.one(Token::Comma),
            b':' => self.one(Token::Colon),
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => {
                if !self.settings.decode_invalid && self.is_invalid_number() {
                    Token::Error("invalid number")
                } else {
                    self.number()
                }
            }
            b't' if self.word(b"true") => Token::Boolean(true),
            b'f' if self.word(b"false") => Token::Boolean(false),
            b'n' if self.word(b"null") => Token::Null,
            b'i' | b'I' | b'n' | b'N' | b'+'
                if self.settings.decode_invalid && self.is_invalid_number() =>
            {
                self.number()
            }
            _ => Token::Error("invalid token"),
        };
        // An error in the middle of a string or number is reported where it stands.
        let at = if matches!(token, Token::Error(_)) { self.at } else { start };
        (token, at)
    }

    fn one(&mut self, token: Token) -> Token {
        self.at += 1;
        token
    }

    fn word(&mut self, word: &[u8]) -> bool {
        let is_it = self.text[self.at..].starts_with(word);
        self.at += if is_it { word.len() } else { 0 };
        is_it
    }

    fn is_invalid_number(&self) -> bool {
        let mut at = self.at;
        if self.byte(at) == b'+' {
            return true;
        }
        at += usize::from(self.byte(at) == b'-');
        match self.byte(at) {
            b'0' => self.byte(at + 1) | 0x20 == b'x' || self.byte(at + 1).is_ascii_digit(),
            ..=b'9' => false,
            _ => {
                let rest = &self.text[at..];
                rest.len() >= 3
                    && (rest[..3].eq_ignore_ascii_case(b"inf")
                        || rest[..3].eq_ignore_ascii_case(b"nan"))
            }
        }
    }

    fn number(&mut self) -> Token {
        match crate::number::leading(&self.text[self.at..]) {
            Some((number, len)) => {
                self.at += len;
                Token::Number(number)
            }
            None => Token::Error("invalid number"),
        }
    }

    fn string(&mut self) -> Token {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            match self.byte(self.at) {
                b'"' => break,
                0 if self.at >= self.text.len() || self.text[self.at] == 0 => {
                    return Token::Error("unexpected end of string");
                }
                b'\\' => {
                    if let Err(error) = self.escape(&mut out) {
                        return error;
                    }
                }
                byte => {
                    out.push(byte);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        Token::String(out)
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), Token> {
        let plain = match self.byte(self.at + 1) {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 0x08,
            b't' => b'\t',
            b'n' => b'\n',
            b'f' => 0x0c,
            b'r' => b'\r',
            b'u' => {
                let (point, len) =
                    self.code_point().ok_or(Token::Error("invalid unicode escape code"))?;
                let mut utf8 = [0; 4];
                out.extend_from_slice(point.encode_utf8(&mut utf8).as_bytes());
                self.at += len;
                return Ok(());
            }
            _ => return Err(Token::Error("invalid escape code")),
        };
        out.push(plain);
        self.at += 2;
        Ok(())
    }

    /// A code point in one escape or, as a pair of surrogates, in two.
    fn code_point(&self) -> Option<(char, usize)> {
        let first = self.hex4(self.at + 2)?;
        if !(0xd800..0xe000).contains(&first) {
            return Some((char::from_u32(first)?, 6));
        }
        let is_pair =
            first < 0xdc00 && self.byte(self.at + 6) == b'\\' && self.byte(self.at + 7) == b'u';
        let second =
            self.hex4(self.at + 8).filter(|low| is_pair && (0xdc00..0xe000).contains(low))?;
        Some((char::from_u32(0x10000 + ((first & 0x3ff) << 10 | second & 0x3ff))?, 12))
    }

    fn hex4(&self, at: usize) -> Option<u32> {
        (at..at + 4)
            .try_fold(0, |number, at| Some(number << 4 | (self.byte(at) as char).to_digit(16)?))
    }

    fn expected(&self, what: &str, (token, at): &(Token, usize)) -> mlua::Error {
        let text = format!("Expected {what} but found {} at character {}", token.name(), at + 1);
        raised::text(self.lua, text)
    }

    fn document(&mut self) -> mlua::Result<Value> {
        let value = self.value()?;
        match self.next() {
            (Token::End, _) => Ok(value),
            other => Err(self.expected("the end", &other)),
        }
    }

    /// One value with all that is in it. The stack of open tables is a list, so nesting costs memory and no more.
    fn value(&mut self) -> mlua::Result<Value> {
        let mut open: Vec<Open> = Vec::new();
        let mut token = self.next();
        loop {
            let mut value = match token {
                (Token::ObjectBegin, _) => {
                    self.check_depth(open.len() + 1)?;
                    let table = self.lua.create_table()?;
                    match self.next() {
                        (Token::ObjectEnd, _) => Value::Table(table),
                        key => {
                            let key = self.key(key)?;
                            open.push(Open::Object(table, key));
                            token = self.next();
                            continue;
                        }
                    }
                }
                (Token::ArrayBegin, _) => {
                    self.check_depth(open.len() + 1)?;
                    let table = self.new_array()?;
                    match self.next() {
                        (Token::ArrayEnd, _) => Value::Table(table),
                        first => {
                            open.push(Open::Array(table, 1));
                            token = first;
                            continue;
                        }
                    }
                }
                (Token::String(text), _) => Value::String(self.lua.create_string(text)?),
                (Token::Number(number), _) => Value::Number(number),
                (Token::Boolean(is_true), _) => Value::Boolean(is_true),
                (Token::Null, _) => Value::NULL,
                other => return Err(self.expected("value", &other)),
            };
            // A value closes the table that it completes, which is a value in turn.
            loop {
                match open.pop() {
                    None => return Ok(value),
                    Some(Open::Array(table, nth)) => {
                        table.raw_set(nth, value)?;
                        match self.next() {
                            (Token::ArrayEnd, _) => value = Value::Table(table),
                            (Token::Comma, _) => {
                                open.push(Open::Array(table, nth + 1));
                                break;
                            }
                            other => return Err(self.expected("comma or array end", &other)),
                        }
                    }
                    Some(Open::Object(table, key)) => {
                        table.raw_set(key, value)?;
                        match self.next() {
                            (Token::ObjectEnd, _) => value = Value::Table(table),
                            (Token::Comma, _) => {
                                let next = self.next();
                                let key = self.key(next)?;
                                open.push(Open::Object(table, key));
                                break;
                            }
                            other => return Err(self.expected("comma or object end", &other)),
                        }
                    }
                }
            }
            token = self.next();
        }
    }

    /// An object's key, and the colon behind it.
    fn key(&mut self, token: (Token, usize)) -> mlua::Result<LuaString> {
        let (Token::String(text), _) = &token else {
            return Err(self.expected("object key string", &token));
        };
        let key = self.lua.create_string(text)?;
        match self.next() {
            (Token::Colon, _) => Ok(key),
            other => Err(self.expected("colon", &other)),
        }
    }

    fn new_array(&mut self) -> mlua::Result<Table> {
        let table = self.lua.create_table()?;
        if self.settings.array_metatable {
            if self.array_metatable.is_none() {
                let marks = self.lua.create_table()?;
                marks.raw_set(ARRAY_MARK, true)?;
                self.array_metatable = Some(marks);
            }
            table.set_metatable(self.array_metatable.clone())?;
        }
        Ok(table)
    }

    fn check_depth(&self, depth: usize) -> mlua::Result<()> {
        if depth <= NESTING_MAX && depth as i64 <= self.settings.decode_depth {
            return Ok(());
        }
        let text =
            format!("Found too many nested data structures ({depth}) at character {}", self.at);
        Err(raised::text(self.lua, text))
    }
}
