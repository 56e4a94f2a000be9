//! A file, read from the front, one item after the other.
//!
//! Of a record, name and value are shown as bytes: to find where a value ends, only its lengths are read. So one thread can read what
//! many decode. No more is ever held than one record and one buffer, and no room is made for a length before it is known that the file has
//! as many bytes left.

use std::io::{self, Read};
use std::ops::Range;

use crate::file::{self, Usage};
use crate::kind;
use crate::primitives::{
    COMPRESSED, Checksum, DecodeError, ENCODED, KIND_MASK, LENGTH_14, LENGTH_32, LENGTH_64,
    LOW_MASK, Source,
};

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Versions from here on have a checksum.
const WITH_CHECKSUM: u16 = 5;

/// Why a file is not read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system did not give the bytes.
    #[error("reading failed at byte {offset}: {error}")]
    Io {
        /// Where.
        offset: u64,
        /// Why.
        error: io::Error,
    },
    /// It is no file of this kind.
    #[error("the file does not begin as a snapshot does")]
    Magic,
    /// It is of a version that is not known.
    #[error("version {0} of the format is not known")]
    Version(u16),
    /// It makes no sense at a place.
    #[error("at byte {offset}: {error}")]
    Malformed {
        /// Where the item begins that makes none.
        offset: u64,
        /// Why.
        error: DecodeError,
    },
    /// It has something that only a module can read.
    #[error("at byte {offset}: what the module {module} keeps cannot be read")]
    Module {
        /// Where.
        offset: u64,
        /// Its name.
        module: String,
    },
    /// The checksum is not that of the bytes before.
    #[error("RDB CRC error: the checksum says {expected:016x}, the contents {found:016x}")]
    Checksum {
        /// What stands at the end.
        expected: u64,
        /// What it should be.
        found: u64,
    },
    /// Something follows an end that has no checksum, and is no log: it is none, but a place that damage made look like one.
    #[error(
        "at byte {offset}: the file, of version {version}, ends here without a checksum, and more follows"
    )]
    Behind {
        /// Where it ends.
        offset: u64,
        /// Its version.
        version: u16,
    },
}

/// What a file consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Something about the file.
    Aux {
        /// Of what.
        name: Vec<u8>,
        /// What.
        value: Vec<u8>,
    },
    /// The database of the records that follow.
    Select(u64),
    /// How many keys it has, and how many of them end.
    Resize(u64, u64),
    /// A library of functions.
    Function(Vec<u8>),
    /// What this server has no use for, in words.
    Skipped(String),
    /// A record.
    Record(Record),
    /// The end; the checksum is right, or there is none.
    End {
        /// Whether it was checked.
        is_checked: bool,
    },
}

/// A record, whose bytes were added to the buffer that [`Reader::next`] was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where in the file it begins.
    pub offset: u64,
    /// When it ends, in milliseconds since 1970; before that moment of time counts as that.
    pub end_ms: Option<u64>,
    /// How it was used.
    pub usage: Usage,
    /// Its name.
    pub name: Range<usize>,
    /// Its type and contents, as [`crate::decode()`] wants them.
    pub value: Range<usize>,
}

/// Reads a file.
pub struct Reader<R> {
    input: R,
    buffer: Box<[u8]>,
    at: usize,
    filled: usize,
    /// Bytes behind `buffer[at..filled]` that the file still has, if that is known.
    unread: Option<u64>,
    /// Bytes before `buffer[at]`.
    offset: u64,
    digest: Checksum,
    /// Up to where the buffer is in the digest.
    digested: usize,
    version: u16,
    checks: bool,
}

impl<R> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader(version {}, at {})", self.version, self.offset)
    }
}

/// What reading a part gives: the reason is given its place later.
type Part<T> = Result<T, Reason>;

/// A reason without a place.
enum Reason {
    Io(io::Error),
    Decode(DecodeError),
    Module(String),
}

impl From<DecodeError> for Reason {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl<R: Read> Reader<R> {
    /// Reads the beginning. `len` is how long the file is, if that is known; `checks` says whether the checksum matters.
    pub fn new(input: R, len: Option<u64>, checks: bool) -> Result<Self, ReadError> {
        let mut reader = Self {
            input,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            at: 0,
            filled: 0,
            unread: len,
            offset: 0,
            digest: Checksum::default(),
            digested: 0,
            version: 0,
            checks,
        };
        let magic: [u8; 9] = reader.array().map_err(|reason| match reason {
            Reason::Io(error) => ReadError::Io { offset: 0, error },
            _ => ReadError::Magic,
        })?;
        reader.version = version(magic)?;
        Ok(reader)
    }

