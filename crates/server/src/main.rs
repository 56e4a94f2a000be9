//! The binary: reads the command line, says what it starts, and serves until it is told to stop.

#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use russet_config::{Config, id};
use russet_dispatch::State;
use russet_persist::file::Files;
use russet_persist::vfs::Vfs;
use russet_server::cli::{self, Serve, Wish};
use russet_server::{Options, VERSION, daemon, host, log, start};

fn main() -> ExitCode {
    match cli::parse(std::env::args().skip(1).collect(), &Files) {
        Ok(Wish::Serve(wish)) => serve(*wish),
        Ok(Wish::HealthCheck { host, port }) => health(&host, port),
        Ok(Wish::Check { path, fixes }) => check(&path, fixes),
        Ok(Wish::Inspect { path, how, as_json }) => inspect(&path, how, as_json),
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

/// Writes what was asked for. Whoever reads it may have seen enough before the end.
fn tell(text: std::fmt::Arguments<'_>) -> io::Result<()> {
    match io::stdout().write_fmt(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Says what files hold, and whether all of it can be read.
fn check(path: &Path, fixes: bool) -> ExitCode {
    let mut told = Ok(());
    let mut say = |path: &Path, what: &dyn std::fmt::Display| {
        let now = tell(format_args!("{}\n{what}", path.display()));
        told = std::mem::replace(&mut told, Ok(())).and(now);
    };
    let checked = russet_persist::check::check_all(&Files, path, fixes, &mut say);
    match (checked, told) {
        (Ok(()), Ok(())) => ExitCode::SUCCESS,
        (Err(error), _) => fail(&error.to_string()),
        (_, Err(error)) => fail(&error.to_string()),
    }
}

/// Says which keys files hold.
fn inspect(path: &Path, how: russet_persist::inspect::Wish, as_json: bool) -> ExitCode {
    let found =
        russet_persist::inspect::inspect(&Files, path, how, russet_server::state_for_reading);
    let told = match found {
        Ok(found) if as_json => tell(format_args!("{}", found.json())),
        Ok(found) => tell(format_args!("{found}")),
        Err(error) => return fail(&error.to_string()),
    };
    told.map_or_else(|error| fail(&error.to_string()), |()| ExitCode::SUCCESS)
}

fn serve(wish: Serve) -> ExitCode {
    let Serve { mut config, config_file } = wish;
    let in_background = daemon::is_in_background();
    if config.bool(const { id("daemonize") }) && !in_background {
        return match daemon::start_again() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("can't go into the background: {error}")),
        };
    }
    if let Err(error) = enter_directory(&mut config) {
        return fail(&error);
    }
    if let Err(error) = log::start(&config, &Files) {
        return fail(&format!(
            "can't open the log file '{}': {error}",
            config.text(const { id("logfile") })
        ));
    }
    banner(&config, &config_file);
    let pid_file = write_pid_file(&config, in_background);
    if let Err(error) = host::adjust_score(&config) {
        tracing::warn!("Unable to write oom_score_adj: {error}");
    }
    let unix_socket = config.text(const { id("unixsocket") }).to_owned();
    let options =
        Options { on_free_port: false, config_file, vfs: Arc::new(Files), with_signals: true };
    match start(config, options) {
        Ok(mut server) => {
            for address in &server.addresses {
                tracing::debug!(%address, "listening");
            }
            if !server.addresses.is_empty() {
                tracing::info!("Ready to accept connections tcp");
            }
            if !unix_socket.is_empty() {
                tracing::info!("Ready to accept connections unix");
            }
            log_panics(server.state);
            if let Err(error) = host::tell_ready(&server.state.config.load()) {
                tracing::warn!("the supervisor was not told that the server is ready: {error}");
            }
            server.join();
            remove_pid_file(pid_file.as_deref());
            tracing::warn!("Russet is now ready to exit, bye bye...");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!("{error}");
            remove_pid_file(pid_file.as_deref());
            fail(&error.to_string())
        }
    }
}

/// Panics stand in the log too: of a server in the background nobody reads the standard error.
fn log_panics(state: &'static State) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if state.config.load().bool(const { id("crash-log-enabled") }) {
            tracing::error!("{panic}");
        }
        before(panic);
    }));
}

/// Goes to `dir` and writes it down as an absolute path, as CONFIG GET answers it.
fn enter_directory(config: &mut Config) -> Result<(), String> {
    let dir = config.text(const { id("dir") }).to_owned();
    std::env::set_current_dir(&dir).map_err(|error| format!("can't chdir to '{dir}': {error}"))?;
    let here =
        std::env::current_dir().map_err(|error| format!("can't tell where '{dir}' is: {error}"))?;
    config.assign(const { id("dir") }, &here.to_string_lossy())
}

/// Where Redis leaves its process id when it is in the background and nobody says where.
const PID_FILE: &str = "/var/run/redis.pid";

/// Answers where the file is, to be removed in the end.
fn write_pid_file(config: &Config, in_background: bool) -> Option<PathBuf> {
    let path = match config.text(const { id("pidfile") }) {
        "" if in_background => PID_FILE,
        "" => return None,
        path => path,
    };
    let path = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
    let text = format!("{}\n", std::process::id());
    match Files.replace(&path, text.as_bytes()) {
        Ok(()) => Some(path),
        Err(error) => {
            tracing::warn!("Failed to write PID file: {}: {error}", path.display());
            None
        }
    }
}

fn remove_pid_file(path: Option<&Path>) {
    let Some(path) = path else { return };
    tracing::info!("Removing the pid file.");
    // Somebody may have removed it already.
    drop(Files.remove(path));
}

/// What somebody who reads the log wants to know first.
fn banner(config: &Config, config_file: &str) {
    let port = config.integer(const { id("port") });
    let threads = config.threads(const { id("io-threads") });
    let memory = match config.memory(const { id("maxmemory") }) {
        0 => "no memory limit".to_owned(),
        bytes => format!("memory limit {bytes} bytes"),
    };
    tracing::info!(
        "Russet {VERSION} (Redis {} protocol and commands) is starting",
        russet_config::REDIS_VERSION
    );
    tracing::info!(
        " Port: {port}, {threads} I/O threads, {memory}, {}",
        russet_server::promise(config)
    );
    tracing::info!(" PID: {}", std::process::id());
    tracing::info!("Running mode=standalone, port={port}.");
    if config_file.is_empty() {
        tracing::warn!(
            "Warning: no config file specified, using the default config. In order to specify a config file use russet /path/to/redis.conf"
        );
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
        tracing::warn!(
            "anybody who reaches this port may read and change everything: set requirepass, or bind to 127.0.0.1"
        );
    }
}
