//! One value that travels alone: what DUMP gives and RESTORE takes.
//!
//! ```text
//! | type and contents | version: u16 little-endian | checksum of all before: u64 little-endian |
//! ```

use russet_engine::View;

use crate::decode::{Content, Rules, decode};
use crate::encode::{Style, encode};
use crate::primitives::{DecodeError, Source, crc64};

/// The newest version of Redis' format that is read.
const VERSION_MAX: u16 = 12;

/// The version of Valkey's.
const VERSION_VALKEY: u16 = 80;

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// It is of a version that is not known, or its checksum is wrong.
    #[error("the version or the checksum is wrong")]
    Footer,
    /// Its contents make no sense.
    #[error(transparent)]
    Contents(#[from] DecodeError),
}

/// Packs a value. O(n).
pub fn pack(value: View<'_>, style: Style) -> Vec<u8> {
    let mut out = Vec::new();
    let version = encode(value, style, &mut out);
    seal(&mut out, version);
    out
}

/// Adds the version and the checksum to a type and its contents, whatever they are.
pub fn seal(body: &mut Vec<u8>, version: u16) {
    body.extend_from_slice(&version.to_le_bytes());
    let checksum = crc64(body);
    body.extend_from_slice(&checksum.to_le_bytes());
}

/// Unpacks a value. O(n).
pub fn unpack<'a>(payload: &'a [u8], rules: &Rules) -> Result<Content<'a>, PayloadError> {
    unpack_if(payload, rules, true)
}

/// Unpacks a value, whatever its checksum, unless somebody `checks` it. O(n).
pub fn unpack_if<'a>(
    payload: &'a [u8],
    rules: &Rules,
    checks: bool,
) -> Result<Content<'a>, PayloadError> {
    let (checked, checksum) = payload.split_last_chunk::<8>().ok_or(PayloadError::Footer)?;
    let (contents, version) = checked.split_last_chunk::<2>().ok_or(PayloadError::Footer)?;
    let version = u16::from_le_bytes(*version);
    let is_known = version <= VERSION_MAX || version == VERSION_VALKEY;
    if !is_known || checks && crc64(checked) != u64::from_le_bytes(*checksum) {
        return Err(PayloadError::Footer);
    }
    Ok(decode(&mut Source::new(contents), version, rules)?)
}
