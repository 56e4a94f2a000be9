//! One key and its value in one allocation, to the byte.
//!
//! ```text
//!  0       1      3      4       5         6        8
//!  +-------+------+------+-------+---------+--------+
//!  | access| free | kind | flags | short_len| key_len|     the header, 8 bytes
//!  +-------+------+------+-------+---------+--------+
//!  [ expiry: u64 ]   when flags say so: milliseconds since 1970
//!  [ long key_len: u32, long value_len: u32 ]   when flags say so
//!  [ slot: u64 ]     a number, or the pointer to a large value
//!  [ key bytes ]
//!  [ value bytes ]   of a short string
//! ```
//!
//! A 16-byte key with a 64-byte value takes 88 bytes, 96 with an expiry; both are served from the allocator's class of 96, so an
//! expiry costs nothing there. An integer takes 32. Strings up to [`INLINE_MAX`] stand inline, larger ones are [`Chunks`].
//!
//! Of the 24 bits of access the lower 20 stand in the pointer, where an address has none: sixteen above it, and four below, as entries are
//! aligned to 16 bytes. So whoever has a bucket of the table sees how its entries are used without waiting for their memory, which is what
//! eviction would cost.
//!
//! Invariants:
//! * The address in `self.0` is that of an allocation of `room()` bytes, aligned to 16, owned by this `Entry` alone. It is always
//!   allocated at the full size of its class, so a value may change length within the class without another layout.
//! * `kind` says what the slot holds: `INT` an `i64`, `CHUNKS` a `Box<Chunks>`, `LIST` a `Box<List>` and so on; `SHORT` has no slot.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::ptr::NonNull;

use crate::collections::chunks::Chunks;
use crate::number::parse_i64;
use crate::prefetch::prefetch;
use crate::relocate::{Mover, Progress};
use crate::size_class::usable;
use crate::sizes::{Measure, bin, digits};
use crate::types::hash::Hash;
use crate::types::list::List;
use crate::types::set::Set;
use crate::types::sorted_set::SortedSet;
use crate::types::stream::Stream;
use crate::value::{Object, ObjectMut, ObjectRef, Type, Value, View};

/// The longest string that stands inside its entry, in bytes.
pub const INLINE_MAX: usize = 16 * 1024;

/// The longest string that Redis would embed; beyond it `OBJECT ENCODING` says `raw`.
const EMBEDDED_MAX: usize = 44;

const HEADER: usize = 8;

/// What entries are aligned to, and take at least.
const ALIGN: usize = 16;

/// The bits of a pointer that are an address: user space ends below 2^48 wherever nobody asks for more. The others are those of a glance, all
/// but so many of them above.
const ADDRESS: usize = 0x0000_ffff_ffff_fff0;
const GLANCE_BELOW: u32 = ALIGN.ilog2();
const ADDRESS_BITS: u32 = 48;

/// As many of the bits of access stand in the pointer.
pub const GLANCE_BITS: u32 = GLANCE_BELOW + usize::BITS - ADDRESS_BITS;

/// Memory is brought towards the cache in lines of so many bytes, of one entry so many behind the first: then the processor sees by itself
/// where this goes.
const LINE_BYTES: usize = 64;
const LINES_MAX: usize = 8;

const SHORT: u8 = 0;
const INT: u8 = 1;
const CHUNKS: u8 = 2;
const LIST: u8 = 3;
const SET: u8 = 4;
const SORTED_SET: u8 = 5;
const HASH: u8 = 6;
const STREAM: u8 = 7;

const HAS_EXPIRY: u8 = 1;
const IS_LONG: u8 = 2;
const IS_RAW: u8 = 4;
/// Alternates from snapshot to snapshot; see [`crate::snapshot`].
const MARK: u8 = 0x80;

/// The first eight bytes of an entry.
#[repr(C, align(8))]
struct Header {
    /// What of the bits of access a glance does not show.
    access: u8,
    free: [u8; 2],
    kind: u8,
    flags: u8,
    short_len: u8,
    key_len: u16,
}

const _: () = assert!(size_of::<Header>() == HEADER);

/// Where the parts of an entry lie; derived from the header alone.
#[derive(Clone, Copy)]
struct Shape {
    flags: u8,
    kind: u8,
    key_len: usize,
    value_len: usize,
}

impl Shape {
    fn of(key: &[u8], value: &Value<'_>, has_expiry: bool) -> Self {
        let (kind, value_len) = match value {
            Value::Short(bytes) => (SHORT, bytes.len()),
            Value::Int(_) => (INT, 0),
            Value::Chunks(_) => (CHUNKS, 0),
            Value::Object(object) => (kind_of(object), 0),
        };
        Self { flags: 0, kind, key_len: key.len(), value_len }.with_expiry(has_expiry)
    }

