//! The door of a shard for eviction: what goes, and for policies that keep a queue beside the entries, what comes.

use super::{Database, Name, Shard};
use crate::access::Kind;
use crate::entry::Entry;
use crate::eviction::queue::Queue;
use crate::eviction::{Sight, Wish};
use crate::table::Table;
use crate::value::Told;

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

    /// Asks for what is remembered of a key, if a policy remembers; see [`Queue::prefetch_memory`].
    #[inline]
    pub fn prefetch_memory(&self, db: u32, place: u64) {
        if let Some(queue) = self.databases.get(db).and_then(|database| database.queue.as_ref()) {
            queue.prefetch_memory(place);
        }
    }

    /// Removes an entry that was seen, if it is still what it was; a large value goes to the bin. `memory` is what a policy remembers of it,
    /// and `gone` is told its key once it is out. Says whether it went.
    ///
    /// It is found by its place. So its key is not hashed unless somebody wants to know of it.
    pub fn evict(
        &mut self,
        db: u32,
        sight: &Sight,
        memory: Option<u8>,
        gone: impl FnOnce(&mut Self, &[u8]),
    ) -> bool {
        if self.guards != 0 {
            return self.evict_guarded(db, sight, memory, gone);
        }
        let seed = self.common.seed;
        let hash_of = |key: &[u8]| seed.hash(key);
        let is_it = |entry: &Entry| sight.is_of(entry);
        let remove = |table: &mut Table| table.remove_by_hash(sight.place, is_it, &hash_of);
        self.half_changed = true;
        let Some(entry) = self.detach_by(db, remove, hash_of) else { return false };
        if memory.is_some() || self.interest.is_some() {
            let name = Name { db, key: entry.key(), hash: hash_of(entry.key()) };
            self.notify(name, Told::All);
            self.remember(name, memory);
        }
        gone(self, entry.key());
        self.throw(entry);
        true
    }

    /// As [`Shard::evict`], where somebody wants to see entries before they go.
    #[cold]
    fn evict_guarded(
        &mut self,
        db: u32,
        sight: &Sight,
        memory: Option<u8>,
        gone: impl FnOnce(&mut Self, &[u8]),
    ) -> bool {
        let seen = self.database(db).and_then(|database| database.seen(sight));
        let Some(key) = seen.map(|entry| Box::<[u8]>::from(entry.key())) else { return false };
        let name = Name { db, key: &key, hash: self.common.seed.hash(&key) };
        self.remove(name);
        self.remember(name, memory);
        gone(self, &key);
        true
    }

    /// Remembers a key that was evicted, if its policy wants to.
    fn remember(&mut self, name: Name<'_>, memory: Option<u8>) {
        let Some(database) = self.databases.get_mut(name.db) else { return };
        let before = database.queue_bytes() as isize;
        let keys = database.table.len();
        if let Some(queue) = &mut database.queue {
            queue.remember(name.hash, memory, keys);
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
