//! The bound of memory, measured while things go.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use russet_dispatch::State;
use russet_dispatch::state::{Gauges, Tools};
use russet_models::{Local, state};
use russet_testkit::Reply;

const MB: u64 = 1 << 20;

static STATE: OnceLock<&'static State> = OnceLock::new();

/// Sees all that waits to be freed in use still, and all of it gone right after.
fn probe(gauges: &Gauges) {
    let trash = STATE.get().expect("set before").keyspace.trash();
    gauges.used_memory.store(MB + trash.pending_bytes() as u64, Ordering::Relaxed);
    if trash.pending() > 0 {
        trash.empty_once();
    }
}

#[test]
fn what_is_freed_while_memory_is_measured_leaves_room_for_data() {
    let state = *STATE.get_or_init(|| state(4));
    let tools = Tools {
        probe,
        purge: || false,
        allocator_report: String::new,
        allocator_number: |_| None,
        let_go: || false,
        add_library: |_, _, _| Ok(()),
    };
    assert!(state.tools.set(tools).is_ok());
    let mut client = Local::new(state);
    let value = "v".repeat(1 << 10);
    let mut ask = |words: &[&str]| client.begin(words).expect("nobody waits");
    for key in 0..8_000 {
        ask(&["SET", &key.to_string(), &value]);
    }
    ask(&["FLUSHALL", "ASYNC"]);
    assert!(state.keyspace.trash().pending_bytes() as u64 > 8 * MB);
    state.tunables.memory_max.store(4 * MB, Ordering::Relaxed);
    state.judge_memory();
    assert_eq!(ask(&["SET", "key", &value]), Reply::Simple(b"OK".to_vec()));
}
