//! INFO's sections with a line for each command, error or database.

use std::fmt::Write;

use super::facts::Facts;

/// A line for each command that was called or refused since the last CONFIG RESETSTAT.
pub(super) fn commands(facts: &Facts, text: &mut String) {
    for row in facts.state.table.all() {
        let [calls, nanoseconds, rejected, failed] = facts.state.stats.command(row.id);
        if calls + rejected + failed == 0 {
            continue;
        }
        let microseconds = nanoseconds / 1000;
        let each = nanoseconds as f64 / 1000.0 / calls.max(1) as f64;
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "cmdstat_{}:calls={calls},usec={microseconds},usec_per_call={each:.2},rejected_calls={rejected},failed_calls={failed}\r\n",
            row.full_name
        );
    }
}

/// A line for each kind of error.
pub(super) fn errors(facts: &Facts, text: &mut String) {
    for (code, count) in facts.state.stats.errors() {
        let _ = write!(text, "errorstat_{code}:count={count}\r\n");
    }
}

/// A line for each database that holds something.
pub(super) fn keyspace(facts: &Facts, text: &mut String) {
    let databases = facts.walked.databases.iter().enumerate();
    for (db, of_db) in databases.filter(|(_, of_db)| of_db.keys > 0) {
        let (keys, expires, ttl) = (of_db.keys, of_db.volatile, of_db.mean_ttl_ms(facts.now));
        let hashes = of_db.hashes_with_deadlines;
        let _ = write!(
            text,
            "db{db}:keys={keys},expires={expires},avg_ttl={ttl},subexpiry={hashes}\r\n"
        );
    }
}
