//! What CLIENT and its subcommands answer.

use std::time::{Duration, Instant};

use russet_testkit::{Client, Transcript};

use crate::{Server, server};

/// A connection and its id.
fn connect(server: &Server) -> (Transcript, i64) {
    let mut t = Transcript::new(server.client());
    let id = t.run("CLIENT ID").int().expect("a number");
    (t, id)
}

/// The value of a field of a line.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let found = line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("{name} in {line}")).trim_end()
}

/// The lines of CLIENT LIST with some conditions.
fn lines(t: &mut Transcript, conditions: &str) -> Vec<String> {
    let reply = t.run(&format!("CLIENT LIST {conditions}"));
    let text = String::from_utf8_lossy(reply.bytes().expect("text"));
    text.lines().map(str::to_owned).collect()
}

/// The ids that CLIENT LIST gives with some conditions.
fn ids(t: &mut Transcript, conditions: &str) -> Vec<i64> {
    lines(t, conditions).iter().map(|line| field(line, "id").parse().expect("a number")).collect()
}

#[track_caller]
fn assert_closed(client: &mut Client) {
    let rest = client.read_until_closed(Duration::from_secs(5)).expect("it closes");
    assert_eq!(rest, b"");
}

/// Waits until another connection's line has what it should.
#[track_caller]
fn await_field(t: &mut Transcript, id: i64, name: &str, value: &str) {
    for _ in 0..500 {
        let lines = lines(t, &format!("ID {id}"));
        if lines.first().is_some_and(|line| field(line, name) == value) {
            return;
        }
        std::thread::yield_now();
    }
    panic!("{name} of {id} never became {value}");
}

#[test]
fn ids_ascend() {
    let server = server();
    let ((_a, one), (_b, two)) = (connect(&server), connect(&server));
    assert!(one < two);
}

#[test]
fn names_are_printable_words() {
    let server = server();
    let (mut t, _) = connect(&server);
    t.strict("CLIENT GETNAME", "$-1");
    t.check("CLIENT SETNAME me", "OK");
    t.strict("CLIENT GETNAME", "$me");
    for name in ["\"a b\"", "\"a\\nb\"", "\"\\x00\"", "\"\\xc3\\xa4\""] {
        t.check(
            &format!("CLIENT SETNAME {name}"),
            "-ERR Client names cannot contain spaces, newlines or special characters.",
        );
    }
    t.check("CLIENT GETNAME", "me");
    t.check("CLIENT SETNAME \"\"", "OK");
    t.strict("CLIENT GETNAME", "$-1");
}

#[test]
fn setinfo_notes_the_library() {
    let server = server();
    let (mut t, _) = connect(&server);
    t.check("CLIENT SETINFO lib-name redis-py(x_v1)", "OK");
    t.check("CLIENT SETINFO LIB-VER 1.2.3", "OK");
    t.check(
        "CLIENT SETINFO lib-ver \"1 2\"",
        "-ERR lib-ver cannot contain spaces, newlines or special characters.",
    );
    t.check("CLIENT SETINFO color red", "-ERR Unrecognized option 'color'");
    let line = t.run("CLIENT INFO").to_string();
    assert_eq!(field(&line, "lib-name"), "redis-py(x_v1)");
    assert_eq!(field(&line, "lib-ver"), "1.2.3");
}

