//! Replies to bytes.
//!
//! [`Output`] is what a connection will write: one flat buffer, and large values spliced into it by
//! reference, so that GET of a megabyte costs a count and not a copy.
//!
//! ```text
//!   flat:     $1048576\r\n  \r\n+OK\r\n
//!                          ↑
//!   splices:              at 10, a megabyte of somebody's value
//! ```
//!
//! [`Writer`] knows what a reply looks like in the client's protocol. Nothing here fails: a reply is
//! written to memory, and whoever owns the connection looks at [`Output::len`] for its bounds.
//!
//! Invariants:
//! * Splices are ordered by where they stand, and `before` of one is the sum of the lengths of all before it.
//! * A [`Mark`] is good until the output is truncated before it, cleared, or something is inserted before it.

use std::io::IoSlice;

use bytes::{Buf, Bytes};
use smallvec::SmallVec;

use crate::Protocol;
use crate::number::{DoubleBuffer, format_double};

/// What [`Output::clear`] keeps for the next batch: enough for a pipeline of common replies.
pub const KEPT_BYTES_MAX: usize = 16 * 1024;

/// Most slices handed to one writev.
pub const SLICES_MAX: usize = 64;

/// From how many bytes on shared bytes are spliced rather than copied: a splice costs a count that others change too, room
/// in the list, and a slice of every writev.
pub const SPLICED_BYTES_MIN: usize = 4096;

/// The bytes around a bulk: type, length and two ends of line.
const HEADER_BYTES_MAX: usize = 32;

/// The numbers below a hundred in two digits.
const DIGITS: [[u8; 2]; 100] = two_digits();

/// From how many flat bytes on room grows by a quarter at a time, not twofold.
const LARGE_BYTES: usize = 1 << 20;

/// What a connection will write: flat bytes plus large values spliced in by reference.
///
/// It may have a bound. What would be longer is never made: everything is dropped, and of what follows all but bytes around elements;
/// whoever has let it be written asks [`Output::has_overflowed`] then.
#[derive(Debug)]
pub struct Output {
    flat: Vec<u8>,
    splices: Vec<Splice>,
    /// Sum of the lengths of all splices.
    spliced: usize,
    /// The most bytes that there may be, about; nothing once there should have been more.
    bound: usize,
}

impl Default for Output {
    fn default() -> Self {
        let (flat, splices) = (Vec::new(), Vec::new());
        Self { flat, splices, spliced: 0, bound: usize::MAX }
    }
}

/// A value between two flat bytes.
#[derive(Debug)]
struct Splice {
    /// How many flat bytes stand before it.
    at: usize,
    /// How many spliced bytes stand before it.
    before: usize,
    bytes: Bytes,
}

impl Splice {
    /// Offset of its first byte in what the client reads.
    fn start(&self) -> usize {
        self.at.saturating_add(self.before)
    }
}

/// A place in an [`Output`]: where a reply begins, or where a length will be filled in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    flat: usize,
    splices: usize,
    spliced: usize,
}

impl Mark {
    /// How many bytes stood before this place when it was marked.
    pub fn offset(self) -> usize {
        self.flat.saturating_add(self.spliced)
    }
}

impl Output {
    /// An empty one with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { flat: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// From now on there may be about so many bytes, what is there already included; `usize::MAX` is no bound.
    pub fn bind(&mut self, bytes: usize) {
        if !self.has_overflowed() {
            self.bound = bytes.max(1);
        }
    }

    /// Whether more was to be written than may be. Nothing in it is of use then, until
    /// [`Output::clear`], which lifts the bound as well.
    #[inline]
    pub const fn has_overflowed(&self) -> bool {
        self.bound == 0
    }

    /// Makes room for so many flat bytes. Says whether there is.
    #[inline]
    fn reserve(&mut self, more: usize) -> bool {
        more <= self.flat.capacity().saturating_sub(self.flat.len()) || self.grow(more)
    }

