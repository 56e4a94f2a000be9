//! What EVAL and kin answer, and what scripts can and cannot do.

mod ending;
mod garbage;
mod interpreters;
mod runner;
mod wording;

use std::time::{Duration, Instant};

use russet_testkit::{Client, Reply, Transcript};

use crate::{Server, server};

/// What a script answers, as text.
fn eval(client: &mut Client, script: &str) -> String {
    text(&client.cmd(&["EVAL", script, "0"]))
}

/// A reply without the marks of its type.
fn text(reply: &Reply) -> String {
    let plain = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    match reply {
        Reply::Simple(bytes) | Reply::Error(bytes) | Reply::Bulk(bytes) => plain(bytes),
        Reply::Int(number) => number.to_string(),
        Reply::Nil => "nil".to_owned(),
        Reply::Array(all) => all.iter().map(text).collect::<Vec<_>>().join(" "),
        other => format!("{other:?}"),
    }
}

/// Calls `work` until it holds, for ten seconds at most.
#[track_caller]
fn eventually(mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(10), "it does not come true");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn lua_values_become_replies() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.strict("EVAL 'return 1' 0", ":1");
    t.strict("EVAL 'return 3.99' 0", ":3");
    t.strict("EVAL 'return -3.99' 0", ":-3");
    t.strict("EVAL 'return \"hello\"' 0", "$hello");
    t.strict("EVAL 'return true' 0", ":1");
    t.strict("EVAL 'return false' 0", "$-1");
    t.strict("EVAL 'return nil' 0", "$-1");
    t.strict("EVAL 'return {ok=\"fine\"}' 0", "+fine");
    t.strict("EVAL 'return {err=\"ERR bad\"}' 0", "-ERR bad");
    t.check("EVAL 'return {1,2,{3,\"a\"},nil,4}' 0", "[1, 2, [3, a]]");
    t.strict("EVAL 'return {double=3.25}' 0", "$3.25");
    t.check("EVAL 'return {map={a=1}}' 0", "[a, 1]");
    t.check("EVAL 'return {set={a=true}}' 0", "[a]");
    t.check("EVAL 'return {verbatim_string={format=\"txt\", string=\"v\"}}' 0", "v");
    t.check("EVAL 'return {big_number=\"123\"}' 0", "123");
    t.check("EVAL 'return {KEYS[1], KEYS[2], ARGV[1], #ARGV}' 2 a b c d", "[a, b, c, 2]");
    t.client.hello3();
    t.strict("EVAL 'return {double=3.25}' 0", ",3.25");
    t.check("EVAL 'return {map={a=1}}' 0", "{a: 1}");
    t.check("EVAL 'return {set={a=true}}' 0", "~[a]");
    t.strict("EVAL 'return true' 0", ":1");
    t.strict("EVAL 'redis.setresp(3); return true' 0", "#t");
    t.strict("EVAL 'return nil' 0", "_");
}

#[test]
fn replies_become_lua_values() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("HSET h f v", "1");
    t.check("ZADD z 1.5 a", "1");
    t.check("EVAL 'return type(redis.call(\"GET\", KEYS[1]))' 1 nosuch", "boolean");
    t.check("EVAL 'return redis.call(\"SET\", KEYS[1], 1).ok' 1 s", "OK");
    t.check("EVAL 'return redis.call(\"INCR\", KEYS[1]) + 1' 1 s", "3");
    t.check("EVAL 'return redis.call(\"HGETALL\", KEYS[1])' 1 h", "[f, v]");
    t.check("EVAL 'redis.setresp(3); return redis.call(\"HGETALL\", KEYS[1]).map.f' 1 h", "v");
    t.check(
        "EVAL 'redis.setresp(3); return redis.call(\"ZSCORE\", KEYS[1], \"a\").double == 1.5' 1 z",
        "1",
    );
    t.check("EVAL 'redis.setresp(3); return redis.call(\"GET\", KEYS[1]) == nil' 1 nosuch", "1");
    t.check(
        "EVAL 'return redis.pcall(\"LPUSH\", KEYS[1], 1).err' 1 s",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
    );
    t.check("EVAL 'redis.call(\"SET\", KEYS[1], 9007199254740991); return redis.call(\"GET\", KEYS[1])' 1 n", "9007199254740991");
    t.check(
        "EVAL 'redis.call(\"SET\", KEYS[1], 0.1); return redis.call(\"GET\", KEYS[1])' 1 n",
        "0.1",
    );
}

