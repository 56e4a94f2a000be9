//! A client without a socket: what a server's thread does with requests, less the bytes' journey.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use russet_config::{Caller, Config};
use russet_dispatch::args::OwnedRequest;
use russet_dispatch::blocking::{Blocked, OnTimeout};
use russet_dispatch::execute::Walk;
use russet_dispatch::session::{Client, Peer, Session};
use russet_dispatch::state::Identity;
use russet_dispatch::{Chunk, Executor, Halt, State, Table};
use russet_engine::{Keyspace, Seed};
use russet_resp::{Batch, Decoder, Limits, Output, Writer};
use russet_testkit::Reply;
use russet_testkit::client::encode;
use russet_testkit::record::Ask;

/// Longer than any wait for a shard may take: who is not woken by then never would be.
const LOST: Duration = Duration::from_secs(10);

/// The state of a server without a shell, with this many shards: few, so that keys meet.
pub fn state(shards: u32) -> &'static State {
    let table = Table::leak(russet_commands::FAMILIES);
    let keyspace = Keyspace::new(shards, Seed(1, 2));
    let identity = Identity { started_ms: 1_000_000, io_threads: 1, ..Identity::default() };
    let mut config = Config::new().with_cores(1);
    // FLUSHALL would ask the shell to save.
    config
        .set(&[(b"save", b"")], Caller { local: true, loading: false })
        .expect("there may be no rule");
    Box::leak(Box::new(State::new(keyspace, table, config, identity, 7, 16)))
}

/// One client and the thread that runs its requests.
#[derive(Debug)]
pub struct Local {
    state: &'static State,
    executor: Executor,
    worker: Option<Executor>,
    session: Session,
    out: Output,
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn waker() -> Waker {
    Waker::from(Arc::new(Unpark(std::thread::current())))
}

impl Local {
    /// One more client of a server.
    pub fn new(state: &'static State) -> Self {
        let client =
            Arc::new(Client::new(state.clients.next_id(), Peer::Internal, -1, state.clock.now()));
        state.clients.add(&client);
        Self {
            state,
            executor: Executor::new(state.thread("core")),
            worker: None,
            session: Session::new(client, true),
            out: Output::default(),
        }
    }

    /// The part of it that others reach.
    pub const fn client(&self) -> &Arc<Client> {
        &self.session.client
    }

    /// Asks; `Err` if the client waits for keys now.
    pub fn begin(&mut self, words: &[&str]) -> Result<Reply, Arc<Blocked>> {
        let mut input = encode(words);
        let (mut decoder, mut batch) = (Decoder::default(), Batch::default());
        decoder.decode(&mut input, &Limits::DEFAULT, 1, &mut batch);
        loop {
            let (state, session) = (self.state, &mut self.session);
            let requests = Chunk { input: &input, batch: &batch, from: 0, until: 1 };
            match self.executor.run(state, session, requests, &mut self.out).1 {
                None | Some(Halt::Close) => return Ok(self.take_reply()),
                Some(Halt::Busy(shard)) => self.wait_for(shard),
                Some(Halt::Mail) => {}
                Some(Halt::Again | Halt::Paused | Halt::Room(_)) => std::thread::yield_now(),
                Some(Halt::Wait(blocked)) => return Err(blocked),
                Some(Halt::Elsewhere) => {
                    self.run_elsewhere(&OwnedRequest::copy(&input, batch.request(0)))
                }
                Some(Halt::Later(walk)) => self.walk(walk),
                Some(Halt::Ask(request)) => {
                    unreachable!("there is no shell to be asked {request:?}")
                }
                Some(Halt::All) => {
                    unreachable!("the executor runs such a request again by itself")
                }
            }
            if !self.out.is_empty() {
                return Ok(self.take_reply());
            }
        }
    }

    fn take_reply(&mut self) -> Reply {
        let frame = self.out.since(Output::default().mark());
        self.out.clear();
        Reply::decode(&frame).expect("a reply is one frame")
    }

    /// Sleeps until the holder of a shard lets go.
    fn wait_for(&self, shard: u32) {
        let started = Instant::now();
        self.state.keyspace.locks().queue(shard, waker());
        std::thread::park_timeout(LOST);
        assert!(started.elapsed() < LOST, "nobody woke who waited for shard {shard}");
    }

    fn run_elsewhere(&mut self, request: &OwnedRequest) {
        let worker =
            self.worker.get_or_insert_with(|| Executor::for_worker(self.state.thread("core")));
        while let Some(Halt::Busy(_) | Halt::Again) =
            worker.run_owned(self.state, &mut self.session, request, &mut self.out)
        {
            std::thread::yield_now();
        }
    }

    fn walk(&mut self, mut walk: Box<dyn Walk>) {
        while !matches!(
            self.executor.walk(self.state, &mut self.session, walk.as_mut(), &mut self.out),
            Ok(true)
        ) {
            std::thread::yield_now();
        }
    }

    /// Waits for keys until there is a reply or the time is up.
    pub fn wait(&mut self, blocked: &Arc<Blocked>) -> Reply {
        let until = (blocked.wait.timeout_ms > 0)
            .then(|| Instant::now() + Duration::from_millis(blocked.wait.timeout_ms));
        let mut is_claimed = false;
        loop {
            self.session.client.listen(&waker());
            if self.session.client.has_mail() {
                let mailed = self.session.client.take_mail();
                if mailed.has_reply {
                    self.state.unregister(blocked);
                    return Reply::decode(&mailed.out.into_bytes()).expect("a reply is one frame");
                }
            }
            let left = until.map_or(LOST, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() && !std::mem::replace(&mut is_claimed, true) && blocked.claim() {
                return self.time_out(blocked);
            }
            std::thread::park_timeout(left.max(Duration::from_millis(1)));
        }
    }

    /// Ends a wait that this caller has claimed.
    pub fn time_out(&mut self, blocked: &Arc<Blocked>) -> Reply {
        self.state.unregister(blocked);
        let mut reply = Writer { out: &mut self.out, protocol: self.session.protocol };
        match blocked.wait.on_timeout {
            OnTimeout::NullArray => reply.null_array(),
            OnTimeout::Null => reply.null(),
        }
        self.take_reply()
    }
}

impl Ask for Local {
    fn ask(&mut self, words: &[&str]) -> Reply {
        self.begin(words).unwrap_or_else(|blocked| self.wait(&blocked))
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.session.unwatch(&self.state.keyspace);
        self.state.clients.remove(self.session.client.id);
    }
}
