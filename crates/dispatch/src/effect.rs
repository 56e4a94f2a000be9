//! What goes to the journal: what a unit did, not what it was told.
//!
//! A handler whose words say what happened need do nothing: they are recorded as they are. One that threw dice or read the clock says
//! with [`Unit::effect`] what came of it. Effects of a unit are gathered here and appended once, after its last handler.

use russet_journal::Record;

use crate::args::Args;
use crate::notify::Note;
use crate::tracking::Changes;

/// What followers are told of a key that went by itself: as Valkey tells its own.
pub const GONE: &[u8] = b"UNLINK";

/// A request as it came over the wire, which is all that its unit did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own<'a> {
    pub(crate) db: u32,
    pub(crate) wire: &'a [u8],
}

/// The effects of one unit: a command, or a transaction.
#[derive(Debug)]
pub struct Unit {
    /// What followers will read.
    pub(crate) record: Record,
    /// Whether anybody follows.
    pub(crate) is_followed: bool,
    /// Whether the command that runs has changed something.
    has_changed: bool,
    /// Whether the command that runs has said what to record.
    is_explicit: bool,
    /// Changes since the start of the unit, for INFO's `rdb_changes_since_last_save`.
    pub(crate) changes: u64,
    /// Whether an earlier command has changed something.
    has_changed_before: bool,
    /// Whether something was removed since it had ended, or is to be published.
    has_more: bool,
    /// Whether something has changed since an event was told of.
    has_news: bool,
    /// What is published when the unit ends.
    pub(crate) notes: Vec<Note>,
    /// How many there were when the command that runs began.
    changes_before: u64,
    /// What somebody has read and is to be told of.
    pub(crate) stale: Changes,
}

impl Unit {
    /// No unit yet.
    pub(crate) const fn new() -> Self {
        Self {
            record: Record::new(),
            is_followed: false,
            has_changed: false,
            is_explicit: false,
            changes: 0,
            has_changed_before: false,
            has_more: false,
            has_news: false,
            notes: Vec::new(),
            changes_before: 0,
            stale: Changes::new(),
        }
    }

    /// Starts a unit.
    #[inline]
    pub(crate) fn begin(&mut self, is_followed: bool) {
        self.is_followed = is_followed;
        self.changes = 0;
        self.has_more = false;
        self.begin_command();
        self.has_changed_before = false;
        if !self.record.is_empty() {
            self.record.clear();
        }
    }

    /// Starts a command of the unit.
    #[inline]
    pub(crate) const fn begin_command(&mut self) {
        self.has_changed_before |= self.has_changed;
        self.has_changed = false;
        self.has_news = false;
        self.is_explicit = false;
        self.changes_before = self.changes;
    }

    #[inline]
    pub(crate) const fn changed(&mut self) {
        self.has_changed = true;
        self.has_news = true;
        self.changes += 1;
    }

    /// Whether something has changed since this was asked for the last time.
    pub(crate) const fn take_news(&mut self) -> bool {
        std::mem::replace(&mut self.has_news, false)
    }

    /// Keeps something to be published when the unit ends.
    pub(crate) fn note(&mut self, note: Note) {
        self.has_more = true;
        self.notes.push(note);
    }

    /// Says how many changes the command that runs has made, whatever it touched.
    #[inline]
    pub(crate) const fn count_as(&mut self, changes: u64) {
        self.changes = self.changes_before + changes;
    }

    pub(crate) fn effect(&mut self, db: u32, argv: &[&[u8]]) {
        // What an effect spells out has been counted when it was done, as a rule.
        if !self.has_changed {
            self.changed();
        }
        self.is_explicit = true;
        if self.is_followed {
            self.record.push(db, argv.iter().copied());
        }
    }

    /// A key ended and was removed in passing.
    pub(crate) fn expired(&mut self, db: u32, key: &[u8]) {
        self.has_more = true;
        if self.is_followed {
            self.record.push(db, [GONE, key].into_iter());
        }
    }

    /// Fields of a hash ended and were removed in passing.
    pub(crate) fn fields_expired(&mut self, db: u32, key: &[u8], fields: &[Vec<u8>]) {
        self.has_more = true;
        if self.is_followed {
            push_hdel(&mut self.record, db, key, fields);
        }
    }

    /// Whether any shard may have been touched.
    #[inline]
    pub(crate) const fn has_touched(&self) -> bool {
        self.has_changed || self.has_changed_before || self.has_more || self.changes != 0
    }

    /// Something was done that no command has asked for.
    pub(crate) const fn must_finish(&mut self) {
        self.has_more = true;
    }

    /// Ends a command: its own words are recorded if it changed something and did not say otherwise.
    pub(crate) fn end_command(&mut self, db: u32, args: &Args<'_>) {
        if let Some(own) = self.end_only_command(db, args) {
            self.record.push_wire(own.db, own.wire);
        }
    }

    /// As [`Unit::end_command`], for the last command of a unit. Where what it sent is all that there is to record, that is answered instead,
    /// to be recorded without being copied before.
    #[inline]
    pub(crate) fn end_only_command<'a>(&mut self, db: u32, args: &Args<'a>) -> Option<Own<'a>> {
        let is_recorded = self.is_followed && self.has_changed && !self.is_explicit;
        // EXEC ends after the last command that it ran: that one's changes are not recorded twice.
        self.begin_command();
        if !is_recorded {
            return None;
        }
        match args.wire() {
            Some(wire) if self.record.is_empty() => return Some(Own { db, wire }),
            Some(wire) => self.record.push_wire(db, wire),
            None => self.record.push(db, args.words()),
        }
        None
    }
}

/// Says in a record that fields of a hash are gone.
pub(crate) fn push_hdel(record: &mut Record, db: u32, key: &[u8], fields: &[Vec<u8>]) {
    let words: Vec<&[u8]> =
        [&b"HDEL"[..], key].into_iter().chain(fields.iter().map(Vec::as_slice)).collect();
    if !fields.is_empty() {
        record.push(db, words.into_iter());
    }
}
