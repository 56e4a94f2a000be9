//! Clients that write down what they ask and what they are told, for the checkers to judge.
//!
//! Each client works on a few hot keys of every kind and stamps its questions and answers from one counter that all share. What belongs
//! together under one check is a part: one register, counter or list, one group of keys that are changed together. Parts end after
//! some thousand stamps and new ones begin, so that histories of any length are checked in time and memory that grow with them.
//!
//! ```text
//! registers  SET, GET, SET … GET, DEL              linear::Register    a key
//! counters   INCR, INCRBY, GET                     linear::Counter     a key
//! lists      RPUSH, LRANGE                         linear::List        a key
//! groups     MSET, MGET, MULTI … EXEC, WATCH       linear::Store       four keys
//! appends    MULTI of RPUSH and LRANGE, WATCH      elle                four lists
//! ```

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;

use crate::client::{Client, Reply};
use crate::elle::{self, End, Step, Transaction};
use crate::linear::{
    self, Counter, CounterOp, List, ListOp, ListRet, Model, Operation, Register, RegisterOp,
    RegisterRet, Store, StoreOp, StoreRet,
};
use crate::random::Random;

/// Stamps after which all parts end and others begin.
const STAMPS_PER_PART: u64 = 20_000;

/// Hot keys of each kind at any time.
const KEYS: u64 = 3;

/// Keys of a group.
const GROUP: u64 = 4;

/// Whoever can be asked.
pub trait Ask: Send {
    /// Asks and waits for the answer.
    fn ask(&mut self, words: &[&str]) -> Reply;
}

impl Ask for Client {
    fn ask(&mut self, words: &[&str]) -> Reply {
        self.cmd(words)
    }
}

/// An order that all clients share.
#[derive(Debug, Default)]
pub struct Stamps(AtomicU64);

impl Stamps {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// Histories of one model, by part.
type Parts<M> = HashMap<String, linear::History<M>>;

/// What some clients saw.
#[derive(Debug, Default)]
pub struct Histories {
    registers: Parts<Register>,
    counters: Parts<Counter>,
    lists: Parts<List>,
    groups: Parts<Store>,
    appends: HashMap<String, Vec<Transaction>>,
}

impl Histories {
    /// Adds what others saw.
    pub fn merge(&mut self, other: Self) {
        let Self { registers, counters, lists, groups, appends } = other;
        registers
            .into_iter()
            .for_each(|(part, all)| self.registers.entry(part).or_default().extend(all));
        counters
            .into_iter()
            .for_each(|(part, all)| self.counters.entry(part).or_default().extend(all));
        lists.into_iter().for_each(|(part, all)| self.lists.entry(part).or_default().extend(all));
        groups.into_iter().for_each(|(part, all)| self.groups.entry(part).or_default().extend(all));
        appends
            .into_iter()
            .for_each(|(part, all)| self.appends.entry(part).or_default().extend(all));
    }

    /// How many operations and transactions there are.
    pub fn len(&self) -> usize {
        let Self { registers, counters, lists, groups, appends } = self;
        let of_keys =
            count::<Register>(registers) + count::<Counter>(counters) + count::<List>(lists);
        of_keys + count::<Store>(groups) + appends.values().map(Vec::len).sum::<usize>()
    }

