//! How long a command took, how often: a histogram of nanoseconds.
//!
//! Every power of two is cut into sixteen, so what is read is at most a sixteenth too long; what takes more than a second counts as a
//! second. One thread writes, as with every [`Counter`], and all may read; histograms of several threads are added up when somebody
//! asks.

use super::Counter;

/// Parts of a power of two: sixteen.
const PART_BITS: u32 = 4;

const PARTS: usize = 1 << PART_BITS;

/// The longest time that is told apart.
const LONGEST_NS: u64 = 1_000_000_000;

/// Number of buckets.
const BUCKETS: usize = bucket_of(LONGEST_NS) + 1;

/// Where a time is counted.
const fn bucket_of(ns: u64) -> usize {
    if ns < PARTS as u64 {
        return ns as usize;
    }
    let power = ns.ilog2();
    let part = (ns >> (power - PART_BITS)) as usize & (PARTS - 1);
    (power - PART_BITS + 1) as usize * PARTS + part
}

/// The longest time that a bucket counts.
const fn longest_of(bucket: usize) -> u64 {
    if bucket < PARTS {
        return bucket as u64;
    }
    let power = (bucket / PARTS) as u32 + PART_BITS - 1;
    let part = (bucket % PARTS) as u64;
    (1 << power) + ((part + 1) << (power - PART_BITS)) - 1
}

/// A histogram that one thread writes.
#[derive(Debug)]
pub struct Histogram {
    buckets: [Counter; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [const { Counter::new() }; BUCKETS] }
    }
}

impl Histogram {
    /// Counts `times` commands that took `ns` each. Only the owning thread may.
    #[inline]
    pub fn add(&self, ns: u64, times: u64) {
        self.buckets[bucket_of(ns.min(LONGEST_NS))].add(times);
    }

    pub(super) fn reset(&self) {
        self.buckets.iter().for_each(Counter::reset);
    }
}

/// Histograms added up.
#[derive(Clone, Debug)]
pub struct Distribution {
    counts: Box<[u64; BUCKETS]>,
}

impl Default for Distribution {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]) }
    }
}

impl Distribution {
    pub(super) fn add(&mut self, histogram: &Histogram) {
        let counts = self.counts.iter_mut().zip(&histogram.buckets);
        counts.for_each(|(sum, counter)| *sum += counter.get());
    }

    /// How many commands were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// The time that so many of a hundred commands did not exceed, in nanoseconds; 0 if there were none.
    pub fn percentile(&self, percent: f64) -> u64 {
        let wanted = (percent / 100.0 * self.count() as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        found.map_or(0, longest_of)
    }

    /// How many commands took no longer than `ns`, which is a power of two less one.
    pub fn up_to(&self, ns: u64) -> u64 {
        self.counts[..=bucket_of(ns.min(LONGEST_NS))].iter().sum()
    }

    /// As LATENCY HISTOGRAM shows it: limits in microseconds, each with how many commands took no longer. The limits are those powers of
    /// two of nanoseconds that Redis' histogram has, as it rounds them; those that add nobody are left out.
    pub fn cumulative(&self) -> Vec<(u64, u64)> {
        /// The first limit is a microsecond, the last a second.
        const POWERS: std::ops::RangeInclusive<u32> = 10..=30;
        let (mut all, mut before) = (Vec::new(), 0);
        for power in POWERS {
            let count = self.up_to((1 << power) - 1);
            if count > before {
                all.push((((1u64 << power) + (1 << (power - 7)) - 1) / 1000, count));
                before = count;
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(times: &[(u64, u64)]) -> Distribution {
        let histogram = Histogram::default();
        times.iter().for_each(|(ns, times)| histogram.add(*ns, *times));
        let mut distribution = Distribution::default();
        distribution.add(&histogram);
        distribution
    }

    #[test]
    fn buckets_follow_each_other_without_gaps() {
        for bucket in 0..BUCKETS - 1 {
            assert_eq!(bucket_of(longest_of(bucket)), bucket);
            assert_eq!(bucket_of(longest_of(bucket) + 1), bucket + 1);
        }
        assert!(longest_of(BUCKETS - 1) >= LONGEST_NS);
    }

    #[test]
    fn a_percentile_is_at_most_a_sixteenth_too_long() {
        let distribution = distribution(&[(1_000, 98), (50_000, 1), (u64::MAX, 1)]);
        assert_eq!(distribution.count(), 100);
        let is_about = |ns: u64, of: u64| (of..=of + of / 16).contains(&ns);
        assert!(is_about(distribution.percentile(0.0), 1_000));
        assert!(is_about(distribution.percentile(50.0), 1_000));
        assert!(is_about(distribution.percentile(99.0), 50_000));
        assert!(is_about(distribution.percentile(100.0), LONGEST_NS));
        assert_eq!(Distribution::default().percentile(50.0), 0);
    }

    #[test]
    fn limits_are_powers_of_two_and_leave_out_what_adds_nobody() {
        let distribution = distribution(&[(100, 1), (1_500, 2), (3_000_000, 1)]);
        assert_eq!(distribution.cumulative(), [(1, 1), (2, 3), (4227, 4)]);
        assert!(Distribution::default().cumulative().is_empty());
    }
}
