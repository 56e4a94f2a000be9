//! The real binary under all commands that write, killed, and cut off from power.
//!
//! How often is up to the environment: `RUSSET_KILLS`, `RUSSET_CUTS`, `RUSSET_LIN_KILLS`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use russet_dispatch::command::Flag;
use russet_rdb::payload::seal;
use russet_testkit::client::encode_into;
use russet_testkit::linear::{
    self, Counter, CounterOp, Operation, Register, RegisterOp, RegisterRet,
};
use russet_testkit::{Client, Process, Random, Reply, Setup};

use crate::durability::aof::{await_rewritten, digest, logged};
use crate::durability::snapshot::{run, times};

const RUSSET: &str = env!("CARGO_BIN_EXE_russet");

/// Commands that write and that Redis 7.0 knows, whose outcome follows from their words; `{}` is a number, `@` the client's own beginning
/// of names.
const WRITES: &[&str] = &[
    "SET @s{} v{}",
    "SET @e{} v{} PXAT 4000000000000",
    "SETNX @s{} w{}",
    "SETEX @e{} 100000 v",
    "GETSET @s{} x{}",
    "GETDEL @s{}",
    "GETEX @e{} PERSIST",
    "APPEND @a{} tail{}",
    "SETRANGE @a{} 5 xyz",
    "INCR @n{}",
    "INCRBY @n{} {}",
    "DECR @n{}",
    "INCRBYFLOAT @f{} 1.5",
    "MSET @s1 {} @s2 {} @s3 {}",
    "MSETNX @m{} 1 @m{}x 2",
    "SETBIT @b{} {} 1",
    "BITOP OR @bo @b1 @b2",
    "BITFIELD @bf{} INCRBY u8 {} 7",
    "PFADD @p{} a{} b{}",
    "PFMERGE @pm @p1 @p2",
    "RPUSH @l{} a b{} c",
    "LPUSH @l{} z{}",
    "LPUSHX @l{} y",
    "RPOP @l{}",
    "LPOP @l{} 2",
    "LSET @l1 0 set{}",
    "LINSERT @l{} BEFORE b1 in{}",
    "LREM @l{} 1 c",
    "LTRIM @l{} 0 30",
    "LMOVE @l{} @l{} LEFT RIGHT",
    "RPOPLPUSH @l1 @l2",
    "LMPOP 2 @l1 @l2 LEFT COUNT 2",
    "SADD @t{} a b{} {}",
    "SREM @t{} a",
    "SMOVE @t1 @t2 b",
    "SUNIONSTORE @tu @t1 @t2",
    "SINTERSTORE @ti @t1 @t2",
    "SDIFFSTORE @td @t1 @t2",
    "SPOP @t{}",
    "HSET @h{} f{} v{} g 1",
    "HSETNX @h{} n{} v",
    "HINCRBY @h{} g {}",
    "HINCRBYFLOAT @h{} q 0.25",
    "HDEL @h{} f{}",
    "ZADD @z{} {} a {} b{}",
    "ZADD @z{} GT CH 50 a",
    "ZINCRBY @z{} 1.5 a",
    "ZREM @z{} b{}",
    "ZPOPMIN @z{}",
    "ZREMRANGEBYSCORE @z{} 0 5",
    "ZUNIONSTORE @zu 2 @z1 @z2",
    "ZRANGESTORE @zr @z1 0 3",
    "GEOADD @g{} 13.{} 38.{} place{}",
    "XADD @x{} * f {}",
    "XADD @x{} MAXLEN 20 * f {}",
    "XTRIM @x{} MAXLEN 10",
    "XGROUP CREATE @x{} group{} 0 MKSTREAM",
    "XREADGROUP GROUP group1 c COUNT 1 STREAMS @x1 >",
    "XSETID @x{} 99999999999999-0",
    "DEL @s{} @l{}",
    "UNLINK @h{}",
    "EXPIRE @s{} 100000",
    "PEXPIREAT @l{} 4000000000000",
    "PERSIST @s{}",
    "RENAME @s1 @s9",
    "COPY @h1 @h2 REPLACE",
    "SORT @l1 ALPHA STORE @so",
];

