//! Which files make up an append-only log now.
//!
//! ```text
//! file appendonly.aof.1.base.rdb seq 1 type b
//! file appendonly.aof.1.incr.aof seq 1 type i
//! file appendonly.aof.2.incr.aof seq 2 type i
//! ```
//!
//! A base is all data of one moment; increments are what came after it, in their order. History (`h`) is what is no longer needed and
//! still there. The manifest is replaced as a whole, so that after a crash there is the old one or the new one.
//!
//! Invariants: at most one base; numbers of increments ascend; no two files have one name.

use std::fmt::Write;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// All data of one moment.
    Base,
    /// What came after.
    Increment,
    /// Nothing any more.
    History,
}

impl Role {
    const fn letter(self) -> char {
        match self {
            Self::Base => 'b',
            Self::Increment => 'i',
            Self::History => 'h',
        }
    }
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name in the log's directory.
    pub name: String,
    /// Its number among those of its role.
    pub seq: u64,
    /// What it is for.
    pub role: Role,
}

impl Part {
    /// Whether it is an increment, or was one.
    pub(crate) fn is_named_increment(&self) -> bool {
        self.role == Role::Increment || self.name.contains(".incr.")
    }
}

/// Why a text is no manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the manifest: {reason}")]
pub struct ManifestError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// The files of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The base, if there is one.
    pub base: Option<Part>,
    /// The increments, in their order.
    pub increments: Vec<Part>,
    /// What is no longer needed.
    pub history: Vec<Part>,
}

/// A line is none of three pairs or more. The words are Redis'.
const MALFORMED: &str = "Invalid AOF manifest file format";

/// Longer lines are none of a manifest.
const LINE_MAX: usize = 1024;

/// Longer names, as the manifest has them, would make such a line.
const NAME_MAX: usize = LINE_MAX - 64;

impl Manifest {
    /// Reads a manifest. Lines that begin with `#` say nothing; keys that are not known are read over.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let mut manifest = Self::default();
        for (nth, line) in text.lines().enumerate() {
            let fail = |reason| ManifestError { line: nth + 1, reason };
            if line.starts_with('#') {
                continue;
            }
            if line.len() > LINE_MAX {
                return Err(fail("The AOF manifest file contains too long line"));
            }
            manifest.add(part(line).map_err(fail)?).map_err(fail)?;
        }
        if manifest == Self::default() {
            return Err(ManifestError { line: 1, reason: "Found an empty AOF manifest" });
        }
        Ok(manifest)
    }

    fn add(&mut self, part: Part) -> Result<(), &'static str> {
        if self.files().any(|other| other.name == part.name) {
            return Err("a file stands twice");
        }
        match part.role {
            Role::Base if self.base.is_some() => {
                return Err("Found duplicate base file information");
            }
            Role::Base => self.base = Some(part),
            Role::Increment => {
                if self.increments.last().is_some_and(|last| last.seq >= part.seq) {
                    return Err("Found a non-monotonic sequence number");
                }
                self.increments.push(part);
            }
            Role::History => self.history.push(part),
        }
        Ok(())
    }

    /// All files.
    pub fn files(&self) -> impl Iterator<Item = &Part> {
        self.base.iter().chain(&self.increments).chain(&self.history)
    }

    /// The highest number among some of the files.
    pub(crate) fn last(&self, of: impl Fn(&Part) -> bool) -> u64 {
        self.files().filter(|part| of(part)).map(|part| part.seq).max().unwrap_or(0)
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for part in self.base.iter().chain(&self.history).chain(&self.increments) {
            let name = quoted(&part.name);
            // Writing to a string does not fail.
            let _ = writeln!(text, "file {name} seq {} type {}", part.seq, part.role.letter());
        }
        text
    }
}

/// A name as the manifest has it: in quotes where it has a space or what else would part it.
fn quoted(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
    if !name.is_empty() && name.bytes().all(is_plain) {
        return name.to_owned();
    }
    russet_config::quoted(name)
}

