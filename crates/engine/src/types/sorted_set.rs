//! Sorted sets.

use crate::value::{Collection, collection};

/// Sorted sets.
#[derive(Clone, Debug, Default)]
pub struct SortedSet(());

impl Collection for SortedSet {
    collection!(SortedSet);

    fn len(&self) -> usize {
        0
    }

    fn encoding(&self) -> &'static str {
        "skiplist"
    }

    fn heap_bytes(&self) -> usize {
        0
    }

    fn free_cost(&self) -> usize {
        0
    }
}
