//! The I/O threads together, and which of them takes a new connection.
//!
//! A script that was quick so far runs where its request arrived. If it then takes its time, the clients of that thread wait; who comes
//! anew does not: new connections go to the other threads, and if all are held up, to one more that is started then. So whoever comes to
//! end a script is always served.

use std::cell::RefCell;
use std::io;
use std::thread::JoinHandle;

use russet_dispatch::State;

use crate::runtime::{self, Mailbox};
use crate::tasks::Shell;

/// How many threads are started beside the configured ones at most.
const MORE_MAX: usize = 16;

/// A thread, and how to see it end.
type Member = (Mailbox, JoinHandle<()>);

/// The I/O threads.
#[derive(Debug)]
pub(crate) struct Crew {
    state: &'static State,
    shell: Shell,
    /// The configured ones.
    own: usize,
    all: RefCell<Vec<Member>>,
}

impl Crew {
    /// Starts the configured threads.
    pub(crate) fn start(state: &'static State, shell: Shell) -> io::Result<Self> {
        let own = state.identity.io_threads;
        let all = (0..own).map(|nth| runtime::spawn(state, shell.clone(), nth));
        let all = RefCell::new(all.collect::<io::Result<_>>()?);
        Ok(Self { state, shell, own, all })
    }

    /// Who takes the next connection: the one of the configured threads that has the fewest and is not held up.
    pub(crate) fn taker(&self) -> Option<Mailbox> {
        let held = self.state.scripts.held_threads();
        let all = self.all.borrow();
        let is_free = |(mailbox, _): &&Member| !held.contains(&mailbox.thread);
        let (own, more) = all.split_at(self.own.min(all.len()));
        let fewest = |members: &[Member]| {
            let free = members.iter().filter(is_free);
            free.min_by_key(|(mailbox, _)| mailbox.load()).map(|(mailbox, _)| mailbox.clone())
        };
        let found = fewest(own).or_else(|| fewest(more));
        drop(all);
        found.or_else(|| self.grow())
    }

    /// Starts one more thread. Where that fails, anybody takes the connection.
    fn grow(&self) -> Option<Mailbox> {
        let mut all = self.all.borrow_mut();
        if all.len() < self.own + MORE_MAX {
            match runtime::spawn(self.state, self.shell.clone(), all.len()) {
                Ok(member) => all.push(member),
                Err(error) => tracing::error!(%error, "no further thread for new connections"),
            }
        }
        all.last().map(|(mailbox, _)| mailbox.clone())
    }

    /// Waits for the end of all. A thread ends when its scripts have.
    pub(crate) fn join(&self) {
        for (_, thread) in self.all.take() {
            // What it said stands in the log.
            drop(thread.join());
        }
    }
}
