//! Databases times shards: which key lies where.
//!
//! A shard is a part of the hash space, across all databases. Keys with a `{tag}` go where the tag says, as in Redis Cluster, so that
//! related keys share a lock; they are found in the table by the hash of the whole key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

use crate::access::Kind;
use crate::lock::{Busy, Guard, Held, Locks, Patience};
use crate::prefetch::{prefetch, prefetch_to_write};
use crate::shard::{Common, NO_QUEUES, Seed, Shard};
use crate::snapshot::Epoch;
use crate::trash::Trash;
use crate::whereabouts::Whereabouts;

/// How many bytes behind the lock of its shard the database begins that most clients use: with a cache line.
const DATABASE_AT: usize = Locks::<Shard>::VALUE_AT + Shard::FIRST_DATABASE_AT;
#[cfg(not(shuttle))]
const _: () = assert!(DATABASE_AT == 64 && Locks::<Shard>::EACH_BYTES == 256);

/// Where a key lies, whatever the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Hash of the whole key.
    pub hash: u64,
    /// Which shard.
    pub shard: u32,
}

/// All data.
#[derive(Debug)]
pub struct Keyspace {
    locks: Locks<Shard>,
    shift: u32,
    common: Arc<Common>,
}

impl Keyspace {
    /// An empty keyspace of `shards` shards, a power of two.
    pub fn new(shards: u32, seed: Seed) -> Self {
        assert!(shards.is_power_of_two() && shards <= 1 << 16, "a power of two, at most 65536");
        let trash = Arc::new(Trash::default());
        let whereabouts = Whereabouts::new(shards);
        let queues = AtomicU8::new(NO_QUEUES);
        let common = Arc::new(Common { seed, trash, whereabouts, epoch: Mutex::default(), queues });
        let locks = Locks::new((0..shards).map(|index| Shard::new(index, Arc::clone(&common))));
        Self { locks, shift: 64 - shards.trailing_zeros(), common }
    }

    /// How many shards serve `threads` threads: at 1024, one command in a hundred meets a held lock at 64 threads.
    pub fn shards_for(threads: usize) -> u32 {
        (threads * 16).next_power_of_two().clamp(1024, 1 << 16) as u32
    }

    /// Where a key lies.
    #[inline]
    pub fn locate(&self, key: &[u8]) -> Spot {
        let hash = self.common.seed.hash(key);
        let of_shard = match tag(key) {
            None => hash,
            Some(tag) => self.common.seed.hash(tag),
        };
        Spot { hash, shard: self.shard_of(of_shard) }
    }

    #[inline]
    const fn shard_of(&self, hash: u64) -> u32 {
        if self.shift == 64 { 0 } else { (hash >> self.shift) as u32 }
    }

    /// Number of shards.
    #[inline]
    pub fn shards(&self) -> u32 {
        self.locks.len() as u32
    }

    /// Bits that a shard's number takes in a SCAN cursor.
    pub const fn shard_bits(&self) -> u32 {
        64 - self.shift
    }

    /// Brings a shard's lock and what stands beside it towards the cache, to be taken.
    #[inline]
    pub fn prefetch_lock(&self, shard: u32) {
        let lock = self.locks.address(shard);
        prefetch_to_write(lock);
        prefetch(lock.wrapping_add(DATABASE_AT));
    }

    /// Brings the bucket of a key towards the cache, without any lock.
    #[inline]
    pub fn prefetch_bucket(&self, spot: Spot) {
        self.common.whereabouts.prefetch(spot.shard, spot.hash);
    }

