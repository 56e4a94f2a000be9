//! Answers and errors to the byte, as Valkey 8.0.1 gives them.

use russet_testkit::Client;

use super::eval;
use crate::server;

/// What follows the text of an error that no script has caught.
const WHERE: &str = ", on @user_script:1.";

/// Holds what a script answers against what it should; of an error that was not caught, without where it happened.
#[track_caller]
fn check(client: &mut Client, script: &str, answer: &str) {
    let said = eval(client, script);
    let said = said.strip_suffix(WHERE).map_or(said.as_str(), |text| {
        text.rsplit_once(" script: ").expect("the hash of the script").0
    });
    assert_eq!(said, answer, "{script}");
}

/// The same for an error, as it is where nobody catches it, as a function catches it, and as `pcall` catches it from the function itself.
#[track_caller]
fn check_error(client: &mut Client, function: &str, arguments: &str, error: &str) {
    let name = function.rsplit('.').next().expect("a name");
    let called = error.replace("''", &format!("'{name}'"));
    check(
        client,
        &format!("return {function}({arguments})"),
        &format!("ERR user_script:1: {called}"),
    );
    let caught =
        format!("return select(2, pcall(function() local a = {function}({arguments}) end))");
    check(client, &caught, &format!("user_script:1: {called}"));
    let comma = if arguments.is_empty() { "" } else { ", " };
    let direct = format!("return select(2, pcall({function}{comma}{arguments}))");
    check(client, &direct, &error.replace("''", "'?'"));
}

#[test]
fn errors_name_the_function_that_was_called_and_its_line() {
    let server = server();
    let mut client = server.client();
    for (function, arguments, error) in [
        ("string.find", "nil, 'x'", "bad argument #1 to '' (string expected, got nil)"),
        ("string.find", "'x'", "bad argument #2 to '' (string expected, got no value)"),
        ("string.match", "'x', '%1'", "invalid capture index"),
        ("string.gsub", "'x', 'x', true", "bad argument #3 to '' (string/function/table expected)"),
        ("string.rep", "", "bad argument #1 to '' (string expected, got no value)"),
        ("next", "", "bad argument #1 to '' (table expected, got no value)"),
        ("pairs", "nil", "bad argument #1 to '' (table expected, got nil)"),
        ("ipairs", "5", "bad argument #1 to '' (table expected, got number)"),
        ("rawget", "5, 1", "bad argument #1 to '' (table expected, got number)"),
        ("rawset", "{}, 1", "bad argument #3 to '' (value expected)"),
        ("setmetatable", "{}", "bad argument #2 to '' (nil or table expected)"),
        ("getmetatable", "", "bad argument #1 to '' (value expected)"),
        ("unpack", "nil", "bad argument #1 to '' (table expected, got nil)"),
        ("unpack", "{}, 1, 1e8", "too many results to unpack"),
        ("table.insert", "5", "bad argument #1 to '' (table expected, got number)"),
        ("table.concat", "{{}}", "invalid value (table) at index 1 in table for 'concat'"),
        ("table.sort", "5", "bad argument #1 to '' (table expected, got number)"),
        ("coroutine.resume", "5", "bad argument #1 to '' (coroutine expected)"),
        ("math.random", "0", "bad argument #1 to '' (interval is empty)"),
        ("cjson.decode", "", "bad argument #1 to '' (expected 1 argument)"),
        ("cjson.decode", "'{'", "Expected object key string but found T_END at character 2"),
        ("cjson.encode", "function() end", "Cannot serialise function: type not supported"),
        (
            "cjson.encode_max_depth",
            "0",
            "bad argument #1 to '' (expected integer between 1 and 2147483647)",
        ),
        ("cmsgpack.pack", "", "bad argument #0 to '' (MessagePack pack needs input.)"),
        ("cmsgpack.unpack", "", "bad argument #1 to '' (string expected, got no value)"),
        ("cmsgpack.unpack_limit", "'', 'x'", "bad argument #2 to '' (number expected, got string)"),
        ("struct.pack", "'b'", "bad argument #2 to '' (number expected, got nil)"),
        ("struct.unpack", "'b', ''", "bad argument #2 to '' (data string too short)"),
        ("struct.unpack", "'b', 'x', 0", "bad argument #3 to '' (offset must be 1 or greater)"),
        ("struct.unpack", "'b', 'x', 'y'", "bad argument #3 to '' (number expected, got string)"),
        ("bit.band", "", "bad argument #1 to '' (number expected, got no value)"),
        ("bit.lshift", "1, {}", "bad argument #2 to '' (number expected, got table)"),
    ] {
        check_error(&mut client, function, arguments, error);
    }
    // Whatever name it was called by.
    check(
        &mut client,
        "local d = cjson.decode local a = d()",
        "ERR user_script:1: bad argument #1 to 'd' (expected 1 argument)",
    );
    check(&mut client, "return rawset(_G, 'x', 1)", "ERR Attempt to modify a readonly table");
    check(&mut client, "return loadstring(5)", "nil");
    check(&mut client, "return select(2, load(function() error('x') end))", "user_script:1: x");
    check(
        &mut client,
        "local a = collectgarbage('no')",
        "ERR user_script:1: bad argument #1 to 'collectgarbage' (invalid option 'no')",
    );
    check(
        &mut client,
        "local a = xpcall(error)",
        "ERR user_script:1: bad argument #2 to 'xpcall' (value expected)",
    );
    let level = "return setfenv(1, {}) == nil and 1";
    assert!(!eval(&mut client, level).contains("ERR"));
}

#[test]
fn what_is_odd_is_odd_as_it_is_in_c() {
    let server = server();
    let mut client = server.client();
    let hex = "local function hex(text) return (text:gsub('.', function(c) return string.format('%02x', c:byte()) end)) end ";
    for (script, answer) in [
        ("return cjson.decode('[0x1p4, -0x1.8]')[1]", "16"),
        ("return cjson.new().encode({1, cjson.new().null == cjson.null})", "[1,true]"),
        ("return tostring(cmsgpack.unpack('\\207' .. string.rep('\\255', 8)))", "-1"),
        ("return redis.sha1hex(2^53)", "0657a6c1a05f84abbec76d2e23050d245b40333f"),
        ("return hex(struct.pack('s', 2^53))", "392e303037313939323534373431652b313500"),
        ("return hex(struct.pack('>i8', 0/0))", "8000000000000000"),
        ("return hex(struct.pack('>I8', 1e300))", "0000000000000000"),
        (
            "return select(2, pcall(struct.unpack, 'b', 'x', -1))",
            "bad argument #2 to '?' (data string too short)",
        ),
        ("return redis.call('echo', 0/0)", "-nan"),
        ("return redis.call('echo', -(0/0))", "nan"),
        ("math.randomseed(42) return {math.random(1000000), math.random(5, 9)}", "744526 6"),
        ("return {err = 'MY text\\0more'}", "MY text"),
        ("return {1, {err = 'MY text\\0more'}}", "1 MY text"),
    ] {
        check(&mut client, &format!("{hex}{script}"), answer);
    }
    client.hello3();
    for (format, head) in [("txtmore", "txt"), ("mkd", "mkd"), ("a\\r\\n", "txt")] {
        let script = format!("return {{verbatim_string = {{format = '{format}', string = 'v'}}}}");
        client.send(&["EVAL", &script, "0"]).expect("sent");
        let frame = format!("=5\r\n{head}:v\r\n");
        let read = client.read_exact_raw(frame.len()).expect("a reply");
        assert_eq!(String::from_utf8_lossy(&read), frame, "{script}");
    }
}
