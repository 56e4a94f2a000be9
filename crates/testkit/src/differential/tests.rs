//! Two reference servers agree with each other, and a planted difference is seen.

use super::*;

/// Commands for each pair of servers; a nightly run has millions, by RUSSET_DIFFERENTIAL_COMMANDS.
fn count() -> usize {
    let set = env::var("RUSSET_DIFFERENTIAL_COMMANDS").ok();
    set.and_then(|count| count.parse().ok()).unwrap_or(5_000)
}

fn agree(left: &str, right: &str, generator: Generator) {
    let (Some(left), Some(right)) = (Reference::start(left), Reference::start(right)) else {
        return;
    };
    let mut pair = Pair::new(left.client(), right.client());
    let mut generator = generator;
    if let Err(difference) = pair.run(&mut generator, count()) {
        panic!("{difference}");
    }
}

#[test]
fn valkey_agrees_with_itself() {
    agree("valkey-server", "valkey-server", Generator::new(1).for_one_version());
}

#[test]
fn valkey_agrees_with_redis() {
    agree("valkey-server", "redis-server", Generator::new(2));
}

#[test]
fn a_difference_is_seen() {
    let Some(server) = Reference::start("valkey-server") else { return };
    let mut pair = Pair::new(server.client(), server.client());
    let difference = pair.both(&["INCR", "n"]).unwrap_err();
    assert_eq!(difference.to_string(), "INCR n\n   left: :1\\r\\n\n  right: :2\\r\\n");
}

#[test]
fn most_commands_are_answered_without_an_error() {
    let Some(server) = Reference::start("valkey-server") else { return };
    let mut client = server.client();
    let mut generator = Generator::new(3);
    let replies = (0..5_000).map(|_| client.cmd(&generator.next()));
    let errors = replies.filter(Reply::is_error).count();
    assert!((500..2_500).contains(&errors), "{errors} errors of 5,000");
}

#[test]
fn a_seed_gives_one_sequence() {
    let (mut left, mut right) = (Generator::new(9), Generator::new(9));
    assert!((0..1_000).all(|_| left.next() == right.next()));
}

#[test]
fn masks_forgive_what_they_name() {
    assert!(same(b":10\r\n", b":11\r\n", Mask::of(&["ttl", "k"])));
    assert!(!same(b":-1\r\n", b":-2\r\n", Mask::of(&["TTL", "k"])));
    assert!(same(b"*2\r\n+a\r\n+b\r\n", b"*2\r\n+b\r\n+a\r\n", Mask::of(&["KEYS", "*"])));
    assert!(!same(b"+a\r\n", b"$1\r\na\r\n", Mask::of(&["GET", "k"])));
}
