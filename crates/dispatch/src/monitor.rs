//! MONITOR: every command, as it runs.
//!
//! A bit of the rules says whether anybody looks, so a server without monitors pays nothing: the bit lies in a word that every command
//! reads anyway. A command is shown under the locks it ran under; so the lines about one key come in the order in which it changed.
//!
//! A command's line stands before those of whoever could know of it when they sent theirs: by its reply, which leaves later, by what it
//! changed, which is locked till then, by being served, which comes behind it. What others see without a lock (a message, a subscription, a
//! client that waits) is shown before that is so. Requests of two clients that know nothing of each other stand in the order in which
//! they ran: with several threads that need not be the order in which they were sent.
//!
//! A script is shown before the commands that it runs, in whose lines `lua` stands for the client. Where it begins anew, on a worker or
//! with more locks, what it has read so far is shown again.
//!
//! Who gives a pattern sees the commands that have a word for it: the name, in any case, or an argument that is no secret. Judging takes
//! place under those locks too, so neither the pattern nor a word that it is held against may be long.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use russet_engine::glob;

use crate::args::Args;
use crate::command::Flag;
use crate::context::Context;
use crate::redact::{SHOWN, Secrets};
use crate::session::{Client, Mail, Peer};
use crate::state::{State, Thread, rule};
use crate::table::Row;

/// Bytes that a pattern may have, and a word that is held against one.
pub const MATCH_BYTES_MAX: usize = 1024;

/// Those who see commands.
#[derive(Debug, Default)]
pub struct Monitors {
    list: ArcSwap<Vec<Monitor>>,
    change: Mutex<()>,
}

/// Who sees which commands.
#[derive(Clone, Debug)]
struct Monitor {
    client: Arc<Client>,
    /// Those with a word that matches; without it, all.
    pattern: Option<Arc<[u8]>>,
}

impl Monitor {
    fn wants(&self, words: &[&[u8]], secrets: &Secrets) -> bool {
        let Some(pattern) = self.pattern.as_deref() else { return true };
        words.iter().enumerate().any(|(at, word)| match at {
            _ if word.len() > MATCH_BYTES_MAX || secrets.hides(at) => false,
            0 => glob::matches_nocase(pattern, word),
            _ => glob::matches(pattern, word),
        })
    }
}

impl State {
    /// Shows a client every command from now on, or those with a word that matches a pattern of at most [`MATCH_BYTES_MAX`] bytes.
    pub fn start_monitoring(&self, client: &Arc<Client>, pattern: Option<&[u8]>) {
        client.monitors.store(true, Ordering::Relaxed);
        let monitor = Monitor { client: Arc::clone(client), pattern: pattern.map(Arc::from) };
        self.change_monitors(|list| list.push(monitor));
    }

    /// Shows a client nothing any more.
    pub fn stop_monitoring(&self, client: &Client) {
        if client.monitors.swap(false, Ordering::Relaxed) {
            self.change_monitors(|list| list.retain(|other| other.client.id != client.id));
        }
    }

    fn change_monitors(&self, change: impl FnOnce(&mut Vec<Monitor>)) {
        let _changing = self.monitors.change.lock();
        let mut list = Vec::clone(&self.monitors.list.load());
        change(&mut list);
        self.set_rule(rule::MONITORED, !list.is_empty());
        self.monitors.list.store(Arc::new(list));
    }
}

/// Shows the request of these words before others can see what it does, and not again when it has run. What runs within a unit is seen
/// with that.
#[inline]
pub fn show_first<'a>(cx: &mut Context<'_>, words: impl Iterator<Item = &'a [u8]>) {
    let is_monitored = cx.state.rules.load(Ordering::Relaxed) & rule::MONITORED != 0;
    if is_monitored && !cx.session.deny_blocking && !cx.session.is_shown {
        cx.session.is_shown = true;
        let who = (Some(&*cx.session.client), cx.session.db);
        show_words(cx.state, cx.thread, who, cx.row, words);
    }
}

/// Shows a command that has run. Not those for operators, whose words may be secret.
#[cold]
pub(crate) fn show(cx: &Context<'_>, args: &Args<'_>) {
    let who = (Some(&*cx.session.client), cx.session.db);
    show_words(cx.state, cx.thread, who, cx.row, args.words());
}

/// As [`show`], for a command that a script has run.
#[cold]
pub(crate) fn show_scripted(cx: &Context<'_>, args: &Args<'_>) {
    show_words(cx.state, cx.thread, (None, cx.session.db), cx.row, args.words());
}

/// As [`show`], without a context, for a client, or a script, that works on a database.
pub(crate) fn show_words<'a>(
    state: &State,
    thread: &Thread,
    (client, db): (Option<&Client>, u32),
    row: &Row,
    words: impl Iterator<Item = &'a [u8]>,
) {
    if row.has(Flag::Admin) || row.has(Flag::SkipMonitor) && !row.has(Flag::RunsScript) {
        return;
    }
    let words: Vec<&[u8]> = words.collect();
    let secrets = Secrets::of(row, words.len(), |at| words[at]);
    let list = state.monitors.list.load();
    let mut mail = None;
    for Monitor { client: to, .. } in list.iter().filter(|it| it.wants(&words, &secrets)) {
        let mail = mail.get_or_insert_with(|| {
            let line = line(state.clock.now_us(), (client, db), &secrets, &words);
            Mail { bytes: Bytes::from(line), stamp: 0, is_reply: false }
        });
        thread.put(to, mail, state.mail_bytes_max(to));
    }
}

/// `+1699.123456 [0 127.0.0.1:1234] "set" "k" "v"`.
fn line(
    now_us: u64,
    (client, db): (Option<&Client>, u32),
    secrets: &Secrets,
    words: &[&[u8]],
) -> String {
    let (seconds, micros) = (now_us / 1_000_000, now_us % 1_000_000);
    let from = match client.map(|client| &client.peer) {
        None => "lua".to_owned(),
        Some(Peer::Unix(path)) => format!("unix:{path}"),
        Some(peer) => peer.addr(),
    };
    let mut line = format!("+{seconds}.{micros:06} [{db} {from}]");
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
