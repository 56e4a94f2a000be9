//! Which keys of a shard were read by whom, for client-side caching: who read a key is told when it changes.
//!
//! ```text
//! reader   a client that caches has a small number
//! line     a key, and the set of its readers: one word for the numbers below 64, a list for the others
//! slot     hash, line, and the first 32 readers once more      16 bytes, four to a cache line, one probe as a rule
//! ```
//!
//! A key counts whatever its database, as in Redis. The first change to it takes its line out, into a list of changes that whoever
//! changed something empties before the shard's lock falls: so a reader is told of every change behind what it has read, once.
//!
//! The common case is a reader that has read the key before. It is decided in the slot, one cache line that can be asked for in
//! advance, by the 64 bits of the keyed hash; everything else compares keys. That two of a million keys share a hash has a chance of
//! one in thirty million, and costs one of them its line.
//!
//! Invariants:
//! * A line has at least one reader, and one slot; from the slot's home to the slot no slot is empty.
//! * `items` is the number of readers of all lines, `key_bytes` what their keys take beside them.

use smallvec::SmallVec;

use crate::prefetch::prefetch;

/// A key: short ones stand in the line itself.
pub type KeyBuf = SmallVec<[u8; 16]>;

/// Numbers below this are bits of one word.
const IN_WORD: u32 = u64::BITS;

/// A set of readers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readers {
    word: u64,
    /// The others, ascending. Boxed, so that a line without them is a third smaller.
    #[expect(clippy::box_collection, reason = "a line is one word shorter")]
    more: Option<Box<Vec<u32>>>,
}

impl Readers {
    /// Adds a reader; says whether it was none.
    pub fn insert(&mut self, reader: u32) -> bool {
        if reader < IN_WORD {
            let bit = 1 << reader;
            let is_new = self.word & bit == 0;
            self.word |= bit;
            return is_new;
        }
        let more = self.more.get_or_insert_default();
        match more.binary_search(&reader) {
            Ok(_) => false,
            Err(at) => {
                more.insert(at, reader);
                true
            }
        }
    }

    /// Takes readers out; says how many were in.
    fn remove(&mut self, gone: &Self) -> usize {
        let before = self.len();
        self.word &= !gone.word;
        if let (Some(more), Some(gone)) = (&mut self.more, &gone.more) {
            more.retain(|reader| gone.binary_search(reader).is_err());
            if more.is_empty() {
                self.more = None;
            }
        }
        before - self.len()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.word.count_ones() as usize + self.more.as_ref().map_or(0, |more| more.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.word == 0 && self.more.is_none()
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let in_word = (0..IN_WORD).filter(|reader| self.word >> reader & 1 == 1);
        in_word.chain(self.more.iter().flat_map(|more| more.iter().copied()))
    }
}

/// A key that somebody has read.
#[derive(Debug, Default)]
struct Line {
    key: KeyBuf,
    readers: Readers,
}

/// Where a line is found.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    hash: u64,
    /// Index of the line, and one; 0 for an empty slot.
    line: u32,
    /// The readers below 32, a bit each.
    first: u32,
}

const _: () = assert!(size_of::<Slot>() == 16);

/// Fewer slots than this are not made.
const SLOTS_MIN: usize = 8;

/// A key that has changed, and who had read it.
#[derive(Clone, Debug)]
pub struct Change {
    /// The key.
    pub key: KeyBuf,
    /// Who had read it; nobody, where all changes are listed.
    pub readers: Readers,
}

/// What clients have read of a shard's keys, and what of it has changed.
#[derive(Debug, Default)]
pub struct Tracked {
    /// A power of two, or none; at most three quarters are in use.
    slots: Vec<Slot>,
    lines: Vec<Line>,
    /// Indexes of `lines` that are not in use.
    free: Vec<u32>,
    /// Where the next line to be dropped is looked for.
    hand: usize,
    items: usize,
    key_bytes: usize,
    /// Whether every change is listed, read or not.
    lists_all: bool,
    changes: Vec<Change>,
}

