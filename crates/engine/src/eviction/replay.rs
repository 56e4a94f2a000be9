//! Policies as they are here, beside their exact forms: the same requests, the same number of keys, and about as many misses.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;

use super::{Candidate, Pool, Sight, Wish};
use crate::access::{Access, Kind};
use crate::entry::string_value;
use crate::policy::s3fifo::S3Fifo;
use crate::policy::sieve::Sieve;
use crate::policy::tinylfu::TinyLfu;
use crate::policy::{NEWEST, Source};
use crate::random::Random;
use crate::shard::{Common, NO_QUEUES, Name, Seed, Shard};
use crate::trash::Trash;
use crate::whereabouts::Whereabouts;

const SHARDS: usize = 16;
const KEYS: u64 = 20_000;
const CAPACITY: usize = 2_000;
const REQUESTS: usize = 300_000;

/// Requests a second, so that policies that go by seconds have some.
const RATE: u64 = 2_000;

/// Something that answers requests for keys, and keeps some of those that were asked for.
trait Cache {
    fn ask(&mut self, key: u64) -> bool;
}

/// Misses of a hundred requests.
fn misses(mut cache: impl Cache, trace: &[u64]) -> f64 {
    let warm = trace.len() / 4;
    let hits: Vec<bool> = trace.iter().map(|key| cache.ask(*key)).collect();
    let missed = hits[warm..].iter().filter(|is_hit| !**is_hit).count();
    missed as f64 * 100.0 / (trace.len() - warm) as f64
}

/// Requests by Zipf's law, `scans` of a hundred for keys that nobody asks for again.
fn zipf(exponent: f64, scans: u64) -> Vec<u64> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=KEYS)
        .map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        })
        .collect();
    let mut random = Random::new(11);
    let pick = |nth: usize| {
        if random.below(100) < scans {
            return (1 << 32) + nth as u64;
        }
        let at = random.next_u64() as f64 / u64::MAX as f64 * sum;
        sums.partition_point(|sum| *sum < at) as u64
    };
    (0..REQUESTS).map(pick).collect()
}

/// Shards, and somebody who evicts from them as the server does.
struct Here {
    shards: Vec<Shard>,
    policy: fn(u64, u8) -> Access,
    glances: usize,
    pool: Pool,
    random: Random,
    asked: u64,
    evicted: usize,
    epoch: u8,
}

impl Here {
    fn new(policy: fn(u64, u8) -> Access) -> Self {
        let kind = policy(0, 0).kind();
        let queues = if kind.plan().has_queue() { kind as u8 } else { NO_QUEUES };
        let common = Arc::new(Common {
            seed: Seed(1, 2),
            trash: Arc::new(Trash::default()),
            whereabouts: Whereabouts::new(SHARDS as u32),
            epoch: Mutex::default(),
            queues: queues.into(),
        });
        let shards = (0..SHARDS as u32).map(|nth| Shard::new(nth, Arc::clone(&common))).collect();
        let (pool, random) = (Pool::default(), Random::new(3));
        let glances = if kind.plan().is_patient { 10 } else { 5 };
        Self { shards, policy, glances, pool, random, asked: 0, evicted: 0, epoch: 0 }
    }

    fn policy(&self) -> Access {
        (self.policy)(self.asked * 1000 / RATE, self.epoch)
    }

    fn len(&self) -> usize {
        self.shards.iter().filter_map(|shard| Some(shard.database(0)?.table().len())).sum()
    }

    fn evict(&mut self) {
        let wish = Wish { only_volatile: false, policy: self.policy() };
        self.pool.begin(&wish);
        loop {
            let at = self.random.below(SHARDS as u64) as usize;
            let (plan, pool) = (wish.policy.kind().plan(), &mut self.pool);
            if !plan.is_patient {
                pool.hurry();
            }
            self.shards[at].nominate(0, &wish, |rank, sight| {
                pool.offer(Candidate { rank, db: 0, shard: at as u32, sight });
            });
            if plan.source == Source::Samples {
                self.sample(&wish);
            }
            while let Some(candidate) = self.pool.pop() {
                if self.remove(candidate, &wish) {
                    return;
                }
            }
        }
    }