    fn with_expiry(mut self, has_expiry: bool) -> Self {
        let long = self.key_len > u16::MAX as usize || self.value_len > u8::MAX as usize;
        self.flags = (self.flags & (IS_RAW | MARK))
            | if has_expiry { HAS_EXPIRY } else { 0 }
            | if long { IS_LONG } else { 0 };
        self
    }

    #[inline]
    fn long_at(self) -> usize {
        HEADER + if self.flags & HAS_EXPIRY != 0 { 8 } else { 0 }
    }

    #[inline]
    fn slot_at(self) -> usize {
        self.long_at() + if self.flags & IS_LONG != 0 { 8 } else { 0 }
    }

    #[inline]
    fn key_at(self) -> usize {
        self.slot_at() + if self.kind == SHORT { 0 } else { 8 }
    }

    #[inline]
    fn value_at(self) -> usize {
        self.key_at() + self.key_len
    }

    #[inline]
    fn size(self) -> usize {
        self.value_at() + self.value_len
    }

    /// What it takes from the allocator.
    #[inline]
    fn room(self) -> usize {
        usable(self.size().max(ALIGN))
    }

    fn layout(self) -> Layout {
        Layout::from_size_align(self.room(), ALIGN).expect("an entry is far below isize::MAX")
    }
}

/// What the table shows of an entry: its address and a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen(usize);

impl Seen {
    /// Of an entry at an address that is aligned as entries are.
    #[inline]
    pub(crate) const fn new(address: usize, glance: u32) -> Self {
        let (below, above) = (glance as usize & (ALIGN - 1), glance as usize >> GLANCE_BELOW);
        Self(address & ADDRESS | above << ADDRESS_BITS | below)
    }

    #[inline]
    pub(crate) const fn address(self) -> usize {
        self.0 & ADDRESS
    }

    #[inline]
    pub(crate) const fn glance(self) -> u32 {
        ((self.0 >> ADDRESS_BITS) << GLANCE_BELOW | self.0 & (ALIGN - 1)) as u32
    }
}

/// An owned key with its value, expiry and access clock; eight bytes wide.
#[repr(transparent)]
pub struct Entry(NonNull<Header>);

// SAFETY: an entry owns its allocation and everything in it, and `Object`, `Chunks` are Send.
unsafe impl Send for Entry {}
// SAFETY: through `&Entry` nothing is written but the access clock, which `touch` takes `&mut self` for.
unsafe impl Sync for Entry {}
// SAFETY: `NonNull` is never zero, so `Option<Entry>` of all zero bytes is `None`.
unsafe impl bytemuck::ZeroableInOption for Entry {}

impl Entry {
    /// A new entry. `key` is copied, and so are the bytes of a short value.
    pub fn new(key: &[u8], value: Value<'_>, expiry: Option<u64>) -> Self {
        let mut entry = Self::allocate(Shape::of(key, &value, expiry.is_some()));
        entry.key_bytes_mut().copy_from_slice(key);
        entry.write_expiry(expiry);
        entry.write_value(value);
        entry
    }

