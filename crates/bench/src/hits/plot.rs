//! What came of replays, as tables and as plots.

use std::fmt::Write;
use std::path::Path;
use std::{fs, io};

use plotters::prelude::{
    BLACK, ChartBuilder, Color, IntoDrawingArea, IntoFont, IntoSegmentedCoord, RGBColor, Rectangle,
    SVGBackend, SegmentValue, Text, WHITE,
};

use super::{Contestant, Options, Row, best, folder_name};
use crate::traces::Trace;

/// What stands above the tables.
const HEAD: &str = "# Eviction: how many requests a full cache answers

Written by `cargo run --release -p russet-bench --bin hits -- --page docs/eviction.md`; do not edit.
How policies work stands in [design/0010-eviction.md](design/0010-eviction.md) and
[design/0013-eviction-policies.md](design/0013-eviction-policies.md).

Each trace is made from a seed and replayed through real servers over loopback: a GET, and on a miss a SET. Values have 100
bytes where nothing else is said. The figures are **misses of a hundred requests** after the first quarter of the trace; fewer
are better. A request that asks for a key for the first time is a miss for everybody; the last column compares what is above those.
";

/// The width and the height of a plot.
const SIZE: (u32, u32) = (860, 420);

const OWN: RGBColor = RGBColor(0xb7, 0x41, 0x0e);
const OLD: RGBColor = RGBColor(0xd9, 0xa0, 0x7a);
const OTHERS: RGBColor = RGBColor(0x8a, 0x9b, 0xb0);

/// The whole page.
pub(super) fn page(
    options: &Options,
    contestants: &[Contestant],
    traces: &[Trace],
    rounds: &[Vec<Row>],
) -> io::Result<String> {
    let mut page = HEAD.to_owned();
    let Options { keys, requests, rate, seed, memory, same_keys, .. } = options;
    let _ = writeln!(
        page,
        "\n{keys} keys, {requests} requests, {rate} a second, seed {seed}.\n\n## The same memory: `maxmemory {memory}`\n"
    );
    let first = |trace: &Trace| trace.first_asks(*seed, *keys, *requests, requests / 4);
    let traces: Vec<(&str, f64)> = traces.iter().map(|it| (it.name, first(it))).collect();
    table(&mut page, contestants, &traces, rounds.first());
    if let Some(rows) = rounds.get(1) {
        let _ = writeln!(page, "\n## The same number of keys: {same_keys}\n");
        let _ = writeln!(
            page,
            "Each server's limit is what it uses when it holds so many keys of the trace, so that policies are compared, not bytes.\n"
        );
        table(&mut page, contestants, &traces, Some(rows));
    }
    if let Some(path) = &options.page {
        let folder = folder_name(&path.with_extension(""));
        let _ = writeln!(
            page,
            "\n## Plots\n\nDark: new policies, light: Redis' policies in Russet, grey: the others.\n"
        );
        for (name, _) in &traces {
            let _ = writeln!(page, "![{name}]({folder}/{})", file_name(name, 0));
        }
        if rounds.len() > 1 {
            let _ = writeln!(page, "\nThe same number of keys:\n");
            for (name, _) in &traces {
                let _ = writeln!(page, "![{name}]({folder}/{})", file_name(name, 1));
            }
        }
    }
    Ok(page)
}

