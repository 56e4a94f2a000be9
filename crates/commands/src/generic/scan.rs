//! What looks at all keys of a database: SCAN, RANDOMKEY, and KEYS in `scan/keys.rs`.
//!
//! One shard is held at a time, so a key that is renamed meanwhile may be seen twice or not at all; inside a transaction all shards are
//! held, and what is seen is one moment.
//!
//! ```text
//! cursor of SCAN:   [ cursor of the shard's table | number of the shard ]
//!                                                   shard_bits wide
//! ```
//!
//! Invariants:
//! * A cursor is zero at the beginning and at the end only: behind the first bucket either its table's part or its shard's is not.
//! * A key that is there from a round's beginning to its end, and is not renamed, is shown: its shard is visited, and the cursor of a
//!   table survives growth.

mod keys;
pub(crate) mod options;

use russet_dispatch::command::Flag::*;
use russet_dispatch::execute::Walk;
use russet_dispatch::{Args, Command, Context, Outcome, Stop};
use russet_engine::glob::Glob;
use russet_engine::shard::Database;
use russet_engine::table::Table;
use russet_engine::{Busy, Entry, Name, Shard, Type};
use russet_resp::Mark;

use super::GENERIC;
pub(super) use keys::KEYS;
use options::{Options, cursor};

/// The row of SCAN.
pub(super) const SCAN: Command = Command {
    name: "scan",
    syntax: "cursor:int [MATCH pattern:pattern] [COUNT count:int] [TYPE type]",
    summary: "Gives some keys, and a cursor to go on with.",
    complexity: "O(1) for every call, O(N) for a whole round, where N is the number of keys",
    since: "2.8.0",
    arity: -2,
    flags: &[ReadOnly, Walks],
    tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
    history: &[("6.0.0", "Added the `TYPE` subcommand.")],
    run: scan,
    ..GENERIC
};

/// The row of RANDOMKEY.
pub(super) const RANDOMKEY: Command = Command {
    name: "randomkey",
    summary: "Gives one key, each with the same chance.",
    arity: 1,
    flags: &[ReadOnly, Walks],
    tips: &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
    run: randomkey,
    ..GENERIC
};

/// Buckets and shards that one SCAN may visit for each key it wants, as in Redis.
const STEPS_PER_KEY: u64 = 10;

/// Buckets and shards that one SCAN may visit in any case: enough to go through a small database in one call.
const STEPS_MIN: u64 = 4096;

/// SCANs that want more keys than this do one slice at a time, and others have their turn between.
const COUNT_AT_ONCE: u64 = 1000;

/// Buckets that are looked at while a shard is held: about a tenth of a millisecond.
const BUCKETS_PER_HOLD: u64 = 1024;

/// How often RANDOMKEY throws dice before it walks: a key that has ended is met less and less often, since the cycle removes them.
const THROWS: usize = 64;

/// Which keys are wanted.
#[derive(Debug)]
struct Filter {
    db: u32,
    now: u64,
    /// `None` for any key, also the empty one, which no other pattern but the empty one matches.
    pattern: Option<Glob>,
    kind: Option<Type>,
}

impl Filter {
    fn any(cx: &Context<'_>) -> Self {
        Self { db: cx.data.db, now: cx.now(), pattern: None, kind: None }
    }

    fn set_pattern(&mut self, pattern: &[u8]) {
        self.pattern = (pattern != b"*").then(|| Glob::new(pattern));
    }

    fn wants(&self, entry: &Entry) -> bool {
        !entry.is_expired(self.now) && self.fits(entry)
    }

    /// Whether it would be wanted, had it not ended.
    fn fits(&self, entry: &Entry) -> bool {
        self.kind.is_none_or(|kind| entry.kind() == kind)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(entry.key()))
    }

    /// For a pattern that matches one key only: that key, if it is wanted.
    fn only_key(&self, cx: &Context<'_>) -> Result<Option<Vec<Box<[u8]>>>, Busy> {
        let Some(key) = self.pattern.as_ref().and_then(Glob::literal) else { return Ok(None) };
        let spot = cx.state.keyspace.locate(&key);
        let name = Name { db: self.db, key: &key, hash: spot.hash };
        let is_wanted = |shard: &Shard| shard.get(name).is_some_and(|entry| self.wants(entry));
        let found = cx.data.visit(spot.shard, is_wanted)?.then(|| key.as_ref().into());
        Ok(Some(found.into_iter().collect()))
    }
}

/// Runs a walk: at once where all shards are held anyway, in slices elsewhere.
fn walk(cx: &mut Context<'_>, mut walk: impl Walk + 'static) -> Outcome {
    if !cx.data.holds_all() {
        return Err(Stop::Later(Box::new(walk)));
    }
    while !walk.step(cx)? {}
    Ok(())
}

fn scan(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let cursor = cursor(args.next()?)?;
    let Options { pattern, count, kind, .. } = Options::read(args, None)?;
    let filter = Filter { pattern, kind, ..Filter::any(cx) };
    if cursor == 0
        && let Some(found) = filter.only_key(cx)?
    {
        head(cx.reply.out.mark(), cx, 0, found.len());
        for key in &found {
            cx.reply.bulk(key);
        }
        return Ok(());
    }
    let mut scan = Scan::new(cx, filter, cursor, count);
    if count > COUNT_AT_ONCE {
        return walk(cx, scan);
    }
    while !scan.step(cx)? {}
    Ok(())
}

