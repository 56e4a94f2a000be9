//! Durability: the file system behind one trait.
//!
//! Everything that opens, writes, syncs or renames a file goes through [`vfs::Vfs`], so that a test can crash, tear, fill up and fail
//! what lies below. [`file::Files`] is the real one, and the only place in Russet that touches `std::fs`.

#![forbid(unsafe_code)]

pub mod file;
pub mod vfs;
