//! MEMORY DOCTOR: what is wrong with the use of memory, in words.

use std::sync::atomic::Ordering;

use russet_config::id;
use russet_dispatch::{Args, Context, Outcome};

use crate::info::client_bytes;

/// Less than this in use says nothing.
const EMPTY_BYTES: u64 = 5 << 20;

/// What is lost has to be more than this to be worth a word.
const WORTH_BYTES: i64 = 10 << 20;

/// Buffers of a client beyond this are large.
const CLIENT_BYTES: usize = 200 << 10;

/// One thing that may be wrong: whether it is, and what to say then.
type Finding = (bool, &'static str);

pub(super) fn doctor(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    cx.state.probe();
    let text = report(cx);
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn report(cx: &Context<'_>) -> String {
    if cx.state.gauges.used_memory.load(Ordering::Relaxed) < EMPTY_BYTES {
        return "There is next to nothing in this server, so there is nothing to say about its memory.\n".to_owned();
    }
    let found: Vec<&str> =
        findings(cx).into_iter().filter(|(holds, _)| *holds).map(|(_, text)| text).collect();
    if found.is_empty() {
        return "Nothing is wrong with the use of memory, as far as can be seen from here.\n"
            .to_owned();
    }
    let list: Vec<String> = found.iter().map(|text| format!(" * {text}\n\n")).collect();
    format!("This is worth a look:\n\n{}", list.concat())
}

fn findings(cx: &Context<'_>) -> [Finding; 5] {
    let gauges = &cx.state.gauges;
    let used = gauges.used_memory.load(Ordering::Relaxed) as f64;
    let peak = gauges.used_memory_peak.load(Ordering::Relaxed) as f64;
    let active = gauges.active.load(Ordering::Relaxed) as f64;
    let resident = gauges.resident.load(Ordering::Relaxed) as f64;
    let rss = gauges.rss.load(Ordering::Relaxed) as f64;
    let is_lost = |one: f64, other: f64, ratio: f64| {
        one / other.max(1.0) > ratio && (one - other) as i64 > WORTH_BYTES
    };
    let clients = cx.state.clients.all();
    let per_client = client_bytes(&clients) / clients.len().max(1);
    [
        (
            peak / used.max(1.0) > 1.5,
            "Peak: there was a time when half as much again was in use as now. What is left of that time goes back to the \
             system by itself within seconds; MEMORY PURGE asks for it at once.",
        ),
        (
            is_lost(rss, used, 1.4),
            "Resident memory: the process holds much more than its data needs. After a peak that passes; if it stays, \
             look at the ratios in INFO memory to see where it is.",
        ),
        (
            is_lost(active, used, 1.1),
            if cx.state.config.load().bool(const { id("activedefrag") }) {
                "Fragmentation: pages of the allocator are filled only in part, as values of many sizes came and went. \
                 activedefrag is on: what lies in such pages is being moved together, as far as the active-defrag \
                 parameters allow."
            } else {
                "Fragmentation: pages of the allocator are filled only in part, as values of many sizes came and went. \
                 CONFIG SET activedefrag yes moves what lies in them together."
            },
        ),
        (
            is_lost(resident, active, 1.1),
            "Unused pages: the allocator keeps pages that nothing is in; MEMORY PURGE gives them back.",
        ),
        (
            per_client > CLIENT_BYTES,
            "Clients: their buffers take more than 200 kB each on average. CLIENT LIST shows whose, in the fields qbuf \
             and omem.",
        ),
    ]
}
