//! CONFIG and FUNCTION.

use std::time::{Duration, Instant};

use russet_testkit::{Client, Transcript};

use crate::{Server, server};

fn transcript() -> (Server, Transcript) {
    let server = server();
    let transcript = Transcript::new(server.client());
    (server, transcript)
}

#[test]
fn parameters_are_found_by_name_and_by_pattern() {
    let (_server, mut t) = transcript();
    t.check("CONFIG GET maxmemory", "[maxmemory, 0]");
    t.check("CONFIG GET MaxMemory", "[MaxMemory, 0]");
    t.check("CONFIG GET nothing", "[]");
    t.check("CONFIG GET save timeout", "[save, 3600 1 300 100 60 10000, timeout, 0]");
    t.check("CONFIG GET slave-read-onl*", "[slave-read-only, yes]");
    t.check(
        "CONFIG GET hash-max-listpack-[ev]*",
        "[hash-max-listpack-entries, 512, hash-max-listpack-value, 64]",
    );
    t.check("HELLO 3", "(any)");
    t.check("CONFIG GET maxmemory maxmemory", "{maxmemory: 0}");
    t.check("CONFIG GET", "-ERR wrong number of arguments for 'config|get' command");
}

#[test]
fn a_change_happens_as_a_whole_or_not_at_all() {
    let (server, mut t) = transcript();
    t.check("CONFIG SET maxmemory 10mb timeout 7", "OK");
    t.check("CONFIG GET maxmemory timeout", "[maxmemory, 10485760, timeout, 7]");
    assert_eq!(server.state().tunables.timeout.load(std::sync::atomic::Ordering::Relaxed), 7);
    t.check(
        "CONFIG SET timeout 8 maxmemory-policy none",
        "-ERR CONFIG SET failed (possibly related to argument 'maxmemory-policy') - argument(s) must be one of the following: ...",
    );
    t.check("CONFIG GET timeout", "[timeout, 7]");
    t.check(
        "CONFIG SET nothing 1",
        "-ERR Unknown option or number of arguments for CONFIG SET - 'nothing'",
    );
    t.check(
        "CONFIG SET timeout 1 timeout 2",
        "-ERR CONFIG SET failed (possibly related to argument 'timeout') - duplicate parameter",
    );
    t.check("CONFIG SET timeout 1 maxmemory", "-ERR syntax error");
    t.check("CONFIG SET databases 3", "-ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config");
    t.check(
        "CONFIG SET dir /",
        "-ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config",
    );
}

/// What is read once, at the start, or wants `enable-protected-configs`. A parameter that is not among them can be set.
const FIXED: &str = "aclfile always-show-logo aof-rewrite-cpulist aof_rewrite_cpulist appenddirname appendfilename bgsave-cpulist \
    bgsave_cpulist bio-cpulist bio_cpulist cluster-config-file cluster-enabled cluster-port daemonize databases dbfilename dir \
    disable-thp enable-debug-command enable-module-command enable-protected-configs io-threads io-threads-do-reads logfile pidfile \
    rdbchecksum replicaof server-cpulist server_cpulist set-proc-title slaveof socket-mark-id supervised syslog-enabled \
    syslog-facility syslog-ident tcp-backlog unixsocket unixsocketgroup unixsocketperm";

#[test]
fn every_parameter_takes_the_value_that_it_has() {
    let server = server();
    let mut client = server.client();
    let pairs = |client: &mut Client| -> Vec<(String, String)> {
        let found = client.cmd(&["CONFIG", "GET", "*"]);
        let words = found.items().expect("a list of words").iter();
        let words: Vec<String> = words
            .map(|word| String::from_utf8_lossy(word.bytes().unwrap_or_default()).into_owned())
            .collect();
        words.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    };
    let before = pairs(&mut client);
    assert!(before.len() > 200, "{} parameters", before.len());
    for (name, value) in &before {
        let is_fixed = FIXED.split_whitespace().any(|fixed| fixed == name);
        let answer = client.cmd(&["CONFIG", "SET", name, value]).to_string();
        assert_eq!(answer == "OK", !is_fixed, "{name} to {value:?}: {answer}");
    }
    assert_eq!(pairs(&mut client), before);
}

#[test]
fn a_change_takes_effect_inside_a_transaction() {
    let (_server, mut t) = transcript();
    t.check("MULTI", "OK");
    t.check("CONFIG SET timeout 3", "QUEUED");
    t.check("CONFIG SET port 1", "QUEUED");
    t.check("CONFIG GET timeout", "QUEUED");
    t.check("EXEC", "[OK, -ERR Command not allowed inside a transaction, [timeout, 3]]");
}

