//! The named workloads.
//!
//! One row each: a name, what it finds on the server when it begins, and the commands it mixes with
//! their weights. Keys are `key:` and 12 digits, as `--fill` loads them; counters and collections
//! have names of their own, so that any order of workloads works on one server.

use clap::ValueEnum;

use crate::request::Template;

/// A command line sent so many times before a workload begins. Its numbers count up from 1, so that
/// as many elements stand there; where that would favour one layout over another, they are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// How often.
    pub times: u32,
    /// The line, with the placeholders of [`crate::request`].
    pub line: &'static str,
    /// Numbers at random instead of one after the other.
    pub is_random: bool,
}

const fn step(times: u32, line: &'static str) -> Step {
    Step { times, line, is_random: false }
}

/// A named mix of commands.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// What `--workload` calls it.
    pub name: &'static str,
    /// What is there when it begins.
    pub steps: &'static [Step],
    /// It uses up what it finds: the steps come before every run, which ends after so many requests.
    pub requests: Option<u64>,
    /// How many clients listen to the channel [`CHANNEL`] meanwhile, each request being a message to all of them.
    pub listeners: usize,
    /// Weight and command line, with the placeholders of [`crate::request`].
    pub commands: &'static [(u32, &'static str)],
}

const fn row(name: &'static str, commands: &'static [(u32, &'static str)]) -> Workload {
    Workload { name, steps: &[], requests: None, listeners: 0, commands }
}

impl Workload {
    const fn on(self, steps: &'static [Step]) -> Self {
        Self { steps, ..self }
    }

    const fn using_up(self, requests: u64) -> Self {
        Self { requests: Some(requests), ..self }
    }

    const fn heard_by(self, listeners: usize) -> Self {
        Self { listeners, ..self }
    }
}

/// What the listeners of a workload are subscribed to.
pub const CHANNEL: &str = "feed";

const LIST: Step = step(1_000_000, "RPUSH mylist __value__");
const HASH: Step = step(1_000_000, "HSET myhash fld:__rand_digits__ __value__");
const BITS: Step = step(16_384, "APPEND bits __value__");
const SET: Step = step(1_000_000, "SADD myset mbr:__rand_digits__");
const SORTED_SET: Step =
    Step { is_random: true, ..step(3_000_000, "ZADD myzset __rand_int__ mbr:__rand_digits__") };

/// Every workload that has a name.
pub const WORKLOADS: &[Workload] = &[
    row("ping", &[(1, "PING")]),
    row("set", &[(1, "SET __rand_key__ __value__")]),
    row("get", &[(1, "GET __rand_key__")]),
    row("mixed", &[(1, "SET __rand_key__ __value__"), (10, "GET __rand_key__")]),
    row("set-ex", &[(1, "SET __rand_key__ __value__ EX 86400")]),
    row("set-int", &[(1, "SET __rand_key__ __rand_int__")]),
    row("expire", &[(1, "EXPIRE __rand_key__ 86400")]),
    row("incr", &[(1, "INCR num:__rand_digits__")]),
    row("mset10", &[(1, MSET10)]),
    row("mget10", &[(1, MGET10)]),
    row("lpush", &[(1, "LPUSH pushlist __value__")])
        .on(&[step(1, "DEL pushlist")])
        .using_up(1_000_000),
    row("rpop", &[(1, "RPOP poplist")])
        .on(&[step(1_000_000, "RPUSH poplist __value__")])
        .using_up(1_000_000),
    row("lrange100", &[(1, "LRANGE mylist 0 99")]).on(&[LIST]),
    row("hset", &[(1, "HSET myhash fld:__rand_digits__ __value__")]).on(&[HASH]),
    row("hset-new", &[(1, "HSET newhash fld:__rand_digits__ __value__")])
        .on(&[step(1, "DEL newhash")])
        .using_up(500_000),
    row("hget", &[(1, "HGET myhash fld:__rand_digits__")]).on(&[HASH]),
    row("sadd", &[(1, "SADD myset mbr:__rand_digits__")]).on(&[SET]),
    row("sadd-new", &[(1, "SADD newset mbr:__rand_digits__")])
        .on(&[step(1, "DEL newset")])
        .using_up(500_000),
    row("sismember", &[(1, "SISMEMBER myset mbr:__rand_digits__")]).on(&[SET]),
    row("zadd", &[(1, "ZADD myzset __rand_int__ mbr:__rand_digits__")]).on(&[SORTED_SET]),
    row("zadd-new", &[(1, "ZADD newzset __rand_int__ mbr:__rand_digits__")])
        .on(&[step(1, "DEL newzset")])
        .using_up(500_000),
    row("zincrby", &[(1, "ZINCRBY myzset 1 mbr:__rand_digits__")]).on(&[SORTED_SET]),
    row("zrank", &[(1, "ZRANK myzset mbr:__rand_digits__")]).on(&[SORTED_SET]),
    row("zrange10", &[(1, "ZRANGE myzset 4__rand_4__0 4__same_4__9")]).on(&[SORTED_SET]),
    row("xadd", &[(1, "XADD mystream * field __value__")])
        .on(&[step(1, "DEL mystream")])
        .using_up(1_000_000),
    row("xreadgroup", &[(1, "XREADGROUP GROUP workers one COUNT 1 STREAMS feed >")])
        .on(&[
            step(1, "DEL feed"),
            step(1_000_000, "XADD feed * field __value__"),
            step(1, "XGROUP CREATE feed workers 0"),
        ])
        .using_up(500_000),
    row("sinter10k", &[(1, "SINTER even mixed")]).on(&[
        step(10_000, "SADD even m:__rand_digits__"),
        step(5_000, "SADD mixed m:__rand_digits__"),
        step(5_000, "SADD mixed n:__rand_digits__"),
    ]),
    row("zunionstore10k", &[(1, "ZUNIONSTORE united 2 first second")]).on(&[
        step(10_000, "ZADD first __rand_int__ m:__rand_digits__"),
        step(5_000, "ZADD second __rand_int__ m:__rand_digits__"),
        step(5_000, "ZADD second __rand_int__ n:__rand_digits__"),
    ]),
    row("bitcount1m", &[(1, "BITCOUNT bits")]).on(&[BITS]),
    row("bitop1m", &[(1, "BITOP AND both bits others")])
        .on(&[BITS, step(16_384, "APPEND others __value__")]),
    row("pfmerge", &[(1, "PFMERGE merged visits more")]).on(&[
        step(100_000, "PFADD visits m:__rand_digits__"),
        step(100_000, "PFADD more n:__rand_digits__"),
    ]),
    row("sort10k", &[(1, "SORT numbers")])
        .on(&[Step { is_random: true, ..step(10_000, "RPUSH numbers __rand_int__") }]),
    row("script", &[(1, "EVALSHA 61636018f4e6b5817b89791bbed242f93fa089e3 1 num:__rand_digits__")])
        .on(&[step(1, LOAD_INCREMENT)]),
    row("script-limiter", &[(1, CALL_LIMITER)]).on(&[step(1, LOAD_LIMITER)]),
    row("publish100", &[(1, "PUBLISH feed __value__")]).heard_by(100),
];

/// A script of one command.
const LOAD_INCREMENT: &str = "SCRIPT LOAD \"return redis.call('INCR', KEYS[1])\"";

/// A sliding window: so many uses of a key in so much time.
const LOAD_LIMITER: &str = "SCRIPT LOAD \"local key, member = KEYS[1], ARGV[4]
local now, window, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', key, '-inf', now - window)
local count = redis.call('ZCARD', key)
local allowed = 0
if count < limit then
  redis.call('ZADD', key, now, member)
  allowed = 1
  count = count + 1
end
redis.call('PEXPIRE', key, window)
local oldest = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
local reset = now + window
if oldest[2] then
  reset = tonumber(oldest[2]) + window
end
return { allowed, limit - count, reset }\"";

const CALL_LIMITER: &str = "EVALSHA 3dd248c59ae9ffd8d78eb60526f9f7f24f371cbf 1 \
    log:__rand_4__ __rand_int__ 60000000 100 use:__rand_digits__";

const MSET10: &str = "MSET __rand_key__ __value__ __rand_key__ __value__ __rand_key__ __value__ \
    __rand_key__ __value__ __rand_key__ __value__ __rand_key__ __value__ __rand_key__ __value__ \
    __rand_key__ __value__ __rand_key__ __value__ __rand_key__ __value__";

const MGET10: &str = "MGET __rand_key__ __rand_key__ __rand_key__ __rand_key__ __rand_key__ \
    __rand_key__ __rand_key__ __rand_key__ __rand_key__ __rand_key__";

/// Workloads and kinds of memory that are measured together, each with a page of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// Strings: SET, GET and kin.
    Keys,
    /// Commands on one large collection.
    Types,
    /// Commands that take many elements at once.
    Heavy,
    /// Messages to many clients.
    Messages,
    /// Scripts.
    Scripts,
}

/// A workload at a pipeline depth, and how much CPU time a request may take, over Valkey's.
pub type Goal = (&'static str, usize, f64);

impl Suite {
    /// What belongs to it.
    pub const fn goals(self) -> &'static [Goal] {
        match self {
            Self::Keys => &[
                ("ping", 1, 1.0),
                ("set", 1, 0.92),
                ("get", 1, 0.92),
                ("set", 16, 0.45),
                ("get", 16, 0.45),
                ("set", 64, 0.28),
                ("get", 64, 0.28),
                ("mset10", 1, 0.5),
                ("mget10", 1, 0.5),
            ],
            Self::Types => &[
                ("lpush", 16, 0.6),
                ("rpop", 16, 0.6),
                ("lrange100", 16, 0.6),
                ("hset", 16, 0.6),
                ("hset-new", 16, 0.6),
                ("hget", 16, 0.6),
                ("sadd", 16, 0.6),
                ("sadd-new", 16, 0.6),
                ("sismember", 16, 0.6),
                ("zadd", 16, 0.5),
                ("zadd-new", 16, 0.5),
                ("zincrby", 16, 0.6),
                ("zrank", 16, 0.5),
                ("zrange10", 16, 0.6),
                ("xadd", 16, 0.6),
                ("xreadgroup", 16, 0.6),
            ],
            Self::Heavy => &[
                ("sinter10k", 1, 1.0),
                ("zunionstore10k", 1, 1.0),
                ("bitcount1m", 1, 1.0),
                ("bitop1m", 1, 1.0),
                ("pfmerge", 1, 1.0),
                ("sort10k", 1, 1.0),
            ],
            Self::Messages => &[("publish100", 1, 0.66), ("publish100", 16, 0.66)],
            Self::Scripts => &[("script", 16, 0.7), ("script-limiter", 16, 0.8)],
        }
    }
}

/// How much CPU time a request of that workload may take at that pipeline depth, over Valkey's.
pub fn goal(name: &str, pipeline: usize) -> Option<f64> {
    let mut goals = Suite::value_variants().iter().flat_map(|suite| suite.goals());
    goals.find(|goal| (goal.0, goal.1) == (name, pipeline)).map(|goal| goal.2)
}

/// The workload of that name.
pub fn find(name: &str) -> Option<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.name == name)
}

