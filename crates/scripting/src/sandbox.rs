//! What scripts see of Lua.
//!
//! Lua 5.1 knows no read-only tables. What scripts share stands behind proxies: empty tables whose reads fall through to the real one
//! and whose writes fail. Every function of Lua's own that would reach a table past its metatable has a guard (`stack/guards.rs`), so
//! that a proxy stays empty and the table behind it out of reach.
//!
//! Each thread that runs scripts has all of this, so it is kept small: Lua's own table of globals holds the names, libraries that few
//! scripts ask for are made when the first one does, and what functions see when there are functions.
//!
//! Errors of functions written in Rust are values that only Rust understands; `raised::convert` turns them into what scripts expect
//! wherever a script can catch one.

use std::sync::OnceLock;
use std::time::Instant;

use mlua::{Function, Lua, LuaString, Table, Value};

use crate::stack::{self, guards, native};
use crate::{api, bit, cjson, cmsgpack, packing, raised, random};

/// Names of Lua's own that scripts do not have.
const ABSENT: [&str; 4] = ["dofile", "loadfile", "newproxy", "print"];

/// Names that mean something else in a script than in a function.
const OWN: [&str; 9] =
    ["KEYS", "ARGV", "_G", "redis", "server", "load", "loadstring", "getfenv", "setfenv"];

/// Libraries that are made when somebody asks for them.
pub(crate) const LATE: [&str; 6] = ["bit", "cjson", "cmsgpack", "math", "os", "struct"];

/// What scripts measure their time from.
static STARTED: OnceLock<Instant> = OnceLock::new();

/// What scripts share. Lua keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Sandbox {
    /// What compiled scripts begin with.
    pub(crate) env: Table,
    /// The names behind it.
    pub(crate) names: Table,
    /// The table behind each proxy.
    behind: Table,
    /// Fails for who changes a proxy.
    locked: Function,
    /// What scripts get for the metatable of a proxy.
    no_metatable: Table,
    /// The metatable of names: fails for those that are not there.
    missing: Table,
    /// Makes of an error what scripts see of it.
    convert: Function,
    /// Lua's own functions that must know what their caller sees.
    reflections: Reflections,
}

/// Functions of Lua's own that must know what their caller sees.
#[derive(Clone, Debug)]
struct Reflections {
    pcall: Function,
    concat: Function,
    loadstring: Function,
    getfenv: Function,
    setfenv: Function,
}

/// What the functions of libraries see.
#[derive(Debug)]
pub(crate) struct Functions {
    /// What compiled libraries begin with.
    pub(crate) env: Table,
    /// Its `__index` says which names they see.
    pub(crate) metatable: Table,
    /// All of them.
    pub(crate) names: Table,
    /// Next to nothing: what they see while their library is being loaded.
    pub(crate) loading_names: Table,
}

impl Sandbox {
    /// Makes of what Lua has what scripts see.
    pub(crate) fn new(lua: &Lua) -> mlua::Result<Self> {
        STARTED.get_or_init(Instant::now);
        let names = lua.globals();
        let own = |name: &str| names.raw_get::<Function>(name);
        let reflections = Reflections {
            pcall: own("pcall")?,
            concat: names.raw_get::<Table>("table")?.raw_get("concat")?,
            loadstring: own("loadstring")?,
            getfenv: own("getfenv")?,
            setfenv: own("setfenv")?,
        };
        let missing =
            native::<guards::Missing>(lua, (own("tostring")?, lua.create_function(late)?))?;
        let sandbox = Self {
            env: lua.create_table()?,
            behind: lua.create_table()?,
            locked: native::<guards::Locked>(lua, ())?,
            no_metatable: lua.create_table()?,
            missing: lua.create_table_from([("__index", missing)])?,
            convert: lua.create_function(raised::convert)?,
            reflections,
            names,
        };
        sandbox.seal_metatable(lua)?;
        sandbox.guard_names(lua)?;
        sandbox.guard_libraries(lua)?;
        let sees = lua.create_table()?;
        sandbox.complete(lua, &sandbox.names, &sandbox.env, &sees, api::for_eval(lua)?)?;
        lua.set_globals(sandbox.env.clone())?;
        lua.set_app_data(sandbox.clone());
        Ok(sandbox)
    }

