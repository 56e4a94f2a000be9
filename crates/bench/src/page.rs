//! The figures as Markdown.
//!
//! [`tables`] is what the terminal shows; [`page`] puts a head before it: what was measured, where,
//! and the command that measures it again. Ratios are Russet over the other: above 1 is better for
//! requests per second, below 1 for everything else.

use std::fmt::Write;

use crate::compare::{Benchmark, Contender, Results, Run, Sample, Speed};
use crate::memory::Memory;
use crate::workload::{self, Suite};

/// Whom the ratios are about.
const SUBJECT: &str = "Russet";

/// The whole page.
pub fn page(results: &Results) -> String {
    let title = match results.options.suite {
        Suite::Keys => "keys",
        Suite::Types => "the types",
        Suite::Heavy => "many elements at once",
        Suite::Messages => "messages",
        Suite::Scripts => "scripts",
    };
    let mut text = format!("# Benchmarks: {title}\n\n");
    text.push_str(&head(results));
    text.push('\n');
    text.push_str(&tables(results));
    text
}

/// All tables that have rows.
pub fn tables(results: &Results) -> String {
    let sections = [
        ("Requests", speed(&results.speed)),
        ("Russet over the others", ratios(results)),
        ("Memory per key or element", memory(results)),
        ("The same by redis-benchmark", benchmark(&results.benchmark)),
    ];
    let filled = sections.iter().filter(|(_, table)| !table.is_empty());
    let written: Vec<String> =
        filled.map(|(title, table)| format!("## {title}\n\n{table}")).collect();
    written.join("\n")
}

fn head(results: &Results) -> String {
    let options = &results.options;
    let machine = &results.machine;
    let mut text = format!(
        "Every server runs on one core with one I/O thread, without persistence, and is sent the \
         same requests over loopback from another core: {} connections, {} keys of 16 bytes, \
         values of {} bytes. Figures are medians of {} interleaved runs of {} s. P is the number \
         of requests a connection sends before it waits; latency is that of a whole batch. CPU is \
         the server's own time, kernel included, divided by requests: the figure least disturbed \
         by whatever else the machine does. Where the server is not fully busy, requests per \
         second show the load generator's limit and not the server's.\n\n",
        options.connections,
        grouped(f64::from(options.keys)),
        options.value_bytes,
        options.rounds,
        options.seconds,
    );
    let _ = writeln!(
        text,
        "* Machine: {}, {} cores, Linux {}",
        machine.cpu, machine.cores, machine.kernel
    );
    for Contender { name, version, .. } in &results.contenders {
        let _ = writeln!(text, "* {name}: {version}");
    }
    let _ = writeln!(text, "* Measured by: `{}`", results.command_line);
    text
}

fn table(titles: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut text = format!("| {} |\n|", titles.join(" | "));
    // The first column is text, all others are figures or short names.
    titles
        .iter()
        .enumerate()
        .for_each(|(at, _)| text.push_str(if at == 0 { " --- |" } else { " ---: |" }));
    text.push('\n');
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

fn speed(speed: &[Speed]) -> String {
    let titles = [
        "workload",
        "P",
        "server",
        "requests/s",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "CPU ns/request",
        "server busy",
        "load busy",
    ];
    let rows: Vec<Vec<String>> = speed.iter().map(speed_row).collect();
    table(&titles, &rows)
}

fn speed_row(Speed { run, server, sample }: &Speed) -> Vec<String> {
    vec![
        run.workload.clone(),
        run.pipeline.to_string(),
        (*server).to_owned(),
        grouped(sample.rps),
        grouped(sample.p50_us),
        grouped(sample.p99_us),
        grouped(sample.p999_us),
        grouped(sample.cpu_ns),
        percent(sample.server_busy),
        percent(sample.load_busy),
    ]
}

/// Everybody but the subject.
fn others(results: &Results) -> Vec<&'static str> {
    let names = results.contenders.iter().map(|contender| contender.name);
    names.filter(|name| *name != SUBJECT).collect()
}

fn sample_of<'a>(speed: &'a [Speed], run: &Run, server: &str) -> Option<&'a Sample> {
    let row = speed.iter().find(|row| row.run == *run && row.server == server);
    row.map(|row| &row.sample)
}

fn ratios(results: &Results) -> String {
    let others = others(results);
    let mut titles = vec!["workload".to_owned(), "P".to_owned()];
    for other in &others {
        titles.extend(["requests/s", "p99", "CPU"].map(|what| format!("{what} / {other}")));
    }
    titles.push("goal for CPU / Valkey".to_owned());
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    let subject = results.speed.iter().filter(|row| row.server == SUBJECT);
    let rows: Vec<Vec<String>> = subject.map(|row| ratio_row(results, row, &others)).collect();
    if others.is_empty() { String::new() } else { table(&titles, &rows) }
}

fn ratio_row(results: &Results, ours: &Speed, others: &[&str]) -> Vec<String> {
    let mut cells = vec![ours.run.workload.clone(), ours.run.pipeline.to_string()];
    for other in others {
        let theirs = sample_of(&results.speed, &ours.run, other);
        for field in [|s: &Sample| s.rps, |s: &Sample| s.p99_us, |s: &Sample| s.cpu_ns] {
            cells.push(ratio(field(&ours.sample), theirs.map(field)));
        }
    }
    let goal = workload::goal(&ours.run.workload, ours.run.pipeline);
    cells.push(goal.map(|goal| format!("{goal:.2}")).unwrap_or_default());
    cells
}

