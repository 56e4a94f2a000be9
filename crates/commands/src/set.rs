//! Sets. What puts several together stands in `set/algebra.rs`, what throws dice in `set/random.rs`.

mod algebra;
mod random;

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{ACCESS, DELETE, INSERT, OW, RO, RW, UPDATE, at, counted, range};
use russet_dispatch::parts::{self, Show};
use russet_dispatch::{Args, Class, Command, Context, Group, Outcome, Prefetch, Stop};
use russet_engine::Type;
use russet_engine::collections::listpack::Element;
use russet_engine::types::set::{Rules, Set};
use russet_resp::Writer;

use crate::generic::scan::head;
use crate::generic::scan::options::{Options, cursor};

/// What every set command has in common.
const SET: Command = Command { group: Group::Set, file: file!(), since: "1.0.0", ..Command::BASE };

/// What SUNION and its kin have in common.
const ALGEBRA: Command = Command {
    syntax: "key [key ...]",
    complexity: "O(N) where N is the number of members of all sets",
    arity: -2,
    flags: &[ReadOnly],
    keys: &[range(1, -1, 1, RO | ACCESS)],
    tips: &["nondeterministic_output_order"],
    ..SET
};

/// What SUNIONSTORE and its kin have in common.
const STORE: Command = Command {
    syntax: "destination key [key ...]",
    arity: -3,
    flags: &[Write, DenyOom],
    keys: &[at(1, OW | UPDATE), range(2, -1, 1, RO | ACCESS)],
    tips: &[],
    ..ALGEBRA
};

