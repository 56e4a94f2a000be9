//! Russet, Valkey and Redis in the same minutes on the same machine.
//!
//! All servers run on one core and the load generator on another. A round sends every workload to
//! every server in turn, and each round begins with another server, so that what the machine does
//! besides is spread over all of them; the figure is the median over the rounds. Because a virtual
//! machine is a noisy place, the CPU time a server spends per request says more than requests per
//! second: it depends little on who else is running. It includes the kernel's share.
//!
//! Memory is measured on fresh servers: resident size after loading the keys, less that before.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::str::FromStr;

use clap::Parser;

use crate::machine::{self, Machine};
use crate::memory::{self, Memory};
use crate::process::{self, Server};
use crate::report::Report;
use crate::workload::{self, Goal, Step, Suite};

/// Batches per redis-benchmark run: a second or so.
const BENCHMARK_BATCHES: usize = 100_000;

/// Requests of one redis-benchmark run at most.
const BENCHMARK_REQUESTS_MAX: usize = 2_000_000;

/// Runs Russet, Valkey and Redis side by side and prints a table.
#[derive(Debug, Clone, Parser)]
#[command(name = "compare")]
pub struct Options {
    /// Russet's binary.
    #[arg(long, default_value = "target/release/russet")]
    pub russet: PathBuf,
    /// Valkey's binary.
    #[arg(long, default_value = "valkey-server")]
    pub valkey: PathBuf,
    /// Redis' binary.
    #[arg(long, default_value = "redis-server")]
    pub redis: PathBuf,
    /// How often each workload is run on each server.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Seconds of each run.
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// Connections of the load generator.
    #[arg(short, long, default_value_t = 50)]
    pub connections: usize,
    /// Keys that are loaded, of 16 bytes each.
    #[arg(short = 'r', long, default_value_t = 1_000_000)]
    pub keys: u32,
    /// Bytes of a value.
    #[arg(short = 'd', long, default_value_t = 64)]
    pub value_bytes: usize,
    /// What is measured.
    #[arg(long, value_enum, default_value = "keys")]
    pub suite: Suite,
    /// Workloads and their pipelines, as `name:pipeline`, instead of those of the suite.
    #[arg(long, value_delimiter = ',')]
    pub workloads: Vec<Run>,
    /// The core the servers run on.
    #[arg(long, default_value_t = 0)]
    pub server_core: usize,
    /// The core the load generator runs on.
    #[arg(long, default_value_t = 1)]
    pub load_core: usize,
    /// Leave out the memory of keys.
    #[arg(long)]
    pub no_memory: bool,
    /// Leave out the workloads.
    #[arg(long, conflicts_with = "no_memory")]
    pub no_speed: bool,
    /// Also run redis-benchmark once on each server, where it knows the workload.
    #[arg(long)]
    pub with_redis_benchmark: bool,
    /// Its binary.
    #[arg(long, default_value = "redis-benchmark")]
    pub redis_benchmark: PathBuf,
    /// Write the whole page to this file.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// One line of the comparison: a workload at a pipeline depth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its name, one of [`workload::WORKLOADS`].
    pub workload: String,
    /// Requests per batch.
    pub pipeline: usize,
}

impl Options {
    /// The workloads that were asked for, or those of the suite.
    fn runs(&self) -> Vec<Run> {
        let of_suite = |&(name, pipeline, _): &Goal| Run { workload: name.to_owned(), pipeline };
        match self.workloads.as_slice() {
            [] => self.suite.goals().iter().map(of_suite).collect(),
            named => named.to_vec(),
        }
    }
}

impl FromStr for Run {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, pipeline) = text.split_once(':').unwrap_or((text, "1"));
        let pipeline = pipeline.parse().ok().filter(|&pipeline| pipeline > 0);
        let pipeline = pipeline.ok_or("the pipeline is not a positive number")?;
        workload::find(name).ok_or(format!("no workload is called {name}"))?;
        Ok(Self { workload: name.to_owned(), pipeline })
    }
}

/// A server that takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contender {
    /// Russet, Valkey or Redis.
    pub name: &'static str,
    /// Its binary.
    pub program: PathBuf,
    /// What it says of itself.
    pub version: String,
}

