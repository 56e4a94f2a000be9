//! Bytes to requests.
//!
//! The common case comes first: requests that lie whole in the buffer, with short headers. `take_whole`
//! walks them without looking back, and knows no errors: where it meets anything unusual it stops in front
//! of it. The careful path takes that one argument, with all of Redis' rules, and lets it walk on.
//!
//! ```text
//!   *3\r\n $3\r\nSET\r\n $1\r\nk\r\n $70000\r\nxxxxxxxxxx ·····
//!   ↑                                         ↑
//!   consumed                                  at       missing = 1, bulk = 70000, wants = 69992
//! ```
//!
//! When the input ends in mid-request, its arguments are counted and forgotten: a span is larger than the
//! smallest argument, so whoever sends arguments and no end would make the server hold more than was sent.
//! Once the request is whole, one more walk finds them again. What was searched is not searched again.
//!
//! Redis searches lines with C strings, so a NUL hides the end of an inline line for good; that is kept.
//! Not kept: a line of more than 64 KB is refused even if its end is already here, because otherwise the
//! answer would depend on how the bytes were cut; and CR LF are looked at, not skipped (Valkey 9's rule).
//!
//! Invariants:
//! * `consumed <= first <= at` within a request; `consumed == at` between requests.
//! * `missing == 0` between requests, and then `bulk` is `None` and nothing is counted.
//! * `searched` counts from `at`, and is 0 whenever `at` moves.

use std::mem;

use memchr::{memchr, memchr2};

use crate::limits::{UNAUTHENTICATED_BULK_BYTES_MAX, UNAUTHENTICATED_MULTIBULK_MAX};
use crate::number::parse_integer;
use crate::{Limits, ProtocolError};

/// How many spans and requests a cleared [`Batch`] keeps room for.
pub const KEPT_SPANS_MAX: usize = 4096;

/// Where one argument lies in the input buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// How many bytes.
    pub len: usize,
}

impl Span {
    /// The bytes of this argument. `input` is the buffer that was decoded, nothing discarded since.
    #[inline]
    pub fn of(self, input: &[u8]) -> &[u8] {
        let bytes = input.get(self.start..).and_then(|rest| rest.get(..self.len));
        debug_assert!(bytes.is_some(), "a span of another buffer");
        bytes.unwrap_or_default()
    }
}

/// Whole requests found in one buffer, in order; reused from read to read.
#[derive(Debug, Default)]
pub struct Batch {
    spans: Vec<Span>,
    requests: Vec<Request>,
    error: Option<ProtocolError>,
}

/// Where a request ends.
#[derive(Clone, Copy, Debug)]
struct Request {
    /// Its last span's successor.
    spans_end: usize,
    /// The input offset just behind it.
    input_end: usize,
}

impl Batch {
    /// How many requests.
    #[inline]
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether there are none. There may be an error still.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// The arguments of request `i`, at least one; none if there is no such request.
    #[inline]
    pub fn request(&self, i: usize) -> &[Span] {
        let begin = i.checked_sub(1).and_then(|i| self.requests.get(i)).map_or(0, |r| r.spans_end);
        let end = self.requests.get(i).map_or(begin, |r| r.spans_end);
        self.spans.get(begin..end).unwrap_or_default()
    }

    /// The input offset just behind request `i`.
    #[inline]
    pub fn end_of(&self, i: usize) -> usize {
        self.requests.get(i).map_or(0, |request| request.input_end)
    }

    /// Forgets requests and error. Common room is kept, much room given back.
    pub fn clear(&mut self) {
        self.spans.clear();
        self.spans.shrink_to(KEPT_SPANS_MAX);
        self.requests.clear();
        self.requests.shrink_to(KEPT_SPANS_MAX);
        self.error = None;
    }

    /// What is wrong behind the last whole request: it takes effect in its place, after those before it.
    #[inline]
    pub fn error(&self) -> Option<&ProtocolError> {
        self.error.as_ref()
    }

