//! Consumer groups: what was delivered to whom and is not acknowledged yet.
//!
//! An entry that was delivered is pending: once in the group's list, with its owner, and its ID once more in the owner's, both ordered
//! by ID. An entry that was given back is in the group's list alone, without an owner.
//!
//! Invariants:
//! * Every ID in a consumer's list is in the group's, with that owner; every owner's list has the ID.
//! * `order` lists the consumers that there are by name; `consumer_bytes` is what they take from the allocator.

use crate::collections::sorted_rows::{self, SortedRows};
use crate::relocate::Mover;
use crate::size_class::usable;
use crate::types::stream::id::StreamId;
use crate::types::stream::log::Log;

/// Which consumer of a group; the same as long as the consumer is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u32);

/// The owner of what was given back.
const NOBODY: u32 = u32::MAX;

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// When it was delivered last, in milliseconds since 1970; 0 if it was given back.
    pub delivered_ms: u64,
    /// How often it was delivered.
    pub count: u64,
    owner: u32,
}

impl Pending {
    /// Who has it; nobody if it was given back.
    pub const fn owner(&self) -> Option<Slot> {
        if self.owner == NOBODY { None } else { Some(Slot(self.owner)) }
    }

    /// For how long it has been with its owner, in milliseconds.
    pub const fn idle_ms(&self, now: u64) -> u64 {
        now.saturating_sub(self.delivered_ms)
    }
}

/// One who reads for a group.
#[derive(Clone, Debug)]
pub struct Consumer {
    /// What it calls itself.
    pub name: Box<[u8]>,
    /// When it last tried something, in milliseconds since 1970.
    pub seen_ms: u64,
    /// When it last got something; never if `None`.
    pub active_ms: Option<u64>,
    pending: SortedRows<StreamId, ()>,
}

impl Consumer {
    fn new(name: &[u8], seen_ms: u64) -> Self {
        Self { name: name.into(), seen_ms, active_ms: None, pending: SortedRows::new() }
    }

    /// Number of entries that it has not acknowledged.
    pub const fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// The IDs from `from` to `until` that it has not acknowledged, in order.
    pub fn pending(&self, from: StreamId, until: StreamId) -> impl Iterator<Item = StreamId> + '_ {
        let until = until.max(from);
        self.pending.range(from..=until).map(|(id, ())| id)
    }

    fn relocate(this: &mut Box<Self>, mover: &mut Mover, row: u64) -> u64 {
        if row == 0 {
            mover.boxed(this, || Self::new(&[], 0));
            mover.slice(&mut this.name);
        }
        this.pending.relocate(mover, row, |_, ()| {})
    }

    fn heap_bytes(&self) -> usize {
        usable(size_of::<Self>()) + usable(self.name.len()) + self.pending.heap_bytes()
    }
}

/// A consumer group.
#[derive(Debug)]
pub struct Group {
    name: Box<[u8]>,
    /// The last ID that was delivered.
    pub last_id: StreamId,
    /// How many entries the stream has had up to `last_id`, if that is known.
    pub entries_read: Option<u64>,
    pending: SortedRows<StreamId, Pending>,
    consumers: Vec<Option<Box<Consumer>>>,
    order: Vec<u32>,
    consumer_bytes: usize,
}

impl Clone for Group {
    fn clone(&self) -> Self {
        let consumers = self.consumers.clone();
        let consumer_bytes = consumers.iter().flatten().map(|it| it.heap_bytes()).sum();
        let (name, pending, order) = (self.name.clone(), self.pending.clone(), self.order.clone());
        Self { name, pending, consumers, order, consumer_bytes, ..*self }
    }
}

impl Group {
    /// A group that nobody reads for yet.
    pub fn new(name: &[u8], last_id: StreamId, entries_read: Option<u64>) -> Self {
        Self {
            name: name.into(),
            last_id,
            entries_read,
            pending: SortedRows::new(),
            consumers: Vec::new(),
            order: Vec::new(),
            consumer_bytes: 0,
        }
    }

    /// Moves what is owned. The upper half of `from` says what of: zero for the group itself, or one more than the place of a consumer; the
    /// lower half is a row of what is pending there.
    fn relocate(&mut self, mover: &mut Mover, from: u64) -> u64 {
        let (owner, row) = (from >> 32, from & u64::from(u32::MAX));
        let next = match owner.checked_sub(1) {
            None => self.relocate_own(mover, row),
            Some(consumer) => match self.consumers.get_mut(consumer as usize) {
                Some(Some(consumer)) => Consumer::relocate(consumer, mover, row),
                _ => 0,
            },
        };
        match next {
            0 if owner < self.consumers.len() as u64 => (owner + 1) << 32,
            0 => 0,
            row => owner << 32 | row,
        }
    }

    fn relocate_own(&mut self, mover: &mut Mover, row: u64) -> u64 {
        if row == 0 {
            mover.slice(&mut self.name);
            mover.vec(&mut self.consumers);
            mover.vec(&mut self.order);
        }
        self.pending.relocate(mover, row, |_, _| {})
    }