    /// Whether nobody saw anything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says of the first part that is not strictly serializable why it is not.
    pub fn check(&self) -> Result<(), String> {
        check_parts::<Register>(&self.registers)?;
        check_parts::<Counter>(&self.counters)?;
        check_parts::<List>(&self.lists)?;
        check_parts::<Store>(&self.groups)?;
        let wrong = |(part, all): (&String, &Vec<Transaction>)| {
            elle::check(all).err().map(|anomaly| format!("{part}: {anomaly}"))
        };
        self.appends.iter().find_map(wrong).map_or(Ok(()), Err)
    }
}

fn count<M: Model>(parts: &Parts<M>) -> usize {
    parts.values().map(Vec::len).sum()
}

fn check_parts<M: Model>(parts: &Parts<M>) -> Result<(), String> {
    parts.iter().try_for_each(|(part, history)| match linear::check::<M>(history) {
        linear::Verdict::Linearizable => Ok(()),
        linear::Verdict::Violation(found) => Err(format!("{part} is not linearizable\n{found}")),
        linear::Verdict::Undecided(visited) => {
            Err(format!("{part} is undecided after {visited} configurations"))
        }
    })
}

/// Runs clients side by side, each on a thread of its own, and gathers what they saw.
pub fn record<A: Ask>(clients: Vec<A>, operations: u64, seed: u64) -> Histories {
    let stamps = Arc::new(Stamps::default());
    let share = operations / clients.len() as u64;
    let mut histories = Histories::default();
    std::thread::scope(|scope| {
        let recorders = clients
            .into_iter()
            .enumerate()
            .map(|(id, ask)| Recorder::new(ask, id as u32, seed, &stamps));
        let threads: Vec<_> =
            recorders.map(|recorder| scope.spawn(move || recorder.run(share))).collect();
        threads.into_iter().for_each(|thread| {
            histories.merge(thread.join().expect("a client got what it expected"))
        });
    });
    histories
}

/// One client and its notes.
struct Recorder<A> {
    ask: A,
    id: u32,
    random: Random,
    stamps: Arc<Stamps>,
    serial: u64,
    seen: Histories,
}

impl<A: Ask> Recorder<A> {
    fn new(ask: A, id: u32, seed: u64, stamps: &Arc<Stamps>) -> Self {
        let random = Random::new(seed.wrapping_mul(1_000).wrapping_add(u64::from(id)));
        Self { ask, id, random, stamps: Arc::clone(stamps), serial: 0, seen: Histories::default() }
    }

    fn run(mut self, operations: u64) -> Histories {
        for _ in 0..operations {
            match self.random.below(10) {
                0..=2 => self.register(),
                3 => self.counter(),
                4..=5 => self.list(),
                6..=7 => self.group(),
                _ => self.append(),
            }
        }
        self.seen
    }

    /// A number that no client has used before.
    fn unique(&mut self) -> u64 {
        self.serial += 1;
        self.serial << 8 | u64::from(self.id)
    }

    /// The part to work on now.
    fn part(&mut self, kind: &str) -> String {
        let epoch = self.stamps.0.load(Ordering::SeqCst) / STAMPS_PER_PART;
        format!("{kind}{}:{epoch}", self.random.below(KEYS))
    }

    /// Asks, with the stamps around it.
    fn timed(&mut self, words: &[&str]) -> (u64, Reply, u64) {
        let invoked = self.stamps.next();
        let reply = self.ask.ask(words);
        (invoked, reply, self.stamps.next())
    }

    fn note<M: Model>(
        &self,
        op: M::Op,
        (invoked, result, returned): (u64, M::Ret, u64),
    ) -> Operation<M::Op, M::Ret> {
        Operation::new(self.id, op, result, invoked, returned)
    }

    fn register(&mut self) {
        let (part, value) = (self.part("r"), self.unique());
        let text = value.to_string();
        let (op, words) = match self.random.below(8) {
            0..=2 => (RegisterOp::Set(value), vec!["SET", &part, &text]),
            3..=5 => (RegisterOp::Get, vec!["GET", &part]),
            6 => (RegisterOp::GetSet(value), vec!["GETSET", &part, &text]),
            _ => (RegisterOp::Del, vec!["DEL", &part]),
        };
        let (invoked, reply, returned) = self.timed(&words);
        let result = match op {
            RegisterOp::Set(_) => done(&reply, RegisterRet::Done),
            RegisterOp::Get | RegisterOp::GetSet(_) => {
                RegisterRet::Value(number(&reply).map(|n| n as u64))
            }
            RegisterOp::Del => RegisterRet::Deleted(number(&reply) == Some(1)),
        };
        let note = self.note::<Register>(op, (invoked, result, returned));
        self.seen.registers.entry(part).or_default().push(note);
    }

    fn counter(&mut self) {
        let part = self.part("c");
        let (op, words) = match self.random.below(3) {
            0 => (CounterOp::Get, vec!["GET", &part]),
            1 => (CounterOp::Incr(1), vec!["INCR", &part]),
            _ => (CounterOp::Incr(-7), vec!["INCRBY", &part, "-7"]),
        };
        let (invoked, reply, returned) = self.timed(&words);
        let note = self.note::<Counter>(op, (invoked, number(&reply).unwrap_or(0), returned));
        self.seen.counters.entry(part).or_default().push(note);
    }

