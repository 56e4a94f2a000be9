//! What tests and measurements share; never part of the server.

#![forbid(unsafe_code)]

pub mod linear;
pub mod random;
#[cfg(test)]
mod simulation;
