//! The primitives under [`Claim`](crate::claim::Claim), in one place so that a model checker can put its own here.

pub(crate) use std::sync::atomic::{AtomicU8, Ordering};
pub(crate) use std::thread::yield_now;
