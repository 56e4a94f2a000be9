//! HIMPORT.

use super::*;

const NO_FIELDSET: &str = "-ERR no such fieldset";

#[test]
fn hashes_of_the_same_fields_are_made_of_values_alone() {
    let server = server();
    let mut t = transcript(&server);
    t.check("HIMPORT PREPARE u name email age", "OK");
    t.check("HIMPORT SET user:1 u alice a@x 30", "OK");
    t.check("HIMPORT SET user:2 u bob b@x 25", "OK");
    t.check("HMGET user:1 age name email", "[30, alice, a@x]");
    t.check("HGETALL user:2", "[name, bob, email, b@x, age, 25]");
    t.check("HIMPORT PREPARE \"\" \"\" b", "OK");
    t.check("HIMPORT SET empty \"\" 1 2", "OK");
    t.check("HGET empty \"\"", "1");
}

#[test]
fn an_import_replaces_a_hash_and_nothing_else() {
    let server = server();
    let mut t = transcript(&server);
    t.check("HIMPORT PREPARE u a b", "OK");
    t.check("HSET h old 1", "1");
    t.check("EXPIRE h 100", "1");
    t.check("HIMPORT SET h u 1 2", "OK");
    t.check("HGETALL h", "[a, 1, b, 2]");
    t.check("TTL h", "-1");
    t.check("SET str v", "OK");
    t.check("HIMPORT SET str u 1 2", WRONG_TYPE);
    t.check("GET str", "v");
    t.check(&format!("HIMPORT SET big u 1 {}", "x".repeat(100)), "OK");
    t.check("OBJECT ENCODING big", "hashtable");
}

#[test]
fn fieldsets_belong_to_the_connection() {
    let server = server();
    let (mut t, mut other) = (transcript(&server), transcript(&server));
    t.check("HIMPORT PREPARE u a b", "OK");
    other.check("HIMPORT SET h u 1 2", NO_FIELDSET);
    t.check("SELECT 1", "OK");
    t.check("HIMPORT SET h u 1 2", "OK");
    t.check("RESET", "RESET");
    t.check("HIMPORT SET h u 1 2", NO_FIELDSET);
    t.check("HIMPORT DISCARDALL", "0");
    t.check("HIMPORT PREPARE u a", "OK");
    t.check("HIMPORT PREPARE u x y", "OK");
    t.check("HIMPORT PREPARE v x", "OK");
    t.check("HIMPORT SET h u 1", "-ERR value count does not match...");
    t.check("HIMPORT SET h u 1 2 3", "-ERR value count does not match...");
    t.check("HIMPORT DISCARD u", "1");
    t.check("HIMPORT DISCARD u", "0");
    t.check("HIMPORT DISCARDALL", "1");
    t.check("HIMPORT PREPARE d a b a", "-ERR duplicate field name...");
    t.check("HIMPORT SET h d 1 2 3", NO_FIELDSET);
    t.check("HIMPORT PREPARE u", "-ERR wrong number of arguments for 'himport|prepare' command");
    t.check("HIMPORT SET k u", "-ERR wrong number of arguments for 'himport|set' command");
    t.check("HIMPORT FOO", "-ERR unknown subcommand 'FOO'. Try HIMPORT HELP.");
}

#[test]
fn an_import_inside_a_transaction_uses_what_was_prepared_there() {
    let server = server();
    let mut t = transcript(&server);
    t.check("MULTI", "OK");
    t.check("HIMPORT PREPARE u a", "QUEUED");
    t.check("HIMPORT SET h u 1", "QUEUED");
    t.check("EXEC", "[OK, OK]");
    t.check("HGET h a", "1");
}

#[test]
fn the_journal_gets_hashes_not_imports() {
    let server = server();
    let mut reader = server.state().journal.follow();
    let mut t = transcript(&server);
    t.check("HIMPORT PREPARE u a b", "OK");
    t.check("HIMPORT SET h u 1 2", "OK");
    t.check("HIMPORT SET h u 3 4", "OK");
    let told = journal(&mut reader);
    assert!(told.contains("HSET $1 h $1 a $1 1 $1 b $1 2"), "{told}");
    assert!(told.contains("DEL $1 h"), "{told}");
    assert!(!told.contains("HIMPORT"), "{told}");
}
