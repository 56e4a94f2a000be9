//! What AUTH, ECHO, HELLO, PING, QUIT, RESET and SELECT answer.

use std::time::{Duration, Instant};

use russet_testkit::Transcript;

use crate::{Server, server};

const WRONG: &str = "-WRONGPASS invalid username-password pair or user is disabled.";

fn guarded() -> Server {
    Server::with(&["--requirepass", "secret"])
}

#[test]
fn auth_without_a_password_configured_says_so() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("AUTH foo", "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?");
    t.check("AUTH default anything", "OK");
    t.check("AUTH somebody anything", WRONG);
    t.check("AUTH a b c", "-ERR syntax error");
    t.check("AUTH", "-ERR wrong number of arguments for 'auth' command");
}

#[test]
fn strangers_may_only_log_in() {
    let server = guarded();
    let mut t = Transcript::new(server.client());
    for command in ["GET k", "PING", "CLIENT ID", "COMMAND", "SELECT 1", "MULTI"] {
        t.check(command, "-NOAUTH Authentication required.");
    }
    t.check("HELLO", "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time");
    t.check("AUTH wrong", WRONG);
    t.check("AUTH default wrong", WRONG);
    t.check("AUTH root secret", WRONG);
    t.check("AUTH secret", "OK");
    t.check("GET k", "(nil)");
    t.check("AUTH wrong", WRONG);
    t.check("GET k", "(nil)");
}

#[test]
fn clients_begin_with_the_protocol_that_is_configured_and_return_to_it() {
    let server = Server::with(&["--client-default-resp", "3"]);
    let mut t = Transcript::new(server.client());
    let is_resp3 =
        |t: &mut Transcript| t.client.cmd_frame(&["GET", "nothing"]).unwrap() == b"_\r\n";
    assert!(is_resp3(&mut t));
    t.check("CLIENT TRACKING ON", "OK");
    assert_eq!(t.client.cmd_frame(&["HELLO", "2"]).unwrap()[0], b'*');
    assert!(!is_resp3(&mut t));
    t.check("RESET", "RESET");
    assert!(is_resp3(&mut t));
}

#[test]
fn strangers_are_counted_until_they_log_in_or_leave() {
    let server = guarded();
    let strangers =
        || server.state().clients.unauthenticated.load(std::sync::atomic::Ordering::Relaxed);
    let mut t = Transcript::new(server.client());
    t.check("AUTH wrong", WRONG);
    assert_eq!(strangers(), 1);
    t.check("AUTH secret", "OK");
    t.check("AUTH secret", "OK");
    assert_eq!(strangers(), 0);
    t.check("RESET", "RESET");
    assert_eq!(strangers(), 1);
    t.check("QUIT", "OK");
    let until = Instant::now() + Duration::from_secs(5);
    while strangers() > 0 {
        assert!(Instant::now() < until, "who has left is still counted");
    }
}

#[test]
fn the_fifth_wrong_password_is_answered_late_and_ends_the_connection() {
    let server = guarded();
    let mut t = Transcript::new(server.client());
    for _ in 0..4 {
        t.check("AUTH wrong", WRONG);
    }
    let mut other = Transcript::new(server.client());
    let begin = Instant::now();
    t.client.send(&["AUTH", "wrong"]).unwrap();
    other.check("AUTH secret", "OK");
    assert!(begin.elapsed() < Duration::from_millis(150), "others do not wait");
    assert_eq!(t.client.recv().unwrap().to_string(), WRONG);
    assert!(begin.elapsed() >= Duration::from_millis(200));
    assert_eq!(t.client.read_until_closed(Duration::from_secs(5)).unwrap(), b"");
}

#[test]
fn a_right_password_forgives_wrong_ones() {
    let server = guarded();
    let mut t = Transcript::new(server.client());
    for _ in 0..3 {
        for _ in 0..4 {
            t.check("HELLO 2 AUTH default wrong", WRONG);
        }
        t.check("AUTH secret", "OK");
    }
}

#[test]
fn echo_and_ping_give_back() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.strict("PING", "+PONG");
    t.strict("PING hello", "$hello");
    t.strict(r#"ECHO "a\r\nb""#, r#"$"a\r\nb""#);
    t.check("PING a b", "-ERR wrong number of arguments for 'ping' command");
    t.check("ECHO", "-ERR wrong number of arguments for 'echo' command");
}

