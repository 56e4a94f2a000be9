//! Snapshots: what is in them, when they are made, and what happens when the disk fails.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use russet_persist::check::check;
use russet_persist::file::Files;
use russet_server::{Options, start};
use russet_testkit::disk::{Call, Disk};
use russet_testkit::{Client, Process, Random, Reply, Setup};

use crate::commands::dump::fill;
use crate::durability::parcel::{asking, receive};
use crate::{Server, server};

const RUSSET: &str = env!("CARGO_BIN_EXE_russet");
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn process(arguments: &[&str]) -> Process {
    let arguments = [&["--enable-debug-command", "yes"][..], arguments].concat();
    Setup::new(RUSSET).args(arguments).start().expect("it starts")
}

/// What a command answers: texts and errors as they are.
pub(super) fn run(client: &mut Client, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let reply = client.cmd(&words);
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    reply.bytes().map_or_else(|| reply.to_string(), text)
}

/// Fails if the answer is another one.
pub(super) fn ok(client: &mut Client, line: &str) {
    assert_eq!(run(client, line), "OK", "{line}");
}

pub(super) fn figure(client: &mut Client, name: &str) -> String {
    let text = run(client, "INFO persistence");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().to_owned()
}

/// How often something is tried: as the environment says, or so often that nobody has to wait for it.
pub(super) fn times(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(3));
    }
}

fn await_saved(client: &mut Client) {
    until("the snapshot ends", || figure(client, "rdb_bgsave_in_progress") == "0");
}

/// The digest of what a server finds in a file.
pub(super) fn digest_of(file: &Path) -> String {
    let other = server();
    std::fs::copy(file, other.dir().join("dump.rdb")).expect("a file to copy");
    let mut client = other.client();
    ok(&mut client, "DEBUG RELOAD NOSAVE");
    run(&mut client, "DEBUG DIGEST")
}

#[test]
fn what_was_saved_survives_a_kill() {
    let mut server = process(&["--save", ""]);
    let mut client = server.client().unwrap();
    fill(&mut client);
    ok(&mut client, "SAVE");
    let saved = run(&mut client, "DEBUG DIGEST");
    client.cmd(&["SET", "after", "the moment"]);
    server.kill().unwrap();
    server.restart().unwrap();
    let mut client = server.client().unwrap();
    assert_eq!(run(&mut client, "DEBUG DIGEST"), saved);
    assert_eq!(run(&mut client, "EXISTS after"), "0");
    let names: Vec<_> =
        std::fs::read_dir(server.dir()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with("temp-")), "{names:?}");
}

#[test]
fn a_reload_changes_nothing() {
    let server = server();
    let mut client = server.client();
    fill(&mut client);
    ok(&mut client, "SELECT 5");
    ok(&mut client, "SET k v EX 1000");
    let before = run(&mut client, "DEBUG DIGEST");
    ok(&mut client, "DEBUG RELOAD");
    assert_eq!(run(&mut client, "DEBUG DIGEST"), before);
    assert!(run(&mut client, "TTL k").parse::<u64>().unwrap() > 900);
    ok(&mut client, "SET k other");
    assert!(
        run(&mut client, "DEBUG RELOAD NOSAVE NOFLUSH").starts_with("ERR Error trying to load")
    );
    ok(&mut client, "DEBUG RELOAD NOSAVE NOFLUSH MERGE");
    assert_eq!(run(&mut client, "DEBUG DIGEST"), before);
    assert!(run(&mut client, "DEBUG RELOAD NOW").starts_with("ERR DEBUG RELOAD only supports"));
}

pub(super) const LIBRARY: &str =
    "#!lua name=lib\nredis.register_function('twice', function(_, args) return args[1] * 2 end)";

