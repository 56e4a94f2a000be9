//! LATENCY, and what INFO says about how long commands take.

use std::time::Duration;

use russet_testkit::{Reply, Transcript};

use crate::{Server, server};

fn transcript() -> (Server, Transcript) {
    let server = server();
    let transcript = Transcript::new(server.client());
    (server, transcript)
}

fn line(t: &mut Transcript, section: &str, name: &str) -> Option<String> {
    let text = match t.run(&format!("INFO {section}")) {
        Reply::Bulk(text) => String::from_utf8_lossy(&text).into_owned(),
        other => panic!("INFO answered {other}"),
    };
    let found = text.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.map(str::to_owned)
}

#[test]
fn percentiles_are_those_that_the_configuration_names() {
    let (_server, mut t) = transcript();
    t.check("SET k v", "OK");
    t.check("CLIENT ID", "1");
    let of_set = line(&mut t, "latencystats", "latency_percentiles_usec_set").unwrap();
    let names: Vec<&str> = of_set.split(',').map(|part| part.split('=').next().unwrap()).collect();
    assert_eq!(names, ["p50", "p99", "p99.9"]);
    assert!(line(&mut t, "latencystats", "latency_percentiles_usec_client|id").is_some());
    t.check("CONFIG SET latency-tracking-info-percentiles \"0.0 50.0 100.0\"", "OK");
    let of_set = line(&mut t, "latencystats", "latency_percentiles_usec_set").unwrap();
    assert!(of_set.starts_with("p0=") && of_set.contains(",p100="), "{of_set}");
    t.check("CONFIG SET latency-tracking no", "OK");
    assert_eq!(line(&mut t, "latencystats", "latency_percentiles_usec_set"), None);
    t.check("CONFIG RESETSTAT", "OK");
    t.check("SET k v", "OK");
    t.check("CONFIG SET latency-tracking yes", "OK");
    assert_eq!(line(&mut t, "latencystats", "latency_percentiles_usec_set"), None);
}

#[test]
fn what_a_command_took_is_its_own_time() {
    let (_server, mut t) = transcript();
    t.check("CONFIG SET latency-tracking-info-percentiles 50", "OK");
    // In one pipeline, so that those before and behind it have to be told apart from it.
    for words in [&["SET", "k", "v"][..], &["DEBUG", "SLEEP", "0.05"], &["GET", "k"]] {
        t.client.send(words).unwrap();
    }
    (0..3).for_each(|_| drop(t.client.recv().unwrap()));
    let mut p50 = |name: &str| {
        let shown = line(&mut t, "latencystats", &format!("latency_percentiles_usec_{name}"));
        shown.unwrap().strip_prefix("p50=").unwrap().parse::<f64>().unwrap()
    };
    assert!(p50("debug") >= 50_000.0);
    assert!(p50("set") < 20_000.0 && p50("get") < 20_000.0);
}

#[test]
fn a_histogram_has_limits_and_how_many_calls_took_no_longer() {
    let (_server, mut t) = transcript();
    t.check("CONFIG RESETSTAT", "OK");
    for _ in 0..3 {
        t.check("SET k v", "OK");
    }
    let shown = t.run("LATENCY HISTOGRAM set").to_string();
    assert!(shown.starts_with("[set, [calls, 3, histogram_usec, ["), "{shown}");
    assert!(shown.ends_with(", 3]]]"), "{shown}");
    t.check("LATENCY HISTOGRAM none", "[]");
    t.check("CLIENT ID", "1");
    t.run("CLIENT LIST");
    let of_client = t.run("LATENCY HISTOGRAM client").to_string();
    assert!(of_client.contains("client|id") && of_client.contains("client|list"), "{of_client}");
    assert!(!of_client.contains("set"), "{of_client}");
    t.run("HELLO 3");
    let as_map = t.run("LATENCY HISTOGRAM set none").to_string();
    assert!(as_map.starts_with("{set: {"), "{as_map}");
}

#[test]
fn what_takes_longer_than_the_threshold_is_an_event() {
    let (_server, mut t) = transcript();
    t.strict("LATENCY LATEST", "[]");
    let off = t.run("LATENCY DOCTOR").to_string();
    assert!(off.contains("switched off"), "{off}");
    t.check("CONFIG SET latency-monitor-threshold 250", "OK");
    t.check("DEBUG SLEEP 0.3", "OK");
    std::thread::sleep(Duration::from_millis(1_100));
    t.check("DEBUG SLEEP 0.6", "OK");
    t.check("CONFIG SET latency-monitor-threshold 1000000", "OK");
    let Reply::Array(events) = t.run("LATENCY LATEST") else { panic!("an array") };
    let Reply::Array(event) = &events[0] else { panic!("an event") };
    assert_eq!(event[0].to_string(), "command");
    let (Reply::Int(latest), Reply::Int(high)) = (&event[2], &event[3]) else { panic!("times") };
    assert!((600..=*high).contains(latest), "{latest} of {high}");
    let Reply::Array(samples) = t.run("LATENCY HISTORY command") else { panic!("an array") };
    assert!(samples.len() >= 2, "{samples:?}");
    t.strict("LATENCY HISTORY other", "[]");
    let graph = t.run("LATENCY GRAPH command").to_string();
    assert!(graph.contains(&format!("command - high {high} ms, low ")), "{graph}");
    t.check("LATENCY GRAPH other", "-ERR No samples available for event 'other'");
    let report = t.run("LATENCY DOCTOR").to_string();
    assert!(report.contains(&format!("1. command: {} times", samples.len())), "{report}");
    t.check("LATENCY RESET other", "0");
    t.check("LATENCY RESET COMMAND", "1");
    t.check("LATENCY RESET", "0");
    t.strict("LATENCY LATEST", "[]");
    t.check("LATENCY HELP x", "-ERR wrong number of arguments for 'latency|help' command");
}
