//! What durability costs: the append-only file beside none, a snapshot under load, and a start with data.
//!
//! All servers write to the same file system. A scene is played on each in turn, round by round, so that what the machine does besides is
//! spread over all of them; figures are medians.
//!
//! | scene | figures |
//! |---|---|
//! | `fsync` | SET at pipeline 16 without a log and under `everysec`, and at pipeline 1 under `always`: requests a second, CPU time for each |
//! | `save` | BGSAVE while every key is written over: how long it takes, the longest PING meanwhile, how much the resident set grows |
//! | `load` | how long a start takes with a snapshot, and with a log, of so many keys; both written by the last server |

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use clap::{Parser, ValueEnum};

use crate::pauses::ping_meanwhile;
use crate::process::{self, Server};
use crate::report::Report;

/// For how long PINGs are timed without a snapshot.
const CALM: Duration = Duration::from_secs(3);

/// Between two looks at a snapshot that is being written.
const LOOK: Duration = Duration::from_millis(20);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scene {
    /// The append-only file.
    Fsync,
    /// A snapshot under load.
    Save,
    /// A start.
    Load,
}

/// Measures what durability costs.
#[derive(Debug, Clone, Parser)]
#[command(name = "disk")]
pub struct Options {
    /// What is measured.
    #[arg(value_enum)]
    pub scene: Scene,
    /// Servers, by their binaries.
    #[arg(long, value_delimiter = ',', default_value = "target/release/russet,valkey-server")]
    pub servers: Vec<PathBuf>,
    /// How often each scene is played.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Requests of one run of `fsync`; under `always` a tenth of it.
    #[arg(long, default_value_t = 1_000_000)]
    pub requests: u32,
    /// Keys of `save` (with values of 512 bytes) and `load` (of 64).
    #[arg(long)]
    pub keys: Option<u32>,
    /// The cores a server runs on: `load` uses all cores where it is not said.
    #[arg(long)]
    pub server_cores: Option<String>,
    /// The core the load generator runs on.
    #[arg(long, default_value_t = 1)]
    pub load_core: usize,
    /// Where the files lie. What is made there goes in the end.
    #[arg(long)]
    pub directory: Option<PathBuf>,
}

impl Options {
    fn cores<'a>(&'a self, usual: &'a str) -> &'a str {
        self.server_cores.as_deref().unwrap_or(usual)
    }
}

/// Plays a scene and prints a table.
pub fn run(options: &Options) -> io::Result<()> {
    let programs = process::find_all(&options.servers);
    let place = Place::new(options.directory.as_deref())?;
    match options.scene {
        Scene::Fsync => fsync(options, &programs, &place),
        Scene::Save => save(options, &programs, &place),
        Scene::Load => load(options, &programs, &place),
    }
}

/// A directory for the files of all servers, removed in the end.
struct Place(PathBuf);

impl Place {
    fn new(within: Option<&Path>) -> io::Result<Self> {
        let within = within.map_or_else(env::temp_dir, Path::to_owned);
        let place = within.join(format!("russet-disk-{}", std::process::id()));
        fs::create_dir_all(&place)?;
        Ok(Self(place))
    }

