//! The bound of memory, and who makes room when it is reached.
//!
//! ```text
//! maxmemory = what the process needs without data  +  data: entries, tables, indexes
//!             measured ten times a second             counted exactly, by each thread for itself
//! ```
//!
//! A thread that changes data adds the difference to a number of its own. Up to a mark it asks nobody; beyond it, it sums up all
//! threads' numbers, takes a part of what is left as its new mark, and if nothing is left, makes room: behind its command, when it
//! holds no lock, before the reply leaves. So nobody shares a counter that every command writes, marks together never promise more than
//! there is, and below the limit GET and SET pay one comparison.
//!
//! Where room cannot be made at once, the rule [`rule::OVER`] has every command try first, and the housekeeping go on; where it cannot be
//! made at all, [`rule::FULL`] has commands refused that need more.
//!
//! Victims come from the whole keyspace (see [`russet_engine::eviction`]); one shard is held at a time, for one removal. What is
//! removed but not yet freed is no data any more. Buffers of clients, and what nobody has read of the journal, are not data either.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use russet_config::{Config, id};
use russet_engine::access::Access;
use russet_engine::eviction::{Candidate, Pool, Sight, Weights, Wish};
use russet_engine::policy::{NEWEST, Plan, Source};
use russet_engine::shard::Database;
use russet_engine::{Entry, Guard, Name, Patience, Shard, Spot};
use russet_journal::Record;
use smallvec::SmallVec;

use crate::effect::GONE;
use crate::execute::append;
use crate::latency::Event;
use crate::notify::Class;
use crate::promise::LARGE;
use crate::state::{State, Thread, rule};
use crate::tracking::tell_of;

/// No bound.
const NONE: i64 = i64::MAX;

/// What a thread may add without asking, at most.
const GRANT_MAX: i64 = 64 * 1024;

/// Room is made for a little more than what is needed, so that not every command must: this part of the limit, and at most so much.
const SLACK_SHIFT: u32 = 13;
const SLACK_MAX: i64 = 16 * 1024;

/// A measurement may catch threads in the middle of something, so what counts is the median of the last few.
const MEASURES: usize = 5;

/// Removals between looks at the clock, and at what others have done meanwhile.
const PER_LOOK: u64 = 16;

/// Victims that are looked for at a time, where much is to be freed: fewer where they are the best of a pool that lasts, since the best few of
/// that are better than half of it.
const BATCH: usize = 16;
const PATIENT_BATCH: usize = 8;

/// What an entry takes at least, as a rule.
const SMALL_BYTES: i64 = 128;

/// Entries that are glanced at for each that `maxmemory-samples` asks for, where a policy takes its time; a bucket shows five for the price
/// of one.
const GLANCES: usize = 2;
const PER_BUCKET: usize = 5;

/// So many entries are looked at in one shard where that is small, among neighbours: to come to another shard, its table and a bucket of
/// that costs as much as several buckets do. Where it is large, this part of it.
const PER_SHARD: usize = 4;
const SHARE: usize = 4;

/// And this part of a shard may have its turn at once. Shards of fewer entries are small.
const SHARE_OF_TURNS: usize = 64;
const SMALL_SHARD: usize = 64;

/// How often a victim is looked for before shards are counted anew.
const ATTEMPTS: usize = 16;

/// How often as many entries as there are go in an epoch.
const EPOCH_ROUNDS: u64 = 24;

/// What lies in the bin may take a sixteenth of the limit before nobody adds to it, but so much in any case.
const TRASH_MIN: u64 = 4 << 20;

/// The bound of memory, and what there is to know to hold it.
#[derive(Debug)]
pub struct Ceiling {
    /// What data may take.
    data_max: AtomicI64,
    /// `maxmemory-policy`: [`VOLATILE`], and one of the orders.
    policy: AtomicU32,
    /// `maxmemory-samples`.
    samples: AtomicU32,
    /// How long a command may make room, in nanoseconds, and where there is too little for longer, all commands of a turn: then each removes
    /// a few entries, so that a long pipeline does not keep others waiting for as often as it has commands.
    budget_ns: AtomicU64,
    weights: ArcSwap<Weights>,
    /// What the process was seen to need without data, latest last.
    beside: Mutex<[i64; MEASURES]>,
    /// What of that data has been brought to leave room for, as far as it can be.
    shown_beside: AtomicI64,
    /// Since when memory is exceeded, in microseconds since 1970, or 0.
    exceeded_since_us: AtomicU64,
    /// For how long it was, before.
    exceeded_us: AtomicU64,
    /// Entries evicted in this epoch.
    evicted: AtomicU64,
    /// Bytes that commands are going to add at once; see `promise.rs`.
    pub(crate) promised: AtomicI64,
    /// What data may take, or what it took when that was lowered and has not got rid of yet.
    high: AtomicI64,
}

