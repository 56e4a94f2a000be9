//! What a file has around its values.
//!
//! ```text
//! | REDIS 0010 or VALKEY 080 | item | item | … | 255 | checksum of all before: u64 little-endian |
//!
//! 250 name value                 something about the file
//! 254 length                     the database of the records that follow
//! 251 length length              how many keys it has, and how many of them end
//! 252 i64, 253 i32               when the next record ends, in milliseconds, in seconds; little-endian
//! 248 length, 249 u8             for how many seconds nobody has looked at it; how often somebody does
//! 245 string                     a library of functions
//! 244 length length length       a slot of a cluster, its keys, those that end; 243 in Valkey: a slot that is being moved
//! 247                            what a module keeps
//! type name contents             a record
//! ```
//!
//! Marks of Redis and Valkey for the same thing are the same but for 243. What only tells how large something will be is read over.

use crate::encode::encode_into;
use crate::primitives::{Packer, Sink, write_length, write_string};
use russet_engine::View;

/// The newest version of Redis' files of which every form that Russet has a type for is known.
pub const VERSION_MAX: u16 = 12;

/// The newest version of Redis' files that is tried: newer types are refused when they come, by name.
pub const VERSION_TRIED: u16 = 15;

/// The version of Valkey's files.
pub const VERSION_VALKEY: u16 = 80;

pub(crate) const SLOT_IMPORT: u8 = 243;
pub(crate) const SLOT_INFO: u8 = 244;
pub(crate) const FUNCTION: u8 = 245;
pub(crate) const FUNCTION_EARLY: u8 = 246;
pub(crate) const MODULE_AUX: u8 = 247;
pub(crate) const IDLE: u8 = 248;
pub(crate) const FREQUENCY: u8 = 249;
pub(crate) const AUX: u8 = 250;
pub(crate) const RESIZE: u8 = 251;
pub(crate) const END_MS: u8 = 252;
pub(crate) const END_SECONDS: u8 = 253;
pub(crate) const SELECT: u8 = 254;
pub(crate) const EOF: u8 = 255;

/// How a key has been used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Usage {
    /// The file does not say.
    #[default]
    Unknown,
    /// Nobody has looked at it for so many seconds.
    Idle(u64),
    /// The logarithmic counter of how often somebody does.
    Frequency(u8),
}

/// Begins a file.
pub fn begin(version: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("REDIS{version:04}").as_bytes());
}

/// Says something about the file.
pub fn aux(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.push(AUX);
    write_string(out, name.as_bytes());
    write_string(out, value);
}

/// Says which database the records that follow belong to.
pub fn select(db: u32, out: &mut Vec<u8>) {
    out.push(SELECT);
    write_length(out, u64::from(db));
}

/// Says how many keys the database has, and how many of them end.
pub fn resize(keys: u64, volatile: u64, out: &mut Vec<u8>) {
    out.push(RESIZE);
    write_length(out, keys);
    write_length(out, volatile);
}

/// Adds a library of functions, as it is.
pub fn function(code: &[u8], out: &mut Vec<u8>) {
    out.push(FUNCTION);
    write_string(out, code);
}

/// Begins a record: what stands before its type.
pub fn before_record(end_ms: Option<u64>, usage: Usage, out: &mut Vec<u8>) {
    if let Some(end) = end_ms {
        out.push(END_MS);
        out.extend_from_slice(&end.to_le_bytes());
    }
    match usage {
        Usage::Unknown => {}
        Usage::Idle(seconds) => {
            out.push(IDLE);
            write_length(out, seconds);
        }
        Usage::Frequency(count) => out.extend_from_slice(&[FREQUENCY, count]),
    }
}

/// Adds a type, a name and contents. O(n).
pub fn record(
    name: &[u8],
    value: View<'_>,
    version: u16,
    packer: Option<&mut Packer>,
    out: &mut Vec<u8>,
) {
    encode_into(value, version, &mut Sink::new(out, packer).named(name));
}

/// Begins a record of a string of `len` bytes, which follow as they are.
pub fn text(name: &[u8], len: u64, out: &mut Vec<u8>) {
    out.push(crate::kind::STRING);
    write_string(out, name);
    write_length(out, len);
}

/// Ends a file, but for the checksum.
pub fn end(out: &mut Vec<u8>) {
    out.push(EOF);
}
