//! Values and where they live; no I/O, no clock, no Redis wire.
//!
//! ```text
//! Keyspace -> 1024 x lock -> Shard -> per database: Table of Entry, index of what is due
//!                                  -> who watches, who waits
//! ```
//!
//! The invariants stand at the head of [`lock`], [`shard`], [`table`] and [`entry`]. `now` and dice are arguments everywhere. `unsafe`
//! stands in `entry.rs` (one allocation per entry), `listpack/buffer.rs` (a thin pointer), `lock.rs` (the cell behind a lock) and
//! `prefetch.rs`, nowhere else.

#![deny(unsafe_code)]

pub mod access;
#[expect(clippy::disallowed_methods, reason = "the one thing that a leaf does on another thread")]
mod aside;
pub mod collections {
    //! Containers that have never heard of Redis.
    pub mod chunks;
    pub mod id_index;
    pub mod intset;
    pub mod listpack;
    pub mod members;
    pub mod packed;
    pub mod rank_tree;
    pub mod scored;
    pub mod sorted_rows;
}
pub mod double;
#[expect(unsafe_code, reason = "one allocation per entry")]
pub mod entry;
pub mod eviction;
pub mod expire;
mod few;
pub mod glob;
pub mod interest;
pub mod keyspace;
#[expect(unsafe_code, reason = "the cell behind a lock")]
pub mod lock;
pub mod number;
pub mod policy;
#[expect(unsafe_code, reason = "a hint for the cache")]
mod prefetch;
pub mod random;
pub mod relocate;
mod same;
pub mod shard;
pub mod size_class;
pub mod sizes;
pub mod snapshot;
mod sync;
pub mod table;
pub mod tracked;
pub mod trash;
pub mod types {
    //! The types of Redis.
    pub mod bitmap;
    pub mod geo;
    pub mod hash;
    pub mod hyperloglog;
    pub mod list;
    pub mod set;
    pub mod sorted_set;
    pub mod stream;
    pub mod string;
}
pub mod value;
mod whereabouts;

pub use access::Access;
pub use entry::{Entry, INLINE_MAX, raw_value, string_value};
pub use interest::{Interest, NameBuf, Waiter, Watch};
pub use keyspace::{Keyspace, Spot};
pub use lock::{Busy, Guard, Held, Patience};
pub use prefetch::{prefetch, prefetch_to_write};
pub use same::same;
pub use shard::{Name, Seed, Shard, Walked};
pub use value::{Collection, Object, ObjectMut, ObjectRef, SmallMax, Told, Type, Value, View};
