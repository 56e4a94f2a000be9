//! Measuring servers that speak Redis' protocol.
//!
//! Seven tools. `loadgen` keeps one server busy from one thread and says how fast it answered;
//! `compare` starts Russet, Valkey and Redis side by side, drives each with `loadgen`, and writes
//! the page of figures; `pauses` says how long one client keeps the others waiting, `hits` how many
//! requests a full cache answers, `runaway` what they notice of a script that does not end,
//! `statistics` what it costs to know what goes on and `disk` what durability costs. They share no
//! code with the server: what counts the replies must not be wrong in the same way as what wrote
//! them.
//!
//! * [`request`]: bytes to send, encoded once and patched with a number per request
//! * [`scan`]: counts replies without building them
//! * [`load`]: the closed loop over all connections
//! * [`workload`]: the named workloads, as rows
//! * [`report`]: what one run measured, for people and as JSON
//! * [`loadgen`]: the command line of the first tool
//! * [`process`], [`usage`], [`machine`]: child processes, their CPU time and memory, where it ran
//! * [`compare`], [`memory`], [`page`]: the rounds of the second tool, memory, and its Markdown
//! * [`pauses`], [`hits`] with [`traces`], [`runaway`], [`statistics`], [`disk`]: one tool each
#![forbid(unsafe_code)]

pub mod audience;
pub mod compare;
pub mod disk;
pub mod hits;
pub mod load;
pub mod loadgen;
pub mod machine;
pub mod memory;
pub mod page;
pub mod pauses;
pub mod process;
pub mod report;
pub mod request;
pub mod runaway;
pub mod scan;
pub mod statistics;
pub mod traces;
pub mod usage;
pub mod workload;