#[test]
fn functions_survive_a_kill_a_reload_and_flushall() {
    let mut server = process(&["--save", ""]);
    let mut client = server.client().unwrap();
    assert_eq!(client.cmd(&["FUNCTION", "LOAD", LIBRARY]).bytes(), Some(&b"lib"[..]));
    ok(&mut client, "SAVE");
    server.kill().unwrap();
    server.restart().unwrap();
    let mut client = server.client().unwrap();
    assert_eq!(run(&mut client, "FCALL twice 0 21"), "42");
    ok(&mut client, "FLUSHALL");
    ok(&mut client, "DEBUG RELOAD");
    assert_eq!(run(&mut client, "FCALL twice 0 4"), "8");
    assert!(run(&mut client, "DEBUG RELOAD NOSAVE NOFLUSH").starts_with("ERR Error trying to"));
    ok(&mut client, "DEBUG RELOAD NOSAVE NOFLUSH MERGE");
    ok(&mut client, "FUNCTION FLUSH");
    ok(&mut client, "DEBUG RELOAD");
    assert_eq!(run(&mut client, "FCALL twice 0 4"), "ERR Function not found");
    let (found, result) = check(&Files, &server.dir().join("dump.rdb"));
    assert!(result.is_ok() && found.functions == 0, "{found}");
}

#[test]
fn a_library_of_a_transaction_is_there_when_it_ends() {
    let server = server();
    let mut client = server.client();
    for words in [&["MULTI"][..], &["FUNCTION", "LOAD", LIBRARY], &["SET", "k", "v"], &["EXEC"]] {
        client.cmd(words);
    }
    assert_eq!(run(&mut client, "FCALL twice 0 1"), "2");
    let again = client.cmd(&["FUNCTION", "LOAD", LIBRARY]).to_string();
    assert!(again.contains("Library 'lib' already exists"), "{again}");
}

#[test]
fn fields_that_end_are_saved_with_their_ends() {
    let server = server();
    let mut client = server.client();
    run(&mut client, "HSET small a 1 b 2");
    run(&mut client, "HPEXPIREAT small 4000000000000 FIELDS 1 a");
    for n in 0..3000 {
        client.cmd(&["HSET", "big", &format!("field-{n}"), "some value of some length"]);
    }
    run(&mut client, "HPEXPIREAT big 4000000001000 FIELDS 1 field-7");
    let before = run(&mut client, "DEBUG DIGEST");
    ok(&mut client, "DEBUG RELOAD");
    assert_eq!(run(&mut client, "DEBUG DIGEST"), before);
    ok(&mut client, "SAVE");
    assert_eq!(digest_of(&server.dir().join("dump.rdb")), before);
    assert_eq!(
        run(&mut client, "HPEXPIRETIME big FIELDS 2 field-7 field-8"),
        "[4000000001000, -1]"
    );
    let (found, result) = check(&Files, &server.dir().join("dump.rdb"));
    assert!(result.is_ok() && found.is_checked && found.version == 12, "{found}");
}

#[test]
fn what_a_waiter_would_move_into_a_large_collection_waits_until_that_is_saved() {
    let server = server();
    let (mut client, mut waiter) = (server.client(), server.client());
    run(&mut client, "DEBUG POPULATE 3000");
    for n in 0..4000 {
        client.send(&["RPUSH", "large", &format!("{n}-and-some-more-bytes-behind-it")]).unwrap();
    }
    (0..4000).for_each(|_| drop(client.recv().unwrap()));
    waiter.send(&["BLMOVE", "source", "large", "LEFT", "RIGHT", "0"]).unwrap();
    until("it waits", || run(&mut client, "INFO clients").contains("blocked_clients:1"));
    // The first key that is saved takes so long that the list is not, or else one in thousands of these tests shows nothing.
    ok(&mut client, "CONFIG SET rdb-key-save-delay 5000000");
    run(&mut client, "BGSAVE");
    until("the snapshot has its moment", || server.state().keyspace.snapshot().is_some());
    let mut pusher = server.client();
    pusher.send(&["RPUSH", "source", "x"]).unwrap();
    assert!(pusher.recv_within(Duration::from_millis(300)).unwrap().is_none(), "it is put off");
    assert_eq!(run(&mut client, "LLEN large"), "4000", "what reads is not");
    run(&mut client, "BGSAVE CANCEL");
    assert_eq!(pusher.recv().unwrap().to_string(), "1");
    assert_eq!(waiter.recv().unwrap().to_string(), "x");
    assert_eq!(run(&mut client, "LLEN large"), "4001");
}

