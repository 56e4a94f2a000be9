//! The pages for operators, and the dashboard and rules that lean on them.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use russet_testkit::Transcript;
use russet_testkit::process::free_port;

use crate::Server;

/// A server that serves metrics, and where.
fn server() -> (Server, SocketAddr) {
    let port = free_port().expect("a free port");
    let server =
        Server::with(&["--enable-debug-command", "yes", "--metrics-port", &port.to_string()]);
    (server, SocketAddr::from(([127, 0, 0, 1], port)))
}

/// Head and body of the answer to a request without a body.
fn ask(address: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("metrics are served");
    let text = format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers and closes");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_owned(), body.to_owned())
}

fn scrape(address: SocketAddr) -> String {
    let (head, body) = ask(address, "GET /metrics");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    body
}

/// The value of one sample.
#[track_caller]
fn value(text: &str, sample: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    let number = line.unwrap_or_else(|| panic!("no {sample} in {text}"));
    number.parse::<f64>().expect("a number") as u64
}

#[test]
fn commands_keys_and_threads_are_told() {
    let (server, address) = server();
    let mut t = Transcript::new(server.client());
    t.check("SET k v", "OK");
    t.check("SET l v EX 100", "OK");
    t.check("GET k", "v");
    t.check("GET none", "(nil)");
    t.check("LPUSH k x", "-WRONGTYPE...");
    let text = scrape(address);
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert_eq!(value(&text, "russet_command_calls_total{command=\"get\"}"), 2);
    assert_eq!(value(&text, "russet_command_failed_total{command=\"lpush\"}"), 1);
    assert_eq!(value(&text, "russet_command_duration_seconds_count{command=\"set\"}"), 2);
    assert_eq!(
        value(&text, "russet_command_duration_seconds_bucket{le=\"+Inf\",command=\"set\"}"),
        2
    );
    assert_eq!(value(&text, "russet_db_keys{db=\"db0\"}"), 2);
    assert_eq!(value(&text, "russet_db_keys_expiring{db=\"db0\"}"), 1);
    assert_eq!(value(&text, "russet_errors_total{code=\"WRONGTYPE\"}"), 1);
    assert_eq!(value(&text, "russet_keyspace_hits_total"), 1);
    assert_eq!(value(&text, "russet_connected_clients"), 1);
    let of = |thread: &str| {
        value(&text, &format!("russet_thread_commands_total{{thread=\"{thread}\"}}"))
    };
    assert_eq!(of("io-0") + of("io-1"), 5);
    assert!(!text.contains("command=\"hset\""), "{text}");
}

#[test]
fn every_sample_has_a_name_that_is_documented() {
    let (server, address) = server();
    Transcript::new(server.client()).check("SET k v", "OK");
    let known: BTreeSet<String> = russet_server::metrics::names().into_iter().collect();
    for line in scrape(address).lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        assert!(known.contains(name), "{line}");
    }
}

#[test]
fn other_pages_say_whether_the_server_is_well() {
    let (server, address) = server();
    assert_eq!(ask(address, "GET /healthz").1, "ok\n");
    assert_eq!(ask(address, "GET /readyz").1, "ready\n");
    let state = server.state();
    state.set_rule(russet_dispatch::state::rule::LOADING, true);
    let (head, body) = ask(address, "GET /readyz");
    state.set_rule(russet_dispatch::state::rule::LOADING, false);
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    assert_eq!(body, "loading\n");
    assert!(ask(address, "GET /other").0.starts_with("HTTP/1.1 404"));
    assert!(ask(address, "POST /metrics").0.starts_with("HTTP/1.1 405"));
    assert_eq!(ask(address, "HEAD /healthz").1, "");
}

#[test]
fn metrics_are_off_until_they_are_configured() {
    let server = crate::server();
    let mut t = Transcript::new(server.client());
    t.check("CONFIG GET metrics-port", "[metrics-port, 0]");
    let port = free_port().expect("a free port");
    t.check(&format!("CONFIG SET metrics-port {port}"), "OK");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    assert!(scrape(address).contains("russet_build_info"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port();
    t.check(&format!("CONFIG SET metrics-port {taken}"), "-ERR CONFIG SET failed...");
    assert!(scrape(address).contains("russet_build_info"));
    t.check("CONFIG SET metrics-port 0", "OK");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn strangers_cannot_hold_the_pages_for_long() {
    let (_server, address) = server();
    let idle: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(address).unwrap()).collect();
    // Those beyond the bound are closed at once; the others keep their places for some seconds.
    let is_closed = |mut stream: &TcpStream| {
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        matches!(stream.read(&mut [0]), Ok(0))
    };
    assert!(idle.iter().skip(16).all(is_closed));
    drop(idle);
    let started = Instant::now();
    while TcpStream::connect(address).map_or(true, |stream| is_closed(&stream)) {
        assert!(started.elapsed() < Duration::from_secs(5), "places are not given back");
    }
    assert_eq!(ask(address, "GET /healthz").1, "ok\n");
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_page_about_metrics_is_current() {
    let (path, text) = (project().join("docs/metrics.md"), russet_server::metrics::markdown());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let current = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(current == text, "docs/metrics.md is out of date: UPDATE_DOCS=1 makes it anew");
}

/// All names of metrics that a text speaks of.
fn names_in(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c: char| !is_part(c))
        .filter(|word| word.starts_with("russet_"))
        .map(str::to_owned)
        .collect()
}

/// All queries of a dashboard: the expressions of its panels, and what its variables ask for.
fn queries(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    serde_json::Value::String(text) if name == "expr" || name == "query" => {
                        found.push(text.clone());
                    }
                    _ => queries(value, found),
                }
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| queries(value, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_only_for_what_there_is() {
    let text = std::fs::read_to_string(project().join("config/grafana/russet.json")).unwrap();
    let mut found = Vec::new();
    queries(&serde_json::from_str(&text).expect("it is JSON"), &mut found);
    assert!(found.len() > 30, "{} queries", found.len());
    let known: BTreeSet<String> = russet_server::metrics::names().into_iter().collect();
    for query in &found {
        let unknown: Vec<String> = names_in(query).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "{unknown:?} in {query}");
    }
}

#[test]
fn the_rules_for_alerts_ask_only_for_what_there_is() {
    let path = project().join("config/grafana/alerts.yml");
    let known: BTreeSet<String> = russet_server::metrics::names().into_iter().collect();
    let asked = names_in(&std::fs::read_to_string(&path).unwrap());
    let unknown: Vec<_> = asked.difference(&known).collect();
    assert!(unknown.is_empty() && !asked.is_empty(), "{unknown:?}");
    match Command::new("promtool").args(["check", "rules"]).arg(&path).output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Err(_) => println!("left out: promtool is not installed"),
    }
}

#[test]
fn a_scrape_of_a_million_keys_takes_little_time() {
    let (server, address) = server();
    let mut t = Transcript::new(server.client());
    let keys = if std::env::var_os("RUSSET_METRICS_LARGE").is_some() { 1_000_000 } else { 20_000 };
    let clients = keys / 1_000;
    t.check(&format!("DEBUG POPULATE {keys}"), "OK");
    let others: Vec<_> = (0..clients).map(|_| server.client()).collect();
    scrape(address);
    let mut times: Vec<Duration> = (0..10)
        .map(|_| {
            let started = Instant::now();
            scrape(address);
            started.elapsed()
        })
        .collect();
    times.sort();
    println!("{keys} keys, {} clients: a scrape takes {:?}", others.len(), times[5]);
    assert!(times[5] < Duration::from_millis(50), "{times:?}");
}
