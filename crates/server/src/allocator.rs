//! The allocator, and what it is told and asked.

use std::cell::Cell;
use std::ffi::CStr;
use std::ptr::{from_mut, null, null_mut};
use std::sync::OnceLock;

use tikv_jemalloc_sys::{mallctl, mallctlbymib, mallctlnametomib};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Read by the allocator at start: pages that are free go back to the system within a second, by a thread of the allocator's own.
#[used]
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: &[u8; 43] = b"background_thread:true,dirty_decay_ms:1000\0";

/// Bytes that the allocator counts as in use and has for itself: what threads keep at hand after it was freed, and the lists of that.
pub(crate) fn own_bytes() -> usize {
    /// 4096 stands for all arenas at once.
    const NAMES: [&str; 2] = ["stats.arenas.4096.tcache_bytes", "stats.arenas.4096.internal"];
    NAMES.into_iter().filter_map(number).map(|bytes| bytes as usize).sum()
}

/// Gives the pages of all arenas back that nothing is in. Says whether the allocator took it.
pub(crate) fn purge() -> bool {
    /// 4096 stands for all arenas at once.
    const NAME: &CStr = c"arena.4096.purge";
    // SAFETY: the name ends with a zero byte, and the call neither reads nor writes anything of ours.
    let code = unsafe { mallctl(NAME.as_ptr(), null_mut(), null_mut(), null_mut(), 0) };
    code == 0
}

/// Has this thread give back what it keeps at hand. Says whether the allocator took it.
pub(crate) fn let_go() -> bool {
    const NAME: &CStr = c"thread.tcache.flush";
    // SAFETY: the name ends with a zero byte, and the call neither reads nor writes anything of ours.
    let code = unsafe { mallctl(NAME.as_ptr(), null_mut(), null_mut(), null_mut(), 0) };
    code == 0
}

/// A number that the allocator knows by this name, whatever its width. What only looks like one, but makes something, is no number.
pub(crate) fn number(name: &str) -> Option<i64> {
    let makes = name.ends_with(".create") || name.starts_with("experimental.");
    let name = std::ffi::CString::new(name).ok().filter(|_| !makes)?;
    [8, 4, 1].into_iter().find_map(|width| {
        let (mut answer, mut len) = (0_u64, width);
        let place = from_mut(&mut answer).cast();
        // SAFETY: the name ends with a zero byte; nothing is handed over, and the answer is written only if it is `len` bytes long, for which
        // `place` has room. What acts instead of answering refuses a place for an answer.
        let code = unsafe { mallctl(name.as_ptr(), place, &raw mut len, null_mut(), 0) };
        (code == 0 && len == width).then_some(u64::from_le(answer) as i64)
    })
}

/// A name that the allocator knows, looked up once.
struct Name<const DEPTH: usize> {
    name: &'static CStr,
    path: OnceLock<Option<[usize; DEPTH]>>,
}

impl<const DEPTH: usize> Name<DEPTH> {
    const fn new(name: &'static CStr) -> Self {
        Self { name, path: OnceLock::new() }
    }

    fn path(&self) -> Option<&[usize; DEPTH]> {
        let find = || {
            let (mut path, mut depth) = ([0; DEPTH], DEPTH);
            // SAFETY: the name ends with a zero byte; at most `depth` numbers are written to `path`, which has so many.
            let code =
                unsafe { mallctlnametomib(self.name.as_ptr(), path.as_mut_ptr(), &raw mut depth) };
            (code == 0 && depth == DEPTH).then_some(path)
        };
        self.path.get_or_init(find).as_ref()
    }

    /// Hands `question` over, and has `answer` overwritten. Says whether both were what the allocator expects here.
    ///
    /// # Safety
    /// All patterns of bits are answers. If the question holds an address, it is one that the allocator may be asked about.
    unsafe fn ask<Q: Copy, A: Copy>(&self, mut question: Q, answer: &mut A) -> bool {
        let Some(path) = self.path() else { return false };
        let mut len = size_of::<A>();
        let (place, asked) = (from_mut(answer).cast(), from_mut(&mut question).cast());
        // SAFETY: the allocator compares both sizes with its own before it reads or writes; the rest is the caller's promise.
        let code = unsafe {
            mallctlbymib(path.as_ptr(), DEPTH, place, &raw mut len, asked, size_of::<Q>())
        };
        code == 0
    }
}

/// What the allocator says of the slab that an allocation lies in, and of all slabs of its size in the same arena.
#[derive(Clone, Copy)]
#[repr(C)]
struct Utilization {
    /// The slab that the next allocation of this size is made in.
    next: *const u8,
    free: usize,
    places: usize,
    bytes: usize,
    all_free: usize,
    all_places: usize,
}

impl Utilization {
    const UNKNOWN: Self =
        Self { next: null(), free: 0, places: 0, bytes: 0, all_free: 0, all_places: 0 };