/// All types, in two databases, and collections that are written in pieces.
pub(super) fn fill_for_the_walk(client: &mut Client) {
    ok(client, "SELECT 3");
    for n in 0..200 {
        client.cmd(&["SET", &format!("k{n}"), "v"]);
    }
    ok(client, "SELECT 0");
    fill(client);
    for n in 0..4000 {
        let element = format!("{n}-and-some-more-bytes-behind-it");
        client.send(&["RPUSH", "huge-list", &element]).expect("no error");
        client.send(&["SADD", "huge-set", &element]).expect("no error");
        client.send(&["HSET", "huge-hash", &element, &element]).expect("no error");
        client.send(&["ZADD", "huge-scores", &n.to_string(), &element]).expect("no error");
        client
            .send(&["XADD", "huge-stream", &format!("{}-1", n + 1), "f", &element])
            .expect("no error");
    }
    (0..20_000).for_each(|_| drop(client.recv().expect("no error")));
    run(client, "XGROUP CREATE huge-stream group 0");
    run(client, "XREADGROUP GROUP group one COUNT 1000 STREAMS huge-stream >");
}

#[test]
fn whatever_happens_during_a_snapshot_it_tells_of_its_moment() {
    let changes: &[&[&str]] = &[
        &[],
        &["FLUSHDB"],
        &["FLUSHDB", "SET text again"],
        &["SWAPDB 0 3", "SET k5 w", "DEL text", "SELECT 3", "DEL list", "SET text w"],
        &["SWAPDB 0 3", "FLUSHDB", "SELECT 3", "FLUSHDB", "SWAPDB 3 0"],
        &[
            "RENAME text other",
            "RENAME huge-list long-list",
            "MOVE hash 3",
            "COPY scores scores-too",
        ],
        &[
            "APPEND long x",
            "SETRANGE long 50000 yyyy",
            "SET text short",
            "INCR number",
            "EXPIRE list 1000",
        ],
        &[
            "RPUSH huge-list x",
            "SADD huge-set x",
            "HSET huge-hash x y",
            "ZADD huge-scores 1 x",
            "XADD huge-stream * f v",
            "XACK huge-stream group 5-1",
        ],
        &["CONFIG SET maxmemory-policy allkeys-random", "CONFIG SET maxmemory 1"],
        &[
            "MULTI",
            "RPUSH huge-list x",
            "LRANGE huge-list 0 1",
            "ZADD huge-scores 1 x",
            "DEL huge-hash",
            "EXEC",
            "MULTI",
            "SELECT 3",
            "SADD huge-set x",
            "SELECT 0",
            "SADD huge-set x",
            "EXEC",
        ],
        &[
            "DEL huge-list",
            "DEL huge-set",
            "UNLINK huge-hash",
            "DEL huge-scores",
            "DEL huge-stream",
        ],
        &[
            "LPOP huge-list 3000",
            "SPOP huge-set 3000",
            "ZREMRANGEBYRANK huge-scores 0 2000",
            "XTRIM huge-stream MAXLEN 5",
            "HDEL huge-hash 7-and-some-more-bytes-behind-it",
        ],
    ];
    for changes in changes {
        let server = server();
        let mut client = server.client();
        fill_for_the_walk(&mut client);
        let before = run(&mut client, "DEBUG DIGEST");
        ok(&mut client, "CONFIG SET rdb-key-save-delay 1000");
        assert_eq!(run(&mut client, "BGSAVE"), "Background saving started");
        assert_eq!(run(&mut client, "BGSAVE"), "ERR Background save already in progress");
        assert_eq!(run(&mut client, "SAVE"), "ERR Background save already in progress");
        until("the snapshot has begun", || figure(&mut client, "current_save_keys_total") != "0");
        for change in *changes {
            let reply = run(&mut client, change);
            assert!(!reply.starts_with("ERR"), "{change}: {reply}");
        }
        ok(&mut client, "CONFIG SET rdb-key-save-delay 0");
        await_saved(&mut client);
        assert_eq!(figure(&mut client, "rdb_last_bgsave_status"), "ok");
        let file = server.dir().join("dump.rdb");
        let (found, result) = check(&Files, &file);
        assert!(result.is_ok() && found.is_checked, "{changes:?}: {result:?} {found}");
        assert_eq!(digest_of(&file), before, "{changes:?}");
    }
}

