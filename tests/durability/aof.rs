//! The append-only file: what it promises, what is in it, and what happens when something fails.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use russet_dispatch::args::OwnedRequest;
use russet_dispatch::session::Peer;
use russet_dispatch::state::Identity;
use russet_dispatch::{Executor, Halt, Session, State};
use russet_engine::{Keyspace, Seed};
use russet_persist::Saver;
use russet_persist::aof::Log;
use russet_persist::check::check_all;
use russet_persist::vfs::Vfs;
use russet_rdb::primitives::crc64;
use russet_resp::Output;
use russet_server::{Options, start};
use russet_testkit::client::encode_into;
use russet_testkit::disk::{Call, Disk};
use russet_testkit::{Client, Process, Random};

use crate::commands::dump::fill;
use crate::durability::room::room;
use crate::durability::snapshot::{LIBRARY, figure, ok, process, run, times, until};

/// Where the parts are, within the directory of a server.
const PARTS: &str = "appendonlydir";

pub(super) fn logged(fsync: &str) -> Process {
    process(&["--save", "", "--appendonly", "yes", "--appendfsync", fsync])
}

pub(super) fn digest(client: &mut Client) -> String {
    run(client, "DEBUG DIGEST")
}

fn parts(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory.join(PARTS)).expect("a directory");
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

pub(super) fn await_rewritten(client: &mut Client) {
    // In this order: what is asked for is begun, then ended.
    until("the rewrite ends", || {
        figure(client, "aof_rewrite_scheduled") == "0"
            && figure(client, "aof_rewrite_in_progress") == "0"
    });
}

/// All types, some of it with an end, in two databases, with transactions and scripts.
fn fill_all(client: &mut Client) {
    fill(client);
    run(client, "PEXPIREAT hash 4000000000000");
    run(client, "SELECT 7");
    run(client, "SET elsewhere yes EX 100000");
    for words in ["MULTI", "INCR n", "SELECT 0", "RPUSH in-multi a b", "SELECT 7", "EXEC"] {
        run(client, words);
    }
    run(client, "SELECT 0");
    client.cmd(&["EVAL", "for i = 1, 3 do redis.call('incr', KEYS[1]) end", "1", "by-script"]);
    run(client, "SADD random a b c d e f");
    run(client, "SPOP random 3");
    run(client, "SET short v PX 1");
    client.cmd(&["FUNCTION", "LOAD", "REPLACE", LIBRARY]);
    until("what is short ends", || run(client, "EXISTS short") == "0");
}

#[test]
fn everything_comes_back_after_a_kill_and_after_an_end_in_order() {
    for fsync in ["always", "everysec", "no"] {
        let mut server = logged(fsync);
        let mut client = server.client().unwrap();
        fill_all(&mut client);
        let before = digest(&mut client);
        for is_killed in [true, false, true] {
            if is_killed {
                server.kill().unwrap();
            } else {
                assert!(server.terminate().unwrap().success());
            }
            server.restart().unwrap();
            client = server.client().unwrap();
            assert_eq!(digest(&mut client), before, "{fsync}");
        }
        assert_eq!(run(&mut client, "FCALL twice 0 21"), "42");
        run(&mut client, "INCR by-script");
        let before = digest(&mut client);
        assert_eq!(
            run(&mut client, "BGREWRITEAOF"),
            "Background append only file rewriting started"
        );
        await_rewritten(&mut client);
        assert_eq!(figure(&mut client, "aof_last_bgrewrite_status"), "ok");
        run(&mut client, "INCR by-script");
        let after = digest(&mut client);
        assert_ne!(before, after);
        server.kill().unwrap();
        server.restart().unwrap();
        client = server.client().unwrap();
        assert_eq!(digest(&mut client), after, "{fsync}");
        ok(&mut client, "DEBUG LOADAOF");
        assert_eq!(digest(&mut client), after, "{fsync}");
        assert_eq!(
            parts(server.dir()),
            ["appendonly.aof.2.base.rdb", "appendonly.aof.2.incr.aof", "appendonly.aof.manifest"]
        );
    }
}

#[test]
fn the_manifest_is_as_redis_writes_it() {
    let server = logged("everysec");
    let mut client = server.client().unwrap();
    let manifest = || {
        std::fs::read_to_string(server.dir().join(PARTS).join("appendonly.aof.manifest")).unwrap()
    };
    assert_eq!(
        manifest(),
        "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
    );
    run(&mut client, "BGREWRITEAOF");
    await_rewritten(&mut client);
    assert_eq!(
        manifest(),
        "file appendonly.aof.2.base.rdb seq 2 type b\nfile appendonly.aof.2.incr.aof seq 2 type i\n"
    );
    ok(&mut client, "CONFIG SET aof-disable-auto-gc yes");
    for _ in 0..2 {
        run(&mut client, "BGREWRITEAOF");
        await_rewritten(&mut client);
    }
    assert_eq!(
        manifest(),
        "file appendonly.aof.4.base.rdb seq 4 type b\n\
         file appendonly.aof.3.incr.aof seq 3 type h\n\
         file appendonly.aof.3.base.rdb seq 3 type h\n\
         file appendonly.aof.2.incr.aof seq 2 type h\n\
         file appendonly.aof.2.base.rdb seq 2 type h\n\
         file appendonly.aof.4.incr.aof seq 4 type i\n"
    );
    ok(&mut client, "CONFIG SET aof-disable-auto-gc no");
    assert_eq!(manifest().lines().count(), 2, "what is not needed has gone");
}