    fn allocate(shape: Shape) -> Self {
        let layout = shape.layout();
        // SAFETY: the layout is never of size zero: the header alone is eight bytes.
        let raw = unsafe { alloc(layout) };
        #[expect(
            clippy::cast_ptr_alignment,
            reason = "the layout asks for more than a header's alignment"
        )]
        let Some(at) = NonNull::new(raw.cast::<Header>()) else { handle_alloc_error(layout) };
        assert!(
            at.addr().get() & !ADDRESS == 0,
            "the address of an entry leaves room for a glance"
        );
        let long = shape.flags & IS_LONG != 0;
        let header = Header {
            access: 0,
            free: [0; 2],
            kind: shape.kind,
            flags: shape.flags,
            short_len: if long { 0 } else { shape.value_len as u8 },
            key_len: if long { 0 } else { shape.key_len as u16 },
        };
        // SAFETY: freshly allocated, aligned, large enough for a header.
        unsafe { at.write(header) };
        let mut entry = Self(at);
        if long {
            let lengths = (shape.key_len as u64) | ((shape.value_len as u64) << 32);
            entry.write_word(shape.long_at(), lengths);
        }
        entry
    }

    /// The pointer without the glance.
    #[inline]
    fn at(&self) -> NonNull<Header> {
        let address = self.0.as_ptr().map_addr(|word| word & ADDRESS);
        // SAFETY: see the invariants: there is an allocation at that address.
        unsafe { NonNull::new_unchecked(address) }
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: see the invariants: the pointer is valid for a header while self lives.
        unsafe { self.at().as_ref() }
    }

    #[inline]
    fn header_mut(&mut self) -> &mut Header {
        // SAFETY: as above, and `&mut self` is the only way in.
        unsafe { self.at().as_mut() }
    }

    #[inline]
    fn shape(&self) -> Shape {
        let header = self.header();
        let mut shape = Shape {
            flags: header.flags,
            kind: header.kind,
            key_len: header.key_len as usize,
            value_len: header.short_len as usize,
        };
        if header.flags & IS_LONG != 0 {
            let lengths = self.word(shape.long_at());
            shape.key_len = (lengths & 0xffff_ffff) as usize;
            shape.value_len = (lengths >> 32) as usize;
        }
        shape
    }

    #[inline]
    fn word(&self, at: usize) -> u64 {
        // SAFETY: callers pass offsets that the shape gave: inside the allocation, multiples of eight.
        let place = unsafe { self.at().cast::<u8>().add(at) };
        // SAFETY: as above; every word was written by `new`.
        unsafe { place.cast::<u64>().read() }
    }

    #[inline]
    fn write_word(&mut self, at: usize, word: u64) {
        // SAFETY: callers pass offsets that the shape gave: inside the allocation, multiples of eight.
        let place = unsafe { self.at().cast::<u8>().add(at) };
        // SAFETY: as above.
        unsafe { place.cast::<u64>().write(word) };
    }

    #[inline]
    fn bytes(&self, at: usize, len: usize) -> &[u8] {
        // SAFETY: callers pass a range that the shape gave: inside the allocation.
        let place = unsafe { self.at().cast::<u8>().add(at) };
        // SAFETY: as above; the bytes were written by `new` or `write_value`.
        unsafe { std::slice::from_raw_parts(place.as_ptr(), len) }
    }

    #[inline]
    fn bytes_mut(&mut self, at: usize, len: usize) -> &mut [u8] {
        // SAFETY: callers pass a range that the shape gave: inside the allocation.
        let place = unsafe { self.at().cast::<u8>().add(at) };
        // SAFETY: as above, and `&mut self` is the only way in. Plain bytes need no initialisation to be overwritten, and callers
        // overwrite all of them before anything reads them.
        unsafe { std::slice::from_raw_parts_mut(place.as_ptr(), len) }
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        let shape = self.shape();
        self.bytes(shape.key_at(), shape.key_len)
    }

    fn key_bytes_mut(&mut self) -> &mut [u8] {
        let shape = self.shape();
        self.bytes_mut(shape.key_at(), shape.key_len)
    }

    /// When the entry ends, in milliseconds since 1970.
    #[inline]
    pub fn expiry(&self) -> Option<u64> {
        (self.header().flags & HAS_EXPIRY != 0).then(|| self.word(HEADER))
    }

    /// Whether the entry has ended at `now`.
    #[inline]
    pub fn is_expired(&self, now: u64) -> bool {
        self.header().flags & HAS_EXPIRY != 0 && self.word(HEADER) <= now
    }

    /// When the first field of a hash ends, if this is a hash and one does.
    #[inline]
    pub fn field_deadline(&self) -> Option<u64> {
        if self.header().kind != HASH {
            return None;
        }
        self.boxed::<Hash>(self.shape()).first_deadline()
    }

    /// Whether at `now` the entry has ended, or a field of it.
    #[inline]
    pub fn is_due(&self, now: u64) -> bool {
        self.is_expired(now) || self.field_deadline().is_some_and(|at| at <= now)
    }

    fn write_expiry(&mut self, expiry: Option<u64>) {
        if let Some(at) = expiry {
            self.write_word(HEADER, at);
        }
    }

    /// The value, to be read.
    #[inline]
    pub fn view(&self) -> View<'_> {
        let shape = self.shape();
        match shape.kind {
            SHORT => View::Short(self.bytes(shape.value_at(), shape.value_len)),
            INT => View::Int(self.word(shape.slot_at()) as i64),
            CHUNKS => View::Chunks(self.boxed::<Chunks>(shape)),
            _ => View::Object(self.object_of(shape)),
        }
    }

    #[inline]
    fn object_of(&self, shape: Shape) -> ObjectRef<'_> {
        match shape.kind {
            LIST => ObjectRef::List(self.boxed(shape)),
            SET => ObjectRef::Set(self.boxed(shape)),
            SORTED_SET => ObjectRef::SortedSet(self.boxed(shape)),
            HASH => ObjectRef::Hash(self.boxed(shape)),
            _ => ObjectRef::Stream(self.boxed(shape)),
        }
    }

    /// The collection, if the value is one.
    #[inline]
    pub fn object(&self) -> Option<ObjectRef<'_>> {
        let shape = self.shape();
        (shape.kind > CHUNKS).then(|| self.object_of(shape))
    }

    #[inline]
    fn boxed<T>(&self, shape: Shape) -> &T {
        let pointer = self.word(shape.slot_at()) as *const T;
        // SAFETY: callers ask for the type that `kind` names; the slot holds the pointer of a live Box of it.
        unsafe { &*pointer }
    }

    #[inline]
    fn boxed_mut<T>(&mut self, shape: Shape) -> &mut T {
        let pointer = self.word(shape.slot_at()) as *mut T;
        // SAFETY: as in `boxed`, and `&mut self` is the only way in.
        unsafe { &mut *pointer }
    }

    /// A collection, to be changed in place.
    #[inline]
    pub fn object_mut(&mut self) -> Option<ObjectMut<'_>> {
        let shape = self.shape();
        Some(match shape.kind {
            LIST => ObjectMut::List(self.boxed_mut(shape)),
            SET => ObjectMut::Set(self.boxed_mut(shape)),
            SORTED_SET => ObjectMut::SortedSet(self.boxed_mut(shape)),
            HASH => ObjectMut::Hash(self.boxed_mut(shape)),
            STREAM => ObjectMut::Stream(self.boxed_mut(shape)),
            _ => return None,
        })
    }

    /// A large string, to be changed in place.
    pub fn chunks_mut(&mut self) -> Option<&mut Chunks> {
        let shape = self.shape();
        (shape.kind == CHUNKS).then(|| self.boxed_mut::<Chunks>(shape))
    }

    /// A short string, to be changed in place without changing its length.
    pub fn short_mut(&mut self) -> Option<&mut [u8]> {
        let shape = self.shape();
        (shape.kind == SHORT).then(|| self.bytes_mut(shape.value_at(), shape.value_len))
    }

    /// Makes a short string `len` bytes long, at most [`INLINE_MAX`], and gives its bytes: as many of the old ones as fit, then zeros. In
    /// place while the allocator's class lasts, so that many small additions cost a few copies. `None` if it is no short string.
    pub fn resize_short(&mut self, len: usize) -> Option<&mut [u8]> {
        let old = self.shape();
        if old.kind != SHORT {
            return None;
        }
        assert!(len <= INLINE_MAX, "longer strings are chunks");
        let new = Shape { value_len: len, ..old }.with_expiry(old.flags & HAS_EXPIRY != 0);
        let kept = old.value_len.min(len);
        if new.flags == old.flags && new.layout() == old.layout() {
            self.write_len(new);
        } else {
            let mut next = Self::allocate(new);
            next.write_expiry(self.expiry());
            next.key_bytes_mut().copy_from_slice(self.key());
            next.bytes_mut(new.value_at(), kept).copy_from_slice(self.bytes(old.value_at(), kept));
            next.set_access(self.access());
            *self = next;
        }
        let value = self.bytes_mut(new.value_at(), len);
        value[kept..].fill(0);
        Some(value)
    }

    /// Notes the lengths of a short string where its shape keeps them.
    fn write_len(&mut self, shape: Shape) {
        if shape.flags & IS_LONG != 0 {
            let lengths = (shape.key_len as u64) | ((shape.value_len as u64) << 32);
            self.write_word(shape.long_at(), lengths);
        } else {
            self.header_mut().short_len = shape.value_len as u8;
        }
    }

    fn write_value(&mut self, value: Value<'_>) {
        let shape = self.shape();
        match value {
            Value::Short(bytes) => {
                self.bytes_mut(shape.value_at(), shape.value_len).copy_from_slice(bytes);
            }
            Value::Int(number) => self.write_word(shape.slot_at(), number as u64),
            Value::Chunks(chunks) => {
                self.write_word(shape.slot_at(), Box::into_raw(Box::new(chunks)) as u64);
            }
            Value::Object(object) => {
                self.write_word(shape.slot_at(), into_word(object));
            }
        }
    }

    /// Replaces a short string by one of the same length, or a number by a number about as long, under the same expiry or none: the
    /// common cases of SET and INCR. Nothing moves, and the weight and the class of the size stay. Says whether it did.
    #[inline]
    pub fn replace_alike(&mut self, value: &Value<'_>, expiry: Option<u64>) -> bool {
        let old = self.shape();
        if self.expiry() != expiry {
            return false;
        }
        match value {
            Value::Short(bytes) if old.kind == SHORT && bytes.len() == old.value_len => {
                self.bytes_mut(old.value_at(), old.value_len).copy_from_slice(bytes);
                self.header_mut().flags &= !IS_RAW;
            }
            Value::Int(number)
                if old.kind == INT
                    && bin(digits(*number)) == bin(digits(self.word(old.slot_at()) as i64)) =>
            {
                self.write_word(old.slot_at(), *number as u64);
            }
            _ => return false,
        }
        true
    }

    /// Replaces value and expiry and gives back what was large.
    pub fn replace(&mut self, value: Value<'_>, expiry: Option<u64>) -> Option<Large> {
        if self.replace_alike(&value, expiry) { None } else { self.replace_slow(value, expiry) }
    }

    fn replace_slow(&mut self, value: Value<'_>, expiry: Option<u64>) -> Option<Large> {
        let large = self.take_large();
        let mark = self.header().flags & MARK;
        let mut next = Self::new(self.key(), value, expiry);
        next.set_access(self.access());
        next.header_mut().flags |= mark;
        *self = next;
        large
    }

    /// Changes the expiry alone.
    pub fn set_expiry(&mut self, expiry: Option<u64>) {
        let old = self.shape();
        if (old.flags & HAS_EXPIRY != 0) == expiry.is_some() {
            return self.write_expiry(expiry);
        }
        let new = old.with_expiry(expiry.is_some());
        let mut next = Self::allocate(new);
        let tail = old.size() - old.slot_at();
        next.bytes_mut(new.slot_at(), tail).copy_from_slice(self.bytes(old.slot_at(), tail));
        next.set_access(self.access());
        next.header_mut().flags |= old.flags & IS_RAW;
        next.write_expiry(expiry);
        // What the slot owns now belongs to `next`: turn the old entry into a number so that dropping it frees its bytes only.
        self.disown();
        *self = next;
    }

    /// Moves the entry and what it owns to better places, until all is done or the mover is spent. Answers where
    /// [`Entry::relocate_value`] has to go on; `None` if that was all.
    pub fn relocate(&mut self, mover: &mut Mover) -> Option<Progress> {
        let weight = self.weight();
        self.relocate_own(mover);
        match self.header().kind {
            SHORT | INT => {}
            CHUNKS => self.relocate_box::<Chunks>(mover),
            LIST => self.relocate_box::<List>(mover),
            SET => self.relocate_box::<Set>(mover),
            SORTED_SET => self.relocate_box::<SortedSet>(mover),
            HASH => self.relocate_box::<Hash>(mover),
            _ => self.relocate_box::<Stream>(mover),
        }
        let next = self.relocate_value(mover, Progress::default());
        debug_assert_eq!(self.weight(), weight, "what moves stays as large");
        next
    }

    /// Moves what the value owns, from `from` on.
    pub(crate) fn relocate_value(&mut self, mover: &mut Mover, from: Progress) -> Option<Progress> {
        if let Some(chunks) = self.chunks_mut() {
            chunks.relocate(mover);
        }
        self.object_mut()?.relocate(mover, from)
    }

    fn relocate_own(&mut self, mover: &mut Mover) {
        let shape = self.shape();
        if mover.wants(self.address(), shape.room()) {
            let mut next = Self::allocate(shape);
            next.bytes_mut(0, shape.size()).copy_from_slice(self.bytes(0, shape.size()));
            next.set_access(self.access());
            // What the slot owns now belongs to `next`.
            self.disown();
            *self = next;
        }
    }

    /// Moves the box that the slot points to. Callers name the type that `kind` names.
    fn relocate_box<T>(&mut self, mover: &mut Mover) {
        let at = self.shape().slot_at();
        let word = self.word(at);
        if mover.wants(word as *const u8, size_of::<T>()) {
            // SAFETY: the slot holds the pointer of a live Box of the type that `kind` names, and is overwritten below.
            let old = unsafe { Box::from_raw(word as *mut T) };
            self.write_word(at, Box::into_raw(Box::new(*old)) as u64);
        }
    }

    /// Makes the entry own nothing beyond its allocation, without changing its size.
    fn disown(&mut self) {
        if self.header().kind != SHORT {
            self.header_mut().kind = INT;
        }
    }

    /// Takes a value out that is not inside the entry; what stays is the number zero.
    fn take_large(&mut self) -> Option<Large> {
        let shape = self.shape();
        if shape.kind < CHUNKS {
            return None;
        }
        let word = self.word(shape.slot_at());
        self.disown();
        self.write_word(shape.slot_at(), 0);
        // SAFETY: the slot held the pointer of a Box of the type that `kind` named, and now holds zero.
        Some(unsafe { Large::from_raw(shape.kind, word) })
    }

    /// Ends the entry and gives back its value if it is large.
    pub fn into_large(mut self) -> Option<Large> {
        self.take_large()
    }

    /// The same value under another key and expiry; a large value moves, nothing is copied but short bytes.
    #[must_use]
    pub fn renamed(mut self, key: &[u8], expiry: Option<u64>) -> Self {
        let raw = self.header().flags & IS_RAW;
        let mut next = match self.take_large() {
            Some(Large::Chunks(chunks)) => Self::new(key, Value::Chunks(*chunks), expiry),
            Some(Large::Object(object)) => Self::new(key, Value::Object(object), expiry),
            None => match self.view() {
                View::Short(bytes) => Self::new(key, Value::Short(bytes), expiry),
                View::Int(number) => Self::new(key, Value::Int(number), expiry),
                View::Chunks(_) | View::Object(_) => {
                    unreachable!("large values were taken out above")
                }
            },
        };
        next.set_access(self.access());
        next.header_mut().flags |= raw;
        next
    }

    /// A copy of the value and its expiry under another key. A collection is cloned whole, a large string shares its chunks.
    #[must_use]
    pub fn copied(&self, key: &[u8]) -> Self {
        let value = match self.view() {
            View::Short(bytes) => Value::Short(bytes),
            View::Int(number) => Value::Int(number),
            View::Chunks(chunks) => Value::Chunks(chunks.clone()),
            View::Object(object) => Value::Object(object.cloned()),
        };
        let mut copy = Self::new(key, value, self.expiry());
        copy.set_access(self.access());
        copy.header_mut().flags |= self.header().flags & IS_RAW;
        copy
    }

    /// The value's type.
    #[inline]
    pub fn kind(&self) -> Type {
        match self.view() {
            View::Object(object) => object.kind(),
            _ => Type::String,
        }
    }

    /// What `OBJECT ENCODING` answers, but for collections' thresholds, which the object knows.
    pub fn encoding(&self) -> &'static str {
        match self.view() {
            View::Int(_) => "int",
            View::Short(bytes)
                if bytes.len() <= EMBEDDED_MAX && self.header().flags & IS_RAW == 0 =>
            {
                "embstr"
            }
            View::Short(_) | View::Chunks(_) => "raw",
            View::Object(object) => object.encoding(),
        }
    }

    /// Marks a string as changed in place: Redis calls those `raw` whatever their length.
    pub fn mark_raw(&mut self) {
        self.header_mut().flags |= IS_RAW;
    }

    /// The mark that a snapshot leaves.
    #[inline]
    pub fn mark(&self) -> bool {
        self.header().flags & MARK != 0
    }

    /// Sets the mark that a snapshot leaves. It stays while the entry changes, but not when it is renamed or copied.
    #[inline]
    pub fn set_mark(&mut self, mark: bool) {
        let flags = &mut self.header_mut().flags;
        *flags = if mark { *flags | MARK } else { *flags & !MARK };
    }

    /// The 24 bits of access.
    #[inline]
    pub fn access(&self) -> u32 {
        u32::from(self.header().access) << GLANCE_BITS | self.glance()
    }

    /// Sets the 24 bits of access.
    #[inline]
    pub fn set_access(&mut self, access: u32) {
        let above = (access >> GLANCE_BITS) as u8;
        if self.header().access != above {
            self.header_mut().access = above;
        }
        self.set_glance(access);
    }

    /// The lower [`GLANCE_BITS`] of the bits of access. The entry itself is not looked at.
    #[inline]
    pub fn glance(&self) -> u32 {
        self.seen().glance()
    }

    /// All that the table shows of it.
    #[inline]
    pub(crate) fn seen(&self) -> Seen {
        Seen(self.0.addr().get())
    }

    /// Sets the lower [`GLANCE_BITS`] of the bits of access, and leaves the others as they are.
    #[inline]
    pub fn set_glance(&mut self, glance: u32) {
        let word = |address| Seen::new(address, glance).0;
        // SAFETY: the address is not null, and stays as it is.
        self.0 = unsafe { NonNull::new_unchecked(self.0.as_ptr().map_addr(word)) };
    }

    /// Bytes that the entry and its value take from the allocator.
    #[inline]
    pub fn weight(&self) -> usize {
        self.measure().weight
    }

    /// How large the entry is, in one look.
    #[inline]
    pub(crate) fn measure(&self) -> Measure {
        let shape = self.shape();
        let own = shape.room();
        match shape.kind {
            SHORT => Measure::of(Type::String, shape.value_len, own),
            INT => Measure::of(Type::String, digits(self.word(shape.slot_at()) as i64), own),
            CHUNKS => {
                let chunks = self.boxed::<Chunks>(shape);
                let heap_bytes = usable(size_of::<Chunks>()) + chunks.heap_bytes();
                Measure::of(Type::String, chunks.len(), own + heap_bytes)
            }
            _ => {
                let (kind, len, heap_bytes) = self.object_of(shape).measure();
                Measure::of(kind, len, own + heap_bytes)
            }
        }
    }

    /// Brings towards the cache what lies behind the head.
    pub(crate) fn prefetch_rest(&self) {
        let lines = (self.shape().size() / LINE_BYTES).min(LINES_MAX);
        (1..=lines).for_each(|nth| prefetch(self.address().wrapping_add(nth * LINE_BYTES)));
    }

    /// The address of the entry's first byte, for prefetching only, and to tell entries apart.
    #[inline]
    pub fn address(&self) -> *const u8 {
        self.at().as_ptr().cast()
    }
}

