//! A command is one row: what it is called, what it takes, what it may do, and the function that does it.
//!
//! Everything derivable is derived from rows: lookup, arity check, COMMAND and its subcommands, which shards to lock, ACL categories,
//! what is denied when. Rows are plain `const` struct literals; a family's file says once what its commands share:
//!
//! ```ignore
//! const STRING: Command = Command { group: Group::String, file: file!(), ..Command::BASE };
//!
//! pub const COMMANDS: &[Command] = &[
//!     Command {
//!         name: "strlen",
//!         syntax: "key",
//!         summary: "Tells how many bytes a string has.",
//!         complexity: "O(1)",
//!         since: "2.2.0",
//!         arity: 2,
//!         flags: &[ReadOnly, Fast],
//!         keys: &[at(1, RO)],
//!         run: strlen,
//!         ..STRING
//!     },
//! ];
//! ```

use crate::args::Args;
use crate::context::{Context, Outcome};
use crate::error::{Error, Stop};
use crate::keys::{Access, KeySpec};
use crate::state::State;

/// What does a command's work. It reads all its arguments, then touches data, then replies.
pub type Handler = fn(&mut Context<'_>, &mut Args<'_>) -> Outcome;

/// Says of a request by its words, the name included, that it changes nothing.
pub type OnlyReads = fn(&State, &[&[u8]]) -> bool;

/// Tells from all words of a request what is done with its keys.
pub type ExactAccess = fn(&[&[u8]]) -> Access;

/// One row of the command table.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Lower case; a subcommand's own name only.
    pub name: &'static str,
    /// Its arguments, in the notation of `syntax.rs`; empty for none.
    pub syntax: &'static str,
    /// One sentence for COMMAND DOCS and `docs/commands.md`.
    pub summary: &'static str,
    /// For COMMAND DOCS.
    pub complexity: &'static str,
    /// The version of Redis (or Valkey) that brought it.
    pub since: &'static str,
    /// Which family it belongs to.
    pub group: Group,
    /// Number of words, the name included; negative means at least so many.
    pub arity: i32,
    /// What it may do and when.
    pub flags: &'static [Flag],
    /// ACL categories beyond those that follow from flags and group.
    pub also: &'static [Category],
    /// ACL categories that would follow but do not hold.
    pub not: &'static [Category],
    /// Which arguments are keys.
    pub keys: &'static [KeySpec],
    /// What to bring towards the cache beyond the keys' entries, when the command comes in a pipeline.
    pub prefetch: Prefetch,
    /// What is done with its keys where that depends on other words, which are given with the command's name; see
    /// [`VARIABLE_FLAGS`](crate::keys::VARIABLE_FLAGS).
    pub exact_access: Option<ExactAccess>,
    /// Whether a request of these words changes nothing, though others of the command may: a script that says so itself.
    pub only_reads: Option<OnlyReads>,
    /// Which arguments nobody else is to see.
    pub secrets: &'static [Secret],
    /// Tips for clients, as COMMAND INFO prints them.
    pub tips: &'static [&'static str],
    /// Version and what changed.
    pub history: &'static [(&'static str, &'static str)],
    /// Since when it is deprecated, and what replaces it.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// What a container holds.
    pub subcommands: &'static [Self],
    /// The source file, for `docs/commands.md`.
    pub file: &'static str,
    /// What does the work.
    pub run: Handler,
}

impl Command {
    /// What every row inherits in the end.
    pub const BASE: Self = Self {
        name: "",
        syntax: "",
        summary: "",
        complexity: "O(1)",
        since: "1.0.0",
        group: Group::Generic,
        arity: 1,
        flags: &[],
        also: &[],
        not: &[],
        keys: &[],
        prefetch: Prefetch::Nothing,
        exact_access: None,
        only_reads: None,
        secrets: &[],
        tips: &[],
        history: &[],
        deprecated: None,
        subcommands: &[],
        file: "",
        run: needs_subcommand,
    };
}

/// The handler of a container called by itself; the arity check comes first, so nobody gets here.
fn needs_subcommand(_: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    Err(Stop::Error(Error::Syntax))
}

/// What a command with one key touches besides its entry. A hint: a word that names something else does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefetch {
    /// Nothing that can be told beforehand.
    Nothing,
    /// The element of a collection that the word with this index names, the command's own name being 0.
    Element(usize),
}

