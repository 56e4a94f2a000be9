//! The closed list of things that the core may ask of the shell, and that the shell answers.

use russet_config::Caller;

use russet_journal::Lsn;

use crate::error::Error;
use crate::persistence::{Contents, Reload};

/// Something that only the shell can do. The client's reply waits for the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Write the configuration file anew.
    RewriteConfig {
        /// With every parameter, also those at their defaults.
        force: bool,
    },
    /// Change parameters of which some are the shell's to apply, all or none.
    Reconfigure(Change),
    /// End the process.
    Shutdown(Shutdown),
    /// Sleep, for DEBUG SLEEP: this client only.
    Sleep {
        /// How long.
        milliseconds: u64,
    },
    /// Answer with an error, but not at once: for whoever guesses passwords.
    Refuse {
        /// What the client is told.
        error: Error,
        /// When.
        milliseconds: u64,
    },
    /// What goes with databases that have been emptied.
    Emptied(Emptied),
    /// Save, and answer when it is done. Whoever asks has said so in [`crate::persistence::Persistence::begin_saving`].
    Save,
    /// Save everything and read it back.
    Reload(Reload),
    /// Read the append-only file back.
    LoadAof,
    /// Send a snapshot, and close the connection behind it.
    SendSnapshot {
        /// What is to be in it.
        contents: Contents,
        /// Whether the client is first told of which moment it is, as PSYNC does.
        tells_moment: bool,
    },
    /// Wait until the client's writes are on the disk, for WAITAOF; the reply is two numbers.
    AwaitDisk(AwaitDisk),
}

/// What a client waits for that has emptied databases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Emptied {
    /// A snapshot without what was there.
    pub saves: bool,
    /// Nothing is left in the bin.
    pub frees: bool,
}

/// What WAITAOF waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AwaitDisk {
    /// The journal's position behind the client's writes.
    pub lsn: Lsn,
    /// Whether the own disk is to have them.
    pub is_local: bool,
    /// How many replicas' disks are to have them.
    pub replicas: i64,
    /// For how long, in milliseconds; 0 for ever.
    pub timeout_ms: u64,
}

/// How SHUTDOWN was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shutdown {
    /// SAVE or NOSAVE, if either was said.
    pub save: Option<bool>,
    /// Do not wait for replicas.
    pub now: bool,
    /// Ignore errors.
    pub force: bool,
}

/// A parameter's name and the value it is to have.
pub type Pair = (Box<[u8]>, Box<[u8]>);

/// What CONFIG SET was asked to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Names and values, as they were typed.
    pub words: Vec<Pair>,
    /// Who asked.
    pub caller: Caller,
}

impl Change {
    /// Names and values, borrowed.
    pub fn pairs(&self) -> Vec<(&[u8], &[u8])> {
        self.words.iter().map(|(name, value)| (&**name, &**value)).collect()
    }
}