    /// What it is called.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Bytes on the heap, its own struct included. O(1).
    fn heap_bytes(&self) -> usize {
        let slots = self.consumers.capacity() * size_of::<Option<Box<Consumer>>>();
        let lists = [slots, self.order.capacity() * size_of::<u32>()];
        let lists = lists.map(|bytes| if bytes == 0 { 0 } else { usable(bytes) });
        usable(size_of::<Self>())
            + usable(self.name.len())
            + self.pending.heap_bytes()
            + self.consumer_bytes
            + lists.iter().sum::<usize>()
    }

    /// Number of consumers.
    pub const fn consumer_count(&self) -> usize {
        self.order.len()
    }

    /// The consumers by name.
    pub fn consumers(&self) -> impl Iterator<Item = (Slot, &Consumer)> {
        self.order.iter().map(|slot| (Slot(*slot), self.consumer(Slot(*slot))))
    }

    /// The consumer of a slot that [`Group::find`] gave.
    #[inline]
    pub fn consumer(&self, slot: Slot) -> &Consumer {
        self.consumers[slot.0 as usize].as_deref().expect("a slot is dropped with its consumer")
    }

    /// As [`Group::consumer`], to be changed in what needs no memory.
    #[inline]
    fn consumer_mut(&mut self, slot: Slot) -> &mut Consumer {
        self.consumers[slot.0 as usize].as_deref_mut().expect("a slot is dropped with its consumer")
    }

    /// The consumer of a name.
    pub fn find(&self, name: &[u8]) -> Option<Slot> {
        self.place(name).ok().map(|place| Slot(self.order[place]))
    }

    fn place(&self, name: &[u8]) -> Result<usize, usize> {
        self.order.binary_search_by(|slot| (*self.consumer(Slot(*slot)).name).cmp(name))
    }

    /// The consumer of a name, which is made if it is not there; says whether it was made.
    pub fn find_or_add(&mut self, name: &[u8], now: u64) -> (Slot, bool) {
        match self.place(name) {
            Ok(place) => (Slot(self.order[place]), false),
            Err(place) => (self.add(place, name, now), true),
        }
    }

    fn add(&mut self, place: usize, name: &[u8], now: u64) -> Slot {
        let consumer = Consumer::new(name, now);
        self.consumer_bytes += consumer.heap_bytes();
        let free = if self.consumers.len() == self.order.len() {
            self.consumers.push(None);
            self.consumers.len() - 1
        } else {
            self.consumers.iter().position(Option::is_none).expect("fewer consumers than slots")
        };
        self.consumers[free] = Some(Box::new(consumer));
        self.order.insert(place, free as u32);
        Slot(free as u32)
    }

    /// Removes a consumer and all that is pending with it; answers how much that was.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let place = self.place(name).ok()?;
        let slot = self.order.remove(place);
        let consumer = self.consumers[slot as usize].take().expect("listed in order");
        self.consumer_bytes -= consumer.heap_bytes();
        consumer.pending.iter().for_each(|(id, ())| {
            self.pending.remove(&id);
        });
        while self.consumers.pop_if(|last| last.is_none()).is_some() {}
        Some(consumer.pending.len())
    }

    /// Notes that a consumer tried something.
    #[inline]
    pub fn seen(&mut self, slot: Slot, now: u64) {
        self.consumer_mut(slot).seen_ms = now;
    }

    /// Notes that a consumer got something.
    #[inline]
    pub fn active(&mut self, slot: Slot, now: u64) {
        self.consumer_mut(slot).active_ms = Some(now);
    }

    /// Number of entries that are pending.
    pub const fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// What is pending from `from` to `until`, in order of IDs.
    pub fn pending(
        &self,
        from: StreamId,
        until: StreamId,
    ) -> sorted_rows::Iter<'_, StreamId, Pending> {
        let until = until.max(from);
        self.pending.range(from..=until)
    }

    /// The first and the last ID that is pending.
    pub fn pending_ends(&self) -> Option<(StreamId, StreamId)> {
        Some((self.pending.first()?.0, self.pending.last()?.0))
    }

    /// What is known of an entry, if it is pending.
    pub fn pending_of(&self, id: StreamId) -> Option<Pending> {
        self.pending.get(&id).copied()
    }

    /// Changes the list of a consumer and counts its bytes anew.
    #[inline]
    fn with_list(
        &mut self,
        owner: u32,
        change: impl FnOnce(&mut SortedRows<StreamId, ()>) -> Option<()>,
    ) {
        if owner == NOBODY {
            return;
        }
        let list = &mut self.consumer_mut(Slot(owner)).pending;
        let before = list.heap_bytes();
        let _ = change(list);
        let after = list.heap_bytes();
        self.consumer_bytes = self.consumer_bytes - before + after;
    }

    /// Makes an entry pending with a consumer, whoever had it.
    #[inline]
    pub fn assign(&mut self, id: StreamId, slot: Slot, delivered_ms: u64, count: u64) {
        let pending = Pending { delivered_ms, count, owner: slot.0 };
        let old = self.pending.insert(id, pending).map(|old| old.owner);
        if old == Some(slot.0) {
            return;
        }
        if let Some(old) = old {
            self.with_list(old, |list| list.remove(&id));
        }
        self.with_list(slot.0, |list| list.insert(id, ()));
    }

    /// Makes an entry pending with nobody.
    pub fn give_back(&mut self, id: StreamId, count: u64) {
        let pending = Pending { delivered_ms: 0, count, owner: NOBODY };
        if let Some(old) = self.pending.insert(id, pending) {
            self.with_list(old.owner, |list| list.remove(&id));
        }
    }

    /// Ends that an entry is pending; says whether it was.
    pub fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(old) = self.pending.remove(&id) else { return false };
        self.with_list(old.owner, |list| list.remove(&id));
        true
    }

    /// Notes that an entry was delivered, and counts it. `log` is the stream's.
    #[inline]
    pub fn advance(&mut self, log: &Log, id: StreamId) {
        if id <= self.last_id {
            return;
        }
        self.entries_read = match self.entries_read {
            Some(read) if !log.has_gap_from(id) => Some(read.wrapping_add(1)),
            read if log.entries_added() == 0 => read,
            _ => log.rank(id),
        };
        self.last_id = id;
    }

    /// How many entries are yet to be delivered; `None` where that cannot be told. `log` is the stream's.
    pub fn lag(&self, log: &Log) -> Option<i64> {
        let read = match self.entries_read {
            _ if log.entries_added() == 0 => 0,
            Some(read) if !log.has_gap_from(self.last_id) => read,
            _ => log.rank(self.last_id)?,
        };
        Some(log.entries_added().wrapping_sub(read) as i64)
    }

    /// Whether an entry was delivered and acknowledged, so that this group needs it no more.
    pub fn is_done_with(&self, id: StreamId) -> bool {
        id <= self.last_id && !self.pending.contains(&id)
    }
}

