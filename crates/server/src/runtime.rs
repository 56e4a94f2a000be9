//! The I/O threads: each a tokio runtime of its own, with the connections that were given to it.
//!
//! A connection stays on its thread; what its requests need (executor, buffers) belongs to the thread and is lent from turn to turn.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ThreadId;

use russet_dispatch::mailbox::Home;
use russet_dispatch::session::{Client, Session};
use russet_dispatch::state::Thread;
use russet_dispatch::{Executor, State};
use russet_resp::{Batch, Output};
use tokio::sync::mpsc;

use crate::clock;
use crate::connection::{Connection, READ_BYTES};
use crate::exit::{self, Exit};
use crate::gate::{self, Gate};
use crate::lobby::{self, Lobby};
use crate::stream::Stream;
use crate::tasks::Shell;

/// How many empty outputs a thread keeps, each of at most 16 KB.
const SPARE_OUTPUTS: usize = 64;

/// Sockets that are taken up at a time. A reply leaves when all of these have been read from, so that this bounds how long that is.
const READY_AT_A_TIME: usize = 64;

/// The stack of a thread that runs commands. Scripts nest tables a thousand deep and patterns four thousand; what is never touched costs
/// no memory.
pub(crate) const STACK_BYTES: usize = 16 << 20;

/// A connection on its way to its thread: still without a runtime.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Socket {
    fn into_stream(self) -> std::io::Result<Stream> {
        Ok(match self {
            Self::Tcp(socket) => Stream::Tcp(tokio::net::TcpStream::from_std(socket)?),
            Self::Unix(socket) => Stream::Unix(tokio::net::UnixStream::from_std(socket)?),
        })
    }
}

/// What the turns of one thread share.
pub(crate) struct IoThread {
    pub(crate) state: &'static State,
    pub(crate) executor: RefCell<Executor>,
    pub(crate) batch: RefCell<Batch>,
    pub(crate) scratch: RefCell<Box<[u8]>>,
    pub(crate) output: RefCell<Output>,
    /// Empty outputs with some room, for replies that are about to be sent.
    pub(crate) spare_outputs: RefCell<Vec<Output>>,
    pub(crate) shell: Shell,
    /// Where replies wait for the append-only file.
    pub(crate) gate: Rc<Gate>,
    /// Where connections wait that have come lately.
    pub(crate) lobby: Rc<Lobby>,
    /// Where sockets go that are done with.
    pub(crate) exit: Rc<Exit>,
}

impl IoThread {
    fn new(state: &'static State, shell: Shell, thread: Thread) -> Self {
        Self {
            state,
            executor: RefCell::new(Executor::new(thread)),
            batch: RefCell::default(),
            scratch: RefCell::new(vec![0; READ_BYTES].into_boxed_slice()),
            output: RefCell::default(),
            spare_outputs: RefCell::default(),
            shell,
            gate: Rc::default(),
            lobby: Rc::default(),
            exit: Rc::default(),
        }
    }

    /// Begins a turn: reads the clocks and tells the commands. Answers what the one that measures shows.
    pub(crate) fn begin_turn(&self) -> u64 {
        self.state.clock.advance(clock::now_ms());
        let now = clock::ticks();
        self.executor.borrow_mut().begin_turn(now);
        now
    }

    /// An empty output, with some room as a rule.
    pub(crate) fn spare_output(&self) -> Output {
        self.spare_outputs.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps an output that has been sent, for the next.
    pub(crate) fn put_back(&self, mut output: Output) {
        let mut spare = self.spare_outputs.borrow_mut();
        if spare.len() < SPARE_OUTPUTS {
            output.clear();
            spare.push(output);
        }
    }

    pub(crate) fn count_read(&self, bytes: usize) {
        let executor = self.executor.borrow();
        executor.thread.counters.reads.add(1);
        executor.thread.counters.bytes_in.add(bytes as u64);
    }

    fn count_clients(&self, change: i64) {
        let executor = self.executor.borrow();
        let clients = &executor.thread.counters.clients;
        clients.set(clients.get().saturating_add_signed(change));
    }

    pub(crate) fn count_write(&self, bytes: usize) {
        let executor = self.executor.borrow();
        executor.thread.counters.writes.add(1);
        executor.thread.counters.bytes_out.add(bytes as u64);
    }
}

/// A thread as the acceptor sees it.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    sockets: mpsc::UnboundedSender<(Socket, Arc<Client>)>,
    connections: Arc<AtomicUsize>,
    /// Which it is.
    pub(crate) thread: ThreadId,
}

