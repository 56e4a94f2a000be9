//! `redis.register_function`: how a library says what functions it has.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use mlua::{Function, Lua, Table, Value, Variadic};
use russet_dispatch::scripting::{FLAG_NAMES, ScriptFlags};

use crate::raised;

/// How long a library may take to register its functions.
const LOADING_MAX: Duration = Duration::from_millis(500);

/// A function that a library has registered.
pub(crate) struct Registered {
    pub(crate) name: String,
    pub(crate) description: Option<Box<[u8]>>,
    pub(crate) flags: ScriptFlags,
    pub(crate) callback: Function,
}

/// A library that is being loaded on this thread.
struct Loading {
    functions: Vec<Registered>,
    started: Instant,
    is_timed: bool,
}

thread_local! {
    static LOADING: RefCell<Option<Loading>> = const { RefCell::new(None) };
}

/// A library is about to be loaded; `is_timed` if it may not take long.
pub(crate) fn begin(is_timed: bool) {
    LOADING.set(Some(Loading { functions: Vec::new(), started: Instant::now(), is_timed }));
}

/// It has been loaded, or not.
pub(crate) fn end() -> Vec<Registered> {
    LOADING.take().map(|loading| loading.functions).unwrap_or_default()
}

/// Whether a library takes too long.
pub(crate) fn is_overdue() -> bool {
    LOADING.with_borrow(|loading| {
        loading.as_ref().is_some_and(|l| l.is_timed && l.started.elapsed() > LOADING_MAX)
    })
}

/// Whether a name may be one of a library or a function.
pub(crate) fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// What names must be.
pub(crate) const NAME_RULE: &str = "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";

/// `register_function`
pub(crate) fn register(_: &Lua, args: Variadic<Value>) -> mlua::Result<()> {
    if LOADING.with_borrow(Option::is_none) {
        let text = "server.register_function can only be called on FUNCTION LOAD command";
        return Err(raised::reply(text));
    }
    let (name, registered) = match &args[..] {
        [named] => by_name(named)?,
        [name, callback] => by_place(name, callback)?,
        _ => return Err(raised::reply("wrong number of arguments to server.register_function")),
    };
    if !is_name(&name) {
        return Err(raised::reply(NAME_RULE));
    }
    LOADING.with_borrow_mut(|loading| {
        let functions = &mut loading.as_mut().expect("looked at above").functions;
        if functions.iter().any(|known| known.name == registered.name) {
            return Err(raised::reply("Function already exists in the library"));
        }
        functions.push(registered);
        Ok(())
    })
}

fn by_place(name: &Value, callback: &Value) -> mlua::Result<(Vec<u8>, Registered)> {
    let name = raised::bytes_of(name).ok_or_else(|| {
        raised::reply("first argument to server.register_function must be a string")
    })?;
    let Value::Function(callback) = callback else {
        let text = "second argument to server.register_function must be a function";
        return Err(raised::reply(text));
    };
    let text = String::from_utf8_lossy(&name).into_owned();
    let callback = callback.clone();
    Ok((name, Registered { name: text, description: None, flags: 0, callback }))
}

fn by_name(named: &Value) -> mlua::Result<(Vec<u8>, Registered)> {
    let Value::Table(named) = named else {
        return Err(raised::reply(
            "calling server.register_function with a single argument is only applicable to Lua table (representing named arguments).",
        ));
    };
    let (mut name, mut description, mut callback, mut flags) = (None, None, None, 0);
    for pair in named.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let key = raised::bytes_of(&key).ok_or_else(|| {
            raised::reply("named argument key given to server.register_function is not a string")
        })?;
        match key.to_ascii_lowercase().as_slice() {
            b"function_name" => {
                let text =
                    "function_name argument given to server.register_function must be a string";
                name = Some(raised::bytes_of(&value).ok_or_else(|| raised::reply(text))?);
            }
            b"description" => {
                let text =
                    "description argument given to server.register_function must be a string";
                description = Some(raised::bytes_of(&value).ok_or_else(|| raised::reply(text))?);
            }
            b"callback" => {
                let Value::Function(function) = value else {
                    let text =
                        "callback argument given to server.register_function must be a function";
                    return Err(raised::reply(text));
                };
                callback = Some(function);
            }
            b"flags" => {
                let Value::Table(list) = value else {
                    let text = "flags argument to server.register_function must be a table representing function flags";
                    return Err(raised::reply(text));
                };
                flags = read_flags(&list)?;
            }
            _ => return Err(raised::reply("unknown argument given to server.register_function")),
        }
    }
    let name = name.ok_or_else(|| {
        raised::reply("server.register_function must get a function name argument")
    })?;
    let callback = callback
        .ok_or_else(|| raised::reply("server.register_function must get a callback argument"))?;
    let text = String::from_utf8_lossy(&name).into_owned();
    let description = description.map(Vec::into_boxed_slice);
    Ok((name, Registered { name: text, description, flags, callback }))
}

fn read_flags(list: &Table) -> mlua::Result<ScriptFlags> {
    let mut flags = 0;
    for nth in 1_i64.. {
        let value: Value = list.raw_get(nth)?;
        if matches!(value, Value::Nil) {
            break;
        }
        let name = raised::bytes_of(&value).unwrap_or_default();
        let is_it = |text: &str| text.as_bytes().eq_ignore_ascii_case(&name);
        let known = FLAG_NAMES.iter().find(|(_, text)| is_it(text));
        flags |= known.ok_or_else(|| raised::reply("unknown flag given"))?.0;
    }
    Ok(flags)
}
