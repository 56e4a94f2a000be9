//! The wire: RESP2 and RESP3, both ways.
//!
//! RESP is Redis' protocol. A client sends *requests*: a multibulk is `*2\r\n` and then as many bulks
//! `$3\r\nGET\r\n`; an inline request is one line of words, for people with telnet. The server answers with
//! *replies*, one per request and in order, whose first byte says what follows.
//!
//! ```text
//!            ┌──────── input, as the socket gave it ────────┐
//!            *2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPI ·····
//!                        ^^^        ^                 ^^
//!  Batch:     request 0 = [Span(8,3), Span(17,1)]     half a request: Decoder
//! ```
//!
//! * [`decode`]: bytes to requests. Arguments are [`Span`]s of the caller's buffer; nothing is copied.
//! * [`encode`]: replies to bytes, in the client's [`Protocol`]. Large values are spliced in by reference.
//! * [`limits`], [`error`]: what is refused, and in which words. [`number`]: how doubles are printed and read.
//!
//! Invariants:
//! * **Split anywhere.** Requests, their order and the error are a function of the bytes alone: whether
//!   they came whole or one at a time, at which edges they were cut, how many requests were asked for.
//! * **A header is a claim.** No length read from the wire allocates anything; memory follows the bytes received.
//! * No I/O, no clock, no unsafe code, and nothing allocated per request or reply once buffers are warm.

#![forbid(unsafe_code)]
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

pub mod decode;
pub mod encode;
pub mod error;
pub mod limits;
pub mod number;

pub use decode::{Batch, Decoder, Span};
pub use encode::{Mark, Output, Writer};
pub use error::ProtocolError;
pub use limits::Limits;
pub use number::{DoubleBuffer, format_double, parse_double};

/// The dialect of the replies: what HELLO chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Five types; everything else is told by convention. What a connection speaks before HELLO.
    #[default]
    Resp2,
    /// Maps, sets, doubles, booleans, pushes and attributes have types of their own.
    Resp3,
}
