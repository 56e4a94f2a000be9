//! A base as commands, for `aof-use-rdb-preamble no`: the snapshot is written first, and then told again, record by record.
//!
//! Each value is one RESTORE: its bytes are those that the snapshot has, with a version and a checksum behind them. So every type is
//! told by the same few lines, and Redis and Valkey take it as they take any command.

use std::io;
use std::path::Path;

use bytes::Bytes;
use russet_journal::encode_command;
use russet_rdb::file::Usage;
use russet_rdb::payload::seal;
use russet_rdb::read::{Item, Reader, Record};

use super::tail::{Increment, Style};
use crate::vfs::Vfs;

/// So many bytes of commands are written at once.
const BLOCK_BYTES: usize = 256 << 10;

/// Tells a snapshot as commands. The new file is on the disk then, but for its name.
pub(crate) fn tell(vfs: &dyn Vfs, from: &Path, to: &Path, style: Style) -> io::Result<()> {
    let file = vfs.open(from)?;
    let len = file.len()?;
    let mut reader = Reader::new(file, Some(len), false).map_err(io::Error::other)?;
    let version = reader.version();
    let mut log = Increment::create(vfs, to, style)?;
    let (mut record, mut out) = (Vec::new(), Vec::new());
    loop {
        record.clear();
        match reader.next(&mut record).map_err(io::Error::other)? {
            Item::Record(about) => restore(&about, &record, version, &mut out),
            Item::Select(db) => command(&[b"SELECT", db.to_string().as_bytes()], &mut out),
            Item::Function(code) => command(&[b"FUNCTION", b"LOAD", &code], &mut out),
            Item::End { .. } => break,
            Item::Aux { .. } | Item::Resize(..) | Item::Skipped(_) => {}
        }
        if out.len() >= BLOCK_BYTES {
            log.append(std::mem::take(&mut out), style)?;
        }
    }
    log.append(out, style)?;
    log.close(style)
}

fn command(words: &[&[u8]], out: &mut Vec<u8>) {
    encode_command(out, words.iter().copied());
}

fn restore(about: &Record, record: &[u8], version: u16, out: &mut Vec<u8>) {
    let bytes = |range: &std::ops::Range<usize>| record.get(range.clone()).unwrap_or_default();
    let mut payload = bytes(&about.value).to_vec();
    seal(&mut payload, version);
    let end = about.end_ms.unwrap_or(0).to_string();
    let mut words: Vec<&[u8]> =
        vec![b"RESTORE", bytes(&about.name), end.as_bytes(), &payload, b"ABSTTL"];
    let number;
    match about.usage {
        Usage::Unknown => {}
        Usage::Idle(seconds) => {
            number = seconds.to_string();
            words.extend([&b"IDLETIME"[..], number.as_bytes()]);
        }
        Usage::Frequency(count) => {
            number = count.to_string();
            words.extend([&b"FREQ"[..], number.as_bytes()]);
        }
    }
    command(&words, out);
}

impl Increment {
    /// Adds commands as a block of their own.
    fn append(&mut self, commands: Vec<u8>, style: Style) -> io::Result<()> {
        if !commands.is_empty() {
            self.block(&[Bytes::from(commands)], style)?;
        }
        Ok(())
    }

    /// Ends the file: all of it is on the disk.
    fn close(mut self, style: Style) -> io::Result<()> {
        self.sync()?;
        self.seal(style)?;
        self.sync()
    }
}
