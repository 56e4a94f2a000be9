//! Every parameter, once.
