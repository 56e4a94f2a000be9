//! Who wants to know when a name changes: transactions that watch it, clients that wait for it, and clients that have read it into a
//! cache of their own.
//!
//! A shard without any has no [`Interest`] at all, so that its door pays one test for a null pointer.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::{Equivalent, HashMap};

use crate::shard::Name;
use crate::tracked::Tracked;
use crate::value::Told;

/// A key in a database, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameBuf {
    /// Which database.
    pub db: u32,
    /// Which key.
    pub key: Box<[u8]>,
}

impl Hash for NameBuf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        NameRef { db: self.db, key: &self.key }.hash(state);
    }
}

#[derive(Hash)]
struct NameRef<'a> {
    db: u32,
    key: &'a [u8],
}

impl Equivalent<NameBuf> for NameRef<'_> {
    fn equivalent(&self, name: &NameBuf) -> bool {
        self.db == name.db && *self.key == *name.key
    }
}

/// One transaction's watch: dirty once anything it watches has changed.
#[derive(Debug, Default)]
pub struct Watch {
    dirty: AtomicBool,
}

impl Watch {
    /// Whether anything watched has changed. Judged under the locks of everything watched.
    pub fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Relaxed)
    }

    /// Says that something watched has changed.
    pub fn mark(&self) {
        self.dirty.store(true, Ordering::Relaxed);
    }
}

/// A client that waits for names. What it waits for is its own business; the shard keeps the order.
pub trait Waiter: Any + Send + Sync + fmt::Debug {
    /// Whether nobody has claimed it yet: served, timed out, unblocked, killed and disconnected waiters are closed and go lazily.
    fn is_open(&self) -> bool;
    /// The shard that serving it will also change, for those that move elements.
    fn target(&self) -> Option<u32>;
    /// Whether it is also told when a name is gone or holds something else.
    fn heeds_loss(&self) -> bool {
        false
    }
    /// Itself, for those who know what it is.
    fn as_any(&self) -> &dyn Any;
}

/// Watchers, waiters and readers of one shard.
#[derive(Debug, Default)]
pub struct Interest {
    watches: HashMap<NameBuf, Vec<Arc<Watch>>>,
    waiters: HashMap<NameBuf, VecDeque<Arc<dyn Waiter>>>,
    /// Names with waiters that have been touched in this unit, in the order they became ready.
    ready: Vec<NameBuf>,
    /// How many registered waiters have a target.
    moving: usize,
    /// What clients keep in caches of their own.
    pub tracked: Tracked,
}

impl Interest {
    /// Whether nobody is interested in anything.
    pub fn is_empty(&self) -> bool {
        self.watches.is_empty() && !self.is_awaited() && self.tracked.is_idle()
    }

    /// Whether anybody waits for a name here.
    #[inline]
    pub fn is_awaited(&self) -> bool {
        !self.waiters.is_empty() || !self.ready.is_empty()
    }

    pub(crate) fn touched(&mut self, name: Name<'_>, told: Told) {
        let Name { db, key, hash } = name;
        if matches!(told, Told::Watchers | Told::All) {
            self.tracked.changed(hash, key);
            if let Some(watches) = self.watches.get(&NameRef { db, key }) {
                for watch in watches {
                    watch.mark();
                }
            }
        }
        let is_for_waiters = matches!(told, Told::Waiters | Told::All);
        if is_for_waiters && self.waiters.contains_key(&NameRef { db, key }) {
            self.make_ready(NameBuf { db, key: key.into() });
        }
    }

    /// Has those who wait for a name looked at, though nothing touched it.
    pub fn make_ready(&mut self, name: NameBuf) {
        if !self.ready.contains(&name) {
            self.ready.push(name);
        }
    }

