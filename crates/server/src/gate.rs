//! Replies of one thread's connections that wait for the append-only file.
//!
//! What waits longest is told to whoever writes and syncs, once for the thread; when it may leave, the thread wakes its own connections.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use russet_dispatch::aof::{Aof, Leave};
use russet_journal::Lsn;

/// Who waits.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    waiting: RefCell<Vec<(Lsn, Waker)>>,
    keeper: RefCell<Option<Waker>>,
}

impl Gate {
    /// Has a connection woken when what it shows may leave, or never will.
    pub(crate) fn wait(&self, stamp: Lsn, waker: &Waker) {
        self.waiting.borrow_mut().push((stamp, waker.clone()));
        if let Some(keeper) = self.keeper.borrow_mut().take() {
            keeper.wake();
        }
    }

    /// Wakes who need not wait any more, and says when it is to be asked again.
    fn open(&self, aof: &Aof, cx: &Context<'_>) {
        *self.keeper.borrow_mut() = Some(cx.waker().clone());
        loop {
            let mut waiting = self.waiting.borrow_mut();
            waiting.retain(|(stamp, waker)| {
                let stays = aof.judge(*stamp) == Leave::Later;
                if !stays {
                    waker.wake_by_ref();
                }
                stays
            });
            let first = waiting.iter().map(|(stamp, _)| *stamp).min();
            if first.is_none_or(|first| aof.wait(first, cx.waker())) {
                return;
            }
        }
    }
}

/// Keeps the gate of a thread, for ever.
pub(crate) async fn keep(gate: Rc<Gate>, aof: &'static Aof) {
    std::future::poll_fn::<(), _>(|cx| {
        gate.open(aof, cx);
        Poll::Pending
    })
    .await;
}