/// `traces`: their names, and how many of a hundred requests are the first for their keys.
fn table(
    page: &mut String,
    contestants: &[Contestant],
    traces: &[(&str, f64)],
    rows: Option<&Vec<Row>>,
) {
    let Some(rows) = rows else { return };
    let columns: Vec<String> = contestants.iter().map(Contestant::label).collect();
    let _ = writeln!(
        page,
        "| trace | first requests | {} | best new against Redis' best | without first requests |",
        columns.join(" | ")
    );
    let _ = writeln!(page, "| --- |{}", " ---: |".repeat(columns.len() + 3));
    for ((name, first), row) in traces.iter().zip(rows) {
        let cell = |outcome: &Option<super::Outcome>| {
            outcome.as_ref().map_or("-".to_owned(), |it| format!("{:.2}", it.misses))
        };
        let cells: Vec<String> = row.iter().map(cell).collect();
        let [all, avoidable] = [0.0, *first].map(|first| verdict(contestants, row, first));
        let cells = cells.join(" | ");
        let _ = writeln!(page, "| {name} | {first:.2} | {cells} | {all} | {avoidable} |");
    }
    let keys = |at: usize| rows.first().and_then(|row| row[at].as_ref()).map_or(0, |it| it.keys);
    let cells: Vec<String> = (0..columns.len()).map(|at| keys(at).to_string()).collect();
    let cells = cells.join(" | ");
    let _ = writeln!(page, "| keys held at the end of the first trace | | {cells} | | |");
}

/// By how much the best of the new policies misses less than the best of the others' policies, beyond so many misses of a hundred requests.
fn verdict(contestants: &[Contestant], row: &Row, first: f64) -> String {
    let new = best(contestants, row, |it| it.is_russet() && super::OWN.contains(&it.policy));
    let old = best(contestants, row, |it| !it.is_russet());
    match (new, old) {
        (Some((_, new)), Some((_, old))) => {
            format!("{:+.1} %", ((new - first) / (old - first) - 1.0) * 100.0)
        }
        _ => "-".to_owned(),
    }
}

fn file_name(trace: &str, round: usize) -> String {
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' }
    };
    let name: String = trace.chars().map(plain).collect();
    let words: Vec<&str> = name.split('-').filter(|word| !word.is_empty()).collect();
    format!("{}{}.svg", words.join("-"), if round == 0 { "" } else { "-same-keys" })
}

/// A plot of every trace and round, in a folder.
pub(super) fn draw_all(
    folder: &Path,
    contestants: &[Contestant],
    names: &[&str],
    rounds: &[Vec<Row>],
) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (round, rows) in rounds.iter().enumerate() {
        for (name, row) in names.iter().zip(rows) {
            let path = folder.join(file_name(name, round));
            draw(&path, name, contestants, row)
                .map_err(|error| io::Error::other(error.to_string()))?;
        }
    }
    Ok(())
}

/// One bar for each contestant.
fn draw(
    path: &Path,
    name: &str,
    contestants: &[Contestant],
    row: &Row,
) -> Result<(), Box<dyn std::error::Error>> {
    let bars: Vec<(&Contestant, f64)> = contestants
        .iter()
        .zip(row)
        .filter_map(|(contestant, outcome)| Some((contestant, outcome.as_ref()?.misses)))
        .collect();
    let highest = bars.iter().map(|(_, misses)| *misses).fold(1.0, f64::max);
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("{name}: misses of a hundred requests"), ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(240)
        .build_cartesian_2d(0.0..highest * 1.12, (0..bars.len().max(1) - 1).into_segmented())?;
    let label = |place: &SegmentValue<usize>| match place {
        SegmentValue::CenterOf(at) => bars.get(bars.len() - 1 - at).map(|(it, _)| it.label()),
        _ => None,
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(bars.len())
        .y_label_formatter(&|place| label(place).unwrap_or_default())
        .label_style(("sans-serif", 14))
        .draw()?;
    for (at, (contestant, misses)) in bars.iter().rev().enumerate() {
        let color = match (contestant.is_russet(), super::OWN.contains(&contestant.policy)) {
            (true, true) => OWN,
            (true, false) => OLD,
            _ => OTHERS,
        };
        let (low, high) = (SegmentValue::Exact(at), SegmentValue::Exact(at + 1));
        let mut bar = Rectangle::new([(0.0, low), (*misses, high)], color.filled());
        bar.set_margin(4, 4, 0, 0);
        let text = Text::new(
            format!("{misses:.2}"),
            (*misses + highest * 0.01, SegmentValue::CenterOf(at)),
            ("sans-serif", 13).into_font().color(&BLACK),
        );
        chart.draw_series([bar])?;
        chart.draw_series([text])?;
    }
    root.present()?;
    Ok(())
}
