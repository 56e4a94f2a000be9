//! The locks under a model checker and under stress; never part of the server.
//!
//! `tests/locks.rs` runs the very files `engine/src/lock.rs` and `dispatch/src/claim.rs` under shuttle, which tries thousands of orders
//! in which threads may interleave. `tests/stress.rs` runs whole commands on many threads, without sockets and without the server's
//! allocator, so that sanitizers can watch. [`Local`] is their client.

#![forbid(unsafe_code)]

mod local;

pub use local::{Local, state};
