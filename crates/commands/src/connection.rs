//! The client's own connection: who it is, what it speaks, which database it works on.
//!
//! There is one user, `default`, whose password is `requirepass`. Whoever guesses is slowed down: after `auth-failures-max` wrong
//! passwords the answer takes its time, and the connection ends with it. The thread does not wait; the shell does.

use std::sync::atomic::Ordering;

use russet_config::{REDIS_VERSION, id};
use russet_dispatch::command::Flag::*;
use russet_dispatch::request::Request;
use russet_dispatch::session::{Replies, mode};
use russet_dispatch::{Args, Command, Context, Error, Group, Outcome, Secret, Stop};
use russet_engine::number::parse_i64;
use russet_resp::Protocol;
use subtle::ConstantTimeEq;

use crate::pubsub;

/// The only user there is.
pub(crate) const DEFAULT_USER: &str = "default";

/// How long the last wrong password of a connection takes to be answered.
const REFUSAL_DELAY_MS: u64 = 200;

/// What every connection command has in common.
const CONNECTION: Command = Command { group: Group::Connection, file: file!(), ..Command::BASE };

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "auth",
        syntax: "[username] password",
        summary: "Logs the connection in.",
        complexity: "O(N) where N is the number of passwords defined for the user",
        since: "1.0.0",
        arity: -2,
        flags: &[NoScript, Loading, Stale, Fast, NoAuth, AllowBusy],
        history: &[("6.0.0", "Takes a username beside the password.")],
        secrets: &[Secret::From(1)],
        run: auth,
        ..CONNECTION
    },
    Command {
        name: "echo",
        syntax: "message",
        summary: "Gives back what it is given.",
        since: "1.0.0",
        arity: 2,
        flags: &[Loading, Stale, Fast],
        run: echo,
        ..CONNECTION
    },
    Command {
        name: "hello",
        syntax: "[protover:int [AUTH username password] [SETNAME clientname]]",
        summary: "Chooses the protocol, logs in and names the connection, and describes the server.",
        since: "6.0.0",
        arity: -1,
        flags: &[NoScript, Loading, Stale, Fast, NoAuth, AllowBusy],
        history: &[("6.2.0", "Without arguments it describes the connection as it is.")],
        secrets: &[Secret::Behind { keyword: "AUTH", from: 1, words: 2 }],
        run: hello,
        ..CONNECTION
    },
    Command {
        name: "ping",
        syntax: "[message]",
        summary: "Answers PONG, or the message.",
        since: "1.0.0",
        arity: -1,
        flags: &[Fast, WhileSubscribed, TellsHealth],
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        run: ping,
        ..CONNECTION
    },
    Command {
        name: "quit",
        syntax: "",
        summary: "Closes the connection.",
        since: "1.0.0",
        arity: -1,
        flags: &[NoScript, Loading, Stale, Fast, NoAuth, AllowBusy, Immediate, WhileSubscribed],
        deprecated: Some(("7.2.0", "just closing the connection")),
        run: quit,
        ..CONNECTION
    },
    Command {
        name: "reset",
        syntax: "",
        summary: "Makes the connection as it was when it was new.",
        since: "6.2.0",
        arity: 1,
        flags: &[NoScript, Loading, Stale, Fast, NoAuth, AllowBusy, Immediate, WhileSubscribed],
        run: reset,
        ..CONNECTION
    },
    Command {
        name: "select",
        syntax: "index:int",
        summary: "Chooses the database that later commands work on.",
        since: "1.0.0",
        arity: 2,
        flags: &[Loading, Stale, Fast],
        run: select,
        ..CONNECTION
    },
];

fn auth(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (user, password) = match args.left() {
        1 if !needs_password(cx) => return Err(Error::NoPasswordSet.into()),
        1 => (DEFAULT_USER.as_bytes(), args.next()?),
        2 => (args.next()?, args.next()?),
        _ => return Err(Error::Syntax.into()),
    };
    log_in(cx, user, password)?;
    cx.reply.ok();
    Ok(())
}

fn echo(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    cx.reply.bulk(args.next()?);
    Ok(())
}

fn hello(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let wish = Hello::read(args)?;
    if let Some((user, password)) = wish.login {
        log_in(cx, user, password)?;
    }
    if !cx.session.authenticated {
        return Err(Error::HelloNoAuth.into());
    }
    if let Some(name) = wish.name {
        cx.session.client.relabel(|labels| labels.name = name);
    }
    if let Some(protocol) = wish.protocol {
        cx.session.speak(protocol);
        cx.reply.protocol = protocol;
    }
    describe_server(cx);
    Ok(())
}

fn ping(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    if args.left() > 1 {
        return Err(Error::arity("ping").into());
    }
    if cx.session.is_in_mode(mode::RESTRICTED) {
        // It must look like a message: such a client reads nothing else.
        cx.reply.array(2);
        cx.reply.bulk(b"pong");
        cx.reply.bulk(args.peek().unwrap_or_default());
        return Ok(());
    }
    match args.peek() {
        Some(message) => cx.reply.bulk(message),
        None => cx.reply.simple("PONG"),
    }
    Ok(())
}

fn quit(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    cx.session.close();
    cx.reply.ok();
    Ok(())
}

