//! The databases of a shard: the one that most clients use, and those others that hold something.
//!
//! A thousand shards times a dozen databases is more than a small cache holds, so a database above 0 is there from its first key until
//! its last one, and a number that nobody uses costs nothing. Database 0 is always there, beside the lock.
//!
//! Invariants:
//! * Numbers of `others` ascend, and none is 0.
//! * What [`Databases::get_or_make`], [`Databases::drop_if_idle`] and [`Databases::swap`] answer adds up to [`Databases::heap_bytes`].

use super::Database;
use crate::size_class::usable;

/// All databases of a shard.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Databases {
    first: Database,
    others: Option<Box<Others>>,
}

/// Databases above 0, by number.
#[derive(Debug, Default)]
struct Others(Vec<(u32, Box<Database>)>);

impl Others {
    fn find(&self, db: u32) -> Result<usize, usize> {
        self.0.binary_search_by_key(&db, |(number, _)| *number)
    }

    fn put(&mut self, db: u32, database: Box<Database>) -> &mut Database {
        let at = self.find(db).unwrap_or_else(|at| at);
        // As a rule there is one: room for four would be wasted a thousand times.
        self.0.reserve_exact(1);
        self.0.insert(at, (db, database));
        &mut self.0[at].1
    }

    fn take(&mut self, db: u32) -> Option<Box<Database>> {
        let at = self.find(db).ok()?;
        let (_, database) = self.0.remove(at);
        self.0.shrink_to_fit();
        Some(database)
    }
}

impl Databases {
    /// A database, if it holds anything or is the first.
    #[inline]
    pub(super) fn get(&self, db: u32) -> Option<&Database> {
        if db == 0 {
            return Some(&self.first);
        }
        let others = self.others.as_ref()?;
        others.find(db).ok().map(|at| &*others.0[at].1)
    }

    /// As [`Databases::get`], to be changed.
    #[inline]
    pub(super) fn get_mut(&mut self, db: u32) -> Option<&mut Database> {
        if db == 0 {
            return Some(&mut self.first);
        }
        let others = self.others.as_mut()?;
        others.find(db).ok().map(|at| &mut *others.0[at].1)
    }

    /// The database that most clients use.
    #[inline]
    pub(super) const fn first(&self) -> &Database {
        &self.first
    }

    /// A database, which comes to be if it is not there; and by how many bytes this has grown.
    #[inline]
    pub(super) fn get_or_make(&mut self, db: u32) -> (&mut Database, isize) {
        if db == 0 {
            return (&mut self.first, 0);
        }
        self.get_or_make_other(db)
    }

    fn get_or_make_other(&mut self, db: u32) -> (&mut Database, isize) {
        let before = self.heap_bytes() as isize;
        if self.get(db).is_none() {
            self.others.get_or_insert_default().put(db, Box::default());
        }
        let grown = self.heap_bytes() as isize - before;
        (self.get_mut(db).expect("made above"), grown)
    }

    /// Drops a database above 0 that holds nothing. Answers by how many bytes this has grown.
    pub(super) fn drop_if_idle(&mut self, db: u32) -> isize {
        let is_idle = db > 0 && self.get(db).is_some_and(Database::is_idle);
        if !is_idle {
            return 0;
        }
        let before =
            (self.heap_bytes() + self.get(db).map_or(0, Database::overhead_bytes)) as isize;
        self.take(db);
        self.heap_bytes() as isize - before
    }

    fn take(&mut self, db: u32) -> Option<Box<Database>> {
        let taken = self.others.as_mut()?.take(db);
        self.others.take_if(|others| others.0.is_empty());
        taken
    }

    /// Exchanges two databases. Answers by how many bytes this has grown.
    pub(super) fn swap(&mut self, one: u32, other: u32) -> isize {
        let (low, high) = (one.min(other), one.max(other));
        if low == high {
            return 0;
        }
        let before = self.heap_bytes() as isize;
        let from_high = self.take(high);
        let from_low =
            if low == 0 { Some(Box::new(std::mem::take(&mut self.first))) } else { self.take(low) };
        match from_high {
            Some(database) if low == 0 => self.first = *database,
            Some(database) => drop(self.others.get_or_insert_default().put(low, database)),
            None => {}
        }
        if let Some(database) = from_low {
            self.others.get_or_insert_default().put(high, database);
        }
        self.heap_bytes() as isize - before
    }

    /// All that are there, with their numbers, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Database)> {
        let others = self.others.iter().flat_map(|others| &others.0);
        std::iter::once((0, &self.first)).chain(others.map(|(db, database)| (*db, &**database)))
    }

    /// As [`Databases::iter`], to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Database> {
        let others = self.others.iter_mut().flat_map(|others| &mut others.0);
        std::iter::once(&mut self.first).chain(others.map(|(_, database)| &mut **database))
    }

    /// One more than the highest number that is there.
    pub(super) fn end(&self) -> u32 {
        let highest = self.others.as_ref().and_then(|others| others.0.last());
        highest.map_or(1, |(db, _)| db + 1)
    }

    /// Bytes of what is kept beside the first database, without what databases hold.
    pub(super) fn heap_bytes(&self) -> usize {
        self.others.as_ref().map_or(0, |others| {
            let list = usable(others.0.capacity() * size_of::<(u32, Box<Database>)>());
            usable(size_of::<Others>()) + list + others.0.len() * usable(size_of::<Database>())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Tells databases apart by a number that nothing here looks at.
    fn mark(databases: &mut Databases, db: u32, bytes: usize) -> isize {
        let (database, grown) = databases.get_or_make(db);
        database.bytes = bytes;
        grown
    }

    proptest! {
        #[test]
        fn numbers_lead_to_what_was_put_there(steps in proptest::collection::vec((0u32..3, 0u32..6, 0u32..6), 0..60)) {
            let (mut databases, mut twin, mut grown) = (Databases::default(), BTreeMap::new(), 0);
            twin.insert(0, 0);
            for (nth, (step, one, other)) in steps.into_iter().enumerate() {
                match step {
                    0 => {
                        grown += mark(&mut databases, one, nth);
                        twin.insert(one, nth);
                    }
                    1 => {
                        grown += databases.drop_if_idle(one);
                        if one > 0 { twin.remove(&one); }
                    }
                    _ => {
                        grown += databases.swap(one, other);
                        let (a, b) = (twin.remove(&one), twin.remove(&other));
                        twin.extend(b.or(a.filter(|_| one == other)).map(|it| (one, it)));
                        twin.extend(a.filter(|_| one != other).map(|it| (other, it)));
                        twin.entry(0).or_insert(0);
                    }
                }
                let found: Vec<(u32, usize)> = databases.iter().map(|(db, it)| (db, it.bytes)).collect();
                let expected: Vec<(u32, usize)> = twin.iter().map(|(db, bytes)| (*db, *bytes)).collect();
                prop_assert_eq!(found, expected);
                prop_assert_eq!(grown, databases.heap_bytes() as isize);
                prop_assert_eq!(databases.end(), twin.keys().max().unwrap() + 1);
            }
        }
    }
}
