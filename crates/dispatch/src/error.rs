//! Every error a client can receive, its text written once, spelled as Redis spells it.

use std::borrow::Cow;

use russet_engine::Busy;

use crate::blocking::Wait;
use crate::request::Request;

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// An error for the client.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Error {
            $($(#[$doc])* $name,)*
            /// A text that names something of the request.
            Text(Box<str>),
        }

        impl Error {
            /// The line without the leading `-`.
            pub fn text(&self) -> Cow<'_, str> {
                match self {
                    $(Self::$name => Cow::Borrowed($text),)*
                    Self::Text(text) => Cow::Borrowed(text),
                }
            }
        }
    };
}

errors! {
    /// The key holds another type.
    WrongType = "WRONGTYPE Operation against a key holding the wrong kind of value",
    /// The arguments do not fit the command's syntax.
    Syntax = "ERR syntax error",
    /// An argument or a value is no 64-bit integer.
    NotInteger = "ERR value is not an integer or out of range",
    /// An argument or a value is no float.
    NotFloat = "ERR value is not a valid float",
    /// An increment would leave the 64-bit range.
    Overflow = "ERR increment or decrement would overflow",
    /// An increment by float gives no number.
    NanOrInfinity = "ERR increment would produce NaN or Infinity",
    /// A key that must be there is not.
    NoSuchKey = "ERR no such key",
    /// Source and target are the same.
    SameObject = "ERR source and destination objects are the same",
    /// No such database.
    DbOutOfRange = "ERR DB index is out of range",
    /// SELECT with no number.
    InvalidDb = "ERR invalid DB index",
    /// SWAPDB with no number in the first place.
    InvalidFirstDb = "ERR invalid first DB index",
    /// SWAPDB with no number in the second place.
    InvalidSecondDb = "ERR invalid second DB index",
    /// A number needs more than 32 bits.
    OutOfIntRange = "ERR value is out of range, value must between -2147483648 and 2147483647",
    /// An argument must be a positive number.
    NotPositive = "ERR value is out of range, must be positive",
    /// A number lies outside its range.
    OutOfRange = "ERR value is out of range",
    /// An index lies outside the list.
    IndexOutOfRange = "ERR index out of range",
    /// RESTORE to a key that is there.
    BusyKey = "BUSYKEY Target key name already exists.",
    /// RESTORE with a time below zero.
    InvalidTtl = "ERR Invalid TTL value, must be >= 0",
    /// RESTORE IDLETIME below zero.
    InvalidIdleTime = "ERR Invalid IDLETIME value, must be >= 0",
    /// RESTORE FREQ of what is no byte.
    InvalidFrequency = "ERR Invalid FREQ value, must be >= 0 and <= 255",
    /// RESTORE of an unknown version, or of what was damaged.
    DumpFooter = "ERR DUMP payload version or checksum are wrong",
    /// RESTORE of what is no value.
    DumpFormat = "ERR Bad data format",
    /// SORT by what is no number.
    ScoresNotFloat = "ERR One or more scores can't be converted into double",
    /// A string is no HyperLogLog.
    NoHyperLogLog = "WRONGTYPE Key is not a valid HyperLogLog string value.",
    /// A string begins as a HyperLogLog does, but its registers make no sense.
    CorruptedHyperLogLog = "INVALIDOBJ Corrupted HLL object detected",
    /// PFDEBUG of nothing.
    NoSuchHyperLogLog = "ERR The specified key does not exist",
    /// PFDEBUG DECODE of a dense form.
    HyperLogLogNotSparse = "ERR HLL encoding is not sparse",
    /// A number that has no opposite.
    OutOfLongRange = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
    /// LPOS with a rank of zero.
    RankZero = "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
    /// LPOS with a count below zero.
    CountNegative = "ERR COUNT can't be negative",
    /// LPOS with a length below zero.
    MaxlenNegative = "ERR MAXLEN can't be negative",
    /// A number of keys that is not above zero.
    NumkeysNotPositive = "ERR numkeys should be greater than 0",
    /// A number of elements that is not above zero.
    CountNotPositive = "ERR count should be greater than 0",
    /// An offset lies outside what a string can be.
    OffsetOutOfRange = "ERR offset is out of range",
    /// The offset of a bit is no number, or lies outside what a string can be.
    BitOffset = "ERR bit offset is not an integer or out of range",
    /// SETBIT to something else than 0 or 1.
    BitValue = "ERR bit is not an integer or out of range",
    /// BITPOS of something else than 0 or 1.
    BitSought = "ERR The bit argument must be 1 or 0.",
    /// BITOP NOT of several keys.
    BitNotOfMany = "ERR BITOP NOT must be called with a single source key.",
    /// BITFIELD with an integer of a kind that there is not.
    BitfieldType = "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
    /// BITFIELD OVERFLOW with another word than WRAP, SAT or FAIL.
    BitfieldOverflow = "ERR Invalid OVERFLOW type specified",
    /// BITFIELD_RO with something else than GET.
    BitfieldReadOnly = "ERR BITFIELD_RO only supports the GET subcommand",
    /// An ID of a stream's entry that is none.
    InvalidStreamId = "ERR Invalid stream ID specified as stream command argument",
    /// An open interval that begins behind the last ID.
    IntervalStart = "ERR invalid start ID for the interval",
    /// An open interval that ends before the first ID.
    IntervalEnd = "ERR invalid end ID for the interval",
    /// MAXLEN and MINID together.
    TrimTwice = "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
    /// MAXLEN below zero.
    TrimLenNegative = "ERR The MAXLEN argument must be >= 0.",
    /// LIMIT below zero.
    TrimLimitNegative = "ERR The LIMIT argument must be >= 0.",
    /// LIMIT without MAXLEN or MINID.
    LimitOfNothing = "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
    /// LIMIT without `~`.
    LimitOfExact = "ERR syntax error, LIMIT cannot be used without the special ~ option",
    /// XTRIM without MAXLEN or MINID.
    TrimWithout = "ERR syntax error, XTRIM must be called with a trimming strategy",
    /// XADD of the one ID that no entry has.
    AddedZero = "ERR The ID specified in XADD must be greater than 0-0",
    /// XADD behind the last ID.
    StreamExhausted = "ERR The stream has exhausted the last possible ID, unable to add more items",
    /// XADD of an ID that is not greater than all before.
    AddedTooSmall = "ERR The ID specified in XADD is equal or smaller than the target stream top item",
    /// XADD of too many bytes.
    AddedTooLarge = "ERR Elements are too large to be stored",
    /// XREAD GROUP.
    GroupOfXread = "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
    /// XREAD NOACK.
    NoackOfXread = "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
    /// XREAD CLAIM.
    ClaimOfXread = "ERR The CLAIM option is only supported by XREADGROUP. You called XREAD instead.",
    /// XREADGROUP without GROUP.
    GroupMissing = "ERR Missing GROUP option for XREADGROUP",
    /// XREADGROUP from `$`.
    DollarOfGroup = "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
    /// XREADGROUP from `+`.
    PlusOfGroup = "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The + ID would just return an empty result set.",
    /// XREAD from `>`.
    NewOfXread = "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
    /// XREAD from `+` of a stream that never had an entry.
    PlusOfNothing = "ERR the stream last element ID is 0-0",
    /// XREAD MAXCOUNT below one.
    MaxcountNotPositive = "ERR MAXCOUNT must be a positive integer",
    /// XREAD MAXSIZE below one.
    MaxsizeNotPositive = "ERR MAXSIZE must be a positive integer",
    /// XREAD MAXCOUNT below COUNT.
    MaxcountBelowCount = "ERR MAXCOUNT must be greater than or equal to COUNT",
    /// CLAIM of a time that is no number.
    ClaimNotInteger = "ERR min-idle-time is not an integer",
    /// CLAIM of a negative time.
    ClaimNegative = "ERR min-idle-time must be a positive integer",
    /// XGROUP of a key that is not there.
    GroupNeedsKey = "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
    /// XGROUP CREATE of a group that is there.
    BusyGroup = "BUSYGROUP Consumer Group name already exists",
    /// ENTRIESREAD below -1.
    EntriesReadNegative = "ERR value for ENTRIESREAD must be positive or -1",
    /// XSETID ENTRIESADDED below zero.
    EntriesAddedNegative = "ERR entries_added must be positive",
    /// XSETID to less than MAXDELETEDID.
    SetBelowGivenDeleted = "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
    /// XSETID to less than an ID that was deleted.
    SetBelowDeleted = "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
    /// XSETID to less than the last entry.
    SetBelowLast = "ERR The ID specified in XSETID is smaller than the target stream top item",
    /// XSETID ENTRIESADDED of less than there are.
    SetBelowLen = "ERR The entries_added specified in XSETID is smaller than the target stream length",
    /// XCLAIM with a time that is none.
    ClaimIdle = "ERR Invalid min-idle-time argument for XCLAIM",
    /// XCLAIM IDLE with a time that is none.
    ClaimIdleOption = "ERR Invalid IDLE option argument for XCLAIM",
    /// XCLAIM TIME with a time that is none.
    ClaimTimeOption = "ERR Invalid TIME option argument for XCLAIM",
    /// XCLAIM RETRYCOUNT with a number that is none.
    ClaimRetryOption = "ERR Invalid RETRYCOUNT option argument for XCLAIM",
    /// XAUTOCLAIM with a time that is none.
    AutoclaimIdle = "ERR Invalid min-idle-time argument for XAUTOCLAIM",
    /// XAUTOCLAIM COUNT out of range.
    AutoclaimCount = "ERR COUNT must be > 0",
    /// IDS with a number of them that is none.
    IdsNotPositive = "ERR Number of IDs must be a positive integer",
    /// IDS with another number of them than it says.
    IdsMismatch = "ERR The `numids` parameter must match the number of arguments",
    /// XNACK without a mode.
    NackMode = "ERR mode must be SILENT, FAIL, or FATAL",
    /// XCFGSET IDMP-DURATION out of range.
    ProducerDuration = "ERR invalid duration",
    /// XCFGSET IDMP-MAXSIZE out of range.
    ProducerNames = "ERR invalid maxsize",
    /// An empty name of a producer or of what it says.
    ProducerNameEmpty = "ERR pid and iid must not be empty",
    /// XIDMPRECORD of an entry that is not there.
    RecordOfNothing = "ERR no such entry",
    /// XIDMPRECORD of a name that stands for another entry.
    RecordConflict = "ERR pid and iid already stand for another entry",
    /// A string would exceed `proto-max-bulk-len`.
    StringTooLong = "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
    /// DECRBY by the one number that has no opposite.
    DecrementOverflow = "ERR decrement would overflow",
    /// INCREX with an increment that is no integer.
    IncrementNotInteger = "ERR Increment is not an integer or out of range",
    /// INCREX with an increment that is no float.
    IncrementNotFloat = "ERR Increment is not a valid float",
    /// INCREX with bounds that nothing lies between.
    BoundsCrossed = "ERR LBOUND can't be greater than UBOUND",
    /// INCREX with ENX and no time.
    EnxWithoutTime = "ERR ENX flag requires an expiration",
    /// A digest of another length.
    DigestLength = "ERR must be exactly 16 hexadecimal characters",
    /// DELEX with a condition on something that is no string.
    ConditionOnNoString = "ERR Key should be of string type if conditions are specified",
    /// DELEX with a condition that it does not know.
    InvalidCondition = "ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE",
    /// A number of keys that is none.
    InvalidNumkeys = "ERR invalid numkeys value",
    /// A number of keys above that of the arguments.
    NumkeysTooMany = "ERR Number of keys can't be greater than number of args",
    /// LIMIT below zero.
    LimitNegative = "ERR LIMIT can't be negative",
    /// MSETEX with fewer pairs than it says.
    PairsMissing = "ERR wrong number of key-value pairs",
    /// ZADD with NX and XX.
    ZaddNxXx = "ERR XX and NX options at the same time are not compatible",
    /// ZADD with two of GT, LT and NX.
    ZaddGtLtNx = "ERR GT, LT, and/or NX options at the same time are not compatible",
    /// ZADD INCR with several members.
    ZaddIncrPairs = "ERR INCR option supports a single increment-element pair",
    /// A score would be the sum of infinities of both signs.
    ScoreNotNumber = "ERR resulting score is not a number (NaN)",
    /// The bounds of a range of scores are no numbers.
    RangeNotFloat = "ERR min or max is not a float",
    /// The bounds of a range of names do not begin with `[` or `(`.
    RangeNotLex = "ERR min or max not valid string range item",
    /// ZRANGE LIMIT by positions.
    LimitByRank = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
    /// ZRANGE WITHSCORES by names.
    ScoresByLex = "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
    /// A unit of length that is none.
    UnknownUnit = "ERR unsupported unit provided. please use M, KM, FT, MI",
    /// A radius is no number.
    RadiusNotFloat = "ERR need numeric radius",
    /// A radius is below zero.
    RadiusNegative = "ERR radius cannot be negative",
    /// A box's width is no number.
    WidthNotFloat = "ERR need numeric width",
    /// A box's height is no number.
    HeightNotFloat = "ERR need numeric height",
    /// A box's width or height is below zero.
    BoxNegative = "ERR height or width cannot be negative",
    /// A number of corners is none.
    CornersNotInteger = "ERR invalid number of vertices",
    /// A polygon has too few corners, or fewer than it says.
    CornersMissing = "ERR GEOSEARCH BYPOLYGON must have at least 3 vertices",
    /// A search around a member that is not there.
    NoSuchPlace = "ERR could not decode requested zset member",
    /// A number of places below one.
    PlacesNotPositive = "ERR COUNT must be > 0",
    /// ANY without COUNT.
    AnyWithoutCount = "ERR the ANY argument requires COUNT argument",
    /// A weight is no number.
    WeightNotFloat = "ERR weight value is not a float",
    /// LCS of something else than strings.
    LcsNoStrings = "ERR The specified keys must contain string values",
    /// LCS with LEN and IDX.
    LcsLenAndIdx = "ERR If you want both the length and indexes, please just use IDX.",
    /// LCS of strings of 4 GB.
    LcsTooLong = "ERR String too long for LCS",
    /// LCS whose table would exceed `proto-max-bulk-len`.
    LcsTable = "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
    /// LCS whose table cannot be had.
    LcsMemory = "ERR Insufficient memory, failed allocating transient memory for LCS",
    /// A timeout is no number.
    TimeoutNotFloat = "ERR timeout is not a float or out of range",
    /// A timeout is below zero.
    TimeoutNegative = "ERR timeout is negative",
    /// A timeout is no integer.
    TimeoutNotInteger = "ERR timeout is not an integer or out of range",
    /// HINCRBY of a value that is no integer.
    HashNotInteger = "ERR hash value is not an integer",
    /// HINCRBYFLOAT of a value that is no float.
    HashNotFloat = "ERR hash value is not a float",
    /// HINCRBYFLOAT by something infinite.
    FloatNotFinite = "ERR value is NaN or Infinity",
    /// An end of a field before 1970.
    EndNegative = "ERR invalid expire time, must be >= 0",
    /// HSETEX with a word for a time, and no time.
    EndMissing = "ERR missing expire time",
    /// A command about fields without the word FIELDS.
    FieldsMissing = "ERR Mandatory argument FIELDS is missing or not at the right position",
    /// HEXPIRE with a number of fields that is none.
    NumFieldsZero = "ERR Parameter `numFields` should be greater than 0",
    /// HTTL and others with a number of fields that is none.
    NumFieldsNotPositive = "ERR Number of fields must be a positive integer",
    /// Another number of fields than was said.
    NumFieldsMismatch = "ERR The `numfields` parameter must match the number of arguments",
    /// HSETEX with a number of fields that is none.
    InvalidFieldCount = "ERR invalid number of fields",
    /// HSETEX with FXX and FNX.
    FieldConditionTwice = "ERR Only one of FXX or FNX arguments can be specified",
    /// HSETEX with several times.
    FieldEndTwice = "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
    /// A cursor is no number.
    InvalidCursor = "ERR invalid cursor",
    /// NOVALUES elsewhere than in HSCAN.
    NoValuesOnlyInHscan = "ERR NOVALUES option can only be used in HSCAN",
    /// NOSCORES elsewhere than in ZSCAN.
    NoScoresOnlyInZscan = "ERR NOSCORES option can only be used in ZSCAN",
    /// NX and XX, GT and LT together.
    ExpireNxAndOthers = "ERR NX and XX, GT or LT options at the same time are not compatible",
    /// GT and LT together.
    ExpireGtAndLt = "ERR GT and LT options at the same time are not compatible",
    /// The client has not authenticated.
    NoAuth = "NOAUTH Authentication required.",
    /// Wrong user or password.
    WrongPass = "WRONGPASS invalid username-password pair or user is disabled.",
    /// AUTH without any password configured.
    NoPasswordSet = "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
    /// HELLO before AUTH.
    HelloNoAuth = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
    /// HELLO with another version than 2 or 3.
    NoProto = "NOPROTO unsupported protocol version",
    /// HELLO with no number.
    ProtoNotInteger = "ERR Protocol version is not an integer or out of range",
    /// A client's name with a space or a control character.
    InvalidClientName = "ERR Client names cannot contain spaces, newlines or special characters.",
    /// MULTI in MULTI.
    NestedMulti = "ERR MULTI calls can not be nested",
    /// EXEC without MULTI.
    ExecWithoutMulti = "ERR EXEC without MULTI",
    /// DISCARD without MULTI.
    DiscardWithoutMulti = "ERR DISCARD without MULTI",
    /// WATCH in MULTI.
    WatchInMulti = "ERR WATCH inside MULTI is not allowed",
    /// A queued command was refused.
    ExecAbort = "EXECABORT Transaction discarded because of previous errors.",
    /// SSUBSCRIBE where every command has one reply.
    SubscribeDenied = "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client",
    /// This command cannot be queued.
    NotInMulti = "ERR Command not allowed inside a transaction",
    /// Memory is full.
    OutOfMemory = "OOM command not allowed when used memory > 'maxmemory'.",
    /// The last snapshot failed, and changes are not to pile up unsaved.
    Unsaved = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error.",
    /// The disk failed before a write was on it, and nobody knows whether it is.
    InDoubt = "MISCONF the append-only file failed, and it is not known whether the last write to this data is on the disk; it can be read when a new base is there",
    /// BGREWRITEAOF while one is under way.
    IsRewriting = "ERR Background append only file rewriting already in progress",
    /// WAITAOF for the own disk without an append-only file.
    NoLocalAof = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
    /// BGSAVE while the append-only file is rewritten.
    RewritesAof = "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.",
    /// A snapshot is under way.
    IsSaving = "ERR Background save already in progress",
    /// BGSAVE CANCEL without a snapshot under way.
    NotSaving = "ERR Background saving is currently not in progress or scheduled",
    /// DEBUG RELOAD failed.
    ReloadFailed = "ERR Error trying to load the RDB dump, check server logs.",
    /// SHUTDOWN could not save.
    ShutdownFailed = "ERR Errors trying to SHUTDOWN. Check logs.",
    /// Data is being loaded.
    Loading = "LOADING Redis is loading the dataset in memory",
    /// A shard has been held for too long.
    Busy = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    /// CLIENT UNBLOCK … ERROR.
    Unblocked = "UNBLOCKED client unblocked via CLIENT UNBLOCK",
    /// CLIENT KILL or UNBLOCK of nobody.
    NoSuchClient = "ERR No such client",
    /// CLIENT CACHING of a client that does not track.
    CachingWithoutTracking = "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
    /// CLIENT CACHING YES where everything is remembered anyway.
    CachingYesWithoutOptin = "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
    /// CLIENT CACHING NO where nothing is remembered anyway.
    CachingNoWithoutOptout = "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
    /// CLIENT TRACKING with REDIRECT twice.
    SecondRedirect = "ERR A client can only redirect to a single other client",
    /// CLIENT TRACKING REDIRECT to nobody.
    NoSuchRedirect = "ERR The client ID you want redirect to does not exist",
    /// CLIENT TRACKING with prefixes of keys that are read.
    PrefixWithoutBcast = "ERR PREFIX option requires BCAST mode to be enabled",
    /// CLIENT TRACKING of a client that broadcasts, or the contrary.
    BcastSwitched = "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.",
    /// CLIENT TRACKING that broadcasts what is chosen.
    BcastWithOpt = "ERR OPTIN and OPTOUT are not compatible with BCAST",
    /// CLIENT TRACKING that chooses both ways.
    OptinWithOptout = "ERR You can't specify both OPTIN mode and OPTOUT mode",
    /// CLIENT TRACKING that chooses one way and then the other.
    OptSwitched = "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.",
    /// MONITOR where every command must have one reply, as in MULTI.
    MonitorDenied = "ERR MONITOR isn't allowed for DENY BLOCKING client",
    /// Who monitors asks for data.
    MonitorTouchesData = "ERR Replica can't interact with the keyspace",
    /// CLIENT IMPORT-SOURCE ON.
    NotImporting = "ERR Server is not in import mode",
    /// CLIENT PAUSE … with no number.
    PauseTimeout = "ERR timeout is not an integer or out of range",
    /// CLIENT PAUSE of something else than WRITE or ALL.
    PauseMode = "ERR CLIENT PAUSE mode must be WRITE or ALL",
    /// A timeout whose end lies beyond all time.
    TimeoutOutOfRange = "ERR timeout is out of range",
    /// CLIENT UNBLOCK for something else than TIMEOUT or ERROR.
    UnblockReason = "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
    /// CLIENT LIST ID of something that is no number.
    InvalidClientId = "ERR Invalid client ID",
    /// CLIENT KILL ID of something that is no id.
    ClientIdNotPositive = "ERR client-id should be greater than 0",
    /// OBJECT FREQ without an LFU policy.
    NotLfu = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
    /// OBJECT IDLETIME with an LFU policy.
    IsLfu = "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
    /// GETKEYS of a command without keys.
    NoKeys = "ERR The command has no key arguments",
    /// GETKEYS of something that is no command.
    InvalidCommand = "ERR Invalid command specified",
    /// GETKEYS with a wrong number of arguments.
    InvalidArgc = "ERR Invalid number of arguments specified for command",
    /// GETKEYS that finds no keys.
    InvalidArguments = "ERR Invalid arguments specified for command",
    /// EVALSHA of what nobody has loaded.
    NoScript = "NOSCRIPT No matching script. Please use EVAL.",
    /// A function holds what is asked for.
    BusyFunction = "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.",
    /// SCRIPT KILL of nothing.
    NotBusy = "NOTBUSY No scripts in execution right now.",
    /// SCRIPT KILL of what has written.
    Unkillable = "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
    /// EVAL with more keys than arguments.
    TooManyKeys = "ERR Number of keys can't be greater than number of args",
    /// EVAL with fewer keys than none.
    NegativeKeys = "ERR Number of keys can't be negative",
    /// FCALL with a number of keys that is no number.
    BadKeyCount = "ERR Bad number of keys provided",
    /// FCALL of what there is not.
    NoFunction = "ERR Function not found",
    /// A script that writes, by EVAL_RO or FCALL_RO.
    ScriptWithWrites = "ERR Can not execute a script with write flag using *_ro command.",
    /// A script calls what is no command.
    ScriptUnknownCommand = "ERR Unknown command called from script",
    /// A script calls a command with a wrong number of words.
    ScriptArity = "ERR Wrong number of args calling command from script",
    /// A script calls what scripts may not.
    ScriptNotAllowed = "ERR This Redis command is not allowed from script",
    /// A script that may not write does.
    ScriptReadOnly = "ERR Write commands are not allowed from read-only scripts.",
    /// A script that has written meets a key that it does not declare, and another script holds it.
    ScriptUndeclared = "ERR The script touched a key that it does not declare and that another script holds; the next run takes all keys from the start",
    /// SCRIPT DEBUG.
    NoScriptDebugger = "ERR SCRIPT DEBUG is not supported: there is no debugger",
    /// SCRIPT FLUSH with another word than SYNC or ASYNC.
    ScriptFlushMode = "ERR SCRIPT FLUSH only support SYNC|ASYNC option",
    /// FUNCTION DELETE of what there is not.
    NoLibrary = "ERR Library not found",
    /// FUNCTION LOAD of nothing.
    NoFunctionCode = "ERR Function code is missing",
    /// FUNCTION RESTORE with an unknown policy.
    RestorePolicy = "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
    /// FUNCTION FLUSH with another word than SYNC or ASYNC.
    FunctionFlushMode = "ERR FUNCTION FLUSH only supports SYNC|ASYNC option",
    /// FUNCTION LIST LIBRARYNAME without one.
    NoLibraryName = "ERR library name argument was not given",
    /// SHUTDOWN ABORT with nothing to abort.
    NoShutdown = "ERR No shutdown in progress.",
    /// REPLICAOF another server.
    NoReplication = "ERR replication is not supported yet: this server can only be a primary",
    /// SYNC or PSYNC of a client that does not say that a snapshot is all it wants.
    NoReplicas = "ERR replication is not supported yet: without REPLCONF rdb-only 1 there is nothing to SYNC",
    /// SYNC in a pipeline.
    PendingOutput = "ERR SYNC and PSYNC are invalid with pending output",
    /// SYNC of a part of the data by a client that does not know how Redis ends it.
    FilterWithoutEof = "ERR Filtered replica requires EOF capability",
    /// PSYNC … FAILOVER.
    FailoverOfPrimary = "ERR PSYNC FAILOVER can't be sent to a master.",
    /// SYNC without success.
    SyncFailed = "ERR BGSAVE failed, replication can't continue",
    /// REPLCONF rdb-only of something else than 0 or 1.
    NotZeroOrOne = "ERR value is out of range, value must between 0 and 1",
    /// REPLCONF rdb-filter-only with a quote that does not end.
    NoFilter = "ERR Missing rdb-filter-only values",
    /// DEBUG LOADAOF failed.
    LoadAofFailed = "ERR Error trying to load the AOF files, check server logs.",
    /// HIMPORT PREPARE with a field that was named already.
    FieldTwice = "ERR duplicate field name",
    /// HIMPORT PREPARE beyond what a connection may keep.
    FieldsetsTooLarge = "ERR the fieldsets of this connection take too much memory",
    /// HIMPORT SET without HIMPORT PREPARE.
    NoSuchFieldset = "ERR no such fieldset",
    /// HIMPORT SET with more or fewer values than fields.
    FieldsetMismatch = "ERR value count does not match the number of fields in the fieldset",
    /// DEBUG HTSTATS-KEY of a value without a table.
    NoHashTable = "ERR The value stored at the specified key is not represented using an hash table",
    /// DEBUG PROTOCOL with another word.
    NoSuchReplyType = "ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
    /// A reply that RESP2 has no words for.
    Resp2NotSupported = "ERR RESP2 is not supported by this command",
    /// SLOWLOG GET or COMMANDLOG GET of a number that is none.
    LogCount = "ERR count should be greater than or equal to -1",
    /// COMMANDLOG of a log that there is not.
    LogKind = "ERR type should be one of the following: slow, large-request, large-reply",
    /// HOTKEYS START while a session is under way.
    HotKeysActive = "ERR hotkeys tracking session already in progress",
    /// HOTKEYS STOP without a session.
    HotKeysInactive = "ERR hotkeys tracking is not active",
    /// HOTKEYS RESET while a session is under way.
    HotKeysBusy = "ERR hotkeys tracking is active, stop it first",
    /// HOTKEYS START SLOTS.
    HotKeysSlots = "ERR SLOTS parameter cannot be used in non-cluster mode",
    /// HOTKEYS START without METRICS.
    HotKeysMetrics = "ERR METRICS parameter is required",
    /// HOTKEYS START METRICS with another number of them than it says, or with none.
    HotKeysMetricsCount = "ERR METRICS count does not match the number of metric types provided",
    /// HOTKEYS START COUNT out of range.
    HotKeysCount = "ERR COUNT must be between 1 and 64",
    /// HOTKEYS START SAMPLE out of range.
    HotKeysSample = "ERR SAMPLE ratio must be positive",
    /// HOTKEYS START DURATION out of range.
    HotKeysDuration = "ERR DURATION must be between 1 and 1000000",
    /// MEMORY PURGE that the allocator refuses.
    PurgeFailed = "ERR Error purging dirty pages",
    /// DEBUG is not permitted here.
    DebugNotAllowed = "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.",
    /// A handler asked for a key that its row does not declare.
    UndeclaredKey = "ERR internal error: the command touched a key that it does not declare",
    /// A handler panicked before it changed anything.
    Internal = "ERR internal error",
}

