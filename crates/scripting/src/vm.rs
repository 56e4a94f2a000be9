//! Lua: one interpreter for each thread that runs scripts.
//!
//! An interpreter is made when its thread first needs one, keeps what it has compiled, and is thrown away when SCRIPT FLUSH asks for that
//! or when a script has taken all its memory. Scripts share it, and see nothing of each other: all that they have in common is read-only
//! (see `sandbox.rs`).

use std::cell::{Cell, OnceCell, RefCell};
use std::ffi::c_int;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use hashbrown::HashMap;
use mlua::chunk::ChunkMode;
use mlua::state::{GcIncParams, GcMode};
use mlua::{Function, HookTriggers, Lua, LuaOptions, StdLib, Table, Value, VmState};
use russet_dispatch::State;
use russet_dispatch::script::Buffers;
use russet_dispatch::scripting::{Library, Sha, Source};
use russet_dispatch::state::{Lent, Thread};
use russet_resp::{Protocol, Writer};

use crate::convert::ReturnedError;
use crate::eval::Words;
use crate::raised::{self, Place, Raised};
use crate::registering::{self, Registered};
use crate::run::{self, Failure};
use crate::sandbox::{Functions, Sandbox};
use crate::stack::{Anchor, Door, Fault, Native, NoNames, Stack};
use crate::{cjson, convert, shebang, stack};

/// Instructions between two looks at the clock.
const INSTRUCTIONS_PER_LOOK: u32 = 10_000;

/// When garbage is looked for, and how fast.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Collecting {
    /// How large an interpreter grows before that, in hundredths of what it kept the last time.
    pause: i32,
    /// How much of it is looked through meanwhile, in hundredths of what is added.
    speed: i32,
}

/// Up to [`SMALL_BYTES`]: each thread has an interpreter, and there is little to look through.
const SMALL: Collecting = Collecting { pause: 150, speed: 1000 };

/// Beyond: what always stays is looked through each time, and Lua would do that twice as often.
const ORDINARY: Collecting = Collecting { pause: 400, speed: 200 };

/// From [`LARGE_BYTES`] on: what Lua does by itself.
const LARGE: Collecting = Collecting { pause: 200, speed: 200 };

/// Up to this size an interpreter has little besides what every one has.
const SMALL_BYTES: usize = 96 << 10;

/// From this size on an interpreter is thrifty, and after the script all that is unused is collected.
const LARGE_BYTES: usize = 8 << 20;

/// Changes of what interpreters take that INFO need not hear of.
const UNCOUNTED_BYTES: usize = 4 << 10;

/// The interpreter of one thread.
pub(crate) struct Vm {
    lua: Lua,
    state: &'static State,
    stack: Stack,
    door: Door,
    handler: Anchor,
    /// What compiled scripts begin with.
    eval_env: Table,
    /// The same, and the names behind it: `KEYS` and `ARGV` are put there.
    env: Anchor,
    names: Anchor,
    keys: Given,
    argv: Given,
    no_names: NoNames,
    /// What functions of libraries see, once there are any.
    functions: OnceCell<Functions>,
    compiled: RefCell<HashMap<Sha, Rc<Compiled>>>,
    /// Those of them that were called last.
    called: RefCell<[Option<Called>; CALLED]>,
    /// Callbacks of libraries, by id and name.
    libraries: RefCell<HashMap<u64, HashMap<String, Anchor>>>,
    flushes: u64,
    memory_max: Cell<usize>,
    counted_bytes: Cell<usize>,
    collecting: Cell<Option<Collecting>>,
    /// What a script's calls are written into.
    buffers: Cell<Option<Box<Buffers>>>,
}

/// A script of the cache, as far as this thread knows it.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) source: Arc<Source>,
    function: Anchor,
}

/// A script by the digits that it was called by, which are compared faster than read.
#[derive(Debug)]
struct Called {
    digits: [u8; 40],
    compiled: Rc<Compiled>,
}

/// How many of those that were called last are remembered. A power of two.
const CALLED: usize = 8;

