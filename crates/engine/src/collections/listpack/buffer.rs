//! The bytes of a listpack behind one thin pointer.
//!
//! ```text
//! pointer ──▶ | length in all: u32, little-endian | … |          in an allocation of the length's size class
//! ```
//!
//! A listpack begins with its own length, and buffers are as large as the allocator's classes, so neither length nor capacity has to
//! stand beside the pointer: a small hash and the box around it are 16 bytes less for it.
//!
//! Invariants:
//! * `self.0` points to an allocation of `usable(length)` bytes, aligned to one, owned by this `Buffer` alone.
//! * All of the `length` bytes are initialised; the first four of them, which nobody but [`Buffer::set_len`] writes, spell `length`.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;

use crate::relocate::Mover;
use crate::size_class::usable;

/// The bytes that spell the length.
pub(super) const LENGTH: usize = size_of::<u32>();

/// At least as many bytes as spell its length.
pub(super) struct Buffer(NonNull<u8>);

// SAFETY: a buffer owns its bytes.
unsafe impl Send for Buffer {}
// SAFETY: through `&Buffer` nothing is written.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// A copy of bytes whose first four say how many they are.
    ///
    /// # Panics
    /// If they say something else.
    pub(super) fn new(bytes: &[u8]) -> Self {
        assert!(spelled(bytes) == Some(bytes.len()), "bytes that begin with their length");
        let layout = layout(bytes.len());
        // SAFETY: the layout is not of size zero: there are four bytes at least.
        let raw = unsafe { alloc(layout) };
        let Some(at) = NonNull::new(raw) else { handle_alloc_error(layout) };
        // SAFETY: freshly allocated, so nothing else is there, and at least as long as the bytes.
        unsafe { at.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        Self(at)
    }

    /// Moves the bytes.
    pub(super) fn relocate(&mut self, mover: &mut Mover) {
        if mover.wants(self.0.as_ptr(), self.len()) {
            *self = self.clone();
        }
    }

    /// How many bytes there are.
    #[inline]
    pub(super) const fn len(&self) -> usize {
        // SAFETY: see the invariants: four bytes are there, and all patterns of them are numbers.
        u32::from_le_bytes(unsafe { self.0.cast::<[u8; LENGTH]>().read() }) as usize
    }

    /// What the allocation takes.
    #[inline]
    pub(super) const fn capacity(&self) -> usize {
        usable(self.len())
    }

    /// Bytes behind the length, to be changed.
    #[inline]
    pub(super) fn content_mut(&mut self) -> &mut [u8] {
        let content = self.len() - LENGTH;
        // SAFETY: the bytes that spell the length are part of the allocation.
        let at = unsafe { self.0.add(LENGTH) };
        // SAFETY: the rest of the `length` bytes is initialised, and `&mut self` is the only way in.
        unsafe { NonNull::slice_from_raw_parts(at, content).as_mut() }
    }

    /// Makes it `len` bytes long; new ones are zero. It moves if the class of its size changes.
    ///
    /// # Panics
    /// If `len` has no room for itself or is more than four bytes can say.
    #[inline]
    pub(super) fn resize(&mut self, len: usize) {
        assert!(len >= LENGTH && u32::try_from(len).is_ok(), "a length that four bytes can spell");
        let old = self.len();
        if usable(len) != usable(old) {
            self.move_to(len, old);
        }
        if len > old {
            // SAFETY: `old` is at most the new length, which is inside the allocation.
            let at = unsafe { self.0.add(old) };
            // SAFETY: up to the new length everything is inside the allocation.
            unsafe { at.write_bytes(0, len - old) };
        }
        self.set_len(len as u32);
    }

    #[cold]
    fn move_to(&mut self, len: usize, old: usize) {
        // SAFETY: the allocation has the old length's layout, and the new size is neither zero nor near isize::MAX.
        let raw = unsafe { realloc(self.0.as_ptr(), layout(old), usable(len)) };
        self.0 = NonNull::new(raw).unwrap_or_else(|| handle_alloc_error(layout(len)));
    }

    #[inline]
    const fn set_len(&mut self, len: u32) {
        // SAFETY: four bytes are there, and `&mut self` is the only way in.
        unsafe { self.0.cast::<[u8; LENGTH]>().write(len.to_le_bytes()) };
    }
}

/// The number that bytes begin with.
fn spelled(bytes: &[u8]) -> Option<usize> {
    Some(u32::from_le_bytes(*bytes.first_chunk()?) as usize)
}

const fn layout(len: usize) -> Layout {
    match Layout::from_size_align(usable(len), 1) {
        Ok(layout) => layout,
        Err(_) => panic!("four bytes spell nothing near isize::MAX"),
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: see the invariants: `length` bytes are there and initialised.
        unsafe { NonNull::slice_from_raw_parts(self.0, self.len()).as_ref() }
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, as the length's class is always the allocation's size.
        unsafe { dealloc(self.0.as_ptr(), layout(self.len())) };
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        Self::new(self)
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Buffer {}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    #[should_panic(expected = "begin with their length")]
    fn bytes_that_say_another_length_are_refused() {
        let _buffer = Buffer::new(&[9, 0, 0, 0, 1]);
    }

    proptest! {
        #[test]
        fn a_buffer_is_a_vector(lens in proptest::collection::vec(4_usize..700, 1..40), fill: u8) {
            let mut twin = vec![5, 0, 0, 0, fill];
            let mut buffer = Buffer::new(&twin);
            for len in lens {
                twin.resize(len, 0);
                buffer.resize(len);
                twin[..LENGTH].copy_from_slice(&(len as u32).to_le_bytes());
                prop_assert_eq!(&*buffer, &*twin);
                prop_assert_eq!(buffer.capacity(), usable(len));
                twin[LENGTH..].fill(fill ^ len as u8);
                buffer.content_mut().fill(fill ^ len as u8);
                prop_assert_eq!(&buffer.clone(), &buffer);
            }
        }
    }
}
