//! Requests, whole and cut at every byte, against Redis' rules and against an independent encoder.

use super::*;
use proptest::prelude::*;
use redis_protocol::resp2::encode::encode;
use redis_protocol::resp2::types::{OwnedFrame, Resp2Frame};

type Requests = Vec<Vec<Vec<u8>>>;

/// A connection's read side: a buffer, and what was found in it.
struct Reader {
    decoder: Decoder,
    buffer: Vec<u8>,
    limits: Limits,
    requests_max: usize,
    requests: Requests,
    error: Option<String>,
}

impl Reader {
    fn new(limits: Limits, requests_max: usize) -> Self {
        let (buffer, requests, error) = (Vec::new(), Vec::new(), None);
        Self { decoder: Decoder::default(), buffer, limits, requests_max, requests, error }
    }

    /// Receives `chunk` and decodes until there is nothing to find.
    fn receive(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
        let mut batch = Batch::default();
        loop {
            batch.clear();
            self.decoder.decode(&mut self.buffer, &self.limits, self.requests_max, &mut batch);
            self.keep(&batch);
            let consumed = self.decoder.consumed();
            self.buffer.drain(..consumed);
            self.decoder.discard(consumed);
            if batch.len() < self.requests_max {
                break;
            }
        }
        assert_eq!(self.decoder.consumed(), 0);
    }

    fn keep(&mut self, batch: &Batch) {
        let mut end = 0;
        for i in 0..batch.len() {
            let spans = batch.request(i);
            assert!(!spans.is_empty());
            self.requests.push(spans.iter().map(|span| span.of(&self.buffer).to_vec()).collect());
            assert!(batch.end_of(i) > end);
            end = batch.end_of(i);
            assert!(spans.iter().all(|span| span.start.saturating_add(span.len) <= end));
        }
        self.error = batch.error().map(ToString::to_string);
    }

    fn outcome(self) -> (Requests, Option<String>) {
        (self.requests, self.error)
    }
}

fn decode_chunks<'a>(
    chunks: impl IntoIterator<Item = &'a [u8]>,
    limits: &Limits,
    requests_max: usize,
) -> (Requests, Option<String>) {
    let mut reader = Reader::new(limits.clone(), requests_max);
    for chunk in chunks {
        reader.receive(chunk);
    }
    reader.outcome()
}

/// The outcome, which must be the same however the bytes are cut.
fn decode_any_split(input: &[u8], limits: &Limits) -> (Requests, Option<String>) {
    let whole = decode_chunks([input], limits, usize::MAX);
    assert_eq!(whole, decode_chunks([input], limits, 1), "one by one");
    assert_eq!(whole, decode_chunks(input.chunks(1), limits, 7), "byte by byte");
    if input.len() < 2000 {
        for at in 0..=input.len() {
            let (head, tail) = input.split_at(at);
            assert_eq!(whole, decode_chunks([head, tail], limits, usize::MAX), "cut at {at}");
        }
    }
    whole
}

/// Requests as words, and the error behind them.
fn check_with(limits: &Limits, input: &[u8], requests: &[&[&str]], error: Option<&str>) {
    let expected: Requests = requests
        .iter()
        .map(|words| words.iter().map(|word| word.as_bytes().to_vec()).collect())
        .collect();
    let error = error.map(|text| format!("Protocol error: {text}"));
    assert_eq!(decode_any_split(input, limits), (expected, error), "{}", input.escape_ascii());
}

fn check(input: &str, requests: &[&[&str]]) {
    check_with(&Limits::DEFAULT, input.as_bytes(), requests, None);
}

fn check_error(input: impl AsRef<[u8]>, error: &str) {
    check_with(&Limits::DEFAULT, input.as_ref(), &[], Some(error));
}

