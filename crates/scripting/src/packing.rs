//! `struct`: numbers and strings to bytes and back, as a format says.

use mlua::{Lua, MultiValue, Table, Value, Variadic};

use crate::number::INTEGER_END;
use crate::raised;

/// The largest integer, in bytes.
const INTEGER_MAX: usize = 32;

/// The largest alignment that `!` stands for by itself.
const ALIGN_MAX: usize = 8;

/// The library.
pub(crate) fn library(lua: &Lua) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    library.raw_set("pack", lua.create_function(pack)?)?;
    library.raw_set("unpack", lua.create_function(unpack)?)?;
    library.raw_set("size", lua.create_function(size)?)?;
    Ok(library)
}

/// What a format says, read from left to right.
struct Format<'a> {
    lua: &'a Lua,
    text: Vec<u8>,
    at: usize,
    is_big: bool,
    align: usize,
}

/// One option, its size, and how many bytes stand before it to align it.
struct Field {
    option: u8,
    size: usize,
    padding: usize,
}

impl<'a> Format<'a> {
    fn new(lua: &'a Lua, value: Option<&Value>) -> mlua::Result<Self> {
        let text = argument(lua, value, 1)?;
        Ok(Self { lua, text, at: 0, is_big: false, align: 1 })
    }

    /// The next option behind `position` bytes.
    fn next(&mut self, position: usize) -> mlua::Result<Option<Field>> {
        // A format ends at a zero byte, as it does in C.
        let Some(option) = self.text.get(self.at).copied().filter(|byte| *byte != 0) else {
            return Ok(None);
        };
        self.at += 1;
        let size = self.size(option)?;
        let mut padding = 0;
        if size > 0 && option != b'c' {
            let align = size.min(self.align);
            // Not every size is a power of two; the arithmetic is C's.
            padding = align.wrapping_sub(position & (align - 1)) & (align - 1);
        }
        Ok(Some(Field { option, size, padding }))
    }

    fn size(&mut self, option: u8) -> mlua::Result<usize> {
        Ok(match option {
            b'B' | b'b' | b'x' => 1,
            b'H' | b'h' => 2,
            b'L' | b'l' | b'T' | b'd' => 8,
            b'f' => 4,
            b'c' => self.number(1)?,
            b'i' | b'I' => {
                let size = self.number(4)?;
                if size > INTEGER_MAX {
                    let text =
                        format!("integral size {size} is larger than limit of {INTEGER_MAX}");
                    return Err(raised::text(self.lua, text));
                }
                size
            }
            _ => 0,
        })
    }

    fn number(&mut self, default: usize) -> mlua::Result<usize> {
        let digits = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return Ok(default);
        }
        let text = std::str::from_utf8(&self.text[self.at..self.at + digits]).expect("digits");
        self.at += digits;
        let number = text.parse::<i32>();
        Ok(number.map_err(|_| raised::text(self.lua, "integral size overflow"))? as usize)
    }

    /// Obeys an option that stands for no bytes.
    fn control(&mut self, option: u8) -> mlua::Result<()> {
        match option {
            b' ' => {}
            b'>' => self.is_big = true,
            b'<' => self.is_big = false,
            b'!' => {
                let align = self.number(ALIGN_MAX)?;
                if !align.is_power_of_two() {
                    let text = format!("alignment {align} is not a power of 2");
                    return Err(raised::text(self.lua, text));
                }
                self.align = align;
            }
            _ => {
                let text = format!("invalid format option '{}'", option as char);
                return Err(raised::argument(self.lua, 1, text));
            }
        }
        Ok(())
    }
}

fn argument(lua: &Lua, value: Option<&Value>, nth: usize) -> mlua::Result<Vec<u8>> {
    value.and_then(raised::bytes_of).ok_or_else(|| raised::mistyped(lua, nth, "string", value))
}

fn number(lua: &Lua, value: Option<&Value>, nth: usize) -> mlua::Result<f64> {
    let found = match value {
        Some(Value::Integer(number)) => Some(*number as f64),
        Some(Value::Number(number)) => Some(*number),
        Some(Value::String(_)) => lua.coerce_number(value.cloned().unwrap_or_default())?,
        _ => None,
    };
    found.ok_or_else(|| raised::mistyped(lua, nth, "number", value))
}

/// The integer part of a number, wrapped around as a machine does it that counts in 64 bits.
fn whole(number: f64) -> u64 {
    if number < 0.0 {
        return if number < -INTEGER_END { 1 << 63 } else { number as i64 as u64 };
    }
    if number.is_nan() {
        return 1 << 63;
    }
    if number < 2.0 * INTEGER_END { number as u64 } else { 0 }
}

/// Puts the bytes of a number in the order that the format asks for.
fn ordered(mut bytes: Vec<u8>, is_big: bool) -> Vec<u8> {
    if is_big {
        bytes.reverse();
    }
    bytes
}