/// A value that stands outside its entry, on its way to another entry or to be freed.
#[derive(Debug)]
pub enum Large {
    /// A large string.
    Chunks(Box<Chunks>),
    /// A collection.
    Object(Object),
}

impl Large {
    /// # Safety
    /// `word` is the pointer of a `Box` of the type that `kind` names, and nobody else owns it.
    unsafe fn from_raw(kind: u8, word: u64) -> Self {
        /// # Safety
        /// As above, for a `T`.
        unsafe fn own<T>(word: u64, wrap: impl FnOnce(Box<T>) -> Object) -> Large {
            // SAFETY: the caller's promise.
            Large::Object(wrap(unsafe { Box::from_raw(word as *mut T) }))
        }
        match kind {
            // SAFETY: here and in every arm the caller's promise.
            CHUNKS => Self::Chunks(unsafe { Box::from_raw(word as *mut Chunks) }),
            // SAFETY: as above.
            LIST => unsafe { own(word, Object::List) },
            // SAFETY: as above.
            SET => unsafe { own(word, Object::Set) },
            // SAFETY: as above.
            SORTED_SET => unsafe { own(word, Object::SortedSet) },
            // SAFETY: as above.
            HASH => unsafe { own(word, Object::Hash) },
            // SAFETY: as above.
            _ => unsafe { own(word, Object::Stream) },
        }
    }

