//! How long one client keeps the others waiting, in Russet, Valkey and Redis.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use russet_bench::pauses::{self, Options};

#[expect(clippy::print_stderr, reason = "a command line tool")]
fn main() -> ExitCode {
    match pauses::run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pauses: {error}");
            ExitCode::FAILURE
        }
    }
}
