//! The checker accepts what an atomic store does, and objects to three planted bugs (LIN-3).

use super::*;
use crate::random::Random;
use crate::simulation::{Fault, simulate};

const SEEDS: u64 = 50;

fn register_op(random: &mut Random, serial: u64) -> RegisterOp {
    match random.below(10) {
        0..=3 => RegisterOp::Set(serial),
        4..=7 => RegisterOp::Get,
        8 => RegisterOp::GetSet(serial),
        _ => RegisterOp::Del,
    }
}

fn counter_op(random: &mut Random, _serial: u64) -> CounterOp {
    if random.percent(70) { CounterOp::Incr(1) } else { CounterOp::Get }
}

fn list_op(random: &mut Random, serial: u64) -> ListOp {
    if random.percent(70) { ListOp::Push(serial) } else { ListOp::Range }
}

fn set_op(random: &mut Random, _serial: u64) -> SetOp {
    let member = random.below(6);
    match random.below(8) {
        0..=2 => SetOp::Add(member),
        3..=4 => SetOp::Remove(member),
        5..=6 => SetOp::Contains(member),
        _ => SetOp::Members,
    }
}

fn store_op(random: &mut Random, serial: u64) -> Vec<StoreOp> {
    let (left, right) = (random.below(4), random.below(4));
    match random.below(8) {
        0..=1 => vec![StoreOp::Set(left, serial as i64), StoreOp::Set(right, -(serial as i64))],
        2..=4 => vec![StoreOp::Get(0), StoreOp::Get(1), StoreOp::Get(2), StoreOp::Get(3)],
        5 => vec![StoreOp::Rename(left, right)],
        6 => vec![StoreOp::Incr(left, 1), StoreOp::Get(right), StoreOp::Del(left)],
        _ => vec![StoreOp::Swap(left, right)],
    }
}

type Make<M> = fn(&mut Random, u64) -> <M as Model>::Op;

fn accepts<M: Model>(make: Make<M>, fault: Fault) {
    for seed in 0..SEEDS {
        let history = simulate::<M>(seed, 8, 300, fault, make);
        let verdict = check::<M>(&history);
        assert!(verdict.is_linearizable(), "seed {seed}: {}", show(&verdict));
    }
}

fn objects<M: Model>(make: Make<M>, fault: Fault) {
    for seed in 0..SEEDS {
        let history = simulate::<M>(seed, 8, 400, fault, make);
        let verdict = check::<M>(&history);
        assert!(verdict.is_violation(), "seed {seed}: {}", show(&verdict));
    }
}

fn show<O: Debug, R: Debug>(verdict: &Verdict<O, R>) -> String {
    match verdict {
        Verdict::Violation(found) => found.to_string(),
        _ => format!("{verdict:?}"),
    }
}

#[test]
fn atomic_histories_are_accepted() {
    accepts::<Register>(register_op, Fault::None);
    accepts::<Counter>(counter_op, Fault::None);
    accepts::<List>(list_op, Fault::None);
    accepts::<Set>(set_op, Fault::None);
    accepts::<Store>(store_op, Fault::None);
}

#[test]
fn operations_that_were_never_answered_may_or_may_not_have_happened() {
    accepts::<Register>(register_op, Fault::Unanswered);
    accepts::<Counter>(counter_op, Fault::Unanswered);
    accepts::<List>(list_op, Fault::Unanswered);
    accepts::<Set>(set_op, Fault::Unanswered);
}

#[test]
fn lin_3_a_stale_read_is_found() {
    objects::<Register>(register_op, Fault::StaleRead);
    objects::<List>(list_op, Fault::StaleRead);
}

#[test]
fn lin_3_a_lost_update_is_found() {
    objects::<Counter>(counter_op, Fault::LostUpdate);
    objects::<List>(list_op, Fault::LostUpdate);
}

#[test]
fn lin_3_a_torn_multi_is_found() {
    for seed in 0..SEEDS {
        let history = crate::simulation::torn_store(seed, 8, 400);
        let verdict = check::<Store>(&history);
        assert!(verdict.is_violation(), "seed {seed}: {}", show(&verdict));
    }
}

#[test]
fn ten_thousand_operations_of_eight_clients_take_moments() {
    let begin = std::time::Instant::now();
    let register = simulate::<Register>(1, 8, 10_000, Fault::None, register_op);
    check::<Register>(&register).expect_linearizable();
    let counter = simulate::<Counter>(2, 8, 10_000, Fault::Unanswered, counter_op);
    check::<Counter>(&counter).expect_linearizable();
    let list = simulate::<List>(3, 8, 10_000, Fault::Unanswered, list_op);
    check::<List>(&list).expect_linearizable();
    let store = simulate::<Store>(4, 8, 10_000, Fault::None, store_op);
    check::<Store>(&store).expect_linearizable();
    println!("40,000 operations took {:?}", begin.elapsed());
}

