//! Scripts that do not end by themselves: who is held up, how they are ended, and what stays of what they did.

use std::sync::atomic::Ordering;
use std::time::Duration;

use russet_testkit::{Client, Process, Setup, Transcript};

use super::{eventually, text};
use crate::Server;

fn process(arguments: &[&str]) -> Process {
    Setup::new(env!("CARGO_BIN_EXE_russet")).args(arguments).start().expect("it starts")
}

/// Writes, and goes on for ever.
const WRITTEN: &str = "redis.call('set', KEYS[1], 'written') redis.call('incr', KEYS[1] .. ':n') \
                       while true do end";

/// A client that runs a script which does not end.
fn runner(mut client: Client, script: &str) -> (Client, String) {
    let id = text(&client.cmd(&["CLIENT", "ID"]));
    client.send(&["EVAL", script, "2", "{held}", "{held}:n"]).expect("sent");
    (client, id)
}

fn await_busy(other: &mut Client) {
    eventually(|| text(&other.cmd(&["GET", "{held}"])).contains("BUSY"));
}

#[test]
fn a_script_that_runs_for_ever_can_be_killed() {
    let server = Server::with(&["--busy-reply-threshold", "50"]);
    let mut t = Transcript::new(server.client());
    for script in [
        "while true do end",
        "while true do pcall(function() while true do redis.call('ping') end end) end",
    ] {
        let (mut runner, _) = runner(server.client(), script);
        // Others go on; who needs the same shard is told.
        let mut other = server.client();
        await_busy(&mut other);
        t.check("SET elsewhere 1", "OK");
        t.check("PING", "PONG");
        t.check("SCRIPT KILL", "OK");
        let error = text(&runner.recv().expect("killed"));
        assert!(error.contains("Script killed by user with SCRIPT KILL"), "{error}");
        eventually(|| !text(&other.cmd(&["GET", "{held}"])).contains("BUSY"));
    }
    t.check("EVAL 'return 1' 0", "1");
}

#[test]
fn a_function_that_runs_for_ever_is_shown_and_can_be_killed() {
    let server = Server::with(&["--busy-reply-threshold", "50"]);
    let mut t = Transcript::new(server.client());
    let code = "#!lua name=l\nredis.register_function('f', function() while true do end end)";
    assert_eq!(text(&t.client.cmd(&["FUNCTION", "LOAD", code])), "l");
    let mut runner = server.client();
    runner.send(&["FCALL", "f", "1", "{held}", "x"]).expect("sent");
    let mut other = server.client();
    eventually(|| {
        text(&other.cmd(&["GET", "{held}"]))
            == "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
    });
    let stats = text(&t.client.cmd(&["FUNCTION", "STATS"]));
    let shown = "running_script name f command FCALL f 1 {held} x duration_ms ";
    assert!(stats.starts_with(shown), "{stats}");
    t.check(
        "SCRIPT KILL",
        "-BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.",
    );
    t.check("FUNCTION KILL", "OK");
    let error = text(&runner.recv().expect("killed"));
    assert!(error.contains("Script killed by user with FUNCTION KILL"), "{error}");
    t.check("FUNCTION KILL", "-NOTBUSY No scripts in execution right now.");
    t.check("GET {held}", "(nil)");
}