impl Default for Ceiling {
    fn default() -> Self {
        Self {
            data_max: AtomicI64::new(NONE),
            policy: AtomicU32::new(0),
            samples: AtomicU32::new(5),
            budget_ns: AtomicU64::new(500_000),
            weights: ArcSwap::default(),
            beside: Mutex::default(),
            shown_beside: AtomicI64::new(0),
            exceeded_since_us: AtomicU64::new(0),
            exceeded_us: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            promised: AtomicI64::new(0),
            high: AtomicI64::new(NONE),
        }
    }
}

/// Among the bits of a policy: only what ends some time may go.
const VOLATILE: u32 = 8;
const BY_USE: u32 = 1;
const BY_DEADLINE: u32 = 2;
const BY_CHANCE: u32 = 3;

/// The bits of a policy.
fn policy_bits(name: &str) -> u32 {
    let order = match name.rsplit('-').next() {
        Some("lru" | "lfu" | "lrm" | "s3fifo" | "sieve" | "tinylfu") => BY_USE,
        Some("ttl") => BY_DEADLINE,
        Some("random") => BY_CHANCE,
        _ => return 0,
    };
    order | if name.starts_with("volatile") { VOLATILE } else { 0 }
}

/// Redis' scale from 0 to 100: half a millisecond at 10, two minutes at 99, then for ever.
fn budget_ns(tenacity: i64) -> u64 {
    match tenacity {
        ..=10 => 50_000 * tenacity.max(0) as u64,
        11..=99 => (500_000.0 * 1.15f64.powi(tenacity as i32 - 10)) as u64,
        _ => u64::MAX,
    }
}

impl Ceiling {
    /// Brings what is read often up to the configuration.
    pub(crate) fn apply(&self, config: &Config) {
        let policy = policy_bits(config.choice(const { id("maxmemory-policy") }));
        self.policy.store(policy, Ordering::Relaxed);
        let samples = config.integer(const { id("maxmemory-samples") });
        self.samples.store(samples as u32, Ordering::Relaxed);
        let tenacity = config.integer(const { id("maxmemory-eviction-tenacity") });
        self.budget_ns.store(budget_ns(tenacity), Ordering::Relaxed);
    }

    pub(crate) fn data_max(&self) -> i64 {
        self.data_max.load(Ordering::Relaxed)
    }

    /// Whether the policy is one that goes by how entries are used: then no integers are shared, as far as OBJECT is concerned.
    pub fn goes_by_use(&self) -> bool {
        self.policy.load(Ordering::Relaxed) & !VOLATILE == BY_USE
    }

    /// For how many milliseconds memory was exceeded in all, and for how many it is now.
    pub fn exceeded_ms(&self, now_us: u64) -> (u64, u64) {
        let current = match self.exceeded_since_us.load(Ordering::Relaxed) {
            0 => 0,
            since => now_us.saturating_sub(since),
        };
        ((self.exceeded_us.load(Ordering::Relaxed) + current) / 1000, current / 1000)
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        self.exceeded_us.store(0, Ordering::Relaxed);
        self.exceeded_since_us.store(0, Ordering::Relaxed);
    }
}

/// What came of making room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// There is enough.
    Made,
    /// Not enough yet.
    NotYet,
    /// Not enough, and nothing may go.
    Never,
}

impl State {
    /// Bytes that are not compared with `maxmemory`: what has a bound of its own, or is on its way out.
    pub fn uncounted_bytes(&self) -> u64 {
        self.burden_beside_data() + self.keyspace.trash().pending_bytes() as u64
    }

    /// Finds out how much data there may be under a new limit.
    pub fn judge_memory(&self) {
        self.judge_burden();
        let uncounted = self.uncounted_bytes();
        self.watch_resident();
        self.squeeze_data();
        *self.ceiling.beside.lock() = [self.measured_beside(uncounted); MEASURES];
        self.judge_data();
        self.show_memory();
    }

    /// From now on [`State::used_memory`] counts what was measured last. For the housekeeping, once it has made room: where the process needs
    /// more beside data, data gives way first, and nobody sees the limit exceeded meanwhile.
    pub fn show_memory(&self) {
        self.ceiling.shown_beside.store(self.usual_beside(), Ordering::Relaxed);
    }

