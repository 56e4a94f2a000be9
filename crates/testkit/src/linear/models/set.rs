//! One set of numbers: SADD, SREM, SISMEMBER and SMEMBERS. Meant for few distinct members.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::linear::Model;

/// A set of numbers, empty at first.
#[derive(Clone, Copy, Debug)]
pub struct Set;

/// What a set is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOp {
    /// SADD of one member.
    Add(u64),
    /// SREM of one member.
    Remove(u64),
    /// SISMEMBER.
    Contains(u64),
    /// SMEMBERS.
    Members,
}

/// What a set answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetRet {
    /// To SADD and SREM whether anything changed, to SISMEMBER whether it is there.
    Flag(bool),
    /// To SMEMBERS, whatever the order on the wire.
    Members(BTreeSet<u64>),
}

impl Model for Set {
    type State = Rc<BTreeSet<u64>>;
    type Op = SetOp;
    type Ret = SetRet;

    fn init() -> Self::State {
        Rc::default()
    }

    fn apply(state: &Self::State, op: &SetOp) -> (Self::State, SetRet) {
        let mut next = Rc::clone(state);
        let answer = match op {
            SetOp::Add(member) if state.contains(member) => SetRet::Flag(false),
            SetOp::Add(member) => SetRet::Flag(Rc::make_mut(&mut next).insert(*member)),
            SetOp::Remove(member) if !state.contains(member) => SetRet::Flag(false),
            SetOp::Remove(member) => SetRet::Flag(Rc::make_mut(&mut next).remove(member)),
            SetOp::Contains(member) => SetRet::Flag(state.contains(member)),
            SetOp::Members => SetRet::Members(BTreeSet::clone(state)),
        };
        (next, answer)
    }

    fn reads_only(op: &SetOp, ret: Option<&SetRet>) -> bool {
        matches!(op, SetOp::Contains(_) | SetOp::Members) || ret == Some(&SetRet::Flag(false))
    }
}
