//! What interpreters take, when they go, and what they make only when it is asked for.

use std::thread;

use russet_testkit::{Client, Transcript};

use super::{eval, eventually, text};
use crate::{Server, server};

/// A server of two threads that serve clients, so that there are two interpreters for what runs where it arrives.
fn two_threads() -> Server {
    Server::with(&["--io-threads", "2"])
}

/// What INFO says that all interpreters take.
fn lua_bytes(client: &mut Client) -> u64 {
    let info = text(&client.cmd(&["INFO", "memory"]));
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory_lua:"));
    line.expect("a field").trim().parse().expect("a number")
}

#[test]
fn two_interpreters_stay_below_100_kb_whatever_small_scripts_leave() {
    let server = two_threads();
    let incr = "return redis.call('incr', KEYS[1])";
    let mut clients: Vec<Client> = (0..8).map(|_| server.client()).collect();
    thread::scope(|scope| {
        for (nth, client) in clients.iter_mut().enumerate() {
            scope.spawn(move || {
                for n in 0..2000 {
                    let (key, value) = (format!("key:{nth}:{n}"), format!("value:{n}"));
                    assert_eq!(text(&client.cmd(&["EVAL", incr, "1", &key, &value])), "1");
                }
            });
        }
    });
    let bytes = lua_bytes(&mut clients[0]);
    assert!((30_000..95_000).contains(&bytes), "{bytes}");
}

#[test]
fn an_interpreter_that_has_grown_gives_garbage_back() {
    let server = two_threads();
    let mut client = server.client();
    let grow = "local t = '' local n = 0 t = t .. string.rep('x', 20000000) return #t";
    assert_eq!(eval(&mut client, grow), "20000000");
    eventually(|| {
        eval(&mut client, "return 1");
        lua_bytes(&mut client) < 200_000
    });
}

#[test]
fn script_flush_frees_the_interpreters_of_all_threads_that_serve_clients() {
    let server = two_threads();
    let mut clients: Vec<Client> = (0..8).map(|_| server.client()).collect();
    for client in &mut clients {
        assert_eq!(eval(client, "return 1"), "1");
    }
    assert!(lua_bytes(&mut clients[0]) > 0);
    assert_eq!(text(&clients[0].cmd(&["SCRIPT", "FLUSH"])), "OK");
    eventually(|| lua_bytes(&mut clients[0]) == 0);
    for client in &mut clients {
        assert_eq!(eval(client, "return 2"), "2");
    }
}

#[test]
fn a_worker_keeps_no_interpreter_for_a_script_that_does_not_come_back() {
    let server = two_threads();
    let mut client = server.client();
    assert_eq!(eval(&mut client, "return 1"), "1");
    let own = lua_bytes(&mut client);
    // A loop: it shows on a worker that it is quick.
    assert_eq!(eval(&mut client, "for n = 1, 2 do end return 1"), "1");
    eventually(|| lua_bytes(&mut client) < own * 3 / 2);
}

#[test]
fn libraries_are_there_however_a_script_looks_for_them() {
    let server = server();
    for look in [
        "type(cjson.encode)",
        "type(_G.cjson.encode)",
        "type(rawget(_G, 'cjson').encode)",
        "type(getfenv(1)['cjson'].encode)",
        "type(loadstring('return cjson')().encode)",
        "(function() for name, value in pairs(_G) do if name == 'cjson' then return type(value.encode) end end end)()",
        "(function() for name, value in next, _G do if name == 'cjson' then return type(value.encode) end end end)()",
        "coroutine.wrap(function() return type(cjson.encode) end)()",
        "select(2, pcall(function() return type(cjson.encode) end))",
    ] {
        let mut client = server.client();
        // An interpreter that has not made it yet.
        client.cmd(&["SCRIPT", "FLUSH"]);
        assert_eq!(eval(&mut client, &format!("return {look}")), "function", "{look}");
        assert_eq!(
            eval(&mut client, "return cjson == _G.cjson and #cjson.encode({})"),
            "2",
            "{look}"
        );
    }
}

#[test]
fn a_library_is_read_only_as_soon_as_it_is_made() {
    let server = server();
    let mut client = server.client();
    for library in ["bit", "cjson", "cmsgpack", "math", "os", "struct"] {
        client.cmd(&["SCRIPT", "FLUSH"]);
        for change in [
            format!("{library} = nil"),
            format!("{library}.left = 1"),
            format!("rawset({library}, 'left', 1)"),
            format!("setmetatable({library}, {{}})"),
            format!("getmetatable({library}).left = 1"),
            format!("rawset(_G, '{library}', 1)"),
        ] {
            assert!(eval(&mut client, &change).contains("readonly"), "{change}");
        }
        assert_eq!(eval(&mut client, &format!("return {library}.left == nil and 1")), "1");
    }
}

#[test]
fn functions_see_the_libraries_that_scripts_see_once_they_run() {
    let server = server();
    let mut t = Transcript::new(server.client());
    let code = "#!lua name=lib\\nredis.register_function('f', function() return type(math.floor) .. math.floor(2.5) .. cjson.encode({1}) end)";
    t.check(&format!("FUNCTION LOAD \"{code}\""), "lib");
    t.check("FCALL f 0", "function2[1]");
    t.check("EVAL \"return math.floor(1.5)\" 0", "1");
    t.check("FCALL f 0", "function2[1]");
    let early = "#!lua name=early\\nlocal n = math.floor(2.5)\\nredis.register_function('g', function() return n end)";
    let error = text(&t.run(&format!("FUNCTION LOAD \"{early}\"")));
    assert!(error.contains("nonexistent global variable 'math'"), "{error}");
}

#[test]
fn loaded_chunks_are_named_and_collected_as_in_c() {
    let server = server();
    let mut client = server.client();
    for (script, answer) in [
        (
            "return select(2, loadstring('return (', 'n\\0more'))",
            "[string \"n\"]:1: unexpected symbol near '<eof>'",
        ),
        ("return select(2, pcall(loadstring('error(\"q\")', 'a\\0b')))", "[string \"a\"]:1: q"),
        (
            "local n = 0 return load(function() n = n + 1 return ({'return ', 4, '2'})[n] end)()",
            "42",
        ),
        (
            "return select(2, load(function() return {} end))",
            "reader function must return a string",
        ),
        (
            "local n = 0 return select(2, load(function() n = n + 1 return ({'\\27', 'Lua'})[n] end))",
            "attempt to load a binary chunk",
        ),
        ("return load(function() return nil end) and 1", "1"),
        ("return collectgarbage('stop\\0')", "0"),
        ("return collectgarbage('setpause\\0', 1)", "0"),
    ] {
        assert_eq!(eval(&mut client, script), answer, "{script}");
    }
}
