//! `daemonize yes`: the program starts itself once more, without a terminal, and leaves.
//!
//! There is no fork: a process with threads cannot be copied safely, and one that has just begun has nothing worth copying.

use std::ffi::OsString;
use std::io;
use std::process::{Command, Stdio};

/// Tells the second process that it is the second.
const MARK: &str = "RUSSET_IN_BACKGROUND";

/// Whether this process is the one in the background. If so, it leaves the terminal's session.
pub fn is_in_background() -> bool {
    let is_it = std::env::var_os(MARK).is_some();
    if is_it {
        // It fails for the leader of a session, who has left already.
        let _ = rustix::process::setsid();
    }
    is_it
}

/// Starts the same program with the same words in the background.
pub fn start_again() -> io::Result<()> {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if words.iter().any(|word| word == "-") {
        return Err(io::Error::other("a configuration on standard input cannot be read twice"));
    }
    let mut again = Command::new(std::env::current_exe()?);
    again.args(words).env(MARK, "1");
    again.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(drop)
}
