//! Decode: whole ≡ split.
//!
//! The first byte chooses limits, the second how the rest is cut; the rest is what a client sends. However
//! it arrives, the same requests and the same error must come out, and no length in a header may cost memory.

#![no_main]

use libfuzzer_sys::fuzz_target;
use russet_resp::{Batch, Decoder, Limits};

/// All requests, and the error behind them.
type Outcome = (Vec<Vec<Vec<u8>>>, Option<String>);

fuzz_target!(|data: &[u8]| {
    let &[which, cut, ref input @ ..] = data else { return };
    let limits = limits(which);
    let whole = decode([input], &limits, usize::MAX);
    let stride = usize::from(cut >> 2).max(1);
    let requests_max = usize::from(cut & 3).max(1);
    assert_eq!(whole, decode(input.chunks(stride), &limits, requests_max));
    let (head, tail) = input.split_at(usize::from(cut).min(input.len()));
    assert_eq!(whole, decode([head, tail], &limits, usize::MAX));
});

/// Redis' limits, or small ones that short inputs can reach; for users and for strangers.
fn limits(which: u8) -> Limits {
    let small = Limits { inline_bytes_max: 20, bulk_bytes_max: 99, ..Limits::DEFAULT };
    match which % 4 {
        0 => Limits::DEFAULT,
        1 => Limits::DEFAULT.unauthenticated(),
        2 => small,
        _ => small.unauthenticated(),
    }
}

fn decode<'a>(
    chunks: impl IntoIterator<Item = &'a [u8]>,
    limits: &Limits,
    requests_max: usize,
) -> Outcome {
    let (mut buffer, mut batch, mut decoder) = (Vec::new(), Batch::default(), Decoder::default());
    let mut outcome = Outcome::default();
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            batch.clear();
            decoder.decode(&mut buffer, limits, requests_max, &mut batch);
            collect(&batch, &buffer, &mut outcome);
            // A span of 16 bytes per argument of at least six (two in a line), and a vector that doubles.
            assert!(batch.heap_bytes() <= 40 * buffer.len() + 1024);
            assert!(decoder.pending().1 <= buffer.len());
            buffer.drain(..decoder.consumed());
            decoder.discard(decoder.consumed());
            if batch.len() < requests_max {
                break;
            }
        }
    }
    outcome
}

fn collect(batch: &Batch, buffer: &[u8], (requests, error): &mut Outcome) {
    for i in 0..batch.len() {
        let spans = batch.request(i);
        assert!(!spans.is_empty());
        assert!(spans.iter().all(|span| span.start + span.len <= batch.end_of(i)));
        requests.push(spans.iter().map(|span| span.of(buffer).to_vec()).collect());
    }
    *error = batch.error().map(ToString::to_string);
}