    fn list(&mut self) {
        let (part, value) = (self.part("l"), self.unique());
        let text = value.to_string();
        let (op, words) = match self.random.below(4) {
            0 => (ListOp::Range, vec!["LRANGE", &part, "0", "-1"]),
            _ => (ListOp::Push(value), vec!["RPUSH", &part, &text]),
        };
        let (invoked, reply, returned) = self.timed(&words);
        let result = match op {
            ListOp::Range => ListRet::Values(values(&reply)),
            ListOp::Push(_) => ListRet::Len(number(&reply).expect("a length") as usize),
        };
        let note = self.note::<List>(op, (invoked, result, returned));
        self.seen.lists.entry(part).or_default().push(note);
    }

    fn group(&mut self) {
        let part = self.part("g");
        let (op, seen) = match self.random.below(4) {
            0 => self.set_many(&part),
            1 => self.get_many(&part),
            2 => self.transact(&part),
            _ => self.compare_and_set(&part),
        };
        let note = self.note::<Store>(op, seen);
        self.seen.groups.entry(part).or_default().push(note);
    }

    fn set_many(&mut self, part: &str) -> (Vec<StoreOp>, Seen) {
        let steps: Vec<_> = self
            .some_keys()
            .into_iter()
            .map(|key| StoreOp::Set(key, self.unique() as i64))
            .collect();
        let mut words = vec!["MSET".to_owned()];
        for step in &steps {
            words.extend(step_words(part, *step).into_iter().skip(1));
        }
        let (invoked, reply, returned) = self.timed(&refs(&words));
        let result = Some(vec![done(&reply, StoreRet::Done); steps.len()]);
        (steps, (invoked, result, returned))
    }

    fn get_many(&mut self, part: &str) -> (Vec<StoreOp>, Seen) {
        let steps: Vec<_> = self.some_keys().into_iter().map(StoreOp::Get).collect();
        let mut words = vec!["MGET".to_owned()];
        words.extend(steps.iter().flat_map(|step| step_words(part, *step).into_iter().skip(1)));
        let (invoked, reply, returned) = self.timed(&refs(&words));
        let result = Some(items(&reply).iter().map(|item| StoreRet::Value(number(item))).collect());
        (steps, (invoked, result, returned))
    }

    /// MULTI, some commands, EXEC.
    fn transact(&mut self, part: &str) -> (Vec<StoreOp>, Seen) {
        let steps: Vec<_> = (0..=self.random.below(4)).map(|_| self.store_step()).collect();
        let commands: Vec<_> = steps.iter().map(|step| step_words(part, *step)).collect();
        let (invoked, reply, returned) = self.exec(&commands);
        let result = results(&steps, &reply);
        (steps, (invoked, result, returned))
    }

    /// WATCH, GET, and a SET that depends on it: as one operation, begun at WATCH.
    fn compare_and_set(&mut self, part: &str) -> (Vec<StoreOp>, Seen) {
        let (key, value) = (self.random.below(GROUP), self.unique() as i64);
        let name = format!("{part}:{key}");
        let steps = vec![StoreOp::Get(key), StoreOp::Set(key, value)];
        let invoked = self.stamps.next();
        done(&self.ask.ask(&["WATCH", &name]), ());
        let before = number(&self.ask.ask(&["GET", &name]));
        let (_, reply, returned) = self.exec(&[step_words(part, steps[1])]);
        let result =
            results(&steps[1..], &reply).map(|_| vec![StoreRet::Value(before), StoreRet::Done]);
        (steps, (invoked, result, returned))
    }

    fn store_step(&mut self) -> StoreOp {
        let key = self.random.below(GROUP);
        match self.random.below(6) {
            0..=1 => StoreOp::Set(key, self.unique() as i64),
            2..=3 => StoreOp::Get(key),
            4 => StoreOp::Incr(key, 1),
            _ => StoreOp::Del(key),
        }
    }

