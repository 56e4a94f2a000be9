//! Which words of a request nobody else is to see: passwords, and what is said of users.
//!
//! A command's row says where its secrets stand. Asked by whatever shows requests to others: the logs of commands, MONITOR.

use russet_config::find;

use crate::command::Secret;
use crate::table::Row;

/// What stands in place of a secret.
pub const SHOWN: &[u8] = b"(redacted)";

/// The words of one request that are secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets {
    words: Vec<usize>,
}

impl Secrets {
    /// Those of a request of `count` words, the command's name being word 0.
    pub fn of<'a>(row: &Row, count: usize, word: impl Fn(usize) -> &'a [u8]) -> Self {
        let mut words = Vec::new();
        for secret in row.command.secrets {
            match *secret {
                Secret::From(first) => words.extend(first..count),
                Secret::Behind { keyword, from, words: many } => {
                    let is_keyword =
                        |at: &usize| word(*at).eq_ignore_ascii_case(keyword.as_bytes());
                    let found = (from..count).find(is_keyword);
                    words.extend(found.into_iter().flat_map(|at| at + 1..count.min(at + 1 + many)));
                }
                Secret::Parameters(first) => words.extend(of_parameters(first, count, &word)),
            }
        }
        Self { words }
    }

    /// Whether the word at this index is one of them.
    pub fn hides(&self, at: usize) -> bool {
        self.words.contains(&at)
    }
}

/// Values of parameters that are secret, each behind its name.
fn of_parameters<'a>(first: usize, count: usize, word: &impl Fn(usize) -> &'a [u8]) -> Vec<usize> {
    let is_secret = |at: &usize| {
        let name = std::str::from_utf8(word(*at)).unwrap_or_default();
        find(name).is_some_and(|(id, _)| id.parameter().sensitive)
    };
    (first..count.saturating_sub(1)).step_by(2).filter(is_secret).map(|at| at + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::table::Table;

    fn hidden(secrets: &'static [Secret], line: &str) -> Vec<usize> {
        let command = Command { name: "x", secrets, ..Command::BASE };
        let table = Table::leak(&[Box::leak(Box::new([command]))]);
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let secrets = Secrets::of(table.rows()[0], words.len(), |at| words[at]);
        (0..words.len()).filter(|at| secrets.hides(*at)).collect()
    }

    #[test]
    fn a_row_says_where_its_secrets_stand() {
        assert_eq!(hidden(&[], "x a b"), [0usize; 0]);
        assert_eq!(hidden(&[Secret::From(1)], "x a b"), [1, 2]);
        let behind = &[Secret::Behind { keyword: "AUTH", from: 2, words: 2 }];
        assert_eq!(hidden(behind, "x 3 auth me secret SETNAME me"), [3, 4]);
        assert_eq!(hidden(behind, "x 3 auth me"), [3]);
        assert_eq!(hidden(behind, "x 3 SETNAME me"), [0usize; 0]);
        let parameters = &[Secret::Parameters(2)];
        assert_eq!(hidden(parameters, "x set port 1 REQUIREPASS 2 timeout 3"), [5]);
        assert_eq!(hidden(parameters, "x set requirepass"), [0usize; 0]);
    }
}
