//! What strangers may try, and what it may cost.
//!
//! Each test is named after the goal or the advisory that it stands for. The server runs in a process of its own, so that its memory,
//! its processor time and its descriptors can be counted; every test ends with [`Target::is_well`]: the process lives, a new client is
//! let in, an old one is answered.
//!
//! In CI the crowds are small and the bounds of time wide, for others use the machine too. `RUSSET_LONG_TESTS=1` makes both as the goals
//! say them, for a release build on an idle machine.

mod arguments;
mod data;
mod hostile;
mod replies;
mod samples;
mod soak;
mod waiting;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use russet_testkit::client::encode;
use russet_testkit::{Client, Process, Setup};

/// How long a server may take to do what it must.
const PATIENCE: Duration = Duration::from_secs(20);

/// What memory may differ by for reasons of its own: buffers of threads, the allocator's pages.
const NOISE_BYTES: u64 = 1 << 20;

/// Whether the goals are tested in full.
fn is_long() -> bool {
    std::env::var("RUSSET_LONG_TESTS").as_deref() == Ok("1")
}

/// So many in CI, so many in full.
fn few_or<T>(few: T, many: T) -> T {
    if is_long() { many } else { few }
}

/// A server that is attacked.
struct Target {
    process: Process,
    /// Connected before anything happened.
    witness: Client,
}

impl Target {
    fn start(arguments: &[&str]) -> Self {
        make_room();
        let setup = Setup::new(env!("CARGO_BIN_EXE_russet")).args(["--save", ""]).args(arguments);
        let process = setup.start().expect("the server starts");
        let mut witness = process.client().expect("the server listens");
        if arguments.contains(&"--requirepass") {
            assert_eq!(witness.cmd(&["AUTH", PASSWORD]).to_string(), "OK");
        }
        Self { process, witness }
    }

    fn with_password(arguments: &[&str]) -> Self {
        Self::start(&[&["--requirepass", PASSWORD], arguments].concat())
    }

    fn addr(&self) -> SocketAddr {
        self.process.addr()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr()).expect("the server listens");
        stream.set_nodelay(true).expect("a socket that was just made");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time that is not zero");
        stream
    }

    /// So many connections, each of which has sent `bytes`, and all of which the server has taken in.
    fn crowd(&mut self, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
        let crowd: Vec<_> = (0..count).map(|_| self.connect_and_send(bytes)).collect();
        let until = Instant::now() + PATIENCE;
        while self.clients() < count + 1 {
            assert!(Instant::now() < until, "not all of {count} were let in");
            pause(5);
        }
        // What has been sent is seen when it is seen: no reply tells.
        pause(100);
        crowd
    }

    fn connect_and_send(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("a fresh socket takes a little");
        stream
    }

    fn clients(&mut self) -> usize {
        self.info("connected_clients:").parse().expect("a number")
    }

    /// What INFO says behind this field's name and colon.
    fn info(&mut self, field: &str) -> String {
        field_of(&self.witness.cmd(&["INFO", "everything"]).to_string(), field)
    }

    fn rss(&self) -> u64 {
        self.process.rss_bytes().expect("the server runs")
    }

    /// How much more is resident than `before`, when it is no more than `allowed` or does not fall to it.
    /// Where buffers have just grown, the smaller ones before them are still on their way back to the system.
    fn growth_that_stays(&self, before: u64, allowed: u64) -> u64 {
        let until = Instant::now() + Duration::from_secs(5);
        loop {
            let grown = self.rss().saturating_sub(before);
            if grown <= allowed || Instant::now() >= until {
                return grown;
            }
            pause(50);
        }
    }

    /// Processor time that the server has used.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))
            .expect("the server runs");
        let (_, rest) = stat.rsplit_once(')').expect("a name in parentheses");
        let ticks: u64 = rest
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|word| word.parse::<u64>().expect("ticks"))
            .sum();
        Duration::from_millis(ticks * 10)
    }

    /// The share of one core that the server uses during `work`.
    fn load(&self, work: impl FnOnce()) -> f64 {
        let (cpu, began) = (self.cpu(), Instant::now());
        work();
        self.cpu().saturating_sub(cpu).as_secs_f64() / began.elapsed().as_secs_f64()
    }

    /// How long the slowest of a hundred PINGs of another client takes during `work`.
    fn slow_reply(&self, work: impl FnOnce()) -> Duration {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let prober = scope.spawn(|| self.probe(&stop));
            work();
            stop.store(true, Ordering::Relaxed);
            prober.join().expect("every PING is answered")
        })
    }

    fn probe(&self, stop: &AtomicBool) -> Duration {
        let mut client = self.process.client().expect("the server listens");
        let mut times = Vec::new();
        while !stop.load(Ordering::Relaxed) || times.len() < 100 {
            let began = Instant::now();
            client.cmd(&["PING"]);
            times.push(began.elapsed());
            pause(1);
        }
        times.sort_unstable();
        times[times.len() * 99 / 100]
    }

    /// The process lives, old clients are answered, new ones let in, and nothing panicked.
    #[track_caller]
    fn expect_well(mut self) {
        assert!(self.process.is_running());
        assert_eq!(self.witness.cmd(&["ECHO", "well"]).to_string(), "well");
        let mut fresh = self.process.client().expect("the server listens");
        assert!(!fresh.cmd(&["PING"]).to_string().is_empty());
        let log = format!("{}{}", self.process.stdout(), self.process.stderr());
        assert!(!log.contains("panicked"), "{log}");
    }
}

