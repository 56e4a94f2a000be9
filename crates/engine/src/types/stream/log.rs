//! The entries of a stream and what is known of those that were.
//!
//! Invariants:
//! * A block's ID is that of its first entry, deleted or not; entries ascend within blocks and from block to block.
//! * `len` is the number of entries that live, `block_bytes` what the blocks take from the allocator.
//! * `first_id` is the first living entry's ID, `0-0` if there is none. No entry's ID is greater than `last_id`.

use std::ops::Bound;

use crate::collections::sorted_rows::{self, SortedRows};
use crate::relocate::Mover;
use crate::types::stream::block::{Block, Entry, Walk};
use crate::types::stream::id::{NewId, StreamId};
use crate::value::SmallMax;

/// The most bytes that the fields and values of an entry may have together; also the most of a block.
pub const ENTRY_BYTES_MAX: usize = 1 << 30;

/// How a stream is trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trim {
    /// To so many entries.
    ToLen(u64),
    /// Until no entry is less than this.
    ToId(StreamId),
}

/// The entries; see the head of the file.
#[derive(Debug, Default)]
pub struct Log {
    blocks: SortedRows<StreamId, Block>,
    block_bytes: usize,
    len: u64,
    first_id: StreamId,
    last_id: StreamId,
    max_deleted_id: StreamId,
    entries_added: u64,
}

impl Clone for Log {
    fn clone(&self) -> Self {
        let blocks = self.blocks.clone();
        let block_bytes = blocks.iter().map(|(_, block)| block.heap_bytes()).sum();
        Self { blocks, block_bytes, ..*self }
    }
}

impl Log {
    /// Entries from outside, as a dump has them: blocks by ID, how many entries live, and the greatest ID. `None` if they cannot be: each
    /// entry, deleted or not, has to come behind all before it, none before its block, and none behind the greatest ID.
    pub fn from_parts(
        parts: impl Iterator<Item = (StreamId, Block)>,
        len: u64,
        last_id: StreamId,
    ) -> Option<Self> {
        let mut log = Self { last_id, ..Self::default() };
        let mut before = StreamId::MIN;
        for (id, block) in parts {
            if log.blocks.last().is_some_and(|(last, _)| id <= last) {
                return None;
            }
            let mut walk = block.forward(id);
            while let Some(entry) = walk.next() {
                if entry.id <= before || entry.id < id || entry.id > last_id {
                    return None;
                }
                before = entry.id;
            }
            log.block_bytes += block.heap_bytes();
            log.len += block.count() as u64;
            log.blocks.insert(id, block);
        }
        log.find_first();
        (log.len == len).then_some(log)
    }

    /// Moves the blocks.
    pub(super) fn relocate(&mut self, mover: &mut Mover, from: u64) -> u64 {
        self.blocks.relocate(mover, from, |mover, block| block.relocate(mover))
    }

    /// Sets what is known of the past, for a stream from outside.
    pub fn set_past(&mut self, max_deleted_id: StreamId, entries_added: u64) {
        self.max_deleted_id = max_deleted_id;
        self.entries_added = entries_added;
    }

    /// Number of entries.
    #[inline]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The ID of the first entry; `0-0` if there is none.
    pub const fn first_id(&self) -> StreamId {
        self.first_id
    }

    /// The greatest ID that an entry has had.
    #[inline]
    pub const fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// The greatest ID of an entry that was deleted by its ID.
    pub const fn max_deleted_id(&self) -> StreamId {
        self.max_deleted_id
    }

    /// How many entries there have been.
    pub const fn entries_added(&self) -> u64 {
        self.entries_added
    }