#[test]
fn a_line_has_the_fields_of_valkey_in_their_order() {
    let server = server();
    let (mut t, id) = connect(&server);
    let names = "id addr laddr fd name age idle flags db sub psub ssub multi watch qbuf qbuf-free argv-mem multi-mem rbs rbp obl oll \
        omem tot-mem events cmd user redir resp lib-name lib-ver tot-net-in tot-net-out tot-cmds";
    let reply = t.run("CLIENT INFO");
    let text = String::from_utf8(reply.bytes().unwrap().to_vec()).unwrap();
    let found: Vec<&str> =
        text.trim_end().split(' ').map(|field| field.split('=').next().unwrap()).collect();
    assert_eq!(found.join(" "), names);
    assert!(text.ends_with('\n'));
    assert_eq!(field(&text, "id"), id.to_string());
    assert_eq!(field(&text, "addr"), t.client.local_addr().unwrap().to_string());
    assert_eq!(field(&text, "cmd"), "client|info");
    assert_eq!(field(&text, "argv-mem"), "10");
    assert_eq!(field(&text, "tot-cmds"), "1");
    t.client.hello3();
    assert!(matches!(t.run("CLIENT INFO"), russet_testkit::Reply::Verbatim { .. }));
}

/// What `maxmemory-clients` goes by is the same for the same request.
#[test]
fn half_an_argument_takes_as_much_in_whatever_pieces_it_came() {
    let server = server();
    let (mut t, _) = connect(&server);
    let whole = [&b"*2\r\n$131072\r\n"[..], &vec![b'v'; 131_072]].concat();
    let taken = [whole.len(), 40_000, 65_536, 9_000, 1_000].map(|piece| {
        let (mut other, id) = connect(&server);
        let mut sent = 0;
        for piece in whole.chunks(piece) {
            other.client.send_raw(piece).unwrap();
            sent += piece.len();
            // What has arrived is what has been sent, but for the header.
            await_arrival(&mut t, id, sent - 18);
        }
        let line = lines(&mut t, &format!("ID {id}")).remove(0);
        let parts = ["argv-mem", "qbuf", "qbuf-free"];
        parts.map(|part| field(&line, part).parse::<usize>().unwrap()).iter().sum::<usize>()
    });
    assert!(taken.iter().all(|bytes| bytes.abs_diff(whole.len()) <= 16), "{taken:?}");
}

fn await_arrival(t: &mut Transcript, id: i64, bytes: usize) {
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        let line = lines(t, &format!("ID {id}")).remove(0);
        if field(&line, "qbuf").parse::<usize>().expect("a number") >= bytes {
            return;
        }
        assert!(Instant::now() < until, "{bytes} bytes: {line}");
        std::thread::yield_now();
    }
}

#[test]
fn a_line_tells_the_truth_about_others() {
    let server = server();
    let ((mut t, _), (mut other, id)) = (connect(&server), connect(&server));
    other.check("SELECT 3", "OK");
    other.check("WATCH a b", "OK");
    other.check("MULTI", "OK");
    other.check("SET k v", "QUEUED");
    await_field(&mut t, id, "cmd", "set");
    let line = lines(&mut t, &format!("ID {id}")).remove(0);
    for (name, value) in [
        ("db", "3"),
        ("watch", "2"),
        ("multi", "1"),
        ("flags", "x"),
        ("resp", "2"),
        ("user", "default"),
    ] {
        assert_eq!(field(&line, name), value, "{name}");
    }
    assert!(field(&line, "multi-mem").parse::<u64>().unwrap() > 0);
    other.check("EXEC", "[OK]");
    other.client.send(&["BLPOP", "empty", "0"]).unwrap();
    await_field(&mut t, id, "flags", "b");
    await_field(&mut t, id, "cmd", "blpop");
    t.check("SELECT 3", "OK");
    t.check("RPUSH empty x", "1");
    assert_eq!(other.client.recv().unwrap().to_string(), "[empty, x]");
    await_field(&mut t, id, "flags", "N");
    other.check("CLIENT NO-TOUCH ON", "OK");
    other.check("CLIENT NO-EVICT ON", "OK");
    await_field(&mut t, id, "flags", "eT");
}

