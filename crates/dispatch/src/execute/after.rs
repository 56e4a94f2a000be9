//! What follows a command: its reply taken back, modes that end with it, and those who look on.

use std::sync::atomic::Ordering;

use russet_resp::Output;

use super::Halt;
use crate::args::Args;
use crate::command::Flag;
use crate::context::Context;
use crate::monitor;
use crate::session::{Replies, Session, mode};
use crate::state::rule;
use crate::table::Row;
use crate::tracking;

/// Takes a reply back, as CLIENT REPLY has ordered. One that comes later is the connection's to drop: see [`Session::drops_reply`].
#[cold]
pub(super) fn silence(
    session: &mut Session,
    mark: russet_resp::Mark,
    halt: Option<&Halt>,
    out: &mut Output,
) {
    if session.replies == Replies::SkipNext {
        session.replies = Replies::Skip;
        return;
    }
    if !session.is_in_mode(mode::PUSHED) {
        out.truncate(mark);
    }
    // A waiter carries the order with it, and whatever else halts has not replied yet.
    let is_over = matches!(halt, None | Some(Halt::Wait(_) | Halt::Close | Halt::Mail));
    if is_over {
        session.drops_reply();
    }
}

/// What follows a command of a session that is not like most.
#[cold]
pub(super) fn after_unusual(
    session: &mut Session,
    row: Option<&'static Row>,
    halt: Option<Halt>,
) -> Option<Halt> {
    session.set_mode(mode::PUSHED, false);
    if session.is_in_mode(mode::CACHING) && ends_caching(session, row, halt.as_ref()) {
        session.end_caching();
    }
    if session.is_in_mode(mode::CLOSING) {
        session.client.closing.store(true, Ordering::Release);
        return halt.or(Some(Halt::Close));
    }
    let is_told = session.is_in_mode(mode::SUBSCRIBER | mode::TOLD);
    let has_mail = is_told && session.client.has_mail();
    if has_mail { halt.or(Some(Halt::Mail)) } else { halt }
}

/// Whether CLIENT CACHING, which is about the next command or transaction, is over: not before that has run, nor by CLIENT itself.
fn ends_caching(session: &Session, row: Option<&'static Row>, halt: Option<&Halt>) -> bool {
    let comes_again = halt.is_some_and(Halt::comes_again);
    let is_client = row.is_some_and(|row| row.full_name.starts_with("client|"));
    !comes_again && !is_client && session.multi.is_none()
}

/// What a command was that has run, for those who look on: who reads, and who monitors.
#[inline]
pub(crate) fn look_on(cx: &mut Context<'_>, args: &Args<'_>, rules: u32) {
    note_reading(cx, args);
    if rules & rule::MONITORED != 0 && !std::mem::take(&mut cx.session.is_shown) {
        monitor::show(cx, args);
    }
}

/// Remembers who has read what, if the client tracks.
#[inline]
pub(crate) fn note_reading(cx: &mut Context<'_>, args: &Args<'_>) {
    // What a script reads, its commands read.
    if cx.row.has(Flag::ReadOnly)
        && !cx.row.has(Flag::RunsScript)
        && let Some(reader) = cx.session.reads_as()
    {
        tracking::remember(&mut cx.data, reader, args.keys());
    }
}
