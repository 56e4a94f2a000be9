//! Russet beside Valkey and Redis: see [`russet_bench::compare`].
//!
//! Called as `compare loadgen …` it is the load generator: that is how it starts one on a core of
//! its own without depending on a second binary being built.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::{env, fs, io};

use clap::Parser;
use russet_bench::compare::{self, Options};
use russet_bench::{loadgen, page};

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some("loadgen") {
        return loadgen::main(&loadgen::Options::parse_from(env::args().skip(1)));
    }
    report(run(&Options::parse()))
}

#[expect(clippy::print_stdout, reason = "a command line tool")]
fn run(options: &Options) -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let results = compare::run(options, format!("cargo compare {}", arguments.join(" ")))?;
    println!("{}", page::tables(&results));
    match &options.out {
        Some(path) => fs::write(path, page::page(&results)),
        None => Ok(()),
    }
}

#[expect(clippy::print_stderr, reason = "a command line tool")]
fn report(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}
