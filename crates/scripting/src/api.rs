//! `redis` and `server`: what scripts can ask of the server.

use mlua::{Lua, LuaString, MultiValue, Table, Value, Variadic};
use russet_engine::number::parse_i64;
use russet_resp::Protocol;

use crate::stack::call::{Call, ProtectedCall};
use crate::{raised, run, stack};

/// The version of Redis whose scripts run here.
const REDIS_VERSION: &str = russet_config::REDIS_VERSION;

/// What a script may call, all the time.
pub(crate) fn common(lua: &Lua) -> mlua::Result<Table> {
    let api = basic(lua)?;
    api.raw_set("call", stack::native::<Call>(lua, mlua::Nil)?)?;
    api.raw_set("pcall", stack::native::<ProtectedCall>(lua, mlua::Nil)?)?;
    api.raw_set("setresp", lua.create_function(set_resp)?)?;
    api.raw_set("sha1hex", lua.create_function(sha1hex)?)?;
    api.raw_set("error_reply", lua.create_function(error_reply)?)?;
    api.raw_set("status_reply", lua.create_function(status_reply)?)?;
    api.raw_set("set_repl", lua.create_function(set_repl)?)?;
    for (name, value) in
        [("REPL_NONE", 0), ("REPL_AOF", 1), ("REPL_SLAVE", 2), ("REPL_REPLICA", 2), ("REPL_ALL", 3)]
    {
        api.raw_set(name, value)?;
    }
    api.raw_set("acl_check_cmd", lua.create_function(acl_check_cmd)?)?;
    Ok(api)
}

/// The same for EVAL and kin.
pub(crate) fn for_eval(lua: &Lua) -> mlua::Result<Table> {
    let api = common(lua)?;
    api.raw_set("breakpoint", lua.create_function(|_, _: MultiValue| Ok(false))?)?;
    api.raw_set("debug", lua.create_function(|_, _: MultiValue| Ok(()))?)?;
    api.raw_set("replicate_commands", lua.create_function(|_, _: MultiValue| Ok(true))?)?;
    Ok(api)
}

/// What a library may call while it is being loaded.
pub(crate) fn for_loading(lua: &Lua) -> mlua::Result<Table> {
    let api = basic(lua)?;
    api.raw_set("register_function", lua.create_function(crate::registering::register)?)?;
    Ok(api)
}

/// Logging and versions.
fn basic(lua: &Lua) -> mlua::Result<Table> {
    let api = lua.create_table()?;
    api.raw_set("log", lua.create_function(log)?)?;
    for (name, level) in
        [("LOG_DEBUG", 0), ("LOG_VERBOSE", 1), ("LOG_NOTICE", 2), ("LOG_WARNING", 3)]
    {
        api.raw_set(name, level)?;
    }
    api.raw_set("REDIS_VERSION", REDIS_VERSION)?;
    api.raw_set("REDIS_VERSION_NUM", version_number(REDIS_VERSION))?;
    api.raw_set("VALKEY_VERSION", "8.0.1")?;
    api.raw_set("VALKEY_VERSION_NUM", version_number("8.0.1"))?;
    api.raw_set("SERVER_NAME", "valkey")?;
    Ok(api)
}

/// A version as one number, a byte for each part.
fn version_number(version: &str) -> u32 {
    version.split('.').fold(0, |number, part| number << 8 | part.parse::<u32>().unwrap_or(0))
}

fn set_resp(_: &Lua, args: Variadic<Value>) -> mlua::Result<()> {
    let [version] = &args[..] else {
        return Err(raised::reply("server.setresp() requires one argument."));
    };
    let protocol = match integer(version) {
        Some(2) => Protocol::Resp2,
        Some(3) => Protocol::Resp3,
        _ => return Err(raised::reply("RESP version must be 2 or 3.")),
    };
    run::with(|run| run.script.speak(protocol));
    Ok(())
}

/// The integer part of an argument, as Lua coerces it.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(*number),
        Value::Number(number) => Some(*number as i64),
        Value::String(text) => parse_i64(&text.as_bytes()),
        _ => None,
    }
}

fn sha1hex(_: &Lua, args: Variadic<Value>) -> mlua::Result<String> {
    let [value] = &args[..] else { return Err(raised::reply("wrong number of arguments")) };
    let bytes = raised::bytes_of(value).unwrap_or_default();
    Ok(sha1_smol::Sha1::from(&bytes).digest().to_string())
}

/// The one argument, if it is one string.
fn only_text(args: &[Value]) -> Option<&LuaString> {
    match args {
        [Value::String(text)] => Some(text),
        _ => None,
    }
}

fn error_reply(lua: &Lua, args: Variadic<Value>) -> mlua::Result<Table> {
    let Some(text) = only_text(&args) else {
        return raised::table(lua, b"ERR wrong number or type of arguments", false);
    };
    let text = raised::bytes(text);
    // Behind a zero byte C sees nothing.
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let code = text.iter().position(|byte| *byte == b' ');
    let (code, message) = code.map_or((&b"ERR"[..], text), |at| (&text[..at], &text[at + 1..]));
    let ends = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let from = message.iter().position(|byte| !ends(byte)).unwrap_or(message.len());
    let until = message.iter().rposition(|byte| !ends(byte)).map_or(from, |at| at + 1);
    raised::table(lua, &[code, b" ", &message[from..until]].concat(), false)
}

fn status_reply(lua: &Lua, args: Variadic<Value>) -> mlua::Result<Table> {
    let Some(text) = only_text(&args) else {
        return raised::table(lua, b"ERR wrong number or type of arguments", false);
    };
    let table = lua.create_table()?;
    table.raw_set("ok", text)?;
    Ok(table)
}

fn set_repl(_: &Lua, args: Variadic<Value>) -> mlua::Result<()> {
    let [flags] = &args[..] else {
        return Err(raised::reply("server.set_repl() requires one argument."));
    };
    let flags = integer(flags).unwrap_or(0);
    if flags & !3 != 0 {
        let text = "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.";
        return Err(raised::reply(text));
    }
    run::with(|run| run.script.is_propagated = flags != 0);
    Ok(())
}

fn acl_check_cmd(_: &Lua, words: Variadic<Value>) -> mlua::Result<bool> {
    if words.is_empty() {
        return Err(raised::reply("Please specify at least one argument for this call"));
    }
    let words: Option<Vec<Vec<u8>>> = words.iter().map(raised::bytes_of).collect();
    let words =
        words.ok_or_else(|| raised::reply("Command arguments must be strings or integers"))?;
    let is_command = run::with(|run| {
        run.script.begin_call();
        words.iter().for_each(|word| run.script.push(word));
        run.script.row().is_some()
    });
    match is_command {
        Some(true) => Ok(true),
        _ => Err(raised::reply("Invalid command passed to server.acl_check_cmd()")),
    }
}

fn log(_: &Lua, args: Variadic<Value>) -> mlua::Result<()> {
    if args.len() < 2 {
        return Err(raised::reply("server.log() requires two arguments or more."));
    }
    let level = integer(&args[0])
        .ok_or_else(|| raised::reply("First argument must be a number (log level)."))?;
    if !(0..=3).contains(&level) {
        return Err(raised::reply("Invalid log level."));
    }
    let words: Vec<String> = args[1..]
        .iter()
        .filter_map(raised::bytes_of)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .collect();
    let text = words.join(" ");
    match level {
        0 => tracing::trace!("{text}"),
        1 => tracing::debug!("{text}"),
        2 => tracing::info!("{text}"),
        _ => tracing::warn!("{text}"),
    }
    Ok(())
}