    /// Bytes of heap this owns.
    pub fn heap_bytes(&self) -> usize {
        let spans = self.spans.capacity().saturating_mul(size_of::<Span>());
        let requests = self.requests.capacity().saturating_mul(size_of::<Request>());
        spans.saturating_add(requests)
    }

    /// Makes one request of all spans that belong to none yet.
    #[inline]
    fn complete(&mut self, input_end: usize) {
        self.requests.push(Request { spans_end: self.spans.len(), input_end });
    }

    /// How many spans belong to requests.
    fn owned(&self) -> usize {
        self.requests.last().map_or(0, |request| request.spans_end)
    }
}

/// Finds requests. Resumable at any byte; holds numbers only, never heap.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Behind the last whole request.
    consumed: usize,
    /// Behind the last header or argument parsed.
    at: usize,
    /// Bytes from `at` on in which no end of line was found.
    searched: usize,
    /// Arguments of the pending request still to come.
    missing: usize,
    /// Announced length of the argument that begins at `at`.
    bulk: Option<usize>,
    /// Where the pending request's first argument begins, header included.
    first: usize,
    /// How many of its arguments are here.
    here: usize,
    /// Bytes the pending argument lacks.
    wants: usize,
    /// Whether the last decode ended within a request.
    mid_request: bool,
    /// What ended the stream.
    failed: Option<ProtocolError>,
}

/// What a step of decoding came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A request was taken, or an empty one skipped.
    Taken,
    /// The rest has not arrived yet.
    Starved,
}

impl Decoder {
    /// Appends up to `requests_max` whole requests from `input`, which begins at the first byte not yet
    /// discarded, to `batch`. Inline arguments with quotes are unescaped in place, hence `mut`.
    ///
    /// Empty requests are skipped and count for nothing. After an error nothing more is decoded, and
    /// every further call reports it again.
    pub fn decode(
        &mut self,
        input: &mut [u8],
        limits: &Limits,
        requests_max: usize,
        batch: &mut Batch,
    ) {
        let until = batch.len().saturating_add(requests_max);
        self.wants = 0;
        self.mid_request = false;
        while batch.error.is_none() && batch.len() < until {
            match self.failed.map_or_else(|| self.step(input, limits, batch), Err) {
                Ok(Step::Taken) => {}
                Ok(Step::Starved) => {
                    self.mid_request = self.consumed < input.len();
                    return;
                }
                Err(error) => self.fail(error, batch),
            }
        }
    }

    /// Bytes of the input that were whole requests, or empty ones. Once those requests have been
    /// executed the caller may drop them, and then calls [`Decoder::discard`].
    #[inline]
    pub fn consumed(&self) -> usize {
        self.consumed
    }

