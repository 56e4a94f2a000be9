//! Rules over the whole command table, and the page that is made from it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use russet_dispatch::keys::{OW, RM, RW};
use russet_dispatch::syntax::{self, Argument};
use russet_dispatch::{Flag, Row};

/// Every row, subcommands behind their containers.
fn rows() -> Vec<&'static Row> {
    russet_server::table().all().collect()
}

/// Checks a rule for every row and names all that break it.
#[track_caller]
fn each_row(rule: &str, holds: impl Fn(&Row) -> bool) {
    let broken: Vec<&str> =
        rows().into_iter().filter(|row| !holds(row)).map(|row| row.full_name.as_str()).collect();
    assert!(broken.is_empty(), "{rule}: {}", broken.join(", "));
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn names_are_unique_and_lower_case() {
    let mut seen = BTreeSet::new();
    let twice: Vec<&str> = rows()
        .iter()
        .map(|row| row.full_name.as_str())
        .filter(|name| !seen.insert(*name))
        .collect();
    assert!(twice.is_empty(), "twice: {twice:?}");
    let is_fine = |letter: u8| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || b"-_.".contains(&letter)
    };
    each_row("a name is lower case", |row| {
        !row.command.name.is_empty() && row.command.name.bytes().all(is_fine)
    });
}

#[test]
fn every_syntax_line_is_read_and_printed_back() {
    for row in rows() {
        let line = row.command.syntax;
        let arguments = syntax::parse(line)
            .unwrap_or_else(|error| panic!("{}: {line}: {error}", row.full_name));
        assert_eq!(syntax::print(&arguments), line, "{}", row.full_name);
    }
}

/// Commands that take more or less than their lines say, as Redis' do.
const LOOSE_ARITY: &[(&str, &str)] = &[
    ("quit", "old clients may send arguments"),
    ("geosearch", "a polygon needs no centre, but more words than a centre and a circle"),
    ("geosearchstore", "as geosearch"),
    ("hotkeys|start", "Redis says itself what is missing"),
    ("psync", "FAILOVER may follow"),
    ("replconf", "Redis documents no arguments"),
];

#[test]
fn the_arity_is_what_the_syntax_line_says() {
    each_row("arity agrees with the syntax line", |row| {
        let arguments = syntax::parse(row.command.syntax).unwrap();
        let words = row.first_arg() + arguments.iter().map(Argument::words_min).sum::<usize>();
        let is_fixed = arguments.iter().all(Argument::is_fixed);
        let expected = if is_fixed { words as i32 } else { -(words as i32) };
        let is_container = !row.subcommands.is_empty();
        let is_loose = LOOSE_ARITY.iter().any(|(name, _)| *name == row.full_name);
        row.command.arity == expected || is_container || is_loose
    });
}

/// Commands that only read, but may keep what they found with the value.
const KEEPS_ITS_ANSWER: &[&str] = &["pfcount"];

#[test]
fn writing_commands_say_which_keys_they_write() {
    each_row("a Write row with keys writes one of them", |row| {
        let writes = row.command.keys.iter().any(|spec| spec.access & (RW | OW | RM) != 0);
        let is_known = row.full_name == "xreadgroup"; // Redis says that it reads: what it writes is who has read.
        !row.has(Flag::Write) || row.command.keys.is_empty() || writes || is_known
    });
    each_row("a ReadOnly row writes none", |row| {
        let writes = row.command.keys.iter().any(|spec| spec.access & (RW | OW | RM) != 0);
        !row.has(Flag::ReadOnly) || !writes || KEEPS_ITS_ANSWER.contains(&row.command.name)
    });
    each_row("a row does not both read only and write", |row| {
        !(row.has(Flag::ReadOnly) && row.has(Flag::Write))
    });
}

/// Files that are named neither after a group nor after a container or a command of theirs.
const OTHER_FILES: &[(&str, &str)] = &[
    ("replication", "what a server without replicas answers about them"),
    ("commandlog", "SLOWLOG is the older name of a part of it"),
    ("saving", "what leaves its work to the thread that saves"),
];

#[test]
fn a_command_stands_in_the_file_of_its_group() {
    each_row("a row stands in the file of its group, its container or itself", |row| {
        let file = Path::new(row.command.file).with_extension("");
        let group = row.command.group.name().replace('-', "_");
        let container = row.full_name.split('|').next().unwrap();
        let is_at_home = |part: &str| {
            part == group || part == container || OTHER_FILES.iter().any(|(file, _)| *file == part)
        };
        file.components().filter_map(|part| part.as_os_str().to_str()).any(is_at_home)
    });
}

#[test]
fn every_row_is_described() {
    each_row("a summary is a sentence", |row| {
        let summary = row.command.summary;
        summary.ends_with('.') && summary.starts_with(|first: char| first.is_ascii_uppercase())
    });
    each_row("a row has a complexity", |row| !row.command.complexity.is_empty());
    let is_version = |text: &str| {
        text.split('.').count() == 3 && text.split('.').all(|part| part.parse::<u32>().is_ok())
    };
    each_row("since is a version", |row| is_version(row.command.since));
    each_row("history begins with versions", |row| {
        row.command.history.iter().all(|(since, _)| is_version(since))
    });
}