/// All others, several behind one another where one alone would hit other clients; `$` stands before what has no plain words.
const OTHER_WRITES: &[&str] = &[
    "BLMOVE @l{} @l{} LEFT RIGHT 1",
    "BLMOVEM @l{} @l{} LEFT RIGHT 1 COUNT 2 BULK",
    "LMOVEM @l{} @l{} RIGHT LEFT COUNT 3 OBO",
    "BLMPOP 1 2 @l1 @l2 RIGHT",
    "BLPOP @l{} 1",
    "BRPOP @l{} 1",
    "BRPOPLPUSH @l1 @l2 1",
    "BZMPOP 1 1 @z{} MIN",
    "BZPOPMAX @z{} 1",
    "BZPOPMIN @z{} 1",
    "DECRBY @n{} 3",
    "DELEX @s{} IFEQ v{}",
    "DELIFEQ @s{} v{}",
    "EXPIREAT @s{} 4000000000",
    "SELECT 9;SET @x v;FLUSHDB;SET @y w;SELECT 0",
    "FUNCTION LOAD REPLACE $library",
    "FUNCTION DELETE lib{}",
    "FUNCTION RESTORE $libraries REPLACE",
    "GEORADIUS @g{} 13 38 900 km STORE @gs",
    "GEORADIUSBYMEMBER @g{} place1 900 km STOREDIST @gd",
    "GEOSEARCHSTORE @gt @g{} FROMLONLAT 13 38 BYRADIUS 900 km ASC",
    "HEXPIRE @h{} 100000 FIELDS 1 f{}",
    "HEXPIREAT @h{} 4000000000 FIELDS 1 f{}",
    "HPEXPIRE @h{} 100000000 FIELDS 1 f{}",
    "HPEXPIREAT @h{} 4000000000000 FIELDS 1 g",
    "HPERSIST @h{} FIELDS 2 f{} g",
    "HGETDEL @h{} FIELDS 1 f{}",
    "HGETEX @h{} PXAT 4000000000000 FIELDS 1 f{}",
    "HSETEX @h{} EX 100000 FIELDS 1 f{} v",
    "HIMPORT PREPARE set a b;HIMPORT SET @i{} set {} {}",
    "HMSET @h{} f{} v{}",
    "INCREX @n{} BYINT 2 UBOUND 100 EX 100000",
    "MOVE @s{} 8",
    "MSETEX 2 @e1 v{} @e2 w{} EX 100000",
    "PEXPIRE @s{} 100000000",
    "PFDEBUG TODENSE @p{}",
    "PSETEX @e{} 100000000 v",
    "RENAMENX @s{} @s{}x",
    "RESTORE @r{} 0 $dump REPLACE",
    "RESTORE-ASKING @r{} 100000 $dump REPLACE",
    "RPUSHX @l{} x",
    "SWAPDB 5 6",
    "SELECT 5;INCR @in;SELECT 0",
    "XACK @x1 group1 1-1 2-2",
    "XACKDEL @x1 group1 DELREF IDS 1 1-1",
    "XADD @x{} {}{}-{} f v;XDEL @x{} {}{}-{}",
    "XAUTOCLAIM @x1 group1 d 0 0 COUNT 2",
    "XCLAIM @x1 group1 d 0 5-5 FORCE",
    "XCFGSET @x{} IDMP-MAXSIZE 7",
    "XDELEX @x{} KEEPREF IDS 1 5-5",
    "XIDMPRECORD @x{} p i{} 99999999999998-0",
    "XNACK @x1 group1 FAIL IDS 1 5-5",
    "XGROUP CREATECONSUMER @x1 group1 c{}",
    "XGROUP DELCONSUMER @x1 group1 c{}",
    "XGROUP DESTROY @x{} group{}",
    "XGROUP SETID @x{} group{} $",
    "ZDIFFSTORE @zd 2 @z1 @z2",
    "ZINTERSTORE @zi 2 @z1 @z2",
    "ZMPOP 2 @z1 @z2 MAX COUNT 2",
    "ZPOPMAX @z{} 2",
    "ZREMRANGEBYLEX @z{} [a [b",
    "ZREMRANGEBYRANK @z{} 5 9",
];

