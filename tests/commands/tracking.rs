//! CLIENT TRACKING: who hears of which change, in which form, and after which reply.

use std::time::Duration;

use russet_testkit::{Client, Transcript};

use crate::{Server, server};

fn connect(server: &Server) -> Transcript {
    Transcript::new(server.client())
}

/// A connection that speaks RESP3 and tracks.
fn tracker(server: &Server, options: &str) -> Transcript {
    let mut t = connect(server);
    t.client.hello3();
    t.check(&format!("CLIENT TRACKING ON {options}"), "OK");
    t
}

/// A connection that speaks RESP2 and hears for others, and its id.
fn listener(server: &Server) -> (Client, String) {
    let mut client = server.client();
    let id = client.cmd(&["CLIENT", "ID"]).to_string();
    client.cmd(&["SUBSCRIBE", "__redis__:invalidate"]);
    (client, id)
}

#[track_caller]
fn check_push(client: &mut Client, expected: &str) {
    assert_eq!(client.push().expect("a push").to_string(), expected);
}

/// Pushes about these keys, in any order: those of one command lie in different shards.
#[track_caller]
fn check_pushes(client: &mut Client, keys: &[&str]) {
    let mut pushes: Vec<String> =
        keys.iter().map(|_| client.push().expect("a push").to_string()).collect();
    pushes.sort();
    let expected: Vec<String> = keys.iter().map(|key| format!(">[invalidate, [{key}]]")).collect();
    assert_eq!(pushes, expected);
}

#[track_caller]
fn assert_silent(client: &mut Client) {
    assert_eq!(client.recv_within(Duration::from_millis(50)).expect("no error"), None);
}

fn stat(t: &mut Transcript, name: &str) -> u64 {
    let info = t.run("INFO everything");
    let info = String::from_utf8_lossy(info.bytes().expect("text")).into_owned();
    let found =
        info.split(['\n', '\r']).find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.unwrap_or_else(|| panic!("{name}")).parse().expect("a number")
}

#[test]
fn whoever_has_read_a_key_hears_of_its_next_change_once() {
    let server = server();
    let (mut t, mut cache) = (connect(&server), tracker(&server, ""));
    cache.check("GET k", "(nil)");
    t.check("SET k 1", "OK");
    check_push(&mut cache.client, ">[invalidate, [k]]");
    t.check("SET k 2", "OK");
    assert_silent(&mut cache.client);
    cache.check("MGET k l k", "[2, (nil), (nil)]".replace("(nil)]", "2]").as_str());
    t.check("MSET l 1 k 3 other 1", "OK");
    check_pushes(&mut cache.client, &["k", "l"]);
    assert_silent(&mut cache.client);
}

#[test]
fn every_kind_of_change_is_heard_of() {
    let server = server();
    let (mut t, mut cache) = (connect(&server), tracker(&server, ""));
    for (prepare, read, change) in [
        ("SET k v", "GET k", "DEL k"),
        ("SET k v", "STRLEN k", "UNLINK k"),
        ("SET k v", "GET k", "EXPIRE k 100"),
        ("SET k v", "TTL k", "PEXPIRE k 1"),
        ("SET k v", "GET k", "RENAME k {k}2"),
        ("SET {k}2 v", "GET k", "RENAME {k}2 k"),
        ("SET k v", "GET k", "MOVE k 3"),
        ("SET {k}3 v", "EXISTS k", "COPY {k}3 k REPLACE"),
        ("SET k v", "GETRANGE k 0 1", "APPEND k x"),
        ("SET k v", "GET k", "GETDEL k"),
        ("SET k v", "GET k", "GETEX k EX 10"),
        ("DEL k", "GET k", "INCR k"),
        ("DEL k", "GET k", "SETBIT k 7 1"),
        ("DEL k", "LLEN k", "RPUSH k a b"),
        ("RPUSH k c", "LRANGE k 0 -1", "LPOP k"),
        ("DEL k", "HGETALL k", "HSET k f v"),
        ("HSET k f v", "HGET k f", "HDEL k f"),
        ("DEL k", "SMEMBERS k", "SADD k a"),
        ("DEL k", "ZRANGE k 0 -1", "ZADD k 1 a"),
        ("DEL k", "XRANGE k - +", "XADD k * f v"),
        ("DEL k", "PFCOUNT k", "PFADD k a"),
        ("DEL k", "GEOPOS k a", "GEOADD k 1 1 a"),
        ("RPUSH {k}4 3 1 2", "TYPE k", "SORT {k}4 STORE k"),
        ("SET k v", "DUMP k", "SET k w KEEPTTL"),
    ] {
        t.run("DEL k {k}2");
        t.run(prepare);
        cache.run(read);
        t.run(change);
        assert_eq!(
            cache.client.push().expect(change).to_string(),
            ">[invalidate, [k]]",
            "{change}"
        );
        t.run("FLUSHALL");
        check_push(&mut cache.client, ">[invalidate, (nil)]");
    }
}

