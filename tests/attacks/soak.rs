//! Everything at once for long: memory stays where it is while files are written, and nothing is left over when it ends.
//!
//! In CI this takes some seconds; `RUSSET_RES_11_SECONDS` and `RUSSET_RES_14_SECONDS` say how many, and `RUSSET_LONG_TESTS=1` takes the ten
//! minutes and the hour of the goals.

use russet_testkit::Random;

use super::hostile::{DATA_BYTES, GROUP_BYTES, Group, POLICIES, RSS_MAX, pipeline};
use super::*;

/// How long a test goes on: as its variable says, or so many seconds, or so many in full.
fn seconds(variable: &str, few: u64, many: u64) -> Duration {
    let asked = std::env::var(variable).ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(asked.unwrap_or_else(|| few_or(few, many)))
}

/// Sends small commands of every type until the time is up, some hundred at a time, and takes all replies to them before the next.
fn write_all_types(target: &Target, seed: u64, until: Instant) {
    const END: &[u8] = b"$10\r\nthat is it\r\n";
    let (mut stream, mut random) = (target.connect(), Random::new(seed));
    let (mut part, mut taken) = (vec![0; 64 << 10], Vec::new());
    while Instant::now() < until {
        let requests = [pipeline(&mut random), encode(&["ECHO", "that is it"])].concat();
        stream.write_all(&requests).expect("the server reads");
        taken.clear();
        while !taken.ends_with(END) {
            let count = stream.read(&mut part).expect("the server answers");
            assert!(count > 0, "the server hung up");
            taken.extend_from_slice(&part[..count]);
        }
    }
}

/// Has both kinds of files written in turn, until the time is up and each was written once. Answers how many were.
pub(super) fn save_in_turn(target: &Target, until: Instant) -> (u64, u64) {
    let mut client = target.process.client().expect("the server listens");
    let (mut snapshots, mut rewrites) = (0, 0);
    while Instant::now() < until || snapshots == 0 || rewrites == 0 {
        let is_snapshot = snapshots <= rewrites;
        let (command, flag) = if is_snapshot {
            ("BGSAVE", "rdb_bgsave_in_progress:")
        } else {
            ("BGREWRITEAOF", "aof_rewrite_in_progress:")
        };
        let reply = client.cmd(&[command]).to_string();
        assert!(reply.contains("started") || reply.contains("scheduled"), "{command}: {reply}");
        let is_over = |client: &mut Client| {
            let info = client.cmd(&["INFO", "persistence"]).to_string();
            let is_idle = |field| field_of(&info, field) == "0";
            assert!(info.contains("rdb_last_bgsave_status:ok"), "{info}");
            assert!(info.contains("aof_last_bgrewrite_status:ok"), "{info}");
            is_idle(flag) && is_idle("aof_rewrite_scheduled:")
        };
        while !is_over(&mut client) {
            pause(20);
        }
        if is_snapshot {
            snapshots += 1;
        } else {
            rewrites += 1;
        }
    }
    (snapshots, rewrites)
}

#[test]
fn res_11_nobody_is_killed_in_a_small_group_while_files_are_written() {
    let dir = tempfile::tempdir().expect("a place for files");
    let Some(group) = Group::new("saving", GROUP_BYTES) else {
        return println!("no control group of memory may be made here");
    };
    let limit = DATA_BYTES.to_string();
    let arguments = ["--maxmemory", &limit, "--appendonly", "yes", "--appendfsync", "everysec"];
    // Rewrites that begin by themselves would be in the way of those that are asked for.
    let others = ["--enable-debug-command", "yes", "--auto-aof-rewrite-percentage", "0"];
    let arguments = [&arguments[..], &others].concat();
    let mut target = Target::start_by(&group.runner(dir.path()), &arguments);
    let mut chief = target.process.client().expect("the server listens");
    // Near the limit from the beginning.
    assert_eq!(chief.cmd(&["DEBUG", "POPULATE", "150000", "fill", "1000"]).to_string(), "OK");
    let all = seconds("RUSSET_RES_11_SECONDS", 10, 600);
    let (until, is_saved) = (Instant::now() + all, AtomicBool::new(false));
    let (peak, saved) = std::thread::scope(|scope| {
        let (target, is_saved) = (&target, &is_saved);
        let writers = [1, 2, 3, 4];
        let writers = writers.map(|seed| scope.spawn(move || write_all_types(target, seed, until)));
        let saver = scope.spawn(move || {
            let saved = save_in_turn(target, until);
            is_saved.store(true, Ordering::Relaxed);
            saved
        });
        let (mut peak, mut turn) = (0, 0);
        while Instant::now() < until || !is_saved.load(Ordering::Relaxed) {
            let policy = POLICIES[turn % POLICIES.len()];
            assert_eq!(chief.cmd(&["CONFIG", "SET", "maxmemory-policy", policy]).to_string(), "OK");
            turn += 1;
            let end = Instant::now() + all / POLICIES.len() as u32;
            while Instant::now() < end && !saver.is_finished() {
                peak = peak.max(target.rss());
                pause(5);
            }
            assert!(!saver.is_finished() || is_saved.load(Ordering::Relaxed), "saving failed");
        }
        writers.into_iter().for_each(|writer| writer.join().expect("everybody is answered"));
        (peak, saver.join().expect("files are written"))
    });
    let (kills, most) = (group.kills(), group.most());
    println!("{peak} bytes resident at most, {most:?} with files' pages, {kills} killed");
    let evicted = target.info("evicted_keys:");
    println!("{} snapshots and {} rewrites, {evicted} evicted", saved.0, saved.1);
    assert_eq!(kills, 0);
    assert!(peak <= RSS_MAX, "{peak} bytes resident");
    target.expect_well();
}