impl Tracked {
    /// Whether nobody has read anything and nobody wants to know of anything.
    pub const fn is_idle(&self) -> bool {
        self.keys() == 0 && !self.lists_all && self.changes.is_empty()
    }

    /// The slots from a hash's home on, up to the first empty one. O(1) as a rule.
    #[inline]
    fn probe(&self, hash: u64) -> impl Iterator<Item = (usize, Slot)> + '_ {
        let mask = self.slots.len().wrapping_sub(1);
        let home = hash as usize & mask;
        let places = (0..self.slots.len()).map(move |step| (home + step) & mask);
        places.map(|at| (at, self.slots[at])).take_while(|(_, slot)| slot.line != 0)
    }

    /// The slot of a key.
    fn find(&self, hash: u64, key: &[u8]) -> Option<usize> {
        let is_it = |slot: Slot| slot.hash == hash && self.line(slot).key[..] == *key;
        self.probe(hash).find(|(_, slot)| is_it(*slot)).map(|(at, _)| at)
    }

    fn line(&self, slot: Slot) -> &Line {
        &self.lines[slot.line as usize - 1]
    }

    /// Whether somebody has read a key.
    pub fn has(&self, hash: u64, key: &[u8]) -> bool {
        self.find(hash, key).is_some()
    }

    /// Notes that a reader has read a key.
    #[inline]
    pub fn read(&mut self, hash: u64, key: &[u8], reader: u32) {
        let is_known = |slot: Slot| slot.hash == hash && bit(reader) & slot.first != 0;
        if !self.probe(hash).any(|(_, slot)| is_known(slot)) {
            self.add(hash, key, reader);
        }
    }

    fn add(&mut self, hash: u64, key: &[u8], reader: u32) {
        let at = match self.find(hash, key) {
            Some(at) => at,
            None => self.add_line(hash, key),
        };
        let slot = &mut self.slots[at];
        slot.first |= bit(reader);
        let line = &mut self.lines[slot.line as usize - 1];
        self.items += usize::from(line.readers.insert(reader));
    }

    /// Answers the slot of a line without readers.
    fn add_line(&mut self, hash: u64, key: &[u8]) -> usize {
        if (self.keys() + 1) * 4 > self.slots.len() * 3 {
            self.resize((self.slots.len() * 2).max(SLOTS_MIN));
        }
        let key = KeyBuf::from_slice(key);
        self.key_bytes += heap_bytes(&key);
        let line = Line { key, readers: Readers::default() };
        let index = if let Some(index) = self.free.pop() {
            self.lines[index as usize] = line;
            index
        } else {
            self.lines.push(line);
            self.lines.len() as u32 - 1
        };
        self.place(Slot { hash, line: index + 1, first: 0 })
    }

    /// Puts a slot where it is found, and answers where that is. There is room.
    fn place(&mut self, slot: Slot) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = slot.hash as usize & mask;
        while self.slots[at].line != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
        at
    }

    fn resize(&mut self, len: usize) {
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); len]);
        for slot in old.into_iter().filter(|slot| slot.line != 0) {
            self.place(slot);
        }
        self.hand = 0;
    }

    /// Empties a slot and moves others up, and takes its line out.
    fn remove(&mut self, at: usize) -> Line {
        let index = self.slots[at].line - 1;
        let mask = self.slots.len() - 1;
        let (mut hole, mut next) = (at, (at + 1) & mask);
        while self.slots[next].line != 0 {
            // A slot may move into the hole if its home is not behind it.
            let home = self.slots[next].hash as usize & mask;
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(hole) & mask {
                self.slots[hole] = self.slots[next];
                hole = next;
            }
            next = (next + 1) & mask;
        }
        self.slots[hole] = Slot::default();
        self.free.push(index);
        let line = std::mem::take(&mut self.lines[index as usize]);
        self.items -= line.readers.len();
        self.key_bytes -= heap_bytes(&line.key);
        line
    }

    /// Brings the slot of a key towards the cache.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        let home = hash as usize & self.slots.len().wrapping_sub(1);
        if let Some(slot) = self.slots.get(home) {
            prefetch(std::ptr::from_ref(slot).cast());
        }
    }

    /// Lists a change of a key.
    pub(crate) fn changed(&mut self, hash: u64, key: &[u8]) {
        if let Some(at) = self.find(hash, key) {
            let line = self.remove(at);
            self.list(line);
        } else if self.lists_all {
            self.changes.push(Change { key: KeyBuf::from_slice(key), readers: Readers::default() });
        }
    }

    fn list(&mut self, line: Line) {
        self.changes.push(Change { key: line.key, readers: line.readers });
    }

    /// Says whether every change is to be listed, whoever has read the key.
    pub const fn list_all(&mut self, lists_all: bool) {
        self.lists_all = lists_all;
    }

    /// Forgets what was read, as when everything has gone: the readers are told by other means.
    pub fn clear(&mut self) {
        let (lists_all, changes) = (self.lists_all, std::mem::take(&mut self.changes));
        *self = Self { lists_all, changes, ..Self::default() };
    }

    /// Lists up to `max` lines as if their keys had changed: which, the keyed hash decides. O(max), and now and then O(lines).
    pub fn evict(&mut self, max: usize) {
        for _ in 0..max.min(self.keys()) {
            let mask = self.slots.len() - 1;
            while self.slots[self.hand & mask].line == 0 {
                self.hand += 1;
            }
            let line = self.remove(self.hand & mask);
            self.list(line);
        }
        self.tidy();
    }

    /// Forgets readers that are gone. O(lines).
    pub fn forget(&mut self, gone: &Readers) {
        let mut empty = Vec::new();
        for slot in self.slots.iter_mut().filter(|slot| slot.line != 0) {
            let line = &mut self.lines[slot.line as usize - 1];
            self.items -= line.readers.remove(gone);
            slot.first &= !(gone.word as u32);
            if line.readers.is_empty() {
                empty.push((slot.hash, slot.line));
            }
        }
        for (hash, line) in empty {
            let found = self.probe(hash).find(|(_, slot)| slot.line == line).map(|(at, _)| at);
            self.remove(found.expect("a line has a slot"));
        }
        self.tidy();
    }

    /// Gives room back that is not needed any more.
    fn tidy(&mut self) {
        if self.keys() == 0 {
            self.clear();
        } else if self.slots.len() > SLOTS_MIN && self.keys() * 8 < self.slots.len() {
            self.rebuild();
        }
    }

    fn rebuild(&mut self) {
        let slots = std::mem::take(&mut self.slots);
        let mut lines = std::mem::take(&mut self.lines);
        self.free = Vec::new();
        let count = slots.iter().filter(|slot| slot.line != 0).count();
        self.resize((count * 2).next_power_of_two().max(SLOTS_MIN));
        for slot in slots.into_iter().filter(|slot| slot.line != 0) {
            self.lines.push(std::mem::take(&mut lines[slot.line as usize - 1]));
            self.place(Slot { line: self.lines.len() as u32, ..slot });
        }
    }

    /// Whether there are changes that nobody has been told of.
    #[inline]
    pub const fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Takes the changes, in the order they came.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// How many keys were read and not changed since.
    pub const fn keys(&self) -> usize {
        self.lines.len() - self.free.len()
    }

    /// How many readers they have, all together.
    pub const fn items(&self) -> usize {
        self.items
    }

    /// Bytes of heap, but for sets of more than 64 readers.
    pub const fn heap_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
            + self.lines.capacity() * size_of::<Line>()
            + self.free.capacity() * size_of::<u32>()
            + self.key_bytes
    }
}