/// What one run on one server measured, or the median of several.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Requests per second.
    pub rps: f64,
    /// Median latency of a batch, in microseconds, as are the next two.
    pub p50_us: f64,
    /// 99 in 100 batches were answered within this.
    pub p99_us: f64,
    /// 999 in 1000 were.
    pub p999_us: f64,
    /// CPU time of the server per request.
    pub cpu_ns: f64,
    /// Share of the time in which the server was on its CPU.
    pub server_busy: f64,
    /// The same of the load generator.
    pub load_busy: f64,
}

/// The median of one workload on one server.
#[derive(Debug, Clone, PartialEq)]
pub struct Speed {
    /// What was sent.
    pub run: Run,
    /// To whom.
    pub server: &'static str,
    /// What came of it.
    pub sample: Sample,
}

/// What redis-benchmark says.
#[derive(Debug, Clone, PartialEq)]
pub struct Benchmark {
    /// What it sent.
    pub run: Run,
    /// To whom.
    pub server: &'static str,
    /// Requests per second.
    pub rps: f64,
    /// Median latency in microseconds.
    pub p50_us: f64,
    /// 99 in 100 requests were answered within this.
    pub p99_us: f64,
}

/// Everything the page tells.
#[derive(Debug, Clone)]
pub struct Results {
    /// How to measure again.
    pub command_line: String,
    /// Where it ran.
    pub machine: Machine,
    /// Options that shape the figures.
    pub options: Options,
    /// Who took part.
    pub contenders: Vec<Contender>,
    /// Workload by workload, server by server.
    pub speed: Vec<Speed>,
    /// Kind by kind, server by server.
    pub memory: Vec<Memory>,
    /// Empty unless asked for.
    pub benchmark: Vec<Benchmark>,
}

/// Measures what the options ask for.
pub fn run(options: &Options, command_line: String) -> io::Result<Results> {
    let contenders = contenders(options)?;
    if contenders.is_empty() {
        return Err(io::Error::other("there is no server to measure"));
    }
    let mut results = Results {
        command_line: command_line.trim_end().to_owned(),
        machine: machine::here(),
        options: options.clone(),
        contenders,
        speed: Vec::new(),
        memory: Vec::new(),
        benchmark: Vec::new(),
    };
    if !options.no_speed {
        measure_speed(&mut results)?;
    }
    if !options.no_memory {
        results.memory = memory::measure(&results)?;
    }
    Ok(results)
}

/// The servers that are there.
fn contenders(options: &Options) -> io::Result<Vec<Contender>> {
    let mut present = Vec::new();
    for (name, program) in
        [("Russet", &options.russet), ("Valkey", &options.valkey), ("Redis", &options.redis)]
    {
        if let Some(program) = process::find(program) {
            let version = process::version(&program)?;
            present.push(Contender { name, program, version });
        } else {
            say(&format!("{name} is left out: there is no {}", program.display()));
        }
    }
    Ok(present)
}

fn measure_speed(results: &mut Results) -> io::Result<()> {
    let options = results.options.clone();
    let servers = start_all(results)?;
    let runs = options.runs();
    prepare(&options, &runs, &servers)?;
    let mut samples = vec![Vec::new(); runs.len() * servers.len()];
    for round in 0..options.rounds as usize {
        say(&format!("round {} of {}", round + 1, options.rounds));
        for (at, run) in runs.iter().enumerate() {
            for turn in 0..servers.len() {
                let turn = (turn + round) % servers.len();
                let sample = measure(&options, run, &servers[turn])?;
                samples[at * servers.len() + turn].push(sample);
            }
        }
    }
    for (at, samples) in samples.iter().enumerate() {
        let run = runs[at / servers.len()].clone();
        let server = results.contenders[at % servers.len()].name;
        results.speed.push(Speed { run, server, sample: median_of(samples) });
    }
    if options.with_redis_benchmark {
        results.benchmark = redis_benchmark(results, &servers)?;
    }
    Ok(())
}

/// All servers, each with the keys loaded.
fn start_all(results: &Results) -> io::Result<Vec<Server>> {
    let start = |contender: &Contender| {
        let server = Server::start(&contender.program, results.options.server_core)?;
        if results.options.suite == Suite::Keys {
            say(&format!("loading {} keys into {}", results.options.keys, contender.name));
            drive(&results.options, &server, &["--fill"])?;
        }
        Ok(server)
    };
    results.contenders.iter().map(start).collect()
}

