//! One unit's effects, as the bytes that a follower reads.

use std::io::Write;

/// Commands in the order they took effect, each for one database.
///
/// More than one command is wrapped in MULTI and EXEC, so that a follower applies all or nothing. SELECT is not part of a record: what
/// is selected depends on the record before, which only the log knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    bytes: Vec<u8>,
    /// Where each command begins, and its database.
    commands: Vec<(usize, u32)>,
}

impl Record {
    /// A record of nothing.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), commands: Vec::new() }
    }

    /// Whether there is nothing to record.
    pub const fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Number of commands.
    pub const fn len(&self) -> usize {
        self.commands.len()
    }

    /// Forgets everything but the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.commands.clear();
    }

    /// Adds a command.
    pub fn push<'a>(&mut self, db: u32, argv: impl ExactSizeIterator<Item = &'a [u8]>) {
        self.commands.push((self.bytes.len(), db));
        encode(&mut self.bytes, argv);
    }

    /// The stream's bytes, given the database selected before; answers the one selected after.
    pub(crate) fn encode(&self, selected: Option<u32>, out: &mut Vec<u8>) -> Option<u32> {
        let is_unit = self.commands.len() > 1;
        let mut selected = selected;
        for (nth, &(start, db)) in self.commands.iter().enumerate() {
            if selected != Some(db) {
                let text = db.to_string();
                encode(out, [&b"SELECT"[..], text.as_bytes()].into_iter());
                selected = Some(db);
            }
            if is_unit && nth == 0 {
                encode(out, [&b"MULTI"[..]].into_iter());
            }
            let end = self.commands.get(nth + 1).map_or(self.bytes.len(), |next| next.0);
            out.extend_from_slice(&self.bytes[start..end]);
        }
        if is_unit {
            encode(out, [&b"EXEC"[..]].into_iter());
        }
        selected
    }
}

fn encode<'a>(out: &mut Vec<u8>, argv: impl ExactSizeIterator<Item = &'a [u8]>) {
    write!(out, "*{}\r\n", argv.len()).expect("a Vec takes everything");
    for arg in argv {
        write!(out, "${}\r\n", arg.len()).expect("a Vec takes everything");
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}
