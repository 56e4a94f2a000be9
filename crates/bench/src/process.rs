//! Servers and load generators as child processes.
//!
//! Each runs under `taskset`, so that servers share one core and the load generator has another.
//! A server dies with its handle: when the handle is dropped, also by a panic, and, where
//! `setpriv` is installed, when this process is killed.

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::usage;

/// A server that does not answer within this has failed to start, or to load.
const START_MAX: Duration = Duration::from_mins(2);

/// Between two attempts to connect.
const START_PAUSE: Duration = Duration::from_millis(20);

/// What every server is started with, besides its port, where nothing else is said: nothing written, one I/O thread.
const ARGUMENTS: &[&str] =
    &["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--io-threads", "1"];

/// A running server, killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts the program on a free port and on one core, or several as `taskset` lists them; returns when it answers.
    pub fn start(program: &Path, cores: impl Display) -> io::Result<Self> {
        Self::start_in(&env::temp_dir(), program, cores, &[])
    }

    /// As [`Server::start`], in a directory and with more arguments. Returns when it serves: all data that it has found there is loaded
    /// then.
    pub fn start_in(
        directory: &Path,
        program: &Path,
        cores: impl Display,
        arguments: &[&str],
    ) -> io::Result<Self> {
        let address = free_address()?;
        let mut command = pinned(cores, program);
        command.arg("--port").arg(address.port().to_string()).args(ARGUMENTS).args(arguments);
        command.current_dir(directory);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut server = Self { child: command.spawn()?, address };
        server.wait_until_it_answers().map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", program.display()))
        })?;
        Ok(server)
    }

    /// CPU time of all its threads so far.
    pub fn cpu(&self) -> io::Result<Duration> {
        usage::cpu(self.child.id())
    }

    /// Its resident memory.
    pub fn rss_bytes(&self) -> io::Result<u64> {
        usage::rss_bytes(self.child.id())
    }

    /// Resident memory of it and of its children: a page that they share counts once.
    pub fn memory_bytes(&self) -> io::Result<u64> {
        usage::family_bytes(self.child.id())
    }

    fn wait_until_it_answers(&mut self) -> io::Result<()> {
        let give_up_at = Instant::now() + START_MAX;
        while !answers(self.address) {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("ended before it answered ({status})")));
            }
            if Instant::now() > give_up_at {
                return Err(io::Error::other("did not answer in time"));
            }
            pause(START_PAUSE);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Either may fail only because the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets time pass.
#[expect(clippy::disallowed_methods, reason = "no thread of a server is held up here")]
pub fn pause(time: Duration) {
    thread::sleep(time);
}

/// Keeps this thread, and those that it starts from here on, on one core.
pub fn stay_on(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}

/// A command that runs the program on one core, or on several, and ends when this process does.
pub fn pinned(cores: impl Display, program: &Path) -> Command {
    let cores = cores.to_string();
    let mut command = if find(Path::new("setpriv")).is_some() {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "taskset"]);
        command
    } else {
        Command::new("taskset")
    };
    command.args(["-c", &cores]).arg(program);
    command
}

/// The absolute path of a program: as given if it has a slash, else from `PATH`.
pub fn find(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.canonicalize().ok().filter(|path| path.is_file());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Those of some programs that are there, by their absolute paths.
pub fn find_all(programs: &[PathBuf]) -> Vec<PathBuf> {
    programs.iter().filter_map(|program| find(program)).collect()
}

/// The head of a table with a column for each program behind others.
pub fn head(first: &[&str], programs: &[PathBuf]) -> String {
    let name = |program: &PathBuf| program.file_name().unwrap_or_default().display().to_string();
    let names: Vec<String> = programs.iter().map(name).collect();
    let lines = " --- |".repeat(first.len()) + &" ---: |".repeat(names.len());
    format!("| {} | {} |\n|{lines}\n", first.join(" | "), names.join(" | "))
}

/// What the program says of itself: the part after `v=`, if there is one, else the first line.
pub fn version(program: &Path) -> io::Result<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output()?;
    Ok(version_in(&String::from_utf8_lossy(&output.stdout)))
}

fn version_in(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim();
    let word = line.split_whitespace().find_map(|word| word.strip_prefix("v="));
    word.unwrap_or(line).to_owned()
}

/// A port that was free a moment ago.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn answers(address: SocketAddr) -> bool {
    let ping = || -> io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
        let mut reply = [0; 7];
        stream.read_exact(&mut reply)?;
        Ok(&reply == b"+PONG\r\n")
    };
    ping().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_a_shell_finds_them() {
        assert!(find(Path::new("sh")).is_some());
        assert!(find(Path::new("/bin/sh")).is_some());
        assert_eq!(find(Path::new("no-such-program")), None);
        assert_eq!(find(Path::new("./no-such-program")), None);
    }

    #[test]
    fn the_version_is_the_short_one() {
        let valkey = "Valkey server v=8.0.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64";
        assert_eq!(version_in(valkey), "8.0.1");
        assert_eq!(version_in("russet 0.1.0\nmore"), "russet 0.1.0");
    }

    #[test]
    fn a_program_that_ends_at_once_is_an_error_that_names_it() {
        let error = Server::start(Path::new("/bin/false"), 0).unwrap_err();
        assert!(error.to_string().starts_with("/bin/false: ended before"), "{error}");
    }
}
