//! The wire, both ways, beside redis-protocol: a pipeline of 16 SET and 16 GET.
//!
//! Times are per pipeline of 32 requests or 32 replies; refilling the read buffer is included.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use redis_protocol::resp2::decode::{decode, decode_range};
use redis_protocol::resp2::encode::extend_encode_borrowed;
use redis_protocol::resp2::types::BorrowedFrame;
use russet_resp::{Batch, Decoder, Limits, Output, Protocol, Writer};

/// 16 SET of 64 bytes and 16 GET, keys of 16 bytes.
fn pipeline() -> Vec<u8> {
    let value = "v".repeat(64);
    let set =
        (0..16).map(|i| format!("*3\r\n$3\r\nSET\r\n$16\r\nkey:{i:012}\r\n$64\r\n{value}\r\n"));
    let get = (0..16).map(|i| format!("*2\r\n$3\r\nGET\r\n$16\r\nkey:{i:012}\r\n"));
    set.chain(get).collect::<String>().into_bytes()
}

fn decoding(c: &mut Criterion) {
    let source = pipeline();
    let mut group = c.benchmark_group("resp/decode");
    group.throughput(Throughput::Elements(32));
    let (mut buffer, mut batch) = (Vec::with_capacity(source.len()), Batch::default());
    let mut decoder = Decoder::default();
    group.bench_function("russet", |b| {
        b.iter(|| {
            buffer.clear();
            buffer.extend_from_slice(&source);
            batch.clear();
            decoder.decode(&mut buffer, &Limits::DEFAULT, 64, &mut batch);
            decoder.discard(decoder.consumed());
            assert_eq!(black_box(&batch).len(), 32);
        });
    });
    group.bench_function("redis-protocol decode_range", |b| {
        b.iter(|| {
            let mut rest = black_box(source.as_slice());
            while let Ok(Some((frame, len))) = decode_range(rest) {
                black_box(frame);
                rest = &rest[len..];
            }
            assert!(rest.is_empty());
        });
    });
    group.bench_function("redis-protocol decode", |b| {
        b.iter(|| {
            let mut rest = black_box(source.as_slice());
            while let Ok(Some((frame, len))) = decode(rest) {
                black_box(frame);
                rest = &rest[len..];
            }
            assert!(rest.is_empty());
        });
    });
    group.finish();
}

fn encoding(c: &mut Criterion) {
    let value = [b'v'; 64];
    let mut group = c.benchmark_group("resp/encode");
    group.throughput(Throughput::Elements(32));
    let mut out = Output::default();
    group.bench_function("russet", |b| {
        b.iter(|| {
            out.clear();
            let mut writer = Writer::new(&mut out, Protocol::Resp2);
            (0..16).for_each(|_| writer.ok());
            (0..16).for_each(|_| writer.bulk(black_box(&value)));
            assert_eq!(black_box(&out).len(), 16 * (5 + 71));
        });
    });
    let mut buffer = bytes::BytesMut::with_capacity(4096);
    group.bench_function("redis-protocol", |b| {
        b.iter(|| {
            buffer.clear();
            for frame in [BorrowedFrame::SimpleString(b"OK"), BorrowedFrame::BulkString(&value)] {
                for _ in 0..16 {
                    let _ = extend_encode_borrowed(&mut buffer, black_box(&frame), false);
                }
            }
            assert_eq!(black_box(&buffer).len(), 16 * (5 + 71));
        });
    });
    group.finish();
}

fn integers(c: &mut Criterion) {
    let mut group = c.benchmark_group("resp/integer");
    group.throughput(Throughput::Elements(32));
    let mut out = Output::default();
    group.bench_function("russet", |b| {
        b.iter(|| {
            out.clear();
            let mut writer = Writer::new(&mut out, Protocol::Resp2);
            (0..32).for_each(|i| writer.integer(black_box(i * 12_345)));
            black_box(&out);
        });
    });
    let mut buffer = bytes::BytesMut::with_capacity(4096);
    group.bench_function("redis-protocol", |b| {
        b.iter(|| {
            buffer.clear();
            for i in 0..32 {
                let frame = BorrowedFrame::Integer(black_box(i * 12_345));
                let _ = extend_encode_borrowed(&mut buffer, &frame, false);
            }
            black_box(&buffer);
        });
    });
    group.finish();
}

criterion_group!(benches, decoding, encoding, integers);
criterion_main!(benches);
