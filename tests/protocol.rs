//! The protocol over the wire: exact bytes, whatever the packets, and the close exactly where Redis closes.
//!
//! Every case is a stretch of bytes and the bytes that answer it. Where valkey-server is installed the same bytes go to it too, and
//! its answer must be the same; what we answer otherwise on purpose is marked [`Case::ours`] and says why.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use russet_testkit::client::encode;
use russet_testkit::{Client, Reference};

use crate::{Server, server};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes, and what answers them.
struct Case {
    sent: Vec<u8>,
    answer: Vec<u8>,
    /// Whether the server ends the connection by itself.
    closes: bool,
    /// Why Valkey 8.0.1 answers something else.
    ours: Option<&'static str>,
}

impl Case {
    fn new(sent: impl Into<Vec<u8>>, answer: impl Into<Vec<u8>>) -> Self {
        Self { sent: sent.into(), answer: answer.into(), closes: false, ours: None }
    }

    /// Between two PINGs: the first is answered, the error follows, and the second is never seen.
    fn error(sent: impl AsRef<[u8]>, text: &str) -> Self {
        let sent = [b"PING\r\n", sent.as_ref(), b"PING\r\n"].concat();
        let answer = format!("+PONG\r\n-ERR Protocol error: {text}\r\n");
        Self { closes: true, ..Self::new(sent, answer) }
    }

    fn ours(self, why: &'static str) -> Self {
        Self { ours: Some(why), ..self }
    }

    #[track_caller]
    fn check(&self, addr: SocketAddr, who: &str) {
        let answer = self
            .answer_of(addr)
            .unwrap_or_else(|error| panic!("{who}, {}: {error}", show(&self.sent)));
        assert_eq!(show(&answer), show(&self.answer), "{who}, {}", show(&self.sent));
    }

    /// All that comes back until the connection ends, which we ask for unless the server must do it unasked.
    fn answer_of(&self, addr: SocketAddr) -> io::Result<Vec<u8>> {
        let mut client = Client::connect(addr)?;
        client.send_raw(&self.sent)?;
        if !self.closes {
            client.close_write()?;
        }
        client.read_until_closed(PATIENCE)
    }
}

/// Checks all cases here, and what should be the same elsewhere.
#[track_caller]
fn check_all(cases: &[Case]) {
    let server = server();
    cases.iter().for_each(|case| case.check(server.address(), "russet"));
    if let Some(valkey) = Reference::start("valkey-server") {
        let addr = valkey.process.addr();
        cases.iter().filter(|case| case.ours.is_none()).for_each(|case| case.check(addr, "valkey"));
    }
}

/// Bytes for people; long ones by their ends.
fn show(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (head, tail) = if bytes.len() > 400 { bytes.split_at(200) } else { (bytes, &[][..]) };
    let tail = tail.get(tail.len().saturating_sub(100)..).unwrap_or_default();
    write!(text, "{}", head.escape_ascii()).expect("a string takes everything");
    if !tail.is_empty() {
        write!(text, " … {} bytes … {}", bytes.len(), tail.escape_ascii())
            .expect("a string takes everything");
    }
    text
}

#[test]
fn requests_of_both_kinds_are_answered_in_their_order() {
    check_all(&[
        Case::new("PING\r\n", "+PONG\r\n"),
        Case::new("PING\n", "+PONG\r\n"),
        Case::new("*1\r\n$4\r\nPING\r\n", "+PONG\r\n"),
        Case::new(
            "*1\r\n$4\r\nPING\r\nECHO a\r\n*2\r\n$4\r\nECHO\r\n$2\r\n\r\n\r\nPING\n",
            "+PONG\r\n$1\r\na\r\n$2\r\n\r\n\r\n+PONG\r\n",
        ),
        Case::new(
            "ECHO \"a \\x41\\n\" \r\nECHO 'a \\' \\n'\r\n",
            "$4\r\na A\n\r\n$6\r\na ' \\n\r\n",
        ),
        Case::new("\r\n\r\n \t\r\nPING\r\n\n", "+PONG\r\n"),
        Case::new("*0\r\n*-1\r\n*-10\r\nPING\r\n", "+PONG\r\n"),
        Case::new("SET a 1\r\nINCR a\r\nGET a\r\nDEL a\r\n", "+OK\r\n:2\r\n$1\r\n2\r\n:1\r\n"),
        Case::new("*2\r\n$3\r\nGET\r\n$0\r\n\r\n", "$-1\r\n"),
        Case::new("GET\r\n", "-ERR wrong number of arguments for 'get' command\r\n"),
        Case::new(
            "*1\r\n$0\r\n\r\nPING\r\n",
            "-ERR unknown command '', with args beginning with: \r\n+PONG\r\n",
        ),
    ]);
}

