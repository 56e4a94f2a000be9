//! What a HyperLogLog sees of an element.

use super::REGISTERS;

/// The seed that Redis hashes with.
const SEED: u64 = 0xadc8_3b19;

/// Which register an element belongs to, and which value it has there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The register.
    pub register: usize,
    /// Zeros behind the register's bits of the hash, plus one: 1 to 51.
    pub value: u8,
}

/// Looks at an element. O(n) in its bytes.
pub fn observe(element: &[u8]) -> Observation {
    let hash = murmur(element);
    let bits = REGISTERS.ilog2();
    // A bit behind the last, so that the count ends there.
    let rest = (hash >> bits) | (1 << (64 - bits));
    Observation { register: hash as usize % REGISTERS, value: rest.trailing_zeros() as u8 + 1 }
}

/// MurmurHash2 in its 64-bit variant.
fn murmur(bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(FACTOR);
        word ^= word >> SHIFT;
        hash = (hash ^ word.wrapping_mul(FACTOR)).wrapping_mul(FACTOR);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
    }
    hash = (hash ^ (hash >> SHIFT)).wrapping_mul(FACTOR);
    hash ^ (hash >> SHIFT)
}