impl Mailbox {
    /// How many connections the thread has.
    pub(crate) fn load(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Gives a connection to the thread. The queue is bounded by `maxclients`, which the acceptor has checked.
    pub(crate) fn give(&self, socket: Socket, client: Arc<Client>) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        if self.sockets.send((socket, client)).is_err() {
            self.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Starts one I/O thread; it ends when its mailbox is dropped and `stop` says so.
pub(crate) fn spawn(
    state: &'static State,
    shell: Shell,
    nth: usize,
) -> std::io::Result<(Mailbox, std::thread::JoinHandle<()>)> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let runtime = local_runtime()?;
    // Also from within another one, where it could not just be dropped.
    runtime.shutdown_background();
    // Known from the start, so that INFO tells of it as soon as the server is ready.
    let own = state.thread(&name(nth));
    let work = move || {
        let runtime = local_runtime().expect("the same runtime was built a moment ago");
        runtime.block_on(serve_all(state, shell, receiver, connections, own));
    };
    let thread = std::thread::Builder::new().name(name(nth)).stack_size(STACK_BYTES).spawn(work)?;
    let mailbox = Mailbox { sockets: sender, connections: counted, thread: thread.thread().id() };
    Ok((mailbox, thread))
}

/// A runtime for a thread of the server.
pub(crate) fn local_runtime() -> std::io::Result<tokio::runtime::LocalRuntime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_io_events_per_tick(READY_AT_A_TIME)
        .thread_stack_size(STACK_BYTES)
        .build_local(tokio::runtime::LocalOptions::default())
}

/// What an I/O thread is called.
fn name(nth: usize) -> String {
    format!("io-{nth}")
}

async fn serve_all(
    state: &'static State,
    shell: Shell,
    mut sockets: mpsc::UnboundedReceiver<(Socket, Arc<Client>)>,
    connections: Arc<AtomicUsize>,
    thread: Thread,
) {
    let mut stop = shell.stopping();
    let io = Rc::new(IoThread::new(state, shell, thread));
    let home = Arc::<Home>::default();
    tokio::task::spawn_local(answer_bell(Arc::clone(&home)));
    tokio::task::spawn_local(gate::keep(Rc::clone(&io.gate), &state.aof));
    tokio::task::spawn_local(lobby::keep(Rc::clone(&io.lobby)));
    tokio::task::spawn_local(exit::keep(Rc::clone(&io.exit)));
    tokio::task::spawn_local(russet_scripting::tidy(state));
    loop {
        let next = tokio::select! {
            next = sockets.recv() => next,
            _ = stop.wait_for(|stopping| *stopping) => None,
        };
        let Some((socket, client)) = next else { return };
        client.home.get_or_init(|| Arc::clone(&home));
        let connections = Arc::clone(&connections);
        let io = Rc::clone(&io);
        tokio::task::spawn_local(async move {
            io.count_clients(1);
            serve_one(Rc::clone(&io), socket, client).await;
            io.count_clients(-1);
            connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Wakes the connections of this thread that others have left mail for.
async fn answer_bell(home: Arc<Home>) {
    loop {
        std::future::poll_fn(|cx| home.answer(cx)).await;
    }
}

async fn serve_one(io: Rc<IoThread>, socket: Socket, client: Arc<Client>) {
    let state = io.state;
    let id = client.id;
    match socket.into_stream() {
        Ok(stream) => {
            let open = !state.tunables.needs_password.load(Ordering::Relaxed);
            let mut session = Session::new(client, open);
            session.set_authenticated(open);
            session.speak(state.first_protocol());
            if !open {
                state.clients.unauthenticated.fetch_add(1, Ordering::Relaxed);
            }
            Box::new(Connection::new(stream, session)).serve(io).await;
        }
        Err(error) => {
            tracing::warn!(%error, "could not take over a connection");
            state.clients.remove(id);
        }
    }
}