    /// The version of the format.
    pub const fn version(&self) -> u16 {
        self.version
    }

    /// How many bytes have been read.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// What was read from, and the bytes that were read and belong to no item: the beginning of what follows behind the end.
    pub fn into_rest(self) -> (R, Vec<u8>) {
        let rest = self.buffer.get(self.at..self.filled).unwrap_or_default().to_vec();
        (self.input, rest)
    }

    /// The next item. The bytes of a record are added to `out`.
    pub fn next(&mut self, out: &mut Vec<u8>) -> Result<Item, ReadError> {
        let offset = self.offset;
        self.item(offset, out).map_err(|reason| match reason {
            Reason::Io(error) => ReadError::Io { offset: self.offset, error },
            Reason::Decode(error) => ReadError::Malformed { offset, error },
            Reason::Module(module) => ReadError::Module { offset, module },
        })?
    }

    fn item(&mut self, offset: u64, out: &mut Vec<u8>) -> Part<Result<Item, ReadError>> {
        let (mut end_ms, mut usage) = (None, Usage::Unknown);
        loop {
            let mark = self.byte()?;
            match mark {
                file::END_MS => end_ms = Some(moment(i64::from_le_bytes(self.array()?))),
                file::END_SECONDS => {
                    let seconds = i64::from(i32::from_le_bytes(self.array()?));
                    end_ms = Some(moment(seconds.saturating_mul(1000)));
                }
                file::IDLE => usage = Usage::Idle(self.length(&mut Vec::new())?),
                file::FREQUENCY => usage = Usage::Frequency(self.byte()?),
                file::EOF => return self.end(),
                _ => {
                    if let Some(item) = self.other(mark)? {
                        return Ok(Ok(item));
                    }
                    return Ok(Ok(Item::Record(self.record(mark, offset, end_ms, usage, out)?)));
                }
            }
        }
    }

    /// An item that is no record and stands before none.
    fn other(&mut self, mark: u8) -> Part<Option<Item>> {
        let skipped = &mut Vec::new();
        Ok(Some(match mark {
            file::AUX => Item::Aux { name: self.text()?, value: self.text()? },
            file::SELECT => Item::Select(self.length(skipped)?),
            file::RESIZE => Item::Resize(self.length(skipped)?, self.length(skipped)?),
            file::FUNCTION => Item::Function(self.text()?),
            file::FUNCTION_EARLY => return Err(DecodeError::UnknownForm(mark).into()),
            file::MODULE_AUX => self.module_aux()?,
            file::SLOT_INFO => {
                (0..3).try_for_each(|_| self.length(skipped).map(drop))?;
                Item::Skipped("the sizes of a cluster's slot".to_owned())
            }
            file::SLOT_IMPORT if self.version >= file::VERSION_VALKEY => {
                self.text()?;
                let ranges = self.length(skipped)?;
                (0..ranges).try_for_each(|_| {
                    skipped.clear();
                    self.length(skipped)?;
                    self.length(skipped).map(drop)
                })?;
                Item::Skipped("a slot that was being moved in a cluster".to_owned())
            }
            _ => return Ok(None),
        }))
    }

    fn record(
        &mut self,
        kind: u8,
        offset: u64,
        end_ms: Option<u64>,
        usage: Usage,
        out: &mut Vec<u8>,
    ) -> Part<Record> {
        let begin = out.len();
        self.name(out)?;
        let middle = out.len();
        out.push(kind);
        self.value(kind, out)?;
        Ok(Record { offset, end_ms, usage, name: begin..middle, value: middle..out.len() })
    }