#[test]
fn errors_say_where_they_happened() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("EVAL 'return foo' 0", "-ERR user_script:1: Script attempted to access nonexistent global variable 'foo' script: ...");
    t.check(
        "EVAL 'return redis.call(\"nosuch\")' 0",
        "-ERR Unknown command called from script script: ...",
    );
    t.check(
        "EVAL 'return redis.call(\"get\")' 0",
        "-ERR Wrong number of args calling command from script script: ...",
    );
    t.check(
        "EVAL 'return redis.call(\"multi\")' 0",
        "-ERR This Redis command is not allowed from script script: ...",
    );
    t.check(
        "EVAL 'return redis.call()' 0",
        "-ERR Please specify at least one argument for this call script: ...",
    );
    t.check(
        "EVAL 'return redis.call({})' 0",
        "-ERR Command arguments must be strings or integers script: ...",
    );
    t.check("EVAL 'error(\"no\")' 0", "-ERR user_script:1: no script: ...");
    t.check("EVAL 'error({err=\"MY no\"})' 0", "-MY no script: ...");
    t.check(
        "EVAL 'return )' 0",
        "-ERR Error compiling script (new function): user_script:1: unexpected symbol near ')'",
    );
    t.check("EVAL 'return redis.error_reply(\"MY custom\")' 0", "-MY custom");
    t.check("EVAL 'return redis.error_reply(\"custom\")' 0", "-ERR custom");
    t.check("EVAL 'return 1' x", "-ERR value is not an integer or out of range");
    t.check("EVAL 'return 1' 1", "-ERR Number of keys can't be greater than number of args");
    t.check("EVAL 'return 1' -1", "-ERR Number of keys can't be negative");
    t.check(
        "EVAL 'local ok, e = pcall(redis.call, \"nosuch\") return e' 0",
        "ERR Unknown command called from script",
    );
    t.check(
        "EVAL 'local ok, e = pcall(function() return foo end) return e' 0",
        "user_script:1: Script attempted to access nonexistent global variable 'foo'",
    );
    let error = eval(&mut t.client, "\n\nreturn redis.call('nosuch')");
    assert!(error.ends_with(", on @user_script:3."), "{error}");
    let error = eval(&mut t.client, "return redis.call('nosuch')");
    assert!(error.contains(" script: ") && error.ends_with(", on @user_script:1."), "{error}");
}

#[test]
fn the_cache_knows_scripts_by_their_hash() {
    let server = server();
    let mut t = Transcript::new(server.client());
    let sha = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    t.check(&format!("EVALSHA {sha} 0"), "-NOSCRIPT No matching script. Please use EVAL.");
    t.check("SCRIPT LOAD 'return 1'", sha);
    t.check(&format!("EVALSHA {sha} 0"), "1");
    t.check(&format!("EVALSHA {} 0", sha.to_uppercase()), "1");
    t.check(&format!("EVALSHA_RO {sha} 0"), "1");
    t.check(&format!("SCRIPT EXISTS {sha} abc"), "[1, 0]");
    t.check(&format!("SCRIPT SHOW {sha}"), "return 1");
    t.check("SCRIPT SHOW abc", "-NOSCRIPT No matching script. Please use EVAL.");
    t.check("SCRIPT FLUSH ASYNC", "OK");
    t.check("SCRIPT FLUSH NOW", "-ERR SCRIPT FLUSH only support SYNC|ASYNC option");
    t.check(&format!("EVALSHA {sha} 0"), "-NOSCRIPT No matching script. Please use EVAL.");
    t.check("EVAL 'return 1' 0", "1");
    t.check(&format!("EVALSHA {sha} 0"), "1");
    t.check(
        "SCRIPT LOAD 'return )'",
        "-ERR Error compiling script (new function): user_script:1: unexpected symbol near ')'",
    );
    t.check("EVALSHA short 0", "-NOSCRIPT No matching script. Please use EVAL.");
    t.check("SCRIPT KILL", "-NOTBUSY No scripts in execution right now.");
    t.check("SCRIPT DEBUG YES", "-ERR SCRIPT DEBUG is not supported: there is no debugger");
}

#[test]
fn a_shebang_says_what_a_script_may() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("EVAL \"#!lua\\nreturn 1\" 0", "1");
    t.check(
        "EVAL \"#!lua flags=no-writes\\nreturn redis.call('set', KEYS[1], 1)\" 1 x",
        "-ERR Write commands are not allowed from read-only scripts. script: ...",
    );
    t.check(
        "EVAL_RO \"#!lua\\nreturn 1\" 0",
        "-ERR Can not execute a script with write flag using *_ro command.",
    );
    t.check(
        "EVAL_RO \"return redis.call('set', KEYS[1], 1)\" 1 x",
        "-ERR Write commands are not allowed from read-only scripts. script: ...",
    );
    t.check(
        "EVAL \"#!not-lua\\nreturn 1\" 0",
        "-ERR Unexpected engine in script shebang: #!not-lua",
    );
    t.check("EVAL \"#!lua bad=1\\nreturn 1\" 0", "-ERR Unknown lua shebang option: bad=1");
    t.check("EVAL \"#!lua flags=bad\\nreturn 1\" 0", "-ERR Unexpected flag in script shebang: bad");
    t.check("EVAL \"#!lua flags=no-writes,allow-oom,allow-stale,no-cluster,allow-cross-slot-keys\\nreturn 1\" 2 x y", "1");
    t.check("SET x 1", "OK");
    t.check("CONFIG SET maxmemory 1", "OK");
    eventually(|| text(&t.run("SET y 1")).contains("OOM"));
    t.check(
        "EVAL \"return redis.call('set', KEYS[1], 1)\" 1 x",
        "-OOM command not allowed when used memory > 'maxmemory'....",
    );
    t.check(
        "EVAL \"#!lua\\nreturn 1\" 0",
        "-OOM command not allowed when used memory > 'maxmemory'.",
    );
    t.check("EVAL \"#!lua flags=allow-oom\\nreturn redis.call('set', KEYS[1], 2)\" 1 x", "OK");
    t.check("EVAL \"#!lua flags=no-writes\\nreturn redis.call('get', KEYS[1])\" 1 x", "2");
}

