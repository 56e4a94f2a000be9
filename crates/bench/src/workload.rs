//! The named workloads.
//!
//! One row each: a name, and the commands it mixes with their weights. Keys are `key:` and 12
//! digits, as `--fill` loads them; counters and collections have names of their own, so that any
//! order of workloads works on one server.

use crate::request::Template;

/// A named mix of commands.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// What `--workload` calls it.
    pub name: &'static str,
    /// Weight and command line, with the placeholders of [`crate::request`].
    pub commands: &'static [(u32, &'static str)],
}

const fn row(name: &'static str, commands: &'static [(u32, &'static str)]) -> Workload {
    Workload { name, commands }
}

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
    row("lpush", &[(1, "LPUSH mylist __value__")]),
    row("rpop", &[(1, "RPOP mylist")]),
    row("lrange100", &[(1, "LRANGE mylist 0 99")]),
    row("hset", &[(1, "HSET myhash fld:__rand_digits__ __value__")]),
    row("hget", &[(1, "HGET myhash fld:__rand_digits__")]),
    row("sadd", &[(1, "SADD myset mbr:__rand_digits__")]),
    row("zadd", &[(1, "ZADD myzset __rand_int__ mbr:__rand_digits__")]),
    row("zrank", &[(1, "ZRANK myzset mbr:__rand_digits__")]),
    row("xadd", &[(1, "XADD mystream * field __value__")]),
];

const MSET10: &str = "MSET __rand_key__ __value__ __rand_key__ __value__ __rand_key__ __value__ \
    __rand_key__ __value__ __rand_key__ __value__ __rand_key__ __value__ __rand_key__ __value__ \
    __rand_key__ __value__ __rand_key__ __value__ __rand_key__ __value__";

const MGET10: &str = "MGET __rand_key__ __rand_key__ __rand_key__ __rand_key__ __rand_key__ \
    __rand_key__ __rand_key__ __rand_key__ __rand_key__ __rand_key__";

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
    fn the_wide_commands_name_ten_keys() {
        assert_eq!(MSET10.matches("__rand_key__ __value__").count(), 10);
        assert_eq!(MGET10.matches("__rand_key__").count(), 10);
    }
}
