//! Runs scripts of any text, for tests and for the fuzz target: each is answered with one frame, ends when it is told to, and leaves the
//! next one a working interpreter.
//!
//! The clock runs by itself: every look at it is a second later, and after a few hundred looks all scripts are told to end, as when a
//! server stops. Memory is bounded to 16 MB.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use russet_config::Config;
use russet_dispatch::args::OwnedRequest;
use russet_dispatch::session::{Client, Peer, Session};
use russet_dispatch::state::Identity;
use russet_dispatch::{Executor, State, Table};
use russet_engine::{Keyspace, Seed};
use russet_resp::{Batch, Decoder, Limits, Output, Protocol};
use russet_testkit::Reply;

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
        let keyspace = Keyspace::new(16, Seed(1, 2));
        let families = russet_commands::FAMILIES.iter().chain(russet_scripting::FAMILIES);
        let table = Table::leak(&families.copied().collect::<Vec<_>>());
        let config = Config::new().with_cores(1);
        let state = State::new(keyspace, table, config, Identity::default(), 7, 16);
        state.tunables.script_memory.store(MEMORY_MAX, Ordering::Relaxed);
        Box::leak(Box::new(state))
    })
}

/// A worker and its client: scripts run where they may take their time.
pub(crate) struct Runner {
    executor: Executor,
    session: Session,
    out: Output,
}

impl Runner {
    pub(crate) fn new() -> Self {
        state().clock.measure_by(ticks);
        let client = Arc::new(Client::new(1, Peer::Internal, -1, 0));
        Self {
            executor: Executor::for_worker(state().thread("core")),
            session: Session::new(client, true),
            out: Output::default(),
        }
    }

    /// The reply to a request, which is one frame.
    fn ask(&mut self, words: &[&[u8]]) -> Reply {
        LOOKS.store(1, Ordering::Relaxed);
        state().scripts.is_closing.store(false, Ordering::Release);
        let mut input = russet_testkit::client::encode(words);
        let mut batch = Batch::default();
        Decoder::default().decode(&mut input, &Limits::DEFAULT, 1, &mut batch);
        let request = OwnedRequest::copy(&input, batch.request(0));
        self.executor.run_owned(state(), &mut self.session, &request, &mut self.out);
        let reply = self.out.since(Output::default().mark());
        self.out.clear();
        Reply::decode(&reply).unwrap_or_else(|error| {
            panic!(
                "{error:?}: {:?} for {:?}",
                String::from_utf8_lossy(&reply),
                String::from_utf8_lossy(&input)
            )
        })
    }

    /// Runs a script of any text in both protocols, and then one that finds everything as it should be.
    pub(crate) fn check(&mut self, script: &[u8]) {
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            self.session.protocol = protocol;
            self.ask(&[b"EVAL", script, b"1", b"key", b"argument", b"3"]);
        }
        let after = b"return {KEYS[1], #ARGV, type(cjson), tostring(rawget(_G, 'a'))}";
        let after = self.ask(&[b"EVAL", after, b"1", b"key", b"a", b"b"]).to_string();
        assert_eq!(after, "[key, 2, table, nil]", "after {:?}", String::from_utf8_lossy(script));
        self.ask(&[b"SCRIPT", b"FLUSH"]);
        self.ask(&[b"FLUSHDB"]);
    }
}
