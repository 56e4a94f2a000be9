//! Durability: what survives which crash.
//!
//! Snapshots are all data as it was at one moment, written while commands run ([`snapshot`]), read back with all cores ([`mod@load`]).
//! What has changed since the last one is lost when the process ends without saving. The append-only file ([`aof`]) is a snapshot and
//! what came after it: it loses nothing, a second, or what the system had not written, as configured.
//!
//! Everything that opens, writes, syncs or renames a file goes through [`vfs::Vfs`], so that a test can crash, tear, fill up and fail
//! what lies below. [`file::Files`] is the real one, and the only place in Russet that touches `std::fs`.

#![forbid(unsafe_code)]

pub mod aof;
mod breath;
pub mod check;
pub mod file;
pub mod inspect;
pub mod load;
mod parcel;
mod pen;
pub mod saver;
pub mod snapshot;
pub mod vfs;
mod writer;

pub use saver::Saver;
