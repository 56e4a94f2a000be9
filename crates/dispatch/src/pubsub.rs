//! Channels: who is subscribed to what, and how a message reaches all of them.
//!
//! A message is encoded once for each protocol and put into the mailboxes of its receivers. Whoever publishes waits for no subscriber's
//! thread; a subscriber that does not read what it is sent is cut at its output limit and holds nobody up.
//!
//! **Order.** A message goes out under its channel's turn, to subscribers of the channel and of patterns alike: messages of one channel
//! are seen in one order by all. A channel needs no subscriber of its own for that, so turns belong to hashes of names, not to entries.
//!
//! **Locks.** All of this is a leaf of the lock order: whoever holds shards may publish. Within it: a turn, then a part of a map or the
//! list of patterns, then one mailbox at a time. Subscribing takes no turn; it takes the part of the map, or the list, to itself.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use hashbrown::{DefaultHashBuilder, HashMap};
use parking_lot::{Mutex, RwLock};
use russet_engine::glob::{self, Glob};
use russet_journal::Lsn;
use russet_resp::{Output, Protocol, Writer};

use crate::mailbox::Mail;
use crate::session::{Client, Session, mode};
use crate::state::{State, Thread};

/// How many channels may be published to at the same moment, at most.
const TURNS: usize = 64;

/// Bytes of a message around its words.
const FRAME_BYTES: usize = 96;

/// What a client can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A channel.
    Channel,
    /// All channels whose names match a pattern.
    Pattern,
    /// A channel of a cluster's shard.
    ShardChannel,
}

impl Kind {
    /// How a message that comes this way begins.
    const fn message(self) -> &'static str {
        match self {
            Self::Channel => "message",
            Self::Pattern => "pmessage",
            Self::ShardChannel => "smessage",
        }
    }
}

/// Clients with a common interest, by id.
type Subscribers = HashMap<u64, Arc<Client>>;

/// Channels of one kind, those with subscribers.
#[derive(Debug, Default)]
struct Channels {
    by_name: DashMap<Box<[u8]>, Subscribers>,
    count: AtomicUsize,
}

impl Channels {
    fn add(&self, name: &[u8], client: &Arc<Client>) {
        let mut subscribers = self.by_name.entry(name.into()).or_default();
        if subscribers.is_empty() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        subscribers.insert(client.id, Arc::clone(client));
    }

    fn remove(&self, name: &[u8], id: u64) {
        let removed = self.by_name.remove_if_mut(name, |_, subscribers| {
            subscribers.remove(&id);
            subscribers.is_empty()
        });
        if removed.is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// One turn, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Turn(Mutex<()>);

/// All subscriptions of a server.
#[derive(Debug)]
pub struct PubSub {
    channels: Channels,
    shard_channels: Channels,
    /// In the order in which a client that matches several is served.
    patterns: RwLock<BTreeMap<Box<[u8]>, Subscribers>>,
    pattern_count: AtomicUsize,
    clients: AtomicUsize,
    turns: [Turn; TURNS],
    hasher: DefaultHashBuilder,
}

impl Default for PubSub {
    fn default() -> Self {
        Self {
            channels: Channels::default(),
            shard_channels: Channels::default(),
            patterns: RwLock::default(),
            pattern_count: AtomicUsize::new(0),
            clients: AtomicUsize::new(0),
            turns: std::array::from_fn(|_| Turn::default()),
            hasher: DefaultHashBuilder::default(),
        }
    }
}

impl PubSub {
    /// How many channels, patterns or shard channels have subscribers.
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel => self.channels.count.load(Ordering::Relaxed),
            Kind::Pattern => self.pattern_count.load(Ordering::Relaxed),
            Kind::ShardChannel => self.shard_channels.count.load(Ordering::Relaxed),
        }
    }

