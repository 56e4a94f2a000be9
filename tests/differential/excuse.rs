//! Differences that `docs/compatibility.md` explains, and that no mask can name.
//!
//! Each is looked into where it has come up: both servers are told the same again up to there, and asked whether it is what it seems to be.
//! An excuse names its commands and its reason. The command is then taken out of its stretch, and all others are compared again.

use russet_testkit::Reply;
use russet_testkit::differential::Difference;

use super::{Command, Fuzz, Setting, tell};

/// Commands that store a sorted set made from others.
const STORES: &[&str] = &["ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"];

/// Commands that store a set made from others.
const SET_STORES: &[&str] = &["SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE"];

/// Which of the first `place` commands brings this difference about, and why that is no fault. `None` if nothing explains it.
pub(super) fn find(
    fuzz: &Fuzz,
    setting: Setting,
    stretch: &[Command],
    (place, difference): (usize, &Difference),
) -> Option<(usize, &'static str)> {
    let history = stretch.get(..place)?;
    if are_ties(fuzz, setting, history, difference) {
        return Some((
            place - 1,
            "members at the same distance come in any order, and COUNT takes any",
        ));
    }
    if let Some(trimming) = watch_is_broken_by(fuzz, setting, history, difference) {
        return Some((trimming, "LTRIM that removes nothing does not break a WATCH"));
    }
    if let Some(storing) = order_decides_in(fuzz, setting, history, difference) {
        return Some((
            storing,
            "a set of numbers and other members that was stored is a table if many numbers came first",
        ));
    }
    let storing = sign_is_lost_by(fuzz, setting, history, difference)?;
    Some((
        storing,
        "a score of -0 is 0 in the compact form, which a large result was in before it grew",
    ))
}

/// Whether the last command has found members of which each is as far away as the one in its place that the other server found.
fn are_ties(fuzz: &Fuzz, setting: Setting, history: &[Command], found: &Difference) -> bool {
    let Some((last, before)) = history.split_last() else { return false };
    let Some(whole) = everywhere(last) else { return false };
    let (Ok(left), Ok(right)) = (Reply::decode(&found.left), Reply::decode(&found.right)) else {
        return false;
    };
    let mut pair = fuzz.pair(setting);
    if tell(&mut pair, before).is_err() {
        return false;
    }
    are_as_far(&left, &right, &pair.left.cmd(&whole))
}

/// The same search without an end: all members, with their distances in metres. `None` for other commands, and for such without COUNT.
fn everywhere(command: &Command) -> Option<Command> {
    let is = |at: usize, word: &str| {
        command.get(at).is_some_and(|it| it.eq_ignore_ascii_case(word.as_bytes()))
    };
    let position = |word| (0..command.len()).find(|at| is(*at, word));
    position("COUNT")?;
    if position("STORE").or_else(|| position("STOREDIST")).is_some() {
        return None;
    }
    let from = |begin: usize, words: usize| command.get(begin..begin + words);
    let name = command.first()?.to_ascii_uppercase();
    let (name, from, shape): (_, _, &[&str]) = match name.as_slice() {
        b"GEORADIUS" | b"GEORADIUS_RO" => ("GEORADIUS_RO", from(2, 2)?, &[]),
        b"GEORADIUSBYMEMBER" | b"GEORADIUSBYMEMBER_RO" => {
            ("GEORADIUSBYMEMBER_RO", from(2, 1)?, &[])
        }
        b"GEOSEARCH" => {
            let member = position("FROMMEMBER").and_then(|at| from(at, 2));
            let place = member.or_else(|| position("FROMLONLAT").and_then(|at| from(at, 3)));
            ("GEOSEARCH", place?, &["BYRADIUS"])
        }
        _ => return None,
    };
    let mut whole = vec![name.as_bytes().to_vec(), command.get(1)?.clone()];
    whole.extend_from_slice(from);
    whole.extend(shape.iter().map(|word| word.as_bytes().to_vec()));
    whole.extend([&b"30000000"[..], b"M", b"WITHDIST"].map(<[u8]>::to_vec));
    Some(whole)
}

