//! Errors that functions written in Rust raise in scripts.
//!
//! Lua sees them as values that it cannot look into. Wherever a script catches one, [`convert`] makes of it what Redis would have raised:
//! a table with an `err` field, or a text with the place where it happened.

use mlua::{Lua, LuaString, Value};

/// What was raised.
#[derive(Clone, Debug)]
pub(crate) enum Raised {
    /// An error reply; `is_counted` if INFO has counted it already.
    Reply { text: Vec<u8>, is_counted: bool },
    /// A text.
    Text(String),
    /// The script is to end, whatever it catches.
    Stopping,
}

impl std::fmt::Display for Raised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reply { text, .. } => f.write_str(&String::from_utf8_lossy(text)),
            Self::Text(text) => f.write_str(text),
            Self::Stopping => f.write_str("the script is to end"),
        }
    }
}

impl std::error::Error for Raised {}

/// Where a script is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// `@user_script`.
    pub(crate) source: String,
    /// From 1.
    pub(crate) line: usize,
}

/// The innermost place of the stack that belongs to a script.
pub(crate) fn place(lua: &Lua) -> Option<Place> {
    (0..)
        .map_while(|level| {
            lua.inspect_stack(level, |frame| {
                let source = frame.source();
                let text = source.source.as_deref().unwrap_or_default().to_owned();
                if source.what == "C" || source.what == "tail" {
                    return None;
                }
                Some(Place { source: text, line: frame.current_line().unwrap_or(0) })
            })
        })
        .find_map(|place| place)
}

/// An error with a text, prefixed with where the running function was called, as Lua's own errors are: with nothing if `pcall` or
/// another function of C's has called it.
pub(crate) fn text(lua: &Lua, message: impl std::fmt::Display) -> mlua::Error {
    let caller = lua.inspect_stack(1, |frame| {
        let line = frame.current_line()?;
        Some(format!("{}:{line}: ", frame.source().short_src.as_deref().unwrap_or("?")))
    });
    let at = caller.flatten().unwrap_or_default();
    mlua::Error::external(Raised::Text(format!("{at}{message}")))
}

/// An error about an argument, as Lua's own functions word it: the function has the name that it was called by.
pub(crate) fn argument(lua: &Lua, nth: usize, message: impl std::fmt::Display) -> mlua::Error {
    let called = lua.inspect_stack(0, |frame| {
        let names = frame.names();
        (names.name.map(std::borrow::Cow::into_owned), names.name_what == Some("method"))
    });
    let (name, is_method) = called.unwrap_or_default();
    let name = name.unwrap_or_else(|| "?".to_owned());
    match nth.saturating_sub(is_method.into()) {
        0 if is_method => text(lua, format!("calling '{name}' on bad self ({message})")),
        nth => text(lua, format!("bad argument #{nth} to '{name}' ({message})")),
    }
}

/// The same for one that is not of the type that it should be.
pub(crate) fn mistyped(
    lua: &Lua,
    nth: usize,
    expected: &str,
    value: Option<&Value>,
) -> mlua::Error {
    let found = value.map_or("no value", crate::type_name);
    argument(lua, nth, format!("{expected} expected, got {found}"))
}

/// An error reply; the code is `ERR`.
pub(crate) fn reply(message: &str) -> mlua::Error {
    let text = format!("ERR {message}").into_bytes();
    mlua::Error::external(Raised::Reply { text, is_counted: false })
}

/// What a Rust function has raised, however deep it is wrapped.
pub(crate) fn raised(error: &mlua::Error) -> Option<&Raised> {
    match error {
        mlua::Error::CallbackError { cause, .. } | mlua::Error::WithContext { cause, .. } => {
            raised(cause)
        }
        other => other.downcast_ref(),
    }
}

/// The text of an error that nobody here has made.
pub(crate) fn foreign(error: &mlua::Error) -> String {
    match error {
        mlua::Error::CallbackError { cause, .. } | mlua::Error::WithContext { cause, .. } => {
            foreign(cause)
        }
        mlua::Error::RuntimeError(text)
        | mlua::Error::SyntaxError { message: text, .. }
        | mlua::Error::MemoryError(text) => text.lines().next().unwrap_or_default().to_owned(),
        other => other.to_string(),
    }
}

/// A table with an error reply.
pub(crate) fn table(lua: &Lua, text: &[u8], is_counted: bool) -> mlua::Result<mlua::Table> {
    let table = lua.create_table()?;
    table.raw_set("err", lua.create_string(text)?)?;
    if is_counted {
        table.raw_set("ignore_error_stats_update", true)?;
    }
    Ok(table)
}

/// What a script sees of a value that it caught.
pub(crate) fn convert(lua: &Lua, value: Value) -> mlua::Result<Value> {
    let Value::Error(error) = &value else { return Ok(value) };
    let text = match raised(error) {
        Some(Raised::Reply { text, is_counted }) => {
            return Ok(Value::Table(table(lua, text, *is_counted)?));
        }
        Some(Raised::Text(text)) => text.clone(),
        Some(Raised::Stopping) => Raised::Stopping.to_string(),
        None => foreign(error),
    };
    Ok(Value::String(lua.create_string(text)?))
}

/// The bytes of a string, or of a number as Lua prints it.
pub(crate) fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(bytes(text)),
        Value::Integer(number) => Some(crate::number::general(*number as f64, 14).into_bytes()),
        Value::Number(number) => Some(crate::number::general(*number, 14).into_bytes()),
        _ => None,
    }
}

/// A copy of a string's bytes.
pub(crate) fn bytes(text: &LuaString) -> Vec<u8> {
    text.as_bytes().to_vec()
}