    /// Every watch and every waiter in `db` whose key `exists` is touched: for FLUSHDB and SWAPDB.
    pub(crate) fn touched_all(&mut self, db: u32, exists: impl Fn(&[u8]) -> bool) {
        for (name, watches) in &self.watches {
            if name.db == db && exists(&name.key) {
                for watch in watches {
                    watch.mark();
                }
            }
        }
        let ready: Vec<_> =
            self.waiters.keys().filter(|n| n.db == db && exists(&n.key)).cloned().collect();
        for name in ready {
            self.make_ready(name);
        }
    }

    /// The keys that are watched in either of two databases.
    pub fn watched_keys(&self, one: u32, other: u32) -> Vec<Box<[u8]>> {
        let names = self.watches.keys().filter(|name| name.db == one || name.db == other);
        names.map(|name| name.key.clone()).collect()
    }

    /// Adds a watch of a name, there or not.
    pub fn watch(&mut self, name: NameBuf, watch: Arc<Watch>) {
        self.watches.entry(name).or_default().push(watch);
    }

    /// Ends a watch of a name.
    pub fn unwatch(&mut self, db: u32, key: &[u8], watch: &Arc<Watch>) {
        let Some(watches) = self.watches.get_mut(&NameRef { db, key }) else { return };
        watches.retain(|other| !Arc::ptr_eq(other, watch));
        if watches.is_empty() {
            self.watches.remove(&NameRef { db, key });
        }
    }

    /// Puts a waiter at the end of a name's queue.
    pub fn wait(&mut self, name: NameBuf, waiter: Arc<dyn Waiter>) {
        self.moving += usize::from(waiter.target().is_some());
        self.waiters.entry(name).or_default().push_back(waiter);
    }

    /// Takes a waiter out of a name's queue, and closed ones with it.
    pub fn unwait(&mut self, db: u32, key: &[u8], waiter: &Arc<dyn Waiter>) {
        let Some(queue) = self.waiters.get_mut(&NameRef { db, key }) else { return };
        let moving = &mut self.moving;
        queue.retain(|other| {
            let keep = other.is_open() && !Arc::ptr_eq(other, waiter);
            *moving -= usize::from(!keep && other.target().is_some());
            keep
        });
        if queue.is_empty() {
            self.waiters.remove(&NameRef { db, key });
        }
    }

    /// The name that became ready first.
    pub fn pop_ready(&mut self) -> Option<NameBuf> {
        if self.ready.is_empty() { None } else { Some(self.ready.remove(0)) }
    }

    /// Those who wait for a name, first come first.
    pub fn queue(&self, name: &NameBuf) -> Vec<Arc<dyn Waiter>> {
        self.waiters.get(name).into_iter().flatten().filter(|w| w.is_open()).cloned().collect()
    }

    /// Number of names that somebody waits for, and of waiters.
    pub fn waiting(&self) -> (usize, usize) {
        (self.waiters.len(), self.waiters.values().map(VecDeque::len).sum())
    }

    /// Number of names that somebody waits for who is still there, and of those where somebody heeds loss.
    pub fn awaited(&self) -> (usize, usize) {
        let open = |queue: &VecDeque<Arc<dyn Waiter>>| queue.iter().any(|w| w.is_open());
        let heeds =
            |queue: &VecDeque<Arc<dyn Waiter>>| queue.iter().any(|w| w.is_open() && w.heeds_loss());
        let queues = || self.waiters.values();
        (queues().filter(|q| open(q)).count(), queues().filter(|q| heeds(q)).count())
    }

    /// Number of names that somebody watches.
    pub fn watched(&self) -> usize {
        self.watches.len()
    }

    /// The shards that serving the waiters here may change.
    pub fn targets(&self) -> impl Iterator<Item = u32> + '_ {
        self.movers().filter_map(|waiter| waiter.target())
    }

    /// The waiters here that move elements.
    pub fn movers(&self) -> impl Iterator<Item = &Arc<dyn Waiter>> + '_ {
        let all = (self.moving > 0).then(|| self.waiters.values().flatten());
        all.into_iter().flatten().filter(|waiter| waiter.is_open() && waiter.target().is_some())
    }
}
