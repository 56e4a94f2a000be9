//! Lua: one interpreter for each thread that runs scripts.
//!
//! An interpreter is made when its thread first needs one, keeps what it has compiled, and is thrown away when SCRIPT FLUSH asks for that
//! or when a script has taken all its memory. Scripts share it, and see nothing of each other: all that they have in common is read-only
//! (see `sandbox.lua`).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use hashbrown::HashMap;
use mlua::chunk::ChunkMode;
use mlua::{Function, HookTriggers, Lua, LuaOptions, StdLib, Table, Value, VmState};
use russet_dispatch::State;
use russet_dispatch::scripting::{Library, Sha, Source};
use russet_dispatch::state::{Lent, Thread};

use crate::raised::{self, Raised};
use crate::registering::{self, Registered};
use crate::run::{self, Failure};
use crate::{api, bit, cjson, cmsgpack, packing, random, shebang};

/// Instructions between two looks at the clock.
const INSTRUCTIONS_PER_LOOK: u32 = 10_000;

/// What an interpreter may keep after a script before all that is unused is collected.
const KEPT_BYTES_MAX: usize = 16 << 20;

/// Changes of what interpreters take that INFO need not hear of.
const UNCOUNTED_BYTES: usize = 16 << 10;

/// The interpreter of one thread.
pub(crate) struct Vm {
    lua: Lua,
    state: &'static State,
    xpcall: Function,
    handler: Function,
    /// The names that scripts see: `KEYS` and `ARGV` are put here.
    eval_names: Table,
    eval_env: Table,
    function_env: Table,
    /// Its `__index` says which names functions see.
    function_metatable: Table,
    function_names: Table,
    loading_names: Table,
    /// Makes a function that calls another with keys and arguments.
    bind: Function,
    /// Compiled scripts, by slot. References from Rust are few, so only the table is one.
    chunks: Table,
    sources: RefCell<HashMap<Sha, (Arc<Source>, i64)>>,
    slots: RefCell<(Vec<i64>, i64)>,
    /// Callbacks of libraries, by id and name.
    libraries: Table,
    flushes: u64,
    memory_max: Cell<usize>,
    counted_bytes: Cell<usize>,
}

thread_local! {
    static VM: RefCell<Option<Rc<Vm>>> = const { RefCell::new(None) };
    static THREAD: RefCell<Option<Lent>> = const { RefCell::new(None) };
}

/// Gives what this thread owns while it runs commands of scripts.
pub(crate) fn with_thread<R>(state: &'static State, work: impl FnOnce(&Thread) -> R) -> R {
    THREAD.with_borrow_mut(|lent| work(lent.get_or_insert_with(|| state.lend_thread())))
}

/// The interpreter of this thread.
pub(crate) fn get(state: &'static State) -> mlua::Result<Rc<Vm>> {
    let flushes = state.scripts.flushes();
    let known = VM.with_borrow(Clone::clone).filter(|vm| vm.flushes == flushes);
    if let Some(vm) = known {
        return Ok(vm);
    }
    discard();
    let vm = Rc::new(Vm::new(state, flushes)?);
    VM.set(Some(Rc::clone(&vm)));
    Ok(vm)
}

/// Throws the interpreter of this thread away.
pub(crate) fn discard() {
    drop(VM.take());
}

impl Drop for Vm {
    fn drop(&mut self) {
        let counted = self.counted_bytes.get() as u64;
        self.state.scripts.lua_bytes.fetch_sub(counted, Ordering::Relaxed);
    }
}

/// Makes the running script stop at its next instruction, wherever it catches errors.
pub(crate) fn press(lua: &Lua) -> mlua::Result<()> {
    lua.set_global_hook(HookTriggers::new().every_nth_instruction(1), |lua, _| look(lua))
}

fn arm(lua: &Lua) -> mlua::Result<()> {
    let triggers = HookTriggers::new().every_nth_instruction(INSTRUCTIONS_PER_LOOK);
    lua.set_global_hook(triggers, |lua, _| look(lua))
}

