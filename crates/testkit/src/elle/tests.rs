//! Serial histories pass; each anomaly is found, and three planted bugs are (LIN-3).

use super::*;
use crate::random::Random;

/// What is wrong with the simulated store.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    Unknown,
    Stale,
    Lost,
    Torn,
}

const KEYS: u64 = 3;

/// Reads before a generation of keys is left for the next, so that lists stay short.
const GENERATION: usize = 300;

struct Running {
    index: usize,
    done: usize,
    effective: bool,
}

struct Simulated {
    random: Random,
    fault: Fault,
    lists: hashbrown::HashMap<u64, Vec<u64>>,
    past: std::collections::VecDeque<hashbrown::HashMap<u64, Vec<u64>>>,
    history: Vec<Transaction>,
    clients: Vec<Option<Running>>,
    clock: u64,
}

fn simulate(seed: u64, len: usize, fault: Fault) -> Vec<Transaction> {
    let mut run = Simulated {
        random: Random::new(seed),
        fault,
        lists: hashbrown::HashMap::new(),
        past: std::collections::VecDeque::new(),
        history: Vec::new(),
        clients: (0..8).map(|_| None).collect(),
        clock: 0,
    };
    while run.history.len() < len || run.clients.iter().any(Option::is_some) {
        run.turn(len);
    }
    run.history
}

impl Simulated {
    fn turn(&mut self, len: usize) {
        self.clock += 1;
        let client = self.random.below(8) as usize;
        match self.clients[client].take() {
            None if self.history.len() >= len => {}
            None => self.call(client),
            Some(running) if running.effective => self.answer(running.index),
            Some(running) => self.effect(client, running),
        }
    }

    fn call(&mut self, client: usize) {
        let index = self.history.len();
        let first = (index / GENERATION) as u64 * KEYS;
        let count = 1 + self.random.below(4);
        let steps = (0..count).map(|step| {
            let key = first + self.random.below(KEYS);
            let value = index as u64 * 10 + step;
            let append = self.random.percent(50);
            if append {
                Step::Append { key, value }
            } else {
                Step::Read { key, values: Vec::new() }
            }
        });
        let steps = steps.collect();
        let client_id = client as u32;
        let invoked = self.clock;
        self.history.push(Transaction { client: client_id, steps, invoked, end: End::Unknown });
        self.clients[client] = Some(Running { index, done: 0, effective: false });
    }

    fn answer(&mut self, index: usize) {
        if self.fault == Fault::Unknown && self.random.percent(2) {
            for step in &mut self.history[index].steps {
                if let Step::Read { values, .. } = step {
                    values.clear();
                }
            }
            return;
        }
        self.history[index].end = End::Committed(self.clock);
    }

    fn effect(&mut self, client: usize, mut running: Running) {
        let mut steps = self.history[running.index].steps.clone();
        let stale = self.fault == Fault::Stale && self.random.percent(10) && self.past.len() == 30;
        let torn = self.fault == Fault::Torn && self.random.percent(50);
        let end = if torn { running.done + 1 } else { steps.len() };
        let read_only = steps.iter().all(|step| matches!(step, Step::Read { .. }));
        for step in &mut steps[running.done..end] {
            self.step(step, stale && read_only);
        }
        running.done = end;
        running.effective = end == steps.len();
        self.history[running.index].steps = steps;
        self.clients[client] = Some(running);
        self.past.push_back(if self.fault == Fault::Stale {
            self.lists.clone()
        } else {
            hashbrown::HashMap::default()
        });
        if self.past.len() > 30 {
            self.past.pop_front();
        }
    }

    fn step(&mut self, step: &mut Step, stale: bool) {
        match step {
            Step::Append { key, value } => {
                let list = self.lists.entry(*key).or_default();
                if self.fault == Fault::Lost && self.random.percent(5) {
                    list.pop();
                }
                list.push(*value);
            }
            Step::Read { key, values } => {
                let lists = if stale { &self.past[0] } else { &self.lists };
                *values = lists.get(key).cloned().unwrap_or_default();
            }
        }
    }
}

fn accepts(fault: Fault) {
    for seed in 0..100 {
        let history = simulate(seed, 1_000, fault);
        assert_eq!(check(&history), Ok(()), "seed {seed}");
    }
}

