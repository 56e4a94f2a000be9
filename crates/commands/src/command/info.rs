//! COMMAND INFO of one row.

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{Begin, Find, KeySpec, access_names, legacy_range};
use russet_dispatch::{Category, Flag, Row};

use crate::command::node::Node;

/// Flags in Redis' order; those that are missing are not for clients.
const SHOWN: [Flag; 19] = [
    Write,
    ReadOnly,
    DenyOom,
    Admin,
    PubSub,
    NoScript,
    Blocking,
    Loading,
    Stale,
    SkipMonitor,
    SkipSlowlog,
    Asking,
    Fast,
    NoAuth,
    NoAsyncLoading,
    NoMulti,
    NoMandatoryKeys,
    MovableKeys,
    AllowBusy,
];

/// What COMMAND INFO says of a row.
pub(super) fn of(row: &Row) -> Node<'_> {
    let command = row.command;
    let flags = SHOWN.into_iter().filter(|flag| row.has(*flag)).filter_map(Flag::name);
    let (first, last, step) = legacy_range(command.keys);
    let categories = Category::ALL.into_iter().filter(|category| row.is_in(*category));
    let subcommands: Vec<Node<'_>> = row.subcommands.iter().map(|sub| of(sub)).collect();
    Node::Array(vec![
        Node::text(&row.full_name),
        Node::Number(i64::from(command.arity)),
        Node::words(flags),
        Node::Number(first),
        Node::Number(last),
        Node::Number(step),
        Node::words(categories.map(|category| format!("@{}", category.name()))),
        Node::Array(command.tips.iter().map(|tip| Node::text(*tip)).collect()),
        Node::Set(command.keys.iter().map(specification).collect()),
        if subcommands.is_empty() { Node::Set(subcommands) } else { Node::Array(subcommands) },
    ])
}

fn specification(spec: &KeySpec) -> Node<'_> {
    let number = |number: i64| Node::Number(number);
    let begin = match spec.begin {
        Begin::At(index) => step("index", vec![("index", number(index as i64))]),
        Begin::Keyword(word, from) => {
            step("keyword", vec![("keyword", Node::text(word)), ("startfrom", number(from.into()))])
        }
        Begin::Option(..) | Begin::Patterns(_) => step("unknown", vec![]),
    };
    let is_unknown = matches!(spec.begin, Begin::Option(..) | Begin::Patterns(_));
    let find = match spec.find {
        _ if is_unknown => step("unknown", vec![]),
        Find::Range { last, step: every, limit } => {
            let details =
                [("lastkey", last.into()), ("keystep", every as i64), ("limit", limit as i64)];
            step("range", details.map(|(name, value)| (name, number(value))).into())
        }
        Find::Count { index, first, step: every } => {
            let details = [
                ("keynumidx", index as i64),
                ("firstkey", first as i64),
                ("keystep", every as i64),
            ];
            step("keynum", details.map(|(name, value)| (name, number(value))).into())
        }
    };
    Node::map([
        ("flags", Node::words(access_names(spec.access))),
        ("begin_search", begin),
        ("find_keys", find),
    ])
}

fn step<'a>(kind: &'a str, details: Vec<(&'a str, Node<'a>)>) -> Node<'a> {
    Node::map([("type", Node::text(kind)), ("spec", Node::map(details))])
}