/// The hook: looks whether the script is to stop.
fn look(lua: &Lua) -> mlua::Result<VmState> {
    let is_stopping = run::with(|run| {
        run.tick(Some(lua));
        run.stopping.is_some()
    });
    match is_stopping {
        Some(true) => {
            press(lua)?;
            Err(mlua::Error::external(Raised::Stopping))
        }
        None if registering::is_overdue() => {
            press(lua)?;
            Err(raised::reply("FUNCTION LOAD timeout"))
        }
        _ => Ok(VmState::Continue),
    }
}

/// The handler of errors that no script has caught: it sees where the script was.
fn handle(lua: &Lua, error: Value) -> mlua::Result<()> {
    let place = raised::place(lua);
    let value = raised::convert(lua, error)?;
    let (text, is_counted) = describe(&value)?;
    let text = match text.strip_prefix(b"ERR sandbox:") {
        // The error of a function of Lua's own that is wrapped: it is the script's.
        Some(rest) => {
            let from = rest.iter().position(|byte| *byte == b' ').map_or(0, |at| at + 1);
            let at = place.as_ref().map(|at| format!("{}:{}: ", at.short, at.line));
            [b"ERR ", at.unwrap_or_default().as_bytes(), &rest[from..]].concat()
        }
        None => text,
    };
    run::with(|run| run.failure = Some(Failure { text, place, is_counted }));
    Ok(())
}

/// The text of an error, and whether it has been counted.
fn describe(value: &Value) -> mlua::Result<(Vec<u8>, bool)> {
    let Value::Table(table) = value else {
        let text = raised::bytes_of(value).unwrap_or_else(|| match value {
            Value::Boolean(is_true) => is_true.to_string().into_bytes(),
            value => crate::type_name(value).as_bytes().to_vec(),
        });
        return Ok(([b"ERR ", &text[..]].concat(), false));
    };
    let ignored: Value = table.raw_get("ignore_error_stats_update")?;
    let text = raised::bytes_of(&table.raw_get("err")?);
    let text = text.unwrap_or_else(|| b"ERR unknown error".to_vec());
    Ok((text, matches!(ignored, Value::Boolean(true))))
}

/// What `sandbox.lua` returns.
type Seen = (Table, Table, Table, Table, Table, Table, Function);

impl Vm {
    fn new(state: &'static State, flushes: u64) -> mlua::Result<Self> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
        // A script does not catch a panic: the locks of its request have fallen with it.
        let lua = Lua::new_with(libraries, LuaOptions::new().catch_rust_panics(false))?;
        let globals = lua.globals();
        // The parser refers to the name of a chunk without holding it.
        for name in ["@user_script", "@user_function"] {
            lua.set_named_registry_value(name, name)?;
        }
        let natives = natives(&lua)?;
        let sandbox = lua.load(include_str!("sandbox.lua")).set_name(raised::SANDBOX);
        let xpcall: Function = globals.raw_get("xpcall")?;
        let (
            eval_names,
            eval_env,
            function_env,
            function_metatable,
            function_names,
            loading_names,
            bind,
        ): Seen = sandbox.call(natives)?;
        lua.set_globals(eval_env.clone())?;
        arm(&lua)?;
        let memory_max = state.tunables.script_memory.load(Ordering::Relaxed) as usize;
        lua.set_memory_limit(memory_max)?;
        Ok(Self {
            state,
            xpcall,
            handler: lua.create_function(handle)?,
            eval_names,
            eval_env,
            function_env,
            function_metatable,
            function_names,
            loading_names,
            bind,
            chunks: lua.create_table()?,
            sources: RefCell::default(),
            slots: RefCell::default(),
            libraries: lua.create_table()?,
            flushes,
            memory_max: Cell::new(memory_max),
            counted_bytes: Cell::new(0),
            lua,
        })
    }

    /// A script compiled, its shebang left out but not its line. The error is Lua's.
    pub(crate) fn compile(&self, code: &[u8]) -> Result<Function, String> {
        let body = &code[shebang::len(code)..];
        let chunk = self.lua.load(body).set_name("@user_script").set_mode(ChunkMode::Text);
        let function = chunk.set_environment(self.eval_env.clone()).into_function();
        function.map_err(|error| raised::foreign(&error))
    }

