//! What the list commands answer.
