//! KEYS, whose reply may be as long as all keys together.
//!
//! A short one is made in one go over the shards. When it gets long, the keys of the shards that follow are counted only, so that the
//! reply can begin; what they hold is shown shard by shard then, as fast as the client takes it. If the keys of a shard change between,
//! what was counted is written down first, by whoever changes them: see [`russet_engine::shard::Lister`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use russet_dispatch::command::Flag::*;
use russet_dispatch::execute::Walk;
use russet_dispatch::{Args, Category, Command, Context, Outcome, Stop};
use russet_engine::shard::{Database, Lister};
use russet_engine::table::Table;
use russet_resp::{Mark, Output, Protocol, Writer};

use super::{Filter, GENERIC, walk};

/// The row of KEYS.
pub(in crate::generic) const KEYS: Command = Command {
    name: "keys",
    syntax: "pattern:pattern",
    summary: "Gives all keys that match a pattern.",
    complexity: "O(N) where N is the number of keys; O(1) for a pattern that matches one key only",
    arity: 2,
    flags: &[ReadOnly, Walks],
    also: &[Category::Dangerous],
    tips: &["request_policy:all_shards", "nondeterministic_output_order"],
    run: keys,
    ..GENERIC
};

/// From how many bytes on keys are counted before they are shown, which means that they are looked at twice.
const LONG_BYTES: usize = 8 << 20;

fn keys(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let mut filter = Filter::any(cx);
    filter.set_pattern(args.next()?);
    if let Some(found) = filter.only_key(cx)? {
        cx.reply.array(found.len());
        for key in &found {
            cx.reply.bulk(key);
        }
        return Ok(());
    }
    walk(cx, Keys::new(filter))
}

/// KEYS under way.
#[derive(Debug)]
struct Keys {
    filter: Arc<Filter>,
    shard: u32,
    /// Keys that were shown or counted.
    found: usize,
    /// Where the reply begins; how many keys there are is put in when all are counted.
    start: Option<Mark>,
    /// The shards whose keys were only counted; there are none such yet.
    counted: Option<Arc<Counted>>,
    /// Whether all are counted.
    has_begun: bool,
}

impl Keys {
    fn new(filter: Filter) -> Self {
        let filter = Arc::new(filter);
        Self { filter, shard: 0, found: 0, start: None, counted: None, has_begun: false }
    }

    /// Goes through one shard: its keys are shown or, if there are many before them, counted.
    fn find(&mut self, cx: &mut Context<'_>, start: Mark) -> Result<(), Stop> {
        let is_long = cx.reply.out.len().saturating_sub(start.offset()) >= LONG_BYTES;
        self.found += if is_long && !cx.data.holds_all() {
            self.count(cx)?
        } else {
            let (filter, reply) = (&self.filter, &mut cx.reply);
            cx.data.visit(self.shard, |shard| {
                filter.show(shard.database(filter.db).map(Database::table), reply)
            })?
        };
        Ok(())
    }

    /// Counts the keys of one shard, to be shown later.
    fn count(&mut self, cx: &mut Context<'_>) -> Result<usize, Stop> {
        let (filter, from) = (&self.filter, self.shard);
        let counted =
            self.counted.get_or_insert_with(|| Counted::new(cx, Arc::clone(filter), from));
        let lister: Arc<dyn Lister> = Arc::<Counted>::clone(counted);
        let found = cx.data.visit_mut(from, |shard| {
            let found = filter.count(shard.database(filter.db).map(Database::table));
            shard.list_in_parts(filter.db, lister);
            found
        })?;
        Ok(found)
    }

    /// Shows the keys of one shard that were counted.
    fn show(&self, cx: &mut Context<'_>, counted: &Counted) -> Result<(), Stop> {
        let (filter, reply) = (&self.filter, &mut cx.reply);
        if counted.take(self.shard, reply) {
            return Ok(());
        }
        cx.data.visit(self.shard, |shard| {
            // They may have been written down before the shard was held.
            if !counted.take(self.shard, reply) {
                filter.show(shard.database(filter.db).map(Database::table), reply);
                *counted.part(self.shard).lock() = Part::Shown;
            }
        })?;
        Ok(())
    }

