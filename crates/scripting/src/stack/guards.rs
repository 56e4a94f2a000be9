//! Functions of Lua's own that would reach past a proxy, or take too much: each looks at its arguments and goes on as the function
//! itself, in the same place of the script. So errors name the function that was called and the line that called it, and no function
//! of `sandbox.lua` stands among those that run, whose names a script could change.

use std::ffi::c_int;

use mlua::{Function, Lua, Value, Variadic};

use super::{Kind, Native, Stack, native};
use crate::raised::SANDBOX;

/// How long a pattern may be: matching recurses in C, once for each of its items.
const PATTERN_MAX: usize = 4096;

/// How many values `unpack` gives at most: Lua refuses more, but not all that are many more.
const UNPACKED_MAX: f64 = 8000.0;

const READ_ONLY: &[u8] = b"Attempt to modify a readonly table";

/// Makes the guard of a function: its name, the function, and what the guard keeps besides.
pub(crate) fn guard(lua: &Lua, (name, kept): (String, Variadic<Value>)) -> mlua::Result<Function> {
    match name.as_str() {
        "pattern" => native::<Pattern>(lua, kept),
        "find" => native::<Find>(lua, kept),
        "reads" => native::<Reads>(lua, kept),
        "changes" => native::<Changes>(lua, kept),
        "pairs" => native::<Pairs>(lua, kept),
        "getmetatable" => native::<GetMetatable>(lua, kept),
        "unpack" => native::<Unpack>(lua, kept),
        "resume" => native::<Resume>(lua, kept),
        "getfenv" => native::<GetNames>(lua, kept),
        "setfenv" => native::<SetNames>(lua, kept),
        _ => Err(mlua::Error::runtime("no such guard")),
    }
}

/// Puts there what the table that the function keeps as its `nth` value has for argument `at`; says no, and puts nothing there, if it
/// has nothing. May jump.
fn push_known(stack: Stack, nth: c_int, at: c_int) -> bool {
    if stack.kind(at) == Kind::Nil {
        return false;
    }
    stack.push_upvalue(nth);
    stack.push_again(at);
    stack.push_entry(-2);
    if stack.kind(-1) == Kind::Nil {
        stack.pop(2);
        return false;
    }
    stack.replace(-2);
    true
}

fn refuse(stack: Stack) -> ! {
    stack.push_text(READ_ONLY);
    stack.raise()
}

/// `string.match`, `gmatch` and `gsub`. Keeps the function.
struct Pattern;

impl Native for Pattern {
    fn call(stack: Stack) -> c_int {
        if stack.with_text(2, <[u8]>::len) > PATTERN_MAX {
            stack.fail("pattern too complex");
        }
        stack.go_on()
    }
}

/// `string.find`, for which a pattern may be plain text. Keeps the function.
struct Find;

impl Native for Find {
    fn call(stack: Stack) -> c_int {
        if stack.is_true(4) { stack.go_on() } else { Pattern::call(stack) }
    }
}

/// `next` and `rawget`, which see what is behind a proxy. Keeps the function and what is behind each proxy.
struct Reads;

impl Native for Reads {
    fn call(stack: Stack) -> c_int {
        if push_known(stack, 2, 1) {
            stack.replace(1);
        }
        stack.go_on()
    }
}

/// What changes a table. Keeps the function and what is behind each proxy.
struct Changes;

impl Native for Changes {
    fn call(stack: Stack) -> c_int {
        if push_known(stack, 2, 1) {
            refuse(stack);
        }
        stack.go_on()
    }
}

/// `pairs`. Keeps Lua's `next`, what is behind each proxy, and the `next` that scripts have.
struct Pairs;

impl Native for Pairs {
    fn call(stack: Stack) -> c_int {
        stack.demand_table(1);
        let is_proxy = push_known(stack, 2, 1);
        stack.push_upvalue(if is_proxy { 3 } else { 1 });
        stack.push_again(1);
        stack.push_nil();
        3
    }
}

/// `getmetatable`, for which userdata have none. Keeps the function.
struct GetMetatable;

impl Native for GetMetatable {
    fn call(stack: Stack) -> c_int {
        if !stack.is_userdata(1) {
            return stack.go_on();
        }
        stack.push_nil();
        1
    }
}

/// `unpack`. Keeps the function.
struct Unpack;

impl Native for Unpack {
    fn call(stack: Stack) -> c_int {
        if stack.kind(1) == Kind::Table {
            let bound = |at: c_int, default: f64| match stack.kind(at) {
                Kind::Nil => default,
                _ => stack.number(at),
            };
            let (first, last) = (bound(2, 1.0), bound(3, stack.len(1) as f64));
            let is_index = |number: f64| number.abs() <= f64::from(i32::MAX);
            if !is_index(first) || !is_index(last) || last - first >= UNPACKED_MAX {
                stack.fail("too many results to unpack");
            }
        }
        stack.go_on()
    }
}

/// `coroutine.resume`, whose errors are values. Keeps the function, and the one that makes of an error what scripts see of it.
struct Resume;

impl Native for Resume {
    fn call(stack: Stack) -> c_int {
        let count = stack.go_on();
        if !stack.is_true(-count) {
            stack.push_upvalue(2);
            stack.push_again(-2);
            stack.call(1);
            stack.replace(-2);
        }
        count
    }
}

/// The level that the first argument means, as Lua reads it: 0 means the names of the thread. `None` if it is no number.
fn level(stack: Stack) -> Option<c_int> {
    stack.is_number(1).then(|| stack.number(1) as i64 as c_int)
}

/// `getfenv`: what scripts see stands for the names of the thread. Keeps the function, the names that scripts see, and those of the
/// thread.
struct GetNames;

impl Native for GetNames {
    fn call(stack: Stack) -> c_int {
        if level(stack) == Some(0) {
            stack.push_upvalue(2);
            return 1;
        }
        let count = stack.go_on();
        stack.push_upvalue(3);
        if stack.are_same(-1, -2) {
            stack.push_upvalue(2);
            stack.replace(-3);
        }
        stack.pop(1);
        count
    }
}

/// `setfenv`: a function's own names are its script's to change; those of the thread, and of what `sandbox.lua` has made, are not. Keeps
/// the function.
struct SetNames;

impl Native for SetNames {
    fn call(stack: Stack) -> c_int {
        let is_found = match level(stack) {
            Some(0) => refuse(stack),
            Some(level) => {
                // Both mean the same level then.
                stack.push_number(f64::from(level));
                stack.replace(1);
                stack.push_running(level)
            }
            None => {
                stack.push_again(1);
                true
            }
        };
        if is_found {
            if stack.is_function(-1) && stack.is_of(SANDBOX) {
                refuse(stack);
            }
            stack.pop(1);
        }
        stack.go_on()
    }
}
