//! Tests of HyperLogLogs as a whole.

use super::*;
use proptest::prelude::*;

const SPARSE_MAX: usize = 3000;

fn added(elements: impl Iterator<Item = u64>, sparse_max: usize) -> Sketch {
    let mut sketch = Sketch::new();
    elements.for_each(|n| {
        sketch.add(observe(n.to_string().as_bytes()), sparse_max).unwrap();
    });
    sketch
}

fn values(sketch: &Sketch) -> Vec<u8> {
    let mut registers = Registers::new();
    registers.merge(sketch.bytes(), sketch.form()).unwrap();
    registers.values().to_vec()
}

#[test]
fn one_that_has_seen_nothing_takes_eighteen_bytes() {
    let sketch = Sketch::new();
    assert_eq!(sketch.bytes(), b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff");
    assert_eq!(count(sketch.bytes(), Form::Sparse), Ok(0));
    assert_eq!(cached_count(sketch.bytes()), Some(0));
}

#[test]
fn elements_are_seen_as_redis_sees_them() {
    // As PFDEBUG GETREG of redis-server shows them.
    assert_eq!(observe(b"a"), Observation { register: 12_711, value: 2 });
    assert_eq!(observe(b""), observe(b""));
    let nine = added(std::iter::once(9), SPARSE_MAX);
    assert_eq!(count(nine.bytes(), nine.form()), Ok(1));
}

#[test]
fn counts_are_off_by_little() {
    for exact in [10, 100, 1_000, 10_000, 100_000] {
        let sketch = added(0..exact, SPARSE_MAX);
        let counted = count(sketch.bytes(), sketch.form()).unwrap() as f64;
        assert!((counted / exact as f64 - 1.0).abs() < 0.03, "{exact}: {counted}");
        assert_eq!(cached_count(sketch.bytes()), None);
    }
}

#[test]
fn what_is_no_hyperloglog_is_told_apart() {
    let dense = added(0..10, 0);
    assert_eq!(form_of(dense.bytes()), Some(Form::Dense));
    assert_eq!(form_of(&dense.bytes()[..DENSE_LEN - 1]), None);
    assert_eq!(form_of(b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0"), None);
    assert_eq!(form_of(b"HYLX\x01\0\0\0\0\0\0\0\0\0\0\0"), None);
    assert_eq!(form_of(b"HYLL\x01"), None);
    let cut = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f";
    assert_eq!(count(cut, Form::Sparse), Err(Corrupted));
    assert_eq!(Sketch::copy(cut, Form::Sparse).add(observe(b"a"), SPARSE_MAX), Err(Corrupted));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn both_forms_hold_the_same(elements in proptest::collection::vec(any::<u64>(), 0..600), sparse_max in 18_usize..4000) {
        let sparse = added(elements.iter().copied(), usize::MAX);
        let mixed = added(elements.iter().copied(), sparse_max);
        let mut dense = added(elements.iter().copied(), 0);
        dense.make_dense().unwrap();
        prop_assert!(mixed.form() == Form::Dense || mixed.bytes().len() <= sparse_max);
        for other in [&mixed, &dense] {
            prop_assert_eq!(values(&sparse), values(other));
            prop_assert_eq!(count(sparse.bytes(), sparse.form()), count(other.bytes(), other.form()));
        }
        let mut registers = Registers::new();
        registers.merge(sparse.bytes(), sparse.form()).unwrap();
        prop_assert_eq!(Ok(registers.count()), count(dense.bytes(), Form::Dense));
        for is_dense in [false, true] {
            let sketch = registers.clone().into_sketch(is_dense, sparse_max);
            prop_assert_eq!(values(&sketch), values(&dense));
        }
    }

    #[test]
    fn any_bytes_behind_the_head_are_read_without_harm(rest in proptest::collection::vec(any::<u8>(), 0..300), element: u64) {
        let mut bytes = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0".to_vec();
        bytes.extend(rest);
        let _ = count(&bytes, Form::Sparse);
        let mut sketch = Sketch::copy(&bytes, Form::Sparse);
        let _ = sketch.add(observe(&element.to_le_bytes()), SPARSE_MAX);
        let _ = sketch.make_dense();
        prop_assert!(runs(&bytes).count() <= 300);
    }

    #[test]
    fn any_dense_registers_are_read_and_written_back(seed: u64) {
        let mut random = crate::random::Random::new(seed);
        let mut dense = Sketch::new();
        dense.make_dense().unwrap();
        let mut bytes = dense.bytes().to_vec();
        bytes[HEADER..].iter_mut().for_each(|byte| *byte = random.next_u64() as u8);
        let mut registers = Registers::new();
        registers.merge(&bytes, Form::Dense).unwrap();
        let again = registers.clone().into_sketch(true, 0);
        prop_assert_eq!(&again.bytes()[HEADER..], &bytes[HEADER..]);
        let mut histogram = [0; 64];
        dense::add_to_histogram(&bytes[HEADER..], &mut histogram);
        let slow = |value: usize| registers.values().iter().filter(|v| usize::from(**v) == value).count();
        prop_assert!((0..64).all(|value| slow(value) == histogram[value] as usize));
    }
}
