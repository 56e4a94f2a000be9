//! The binary as an operator meets it: command line, configuration file, log, signals, exit codes.

use std::path::Path;
use std::process::{Command, Output};

use russet_testkit::process::free_port;
use russet_testkit::{Process, Setup, Transcript};

const RUSSET: &str = env!("CARGO_BIN_EXE_russet");

/// Runs the program to its end.
fn run(words: &[&str]) -> Output {
    Command::new(RUSSET)
        .args(words)
        .current_dir(std::env::temp_dir())
        .output()
        .expect("the program starts")
}

/// Runs it where it must fail, and gives what it says on standard error.
#[track_caller]
fn fails(words: &[&str]) -> String {
    let output = run(words);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
    said
}

#[track_caller]
fn fails_in_one_line(words: &[&str], part: &str) {
    let said = fails(words);
    assert!(said.contains(part), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
}

fn transcript(process: &Process) -> Transcript {
    Transcript::new(process.client().expect("it listens"))
}

/// A file in a directory that lives as long as the handle.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("redis.conf");
    std::fs::write(&path, text).expect("a file");
    let path = path.to_string_lossy().into_owned();
    (dir, path)
}

#[test]
fn help_and_version_are_printed() {
    let help = run(&["--help"]);
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("russet [/path/to/redis.conf"));
    let version = run(&["--version"]);
    assert!(version.status.success());
    assert!(String::from_utf8_lossy(&version.stdout).contains(russet_server::VERSION));
}

