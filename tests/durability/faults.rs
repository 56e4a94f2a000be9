//! The real binary with system calls that fail, injected by `strace`.
//!
//! How many are tried is up to the environment: `RUSSET_FAULTS`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use russet_testkit::differential::installed;
use russet_testkit::{Client, Process, Reply, Setup};

use crate::durability::aof::await_rewritten;
use crate::durability::snapshot::{figure, run, times, until};

const RUSSET: &str = env!("CARGO_BIN_EXE_russet");

/// How soon writes are to resume; beside others that want the processor, they resume at all.
fn patience() -> Duration {
    Duration::from_secs(if std::env::var_os("RUSSET_FAULTS").is_some() { 5 } else { 30 })
}

/// What is to fail.
#[derive(Clone, Copy, Debug)]
struct Fault {
    /// The system calls, as `strace` takes them.
    calls: &'static str,
    errno: &'static str,
    /// What the server has to say of it.
    text: &'static str,
    /// Whether nothing can be acknowledged while they fail.
    stops_writes: bool,
    /// These calls are made on sockets and libraries, too: only those on files of the server's own are looked at.
    is_for_own_files: bool,
}

const FAULTS: [Fault; 5] = [
    Fault { calls: "fdatasync", stops_writes: true, ..Fault::io() },
    Fault { calls: "fsync", ..Fault::io() },
    Fault { calls: "rename,renameat,renameat2", ..Fault::io() },
    Fault {
        calls: "write,writev,pwrite64,pwritev",
        errno: "ENOSPC",
        text: "No space left on device",
        stops_writes: true,
        is_for_own_files: true,
    },
    Fault {
        calls: "openat",
        errno: "EMFILE",
        text: "Too many open files",
        stops_writes: false,
        is_for_own_files: true,
    },
];

impl Fault {
    const fn io() -> Self {
        Self {
            calls: "",
            errno: "EIO",
            text: "Input/output error",
            stops_writes: false,
            is_for_own_files: false,
        }
    }

    /// What `strace` is told, for a server whose process has this id.
    fn arguments(self, data: &Path, id: &str, when: &str) -> Vec<String> {
        let inject = format!("inject={}:error={}{when}", self.calls, self.errno);
        let mut arguments = vec!["-e".to_owned(), format!("trace={}", self.calls)];
        arguments.extend(["-e".to_owned(), inject]);
        if self.is_for_own_files {
            for path in own_files(data, id) {
                arguments.extend(["-P".to_owned(), path.display().to_string()]);
            }
        }
        arguments
    }
}

/// All paths that a server of this process id may write in a directory, through a few rewrites.
fn own_files(data: &Path, id: &str) -> Vec<PathBuf> {
    let parts = data.join("appendonlydir");
    let of_data = ["dump.rdb".to_owned(), format!("temp-{id}.rdb")];
    let mut names = vec![
        "appendonly.aof.manifest".to_owned(),
        format!(".appendonly.aof.manifest-{id}.tmp"),
        format!("temp-{id}.rdb"),
    ];
    for seq in 1..9 {
        names.push(format!("appendonly.aof.{seq}.base.rdb"));
        names.push(format!("appendonly.aof.{seq}.incr.aof"));
    }
    let of_data = of_data.iter().map(|name| data.join(name));
    let of_parts = names.iter().map(|name| parts.join(name));
    [data.to_owned(), parts.clone()].into_iter().chain(of_data).chain(of_parts).collect()
}

/// Whether calls can be made to fail here.
fn can_inject() -> bool {
    if !installed("strace") {
        return false;
    }
    let traced =
        Command::new("strace").args(["-D", "-f", "-qq", "-o", "/dev/null", "true"]).status();
    let can = traced.is_ok_and(|status| status.success());
    if !can {
        println!("left out: strace may not trace here");
    }
    can
}