/// Whether two lists of members are equally far away, place by place, by a list of all members and their distances. A member that has the
/// same place in both is told of in the same way.
fn are_as_far(left: &Reply, right: &Reply, all: &Reply) -> bool {
    let (Some(left), Some(right), Some(all)) = (left.items(), right.items(), all.items()) else {
        return false;
    };
    let name = |of: &Reply| {
        of.items().map_or_else(|| of.bytes(), |it| it.first()?.bytes()).map(<[u8]>::to_vec)
    };
    let distance = |of: &Reply| {
        let line = all.iter().find(|line| name(line) == name(of))?;
        line.items()?.get(1)?.bytes()
    };
    let is_tie = |left: &Reply, right: &Reply| {
        name(left) != name(right) && distance(left).is_some() && distance(left) == distance(right)
    };
    left.len() == right.len()
        && left.iter().zip(right).all(|(left, right)| left == right || is_tie(left, right))
}

/// The LTRIM for whose sake EXEC did nothing on the other server: without it both are the same.
fn watch_is_broken_by(
    fuzz: &Fuzz,
    setting: Setting,
    history: &[Command],
    found: &Difference,
) -> Option<usize> {
    let is = |command: &Command, name: &[u8]| command[0].eq_ignore_ascii_case(name);
    let is_nil = |reply: &[u8]| matches!(reply, b"*-1\r\n" | b"_\r\n");
    if !is(history.last()?, b"EXEC") || is_nil(&found.left) || !is_nil(&found.right) {
        return None;
    }
    let mut trims = (0..history.len()).rev().filter(|at| is(&history[*at], b"LTRIM"));
    trims.find(|at| {
        let mut fewer = history.to_vec();
        fewer.remove(*at);
        fuzz.play(setting, &fewer).is_ok()
    })
}

/// The command that has stored a set of numbers and other members, in another order than the other server, which is random there: whether
/// the numbers alone are too many for their compact form before the first other member comes, which makes a table of them, is chance.
fn order_decides_in(
    fuzz: &Fuzz,
    setting: Setting,
    history: &[Command],
    found: &Difference,
) -> Option<usize> {
    let key = found.command.strip_prefix("OBJECT ENCODING ")?.as_bytes();
    let is_one = |form: &[u8]| found.left == form || found.right == form;
    if !is_one(b"$8\r\nlistpack\r\n") || !is_one(b"$9\r\nhashtable\r\n") {
        return None;
    }
    let stores_it = |command: &Command| {
        let name = command[0].to_ascii_uppercase();
        let is_store = SET_STORES.iter().any(|store| store.as_bytes() == name);
        is_store && command.get(1).is_some_and(|target| target == key)
    };
    let storing = (0..history.len()).rev().find(|at| stores_it(&history[*at]))?;
    let mut pair = fuzz.pair(setting);
    tell(&mut pair, &history[..=storing]).ok()?;
    let members = pair.left.cmd(&[b"SMEMBERS", key]);
    let is_number = |member: &Reply| member.to_string().parse::<i64>().is_ok();
    let members = members.items()?;
    (members.iter().any(is_number) && !members.iter().all(is_number)).then_some(storing)
}

/// The command that has stored 0 on the other server where ours has -0, if nothing else differs from there on.
fn sign_is_lost_by(
    fuzz: &Fuzz,
    setting: Setting,
    history: &[Command],
    found: &Difference,
) -> Option<usize> {
    if !found.left.windows(4).any(|part| part == b"-0\r\n") {
        return None;
    }
    // The first of them after which what is stored differs.
    let (mut same, mut differs) = (0, history.len());
    while differs - same > 1 {
        let middle = usize::midpoint(same, differs);
        match fuzz.play(setting, &history[..middle]) {
            Ok(()) => same = middle,
            Err(_) => differs = middle,
        }
    }
    let (_, first) = fuzz.play(setting, &history[..differs]).err()?;
    let name = history[differs - 1].first()?.to_ascii_uppercase();
    let is_store = STORES.iter().any(|store| store.as_bytes() == name);
    (is_store && differs_in_sign_of_zero(&first)).then_some(differs - 1)
}

/// Whether these are the members and scores of a sorted set, the same but for zeros that are negative on our side only.
fn differs_in_sign_of_zero(found: &Difference) -> bool {
    let (Ok(left), Ok(right)) = (Reply::decode(&found.left), Reply::decode(&found.right)) else {
        return false;
    };
    let (left, right) = (scored(&left), scored(&right));
    let is_lost = |left: &[u8], right: &[u8]| left == b"-0" && right == b"0";
    found.command.starts_with("ZRANGE ")
        && found.command.ends_with(" WITHSCORES")
        && left.len() == right.len()
        && left.iter().zip(&right).all(|(left, right)| {
            left.0 == right.0 && (left.1 == right.1 || is_lost(&left.1, &right.1))
        })
}

