//! How any command runs.
//!
//! ```text
//! bytes -> Batch -> Executor::run: look up -> check -> lock -> handler -> effects -> serve waiters -> let go -> Output
//! ```
//!
//! The executor locks, the handler works: handlers are functions of a [`Context`] and [`Args`] and see nothing but the keys that their
//! row declares. What is shared by all clients stands in [`State`], what one client is in [`Session`], what others may do to it in
//! [`Client`]. Nothing here knows a socket, a file or the system's clock.

#![forbid(unsafe_code)]

pub mod aof;
pub mod args;
pub mod blocking;
pub mod burden;
pub mod claim;
pub mod clock;
pub mod command;
pub mod commandlog;
pub mod context;
#[cfg(test)]
mod counting;
pub mod defrag;
pub mod effect;
pub mod error;
pub mod eviction;
pub mod execute;
pub mod expire;
pub mod fieldsets;
pub mod help;
pub mod hotkeys;
pub mod keys;
pub mod latency;
pub mod mailbox;
pub mod meter;
pub mod monitor;
pub mod notify;
pub mod observe;
pub mod parts;
pub mod persistence;
pub mod promise;
pub mod pubsub;
pub mod redact;
pub mod replay;
pub mod request;
pub mod resident;
pub mod script;
pub mod scripting;
mod serve;
pub mod session;
pub mod state;
pub mod stats;
mod sync;
pub mod syntax;
pub mod table;
pub mod thresholds;
pub mod tracking;
pub mod transaction;

pub use args::{Args, Key};
pub use command::{Category, Command, Flag, Group, Prefetch, Secret};
pub use context::{Context, Outcome, Text};
pub use error::{Error, Stop};
pub use execute::{Chunk, Executor, Halt};
pub use notify::Class;
pub use session::{Client, Session};
pub use state::State;
pub use table::{Row, Table};
