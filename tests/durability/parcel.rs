//! Snapshots that are sent to clients: what is in them, who waits for whom, and what is left of them.

use std::fs;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use russet_persist::check::{Found, check};
use russet_persist::file::Files;
use russet_persist::vfs::Vfs;
use russet_testkit::disk::{Call, Disk};
use russet_testkit::{Client, Process};

use crate::durability::snapshot::{
    LIBRARY, digest_of, figure, fill_for_the_walk, ok, on, process, run, until,
};
use crate::{Server, server};

/// How long a snapshot may take to come.
const PATIENCE: Duration = Duration::from_mins(1);

/// A client that has asked for a snapshot of everything.
pub(super) fn asking(address: SocketAddr) -> Client {
    asking_by(address, "capa eof", "SYNC")
}

/// A client that has asked for a snapshot after a REPLCONF with these words.
fn asking_by(address: SocketAddr, words: &str, line: &str) -> Client {
    let mut client = Client::connect(address).expect("it listens");
    ok(&mut client, &format!("REPLCONF rdb-only 1 {words}"));
    client.send_raw(format!("{line}\r\n").as_bytes()).expect("no error");
    client
}

/// All that comes until the connection ends: how many signs of life, and the bytes of the snapshot.
pub(super) fn receive(client: &mut Client) -> (usize, Vec<u8>) {
    let bytes = client.read_until_closed(PATIENCE).expect("it ends");
    let signs = bytes.iter().take_while(|byte| **byte == b'\n').count();
    (signs, payload(&bytes[signs..]).to_vec())
}

/// What stands behind the length, which is that of all of it.
#[track_caller]
fn payload(bytes: &[u8]) -> &[u8] {
    let (line, rest) = bytes.split_at(bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0));
    let line = String::from_utf8_lossy(line);
    let len: usize =
        line.trim().trim_start_matches('$').parse().unwrap_or_else(|_| panic!("{line}"));
    assert_eq!(rest.len(), len + 1);
    &rest[1..]
}

/// What a snapshot has in it.
fn look_into(bytes: &[u8]) -> Found {
    let (disk, path) = (Disk::new(), Path::new("/sent.rdb"));
    disk.replace(path, bytes).expect("a disk that is well");
    let (found, result) = check(&disk, path);
    assert!(result.is_ok() && found.is_checked, "{result:?} {found}");
    found
}

fn keys(found: &Found) -> u64 {
    found.databases.values().flat_map(|types| types.values()).sum()
}

/// The files of a server.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn info(client: &mut Client, field: &str) -> String {
    let text = run(client, "INFO everything");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("no {field} in {text}")).trim().to_owned()
}

#[test]
fn whatever_happens_while_it_is_made_it_tells_of_its_moment() {
    let changes: &[&[&str]] = &[
        &[],
        &["FLUSHALL", "SET text again"],
        &["SWAPDB 0 3", "SET k5 w", "DEL text", "SELECT 3", "DEL list", "RPUSH huge-list x"],
        &["RENAME text other", "MOVE hash 3", "LPOP huge-list 3000", "SPOP huge-set 3000"],
    ];
    for (changes, arguments) in changes.iter().zip([
        &["--save", ""][..],
        &["--save", ""],
        &["--save", "", "--appendonly", "yes"],
        &["--save", "", "--appendonly", "yes", "--appendfsync", "always"],
    ]) {
        let server = Server::with(&[&["--enable-debug-command", "yes"], arguments].concat());
        let mut client = server.client();
        fill_for_the_walk(&mut client);
        let before = run(&mut client, "DEBUG DIGEST");
        ok(&mut client, "CONFIG SET rdb-key-save-delay 1000");
        let mut reader = asking(server.address());
        until("it has begun", || figure(&mut client, "current_save_keys_total") != "0");
        assert_eq!(figure(&mut client, "rdb_bgsave_in_progress"), "1");
        for change in *changes {
            let reply = run(&mut client, change);
            assert!(!reply.starts_with("ERR"), "{change}: {reply}");
        }
        let file = server.dir().join("sent.rdb");
        fs::write(&file, receive(&mut reader).1).unwrap();
        assert_eq!(digest_of(&file), before, "{changes:?}");
        // It was for somebody else, and says nothing of the own disk.
        for (field, value) in [
            ("rdb_saves", "0"),
            ("rdb_bgsave_in_progress", "0"),
            ("rdb_current_bgsave_time_sec", "-1"),
        ] {
            assert_eq!(figure(&mut client, field), value, "{field}");
        }
        assert_ne!(figure(&mut client, "rdb_changes_since_last_save"), "0");
    }
}

