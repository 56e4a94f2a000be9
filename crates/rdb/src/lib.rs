//! Redis' dump format, both ways; no files.