#[test]
fn the_exhaustive_search_agrees_on_small_histories() {
    let mut random = Random::new(5);
    let mut verdicts = [0, 0];
    for _ in 0..3_000 {
        let history = noise(&mut random);
        let expected = brute_force(&history, &mut vec![false; history.len()], None);
        assert_eq!(check::<Register>(&history).is_linearizable(), expected, "{history:#?}");
        verdicts[usize::from(expected)] += 1;
    }
    assert!(verdicts.iter().all(|count| *count > 300), "{verdicts:?}");
}

/// Up to seven operations with arbitrary intervals and mostly plausible answers.
fn noise(random: &mut Random) -> History<Register> {
    let len = 2 + random.below(6);
    (0..len)
        .map(|client| {
            let invoked = random.below(20);
            let returned = invoked + 1 + random.below(12);
            let (op, result) = match random.below(4) {
                0 => (RegisterOp::Set(random.below(3)), RegisterRet::Done),
                1 => (RegisterOp::GetSet(random.below(3)), guess(random)),
                _ => (RegisterOp::Get, guess(random)),
            };
            if random.percent(20) {
                return Operation::unanswered(client as u32, op, invoked);
            }
            Operation::new(client as u32, op, result, invoked, returned)
        })
        .collect()
}

fn guess(random: &mut Random) -> RegisterRet {
    RegisterRet::Value(Some(random.below(4)).filter(|value| *value < 3))
}

/// Tries every order of every subset that contains all answered operations.
fn brute_force(history: &History<Register>, placed: &mut Vec<bool>, state: Option<u64>) -> bool {
    let open = (0..history.len()).filter(|index| !placed[*index]).collect::<Vec<_>>();
    if open.iter().all(|index| history[*index].is_pending()) {
        return true;
    }
    let first_return = open.iter().map(|index| history[*index].returned).min();
    for index in open {
        let one = &history[index];
        if Some(one.invoked) > first_return {
            continue;
        }
        if let Some(next) = Register::step(&state, &one.op, one.result.as_ref()) {
            placed[index] = true;
            let found = brute_force(history, placed, next);
            placed[index] = false;
            if found {
                return true;
            }
        }
    }
    false
}

#[test]
fn keys_are_checked_apart() {
    let read = |key: u64, value, at| {
        Operation::new(0, (key, RegisterOp::Get), RegisterRet::Value(value), at, at + 1)
    };
    let history = vec![read(1, None, 1), read(2, Some(7), 3)];
    let (key, verdict) =
        check_each::<Keyed, u64>(&history, |op| op.0).expect_err("7 was never written");
    assert_eq!(key, 2);
    assert!(verdict.is_violation());
    assert!(check_each::<Keyed, u64>(&history[..1], |op| op.0).is_ok());
}

/// A register whose operations carry their key.
struct Keyed;

impl Model for Keyed {
    type State = Option<u64>;
    type Op = (u64, RegisterOp);
    type Ret = RegisterRet;

    fn init() -> Option<u64> {
        None
    }

    fn apply(state: &Option<u64>, op: &Self::Op) -> (Option<u64>, RegisterRet) {
        Register::apply(state, &op.1)
    }

    fn reads_only(op: &Self::Op, ret: Option<&RegisterRet>) -> bool {
        Register::reads_only(&op.1, ret)
    }
}

#[test]
fn a_counterexample_shows_what_cannot_be_ordered() {
    let set = |value, at| Operation::new(0, RegisterOp::Set(value), RegisterRet::Done, at, at + 1);
    let get =
        |value, at| Operation::new(1, RegisterOp::Get, RegisterRet::Value(Some(value)), at, at + 1);
    let history =
        vec![set(1, 1), get(1, 3), get(1, 5), set(2, 7), get(2, 9), get(1, 11), get(2, 13)];
    let Verdict::Violation(found) = check::<Register>(&history) else {
        panic!("1 was overwritten")
    };
    assert_eq!(found.window.len(), 3, "the reads that agree are left out:\n{found}");
    let text = found.to_string();
    assert!(text.contains("no order explains client 1: Get -> Value(Some(1))"), "{text}");
    assert!(text.contains("it was tried in 1 states:\n  Some(2)"), "{text}");
}