    /// The caller has dropped `bytes` from the front of the buffer, [`Decoder::consumed`] or less:
    /// positions shift. A batch decoded before is void.
    pub fn discard(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.consumed, "only what was consumed may be dropped");
        if bytes == 0 {
            return;
        }
        self.consumed = self.consumed.saturating_sub(bytes);
        self.at = self.at.saturating_sub(bytes);
        self.first = self.first.saturating_sub(bytes);
    }

    /// How many more bytes the pending argument needs at least; 0 if that is unknown. The client says so:
    /// room is better made as bytes arrive than all at once.
    #[inline]
    pub fn wants(&self) -> usize {
        self.wants
    }

    /// Whether the input ended within a request.
    #[inline]
    pub fn is_mid_request(&self) -> bool {
        self.mid_request
    }

    /// How many arguments of the pending request are here, and how many of its bytes are parsed: those arguments and all headers.
    pub fn pending(&self) -> (usize, usize) {
        (self.here, self.at.saturating_sub(self.consumed))
    }

    /// Takes or skips one request.
    #[inline]
    fn step(
        &mut self,
        input: &mut [u8],
        limits: &Limits,
        batch: &mut Batch,
    ) -> Result<Step, ProtocolError> {
        if self.missing > 0 {
            return self.resume(input, limits, batch);
        }
        match input.get(self.at) {
            None => Ok(Step::Starved),
            Some(b'*') => self.multibulk(input, limits, batch),
            Some(_) => self.inline(input, limits, batch),
        }
    }

    /// A multibulk from its first byte on.
    #[inline]
    fn multibulk(
        &mut self,
        input: &[u8],
        limits: &Limits,
        batch: &mut Batch,
    ) -> Result<Step, ProtocolError> {
        let rest = input.get(self.at..).unwrap_or_default();
        let header = short_header(rest, b'*').filter(|&(n, _)| n as i64 <= multibulk_max(limits));
        if let Some((count, rest)) = header {
            self.advance(input.len().wrapping_sub(rest.len()));
            self.missing = count;
        } else if self.multibulk_header(input, limits)? == Step::Starved {
            return Ok(Step::Starved);
        }
        if self.missing == 0 {
            self.consumed = self.at;
            return Ok(Step::Taken);
        }
        self.first = self.at;
        if self.arguments(input, limits, &mut batch.spans)? == Step::Starved {
            self.put_off(batch);
            return Ok(Step::Starved);
        }
        self.consumed = self.at;
        batch.complete(self.at);
        Ok(Step::Taken)
    }

    /// Counts the arguments that came, and forgets where they lie.
    #[cold]
    fn put_off(&mut self, batch: &mut Batch) {
        let came = batch.spans.len().saturating_sub(batch.owned());
        self.here = self.here.saturating_add(came);
        batch.spans.truncate(batch.owned());
    }

    /// The pending multibulk, from where it ended last time.
    #[cold]
    fn resume(
        &mut self,
        input: &[u8],
        limits: &Limits,
        batch: &mut Batch,
    ) -> Result<Step, ProtocolError> {
        let step = self.arguments(input, limits, &mut batch.spans)?;
        self.put_off(batch);
        if step == Step::Taken {
            self.walk_again(input, &mut batch.spans)?;
            self.consumed = self.at;
            batch.complete(self.at);
        }
        Ok(step)
    }

    /// Finds the arguments of a request that is whole now. They were judged as they came; limits may have
    /// changed since, and do not count.
    fn walk_again(&mut self, input: &[u8], spans: &mut Vec<Span>) -> Result<Step, ProtocolError> {
        let any = Limits { bulk_bytes_max: u64::MAX, ..Limits::DEFAULT };
        let end = self.at;
        self.advance(self.first);
        self.missing = mem::take(&mut self.here);
        spans.reserve_exact(self.missing);
        let step = self.arguments(input, &any, spans)?;
        debug_assert!(step == Step::Taken && self.at == end, "the bytes have not changed");
        Ok(step)
    }

    /// Arguments until none is missing.
    #[inline]
    fn arguments(
        &mut self,
        input: &[u8],
        limits: &Limits,
        spans: &mut Vec<Span>,
    ) -> Result<Step, ProtocolError> {
        let bulk_max = usize::try_from(bulk_bytes_max(limits)).unwrap_or(usize::MAX);
        loop {
            if self.bulk.is_none() && self.searched == 0 {
                let whole = take_whole(input, self.at, self.missing, bulk_max, spans);
                (self.at, self.missing) = whole;
            }
            if self.missing == 0 {
                return Ok(Step::Taken);
            }
            let Some(span) = self.argument(input, limits)? else { return Ok(Step::Starved) };
            spans.push(span);
            self.missing = self.missing.saturating_sub(1);
        }
    }

    /// One argument, by all the rules. None if it is not whole.
    #[cold]
    fn argument(&mut self, input: &[u8], limits: &Limits) -> Result<Option<Span>, ProtocolError> {
        if self.bulk.is_none() && self.bulk_header(input, limits)? == Step::Starved {
            return Ok(None);
        }
        let len = self.bulk.unwrap_or(0);
        let rest = input.get(self.at..).unwrap_or_default();
        match rest.get(len..) {
            Some([b'\r', b'\n', ..]) => {}
            Some([_, _, ..]) => return Err(ProtocolError::InvalidCrlf),
            _ => {
                self.wants = len.saturating_add(2).saturating_sub(rest.len());
                return Ok(None);
            }
        }
        let span = Span { start: self.at, len };
        self.advance(self.at.saturating_add(len).saturating_add(2));
        Ok(Some(span))
    }

    /// `*` and a count, by all the rules.
    #[cold]
    fn multibulk_header(&mut self, input: &[u8], limits: &Limits) -> Result<Step, ProtocolError> {
        use ProtocolError::*;
        let Some(header) = self.header(input, limits, TooBigMultibulkCount)? else {
            return Ok(Step::Starved);
        };
        let count = header.number(b'*', InvalidMultibulkLength)?;
        let count = count.filter(|&count| count <= limits.multibulk_max);
        let count = count.ok_or(InvalidMultibulkLength)?;
        if count > multibulk_max(limits) {
            return Err(UnauthenticatedMultibulkLength);
        }
        self.missing = usize::try_from(count.max(0)).unwrap_or(0);
        self.advance(header.end);
        Ok(Step::Taken)
    }

    /// `$` and a length, by all the rules.
    fn bulk_header(&mut self, input: &[u8], limits: &Limits) -> Result<Step, ProtocolError> {
        use ProtocolError::*;
        let Some(header) = self.header(input, limits, TooBigBulkCount)? else {
            return Ok(Step::Starved);
        };
        let first = header.line.first().copied().unwrap_or(b'\r');
        let len = header.number(b'$', ExpectedBulk(first))?.and_then(|len| u64::try_from(len).ok());
        let len = len.filter(|&len| len <= limits.bulk_bytes_max).ok_or(InvalidBulkLength)?;
        if len > bulk_bytes_max(limits) {
            return Err(UnauthenticatedBulkLength);
        }
        self.bulk = Some(usize::try_from(len).map_err(|_| InvalidBulkLength)?);
        self.at = header.end;
        self.searched = 0;
        Ok(Step::Taken)
    }

    /// The header line at `at`, if its end is here.
    fn header<'i>(
        &mut self,
        input: &'i [u8],
        limits: &Limits,
        too_big: ProtocolError,
    ) -> Result<Option<Header<'i>>, ProtocolError> {
        let Some(len) = self.line_len(input, limits, too_big, |bytes| memchr(b'\r', bytes))? else {
            return Ok(None);
        };
        let rest = input.get(self.at..).unwrap_or_default();
        let (line, tail) = rest.split_at_checked(len).unwrap_or_default();
        let Some(&after) = tail.get(1) else { return Ok(None) };
        let end = self.at.saturating_add(len).saturating_add(2);
        Ok(Some(Header { line, ends_well: after == b'\n', end }))
    }

    /// One line of words.
    fn inline(
        &mut self,
        input: &mut [u8],
        limits: &Limits,
        batch: &mut Batch,
    ) -> Result<Step, ProtocolError> {
        let end_or_nul = |bytes: &[u8]| memchr2(b'\n', 0, bytes);
        let too_big = ProtocolError::TooBigInline;
        let Some(len) = self.line_len(input, limits, too_big, end_or_nul)? else {
            return Ok(Step::Starved);
        };
        let end = self.at.saturating_add(len);
        if input.get(end) != Some(&b'\n') {
            return self.hidden_by_nul(input, limits);
        }
        let line = input.get_mut(self.at..end).unwrap_or_default();
        let line = match line {
            [head @ .., b'\r'] => head,
            line => line,
        };
        Words { line, base: self.at, read: 0, write: 0 }.split_into(&mut batch.spans)?;
        self.advance(end.saturating_add(1));
        self.consumed = self.at;
        if batch.spans.len() > batch.owned() {
            batch.complete(self.at);
        }
        Ok(Step::Taken)
    }

    /// Behind a NUL no end of line is seen: the line grows until it is too long.
    #[cold]
    fn hidden_by_nul(&self, input: &[u8], limits: &Limits) -> Result<Step, ProtocolError> {
        if input.len().saturating_sub(self.at) > limits.inline_bytes_max {
            return Err(ProtocolError::TooBigInline);
        }
        Ok(Step::Starved)
    }

    /// How far from `at` the line's end is, which `find` recognizes. It is looked for only as far as a
    /// line may be long, and only where it was not looked for before.
    fn line_len(
        &mut self,
        input: &[u8],
        limits: &Limits,
        too_big: ProtocolError,
        find: impl Fn(&[u8]) -> Option<usize>,
    ) -> Result<Option<usize>, ProtocolError> {
        let rest = input.get(self.at..).unwrap_or_default();
        let allowed = rest.get(..=limits.inline_bytes_max).unwrap_or(rest);
        if let Some(more) = find(allowed.get(self.searched..).unwrap_or_default()) {
            self.searched = self.searched.saturating_add(more);
            return Ok(Some(self.searched));
        }
        if rest.len() > limits.inline_bytes_max {
            return Err(too_big);
        }
        self.searched = rest.len();
        Ok(None)
    }

    /// Goes on behind something parsed.
    #[inline]
    fn advance(&mut self, at: usize) {
        self.at = at;
        self.searched = 0;
        self.bulk = None;
    }

    /// Ends the stream, and forgets the request that ended it.
    #[cold]
    fn fail(&mut self, error: ProtocolError, batch: &mut Batch) {
        self.failed = Some(error);
        (self.here, self.at) = (0, self.consumed);
        batch.spans.truncate(batch.owned());
        batch.error = Some(error);
    }
}