    /// Finds out how much data there may be, as things are now. For the housekeeping.
    pub fn watch_memory(&self, thread: &Thread) {
        self.judge_burden();
        // Whoever changes shards and serves nobody, as when a file is loaded, leaves the counting to this.
        for shard in 0..self.keyspace.shards() {
            if let Ok(mut shard) = self.keyspace.hold_one(shard, Patience::NONE) {
                shard.drop_idle_queues();
                thread.keep_books(&mut shard);
            }
        }
        let uncounted = self.uncounted_bytes();
        self.watch_resident();
        self.squeeze_data();
        let measured = self.measured_beside(uncounted);
        let mut beside = self.ceiling.beside.lock();
        beside.rotate_left(1);
        beside[MEASURES - 1] = measured;
        drop(beside);
        self.judge_data();
    }

    /// What the process needs without data, from what was measured last. `uncounted` is what was not compared before that: what has been freed
    /// meanwhile was still in use, and after FLUSHALL of a full server would pass for what the process needs, and leave no room for data.
    fn measured_beside(&self, uncounted: u64) -> i64 {
        let used = self.gauges.used_memory.load(Ordering::Relaxed);
        let counted = used.saturating_sub(uncounted.max(self.uncounted_bytes())) as i64;
        (counted - self.stats.data_bytes()).max(0)
    }

    /// Bytes in use as the allocator sees it; where they are limited, as they are compared with the limit: without what threads have at
    /// hand for the moment. Call [`State::probe`] right before.
    pub fn used_memory(&self) -> u64 {
        if self.ceiling.data_max() == NONE {
            return self.gauges.used_memory.load(Ordering::Relaxed);
        }
        let beside = self.ceiling.shown_beside.load(Ordering::Relaxed);
        let counted = beside + self.stats.data_bytes();
        counted.max(0) as u64 + self.uncounted_bytes()
    }

    /// What the process needs without data.
    fn usual_beside(&self) -> i64 {
        let mut beside = *self.ceiling.beside.lock();
        beside.sort_unstable();
        beside[MEASURES / 2]
    }

    fn judge_data(&self) {
        let limit = self.tunables.memory_max.load(Ordering::Relaxed);
        let old = self.ceiling.data_max();
        if limit == 0 {
            if old != NONE {
                self.ceiling.data_max.store(NONE, Ordering::Relaxed);
                self.ceiling.high.store(NONE, Ordering::Relaxed);
                self.judged(Room::Made);
                self.stats.recall(false);
            }
            return;
        }
        let data = self.stats.data_bytes();
        let limit = i64::try_from(limit).unwrap_or(NONE - 1);
        let data_max = limit.saturating_sub(self.usual_beside() + self.resident.squeeze());
        self.ceiling.data_max.store(data_max, Ordering::Relaxed);
        let high = self.ceiling.high.load(Ordering::Relaxed).min(data).max(data_max);
        self.ceiling.high.store(high, Ordering::Relaxed);
        self.stats.recall(true);
        if data > data_max {
            self.set_rule_if_not(rule::OVER, true);
        } else {
            self.judged(Room::Made);
        }
    }

    /// Whether data has a bound, and it holds now: not for what a file brings.
    pub(crate) fn is_bounded(&self) -> bool {
        self.ceiling.data_max() != NONE && self.rules.load(Ordering::Relaxed) & rule::LOADING == 0
    }

    /// Bytes of data, and those that are promised to commands. O(threads).
    pub(crate) fn wanted_bytes(&self) -> i64 {
        self.stats.data_bytes() + self.ceiling.promised.load(Ordering::Relaxed)
    }

    /// Whether data has grown beyond its bound by more than a moment's work.
    pub(crate) fn is_far_over(&self) -> bool {
        let high = self.ceiling.high.load(Ordering::Relaxed);
        self.stats.data_bytes() > high.saturating_add(LARGE as i64)
    }

    /// What is wished of a victim; nothing where none may go.
    fn wish(&self) -> Option<Wish> {
        let policy = self.ceiling.policy.load(Ordering::Relaxed);
        let now = self.clock.now();
        let by = match policy & !VOLATILE {
            BY_USE => self.tunables.access(now),
            BY_DEADLINE => Access::deadline(now),
            BY_CHANCE => Access::random(now),
            _ => return None,
        };
        Some(Wish { only_volatile: policy & VOLATILE != 0, policy: by })
    }

    /// What came of making room, for those to whom nothing is promised: they have room while data alone is within its bound.
    fn room_for_data(&self, room: Room) -> Room {
        let has_room = self.stats.data_bytes() <= self.ceiling.data_max();
        if room == Room::Never && has_room { Room::Made } else { room }
    }

