//! Tests of all forms, there and back.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that panics has found something"
)]

use super::*;
use crate::encode::{Style, encode};
use crate::payload::{PayloadError, pack, unpack};
use crate::primitives::{crc64, write_length, write_string};
use proptest::prelude::*;
use russet_engine::collections::listpack::Listpack;
use russet_engine::types::hash::Hash;
use russet_engine::types::sorted_set::SortedSet;
use russet_engine::types::stream::{Entry as StreamEntry, Group, Stream, StreamId};
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
    let checksum = crc64(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

fn elements(content: Content<'_>) -> Vec<String> {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let Content::Object(object) = content else { panic!("a collection") };
    let view = |view: View<'_>| match view {
        View::Short(bytes) => shown(bytes),
        View::Int(number) => number.to_string(),
        View::Chunks(chunks) => shown(&chunks.to_vec()),
        View::Object(_) => panic!("a string"),
    };
    match &object {
        Object::List(list) => list.iter().map(shown).collect(),
        Object::Set(set) => set.iter().map(|member| shown(&member.to_vec())).collect(),
        Object::Hash(hash) => hash
            .iter()
            .map(|pair| format!("{}={} {:?}", view(pair.field), view(pair.value), pair.expiry))
            .collect(),
        Object::SortedSet(set) => {
            let mut members = Vec::new();
            set.each(0..set.len(), |member, score| {
                members.push(format!("{} {score}", shown(member)))
            });
            members
        }
        Object::Stream(stream) => {
            let entries = stream.log.range(StreamId::MIN, StreamId::MAX);
            let shown = |entry: StreamEntry<'_>| {
                let pieces = entry.pieces().map(|piece| shown(piece.text(&mut [0; 20])));
                format!("{:?} {:?}", entry.id, pieces.collect::<Vec<_>>())
            };
            let groups = stream.groups.iter().map(|group| {
                let pending: Vec<_> = group
                    .pending(StreamId::MIN, StreamId::MAX)
                    .map(|(id, it)| (id, it.count))
                    .collect();
                format!(
                    "{:?} {:?} {} {pending:?}",
                    group.name(),
                    group.last_id,
                    group.consumer_count()
                )
            });
            entries.map(shown).chain(groups).collect()
        }
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
    let numbers = b"\x1b\0\0\0\x15\0\0\0\x04\0\0\xf8\x02\xc0\x00\x01\x04\xf0\x00\x00\xff\x05\xd0\x01\x00\x00\x00\xff";
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
    let payload = pack(entry.view(), STYLE);
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

#[test]
fn what_ziplists_and_zipmaps_say_of_themselves_has_to_be_true() {
    let ziplist = b"\x12\0\0\0\x0e\0\0\0\x02\0\0\x02hi\x04\xfe\x80\xff";
    for at in [0, 4, 8, 10, 14] {
        let mut lying = *ziplist;
        lying[at] ^= 1;
        assert_eq!(read(&one(kind::LIST_ZIPLIST, &lying)), Err(DecodeError::Malformed), "{at}");
    }
    let zipmap = b"\x02\x03foo\x03\x02bar\0\0\xff";
    assert_eq!(read(&one(kind::HASH_ZIPMAP, zipmap)), Err(DecodeError::Malformed));
}

#[test]
fn sorted_sets_are_read_in_all_forms() {
    let expected = ["a -inf", "b 1.5", "c 3"].map(String::from).to_vec();
    let texts = b"\x03\x03\x01b\x031.5\x01a\xff\x01c\x013";
    assert_eq!(read(texts), Ok(expected.clone()));
    let mut doubles = b"\x05\x03".to_vec();
    for (member, score) in [(b'c', 3.0), (b'b', 1.5), (b'a', f64::NEG_INFINITY)] {
        doubles.extend_from_slice(&[1, member]);
        doubles.extend_from_slice(&f64::to_bits(score).to_le_bytes());
    }
    assert_eq!(read(&doubles), Ok(expected.clone()));
    let ziplist =
        b"\x20\0\0\0\x1e\0\0\0\x06\0\0\x01a\x03\x04-inf\x06\x01b\x03\x031.5\x05\x01c\x03\xf4\xff";
    let ziplist = [&(ziplist.len() as u32).to_le_bytes()[..], &ziplist[4..]].concat();
    assert_eq!(read(&one(kind::SORTED_SET_ZIPLIST, &ziplist)), Ok(expected));
    assert_eq!(read(b"\x03\x01\x01a\xfd"), Err(DecodeError::Malformed));
    assert_eq!(read(b"\x03\x01\x01a\x03nan"), Err(DecodeError::Malformed));
    assert_eq!(read(b"\x03\x02\x01a\x011\x01a\x012"), Err(DecodeError::Duplicate));
}

#[test]
fn ends_that_release_candidates_wrote_are_read() {
    let read = |contents: &[u8]| decode(&mut Source::new(contents), 12, &rules()).map(elements);
    let expected = ["a=b Some(9)", "c=d None"].map(String::from).to_vec();
    assert_eq!(read(b"\x16\x02\x09\x01a\x01b\x00\x01c\x01d"), Ok(expected.clone()));
    let row: Listpack = ["a", "b", "9", "c", "d", "0"].iter().map(|word| word.as_bytes()).collect();
    assert_eq!(
        read(&one(kind::HASH_LISTPACK_WITH_ENDS_EARLY, row.as_bytes())),
        Ok(expected.clone())
    );
    let first = [&[kind::HASH_LISTPACK_WITH_ENDS][..], &9_u64.to_le_bytes()].concat();
    let contents = [&first[..], &one(kind::HASH_LISTPACK_WITH_ENDS, row.as_bytes())[1..]].concat();
    assert_eq!(read(&contents), Ok(expected));
}

#[test]
fn forms_are_those_of_redis_7_0_unless_readers_know_more() {
    let version = |object: &Object, style| {
        let mut out = Vec::new();
        let version = encode(View::Object(object.as_ref()), style, &mut out);
        (out[0], version)
    };
    let newer = Style { version: 12, ..STYLE };
    let [list, set, hash, sorted_set, stream] = &values(&[b"a".to_vec(), b"1".to_vec()], None);
    assert_eq!(version(list, STYLE), (kind::LIST_LISTPACKS, 10));
    assert_eq!(version(set, STYLE), (kind::SET, 10));
    assert_eq!(version(set, newer), (kind::SET_LISTPACK, 11));
    assert_eq!(version(hash, newer), (kind::HASH_LISTPACK, 10));
    assert_eq!(version(sorted_set, newer), (kind::SORTED_SET_LISTPACK, 10));
    assert_eq!(version(stream, STYLE), (kind::STREAM_2, 10));
    assert_eq!(version(stream, newer), (kind::STREAM_3, 11));
    let [_, _, ending, ..] = &values(&[b"a".to_vec()], Some(5));
    assert_eq!(version(ending, STYLE), (kind::HASH_WITH_ENDS, 12));
}

#[test]
fn groups_come_back_and_what_was_given_back_finds_a_reader() {
    let [.., stream] = values(&[b"a".to_vec(), b"b".to_vec(), b"c".to_vec()], None);
    let again = |style| {
        let payload = pack(View::Object(stream.as_ref()), style);
        let Content::Object(Object::Stream(again)) = unpack(&payload, &rules()).unwrap() else {
            panic!("a stream")
        };
        again
    };
    let id = StreamId::new(3, 0);
    for (style, active) in [(STYLE, Some(7)), (Style { version: 11, ..STYLE }, Some(8))] {
        let again = again(style);
        let group = again.groups.get(b"g").unwrap();
        assert_eq!((group.last_id, group.entries_read), (id, Some(3)));
        assert_eq!(group.pending_len(), 2);
        let consumer = group.consumer(group.find(b"c").unwrap());
        assert_eq!((consumer.seen_ms, consumer.active_ms), (7, active));
        assert_eq!(consumer.pending_len(), 2);
        let given_back = group.pending_of(id).unwrap();
        assert_eq!((given_back.delivered_ms, given_back.count), (0, 4));
        assert_eq!(again.log.max_deleted_id(), StreamId::new(2, 0));
        assert_eq!((again.log.entries_added(), again.log.len()), (3, 2));
    }
}

#[test]
fn streams_that_contradict_themselves_are_refused() {
    let [.., stream] = values(&[b"a".to_vec(), b"b".to_vec()], None);
    let mut out = Vec::new();
    encode(View::Object(stream.as_ref()), STYLE, &mut out);
    assert!(read(&out).is_ok());
    // The listpack's length stands behind the block's ID; behind the listpack, how many entries there are.
    let at = 2 + 17 + 1 + usize::from(out[19]);
    assert_eq!(out[at], 1);
    for (at, byte) in [(at, 2), (at + 1, 1), (17, 9)] {
        let mut lying = out.clone();
        lying[at] = byte;
        assert_eq!(read(&lying), Err(DecodeError::Malformed), "{at}");
    }
}

const STYLE: Style = Style { version: 10, compresses: false };

/// A collection of each type, of these words.
fn values(words: &[Vec<u8>], end: Option<u64>) -> [Object; 5] {
    let (mut list, mut set, mut hash) = (List::new(), Set::new(), Hash::new());
    let (mut sorted_set, mut stream) = (SortedSet::new(), Stream::new());
    for (nth, word) in words.iter().enumerate() {
        list.push_back(word);
        set.insert(word, &rules().set);
        hash.set(word, &words[0], false, &rules().hash);
        sorted_set.set(nth as f64 / 3.0, word, rules().sorted_set);
        let fields = [word.as_slice(), word.as_slice(), b"same", b"value"];
        let count = 2 + nth % 3;
        let fields = fields.iter().copied().take(count & !1);
        let limits = SmallMax { entries: 3, bytes: 4096 };
        stream.log.push(
            StreamId::new(nth as u64 + 1, 0),
            count / 2,
            word.len() * 2,
            fields,
            limits,
        );
    }
    hash.set_expiry(&words[0], end);
    list.was_made(rules().list);
    let last = stream.log.last_id();
    let mut group = Group::new(b"g", last, Some(words.len() as u64));
    let (slot, _) = group.find_or_add(b"c", 7);
    group.active(slot, 8);
    group.assign(StreamId::new(1, 0), slot, 5, 2);
    group.give_back(last, 4);
    stream.groups.add(group);
    stream.log.remove(StreamId::new(2, 0));
    [list.wrap(), set.wrap(), hash.wrap(), sorted_set.wrap(), stream.wrap()]
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-z0-9]{0,30}".prop_map(String::into_bytes),
        2 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        1 => (0_usize..20_000).prop_map(|n| vec![b'x'; n]),
    ]
}

