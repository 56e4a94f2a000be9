//! Listening, and who gets a new connection.
//!
//! One task per socket accepts and gives each connection to the I/O thread that has the fewest, as a rule. When the process runs out of file
//! descriptors, accepting pauses instead of spinning.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use russet_config::{Config, id};
use russet_dispatch::State;
use russet_dispatch::session::{Client, Peer};
use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, TcpKeepalive, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

use crate::crew::Crew;
use crate::runtime::Socket;

/// How long accepting rests when the process has no descriptors left.
const REST: Duration = Duration::from_millis(100);

/// Connections accepted before the thread does its other work.
const ACCEPTS_PER_TURN: u32 = 64;

/// How often the log says so.
const WARN_EVERY_MS: u64 = 1_000;

/// Binds one address, written as in `bind` but without a leading `-`.
pub(crate) fn bind(
    address: &str,
    port: u16,
    backlog: i32,
) -> io::Result<Vec<std::net::TcpListener>> {
    resolve(address, port)?.into_iter().map(|address| listen(address, backlog)).collect()
}

fn resolve(address: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(match address {
        "*" => vec![SocketAddr::from(([0, 0, 0, 0], port))],
        "::*" => vec![SocketAddr::from(([0; 8], port))],
        host => (host, port).to_socket_addrs()?.collect(),
    })
}

/// Whether this machine just does not have the address.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error
            .raw_os_error()
            .is_some_and(|code| code == libc::EAFNOSUPPORT || code == libc::EPROTONOSUPPORT)
}

fn listen(address: SocketAddr, backlog: i32) -> io::Result<std::net::TcpListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Binds a Unix socket: under another name first, so that nobody connects before it has its permissions.
pub(crate) fn bind_unix(
    path: &Path,
    permissions: u32,
    backlog: i32,
) -> io::Result<std::os::unix::net::UnixListener> {
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&socket2::SockAddr::unix(&temporary)?)?;
    let finish = || -> io::Result<()> {
        let mode = if permissions == 0 { 0o700 } else { permissions };
        std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(mode))?;
        socket.listen(backlog)?;
        socket.set_nonblocking(true)?;
        std::fs::rename(&temporary, path)
    };
    finish().inspect_err(|_| drop(std::fs::remove_file(&temporary)))?;
    Ok(socket.into())
}

/// A socket that is accepted from.
#[derive(Debug)]
struct Open {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

/// An address to listen on, and whether the server can do without.
type Wanted = (SocketAddr, bool);

/// The TCP sockets that clients come through. CONFIG SET exchanges them for others.
#[derive(Debug)]
pub(crate) struct Listeners {
    door: Door,
    open: Vec<Open>,
}

impl Listeners {
    pub(crate) const fn new(door: Door) -> Self {
        Self { door, open: Vec::new() }
    }

    /// Accepts from a socket that is bound.
    pub(crate) fn add(&mut self, listener: std::net::TcpListener) {
        let Ok(address) = listener.local_addr() else { return };
        let accepting = tokio::task::spawn_local(self.door.clone().accept_tcp(listener));
        self.open.push(Open { address, accepting });
    }

    /// Listens where `config` says, and nowhere else; if that fails, where it did before.
    pub(crate) async fn exchange(&mut self, config: &Config) -> io::Result<()> {
        let backlog = config.integer(const { id("tcp-backlog") }) as i32;
        let wanted = wanted(config)?;
        let new = match self.bind_missing(&wanted, backlog) {
            Ok(new) => new,
            Err(_) => self.bind_after_closing(&wanted, backlog).await?,
        };
        self.close_others(&wanted).await;
        for listener in new {
            self.add(listener);
        }
        Ok(())
    }

    /// Binds what is wanted and not open already.
    fn bind_missing(
        &self,
        wanted: &[Wanted],
        backlog: i32,
    ) -> io::Result<Vec<std::net::TcpListener>> {
        let is_open = |address: SocketAddr| self.open.iter().any(|open| open.address == address);
        let mut new = Vec::new();
        for (address, optional) in wanted.iter().filter(|(address, _)| !is_open(*address)) {
            match listen(*address, backlog) {
                Ok(listener) => new.push(listener),
                Err(error) if *optional && is_missing(&error) => {}
                Err(error) => {
                    tracing::warn!(
                        "Warning: Could not create server TCP listening socket {address}: {error}"
                    );
                    return Err(error);
                }
            }
        }
        Ok(new)
    }