/// A list that scripts see under a name. The same table from script to script, as long as none has left anything in it.
#[derive(Clone, Copy, Debug)]
struct Given {
    name: Anchor,
    /// What stands under the name.
    list: Anchor,
}

impl Given {
    fn new(lua: &Lua, names: &Table, name: &str) -> mlua::Result<Self> {
        let list = lua.create_table()?;
        names.raw_set(name, &list)?;
        Ok(Self { name: Anchor::new(lua, name)?, list: Anchor::new(lua, list)? })
    }
}

/// What is called, and how it gets its keys and arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Callee {
    /// A script: by the globals `KEYS` and `ARGV`.
    Script(Anchor),
    /// A function of a library: by its two arguments.
    Function(Anchor),
}

impl Compiled {
    /// What is to be called.
    pub(crate) const fn callee(&self) -> Callee {
        Callee::Script(self.function)
    }
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
    if let Some(vm) = own().filter(|vm| vm.flushes == flushes) {
        return Ok(vm);
    }
    discard();
    let vm = Rc::new(Vm::new(state, flushes)?);
    VM.set(Some(Rc::clone(&vm)));
    Ok(vm)
}

/// The interpreter of the script that runs on this thread.
fn own() -> Option<Rc<Vm>> {
    VM.with_borrow(Clone::clone)
}

/// Throws the interpreter of this thread away.
pub(crate) fn discard() {
    drop(VM.take());
}

/// Throws interpreters of this thread away that a SCRIPT FLUSH has made useless, as soon as it has. Never ends.
pub(crate) async fn discard_flushed(state: &'static State) {
    poll_fn(|cx| {
        state.scripts.wake_at_flush(cx.waker());
        let flushes = state.scripts.flushes();
        if own().is_some_and(|vm| vm.flushes != flushes) {
            discard();
        }
        Poll::Pending
    })
    .await
}

impl Drop for Vm {
    fn drop(&mut self) {
        let counted = self.counted_bytes.get() as u64;
        self.state.scripts.lua_bytes.fetch_sub(counted, Ordering::Relaxed);
    }
}

/// As [`press`], from a command of the script.
pub(crate) fn press_own() {
    // Without memory for the hook the next look comes later.
    own().map(|vm| press(&vm.lua));
}

/// Makes the running script stop at its next instruction, wherever it catches errors.
fn press(lua: &Lua) -> mlua::Result<()> {
    lua.set_global_hook(HookTriggers::new().every_nth_instruction(1), |lua, _| look(lua))
}

impl Collecting {
    /// What suits an interpreter that takes so much.
    const fn of(bytes: usize) -> Self {
        if bytes <= SMALL_BYTES {
            SMALL
        } else if bytes <= LARGE_BYTES {
            ORDINARY
        } else {
            LARGE
        }
    }
}

fn arm(lua: &Lua) -> mlua::Result<()> {
    let triggers = HookTriggers::new().every_nth_instruction(INSTRUCTIONS_PER_LOOK);
    lua.set_global_hook(triggers, |lua, _| look(lua))
}