/// The words of a command.
fn words(template: &str, own: &str, random: &mut Random) -> Vec<Vec<u8>> {
    const LIBRARY: &[u8] =
        b"#!lua name=lib1\nredis.register_function('f', function() return 1 end)";
    let fill = |word: &str| {
        let mut text = word.replace('@', own);
        while let Some(at) = text.find("{}") {
            text.replace_range(at..at + 2, &random.below(10).to_string());
        }
        match text.as_str() {
            "$library" => LIBRARY.to_vec(),
            "$libraries" => sealed(&[&[0xf5, LIBRARY.len() as u8], LIBRARY].concat()),
            "$dump" => sealed(b"\0\x05value"),
            _ => text.into_bytes(),
        }
    };
    template.split(' ').map(fill).collect()
}

/// What RESTORE takes.
fn sealed(contents: &[u8]) -> Vec<u8> {
    let mut payload = contents.to_vec();
    seal(&mut payload, 10);
    payload
}

#[test]
fn every_command_that_writes_is_among_those_under_load() {
    /// It would take away the numbers that other clients are judged by.
    const LEFT_OUT: &[&str] = &["flushall", "function|flush"];
    let templates = WRITES.iter().chain(OTHER_WRITES).flat_map(|template| template.split(';'));
    let mut names = BTreeSet::new();
    for words in templates.map(str::to_lowercase) {
        let mut words = words.split(' ');
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        names.extend([first.to_owned(), format!("{first}|{second}")]);
    }
    let missing = russet_server::table()
        .all()
        .filter(|row| row.has(Flag::Write) && row.subcommands.is_empty())
        .map(|row| row.full_name.as_str())
        .filter(|name| !names.contains(*name) && !LEFT_OUT.contains(name));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&str>::new());
}

/// Writes of all kinds that a seed makes.
pub(super) fn scribble(client: &mut Client, count: u64, seed: u64) {
    let mut random = Random::new(seed);
    for _ in 0..count {
        let template = *random.pick(WRITES);
        // Some have nothing to work on.
        client.cmd(&words(template, "d:", &mut random));
    }
}

/// What one client knows: how far it is, and when it was told.
#[derive(Debug, Default)]
struct Told {
    issued: AtomicU64,
    acked: AtomicU64,
    /// When each number was acknowledged.
    times: Mutex<Vec<(u64, Instant)>>,
}

/// Writes in transactions of all kinds of commands, each with a number before and behind, pipelined, until the server is gone or it is
/// over.
fn write(mut client: Client, nth: usize, told: &Told, is_over: &AtomicBool, seed: u64) {
    const PIPELINE: u64 = 4;
    let (own, mut random) = (format!("c{nth}:"), Random::new(seed));
    while !is_over.load(Ordering::Relaxed) {
        let first = told.issued.load(Ordering::Relaxed) + 1;
        let mut queued = [0; PIPELINE as usize];
        for (number, queued) in (first..first + PIPELINE).zip(&mut queued) {
            told.issued.store(number, Ordering::Relaxed);
            let number = number.to_string();
            let mut bytes = Vec::new();
            encode_into(&mut bytes, &["MULTI"]);
            encode_into(&mut bytes, &["SET", &format!("{own}before"), &number]);
            let picked = [random.pick(WRITES), random.pick(OTHER_WRITES), random.pick(WRITES)];
            let commands = picked.iter().flat_map(|template| template.split(';'));
            *queued = commands
                .map(|template| encode_into(&mut bytes, &words(template, &own, &mut random)))
                .count();
            encode_into(&mut bytes, &["SET", &format!("{own}behind"), &number]);
            encode_into(&mut bytes, &["EXEC"]);
            if client.send_raw(&bytes).is_err() {
                return;
            }
        }
        for (number, queued) in (first..first + PIPELINE).zip(queued) {
            for _ in 0..queued + 3 {
                let Ok(queued) = client.recv() else { return };
                assert!(!matches!(queued, Reply::Error(_)), "{queued}");
            }
            let Ok(Reply::Array(_)) = client.recv() else { return };
            told.acked.store(number, Ordering::Relaxed);
            told.times.lock().push((number, Instant::now()));
        }
    }
}

