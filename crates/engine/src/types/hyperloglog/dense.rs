//! Six bits for each register, the lowest first, four registers in three bytes.

use super::{HEADER, Observation, REGISTERS};

/// Bytes of the registers.
const BYTES: usize = REGISTERS / 4 * 3;

/// Bytes of a string in this form.
pub const DENSE_LEN: usize = HEADER + BYTES;

/// Registers that are unpacked together.
const BLOCK: usize = 64;

const MASK: u32 = 63;

/// Four registers.
#[inline]
const fn unpack(bytes: [u8; 3]) -> [u8; 4] {
    let [a, b, c] = bytes;
    [a & 63, (a >> 6 | b << 2) & 63, (b >> 4 | c << 4) & 63, c >> 2]
}

#[inline]
const fn pack(values: [u8; 4]) -> [u8; 3] {
    let [a, b, c, d] = values;
    [a | b << 6, b >> 2 | c << 4, c >> 4 | d << 2]
}

fn groups(registers: &[u8]) -> impl Iterator<Item = [u8; 4]> + '_ {
    registers.as_chunks::<3>().0.iter().map(|bytes| unpack(*bytes))
}

pub(super) fn add_to_histogram(registers: &[u8], histogram: &mut [u32; 64]) {
    // Four counts for each value, so that equal neighbours do not wait for each other.
    let mut counts = [[0_u32; 64]; 4];
    for group in groups(registers) {
        for (counts, value) in counts.iter_mut().zip(group) {
            counts[usize::from(value & 63)] += 1;
        }
    }
    for counts in counts {
        histogram.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
}

/// Raises a register. Says whether it was less.
pub(super) fn raise(registers: &mut [u8], seen: Observation) -> bool {
    let (group, nth) = (seen.register / 4, seen.register % 4);
    let bytes = &mut registers[group * 3..group * 3 + 3];
    let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]);
    let shift = nth * 6;
    let is_less = (word >> shift & MASK) < u32::from(seen.value);
    if is_less {
        let word = word & !(MASK << shift) | u32::from(seen.value) << shift;
        bytes.copy_from_slice(&word.to_le_bytes()[..3]);
    }
    is_less
}

/// Raises each value to that of the register, a block at a time: unpacked to a byte each, then the greater of two vectors.
pub(super) fn merge(values: &mut [u8; REGISTERS], registers: &[u8]) {
    let blocks = registers.as_chunks::<{ BLOCK / 4 * 3 }>().0;
    for (values, block) in values.as_chunks_mut::<BLOCK>().0.iter_mut().zip(blocks) {
        let mut others = [0; BLOCK];
        for (four, group) in others.as_chunks_mut::<4>().0.iter_mut().zip(groups(block)) {
            *four = group;
        }
        values.iter_mut().zip(others).for_each(|(one, other)| *one = (*one).max(other));
    }
}

/// Appends the registers.
pub(super) fn push_all(out: &mut Vec<u8>, values: &[u8; REGISTERS]) {
    out.reserve_exact(BYTES);
    out.extend(values.as_chunks::<4>().0.iter().flat_map(|four| pack(*four)));
}
