//! Bytes to requests.

use crate::{Limits, ProtocolError};

/// Where one argument lies in the input buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// How many bytes.
    pub len: usize,
}

impl Span {
    /// The bytes of this argument.
    #[inline]
    pub fn of(self, input: &[u8]) -> &[u8] {
        input.get(self.start..).and_then(|rest| rest.get(..self.len)).unwrap_or_default()
    }
}

/// Whole requests found in one buffer, in order; reused from read to read.
#[derive(Debug, Default)]
pub struct Batch {
    spans: Vec<Span>,
    requests: Vec<(usize, usize)>,
    error: Option<ProtocolError>,
}

impl Batch {
    /// How many requests.
    pub fn len(&self) -> usize {
        self.requests.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }
    /// Arguments of request `i`.
    pub fn request(&self, _i: usize) -> &[Span] {
        &self.spans
    }
    /// Input offset just behind request `i`.
    pub fn end_of(&self, _i: usize) -> usize {
        0
    }
    /// Empties.
    pub fn clear(&mut self) {
        self.spans.clear();
    }
    /// Stands behind the last whole request.
    pub fn error(&self) -> Option<&ProtocolError> {
        self.error.as_ref()
    }
}

/// Resumable at any byte.
#[derive(Debug, Default)]
pub struct Decoder {
    consumed: usize,
}

impl Decoder {
    /// Appends up to `requests_max` whole requests from `input`.
    pub fn decode(
        &mut self,
        _input: &mut [u8],
        _limits: &Limits,
        _requests_max: usize,
        _batch: &mut Batch,
    ) {
    }
    /// Bytes consumed as whole requests.
    pub fn consumed(&self) -> usize {
        self.consumed
    }
    /// The caller has dropped `bytes` from the front.
    pub fn discard(&mut self, bytes: usize) {
        self.consumed = self.consumed.saturating_sub(bytes);
    }
    /// Bytes the pending bulk needs.
    pub fn wants(&self) -> usize {
        0
    }
    /// Whether a request is half received.
    pub fn is_mid_request(&self) -> bool {
        false
    }
    /// Bytes of heap held.
    pub fn heap_bytes(&self) -> usize {
        0
    }
}
