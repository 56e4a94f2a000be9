//! Hashes.

use crate::value::{Collection, collection};

/// Hashes.
#[derive(Clone, Debug, Default)]
pub struct Hash(());

impl Collection for Hash {
    collection!(Hash);

    fn len(&self) -> usize {
        0
    }

    fn encoding(&self) -> &'static str {
        "hashtable"
    }

    fn heap_bytes(&self) -> usize {
        0
    }

    fn free_cost(&self) -> usize {
        0
    }
}
