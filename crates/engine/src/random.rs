//! Dice for sampling: small, fast, seeded by the caller, and not for secrets.
//!
//! SplitMix64: the state walks by an odd constant through all 2^64 values, and what comes out is the state, well mixed. Equal seeds
//! give equal sequences, so that a failing test can be thrown again.

/// A source of numbers that look random.
#[derive(Clone, Debug)]
pub struct Random(u64);

/// 2^64 divided by the golden ratio, made odd.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// Starts the sequence that belongs to `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    #[inline]
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number less than `bound`; 0 where there is none. Uneven by less than `bound` in 2^64.
    #[inline]
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.next_u64() as u128 * bound as u128) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_seed_gives_the_sequence_of_the_reference() {
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(random.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn every_face_comes_up_about_as_often() {
        let mut random = Random::new(7);
        let mut faces = [0; 6];
        for _ in 0..60_000 {
            faces[random.below(6) as usize] += 1;
        }
        assert!(faces.iter().all(|count| (9_500..10_500).contains(count)), "{faces:?}");
    }

    proptest! {
        #[test]
        fn below_stays_below(seed: u64, bound in 1..u64::MAX) {
            prop_assert!(Random::new(seed).below(bound) < bound);
            prop_assert_eq!(Random::new(seed).below(0), 0);
        }
    }
}