const PASSWORD: &str = "correct horse battery staple";

/// Lets this process have as many sockets as the server: starting one in this process raises the limit.
fn make_room() {
    drop(crate::server());
}

#[expect(clippy::disallowed_methods, reason = "a test's own thread waits for another process")]
fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

/// The value of a field, its colon included, in what INFO has answered.
fn field_of(info: &str, field: &str) -> String {
    let at = info.find(field).unwrap_or_else(|| panic!("{field} in {info}"));
    let value = &info[at + field.len()..];
    value.split(|c: char| c.is_whitespace() || c == '\\').next().unwrap_or_default().to_owned()
}

/// Everything until the other side closes; what a reset cuts off is the end, too.
fn rest_of(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("not closed: {error}"),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let seen = stream.peek(&mut [0]);
    stream.set_nonblocking(false).expect("a socket");
    matches!(seen, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Checks what `count` connections that have sent `bytes` cost each.
#[track_caller]
fn check_cost(target: &mut Target, count: usize, bytes: &[u8], bytes_max: u64) -> Vec<TcpStream> {
    // The first of them warm the allocator.
    let warm = target.crowd(count / 10, bytes);
    let before = target.rss();
    let crowd = target.crowd(count, bytes);
    let each = target.rss().saturating_sub(before) / count as u64;
    println!("{count} connections, {} bytes sent each: {each} bytes of memory each", bytes.len());
    assert!(each <= bytes_max, "{each} bytes for each connection, {bytes_max} allowed");
    drop(warm);
    crowd
}

#[test]
fn sec_01_a_stranger_costs_little_and_may_ask_for_little() {
    let mut target = Target::with_password(&[]);
    let mut crowd = check_cost(&mut target, 2000, b"*10\r\n$16384\r\n", 2048);
    for (header, text) in [
        ("*11\r\n", "unauthenticated multibulk length"),
        ("*1\r\n$16385\r\n", "unauthenticated bulk length"),
    ] {
        let mut stream = target.connect_and_send(header.as_bytes());
        assert_eq!(rest_of(&mut stream), format!("-ERR Protocol error: {text}\r\n"));
    }
    // An announcement may still be kept.
    let stream = crowd.first_mut().expect("a crowd");
    let rest = format!("{}\r\n{}", "x".repeat(16_384), "$1\r\nx\r\n".repeat(9));
    stream.write_all(rest.as_bytes()).unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"-ERR ", "the command is judged before the client, as in Redis");
    assert!(crowd.iter().skip(1).all(is_open));
    target.expect_well();
}

#[test]
fn sec_02_replies_to_a_stranger_do_not_pile_up() {
    let target = Target::with_password(&[]);
    // What the first takes of memory stays for the next: buffers of the thread, pages of the allocator.
    flood_until_cut(&target);
    let before = target.rss();
    let sent = flood_until_cut(&target);
    let grown = target.growth_that_stays(before, NOISE_BYTES);
    assert!(grown <= NOISE_BYTES, "grown by {grown} bytes, {sent} were sent");
    target.expect_well();
}

/// Sends what is answered, reads nothing, and says how many bytes that took until the connection was cut.
fn flood_until_cut(target: &Target) -> usize {
    let mut stream = target.connect();
    let pings = b"PING\r\n".repeat(10_000);
    let mut sent = 0;
    let ended = loop {
        match stream.write(&pings) {
            Ok(count) => sent += count,
            Err(error) => break error,
        }
        assert!(sent < 60_000_000, "still open after {sent} bytes whose replies nobody reads");
    };
    assert!(
        matches!(ended.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe),
        "{ended}"
    );
    sent
}

#[test]
fn sec_04_connections_that_come_and_go_hold_nobody_up() {
    let mut target = Target::start(&[]);
    let count = few_or(2_000, 10_000);
    let quiet = target.slow_reply(|| pause(300));
    let storm = target.slow_reply(|| {
        for nth in 0..count {
            let stream = socket2::Socket::from(target.connect());
            if nth % 2 == 0 {
                stream.set_linger(Some(Duration::ZERO)).expect("a socket");
            }
        }
    });
    println!("99 of 100 PINGs within {quiet:?} when quiet, {storm:?} in the storm");
    let bound = few_or(Duration::from_millis(100), Duration::from_millis(5)).max(quiet * 10);
    assert!(storm <= bound, "{storm:?}, when quiet {quiet:?}");
    let until = Instant::now() + PATIENCE;
    while target.clients() > 1 {
        assert!(Instant::now() < until, "{} clients are still counted", target.clients());
        pause(10);
    }
    target.expect_well();
}

/// Lowers the limit of a running server; false where nobody can.
fn limit_files(target: &Target, limit: usize) -> bool {
    let id = target.process.id().to_string();
    let set =
        Command::new("prlimit").args(["--pid", &id, &format!("--nofile={limit}:{limit}")]).status();
    let is_set = set.is_ok_and(|status| status.success());
    if !is_set {
        println!("left out: prlimit is not installed, or may not limit the server");
    }
    is_set
}

#[test]
fn sec_04_res_13_out_of_descriptors_accepting_rests_and_recovers() {
    let target = Target::start(&[]);
    let mut old = target.connect_and_send(b"");
    if !limit_files(&target, 64) {
        return target.expect_well();
    }
    let crowd: Vec<_> = (0..200).map(|_| target.connect()).collect();
    let began = Instant::now();
    let mut slow = Duration::ZERO;
    let load = target.load(|| slow = slow_reply_to(&mut old, few_or(1200, 5000)));
    let lines = target.process.stdout().matches("accepting rests").count();
    println!(
        "out of descriptors: {load:.3} of a core, {lines} lines, 99 of 100 PINGs within {slow:?}"
    );
    assert!(load < 0.3, "{load} of a core while nothing can be accepted");
    assert!(lines >= 1);
    assert!(
        lines as u64 <= began.elapsed().as_secs() + 2,
        "{lines} lines in {:?}",
        began.elapsed()
    );
    drop(crowd);
    let mut late = Client::connect(target.addr()).unwrap();
    assert_eq!(late.cmd(&["PING"]).to_string(), "PONG");
    target.expect_well();
}

/// How long the slowest of a hundred PINGs of a client takes that is connected already.
fn slow_reply_to(client: &mut TcpStream, milliseconds: u64) -> Duration {
    let until = Instant::now() + Duration::from_millis(milliseconds);
    let mut times = Vec::new();
    while Instant::now() < until {
        let began = Instant::now();
        client.write_all(b"PING\r\n").expect("an open connection");
        client.read_exact(&mut [0; 7]).expect("an answer");
        times.push(began.elapsed());
        pause(1);
    }
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

#[test]
fn sec_05_empty_requests_leave_no_state_before_authentication() {
    let target = Target::with_password(&[]);
    let noauth = "-NOAUTH Authentication required.\r\n";
    let pieces = [
        ("\r\n", ""),
        ("*0\r\n", ""),
        ("*-1\r\n", ""),
        ("GET k\r\n", noauth),
        ("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", noauth),
    ];
    let mut cases = Vec::new();
    for (first, one) in pieces {
        for (second, two) in pieces {
            let bytes = format!("{first}{second}");
            cases.extend((0..=bytes.len()).map(|cut| (bytes.clone(), cut, format!("{one}{two}"))));
        }
    }
    let mut streams: Vec<_> = cases
        .iter()
        .map(|(bytes, cut, _)| target.connect_and_send(&bytes.as_bytes()[..*cut]))
        .collect();
    pause(50);
    for (stream, (bytes, cut, answer)) in streams.iter_mut().zip(&cases) {
        stream.write_all(&bytes.as_bytes()[*cut..]).unwrap();
        stream.write_all(b"QUIT\r\n").unwrap();
        assert_eq!(
            rest_of(stream),
            format!("{answer}+OK\r\n"),
            "{} cut at {cut}",
            bytes.escape_debug()
        );
    }
    target.expect_well();
}

#[test]
fn sec_06_a_miscount_is_never_taken_for_the_next_request() {
    let mut target = Target::start(&[]);
    for request in [
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\nGETxx",
        "*2\r\n$3\r\nDEL\r\n$1\r\nkey\r\n*1\r\n$8\r\nFLUSHALL\r\n",
    ] {
        target.witness.cmd(&["SET", "k", "v"]);
        for cut in 0..request.len() {
            let mut stream = target.connect_and_send(&request.as_bytes()[..cut]);
            stream.write_all(&request.as_bytes()[cut..]).unwrap();
            assert_eq!(
                rest_of(&mut stream),
                "-ERR Protocol error: invalid CRLF in request\r\n",
                "cut at {cut}"
            );
        }
        assert_eq!(target.witness.cmd(&["GET", "k"]).to_string(), "v");
    }
    target.expect_well();
}

/// Sends a few commands and takes their replies.
fn use_once(stream: &mut TcpStream) {
    stream.write_all(b"PING\r\n*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n").expect("it is taken");
    stream.read_exact(&mut [0; 18]).expect("replies");
}

#[test]
fn res_1_an_idle_connection_costs_two_kilobytes() {
    let mut target = Target::start(&[]);
    let count = few_or(1_500, 9_000);
    let mut first = target.connect();
    // Code that has not run yet is not in memory either: pages of the program are no cost of a connection.
    use_once(&mut first);
    let before = target.rss();
    let mut crowd = check_cost(&mut target, count, b"", 2048);
    // After use, what it was used with is given back.
    crowd.iter_mut().for_each(use_once);
    let each = target.rss().saturating_sub(before) / count as u64;
    println!("{count} connections after use: {each} bytes of memory each");
    assert!(each <= 3072, "{each} bytes for each connection that has been used");
    drop(crowd);
    target.expect_well();
}

#[test]
fn res_2_a_stranger_with_half_a_request_costs_little_and_not_for_long() {
    let mut target = Target::with_password(&["--unauthenticated-timeout", "2"]);
    let mut crowd = check_cost(&mut target, 1_000, b"*2\r\n$4\r\nAUTH\r\n$100\r\nabc", 2048);
    let began = Instant::now();
    assert!(crowd.iter_mut().all(|stream| rest_of(stream).is_empty()));
    assert!(began.elapsed() < Duration::from_secs(6), "closed after {:?}", began.elapsed());
    assert_eq!(target.clients(), 1);
    target.expect_well();
}

#[test]
fn res_2_whoever_goes_back_to_being_a_stranger_has_the_same_time() {
    let target = Target::with_password(&["--unauthenticated-timeout", "2"]);
    let mut client = target.process.client().unwrap();
    client.cmd(&["AUTH", PASSWORD]);
    pause(2500);
    assert_eq!(client.cmd(&["RESET"]).to_string(), "RESET");
    pause(1100);
    assert_eq!(client.cmd(&["AUTH", PASSWORD]).to_string(), "OK");
    target.expect_well();
}

#[test]
fn res_3_announced_lengths_take_no_memory() {
    let mut target =
        Target::start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-random"]);
    target.witness.cmd(&["SET", "k", "v"]);
    let before = target.rss();
    let request = ["*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n", &"x".repeat(100)].concat();
    let crowd = target.crowd(100, request.as_bytes());
    let grown = target.rss().saturating_sub(before);
    assert!(grown <= 10 << 20, "grown by {grown} bytes");
    drop(crowd);
    assert_eq!(target.witness.cmd(&["GET", "k"]).to_string(), "v");
    target.expect_well();
}

#[test]
fn res_4_half_a_request_costs_what_has_arrived() {
    let many_tiny = [b"*2000000\r\n".to_vec(), b"$0\r\n\r\n".repeat(200_000)].concat();
    let one_large =
        [b"*2\r\n$4\r\nECHO\r\n$100000000\r\n".to_vec(), vec![b'x'; 1_100_000]].concat();
    for bytes in [many_tiny, one_large] {
        let mut target = Target::start(&[]);
        let before = target.rss();
        let crowd = target.crowd(10, &bytes);
        let allowed = 10 * (2 * bytes.len() as u64 + 65_536) + NOISE_BYTES;
        let grown = target.growth_that_stays(before, allowed);
        println!("10 times {} bytes received: {grown} bytes of memory", bytes.len());
        assert!(grown <= allowed, "grown by {grown} bytes, {allowed} allowed");
        drop(crowd);
        target.expect_well();
    }
}

#[test]
fn res_8_slow_senders_cost_little() {
    let mut target = Target::start(&[]);
    let (count, seconds) = few_or((500, 2), (5_000, 5));
    let mut crowd = target.crowd(count, b"*2\r\n$4\r\nECHO\r\n$100\r\n");
    let quiet = target.slow_reply(|| pause(300));
    let mut slow = Duration::ZERO;
    let load = target.load(|| slow = target.slow_reply(|| trickle(&mut crowd, seconds)));
    println!(
        "{count} slow senders: {load:.3} of a core, 99 of 100 PINGs within {slow:?}, {quiet:?} without"
    );
    assert!(load <= few_or(0.50, 0.10 + 0.05), "{load} of a core");
    assert!(
        slow <= few_or(Duration::from_secs(1), Duration::from_millis(3)).max(quiet * 2),
        "{slow:?}, without {quiet:?}"
    );
    target.expect_well();
}

/// Every connection sends one byte each second, in the order of the crowd.
fn trickle(crowd: &mut [TcpStream], seconds: u32) {
    let each = Duration::from_secs(1) / crowd.len() as u32;
    let began = Instant::now();
    for nth in 0..crowd.len() as u32 * seconds {
        let index = nth as usize % crowd.len();
        crowd[index].write_all(b"x").expect("an open connection");
        if began.elapsed() < each * nth {
            pause(1);
        }
    }
}

#[test]
fn res_8_half_a_request_is_not_waited_for_for_ever() {
    let target = Target::start(&["--partial-command-timeout", "2"]);
    let mut slow = target.connect_and_send(b"*2\r\n$4\r\nECHO\r\n$1000000\r\n");
    let mut steady = target.connect_and_send(b"*2\r\n$4\r\nECHO\r\n$1000000\r\n");
    let began = Instant::now();
    while is_open(&slow) {
        assert!(began.elapsed() < Duration::from_secs(8), "one byte at a time is still waited for");
        // Sending may fail when the other side has just closed.
        drop(slow.write(b"x"));
        steady.write_all(&[b'x'; 1_000]).unwrap();
        pause(100);
    }
    assert!(began.elapsed() > Duration::from_secs(1));
    steady.write_all(&[b'x'; 1_000]).unwrap();
    assert!(is_open(&steady), "an upload that goes on is waited for");
    target.expect_well();
}

#[test]
fn res_5_a_queue_of_commands_does_not_outgrow_the_limit() {
    let mut target = Target::start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    assert_eq!(target.witness.cmd(&["SET", "k", "v"]).to_string(), "OK");
    let mut stream = target.connect_and_send(&encode(&["MULTI"]));
    let set = encode(&[b"SET", &b"big"[..], &vec![b'v'; 1 << 20]]);
    let mut rss = 0;
    for _ in 0..200 {
        // Sooner or later it is cut off.
        if stream.write_all(&set).is_err() {
            break;
        }
        rss = rss.max(target.rss());
    }
    assert!(rss < 125 << 20, "{rss} resident bytes");
    assert_eq!(target.witness.cmd(&["GET", "k"]).to_string(), "v", "no key had to go for it");
    target.expect_well();
}

#[test]
fn res_5_what_would_go_far_beyond_the_limit_is_refused_and_adds_nothing() {
    let mut target = Target::start(&["--maxmemory", "50mb"]);
    let huge = vec![b'v'; 60 << 20];
    let oom = "-OOM command not allowed when used memory > 'maxmemory'.";
    for words in [
        &[&b"SET"[..], b"k", &huge][..],
        &[b"APPEND", b"k", &huge],
        &[b"SETRANGE", b"k", b"60000000", b"x"],
        &[b"SETBIT", b"k", b"500000000", b"1"],
        &[b"BITFIELD", b"k", b"SET", b"u8", b"500000000", b"1"],
    ] {
        assert_eq!(target.witness.cmd(words).to_string(), oom);
        assert_eq!(target.witness.cmd(&["EXISTS", "k"]).to_string(), "0");
    }
    assert_eq!(target.witness.cmd(&["SETRANGE", "k", "30000000", "x"]).to_string(), "30000001");
    assert_eq!(target.witness.cmd(&["COPY", "k", "l"]).to_string(), oom);
    assert_eq!(target.witness.cmd(&["BITOP", "NOT", "l", "k"]).to_string(), oom);
    target.witness.cmd(&["MULTI"]);
    target.witness.cmd(&["SETRANGE", "l", "30000000", "x"]);
    target.witness.cmd(&["SET", "small", "x"]);
    assert_eq!(target.witness.cmd(&["EXEC"]).to_string(), format!("[{oom}, OK]"));
    assert_eq!(target.witness.cmd(&["SET", "small", "y"]).to_string(), "OK");
    target.expect_well();
}

#[test]
fn res_5_many_that_add_much_at_once_stay_within_the_limit_together() {
    let mut target = Target::start(&["--maxmemory", "60mb", "--maxmemory-policy", "allkeys-lfu"]);
    target.witness.cmd(&["DEBUG", "POPULATE", "400000", "small", "100"]);
    let until = Instant::now() + Duration::from_secs(few_or(3, 30));
    let mut chief = target.process.client().unwrap();
    let (data, resident) = std::thread::scope(|scope| {
        for nth in 0..6 {
            let target = &target;
            scope.spawn(move || {
                let mut client = target.process.client().unwrap();
                let value = vec![b'v'; 4 << 20];
                for round in 0.. {
                    let key = format!("{nth}:{}", round % 3);
                    let reply = client.cmd(&[b"SET".as_slice(), key.as_bytes(), &value]);
                    assert_eq!(reply.to_string(), "OK");
                    if Instant::now() > until {
                        return;
                    }
                }
            });
        }
        let mut worst = (0, 0);
        while Instant::now() < until {
            let info = chief.cmd(&["INFO", "memory"]).to_string();
            let bytes = |field| field_of(&info, field).parse::<u64>().expect("a number");
            let data = bytes("used_memory:").saturating_sub(bytes("mem_not_counted_for_evict:"));
            worst = (worst.0.max(data), worst.1.max(target.rss()));
            pause(2);
        }
        worst
    });
    println!("{data} bytes of data, {resident} resident at most");
    assert!(data < 62 << 20, "{data} bytes of data");
    // The buffers of six clients and what the allocator has not given back come on top.
    assert!(resident < (60 + 64 + 32) << 20, "{resident} bytes resident");
    assert_ne!(target.info("evicted_keys:"), "0");
    target.expect_well();
}

#[test]
fn res_6_who_does_not_read_is_cut_at_the_limit() {
    let mut target = Target::start(&["--client-output-buffer-limit", "normal 8mb 0 0"]);
    target.witness.cmd(&[b"SET", &b"big"[..], &vec![b'v'; 1 << 20]]);
    target.witness.cmd(&["CONFIG", "RESETSTAT"]);
    let mut stream = target.connect();
    stream.write_all(&encode(&["GET", "big"]).repeat(100)).unwrap();
    let until = Instant::now() + PATIENCE;
    while target.info("client_output_buffer_limit_disconnections:") == "0" {
        assert!(Instant::now() < until, "100 MB of replies wait for a client that reads none");
        pause(10);
    }
    assert!(rest_of(&mut stream).len() < 100 << 20);
    assert_eq!(target.process.stdout().matches("does not read its replies").count(), 1);
    target.expect_well();
}

#[test]
fn res_6_who_reads_too_slowly_is_cut_after_a_while() {
    let mut target = Target::start(&["--client-output-buffer-limit", "normal 0 1mb 1"]);
    target.witness.cmd(&[b"SET", &b"big"[..], &vec![b'v'; 1 << 20]]);
    let mut stream = target.connect();
    stream.write_all(&encode(&["GET", "big"]).repeat(20)).unwrap();
    pause(500);
    assert_eq!(target.clients(), 2);
    let until = Instant::now() + PATIENCE;
    while target.clients() > 1 {
        assert!(Instant::now() < until, "replies above the soft limit wait for ever");
        pause(50);
    }
    target.expect_well();
}

#[test]
fn res_6_replies_that_were_taken_take_no_memory() {
    let mut target = Target::start(&[]);
    target.witness.cmd(&[b"SET", &b"k"[..], &[b'v'; 200]]);
    let before = target.rss();
    let mut stream = target.connect();
    let block = encode(&["GET", "k"]).repeat(2_000);
    let reply = 2_000 * (200 + "$200\r\n\r\n".len());
    // Twenty blocks are always on their way: nothing ever empties the buffer, and all the same it must not grow.
    let mut buffer = vec![0; reply];
    for nth in 0..few_or(300, 2_000) {
        stream.write_all(&block).unwrap();
        if nth >= 20 {
            stream.read_exact(&mut buffer).unwrap();
        }
    }
    let grown = target.rss().saturating_sub(before);
    let allowed = 20 * 2 * reply as u64 + NOISE_BYTES;
    assert!(grown <= allowed, "grown by {grown} bytes, {allowed} allowed");
    target.expect_well();
}

#[test]
fn res_6_a_server_that_has_just_started_knows_what_clients_may_take() {
    let server = crate::server();
    let (state, system) = (server.state(), &server.state().gauges.system_memory);
    assert_eq!(state.burden.max(), (system.load(Ordering::Relaxed) / 10).max(64 << 20));
}

/// Waits until so many clients were cut for what they took.
fn await_cut(target: &mut Target, least: usize) {
    let until = Instant::now() + PATIENCE;
    while target.info("evicted_clients:").parse::<usize>().expect("a number") < least {
        assert!(Instant::now() < until, "nobody was cut");
        pause(5);
    }
}

#[test]
fn res_6_all_clients_together_may_take_so_much_and_the_greatest_are_cut() {
    let mut target = Target::start(&["--maxmemory-clients", "20mb"]);
    target.witness.cmd(&[b"SET", &b"big"[..], &vec![b'v'; 1 << 20]]);
    // Each kind of buffer: half a request, a queue of MULTI, replies that nobody takes.
    let half = [b"*2\r\n$4\r\nECHO\r\n$9000000\r\n".to_vec(), vec![b'x'; 8_000_000]].concat();
    let mut small = target.connect_and_send(&half[..1_200_000]);
    let mut great = target.connect_and_send(&half);
    let mut queueing = target.connect();
    queueing.write_all(&encode(&["MULTI"])).unwrap();
    for _ in 0..20 {
        // It may be cut while it still sends.
        drop(queueing.write_all(&encode(&[b"SET", &b"k"[..], &vec![b'q'; 1 << 20]])));
    }
    await_cut(&mut target, 1);
    assert!(target.clients() >= 3, "only as many as it takes");
    let mut lazy = target.connect();
    drop(lazy.write_all(&encode(&["GET", "big"]).repeat(40)));
    await_cut(&mut target, 2);
    assert!(is_open(&small), "who takes little stays");
    let before = target.info("evicted_clients:");
    assert_eq!(target.witness.cmd(&["CLIENT", "NO-EVICT", "ON"]).to_string(), "OK");
    assert_eq!(
        target.witness.cmd(&["CONFIG", "SET", "maxmemory-clients", "1mb"]).to_string(),
        "OK"
    );
    await_cut(&mut target, before.parse::<usize>().unwrap() + 1);
    rest_of(&mut small);
    drop(rest_of(&mut great));
    target.expect_well();
}

#[test]
fn res_6_what_clients_keep_beside_their_buffers_counts_at_once() {
    let mut target = Target::start(&["--maxmemory-clients", "200kb"]);
    let kinds: [fn(usize) -> Vec<String>; 5] = [
        |nth| vec!["WATCH".into(), nth.to_string()],
        |nth| vec!["SUBSCRIBE".into(), nth.to_string()],
        |nth| vec![if nth == 0 { "MULTI" } else { "PING" }.into()],
        |nth| ["HIMPORT", "PREPARE", &nth.to_string(), "field"].map(str::to_owned).to_vec(),
        |nth| {
            let prefix = format!("{nth:09}");
            ["CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", &prefix].map(str::to_owned).to_vec()
        },
    ];
    for (cut, command) in kinds.iter().enumerate() {
        let mut client = Client::connect(target.addr()).expect("the server listens");
        let taken = (0..20_000).take_while(|nth| client.try_cmd(&command(*nth)).is_ok()).count();
        assert!((500..10_000).contains(&taken), "{taken} of {:?}", command(1));
        await_cut(&mut target, cut + 1);
    }
    // A value as large as all that clients may take is never taken, in whatever pieces it comes.
    let request = encode(&["SET", "k", &"v".repeat(200 << 10)]);
    for nth in 0..10 {
        let mut stream = target.connect();
        for piece in request.chunks(10_000 + 7_000 * nth) {
            // It may be cut while it still sends.
            drop(stream.write_all(piece));
        }
        assert_eq!(rest_of(&mut stream), "");
        await_cut(&mut target, kinds.len() + nth + 1);
    }
    target.expect_well();
}

#[test]
fn res_6_who_is_cut_for_what_it_takes_stands_in_the_log() {
    let mut target = Target::start(&["--maxmemory-clients", "1mb"]);
    let name = encode(&["CLIENT", "SETNAME", "secret"]);
    let half = [name, b"*2\r\n$4\r\nECHO\r\n$9000000\r\n".to_vec(), vec![b'x'; 1 << 21]].concat();
    for (hides, cut) in [("yes", 1), ("no", 2)] {
        target.witness.cmd(&["CONFIG", "SET", "hide-user-data-from-log", hides]);
        let mut stream = target.connect();
        // It may be cut while it still sends.
        drop(stream.write_all(&half));
        await_cut(&mut target, cut);
        rest_of(&mut stream);
    }
    let log = target.process.stdout();
    let lines: Vec<_> =
        log.lines().filter(|line| line.contains("* Evicting client: id=")).collect();
    let [hidden, shown] = lines[..] else { panic!("one line for each: {log}") };
    assert!(
        hidden.contains(" name=*redacted* ") && hidden.contains(" user=*redacted* "),
        "{hidden}"
    );
    assert!(shown.contains(" name=secret ") && shown.contains(" user=default "), "{shown}");
    assert!(shown.contains(" tot-mem="), "{shown}");
    target.expect_well();
}

#[test]
fn res_6_buffers_of_clients_do_not_fill_the_memory_of_the_data() {
    let mut target = Target::start(&["--maxmemory", "60mb", "--maxmemory-clients", "100mb"]);
    let half = [b"*2\r\n$4\r\nECHO\r\n$90000000\r\n".to_vec(), vec![b'x'; 70_000_000]].concat();
    let mut stream = target.connect();
    stream.write_all(&half).unwrap();
    pause(500);
    assert_eq!(target.witness.cmd(&["SET", "k", "v"]).to_string(), "OK");
    assert_eq!(target.witness.cmd(&["CONFIG", "SET", "maxmemory-clients", "0"]).to_string(), "OK");
    let until = Instant::now() + PATIENCE;
    while !target.witness.cmd(&["SET", "k", "v"]).to_string().starts_with("-OOM") {
        assert!(Instant::now() < until, "without a bound of their own they count as in Redis");
        pause(20);
    }
    target.expect_well();
}

#[test]
fn res_7_who_does_not_read_invalidations_is_cut() {
    let mut target = Target::start(&["--client-output-buffer-limit", "normal 2mb 0 0"]);
    let mut stream = target.connect();
    stream.write_all(&encode(&["HELLO", "3"])).unwrap();
    stream.write_all(&encode(&["CLIENT", "TRACKING", "ON", "BCAST"])).unwrap();
    pause(100);
    let key = vec![b'k'; 100_000];
    let until = Instant::now() + PATIENCE;
    while target.clients() > 1 {
        assert!(Instant::now() < until, "invalidations wait for ever");
        for _ in 0..100 {
            target.witness.cmd(&[&b"SET"[..], &key, b"v"]);
        }
    }
    target.expect_well();
}

#[test]
fn res_7_the_table_of_what_was_read_is_bounded() {
    let mut target = Target::start(&["--tracking-table-max-keys", "1000"]);
    let mut reader = target.process.client().expect("the server listens");
    reader.cmd(&["CLIENT", "TRACKING", "ON"]);
    let mut read = |keys: std::ops::Range<u64>| {
        for n in keys {
            reader.send(&["GET".to_owned(), format!("key:{n}")]).expect("sent");
            if n % 100 == 99 {
                (0..100).for_each(|_| drop(reader.recv().expect("a reply")));
            }
        }
    };
    // The table is full.
    read(0..2_000);
    let before = target.rss();
    read(2_000..few_or(30_000, 1_000_000));
    // The table is brought down by a timer; what it had taken meanwhile goes within the allocator's second.
    pause(1_500);
    let keys: u64 = target.info("tracking_total_keys:").parse().expect("a number");
    assert!(keys <= 1_000, "{keys} keys");
    let grown = target.growth_that_stays(before, 4 * NOISE_BYTES);
    assert!(grown <= 4 * NOISE_BYTES, "grown by {grown} bytes");
    target.expect_well();
}

/// One client of some kind, which does what it can to be cut.
fn churn(addr: SocketAddr, nth: usize) -> io::Result<()> {
    let mut client = Client::connect(addr)?;
    client.set_timeout(Duration::from_millis(200))?;
    let value = vec![b'v'; 20_000 + nth % 7 * 30_000];
    match nth % 8 {
        0 => client.send(&[b"SET", &b"k"[..], &value])?,
        1 => client.send_raw(&[b"*2\r\n$4\r\nECHO\r\n$900000\r\n".to_vec(), value].concat())?,
        2 => {
            client.send(&["MULTI"])?;
            (0..5).try_for_each(|_| client.send(&[b"SET", &b"q"[..], &value]))?;
        }
        3 => (0..50).try_for_each(|_| client.send(&["GET", "k"]))?,
        4 => client.send(&["BLPOP", "list", "0.1"])?,
        5 => {
            client.send(&["HELLO", "3"])?;
            client.send(&["CLIENT", "TRACKING", "ON", "BCAST"])?;
        }
        6 => client.send(&["MONITOR"])?,
        _ => (0..200).try_for_each(|n| client.send(&["WATCH".to_owned(), format!("w{n}")]))?,
    }
    client.send(&["RPUSH", "list", "x"])?;
    while client.recv().is_ok() {}
    Ok(())
}

#[test]
fn sec_09_clients_of_every_kind_are_cut_while_they_work() {
    let target = Target::start(&["--maxmemory-clients", "1mb"]);
    let (addr, until) = (target.addr(), Instant::now() + Duration::from_secs(few_or(4, 60)));
    std::thread::scope(|scope| {
        for thread in 0..few_or(20, 500) {
            scope.spawn(move || {
                let mut nth = thread;
                while Instant::now() < until {
                    // Being cut is what is asked for.
                    drop(churn(addr, nth));
                    nth += 13;
                }
            });
        }
    });
    let mut target = target;
    // The last of those who were cut may still stand in the way of a new one.
    let until = Instant::now() + PATIENCE;
    loop {
        target.witness = target.process.client().expect("the server listens");
        let unbound = target.witness.try_cmd(&["CONFIG", "SET", "maxmemory-clients", "0"]);
        if unbound.is_ok_and(|reply| reply.to_string() == "OK") {
            break;
        }
        assert!(Instant::now() < until, "nobody is let in");
        pause(50);
    }
    assert_ne!(target.info("evicted_clients:"), "0");
    target.expect_well();
}

#[test]
fn sec_10_replies_whose_length_is_known_late_are_whole_at_every_edge() {
    let mut target = Target::start(&[]);
    // KEYS counts what it finds only when it has written it.
    for len in 16_384 - 40..16_384 + 3 {
        let name = "k".repeat(len - 20);
        for keys in [1, 2, 3] {
            target.witness.cmd(&["FLUSHALL"]);
            for nth in 0..keys {
                target.witness.cmd(&["SET".to_owned(), format!("{nth}{name}"), String::new()]);
            }
            let reply = target.witness.cmd(&["KEYS", "*"]).to_string();
            assert_eq!(reply.matches(&name).count(), keys, "{len}");
        }
    }
    target.expect_well();
}

#[test]
fn sec_11_a_buffer_that_was_great_is_small_again() {
    let mut target = Target::start(&["--maxmemory-clients", "0"]);
    let before = target.rss();
    let mut client = target.process.client().expect("the server listens");
    let great = few_or(40 << 20, 500 << 20);
    for len in [1, great, 1, 65_535, 65_536, 65_537, great, 0] {
        let value = vec![b'v'; len];
        client.send(&[&b"ECHO"[..], &value]).expect("sent");
        let reply = client.recv_frame().expect("a reply");
        assert_eq!(reply.len(), value.len() + format!("${len}\r\n\r\n").len());
    }
    // The allocator's decay is a second long.
    pause(1_500);
    let grown = target.rss().saturating_sub(before);
    assert!(grown <= great as u64 / 2 + 8 * NOISE_BYTES, "grown by {grown} bytes");
    let list = target.witness.cmd(&["CLIENT", "LIST"]).to_string();
    assert!(list.contains(" qbuf=0 qbuf-free=0 "), "{list}");
    target.expect_well();
}

#[test]
fn buffers_are_counted_truthfully() {
    let mut target = Target::start(&[]);
    let half = target.connect_and_send(b"*3\r\n$4\r\nECHO\r\n$100\r\nabc");
    let value = target.connect_and_send(
        &[b"*2\r\n$4\r\nECHO\r\n$500000\r\n".to_vec(), vec![b'x'; 300_000]].concat(),
    );
    pause(100);
    let list = target.witness.cmd(&["CLIENT", "LIST"]).to_string();
    let fields = |stream: &TcpStream| {
        let addr = format!(" addr={} ", stream.local_addr().expect("a socket"));
        let line = list
            .lines()
            .flat_map(|line| line.split("\\n"))
            .find(|line| line.contains(&addr))
            .expect("a line");
        let number = |name: &str| {
            let (_, rest) = line.split_once(name).expect("a field");
            rest.split(' ').next().and_then(|word| word.parse::<usize>().ok()).expect("a number")
        };
        (number(" qbuf="), number(" qbuf-free="), number(" argv-mem="))
    };
    assert_eq!(fields(&half), (3, 0, 20));
    let (used, free, arguments) = fields(&value);
    assert_eq!((used, arguments), (300_000, 23));
    assert!(free <= 400_000, "{free} bytes free");
    target.expect_well();
}
