//! The door of a shard for policies that keep a queue beside its entries.

use super::{Database, Shard};
use crate::access::Kind;
use crate::entry::Entry;
use crate::eviction::queue::Queue;
use crate::eviction::{Sight, Wish};

/// A queue is kept beside so many keys.
const KEYS_MIN: usize = 16;

impl Database {
    /// Keeps the queue true when an entry is about to come; `kind` is whose queue is to be kept, if any is. Answers by how many bytes it has
    /// grown.
    pub(super) fn enter(&mut self, kind: Option<Kind>, hash: u64, entry: &mut Entry) -> isize {
        let before = self.queue_bytes() as isize;
        self.keep_queue(kind);
        if let Some(queue) = &mut self.queue {
            queue.enter(hash, entry, &mut self.table);
        }
        self.queue_bytes() as isize - before
    }

    /// Where there are few keys a queue would take more than they.
    fn keep_queue(&mut self, kind: Option<Kind>) {
        let least = if self.queue.is_some() { KEYS_MIN / 2 } else { KEYS_MIN };
        let kind = kind.filter(|_| self.table.len() >= least);
        if self.queue.as_ref().map(|queue| queue.kind()) != kind {
            self.queue = kind.map(|kind| Box::new(Queue::new(kind)));
        }
    }

    pub(super) fn queue_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.heap_bytes())
    }
}

impl Shard {
    /// Hands to `found` those of a database whose turn it is to go, with their ranks. Says whether a queue is kept that knows.
    pub fn nominate(&mut self, db: u32, wish: &Wish, found: impl FnMut(u64, Sight)) -> bool {
        let Some(database) = self.databases.get_mut(db) else { return false };
        let before = database.queue_bytes() as isize;
        database.keep_queue(Some(wish.policy.kind()));
        let may_go = |entry: &Entry| wish.takes(entry);
        if let Some(queue) = &mut database.queue {
            queue.nominate(wish.policy, &mut database.table, may_go, found);
        }
        let knows = database.queue.is_some();
        self.growth += database.queue_bytes() as isize - before;
        knows
    }

    /// Asks for the buckets of those who leave the newest next, if a policy keeps them.
    pub fn prefetch_turns(&self, db: u32, count: usize) {
        let Some(database) = self.databases.get(db) else { return };
        if let Some(queue) = &database.queue {
            queue.first(count).for_each(|place| database.table.prefetch_bucket(place));
        }
    }

    /// Remembers a key that was evicted, if its policy wants to.
    pub fn remember(&mut self, db: u32, hash: u64, memory: Option<u8>) {
        let Some(database) = self.databases.get_mut(db) else { return };
        let before = database.queue_bytes() as isize;
        let keys = database.table.len();
        if let Some(queue) = &mut database.queue {
            queue.remember(hash, memory, keys);
            self.growth += database.queue_bytes() as isize - before;
        }
    }

    /// Drops queues of another policy than the one that keeps them now.
    pub fn drop_idle_queues(&mut self) {
        let kind = self.common.queue_kind();
        let mut gone = 0;
        for database in self.databases.iter_mut() {
            if database.queue.as_ref().is_some_and(|queue| Some(queue.kind()) != kind) {
                gone += database.queue_bytes() as isize;
                database.queue = None;
            }
        }
        self.growth -= gone;
    }
}
