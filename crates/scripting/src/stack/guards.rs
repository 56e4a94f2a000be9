//! Functions of Lua's own that would reach past a proxy, take too much, or show a script what is not its: each guard looks at its
//! arguments and goes on as the function itself, in the same place of the script. So errors name the function that was called and the
//! line that called it, and nothing written in Lua stands among the functions that run, whose names a script could change.

use std::ffi::c_int;

use super::{Kind, Native, Stack};
use crate::number;
use crate::sandbox::LATE;

/// How long a pattern may be: matching recurses in C, once for each of its items.
const PATTERN_MAX: usize = 4096;

/// How many values `unpack` gives at most: Lua refuses more, but not all that are many more.
const UNPACKED_MAX: f64 = 8000.0;

/// How far `collectgarbage` goes, in Lua's own measure.
const COLLECTED: f64 = 100.0;

/// What a compiled chunk begins with that is no text.
const BINARY: u8 = 27;

const READ_ONLY: &str = "Attempt to modify a readonly table";

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

/// Makes what is still to be made of the names on top, if these are names of scripts or functions: here they are all seen. May jump.
fn complete(stack: Stack) {
    if stack.push_field("_G") != Kind::Nil {
        for name in LATE {
            stack.push_text(name.as_bytes());
            stack.push_looked_up(-3);
            stack.pop(1);
        }
    }
    stack.pop(1);
}

/// Makes of the error on top what scripts see of it, by the function that the running one keeps as its `nth` value. May jump.
fn convert(stack: Stack, nth: c_int) {
    if stack.is_userdata(-1) {
        stack.push_upvalue(nth);
        stack.push_again(-2);
        stack.call(1);
        stack.replace(-2);
    }
}

fn refuse(stack: Stack) -> ! {
    stack.push_text(READ_ONLY.as_bytes());
    stack.raise()
}

/// `string.match`, `gmatch` and `gsub`. Keeps the function.
pub(crate) struct Pattern;

impl Native for Pattern {
    fn call(stack: Stack) -> c_int {
        if stack.with_text(2, <[u8]>::len) > PATTERN_MAX {
            stack.fail("pattern too complex");
        }
        stack.go_on()
    }
}

/// `string.find`, for which a pattern may be plain text. Keeps the function.
pub(crate) struct Find;

impl Native for Find {
    fn call(stack: Stack) -> c_int {
        if stack.is_true(4) { stack.go_on() } else { Pattern::call(stack) }
    }
}

/// `next` and `rawget`, which see what is behind a proxy. Keeps the function and what is behind each proxy.
pub(crate) struct Reads;

impl Native for Reads {
    fn call(stack: Stack) -> c_int {
        if push_known(stack, 2, 1) {
            complete(stack);
            stack.replace(1);
        }
        stack.go_on()
    }
}

/// What changes a table. Keeps the function and what is behind each proxy.
pub(crate) struct Changes;

impl Native for Changes {
    fn call(stack: Stack) -> c_int {
        if push_known(stack, 2, 1) {
            refuse(stack);
        }
        stack.go_on()
    }
}

/// `pairs`. Keeps Lua's `next`, what is behind each proxy, and the `next` that scripts have.
pub(crate) struct Pairs;

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
pub(crate) struct GetMetatable;

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
pub(crate) struct Unpack;

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

/// `coroutine.resume`, whose errors are values. Keeps the function, and what makes of an error what scripts see of it.
pub(crate) struct Resume;

impl Native for Resume {
    fn call(stack: Stack) -> c_int {
        let count = stack.go_on();
        if !stack.is_true(-count) {
            convert(stack, 2);
        }
        count
    }
}

/// `pcall`, for which an error reply is its text. Keeps what `coroutine.resume` keeps.
pub(crate) struct ProtectedCall;

impl Native for ProtectedCall {
    fn call(stack: Stack) -> c_int {
        stack.demand_any(1);
        let count = stack.go_on();
        if !stack.is_true(-count) {
            convert(stack, 2);
            push_error_text(stack);
        }
        count
    }
}

/// Puts the text of an error reply in the place of the table on top that has one.
fn push_error_text(stack: Stack) {
    if stack.kind(-1) != Kind::Table {
        return;
    }
    match stack.push_field("err") {
        Kind::Text | Kind::Number => stack.replace(-2),
        _ => stack.pop(1),
    }
}

/// `xpcall`. Keeps what `coroutine.resume` keeps.
pub(crate) struct HandledCall;

impl Native for HandledCall {
    fn call(stack: Stack) -> c_int {
        stack.demand_any(2);
        stack.settle(2);
        stack.push_again(2);
        stack.push_upvalue(2);
        stack.push_native::<Handler>(2);
        stack.replace(2);
        stack.go_on()
    }
}

/// What a script has given to `xpcall`. Keeps that, and what makes of an error what scripts see of it.
struct Handler;

impl Native for Handler {
    fn call(stack: Stack) -> c_int {
        convert(stack, 2);
        stack.push_upvalue(1);
        stack.push_again(-2);
        stack.call(1);
        1
    }
}

/// `collectgarbage`: the collector belongs to all scripts of the thread, which may look, and ask it to work. Keeps the function.
pub(crate) struct CollectGarbage;

impl Native for CollectGarbage {
    fn call(stack: Stack) -> c_int {
        let asked = stack.with_text(1, |option| match until_zero(option) {
            b"count" => Asked::Count,
            b"step" => Asked::Step,
            b"collect" | b"stop" | b"restart" | b"setpause" | b"setstepmul" => Asked::Other,
            _ => Asked::Nothing,
        });
        match asked {
            Asked::Step => return collect(stack),
            Asked::Other => {}
            Asked::Nothing if stack.kind(1) == Kind::Nil => {}
            Asked::Count | Asked::Nothing => return stack.go_on(),
        }
        collect(stack);
        stack.push_number(0.0);
        1
    }
}

