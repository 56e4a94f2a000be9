//! What a key can hold.

use crate::collections::chunks::Chunks;
use crate::types::list::List;

/// A value on its way into an entry.
#[derive(Debug)]
pub enum Value<'a> {
    /// A string of at most `INLINE_MAX` bytes, copied into the entry.
    Short(&'a [u8]),
    /// A string that spells an integer.
    Int(i64),
    /// A large string.
    Chunks(Chunks),
    /// A collection.
    Object(Box<Object>),
}

/// A value in its entry, to be read.
#[derive(Clone, Copy, Debug)]
pub enum View<'a> {
    /// A string that stands in the entry.
    Short(&'a [u8]),
    /// A string that spells an integer.
    Int(i64),
    /// A large string.
    Chunks(&'a Chunks),
    /// A collection.
    Object(&'a Object),
}

/// The types of Redis, by the names that `TYPE` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `string`
    String,
    /// `list`
    List,
    /// `set`
    Set,
    /// `zset`
    SortedSet,
    /// `hash`
    Hash,
    /// `stream`
    Stream,
}

impl Type {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::String, Self::List, Self::Set, Self::SortedSet, Self::Hash, Self::Stream];

    /// The name that `TYPE` answers and `SCAN … TYPE` takes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "zset",
            Self::Hash => "hash",
            Self::Stream => "stream",
        }
    }
}

/// A collection.
#[derive(Clone, Debug)]
pub enum Object {
    /// A list.
    List(List),
}

impl Object {
    /// The collection's type.
    pub const fn kind(&self) -> Type {
        match self {
            Self::List(_) => Type::List,
        }
    }

    /// What `OBJECT ENCODING` answers.
    pub fn encoding(&self) -> &'static str {
        match self {
            Self::List(list) if list.is_small(8192) => "listpack",
            Self::List(_) => "quicklist",
        }
    }

    /// Bytes on the heap, beyond the object itself.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::List(list) => list.heap_bytes(),
        }
    }

    /// About how many allocations freeing this costs.
    pub fn free_cost(&self) -> usize {
        match self {
            Self::List(list) => list.heap_bytes() / 4096,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
        }
    }

    /// Whether nothing is left; Redis deletes such keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