#[test]
fn multibulk_requests_are_found() {
    check("*1\r\n$4\r\nPING\r\n", &[&["PING"]]);
    check("*2\r\n$3\r\nGET\r\n$0\r\n\r\n*1\r\n$4\r\nPING\r\n", &[&["GET", ""], &["PING"]]);
    check("*2\r\n$4\r\nECHO\r\n$4\r\n\r\n*1\r\n", &[&["ECHO", "\r\n*1"]]);
    let (words, bytes) = ("w".repeat(11), "w".repeat(1234));
    let input = format!("*2\r\n$11\r\n{words}\r\n$1234\r\n{bytes}\r\n");
    check(&input, &[&[&words, &bytes]]);
    let many: Vec<_> = (0..120).map(|i| i.to_string()).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let args: Vec<_> = many.iter().map(|arg| format!("${}\r\n{arg}\r\n", arg.len())).collect();
    check(&format!("*120\r\n{}", args.concat()), &[&many]);
}

#[test]
fn inline_requests_are_words_of_a_line() {
    check("PING\r\n", &[&["PING"]]);
    check("PING\n", &[&["PING"]]);
    check("  SET\tk  v \r\nGET k\n", &[&["SET", "k", "v"], &["GET", "k"]]);
    check("a\rb c\x0bd\n", &[&["a", "b", "c\x0bd"]]);
    check("a \x0b\x0cb\n", &[&["a", "b"]]);
    check("$3\r\n", &[&["$3"]]);
}

#[test]
fn inline_quotes_are_those_of_a_shell() {
    check("SET k \"a b\"\r\n", &[&["SET", "k", "a b"]]);
    check("x \"\\x41\\n\\r\\t\\b\\a\\q\\\\\\\"\"\n", &[&["x", "A\n\r\t\x08\x07q\\\""]]);
    check("x \"\\x4g\" '\\x41 \\n \\' \"'\n", &[&["x", "x4g", "\\x41 \\n ' \""]]);
    check("x ab\"c d\" ''\n", &[&["x", "abc d", ""]]);
    check("\"\"\n", &[&[""]]);
    check("x \\n a\\'b'\n", &[&["x", "\\n", "a\\b"]]);
}

#[test]
fn inline_bytes_above_ascii_survive() {
    let (requests, error) = decode_any_split(b"x \"\\xff\\x00\" \xfe\n", &Limits::DEFAULT);
    assert_eq!(requests, [[b"x".to_vec(), b"\xff\0".to_vec(), b"\xfe".to_vec()]]);
    assert_eq!(error, None);
}

#[test]
fn unbalanced_quotes_are_refused() {
    let text = "unbalanced quotes in request";
    for line in ["set \"\"\"k\"\"\" v", "x \"a", "x 'a", "x \"a\"b", "x 'a'b", "x \"\\", "a\"b\\\""]
    {
        check_error(format!("{line}\r\n"), text);
    }
    check_with(&Limits::DEFAULT, b"PING\r\n\"\n", &[&["PING"]], Some(text));
}

#[test]
fn sec_05_empty_requests_leave_no_state() {
    let forms: [(&str, Option<&[&str]>); 9] = [
        ("\r\n", None),
        ("\n", None),
        (" \t\r\n", None),
        ("*0\r\n", None),
        ("*-1\r\n", None),
        ("*-10\r\n", None),
        ("PING a\r\n", Some(&["PING", "a"])),
        ("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", Some(&["GET", "k"])),
        ("*1\r\n$0\r\n\r\n", Some(&[""])),
    ];
    for (first, one) in forms {
        for (second, two) in forms {
            for (third, three) in forms {
                let expected: Vec<_> = [one, two, three].into_iter().flatten().collect();
                check(&format!("{first}{second}{third}"), &expected);
            }
        }
    }
}

#[test]
fn empty_requests_leave_an_idle_decoder() {
    let mut decoder = Decoder::default();
    let mut batch = Batch::default();
    decoder.decode(&mut b"\r\n*0\r\n*-1\r\n".to_vec(), &Limits::DEFAULT, 32, &mut batch);
    assert_eq!((batch.len(), decoder.consumed(), decoder.is_mid_request()), (0, 11, false));
    assert_eq!(decoder.pending(), (0, 0));
}