#[test]
fn requests_in_a_row_that_are_nearly_alike_are_told_apart() {
    let case = |len: usize| {
        let key = "k".repeat(len);
        let [first, middle, last] = [0, len / 2, len - 1].map(|at| {
            let mut key = key.clone();
            key.replace_range(at..=at, "0");
            key
        });
        let longer = format!("{key}k");
        let steps = [
            (format!("SET {key} a"), "+OK"),
            (format!("SET {first} b"), "+OK"),
            (format!("SET {middle} c"), "+OK"),
            (format!("SET {last} d"), "+OK"),
            (format!("SET {longer} e"), "+OK"),
            (format!("GET {key}"), "$1\r\na"),
            (format!("get {key}"), "$1\r\na"),
            (format!("GET {first}"), "$1\r\nb"),
            (format!("GET {middle}"), "$1\r\nc"),
            (format!("GET {last}"), "$1\r\nd"),
            (format!("GET {longer}"), "$1\r\ne"),
            (format!("OBJECT ENCODING {longer}"), "$6\r\nembstr"),
            (format!("OBJECT REFCOUNT {longer}"), ":1"),
            (format!("DEL {key}"), ":1"),
            (format!("GET {key}"), "$-1"),
            (format!("DEL {first} {middle} {last} {longer}"), ":4"),
        ];
        let (sent, answer): (Vec<_>, Vec<_>) =
            steps.iter().map(|(sent, answer)| (&**sent, *answer)).unzip();
        let lines = |lines: &[&str]| lines.join("\r\n") + "\r\n";
        Case::new(lines(&sent), lines(&answer))
    };
    check_all(&[3, 4, 5, 8, 9, 12, 16, 17, 20, 32, 33, 40].map(case));
}

#[test]
fn res_9_counts_and_lengths_out_of_range_end_the_connection() {
    let counts = [
        "3000000000",
        "2147483648",
        "",
        "x",
        "1x",
        "+1",
        "01",
        "-",
        "-0",
        " 1",
        "99999999999999999999999",
    ];
    let mut cases: Vec<_> = counts
        .iter()
        .map(|count| Case::error(format!("*{count}\r\n"), "invalid multibulk length"))
        .collect();
    let lengths = ["-10", "-1", "2000000000", "536870913", "blabla", "", "+1", "00", "03"];
    cases.extend(
        lengths.iter().map(|len| Case::error(format!("*1\r\n${len}\r\n"), "invalid bulk length")),
    );
    check_all(&cases);
}

#[test]
fn res_9_arguments_must_be_bulks() {
    check_all(&[
        Case::error("*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", "expected '$', got 'f'"),
        Case::error("*1\r\nfoo\r\n", "expected '$', got 'f'"),
        Case::error("*1\r\n:5\r\n", "expected '$', got ':'"),
        Case::error("*1\r\n*1\r\n$1\r\nx\r\n", "expected '$', got '*'"),
        Case::error("*2\r\n$4\r\nECHO\r\n%1\r\n", "expected '$', got '%'"),
        Case::error("*1\r\n\r\n", "expected '$', got ' '"),
    ]);
}

#[test]
fn unbalanced_quotes_end_the_connection() {
    let lines =
        ["set \"\"\"k\"\"\" v", "x \"a", "x 'a", "x \"a\"b", "x 'a'b", "x \"\\", "a\"b\\\""];
    let cases =
        lines.map(|line| Case::error(format!("{line}\r\n"), "unbalanced quotes in request"));
    check_all(&cases);
}

#[test]
fn sec_06_bytes_behind_an_argument_must_be_crlf() {
    let why = "Valkey 9 looks at these two bytes, 8.0.1 skips them and takes a miscount for the next request";
    let inputs = [
        "*1\r\n$4\r\nPINGxx",
        "*1\r\n$4\r\nPING\rx",
        "*1\r\n$3\r\nGETSET\r\n",
        "*1\r\n$0\r\nxx",
        "*1\rx$4\r\nPING\r\n",
    ];
    let cases = inputs.map(|input| Case::error(input, "invalid CRLF in request").ours(why));
    check_all(&cases);
}

#[test]
fn res_9_lines_are_bounded() {
    const LIMIT: usize = 64 * 1024;
    let word = "x".repeat(LIMIT - 100);
    let unknown =
        format!("-ERR unknown command '{}', with args beginning with: \r\n", "x".repeat(128));
    let whole = "Redis answers by how the bytes were cut; here the length alone decides";
    // What follows an endless line is part of it, so these cases end with it.
    let endless = |head: &str, fill: &str, text: &str| Case {
        closes: true,
        ..Case::new(
            format!("{head}{}", fill.repeat(LIMIT + 1)),
            format!("-ERR Protocol error: {text}\r\n"),
        )
    };
    check_all(&[
        Case::new(format!("{word}\r\nPING\r\n"), format!("{unknown}+PONG\r\n")),
        endless("", "x", "too big inline request"),
        endless("*", "1", "too big mbulk count string"),
        endless("*1\r\n$", "1", "too big bulk count string"),
        endless("*1\r\nA", "1", "too big bulk count string"),
        Case::error(format!("{}\n", "x".repeat(LIMIT + 1)), "too big inline request").ours(whole),
    ]);
}

