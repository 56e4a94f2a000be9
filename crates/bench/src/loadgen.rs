//! The command line of the load generator.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::load::{self, Plan, Until};
use crate::report::Report;
use crate::request::{KEYS_MAX, Numbers, Template};
use crate::workload;

/// Requests per batch while loading keys, unless `-P` asks for more.
const FILL_PIPELINE: usize = 64;

/// How long a run lasts when neither `-n` nor `--seconds` says so.
const DEFAULT_SECONDS: f64 = 2.0;

/// Keeps a server busy from one thread and says how fast it answered.
#[derive(Debug, Clone, Parser)]
#[command(name = "loadgen")]
pub struct Options {
    /// Host name or address of the server.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// Its port.
    #[arg(short, long, default_value_t = 6379)]
    pub port: u16,
    /// Connections that send at the same time.
    #[arg(short, long, default_value_t = 50, value_parser = positive)]
    pub connections: usize,
    /// Requests each connection sends before it waits for their replies.
    #[arg(short = 'P', long, default_value_t = 1, value_parser = positive)]
    pub pipeline: usize,
    /// Number of keys: `key:000000000001` to this.
    #[arg(short = 'r', long, default_value_t = 1_000_000,
          value_parser = clap::value_parser!(u32).range(1..=KEYS_MAX as i64))]
    pub keys: u32,
    /// Bytes of a value.
    #[arg(short = 'd', long, default_value_t = 64)]
    pub value_bytes: usize,
    /// Send exactly this many requests.
    #[arg(short = 'n', long, conflicts_with = "seconds")]
    pub requests: Option<u64>,
    /// Send for this long (2 s, if neither is given).
    #[arg(long)]
    pub seconds: Option<f64>,
    /// What to send, by name.
    #[arg(short, long, conflicts_with = "command", help = format!("What to send: {}", workload::names()))]
    pub workload: Option<String>,
    /// What to send, as a template with __rand_key__, __rand_digits__, __rand_int__, __value__.
    #[arg(long)]
    pub command: Option<String>,
    /// First load every key once; without a workload, only that.
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "values")]
    pub fill: Option<Fill>,
    /// Seconds until keys expire that `--fill expiring` loads.
    #[arg(long, default_value_t = 86_400)]
    pub ttl: u32,
    /// Count the numbers of a template up from 1 instead of drawing them.
    #[arg(long)]
    pub in_order: bool,
    /// Where the random keys begin.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How far to stand behind others who want the core, as `nice` counts: behind one who measures, say.
    #[arg(long, default_value_t = 0)]
    pub nice: i32,
    /// Print one line of JSON per run.
    #[arg(long)]
    pub json: bool,
}

/// What `--fill` stores under each key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fill {
    /// Strings of `-d` bytes.
    Values,
    /// The same, with an expiry.
    Expiring,
    /// Integers of ten digits.
    Integers,
}

fn positive(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|_| "not a number".to_owned())?;
    if number == 0 { Err("must be at least 1".to_owned()) } else { Ok(number) }
}

/// Runs what the options ask for and prints the reports. Fails when there were errors.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]
pub fn main(options: &Options) -> ExitCode {
    let mut errors = 0;
    let print = |report: Report| {
        errors += report.errors;
        if options.json {
            let line = serde_json::to_string(&report).expect("a report is plain data");
            println!("{line}");
        } else {
            println!("{report}");
        }
    };
    match run(options, print) {
        Ok(()) if errors == 0 => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("loadgen: {}:{}: {error}", options.host, options.port);
            ExitCode::FAILURE
        }
    }
}

/// Loads the keys, if asked to, then sends the workload, if there is one.
fn run(options: &Options, mut print: impl FnMut(Report)) -> io::Result<()> {
    rustix::process::nice(options.nice)?;
    let address = resolve(&options.host, options.port)?;
    if let Some(kind) = options.fill {
        print(fill(options, address, kind)?);
    }
    if options.fill.is_none() || options.workload.is_some() || options.command.is_some() {
        print(send(options, address)?);
    }
    Ok(())
}

fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let mut addresses = (host, port).to_socket_addrs()?;
    addresses.next().ok_or_else(|| io::Error::other("the host has no address"))
}

fn fill(options: &Options, address: SocketAddr, kind: Fill) -> io::Result<Report> {
    let line = match kind {
        Fill::Values => "SET __rand_key__ __value__".to_owned(),
        Fill::Expiring => format!("SET __rand_key__ __value__ EX {}", options.ttl),
        // Larger than the integers servers keep shared, so each key holds its own.
        Fill::Integers => "SET __rand_key__ 1234567890".to_owned(),
    };
    let plan = Plan {
        address,
        connections: options.connections,
        pipeline: options.pipeline.max(FILL_PIPELINE),
        until: Until::Requests(u64::from(options.keys)),
        mix: vec![(1, Template::parse(&line, options.value_bytes))],
        numbers: Numbers::in_order(options.keys),
        listeners: 0,
    };
    measure("fill".to_owned(), plan)
}

fn send(options: &Options, address: SocketAddr) -> io::Result<Report> {
    let (name, mix) = mix(options)?;
    let seconds = options.seconds.unwrap_or(DEFAULT_SECONDS);
    let time = Duration::try_from_secs_f64(seconds).map_err(io::Error::other)?;
    let plan = Plan {
        address,
        connections: options.connections,
        pipeline: options.pipeline,
        until: options.requests.map_or(Until::Elapsed(time), Until::Requests),
        mix,
        numbers: if options.in_order {
            Numbers::in_order(options.keys)
        } else {
            Numbers::random(options.keys, options.seed)
        },
        listeners: workload::find(&name).map_or(0, |workload| workload.listeners),
    };
    measure(name, plan)
}

/// The name and the templates of what is to be sent; `ping` if nothing was said.
fn mix(options: &Options) -> io::Result<(String, Vec<(u32, Template)>)> {
    if let Some(line) = &options.command {
        return Ok((line.clone(), vec![(1, Template::parse(line, options.value_bytes))]));
    }
    let name = options.workload.as_deref().unwrap_or("ping");
    let known = workload::find(name);
    let known = known.ok_or_else(|| io::Error::other(format!("no workload is called {name}")))?;
    Ok((name.to_owned(), known.mix(options.value_bytes)))
}

fn measure(name: String, plan: Plan) -> io::Result<Report> {
    let (connections, pipeline) = (plan.connections, plan.pipeline);
    let outcome = load::run(plan)?;
    Ok(Report::new(name, connections, pipeline, &outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, clap::Error> {
        Options::try_parse_from(std::iter::once("loadgen").chain(line.split(' ')))
    }

    #[test]
    fn fill_may_stand_alone_or_name_what_it_stores() {
        assert_eq!(parse("--json").unwrap().fill, None);
        assert_eq!(parse("--fill --json").unwrap().fill, Some(Fill::Values));
        assert_eq!(parse("--fill integers").unwrap().fill, Some(Fill::Integers));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in ["-c 0", "-P 0", "-r 0", "-n 1 --seconds 1", "--workload get --command PING"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_workload_is_found_by_name() {
        assert_eq!(mix(&parse("-w mixed").unwrap()).unwrap().1.len(), 2);
        assert_eq!(mix(&parse("--json").unwrap()).unwrap().0, "ping");
        assert!(mix(&parse("-w nonsense").unwrap()).is_err());
    }
}
