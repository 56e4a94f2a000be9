//! Is there an order? A linearizability checker in the manner of Wing and Gong, and of Lowe.
//!
//! A history tells which client asked what, when it asked, when it was answered and with what. It is
//! linearizable when every operation can be given one instant between its call and its answer so that
//! the answers are those of a plain sequential [`Model`].
//!
//! The search walks the answers in the order of time and linearizes just in time: an operation is put
//! in place only when it must return, preceded by as few others as will explain its answer.
//!
//! ```text
//!            ┌── SET 1 ──┐                  at this answer the open operations are SET 1, SET 2 and GET:
//!         ┌──────── SET 2 ────────┐         place GET alone, or SET 1 then GET, or SET 2 then GET, …
//!      ───────┌── GET → 2 ──┐─────────▶     until its answer comes out right, and walk on
//! ```
//!
//! A configuration is what the past comes down to: which open operations are placed, and the state. Each
//! is visited once. Three observations keep their number small:
//! - an open read whose answer is right is placed at once;
//! - an operation that never returned may be placed or not, so having spent fewer of those is never worse:
//!   of equal configurations only the thriftiest are followed;
//! - unanswered operations that are equal are spent in the order of their calls.
//!
//! Linearizability is local: keys that never meet in one operation are checked apart ([`check_each`]).
//!
//! Invariants: configurations at one answer agree on everything that returned before it; deeper answers
//! are tried first, and at one answer the configurations with fewer placed operations.

mod models;
mod report;
mod shrink;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;

use hashbrown::HashMap;
use smallvec::{SmallVec, smallvec};

pub use models::counter::{Counter, CounterOp};
pub use models::list::{List, ListOp, ListRet, ListState};
pub use models::register::{Register, RegisterOp, RegisterRet};
pub use models::set::{Set, SetOp, SetRet};
pub use models::store::{Store, StoreOp, StoreRet};
pub use report::Counterexample;

/// The `returned` stamp of an operation that was never answered: it may have happened, or happen later.
pub const PENDING: u64 = u64::MAX;

/// Configurations visited before a check gives up; a healthy history needs a few for each operation.
pub const CONFIGURATIONS_MAX: usize = 5_000_000;

/// One operation as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<O, R> {
    /// Who asked.
    pub client: u32,
    /// What was asked.
    pub op: O,
    /// The answer; `None` when there was none.
    pub result: Option<R>,
    /// When it was asked, in an order all clients share.
    pub invoked: u64,
    /// When the answer came, or [`PENDING`].
    pub returned: u64,
}

impl<O, R> Operation<O, R> {
    /// An operation with its answer.
    pub fn new(client: u32, op: O, result: R, invoked: u64, returned: u64) -> Self {
        assert!(invoked <= returned);
        Self { client, op, result: Some(result), invoked, returned }
    }

    /// An operation whose answer never came.
    pub fn unanswered(client: u32, op: O, invoked: u64) -> Self {
        Self { client, op, result: None, invoked, returned: PENDING }
    }

    /// Whether the answer never came.
    pub fn is_pending(&self) -> bool {
        self.returned == PENDING
    }
}

/// A sequential object: what one client alone would see.
pub trait Model {
    /// Everything the object remembers; cheap to clone and to compare.
    type State: Clone + Eq + Hash + Debug;
    /// What can be asked.
    type Op: Clone + PartialEq + Debug;
    /// What can be answered.
    type Ret: Clone + PartialEq + Debug;

    /// The object before the first operation.
    fn init() -> Self::State;

    /// The state after `op` and its answer, when `op` runs alone.
    fn apply(state: &Self::State, op: &Self::Op) -> (Self::State, Self::Ret);

    /// The state after `op`, or `None` when `op` could not have answered `ret` here. Without `ret` any
    /// answer will do. Models whose answers are large compare without building them.
    fn step(state: &Self::State, op: &Self::Op, ret: Option<&Self::Ret>) -> Option<Self::State> {
        let (next, answer) = Self::apply(state, op);
        ret.is_none_or(|ret| *ret == answer).then_some(next)
    }

    /// Whether `op`, having answered `ret`, cannot have changed the state, whatever that was.
    fn reads_only(op: &Self::Op, ret: Option<&Self::Ret>) -> bool;

    /// Narrows the intervals of unanswered operations where other answers give away when they happened.
    /// It must not change the verdict, only the work.
    fn narrow(_history: &mut [Operation<Self::Op, Self::Ret>]) {}
}

