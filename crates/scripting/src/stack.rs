//! Lua's stack, as C sees it: the path that every script and every command of one takes.
//!
//! mlua protects each step that may fail by itself, and hands out values by way of a second stack. For a script that calls one command
//! that was most of what it cost. Here a script runs, and a command replies, under one protection each:
//!
//! ```text
//! Stack::protect ─► work (puts KEYS and ARGV there, calls the script, writes its reply)
//!                      └─► Lua ─► Native::call (reads the words, runs the command, puts its reply there)
//! ```
//!
//! Lua raises an error by *jumping* to the nearest protected call, and no frame between is told. Rust allows that of frames in which
//! nothing waits to be dropped. So one rule holds for all code that has a [`Stack`] in its hands: what is marked *may jump* is called only
//! by functions that own nothing at that moment, down from `protect` or from [`Native::call`]. Errors for lack of memory are raised like
//! all others, so whatever allocates in Lua may jump.
//!
//! Every length and index is checked by Lua itself or stands in the reply of a command; `unsafe` of this crate is here and in
//! `stack/call.rs`. `stack/guards.rs` guards Lua's own functions.

use std::ffi::{CStr, c_int, c_void};
use std::slice;

use mlua::{FromLuaMulti, Function, IntoLua, IntoLuaMulti, Lua, Table, Value, ffi};

pub(crate) mod call;
pub(crate) mod guards;

/// What kind of value stands on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No value, or `nil`.
    Nil,
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
    /// A string.
    Text,
    /// A table.
    Table,
    /// Whatever else.
    Other,
}

/// What may be a word of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word<'a> {
    /// A string.
    Text(&'a [u8]),
    /// A number.
    Number(f64),
}

/// What ended a protected call.
#[derive(Debug)]
pub(crate) enum Fault {
    /// An error that the handler has seen before the jump, where it was raised.
    Raised(Value),
    /// Lack of memory, or a stack too deep even for the handler: the interpreter is of no use any more.
    Broken(Value),
}

/// A function of Rust's that Lua calls without mlua between.
pub(crate) trait Native {
    /// Takes its arguments from the stack, leaves its results on top and says how many they are. May jump. It must not panic.
    fn call(stack: Stack) -> c_int;
}

/// A value that Lua keeps for Rust, by its place in the registry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anchor(c_int);

impl Anchor {
    /// Keeps a value.
    pub(crate) fn new(lua: &Lua, value: impl IntoLua) -> mlua::Result<Self> {
        let mut kept = Self(0);
        guarded::<()>(lua, value, |stack| kept = stack.keep())?;
        Ok(kept)
    }

    /// Lets go of it.
    pub(crate) fn release(self, lua: &Lua) -> mlua::Result<()> {
        guarded(lua, (), |stack| stack.let_go(self))
    }
}

/// Does something on the stack under mlua's protection, with these values on top; what lies there afterwards is the answer.
fn guarded<R: FromLuaMulti>(
    lua: &Lua,
    values: impl IntoLuaMulti,
    work: impl FnOnce(Stack),
) -> mlua::Result<R> {
    // SAFETY: the work keeps to the stack that it is given, and owns nothing.
    unsafe { lua.exec_raw(values, |state| work(Stack(state))) }
}

/// A function that Lua calls without mlua between. It keeps values by its side; see [`Stack::push_upvalue`] and [`Stack::go_on`].
pub(crate) fn native<N: Native>(lua: &Lua, kept: impl IntoLuaMulti) -> mlua::Result<Function> {
    guarded(lua, kept, |stack| stack.push_native::<N>(stack.top()))
}

/// Lua's own library of mathematics, which no script knows yet.
pub(crate) fn math(lua: &Lua) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    let loaded: Table = lua.named_registry_value("_LOADED")?;
    // What is loaded under its name is filled in, and nothing is entered in the names of the thread.
    loaded.raw_set("math", &library)?;
    guarded::<()>(lua, (), |stack| {
        // SAFETY: it is a function that Lua calls, here under mlua's protection, and leaves the library on the stack.
        stack.pop(unsafe { ffi::luaopen_math(stack.0) });
    })?;
    Ok(library)
}

