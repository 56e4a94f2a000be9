//! CLIENT: connections as others see them, and what may be done to them.
//!
//! Every connection keeps the part of itself that others may read in atomics (`dispatch::session::Client`), so listing and choosing
//! connections disturbs none of them. Whoever is killed is gone for every later CLIENT command, though its thread may still be closing
//! it.

mod filter;
mod line;
mod pause;
mod tracking;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use russet_dispatch::command::Flag::*;
use russet_dispatch::session::{Client, Mail, Replies};
use russet_dispatch::{Args, Command, Context, Error, Group, Outcome, State};
use russet_engine::number::parse_i64;
use russet_resp::{Output, Writer};

use crate::client::filter::Filter;
use crate::connection::{client_name, printable};
use crate::help;

/// What CLIENT and its subcommands have in common.
const CLIENT: Command = Command { group: Group::Connection, file: file!(), ..Command::BASE };

/// The container.
pub const COMMANDS: &[Command] = &[Command {
    name: "client",
    summary: "Holds the commands about connections.",
    complexity: "Depends on subcommand.",
    since: "2.4.0",
    arity: -2,
    subcommands: SUBCOMMANDS,
    ..CLIENT
}];

const SUBCOMMANDS: &[Command] = &[
    tracking::CACHING,
    Command {
        name: "capa",
        syntax: "capability [capability ...]",
        summary: "Says what the connection's library can do, of which only `redirect` means anything.",
        since: "8.0.0",
        arity: -3,
        flags: &[NoScript, Loading, Stale, AllowBusy],
        run: capa,
        ..CLIENT
    },
    Command {
        name: "getname",
        summary: "Gives the connection's name.",
        since: "2.6.9",
        arity: 2,
        flags: &[NoScript, Loading, Stale],
        run: getname,
        ..CLIENT
    },
    tracking::GETREDIR,
    help::row("5.0.0", &CLIENT),
    Command {
        name: "id",
        summary: "Gives the connection's number, which no other ever has.",
        since: "5.0.0",
        arity: 2,
        flags: &[NoScript, Loading, Stale],
        run: id,
        ..CLIENT
    },
    Command {
        name: "import-source",
        syntax: "<ON | OFF>",
        summary: "Marks the connection as the source of an import, or as none: there is no import mode, so `ON` is refused.",
        since: "8.1.0",
        arity: 3,
        flags: &[NoScript, Loading, Stale],
        run: import_source,
        ..CLIENT
    },
    Command {
        name: "info",
        summary: "Describes the connection in one line.",
        since: "6.2.0",
        arity: 2,
        flags: &[NoScript, Loading, Stale],
        tips: &["nondeterministic_output"],
        run: info,
        ..CLIENT
    },
    Command {
        name: "kill",
        syntax: "<ip:port | <ID client-id:int [client-id:int ...] | TYPE <NORMAL | MASTER | PRIMARY | SLAVE | REPLICA | PUBSUB> | \
            USER username | ADDR addr | LADDR laddr | SKIPME <YES | NO> | MAXAGE maxage:int | NAME name | IDLE idle:int | FLAGS flags | \
            LIB-NAME lib-name | LIB-VER lib-ver | DB db:int | CAPA capa | IP ip | NOT-ID client-id:int [client-id:int ...] | \
            NOT-TYPE <NORMAL | MASTER | PRIMARY | SLAVE | REPLICA | PUBSUB> | NOT-USER username | NOT-ADDR addr | NOT-LADDR laddr | \
            NOT-NAME name | NOT-FLAGS flags | NOT-LIB-NAME lib-name | NOT-LIB-VER lib-ver | NOT-DB db:int | NOT-CAPA capa | NOT-IP ip> ...>",
        summary: "Closes the connections that meet all conditions, or the one from an address.",
        complexity: "O(N) where N is the number of client connections",
        since: "2.4.0",
        arity: -3,
        flags: &[Admin, NoScript, Loading, Stale],
        history: &[
            ("2.8.12", "Takes conditions and counts what it closes."),
            ("2.8.12", "`ID`, `TYPE`, `ADDR` and `SKIPME`."),
            ("5.0.0", "`TYPE` replica replaces slave."),
            ("6.2.0", "`LADDR`."),
            ("8.0.0", "`MAXAGE`."),
            (
                "8.1.0",
                "Several ids, `NAME`, `IDLE`, `FLAGS`, `LIB-NAME`, `LIB-VER`, `DB`, `CAPA` and `IP`.",
            ),
            ("9.0.0", "Conditions that begin with `NOT-`."),
        ],
        run: kill,
        ..CLIENT
    },
    Command {
        name: "list",
        syntax: "[TYPE <NORMAL | MASTER | PRIMARY | SLAVE | REPLICA | PUBSUB>] [ID client-id:int [client-id:int ...]] [USER username] \
            [ADDR addr] [LADDR laddr] [SKIPME <YES | NO>] [MAXAGE maxage:int] [NAME name] [IDLE idle:int] [FLAGS flags] \
            [LIB-NAME lib-name] [LIB-VER lib-ver] [DB db:int] [CAPA capa] [IP ip] [NOT-ID client-id:int [client-id:int ...]] \
            [NOT-TYPE <NORMAL | MASTER | PRIMARY | SLAVE | REPLICA | PUBSUB>] [NOT-USER username] [NOT-ADDR addr] [NOT-LADDR laddr] \
            [NOT-NAME name] [NOT-FLAGS flags] [NOT-LIB-NAME lib-name] [NOT-LIB-VER lib-ver] [NOT-DB db:int] [NOT-CAPA capa] [NOT-IP ip]",
        summary: "Describes the connections that meet all conditions, a line for each.",
        complexity: "O(N) where N is the number of client connections",
        since: "2.4.0",
        arity: -2,
        flags: &[Admin, NoScript, Loading, Stale],
        tips: &["nondeterministic_output"],
        history: &[
            ("2.8.12", "The connection's id."),
            ("5.0.0", "`TYPE`."),
            ("6.0.0", "The connection's user."),
            ("6.2.0", "`ID`; `argv-mem`, `tot-mem`, `laddr` and `redir`."),
            ("7.0.0", "`resp`, `multi-mem`, `rbs` and `rbp`."),
            ("7.0.3", "`ssub`."),
            ("7.2.0", "`lib-name` and `lib-ver`."),
            ("8.0.0", "`watch`, `tot-net-in`, `tot-net-out` and `tot-cmds`."),
            ("8.1.0", "The other conditions."),
            ("9.0.0", "Conditions that begin with `NOT-`."),
        ],
        run: list,
        ..CLIENT
    },
    Command {
        name: "no-evict",
        syntax: "<ON | OFF>",
        summary: "Keeps the connection when clients are closed for want of memory, or no longer keeps it.",
        since: "7.0.0",
        arity: 3,
        flags: &[Admin, NoScript, Loading, Stale],
        run: no_evict,
        ..CLIENT
    },
    Command {
        name: "no-touch",
        syntax: "<ON | OFF>",
        summary: "Says whether the connection's commands leave the access times of keys as they are.",
        since: "7.2.0",
        arity: 3,
        flags: &[NoScript, Loading, Stale],
        run: no_touch,
        ..CLIENT
    },
    pause::PAUSE,
    Command {
        name: "reply",
        syntax: "<ON | OFF | SKIP>",
        summary: "Says whether the connection's commands are answered.",
        since: "3.2.0",
        arity: 3,
        flags: &[NoScript, Loading, Stale],
        run: reply,
        ..CLIENT
    },
    Command {
        name: "setinfo",
        syntax: "<LIB-NAME libname | LIB-VER libver>",
        summary: "Notes the name or the version of the client's library.",
        since: "7.2.0",
        arity: 4,
        flags: &[NoScript, Loading, Stale],
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        run: setinfo,
        ..CLIENT
    },
    Command {
        name: "setname",
        syntax: "connection-name",
        summary: "Names the connection.",
        since: "2.6.9",
        arity: 3,
        flags: &[NoScript, Loading, Stale],
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        run: setname,
        ..CLIENT
    },
    tracking::TRACKING,
    tracking::TRACKINGINFO,
    Command {
        name: "unblock",
        syntax: "client-id:int [TIMEOUT | ERROR]",
        summary: "Ends the waiting of a client that a command has blocked.",
        complexity: "O(log N) where N is the number of client connections",
        since: "5.0.0",
        arity: -3,
        flags: &[Admin, NoScript, Loading, Stale],
        run: unblock,
        ..CLIENT
    },
    pause::UNPAUSE,
];