    /// A script of the cache and what has been compiled of it.
    pub(crate) fn source(&self, sha: &Sha) -> mlua::Result<Option<(Arc<Source>, Function)>> {
        let known = self.sources.borrow().get(sha).cloned();
        if let Some((source, slot)) = known {
            if !source.is_gone() {
                return Ok(Some((source, self.chunks.raw_get(slot)?)));
            }
            self.forget(sha, slot)?;
        }
        let Some(source) = self.state.scripts.find(sha) else { return Ok(None) };
        let function = self.compile(&source.code).map_err(mlua::Error::runtime)?;
        self.keep(&source, &function)?;
        Ok(Some((source, function)))
    }

    /// Keeps what has been compiled of a script.
    pub(crate) fn keep(&self, source: &Arc<Source>, function: &Function) -> mlua::Result<()> {
        let slot = {
            let (free, last) = &mut *self.slots.borrow_mut();
            free.pop().unwrap_or_else(|| {
                *last += 1;
                *last
            })
        };
        self.chunks.raw_set(slot, function)?;
        self.sources.borrow_mut().insert(source.sha, (Arc::clone(source), slot));
        Ok(())
    }

    fn forget(&self, sha: &Sha, slot: i64) -> mlua::Result<()> {
        self.sources.borrow_mut().remove(sha);
        self.slots.borrow_mut().0.push(slot);
        self.chunks.raw_set(slot, Value::Nil)
    }

    /// A function of a library, which is loaded if this interpreter does not have it yet.
    pub(crate) fn function(&self, library: &Library, name: &str) -> Result<Function, String> {
        let foreign = |error: mlua::Error| raised::foreign(&error);
        if let Some(known) = self.libraries.raw_get::<Option<Table>>(library.id).map_err(foreign)? {
            return known.raw_get(name).map_err(foreign);
        }
        let registered = self.load(&library.code, false)?;
        self.keep_library(library, &registered).map_err(foreign)?;
        self.function(library, name)
    }

    /// Keeps the callbacks of a library, and drops those of libraries that are gone.
    pub(crate) fn keep_library(
        &self,
        library: &Library,
        registered: &[Registered],
    ) -> mlua::Result<()> {
        let current = self.state.scripts.libraries();
        let is_gone = |id: &u64| !current.values().any(|library| library.id == *id);
        let known: Vec<u64> =
            self.libraries.pairs::<u64, Table>().filter_map(Result::ok).map(|(id, _)| id).collect();
        for id in known.into_iter().filter(is_gone) {
            self.libraries.raw_set(id, Value::Nil)?;
        }
        let callbacks = self.lua.create_table()?;
        for function in registered {
            callbacks.raw_set(function.name.as_str(), &function.callback)?;
        }
        self.libraries.raw_set(library.id, callbacks)
    }

    /// Runs a library, which registers its functions. `is_timed` if it may not take long. The error is what FUNCTION LOAD answers.
    pub(crate) fn load(&self, code: &[u8], is_timed: bool) -> Result<Vec<Registered>, String> {
        let body = &code[shebang::len(code)..];
        let chunk = self.lua.load(body).set_name("@user_function").set_mode(ChunkMode::Text);
        let chunk = chunk.set_environment(self.function_env.clone()).into_function();
        let chunk = chunk
            .map_err(|error| format!("Error compiling function: {}", raised::foreign(&error)))?;
        let foreign = |error: mlua::Error| raised::foreign(&error);
        self.function_metatable.raw_set("__index", &self.loading_names).map_err(foreign)?;
        registering::begin(is_timed);
        let loaded = chunk.call::<()>(());
        let is_overdue = registering::is_overdue();
        let registered = registering::end();
        if is_overdue {
            arm(&self.lua).map_err(foreign)?;
        }
        self.function_metatable.raw_set("__index", &self.function_names).map_err(foreign)?;
        loaded.map_err(|error| Self::not_registered(&error))?;
        Ok(registered)
    }