#[test]
fn a_blocked_command_counts_once_it_is_answered() {
    let server = server();
    let ((mut t, _), (mut other, id)) = (connect(&server), connect(&server));
    await_field(&mut t, id, "tot-cmds", "1");
    other.client.send(&["BLPOP", "k", "0"]).unwrap();
    await_field(&mut t, id, "flags", "b");
    await_field(&mut t, id, "tot-cmds", "1");
    t.check("RPUSH k x", "1");
    assert_eq!(other.client.recv().unwrap().to_string(), "[k, x]");
    await_field(&mut t, id, "tot-cmds", "2");
    other.check("BLPOP k 0.01", "(nil)");
    await_field(&mut t, id, "tot-cmds", "3");
}

#[test]
fn capabilities_are_noted_and_asked_for() {
    let server = server();
    let ((mut t, me), (_other, _)) = (connect(&server), connect(&server));
    t.check("CLIENT CAPA", "-ERR wrong number of arguments for 'client|capa' command");
    t.check("CLIENT CAPA later", "OK");
    assert!(ids(&mut t, "CAPA r").is_empty());
    t.check("CLIENT CAPA later REDIRECT", "OK");
    assert_eq!(ids(&mut t, "CAPA r"), [me]);
    t.check("CLIENT IMPORT-SOURCE ON", "-ERR Server is not in import mode");
    t.check("CLIENT IMPORT-SOURCE off", "OK");
}

#[test]
fn a_watch_that_came_true_is_a_flag() {
    let server = server();
    let ((mut t, _), (mut other, id)) = (connect(&server), connect(&server));
    other.check("WATCH k", "OK");
    await_field(&mut t, id, "flags", "N");
    t.check("SET k v", "OK");
    await_field(&mut t, id, "flags", "d");
    other.check("UNWATCH", "OK");
    await_field(&mut t, id, "flags", "N");
}

#[test]
fn list_takes_conditions() {
    let server = server();
    let ((mut t, me), (mut other, id), (_third, last)) =
        (connect(&server), connect(&server), connect(&server));
    other.check("CLIENT SETNAME other", "OK");
    other.check("CLIENT SETINFO LIB-NAME lib", "OK");
    other.check("SELECT 3", "OK");
    let addr = other.client.local_addr().unwrap().to_string();
    for conditions in [
        format!("ID {id}"),
        format!("ADDR {addr}"),
        "NAME other".to_owned(),
        "LIB-NAME lib".to_owned(),
        "DB 3".to_owned(),
        format!("NOT-ID {me} {last}"),
        "NOT-DB 0".to_owned(),
        "NAME nobody NAME other".to_owned(),
        "TYPE normal USER default DB 3 IP 127.0.0.1 FLAGS N NOT-LIB-VER x".to_owned(),
    ] {
        assert_eq!(ids(&mut t, &conditions), [id], "{conditions}");
    }
    assert_eq!(ids(&mut t, &format!("ID {id} {me} 99999")), [me, id]);
    assert_eq!(ids(&mut t, &format!("ID {id} ID {me}")), [me, id]);
    assert_eq!(ids(&mut t, "NOT-NAME other"), [me, last]);
    assert_eq!(ids(&mut t, "SKIPME yes"), [id, last]);
    assert_eq!(ids(&mut t, "SKIPME no"), [me, id, last]);
    for nobody in [
        "TYPE pubsub",
        "TYPE replica",
        "TYPE master",
        "IDLE 1000",
        "MAXAGE 1000",
        "IP 10.0.0.1",
        "CAPA r",
        "NOT-USER default",
        "FLAGS b",
    ] {
        assert!(ids(&mut t, nobody).is_empty(), "{nobody}");
    }
}