    /// Takes a shard if it is free just now.
    #[inline]
    pub fn peek(&self, shard: u32) -> Option<Guard<'_, Shard>> {
        if self.locks.is_held(shard) { None } else { self.hold_one(shard, Patience::NONE).ok() }
    }

    /// Takes one shard.
    #[inline]
    pub fn hold_one(&self, shard: u32, patience: Patience) -> Result<Guard<'_, Shard>, Busy> {
        self.locks.hold_one(shard, patience)
    }

    /// Takes shards: ascending, without duplicates, all or none.
    pub fn hold(&self, shards: &[u32], patience: Patience) -> Result<Held<'_, Shard>, Busy> {
        self.locks.hold(shards.iter().copied(), patience)
    }

    /// Takes all shards.
    pub fn hold_all(&self, patience: Patience) -> Result<Held<'_, Shard>, Busy> {
        self.locks.hold(0..self.shards(), patience)
    }

    /// Takes one shard, however long it takes. For threads that serve nobody.
    pub fn hold_patiently(&self, shard: u32) -> Guard<'_, Shard> {
        self.locks.hold_one(shard, Patience::ENDLESS).expect("endless patience")
    }

    /// How many of so many keys come at least into nearly every shard, if they spread as keys do.
    pub fn share(&self, keys: usize) -> usize {
        let mean = keys / self.locks.len();
        mean.saturating_sub(3 * mean.isqrt())
    }

    /// The moment of which a snapshot tells: `held` are all shards. One snapshot at a time; it ends with [`Keyspace::end_snapshot`].
    pub fn begin_snapshot(&self, held: &mut Held<'_, Shard>, epoch: Arc<Epoch>) {
        assert_eq!(held.len(), self.locks.len(), "a moment is one for all shards");
        let before = self.common.epoch.lock().replace(epoch);
        assert!(before.is_none(), "one snapshot at a time");
        held.iter_mut().for_each(Shard::begin_saving);
    }

    /// The snapshot under way, if there is one.
    pub fn snapshot(&self) -> Option<Arc<Epoch>> {
        self.common.epoch.lock().clone()
    }

    /// Every shard has been walked to its end.
    pub fn end_snapshot(&self) {
        self.common.epoch.lock().take();
    }

    /// From now on what comes is noted in the queue of a policy, if it has one. Queues of others go as shards are visited.
    pub fn keep_queues(&self, kind: Kind) {
        let number = if kind.plan().has_queue() { kind as u8 } else { NO_QUEUES };
        if self.common.queues.load(Ordering::Relaxed) != number {
            self.common.queues.store(number, Ordering::Relaxed);
        }
    }

    /// From now on nothing is noted, unless it is for this policy.
    pub fn keep_no_queues_but(&self, kind: Kind) {
        if self.common.queues.load(Ordering::Relaxed) != kind as u8 {
            self.common.queues.store(NO_QUEUES, Ordering::Relaxed);
        }
    }

    /// The locks themselves.
    pub const fn locks(&self) -> &Locks<Shard> {
        &self.locks
    }

    /// The bin for large values.
    pub fn trash(&self) -> &Arc<Trash> {
        &self.common.trash
    }

    /// The keyed hash.
    pub fn seed(&self) -> Seed {
        self.common.seed
    }
}

/// What stands between the first `{` and the next `}`, if it is not empty.
#[inline]
pub fn tag(key: &[u8]) -> Option<&[u8]> {
    if key.len() <= SCANNED_MAX && !has_brace(key) { None } else { tag_in(key) }
}

/// Bytes of the keys that are looked through in place: for longer ones a call of `memchr` pays.
const SCANNED_MAX: usize = 64;

/// Whether there is a `{`, eight bytes at a time.
#[inline]
fn has_brace(key: &[u8]) -> bool {
    const LOWEST: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGHEST: u64 = u64::from_le_bytes([0x80; 8]);
    let (words, rest) = key.as_chunks();
    // Of a word with a byte of zero, as each `{` becomes, and of no other, this leaves something.
    let is_brace = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word) ^ u64::from_le_bytes([b'{'; 8]);
        word.wrapping_sub(LOWEST) & !word & HIGHEST != 0
    };
    words.iter().any(is_brace) || rest.contains(&b'{')
}

fn tag_in(key: &[u8]) -> Option<&[u8]> {
    let open = memchr::memchr(b'{', key)?;
    let inside = &key[open + 1..];
    let len = memchr::memchr(b'}', inside)?;
    (len > 0).then(|| &inside[..len])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_as_cluster_reads_them() {
        assert_eq!(tag(b"user"), None);
        assert_eq!(tag(b"{user1000}.following"), Some(&b"user1000"[..]));
        assert_eq!(tag(b"foo{}{bar}"), None);
        assert_eq!(tag(b"foo{{bar}}zap"), Some(&b"{bar"[..]));
        assert_eq!(tag(b"foo{bar"), None);
    }

    #[test]
    fn tags_are_found_wherever_they_stand() {
        for len in 0..80 {
            for at in 0..len {
                let mut key = vec![b'z'; len];
                key[at] = b'{';
                key.extend(b"t}");
                assert_eq!(tag(&key).map(<[u8]>::len), Some(len - at), "{len} {at}");
            }
            assert_eq!(tag(&vec![b'z'; len]), None);
        }
    }

    #[test]
    fn keys_of_one_tag_share_a_shard() {
        let keyspace = Keyspace::new(1024, Seed(3, 4));
        let (a, b) = (keyspace.locate(b"{t}a"), keyspace.locate(b"{t}b"));
        assert_eq!(a.shard, b.shard);
        assert_ne!(a.hash, b.hash);
    }
}