#[test]
fn a_snapshot_under_load_shows_every_transaction_whole() {
    const PAIRS: usize = 3000;
    let server = server();
    let mut client = server.client();
    for n in 0..PAIRS {
        client.cmd(&["MSET", &format!("a{n}"), "0", &format!("b{n}"), "0"]);
    }
    let is_over = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let mut client = server.client();
            scope.spawn(move || {
                let mut random = Random::new(seed);
                while !is_over.load(Ordering::Relaxed) {
                    let (n, value) = (random.below(PAIRS as u64), random.bits().to_string());
                    let (a, b) = (format!("a{n}"), format!("b{n}"));
                    if random.percent(50) {
                        client.cmd(&["MSET", &a, &value, &b, &value]);
                        continue;
                    }
                    for words in [
                        &["MULTI"][..],
                        &["SET", &a, &value],
                        &["INCR", "sum"],
                        &["INCR", &format!("part{seed}")],
                        &["SET", &b, &value],
                        &["EXEC"],
                    ] {
                        client.cmd(words);
                    }
                }
            });
        }
        for _ in 0..5 {
            run(&mut client, "BGSAVE");
            await_saved(&mut client);
            assert_whole(&server.dir().join("dump.rdb"), PAIRS);
        }
        for _ in 0..3 {
            let sent = server.dir().join("sent.rdb");
            std::fs::write(&sent, receive(&mut asking(server.address())).1).unwrap();
            assert_whole(&sent, PAIRS);
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

fn assert_whole(file: &Path, pairs: usize) {
    let other = server();
    std::fs::copy(file, other.dir().join("dump.rdb")).expect("a file to copy");
    let mut client = other.client();
    ok(&mut client, "DEBUG RELOAD NOSAVE");
    for n in 0..pairs {
        let reply = client.cmd(&["MGET", &format!("a{n}"), &format!("b{n}")]);
        let Reply::Array(pair) = reply else { panic!("{reply}") };
        assert!(pair[0] == pair[1] && pair[0].to_string() != "(nil)", "{n}: {pair:?}");
    }
    let mut number =
        |key: &str| run(&mut client, &format!("GET {key}")).parse::<u64>().unwrap_or(0);
    assert_eq!(number("sum"), number("part0") + number("part1") + number("part2"));
}

#[test]
fn a_save_rule_saves_when_enough_has_changed() {
    let server = server();
    let mut client = server.client();
    client.cmd(&["CONFIG", "SET", "save", "1 3"]);
    for n in 0..3 {
        client.cmd(&["SET", &n.to_string(), "v"]);
    }
    assert_eq!(figure(&mut client, "rdb_changes_since_last_save"), "3");
    until("the rule saves", || figure(&mut client, "rdb_saves") == "1");
    assert_eq!(figure(&mut client, "rdb_changes_since_last_save"), "0");
    assert!(server.dir().join("dump.rdb").exists());
    let saved: u64 = run(&mut client, "LASTSAVE").parse().unwrap();
    assert_eq!(figure(&mut client, "rdb_last_save_time"), saved.to_string());
}

#[test]
fn a_shutdown_saves_if_there_are_rules_or_it_is_told_to() {
    for (arguments, line, is_saved) in [
        (&["--save", "3600 1"][..], "SHUTDOWN", true),
        (&["--save", "3600 1"], "SHUTDOWN NOSAVE", false),
        (&["--save", ""], "SHUTDOWN", false),
        (&["--save", ""], "SHUTDOWN SAVE", true),
        (&["--save", "3600 1"], "signal", true),
    ] {
        let mut server = process(arguments);
        let mut client = server.client().unwrap();
        ok(&mut client, "SET k v");
        if line == "signal" {
            server.signal("TERM").unwrap();
        } else {
            client.send(&line.split(' ').collect::<Vec<_>>()).unwrap();
        }
        assert!(server.wait().unwrap().success());
        assert_eq!(server.dir().join("dump.rdb").exists(), is_saved, "{line}");
        server.restart().unwrap();
        let there = run(&mut server.client().unwrap(), "EXISTS k");
        assert_eq!(there, if is_saved { "1" } else { "0" }, "{line}");
    }
}

#[test]
fn while_it_loads_it_says_so_and_how_far_it_is() {
    let mut server = process(&["--save", "", "--key-load-delay", "2000"]);
    let mut client = server.client().unwrap();
    for n in 0..1000 {
        client.cmd(&["SET", &n.to_string(), &"v".repeat(100)]);
    }
    ok(&mut client, "SAVE");
    server.kill().unwrap();
    let address = server.addr();
    std::thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let mut client = None;
            until("it listens", || {
                client = Client::connect(address).ok();
                client.is_some()
            });
            let mut client = client.expect("it listens");
            let refused = run(&mut client, "GET 1");
            let text = run(&mut client, "INFO persistence");
            (refused, text)
        });
        server.restart().unwrap();
        let (refused, text) = watch.join().unwrap();
        assert_eq!(refused, "LOADING Redis is loading the dataset in memory");
        assert!(text.contains("loading:1") && text.contains("loading_loaded_perc:"), "{text}");
    });
    assert_eq!(run(&mut server.client().unwrap(), "DBSIZE"), "1000");
    assert_eq!(figure(&mut server.client().unwrap(), "rdb_last_load_keys_loaded"), "1000");
}