/// Capabilities that nobody knows are those of a later day.
fn capa(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    while !args.is_empty() {
        if args.flag("REDIRECT") {
            cx.session.client.takes_redirects.store(true, Ordering::Relaxed);
        } else {
            args.next()?;
        }
    }
    cx.reply.ok();
    Ok(())
}

fn import_source(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    if !args.flag("OFF") {
        return Err(Error::NotImporting.into());
    }
    cx.reply.ok();
    Ok(())
}

fn getname(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    let labels = cx.session.client.labels.lock();
    if labels.name.is_empty() {
        cx.reply.null();
    } else {
        cx.reply.bulk(labels.name.as_bytes());
    }
    Ok(())
}

fn id(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    cx.reply.integer(cx.session.client.id as i64);
    Ok(())
}

fn info(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let client = Arc::clone(&cx.session.client);
    let text = describe(cx, args, &[client]);
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn list(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let filter = Filter::read(cx, args, false)?;
    let chosen = filter.choose(cx);
    let text = describe(cx, args, &chosen);
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// A client in one line, as CLIENT LIST shows it, for the log.
pub fn line_for_log(state: &State, client: &Client) -> String {
    line::for_log(state, client)
}

/// The lines of some connections. This one is described as it is in the middle of its request.
fn describe(cx: &Context<'_>, args: &Args<'_>, clients: &[Arc<Client>]) -> String {
    let own = &cx.session.client;
    own.last_command.store(cx.row.id as u32, Ordering::Relaxed);
    own.total_commands.store(cx.session.commands, Ordering::Relaxed);
    let own_bytes = args.words().skip(1).map(<[u8]>::len).sum::<usize>() + args.word(0).len();
    own.argv_bytes.store(own_bytes, Ordering::Relaxed);
    let mut text = String::new();
    for client in clients {
        line::write(&mut text, cx.state, client);
    }
    own.argv_bytes.store(0, Ordering::Relaxed);
    text
}

/// The old form with an address answers OK or an error and may kill the client that asks; the new form counts.
fn kill(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let is_old_form = args.left() == 1;
    let filter =
        if is_old_form { Filter::of_address(args.next()?) } else { Filter::read(cx, args, true)? };
    let chosen = filter.choose(cx);
    for client in &chosen {
        if client.id == cx.session.client.id {
            cx.session.close();
        } else {
            client.end();
        }
    }
    match (is_old_form, chosen.len()) {
        (true, 0) => return Err(Error::NoSuchClient.into()),
        (true, _) => cx.reply.ok(),
        (false, count) => cx.reply.integer(count as i64),
    }
    Ok(())
}

fn no_evict(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    if !switch(&cx.session.client.no_evict, args)? {
        cx.state.cut_burdens();
    }
    cx.reply.ok();
    Ok(())
}

fn no_touch(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    cx.session.no_touch = switch(&cx.session.client.no_touch, args)?;
    cx.reply.ok();
    Ok(())
}

/// Reads ON or OFF.
fn switch(place: &AtomicBool, args: &mut Args<'_>) -> Result<bool, Error> {
    let on = args.flag("ON");
    if !on && !args.flag("OFF") {
        return Err(Error::Syntax);
    }
    place.store(on, Ordering::Relaxed);
    Ok(on)
}

fn reply(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    if args.flag("ON") {
        cx.session.replies = Replies::On;
        cx.reply.ok();
    } else if args.flag("OFF") {
        cx.session.replies = Replies::Off;
    } else if !args.flag("SKIP") {
        return Err(Error::Syntax.into());
    } else if cx.session.replies != Replies::Off {
        cx.session.replies = Replies::SkipNext;
    }
    Ok(())
}

fn setinfo(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (attribute, value) = (args.next()?, args.next()?);
    let is = |name: &str| attribute.eq_ignore_ascii_case(name.as_bytes());
    let shown = String::from_utf8_lossy(attribute);
    if !is("LIB-NAME") && !is("LIB-VER") {
        return Err(Error::of(format!("ERR Unrecognized option '{shown}'")).into());
    }
    let refusal =
        || Error::of(format!("ERR {shown} cannot contain spaces, newlines or special characters."));
    let value = printable(value).ok_or_else(refusal)?;
    cx.session.client.relabel(|labels| {
        *(if is("LIB-NAME") { &mut labels.lib_name } else { &mut labels.lib_ver }) = value;
    });
    cx.reply.ok();
    Ok(())
}

fn setname(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let name = client_name(args.next()?)?;
    cx.session.client.relabel(|labels| labels.name = name);
    cx.reply.ok();
    Ok(())
}

/// Whoever claims the waiter answers for it; if it was just served, or its time is up, there is nothing to unblock.
fn unblock(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let id = args.next()?;
    let with_error = args.flag("ERROR");
    if !with_error && !args.is_empty() && !args.flag("TIMEOUT") {
        return Err(Error::UnblockReason.into());
    }
    let id = parse_i64(id).ok_or(Error::NotInteger)?;
    let target = u64::try_from(id).ok().and_then(|id| cx.state.clients.get(id));
    let blocked = target.and_then(|client| client.blocked.lock().clone());
    let claimed = blocked.filter(|blocked| blocked.claim());
    if let Some(blocked) = &claimed {
        let mut out = Output::default();
        let mut reply = Writer { out: &mut out, protocol: blocked.protocol };
        if with_error {
            cx.thread.counters.error("UNBLOCKED");
            cx.thread.counters.commands[blocked.row.id].failed.add(1);
            reply.error(&Error::Unblocked.text());
        } else {
            reply.null_array();
        }
        let bytes = blocked.audible(out);
        blocked.client.post(&Mail { bytes, stamp: 0, is_reply: true });
    }
    cx.reply.integer(i64::from(claimed.is_some()));
    Ok(())
}
