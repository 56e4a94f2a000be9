//! A shard's part in a snapshot: its walk, and what its door writes first. See [`crate::snapshot`].

use std::sync::Arc;

use super::{Name, Shard, guard};
use crate::entry::Entry;
use crate::snapshot::{Epoch, Part, Pen, Place, is_large};
use crate::table::Table;
use crate::value::{Told, View};

/// Images go from the shard to the snapshot when there are so many bytes of them.
const IMAGES_BYTES: usize = 8 << 10;

/// Buckets that are looked at under one hold at most, however little is in them.
const BUCKETS_PER_SLICE: usize = 256;

/// How far the walk has come in one database.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// The number that the database had when the snapshot began.
    origin: u32,
    cursor: u64,
    is_done: bool,
}

/// A collection of which some pieces are written.
#[derive(Debug)]
struct Partial {
    db: u32,
    key: Box<[u8]>,
    place: Place,
}

/// What a shard knows of the snapshot under way; made when it is first needed.
#[derive(Debug)]
pub(super) struct Saving {
    epoch: Arc<Epoch>,
    pen: Box<dyn Pen>,
    /// Entries as they were before they changed, all of one database.
    images: Vec<u8>,
    /// So many of their bytes are whole records: a pen that panics leaves half a one behind them.
    images_whole: usize,
    images_db: u32,
    images_keys: u64,
    progress: Vec<Progress>,
    /// Tables that were emptied, by the number of their database at the beginning.
    flushed: Vec<(u32, Table)>,
    partial: Option<Partial>,
    /// The rest of a partial collection that had to be written at once.
    rest: Option<(u32, Vec<u8>)>,
    /// Large entries that were met and are to be written next: database and key.
    large: Vec<(u32, Box<[u8]>)>,
}

impl Saving {
    fn new(epoch: Arc<Epoch>, databases: u32) -> Self {
        let progress = |db| Progress { origin: db, cursor: 0, is_done: false };
        Self {
            pen: epoch.pen(),
            epoch,
            images: Vec::new(),
            images_whole: 0,
            images_db: 0,
            images_keys: 0,
            progress: (0..databases).map(progress).collect(),
            flushed: Vec::new(),
            partial: None,
            rest: None,
            large: Vec::new(),
        }
    }

    /// Databases that have come since have nothing to be saved.
    fn extend(&mut self, databases: u32) {
        let begin = self.progress.len() as u32;
        let none = |db| Progress { origin: db, cursor: 0, is_done: true };
        self.progress.extend((begin..databases).map(none));
    }

    fn origin(&self, db: u32) -> u32 {
        self.progress.get(db as usize).map_or(db, |progress| progress.origin)
    }

    /// Writes an entry that is about to change.
    fn image(&mut self, db: u32, entry: &Entry) {
        if self.epoch.is_mute() {
            return;
        }
        if let View::Chunks(chunks) = entry.view() {
            let mut before = Vec::new();
            self.pen.before(entry, &mut before);
            let (name, chunks) = (entry.key().into(), chunks.clone());
            return self.epoch.push(Part::Text { db, before, name, chunks });
        }
        if self.images_db != db {
            self.give_images();
            self.images_db = db;
        }
        self.images.truncate(self.images_whole);
        self.pen.whole(entry, &mut self.images);
        self.images_whole = self.images.len();
        self.images_keys += 1;
        if self.images.len() >= IMAGES_BYTES {
            self.give_images();
        }
    }

    fn give_images(&mut self) {
        if let Some(part) = self.take_images() {
            self.epoch.push(part);
        }
    }

    fn take_images(&mut self) -> Option<Part> {
        self.images.truncate(std::mem::take(&mut self.images_whole));
        let (bytes, keys) =
            (std::mem::take(&mut self.images), std::mem::take(&mut self.images_keys));
        (!bytes.is_empty()).then_some(Part::Records { db: self.images_db, bytes, keys })
    }

    fn is_partial(&self, db: u32, key: &[u8]) -> bool {
        self.partial.as_ref().is_some_and(|partial| partial.db == db && *partial.key == *key)
    }

    /// Writes what is missing of the partial collection, all of it.
    fn complete(&mut self, entry: &Entry) {
        let Some(partial) = &self.partial else { return };
        let (db, mut place, mut bytes) = (partial.db, Some(partial.place), Vec::new());
        while place.is_some() && !self.epoch.is_mute() {
            place = self.pen.piece(entry, place, &mut bytes);
        }
        self.partial = None;
        self.rest = Some((self.origin(db), bytes));
    }

    /// Whether nothing is left but the images.
    fn is_done(&self) -> bool {
        self.partial.is_none()
            && self.rest.is_none()
            && self.large.is_empty()
            && self.flushed.is_empty()
            && self.progress.iter().all(|progress| progress.is_done)
    }
}