#[test]
fn what_changes_nothing_is_not_heard_of() {
    let server = server();
    let (mut t, mut cache) = (connect(&server), tracker(&server, ""));
    t.run("RPUSH list a");
    t.run("SADD set a");
    cache.run("LRANGE list 0 -1");
    cache.run("SMEMBERS set");
    cache.run("GET nosuch");
    for nothing in
        ["SADD set a", "SREM set b", "LREM list 0 x", "DEL nosuch", "SET nosuch v XX", "TOUCH list"]
    {
        t.run(nothing);
    }
    assert_silent(&mut cache.client);
}

#[test]
fn only_what_is_read_is_remembered() {
    let server = server();
    let (mut t, mut cache) = (connect(&server), tracker(&server, ""));
    cache.check("SET k 1", "OK");
    cache.check("INCR l", "1");
    t.run("MSET k 2 l 2");
    assert_silent(&mut cache.client);
    assert_eq!(stat(&mut t, "tracking_total_keys"), 0);
}

#[test]
fn one_name_in_all_databases_is_one_key() {
    let server = server();
    let (mut t, mut cache) = (connect(&server), tracker(&server, ""));
    cache.check("GET k", "(nil)");
    t.check("SELECT 5", "OK");
    t.check("SET k v", "OK");
    check_push(&mut cache.client, ">[invalidate, [k]]");
}

#[test]
fn a_change_of_ones_own_is_heard_of_behind_the_reply() {
    let server = server();
    let mut cache = tracker(&server, "");
    cache.check("MGET a b", "[(nil), (nil)]");
    cache.client.send(&["SET", "a", "1"]).unwrap();
    cache.client.send(&["PING"]).unwrap();
    for expected in ["OK", ">[invalidate, [a]]", "PONG"] {
        assert_eq!(cache.client.recv().unwrap().to_string(), expected);
    }
    for word in ["MULTI", "INCR b", "GET a", "EXEC"] {
        let words: Vec<&str> = word.split(' ').collect();
        cache.client.send(&words).unwrap();
    }
    for expected in ["OK", "QUEUED", "QUEUED", "[1, 1]", ">[invalidate, [b]]"] {
        assert_eq!(cache.client.recv().unwrap().to_string(), expected);
    }
}

#[test]
fn noloop_spares_ones_own_changes() {
    let server = server();
    let (mut t, mut cache) = (connect(&server), tracker(&server, "NOLOOP"));
    cache.check("MGET own other", "[(nil), (nil)]");
    cache.check("SET own 1", "OK");
    t.check("SET other 1", "OK");
    check_push(&mut cache.client, ">[invalidate, [other]]");
    // The line is gone all the same.
    t.check("SET own 2", "OK");
    assert_silent(&mut cache.client);
}

