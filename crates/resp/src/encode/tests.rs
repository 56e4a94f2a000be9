//! Replies, byte by byte in both protocols, and as an independent decoder reads them.

use super::*;
use proptest::prelude::*;
use redis_protocol::resp2::decode::decode as decode_resp2;
use redis_protocol::resp2::types::OwnedFrame as Frame2;
use redis_protocol::resp3::decode::complete::decode as decode_resp3;
use redis_protocol::resp3::types::OwnedFrame as Frame3;

fn written(protocol: Protocol, write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Output::default();
    write(&mut Writer::new(&mut out, protocol));
    out.since(Mark::default())
}

fn check(write: impl Fn(&mut Writer<'_>), resp2: &str, resp3: &str) {
    for (protocol, expected) in [(Protocol::Resp2, resp2), (Protocol::Resp3, resp3)] {
        let bytes = written(protocol, &write);
        assert_eq!(
            bytes.escape_ascii().to_string(),
            expected.as_bytes().escape_ascii().to_string()
        );
    }
}

fn check_same(write: impl Fn(&mut Writer<'_>), expected: &str) {
    check(write, expected, expected);
}

#[test]
fn what_both_protocols_know_is_the_same_in_both() {
    check_same(
        |w| {
            w.ok();
        },
        "+OK\r\n",
    );
    check_same(|w| w.simple("QUEUED"), "+QUEUED\r\n");
    check_same(|w| w.error("ERR no"), "-ERR no\r\n");
    check_same(|w| w.bulk(b""), "$0\r\n\r\n");
    check_same(|w| w.bulk(b"a\r\nb"), "$4\r\na\r\nb\r\n");
    check_same(|w| w.bulk_int(-15), "$3\r\n-15\r\n");
    check_same(|w| w.double_bulk(1.5), "$3\r\n1.5\r\n");
    check_same(|w| w.array(3), "*3\r\n");
    check_same(
        |w| {
            w.bulk_header(3);
            w.raw(b"abc");
            w.crlf();
        },
        "$3\r\nabc\r\n",
    );
}

#[test]
fn integers_of_any_length() {
    for value in [0, 5, 10, 99, 100, -1, 999_999_999_999_999, i64::MAX, i64::MIN] {
        check_same(|w| w.integer(value), &format!(":{value}\r\n"));
        check_same(|w| w.bulk_int(value), &format!("${}\r\n{value}\r\n", value.to_string().len()));
    }
}

#[test]
fn headers_of_any_length() {
    for n in [0, 1, 9, 10, 64, 99, 100, 1000, 536_870_912] {
        check_same(|w| w.array(n), &format!("*{n}\r\n"));
        check_same(|w| w.bulk_header(n), &format!("${n}\r\n"));
        check_same(|w| w.attribute(n), &format!("|{n}\r\n"));
    }
}

#[test]
fn resp3_types_fall_back_in_resp2() {
    check(|w| w.map(2), "*4\r\n", "%2\r\n");
    check(|w| w.set(2), "*2\r\n", "~2\r\n");
    check(|w| w.push(3), "*3\r\n", ">3\r\n");
    check(
        |w| {
            w.null();
        },
        "$-1\r\n",
        "_\r\n",
    );
    check(
        |w| {
            w.null_array();
        },
        "*-1\r\n",
        "_\r\n",
    );
    check(|w| w.double(1.5e-7), "$6\r\n1.5e-7\r\n", ",1.5e-7\r\n");
    check(|w| w.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n");
    check(|w| w.boolean(true), ":1\r\n", "#t\r\n");
    check(|w| w.boolean(false), ":0\r\n", "#f\r\n");
    check(|w| w.verbatim("txt", b"hi\n"), "$3\r\nhi\n\r\n", "=7\r\ntxt:hi\n\r\n");
    check(|w| w.big_number("-123"), "$4\r\n-123\r\n", "(-123\r\n");
}

#[test]
fn sec_23_no_text_ends_its_reply_early() {
    check_same(|w| w.error("ERR a\r\n+OK\r\n\0x"), "-ERR a  +OK   x\r\n");
    let bytes = written(Protocol::Resp2, |w| w.error_bytes(b"ERR \xff\r\n"));
    assert_eq!(bytes, b"-ERR \xff  \r\n");
}

#[test]
fn sec_23_nor_does_a_status() {
    check_same(|w| w.simple("a\r\nb\0"), "+a  b \r\n");
}

/// `$5\r\n` + "hello" by reference + `\r\n+OK\r\n`, and where the bulk and the status begin.
fn spliced() -> (Output, Mark, Mark) {
    let mut out = Output::default();
    let first = out.mark();
    Writer::new(&mut out, Protocol::Resp2).shared(&[
        Bytes::from_static(b"hel"),
        Bytes::new(),
        Bytes::from_static(b"lo"),
    ]);
    let second = out.mark();
    Writer::new(&mut out, Protocol::Resp2).ok();
    (out, first, second)
}

#[test]
fn splices_stand_where_they_were_written() {
    let (out, first, second) = spliced();
    assert_eq!(out.len(), 16);
    assert_eq!(out.flat(), None);
    assert_eq!(out.since(first), b"$5\r\nhello\r\n+OK\r\n");
    assert_eq!(out.since(second), b"+OK\r\n");
    assert_eq!((first.offset(), second.offset()), (0, 11));
}

#[test]
fn truncating_drops_what_was_spliced_since() {
    let (mut out, first, second) = spliced();
    let value = Bytes::from(vec![b'x'; 100]);
    out.splice(Bytes::clone(&value));
    out.truncate(second);
    assert_eq!(out.since(first), b"$5\r\nhello\r\n");
    assert!(value.is_unique());
    out.truncate(first);
    assert!(out.is_empty());
    assert_eq!(out.flat(), Some(b"".as_slice()));
}

#[test]
fn what_is_longer_than_may_be_is_dropped_and_all_that_follows() {
    let mut out = Output::default();
    out.bind(10_000);
    let first = out.mark();
    let element = |out: &mut Output| Writer::new(out, Protocol::Resp2).bulk(&[b'x'; 93]);
    (0..90).for_each(|_| element(&mut out));
    assert!(!out.has_overflowed());
    assert_eq!(out.len(), 90 * 100);
    (0..1000).for_each(|_| element(&mut out));
    out.splice(Bytes::from(vec![b'y'; 5_000]));
    out.insert(first, b"*1\r\n");
    assert!(out.has_overflowed());
    assert!(out.heap_bytes() < 100, "{}", out.heap_bytes());
    out.clear();
    element(&mut out);
    assert_eq!((out.len(), out.has_overflowed()), (100, false));
    out.bind(10_000);
    out.splice(Bytes::from(vec![b'y'; 9_901]));
    assert!(out.has_overflowed() && out.is_empty(), "what is shared counts");
}

#[test]
fn a_length_is_inserted_when_it_is_known() {
    let (mut out, first, second) = spliced();
    out.insert(second, b"*1\r\n");
    assert_eq!(out.since(first), b"$5\r\nhello\r\n*1\r\n+OK\r\n");
    out.insert(first, b"*2\r\n");
    assert_eq!(out.since(first), b"*2\r\n$5\r\nhello\r\n*1\r\n+OK\r\n");
    assert_eq!(gathered(&out, 6), b"\r\nhello\r\n*1\r\n+OK\r\n");
}

#[test]
fn clearing_gives_back_what_is_big_and_keeps_what_is_small() {
    let mut out = Output::default();
    out.push(&[0; 1000]);
    let small = out.heap_bytes();
    out.clear();
    assert_eq!(out.heap_bytes(), small);
    out.push(&vec![0; 1 << 20]);
    out.clear();
    assert!(out.is_empty() && out.heap_bytes() <= KEPT_BYTES_MAX);
}

/// The bytes from `from` on, as a socket that takes all slices would get them.
fn gathered(out: &Output, from: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let mut slices = Vec::new();
        out.slices(from.saturating_add(bytes.len()), &mut slices);
        assert!(slices.len() <= SLICES_MAX);
        assert!(slices.iter().all(|slice| !slice.is_empty()));
        if slices.is_empty() {
            return bytes;
        }
        for slice in &slices {
            bytes.extend_from_slice(slice);
        }
    }
}

#[test]
fn more_than_64_slices_are_written_in_turns() {
    let mut out = Output::default();
    for _ in 0..1000 {
        out.splice(Bytes::from_static(b"ab"));
        out.push(b"c");
    }
    let mut slices = Vec::new();
    out.slices(0, &mut slices);
    assert!((60..=SLICES_MAX).contains(&slices.len()));
    assert_eq!(gathered(&out, 0), b"abc".repeat(1000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn slices_from_anywhere_are_the_rest(
        pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..5)), 0..90),
        inserts in prop::collection::vec(0_usize..90, 0..3),
    ) {
        let (mut out, mut expected) = (Output::default(), Vec::new());
        let mut marks = Vec::new();
        for (shared, bytes) in pieces {
            marks.push(out.mark());
            expected.extend_from_slice(&bytes);
            if shared { out.splice(bytes.into()) } else { out.push(&bytes) }
        }
        let mut inserts: Vec<_> = inserts.iter().filter_map(|&i| marks.get(i)).collect();
        inserts.sort_by_key(|mark| (mark.offset(), mark.splices));
        for mark in inserts.into_iter().rev() {
            out.insert(*mark, b"*9");
            expected.splice(mark.offset()..mark.offset(), *b"*9");
        }
        prop_assert_eq!(out.len(), expected.len());
        prop_assert_eq!(&out.since(Mark::default()), &expected);
        for from in 0..=expected.len() {
            prop_assert_eq!(gathered(&out, from), expected.get(from..).unwrap().to_vec());
        }
        for sent in [0, 1, 3, 7, 40].into_iter().cycle().take(60) {
            let sent = sent.min(expected.len());
            out.drop_front(sent);
            expected.drain(..sent);
            prop_assert_eq!(out.len(), expected.len());
            prop_assert_eq!(&out.since(Mark::default()), &expected);
            prop_assert_eq!(&gathered(&out, 0), &expected);
        }
        prop_assert!(out.heap_bytes() <= 64);
    }

    #[test]
    fn redis_protocol_reads_bulks_and_integers(bytes in prop::collection::vec(any::<u8>(), 0..1200), n in any::<i64>()) {
        let reply = written(Protocol::Resp2, |w| { w.array(3); w.bulk(&bytes); w.integer(n); w.null(); });
        let items = vec![Frame2::BulkString(bytes), Frame2::Integer(n), Frame2::Null];
        prop_assert_eq!(decode_resp2(&reply).unwrap(), Some((Frame2::Array(items), reply.len())));
    }

    #[test]
    fn redis_protocol_reads_one_error_whatever_the_text(text in any::<String>()) {
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            let reply = written(protocol, |w| w.error(&text));
            let (frame, len) = decode_resp2(&reply).unwrap().unwrap();
            prop_assert!(matches!(frame, Frame2::Error(_)));
            prop_assert_eq!(len, reply.len());
        }
    }

    #[test]
    fn redis_protocol_reads_resp3_doubles(value in any::<f64>()) {
        let reply = written(Protocol::Resp3, |w| w.double(value));
        let (frame, len) = decode_resp3(&reply).unwrap().unwrap();
        prop_assert_eq!(len, reply.len());
        let same = matches!(frame, Frame3::Double { data, .. } if data.total_cmp(&value).is_eq() || value.is_nan());
        prop_assert!(same);
    }
}

