//! Large byte strings in reference-counted chunks.
//!
//! ```text
//! Chunks -> Arc of the list of chunks -> [ Bytes 16 KB | Bytes 16 KB | Bytes 16 KB | Bytes, the rest ]
//! ```
//!
//! Whoever reads for longer than a lock is held (a reply on its way out, a snapshot, DUMP, COPY) holds on to the list or to single
//! chunks; both are one reference. A writer that finds the list shared copies the list, 32 bytes a chunk, and one that finds a chunk
//! shared copies that chunk. So a reader sees what was there when it looked, and a write never costs more than the chunks it touches
//! and, once per reader, the list.
//!
//! Bytes that nobody wrote are zero: the gap that a write far behind the end leaves is one static chunk of zeros, referred to many
//! times. It is counted as if each were its own, because the next write may make it so.
//!
//! Invariants:
//! * Every chunk but the last is exactly [`CHUNK`] long, the last between 1 and [`CHUNK`]. The empty string has no chunks.
//! * `len` is the sum of their lengths.
//! * `tail_capacity` is what the last chunk's buffer can hold: at least its length, [`CHUNK`] at most, 0 without a chunk.

use std::fmt;
use std::mem;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use crate::relocate::Mover;
use crate::size_class::usable;

/// The length of every chunk but the last.
pub const CHUNK: usize = 16 * 1024;

/// What a chunk of a gap refers to.
static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// The two counts in front of a shared list.
const ARC_HEADER: usize = 16;

/// A large byte string. Cloning it costs one reference.
#[derive(Clone, Default)]
pub struct Chunks {
    list: Arc<List>,
    len: usize,
    tail_capacity: u32,
}

#[derive(Clone, Default)]
struct List {
    chunks: Vec<Bytes>,
}

impl Chunks {
    /// The empty string.
    pub fn new() -> Self {
        Self::default()
    }

    /// Copies `bytes`.
    pub fn from_slice(bytes: &[u8]) -> Self {
        let mut chunks = Vec::with_capacity(bytes.len().div_ceil(CHUNK));
        chunks.extend(bytes.chunks(CHUNK).map(Bytes::copy_from_slice));
        let tail_capacity = chunks.last().map_or(0, Bytes::len) as u32;
        Self { list: Arc::new(List { chunks }), len: bytes.len(), tail_capacity }
    }

    /// A string of these pieces: each but the last exactly [`CHUNK`] long, the last between 1 and [`CHUNK`].
    pub fn from_pieces(chunks: Vec<Bytes>) -> Self {
        let len = chunks.iter().map(Bytes::len).sum();
        debug_assert!(chunks.iter().rev().skip(1).all(|chunk| chunk.len() == CHUNK));
        debug_assert!(chunks.last().is_none_or(|tail| (1..=CHUNK).contains(&tail.len())));
        let tail_capacity = chunks.last().map_or(0, Bytes::len) as u32;
        Self { list: Arc::new(List { chunks }), len, tail_capacity }
    }

    /// A piece of `len` zeros, [`CHUNK`] at most, that takes no memory.
    pub fn zeros(len: usize) -> Bytes {
        Bytes::from_static(&ZEROS[..len])
    }

    /// Length in bytes.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The chunks in order.
    #[inline]
    pub fn chunks(&self) -> &[Bytes] {
        &self.list.chunks
    }

    /// Bytes on the heap, as if nothing were shared. Costs nothing to ask.
    pub fn heap_bytes(&self) -> usize {
        let list = &self.list.chunks;
        let directory = usable(ARC_HEADER + size_of::<List>())
            + buffer_bytes(list.capacity() * size_of::<Bytes>());
        directory + list.len().saturating_sub(1) * CHUNK + buffer_bytes(self.tail_capacity as usize)
    }

    /// The byte at `offset`, if the string reaches that far.
    #[inline]
    pub fn byte(&self, offset: usize) -> Option<u8> {
        self.chunks().get(offset / CHUNK)?.get(offset % CHUNK).copied()
    }

