//! What the server tells the system that it runs on: that it is ready, and how much it minds being ended for want of memory.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use parking_lot::Mutex;
use russet_config::{Config, id};
use rustix::process::{Signal, getpid, kill_process};

/// Where the kernel keeps the score of this process: from -1000, never ended, to 1000, ended first.
const SCORE: &str = "/proc/self/oom_score_adj";

/// The score that the process began with, while it has another.
static SCORE_BEFORE: Mutex<Option<i32>> = Mutex::new(None);

/// Takes the score that the configuration says, or the one from before if it says none any more.
///
/// # Errors
///
/// What the kernel says, which a lower score than that of the start needs to permit.
pub fn adjust_score(config: &Config) -> io::Result<()> {
    let mut before = SCORE_BEFORE.lock();
    let score = match config.choice(const { id("oom-score-adj") }) {
        "no" => match *before {
            Some(score) => score,
            None => return Ok(()),
        },
        how => {
            let began_with = match *before {
                Some(score) => score,
                None => *before.insert(current_score()?),
            };
            let [own, ..] = config.oom_scores();
            if how == "absolute" { own } else { own.saturating_add(began_with) }
        }
    };
    std::fs::write(SCORE, score.clamp(-1000, 1000).to_string())
}

fn current_score() -> io::Result<i32> {
    let text = std::fs::read_to_string(SCORE)?;
    text.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Tells the supervisor that `supervised` names that the server is ready.
///
/// # Errors
///
/// That it cannot be reached, or is not there.
pub fn tell_ready(config: &Config) -> io::Result<()> {
    const SYSTEMD: &str = "NOTIFY_SOCKET";
    const UPSTART: &str = "UPSTART_JOB";
    let is_there = |name| std::env::var_os(name).is_some();
    match config.choice(const { id("supervised") }) {
        "systemd" => notify(SYSTEMD),
        "upstart" => stop_for_upstart(),
        "auto" if is_there(UPSTART) => stop_for_upstart(),
        "auto" if is_there(SYSTEMD) => notify(SYSTEMD),
        _ => Ok(()),
    }
}

/// One datagram to the socket that a variable of the environment names.
fn notify(variable: &str) -> io::Result<()> {
    let name = std::env::var_os(variable)
        .ok_or_else(|| io::Error::other(format!("{variable} is not set")))?;
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(&name)?,
    };
    let text = b"STATUS=Ready to accept connections\nREADY=1\n";
    UnixDatagram::unbound()?.send_to_addr(text, &address).map(drop)
}

/// Upstart takes a process for ready that has stopped itself, and lets it go on.
fn stop_for_upstart() -> io::Result<()> {
    Ok(kill_process(getpid(), Signal::STOP)?)
}
