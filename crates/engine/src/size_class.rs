//! What an allocation really takes.
//!
//! jemalloc rounds every request up to a size class: 8, then multiples of 16 up to 128, then four classes per doubling, small and
//! large alike (160, 192, 224, 256, 320, … 14336, 16384, 20480, …). Memory is counted in classes, and buffers grow to them, because
//! the bytes between a request and its class are paid for either way.

/// Classes up to here are multiples of [`QUANTUM`].
const LINEAR_MAX: usize = 128;

/// The distance of the smallest classes, all but the first.
const QUANTUM: usize = 16;

/// The greatest class that is served from slabs: several allocations to some pages. Larger ones have pages of their own.
pub const SLAB_MAX: usize = 14 * 1024;

/// The bytes that the allocator sets aside for a request of `request` bytes; 8 for none.
#[inline]
pub const fn usable(request: usize) -> usize {
    if request <= 8 {
        return 8;
    }
    let step = if request <= LINEAR_MAX { QUANTUM } else { 1 << ((request - 1).ilog2() - 2) };
    match request.checked_next_multiple_of(step) {
        Some(class) => class,
        None => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLASSES: &[usize] = &[
        8, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896,
        1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120, 6144, 7168, 8192, 10240, 12288,
        14336, 16384, 20480, 24576, 28672, 32768, 40960, 49152, 57344, 65536, 81920, 98304,
        114_688, 131_072,
    ];

    #[test]
    fn requests_take_the_next_class() {
        let mut class = CLASSES.iter().peekable();
        for request in 0..=CLASSES[CLASSES.len() - 1] {
            class.next_if(|class| **class < request);
            assert_eq!(Some(&&usable(request)), class.peek(), "{request}");
        }
    }

    #[test]
    fn absurd_requests_do_not_overflow() {
        assert_eq!(usable(usize::MAX), usize::MAX);
        assert_eq!(usable(1 << 63), 1 << 63);
    }

    proptest! {
        #[test]
        fn a_class_is_its_own_and_wastes_less_than_a_quarter(request in 129_usize..1 << 50) {
            let class = usable(request);
            prop_assert!(class >= request);
            prop_assert!(class - request < request / 4);
            prop_assert_eq!(usable(class), class);
        }
    }
}