    fn end(&mut self) -> Part<Result<Item, ReadError>> {
        let has_checksum = self.version >= WITH_CHECKSUM;
        if has_checksum {
            self.digest();
            let found = self.digest.value();
            let expected = u64::from_le_bytes(self.array()?);
            let is_checked = self.checks && expected != 0;
            if is_checked && expected != found {
                return Ok(Err(ReadError::Checksum { expected, found }));
            }
            if expected != 0 {
                return Ok(Ok(Item::End { is_checked }));
            }
        }
        // Damage may look like an end without a checksum.
        let next = self.peek()?;
        let is_end = next.is_none_or(|next| has_checksum && matches!(next, b'*' | b'#'));
        let (offset, version) = (self.offset, self.version);
        let end = Item::End { is_checked: false };
        Ok(if is_end { Ok(end) } else { Err(ReadError::Behind { offset, version }) })
    }

    /// The byte that follows, if it is known that one does.
    fn peek(&mut self) -> Part<Option<u8>> {
        if self.at == self.filled && self.unread.is_none_or(|unread| unread == 0) {
            return Ok(None);
        }
        Ok(self.ready()?.first().copied())
    }

    /// What a module keeps beside the keys: told apart into numbers and strings, and skipped.
    fn module_aux(&mut self) -> Part<Item> {
        let skipped = &mut Vec::new();
        let id = self.length(skipped)?;
        (0..2).try_for_each(|_| self.length(skipped).map(drop))?;
        loop {
            skipped.clear();
            match self.length(skipped)? {
                0 => break,
                1 | 2 => drop(self.length(skipped)?),
                3 => self.take(4, skipped)?,
                4 => self.take(8, skipped)?,
                5 => self.string(skipped)?,
                _ => return Err(DecodeError::Malformed.into()),
            }
        }
        Ok(Item::Skipped(format!("what the module {} keeps beside keys", module_name(id))))
    }
}

/// Values: as much is read as tells where they end.
impl<R: Read> Reader<R> {
    fn value(&mut self, kind: u8, out: &mut Vec<u8>) -> Part<()> {
        match kind {
            kind::STRING
            | kind::HASH_ZIPMAP
            | kind::LIST_ZIPLIST
            | kind::SET_INTSET
            | kind::SORTED_SET_ZIPLIST
            | kind::HASH_ZIPLIST
            | kind::HASH_LISTPACK
            | kind::SORTED_SET_LISTPACK
            | kind::SET_LISTPACK
            | kind::HASH_LISTPACK_WITH_ENDS_EARLY => self.string(out),
            kind::HASH_LISTPACK_WITH_ENDS => {
                self.take(8, out)?;
                self.string(out)
            }
            kind::LIST | kind::SET | kind::LIST_ZIPLISTS => self.each(out, Self::string),
            kind::HASH => self.each(out, |it, out| {
                it.string(out)?;
                it.string(out)
            }),
            kind::SORTED_SET => self.each(out, |it, out| {
                it.string(out)?;
                it.take(8, out)
            }),
            kind::SORTED_SET_TEXTS => self.each(out, |it, out| {
                it.string(out)?;
                it.score(out)
            }),
            kind::LIST_LISTPACKS => self.each(out, |it, out| {
                it.length(out)?;
                it.string(out)
            }),
            kind::HASH_WITH_ENDS => {
                self.take(8, out)?;
                self.each(out, Self::end_and_pair)
            }
            kind::HASH_WITH_ENDS_VALKEY if self.version >= file::VERSION_VALKEY => {
                self.each(out, |it, out| {
                    it.string(out)?;
                    it.string(out)?;
                    it.take(8, out)
                })
            }
            kind::HASH_WITH_ENDS_EARLY => self.each(out, Self::end_and_pair),
            kind::STREAM | kind::STREAM_2 | kind::STREAM_3 => self.stream(kind, out),
            kind::MODULE => {
                let id = self.length(out)?;
                Err(Reason::Module(module_name(id)))
            }
            _ => Err(DecodeError::UnknownForm(kind).into()),
        }
    }

    fn end_and_pair(&mut self, out: &mut Vec<u8>) -> Part<()> {
        self.length(out)?;
        self.string(out)?;
        self.string(out)
    }

    fn stream(&mut self, kind: u8, out: &mut Vec<u8>) -> Part<()> {
        self.each(out, |it, out| {
            it.string(out)?;
            it.string(out)
        })?;
        // How many entries, and the last ID; later also the first, the greatest that was deleted, and how many were ever added.
        self.lengths(if kind == kind::STREAM { 3 } else { 8 }, out)?;
        self.each(out, |it, out| it.group(kind, out))
    }

