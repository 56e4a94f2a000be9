//! The allocator, and what it is told.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Read by the allocator at start: pages that are free go back to the system within a second, by a thread of the allocator's own.
#[used]
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: &[u8; 43] = b"background_thread:true,dirty_decay_ms:1000\0";

/// Bytes that threads keep at hand after they were freed. The allocator counts them as in use; nobody uses them.
pub(crate) fn kept_at_hand() -> usize {
    /// 4096 stands for all arenas at once.
    const NAME: &std::ffi::CStr = c"stats.arenas.4096.tcache_bytes";
    let (mut bytes, mut len) = (0usize, size_of::<usize>());
    let place = std::ptr::from_mut(&mut bytes).cast();
    // SAFETY: the name ends with a zero byte; the call writes at most `len` bytes to `place`, which has room for them, and reads none.
    let code = unsafe {
        tikv_jemalloc_sys::mallctl(NAME.as_ptr(), place, &raw mut len, std::ptr::null_mut(), 0)
    };
    if code == 0 { bytes } else { 0 }
}

/// Gives the pages of all arenas back that nothing is in. Says whether the allocator took it.
pub(crate) fn purge() -> bool {
    /// 4096 stands for all arenas at once.
    const NAME: &std::ffi::CStr = c"arena.4096.purge";
    let (none, no_len) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the name ends with a zero byte, and the call neither reads nor writes anything of ours.
    let code = unsafe { tikv_jemalloc_sys::mallctl(NAME.as_ptr(), none, no_len, none, 0) };
    code == 0
}