#[test]
fn redis_protocol_reads_resp3_types() {
    let reply = written(Protocol::Resp3, |w| {
        w.array(7);
        w.map(1);
        w.bulk(b"k");
        w.boolean(true);
        w.set(1);
        w.integer(7);
        w.null();
        w.null_array();
        w.verbatim("txt", b"hello");
        w.big_number("123");
        w.double(0.1);
    });
    let (frame, len) = decode_resp3(&reply).unwrap().unwrap();
    assert_eq!(len, reply.len());
    let Frame3::Array { data, .. } = frame else { panic!("{frame:?}") };
    assert!(matches!(
        data.as_slice(),
        [
            Frame3::Map { .. },
            Frame3::Set { .. },
            Frame3::Null,
            Frame3::Null,
            Frame3::VerbatimString { .. },
            Frame3::BigNumber { .. },
            Frame3::Double { .. },
        ]
    ));
}

#[test]
fn redis_protocol_reads_a_push() {
    let reply = written(Protocol::Resp3, |w| {
        w.push(2);
        w.bulk(b"message");
        w.integer(1);
    });
    let (frame, len) = decode_resp3(&reply).unwrap().unwrap();
    assert_eq!(len, reply.len());
    assert!(matches!(frame, Frame3::Push { data, .. } if data.len() == 2));
}

