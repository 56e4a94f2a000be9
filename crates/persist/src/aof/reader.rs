//! Increments read back: units in the order in which they took effect.
//!
//! A unit is a command, or a transaction from MULTI to EXEC. A file may end in the middle of one, when the process or the machine ended
//! there; what comes after its last whole unit was never acknowledged, and may be cut off. Everything else that makes no sense is damage.
//! Which of both it is:
//!
//! * Behind a block that is whole, all that follows is torn, unless a later line says that it was on the disk: see [`super::block`].
//! * Behind a plain command, as others write them, a file that just ends is torn, and so is one that goes on with nothing but zeros.
//!
//! Behind a block there may be room for further ones (see [`super::tail`]): as a rule it is the end, but others may have gone on behind it.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use russet_rdb::primitives::crc64;
use russet_resp::Span;

use super::block::{self, Header};
use crate::vfs::{Vfs, VfsRead};

/// One read from the system.
const READ_BYTES: usize = 1 << 18;

/// Longer lines are none of a log; Redis' notes have up to 1024 bytes.
const LINE_MAX: usize = 1 << 12;

/// More words than this have no command.
const WORDS_MAX: u64 = 1 << 24;

/// There is no more room than this behind a block.
const ROOM_MAX: u64 = 1 << 20;

/// Why a log is not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The system does not give it.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It ends in the middle of something.
    #[error("{}: Unexpected end of file reading the append only file: it ends in the middle of something; whole up to byte {whole}", path.display())]
    Torn {
        /// Which file.
        path: PathBuf,
        /// The bytes before the first unit that is not whole.
        whole: u64,
    },
    /// It makes no sense.
    #[error("{}: Bad file format reading the append only file: {reason} at byte {offset}; whole up to byte {whole}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// The bytes before the first unit that makes no sense.
        whole: u64,
        /// What is wrong.
        reason: String,
    },
}

/// Why nothing sensible stands next.
enum Bad {
    Io(io::Error),
    Short,
    Damaged(&'static str),
    Refused(String),
}

impl From<io::Error> for Bad {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Where a block stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Block {
    /// Where its line begins.
    pub(crate) line: u64,
    /// Where its contents begin.
    pub(crate) contents: u64,
    /// Where they end.
    pub(crate) end: u64,
}

/// A log that is being read.
pub(crate) struct LogReader<'a> {
    vfs: &'a dyn Vfs,
    file: Box<dyn VfsRead>,
    path: PathBuf,
    len: u64,
    buffer: Vec<u8>,
    /// Where in the buffer the unit begins that is being read.
    start: usize,
    /// What of the buffer has been read.
    at: usize,
    /// Where in the file the buffer begins.
    base: u64,
    /// Bytes before the first unit that has not been read to its end, and the line of its block.
    whole: u64,
    /// The last block that was right, if there was one.
    block: Block,
    /// Blocks that were right.
    pub(crate) blocks: u64,
    /// Bytes of room behind the last of them.
    pub(crate) room: u64,
    /// The words of the unit, counted from its beginning.
    spans: Vec<Span>,
    commands: Vec<Range<usize>>,
}

impl<'a> LogReader<'a> {
    /// Opens a file, to be read from a position on.
    pub(crate) fn open(vfs: &'a dyn Vfs, path: &Path, from: u64) -> Result<Self, LogError> {
        let fail = |error| LogError::Io { path: path.to_owned(), error };
        let mut file = vfs.open(path).map_err(fail)?;
        let len = file.len().map_err(fail)?;
        skip(file.as_mut(), from).map_err(fail)?;
        Ok(Self {
            vfs,
            file,
            path: path.to_owned(),
            len,
            buffer: Vec::new(),
            start: 0,
            at: 0,
            base: from,
            whole: from,
            block: Block::default(),
            blocks: 0,
            room: 0,
            spans: Vec::new(),
            commands: Vec::new(),
        })
    }