/// A reader among the first 32.
const fn bit(reader: u32) -> u32 {
    if reader < u32::BITS { 1 << reader } else { 0 }
}

fn heap_bytes(key: &KeyBuf) -> usize {
    if key.spilled() { crate::size_class::usable(key.capacity()) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hashbrown::{HashMap, HashSet};
    use proptest::prelude::*;

    /// Few hashes, so that different keys meet.
    fn hash(key: u8) -> u64 {
        // All different, as the shortcut of `read` wants it.
        u64::from(key) << 32 | [0, 1, 2, 6, 7][usize::from(key % 5)]
    }

    fn key(key: u8) -> Vec<u8> {
        vec![key; usize::from(key)]
    }

    #[derive(Clone, Debug)]
    enum Step {
        Read(u8, u32),
        Change(u8),
        Evict(usize),
        Forget(Vec<u32>),
        ListAll(bool),
        Clear,
    }

    fn step() -> impl Strategy<Value = Step> {
        let reader = prop_oneof![0u32..4, 62u32..68, Just(5_000)];
        prop_oneof![
            8 => (0u8..40, reader.clone()).prop_map(|(key, reader)| Step::Read(key, reader)),
            4 => (0u8..40).prop_map(Step::Change),
            1 => (0usize..5).prop_map(Step::Evict),
            1 => proptest::collection::vec(reader, 0..3).prop_map(Step::Forget),
            1 => any::<bool>().prop_map(Step::ListAll),
            1 => Just(Step::Clear),
        ]
    }

    proptest! {
        #[test]
        fn whoever_has_read_is_told_of_the_next_change_once(steps in proptest::collection::vec(step(), 0..300)) {
            let (mut tracked, mut twin) = (Tracked::default(), HashMap::<u8, HashSet<u32>>::new());
            let mut lists_all = false;
            for step in steps {
                match step {
                    Step::Read(k, reader) => {
                        tracked.read(hash(k), &key(k), reader);
                        twin.entry(k).or_default().insert(reader);
                    }
                    Step::Change(k) => {
                        tracked.changed(hash(k), &key(k));
                        let expected = twin.remove(&k);
                        let changes = tracked.take_changes();
                        prop_assert_eq!(changes.len(), usize::from(lists_all || expected.is_some()));
                        for change in changes {
                            prop_assert_eq!(&change.key[..], &key(k)[..]);
                            let readers: HashSet<u32> = change.readers.iter().collect();
                            prop_assert_eq!(readers, expected.clone().unwrap_or_default());
                        }
                    }
                    Step::Evict(max) => {
                        tracked.evict(max);
                        let changes = tracked.take_changes();
                        prop_assert_eq!(changes.len(), max.min(twin.len()));
                        for change in changes {
                            let readers = twin.iter().find(|(k, _)| key(**k)[..] == change.key[..]).map(|(k, _)| *k);
                            prop_assert_eq!(change.readers.iter().collect::<HashSet<_>>(), twin.remove(&readers.unwrap()).unwrap());
                        }
                    }
                    Step::Forget(gone) => {
                        let mut readers = Readers::default();
                        for reader in &gone {
                            readers.insert(*reader);
                        }
                        tracked.forget(&readers);
                        twin.values_mut().for_each(|set| set.retain(|reader| !gone.contains(reader)));
                        twin.retain(|_, set| !set.is_empty());
                    }
                    Step::ListAll(all) => {
                        lists_all = all;
                        tracked.list_all(all);
                    }
                    Step::Clear => {
                        tracked.clear();
                        twin.clear();
                    }
                }
                prop_assert_eq!(tracked.keys(), twin.len());
                prop_assert_eq!(tracked.items(), twin.values().map(HashSet::len).sum::<usize>());
                let spilled: usize = twin.keys().filter(|k| **k > 16).map(|k| crate::size_class::usable(usize::from(*k))).sum();
                prop_assert_eq!(tracked.key_bytes, spilled);
            }
        }
    }
}
