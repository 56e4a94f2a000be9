//! How any command runs.