/// Where a request holds something that logs and other clients must not show. The command's name is word 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// All words from this one on.
    From(usize),
    /// Some words behind a keyword.
    Behind {
        /// The keyword, in any case.
        keyword: &'static str,
        /// The first word that may be it.
        from: usize,
        /// How many words are secret.
        words: usize,
    },
    /// The values of secret parameters; names and values take turns from this word on.
    Parameters(usize),
}

/// What a command may do, and when it may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Flag {
    /// Changes data.
    Write,
    /// Reads data and changes none.
    ReadOnly,
    /// Refused when memory is full.
    DenyOom,
    /// For operators.
    Admin,
    /// About channels.
    PubSub,
    /// Not in scripts.
    NoScript,
    /// May wait.
    Blocking,
    /// Runs while data is being loaded.
    Loading,
    /// Runs on a replica whose data may be stale.
    Stale,
    /// MONITOR does not show it.
    SkipMonitor,
    /// The slow log does not show it.
    SkipSlowlog,
    /// Accepted by a cluster node that imports the slot.
    Asking,
    /// O(1) or O(log n).
    Fast,
    /// Runs before AUTH.
    NoAuth,
    /// Reaches replicas though it writes no data.
    MayReplicate,
    /// It may have no keys at all.
    NoMandatoryKeys,
    /// Not inside a transaction.
    NoMulti,
    /// The keys do not follow from positions alone.
    MovableKeys,
    /// Runs while a script blocks the server.
    AllowBusy,
    /// Needs a configuration that permits it, such as DEBUG.
    Protected,
    /// Not while data is loaded in the background.
    NoAsyncLoading,
    /// Inside a transaction it runs at once instead of being queued. Not a flag of Redis.
    Immediate,
    /// Takes every shard. Not a flag of Redis.
    LocksAll,
    /// Takes the shards of what MULTI has queued. Not a flag of Redis.
    RunsQueue,
    /// Runs a script, which may turn out to touch any key. Not a flag of Redis.
    RunsScript,
    /// Walks all shards: one at a time by itself, all at once inside a transaction. Not a flag of Redis.
    Walks,
    /// Runs for subscribers that speak RESP2. Not a flag of Redis.
    WhileSubscribed,
    /// Refused as writes are while data cannot be saved, so that whoever watches the server learns of it. Not a flag of Redis.
    TellsHealth,
}

impl Flag {
    /// As one bit.
    pub const fn bit(self) -> u32 {
        1 << self as u8
    }

    /// How COMMAND INFO prints it; nothing for those that only Russet knows.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Write => "write",
            Self::ReadOnly => "readonly",
            Self::DenyOom => "denyoom",
            Self::Admin => "admin",
            Self::PubSub => "pubsub",
            Self::NoScript => "noscript",
            Self::Blocking => "blocking",
            Self::Loading => "loading",
            Self::Stale => "stale",
            Self::SkipMonitor => "skip_monitor",
            Self::SkipSlowlog => "skip_slowlog",
            Self::Asking => "asking",
            Self::Fast => "fast",
            Self::NoAuth => "no_auth",
            Self::MayReplicate => "may_replicate",
            Self::NoMandatoryKeys => "no_mandatory_keys",
            Self::NoMulti => "no_multi",
            Self::MovableKeys => "movablekeys",
            Self::AllowBusy => "allow_busy",
            Self::NoAsyncLoading => "no_async_loading",
            Self::Protected
            | Self::Immediate
            | Self::LocksAll
            | Self::RunsQueue
            | Self::RunsScript
            | Self::Walks
            | Self::WhileSubscribed
            | Self::TellsHealth => return None,
        })
    }
}

/// The families of Redis' documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Keys whatever they hold.
    Generic,
    /// Strings.
    String,
    /// Lists.
    List,
    /// Sets.
    Set,
    /// Sorted sets.
    SortedSet,
    /// Hashes.
    Hash,
    /// Channels.
    PubSub,
    /// MULTI and kin.
    Transactions,
    /// The client's own connection.
    Connection,
    /// The server.
    Server,
    /// Scripts and functions.
    Scripting,
    /// HyperLogLog.
    HyperLogLog,
    /// Redis Cluster.
    Cluster,
    /// Places.
    Geo,
    /// Streams.
    Stream,
    /// Bits of strings.
    Bitmap,
}