#[test]
fn hello_describes_the_server() {
    let server = server();
    let mut t = Transcript::new(server.client());
    let id = t.run("CLIENT ID").int().unwrap();
    t.check("HELLO", &format!("[server, redis, version, 7.4.0, proto, 2, id, {id}, mode, standalone, role, master, modules, []]"));
    t.check("HELLO 3", &format!("{{server: redis, version: 7.4.0, proto: 3, id: {id}, mode: standalone, role: master, modules: []}}"));
    t.strict("GET k", "_");
    t.check("HELLO 2 SETNAME me", "(any)");
    t.check("CLIENT GETNAME", "me");
    t.strict("GET k", "$-1");
}

#[test]
fn hello_changes_nothing_when_it_fails() {
    let server = guarded();
    let mut t = Transcript::new(server.client());
    t.check("HELLO 3 AUTH default wrong SETNAME me", WRONG);
    t.check("HELLO 3 AUTH default secret SETNAME me", "(any)");
    t.check("HELLO 2 AUTH default wrong SETNAME you", WRONG);
    t.strict("GET k", "_");
    t.check("CLIENT GETNAME", "me");
    t.check("HELLO 4", "-NOPROTO unsupported protocol version");
    t.check("HELLO 1", "-NOPROTO unsupported protocol version");
    t.check("HELLO x", "-ERR Protocol version is not an integer or out of range");
    t.check("HELLO 3 FOO", "-ERR Syntax error in HELLO option 'FOO'");
    t.check("HELLO 3 AUTH default", "-ERR Syntax error in HELLO option 'AUTH'");
    t.check("HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'");
    t.check(
        "HELLO 2 SETNAME \"a b\"",
        "-ERR Client names cannot contain spaces, newlines or special characters.",
    );
    t.strict("GET k", "_");
}

#[test]
fn select_chooses_a_database() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("SET k here", "OK");
    t.check("SELECT 15", "OK");
    t.check("GET k", "(nil)");
    t.check("SELECT 16", "-ERR DB index is out of range");
    t.check("SELECT -1", "-ERR DB index is out of range");
    t.check("SELECT x", "-ERR value is not an integer or out of range");
    t.check(
        "SELECT 3000000000",
        "-ERR value is out of range, value must between -2147483648 and 2147483647",
    );
    t.check("SELECT 0", "OK");
    t.check("GET k", "here");
}

#[test]
fn select_inside_a_transaction_holds_from_there_on() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("MULTI", "OK");
    for command in ["SET k zero", "SELECT 1", "SET k one", "GET k"] {
        t.check(command, "QUEUED");
    }
    t.check("EXEC", "[OK, OK, OK, one]");
    t.check("GET k", "one");
    t.check("SELECT 0", "OK");
    t.check("GET k", "zero");
}

#[test]
fn reset_makes_the_connection_new() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.client.hello3();
    t.check("SELECT 3", "OK");
    t.check("CLIENT SETNAME me", "OK");
    t.check("CLIENT SETINFO LIB-NAME lib", "OK");
    t.check("CLIENT NO-TOUCH ON", "OK");
    t.check("WATCH k", "OK");
    t.check("MULTI", "OK");
    t.check("SET k v", "QUEUED");
    t.strict("RESET", "+RESET");
    t.strict("GET k", "$-1");
    t.check("CLIENT GETNAME", "(nil)");
    let line = t.run("CLIENT INFO").to_string();
    for field in
        [" name= ", " db=0 ", " flags=N ", " multi=-1 ", " watch=0 ", " resp=2 ", " lib-name=lib "]
    {
        assert!(line.contains(field), "{field} in {line}");
    }
}

#[test]
fn reset_locks_the_door_again() {
    let server = guarded();
    let mut t = Transcript::new(server.client());
    t.check("AUTH secret", "OK");
    t.check("RESET", "RESET");
    t.check("GET k", "-NOAUTH Authentication required.");
}

#[test]
fn reset_ends_silence() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.client.send(&["CLIENT", "REPLY", "OFF"]).unwrap();
    t.client.send(&["PING"]).unwrap();
    t.check("RESET", "RESET");
    t.check("PING", "PONG");
}

#[test]
fn quit_answers_and_closes_and_runs_nothing_behind_it() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.client.send_raw(b"SET k v\r\nQUIT\r\nSET k w\r\nPING\r\n").unwrap();
    assert_eq!(t.client.read_until_closed(Duration::from_secs(5)).unwrap(), b"+OK\r\n+OK\r\n");
    let mut t = Transcript::new(server.client());
    t.check("GET k", "v");
    t.check("MULTI", "OK");
    t.check("SET k w", "QUEUED");
    t.check("QUIT with arguments", "OK");
    assert_eq!(t.client.read_until_closed(Duration::from_secs(5)).unwrap(), b"");
}
