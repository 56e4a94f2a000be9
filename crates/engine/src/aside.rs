//! Work that would hold up a command, done on a thread of its own: rare, and over in milliseconds.

use std::thread::{Builder, JoinHandle};

/// Something that is being made.
#[derive(Debug)]
pub(crate) enum Coming<T> {
    /// By another thread.
    Elsewhere(JoinHandle<T>),
    /// Here, since there was no thread to be had.
    Here(T),
}

impl<T> Coming<T> {
    /// Whether it is there already.
    pub(crate) fn is_there(&self) -> bool {
        match self {
            Self::Elsewhere(thread) => thread.is_finished(),
            Self::Here(_) => true,
        }
    }

    /// Waits for it.
    pub(crate) fn wait(self) -> T {
        match self {
            Self::Elsewhere(thread) => thread.join().expect("making something does not panic"),
            Self::Here(made) => made,
        }
    }
}

/// Begins to make something.
pub(crate) fn make<T: Send + 'static>(work: impl Fn() -> T + Send + Clone + 'static) -> Coming<T> {
    match Builder::new().name("aside".to_owned()).spawn(work.clone()) {
        Ok(thread) => Coming::Elsewhere(thread),
        Err(_) => Coming::Here(work()),
    }
}

/// Frees something large.
pub(crate) fn free<T: Send + 'static>(garbage: T) {
    // If there is no thread to be had, the closure is dropped here, and the garbage with it.
    drop(Builder::new().name("aside".to_owned()).spawn(move || drop(garbage)));
}
