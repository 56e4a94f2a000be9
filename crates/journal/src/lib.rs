//! The one ordered log of effects, in memory.