#[test]
fn it_is_switched_on_and_off_while_the_server_runs() {
    let mut server = process(&["--save", "", "--appendfsync", "always"]);
    let mut client = server.client().unwrap();
    ok(&mut client, "SET before 1");
    assert_eq!(figure(&mut client, "aof_enabled"), "0");
    assert!(run(&mut client, "WAITAOF 1 0 0").starts_with("ERR WAITAOF cannot be used when"));
    ok(&mut client, "CONFIG SET appendonly yes");
    ok(&mut client, "SET while 2");
    assert_eq!(run(&mut client, "WAITAOF 1 0 0"), "[1, 0]");
    await_rewritten(&mut client);
    ok(&mut client, "SET after 3");
    server.kill().unwrap();
    // The command line says no, so what the log has is not read; switched on, it begins anew.
    server.restart().unwrap();
    let mut client = server.client().unwrap();
    assert_eq!(run(&mut client, "DBSIZE"), "0");
    ok(&mut client, "SET only this");
    ok(&mut client, "CONFIG SET appendonly yes");
    await_rewritten(&mut client);
    ok(&mut client, "CONFIG SET appendonly no");
    ok(&mut client, "SET lost 1");
    assert_eq!(figure(&mut client, "aof_enabled"), "0");
    ok(&mut client, "CONFIG SET appendonly yes");
    await_rewritten(&mut client);
    ok(&mut client, "DEBUG LOADAOF");
    assert_eq!(run(&mut client, "MGET only lost"), "[this, 1]");
}

#[test]
fn a_snapshot_is_the_beginning_of_the_first_log() {
    let disk = Disk::new();
    let (handle, mut client) = on(&disk, &["--appendonly", "no"]);
    fill_all(&mut client);
    let before = digest(&mut client);
    ok(&mut client, "SAVE");
    handle.stop();
    let (handle, mut client) = on(&disk, &["--appendfilename", "a b.aof"]);
    assert_eq!(digest(&mut client), before);
    disk.remove(Path::new("/data/dump.rdb")).unwrap();
    ok(&mut client, "SET more 1");
    let before = digest(&mut client);
    handle.stop();
    let (_handle, mut client) = on(&disk, &["--appendfilename", "a b.aof"]);
    assert_eq!(digest(&mut client), before);
}

#[test]
fn waitaof_waits_for_the_disk() {
    let server = logged("everysec");
    let mut client = server.client().unwrap();
    ok(&mut client, "SET k v");
    assert_eq!(run(&mut client, "WAITAOF 1 0 5000"), "[1, 0]");
    assert_eq!(run(&mut client, "WAITAOF 1 1 10"), "[1, 0]");
    assert_eq!(run(&mut client, "WAITAOF 0 0 10"), "[1, 0]");
    for (line, error) in [
        ("WAITAOF 2 0 0", "ERR value is out of range, value must between 0 and 1"),
        ("WAITAOF 1 -1 0", "ERR value is out of range, must be positive"),
        ("WAITAOF 1 0 -1", "ERR timeout is negative"),
        ("WAITAOF 1 0 x", "ERR timeout is not an integer or out of range"),
    ] {
        assert_eq!(run(&mut client, line), error);
    }
}