/// A place for a server's data, and for what `strace` says.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a directory"));
        std::fs::create_dir(place.data()).expect("a directory");
        place
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn trace(&self) -> PathBuf {
        self.0.path().join("trace")
    }

    /// A server that is traced by nobody.
    fn start(&self, program: impl Into<PathBuf>) -> std::io::Result<Process> {
        let data = self.data();
        let data = data.to_str().expect("a plain name");
        let own = ["--save", "", "--appendonly", "yes", "--appendfsync", "always", "--dir", data];
        Setup::new(program).args(own).start()
    }

    /// A server of which the n-th call of a kind fails in each thread. The tracer is a process beside it, so its id is known before.
    fn start_with(&self, fault: Fault, n: u64) -> std::io::Result<Process> {
        let arguments = fault.arguments(&self.data(), "$$", &format!(":when={n}")).join(" ");
        let (script, trace) = (self.0.path().join("with-fault"), self.trace());
        let trace = trace.display();
        let text =
            format!("#!/bin/sh\nexec strace -D -f -qq -A -o {trace} {arguments} {RUSSET} \"$@\"\n");
        std::fs::write(&script, text)?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
        self.start(script)
    }

    /// How many calls have been made to fail.
    fn injected(&self) -> usize {
        let trace = std::fs::read(self.trace()).unwrap_or_default();
        String::from_utf8_lossy(&trace).matches("INJECTED").count()
    }
}

/// Adds numbers to a list until it is told that they are there.
#[derive(Debug, Default)]
struct Writer {
    acked: Vec<u64>,
    next: u64,
}

impl Writer {
    /// One attempt to add the next number.
    fn attempt(&mut self, server: &Process) -> bool {
        let number = self.next.to_string();
        let reply =
            server.client().and_then(|mut client| client.try_cmd(&["RPUSH", "list", &number]));
        match reply {
            Ok(Reply::Int(_)) => {
                self.acked.push(self.next);
                self.next += 1;
                true
            }
            Ok(reply) => {
                assert!(reply.to_string().contains("MISCONF"), "{reply}");
                false
            }
            // In doubt.
            Err(_) => false,
        }
    }

    fn write(&mut self, server: &Process) {
        let began = Instant::now();
        until("writes resume", || self.attempt(server));
        assert!(began.elapsed() < patience(), "{:?}", began.elapsed());
    }

    /// What is there has everything that was acknowledged, in its order; what was in doubt may be there, too.
    fn check(&self, client: &mut Client, what: &str) {
        let there = client.cmd(&["LRANGE", "list", "0", "-1"]).to_string();
        let there: Vec<u64> = there
            .trim_matches(['[', ']'])
            .split(", ")
            .filter(|text| !text.is_empty())
            .map(|text| text.parse().expect("a number"))
            .collect();
        assert!(there.is_sorted(), "{what}: {there:?}");
        let lost: Vec<_> = self.acked.iter().filter(|it| !there.contains(it)).collect();
        assert!(lost.is_empty(), "{what}: {lost:?} were acknowledged, {there:?} are there");
        assert!(there.iter().all(|it| *it <= self.next), "{what}: {there:?}");
    }
}

/// Has a rewrite succeed, a failed one being told of.
fn rewrite(server: &Process) {
    let mut client = server.client().expect("it serves");
    until("a rewrite succeeds", || {
        run(&mut client, "BGREWRITEAOF");
        await_rewritten(&mut client);
        figure(&mut client, "aof_last_bgrewrite_status") == "ok"
    });
}

/// Has a snapshot succeed, a failed one being told of.
fn snapshot(server: &Process) {
    let mut client = server.client().expect("it serves");
    until("a snapshot succeeds", || {
        let before = figure(&mut client, "rdb_saves");
        let answer = run(&mut client, "SAVE");
        let is_counted = figure(&mut client, "rdb_saves") != before;
        assert_eq!(answer == "OK", is_counted, "{answer}");
        is_counted
    });
}

/// What a server of which calls fail goes through.
fn go_through(server: &mut Process, writer: &mut Writer) {
    (0..2).for_each(|_| writer.write(server));
    rewrite(server);
    (0..2).for_each(|_| writer.write(server));
    snapshot(server);
    rewrite(server);
    writer.write(server);
    if writer.next % 2 == 1 {
        drop(server.signal("TERM"));
        drop(server.wait());
    }
}

