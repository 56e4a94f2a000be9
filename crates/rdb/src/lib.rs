//! Redis' dump format, both ways; no files.
//!
//! What DUMP payloads, snapshots and full synchronisations have in common is written and read here, from and to memory: [`encode()`] and
//! [`decode()`] for values, [`primitives`] for what they are made of, [`payload`] for one value that travels alone. Every length that is
//! read is checked against the bytes that are there before anything is made of it. [`mod@file`] and [`read`] are what a file has around its
//! values, whoever gives and takes the bytes.
//!
//! Source of the format: the RDB files that redis-server 7.0 and valkey-server 8.0 write, and the public description of RDB version 11.

#![forbid(unsafe_code)]
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

pub mod decode;
pub mod encode;
pub mod file;
pub mod kind;
mod lzf;
pub mod payload;
pub mod primitives;
pub mod read;

pub use decode::{Content, Rules, decode};
pub use encode::{Style, encode};
pub use lzf::Packer;
pub use primitives::{DecodeError, Source};