/// Where the work of [`Stack::protect`] enters Lua; made once for an interpreter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door(Anchor);

impl Door {
    /// The door of an interpreter.
    pub(crate) fn new(lua: &Lua) -> mlua::Result<Self> {
        extern "C-unwind" fn enter(state: *mut ffi::lua_State) -> c_int {
            // SAFETY: only looks.
            let work = unsafe { ffi::lua_touserdata(state, 1) };
            // SAFETY: `protect` alone calls this function, with one pointer to work that lives until it returns.
            let work = unsafe { &mut *work.cast::<&mut dyn FnMut(Stack)>() };
            Stack(state).pop(1);
            work(Stack(state));
            0
        }
        // SAFETY: no script ever sees the function.
        let function = unsafe { lua.create_c_function(enter) }?;
        Anchor::new(lua, function).map(Self)
    }
}

/// A table as Lua 5.1 lays it out, as far as it is read here (`Table` of its `lobject.h`; the vendored version is the last one).
#[repr(C)]
struct RawTable {
    next: *const c_void,
    kind: u8,
    marked: u8,
    flags: u8,
    nodes_log: u8,
    metatable: *const c_void,
    array: *const c_void,
    nodes: *const c_void,
    last_free: *const c_void,
    gray_next: *const c_void,
    array_len: c_int,
}

/// Where all tables point that have no names: a place of Lua's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoNames(*const c_void);

impl NoNames {
    /// Learns it from a table.
    pub(crate) fn new(lua: &Lua) -> mlua::Result<Self> {
        let mut found = Self(std::ptr::null());
        guarded::<()>(lua, lua.create_table()?, |stack| {
            found = Self(stack.raw_table(-1).map_or(std::ptr::null(), |table| table.nodes));
            stack.pop(1);
        })?;
        Ok(found)
    }
}

/// Lua's stack. Indexes count from 1 at the bottom of the running function's part, and from -1 at the top.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stack(*mut ffi::lua_State);

impl Stack {
    /// The stack of an interpreter in which nothing runs.
    pub(crate) fn of(lua: &Lua) -> mlua::Result<Self> {
        let mut found = Self(std::ptr::null_mut());
        guarded::<()>(lua, (), |stack| found = stack)?;
        Ok(found)
    }

    /// Runs `work` under protection. It leaves nothing on the stack.
    ///
    /// # Errors
    ///
    /// The error that ended it.
    pub(crate) fn protect(
        self,
        lua: &Lua,
        door: Door,
        handler: Anchor,
        mut work: &mut dyn FnMut(Self),
    ) -> Result<(), Fault> {
        self.push_kept(handler);
        self.push_kept(door.0);
        // SAFETY: between scripts the stack has room for three values. The pointer is used before `work` goes.
        unsafe { ffi::lua_pushlightuserdata(self.0, (&raw mut work).cast::<c_void>()) };
        // SAFETY: function and argument lie on top, the handler below them.
        let status = unsafe { ffi::lua_pcall(self.0, 1, 0, -3) };
        let ended = if status == 0 {
            Ok(())
        } else {
            // SAFETY: a failed call leaves one value, and mlua works on the same stack while no function of it runs.
            let value = lua.exec_raw_lua(|raw| unsafe { raw.pop_value() });
            Err(if status == ffi::LUA_ERRRUN { Fault::Raised(value) } else { Fault::Broken(value) })
        };
        self.pop(1);
        ended
    }

    /// How many values the running function has there.
    pub(crate) fn top(self) -> c_int {
        // SAFETY: only looks.
        unsafe { ffi::lua_gettop(self.0) }
    }