/// The groups of a stream, by name.
#[derive(Debug, Default)]
pub struct Groups {
    // Boxed, so that finding a place for one moves little.
    #[expect(clippy::vec_box, reason = "a group is large, and the list is kept in order")]
    all: Vec<Box<Group>>,
    bytes: usize,
}

impl Clone for Groups {
    fn clone(&self) -> Self {
        let all = self.all.clone();
        let bytes = all.iter().map(|group| group.heap_bytes()).sum();
        Self { all, bytes }
    }
}

impl Groups {
    /// Number of groups.
    pub const fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Moves one of the groups and what it owns.
    pub(super) fn relocate(&mut self, mover: &mut Mover, group: usize, from: u64) -> u64 {
        if group == 0 && from == 0 {
            mover.vec(&mut self.all);
        }
        let Some(group) = self.all.get_mut(group) else { return 0 };
        if from == 0 {
            mover.boxed(group, || Group::new(&[], StreamId::MIN, None));
        }
        group.relocate(mover, from)
    }

    /// Bytes on the heap. O(1).
    pub(super) fn heap_bytes(&self) -> usize {
        let list = self.all.capacity() * size_of::<Box<Group>>();
        self.bytes + if list == 0 { 0 } else { usable(list) }
    }

    /// How many allocations freeing them costs, about.
    pub(super) fn free_cost(&self) -> usize {
        self.all
            .iter()
            .take(64)
            .map(|group| 1 + group.order.len() + group.pending.allocations())
            .sum()
    }

    fn place(&self, name: &[u8]) -> Result<usize, usize> {
        self.all.binary_search_by(|group| group.name().cmp(name))
    }

    /// The group of a name.
    pub fn get(&self, name: &[u8]) -> Option<&Group> {
        self.place(name).ok().map(|place| &*self.all[place])
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Group> {
        self.all.iter().map(|group| &**group)
    }

    /// Adds a group; says whether it was new.
    pub fn add(&mut self, group: Group) -> bool {
        let Err(place) = self.place(group.name()) else { return false };
        self.bytes += group.heap_bytes();
        self.all.insert(place, Box::new(group));
        true
    }

    /// Removes a group; says whether it was there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let Ok(place) = self.place(name) else { return false };
        self.bytes -= self.all.remove(place).heap_bytes();
        true
    }

    /// Changes the group of a name, if there is one.
    #[inline]
    pub fn change<R>(&mut self, name: &[u8], change: impl FnOnce(&mut Group) -> R) -> Option<R> {
        let place = self.place(name).ok()?;
        Some(self.change_at(place, change))
    }

    #[inline]
    fn change_at<R>(&mut self, place: usize, change: impl FnOnce(&mut Group) -> R) -> R {
        let group = &mut self.all[place];
        let before = group.heap_bytes();
        let result = change(group);
        self.bytes = self.bytes - before + group.heap_bytes();
        result
    }

    /// Ends that an entry is pending in any group; says whether it was in one.
    pub fn forget(&mut self, id: StreamId) -> bool {
        let mut was_pending = false;
        for place in 0..self.all.len() {
            was_pending |= self.change_at(place, |group| group.acknowledge(id));
        }
        was_pending
    }

    /// Whether no group needs an entry any more: all were given it and have acknowledged it.
    pub fn are_done_with(&self, id: StreamId) -> bool {
        self.all.iter().all(|group| group.is_done_with(id))
    }
}
