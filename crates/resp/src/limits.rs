//! What a client may ask for.
//!
//! The figures are Redis': half a gigabyte per argument, 2^31-1 arguments, 64 KB for a line. Who has not
//! authenticated yet gets ten arguments of 16 KB, enough for AUTH and HELLO, so that strangers cannot
//! make the server hold much.

/// Longest argument of a client that has not authenticated.
pub const UNAUTHENTICATED_BULK_BYTES_MAX: u64 = 16 * 1024;

/// Most arguments of a client that has not authenticated.
pub const UNAUTHENTICATED_MULTIBULK_MAX: i64 = 10;

/// The bounds of one request. They are read where a header is read, so a change takes effect with the next.
///
/// A batch is decoded under one set of limits. While a client is not authenticated, decode one request at a
/// time, so that what stands behind AUTH is judged by what AUTH achieved.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest argument (`proto-max-bulk-len`).
    pub bulk_bytes_max: u64,
    /// Most arguments.
    pub multibulk_max: i64,
    /// Longest line: an inline request, or a header.
    pub inline_bytes_max: usize,
    /// Whether the client may use all of the above.
    pub authenticated: bool,
}

impl Limits {
    /// Redis' defaults, for a client that has authenticated or need not.
    pub const DEFAULT: Self = Self {
        bulk_bytes_max: 512 * 1024 * 1024,
        multibulk_max: i32::MAX as i64,
        inline_bytes_max: 64 * 1024,
        authenticated: true,
    };

    /// The same for a client that must authenticate first: at most 10 arguments of 16384 bytes.
    #[must_use]
    pub const fn unauthenticated(self) -> Self {
        Self { authenticated: false, ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