#[test]
fn a_file_that_tells_of_more_keys_than_it_has_takes_no_room_for_them() {
    let server = server();
    let number = |number: u64| [&[0x81][..], &number.to_be_bytes()].concat();
    let many = [&[0xfb][..], &number(1 << 60), &number(1 << 40)].concat();
    let value = [&number(8 << 20)[..], &vec![b'v'; 8 << 20]].concat();
    let parts: [&[u8]; 8] = [
        b"REDIS0011\xfe\x07",
        &many,
        b"\xfe\x00",
        &many,
        b"\x00\x03one",
        &value,
        b"\x00\x05short\x05value",
        b"\xff\x00\x00\x00\x00\x00\x00\x00\x00",
    ];
    std::fs::write(server.dir().join("dump.rdb"), parts.concat()).unwrap();
    let mut client = server.client();
    ok(&mut client, "DEBUG RELOAD NOSAVE");
    assert_eq!(run(&mut client, "INFO keyspace").matches("keys=").count(), 1);
    assert_eq!(run(&mut client, "STRLEN one"), (8 << 20).to_string());
    assert_eq!(run(&mut client, "GET short"), "value");
    let stats = run(&mut client, "MEMORY STATS");
    let overhead = stats.split("overhead.hashtable.main").nth(1).expect("it is told");
    let digits: String = overhead
        .chars()
        .skip_while(|c| !c.is_ascii_digit())
        .take_while(char::is_ascii_digit)
        .collect();
    assert!(digits.parse::<u64>().unwrap() < 1 << 20, "{stats}");
}

#[test]
fn a_damaged_file_is_not_loaded_and_stays_as_it_is() {
    let mut server = process(&["--save", ""]);
    let mut client = server.client().unwrap();
    fill(&mut client);
    ok(&mut client, "SAVE");
    server.kill().unwrap();
    let file = server.dir().join("dump.rdb");
    let whole = std::fs::read(&file).unwrap();
    for at in [3, 60, whole.len() / 2, whole.len() - 3] {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        std::fs::write(&file, &damaged).unwrap();
        assert!(server.restart().is_err(), "byte {at}");
        assert_eq!(std::fs::read(&file).unwrap(), damaged);
    }
    std::fs::write(&file, &whole[..whole.len() - 20]).unwrap();
    assert!(server.restart().is_err());
    std::fs::write(&file, &whole).unwrap();
    server.restart().unwrap();
}

