//! The command line: what redis-server takes, and a few words of Russet's own.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command};
use russet_config::{CommandLine, Config, FileError, id};
use russet_persist::inspect;
use russet_persist::vfs::Vfs;

/// What the command line asks for.
#[derive(Debug)]
pub enum Wish {
    /// Run a server.
    Serve(Box<Serve>),
    /// Ask a running server whether it is well.
    HealthCheck {
        /// Where it listens.
        host: String,
        /// Its port.
        port: u16,
    },
    /// Say what files hold and whether they are whole.
    Check {
        /// A file, or the directory of an append-only file.
        path: PathBuf,
        /// Cut what is torn or damaged at the end.
        fixes: bool,
    },
    /// Say which keys files hold.
    Inspect {
        /// A file, or the directory of an append-only file.
        path: PathBuf,
        /// How they are counted.
        how: inspect::Wish,
        /// As JSON.
        as_json: bool,
    },
}

/// A server to run.
#[derive(Debug)]
pub struct Serve {
    /// Its configuration.
    pub config: Config,
    /// Where that came from, absolute, or empty.
    pub config_file: String,
}

/// What `--help` and `--version` print, and the subcommands. Everything else on the line belongs to redis-server's syntax.
fn command() -> Command {
    let host =
        Arg::new("host").long("host").default_value("127.0.0.1").help("Where the server listens");
    let port = Arg::new("port")
        .long("port")
        .default_value("6379")
        .value_parser(clap::value_parser!(u16))
        .help("Its port");
    let path = Arg::new("path")
        .required(true)
        .help("A snapshot as dump.rdb, a log, a manifest, or the directory of an append-only file");
    let fix = Arg::new("fix")
        .long("fix")
        .action(ArgAction::SetTrue)
        .help("Cut a log that is torn or damaged to what is whole, and keep the rest beside it");
    Command::new("russet")
        .version(crate::VERSION)
        .about("A drop-in Redis: the same protocol, commands, configuration and files, in one memory-safe, multi-threaded binary.")
        .override_usage("russet [/path/to/redis.conf | /path/to/russet.toml] [--name value ...] [-]\n       russet healthcheck [--host HOST] [--port PORT]\n       russet check [--fix] FILE|DIR\n       russet inspect [--json] [--separator TEXT] [--depth N] [--top N] FILE|DIR")
        .after_help("Every parameter of docs/configuration.md can be given as --name value, as redis-server takes it.\nExamples:\n  russet\n  russet /etc/redis.conf --port 7777 --loglevel verbose\n  echo 'maxmemory 128mb' | russet -")
        .subcommand(Command::new("healthcheck").about("Exits with 0 if a server answers PING").arg(host).arg(port))
        .subcommand(Command::new("check").about("Says what data files hold, and exits with 0 if all of it can be read").arg(path.clone()).arg(fix))
        .subcommand(of_inspect().arg(path))
}

/// `russet inspect`.
fn of_inspect() -> Command {
    let json = Arg::new("json").long("json").action(ArgAction::SetTrue).help("As one JSON object");
    let separator = Arg::new("separator")
        .long("separator")
        .default_value(":")
        .help("What the parts of a key end with");
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        let parser = clap::value_parser!(u16).range(1..);
        Arg::new(name).long(name).default_value(default).value_parser(parser).help(help)
    };
    let depth = number("depth", "1", "How many parts make a prefix");
    let top = number("top", "20", "How many prefixes and keys are shown, the largest first");
    let about = "Says which keys data files hold: types, sizes in memory, prefixes, the largest";
    Command::new("inspect").about(about).arg(json).arg(separator).arg(depth).arg(top)
}

fn inspect_wish(matches: &clap::ArgMatches) -> Wish {
    let number = |name| usize::from(*matches.get_one::<u16>(name).expect("it has a default"));
    let separator = matches.get_one::<String>("separator").expect("it has a default");
    let separator = separator.as_bytes().into();
    let path = matches.get_one::<String>("path").expect("it is required");
    Wish::Inspect {
        path: PathBuf::from(path),
        how: inspect::Wish { separator, depth: number("depth"), top: number("top") },
        as_json: matches.get_flag("json"),
    }
}

