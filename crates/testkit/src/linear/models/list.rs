//! One list that only grows: RPUSH of values never used twice, and LRANGE 0 -1.
//!
//! A state shares all but its last element with the state before it, so that ten thousand states of a
//! list of ten thousand elements cost one list:
//!
//! ```text
//!   [1] ◀── [1 2] ◀── [1 2 3]
//!              ▲───── [1 2 4]
//! ```

use std::fmt::{self, Debug, Formatter};
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use hashbrown::HashMap;

use crate::linear::{Model, Operation};

/// A list that is appended to and read whole.
#[derive(Clone, Copy, Debug)]
pub struct List;

/// What a list is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListOp {
    /// RPUSH of one value, used once in a history.
    Push(u64),
    /// LRANGE 0 -1.
    Range,
}

/// What a list answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListRet {
    /// To RPUSH.
    Len(usize),
    /// To LRANGE.
    Values(Vec<u64>),
}

/// The elements, newest first, shared with earlier states.
#[derive(Clone, Default)]
pub struct ListState {
    len: usize,
    /// Of all elements in order; equal lists have equal ones.
    fingerprint: u64,
    last: Option<Rc<Link>>,
}

struct Link {
    value: u64,
    before: Option<Rc<Self>>,
}

impl Drop for Link {
    /// Frees the chain in a loop: the compiler's recursion would exhaust the stack.
    fn drop(&mut self) {
        let mut next = self.before.take();
        while let Some(link) = next.and_then(Rc::into_inner) {
            next = { link }.before.take();
        }
    }
}

impl ListState {
    fn push(&self, value: u64) -> Self {
        let link = Link { value, before: self.last.clone() };
        let mixed = (self.fingerprint ^ value).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let fingerprint = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(31);
        Self { len: self.len + 1, fingerprint, last: Some(Rc::new(link)) }
    }

    /// The elements from the newest to the oldest.
    fn newest_first(&self) -> impl Iterator<Item = u64> {
        let links = std::iter::successors(self.last.as_deref(), |link| link.before.as_deref());
        links.map(|link| link.value)
    }

    fn holds(&self, values: &[u64]) -> bool {
        values.len() == self.len && self.newest_first().eq(values.iter().rev().copied())
    }

    fn values(&self) -> Vec<u64> {
        let mut values: Vec<_> = self.newest_first().collect();
        values.reverse();
        values
    }
}

impl PartialEq for ListState {
    fn eq(&self, other: &Self) -> bool {
        if (self.len, self.fingerprint) != (other.len, other.fingerprint) {
            return false;
        }
        let (mut left, mut right) = (&self.last, &other.last);
        while let (Some(one), Some(two)) = (left, right) {
            if Rc::ptr_eq(one, two) {
                return true;
            }
            if one.value != two.value {
                return false;
            }
            (left, right) = (&one.before, &two.before);
        }
        true
    }
}

impl Eq for ListState {}

impl Hash for ListState {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.fingerprint);
    }
}

impl Debug for ListState {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.values())
    }
}

impl Model for List {
    type State = ListState;
    type Op = ListOp;
    type Ret = ListRet;

    fn init() -> ListState {
        ListState::default()
    }

    fn apply(state: &ListState, op: &ListOp) -> (ListState, ListRet) {
        match op {
            ListOp::Push(value) => (state.push(*value), ListRet::Len(state.len + 1)),
            ListOp::Range => (state.clone(), ListRet::Values(state.values())),
        }
    }

    fn step(state: &ListState, op: &ListOp, ret: Option<&ListRet>) -> Option<ListState> {
        match (op, ret) {
            (ListOp::Push(value), None) => Some(state.push(*value)),
            (ListOp::Push(value), Some(ListRet::Len(len))) => {
                (*len == state.len + 1).then(|| state.push(*value))
            }
            (ListOp::Range, None) => Some(state.clone()),
            (ListOp::Range, Some(ListRet::Values(values))) => {
                state.holds(values).then(|| state.clone())
            }
            _ => None,
        }
    }

    fn reads_only(op: &ListOp, _ret: Option<&ListRet>) -> bool {
        *op == ListOp::Range
    }

    fn narrow(history: &mut [Operation<ListOp, ListRet>]) {
        let reads = Reads::of(history);
        for operation in history.iter_mut().filter(|operation| operation.is_pending()) {
            if let ListOp::Push(value) = operation.op {
                reads.narrow(value, operation);
            }
        }
    }
}

/// What the reads of a history tell about unanswered pushes.
struct Reads {
    /// For each value that was read: its index and the earliest answer that shows it.
    shown: HashMap<u64, (usize, u64)>,
    /// The latest call of any read.
    last_called: u64,
}

impl Reads {
    fn of(history: &[Operation<ListOp, ListRet>]) -> Self {
        let mut reads = Self { shown: HashMap::new(), last_called: 0 };
        for operation in history {
            if let Some(ListRet::Values(values)) = &operation.result {
                reads.last_called = reads.last_called.max(operation.invoked);
                reads.note(values, operation.returned);
            }
        }
        reads
    }

    fn note(&mut self, values: &[u64], returned: u64) {
        for (index, value) in values.iter().enumerate() {
            let shown = self.shown.entry(*value).or_insert((index, returned));
            shown.1 = shown.1.min(returned);
        }
    }

    /// A value that was read had been pushed by then, and its index tells the answer the client missed;
    /// a value that never was read was pushed, if at all, after the last read was called.
    fn narrow(&self, value: u64, operation: &mut Operation<ListOp, ListRet>) {
        match self.shown.get(&value) {
            Some((index, returned)) if *returned >= operation.invoked => {
                operation.result = Some(ListRet::Len(index + 1));
                operation.returned = *returned;
            }
            Some(_) => {}
            None => operation.invoked = operation.invoked.max(self.last_called),
        }
    }
}