    /// A new directory in it.
    fn make(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed stays for whoever looks.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One policy of the append-only file, with its arguments, its pipeline and how many requests of each hundred are sent.
const POLICIES: &[(&str, &[&str], u32, u32)] = &[
    ("no log", &[], 16, 100),
    ("everysec", &["--appendonly", "yes", "--appendfsync", "everysec"], 16, 100),
    ("no log, pipeline 1", &[], 1, 10),
    ("always, pipeline 1", &["--appendonly", "yes", "--appendfsync", "always"], 1, 10),
];

/// What one run came to.
#[derive(Debug, Clone, Copy)]
struct Run {
    rps: f64,
    cpu_ns: f64,
}

#[expect(clippy::print_stdout, reason = "a command line tool")]
fn fsync(options: &Options, programs: &[PathBuf], place: &Place) -> io::Result<()> {
    let mut servers = Vec::new();
    for (at, program) in programs.iter().enumerate() {
        for (nth, (_, arguments, ..)) in POLICIES.iter().enumerate() {
            let directory = place.make(&format!("{at}-{nth}"))?;
            let arguments = [arguments, &["--auto-aof-rewrite-percentage", "0"][..]].concat();
            servers.push(Server::start_in(&directory, program, options.cores("0"), &arguments)?);
        }
    }
    let mut runs = vec![Vec::new(); servers.len()];
    for round in 0..=options.rounds as usize {
        for turn in 0..servers.len() {
            let at = (turn + round) % servers.len();
            let run = sets(options, &servers[at], POLICIES[at % POLICIES.len()])?;
            // The first round fills.
            if round > 0 {
                runs[at].push(run);
            }
        }
    }
    println!(
        "| server | log | SET/s | median of CPU, ns | fastest, ns |\n| --- | --- | ---: | ---: | ---: |"
    );
    for (at, runs) in runs.iter().enumerate() {
        let program = programs[at / POLICIES.len()].file_name().unwrap_or_default().display();
        let (rps, cpu) = (median(runs, |run| run.rps), median(runs, |run| run.cpu_ns));
        let least = runs.iter().map(|run| run.cpu_ns).fold(f64::INFINITY, f64::min);
        let log = POLICIES[at % POLICIES.len()].0;
        println!("| {program} | {log} | {rps:.0} | {cpu:.0} | {least:.0} |");
    }
    Ok(())
}

fn sets(
    options: &Options,
    server: &Server,
    (_, _, pipeline, percent): (&str, &[&str], u32, u32),
) -> io::Result<Run> {
    let requests = (u64::from(options.requests) * u64::from(percent) / 100).max(1);
    let (requests, pipeline) = (requests.to_string(), pipeline.to_string());
    let before = server.cpu()?;
    let line = ["--workload", "set", "-r", "100000", "-P", &pipeline, "-n", &requests];
    let report = drive(options.load_core, server.address, &line)?;
    let cpu = server.cpu()?.saturating_sub(before);
    Ok(Run { rps: report.rps, cpu_ns: cpu.as_nanos() as f64 / report.requests.max(1) as f64 })
}

/// What one snapshot under load came to.
#[derive(Debug, Clone, Copy)]
struct Saved {
    seconds: f64,
    /// The longest PING under the same load before the snapshot.
    calm_ms: f64,
    ping_ms: f64,
    before_mb: f64,
    extra_percent: f64,
    rps: f64,
}

#[expect(clippy::print_stdout, reason = "a command line tool")]
fn save(options: &Options, programs: &[PathBuf], place: &Place) -> io::Result<()> {
    process::stay_on(options.load_core)?;
    println!(
        "| server | before, MB | BGSAVE, s | longest PING, ms | the same without, ms | resident set grows by | SET/s meanwhile |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    );
    let mut all = vec![Vec::new(); programs.len()];
    for _ in 0..options.rounds {
        for (program, saved) in programs.iter().zip(&mut all) {
            saved.push(save_once(options, program, place)?);
        }
    }
    for (program, saved) in programs.iter().zip(&all) {
        let [seconds, ping, calm, before, extra, rps] = [
            |saved: &Saved| saved.seconds,
            |saved: &Saved| saved.ping_ms,
            |saved: &Saved| saved.calm_ms,
            |saved: &Saved| saved.before_mb,
            |saved: &Saved| saved.extra_percent,
            |saved: &Saved| saved.rps,
        ]
        .map(|field| median(saved, field));
        let name = program.file_name().unwrap_or_default().display();
        println!(
            "| {name} | {before:.0} | {seconds:.2} | {ping:.1} | {calm:.1} | {extra:.1} % | {rps:.0} |"
        );
    }
    Ok(())
}

fn save_once(options: &Options, program: &Path, place: &Place) -> io::Result<Saved> {
    let directory = place.make("save")?;
    let server = Server::start_in(&directory, program, options.cores("0"), &[])?;
    let keys = options.keys.unwrap_or(1_200_000).to_string();
    let (core, address) = (options.load_core, server.address);
    let fill = ["--command", "SET __rand_key__ __value__", "--in-order", "-P", "64"];
    drive(core, address, &[&fill[..], &["-r", &keys, "-n", &keys, "-d", "512"]].concat())?;
    process::pause(Duration::from_secs(2));
    let before = server.rss_bytes()?;
    let mut overwriting = loadgen(
        core,
        address,
        &[
            &["--workload", "set", "-r", &keys, "-d", "512", "-P", "16", "--seconds", "3600"][..],
            // What waits for an answer shall wait for the server, not for the core.
            &["--nice", "10"],
        ]
        .concat(),
    )
    .stdout(Stdio::null())
    .spawn()?;
    process::pause(Duration::from_secs(1));
    let calm = ping_meanwhile(address, || {
        process::pause(CALM);
        Ok(())
    });
    let saved = ping_meanwhile(address, || watch_save(&server));
    // It has been told to go on for an hour.
    overwriting.kill().and_then(|()| overwriting.wait())?;
    let (((), calm), ((seconds, most, sets), ping)) = (calm?, saved?);
    Ok(Saved {
        seconds,
        calm_ms: calm.as_secs_f64() * 1000.0,
        ping_ms: ping.as_secs_f64() * 1000.0,
        before_mb: before as f64 / 1e6,
        extra_percent: most.saturating_sub(before) as f64 * 100.0 / before as f64,
        rps: sets as f64 / seconds,
    })
}

/// Has a snapshot written. Answers how many seconds it took, the most memory of the server and its children meanwhile, and how many
/// commands were served.
fn watch_save(server: &Server) -> io::Result<(f64, u64, u64)> {
    let mut teller = Teller::connect(server.address)?;
    let (began, commands) = (Instant::now(), teller.figure("total_commands_processed")?);
    teller.ask("BGSAVE")?;
    let mut most = 0;
    loop {
        most = most.max(server.memory_bytes()?);
        if teller.figure("rdb_bgsave_in_progress")? == 0 {
            let served = teller.figure("total_commands_processed")? - commands;
            return Ok((began.elapsed().as_secs_f64(), most, served));
        }
        process::pause(LOOK);
    }
}

#[expect(clippy::print_stdout, reason = "a command line tool")]
fn load(options: &Options, programs: &[PathBuf], place: &Place) -> io::Result<()> {
    let author = programs.last().ok_or(io::ErrorKind::NotFound)?;
    let keys = options.keys.unwrap_or(5_000_000).to_string();
    let origin = place.make("origin")?;
    let log = ["--appendonly", "yes", "--auto-aof-rewrite-percentage", "0"];
    let server = Server::start_in(&origin, author, options.cores("0"), &log)?;
    let fill = ["--command", "SET __rand_key__ __value__", "--in-order", "-P", "64"];
    drive(options.load_core, server.address, &[&fill[..], &["-r", &keys, "-n", &keys]].concat())?;
    Teller::connect(server.address)?.ask("SAVE")?;
    Teller::connect(server.address)?.ask("SHUTDOWN NOSAVE").ok();
    drop(server);
    println!("{keys} keys, written by {}\n", author.display());
    print!("{}", process::head(&["a start, s"], programs));
    let usual = format!("0-{}", thread::available_parallelism()?.get() - 1);
    for (name, arguments) in
        [("snapshot", &["--dbfilename", "dump.rdb"][..]), ("append-only file", &log)]
    {
        let mut cells = vec![Vec::new(); programs.len()];
        for _ in 0..options.rounds {
            for (program, cell) in programs.iter().zip(&mut cells) {
                let copy = place.make("copy")?;
                run_cp(&origin, &copy)?;
                let began = Instant::now();
                let server = Server::start_in(&copy, program, options.cores(&usual), arguments)?;
                cell.push(began.elapsed().as_secs_f64());
                let found = Teller::connect(server.address)?.ask("DBSIZE")?;
                if found.trim_start_matches(':') != keys {
                    return Err(io::Error::other(format!("{found} keys instead of {keys}")));
                }
                drop(server);
                fs::remove_dir_all(&copy)?;
            }
        }
        let cells: Vec<String> =
            cells.iter().map(|cell| format!("{:.2}", median(cell, |seconds| *seconds))).collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
    Ok(())
}

fn run_cp(from: &Path, to: &Path) -> io::Result<()> {
    let status = Command::new("cp").arg("-r").arg(from.join(".")).arg(to).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("the files cannot be copied")) }
}

/// This program as load generator.
fn loadgen(core: usize, address: SocketAddr, arguments: &[&str]) -> Command {
    let program = env::current_exe().expect("this program has a path");
    let mut command = process::pinned(core, &program);
    command.args(["loadgen", "--port", &address.port().to_string(), "--json"]).args(arguments);
    command.stdin(Stdio::null());
    command
}

fn drive(core: usize, address: SocketAddr, arguments: &[&str]) -> io::Result<Report> {
    let output = loadgen(core, address, arguments).output()?;
    serde_json::from_slice(&output.stdout).map_err(|_| {
        io::Error::other(String::from_utf8_lossy(&output.stderr).trim_end().to_owned())
    })
}

/// A connection that asks one thing at a time.
struct Teller(BufReader<TcpStream>);

impl Teller {
    fn connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self(BufReader::new(TcpStream::connect(address)?)))
    }

    /// A line of reply, or the bytes of a reply of that kind.
    fn ask(&mut self, line: &str) -> io::Result<String> {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
        let mut reply = String::new();
        self.0.read_line(&mut reply)?;
        let Some(len) = reply.strip_prefix('$') else { return Ok(reply.trim_end().to_owned()) };
        let len: usize = len.trim_end().parse().map_err(io::Error::other)?;
        let mut bytes = vec![0; len + 2];
        io::Read::read_exact(&mut self.0, &mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes[..len]).into_owned())
    }

    /// A number of INFO.
    fn figure(&mut self, name: &str) -> io::Result<u64> {
        let info = self.ask("INFO")?;
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|number| number.parse().ok()).ok_or(io::ErrorKind::InvalidData.into())
    }
}

/// The middle value of one figure.
fn median<T>(values: &[T], figure: impl Fn(&T) -> f64) -> f64 {
    let mut figures: Vec<f64> = values.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