/// What one slice of the walk came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walked {
    /// There is more to save.
    More,
    /// A client waits for nothing any more, and no record is half written; for walks that were only to see to that.
    Idle,
    /// The shard is saved.
    Done,
}

impl Shard {
    /// Whether a snapshot is under way that has not passed this shard.
    #[inline]
    pub const fn is_saving(&self) -> bool {
        self.guards & guard::SAVING != 0
    }

    /// The moment of which a snapshot tells; all shards have theirs under the locks of all.
    pub(crate) fn begin_saving(&mut self) {
        debug_assert!(!self.is_saving(), "one snapshot at a time");
        self.mark = !self.mark;
        self.guards |= guard::SAVING;
    }

    fn saving(&mut self) -> &mut Saving {
        let (databases, common) = (self.databases.end(), &self.common);
        let saving = self.saving.get_or_insert_with(|| {
            let epoch = common.epoch.lock().clone().expect("a shard is saved for a snapshot");
            Box::new(Saving::new(epoch, databases))
        });
        saving.extend(databases);
        saving
    }

    /// What is about to change is written first, unless it is saved already.
    #[cold]
    pub(super) fn save_first(&mut self, name: Name<'_>) {
        let mark = self.mark;
        self.saving();
        let Some(entry) = self
            .databases
            .get_mut(name.db)
            .and_then(|database| database.table.get_mut(name.hash, name.key))
            .filter(|entry| entry.mark() != mark)
        else {
            return;
        };
        let saving = self.saving.as_mut().expect("made above");
        if saving.is_partial(name.db, name.key) {
            saving.complete(entry);
        } else {
            let db = saving.origin(name.db);
            saving.image(db, entry);
        }
        // Not before it is written: a pen that panics leaves it to the walk.
        entry.set_mark(mark);
    }

    /// A large collection that goes away before it is saved is given to the snapshot as it is: to write it first would take long. Says
    /// whether that was done.
    #[cold]
    pub(super) fn hand_over(&mut self, name: Name<'_>) -> bool {
        let mark = self.mark;
        let is_meant =
            |entry: &Entry| entry.mark() != mark && entry.object().is_some() && is_large(entry);
        if !self.is_saving() || !self.get(name).is_some_and(is_meant) {
            return false;
        }
        self.read_first(name);
        let saving = self.saving();
        if saving.is_partial(name.db, name.key) || saving.epoch.is_mute() {
            return false;
        }
        let db = saving.origin(name.db);
        self.notify(name, Told::All);
        let Some(entry) = self.detach(name) else { return false };
        let (mut table, seed) = (Table::default(), self.common.seed);
        table.insert(name.hash, entry, &|key| seed.hash(key));
        let part = Part::Table { db, table: Box::new(table), mark };
        self.saving().epoch.push(part);
        true
    }

    /// Whether a key holds a large collection that is not saved yet. If so it is written next.
    pub(super) fn is_yet_to_be_saved(&mut self, name: Name<'_>) -> bool {
        let mark = self.mark;
        let is_open =
            |entry: &Entry| entry.mark() == mark || entry.object().is_none() || !is_large(entry);
        if !self.is_saving() || self.get(name).is_none_or(is_open) {
            return false;
        }
        let index = self.index;
        let saving = self.saving();
        let wish = (name.db, name.key.into());
        if !saving.is_partial(name.db, name.key) && !saving.large.contains(&wish) {
            saving.large.push(wish);
        }
        saving.epoch.want(index);
        true
    }

    /// A database is about to be emptied: says whether the snapshot takes the table, which is then given to [`Shard::keep_flushed`].
    pub(super) fn wants_flushed(&mut self, db: u32) -> bool {
        if !self.is_saving() {
            return false;
        }
        let partial = self.saving().partial.as_ref().filter(|partial| partial.db == db);
        if let Some(key) = partial.map(|partial| partial.key.clone()) {
            let hash = self.common.seed.hash(&key);
            self.save_first(Name { db, key: &key, hash });
        }
        let saving = self.saving();
        // The walk may have passed the whole table and still have some of it to write.
        let noted = saving.large.len();
        saving.large.retain(|(of, _)| *of != db);
        let is_passed = saving.progress.get(db as usize).is_none_or(|progress| progress.is_done);
        !is_passed || saving.large.len() < noted
    }

    pub(super) fn keep_flushed(&mut self, db: u32, table: Table) {
        let saving = self.saving();
        let origin = saving.origin(db);
        if let Some(progress) = saving.progress.get_mut(db as usize) {
            progress.is_done = true;
        }
        saving.flushed.push((origin, table));
    }

    /// Two databases exchange their numbers.
    pub(super) fn swap_saving(&mut self, one: u32, other: u32) {
        if !self.is_saving() {
            return;
        }
        let swapped = |db: u32| match db {
            _ if db == one => other,
            _ if db == other => one,
            _ => db,
        };
        let saving = self.saving();
        saving.extend(one.max(other) + 1);
        saving.progress.swap(one as usize, other as usize);
        saving.large.iter_mut().for_each(|(db, _)| *db = swapped(*db));
        if let Some(partial) = &mut saving.partial {
            partial.db = swapped(partial.db);
        }
    }

