//! Everything at once under a limit of memory, with every policy in turn: nobody is killed, nothing goes over, everybody is answered.
//!
//! Where this process may make control groups of memory, the server runs in one that allows it 256 MB; elsewhere a line says that it does
//! not. In CI this takes some seconds, with `RUSSET_LONG_TESTS=1` an hour, and with `RUSSET_HOSTILE_SECONDS` so many seconds. With
//! `RUSSET_HOSTILE_FILES=1` both kinds of files are written meanwhile.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use russet_testkit::Random;

use super::soak::save_in_turn;
use super::*;

/// What the group allows.
pub(super) const GROUP_BYTES: u64 = 256 << 20;

/// Data may take so much, the process a quarter more.
pub(super) const DATA_BYTES: u64 = 200 << 20;
pub(super) const RSS_MAX: u64 = DATA_BYTES / 4 * 5;

pub(super) const POLICIES: [&str; 16] = [
    "allkeys-lru",
    "volatile-lru",
    "allkeys-lfu",
    "volatile-lfu",
    "allkeys-s3fifo",
    "volatile-s3fifo",
    "noeviction",
    "allkeys-random",
    "volatile-random",
    "allkeys-sieve",
    "volatile-sieve",
    "volatile-ttl",
    "allkeys-tinylfu",
    "volatile-tinylfu",
    "allkeys-lrm",
    "volatile-lrm",
];

/// A control group of memory, below the one of this process; it goes when nobody is in it.
pub(super) struct Group(PathBuf);

impl Group {
    /// One that allows so many bytes, if this process may make one.
    pub(super) fn new(name: &str, bytes: u64) -> Option<Self> {
        let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, group) = (parts.next()?, parts.next()?);
            let (root, file) = match controllers {
                "" => ("/sys/fs/cgroup", "memory.max"),
                _ if controllers.split(',').any(|it| it == "memory") => {
                    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
                }
                _ => return None,
            };
            let name = format!("russet-{name}-{}", std::process::id());
            let path = Path::new(root).join(group.trim_start_matches('/')).join(name);
            std::fs::create_dir(&path).ok()?;
            let group = Self(path);
            std::fs::write(group.0.join(file), bytes.to_string()).is_ok().then_some(group)
        })
    }

    /// A script that runs the server in the group.
    pub(super) fn runner(&self, dir: &Path) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let script = dir.join("in-group.sh");
        let (group, binary) = (self.0.display(), env!("CARGO_BIN_EXE_russet"));
        let text =
            format!("#!/bin/sh\necho $$ > '{group}/cgroup.procs' && exec '{binary}' \"$@\"\n");
        std::fs::write(&script, text).expect("a place for files");
        let runs = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&script, runs).expect("a file of ours");
        script
    }

    /// What all in the group took at most, if the kernel says.
    pub(super) fn most(&self) -> Option<u64> {
        let files = ["memory.max_usage_in_bytes", "memory.peak"];
        let text = files.iter().find_map(|name| std::fs::read_to_string(self.0.join(name)).ok());
        text.and_then(|text| text.trim().parse().ok())
    }

    /// How often the kernel has killed somebody in the group for memory.
    pub(super) fn kills(&self) -> u64 {
        let files = ["memory.oom_control", "memory.events"];
        let text = files.iter().find_map(|name| std::fs::read_to_string(self.0.join(name)).ok());
        let text = text.expect("a group of memory counts whom it kills");
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse().ok()).expect("a number")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel needs a moment to see that a process has ended.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            pause(20);
        }
    }
}

impl Target {
    /// As [`Target::start`], by a program that runs the server in a group.
    pub(super) fn start_by(program: &Path, arguments: &[&str]) -> Self {
        make_room();
        let process = Setup::new(program).args(["--save", ""]).args(arguments).start();
        let process = process.expect("the server starts");
        let witness = process.client().expect("the server listens");
        Self { process, witness }
    }
}

fn seconds() -> u64 {
    let asked = std::env::var("RUSSET_HOSTILE_SECONDS").ok();
    asked.and_then(|seconds| seconds.parse().ok()).unwrap_or_else(|| few_or(12, 3_600))
}

/// Bytes of some hundred small commands of every type.
pub(super) fn pipeline(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..300 {
        let key = format!("key:{}", random.below(200_000));
        let element = random.bits().to_string();
        let longest = 1 << random.below(13);
        let value = "v".repeat(16 + random.below(longest) as usize);
        let number = random.below(1_000).to_string();
        let words: &[&str] = match random.below(12) {
            0 => &["HSET", &format!("h{key}"), &element, &value],
            1 => &["ZADD", &format!("z{key}"), &number, &element],
            2 => &["SADD", &format!("s{key}"), &element],
            3 => &["RPUSH", &format!("l{key}"), &value],
            4 => &["XADD", &format!("x{number}"), "MAXLEN", "~", "1000", "*", "f", &value],
            5 => &["GET", &key],
            6 => &["SET", &key, &value, "EX", "30"],
            7 => &["SET", &key, &value, "PX", &number],
            _ => &["SET", &key, &value],
        };
        bytes.extend(encode(words));
    }
    bytes
}

