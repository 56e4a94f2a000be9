//! What statistics cost GET.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use russet_bench::statistics::{self, Options};

#[expect(clippy::print_stderr, reason = "a command line tool")]
fn main() -> ExitCode {
    match statistics::run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("statistics: {error}");
            ExitCode::FAILURE
        }
    }
}