#[test]
fn optin_remembers_what_follows_caching_yes() {
    let server = server();
    let (mut t, mut cache) = (connect(&server), tracker(&server, "OPTIN"));
    cache.check("GET a", "(nil)");
    cache.check("CLIENT CACHING YES", "OK");
    cache.check(
        "CLIENT TRACKINGINFO",
        "{flags: ~[on, optin, caching-yes], redirect: 0, prefixes: []}",
    );
    cache.check("GET b", "(nil)");
    cache.check("GET c", "(nil)");
    cache.check("CLIENT CACHING YES", "OK");
    cache.check("MULTI", "OK");
    cache.check("GET d", "QUEUED");
    cache.check("GET e", "QUEUED");
    cache.check("EXEC", "[(nil), (nil)]");
    cache.check("GET f", "(nil)");
    cache.check("CLIENT CACHING YES", "OK");
    cache.check("NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: ");
    cache.check("GET g", "(nil)");
    t.check("MSET a 1 b 1 c 1 d 1 e 1 f 1 g 1", "OK");
    check_pushes(&mut cache.client, &["b", "d", "e"]);
    assert_silent(&mut cache.client);
}

#[test]
fn optout_forgets_what_follows_caching_no() {
    let server = server();
    let (mut t, mut cache) = (connect(&server), tracker(&server, "OPTOUT"));
    cache.check("CLIENT CACHING NO", "OK");
    cache.check(
        "CLIENT TRACKINGINFO",
        "{flags: ~[on, optout, caching-no], redirect: 0, prefixes: []}",
    );
    cache.check("GET a", "(nil)");
    cache.check("GET b", "(nil)");
    t.check("MSET a 1 b 1", "OK");
    check_push(&mut cache.client, ">[invalidate, [b]]");
    assert_silent(&mut cache.client);
}

#[test]
fn broadcasts_come_once_per_prefix_and_unit() {
    let server = server();
    let (mut t, mut cache) = (connect(&server), tracker(&server, "BCAST PREFIX a PREFIX b"));
    for (nth, command) in
        ["MULTI", "INCR b2", "INCR b1", "INCR a1", "INCR b1", "INCR c1", "EXEC"].iter().enumerate()
    {
        t.check(
            command,
            ["OK", "QUEUED", "QUEUED", "QUEUED", "QUEUED", "QUEUED", "[1, 1, 1, 2, 1]"][nth],
        );
    }
    check_push(&mut cache.client, ">[invalidate, [a1]]");
    check_push(&mut cache.client, ">[invalidate, [b1, b2]]");
    cache.check("CLIENT TRACKING ON BCAST PREFIX c", "OK");
    t.check("INCR c1", "2");
    check_push(&mut cache.client, ">[invalidate, [c1]]");
    cache.check("CLIENT TRACKINGINFO", "{flags: ~[on, bcast], redirect: 0, prefixes: [a, b, c]}");
    assert_eq!(stat(&mut t, "tracking_total_prefixes"), 3);
    cache.check("CLIENT TRACKING OFF", "OK");
    t.check("INCR c1", "3");
    assert_silent(&mut cache.client);
    assert_eq!(stat(&mut t, "tracking_total_prefixes"), 0);
    assert_eq!(stat(&mut t, "tracking_clients"), 0);
}

#[test]
fn noloop_leaves_ones_own_keys_out_of_a_broadcast() {
    let server = server();
    let (mut cache, mut other) = (tracker(&server, "BCAST NOLOOP"), tracker(&server, "BCAST"));
    cache.check("SET own 1", "OK");
    check_push(&mut other.client, ">[invalidate, [own]]");
    other.check("SET k 1", "OK");
    check_push(&mut cache.client, ">[invalidate, [k]]");
    check_push(&mut other.client, ">[invalidate, [k]]");
    // What ends was changed by nobody.
    cache.check("SET short 1 PX 1", "OK");
    check_push(&mut other.client, ">[invalidate, [short]]");
    check_push(&mut cache.client, ">[invalidate, [short]]");
}

