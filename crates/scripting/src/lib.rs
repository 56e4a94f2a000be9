//! Lua scripts and libraries of functions.
//!
//! ```text
//! EVAL -> eval.rs -> vm.rs (compiled, cached per thread) -> Lua -> stack/call.rs (redis.call) -> dispatch::script -> a row's handler
//!                      |                                            |
//!                 sandbox.rs: what scripts see               convert.rs: replies to values and back
//! ```
//!
//! A script is one unit: its request's locks are held from its first command to its last, its effects are one record. How locks, long
//! runs and kills work is told in `docs/design/0012-scripting.md`. This crate exports rows and knows neither the other commands nor the
//! server.

#![deny(unsafe_code)]

use mlua::Value;
use russet_dispatch::{Command, State, help};

mod api;
mod bit;
mod cjson;
mod cmsgpack;
mod convert;
pub mod eval;
pub mod function;
pub mod library;
mod number;
mod packing;
mod raised;
mod random;
mod registering;
mod run;
mod sandbox;
pub mod script;
mod shebang;
#[expect(unsafe_code, reason = "Lua's own interface, for the path that every call takes")]
mod stack;
mod vm;

/// The rows of this crate.
pub const FAMILIES: &[&[Command]] = &[eval::COMMANDS, script::COMMANDS, function::COMMANDS];

/// What each thread that serves clients does beside them: its interpreter goes when SCRIPT FLUSH runs. Never ends.
pub async fn tidy(state: &'static State) {
    vm::discard_flushed(state).await;
}

/// Ends the work of a thread that serves no clients: it may never be asked for another script, and an interpreter is made in less time than
/// what runs there takes.
pub fn leave() {
    vm::discard();
}

/// What Lua calls the type of a value.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Boolean(_) => "boolean",
        Value::Integer(_) | Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Table(_) => "table",
        Value::Function(_) => "function",
        Value::Thread(_) => "thread",
        _ => "userdata",
    }
}