#[test]
fn a_bad_line_is_named_with_its_file_and_number() {
    let (_dir, path) = file("port 0\nmaxmemory lots\n");
    let said = fails(&[&path]);
    for part in ["FATAL CONFIG FILE ERROR", "at line 2", "maxmemory lots"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn an_unknown_directive_stops_the_start() {
    let (_dir, path) = file("no-such-directive 1\n");
    assert!(fails(&[&path]).contains("no-such-directive"));
    assert!(fails(&["--no-such-option", "1"]).contains("no-such-option"));
}

#[test]
fn what_cannot_be_done_yet_stops_the_start() {
    for (lines, part) in [
        ("port 0\ntls-port 7444", "tls-port 7444: Russet does not support TLS yet"),
        ("port 0\nreplicaof 127.0.0.1 7000", "does not support following a primary yet"),
        ("port 0\ncluster-enabled yes", "cluster-enabled yes: "),
        ("port 0\naclfile users.acl", "does not support users in a file yet"),
        ("port 0\nuser alice on nopass ~* +@all", "at line 2"),
        ("port 0\nloadmodule /some.so", "does not support loading a module yet"),
    ] {
        let (_dir, path) = file(lines);
        let said = fails(&[&path]);
        assert!(said.contains(part), "{said}");
    }
    let server = crate::server();
    let mut t = Transcript::new(server.client());
    t.check(
        "CONFIG SET tls-port 7444",
        "-ERR CONFIG SET failed (possibly related to argument 'tls-port') - Russet does not support TLS yet",
    );
    t.check("CONFIG GET tls-port", "[tls-port, 0]");
}

#[test]
fn commands_are_renamed_and_taken_away() {
    let lines =
        "rename-command FLUSHALL \"\"\nrename-command flushdb badger\nrename-command CONFIG conf\n";
    let process = Setup::new(RUSSET).config("redis.conf", lines).start().expect("it starts");
    let mut t = transcript(&process);
    for name in ["FLUSHALL", "flushdb", "CONFIG"] {
        t.check(name, &format!("-ERR unknown command '{name}', with args beginning with: "));
    }
    t.check("BADGER", "OK");
    t.check("badger x", "-ERR syntax error");
    t.check("conf GET port x", &format!("[port, {}]", process.addr().port()));
    t.check("COMMAND INFO flushall", "[(nil)]");
    for (lines, reason) in [
        ("rename-command nosuch x", "No such command in rename-command"),
        ("rename-command get set", "Target command name already exists"),
    ] {
        let (_dir, path) = file(lines);
        let said = fails(&[&path]);
        assert!(said.contains("at line 1") && said.contains(reason), "{said}");
    }
}

#[test]
fn a_file_that_is_not_there_stops_the_start() {
    assert!(
        fails(&["/nonexistent/redis.conf"])
            .contains("can't open config file '/nonexistent/redis.conf'")
    );
}

#[test]
fn a_port_that_is_taken_stops_the_start() {
    let other = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let failed = format!("Failed listening on port {port} (tcp), aborting");
    fails_in_one_line(&["--bind", "127.0.0.1", "--port", &port], &failed);
}

#[test]
fn places_that_cannot_be_written_stop_the_start() {
    let port = free_port().unwrap().to_string();
    let words =
        |name, value| ["--bind", "127.0.0.1", "--port", &port, name, value].map(str::to_owned);
    let cases = [
        ("--unixsocket", "/nonexistent/sock", "Failed opening Unix socket"),
        ("--logfile", "/nonexistent/log", "can't open the log file '/nonexistent/log'"),
        ("--dir", "/nonexistent", "can't chdir to '/nonexistent'"),
    ];
    for (name, value, part) in cases {
        let words = words(name, value);
        fails_in_one_line(&words.each_ref().map(String::as_str), part);
    }
}

#[test]
fn a_signal_ends_it_in_order() {
    let mut server = Setup::new(RUSSET).start().unwrap();
    transcript(&server).check("SET k v", "OK");
    assert!(server.terminate().unwrap().success());
    let log = server.stdout();
    let lines = [
        " is starting",
        "Running mode=standalone, port=",
        "Server initialized",
        "Ready to accept connections tcp",
        "Received SIGTERM scheduling shutdown...",
        "User requested shutdown...",
        "Russet is now ready to exit, bye bye...",
    ];
    let mut rest = log.as_str();
    for line in lines {
        let at =
            rest.find(line).unwrap_or_else(|| panic!("{line} is missing or out of order in {log}"));
        rest = &rest[at..];
    }
    assert_eq!(server.stderr(), "");
}

#[test]
fn the_shutdown_command_ends_it_with_zero() {
    let mut server = Setup::new(RUSSET).start().unwrap();
    transcript(&server).client.send(&["SHUTDOWN", "NOSAVE"]).unwrap();
    assert!(server.wait().unwrap().success());
}

#[test]
fn the_first_word_may_be_redis_server() {
    let port = free_port().unwrap();
    let mut child = Command::new(RUSSET)
        .args([
            "redis-server",
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--loglevel",
            "nothing",
        ])
        .spawn()
        .unwrap();
    while !healthy(port) {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!healthy(port));
}

fn healthy(port: u16) -> bool {
    run(&["healthcheck", "--port", &port.to_string()]).status.success()
}

#[test]
fn what_is_rewritten_is_there_after_a_restart() {
    let text = "# mine\ntimeout 5\nenable-debug-command local\nenable-protected-configs yes\n";
    let mut server = Setup::new(RUSSET).config("redis.conf", text).start().unwrap();
    let mut t = transcript(&server);
    t.check("CONFIG SET timeout 6 maxmemory 5mb", "OK");
    t.check("CONFIG REWRITE", "OK");
    t.check("CONFIG SET timeout 7", "OK");
    let path = server.dir().join("redis.conf");
    let written = std::fs::read_to_string(&path).unwrap();
    for line in ["# mine\n", "timeout 6\n", "maxmemory 5mb\n"] {
        assert!(written.contains(line), "{written}");
    }
    assert!(server.terminate().unwrap().success());
    let other = Setup::new(RUSSET).config("copy.conf", &written).start().unwrap();
    let mut t = transcript(&other);
    t.check("CONFIG GET timeout maxmemory", "[timeout, 6, maxmemory, 5242880]");
    t.check("DEBUG CONFIG-REWRITE-FORCE-ALL", "OK");
    let all = std::fs::read_to_string(other.dir().join("copy.conf")).unwrap();
    assert!(all.contains("\nhz 10\n"), "{all}");
}

#[test]
fn the_log_goes_where_and_as_far_as_it_is_told() {
    let server = Setup::new(RUSSET)
        .args(["--logfile", "here.log", "--enable-debug-command", "yes"])
        .start()
        .unwrap();
    let mut t = transcript(&server);
    t.check("DEBUG LOG first", "OK");
    t.check("CONFIG SET loglevel nothing", "OK");
    t.check("DEBUG LOG second", "OK");
    t.check("CONFIG SET loglevel debug", "OK");
    t.check("DEBUG LOG third", "OK");
    assert_eq!(server.stdout(), "");
    let log = std::fs::read_to_string(server.dir().join("here.log")).unwrap();
    let shows = |text: &str| log.contains(text);
    assert!(shows("first") && shows("third") && !shows("second"), "{log}");
}

#[test]
fn the_log_changes_its_form_from_one_line_to_the_next() {
    let arguments = ["--logfile", "here.log", "--enable-debug-command", "yes"];
    let server = Setup::new(RUSSET).args(arguments).start().unwrap();
    let mut t = transcript(&server);
    let head = format!("{}:M ", server.id());
    let pairs = format!("pid={} role=primary timestamp=\"", server.id());
    for (form, begin, end) in [
        ("json", "{\"timestamp\":\"", "}"),
        ("logfmt", &*pairs, "\""),
        ("legacy", &*head, "legacy"),
        ("json", "{\"timestamp\":\"", "}"),
        ("text", &*head, "text"),
    ] {
        t.check(&format!("CONFIG SET log-format {form}"), "OK");
        t.check(&format!("DEBUG LOG in-{form}"), "OK");
        let log = std::fs::read_to_string(server.dir().join("here.log")).unwrap();
        let line = log.lines().last().expect("a line");
        let is_right = line.starts_with(begin) && line.contains(&format!("in-{form}"));
        assert!(is_right && line.ends_with(end), "{line}");
    }
}

#[test]
fn the_pid_file_lives_as_long_as_the_server() {
    let mut server = Setup::new(RUSSET)
        .args(["--pidfile", "my.pid", "--unixsocket", "my.sock"])
        .start()
        .unwrap();
    let (pid_file, socket) = (server.dir().join("my.pid"), server.dir().join("my.sock"));
    assert_eq!(std::fs::read_to_string(&pid_file).unwrap().trim(), server.id().to_string());
    Transcript::new(russet_testkit::Client::connect_unix(&socket).unwrap()).check("PING", "PONG");
    assert!(server.terminate().unwrap().success());
    assert!(!pid_file.exists() && !socket.exists());
    assert!(server.stdout().contains("Ready to accept connections unix"));
}

#[test]
fn a_daemon_leaves_its_terminal_and_its_pid() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port().unwrap().to_string();
    let place = dir.path().to_string_lossy().into_owned();
    let words = [
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--dir",
        &place,
        "--daemonize",
        "yes",
        "--pidfile",
        "d.pid",
    ];
    let started = run(&words);
    assert!(started.status.success(), "{started:?}");
    let pid = await_text(&dir.path().join("d.pid"));
    while !healthy(port.parse().unwrap()) {
        assert!(Path::new(&format!("/proc/{pid}")).exists(), "the daemon ended");
    }
    let killed = Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap();
    assert!(killed.success());
    while dir.path().join("d.pid").exists() {
        std::thread::yield_now();
    }
}

/// The text of a file that somebody is about to write.
fn await_text(path: &Path) -> String {
    let until = std::time::Instant::now() + russet_testkit::process::PATIENCE;
    while std::time::Instant::now() < until {
        match std::fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            _ => std::thread::yield_now(),
        }
    }
    panic!("{} was not written", path.display());
}

