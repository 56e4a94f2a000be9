//! Where the log goes and how its lines look.
//!
//! Text lines have the shape that Redis' lines have (`pid:role date level message`), since tools look for it; fields follow the message.
//! JSON lines are tracing-subscriber's, lines of `logfmt` Valkey's. Which of them is written may change from one line to the next.

use std::fmt;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use russet_config::{Config, id};
use russet_persist::vfs::{Vfs, VfsFile};
use tracing::subscriber::set_global_default;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{self, Format, FormatEvent, FormatFields, Json};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;

/// Redis' line: `12:M 21 Nov 2026 02:14:50.123 * message field=value`.
const TEXT: u8 = 0;
/// One object a line.
const JSON: u8 = 1;
/// Valkey's pairs: `pid=12 role=primary timestamp="21 Nov 2026 02:14:50.123" level=notice message="message field=value"`.
const PAIRS: u8 = 2;

/// How lines look, one of those above; to be changed by CONFIG SET.
static FORM: AtomicU8 = AtomicU8::new(TEXT);

/// A line of the log, in the form that is asked for.
#[derive(Debug)]
struct Line {
    pid: u32,
    json: Format<Json>,
}

impl Line {
    fn new() -> Self {
        Self { pid: std::process::id(), json: format::format().json().flatten_event(true) }
    }
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        cx: &FmtContext<'_, S, N>,
        mut writer: format::Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (pid, date) = (self.pid, date(crate::clock::now_ms()));
        let (mark, level) = match *event.metadata().level() {
            Level::ERROR | Level::WARN => ('#', "warning"),
            Level::INFO => ('*', "notice"),
            Level::DEBUG => ('-', "info"),
            Level::TRACE => ('.', "debug"),
        };
        match FORM.load(Ordering::Relaxed) {
            JSON => return self.json.format_event(cx, writer, event),
            PAIRS => {
                write!(writer, "pid={pid} role=primary timestamp=\"{date}\" level={level} ")?;
                let mut message = String::new();
                cx.format_fields(format::Writer::new(&mut message), event)?;
                write!(writer, "message=\"{}\"", quoted(&message))?;
            }
            _ => {
                write!(writer, "{pid}:M {date} {mark} ")?;
                cx.format_fields(writer.by_ref(), event)?;
            }
        }
        writer.write_char('\n')
    }
}

/// A text that may stand between quotes: what would end it is replaced, as in Valkey.
fn quoted(text: &str) -> String {
    let plain = |letter| match letter {
        '"' => '\'',
        '\n' | '\r' => ' ',
        other => other,
    };
    text.chars().map(plain).collect()
}

/// `21 Nov 2026 02:14:50.123`, in UTC.
fn date(now_ms: u64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (seconds, ms) = (now_ms / 1000, now_ms % 1000);
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!(
        "{day:02} {} {year} {hour:02}:{minute:02}:{second:02}.{ms:03}",
        MONTHS[month as usize - 1]
    )
}

/// Year, month and day of a day since 1970: Howard Hinnant's `civil_from_days`, for days that are not before 1970.
const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + if month <= 2 { 1 } else { 0 }, month, day)
}

/// The log's end: standard output, or a file.
#[derive(Clone, Debug)]
enum Sink {
    Stdout,
    File(Arc<Mutex<Box<dyn VfsFile>>>),
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout => io::stdout().write_all(bytes)?,
            Self::File(file) => {
                file.lock().unwrap_or_else(PoisonError::into_inner).write_all(bytes)?
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().flush(),
            Self::File(_) => Ok(()),
        }
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Where syslog listens.
const SYSLOG: &str = "/dev/log";

/// The way to syslog: a datagram a line. What it does not take at once is lost.
#[derive(Debug)]
struct Syslog(UnixDatagram);

impl Syslog {
    fn connect(path: &str) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }
}

impl<'a> MakeWriter<'a> for Syslog {
    type Writer = SyslogWriter<'a>;

    fn make_writer(&'a self) -> SyslogWriter<'a> {
        SyslogWriter(&self.0)
    }
}

/// Sends what is written at once as one datagram.
#[derive(Debug)]
struct SyslogWriter<'a>(&'a UnixDatagram);

