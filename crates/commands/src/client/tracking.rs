//! CLIENT TRACKING and its kin: caches on the side of the client, and how they are kept true.

use russet_dispatch::command::Flag::*;
use russet_dispatch::tracking::{Wish, how, list_all};
use russet_dispatch::{Args, Command, Context, Error, Outcome};

use super::CLIENT;

/// CLIENT CACHING.
pub(super) const CACHING: Command = Command {
    name: "caching",
    syntax: "<YES | NO>",
    summary: "Says whether what the next command reads is remembered.",
    since: "6.0.0",
    arity: 3,
    flags: &[NoScript, Loading, Stale],
    run: caching,
    ..CLIENT
};

/// CLIENT GETREDIR.
pub(super) const GETREDIR: Command = Command {
    name: "getredir",
    summary: "Tells which client hears of changes instead of this one.",
    since: "6.0.0",
    arity: 2,
    flags: &[NoScript, Loading, Stale],
    run: getredir,
    ..CLIENT
};

/// CLIENT TRACKING.
pub(super) const TRACKING: Command = Command {
    name: "tracking",
    syntax: "<ON | OFF> [REDIRECT client-id:int] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]",
    summary: "Has the connection told when keys change that it has read, or that begin as it says.",
    complexity: "O(1). Some options may introduce additional complexity.",
    since: "6.0.0",
    arity: -3,
    flags: &[NoScript, Loading, Stale, Walks],
    run: tracking,
    ..CLIENT
};

/// CLIENT TRACKINGINFO.
pub(super) const TRACKINGINFO: Command = Command {
    name: "trackinginfo",
    summary: "Tells how the connection hears of changes.",
    since: "6.2.0",
    arity: 2,
    flags: &[NoScript, Loading, Stale],
    run: trackinginfo,
    ..CLIENT
};

fn caching(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let mode = &cx.session.client.tracking;
    if !mode.has(how::ON) {
        return Err(Error::CachingWithoutTracking.into());
    }
    let remembers = args.flag("YES");
    if !remembers && !args.flag("NO") {
        return Err(Error::Syntax.into());
    }
    if remembers && !mode.has(how::OPTIN) {
        return Err(Error::CachingYesWithoutOptin.into());
    }
    if !remembers && !mode.has(how::OPTOUT) {
        return Err(Error::CachingNoWithoutOptout.into());
    }
    cx.session.begin_caching(remembers);
    cx.reply.ok();
    Ok(())
}

fn getredir(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    cx.reply.integer(redirect(cx));
    Ok(())
}

fn redirect(cx: &Context<'_>) -> i64 {
    cx.session.client.tracking.redirect().map_or(-1, |id| id as i64)
}

fn tracking(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let switch = args.next()?;
    let wish = read(cx, args)?;
    if switch.eq_ignore_ascii_case(b"ON") {
        begin(cx, wish)?;
    } else if switch.eq_ignore_ascii_case(b"OFF") {
        cx.session.stop_tracking(&cx.state.tracking);
    } else {
        return Err(Error::Syntax.into());
    }
    cx.reply.ok();
    Ok(())
}

fn read(cx: &Context<'_>, args: &mut Args<'_>) -> Result<Wish, Error> {
    let mut wish = Wish::default();
    while !args.is_empty() {
        if args.left() > 1 && args.flag("REDIRECT") {
            wish.redirect = other_client(cx, args, wish.redirect)?;
        } else if args.left() > 1 && args.flag("PREFIX") {
            wish.prefixes.push(args.next()?.into());
        } else {
            wish.bits |= option(args)?;
        }
    }
    Ok(wish)
}

fn option(args: &mut Args<'_>) -> Result<u8, Error> {
    const OPTIONS: [(&str, u8); 4] = [
        ("BCAST", how::BCAST),
        ("OPTIN", how::OPTIN),
        ("OPTOUT", how::OPTOUT),
        ("NOLOOP", how::NOLOOP),
    ];
    let found = OPTIONS.into_iter().find(|(name, _)| args.flag(name));
    found.map(|(_, bit)| bit).ok_or(Error::Syntax)
}

