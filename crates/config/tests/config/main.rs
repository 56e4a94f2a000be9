//! What the parameters promise, seen from outside.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "these are tests throughout, their helpers too")]

/// Redis' syntax, TOML and options on the command line.
mod file;
/// The files generated from the table are current and load.
mod generated;
/// CONFIG REWRITE.
mod rewrite;
/// CONFIG GET and CONFIG SET, with Redis' own error texts.
mod set;
/// Rules about all rows.
mod table;

use russet_config::{Config, FileError};

/// A configuration that has read `text`.
fn loaded(text: &str) -> Config {
    let mut config = Config::new();
    load(&mut config, text).unwrap();
    config
}

fn load(config: &mut Config, text: &str) -> Result<(), FileError> {
    config.load("test.conf", text, &mut |name| Err(format!("{name} is not here")))
}

/// What CONFIG GET prints for `name`.
#[track_caller]
fn check_get(config: &Config, name: &str, expected: &str) {
    assert_eq!(config.get(name).as_deref(), Some(expected), "{name}");
}
