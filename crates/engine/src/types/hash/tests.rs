//! Hashes beside a map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::number::{DIGITS_MAX, write_i64};
use crate::random::Random;

fn rules(entries: usize, bytes: usize) -> Rules {
    Rules { max: SmallMax { entries, bytes }, seed: Seed(1, 2) }
}

fn bytes_of(view: View<'_>) -> Vec<u8> {
    match view {
        View::Short(bytes) => bytes.to_vec(),
        View::Int(number) => write_i64(number, &mut [0; DIGITS_MAX]).to_vec(),
        View::Chunks(chunks) => chunks.to_vec(),
        View::Object(_) => panic!("a string"),
    }
}

fn hash_of(count: usize, rules: &Rules) -> Hash {
    let mut hash = Hash::new();
    for n in 0..count {
        hash.set(
            format!("field:{n:010}").as_bytes(),
            format!("value:{n:010}").as_bytes(),
            false,
            rules,
        );
    }
    hash
}

#[test]
fn small_hashes_are_rows_of_fields_and_values() {
    let rules = rules(128, 64);
    let mut hash = Hash::new();
    hash.set(b"a", b"1", false, &rules);
    hash.set(b"b", b"xyz", false, &rules);
    let Form::Small(small) = &hash.0 else { panic!("small") };
    let plain =
        [17, 0, 0, 0, 4, 0, 0x81, b'a', 2, 1, 1, 0x81, b'b', 2, 0x83, b'x', b'y', b'z', 4, 0xff];
    assert_eq!(small.list_bytes()[4..], plain[4..]);
    hash.set_expiry(b"b", Some(100));
    let Form::Small(small) = &hash.0 else { panic!("small") };
    let with_ends =
        [6, 0, 0x81, b'b', 2, 0x83, b'x', b'y', b'z', 4, 100, 1, 0x81, b'a', 2, 1, 1, 0, 1, 0xff];
    assert_eq!(small.list_bytes()[4..], with_ends);
    assert_eq!(hash.encoding(), "listpackex");
}

#[test]
fn a_hash_grows_big_by_number_and_by_length() {
    let few = rules(2, 4);
    let mut hash = hash_of(0, &few);
    assert_eq!(hash.encoding(), "listpack");
    hash.set(b"a", b"1", false, &few);
    hash.set(b"b", b"1", false, &few);
    hash.set(b"a", b"2", false, &few);
    assert_eq!(hash.encoding(), "listpack");
    hash.set(b"c", b"1", false, &few);
    assert_eq!(hash.encoding(), "hashtable");
    let mut hash = Hash::new();
    hash.set(b"a", b"12345", false, &few);
    assert_eq!(hash.encoding(), "hashtable");
    let mut hash = Hash::new();
    hash.prepare(3, [(&b"a"[..], &b"1"[..]); 3].into_iter(), &few);
    assert!(!hash.is_small(), "guessed by the number of words, as Redis does");
}

#[test]
fn fields_of_sixteen_bytes_with_such_values_take_70_bytes() {
    let hash = hash_of(250_000, &rules(128, 64));
    let bytes = hash.heap_bytes() as f64 / 250_000.0;
    assert!(bytes < 70.0, "{bytes}");
}

#[test]
fn samples_are_spread() {
    for rules in [rules(1000, 64), rules(0, 64)] {
        let hash = hash_of(500, &rules);
        let mut random = Random::new(5);
        let seen: std::collections::BTreeSet<Vec<u8>> = (0..10_000)
            .map(|_| bytes_of(hash.sample(|| random.next_u64()).expect("not empty").field))
            .collect();
        assert!(seen.len() > 490, "{}", seen.len());
    }
}

