//! COMMAND: what the table says, told to clients.
//!
//! Nothing here names a command. Keys are found by the function that the executor locks by, and arguments are read from the syntax
//! lines that `docs/commands.md` shows.

mod docs;
mod info;
mod node;

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{Access, NOT_KEY, VARIABLE_FLAGS, access_names, positions};
use russet_dispatch::{Args, Category, Command, Context, Error, Group, Outcome, Row};
use russet_engine::glob::Glob;

use crate::command::node::Node;
use crate::help;

/// What COMMAND and its subcommands have in common.
const COMMAND: Command = Command {
    group: Group::Server,
    complexity: "O(N) where N is the total number of commands",
    flags: &[Loading, Stale],
    also: &[Category::Connection],
    file: file!(),
    ..Command::BASE
};

/// The container.
pub const COMMANDS: &[Command] = &[Command {
    name: "command",
    summary: "Describes all commands.",
    since: "2.8.13",
    arity: -1,
    tips: &["nondeterministic_output_order"],
    subcommands: SUBCOMMANDS,
    run: all,
    ..COMMAND
}];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "count",
        summary: "Counts the commands.",
        complexity: "O(1)",
        since: "2.8.13",
        arity: 2,
        run: count,
        ..COMMAND
    },
    Command {
        name: "docs",
        syntax: "[command-name [command-name ...]]",
        summary: "Tells what some commands do and take, or all.",
        complexity: "O(N) where N is the number of commands to look up",
        since: "7.0.0",
        arity: -2,
        tips: &["nondeterministic_output_order"],
        run: docs,
        ..COMMAND
    },
    Command {
        name: "getkeys",
        syntax: "command [arg [arg ...]]",
        summary: "Picks the keys out of a command line.",
        complexity: "O(N) where N is the number of arguments to the command",
        since: "2.8.13",
        arity: -3,
        run: getkeys,
        ..COMMAND
    },
    Command {
        name: "getkeysandflags",
        syntax: "command [arg [arg ...]]",
        summary: "Picks the keys out of a command line and says what the command does with them.",
        complexity: "O(N) where N is the number of arguments to the command",
        since: "7.0.0",
        arity: -3,
        run: getkeysandflags,
        ..COMMAND
    },
    help::row("5.0.0", &Command { complexity: "O(1)", ..COMMAND }),
    Command {
        name: "info",
        syntax: "[command-name [command-name ...]]",
        summary: "Describes some commands, or all.",
        complexity: "O(N) where N is the number of commands to look up",
        since: "2.8.13",
        arity: -2,
        tips: &["nondeterministic_output_order"],
        history: &[("7.0.0", "Describes all commands when it is given none.")],
        run: info,
        ..COMMAND
    },
    Command {
        name: "list",
        syntax: "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern:pattern>]",
        summary: "Names all commands, or those of a kind.",
        since: "7.0.0",
        arity: -2,
        tips: &["nondeterministic_output_order"],
        run: list,
        ..COMMAND
    },
];

fn all(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    let rows = cx.state.table.rows();
    cx.reply.array(rows.len());
    for row in rows {
        info::of(row).write(&mut cx.reply);
    }
    Ok(())
}

fn count(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    cx.reply.integer(cx.state.table.rows().len() as i64);
    Ok(())
}

fn docs(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let table = cx.state.table;
    let chosen: Vec<&Row> = if args.is_empty() {
        table.rows().to_vec()
    } else {
        args.filter_map(|name| table.find_full(name)).collect()
    };
    cx.reply.map(chosen.len());
    for row in chosen {
        cx.reply.bulk(row.full_name.as_bytes());
        docs::of(row).write(&mut cx.reply);
    }
    Ok(())
}

fn getkeys(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let found = find_keys(cx, args)?;
    cx.reply.array(found.len());
    for (key, _) in found {
        cx.reply.bulk(key);
    }
    Ok(())
}

fn getkeysandflags(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let found = find_keys(cx, args)?;
    cx.reply.array(found.len());
    for (key, access) in found {
        cx.reply.array(2);
        cx.reply.bulk(key);
        Node::words(access_names(access)).write(&mut cx.reply);
    }
    Ok(())
}

fn info(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    if args.is_empty() {
        return all(cx, args);
    }
    cx.reply.array(args.left());
    for name in args {
        match cx.state.table.find_full(name) {
            Some(row) => info::of(row).write(&mut cx.reply),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

fn list(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let mut choice = Choice::All;
    while !args.is_empty() {
        if !args.flag("FILTERBY") || args.left() != 2 {
            return Err(Error::Syntax.into());
        }
        choice = Choice::read(args)?;
    }
    let chosen: Vec<&Row> = cx.state.table.all().filter(|row| choice.takes(row)).collect();
    cx.reply.array(chosen.len());
    for row in chosen {
        cx.reply.bulk(row.full_name.as_bytes());
    }
    Ok(())
}

/// What COMMAND LIST lists.
enum Choice {
    All,
    /// Nothing: there are no modules, or no such category.
    None,
    Category(Category),
    Pattern(Glob),
}

impl Choice {
    fn read(args: &mut Args<'_>) -> Result<Self, Error> {
        if args.flag("MODULE") {
            args.next()?;
            return Ok(Self::None);
        }
        if args.flag("ACLCAT") {
            let name = args.next()?;
            let named = |category: &Category| category.name().as_bytes().eq_ignore_ascii_case(name);
            return Ok(Category::ALL.into_iter().find(named).map_or(Self::None, Self::Category));
        }
        if args.flag("PATTERN") {
            Ok(Self::Pattern(Glob::nocase(args.next()?)))
        } else {
            Err(Error::Syntax)
        }
    }

    fn takes(&self, row: &Row) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Category(category) => row.is_in(*category),
            Self::Pattern(glob) => glob.matches(row.full_name.as_bytes()),
        }
    }
}

/// The keys of the command line that is left, with what is done to them.
fn find_keys<'a>(cx: &Context<'_>, args: &mut Args<'a>) -> Result<Vec<(&'a [u8], Access)>, Error> {
    let line: Vec<&[u8]> = args.collect();
    let row = cx.state.table.find(line[0]).ok_or(Error::InvalidCommand)?;
    let row = match line.get(1) {
        Some(sub) if !row.subcommands.is_empty() => {
            row.subcommand(sub).ok_or(Error::InvalidCommand)?
        }
        _ => row,
    };
    if row.command.keys.iter().all(|spec| spec.access & NOT_KEY != 0) {
        return Err(Error::NoKeys);
    }
    if !row.takes(line.len()) {
        return Err(Error::InvalidArgc);
    }
    let mut found = Vec::new();
    let exact = row.command.exact_access.map(|access_of| access_of(&line));
    let makes_sense = positions(
        row.command.keys,
        line.len(),
        |at| line[at],
        |at, access| {
            let exact = exact.filter(|_| access & VARIABLE_FLAGS != 0);
            found.push((line[at], exact.unwrap_or(access)));
        },
    );
    if makes_sense && !found.is_empty() {
        return Ok(found);
    }
    if row.has(NoMandatoryKeys) { Ok(Vec::new()) } else { Err(Error::InvalidArguments) }
}