/// What SINTERCARD and its kin have in common.
const CARD: Command = Command {
    syntax: "numkeys:int key [key ...] [LIMIT limit:int]",
    arity: -3,
    flags: &[ReadOnly, MovableKeys],
    keys: &[counted(1, 1, RO | ACCESS)],
    tips: &[],
    ..ALGEBRA
};

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "sadd",
        syntax: "key member [member ...]",
        summary: "Adds members to a set.",
        complexity: "O(1) for each member added",
        arity: -3,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | INSERT)],
        prefetch: Prefetch::Element(2),
        history: &[("2.4.0", "Takes several members.")],
        run: sadd,
        ..SET
    },
    Command {
        name: "scard",
        syntax: "key",
        summary: "Tells how many members a set has.",
        arity: 2,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO)],
        run: scard,
        ..SET
    },
    Command {
        name: "sdiff",
        summary: "Gives the members of the first set that no other has.",
        run: algebra::sdiff,
        ..ALGEBRA
    },
    Command {
        name: "sdiffcard",
        summary: "Tells how many members of the first set no other has.",
        since: "8.10.0",
        run: algebra::sdiffcard,
        ..CARD
    },
    Command {
        name: "sdiffstore",
        summary: "Keeps the members of the first set that no other has.",
        run: algebra::sdiffstore,
        ..STORE
    },
    Command {
        name: "sinter",
        summary: "Gives the members that all sets have.",
        complexity: "O(N*M) at most, where N is the number of members of the smallest set and M the number of sets",
        run: algebra::sinter,
        ..ALGEBRA
    },
    Command {
        name: "sintercard",
        summary: "Tells how many members all sets have.",
        complexity: "O(N*M) at most, where N is the number of members of the smallest set and M the number of sets",
        since: "7.0.0",
        run: algebra::sintercard,
        ..CARD
    },
    Command {
        name: "sinterstore",
        summary: "Keeps the members that all sets have.",
        complexity: "O(N*M) at most, where N is the number of members of the smallest set and M the number of sets",
        run: algebra::sinterstore,
        ..STORE
    },
    Command {
        name: "sismember",
        syntax: "key member",
        summary: "Tells whether a set has a member.",
        arity: 3,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO)],
        prefetch: Prefetch::Element(2),
        run: sismember,
        ..SET
    },
    Command {
        name: "smembers",
        syntax: "key",
        summary: "Gives all members of a set.",
        complexity: "O(N) where N is the number of members",
        arity: 2,
        flags: &[ReadOnly],
        keys: &[at(1, RO | ACCESS)],
        tips: &["nondeterministic_output_order"],
        run: smembers,
        ..SET
    },
    Command {
        name: "smismember",
        syntax: "key member [member ...]",
        summary: "Tells of each member whether a set has it.",
        complexity: "O(N) where N is the number of members asked for",
        since: "6.2.0",
        arity: -3,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO | ACCESS)],
        prefetch: Prefetch::Element(2),
        run: smismember,
        ..SET
    },
    Command {
        name: "smove",
        syntax: "source destination member",
        summary: "Moves a member from one set to another.",
        arity: 4,
        flags: &[Write, Fast],
        keys: &[at(1, RW | ACCESS | DELETE), at(2, RW | INSERT)],
        run: smove,
        ..SET
    },
    Command {
        name: "spop",
        syntax: "key [count:int]",
        summary: "Takes members out of a set, whichever chance chooses.",
        complexity: "O(1) without a count, else O(N) where N is the count",
        arity: -2,
        flags: &[Write, Fast],
        keys: &[at(1, RW | ACCESS | DELETE)],
        history: &[("3.2.0", "Takes a count.")],
        tips: &["nondeterministic_output"],
        run: random::spop,
        ..SET
    },
    Command {
        name: "srandmember",
        syntax: "key [count:int]",
        summary: "Gives members of a set, whichever chance chooses.",
        complexity: "O(1) without a count, else O(N) where N is the absolute count",
        arity: -2,
        flags: &[ReadOnly],
        keys: &[at(1, RO | ACCESS)],
        history: &[("2.6.0", "Takes a count.")],
        tips: &["nondeterministic_output"],
        run: random::srandmember,
        ..SET
    },
    Command {
        name: "srem",
        syntax: "key member [member ...]",
        summary: "Removes members from a set.",
        complexity: "O(N) where N is the number of members to be removed",
        arity: -3,
        flags: &[Write, Fast],
        keys: &[at(1, RW | DELETE)],
        prefetch: Prefetch::Element(2),
        history: &[("2.4.0", "Takes several members.")],
        run: srem,
        ..SET
    },
    Command {
        name: "sscan",
        syntax: "key cursor:int [MATCH pattern:pattern] [COUNT count:int]",
        summary: "Gives some members of a set, and a cursor to go on with.",
        complexity: "O(1) for every call, O(N) for a whole round, where N is the number of members",
        since: "2.8.0",
        arity: -3,
        flags: &[ReadOnly],
        keys: &[at(1, RO | ACCESS)],
        tips: &["nondeterministic_output"],
        run: sscan,
        ..SET
    },
    Command {
        name: "sunion",
        summary: "Gives the members that any set has.",
        run: algebra::sunion,
        ..ALGEBRA
    },
    Command {
        name: "sunioncard",
        syntax: "numkeys:int key [key ...] [APPROX] [LIMIT limit:int]",
        summary: "Tells how many members all sets have together.",
        since: "8.10.0",
        run: algebra::sunioncard,
        ..CARD
    },
    Command {
        name: "sunionstore",
        summary: "Keeps the members that any set has.",
        run: algebra::sunionstore,
        ..STORE
    },
];

/// Members that a command may look at here; more take more than a millisecond, and that is for a worker.
const MEMBERS_HERE: usize = 20_000;

/// Buckets that one SSCAN may visit for each member it wants, as in Redis.
const STEPS_PER_MEMBER: u64 = 10;

/// How sets are kept.
fn rules(cx: &Context<'_>) -> Rules {
    let thresholds = &cx.state.tunables.thresholds;
    let seed = cx.state.keyspace.seed();
    Rules { ints: thresholds.set_integers(), max: thresholds.set(), seed }
}

/// Goes elsewhere if there is much to do. Asked before any effect.
fn here(cx: &Context<'_>, members: usize) -> Outcome {
    if members > MEMBERS_HERE && !cx.is_worker && !cx.session.deny_blocking {
        Err(Stop::Elsewhere)
    } else {
        Ok(())
    }
}