    #[cold]
    fn grow(&mut self, more: usize) -> bool {
        if self.len().saturating_add(more) > self.bound {
            self.overflow();
            return false;
        }
        match self.flat.len() {
            len @ LARGE_BYTES.. => self.flat.reserve_exact(more.max(len / 4)),
            _ => self.flat.reserve(more),
        }
        true
    }

    fn overflow(&mut self) {
        *self = Self { bound: 0, ..Self::default() };
    }

    /// Bytes to write, splices included.
    #[inline]
    pub fn len(&self) -> usize {
        self.flat.len().saturating_add(self.spliced)
    }

    /// Whether there is nothing to write.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The place behind everything written so far.
    #[inline]
    pub fn mark(&self) -> Mark {
        Mark { flat: self.flat.len(), splices: self.splices.len(), spliced: self.spliced }
    }

    /// Takes back everything behind `mark`.
    pub fn truncate(&mut self, mark: Mark) {
        self.flat.truncate(mark.flat);
        self.splices.truncate(mark.splices);
        self.spliced = self.spliced.min(mark.spliced);
    }

    /// Empties it, dropping the references. Small buffers are kept, big ones given back.
    pub fn clear(&mut self) {
        self.flat.clear();
        self.flat.shrink_to(KEPT_BYTES_MAX);
        self.splices.clear();
        self.splices.shrink_to(SLICES_MAX);
        self.spliced = 0;
        self.bound = usize::MAX;
    }

    /// Drops the first `sent` bytes and gives their room back: what a slow reader has taken. Costs a move of the
    /// flat bytes behind them, so do it when they are the smaller half. All marks are void.
    pub fn drop_front(&mut self, sent: usize) {
        let passed = self.splices.partition_point(|splice| splice.start() < sent);
        let last = passed.checked_sub(1).and_then(|i| self.splices.get_mut(i));
        let (mut spliced, mut left) = (0, 0);
        if let Some(last) = last {
            let taken = sent.saturating_sub(last.start()).min(last.bytes.len());
            spliced = last.before.saturating_add(taken);
            last.bytes.advance(taken);
            left = usize::from(!last.bytes.is_empty());
        }
        let flat = sent.saturating_sub(spliced).min(self.flat.len());
        self.flat.drain(..flat);
        self.flat.shrink_to(self.flat.len().saturating_mul(2));
        self.splices.drain(..passed.saturating_sub(left));
        self.splices.shrink_to(self.splices.len().saturating_mul(2));
        let mut before = 0_usize;
        for splice in &mut self.splices {
            splice.at = splice.at.saturating_sub(flat);
            splice.before = before;
            before = before.saturating_add(splice.bytes.len());
        }
        self.spliced = before;
    }

