//! The shell: threads, sockets, timers, signals.
//!
//! ```text
//! main thread: accepts, timers, signals, what the core asks for
//! io-0 … io-n: a tokio current-thread runtime each, with the connections given to it; commands run where their bytes arrive
//! trash:       frees large values
//! saver:       saves
//! defrag:      moves values together while memory is filled only in part; comes and goes
//! aof:         syncs the append-only file, and writes what nobody waits for
//! ```
//!
//! [`start`] makes a server in this process: what the binary, the tests and the benches call.

#![deny(unsafe_code)]

#[expect(
    unsafe_code,
    reason = "the allocator finds its configuration by a symbol's name, and is told and asked things by bare calls"
)]
mod allocator;
pub mod cli;
pub mod clock;
mod connection;
mod crew;
mod cron;
pub mod daemon;
mod defrag;
mod exit;
mod gate;
mod gauges;
pub mod host;
mod limits;
mod listener;
mod lobby;
pub mod log;
pub mod metrics;
mod reconfigure;
mod runtime;
mod saving;
mod stream;
mod tasks;
mod unbuilt;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use russet_config::{Config, id};
use russet_dispatch::state::{Identity, Tools, rule};
use russet_dispatch::{Command, State, Table};
use russet_engine::{Keyspace, Seed};
use russet_persist::Saver;
use russet_persist::aof::Log;
use russet_persist::vfs::Vfs;

use crate::crew::Crew;
use crate::listener::{Door, Listeners};
pub use crate::saving::promise;
use crate::tasks::{Requests, Shell};

/// Russet's own version.
pub const VERSION: &str = russet_config::SERVER_VERSION;

/// What a server is started with beyond its configuration.
#[derive(Clone, Debug)]
pub struct Options {
    /// Listen on a free port of 127.0.0.1 instead of the configured ones: for tests.
    pub on_free_port: bool,
    /// The configuration file, or empty.
    pub config_file: String,
    /// The files.
    pub vfs: Arc<dyn Vfs>,
    /// SIGTERM and SIGINT end the server.
    pub with_signals: bool,
}

impl Default for Options {
    fn default() -> Self {
        let vfs = Arc::new(russet_persist::file::Files);
        Self { on_free_port: false, config_file: String::new(), vfs, with_signals: false }
    }
}

/// Why a server did not start. Displayed in one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A TCP address could not be bound.
    #[error("Failed listening on port {port} (tcp), aborting: could not bind {address}: {error}")]
    Bind {
        /// The address.
        address: String,
        /// The port.
        port: u16,
        /// Why.
        error: io::Error,
    },
    /// The Unix socket could not be made.
    #[error("Failed opening Unix socket: bind: {path}: {error}")]
    Unix {
        /// Its path.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The port for metrics could not be bound.
    #[error("Failed listening on port {port} for metrics, aborting: {error}")]
    Metrics {
        /// The port.
        port: u16,
        /// Why.
        error: io::Error,
    },
    /// The process may not open enough files.
    #[error(
        "Your current 'ulimit -n' is not enough for the server to start. Please increase your open file limit. Exiting."
    )]
    Files,
    /// The data that is there cannot be loaded; it is left as it is.
    #[error("Fatal error loading the DB, check server logs. Exiting. {0}")]
    Load(russet_persist::saver::StartError),
    /// A line of the configuration asks for what is not there.
    #[error("{0}")]
    Config(russet_config::FileError),
    /// The system refused threads, dice or timers.
    #[error("could not start: {0}")]
    System(#[from] io::Error),
}

/// A running server.
#[derive(Debug)]
pub struct Handle {
    /// What it listens on.
    pub addresses: Vec<SocketAddr>,
    /// What its sessions share.
    pub state: &'static State,
    shell: Shell,
    main: Option<JoinHandle<()>>,
}

impl Handle {
    /// The first address.
    pub fn address(&self) -> SocketAddr {
        *self.addresses.first().expect("a server listens on something")
    }

    /// Stops the server and waits until it has.
    pub fn stop(mut self) {
        self.shell.stop();
        self.join();
    }

    /// Waits until the server stops.
    pub fn join(&mut self) {
        if let Some(main) = self.main.take()
            && main.join().is_err()
        {
            tracing::error!("the main thread panicked");
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shell.stop();
        self.join();
    }
}

/// The command table: one per process.
pub fn table() -> &'static Table {
    static TABLE: OnceLock<&'static Table> = OnceLock::new();
    TABLE.get_or_init(|| Table::leak(&families()))
}

fn families() -> Vec<&'static [Command]> {
    russet_commands::FAMILIES.iter().chain(russet_scripting::FAMILIES).copied().collect()
}

/// The table of a server: with its own names if `rename-command` says so.
fn table_of(config: &Config) -> Result<&'static Table, StartError> {
    let lines: Vec<_> =
        config.directives().iter().filter(|line| line.words[0] == "rename-command").collect();
    if lines.is_empty() {
        return Ok(table());
    }
    let renames: Vec<_> =
        lines.iter().map(|line| (line.words[1].as_str(), line.words[2].as_str())).collect();
    Table::leak_renamed(&families(), &renames)
        .map_err(|(nth, reason)| StartError::Config(lines[nth].error(reason)))
}