#[test]
fn dur_10_no_flipped_bit_of_a_snapshot_is_accepted() {
    let server = server();
    let mut client = server.client();
    fill(&mut client);
    ok(&mut client, "SAVE");
    let whole = std::fs::read(server.dir().join("dump.rdb")).unwrap();
    let (disk, path, mut random) = (Disk::new(), Path::new("/dump.rdb"), Random::new(10));
    use russet_persist::vfs::Vfs;
    disk.replace(path, &whole).unwrap();
    assert!(check(&disk, path).1.is_ok());
    let anywhere = |_| (random.below(whole.len() as u64) as usize, random.below(8));
    // Each bit of the version, some of which make it one that has no checksum.
    let version = (0..9).flat_map(|at| (0..8).map(move |bit| (at, bit)));
    for (at, bit) in version.chain((0..times("RUSSET_FLIPS", 200)).map(anywhere)) {
        disk.damage(path, |bytes| bytes[at] ^= 1 << bit);
        let (found, result) = check(&disk, path);
        assert!(result.is_err(), "byte {at}, bit {bit}: {found}");
        disk.damage(path, |bytes| bytes[at] ^= 1 << bit);
    }
}

/// A server in this process whose files are on a disk that fails.
pub(super) fn on(disk: &Disk) -> (russet_server::Handle, Client) {
    let mut config = russet_config::Config::new().with_cores(2);
    let arguments = ["--dir", "/data", "--enable-debug-command", "yes"].map(str::to_owned);
    config.load_args(&arguments, &mut |_| Err(String::new())).expect("a good line");
    let vfs = Arc::new(disk.clone());
    let options = Options { on_free_port: true, vfs, ..Options::default() };
    let handle = start(config, options).expect("it starts");
    let client = Client::connect(handle.address()).expect("it listens");
    (handle, client)
}

#[test]
fn after_a_failed_snapshot_writes_are_refused_until_one_succeeds() {
    let disk = Disk::new();
    let (_handle, mut client) = on(&disk);
    ok(&mut client, "SET k v");
    disk.fail(Call::Sync, 0, 5, true);
    run(&mut client, "BGSAVE");
    await_saved_or_not(&mut client);
    assert_eq!(figure(&mut client, "rdb_last_bgsave_status"), "err");
    for line in ["SET k w", "DEL k", "PING"] {
        assert!(
            run(&mut client, line).starts_with("MISCONF Redis is configured to save"),
            "{line}"
        );
    }
    assert_eq!(run(&mut client, "GET k"), "v");
    assert_eq!(run(&mut client, "SAVE"), "ERR");
    ok(&mut client, "CONFIG SET stop-writes-on-bgsave-error no");
    ok(&mut client, "SET k w");
    ok(&mut client, "CONFIG SET stop-writes-on-bgsave-error yes");
    assert!(run(&mut client, "SET k x").starts_with("MISCONF"));
    disk.heal();
    ok(&mut client, "SAVE");
    ok(&mut client, "SET k x");
    assert_eq!(figure(&mut client, "rdb_last_bgsave_status"), "ok");
}

#[test]
fn a_panic_while_saving_ends_that_snapshot_and_no_other() {
    use russet_persist::vfs::Vfs;
    let path = Path::new("/data/dump.rdb");
    let disk = Disk::new();
    let (_handle, mut client) = on(&disk);
    ok(&mut client, "CONFIG SET stop-writes-on-bgsave-error no");
    fill_for_the_walk(&mut client);
    for (nth, (call, after)) in
        [(Call::Create, 0), (Call::Write, 0), (Call::Write, 2), (Call::Sync, 0), (Call::Rename, 0)]
            .into_iter()
            .enumerate()
    {
        disk.panic(call, after);
        assert_eq!(run(&mut client, "BGSAVE"), "Background saving started");
        await_saved_or_not(&mut client);
        assert_eq!(figure(&mut client, "rdb_last_bgsave_status"), "err", "{call:?}");
        ok(&mut client, &format!("SET last {nth}"));
        assert_eq!(run(&mut client, "SAVE"), "OK", "{call:?}");
        let (found, result) = check(&disk, path);
        assert!(result.is_ok() && found.is_checked, "{call:?}: {result:?}");
        let keys: u64 = found.databases.values().flat_map(|types| types.values()).sum();
        assert_eq!(keys, count_keys(&mut client), "{call:?}");
        assert_eq!(disk.list(Path::new("/data")).unwrap(), [Path::new("dump.rdb")], "{call:?}");
    }
}

