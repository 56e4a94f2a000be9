//! What each command does: one file per Redis group.
