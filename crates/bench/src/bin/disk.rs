//! What durability costs, in Russet and Valkey: see [`russet_bench::disk`].
//!
//! Called as `disk loadgen …` it is the load generator, to run on a core of its own.
#![forbid(unsafe_code)]

use std::env;
use std::process::ExitCode;

use clap::Parser;
use russet_bench::disk::{self, Options};
use russet_bench::loadgen;

#[expect(clippy::print_stderr, reason = "a command line tool")]
fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some("loadgen") {
        return loadgen::main(&loadgen::Options::parse_from(env::args().skip(1)));
    }
    match disk::run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("disk: {error}");
            ExitCode::FAILURE
        }
    }
}
