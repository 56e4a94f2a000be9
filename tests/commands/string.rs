//! What the string commands answer.
