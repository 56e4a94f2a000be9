//! What it costs to know what a server does.
//!
//! One server is sent GETs, in turn with all statistics that can be switched off switched off, and with all of them on while somebody asks
//! for everything once a second. The order changes from round to round, and each round gives one ratio of the processor time per GET: so
//! what the machine does besides falls on both.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::load::{self, Plan, Until};
use crate::process::{self, Server};
use crate::request::{Numbers, Template};

/// How often somebody asks for everything.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked whether the run is over.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Requests at once while keys are loaded.
const FILL_PIPELINE: usize = 64;

/// Measures what statistics cost GET.
#[derive(Debug, Clone, Parser)]
#[command(name = "statistics")]
pub struct Options {
    /// The server's binary.
    #[arg(long, default_value = "target/release/russet")]
    pub server: PathBuf,
    /// How often each setting is measured.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Seconds of each run.
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// Connections that send GETs.
    #[arg(short, long, default_value_t = 50)]
    pub connections: usize,
    /// GETs that each sends at once.
    #[arg(short = 'P', long, default_value_t = 16)]
    pub pipeline: usize,
    /// Keys, each with a value of 64 bytes.
    #[arg(short = 'r', long, default_value_t = 1_000_000)]
    pub keys: u32,
    /// The core the server runs on.
    #[arg(long, default_value_t = 0)]
    pub server_core: usize,
}

/// What is watched, and what somebody asks for.
struct Setting {
    name: &'static str,
    parameters: &'static str,
    asks: &'static [&'static str],
}

const SETTINGS: [Setting; 2] = [
    Setting {
        name: "off",
        parameters: "slowlog-log-slower-than -1 latency-tracking no latency-monitor-threshold 0 \
                     commandlog-request-larger-than -1 commandlog-reply-larger-than -1",
        asks: &[],
    },
    Setting {
        name: "on, and asked for each second",
        parameters: "slowlog-log-slower-than 10000 latency-tracking yes \
                     latency-monitor-threshold 100 commandlog-request-larger-than 1048576 \
                     commandlog-reply-larger-than 1048576",
        asks: &[
            "INFO everything",
            "SLOWLOG GET 128",
            "COMMANDLOG GET 128 large-reply",
            "LATENCY LATEST",
            "LATENCY HISTOGRAM",
        ],
    },
];

/// What one run measured.
#[derive(Clone, Copy, Debug)]
struct Sample {
    cpu_ns: f64,
    rps: f64,
}

/// Measures both settings in turn and prints a table.
#[expect(clippy::print_stdout, reason = "a command line tool")]
pub fn run(options: &Options) -> io::Result<()> {
    let program = process::find(&options.server).ok_or(io::ErrorKind::NotFound)?;
    let server = Server::start(&program, options.server_core)?;
    let keys = Until::Requests(u64::from(options.keys));
    let line = "SET __rand_key__ __value__";
    drive(options, server.address, (line, FILL_PIPELINE), keys, Numbers::in_order(options.keys))?;
    let mut samples: [Vec<Sample>; 2] = Default::default();
    for round in 0..options.rounds as usize {
        for turn in 0..SETTINGS.len() {
            let which = (turn + round) % SETTINGS.len();
            samples[which].push(measure(options, &server, &SETTINGS[which], round as u64)?);
        }
    }
    println!("| statistics | CPU ns/GET | GET/s |\n| --- | ---: | ---: |");
    for (setting, samples) in SETTINGS.iter().zip(&samples) {
        let figure = |of: fn(&Sample) -> f64| quartiles(samples.iter().map(of).collect())[1];
        let (cpu_ns, rps) = (figure(|it| it.cpu_ns), figure(|it| it.rps));
        println!("| {} | {cpu_ns:.1} | {rps:.0} |", setting.name);
    }
    let [off, on] = &samples;
    let ratio = |of: fn(&Sample) -> f64| {
        let ratios = off.iter().zip(on).map(|(off, on)| of(on) / of(off));
        quartiles(ratios.collect()).map(|it| format!("{it:.3}")).join(", ")
    };
    println!("\nOn over off in each of {} rounds: quartiles", options.rounds);
    println!("* CPU per GET: {}", ratio(|it| it.cpu_ns));
    println!("* GET/s: {}", ratio(|it| it.rps));
    Ok(())
}

/// A quarter of the values is below the first, half of them below the second, three quarters below the third.
fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}

fn measure(options: &Options, server: &Server, setting: &Setting, seed: u64) -> io::Result<Sample> {
    let mut chief = TcpStream::connect(server.address)?;
    ask(&mut chief, &format!("CONFIG SET {}", setting.parameters))?;
    let time = Duration::try_from_secs_f64(options.seconds).map_err(io::Error::other)?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let asker = scope.spawn(|| ask_again_and_again(&mut chief, setting.asks, &is_over));
        let before = server.cpu()?;
        let numbers = Numbers::random(options.keys, seed);
        let what = ("GET __rand_key__", options.pipeline);
        let done = drive(options, server.address, what, Until::Elapsed(time), numbers);
        is_over.store(true, Ordering::Relaxed);
        asker.join().unwrap_or_else(|_| Err(io::Error::other("who asks has ended")))?;
        let (requests, elapsed) = done?;
        let cpu_ns = server.cpu()?.saturating_sub(before).as_nanos() as f64 / requests as f64;
        Ok(Sample { cpu_ns, rps: requests as f64 / elapsed.as_secs_f64() })
    })
}

/// Sends what the line says; answers how often, and how long that took.
fn drive(
    options: &Options,
    address: SocketAddr,
    (line, pipeline): (&str, usize),
    until: Until,
    numbers: Numbers,
) -> io::Result<(u64, Duration)> {
    let plan = Plan {
        address,
        connections: options.connections,
        pipeline,
        until,
        mix: vec![(1, Template::parse(line, 64))],
        numbers,
        listeners: 0,
    };
    let outcome = load::run(plan)?;
    match outcome.first_error {
        Some(error) => Err(io::Error::other(error)),
        None => Ok((outcome.requests, outcome.elapsed)),
    }
}

/// Asks for everything at once, and again each second.
fn ask_again_and_again(
    stream: &mut TcpStream,
    asks: &[&str],
    is_over: &AtomicBool,
) -> io::Result<()> {
    let mut next = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        if Instant::now() >= next {
            asks.iter().try_for_each(|line| ask(stream, line))?;
            next += ASK_EVERY;
        }
        process::pause(LOOK_EVERY);
    }
    Ok(())
}

/// Sends a line and takes its reply, which ends with that of an ECHO.
fn ask(stream: &mut TcpStream, line: &str) -> io::Result<()> {
    const END: &[u8] = b"$9\r\nthat's it\r\n";
    stream.write_all(format!("{line}\r\nECHO \"that's it\"\r\n").as_bytes())?;
    let (mut reply, mut part) = (Vec::new(), [0; 16 << 10]);
    while !reply.ends_with(END) {
        let count = stream.read(&mut part)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        reply.extend_from_slice(&part[..count]);
    }
    if reply.starts_with(b"-") {
        return Err(io::Error::other(String::from_utf8_lossy(&reply).into_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_values_of_the_sorted_list() {
        let of = |values: &[f64]| quartiles(values.to_vec()).map(|value| value as u32);
        assert_eq!(of(&[5.0, 1.0, 4.0, 2.0, 3.0]), [2, 3, 4]);
        assert_eq!(of(&[7.0]), [7; 3]);
    }
}
