//! Listpacks: hostile bytes are refused, or are a row that reads the same from both ends and stays whole under any change.
//!
//! The first byte says how many bytes of instructions follow; the rest is the listpack.

#![no_main]

use libfuzzer_sys::fuzz_target;
use russet_engine::collections::listpack::{Element, Listpack};

fuzz_target!(|data: &[u8]| {
    let Some((&steps, rest)) = data.split_first() else { return };
    let (steps, bytes) = rest.split_at(usize::from(steps).min(rest.len()));
    let Some(mut list) = Listpack::from_bytes(bytes) else { return };
    let mut twin: Vec<Vec<u8>> = list.iter().map(Element::to_vec).collect();
    check(&list, &twin);
    for step in steps.chunks_exact(3) {
        change(&mut list, &mut twin, step);
        check(&list, &twin);
    }
});

fn change(list: &mut Listpack, twin: &mut Vec<Vec<u8>>, step: &[u8]) {
    let at = usize::from(step[1]) % (twin.len() + 1);
    let position = list.seek(at as i64).unwrap_or(list.end());
    let value = value(step[2]);
    match step[0] % 4 {
        0 => {
            list.insert_before(position, Element::new(&value));
            twin.insert(at, value);
        }
        1 if at < twin.len() => {
            list.replace(position, Element::new(&value));
            twin[at] = value;
        }
        2 => {
            let count = usize::from(step[2] % 8).min(twin.len() - at);
            list.remove(position, count);
            twin.drain(at..at + count);
        }
        _ => {
            let found = list.first().and_then(|first| list.find(first, &value, 0));
            let expected = twin.iter().position(|element| *element == value);
            assert_eq!(found, expected.and_then(|at| list.seek(at as i64)));
        }
    }
}

/// Numbers of every width and strings of every kind of length.
fn value(salt: u8) -> Vec<u8> {
    match salt % 4 {
        0 => (i64::from(salt) << (salt / 4)).to_string().into_bytes(),
        1 => (-(i64::from(salt) << (salt / 8))).to_string().into_bytes(),
        2 => vec![b'x'; usize::from(salt) / 2],
        _ => vec![salt; [0, 1, 63, 64, 127, 128, 4095, 4096][usize::from(salt / 4) % 8]],
    }
}

fn check(list: &Listpack, twin: &[Vec<u8>]) {
    assert_eq!(list.len(), twin.len());
    assert!(list.iter().map(Element::to_vec).eq(twin.iter().cloned()));
    assert!(list.iter().rev().map(Element::to_vec).eq(twin.iter().rev().cloned()));
    assert_eq!(Listpack::from_bytes(list.as_bytes()).as_ref(), Some(list));
}
