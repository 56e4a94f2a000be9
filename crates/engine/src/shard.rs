//! One lock's worth of the keyspace, and the one door to it.
//!
//! A shard holds the tables of all databases for its part of the hash space, what is due when, and who is interested. Whatever changes
//! or removes an entry, its value, its name or its expiry goes through the methods of this file; they see the old state first, and keep
//! for all others: the count of bytes, the expiry index, the watches, the waiters, and the mark that a change is under way.
//!
//! Invariants:
//! * An entry has an expiry if and only if the index of its database has (expiry, hash of its key).
//! * A hash has fields that end if and only if the other index of its database has (the first of their ends, hash of its key).
//! * `bytes` of a database is the sum of the weights of its entries.
//! * While no snapshot is under way, every entry has the shard's mark; see [`crate::snapshot`].
//! * What [`Shard::take_growth`] has answered so far adds up to the bytes of entries, tables and indexes, but for what it would answer now.
//! * `half_changed` is set from the first change of a unit until [`Shard::finish`].

mod databases;
mod moving;
mod order;
mod reading;
mod saving;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

use crate::access::{Access, Kind};
use crate::entry::{Entry, Large};
use crate::eviction::Sight;
use crate::eviction::queue::Queue;
use crate::expire::ExpiryIndex;
use crate::few::Few;
use crate::interest::Interest;
use crate::lock::Protected;
use crate::size_class::usable;
use crate::sizes::{Measure, Sizes};
use crate::snapshot::Epoch;
use crate::table::Table;
use crate::trash::Trash;
use crate::value::{Collection, ObjectMut, ObjectRef, Told, Value};
use crate::whereabouts::Whereabouts;
use databases::Databases;

pub use reading::{Lister, Reader, Removed};

/// The keys of the keyed hash: one pair per process, so that nobody outside can prepare colliding keys.
#[derive(Clone, Copy, Debug)]
pub struct Seed(pub u64, pub u64);

impl Seed {
    /// SipHash-1-3 of some bytes.
    #[inline]
    pub fn hash(self, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write(bytes);
        hasher.finish()
    }
}

/// A key in a database, and the hash of the whole key.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    /// Which database.
    pub db: u32,
    /// Which key.
    pub key: &'a [u8],
    /// `Seed::hash(key)`.
    pub hash: u64,
}

/// An empty database goes at once if its table and indexes take no more.
const IDLE_BYTES_MAX: usize = 64 * 1024;

/// One database's part of a shard. What every command looks at stands in its first cache line.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Database {
    /// What ends when, if anything does.
    deadlines: Option<Box<Deadlines>>,
    bytes: usize,
    table: Table,
    sizes: Sizes,
    /// Who came last and who went, if the policy wants to know.
    queue: Option<Box<Queue>>,
}

/// What ends when.
#[derive(Debug, Default)]
struct Deadlines {
    expiry: ExpiryIndex,
    /// Which hashes have fields that end, by the first of their ends.
    fields: ExpiryIndex,
}

impl Deadlines {
    fn is_empty(&self) -> bool {
        self.expiry.is_empty() && self.fields.is_empty()
    }

    /// Bytes of the indexes, and of what holds them.
    fn heap_bytes(&self) -> usize {
        usable(size_of::<Self>()) + self.expiry.heap_bytes() + self.fields.heap_bytes()
    }
}

impl Database {
    /// The entries.
    #[inline]
    pub const fn table(&self) -> &Table {
        &self.table
    }

    /// How many entries have an expiry.
    pub fn volatile(&self) -> usize {
        self.expiry().map_or(0, ExpiryIndex::len)
    }

    /// Which entries end when, if any does.
    fn expiry(&self) -> Option<&ExpiryIndex> {
        Some(&self.deadlines.as_ref()?.expiry)
    }

    /// Which hashes have fields that end when, if any does.
    fn fields(&self) -> Option<&ExpiryIndex> {
        Some(&self.deadlines.as_ref()?.fields)
    }

    /// Keeps count and indexes true when an entry goes from `old` to `new`; `hash` says that of its key. Answers by how many bytes all has
    /// grown.
    #[inline]
    fn account(&mut self, hash: impl FnOnce() -> u64, old: Kept, new: Kept) -> isize {
        let (from, to) = (old.size, new.size);
        self.bytes = self.bytes - from.weight + to.weight;
        let grown =
            to.weight as isize - from.weight as isize + self.sizes.move_one(from.class, to.class);
        let is_moved = old.expiry != new.expiry || old.field_deadline != new.field_deadline;
        if is_moved { grown + self.move_deadlines(hash(), old, new) } else { grown }
    }

