//! Client libraries as people use them: each runs a script of its own kind against a server.
//!
//! A library that is not installed is left out with one line; with `RUSSET_REQUIRE_PEERS=1` that is a failure.

use std::path::Path;
use std::process::Command;

use crate::server;

/// Runs a script with the first program that has the library, and fails with what it prints.
#[track_caller]
#[expect(clippy::print_stdout, reason = "a test run must show what it did not test")]
fn check(library: &str, programs: &[&str], probe: [&str; 2], script: &str) {
    let has_library = |program: &&&str| {
        Command::new(**program).args(probe).output().is_ok_and(|output| output.status.success())
    };
    let Some(program) = programs.iter().find(has_library) else {
        let required = std::env::var("RUSSET_REQUIRE_PEERS").is_ok_and(|value| value == "1");
        assert!(!required, "{library} is not installed");
        println!("left out: {library} is not installed");
        return;
    };
    let server = server();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients").join(script);
    let port = server.handle.address().port().to_string();
    let output = Command::new(program).arg(script).arg(port).output().expect("it ran a moment ago");
    let (printed, failed) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && printed.ends_with("fine\n"),
        "{library}:\n{printed}{failed}"
    );
}

#[track_caller]
fn check_redis_py(script: &str) {
    check("redis-py", &["python3", "/usr/bin/python3"], ["-c", "import redis"], script);
}

#[track_caller]
fn check_ioredis(script: &str) {
    check("ioredis", &["node"], ["-e", "require('ioredis')"], script);
}

#[test]
fn redis_py_works() {
    check_redis_py("redis_py.py");
}

#[test]
fn redis_py_uses_every_family() {
    check_redis_py("families.py");
}

#[test]
fn ioredis_works() {
    check_ioredis("ioredis.js");
}

#[test]
fn ioredis_uses_every_family() {
    check_ioredis("families.js");
}

#[test]
fn node_redis_works() {
    check("node-redis", &["node"], ["-e", "require('redis')"], "node_redis.js");
}

#[test]
fn scripts_of_locks_and_limiters_work_for_eight_clients() {
    let probe = "require('ioredis'); require('redlock'); require('rate-limiter-flexible')";
    check("redlock, or rate-limiter-flexible,", &["node"], ["-e", probe], "limits.js");
}

#[test]
fn bullmq_works() {
    check("bullmq", &["node"], ["-e", "require('bullmq')"], "bullmq.js");
}