/// A header line: a type and a number, without the end of line.
struct Header<'i> {
    line: &'i [u8],
    /// Whether LF follows CR.
    ends_well: bool,
    /// The input offset behind it.
    end: usize,
}

impl Header<'_> {
    /// The number behind `kind`, if it is one.
    fn number(&self, kind: u8, other_kind: ProtocolError) -> Result<Option<i64>, ProtocolError> {
        let digits = self.line.strip_prefix(&[kind]).ok_or(other_kind)?;
        if !self.ends_well {
            return Err(ProtocolError::InvalidCrlf);
        }
        Ok(parse_integer(digits))
    }
}

/// Most arguments, as things stand.
#[inline]
fn multibulk_max(limits: &Limits) -> i64 {
    if limits.authenticated {
        limits.multibulk_max
    } else {
        limits.multibulk_max.min(UNAUTHENTICATED_MULTIBULK_MAX)
    }
}

/// Longest argument, as things stand.
#[inline]
fn bulk_bytes_max(limits: &Limits) -> u64 {
    if limits.authenticated {
        limits.bulk_bytes_max
    } else {
        limits.bulk_bytes_max.min(UNAUTHENTICATED_BULK_BYTES_MAX)
    }
}

/// Takes up to `missing` arguments from offset `at` on while they are whole and unremarkable. Gives the
/// offset behind them and how many are missing then.
#[inline]
fn take_whole(
    input: &[u8],
    at: usize,
    mut missing: usize,
    bulk_max: usize,
    spans: &mut Vec<Span>,
) -> (usize, usize) {
    let mut rest = input.get(at..).unwrap_or_default();
    while missing > 0 {
        let Some((len, body)) = short_header(rest, b'$') else { break };
        let Some((crlf, tail)) = body.get(len..).and_then(|rest| rest.split_first_chunk()) else {
            break;
        };
        if crlf != b"\r\n" || len > bulk_max {
            break;
        }
        spans.push(Span { start: input.len().wrapping_sub(body.len()), len });
        rest = tail;
        missing = missing.wrapping_sub(1);
    }
    (input.len().wrapping_sub(rest.len()), missing)
}