#[test]
fn a_filter_leaves_libraries_or_nothing() {
    let server = server();
    let mut client = server.client();
    ok(&mut client, "SET k v");
    client.cmd(&["FUNCTION", "LOAD", LIBRARY]);
    for (words, keys_there, libraries) in [
        ("capa eof", 1, 1),
        ("capa eof rdb-filter-only functions", 0, 1),
        ("rdb-filter-only \"functions functions\" capa eof", 0, 1),
        ("capa eof rdb-filter-only \"\"", 0, 0),
    ] {
        let mut reader = Client::connect(server.address()).expect("it listens");
        let line = format!("REPLCONF rdb-only 1 {words}\r\n");
        reader.send_raw(line.as_bytes()).expect("no error");
        assert_eq!(reader.recv().expect("an answer").to_string(), "OK");
        reader.send_raw(b"SYNC\r\n").expect("no error");
        let found = look_into(&receive(&mut reader).1);
        assert_eq!((keys(&found), found.functions), (keys_there, libraries), "{words}");
        let fields: Vec<&str> = found.fields.iter().map(|(name, _)| name.as_str()).collect();
        for name in
            ["redis-ver", "redis-bits", "ctime", "used-mem", "repl-id", "repl-offset", "aof-base"]
        {
            assert!(fields.contains(&name), "{name} in {fields:?}");
        }
    }
}

#[test]
fn psync_says_first_which_moment_it_is() {
    let server = Server::with(&["--save", "", "--appendonly", "yes"]);
    let mut client = server.client();
    ok(&mut client, "SET k v");
    let offset = info(&mut client, "master_repl_offset");
    assert_ne!(offset, "0");
    let mut reader = asking_by(server.address(), "capa psync2", "PSYNC ? -1");
    let id = info(&mut client, "master_replid");
    let bytes = reader.read_until_closed(PATIENCE).expect("it ends");
    let bytes = bytes.trim_ascii_start();
    let head = format!("+FULLRESYNC {id} {offset}\r\n");
    assert!(bytes.starts_with(head.as_bytes()), "{}", String::from_utf8_lossy(bytes));
    let found = look_into(payload(&bytes[head.len()..]));
    for (name, value) in [("repl-id", id), ("repl-offset", offset)] {
        assert!(found.fields.contains(&(name.to_owned(), value)), "{name} in {found}");
    }
}

