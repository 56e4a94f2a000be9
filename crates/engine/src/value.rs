//! What a key can hold.

use crate::collections::chunks::Chunks;
use crate::relocate::{Mover, Progress, walk_value};
use crate::size_class::usable;
use crate::types::hash::Hash;
use crate::types::list::List;
use crate::types::set::Set;
use crate::types::sorted_set::SortedSet;
use crate::types::stream::Stream;

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
    Object(Object),
}

impl Value<'_> {
    /// Its type.
    pub const fn kind(&self) -> Type {
        match self {
            Self::Short(_) | Self::Int(_) | Self::Chunks(_) => Type::String,
            Self::Object(Object::List(_)) => Type::List,
            Self::Object(Object::Set(_)) => Type::Set,
            Self::Object(Object::SortedSet(_)) => Type::SortedSet,
            Self::Object(Object::Hash(_)) => Type::Hash,
            Self::Object(Object::Stream(_)) => Type::Stream,
        }
    }
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
    Object(ObjectRef<'a>),
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

/// A collection, owned. An entry keeps the pointer alone and names the type in its header.
#[derive(Clone, Debug)]
pub enum Object {
    /// A list.
    List(Box<List>),
    /// A set.
    Set(Box<Set>),
    /// A sorted set.
    SortedSet(Box<SortedSet>),
    /// A hash.
    Hash(Box<Hash>),
    /// A stream.
    Stream(Box<Stream>),
}

/// A collection in its entry, to be read.
#[derive(Clone, Copy, Debug)]
pub enum ObjectRef<'a> {
    /// A list.
    List(&'a List),
    /// A set.
    Set(&'a Set),
    /// A sorted set.
    SortedSet(&'a SortedSet),
    /// A hash.
    Hash(&'a Hash),
    /// A stream.
    Stream(&'a Stream),
}

/// A collection in its entry, to be changed.
#[derive(Debug)]
pub enum ObjectMut<'a> {
    /// A list.
    List(&'a mut List),
    /// A set.
    Set(&'a mut Set),
    /// A sorted set.
    SortedSet(&'a mut SortedSet),
    /// A hash.
    Hash(&'a mut Hash),
    /// A stream.
    Stream(&'a mut Stream),
}

/// What every collection is able to say of itself. None of it walks over elements.
pub trait Collection: Sized {
    /// Its type.
    const KIND: Type;

    /// The collection as an object.
    fn wrap(self) -> Object;

    /// The collection of an object, if it is of this type.
    fn of(object: ObjectRef<'_>) -> Option<&Self>;

    /// As [`Collection::of`], to be changed.
    fn of_mut(object: ObjectMut<'_>) -> Option<&mut Self>;

    /// Number of elements.
    fn len(&self) -> usize;

    /// What `OBJECT ENCODING` answers.
    fn encoding(&self) -> &'static str;

    /// Bytes on the heap, beyond the collection's own struct.
    fn heap_bytes(&self) -> usize;

    /// About how many allocations freeing it costs.
    fn free_cost(&self) -> usize;

    /// When the first of its elements ends, in milliseconds since 1970, if one does.
    fn first_deadline(&self) -> Option<u64> {
        None
    }

    /// How many buckets its elements are spread over by their hashes, if they are.
    fn buckets(&self) -> Option<usize> {
        None
    }

    /// Moves what it owns on the heap to better places, a step from `from` on. Answers where to go on; `None` if that was all.
    fn relocate(&mut self, mover: &mut Mover, from: Progress) -> Option<Progress>;

    /// Whether nothing is in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether its key goes now. Streams stay when they are empty.
    fn is_gone(&self) -> bool {
        self.is_empty()
    }
}

/// Does the same with whichever collection it is.
macro_rules! each {
    ($names:ident, $object:expr, $it:ident => $do:expr) => {
        match $object {
            $names::List($it) => $do,
            $names::Set($it) => $do,
            $names::SortedSet($it) => $do,
            $names::Hash($it) => $do,
            $names::Stream($it) => $do,
        }
    };
}

impl Object {
    /// The collection, to be read.
    pub const fn as_ref(&self) -> ObjectRef<'_> {
        match self {
            Self::List(list) => ObjectRef::List(list),
            Self::Set(set) => ObjectRef::Set(set),
            Self::SortedSet(set) => ObjectRef::SortedSet(set),
            Self::Hash(hash) => ObjectRef::Hash(hash),
            Self::Stream(stream) => ObjectRef::Stream(stream),
        }
    }
}

impl ObjectMut<'_> {
    /// Moves what the collection owns on the heap, from `from` on until all is done or the mover is spent.
    pub(crate) fn relocate(self, mover: &mut Mover, from: Progress) -> Option<Progress> {
        each!(Self, self, it => walk_value(mover, from, |mover, from| it.relocate(mover, from)))
    }
}

impl ObjectRef<'_> {
    /// The collection's type.
    pub fn kind(self) -> Type {
        const fn kind_of<T: Collection>(_: &T) -> Type {
            T::KIND
        }
        each!(Self, self, it => kind_of(it))
    }

    /// What `OBJECT ENCODING` answers.
    pub fn encoding(self) -> &'static str {
        each!(Self, self, it => it.encoding())
    }

    /// Bytes on the heap, its own struct included.
    pub fn heap_bytes(self) -> usize {
        fn of<T: Collection>(it: &T) -> usize {
            usable(size_of::<T>()) + it.heap_bytes()
        }
        each!(Self, self, it => of(it))
    }

    /// Type, number of elements and [`Self::heap_bytes`], in one look.
    #[inline]
    pub(crate) fn measure(self) -> (Type, usize, usize) {
        #[inline]
        fn of<T: Collection>(it: &T) -> (Type, usize, usize) {
            (T::KIND, Collection::len(it), usable(size_of::<T>()) + it.heap_bytes())
        }
        each!(Self, self, it => of(it))
    }

    /// Brings towards the cache where a command about one element looks for it. Answers the hash that it is looked for by, if it is, for
    /// [`Self::prefetch`].
    #[inline]
    pub fn prefetch_place(self, element: &[u8]) -> Option<u64> {
        match self {
            Self::Hash(hash) => hash.prefetch_place(element),
            Self::Set(set) => set.prefetch_place(element),
            Self::SortedSet(set) => set.prefetch_place(element),
            Self::List(_) | Self::Stream(_) => None,
        }
    }

    /// Brings the element of a hash towards the cache.
    #[inline]
    pub fn prefetch(self, hash: u64) {
        match self {
            Self::Hash(it) => it.prefetch(hash),
            Self::Set(it) => it.prefetch(hash),
            Self::SortedSet(it) => it.prefetch(hash),
            Self::List(_) | Self::Stream(_) => {}
        }
    }

    /// About how many allocations freeing this costs.
    pub fn free_cost(self) -> usize {
        each!(Self, self, it => it.free_cost())
    }

    /// How many buckets its elements are spread over by their hashes, if they are.
    pub fn buckets(self) -> Option<usize> {
        each!(Self, self, it => it.buckets())
    }

    /// Number of elements.
    pub fn len(self) -> usize {
        each!(Self, self, it => Collection::len(it))
    }

    /// Whether nothing is in it.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// A copy that shares nothing.
    pub fn cloned(self) -> Object {
        match self {
            Self::List(list) => Object::List(Box::new(list.clone())),
            Self::Set(set) => Object::Set(Box::new(set.clone())),
            Self::SortedSet(set) => Object::SortedSet(Box::new(set.clone())),
            Self::Hash(hash) => Object::Hash(Box::new(hash.clone())),
            Self::Stream(stream) => Object::Stream(Box::new(stream.clone())),
        }
    }
}

/// Writes the lines of [`Collection`] that are the same for all but for names.
macro_rules! collection {
    ($name:ident) => {
        const KIND: $crate::value::Type = $crate::value::Type::$name;

        fn wrap(self) -> $crate::value::Object {
            $crate::value::Object::$name(Box::new(self))
        }

        fn of(object: $crate::value::ObjectRef<'_>) -> Option<&Self> {
            match object {
                $crate::value::ObjectRef::$name(it) => Some(it),
                _ => None,
            }
        }

        fn of_mut(object: $crate::value::ObjectMut<'_>) -> Option<&mut Self> {
            match object {
                $crate::value::ObjectMut::$name(it) => Some(it),
                _ => None,
            }
        }
    };
}
pub(crate) use collection;

/// Who is told of a change: what a change says of itself, or plainly whether it was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing changed, or nothing that anybody would see.
    Nobody,
    /// The journal alone: what changed is no more than who has read what.
    Journal,
    /// The journal and those who wait for the key: what they wait on behalf of may be gone, but no element is.
    Waiters,
    /// Those who watch the key, too. Those who wait for it would find nothing new.
    Watchers,
    /// Those who watch the key and those who wait for it.
    All,
}

impl From<bool> for Told {
    fn from(has_changed: bool) -> Self {
        if has_changed { Self::All } else { Self::Nobody }
    }
}

/// From where on a small collection becomes a big one: Redis' `…-max-listpack-entries` and `…-max-listpack-value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmallMax {
    /// Number of elements.
    pub entries: usize,
    /// Bytes of the longest.
    pub bytes: usize,
}