#[test]
fn sec_06_bytes_behind_an_argument_must_be_crlf() {
    for input in [
        "*1\r\n$3\r\nGETxx",
        "*1\r\n$3\r\nGET\rx",
        "*1\r\n$3\r\nGETx\n",
        "*1\r\n$3\r\nGETSET\r\n",
        "*1\r\n$0\r\nxx",
        "*2\r\n$3\r\nGET\n\n",
        "*1\rx$4\r\nPING\r\n",
        "*1\r\n$4\rxPING\r\n",
    ] {
        check_error(input, "invalid CRLF in request");
    }
}

#[test]
fn res_9_counts_and_lengths_out_of_range_are_refused() {
    for count in ["3000000000", "2147483648", "", "x", "1x", "+1", "01", "-", "-0", " 1", "\0"] {
        check_error(format!("*{count}\r\n"), "invalid multibulk length");
    }
    check_error("*99999999999999999999999\r\n", "invalid multibulk length");
    for len in ["-10", "-1", "2000000000", "536870913", "blabla", "", "+1", "00", "03", "\0"] {
        check_error(format!("*1\r\n${len}\r\n"), "invalid bulk length");
    }
    for count in ["1048577", "2147483647"] {
        check(&format!("*{count}\r\n$1\r\nx\r\n"), &[]);
    }
    check("*1\r\n$536870912\r\nx", &[]);
}

#[test]
fn res_9_arguments_must_be_bulks() {
    check_error("*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", "expected '$', got 'f'");
    check_error("*1\r\nfoo\r\n", "expected '$', got 'f'");
    check_error("*1\r\n:5\r\n", "expected '$', got ':'");
    check_error("*1\r\n*1\r\n$1\r\nx\r\n", "expected '$', got '*'");
    check_error("*1\r\n%1\r\n", "expected '$', got '%'");
    check_error("*1\r\n\r\n", "expected '$', got ' '");
    check_error("*1\r\n\0\r\n", "expected '$', got ' '");
    check("*1\r\nfoo", &[]);
}

#[test]
fn res_9_lines_are_bounded() {
    let limit = Limits::DEFAULT.inline_bytes_max;
    let word = "x".repeat(limit - 1);
    check(&format!("{word}\r\n"), &[&[&word]]);
    check_error("x".repeat(limit + 1), "too big inline request");
    check_error(format!("{}\n", "x".repeat(limit + 1)), "too big inline request");
    check_error(format!("*{}", "1".repeat(limit)), "too big mbulk count string");
    check_error(format!("*1\r\n${}", "1".repeat(limit)), "too big bulk count string");
    check_error(format!("*1\r\nA{}\r\n", "1".repeat(limit)), "too big bulk count string");
    check(&"x".repeat(limit), &[]);
    check(&format!("*1\r\n${}", "1".repeat(limit - 1)), &[]);
}

#[test]
fn res_9_a_nul_hides_the_end_of_its_line() {
    check("PI\0NG\r\nPING\r\n", &[]);
    check_error(
        format!("\0\n{}", "x".repeat(Limits::DEFAULT.inline_bytes_max)),
        "too big inline request",
    );
}

#[test]
fn res_9_a_million_tiny_requests_in_one_buffer() {
    let mut input = b"*1\r\n$1\r\nx\r\n\r\n*0\r\n".repeat(1_000_000);
    let (mut decoder, mut batch) = (Decoder::default(), Batch::default());
    let mut found = 0;
    while {
        batch.clear();
        decoder.decode(&mut input, &Limits::DEFAULT, 256, &mut batch);
        !batch.is_empty()
    } {
        found += batch.len();
        assert!(batch.heap_bytes() < 64 * 1024);
    }
    assert_eq!((found, decoder.consumed()), (1_000_000, input.len()));
}

