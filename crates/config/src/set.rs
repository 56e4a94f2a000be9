//! CONFIG GET and CONFIG SET.

use crate::{Config, Id, find, id};

/// Who asks for a change, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The client is on this machine.
    pub local: bool,
    /// The data set is being loaded.
    pub loading: bool,
}

/// Why CONFIG SET changed nothing. Displayed as the reply reads, less its `ERR `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// No parameter is called so.
    #[error("Unknown option or number of arguments for CONFIG SET - '{0}'")]
    Unknown(String),
    /// The parameter cannot be changed, or not to this. The server uses it too, when it cannot apply a change.
    #[error("CONFIG SET failed (possibly related to argument '{name}') - {reason}")]
    Failed {
        /// The parameter, as the client called it.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Not while loading: the client is told so with the error every command has for it.
    #[error("LOADING Redis is loading the dataset in memory")]
    Loading,
}

impl SetError {
    /// A change of `name` failed for this reason.
    pub fn failed(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Failed { name: name.into(), reason: reason.into() }
    }
}

/// A change that may be tried: the row, the name it was found by, the new value.
type Change<'a> = (Id, &'static str, &'a str);

impl Config {
    /// What CONFIG GET answers: each parameter once by each of its names, in the order of the table.
    /// A name without `[`, `*` and `?` finds hidden ones too and comes back as it was typed.
    /// `glob(pattern)` says which names match; it is given lower case on both sides.
    pub fn matching<M: Fn(&[u8]) -> bool>(
        &self,
        patterns: &[&[u8]],
        glob: impl Fn(&[u8]) -> M,
    ) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = Vec::new();
        for pattern in patterns {
            for (id, name) in names_matching(pattern, &glob) {
                if !found.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                    found.push((name, self.show(id)));
                }
            }
        }
        found
    }

    /// CONFIG SET: all the pairs of name and value, or none. Returns the rows that changed, in order; what to
    /// do about them is the server's business, which therefore best works on a clone.
    pub fn set(&mut self, pairs: &[(&[u8], &[u8])], caller: Caller) -> Result<Vec<Id>, SetError> {
        let changes = self.permitted(pairs, caller)?;
        let mut next = self.clone();
        let mut changed = Vec::new();
        for (id, name, text) in changes {
            next.assign(id, text).map_err(|reason| SetError::failed(name, reason))?;
            if id.parameter().volatile || next.value(id) != self.value(id) {
                changed.push(id);
            }
        }
        *self = next;
        Ok(changed)
    }

    /// The changes, if this caller may make all of them.
    fn permitted<'a>(
        &self,
        pairs: &[(&'a [u8], &'a [u8])],
        caller: Caller,
    ) -> Result<Vec<Change<'a>>, SetError> {
        let mut changes: Vec<Change<'a>> = Vec::new();
        for (typed, value) in pairs {
            let typed = String::from_utf8_lossy(typed);
            let (id, name) = find(&typed).ok_or_else(|| SetError::Unknown(typed.to_string()))?;
            self.permit(id, &typed, caller)?;
            if changes.iter().any(|(_, known, _)| *known == name) {
                return Err(SetError::failed(typed, "duplicate parameter"));
            }
            let value = std::str::from_utf8(value)
                .map_err(|_| SetError::failed(typed, "argument must be valid UTF-8"))?;
            changes.push((id, name, value));
        }
        Ok(changes)
    }

    fn permit(&self, id: Id, typed: &str, caller: Caller) -> Result<(), SetError> {
        let row = id.parameter();
        if row.immutable {
            return Err(SetError::failed(typed, "can't set immutable config"));
        }
        if row.protected && !self.allows_protected(caller) {
            return Err(SetError::failed(typed, "can't set protected config"));
        }
        if row.deny_loading && caller.loading { Err(SetError::Loading) } else { Ok(()) }
    }

    fn allows_protected(&self, caller: Caller) -> bool {
        match self.choice(const { id("enable-protected-configs") }) {
            "yes" => true,
            "local" => caller.local,
            _ => false,
        }
    }
}

fn names_matching<M: Fn(&[u8]) -> bool>(
    pattern: &[u8],
    glob: impl Fn(&[u8]) -> M,
) -> Vec<(Id, String)> {
    if !pattern.iter().any(|byte| b"[*?".contains(byte)) {
        let typed = String::from_utf8_lossy(pattern);
        return find(&typed).map(|(id, _)| (id, typed.into_owned())).into_iter().collect();
    }
    let is_wanted = glob(&pattern.to_ascii_lowercase());
    let visible = Id::all().filter(|id| !id.parameter().hidden);
    let names = visible.flat_map(|id| {
        [Some(id.name()), id.parameter().alias].into_iter().flatten().map(move |name| (id, name))
    });
    let matching = names.filter(|(_, name)| is_wanted(name.as_bytes()));
    matching.map(|(id, name)| (id, name.to_owned())).collect()
}
