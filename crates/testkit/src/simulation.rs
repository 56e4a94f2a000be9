//! A store simulated step by step, correct or with one planted bug, to check the checkers with.
//!
//! Clients take turns at random; each calls, takes effect and returns in three separate turns, so that
//! intervals overlap in every way. Faults change the turn in the middle.

use std::collections::VecDeque;

use crate::linear::{History, Model, Operation, PENDING, Store, StoreOp, StoreRet};
use crate::random::Random;

/// What is wrong with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// One call in a hundred is never answered, and took effect or did not.
    Unanswered,
    /// One read in ten sees the state of a while ago.
    StaleRead,
    /// Some writes read at their first turn and write at their second, over what came between.
    LostUpdate,
}

/// Effects after which a stale read is really stale.
const STALE_EFFECTS: usize = 40;

/// Where a client is within its operation.
enum Phase<R> {
    Called,
    Effective(R),
}

struct Client<M: Model> {
    id: u32,
    current: Option<(usize, Phase<M::Ret>)>,
    /// What a write that loses updates read at its first turn.
    read: Option<M::State>,
}

struct Simulation<M: Model> {
    random: Random,
    fault: Fault,
    clients: Vec<Client<M>>,
    state: M::State,
    /// States of the last effects, oldest first.
    past: VecDeque<M::State>,
    history: History<M>,
    clock: u64,
    next_id: u32,
}

/// A history of `len` operations.
pub(crate) fn simulate<M: Model>(
    seed: u64,
    clients: u32,
    len: usize,
    fault: Fault,
    make: impl Fn(&mut Random, u64) -> M::Op,
) -> History<M> {
    let client = |id| Client { id, current: None, read: None };
    let mut simulation = Simulation::<M> {
        random: Random::new(seed),
        fault,
        clients: (0..clients).map(client).collect(),
        state: M::init(),
        past: VecDeque::new(),
        history: Vec::new(),
        clock: 0,
        next_id: clients,
    };
    while simulation.history.len() < len
        || simulation.clients.iter().any(|one| one.current.is_some())
    {
        simulation.turn(len, &make);
    }
    simulation.history
}

impl<M: Model> Simulation<M> {
    fn turn(&mut self, len: usize, make: &impl Fn(&mut Random, u64) -> M::Op) {
        self.clock += 1;
        let client = self.random.below(self.clients.len() as u64) as usize;
        match self.clients[client].current.take() {
            None if self.history.len() >= len => {}
            None => self.call(client, make),
            Some((index, phase)) if self.fault == Fault::Unanswered && self.random.percent(1) => {
                self.abandon(client, index, matches!(phase, Phase::Called));
            }
            Some((index, Phase::Called)) => self.effect(client, index),
            Some((index, Phase::Effective(ret))) => {
                self.history[index].result = Some(ret);
                self.history[index].returned = self.clock;
            }
        }
    }

    fn call(&mut self, client: usize, make: &impl Fn(&mut Random, u64) -> M::Op) {
        let index = self.history.len();
        let op = make(&mut self.random, index as u64 + 1);
        let id = self.clients[client].id;
        self.history.push(Operation::unanswered(id, op, self.clock));
        self.clients[client].current = Some((index, Phase::Called));
    }

    /// The client gives up, at times after its operation took effect, and comes back under a new name.
    fn abandon(&mut self, client: usize, index: usize, untouched: bool) {
        if untouched && self.random.percent(50) {
            self.effect(client, index);
        }
        assert!(self.history[index].returned == PENDING);
        self.clients[client].current = None;
        self.clients[client].id = self.next_id;
        self.next_id += 1;
    }

    fn effect(&mut self, client: usize, index: usize) {
        let op = self.history[index].op.clone();
        let reads = M::reads_only(&op, None);
        if self.fault == Fault::LostUpdate && !reads && self.defer(client, index) {
            return;
        }
        let stale = self.fault == Fault::StaleRead && reads && self.random.percent(10);
        let before = match self.clients[client].read.take() {
            Some(read) => read,
            None if stale && self.past.len() == STALE_EFFECTS => self.past[0].clone(),
            None => self.state.clone(),
        };
        let (next, ret) = M::apply(&before, &op);
        if !reads {
            self.advance(next);
        }
        self.clients[client].current = Some((index, Phase::Effective(ret)));
    }

    /// Whether this write only reads now, to write at its next turn.
    fn defer(&mut self, client: usize, index: usize) -> bool {
        if self.clients[client].read.is_some() || !self.random.percent(50) {
            return false;
        }
        self.clients[client].read = Some(self.state.clone());
        self.clients[client].current = Some((index, Phase::Called));
        true
    }

    fn advance(&mut self, next: M::State) {
        if self.past.len() == STALE_EFFECTS {
            self.past.pop_front();
        }
        let before = std::mem::replace(&mut self.state, next);
        self.past.push_back(before);
    }
}

/// A store of two keys that are always written together to the same value, in two turns instead of one.
pub(crate) fn torn_store(seed: u64, clients: u32, len: usize) -> History<Store> {
    let torn = simulate::<Halves>(seed, clients, len, Fault::None, |random, serial| {
        (random.percent(40).then_some(serial as i64), random.percent(50))
    });
    torn.into_iter().map(whole).collect()
}

/// The two keys as they are seen between the turns: a writer whose half is done leaves the other half to
/// the next operation, whoever's that is.
struct Halves;

impl Model for Halves {
    type State = (Option<i64>, Option<i64>);
    type Op = (Option<i64>, bool);
    type Ret = (Option<i64>, Option<i64>);

    fn init() -> Self::State {
        (None, None)
    }

    fn apply(state: &Self::State, op: &Self::Op) -> (Self::State, Self::Ret) {
        let caught_up = (state.0, state.0);
        match op {
            (Some(value), true) => (((*value).into(), state.0), *state),
            (Some(value), false) => ((Some(*value), Some(*value)), *state),
            (None, true) => (caught_up, caught_up),
            (None, false) => (caught_up, *state),
        }
    }

    fn reads_only(_op: &Self::Op, _ret: Option<&Self::Ret>) -> bool {
        false
    }
}

/// A model's operation.
type OperationOf<M> = Operation<<M as Model>::Op, <M as Model>::Ret>;

fn whole(half: OperationOf<Halves>) -> OperationOf<Store> {
    let ret = half.result.expect("every operation returned");
    let (op, result) = match half.op.0 {
        Some(value) => {
            (vec![StoreOp::Set(0, value), StoreOp::Set(1, value)], vec![StoreRet::Done; 2])
        }
        None => (
            vec![StoreOp::Get(0), StoreOp::Get(1)],
            vec![StoreRet::Value(ret.0), StoreRet::Value(ret.1)],
        ),
    };
    Operation::new(half.client, op, Some(result), half.invoked, half.returned)
}
