//! Measuring servers that speak Redis' protocol.
//!
//! Two tools. `loadgen` keeps one server busy from one thread and says how fast it answered;
//! `compare` starts Russet, Valkey and Redis side by side, drives each with `loadgen`, and writes
//! the page of figures. They share no code with the server: what counts the replies must not be
//! wrong in the same way as what wrote them.
//!
//! * [`request`]: bytes to send, encoded once and patched with a number per request
//! * [`scan`]: counts replies without building them
//! * [`load`]: the closed loop over all connections
//! * [`workload`]: the named workloads, as rows
//! * [`report`]: what one run measured, for people and as JSON
//! * [`loadgen`]: the command line of the first tool
//! * [`process`], [`usage`], [`machine`]: child processes, their CPU time and memory, where it ran
//! * [`compare`], [`page`]: the rounds of the second tool, and its Markdown
#![forbid(unsafe_code)]

pub mod compare;
pub mod load;
pub mod loadgen;
pub mod machine;
pub mod page;
pub mod process;
pub mod report;
pub mod request;
pub mod scan;
pub mod usage;
pub mod workload;
