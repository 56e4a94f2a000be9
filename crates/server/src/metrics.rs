//! What Prometheus and its like are told: `/metrics` in the format of OpenMetrics.
//!
//! Metrics are rows of a table: a name, what it is, and a function of the [`Facts`] that are gathered once per scrape. Labels are bounded
//! by what the server is made of: its commands, threads, databases and kinds of errors, never by keys or clients.

mod facts;
mod http;
mod rows;

use std::fmt::{self, Write};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use russet_dispatch::State;

use self::facts::Facts;
pub(crate) use self::http::{Door, bind};
use self::rows::ROWS;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Only grows, until the server starts anew or CONFIG RESETSTAT; its name ends in `_total`.
    Counter,
    /// Grows and shrinks.
    Gauge,
    /// How often something was how large; its names end in `_bucket`, `_sum` and `_count`.
    Histogram,
}

/// One value of a metric, with the values of its labels.
struct Sample {
    labels: Vec<String>,
    value: Value,
}

enum Value {
    Number(f64),
    /// The sum of all, and how many were no larger than each limit but larger than the one before.
    Buckets(f64, Vec<(f64, u64)>),
}

/// A metric.
struct Row {
    /// Without what the format puts before and behind it.
    name: &'static str,
    kind: Kind,
    help: &'static str,
    labels: &'static [&'static str],
    read: fn(&Facts) -> Vec<Sample>,
}

/// What stands before every name.
const PREFIX: &str = "russet_";

/// All names under which samples appear, as queries use them.
pub fn names() -> Vec<String> {
    let names = |row: &Row| {
        let endings: &[&str] = match row.kind {
            Kind::Counter => &["_total"],
            Kind::Gauge => &[""],
            Kind::Histogram => &["_bucket", "_sum", "_count"],
        };
        endings.iter().map(|ending| format!("{PREFIX}{}{ending}", row.name)).collect::<Vec<_>>()
    };
    ROWS.iter().flat_map(names).collect()
}

/// The page that lists all metrics.
pub fn markdown() -> String {
    let mut text = "# Metrics\n\nWhat `/metrics` serves when `metrics-port` is set, made from `crates/server/src/metrics/rows.rs`.\n\n\
                    | metric | type | labels | what it tells |\n|---|---|---|---|\n"
        .to_owned();
    for row in ROWS {
        let kind = match row.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let ending = if row.kind == Kind::Counter { "_total" } else { "" };
        let labels: Vec<String> = row.labels.iter().map(|label| format!("`{label}`")).collect();
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| `{PREFIX}{}{ending}` | {kind} | {} | {} |",
            row.name,
            labels.join(", "),
            row.help
        );
    }
    text
}

/// Reads all rows whenever it is asked.
struct All {
    state: &'static State,
}

impl fmt::Debug for All {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("All")
    }
}

impl Collector for All {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let facts = Facts::gather(self.state);
        ROWS.iter().try_for_each(|row| write(row, &facts, &mut encoder))
    }
}

fn write(row: &Row, facts: &Facts, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let samples = (row.read)(facts);
    if samples.is_empty() {
        return Ok(());
    }
    let kind = match row.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    // The format ends the text with a full stop itself.
    let help = row.help.trim_end_matches('.');
    let name = format!("{PREFIX}{}", row.name);
    let mut encoder = encoder.encode_descriptor(&name, help, None, kind)?;
    if let ([], [only]) = (row.labels, &samples[..]) {
        return write_value(row.kind, &only.value, encoder);
    }
    for sample in samples {
        let labels: Vec<(&str, &str)> =
            row.labels.iter().copied().zip(sample.labels.iter().map(String::as_str)).collect();
        write_value(row.kind, &sample.value, encoder.encode_family(&labels)?)?;
    }
    Ok(())
}

fn write_value(kind: Kind, value: &Value, mut encoder: MetricEncoder<'_>) -> fmt::Result {
    match value {
        Value::Number(number) if kind == Kind::Counter => {
            ConstCounter::new(*number).encode(encoder)
        }
        Value::Number(number) => ConstGauge::new(*number).encode(encoder),
        Value::Buckets(sum, buckets) => {
            let count = buckets.iter().map(|(_, count)| count).sum();
            encoder.encode_histogram::<[(&str, &str); 0]>(*sum, count, buckets, None)
        }
    }
}

/// Everything there is to tell, as text.
fn text(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry)?;
    Ok(text)
}

/// A registry of all metrics of a server.
fn registry(state: &'static State) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(All { state }));
    registry
}

/// How long a client of these pages may take over its request.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);