    /// The blocks in order.
    pub fn blocks(&self) -> sorted_rows::Iter<'_, StreamId, Block> {
        self.blocks.iter()
    }

    /// The blocks whose ID is not below `from`. O(log n) to the first.
    pub fn blocks_from(&self, from: StreamId) -> sorted_rows::Iter<'_, StreamId, Block> {
        self.blocks.range(from..)
    }

    /// Number of blocks.
    pub const fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// Bytes on the heap. O(1).
    pub(super) fn heap_bytes(&self) -> usize {
        self.blocks.heap_bytes() + self.block_bytes
    }

    /// The ID that a new entry gets at `now`; `None` if it would not be greater than all before.
    #[inline]
    pub fn next_id(&self, wanted: NewId, now: u64) -> Option<StreamId> {
        let id = match wanted {
            NewId::Auto if now > self.last_id.ms => StreamId::new(now, 0),
            NewId::Auto => self.last_id.next()?,
            NewId::Within(ms) if ms == self.last_id.ms => {
                StreamId::new(ms, self.last_id.seq.checked_add(1)?)
            }
            NewId::Within(ms) => StreamId::new(ms, 0),
            NewId::Exactly(id) => id,
        };
        (id > self.last_id).then_some(id)
    }

    /// Adds an entry, whose ID [`Log::next_id`] gave. `fields` is names and values in turn, of each `pairs`, of `payload` bytes together.
    #[inline]
    pub fn push<'f>(
        &mut self,
        id: StreamId,
        pairs: usize,
        payload: usize,
        fields: impl Iterator<Item = &'f [u8]> + Clone,
        limits: SmallMax,
    ) {
        debug_assert!(id > self.last_id);
        let bytes_max =
            if limits.bytes == 0 { ENTRY_BYTES_MAX } else { limits.bytes.min(ENTRY_BYTES_MAX) };
        let last = self.blocks.last();
        if last.is_none_or(|(_, block)| block.is_full(payload, bytes_max, limits.entries)) {
            self.begin_block(id, pairs, fields.clone());
        }
        let (first, block) = self.blocks.last_mut().expect("one has just been seen to be there");
        let before = block.heap_bytes();
        let delta = (id.ms.wrapping_sub(first.ms), id.seq.wrapping_sub(first.seq));
        block.push(delta, pairs, fields);
        self.block_bytes = self.block_bytes - before + block.heap_bytes();
        self.len += 1;
        // A dump may say that there have been as many as there are numbers.
        self.entries_added = self.entries_added.wrapping_add(1);
        self.last_id = id;
        if self.len == 1 {
            self.first_id = id;
        }
    }

    #[cold]
    fn begin_block<'f>(
        &mut self,
        id: StreamId,
        pairs: usize,
        fields: impl Iterator<Item = &'f [u8]>,
    ) {
        if let Some((_, block)) = self.blocks.last_mut() {
            self.block_bytes -= block.heap_bytes();
            block.fit();
            self.block_bytes += block.heap_bytes();
        }
        let block = Block::new(pairs, fields);
        self.block_bytes += block.heap_bytes();
        self.blocks.insert(id, block);
    }

    /// The entries from `from` to `until`, in order. O(log n) and what is taken.
    pub fn range(&self, from: StreamId, until: StreamId) -> Forward<'_> {
        let start = self.block_of(from).map_or(from, |(id, _)| id);
        Forward { blocks: self.blocks.range(start..), walk: None, from, until }
    }

    /// The entries from `until` back to `from`.
    pub fn range_back(&self, from: StreamId, until: StreamId) -> Backward<'_> {
        Backward { blocks: self.blocks.range(..=until), walk: None, from, until }
    }

    /// How many entries there are from `from` to `until`. O(1) if that is all of them, else for each block between.
    pub fn count(&self, from: StreamId, until: StreamId) -> u64 {
        if from <= self.first_id && until >= self.last_id {
            return self.len;
        }
        let start = self.block_of(from).map_or(from, |(id, _)| id);
        let mut blocks = self.blocks.range(start..=until.max(start)).peekable();
        let mut count = 0;
        while let Some((id, block)) = blocks.next() {
            // One that another follows, which begins no later than `until`, ends before that.
            let is_whole = id >= from && blocks.peek().is_some();
            count += if is_whole { block.count() } else { block.count_between(id, from, until) };
        }
        count as u64
    }

    /// The block that an ID would be in.
    fn block_of(&self, id: StreamId) -> Option<(StreamId, &Block)> {
        match self.blocks.last() {
            Some((last, block)) if last <= id => Some((last, block)),
            _ => self.blocks.range(..=id).next_back(),
        }
    }

    /// The entry of an ID.
    pub fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        let (first, block) = self.block_of(id)?;
        block.find(first, id)
    }

    /// The ID of the last entry. Looks no further than the last block, as a rule.
    #[inline]
    pub fn last_entry_id(&self) -> Option<StreamId> {
        if self.len == 0 {
            return None;
        }
        self.range_back(StreamId::MIN, StreamId::MAX).next().map(|entry| entry.id)
    }

    /// Removes an entry by its ID, which is noted; says whether there was one.
    pub fn remove(&mut self, id: StreamId) -> bool {
        let is_there = self.remove_unmarked(id);
        if is_there {
            self.max_deleted_id = self.max_deleted_id.max(id);
        }
        is_there
    }

    /// As [`Log::remove`] for trimming, which leaves no note.
    pub(super) fn remove_unmarked(&mut self, id: StreamId) -> bool {
        let Some((first, entry)) =
            self.block_of(id).and_then(|(first, block)| Some((first, block.find(first, id)?)))
        else {
            return false;
        };
        let spot = entry.spot();
        let block = self.blocks.get_mut(&first).expect("found there");
        if block.count() == 1 {
            self.remove_block(first);
        } else {
            let before = block.heap_bytes();
            block.mark(&[spot]);
            self.block_bytes = self.block_bytes - before + block.heap_bytes();
            self.len -= 1;
        }
        if id == self.first_id {
            self.find_first();
        }
        true
    }

    fn remove_block(&mut self, id: StreamId) {
        let block = self.blocks.remove(&id).expect("the caller has seen it");
        self.block_bytes -= block.heap_bytes();
        self.len -= block.count() as u64;
    }

    fn find_first(&mut self) {
        let first = self.range(StreamId::MIN, StreamId::MAX).next().map(|entry| entry.id);
        self.first_id = first.unwrap_or_default();
    }

    /// Removes entries from the front and says how many. With `whole_blocks` the last block that would have to be cut stays whole. No
    /// more than `limit` entries are removed, unless that is zero.
    pub fn trim(&mut self, trim: Trim, whole_blocks: bool, limit: u64) -> u64 {
        let before = self.len;
        while let Some((id, block)) = self.blocks.first() {
            let count = block.count() as u64;
            if matches!(trim, Trim::ToLen(max) if self.len <= max) {
                break;
            }
            if limit > 0 && before - self.len + count > limit {
                break;
            }
            let goes = match trim {
                Trim::ToLen(max) => self.len - count >= max,
                Trim::ToId(min) => block.last_id(id).is_none_or(|last| last < min),
            };
            if goes {
                self.remove_block(id);
                continue;
            }
            if !whole_blocks {
                self.trim_block(id, trim);
            }
            break;
        }
        if self.len != before {
            self.find_first();
        }
        before - self.len
    }

    /// The first block behind another one of which a trim would remove something, and what that is: with `whole_blocks` all of it.
    pub(super) fn trimmable(
        &self,
        trim: Trim,
        whole_blocks: bool,
        behind: Option<StreamId>,
    ) -> Option<(StreamId, Vec<StreamId>)> {
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let (id, block) = self.blocks.range((from, Bound::Unbounded)).next()?;
        let is_whole = match trim {
            Trim::ToLen(max) if self.len <= max => return None,
            Trim::ToLen(max) => self.len - block.count() as u64 >= max,
            Trim::ToId(min) => block.last_id(id).is_none_or(|last| last < min),
        };
        let until = match trim {
            Trim::ToLen(_) => StreamId::MAX,
            Trim::ToId(min) => min.previous()?,
        };
        let mut walk = block.forward(id);
        let living = std::iter::from_fn(|| walk.next()).filter(|entry| !entry.is_deleted);
        let ids: Vec<_> = living.map(|entry| entry.id).take_while(|id| *id <= until).collect();
        let is_done = !is_whole && (whole_blocks || ids.is_empty());
        (!is_done).then_some((id, ids))
    }

    /// The IDs of the entries that an exact trim would remove.
    pub(super) fn trimmed_by(&self, trim: Trim) -> Vec<StreamId> {
        let (until, count) = match trim {
            Trim::ToLen(max) => (StreamId::MAX, self.len.saturating_sub(max)),
            Trim::ToId(min) => match min.previous() {
                Some(until) => (until, self.len),
                None => return Vec::new(),
            },
        };
        self.range(StreamId::MIN, until).take(count as usize).map(|entry| entry.id).collect()
    }

    /// Marks entries of the first block as deleted.
    fn trim_block(&mut self, id: StreamId, trim: Trim) {
        let block = self.blocks.get_mut(&id).expect("the first");
        let before = block.heap_bytes();
        let mut walk = block.forward(id);
        let mut spots = Vec::new();
        while let Some(entry) = walk.next() {
            let is_behind = match trim {
                Trim::ToLen(max) => self.len - spots.len() as u64 <= max,
                Trim::ToId(min) => entry.id >= min,
            };
            if is_behind {
                break;
            }
            if !entry.is_deleted {
                spots.push(entry.spot());
            }
        }
        block.mark(&spots);
        self.len -= spots.len() as u64;
        self.block_bytes = self.block_bytes - before + block.heap_bytes();
    }

    /// Sets the greatest ID, and what is known of the past.
    pub fn set_last_id(&mut self, id: StreamId, entries_added: Option<u64>, max_deleted: StreamId) {
        self.last_id = id;
        if let Some(entries_added) = entries_added {
            self.entries_added = entries_added;
        }
        if max_deleted != StreamId::MIN {
            self.max_deleted_id = max_deleted;
        }
    }

    /// Whether an entry from `from` on may have been deleted by its ID, as far as the one known ID tells.
    pub fn has_gap_from(&self, from: StreamId) -> bool {
        self.len > 0
            && self.max_deleted_id != StreamId::MIN
            && self.first_id <= self.max_deleted_id
            && from <= self.max_deleted_id
    }

    /// How many entries have been added up to and with `id`; `None` where that cannot be told: within the stream, where nobody counts.
    pub fn rank(&self, id: StreamId) -> Option<u64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        if id == self.last_id || (self.len == 0 && id < self.last_id) {
            return Some(self.entries_added);
        }
        if id > self.last_id {
            return None;
        }
        let is_whole = self.max_deleted_id == StreamId::MIN || self.max_deleted_id < self.first_id;
        let before_first = self.entries_added.wrapping_sub(self.len);
        match id.cmp(&self.first_id) {
            std::cmp::Ordering::Less if is_whole => Some(before_first),
            std::cmp::Ordering::Equal if is_whole => Some(before_first.wrapping_add(1)),
            _ => None,
        }
    }
}