/// One way to be a bad neighbour, for a while.
type Attack = fn(&Target, &mut Random);

const ATTACKS: [(&str, Attack); 6] = [
    ("pipelines", pipelines),
    ("slow readers", read_slowly),
    ("bombs", queue_a_bomb),
    ("huge values", write_huge_values),
    ("deaf subscribers", subscribe_and_do_not_read),
    ("halves", announce_and_go),
];

/// Sends what it can; whether the server reads it, or closes the connection, is its affair.
fn send(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    stream.set_write_timeout(Some(Duration::from_millis(300))).expect("a time that is not zero");
    stream.write_all(bytes).is_ok()
}

/// Reads what comes within a moment, and forgets it.
fn skim(stream: &mut TcpStream, reads: usize) {
    stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a time that is not zero");
    let mut buffer = vec![0; 64 << 10];
    for _ in 0..reads {
        if !stream.read(&mut buffer).is_ok_and(|count| count > 0) {
            return;
        }
    }
}

fn pipelines(target: &Target, random: &mut Random) {
    let mut stream = target.connect();
    for _ in 0..10 {
        if !send(&mut stream, &pipeline(random)) {
            return;
        }
        skim(&mut stream, 20);
    }
}

/// Asks for far more than it reads.
fn read_slowly(target: &Target, random: &mut Random) {
    let mut stream = target.connect();
    let value = vec![b'r'; 1 << 20];
    let asks = [
        encode(&[b"SET".as_slice(), b"read slowly", &value]),
        encode(&["GET", "read slowly"]).repeat(200),
        encode(&["LRANGE", &format!("lkey:{}", random.below(200_000)), "0", "-1"]).repeat(50),
        encode(&["SRANDMEMBER", "skey:1", "-9000000"]),
    ];
    if asks.iter().all(|bytes| send(&mut stream, bytes)) {
        pause(200);
        skim(&mut stream, 10);
    }
}

/// Queues commands until the server has had enough.
fn queue_a_bomb(target: &Target, random: &mut Random) {
    let mut stream = target.connect();
    let value = vec![b'b'; 64 << 10];
    send(&mut stream, &encode(&["MULTI"]));
    for nth in 0..2_000 {
        let key = format!("bomb:{nth}");
        if !send(&mut stream, &encode(&[b"SET".as_slice(), key.as_bytes(), &value])) {
            return;
        }
    }
    if random.percent(50) {
        send(&mut stream, &encode(&["EXEC"]));
        skim(&mut stream, 100);
    }
}

fn write_huge_values(target: &Target, random: &mut Random) {
    let mut stream = target.connect();
    let key = format!("huge:{}", random.below(20));
    let value = vec![b'h'; 1 << (16 + random.below(9))];
    let sent = send(&mut stream, &encode(&[b"SET".as_slice(), key.as_bytes(), &value]))
        && send(&mut stream, &encode(&[b"APPEND".as_slice(), key.as_bytes(), &value]))
        && send(&mut stream, &encode(&["SETRANGE", &key, "60000000", "x"]))
        && send(&mut stream, &encode(&["LPUSH", "huge list", &key]))
        && send(&mut stream, &encode(&[b"RPUSH".as_slice(), b"huge list", &value]));
    skim(&mut stream, 50);
    if sent && random.percent(30) {
        send(&mut stream, &encode(&["DEL", "huge list", &key]));
        skim(&mut stream, 5);
    }
}

fn subscribe_and_do_not_read(target: &Target, _: &mut Random) {
    let mut deaf: Vec<_> =
        (0..10).map(|_| target.connect_and_send(&encode(&["SUBSCRIBE", "news"]))).collect();
    let mut publisher = target.connect();
    let news = encode(&[b"PUBLISH".as_slice(), b"news", &vec![b'n'; 100 << 10]]);
    for _ in 0..100 {
        if !send(&mut publisher, &news) {
            break;
        }
        skim(&mut publisher, 1);
    }
    deaf.iter_mut().for_each(|stream| skim(stream, 1));
}

/// Says that much will come, sends a part of it, and goes.
fn announce_and_go(target: &Target, random: &mut Random) {
    let mut crowd: Vec<_> = (0..30).map(|_| target.connect()).collect();
    for stream in &mut crowd {
        let part = vec![b'a'; random.below(1 << 20) as usize];
        send(stream, b"*3\r\n$3\r\nSET\r\n$5\r\nhalf!\r\n$536870912\r\n");
        send(stream, &part);
    }
    pause(100);
}