fn memory(results: &Results) -> String {
    let others = others(results);
    let has_subject = results.contenders.iter().any(|contender| contender.name == SUBJECT);
    let mut titles = vec!["stored".to_owned()];
    titles.extend(results.contenders.iter().map(|contender| format!("{} B", contender.name)));
    if has_subject {
        titles.extend(others.iter().map(|other| format!("{SUBJECT} / {other}")));
    }
    titles.push("goal / Valkey".to_owned());
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    let kinds = results.memory.chunks(results.contenders.len().max(1));
    let rows: Vec<Vec<String>> = kinds.map(|kind| memory_row(kind, has_subject)).collect();
    table(&titles, &rows)
}

/// One kind of key on all servers, which stand in the order of the contenders.
fn memory_row(kind: &[Memory], has_subject: bool) -> Vec<String> {
    let mut cells = vec![kind[0].stored.to_owned()];
    cells.extend(kind.iter().map(|memory| format!("{:.1}", memory.bytes_each)));
    if has_subject {
        let ours = kind.iter().find(|memory| memory.server == SUBJECT);
        let ours = ours.map_or(f64::NAN, |memory| memory.bytes_each);
        let others = kind.iter().filter(|memory| memory.server != SUBJECT);
        cells.extend(others.map(|memory| ratio(ours, Some(memory.bytes_each))));
    }
    cells.push(format!("{:.2}", kind[0].goal));
    cells
}

fn benchmark(benchmark: &[Benchmark]) -> String {
    let titles = ["workload", "P", "server", "requests/s", "p50 µs", "p99 µs"];
    let row = |row: &Benchmark| {
        vec![
            row.run.workload.clone(),
            row.run.pipeline.to_string(),
            row.server.to_owned(),
            grouped(row.rps),
            grouped(row.p50_us),
            grouped(row.p99_us),
        ]
    };
    let rows: Vec<Vec<String>> = benchmark.iter().map(row).collect();
    table(&titles, &rows)
}

fn ratio(ours: f64, theirs: Option<f64>) -> String {
    theirs.map_or_else(|| "–".to_owned(), |theirs| format!("{:.2}", ours / theirs))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A whole number with commas between groups of three digits.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Options;
    use crate::machine::Machine;
    use clap::Parser;

    fn contender(name: &'static str) -> Contender {
        Contender { name, program: "/bin/x".into(), version: "1.2.3".to_owned() }
    }

    fn results(names: &[&'static str]) -> Results {
        let run = Run { workload: "get".to_owned(), pipeline: 16 };
        let mut results = Results {
            command_line: "cargo compare --rounds 3".to_owned(),
            machine: Machine { cpu: "Some CPU".to_owned(), cores: 2, kernel: "6.1".to_owned() },
            options: Options::try_parse_from(["compare"]).unwrap(),
            contenders: names.iter().map(|name| contender(name)).collect(),
            speed: Vec::new(),
            memory: Vec::new(),
            benchmark: Vec::new(),
        };
        for (at, &server) in names.iter().enumerate() {
            let scale = (at + 1) as f64;
            let sample = Sample {
                rps: 2_000_000.0 / scale,
                p50_us: 100.4 * scale,
                p99_us: 200.0 * scale,
                p999_us: 1300.0,
                cpu_ns: 480.0 * scale,
                server_busy: 0.96,
                load_busy: 0.5,
            };
            results.speed.push(Speed { run: run.clone(), server, sample });
            let stored = "values";
            results.memory.push(Memory { stored, server, bytes_each: 115.25 * scale, goal: 0.83 });
        }
        results
    }

    #[test]
    fn tables_hold_figures_and_ratios() {
        let expected = "\
## Requests

| workload | P | server | requests/s | p50 µs | p99 µs | p99.9 µs | CPU ns/request | server busy | load busy |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| get | 16 | Russet | 2,000,000 | 100 | 200 | 1,300 | 480 | 96 % | 50 % |
| get | 16 | Valkey | 1,000,000 | 201 | 400 | 1,300 | 960 | 96 % | 50 % |

## Russet over the others

| workload | P | requests/s / Valkey | p99 / Valkey | CPU / Valkey | goal for CPU / Valkey |
| --- | ---: | ---: | ---: | ---: | ---: |
| get | 16 | 2.00 | 0.50 | 0.50 | 0.45 |

## Memory per key or element

| stored | Russet B | Valkey B | Russet / Valkey | goal / Valkey |
| --- | ---: | ---: | ---: | ---: |
| values | 115.2 | 230.5 | 0.50 | 0.83 |
";
        assert_eq!(tables(&results(&["Russet", "Valkey"])), expected);
    }

    #[test]
    fn without_russet_there_are_no_ratios() {
        let text = tables(&results(&["Valkey", "Redis"]));
        assert!(!text.contains("Russet"), "{text}");
        assert!(text.contains("| values | 115.2 | 230.5 | 0.83 |"), "{text}");
    }

    #[test]
    fn alone_it_has_nobody_to_be_compared_with() {
        assert!(!tables(&results(&["Russet"])).contains("over the others"));
    }

    #[test]
    fn the_page_says_where_and_how() {
        let text = page(&results(&["Russet", "Valkey", "Redis"]));
        for part in [
            "# Benchmarks: keys\n\n",
            "50 connections, 1,000,000 keys of 16 bytes, values of 64 bytes",
            "* Machine: Some CPU, 2 cores, Linux 6.1\n",
            "* Valkey: 1.2.3\n",
            "* Measured by: `cargo compare --rounds 3`\n",
            "| get | 16 | 2.00 | 0.50 | 0.50 | 3.00 | 0.33 | 0.33 | 0.45 |",
        ] {
            assert!(text.contains(part), "{part} is missing from\n{text}");
        }
    }

    #[test]
    fn digits_come_in_threes() {
        for (number, text) in
            [(0.0, "0"), (999.6, "1,000"), (1e6, "1,000,000"), (12345.0, "12,345")]
        {
            assert_eq!(grouped(number), text);
        }
    }
}