/// Has clients write until `meanwhile` is through.
fn load(server: &Process, told: &[Told], seed: u64, meanwhile: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (nth, told) in told.iter().enumerate() {
            let (client, is_over) = (server.client().expect("it serves"), &is_over);
            scope.spawn(move || write(client, nth, told, is_over, seed * 1000 + nth as u64));
        }
        meanwhile();
        is_over.store(true, Ordering::Relaxed);
    });
}

/// How far a client's writes are there, which is whole transactions and no more than were sent.
fn there(client: &mut Client, nth: usize, told: &Told) -> u64 {
    let mut number =
        |name: &str| run(client, &format!("GET c{nth}:{name}")).parse::<u64>().unwrap_or(0);
    let (before, behind) = (number("before"), number("behind"));
    assert_eq!(before, behind, "half a transaction of client {nth}");
    assert!(behind <= told.issued.load(Ordering::Relaxed), "client {nth} has not sent so many");
    // It goes on behind what is there.
    told.issued.store(behind, Ordering::Relaxed);
    behind
}

fn kill(id: u32, signal: &str) {
    let killed = Command::new("kill").args([signal, &id.to_string()]).status();
    assert!(killed.expect("it runs").success());
}

#[test]
fn dur_1_no_command_that_was_acknowledged_is_lost_by_a_kill() {
    const CLIENTS: usize = 16;
    let mut server = logged("always");
    for round in 0..times("RUSSET_KILLS", 6) {
        let told: Vec<Told> = (0..CLIENTS).map(|_| Told::default()).collect();
        let mut client = server.client().expect("no error");
        run(&mut client, "FLUSHALL");
        if round % 8 == 0 {
            // What is read at each start is not to become long.
            run(&mut client, "BGREWRITEAOF");
            await_rewritten(&mut client);
        }
        let (id, mut random) = (server.id(), Random::new(round));
        load(&server, &told, round, || {
            std::thread::sleep(Duration::from_millis(30 + random.below(200)));
            if round % 3 == 1 {
                run(&mut server.client().expect("no error"), "BGREWRITEAOF");
                std::thread::sleep(Duration::from_micros(random.below(40_000)));
            }
            kill(id, "-9");
        });
        server.restart().expect("no error");
        let mut client = server.client().expect("no error");
        for (nth, told) in told.iter().enumerate() {
            let acked = told.acked.load(Ordering::Relaxed);
            let there = there(&mut client, nth, told);
            assert!(there >= acked, "round {round}: {acked} were acknowledged, {there} are there");
        }
        if round % 4 == 3 {
            // What is read twice is the same, and so is a base of it.
            let before = digest(&mut client);
            run(&mut client, "DEBUG LOADAOF");
            assert_eq!(digest(&mut client), before, "round {round}");
        }
    }
}

/// A file system in a file, in memory, mounted: what a copy of that file has is what the disk has.
struct Image {
    directory: tempfile::TempDir,
    is_mounted: bool,
}

