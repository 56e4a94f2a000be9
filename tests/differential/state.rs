//! All that two servers store, compared in a few round trips.

use russet_testkit::Reply;
use russet_testkit::differential::{Difference, Pair};

use super::scope::Peer;
use super::words;

/// The databases that commands are sent to.
const DATABASES: [&str; 2] = ["0", "1"];

/// Up to this all integers are doubles.
const ALL_INTEGERS: f64 = (1_u64 << 53) as f64;

/// Compares the names of all keys, their types, lives and encodings, what streams have beside their entries, and the digest of all.
pub(super) fn compare(pair: &mut Pair, peer: Peer) -> Result<(), Difference> {
    let mut names = vec![words(&["DISCARD"])];
    for database in DATABASES {
        names.push(words(&["SELECT", database]));
        // Those that have ended are met, and so removed.
        names.push([&["EXISTS"], words::ALL_KEYS].concat().iter().map(bytes).collect());
        names.push(words(&["KEYS", "*"]));
    }
    let replies = pair.all(&names).map_err(|(_, difference)| difference)?;
    let mut looks = Vec::new();
    for (database, keys) in DATABASES.iter().zip([&replies[3], &replies[6]]) {
        looks.push(words(&["SELECT", database]));
        let keys = Reply::decode(keys).expect("a reply that was compared decodes");
        let keys = keys.items().unwrap_or_default().iter().filter_map(Reply::bytes);
        looks.extend(keys.flat_map(|key| form(peer, key)));
    }
    pair.all(&looks).map_err(|(_, difference)| difference)?;
    let Err(digest) = pair.both(&["DEBUG", "DIGEST"]) else { return Ok(()) };
    // A digest says that something differs, values show what: perhaps only how long scores are printed.
    let mut is_explained = !peer.is_recent;
    for database in DATABASES {
        pair.both(&["SELECT", database])?;
        pair.contents()?;
        let keys = pair.left.cmd(&["KEYS", "*"]);
        for key in keys.items().unwrap_or_default().iter().filter_map(Reply::bytes) {
            if prints_scores_otherwise(pair, key) {
                is_explained = true;
            } else if peer.is_recent {
                pair.both(&[&b"DEBUG"[..], b"DIGEST-VALUE", key])?;
            }
        }
    }
    if is_explained { Ok(()) } else { Err(digest) }
}

/// Whether a key whose members and scores are the same is a sorted set that the digests see otherwise, since they are of texts: one score is
/// printed with other digits, or so large that not all integers are doubles.
fn prints_scores_otherwise(pair: &mut Pair, key: &[u8]) -> bool {
    let asked = [b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"];
    // As bytes: what is decoded no longer tells how it was printed.
    let texts = [&mut pair.left, &mut pair.right]
        .map(|client| client.cmd_frame(&asked).unwrap_or_default());
    if texts[0] != texts[1] {
        return true;
    }
    let scores = pair.left.cmd(&asked).to_string();
    let words = scores.split(|mark: char| ", []\"".contains(mark));
    let numbers = words.filter_map(|word| word.parse::<f64>().ok());
    numbers.into_iter().any(|number| number.is_finite() && number.abs() > ALL_INTEGERS)
}

/// What is asked about each key.
fn form(peer: Peer, key: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut all = vec![words(&["TYPE"]), words(&["PTTL"])];
    all.push(words(if peer.is_recent { &["XINFO", "STREAM"] } else { &["XINFO", "GROUPS"] }));
    if peer.is_recent {
        all.push(words(&["OBJECT", "ENCODING"]));
    }
    for words in &mut all {
        words.push(key.to_vec());
        if words[1] == b"STREAM" {
            words.push(b"FULL".to_vec());
        }
    }
    all
}

fn words(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(bytes).collect()
}

fn bytes(word: &&str) -> Vec<u8> {
    word.as_bytes().to_vec()
}