    /// How many clients are subscribed to anything.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// Names of channels with subscribers, those that match a pattern if there is one. O(channels).
    pub fn names(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Box<[u8]>> {
        let pattern = pattern.map(Glob::new);
        let is_wanted = |name: &[u8]| pattern.as_ref().is_none_or(|pattern| pattern.matches(name));
        let names = self.of(kind).by_name.iter().map(|entry| entry.key().clone());
        names.filter(|name| is_wanted(name)).collect()
    }

    /// How many clients are subscribed to a channel.
    pub fn subscribers(&self, kind: Kind, name: &[u8]) -> usize {
        self.of(kind).by_name.get(name).map_or(0, |subscribers| subscribers.len())
    }

    /// How often a message would be sent.
    pub(crate) fn receivers(&self, kind: Kind, channel: &[u8]) -> usize {
        let direct = self.subscribers(kind, channel);
        if kind != Kind::Channel || self.count(Kind::Pattern) == 0 {
            return direct;
        }
        let patterns = self.patterns.read();
        let matching = patterns.iter().filter(|(pattern, _)| glob::matches(pattern, channel));
        direct + matching.map(|(_, subscribers)| subscribers.len()).sum::<usize>()
    }

    const fn of(&self, kind: Kind) -> &Channels {
        match kind {
            Kind::ShardChannel => &self.shard_channels,
            Kind::Channel | Kind::Pattern => &self.channels,
        }
    }

    fn add(&self, kind: Kind, name: &[u8], client: &Arc<Client>) {
        if kind != Kind::Pattern {
            return self.of(kind).add(name, client);
        }
        let mut patterns = self.patterns.write();
        patterns.entry(name.into()).or_default().insert(client.id, Arc::clone(client));
        self.pattern_count.store(patterns.len(), Ordering::Relaxed);
    }

    fn remove(&self, kind: Kind, name: &[u8], id: u64) {
        if kind != Kind::Pattern {
            return self.of(kind).remove(name, id);
        }
        let mut patterns = self.patterns.write();
        if let Some(subscribers) = patterns.get_mut(name) {
            subscribers.remove(&id);
            if subscribers.is_empty() {
                patterns.remove(name);
            }
        }
        self.pattern_count.store(patterns.len(), Ordering::Relaxed);
    }
}

impl State {
    /// Sends a message to all who are subscribed to a channel, or to a pattern that its name matches. Answers how often it was sent.
    /// Never waits for a subscriber; may be called with shards held. Whoever calls has [`Thread::call`] called soon.
    ///
    /// O(subscribers + patterns).
    pub fn publish(
        &self,
        thread: &Thread,
        kind: Kind,
        channel: &[u8],
        message: &[u8],
        stamp: Lsn,
    ) -> usize {
        let pubsub = &self.pubsub;
        let has_patterns = kind == Kind::Channel && pubsub.count(Kind::Pattern) > 0;
        if pubsub.count(kind) == 0 && !has_patterns {
            return 0;
        }
        let bytes_max = self.subscriber_bytes_max();
        let mut post = Post { thread, stamp, bytes_max, sent: 0 };
        let turn = pubsub.hasher.hash_one(channel) as usize % TURNS;
        let _turn = pubsub.turns[turn].0.lock();
        if let Some(subscribers) = pubsub.of(kind).by_name.get(channel) {
            post.send(&subscribers, kind, &[channel, message]);
        }
        if has_patterns {
            for (pattern, subscribers) in pubsub.patterns.read().iter() {
                if glob::matches(pattern, channel) {
                    post.send(subscribers, Kind::Pattern, &[pattern, channel, message]);
                }
            }
        }
        post.sent
    }
}

/// One message on its way.
struct Post<'a> {
    thread: &'a Thread,
    stamp: Lsn,
    bytes_max: usize,
    sent: usize,
}