    /// The bytes from `start` until before `end`, as far as there are any, in pieces of at most [`CHUNK`].
    pub fn range(&self, start: usize, end: usize) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.pieces(start, end).map(|(chunk, from, until)| &chunk[from..until])
    }

    /// As [`Self::range`], but by reference: the pieces outlive the string and see none of its later changes.
    pub fn range_shared(&self, start: usize, end: usize) -> SmallVec<[Bytes; 4]> {
        self.pieces(start, end).map(|(chunk, from, until)| chunk.slice(from..until)).collect()
    }

    /// The whole string in one piece.
    pub fn to_vec(&self) -> Vec<u8> {
        self.chunks().concat()
    }

    /// Whether these are the string's bytes.
    pub fn eq_slice(&self, bytes: &[u8]) -> bool {
        self.len == bytes.len()
            && self.chunks().iter().zip(bytes.chunks(CHUNK)).all(|(one, other)| one == other)
    }

    /// Adds `bytes` at the end. The room there doubles up to a chunk, so that many small pieces cost as much as one large.
    pub fn append(&mut self, bytes: &[u8]) {
        let (fill, rest) = bytes.split_at(bytes.len().min(self.tail_room()));
        self.len += bytes.len();
        if !fill.is_empty() {
            self.extend_tail(fill);
        }
        if !rest.is_empty() {
            self.list_mut().extend(rest.chunks(CHUNK).map(Bytes::copy_from_slice));
            self.tail_is_new();
        }
    }

    /// Overwrites from `offset` on, and extends the string as needed, with zeros between its end and `offset`.
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if offset > self.len {
            self.extend_zeros(offset - self.len);
        }
        let (over, behind) = bytes.split_at(bytes.len().min(self.len - offset));
        self.overwrite(offset, over);
        self.append(behind);
    }

    /// Cuts the string to `len` bytes, if it is longer. A last chunk that is mostly cut away gives its memory back.
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        let same_tail = len.div_ceil(CHUNK) == self.chunks().len();
        self.len = len;
        let list = self.list_mut();
        list.truncate(len.div_ceil(CHUNK));
        list.shrink_to(list.len() * 2);
        let Some(tail) = list.last_mut() else {
            self.tail_capacity = 0;
            return;
        };
        tail.truncate((len - 1) % CHUNK + 1);
        let kept = tail.len();
        if !same_tail {
            self.tail_capacity = CHUNK as u32;
        }
        if kept * 2 <= self.tail_capacity as usize {
            self.fit_tail();
        }
    }

    fn pieces(
        &self,
        start: usize,
        end: usize,
    ) -> impl DoubleEndedIterator<Item = (&Bytes, usize, usize)> {
        let end = end.min(self.len);
        let start = start.min(end);
        let first = start / CHUNK;
        let behind = if start == end { first } else { end.div_ceil(CHUNK) };
        (first..behind).map(move |index| {
            let base = index * CHUNK;
            (&self.list.chunks[index], start.saturating_sub(base), (end - base).min(CHUNK))
        })
    }

    /// The list, copied first if anybody else holds it.
    fn list_mut(&mut self) -> &mut Vec<Bytes> {
        &mut Arc::make_mut(&mut self.list).chunks
    }

    /// Moves the list and the last chunk, unless somebody else holds them. All other chunks are too large for slabs.
    pub(crate) fn relocate(&mut self, mover: &mut Mover) {
        let Some(list) = Arc::get_mut(&mut self.list) else { return };
        mover.vec(&mut list.chunks);
        if let Some(tail) = list.chunks.last_mut()
            && tail.is_unique()
            && mover.wants(tail.as_ptr(), self.tail_capacity as usize)
        {
            let mut open = BytesMut::with_capacity(self.tail_capacity as usize);
            open.extend_from_slice(tail);
            *tail = open.freeze();
        }
        if mover.wants(std::ptr::from_ref(list).cast(), ARC_HEADER + size_of::<List>()) {
            self.list = Arc::new(mem::take(list));
        }
    }

    const fn tail_room(&self) -> usize {
        self.len.next_multiple_of(CHUNK) - self.len
    }

    fn extend_tail(&mut self, bytes: &[u8]) {
        let tail = self.list_mut().last_mut().expect("there is no room without a last chunk");
        let needed = tail.len() + bytes.len();
        let mut open = match mem::take(tail).try_into_mut() {
            Ok(own) if own.capacity() >= needed => own,
            Ok(own) => widened(&own, needed),
            Err(shared) => widened(&shared, needed),
        };
        open.extend_from_slice(bytes);
        let capacity = open.capacity();
        *tail = open.freeze();
        self.tail_capacity = capacity as u32;
    }

    fn extend_zeros(&mut self, count: usize) {
        let fill = count.min(self.tail_room());
        self.len += count;
        if fill > 0 {
            self.extend_tail(&ZEROS[..fill]);
        }
        let (whole, part) = ((count - fill) / CHUNK, (count - fill) % CHUNK);
        let zeros = Bytes::from_static(&ZEROS);
        let list = self.list_mut();
        list.extend(std::iter::repeat_n(zeros, whole));
        if part > 0 {
            list.push(Bytes::from_static(&ZEROS[..part]));
        }
        if whole + part > 0 {
            self.tail_is_new();
        }
    }

    /// `bytes` replace as many from `offset` on, all of which exist.
    fn overwrite(&mut self, mut offset: usize, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (index, from) = (offset / CHUNK, offset % CHUNK);
            let (part, rest) = bytes.split_at(bytes.len().min(CHUNK - from));
            self.overwrite_chunk(index, from, part);
            offset += part.len();
            bytes = rest;
        }
    }

    fn overwrite_chunk(&mut self, index: usize, from: usize, bytes: &[u8]) {
        let list = self.list_mut();
        let mut open = mem::take(&mut list[index])
            .try_into_mut()
            .unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        open[from..from + bytes.len()].copy_from_slice(bytes);
        let capacity = open.capacity();
        list[index] = open.freeze();
        if index + 1 == list.len() {
            self.tail_capacity = capacity as u32;
        }
    }

    /// Notes the last chunk's capacity after it was made to measure.
    fn tail_is_new(&mut self) {
        self.tail_capacity = self.chunks().last().map_or(0, Bytes::len) as u32;
    }

    fn fit_tail(&mut self) {
        if let Some(tail) = self.list_mut().last_mut() {
            *tail = Bytes::copy_from_slice(tail);
        }
        self.tail_is_new();
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks")
            .field("len", &self.len)
            .field("chunks", &self.chunks().len())
            .finish_non_exhaustive()
    }
}

