//! What the stream commands answer, how groups are served, and what reaches the journal.

use std::time::{Duration, Instant};

use russet_testkit::{Client, Reply, Transcript};

use crate::{Server, server};

fn transcript(server: &Server) -> Transcript {
    Transcript::new(server.client())
}

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const INVALID_ID: &str = "-ERR Invalid stream ID specified as stream command argument";

/// A stream of five entries and a group that has read none.
fn five(t: &mut Transcript) {
    for n in 1..=5 {
        t.check(&format!("XADD s {n}-1 n {n}"), &format!("{n}-1"));
    }
    t.check("XGROUP CREATE s g 0", "OK");
}

#[test]
fn entries_are_added_under_ascending_ids() {
    let server = server();
    let mut t = transcript(&server);
    t.check("XADD s 1-1 a 1 b 2", "1-1");
    t.check("XADD s 1-* a x", "1-2");
    t.check("XADD s 5 c 30000000000", "5-0");
    t.check("XADD s 5-0 a b", "-ERR The ID specified in XADD is equal or smaller than...");
    t.check("XADD s 0-0 a b", "-ERR The ID specified in XADD must be greater than 0-0");
    t.check("XADD s x a b", INVALID_ID);
    t.check("XADD s * a", "-ERR wrong number of arguments for 'xadd' command");
    t.check("XADD s * a b c", "-ERR wrong number of arguments for 'xadd' command");
    t.check("XADD none NOMKSTREAM * a b", "(nil)");
    t.check("EXISTS none", "0");
    t.check("XLEN s", "3");
    t.strict(
        "XRANGE s - +",
        "[[$1-1, [$a, $1, $b, $2]], [$1-2, [$a, $x]], [$5-0, [$c, $30000000000]]]",
    );
    t.check("XADD s 18446744073709551615-18446744073709551615 a b", "(any)");
    t.check("XADD s * a b", "-ERR The stream has exhausted the last possible ID...");
    t.check("SET str v", "OK");
    t.check("XADD str * a b", WRONG_TYPE);
    t.check("TYPE s", "stream");
    t.check("OBJECT ENCODING s", "stream");
}

#[test]
fn ranges_are_open_or_closed_and_go_both_ways() {
    let server = server();
    let mut t = transcript(&server);
    five(&mut t);
    t.check("XRANGE s 2 3", "[[2-1, [n, 2]], [3-1, [n, 3]]]");
    t.check("XRANGE s (2-1 (4-1", "[[3-1, [n, 3]]]");
    t.check("XREVRANGE s + 4", "[[5-1, [n, 5]], [4-1, [n, 4]]]");
    t.check("XREVRANGE s + - COUNT 1", "[[5-1, [n, 5]]]");
    t.strict("XRANGE s - + COUNT 0", "*-1");
    t.check("XRANGE none - +", "[]");
    t.check("XRANGE s (- +", INVALID_ID);
    t.check("XRANGE s - (0-0", "-ERR invalid end ID for the interval");
    t.check("XRANGE s - + LIMIT 1", "-ERR syntax error");
}

/// Inside a transaction a reply is made whole; outside it a long one is made in parts, and its head is written before all was seen.
#[test]
fn long_ranges_are_the_same_in_parts_and_whole() {
    let server = server();
    let mut client = server.client();
    let value = "v".repeat(100);
    for n in 1..=5_000 {
        client.send(&["XADD", "s", &format!("{n}"), "f", &value]).expect("sent");
    }
    for n in (1..=5_000).filter(|n| n % 7 == 0 || (2_000..2_300).contains(n)) {
        client.send(&["XDEL", "s", &format!("{n}")]).expect("sent");
    }
    client.send(&["XLEN", "s"]).expect("sent");
    while client.recv().expect("a reply") != Reply::Int(4_029) {}
    let requests: [&[&str]; 8] = [
        &["XRANGE", "s", "-", "+"],
        &["XREVRANGE", "s", "+", "-"],
        &["XRANGE", "s", "100", "4321"],
        &["XREVRANGE", "s", "4321", "(100"],
        &["XRANGE", "s", "150", "+", "COUNT", "3001"],
        &["XREVRANGE", "s", "+", "150", "COUNT", "3001"],
        &["XREAD", "COUNT", "3001", "STREAMS", "s", "150"],
        &["XREAD", "STREAMS", "s", "150"],
    ];
    for request in requests {
        let in_parts = client.cmd(request);
        client.cmd(&["MULTI"]);
        client.cmd(request);
        assert_eq!(client.cmd(&["EXEC"]), Reply::Array(vec![in_parts]), "{request:?}");
    }
}