/// Descriptors that a process has open.
fn descriptors(target: &Target) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", target.process.id())).expect("the server runs").count()
}

/// Comes, listens, hears what it says itself, and goes.
fn publish_and_listen(target: &Target, until: Instant) {
    let mut publisher = target.process.client().expect("the server listens");
    let mut nth = 0_u64;
    while Instant::now() < until {
        let mut listener = target.process.client().expect("the server listens");
        let channel = format!("channel:{}", nth % 500);
        listener.cmd(&["SUBSCRIBE", &channel]);
        for _ in 0..20 {
            let word = nth.to_string();
            publisher.cmd(&["PUBLISH", &channel, &word]);
            assert!(listener.recv().expect("a message").to_string().contains(&word));
            nth += 1;
        }
    }
}

/// Runs scripts and functions of a few hundred texts.
fn run_scripts(target: &Target, until: Instant) {
    let mut client = target.process.client().expect("the server listens");
    let library = "#!lua name=soak\nredis.register_function('add', function(keys, args) \
                   return redis.call('incrby', keys[1], args[1]) end)";
    assert_eq!(client.cmd(&["FUNCTION", "LOAD", library]).to_string(), "soak");
    let mut random = Random::new(14);
    while Instant::now() < until {
        let key = format!("count:{}", random.below(1_000));
        let text = format!(
            "local t = {{}} for n = 1, {} do t[n] = redis.call('incr', KEYS[1]) end return #t",
            1 + random.below(300)
        );
        let reply = client.cmd(&["EVAL", &text, "1", &key]).to_string();
        assert!(reply.parse::<u64>().is_ok() || reply.contains("OOM"), "{reply}");
        client.cmd(&["FCALL", "add", "1", &key, "7"]);
    }
}

/// How much a line through these values rises over all of them, as a share of their mean.
fn rise(values: &[u64]) -> f64 {
    let count = values.len() as f64;
    let (middle, mean) = ((count - 1.0) / 2.0, values.iter().sum::<u64>() as f64 / count);
    let (mut with, mut alone) = (0.0, 0.0);
    for (at, value) in values.iter().enumerate() {
        let at = at as f64 - middle;
        with += at * (*value as f64 - mean);
        alone += at * at;
    }
    with / alone * (count - 1.0) / mean
}

#[test]
fn a_line_rises_as_its_values_do() {
    assert!((rise(&[100, 101, 102, 103, 104]) - 4.0 / 102.0).abs() < 1e-9);
    assert!(rise(&[7, 7, 7]).abs() < 1e-9);
    assert!(rise(&[3, 2, 1]) < 0.0);
}

#[test]
fn res_14_memory_and_descriptors_stay_as_they_are() {
    let limit = ["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"];
    let mut target = Target::start(&limit);
    // What comes with the first of everything is there.
    write_all_types(&target, 9, Instant::now() + Duration::from_millis(300));
    while target.info("evicted_keys:") == "0" {
        write_all_types(&target, 9, Instant::now() + Duration::from_millis(300));
    }
    while target.clients() > 1 {
        pause(5);
    }
    let before = descriptors(&target);
    let all = seconds("RUSSET_RES_14_SECONDS", 20, 3_600);
    let began = Instant::now();
    let until = began + all;
    let rss = std::thread::scope(|scope| {
        let target = &target;
        let others = [
            scope.spawn(move || write_all_types(target, 1, until)),
            scope.spawn(move || write_all_types(target, 2, until)),
            scope.spawn(move || write_all_types(target, 3, until)),
            scope.spawn(move || publish_and_listen(target, until)),
            scope.spawn(move || run_scripts(target, until)),
        ];
        let mut rss = Vec::new();
        while Instant::now() < until {
            // Until a third of the time is over it warms up.
            if began.elapsed() > all / 3 {
                rss.push(target.rss());
            }
            pause(20);
        }
        others.into_iter().for_each(|other| other.join().expect("everybody is served"));
        rss
    });
    let (rise, measured) = (rise(&rss), all * 2 / 3);
    println!("{:.2} % more resident in {measured:?}, {:?}", rise * 100.0, rss.last());
    println!("{} evicted, {} expired", target.info("evicted_keys:"), target.info("expired_keys:"));
    // One percent in ten minutes; in a few seconds there is more noise than that.
    let tens = measured.as_secs_f64() / 600.0;
    assert!(rise <= if tens < 0.5 { 0.1 } else { tens * 0.01 }, "{rise} in {measured:?}");
    let until = Instant::now() + PATIENCE;
    while target.clients() > 1 || descriptors(&target) != before {
        let now = descriptors(&target);
        assert!(Instant::now() < until, "{now} descriptors, {before} before");
        pause(20);
    }
    target.expect_well();
}
