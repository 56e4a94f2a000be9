//! A cursor over the arguments of one request.

use russet_engine::Spot;
use russet_engine::number::{digits, parse_i64};
use russet_resp::Span;
use russet_resp::number::parse_double;

use crate::error::Error;

/// A key with the place where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Where it lies.
    pub spot: Spot,
}

/// The spots of a request's keys, by argument index, ascending for each key specification.
#[derive(Clone, Copy, Debug)]
pub enum Spots<'a> {
    /// No key.
    None,
    /// One key at this index.
    One(usize, Spot),
    /// Several keys, and which of them is probably asked for next.
    Many(&'a [(u32, Spot)], usize),
}

impl<'a> Spots<'a> {
    /// Several keys.
    #[inline]
    pub const fn many(all: &'a [(u32, Spot)]) -> Self {
        Self::Many(all, 0)
    }

    /// All of them, by argument.
    pub fn all(self) -> impl Iterator<Item = (usize, Spot)> + 'a {
        let (one, many) = match self {
            Self::None => (None, &[][..]),
            Self::One(at, spot) => (Some((at, spot)), &[][..]),
            Self::Many(all, _) => (None, all),
        };
        one.into_iter().chain(many.iter().map(|(at, spot)| (*at as usize, *spot)))
    }

    /// The spot of the key at `index`, one of several. Keys are asked for in order as a rule, so the next one is looked at first.
    #[inline(never)]
    fn find(&mut self, index: usize) -> Option<Spot> {
        let Self::Many(all, next) = self else { return None };
        let nth = match all.get(*next) {
            Some((at, _)) if *at as usize == index => *next,
            _ => all.binary_search_by_key(&(index as u32), |(at, _)| *at).ok()?,
        };
        *next = nth + 1;
        Some(all[nth].1)
    }
}

/// A number of one digit, as text.
#[inline]
fn digit(number: usize) -> Option<u8> {
    u8::try_from(number).ok().filter(|number| *number < 10).map(|number| b'0' + number)
}

/// How many digits a length has.
#[inline]
const fn width(len: usize) -> usize {
    match len {
        ..10 => 1,
        10..100 => 2,
        100..1000 => 3,
        _ => digits(len as i64),
    }
}

/// The arguments of a request behind the command's name, read from left to right.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    input: &'a [u8],
    spans: &'a [Span],
    next: usize,
    spots: Spots<'a>,
}

impl<'a> Args<'a> {
    /// All words of a request; `next` is the first argument to be read.
    #[inline]
    pub const fn new(input: &'a [u8], spans: &'a [Span], next: usize, spots: Spots<'a>) -> Self {
        Self { input, spans, next, spots }
    }

    /// Number of words, the command's name included.
    #[inline]
    pub const fn argc(&self) -> usize {
        self.spans.len()
    }

    /// A word by its index, the command's name being 0.
    #[inline]
    pub fn word(&self, index: usize) -> &'a [u8] {
        self.spans[index].of(self.input)
    }

    /// All words, the command's name included.
    pub fn words(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let input = self.input;
        self.spans.iter().map(move |span| span.of(input))
    }

    /// Some of the words, all of which are there.
    #[inline]
    pub fn range(
        &self,
        range: std::ops::Range<usize>,
    ) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let input = self.input;
        self.spans[range].iter().map(move |span| span.of(input))
    }

    /// The request as it came over the wire, if it came as every client library writes it: without a zero or a sign before a length.
    #[inline]
    pub fn wire(&self) -> Option<&'a [u8]> {
        let (first, last) = (self.spans.first()?, self.spans.last()?);
        // `*3\r\n$3\r\n`: with more digits the long way is no loss.
        let (argc, len) = (digit(self.spans.len())?, digit(first.len)?);
        let head = [b'*', argc, b'\r', b'\n', b'$', len, b'\r', b'\n'];
        let (start, end) = (first.start.checked_sub(head.len())?, last.start + last.len);
        if self.input.get(start..)?.first_chunk() != Some(&head) || !self.is_break(end) {
            return None;
        }
        let mut before = first.start + first.len;
        for next in &self.spans[1..] {
            // The decoder has read a length between `$` and the break: with as many digits as it has it is written so.
            let is_next = before + 3 + width(next.len) + 2 == next.start
                && self.is_break(before)
                && self.input[before + 2] == b'$'
                && self.is_break(next.start - 2);
            if !is_next {
                return None;
            }
            before = next.start + next.len;
        }
        self.input.get(start..end + 2)
    }

    #[inline]
    fn is_break(&self, at: usize) -> bool {
        self.input.get(at..).and_then(<[u8]>::first_chunk) == Some(b"\r\n")
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = Key<'a>> + use<'a> {
        let (input, spans) = (self.input, self.spans);
        self.spots.all().map(move |(at, spot)| Key { bytes: spans[at].of(input), spot })
    }

    /// How many arguments are left.
    #[inline]
    pub const fn left(&self) -> usize {
        self.spans.len() - self.next
    }

    /// Whether all arguments have been read.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.left() == 0
    }

    /// Index of the argument that comes next.
    pub const fn position(&self) -> usize {
        self.next
    }

    /// Goes to another argument.
    pub const fn seek(&mut self, index: usize) {
        self.next = index;
    }

    /// The next argument, without going on.
    #[inline]
    pub fn peek(&self) -> Option<&'a [u8]> {
        self.spans.get(self.next).map(|span| span.of(self.input))
    }

    /// The next argument; a syntax error if there is none.
    #[inline]
    #[expect(
        clippy::should_implement_trait,
        reason = "the trait is implemented too, for what has no error"
    )]
    pub fn next(&mut self) -> Result<&'a [u8], Error> {
        let span = self.spans.get(self.next).ok_or(Error::Syntax)?;
        self.next += 1;
        Ok(span.of(self.input))
    }

    /// The next argument as a key.
    #[inline(always)]
    pub fn key(&mut self) -> Result<Key<'a>, Error> {
        let spot = match self.spots {
            Spots::One(at, spot) if at == self.next => Some(spot),
            _ => self.spots.find(self.next),
        };
        let bytes = self.next()?;
        Ok(Key { bytes, spot: spot.ok_or(Error::UndeclaredKey)? })
    }

    /// The next argument as an integer.
    #[inline]
    pub fn int(&mut self) -> Result<i64, Error> {
        parse_i64(self.next()?).ok_or(Error::NotInteger)
    }

    /// The next argument as a float.
    pub fn float(&mut self) -> Result<f64, Error> {
        parse_double(self.next()?).ok_or(Error::NotFloat)
    }

    /// The next argument as an integer from 0 to `i64::MAX`.
    pub fn count(&mut self) -> Result<usize, Error> {
        let number = self.int()?;
        usize::try_from(number).map_err(|_| Error::NotPositive)
    }

    /// The next argument as the number of a database, of which there are `databases`.
    pub fn db(&mut self, databases: u32) -> Result<u32, Error> {
        let number = i32::try_from(self.int()?).map_err(|_| Error::OutOfIntRange)?;
        u32::try_from(number).ok().filter(|db| *db < databases).ok_or(Error::DbOutOfRange)
    }

    /// Whether the next argument is this word, in any case; goes on if so.
    #[inline]
    pub fn flag(&mut self, word: &str) -> bool {
        let is_it = self.peek().is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
        self.next += usize::from(is_it);
        is_it
    }

    /// A syntax error unless all arguments have been read.
    #[inline]
    pub fn end(&self) -> Result<(), Error> {
        if self.is_empty() { Ok(()) } else { Err(Error::Syntax) }
    }
}

