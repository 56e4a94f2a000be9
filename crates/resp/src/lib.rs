//! The wire: RESP2 and RESP3, both ways.