/// The elements of a collection, in an order of their own.
fn sorted(content: Content<'_>) -> Vec<String> {
    let mut elements = elements(content);
    elements.sort();
    elements
}

fn style() -> impl Strategy<Value = Style> {
    (10_u16..13, any::<bool>()).prop_map(|(version, compresses)| Style { version, compresses })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn values_come_back(
        words in proptest::collection::vec(word(), 1..40),
        end in proptest::option::of(1_u64..u64::from(u32::MAX)),
        style in style(),
    ) {
        for object in values(&words, end) {
            let payload = pack(View::Object(object.as_ref()), style);
            let again = unpack(&payload, &rules()).unwrap();
            let encoding = object.as_ref().encoding();
            if let Content::Object(again) = &again {
                let is_alike = [again.as_ref().encoding(), encoding] == ["listpack", "listpackex"];
                prop_assert!(is_alike || again.as_ref().encoding() == encoding);
            }
            prop_assert_eq!(sorted(again), sorted(Content::Object(object)));
        }
        let text = Entry::new(b"k", russet_engine::string_value(&words[0]), None);
        let payload = pack(text.view(), style);
        let Content::Text(again) = unpack(&payload, &rules()).unwrap() else { panic!("a string") };
        prop_assert_eq!(&*again, &words[0][..]);
    }

    #[test]
    fn mangled_values_are_refused_or_sound(
        words in proptest::collection::vec("[a-z0-9]{0,70}".prop_map(String::into_bytes), 1..12),
        end in proptest::option::of(1_u64..99),
        style in style(),
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4),
    ) {
        for object in values(&words, end) {
            let mut contents = Vec::new();
            encode(View::Object(object.as_ref()), style, &mut contents);
            for (at, byte) in &changes {
                let at = at % contents.len();
                contents[at] = *byte;
            }
            if let Ok(Content::Object(read)) = decode(&mut Source::new(&contents), 12, &rules()) {
                let mut again = Vec::new();
                encode(View::Object(read.as_ref()), style, &mut again);
                let again = decode(&mut Source::new(&again), 12, &rules()).map(sorted);
                prop_assert_eq!(again, Ok(sorted(Content::Object(read))));
            }
        }
    }

    #[test]
    fn no_bytes_do_harm(kind in 0_u8..30, bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let contents = [&[kind][..], &bytes].concat();
        let _ = decode(&mut Source::new(&contents), 80, &rules());
        let _ = decode(&mut Source::new(&one(kind, &bytes)), 80, &rules());
    }
}