    /// Does a slice of the walk, about `bytes` bytes of it, and adds what is to be written to `parts`. Of a collection in pieces, the next
    /// piece comes first.
    pub fn walk(&mut self, pen: &mut dyn Pen, bytes: usize, parts: &mut Vec<Part>) -> Walked {
        if !self.is_saving() {
            return Walked::Done;
        }
        if self.walk_large(pen, parts) == Walked::More {
            return Walked::More;
        }
        let mark = self.mark;
        let saving = self.saving();
        parts.extend(saving.take_images());
        for (db, table) in std::mem::take(&mut saving.flushed) {
            parts.push(Part::Table { db, table: Box::new(table), mark });
        }
        self.walk_tables(pen, bytes, parts);
        if self.saving().is_done() {
            self.end_saving(parts);
            return Walked::Done;
        }
        Walked::More
    }

    /// As [`Shard::walk`], for collections only that clients wait for or that are half written.
    pub fn walk_large(&mut self, pen: &mut dyn Pen, parts: &mut Vec<Part>) -> Walked {
        if !self.is_saving() {
            return Walked::Done;
        }
        let saving = self.saving();
        if let Some((db, bytes)) = saving.rest.take() {
            parts.push(Part::Piece { db, bytes, is_last: true });
            return Walked::More;
        }
        let next = match saving.partial.take() {
            Some(Partial { db, key, place }) => Some((db, key, Some(place))),
            None => saving.large.pop().map(|(db, key)| (db, key, None)),
        };
        let Some((db, key, place)) = next else { return Walked::Idle };
        self.walk_one(db, key, place, pen, parts);
        Walked::More
    }

    /// Writes a piece of a large entry, or pins it.
    fn walk_one(
        &mut self,
        db: u32,
        key: Box<[u8]>,
        place: Option<Place>,
        pen: &mut dyn Pen,
        parts: &mut Vec<Part>,
    ) {
        let (mark, hash) = (self.mark, self.common.seed.hash(&key));
        let origin = self.saving().origin(db);
        let saving = self.saving.as_mut().expect("made above");
        let Some(entry) = self
            .databases
            .get_mut(db)
            .and_then(|database| database.table.get_mut(hash, &key))
            .filter(|entry| entry.mark() != mark)
        else {
            return;
        };
        if let View::Chunks(chunks) = entry.view() {
            let (mut before, chunks) = (Vec::new(), chunks.clone());
            pen.before(entry, &mut before);
            parts.push(Part::Text { db: origin, before, name: key, chunks });
            entry.set_mark(mark);
            return;
        }
        let mut bytes = Vec::new();
        let next = pen.piece(entry, place, &mut bytes);
        parts.push(Part::Piece { db: origin, bytes, is_last: next.is_none() });
        match next {
            Some(place) => saving.partial = Some(Partial { db, key, place }),
            None => entry.set_mark(mark),
        }
    }

    /// Goes on through the tables. Large entries are only noted.
    fn walk_tables(&mut self, pen: &mut dyn Pen, bytes: usize, parts: &mut Vec<Part>) {
        let mark = self.mark;
        let saving = self.saving.as_mut().expect("made by the caller");
        let next = saving.progress.iter().position(|progress| !progress.is_done);
        let Some(db) = next else { return };
        let Some(database) = self.databases.get_mut(db as u32) else {
            saving.progress[db].is_done = true;
            return;
        };
        let (progress, large) = (&mut saving.progress[db], &mut saving.large);
        let (mut out, mut keys, mut seen) = (Vec::with_capacity(bytes), 0, 0);
        for _ in 0..BUCKETS_PER_SLICE {
            database.table.prefetch_behind(progress.cursor);
            progress.cursor = database.table.scan_mut(progress.cursor, |entry| {
                if entry.mark() == mark {
                    return;
                }
                if is_large(entry) {
                    large.push((db as u32, entry.key().into()));
                    return;
                }
                pen.whole(entry, &mut out);
                entry.set_mark(mark);
                keys += 1;
                seen += entry.weight();
            });
            progress.is_done = progress.cursor == 0;
            // What is compressed takes the longer for being short.
            let is_enough = out.len() >= bytes || seen >= bytes.saturating_mul(2);
            if progress.is_done || is_enough || !large.is_empty() {
                break;
            }
        }
        if keys > 0 {
            parts.push(Part::Records { db: progress.origin, bytes: out, keys });
        }
    }

    fn end_saving(&mut self, parts: &mut Vec<Part>) {
        if let Some(mut saving) = self.saving.take() {
            parts.extend(saving.take_images());
        }
        self.guards &= !guard::SAVING;
    }
}

#[cfg(test)]
pub(super) mod tests;
