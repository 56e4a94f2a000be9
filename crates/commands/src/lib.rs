//! What each command does: one file per Redis group or container.

#![forbid(unsafe_code)]

use russet_dispatch::Command;

pub mod client;
pub mod connection;
pub mod list;
pub mod string;
pub mod transactions;

/// The list of files below, and nothing else.
pub const FAMILIES: &[&[Command]] = &[client::COMMANDS, connection::COMMANDS, list::COMMANDS, string::COMMANDS, transactions::COMMANDS];
