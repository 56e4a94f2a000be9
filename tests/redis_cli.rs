//! `redis-cli` in its modes, as operators use it.
//!
//! Where it is not installed these tests are left out with one line; with `RUSSET_REQUIRE_PEERS=1` that is a failure.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use russet_persist::check::check;
use russet_persist::file::Files;
use russet_testkit::client::encode;
use russet_testkit::differential::installed;
use russet_testkit::{Setup, Transcript};

use crate::durability::interop::{databases, digest, fill_databases};
use crate::durability::snapshot::until;
use crate::{Server, server};

/// A server and how to ask it from the command line; `None` where there is no `redis-cli`.
struct Cli {
    server: Server,
}

impl Cli {
    #[expect(clippy::print_stdout, reason = "a test run must show what it did not test")]
    fn start() -> Option<Self> {
        let is_there = Command::new("redis-cli").arg("--version").output().is_ok();
        let required = std::env::var("RUSSET_REQUIRE_PEERS").is_ok_and(|value| value == "1");
        assert!(is_there || !required, "redis-cli is not installed");
        if !is_there {
            println!("left out: redis-cli is not installed");
            return None;
        }
        Some(Self { server: server() })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("redis-cli");
        let port = self.server.address().port().to_string();
        command.args(["-p", &port]).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What it prints, to its end.
    #[track_caller]
    fn run(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut child = spawn(self.command(arguments).stdin(Stdio::piped()));
        child.stdin.take().expect("piped").write_all(input).expect("it reads");
        let Output { status, stdout, stderr } = child.wait_with_output().expect("it runs");
        let printed = String::from_utf8_lossy(&stdout).into_owned();
        assert!(status.success(), "{arguments:?}: {printed}{}", String::from_utf8_lossy(&stderr));
        printed
    }

    /// The first lines of what it prints without end.
    fn lines(&self, arguments: &[&str], count: usize) -> Vec<String> {
        let mut child = spawn(self.command(arguments).stdin(Stdio::null()));
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let lines = lines.take(count).map(|line| line.expect("text")).collect();
        stop(&mut child);
        lines
    }

    fn fill(&self) -> Transcript {
        let mut t = Transcript::new(self.server.client());
        for n in 0..100 {
            t.check(&format!("SET string:{n} {}", "v".repeat(n + 1)), "OK");
        }
        t.run("RPUSH list a b c");
        t.run("HSET hash a 1 b 2");
        t.run("ZADD zset 1 a 2 b 3 c 4 d");
        t.run("SADD set a");
        t.run("XADD stream * f v");
        t
    }
}

fn stop(child: &mut Child) {
    child.kill().expect("it runs");
    child.wait().expect("it has ended");
}

#[track_caller]
fn spawn(command: &mut Command) -> Child {
    command.spawn().expect("it ran a moment ago")
}

#[test]
fn stat_prints_a_line_a_tick() {
    let Some(cli) = Cli::start() else { return };
    cli.fill();
    let lines = cli.lines(&["--stat", "-i", "0.05"], 5);
    assert!(lines[0].contains("data") && lines[1].starts_with("keys"), "{lines:?}");
    for line in &lines[2..] {
        assert_eq!(line.split_whitespace().next(), Some("105"), "{line}");
    }
}

#[test]
fn latency_measures() {
    let Some(cli) = Cli::start() else { return };
    let printed = cli.run(&["--latency", "--raw", "-i", "0.2"], b"");
    let numbers: Vec<f64> =
        printed.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    assert!(numbers.len() == 4 && numbers[3] >= 1.0, "{printed}");
}

#[test]
fn bigkeys_and_memkeys_find_the_greatest() {
    let Some(cli) = Cli::start() else { return };
    cli.fill();
    let printed = cli.run(&["--bigkeys"], b"");
    for found in [
        "Biggest string found '\"string:99\"' has 100 bytes",
        "Biggest   list found '\"list\"' has 3 items",
        "Biggest   hash found '\"hash\"' has 2 fields",
        "Biggest   zset found '\"zset\"' has 4 members",
        "Biggest    set found '\"set\"' has 1 members",
        "Biggest stream found '\"stream\"' has 1 entries",
        "Sampled 105 keys in the keyspace!",
    ] {
        assert!(printed.contains(found), "{found} in {printed}");
    }
    let printed = cli.run(&["--memkeys"], b"");
    assert!(printed.contains("Biggest string found '\"string:9"), "{printed}");
    assert!(printed.contains("Sampled 105 keys in the keyspace!"), "{printed}");
}

#[test]
fn scan_lists_keys() {
    let Some(cli) = Cli::start() else { return };
    cli.fill();
    assert_eq!(cli.run(&["--scan"], b"").lines().count(), 105);
    let mut found: Vec<String> =
        cli.run(&["--scan", "--pattern", "string:1?"], b"").lines().map(str::to_owned).collect();
    found.sort();
    let expected: Vec<String> = (10..20).map(|n| format!("string:{n}")).collect();
    assert_eq!(found, expected);
}

#[test]
fn pipe_sends_a_mass_of_commands() {
    let Some(cli) = Cli::start() else { return };
    let mut input = Vec::new();
    for n in 0..20_000 {
        input.extend(encode(&["SET".to_owned(), format!("k{n}"), n.to_string()]));
    }
    input.extend(encode(&["NOSUCH"]));
    let mut child = spawn(cli.command(&["--pipe"]).stdin(Stdio::piped()));
    child.stdin.take().expect("piped").write_all(&input).expect("it reads");
    let printed = child.wait_with_output().expect("it runs");
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(printed.contains("errors: 1, replies: 20001"), "{printed}");
    assert_eq!(cli.run(&["DBSIZE"], b""), "20000\n");
}

#[test]
fn monitor_prints_commands() {
    let Some(cli) = Cli::start() else { return };
    let mut child = spawn(cli.command(&["MONITOR"]).stdin(Stdio::null()));
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert_eq!(lines.next().expect("a line").expect("text"), "OK");
    let mut t = Transcript::new(cli.server.client());
    t.check("SET k \"a b\"", "OK");
    let line = lines.next().expect("a line").expect("text");
    assert!(line.ends_with("] \"SET\" \"k\" \"a b\""), "{line}");
    stop(&mut child);
}

#[test]
fn help_comes_from_command_docs() {
    let Some(cli) = Cli::start() else { return };
    let printed = cli.run(&["help", "getex"], b"");
    // In its own words it would say something else: these are the server's.
    for part in
        ["[EX seconds|PX milliseconds|", "Gives the string under a key and changes", "6.2.0"]
    {
        assert!(printed.contains(part), "{part} in {printed}");
    }
    let printed = cli.run(&["help", "@list"], b"");
    assert!(printed.contains("BLMOVE") && printed.contains("key [key ...] timeout"), "{printed}");
}

/// Everything up to this text, or to the end.
fn await_text(screen: &mut impl Read, text: &str) -> String {
    let (mut seen, mut buffer) = (String::new(), [0; 4096]);
    while !seen.contains(text)
        && let Ok(count @ 1..) = screen.read(&mut buffer)
    {
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    seen
}

/// On a terminal, which `script` makes, the arguments to come stand behind what is typed.
#[test]
fn hints_come_from_command_docs() {
    let Some(cli) = Cli::start() else { return };
    let port = cli.server.address().port();
    // A terminal without a width is asked where its cursor is, and would not answer. `timeout` of its own accord puts
    // itself behind the terminal, where `redis-cli` may not set the terminal's mode.
    let command =
        format!("stty cols 200 rows 50; exec timeout --foreground 60 redis-cli -p {port}");
    let mut script = Command::new("script");
    script
        .args(["-qec", &command, "/dev/null"])
        .env("TERM", "xterm")
        .env("HOME", "/nonexistent")
        .env("SHELL", "/bin/sh");
    let child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return };
    let (mut keys, mut screen) =
        (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    // It prompts when it has read the documents.
    await_text(&mut screen, "> ");
    keys.write_all(b"geoadd ").expect("it reads");
    let seen = await_text(&mut screen, "longitude latitude member");
    stop(&mut child);
    assert!(seen.contains("key [NX|XX] [CH] longitude latitude member"), "{seen}");
}

/// A backup from a distance is a file like any: those who check files take it, and all servers load it.
#[test]
fn rdb_brings_all_data() {
    let Some(cli) = Cli::start() else { return };
    let mut client = cli.server.client();
    fill_databases(&mut client);
    let file = cli.server.dir().join("backup.rdb");
    cli.run(&["--rdb", &file.to_string_lossy()], b"");
    assert_checked(&file);
    for program in [env!("CARGO_BIN_EXE_russet"), "redis-server", "valkey-server"] {
        if program.contains('/') || installed(program) {
            assert_loads(&file, program, &mut client);
        }
    }
    // It may be written to standard output, too.
    let printed = cli.command(&["--rdb", "-"]).output().expect("it runs").stdout;
    assert!(printed.starts_with(b"REDIS0010"));
    assert_eq!(printed.len() as u64, fs::metadata(&file).expect("a file").len());
}

/// Whoever checks files finds it whole.
fn assert_checked(file: &Path) {
    let (found, result) = check(&Files, file);
    assert!(result.is_ok() && found.is_checked && found.functions == 1, "{result:?} {found}");
    for program in ["redis-check-rdb", "valkey-check-rdb"] {
        if installed(program) {
            let output = Command::new(program).arg(file).output().expect("it is installed");
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{program}: {printed}");
        }
    }
}

/// A server that starts with the file has the same data.
fn assert_loads(file: &Path, program: &str, client: &mut russet_testkit::Client) {
    let arguments = ["--save", "", "--enable-debug-command", "yes", "--dbfilename", "dump.rdb"];
    let mut other = Setup::new(program).args(arguments).start().expect("it starts");
    other.kill().expect("it runs");
    fs::copy(file, other.dir().join("dump.rdb")).expect("a file to copy");
    other.restart().expect("it loads the file");
    let mut other = other.client().expect("it serves");
    assert_eq!(databases(&mut other), databases(client), "{program}");
    assert_eq!(digest(&mut other), digest(client), "{program}");
    assert_eq!(other.cmd(&["FCALL", "twice", "0", "21"]).to_string(), "42", "{program}");
}

#[test]
fn functions_rdb_brings_libraries_alone() {
    let Some(cli) = Cli::start() else { return };
    fill_databases(&mut cli.server.client());
    let file = cli.server.dir().join("functions.rdb");
    cli.run(&["--functions-rdb", &file.to_string_lossy()], b"");
    assert_checked(&file);
    let empty = server();
    for program in [env!("CARGO_BIN_EXE_russet"), "redis-server", "valkey-server"] {
        if program.contains('/') || installed(program) {
            assert_loads(&file, program, &mut empty.client());
        }
    }
}

#[test]
fn rdb_of_a_client_that_is_killed_leaves_nothing() {
    let Some(cli) = Cli::start() else { return };
    let mut client = cli.server.client();
    cli.fill();
    client.cmd(&["CONFIG", "SET", "rdb-key-save-delay", "60000000"]);
    let file = cli.server.dir().join("backup");
    let mut info = |part: &str| client.cmd(&["INFO"]).to_string().contains(part);
    let mut child = spawn(&mut cli.command(&["--rdb", &file.to_string_lossy()]));
    until("it is being made", || info("rdb_bgsave_in_progress:1"));
    until("it is waited for", || info("state=wait_bgsave"));
    stop(&mut child);
    until("it is given up", || info("rdb_bgsave_in_progress:0") && info("connected_slaves:0"));
    let names = fs::read_dir(cli.server.dir()).expect("a directory").flatten();
    let names: Vec<_> = names.map(|entry| entry.file_name()).collect();
    assert!(names.iter().all(|name| name == "backup"), "{names:?}");
}

#[test]
fn a_replica_that_it_plays_hears_that_there_are_none() {
    let Some(cli) = Cli::start() else { return };
    let output = cli.command(&["--replica"]).output().expect("it runs");
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(printed.contains("replication is not supported yet"), "{printed}");
}