/// Lets the workloads that leave what they find as it is find it.
fn prepare(options: &Options, runs: &[Run], servers: &[Server]) -> io::Result<()> {
    let workloads = runs.iter().filter_map(|run| workload::find(&run.workload));
    let mut done: Vec<Step> = Vec::new();
    for step in workloads.filter(|row| row.requests.is_none()).flat_map(|row| row.steps) {
        if !done.contains(step) {
            say(&format!("{} times {}", step.times, step.line));
            servers.iter().try_for_each(|server| take(options, *step, server))?;
            done.push(*step);
        }
    }
    Ok(())
}

fn take(options: &Options, step: Step, server: &Server) -> io::Result<()> {
    // One connection, so that the elements come in the same order to every server.
    let times = step.times.to_string();
    let mut arguments = vec!["--command", step.line, "-n", &times, "-P", "64", "-c", "1"];
    if !step.is_random {
        arguments.extend(["--in-order", "-r", &times]);
    }
    drive(options, server, &arguments).map(drop)
}

fn measure(options: &Options, run: &Run, server: &Server) -> io::Result<Sample> {
    let row = workload::find(&run.workload).expect("a run names a workload that exists");
    let (seconds, pipeline) = (options.seconds.to_string(), run.pipeline.to_string());
    let mut arguments = vec!["--workload", &run.workload, "-P", &pipeline];
    let requests = row.requests.map(|requests| requests.to_string());
    match &requests {
        Some(requests) => {
            row.steps.iter().try_for_each(|step| take(options, *step, server))?;
            arguments.extend(["-n", requests]);
        }
        None => arguments.extend(["--seconds", &seconds]),
    }
    let before = server.cpu()?;
    let report = drive(options, server, &arguments)?;
    let cpu = server.cpu()?.saturating_sub(before);
    Ok(Sample {
        rps: report.rps,
        p50_us: report.p50_us,
        p99_us: report.p99_us,
        p999_us: report.p999_us,
        cpu_ns: cpu.as_nanos() as f64 / report.requests.max(1) as f64,
        server_busy: cpu.as_secs_f64() / report.seconds,
        load_busy: report.load_busy,
    })
}

/// Runs the load generator on its core: this program again, as `compare loadgen`.
pub(crate) fn drive(options: &Options, server: &Server, arguments: &[&str]) -> io::Result<Report> {
    let mut command = process::pinned(options.load_core, &std::env::current_exe()?);
    command.arg("loadgen").args(["--port", &server.address.port().to_string(), "--json"]);
    let defaults = [
        ("-c", options.connections.to_string()),
        ("-r", options.keys.to_string()),
        ("-d", options.value_bytes.to_string()),
    ];
    for (name, value) in defaults.iter().filter(|(name, _)| !arguments.contains(name)) {
        command.args([*name, value]);
    }
    command.args(arguments);
    let output = collect(&mut command)?;
    let report: Report = serde_json::from_slice(&output.stdout).map_err(|_| {
        io::Error::other(String::from_utf8_lossy(&output.stderr).trim_end().to_owned())
    })?;
    if let Some(text) = &report.first_error {
        say(&format!("{}: {} errors, the first: {text}", report.workload, report.errors));
    }
    Ok(report)
}

fn collect(command: &mut Command) -> io::Result<Output> {
    command.stdin(Stdio::null()).output()
}

/// The median of every field on its own.
fn median_of(samples: &[Sample]) -> Sample {
    let field = |field: fn(&Sample) -> f64| median(samples.iter().map(field).collect());
    Sample {
        rps: field(|sample| sample.rps),
        p50_us: field(|sample| sample.p50_us),
        p99_us: field(|sample| sample.p99_us),
        p999_us: field(|sample| sample.p999_us),
        cpu_ns: field(|sample| sample.cpu_ns),
        server_busy: field(|sample| sample.server_busy),
        load_busy: field(|sample| sample.load_busy),
    }
}

