//! Scripts of any text: what the fuzz target says, for as long as `RUSSET_SCRIPT_SECONDS` says.
//!
//! Texts are made of what scripts are made of, in any order, and of scripts that were cut, spliced and scratched. Each is answered with
//! one frame, ends when it is told to, and leaves the next one a working interpreter: see `runner.rs`.

use std::time::{Duration, Instant};

use russet_testkit::Random;

use super::runner::Runner;

/// What scripts are made of.
const PIECES: &[&str] = &[
    "return ",
    "local a = ",
    "a",
    "b",
    "a.b",
    "a[1]",
    "=",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ",",
    ";",
    " .. ",
    " + ",
    " / ",
    " % ",
    " ^ ",
    " == ",
    " < ",
    " and ",
    " or ",
    " not ",
    "#",
    "-",
    "nil",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "1e308",
    "0/0",
    "1/0",
    "2147483648",
    "9007199254740993",
    "'x'",
    "''",
    "'\\0'",
    "'%d%s'",
    "[[long]]",
    "[==[",
    "--",
    "\n",
    " do ",
    " end ",
    " while true do ",
    " for n = 1, 10 do ",
    " repeat ",
    " until ",
    " if ",
    " then ",
    " else ",
    "function(...) ",
    "function f() ",
    " break ",
    "...",
    "redis.call(",
    "redis.pcall(",
    "'GET', KEYS[1]",
    "'SET', KEYS[1], ARGV[1]",
    "'LPUSH', KEYS[1], 1, 2",
    "'LRANGE', KEYS[1], 0, -1",
    "'HGETALL', 'h'",
    "'EVAL', 'return 1', 0",
    "'INCR'",
    "KEYS",
    "ARGV",
    "KEYS[1]",
    "redis",
    "redis.sha1hex(",
    "redis.error_reply(",
    "redis.status_reply(",
    "redis.setresp(3)",
    "redis.log(1, ",
    "{err = ",
    "{ok = ",
    "{map = ",
    "{set = ",
    "{double = ",
    "{big_number = ",
    "{verbatim_string = ",
    "pcall(",
    "xpcall(",
    "error(",
    "setmetatable(",
    "getmetatable(",
    "{__index = ",
    "{__gc = ",
    "{__tostring = ",
    "rawset(",
    "rawget(",
    "next(",
    "pairs(",
    "ipairs(",
    "select('#', ",
    "unpack(",
    "tostring(",
    "tonumber(",
    "type(",
    "loadstring(",
    "load(",
    "setfenv(1, ",
    "getfenv(",
    "_G",
    "collectgarbage('",
    "string.rep(",
    "string.format(",
    "string.gsub(",
    "string.find(",
    "('x'):rep(",
    "('a'):byte(",
    "table.concat(",
    "table.sort(",
    "table.insert(",
    "table.remove(",
    "math.random(",
    "math.floor(",
    "coroutine.wrap(",
    "coroutine.yield(",
    "coroutine.create(",
    "coroutine.resume(",
    "cjson.encode(",
    "cjson.decode(",
    "'[1,{\"a\":null}]'",
    "cmsgpack.pack(",
    "cmsgpack.unpack(",
    "struct.pack(",
    "struct.unpack(",
    "'>I4s'",
    "bit.band(",
    "bit.tohex(",
    "bit.lshift(",
    "os.clock()",
    "#!lua flags=no-writes\n",
    "\u{1b}",
    "\0",
    "é",
    "\r\n",
];

/// Scripts that make sense, to be broken.
const SCRIPTS: &[&str] = &[
    "local t = {} for n = 1, 50 do t[n] = {n, tostring(n)} end return cjson.encode(t)",
    "local v = redis.call('GET', KEYS[1]) if v then return redis.call('INCRBY', KEYS[1], ARGV[2]) else return redis.error_reply('MY no') end",
    "local function f(n) if n == 0 then return 1 end return n * f(n - 1) end return f(20)",
    "return cmsgpack.unpack(cmsgpack.pack({1, 2, {a = 'b'}, 1.5, nil, true}))",
    "return struct.unpack('>I2I4s', struct.pack('>I2I4s', 1, 2, 'abc'))",
    "local ok, e = pcall(function() error({err = 'X y'}) end) return e",
    "local c = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return b * 2 end) return c(1) + c(2)",
    "local s = '' for w in string.gmatch('one two three', '%a+') do s = s .. string.format('%-5s|%5.2f', w, #w) end return s",
    "redis.setresp(3) return redis.call('HGETALL', KEYS[1])",
    "local p = setmetatable({}, {__index = function(t, k) return k .. '!' end, __call = function(self, a) return a end}) return {p.x, p(2)}",
    "for n = 1, 100 do redis.call('ZADD', KEYS[1], n, 'm' .. n) end return redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')",
    "return {1, {2, {3, false, {err = 'E x'}}}, double = 2}",
];

fn text(random: &mut Random) -> Vec<u8> {
    if random.percent(50) {
        let count = 1 + random.below(30);
        return (0..count).flat_map(|_| random.pick(PIECES).as_bytes()).copied().collect();
    }
    let mut text = random.pick(SCRIPTS).as_bytes().to_vec();
    for _ in 0..=random.below(6) {
        let at = random.below(text.len() as u64 + 1) as usize;
        match random.below(5) {
            0 => text.truncate(at.max(1)),
            1 => drop(text.splice(at..at, random.pick(PIECES).bytes())),
            2 => drop(text.splice(at..text.len().min(at + 5), random.pick(PIECES).bytes())),
            3 => text.extend_from_slice(random.pick(SCRIPTS).as_bytes()),
            _ => text.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.below(256) as u8),
        }
    }
    text
}

#[test]
fn any_text_is_answered_with_one_frame() {
    let seconds = std::env::var("RUSSET_SCRIPT_SECONDS").ok().and_then(|text| text.parse().ok());
    let (time, began) = (Duration::from_secs(seconds.unwrap_or(1)), Instant::now());
    let (mut runner, mut scripts) = (Runner::new(), 0_u64);
    let mut random = Random::new(began.elapsed().as_nanos() as u64 ^ u64::from(std::process::id()));
    while began.elapsed() < time {
        runner.check(&text(&mut random));
        scripts += 1;
    }
    println!("{scripts} scripts");
}
