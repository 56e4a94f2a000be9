//! A connection in one line, in the fields and the order of Redis 7.2 and Valkey 8.0.
//!
//! A connection has no reply buffer of its own while nothing waits to be sent, and then one of just that size: `rbs`, `rbp` and `obl`
//! are 0, and what waits stands in `oll` and `omem`.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use russet_config::id;
use russet_dispatch::State;
use russet_dispatch::session::{Client, Delivery, Peer};
use russet_dispatch::tracking::how;

use crate::connection::DEFAULT_USER;

/// What stands for names in a line that others may read.
const REDACTED: &str = "*redacted*";

/// Appends the line of a client, its end included.
pub(super) fn write(text: &mut String, state: &State, client: &Client) {
    let name = client.labels.lock().name.clone();
    write_as(text, state, client, (&name, DEFAULT_USER));
}

/// The line of a client for the log, without an end; without names where `hide-user-data-from-log` says so.
pub(super) fn for_log(state: &State, client: &Client) -> String {
    let mut text = String::new();
    if state.config.load().bool(const { id("hide-user-data-from-log") }) {
        write_as(&mut text, state, client, (REDACTED, REDACTED));
    } else {
        write(&mut text, state, client);
    }
    text.pop();
    text
}

fn write_as(text: &mut String, state: &State, client: &Client, (name, user): (&str, &str)) {
    identity(text, state, client, name);
    buffers(text, client);
    let command = state.table.by_id(client.last_command.load(Relaxed) as usize);
    let command = command.map_or("NULL", |row| &row.full_name);
    let protocol = client.protocol.load(Relaxed);
    let redirect = client.tracking.redirect().map_or(-1, |id| id as i64);
    push(text, format_args!(" cmd={command} user={user} redir={redirect} resp={protocol}"));
    let labels = client.labels.lock();
    push(text, format_args!(" lib-name={} lib-ver={}", labels.lib_name, labels.lib_ver));
    let (received, sent) = (client.total_in.get(), client.total_out.get());
    let commands = client.total_commands.load(Relaxed);
    push(text, format_args!(" tot-net-in={received} tot-net-out={sent} tot-cmds={commands}\n"));
}

fn identity(text: &mut String, state: &State, client: &Client, name: &str) {
    let seconds_since = |then: u64| state.clock.now().saturating_sub(then) / 1000;
    let (addr, laddr) = (client.peer.addr(), client.peer.laddr());
    push(text, format_args!("id={} addr={addr} laddr={laddr} fd={}", client.id, client.fd));
    push(text, format_args!(" name={name}"));
    let (age, idle) =
        (seconds_since(client.created_ms), seconds_since(client.active_ms.load(Relaxed)));
    let (flags, db) = (flags(client), client.db.load(Relaxed));
    push(text, format_args!(" age={age} idle={idle} flags={flags} db={db}"));
    let [sub, psub, ssub] = client.subscribed.each_ref().map(|count| count.load(Relaxed));
    push(text, format_args!(" sub={sub} psub={psub} ssub={ssub}"));
    let (queued, watched) = (client.queued.load(Relaxed), client.watched.load(Relaxed));
    push(text, format_args!(" multi={queued} watch={watched}"));
}

fn buffers(text: &mut String, client: &Client) {
    let (used, free) = (client.input_bytes.load(Relaxed), client.input_free.load(Relaxed));
    let argv = client.argv_bytes.load(Relaxed) + client.blocked_bytes();
    let queued = client.queued_bytes.load(Relaxed);
    let output = client.output_bytes.load(Relaxed) + client.mail_bytes();
    let total = client.burden();
    push(
        text,
        format_args!(
            " qbuf={used} qbuf-free={free} argv-mem={argv} multi-mem={queued} rbs=0 rbp=0 obl=0"
        ),
    );
    let (pieces, events) = if output > 0 { (1, "rw") } else { (0, "r") };
    push(text, format_args!(" oll={pieces} omem={output} tot-mem={total} events={events}"));
}

/// One letter for each thing that is not as with most connections; `N` if there is none.
pub(super) fn flags(client: &Client) -> String {
    let is_blocked = client.blocked.lock().is_some() || client.paused.load(Relaxed);
    let is_dirty = client.watch.lock().as_ref().is_some_and(|watch| watch.is_dirty());
    let letters = [
        ('O', client.monitors.load(Relaxed)),
        ('S', client.delivery() != Delivery::None),
        ('P', client.is_subscriber()),
        ('x', client.queued.load(Relaxed) >= 0),
        ('b', is_blocked),
        ('t', client.tracking.has(how::ON)),
        ('R', client.tracking.has(how::BROKEN)),
        ('B', client.tracking.has(how::BCAST)),
        ('d', is_dirty),
        ('c', client.closing.load(Relaxed)),
        ('A', client.is_killed()),
        ('U', matches!(client.peer, Peer::Unix(_))),
        ('e', client.no_evict.load(Relaxed)),
        ('T', client.no_touch.load(Relaxed)),
    ];
    let set: String =
        letters.into_iter().filter_map(|(letter, is_set)| is_set.then_some(letter)).collect();
    if set.is_empty() { "N".to_owned() } else { set }
}

fn push(text: &mut String, piece: std::fmt::Arguments<'_>) {
    text.write_fmt(piece).expect("a string takes everything");
}
