//! How many requests a full cache answers, in Russet, Valkey and Redis.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use russet_bench::hits::{self, Options};

#[expect(clippy::print_stderr, reason = "a command line tool")]
fn main() -> ExitCode {
    match hits::run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hits: {error}");
            ExitCode::FAILURE
        }
    }
}