    /// Different keys of a group, in any order.
    fn some_keys(&mut self) -> Vec<u64> {
        let mut keys: Vec<u64> = (0..GROUP).collect();
        for at in (1..keys.len()).rev() {
            keys.swap(at, self.random.below(at as u64 + 1) as usize);
        }
        keys.truncate(1 + self.random.below(GROUP) as usize);
        keys
    }

    /// Queues commands and runs them; the stamps are those around EXEC.
    fn exec(&mut self, commands: &[Vec<String>]) -> (u64, Reply, u64) {
        done(&self.ask.ask(&["MULTI"]), ());
        for command in commands {
            let reply = self.ask.ask(&refs(command));
            assert_eq!(reply, Reply::Simple(b"QUEUED".to_vec()), "{command:?}");
        }
        self.timed(&["EXEC"])
    }

    fn append(&mut self) {
        let part = self.part("a");
        let transaction = if self.random.percent(30) {
            self.append_watched(&part)
        } else {
            self.append_some(&part)
        };
        self.seen.appends.entry(part).or_default().push(transaction);
    }

    /// RPUSH and LRANGE, some of each, in one transaction.
    fn append_some(&mut self, part: &str) -> Transaction {
        let mut steps: Vec<_> = (0..=self.random.below(4)).map(|_| self.append_step()).collect();
        let commands: Vec<_> = steps.iter().map(|step| append_words(part, step)).collect();
        let (invoked, reply, returned) = self.exec(&commands);
        fill_in(&mut steps, items(&reply));
        Transaction { client: self.id, steps, invoked, end: End::Committed(returned) }
    }

    /// WATCH and LRANGE, and an RPUSH that depends on it.
    fn append_watched(&mut self, part: &str) -> Transaction {
        let (key, value) = (self.random.below(GROUP), self.unique());
        let name = format!("{part}:{key}");
        let invoked = self.stamps.next();
        done(&self.ask.ask(&["WATCH", &name]), ());
        let values = values(&self.ask.ask(&["LRANGE", &name, "0", "-1"]));
        let steps = vec![Step::Read { key, values }, Step::Append { key, value }];
        let (_, reply, returned) = self.exec(&[append_words(part, &steps[1])]);
        let end = if reply == Reply::Nil { End::Aborted } else { End::Committed(returned) };
        Transaction { client: self.id, steps, invoked, end }
    }

    fn append_step(&mut self) -> Step {
        let key = self.random.below(GROUP);
        if self.random.percent(50) {
            Step::Append { key, value: self.unique() }
        } else {
            Step::Read { key, values: Vec::new() }
        }
    }
}

/// When a group's operation was asked, its answer, and when that came.
type Seen = (u64, Option<Vec<StoreRet>>, u64);

fn refs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

fn words<const N: usize>(words: [&dyn Display; N]) -> Vec<String> {
    words.iter().map(|word| format!("{word}")).collect()
}

fn step_words(part: &str, step: StoreOp) -> Vec<String> {
    let name = |key: u64| format!("{part}:{key}");
    match step {
        StoreOp::Get(key) => words([&"GET", &name(key)]),
        StoreOp::Set(key, value) => words([&"SET", &name(key), &value]),
        StoreOp::Incr(key, by) => words([&"INCRBY", &name(key), &by]),
        StoreOp::Del(key) => words([&"DEL", &name(key)]),
        StoreOp::Rename(..) | StoreOp::Swap(..) => unreachable!("not asked here"),
    }
}

fn append_words(part: &str, step: &Step) -> Vec<String> {
    match step {
        Step::Append { key, value } => words([&"RPUSH", &format!("{part}:{key}"), value]),
        Step::Read { key, .. } => words([&"LRANGE", &format!("{part}:{key}"), &0, &-1]),
    }
}

/// What EXEC told about each step; `None` when a watched key had changed.
fn results(steps: &[StoreOp], reply: &Reply) -> Option<Vec<StoreRet>> {
    if *reply == Reply::Nil {
        return None;
    }
    let result = |(step, item): (&StoreOp, &Reply)| match step {
        StoreOp::Get(_) => StoreRet::Value(number(item)),
        StoreOp::Incr(..) | StoreOp::Del(_) => StoreRet::Number(number(item).expect("a number")),
        _ => done(item, StoreRet::Done),
    };
    Some(steps.iter().zip(items(reply)).map(result).collect())
}

fn fill_in(steps: &mut [Step], replies: &[Reply]) {
    assert_eq!(steps.len(), replies.len());
    for (step, reply) in steps.iter_mut().zip(replies) {
        if let Step::Read { values: read, .. } = step {
            *read = values(reply);
        }
    }
}

#[track_caller]
fn done<T>(reply: &Reply, result: T) -> T {
    assert_eq!(*reply, Reply::Simple(b"OK".to_vec()));
    result
}

#[track_caller]
fn number(reply: &Reply) -> Option<i64> {
    match reply {
        Reply::Nil => None,
        Reply::Int(number) => Some(*number),
        Reply::Bulk(text) => Some(
            std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).expect("a number"),
        ),
        other => panic!("a number was expected, not {other}"),
    }
}

