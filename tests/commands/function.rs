//! What FUNCTION and FCALL answer.

use russet_testkit::{Reply, Transcript};

use crate::server;

const LIBRARY: &str = "#!lua name=lib\nlocal function add(keys, args) return args[1] + args[2] end\nredis.register_function('add', add)\nredis.register_function{function_name='get', callback=function(keys) return redis.call('get', keys[1]) end, flags={'no-writes'}, description='reads'}";

/// The text of a status, an error or a string.
fn text(reply: &Reply) -> Option<String> {
    match reply {
        Reply::Simple(bytes) | Reply::Error(bytes) | Reply::Bulk(bytes) => {
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
        _ => None,
    }
}

#[test]
fn a_library_is_loaded_called_and_listed() {
    let server = server();
    let mut t = Transcript::new(server.client());
    assert_eq!(t.client.cmd(&["FUNCTION", "LOAD", LIBRARY]), Reply::Bulk(b"lib".to_vec()));
    t.check("FCALL add 0 1 2", "3");
    t.check("SET k v", "OK");
    t.check("FCALL get 1 k", "v");
    t.check("FCALL_RO get 1 k", "v");
    t.check(
        "FCALL_RO add 0 1 2",
        "-ERR Can not execute a script with write flag using *_ro command.",
    );
    t.check("FCALL nosuch 0", "-ERR Function not found");
    t.check("FCALL add x", "-ERR Bad number of keys provided");
    t.check("FCALL add 1", "-ERR Number of keys can't be greater than number of args");
    t.check("FUNCTION LIST LIBRARYNAME x*", "[]");
    t.check(
        "FUNCTION LIST",
        "[[library_name, lib, engine, LUA, functions, [[name, add, description, (nil), flags, []], [name, get, description, reads, flags, [no-writes]]]]]",
    );
    t.check(
        "FUNCTION STATS",
        "[running_script, (nil), engines, [LUA, [libraries_count, 1, functions_count, 2]]]",
    );
    let again = t.client.cmd(&["FUNCTION", "LOAD", LIBRARY]);
    assert_eq!(again, Reply::Error(b"ERR Library 'lib' already exists".to_vec()));
    assert_eq!(
        t.client.cmd(&["FUNCTION", "LOAD", "REPLACE", LIBRARY]),
        Reply::Bulk(b"lib".to_vec())
    );
    t.check("FLUSHALL", "OK");
    t.check("FCALL add 0 1 2", "3");
    t.check("FUNCTION DELETE lib", "OK");
    t.check("FUNCTION DELETE lib", "-ERR Library not found");
    t.check("FCALL add 0 1 2", "-ERR Function not found");
}

#[test]
fn all_flags_of_a_function_are_taken_and_listed() {
    let server = server();
    let mut t = Transcript::new(server.client());
    let code = "#!lua name=l\nserver.register_function{function_name='f', callback=function() return 1 end, \
                flags={'no-writes', 'allow-oom', 'allow-stale', 'no-cluster', 'allow-cross-slot-keys'}}";
    assert_eq!(text(&t.client.cmd(&["FUNCTION", "LOAD", code])).as_deref(), Some("l"));
    t.check("FCALL f 0", "1");
    t.client.hello3();
    t.check(
        "FUNCTION LIST LIBRARYNAME l",
        "[{library_name: l, engine: LUA, functions: [{name: f, description: (nil), flags: \
         ~[no-writes, allow-oom, allow-stale, no-cluster, allow-cross-slot-keys]}]}]",
    );
    t.check(
        "FUNCTION STATS",
        "{running_script: (nil), engines: {LUA: {libraries_count: 1, functions_count: 1}}}",
    );
    let code = code.replace("no-cluster", "no-such");
    let answer = text(&t.client.cmd(&["FUNCTION", "LOAD", "REPLACE", &code])).expect("an error");
    assert!(answer.contains("unknown flag given"), "{answer}");
    let code = code.replace("server.register", "-- server.register");
    let answer = text(&t.client.cmd(&["FUNCTION", "LOAD", "REPLACE", &code])).expect("an error");
    assert!(answer.contains("No functions registered"), "{answer}");
    t.check("FCALL f 0", "1");
}

#[test]
fn a_library_that_is_wrong_is_refused() {
    let server = server();
    let mut t = Transcript::new(server.client());
    for (code, error) in [
        ("return 1", "Missing library metadata"),
        ("#!lua name=a\nreturn", "No functions registered"),
        (
            "#!lua name=a\nreturn )",
            "Error compiling function: user_function:2: unexpected symbol near ')'",
        ),
        (
            "#!lua name=a\nredis.register_function('f')",
            "Error registering functions: ERR calling server.register_function with a single argument is only applicable to Lua table (representing named arguments).",
        ),
        (
            "#!lua name=a\nlocal x = math",
            "Script attempted to access nonexistent global variable 'math'",
        ),
        (
            "#!lua name=a\nredis.call('ping')",
            "Script attempted to access nonexistent global variable 'call'",
        ),
        ("#!lua name=a\nx = 1", "Attempt to modify a readonly table"),
        ("#!lua name=a\nwhile true do end", "FUNCTION LOAD timeout"),
        (
            "#!lua name=a\nredis.register_function('f', function() end) redis.register_function('f', function() end)",
            "Function already exists in the library",
        ),
    ] {
        let answer = text(&t.client.cmd(&["FUNCTION", "LOAD", code])).expect("an error");
        assert!(answer.contains(error), "{code}: {answer}");
    }
    t.check("FUNCTION LIST", "[]");
    t.check("FUNCTION FLUSH NOW", "-ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
    t.check("FUNCTION LOAD BAD x", "-ERR Unknown option given: BAD");
}

#[test]
fn functions_see_no_globals_of_scripts_and_fail_where_they_stand() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.client.cmd(&["FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('k', function() return KEYS end)\nredis.register_function('w', function()\nx = 1 end)\nredis.register_function('r', function() return redis.register_function('a', function() end) end)"]);
    t.check("EVAL 'return 1' 1 a", "1");
    t.check("FCALL k 0", "-ERR user_function:2: Script attempted to access nonexistent global variable 'KEYS' script: k, on @user_function:2.");
    t.check(
        "FCALL w 0",
        "-ERR user_function:4: Attempt to modify a readonly table script: w, on @user_function:4.",
    );
    t.check("FCALL r 0", "-ERR user_function:5: attempt to call field 'register_function' (a nil value) script: r, on @user_function:5.");
}

#[test]
fn libraries_travel() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.client.cmd(&["FUNCTION", "LOAD", LIBRARY]);
    let Reply::Bulk(payload) = t.client.cmd(&["FUNCTION", "DUMP"]) else { panic!("no payload") };
    let restore = |t: &mut Transcript, policy: &[&str]| {
        let mut words: Vec<&[u8]> = vec![b"FUNCTION", b"RESTORE", &payload];
        words.extend(policy.iter().map(|word| word.as_bytes()));
        text(&t.client.cmd(&words)).expect("OK or an error")
    };
    assert!(restore(&mut t, &[]).contains("ERR Library lib already exists"));
    assert!(restore(&mut t, &["REPLACE"]).contains("OK"));
    assert!(restore(&mut t, &["FLUSH"]).contains("OK"));
    t.check("FUNCTION FLUSH", "OK");
    t.check("FCALL add 0 1 2", "-ERR Function not found");
    assert!(restore(&mut t, &["APPEND"]).contains("OK"));
    t.check("FCALL add 0 1 2", "3");
    assert!(restore(&mut t, &["BAD"]).contains(
        "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE."
    ));
    t.check("FUNCTION RESTORE x", "-ERR DUMP payload version or checksum are wrong");
}