#[test]
fn keys_that_end_are_heard_of() {
    let server = server();
    let (mut t, mut cache) = (connect(&server), tracker(&server, ""));
    t.check("MSET a 1 b 1", "OK");
    t.check("PEXPIRE a 20", "1");
    cache.check("GET a", "1");
    check_push(&mut cache.client, ">[invalidate, [a]]");
    t.check("DEBUG SET-ACTIVE-EXPIRE 0", "OK");
    t.check("PEXPIRE b 20", "1");
    cache.check("GET b", "1");
    std::thread::sleep(Duration::from_millis(50));
    cache.client.send(&["MGET", "a", "b"]).unwrap();
    assert_eq!(cache.client.recv().unwrap().to_string(), "[(nil), (nil)]");
    check_push(&mut cache.client, ">[invalidate, [b]]");
}

#[test]
fn flushing_and_swapping_void_everything() {
    let server = server();
    let (mut t, mut cache) = (connect(&server), tracker(&server, ""));
    let mut broadcast = tracker(&server, "BCAST PREFIX nothing");
    for command in ["FLUSHALL", "FLUSHDB ASYNC", "SWAPDB 0 5"] {
        cache.check("GET k", "(nil)");
        assert_eq!(stat(&mut t, "tracking_total_keys"), 1);
        t.check(command, "OK");
        check_push(&mut cache.client, ">[invalidate, (nil)]");
        check_push(&mut broadcast.client, ">[invalidate, (nil)]");
        assert_eq!(stat(&mut t, "tracking_total_keys"), 0);
    }
    cache.check("MULTI", "OK");
    cache.check("FLUSHDB", "QUEUED");
    cache.client.send(&["EXEC"]).unwrap();
    assert_eq!(cache.client.recv().unwrap().to_string(), "[OK]");
    check_push(&mut cache.client, ">[invalidate, (nil)]");
}