#[test]
fn strangers_get_ten_arguments_of_16_kb() {
    let limits = Limits::DEFAULT.unauthenticated();
    check_with(&limits, b"*11\r\n", &[], Some("unauthenticated multibulk length"));
    check_with(&limits, b"*2147483648\r\n", &[], Some("invalid multibulk length"));
    check_with(&limits, b"*1\r\n$16385\r\n", &[], Some("unauthenticated bulk length"));
    check_with(&limits, b"*1\r\n$536870913\r\n", &[], Some("invalid bulk length"));
    check_with(&limits, b"*10\r\n$16384\r\nx", &[], None);
    let ten = format!("*10\r\n{}", "$1\r\nx\r\n".repeat(10));
    check_with(&limits, ten.as_bytes(), &[&["x"; 10]], None);
}

#[test]
fn limits_count_from_the_next_header_on() {
    let mut reader = Reader::new(Limits::DEFAULT.unauthenticated(), 1);
    reader.receive(b"*1\r\n$4\r\nAUTH\r\n");
    reader.limits.authenticated = true;
    reader.receive(format!("*11\r\n{}", "$1\r\nx\r\n".repeat(11)).as_bytes());
    assert_eq!((reader.requests.len(), reader.error), (2, None));
}

#[test]
fn configured_lengths_hold_for_short_headers_too() {
    let limits = Limits { bulk_bytes_max: 5, multibulk_max: 2, ..Limits::DEFAULT };
    check_with(&limits, b"*2\r\n$5\r\nhello\r\n$0\r\n\r\n", &[&["hello", ""]], None);
    check_with(&limits, b"*1\r\n$6\r\nhello!\r\n", &[], Some("invalid bulk length"));
    check_with(&limits, b"*3\r\n", &[], Some("invalid multibulk length"));
}

#[test]
fn an_error_stands_behind_the_requests_before_it_and_stays() {
    let mut reader = Reader::new(Limits::DEFAULT, usize::MAX);
    reader.receive(b"PING\r\n*1\r\n$1\r\nx\r\n*x\r\nPING\r\n");
    assert_eq!(reader.requests.len(), 2);
    assert_eq!(reader.error.as_deref(), Some("Protocol error: invalid multibulk length"));
    reader.receive(b"PING\r\n");
    assert_eq!(reader.requests.len(), 2);
    assert_eq!(reader.error.as_deref(), Some("Protocol error: invalid multibulk length"));
}

#[test]
fn res_4_announced_lengths_allocate_nothing() {
    for header in ["*2147483647\r\n", "*1\r\n$536870912\r\n", "*2147483647\r\n$536870912\r\n"] {
        let (mut decoder, mut batch) = (Decoder::default(), Batch::default());
        let mut input = header.as_bytes().to_vec();
        decoder.decode(&mut input, &Limits::DEFAULT, usize::MAX, &mut batch);
        assert!(decoder.is_mid_request());
        assert_eq!(batch.heap_bytes(), 0, "{header:?}");
    }
}

#[test]
fn res_4_half_a_request_costs_nothing_beside_its_bytes() {
    let (mut decoder, mut batch) = (Decoder::default(), Batch::default());
    let mut input = b"*10001\r\n".to_vec();
    for _ in 0..10_000 {
        input.extend_from_slice(b"$0\r\n\r\n");
        decoder.decode(&mut input, &Limits::DEFAULT, usize::MAX, &mut batch);
        assert!(batch.heap_bytes() <= 1024);
    }
    assert_eq!(decoder.pending(), (10_000, 60_008));
    input.extend_from_slice(b"$6\r\nabcdef\r\n");
    decoder.decode(&mut input, &Limits::DEFAULT, usize::MAX, &mut batch);
    assert_eq!((batch.request(0).len(), decoder.pending()), (10_001, (0, 0)));
    assert_eq!(batch.request(0).last().unwrap().of(&input), b"abcdef");
    // Spans of a whole request, with no room to spare.
    assert!(batch.heap_bytes() <= 10_001 * size_of::<Span>() + 1024);
}

#[test]
fn what_has_come_is_not_judged_again() {
    let mut reader = Reader::new(Limits::DEFAULT, usize::MAX);
    reader.receive(b"*2\r\n$6\r\nabcdef\r\n");
    assert_eq!(reader.decoder.pending(), (1, 16));
    reader.limits.bulk_bytes_max = 5;
    reader.receive(b"$1\r\nx\r\n");
    assert_eq!(reader.outcome(), (vec![vec![b"abcdef".to_vec(), b"x".to_vec()]], None));
}