fn pack(lua: &Lua, args: Variadic<Value>) -> mlua::Result<mlua::LuaString> {
    let mut format = Format::new(lua, args.first())?;
    let mut out = Vec::new();
    let mut nth = 2;
    while let Some(field) = format.next(out.len())? {
        out.resize(out.len() + field.padding, 0);
        // Behind the arguments C finds a mark of its own.
        let value = Some(args.get(nth - 1).unwrap_or(&Value::Nil));
        match field.option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let number = number(lua, value, nth)?;
                let mut bytes = whole(number).to_le_bytes().to_vec();
                bytes.resize(field.size, 0);
                out.extend(ordered(bytes, format.is_big));
            }
            b'x' => {
                out.push(0);
                continue;
            }
            b'f' => {
                let number = number(lua, value, nth)? as f32;
                out.extend(ordered(number.to_le_bytes().to_vec(), format.is_big));
            }
            b'd' => {
                let number = number(lua, value, nth)?;
                out.extend(ordered(number.to_le_bytes().to_vec(), format.is_big));
            }
            b'c' | b's' => {
                let text = argument(lua, value, nth)?;
                let size = if field.size == 0 { text.len() } else { field.size };
                let text = text
                    .get(..size)
                    .ok_or_else(|| raised::argument(lua, nth + 1, "string too short"))?;
                out.extend_from_slice(text);
                if field.option == b's' {
                    out.push(0);
                }
            }
            option => {
                format.control(option)?;
                continue;
            }
        }
        nth += 1;
    }
    lua.create_string(out)
}

fn unpack(lua: &Lua, args: Variadic<Value>) -> mlua::Result<MultiValue> {
    let mut format = Format::new(lua, args.first())?;
    let data = argument(lua, args.get(1), 2)?;
    let position = match args.get(2) {
        None | Some(Value::Nil) => 1,
        value => number(lua, value, 3)? as i64,
    };
    if position == 0 {
        return Err(raised::argument(lua, 3, "offset must be 1 or greater"));
    }
    let short = || raised::argument(lua, 2, "data string too short");
    // A negative one is a large one, and behind all data.
    let mut at = position.wrapping_sub(1) as usize;
    let mut values: Vec<Value> = Vec::new();
    while let Some(field) = format.next(at)? {
        at = at.saturating_add(field.padding);
        let mut size = field.size;
        let mut bytes = span(&data, at, size).ok_or_else(short)?;
        if values.len() >= 7000 {
            return Err(raised::text(lua, "stack overflow (too many results)"));
        }
        match field.option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let is_signed = field.option.is_ascii_lowercase();
                values.push(Value::Number(integer(bytes, format.is_big, is_signed)));
            }
            b'x' => {}
            b'f' => {
                let bytes = ordered(bytes.to_vec(), format.is_big);
                let number = f32::from_le_bytes(bytes.try_into().expect("four bytes"));
                values.push(Value::Number(f64::from(number)));
            }
            b'd' => {
                let bytes = ordered(bytes.to_vec(), format.is_big);
                values.push(Value::Number(f64::from_le_bytes(
                    bytes.try_into().expect("eight bytes"),
                )));
            }
            b'c' => {
                if size == 0 {
                    let last = match values.pop() {
                        Some(Value::Number(last)) if last >= 0.0 => last as usize,
                        Some(Value::Number(_)) => return Err(short()),
                        _ => return Err(raised::text(lua, "format 'c0' needs a previous size")),
                    };
                    size = last;
                    bytes = span(&data, at, size).ok_or_else(short)?;
                }
                values.push(Value::String(lua.create_string(bytes)?));
            }
            b's' => {
                let rest = data.get(at..).unwrap_or_default();
                let len = rest.iter().position(|byte| *byte == 0);
                let len = len.ok_or_else(|| raised::text(lua, "unfinished string in data"))?;
                values.push(Value::String(lua.create_string(&rest[..len])?));
                size = len + 1;
            }
            option => format.control(option)?,
        }
        at = at.saturating_add(size);
    }
    values.push(Value::Integer((at as i64).wrapping_add(1)));
    Ok(MultiValue::from_iter(values))
}

/// `size` bytes from `at` on, if there are so many.
fn span(data: &[u8], at: usize, size: usize) -> Option<&[u8]> {
    data.get(at..at.checked_add(size)?)
}

/// An integer of up to 32 bytes; only the low eight count.
fn integer(bytes: &[u8], is_big: bool, is_signed: bool) -> f64 {
    let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
    let number = if is_big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) };
    if !is_signed {
        return number as f64;
    }
    let unused = 64_u32.saturating_sub(bytes.len() as u32 * 8);
    ((number << unused.min(63)) as i64 >> unused.min(63)) as f64
}

fn size(lua: &Lua, args: Variadic<Value>) -> mlua::Result<i64> {
    let mut format = Format::new(lua, args.first())?;
    let mut total = 0_usize;
    while let Some(field) = format.next(total)? {
        total = total.saturating_add(field.padding);
        match field.option {
            b's' => return Err(raised::argument(lua, 1, "option 's' has no fixed size")),
            b'c' if field.size == 0 => {
                return Err(raised::argument(lua, 1, "option 'c0' has no fixed size"));
            }
            option if !option.is_ascii_alphanumeric() => format.control(option)?,
            _ => {}
        }
        total = total.saturating_add(field.size);
    }
    Ok(total as i64)
}
