//! What each command does: one file per Redis group or container.

#![forbid(unsafe_code)]

use russet_dispatch::{Command, help};

pub mod bitmap;
pub mod client;
pub mod command;
pub mod commandlog;
pub mod config;
pub mod connection;
pub mod debug;
pub mod generic;
pub mod geo;
pub mod hash;
pub mod hotkeys;
pub mod hyperloglog;
pub mod info;
pub mod latency;
pub mod list;
mod long_double;
pub mod memory;
pub mod module;
pub mod object;
pub mod pubsub;
mod repeats;
pub mod replication;
pub mod saving;
pub mod server;
pub mod set;
pub mod shutdown;
pub mod sorted_set;
pub mod stream;
pub mod string;
pub mod transactions;

/// The list of files below, and nothing else.
pub const FAMILIES: &[&[Command]] = &[
    bitmap::COMMANDS,
    config::COMMANDS,
    client::COMMANDS,
    command::COMMANDS,
    commandlog::COMMANDS,
    connection::COMMANDS,
    debug::COMMANDS,
    hotkeys::COMMANDS,
    info::COMMANDS,
    latency::COMMANDS,
    memory::COMMANDS,
    module::COMMANDS,
    replication::COMMANDS,
    saving::COMMANDS,
    shutdown::COMMANDS,
    generic::COMMANDS,
    geo::COMMANDS,
    geo::search::COMMANDS,
    hash::COMMANDS,
    hash::expire::COMMANDS,
    hyperloglog::COMMANDS,
    list::COMMANDS,
    object::COMMANDS,
    pubsub::COMMANDS,
    server::COMMANDS,
    set::COMMANDS,
    sorted_set::COMMANDS,
    sorted_set::pop::COMMANDS,
    sorted_set::range::COMMANDS,
    sorted_set::sample::COMMANDS,
    sorted_set::store::COMMANDS,
    stream::COMMANDS,
    string::COMMANDS,
    transactions::COMMANDS,
];
