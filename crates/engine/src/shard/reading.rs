//! A shard's part in long replies, which are made in parts while the collection that they tell of stays as it is.
//!
//! ```text
//! nobody changes the collection:  the reply is made piece by piece, as fast as the client takes it
//! somebody wants to change it:    the reader is told to be quick, and who came tries again until it is done
//! somebody changes it unasked:    the rest of the reply is made first, however long it takes
//! it is removed:                  the readers get it, and the last of them throws it away
//! ```
//!
//! So a reply shows one moment, that of its request, and a client that does not read makes nobody wait and costs no memory.
//!
//! Replies that list the names of a database are made shard by shard. There is nothing to wait for: before a name comes or goes, the rest
//! of those of the shard is listed, which is a fraction of all.

use std::fmt::Debug;
use std::sync::Arc;

use super::{Name, Shard, guard};
use crate::entry::Entry;
use crate::table::Table;
use crate::trash::Trash;
use crate::value::Told;

/// Who makes a long reply of an entry.
pub trait Reader: Send + Sync + Debug {
    /// Whether nothing more is wanted of the entry.
    fn is_done(&self) -> bool;

    /// Somebody waits for the entry: the rest is to be read now, whether the client takes it or not.
    fn hurry(&self);

    /// Whether somebody waits for the entry.
    fn is_hurried(&self) -> bool;

    /// The entry is about to change: the last that is seen of it. O(n).
    fn finish(&self, entry: &Entry);

    /// The entry is gone: it is the readers' now.
    fn keep(&self, entry: Arc<Removed>);
}

/// Who makes a long reply of the names of a database.
pub trait Lister: Send + Sync + Debug {
    /// Whether nothing more is wanted of a shard.
    fn is_done(&self, shard: u32) -> bool;

    /// The names of a shard are about to be others: the last that is seen of them. O(n).
    fn finish(&self, shard: u32, table: &Table);
}

/// An entry that only readers have.
#[derive(Debug)]
pub struct Removed {
    entry: Option<Entry>,
    trash: Arc<Trash>,
}

impl Removed {
    /// The entry.
    pub const fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        if let Some(large) = self.entry.take().and_then(Entry::into_large) {
            self.trash.throw(large);
        }
    }
}

/// A long reply under way.
#[derive(Debug)]
pub(super) struct Reading {
    db: u32,
    key: Box<[u8]>,
    reader: Arc<dyn Reader>,
}

impl Reading {
    fn is_of(&self, name: Name<'_>) -> bool {
        self.db == name.db && *self.key == *name.key
    }
}

/// A long list of names under way.
#[derive(Debug)]
pub(super) struct Listing {
    db: u32,
    lister: Arc<dyn Lister>,
}

impl Shard {
    /// From now on a lister sees the names of a database before they change, until it is done with this shard.
    pub fn list_in_parts(&mut self, db: u32, lister: Arc<dyn Lister>) {
        let index = self.index;
        self.listings.retain(|listing| !listing.lister.is_done(index));
        self.listings.push(Listing { db, lister });
        self.guards |= guard::LISTING;
    }

    /// The names of a database are about to change: who lists them sees them first.
    #[cold]
    pub(super) fn list_first(&mut self, db: u32) {
        let (index, databases) = (self.index, &self.databases);
        self.listings.retain(|listing| {
            if listing.lister.is_done(index) || listing.db != db {
                return !listing.lister.is_done(index);
            }
            if let Some(database) = databases.get(db) {
                listing.lister.finish(index, &database.table);
            }
            false
        });
        if self.listings.is_empty() {
            self.guards &= !guard::LISTING;
        }
    }

    /// From now on a reader sees an entry before it changes, until it is done. Not where somebody waits for the entry: then the answer is
    /// false, and all of it is to be read at once.
    pub fn read_in_parts(&mut self, name: Name<'_>, reader: Arc<dyn Reader>) -> bool {
        self.forget_readings(|reading| reading.reader.is_done());
        let is_awaited = |reading: &Reading| reading.is_of(name) && reading.reader.is_hurried();
        if self.readings.iter().any(is_awaited) {
            return false;
        }
        self.readings.push(Reading { db: name.db, key: name.key.into(), reader });
        self.guards |= guard::READING;
        true
    }

    /// Whether somebody still reads an entry, who is told that it is waited for.
    pub(super) fn is_yet_to_be_read(&mut self, name: Name<'_>) -> bool {
        self.forget_readings(|reading| reading.reader.is_done());
        let of_name = || self.readings.iter().filter(|reading| reading.is_of(name));
        of_name().for_each(|reading| reading.reader.hurry());
        of_name().next().is_some()
    }

    /// What is about to change is read to its end first.
    pub(super) fn read_first(&mut self, name: Name<'_>) {
        self.end_readings(name, |reader, shard| {
            if let Some(entry) = shard.get(name) {
                reader.finish(entry);
            }
        });
    }

    /// As [`Shard::read_first`], for all that a database holds.
    pub(super) fn read_first_of(&mut self, db: u32) {
        self.each_read(db, Self::read_first);
    }

    /// Removes the entries of a database that are read. Answers how many there were.
    pub(super) fn remove_what_is_read(&mut self, db: u32) -> usize {
        let mut removed = 0;
        self.each_read(db, |shard, name| removed += usize::from(shard.remove(name)));
        removed
    }

    /// Ends all readings of a database by `end`, which is to forget those of the name it is given.
    fn each_read(&mut self, db: u32, mut end: impl FnMut(&mut Self, Name<'_>)) {
        self.forget_readings(|reading| reading.reader.is_done());
        while let Some(key) = self.readings.iter().find(|it| it.db == db).map(|it| it.key.clone()) {
            end(self, Name { db, key: &key, hash: self.common.seed.hash(&key) });
        }
    }

    /// An entry that is to be removed goes to those who read it. Says whether anybody does.
    pub(super) fn leave_to_readers(&mut self, name: Name<'_>) -> bool {
        if !self.is_yet_to_be_read(name) {
            return false;
        }
        if self.is_saving() {
            self.save_first(name);
        }
        self.notify(name, Told::All);
        let removed =
            Arc::new(Removed { entry: self.detach(name), trash: Arc::clone(&self.common.trash) });
        self.end_readings(name, |reader, _| reader.keep(Arc::clone(&removed)));
        true
    }

    /// Lets readers of an entry have the last of it.
    fn end_readings(&mut self, name: Name<'_>, end: impl Fn(&dyn Reader, &Self)) {
        if self.readings.is_empty() {
            return;
        }
        let readings = std::mem::take(&mut self.readings);
        let of_name = readings.iter().filter(|reading| reading.is_of(name));
        of_name.for_each(|reading| end(&*reading.reader, self));
        self.readings = readings;
        self.forget_readings(|reading| reading.is_of(name));
    }

    fn forget_readings(&mut self, is_over: impl Fn(&Reading) -> bool) {
        self.readings.retain(|reading| !is_over(reading));
        if self.readings.is_empty() {
            self.guards &= !guard::READING;
        }
    }
}

#[cfg(test)]
mod tests;