/// What `collectgarbage` is asked for.
enum Asked {
    Count,
    Step,
    /// What is no script's to decide: some work is done instead.
    Other,
    /// Nothing that Lua knows.
    Nothing,
}

/// Goes on as `collectgarbage("step")`.
fn collect(stack: Stack) -> c_int {
    stack.settle(0);
    stack.push_text(b"step");
    stack.push_number(COLLECTED);
    stack.go_on()
}

/// What C sees of a text.
fn until_zero(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// `tonumber`, which reads what is only digits by itself: C's `strtod`, which Lua uses, takes hundreds of instructions, and twice. Keeps
/// the function.
pub(crate) struct ToNumber;

impl Native for ToNumber {
    fn call(stack: Stack) -> c_int {
        if stack.top() == 1
            && let Some(number) = stack.with_text(1, number::of_digits)
        {
            stack.push_number(number);
            return 1;
        }
        stack.go_on()
    }
}

/// What is called for a name that is not there, with the names and the name. Keeps `tostring`, and what makes a library that is still to
/// be made.
pub(crate) struct Missing;

impl Native for Missing {
    fn call(stack: Stack) -> c_int {
        stack.push_upvalue(2);
        let is_late = stack.with_text(2, |name| LATE.iter().any(|late| late.as_bytes() == name));
        if is_late && stack.kind(-1) != Kind::Nil {
            stack.push_again(1);
            stack.push_again(2);
            stack.call(2);
            return 1;
        }
        stack.push_where();
        stack.push_text(b"Script attempted to access nonexistent global variable '");
        stack.push_upvalue(1);
        stack.push_again(2);
        stack.call(1);
        stack.push_text(b"'");
        stack.concat(4);
        stack.raise()
    }
}

/// What is called for who sets a name of a proxy.
pub(crate) struct Locked;

impl Native for Locked {
    fn call(stack: Stack) -> c_int {
        stack.fail(READ_ONLY)
    }
}

/// `loadstring`: what was compiled sees what the script sees. Keeps the function, and what that is.
pub(crate) struct LoadString;

impl Native for LoadString {
    fn call(stack: Stack) -> c_int {
        if stack.with_text(1, |text| text.first() == Some(&BINARY)) {
            stack.push_nil();
            stack.push_text(b"attempt to load a binary chunk");
            return 2;
        }
        name_chunk(stack);
        let count = stack.go_on();
        if count == 1 {
            stack.push_upvalue(2);
            stack.set_environment();
        }
        count
    }
}

/// Makes the name of the chunk, the second argument or else the first, what C sees of it: the parser refers to that without holding
/// it. May jump.
fn name_chunk(stack: Stack) {
    let at = if stack.kind(2) == Kind::Nil { 1 } else { 2 };
    if stack.with_text(at, |name| name.contains(&0)) {
        stack.with_text(at, |name| stack.push_text(until_zero(name)));
        if stack.top() > 2 {
            stack.replace(2);
        }
    }
}

/// `load`: takes all pieces before any is compiled, since nothing should run beside the parser. Keeps Lua's own `pcall`, what makes of
/// an error what scripts see of it, `loadstring`, and a [`Gather`].
pub(crate) struct Load;

impl Native for Load {
    fn call(stack: Stack) -> c_int {
        stack.demand_function(1);
        stack.settle(2);
        stack.push_upvalue(1);
        stack.push_upvalue(4);
        stack.push_again(1);
        stack.call_for(2, 2);
        if !stack.is_true(-2) {
            convert(stack, 2);
            stack.push_nil();
            stack.push_again(-2);
            return 2;
        }
        stack.push_upvalue(3);
        stack.push_again(-2);
        match stack.kind(2) {
            Kind::Nil => stack.push_text(b"=(load)"),
            _ => stack.push_again(2),
        }
        stack.call_for(2, 2);
        if stack.kind(-2) != Kind::Nil {
            stack.pop(1);
            return 1;
        }
        2
    }
}

/// All pieces that a function gives, as one text. Keeps `table.concat`.
pub(crate) struct Gather;

impl Native for Gather {
    fn call(stack: Stack) -> c_int {
        stack.push_upvalue(1);
        stack.push_table(0, 0);
        let mut count = 0;
        while is_piece(stack) {
            count += 1;
            stack.set_item(count);
        }
        stack.pop(1);
        stack.call(1);
        1
    }
}

/// Puts the next piece there; says no if it is none. May jump.
fn is_piece(stack: Stack) -> bool {
    stack.push_again(1);
    stack.call(0);
    match stack.kind(-1) {
        Kind::Nil => false,
        Kind::Text => stack.with_text(-1, |piece| !piece.is_empty()),
        Kind::Number => true,
        _ => {
            stack.push_text(b"reader function must return a string");
            stack.raise()
        }
    }
}

/// The level that the first argument means, as Lua reads it: 0 means the names of the thread. `None` if it is no number.
fn level(stack: Stack) -> Option<c_int> {
    stack.is_number(1).then(|| stack.number(1) as i64 as c_int)
}

/// `getfenv`: what scripts see stands for the names of the thread. Keeps the function, the names that scripts see, and those of the
/// thread.
pub(crate) struct GetNames;

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

/// `setfenv`: a function's own names are its script's to change; those of the thread are not. Keeps the function.
pub(crate) struct SetNames;

impl Native for SetNames {
    fn call(stack: Stack) -> c_int {
        if level(stack) == Some(0) {
            refuse(stack);
        }
        stack.go_on()
    }
}
