//! One counter: INCRBY and GET. An absent key counts as zero.

use crate::linear::Model;

/// A number that starts at zero.
#[derive(Clone, Copy, Debug)]
pub struct Counter;

/// What a counter is asked; it answers with its value afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterOp {
    /// INCRBY; INCR is `Incr(1)`, DECR is `Incr(-1)`.
    Incr(i64),
    /// GET.
    Get,
}

impl Model for Counter {
    type State = i64;
    type Op = CounterOp;
    type Ret = i64;

    fn init() -> i64 {
        0
    }

    fn apply(state: &i64, op: &CounterOp) -> (i64, i64) {
        let next = match op {
            CounterOp::Incr(by) => state + by,
            CounterOp::Get => *state,
        };
        (next, next)
    }

    fn reads_only(op: &CounterOp, _ret: Option<&i64>) -> bool {
        *op == CounterOp::Get
    }
}
