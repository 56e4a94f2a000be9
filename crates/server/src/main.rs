//! The binary: reads the command line, says what it starts, and serves until it is told to stop.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;

use russet_config::{Config, id};
use russet_persist::file::Files;
use russet_server::cli::{self, Serve, Wish};
use russet_server::{Options, VERSION, log, start};

fn main() -> ExitCode {
    match cli::parse(std::env::args().skip(1).collect(), &Files) {
        Ok(Wish::Serve(wish)) => serve(*wish),
        Ok(Wish::HealthCheck { host, port }) => health(&host, port),
        Err(error) => fail(&error.to_string()),
    }
}

/// One line on standard error, and the exit code that supervisors look for.
#[expect(clippy::print_stderr, reason = "this is where the program speaks before it has a log")]
fn fail(line: &str) -> ExitCode {
    eprintln!("{line}");
    ExitCode::FAILURE
}

fn health(host: &str, port: u16) -> ExitCode {
    match cli::is_healthy(host, port) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => fail("the server did not answer PING"),
        Err(error) => fail(&format!("no answer from {host}:{port}: {error}")),
    }
}

fn serve(wish: Serve) -> ExitCode {
    let Serve { mut config, config_file } = wish;
    if let Err(error) = enter_directory(&mut config) {
        return fail(&error);
    }
    if let Err(error) = log::start(&config, &Files) {
        return fail(&format!("can't open the log file '{}': {error}", config.text(const { id("logfile") })));
    }
    write_pid_file(&config);
    banner(&config, &config_file);
    let options = Options { on_free_port: false, config_file, vfs: Arc::new(Files), with_signals: true };
    match start(config, options) {
        Ok(mut server) => {
            for address in &server.addresses {
                tracing::debug!(%address, "listening");
            }
            tracing::info!("Server initialized");
            tracing::info!("Ready to accept connections tcp");
            server.join();
            tracing::warn!("Russet is now ready to exit, bye bye...");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!("{error}");
            fail(&error.to_string())
        }
    }
}

/// Goes to `dir` and writes it down as an absolute path, as CONFIG GET answers it.
fn enter_directory(config: &mut Config) -> Result<(), String> {
    let dir = config.text(const { id("dir") }).to_owned();
    std::env::set_current_dir(&dir).map_err(|error| format!("can't chdir to '{dir}': {error}"))?;
    let here = std::env::current_dir().map_err(|error| format!("can't tell where '{dir}' is: {error}"))?;
    config.assign(const { id("dir") }, &here.to_string_lossy())
}

fn write_pid_file(config: &Config) {
    use russet_persist::vfs::Vfs;
    let path = config.text(const { id("pidfile") });
    if path.is_empty() {
        return;
    }
    let text = format!("{}\n", std::process::id());
    if let Err(error) = Files.replace(std::path::Path::new(path), text.as_bytes()) {
        tracing::warn!(path, %error, "failed to write the pid file");
    }
}

/// What somebody who reads the log wants to know first.
fn banner(config: &Config, config_file: &str) {
    let port = config.integer(const { id("port") });
    let threads = config.threads(const { id("io-threads") });
    let memory = match config.memory(const { id("maxmemory") }) {
        0 => "no memory limit".to_owned(),
        bytes => format!("memory limit {bytes} bytes"),
    };
    tracing::info!("Russet {VERSION} (Redis {} protocol and commands) is starting", russet_config::REDIS_VERSION);
    tracing::info!(" Port: {port}, {threads} I/O threads, {memory}, no persistence: data ends with the process");
    tracing::info!(" PID: {}", std::process::id());
    if config_file.is_empty() {
        tracing::info!("no config file given: using the defaults and the command line");
    }
    let inert = config.inert_in_use();
    if !inert.is_empty() {
        tracing::warn!("accepted, but without effect in Russet: {}", inert.join(", "));
    }
    warn_if_open(config);
}

/// A server that anybody may use should at least say so.
fn warn_if_open(config: &Config) {
    let is_protected = config.bool(const { id("protected-mode") });
    let has_password = !config.text(const { id("requirepass") }).is_empty();
    let is_public = config.addresses().iter().any(|address| russet_server::cli::is_public(address));
    if is_public && !is_protected && !has_password {
        tracing::warn!("anybody who reaches this port may read and change everything: set requirepass, or bind to 127.0.0.1");
    }
}