#[test]
fn one_does_for_all_who_wait_and_comes_after_the_one_that_is_being_saved() {
    let server = server();
    let mut client = server.client();
    run(&mut client, "DEBUG POPULATE 500");
    ok(&mut client, "CONFIG SET rdb-key-save-delay 60000000");
    run(&mut client, "BGSAVE");
    until("the snapshot has its moment", || server.state().keyspace.snapshot().is_some());
    ok(&mut client, "SET after it");
    let mut readers =
        [asking(server.address()), asking(server.address()), asking(server.address())];
    until("all are known", || info(&mut client, "connected_slaves") == "3");
    assert_eq!(info(&mut client, "connected_clients"), "1");
    let text = run(&mut client, "INFO replication");
    assert!(text.contains("slave2:ip=127.0.0.1,port=0,state=wait_bgsave,offset=0,lag=0"), "{text}");
    let replicas = run(&mut client, "CLIENT LIST TYPE replica");
    assert_eq!(replicas.matches(" flags=S ").count(), 3, "{replicas}");
    assert_eq!(replicas.matches(" cmd=sync ").count(), 3, "{replicas}");
    let others = run(&mut client, "CLIENT LIST TYPE normal");
    assert!(others.lines().count() == 1 && !others.contains("flags=S"), "{others}");
    ok(&mut client, "CONFIG SET rdb-key-save-delay 0");
    assert_eq!(run(&mut client, "BGSAVE CANCEL"), "Background saving cancelled");
    for reader in &mut readers {
        assert_eq!(keys(&look_into(&receive(reader).1)), 501);
    }
    // One that was cancelled, and one for all three.
    assert_eq!(info(&mut client, "total_forks"), "2");
    assert_eq!(info(&mut client, "sync_full"), "3");
    let sent: u64 = info(&mut client, "total_net_repl_output_bytes").parse().expect("a number");
    assert!(sent > 3 * 501, "{sent}");
    until("nobody is left", || info(&mut client, "connected_slaves") == "0");
    ok(&mut client, "CONFIG RESETSTAT");
    assert_eq!(info(&mut client, "sync_full"), "0");
    assert_eq!(info(&mut client, "total_net_repl_output_bytes"), "0");
}

#[test]
fn what_is_to_be_saved_meanwhile_is_saved_behind_it() {
    let server =
        Server::with(&["--save", "", "--appendonly", "yes", "--enable-debug-command", "yes"]);
    let mut client = server.client();
    let rewrites: u64 = figure(&mut client, "aof_rewrites").parse().unwrap();
    run(&mut client, "DEBUG POPULATE 500");
    ok(&mut client, "CONFIG SET rdb-key-save-delay 2000");
    let mut reader = asking(server.address());
    until("it has begun", || figure(&mut client, "rdb_bgsave_in_progress") == "1");
    assert_eq!(
        run(&mut client, "BGSAVE CANCEL"),
        "ERR Background saving is currently not in progress or scheduled"
    );
    assert_eq!(run(&mut client, "BGSAVE"), "Background saving scheduled");
    assert_eq!(run(&mut client, "BGREWRITEAOF"), "Background append only file rewriting scheduled");
    ok(&mut client, "CONFIG SET rdb-key-save-delay 0");
    assert_eq!(keys(&look_into(&receive(&mut reader).1)), 500);
    until("both are there", || {
        let rewritten = figure(&mut client, "aof_rewrites").parse::<u64>().unwrap() - rewrites;
        figure(&mut client, "rdb_saves") == "1" && rewritten == 1
    });
}

#[test]
fn who_waits_is_told_that_somebody_is_there() {
    let server = server();
    let mut client = server.client();
    run(&mut client, "DEBUG POPULATE 250");
    ok(&mut client, "CONFIG SET rdb-key-save-delay 10000");
    let (signs, bytes) = receive(&mut asking(server.address()));
    assert!(signs >= 1, "a snapshot of 2.5 seconds without a sign of life");
    assert_eq!(keys(&look_into(&bytes)), 250);
    // What it took is no time of the command, or each would be in the slow log.
    let log = run(&mut client, "SLOWLOG GET -1");
    assert!(!log.contains("SYNC"), "{log}");
    let stats = run(&mut client, "INFO commandstats");
    assert!(stats.contains("cmdstat_sync:calls=1,"), "{stats}");
}

/// A server with so many strings of a megabyte that cannot be compressed.
fn laden(megabytes: usize) -> (Process, Client) {
    let server = process(&["--save", "", "--rdbcompression", "no"]);
    let mut client = server.client().expect("it serves");
    for nth in 0..megabytes {
        ok(&mut client, &format!("SET {nth} {}", "v".repeat(1 << 20)));
    }
    (server, client)
}

/// Files that a process has open and that have no name.
fn nameless(server: &Process) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", server.id())).expect("it runs").flatten();
    let targets = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.filter(|target| target.to_string_lossy().contains(".rdb (deleted)")).count()
}