/// A server without threads, sockets or data, for a log to be done again in: with more databases than any log has.
///
/// # Panics
/// If the system gives no random numbers.
pub fn state_for_reading() -> &'static State {
    const DATABASES: &str = "1000000";
    let mut config = Config::new().with_cores(cli::cores());
    config.assign(const { id("databases") }, DATABASES).expect("a value that the parameter takes");
    let state = make_state(config, &Options::default(), table()).expect("random numbers");
    empty_trash(state);
    state
}

/// Starts a server: everything is bound before anything runs, so that a failure leaves nothing behind.
pub fn start(config: Config, options: Options) -> Result<Handle, StartError> {
    let mut config = config;
    if !limits::fit(&mut config) {
        return Err(StartError::Files);
    }
    unbuilt::refuse(&config).map_err(StartError::Config)?;
    let table = table_of(&config)?;
    let sockets = Sockets::bind(&config, &options)?;
    let addresses = sockets.addresses();
    let state = make_state(config, &options, table)?;
    let log = Arc::new(Log::new(state, Arc::clone(&options.vfs)));
    let (shell, requests) = Shell::new(log);
    let (ready, is_ready) = std::sync::mpsc::channel();
    let main = {
        let shell = shell.clone();
        let work = move || run_main(state, shell, requests, sockets, options, &ready);
        std::thread::Builder::new().name("main".to_owned()).spawn(work)?
    };
    let handle = Handle { addresses, state, shell, main: Some(main) };
    is_ready.recv().map_err(|_| io::Error::other("the main thread ended at once"))??;
    Ok(handle)
}

/// Bound sockets that nobody accepts from yet.
struct Sockets {
    tcp: Vec<std::net::TcpListener>,
    unix: Option<(std::os::unix::net::UnixListener, String)>,
    metrics: Vec<std::net::TcpListener>,
}

impl Sockets {
    fn bind(config: &Config, options: &Options) -> Result<Self, StartError> {
        let backlog = config.integer(const { id("tcp-backlog") }) as i32;
        let port = config.integer(const { id("port") }) as u16;
        let tcp = if options.on_free_port {
            let address = "127.0.0.1".to_owned();
            listener::bind(&address, 0, backlog).map_err(|error| StartError::Bind {
                address,
                port: 0,
                error,
            })?
        } else if port == 0 {
            Vec::new()
        } else {
            Self::bind_tcp(config.addresses(), port, backlog)?
        };
        let path = config.text(const { id("unixsocket") }).to_owned();
        let permissions = config.integer(const { id("unixsocketperm") }) as u32;
        let unix = if path.is_empty() {
            None
        } else {
            let bound = listener::bind_unix(Path::new(&path), permissions, backlog);
            Some((bound.map_err(|error| StartError::Unix { path: path.clone(), error })?, path))
        };
        let port = config.integer(const { id("metrics-port") }) as u16;
        let metrics = metrics::bind(config).map_err(|error| StartError::Metrics { port, error })?;
        Ok(Self { tcp, unix, metrics })
    }

    fn bind_tcp(
        addresses: &[String],
        port: u16,
        backlog: i32,
    ) -> Result<Vec<std::net::TcpListener>, StartError> {
        let mut tcp = Vec::new();
        for address in addresses {
            let bare = address.strip_prefix('-').unwrap_or(address);
            match listener::bind(bare, port, backlog) {
                Ok(bound) => tcp.extend(bound),
                Err(error) if bare != address && listener::is_missing(&error) => {}
                Err(error) => {
                    tracing::warn!(
                        "Warning: Could not create server TCP listening socket {bare}:{port}: {error}"
                    );
                    return Err(StartError::Bind { address: address.clone(), port, error });
                }
            }
        }
        Ok(tcp)
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.tcp.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }
}

/// A number that nobody can guess, by the system call itself: in an image that holds nothing but this binary there is no
/// `/dev/random` to fall back on.
fn dice() -> io::Result<u64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_le_bytes(bytes))
}

/// Where the control group bounds the memory of the process and the configuration does not bound that of the data, data may take three
/// quarters: the rest is for pages that are filled in part, and for clients. Beyond the group's bound the system would end the process.
fn within(mut config: Config, group_bytes: Option<u64>) -> Config {
    let maxmemory = const { id("maxmemory") };
    let Some(limit) = group_bytes.filter(|_| config.is_default(maxmemory)) else { return config };
    let share = limit / 4 * 3;
    match config.assign(maxmemory, &share.to_string()) {
        Ok(()) => tracing::warn!(
            "maxmemory is not set, and the control group allows {limit} bytes: data may take {share}, or what CONFIG SET maxmemory says"
        ),
        Err(error) => tracing::warn!("maxmemory stays without a bound: {error}"),
    }
    config
}

