//! LATENCY GRAPH: samples as columns of letters, oldest first, with their age below.

use std::fmt::Write;

use russet_dispatch::latency::Series;
use russet_dispatch::{Args, Context, Outcome};

/// Columns of a band; more samples go into further bands.
const COLUMNS: usize = 80;

/// Rows of letters of a band.
const ROWS: usize = 4;

/// A letter's three heights; what is higher goes on in the row above.
const LETTERS: [char; 3] = ['_', 'o', '#'];

/// What fills a row below the top of a column.
const BELOW: char = '|';

pub(super) fn graph(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let event = args.next()?;
    let series = cx.state.latency.of(event).ok_or_else(|| super::no_samples(event))?;
    let text = draw(&String::from_utf8_lossy(event), &series, cx.now() / 1000);
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn draw(event: &str, series: &Series, now: u64) -> String {
    let values: Vec<u64> = series.samples.iter().map(|sample| sample.ms).collect();
    let ages: Vec<String> = series.samples.iter().map(|s| age(now.saturating_sub(s.at))).collect();
    let (high, low) = (values.iter().max().unwrap_or(&0), values.iter().min().unwrap_or(&0));
    let mut text = format!(
        "{event} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        series.max_ms,
        "-".repeat(COLUMNS),
    );
    let heights: Vec<usize> = values.iter().map(|value| height(*value, *low, *high)).collect();
    for (nth, (heights, ages)) in heights.chunks(COLUMNS).zip(ages.chunks(COLUMNS)).enumerate() {
        if nth > 0 {
            text.push('\n');
        }
        band(&mut text, heights, ages);
    }
    text
}

/// How high a column is: from 0 for the lowest sample to the top of the band.
fn height(value: u64, low: u64, high: u64) -> usize {
    const STEPS: u64 = (ROWS * LETTERS.len()) as u64;
    let range = (high - low).max(1);
    ((value - low) * STEPS / range).min(STEPS - 1) as usize
}

fn band(text: &mut String, heights: &[usize], ages: &[String]) {
    for row in (0..ROWS).rev() {
        let base = row * LETTERS.len();
        let letter = |height: &usize| match height.checked_sub(base) {
            None => ' ',
            Some(above) => LETTERS.get(above).copied().unwrap_or(BELOW),
        };
        text.extend(heights.iter().map(letter));
        text.push('\n');
    }
    text.extend(std::iter::repeat_n(' ', heights.len()));
    text.push('\n');
    let longest = ages.iter().map(String::len).max().unwrap_or(0);
    for at in 0..longest {
        text.extend(ages.iter().map(|age| age.chars().nth(at).unwrap_or(' ')));
        text.push('\n');
    }
}

/// `15s`, `3m`, `2h`, `4d`: to be read from top to bottom.
fn age(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..60 => (seconds, 's'),
        60..3_600 => (seconds / 60, 'm'),
        3_600..86_400 => (seconds / 3_600, 'h'),
        _ => (seconds / 86_400, 'd'),
    };
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write!(text, "{count}{unit}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use russet_dispatch::latency::Sample;

    #[test]
    fn columns_rise_from_the_lowest_to_the_highest() {
        let samples = [(0, 300), (50, 400), (99, 500)].map(|(at, ms)| Sample { at, ms });
        let series = Series { samples: samples.into(), max_ms: 700 };
        let text = draw("command", &series, 100);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "command - high 500 ms, low 300 ms (all time high 700 ms)");
        assert_eq!(lines[1].len(), 80);
        assert_eq!(lines[2..], ["  #", " _|", " ||", "_||", "   ", "151", "m0s", " s "]);
    }

    #[test]
    fn many_samples_go_into_several_bands() {
        let samples = (0..100).map(|at| Sample { at, ms: 5 }).collect();
        let text = draw("x", &Series { samples, max_ms: 5 }, 99);
        let widths: Vec<usize> = text.lines().skip(2).map(str::len).collect();
        assert_eq!(widths, [80, 80, 80, 80, 80, 80, 80, 80, 0, 20, 20, 20, 20, 20, 20, 20, 20]);
    }
}