#[test]
fn conditions_that_make_no_sense_are_refused() {
    let server = server();
    let (mut t, _) = connect(&server);
    for (condition, error) in [
        ("TYPE foo", "ERR Unknown client type 'foo'"),
        ("USER nobody", "ERR No such user 'nobody'"),
        ("MAXAGE x", "ERR maxage is not an integer or out of range"),
        ("MAXAGE 0", "ERR maxage should be greater than 0"),
        ("IDLE x", "ERR idle is not an integer or out of range"),
        ("IDLE -1", "ERR idle should be greater than 0"),
        ("FLAGS Nz", "ERR Unknown flags found in the provided filter: Nz"),
        ("CAPA x", "ERR Unknown capa found in the provided filter: x"),
        ("DB x", "ERR DB is not an integer or out of range"),
        ("DB 16", "ERR DB number should be between 0 and 15"),
        ("SKIPME maybe", "ERR syntax error"),
        ("NOT-SKIPME yes", "ERR syntax error"),
        ("NOT-IDLE 3", "ERR syntax error"),
        ("COLOR red", "ERR syntax error"),
        ("ID 1 TYPE", "ERR syntax error"),
        ("ID 0", "ERR client-id should be greater than 0"),
    ] {
        t.check(&format!("CLIENT KILL {condition}"), &format!("-{error}"));
        t.check(&format!("CLIENT LIST {condition}"), &format!("-{error}"));
    }
    t.check("CLIENT LIST ID x", "-ERR Invalid client ID");
    t.check("CLIENT KILL ID x", "-ERR client-id should be greater than 0");
    t.check("CLIENT LIST TYPE", "-ERR syntax error");
    t.check("CLIENT KILL", "-ERR wrong number of arguments for 'client|kill' command");
}

#[test]
fn kill_by_address_answers_ok() {
    let server = server();
    let ((mut t, _), (mut other, id)) = (connect(&server), connect(&server));
    t.check("CLIENT KILL 1.2.3.4:5", "-ERR No such client");
    let addr = other.client.local_addr().unwrap();
    t.check(&format!("CLIENT KILL {addr}"), "OK");
    assert!(ids(&mut t, &format!("ID {id}")).is_empty(), "gone for whoever asks next");
    assert_closed(&mut other.client);
    let own = t.client.local_addr().unwrap();
    t.check(&format!("CLIENT KILL {own}"), "OK");
    assert_closed(&mut t.client);
}

#[test]
fn kill_by_conditions_counts() {
    let server = server();
    let ((mut t, me), (mut one, id), (mut two, _)) =
        (connect(&server), connect(&server), connect(&server));
    t.check("CLIENT KILL MAXAGE 1000", "0");
    t.check(&format!("CLIENT KILL ID {id}"), "1");
    t.check(&format!("CLIENT KILL ID {id}"), "0");
    assert_closed(&mut one.client);
    t.check("CLIENT KILL TYPE normal", "1");
    assert_closed(&mut two.client);
    t.check(&format!("CLIENT KILL ID {me}"), "0");
    t.check(&format!("CLIENT KILL ID {me} SKIPME no"), "1");
    assert_closed(&mut t.client);
}

#[test]
fn whoever_is_killed_while_it_waits_gets_nothing() {
    let server = server();
    let ((mut t, _), (mut other, id)) = (connect(&server), connect(&server));
    other.client.send(&["BLPOP", "k", "0"]).unwrap();
    await_field(&mut t, id, "flags", "b");
    t.check(&format!("CLIENT KILL ID {id}"), "1");
    t.check("RPUSH k x", "1");
    t.check("LPOP k", "x");
    assert_closed(&mut other.client);
}

#[test]
fn replies_can_be_switched_off() {
    let server = server();
    let (mut t, _) = connect(&server);
    t.check("CLIENT REPLY ON", "OK");
    t.client.send(&["CLIENT", "REPLY", "SKIP"]).unwrap();
    t.client.send(&["SET", "k", "skipped"]).unwrap();
    t.check("GET k", "skipped");
    t.client.send(&["CLIENT", "REPLY", "OFF"]).unwrap();
    t.client.send(&["SET", "k", "silent"]).unwrap();
    t.client.send(&["NOSUCH"]).unwrap();
    t.client.send(&["CLIENT", "REPLY", "SKIP"]).unwrap();
    t.check("CLIENT REPLY ON", "OK");
    t.check("GET k", "silent");
    t.check("CLIENT REPLY maybe", "-ERR syntax error");
}

