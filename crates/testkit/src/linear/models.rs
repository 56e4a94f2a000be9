//! The sequential objects histories are compared with, one file each.

pub(super) mod counter;
pub(super) mod list;
pub(super) mod register;
pub(super) mod set;
pub(super) mod store;