/// One line: pairs of a key and a value.
fn part(line: &str) -> Result<Part, &'static str> {
    let words = russet_config::split_arguments(line).map_err(|_| MALFORMED)?;
    let (mut name, mut seq, mut role) = (None, None, None);
    let (pairs, rest) = words.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() < 3 {
        return Err(MALFORMED);
    }
    for [key, value] in pairs {
        match key.to_ascii_lowercase().as_str() {
            "file" => name = Some(value.clone()),
            "seq" => seq = value.parse().ok().filter(|seq| *seq > 0),
            "type" => {
                role = match value.as_str() {
                    "b" => Some(Role::Base),
                    "i" => Some(Role::Increment),
                    "h" => Some(Role::History),
                    _ => return Err("Unknown AOF file type"),
                }
            }
            _ => {}
        }
    }
    let name = name.ok_or(MALFORMED)?;
    if name.is_empty() || name.contains('/') {
        return Err("its file is not in the log's directory");
    }
    if quoted(&name).len() > NAME_MAX {
        return Err("the name of its file is too long");
    }
    Ok(Part { name, seq: seq.ok_or(MALFORMED)?, role: role.ok_or(MALFORMED)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, seq: u64, role: Role) -> Part {
        Part { name: name.to_owned(), seq, role }
    }

    #[test]
    fn a_manifest_comes_back() {
        let manifest = Manifest {
            base: Some(named("appendonly.aof.3.base.rdb", 3, Role::Base)),
            increments: vec![
                named("a b.4.incr.aof", 4, Role::Increment),
                named("\"x\u{e9}", 7, Role::Increment),
            ],
            history: vec![named("old", 1, Role::History)],
        };
        let text = manifest.text();
        assert!(
            text.starts_with(
                "file appendonly.aof.3.base.rdb seq 3 type b\nfile old seq 1 type h\n"
            )
        );
        let plain = Manifest { increments: manifest.increments[..1].to_vec(), ..manifest };
        assert_eq!(Manifest::parse(&plain.text()), Ok(plain));
    }

    #[test]
    fn no_name_is_read_that_could_not_be_written_again() {
        let of = |len| format!("file \"{}\" seq 1 type b\n", "\u{1}".repeat(len));
        let manifest =
            Manifest::parse(&of(235)).expect("as long as a name may be, with what follows it");
        assert_eq!(Manifest::parse(&manifest.text()), Ok(manifest));
        assert!(Manifest::parse(&of(300)).is_err());
    }

    #[test]
    fn what_others_write_is_read() {
        let text = "# a comment\nfile appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i startoffset 5\n";
        let manifest = Manifest::parse(text).unwrap();
        assert_eq!(manifest.base.unwrap().name, "appendonly.aof.1.base.rdb");
        assert_eq!(manifest.increments, [named("appendonly.aof.1.incr.aof", 1, Role::Increment)]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_line() {
        let good = "file a seq 1 type b\n";
        for (text, line) in [
            ("", 1),
            ("\n", 1),
            ("file a seq 1 type b\n\n", 2),
            ("file a seq 1 type b\nfile b seq 2 type b\n", 2),
            ("file a seq 1 type x\n", 1),
            ("file a seq -1 type i\n", 1),
            ("file a/b seq 1 type i\n", 1),
            ("file ../b seq 1 type i\n", 1),
            ("file a seq 1\n", 1),
            ("file a seq 1 type\n", 1),
            ("file \"a seq 1 type i\n", 1),
            ("file a seq 2 type i\nfile b seq 1 type i\n", 2),
            ("file a seq 1 type i\nfile a seq 2 type i\n", 2),
        ] {
            assert_eq!(Manifest::parse(text).map_err(|error| error.line), Err(line), "{text}");
        }
        assert!(Manifest::parse(good).is_ok());
        let long = format!("file {} seq 1 type b\n", "x".repeat(2000));
        assert!(Manifest::parse(&long).is_err());
    }
}