/// Where there is neither a replica nor a cluster, what a script says about them changes nothing, as in Redis.
#[test]
fn flags_about_replicas_and_slots_change_nothing_on_a_server_of_its_own() {
    let server = server();
    let mut client = server.client();
    for flags in [
        "allow-stale",
        "no-cluster",
        "allow-cross-slot-keys",
        "allow-stale,no-cluster",
        "no-cluster,allow-cross-slot-keys,allow-stale",
    ] {
        let script =
            format!("#!lua flags={flags}\nreturn redis.call('mset', KEYS[1], 1, KEYS[2], 2)");
        let answer = text(&client.cmd(&["EVAL", &script, "2", "a", "b"]));
        assert_eq!(answer, "OK", "{flags}");
        let answer = text(&client.cmd(&["EVAL_RO", &script, "2", "a", "b"]));
        assert_eq!(answer, "ERR Can not execute a script with write flag using *_ro command.");
        let names: Vec<String> = flags.split(',').map(|flag| format!("'{flag}'")).collect();
        let code = format!(
            "#!lua name=lib\nredis.register_function{{function_name = 'f', flags = {{{}}}, callback = function(keys) return redis.call('mset', keys[1], 1, keys[2], 2) end}}",
            names.join(",")
        );
        assert_eq!(text(&client.cmd(&["FUNCTION", "LOAD", "REPLACE", &code])), "lib");
        assert_eq!(text(&client.cmd(&["FCALL", "f", "2", "a", "b"])), "OK", "{flags}");
    }
}

#[test]
fn a_script_sees_no_database_but_its_own() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("SET k zero", "OK");
    t.check("EVAL \"redis.call('select', 5); redis.call('set', KEYS[1], 'five'); return redis.call('get', KEYS[1])\" 1 k", "five");
    t.check("GET k", "zero");
    t.check("SELECT 5", "OK");
    t.check("GET k", "five");
    t.check("EVAL \"return redis.call('blpop', KEYS[1], 0)\" 1 nolist", "(nil)");
}

#[test]
fn keys_that_are_not_declared_are_found_all_the_same() {
    let server = server();
    let mut t = Transcript::new(server.client());
    for n in 0..20 {
        t.check(&format!("EVAL \"redis.call('set', 'free:{n}', {n}); return redis.call('get', 'free:{n}')\" 0"), &n.to_string());
        let late = format!(
            "EVAL \"redis.call('set', KEYS[1], 1); redis.call('incr', 'late:{n}'); return redis.call('get', 'late:{n}')\" 1 k"
        );
        t.check(&late, "1");
        t.check(&late, "2");
    }
    t.check("EVAL \"return #redis.call('keys', 'free:*')\" 0", "20");
    t.check(
        "EVAL \"redis.call('set', KEYS[1], 1); return #redis.call('keys', 'late:*')\" 1 k",
        "20",
    );
    t.check("EVAL \"return redis.call('dbsize')\" 0", "41");
    t.check("EVAL \"redis.call('flushall'); return redis.call('dbsize')\" 0", "0");
}

#[test]
fn a_transaction_runs_scripts() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("MULTI", "OK");
    t.check("SET a 1", "QUEUED");
    t.check("EVAL \"return redis.call('incr', KEYS[1])\" 1 a", "QUEUED");
    t.check("EVAL \"return redis.call('set', 'undeclared', 1)\" 0", "QUEUED");
    t.check("EVAL \"return redis.call('nosuch')\" 0", "QUEUED");
    t.check("EXEC", "[OK, 2, OK, -ERR Unknown command called from script script: ...]");
    t.check("GET undeclared", "1");
    t.check("WATCH a", "OK");
    t.check("EVAL \"return redis.call('incr', KEYS[1])\" 1 a", "3");
    t.check("MULTI", "OK");
    t.check("EVAL \"return redis.call('incr', KEYS[1])\" 1 a", "QUEUED");
    t.check("EXEC", "(nil)");
    t.check("GET a", "3");
}

#[test]
fn a_script_wakes_who_waits_once_and_at_its_end() {
    let server = server();
    let mut t = Transcript::new(server.client());
    let mut waiter = server.client();
    waiter.send(&["BLPOP", "list", "0"]).expect("sent");
    eventually(|| text(&t.run("INFO clients")).contains("blocked_clients:1"));
    t.check("EVAL \"redis.call('lpush', KEYS[1], 'y'); redis.call('lpush', KEYS[1], 'z'); return 1\" 1 list", "1");
    let reply = waiter.recv().expect("served");
    assert_eq!(text(&reply), "list z");
}

#[test]
fn a_script_that_takes_all_memory_gets_an_error_and_the_next_runs() {
    let server = Server::with(&["--script-memory-limit", "8mb"]);
    let mut t = Transcript::new(server.client());
    for _ in 0..3 {
        let error = eval(
            &mut t.client,
            "local all = {} for n = 1, 1e9 do all[n] = string.rep('x', 1000) .. n end",
        );
        assert!(error.contains("not enough memory"), "{error}");
        t.check("EVAL 'return 1' 0", "1");
    }
    let error = eval(&mut t.client, "return string.rep('x', 1e10)");
    assert!(error.contains("not enough memory"), "{error}");
}

