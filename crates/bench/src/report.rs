//! What one run measured.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::load::Outcome;

/// The figures of one run of the load generator; what `--json` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was sent.
    pub workload: String,
    /// How many connections sent it.
    pub connections: usize,
    /// Requests per batch.
    pub pipeline: usize,
    /// Replies received.
    pub requests: u64,
    /// How long it took.
    pub seconds: f64,
    /// Requests per second.
    pub rps: f64,
    /// Median latency of a batch, in microseconds, as are the next three.
    pub p50_us: f64,
    /// 99 in 100 batches were answered within this.
    pub p99_us: f64,
    /// 999 in 1000 were.
    pub p999_us: f64,
    /// All were.
    pub max_us: f64,
    /// Share of the time in which the load generator was on its CPU. Near 1, the figure is as much
    /// its own as the server's.
    pub load_busy: f64,
    /// How many replies were, or held, errors.
    pub errors: u64,
    /// The text of the first.
    pub first_error: Option<String>,
}

impl Report {
    /// The figures of `outcome`, under the name of what was sent.
    pub fn new(workload: String, connections: usize, pipeline: usize, outcome: &Outcome) -> Self {
        let seconds = outcome.elapsed.as_secs_f64().max(1e-9);
        let quantile = |q| outcome.latency_ns.value_at_quantile(q) as f64 / 1000.0;
        Self {
            workload,
            connections,
            pipeline,
            requests: outcome.requests,
            seconds,
            rps: outcome.requests as f64 / seconds,
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            max_us: outcome.latency_ns.max() as f64 / 1000.0,
            load_busy: outcome.own_cpu.as_secs_f64() / seconds,
            errors: outcome.errors,
            first_error: outcome.first_error.clone(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (c {}, P {}): {:.0} requests/s in {:.2} s; \
             p50 {:.1}, p99 {:.1}, p99.9 {:.1}, max {:.1} µs; load generator {:.0} % busy",
            self.workload,
            self.connections,
            self.pipeline,
            self.rps,
            self.seconds,
            self.p50_us,
            self.p99_us,
            self.p999_us,
            self.max_us,
            self.load_busy * 100.0,
        )?;
        match &self.first_error {
            Some(text) => write!(f, "; {} errors, the first: {text}", self.errors),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;
    use std::time::Duration;

    fn report(errors: u64) -> Report {
        let mut latency_ns = Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        (1..=1000).for_each(|us| latency_ns.record(us * 1000).unwrap());
        let outcome = Outcome {
            requests: 16_000,
            errors,
            first_error: (errors > 0).then(|| "ERR no".to_owned()),
            elapsed: Duration::from_secs(2),
            own_cpu: Duration::from_millis(500),
            latency_ns,
        };
        Report::new("get".to_owned(), 50, 16, &outcome)
    }

    #[test]
    fn quantiles_are_within_a_part_in_a_thousand() {
        let report = report(0);
        for (measured, expected) in [
            (report.p50_us, 500.0),
            (report.p99_us, 990.0),
            (report.p999_us, 999.0),
            (report.max_us, 1000.0),
        ] {
            assert!((measured / expected - 1.0).abs() < 0.001, "{measured} for {expected}");
        }
    }

    #[test]
    fn the_line_for_people() {
        assert_eq!(
            report(0).to_string(),
            "get (c 50, P 16): 8000 requests/s in 2.00 s; p50 500.2, p99 990.2, p99.9 999.4, \
             max 1000.4 µs; load generator 25 % busy"
        );
        assert!(report(3).to_string().ends_with("; 3 errors, the first: ERR no"));
    }

    #[test]
    fn json_reads_back() {
        let report = report(1);
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }
}
