//! Keyspace events: what happens to keys, told on channels, as `notify-keyspace-events` wishes.
//!
//! ```text
//! SET foo bar   ──▶   __keyspace@0__:foo   set
//!                     __keyevent@0__:set   foo
//! ```
//!
//! The door of the data tells what it knows itself: that a key is new, was overwritten, has ended, was removed, or has another end.
//! Handlers name the rest, with one call behind each change. While events of a class are not wanted, or nobody is subscribed to anything,
//! that costs one load.
//!
//! Events are gathered in the unit and published once, after its effects are in the journal and before its locks fall. So who sees an
//! event may see the change, events of a key come in the order of its changes, those of a transaction together; and a message carries the
//! position in the journal that it speaks of. What a transaction publishes with PUBLISH goes the same way, to keep its place among them.

use std::sync::atomic::Ordering;

use russet_config::event;
use russet_engine::Type;
use russet_journal::Lsn;

use crate::args::Key;
use crate::context::Data;
use crate::pubsub::Kind;
use crate::state::{State, Thread};

/// A class of events, as `notify-keyspace-events` chooses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Class {
    /// Whatever the type.
    Generic = event::GENERIC as u32,
    /// Of strings.
    String = event::STRING as u32,
    /// Of lists.
    List = event::LIST as u32,
    /// Of sets.
    Set = event::SET as u32,
    /// Of hashes.
    Hash = event::HASH as u32,
    /// Of sorted sets.
    SortedSet = event::SORTED_SET as u32,
    /// Of streams.
    Stream = event::STREAM as u32,
    /// A key has ended.
    Expired = event::EXPIRED as u32,
    /// A key was evicted.
    Evicted = event::EVICTED as u32,
    /// A key was asked for that is not there.
    Miss = event::MISS as u32,
    /// A key came to be.
    New = event::NEW as u32,
    /// A key got a whole new value.
    Overwritten = event::OVERWRITTEN as u32,
    /// A key got a value of another type.
    TypeChanged = event::TYPE_CHANGED as u32,
}

/// Classes that have to do with what was there before.
const OF_OLD_VALUE: u32 = Class::New as u32 | Class::Overwritten as u32 | Class::TypeChanged as u32;

/// Something that a unit publishes when it ends.
#[derive(Debug)]
pub(crate) enum Note {
    /// This happened to a key.
    Event(u32, &'static str, Box<[u8]>),
    /// A message.
    Message(Kind, Box<[u8]>, Box<[u8]>),
}

impl State {
    /// Whether events of some of these classes are wanted, and anybody might get them.
    #[inline]
    fn wants_events(&self, classes: u32) -> bool {
        self.tunables.events.load(Ordering::Relaxed) & classes != 0 && self.has_listeners()
    }

    #[cold]
    fn has_listeners(&self) -> bool {
        self.pubsub.count(Kind::Channel) + self.pubsub.count(Kind::Pattern) > 0
    }

    /// Publishes an event, if such are wanted. The shard of the key is held. Whoever calls has [`Thread::call`] called soon.
    #[inline]
    pub fn notify(
        &self,
        thread: &Thread,
        class: Class,
        name: &str,
        db: u32,
        key: &[u8],
        stamp: Lsn,
    ) {
        if self.wants_events(class as u32) {
            self.publish_event(thread, name, db, key, stamp);
        }
    }

    /// Publishes an event on the channel of its key, and on its own.
    #[cold]
    fn publish_event(&self, thread: &Thread, name: &str, db: u32, key: &[u8], stamp: Lsn) {
        let wanted = i64::from(self.tunables.events.load(Ordering::Relaxed));
        let mut digits = itoa::Buffer::new();
        let db = digits.format(db).as_bytes();
        let publish = |kind: &[u8], topic: &[u8], message: &[u8]| {
            let channel = [kind, b"@", db, b"__:", topic].concat();
            self.publish(thread, Kind::Channel, &channel, message, stamp);
        };
        if wanted & event::KEYSPACE != 0 {
            publish(b"__keyspace", key, name.as_bytes());
        }
        if wanted & event::KEYEVENT != 0 {
            publish(b"__keyevent", name.as_bytes(), key);
        }
    }
}

impl Data<'_> {
    /// Whether events of a class are wanted.
    #[inline]
    pub(crate) fn wants(&self, class: Class) -> bool {
        self.state.wants_events(class as u32)
    }

    /// Tells of something that happened to a key, if such events are wanted.
    #[inline]
    pub fn notify(&mut self, class: Class, name: &'static str, key: Key<'_>) {
        if self.wants(class) {
            self.unit.note(Note::Event(self.db, name, key.bytes.into()));
        }
    }

    /// Tells of what was changed since the last event was told of, if anything was; and if the key is gone since nothing was left in it,
    /// of that.
    #[inline]
    pub fn announce(&mut self, class: Class, name: &'static str, key: Key<'_>) {
        if self.state.wants_events(class as u32 | Class::Generic as u32) {
            self.announce_wanted(class, name, key);
        }
    }

    #[cold]
    fn announce_wanted(&mut self, class: Class, name: &'static str, key: Key<'_>) {
        if self.unit.take_news() {
            self.announce_anyway(class, name, key);
        }
    }

    /// As [`Data::announce`], also where nothing was changed.
    pub fn announce_anyway(&mut self, class: Class, name: &'static str, key: Key<'_>) {
        self.notify(class, name, key);
        if self.again(key).is_none() {
            self.notify(Class::Generic, "del", key);
        }
    }

    /// Tells that a key is about to come to be, or to get a whole new value of some type.
    #[inline]
    pub(crate) fn notify_before(&mut self, key: Key<'_>, kind: impl FnOnce() -> Type) {
        if self.state.wants_events(OF_OLD_VALUE) {
            self.notify_old(key, kind());
        }
    }

    #[cold]
    fn notify_old(&mut self, key: Key<'_>, kind: Type) {
        let Some(old) = self.again(key).map(russet_engine::Entry::kind) else {
            return self.notify(Class::New, "new", key);
        };
        self.notify(Class::Overwritten, "overwritten", key);
        if old != kind {
            self.notify(Class::TypeChanged, "type_changed", key);
        }
    }

    /// Publishes a message when the unit ends, in its place among the unit's events. Answers how many would get it now.
    pub fn publish_later(&mut self, kind: Kind, channel: &[u8], message: &[u8]) -> usize {
        let receivers = self.state.pubsub.receivers(kind, channel);
        if receivers > 0 {
            self.unit.note(Note::Message(kind, channel.into(), message.into()));
        }
        receivers
    }

    /// Publishes what the unit has gathered.
    #[cold]
    pub(crate) fn publish_notes(&mut self, stamp: Lsn) {
        for note in std::mem::take(&mut self.unit.notes) {
            match note {
                Note::Event(db, name, key) => {
                    self.state.publish_event(self.thread, name, db, &key, stamp);
                }
                Note::Message(kind, channel, message) => {
                    self.state.publish(self.thread, kind, &channel, &message, stamp);
                }
            }
        }
    }
}
