//! What tests and measurements share; never part of the server.
//!
//! `use russet_testkit::*;` brings a client, transcripts and servers to talk to; the checkers of
//! histories keep their module names, since their words are general.

#![forbid(unsafe_code)]

pub mod client;
pub mod differential;
pub mod disk;
pub mod edges;
pub mod elle;
pub mod linear;
pub mod process;
pub mod random;
pub mod record;
#[cfg(test)]
mod simulation;
pub mod transcript;

pub use client::{Client, Reply};
pub use differential::Reference;
pub use disk::{Call, Disk};
pub use process::{Process, Setup};
pub use random::Random;
pub use transcript::{Transcript, check, strict};