#[test]
fn streams_are_trimmed_exactly_or_by_blocks() {
    let server = server();
    let mut t = transcript(&server);
    five(&mut t);
    t.check("XTRIM s MAXLEN ~ 2", "0");
    t.check("XTRIM s MAXLEN = 4", "1");
    t.check("XTRIM s MINID 3", "1");
    t.check("XADD s MAXLEN 2 6-1 n 6", "6-1");
    t.check("XRANGE s - +", "[[5-1, [n, 5]], [6-1, [n, 6]]]");
    t.check(
        "XTRIM s MAXLEN 1 LIMIT 1",
        "-ERR syntax error, LIMIT cannot be used without the special ~ option",
    );
    t.check(
        "XTRIM s LIMIT 1",
        "-ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
    );
    t.check("XTRIM s LIMIT 0", "-ERR syntax error, XTRIM must be called with a trimming strategy");
    t.check("XTRIM s MAXLEN -1", "-ERR The MAXLEN argument must be >= 0.");
    t.check("CONFIG SET stream-node-max-entries 10", "OK");
    for n in 10..60 {
        t.check(&format!("XADD t {n}-0 n 1"), "(any)");
    }
    t.check("XTRIM t MAXLEN ~ 25", "20");
    t.check("XTRIM t MAXLEN ~ 0 LIMIT 10", "10");
    t.check("XTRIM t MINID ~ 49", "0");
    t.check("XLEN t", "20");
}

#[test]
fn removed_entries_leave_their_traces() {
    let server = server();
    let mut t = transcript(&server);
    five(&mut t);
    t.check("XDEL s 3-1 9-9 1-1", "2");
    t.check("XDEL s 2-1 x", INVALID_ID);
    t.check(
        "XINFO STREAM s",
        "[length, 3, radix-tree-keys, 1, radix-tree-nodes, 2, last-generated-id, 5-1, max-deleted-entry-id, 3-1, \
         entries-added, 5, recorded-first-entry-id, 2-1, groups, 1, first-entry, [2-1, [n, 2]], last-entry, [5-1, [n, 5]]]",
    );
    t.check("XDEL s 2-1 4-1 5-1", "3");
    t.check("EXISTS s", "1");
    t.check("XADD s 5-1 n 5", "-ERR The ID specified in XADD is equal or smaller than...");
    t.check(
        "XSETID s 4-9",
        "-ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
    );
    t.check("XSETID s 9-0 ENTRIESADDED 20 MAXDELETEDID 6-0", "OK");
    t.check("XADD s 9-* n 5", "9-1");
}