    /// Writes down what came of making room, for the next commands.
    fn judged(&self, room: Room) {
        self.set_rule_if_not(rule::OVER, room != Room::Made);
        self.set_rule_if_not(rule::FULL, room == Room::Never);
        let ceiling = &self.ceiling;
        let since = ceiling.exceeded_since_us.load(Ordering::Relaxed);
        if room == Room::Made && since != 0 {
            ceiling.exceeded_since_us.store(0, Ordering::Relaxed);
            let elapsed = self.clock.now_us().saturating_sub(since);
            ceiling.exceeded_us.fetch_add(elapsed, Ordering::Relaxed);
        } else if room != Room::Made && since == 0 {
            ceiling.exceeded_since_us.store(self.clock.now_us(), Ordering::Relaxed);
        }
    }

    pub(crate) fn set_rule_if_not(&self, bit: u32, on: bool) {
        if (self.rules.load(Ordering::Relaxed) & bit != 0) != on {
            self.set_rule(bit, on);
        }
    }
}

impl Thread {
    /// Takes over how much a shard has grown.
    #[inline]
    pub fn keep_books(&self, shard: &mut Shard) {
        let grown = shard.take_growth();
        if grown != 0 {
            let bytes = &self.counters.data_bytes;
            bytes.set(bytes.get().wrapping_add_signed(grown as i64));
        }
    }

    fn data_bytes(&self) -> i64 {
        self.counters.data_bytes.get() as i64
    }

    /// Whether the thread has added more than it may without asking.
    #[inline]
    pub fn must_ask(&self) -> bool {
        self.data_bytes() > self.counters.data_bytes_max.load(Ordering::Relaxed)
    }
}

/// For a thread that has added more than it may without asking and holds no lock: makes room if there is too little, and asks for more.
/// The key of this hash was written right before, and is spared if there is another.
#[cold]
pub fn repay(state: &State, thread: &Thread, written: Option<u64>) {
    let max = state.ceiling.data_max();
    let room = state.room_for_data(make_room_for_promises(state, thread, written));
    if room != Room::Made {
        state.judged(room);
    }
    ask(state, thread, max);
}

/// Takes a part of what nobody has added or may add yet.
fn ask(state: &State, thread: &Thread, max: i64) {
    let mark = &thread.counters.data_bytes_max;
    if max == NONE {
        return mark.store(NONE, Ordering::Relaxed);
    }
    mark.store(i64::MIN, Ordering::Relaxed);
    let (total, promised) = state.stats.data_bytes_promised();
    let free = max - promised;
    if free <= 0 && total < max {
        // Others may add more than is left: they shall ask again.
        state.stats.recall(true);
    }
    let grant = (free / (2 * state.stats.thread_count().max(1) as i64)).clamp(0, GRANT_MAX);
    mark.store(thread.data_bytes() + grant, Ordering::Relaxed);
}

/// For the housekeeping: makes room for as long as a turn may. Says whether more is to do.
pub fn relieve_for_a_turn(state: &State, thread: &Thread) -> bool {
    thread.meter.begin(0);
    relieve(state, thread)
}

/// Before a command while [`rule::OVER`] holds: tries to make room. Says whether more is to do.
#[cold]
pub(crate) fn relieve(state: &State, thread: &Thread) -> bool {
    let room = state.room_for_data(make_room_for_promises(state, thread, None));
    state.judged(room);
    room == Room::NotYet && may_evict(state)
}

/// Makes room for data and for what is promised, if there is too little.
pub(crate) fn make_room_for_promises(state: &State, thread: &Thread, spared: Option<u64>) -> Room {
    let has_room = state.wanted_bytes() <= state.ceiling.data_max();
    if has_room { Room::Made } else { make_room(state, thread, spared) }
}

/// Not while data is being loaded, nor while CLIENT PAUSE holds, nor while a snapshot or the append-only file has to catch up: what goes
/// before it is saved is kept for the snapshot, and the log is told of what goes.
fn may_evict(state: &State) -> bool {
    let rules = state.rules.load(Ordering::Relaxed);
    rules & (rule::LOADING | rule::PRESSED | rule::LAGGING) == 0 && !state.is_paused()
}

/// Removes entries until there is room, or the time for it is over.
fn make_room(state: &State, thread: &Thread, spared: Option<u64>) -> Room {
    if !may_evict(state) {
        return Room::NotYet;
    }
    let Some(wish) = state.wish() else { return Room::Never };
    let started = state.clock.ticks();
    state.keyspace.keep_queues(wish.policy.kind());
    let mut pool = thread.pool.borrow_mut();
    pool.begin(&wish);
    let samples = state.ceiling.samples.load(Ordering::Relaxed) as usize;
    let before = thread.data_bytes();
    let mut evictor = Evictor {
        state,
        thread,
        wish,
        samples,
        pool: &mut pool,
        evicted: 0,
        takes_newest: false,
        spared,
    };
    let room = evictor.run(started);
    evictor.grow_older();
    let took = state.clock.ticks().saturating_sub(started);
    thread.meter.note_room(took);
    state.took(Event::EvictionCycle, took);
    state.note_evicted((before - thread.data_bytes()).max(0) as u64);
    room
}