#[test]
fn res_9_huge_announcements_just_wait() {
    let starts = [
        "*1048577\r\n$1\r\nx\r\n",
        "*2147483647\r\n",
        "*1\r\n$536870912\r\nx",
        "*2147483647\r\n$536870912\r\n",
    ];
    check_all(&starts.map(|start| Case::new(format!("PING\r\n{start}"), "+PONG\r\n")));
}

#[test]
fn res_9_types_of_replies_are_words_of_a_line_when_sent() {
    let lines = [
        "%1", "~2", ">2", "#t", "_", ",1.5", "(123", "=15", "!21", "|1", "$3", ":1", "+OK", "-ERR",
    ];
    let cases = lines.map(|line| {
        let answer =
            format!("-ERR unknown command '{line}', with args beginning with: \r\n+PONG\r\n");
        Case::new(format!("{line}\r\nPING\r\n"), answer)
    });
    check_all(&cases);
    check_all(&[Case::new(
        "%1\r\n$1\r\na\r\n",
        ["%1", "$1", "a"]
            .map(|word| format!("-ERR unknown command '{word}', with args beginning with: \r\n"))
            .concat(),
    )]);
}

#[test]
fn quit_ends_the_connection_in_its_place() {
    let mut case = Case::new("SET q 1\r\nQUIT\r\nSET q 2\r\nPING\r\n", "+OK\r\n+OK\r\n");
    case.closes = true;
    check_all(&[case, Case::new("SET q 1\r\n", "+OK\r\n")]);
    let server = server();
    let mut client = server.client();
    client.send_raw(b"SET q 1\r\nQUIT\r\nSET q 2\r\n").unwrap();
    assert_eq!(client.read_until_closed(PATIENCE).unwrap(), b"+OK\r\n+OK\r\n");
    assert_eq!(server.client().cmd(&["GET", "q"]).to_string(), "1");
}

#[test]
fn an_error_in_the_middle_of_a_pipeline_undoes_nothing_before_it() {
    let server = server();
    let mut client = server.client();
    let mut bytes = Vec::new();
    for _ in 0..1000 {
        bytes.extend_from_slice(&encode(&["INCR", "before"]));
    }
    bytes.extend_from_slice(b"*1\r\n$x\r\n");
    bytes.extend_from_slice(&encode(&["INCR", "after"]).repeat(1000));
    client.send_raw(&bytes).unwrap();
    let answer = client.read_until_closed(PATIENCE).unwrap();
    assert!(
        answer.ends_with(b":1000\r\n-ERR Protocol error: invalid bulk length\r\n"),
        "{}",
        show(&answer)
    );
    assert_eq!(server.client().cmd(&["MGET", "before", "after"]).to_string(), "[1000, (nil)]");
}

#[test]
fn an_error_waits_until_the_blocked_request_before_it_is_answered() {
    let mut case = Case::new(
        "BLPOP nothing 0.05\r\n*x\r\n",
        "*-1\r\n-ERR Protocol error: invalid multibulk length\r\n",
    );
    case.closes = true;
    check_all(&[case]);
}

#[test]
fn a_stream_may_be_cut_at_every_byte() {
    let stream = "*3\r\n$3\r\nSET\r\n$3\r\ncut\r\n$12\r\nhello\r\nworld\r\nECHO \"a b\"\r\n\r\n*0\r\n*2\r\n$3\r\nGET\r\n$3\r\ncut\r\n";
    let answer = "+OK\r\n$3\r\na b\r\n$12\r\nhello\r\nworld\r\n";
    let server = server();
    let mut clients: Vec<_> = (0..=stream.len()).map(|cut| (cut, server.client())).collect();
    for (cut, client) in &mut clients {
        client.send_raw(&stream.as_bytes()[..*cut]).unwrap();
    }
    // The other half comes when the first has been seen: a client that is served later has been, too.
    assert_eq!(server.client().cmd(&["PING"]).to_string(), "PONG");
    for (cut, client) in &mut clients {
        client.send_raw(&stream.as_bytes()[*cut..]).unwrap();
        assert_eq!(
            show(&client.read_exact_raw(answer.len()).unwrap()),
            show(answer.as_bytes()),
            "cut at {cut}"
        );
    }
}