fn threads(server: &Process) -> usize {
    fs::read_dir(format!("/proc/{}/task", server.id())).expect("it runs").count()
}

/// Asks, and takes no more than the length of the answer.
fn stalled(server: &Process, client: &mut Client) -> Client {
    let mut reader = asking(server.addr());
    reader.read_exact_raw(1).expect("it begins");
    until("it is sent", || run(client, "INFO replication").contains("state=send_bulk"));
    reader
}

#[test]
fn nothing_is_left_of_it_when_its_client_is_gone() {
    let (server, mut client) = laden(32);
    let before = threads(&server);
    for step in ["made", "sent"] {
        if step == "made" {
            ok(&mut client, "CONFIG SET rdb-key-save-delay 60000000");
            let reader = asking(server.addr());
            until("it is being made", || figure(&mut client, "rdb_bgsave_in_progress") == "1");
            until("its file is there", || nameless(&server) == 2);
            drop(reader);
            until("it is given up", || figure(&mut client, "rdb_bgsave_in_progress") == "0");
            ok(&mut client, "CONFIG SET rdb-key-save-delay 0");
        } else {
            let reader = stalled(&server, &mut client);
            assert_eq!(nameless(&server), 1);
            assert!(!names(server.dir()).iter().any(|name| name.starts_with("temp-")));
            drop(reader);
        }
        until("its file is closed", || nameless(&server) == 0);
        until("it is forgotten", || info(&mut client, "connected_slaves") == "0");
        assert!(!names(server.dir()).iter().any(|name| name.contains(".rdb")), "{step}");
    }
    until("its threads have ended", || threads(&server) <= before);
}

#[test]
fn who_is_killed_while_it_is_made_or_sent_is_gone_at_once() {
    let (server, mut client) = laden(16);
    let mut reader = stalled(&server, &mut client);
    assert_eq!(run(&mut client, "CLIENT KILL TYPE replica"), "1");
    assert!(reader.read_until_closed(PATIENCE).expect("it ends").len() < 16 << 20);
    ok(&mut client, "CONFIG SET rdb-key-save-delay 60000000");
    let mut reader = asking(server.addr());
    until("it is being made", || figure(&mut client, "rdb_bgsave_in_progress") == "1");
    assert_eq!(run(&mut client, "CLIENT KILL TYPE slave"), "1");
    reader.read_until_closed(PATIENCE).expect("it ends");
    until("it is given up", || figure(&mut client, "rdb_bgsave_in_progress") == "0");
    until("its file is closed", || nameless(&server) == 0);
}

#[test]
fn who_takes_nothing_for_repl_timeout_is_cut() {
    let (server, mut client) = laden(48);
    ok(&mut client, "CONFIG SET repl-timeout 3");
    // A limit that is meant for replies cuts nobody who takes a snapshot.
    client.cmd(&["CONFIG", "SET", "client-output-buffer-limit", "normal 1kb 1kb 1"]);
    let mut slow = stalled(&server, &mut client);
    let mut reader = asking(server.addr());
    let mut taken = 1;
    until("one of two is cut", || {
        taken += slow.read_exact_raw(32 << 10).expect("it goes on").len();
        std::thread::sleep(Duration::from_millis(20));
        server.stdout().contains("does not take the snapshot")
    });
    assert_eq!(info(&mut client, "connected_slaves"), "1");
    assert!(reader.read_until_closed(PATIENCE).expect("it ends").len() < 48 << 20);
    taken += slow.read_until_closed(PATIENCE).expect("it ends").len();
    assert!(taken > 48 << 20, "{taken} bytes");
}