    /// Keeps the indexes true. Answers by how many bytes they have grown.
    #[inline(never)]
    fn move_deadlines(&mut self, hash: u64, old: Kept, new: Kept) -> isize {
        let before = self.expiry_bytes() as isize;
        let Deadlines { expiry, fields } = &mut **self.deadlines.get_or_insert_default();
        move_deadline(expiry, hash, old.expiry, new.expiry);
        move_deadline(fields, hash, old.field_deadline, new.field_deadline);
        self.deadlines.take_if(|deadlines| deadlines.is_empty());
        self.expiry_bytes() as isize - before
    }

    /// How large values are.
    pub const fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// Whether anything in it ends some time: an entry, or a field of a hash.
    #[inline]
    pub fn has_deadlines(&self) -> bool {
        self.deadlines.is_some()
    }

    /// How many hashes have fields that end.
    pub fn hashes_with_deadlines(&self) -> usize {
        self.fields().map_or(0, ExpiryIndex::len)
    }

    /// Whether nothing is in it, and nothing of it is so large that freeing it takes long.
    fn is_idle(&self) -> bool {
        self.table.is_empty() && !self.has_deadlines() && self.overhead_bytes() <= IDLE_BYTES_MAX
    }

    /// Bytes of entries, tables and indexes.
    fn all_bytes(&self) -> usize {
        self.bytes + self.overhead_bytes()
    }

    /// Bytes of the table, the indexes and the counts.
    fn overhead_bytes(&self) -> usize {
        let indexes = self.expiry_bytes() + self.sizes.heap_bytes();
        self.table.heap_bytes() + indexes + self.queue_bytes()
    }

    /// Some entry, each with about the same chance; or only one of those that end.
    pub fn sample(&self, only_volatile: bool, dice: &mut impl FnMut() -> u64) -> Option<&Entry> {
        if !only_volatile {
            return self.table.sample(dice);
        }
        // Where many end, one that does is found by luck; else the index knows where they are.
        if self.volatile() * 4 >= self.table.len() {
            for _ in 0..8 {
                let entry = self.table.sample(&mut *dice)?;
                if entry.expiry().is_some() {
                    return Some(entry);
                }
            }
        }
        self.of_pair(self.expiry()?.sample(dice)?)
    }

    /// The entry that was seen somewhere, if it is still there and was not used meanwhile. It is not looked at.
    #[inline]
    pub fn seen(&self, sight: &Sight) -> Option<&Entry> {
        self.table.by_hash(sight.place, |entry| sight.is_of(entry))
    }

    /// The entry that ends first.
    pub fn first_to_end(&self) -> Option<&Entry> {
        self.of_pair(self.expiry()?.first()?)
    }

    fn of_pair(&self, (deadline, hash): (u64, u64)) -> Option<&Entry> {
        self.table.by_hash(hash, |entry| entry.expiry() == Some(deadline))
    }

    /// Bytes of the indexes of what ends when.
    pub fn expiry_bytes(&self) -> usize {
        self.deadlines.as_ref().map_or(0, |deadlines| deadlines.heap_bytes())
    }

    /// The sum of when they end.
    pub fn deadlines(&self) -> u128 {
        self.expiry().map_or(0, ExpiryIndex::deadlines)
    }
}

/// What all shards of a keyspace share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) seed: Seed,
    pub(crate) trash: Arc<Trash>,
    pub(crate) whereabouts: Whereabouts,
    /// The snapshot under way.
    pub(crate) epoch: Mutex<Option<Arc<Epoch>>>,
    /// The number of the policy that keeps queues, or a number that none has.
    pub(crate) queues: AtomicU8,
}

/// The number that no policy has.
pub(crate) const NO_QUEUES: u8 = u8::MAX;

impl Common {
    /// The policy that keeps queues.
    #[inline]
    fn queue_kind(&self) -> Option<Kind> {
        match self.queues.load(Ordering::Relaxed) {
            NO_QUEUES => None,
            number => Kind::numbered(number),
        }
    }
}

