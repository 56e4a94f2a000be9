//! What the transactions commands answer.