    /// An address may be taken by a wider one of our own: those go first, and come back if that does not help.
    async fn bind_after_closing(
        &mut self,
        wanted: &[Wanted],
        backlog: i32,
    ) -> io::Result<Vec<std::net::TcpListener>> {
        let closed = self.close_others(wanted).await;
        let bound = self.bind_missing(wanted, backlog);
        if bound.is_err() {
            for address in closed {
                match listen(address, backlog) {
                    Ok(listener) => self.add(listener),
                    Err(error) => tracing::error!(%address, %error, "could not listen again"),
                }
            }
        }
        bound
    }

    /// Closes all: who connects from now on is refused.
    pub(crate) async fn close(&mut self) {
        self.close_others(&[]).await;
    }

    /// Closes what is not wanted, and answers what that was.
    async fn close_others(&mut self, wanted: &[Wanted]) -> Vec<SocketAddr> {
        let is_wanted =
            |open: &mut Open| !wanted.iter().any(|(address, _)| *address == open.address);
        let others: Vec<Open> = self.open.extract_if(.., is_wanted).collect();
        let mut closed = Vec::new();
        for Open { address, accepting } in others {
            accepting.abort();
            // The socket is closed when the task is gone; that it was cut short is what was asked.
            drop(accepting.await);
            closed.push(address);
        }
        closed
    }
}

/// Where a configuration wants to listen.
fn wanted(config: &Config) -> io::Result<Vec<Wanted>> {
    let port = config.integer(const { id("port") }) as u16;
    let mut wanted = Vec::new();
    for address in config.addresses().iter().filter(|_| port != 0) {
        let bare = address.strip_prefix('-').unwrap_or(address);
        match resolve(bare, port) {
            Ok(addresses) => wanted.extend(addresses.into_iter().map(|a| (a, bare != address))),
            Err(error) if bare != address && is_missing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(wanted)
}

/// Where connections go, and how many there may be.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    state: &'static State,
    crew: Rc<Crew>,
    /// When the log last said that accepting rests, in milliseconds since 1970.
    warned_ms: Arc<AtomicU64>,
}

impl Door {
    pub(crate) fn new(state: &'static State, crew: Rc<Crew>) -> Self {
        Self { state, crew, warned_ms: Arc::default() }
    }

    /// Accepts for ever. The socket is watched as a plain descriptor, so that what it gives is registered only once: with the
    /// thread that serves it.
    pub(crate) async fn accept_tcp(self, listener: std::net::TcpListener) {
        #[expect(
            deprecated,
            reason = "a listener owns its descriptor; the newer form leaves that to the caller, and is unsafe"
        )]
        let listener = match AsyncFd::with_interest(listener, Interest::READABLE) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "could not listen"),
        };
        let local =
            listener.get_ref().local_addr().ok().filter(|local| !local.ip().is_unspecified());
        let mut keepalive = None;
        for nth in 1_u32.. {
            self.renew_options(listener.get_ref(), &mut keepalive);
            let Ok(mut ready) = listener.readable().await else { return };
            match ready.try_io(|listener| listener.get_ref().accept()) {
                Ok(Ok((socket, peer))) => self.welcome_tcp(socket, peer, local),
                Ok(Err(error)) if is_over_with_its_connection(&error) => {}
                Ok(Err(error)) => self.rest(&error).await,
                Err(_) => {}
            }
            if nth.is_multiple_of(ACCEPTS_PER_TURN) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Options of the listening socket, which those that it gives inherit. `keepalive` is what they were made for.
    fn renew_options(&self, listener: &std::net::TcpListener, keepalive: &mut Option<u64>) {
        let wanted = self.state.tunables.keepalive.load(Ordering::Relaxed);
        if keepalive.replace(wanted) == Some(wanted) {
            return;
        }
        // A connection without these options is slower to notice things, no worse.
        let socket = SockRef::from(listener);
        drop(socket.set_tcp_nodelay(true));
        drop(socket.set_keepalive(wanted > 0));
        if wanted > 0 {
            let time = Duration::from_secs(wanted);
            let interval = (time / 3).max(Duration::from_secs(1));
            drop(socket.set_tcp_keepalive(
                &TcpKeepalive::new().with_time(time).with_interval(interval).with_retries(3),
            ));
        }
    }

    /// Accepts for ever.
    pub(crate) async fn accept_unix(
        self,
        listener: std::os::unix::net::UnixListener,
        path: String,
    ) {
        let listener = match tokio::net::UnixListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "could not listen"),
        };
        loop {
            match listener.accept().await {
                Ok((socket, _)) => {
                    let peer = Peer::Unix(path.clone());
                    if let Ok(socket) = socket.into_std() {
                        self.welcome(Socket::Unix(socket), peer);
                    }
                }
                Err(error) if is_over_with_its_connection(&error) => {}
                Err(error) => self.rest(&error).await,
            }
        }
    }

    /// Waits for better times, and says so once in a while.
    async fn rest(&self, error: &io::Error) {
        let (now, warned) = (self.state.clock.now(), self.warned_ms.load(Ordering::Relaxed));
        if now.abs_diff(warned) >= WARN_EVERY_MS {
            self.warned_ms.store(now, Ordering::Relaxed);
            tracing::warn!(%error, "accepting rests for a moment");
        }
        tokio::time::sleep(REST).await;
    }

    fn welcome_tcp(
        &self,
        socket: std::net::TcpStream,
        peer: SocketAddr,
        local: Option<SocketAddr>,
    ) {
        let Some(local) = local.or_else(|| socket.local_addr().ok()) else { return };
        if socket.set_nonblocking(true).is_ok() {
            self.welcome(Socket::Tcp(socket), Peer::Tcp(peer, local));
        }
    }

    fn welcome(&self, socket: Socket, peer: Peer) {
        let state = self.state;
        if let Some(refusal) = self.refusal(&peer) {
            state.stats.refused();
            return refuse(&socket, refusal);
        }
        let fd = match &socket {
            Socket::Tcp(socket) => socket.as_raw_fd(),
            Socket::Unix(socket) => socket.as_raw_fd(),
        };
        let client = Arc::new(Client::new(state.clients.next_id(), peer, fd, state.clock.now()));
        state.clients.add(&client);
        state.stats.connected();
        if let Some(thread) = self.crew.taker() {
            thread.give(socket, client);
        }
    }

    /// Why a connection is not taken, as the line that it reads.
    fn refusal(&self, peer: &Peer) -> Option<&'static str> {
        const PROTECTED: &str = "-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default user. In this mode connections are only accepted from the loopback interface. If you want to connect from external computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from the same host the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do so. Use CONFIG REWRITE to make this change permanent. 2) Alternatively you can just disable the protected mode by editing the Redis configuration file, and setting the protected mode option to 'no', and then restarting the server. 3) If you started the server manually just for testing, restart it with the '--protected-mode no' option. 4) Setup a an authentication password for the default user. NOTE: You only need to do one of the above things in order for the server to start accepting connections from the outside.\r\n";
        let state = self.state;
        let tunables = &state.tunables;
        let needs_password = tunables.needs_password.load(Ordering::Relaxed);
        if tunables.is_protected.load(Ordering::Relaxed) && !needs_password && !peer.is_local() {
            return Some(PROTECTED);
        }
        let (count, max) = (state.clients.count(), tunables.clients_max.load(Ordering::Relaxed));
        // A small `maxclients` was set for its own sake, by a test as a rule.
        let reserved = tunables.clients_reserved.load(Ordering::Relaxed).min(max / 100);
        let spare = if peer.is_local() { reserved } else { 0 };
        let unknown = state.clients.unauthenticated.load(Ordering::Relaxed);
        let unknown_max = max * tunables.unauthenticated_percent.load(Ordering::Relaxed) / 100;
        let too_many_unknown = needs_password && unknown >= unknown_max.max(1) && !peer.is_local();
        (count >= max + spare || too_many_unknown)
            .then_some("-ERR max number of clients reached\r\n")
    }
}

/// Whether an error of accepting concerns one connection only, which is gone already.
fn is_over_with_its_connection(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted | HostUnreachable | NetworkUnreachable
    )
}

/// Says why, if the socket takes it at once, and closes.
fn refuse(socket: &Socket, line: &str) {
    use std::io::Write;
    match socket {
        Socket::Tcp(socket) => drop((&*socket).write(line.as_bytes())),
        Socket::Unix(socket) => drop((&*socket).write(line.as_bytes())),
    }
}
