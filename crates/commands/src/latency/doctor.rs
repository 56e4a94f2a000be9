//! LATENCY DOCTOR: the samples in words, and what may help.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use russet_config::id;
use russet_dispatch::latency::{Event, Series};
use russet_dispatch::{Args, Context, Outcome, State};

pub(super) fn doctor(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    let text = report(cx.state, cx.now() / 1000);
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn report(state: &State, now: u64) -> String {
    let events = state.latency.all();
    let threshold = state.tunables.observe.latency_ms.load(Ordering::Relaxed);
    if events.is_empty() {
        return if threshold == 0 {
            "The latency monitor is switched off, so there is nothing to tell. CONFIG SET \
             latency-monitor-threshold <milliseconds> switches it on.\n"
        } else {
            "Nothing has taken longer than latency-monitor-threshold so far.\n"
        }
        .to_owned();
    }
    let mut text = "Some things took long in this server:\n\n".to_owned();
    for (nth, (event, series)) in events.iter().enumerate() {
        describe(&mut text, nth + 1, *event, series, now);
    }
    text.push_str("\nWhat may help:\n\n");
    let kinds: Vec<Event> = events.iter().map(|(event, _)| *event).collect();
    for line in advice(state, &kinds, threshold) {
        // Writing to a string does not fail.
        let _ = writeln!(text, "- {line}");
    }
    text
}

fn describe(text: &mut String, nth: usize, event: Event, series: &Series, now: u64) {
    let count = series.samples.len() as u64;
    let mean = series.samples.iter().map(|sample| sample.ms).sum::<u64>() / count.max(1);
    let spread: u64 = series.samples.iter().map(|sample| sample.ms.abs_diff(mean)).sum();
    let first = series.samples.front().map_or(now, |sample| sample.at);
    let period = now.saturating_sub(first).max(1) as f64 / count.max(1) as f64;
    let _ = writeln!(
        text,
        "{nth}. {}: {count} times (average {mean}ms, mean deviation {}ms, every {period:.2} sec). The worst ever took {}ms.",
        event.name(),
        spread / count.max(1),
        series.max_ms,
    );
}

fn advice(state: &State, kinds: &[Event], threshold: u64) -> Vec<String> {
    let mut lines = Vec::new();
    for kind in kinds {
        match kind {
            Event::Command => lines.extend(of_commands(state, threshold)),
            Event::FastCommand => lines.push(
                "Commands that need little time took long: something kept the threads from running. Look for other \
                 load on this machine, for swapping, and for neighbours of a virtual one."
                    .to_owned(),
            ),
            Event::ExpireCycle => lines.push(
                "Much ended at the same time. Spread the ends of keys that are made together, or raise hz so that \
                 each round has less to do."
                    .to_owned(),
            ),
            Event::EvictionCycle | Event::EvictionDelete => lines.push(
                "Much had to go at once to make room. Lower maxmemory in small steps, and keep single values small."
                    .to_owned(),
            ),
            Event::AofWrite | Event::AofFsyncAlways => lines.push(
                "The disk is slow. Use one of this machine's own, with nothing else on it, or relax appendfsync."
                    .to_owned(),
            ),
            Event::DefragCycle => lines.push(
                "Moving values together took long at a stretch: lower active-defrag-cycle-us, or something else kept that thread from \
                 running."
                    .to_owned(),
            ),
            Event::SnapshotBegin => lines.push(
                "A snapshot begins while everything stands still for a moment: make fewer of them.".to_owned(),
            ),
        }
    }
    lines
}

fn of_commands(state: &State, threshold: u64) -> Vec<String> {
    let config = state.config.load();
    let slower_than_us = config.integer(const { id("slowlog-log-slower-than") });
    let is_off = slower_than_us < 0 || config.integer(const { id("slowlog-max-len") }) == 0;
    let wanted = threshold * 1000;
    let mut lines = Vec::new();
    if is_off || slower_than_us as u64 / 1000 > threshold {
        lines.push(format!(
            "The slow log does not show the commands that took so long: CONFIG SET slowlog-log-slower-than {wanted} makes it do so."
        ));
    }
    lines.push("SLOWLOG GET shows which commands they were.".to_owned());
    lines.push(
        "Commands about whole collections take the longer the more is in them: keep collections small, or walk them \
         with SCAN and its kin."
            .to_owned(),
    );
    lines
}
