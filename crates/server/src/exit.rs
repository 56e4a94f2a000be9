//! Sockets of one thread on their way out.
//!
//! To close a socket takes the kernel several times as long as a request takes. When a thousand clients go at once, those who stay are
//! served in between.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::Notify;

use crate::stream::Stream;

/// Closed before others get their turn.
const AT_A_TIME: usize = 8;

/// So many may wait. Those beyond are closed at once.
const WAITING_MAX: usize = 4096;

/// What is to be closed.
#[derive(Debug, Default)]
pub(crate) struct Exit {
    waiting: RefCell<VecDeque<Stream>>,
    bell: Notify,
}

impl Exit {
    /// Closes a socket soon.
    pub(crate) fn close(&self, stream: Stream) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() < WAITING_MAX {
            waiting.push_back(stream);
            self.bell.notify_one();
        }
    }

    /// Closes some. Says whether there are more.
    fn close_some(&self) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let some = waiting.len().min(AT_A_TIME);
        waiting.drain(..some);
        !waiting.is_empty()
    }
}

/// Closes what is to be closed, for ever.
pub(crate) async fn keep(exit: Rc<Exit>) {
    loop {
        exit.bell.notified().await;
        while exit.close_some() {
            tokio::task::yield_now().await;
        }
    }
}
