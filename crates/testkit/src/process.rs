//! A real server in a process of its own: ours or a reference, to be killed, restarted and weighed.
//!
//! The server gets a free loopback port and a directory of its own; what it prints goes to files there.
//! The directory outlives a crash, so [`Process::restart`] continues from what is on disk. Dropping the
//! handle kills the server and removes the directory.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::{Client, Reply};

/// How long a server may take until it serves, and until it ends.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks at a server that is starting or ending.
const PAUSE: Duration = Duration::from_millis(5);

/// Ports tried when another process takes the free one first.
const PORTS_TRIED_MAX: usize = 3;

/// How to start a server.
#[derive(Clone, Debug)]
pub struct Setup {
    program: PathBuf,
    args: Vec<OsString>,
    config: Option<(String, String)>,
}

impl Setup {
    /// A server program that takes `--port`, `--bind` and `--dir`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), args: Vec::new(), config: None }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Gives the server a file of this name and text as its first argument.
    #[must_use]
    pub fn config(mut self, name: &str, text: &str) -> Self {
        self.config = Some((name.into(), text.into()));
        self
    }

    /// Starts the server and waits until it serves.
    pub fn start(self) -> io::Result<Process> {
        let dir = tempfile::tempdir()?;
        let port = free_port()?;
        let child = self.spawn(dir.path(), port)?;
        let mut process = Process { setup: self, dir, port, child };
        for _ in 1..PORTS_TRIED_MAX {
            if process.await_ready().is_ok() {
                return Ok(process);
            }
            process.port = free_port()?;
            process.child = process.setup.spawn(process.dir.path(), process.port)?;
        }
        process.await_ready()?;
        Ok(process)
    }

    fn spawn(&self, dir: &Path, port: u16) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        if let Some((name, text)) = &self.config {
            fs::write(dir.join(name), text)?;
            command.arg(dir.join(name));
        }
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(dir);
        command.args(&self.args).current_dir(dir).stdin(Stdio::null());
        let append = |name| File::options().create(true).append(true).open(dir.join(name));
        command.stdout(append(STDOUT)?).stderr(append(STDERR)?).spawn()
    }
}

/// Where a server's output goes, within its directory.
const STDOUT: &str = "stdout.txt";
const STDERR: &str = "stderr.txt";

/// A running server, or what is left of it.
#[derive(Debug)]
pub struct Process {
    setup: Setup,
    dir: TempDir,
    port: u16,
    child: Child,
}

impl Process {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// A new connection to it.
    pub fn client(&self) -> io::Result<Client> {
        Client::connect(self.addr())
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its working directory, where its data files are.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What it has printed to standard output, over all restarts.
    pub fn stdout(&self) -> String {
        read_lossy(&self.dir.path().join(STDOUT))
    }

    /// What it has printed to standard error, over all restarts.
    pub fn stderr(&self) -> String {
        read_lossy(&self.dir.path().join(STDERR))
    }

    /// Its resident memory, as the kernel counts it.
    pub fn rss_bytes(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        let kilobytes: Option<u64> = number.and_then(|number| number.parse().ok());
        kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL: it ends at once and says nothing.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    /// SIGTERM, and waits for its orderly end.
    pub fn terminate(&mut self) -> io::Result<ExitStatus> {
        self.signal("TERM")?;
        self.wait()
    }

    /// Sends a signal by its name without SIG.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        let kill = Command::new("kill").args(["-s", name, &self.id().to_string()]).status()?;
        if kill.success() { Ok(()) } else { Err(io::Error::other("kill did not reach the server")) }
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            pause();
        }
        Err(ErrorKind::TimedOut.into())
    }

    /// Starts it again on the same port and directory, after killing it if it still runs.
    pub fn restart(&mut self) -> io::Result<()> {
        if self.is_running() {
            self.kill()?;
        }
        self.child = self.setup.spawn(self.dir.path(), self.port)?;
        self.await_ready()
    }

    /// Waits until it answers PING with anything but LOADING; an error if it ends instead.
    fn await_ready(&mut self) -> io::Result<()> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                let (stdout, stderr) = (self.stdout(), self.stderr());
                return Err(io::Error::other(format!("server ended, {status}: {stdout}{stderr}")));
            }
            if self.client().is_ok_and(|mut client| serves(&mut client)) {
                return Ok(());
            }
            pause();
        }
        Err(ErrorKind::TimedOut.into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended already, which is all that is wanted.
        drop(self.kill());
    }
}

fn serves(client: &mut Client) -> bool {
    match client.try_cmd(&["PING"]) {
        Ok(Reply::Error(text)) => !text.starts_with(b"LOADING"),
        answer => answer.is_ok(),
    }
}

/// Ports that the system gives nobody who does not ask for them: those it chooses from begin at 32768.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// A port nobody listens on at the moment. No two calls of a process have the same one.
pub fn free_port() -> io::Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes that run at the same time begin in different places.
    let begin = std::process::id().wrapping_mul(641);
    let mut ports = std::iter::repeat_with(|| {
        let nth = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        PORTS.start + (nth % u32::from(PORTS.end - PORTS.start)) as u16
    });
    let free = ports
        .by_ref()
        .take(PORTS.len())
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.ok_or_else(|| ErrorKind::AddrInUse.into())
}

fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

#[expect(clippy::disallowed_methods, reason = "a test's own thread waits for another process")]
fn pause() {
    std::thread::sleep(PAUSE);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differential::installed;

    fn valkey() -> Option<Setup> {
        installed("valkey-server").then(|| Setup::new("valkey-server"))
    }

    #[test]
    fn what_was_fsynced_survives_a_kill() {
        let Some(setup) = valkey() else { return };
        let setup = setup.args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
        let mut server = setup.start().unwrap();
        assert_eq!(server.client().unwrap().cmd(&["SET", "k", "v"]).to_string(), "OK");
        assert!(server.rss_bytes().unwrap() > 1_000_000);
        assert!(!server.kill().unwrap().success());
        assert!(!server.is_running());
        server.restart().unwrap();
        assert_eq!(server.client().unwrap().cmd(&["GET", "k"]).to_string(), "v");
    }

    #[test]
    fn a_terminated_server_ends_in_order() {
        let Some(setup) = valkey() else { return };
        let mut server = setup.config("test.conf", "save \"\"\nmaxclients 77\n").start().unwrap();
        let limit = server.client().unwrap().cmd(&["CONFIG", "GET", "maxclients"]);
        assert_eq!(limit.to_string(), "[maxclients, 77]");
        assert!(server.terminate().unwrap().success());
        assert!(server.stdout().contains("bye bye"));
    }

    #[test]
    fn a_server_that_does_not_start_says_why() {
        let Some(setup) = valkey() else { return };
        let error = setup.args(["--no-such-option", "1"]).start().unwrap_err();
        assert!(error.to_string().contains("no-such-option"), "{error}");
    }
}