/// What a check found.
#[derive(Clone, Debug)]
pub enum Verdict<O, R> {
    /// An order exists.
    Linearizable,
    /// No order exists, and here is where every attempt ended.
    Violation(Box<Counterexample<O, R>>),
    /// The search was given up after this many configurations.
    Undecided(usize),
}

/// A history of a model's operations, in any order.
pub type History<M> = Vec<Operation<<M as Model>::Op, <M as Model>::Ret>>;

/// The verdict on a model's history.
pub type VerdictOf<M> = Verdict<<M as Model>::Op, <M as Model>::Ret>;

impl<O, R> Verdict<O, R> {
    /// Whether an order was found.
    pub fn is_linearizable(&self) -> bool {
        matches!(self, Self::Linearizable)
    }

    /// Whether it is certain that there is none.
    pub fn is_violation(&self) -> bool {
        matches!(self, Self::Violation(_))
    }
}

impl<O: Debug, R: Debug> Verdict<O, R> {
    /// Panics with the counterexample unless an order was found.
    #[track_caller]
    pub fn expect_linearizable(&self) {
        match self {
            Self::Linearizable => {}
            Self::Violation(found) => panic!("not linearizable\n{found}"),
            Self::Undecided(visited) => panic!("undecided after {visited} configurations"),
        }
    }
}

/// Decides whether one object's history is linearizable, and shrinks the counterexample if it is not.
pub fn check<M: Model>(history: &[Operation<M::Op, M::Ret>]) -> VerdictOf<M> {
    let mut narrowed = history.to_vec();
    M::narrow(&mut narrowed);
    match Search::<M>::new(&narrowed).run(CONFIGURATIONS_MAX) {
        Outcome::Found => Verdict::Linearizable,
        Outcome::GaveUp(visited) => Verdict::Undecided(visited),
        Outcome::Stuck(stuck) => Verdict::Violation(Box::new(shrink::shrink::<M>(narrowed, stuck))),
    }
}

/// Checks each key's part of a history by itself; the first part that is not linearizable is returned
/// with its key.
pub fn check_each<M: Model, K: Hash + Eq>(
    history: &[Operation<M::Op, M::Ret>],
    key: impl Fn(&M::Op) -> K,
) -> Result<(), (K, VerdictOf<M>)> {
    let mut parts: HashMap<K, History<M>> = HashMap::new();
    for operation in history {
        parts.entry(key(&operation.op)).or_default().push(operation.clone());
    }
    for (key, part) in parts {
        let verdict = check::<M>(&part);
        if !verdict.is_linearizable() {
            return Err((key, verdict));
        }
    }
    Ok(())
}

fn is_read<M: Model>(operation: &Operation<M::Op, M::Ret>) -> bool {
    M::reads_only(&operation.op, operation.result.as_ref())
}

/// A set of small numbers: slots of open operations, or unanswered operations.
type Bits = SmallVec<[u64; 2]>;

fn has(bits: &Bits, index: usize) -> bool {
    bits[index / 64] >> (index % 64) & 1 == 1
}

fn flip(bits: &mut Bits, index: usize) {
    bits[index / 64] ^= 1 << (index % 64);
}

fn is_subset(left: &Bits, right: &Bits) -> bool {
    left.iter().zip(right).all(|(left, right)| left & !right == 0)
}

/// An operation that is open at some answer, and the bit that stands for it while it is.
#[derive(Clone, Copy, Debug)]
struct Open {
    operation: usize,
    slot: usize,
}

/// One answer in the order of time, with what could be placed just before it.
#[derive(Debug)]
struct Answer {
    target: Open,
    open: Vec<Open>,
    pending_called: usize,
}

/// The history laid out for the search.
#[derive(Debug)]
struct Timeline {
    answers: Vec<Answer>,
    /// Operations without an answer, in the order of their calls.
    pending: Vec<usize>,
    /// For each of `pending`, the one before it that asked the same.
    twin: Vec<Option<usize>>,
    slots: usize,
}

