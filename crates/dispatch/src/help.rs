//! HELP of containers, made from the rows of their subcommands.

use crate::command::Flag::*;
use crate::syntax::plain;
use crate::{Args, Command, Context, Outcome};

/// The row of a container's HELP; `base` is what the container's rows have in common.
pub const fn row(since: &'static str, base: &Command) -> Command {
    Command {
        name: "help",
        summary: "Tells what the subcommands do.",
        since,
        arity: 2,
        flags: &[Loading, Stale],
        run: help,
        ..*base
    }
}

fn help(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    let id = cx.row.id;
    let parent =
        cx.state.table.rows().iter().find(|row| row.subcommands.iter().any(|sub| sub.id == id));
    let container = parent.expect("HELP is a subcommand").command;
    let topics = container.subcommands.iter().map(|sub| (sub.name, sub.syntax, sub.summary));
    lines(cx, container.name, topics);
    Ok(())
}

/// Writes HELP as Redis shapes it: a line that names the container, then two for each subcommand.
pub fn lines<'a>(
    cx: &mut Context<'_>,
    container: &str,
    topics: impl Iterator<Item = (&'a str, &'a str, &'a str)>,
) {
    let name = container.to_uppercase();
    let mut lines =
        vec![format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")];
    for (topic, syntax, summary) in topics {
        lines.push(format!("{} {}", topic.to_uppercase(), plain(syntax)).trim_end().to_owned());
        lines.push(format!("    {summary}"));
    }
    cx.reply.array(lines.len());
    for line in &lines {
        cx.reply.simple(line);
    }
}
