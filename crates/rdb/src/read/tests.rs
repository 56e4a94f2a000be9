//! Files of every age, by hand, and what is wrong with those that are refused.
#![expect(clippy::indexing_slicing, reason = "a test that panics has found something")]

use super::*;
use crate::encode::VERSION_7_0;
use crate::file::{aux, before_record, begin, end, function, record, resize, select, text};
use crate::primitives::Packer;
use russet_engine::View;

/// With its checksum.
fn whole(mut bytes: Vec<u8>) -> Vec<u8> {
    end(&mut bytes);
    let checksum = crate::primitives::crc64(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// A file of some version with these bytes between its head and its end.
fn file_of(head: &str, items: &[u8]) -> Vec<u8> {
    whole([head.as_bytes(), items].concat())
}

fn read_all(bytes: &[u8]) -> Result<Vec<Item>, ReadError> {
    let mut reader = Reader::new(bytes, Some(bytes.len() as u64), true)?;
    let (mut items, mut out) = (Vec::new(), Vec::new());
    loop {
        let item = reader.next(&mut out)?;
        items.push(item);
        if matches!(items.last(), Some(Item::End { .. })) {
            return Ok(items);
        }
    }
}

/// Name, value with its type, end and usage of a record.
type Whole = (Vec<u8>, Vec<u8>, Option<u64>, Usage);

/// All records.
fn records(bytes: &[u8]) -> Vec<Whole> {
    let mut reader = Reader::new(bytes, None, true).unwrap();
    let (mut records, mut out) = (Vec::new(), Vec::new());
    loop {
        match reader.next(&mut out).unwrap() {
            Item::Record(it) => {
                let of = |range: Range<usize>| out[range].to_vec();
                records.push((of(it.name), of(it.value), it.end_ms, it.usage));
            }
            Item::End { .. } => return records,
            _ => {}
        }
    }
}

fn sample() -> Vec<u8> {
    let mut bytes = Vec::new();
    begin(VERSION_7_0, &mut bytes);
    aux("redis-ver", b"7.2.4", &mut bytes);
    aux("ctime", b"1700000000", &mut bytes);
    function(b"#!lua name=x", &mut bytes);
    select(0, &mut bytes);
    resize(2, 1, &mut bytes);
    before_record(Some(4_000_000_000_000), Usage::Idle(70), &mut bytes);
    record(b"k", View::Short(b"value"), VERSION_7_0, None, &mut bytes);
    let long = vec![b'x'; 5000];
    record(b"12", View::Short(&long), VERSION_7_0, Some(&mut Packer::default()), &mut bytes);
    select(300, &mut bytes);
    before_record(None, Usage::Frequency(9), &mut bytes);
    record(b"n", View::Int(-5), VERSION_7_0, None, &mut bytes);
    text(b"in pieces", 3, &mut bytes);
    bytes.extend_from_slice(b"abc");
    whole(bytes)
}

#[test]
fn what_was_written_is_read() {
    let items = read_all(&sample()).unwrap();
    let aux = |name: &[u8], value: &[u8]| Item::Aux { name: name.to_vec(), value: value.to_vec() };
    assert_eq!(items[0], aux(b"redis-ver", b"7.2.4"));
    assert_eq!(items[1], aux(b"ctime", b"1700000000"));
    assert_eq!(items[2], Item::Function(b"#!lua name=x".to_vec()));
    assert_eq!(items[3..5], [Item::Select(0), Item::Resize(2, 1)]);
    assert_eq!(items[7], Item::Select(300));
    assert_eq!(items[10], Item::End { is_checked: true });
    let records = records(&sample());
    let names: Vec<&[u8]> = records.iter().map(|it| &it.0[..]).collect();
    assert_eq!(names, [&b"k"[..], b"12", b"n", b"in pieces"]);
    assert_eq!(records[0].2, Some(4_000_000_000_000));
    let usage: Vec<Usage> = records.iter().map(|it| it.3).collect();
    assert_eq!(usage, [Usage::Idle(70), Usage::Unknown, Usage::Frequency(9), Usage::Unknown]);
    let decoded: Vec<Vec<u8>> =
        records.iter().map(|it| Source::new(&it.1[1..]).text().unwrap().into_owned()).collect();
    assert_eq!(decoded[0], b"value");
    assert_eq!(decoded[1], [b'x'; 5000]);
    assert_eq!(decoded[2..], [b"-5".to_vec(), b"abc".to_vec()]);
}

/// Gives one byte at a time.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.0.len().min(buffer.len()).min(1);
        buffer[..len].copy_from_slice(&self.0[..len]);
        self.0 = &self.0[len..];
        Ok(len)
    }
}

