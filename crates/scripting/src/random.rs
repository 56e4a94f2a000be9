//! `math.random` of scripts: the 48-bit generator that C libraries call `lrand48`, so that the same seed gives the same numbers anywhere.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use mlua::{Lua, Value, Variadic};

use crate::raised;

const MULTIPLIER: u64 = 0x5_deec_e66d;
const MASK: u64 = (1 << 48) - 1;

/// Numbers are drawn from 0 to one less than this.
const MAX: u32 = i32::MAX as u32;

/// Interpreters' threads so far: each draws other numbers, or two clients would get the same ones.
static THREADS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static STATE: Cell<u64> = Cell::new(first(THREADS.fetch_add(1, Ordering::Relaxed)));
}

/// Where a thread begins that was given no seed: the first one where C does, the others far from there and from each other.
const fn first(thread: u64) -> u64 {
    (0x330e + thread.wrapping_mul(0x9e37_79b9_7f4a_7c15)) & MASK
}

fn next() -> u32 {
    let state = STATE.get().wrapping_mul(MULTIPLIER).wrapping_add(11) & MASK;
    STATE.set(state);
    (state >> 17) as u32
}

fn int(lua: &Lua, args: &[Value], nth: usize) -> mlua::Result<i32> {
    let value = args.get(nth - 1);
    let number = lua.coerce_number(value.cloned().unwrap_or_default())?;
    let number = number.ok_or_else(|| raised::mistyped(lua, nth, "number", value))?;
    Ok(number as i64 as i32)
}

/// `math.random`
pub(crate) fn random(lua: &Lua, args: Variadic<Value>) -> mlua::Result<f64> {
    let share = f64::from(next() % MAX) / f64::from(MAX);
    let (low, high) = match args.len() {
        0 => return Ok(share),
        1 => (1, int(lua, &args, 1)?),
        2 => (int(lua, &args, 1)?, int(lua, &args, 2)?),
        _ => return Err(raised::text(lua, "wrong number of arguments")),
    };
    if low > high {
        return Err(raised::argument(lua, args.len(), "interval is empty"));
    }
    let sides = f64::from(high) - f64::from(low) + 1.0;
    Ok((share * sides).floor() + f64::from(low))
}

/// `math.randomseed`
pub(crate) fn seed(lua: &Lua, args: Variadic<Value>) -> mlua::Result<()> {
    let seed = int(lua, &args, 1)?;
    STATE.set(u64::from(seed as u32) << 16 | 0x330e);
    Ok(())
}