/// Clients that count, each its own key, until they are told to stop or the server is gone. What was acknowledged is told as it is.
fn count_under_load(
    server: &Process,
    clients: u64,
    is_over: &AtomicBool,
    acked: &[AtomicU64],
    mut meanwhile: impl FnMut(),
) {
    std::thread::scope(|scope| {
        for nth in 0..clients {
            let mut client = server.client().expect("it serves");
            let acked = &acked[nth as usize];
            scope.spawn(move || {
                let key = format!("count-{nth}");
                while !is_over.load(Ordering::Relaxed) {
                    const PIPELINE: usize = 8;
                    let sent = (0..PIPELINE).all(|_| client.send(&["INCR", &key]).is_ok());
                    for _ in 0..PIPELINE {
                        let Ok(reply) = client.recv() else { return };
                        let Ok(count) = reply.to_string().parse() else { return };
                        acked.fetch_max(count, Ordering::Relaxed);
                    }
                    if !sent {
                        return;
                    }
                    let transaction = [
                        &["MULTI"][..],
                        &["INCR", &format!("a-{nth}")],
                        &["LPUSH", "list", "x"],
                        &["INCR", &format!("b-{nth}")],
                        &["EXEC"],
                    ];
                    if transaction.iter().any(|words| client.try_cmd(words).is_err()) {
                        return;
                    }
                }
            });
        }
        meanwhile();
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn dur_1_nothing_acknowledged_is_lost_by_a_kill() {
    const CLIENTS: u64 = 8;
    let mut server = logged("always");
    let acked: Vec<AtomicU64> = (0..CLIENTS).map(|_| AtomicU64::new(0)).collect();
    for round in 0..times("RUSSET_KILLS", 10) {
        let is_over = AtomicBool::new(false);
        let (id, mut random) = (server.id(), Random::new(round));
        count_under_load(&server, CLIENTS, &is_over, &acked, || {
            std::thread::sleep(Duration::from_millis(30 + random.below(150)));
            if round % 3 == 1 {
                // Killed somewhere in the middle of a rewrite.
                run(&mut server.client().unwrap(), "BGREWRITEAOF");
                std::thread::sleep(Duration::from_micros(random.below(30_000)));
            }
            let killed = std::process::Command::new("kill").args(["-9", &id.to_string()]).status();
            assert!(killed.unwrap().success());
        });
        server.restart().unwrap();
        let mut client = server.client().unwrap();
        for (nth, acked) in acked.iter().enumerate() {
            let mut number = |key: &str| {
                run(&mut client, &format!("GET {key}-{nth}")).parse::<u64>().unwrap_or(0)
            };
            let count = number("count");
            let least = acked.load(Ordering::Relaxed);
            assert!(count >= least, "round {round}: {least} were acknowledged, {count} are there");
            assert_eq!(number("a"), number("b"), "round {round}: half a transaction");
        }
    }
    assert!(acked.iter().any(|acked| acked.load(Ordering::Relaxed) > 50));
}

#[test]
fn dur_4_a_kill_loses_nothing_under_everysec_either() {
    const CLIENTS: u64 = 4;
    let mut server = logged("everysec");
    let acked: Vec<AtomicU64> = (0..CLIENTS).map(|_| AtomicU64::new(0)).collect();
    for round in 0..4 {
        let is_over = AtomicBool::new(false);
        let id = server.id();
        count_under_load(&server, CLIENTS, &is_over, &acked, || {
            std::thread::sleep(Duration::from_millis(200 + 150 * round));
            let killed = std::process::Command::new("kill").args(["-9", &id.to_string()]).status();
            assert!(killed.unwrap().success());
        });
        server.restart().unwrap();
        let mut client = server.client().unwrap();
        for (nth, acked) in acked.iter().enumerate() {
            let count: u64 = run(&mut client, &format!("GET count-{nth}")).parse().unwrap();
            assert!(count >= acked.load(Ordering::Relaxed), "round {round}");
        }
    }
}

#[test]
fn dur_4_no_reply_leaves_before_the_system_has_what_it_shows() {
    const SETS: usize = 500;
    let disk = Disk::new();
    let (_handle, mut client) = on(&disk, &["--appendfsync", "everysec"]);
    for round in 0..20 {
        let value = format!("{round}-{}", "v".repeat(200));
        for nth in 0..SETS {
            client.send(&["SET", &format!("key-{nth}"), &value]).unwrap();
        }
        for _ in 0..SETS {
            assert_eq!(client.recv().unwrap().to_string(), "OK");
        }
        let mut left = Recovered::on(&disk.kill()).expect("it starts");
        for nth in [0, SETS / 2, SETS - 1] {
            let found = left.wire(&format!("GET key-{nth}"));
            assert!(found.contains(&value), "round {round}, key {nth}: {found}");
        }
    }
}

#[test]
fn dur_15_counts_are_right_through_a_rewrite() {
    (0..times("RUSSET_RACES", 1)).for_each(|_| race_with_rewrites());
}

fn race_with_rewrites() {
    const CLIENTS: usize = 20;
    const EACH: usize = 1000;
    let mut server = logged("everysec");
    let mut client = server.client().expect("no error");
    for n in 0..2000 {
        client.cmd(&["SET", &format!("ballast-{n}"), &"v".repeat(500)]);
    }
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let mut client = server.client().expect("no error");
            scope.spawn(move || {
                for _ in 0..EACH / 20 {
                    (0..20).for_each(|_| client.send(&["INCR", "count"]).expect("no error"));
                    (0..20).for_each(|_| drop(client.recv().expect("no error")));
                }
            });
        }
        for _ in 0..3 {
            run(&mut client, "BGREWRITEAOF");
            await_rewritten(&mut client);
        }
    });
    assert_eq!(run(&mut client, "GET count"), (CLIENTS * EACH).to_string());
    let before = digest(&mut client);
    server.kill().expect("no error");
    server.restart().expect("no error");
    let mut client = server.client().expect("no error");
    assert_eq!(run(&mut client, "GET count"), (CLIENTS * EACH).to_string());
    assert_eq!(digest(&mut client), before);
}

#[test]
fn it_is_rewritten_when_it_has_grown() {
    let server = logged("everysec");
    let mut client = server.client().unwrap();
    ok(&mut client, "CONFIG SET auto-aof-rewrite-min-size 50kb");
    let value = "v".repeat(100);
    let write = |client: &mut Client| {
        (0..2000).for_each(|_| drop(client.cmd(&["SET", "same", &value])));
    };
    write(&mut client);
    until("it is rewritten", || figure(&mut client, "aof_rewrites") != "0");
    // What was written beside a rewrite stays, and is part of the size from which growth counts.
    until("it is small", || {
        await_rewritten(&mut client);
        let size = figure(&mut client, "aof_current_size").parse::<u64>().unwrap();
        if size >= 100_000 {
            write(&mut client);
        }
        size < 100_000
    });
}