    /// The block of a file, if one that is right stands there, that goes on behind a position.
    pub(crate) fn block_around(vfs: &dyn Vfs, path: &Path, position: u64) -> Option<Block> {
        let mut reader = LogReader::open(vfs, path, 0).ok()?;
        // That what follows makes no sense is known.
        drop(reader.each(|_, _, _| Ok(()), |offset| offset < position));
        Some(reader.block).filter(|block| block.contents < position && position < block.end)
    }

    /// Bytes that have been read.
    pub(crate) fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Gives every unit's commands away, transactions only when they are whole. `run` hears where the unit stands, too, and says why one
    /// cannot be run; `tell` hears how far it has come, and may end it. Answers how far that was.
    pub(crate) fn each(
        &mut self,
        mut run: impl FnMut(&[u8], &[Span], Range<u64>) -> Result<(), String>,
        mut tell: impl FnMut(u64) -> bool,
    ) -> Result<u64, LogError> {
        loop {
            let read = self.unit().and_then(|is_there| {
                let input = self.buffer.get(self.start..self.at).unwrap_or_default();
                let unit = self.whole..self.offset();
                for command in &self.commands {
                    let spans = &self.spans[command.clone()];
                    run(input, spans, unit.clone()).map_err(Bad::Refused)?;
                }
                Ok(is_there)
            });
            match read {
                Ok(true) => self.whole = self.offset(),
                Ok(false) => return Ok(self.offset()),
                Err(bad) => return Err(self.judge(bad, self.whole)),
            }
            if !tell(self.whole) {
                return Ok(self.whole);
            }
        }
    }

    /// Reads a unit; `false` at the end of the log.
    fn unit(&mut self) -> Result<bool, Bad> {
        self.spans.clear();
        self.commands.clear();
        self.start = self.at;
        let mut is_open = false;
        loop {
            if !self.skip_notes(is_open)? {
                return if is_open { Err(Bad::Short) } else { Ok(false) };
            }
            if !is_open {
                self.start = self.at;
            }
            let first = self.spans.len();
            self.command()?;
            let input = &self.buffer[self.start..];
            let name = self.spans[first].of(input);
            if !is_open && name.eq_ignore_ascii_case(b"multi") {
                is_open = true;
            } else if is_open && name.eq_ignore_ascii_case(b"exec") {
                return Ok(true);
            } else {
                self.commands.push(first..self.spans.len());
                if !is_open {
                    return Ok(true);
                }
            }
        }
    }

    /// Reads over lines that begin with `#`, and checks blocks that they tell of; `false` at the end of the log.
    fn skip_notes(&mut self, is_open: bool) -> Result<bool, Bad> {
        while self.offset() < self.len {
            self.need(1)?;
            if self.buffer[self.at] != b'#' {
                return Ok(true);
            }
            let begin = self.offset();
            let is_behind_block = begin == self.block.end;
            if is_behind_block && let room @ 1.. = self.room()? {
                if begin + room as u64 == self.len {
                    self.room = room as u64;
                    return Ok(false);
                }
                self.at += room;
                if !is_open {
                    self.whole = self.offset();
                }
                continue;
            }
            let line = self.line()?;
            let text = &self.buffer[line];
            let header = Header::parse(text);
            let is_strange = is_behind_block && !text.starts_with(b"#TS:");
            match header {
                // Cut behind this one, the block around it would be torn.
                Some(_) if begin < self.block.end => {
                    return Err(Bad::Damaged("there is a block within a block"));
                }
                Some(header) => self.check_block(begin, header)?,
                // Behind a block nothing else is to be expected; what a crash leaves there may begin like a note.
                None if is_strange || text.starts_with(block::MARK) => {
                    return Err(Bad::Damaged("the line before a block is damaged"));
                }
                None => {}
            }
            if !is_open && header.is_none_or(|header| header.len == 0) {
                self.whole = self.offset();
            }
        }
        Ok(false)
    }