    fn sample(&mut self, wish: &Wish) {
        let at = self.random.below(SHARDS as u64) as usize;
        let database = self.shards[at].database(0).expect("the first is always there");
        let (plan, pool) = (wish.policy.kind().plan(), &mut self.pool);
        if !plan.is_patient {
            pool.see(0, at as u32, |seen| {
                let see = |place, entry: &_| seen.push(Sight::of(place, entry));
                database.table().neighbours(self.random.next_u64(), self.glances, see);
            });
            return pool.choose(wish.policy, 1);
        }
        database.table().neighbours(self.random.next_u64(), self.glances, |place, entry| {
            if !plan.has_queue() || entry.glance() & NEWEST == 0 {
                let (rank, sight) = (wish.rank(entry), Sight::of(place, entry));
                pool.offer(Candidate { rank, db: 0, shard: at as u32, sight });
            }
        });
    }

    fn remove(&mut self, candidate: Candidate, wish: &Wish) -> bool {
        let shard = &mut self.shards[candidate.shard as usize];
        let database = shard.database(0).expect("the first is always there");
        let Some(entry) = database.seen(&candidate.sight) else { return false };
        let memory = wish.policy.memory(entry.glance());
        shard.evict(0, &candidate.sight, memory, |_, _| ());
        self.evicted += 1;
        if self.evicted.is_multiple_of(24 * CAPACITY) {
            self.epoch = self.epoch.wrapping_add(1);
        }
        true
    }
}

impl Cache for Here {
    fn ask(&mut self, key: u64) -> bool {
        self.asked += 1;
        let (policy, bytes) = (self.policy(), key.to_le_bytes());
        let name = Name { db: 0, key: &bytes, hash: Seed(1, 2).hash(&bytes) };
        let shard = &mut self.shards[name.hash as usize >> 8 & (SHARDS - 1)];
        let random = &mut self.random;
        if shard.get_for_access(name, Some(policy), || random.next_u64()).is_some() {
            return true;
        }
        shard.set(name, string_value(b"v"), None, policy, || 0);
        while self.len() > CAPACITY {
            self.evict();
        }
        false
    }
}

/// Keys in the order of some number, lowest first.
#[derive(Default)]
struct Order {
    numbers: HashMap<u64, u64>,
    keys: BTreeSet<(u64, u64)>,
}

impl Order {
    fn put(&mut self, key: u64, number: u64) {
        self.remove(key);
        self.numbers.insert(key, number);
        self.keys.insert((number, key));
    }

    fn remove(&mut self, key: u64) -> bool {
        let number = self.numbers.remove(&key);
        number.is_some_and(|number| self.keys.remove(&(number, key)))
    }

    fn first(&self) -> u64 {
        self.keys.first().expect("not empty").1
    }
}

/// LRU to the letter.
#[derive(Default)]
struct Lru {
    clock: u64,
    order: Order,
}

impl Cache for Lru {
    fn ask(&mut self, key: u64) -> bool {
        self.clock += 1;
        let is_hit = self.order.numbers.contains_key(&key);
        self.order.put(key, self.clock);
        if self.order.keys.len() > CAPACITY {
            self.order.remove(self.order.first());
        }
        is_hit
    }
}

/// SIEVE to the letter.
#[derive(Default)]
struct ExactSieve {
    clock: u64,
    hand: u64,
    order: Order,
    used: HashSet<u64>,
}

impl Cache for ExactSieve {
    fn ask(&mut self, key: u64) -> bool {
        if self.order.numbers.contains_key(&key) {
            self.used.insert(key);
            return true;
        }
        while self.order.keys.len() >= CAPACITY {
            let Some((number, met)) = self.order.keys.range((self.hand, 0)..).next().copied()
            else {
                self.hand = 0;
                continue;
            };
            self.hand = number + 1;
            if !self.used.remove(&met) {
                self.order.remove(met);
            }
        }
        self.clock += 1;
        self.order.put(key, self.clock);
        false
    }
}

/// S3-FIFO to the letter.
#[derive(Default)]
struct ExactS3Fifo {
    small: VecDeque<u64>,
    main: VecDeque<u64>,
    ghosts: VecDeque<u64>,
    uses: HashMap<u64, u8>,
}

impl ExactS3Fifo {
    fn evict(&mut self) {
        let is_small = self.small.len() >= CAPACITY / 10;
        let queue = if is_small { &mut self.small } else { &mut self.main };
        let key = queue.pop_front().expect("it is full");
        let uses = self.uses.get_mut(&key).expect("it is there");
        if is_small && *uses > 1 {
            *uses = 0;
            self.main.push_back(key);
        } else if !is_small && *uses > 0 {
            *uses -= 1;
            self.main.push_back(key);
        } else {
            self.uses.remove(&key);
            if is_small {
                self.ghosts.push_back(key);
                if self.ghosts.len() > CAPACITY {
                    self.ghosts.pop_front();
                }
            }
        }
    }
}