/// Reads the command line. Prints and exits for `--help` and `--version`, as clap does.
pub fn parse(arguments: Vec<String>, vfs: &dyn Vfs) -> Result<Wish, FileError> {
    let mut arguments = arguments;
    if matches!(
        arguments.first().map(String::as_str),
        Some("redis-server" | "valkey-server" | "russet")
    ) {
        arguments.remove(0);
    }
    let is_ours =
        ["healthcheck", "check", "inspect", "--help", "-h", "--version", "-v", "-V", "help"];
    if arguments.first().is_some_and(|first| is_ours.contains(&first.as_str())) {
        let first =
            if arguments[0] == "-v" { "--version".to_owned() } else { arguments[0].clone() };
        let words =
            ["russet".to_owned(), first].into_iter().chain(arguments.iter().skip(1).cloned());
        let matches = command().get_matches_from(words);
        if let Some(check) = matches.subcommand_matches("healthcheck") {
            let host = check.get_one::<String>("host").expect("it has a default").clone();
            let port = *check.get_one::<u16>("port").expect("it has a default");
            return Ok(Wish::HealthCheck { host, port });
        }
        if let Some(inspect) = matches.subcommand_matches("inspect") {
            return Ok(inspect_wish(inspect));
        }
        if let Some(check) = matches.subcommand_matches("check") {
            let path = check.get_one::<String>("path").expect("it is required");
            return Ok(Wish::Check { path: PathBuf::from(path), fixes: check.get_flag("fix") });
        }
    }
    serve(&arguments, vfs).map(|serve| Wish::Serve(Box::new(serve)))
}

/// The configuration of a file, of standard input and of options, in this order.
fn serve(arguments: &[String], vfs: &dyn Vfs) -> Result<Serve, FileError> {
    let line = CommandLine::parse(arguments);
    let mut config = Config::new().with_cores(cores());
    if std::env::var_os("RUSSET_CONTAINER").is_some() {
        // The image is meant to be reached from outside its container.
        config
            .assign(const { id("protected-mode") }, "no")
            .expect("a value that the parameter takes");
    }
    let mut include = |pattern: &str| read_text(vfs, Path::new(pattern));
    let mut config_file = String::new();
    if let Some(file) = &line.file {
        let path = absolute(file);
        config_file = path.to_string_lossy().into_owned();
        let text = read_text(vfs, &path).map_err(|reason| unreadable(&config_file, &reason))?;
        if path.extension().is_some_and(|extension| extension == "toml") {
            config.load_toml(&config_file, &text, &mut include)?;
        } else {
            config.load(&config_file, &text, &mut include)?;
        }
    }
    if line.stdin {
        let text = std::io::read_to_string(std::io::stdin())
            .map_err(|error| unreadable("standard input", &error.to_string()))?;
        config.load("standard input", &text, &mut include)?;
    }
    config.load_args(arguments, &mut include)?;
    Ok(Serve { config, config_file })
}

fn read_text(vfs: &dyn Vfs, path: &Path) -> Result<String, String> {
    let bytes = vfs.read(path).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
}

fn unreadable(file: &str, reason: &str) -> FileError {
    FileError {
        file: file.to_owned(),
        line: 0,
        text: String::new(),
        reason: format!("Fatal error, can't open config file '{file}': {reason}"),
    }
}

fn absolute(file: &str) -> PathBuf {
    std::path::absolute(file).unwrap_or_else(|_| PathBuf::from(file))
}

/// How many cores this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Name, release and machine, as INFO prints them.
pub(crate) fn operating_system() -> String {
    let system = rustix::system::uname();
    let part = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    format!("{} {} {}", part(system.sysname()), part(system.release()), part(system.machine()))
}

/// Whether the server at an address answers PING.
pub fn is_healthy(host: &str, port: u16) -> std::io::Result<bool> {
    use std::io::{Read, Write};
    use std::time::Duration;
    let mut stream = std::net::TcpStream::connect((host, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
    let mut reply = [0; 64];
    let len = stream.read(&mut reply)?;
    // A server that wants a password first is up all the same.
    Ok(reply[..len].starts_with(b"+PONG") || reply[..len].starts_with(b"-NOAUTH"))
}

/// Whether an address lets others than this machine in.
pub fn is_public(address: &str) -> bool {
    let address = address.trim_start_matches('-');
    let is_loopback = address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    !is_loopback && address != "localhost"
}
