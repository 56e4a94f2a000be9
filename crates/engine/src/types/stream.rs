//! Streams: a log of entries under ascending IDs, and the groups that read it.
//!
//! ```text
//! Stream ─ Log ──── blocks by ID: one listpack each, to the byte what Redis keeps      (log, block)
//!        ├ Groups ─ by name: what is pending by ID; consumers by name, each with its IDs (group)
//!        └ Idempotence ─ what producers have said already, if any says it               (idempotence)
//! ```
//!
//! Entries come in order, so a block is appended to, and full blocks never grow again. An entry that is deleted leaves a mark in its
//! block; the block goes with its last entry.

pub mod block;
pub mod group;
pub mod id;
pub mod idempotence;
pub mod log;

pub use crate::collections::listpack::Element;
pub use block::{Block, Entry};
pub use group::{Consumer, Group, Groups, Pending, Slot};
pub use id::{ID_TEXT_MAX, NewId, StreamId};
pub use idempotence::Idempotence;
pub use log::{ENTRY_BYTES_MAX, Log, Trim};

use crate::relocate::{Mover, Progress};
use crate::value::{Collection, collection};

#[cfg(test)]
mod tests;

/// What happens to references of groups when entries are removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum References {
    /// They stay.
    #[default]
    Keep,
    /// They go too.
    Drop,
    /// Only entries go that every group was given and has acknowledged.
    Need,
}

/// A stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// The entries.
    pub log: Log,
    /// Who reads them.
    pub groups: Groups,
    /// What producers have said.
    pub idempotence: Option<Box<Idempotence>>,
}

impl Collection for Stream {
    collection!(Stream);

    fn len(&self) -> usize {
        self.log.len() as usize
    }

    fn encoding(&self) -> &'static str {
        "stream"
    }

    fn heap_bytes(&self) -> usize {
        let idempotence = self.idempotence.as_ref().map_or(0, |it| it.heap_bytes());
        self.log.heap_bytes() + self.groups.heap_bytes() + idempotence
    }

    fn free_cost(&self) -> usize {
        self.log.block_count() + self.groups.free_cost()
    }

    /// What producers have said stays where it is: it goes by itself soon.
    fn relocate(&mut self, mover: &mut Mover, from: Progress) -> Option<Progress> {
        let groups = self.groups.len();
        let next = match (from.part as usize).checked_sub(1) {
            None => self.log.relocate(mover, from.at),
            Some(group) => self.groups.relocate(mover, group, from.at),
        };
        from.then(next, 1 + groups as u32)
    }

    fn is_gone(&self) -> bool {
        false
    }
}

impl Stream {
    /// A stream of no entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trims the log, as [`Log::trim`], and does with references what `references` says. Answers how many entries went.
    pub fn trim(
        &mut self,
        trim: Trim,
        whole_blocks: bool,
        limit: u64,
        references: References,
    ) -> u64 {
        match references {
            References::Keep => self.log.trim(trim, whole_blocks, limit),
            _ if self.groups.is_empty() => self.log.trim(trim, whole_blocks, limit),
            References::Drop => self.trim_and_forget(trim, whole_blocks, limit),
            References::Need => self.trim_unneeded(trim, whole_blocks, limit),
        }
    }

    fn trim_and_forget(&mut self, trim: Trim, whole_blocks: bool, limit: u64) -> u64 {
        let before = self.log.trimmed_by(trim);
        let removed = self.log.trim(trim, whole_blocks, limit);
        let first = if self.log.is_empty() { StreamId::MAX } else { self.log.first_id() };
        before.into_iter().filter(|id| *id < first).for_each(|id| {
            self.groups.forget(id);
        });
        removed
    }

    /// Removes entries from the front that no group needs, block by block. Those that stay do not count: it goes on until there are few
    /// enough. With `whole_blocks` only in blocks all of which is to go.
    fn trim_unneeded(&mut self, trim: Trim, whole_blocks: bool, limit: u64) -> u64 {
        let (before, mut behind) = (self.log.len(), None);
        while let Some((block, ids)) = self.log.trimmable(trim, whole_blocks, behind) {
            if limit > 0 && before - self.log.len() + ids.len() as u64 > limit {
                break;
            }
            for id in ids {
                if matches!(trim, Trim::ToLen(max) if self.log.len() <= max) {
                    break;
                }
                if self.groups.are_done_with(id) {
                    self.log.remove_unmarked(id);
                }
            }
            behind = Some(block);
        }
        before - self.log.len()
    }

    /// Removes an entry as `references` says. `None` if there is none; else whether it was removed.
    pub fn remove(&mut self, id: StreamId, references: References) -> Option<bool> {
        let is_there = self.log.get(id).is_some();
        let may_go = match references {
            References::Keep => true,
            References::Drop => {
                self.groups.forget(id);
                true
            }
            References::Need => !self.groups.is_empty() && self.groups.are_done_with(id),
        };
        is_there.then(|| may_go && self.log.remove(id))
    }
}
