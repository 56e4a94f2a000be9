//! Which of Redis' two forms a list has: a listpack while it is short, a quicklist once it is long.
//!
//! A listpack becomes a quicklist when something is to be added and all of it together would exceed `list-max-listpack-size`. It becomes
//! one again only when a removal leaves half of that or less, so that a list at the border does not go to and fro.

use super::List;
use crate::collections::packed::PACKED_MAX;
use crate::number::parse_i64;

/// What Redis' listpack takes beside its entries: two counts before them, one byte behind.
const LISTPACK_FRAME: usize = 7;

/// From where on a listpack is a quicklist, whatever number of elements is allowed.
const SAFE_BYTES: usize = PACKED_MAX;

/// What a list may hold as a listpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListMax {
    /// Bytes of the listpack.
    pub bytes: usize,
    /// Number of elements.
    pub entries: usize,
}

impl ListMax {
    /// What `list-max-listpack-size` says: a number of elements, or from -1 to -5 a size from 4 to 64 KB.
    pub fn of(parameter: i64) -> Self {
        if parameter >= 0 {
            return Self { bytes: usize::MAX, entries: parameter.max(1) as usize };
        }
        let class = parameter.unsigned_abs().min(5);
        Self { bytes: 2048 << class, entries: usize::MAX }
    }

    const fn is_exceeded(self, bytes: usize, entries: usize) -> bool {
        if self.bytes == usize::MAX {
            bytes > SAFE_BYTES || entries > self.entries
        } else {
            bytes > self.bytes
        }
    }
}

impl List {
    /// To be called before `count` elements of `bytes` bytes together are added.
    #[inline]
    pub fn will_grow(&mut self, max: ListMax, bytes: usize, count: usize) {
        if !self.weight.is_quick()
            && max.is_exceeded(self.listpack_bytes() + bytes, self.len + count)
        {
            self.weight.set_quick(true);
        }
    }

    /// To be called after elements were removed or replaced.
    #[inline]
    pub fn has_shrunk(&mut self, max: ListMax) {
        if self.weight.is_quick()
            && self.rows.len() == 1
            && self.listpack_bytes() <= max.bytes / 2
            && self.len <= max.entries / 2
        {
            self.weight.set_quick(false);
        }
    }

    /// To be called when a list was made as a whole.
    pub fn was_made(&mut self, max: ListMax) {
        let is_quick = max.is_exceeded(self.listpack_bytes(), self.len);
        self.weight.set_quick(is_quick);
    }

    /// What Redis' listpacks would take, one for each row. O(rows).
    pub fn quicklist_bytes(&self) -> usize {
        self.rows.iter().map(|row| LISTPACK_FRAME + row.note as usize).sum()
    }

    /// The size of the listpack that would hold all elements. A list that is no quicklist has few rows.
    fn listpack_bytes(&self) -> usize {
        LISTPACK_FRAME + self.rows.iter().map(|row| row.note as usize).sum::<usize>()
    }
}

/// The bytes of rows on the heap, which are even, and in the lowest bit whether the list is a quicklist.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weight(usize);

impl Weight {
    pub(super) const fn new() -> Self {
        Self(0)
    }

    pub(super) const fn bytes(self) -> usize {
        self.0 & !1
    }

    pub(super) const fn is_quick(self) -> bool {
        self.0 & 1 == 1
    }

    pub(super) const fn set_quick(&mut self, is_quick: bool) {
        self.0 = self.bytes() | is_quick as usize;
    }

    /// A row took `before` bytes and takes `after`.
    #[inline]
    pub(super) const fn moved(&mut self, before: usize, after: usize) {
        self.0 = self.0 - before + after;
    }
}

/// What Redis' listpack takes for this element: its encoding, and that encoding's length behind it.
#[inline]
pub(super) fn listpack_size(element: &[u8]) -> u32 {
    let len = element.len();
    let entry = match parse_i64(element) {
        Some(0..=127) => 1,
        Some(-4096..=4095) => 2,
        Some(-0x8000..=0x7fff) => 3,
        Some(-0x80_0000..=0x7f_ffff) => 4,
        Some(-0x8000_0000..=0x7fff_ffff) => 5,
        Some(_) => 9,
        None => len + [1, 2, 5][usize::from(len >= 64) + usize::from(len >= 4096)],
    };
    let length = match entry {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    };
    // No listpack holds more than 4 GB; such an element stands alone in its row.
    u32::try_from(entry + length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Collection;

    #[test]
    fn listpacks_are_measured() {
        // Entries of 2, 3, 4, 5, 6, 10, 2 + 63, 3 + 64 bytes, and of 4096 + 5 + 2.
        let long = [vec![b'x'; 63], vec![b'x'; 64], vec![b'x'; 4096]];
        let short = ["127", "128", "4096", "-32769", "8388608", "2147483648"]
            .map(|text| text.as_bytes().to_vec());
        let sizes = [2, 3, 4, 5, 6, 10, 65, 67, 4103];
        for (element, size) in short.into_iter().chain(long).zip(sizes) {
            assert_eq!(listpack_size(&element), size);
        }
    }

    fn push(list: &mut List, max: ListMax, element: &[u8]) -> &'static str {
        list.will_grow(max, element.len(), 1);
        list.push_back(element);
        list.encoding()
    }

    #[test]
    fn a_list_is_long_beyond_the_limit_and_short_again_at_half() {
        let (mut list, max) = (List::new(), ListMax::of(4));
        for _ in 0..4 {
            assert_eq!(push(&mut list, max, b"a"), "listpack");
        }
        assert_eq!(push(&mut list, max, b"a"), "quicklist");
        for expected in ["quicklist", "quicklist", "listpack", "listpack"] {
            list.drop_back();
            list.has_shrunk(max);
            assert_eq!(list.encoding(), expected);
        }
    }

    #[test]
    fn sizes_count_in_bytes_and_numbers_are_bounded_too() {
        assert_eq!(ListMax::of(-1).bytes, 4096);
        assert_eq!(ListMax::of(-2).bytes, 8192);
        assert_eq!(ListMax::of(-5).bytes, 65_536);
        assert_eq!(ListMax::of(i64::MIN).bytes, 65_536);
        assert_eq!(ListMax::of(0).entries, 1);
        assert_eq!(push(&mut List::new(), ListMax::of(-2), &[b'x'; 8185]), "listpack");
        assert_eq!(push(&mut List::new(), ListMax::of(-2), &[b'x'; 8186]), "quicklist");
        assert_eq!(push(&mut List::new(), ListMax::of(128), &[b'x'; 8186]), "quicklist");
        let mut list = List::new();
        (0..100).for_each(|_| list.push_back(b"abc"));
        list.was_made(ListMax::of(99));
        assert_eq!(list.encoding(), "quicklist");
        list.was_made(ListMax::of(100));
        assert_eq!(list.encoding(), "listpack");
    }
}