/// One lock's worth of the keyspace. What every command looks at stands first: in the cache line of the lock's own word, and in the next,
/// which is that of the database that most clients use. Those two are all that threads must hand to each other.
#[derive(Debug)]
#[repr(C)]
pub struct Shard {
    half_changed: bool,
    /// Who wants to see an entry before it changes: bits of [`guard`].
    guards: u8,
    /// What entries have that are saved; see [`crate::snapshot`].
    mark: bool,
    index: u32,
    interest: Option<Box<Interest>>,
    /// The journal's offset behind the last write to this shard.
    pub lsn: u64,
    /// Bytes of entries, tables and indexes that came, less those that went, since somebody asked.
    growth: isize,
    common: Arc<Common>,
    saving: Option<Box<saving::Saving>>,
    /// Replies that are made of the names of this shard, in parts.
    listings: Few<reading::Listing>,
    databases: Databases,
    /// Replies that are made of entries of this shard, in parts.
    readings: Few<reading::Reading>,
}

/// Who wants to see an entry before it changes.
mod guard {
    /// A snapshot is under way that has not passed this shard.
    pub(super) const SAVING: u8 = 1 << 0;
    /// Long replies are made in parts; see [`super::reading`].
    pub(super) const READING: u8 = 1 << 1;
    /// Long lists of names are made in parts.
    pub(super) const LISTING: u8 = 1 << 2;
}

impl Protected for Shard {
    fn is_half_changed(&self) -> bool {
        self.half_changed
    }
}

impl Shard {
    /// Where in a shard the database lies that most clients use.
    pub(crate) const FIRST_DATABASE_AT: usize = std::mem::offset_of!(Self, databases);

    /// An empty shard. It has the database that most clients use; others come when something is put in.
    pub(crate) fn new(index: u32, common: Arc<Common>) -> Self {
        Self {
            databases: Databases::default(),
            interest: None,
            lsn: 0,
            half_changed: false,
            guards: 0,
            mark: false,
            index,
            growth: 0,
            common,
            saving: None,
            readings: Few::default(),
            listings: Few::default(),
        }
    }

    /// Tells those without the lock where the buckets are, after anything that may have moved them.
    #[inline]
    fn tell(&self) {
        let (first, buckets) = self.databases.first().table.whereabouts();
        self.common.whereabouts.tell(self.index, first, buckets);
    }

    /// Bytes that keys and values take from the allocator.
    pub fn bytes(&self) -> usize {
        self.databases.iter().map(|(_, database)| database.bytes).sum()
    }

    /// Bytes of tables, indexes and databases, but for what an empty shard has.
    pub fn overhead_bytes(&self) -> usize {
        let databases = self.databases.iter().map(|(_, database)| database.overhead_bytes());
        databases.sum::<usize>() + self.databases.heap_bytes()
    }

    /// A database, if it holds anything, or is the first.
    #[inline]
    pub fn database(&self, db: u32) -> Option<&Database> {
        self.databases.get(db)
    }

    /// One more than the highest number of a database that may hold anything.
    pub fn databases(&self) -> u32 {
        self.databases.end()
    }

    /// A database that something is about to be put in.
    #[inline]
    fn database_mut(&mut self, db: u32) -> &mut Database {
        let (database, grown) = self.databases.get_or_make(db);
        self.growth += grown;
        database
    }

    /// The entry of a name, ended or not.
    #[inline]
    pub fn get(&self, name: Name<'_>) -> Option<&Entry> {
        self.database(name.db)?.table.get(name.hash, name.key)
    }

    /// The entry of a name, its use being noted if it is one; `dice` gives random numbers. What a snapshot or the accounting would have
    /// to see does not change through this.
    #[inline]
    pub fn get_for_access(
        &mut self,
        name: Name<'_>,
        access: Option<Access>,
        dice: impl FnOnce() -> u64,
    ) -> Option<&Entry> {
        let entry = self.databases.get_mut(name.db)?.table.get_mut(name.hash, name.key)?;
        note(entry, access, dice);
        Some(entry)
    }

    /// Sets the bits of an entry's access. Says whether there is one.
    pub fn set_access(&mut self, name: Name<'_>, bits: u32) -> bool {
        let database = self.databases.get_mut(name.db);
        let entry = database.and_then(|database| database.table.get_mut(name.hash, name.key));
        entry.map(|entry| entry.set_access(bits)).is_some()
    }