#[test]
fn xread_gives_what_is_behind() {
    let server = server();
    let mut t = transcript(&server);
    five(&mut t);
    t.check("XADD u 3-3 a b", "3-3");
    t.check(
        "XREAD COUNT 1 STREAMS s u none 3-1 0 0",
        "[[s, [[4-1, [n, 4]]]], [u, [[3-3, [a, b]]]]]",
    );
    t.strict("XREAD STREAMS s $", "*-1");
    t.check("XREAD STREAMS s +", "[[s, [[5-1, [n, 5]]]]]");
    t.check(
        "XREAD MAXCOUNT 3 STREAMS s u 3-1 0",
        "[[s, [[4-1, [n, 4]], [5-1, [n, 5]]]], [u, [[3-3, [a, b]]]]]",
    );
    t.check("XREAD MAXCOUNT 2 STREAMS s u 3-1 0", "[[s, [[4-1, [n, 4]], [5-1, [n, 5]]]]]");
    t.check("XREAD MAXSIZE 1 STREAMS s u 0 0", "[[s, [[1-1, [n, 1]]]]]");
    t.check("XREAD MAXCOUNT 0 STREAMS s 0", "-ERR MAXCOUNT must be a positive integer");
    t.check("XREAD COUNT 1 STREAMS s", "-ERR Unbalanced 'xread' list of streams...");
    t.check("XREAD STREAMS s >", "-ERR The > ID can be specified only when calling XREADGROUP...");
    t.check("XREAD NOACK STREAMS s 0", "-ERR The NOACK option is only supported by XREADGROUP...");
    t.check("HELLO 3", "(any)");
    t.strict("XREAD COUNT 1 STREAMS s 0", "{$s: [[$1-1, [$n, $1]]]}");
    t.strict("XREAD COUNT 1 STREAMS s u 0 0", "{$s: [[$1-1, [$n, $1]]], $u: [[$3-3, [$a, $b]]]}");
    t.strict("XREAD STREAMS s $", "_");
}

#[test]
fn a_group_gives_each_entry_to_one_consumer() {
    let server = server();
    let mut t = transcript(&server);
    five(&mut t);
    t.check(
        "XREADGROUP GROUP g alice COUNT 2 STREAMS s >",
        "[[s, [[1-1, [n, 1]], [2-1, [n, 2]]]]]",
    );
    t.check("XREADGROUP GROUP g bob COUNT 1 STREAMS s >", "[[s, [[3-1, [n, 3]]]]]");
    t.check("XPENDING s g", "[3, 1-1, 3-1, [[alice, 2], [bob, 1]]]");
    t.check("XREADGROUP GROUP g alice STREAMS s 1-1", "[[s, [[2-1, [n, 2]]]]]");
    t.check("XDEL s 1-1", "1");
    t.check("XREADGROUP GROUP g alice STREAMS s 0", "[[s, [[1-1, (nil)], [2-1, [n, 2]]]]]");
    t.check("XACK s g 1-1 2-1 2-1 4-1", "2");
    t.check("XREADGROUP GROUP g alice STREAMS s 0", "[[s, []]]");
    t.check("XREADGROUP GROUP g carol NOACK STREAMS s >", "[[s, [[4-1, [n, 4]], [5-1, [n, 5]]]]]");
    t.check("XPENDING s g - + 10", "[[3-1, bob, (any), 1]]");
    t.check("XREADGROUP GROUP g carol STREAMS s >", "(nil)");
    t.check(
        "XINFO GROUPS s",
        "[[name, g, consumers, 3, pending, 1, last-delivered-id, 5-1, entries-read, 5, lag, 0]]",
    );
    t.check("XGROUP DELCONSUMER s g bob", "1");
    t.check("XPENDING s g", "[0, (nil), (nil), (nil)]");
    t.check(
        "XREADGROUP GROUP none c STREAMS s >",
        "-NOGROUP No such key 's' or consumer group 'none' in XREADGROUP with GROUP option",
    );
    t.check(
        "XREADGROUP GROUP g c STREAMS s $",
        "-ERR The $ ID is meaningless in the context of XREADGROUP...",
    );
}

