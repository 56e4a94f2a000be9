//! The closed list of things that the core may ask of the shell, and that the shell answers.

/// Something that only the shell can do. The client's reply waits for the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Write the configuration file anew.
    RewriteConfig,
    /// End the process.
    Shutdown(Shutdown),
    /// Sleep, for DEBUG SLEEP: this client only.
    Sleep {
        /// How long.
        milliseconds: u64,
    },
    /// Wait until nothing is left in the bin, for FLUSHALL SYNC.
    EmptyTrash,
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
