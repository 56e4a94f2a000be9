//! Script: whatever its text, a script is answered with one frame, ends, and leaves the next one a working interpreter.
//!
//! The input is Lua. The clock runs by itself: every look at it is a second later, and after a few hundred looks all scripts are told to
//! end, as when a server stops. Memory is bounded to 16 MB.

#![no_main]

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use russet_config::Config;
use russet_dispatch::args::OwnedRequest;
use russet_dispatch::session::{Client, Peer, Session};
use russet_dispatch::state::Identity;
use russet_dispatch::{Executor, State, Table};
use russet_engine::{Keyspace, Seed};
use russet_resp::{Batch, Decoder, Limits, Output, Protocol};

const LOOKS_MAX: u64 = 300;
const MEMORY_MAX: u64 = 16 << 20;

static LOOKS: AtomicU64 = AtomicU64::new(1);

fn ticks() -> u64 {
    let looks = LOOKS.fetch_add(1, Ordering::Relaxed);
    state().scripts.is_closing.store(looks > LOOKS_MAX, Ordering::Release);
    looks * 1_000_000_000
}

fn state() -> &'static State {
    static STATE: OnceLock<&'static State> = OnceLock::new();
    STATE.get_or_init(|| {
        let families = russet_commands::FAMILIES.iter().chain(russet_scripting::FAMILIES);
        let table = Table::leak(&families.copied().collect::<Vec<_>>());
        let config = Config::new().with_cores(1);
        let keyspace = Keyspace::new(16, Seed(1, 2));
        let state = State::new(keyspace, table, config, Identity::default(), 7, 16);
        state.tunables.script_memory.store(MEMORY_MAX, Ordering::Relaxed);
        Box::leak(Box::new(state))
    })
}

/// A worker and its client: scripts run where they may take their time.
struct Runner {
    executor: Executor,
    session: Session,
    out: Output,
}

impl Runner {
    fn new() -> Self {
        let state = state();
        state.clock.measure_by(ticks);
        let client = Arc::new(Client::new(1, Peer::Internal, -1, 0));
        Self {
            executor: Executor::for_worker(state.thread("core")),
            session: Session::new(client, true),
            out: Output::default(),
        }
    }

    /// The reply to a request, which is one frame.
    fn ask(&mut self, words: &[&[u8]]) -> Vec<u8> {
        LOOKS.store(1, Ordering::Relaxed);
        state().scripts.is_closing.store(false, Ordering::Release);
        let mut input = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            input.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            input.extend_from_slice(word);
            input.extend_from_slice(b"\r\n");
        }
        let mut batch = Batch::default();
        Decoder::default().decode(&mut input, &Limits::DEFAULT, 1, &mut batch);
        let request = OwnedRequest::copy(&input, batch.request(0));
        self.executor.run_owned(state(), &mut self.session, &request, &mut self.out);
        let reply = self.out.since(Output::default().mark());
        self.out.clear();
        assert_eq!(frame_len(&reply), Some(reply.len()), "{:?}", String::from_utf8_lossy(&reply));
        reply
    }
}

/// How long the first frame of these bytes is, if it is whole.
fn frame_len(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let (&kind, line) = bytes[..end].split_first()?;
    let count = || std::str::from_utf8(line).ok()?.parse::<i64>().ok();
    let children = match kind {
        b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => 0,
        b'$' | b'=' => {
            let Ok(len) = usize::try_from(count()?) else { return Some(end + 2) };
            let whole = end + 2 + len;
            return (bytes.get(whole..whole + 2)? == b"\r\n").then_some(whole + 2);
        }
        b'*' | b'~' | b'>' => count()?.max(0),
        b'%' => count()? * 2,
        _ => return None,
    };
    (0..children).try_fold(end + 2, |at, _| Some(at + frame_len(bytes.get(at..)?)?))
}

thread_local! {
    static RUNNER: RefCell<Runner> = RefCell::new(Runner::new());
}

fuzz_target!(|script: &[u8]| {
    RUNNER.with_borrow_mut(|runner| {
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            runner.session.protocol = protocol;
            runner.ask(&[b"EVAL", script, b"1", b"key", b"argument", b"3"]);
        }
        let after = runner.ask(&[b"EVAL", b"return {KEYS[1], #ARGV, type(cjson)}", b"1", b"key", b"a", b"b"]);
        assert_eq!(after, b"*3\r\n$3\r\nkey\r\n:2\r\n$5\r\ntable\r\n");
        runner.ask(&[b"SCRIPT", b"FLUSH"]);
        runner.ask(&[b"FLUSHDB"]);
    });
});
