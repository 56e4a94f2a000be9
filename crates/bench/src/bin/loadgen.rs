//! The load generator: see [`russet_bench::loadgen`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use russet_bench::loadgen::{self, Options};

fn main() -> ExitCode {
    loadgen::main(&Options::parse())
}