impl Group {
    /// How COMMAND DOCS prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "sorted-set",
            Self::Hash => "hash",
            Self::PubSub => "pubsub",
            Self::Transactions => "transactions",
            Self::Connection => "connection",
            Self::Server => "server",
            Self::Scripting => "scripting",
            Self::HyperLogLog => "hyperloglog",
            Self::Cluster => "cluster",
            Self::Geo => "geo",
            Self::Stream => "stream",
            Self::Bitmap => "bitmap",
        }
    }

    /// The ACL category of the family, if it has one.
    const fn category(self) -> Option<Category> {
        Some(match self {
            Self::Generic => Category::Keyspace,
            Self::String => Category::String,
            Self::List => Category::List,
            Self::Set => Category::Set,
            Self::SortedSet => Category::SortedSet,
            Self::Hash => Category::Hash,
            Self::Transactions => Category::Transaction,
            Self::Connection => Category::Connection,
            Self::Scripting => Category::Scripting,
            Self::HyperLogLog => Category::HyperLogLog,
            Self::Geo => Category::Geo,
            Self::Stream => Category::Stream,
            Self::Bitmap => Category::Bitmap,
            Self::PubSub | Self::Server | Self::Cluster => return None,
        })
    }
}

/// The categories of ACL rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are Redis' own and say it")]
pub enum Category {
    Keyspace,
    Read,
    Write,
    Set,
    SortedSet,
    List,
    Hash,
    String,
    Bitmap,
    HyperLogLog,
    Geo,
    Stream,
    PubSub,
    Admin,
    Fast,
    Slow,
    Blocking,
    Dangerous,
    Connection,
    Transaction,
    Scripting,
}

impl Category {
    /// All, in the order in which Redis prints them.
    pub const ALL: [Self; 21] = [
        Self::Keyspace,
        Self::Read,
        Self::Write,
        Self::Set,
        Self::SortedSet,
        Self::List,
        Self::Hash,
        Self::String,
        Self::Bitmap,
        Self::HyperLogLog,
        Self::Geo,
        Self::Stream,
        Self::PubSub,
        Self::Admin,
        Self::Fast,
        Self::Slow,
        Self::Blocking,
        Self::Dangerous,
        Self::Connection,
        Self::Transaction,
        Self::Scripting,
    ];

    /// As one bit.
    pub const fn bit(self) -> u32 {
        1 << self as u8
    }

    /// The name after the `@`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keyspace => "keyspace",
            Self::Read => "read",
            Self::Write => "write",
            Self::Set => "set",
            Self::SortedSet => "sortedset",
            Self::List => "list",
            Self::Hash => "hash",
            Self::String => "string",
            Self::Bitmap => "bitmap",
            Self::HyperLogLog => "hyperloglog",
            Self::Geo => "geo",
            Self::Stream => "stream",
            Self::PubSub => "pubsub",
            Self::Admin => "admin",
            Self::Fast => "fast",
            Self::Slow => "slow",
            Self::Blocking => "blocking",
            Self::Dangerous => "dangerous",
            Self::Connection => "connection",
            Self::Transaction => "transaction",
            Self::Scripting => "scripting",
        }
    }
}

/// The set of ACL categories of a row, one bit each.
pub fn categories(row: &Command) -> u32 {
    use Category as C;
    let has = |flag: Flag| row.flags.contains(&flag);
    let implied = [
        (has(Flag::Write), C::Write),
        (has(Flag::ReadOnly), C::Read),
        (has(Flag::Admin), C::Admin),
        (has(Flag::Admin), C::Dangerous),
        (has(Flag::PubSub), C::PubSub),
        (has(Flag::Blocking), C::Blocking),
        (has(Flag::Fast), C::Fast),
        (!has(Flag::Fast), C::Slow),
    ];
    let implied = implied.into_iter().filter_map(|(holds, category)| holds.then_some(category));
    let of_group = if row.subcommands.is_empty() { row.group.category() } else { None };
    let all = implied.chain(of_group).chain(row.also.iter().copied());
    let bits = all.fold(0, |bits, category| bits | category.bit());
    row.not.iter().fold(bits, |bits, category| bits & !category.bit())
}
