//! Tests of all forms, there and back.
#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that panics has found something"
)]

use super::*;
use crate::payload::{PayloadError, pack, unpack};
use crate::primitives::{CHECKSUM, write_length, write_string};
use proptest::prelude::*;
use russet_engine::{Entry, Seed, SmallMax, View};

fn rules() -> Rules {
    let max = SmallMax { entries: 8, bytes: 20 };
    Rules {
        list: ListMax::of(-2),
        hash: HashRules { max, seed: Seed(1, 2) },
        set: SetRules { ints: 16, max, seed: Seed(1, 2) },
        sorted_set: SortedSetRules { max, seed: Seed(1, 2) },
    }
}

/// A payload of these contents.
fn sealed(contents: &[u8], version: u16) -> Vec<u8> {
    let mut out = contents.to_vec();
    out.extend_from_slice(&version.to_le_bytes());
    let checksum = CHECKSUM.checksum(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

fn entry(content: Content<'_>) -> Entry {
    match content {
        Content::Text(bytes) => Entry::new(b"k", russet_engine::string_value(&bytes), None),
        Content::Object(object) => Entry::new(b"k", russet_engine::Value::Object(object), None),
    }
}

fn elements(content: Content<'_>) -> Vec<String> {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let Content::Object(object) = content else { panic!("a collection") };
    let view = |view: View<'_>| match view {
        View::Short(bytes) => shown(bytes),
        View::Int(number) => number.to_string(),
        _ => panic!("short"),
    };
    match &object {
        Object::List(list) => list.iter().map(shown).collect(),
        Object::Set(set) => set.iter().map(|member| shown(&member.to_vec())).collect(),
        Object::Hash(hash) => hash
            .iter()
            .map(|pair| format!("{}={} {:?}", view(pair.field), view(pair.value), pair.expiry))
            .collect(),
        Object::SortedSet(set) => {
            let mut all = Vec::new();
            set.each(0..set.len(), |member, score| all.push(format!("{} {score}", shown(member))));
            all
        }
        Object::Stream(_) => panic!("no such form here"),
    }
}

fn read(contents: &[u8]) -> Result<Vec<String>, DecodeError> {
    decode(&mut Source::new(contents), 80, &rules()).map(elements)
}

/// A type, and one string.
fn one(kind: u8, text: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    write_length(&mut out, text.len() as u64);
    out.extend_from_slice(text);
    out
}

#[test]
fn old_forms_are_read() {
    let ziplist = b"\x12\0\0\0\x0e\0\0\0\x02\0\0\x02hi\x04\xfe\x80\xff";
    assert_eq!(ziplist.len(), 18);
    assert_eq!(read(&one(kind::LIST_ZIPLIST, ziplist)), Ok(vec!["hi".into(), "-128".into()]));
    assert_eq!(read(&one(kind::HASH_ZIPLIST, ziplist)), Ok(vec!["hi=-128 None".into()]));
    let numbers = b"\x1b\0\0\0\x0a\0\0\0\x04\0\0\xf8\x02\xc0\x00\x01\x04\xf0\x00\x00\xff\x05\xd0\x01\x00\x00\x00\xff";
    let numbers: Vec<u8> = [&(numbers.len() as u32).to_le_bytes()[..], &numbers[4..]].concat();
    assert_eq!(
        read(&one(kind::LIST_ZIPLIST, &numbers)),
        Ok(["7", "256", "-65536", "1"].map(String::from).to_vec())
    );
    let zipmap = b"\x01\x03foo\x03\x02bar\0\0\xff";
    assert_eq!(read(&one(kind::HASH_ZIPMAP, zipmap)), Ok(vec!["foo=bar None".into()]));
    let intset = b"\x02\0\0\0\x03\0\0\0\xff\xff\x00\x00\x05\x00";
    assert_eq!(
        read(&one(kind::SET_INTSET, intset)),
        Ok(["-1", "0", "5"].map(String::from).to_vec())
    );
    assert!(read(&one(kind::LIST_ZIPLIST, &ziplist[..17])).is_err());
}

#[test]
fn lists_of_listpacks_are_read() {
    let listpack = b"\x0d\0\0\0\x02\0\x81a\x02\x07\x01\xff";
    let listpack: Vec<u8> = [&(listpack.len() as u32).to_le_bytes()[..], &listpack[4..]].concat();
    let mut contents = vec![kind::LIST_LISTPACKS, 2, 2];
    write_string(&mut contents, &listpack);
    contents.extend_from_slice(b"\x01\x03xyz");
    assert_eq!(read(&contents), Ok(["a", "7", "xyz"].map(String::from).to_vec()));
}

#[test]
fn ends_of_fields_are_read_in_all_forms() {
    let redis = b"\x18\xe8\x03\0\0\0\0\0\0\x02\x01\x01a\x01b\x00\x01c\x01d";
    let expected = ["a=b Some(1000)", "c=d None"].map(String::from).to_vec();
    assert_eq!(read(redis), Ok(expected.clone()));
    let valkey =
        b"\x16\x02\x01a\x01b\xe8\x03\0\0\0\0\0\0\x01c\x01d\xff\xff\xff\xff\xff\xff\xff\xff";
    assert_eq!(read(valkey), Ok(expected));
    assert!(decode(&mut Source::new(valkey), 12, &rules()).is_err());
}

#[test]
fn scores_are_read_in_all_forms() {
    let expected = ["b -inf", "a 1.5"].map(String::from).to_vec();
    assert_eq!(read(b"\x03\x02\x01a\x031.5\x01b\xff"), Ok(expected));
    let ziplist = b"\x12\0\0\0\x0e\0\0\0\x02\0\0\x02hi\x04\xfe\x80\xff";
    assert_eq!(read(&one(kind::SORTED_SET_ZIPLIST, ziplist)), Ok(vec!["hi -128".into()]));
    assert_eq!(read(b"\x03\x01\x01a\xfd"), Err(DecodeError::Malformed));
    assert_eq!(read(b"\x03\x02\x01a\x011\x01a\x011"), Err(DecodeError::Duplicate));
}

#[test]
fn what_is_empty_or_stands_twice_is_refused() {
    assert_eq!(read(&[kind::LIST, 0]), Err(DecodeError::Empty));
    assert_eq!(read(&[kind::SET, 2, 1, b'a', 1, b'a']), Err(DecodeError::Duplicate));
    assert_eq!(read(&[kind::HASH, 2, 1, b'a', 0, 1, b'a', 0]), Err(DecodeError::Duplicate));
    assert_eq!(read(&[kind::HASH, 2, 1, b'a']), Err(DecodeError::Truncated));
    assert_eq!(read(b"\x02\x81\xff\xff\xff\xff\xff\xff\xff\xff"), Err(DecodeError::Truncated));
}

#[test]
fn a_payload_that_was_touched_is_refused() {
    let entry = Entry::new(b"k", russet_engine::string_value(b"hello"), None);
    let payload = pack(entry.view()).unwrap();
    assert!(unpack(&payload, &rules()).is_ok());
    for at in 0..payload.len() {
        let mut touched = payload.clone();
        touched[at] ^= 1;
        assert_eq!(unpack(&touched, &rules()).err(), Some(PayloadError::Footer), "{at}");
    }
    assert!(unpack(&sealed(&[0, 0], 13), &rules()).is_err());
    assert!(unpack(&sealed(&[0, 0], 80), &rules()).is_ok());
    assert!(unpack(b"short", &rules()).is_err());
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-z0-9]{0,30}".prop_map(String::into_bytes),
        2 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        1 => (0_usize..20_000).prop_map(|n| vec![b'x'; n]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn values_come_back(words in proptest::collection::vec(word(), 1..40), end: Option<u32>) {
        let (mut list, mut set, mut hash) = (List::new(), Set::new(), Hash::new());
        for word in &words {
            list.push_back(word);
            set.insert(word, &rules().set);
            hash.set(word, &words[0], false, &rules().hash);
        }
        hash.set_expiry(&words[0], end.map(u64::from));
        let mut sorted = SortedSet::new();
        words.iter().zip(-3_i32..).for_each(|(word, score)| {
            sorted.set(f64::from(score) / 3.0, word, rules().sorted_set);
        });
        for object in [list.wrap(), set.wrap(), hash.wrap(), sorted.wrap()] {
            let payload = pack(View::Object(object.as_ref())).unwrap();
            let again = entry(unpack(&payload, &rules()).unwrap());
            let again = again.object().unwrap();
            prop_assert_eq!(again.len(), object.as_ref().len());
            let mut one = pack(View::Object(object.as_ref())).unwrap();
            let mut other = pack(View::Object(again)).unwrap();
            one.sort_unstable();
            other.sort_unstable();
            prop_assert_eq!(one.len(), other.len());
        }
        let text = Entry::new(b"k", russet_engine::string_value(&words[0]), None);
        let payload = pack(text.view()).unwrap();
        let Content::Text(again) = unpack(&payload, &rules()).unwrap() else { panic!("a string") };
        prop_assert_eq!(&*again, &words[0][..]);
    }

    #[test]
    fn no_bytes_do_harm(kind in 0_u8..30, bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let contents = [&[kind][..], &bytes].concat();
        let _ = decode(&mut Source::new(&contents), 80, &rules());
        let _ = decode(&mut Source::new(&one(kind, &bytes)), 80, &rules());
    }
}