impl<'a> Iterator for Args<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        Self::next(self).ok()
    }
}

/// A request that outlives its buffer: queued by MULTI, blocked, or on its way to a worker.
#[derive(Clone, Debug)]
pub struct OwnedRequest {
    bytes: Box<[u8]>,
    spans: Box<[Span]>,
}

impl OwnedRequest {
    /// Copies the words.
    pub fn copy(input: &[u8], spans: &[Span]) -> Self {
        let mut bytes = Vec::with_capacity(spans.iter().map(|span| span.len).sum());
        let place = |span: &Span| {
            let start = bytes.len();
            bytes.extend_from_slice(span.of(input));
            Span { start, len: span.len }
        };
        let spans = spans.iter().map(place).collect();
        Self { bytes: bytes.into_boxed_slice(), spans }
    }

    /// A request of these words.
    pub fn of_words<'w>(words: impl Iterator<Item = &'w [u8]>) -> Self {
        let (mut bytes, mut spans) = (Vec::new(), Vec::new());
        for word in words {
            spans.push(Span { start: bytes.len(), len: word.len() });
            bytes.extend_from_slice(word);
        }
        Self { bytes: bytes.into_boxed_slice(), spans: spans.into_boxed_slice() }
    }

    /// The buffer.
    pub fn input(&self) -> &[u8] {
        &self.bytes
    }

    /// The words.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.len() + size_of_val::<[Span]>(&self.spans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use russet_resp::{Batch, Decoder, Limits};

    /// What stands in the journal for a request, by the short way, if it may take that; the long way says the same.
    fn wire(input: &[u8]) -> Option<Vec<u8>> {
        let (mut input, mut batch) = (input.to_vec(), Batch::default());
        Decoder::default().decode(&mut input, &Limits::DEFAULT, 8, &mut batch);
        // Some of it is refused before it is a request.
        let spans = batch.request(batch.len().checked_sub(1)?);
        let args = Args::new(&input, spans, 1, Spots::None);
        let mut record = Vec::new();
        russet_journal::encode_command(&mut record, args.words());
        let wire = args.wire();
        assert!(wire.is_none_or(|wire| wire == record), "{}", record.escape_ascii());
        wire.map(<[u8]>::to_vec)
    }

    #[test]
    fn a_request_is_recorded_as_it_came_if_it_came_as_it_would_be_written() {
        let set = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$13\r\n\r\n$1\r\n\r\nabcde\r\n";
        assert_eq!(wire(set).as_deref(), Some(&set[..]));
        let behind = [b"*1\r\n$4\r\nPING\r\n", &set[..]].concat();
        assert_eq!(wire(&behind).as_deref(), Some(&set[..]));
        for other in [
            &b"*2\r\n$03\r\nDEL\r\n$1\r\nk\r\n"[..],
            b"*2\r\n$3\r\nDEL\r\n$01\r\nk\r\n",
            b"*02\r\n$3\r\nDEL\r\n$1\r\nk\r\n",
            b"DEL k\r\n",
            b"DEL      k\r\n",
            b"*11\r\n$3\r\nDEL\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n",
        ] {
            assert_eq!(wire(other), None, "{}", other.escape_ascii());
        }
        let owned = OwnedRequest::of_words([&b"*2\r\n$3\r\n"[..], b"DEL", b"k"].into_iter());
        assert_eq!(Args::new(owned.input(), &owned.spans()[1..], 1, Spots::None).wire(), None);
    }
}
