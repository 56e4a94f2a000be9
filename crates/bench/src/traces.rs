//! Requests to a cache, made from seeds, so that anybody can repeat them.

use hashbrown::HashSet;
use russet_engine::random::Random;

/// What is asked of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Which key.
    pub key: u64,
    /// How long its value is.
    pub value_bytes: usize,
}

/// A kind of trace.
#[derive(Clone, Copy, Debug)]
pub struct Trace {
    /// What it is called.
    pub name: &'static str,
    /// Zipf's exponent; how popular the popular keys are.
    exponent: f64,
    /// Of a hundred requests, how many ask for a key that nobody asks for again.
    scans: u64,
    /// How often the popular keys change.
    shifts: u64,
    /// All keys in turn, of so many parts of a hundred of the keys.
    loops: u64,
    /// Values of many sizes.
    is_mixed: bool,
}

const PLAIN: Trace =
    Trace { name: "", exponent: 1.0, scans: 0, shifts: 0, loops: 0, is_mixed: false };

/// All traces.
pub const TRACES: &[Trace] = &[
    Trace { name: "Zipf 0.8", exponent: 0.8, ..PLAIN },
    Trace { name: "Zipf 1.0", ..PLAIN },
    Trace { name: "Zipf 1.2", exponent: 1.2, ..PLAIN },
    Trace { name: "Zipf 1.0, a tenth of it scans", scans: 10, ..PLAIN },
    Trace { name: "Zipf 1.0, a third of it scans", scans: 33, ..PLAIN },
    Trace { name: "Zipf 1.0 that shifts five times", shifts: 5, ..PLAIN },
    Trace { name: "a loop", loops: 12, ..PLAIN },
    Trace { name: "Zipf 1.0, values of 16 B to 4 KB", is_mixed: true, ..PLAIN },
];

/// Where keys of scans begin.
const SCANNED: u64 = 1 << 40;

/// Bytes of a value, where all are alike.
const VALUE_BYTES: usize = 100;

impl Trace {
    /// So many requests about so many keys.
    pub fn asks(self, seed: u64, keys: u64, requests: u64) -> impl Iterator<Item = Ask> {
        let (mut random, zipf) = (Random::new(seed), Zipf::new(keys, self.exponent));
        (0..requests).map(move |nth| {
            let key = if self.loops > 0 {
                nth % (keys * self.loops / 100)
            } else if random.below(100) < self.scans {
                SCANNED + nth
            } else {
                let shift = nth * (self.shifts + 1) / requests * (keys / 7);
                (zipf.pick(random.next_u64()) + shift) % keys
            };
            self.ask(key)
        })
    }

    /// Of a hundred requests after the first `warm`, how many ask for a key for the first time: no cache answers those.
    pub fn first_asks(self, seed: u64, keys: u64, requests: u64, warm: u64) -> f64 {
        let mut seen = HashSet::new();
        let asks = self.asks(seed, keys, requests).enumerate();
        let is_first = |(nth, ask): &(usize, Ask)| seen.insert(ask.key) && *nth as u64 >= warm;
        asks.filter(is_first).count() as f64 * 100.0 / (requests - warm) as f64
    }

    /// A request for a key.
    pub fn ask(self, key: u64) -> Ask {
        Ask { key, value_bytes: self.value_bytes(key) }
    }

    /// A key has a value of one size for ever.
    fn value_bytes(self, key: u64) -> usize {
        if self.is_mixed { 16 << Random::new(key).below(9) } else { VALUE_BYTES }
    }
}

/// Numbers from 0, each less likely than the one before.
struct Zipf {
    /// The chances up to and with each number.
    sums: Vec<f64>,
}

impl Zipf {
    fn new(numbers: u64, exponent: f64) -> Self {
        let mut sum = 0.0;
        let sums = (1..=numbers).map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        });
        Self { sums: sums.collect() }
    }

    fn pick(&self, dice: u64) -> u64 {
        let all = self.sums.last().copied().unwrap_or(0.0);
        let at = dice as f64 / u64::MAX as f64 * all;
        self.sums.partition_point(|sum| *sum < at).min(self.sums.len() - 1) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_requests_again() {
        for trace in TRACES {
            let one: Vec<Ask> = trace.asks(1, 1_000, 5_000).collect();
            assert_eq!(one, trace.asks(1, 1_000, 5_000).collect::<Vec<_>>(), "{}", trace.name);
        }
    }

    #[test]
    fn first_asks_are_counted_when_the_cache_is_warm() {
        let asks: Vec<Ask> = TRACES[4].asks(1, 1_000, 4_000).collect();
        let is_first = |nth: usize| asks[..nth].iter().all(|ask| ask.key != asks[nth].key);
        let firsts = (1_000..4_000).filter(|nth| is_first(*nth)).count();
        let percent = TRACES[4].first_asks(1, 1_000, 4_000, 1_000);
        assert!((percent - firsts as f64 / 30.0).abs() < 1e-9, "{percent}, {firsts}");
        assert!(percent > 30.0, "{percent}");
    }

    #[test]
    fn the_first_is_asked_for_most() {
        let asks: Vec<Ask> = TRACES[1].asks(1, 1_000, 100_000).collect();
        let count = |key| asks.iter().filter(|ask| ask.key == key).count();
        // The sum of 1/n up to 1000 is 7.49.
        assert!((12_500..14_200).contains(&count(0)), "{}", count(0));
        assert!(count(0) > count(9) && count(9) > count(500));
    }
}
