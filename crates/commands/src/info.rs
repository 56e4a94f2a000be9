//! INFO: what the server can tell about itself, as rows of a table.
//!
//! A section is a list of fields, each a name and a function of the [`Facts`]; a few sections have as many lines as there are things to
//! tell of. A field appears only when something true stands behind it; names and shapes are those of Redis 7.2.

mod facts;
mod fields;
mod lists;

use std::fmt::Write;
use std::sync::atomic::Ordering;

use russet_dispatch::command::Flag::*;
use russet_dispatch::state::rule;
use russet_dispatch::{Args, Category, Command, Context, Group, Outcome};

use self::Shown::*;
use self::facts::Facts;
pub(crate) use self::facts::{Walked, client_bytes};

/// What the row has.
pub const COMMANDS: &[Command] = &[Command {
    name: "info",
    syntax: "[section [section ...]]",
    summary: "Tells about the server: clients, memory, counters, keys.",
    since: "1.0.0",
    group: Group::Server,
    arity: -1,
    flags: &[Loading, Stale, Walks],
    also: &[Category::Dangerous],
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    history: &[("7.0.0", "Takes several sections.")],
    file: file!(),
    run: info,
    ..Command::BASE
}];

/// A name and what stands behind it.
type Field = (&'static str, fn(&Facts) -> String);

/// What a section holds.
#[derive(Clone, Copy)]
enum Body {
    /// These fields, always.
    Fields(&'static [Field]),
    /// These fields, and more of them while data is being loaded.
    Persistence,
    /// These fields, and a line for each client that is sent a snapshot.
    Replication,
    /// As many lines as there are things.
    Lines(fn(&Facts, &mut String)),
    /// Nothing: Russet has no such thing.
    Empty,
}

/// Who is shown a section.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Everybody.
    ByDefault,
    /// Those who ask for all, or for it.
    InAll,
    /// Those who ask for it by name.
    ByName,
}

/// One chapter of INFO.
struct Section {
    /// Its heading; in lower case, what clients ask for.
    title: &'static str,
    shown: Shown,
    body: Body,
}

const fn section(title: &'static str, shown: Shown, body: Body) -> Section {
    Section { title, shown, body }
}

/// In the order of Redis.
const SECTIONS: &[Section] = &[
    section("Server", ByDefault, Body::Fields(fields::SERVER)),
    section("Clients", ByDefault, Body::Fields(fields::CLIENTS)),
    section("Memory", ByDefault, Body::Fields(fields::MEMORY)),
    section("Persistence", ByDefault, Body::Persistence),
    section("Threads", ByDefault, Body::Lines(lists::threads)),
    section("Stats", ByDefault, Body::Fields(fields::STATS)),
    section("Replication", ByDefault, Body::Replication),
    section("CPU", ByDefault, Body::Fields(fields::CPU)),
    section("Modules", ByDefault, Body::Empty),
    section("Commandstats", InAll, Body::Lines(lists::commands)),
    section("Errorstats", ByDefault, Body::Lines(lists::errors)),
    section("Latencystats", InAll, Body::Lines(lists::latencies)),
    section("Cluster", ByDefault, Body::Fields(fields::CLUSTER)),
    section("Keyspace", ByDefault, Body::Lines(lists::keyspace)),
    section("Keysizes", InAll, Body::Lines(lists::sizes)),
    section("Shards", ByName, Body::Lines(lists::shards)),
    section("Debug", ByName, Body::Fields(fields::DEBUG)),
];

fn info(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let words: Vec<&[u8]> = args.by_ref().collect();
    cx.state.probe();
    let walked = Walked::gather(cx)?;
    let facts = Facts::new(cx, walked);
    let chosen = SECTIONS.iter().filter(|section| is_wanted(section, &words));
    let text = chosen.map(|section| write(section, &facts)).collect::<Vec<_>>().join("\r\n");
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn is_wanted(section: &Section, words: &[&[u8]]) -> bool {
    let asks = |word: &&[u8]| match word.to_ascii_lowercase().as_slice() {
        b"all" | b"everything" => section.shown != ByName,
        b"default" => section.shown == ByDefault,
        b"module_list" => section.title == "Modules",
        name => section.title.as_bytes().eq_ignore_ascii_case(name),
    };
    if words.is_empty() { section.shown == ByDefault } else { words.iter().any(asks) }
}

fn write(section: &Section, facts: &Facts) -> String {
    let mut text = format!("# {}\r\n", section.title);
    let mut add = |fields: &[Field]| add_to(&mut text, fields, facts);
    match section.body {
        Body::Fields(fields) => add(fields),
        Body::Persistence => {
            add(fields::PERSISTENCE);
            if facts.state.rules.load(Ordering::Relaxed) & rule::LOADING != 0 {
                add(fields::LOADING);
            }
            if facts.state.aof.is_enabled.load(Ordering::Relaxed) {
                add(fields::AOF);
            }
        }
        Body::Replication => {
            add(fields::ROLE);
            lists::replicas(facts, &mut text);
            add_to(&mut text, fields::REPLICATION, facts);
        }
        Body::Lines(lines) => lines(facts, &mut text),
        Body::Empty => {}
    }
    text
}

fn add_to(text: &mut String, fields: &[Field], facts: &Facts) {
    for (name, value) in fields {
        // Writing to a string does not fail.
        let _ = write!(text, "{name}:{}\r\n", value(facts));
    }
}
