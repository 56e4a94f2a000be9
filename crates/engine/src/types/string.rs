//! Strings, changed in place.
//!
//! A short string grows inside its entry, by the allocator's classes; one that passes [`INLINE_MAX`] moves to [`Chunks`], where a write
//! costs the chunks that it touches. Either way the string counts as raw from then on: Redis never looks again whether it spells a number.

use crate::collections::chunks::Chunks;
use crate::entry::{Entry, INLINE_MAX};
use crate::number::{DIGITS_MAX, write_i64};
use crate::value::{Value, View};

/// Adds bytes at the end of a string. Answers how long it is now; `None`, and nothing done, if it is no string.
pub fn append(entry: &mut Entry, bytes: &[u8]) -> Option<usize> {
    let len = spell_out(entry)?;
    write_at(entry, len, bytes)
}

/// Overwrites a string from `offset` on, and extends it as needed, with zeros between its end and `offset`. Answers how long it is
/// now; `None`, and nothing done, if it is no string.
pub fn write_at(entry: &mut Entry, offset: usize, bytes: &[u8]) -> Option<usize> {
    let len = spell_out(entry)?;
    let new_len = len.max(offset + bytes.len());
    if new_len > INLINE_MAX {
        move_to_chunks(entry);
    }
    if let Some(chunks) = entry.chunks_mut() {
        chunks.write_at(offset, bytes);
    } else {
        let value = if new_len == len { entry.short_mut() } else { entry.resize_short(new_len) };
        value.expect("neither a number nor chunks")[offset..offset + bytes.len()]
            .copy_from_slice(bytes);
    }
    entry.mark_raw();
    Some(new_len)
}

/// Makes a number its digits. Answers the length of the string.
fn spell_out(entry: &mut Entry) -> Option<usize> {
    let number = match entry.view() {
        View::Short(bytes) => return Some(bytes.len()),
        View::Chunks(chunks) => return Some(chunks.len()),
        View::Object(_) => return None,
        View::Int(number) => number,
    };
    let mut digits = [0; DIGITS_MAX];
    let digits = write_i64(number, &mut digits);
    entry.replace(Value::Short(digits), entry.expiry());
    Some(digits.len())
}

/// Moves a short string out of its entry.
fn move_to_chunks(entry: &mut Entry) {
    if let View::Short(bytes) = entry.view() {
        let chunks = Chunks::from_slice(bytes);
        entry.replace(Value::Chunks(chunks), entry.expiry());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::string_value;
    use crate::types::list::List;
    use crate::value::Collection;
    use proptest::prelude::*;

    fn bytes_of(entry: &Entry) -> Vec<u8> {
        match entry.view() {
            View::Short(bytes) => bytes.to_vec(),
            View::Chunks(chunks) => chunks.to_vec(),
            View::Int(_) | View::Object(_) => panic!("spelled out"),
        }
    }

    #[test]
    fn a_list_is_left_alone() {
        let mut entry = Entry::new(b"k", Value::Object(List::new().wrap()), None);
        assert_eq!(append(&mut entry, b"x"), None);
        assert_eq!(entry.encoding(), "listpack");
    }

    #[test]
    fn a_number_that_grows_is_raw() {
        let mut entry = Entry::new(b"k", string_value(b"-12"), Some(7));
        assert_eq!(append(&mut entry, b"3"), Some(4));
        assert_eq!(entry.encoding(), "raw");
        assert_eq!(bytes_of(&entry), b"-123");
        assert_eq!(entry.expiry(), Some(7));
    }

    proptest! {
        #[test]
        fn writes_do_what_they_do_to_a_vec(
            steps in proptest::collection::vec((any::<bool>(), 0usize..20_000, 1usize..9_000), 1..12),
            expiry: Option<u64>,
        ) {
            let mut entry = Entry::new(b"key", string_value(b"1"), expiry);
            let mut twin = b"1".to_vec();
            for (at_end, offset, len) in steps {
                let bytes = vec![b'a' + (len % 26) as u8; len];
                let offset = if at_end { twin.len() } else { offset };
                twin.resize(twin.len().max(offset + len), 0);
                twin[offset..offset + len].copy_from_slice(&bytes);
                let answer = if at_end { append(&mut entry, &bytes) } else { write_at(&mut entry, offset, &bytes) };
                prop_assert_eq!(answer, Some(twin.len()));
                prop_assert_eq!(bytes_of(&entry), twin.clone());
                prop_assert_eq!(entry.expiry(), expiry);
                prop_assert_eq!(entry.key(), b"key");
                prop_assert_eq!(entry.encoding(), "raw");
            }
        }
    }
}
