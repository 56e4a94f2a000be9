//! Values to bytes.
//!
//! Of the forms that the format has for each type the plainest is written: elements one after the other. Every server since Redis 5 reads
//! them, and makes of small collections what it keeps small ones as. A hash whose fields end has only the form that Redis 7.4 brought.

use russet_engine::types::hash::Hash;
use russet_engine::{ObjectRef, View};

use crate::kind;
use crate::primitives::{write_length, write_string};

/// The version of the format that brought the forms in which most values are written.
const VERSION: u16 = 10;

/// The version that brought fields that end.
const VERSION_OF_ENDS: u16 = 12;

/// Appends the type of a value and its contents. Answers which version of the format a reader must know; `None`, and nothing appended,
/// for a type that has no form here. O(n).
pub fn encode(value: View<'_>, out: &mut Vec<u8>) -> Option<u16> {
    let View::Object(object) = value else {
        out.push(kind::STRING);
        text(value, out);
        return Some(VERSION);
    };
    match object {
        ObjectRef::List(list) => {
            head(kind::LIST, list.len(), out);
            list.iter().for_each(|element| write_string(out, element));
        }
        ObjectRef::Set(set) => {
            head(kind::SET, set.len(), out);
            set.iter().for_each(|member| member.with_bytes(|bytes| write_string(out, bytes)));
        }
        ObjectRef::Hash(hash) => return Some(hash_fields(hash, out)),
        ObjectRef::SortedSet(set) => {
            head(kind::SORTED_SET, set.len(), out);
            set.each(0..set.len(), |member, score| {
                write_string(out, member);
                out.extend_from_slice(&score.to_le_bytes());
            });
        }
        ObjectRef::Stream(_) => return None,
    }
    Some(VERSION)
}

fn head(kind: u8, len: usize, out: &mut Vec<u8>) {
    out.push(kind);
    write_length(out, len as u64);
}

fn text(value: View<'_>, out: &mut Vec<u8>) {
    match value {
        View::Short(bytes) => write_string(out, bytes),
        View::Int(number) => write_string(out, number.to_string().as_bytes()),
        View::Chunks(chunks) => {
            write_length(out, chunks.len() as u64);
            chunks.chunks().iter().for_each(|chunk| out.extend_from_slice(chunk));
        }
        View::Object(_) => unreachable!("a string"),
    }
}

fn hash_fields(hash: &Hash, out: &mut Vec<u8>) -> u16 {
    let Some(first) = hash.first_deadline() else {
        head(kind::HASH, hash.len(), out);
        for pair in hash.iter() {
            text(pair.field, out);
            text(pair.value, out);
        }
        return VERSION;
    };
    out.push(kind::HASH_WITH_ENDS);
    out.extend_from_slice(&first.to_le_bytes());
    write_length(out, hash.len() as u64);
    for pair in hash.iter() {
        // Ends are told from the first one on, plus one: zero is for none.
        let end = pair.expiry.map_or(0, |end| end.saturating_sub(first).saturating_add(1));
        write_length(out, end);
        text(pair.field, out);
        text(pair.value, out);
    }
    VERSION_OF_ENDS
}
