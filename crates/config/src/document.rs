//! The table as files for people: `config/redis.conf`, `config/russet.toml`, `docs/configuration.md`.

use std::fmt::Write;

use crate::{Kind, Parameter, SECTIONS, Section};

/// A configuration file in Redis' syntax: every parameter with its default and a line of comment.
pub fn redis_conf() -> String {
    file_of("redis.conf", redis_line)
}

/// The same in TOML.
pub fn russet_toml() -> String {
    file_of("russet.toml", toml_line)
}

/// Every parameter in tables, for the documentation.
pub fn markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    for section in SECTIONS {
        push(&mut page, format_args!("\n## {}\n\n", section.title));
        page.push_str("| parameter | values | default | |\n| --- | --- | --- | --- |\n");
        section.parameters.iter().for_each(|row| page.push_str(&markdown_row(row)));
    }
    page
}

const INTRODUCTION: &str = "\
# Parameters

Generated from `crates/config/src/parameters.rs` by `UPDATE_DOCS=1 cargo test -p russet-config`.

A parameter is set in a file (`redis.conf` or TOML), on the command line (`--name value`) or, unless it says
*at start*, by CONFIG SET; later ones win. Bytes take a unit: `1k` is 1000, `1kb` is 1024, and so on for `m`, `mb`,
`g` and `gb`. *Protected* ones obey `enable-protected-configs`, *hidden* ones are shown only by their full name.
";

fn file_of(name: &str, line: fn(&Parameter) -> String) -> String {
    let mut page = format!(
        "# {name}: every parameter of Russet with its default.\n\
         # Generated from crates/config by `UPDATE_DOCS=1 cargo test -p russet-config`.\n"
    );
    for section in SECTIONS {
        push_section(&mut page, section, line);
    }
    page
}

fn push_section(page: &mut String, section: &Section, line: fn(&Parameter) -> String) {
    push(page, format_args!("\n\n# {}\n# {}\n", section.title, "-".repeat(section.title.len())));
    for row in section.parameters.iter().filter(|row| !row.hidden) {
        push(page, format_args!("\n# {}\n", row.doc));
        // What has no value is shown, but left out.
        let absent = row.default.is_empty() || matches!(row.kind, Kind::Replica);
        push(page, format_args!("{}{}\n", if absent { "# " } else { "" }, line(row)));
    }
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("writing to a string cannot fail");
}

fn redis_line(row: &Parameter) -> String {
    let value = match row.kind {
        _ if row.default.is_empty() => "\"\"".to_owned(),
        Kind::Text { .. } if row.default.contains([' ', '#']) => format!("\"{}\"", row.default),
        _ => row.default.to_owned(),
    };
    format!("{} {value}", row.name)
}

fn toml_line(row: &Parameter) -> String {
    let list = |size: usize, quote: &str| {
        let words: Vec<&str> = row.default.split(' ').collect();
        let items = words.chunks(size).map(|chunk| format!("{quote}{}{quote}", chunk.join(" ")));
        format!("[{}]", items.collect::<Vec<_>>().join(", "))
    };
    let value = match row.kind {
        Kind::YesNo => if row.default == "yes" { "true" } else { "false" }.to_owned(),
        Kind::Scores | Kind::Percentiles => list(1, ""),
        Kind::Addresses => list(1, "\""),
        Kind::Save => list(2, "\""),
        Kind::OutputLimits => list(4, "\""),
        Kind::Integer { .. } => row.default.to_owned(),
        Kind::Memory { .. } if row.default.bytes().all(|byte| byte.is_ascii_digit()) => {
            row.default.to_owned()
        }
        _ => format!("\"{}\"", row.default),
    };
    format!("{} = {value}", row.name)
}

fn markdown_row(row: &Parameter) -> String {
    let mut names = format!("`{}`", row.name);
    if let Some(alias) = row.alias {
        push(&mut names, format_args!(" (`{alias}`)"));
    }
    let default = if row.default.is_empty() { String::new() } else { format!("`{}`", row.default) };
    format!("| {names} | {} | {default} | {}{} |\n", values(row.kind), row.doc, remarks(row))
}

fn values(kind: Kind) -> String {
    match kind {
        Kind::YesNo => "yes, no".to_owned(),
        Kind::Integer { min, max } => format!("{} … {}", bound(min), bound(max)),
        Kind::Octal { max } => format!("0 … {max:o}, octal"),
        Kind::Memory { .. } => "bytes".to_owned(),
        Kind::Share => "bytes, percentage, auto".to_owned(),
        Kind::Threads { max } => format!("1 … {max}, auto"),
        Kind::Choice(names) => list_names(names, ", "),
        Kind::Flags(names) => list_names(names, " "),
        Kind::Text { .. } => "text".to_owned(),
        Kind::Save => "pairs".to_owned(),
        Kind::OutputLimits => "fours".to_owned(),
        Kind::Scores => "three of -2000 … 2000".to_owned(),
        Kind::Events => "letters".to_owned(),
        Kind::Addresses => "addresses".to_owned(),
        Kind::Replica => "host port".to_owned(),
        Kind::Percentiles => "0 … 100".to_owned(),
        Kind::Directory => "path".to_owned(),
    }
}

fn list_names(names: crate::Names, separator: &str) -> String {
    names.iter().map(|&(name, _)| name).collect::<Vec<_>>().join(separator)
}

/// The limits of a machine word are no news to the reader.
fn bound(number: i64) -> String {
    match number {
        i64::MAX => "2^63-1".to_owned(),
        number if number == i64::from(i32::MAX) => "2^31-1".to_owned(),
        number if number == i64::from(u32::MAX) => "2^32-1".to_owned(),
        number if number == i64::from(i32::MIN) => "-2^31".to_owned(),
        _ => number.to_string(),
    }
}

fn remarks(row: &Parameter) -> String {
    let remarks = [
        (row.immutable, "at start"),
        (row.protected, "protected"),
        (row.hidden, "hidden"),
        (row.sensitive, "secret"),
        (row.deny_loading, "not while loading"),
    ];
    let remarks: Vec<&str> =
        remarks.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
    if remarks.is_empty() { String::new() } else { format!(" *{}.*", remarks.join(", ")) }
}