#[test]
fn an_output_behind_another_is_read_as_one() {
    let filled = |texts: [&'static str; 3]| {
        let mut out = Output::default();
        out.push(texts[0].as_bytes());
        out.splice(bytes::Bytes::from_static(texts[1].as_bytes()));
        out.push(texts[2].as_bytes());
        out
    };
    let mut first = Output::default();
    first.append(filled(["a", "bb", "c"]));
    first.append(filled(["", "dd", "eee"]));
    assert_eq!(first.since(Mark::default()), b"abbcddeee");
    assert_eq!(first.len(), 9);
    let mut slices = Vec::new();
    first.slices(4, &mut slices);
    assert_eq!(slices.iter().map(|slice| slice.to_vec()).collect::<Vec<_>>().concat(), b"ddeee");
}

/// What a connection does with mail: an output behind an output, however both are made of flat and spliced bytes.
#[test]
fn one_output_is_appended_to_another() {
    let letters: Vec<u8> = (b'a'..=b'z').collect();
    let piece = |n: usize, size: usize| vec![*letters.get(n).unwrap_or(&b'-'); size];
    let make = |sizes: &[usize], start: usize| {
        let mut out = Output::default();
        for (n, size) in sizes.iter().enumerate() {
            out.push_shared(&Bytes::from(piece(start + n, *size)));
        }
        out
    };
    let shapes: [&[usize]; 6] = [&[], &[1], &[5000], &[3, 5000, 2], &[5000, 5000], &[4096, 4095]];
    for one in shapes {
        for other in shapes {
            let mut out = make(one, 0);
            out.append(make(other, 10));
            let expected = [make(one, 0).into_bytes(), make(other, 10).into_bytes()].concat();
            assert_eq!(out.since(Mark::default()), expected);
            assert_eq!(out.len(), expected.len());
            let (mut slices, mut sent) = (Vec::new(), 0);
            while sent < out.len() {
                slices.clear();
                out.slices(sent, &mut slices);
                let part: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
                assert_eq!(Some(&part[..]), expected.get(sent..sent + part.len()));
                sent += part.len();
            }
            out.drop_front(expected.len() / 2);
            assert_eq!(out.into_bytes(), expected.split_at(expected.len() / 2).1);
        }
    }
}
