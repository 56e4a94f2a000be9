//! Every parameter, once.
//!
//! [`parameters`](crate::SECTIONS) is the table: a row per parameter with its name, the values it takes, its
//! default and one line of explanation. Everything else is derived from it:
//!
//! ```text
//!   redis.conf, TOML, --name value ──► file ──┐
//!                          CONFIG SET ──► set ─┼─► value::parse ──► Config (one value per row)
//!   config/*, docs/configuration.md ◄── document        │
//!   CONFIG GET ◄── value::show ◄────────────────────────┤
//!   CONFIG REWRITE ◄── rewrite ◄── value::lines ◄───────┘
//! ```
//!
//! The crate reads and writes text and nothing else: files, sockets and the meaning of a parameter belong to
//! the server. Names, bounds and error texts are those of Redis; where Valkey renamed a parameter, Redis' name
//! comes first and Valkey's is the alias.
//!
//! Invariants: a [`Config`] always holds a value of the kind its row names, within its row's bounds; a failed
//! change leaves it as it was.
//!
//! The generated files are refreshed by `UPDATE_DOCS=1 cargo test -p russet-config`.
#![forbid(unsafe_code)]

mod config;
mod document;
mod file;
mod parameters;
mod rewrite;
mod set;
mod value;

pub use config::{Config, REDIS_VERSION, SERVER_NAME, SERVER_VERSION, Share};
pub use document::{markdown, redis_conf, russet_toml};
pub use file::{CommandLine, Directive, FileError, split_arguments};
pub use parameters::{PARAMETERS, SECTIONS};
pub use rewrite::Rewrite;
pub use set::{Caller, SetError};
pub use value::{OutputBufferLimit, SaveRule, event, quoted};

/// One row of the table: all that is known about a parameter.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// The name Redis gives it, in lower case.
    pub name: &'static str,
    /// Another name for it: an older one, or Valkey's.
    pub alias: Option<&'static str>,
    /// Which values it takes.
    pub kind: Kind,
    /// Its value when nobody says otherwise, spelled as in a file.
    pub default: &'static str,
    /// Cannot be changed by CONFIG SET.
    pub immutable: bool,
    /// Changed by CONFIG SET only where `enable-protected-configs` allows it.
    pub protected: bool,
    /// Not shown by CONFIG GET with a pattern.
    pub hidden: bool,
    /// Its value is a secret: keep it out of logs.
    pub sensitive: bool,
    /// Not changed while the data set is loading.
    pub deny_loading: bool,
    /// Setting it to the value it has counts as a change: it names a file whose content may be new.
    pub volatile: bool,
    /// Accepted and answered, but without an effect here.
    pub inert: bool,
    /// What it is for, in one line.
    pub doc: &'static str,
}

/// A chapter of the table.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// Its rows.
    pub parameters: &'static [Parameter],
}

/// The values a parameter takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `yes` or `no`.
    YesNo,
    /// A whole number.
    Integer {
        /// The least accepted.
        min: i64,
        /// The greatest accepted.
        max: i64,
    },
    /// A whole number written in base eight: file permissions.
    Octal {
        /// The greatest accepted.
        max: i64,
    },
    /// Bytes, with an optional unit: `1k` is a thousand, `1kb` is 1024.
    Memory {
        /// The least accepted.
        min: u64,
        /// The greatest accepted.
        max: u64,
    },
    /// Bytes, a percentage of the memory limit, or `auto`.
    Share,
    /// A number of threads; 0 or `auto` is one per available core.
    Threads {
        /// The greatest accepted.
        max: i64,
    },
    /// One of these names, with the number it stands for.
    Choice(Names),
    /// Any of these names together.
    Flags(Names),
    /// Text.
    Text {
        /// What the text must satisfy.
        rule: Rule,
        /// Empty means absent.
        optional: bool,
    },
    /// Snapshot rules: pairs of seconds and changes.
    Save,
    /// Class, hard limit, soft limit and soft seconds, for each class of client.
    OutputLimits,
    /// Three scores for the kernel's out-of-memory killer.
    Scores,
    /// Letters that name classes of keyspace events.
    Events,
    /// Addresses to listen on.
    Addresses,
    /// Host and port of the primary to follow, or `no one`.
    Replica,
    /// Percentiles between 0 and 100.
    Percentiles,
    /// A directory.
    Directory,
}

/// Names and the numbers they stand for; the first name of a number is the one printed.
pub type Names = &'static [(&'static str, i64)];

/// What a text must satisfy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Anything goes.
    Any,
    /// Not empty.
    Required,
    /// The name of a file, not a path.
    FileName,
    /// The name of a directory, not a path.
    DirectoryName,
    /// Letters, digits, hyphens and dots; less than 256 of them.
    HostName,
    /// Nothing that would break the line of a cluster node.
    NodeName,
    /// An IPv4 address or nothing.
    Ipv4,
    /// An IPv6 address or nothing.
    Ipv6,
    /// Text with the variables of a process title.
    Title,
}

impl Kind {
    /// Whether it is written as several words.
    pub const fn multi(self) -> bool {
        matches!(
            self,
            Self::Flags(_)
                | Self::Save
                | Self::OutputLimits
                | Self::Scores
                | Self::Addresses
                | Self::Replica
                | Self::Percentiles
        )
    }
}

/// The number of a row. Get one at compile time: `const PORT: Id = id("port");`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u16);

impl Id {
    /// The row.
    pub fn parameter(self) -> &'static Parameter {
        &PARAMETERS[self.index()]
    }

    /// The name of the row.
    pub fn name(self) -> &'static str {
        self.parameter().name
    }

    /// All rows in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..PARAMETERS.len()).map(|index| Self(index as u16))
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The row called `name`, which must be its name, not its alias. In a constant, a misspelt name does not
/// compile: `const MAXCLIENTS: Id = id("maxclients");` or, in place, `const { id("maxclients") }`.
///
/// # Panics
/// When no row is called so.
///
/// ```compile_fail
/// const NONE: russet_config::Id = russet_config::id("no-such-parameter");
/// # println!("{NONE:?}");
/// ```
pub const fn id(name: &str) -> Id {
    let mut index = 0;
    while index < PARAMETERS.len() {
        if equal(PARAMETERS[index].name.as_bytes(), name.as_bytes()) {
            return Id(index as u16);
        }
        index += 1;
    }
    panic!("no parameter of that name")
}

/// The row called or nicknamed `name`, in any case of letters, and the name it was found by.
pub fn find(name: &str) -> Option<(Id, &'static str)> {
    Id::all().find_map(|id| {
        let row = id.parameter();
        [Some(row.name), row.alias]
            .into_iter()
            .flatten()
            .find(|known| known.eq_ignore_ascii_case(name))
            .map(|known| (id, known))
    })
}

/// `==` for bytes, which traits cannot yet give at compile time.
const fn equal(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut index = 0;
    while index < left.len() {
        if left[index] != right[index] {
            return false;
        }
        index += 1;
    }
    true
}