#[test]
fn big_requests_may_be_cut_at_odd_places() {
    let server = server();
    let mut client = server.client();
    for len in [16_383, 16_385, 65_535, 65_536, 65_537, 131_073, 1_000_003, 5_000_011] {
        let value: Vec<u8> = (0..len).map(|i: usize| (i % 251) as u8).collect();
        let request =
            [encode(&[b"SET", &b"big"[..], &value]), encode(&[b"GET", &b"big"[..]])].concat();
        for stride in [65_521, 65_536, 65_537, 999_983, usize::MAX] {
            for piece in request.chunks(stride) {
                client.send_raw(piece).unwrap();
            }
            assert_eq!(client.recv().unwrap().to_string(), "OK");
            let answer = client.recv_frame().unwrap();
            assert_eq!(
                answer,
                [format!("${len}\r\n").as_bytes(), &value, b"\r\n"].concat(),
                "{len} by {stride}"
            );
        }
    }
}

#[test]
fn a_request_may_have_a_hundred_thousand_arguments() {
    let server = server();
    let mut client = server.client();
    let mut args = vec!["MSET".to_owned()];
    args.extend((0..100_000).map(|i| format!("key:{}", i / 2)));
    let request = encode(&args);
    for stride in [1_000, 65_536, usize::MAX] {
        for piece in request.chunks(stride) {
            client.send_raw(piece).unwrap();
        }
        assert_eq!(client.recv().unwrap().to_string(), "OK");
    }
    assert_eq!(client.cmd(&["DBSIZE"]).to_string(), "50000");
}

#[test]
fn res_9_a_million_tiny_commands_in_one_packet() {
    let server = server();
    let (mut client, mut other) = (server.client(), server.client());
    // Most of them are nothing at all: empty lines and empty requests cost a client nothing, so they must not cost others.
    let block = [b"\r\n*0\r\n".repeat(9), b"PING\r\n".to_vec()].concat();
    let bytes = block.repeat(100_000);
    std::thread::scope(|scope| {
        let mut writer = Client::connect(server.address()).unwrap();
        scope.spawn(move || {
            writer.send_raw(&bytes).unwrap();
            writer.close_write().unwrap();
            assert_eq!(
                writer.read_until_closed(PATIENCE).unwrap().len(),
                100_000 * "+PONG\r\n".len()
            );
        });
        for _ in 0..100 {
            assert_eq!(other.cmd(&["PING"]).to_string(), "PONG");
        }
    });
    assert_eq!(client.cmd(&["PING"]).to_string(), "PONG");
}

#[test]
fn who_has_stopped_sending_still_gets_every_reply() {
    let server = server();
    let mut client = server.client();
    let value = vec![b'v'; 1 << 20];
    client.cmd(&[b"SET", &b"half"[..], &value]);
    client.send_raw(&encode(&["GET", "half"]).repeat(30)).unwrap();
    client.close_write().unwrap();
    let answer = client.read_until_closed(PATIENCE).unwrap();
    assert_eq!(answer.len(), 30 * (value.len() + "$1048576\r\n\r\n".len()));
}

#[test]
fn replies_may_be_read_after_a_long_pipeline() {
    let server = server();
    let mut client = server.client();
    let value = vec![b'v'; 100_000];
    client.cmd(&[b"SET", &b"long"[..], &value]);
    for _ in 0..500 {
        client.send(&["GET", "long"]).unwrap();
        client.send(&["STRLEN", "long"]).unwrap();
    }
    for _ in 0..500 {
        assert_eq!(client.recv_frame().unwrap().len(), value.len() + "$100000\r\n\r\n".len());
        assert_eq!(client.recv_frame().unwrap(), b":100000\r\n");
    }
}

#[test]
fn sec_12_configured_lengths_are_honoured() {
    let server =
        Server::with(&["--proto-max-bulk-len", "1mb", "--client-query-buffer-limit", "1mb"]);
    let mut client = server.client();
    let value = vec![b'v'; 1 << 20];
    assert_eq!(client.cmd(&["SET", "k", "short"]).to_string(), "OK");
    client.send_raw(b"*1\r\n$1048577\r\n").unwrap();
    let answer = client.read_until_closed(PATIENCE).unwrap();
    assert_eq!(show(&answer), show(b"-ERR Protocol error: invalid bulk length\r\n"));
    // The bytes of a request count all together, also where each argument is within its bounds.
    let mut client = server.client();
    let half = value.get(..value.len() / 2).unwrap();
    let sent = client.send(&[b"DEL", half, half, half]);
    let ended = client.read_until_closed(PATIENCE);
    assert!(sent.is_err() || ended.is_ok_and(|answer| answer.is_empty()));
    assert_eq!(server.client().cmd(&["GET", "k"]).to_string(), "short");
}
