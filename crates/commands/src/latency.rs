//! LATENCY: what took long, and how long commands take.

mod doctor;
mod graph;

use russet_dispatch::command::Flag::*;
use russet_dispatch::stats::Distribution;
use russet_dispatch::{Args, Command, Context, Error, Group, Outcome, Row};

use crate::help;

/// What every one of them has in common.
const LATENCY: Command = Command {
    since: "2.8.13",
    group: Group::Server,
    flags: &[Admin, NoScript, Loading, Stale],
    file: file!(),
    ..Command::BASE
};

/// What clients of a cluster do: ask every node.
const EVERYWHERE: &[&str] =
    &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];

/// The rows.
pub const COMMANDS: &[Command] = &[Command {
    name: "latency",
    summary: "Holds the commands about what takes long.",
    complexity: "Depends on subcommand.",
    arity: -2,
    flags: &[],
    subcommands: &[
        Command {
            name: "doctor",
            summary: "Says in words what took long and what may help.",
            arity: 2,
            tips: EVERYWHERE,
            run: doctor::doctor,
            ..LATENCY
        },
        Command {
            name: "graph",
            syntax: "event",
            summary: "Draws how long an event took over time.",
            arity: 3,
            tips: EVERYWHERE,
            run: graph::graph,
            ..LATENCY
        },
        help::row("2.8.13", &LATENCY),
        Command {
            name: "histogram",
            syntax: "[command [command ...]]",
            summary: "Shows how many calls of commands took up to how many microseconds.",
            complexity: "O(N) where N is the number of commands with latency information being retrieved.",
            since: "7.0.0",
            arity: -2,
            tips: EVERYWHERE,
            run: histogram,
            ..LATENCY
        },
        Command {
            name: "history",
            syntax: "event",
            summary: "Shows when an event took long, and how long.",
            arity: 3,
            tips: EVERYWHERE,
            run: history,
            ..LATENCY
        },
        Command {
            name: "latest",
            summary: "Shows of each event when it took long last, and the longest ever.",
            arity: 2,
            tips: EVERYWHERE,
            run: latest,
            ..LATENCY
        },
        Command {
            name: "reset",
            syntax: "[event [event ...]]",
            summary: "Forgets what is known of events.",
            arity: -2,
            tips: &["request_policy:all_nodes", "response_policy:agg_sum"],
            run: reset,
            ..LATENCY
        },
    ],
    ..LATENCY
}];

/// Of a container that is named, all subcommands are shown.
fn histogram(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let table = cx.state.table;
    let rows: Vec<&Row> = if args.is_empty() {
        table.all().collect()
    } else {
        let named = args.filter_map(|name| table.find_full(name));
        named.flat_map(|row| std::iter::once(row).chain(row.subcommands.iter().copied())).collect()
    };
    let measured = rows.into_iter().map(|row| (row, cx.state.stats.latency(row.id)));
    let measured: Vec<_> = measured.filter(|(_, latency)| !latency.is_empty()).collect();
    cx.reply.map(measured.len());
    for (row, latency) in &measured {
        cx.reply.bulk(row.full_name.as_bytes());
        write(cx, latency);
    }
    Ok(())
}

fn write(cx: &mut Context<'_>, latency: &Distribution) {
    cx.reply.map(2);
    cx.reply.bulk(b"calls");
    cx.reply.integer(latency.count() as i64);
    cx.reply.bulk(b"histogram_usec");
    let limits = latency.cumulative();
    cx.reply.map(limits.len());
    for (limit, count) in limits {
        cx.reply.integer(limit as i64);
        cx.reply.integer(count as i64);
    }
}

fn history(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let series = cx.state.latency.of(args.next()?).unwrap_or_default();
    cx.reply.array(series.samples.len());
    for sample in series.samples {
        cx.reply.array(2);
        cx.reply.integer(sample.at as i64);
        cx.reply.integer(sample.ms as i64);
    }
    Ok(())
}

fn latest(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    let events = cx.state.latency.all();
    cx.reply.array(events.len());
    for (event, series) in events {
        let last = series.samples.back().expect("an event is known by a sample");
        cx.reply.array(4);
        cx.reply.bulk(event.name().as_bytes());
        cx.reply.integer(last.at as i64);
        cx.reply.integer(last.ms as i64);
        cx.reply.integer(series.max_ms as i64);
    }
    Ok(())
}

fn reset(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let names: Vec<&[u8]> = args.collect();
    let is_named = |name: &str| names.iter().any(|it| it.eq_ignore_ascii_case(name.as_bytes()));
    let count = cx.state.latency.reset(|event| names.is_empty() || is_named(event.name()));
    cx.reply.integer(count as i64);
    Ok(())
}

/// Nothing is known of an event.
fn no_samples(event: &[u8]) -> Error {
    Error::of(format!("ERR No samples available for event '{}'", String::from_utf8_lossy(event)))
}
