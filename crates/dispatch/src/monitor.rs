//! MONITOR: every command, as it runs.
//!
//! A bit of the rules says whether anybody looks, so a server without monitors pays nothing: the bit lies in a word that every command
//! reads anyway. A command is shown under the locks it ran under; so the lines about one key come in the order in which it changed.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::args::Args;
use crate::command::Flag;
use crate::context::Context;
use crate::redact::{SHOWN, Secrets};
use crate::session::{Client, Mail, Peer};
use crate::state::{State, Thread, rule};
use crate::table::Row;

/// Those who see every command.
#[derive(Debug, Default)]
pub struct Monitors {
    clients: ArcSwap<Vec<Arc<Client>>>,
    change: Mutex<()>,
}

impl State {
    /// Shows a client every command from now on.
    pub fn start_monitoring(&self, client: &Arc<Client>) {
        client.monitors.store(true, Ordering::Relaxed);
        self.change_monitors(|clients| clients.push(Arc::clone(client)));
    }

    /// Shows a client nothing any more.
    pub fn stop_monitoring(&self, client: &Client) {
        if client.monitors.swap(false, Ordering::Relaxed) {
            self.change_monitors(|clients| clients.retain(|other| other.id != client.id));
        }
    }

    fn change_monitors(&self, change: impl FnOnce(&mut Vec<Arc<Client>>)) {
        let _changing = self.monitors.change.lock();
        let mut clients = Vec::clone(&self.monitors.clients.load());
        change(&mut clients);
        self.set_rule(rule::MONITORED, !clients.is_empty());
        self.monitors.clients.store(Arc::new(clients));
    }
}

/// Shows a command that has run. Not those for operators, whose words may be secret.
#[cold]
pub(crate) fn show(cx: &Context<'_>, args: &Args<'_>) {
    let who = (&*cx.session.client, cx.session.db);
    show_words(cx.state, cx.thread, who, cx.row, args.words());
}

/// As [`show`], without a context, for a client that works on a database.
pub(crate) fn show_words<'a>(
    state: &State,
    thread: &Thread,
    (client, db): (&Client, u32),
    row: &Row,
    words: impl Iterator<Item = &'a [u8]>,
) {
    if row.has(Flag::Admin) || row.has(Flag::SkipMonitor) {
        return;
    }
    let words: Vec<&[u8]> = words.collect();
    let line = line(state.clock.now_us(), db, &client.peer, row, &words);
    let mail = Mail { bytes: Bytes::from(line), stamp: 0, is_reply: false };
    for monitor in state.monitors.clients.load().iter() {
        thread.put(monitor, &mail, state.mail_bytes_max(monitor));
    }
}

/// `+1699.123456 [0 127.0.0.1:1234] "set" "k" "v"`.
fn line(now_us: u64, db: u32, peer: &Peer, row: &Row, words: &[&[u8]]) -> String {
    let (seconds, micros) = (now_us / 1_000_000, now_us % 1_000_000);
    let from = match peer {
        Peer::Unix(path) => format!("unix:{path}"),
        peer => peer.addr(),
    };
    let mut line = format!("+{seconds}.{micros:06} [{db} {from}]");
    let secrets = Secrets::of(row, words.len(), |at| words[at]);
    for (at, word) in words.iter().enumerate() {
        line.push(' ');
        quote(&mut line, if secrets.hides(at) { SHOWN } else { word });
    }
    line.push_str("\r\n");
    line
}

/// A word in quotes, in printable ASCII: nothing in it can end the line.
fn quote(line: &mut String, word: &[u8]) {
    line.push('"');
    for &byte in word {
        match byte {
            b'\\' | b'"' => line.extend(['\\', char::from(byte)]),
            b'\n' => line.push_str("\\n"),
            b'\r' => line.push_str("\\r"),
            b'\t' => line.push_str("\\t"),
            0x07 => line.push_str("\\a"),
            0x08 => line.push_str("\\b"),
            b' '..=b'~' => line.push(char::from(byte)),
            _ => write!(line, "\\x{byte:02x}").expect("a string takes everything"),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_so_that_they_stay_on_one_line() {
        let mut line = String::new();
        quote(&mut line, b"a \"b\" \\ \r\n\t\x07\x08\x00\xff~");
        assert_eq!(line, r#""a \"b\" \\ \r\n\t\a\b\x00\xff~""#);
    }
}