impl Post<'_> {
    fn send(&mut self, subscribers: &Subscribers, kind: Kind, words: &[&[u8]]) {
        let mut made: [Option<Mail>; 2] = [None, None];
        // Who has been killed is gone for whoever publishes next, though its own thread has yet to end it.
        for client in subscribers.values().filter(|client| !client.is_killed()) {
            self.sent += 1;
            let is_resp3 = client.protocol.load(Ordering::Relaxed) == 3;
            let mail =
                made[usize::from(is_resp3)].get_or_insert_with(|| self.mail(is_resp3, kind, words));
            self.thread.put(client, mail, self.bytes_max);
        }
    }

    fn mail(&self, is_resp3: bool, kind: Kind, words: &[&[u8]]) -> Mail {
        let protocol = if is_resp3 { Protocol::Resp3 } else { Protocol::Resp2 };
        let bytes = words.iter().map(|word| word.len()).sum::<usize>() + FRAME_BYTES;
        let mut out = Output::with_capacity(bytes);
        let mut writer = Writer::new(&mut out, protocol);
        writer.push(words.len() + 1);
        writer.bulk(kind.message().as_bytes());
        words.iter().for_each(|word| writer.bulk(word));
        Mail { bytes: out.into_bytes(), stamp: self.stamp, is_reply: false }
    }
}

/// What one client is subscribed to, by kind and in order.
#[derive(Debug, Default)]
pub struct Subscriptions {
    names: [BTreeSet<Box<[u8]>>; 3],
}

impl Subscriptions {
    /// How many of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.names[kind as usize].len()
    }

    /// The names of a kind.
    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &[u8]> {
        self.names[kind as usize].iter().map(|name| &**name)
    }
}

/// What a subscription costs beside its name, which is kept twice: places in a tree and in two tables.
const SUBSCRIPTION_BYTES: usize = 128;

impl Session {
    /// Subscribes the client, if it is not subscribed yet.
    pub fn subscribe(&mut self, pubsub: &PubSub, kind: Kind, name: &[u8]) {
        let names = &mut self.subscriptions.get_or_insert_default().names[kind as usize];
        if !names.insert(name.into()) {
            return;
        }
        self.client.subscribed[kind as usize].store(names.len(), Ordering::Relaxed);
        let bytes = SUBSCRIPTION_BYTES + 2 * name.len();
        self.client.subscribed_bytes.fetch_add(bytes, Ordering::Relaxed);
        if !self.is_in_mode(mode::SUBSCRIBER) {
            pubsub.clients.fetch_add(1, Ordering::Relaxed);
            self.set_mode(mode::SUBSCRIBER, true);
            self.judge_restriction();
        }
        pubsub.add(kind, name, &self.client);
    }

    /// Ends a subscription, if there is one: nothing comes from it into the mailbox any more.
    pub fn unsubscribe(&mut self, pubsub: &PubSub, kind: Kind, name: &[u8]) {
        let Some(subscriptions) = &mut self.subscriptions else { return };
        let names = &mut subscriptions.names[kind as usize];
        if !names.remove(name) {
            return;
        }
        self.client.subscribed[kind as usize].store(names.len(), Ordering::Relaxed);
        let bytes = SUBSCRIPTION_BYTES + 2 * name.len();
        self.client.subscribed_bytes.fetch_sub(bytes, Ordering::Relaxed);
        pubsub.remove(kind, name, self.client.id);
        if subscriptions.names.iter().all(BTreeSet::is_empty) {
            self.subscriptions = None;
            pubsub.clients.fetch_sub(1, Ordering::Relaxed);
            self.set_mode(mode::SUBSCRIBER, false);
            self.judge_restriction();
        }
    }

    /// Ends all subscriptions.
    pub fn unsubscribe_all(&mut self, pubsub: &PubSub) {
        for kind in [Kind::Channel, Kind::Pattern, Kind::ShardChannel] {
            for name in self.subscribed_names(kind) {
                self.unsubscribe(pubsub, kind, &name);
            }
        }
    }

    /// The names that the client is subscribed to, copied.
    pub fn subscribed_names(&self, kind: Kind) -> Vec<Box<[u8]>> {
        self.subscriptions.iter().flat_map(|all| all.names[kind as usize].iter().cloned()).collect()
    }

    /// How many subscriptions the client is told that it has: those to shard channels are counted apart.
    pub fn subscription_count(&self, kind: Kind) -> usize {
        let count = |kind| self.subscriptions.as_ref().map_or(0, |all| all.count(kind));
        match kind {
            Kind::ShardChannel => count(Kind::ShardChannel),
            Kind::Channel | Kind::Pattern => count(Kind::Channel) + count(Kind::Pattern),
        }
    }
}