    /// Brings the entry of a hash towards the cache, for the database that most clients use; where there is none, what is remembered of its key.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        let is_there = self.databases.first().table.prefetch_entry(hash);
        // Where no policy remembers, the line of the shard that says so is not looked at either.
        if !is_there && self.common.queue_kind().is_some() {
            self.prefetch_memory(0, hash);
        }
    }

    /// The collection under a key of this hash in the database that most clients use, as a rule the one that is meant: for prefetching
    /// only.
    #[inline]
    pub fn collection_of(&self, hash: u64) -> Option<ObjectRef<'_>> {
        self.databases.first().table.by_hash(hash, |_| true)?.object()
    }

    /// Every change begins here.
    #[inline]
    fn touch(&mut self, name: Name<'_>) {
        if self.guards != 0 {
            self.show_first(name);
        }
        self.notify(name, Told::All);
    }

    /// What is about to change is first seen by those who are to see it as it is.
    #[cold]
    fn show_first(&mut self, name: Name<'_>) {
        if self.is_saving() {
            self.save_first(name);
        }
        self.read_first(name);
    }

    /// Whether anybody wants to see entries before they change.
    #[inline]
    pub const fn is_guarded(&self) -> bool {
        self.guards != 0
    }

    /// Whether somebody is to see the large collection of a key, who is told to be quick: who wants to change it comes again then.
    #[cold]
    pub fn is_closed(&mut self, name: Name<'_>) -> bool {
        self.is_yet_to_be_saved(name) | self.is_yet_to_be_read(name)
    }

    #[inline]
    fn notify(&mut self, name: Name<'_>, told: Told) {
        self.half_changed = true;
        if let Some(interest) = &mut self.interest {
            interest.touched(name, told);
        }
    }

    /// Says that a name changed though no entry did, as when a key that was watched turns out to have ended.
    pub fn touch_name(&mut self, name: Name<'_>) {
        self.touch(name);
    }

    /// The unit's changes are whole again.
    #[inline]
    pub const fn finish(&mut self) {
        self.half_changed = false;
    }

    /// By how many bytes entries, tables and indexes have grown since this was asked for the last time.
    #[inline]
    pub const fn take_growth(&mut self) -> isize {
        std::mem::replace(&mut self.growth, 0)
    }

    /// What [`Shard::take_growth`] would answer.
    #[inline]
    pub const fn growth(&self) -> isize {
        self.growth
    }

    /// Whether anything changed since the last [`Shard::finish`].
    #[inline]
    pub const fn is_changed(&self) -> bool {
        self.half_changed
    }

    /// Sets a value, over an old one or anew, the one being a use of the entry and the other its first. A large old value goes to the
    /// bin.
    #[inline]
    pub fn set(
        &mut self,
        name: Name<'_>,
        value: Value<'_>,
        expiry: Option<u64>,
        access: Access,
        dice: impl FnOnce() -> u64,
    ) {
        self.touch(name);
        if let Some(database) = self.databases.get_mut(name.db)
            && let Some(entry) = database.table.get_mut(name.hash, name.key)
        {
            note_change(entry, Some(access), dice);
            if entry.replace_alike(&value, expiry) {
                return;
            }
            let old = Kept::of(entry);
            let large = entry.replace(value, expiry);
            let new = Kept::of(entry);
            self.growth += database.account(|| name.hash, old, new);
            if let Some(large) = large {
                self.common.trash.throw(large);
            }
            return;
        }
        self.make(name, value, expiry, access);
    }

    /// As [`Shard::set`], for a name that has no value; where there is one, nothing is done. Says whether there was none.
    pub fn set_new(
        &mut self,
        name: Name<'_>,
        value: Value<'_>,
        expiry: Option<u64>,
        access: Access,
    ) -> bool {
        if self.get(name).is_some() {
            return false;
        }
        self.touch(name);
        self.make(name, value, expiry, access);
        true
    }

    /// Makes room for so many keys in a database that has none yet. Whoever does that sees to it that [`Shard::fit`] follows.
    pub fn expect(&mut self, db: u32, keys: usize) {
        let database = self.database_mut(db);
        let before = database.table.heap_bytes();
        database.table.expect(keys);
        self.growth += database.table.heap_bytes() as isize - before as isize;
        self.tell();
    }

    /// Gives back room that was made and is not needed.
    pub fn fit(&mut self) {
        let seed = self.common.seed;
        for db in 0..self.databases.end() {
            let Some(database) = self.databases.get_mut(db) else { continue };
            let before = database.table.heap_bytes();
            database.table.fit(&|key| seed.hash(key));
            self.growth += database.table.heap_bytes() as isize - before as isize;
            self.growth += self.databases.drop_if_idle(db);
        }
        self.tell();
    }

    /// Makes an entry whose key is not there.
    #[inline]
    fn make(&mut self, name: Name<'_>, value: Value<'_>, expiry: Option<u64>, access: Access) {
        let mut entry = Entry::new(name.key, value, expiry);
        entry.set_access(access.first());
        self.add(name, entry);
    }

    /// Puts an entry in whose key is not there. A snapshot has nothing to do with what is new.
    fn add(&mut self, name: Name<'_>, mut entry: Entry) {
        if self.guards & guard::LISTING != 0 {
            self.list_first(name.db);
        }
        entry.set_mark(self.mark);
        let (seed, queue) = (self.common.seed, self.common.queue_kind());
        let database = self.database_mut(name.db);
        let mut grown = 0;
        if queue.is_some() {
            grown += database.enter(queue, name.hash, &mut entry);
        }
        grown += database.account(|| name.hash, Kept::NOTHING, Kept::of(&entry));
        let before = database.table.heap_bytes();
        database.table.insert(name.hash, entry, &|key| seed.hash(key));
        grown += database.table.heap_bytes() as isize - before as isize;
        self.growth += grown;
        self.tell();
    }

    /// Puts in, under a new name, an entry that [`Shard::take`] gave. The key must not be there.
    pub fn put(&mut self, name: Name<'_>, entry: Entry) {
        self.touch(name);
        self.add(name, entry);
    }

    /// Changes an entry in place; `None` if there is none.
    #[inline]
    pub fn update<R>(&mut self, name: Name<'_>, change: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        self.touch(name);
        let database = self.databases.get_mut(name.db)?;
        let entry = database.table.get_mut(name.hash, name.key)?;
        let old = Kept::of(entry);
        let result = change(entry);
        let new = Kept::of(entry);
        self.growth += database.account(|| name.hash, old, new);
        Some(result)
    }

    /// As [`Shard::update`], for a change that may turn out to be none: `change` says whether it was one. Only then is anybody told.
    #[inline]
    pub fn change<R>(
        &mut self,
        name: Name<'_>,
        change: impl FnOnce(&mut Entry) -> (R, bool),
    ) -> Option<R> {
        if self.guards != 0 {
            self.show_first(name);
        }
        let database = self.databases.get_mut(name.db)?;
        let entry = database.table.get_mut(name.hash, name.key)?;
        let was_changed = std::mem::replace(&mut self.half_changed, true);
        let old = Kept::of(entry);
        let (result, has_changed) = change(entry);
        let new = Kept::of(entry);
        self.growth += database.account(|| name.hash, old, new);
        self.end_change(name, was_changed, Told::from(has_changed));
        Some(result)
    }

    /// Changes a collection in place, the use of its entry being noted, unless the entry is due at `now`: then nothing is done. `change`
    /// says who is to be told. One look into the table is all.
    #[inline]
    pub fn change_live<T: Collection, R>(
        &mut self,
        name: Name<'_>,
        now: u64,
        access: Option<Access>,
        dice: impl FnOnce() -> u64,
        change: impl FnOnce(&mut T) -> (R, Told),
    ) -> Met<R> {
        if self.guards != 0 {
            self.show_first(name);
        }
        let Some(database) = self.databases.get_mut(name.db) else { return Met::Absent };
        let may_be_due = database.has_deadlines();
        let Some(entry) = database.table.get_mut(name.hash, name.key) else {
            return Met::Absent;
        };
        if may_be_due && entry.is_due(now) {
            return Met::Due;
        }
        note_change(entry, access, dice);
        let Some(it) = entry.object_mut().and_then(T::of_mut) else { return Met::Other };
        let was_changed = std::mem::replace(&mut self.half_changed, true);
        let old = Kept::of_value(it);
        let (result, told) = change(it);
        let new = Kept::of_value(it);
        self.growth += database.account(|| name.hash, old, new);
        self.end_change(name, was_changed, told);
        Met::Changed(result)
    }

    #[inline]
    fn end_change(&mut self, name: Name<'_>, was_changed: bool, told: Told) {
        if told == Told::Nobody {
            self.half_changed = was_changed;
        } else {
            self.notify(name, told);
        }
    }

    /// Changes when an entry ends. Says whether there is one.
    pub fn set_expiry(&mut self, name: Name<'_>, expiry: Option<u64>) -> bool {
        self.update(name, |entry| entry.set_expiry(expiry)).is_some()
    }

    /// Takes an entry out, for another name or database.
    pub fn take(&mut self, name: Name<'_>) -> Option<Entry> {
        self.touch(name);
        self.detach(name)
    }

    /// Takes an entry out without telling anybody.
    fn detach(&mut self, name: Name<'_>) -> Option<Entry> {
        if self.guards & guard::LISTING != 0 {
            self.list_first(name.db);
        }
        let seed = self.common.seed;
        let remove = |table: &mut Table| table.remove(name.hash, name.key, &|key| seed.hash(key));
        self.detach_by(name.db, remove, |_| name.hash)
    }

    /// Takes out the entry that `remove` takes out of a table; `hash_of` says the hash of its key.
    #[inline]
    fn detach_by(
        &mut self,
        db: u32,
        remove: impl FnOnce(&mut Table) -> Option<Entry>,
        hash_of: impl FnOnce(&[u8]) -> u64,
    ) -> Option<Entry> {
        let database = self.databases.get_mut(db)?;
        let before = database.table.heap_bytes();
        let entry = remove(&mut database.table)?;
        self.growth += database.table.heap_bytes() as isize - before as isize;
        let hash = || hash_of(entry.key());
        self.growth += database.account(hash, Kept::of(&entry), Kept::NOTHING);
        if db > 0 {
            self.growth += self.databases.drop_if_idle(db);
        }
        self.tell();
        Some(entry)
    }

    /// Removes an entry; a large value goes to the bin. Says whether there was one.
    pub fn remove(&mut self, name: Name<'_>) -> bool {
        if self.guards != 0 && (self.hand_over(name) || self.leave_to_readers(name)) {
            return true;
        }
        let Some(entry) = self.take(name) else { return false };
        self.throw(entry);
        true
    }

    /// Ends an entry that was taken out; a large value goes to the bin.
    fn throw(&self, entry: Entry) {
        if let Some(large) = entry.into_large() {
            self.common.trash.throw(large);
        }
    }

    /// The key of an entry that has ended at `now`, first due first, if there is one.
    pub fn due(&self, db: u32, now: u64) -> Option<Box<[u8]>> {
        let database = self.database(db)?;
        let (deadline, hash) =
            database.expiry()?.first().filter(|(deadline, _)| *deadline <= now)?;
        database
            .table
            .by_hash(hash, |entry| entry.expiry() == Some(deadline))
            .map(|e| e.key().into())
    }

    /// The key of a hash with a field that has ended at `now`, first due first, if there is one.
    pub fn due_hash(&self, db: u32, now: u64) -> Option<Box<[u8]>> {
        let database = self.database(db)?;
        let (deadline, hash) =
            database.fields()?.first().filter(|(deadline, _)| *deadline <= now)?;
        let is_it = |entry: &Entry| entry.field_deadline() == Some(deadline);
        database.table.by_hash(hash, is_it).map(|entry| entry.key().into())
    }

    /// Removes up to `max` fields of a hash that have ended at `now`, first due first, and the hash with its last field. Answers their
    /// names. O(fields removed).
    pub fn end_fields(&mut self, name: Name<'_>, now: u64, max: usize) -> Vec<Vec<u8>> {
        let end = |entry: &mut Entry| {
            let Some(ObjectMut::Hash(hash)) = entry.object_mut() else {
                return ((Vec::new(), false), false);
            };
            let mut ended = Vec::new();
            while ended.len() < max
                && let Some(field) = hash.pop_due(now)
            {
                ended.push(field);
            }
            let has_changed = !ended.is_empty();
            ((ended, hash.is_gone()), has_changed)
        };
        let (ended, is_gone) = self.change(name, end).unwrap_or_default();
        if is_gone {
            self.remove(name);
        }
        ended
    }

    /// Empties a database; the tables go to the bin. Answers how many entries there were.
    pub fn clear(&mut self, db: u32) -> usize {
        self.half_changed = true;
        self.list_first(db);
        let of_readers = self.remove_what_is_read(db);
        let is_wanted = self.wants_flushed(db);
        let Some(database) = self.databases.get_mut(db) else { return of_readers };
        let old = std::mem::take(database);
        let seed = self.common.seed;
        if let Some(interest) = &mut self.interest {
            interest.touched_all(db, |key| old.table.get(seed.hash(key), key).is_some());
        }
        let (count, bytes) = (old.table.len(), old.all_bytes());
        self.growth -= bytes as isize;
        let of_table = old.bytes + old.table.heap_bytes();
        if is_wanted {
            self.keep_flushed(db, old.table);
        } else {
            self.common.trash.throw_table(old.table, of_table);
        }
        self.growth += self.databases.drop_if_idle(db);
        self.tell();
        of_readers + count
    }

    /// Exchanges two databases.
    pub fn swap(&mut self, one: u32, other: u32) {
        self.half_changed = true;
        for db in [one, other] {
            self.list_first(db);
            self.read_first_of(db);
        }
        self.swap_saving(one, other);
        self.growth += self.databases.swap(one, other);
        self.tell();
        let Some(interest) = &mut self.interest else { return };
        let (databases, seed) = (&self.databases, self.common.seed);
        let is_in = |db: u32, key: &[u8]| {
            databases.get(db).is_some_and(|it| it.table.get(seed.hash(key), key).is_some())
        };
        for db in [one, other] {
            interest.touched_all(db, |key| is_in(one, key) || is_in(other, key));
        }
    }

    /// Watchers and waiters, if there are any.
    #[inline]
    pub fn interest(&self) -> Option<&Interest> {
        self.interest.as_deref()
    }

    /// Watchers and waiters, to be changed.
    pub fn interest_mut(&mut self) -> &mut Interest {
        self.interest.get_or_insert_default()
    }

    /// Forgets an interest that nobody has any more.
    pub fn drop_idle_interest(&mut self) {
        if self.interest.as_ref().is_some_and(|interest| interest.is_empty()) {
            self.interest = None;
        }
    }

    /// Moves up to `steps` buckets of tables that are growing or shrinking. Says whether more is to do.
    pub fn settle(&mut self, steps: usize) -> bool {
        let seed = self.common.seed;
        let mut left = steps;
        for database in self.databases.iter_mut().filter(|database| database.table.is_moving()) {
            let before = database.table.heap_bytes();
            while database.table.is_moving() && left > 0 {
                database.table.step(&|key| seed.hash(key));
                left -= 1;
            }
            self.growth += database.table.heap_bytes() as isize - before as isize;
        }
        left == 0
    }
}