#[derive(Clone, Debug)]
enum Act {
    Set(u8, Vec<u8>, bool),
    Expire(u8, Option<u64>),
    Remove(u8),
    PopDue(u64),
    Clone,
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => any::<i32>().prop_map(|n| n.to_string().into_bytes()),
        4 => proptest::collection::vec(any::<u8>(), 0..20),
        1 => proptest::collection::vec(any::<u8>(), 60..70),
        1 => Just(vec![7; 20_000]),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let field = || 0u8..40;
    prop_oneof![
        6 => (field(), value(), any::<bool>()).prop_map(|(f, v, k)| Act::Set(f, v, k)),
        4 => (field(), prop_oneof![2 => (1u64..100).prop_map(Some), 1 => Just(None)])
            .prop_map(|(f, at)| Act::Expire(f, at)),
        2 => field().prop_map(Act::Remove),
        1 => (0u64..60).prop_map(Act::PopDue),
        1 => Just(Act::Clone),
    ]
}

/// Fields that are numbers and fields that are not.
fn name(field: u8) -> Vec<u8> {
    if field.is_multiple_of(2) { field.to_string().into_bytes() } else { vec![field; 9] }
}

type Twin = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

fn check(hash: &Hash, twin: &Twin) {
    let all: Twin = hash
        .iter()
        .map(|pair| (bytes_of(pair.field), (bytes_of(pair.value), pair.expiry)))
        .collect();
    assert_eq!(&all, twin);
    assert_eq!(hash.len(), twin.len());
    assert_eq!(hash.iter().count(), twin.len());
    assert_eq!(hash.first_deadline(), twin.values().filter_map(|(_, at)| *at).min());
    for (field, (value, at)) in twin {
        assert_eq!(hash.get(field).map(bytes_of).as_ref(), Some(value));
        assert_eq!(hash.expiry(field), Some(*at));
    }
}

fn twins_agree(acts: Vec<Act>, rules: Rules) {
    let (mut hash, mut twin) = (Hash::new(), Twin::new());
    for act in acts {
        match act {
            Act::Set(field, value, keeps) => {
                let field = name(field);
                let old = twin.get(&field).cloned();
                let is_new = hash.set(&field, &value, keeps, &rules);
                assert_eq!(is_new, old.is_none());
                let end = old.and_then(|(_, at)| at).filter(|_| keeps);
                twin.insert(field, (value, end));
            }
            Act::Expire(field, at) => {
                let field = name(field);
                let there = twin.get_mut(&field).map(|row| row.1 = at).is_some();
                assert_eq!(hash.set_expiry(&field, at), there);
            }
            Act::Remove(field) => {
                let field = name(field);
                assert_eq!(hash.remove(&field), twin.remove(&field).is_some());
            }
            Act::PopDue(now) => {
                let popped = hash.pop_due(now);
                let first = twin.values().filter_map(|(_, at)| *at).min().filter(|at| *at <= now);
                let row = popped.map(|field| twin.remove(&field).expect("was there"));
                assert_eq!(row.and_then(|(_, at)| at), first);
            }
            Act::Clone => {
                let copy = hash.clone();
                if !hash.is_small() {
                    assert_eq!(copy.heap_bytes() > 0, hash.heap_bytes() > 0);
                }
                hash = copy;
            }
        }
        check(&hash, &twin);
    }
    let (mut seen, mut cursor) = (Twin::new(), 0);
    loop {
        cursor = hash.scan(cursor, |pair| {
            seen.insert(bytes_of(pair.field), (bytes_of(pair.value), pair.expiry));
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen, twin);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn a_small_hash_agrees_with_the_slow_twin(acts in proptest::collection::vec(act(), 0..120)) {
        twins_agree(acts, rules(1000, 1 << 20));
    }

    #[test]
    fn a_big_hash_agrees_with_the_slow_twin(acts in proptest::collection::vec(act(), 0..120)) {
        twins_agree(acts, rules(0, 0));
    }

    #[test]
    fn a_hash_that_grows_agrees_with_the_slow_twin(acts in proptest::collection::vec(act(), 0..120)) {
        twins_agree(acts, rules(12, 64));
    }
}
