//! The integration tests: one binary, a module for each subject.

#![expect(clippy::disallowed_methods, reason = "a test's own threads may sleep")]
#![expect(clippy::print_stdout, reason = "a test that leaves something out says so")]

/// What strangers may try, and what it may cost.
mod attacks;

mod atomicity;
/// Caches on the side of clients, while everything changes.
mod caching;
mod clients;
/// What each group of commands answers.
mod commands {
    mod bitmap;
    mod changes;
    mod client;
    mod command;
    mod commandlog;
    mod config;
    mod connection;
    mod debug;
    pub(crate) mod dump;
    mod function;
    mod generic;
    mod geo;
    mod hash;
    mod hotkeys;
    mod hyperloglog;
    mod info;
    mod latency;
    mod list;
    mod memory;
    mod monitor;
    mod object;
    mod pubsub;
    mod replication;
    mod scripting;
    mod server;
    mod set;
    mod sort;
    mod sorted_set;
    mod stream;
    mod string;
    mod tracking;
    mod transactions;
}
/// The binary: its command line, files, log and end.
mod config_file;
/// Memory that goes back to the system.
mod defrag;
/// The whole table beside real servers.
mod differential;
/// What survives the end of the process.
mod durability {
    mod aof;
    mod crashes;
    mod faults;
    mod inspect;
    pub(crate) mod interop;
    mod parcel;
    mod replay;
    mod room;
    pub(crate) mod snapshot;
    mod switching;
}
mod events;
/// What happens when memory is full.
mod eviction;
/// What Prometheus reads.
mod metrics;
mod order;

mod protocol;
/// `redis-cli` in its modes.
mod redis_cli;

mod pubsub;

/// Rules over the command table.
mod table;

use russet_server::{Handle, Options, start};
use russet_testkit::Client;

/// A server in this process, on a port of its own.
#[derive(Debug)]
pub(crate) struct Server {
    handle: Handle,
    /// Where its files are; removed when the test is over.
    dir: tempfile::TempDir,
}

impl Server {
    /// With these parameters, as on a command line.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a place for files");
        let place = ["--dir".to_owned(), dir.path().to_string_lossy().into_owned()];
        let arguments: Vec<String> =
            place.into_iter().chain(arguments.iter().map(ToString::to_string)).collect();
        let mut config = russet_config::Config::new().with_cores(2);
        config
            .load_args(&arguments, &mut |_| Err("no includes here".to_owned()))
            .expect("a good line");
        let options = Options { on_free_port: true, ..Options::default() };
        Self { handle: start(config, options).expect("a free port"), dir }
    }

    /// One more client.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.handle.address()).expect("the server listens")
    }

    /// Where its files are.
    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.handle.address()
    }

    /// What the sessions share.
    pub(crate) fn state(&self) -> &'static russet_dispatch::State {
        self.handle.state
    }
}

/// A server with default parameters, DEBUG allowed.
pub(crate) fn server() -> Server {
    Server::with(&["--enable-debug-command", "yes"])
}