#[test]
fn the_pending_argument_says_what_it_lacks() {
    let mut reader = Reader::new(Limits::DEFAULT, usize::MAX);
    let mut wants = |chunk: &[u8]| {
        reader.receive(chunk);
        reader.decoder.wants()
    };
    assert_eq!(wants(b"*1\r\n$10"), 0);
    assert_eq!(wants(b"00\r\n"), 1002);
    assert_eq!(wants(b"xyz"), 999);
    assert_eq!(wants(&[b'x'; 998]), 1);
    assert_eq!(wants(b"\n"), 0);
}

#[test]
fn a_decoder_may_go_on_before_anything_is_discarded() {
    let mut input = b"PING\r\n*1\r\n$1\r\na\r\n*2\r\n$1\r\nb\r\n".to_vec();
    let (mut decoder, mut batch) = (Decoder::default(), Batch::default());
    decoder.decode(&mut input, &Limits::DEFAULT, 1, &mut batch);
    assert!(!decoder.is_mid_request());
    decoder.decode(&mut input, &Limits::DEFAULT, 9, &mut batch);
    assert_eq!((batch.len(), batch.end_of(0), batch.end_of(1)), (2, 6, 17));
    input.extend_from_slice(b"$1\r\nc\r\n");
    decoder.decode(&mut input, &Limits::DEFAULT, 9, &mut batch);
    let words: Vec<_> = batch.request(2).iter().map(|span| span.of(&input)).collect();
    assert_eq!(words, [b"b", b"c"]);
    assert!(batch.request(3).is_empty());
}

/// A request as redis-protocol writes it.
fn encoded(request: &[Vec<u8>]) -> Vec<u8> {
    let frame = OwnedFrame::Array(request.iter().cloned().map(OwnedFrame::BulkString).collect());
    let mut buffer = vec![0; frame.encode_len(false)];
    let len = encode(&mut buffer, &frame, false).unwrap();
    buffer.truncate(len);
    buffer
}

fn request() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let bytes = prop::collection::vec(any::<u8>(), 0..40);
    let long = prop::collection::vec(any::<u8>(), 90..1100);
    prop::collection::vec(prop_oneof![9 => bytes, 1 => long], 1..14)
}

/// Bytes that a decoder finds interesting.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "*",
        "$",
        "\r\n",
        "\r",
        "\n",
        "0",
        "1",
        "2",
        "3",
        "-1",
        "a",
        "GET",
        " ",
        "\"",
        "'",
        "\\",
        "\\x41",
        "*1\r\n",
        "*2\r\n",
        "$1\r\na\r\n",
        "$0\r\n\r\n",
        "*0\r\n",
        "PING\r\n",
        "\0",
        "11",
        "$12\r\n",
    ]);
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn requests_of_redis_protocol_decode_to_their_arguments(
        requests in prop::collection::vec(request(), 1..5),
        cuts in prop::collection::vec(1_usize..300, 0..20),
        requests_max in 1_usize..5,
    ) {
        let input: Vec<u8> = requests.iter().flat_map(|request| encoded(request)).collect();
        let (mut rest, mut chunks) = (input.as_slice(), Vec::new());
        for cut in cuts {
            let (chunk, tail) = rest.split_at(cut.min(rest.len()));
            chunks.push(chunk);
            rest = tail;
        }
        chunks.push(rest);
        let outcome = decode_chunks(chunks, &Limits::DEFAULT, requests_max);
        prop_assert_eq!(outcome, (requests, None));
    }

    #[test]
    fn any_bytes_decode_alike_however_cut(input in hostile()) {
        let small = Limits { inline_bytes_max: 12, bulk_bytes_max: 11, ..Limits::DEFAULT };
        decode_any_split(&input, &Limits::DEFAULT);
        decode_any_split(&input, &small);
        decode_any_split(&input, &small.unauthenticated());
    }
}