/// The increment that is written last.
fn increment(directory: &Path) -> PathBuf {
    let names = parts(directory);
    let last = names.iter().rfind(|name| name.ends_with(".incr.aof")).expect("an increment");
    directory.join(PARTS).join(last)
}

/// How many bytes of an increment have been written: all but the room behind them.
fn written(bytes: &[u8]) -> usize {
    bytes.len() - room(bytes)
}

#[test]
fn dur_9_a_cut_at_any_byte_of_the_last_block_leaves_whole_units_and_later_writes_survive() {
    let mut server = logged("always");
    let mut client = server.client().unwrap();
    ok(&mut client, "SET first 1");
    for words in ["MULTI", "SET a 1", "SET b 1"] {
        run(&mut client, words);
    }
    // Where the block of the transaction begins: in room, which only those have who write much at a time.
    let mut begin = 0;
    let mut other = server.client().unwrap();
    until("there is room", || {
        ok(&mut other, "SET first 1");
        let bytes = std::fs::read(increment(server.dir())).unwrap();
        begin = written(&bytes);
        begin < bytes.len()
    });
    run(&mut client, "EXEC");
    server.kill().unwrap();
    let path = increment(server.dir());
    let whole = std::fs::read(&path).unwrap();
    let end = written(&whole);
    assert!(begin < end && end < whole.len(), "the file has no room");
    for (nth, cut) in (begin..end).step_by(7).enumerate() {
        let mut left = whole[..cut].to_vec();
        if nth % 2 == 0 {
            // What had not been written yet is still room.
            left.resize(end, b'#');
            left.extend_from_slice(&whole[end..]);
        }
        std::fs::write(&path, left).unwrap();
        server.restart().unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        let mut client = server.client().unwrap();
        assert_eq!(run(&mut client, "MGET first a b"), "[1, (nil), (nil)]", "cut at {cut}");
        ok(&mut client, "SET later 1");
        server.kill().unwrap();
        server.restart().unwrap();
        let mut client = server.client().unwrap();
        assert_eq!(run(&mut client, "MGET first a later"), "[1, (nil), 1]", "cut at {cut}");
        server.kill().unwrap();
    }
}

#[test]
fn dur_8_a_tail_of_zeros_or_garbage_is_cut_and_kept_aside() {
    let mut server = logged("always");
    let mut client = server.client().unwrap();
    ok(&mut client, "SET first 1");
    server.kill().unwrap();
    let path = increment(server.dir());
    let mut whole = std::fs::read(&path).unwrap();
    whole.truncate(written(&whole));
    let mut random = Random::new(8);
    for round in 0..8 {
        let tail: Vec<u8> = (0..=random.below(5000))
            .map(|_| if round % 2 == 0 { 0 } else { random.bits() as u8 })
            .collect();
        std::fs::write(&path, [&whole[..], &tail].concat()).unwrap();
        server.restart().unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(run(&mut server.client().unwrap(), "GET first"), "1");
        server.kill().unwrap();
        let aside = path.with_file_name(format!(
            "{}.cut-{}",
            path.file_name().unwrap().to_string_lossy(),
            whole.len()
        ));
        assert_eq!(std::fs::read(&aside).unwrap(), tail, "round {round}");
        std::fs::remove_file(aside).unwrap();
    }
}

#[test]
fn dur_6_no_flipped_bit_is_loaded_silently_wrong() {
    let disk = Disk::new();
    let (handle, mut client) = on(&disk, &["--appendfsync", "always"]);
    for n in 0..40 {
        client.cmd(&["SET", &format!("key-{n}"), &format!("value-{n}")]);
        client.cmd(&["RPUSH", "list", &n.to_string()]);
    }
    let before = format!("+{}\r\n", digest(&mut client));
    drop(client);
    // An end in order seals the file.
    handle.stop();
    let path = Path::new("/data/appendonlydir/appendonly.aof.1.incr.aof");
    let whole = disk.read(path).unwrap();
    let (mut random, mut refused, mut equal) = (Random::new(6), 0, 0);
    for _ in 0..times("RUSSET_FLIPS", 150) {
        let (at, bit) = (random.below(whole.len() as u64) as usize, random.below(8));
        let copy = disk.kill();
        copy.damage(path, |bytes| bytes[at] ^= 1 << bit);
        match Recovered::under(&copy, &["--enable-debug-command", "yes"]) {
            Err(_) => refused += 1,
            Ok(mut left) => {
                let after = left.wire("DEBUG DIGEST");
                assert_eq!(after, before, "byte {at}, bit {bit}: loaded, but wrong");
                equal += 1;
            }
        }
    }
    assert!(refused > equal, "{refused} refused, {equal} equal");
}

/// A server in this process whose files are on a disk that fails.
pub(super) fn begin(
    disk: &Disk,
    arguments: &[&str],
) -> Result<(russet_server::Handle, Client), russet_server::StartError> {
    let mut config = russet_config::Config::new().with_cores(2);
    let own =
        ["--dir", "/data", "--enable-debug-command", "yes", "--save", "", "--appendonly", "yes"];
    let arguments: Vec<String> = own.iter().chain(arguments).map(ToString::to_string).collect();
    config.load_args(&arguments, &mut |_| Err(String::new())).expect("a good line");
    let vfs = Arc::new(disk.clone());
    let options = Options { on_free_port: true, vfs, ..Options::default() };
    let handle = start(config, options)?;
    let client = Client::connect(handle.address()).expect("it listens");
    Ok((handle, client))
}