    /// How many bytes of room follow behind a block.
    fn room(&mut self) -> Result<usize, Bad> {
        let left = (self.len - self.offset()).min(ROOM_MAX) as usize;
        if self.blocks == 0 || left < 2 {
            return Ok(0);
        }
        self.need(2)?;
        if !matches!(self.buffer[self.at + 1], b'#' | b'\r') {
            return Ok(0);
        }
        self.need(left)?;
        let next = &self.buffer[self.at..][..left];
        let marks = next.iter().take_while(|byte| **byte == b'#').count();
        Ok(if next[marks..].starts_with(b"\r\n") { marks + 2 } else { 0 })
    }

    /// One command: its words' spans are added.
    fn command(&mut self) -> Result<(), Bad> {
        let words = self.number(b'*', WORDS_MAX)?;
        if words == 0 {
            return Err(Bad::Damaged("a command has no words"));
        }
        for _ in 0..words {
            let len = self.number(b'$', self.len)? as usize;
            self.need(len + 2)?;
            let end = self.at + len;
            if &self.buffer[end..end + 2] != b"\r\n" {
                return Err(Bad::Damaged("a word has another length"));
            }
            self.spans.push(Span { start: self.at - self.start, len });
            self.at = end + 2;
        }
        Ok(())
    }

    /// What stands behind a mark up to the end of the line.
    fn number(&mut self, mark: u8, max: u64) -> Result<u64, Bad> {
        if let Some((number, len)) = short_number(&self.buffer[self.at..], mark)
            && number <= max
        {
            self.at += len;
            return Ok(number);
        }
        let line = self.line()?;
        let text = self.buffer[line].strip_prefix(&[mark]);
        let digits = text.ok_or(Bad::Damaged("there is no command"))?;
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        number.filter(|number| *number <= max).ok_or(Bad::Damaged("there is no length"))
    }

    /// A line; where it lies in the buffer, without its end.
    fn line(&mut self) -> Result<Range<usize>, Bad> {
        let mut known = 0;
        loop {
            let rest = &self.buffer[self.at..];
            if let Some(found) = rest[known..].iter().position(|byte| *byte == b'\n') {
                let end = self.at + known + found;
                let has_return = end > self.at && self.buffer[end - 1] == b'\r';
                let line = self.at..end - usize::from(has_return);
                self.at = end + 1;
                return Ok(line);
            }
            known = rest.len();
            if known > LINE_MAX {
                return Err(Bad::Damaged("a line is too long"));
            }
            self.need(known + 1)?;
        }
    }

    /// Has at least `len` bytes in the buffer that have not been read. What the file has not is known before there is room for it.
    fn need(&mut self, len: usize) -> Result<(), Bad> {
        if self.buffer.len() - self.at >= len {
            return Ok(());
        }
        if self.len.saturating_sub(self.offset()) < len as u64 {
            return Err(Bad::Short);
        }
        self.buffer.drain(..self.start);
        self.base += self.start as u64;
        self.at -= self.start;
        self.start = 0;
        while self.buffer.len() - self.at < len {
            let before = self.buffer.len();
            let missing = len - (before - self.at);
            self.buffer.resize(before + READ_BYTES.max(missing), 0);
            let read = self.file.read(&mut self.buffer[before..]);
            self.buffer.truncate(before + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                return Err(Bad::Short);
            }
        }
        Ok(())
    }

    /// A block stands next, behind its line, that has this checksum, or should.
    fn check_block(&mut self, line: u64, header: Header) -> Result<(), Bad> {
        let len = usize::try_from(header.len).map_err(|_| Bad::Short)?;
        self.need(len)?;
        if crc64(&self.buffer[self.at..self.at + len]) != header.checksum && len > 0 {
            return Err(Bad::Damaged("the checksum of a block is wrong"));
        }
        self.blocks += 1;
        let contents = self.offset();
        self.block = Block { line, contents, end: contents + header.len };
        Ok(())
    }

