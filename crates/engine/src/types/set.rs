//! Sets.

use crate::value::{Collection, collection};

/// Sets.
#[derive(Clone, Debug, Default)]
pub struct Set(());

impl Collection for Set {
    collection!(Set);

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