/// The middle value, or the mean of the middle two; `values` is not empty.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { values[middle - 1].midpoint(values[middle]) }
}

/// One run of redis-benchmark per workload that it knows, on every server.
fn redis_benchmark(results: &Results, servers: &[Server]) -> io::Result<Vec<Benchmark>> {
    let options = &results.options;
    let Some(program) = process::find(&options.redis_benchmark) else {
        say(&format!("there is no {}", options.redis_benchmark.display()));
        return Ok(Vec::new());
    };
    let mut measured = Vec::new();
    for run in &options.runs() {
        let Some(test) = benchmark_test(&run.workload) else { continue };
        for (contender, server) in results.contenders.iter().zip(servers) {
            let text = run_benchmark(options, &program, server, run, test)?;
            let row = benchmark_row(&text);
            let (rps, p50_us, p99_us) = row.ok_or(io::ErrorKind::InvalidData)?;
            let (run, server) = (run.clone(), contender.name);
            measured.push(Benchmark { run, server, rps, p50_us, p99_us });
        }
    }
    Ok(measured)
}

/// What redis-benchmark calls a workload.
fn benchmark_test(name: &str) -> Option<&'static str> {
    const TESTS: &[(&str, &str)] = &[
        ("ping", "ping_mbulk"),
        ("set", "set"),
        ("get", "get"),
        ("incr", "incr"),
        ("mset10", "mset"),
        ("lpush", "lpush"),
        ("rpop", "rpop"),
    ];
    TESTS.iter().find(|(ours, _)| *ours == name).map(|(_, theirs)| *theirs)
}

fn run_benchmark(
    options: &Options,
    program: &Path,
    server: &Server,
    run: &Run,
    test: &str,
) -> io::Result<String> {
    let requests = (BENCHMARK_BATCHES * run.pipeline).min(BENCHMARK_REQUESTS_MAX);
    let mut command = process::pinned(options.load_core, program);
    command.args(["-p", &server.address.port().to_string(), "-t", test, "--csv"]);
    command.args(["-c", &options.connections.to_string(), "-P", &run.pipeline.to_string()]);
    command.args(["-r", &options.keys.to_string(), "-d", &options.value_bytes.to_string()]);
    command.args(["-n", &requests.to_string()]);
    let output = collect(&mut command)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Requests per second, and the 50th and 99th percentile in microseconds, from its CSV: a line of
/// names (test, rps, average, minimum, p50, p95, p99, maximum in ms) and a line of figures.
fn benchmark_row(csv: &str) -> Option<(f64, f64, f64)> {
    let line = csv.lines().nth(1)?;
    let field = |at| line.split("\",\"").nth(at)?.trim_matches('"').parse::<f64>().ok();
    Some((field(1)?, field(4)? * 1000.0, field(6)? * 1000.0))
}

#[expect(clippy::print_stderr, reason = "progress of a command line tool")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_a_name_and_a_pipeline() {
        let run = |workload: &str, pipeline| Ok(Run { workload: workload.to_owned(), pipeline });
        assert_eq!("get:16".parse(), run("get", 16));
        assert_eq!("get".parse(), run("get", 1));
        assert!("get:0".parse::<Run>().is_err());
        assert!("nonsense:1".parse::<Run>().is_err());
    }

    #[test]
    fn the_default_workloads_exist() {
        let runs = |line: &[&str]| Options::try_parse_from(line).unwrap().runs();
        assert_eq!(runs(&["compare"]).len(), Suite::Keys.goals().len());
        assert!(runs(&["compare"]).contains(&"mget10:1".parse().unwrap()));
        assert_eq!(runs(&["compare", "--workloads", "get:3"]), ["get:3".parse().unwrap()]);
    }

    #[test]
    fn the_median_ignores_outliers() {
        assert!((median(vec![9.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 2.0, 100.0]) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn the_csv_of_redis_benchmark_is_understood() {
        let csv = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\
                   \"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n\
                   \"SET\",\"100000.00\",\"0.3\",\"0.1\",\"0.250\",\"0.4\",\"0.500\",\"1.0\"\n";
        assert_eq!(benchmark_row(csv), Some((100_000.0, 250.0, 500.0)));
        assert_eq!(benchmark_row("ERR"), None);
    }
}