fn objects(fault: Fault) -> Vec<&'static str> {
    (0..100)
        .map(|seed| {
            let history = simulate(seed, 1_000, fault);
            check(&history).expect_err(&format!("seed {seed} went unnoticed")).name()
        })
        .collect()
}

#[test]
fn serial_histories_are_accepted() {
    accepts(Fault::None);
    accepts(Fault::Unknown);
}

#[test]
fn lin_3_a_stale_transactional_read_is_found() {
    let names = objects(Fault::Stale);
    assert!(names.iter().any(|name| name.starts_with("G-single")), "{names:?}");
}

#[test]
fn lin_3_a_lost_append_is_found() {
    objects(Fault::Lost);
}

#[test]
fn lin_3_a_torn_transaction_is_found() {
    objects(Fault::Torn);
}

#[test]
fn a_hundred_thousand_transactions_take_moments() {
    let history = simulate(1, 100_000, Fault::None);
    let begin = std::time::Instant::now();
    assert_eq!(check(&history), Ok(()));
    println!("100,000 transactions took {:?}", begin.elapsed());
}

fn committed(invoked: u64, returned: u64, steps: Vec<Step>) -> Transaction {
    Transaction { client: invoked as u32, steps, invoked, end: End::Committed(returned) }
}

fn append(key: u64, value: u64) -> Step {
    Step::Append { key, value }
}

fn read(key: u64, values: &[u64]) -> Step {
    Step::Read { key, values: values.to_vec() }
}

fn found(history: &[Transaction]) -> String {
    check(history).expect_err("an anomaly was planted").to_string()
}

#[test]
fn write_skew_is_a_cycle_of_two_anti_dependencies() {
    let history = [
        committed(1, 5, vec![read(1, &[]), append(2, 20)]),
        committed(2, 6, vec![read(2, &[]), append(1, 10)]),
        committed(7, 8, vec![read(1, &[10]), read(2, &[20])]),
    ];
    let text = found(&history);
    assert!(text.starts_with("G2, anti-dependency cycle"), "{text}");
    assert!(text.contains("T0 read 1 without what T1 appended"), "{text}");
    assert!(text.contains("T1 read 2 without what T0 appended"), "{text}");
}

#[test]
fn a_read_that_misses_a_finished_append_is_stale() {
    let history = [committed(1, 2, vec![append(1, 10)]), committed(3, 4, vec![read(1, &[])])];
    assert!(found(&history).starts_with("G-single-realtime, stale read"));
    let overlapping = [committed(1, 4, vec![append(1, 10)]), committed(3, 5, vec![read(1, &[])])];
    assert_eq!(check(&overlapping), Ok(()));
}

#[test]
fn anomalies_that_need_no_graph_are_named() {
    let aborted = Transaction { end: End::Aborted, ..committed(1, 2, vec![append(1, 10)]) };
    assert!(found(&[aborted, committed(3, 4, vec![read(1, &[10])])]).starts_with("G1a"));
    let two = committed(1, 2, vec![append(1, 10), append(1, 11)]);
    let half = committed(1, 3, vec![read(1, &[10])]);
    let all = committed(5, 6, vec![read(1, &[10, 11])]);
    assert!(found(&[two, half, all]).starts_with("G1b"));
    let forgetful = committed(1, 2, vec![append(1, 10), read(1, &[])]);
    assert!(found(&[forgetful]).starts_with("internal"));
    assert!(found(&[committed(1, 2, vec![read(1, &[3])])]).starts_with("value from nowhere"));
    let (one, two) = (committed(1, 9, vec![append(1, 1)]), committed(2, 9, vec![append(1, 2)]));
    let (left, right) =
        (committed(3, 9, vec![read(1, &[1, 2])]), committed(4, 9, vec![read(1, &[2])]));
    assert!(found(&[one, two, left, right]).starts_with("incompatible order"));
}

#[test]
fn an_unanswered_transaction_happened_if_its_append_is_read() {
    let unknown = Transaction { end: End::Unknown, ..committed(1, 2, vec![append(1, 10)]) };
    let history =
        [unknown, committed(3, 4, vec![read(1, &[10])]), committed(5, 6, vec![read(1, &[])])];
    assert!(found(&history).contains("G-single-realtime"));
    assert_eq!(check(&history[..2]), Ok(()));
}
