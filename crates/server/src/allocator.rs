//! The allocator, and what it is told.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Read by the allocator at start: pages that are free go back to the system within a second, by a thread of the allocator's own.
#[used]
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: &[u8; 43] = b"background_thread:true,dirty_decay_ms:1000\0";