/// A header of few digits, well-formed and whole: its number, and what follows it.
#[inline(always)]
fn short_header(bytes: &[u8], kind: u8) -> Option<(usize, &[u8])> {
    match *bytes {
        [k, a @ b'0'..=b'9', b'\r', b'\n', ref tail @ ..] if k == kind => {
            Some((usize::from(a ^ b'0'), tail))
        }
        [k, a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', ref tail @ ..] if k == kind => {
            let (a, b) = (usize::from(a ^ b'0'), usize::from(b ^ b'0'));
            Some((a.wrapping_mul(10).wrapping_add(b), tail))
        }
        _ => long_header(bytes, kind),
    }
}

/// As [`short_header`], of up to nine digits.
fn long_header(bytes: &[u8], kind: u8) -> Option<(usize, &[u8])> {
    let digits = bytes.strip_prefix(&[kind])?;
    let mut value = 0_usize;
    for (i, &byte) in digits.iter().take(10).enumerate() {
        match byte {
            b'0' if i == 0 => return Some((0, digits.strip_prefix(b"0\r\n")?)),
            b'0'..=b'9' if i < 9 => {
                value = value.wrapping_mul(10).wrapping_add(usize::from(byte ^ b'0'));
            }
            b'\r' if i > 0 => return Some((value, digits.get(i..)?.strip_prefix(b"\r\n")?)),
            _ => break,
        }
    }
    None
}

