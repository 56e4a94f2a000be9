//! Members against a slow twin, a scan through growth and decay, samples, and weight.

use super::*;
use crate::random::Random;
use hashbrown::HashSet;
use proptest::prelude::*;

const SEED: Seed = Seed(1, 2);

/// Everything the head of the file promises.
fn check_invariants(members: &Members) {
    let mut packed = 0;
    for index in 0..members.pages {
        for member in members.page(index).iter() {
            assert_eq!(members.home(SEED.hash(member)), index);
            packed += 1;
        }
    }
    let bytes: usize = members.segments.iter().flatten().map(Page::heap_bytes).sum();
    assert_eq!((packed, bytes), (members.packed, members.page_bytes));
    assert!(members.segments.iter().rev().skip(1).all(|segment| segment.len() == SEGMENT));
    let long = members.long.iter().flat_map(|long| long.table.iter());
    let bytes = members.long.as_ref().map_or(0, |long| long.bytes);
    assert_eq!(long.map(Entry::weight).sum::<usize>(), bytes);
}

fn numbers(count: u32) -> Members {
    let mut members = Members::new(SEED);
    (0..count).for_each(|n| assert!(members.insert(format!("member:{n:09}").as_bytes())));
    members
}

#[test]
fn sixteen_bytes_take_less_than_twenty_five() {
    for count in [1_000, 10_000, 100_000, 150_000] {
        let members = numbers(count);
        let each = members.heap_bytes() as f64 / f64::from(count);
        assert!(each < 25.0, "{each} at {count}");
        check_invariants(&members);
    }
}

#[test]
fn what_is_removed_leaves_nothing_behind() {
    let mut members = numbers(20_000);
    for n in 0..20_000 {
        assert!(members.remove(format!("member:{n:09}").as_bytes()));
        assert!(!members.remove(format!("member:{n:09}").as_bytes()));
    }
    check_invariants(&members);
    assert!(members.is_empty());
    assert!(members.heap_bytes() < 20_000, "{}", members.heap_bytes());
}

#[test]
fn long_members_are_members() {
    let mut members = Members::new(SEED);
    let word = |n: usize| vec![b'x'; n];
    (0..400).for_each(|n| assert!(members.insert(&word(n)) && !members.insert(&word(n))));
    check_invariants(&members);
    assert_eq!(members.len(), 400);
    let copy = members.clone();
    (0..400).for_each(|n| assert!(members.remove(&word(n)) && !members.contains(&word(n))));
    check_invariants(&members);
    assert!((0..400).all(|n| copy.contains(&word(n))));
    check_invariants(&copy);
}

#[test]
fn chosen_hashes_do_no_harm() {
    let mut members = Members::new(SEED);
    // All in one page, as far as it takes them.
    let mut page = Page::default();
    for n in 0..2_000_u32 {
        let member = [n.to_le_bytes().as_slice(), &[7; 90]].concat();
        if page.has_room(member.len()) {
            page.push(0, &member);
        }
    }
    assert_eq!(page.len(), BYTES_IN_PAGE / 94);
    assert_eq!(page.iter().count(), page.len());
    members.insert(b"one");
    assert!(members.contains(b"one"));
}

/// What ends of two bytes can say.
const BYTES_IN_PAGE: usize = u16::MAX as usize;

#[test]
fn samples_are_even() {
    let mut members = numbers(1_000);
    (0..24_u8).for_each(|n| assert!(members.insert(&[n; 200])));
    let mut random = Random::new(5);
    let mut seen = hashbrown::HashMap::new();
    for _ in 0..102_400 {
        let member = members.sample(|| random.next_u64()).expect("not empty").to_vec();
        *seen.entry(member).or_insert(0_u32) += 1;
    }
    assert_eq!(seen.len(), 1_024);
    assert!(seen.values().all(|count| (50..170).contains(count)));
}

#[test]
fn nothing_has_no_sample() {
    assert_eq!(Members::new(SEED).sample(|| 7), None);
    assert_eq!(Members::new(SEED).scan(0, |_| panic!("there is none")), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u16),
    Remove(u16),
}

fn member(n: u16) -> Vec<u8> {
    let text = n.to_string().into_bytes();
    if n.is_multiple_of(13) { text.repeat(60) } else { text }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn agrees_with_the_slow_twin(
        steps in proptest::collection::vec(
            prop_oneof![3 => (0..300_u16).prop_map(Step::Insert), 2 => (0..300_u16).prop_map(Step::Remove)],
            0..900,
        ),
    ) {
        let (mut members, mut twin) = (Members::new(SEED), HashSet::new());
        for step in steps {
            match step {
                Step::Insert(n) => prop_assert_eq!(members.insert(&member(n)), twin.insert(member(n))),
                Step::Remove(n) => prop_assert_eq!(members.remove(&member(n)), twin.remove(&member(n))),
            }
            prop_assert_eq!(members.len(), twin.len());
        }
        check_invariants(&members);
        let all: HashSet<_> = members.iter().map(<[u8]>::to_vec).collect();
        prop_assert_eq!(&all, &twin);
        prop_assert!((0..300).all(|n| members.contains(&member(n)) == twin.contains(&member(n))));
    }

    #[test]
    fn a_scan_sees_all_that_stays(
        before in 1..2_000_u32, between in 0..60_u32, stay in 1..40_u32, grows: bool, seed: u64,
    ) {
        let mut members = Members::new(SEED);
        let name = |n: u32| if n.is_multiple_of(9) { vec![n as u8; 150 + n as usize] } else { n.to_string().into_bytes() };
        (0..before.max(stay)).for_each(|n| { members.insert(&name(n)); });
        let (mut random, mut seen, mut cursor, mut next) = (Random::new(seed), HashSet::new(), 0, before.max(stay));
        loop {
            cursor = members.scan(cursor, |member| { seen.insert(member.to_vec()); });
            if cursor == 0 { break }
            for _ in 0..between {
                if grows && next < 6_000 {
                    members.insert(&name(next));
                    next += 1;
                } else {
                    let n = stay + random.below(u64::from(next)) as u32;
                    members.remove(&name(n));
                }
            }
        }
        for n in 0..stay {
            prop_assert!(seen.contains(&name(n)), "missed {}", n);
        }
    }
}