/// All names, for the help text.
pub fn names() -> String {
    let names: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
    names.join(", ")
}

impl Workload {
    /// The templates to draw from, with values of this size.
    pub fn mix(&self, value_bytes: usize) -> Vec<(u32, Template)> {
        let encode = |&(weight, line)| (weight, Template::parse(line, value_bytes));
        self.commands.iter().map(encode).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_weights_positive() {
        for (at, workload) in WORKLOADS.iter().enumerate() {
            let first = WORKLOADS.iter().position(|other| other.name == workload.name);
            assert_eq!(first, Some(at), "{}", workload.name);
            assert!(workload.commands.iter().all(|(weight, _)| *weight > 0));
        }
    }

    #[test]
    fn suites_name_workloads_that_exist() {
        for suite in Suite::value_variants() {
            assert!(suite.goals().iter().all(|goal| find(goal.0).is_some()), "{suite:?}");
        }
        assert_eq!((goal("get", 16), goal("get", 17)), (Some(0.45), None));
    }

    #[test]
    fn scripts_are_called_by_their_hash() {
        let of =
            |line: &str| line.trim_start_matches("SCRIPT LOAD \"").trim_end_matches('"').to_owned();
        for name in ["script", "script-limiter"] {
            let workload = find(name).unwrap();
            let sha = sha1_smol::Sha1::from(of(workload.steps[0].line)).digest().to_string();
            assert!(
                workload.commands[0].1.starts_with(&format!("EVALSHA {sha} ")),
                "{name}: {sha}"
            );
        }
    }

    #[test]
    fn the_wide_commands_name_ten_keys() {
        assert_eq!(MSET10.matches("__rand_key__ __value__").count(), 10);
        assert_eq!(MGET10.matches("__rand_key__").count(), 10);
    }
}