#[test]
fn groups_are_made_moved_and_destroyed() {
    let server = server();
    let mut t = transcript(&server);
    t.check("XGROUP CREATE s g $", "-ERR The XGROUP subcommand requires the key to exist...");
    t.check("XGROUP CREATE s g $ MKSTREAM", "OK");
    t.check("XGROUP CREATE s g $ MKSTREAM", "-BUSYGROUP Consumer Group name already exists");
    t.check(
        "XGROUP CREATE s h 0 ENTRIESREAD -2",
        "-ERR value for ENTRIESREAD must be positive or -1",
    );
    t.check(
        "XGROUP CREATE s h 0 FOO",
        "-ERR unknown subcommand or wrong number of arguments for 'CREATE'. Try XGROUP HELP.",
    );
    t.check("XLEN s", "0");
    t.check("XGROUP CREATECONSUMER s g c", "1");
    t.check("XGROUP CREATECONSUMER s g c", "0");
    t.check("XGROUP CREATECONSUMER s h c", "-NOGROUP No such consumer group 'h' for key name 's'");
    t.check("XGROUP SETID s g 5-5 ENTRIESREAD 3", "OK");
    t.check(
        "XINFO GROUPS s",
        "[[name, g, consumers, 1, pending, 0, last-delivered-id, 5-5, entries-read, 3, lag, 0]]",
    );
    t.check("XINFO CONSUMERS s g", "[[name, c, pending, 0, idle, (any), inactive, -1]]");
    t.check("XGROUP DESTROY s g", "1");
    t.check("XGROUP DESTROY s g", "0");
}

#[test]
fn entries_change_hands() {
    let server = server();
    let mut t = transcript(&server);
    five(&mut t);
    t.check("XREADGROUP GROUP g a STREAMS s >", "(any)");
    t.check("XCLAIM s g b 0 1-1 2-1", "[[1-1, [n, 1]], [2-1, [n, 2]]]");
    t.check("XCLAIM s g b 100000 3-1", "[]");
    t.check("XCLAIM s g b 0 3-1 JUSTID", "[3-1]");
    t.check("XCLAIM s g b 0 4-1 RETRYCOUNT 9 IDLE 5000", "(any)");
    t.check("XPENDING s g IDLE 5000 - + 10", "[[4-1, b, (any), 9]]");
    t.check(
        "XPENDING s g - + 10 b",
        "[[1-1, b, (any), 2], [2-1, b, (any), 2], [3-1, b, (any), 1], [4-1, b, (any), 9]]",
    );
    t.check("XCLAIM s g b 0 1-1 FOO", "-ERR Unrecognized XCLAIM option 'FOO'");
    t.check("XDEL s 2-1", "1");
    t.check("XCLAIM s g c 0 2-1 7-7 FORCE", "[]");
    t.check("XAUTOCLAIM s g c 0 0 COUNT 1", "[3-1, [[1-1, [n, 1]]], []]");
    t.check("XDEL s 4-1", "1");
    t.check("XAUTOCLAIM s g c 0 2-1 JUSTID", "[0-0, [3-1, 5-1], [4-1]]");
    t.check("XAUTOCLAIM s g c 0 0 COUNT 0", "-ERR COUNT must be > 0");
    t.check("XCLAIM s none c 0 1-1", "-NOGROUP No such key 's' or consumer group 'none'");
}