/// A copy with room for `needed` bytes and, up to a chunk, for as many again.
fn widened(bytes: &[u8], needed: usize) -> BytesMut {
    let mut wide = BytesMut::with_capacity(needed.next_power_of_two().min(CHUNK));
    wide.extend_from_slice(bytes);
    wide
}

const fn buffer_bytes(capacity: usize) -> usize {
    if capacity == 0 { 0 } else { usable(capacity) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|n| (n % 251) as u8).collect()
    }

    /// Everything the head of this file promises.
    fn check_invariants(chunks: &Chunks) {
        let list = chunks.chunks();
        assert_eq!(list.iter().map(Bytes::len).sum::<usize>(), chunks.len());
        let Some((tail, whole)) = list.split_last() else {
            assert_eq!(chunks.tail_capacity, 0);
            return;
        };
        assert!(whole.iter().all(|chunk| chunk.len() == CHUNK));
        assert!((1..=CHUNK).contains(&tail.len()));
        assert!((tail.len()..=CHUNK).contains(&(chunks.tail_capacity as usize)));
    }

    #[test]
    fn a_copy_costs_a_reference_and_sees_no_later_write() {
        let mut chunks = Chunks::from_slice(&pattern(3 * CHUNK + 5));
        let pinned = chunks.clone();
        assert!(Arc::ptr_eq(&chunks.list, &pinned.list));
        chunks.write_at(CHUNK, b"changed");
        assert!(pinned.eq_slice(&pattern(3 * CHUNK + 5)));
        let copied = |n: usize| chunks.chunks()[n].as_ptr() != pinned.chunks()[n].as_ptr();
        assert_eq!([0, 1, 2, 3].map(copied), [false, true, false, false]);
    }

    #[test]
    fn a_chunk_of_ones_own_is_written_in_place() {
        let mut chunks = Chunks::from_slice(&pattern(2 * CHUNK));
        let before = chunks.chunks()[1].as_ptr();
        chunks.write_at(CHUNK + 7, b"in place");
        assert_eq!(chunks.chunks()[1].as_ptr(), before);
        drop(chunks.range_shared(0, usize::MAX));
        chunks.write_at(CHUNK + 7, b"in place");
        assert_eq!(chunks.chunks()[1].as_ptr(), before);
    }

    #[test]
    fn shared_pieces_outlive_the_string() {
        let mut chunks = Chunks::from_slice(&pattern(2 * CHUNK));
        let pieces = chunks.range_shared(CHUNK - 2, CHUNK + 2);
        assert_eq!(pieces[0].as_ptr(), chunks.chunks()[0][CHUNK - 2..].as_ptr());
        chunks.truncate(0);
        assert_eq!(pieces.concat(), pattern(2 * CHUNK)[CHUNK - 2..CHUNK + 2]);
    }

    #[test]
    fn a_gap_of_half_a_gigabyte_holds_no_bytes_but_counts() {
        let mut chunks = Chunks::new();
        chunks.write_at((1 << 29) - 1, b"x");
        assert_eq!(chunks.len(), 1 << 29);
        assert_eq!(chunks.byte(1 << 28), Some(0));
        assert_eq!(chunks.chunks()[0].as_ptr(), ZEROS.as_ptr());
        assert!(chunks.heap_bytes() >= 1 << 29);
        chunks.write_at(3, b"y");
        assert_eq!(chunks.range(2, 5).collect::<Vec<_>>().concat(), b"\0y\0");
        assert_eq!(chunks.byte(CHUNK + 3), Some(0));
        check_invariants(&chunks);
    }

    #[test]
    fn small_appends_double_the_last_buffer() {
        let mut chunks = Chunks::from_slice(&pattern(CHUNK));
        let mut buffers = hashbrown::HashSet::new();
        for _ in 0..CHUNK {
            chunks.append(b"x");
            buffers.insert(chunks.tail_capacity);
        }
        assert_eq!(chunks.chunks().len(), 2);
        assert!(buffers.len() <= 15, "{buffers:?}");
        check_invariants(&chunks);
    }

    #[test]
    fn ranges_end_where_the_string_does() {
        let chunks = Chunks::from_slice(&pattern(CHUNK));
        for (start, end) in [
            (0, 0),
            (CHUNK, CHUNK),
            (5, 5),
            (9, 3),
            (CHUNK + 1, usize::MAX),
            (usize::MAX, usize::MAX),
        ] {
            assert_eq!(chunks.range(start, end).count(), 0);
        }
        assert_eq!(chunks.range(0, usize::MAX).count(), 1);
        assert_eq!(chunks.byte(CHUNK), None);
    }

    #[test]
    fn memory_is_counted_as_the_allocator_counts() {
        let chunks = Chunks::from_slice(&pattern(2 * CHUNK + 100));
        assert_eq!(chunks.heap_bytes(), 2 * CHUNK + 112 + 96 + 48);
        assert!(Chunks::new().heap_bytes() <= 48);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Append(usize),
        Write(usize, usize),
        Truncate(usize),
        Pin,
        PinPart(usize, usize),
        Unpin,
    }

    /// Lengths and offsets near the edges of chunks, where mistakes live.
    fn place() -> impl Strategy<Value = usize> {
        prop_oneof![
            0..4 * CHUNK,
            (0_usize..5, 0_usize..5).prop_map(|(n, d)| (n * CHUNK + d).saturating_sub(2)),
            0_usize..40
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => place().prop_map(Step::Append),
            4 => (place(), place()).prop_map(|(offset, len)| Step::Write(offset, len)),
            2 => place().prop_map(Step::Truncate),
            1 => Just(Step::Pin),
            1 => (place(), place()).prop_map(|(start, end)| Step::PinPart(start, end)),
            1 => Just(Step::Unpin),
        ]
    }

    /// The slow twin is one vector; pins are checked against what it was when they were made.
    fn twins_agree(steps: Vec<Step>) {
        let (mut chunks, mut twin) = (Chunks::new(), Vec::new());
        let (mut pins, mut parts) = (Vec::new(), Vec::new());
        for (salt, step) in steps.into_iter().enumerate() {
            let fresh = |len: usize| pattern(len + salt)[salt..].to_vec();
            match step {
                Step::Append(len) => {
                    chunks.append(&fresh(len));
                    twin.extend(fresh(len));
                }
                Step::Write(offset, len) => {
                    chunks.write_at(offset, &fresh(len));
                    if len > 0 {
                        twin.resize(twin.len().max(offset + len), 0);
                        twin[offset..offset + len].copy_from_slice(&fresh(len));
                    }
                }
                Step::Truncate(len) => {
                    chunks.truncate(len);
                    twin.truncate(len);
                }
                Step::Pin => pins.push((chunks.clone(), twin.clone())),
                Step::PinPart(start, end) => {
                    let end = end.min(twin.len());
                    let expected = twin[start.min(end)..end].to_vec();
                    assert_eq!(chunks.range(start, end).collect::<Vec<_>>().concat(), expected);
                    parts.push((chunks.range_shared(start, end), expected));
                }
                Step::Unpin => {
                    pins.pop();
                    parts.clear();
                }
            }
            check_invariants(&chunks);
            assert!(chunks.eq_slice(&twin));
        }
        assert!(chunks.to_vec() == twin);
        assert!(pins.iter().all(|(pin, expected)| pin.eq_slice(expected)));
        assert!(parts.iter().all(|(part, expected)| part.concat() == *expected));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn agrees_with_the_slow_twin(steps in proptest::collection::vec(step(), 0..40)) {
            twins_agree(steps);
        }
    }
}
