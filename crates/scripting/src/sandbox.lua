-- What scripts see of Lua.
--
-- Lua 5.1 knows no read-only tables. What scripts share stands behind proxies: empty tables whose reads fall through to the real one
-- and whose writes fail. Every function of Lua's own that would reach a table past its metatable has a guard (`stack/guards.rs`), so
-- that a proxy stays empty and the table behind it out of reach.
--
-- Errors of functions written in Rust are values that only Rust understands; `convert` turns them into what scripts expect wherever
-- a script can catch one.

local native = ...
local convert, guard = native.convert, native.guard
local error, type, tostring, tonumber, select = error, type, tostring, tonumber, select
local raw_pcall, raw_xpcall, raw_next, raw_pairs = pcall, xpcall, next, pairs
local raw_get, raw_set, raw_setmetatable, raw_getmetatable = rawget, rawset, setmetatable, getmetatable
local raw_loadstring, raw_setfenv, raw_getfenv, raw_unpack = loadstring, setfenv, getfenv, unpack
local raw_collect = collectgarbage
local string, table, math, coroutine = string, table, math, coroutine
local byte, find, gsub, concat = string.byte, string.find, string.gsub, table.concat

-- The table behind each proxy.
local behind = {}

local function locked()
  error('Attempt to modify a readonly table', 2)
end

-- What scripts get for the metatable of a proxy.
local no_metatable = raw_setmetatable({}, { __newindex = locked, __metatable = false })
behind[no_metatable] = {}

local function protect(names, metatable)
  local proxy = {}
  behind[proxy] = names
  metatable = metatable or {}
  metatable.__index = names
  metatable.__newindex = locked
  metatable.__metatable = no_metatable
  return raw_setmetatable(proxy, metatable)
end

local function copy(names)
  local new = {}
  for name, value in raw_pairs(names) do new[name] = value end
  return new
end

-- Fails for names that are not there, as seen from the script.
local missing = {
  __index = function(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
  end,
}

-- The error of a function that is wrapped here does not say where the wrapper stands.
local function plain(failure)
  if type(failure) == 'userdata' then failure = convert(failure) end
  if type(failure) == 'string' and find(failure, '^sandbox:%d+: ') then failure = gsub(failure, '^sandbox:%d+: ', '', 1) end
  return failure
end

local function caught(ok, ...)
  if ok then return ok, ... end
  local failure = plain(...)
  if type(failure) == 'table' then
    local text = raw_get(failure, 'err')
    if type(text) == 'string' or type(text) == 'number' then failure = text end
  end
  return false, failure
end

local base = {
  assert = assert, tostring = tostring, tonumber = native.tonumber, type = type, select = select, error = error, ipairs = ipairs,
  rawequal = rawequal, gcinfo = gcinfo, _VERSION = _VERSION,
}

function base.pcall(...)
  return caught(raw_pcall(...))
end

function base.xpcall(...)
  if select('#', ...) < 2 then error("bad argument #2 to 'xpcall' (value expected)", 2) end
  local work, handler = ...
  return raw_xpcall(work, function(failure)
    return handler(plain(failure))
  end)
end

base.next, base.rawget = guard('reads', raw_next, behind), guard('reads', raw_get, behind)
base.pairs = guard('pairs', raw_next, behind, base.next)
base.rawset, base.setmetatable = guard('changes', raw_set, behind), guard('changes', raw_setmetatable, behind)
base.getmetatable, base.unpack = guard('getmetatable', raw_getmetatable), guard('unpack', raw_unpack)

-- The collector belongs to all scripts of the thread: they may look, and ask it to work.
function base.collectgarbage(what)
  if what == 'count' then return raw_collect('count') end
  local is_done = raw_collect('step', 100)
  if what == 'step' then return is_done end
  local options = ' collect stop restart setpause setstepmul '
  if what ~= nil and not find(options, ' ' .. tostring(what) .. ' ', 1, true) then
    error("bad argument #1 to 'collectgarbage' (invalid option '" .. tostring(what) .. "')", 2)
  end
  return 0
end

local strings, tables = copy(string), copy(table)
strings.find = guard('find', string.find)
strings.match, strings.gmatch, strings.gsub =
  guard('pattern', string.match), guard('pattern', string.gmatch), guard('pattern', string.gsub)
strings.gfind = strings.gmatch
for _, name in raw_pairs({ 'insert', 'remove', 'sort', 'setn' }) do
  tables[name] = guard('changes', table[name], behind)
end

local maths = copy(math)
maths.random, maths.randomseed = native.random, native.randomseed

local coroutines = copy(coroutine)
coroutines.resume = guard('resume', coroutine.resume, plain)

base.string, base.table, base.math, base.coroutine = protect(strings), protect(tables), protect(maths), protect(coroutines)
base.os = protect({ clock = native.clock })
base.cjson, base.cmsgpack = protect(native.cjson), protect(native.cmsgpack)
base.struct, base.bit = protect(native.struct), protect(native.bit)
raw_getmetatable('').__index = base.string
raw_getmetatable('').__metatable = no_metatable

-- Functions that must know which names their script sees.
local function reflections(names, env)
  local function load_text(text, name)
    if type(text) == 'number' then text = tostring(text) end
    if type(text) ~= 'string' then error("bad argument #1 to 'loadstring' (string expected, got " .. type(text) .. ')', 3) end
    if byte(text, 1) == 27 then return nil, 'attempt to load a binary chunk' end
    local work, failure = raw_loadstring(text, name or text)
    if work then raw_setfenv(work, env) end
    return work, failure
  end

  function names.loadstring(text, name)
    return load_text(text, name)
  end

  function names.load(read, name)
    if type(read) ~= 'function' then
      error("bad argument #1 to 'load' (function expected, got " .. (read == nil and 'no value' or type(read)) .. ')', 2)
    end
    local pieces = {}
    while true do
      local ok, piece = raw_pcall(read)
      if not ok then return nil, plain(piece) end
      if piece == nil or piece == '' then break end
      if type(piece) ~= 'string' then return nil, 'reader function must return a string' end
      pieces[#pieces + 1] = piece
    end
    return load_text(concat(pieces), name or '=(load)')
  end

  names.getfenv, names.setfenv = guard('getfenv', raw_getfenv, env, native.globals), guard('setfenv', raw_setfenv)
end

-- A set of names, and the table through which scripts see them.
local function world(api)
  local names = copy(base)
  local env = protect(names)
  names._G = env
  names.redis = protect(api)
  names.server = names.redis
  reflections(names, env)
  return raw_setmetatable(names, missing), env
end

local eval_names, eval_env = world(native.eval_api)
local function_names = world(native.function_api)

-- While a library is being loaded its functions see next to nothing; the names change behind the one table that they all have.
local loading_api = raw_setmetatable(native.loading_api, missing)
local loading_names = raw_setmetatable({ redis = protect(loading_api) }, missing)
loading_names.server = loading_names.redis
local function_metatable = {}
local function_env = protect(function_names, function_metatable)
raw_set(function_names, '_G', function_env)
behind[function_env] = function_names
reflections(function_names, function_env)

-- Nobody is left who may look into these through the functions above.
for _, value in raw_pairs({ base, strings, tables, maths, coroutines }) do
  for _, work in raw_pairs(value) do
    if type(work) == 'function' then raw_pcall(raw_setfenv, work, eval_env) end
  end
end

return eval_names, eval_env, function_env, function_metatable, function_names, loading_names
