//! The allocator, and what it is told.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Read by the allocator at start: pages that are free go back to the system within a second, by a thread of the allocator's own.
#[used]
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: &[u8; 43] = b"background_thread:true,dirty_decay_ms:1000\0";

/// Gives the pages of all arenas back that nothing is in. Says whether the allocator took it.
pub(crate) fn purge() -> bool {
    /// 4096 stands for all arenas at once.
    const NAME: &std::ffi::CStr = c"arena.4096.purge";
    let (none, no_len) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the name ends with a zero byte, and the call neither reads nor writes anything of ours.
    let code = unsafe { tikv_jemalloc_sys::mallctl(NAME.as_ptr(), none, no_len, none, 0) };
    code == 0
}