/// The keys of all databases.
fn count_keys(client: &mut Client) -> u64 {
    let text = run(client, "INFO keyspace");
    let counts = text.lines().filter_map(|line| line.split_once(":keys=")?.1.split(',').next());
    counts.map(|count| count.parse::<u64>().expect("a number")).sum()
}

fn await_saved_or_not(client: &mut Client) {
    until("the snapshot ends", || figure(client, "rdb_bgsave_in_progress") == "0");
}

#[test]
fn whichever_call_fails_the_file_before_stands_and_the_next_one_is_whole() {
    use russet_persist::vfs::Vfs;
    let path = Path::new("/data/dump.rdb");
    for call in [Call::Create, Call::Write, Call::Sync, Call::Rename, Call::SyncDirectory] {
        let disk = Disk::new();
        let (_handle, mut client) = on(&disk);
        ok(&mut client, "CONFIG SET stop-writes-on-bgsave-error no");
        for n in 0..2000 {
            client.cmd(&["SET", &format!("key-{n}"), &"v".repeat(400)]);
        }
        ok(&mut client, "SAVE");
        for after in 0.. {
            ok(&mut client, &format!("SET last {after}"));
            disk.fail(call, after, 28, false);
            let is_ok = run(&mut client, "SAVE") == "OK";
            let (found, result) = check(&disk, path);
            assert!(result.is_ok() && found.is_checked, "{call:?} {after}: {result:?}");
            let names: Vec<_> = disk.list(Path::new("/data")).unwrap();
            assert_eq!(names, [Path::new("dump.rdb")], "{call:?} {after}");
            disk.heal();
            if is_ok {
                assert!(after > 0, "{call:?} never failed");
                break;
            }
        }
    }
}

#[test]
fn a_large_snapshot_reaches_the_disk_in_steps() {
    let disk = Disk::new();
    let (_handle, mut client) = on(&disk);
    let value = "v".repeat(9 << 20);
    let syncs_of_a_snapshot = |client: &mut Client| {
        let before = disk.calls(Call::Sync);
        ok(client, "SAVE");
        disk.calls(Call::Sync) - before
    };
    assert_eq!(syncs_of_a_snapshot(&mut client), 1);
    for key in ["one", "two", "three"] {
        client.cmd(&["SET", key, &value]);
    }
    // Longer strings than this are not compressed.
    assert_eq!(syncs_of_a_snapshot(&mut client), 4);
}

#[test]
fn a_crash_at_any_moment_leaves_the_old_snapshot_or_the_new() {
    let path = Path::new("/data/dump.rdb");
    let disk = Disk::new();
    let (_handle, mut client) = on(&disk);
    let mut seen = BTreeSet::new();
    for seed in 0..times("RUSSET_CRASHES", 200) {
        client.cmd(&["SET", &format!("key-{seed}"), &"v".repeat(3000)]);
        run(&mut client, "BGSAVE");
        let mut random = Random::new(seed);
        for _ in 0..4 {
            std::thread::sleep(Duration::from_micros(random.below(400)));
            let left = disk.crash(&mut random);
            use russet_persist::vfs::Vfs;
            if left.open(path).is_err() {
                assert!(seed == 0 || seen.is_empty(), "a snapshot that was there is gone");
                continue;
            }
            let (found, result) = check(&left, path);
            assert!(result.is_ok() && found.is_checked, "seed {seed}: {result:?}");
            let keys: u64 = found.databases.values().flat_map(|types| types.values()).sum();
            assert!(keys == seed || keys == seed + 1, "seed {seed}: {keys} keys");
            seen.insert(keys);
        }
        await_saved_or_not(&mut client);
        assert_eq!(figure(&mut client, "rdb_last_bgsave_status"), "ok");
    }
    assert!(seen.len() > 10);
}

#[test]
fn a_server_without_rules_does_not_save_and_says_so() {
    let server = Server::with(&["--save", ""]);
    let mut client = server.client();
    ok(&mut client, "SET k v");
    assert_eq!(figure(&mut client, "rdb_saves"), "0");
    assert_eq!(
        run(&mut client, "BGSAVE CANCEL"),
        "ERR Background saving is currently not in progress or scheduled"
    );
    assert!(run(&mut client, "BGSAVE NOW").starts_with("ERR syntax error"));
}
