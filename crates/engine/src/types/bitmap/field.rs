//! Integers of 1 to 64 bits anywhere in a bitmap: BITFIELD.

use super::Bitmap;
use crate::entry::Entry;
use crate::types::string::write_at;

/// The most bytes that a field touches: 64 bits that begin in the middle of a byte.
const BYTES_MAX: usize = 9;

/// Where an integer stands, and how wide it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Of its first bit.
    pub offset: usize,
    /// In bits: 1 to 64, unsigned ones to 63.
    pub width: u32,
    /// Whether the first bit is a sign.
    pub is_signed: bool,
}

/// What becomes of a sum that a field cannot hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// Its lowest bits.
    #[default]
    Wrap,
    /// The nearest that it can hold.
    Saturate,
    /// Nothing is done.
    Fail,
}

impl Field {
    /// How many bytes a string must have to hold it.
    pub const fn end(self) -> usize {
        (self.offset + self.width as usize).div_ceil(8)
    }

    /// The bytes that it touches, in the highest bytes of a word.
    fn word(self, bitmap: &Bitmap<'_>) -> u128 {
        let mut bytes = [0; 16];
        let first = self.offset / 8;
        for (at, piece) in bitmap.pieces(first, first + BYTES_MAX) {
            bytes[at - first..at - first + piece.len()].copy_from_slice(piece);
        }
        u128::from_be_bytes(bytes)
    }

    /// The integer that stands there; behind the end of the string there are zeros.
    pub fn read(self, bitmap: &Bitmap<'_>) -> i64 {
        let word = self.word(bitmap) << (self.offset % 8);
        let unused = 128 - self.width;
        if self.is_signed { ((word as i128) >> unused) as i64 } else { (word >> unused) as i64 }
    }

    /// Writes the lowest bits of an integer. The string has been extended to [`Self::end`].
    pub fn write(self, entry: &mut Entry, value: i64) {
        let Some(bitmap) = Bitmap::of(entry.view()) else { return };
        let behind = 128 - self.width - (self.offset % 8) as u32;
        let mask = (u128::MAX >> (128 - self.width)) << behind;
        let word = (self.word(&bitmap) & !mask) | (((value as u128) << behind) & mask);
        let first = self.offset / 8;
        write_at(entry, first, &word.to_be_bytes()[..self.end() - first]);
    }

    /// What the field holds after `value` was meant to be put in: the value itself, or what [`Overflow`] makes of it. `None` if nothing
    /// is done.
    pub fn settle(self, value: i128, overflow: Overflow) -> Option<i64> {
        let most = (1_i128 << (self.width - u32::from(self.is_signed))) - 1;
        let least = if self.is_signed { -most - 1 } else { 0 };
        if (least..=most).contains(&value) {
            return Some(value as i64);
        }
        match overflow {
            Overflow::Wrap => Some(self.wrapped(value)),
            Overflow::Saturate => Some(value.clamp(least, most) as i64),
            Overflow::Fail => None,
        }
    }

    const fn wrapped(self, value: i128) -> i64 {
        let unused = 128 - self.width;
        if self.is_signed {
            ((value << unused) >> unused) as i64
        } else {
            (((value as u128) << unused) >> unused) as i64
        }
    }

    /// A number of a request as this field takes it: what is below zero stands for a very large one where there is no sign, and, as in
    /// Redis, where the way from there to the most that a narrower field holds is more than 64 bits can say.
    pub const fn meant(self, number: i64) -> i128 {
        let is_far = self.width < 64 && number < i64::MIN + (1 << (self.width - 1));
        if self.is_signed && !is_far { number as i128 } else { number as u64 as i128 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::grow;
    use super::*;
    use crate::entry::string_value;
    use proptest::prelude::*;

    fn field(offset: usize, width: u32, is_signed: bool) -> Field {
        Field { offset, width, is_signed }
    }

    #[test]
    fn sums_that_do_not_fit_are_settled() {
        let (u8_field, i8_field) = (field(0, 8, false), field(0, 8, true));
        assert_eq!(u8_field.settle(256, Overflow::Wrap), Some(0));
        assert_eq!(u8_field.settle(-1, Overflow::Wrap), Some(255));
        assert_eq!(u8_field.settle(-1, Overflow::Saturate), Some(0));
        assert_eq!(u8_field.settle(u8_field.meant(-1), Overflow::Saturate), Some(255));
        assert_eq!(i8_field.settle(128, Overflow::Wrap), Some(-128));
        assert_eq!(i8_field.settle(-129, Overflow::Wrap), Some(127));
        assert_eq!(i8_field.settle(1_000, Overflow::Saturate), Some(127));
        assert_eq!(i8_field.settle(-1_000, Overflow::Saturate), Some(-128));
        assert_eq!(i8_field.settle(i8_field.meant(i64::MIN + 127), Overflow::Saturate), Some(127));
        assert_eq!(i8_field.settle(i8_field.meant(i64::MIN + 127), Overflow::Wrap), Some(127));
        assert_eq!(i8_field.settle(i8_field.meant(i64::MIN + 128), Overflow::Saturate), Some(-128));
        assert_eq!(i8_field.settle(-128, Overflow::Fail), Some(-128));
        assert_eq!(i8_field.settle(-129, Overflow::Fail), None);
        let widest = field(0, 64, true);
        let beyond = i128::from(i64::MAX) + 1;
        assert_eq!(widest.settle(beyond, Overflow::Wrap), Some(i64::MIN));
        assert_eq!(widest.settle(beyond, Overflow::Saturate), Some(i64::MAX));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_its_neighbours_stay(
            len in prop_oneof![0_usize..40, 16_370_usize..16_400, 32_760_usize..32_780],
            back in 0_usize..200, width in 1_u32..=64, is_signed: bool, value: i64,
        ) {
            let field = field((len * 8).saturating_sub(back), width - u32::from(width == 64 && !is_signed), is_signed);
            let value = field.settle(field.meant(value), Overflow::Wrap).unwrap();
            let mut entry = Entry::new(b"k", string_value(&vec![0xa5; len]), None);
            grow(&mut entry, field.end());
            let before = bytes(&entry);
            field.write(&mut entry, value);
            prop_assert_eq!(field.read(&Bitmap::of(entry.view()).unwrap()), value);
            let after = bytes(&entry);
            prop_assert_eq!(before.len(), after.len());
            let inside = field.offset..field.offset + field.width as usize;
            let bit = |bytes: &[u8], at: usize| bytes[at / 8] & (0x80 >> (at % 8)) != 0;
            prop_assert!((0..after.len() * 8).filter(|at| !inside.contains(at)).all(|at| bit(&before, at) == bit(&after, at)));
        }
    }

    fn bytes(entry: &Entry) -> Vec<u8> {
        let bitmap = Bitmap::of(entry.view()).unwrap();
        (0..bitmap.len()).map(|at| bitmap.byte(at)).collect()
    }
}