    fn group(&mut self, kind: u8, out: &mut Vec<u8>) -> Part<()> {
        self.string(out)?;
        self.lengths(if kind == kind::STREAM { 2 } else { 3 }, out)?;
        self.each(out, |it, out| {
            it.take(24, out)?;
            it.length(out).map(drop)
        })?;
        self.each(out, |it, out| {
            it.string(out)?;
            it.take(if kind == kind::STREAM_3 { 16 } else { 8 }, out)?;
            it.each(out, |it, out| it.take(16, out))
        })
    }

    fn lengths(&mut self, count: usize, out: &mut Vec<u8>) -> Part<()> {
        (0..count).try_for_each(|_| self.length(out).map(drop))
    }

    /// A count, and then so many things.
    fn each(
        &mut self,
        out: &mut Vec<u8>,
        read: impl Fn(&mut Self, &mut Vec<u8>) -> Part<()>,
    ) -> Part<()> {
        let count = self.length(out)?;
        (0..count).try_for_each(|_| read(self, out))
    }

    /// A score as a text behind its length, or a sign of what has no digits.
    fn score(&mut self, out: &mut Vec<u8>) -> Part<()> {
        let len = self.byte()?;
        out.push(len);
        if len < 253 { self.take(usize::from(len), out) } else { Ok(()) }
    }
}

/// Lengths, strings and bytes, copied as they are.
impl<R: Read> Reader<R> {
    fn length(&mut self, out: &mut Vec<u8>) -> Part<u64> {
        let first = self.byte()?;
        out.push(first);
        self.rest_of_length(first, out)
    }

    fn rest_of_length(&mut self, first: u8, out: &mut Vec<u8>) -> Part<u64> {
        Ok(match (first & KIND_MASK, first) {
            (0, _) => u64::from(first),
            (LENGTH_14, _) => {
                let [low] = self.copied(out)?;
                u64::from(u16::from_be_bytes([first & LOW_MASK, low]))
            }
            (_, LENGTH_32) => u64::from(u32::from_be_bytes(self.copied(out)?)),
            (_, LENGTH_64) => u64::from_be_bytes(self.copied(out)?),
            _ => return Err(DecodeError::UnknownForm(first).into()),
        })
    }

    /// A string as it stands, whatever its form.
    fn string(&mut self, out: &mut Vec<u8>) -> Part<()> {
        let first = self.byte()?;
        self.rest_of_string(first, out)
    }

    fn rest_of_string(&mut self, first: u8, out: &mut Vec<u8>) -> Part<()> {
        out.push(first);
        let len = match first {
            COMPRESSED => {
                let len = self.length(out)?;
                self.length(out)?;
                len
            }
            _ if first & KIND_MASK == ENCODED => match first & LOW_MASK {
                form @ 0..3 => 1 << form,
                _ => return Err(DecodeError::UnknownForm(first).into()),
            },
            _ => self.rest_of_length(first, out)?,
        };
        self.take(usize::try_from(len).map_err(|_| DecodeError::Truncated)?, out)
    }

    /// What a string says.
    fn text(&mut self) -> Part<Vec<u8>> {
        let mut text = Vec::new();
        self.name(&mut text)?;
        Ok(text)
    }

    /// What a string says, added to `out`: few names are anything but a length and their bytes.
    fn name(&mut self, out: &mut Vec<u8>) -> Part<()> {
        let first = self.byte()?;
        if first & KIND_MASK != ENCODED {
            let len = self.rest_of_length(first, &mut Vec::new())?;
            return self.take(usize::try_from(len).map_err(|_| DecodeError::Truncated)?, out);
        }
        let mut bytes = Vec::new();
        self.rest_of_string(first, &mut bytes)?;
        out.extend_from_slice(&Source::new(&bytes).text()?);
        Ok(())
    }

    fn copied<const N: usize>(&mut self, out: &mut Vec<u8>) -> Part<[u8; N]> {
        let bytes = self.array()?;
        out.extend_from_slice(&bytes);
        Ok(bytes)
    }

    #[inline]
    fn byte(&mut self) -> Part<u8> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Part<[u8; N]> {
        let here = self.buffer.get(self.at..self.filled).unwrap_or_default();
        if let Some(bytes) = here.first_chunk().copied() {
            self.advance(N);
            return Ok(bytes);
        }
        self.array_in_pieces()
    }

