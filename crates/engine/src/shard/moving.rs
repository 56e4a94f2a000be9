//! Walking over a shard to move what lies badly in memory; see [`crate::relocate`].
//!
//! A walk takes many short holds of the shard's lock. Between them it remembers a cursor of the table, and the keys of large values that
//! it has not come to the end of. Nobody is told of anything: no value changes, and no count.

use super::{Database, Shard};
use crate::relocate::{Mover, Progress};

/// How far a walk over a shard has come.
#[derive(Debug, Default)]
pub struct Walk {
    db: u32,
    part: Part,
    at: u64,
    /// Values of this database that are not done.
    unfinished: Vec<(Box<[u8]>, Progress)>,
    /// Keys of which something has moved.
    pub keys_moved: u64,
    /// Keys of which nothing has.
    pub keys_stayed: u64,
}

/// What of a database is to be walked over next.
#[derive(Clone, Copy, Debug, Default)]
enum Part {
    #[default]
    Arrays,
    Entries,
    Expiry,
    Fields,
}

impl Shard {
    /// Moves on with a walk until the mover is spent. Says whether the walk has come to its end. A snapshot of this shard may be under way:
    /// it knows keys and places within values, which stay as they are, and what it shares with a value does not move.
    pub fn relocate(&mut self, mover: &mut Mover, walk: &mut Walk) -> bool {
        while walk.db < self.databases.end() {
            if mover.is_spent() {
                return false;
            }
            let (db, seed) = (walk.db, self.common.seed);
            match self.databases.get_mut(db) {
                Some(database) => {
                    let before = database.all_bytes();
                    database.relocate(mover, walk, |key| seed.hash(key));
                    self.growth += database.all_bytes() as isize - before as isize;
                }
                None => walk.next_database(),
            }
            self.tell();
        }
        true
    }
}

impl Walk {
    fn next_database(&mut self) {
        self.db += 1;
        (self.part, self.at) = (Part::Arrays, 0);
        self.unfinished.clear();
    }

    /// Something was visited up to `next`; zero if to its end.
    const fn went(&mut self, next: u64, part: Part) {
        self.at = next;
        if next == 0 {
            self.part = part;
        }
    }

    /// A key was visited.
    fn visited(&mut self, has_moved: bool) {
        *if has_moved { &mut self.keys_moved } else { &mut self.keys_stayed } += 1;
    }
}

impl Database {
    /// One step.
    fn relocate(&mut self, mover: &mut Mover, walk: &mut Walk, hash_of: impl Fn(&[u8]) -> u64) {
        if let Some((key, from)) = walk.unfinished.pop() {
            return self.go_on(mover, walk, key, from, hash_of);
        }
        match walk.part {
            Part::Arrays => {
                self.table.relocate_arrays(mover);
                self.sizes.relocate(mover);
                self.queue.iter_mut().for_each(|queue| queue.relocate(mover));
                walk.went(0, Part::Entries);
            }
            Part::Entries => {
                let cursor = self.table.scan_mut(walk.at, |entry| {
                    let before = mover.counts().0;
                    if let Some(rest) = entry.relocate(mover) {
                        walk.unfinished.push((entry.key().into(), rest));
                    }
                    walk.visited(mover.counts().0 > before);
                });
                walk.went(cursor, Part::Expiry);
            }
            Part::Expiry => {
                let deadlines = self.deadlines.as_mut();
                let next = deadlines.map_or(0, |it| it.expiry.relocate(mover, walk.at));
                walk.went(next, Part::Fields);
            }
            Part::Fields => {
                let deadlines = self.deadlines.as_mut();
                match deadlines.map_or(0, |it| it.fields.relocate(mover, walk.at)) {
                    0 => walk.next_database(),
                    next => walk.at = next,
                }
            }
        }
    }

    /// Goes on with a large value, if it is still there.
    fn go_on(
        &mut self,
        mover: &mut Mover,
        walk: &mut Walk,
        key: Box<[u8]>,
        from: Progress,
        hash_of: impl Fn(&[u8]) -> u64,
    ) {
        let entry = self.table.get_mut(hash_of(&key), &key);
        if let Some(rest) = entry.and_then(|entry| entry.relocate_value(mover, from)) {
            walk.unfinished.push((key, rest));
        }
    }
}