/// Where our rows and the list of facts differ on purpose.
const KNOWN_DIFFERENCES: &[(&str, &str, &str)] = &[
    ("monitor", "arity", "MATCH is Russet's own"),
    ("eval", "flags", SCRIPT_RUNNER),
    ("evalsha", "flags", SCRIPT_RUNNER),
    ("eval_ro", "flags", SCRIPT_RUNNER),
    ("evalsha_ro", "flags", SCRIPT_RUNNER),
    ("fcall", "flags", SCRIPT_RUNNER),
    ("fcall_ro", "flags", SCRIPT_RUNNER),
];

/// Why.
const SCRIPT_RUNNER: &str =
    "the flag `script_runner` is newer than the COMMAND INFO that is answered";

/// Whether a cell of the list, which may hold Redis' and Valkey's view, says the same as a row.
fn agrees(cell: &str, own: &str, same: impl Fn(&str, &str) -> bool) -> bool {
    cell.split(" / ").any(|view| same(view.trim_start_matches("R:").trim_start_matches("V:"), own))
}

fn same_set(one: &str, other: &str) -> bool {
    let set = |text: &str| {
        text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    set(one) == set(other)
}

/// What the list of facts says beside what a row says.
fn differences(row: &Row, cells: &[&str]) -> Vec<(&'static str, String)> {
    // `may_replicate` is not in the list.
    let flags = row
        .command
        .flags
        .iter()
        .filter(|flag| **flag != Flag::MayReplicate)
        .filter_map(|flag| flag.name());
    let flags = flags.collect::<Vec<_>>().join(",");
    let columns = [
        ("since", cells[2], row.command.since.to_owned(), false),
        ("arity", cells[3], row.command.arity.to_string(), false),
        ("flags", cells[4], flags, true),
    ];
    let is_known = |column: &str| {
        KNOWN_DIFFERENCES.iter().any(|known| known.0 == row.full_name && known.1 == column)
    };
    let differ = columns.into_iter().filter(|(column, cell, own, is_set)| {
        let same = if *is_set { same_set } else { |one: &str, other: &str| one == other };
        !agrees(cell, own, same) && !is_known(column)
    });
    differ.map(|(column, cell, own, _)| (column, format!("{cell}, not {own}"))).collect()
}

#[test]
fn the_rows_agree_with_the_list_of_facts() {
    let Ok(list) = fs::read_to_string(project().join("../shared/data/commands.tsv")) else {
        println!("left out: there is no list of facts beside the project");
        return;
    };
    let mut wrong = String::new();
    for row in rows() {
        let name = row.full_name.to_uppercase();
        let Some(line) = list.lines().find(|line| line.split('\t').next() == Some(&name)) else {
            writeln!(wrong, "{name} is not in the list").unwrap();
            continue;
        };
        let cells: Vec<&str> = line.split('\t').collect();
        for (column, difference) in differences(row, &cells) {
            writeln!(wrong, "{name}: {column} is {difference}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_page_of_commands_is_current() {
    let path = project().join("docs/commands.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let current = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        current == page,
        "docs/commands.md is out of date: UPDATE_DOCS=1 cargo test --test integration table"
    );
}

/// `docs/commands.md`.
fn page() -> String {
    let mut page = String::from(
        "# Commands\n\nGenerated from the command table: `UPDATE_DOCS=1 cargo test --test integration table`. The types after colons are \
        int, double, time (a moment in Unix time) and pattern (a glob).\n",
    );
    let mut groups: Vec<&str> = rows().iter().map(|row| row.command.group.name()).collect();
    groups.sort_unstable();
    groups.dedup();
    for group in groups {
        page +=
            &["\n## ", group, "\n\n| command | arguments | since | complexity | flags | file |\n"]
                .concat();
        page += "| --- | --- | --- | --- | --- | --- |\n";
        for row in rows()
            .into_iter()
            .filter(|row| row.command.group.name() == group && row.subcommands.is_empty())
        {
            page += &line(row);
        }
    }
    page
}

fn line(row: &Row) -> String {
    let command = row.command;
    let escaped = |text: &str| text.replace('|', "\\|");
    let name = row.full_name.to_uppercase().replace('|', " ");
    let syntax = if command.syntax.is_empty() {
        String::new()
    } else {
        format!("`{}`", escaped(command.syntax))
    };
    let flags: Vec<&str> = command.flags.iter().filter_map(|flag| flag.name()).collect();
    let file = command.file.rsplit("crates/").next().unwrap_or_default().replace("/src", "");
    let (summary, since, complexity) =
        (escaped(command.summary), command.since, escaped(command.complexity));
    format!(
        "| **{name}** {summary} | {syntax} | {since} | {complexity} | {} | {file} |\n",
        flags.join(" ")
    )
}
