//! What tests and measurements share; never part of the server.