/// Somebody who makes room.
struct Evictor<'a> {
    state: &'a State,
    thread: &'a Thread,
    wish: Wish,
    samples: usize,
    pool: &'a mut Pool,
    /// Entries removed.
    evicted: u64,
    /// Nobody else was found.
    takes_newest: bool,
    /// The hash of a key that goes only if nobody else is found.
    spared: Option<u64>,
}

/// Why no victim was found.
enum Miss {
    /// There is none.
    Nobody,
    /// Shards were held by others.
    Busy,
}

impl<'a> Evictor<'a> {
    fn run(&mut self, started: u64) -> Room {
        let (state, max) = (self.state, self.state.ceiling.data_max());
        let budget = state.ceiling.budget_ns.load(Ordering::Relaxed);
        // Where there has been room, a command makes it for what it has added, whatever those before it did.
        let is_behind = state.rules.load(Ordering::Relaxed) & rule::OVER != 0;
        let time = if is_behind { self.thread.meter.room_left(budget) } else { budget };
        let limit = state.tunables.memory_max.load(Ordering::Relaxed);
        let target = max.saturating_sub(((limit >> SLACK_SHIFT) as i64).min(SLACK_MAX));
        // What lies in the bin is no data any more, but memory still: it is waited for, by each command anew, not added to.
        let trash_max = TRASH_MIN.max(limit / 16) as usize;
        let elapsed = || state.clock.ticks().saturating_sub(started);
        state.keyspace.trash().wait_below(trash_max, || elapsed() > budget);
        let is_late = || elapsed() > time;
        let mut left = state.wanted_bytes() - target;
        let verdict = |room: Room| if state.wanted_bytes() <= max { Room::Made } else { room };
        let mut next_look = PER_LOOK;
        while left > 0 {
            match self.evict(left) {
                Ok(freed) => left -= freed,
                Err(Miss::Nobody) => return verdict(Room::Never),
                Err(Miss::Busy) => return verdict(Room::NotYet),
            }
            if self.evicted >= next_look {
                next_look = self.evicted + PER_LOOK;
                if is_late() {
                    return verdict(Room::NotYet);
                }
                left = left.min(state.wanted_bytes() - target);
            }
        }
        Room::Made
    }

    /// Counts what was removed: after as many entries as there are shards are weighed anew, and after many times that an epoch ends.
    fn grow_older(&self) {
        let ceiling = &self.state.ceiling;
        let before = ceiling.evicted.fetch_add(self.evicted, Ordering::Relaxed);
        let (after, total) = (before + self.evicted, ceiling.weights.load().total().max(1));
        if before / total != after / total {
            self.weigh();
        }
        let is_over = after > total * EPOCH_ROUNDS;
        let is_mine = || {
            let swapped =
                ceiling.evicted.compare_exchange(after, 0, Ordering::Relaxed, Ordering::Relaxed);
            swapped.is_ok()
        };
        if is_over && is_mine() {
            self.state.tunables.begin_epoch();
        }
    }

    /// Removes an entry, or a few where `left` bytes to free are many. Answers how many bytes that freed.
    fn evict(&mut self, left: i64) -> Result<i64, Miss> {
        for is_counted_anew in [false, true] {
            if is_counted_anew || self.state.ceiling.weights.load().total() == 0 {
                self.weigh();
            }
            if self.state.ceiling.weights.load().total() == 0 {
                return Err(Miss::Nobody);
            }
            self.takes_newest = is_counted_anew;
            if let Some(freed) = (0..ATTEMPTS).find_map(|_| self.attempt(left)) {
                return Ok(freed);
            }
        }
        Err(Miss::Busy)
    }

    /// Counts what each shard holds that may go.
    fn weigh(&self) {
        let count = |index| {
            let Ok(mut shard) = self.state.keyspace.hold_one(index, Patience::SHORT) else {
                return 1;
            };
            self.thread.keep_books(&mut shard);
            self.eligible(&shard).map(|(_, count)| count).sum()
        };
        let weights = Weights::new((0..self.state.keyspace.shards()).map(count));
        self.state.ceiling.weights.store(weights.into());
    }