pub(super) fn on(disk: &Disk, arguments: &[&str]) -> (russet_server::Handle, Client) {
    begin(disk, arguments).expect("it starts")
}

/// What a server finds on a disk when it starts, without the server: no thread, no socket, few shards.
struct Recovered {
    state: &'static State,
    log: Arc<Log>,
    executor: Executor,
    session: Session,
}

impl Recovered {
    fn on(disk: &Disk) -> Result<Self, String> {
        Self::under(disk, &[])
    }

    fn under(disk: &Disk, arguments: &[&str]) -> Result<Self, String> {
        let mut config = russet_config::Config::new().with_cores(1);
        let own = ["--dir", "/data", "--save", "", "--appendonly", "yes"];
        let arguments: Vec<String> = own.iter().chain(arguments).map(ToString::to_string).collect();
        config.load_args(&arguments, &mut |_| Err(String::new())).expect("a good line");
        let started_ms = russet_server::clock::now_ms();
        let identity = Identity { started_ms, ..Identity::default() };
        let keyspace = Keyspace::new(4, Seed(1, 2));
        let table = russet_server::table();
        let state = Box::leak(Box::new(State::new(keyspace, table, config, identity, 7, 16)));
        let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
        let log = Arc::new(Log::new(state, Arc::clone(&vfs)));
        Saver::new(state, vfs, Arc::clone(&log)).load().map_err(|error| error.to_string())?;
        let client = Arc::new(russet_dispatch::Client::new(1, Peer::Internal, -1, 0));
        let (executor, session) =
            (Executor::for_worker(state.worker()), Session::new(client, true));
        Ok(Self { state, log, executor, session })
    }

    /// What a command answers, as the wire has it.
    fn wire(&mut self, line: &str) -> String {
        self.attempt(line).unwrap_or_else(|halt| panic!("{line:.80}: {halt:?}"))
    }

    /// As [`Recovered::wire`], for a command that may have to wait.
    fn attempt(&mut self, line: &str) -> Result<String, Halt> {
        let request = OwnedRequest::of_words(line.split(' ').map(str::as_bytes));
        let mut out = Output::default();
        let halt = self.executor.run_owned(self.state, &mut self.session, &request, &mut out);
        halt.map_or_else(|| Ok(String::from_utf8_lossy(&out.into_bytes()).into_owned()), Err)
    }

    /// The number under a key; 0 if it is not there.
    fn number(&mut self, key: &str) -> u64 {
        let reply = self.wire(&format!("GET {key}"));
        reply.lines().nth(1).map_or(0, |text| text.parse().expect("a number"))
    }

    /// The elements of a list.
    fn list(&mut self, key: &str) -> Vec<String> {
        let reply = self.wire(&format!("LRANGE {key} 0 -1"));
        reply.lines().skip(2).step_by(2).map(str::to_owned).collect()
    }
}

#[test]
fn dur_12_after_a_failed_sync_nothing_is_acknowledged_and_writes_resume_by_themselves() {
    for call in [Call::Sync, Call::Write] {
        let disk = Disk::new();
        let (handle, mut client) = on(&disk, &["--appendfsync", "always"]);
        ok(&mut client, "SET k 1");
        let mut other = Client::connect(handle.address()).unwrap();
        disk.fail(call, 0, 5, true);
        let answer = client.try_cmd(&["SET", "k", "2"]);
        let answer = answer.map_or_else(|_| "cut".to_owned(), |reply| reply.to_string());
        assert!(answer == "cut" || answer.contains("MISCONF"), "{call:?}: {answer}");
        until("writes are refused", || {
            run(&mut other, "SET x 1")
                .starts_with("MISCONF Errors writing to the AOF file: Input/output error")
        });
        let read = run(&mut other, "GET k");
        assert!(read.starts_with("MISCONF") || read == "1", "{call:?}: {read}");
        assert_eq!(run(&mut other, "GET elsewhere"), "(nil)");
        assert_eq!(figure(&mut other, "aof_last_write_status"), "err");
        disk.heal();
        let healed = Instant::now();
        until("writes resume", || run(&mut other, "SET x 1") == "OK");
        assert!(healed.elapsed() < Duration::from_secs(5), "{:?}", healed.elapsed());
        assert_eq!(figure(&mut other, "aof_last_write_status"), "ok");
        let left = disk.crash(&mut Random::new(3));
        let (handle, mut client) = on(&left, &[]);
        assert_eq!(run(&mut client, "GET x"), "1");
        drop((client, handle));
    }
}

