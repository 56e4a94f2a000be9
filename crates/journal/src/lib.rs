//! The one ordered log of effects, in memory.
//!
//! A record is what one unit (a command, a transaction, a script) did: commands with absolute times and chosen members, so that
//! replaying it needs no clock and no dice. It is appended under the shard locks of the unit that caused it; so, per key, the order of
//! the log is the order of execution, and a transaction is one record.
//!
//! The position behind a record, its LSN, is the Redis replication offset, and the bytes of the log are the replication stream. Whoever
//! wants them (an append-only file, a replica, change capture) is a [`Reader`]. Nobody following: nothing is recorded, nothing is paid.
//!
//! What order does not mean: records of units that share no key may stand in either order, as their execution had none.

#![forbid(unsafe_code)]

mod log;
mod record;

pub use log::{Journal, Lagged, Lsn, Reader, Stop, UNREAD_BYTES_MAX};
pub use record::{Record, encode as encode_command};