/// A client that does nothing wrong: it is answered, whatever the answer is. The longest that it waited, in microseconds.
fn behave(target: &Target, until: Instant, longest_us: &AtomicU64) {
    let mut client = target.process.client().expect("the server listens");
    let mut nth = 0_u64;
    while Instant::now() < until {
        let key = format!("good:{}", nth % 100);
        let words = match nth % 3 {
            0 => vec!["PING"],
            1 => vec!["SET", &key, "value"],
            _ => vec!["GET", &key],
        };
        let began = Instant::now();
        let reply = client.try_cmd(&words);
        let reply = reply.unwrap_or_else(|error| panic!("{words:?} was not answered: {error}"));
        let is_good = !nth.is_multiple_of(3) || reply.to_string() == "PONG";
        assert!(is_good, "{words:?}: {reply}");
        longest_us.fetch_max(began.elapsed().as_micros() as u64, Ordering::Relaxed);
        nth += 1;
        pause(2);
    }
}

/// Begins one attack after the other.
fn attack(target: &Target, seed: u64, until: Instant) {
    let mut random = Random::new(seed);
    while Instant::now() < until {
        let (_, attack) = ATTACKS[(random.below(6) + seed) as usize % ATTACKS.len()];
        attack(target, &mut random);
    }
}

#[test]
fn a_hostile_hour_ends_with_everybody_served() {
    let dir = tempfile::tempdir().expect("a place for files");
    let group = Group::new("hostile", GROUP_BYTES);
    let program = match &group {
        Some(group) => group.runner(dir.path()),
        None => {
            println!("no control group of memory may be made here: the server runs without");
            PathBuf::from(env!("CARGO_BIN_EXE_russet"))
        }
    };
    let limit = DATA_BYTES.to_string();
    let has_files = std::env::var_os("RUSSET_HOSTILE_FILES").is_some();
    let mut arguments = vec!["--maxmemory", &limit];
    if has_files {
        arguments.extend(["--appendonly", "yes", "--auto-aof-rewrite-percentage", "0"]);
    }
    let mut target = Target::start_by(&program, &arguments);
    let mut chief = target.process.client().expect("the server listens");
    let (all, longest_us) = (Duration::from_secs(seconds()), AtomicU64::new(0));
    let until = Instant::now() + all;
    let peak = std::thread::scope(|scope| {
        let (target, longest_us) = (&target, &longest_us);
        (0..6).for_each(|seed| drop(scope.spawn(move || attack(target, seed, until))));
        (0..2).for_each(|_| drop(scope.spawn(move || behave(target, until, longest_us))));
        if has_files {
            scope.spawn(move || save_in_turn(target, until));
        }
        let (mut peak, mut worst, mut turn) = (0, "", 0);
        while Instant::now() < until {
            let policy = POLICIES[turn % POLICIES.len()];
            assert_eq!(chief.cmd(&["CONFIG", "SET", "maxmemory-policy", policy]).to_string(), "OK");
            turn += 1;
            let end = (Instant::now() + all / 3 / POLICIES.len() as u32 * 2).min(until);
            while Instant::now() < end {
                let rss = target.rss();
                if rss > peak {
                    (peak, worst) = (rss, policy);
                }
                pause(5);
            }
        }
        println!("{peak} bytes resident at most, under {worst}");
        peak
    });
    let longest = Duration::from_micros(longest_us.load(Ordering::Relaxed));
    let evicted = target.info("evicted_keys:");
    println!(
        "{:?} in the group, longest wait {longest:?}, {evicted} evicted",
        group.as_ref().map(Group::most)
    );
    assert!(peak <= RSS_MAX, "{peak} bytes resident");
    // A slow machine may not get that far in a few seconds.
    assert!(evicted != "0" || !is_long());
    target.expect_well();
}

#[test]
fn a_group_bounds_the_data_where_nobody_else_does() {
    let dir = tempfile::tempdir().expect("a place for files");
    let Some(group) = Group::new("default", GROUP_BYTES) else {
        return println!("no control group of memory may be made here");
    };
    let mut target = Target::start_by(&group.runner(dir.path()), &[]);
    let share = (GROUP_BYTES / 4 * 3).to_string();
    assert_eq!(target.info("maxmemory:"), share);
    assert_eq!(target.info("total_system_memory:"), GROUP_BYTES.to_string());
    target.expect_well();
    let mut target = Target::start_by(&group.runner(dir.path()), &["--maxmemory", "10mb"]);
    assert_eq!(target.info("maxmemory:"), (10 << 20).to_string());
    target.expect_well();
}