#[test]
fn dur_11_a_full_disk_refuses_writes_under_everysec_and_reads_go_on() {
    const ENOSPC: i32 = 28;
    let disk = Disk::new();
    let (_handle, mut client) = on(&disk, &["--appendfsync", "everysec"]);
    ok(&mut client, "SET k 1");
    disk.fail(Call::Write, 0, ENOSPC, true);
    run(&mut client, "SET k 2");
    until("writes are refused", || {
        run(&mut client, "SET k 3")
            .starts_with("MISCONF Errors writing to the AOF file: No space left")
    });
    assert_eq!(run(&mut client, "GET k"), "2");
    let script = ["EVAL", "return redis.call('set', KEYS[1], 'x')", "1", "k"];
    assert!(client.cmd(&script).to_string().contains("MISCONF"), "a script writes nothing either");
    disk.heal();
    until("writes resume", || run(&mut client, "SET k 4") == "OK");
    let (_other, mut client) = on(&disk.kill(), &[]);
    assert_eq!(run(&mut client, "GET k"), "4");
}

#[test]
fn dur_14_a_failure_at_any_step_of_a_rewrite_loses_nothing() {
    for call in [
        Call::Create,
        Call::Write,
        Call::Sync,
        Call::Truncate,
        Call::Rename,
        Call::SyncDirectory,
        Call::Remove,
    ] {
        for after in 0..12 {
            let disk = Disk::new();
            let (handle, mut client) = on(&disk, &["--appendfsync", "always"]);
            ok(&mut client, "SET k 1");
            disk.fail(call, after, 5, false);
            run(&mut client, "BGREWRITEAOF");
            let mut set = |n: i64| match client.try_cmd(&["SET", "k", &n.to_string()]) {
                Ok(reply) => reply.to_string(),
                Err(error) => error.to_string(),
            };
            let replies: Vec<_> = (2..6).map(|n| (n, set(n))).collect();
            let is_ok = |(_, reply): &&(i64, String)| reply == "OK";
            let acked = replies.iter().rfind(is_ok).map_or(1, |(n, _)| *n as u64);
            for seed in 0..3 {
                let left = disk.crash(&mut Random::new(seed));
                let k = Recovered::on(&left).expect("it starts").number("k");
                assert!(k >= acked, "{call:?} {after}: {replies:?}, {k} is there");
            }
            drop((client, handle));
        }
    }
}

#[test]
fn dur_5_whatever_a_crash_leaves_is_a_beginning_that_has_all_that_was_acknowledged() {
    const PER_SERVER: u64 = 50;
    /// What a server has stays until its process ends; so many are simulated in one.
    const PER_PROCESS: u64 = 2000;
    let (first, count) = (times("RUSSET_CRASHES_FROM", 0), times("RUSSET_CRASHES", 2000));
    let end = first + count;
    if count > PER_PROCESS {
        let begins = (first..end).step_by(PER_PROCESS as usize);
        return begins.for_each(|begin| crashes_apart(begin..end.min(begin + PER_PROCESS)));
    }
    for begin in (first..end).step_by(PER_SERVER as usize) {
        let fsync = ["always", "everysec", "no"][(begin / PER_SERVER % 3) as usize];
        crashes(begin..end.min(begin + PER_SERVER), fsync);
    }
}

/// Crashes in a process of their own.
fn crashes_apart(seeds: std::ops::Range<u64>) {
    let (first, count) = (seeds.start.to_string(), (seeds.end - seeds.start).to_string());
    let status = std::process::Command::new(std::env::current_exe().expect("it runs"))
        .args(["--nocapture", "dur_5_whatever_a_crash_leaves"])
        .envs([("RUSSET_CRASHES_FROM", &first), ("RUSSET_CRASHES", &count)])
        .status();
    assert!(status.is_ok_and(|status| status.success()), "crashes {seeds:?}");
}

/// A write of several keys, numbered, as a transaction or as a script, and how many replies it gets.
fn numbered(number: u64) -> (Vec<u8>, usize) {
    const SCRIPT: &str = "redis.call('SET', KEYS[1], ARGV[1]) redis.call('RPUSH', KEYS[2], ARGV[1]) \
        redis.call('MSET', KEYS[3], ARGV[1], KEYS[4], ARGV[1]) redis.call('RENAME', KEYS[4], KEYS[5])";
    let mut bytes = Vec::new();
    let text = number.to_string();
    let number = text.as_str();
    if text.ends_with('7') {
        let words = ["EVAL", SCRIPT, "5", "a", "list", "b", "c", "d", number];
        encode_into(&mut bytes, &words);
        return (bytes, 1);
    }
    let commands = [
        &["MULTI"][..],
        &["SET", "a", number],
        &["RPUSH", "list", number],
        &["MSET", "b", number, "c", number],
        &["RENAME", "c", "d"],
        &["EXEC"],
    ];
    commands.iter().for_each(|words| encode_into(&mut bytes, words));
    (bytes, commands.len())
}