pub use moving::Walk;
pub use saving::Walked;

/// What a change has met.
#[derive(Debug)]
pub enum Met<R> {
    /// A collection, which was shown to it.
    Changed(R),
    /// No entry.
    Absent,
    /// An entry of another type.
    Other,
    /// An entry that has ended, or has fields that have.
    Due,
}

/// Notes that an entry is read, if this is to be noted. A store only where the bits differ.
#[inline]
fn note(entry: &mut Entry, access: Option<Access>, dice: impl FnOnce() -> u64) {
    if let Some(access) = access {
        let old = entry.access();
        let new = access.hit(old, dice);
        if new != old {
            entry.set_access(new);
        }
    }
}

/// As [`note`], for an entry that is about to be changed. What changes entries through [`Shard::update`] and kin does this itself.
#[inline]
pub fn note_change(entry: &mut Entry, access: Option<Access>, dice: impl FnOnce() -> u64) {
    if let Some(access) = access {
        let old = entry.access();
        let new = access.update(old, dice);
        if new != old {
            entry.set_access(new);
        }
    }
}

/// What a database keeps of an entry beside it.
#[derive(Clone, Copy)]
struct Kept {
    size: Measure,
    expiry: Option<u64>,
    field_deadline: Option<u64>,
}

impl Kept {
    const NOTHING: Self = Self { size: Measure::NOTHING, expiry: None, field_deadline: None };

