//! Fewer commands that show the same difference.

use russet_testkit::Reply;
use russet_testkit::differential::Difference;

use super::{Command, Fuzz, Setting};

/// The commands that a difference needs, and the difference, as text.
pub(super) fn shrunk(
    fuzz: &Fuzz,
    setting: Setting,
    history: Vec<Command>,
    found: Difference,
) -> String {
    let (mut history, mut found) = (history, found);
    let mut chunk = history.len() / 2;
    while chunk > 0 {
        let mut at = 0;
        while at < history.len() {
            let mut fewer = history.clone();
            fewer.drain(at..(at + chunk).min(history.len()));
            if !is_sound(fuzz, &fewer) {
                at += chunk;
                continue;
            }
            match fuzz.play(setting, &fewer) {
                Err((len, difference)) if kind(&difference) == kind(&found) => {
                    fewer.truncate(len);
                    (history, found) = (fewer, difference);
                }
                _ => at += chunk,
            }
        }
        chunk /= 2;
    }
    let lines: Vec<String> = history.iter().map(show).collect();
    format!("{setting:?}\n{}\n=> {found}", lines.join("\n"))
}

/// Whether before each command stands what must.
fn is_sound(fuzz: &Fuzz, commands: &[Command]) -> bool {
    commands.iter().enumerate().all(|(at, command)| {
        let words = command.iter().map(|word| String::from_utf8_lossy(word).into_owned());
        let first = fuzz.peer.first(&words.collect::<Vec<_>>());
        let first = first.iter().map(|words| words.iter().map(|word| word.clone().into_bytes()));
        let first: Vec<Command> = first.map(Iterator::collect).collect();
        commands[..at].ends_with(&first)
    })
}

/// What makes two differences the same.
pub(super) fn kind(difference: &Difference) -> String {
    difference.command.split(' ').next().unwrap_or_default().to_ascii_uppercase()
}

fn show(command: &Command) -> String {
    let words: Vec<String> =
        command.iter().map(|word| Reply::Bulk(word.clone()).to_string()).collect();
    words.join(" ")
}