#[test]
fn libraries_do_what_redis_scripts_expect() {
    let server = server();
    let mut client = server.client();
    for (script, answer) in [
        ("return cjson.encode({1, 'a', {b = true}})", r#"[1,"a",{"b":true}]"#),
        ("return cjson.encode({})", "{}"),
        ("return cjson.encode('a/b\\n\\127')", r#""a\/b\n\u007f""#),
        ("return cjson.encode({0.1, 1e20, 100, -1.5})", "[0.1,1e+20,100,-1.5]"),
        ("return cjson.encode({[1] = 1, [3] = 3})", "[1,null,3]"),
        ("return cjson.encode(cjson.null)", "null"),
        ("return cjson.decode('{\"a\": [1, 2, {\"b\": \"\\\\u00e9\"}]}').a[3].b", "é"),
        ("return cjson.decode('[\"\\\\ud83d\\\\ude00\"]')[1]", "😀"),
        ("return tostring(cjson.decode('[null]')[1] == cjson.null)", "true"),
        (
            "return table.concat(cjson.decode('[0.0, -5e3, -1, 0.3e-3, 1023.2, 0e10]'), ' ')",
            "0 -5000 -1 0.0003 1023.2 0",
        ),
        (
            "return select(2, pcall(cjson.decode, '{\"a\" 1}'))",
            "Expected colon but found T_NUMBER at character 6",
        ),
        (
            "return select(2, pcall(cjson.decode, 'x'))",
            "Expected value but found invalid token at character 1",
        ),
        (
            "return select(2, pcall(cjson.encode, {[1] = 1, [100] = 1}))",
            "Cannot serialise table: excessively sparse array",
        ),
        (
            "return select(2, pcall(cjson.encode, 0/0))",
            "Cannot serialise number: must not be NaN or Inf",
        ),
        (
            "return select(2, pcall(cjson.encode, print_nothing or function() end))",
            "Script attempted to access nonexistent global variable 'print_nothing'",
        ),
        (
            "local h = '' for c in cmsgpack.pack({1, -1, 'a', {x = 2^40}}):gmatch('.') do h = h .. string.format('%02x', c:byte()) end return h",
            "9401ffa16181a178cf0000010000000000",
        ),
        ("local a, b = cmsgpack.unpack(cmsgpack.pack({x = {1, 2}}, 'b')) return a.x[2] .. b", "2b"),
        ("return select(2, pcall(cmsgpack.unpack, '\\220\\255\\255'))", "Missing bytes in input."),
        ("return struct.pack('>I2', 258)", "\u{1}\u{2}"),
        ("return table.concat({struct.unpack('>I2c0', '\\0\\3abc')}, ' ')", "abc 6"),
        ("return struct.size('!8bd')", "16"),
        ("return bit.tohex(bit.bor(0xf0, 0x0f), -4)", "00FF"),
        ("return bit.band(0xffffffff, 0xff) + bit.arshift(-256, 4)", "239"),
        ("return redis.sha1hex('')", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ("return redis.REDIS_VERSION == server.REDIS_VERSION and redis.REPL_ALL", "3"),
        (
            "return table.concat({type(os.clock()), tostring(os.time), #arg_or_nil}, ' ')",
            "nonexistent global variable 'arg_or_nil'",
        ),
        (
            "math.randomseed(10) local a = math.random() math.randomseed(10) return tostring(a == math.random())",
            "true",
        ),
        ("return tostring(redis.acl_check_cmd('set', 'k', 'v'))", "true"),
        (
            "return select(2, pcall(redis.acl_check_cmd, 'nosuch'))",
            "Invalid command passed to server.acl_check_cmd()",
        ),
        ("return loadstring('return 1 + 1')()", "2"),
        (
            "local co = coroutine.wrap(function() coroutine.yield(1) error('no') end) co() return select(2, pcall(co))",
            "no",
        ),
        (
            "local s, e = coroutine.resume(coroutine.create(function() redis.call('nosuch') end)) return e.err",
            "ERR Unknown command called from script",
        ),
        ("return select('#', unpack({1, 2, nil, 4}, 1, 4))", "4"),
        ("local n = 0 for k in pairs(bit) do n = n + 1 end return n", "12"),
        (
            "return select(2, xpcall(function() redis.call('nosuch') end, function(e) return e.err end))",
            "ERR Unknown command called from script",
        ),
    ] {
        let found = eval(&mut client, script);
        assert!(found.contains(answer), "{script}: {found}");
    }
}

// The named attacks of the threat model.

/// SEC-20: what has broken interpreters written in C.
#[test]
fn sec_20_scripts_cannot_break_the_interpreter() {
    let server = server();
    let mut client = server.client();
    for script in [
        "return select('#', unpack({}, 0, 2147483647))",
        "return unpack({}, -2147483648, 2147483647)",
        "return unpack({}, 1, 1e300)",
        "return bit.tohex(1, -2147483648)",
        "return bit.band()",
        "return bit.lshift(1)",
        "return cjson.decode(string.rep('[', 10000) .. string.rep(']', 10000))",
        "local t = {} for n = 1, 10000 do t = {t} end return cjson.encode(t)",
        "cjson.decode_max_depth(2147483647) return cjson.decode(string.rep('[', 100000))",
        "cjson.encode_max_depth(2147483647) local t = {} for n = 1, 5000 do t = {t} end return cjson.encode(t)",
        "return cmsgpack.unpack(string.rep('\\145', 100000))",
        "return cmsgpack.unpack('\\221\\255\\255\\255\\255')",
        "return cmsgpack.unpack(string.rep('\\1', 100000))",
        "return cmsgpack.unpack_limit('\\1', -1, -1)",
        "return struct.pack('i99999999999', 1)",
        "return struct.pack('I33', 1)",
        "return struct.unpack('c2147483647', 'a')",
        "return struct.unpack('!3i', 'a')",
        "return struct.unpack('s', 'abc', 9223372036854775807)",
        "return string.find(string.rep('a', 100000), string.rep('a?', 100000))",
        "return string.rep('x', -1)",
        "return ('x'):rep(1e9):rep(1e9)",
        "return loadstring(string.rep('(', 10000))",
        "return loadstring('return [' .. string.rep('=', 100000) .. '[x')",
        "return loadstring(string.dump(function() end))",
        "return table.concat({}, '', 1, 1e9)",
        "table.sort({3, 1, 2, 5, 4}, function() return true end)",
        "local t = {} t[1] = t return t",
        "return string.format('%' .. string.rep('9', 200) .. 'd', 1)",
        "local function f() return f() + 1 end return f()",
        "return coroutine.wrap(function() return coroutine.wrap(function() return 1 end)() end)()",
        "collectgarbage('stop') collectgarbage('setpause', 0) return collectgarbage('count')",
        "return tostring(newproxy)",
    ] {
        client.cmd(&["EVAL", script, "0"]);
        assert_eq!(eval(&mut client, "return 7"), eval(&mut client, "return 7"), "{script}");
    }
    assert!(eval(&mut client, "return 'alive'").contains("alive"));
}

/// SEC-21: nothing that scripts share can be changed.
#[test]
fn sec_21_no_script_leaves_anything_for_the_next() {
    let server = server();
    let mut client = server.client();
    for script in [
        "redis = 1",
        "_G = {}",
        "a = 1",
        "redis.call = 1",
        "string.len = 1",
        "table.insert(redis, 1)",
        "table.insert(_G, 1)",
        "table.sort(redis)",
        "rawset(redis, 'x', 1)",
        "rawset(_G, 'x', 1)",
        "setmetatable(_G, {})",
        "setmetatable(redis, {})",
        "getmetatable(_G).__index = {}",
        "getmetatable('').__index = {}",
        "getmetatable(redis).__index = {}",
        "cjson.encode = nil",
        "math.random = nil",
        "setfenv(0, {})",
        "setfenv(pcall, {})",
        "getfenv(0).x = 1",
        "getfenv(pcall).x = 1",
        "getfenv(redis.call).x = 1",
        "loadstring('x = 1')()",
        "getmetatable(getmetatable(_G)).x = 1",
    ] {
        let error = eval(&mut client, script);
        assert!(error.contains("ERR"), "{script}: {error}");
    }
    eval(&mut client, "cjson.encode_max_depth(1) setfenv(1, {}) KEYS[1] = 'left' ARGV.x = 1");
    for script in [
        "return x",
        "return a",
        "return redis.x",
        "return KEYS[1]",
        "return ARGV.x",
        "return getmetatable('').x",
    ] {
        let answer = eval(&mut client, script);
        assert!(
            !answer.contains("left")
                && (answer.contains("nonexistent")
                    || answer.contains("nil")
                    || answer.contains("attempt")),
            "{script}: {answer}"
        );
    }
    assert!(eval(&mut client, "return cjson.encode({{{1}}})").contains("[[[1]]]"));
}

/// SEC-21: what runs between a script and its callbacks is nobody's to change, however its level is spelt.
#[test]
fn sec_21_no_script_reaches_the_names_of_what_others_call_too() {
    let server = server();
    let mut client = server.client();
    let ways = [
        "BODY",
        "pcall(function() BODY end)",
        "xpcall(function() BODY end, tostring)",
        "xpcall(error, function() BODY end)",
        "load(function() BODY end)",
        "string.gsub('x', 'x', function() BODY end)",
        "table.sort({1, 2}, function() BODY end)",
        "local _ = _G[setmetatable({}, {__tostring = function() BODY return 'x' end})]",
        "_G[1] = setmetatable({}, {__tostring = function() BODY return 'x' end})",
        "coroutine.wrap(function() BODY end)()",
        "coroutine.resume(coroutine.create(function() BODY end))",
    ];
    let levels = [
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "8",
        "'0'",
        "'3'",
        "'5'",
        "0.5",
        "0/0",
        "-1",
        "4294967296",
        "4294967299",
        "-4294967296",
        "1e300",
        "pcall",
        "xpcall",
        "load",
        "loadstring",
        "getfenv",
        "string.find",
        "redis.call",
    ];
    for way in ways {
        for level in levels {
            for (body, is_asked) in [
                (format!("setfenv({level}, {{left = 'left'}})"), false),
                (format!("if rawget(getfenv({level}), 'left') then found = 'left' end"), true),
            ] {
                let inner = way.replace("BODY", &body);
                let script =
                    format!("local found = 'clean' pcall(function() {inner} end) return found");
                let found = eval(&mut client, &script);
                // A script may ask for what it has done itself, but nothing of that outlives it.
                assert!(!is_asked || found == "clean", "{script}: {found}");
            }
        }
    }
}

/// SEC-21: the lists of keys and arguments are those of the request, whatever earlier scripts have made of theirs.
#[test]
fn sec_21_no_script_finds_what_another_has_put_into_its_lists() {
    let server = server();
    let mut client = server.client();
    let spoilers = [
        "KEYS[2] = 'left' ARGV[2] = 'left'",
        "KEYS[0] = 'left' ARGV[-1] = 'left'",
        "KEYS.x = 'left' ARGV.x = 'left'",
        "KEYS[1] = nil ARGV[1] = nil",
        "KEYS[1] = ARGV ARGV[1] = KEYS",
        "table.insert(KEYS, 'left') table.insert(ARGV, 1, 'left')",
        "table.remove(KEYS) table.remove(ARGV)",
        "for n = 1, 100 do KEYS[n] = 'left' ARGV['x' .. n] = 'left' end",
        "for n = 1, 100 do KEYS[n] = 'left' end for n = 1, 100 do KEYS[n] = nil end",
        "setmetatable(KEYS, {__index = function() return 'left' end}) setmetatable(ARGV, {__len = error})",
        "rawset(KEYS, 'x', 'left') setfenv(1, KEYS)",
        "return KEYS",
        "KEYS[1] = {} error(KEYS)",
        "local kept = KEYS coroutine.wrap(function() coroutine.yield() kept[1] = 'left' end)()",
    ];
    let look = "local seen = {} for name, value in pairs(KEYS) do seen[#seen + 1] = name .. '=' .. value end
        for name, value in pairs(ARGV) do seen[#seen + 1] = name .. '=' .. value end
        return table.concat(seen, ' ') .. ' ' .. #KEYS .. #ARGV .. tostring(KEYS.x or KEYS[9] or getmetatable(ARGV))";
    for spoiler in spoilers {
        for (words, seen) in [
            (&["1", "k", "a"][..], "1=k 1=a 11nil"),
            (&["0", "b"], "1=b 01nil"),
            (&["2", "k", "l"], "1=k 2=l 20nil"),
            (&["0"], " 00nil"),
        ] {
            client.cmd(&[&["EVAL", spoiler][..], words].concat());
            let found = text(&client.cmd(&[&["EVAL", look][..], words].concat()));
            assert_eq!(found, seen, "{spoiler}");
        }
    }
}

/// SEC-22: malformed scripts and hostile error values.
#[test]
fn sec_22_what_scripts_throw_is_caught() {
    let server = server();
    let mut client = server.client();
    for script in [
        "error(setmetatable({}, {__index = function() error('again') end}))",
        "error(setmetatable({}, {__tostring = function() error('again') end}))",
        "error(nil)",
        "error()",
        "error({})",
        "error(error)",
        "error({err = {}})",
        "error({err = 5})",
        "return {err = {}}",
        "return setmetatable({}, {__index = function() error('again') end})",
        "pcall(error, redis) error(redis)",
        "\0",
        "\u{1b}Lua",
        "return",
        "return ((((((((((",
        "#!",
        "#!lua",
        "#!lua \"\nreturn 1",
    ] {
        client.cmd(&["EVAL", script, "0"]);
        assert!(eval(&mut client, "return 'alive'").contains("alive"), "{script}");
    }
    assert!(eval(&mut client, "return redis.err").contains("nil"));
}

/// SEC-23: a reply stays one frame.
#[test]
fn sec_23_no_script_can_forge_a_reply() {
    let server = server();
    let mut client = server.client();
    for script in [
        "return redis.error_reply('A\\r\\n+OK\\r\\n\\0x')",
        "return redis.status_reply('A\\r\\n+OK\\r\\n\\0x')",
        "return {err = 'A\\r\\n+OK\\r\\n\\0x'}",
        "return {ok = 'A\\r\\n+OK\\r\\n\\0x'}",
        "error('A\\r\\n+OK\\r\\n')",
        "error({err = 'A\\r\\n+OK\\r\\n'})",
        "return {big_number = '1\\r\\n+OK\\r\\n'}",
        "return {verbatim_string = {format = 'a\\r\\n', string = 'x'}}",
        "return redis.call('A\\r\\n+OK')",
        "redis.call('\\r\\n')",
        "return {{err = 'a\\r\\n'}, {ok = 'b\\r\\n'}}",
    ] {
        for hello in ["2", "3"] {
            client.cmd(&["HELLO", hello]);
            client.cmd(&["EVAL", script, "0"]);
            assert_eq!(
                text(&client.cmd(&["ECHO", "mark"])),
                text(&client.cmd(&["ECHO", "mark"])),
                "{script}"
            );
            assert!(text(&client.cmd(&["ECHO", "mark"])).contains("mark"), "{script}");
        }
    }
}

/// SEC-24: nothing leads out of the sandbox.
#[test]
fn sec_24_no_library_reaches_the_system() {
    let server = server();
    let mut client = server.client();
    for name in
        ["io", "package", "require", "debug", "dofile", "loadfile", "print", "newproxy", "module"]
    {
        let answer = eval(&mut client, &format!("return {name}"));
        assert!(answer.contains(&format!("nonexistent global variable '{name}'")), "{answer}");
    }
    for name in ["execute", "exit", "getenv", "remove", "rename", "setlocale", "tmpname", "time"] {
        let answer = eval(&mut client, &format!("return os.{name}()"));
        assert!(answer.contains(&format!("attempt to call field '{name}'")), "{answer}");
    }
}

/// SEC-26: there is no debugger.
#[test]
fn sec_26_there_is_no_debugger() {
    let server = server();
    let mut t = Transcript::new(server.client());
    for mode in ["YES", "SYNC", "NO"] {
        t.check(
            &format!("SCRIPT DEBUG {mode}"),
            "-ERR SCRIPT DEBUG is not supported: there is no debugger",
        );
    }
    t.check("EVAL 'redis.breakpoint() redis.debug(1) return redis.replicate_commands()' 0", "1");
}

/// Scripts, transactions and commands of several keys, on few keys from many clients: nothing is lost and nobody waits for ever.
#[test]
fn scripts_and_transactions_on_the_same_keys_count_right() {
    let server = server();
    let work = |nth: usize| {
        let mut client = server.client();
        let (one, other) = (format!("k{}", nth % 4), format!("k{}", (nth + 1) % 4));
        for round in 0..100 {
            match (round + nth) % 4 {
                0 => drop(client.cmd(&["EVAL", "redis.call('incr', KEYS[1]) return redis.call('incr', KEYS[2])", "2", &one, &other])),
                1 => drop(client.cmd(&["EVAL", "redis.call('incr', KEYS[1]) return redis.call('incr', ARGV[1])", "1", &other, &one])),
                2 => drop(client.cmd(&["EVAL", "local a = redis.call('get', ARGV[1]) redis.call('set', ARGV[1], (a or 0) + 1) return redis.call('incr', ARGV[2])", "0", &one, &other])),
                _ => {
                    client.cmd(&["MULTI"]);
                    client.cmd(&["INCR", &other]);
                    client.cmd(&["EVAL", "return redis.call('incr', KEYS[1])", "1", &one]);
                    client.cmd(&["EXEC"]);
                }
            }
        }
    };
    let work = &work;
    std::thread::scope(|scope| (0..6).for_each(|nth| drop(scope.spawn(move || work(nth)))));
    let mut client = server.client();
    let sum = eval(
        &mut client,
        "local sum = 0 for n = 0, 3 do sum = sum + redis.call('get', 'k' .. n) end return sum",
    );
    assert!(sum.contains("1200"), "{sum}");
}

#[test]
fn commands_of_a_script_count_are_timed_and_written_down_as_by_themselves() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("CONFIG SET slowlog-log-slower-than 0", "OK");
    t.check("CONFIG RESETSTAT", "OK");
    t.check("SLOWLOG RESET", "OK");
    let count = |t: &mut Transcript| {
        let line = t.client.cmd(&["CLIENT", "INFO"]).to_string();
        let (_, rest) = line.split_once("tot-cmds=").expect("a field");
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().expect("a number")
    };
    let before = count(&mut t);
    t.check("EVAL \"redis.call('ping') return redis.call('incr', KEYS[1])\" 1 k", "1");
    assert_eq!(count(&mut t), before + 4);
    let log = t.client.cmd(&["SLOWLOG", "GET", "4"]).to_string();
    let [incr, ping] = ["[incr, k]", "[ping]"].map(|words| log.find(words).expect("written down"));
    assert!(log.find("[EVAL").expect("written down") < incr && incr < ping, "{log}");
    let stats = t.client.cmd(&["INFO", "commandstats"]).to_string();
    for name in ["ping", "incr", "eval"] {
        assert!(stats.contains(&format!("cmdstat_{name}:calls=1,usec=")), "{stats}");
    }
    // What fails is counted as what does not, and brief commands share a look at the clock.
    t.check("CONFIG SET slowlog-log-slower-than 1000000", "OK");
    t.check("EVAL \"redis.pcall('lpush', KEYS[1], 'x') return 1\" 1 k", "1");
    let stats = t.client.cmd(&["INFO", "commandstats"]).to_string();
    assert!(stats.contains("cmdstat_lpush:calls=1,usec="), "{stats}");
}

#[test]
fn what_a_script_declares_and_does_not_read_is_not_tracked() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.client.cmd(&["HELLO", "3"]);
    t.check("CLIENT TRACKING ON", "OK");
    t.check("EVAL_RO \"return redis.call('ping')\" 2 a b", "PONG");
    t.check("EVAL_RO \"return redis.call('get', KEYS[2])\" 2 a b", "(nil)");
    let stats = t.client.cmd(&["INFO", "stats"]).to_string();
    assert!(stats.contains("tracking_total_keys:1"), "only b: {stats}");
}

#[test]
fn scripts_that_say_that_they_write_nothing_run_while_writes_are_paused() {
    let server = server();
    let mut operator = server.client();
    let mut t = Transcript::new(server.client());
    t.check("SET k v", "OK");
    let library = "#!lua name=l\nredis.register_function{function_name='f', callback=function() return 3 end, flags={'no-writes'}}";
    assert_eq!(t.client.cmd(&["FUNCTION", "LOAD", library]).to_string(), "l");
    let script = "#!lua flags=no-writes\nreturn 2";
    let sha = t.client.cmd(&["SCRIPT", "LOAD", script]).to_string();
    assert_eq!(operator.cmd(&["CLIENT", "PAUSE", "100000", "WRITE"]).to_string(), "OK");
    assert_eq!(t.client.cmd(&["EVAL", script, "0"]).to_string(), "2");
    t.check(&format!("EVALSHA {sha} 0"), "2");
    t.check("FCALL f 0", "3");
    t.check("EVAL_RO \"return redis.call('get', 'k')\" 1 k", "v");
    t.check("MULTI", "OK");
    assert_eq!(t.client.cmd(&["EVAL", script, "0"]).to_string(), "QUEUED");
    t.check("EXEC", "[2]");
    for waits in ["return 1", "#!lua\nreturn 1"] {
        t.client.send(&["EVAL", waits, "0"]).unwrap();
        assert_eq!(t.client.recv_within(Duration::from_millis(50)).unwrap(), None, "{waits}");
        assert_eq!(operator.cmd(&["CLIENT", "UNPAUSE"]).to_string(), "OK");
        assert_eq!(t.client.recv().unwrap().to_string(), "1");
        assert_eq!(operator.cmd(&["CLIENT", "PAUSE", "100000", "WRITE"]).to_string(), "OK");
    }
}

#[test]
fn time_stands_still_in_a_script_and_in_a_transaction() {
    let server = server();
    let mut t = Transcript::new(server.client());
    let script = "local one = redis.call('TIME')
        for n = 1, 3000000 do end
        redis.call('SET', KEYS[1], 1, 'PX', 1)
        for n = 1, 3000000 do end
        local other = redis.call('TIME')
        return {one[1] == other[1] and one[2] == other[2], redis.call('EXISTS', KEYS[1])}";
    assert_eq!(text(&t.client.cmd(&["EVAL", script, "1", "k"])), "1 1");
    let outside = |client: &mut Client| text(&client.cmd(&["TIME"]));
    assert_ne!(outside(&mut t.client), outside(&mut t.client));
    t.check("MULTI", "OK");
    (0..2).for_each(|_| t.check("TIME", "QUEUED"));
    let Reply::Array(times) = t.client.cmd(&["EXEC"]) else { panic!("two times") };
    assert_eq!(text(&times[0]), text(&times[1]));
}

#[test]
fn a_script_sees_sets_in_the_same_order_another_time() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("SADD s a b c d e f g h i j k l m n o p q r s t u v w x y z aa aaa azz", "29");
    let sorted = "a aa aaa azz b c d e f g h i j k l m n o p q r s t u v w x y z";
    let script = "return redis.call('SORT', KEYS[1], 'BY', 'nosort')";
    assert_eq!(text(&t.client.cmd(&["EVAL", script, "1", "s"])), sorted);
    let script = "return redis.call('SORT', KEYS[1], 'BY', 'nosort', 'DESC', 'LIMIT', 0, 2)";
    assert_eq!(text(&t.client.cmd(&["EVAL", script, "1", "s"])), "z y");
}

#[test]
fn tables_are_lists_until_something_is_missing_whatever_else_they_hold() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("EVAL 'return {}' 0", "[]");
    t.check("EVAL 'return {1, 2, 3, 4, 5, 6, 7, 8}' 0", "[1, 2, 3, 4, 5, 6, 7, 8]");
    t.check("EVAL 'return {1, 2, 3, 4, 5, 6, 7, 8, 9}' 0", "[1, 2, 3, 4, 5, 6, 7, 8, 9]");
    t.check("EVAL 'return {1, nil, 3}' 0", "[1]");
    t.check("EVAL 'return {1, 2, x = 3}' 0", "[1, 2]");
    t.strict("EVAL 'return {1, ok = \"fine\"}' 0", "+fine");
    t.check("EVAL 'return {1, err = \"MY no\"}' 0", "-MY no");
    t.check("EVAL 'local l = {} l[3] = 3 l[2] = 2 l[1] = 1 return l' 0", "[1, 2, 3]");
    t.check("EVAL 'return {true, false, \"a\", 1.9}' 0", "[1, (nil), a, 1]");
    t.check("EVAL 'return {1, {2, {err = \"MY no\"}}}' 0", "[1, [2, -MY no]]");
}