    /// Appends a copy of `bytes`.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        self.flat.extend_from_slice(bytes);
    }

    /// Appends `bytes` by reference. Worth it from some hundred bytes on; the caller decides.
    pub fn splice(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        if self.len().saturating_add(bytes.len()) > self.bound {
            return self.overflow();
        }
        let before = self.spliced;
        self.spliced = before.saturating_add(bytes.len());
        self.splices.push(Splice { at: self.flat.len(), before, bytes });
    }

    /// Appends `bytes` that others read too: by reference where that is cheaper than a copy.
    #[inline]
    pub fn push_shared(&mut self, bytes: &Bytes) {
        if bytes.len() < SPLICED_BYTES_MIN {
            self.push(bytes);
        } else {
            self.splice(Bytes::clone(bytes));
        }
    }

    /// Appends another output, without a copy where this one is empty.
    pub fn append(&mut self, mut other: Self) {
        if other.has_overflowed() {
            return self.overflow();
        }
        if self.is_empty() {
            *self = Self { bound: self.bound, ..other };
            return;
        }
        if !self.reserve(other.flat.len()) {
            return;
        }
        let (flat, spliced) = (self.flat.len(), self.spliced);
        for splice in &mut other.splices {
            splice.at = splice.at.saturating_add(flat);
            splice.before = splice.before.saturating_add(spliced);
        }
        self.flat.append(&mut other.flat);
        self.splices.append(&mut other.splices);
        self.spliced = spliced.saturating_add(other.spliced);
    }

    /// A copy of everything behind `mark`, in one piece.
    pub fn since(&self, mark: Mark) -> Vec<u8> {
        let mut copy = Vec::with_capacity(self.len().saturating_sub(mark.offset()));
        let mut at = mark.flat;
        for splice in self.splices.iter().skip(mark.splices) {
            copy.extend_from_slice(self.flat.get(at..splice.at).unwrap_or_default());
            copy.extend_from_slice(&splice.bytes);
            at = splice.at;
        }
        copy.extend_from_slice(self.flat.get(at..).unwrap_or_default());
        copy
    }

    /// Puts `bytes` where `mark` was taken, before everything written since: a length that was not known
    /// earlier. Costs a move of the flat bytes behind it. Marks taken later no longer fit.
    pub fn insert(&mut self, mark: Mark, bytes: &[u8]) {
        if self.has_overflowed() {
            return;
        }
        let at = mark.flat.min(self.flat.len());
        self.flat.splice(at..at, bytes.iter().copied());
        for splice in self.splices.iter_mut().skip(mark.splices) {
            splice.at = splice.at.saturating_add(bytes.len());
        }
    }

    /// All bytes in one piece, without a copy when nothing is spliced.
    pub fn into_bytes(self) -> Bytes {
        if self.splices.is_empty() {
            Bytes::from(self.flat)
        } else {
            Bytes::from(self.since(Mark::default()))
        }
    }

    /// Adds to `into` the bytes from offset `from` on, as at most 64 slices: what writev takes. Empty when
    /// everything was written. Finding `from` costs a binary search, so a slow reader costs no more.
    pub fn slices<'a>(&'a self, from: usize, into: &mut Vec<IoSlice<'a>>) {
        let passed = self.splices.partition_point(|splice| splice.start() < from);
        let rest = self.splices.get(passed..).unwrap_or_default();
        let mut at = from;
        let mut spliced = 0;
        let last = passed.checked_sub(1).and_then(|i| self.splices.get(i));
        if let Some(last) = last {
            let skipped = from.saturating_sub(last.start());
            spliced = last.before.saturating_add(last.bytes.len());
            push_slice(into, last.bytes.get(skipped..).unwrap_or_default());
            at = from.max(last.start().saturating_add(last.bytes.len()));
        }
        let mut flat = at.saturating_sub(spliced);
        for splice in rest.iter().take(SLICES_MAX / 2 - 1) {
            push_slice(into, self.flat.get(flat..splice.at).unwrap_or_default());
            push_slice(into, &splice.bytes);
            flat = splice.at;
        }
        let until = rest.get(SLICES_MAX / 2 - 1).map_or(self.flat.len(), |next| next.at);
        push_slice(into, self.flat.get(flat..until).unwrap_or_default());
    }

    /// Bytes of heap this owns itself. The spliced values belong to others too and are not counted;
    /// [`Output::len`] has them.
    pub fn heap_bytes(&self) -> usize {
        let splices = self.splices.capacity().saturating_mul(size_of::<Splice>());
        self.flat.capacity().saturating_add(splices)
    }

    /// Bytes of the spliced values, which belong to others too.
    pub const fn shared_bytes(&self) -> usize {
        self.spliced
    }

    /// All bytes in one piece, when nothing is spliced.
    #[inline]
    pub fn flat(&self) -> Option<&[u8]> {
        self.splices.is_empty().then_some(self.flat.as_slice())
    }
}

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "runs while compiling"
)]
const fn two_digits() -> [[u8; 2]; 100] {
    let mut digits = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        digits[n] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    digits
}