impl Timeline {
    fn new<M: Model>(history: &[Operation<M::Op, M::Ret>]) -> Self {
        let mut line =
            Self { answers: Vec::new(), pending: Vec::new(), twin: Vec::new(), slots: 0 };
        let mut open: Vec<Open> = Vec::new();
        for (_, returns, operation) in events(history) {
            if returns {
                line.answer(operation, &mut open);
            } else if !history[operation].is_pending() {
                let slot = line.free_slot(&open);
                open.push(Open { operation, slot });
            } else if !is_read::<M>(&history[operation]) {
                line.call_pending::<M>(history, operation);
            }
        }
        line
    }

    fn answer(&mut self, operation: usize, open: &mut Vec<Open>) {
        let place = open
            .iter()
            .position(|open| open.operation == operation)
            .expect("a call comes before its answer");
        let target = open[place];
        self.answers.push(Answer {
            target,
            open: open.clone(),
            pending_called: self.pending.len(),
        });
        open.remove(place);
    }

    fn free_slot(&mut self, open: &[Open]) -> usize {
        let slot = (0..=open.len()).find(|slot| open.iter().all(|open| open.slot != *slot));
        let slot = slot.expect("one more slot than open operations");
        self.slots = self.slots.max(slot + 1);
        slot
    }

    fn call_pending<M: Model>(&mut self, history: &[Operation<M::Op, M::Ret>], operation: usize) {
        let same = |other: &usize| history[*other].op == history[operation].op;
        self.twin.push(self.pending.iter().rposition(same));
        self.pending.push(operation);
    }
}

/// Calls and answers in the order of time; at one stamp calls come first, which forgives coarse clocks.
fn events<O, R>(history: &[Operation<O, R>]) -> Vec<(u64, bool, usize)> {
    let mut events = Vec::with_capacity(history.len() * 2);
    for (index, operation) in history.iter().enumerate() {
        events.push((operation.invoked, false, index));
        if !operation.is_pending() {
            events.push((operation.returned, true, index));
        }
    }
    events.sort_unstable();
    events
}

/// A point of the search: everything that returned before answer `at` is placed, and so are `placed` of
/// the open operations and `spent` of the unanswered ones.
#[derive(Clone, Debug)]
struct Node<S> {
    at: usize,
    placed: Bits,
    spent: Bits,
    state: S,
    /// Whether placing the answer's own operation was tried already.
    tried: bool,
}

/// How a search ended.
#[derive(Debug)]
enum Outcome {
    Found,
    GaveUp(usize),
    Stuck(Stuck),
}

/// The answer nothing explains, and the states in which it was tried.
#[derive(Clone, Debug)]
struct Stuck {
    operation: usize,
    /// The state, and the open or unanswered operations placed already.
    tried: Vec<(String, Vec<usize>)>,
}

type Seen<S> = HashMap<(Bits, S), SmallVec<[Bits; 1]>>;

struct Search<'a, M: Model> {
    history: &'a [Operation<M::Op, M::Ret>],
    line: Timeline,
    /// For each answer, the configurations visited there and the thriftiest ways to them.
    seen: Vec<Seen<M::State>>,
    /// Configurations to visit, by answer.
    waiting: BTreeMap<usize, VecDeque<Node<M::State>>>,
    visited: usize,
}

impl<'a, M: Model> Search<'a, M> {
    fn new(history: &'a [Operation<M::Op, M::Ret>]) -> Self {
        let line = Timeline::new::<M>(history);
        let seen = line.answers.iter().map(|_| HashMap::new()).collect();
        Self { history, line, seen, waiting: BTreeMap::new(), visited: 0 }
    }

    fn run(mut self, configurations_max: usize) -> Outcome {
        self.wait(self.root());
        while let Some(mut node) = self.next() {
            if node.tried {
                self.place_another(&node);
                continue;
            }
            if self.settle(&mut node) {
                return Outcome::Found;
            }
            if self.admit(&node) && self.visited > configurations_max {
                return Outcome::GaveUp(self.visited);
            }
        }
        Outcome::Stuck(self.stuck())
    }

    fn root(&self) -> Node<M::State> {
        let words = |bits: usize| smallvec![0; bits.div_ceil(64).max(1)];
        let (placed, spent) = (words(self.line.slots), words(self.line.pending.len()));
        Node { at: 0, placed, spent, state: M::init(), tried: false }
    }

    fn wait(&mut self, node: Node<M::State>) {
        self.waiting.entry(node.at).or_default().push_back(node);
    }

    /// The waiting configuration at the deepest answer that has been there longest.
    fn next(&mut self) -> Option<Node<M::State>> {
        let mut deepest = self.waiting.last_entry()?;
        let node = deepest.get_mut().pop_front();
        if deepest.get().is_empty() {
            deepest.remove();
        }
        node
    }