impl Error {
    /// An error whose text names something of the request. Ends of line at its end are dropped.
    pub fn of(text: impl Into<String>) -> Self {
        Self::Text(text.into().trim_end_matches(['\r', '\n']).into())
    }

    /// The first word, by which INFO counts errors.
    pub fn code(&self) -> String {
        self.text().split(' ').next().unwrap_or("ERR").to_owned()
    }

    /// `wrong number of arguments for 'name' command`
    pub fn arity(name: &str) -> Self {
        Self::of(format!("ERR wrong number of arguments for '{name}' command"))
    }

    /// A container was given a subcommand or words behind it that it does not know; `word` is the subcommand as it was written.
    pub fn subcommand(word: &[u8], container: &str) -> Self {
        let word: String = String::from_utf8_lossy(word).chars().take(128).collect();
        let container = container.to_uppercase();
        Self::of(format!(
            "ERR unknown subcommand or wrong number of arguments for '{word}'. Try {container} HELP."
        ))
    }

    /// There is no such consumer group, or not even the stream.
    pub fn no_group(key: &[u8], group: &[u8]) -> Self {
        let (key, group) = (String::from_utf8_lossy(key), String::from_utf8_lossy(group));
        Self::of(format!("NOGROUP No such key '{key}' or consumer group '{group}'"))
    }