impl Cache for ExactS3Fifo {
    fn ask(&mut self, key: u64) -> bool {
        if let Some(uses) = self.uses.get_mut(&key) {
            *uses = (*uses + 1).min(3);
            return true;
        }
        while self.uses.len() >= CAPACITY {
            self.evict();
        }
        self.uses.insert(key, 0);
        let ghost = self.ghosts.iter().position(|ghost| *ghost == key);
        match ghost.and_then(|at| self.ghosts.remove(at)) {
            Some(_) => self.main.push_back(key),
            None => self.small.push_back(key),
        }
        false
    }
}

/// W-TinyLFU: a window and a main part, both by recency, and a count of all requests that decides between them.
#[derive(Default)]
struct ExactTinyLfu {
    clock: u64,
    window: Order,
    main: Order,
    counts: HashMap<u64, u32>,
}

impl Cache for ExactTinyLfu {
    fn ask(&mut self, key: u64) -> bool {
        self.clock += 1;
        *self.counts.entry(key).or_default() += 1;
        if self.clock.is_multiple_of(10 * CAPACITY as u64) {
            self.counts.values_mut().for_each(|count| *count /= 2);
        }
        for part in [&mut self.window, &mut self.main] {
            if part.numbers.contains_key(&key) {
                part.put(key, self.clock);
                return true;
            }
        }
        self.window.put(key, self.clock);
        if self.window.keys.len() > CAPACITY / 100 {
            let newcomer = self.window.first();
            self.window.remove(newcomer);
            self.main.put(newcomer, self.clock);
            if self.main.keys.len() > CAPACITY - CAPACITY / 100 {
                let victim = self.main.first();
                let is_better = self.counts[&newcomer] > self.counts[&victim];
                self.main.remove(if is_better { victim } else { newcomer });
            }
        }
        false
    }
}

/// Whether a policy misses at most so many hundredths more than its twin, on each of some traces.
#[track_caller]
fn check(policy: fn(u64, u8) -> Access, twin: impl Fn(&[u64]) -> f64, percent_more: f64) {
    for trace in [zipf(0.8, 0), zipf(1.0, 0), zipf(1.2, 0), zipf(1.0, 33)] {
        let (here, exact) = (misses(Here::new(policy), &trace), twin(&trace));
        let kind: Kind = policy(0, 0).kind();
        assert!(
            here <= exact * (1.0 + percent_more / 100.0),
            "{kind:?}: {here:.2}, exact {exact:.2}"
        );
    }
}

#[test]
fn samples_find_about_whom_lru_would() {
    check(|now, _| Access::recency(now), |trace| misses(Lru::default(), trace), 8.0);
}

#[test]
fn two_queues_and_a_hand_miss_about_as_much_as_s3_fifo() {
    let policy = |_, _| Access::S3Fifo(S3Fifo);
    check(policy, |trace| misses(ExactS3Fifo::default(), trace), 8.0);
}

#[test]
fn a_hand_round_the_table_misses_about_as_much_as_sieve() {
    check(|_, _| Access::Sieve(Sieve), |trace| misses(ExactSieve::default(), trace), 5.0);
}

#[test]
fn counts_in_entries_and_ghosts_miss_no_more_than_w_tiny_lfu() {
    let policy = |_, epoch| Access::TinyLfu(TinyLfu(epoch));
    check(policy, |trace| misses(ExactTinyLfu::default(), trace), 0.0);
}

#[test]
fn popular_keys_outlive_a_scan_under_every_new_policy() {
    let policies: [fn(u64, u8) -> Access; 3] = [
        |_, _| Access::S3Fifo(S3Fifo),
        |_, _| Access::Sieve(Sieve),
        |_, epoch| Access::TinyLfu(TinyLfu(epoch)),
    ];
    for policy in policies {
        let (mut cache, popular) = (Here::new(policy), 0..500u64);
        let cold = (0..CAPACITY as u64 * 2).map(|key| (1 << 40) + key);
        let warming = (0..5).flat_map(|_| popular.clone());
        let scan = (0..CAPACITY as u64).map(|key| (1 << 41) + key);
        let asked: Vec<bool> = cold.chain(warming).chain(scan).map(|key| cache.ask(key)).collect();
        assert!(!asked[0], "{:?} begins with nothing", policy(0, 0).kind());
        let left = popular.filter(|key| cache.ask(*key)).count();
        assert!(left > 350, "{:?} kept {left}", policy(0, 0).kind());
    }
}
