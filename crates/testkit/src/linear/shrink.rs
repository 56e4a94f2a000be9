//! From a history that is wrong to a part of it that a person can read.
//!
//! Two reductions are sound: forget what was called after the answer that nothing explains, and forget
//! reads. A write cannot be forgotten, since another answer may show it.

use super::report::Counterexample;
use super::{Model, Operation, Outcome, PENDING, Search, Stuck, is_read};

/// Searches spent on making the counterexample shorter.
const ATTEMPTS_MAX: usize = 64;

/// Configurations one such search may visit; an attempt that needs more is dropped.
const CONFIGURATIONS_MAX: usize = 50_000;

type Part<M> = Vec<Operation<<M as Model>::Op, <M as Model>::Ret>>;

/// The shortest counterexample that a bounded number of searches finds.
pub(super) fn shrink<M: Model>(history: Part<M>, stuck: Stuck) -> Counterexample<M::Op, M::Ret> {
    let end = history[stuck.operation].returned;
    let mut best = (history, stuck);
    let mut attempts = 0;
    try_part::<M>(until(&best.0, end), &mut best, &mut attempts);
    drop_early_reads::<M>(&mut best, &mut attempts);
    drop_single_reads::<M>(&mut best, &mut attempts);
    Counterexample::new(&best.0, &best.1)
}

/// What had been called by `end`; what had not returned by then counts as unanswered.
fn until<O: Clone, R: Clone>(history: &[Operation<O, R>], end: u64) -> Vec<Operation<O, R>> {
    let called = history.iter().filter(|operation| operation.invoked <= end);
    let cut = |operation: &Operation<O, R>| {
        let mut operation = operation.clone();
        if operation.returned > end {
            operation.returned = PENDING;
            operation.result = None;
        }
        operation
    };
    called.map(cut).collect()
}

fn try_part<M: Model>(part: Part<M>, best: &mut (Part<M>, Stuck), attempts: &mut usize) -> bool {
    *attempts += 1;
    match Search::<M>::new(&part).run(CONFIGURATIONS_MAX) {
        Outcome::Stuck(stuck) => {
            *best = (part, stuck);
            true
        }
        Outcome::Found | Outcome::GaveUp(_) => false,
    }
}

/// Bisects for the latest stamp before which no read is needed.
fn drop_early_reads<M: Model>(best: &mut (Part<M>, Stuck), attempts: &mut usize) {
    let (mut low, mut high) = (0, best.0[best.1.operation].invoked);
    while low < high && *attempts < ATTEMPTS_MAX / 2 {
        let middle = low + (high - low).div_ceil(2);
        let needed = |one: &Operation<M::Op, M::Ret>| one.invoked >= middle || !is_read::<M>(one);
        let part = best.0.iter().filter(|one| needed(one)).cloned().collect();
        if try_part::<M>(part, best, attempts) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
}

fn drop_single_reads<M: Model>(best: &mut (Part<M>, Stuck), attempts: &mut usize) {
    let mut index = 0;
    while index < best.0.len() && *attempts < ATTEMPTS_MAX {
        let mut part = best.0.clone();
        let droppable = is_read::<M>(&part.remove(index));
        if !droppable || !try_part::<M>(part, best, attempts) {
            index += 1;
        }
    }
}
