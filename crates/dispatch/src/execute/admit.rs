//! Whether a request runs now, later or not at all, and what the client hears where it names no command.

use std::sync::atomic::Ordering;

use russet_resp::Span;

use crate::command::Flag;
use crate::error::Error;
use crate::session::{Session, mode};
use crate::state::{State, rule};
use crate::table::{Locks, Row};
use crate::transaction::Queued;

/// What is to be done with a request that is as it should be.
pub(super) enum Verdict {
    Run,
    Queue,
    Pause,
    /// Memory is far beyond its bound: what needs more waits until it is not.
    Room,
}

/// Everything that may stand between a request and its execution but for the common case.
#[cold]
pub(super) fn check(
    state: &State,
    session: &Session,
    row: &'static Row,
    (input, spans): (&[u8], &[Span]),
) -> Result<Verdict, Error> {
    if row.has(Flag::Protected) {
        check_protected(state, session)?;
    }
    if !session.authenticated
        && state.tunables.needs_password.load(Ordering::Relaxed)
        && !row.has(Flag::NoAuth)
    {
        return Err(Error::NoAuth);
    }
    let is_queueing = session.multi.is_some();
    if is_queueing && row.has(Flag::NoMulti) {
        return Err(Error::NotInMulti);
    }
    let rules = state.rules.load(Ordering::Acquire);
    if session.client.monitors.load(Ordering::Relaxed) && touches_data(row) {
        return Err(Error::MonitorTouchesData);
    }
    if rules & rule::FULL != 0 {
        // A queue would grow without end, whatever is in it.
        let is_queued = is_queueing && !row.has(Flag::Immediate);
        if is_queued || may(session, row, Flag::DenyOom.bit()) {
            return Err(Error::OutOfMemory);
        }
    }
    if session.is_in_mode(mode::RESTRICTED) && !row.has(Flag::WhileSubscribed) {
        return Err(Error::only_while_subscribed(&row.full_name));
    }
    if rules & rule::LOADING != 0 && !row.has(Flag::Loading) {
        return Err(Error::Loading);
    }
    let writes =
        |flags| may(session, row, flags) && !only_reads(state, session, row, (input, spans));
    if let Some(error) = state.refuses_writes(rules)
        && writes(Flag::Write.bit() | Flag::TellsHealth.bit())
    {
        return Err(error);
    }
    if is_paused(state, session, rules, writes) {
        return Ok(Verdict::Pause);
    }
    if rules & rule::OVER != 0 && state.is_far_over() && may(session, row, Flag::DenyOom.bit()) {
        return Ok(Verdict::Room);
    }
    Ok(if is_queueing && !row.has(Flag::Immediate) { Verdict::Queue } else { Verdict::Run })
}

fn check_protected(state: &State, session: &Session) -> Result<(), Error> {
    match state.debug_policy() {
        "yes" => Ok(()),
        "local" if session.client.peer.is_local() => Ok(()),
        _ => Err(Error::DebugNotAllowed),
    }
}

const fn touches_data(row: &Row) -> bool {
    row.has(Flag::Write) || row.has(Flag::ReadOnly) || row.has(Flag::MayReplicate)
}

/// Whether this command has to wait: since CLIENT PAUSE holds all back, or those that may change something, also through EXEC, or since a
/// snapshot or the append-only file has to catch up with those, or since values are moved together first. Who monitors goes on.
fn is_paused(state: &State, session: &Session, rules: u32, writes: impl Fn(u32) -> bool) -> bool {
    if rules & (rule::PRESSED | rule::LAGGING) != 0 && writes(Flag::Write.bit()) {
        return true;
    }
    let is_crowded = || rules & rule::CROWDED != 0 && state.resident.holds(state.clock.ticks());
    if is_crowded() && writes(Flag::DenyOom.bit()) {
        return true;
    }
    if rules & (rule::PAUSE_ALL | rule::PAUSE_WRITE) == 0 || !state.pause_holds() {
        return false;
    }
    if session.client.monitors.load(Ordering::Relaxed) {
        return false;
    }
    rules & rule::PAUSE_ALL != 0 || writes(Flag::Write.bit() | Flag::MayReplicate.bit())
}

/// Whether the words of a command, or of all that EXEC has queued of its kind, say that it changes nothing, though others like it may.
fn only_reads(
    state: &State,
    session: &Session,
    row: &Row,
    (input, spans): (&[u8], &[Span]),
) -> bool {
    let writes = Flag::Write.bit() | Flag::TellsHealth.bit() | Flag::MayReplicate.bit();
    let only_reads = |row: &Row, input: &[u8], spans: &[Span]| {
        let words: Vec<&[u8]> = spans.iter().map(|span| span.of(input)).collect();
        row.flags & writes == 0 || row.command.only_reads.is_some_and(|says| says(state, &words))
    };
    let queue = queue_of(session, row);
    only_reads(row, input, spans)
        && queue.iter().all(|it| only_reads(it.row, it.request.input(), it.request.spans()))
}

/// Whether a command has one of these flags, or is EXEC and has queued one that has.
fn may(session: &Session, row: &Row, flags: u32) -> bool {
    row.flags & flags != 0
        || queue_of(session, row).iter().any(|queued| queued.row.flags & flags != 0)
}

/// What EXEC runs.
fn queue_of<'a>(session: &'a Session, row: &Row) -> &'a [Queued] {
    let multi = session.multi.as_ref().filter(|_| row.locks == Locks::Queue);
    multi.map_or(&[], |multi| &multi.queue)
}

/// What a client is told whose request found its shards busy for too long. Of a transaction that can only be EXEC, which ends it.
pub fn refuse(state: &State, session: &mut Session, error: Error) -> Error {
    if session.multi.is_some() { abort(state, session, &error) } else { error }
}

/// An EXEC that is refused ends the transaction that it should have run, and all watches.
pub(super) fn abort(state: &State, session: &mut Session, error: &Error) -> Error {
    drop(session.end_multi());
    session.unwatch(&state.keyspace);
    let text = error.text();
    let reason = text.strip_prefix("ERR ").unwrap_or(&text);
    Error::of(format!("EXECABORT Transaction discarded because of: {reason}"))
}

/// Why a request names no command that takes so many words.
#[cold]
pub(super) fn explain(
    state: &'static State,
    session: &Session,
    input: &[u8],
    spans: &[Span],
) -> Error {
    let _ = session;
    let word = |at: usize| String::from_utf8_lossy(spans[at].of(input)).into_owned();
    let Some(row) = state.table.find(spans[0].of(input)) else {
        return unknown(input, spans);
    };
    if row.subcommands.is_empty() || spans.len() < 2 {
        return Error::arity(row.command.name);
    }
    match row.subcommand(spans[1].of(input)) {
        Some(sub) => Error::arity(&sub.full_name),
        None => {
            let name = row.command.name.to_uppercase();
            let sub: String = word(1).chars().take(128).collect();
            Error::of(format!("ERR unknown subcommand '{sub}'. Try {name} HELP."))
        }
    }
}

fn unknown(input: &[u8], spans: &[Span]) -> Error {
    let clip = |bytes: &[u8], len: usize| {
        String::from_utf8_lossy(&bytes[..bytes.len().min(len)]).into_owned()
    };
    let mut args = String::new();
    for span in &spans[1..] {
        if args.len() >= 128 {
            break;
        }
        let arg = clip(span.of(input), 128 - args.len());
        args.extend(["'", &arg, "' "]);
    }
    let name = clip(spans[0].of(input), 128);
    Error::of(format!("ERR unknown command '{name}', with args beginning with: {args}"))
}
