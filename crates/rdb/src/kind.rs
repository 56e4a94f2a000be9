//! The numbers of the forms of values.

/// A string.
pub const STRING: u8 = 0;
/// Elements.
pub const LIST: u8 = 1;
/// Members.
pub const SET: u8 = 2;
/// Members with scores as texts.
pub const SORTED_SET_TEXTS: u8 = 3;
/// Fields with values.
pub const HASH: u8 = 4;
/// Members with scores as doubles.
pub const SORTED_SET: u8 = 5;
/// Fields with values in a zipmap.
pub const HASH_ZIPMAP: u8 = 9;
/// Elements in a ziplist.
pub const LIST_ZIPLIST: u8 = 10;
/// Members in a row of integers.
pub const SET_INTSET: u8 = 11;
/// Members with scores in a ziplist.
pub const SORTED_SET_ZIPLIST: u8 = 12;
/// Fields with values in a ziplist.
pub const HASH_ZIPLIST: u8 = 13;
/// Elements in several ziplists.
pub const LIST_ZIPLISTS: u8 = 14;
/// A stream as Redis 5 has it.
pub const STREAM: u8 = 15;
/// Fields with values in a listpack.
pub const HASH_LISTPACK: u8 = 16;
/// Members with scores in a listpack.
pub const SORTED_SET_LISTPACK: u8 = 17;
/// Elements in several listpacks, long ones by themselves.
pub const LIST_LISTPACKS: u8 = 18;
/// A stream as Redis 7.0 has it.
pub const STREAM_2: u8 = 19;
/// Members in a listpack.
pub const SET_LISTPACK: u8 = 20;
/// A stream as Redis 7.2 has it.
pub const STREAM_3: u8 = 21;
/// Fields with values and ends, as Valkey 9 has them.
pub const HASH_WITH_ENDS_VALKEY: u8 = 22;
/// Fields with values and ends, as Redis 7.4 had them before its release. The number is Valkey's too.
pub const HASH_WITH_ENDS_EARLY: u8 = 22;
/// Fields with values and ends in a listpack, as Redis 7.4 had them before its release.
pub const HASH_LISTPACK_WITH_ENDS_EARLY: u8 = 23;
/// Fields with values and ends, as Redis 7.4 has them.
pub const HASH_WITH_ENDS: u8 = 24;
/// Fields with values and ends in a listpack, as Redis 7.4 has them.
pub const HASH_LISTPACK_WITH_ENDS: u8 = 25;
/// What a module keeps under a key, in numbers and strings that can be told apart.
pub const MODULE: u8 = 7;