#[test]
fn a_script_that_has_written_ends_with_its_client_only() {
    let server = Server::with(&["--busy-reply-threshold", "50"]);
    let mut t = Transcript::new(server.client());
    let (_runner, id) = runner(server.client(), WRITTEN);
    let mut other = server.client();
    await_busy(&mut other);
    t.check("SCRIPT KILL", "-UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.");
    t.check(
        "FUNCTION KILL",
        "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    );
    t.check(&format!("CLIENT KILL ID {id}"), "1");
    eventually(|| text(&other.cmd(&["GET", "{held}"])) == "written");
    t.check("GET {held}:n", "1");
}

/// A limit that its client reaches does not tear a script in two. Without its client nobody could end it by name: then it is killable.
#[test]
fn a_script_that_has_written_outlives_its_client_unless_somebody_asks() {
    let server = Server::with(&["--busy-reply-threshold", "50"]);
    let mut t = Transcript::new(server.client());
    let (_runner, id) = runner(server.client(), WRITTEN);
    let mut other = server.client();
    await_busy(&mut other);
    let clients = &server.state().clients;
    let id = id.parse().expect("a number");
    clients.get(id).expect("it runs").kill();
    eventually(|| clients.get(id).is_none());
    await_busy(&mut other);
    t.check("SCRIPT KILL", "OK");
    eventually(|| text(&other.cmd(&["GET", "{held}"])) == "written");
}

#[test]
fn who_waits_for_a_script_is_not_idle() {
    let server = Server::with(&["--timeout", "1"]);
    let mut client = server.client();
    let script = "local from = os.clock() while os.clock() - from < 2.6 do end \
                  return redis.call('incr', KEYS[1])";
    assert_eq!(text(&client.cmd(&["EVAL", script, "1", "k"])), "1");
    assert_eq!(text(&client.cmd(&["GET", "k"])), "1");
}

/// What a script did before it ended is one record, whatever ended it.
#[test]
fn what_stays_of_a_script_survives_a_restart() {
    let arguments = [
        "--save",
        "",
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--busy-reply-threshold",
        "50",
    ];
    let mut server = process(&[&arguments[..], &["--script-memory-limit", "8mb"]].concat());
    let mut other = server.client().expect("it listens");
    let (_runner, id) = runner(server.client().expect("it listens"), WRITTEN);
    await_busy(&mut other);
    assert_eq!(text(&other.cmd(&["CLIENT", "KILL", "ID", &id])), "1");
    eventually(|| text(&other.cmd(&["GET", "{held}"])) == "written");
    let greedy = "redis.call('set', KEYS[1], 'kept') redis.call('rpush', KEYS[2], 'a', 'b') \
                  local all = {} for n = 1, 1e9 do all[n] = string.rep('x', 1000) .. n end";
    let error = text(&other.cmd(&["EVAL", greedy, "2", "{m}", "{m}:list"]));
    assert!(error.contains("not enough memory"), "{error}");
    assert_eq!(text(&other.cmd(&["GET", "{m}"])), "kept");
    server.kill().expect("it runs");
    let log = increments(&server);
    // One record each, as a transaction: never a half of one.
    assert_eq!(log.matches("$5\r\nMULTI\r\n").count(), 2, "{log}");
    assert_eq!(log.matches("$4\r\nEXEC\r\n").count(), 2, "{log}");
    server.restart().expect("it starts again");
    let mut client = server.client().expect("it listens");
    for (words, answer) in [
        (["GET", "{held}"], "written"),
        (["GET", "{held}:n"], "1"),
        (["GET", "{m}"], "kept"),
        (["LLEN", "{m}:list"], "2"),
    ] {
        assert_eq!(text(&client.cmd(&words)), answer, "{words:?}");
    }
}

/// The text of the append-only file behind its base.
fn increments(server: &Process) -> String {
    let parts = std::fs::read_dir(server.dir().join("appendonlydir")).expect("a directory");
    let parts = parts.flatten().map(|entry| entry.path());
    let increments = parts.filter(|path| path.to_string_lossy().ends_with(".incr.aof"));
    increments
        .map(|path| {
            String::from_utf8_lossy(&std::fs::read(path).expect("it is there")).into_owned()
        })
        .collect()
}

#[test]
fn a_script_that_has_written_does_not_keep_the_server_from_ending() {
    let arguments = ["--save", "3600 1000000", "--busy-reply-threshold", "50"];
    for (how, stays) in [("NOSAVE", "nil"), ("SAVE", "written")] {
        let mut server = process(&arguments);
        let mut other = server.client().expect("it listens");
        let (_runner, _) = runner(server.client().expect("it listens"), WRITTEN);
        await_busy(&mut other);
        other.send(&["SHUTDOWN", how]).expect("sent");
        assert!(server.wait().expect("it ends").success(), "{how}");
        server.restart().expect("it starts again");
        let mut client = server.client().expect("it listens");
        assert_eq!(text(&client.cmd(&["GET", "{held}"])), stays, "{how}");
    }
}

/// A script that was quick in earlier runs, and so runs where its request arrived, then writes and loops.
#[test]
fn who_connects_is_served_whatever_scripts_do() {
    let script = "redis.call('set', KEYS[1], 1) while ARGV[1] == 'on' do end return 1";
    let server = Server::with(&["--io-threads", "1", "--busy-reply-threshold", "50"]);
    let mut quick = server.client();
    let mut first = server.client();
    for _ in 0..3 {
        assert_eq!(text(&quick.cmd(&["EVAL", script, "1", "held", "off"])), "1");
    }
    let id = text(&quick.cmd(&["CLIENT", "ID"]));
    quick.send(&["EVAL", script, "1", "held", "on"]).expect("sent");
    eventually(|| !server.state().scripts.held_threads().is_empty());
    first.send(&["PING"]).expect("sent");
    assert_eq!(first.recv_within(Duration::from_millis(100)).expect("open"), None);
    let mut operator = Transcript::new(server.client());
    operator.check("PING", "PONG");
    operator.check("SET elsewhere 1", "OK");
    eventually(|| text(&operator.run("GET held")).contains("BUSY"));
    operator.check(&format!("CLIENT KILL ID {id}"), "1");
    assert_eq!(text(&first.recv().expect("served")), "PONG");
    operator.check("GET held", "1");
}

#[test]
fn who_is_told_that_a_script_runs_is_told_once() {
    let server = Server::with(&["--busy-reply-threshold", "50"]);
    let (_runner, _) = runner(server.client(), "while true do end");
    let mut other = server.client();
    await_busy(&mut other);
    let told = |other: &mut Client| text(&other.recv().expect("a reply"));
    other.send_raw(b"*2\r\n$3\r\nGET\r\n$6\r\n{held}\r\n*1\r\n$4\r\nPING\r\n").expect("sent");
    let busy =
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
    assert_eq!(told(&mut other), busy);
    assert_eq!(told(&mut other), "PONG");
    for more in ["return 1", "return redis.call('get', KEYS[1])"] {
        assert_eq!(text(&other.cmd(&["MULTI"])), "OK");
        assert_eq!(text(&other.cmd(&["GET", "{held}"])), "QUEUED");
        assert_eq!(text(&other.cmd(&["EVAL", more, "1", "{held}"])), "QUEUED");
        let aborted = format!("EXECABORT Transaction discarded because of: {busy}");
        assert_eq!(text(&other.cmd(&["EXEC"])), aborted);
        assert_eq!(text(&other.cmd(&["EXEC"])), "ERR EXEC without MULTI");
    }
    assert_eq!(text(&other.cmd(&["MULTI"])), "OK");
    assert_eq!(text(&other.cmd(&["GET", "{held}"])), "QUEUED");
    assert!(text(&other.cmd(&["EXEC"])).starts_with("EXECABORT"));
    assert_eq!(text(&other.cmd(&["SCRIPT", "KILL"])), "OK");
    eventually(|| text(&other.cmd(&["GET", "{held}"])) == "nil");
}

/// A reply that comes, whoever else waits for what.
#[track_caller]
fn answer(client: &mut Client, words: &[&str]) -> String {
    client.send(words).expect("sent");
    let reply = client.recv_within(Duration::from_secs(20)).expect("open");
    text(&reply.unwrap_or_else(|| panic!("{words:?} is not answered")))
}

/// A snapshot needs the shard of a script that goes on for ever. It waits, and lets nobody wait for it.
#[test]
fn who_saves_waits_for_a_script_and_nobody_else_does() {
    for begins in ["BGSAVE", "BGREWRITEAOF"] {
        let server = process(&["--save", "", "--busy-reply-threshold", "50"]);
        let (_runner, id) = runner(server.client().expect("it listens"), WRITTEN);
        let mut other = server.client().expect("it listens");
        await_busy(&mut other);
        for words in [&["SAVE"][..], &["CLIENT", "PAUSE", "60000", "WRITE"]] {
            assert!(answer(&mut other, words).starts_with("BUSY"), "{words:?}");
        }
        assert!(answer(&mut other, &[begins]).starts_with("Background"));
        // Longer than the patience of who saves.
        for turn in 0..20 {
            for n in 0..100 {
                let name = format!("key:{n}");
                let said = answer(&mut other, &["SET", &name, &turn.to_string()]);
                assert!(said == "OK" || said.starts_with("BUSY"), "{said}");
            }
            assert!(answer(&mut other, &["DBSIZE"]).starts_with("BUSY"));
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(answer(&mut other, &["CLIENT", "KILL", "ID", &id]), "1");
        let mut ended = server.client().expect("it listens");
        eventually(|| {
            let info = answer(&mut ended, &["INFO", "persistence"]);
            let is_over = |name: &str| info.contains(&format!("{name}_in_progress:0"));
            is_over("rdb_bgsave") && is_over("aof_rewrite")
        });
        let info = answer(&mut ended, &["INFO", "persistence"]);
        assert!(info.contains("rdb_last_bgsave_status:ok"), "{info}");
        assert!(info.contains("aof_last_bgrewrite_status:ok"), "{info}");
    }
}

/// A script that comes when a snapshot is under way: what it does not hold is saved, so that no more images of it have to wait.
#[test]
fn a_snapshot_goes_around_a_script() {
    let server = Server::with(&["--busy-reply-threshold", "50", "--rdb-key-save-delay", "1000"]);
    let mut other = server.client();
    for n in 0..500 {
        assert_eq!(answer(&mut other, &["SET", &format!("key:{n}"), "1"]), "OK");
    }
    assert!(answer(&mut other, &["BGSAVE"]).starts_with("Background"));
    let keys_done = || server.state().persistence.keys_done.load(Ordering::Relaxed);
    eventually(|| keys_done() > 0);
    let (_runner, id) = runner(server.client(), WRITTEN);
    await_busy(&mut other);
    // All but what lies in the one shard.
    eventually(|| keys_done() > 450);
    assert_eq!(answer(&mut other, &["CLIENT", "KILL", "ID", &id]), "1");
    eventually(|| {
        answer(&mut other, &["INFO", "persistence"]).contains("rdb_bgsave_in_progress:0")
    });
    let info = answer(&mut other, &["INFO", "persistence"]);
    assert!(info.contains("rdb_last_bgsave_status:ok"), "{info}");
}

/// A shard that a script takes while it runs is known to be held.
#[test]
fn a_script_is_busy_where_it_has_grown() {
    let server = Server::with(&["--busy-reply-threshold", "50"]);
    let script = "redis.call('set', KEYS[1], 'written') \
                  local from = os.clock() while os.clock() - from < 0.2 do end \
                  redis.call('set', 'grown', 1) while true do end";
    let (mut first, id) = runner(server.client(), script);
    let mut other = server.client();
    eventually(|| text(&other.cmd(&["GET", "grown"])).contains("BUSY"));
    assert_eq!(text(&other.cmd(&["CLIENT", "KILL", "ID", &id])), "1");
    assert!(first.recv().is_err());
    eventually(|| text(&other.cmd(&["GET", "grown"])) == "1");
}

/// A script that finds out about a key when it has written waits for who holds it, as long as that one does not want what it holds.
#[test]
fn a_script_waits_for_the_keys_that_it_did_not_declare() {
    const ROUNDS: usize = 30;
    let server = Server::with(&[]);
    let (mut slow, mut other) = (server.client(), server.client());
    // Scripts with loops that nobody has run yet: on workers.
    let holder = std::thread::spawn(move || {
        for n in 0..ROUNDS {
            let script = format!(
                "local from = os.clock() while os.clock() - from < 0.005 do end \
                 return redis.call('incr', KEYS[1]) -- {n}"
            );
            assert!(!text(&slow.cmd(&["EVAL", &script, "1", "wanted"])).contains("ERR"));
        }
    });
    let mut refused = 0;
    for n in 0..ROUNDS {
        let script = format!(
            "redis.call('incr', KEYS[1]) for _ = 1, 2 do redis.call('incr', 'wanted') end return 1 -- {n}"
        );
        let said = text(&other.cmd(&["EVAL", &script, "1", "own"]));
        refused += usize::from(said.contains("ERR"));
    }
    holder.join().expect("it ran");
    // Where threads are not run for long, patience may end.
    assert!(refused <= ROUNDS / 3, "{refused} of {ROUNDS} were refused");
}