    /// Puts in how many keys there are. Says whether all have been shown.
    fn begin(&mut self, reply: &mut Writer<'_>, start: Mark) -> bool {
        reply.out.insert(start, format!("*{}\r\n", self.found).as_bytes());
        self.has_begun = true;
        self.counted.as_ref().inspect(|counted| self.shard = counted.from).is_none()
    }
}

impl Walk for Keys {
    fn step(&mut self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        let start = *self.start.get_or_insert(cx.reply.out.mark());
        match &self.counted {
            Some(counted) if self.has_begun => self.show(cx, counted)?,
            _ => self.find(cx, start)?,
        }
        self.shard += 1;
        let is_through = self.shard == cx.state.keyspace.shards();
        Ok(is_through && (self.has_begun || self.begin(&mut cx.reply, start)))
    }

    fn is_sent_in_parts(&self) -> bool {
        self.has_begun
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(counted) = &self.counted {
            counted.is_over.store(true, Ordering::Release);
        }
    }
}

impl Filter {
    fn count(&self, table: Option<&Table>) -> usize {
        table.into_iter().flat_map(Table::iter).filter(|entry| self.wants(entry)).count()
    }

    /// Replies with the keys that are wanted. Answers how many there are.
    fn show(&self, table: Option<&Table>, reply: &mut Writer<'_>) -> usize {
        let wanted = table.into_iter().flat_map(Table::iter).filter(|entry| self.wants(entry));
        wanted.inspect(|entry| reply.bulk(entry.key())).count()
    }
}

/// Keys that were counted and are yet to be shown.
#[derive(Debug)]
struct Counted {
    filter: Arc<Filter>,
    protocol: Protocol,
    /// The most that may wait for the client, and what has been written down.
    bytes_max: usize,
    bytes: AtomicUsize,
    /// The first shard of which the keys were counted.
    from: u32,
    /// That shard and those after it. Locked under the shard's lock by those who have that.
    shards: Vec<Mutex<Part>>,
    is_over: AtomicBool,
}

/// Where the keys of a shard are.
#[derive(Debug, Default)]
enum Part {
    /// In the shard.
    #[default]
    There,
    /// Written down, since those in the shard have changed.
    Made(Output),
    /// They have been shown.
    Shown,
}

impl Lister for Counted {
    fn is_done(&self, shard: u32) -> bool {
        self.is_over.load(Ordering::Acquire) || matches!(*self.part(shard).lock(), Part::Shown)
    }

    fn finish(&self, shard: u32, table: &Table) {
        let mut out = Output::default();
        let left = self.bytes_max.saturating_sub(self.bytes.load(Ordering::Relaxed));
        out.bind(left);
        self.filter.show(Some(table), &mut Writer { out: &mut out, protocol: self.protocol });
        self.bytes.fetch_add(out.len(), Ordering::Relaxed);
        *self.part(shard).lock() = Part::Made(out);
    }
}

impl Counted {
    fn new(cx: &Context<'_>, filter: Arc<Filter>, from: u32) -> Arc<Self> {
        Arc::new(Self {
            filter,
            protocol: cx.reply.protocol,
            bytes_max: cx.state.reply_bytes_max(&cx.session.client),
            bytes: AtomicUsize::new(0),
            from,
            shards: (from..cx.state.keyspace.shards()).map(|_| Mutex::default()).collect(),
            is_over: AtomicBool::new(false),
        })
    }

    fn part(&self, shard: u32) -> &Mutex<Part> {
        &self.shards[(shard - self.from) as usize]
    }

    /// Gives what was written down of a shard, if it was.
    fn take(&self, shard: u32, reply: &mut Writer<'_>) -> bool {
        let mut part = self.part(shard).lock();
        if !matches!(*part, Part::Made(_)) {
            return false;
        }
        if let Part::Made(made) = std::mem::replace(&mut *part, Part::Shown) {
            self.bytes.fetch_sub(made.len(), Ordering::Relaxed);
            reply.out.append(made);
        }
        true
    }
}