/// The words of an inline request, unescaped in place: a word never grows.
struct Words<'l> {
    line: &'l mut [u8],
    /// The input offset of the line.
    base: usize,
    read: usize,
    /// Never beyond `read`.
    write: usize,
}

impl Words<'_> {
    /// All words.
    fn split_into(mut self, spans: &mut Vec<Span>) -> Result<(), ProtocolError> {
        while let Some(span) = self.word()? {
            spans.push(span);
        }
        Ok(())
    }

    /// The next word: bytes up to a blank, or up to the end of a quotation, which ends its word.
    fn word(&mut self) -> Result<Option<Span>, ProtocolError> {
        while self.peek(0).is_some_and(is_space) {
            self.read = self.read.wrapping_add(1);
        }
        if self.peek(0).is_none() {
            return Ok(None);
        }
        let begin = self.read;
        self.write = begin;
        while let Some(byte) = self.take() {
            match byte {
                b' ' | b'\r' | b'\t' => break,
                b'"' | b'\'' => {
                    self.quoted(byte)?;
                    break;
                }
                byte => self.put(byte),
            }
        }
        let start = self.base.wrapping_add(begin);
        Ok(Some(Span { start, len: self.write.wrapping_sub(begin) }))
    }

    /// The rest of a quotation, which must be followed by a blank or by nothing.
    fn quoted(&mut self, quote: u8) -> Result<(), ProtocolError> {
        while let Some(byte) = self.take() {
            if byte == quote {
                let ends_well = self.peek(0).is_none_or(is_space);
                return ends_well.then_some(()).ok_or(ProtocolError::UnbalancedQuotes);
            }
            let byte = match byte {
                b'\\' if quote == b'"' => self.escaped(),
                b'\\' if self.peek(0) == Some(b'\'') => self.take().unwrap_or(byte),
                byte => byte,
            };
            self.put(byte);
        }
        Err(ProtocolError::UnbalancedQuotes)
    }

    /// What a backslash in double quotes stands for.
    fn escaped(&mut self) -> u8 {
        if let (Some(b'x'), Some(high), Some(low)) = (self.peek(0), self.hex(1), self.hex(2)) {
            self.read = self.read.wrapping_add(3);
            return high << 4 | low;
        }
        match self.take() {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'b') => 0x08,
            Some(b'a') => 0x07,
            Some(byte) => byte,
            None => b'\\',
        }
    }

    /// The hexadecimal digit `ahead` bytes on.
    fn hex(&self, ahead: usize) -> Option<u8> {
        let digit = char::from(self.peek(ahead)?).to_digit(16)?;
        u8::try_from(digit).ok()
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.line.get(self.read.wrapping_add(ahead)).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek(0)?;
        self.read = self.read.wrapping_add(1);
        Some(byte)
    }

    fn put(&mut self, byte: u8) {
        if let Some(slot) = self.line.get_mut(self.write) {
            *slot = byte;
        }
        self.write = self.write.wrapping_add(1);
    }
}

/// What C's isspace says in the C locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests;