#[test]
fn a_server_that_ends_does_not_wait_for_it() {
    for (is_sent, line) in
        [(false, "SHUTDOWN SAVE"), (true, "SHUTDOWN NOSAVE"), (false, "SHUTDOWN")]
    {
        let (mut server, mut client) = laden(16);
        let reader = if is_sent {
            stalled(&server, &mut client)
        } else {
            ok(&mut client, "CONFIG SET rdb-key-save-delay 60000000");
            let reader = asking(server.addr());
            until("it is being made", || figure(&mut client, "rdb_bgsave_in_progress") == "1");
            ok(&mut client, "CONFIG SET rdb-key-save-delay 0");
            reader
        };
        client.send(&line.split(' ').collect::<Vec<_>>()).unwrap();
        assert!(server.wait().unwrap().success(), "{line}");
        drop(reader);
        let files = names(server.dir()).into_iter().filter(|name| name.contains(".rdb"));
        let saved = if line == "SHUTDOWN SAVE" { &["dump.rdb"][..] } else { &[] };
        assert_eq!(files.collect::<Vec<_>>(), saved, "{line}");
    }
}

#[test]
fn where_it_cannot_be_written_its_client_hears_that_and_others_go_on() {
    const FAILED: &[u8] = b"-ERR BGSAVE failed, replication can't continue\r\n";
    for (call, is_panic) in
        [(Call::Create, false), (Call::Write, false), (Call::Create, true), (Call::Write, true)]
    {
        let disk = Disk::new();
        let (handle, mut client) = on(&disk);
        for n in 0..2000 {
            client.cmd(&["SET", &format!("key-{n}"), &"v".repeat(400)]);
        }
        for after in 0.. {
            if is_panic {
                disk.panic(call, after);
            } else {
                disk.fail(call, after, 28, false);
            }
            let mut reader = asking(handle.address());
            let bytes = reader.read_until_closed(PATIENCE).expect("it ends");
            let is_told = bytes.ends_with(FAILED);
            let left = disk.list(Path::new("/data")).unwrap_or_default();
            assert!(left.is_empty(), "{call:?} {after}: {left:?}");
            disk.heal();
            if !is_told {
                assert!(after > 0, "{call:?} never failed");
                assert_eq!(keys(&look_into(payload(bytes.trim_ascii_start()))), 2000);
                break;
            }
        }
        assert_eq!(figure(&mut client, "rdb_last_bgsave_status"), "ok");
        ok(&mut client, "SET k v");
        assert_eq!(keys(&look_into(&receive(&mut asking(handle.address())).1)), 2001);
    }
}

#[test]
fn a_file_that_cannot_be_read_back_ends_the_connection_and_nothing_else() {
    let disk = Disk::new();
    let (handle, mut client) = on(&disk);
    ok(&mut client, "SET k v");
    // The first call opens it.
    disk.fail(Call::Read, 1, 5, false);
    let bytes = asking(handle.address()).read_until_closed(PATIENCE).expect("it ends");
    assert!(bytes.starts_with(b"$") && bytes.ends_with(b"\r\n"), "{bytes:?}");
    assert_eq!(keys(&look_into(&receive(&mut asking(handle.address())).1)), 1);
}

#[test]
fn who_stops_sending_still_gets_it() {
    let server = server();
    ok(&mut server.client(), "SET k v");
    let mut stream = TcpStream::connect(server.address()).unwrap();
    use std::io::{Read, Write};
    stream.write_all(b"REPLCONF rdb-only 1\r\n").unwrap();
    stream.read_exact(&mut [0; 5]).unwrap();
    stream.write_all(b"SYNC\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    assert_eq!(keys(&look_into(payload(bytes.trim_ascii_start()))), 1);
}

#[test]
fn what_was_sent_loads_where_the_server_starts() {
    let mut server = process(&["--save", ""]);
    let mut client = server.client().unwrap();
    fill_for_the_walk(&mut client);
    let before = run(&mut client, "DEBUG DIGEST");
    let bytes = receive(&mut asking(server.addr())).1;
    server.kill().unwrap();
    let path = server.dir().join("dump.rdb");
    fs::write(&path, bytes).unwrap();
    assert!(check(&Files, &path).1.is_ok());
    server.restart().unwrap();
    assert_eq!(run(&mut server.client().unwrap(), "DEBUG DIGEST"), before);
}