    fn seal_metatable(&self, lua: &Lua) -> mlua::Result<()> {
        self.no_metatable.raw_set("__newindex", &self.locked)?;
        self.no_metatable.raw_set("__metatable", false)?;
        self.no_metatable.set_metatable(Some(self.no_metatable.clone()))?;
        self.behind.raw_set(&self.no_metatable, lua.create_table()?)
    }

    /// A proxy in front of a table.
    fn protect(&self, lua: &Lua, names: &Table) -> mlua::Result<Table> {
        let proxy = lua.create_table()?;
        self.protect_as(&proxy, names, &lua.create_table()?)?;
        Ok(proxy)
    }

    /// Makes a proxy of an empty table. Its metatable is filled in.
    fn protect_as(&self, proxy: &Table, names: &Table, metatable: &Table) -> mlua::Result<()> {
        metatable.raw_set("__index", names)?;
        metatable.raw_set("__newindex", &self.locked)?;
        metatable.raw_set("__metatable", &self.no_metatable)?;
        proxy.set_metatable(Some(metatable.clone()))?;
        self.behind.raw_set(proxy, names)
    }

    /// Guards in front of Lua's own functions.
    fn guard_names(&self, lua: &Lua) -> mlua::Result<()> {
        let (names, behind, convert) = (&self.names, &self.behind, &self.convert);
        let own = |name: &str| names.raw_get::<Function>(name);
        let next = own("next")?;
        let guarded = native::<guards::Reads>(lua, (&next, behind))?;
        names.raw_set("pairs", native::<guards::Pairs>(lua, (next, behind, &guarded))?)?;
        names.raw_set("next", guarded)?;
        names.raw_set("rawget", native::<guards::Reads>(lua, (own("rawget")?, behind))?)?;
        for name in ["rawset", "setmetatable"] {
            names.raw_set(name, native::<guards::Changes>(lua, (own(name)?, behind))?)?;
        }
        let get = native::<guards::GetMetatable>(lua, own("getmetatable")?)?;
        names.raw_set("getmetatable", get)?;
        names.raw_set("unpack", native::<guards::Unpack>(lua, own("unpack")?)?)?;
        names.raw_set("tonumber", native::<guards::ToNumber>(lua, own("tonumber")?)?)?;
        let collect = native::<guards::CollectGarbage>(lua, own("collectgarbage")?)?;
        names.raw_set("collectgarbage", collect)?;
        names.raw_set("pcall", native::<guards::ProtectedCall>(lua, (own("pcall")?, convert))?)?;
        names.raw_set("xpcall", native::<guards::HandledCall>(lua, (own("xpcall")?, convert))?)?;
        ABSENT.iter().try_for_each(|name| names.raw_set(*name, mlua::Nil))
    }

    /// The same in libraries that are always there, and proxies in front of these.
    fn guard_libraries(&self, lua: &Lua) -> mlua::Result<()> {
        let library = |name: &str| self.names.raw_get::<Table>(name);
        let (strings, tables, coroutines) =
            (library("string")?, library("table")?, library("coroutine")?);
        strings.raw_set("find", native::<guards::Find>(lua, own(&strings, "find")?)?)?;
        for name in ["match", "gmatch", "gsub"] {
            strings.raw_set(name, native::<guards::Pattern>(lua, own(&strings, name)?)?)?;
        }
        strings.raw_set("gfind", own(&strings, "gmatch")?)?;
        for name in ["insert", "remove", "sort", "setn"] {
            let guard = native::<guards::Changes>(lua, (own(&tables, name)?, &self.behind))?;
            tables.raw_set(name, guard)?;
        }
        let resume = (own(&coroutines, "resume")?, &self.convert);
        coroutines.raw_set("resume", native::<guards::Resume>(lua, resume)?)?;
        for (name, library) in [("table", tables), ("coroutine", coroutines)] {
            self.names.raw_set(name, self.protect(lua, &library)?)?;
        }
        let proxy = self.protect(lua, &strings)?;
        self.names.raw_set("string", &proxy)?;
        let of_text = lua.type_metatable::<LuaString>().expect("made with the library");
        of_text.raw_set("__index", proxy)?;
        of_text.raw_set("__metatable", &self.no_metatable)
    }