    /// Places what costs nothing and passes the answers that are explained; true when none is left.
    fn settle(&self, node: &mut Node<M::State>) -> bool {
        while let Some(answer) = self.line.answers.get(node.at) {
            self.place_readers(answer, node);
            if !has(&node.placed, answer.target.slot) {
                return false;
            }
            flip(&mut node.placed, answer.target.slot);
            node.at += 1;
        }
        true
    }

    fn place_readers(&self, answer: &Answer, node: &mut Node<M::State>) {
        for open in &answer.open {
            if !has(&node.placed, open.slot)
                && is_read::<M>(&self.history[open.operation])
                && self.step(&node.state, open.operation).is_some()
            {
                flip(&mut node.placed, open.slot);
            }
        }
    }

    fn step(&self, state: &M::State, operation: usize) -> Option<M::State> {
        let operation = &self.history[operation];
        M::step(state, &operation.op, operation.result.as_ref())
    }

    /// Follows a configuration unless one at least as good was followed before.
    fn admit(&mut self, node: &Node<M::State>) -> bool {
        let key = (node.placed.clone(), node.state.clone());
        let ways = self.seen[node.at].entry(key).or_default();
        if ways.iter().any(|way| is_subset(way, &node.spent)) {
            return false;
        }
        ways.retain(|way| !is_subset(&node.spent, way));
        ways.push(node.spent.clone());
        self.visited += 1;
        self.place_target(node);
        true
    }

    /// Tries the shortest explanation first: the answer's operation by itself.
    fn place_target(&mut self, node: &Node<M::State>) {
        let target = self.line.answers[node.at].target;
        let Some(state) = self.step(&node.state, target.operation) else {
            return self.place_another(node);
        };
        let mut placed = node.placed.clone();
        flip(&mut placed, target.slot);
        self.wait(Node { placed, state, ..node.clone() });
        self.wait(Node { tried: true, ..node.clone() });
    }

    /// Tries every other operation that could come before the answer's.
    fn place_another(&mut self, node: &Node<M::State>) {
        let mut next = Vec::new();
        self.open_steps(node, &mut next);
        self.pending_steps(node, &mut next);
        for node in next {
            self.wait(node);
        }
    }

    fn open_steps(&self, node: &Node<M::State>, next: &mut Vec<Node<M::State>>) {
        let answer = &self.line.answers[node.at];
        let others = answer.open.iter().filter(|open| open.slot != answer.target.slot);
        for open in others.filter(|open| !has(&node.placed, open.slot)) {
            if let Some(state) = self.step(&node.state, open.operation) {
                let mut placed = node.placed.clone();
                flip(&mut placed, open.slot);
                next.push(Node { placed, state, tried: false, ..node.clone() });
            }
        }
    }

    fn pending_steps(&self, node: &Node<M::State>, next: &mut Vec<Node<M::State>>) {
        for index in 0..self.line.answers[node.at].pending_called {
            let waits = self.line.twin[index].is_some_and(|twin| !has(&node.spent, twin));
            if waits || has(&node.spent, index) {
                continue;
            }
            if let Some(state) = self.step(&node.state, self.line.pending[index])
                && state != node.state
            {
                let mut spent = node.spent.clone();
                flip(&mut spent, index);
                next.push(Node { spent, state, tried: false, ..node.clone() });
            }
        }
    }

    /// The deepest answer that was reached, and what was tried there.
    fn stuck(&self) -> Stuck {
        let at = self.seen.iter().rposition(|seen| !seen.is_empty());
        let at = at.expect("the first answer is always reached");
        let tried = self.seen[at].iter().map(|((placed, state), ways)| {
            (format!("{state:?}"), self.placed_at(at, placed, &ways[0]))
        });
        Stuck { operation: self.line.answers[at].target.operation, tried: tried.collect() }
    }

    fn placed_at(&self, at: usize, placed: &Bits, spent: &Bits) -> Vec<usize> {
        let open = self.line.answers[at].open.iter();
        let open = open.filter(|open| has(placed, open.slot)).map(|open| open.operation);
        let pending = (0..self.line.pending.len()).filter(|index| has(spent, *index));
        open.chain(pending.map(|index| self.line.pending[index])).collect()
    }
}