    /// A command of this unit could not be run.
    pub(crate) fn refused(&self, unit: &Range<u64>, reason: String) -> LogError {
        LogError::Damaged { path: self.path.clone(), offset: unit.end, whole: unit.start, reason }
    }

    /// Whether the file is torn behind `whole`, or damaged.
    fn judge(&self, bad: Bad, whole: u64) -> LogError {
        let (path, offset) = (self.path.clone(), self.offset());
        let reason = match bad {
            Bad::Io(error) => return LogError::Io { path, error },
            Bad::Refused(reason) => return self.refused(&(whole..offset), reason),
            Bad::Short => None,
            Bad::Damaged(reason) => Some(reason),
        };
        let is_torn = if self.block.end > 0 && self.block.end == whole {
            self.durable_behind(whole).map(|durable| durable <= whole)
        } else {
            match reason {
                None => Ok(true),
                Some(_) => self.is_blank_behind(whole),
            }
        };
        match is_torn {
            Ok(true) => LogError::Torn { path, whole },
            Ok(false) => {
                let reason = reason.unwrap_or("what was on the disk is not there").to_owned();
                LogError::Damaged { path, offset, whole, reason }
            }
            Err(error) => LogError::Io { path, error },
        }
    }

    /// The most that any line behind a position says to have been on the disk.
    fn durable_behind(&self, from: u64) -> io::Result<u64> {
        let mut most = 0;
        self.scan(from, |bytes| {
            let mut rest = bytes;
            while let Some(at) = find(rest, block::MARK) {
                let line = &rest[at..rest.len().min(at + block::LINE_MAX)];
                let end = line.iter().position(|byte| *byte == b'\r');
                let header = end.and_then(|end| Header::parse(&line[..end]));
                most = header.map_or(most, |header| most.max(header.durable));
                rest = &rest[at + 1..];
            }
            true
        })?;
        Ok(most)
    }

    /// Whether nothing but zeros follows: a file that had grown before its contents were written.
    fn is_blank_behind(&self, from: u64) -> io::Result<bool> {
        let mut is_blank = true;
        self.scan(from, |bytes| {
            is_blank = bytes.iter().all(|byte| *byte == 0);
            is_blank
        })?;
        Ok(is_blank)
    }

    /// Shows the file from a position on, in pieces that overlap by the length of a line, until `look` has seen enough.
    fn scan(&self, from: u64, mut look: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        let mut file = self.vfs.open(&self.path)?;
        skip(file.as_mut(), from)?;
        let mut window: Vec<u8> = Vec::new();
        loop {
            let before = window.len();
            window.resize(before + READ_BYTES, 0);
            let read = file.read(&mut window[before..])?;
            window.truncate(before + read);
            if read == 0 || !look(&window) {
                return Ok(());
            }
            window.drain(..window.len().saturating_sub(block::LINE_MAX));
        }
    }
}

/// A number of up to four digits behind a mark, as most are, and how many bytes that takes with the end of the line.
#[inline]
fn short_number(bytes: &[u8], mark: u8) -> Option<(u64, usize)> {
    let digits = bytes.strip_prefix(&[mark])?;
    let mut number = 0;
    for (nth, byte) in digits.iter().enumerate().take(5) {
        match byte {
            b'0'..=b'9' => number = number * 10 + u64::from(byte - b'0'),
            b'\r' if nth > 0 && digits.get(nth + 1) == Some(&b'\n') => {
                return Some((number, nth + 3));
            }
            _ => return None,
        }
    }
    None
}

/// Reads over the first bytes of a file.
pub(super) fn skip(file: &mut dyn VfsRead, bytes: u64) -> io::Result<()> {
    let mut left = bytes;
    let mut buffer = vec![0; READ_BYTES.min(usize::try_from(bytes).unwrap_or(READ_BYTES))];
    while left > 0 {
        let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match file.read(&mut buffer[..want])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => left -= read as u64,
        }
    }
    Ok(())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == what[0]) {
        if bytes[from + at..].starts_with(what) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}