/// Puts what comes before the names of a scan's reply where it belongs.
pub(crate) fn head(at: Mark, cx: &mut Context<'_>, cursor: u64, found: usize) {
    let cursor = cursor.to_string();
    let head = format!("*2\r\n${}\r\n{cursor}\r\n*{found}\r\n", cursor.len());
    cx.reply.out.insert(at, head.as_bytes());
}

/// SCAN under way.
#[derive(Debug)]
struct Scan {
    filter: Filter,
    shard: u32,
    /// In that shard's table.
    cursor: u64,
    found: usize,
    /// Keys to look at yet, wanted or not.
    keys_left: u64,
    /// Buckets and shards to visit yet.
    steps_left: u64,
    /// Where the reply begins; see [`head`].
    start: Option<Mark>,
}

impl Scan {
    fn new(cx: &Context<'_>, filter: Filter, cursor: u64, count: u64) -> Self {
        let keyspace = &cx.state.keyspace;
        Self {
            filter,
            shard: (cursor & u64::from(keyspace.shards() - 1)) as u32,
            cursor: cursor >> keyspace.shard_bits(),
            found: 0,
            keys_left: count,
            steps_left: count.saturating_mul(STEPS_PER_KEY).max(STEPS_MIN),
            start: None,
        }
    }

    /// Looks at buckets of a shard until there is enough, or no more.
    fn look(&mut self, shard: &Shard, mut show: impl FnMut(&[u8]), ended: &mut Vec<Box<[u8]>>) {
        let table = shard.database(self.filter.db).map(Database::table);
        let mut buckets_left = self.steps_left.min(BUCKETS_PER_HOLD);
        loop {
            self.steps_left = self.steps_left.saturating_sub(1);
            buckets_left = buckets_left.saturating_sub(1);
            let (mut seen, filter, found) = (0, &self.filter, &mut self.found);
            self.cursor = table.map_or(0, |table| {
                table.scan(self.cursor, |entry| {
                    seen += 1;
                    if !filter.fits(entry) {
                        return;
                    }
                    if entry.is_expired(filter.now) {
                        ended.push(entry.key().into());
                        return;
                    }
                    show(entry.key());
                    *found += 1;
                })
            });
            self.keys_left = self.keys_left.saturating_sub(seen);
            if self.cursor == 0 || self.keys_left == 0 || buckets_left == 0 {
                return;
            }
        }
    }
}

impl Walk for Scan {
    fn step(&mut self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        let start = *self.start.get_or_insert(cx.reply.out.mark());
        let (reply, mut ended) = (&mut cx.reply, Vec::new());
        cx.data.visit(self.shard, |shard| self.look(shard, |key| reply.bulk(key), &mut ended))?;
        cx.data.end_keys(&ended);
        self.shard += u32::from(self.cursor == 0);
        let keyspace = &cx.state.keyspace;
        let is_last = self.shard == keyspace.shards();
        let is_done = is_last || self.keys_left == 0 || self.steps_left == 0;
        if is_done {
            let next = self.cursor << keyspace.shard_bits() | u64::from(self.shard);
            head(start, cx, if is_last { 0 } else { next }, self.found);
        }
        Ok(is_done)
    }
}

/// A shard is chosen by how much is in it, then a key of the shard.
fn randomkey(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    let filter = Filter::any(cx);
    let totals = totals(cx, filter.db)?;
    let total = totals.last().copied().unwrap_or(0);
    if total == 0 {
        cx.reply.null();
        return Ok(());
    }
    for _ in 0..THROWS {
        let place = cx.thread.random_below(total);
        let shard = totals.partition_point(|until| *until <= place) as u32;
        if let Some(key) = sample(cx, &filter, shard)? {
            cx.reply.bulk(&key);
            return Ok(());
        }
    }
    walk(cx, AnyKey { filter, shard: 0 })
}

/// How many entries the shards have, each with all before it.
fn totals(cx: &Context<'_>, db: u32) -> Result<Vec<u64>, Busy> {
    let mut total = 0;
    let mut add = |shard: &Shard| {
        total += entries(shard, db);
        total
    };
    (0..cx.state.keyspace.shards()).map(|shard| cx.data.visit(shard, &mut add)).collect()
}

/// How many entries a database has in a shard, those that have ended and are not removed yet included.
pub fn entries(shard: &Shard, db: u32) -> u64 {
    shard.database(db).map_or(0, |database| database.table().len() as u64)
}

fn sample(cx: &Context<'_>, filter: &Filter, shard: u32) -> Result<Option<Box<[u8]>>, Busy> {
    cx.data.visit(shard, |shard| {
        let entry = shard.database(filter.db)?.table().sample(|| cx.thread.random())?;
        filter.wants(entry).then(|| entry.key().into())
    })
}

/// RANDOMKEY where nearly all keys have ended: the first that has not.
#[derive(Debug)]
struct AnyKey {
    filter: Filter,
    shard: u32,
}

impl Walk for AnyKey {
    fn step(&mut self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        let (filter, reply) = (&self.filter, &mut cx.reply);
        let is_found = cx.data.visit(self.shard, |shard| {
            let table = shard.database(filter.db).map(Database::table);
            let mut entries = table.into_iter().flat_map(Table::iter);
            let found = entries.find(|entry| filter.wants(entry));
            found.inspect(|entry| reply.bulk(entry.key())).is_some()
        })?;
        self.shard += 1;
        if !is_found && self.shard == cx.state.keyspace.shards() {
            cx.reply.null();
            return Ok(true);
        }
        Ok(is_found)
    }
}
