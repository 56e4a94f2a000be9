//! Several keys under atomic operations: MULTI/EXEC, MSET, MGET, RENAME and swaps.
//!
//! An operation is a list of steps that happen at one instant; MSET is a list of `Set`, MGET a list of
//! `Get`. All keys are one partition, since any operation may tie them together.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::linear::Model;

/// Numbered keys that hold numbers.
#[derive(Clone, Copy, Debug)]
pub struct Store;

/// One step of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreOp {
    /// GET key.
    Get(u64),
    /// SET key value.
    Set(u64, i64),
    /// INCRBY key by.
    Incr(u64, i64),
    /// DEL key.
    Del(u64),
    /// RENAME source target.
    Rename(u64, u64),
    /// Exchanges what two keys hold.
    Swap(u64, u64),
}

/// The answer to one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreRet {
    /// To SET, RENAME and swaps.
    Done,
    /// To GET.
    Value(Option<i64>),
    /// To INCRBY the value afterwards, to DEL how many keys went.
    Number(i64),
    /// To RENAME of a key that is absent.
    NoSuchKey,
}

type Keys = Rc<BTreeMap<u64, i64>>;

impl Model for Store {
    type State = Keys;
    type Op = Vec<StoreOp>;
    /// `None` is EXEC's nil: a watched key had changed, and nothing was done.
    type Ret = Option<Vec<StoreRet>>;

    fn init() -> Keys {
        Rc::default()
    }

    fn apply(state: &Keys, op: &Self::Op) -> (Keys, Self::Ret) {
        let mut next = Rc::clone(state);
        let answers = op.iter().map(|step| perform(&mut next, *step)).collect();
        (next, Some(answers))
    }

    fn step(state: &Keys, op: &Self::Op, ret: Option<&Self::Ret>) -> Option<Keys> {
        if ret == Some(&None) {
            return Some(Rc::clone(state));
        }
        let (next, answers) = Self::apply(state, op);
        ret.is_none_or(|ret| *ret == answers).then_some(next)
    }

    fn reads_only(op: &Self::Op, ret: Option<&Self::Ret>) -> bool {
        ret == Some(&None) || op.iter().all(|step| matches!(step, StoreOp::Get(_)))
    }
}

fn perform(keys: &mut Keys, step: StoreOp) -> StoreRet {
    match step {
        StoreOp::Get(key) => StoreRet::Value(keys.get(&key).copied()),
        StoreOp::Set(key, value) => {
            Rc::make_mut(keys).insert(key, value);
            StoreRet::Done
        }
        StoreOp::Incr(key, by) => {
            let value = Rc::make_mut(keys).entry(key).or_insert(0);
            *value += by;
            StoreRet::Number(*value)
        }
        StoreOp::Del(key) => {
            StoreRet::Number(Rc::make_mut(keys).remove(&key).into_iter().count() as i64)
        }
        StoreOp::Rename(source, target) => rename(Rc::make_mut(keys), source, target),
        StoreOp::Swap(left, right) => swap(Rc::make_mut(keys), left, right),
    }
}

fn rename(keys: &mut BTreeMap<u64, i64>, source: u64, target: u64) -> StoreRet {
    let Some(value) = keys.remove(&source) else { return StoreRet::NoSuchKey };
    keys.insert(target, value);
    StoreRet::Done
}

fn swap(keys: &mut BTreeMap<u64, i64>, left: u64, right: u64) -> StoreRet {
    let (from_left, from_right) = (keys.remove(&left), keys.remove(&right));
    if let Some(value) = from_left {
        keys.insert(right, value);
    }
    if let Some(value) = from_right {
        keys.insert(left, value);
    }
    StoreRet::Done
}