fn push_slice<'a>(into: &mut Vec<IoSlice<'a>>, bytes: &'a [u8]) {
    if !bytes.is_empty() {
        into.push(IoSlice::new(bytes));
    }
}

/// Writes replies in the client's protocol.
#[derive(Debug)]
pub struct Writer<'a> {
    /// Where they go.
    pub out: &'a mut Output,
    /// What the client speaks.
    pub protocol: Protocol,
}

impl<'a> Writer<'a> {
    /// A writer to `out`.
    pub fn new(out: &'a mut Output, protocol: Protocol) -> Self {
        Self { out, protocol }
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.out.push(b"+OK\r\n");
    }

    /// A status, such as `+QUEUED`. CR, LF and NUL in it become spaces.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error, beginning with its code: `ERR …`, `WRONGTYPE …`. The `-` is added; CR, LF and NUL
    /// become spaces, so that no text can end the reply early and begin another.
    pub fn error(&mut self, text: &str) {
        self.line(b'-', text.as_bytes());
    }

    /// An error of bytes that need not be UTF-8, as [`Writer::error`].
    pub fn error_bytes(&mut self, text: &[u8]) {
        self.line(b'-', text);
    }

    /// An integer.
    #[inline]
    pub fn integer(&mut self, value: i64) {
        match usize::try_from(value) {
            Ok(small @ 0..100) => self.header(b':', small),
            _ => self.long_header(b':', itoa::Buffer::new().format(value)),
        }
    }