#[test]
fn newer_commands_remove_and_give_back() {
    let server = server();
    let mut t = transcript(&server);
    five(&mut t);
    t.check("XGROUP CREATE s h 0", "OK");
    t.check("XREADGROUP GROUP g a STREAMS s >", "(any)");
    t.check("XREADGROUP GROUP h a COUNT 2 STREAMS s >", "(any)");
    t.check("XDELEX s IDS 2 1-1 9-9", "[1, -1]");
    t.check("XDELEX s ACKED IDS 1 2-1", "[2]");
    t.check("XDELEX s DELREF IDS 1 2-1", "[1]");
    t.check("XPENDING s h", "[1, 1-1, 1-1, [[a, 1]]]");
    t.check("XACKDEL s g ACKED IDS 2 3-1 9-9", "[2, -1]");
    t.check("XACKDEL s g IDS 1 4-1", "[1]");
    t.check("XACKDEL none g IDS 2 4-1 5-1", "[-1, -1]");
    t.check("XDELEX s IDS 0 1-1", "-ERR Number of IDs must be a positive integer");
    t.check("XDELEX s IDS 2 1-1", "-ERR The `numids` parameter must match the number of arguments");
    t.check("XNACK s g FAIL IDS 2 5-1 9-9", "1");
    t.check("XPENDING s g - + 10", "[[1-1, a, (any), 1], [5-1, \"\", -1, 1]]");
    t.check("XREADGROUP GROUP g b CLAIM 100000 STREAMS s >", "[[s, [[5-1, [n, 5], -1, 1]]]]");
    t.check("XNACK s g SILENT IDS 1 5-1", "1");
    t.check("XAUTOCLAIM s g c 100000 5", "[0-0, [[5-1, [n, 5]]], []]");
    t.check("XNACK s g FATAL IDS 1 5-1", "1");
    t.check("XPENDING s g 5 + 10", "[[5-1, \"\", -1, 9223372036854775807]]");
    t.check("XNACK s g MAYBE IDS 1 5-1", "-ERR mode must be SILENT, FAIL, or FATAL");
    t.check("XADD s 8-1 n 8", "8-1");
    t.check(
        "XREADGROUP GROUP g b CLAIM 100000 STREAMS s >",
        "[[s, [[5-1, [n, 5], -1, 9223372036854775807], [8-1, [n, 8], 0, 0]]]]",
    );
}

#[test]
fn trimming_may_heed_groups() {
    let server = server();
    let mut t = transcript(&server);
    five(&mut t);
    t.check("XREADGROUP GROUP g a COUNT 4 STREAMS s >", "(any)");
    t.check("XACK s g 2-1", "1");
    t.check("XTRIM s MAXLEN 1 ACKED", "1");
    t.check("XLEN s", "4");
    t.check("XTRIM s MAXLEN 3 DELREF", "1");
    t.check("XPENDING s g", "[2, 3-1, 4-1, [[a, 2]]]");
}

#[test]
fn trimming_passes_over_what_groups_need() {
    let server = server();
    let mut t = transcript(&server);
    five(&mut t);
    t.check("XREADGROUP GROUP g a STREAMS s >", "(any)");
    t.check("XACK s g 2-1 4-1 5-1", "3");
    t.check("XTRIM s MAXLEN 3 ACKED", "2");
    t.check("XRANGE s - +", "[[1-1, [n, 1]], [3-1, [n, 3]], [5-1, [n, 5]]]");
    t.check("XTRIM s MINID 9 ACKED", "1");
    t.check("XLEN s", "2");
}

#[test]
fn whole_blocks_lose_what_no_group_needs() {
    let server = server();
    let mut t = transcript(&server);
    t.check("CONFIG SET stream-node-max-entries 2", "OK");
    five(&mut t);
    t.check("XREADGROUP GROUP g a COUNT 4 STREAMS s >", "(any)");
    t.check("XACK s g 1-1 2-1 4-1", "3");
    // Two to a block: the first goes, the second keeps what is pending, the last is not all below.
    t.check("XTRIM s MINID ~ 6-0 LIMIT 1 ACKED", "0");
    t.check("XTRIM s MINID ~ 5-0 ACKED", "3");
    t.check("XRANGE s - +", "[[3-1, [n, 3]], [5-1, [n, 5]]]");
    t.check("XTRIM s MAXLEN ~ 1 ACKED", "0");
    t.check("XADD s MAXLEN ~ 1 ACKED 6-1 n 6", "6-1");
    t.check("XLEN s", "3");
}