/// Crashes of one server that goes on as if nothing had happened. Every write is numbered, in a list and beside it.
fn crashes(seeds: std::ops::Range<u64>, fsync: &str) {
    let disk = Disk::new();
    let (handle, mut client) = on(&disk, &["--appendfsync", fsync]);
    let mut random = Random::new(seeds.start);
    let mut issued = 0;
    for seed in seeds {
        for _ in 0..random.below(4) {
            issued += 1;
            let (bytes, replies) = numbered(issued);
            client.send_raw(&bytes).expect("it serves");
            (0..replies).for_each(|_| drop(client.recv().expect("it serves")));
        }
        if random.percent(20) {
            run(&mut client, "BGREWRITEAOF");
        }
        // Of what was answered nothing may be missing under `always`; otherwise what is there is a beginning.
        let acked = if fsync == "always" { issued } else { 0 };
        let left = disk.crash(&mut random);
        let mut left =
            Recovered::on(&left).unwrap_or_else(|error| panic!("seed {seed}, {fsync}: {error}"));
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|key| left.number(key));
        assert!(
            a == b && a == d && c == 0,
            "seed {seed}, {fsync}: half a transaction, {a} {b} {c} {d}"
        );
        assert!((acked..=issued).contains(&a), "seed {seed}, {fsync}: {a} of {acked} to {issued}");
        let list: Vec<String> = (1..=a).map(|n| n.to_string()).collect();
        assert_eq!(left.list("list"), list, "seed {seed}, {fsync}");
    }
    drop((client, handle));
}

/// Up to 64 MB could wait to be written whatever the limit was.
#[test]
fn under_a_limit_a_small_part_of_it_waits_to_be_written_before_writes_are_put_off() {
    const MB: u64 = 1 << 20;
    let set = format!("SET k {}", "v".repeat(MB as usize));
    for (limit, bound) in [("16mb", MB), ("96mb", 3 * MB), ("100gb", 64 * MB), ("0", 64 * MB)] {
        let mut it = Recovered::under(&Disk::new(), &["--maxmemory", limit]).expect("it starts");
        let put_off = (0..100).find_map(|_| it.attempt(&set).err());
        assert!(matches!(put_off, Some(Halt::Paused)), "{limit}: {put_off:?}");
        let waiting = it.state.journal.unread();
        assert!((bound..bound + MB + MB / 8).contains(&waiting), "{limit}: {waiting} bytes wait");
        assert!(it.wire("STRLEN k").contains(&MB.to_string()), "reads go on");
        it.log.push();
        assert_eq!((it.state.journal.unread(), it.wire(&set).as_str()), (0, "+OK\r\n"), "{limit}");
    }
}

#[test]
fn dur_3_nobody_reads_what_is_not_on_the_disk() {
    let disk = Disk::new();
    let (handle, mut writer) = on(&disk, &["--appendfsync", "always"]);
    let mut reader = Client::connect(handle.address()).unwrap();
    let is_over = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut n = 0u64;
            while !is_over.load(Ordering::Relaxed) {
                n += 1;
                writer.cmd(&["SET", "k", &n.to_string()]);
            }
        });
        for seed in 0..times("RUSSET_READS", 200) {
            let seen: u64 = run(&mut reader, "GET k").parse().unwrap_or(0);
            let left = disk.crash(&mut Random::new(seed));
            let there = Recovered::on(&left).expect("it starts").number("k");
            assert!(there >= seen, "seed {seed}: {seen} was read, {there} is left");
        }
        is_over.store(true, Ordering::Relaxed);
    });
    drop((reader, handle));
}

/// What `russet check` says, and whether it is content.
fn check(arguments: &[&str], path: &Path) -> (bool, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_russet"));
    let output = command.arg("check").args(arguments).arg(path).output().expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn russet_check_looks_into_a_log_and_cuts_it_when_told_to() {
    let mut server = logged("always");
    let mut client = server.client().unwrap();
    fill_all(&mut client);
    let before = digest(&mut client);
    server.kill().unwrap();
    let directory = server.dir().join(PARTS);
    let (is_whole, text) = check(&[], &directory);
    assert!(is_whole && text.contains("seq 1 type b") && text.contains("blocks with"), "{text}");
    let path = increment(server.dir());
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&whole[..], b"*1\r\n$4\r\nPI"].concat()).unwrap();
    let (is_whole, text) = check(&[], &directory.join("appendonly.aof.manifest"));
    let place = format!("whole up to byte {}", whole.len());
    assert!(!is_whole && text.contains(&place), "{text}");
    let (is_whole, text) = check(&["--fix"], &directory);
    assert!(is_whole && text.contains("cut to"), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), whole);
    // Damage in the middle is refused at the start, and cut when somebody says so.
    let mut damaged = whole.clone();
    damaged[written(&whole) / 2] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    assert!(server.restart().is_err());
    assert_eq!(std::fs::read(&path).unwrap(), damaged, "it is left as it is");
    assert!(!check(&[], &path).0 && check(&["--fix"], &path).0);
    server.restart().unwrap();
    assert_ne!(digest(&mut server.client().unwrap()), before);
}

/// A block as an increment has it.
fn block(contents: &[u8]) -> Vec<u8> {
    let (len, checksum) = (contents.len(), crc64(contents));
    let text = format!("#BLOCK:v1;len:{len};crc64:{checksum:016x};durable:0;head:");
    let head = crc64(text.as_bytes()) >> 32;
    [format!("{text}{head:08x}\r\n").as_bytes(), contents].concat()
}