#[test]
fn it_does_not_matter_how_the_bytes_come() {
    let bytes = sample();
    let mut reader = Reader::new(Slow(&bytes), None, true).unwrap();
    let (mut items, mut out) = (Vec::new(), Vec::new());
    while !matches!(items.last(), Some(Item::End { .. })) {
        items.push(reader.next(&mut out).unwrap());
    }
    assert_eq!(items, read_all(&bytes).unwrap());
    assert_eq!(reader.offset(), bytes.len() as u64);
}

#[test]
fn what_follows_the_end_is_given_back() {
    let bytes = [sample(), b"*1\r\n".to_vec()].concat();
    let mut reader = Reader::new(&bytes[..], None, true).unwrap();
    while !matches!(reader.next(&mut Vec::new()).unwrap(), Item::End { .. }) {}
    assert_eq!(reader.into_rest().1, b"*1\r\n");
}

#[test]
fn a_cut_anywhere_is_found() {
    let bytes = sample();
    for len in 0..bytes.len() {
        assert!(read_all(&bytes[..len]).is_err(), "{len}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let mut bytes = sample();
    for at in 0..bytes.len() * 8 {
        bytes[at / 8] ^= 1 << (at % 8);
        assert!(read_all(&bytes).is_err(), "bit {at}");
        bytes[at / 8] ^= 1 << (at % 8);
    }
}

#[test]
fn a_length_beyond_the_file_makes_no_room() {
    let bytes =
        file_of("REDIS0010", &[0, 1, b'k', 0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]);
    let mut out = Vec::new();
    let mut reader = Reader::new(&bytes[..], Some(bytes.len() as u64), true).unwrap();
    let error = reader.next(&mut out).unwrap_err();
    assert!(matches!(error, ReadError::Malformed { offset: 9, error: DecodeError::Truncated }));
    assert!(out.capacity() < 1000);
}

#[test]
fn the_oldest_files_have_no_checksum_and_seconds() {
    let items =
        [&[0xfe, 0, 0xfd][..], &1_700_000_000_u32.to_le_bytes(), &[0, 1, b'k', 1, b'v', 0xff]];
    for version in ["0001", "0003", "0004"] {
        let bytes = [b"REDIS", version.as_bytes(), &items.concat()].concat();
        let records = records(&bytes);
        assert_eq!(
            records,
            [(b"k".to_vec(), vec![0, 1, b'v'], Some(1_700_000_000_000), Usage::Unknown)]
        );
    }
    let zero = [b"REDIS0006", &items.concat()[..], &[0; 8]].concat();
    assert_eq!(read_all(&zero).unwrap().last(), Some(&Item::End { is_checked: false }));
}

#[test]
fn versions_are_known_or_refused() {
    let head = |head: &str| read_all(&file_of(head, &[]));
    for known in ["REDIS0001", "REDIS0009", "REDIS0012", "REDIS0015", "VALKEY080"] {
        if known != "REDIS0001" {
            assert!(head(known).is_ok(), "{known}");
        }
    }
    for unknown in ["REDIS0000", "REDIS0016", "REDIS0080", "VALKEY011", "VALKEY081"] {
        assert!(matches!(head(unknown), Err(ReadError::Version(_))), "{unknown}");
    }
    for wrong in ["REDIS 010", "redis0010", "RESID0010", "VALKEY-80", "*3\r\n$3\r\nS"] {
        assert!(matches!(head(wrong), Err(ReadError::Magic)), "{wrong}");
    }
}

#[test]
fn a_flipped_bit_of_the_version_does_not_do_without_the_checksum() {
    let mut bytes = file_of("REDIS0012", &[0, 1, b'k', 1, b'v']);
    assert!(read_all(&bytes).is_ok());
    bytes[7] ^= 1;
    let error = read_all(&bytes).unwrap_err();
    assert!(matches!(error, ReadError::Behind { offset: 15, version: 2 }), "{error}");
    bytes.truncate(15);
    assert!(read_all(&bytes).is_ok(), "a file of that version ends so");
}

#[test]
fn a_flipped_bit_that_makes_an_end_without_a_checksum_is_found() {
    // A database's number that fills eight bytes with zeros, behind what may become the mark of an end.
    let items = [&[0xfe, 0, 0, 0, 0, 0, 0, 0, 0][..], b"\x00\x01k\x01v"].concat();
    let mut bytes = file_of("REDIS0010", &items);
    bytes[9] ^= 1;
    let error = read_all(&bytes).unwrap_err();
    assert!(matches!(error, ReadError::Behind { offset: 18, version: 10 }), "{error}");
    for log in [&b"*1\r\n$4\r\nPING\r\n"[..], b"#TS:1\r\n", b""] {
        let bytes = [b"REDIS0010\xff\0\0\0\0\0\0\0\0", log].concat();
        assert_eq!(read_all(&bytes).unwrap(), [Item::End { is_checked: false }]);
    }
}

#[test]
fn fields_that_end_are_what_the_writer_means_by_them() {
    let end = 4_000_000_000_000_u64.to_le_bytes();
    let valkey = [&[22, 1, b'h', 1, 1, b'f', 1, b'v'][..], &end].concat();
    assert_eq!(records(&file_of("VALKEY080", &valkey))[0].1.len(), 14);
    let early = [22, 1, b'h', 1, 5, 1, b'f', 1, b'v'];
    assert_eq!(records(&file_of("REDIS0012", &early))[0].1.len(), 7);
    let late = [&[24, 1, b'h'][..], &end, &[1, 1, 1, b'f', 1, b'v']].concat();
    assert_eq!(records(&file_of("REDIS0012", &late))[0].1.len(), 15);
    let packed = [&[25, 1, b'h'][..], &end, &[2, b'l', b'p']].concat();
    assert_eq!(records(&file_of("REDIS0012", &packed))[0].1.len(), 12);
}

#[test]
fn what_only_clusters_and_modules_know_is_left_out() {
    let items = [
        &[244, 5, 10, 3][..],
        &[
            247, 0x81, 1, 2, 3, 4, 5, 6, 7, 8, 2, 1, 2, 9, 5, 2, b'a', b'b', 4, 0, 0, 0, 0, 0, 0,
            0, 0, 3, 0, 0, 0, 0, 0,
        ],
        &[0, 1, b'k', 1, b'v'],
    ];
    let read = read_all(&file_of("REDIS0012", &items.concat())).unwrap();
    assert!(matches!(
        &read[..],
        [Item::Skipped(_), Item::Skipped(_), Item::Record(_), Item::End { .. }]
    ));
    let moving = [243, 3, b'j', b'o', b'b', 2, 1, 5, 7, 9];
    let read = read_all(&file_of("VALKEY080", &moving)).unwrap();
    assert!(matches!(&read[..], [Item::Skipped(_), Item::End { .. }]));
    // In Redis' files it is something about a key that must not be lost.
    assert!(read_all(&file_of("REDIS0013", &moving)).is_err());
    let module = [7, 1, b'k', 0x81, 1, 2, 3, 4, 5, 6, 7, 8];
    let error = read_all(&file_of("REDIS0010", &module)).unwrap_err();
    assert!(matches!(error, ReadError::Module { offset: 9, .. }), "{error}");
    assert!(read_all(&file_of("REDIS0010", &[246, 1, b'x'])).is_err());
    assert!(read_all(&file_of("REDIS0015", &[28, 1, b'k', 1, 1, b'x'])).is_err());
}

#[test]
fn a_pieced_collection_reads_as_a_whole_one() {
    use crate::encode::pieces::piece;
    use crate::primitives::Sink;
    use russet_engine::ObjectRef;
    use russet_engine::types::hash::{Hash, Rules as HashRules};
    use russet_engine::types::list::List;
    use russet_engine::types::set::{Rules as SetRules, Set};
    use russet_engine::types::sorted_set::{Rules as SortedSetRules, SortedSet};
    use russet_engine::{Seed, SmallMax};
    let (max, seed) = (SmallMax { entries: 8, bytes: 8 }, Seed(1, 2));
    let (mut list, mut set, mut hash, mut scores) =
        (List::new(), Set::new(), Hash::new(), SortedSet::new());
    for n in 0..5000_u32 {
        let element = format!("element-{n}").into_bytes();
        list.push_back(&element);
        set.insert(&element, &SetRules { ints: 4, max, seed });
        hash.set(&element, &element, false, &HashRules { max, seed });
        scores.set(f64::from(n % 100), &element, SortedSetRules { max, seed });
    }
    hash.set_expiry(b"element-7", Some(4_000_000_000_000));
    let objects = [
        ObjectRef::List(&list),
        ObjectRef::Set(&set),
        ObjectRef::Hash(&hash),
        ObjectRef::SortedSet(&scores),
    ];
    for object in objects {
        let (mut place, mut out, mut pieces) = (None, Vec::new(), 0);
        loop {
            place = piece(object, place, 10, 1000, &mut Sink::new(&mut out, None));
            pieces += 1;
            if place.is_none() {
                break;
            }
        }
        assert!(pieces > 20, "{pieces}");
        let rules = crate::Rules {
            list: russet_engine::types::list::ListMax::of(-2),
            hash: HashRules { max, seed },
            set: SetRules { ints: 4, max, seed },
            sorted_set: SortedSetRules { max, seed },
        };
        let mut source = Source::new(&out);
        let crate::Content::Object(read) = crate::decode(&mut source, 12, &rules).unwrap() else {
            panic!("a collection")
        };
        assert_eq!((source.left(), read.as_ref().len()), (0, 5000));
        assert_eq!(read.as_ref().kind(), object.kind());
    }
}