    /// As [`Reader::array`], for what does not lie in the buffer as a whole.
    #[cold]
    fn array_in_pieces<const N: usize>(&mut self) -> Part<[u8; N]> {
        let mut bytes = [0; N];
        let mut begin = 0_usize;
        while let Some(left) = bytes.get_mut(begin..).filter(|left| !left.is_empty()) {
            let ready = self.ready()?;
            let len = left.len().min(ready.len());
            for (to, from) in left.iter_mut().zip(ready) {
                *to = *from;
            }
            self.advance(len);
            begin = begin.saturating_add(len);
        }
        Ok(bytes)
    }

    /// The next `len` bytes.
    #[inline]
    fn take(&mut self, len: usize, out: &mut Vec<u8>) -> Part<()> {
        let here = self.buffer.get(self.at..self.filled).unwrap_or_default();
        if let Some(bytes) = here.get(..len) {
            out.extend_from_slice(bytes);
            self.advance(len);
            return Ok(());
        }
        self.take_in_pieces(len, out)
    }

    /// As [`Reader::take`], for what does not lie in the buffer as a whole. Room is made as it comes.
    #[cold]
    fn take_in_pieces(&mut self, len: usize, out: &mut Vec<u8>) -> Part<()> {
        let here = self.filled.saturating_sub(self.at);
        if self.unread.is_some_and(|unread| (len as u64) > unread.saturating_add(here as u64)) {
            return Err(DecodeError::Truncated.into());
        }
        let mut left = len;
        while left > 0 {
            let ready = self.ready()?;
            let part = ready.get(..left.min(ready.len())).unwrap_or_default();
            out.extend_from_slice(part);
            let taken = part.len();
            self.advance(taken);
            left = left.saturating_sub(taken);
        }
        Ok(())
    }

    /// Bytes that are there; at least one.
    fn ready(&mut self) -> Part<&[u8]> {
        if self.at == self.filled {
            self.fill()?;
        }
        Ok(self.buffer.get(self.at..self.filled).unwrap_or_default())
    }

    fn fill(&mut self) -> Part<()> {
        self.digest();
        let read = loop {
            match self.input.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Reason::Io(error)),
                Ok(read) => break read,
            }
        };
        if read == 0 {
            return Err(DecodeError::Truncated.into());
        }
        (self.at, self.filled, self.digested) = (0, read, 0);
        self.unread = self.unread.map(|unread| unread.saturating_sub(read as u64));
        Ok(())
    }

    #[inline]
    fn advance(&mut self, len: usize) {
        self.at = self.at.saturating_add(len);
        self.offset = self.offset.saturating_add(len as u64);
    }

    /// Adds what has been read of the buffer to the checksum.
    fn digest(&mut self) {
        let read = self.buffer.get(self.digested..self.at).unwrap_or_default();
        self.digest.update(read);
        self.digested = self.at;
    }
}

/// A moment; what is before 1970 is long past.
fn moment(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}

/// The version of a file that begins so.
fn version(magic: [u8; 9]) -> Result<u16, ReadError> {
    let (digits, is_redis) = match magic {
        [b'R', b'E', b'D', b'I', b'S', ref digits @ ..] => (&digits[..], true),
        [b'V', b'A', b'L', b'K', b'E', b'Y', ref digits @ ..] => (&digits[..], false),
        _ => return Err(ReadError::Magic),
    };
    let text =
        std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let version = text.and_then(|text| text.parse().ok()).ok_or(ReadError::Magic)?;
    let known = if is_redis {
        1..=file::VERSION_TRIED
    } else {
        file::VERSION_VALKEY..=file::VERSION_VALKEY
    };
    if known.contains(&version) { Ok(version) } else { Err(ReadError::Version(version)) }
}

/// The name that is packed into a module's number: nine letters of six bits, above ten bits of a version.
fn module_name(id: u64) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..9)
        .map(|nth: u32| {
            let index =
                id.checked_shr(58_u32.saturating_sub(nth.saturating_mul(6))).unwrap_or(0) & 63;
            let letter = usize::try_from(index).ok().and_then(|index| LETTERS.get(index));
            char::from(*letter.expect("six bits"))
        })
        .collect()
}

#[cfg(test)]
mod tests;