#[test]
fn what_a_producer_says_twice_is_added_once() {
    let server = server();
    let mut t = transcript(&server);
    t.check("XADD s IDMP p 1 5-* a b", "5-0");
    t.check("XADD s IDMP p 1 6-* a b", "5-0");
    t.check("XADD s IDMP q 1 6-* a b", "6-0");
    t.check("XADD s IDMPAUTO p 7-* a b", "7-0");
    t.check("XADD s IDMPAUTO p 8-* a b", "7-0");
    t.check("XADD s IDMPAUTO p 8-* a c", "8-0");
    t.check("XLEN s", "4");
    t.check("XIDMPRECORD s p z 8-0", "OK");
    t.check("XADD s IDMP p z * a b", "8-0");
    t.check("XIDMPRECORD s p z 7-0", "-ERR...");
    t.check("XCFGSET s IDMP-DURATION 0", "-ERR invalid duration");
    t.check("XCFGSET s IDMP-MAXSIZE 1", "OK");
    t.check("XADD s IDMP p 1 9-* a b", "9-0");
    t.check("XCFGSET none IDMP-MAXSIZE 1", "-ERR no such key");
    t.check("XCFGSET s", "-ERR syntax error");
}

/// Sends a command and waits until the server has blocked its client.
fn block(server: &Server, command: &[&str]) -> Client {
    let mut client = server.client();
    let Reply::Int(id) = client.cmd(&["CLIENT", "ID"]) else { panic!("an id") };
    client.send(command).expect("the server reads");
    let until = Instant::now() + Duration::from_secs(5);
    let is_blocked = || {
        server.state().clients.get(id as u64).is_some_and(|client| client.blocked.lock().is_some())
    };
    while !is_blocked() && Instant::now() < until {
        std::thread::yield_now();
    }
    assert!(is_blocked(), "the client waits");
    client
}

fn expect(client: &mut Client, reply: &str) {
    let got = client.recv().expect("a reply");
    assert_eq!(got.to_string(), reply);
}

#[test]
fn all_who_wait_behind_the_last_entry_get_the_next() {
    let server = server();
    let mut t = transcript(&server);
    t.check("XADD s 1-1 a b", "1-1");
    let mut first = block(&server, &["XREAD", "BLOCK", "0", "STREAMS", "s", "$"]);
    let mut second = block(&server, &["XREAD", "BLOCK", "0", "STREAMS", "none", "s", "$", "$"]);
    let mut third = block(&server, &["XREAD", "BLOCK", "0", "STREAMS", "s", "2-1"]);
    t.check("XADD s 2-1 a c", "2-1");
    expect(&mut first, "[[s, [[2-1, [a, c]]]]]");
    expect(&mut second, "[[s, [[2-1, [a, c]]]]]");
    t.check("DEL s", "1");
    t.check("SADD none x", "(any)");
    t.check("XADD s 3-1 a d", "3-1");
    expect(&mut third, "[[s, [[3-1, [a, d]]]]]");
}

#[test]
fn those_who_wait_for_a_group_take_turns() {
    let server = server();
    let mut t = transcript(&server);
    t.check("XGROUP CREATE s g $ MKSTREAM", "OK");
    let read = |name| ["XREADGROUP", "GROUP", "g", name, "BLOCK", "0", "STREAMS", "s", ">"];
    let mut first = block(&server, &read("a"));
    let mut second = block(&server, &read("b"));
    t.check("XADD s 1-1 n 1", "1-1");
    expect(&mut first, "[[s, [[1-1, [n, 1]]]]]");
    t.check("XADD s 2-1 n 2", "2-1");
    expect(&mut second, "[[s, [[2-1, [n, 2]]]]]");
    t.check("XPENDING s g", "[2, 1-1, 2-1, [[a, 1], [b, 1]]]");
}

