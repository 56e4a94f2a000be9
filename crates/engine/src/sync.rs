//! The primitives under the locks, in one place so that a model checker can put its own here.

pub(crate) use parking_lot::Mutex;
pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::atomic::{AtomicU32, Ordering};
pub(crate) use std::thread::yield_now;
