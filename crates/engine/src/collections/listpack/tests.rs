//! Listpacks against the bytes of a Redis server, and against a slow twin.

use super::*;
use crate::size_class::usable;
use proptest::prelude::*;

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).expect("hexadecimal") as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn pack(elements: &[&[u8]]) -> Listpack {
    elements.iter().copied().collect()
}

/// Everything the head of the file promises.
fn check_invariants(listpack: &Listpack) {
    assert_eq!(Listpack::from_bytes(listpack.as_bytes()).as_ref(), Some(listpack));
    assert_eq!(listpack.0.capacity(), usable(listpack.0.len()));
}

/// A hash of Redis 7.0.15, by DUMP.
const NUMBERS: &str = "5e0000001200847a65726f05800100017f01c08002cfff02d00002f1001003f1ffef03f1ff7f03f2ff7fff04f2ffff7f04\
    f3ffff7fff05f3ffffff7f05f4ffffff7fffffffff09f4ffffffffffffff7f09f40000000000000080098001ff";

/// A list of Redis 7.0.15, by DUMP.
const WORDS: &str = "220000000700816102dfff028568656c6c6f06410182303103822d300382203103ff";

#[test]
fn bytes_are_those_of_redis() {
    let numbers =
        ["zero", "", "0", "127", "128", "4095", "-4096", "4096", "-4097", "32767", "-32769"];
    let large = ["8388607", "-8388609", "2147483647", "-2147483649"];
    let edges = ["9223372036854775807", "-9223372036854775808", ""];
    let all: Vec<_> = [&numbers[..], &large, &edges].concat();
    let expected = unhex(NUMBERS);
    let listpack: Listpack = all.iter().map(|text| text.as_bytes()).collect();
    assert_eq!(listpack.as_bytes(), expected);
    let read = Listpack::from_bytes(&expected).expect("is one");
    assert!(read.iter().map(Element::to_vec).eq(all.iter().map(|text| text.as_bytes().to_vec())));

    let words = pack(&[b"a", b"-1", b"hello", b"65", b"01", b"-0", b" 1"]);
    assert_eq!(words.as_bytes(), unhex(WORDS));
}

#[test]
fn long_elements_are_those_of_redis() {
    for (len, head, tail) in [
        (63, "4b0000000200bf", "40817902ff"),
        (64, "4d0000000200e040", "42817902ff"),
        (126, "8c0000000200e07e", "0180817902ff"),
        (127, "8d0000000200e07f", "0181817902ff"),
        (4095, "0d1000000200efff", "2081817902ff"),
        (4096, "111000000200f000100000", "2085817902ff"),
        (20_000, "324e00000200f0204e0000", "019ca5817902ff"),
    ] {
        let element = vec![b'x'; len];
        let listpack = pack(&[&element, b"y"]);
        assert_eq!(listpack.as_bytes(), [unhex(head), element.clone(), unhex(tail)].concat());
        check_invariants(&listpack);
        assert_eq!(listpack.last().map(|last| listpack.get(last)), Some(Element::Bytes(b"y")));
        let first = listpack.seek(-2).expect("two elements");
        assert_eq!(listpack.get(first), Element::Bytes(&element));
    }
}

#[test]
fn hostile_bytes_are_refused() {
    let good = unhex(NUMBERS);
    for len in 0..good.len() {
        assert_eq!(Listpack::from_bytes(&good[..len]), None, "{len}");
    }
    for text in [
        "07000000ffff00",
        "070000000100ff",
        "080000000100ffff",
        "0a0000000100f0ffffffff",
        "0c0000000100f0ffffffff05ff",
        "090000000100c001ff",
        "090000000100010 2ff",
        "090000000100f501ff",
        "0800000001007fff",
        "0900000001008202ff",
    ] {
        assert_eq!(Listpack::from_bytes(&unhex(&text.replace(' ', ""))), None, "{text}");
    }
}

#[test]
fn what_a_file_spells_otherwise_is_found_too() {
    // "7" as bytes, and 7 as an integer of four bytes.
    let read = Listpack::from_bytes(&unhex("100000000200813702f30700000005ff")).expect("is one");
    let first = read.first().expect("two elements");
    assert!(read.iter().all(|element| element.equals(b"7") && element.int() == Some(7)));
    assert_eq!(read.find(first, b"7", 0), Some(first));
    assert_eq!(read.find(read.seek(1).expect("two elements"), b"7", 0), read.last());
}

#[test]
fn a_count_that_does_not_fit_is_walked() {
    let mut listpack = Listpack::new();
    for n in 0..70_000 {
        listpack.push_int(n % 100);
        if n % 10_000 == 0 || (65_530..65_540).contains(&n) {
            assert_eq!(listpack.len() as i64, n + 1);
        }
    }
    check_invariants(&listpack);
    let first = listpack.first().expect("not empty");
    listpack.remove(first, 60_000);
    assert_eq!(listpack.len(), 10_000);
    listpack.remove(first, usize::MAX);
    assert_eq!(listpack, Listpack::new());
}

#[test]
fn memory_follows_the_size_classes() {
    let mut listpack = Listpack::new();
    assert_eq!(listpack.heap_bytes(), 8);
    for _ in 0..1_000 {
        listpack.push_back(b"sixteen letters!");
        assert_eq!(listpack.heap_bytes(), usable(listpack.as_bytes().len()));
    }
    while let Some(last) = listpack.last() {
        listpack.remove(last, 1);
        assert_eq!(listpack.heap_bytes(), usable(listpack.as_bytes().len()));
    }
}

