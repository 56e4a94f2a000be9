//! Rows of integers: hostile bytes are refused, or are a sorted row that stays one under any change.
//!
//! The first byte says how many numbers of nine bytes follow, each with what to do; the rest is the row.

#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use russet_engine::collections::intset::Intset;

fuzz_target!(|data: &[u8]| {
    let Some((&steps, rest)) = data.split_first() else { return };
    let (steps, bytes) = rest.split_at((usize::from(steps) * 9).min(rest.len()));
    let Some(mut row) = Intset::from_bytes(bytes.to_vec()) else { return };
    let mut twin: BTreeSet<i64> = row.iter().collect();
    check(&row, &twin);
    for step in steps.chunks_exact(9) {
        let number = i64::from_le_bytes(step[1..].try_into().expect("eight bytes"));
        let number = number >> (step[0] & 0x3f);
        assert_eq!(row.contains(number), twin.contains(&number));
        if step[0] & 0x40 == 0 {
            assert_eq!(row.insert(number), twin.insert(number));
        } else {
            assert_eq!(row.remove(number), twin.remove(&number));
        }
        check(&row, &twin);
    }
});

fn check(row: &Intset, twin: &BTreeSet<i64>) {
    assert!(row.iter().eq(twin.iter().copied()));
    assert!(row.iter().rev().eq(twin.iter().rev().copied()));
    assert_eq!((row.first(), row.last()), (twin.first().copied(), twin.last().copied()));
    assert_eq!(row.get(twin.len()), None);
    if !row.is_empty() {
        let again = Intset::from_bytes(row.as_bytes().to_vec());
        assert_eq!(again.map(|row| row.as_bytes().to_vec()).as_deref(), Some(row.as_bytes()));
    }
}
