//! What SORT answers.

use russet_testkit::Transcript;

use crate::server;

#[test]
fn lists_are_sorted_as_numbers_and_as_texts() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("RPUSH l 3 10 2 -1.5 2", "5");
    t.check("SORT l", "[-1.5, 2, 2, 3, 10]");
    t.check("SORT l DESC", "[10, 3, 2, 2, -1.5]");
    t.check("SORT_RO l ALPHA", "[-1.5, 10, 2, 2, 3]");
    t.check("SORT l LIMIT 1 2", "[2, 2]");
    t.check("SORT l LIMIT -5 2", "[-1.5, 2]");
    t.check("SORT l LIMIT 3 -1", "[3, 10]");
    t.check("SORT l LIMIT 9 1", "[]");
    t.check("SORT l LIMIT 0 0", "[]");
    t.check("SORT l BY nosort", "[3, 10, 2, -1.5, 2]");
    t.check("SORT l BY nosort DESC LIMIT 0 2", "[2, -1.5]");
    t.check("SORT l BY nosort LIMIT 1 2", "[10, 2]");
    t.check("SORT none", "[]");
    t.check("RPUSH l a", "6");
    t.check("SORT l", "-ERR One or more scores can't be converted into double");
    t.check("SORT l LIMIT a 1", "-ERR value is not an integer or out of range");
    t.check("SORT l LIMIT 1", "-ERR syntax error");
    t.check("SORT l FOO", "-ERR syntax error");
    t.check("SORT_RO l ALPHA STORE x", "-ERR syntax error");
    t.check("SET s v", "OK");
    t.check("SORT s", "-WRONGTYPE Operation against a key holding the wrong kind of value");
}

#[test]
fn other_keys_give_weights_and_results() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("RPUSH l 1 2 3 4", "4");
    t.check("MSET w_1 30 w_2 10 w_3 20 name_1 one name_3 three", "OK");
    t.check("HSET h_1 w 5 name x", "2");
    t.check("HSET h_2 w 1", "1");
    t.check("SORT l BY w_*", "[4, 2, 3, 1]");
    t.check("SORT l BY w_* DESC GET name_* GET #", "[one, 1, three, 3, (nil), 2, (nil), 4]");
    t.check("SORT l BY h_*->w GET h_*->name LIMIT 2 2", "[(nil), x]");
    t.check("SORT l BY w_* ALPHA", "[4, 2, 3, 1]");
    t.check("SORT l BY w_* GET fixed", "[(nil), (nil), (nil), (nil)]");
    t.check("SORT l BY name_*", "-ERR One or more scores can't be converted into double");
    t.check("SORT l BY w_*->nothing", "[1, 2, 3, 4]");
    t.check("MULTI", "OK");
    t.check("SORT l BY w_* LIMIT 1 1", "QUEUED");
    t.check("EXEC", "[[2]]");
}

#[test]
fn sets_are_sorted_too() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("SADD s 3 1 2 -5", "4");
    t.check("SORT s", "[-5, 1, 2, 3]");
    t.check("SORT s DESC LIMIT 0 2", "[3, 2]");
    t.check("SADD s b a", "2");
    t.check("SORT s ALPHA", "[-5, 1, 2, 3, a, b]");
    t.check("SORT s BY nosort STORE l", "6");
    t.check("LRANGE l 0 -1", "[-5, 1, 2, 3, a, b]");
}

#[test]
fn results_are_kept() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("RPUSH l 2 1 3", "3");
    t.check("MSET name_1 one name_3 three", "OK");
    t.check("SORT l STORE t", "3");
    t.check("LRANGE t 0 -1", "[1, 2, 3]");
    t.check("OBJECT ENCODING t", "listpack");
    t.check("SORT l GET name_* GET # STORE t", "6");
    t.check("LRANGE t 0 -1", r#"[one, 1, "", 2, three, 3]"#);
    t.check("SORT l STORE x STORE l", "3");
    t.check("LRANGE l 0 -1", "[1, 2, 3]");
    t.check("EXISTS x", "0");
    t.check("SORT none STORE l", "0");
    t.check("EXISTS l", "0");
    t.check("COMMAND GETKEYS SORT a BY w_* GET STORE STORE b LIMIT 0 STORE STORE c", "[a, c]");
}

#[test]
fn a_sorted_set_is_large_once_it_was_sorted() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("ZADD z 1 a 2 b", "2");
    t.check("SORT z LIMIT x 1", "-ERR value is not an integer or out of range");
    t.check("OBJECT ENCODING z", "listpack");
    t.check("SORT_RO z BY nosort", "[a, b]");
    t.check("OBJECT ENCODING z", "skiplist");
}

#[test]
fn numbers_are_read_as_c_reads_them() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("RPUSH l 1", "1");
    t.check(r#"SET w_1 "5\x00x""#, "OK");
    t.check("SORT l BY w_*", "[1]");
    t.check("SET w_1 1e-320", "OK");
    t.check("SORT l BY w_*", "-ERR One or more scores can't be converted into double");
}