/// Everything goes but the library's name and version: the client is still the same program.
fn reset(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    let (needs_password, protocol) = (needs_password(cx), cx.state.first_protocol());
    cx.state.stop_monitoring(&cx.session.client);
    cx.session.stop_tracking(&cx.state.tracking);
    cx.session.unsubscribe_all(&cx.state.pubsub);
    pubsub::drain(cx);
    let session = &mut *cx.session;
    session.end_multi();
    session.unwatch(&cx.state.keyspace);
    session.change_fieldsets(|sets| *sets = None);
    session.select(0);
    session.speak(protocol);
    session.replies = Replies::On;
    session.no_touch = false;
    session.client.no_touch.store(false, Ordering::Relaxed);
    session.client.no_evict.store(false, Ordering::Relaxed);
    session.client.relabel(|labels| labels.name.clear());
    set_authenticated(cx, !needs_password);
    cx.reply.protocol = protocol;
    cx.reply.simple("RESET");
    Ok(())
}

fn select(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let db = args.db(cx.state.databases)?;
    cx.session.select(db);
    cx.reply.ok();
    Ok(())
}

/// What HELLO asks for.
#[derive(Default)]
struct Hello<'a> {
    protocol: Option<Protocol>,
    login: Option<(&'a [u8], &'a [u8])>,
    name: Option<String>,
}

impl<'a> Hello<'a> {
    fn read(args: &mut Args<'a>) -> Result<Self, Error> {
        let mut hello = Self::default();
        if let Some(version) = args.peek() {
            args.next()?;
            hello.protocol = Some(protocol(version)?);
        }
        while let Some(option) = args.peek() {
            if args.left() > 2 && args.flag("AUTH") {
                hello.login = Some((args.next()?, args.next()?));
            } else if args.left() > 1 && args.flag("SETNAME") {
                hello.name = Some(client_name(args.next()?)?);
            } else {
                let option = String::from_utf8_lossy(option);
                return Err(Error::of(format!("ERR Syntax error in HELLO option '{option}'")));
            }
        }
        Ok(hello)
    }
}

fn protocol(version: &[u8]) -> Result<Protocol, Error> {
    match parse_i64(version).ok_or(Error::ProtoNotInteger)? {
        2 => Ok(Protocol::Resp2),
        3 => Ok(Protocol::Resp3),
        _ => Err(Error::NoProto),
    }
}

fn describe_server(cx: &mut Context<'_>) {
    let version = if cx.session.protocol == Protocol::Resp3 { 3 } else { 2 };
    let reply = &mut cx.reply;
    reply.map(7);
    let mut text = |name: &str, value: &str| {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    };
    text("server", "redis");
    text("version", REDIS_VERSION);
    reply.bulk(b"proto");
    reply.integer(version);
    reply.bulk(b"id");
    reply.integer(cx.session.client.id as i64);
    let mut text = |name: &str, value: &str| {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    };
    text("mode", "standalone");
    text("role", "master");
    reply.bulk(b"modules");
    reply.array(0);
}

/// A name that a client gives itself: printable ASCII without spaces, so that CLIENT LIST can be split again.
pub(crate) fn client_name(name: &[u8]) -> Result<String, Error> {
    printable(name).ok_or(Error::InvalidClientName)
}

/// The text, if all of it is printable ASCII without spaces.
pub(crate) fn printable(text: &[u8]) -> Option<String> {
    let is_fine = text.iter().all(u8::is_ascii_graphic);
    is_fine.then(|| String::from_utf8_lossy(text).into_owned())
}

fn needs_password(cx: &Context<'_>) -> bool {
    cx.state.tunables.needs_password.load(Ordering::Relaxed)
}

/// Checks a user's password and lets the connection in. The comparison takes as long for a wrong password as for the right one.
fn log_in(cx: &mut Context<'_>, user: &[u8], password: &[u8]) -> Outcome {
    let config = cx.state.config.load();
    let expected = config.text(const { id("requirepass") }).as_bytes();
    let is_right = expected.is_empty() || bool::from(expected.ct_eq(password));
    if !is_right || user != DEFAULT_USER.as_bytes() {
        return Err(refuse(
            cx,
            u64::from(u32::MAX).min(config.memory(const { id("auth-failures-max") })),
        ));
    }
    cx.session.auth_failures = 0;
    set_authenticated(cx, true);
    Ok(())
}

/// Counts a wrong password; the last that is borne is answered late and ends the connection.
fn refuse(cx: &mut Context<'_>, failures_max: u64) -> Stop {
    cx.session.auth_failures += 1;
    cx.thread.counters.auth_denied.add(1);
    if failures_max == 0 || u64::from(cx.session.auth_failures) < failures_max {
        return Error::WrongPass.into();
    }
    cx.session.close();
    if cx.session.deny_blocking {
        return Error::WrongPass.into();
    }
    Stop::Ask(Box::new(Request::Refuse { error: Error::WrongPass, milliseconds: REFUSAL_DELAY_MS }))
}

/// Lets the connection in or out, and keeps the count of strangers.
fn set_authenticated(cx: &mut Context<'_>, is_authenticated: bool) {
    let strangers = &cx.state.clients.unauthenticated;
    match (cx.session.authenticated, is_authenticated) {
        (false, true) => strangers.fetch_sub(1, Ordering::Relaxed),
        (true, false) => strangers.fetch_add(1, Ordering::Relaxed),
        _ => return,
    };
    cx.session.client.stranger_since_ms.store(cx.state.clock.now(), Ordering::Relaxed);
    cx.session.set_authenticated(is_authenticated);
}