    /// A bulk string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        if !self.out.reserve(bytes.len().saturating_add(HEADER_BYTES_MAX)) {
            return;
        }
        self.bulk_header(bytes.len());
        self.out.push(bytes);
        self.crlf();
    }

    /// An integer as a bulk string: `$1\r\n5`.
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// The head of a bulk of `len` bytes; [`Writer::raw`] and [`Writer::crlf`] complete it.
    #[inline]
    pub fn bulk_header(&mut self, len: usize) {
        self.header(b'$', len);
    }

    /// Bytes as they are.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.push(bytes);
    }

    /// An end of line.
    #[inline]
    pub fn crlf(&mut self) {
        self.out.push(b"\r\n");
    }

    /// One bulk of several shared chunks, spliced by reference.
    pub fn shared(&mut self, chunks: &[Bytes]) {
        self.bulk_header(chunks.iter().map(Bytes::len).fold(0, usize::saturating_add));
        for chunk in chunks {
            self.out.splice(Bytes::clone(chunk));
        }
        self.crlf();
    }

    /// The head of an array of `n` replies.
    #[inline]
    pub fn array(&mut self, n: usize) {
        self.header(b'*', n);
    }

    /// The head of an array of `n` replies, whose number was not known when `mark` was taken: where they begin. Costs a move of what
    /// was written since.
    pub fn array_at(&mut self, mark: Mark, n: usize) {
        self.header_at(mark, b'*', n);
    }

    /// As [`Writer::array_at`], for the head of a map of `n` pairs, RESP3 only.
    pub fn map_at(&mut self, mark: Mark, n: usize) {
        self.header_at(mark, b'%', n);
    }

    fn header_at(&mut self, mark: Mark, kind: u8, n: usize) {
        let mut head: SmallVec<[u8; 24]> = SmallVec::new();
        head.push(kind);
        head.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
        head.extend_from_slice(b"\r\n");
        self.out.insert(mark, &head);
    }

    /// The head of a map of `n` pairs; in RESP2 an array of `2n`.
    #[inline]
    pub fn map(&mut self, n: usize) {
        self.pairs(b'%', n);
    }

    /// The head of a set of `n`; in RESP2 an array.
    #[inline]
    pub fn set(&mut self, n: usize) {
        self.typed(b'~', n);
    }

    /// The head of a push of `n`, which answers no request; in RESP2 an array.
    #[inline]
    pub fn push(&mut self, n: usize) {
        self.typed(b'>', n);
    }

    /// The head of `n` pairs that annotate the reply behind them. RESP3 only: in RESP2 the caller leaves
    /// them out, for an array there would be a reply of its own.
    pub fn attribute(&mut self, n: usize) {
        self.header(b'|', n);
    }

    /// Nothing, where a value might have been.
    #[inline]
    pub fn null(&mut self) {
        match self.protocol {
            Protocol::Resp2 => self.out.push(b"$-1\r\n"),
            Protocol::Resp3 => self.out.push(b"_\r\n"),
        }
    }

    /// Nothing, where an array might have been.
    #[inline]
    pub fn null_array(&mut self) {
        match self.protocol {
            Protocol::Resp2 => self.out.push(b"*-1\r\n"),
            Protocol::Resp3 => self.out.push(b"_\r\n"),
        }
    }

    /// A double; in RESP2 a bulk string.
    pub fn double(&mut self, value: f64) {
        match self.protocol {
            Protocol::Resp2 => self.double_bulk(value),
            Protocol::Resp3 => self.line(b',', format_double(value, &mut DoubleBuffer::default())),
        }
    }

    /// A double as a bulk string in either protocol, as INCRBYFLOAT and friends answer.
    pub fn double_bulk(&mut self, value: f64) {
        self.bulk(format_double(value, &mut DoubleBuffer::default()));
    }

    /// A boolean; in RESP2 `:1` or `:0`.
    pub fn boolean(&mut self, value: bool) {
        self.out.push(match (self.protocol, value) {
            (Protocol::Resp2, false) => b":0\r\n",
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
            (Protocol::Resp3, true) => b"#t\r\n",
        });
    }

    /// Text for people, with a kind of three letters such as `txt`; in RESP2 a bulk string.
    pub fn verbatim(&mut self, kind: &str, text: &[u8]) {
        debug_assert_eq!(kind.len(), 3);
        if self.protocol == Protocol::Resp2 {
            return self.bulk(text);
        }
        self.header(b'=', text.len().saturating_add(4));
        self.out.push(kind.as_bytes());
        self.out.push(b":");
        self.out.push(text);
        self.crlf();
    }

    /// An integer of any size, in digits; in RESP2 a bulk string.
    pub fn big_number(&mut self, digits: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits.as_bytes()),
            Protocol::Resp3 => self.line(b'(', digits.as_bytes()),
        }
    }

    /// A head that RESP2 calls an array.
    #[inline]
    fn typed(&mut self, kind: u8, n: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', n),
            Protocol::Resp3 => self.header(kind, n),
        }
    }

    /// A head of pairs, which RESP2 counts singly.
    #[inline]
    fn pairs(&mut self, kind: u8, n: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', n.saturating_mul(2)),
            Protocol::Resp3 => self.header(kind, n),
        }
    }

    /// A type and a length. Most lengths have one digit or two, and are then one store of known size.
    #[inline]
    fn header(&mut self, kind: u8, n: usize) {
        match DIGITS.get(n) {
            Some(&[b'0', b]) => self.out.push(&[kind, b, b'\r', b'\n']),
            Some(&[a, b]) => self.out.push(&[kind, a, b, b'\r', b'\n']),
            None => self.long_header(kind, itoa::Buffer::new().format(n)),
        }
    }

    #[inline]
    fn long_header(&mut self, kind: u8, digits: &str) {
        if !self.out.reserve(HEADER_BYTES_MAX) {
            return;
        }
        self.out.push(&[kind]);
        self.out.push(digits.as_bytes());
        self.crlf();
    }

    /// A type and a line that stays one line.
    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.push(&[kind]);
        let begin = self.out.flat.len();
        self.out.push(text);
        for byte in self.out.flat.iter_mut().skip(begin) {
            if matches!(byte, b'\r' | b'\n' | 0) {
                *byte = b' ';
            }
        }
        self.crlf();
    }
}

#[cfg(test)]
mod tests;