/// Replies with a member.
#[inline]
fn bulk(reply: &mut Writer<'_>, member: Element<'_>) {
    match member {
        Element::Int(number) => reply.bulk_int(number),
        Element::Bytes(bytes) => reply.bulk(bytes),
    }
}

fn sadd(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, rules, count) = (args.key()?, rules(cx), args.left());
    let first = args.peek().unwrap_or_default();
    let make = || Set::expecting(first, count, &rules);
    let added = cx.data.change(key, make, |set| {
        set.expect(count, &rules);
        let added = args.by_ref().filter(|member| set.insert(member, &rules)).count();
        (added, added > 0)
    })?;
    cx.data.announce(Class::Set, "sadd", key);
    cx.data.count_as(added);
    cx.reply.integer(added as i64);
    Ok(())
}

fn srem(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let removed = cx.data.change_found(key, |set: &mut Set| {
        let removed = args.by_ref().filter(|member| set.remove(member)).count();
        (removed, removed > 0)
    })?;
    cx.data.announce(Class::Set, "srem", key);
    let removed = removed.unwrap_or(0);
    cx.data.count_as(removed);
    cx.reply.integer(removed as i64);
    Ok(())
}

fn scard(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let len = cx.data.read_as(args.key()?)?.map_or(0, Set::len);
    cx.reply.integer(len as i64);
    Ok(())
}

fn sismember(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, member) = (args.key()?, args.next()?);
    let is_there = cx.data.read_as(key)?.is_some_and(|set: &Set| set.contains(member));
    cx.reply.integer(i64::from(is_there));
    Ok(())
}

fn smismember(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let set: Option<&Set> = cx.data.read_as(key)?;
    cx.reply.array(args.left());
    for member in args {
        cx.reply.integer(i64::from(set.is_some_and(|set| set.contains(member))));
    }
    Ok(())
}

fn smembers(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    parts::reply(cx, args.key()?, Members, |set, reply| {
        reply.set(set.map_or(0, Set::len));
        Some(0)
    })
}

/// Shows all members of a set.
#[derive(Debug)]
struct Members;

impl Show for Members {
    type Of = Set;
    type Place = u64;

    fn show(&self, set: &Set, place: u64, until: usize, reply: &mut Writer<'_>) -> Option<u64> {
        parts::through(place, until, reply, |cursor, reply| {
            set.scan(cursor, |member| bulk(reply, member))
        })
    }
}

fn smove(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (source, target, member) = (args.key()?, args.key()?, args.next()?);
    let rules = rules(cx);
    let Some(set) = cx.data.find_as::<Set>(source)? else {
        cx.reply.integer(0);
        return Ok(());
    };
    let is_there = set.contains(member);
    cx.data.find_as::<Set>(target)?;
    if is_there && source.bytes != target.bytes {
        cx.data.change_found(source, |set: &mut Set| ((), set.remove(member)))?;
        cx.data.announce(Class::Set, "srem", source);
        let make = || Set::expecting(member, 1, &rules);
        cx.data.change(target, make, |set| ((), set.insert(member, &rules)))?;
        cx.data.announce(Class::Set, "sadd", target);
    }
    cx.reply.integer(i64::from(is_there));
    Ok(())
}

fn sscan(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, mut cursor) = (args.key()?, cursor(args.next()?)?);
    let start = cx.reply.out.mark();
    let Some(len) = cx.data.find_as(key)?.map(Set::len) else {
        cx.data.read(key);
        head(start, cx, 0, 0);
        return Ok(());
    };
    let options = Options::read(args, Some(Type::Set))?;
    here(cx, len.min(options.count as usize))?;
    let (mut seen, mut found) = (0, 0);
    let mut steps = options.count.saturating_mul(STEPS_PER_MEMBER);
    if let Some(set) = cx.data.read_as::<Set>(key)? {
        loop {
            cursor = set.scan(cursor, |member| {
                seen += 1;
                if member.with_bytes(|bytes| options.wants(bytes)) {
                    bulk(&mut cx.reply, member);
                    found += 1;
                }
            });
            steps -= 1;
            if cursor == 0 || seen >= options.count || steps == 0 {
                break;
            }
        }
    }
    head(start, cx, cursor, found);
    Ok(())
}