    /// Bytes that this takes from the allocator.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Chunks(chunks) => usable(size_of::<Chunks>()) + chunks.heap_bytes(),
            Self::Object(object) => object.as_ref().heap_bytes(),
        }
    }

    /// About how many allocations freeing this costs.
    pub fn free_cost(&self) -> usize {
        match self {
            Self::Chunks(chunks) => chunks.len() / INLINE_MAX,
            Self::Object(object) => object.as_ref().free_cost(),
        }
    }
}

const fn kind_of(object: &Object) -> u8 {
    match object {
        Object::List(_) => LIST,
        Object::Set(_) => SET,
        Object::SortedSet(_) => SORTED_SET,
        Object::Hash(_) => HASH,
        Object::Stream(_) => STREAM,
    }
}

/// The pointer that a slot keeps; the entry owns the box from here on.
fn into_word(object: Object) -> u64 {
    match object {
        Object::List(list) => Box::into_raw(list) as u64,
        Object::Set(set) => Box::into_raw(set) as u64,
        Object::SortedSet(set) => Box::into_raw(set) as u64,
        Object::Hash(hash) => Box::into_raw(hash) as u64,
        Object::Stream(stream) => Box::into_raw(stream) as u64,
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let layout = self.shape().layout();
        drop(self.take_large());
        // SAFETY: allocated by `allocate` with the layout of the same size class; see the invariants.
        unsafe { dealloc(self.at().as_ptr().cast(), layout) };
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &String::from_utf8_lossy(self.key()))
            .field("value", &self.view())
            .field("expiry", &self.expiry())
            .finish_non_exhaustive()
    }
}