#[test]
fn resp2_hears_through_another_connection() {
    let server = server();
    let (mut t, mut cache) = (connect(&server), connect(&server));
    let (mut ear, id) = listener(&server);
    cache.check(&format!("CLIENT TRACKING ON REDIRECT {id}"), "OK");
    cache.check("CLIENT GETREDIR", &id);
    cache.check("GET k", "(nil)");
    t.check("SET k v", "OK");
    assert_eq!(ear.recv().unwrap().to_string(), r#"[message, "__redis__:invalidate", [k]]"#);
    t.check("FLUSHALL", "OK");
    assert_eq!(ear.recv().unwrap().to_string(), r#"[message, "__redis__:invalidate", (nil)]"#);
    cache.check("GET k", "(nil)");
    // Who hears speaks RESP3 now.
    ear.cmd(&["UNSUBSCRIBE"]);
    ear.hello3();
    t.check("SET k v", "OK");
    check_push(&mut ear, ">[invalidate, [k]]");
    // By itself RESP2 hears nothing, and neither does who is not subscribed.
    ear.cmd(&["HELLO", "2"]);
    cache.check("GET k", "v");
    t.check("SET k w", "OK");
    assert_silent(&mut ear);
    cache.check("CLIENT TRACKING ON", "OK");
    cache.check("GET k", "w");
    t.check("SET k v", "OK");
    assert_silent(&mut cache.client);
}

#[test]
fn who_loses_its_ear_is_told() {
    let server = server();
    let (mut t, mut cache) = (connect(&server), tracker(&server, ""));
    let (mut ear, id) = listener(&server);
    cache.check(&format!("CLIENT TRACKING ON REDIRECT {id}"), "OK");
    cache.check("GET k", "(nil)");
    assert_eq!(ear.cmd(&["QUIT"]).to_string(), "OK");
    t.check("SET k v", "OK");
    assert_eq!(cache.client.recv().unwrap().to_string(), format!(">[tracking-redir-broken, {id}]"));
    cache.check(
        "CLIENT TRACKINGINFO",
        &format!("{{flags: ~[on, broken_redirect], redirect: {id}, prefixes: []}}"),
    );
    let line = cache.run("CLIENT INFO").to_string();
    assert!(line.contains(" flags=tR ") && line.contains(&format!(" redir={id} ")), "{line}");
    cache.check("CLIENT TRACKING ON", "OK");
    cache.check("CLIENT TRACKINGINFO", "{flags: ~[on], redirect: 0, prefixes: []}");
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let server = server();
    let mut t = connect(&server);
    let switch = "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.";
    for (command, error) in [
        ("TRACKING", "wrong number of arguments for 'client|tracking' command"),
        ("TRACKING maybe", "syntax error"),
        ("TRACKING ON WRONG", "syntax error"),
        ("TRACKING ON PREFIX", "syntax error"),
        ("TRACKING ON REDIRECT x", "value is not an integer or out of range"),
        ("TRACKING ON REDIRECT 9999", "The client ID you want redirect to does not exist"),
        ("TRACKING ON PREFIX a", "PREFIX option requires BCAST mode to be enabled"),
        ("TRACKING ON BCAST OPTIN", "OPTIN and OPTOUT are not compatible with BCAST"),
        ("TRACKING ON OPTIN OPTOUT", "You can't specify both OPTIN mode and OPTOUT mode"),
        (
            "TRACKING ON BCAST PREFIX FOOBAR PREFIX FOO",
            "Prefix 'FOOBAR' overlaps with another provided prefix 'FOO'. Prefixes for a single client must not overlap.",
        ),
        ("CACHING", "wrong number of arguments for 'client|caching' command"),
        (
            "CACHING maybe",
            "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ),
    ] {
        t.check(&format!("CLIENT {command}"), &format!("-ERR {error}"));
    }
    let id = t.run("CLIENT ID").to_string();
    t.check(
        &format!("CLIENT TRACKING ON REDIRECT {id} REDIRECT {id}"),
        "-ERR A client can only redirect to a single other client",
    );
    t.check("CLIENT TRACKING ON OPTIN", "OK");
    t.check("CLIENT CACHING maybe", "-ERR syntax error");
    t.check(
        "CLIENT CACHING NO",
        "-ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
    );
    t.check("CLIENT TRACKING ON OPTOUT", &format!("-ERR {switch}"));
    t.check("CLIENT TRACKING ON BCAST", "-ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.");
    t.check("CLIENT TRACKING OFF", "OK");
    t.check("CLIENT TRACKING ON OPTOUT", "OK");
    t.check(
        "CLIENT CACHING YES",
        "-ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
    );
    t.check("CLIENT TRACKING OFF", "OK");
    t.check("CLIENT TRACKING ON BCAST PREFIX FOO PREFIX BAR", "OK");
    t.check("CLIENT TRACKING ON BCAST PREFIX FO", "-ERR Prefix 'FO' overlaps with an existing prefix 'FOO'. Prefixes for a single client must not overlap.");
    t.check("CLIENT GETREDIR", "0");
    t.check("RESET", "RESET");
    t.check("CLIENT GETREDIR", "-1");
    t.check("CLIENT TRACKINGINFO", "[flags, [off], redirect, -1, prefixes, []]");
}

#[test]
fn invalidations_that_wait_count_before_their_writer_is_answered() {
    const MAX: u64 = 1_000_000;
    let server = server();
    let (mut t, mut writer) = (connect(&server), connect(&server));
    t.check(&format!("CONFIG SET maxmemory-clients {MAX}"), "OK");
    let write = "return redis.call('INCR', string.rep('k', 100000))";
    for round in 0..10 {
        // It reads nothing, and is another thread's, or the writer's.
        let (reader, id) = listener(&server);
        writer.check(&format!("CLIENT TRACKING ON BCAST REDIRECT {id}"), "OK");
        loop {
            let line = t.run(&format!("CLIENT LIST ID {id}")).to_string();
            let Some((_, rest)) = line.split_once("tot-mem=") else { break };
            let taken: u64 = rest.split(' ').next().unwrap().parse().unwrap();
            assert!(taken < MAX, "round {round}: {line}");
            writer.client.cmd(&["EVAL", write, "0"]);
        }
        writer.check("CLIENT TRACKING OFF", "OK");
        drop(reader);
    }
    assert_eq!(stat(&mut t, "evicted_clients"), 10);
}

#[test]
fn the_table_stays_within_its_limit() {
    let server = server();
    let (mut t, mut cache) = (connect(&server), tracker(&server, ""));
    for n in 0..250 {
        cache.check(&format!("GET k{n}"), "(nil)");
    }
    assert_eq!(
        (stat(&mut t, "tracking_total_keys"), stat(&mut t, "tracking_total_items")),
        (250, 250)
    );
    t.check("CONFIG SET tracking-table-max-keys 1", "OK");
    assert_eq!(stat(&mut t, "tracking_total_keys"), 1);
    for _ in 0..249 {
        assert!(cache.client.push().unwrap().to_string().starts_with(">[invalidate, [k"));
    }
    assert_silent(&mut cache.client);
    cache.check("GET {a}1", "(nil)");
    cache.check("GET {a}2", "(nil)");
    assert!(cache.client.push().unwrap().to_string().starts_with(">[invalidate, ["));
    for _ in 0..100 {
        if stat(&mut t, "tracking_total_keys") == 1 {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("more lines than the limit");
}

#[test]
fn who_is_gone_is_forgotten() {
    let server = server();
    let (mut t, mut cache) = (connect(&server), tracker(&server, ""));
    cache.check("MGET a b c", "[(nil), (nil), (nil)]");
    let mut other = tracker(&server, "");
    other.check("GET a", "(nil)");
    assert_eq!((stat(&mut t, "tracking_total_keys"), stat(&mut t, "tracking_total_items")), (3, 4));
    drop(cache);
    for _ in 0..100 {
        let totals = (stat(&mut t, "tracking_total_keys"), stat(&mut t, "tracking_total_items"));
        if totals == (1, 1) {
            t.check("SET a 1", "OK");
            return check_push(&mut other.client, ">[invalidate, [a]]");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("lines of a client that is gone");
}

#[test]
fn who_was_served_hears_behind_the_reply() {
    let server = server();
    let (mut t, mut cache) = (connect(&server), tracker(&server, ""));
    t.check("RPUSH {k}2 a", "1");
    cache.check("LRANGE {k}2 0 -1", "[a]");
    cache.client.send(&["BLMOVE", "{k}1", "{k}2", "LEFT", "LEFT", "0"]).unwrap();
    while stat(&mut t, "blocked_clients") == 0 {
        std::thread::yield_now();
    }
    t.check("RPUSH {k}1 foo", "1");
    assert_eq!(cache.client.recv().unwrap().to_string(), "foo");
    check_push(&mut cache.client, ">[invalidate, [\"{k}2\"]]");
}

#[test]
fn invalidations_come_though_replies_are_off() {
    let server = server();
    let (mut t, mut cache) = (connect(&server), tracker(&server, ""));
    cache.check("GET k", "(nil)");
    cache.client.send(&["CLIENT", "REPLY", "OFF"]).unwrap();
    cache.client.send(&["GET", "l"]).unwrap();
    while stat(&mut t, "tracking_total_keys") < 2 {
        std::thread::yield_now();
    }
    t.check("MSET k 1 l 1", "OK");
    check_pushes(&mut cache.client, &["k", "l"]);
    cache.check("CLIENT REPLY ON", "OK");
    cache.check("PING", "PONG");
}

#[test]
fn what_was_read_before_broadcasting_is_heard_of_as_a_broadcast() {
    let server = server();
    let (mut t, mut cache) = (connect(&server), tracker(&server, ""));
    cache.check("GET k", "(nil)");
    cache.check("CLIENT TRACKING OFF", "OK");
    cache.check("CLIENT TRACKING ON BCAST", "OK");
    t.check("SET k v", "OK");
    check_push(&mut cache.client, ">[invalidate, [k]]");
    assert_silent(&mut cache.client);
}