/// The hook: looks whether the script is to stop.
fn look(lua: &Lua) -> mlua::Result<VmState> {
    if let Some(vm) = own() {
        vm.suit_collecting(lua.used_memory());
    }
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

/// Sees an error that no script has caught where it was raised.
struct Handler;

impl Native for Handler {
    fn call(_: Stack) -> c_int {
        if let Some(vm) = own() {
            let place = raised::place(&vm.lua);
            run::with(|run| run.failed_at = place);
        }
        1
    }
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

impl Vm {
    fn new(state: &'static State, flushes: u64) -> mlua::Result<Self> {
        let libraries = StdLib::TABLE | StdLib::STRING;
        // A script does not catch a panic: the locks of its request have fallen with it.
        let lua = Lua::new_with(libraries, LuaOptions::new().catch_rust_panics(false))?;
        // The parser refers to the name of a chunk without holding it.
        for name in ["@user_script", "@user_function"] {
            lua.set_named_registry_value(name, name)?;
        }
        let Sandbox { env, names, .. } = Sandbox::new(&lua)?;
        arm(&lua)?;
        let memory_max = state.tunables.script_memory.load(Ordering::Relaxed) as usize;
        lua.set_memory_limit(memory_max)?;
        let vm = Self {
            state,
            stack: Stack::of(&lua)?,
            door: Door::new(&lua)?,
            handler: Anchor::new(&lua, stack::native::<Handler>(&lua, mlua::Nil)?)?,
            env: Anchor::new(&lua, &env)?,
            keys: Given::new(&lua, &names, "KEYS")?,
            argv: Given::new(&lua, &names, "ARGV")?,
            names: Anchor::new(&lua, names)?,
            eval_env: env,
            functions: OnceCell::new(),
            compiled: RefCell::default(),
            called: RefCell::default(),
            no_names: NoNames::new(&lua)?,
            libraries: RefCell::default(),
            flushes,
            memory_max: Cell::new(memory_max),
            counted_bytes: Cell::new(0),
            collecting: Cell::default(),
            buffers: Cell::default(),
            lua,
        };
        vm.suit_collecting(0);
        vm.lua.gc_collect()?;
        vm.count();
        Ok(vm)
    }

    /// A script compiled, its shebang left out but not its line. The error is Lua's.
    pub(crate) fn compile(&self, code: &[u8]) -> Result<Function, String> {
        let body = &code[shebang::len(code)..];
        let chunk = self.lua.load(body).set_name("@user_script").set_mode(ChunkMode::Text);
        let function = chunk.set_environment(self.eval_env.clone()).into_function();
        function.map_err(|error| raised::foreign(&error))
    }

    /// A script of the cache.
    pub(crate) fn script(&self, sha: &Sha) -> mlua::Result<Option<Rc<Compiled>>> {
        let known = self.compiled.borrow().get(sha).map(Rc::clone);
        if let Some(known) = known {
            if !known.source.is_gone() {
                return Ok(Some(known));
            }
            self.compiled.borrow_mut().remove(sha);
            known.function.release(&self.lua)?;
        }
        let Some(source) = self.state.scripts.find(sha) else { return Ok(None) };
        let function = self.compile(&source.code()).map_err(mlua::Error::runtime)?;
        self.keep(source, function).map(Some)
    }

    /// The script that these digits have called before, if that was not long ago.
    pub(crate) fn called(&self, digits: &[u8]) -> Option<Rc<Compiled>> {
        let called = self.called.borrow();
        let found = called[place_of(digits)?].as_ref().filter(|found| found.digits == *digits)?;
        (!found.compiled.source.is_gone()).then(|| Rc::clone(&found.compiled))
    }

    /// Remembers which script these digits call.
    pub(crate) fn note_called(&self, digits: &[u8], compiled: &Rc<Compiled>) {
        if let (Some(place), Ok(digits)) = (place_of(digits), digits.try_into()) {
            let called = Called { digits, compiled: Rc::clone(compiled) };
            self.called.borrow_mut()[place] = Some(called);
        }
    }

    /// Keeps what has been compiled of a script.
    pub(crate) fn keep(
        &self,
        source: Arc<Source>,
        function: Function,
    ) -> mlua::Result<Rc<Compiled>> {
        let sha = source.sha;
        let compiled = Rc::new(Compiled { source, function: Anchor::new(&self.lua, function)? });
        self.compiled.borrow_mut().insert(sha, Rc::clone(&compiled));
        Ok(compiled)
    }

    /// A function of a library, which is loaded if this interpreter does not have it yet.
    pub(crate) fn function(&self, library: &Library, name: &str) -> Result<Callee, String> {
        let known = || self.libraries.borrow().get(&library.id)?.get(name).copied();
        if let Some(function) = known() {
            return Ok(Callee::Function(function));
        }
        let registered = self.load(&library.code, false)?;
        self.keep_library(library, &registered).map_err(|error| raised::foreign(&error))?;
        known().map(Callee::Function).ok_or_else(|| "Function not found".to_owned())
    }

    /// Keeps the callbacks of a library, and drops those of libraries that are gone.
    pub(crate) fn keep_library(
        &self,
        library: &Library,
        registered: &[Registered],
    ) -> mlua::Result<()> {
        let current = self.state.scripts.libraries();
        let is_gone = |id: &u64| !current.values().any(|library| library.id == *id);
        let mut libraries = self.libraries.borrow_mut();
        for (_, callbacks) in libraries.extract_if(|id, _| is_gone(id)) {
            callbacks.values().try_for_each(|callback| callback.release(&self.lua))?;
        }
        let mut callbacks = HashMap::new();
        for function in registered {
            let callback = Anchor::new(&self.lua, &function.callback)?;
            callbacks.insert(function.name.clone(), callback);
        }
        libraries.insert(library.id, callbacks);
        Ok(())
    }

    /// Runs a library, which registers its functions. `is_timed` if it may not take long. The error is what FUNCTION LOAD answers.
    pub(crate) fn load(&self, code: &[u8], is_timed: bool) -> Result<Vec<Registered>, String> {
        let foreign = |error: mlua::Error| raised::foreign(&error);
        let functions = self.functions().map_err(foreign)?;
        let body = &code[shebang::len(code)..];
        let chunk = self.lua.load(body).set_name("@user_function").set_mode(ChunkMode::Text);
        let chunk = chunk.set_environment(functions.env.clone()).into_function();
        let chunk = chunk
            .map_err(|error| format!("Error compiling function: {}", raised::foreign(&error)))?;
        functions.metatable.raw_set("__index", &functions.loading_names).map_err(foreign)?;
        registering::begin(is_timed);
        let loaded = chunk.call::<()>(());
        let is_overdue = registering::is_overdue();
        let registered = registering::end();
        if is_overdue {
            arm(&self.lua).map_err(foreign)?;
        }
        functions.metatable.raw_set("__index", &functions.names).map_err(foreign)?;
        loaded.map_err(|error| Self::not_registered(&error))?;
        // Compiling leaves more than what stays, and the library may have come in the place of another.
        self.lua.gc_collect().map_err(foreign)?;
        self.rest(false).map_err(foreign)?;
        Ok(registered)
    }

    /// What functions see, which is made when the first library comes.
    fn functions(&self) -> mlua::Result<&Functions> {
        if self.functions.get().is_none() {
            let sandbox = self.lua.app_data_ref::<Sandbox>().map(|sandbox| sandbox.clone());
            let sandbox = sandbox.expect("put there with the interpreter");
            // Nobody else makes it meanwhile.
            let _ = self.functions.set(sandbox.functions(&self.lua)?);
        }
        Ok(self.functions.get().expect("made above"))
    }

    fn not_registered(error: &mlua::Error) -> String {
        let text = match raised::raised(error) {
            Some(Raised::Reply { text, .. }) => String::from_utf8_lossy(text).into_owned(),
            Some(Raised::Text(text)) => format!("ERR {text}"),
            _ => format!("ERR {}", raised::foreign(error)),
        };
        format!("Error registering functions: {text}")
    }

    /// Runs a script to its end and writes what it returned, unless that is an error, which is the answer then.
    pub(crate) fn run(
        &self,
        callee: Callee,
        words: Words<'_>,
        writer: &mut Writer<'_>,
    ) -> Result<Option<ReturnedError>, Fault> {
        cjson::reset();
        let mut error = None;
        self.stack.protect(&self.lua, self.door, self.handler, &mut |stack| {
            let given = self.give(stack, callee, words);
            stack.call(given);
            let is_resp3 = run::with(|run| run.script.protocol() == Protocol::Resp3);
            convert::write_result(stack, writer, is_resp3 == Some(true), &mut error);
        })?;
        Ok(error)
    }

    /// Puts what is called there, with its keys and arguments; says how many of these are on the stack. May jump.
    ///
    /// A script sees all names again, whatever it has made of that before.
    fn give(&self, stack: Stack, callee: Callee, words: Words<'_>) -> c_int {
        match callee {
            Callee::Script(function) => {
                self.give_list(stack, self.keys, words.keys());
                self.give_list(stack, self.argv, words.args());
                stack.push_kept(function);
                stack.push_kept(self.env);
                stack.set_environment();
                0
            }
            Callee::Function(function) => {
                stack.push_kept(function);
                push_list(stack, words.keys());
                push_list(stack, words.args());
                2
            }
        }
    }

    /// Puts words into a list that scripts see by its name. May jump, but not once there is a new list.
    fn give_list<'a>(
        &self,
        stack: Stack,
        given: Given,
        words: impl ExactSizeIterator<Item = &'a [u8]>,
    ) {
        stack.push_kept(given.list);
        if stack.is_bare(-1, words.len(), self.no_names) {
            fill(stack, words);
            return stack.pop(1);
        }
        stack.pop(1);
        push_list(stack, words);
        stack.push_kept(self.names);
        stack.push_kept(given.name);
        stack.push_again(-3);
        stack.set();
        stack.pop(1);
        stack.keep_as(given.list);
    }

    /// What ended a script, for the client; `place` is where it was.
    pub(crate) fn failure(&self, error: Value, place: Option<Place>) -> mlua::Result<Failure> {
        let (text, is_counted) = describe(&raised::convert(&self.lua, error)?)?;
        Ok(Failure { text, place, is_counted })
    }

    /// Memory for the calls of a script.
    pub(crate) fn buffers(&self) -> Box<Buffers> {
        self.buffers.take().unwrap_or_default()
    }

    /// Takes it back.
    pub(crate) fn keep_buffers(&self, buffers: Box<Buffers>) {
        self.buffers.set(Some(buffers));
    }

    /// Looks whether more or less memory may be used than before.
    pub(crate) fn limit_memory(&self) -> mlua::Result<()> {
        let memory_max = self.state.tunables.script_memory.load(Ordering::Relaxed) as usize;
        if memory_max != self.memory_max.replace(memory_max) {
            self.lua.set_memory_limit(memory_max)?;
        }
        Ok(())
    }

    /// Tidies up behind a script; `was_stopped` if the hook runs at every instruction.
    pub(crate) fn rest(&self, was_stopped: bool) -> mlua::Result<()> {
        if was_stopped {
            arm(&self.lua)?;
        }
        let mut used = self.lua.used_memory();
        if used > LARGE_BYTES {
            self.lua.gc_collect()?;
            used = self.lua.used_memory();
        }
        self.suit_collecting(used);
        if used.abs_diff(self.counted_bytes.get()) > UNCOUNTED_BYTES {
            self.count();
        }
        Ok(())
    }

    /// Looks for garbage as suits an interpreter that takes so much.
    fn suit_collecting(&self, used: usize) {
        let suitable = Collecting::of(used);
        if self.collecting.replace(Some(suitable)) != Some(suitable) {
            let how = GcIncParams::default().pause(suitable.pause);
            self.lua.gc_set_mode(GcMode::Incremental(how.step_multiplier(suitable.speed)));
        }
    }

    /// Tells INFO what the interpreter takes.
    fn count(&self) {
        let used = self.lua.used_memory();
        let bytes = &self.state.scripts.lua_bytes;
        bytes.fetch_add(used as u64, Ordering::Relaxed);
        bytes.fetch_sub(self.counted_bytes.replace(used) as u64, Ordering::Relaxed);
    }
}

/// Where what these digits call is remembered.
fn place_of(digits: &[u8]) -> Option<usize> {
    digits.last().map(|last| usize::from(*last) % CALLED)
}

/// Puts a list there. May jump.
fn push_list<'a>(stack: Stack, words: impl ExactSizeIterator<Item = &'a [u8]>) {
    stack.push_table(words.len(), 0);
    fill(stack, words);
}

/// Sets the items of the list on top. May jump.
fn fill<'a>(stack: Stack, words: impl Iterator<Item = &'a [u8]>) {
    for (nth, word) in words.enumerate() {
        stack.push_text(word);
        stack.set_item(nth + 1);
    }
}
