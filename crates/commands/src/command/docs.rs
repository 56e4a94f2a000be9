//! COMMAND DOCS of one row.

use russet_dispatch::Row;
use russet_dispatch::syntax::{self, Argument, Kind, Repeats};

use crate::command::node::Node;

/// What COMMAND DOCS says of a row.
pub(super) fn of(row: &Row) -> Node<'static> {
    let command = row.command;
    let mut pairs = vec![
        ("summary", Node::text(command.summary)),
        ("since", Node::text(command.since)),
        ("group", Node::text(command.group.name())),
        ("complexity", Node::text(command.complexity)),
    ];
    if let Some((since, by)) = command.deprecated {
        pairs.push(("doc_flags", Node::words(["deprecated"].into_iter())));
        pairs.push(("deprecated_since", Node::text(since)));
        pairs.push(("replaced_by", Node::text(by)));
    }
    if !command.history.is_empty() {
        let change = |(since, what): &(&'static str, &'static str)| {
            Node::Array(vec![Node::text(*since), Node::text(*what)])
        };
        pairs.push(("history", Node::Set(command.history.iter().map(change).collect())));
    }
    let arguments = syntax::parse(command.syntax).expect("a test reads all lines");
    if !arguments.is_empty() {
        let mut keys = Keys { specifications: command.keys.len(), next: 0 };
        pairs.push(("arguments", list(arguments, &mut keys)));
    }
    if !row.subcommands.is_empty() {
        let subcommands = row.subcommands.iter().map(|sub| (sub.full_name.clone().into(), of(sub)));
        pairs.push(("subcommands", Node::Map(subcommands.collect())));
    }
    Node::map(pairs)
}

/// Gives each key argument its specification, in the order in which they stand.
struct Keys {
    specifications: usize,
    next: usize,
}

impl Keys {
    fn index_of(&mut self, argument: &Argument) -> Option<usize> {
        let is_key = argument.is_key() && self.specifications > 0;
        is_key.then(|| {
            self.next += 1;
            self.next.min(self.specifications) - 1
        })
    }
}

fn list(arguments: Vec<Argument>, keys: &mut Keys) -> Node<'static> {
    Node::Array(arguments.into_iter().map(|argument| describe(argument, keys)).collect())
}

fn describe(argument: Argument, keys: &mut Keys) -> Node<'static> {
    let key = keys.index_of(&argument);
    let kind = if key.is_some() { Kind::Key.name() } else { argument.kind.name() };
    let mut pairs = vec![("name", Node::text(argument.name.clone())), ("type", Node::text(kind))];
    let flags = flags(&argument);
    if argument.kind.parts().is_empty() {
        pairs.push(("display_text", Node::text(argument.name)));
    }
    if let Some(index) = key {
        pairs.push(("key_spec_index", Node::Number(index as i64)));
    }
    if let Some(token) = argument.token {
        pairs.push(("token", Node::text(token)));
    }
    if !flags.is_empty() {
        pairs.push(("flags", Node::words(flags.into_iter())));
    }
    if let Kind::OneOf(parts) | Kind::Block(parts) = argument.kind {
        pairs.push(("arguments", list(parts, keys)));
    }
    Node::map(pairs)
}

fn flags(argument: &Argument) -> Vec<&'static str> {
    let flags = [
        ("optional", argument.optional),
        ("multiple", argument.repeats != Repeats::No),
        ("multiple_token", argument.repeats == Repeats::WithToken),
    ];
    flags.into_iter().filter_map(|(name, holds)| holds.then_some(name)).collect()
}
