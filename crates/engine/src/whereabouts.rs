//! Where the buckets of each shard lie, told to those who do not hold its lock.
//!
//! An address here is good for one thing: to bring a bucket towards the cache before its shard is locked. It may be out of date, since
//! whoever reads it holds nothing; a prefetch of memory that is gone does no harm, and misses.

use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use crate::prefetch::prefetch;

/// Bytes of a bucket.
const BUCKET: usize = 64;

/// One shard's buckets: where the first lies, and how many there are, less one.
#[derive(Debug, Default)]
struct Place {
    first: AtomicPtr<u8>,
    mask: AtomicUsize,
}

/// All shards' buckets, of the database that most clients use.
#[derive(Clone, Debug)]
pub(crate) struct Whereabouts(Arc<[Place]>);

impl Whereabouts {
    pub(crate) fn new(shards: u32) -> Self {
        Self((0..shards).map(|_| Place::default()).collect())
    }

    /// Says where a shard's buckets are now. Writes only what has changed.
    #[inline]
    pub(crate) fn tell(&self, shard: u32, first: *const u8, buckets: usize) {
        let place = &self.0[shard as usize];
        if place.first.load(Ordering::Relaxed).cast_const() != first {
            place.first.store(first.cast_mut(), Ordering::Relaxed);
            place.mask.store(buckets.saturating_sub(1), Ordering::Relaxed);
        }
    }

    /// Brings the bucket of a hash towards the cache.
    #[inline]
    pub(crate) fn prefetch(&self, shard: u32, hash: u64) {
        let place = &self.0[shard as usize];
        let nth = hash as usize & place.mask.load(Ordering::Relaxed);
        prefetch(place.first.load(Ordering::Relaxed).wrapping_add(nth * BUCKET));
    }
}