/// Members and scores, which come in pairs in RESP3 and one after the other in RESP2.
fn scored(reply: &Reply) -> Vec<(Vec<u8>, Vec<u8>)> {
    let items = reply.items().unwrap_or_default();
    let pair = |pair: &[Reply]| {
        let text = |at: usize| pair.get(at).and_then(Reply::bytes).unwrap_or_default().to_vec();
        (text(0), text(1))
    };
    match items.first().and_then(Reply::items) {
        Some(_) => items.iter().map(|item| pair(item.items().unwrap_or_default())).collect(),
        None => items.chunks(2).map(pair).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> Command {
        text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    fn list(words: &[&str]) -> Reply {
        Reply::Array(words.iter().map(|word| Reply::Bulk(word.as_bytes().to_vec())).collect())
    }

    #[test]
    fn searches_with_a_count_are_made_whole_and_others_are_not() {
        let whole = everywhere(&command("geosearch k ASC FROMLONLAT 1 2 BYBOX 1 1 KM COUNT 3"));
        assert_eq!(whole, Some(command("GEOSEARCH k FROMLONLAT 1 2 BYRADIUS 30000000 M WITHDIST")));
        let whole = everywhere(&command("GEORADIUSBYMEMBER k m 5 MI COUNT 3 WITHHASH"));
        assert_eq!(whole, Some(command("GEORADIUSBYMEMBER_RO k m 30000000 M WITHDIST")));
        assert_eq!(everywhere(&command("GEORADIUSBYMEMBER k m 5 MI")), None);
        assert_eq!(everywhere(&command("GEORADIUS k 1 2 5 MI COUNT 3 STORE d")), None);
        assert_eq!(everywhere(&command("ZRANGE k 1 COUNT")), None);
    }

    #[test]
    fn only_members_at_the_same_distance_may_change_places() {
        let all = Reply::Array(vec![
            list(&["a", "0.0000"]),
            list(&["b", "0.0000"]),
            list(&["c", "7.5000"]),
        ]);
        assert!(are_as_far(&list(&["a", "b"]), &list(&["b", "a"]), &all));
        assert!(are_as_far(&list(&["a", "c"]), &list(&["b", "c"]), &all));
        assert!(!are_as_far(&list(&["a", "c"]), &list(&["c", "a"]), &all));
        assert!(!are_as_far(&list(&["a"]), &list(&["a", "b"]), &all));
        assert!(!are_as_far(&list(&["a"]), &list(&["unknown"]), &all));
        let told = |hash: &str| Reply::Array(vec![list(&["a", hash])]);
        assert!(!are_as_far(&told("1"), &told("2"), &all), "the same member in the same place");
    }

    #[test]
    fn only_the_sign_of_our_zeros_may_be_lost() {
        let found = |command: &str, left: &[u8], right: &[u8]| Difference {
            command: command.into(),
            left: left.to_vec(),
            right: right.to_vec(),
        };
        let (ours, theirs) = (b"*2\r\n$1\r\na\r\n$2\r\n-0\r\n", b"*2\r\n$1\r\na\r\n$1\r\n0\r\n");
        assert!(differs_in_sign_of_zero(&found("ZRANGE k 0 -1 WITHSCORES", ours, theirs)));
        assert!(!differs_in_sign_of_zero(&found("ZRANGE k 0 -1 WITHSCORES", theirs, ours)));
        assert!(!differs_in_sign_of_zero(&found("LRANGE k 0 -1", ours, theirs)));
        let (ours, theirs) = (b"*2\r\n$2\r\n-0\r\n$1\r\n1\r\n", b"*2\r\n$1\r\n0\r\n$1\r\n1\r\n");
        assert!(!differs_in_sign_of_zero(&found("ZRANGE k 0 -1 WITHSCORES", ours, theirs)));
        let (ours, theirs) = (b"*1\r\n*2\r\n$1\r\na\r\n,-0\r\n", b"*1\r\n*2\r\n$1\r\na\r\n,0\r\n");
        assert!(differs_in_sign_of_zero(&found("ZRANGE k 0 -1 WITHSCORES", ours, theirs)));
    }
}