    /// Completes names by those that are not everybody's, and puts a proxy in front of them.
    fn complete(
        &self,
        lua: &Lua,
        names: &Table,
        env: &Table,
        metatable: &Table,
        api: Table,
    ) -> mlua::Result<()> {
        names.raw_set("_G", env)?;
        let api = self.protect(lua, &api)?;
        names.raw_set("redis", &api)?;
        names.raw_set("server", api)?;
        let own = &self.reflections;
        let text = native::<guards::LoadString>(lua, (&own.loadstring, env))?;
        let gather = native::<guards::Gather>(lua, &own.concat)?;
        let load = native::<guards::Load>(lua, (&own.pcall, &self.convert, &text, gather))?;
        names.raw_set("loadstring", text)?;
        names.raw_set("load", load)?;
        let get = native::<guards::GetNames>(lua, (&own.getfenv, env, &self.names))?;
        names.raw_set("getfenv", get)?;
        names.raw_set("setfenv", native::<guards::SetNames>(lua, &own.setfenv)?)?;
        names.set_metatable(Some(self.missing.clone()))?;
        self.protect_as(env, names, metatable)
    }

    /// What functions see.
    pub(crate) fn functions(&self, lua: &Lua) -> mlua::Result<Functions> {
        let names = lua.create_table()?;
        for pair in self.names.pairs::<LuaString, Value>() {
            let (name, value) = pair?;
            if !OWN.iter().any(|own| name == *own) {
                names.raw_set(name, value)?;
            }
        }
        let (env, metatable) = (lua.create_table()?, lua.create_table()?);
        self.complete(lua, &names, &env, &metatable, api::common(lua)?)?;
        Ok(Functions { env, metatable, names, loading_names: self.loading_names(lua)? })
    }

    fn loading_names(&self, lua: &Lua) -> mlua::Result<Table> {
        let tostring: Function = self.names.raw_get("tostring")?;
        let index = native::<guards::Missing>(lua, tostring)?;
        let missing = lua.create_table_from([("__index", index)])?;
        let api = api::for_loading(lua)?;
        api.set_metatable(Some(missing.clone()))?;
        let api = self.protect(lua, &api)?;
        let names = lua.create_table_from([("redis", &api), ("server", &api)])?;
        names.set_metatable(Some(missing))?;
        Ok(names)
    }
}

fn own(library: &Table, name: &str) -> mlua::Result<Function> {
    library.raw_get(name)
}

/// Enters a library of [`LATE`] in the names in which it was missed. Scripts and functions have the same one.
fn late(lua: &Lua, (names, name): (Table, LuaString)) -> mlua::Result<Table> {
    let sandbox = lua.app_data_ref::<Sandbox>().map(|sandbox| sandbox.clone());
    let sandbox = sandbox.expect("put there before any script ran");
    let proxy = match sandbox.names.raw_get(&name)? {
        Some(proxy) => proxy,
        None => sandbox.protect(lua, &library(lua, &name.as_bytes())?)?,
    };
    sandbox.names.raw_set(&name, &proxy)?;
    names.raw_set(name, &proxy)?;
    Ok(proxy)
}

fn library(lua: &Lua, name: &[u8]) -> mlua::Result<Table> {
    match name {
        b"bit" => bit::library(lua),
        b"cjson" => cjson::library(lua),
        b"cmsgpack" => cmsgpack::library(lua),
        b"math" => math(lua),
        b"os" => os(lua),
        _ => packing::library(lua),
    }
}

fn math(lua: &Lua) -> mlua::Result<Table> {
    let math = stack::math(lua)?;
    math.raw_set("random", lua.create_function(random::random)?)?;
    math.raw_set("randomseed", lua.create_function(random::seed)?)?;
    Ok(math)
}

fn os(lua: &Lua) -> mlua::Result<Table> {
    let clock = |_: &Lua, ()| Ok(STARTED.get().map_or(0.0, |at| at.elapsed().as_secs_f64()));
    lua.create_table_from([("clock", lua.create_function(clock)?)])
}