/// How Redis would keep these bytes: as a number when they spell one, inline when short, else in chunks.
#[inline]
pub fn string_value(bytes: &[u8]) -> Value<'_> {
    if bytes.len() <= 20
        && let Some(number) = parse_i64(bytes)
    {
        return Value::Int(number);
    }
    raw_value(bytes)
}

/// As [`string_value`], but never a number.
#[inline]
pub fn raw_value(bytes: &[u8]) -> Value<'_> {
    if bytes.len() <= INLINE_MAX {
        Value::Short(bytes)
    } else {
        Value::Chunks(Chunks::from_slice(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn common_entries_take_the_bytes_the_page_says() {
        let key = [b'k'; 16];
        assert_eq!(Entry::new(&key, Value::Short(&[b'v'; 64]), None).weight(), 96);
        assert_eq!(Entry::new(&key, Value::Short(&[b'v'; 64]), Some(1)).weight(), 96);
        assert_eq!(Entry::new(&key, Value::Int(7), None).weight(), 32);
    }

    #[test]
    fn a_glance_shows_the_lower_bits_of_access() {
        let mut entry = Entry::new(b"", string_value(b""), None);
        let address = entry.address();
        entry.set_access(0x00ff_ffff);
        assert_eq!((entry.access(), entry.glance()), (0x00ff_ffff, 0x000f_ffff));
        entry.set_glance(0x0001_2345);
        assert_eq!((entry.access(), entry.glance()), (0x00f1_2345, 0x0001_2345));
        entry.set_access(7);
        assert_eq!((entry.access(), entry.address()), (7, address));
        assert_eq!((entry.key(), entry.weight()), (&b""[..], ALIGN));
    }

    #[test]
    fn a_number_over_a_number_as_long_moves_nothing() {
        let mut entry = Entry::new(b"k", Value::Int(7), Some(5));
        let address = entry.address();
        entry.replace(Value::Int(8), Some(5));
        assert_eq!(entry.address(), address);
        assert!(matches!(entry.view(), View::Int(8)));
        assert_eq!(entry.expiry(), Some(5));
        // What counts as another size is accounted for anew.
        assert!(!entry.replace_alike(&Value::Int(1_000_000), Some(5)));
    }

    #[test]
    fn a_collection_survives_a_new_expiry_and_a_new_name() {
        let mut list = crate::types::list::List::new();
        list.push_back(b"a");
        let mut entry = Entry::new(b"k", Value::Object(Object::List(Box::new(list))), None);
        entry.set_expiry(Some(5));
        let entry = entry.renamed(b"other", None);
        assert_eq!(entry.key(), b"other");
        assert_eq!(entry.expiry(), None);
        let View::Object(ObjectRef::List(list)) = entry.view() else { panic!("a list") };
        assert_eq!(list.len(), 1);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Replace(Vec<u8>, Option<u64>),
        Expire(Option<u64>),
        Rename(Vec<u8>),
        Resize(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            proptest::collection::vec(any::<u8>(), 200..300),
            proptest::collection::vec(Just(b'x'), 16_380..16_390),
            Just(b"12345".to_vec())
        ];
        let key = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            proptest::collection::vec(Just(b'k'), 65_530..65_540)
        ];
        prop_oneof![
            (bytes, any::<Option<u64>>()).prop_map(|(b, e)| Step::Replace(b, e)),
            any::<Option<u64>>().prop_map(Step::Expire),
            key.prop_map(Step::Rename),
            (0usize..400).prop_map(Step::Resize),
        ]
    }

    fn text(entry: &Entry) -> Vec<u8> {
        match entry.view() {
            View::Short(bytes) => bytes.to_vec(),
            View::Int(number) => number.to_string().into_bytes(),
            View::Chunks(chunks) => chunks.to_vec(),
            View::Object(_) => panic!("only strings here"),
        }
    }

    proptest! {
        #[test]
        fn an_entry_holds_what_was_put_in(steps in proptest::collection::vec(step(), 1..30)) {
            let mut entry = Entry::new(b"k", string_value(b"first"), None);
            let (mut key, mut value, mut expiry) = (b"k".to_vec(), b"first".to_vec(), None);
            entry.set_access(0x00ab_cdef);
            for (nth, step) in steps.into_iter().enumerate() {
                let mark = nth % 3 == 0;
                entry.set_mark(mark);
                let is_renamed = matches!(step, Step::Rename(_));
                match step {
                    Step::Replace(bytes, at) => {
                        entry.replace(string_value(&bytes), at);
                        (value, expiry) = (bytes, at);
                    }
                    Step::Expire(at) => {
                        entry.set_expiry(at);
                        expiry = at;
                    }
                    Step::Rename(name) => {
                        entry = entry.renamed(&name, expiry);
                        key = name;
                    }
                    Step::Resize(len) => {
                        if entry.resize_short(len).is_some() {
                            value.resize(len, 0);
                        }
                    }
                }
                prop_assert_eq!(entry.key(), &key[..]);
                prop_assert_eq!(text(&entry), value.clone());
                prop_assert_eq!(entry.expiry(), expiry);
                prop_assert_eq!(entry.access(), 0x00ab_cdef);
                prop_assert_eq!(entry.mark(), mark && !is_renamed);
            }
        }
    }
}
