//! One string: SET, GET, GETSET and DEL. Write each value once, or a stale read may go unnoticed.

use crate::linear::Model;

/// A string that may be absent.
#[derive(Clone, Copy, Debug)]
pub struct Register;

/// What a register is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterOp {
    /// SET.
    Set(u64),
    /// GET.
    Get,
    /// GETSET, or SET … GET.
    GetSet(u64),
    /// DEL.
    Del,
}

/// What a register answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterRet {
    /// To SET.
    Done,
    /// To GET and GETSET: the value before.
    Value(Option<u64>),
    /// To DEL: whether there was a value.
    Deleted(bool),
}

impl Model for Register {
    type State = Option<u64>;
    type Op = RegisterOp;
    type Ret = RegisterRet;

    fn init() -> Option<u64> {
        None
    }

    fn apply(state: &Option<u64>, op: &RegisterOp) -> (Option<u64>, RegisterRet) {
        match op {
            RegisterOp::Set(value) => (Some(*value), RegisterRet::Done),
            RegisterOp::Get => (*state, RegisterRet::Value(*state)),
            RegisterOp::GetSet(value) => (Some(*value), RegisterRet::Value(*state)),
            RegisterOp::Del => (None, RegisterRet::Deleted(state.is_some())),
        }
    }

    fn reads_only(op: &RegisterOp, ret: Option<&RegisterRet>) -> bool {
        *op == RegisterOp::Get || ret == Some(&RegisterRet::Deleted(false))
    }
}