    /// What stands at `at`.
    #[inline]
    pub(crate) fn kind(self, at: c_int) -> Kind {
        // SAFETY: only looks, at any index.
        match unsafe { ffi::lua_type(self.0, at) } {
            ffi::LUA_TNIL | ffi::LUA_TNONE => Kind::Nil,
            ffi::LUA_TBOOLEAN => Kind::Boolean,
            ffi::LUA_TNUMBER => Kind::Number,
            ffi::LUA_TSTRING => Kind::Text,
            ffi::LUA_TTABLE => Kind::Table,
            _ => Kind::Other,
        }
    }

    /// Works with the bytes of the string at `at`; with none if something else stands there.
    #[inline]
    pub(crate) fn with_text<R>(self, at: c_int, work: impl FnOnce(&[u8]) -> R) -> R {
        if self.kind(at) == Kind::Text { self.with_bytes(at, work) } else { work(&[]) }
    }

    /// Works with the bytes of a string, which stands at `at`.
    #[inline]
    fn with_bytes<R>(self, at: c_int, work: impl FnOnce(&[u8]) -> R) -> R {
        let mut len = 0;
        // SAFETY: of a string this neither allocates nor converts.
        let bytes = unsafe { ffi::lua_tolstring(self.0, at, &raw mut len) };
        // SAFETY: the string stands on the stack, so it stays where it is.
        work(unsafe { slice::from_raw_parts(bytes.cast(), len) })
    }