    /// Whether the allocation at `at` had better move: its slab is emptier than others, or hardly fuller, and is not the one that is being
    /// filled. Where nearly all places are taken, nothing is to be gained.
    fn is_sparse(&self, at: *const u8) -> bool {
        let is_being_filled = at.addr().wrapping_sub(self.next.addr()) < self.bytes;
        let used = self.places.saturating_sub(self.free);
        let all_used = self.all_places.saturating_sub(self.all_free);
        self.free > 0
            && !is_being_filled
            && self.all_free * 32 > self.all_places
            && used * self.all_places * 8 <= all_used * self.places * 9
    }
}

thread_local! {
    /// The arena that this thread allocates from, once [`is_sparse`] has chosen one.
    static ARENA: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Whether an allocation lies in a slab with so few others that it should move. If so, the next allocation of this thread is made in the
/// same arena, which fills the slabs that it has before it takes a new one; see [`without_cache`].
pub(crate) fn is_sparse(at: *const u8) -> bool {
    static NAME: Name<3> = Name::new(c"experimental.utilization.query");
    let mut answer = Utilization::UNKNOWN;
    // SAFETY: the answer is numbers and an address that is not followed, and only living allocations are asked about.
    let is_answered = unsafe { NAME.ask(at, &mut answer) };
    is_answered && answer.is_sparse(at) && follow(at)
}

/// From now on this thread allocates from the arena that an allocation is of. Says whether it does.
fn follow(at: *const u8) -> bool {
    static LOOKUP: Name<2> = Name::new(c"arenas.lookup");
    static CHOOSE: Name<2> = Name::new(c"thread.arena");
    let (mut arena, mut before) = (0_u32, 0_u32);
    // SAFETY: the answer is a number, and only living allocations are asked about.
    if !unsafe { LOOKUP.ask(at, &mut arena) } {
        return false;
    }
    if ARENA.get() == Some(arena) {
        return true;
    }
    // SAFETY: numbers, both.
    let is_chosen = unsafe { CHOOSE.ask(arena, &mut before) };
    if is_chosen {
        ARENA.set(Some(arena));
    }
    is_chosen
}

/// From now on this thread keeps nothing at hand: what it frees is free, and what it allocates comes from the slab that others fill.
pub(crate) fn without_cache() -> bool {
    static NAME: Name<3> = Name::new(c"thread.tcache.enabled");
    let mut before = 0_u8;
    // SAFETY: one byte each, the allocator's two truth values, of which the answer is read by nobody.
    unsafe { NAME.ask(0_u8, &mut before) }
}

#[cfg(test)]
mod tests {
    use std::ptr::from_ref;

    use super::*;

    /// A slab at 0x10000, of which `free` of 16 places are free, among slabs that are half full.
    fn slab(free: usize) -> Utilization {
        let next = std::ptr::without_provenance(0x90000);
        Utilization { next, free, places: 16, bytes: 0x1000, all_free: 800, all_places: 1600 }
    }

    #[test]
    fn what_lies_among_few_moves() {
        let at = |address| std::ptr::without_provenance(address);
        assert!(slab(8).is_sparse(at(0x10010)), "as full as all");
        assert!(slab(15).is_sparse(at(0x10010)));
        assert!(!slab(5).is_sparse(at(0x10010)), "fuller than most");
        assert!(!slab(0).is_sparse(at(0x10010)), "full");
        assert!(!slab(15).is_sparse(at(0x90000)), "being filled");
        assert!(!slab(15).is_sparse(at(0x90fff)), "being filled");
        assert!(slab(15).is_sparse(at(0x91000)));
        let dense = Utilization { all_free: 50, ..slab(15) };
        assert!(!dense.is_sparse(at(0x10010)), "nothing to be gained");
        assert!(!Utilization::UNKNOWN.is_sparse(at(0x10010)));
    }

    #[test]
    fn the_allocator_knows_the_questions() {
        let work = || {
            assert!(without_cache());
            let thin: Vec<Box<[u8; 64]>> = (0..64_000).map(|_| Box::new([1; 64])).collect();
            let mut thin: Vec<_> =
                thin.into_iter().enumerate().filter(|(nth, _)| nth % 4 == 0).collect();
            let address = |it: &[u8; 64]| from_ref(it).cast::<u8>();
            let count = |thin: &[(usize, Box<[u8; 64]>)]| {
                thin.iter().filter(|(_, it)| is_sparse(address(it))).count()
            };
            let before = count(&thin);
            assert!(before > 10_000, "{before}");
            for _ in 0..8 {
                for (_, it) in &mut thin {
                    if is_sparse(address(it)) {
                        *it = it.clone();
                    }
                }
            }
            let after = count(&thin);
            assert!(after < before / 8, "{after}");
            assert!(thin.iter().all(|(_, it)| **it == [1; 64]));
        };
        std::thread::spawn(work).join().expect("it ends well");
    }
}
