-- What scripts see of Lua.
--
-- Lua 5.1 knows no read-only tables. What scripts share stands behind proxies: empty tables whose reads fall through to the real one
-- and whose writes fail. Every function of Lua's own that would reach a table past its metatable is wrapped, so that a proxy stays
-- empty and the table behind it out of reach.
--
-- Errors of functions written in Rust are values that only Rust understands; `convert` turns them into what scripts expect wherever
-- a script can catch one.

local native = ...
local convert = native.convert
local error, type, tostring, tonumber, select = error, type, tostring, tonumber, select
local raw_pcall, raw_xpcall, raw_next, raw_pairs = pcall, xpcall, next, pairs
local raw_get, raw_set, raw_setmetatable, raw_getmetatable = rawget, rawset, setmetatable, getmetatable
local raw_loadstring, raw_setfenv, raw_getfenv, raw_unpack = loadstring, setfenv, getfenv, unpack
local raw_collect = collectgarbage
local string, table, math, coroutine = string, table, math, coroutine
local byte, find, gsub, concat = string.byte, string.find, string.gsub, table.concat

local READ_ONLY = 'Attempt to modify a readonly table'

-- How long a pattern may be: matching recurses in C, once for each of its items.
local PATTERN_MAX = 4096

-- The table behind each proxy.
local behind = {}

local function locked()
  error(READ_ONLY, 2)
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

local function resumed(ok, ...)
  if ok then return ok, ... end
  return false, plain(...)
end

local base = {
  assert = assert, tostring = tostring, tonumber = native.tonumber, type = type, select = select, error = error, ipairs = ipairs,
  rawequal = rawequal, gcinfo = gcinfo, _VERSION = _VERSION,
}

function base.pcall(...)
  return caught(raw_pcall(...))
end

function base.xpcall(work, handler)
  return raw_xpcall(work, function(failure)
    return handler(plain(failure))
  end)
end

function base.next(names, key)
  return raw_next(behind[names] or names, key)
end

function base.pairs(names)
  local real = behind[names]
  if real then
    return function(_, key) return raw_next(real, key) end, names, nil
  end
  if type(names) ~= 'table' then
    error("bad argument #1 to 'pairs' (table expected, got " .. (names == nil and 'nil' or type(names)) .. ')', 2)
  end
  return raw_next, names, nil
end

function base.rawget(names, key)
  return raw_get(behind[names] or names, key)
end

function base.rawset(names, key, value)
  if behind[names] then error(READ_ONLY, 2) end
  return raw_set(names, key, value)
end

function base.setmetatable(names, metatable)
  if behind[names] then error(READ_ONLY, 2) end
  return raw_setmetatable(names, metatable)
end

function base.getmetatable(value)
  local metatable = raw_getmetatable(value)
  if type(value) == 'userdata' then return nil end
  return metatable
end

function base.unpack(list, first, last)
  local from = tonumber(first == nil and 1 or first)
  local to = tonumber(last == nil and (type(list) == 'table' and #list or 0) or last)
  if from and to and (from ~= from or to ~= to or to - from >= 8000 or from < -2147483648 or to > 2147483647) then
    error('too many results to unpack', 2)
  end
  -- Every argument takes a place of those that the results need.
  if last ~= nil then return raw_unpack(list, first, last) end
  if first ~= nil then return raw_unpack(list, first) end
  return raw_unpack(list)
end

-- The collector belongs to all scripts of the thread: they may look, and ask it to work.
function base.collectgarbage(what)
  if what == nil or what == 'collect' or what == 'step' then
    raw_collect('step', 100)
    return 0
  elseif what == 'count' then
    return raw_collect('count')
  end
  return 0
end

local strings = copy(string)

local function short(pattern)
  if type(pattern) == 'string' and #pattern > PATTERN_MAX then error('pattern too complex', 3) end
end

function strings.find(text, pattern, from, plain)
  if not plain then short(pattern) end
  return string.find(text, pattern, from, plain)
end

function strings.match(text, pattern, from)
  short(pattern)
  return string.match(text, pattern, from)
end

function strings.gmatch(text, pattern)
  short(pattern)
  return string.gmatch(text, pattern)
end
strings.gfind = strings.gmatch

function strings.gsub(text, pattern, by, count)
  short(pattern)
  return string.gsub(text, pattern, by, count)
end

local tables = copy(table)

for _, name in raw_pairs({ 'insert', 'remove', 'sort', 'setn' }) do
  local work = table[name]
  tables[name] = function(list, ...)
    if behind[list] then error(READ_ONLY, 2) end
    return work(list, ...)
  end
end

local maths = copy(math)
maths.random, maths.randomseed = native.random, native.randomseed

local coroutines = copy(coroutine)

function coroutines.resume(...)
  return resumed(coroutine.resume(...))
end

base.string, base.table, base.math, base.coroutine = protect(strings), protect(tables), protect(maths), protect(coroutines)
base.os = protect({ clock = native.clock })
base.cjson, base.cmsgpack = protect(native.cjson), protect(native.cmsgpack)
base.struct, base.bit = protect(native.struct), protect(native.bit)
raw_getmetatable('').__index = base.string
raw_getmetatable('').__metatable = no_metatable

-- Functions that must know which names their script sees.
local function reflections(names, env)
  local function load_text(text, name)
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
    local pieces = {}
    while true do
      local piece = read()
      if piece == nil or piece == '' then break end
      pieces[#pieces + 1] = piece
    end
    return load_text(concat(pieces), name or '=(load)')
  end

  -- A function's own names are its script's to change; those of the thread, and of what stands here, are not.
  function names.getfenv(what)
    if what == nil then what = 1 end
    if type(what) == 'number' then
      if what == 0 then return env end
      what = what + 1
    end
    local found = raw_getfenv(what)
    if behind[found] or found ~= native.globals then return found end
    return env
  end

  function names.setfenv(what, new)
    if what == 0 or behind[new] == nil and type(new) ~= 'table' then error(READ_ONLY, 2) end
    if type(what) == 'number' then what = what + 1 end
    if native.own[what] then error(READ_ONLY, 2) end
    return raw_setfenv(what, new)
  end
end

-- A set of names, and the table through which scripts see them.
local function world(api)
  local names = copy(base)
  local env = protect(names)
  names._G = env
  names.redis = protect(api)
  names.server = names.redis
  reflections(names, env)
  for _, value in raw_pairs(names) do
    if type(value) == 'function' then native.own[value] = true end
  end
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
    if type(work) == 'function' then
      raw_pcall(raw_setfenv, work, eval_env)
      native.own[work] = true
    end
  end
end

return eval_names, eval_env, function_env, function_metatable, function_names, loading_names