impl Write for SyslogWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // The log has another end; syslog that is busy or gone is no reason to fail.
        drop(self.0.send(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Syslog's line: `<133>redis[12]: message field=value`. It notes the time by itself.
#[derive(Debug)]
struct SyslogLine {
    facility: u8,
    ident: String,
    pid: u32,
}

impl SyslogLine {
    fn new(config: &Config) -> Self {
        Self {
            facility: config.integer(const { id("syslog-facility") }) as u8,
            ident: config.text(const { id("syslog-ident") }).to_owned(),
            pid: std::process::id(),
        }
    }
}

impl<S, N> FormatEvent<S, N> for SyslogLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        cx: &FmtContext<'_, S, N>,
        mut writer: format::Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let severity = match *event.metadata().level() {
            Level::ERROR | Level::WARN => 4,
            Level::INFO => 5,
            Level::DEBUG => 6,
            Level::TRACE => 7,
        };
        write!(writer, "<{}>{}[{}]: ", self.facility + severity, self.ident, self.pid)?;
        cx.format_fields(writer.by_ref(), event)
    }
}

/// The filter of the process's log, to be exchanged by CONFIG SET.
static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// Starts the log of the process. `Err` if the file cannot be opened.
pub fn start(config: &Config, vfs: &dyn Vfs) -> io::Result<()> {
    let sink = match config.text(const { id("logfile") }) {
        "" => Sink::Stdout,
        path => Sink::File(Arc::new(Mutex::new(vfs.append(Path::new(path))?))),
    };
    let (filter, handle) = reload::Layer::new(level(config));
    let lines = tracing_subscriber::fmt::layer().with_writer(sink).with_ansi(false);
    let syslog = config.bool(const { id("syslog-enabled") }).then(|| Syslog::connect(SYSLOG));
    let (syslog, failed) = match syslog.transpose() {
        Ok(syslog) => (syslog, None),
        Err(error) => (None, Some(error)),
    };
    let syslog = syslog.map(|way| {
        let lines = tracing_subscriber::fmt::layer().with_writer(way).with_ansi(false);
        lines.event_format(SyslogLine::new(config))
    });
    let registry = tracing_subscriber::registry().with(filter).with(syslog);
    let started = set_global_default(registry.with(lines.event_format(Line::new())));
    // A second server in the same process logs where the first one does, and as much.
    if started.is_ok() {
        FORM.store(form(config), Ordering::Relaxed);
        drop(LEVEL.set(handle));
    }
    if let Some(error) = failed {
        tracing::warn!("nothing is logged to {SYSLOG}: {error}");
    }
    Ok(())
}

/// How much is logged.
fn level(config: &Config) -> LevelFilter {
    match config.choice(const { id("loglevel") }) {
        "debug" => LevelFilter::TRACE,
        "verbose" => LevelFilter::DEBUG,
        "notice" => LevelFilter::INFO,
        "warning" => LevelFilter::WARN,
        _ => LevelFilter::OFF,
    }
}

/// How lines look.
fn form(config: &Config) -> u8 {
    match config.choice(const { id("log-format") }) {
        "json" => JSON,
        "logfmt" => PAIRS,
        _ => TEXT,
    }
}

/// Logs as much as the configuration says from now on, and in that form, if this process has a log of its own.
pub(crate) fn follow(config: &Config) {
    let Some(handle) = LEVEL.get() else { return };
    FORM.store(form(config), Ordering::Relaxed);
    if let Err(error) = handle.reload(level(config)) {
        tracing::warn!(%error, "the log level stays as it was");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use tracing_subscriber::layer::SubscriberExt;

    use super::{Syslog, SyslogLine};

    #[test]
    fn syslog_gets_a_datagram_for_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let listener = UnixDatagram::bind(&path).unwrap();
        let way = Syslog::connect(path.to_str().unwrap()).unwrap();
        let line = SyslogLine { facility: 128, ident: "redis".to_owned(), pid: 12 };
        let lines = tracing_subscriber::fmt::layer().with_writer(way).with_ansi(false);
        let log = tracing_subscriber::registry().with(lines.event_format(line));
        tracing::subscriber::with_default(log, || {
            tracing::info!(n = 3, "Ready");
            tracing::error!("a\nb");
        });
        let mut bytes = [0; 100];
        for expected in ["<133>redis[12]: Ready n=3", "<132>redis[12]: a"] {
            let len = listener.recv(&mut bytes).unwrap();
            let line = String::from_utf8_lossy(&bytes[..len]);
            assert!(line.starts_with(expected), "{line}");
        }
    }

    #[test]
    fn nothing_ends_a_quoted_text() {
        assert_eq!(super::quoted("a \"b\"\r\nc=1"), "a 'b'  c=1");
    }

    #[test]
    fn dates_are_right_around_leap_days() {
        assert_eq!(super::date(0), "01 Jan 1970 00:00:00.000");
        assert_eq!(super::date(951_782_400_123), "29 Feb 2000 00:00:00.123");
        assert_eq!(super::date(1_795_226_400_000), "21 Nov 2026 02:00:00.000");
    }
}