/// KEYS is answered by a walk, SORT of many by a worker, BLPOP by who pushes, by CLIENT UNBLOCK or by the passing of time.
#[test]
fn replies_that_come_later_are_switched_off_too() {
    let server = server();
    let ((mut t, id), (mut other, _)) = (connect(&server), connect(&server));
    let many: Vec<String> = (0..20_000).map(|n| n.to_string()).collect();
    let rpush: Vec<&str> =
        ["RPUSH", "many"].into_iter().chain(many.iter().map(String::as_str)).collect();
    assert_eq!(other.client.cmd(&rpush).to_string(), "20000");
    for words in [
        &["KEYS", "*"][..],
        &["SORT", "many"],
        &["BLPOP", "none", "0.01"],
        &["BLPOP", "pushed", "0"],
    ] {
        let is_pushed = words.contains(&"pushed");
        for how in ["SKIP", "OFF"] {
            t.client.send(&["CLIENT", "REPLY", how]).unwrap();
            t.client.send(words).unwrap();
            if is_pushed {
                await_field(&mut other, id, "flags", "b");
                other.check("RPUSH pushed x", "1");
            }
            if how == "OFF" {
                t.client.send(&["ECHO", "unheard"]).unwrap();
                t.check("CLIENT REPLY ON", "OK");
            }
            t.check(&format!("ECHO {how}"), how);
        }
    }
    t.client.send(&["CLIENT", "REPLY", "SKIP"]).unwrap();
    t.client.send(&["BLPOP", "none", "0"]).unwrap();
    await_field(&mut other, id, "flags", "b");
    other.check(&format!("CLIENT UNBLOCK {id} ERROR"), "1");
    t.check("ECHO on", "on");
}

#[test]
fn unblock_ends_a_wait() {
    let server = server();
    let ((mut t, me), (mut other, id)) = (connect(&server), connect(&server));
    for (reason, reply) in [
        ("", "(nil)"),
        ("TIMEOUT", "(nil)"),
        ("ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK"),
    ] {
        other.client.send(&["BLPOP", "k", "0"]).unwrap();
        await_field(&mut t, id, "flags", "b");
        t.check(&format!("CLIENT UNBLOCK {id} {reason}"), "1");
        assert_eq!(other.client.recv().unwrap().to_string(), reply, "{reason}");
        other.check("PING", "PONG");
    }
    t.check("RPUSH k x", "1");
    t.check("LLEN k", "1");
    t.check(&format!("CLIENT UNBLOCK {id}"), "0");
    t.check(&format!("CLIENT UNBLOCK {me}"), "0");
    t.check("CLIENT UNBLOCK 99999", "0");
    t.check("CLIENT UNBLOCK x", "-ERR value is not an integer or out of range");
    t.check(
        &format!("CLIENT UNBLOCK {id} maybe"),
        "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
    );
}

#[test]
fn pause_write_lets_readers_pass() {
    let server = server();
    let ((mut t, _), (mut other, id)) = (connect(&server), connect(&server));
    t.check("CLIENT PAUSE 60000 WRITE", "OK");
    other.check("GET k", "(nil)");
    other.client.send(&["SET", "k", "v"]).unwrap();
    await_field(&mut t, id, "flags", "b");
    t.check("GET k", "(nil)");
    t.check("CLIENT UNPAUSE", "OK");
    assert_eq!(other.client.recv().unwrap().to_string(), "OK");
    t.check("GET k", "v");
}

#[test]
fn pause_all_ends_by_itself() {
    let server = server();
    let ((mut t, _), (mut other, _)) = (connect(&server), connect(&server));
    t.check("CLIENT PAUSE 150", "OK");
    let begin = std::time::Instant::now();
    other.check("PING", "PONG");
    assert!(begin.elapsed() >= Duration::from_millis(100));
    t.check("CLIENT PAUSE x", "-ERR timeout is not an integer or out of range");
    t.check("CLIENT PAUSE -1", "-ERR timeout is negative");
    t.check("CLIENT PAUSE 9223372036854775807", "-ERR timeout is out of range");
    t.check("CLIENT PAUSE 1 maybe", "-ERR CLIENT PAUSE mode must be WRITE or ALL");
}