#[test]
fn a_password_holds_from_the_moment_it_is_set() {
    let (server, mut t) = transcript();
    t.check("CONFIG SET requirepass secret", "OK");
    let mut stranger = Transcript::new(server.client());
    stranger.check("GET k", "-NOAUTH Authentication required.");
    stranger.check("AUTH secret", "OK");
    stranger.check("CONFIG SET requirepass \"\"", "OK");
    Transcript::new(server.client()).check("GET k", "(nil)");
}

#[test]
fn the_port_can_be_changed_and_clients_stay() {
    let (server, mut t) = transcript();
    let port = russet_testkit::process::free_port().unwrap();
    t.check(&format!("CONFIG SET bind 127.0.0.1 port {port}"), "OK");
    t.check("CONFIG GET port", &format!("[port, {port}]"));
    Transcript::new(Client::connect(("127.0.0.1", port)).unwrap()).check("PING", "PONG");
    assert!(Client::connect(server.handle.address()).is_err(), "the old port is closed");
    t.check("PING", "PONG");
}

#[test]
fn a_port_that_is_taken_changes_nothing() {
    let (server, mut t) = transcript();
    let other = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = other.local_addr().unwrap().port();
    let refusal = "-ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server logs.";
    t.check(&format!("CONFIG SET bind 127.0.0.1 timeout 9 port {taken}"), refusal);
    t.check("CONFIG GET timeout", "[timeout, 0]");
    t.check("INFO errorstats", "(any)");
    Transcript::new(server.client()).check("PING", "PONG");
    let errors = t.run("INFO errorstats").to_string();
    assert!(errors.contains("errorstat_ERR:count=1"), "{errors}");
}

#[test]
fn what_the_system_cannot_do_is_refused() {
    let (_server, mut t) = transcript();
    t.check(
        "CONFIG SET maxclients 4000000000",
        "-ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating system is not able to handle the specified number of clients, try with...",
    );
    t.check("CONFIG GET maxclients", "[maxclients, 10000]");
    t.check("CONFIG REWRITE", "-ERR The server is running without a config file");
}

#[test]
fn the_count_of_what_was_freed_aside_goes_back_to_zero() {
    let (_server, mut t) = transcript();
    for n in 0..200 {
        t.run(&format!("HSET h {n} {n:0>100}"));
    }
    t.check("UNLINK h", "1");
    let mut shows = |count| t.run("INFO memory").to_string().contains(count);
    let until = Instant::now() + Duration::from_secs(5);
    while !shows("lazyfreed_objects:1") && Instant::now() < until {
        std::thread::yield_now();
    }
    assert!(shows("lazyfreed_objects:1"), "a thread frees it");
    t.check("CONFIG RESETSTAT", "OK");
    assert!(t.run("INFO memory").to_string().contains("lazyfreed_objects:0"));
}

#[test]
fn short_replies_count_for_no_output_limit() {
    let (server, mut t) = transcript();
    t.check("CONFIG SET client-output-buffer-limit \"normal 10 0 0\"", "OK");
    t.check("ECHO longer-than-ten-bytes", "longer-than-ten-bytes");
    let mut greedy = server.client();
    assert_eq!(greedy.cmd(&["SET", "k", &"x".repeat(100_000)]).to_string(), "OK");
    greedy.send(&["GET", "k"]).unwrap();
    assert!(greedy.recv().is_err(), "the reply is too long");
    let stats = t.run("INFO stats").to_string();
    assert!(stats.contains("client_output_buffer_limit_disconnections:1"), "{stats}");
}

#[test]
fn counters_go_back_to_zero() {
    let (_server, mut t) = transcript();
    t.check("GET k", "(nil)");
    t.check("NOTHING", "-ERR unknown command...");
    t.check("CONFIG RESETSTAT", "OK");
    let stats = t.run("INFO everything").to_string();
    for gone in ["cmdstat_get", "errorstat_ERR"] {
        assert!(!stats.contains(gone), "{stats}");
    }
    for zero in ["keyspace_misses:0", "total_error_replies:0", "total_connections_received:0"] {
        assert!(stats.contains(zero), "{stats}");
    }
}

#[test]
fn containers_explain_themselves() {
    let (_server, mut t) = transcript();
    let help = t.run("CONFIG HELP").to_string();
    assert!(
        help.contains("CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"),
        "{help}"
    );
    assert!(help.contains("RESETSTAT"), "{help}");
    t.check("CONFIG NOTHING", "-ERR unknown subcommand 'NOTHING'. Try CONFIG HELP.");
    t.check("CONFIG", "-ERR wrong number of arguments for 'config' command");
}
