//! `bit`: operations on the low 32 bits of numbers, with signed results.

use mlua::{Lua, Table, Value, Variadic};

use crate::raised;

/// The library.
pub(crate) fn library(lua: &Lua) -> mlua::Result<Table> {
    let bit = lua.create_table()?;
    let fold = |work: fn(u32, u32) -> u32| {
        lua.create_function(move |lua, args: Variadic<Value>| {
            let first = bits(lua, &args, 1)?;
            (2..=args.len())
                .try_fold(first, |all, nth| Ok(work(all, bits(lua, &args, nth)?)))
                .map(signed)
        })
    };
    bit.raw_set("band", fold(|a, b| a & b)?)?;
    bit.raw_set("bor", fold(|a, b| a | b)?)?;
    bit.raw_set("bxor", fold(|a, b| a ^ b)?)?;
    let one = |work: fn(u32) -> u32| {
        lua.create_function(move |lua, args: Variadic<Value>| {
            Ok(signed(work(bits(lua, &args, 1)?)))
        })
    };
    bit.raw_set("tobit", one(|a| a)?)?;
    bit.raw_set("bnot", one(|a| !a)?)?;
    bit.raw_set("bswap", one(u32::swap_bytes)?)?;
    let shift = |work: fn(u32, u32) -> u32| {
        lua.create_function(move |lua, args: Variadic<Value>| {
            let (number, by) = (bits(lua, &args, 1)?, bits(lua, &args, 2)?);
            Ok(signed(work(number, by & 31)))
        })
    };
    bit.raw_set("lshift", shift(|a, n| a << n)?)?;
    bit.raw_set("rshift", shift(|a, n| a >> n)?)?;
    bit.raw_set("arshift", shift(|a, n| ((a as i32) >> n) as u32)?)?;
    bit.raw_set("rol", shift(u32::rotate_left)?)?;
    bit.raw_set("ror", shift(u32::rotate_right)?)?;
    bit.raw_set("tohex", lua.create_function(to_hex)?)?;
    Ok(bit)
}

fn signed(bits: u32) -> f64 {
    f64::from(bits as i32)
}

/// The low 32 bits of an argument: numbers wrap around, and fractions are rounded to even.
fn bits(lua: &Lua, args: &[Value], nth: usize) -> mlua::Result<u32> {
    let value = args.get(nth - 1);
    let number = match value {
        Some(Value::Integer(number)) => return Ok(*number as u32),
        Some(Value::Number(number)) => Some(*number),
        Some(text @ Value::String(_)) => lua.coerce_number(text.clone())?,
        _ => None,
    };
    let number = number.ok_or_else(|| raised::mistyped(lua, nth, "number", value))?;
    // Adding this makes the low bits of the sum those of the rounded number.
    Ok((number + 6_755_399_441_055_744.0).to_bits() as u32)
}

fn to_hex(lua: &Lua, args: Variadic<Value>) -> mlua::Result<String> {
    let number = bits(lua, &args, 1)?;
    let digits = if args.len() < 2 { 8 } else { bits(lua, &args, 2)? as i32 };
    let count = digits.unsigned_abs().min(8) as usize;
    let text = if digits < 0 { format!("{number:08X}") } else { format!("{number:08x}") };
    Ok(text[8 - count..].to_owned())
}