    /// Works with the string or the number at `at`; `None` if something else stands there.
    #[inline]
    pub(crate) fn with_word<R>(self, at: c_int, work: impl FnOnce(Word<'_>) -> R) -> Option<R> {
        match self.kind(at) {
            Kind::Text => Some(self.with_bytes(at, |text| work(Word::Text(text)))),
            Kind::Number => Some(work(Word::Number(self.number(at)))),
            _ => None,
        }
    }

    /// The number at `at`; 0 if something else stands there that reads as none.
    pub(crate) fn number(self, at: c_int) -> f64 {
        // SAFETY: only looks.
        unsafe { ffi::lua_tonumber(self.0, at) }
    }

    /// Whether what stands at `at` is neither `nil` nor `false`.
    pub(crate) fn is_true(self, at: c_int) -> bool {
        // SAFETY: only looks.
        unsafe { ffi::lua_toboolean(self.0, at) != 0 }
    }

    /// Puts what stands at `at` there once more.
    pub(crate) fn push_again(self, at: c_int) {
        // SAFETY: a value stands there, and there is room; see `reserve`. So it is with all that follow.
        unsafe { ffi::lua_pushvalue(self.0, at) };
    }

    /// Takes values from the top.
    pub(crate) fn pop(self, count: c_int) {
        // SAFETY: the caller has put them there.
        unsafe { ffi::lua_pop(self.0, count) };
    }

    /// Makes room for so many values, and says whether there is. A function has room for 20 besides its arguments. May jump.
    pub(crate) fn reserve(self, count: c_int) -> bool {
        // SAFETY: Lua checks the count.
        unsafe { ffi::lua_checkstack(self.0, count) != 0 }
    }

    /// Puts `nil` there.
    pub(crate) fn push_nil(self) {
        // SAFETY: as above.
        unsafe { ffi::lua_pushnil(self.0) };
    }

    /// Puts a boolean there.
    pub(crate) fn push_boolean(self, value: bool) {
        // SAFETY: as above.
        unsafe { ffi::lua_pushboolean(self.0, value.into()) };
    }

    /// Puts a number there.
    pub(crate) fn push_number(self, value: f64) {
        // SAFETY: as above.
        unsafe { ffi::lua_pushnumber(self.0, value) };
    }

    /// Puts a string there. May jump.
    pub(crate) fn push_text(self, bytes: &[u8]) {
        // SAFETY: as above; Lua copies.
        unsafe { ffi::lua_pushlstring_(self.0, bytes.as_ptr().cast(), bytes.len()) };
    }

    /// Makes one string of so many at the top. May jump.
    pub(crate) fn concat(self, count: c_int) {
        // SAFETY: the caller has put them there.
        unsafe { ffi::lua_concat(self.0, count) };
    }

    /// Puts a new table there, with room for so many items and so many names. May jump.
    pub(crate) fn push_table(self, items: usize, names: usize) {
        let count = |count: usize| c_int::try_from(count).unwrap_or(c_int::MAX);
        // SAFETY: as above; Lua checks the counts.
        unsafe { ffi::lua_createtable(self.0, count(items), count(names)) };
    }

    /// Takes the value from the top and keeps it. May jump.
    fn keep(self) -> Anchor {
        // SAFETY: a value stands on top.
        Anchor(unsafe { ffi::luaL_ref(self.0, ffi::LUA_REGISTRYINDEX) })
    }

    /// Takes the value from the top and keeps it in the place of another. May jump.
    pub(crate) fn keep_as(self, anchor: Anchor) {
        // SAFETY: a value stands on top, and the registry is a table.
        unsafe { ffi::lua_rawseti_(self.0, ffi::LUA_REGISTRYINDEX, anchor.0) };
    }

    /// Lets go of a kept value. May jump.
    fn let_go(self, anchor: Anchor) {
        // SAFETY: the registry is a table.
        unsafe { ffi::luaL_unref(self.0, ffi::LUA_REGISTRYINDEX, anchor.0) };
    }

    /// Puts a kept value there.
    pub(crate) fn push_kept(self, anchor: Anchor) {
        // SAFETY: as above; the registry is a table.
        unsafe { ffi::lua_rawgeti_(self.0, ffi::LUA_REGISTRYINDEX, anchor.0) };
    }

    /// Puts a value there that the running function keeps by its side, from 1; `nil` if it has not so many.
    pub(crate) fn push_upvalue(self, nth: c_int) {
        // SAFETY: as above; any index may be asked for.
        unsafe { ffi::lua_pushvalue(self.0, ffi::lua_upvalueindex(nth)) };
    }

    /// Goes on as the function of Lua's own that the running one keeps first by its side: same arguments, same place in the script. May jump.
    pub(crate) fn go_on(self) -> c_int {
        // SAFETY: only looks.
        let function = unsafe { ffi::lua_tocfunction(self.0, ffi::lua_upvalueindex(1)) };
        // SAFETY: Lua would call it in the same way.
        function.map_or(0, |function| unsafe { function(self.0) })
    }

    /// Takes the value from the top and puts it in the place of the one at `at`.
    pub(crate) fn replace(self, at: c_int) {
        // SAFETY: a value stands on top, and another at `at`.
        unsafe { ffi::lua_replace(self.0, at) };
    }

    /// Whether a number stands at `at`, or a string that reads as one.
    pub(crate) fn is_number(self, at: c_int) -> bool {
        // SAFETY: only looks.
        unsafe { ffi::lua_isnumber(self.0, at) != 0 }
    }

    /// Whether what stands at `at` is neither Lua's nor a script's to look into.
    pub(crate) fn is_userdata(self, at: c_int) -> bool {
        // SAFETY: only looks.
        unsafe { ffi::lua_isuserdata(self.0, at) != 0 }
    }

    /// Whether two values are the same, whatever their metatables say.
    pub(crate) fn are_same(self, one: c_int, other: c_int) -> bool {
        // SAFETY: only looks.
        unsafe { ffi::lua_rawequal(self.0, one, other) != 0 }
    }

    /// How long the list at `at` is.
    pub(crate) fn len(self, at: c_int) -> usize {
        // SAFETY: only looks.
        unsafe { ffi::lua_objlen(self.0, at) }
    }

    /// Takes a key from the top and puts there what a script finds under it in the table at `at`. May jump.
    pub(crate) fn push_looked_up(self, at: c_int) {
        // SAFETY: a table stands there, and a key on top.
        unsafe { ffi::lua_gettable(self.0, at) };
    }

    /// Takes a key from the top and puts there what the table at `at` has under it.
    pub(crate) fn push_entry(self, at: c_int) {
        debug_assert_eq!(self.kind(at), Kind::Table);
        // SAFETY: a table stands there, and a key on top.
        unsafe { ffi::lua_rawget_(self.0, at) };
    }

    /// Takes so many values from the top and puts a function there that keeps them by its side. May jump.
    pub(crate) fn push_native<N: Native>(self, count: c_int) {
        extern "C-unwind" fn call<N: Native>(state: *mut ffi::lua_State) -> c_int {
            N::call(Stack(state))
        }
        // SAFETY: the values are there, and the function keeps to the stack that it is given, as `Native` demands.
        unsafe { ffi::lua_pushcclosure(self.0, call::<N>, count) };
    }

    /// Takes or adds as many values as it needs for so many to be there; those that are added are `nil`.
    pub(crate) fn settle(self, count: c_int) {
        // SAFETY: a function has room for 20 values besides its arguments.
        unsafe { ffi::lua_settop(self.0, count) };
    }

    /// Raises the error of Lua's own functions unless there is an argument `nth`. May jump.
    pub(crate) fn demand_any(self, nth: c_int) {
        // SAFETY: only looks, and jumps.
        unsafe { ffi::luaL_checkany(self.0, nth) };
    }

    /// Raises the error of Lua's own functions unless argument `nth` is a function. May jump.
    pub(crate) fn demand_function(self, nth: c_int) {
        // SAFETY: only looks, and jumps.
        unsafe { ffi::luaL_checktype(self.0, nth, ffi::LUA_TFUNCTION) };
    }

    /// Raises the error of Lua's own functions unless argument `nth` is a table. May jump.
    pub(crate) fn demand_table(self, nth: c_int) {
        // SAFETY: only looks, and jumps.
        unsafe { ffi::luaL_checktype(self.0, nth, ffi::LUA_TTABLE) };
    }

    /// Raises an error with a text, as Lua does for a script: behind the place where the running function was called. Always jumps.
    pub(crate) fn fail(self, message: &str) -> ! {
        self.push_where();
        self.push_text(message.as_bytes());
        self.concat(2);
        self.raise()
    }

    /// Puts the place there where the running function was called, as errors begin with it; an empty text if no script has called it.
    /// May jump.
    pub(crate) fn push_where(self) {
        // SAFETY: there is room for what it puts there.
        unsafe { ffi::luaL_where(self.0, 1) };
    }

    /// Takes the value from the top and makes it item `nth`, from 1, of the table below it. May jump.
    pub(crate) fn set_item(self, nth: usize) {
        debug_assert_eq!(self.kind(-2), Kind::Table);
        // SAFETY: a table stands below the value.
        unsafe { ffi::lua_rawseti_(self.0, -2, nth as c_int) };
    }

    /// Puts item `nth` of the table at `at` there.
    pub(crate) fn push_item(self, at: c_int, nth: usize) {
        debug_assert_eq!(self.kind(at), Kind::Table);
        // SAFETY: a table stands there.
        unsafe { ffi::lua_rawgeti_(self.0, at, nth as c_int) };
    }

    /// The table at `at`, as Lua keeps it, until the stack changes.
    fn raw_table(&self, at: c_int) -> Option<&RawTable> {
        if self.kind(at) != Kind::Table {
            return None;
        }
        // SAFETY: only looks.
        let table = unsafe { ffi::lua_topointer(self.0, at) };
        // SAFETY: a table that stands on the stack stays where it is, and begins with what `RawTable` has.
        unsafe { table.cast::<RawTable>().as_ref() }
    }

    /// Whether the table at `at` is as one that was made with room for so many items and for no names: whoever sets all of these leaves
    /// nothing in it that was there before. O(1).
    pub(crate) fn is_bare(self, at: c_int, len: usize, no_names: NoNames) -> bool {
        self.raw_table(at).is_some_and(|table| {
            table.metatable.is_null()
                && table.nodes == no_names.0
                && usize::try_from(table.array_len) == Ok(len)
        })
    }

    /// Takes a value and, below it, a key from the top, and enters them in the table below both. Neither `nil` nor NaN is a key. May jump.
    pub(crate) fn set(self) {
        debug_assert_eq!(self.kind(-3), Kind::Table);
        // SAFETY: a table stands below key and value.
        unsafe { ffi::lua_rawset(self.0, -3) };
    }

    /// Takes the value from the top and enters it in the table below it, which has no metatable. May jump.
    pub(crate) fn set_field(self, name: &'static CStr) {
        debug_assert_eq!(self.kind(-2), Kind::Table);
        // SAFETY: a table stands below the value.
        unsafe { ffi::lua_setfield(self.0, -2, name.as_ptr()) };
    }

    /// Puts what the table at the top has under a name there, whatever its metatable says. May jump.
    pub(crate) fn push_field(self, name: &'static str) -> Kind {
        debug_assert_eq!(self.kind(-1), Kind::Table);
        self.push_text(name.as_bytes());
        // SAFETY: a table stands below the name.
        unsafe { ffi::lua_rawget_(self.0, -2) };
        self.kind(-1)
    }

    /// Takes a key from the top and puts the next one of the table below it there, and its value; puts nothing there and says no when
    /// there is none. May jump.
    pub(crate) fn next(self) -> bool {
        debug_assert_eq!(self.kind(-2), Kind::Table);
        // SAFETY: a table stands below the key, which came from `nil` or from here.
        unsafe { ffi::lua_next(self.0, -2) != 0 }
    }

    /// Takes a table from the top and makes it what the function below it sees. May jump.
    pub(crate) fn set_environment(self) {
        // SAFETY: a table stands on top.
        unsafe { ffi::lua_setfenv(self.0, -2) };
    }

    /// Calls the function below so many arguments, and leaves one result. May jump.
    pub(crate) fn call(self, arguments: c_int) {
        self.call_for(arguments, 1);
    }

    /// The same for so many results. May jump.
    pub(crate) fn call_for(self, arguments: c_int, results: c_int) {
        // SAFETY: function and arguments stand on top.
        unsafe { ffi::lua_call(self.0, arguments, results) };
    }

    /// Raises what stands on top. Always jumps.
    pub(crate) fn raise(self) -> ! {
        // SAFETY: nobody between here and the nearest protection has anything to drop; see the head of this file.
        unsafe { ffi::lua_error(self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds as long as Lua lays out its tables as `RawTable` says.
    #[test]
    fn a_table_is_bare_until_anything_but_its_items_is_set() {
        let lua = Lua::new();
        let no_names = NoNames::new(&lua).unwrap();
        let is_bare = |code: &str, len: usize| {
            let table: mlua::Table = lua.load(code).eval().unwrap();
            let mut is_bare = false;
            guarded::<()>(&lua, table, |stack| {
                is_bare = stack.is_bare(-1, len, no_names);
                stack.pop(1);
            })
            .unwrap();
            is_bare
        };
        for (code, len) in [
            ("return {}", 0),
            ("return {'a'}", 1),
            ("return {'a', 'b', 'c'}", 3),
            ("local t = {'a'} t[1] = nil return t", 1),
            ("local t = {'a'} t[1] = {} return t", 1),
            ("return setmetatable(setmetatable({'a'}, {}), nil)", 1),
        ] {
            assert!(is_bare(code, len), "{code}");
            assert!(!is_bare(code, len + 1) && (len == 0 || !is_bare(code, len - 1)), "{code}");
        }
        for (code, len) in [
            ("return {x = 1}", 0),
            ("return {'a', x = 1}", 1),
            ("local t = {'a'} t.x = 1 t.x = nil return t", 1),
            ("local t = {'a'} t[0] = 1 return t", 1),
            ("local t = {'a'} t[2] = 1 return t", 1),
            ("local t = {} t[1] = 1 return t", 0),
            ("return setmetatable({}, {})", 0),
            ("return setmetatable({'a'}, {__index = {}})", 1),
        ] {
            assert!(!is_bare(code, len), "{code}");
        }
    }
}
