//! What a configuration may ask for and Russet cannot do yet.
//!
//! Without it the server would be less than its operator believes: open where there should be users, readable where there should be
//! TLS, alone where there should be a primary. So it does not start, and says why.

use russet_config::{Config, Directive, FileError, Id, id};

/// Parameters whose default is all there is, and what they ask for.
const PARAMETERS: [(Id, &str); 4] = [
    (id("aclfile"), "users in a file"),
    (id("cluster-enabled"), "being a node of a cluster"),
    (id("replicaof"), "following a primary"),
    (TLS_PORT, TLS),
];

/// Lines that are no parameters, and what they ask for.
const DIRECTIVES: [(&str, &str); 2] = [("loadmodule", "loading a module"), ("user", "a user")];

/// The one of them that CONFIG SET may change.
pub(crate) const TLS_PORT: Id = id("tls-port");

/// What [`TLS_PORT`] asks for.
pub(crate) const TLS: &str = "TLS";

/// What keeps a server from starting, as the operator is told.
pub(crate) fn refuse(config: &Config) -> Result<(), FileError> {
    let of_parameter = |(id, what): &(Id, &str)| {
        let reason = || format!("{} {}: {}", id.name(), config.show(*id), sentence(what));
        let error =
            || FileError { reason: reason(), line: 0, file: String::new(), text: String::new() };
        (!config.is_default(*id)).then(error)
    };
    let of_line = |line: &Directive| {
        let row = DIRECTIVES.iter().find(|(name, _)| line.words[0] == *name);
        row.map(|(_, what)| line.error(sentence(what)))
    };
    let found = PARAMETERS.iter().find_map(of_parameter);
    found.or_else(|| config.directives().iter().find_map(of_line)).map_or(Ok(()), Err)
}

/// Says that something is not there.
pub(crate) fn sentence(what: &str) -> String {
    format!("Russet does not support {what} yet")
}