#[test]
fn nothing_expires_while_pause_holds_and_nothing_that_ended_is_seen() {
    let server = server();
    let (mut t, _) = connect(&server);
    let expired = |t: &mut Transcript| {
        let info = t.run("INFO stats");
        let info = String::from_utf8_lossy(info.bytes().expect("text")).into_owned();
        let line =
            info.lines().find_map(|line| line.strip_prefix("expired_keys:").map(str::to_owned));
        line.expect("a field").parse::<u64>().expect("a number")
    };
    t.check("MULTI", "OK");
    t.check("SET k v PX 10", "QUEUED");
    t.check("SET other v", "QUEUED");
    t.check("CLIENT PAUSE 60000 WRITE", "QUEUED");
    t.check("EXEC", "[OK, OK, OK]");
    std::thread::sleep(Duration::from_millis(150));
    t.check("GET k", "(nil)");
    t.check("EXISTS k other", "1");
    t.check("KEYS *", "[other]");
    assert_eq!(expired(&mut t), 0);
    t.check("DBSIZE", "2");
    t.check("CLIENT UNPAUSE", "OK");
    t.check("GET k", "(nil)");
    assert_eq!(expired(&mut t), 1);
}

#[test]
fn who_is_held_up_by_pause_counts_as_blocked() {
    let server = server();
    let ((mut t, _), (mut other, id)) = (connect(&server), connect(&server));
    t.check("CLIENT PAUSE 60000 WRITE", "OK");
    other.client.send(&["PFCOUNT", "k"]).unwrap();
    await_field(&mut t, id, "flags", "b");
    let info = t.run("INFO clients");
    let info = String::from_utf8_lossy(info.bytes().expect("text")).into_owned();
    assert!(info.contains("blocked_clients:1\r\n"), "{info}");
    t.check("CLIENT UNPAUSE", "OK");
    assert_eq!(other.client.recv().unwrap().to_string(), "0");
}

#[test]
fn pause_inside_a_transaction_is_no_trap() {
    let server = server();
    let (mut t, _) = connect(&server);
    t.check("MULTI", "OK");
    t.check("SET k v", "QUEUED");
    t.check("CLIENT PAUSE 20 WRITE", "QUEUED");
    t.check("EXEC", "[OK, OK]");
    t.check("SET k w", "OK");
}

#[test]
fn subcommands_that_are_not_there_are_refused() {
    let server = server();
    let (mut t, _) = connect(&server);
    t.check("CLIENT", "-ERR wrong number of arguments for 'client' command");
    t.check("CLIENT nosuch", "-ERR unknown subcommand 'nosuch'. Try CLIENT HELP.");
    t.check("CLIENT ID 1", "-ERR wrong number of arguments for 'client|id' command");
    let help = t.run("CLIENT HELP").to_string();
    assert!(
        help.contains("CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"),
        "{help}"
    );
    assert!(
        help.contains("SETNAME connection-name") && help.contains("timeout [WRITE | ALL]"),
        "{help}"
    );
}

#[test]
fn who_is_not_evicted_has_replies_of_any_length_whatever_clients_may_take() {
    let server = server();
    let (mut t, id) = connect(&server);
    t.check("SETRANGE k 100000 x", "100001");
    t.check("CLIENT NO-EVICT ON", "OK");
    t.check("CONFIG SET maxmemory-clients 1", "OK");
    assert_eq!(t.run("GET k").bytes().map(<[u8]>::len), Some(100_001));
    assert!(t.run("CLIENT LIST").to_string().contains(&format!("id={id} ")));
}