    fn not_registered(error: &mlua::Error) -> String {
        let text = match raised::raised(error) {
            Some(Raised::Reply { text, .. }) => String::from_utf8_lossy(text).into_owned(),
            Some(Raised::Text(text)) => format!("ERR {text}"),
            _ => format!("ERR {}", raised::foreign(error)),
        };
        format!("Error registering functions: {text}")
    }

    /// Sets the global `KEYS` and `ARGV` of scripts, and shows a script all names again, whatever it has made of that.
    pub(crate) fn prepare(
        &self,
        function: &Function,
        keys: &[&[u8]],
        args: &[&[u8]],
    ) -> mlua::Result<()> {
        function.set_environment(self.eval_env.clone())?;
        self.eval_names.raw_set("KEYS", self.list(keys)?)?;
        self.eval_names.raw_set("ARGV", self.list(args)?)
    }

    /// A function that calls another with keys and arguments.
    pub(crate) fn bound(
        &self,
        function: &Function,
        keys: &[&[u8]],
        args: &[&[u8]],
    ) -> mlua::Result<Function> {
        self.bind.call((function, self.list(keys)?, self.list(args)?))
    }

    fn list(&self, words: &[&[u8]]) -> mlua::Result<Table> {
        let list = self.lua.create_table_with_capacity(words.len(), 0)?;
        for (nth, word) in words.iter().enumerate() {
            list.raw_set(nth + 1, self.lua.create_string(word)?)?;
        }
        Ok(list)
    }

    /// Runs a script to its end: whether it got there, and what it returned.
    pub(crate) fn call(&self, function: &Function) -> mlua::Result<(bool, Value)> {
        let memory_max = self.state.tunables.script_memory.load(Ordering::Relaxed) as usize;
        if memory_max != self.memory_max.replace(memory_max) {
            self.lua.set_memory_limit(memory_max)?;
        }
        cjson::reset();
        self.xpcall.call((function, &self.handler))
    }

    /// Tidies up behind a script; `was_stopped` if the hook runs at every instruction.
    pub(crate) fn rest(&self, was_stopped: bool) -> mlua::Result<()> {
        if was_stopped {
            arm(&self.lua)?;
        }
        let mut used = self.lua.used_memory();
        if used > KEPT_BYTES_MAX {
            self.lua.gc_collect()?;
            used = self.lua.used_memory();
        }
        let counted = self.counted_bytes.get();
        if used.abs_diff(counted) > UNCOUNTED_BYTES {
            let bytes = &self.state.scripts.lua_bytes;
            bytes.fetch_add(used as u64, Ordering::Relaxed);
            bytes.fetch_sub(counted as u64, Ordering::Relaxed);
            self.counted_bytes.set(used);
        }
        Ok(())
    }
}

/// What `sandbox.lua` gets from here.
fn natives(lua: &Lua) -> mlua::Result<Table> {
    let natives = lua.create_table()?;
    let started = Instant::now();
    natives.raw_set("convert", lua.create_function(raised::convert)?)?;
    natives.raw_set("random", lua.create_function(random::random)?)?;
    natives.raw_set("randomseed", lua.create_function(random::seed)?)?;
    natives
        .raw_set("clock", lua.create_function(move |_, ()| Ok(started.elapsed().as_secs_f64()))?)?;
    natives.raw_set("cjson", cjson::library(lua)?)?;
    natives.raw_set("cmsgpack", cmsgpack::library(lua)?)?;
    natives.raw_set("struct", packing::library(lua)?)?;
    natives.raw_set("bit", bit::library(lua)?)?;
    natives.raw_set("eval_api", api::for_eval(lua)?)?;
    natives.raw_set("function_api", api::common(lua)?)?;
    natives.raw_set("loading_api", api::for_loading(lua)?)?;
    natives.raw_set("globals", lua.globals())?;
    natives.raw_set("own", lua.create_table()?)?;
    Ok(natives)
}
