//! Sorted sets beside a slow twin: a vector that is sorted after every change.

use super::*;
use proptest::prelude::*;
use std::convert::Infallible;

const SMALL: Rules = rules(128);

const fn rules(entries: usize) -> Rules {
    Rules { max: SmallMax { entries, bytes: 64 }, seed: Seed(1, 2) }
}

#[derive(Clone, Debug, Default)]
struct Twin(Vec<(f64, Vec<u8>)>);

impl Twin {
    fn set(&mut self, score: f64, member: &[u8]) {
        self.remove(member);
        self.0.push((score, member.to_vec()));
        self.0.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
    }

    fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let at = self.0.iter().position(|(_, name)| name == member)?;
        Some(self.0.remove(at).0)
    }
}

fn content(set: &SortedSet) -> Vec<(f64, Vec<u8>)> {
    let mut all = Vec::new();
    set.each(0..set.len(), |name, score| all.push((score, name.to_vec())));
    all
}

fn check(set: &SortedSet, twin: &Twin) {
    assert_eq!(content(set), twin.0);
    assert_eq!(set.len(), twin.0.len());
    let mut back = Vec::new();
    set.each_back(0..set.len(), |name, score| back.push((score, name.to_vec())));
    back.reverse();
    assert_eq!(back, twin.0);
    for (at, (score, name)) in twin.0.iter().enumerate() {
        assert_eq!(set.rank(name), Some((at, *score)));
        assert_eq!(set.score(name), Some(*score));
    }
    let in_range = |(score, _): &&(f64, Vec<u8>)| *score > 2.0 && *score <= 7.0;
    let (min, max) = (
        ScoreBound { score: 2.0, is_exclusive: true },
        ScoreBound { score: 7.0, is_exclusive: false },
    );
    let count = twin.0.iter().filter(in_range).count();
    assert_eq!(set.positions(Bounds::Scores(min, max)).len(), count);
}

#[test]
fn a_small_set_is_the_listpack_of_redis() {
    let mut set = SortedSet::new();
    set.set(1.5, b"a", SMALL);
    set.set(1.0, b"b", SMALL);
    set.set(1.0, b"7", SMALL);
    let Form::Small(small) = &set.0 else { panic!("small") };
    let elements: Vec<Vec<u8>> = small.iter().map(|(name, _)| name.to_vec()).collect();
    assert_eq!(elements, [b"7", b"b", b"a"]);
    assert_eq!(set.encoding(), "listpack");
}

#[test]
fn names_bound_ranges_where_scores_are_equal() {
    for entries in [0, 128] {
        let mut set = SortedSet::new();
        let small = rules(entries);
        for name in ["a", "b", "c", "d", "10"] {
            set.set(0.0, name.as_bytes(), small);
        }
        let count = |min, max| set.positions(Bounds::Lex(min, max)).len();
        assert_eq!(count(LexBound::First, LexBound::Last), 5);
        assert_eq!(count(LexBound::Last, LexBound::First), 0);
        assert_eq!(count(LexBound::Including(b"b"), LexBound::Excluding(b"d")), 2);
        assert_eq!(count(LexBound::Excluding(b"b"), LexBound::Including(b"d")), 2);
        assert_eq!(count(LexBound::First, LexBound::Excluding(b"a")), 1);
    }
}

#[test]
fn a_million_members_take_no_more_than_eighty_six_bytes_each() {
    let (mut set, mut dice) = (SortedSet::new(), crate::random::Random::new(3));
    for n in 0..200_000 {
        let score = dice.next_u64() as f64;
        set.set(score, format!("member:{n:09}").as_bytes(), SMALL);
    }
    assert!(set.heap_bytes() < 200_000 * 86, "{}", set.heap_bytes() / 200_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn agrees_with_the_slow_twin(
        entries in prop_oneof![Just(0usize), Just(16), Just(128)],
        steps in proptest::collection::vec((0u16..300, -4i32..20, 0u8..10), 0..600),
    ) {
        let small = rules(entries);
        let (mut set, mut twin) = (SortedSet::new(), Twin::default());
        for (n, score, what) in steps {
            let name = n.to_string().into_bytes();
            let score = f64::from(score) / 2.0;
            match what {
                0..=6 => {
                    set.set(score, &name, small);
                    twin.set(score, &name);
                }
                7 => prop_assert_eq!(set.remove(&name), twin.remove(&name)),
                8 => {
                    let from = usize::from(n) % (twin.0.len() + 1);
                    let until = (from + 3).min(twin.0.len());
                    set.remove_range(from..until);
                    twin.0.drain(from..until);
                }
                _ => {
                    let up = |old: Option<f64>| Ok::<_, Infallible>(old.map(|old| old + score));
                    let Ok(update) = set.update(&name, small, up);
                    if let Some(new) = update.new {
                        twin.set(new, &name);
                    }
                }
            }
        }
        check(&set, &twin);
        check(&set.clone(), &twin);
    }
}

#[test]
fn a_set_that_shrinks_stays_whole_and_gives_memory_back() {
    let (mut set, mut twin) = (SortedSet::new(), Twin::default());
    let mut dice = crate::random::Random::new(9);
    let name = |n: u64| format!("member:{n:09}").into_bytes();
    for n in 0..12_000 {
        set.set((n % 7) as f64, &name(n), SMALL);
    }
    let mut left: Vec<u64> = (0..12_000).collect();
    while left.len() > 400 {
        let n = left.swap_remove(dice.below(left.len() as u64) as usize);
        assert_eq!(set.remove(&name(n)), Some((n % 7) as f64));
    }
    twin.0 = left.iter().map(|n| ((n % 7) as f64, name(*n))).collect();
    twin.0.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
    check(&set, &twin);
    assert!(set.heap_bytes() < 400 * 300, "{} bytes each", set.heap_bytes() / 400);
}