/// Entries in order.
#[derive(Clone, Debug)]
pub struct Forward<'a> {
    blocks: sorted_rows::Iter<'a, StreamId, Block>,
    walk: Option<Walk<'a>>,
    from: StreamId,
    until: StreamId,
}

impl<'a> Iterator for Forward<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let Some(walk) = &mut self.walk else {
                let (id, block) = self.blocks.next()?;
                if id > self.until {
                    return None;
                }
                self.walk = Some(block.forward(id));
                continue;
            };
            match walk.next() {
                Some(entry) if entry.is_deleted || entry.id < self.from => {}
                Some(entry) => return (entry.id <= self.until).then_some(entry),
                None => self.walk = None,
            }
        }
    }
}

/// Entries from the last back.
#[derive(Clone, Debug)]
pub struct Backward<'a> {
    blocks: sorted_rows::Iter<'a, StreamId, Block>,
    walk: Option<Walk<'a>>,
    from: StreamId,
    until: StreamId,
}

impl<'a> Iterator for Backward<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let Some(walk) = &mut self.walk else {
                let (id, block) = self.blocks.next_back()?;
                self.walk = Some(block.backward(id));
                continue;
            };
            match walk.next_back() {
                Some(entry) if entry.is_deleted || entry.id > self.until => {}
                Some(entry) => return (entry.id >= self.from).then_some(entry),
                None => self.walk = None,
            }
        }
    }
}