/// Lets the n-th call fail for one n. Answers how many calls failed.
fn fail_once(fault: Fault, n: u64) -> usize {
    let (place, mut writer) = (Place::new(), Writer::default());
    let what = format!("{} {n}", fault.calls);
    let said = match place.start_with(fault, n) {
        Ok(mut server) => {
            go_through(&mut server, &mut writer);
            drop(server.kill());
            server.stdout()
        }
        Err(error) => error.to_string(),
    };
    let injected = place.injected();
    assert_eq!(injected > 0, said.contains(fault.text), "{what}, {injected} failed: {said}");
    let server = place.start(RUSSET).unwrap_or_else(|error| panic!("{what}: {error}"));
    writer.check(&mut server.client().expect("it serves"), &what);
    injected
}

#[test]
fn dur_12_whichever_call_fails_nothing_acknowledged_is_lost_and_writes_resume() {
    if !can_inject() {
        return;
    }
    for fault in FAULTS {
        let mut failed = Vec::new();
        for n in 1..=times("RUSSET_FAULTS", 2) {
            match fail_once(fault, n) {
                0 => break,
                injected => failed.push(injected),
            }
        }
        let total: usize = failed.iter().sum();
        println!("{}: {total} calls failed, for each n {failed:?}", fault.calls);
        assert!(total > 0, "{}: none was hit", fault.calls);
    }
}

/// `strace` on a server that runs already. When it goes, the disk is well again.
struct Sickness(Child);

impl Sickness {
    fn begin(fault: Fault, place: &Place, server: &Process) -> Self {
        let id = server.id().to_string();
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-p", &id, "-o"]).arg(place.trace());
        command.args(fault.arguments(&place.data(), &id, "")).stderr(Stdio::null());
        let sickness = Self(command.spawn().expect("it traced before"));
        until("all threads are traced", || {
            let threads = std::fs::read_dir(format!("/proc/{id}/task")).expect("it runs");
            let mut states = threads.flatten().map(|thread| {
                std::fs::read_to_string(thread.path().join("status")).unwrap_or_default()
            });
            !states.any(|state| state.contains("TracerPid:\t0\n"))
        });
        sickness
    }
}

impl Drop for Sickness {
    fn drop(&mut self) {
        // Asked to end, it lets go of the server; killed, it would not.
        drop(Command::new("kill").arg(self.0.id().to_string()).status());
        drop(self.0.wait());
    }
}

#[test]
fn dur_12_when_the_disk_is_well_again_so_is_the_server() {
    if !can_inject() {
        return;
    }
    for fault in FAULTS {
        let (place, mut writer) = (Place::new(), Writer::default());
        let mut server = place.start(RUSSET).expect("it starts");
        (0..2).for_each(|_| writer.write(&server));
        let mut client = server.client().expect("it serves");
        let sickness = Sickness::begin(fault, &place, &server);
        run(&mut client, "BGREWRITEAOF");
        await_rewritten(&mut client);
        assert_eq!(figure(&mut client, "aof_last_bgrewrite_status"), "err", "{}", fault.calls);
        assert_eq!(run(&mut client, "SAVE"), "ERR", "{}", fault.calls);
        assert!(server.stdout().contains(fault.text), "{}", server.stdout());
        let is_refused = !writer.attempt(&server);
        assert_eq!(is_refused, fault.stops_writes, "{}", fault.calls);
        if is_refused {
            until("it is told", || figure(&mut client, "aof_last_write_status") == "err");
        }
        assert_eq!(run(&mut client, "GET elsewhere"), "(nil)");
        drop(sickness);
        println!("{}: {} calls failed", fault.calls, place.injected());
        writer.write(&server);
        rewrite(&server);
        snapshot(&server);
        assert_eq!(figure(&mut client, "aof_last_write_status"), "ok");
        server.kill().expect("it runs");
        server.restart().expect("it starts again");
        writer.check(&mut server.client().expect("it serves"), fault.calls);
    }
}