/// The state lives as long as the process: locks and rows are held by threads that outlive every scope.
fn make_state(
    config: Config,
    options: &Options,
    table: &'static Table,
) -> io::Result<&'static State> {
    let threads = config.threads(const { id("io-threads") });
    let databases = config.integer(const { id("databases") }) as u32;
    let keyspace = Keyspace::new(Keyspace::shards_for(threads), Seed(dice()?, dice()?));
    let run_id = format!("{:016x}{:016x}{:08x}", dice()?, dice()?, dice()? as u32);
    let executable = std::env::current_exe().unwrap_or_default().to_string_lossy().into_owned();
    let identity = Identity {
        run_id,
        pid: std::process::id(),
        started_ms: clock::now_ms(),
        port: config.integer(const { id("port") }) as u16,
        executable,
        config_file: options.config_file.clone(),
        os: cli::operating_system(),
        io_threads: threads,
        allocator: gauges::allocator_name(),
    };
    let config = within(config, gauges::group_memory());
    let state = State::new(keyspace, table, config, identity, dice()?, databases);
    let state: &'static State = Box::leak(Box::new(state));
    state.clock.refine(clock::now_us);
    state.clock.measure_by(clock::ticks);
    gauges::measure(&state.gauges);
    state
        .gauges
        .used_memory_startup
        .store(state.gauges.used_memory.load(Ordering::Relaxed), Ordering::Relaxed);
    state.gauges.system_memory.store(gauges::system_memory(), Ordering::Relaxed);
    // What clients may take is a share of that.
    state.judge_memory();
    // Set once, right here.
    let _ = state.tools.set(Tools {
        probe: gauges::measure,
        purge: allocator::purge,
        allocator_report: gauges::allocator_report,
        allocator_number: allocator::number,
        let_go: allocator::let_go,
        add_library: |state, code, replaces| {
            russet_scripting::library::add(state, code, replaces, false).map(drop)
        },
    });
    Ok(state)
}

fn run_main(
    state: &'static State,
    shell: Shell,
    requests: Requests,
    sockets: Sockets,
    options: Options,
    ready: &std::sync::mpsc::Sender<Result<(), StartError>>,
) {
    let (runtime, crew) = match (runtime::local_runtime(), Crew::start(state, shell.clone())) {
        (Ok(runtime), Ok(crew)) => (runtime, Rc::new(crew)),
        (Err(error), _) | (_, Err(error)) => {
            shell.stop();
            return drop(ready.send(Err(error.into())));
        }
    };
    empty_trash(state);
    let log = Arc::clone(&shell.log);
    let logging = match saving::spawn_log(&log) {
        Ok(thread) => thread,
        Err(error) => {
            shell.stop();
            return drop(ready.send(Err(error.into())));
        }
    };
    let saver = Saver::new(state, Arc::clone(&options.vfs), Arc::clone(&log));
    let saving = saving::spawn(&saver);
    state.set_rule(rule::LOADING, true);
    let unix_path = sockets.unix.as_ref().map(|(_, path)| path.clone());
    runtime.block_on(async {
        let mut metrics = metrics::Door::new(state);
        for listener in sockets.metrics {
            if let Err(error) = metrics.open(listener) {
                tracing::error!(%error, "metrics will not be served");
            }
        }
        let listeners = accept(Door::new(state, Rc::clone(&crew)), sockets.tcp, sockets.unix);
        tokio::task::spawn_local(cron::run(state));
        let doors = tasks::Doors { clients: listeners, metrics };
        let means = tasks::Means::new(state, shell.clone(), Arc::clone(&options.vfs), doors);
        tokio::task::spawn_local(tasks::carry_out(Rc::clone(&means), requests));
        if options.with_signals {
            tokio::task::spawn_local(saving::obey_signals(Rc::clone(&means)));
        }
        tracing::info!("Server initialized");
        let loaded = saving::load(&saver, shell.stopping()).await;
        if loaded.is_err() {
            shell.stop();
        } else {
            state.set_rule(rule::LOADING, false);
        }
        drop(ready.send(loaded));
        // The sender lives in `shell`, so this only ends when somebody says stop.
        drop(shell.stopping().wait_for(|stopping| *stopping).await);
    });
    state.scripts.is_closing.store(true, Ordering::Release);
    drop(runtime);
    saving::end(state, saving);
    crew.join();
    saving::end_log(&log, logging);
    if let Some(path) = unix_path {
        tracing::info!("Removing the unix socket file.");
        // It may have been removed already.
        drop(options.vfs.remove(Path::new(&path)));
    }
}

fn accept(
    door: Door,
    tcp: Vec<std::net::TcpListener>,
    unix: Option<(std::os::unix::net::UnixListener, String)>,
) -> Listeners {
    if let Some((listener, path)) = unix {
        tokio::task::spawn_local(door.clone().accept_unix(listener, path));
    }
    let mut listeners = Listeners::new(door);
    for listener in tcp {
        listeners.add(listener);
    }
    listeners
}

/// A thread that frees large values; it has nothing to save and ends with the process.
fn empty_trash(state: &'static State) {
    let trash = Arc::clone(state.keyspace.trash());
    let work = move || {
        loop {
            trash.empty_once();
        }
    };
    if let Err(error) = std::thread::Builder::new().name("trash".to_owned()).spawn(work) {
        tracing::error!(%error, "no thread to free large values: they will pile up");
    }
}