    /// How many entries of each database may go.
    fn eligible<'s>(&self, shard: &'s Shard) -> impl Iterator<Item = (u32, u64)> + use<'s> {
        let only_volatile = self.wish.only_volatile;
        let count = move |database: &Database| {
            if only_volatile { database.volatile() } else { database.table().len() }
        };
        (0..shard.databases()).filter_map(move |db| Some((db, count(shard.database(db)?) as u64)))
    }

    fn attempt(&mut self, left: i64) -> Option<i64> {
        let plan = self.wish.policy.kind().plan();
        let wanted = self.wanted(left);
        let has_hand = plan.source == Source::Hand && !self.takes_newest;
        if has_hand && let Some(freed) = self.remove_best(wanted, left) {
            return Some(freed);
        }
        if !self.is_patient() {
            self.pool.hurry();
        }
        let knows = self.nominate_some(wanted);
        if !(knows && has_hand) {
            self.sample_enough(plan, wanted);
        }
        self.pool.choose(self.wish.policy, wanted);
        self.remove_best(wanted, left)
    }

    /// Whether many are glanced at and candidates kept. So it is also where shards are small: nobody has neighbours there who would go with
    /// them, so that haste gains nothing.
    fn is_patient(&self) -> bool {
        self.wish.policy.kind().plan().is_patient || self.mean() < SMALL_SHARD
    }

    /// How many victims are looked for to free so much: of small shards more than will go, since who is kept of many is the better for it.
    fn wanted(&self, left: i64) -> usize {
        let most = if self.is_patient() { PATIENT_BATCH } else { BATCH };
        let bytes = if self.mean() < SMALL_SHARD { SMALL_BYTES } else { self.mean_bytes() };
        (left / bytes + 1).clamp(1, most as i64) as usize
    }

    /// What an entry takes, in the mean, with its part of tables and indexes.
    fn mean_bytes(&self) -> i64 {
        let entries = self.state.ceiling.weights.load().total().max(1);
        (self.state.ceiling.data_max() / entries as i64).max(1)
    }

    /// How many entries a shard holds that may go, in the mean.
    fn mean(&self) -> usize {
        let total = self.state.ceiling.weights.load().total();
        (total / u64::from(self.state.keyspace.shards())) as usize
    }

    /// Offers the pool entries enough for so many victims: of few shards if they hold much, since neighbours cost least.
    fn sample_enough(&mut self, plan: Plan, wanted: usize) {
        let samples = match plan.source {
            Source::Anybody => 1,
            Source::Samples | Source::Hand if self.is_patient() => GLANCES * self.samples,
            Source::Samples | Source::Hand | Source::Soonest => self.samples,
        };
        let share = match plan.source {
            // Who ends first is one a shard.
            Source::Soonest => 1,
            _ if self.wish.only_volatile => PER_SHARD,
            _ => (self.mean() / SHARE).max(PER_SHARD),
        };
        let enough = (wanted * samples).max(samples + samples / 2);
        let mut left = enough;
        for _ in 0..enough {
            let shards = left.div_ceil(share).min(BATCH);
            left = left.saturating_sub(self.sample(shards, left.div_ceil(shards).min(share)));
            if left == 0 {
                break;
            }
        }
    }

    /// Removes the best candidates: up to `wanted`, until `left` bytes are free. Answers how many are; nothing if nobody was removed.
    fn remove_best(&mut self, wanted: usize, left: i64) -> Option<i64> {
        let mut victims: SmallVec<[Candidate; BATCH]> =
            std::iter::from_fn(|| self.pool.pop()).take(wanted).collect();
        victims.sort_unstable_by_key(|victim| victim.shard);
        victims.iter().for_each(|victim| victim.sight.prefetch());
        let (mut freed, before) = (0, self.evicted);
        for of_shard in victims.chunk_by(|one, other| one.shard == other.shard) {
            let held = self.state.keyspace.hold_one(of_shard[0].shard, Patience::SHORT);
            let Ok(mut shard) = held else { continue };
            if self.wish.policy.kind().plan().remembers {
                of_shard.iter().for_each(|it| shard.prefetch_memory(it.db, it.sight.place));
            }
            for victim in of_shard {
                if freed >= left {
                    self.pool.offer(*victim);
                } else if let Some(bytes) = self.remove(&mut shard, victim) {
                    freed += bytes;
                    self.evicted += 1;
                }
            }
            self.thread.keep_books(&mut shard);
            shard.finish();
        }
        self.thread.counters.evicted.add(self.evicted - before);
        (self.evicted > before).then_some(freed)
    }

    /// Asks the queues of some shards whose turn it is, where the policy keeps queues. Says whether there is one that knows.
    fn nominate_some(&mut self, wanted: usize) -> bool {
        if !self.wish.policy.kind().plan().has_queue() {
            return false;
        }
        let turns = (self.mean() / SHARE_OF_TURNS).clamp(1, wanted);
        let mut held: SmallVec<[_; BATCH]> = SmallVec::new();
        for (shard, _) in self.hold_some(&self.pick(wanted.div_ceil(turns))) {
            if let Some(db) = self.some_database(&shard) {
                shard.prefetch_turns(db, turns);
                held.push((shard, db));
            }
        }
        held.iter_mut().fold(false, |knows, (shard, db)| self.nominate(shard, *db, turns) | knows)
    }

    /// Takes some shards, with a place in each. Nobody is waited for while several are held.
    fn hold_some(&self, spots: &[Spot]) -> SmallVec<[(Guard<'a, Shard>, u64); BATCH]> {
        let hold = |spot: &Spot| {
            let guard = self.state.keyspace.hold_one(spot.shard, Patience::NONE).ok()?;
            Some((guard, spot.hash))
        };
        spots.iter().filter_map(hold).collect()
    }

    /// Some shards, those that hold more more often, and a place in each. Their locks are asked for.
    fn pick(&self, count: usize) -> SmallVec<[Spot; BATCH]> {
        let (weights, keyspace) = (self.state.ceiling.weights.load(), &self.state.keyspace);
        let pick = || weights.pick(self.thread.random());
        let spots: SmallVec<[Spot; BATCH]> = std::iter::repeat_with(pick)
            .take(count)
            .flatten()
            .map(|shard| Spot { shard, hash: self.thread.random() })
            .collect();
        spots.iter().for_each(|spot| keyspace.prefetch_lock(spot.shard));
        spots
    }

    /// Asks the queue of a shard whose turn it is, so many times if one goes at a time. Says whether there is one that knows.
    fn nominate(&mut self, shard: &mut Guard<'_, Shard>, db: u32, turns: usize) -> bool {
        let (wish, index, pool) = (self.wish, shard.index(), &mut *self.pool);
        let has_hand = wish.policy.kind().plan().source == Source::Hand;
        let mut knows = false;
        for _ in 0..if has_hand { turns } else { 1 } {
            knows = shard.nominate(db, &wish, |rank, sight| {
                pool.offer(Candidate { rank, db, shard: index, sight });
            });
        }
        self.thread.keep_books(shard);
        knows
    }

    /// A database of a shard, one that holds more more often.
    fn some_database(&self, shard: &Shard) -> Option<u32> {
        let total: u64 = self.eligible(shard).map(|(_, count)| count).sum();
        self.database_of(shard, self.thread.random_below(total))
    }

    /// The database that the `nth` of those that may go is in.
    fn database_of(&self, shard: &Shard, mut nth: u64) -> Option<u32> {
        let is_here = |(_, count): &(u32, u64)| {
            let is_here = nth < *count;
            nth = nth.saturating_sub(*count);
            is_here
        };
        self.eligible(shard).find(is_here).map(|(db, _)| db)
    }

    /// Offers the pool entries of some shards, about `each` of one. Answers how many. The lines of all are asked for before any is looked
    /// at: waiting for one after the other is what this would cost.
    fn sample(&mut self, shards: usize, each: usize) -> usize {
        let spots = self.pick(shards);
        let buckets = each.div_ceil(PER_BUCKET) as u64;
        for Spot { shard, hash } in spots.iter().copied() {
            let at = |next| Spot { shard, hash: hash.wrapping_add(next) };
            (0..buckets).for_each(|next| self.state.keyspace.prefetch_bucket(at(next)));
        }
        let held = self.hold_some(&spots);
        held.iter().map(|(shard, hash)| self.look(shard, *hash, each)).sum()
    }

    /// Offers the pool some entries of a shard. Answers how many.
    fn look(&mut self, shard: &Guard<'_, Shard>, hash: u64, wanted: usize) -> usize {
        let Some(db) = self.some_database(shard) else { return 0 };
        let Some(database) = shard.database(db) else { return 0 };
        if !self.is_patient() && !self.wish.only_volatile {
            return self.pool.see(db, shard.index(), |seen| {
                let see = |place, entry: &Entry| seen.push(Sight::of(place, entry));
                database.table().neighbours(hash, wanted, see);
            });
        }
        let (thread, seed, wish) = (self.thread, self.state.keyspace.seed(), self.wish);
        let mut found = 0;
        let mut offer = |place, entry: &Entry| {
            found += 1;
            self.offer(shard.index(), db, place, entry);
        };
        let mut offer_by_key = |entry: &Entry| offer(seed.hash(entry.key()), entry);
        if wish.policy.kind().plan().source == Source::Soonest {
            database.first_to_end().into_iter().for_each(offer_by_key);
        } else if wish.only_volatile {
            let dice = &mut || thread.random();
            let sample = |_| database.sample(true, dice);
            (0..wanted).filter_map(sample).for_each(&mut offer_by_key);
        } else {
            database.table().neighbours(hash, wanted, offer);
        }
        found
    }

    #[inline]
    fn offer(&mut self, shard: u32, db: u32, place: u64, entry: &Entry) {
        if self.takes_newest || !self.is_newest(entry) {
            let rank = self.wish.rank(entry);
            self.pool.offer(Candidate { rank, db, shard, sight: Sight::of(place, entry) });
        }
    }

    /// Removes a candidate from its shard, if it is still what it was. Answers how many bytes that freed.
    fn remove(&self, shard: &mut Shard, victim: &Candidate) -> Option<i64> {
        let (state, Candidate { db, sight, .. }) = (self.state, *victim);
        let entry = shard.database(db)?.seen(&sight)?;
        if !self.may_go(entry, victim) {
            return None;
        }
        let memory = self.wish.policy.memory(entry.glance());
        if shard.is_guarded() && self.is_closed(shard, victim) {
            return None;
        }
        let (before, started) = (shard.growth(), state.watch());
        shard.evict(db, &sight, memory, |shard, key| self.tell(shard, db, key));
        if let Some(started) = started {
            let took = state.clock.ticks().saturating_sub(started);
            state.took(Event::EvictionDelete, took);
        }
        Some((before - shard.growth()) as i64)
    }

    /// Whether a snapshot writes it next, or a reply tells of it: to do all of that here would hold the shard for long.
    #[cold]
    fn is_closed(&self, shard: &mut Shard, victim: &Candidate) -> bool {
        let seen = shard.database(victim.db).and_then(|database| database.seen(&victim.sight));
        let Some(key) = seen.map(|entry| Box::<[u8]>::from(entry.key())) else { return true };
        let hash = self.state.keyspace.seed().hash(&key);
        shard.is_closed(Name { db: victim.db, key: &key, hash })
    }

    /// Whether it came so lately that it is spared, as the value of a command is that has not been answered yet.
    fn is_newest(&self, entry: &Entry) -> bool {
        self.wish.policy.kind().plan().has_queue() && entry.glance() & NEWEST != 0
    }

    /// Whether nothing has become of an entry that would keep it.
    fn may_go(&self, entry: &Entry, candidate: &Candidate) -> bool {
        let is_by_end = self.wish.policy.kind().plan().source == Source::Soonest;
        let is_as_before = !is_by_end || self.wish.rank(entry) == candidate.rank;
        is_as_before && self.wish.takes(entry) && !self.is_spared(entry, candidate)
    }

    /// Whether this is the key that is spared while there is another.
    fn is_spared(&self, entry: &Entry, candidate: &Candidate) -> bool {
        let Some(spared) = self.spared.filter(|_| !self.takes_newest) else { return false };
        let seed = self.state.keyspace.seed();
        candidate.sight.may_be_of(spared) && seed.hash(entry.key()) == spared
    }

    /// Tells followers of the journal, listeners and clients with caches, before the shard's lock falls.
    fn tell(&self, shard: &mut Shard, db: u32, key: &[u8]) {
        let (state, thread) = (self.state, self.thread);
        if state.journal.is_followed() {
            let mut record = Record::default();
            record.push(db, [GONE, key].into_iter());
            shard.lsn = append(state, &mut record);
        }
        let lsn = shard.lsn;
        state.notify(thread, Class::Evicted, "evicted", db, key, lsn);
        if shard.interest().is_some() {
            tell_of(state, thread, shard, lsn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_from_their_names() {
        assert_eq!(policy_bits("noeviction"), 0);
        assert_eq!(policy_bits("allkeys-lru"), BY_USE);
        assert_eq!(policy_bits("volatile-lfu"), BY_USE | VOLATILE);
        assert_eq!(policy_bits("allkeys-lrm"), BY_USE);
        assert_eq!(policy_bits("volatile-ttl"), BY_DEADLINE | VOLATILE);
        assert_eq!(policy_bits("allkeys-random"), BY_CHANCE);
        assert_eq!(policy_bits("volatile-s3fifo"), BY_USE | VOLATILE);
    }

    #[test]
    fn tenacity_is_redis_scale() {
        assert_eq!(budget_ns(0), 0);
        assert_eq!(budget_ns(10), 500_000);
        assert_eq!(budget_ns(11), 575_000);
        assert!((100_000_000_000..150_000_000_000).contains(&budget_ns(99)));
        assert_eq!(budget_ns(100), u64::MAX);
    }
}
