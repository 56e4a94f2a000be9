//! Values and where they live; no I/O, no clock, no Redis wire.