/// The client that is to hear instead: there now, though it may go later.
fn other_client(cx: &Context<'_>, args: &mut Args<'_>, before: u64) -> Result<u64, Error> {
    if before != 0 {
        return Err(Error::SecondRedirect);
    }
    let id = args.int()?;
    let id = u64::try_from(id).ok().filter(|id| cx.state.clients.get(*id).is_some());
    id.ok_or(Error::NoSuchRedirect)
}

fn begin(cx: &mut Context<'_>, mut wish: Wish) -> Outcome {
    check(cx, &wish)?;
    if wish.bits & how::BCAST == 0 {
        cx.session.track(&cx.state.tracking, &wish);
        return Ok(());
    }
    check_prefixes(cx, &wish.prefixes)?;
    if wish.prefixes.is_empty() {
        wish.prefixes.push(Box::default());
    }
    let beginning = list_all(&mut cx.data, &cx.state.tracking)?;
    cx.session.track(&cx.state.tracking, &wish);
    drop(beginning);
    Ok(())
}

/// Whether the options fit each other and how the client tracks already.
fn check(cx: &Context<'_>, wish: &Wish) -> Result<(), Error> {
    let mode = &cx.session.client.tracking;
    let wants = |bits: u8| wish.bits & bits != 0;
    if !wants(how::BCAST) && !wish.prefixes.is_empty() {
        return Err(Error::PrefixWithoutBcast);
    }
    if mode.has(how::ON) && mode.has(how::BCAST) != wants(how::BCAST) {
        return Err(Error::BcastSwitched);
    }
    if wants(how::BCAST) && wants(how::OPTIN | how::OPTOUT) {
        return Err(Error::BcastWithOpt);
    }
    if wants(how::OPTIN) && wants(how::OPTOUT) {
        return Err(Error::OptinWithOptout);
    }
    let is_switched = |one: u8, other: u8| wants(one) && mode.has(other);
    if is_switched(how::OPTIN, how::OPTOUT) || is_switched(how::OPTOUT, how::OPTIN) {
        return Err(Error::OptSwitched);
    }
    Ok(())
}

/// A client hears of a key once: none of its prefixes begins with another, those that it has already included.
fn check_prefixes(cx: &Context<'_>, prefixes: &[Box<[u8]>]) -> Result<(), Error> {
    let overlap = |one: &[u8], other: &[u8]| one.starts_with(other) || other.starts_with(one);
    for (nth, prefix) in prefixes.iter().enumerate() {
        let mut known = cx.session.reader().into_iter().flat_map(|reader| &reader.prefixes);
        if let Some(known) = known.find(|known| overlap(known, prefix)) {
            return Err(overlapping(prefix, "an existing prefix", known));
        }
        if let Some(other) = prefixes[nth + 1..].iter().find(|other| overlap(other, prefix)) {
            return Err(overlapping(prefix, "another provided prefix", other));
        }
    }
    Ok(())
}

fn overlapping(prefix: &[u8], what: &str, other: &[u8]) -> Error {
    let [prefix, other] = [prefix, other].map(String::from_utf8_lossy);
    Error::of(format!(
        "ERR Prefix '{prefix}' overlaps with {what} '{other}'. Prefixes for a single client must not overlap."
    ))
}

fn trackinginfo(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    let flags = flags(cx);
    let redirect = redirect(cx);
    let reply = &mut cx.reply;
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"redirect");
    reply.integer(redirect);
    reply.bulk(b"prefixes");
    let prefixes = cx.session.reader().map(|reader| &reader.prefixes);
    reply.array(prefixes.map_or(0, std::collections::BTreeSet::len));
    prefixes.into_iter().flatten().for_each(|prefix| reply.bulk(prefix));
    Ok(())
}

fn flags(cx: &Context<'_>) -> Vec<&'static str> {
    let mode = &cx.session.client.tracking;
    let is_caching = cx.session.has_caching();
    let all = [
        ("on", mode.has(how::ON)),
        ("off", !mode.has(how::ON)),
        ("bcast", mode.has(how::BCAST)),
        ("optin", mode.has(how::OPTIN)),
        ("caching-yes", mode.has(how::OPTIN) && is_caching),
        ("optout", mode.has(how::OPTOUT)),
        ("caching-no", mode.has(how::OPTOUT) && is_caching),
        ("noloop", mode.has(how::NOLOOP)),
        ("broken_redirect", mode.has(how::BROKEN)),
    ];
    all.into_iter().filter_map(|(name, is_set)| is_set.then_some(name)).collect()
}