#[test]
fn numbers_are_read_as_lua_reads_them() {
    let server = server();
    let mut t = Transcript::new(server.client());
    let cases = [
        ("tonumber('12') + 1", "13"),
        ("tonumber('-12')", "-12"),
        ("tonumber(' 12 ')", "12"),
        ("tonumber('0x10')", "16"),
        ("tonumber('1e2')", "100"),
        ("tonumber('12', 8)", "10"),
        ("tonumber('9007199254740993') == 9007199254740992", "1"),
        ("tostring(tonumber('-'))", "nil"),
        ("tostring(tonumber(''))", "nil"),
        ("tostring(tonumber('12x'))", "nil"),
        ("tostring(tonumber({}))", "nil"),
        ("tonumber(7)", "7"),
    ];
    for (expression, value) in cases {
        assert_eq!(eval(&mut t.client, &format!("return {expression}")), value, "{expression}");
    }
    let error = eval(&mut t.client, "return tonumber()");
    let expected = "ERR user_script:1: bad argument #1 to 'tonumber' (value expected)";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn info_tells_what_interpreters_and_sources_take() {
    let server = server();
    let mut t = Transcript::new(server.client());
    let field = |client: &mut Client, name: &str| {
        let info = text(&client.cmd(&["INFO", "memory"]));
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("{name}")).trim().parse::<u64>().unwrap()
    };
    t.check("EVAL 'return 1' 0", "1");
    let client = &mut t.client;
    let (lua, total) = (field(client, "used_memory_lua"), field(client, "used_memory_vm_total"));
    assert!((20_000..1_000_000).contains(&lua), "{lua}");
    assert_eq!((field(client, "used_memory_vm_eval"), total), (lua, lua));
    let before = field(client, "used_memory_scripts_eval");
    client.cmd(&["SCRIPT", "LOAD", &format!("return '{}'", "x".repeat(1000))]);
    assert!(field(client, "used_memory_scripts_eval") >= before + 1000);
    assert_eq!(field(client, "used_memory_functions"), 0);
}

#[test]
fn scripts_that_were_evicted_are_counted_until_the_counts_are_reset() {
    let server = server();
    let mut client = server.client();
    let evicted = |client: &mut Client| {
        let info = text(&client.cmd(&["INFO", "stats"]));
        let line = info.lines().find_map(|line| line.strip_prefix("evicted_scripts:"));
        line.expect("a field").to_owned()
    };
    for n in 0..502 {
        assert_eq!(eval(&mut client, &format!("return {n}")), n.to_string());
    }
    assert_eq!(evicted(&mut client), "2");
    assert_eq!(text(&client.cmd(&["CONFIG", "RESETSTAT"])), "OK");
    assert_eq!(evicted(&mut client), "0");
}
