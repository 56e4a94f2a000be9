//! Entries as the records of a snapshot.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use russet_config::id;
use russet_dispatch::State;
use russet_dispatch::state::rule;
use russet_engine::snapshot::{self, Place};
use russet_engine::{Access, Entry};
use russet_rdb::encode::pieces;
use russet_rdb::file::{self, Usage};
use russet_rdb::primitives::Sink;
use russet_rdb::{Packer, encode};

/// A piece of a collection: some tens of microseconds under a shard's lock.
const PIECE_BYTES: usize = 16 << 10;

/// How records are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// The version of the format.
    pub(crate) version: u16,
    /// How uses are noted, if an eviction policy looks at them.
    pub(crate) access: Option<Access>,
}

impl Style {
    /// As the configuration says.
    pub(crate) fn new(state: &State, version: u16) -> Self {
        let config = state.config.load();
        let policy = config.choice(const { id("maxmemory-policy") });
        let counts = policy.ends_with("lru") || policy.ends_with("lfu");
        let access = counts.then(|| state.tunables.access(state.clock.now()));
        Self { version, access }
    }
}

/// Writes records.
#[derive(Debug)]
pub(crate) struct Pen {
    style: Style,
    packer: Option<Packer>,
}

impl Pen {
    pub(crate) fn new(style: Style, compresses: bool) -> Self {
        Self { style, packer: compresses.then(Packer::default) }
    }

    /// A record of a string that lies in pieces.
    pub(crate) fn text(
        &mut self,
        before: &[u8],
        name: &[u8],
        chunks: &russet_engine::collections::chunks::Chunks,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(before);
        let value = russet_engine::View::Chunks(chunks);
        file::record(name, value, self.style.version, self.packer.as_mut(), out);
    }
}

impl snapshot::Pen for Pen {
    fn whole(&mut self, entry: &Entry, out: &mut Vec<u8>) {
        self.before(entry, out);
        file::record(entry.key(), entry.view(), self.style.version, self.packer.as_mut(), out);
    }

    fn piece(&mut self, entry: &Entry, place: Option<Place>, out: &mut Vec<u8>) -> Option<Place> {
        let Some(object) = entry.object() else {
            // What is no collection has no pieces.
            self.whole(entry, out);
            return None;
        };
        if place.is_none() {
            self.before(entry, out);
        }
        let mut sink = Sink::new(out, self.packer.as_mut()).named(entry.key());
        pieces::piece(object, place, self.style.version, PIECE_BYTES, &mut sink)
    }

    fn before(&mut self, entry: &Entry, out: &mut Vec<u8>) {
        let usage = self.style.access.map_or(Usage::Unknown, |access| usage(access, entry));
        file::before_record(entry.expiry(), usage, out);
    }
}

/// What a file says about how a key is used.
fn usage(access: Access, entry: &Entry) -> Usage {
    let bits = entry.access();
    match (access.idle_seconds(bits), access.count(bits)) {
        (Some(seconds), _) => Usage::Idle(u64::from(seconds)),
        (_, Some(count)) => Usage::Frequency(u8::try_from(count).unwrap_or(u8::MAX)),
        _ => Usage::Unknown,
    }
}

/// A pen of a snapshot that has failed.
#[derive(Debug)]
pub(crate) struct Mute;

impl snapshot::Pen for Mute {
    fn whole(&mut self, _: &Entry, _: &mut Vec<u8>) {}

    fn piece(&mut self, _: &Entry, _: Option<Place>, _: &mut Vec<u8>) -> Option<Place> {
        None
    }

    fn before(&mut self, _: &Entry, _: &mut Vec<u8>) {}
}

/// Who wants a snapshot: gives the doors their pens, and keeps writers away while too much waits.
#[derive(Debug)]
pub(crate) struct Scribe {
    pub(crate) state: &'static State,
    pub(crate) style: Style,
}

impl Scribe {
    pub(crate) fn new(state: &'static State, style: Style) -> Arc<Self> {
        Arc::new(Self { state, style })
    }
}

impl snapshot::Scribe for Scribe {
    fn pen(&self) -> Box<dyn snapshot::Pen> {
        // Compressing takes longer than anything else that is done under a lock.
        Box::new(Pen::new(self.style, false))
    }

    fn pressed(&self, is_full: bool) {
        self.state.set_rule(rule::PRESSED, is_full);
    }
}

/// The version of the format that a reader of all data has to know.
pub(crate) const fn version(has_ending_fields: bool) -> u16 {
    if has_ending_fields { encode::VERSION_7_4 } else { encode::VERSION_7_0 }
}

/// Whether strings are to be compressed.
pub(crate) fn compresses(state: &State) -> bool {
    state.tunables.compresses.load(Ordering::Relaxed)
}