#[test]
fn those_who_wait_for_a_group_are_told_of_its_end() {
    let server = server();
    let mut t = transcript(&server);
    let ends: [(&[&str], &str); 4] = [
        (&["XGROUP DESTROY s g"], "NOGROUP"),
        (&["DEL s"], "NOGROUP"),
        (&["SET s v"], "WRONGTYPE"),
        (&["FLUSHALL"], "NOGROUP"),
    ];
    for (commands, code) in ends {
        t.check("DEL s", "(any)");
        t.check("XGROUP CREATE s g $ MKSTREAM", "OK");
        let read =
            ["XREADGROUP", "GROUP", "g", "a", "BLOCK", "0", "STREAMS", "s", "other", ">", ">"];
        t.check("DEL other", "(any)");
        t.check("XGROUP CREATE other g $ MKSTREAM", "OK");
        let mut waiter = block(&server, &read);
        commands.iter().for_each(|command| drop(t.run(command)));
        let got = waiter.recv().expect("a reply").to_string();
        assert!(got.starts_with(&format!("-{code}")), "{commands:?}: {got}");
    }
}

#[test]
fn what_no_reader_gains_from_wakes_none() {
    let server = server();
    let mut t = transcript(&server);
    five(&mut t);
    t.check("XREADGROUP GROUP g a STREAMS s >", "(any)");
    let mut waiter =
        block(&server, &["XREADGROUP", "GROUP", "g", "a", "BLOCK", "0", "STREAMS", "s", ">"]);
    t.check("XACK s g 1-1", "1");
    t.check("XDEL s 5-1", "1");
    t.check("XTRIM s MAXLEN 0", "4");
    t.check("XADD s 9-1 n 9", "9-1");
    expect(&mut waiter, "[[s, [[9-1, [n, 9]]]]]");
}

/// An entry that was delivered once before, for however long it was idle.
#[track_caller]
fn expect_claimed(waiter: &mut Client, n: u32) {
    let reply = waiter.recv().expect("a reply").to_string();
    let head = format!("[[s, [[{n}-1, [n, {n}], ");
    assert!(reply.starts_with(&head) && reply.ends_with(", 1]]]]"), "{reply}");
}

#[test]
fn who_claims_is_woken_when_an_entry_has_been_idle_for_long_enough() {
    let server = server();
    let mut t = transcript(&server);
    five(&mut t);
    t.check("XREADGROUP GROUP g a COUNT 2 STREAMS s >", "(any)");
    t.check("XGROUP SETID s g $", "OK");
    let began = Instant::now();
    let claim = |name: &str, idle: &str, timeout: &str| {
        let words = ["XREADGROUP", "GROUP", "g", name, "COUNT", "1", "BLOCK", timeout];
        block(&server, &[&words[..], &["CLAIM", idle, "STREAMS", "s", ">"]].concat())
    };
    let mut first = claim("b", "300", "0");
    let mut second = claim("c", "300", "0");
    let mut late = claim("d", "100000", "50");
    expect(&mut late, "(nil)");
    expect_claimed(&mut first, 1);
    expect_claimed(&mut second, 2);
    assert!(began.elapsed() >= Duration::from_millis(250), "{:?}", began.elapsed());
    t.check("XPENDING s g - + 10", "[[1-1, b, (any), 2], [2-1, c, (any), 2]]");
}

#[test]
fn who_claims_hears_of_what_others_were_given_meanwhile() {
    let server = server();
    let mut t = transcript(&server);
    five(&mut t);
    t.check("XGROUP SETID s g $", "OK");
    let words =
        ["XREADGROUP", "GROUP", "g", "b", "BLOCK", "0", "CLAIM", "150", "STREAMS", "s", ">"];
    let mut waiter = block(&server, &words);
    t.check("XCLAIM s g a 0 3-1 FORCE JUSTID", "[3-1]");
    expect_claimed(&mut waiter, 3);
}