/// A line of a block within a block was taken for one behind it. What was cut behind that left the block around it torn.
#[test]
fn a_block_within_a_block_is_damage_and_a_cut_leaves_whole_blocks() {
    let disk = Disk::new();
    let path = Path::new("/data/appendonly.aof.1.incr.aof");
    let set = |key: &str| format!("*3\r\n$3\r\nSET\r\n$1\r\n{key}\r\n$1\r\n1\r\n").into_bytes();
    let around = block(&[set("a"), block(&set("b")), b"what is none".to_vec()].concat());
    disk.create(path).and_then(|mut file| file.write_all(&around)).unwrap();
    let check = |fixes| {
        let mut said = String::new();
        let result = check_all(&disk, path, fixes, &mut |_, what| said += &what.to_string());
        (result.map_err(|error| error.to_string()), said)
    };
    let (result, _) = check(false);
    assert!(result.is_err_and(|error| error.contains("a block within a block")));
    assert_eq!(check(true).0, Ok(()));
    let (result, said) = check(false);
    assert_eq!(result, Ok(()), "it is whole");
    assert!(said.contains("all right: 1"), "{said}");
    assert!(disk.read(path).unwrap().ends_with(&set("a")));
}

#[test]
fn a_torn_end_is_refused_where_the_configuration_says_so() {
    let disk = Disk::new();
    let (handle, mut client) = on(&disk, &[]);
    ok(&mut client, "SET k v");
    handle.stop();
    let path = Path::new("/data/appendonlydir/appendonly.aof.1.incr.aof");
    disk.damage(path, |bytes| bytes.extend_from_slice(b"*1\r\n$"));
    let refused = begin(&disk, &["--aof-load-truncated", "no"]).map(drop).unwrap_err().to_string();
    assert!(refused.contains("aof-load-truncated"), "{refused}");
    let (_handle, mut client) = on(&disk, &[]);
    assert_eq!(run(&mut client, "GET k"), "v");
}

#[test]
fn dur_16_a_log_is_read_whatever_the_rules_of_the_day() {
    let disk = Disk::new();
    let (handle, mut client) = on(&disk, &[]);
    fill_all(&mut client);
    let before = digest(&mut client);
    handle.stop();
    let rules = [
        &["--rename-command", "DEL", "gone", "--rename-command", "SET", "put"][..],
        &["--maxmemory", "1mb", "--maxmemory-policy", "noeviction"],
        &["--requirepass", "secret"],
        &["--stop-writes-on-bgsave-error", "yes", "--min-replicas-to-write", "3"],
    ];
    for rules in rules {
        let (handle, mut client) = on(&disk, rules);
        client.cmd(&["AUTH", "secret"]);
        assert_eq!(digest(&mut client), before, "{rules:?}");
        drop(client);
        handle.stop();
    }
}

#[test]
fn keys_end_in_a_log_as_they_ended_and_not_by_the_clock_of_its_reader() {
    let disk = Disk::new();
    let (handle, mut client) = on(&disk, &[]);
    ok(&mut client, "DEBUG SET-ACTIVE-EXPIRE 0");
    ok(&mut client, "SET k v PX 30");
    run(&mut client, "APPEND k w");
    run(&mut client, "RPUSH l a");
    run(&mut client, "PEXPIRE l 30");
    run(&mut client, "RPUSH l b");
    std::thread::sleep(Duration::from_millis(60));
    // What was appended before the end must not come to life without one.
    let mut left = Recovered::on(&disk.kill()).expect("it starts");
    assert_eq!((left.number("k"), left.list("l")), (0, Vec::new()));
    run(&mut client, "RPUSH l c");
    let mut left = Recovered::on(&disk.kill()).expect("it starts");
    assert_eq!(left.list("l"), ["c"]);
    handle.stop();
}

/// Changes bytes as neither a program nor a disk would.
fn spoil(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len() as u64 + 1) as usize;
    match random.below(5) {
        0 => bytes.truncate(at),
        1 => (0..random.below(40)).for_each(|_| bytes.insert(at, random.bits() as u8)),
        2 => drop(bytes.splice(at.., b"$9223372036854775807\r\n*99999999\r\n".iter().copied())),
        3 => {
            let until = (at + random.below(60) as usize).min(bytes.len());
            let piece = bytes[at..until].to_vec();
            bytes.splice(at..at, piece);
        }
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = b"*$#\r\n0919"[random.below(9) as usize];
            }
        }
    }
}

#[test]
fn no_bytes_break_whoever_reads_logs_and_manifests() {
    let disk = Disk::new();
    let (handle, mut client) = on(&disk, &[]);
    fill_all(&mut client);
    handle.stop();
    let directory = Path::new("/data/appendonlydir");
    let mut random = Random::new(1);
    for name in ["appendonly.aof.1.incr.aof", "appendonly.aof.manifest"] {
        let path = directory.join(name);
        let whole = disk.read(&path).unwrap();
        let mut refused = 0;
        for _ in 0..times("RUSSET_SPOILED", 500) {
            disk.damage(&path, |bytes| {
                bytes.clone_from(&whole);
                (0..=random.below(3)).for_each(|_| spoil(bytes, &mut random));
            });
            let result = check_all(&disk, &path, false, &mut |_, what| {
                assert!(!what.to_string().is_empty());
            });
            refused += u32::from(result.is_err());
        }
        assert!(refused > 100, "{name}: {refused} refused");
        disk.damage(&path, |bytes| bytes.clone_from(&whole));
    }
    check_all(&disk, directory, false, &mut |_, _| {}).unwrap();
}