#[test]
fn fewer_clients_are_accepted_where_the_system_allows_no_more() {
    // Root may raise its own limit, so what is asked for is more than any kernel gives.
    let limited = format!("ulimit -n 200; exec {RUSSET} \"$@\"");
    let port = free_port().unwrap().to_string();
    let mut child = Command::new("sh")
        .args([
            "-c",
            &limited,
            "sh",
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--loglevel",
            "warning",
        ])
        .args(["--maxclients", "4000000000"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    while !healthy(port.parse().unwrap()) {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
    }
    let client =
        russet_testkit::Client::connect(("127.0.0.1", port.parse::<u16>().unwrap())).unwrap();
    let shown = Transcript::new(client).run("CONFIG GET maxclients").to_string();
    let clients: u64 = shown.trim_matches(['[', ']']).rsplit(' ').next().unwrap().parse().unwrap();
    assert!((1..200).contains(&clients), "{shown}");
    child.kill().unwrap();
    let log = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(log.contains("maxclients has been reduced to"), "{log}");
}

#[test]
fn a_supervisor_is_told_when_the_server_is_ready() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("notify");
    let supervisor = std::os::unix::net::UnixDatagram::bind(&path).expect("a socket");
    supervisor.set_read_timeout(Some(std::time::Duration::from_secs(30))).expect("a timeout");
    for kind in ["systemd", "auto"] {
        let port = free_port().expect("a port").to_string();
        let mut server = Command::new(RUSSET)
            .args(["--port", &port, "--supervised", kind, "--save", ""])
            .current_dir(dir.path())
            .env("NOTIFY_SOCKET", &path)
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut bytes = [0; 200];
        let len = supervisor.recv(&mut bytes).expect("it is told");
        server.kill().expect("it runs");
        server.wait().expect("it ended");
        let told = String::from_utf8_lossy(&bytes[..len]);
        assert!(told.lines().any(|line| line == "READY=1"), "{told}");
    }
}

#[test]
fn the_kernel_is_told_what_to_end_first() {
    let score = |process: &Process| {
        let path = format!("/proc/{}/oom_score_adj", process.id());
        std::fs::read_to_string(path).expect("a process").trim().parse::<i32>().expect("a number")
    };
    let server = Setup::new(RUSSET)
        .args(["--oom-score-adj", "relative", "--oom-score-adj-values", "100", "200", "300"])
        .start()
        .expect("it starts");
    let began_with = score(&server) - 100;
    let mut t = transcript(&server);
    for (line, expected) in [
        ("CONFIG SET oom-score-adj-values '150 200 300'", began_with + 150),
        ("CONFIG SET oom-score-adj absolute", 150),
        ("CONFIG SET oom-score-adj relative oom-score-adj-values '2000 0 0'", 1000),
        ("CONFIG SET oom-score-adj no", began_with),
    ] {
        t.check(line, "OK");
        assert_eq!(score(&server), expected, "{line}");
    }
    let other = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let taken = other.local_addr().expect("an address").port();
    t.check(
        &format!("CONFIG SET oom-score-adj absolute bind 127.0.0.1 port {taken}"),
        "-ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server logs.",
    );
    assert_eq!(score(&server), began_with, "all or nothing");
}