#[test]
fn finding_passes_over_values() {
    let listpack = pack(&[b"a", b"b", b"b", b"1", b"1", b"c"]);
    let first = listpack.first().expect("not empty");
    assert_eq!(listpack.find(first, b"b", 1), listpack.seek(2));
    assert_eq!(listpack.find(first, b"b", 0), listpack.seek(1));
    assert_eq!(listpack.find(first, b"1", 1), listpack.seek(4));
    assert_eq!(listpack.find(first, b"c", 1), None);
    assert_eq!(listpack.find(listpack.end(), b"c", 0), None);
}

#[derive(Clone, Debug)]
enum Step {
    Push(Vec<u8>),
    InsertBefore(usize, Vec<u8>),
    InsertAfter(usize, Vec<u8>),
    Replace(usize, Vec<u8>),
    Remove(usize, usize),
    Find(usize, Vec<u8>, usize),
}

fn element() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => "[a-c]{0,3}".prop_map(String::into_bytes),
        4 => (any::<i64>(), 0_u32..64).prop_map(|(n, shift)| (n >> shift).to_string().into_bytes()),
        1 => (60_usize..70).prop_map(|len| vec![b'x'; len]),
        1 => (120_usize..130).prop_map(|len| vec![b'y'; len]),
        1 => prop_oneof![4_090_usize..4_100, 16_370_usize..16_390].prop_map(|len| vec![b'z'; len]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let index = || 0_usize..40;
    prop_oneof![
        3 => element().prop_map(Step::Push),
        2 => (index(), element()).prop_map(|(at, element)| Step::InsertBefore(at, element)),
        2 => (index(), element()).prop_map(|(at, element)| Step::InsertAfter(at, element)),
        2 => (index(), element()).prop_map(|(at, element)| Step::Replace(at, element)),
        2 => (index(), 0_usize..4).prop_map(|(at, count)| Step::Remove(at, count)),
        2 => (index(), element(), 0_usize..3).prop_map(|(at, e, skip)| Step::Find(at, e, skip)),
    ]
}

fn apply(listpack: &mut Listpack, twin: &mut Vec<Vec<u8>>, step: Step) {
    let at = |index: usize, listpack: &Listpack| listpack.seek(index as i64);
    match step {
        Step::Push(element) => {
            listpack.push_back(&element);
            twin.push(element);
        }
        Step::InsertBefore(index, element) => {
            let index = index.min(twin.len());
            let position = at(index, listpack).unwrap_or(listpack.end());
            let position = listpack.insert_before(position, &element);
            assert!(listpack.get(position).equals(&element));
            twin.insert(index, element);
        }
        Step::InsertAfter(index, element) => {
            let Some(position) = at(index, listpack) else { return };
            let position = listpack.insert_after(position, &element);
            assert!(listpack.get(position).equals(&element));
            twin.insert(index + 1, element);
        }
        Step::Replace(index, element) => {
            let Some(position) = at(index, listpack) else { return };
            listpack.replace(position, &element);
            twin[index] = element;
        }
        Step::Remove(index, count) => {
            let Some(position) = at(index, listpack) else { return };
            let behind = listpack.remove(position, count);
            twin.drain(index..twin.len().min(index + count));
            assert_eq!(at(index, listpack).unwrap_or(listpack.end()), behind);
        }
        Step::Find(index, needle, skip) => {
            let Some(position) = at(index, listpack) else { return };
            let indexes = (index..twin.len()).step_by(skip + 1);
            let found = indexes.into_iter().find(|index| twin[*index] == needle);
            let expected = found.and_then(|index| at(index, listpack));
            assert_eq!(listpack.find(position, &needle, skip), expected);
        }
    }
}

fn twins_agree(steps: Vec<Step>) {
    let (mut listpack, mut twin) = (Listpack::new(), Vec::new());
    for step in steps {
        apply(&mut listpack, &mut twin, step);
        check_invariants(&listpack);
        assert_eq!(listpack.len(), twin.len());
        assert!(listpack.iter().map(Element::to_vec).eq(twin.iter().cloned()));
        assert!(listpack.iter().rev().map(Element::to_vec).eq(twin.iter().rev().cloned()));
        assert!(listpack.iter().map(Element::len).eq(twin.iter().map(Vec::len)));
        let again: Listpack = twin.iter().collect();
        assert_eq!(listpack, again);
    }
    let mut sorted: Vec<_> = listpack.iter().collect();
    sorted.sort();
    twin.sort();
    assert!(sorted.into_iter().map(Element::to_vec).eq(twin));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn agrees_with_the_slow_twin(steps in proptest::collection::vec(step(), 0..60)) {
        twins_agree(steps);
    }

    #[test]
    fn mangled_bytes_never_panic(
        elements in proptest::collection::vec(element(), 0..10),
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = elements.iter().collect::<Listpack>().as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if let Some(read) = Listpack::from_bytes(&bytes) {
            prop_assert_eq!(read.iter().count(), read.iter().rev().count());
            prop_assert_eq!(read.len(), read.iter().count());
        }
    }
}
