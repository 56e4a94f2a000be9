//! HOTKEYS: which keys cost most time or bytes, found while commands run.

use russet_dispatch::command::Flag::*;
use russet_dispatch::hotkeys::{Report, Wish};
use russet_dispatch::{Args, Command, Context, Error, Group, Outcome};

use crate::help;

/// What every one of them has in common.
const HOTKEYS: Command = Command {
    since: "8.6.0",
    group: Group::Server,
    flags: &[Admin, NoScript],
    file: file!(),
    ..Command::BASE
};

/// The rows.
pub const COMMANDS: &[Command] = &[Command {
    name: "hotkeys",
    summary: "Holds the commands that find the keys that cost most.",
    complexity: "Depends on subcommand.",
    arity: -2,
    flags: &[],
    subcommands: &[
        Command {
            name: "get",
            summary: "Shows what was found since HOTKEYS START.",
            complexity: "O(K) where K is the number of hotkeys returned.",
            arity: 2,
            run: get,
            ..HOTKEYS
        },
        help::row("8.6.1", &HOTKEYS),
        Command {
            name: "reset",
            summary: "Forgets what was found.",
            arity: 2,
            run: reset,
            ..HOTKEYS
        },
        Command {
            name: "start",
            syntax: "METRICS count:int [CPU] [NET] [COUNT k:int] [DURATION seconds:int] [SAMPLE ratio:int] [SLOTS count:int slot:int [slot:int ...]]",
            summary: "Begins to look for the keys that cost most.",
            arity: -2,
            run: start,
            ..HOTKEYS
        },
        Command {
            name: "stop",
            summary: "Ends looking; what was found stays.",
            arity: 2,
            run: stop,
            ..HOTKEYS
        },
    ],
    ..HOTKEYS
}];

/// Keys told of where nobody says how many.
const COUNT: usize = 10;

/// The most keys that are told of.
const COUNT_MAX: i64 = 64;

/// The longest that a session lasts, in seconds.
const SECONDS_MAX: i64 = 1_000_000;

/// The greatest number of a slot.
const SLOT_LAST: i64 = 16_383;

fn start(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let wish = read(args)?;
    if !cx.state.start_hot_keys(wish) {
        return Err(Error::HotKeysActive.into());
    }
    cx.reply.ok();
    Ok(())
}

fn read(args: &mut Args<'_>) -> Result<Wish, Error> {
    if !args.flag("METRICS") {
        return Err(Error::HotKeysMetrics);
    }
    let metrics = args.int()?;
    let mut wish = Wish { cpu: false, net: false, count: COUNT, duration_ms: 0, sample: 1 };
    loop {
        if args.flag("CPU") {
            wish.cpu = true;
        } else if args.flag("NET") {
            wish.net = true;
        } else {
            break;
        }
    }
    if metrics < 1 || metrics != i64::from(wish.cpu) + i64::from(wish.net) {
        return Err(Error::HotKeysMetricsCount);
    }
    while !args.is_empty() {
        if args.flag("COUNT") {
            wish.count = within(args, 1..=COUNT_MAX, Error::HotKeysCount)? as usize;
        } else if args.flag("DURATION") {
            wish.duration_ms = within(args, 1..=SECONDS_MAX, Error::HotKeysDuration)? * 1000;
        } else if args.flag("SAMPLE") {
            wish.sample = within(args, 1..=i64::MAX, Error::HotKeysSample)?;
        } else if args.flag("SLOTS") {
            return Err(Error::HotKeysSlots);
        } else {
            return Err(Error::Syntax);
        }
    }
    Ok(wish)
}

fn within(
    args: &mut Args<'_>,
    range: std::ops::RangeInclusive<i64>,
    error: Error,
) -> Result<u64, Error> {
    let number = args.int()?;
    if range.contains(&number) { Ok(number as u64) } else { Err(error) }
}

fn stop(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    if !cx.state.stop_hot_keys() {
        return Err(Error::HotKeysInactive.into());
    }
    cx.reply.ok();
    Ok(())
}

fn reset(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    if !cx.state.hot_keys.reset() {
        return Err(Error::HotKeysBusy.into());
    }
    cx.reply.ok();
    Ok(())
}

fn get(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    cx.state.probe();
    match cx.state.hot_keys.report(cx.now(), cx.state.gauges.cpu_us()) {
        Some(report) => write(cx, &report),
        None => cx.reply.null(),
    }
    Ok(())
}

fn write(cx: &mut Context<'_>, report: &Report) {
    let wish = report.wish;
    let numbers = [
        (true, "tracking-active", u64::from(report.is_active)),
        (true, "sample-ratio", wish.sample),
        (true, "all-commands-all-slots-us", report.all_us),
        (true, "net-bytes-all-commands-all-slots", report.all_bytes),
        (true, "collection-start-time-unix-ms", report.started_ms),
        (true, "collection-duration-ms", report.lasted_ms),
        (wish.cpu, "total-cpu-time-user-ms", report.cpu_ms.0),
        (wish.cpu, "total-cpu-time-sys-ms", report.cpu_ms.1),
        (wish.net, "total-net-bytes", report.all_bytes),
    ];
    let lists = [
        (wish.cpu, "by-cpu-time-us", &report.by_time),
        (wish.net, "by-net-bytes", &report.by_bytes),
    ];
    let shown = numbers.iter().filter(|(shown, ..)| *shown);
    let lists: Vec<_> = lists.into_iter().filter(|(shown, ..)| *shown).collect();
    // What clients expect: the report is the only element of an array.
    cx.reply.array(1);
    cx.reply.map(shown.clone().count() + 1 + lists.len());
    for (_, name, number) in shown {
        cx.reply.bulk(name.as_bytes());
        cx.reply.integer(*number as i64);
        if *name == "sample-ratio" {
            // Without a cluster all slots are looked at: one range.
            cx.reply.bulk(b"selected-slots");
            cx.reply.array(1);
            cx.reply.array(2);
            cx.reply.integer(0);
            cx.reply.integer(SLOT_LAST);
        }
    }
    for (_, name, keys) in lists {
        cx.reply.bulk(name.as_bytes());
        cx.reply.array(keys.len() * 2);
        for (key, amount) in keys {
            cx.reply.bulk(key);
            cx.reply.integer(*amount as i64);
        }
    }
}
