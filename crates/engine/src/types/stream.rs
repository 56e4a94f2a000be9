//! Streams.

use crate::value::{Collection, collection};

/// Streams.
#[derive(Clone, Debug, Default)]
pub struct Stream(());

impl Collection for Stream {
    collection!(Stream);

    fn len(&self) -> usize {
        0
    }

    fn encoding(&self) -> &'static str {
        "stream"
    }

    fn heap_bytes(&self) -> usize {
        0
    }

    fn free_cost(&self) -> usize {
        0
    }
}