fn call(program: &str, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> std::io::Result<Output> {
    Command::new(program).args(arguments.iter().map(AsRef::as_ref)).output()
}

impl Image {
    /// `None` where nobody may mount.
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir_in("/dev/shm").ok()?;
        let mut image = Self { directory, is_mounted: false };
        std::fs::File::create(image.file("disk")).and_then(|file| file.set_len(96 << 20)).ok()?;
        std::fs::create_dir(image.place()).ok()?;
        let made = call("mkfs.ext4", &[&"-q", &"-F", &image.file("disk")]).ok()?;
        (made.status.success() && image.mount("disk")).then_some(image)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn place(&self) -> PathBuf {
        self.file("mounted")
    }

    fn mount(&mut self, name: &str) -> bool {
        let mounted = call("mount", &[&"-o", &"loop", &self.file(name), &self.place()]);
        self.is_mounted = mounted.is_ok_and(|output| output.status.success());
        self.is_mounted
    }

    fn unmount(&mut self) {
        if std::mem::take(&mut self.is_mounted) {
            // Whoever was killed may hold it for a moment.
            for _ in 0..200 {
                if call("umount", &[&self.place()]).is_ok_and(|output| output.status.success()) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// The power is gone: what is mounted from here on is what the disk had at this moment. The server stands still.
    fn cut(&self) {
        std::fs::copy(self.file("disk"), self.file("left")).expect("room in memory");
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.unmount();
    }
}

/// A server on an image, cut off from power under load. Answers how old the oldest write was that is lost.
fn power_cut(image: &mut Image, fsync: &str, seed: u64) -> Option<Duration> {
    let (place, mut random) = (image.place(), Random::new(seed));
    let place = place.to_str().expect("a plain name");
    let data = format!("{place}/data");
    std::fs::create_dir(&data).expect("a fresh disk");
    let arguments = ["--save", "", "--appendonly", "yes", "--appendfsync", fsync, "--dir", &data];
    let mut server = Setup::new(RUSSET).args(arguments).start().expect("it starts");
    let told: Vec<Told> = (0..8).map(|_| Told::default()).collect();
    let mut stopped = Instant::now();
    load(&server, &told, seed, || {
        std::thread::sleep(Duration::from_millis(800 + random.below(900)));
        if seed % 3 == 1 {
            run(&mut server.client().expect("no error"), "BGREWRITEAOF");
            std::thread::sleep(Duration::from_micros(random.below(60_000)));
        }
        kill(server.id(), "-STOP");
        stopped = Instant::now();
        image.cut();
        kill(server.id(), "-9");
    });
    server.kill().expect("no error");
    image.unmount();
    assert!(image.mount("left"), "what is left cannot be mounted");
    server.restart().unwrap_or_else(|error| panic!("cut {seed}, {fsync}: {error}"));
    let mut client = server.client().expect("no error");
    let mut oldest = None;
    for (nth, told) in told.iter().enumerate() {
        let there = there(&mut client, nth, told);
        let times = told.times.lock();
        let lost = times.iter().find(|(number, _)| *number > there);
        let age = lost.map(|(_, time)| stopped.saturating_duration_since(*time));
        assert!(fsync != "always" || age.is_none(), "cut {seed}: lost what was acknowledged");
        oldest = oldest.max(age);
    }
    assert!(told.iter().any(|told| !told.times.lock().is_empty()), "nothing was written");
    server.kill().expect("no error");
    oldest
}

#[expect(clippy::print_stderr, reason = "what is left out is said")]
fn power_cuts(fsync: &str, mut judge: impl FnMut(Option<Duration>)) {
    for seed in 0..times("RUSSET_CUTS", 1) {
        let Some(mut image) = Image::new() else {
            eprintln!("left out: no disk can be made in a file and mounted here");
            return;
        };
        judge(power_cut(&mut image, fsync, seed));
    }
}

#[test]
fn dur_2_nothing_acknowledged_is_lost_by_a_power_cut_under_always() {
    power_cuts("always", |lost| assert_eq!(lost, None));
}

#[test]
fn dur_4_a_power_cut_loses_a_second_at_most_under_everysec() {
    let mut oldest = Duration::ZERO;
    power_cuts("everysec", |lost| {
        oldest = oldest.max(lost.unwrap_or_default());
        assert!(oldest <= Duration::from_secs(1), "{oldest:?} were lost");
    });
    eprintln!("the oldest write that was lost was {} ms old", oldest.as_millis());
}

/// What a client asks and hears, until the server is gone.
struct Recorder<'s> {
    stamps: &'s AtomicU64,
    registers: Vec<(u64, Operation<RegisterOp, RegisterRet>)>,
    counters: Vec<(u64, Operation<CounterOp, i64>)>,
}

impl Recorder<'_> {
    fn stamp(&self) -> u64 {
        self.stamps.fetch_add(1, Ordering::SeqCst)
    }

    /// One operation; `false` if there is no answer any more.
    fn step(&mut self, client: &mut Client, id: u32, part: u64, random: &mut Random) -> bool {
        let (kind, key) = (random.below(5), random.below(2) + 2 * part);
        let invoked = self.stamp();
        let words = match kind {
            0 | 1 => vec!["SET".to_owned(), format!("r{key}"), invoked.to_string()],
            2 => vec!["GET".to_owned(), format!("r{key}")],
            3 => vec!["INCR".to_owned(), format!("n{key}")],
            _ => vec!["GET".to_owned(), format!("n{key}")],
        };
        let reply = client.try_cmd(&words).ok().filter(|reply| !matches!(reply, Reply::Error(_)));
        let returned = self.stamp();
        let number = reply.as_ref().map(|reply| reply.to_string().parse::<u64>().ok());
        if kind < 3 {
            let op = if kind < 2 { RegisterOp::Set(invoked) } else { RegisterOp::Get };
            let ret = |it| if kind < 2 { RegisterRet::Done } else { RegisterRet::Value(it) };
            self.registers.push((
                key,
                match number {
                    Some(number) => Operation::new(id, op, ret(number), invoked, returned),
                    None => Operation::unanswered(id, op, invoked),
                },
            ));
        } else {
            let op = if kind == 3 { CounterOp::Incr(1) } else { CounterOp::Get };
            self.counters.push((
                key,
                match number {
                    Some(it) => {
                        Operation::new(id, op, it.unwrap_or(0).cast_signed(), invoked, returned)
                    }
                    None => Operation::unanswered(id, op, invoked),
                },
            ));
        }
        number.is_some()
    }
}

#[test]
fn lin_2_keys_are_linearizable_across_kills() {
    const CLIENTS: u32 = 6;
    let mut server = logged("always");
    let stamps = AtomicU64::new(1);
    let (mut registers, mut counters) = (Vec::new(), Vec::new());
    for round in 0..times("RUSSET_LIN_KILLS", 4) {
        let id = server.id();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..CLIENTS)
                .map(|nth| {
                    let (mut client, stamps) = (server.client().expect("it serves"), &stamps);
                    scope.spawn(move || {
                        let mut recorder =
                            Recorder { stamps, registers: Vec::new(), counters: Vec::new() };
                        let mut random = Random::new(round * 100 + u64::from(nth));
                        let who = round as u32 * CLIENTS + nth;
                        // Two kills for each part.
                        while recorder.step(&mut client, who, round / 2, &mut random) {}
                        (recorder.registers, recorder.counters)
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(40 + 13 * (round % 7)));
            kill(id, "-9");
            for thread in threads {
                let (some, others) = thread.join().expect("no panic");
                registers.extend(some);
                counters.extend(others);
            }
        });
        server.restart().expect("no error");
    }
    let keys: BTreeSet<u64> = registers.iter().map(|(key, _)| *key).collect();
    for key in keys {
        let of = registers.iter().filter(|(it, _)| *it == key).map(|(_, it)| it.clone());
        linear::check::<Register>(&of.collect::<Vec<_>>()).expect_linearizable();
        let of = counters.iter().filter(|(it, _)| *it == key).map(|(_, it)| it.clone());
        linear::check::<Counter>(&of.collect::<Vec<_>>()).expect_linearizable();
    }
    assert!(registers.len() > 100, "{}", registers.len());
}
