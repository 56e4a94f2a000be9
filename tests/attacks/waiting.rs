//! Clients that wait for keys, while everything is done to them and to the keys.

use super::*;

/// What clients wait with.
const WAITS: [&str; 6] = [
    "BLPOP l1 l2 0",
    "BLMOVE l1 l2 LEFT RIGHT 0",
    "BZPOPMIN z1 z2 0",
    "BLMPOP 0 2 l1 l2 LEFT",
    "XREADGROUP GROUP g c BLOCK 0 STREAMS s >",
    "XREAD BLOCK 0 STREAMS s $",
];

/// What is done meanwhile.
const MEANWHILE: [&str; 20] = [
    "LPUSH l1 a",
    "LPUSH l2 a b c",
    "ZADD z1 1 a",
    "ZADD z2 1 a 2 b",
    "XADD s * a b",
    "DEL l1 l2 z1 z2",
    "XGROUP DESTROY s g",
    "XGROUP CREATE s g $ MKSTREAM",
    "DEL s",
    "FLUSHALL",
    "FLUSHDB ASYNC",
    "SWAPDB 0 1",
    "RENAME l2 l1",
    "SET l1 text",
    "SADD z1 x",
    "CLIENT KILL ID",
    "CLIENT UNBLOCK",
    "CLIENT PAUSE 1 WRITE",
    "EXPIRE l1 0",
    "RPUSH l1 1",
];

#[test]
fn sec_07_clients_that_wait_may_be_served_killed_and_robbed_at_any_moment() {
    let mut target = Target::start(&[]);
    let own = target.witness.cmd(&["CLIENT", "ID"]).int().expect("a number").unsigned_abs();
    let (clients, seconds) = few_or((100, 4), (1_000, 60));
    let until = Instant::now() + Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        scope.spawn(|| wait_again_and_again(&target, clients, until));
        for seed in 0..2 {
            let target = &target;
            scope.spawn(move || do_harm(target, own, seed, until));
        }
    });
    target.expect_well();
}

/// Keeps so many clients waiting; whoever was served or killed begins anew.
fn wait_again_and_again(target: &Target, count: usize, until: Instant) {
    let mut random = russet_testkit::Random::new(7);
    let mut crowd: Vec<_> = (0..count).map(|_| None::<TcpStream>).collect();
    while Instant::now() < until {
        let at = random.below(count as u64) as usize;
        let line = format!("{}\r\n", random.pick(&WAITS));
        let stream = crowd[at].get_or_insert_with(|| target.connect());
        let is_dead = stream.write_all(line.as_bytes()).is_err();
        stream.set_nonblocking(true).expect("a socket");
        let has_ended = matches!(stream.read(&mut [0; 4096]), Ok(0));
        stream.set_nonblocking(false).expect("a socket");
        // Some go in the very moment in which they might be served.
        if is_dead || has_ended || random.percent(30) {
            crowd[at] = None;
        }
    }
}

/// Does something to the keys or to a client again and again, but not to the test's `own` client.
fn do_harm(target: &Target, own: u64, seed: u64, until: Instant) {
    let mut random = russet_testkit::Random::new(seed);
    let mut client = again(target);
    while Instant::now() < until {
        let mut line = (*random.pick(&MEANWHILE)).to_owned();
        if line.starts_with("CLIENT UNBLOCK") || line.starts_with("CLIENT KILL") {
            let Ok(newest) = again(target).try_cmd(&["CLIENT", "ID"]) else { continue };
            let newest = newest.int().map_or(0, i64::unsigned_abs);
            let victim = newest.saturating_sub(random.below(200)).max(own + 1);
            line = format!("{line} {victim}");
        }
        if client.try_cmd(&line.split(' ').collect::<Vec<_>>()).is_err() {
            // The other one of these has killed this one.
            client = again(target);
        }
        if random.percent(1) {
            client = again(target);
        }
    }
}

fn again(target: &Target) -> Client {
    target.process.client().expect("the server listens")
}