/// Runs commands, and all that reached the journal on another server; both must hold the same.
fn replayed(commands: &[&str]) {
    let (server, other) = (server(), server());
    let mut reader = server.state().journal.follow();
    let mut t = transcript(&server);
    commands.iter().for_each(|command| drop(t.run(command)));
    let mut replay = other.client();
    while let Ok(Some(record)) = reader.read() {
        replay.send_raw(&record).expect("the server reads");
    }
    replay.send(&["ECHO", "end-of-replay"]).expect("the server reads");
    loop {
        let reply = replay.recv().expect("a reply").to_string();
        assert!(!reply.starts_with('-'), "{reply}");
        if reply == "end-of-replay" {
            break;
        }
    }
    for question in ["DEBUG DIGEST", "XINFO STREAM s", "XINFO GROUPS s", "XPENDING s g"] {
        let words: Vec<&str> = question.split(' ').collect();
        let (own, replayed) = (server.client().cmd(&words), other.client().cmd(&words));
        // How entries lie in blocks is a matter of parameters, which the journal does not have.
        let told = |reply: Reply| {
            let text = reply.to_string();
            text.split_once("last-generated-id").map_or(text.clone(), |(_, rest)| rest.to_owned())
        };
        assert_eq!(told(own), told(replayed), "{question}");
    }
    let pending = |server: &Server| {
        let Reply::Array(rows) = server.client().cmd(&["XPENDING", "s", "g", "-", "+", "100"])
        else {
            return Vec::new();
        };
        // The third is for how long, and time goes on.
        let told = |row: &Reply| match row {
            Reply::Array(row) => format!("{} {} {}", row[0], row[1], row[3]),
            other => other.to_string(),
        };
        rows.iter().map(told).collect()
    };
    assert_eq!(pending(&server), pending(&other));
}

#[test]
fn what_was_chosen_reaches_the_journal() {
    replayed(&[
        "XADD s * a b",
        "XADD s * a b c d",
        "XADD s 99999999999999-* a b",
        "CONFIG SET stream-node-max-entries 2",
        "XADD s MAXLEN ~ 1 LIMIT 2 * a b",
        "XADD s MINID ~ 99999999999999-0 * a b",
        "XADD s IDMP p 1 * x y",
        "XADD s IDMPAUTO p * x y",
        "XTRIM s MAXLEN ~ 2 LIMIT 4",
        "XGROUP CREATE s g 0",
    ]);
}

#[test]
fn who_read_what_reaches_the_journal() {
    replayed(&[
        "XADD s 1-1 a b",
        "XADD s 2-1 a b",
        "XADD s 3-1 a b",
        "XADD s 4-1 a b",
        "XADD s 5-1 a b",
        "XGROUP CREATE s g 0",
        "XREADGROUP GROUP g a COUNT 2 STREAMS s >",
        "XREADGROUP GROUP g b NOACK COUNT 1 STREAMS s >",
        "XREADGROUP GROUP g c COUNT 1 STREAMS s >",
        "XREADGROUP GROUP g d BLOCK 1 STREAMS s >",
        "XREADGROUP GROUP g e STREAMS s 0",
        "XREADGROUP GROUP g a STREAMS s 0",
        "XACK s g 1-1",
        "XCLAIM s g b 0 2-1 RETRYCOUNT 7 LASTID 9-9",
        "XDEL s 4-1",
        "XAUTOCLAIM s g e 0 0",
        "XNACK s g FAIL IDS 1 2-1",
        "XREADGROUP GROUP g f CLAIM 100 STREAMS s >",
    ]);
}

#[test]
fn xinfo_looks_for_the_key_before_it_reads_on() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("XINFO STREAM none foo", "-ERR no such key");
    t.check("SET s v", "OK");
    t.check("XINFO STREAM s foo", WRONG_TYPE);
}

#[test]
fn a_group_that_is_destroyed_breaks_no_watch() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("XGROUP CREATE s g $ MKSTREAM", "OK");
    t.check("WATCH s", "OK");
    t.check("XGROUP DESTROY s g", "1");
    t.check("MULTI", "OK");
    t.check("EXEC", "[]");
}