    #[inline]
    fn of(entry: &Entry) -> Self {
        Self {
            size: entry.measure(),
            expiry: entry.expiry(),
            field_deadline: entry.field_deadline(),
        }
    }

    /// What a change of a collection may change of it: what the entry itself takes, and when it ends, stay as they are.
    #[inline]
    fn of_value<T: Collection>(it: &T) -> Self {
        Self {
            size: Measure::of(T::KIND, it.len(), it.heap_bytes()),
            expiry: None,
            field_deadline: it.first_deadline(),
        }
    }
}

/// Keeps an index true when what it knows of an entry goes from `old` to `new`.
fn move_deadline(index: &mut ExpiryIndex, hash: u64, old: Option<u64>, new: Option<u64>) {
    if old == new {
        return;
    }
    if let Some(deadline) = old {
        index.remove(deadline, hash);
    }
    if let Some(deadline) = new {
        index.insert(deadline, hash);
    }
}

/// Frees a large value here and now, for callers that are no I/O thread.
pub fn free(large: Large) {
    drop(large);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::string_value;
    use hashbrown::HashMap as Twin;
    use proptest::prelude::*;

    fn shard() -> Shard {
        let common = Common {
            seed: Seed(1, 2),
            trash: Arc::new(Trash::default()),
            whereabouts: Whereabouts::new(1),
            epoch: Mutex::default(),
            queues: AtomicU8::new(NO_QUEUES),
        };
        Shard::new(0, Arc::new(common))
    }

    fn name(key: &[u8]) -> Name<'_> {
        Name { db: 0, key, hash: Seed(1, 2).hash(key) }
    }

    #[test]
    fn a_database_above_the_first_takes_nothing_when_it_is_empty() {
        let mut shard = shard();
        let name = |nth: u32| Name { db: 9, key: b"k", hash: u64::from(nth) << 40 | 7 };
        let set = |shard: &mut Shard, nth| {
            shard.set(name(nth), string_value(b"v"), Some(1), Access::recency(0), || 0);
        };
        set(&mut shard, 1);
        assert!(shard.take_growth() < 1024, "a key of a database of its own costs little");
        assert!(shard.remove(name(1)));
        assert_eq!((shard.databases(), shard.overhead_bytes()), (1, 0));
        assert!(shard.take_growth() < 0);
        set(&mut shard, 1);
        shard.swap(9, 3);
        assert_eq!((shard.databases(), shard.clear(3)), (4, 1));
        assert_eq!((shard.databases(), shard.bytes(), shard.take_growth()), (1, 0, 0));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(u8, usize, Option<u64>),
        Expire(u8, Option<u64>),
        Remove(u8),
        Due(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let at = prop_oneof![Just(None), (1u64..50).prop_map(Some)];
        prop_oneof![
            (any::<u8>(), 0usize..20_000, at.clone()).prop_map(|(k, n, e)| Step::Set(k, n, e)),
            (any::<u8>(), at).prop_map(|(k, e)| Step::Expire(k, e)),
            any::<u8>().prop_map(Step::Remove),
            (1u64..50).prop_map(Step::Due),
        ]
    }

    proptest! {
        #[test]
        fn bytes_and_index_are_true_after_any_change(steps in proptest::collection::vec(step(), 0..200)) {
            let (mut shard, mut twin) = (shard(), Twin::<u8, Option<u64>>::new());
            let mut grown = 0;
            for step in steps {
                match step {
                    Step::Set(k, len, at) => {
                        shard.set(name(&[k]), string_value(&vec![b'v'; len]), at, Access::recency(0), || 0);
                        twin.insert(k, at);
                    }
                    Step::Expire(k, at) => {
                        let there = shard.set_expiry(name(&[k]), at);
                        prop_assert_eq!(there, twin.get_mut(&k).map(|e| *e = at).is_some());
                    }
                    Step::Remove(k) => prop_assert_eq!(shard.remove(name(&[k])), twin.remove(&k).is_some()),
                    Step::Due(now) => {
                        let first = twin.values().flatten().min().copied().filter(|at| *at <= now);
                        let due = shard.due(0, now);
                        prop_assert_eq!(due.as_ref().map(|key| twin[&key[0]]), first.map(Some));
                    }
                }
                grown += shard.take_growth();
                let database = shard.database(0);
                let weights: usize = database.map_or(0, |d| d.table().iter().map(Entry::weight).sum());
                prop_assert_eq!(shard.bytes(), weights);
                prop_assert_eq!(grown, (weights + shard.overhead_bytes()) as isize);
                let mut bins = [0; crate::sizes::BINS];
                let mut expected = bins;
                if let Some(database) = database {
                    database.sizes().add_to(crate::value::Type::String, &mut bins);
                    for entry in database.table().iter() {
                        let crate::View::Short(bytes) = entry.view() else {
                            let crate::View::Chunks(chunks) = entry.view() else { continue };
                            expected[crate::sizes::bin(chunks.len())] += 1;
                            continue;
                        };
                        expected[crate::sizes::bin(bytes.len())] += 1;
                    }
                }
                prop_assert_eq!(bins, expected);
                prop_assert_eq!(database.map_or(0, Database::volatile), twin.values().flatten().count());
            }
        }
    }
}
