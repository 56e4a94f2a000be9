//! HOTKEYS.

use russet_testkit::{Reply, Transcript};

use crate::{Server, server};

fn transcript() -> (Server, Transcript) {
    let server = server();
    let transcript = Transcript::new(server.client());
    (server, transcript)
}

#[test]
fn the_keys_that_cost_most_are_found() {
    let (_server, mut t) = transcript();
    t.strict("HOTKEYS GET", "$-1");
    t.strict("HOTKEYS START METRICS 2 CPU NET COUNT 2", "+OK");
    t.check("HOTKEYS START METRICS 1 CPU", "-ERR hotkeys tracking session already in progress");
    let value = "v".repeat(1000);
    for _ in 0..20 {
        t.check(&format!("SET large {value}"), "OK");
        t.check("SET small v", "OK");
    }
    t.check("GET rare", "(nil)");
    t.check("HOTKEYS RESET", "-ERR hotkeys tracking is active, stop it first");
    t.strict("HOTKEYS STOP", "+OK");
    t.check("HOTKEYS STOP", "-ERR hotkeys tracking is not active");
    let report = t.run("HOTKEYS GET").to_string();
    assert!(report.contains("by-net-bytes, [large, 2"), "{report}");
    assert!(report.contains("tracking-active, 0"), "{report}");
    assert!(report.contains("selected-slots, [[0, 16383]]"), "{report}");
    // By time a key may be among the first that was used once, if the system was busy just then.
    let (by_time, by_bytes) = report.split_once("by-net-bytes").expect("asked for");
    assert!(by_time.contains("by-cpu-time-us, ["), "{report}");
    assert!(by_bytes.contains(", small, 7") && !by_bytes.contains("rare"), "{report}");
    t.strict("HOTKEYS RESET", "+OK");
    t.strict("HOTKEYS GET", "$-1");
}

#[test]
fn only_what_was_asked_for_is_told() {
    let (_server, mut t) = transcript();
    t.run("HELLO 3");
    t.check("HOTKEYS START METRICS 1 NET SAMPLE 1 DURATION 100", "OK");
    t.check("SET k v", "OK");
    let Reply::Array(reports) = t.run("HOTKEYS GET") else { panic!("an array") };
    let report = reports[0].to_string();
    assert!(report.contains("total-net-bytes") && !report.contains("cpu"), "{report}");
    assert!(report.contains("tracking-active: 1"), "{report}");
    t.check("HOTKEYS STOP", "OK");
}

#[test]
fn a_start_says_what_is_wrong_with_it() {
    let (_server, mut t) = transcript();
    t.check("HOTKEYS START", "-ERR METRICS parameter is required");
    t.check("HOTKEYS START METRICS 2 CPU", "-ERR METRICS count does not match...");
    t.check("HOTKEYS START METRICS 1", "-ERR METRICS count does not match...");
    t.check("HOTKEYS START METRICS 1 CPU COUNT 0", "-ERR COUNT must be...");
    t.check("HOTKEYS START METRICS 1 CPU SAMPLE 0", "-ERR SAMPLE ratio...");
    t.check("HOTKEYS START METRICS 1 CPU DURATION 0", "-ERR DURATION must be...");
    t.check("HOTKEYS START METRICS 1 CPU SLOTS 1 0", "-ERR SLOTS parameter cannot be used...");
    t.check("HOTKEYS START METRICS 1 CPU other", "-ERR syntax error");
}

#[test]
fn a_session_ends_by_itself() {
    let (_server, mut t) = transcript();
    t.check("HOTKEYS START METRICS 1 CPU DURATION 1", "OK");
    while t.run("HOTKEYS GET").to_string().contains("tracking-active, 1") {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    t.check("HOTKEYS STOP", "-ERR hotkeys tracking is not active");
}