#[track_caller]
fn items(reply: &Reply) -> &[Reply] {
    match reply {
        Reply::Array(items) => items,
        other => panic!("an array was expected, not {other}"),
    }
}

#[track_caller]
fn values(reply: &Reply) -> Vec<u64> {
    items(reply).iter().map(|item| number(item).expect("an element") as u64).collect()
}

/// What a liar does to the truth, to see whether the checkers notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// A read is answered as it was a while ago.
    StaleRead,
    /// A write is acknowledged and thrown away.
    LostUpdate,
    /// A transaction runs command by command.
    TornMulti,
}

/// A client between another and its server that lies now and then.
#[derive(Debug)]
pub struct Liar<A> {
    ask: A,
    lie: Lie,
    random: Random,
    /// Answers to reads, to be repeated later.
    past: HashMap<String, Reply>,
    /// Whether a transaction is being queued, in which only a tear is a lie that fits.
    is_queueing: bool,
    /// Commands of a transaction that is being torn.
    torn: Vec<Vec<String>>,
}

impl<A: Ask> Liar<A> {
    /// Lies to whoever asks through it, in some of a hundred cases.
    pub fn new(ask: A, lie: Lie, seed: u64) -> Self {
        Self {
            ask,
            lie,
            random: Random::new(seed),
            past: HashMap::new(),
            is_queueing: false,
            torn: Vec::new(),
        }
    }

    /// The answer from before, now and then; what is true otherwise, and kept for later.
    fn read(&mut self, words: &[&str]) -> Reply {
        let question = words.join(" ");
        if self.random.percent(20)
            && let Some(reply) = self.past.remove(&question)
        {
            return reply;
        }
        let reply = self.ask.ask(words);
        self.past.entry(question).or_insert_with(|| reply.clone());
        reply
    }

    /// Gathers what is queued and runs it piece by piece.
    fn tear(&mut self, words: &[&str]) -> Reply {
        match words[0] {
            "MULTI" => Reply::Simple(b"OK".to_vec()),
            "EXEC" => Reply::Array(
                std::mem::take(&mut self.torn).iter().map(|words| self.ask_slowly(words)).collect(),
            ),
            _ => {
                self.torn.push(words.iter().map(ToString::to_string).collect());
                Reply::Simple(b"QUEUED".to_vec())
            }
        }
    }

    fn ask_slowly(&mut self, words: &[String]) -> Reply {
        std::thread::yield_now();
        self.ask.ask(&refs(words))
    }
}

impl<A: Ask> Ask for Liar<A> {
    fn ask(&mut self, words: &[&str]) -> Reply {
        let was_queueing = self.is_queueing;
        self.is_queueing = words[0] != "EXEC" && (was_queueing || words[0] == "MULTI");
        match (self.lie, words[0]) {
            (Lie::TornMulti, _) if was_queueing || self.is_queueing => self.tear(words),
            (Lie::StaleRead, "GET" | "LRANGE") if !was_queueing => self.read(words),
            (Lie::LostUpdate, "SET") if !was_queueing && self.random.percent(10) => {
                Reply::Simple(b"OK".to_vec())
            }
            _ => self.ask.ask(words),
        }
    }
}
