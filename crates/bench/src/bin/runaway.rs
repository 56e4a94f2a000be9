//! What others notice of a script that loops for ever.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use russet_bench::runaway::{self, Options};

#[expect(clippy::print_stderr, reason = "a command line tool")]
fn main() -> ExitCode {
    match runaway::run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("runaway: {error}");
            ExitCode::FAILURE
        }
    }
}
