//! A planted difference is seen, and masks forgive no more than they name.

use super::*;

#[test]
fn a_difference_is_seen() {
    let Some(server) = Reference::start("valkey-server") else { return };
    let mut pair = Pair::new(server.client(), server.client());
    let difference = pair.both(&["INCR", "n"]).unwrap_err();
    assert_eq!(difference.to_string(), "INCR n\n   left: :1\\r\\n\n  right: :2\\r\\n");
}

#[test]
fn masks_forgive_what_they_name() {
    assert!(same(b":10\r\n", b":11\r\n", Mask::of(&["ttl", "k"])));
    assert!(!same(b":-1\r\n", b":-2\r\n", Mask::of(&["TTL", "k"])));
    assert!(same(b"*2\r\n+a\r\n+b\r\n", b"*2\r\n+b\r\n+a\r\n", Mask::of(&["KEYS", "*"])));
    assert!(!same(b"+a\r\n", b"$1\r\na\r\n", Mask::of(&["GET", "k"])));
}