    /// As [`Error::no_group`], from XREADGROUP.
    pub fn no_group_to_read(key: &[u8], group: &[u8]) -> Self {
        let text = Self::no_group(key, group);
        Self::of(format!("{} in XREADGROUP with GROUP option", text.text()))
    }

    /// There is no such consumer group of a stream that is there.
    pub fn no_group_of(key: &[u8], group: &[u8]) -> Self {
        let (key, group) = (String::from_utf8_lossy(key), String::from_utf8_lossy(group));
        Self::of(format!("NOGROUP No such consumer group '{group}' for key name '{key}'"))
    }

    /// A subscriber that speaks RESP2 asks for something else.
    pub fn only_while_subscribed(name: &str) -> Self {
        Self::of(format!(
            "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
        ))
    }

    /// `invalid expire time in 'name' command`
    pub fn expire_time(name: &str) -> Self {
        Self::of(format!("ERR invalid expire time in '{name}' command"))
    }
}

/// Why a handler did not reply.
#[derive(Debug)]
pub enum Stop {
    /// The client is told.
    Error(Error),
    /// A shard could not be had in time; the request is repeated as a whole. Nothing has been changed.
    Busy(Busy),
    /// The client waits for keys. Nothing has been changed.
    Wait(Box<Wait>),
    /// The same request is to run on a worker thread, since it will take long. Nothing has been changed.
    Elsewhere,
    /// The same request is to run again when there is room for so many bytes. Nothing has been changed.
    Room(usize),
    /// The same request is to run again at once, with all shards. Nothing has been changed that others can see.
    All,
    /// The work goes on in slices, and others get their turn between them.
    Later(Box<dyn crate::execute::Walk>),
    /// As [`Stop::Later`], behind a part of the reply that is written already.
    Rest(Box<dyn crate::execute::Walk>),
    /// The shell does something and answers.
    Ask(Box<Request>),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Busy> for Stop {
    fn from(busy: Busy) -> Self {
        Self::Busy(busy)
    }
}
