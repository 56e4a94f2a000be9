//! Client-side caching: who has read what, and how they hear that it has changed.
//!
//! ```text
//! GET k ─▶ handler ─▶ remember: k ← reader 7 ─────┐  under the lock of k's shard
//!                                                 ▼
//!                        shard: Tracked { k: {7, 12}, … }
//!                                                 │
//! SET k ─▶ handler ─▶ the shard's door: changes ◀─┘
//!             └─▶ finish ─▶ tell: mailboxes of 7 and 12     before the lock falls
//! ```
//!
//! The door of a shard lists what has changed and had been read; the end of a unit tells the readers, before its locks fall. The reply to
//! a read is written under the same lock, and mail is written behind it: so an invalidation never overtakes the reply that it is about,
//! and none is lost. Clients in broadcasting mode ask for prefixes instead; while there are any, every shard lists every change.
//!
//! What nobody tracks costs nothing but a bit of the session's mode and a null pointer in the shard. There is no table that all threads
//! share: lines lie in shards, and are kept below `tracking-table-max-keys` by the timer and by whoever adds one while there are too
//! many.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use dashmap::DashMap;
use parking_lot::{Mutex, RwLock};
use russet_engine::tracked::{Change, Readers};
use russet_engine::{Busy, Patience, Shard};
use russet_journal::Lsn;
use russet_resp::{Output, Protocol, Writer};

use crate::args::Key;
use crate::context::Data;
use crate::session::{Client, Mail, Session, mode};
use crate::state::{State, Thread};

/// Where invalidations go on a connection that speaks RESP2.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// Lines dropped under one hold of a shard.
const PER_HOLD: usize = 64;

/// How a client tracks, one bit each.
pub mod how {
    /// It tracks.
    pub const ON: u8 = 1;
    /// It hears of all keys with its prefixes, read or not.
    pub const BCAST: u8 = 2;
    /// Only what follows CLIENT CACHING YES is remembered.
    pub const OPTIN: u8 = 4;
    /// What follows CLIENT CACHING NO is not remembered.
    pub const OPTOUT: u8 = 8;
    /// It does not hear of its own changes.
    pub const NOLOOP: u8 = 16;
    /// The client that was to hear instead is gone.
    pub const BROKEN: u8 = 32;
}

/// How a client tracks, for all to see.
#[derive(Debug, Default)]
pub struct Mode {
    bits: AtomicU8,
    redirect: AtomicU64,
    /// Bytes of its prefixes.
    pub prefix_bytes: AtomicUsize,
}

impl Mode {
    /// Whether one of these bits of [`how`] is set.
    #[inline]
    pub fn has(&self, bits: u8) -> bool {
        self.bits.load(Ordering::Relaxed) & bits != 0
    }

    /// The client that hears instead; 0 for none, `None` for a client that does not track.
    pub fn redirect(&self) -> Option<u64> {
        self.has(how::ON).then(|| self.redirect.load(Ordering::Relaxed))
    }
}

/// What a session knows of its own tracking.
#[derive(Debug, Default)]
pub struct Reader {
    /// Its number in the lines of the shards, for as long as it is connected.
    number: Option<u32>,
    /// Prefixes of broadcasting mode.
    pub prefixes: BTreeSet<Box<[u8]>>,
}

/// What CLIENT TRACKING ON asks for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Bits of [`how`].
    pub bits: u8,
    /// The client that is to hear instead, or 0.
    pub redirect: u64,
    /// Prefixes, for broadcasting.
    pub prefixes: Vec<Box<[u8]>>,
}

/// Numbers of readers: small ones first, since small ones are cheap.
#[derive(Debug, Default)]
struct Numbers {
    next: u32,
    free: BinaryHeap<Reverse<u32>>,
    /// Of clients that have gone; free again once no line has them.
    gone: Vec<u32>,
}

/// Who wants to hear of all keys that begin so.
type Prefixes = BTreeMap<Box<[u8]>, Vec<Arc<Client>>>;

/// Who tracks.
#[derive(Debug, Default)]
pub struct Tracking {
    readers: DashMap<u32, Arc<Client>>,
    numbers: Mutex<Numbers>,
    prefixes: RwLock<Prefixes>,
    prefix_count: AtomicUsize,
    /// Sessions that are about to enter their first prefix.
    beginning: AtomicUsize,
    /// Whether shards may still list all changes.
    lists_all: AtomicBool,
    clients: AtomicUsize,
    /// Whether there are as many lines as there may be.
    is_full: AtomicBool,
    /// Whether anybody has ever tracked.
    is_used: AtomicBool,
}

impl Tracking {
    /// How many clients track.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// Whether anybody has ever tracked.
    pub(crate) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    /// How many prefixes somebody wants to hear of.
    pub fn prefixes(&self) -> usize {
        self.prefix_count.load(Ordering::Relaxed)
    }

    /// Gives a client a number.
    fn enter(&self, client: &Arc<Client>) -> u32 {
        let mut numbers = self.numbers.lock();
        let number = numbers.free.pop().map(|Reverse(number)| number).unwrap_or_else(|| {
            numbers.next += 1;
            numbers.next - 1
        });
        drop(numbers);
        self.readers.insert(number, Arc::clone(client));
        number
    }

    fn add_prefix(&self, prefix: &[u8], client: &Arc<Client>) {
        let mut prefixes = self.prefixes.write();
        prefixes.entry(prefix.into()).or_default().push(Arc::clone(client));
        self.prefix_count.store(prefixes.len(), Ordering::Relaxed);
    }

    fn remove_prefix(&self, prefix: &[u8], id: u64) {
        let mut prefixes = self.prefixes.write();
        if let Some(clients) = prefixes.get_mut(prefix) {
            clients.retain(|client| client.id != id);
            if clients.is_empty() {
                prefixes.remove(prefix);
            }
        }
        self.prefix_count.store(prefixes.len(), Ordering::Relaxed);
    }
}

/// What a prefix costs beside its bytes, which are kept twice: places in two trees and in a list.
const PREFIX_BYTES: usize = 128;

impl Session {
    /// What the session knows of its own tracking, once it has tracked.
    pub fn reader(&self) -> Option<&Reader> {
        self.reader.as_deref()
    }

    /// Tracks from now on, or tracks otherwise. The wish fits the session: it changes the mode of one that tracks only within what
    /// CLIENT TRACKING allows. For broadcasting, [`list_all`] comes first.
    pub fn track(&mut self, tracking: &Tracking, wish: &Wish) {
        let client = &self.client;
        if !client.tracking.has(how::ON) {
            tracking.clients.fetch_add(1, Ordering::Relaxed);
            tracking.is_used.store(true, Ordering::Relaxed);
        }
        let reader = self.reader.get_or_insert_default();
        if wish.bits & how::BCAST == 0 {
            reader.number.get_or_insert_with(|| tracking.enter(client));
        }
        for prefix in &wish.prefixes {
            if reader.prefixes.insert(prefix.clone()) {
                let bytes = PREFIX_BYTES + 2 * prefix.len();
                client.tracking.prefix_bytes.fetch_add(bytes, Ordering::Relaxed);
                tracking.add_prefix(prefix, client);
            }
        }
        client.tracking.redirect.store(wish.redirect, Ordering::Relaxed);
        client.tracking.bits.store(wish.bits | how::ON, Ordering::Relaxed);
        self.set_mode(mode::TOLD, true);
        self.end_caching();
    }

    /// Tracks no more. What was remembered stays until it changes, and nobody is told then.
    pub fn stop_tracking(&mut self, tracking: &Tracking) {
        if !self.client.tracking.has(how::ON) {
            return;
        }
        self.client.tracking.bits.store(0, Ordering::Relaxed);
        self.client.tracking.prefix_bytes.store(0, Ordering::Relaxed);
        tracking.clients.fetch_sub(1, Ordering::Relaxed);
        self.set_mode(mode::TOLD, false);
        self.end_caching();
        let id = self.client.id;
        let prefixes = self.reader.as_mut().map(|reader| std::mem::take(&mut reader.prefixes));
        for prefix in prefixes.into_iter().flatten() {
            tracking.remove_prefix(&prefix, id);
        }
    }

    /// The client is gone, and its number with it.
    pub fn leave_tracking(&mut self, tracking: &Tracking) {
        self.stop_tracking(tracking);
        if let Some(number) = self.reader.take().and_then(|reader| reader.number) {
            tracking.readers.remove(&number);
            tracking.numbers.lock().gone.push(number);
        }
    }

    /// CLIENT CACHING: what the next command or transaction reads is remembered, or is not.
    pub const fn begin_caching(&mut self, remembers: bool) {
        self.set_mode(mode::CACHING, true);
        self.set_mode(mode::READER, remembers);
    }

    /// Whether CLIENT CACHING holds.
    pub const fn has_caching(&self) -> bool {
        self.is_in_mode(mode::CACHING)
    }

    /// What CLIENT CACHING has said holds no longer.
    pub(crate) fn end_caching(&mut self) {
        let tracking = &self.client.tracking;
        let remembers = tracking.has(how::ON) && !tracking.has(how::BCAST | how::OPTIN);
        self.set_mode(mode::CACHING, false);
        self.set_mode(mode::READER, remembers);
    }

    /// The number to remember what is read now by, if it is to be.
    #[inline]
    pub(crate) fn reads_as(&self) -> Option<u32> {
        if !self.is_in_mode(mode::READER) {
            return None;
        }
        self.reader.as_ref().and_then(|reader| reader.number)
    }

    /// Reads as another session of the same client does.
    pub(crate) fn read_as(&mut self, number: Option<u32>) {
        self.set_mode(mode::READER, number.is_some());
        self.reader = number
            .map(|number| Box::new(Reader { number: Some(number), prefixes: BTreeSet::new() }));
    }

    /// A session of the same client, for work beside the connection, reads as this one does.
    pub fn lend_reading(&self, other: &mut Self) {
        other.read_as(self.reads_as());
    }
}

/// Has every shard list every change, for a client that is about to broadcast; the guard is held until its prefixes are entered.
pub fn list_all<'a>(data: &mut Data<'_>, tracking: &'a Tracking) -> Result<Beginning<'a>, Busy> {
    tracking.beginning.fetch_add(1, Ordering::SeqCst);
    let beginning = Beginning(tracking);
    if tracking.prefixes() == 0 {
        tracking.lists_all.store(true, Ordering::Relaxed);
        for shard in 0..data.state.keyspace.shards() {
            data.visit_mut(shard, |shard| shard.interest_mut().tracked.list_all(true))?;
        }
    }
    Ok(beginning)
}

/// A session that is about to enter its first prefix.
#[derive(Debug)]
pub struct Beginning<'a>(&'a Tracking);

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        self.0.beginning.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Remembers that a reader has read keys, those whose shards are held.
pub(crate) fn remember<'k>(data: &mut Data<'_>, reader: u32, keys: impl Iterator<Item = Key<'k>>) {
    let is_full = data.state.tracking.is_full.load(Ordering::Relaxed);
    for Key { bytes, spot } in keys {
        let Some(shard) = data.held.get_mut(spot.shard) else { continue };
        let tracked = &mut shard.interest_mut().tracked;
        if is_full && !tracked.has(spot.hash, bytes) {
            tracked.evict(1);
            data.unit.must_finish();
        }
        tracked.read(spot.hash, bytes, reader);
    }
}

/// Changes of a unit that nobody has been told of, each with the client that made it; 0 for those that nobody made.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    list: Vec<(Change, u64)>,
    /// Everything has changed.
    all: bool,
}

impl Changes {
    pub(crate) const fn new() -> Self {
        Self { list: Vec::new(), all: false }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.list.is_empty() && !self.all
    }

    /// Notes that everything has changed, as by FLUSHALL.
    pub(crate) const fn add_all(&mut self) {
        self.all = true;
    }

    /// Takes what a shard has listed.
    pub(crate) fn take(&mut self, shard: &mut Shard, by: u64) {
        if shard.interest().is_some_and(|interest| interest.tracked.has_changes()) {
            let changes = shard.interest_mut().tracked.take_changes();
            self.list.extend(changes.into_iter().map(|change| (change, by)));
            shard.drop_idle_interest();
        }
    }
}

/// Tells everybody who has to know, and forgets the changes. Under the locks of what has changed, or of nothing.
pub(crate) fn tell(state: &State, thread: &Thread, changes: &mut Changes, stamp: Lsn) {
    let post = Post { state, thread, stamp };
    for (change, by) in &changes.list {
        post.tell_readers(change, *by);
    }
    if state.tracking.prefixes() > 0 {
        post.broadcast(&changes.list);
    }
    if std::mem::take(&mut changes.all) {
        let mut message = Message::new(What::Everything);
        for client in state.clients.all().iter().filter(|client| client.tracking.has(how::ON)) {
            post.send(client, &mut message);
        }
    }
    changes.list.clear();
}

/// Tells of the changes that a shard has listed and that nobody made, as when keys have ended.
pub(crate) fn tell_of(state: &State, thread: &Thread, shard: &mut Shard, stamp: Lsn) {
    let mut changes = Changes::default();
    changes.take(shard, 0);
    if !changes.is_empty() {
        tell(state, thread, &mut changes, stamp);
    }
}

/// Changes on their way to those who have to know.
struct Post<'a> {
    state: &'a State,
    thread: &'a Thread,
    stamp: Lsn,
}

impl Post<'_> {
    fn tell_readers(&self, change: &Change, by: u64) {
        let keys = [&change.key[..]];
        let mut message = Message::new(What::Keys(&keys));
        for number in change.readers.iter() {
            let reader = self.state.tracking.readers.get(&number).map(|client| Arc::clone(&client));
            // A client that broadcasts now is told as such, whatever it has read before.
            let Some(client) = reader.filter(|client| !client.tracking.has(how::BCAST)) else {
                continue;
            };
            let is_own = client.id == by && client.tracking.has(how::NOLOOP);
            if client.tracking.has(how::ON) && !is_own {
                self.send(&client, &mut message);
            }
        }
    }

    /// One message for each prefix, of all keys that have it.
    fn broadcast(&self, changes: &[(Change, u64)]) {
        for (keys, clients) in self.by_prefix(changes) {
            let all: Vec<&[u8]> = keys.keys().copied().collect();
            let mut message = Message::new(What::Keys(&all));
            for client in clients {
                if !client.tracking.has(how::NOLOOP) {
                    self.send(&client, &mut message);
                    continue;
                }
                let others = keys.iter().filter(|(_, by)| **by != client.id);
                let others: Vec<&[u8]> = others.map(|(key, _)| *key).collect();
                if !others.is_empty() {
                    self.send(&client, &mut Message::new(What::Keys(&others)));
                }
            }
        }
    }

    /// Which keys have changed under each prefix, each with who changed it last, and who is to hear of it. A copy: mailboxes are not
    /// reached for while the prefixes are locked.
    fn by_prefix<'c>(&self, changes: &'c [(Change, u64)]) -> Vec<(Changed<'c>, Vec<Arc<Client>>)> {
        let prefixes = self.state.tracking.prefixes.read();
        let changed = |prefix: &[u8]| -> Changed<'c> {
            let matching = changes.iter().filter(|(change, _)| change.key.starts_with(prefix));
            matching.map(|(change, by)| (&change.key[..], *by)).collect()
        };
        let told = prefixes.iter().map(|(prefix, clients)| (changed(prefix), clients));
        told.filter(|(keys, _)| !keys.is_empty()).map(|(keys, c)| (keys, c.clone())).collect()
    }

    /// To the client, or to the one that it has named. RESP2 has no push: there only a subscriber hears, and only for others.
    fn send(&self, client: &Arc<Client>, message: &mut Message<'_>) {
        let redirect = client.tracking.redirect.load(Ordering::Relaxed);
        if redirect == 0 {
            if speaks_resp3(client) {
                self.put(client, message.as_push());
            }
            return;
        }
        let target = self.state.clients.get(redirect);
        match target.filter(|target| !target.is_killed() && !target.closing.load(Ordering::Acquire))
        {
            None => self.say_broken(client, redirect),
            Some(target) if speaks_resp3(&target) => self.put(&target, message.as_push()),
            Some(target) if target.is_subscriber() => self.put(&target, message.as_message()),
            Some(_) => {}
        }
    }

    fn say_broken(&self, client: &Client, redirect: u64) {
        client.tracking.bits.fetch_or(how::BROKEN, Ordering::Relaxed);
        if speaks_resp3(client) {
            let broken = encode(Protocol::Resp3, |writer| {
                writer.push(2);
                writer.bulk(b"tracking-redir-broken");
                writer.integer(redirect as i64);
            });
            self.put(client, broken);
        }
    }

    fn put(&self, client: &Client, bytes: Bytes) {
        let mail = Mail { bytes, stamp: self.stamp, is_reply: false };
        self.thread.put(client, &mail, self.state.mail_bytes_max(client));
        self.thread.report(self.state, client);
    }
}

/// Keys and who changed them last.
type Changed<'c> = BTreeMap<&'c [u8], u64>;

fn speaks_resp3(client: &Client) -> bool {
    client.protocol.load(Ordering::Relaxed) == 3
}

/// What has changed.
#[derive(Clone, Copy)]
enum What<'a> {
    Keys(&'a [&'a [u8]]),
    Everything,
}

/// An invalidation, encoded once for each form however many hear of it.
struct Message<'a> {
    what: What<'a>,
    push: Option<Bytes>,
    text: Option<Bytes>,
}

impl<'a> Message<'a> {
    const fn new(what: What<'a>) -> Self {
        Self { what, push: None, text: None }
    }

    /// For RESP3.
    fn as_push(&mut self) -> Bytes {
        let what = self.what;
        let push = self.push.get_or_insert_with(|| {
            encode(Protocol::Resp3, |writer| {
                writer.push(2);
                writer.bulk(b"invalidate");
                what.write(writer);
            })
        });
        Bytes::clone(push)
    }

    /// For a subscriber that speaks RESP2.
    fn as_message(&mut self) -> Bytes {
        let what = self.what;
        let message = self.text.get_or_insert_with(|| {
            encode(Protocol::Resp2, |writer| {
                writer.push(3);
                writer.bulk(b"message");
                writer.bulk(CHANNEL);
                what.write(writer);
            })
        });
        Bytes::clone(message)
    }
}

impl What<'_> {
    fn write(self, writer: &mut Writer<'_>) {
        match self {
            Self::Keys(keys) => {
                writer.array(keys.len());
                keys.iter().for_each(|key| writer.bulk(key));
            }
            Self::Everything => writer.null(),
        }
    }
}

fn encode(protocol: Protocol, write: impl FnOnce(&mut Writer<'_>)) -> Bytes {
    let mut out = Output::default();
    write(&mut Writer::new(&mut out, protocol));
    out.into_bytes()
}

/// Keeps the number of lines below `tracking-table-max-keys`, and tidies up behind clients that are gone. For the timer, a few times a
/// second, and for whoever lowers the limit. O(shards), and O(lines) after clients have gone.
pub fn tend(state: &State, thread: &Thread) {
    let tracking = &state.tracking;
    if tracking.is_used() {
        forget_gone(state);
        limit(state, thread);
    }
    if tracking.lists_all.load(Ordering::Relaxed) && tracking.prefixes() == 0 {
        list_no_more(state);
    }
    thread.call(state);
}

/// Shows each shard that somebody is interested in.
fn each_shard(state: &State, mut look: impl FnMut(&mut Shard)) {
    for shard in 0..state.keyspace.shards() {
        // A shard that is held for long has its turn next time.
        if let Ok(mut shard) = state.keyspace.hold_one(shard, Patience::SHORT)
            && shard.interest().is_some()
        {
            look(&mut shard);
        }
    }
}

fn limit(state: &State, thread: &Thread) {
    let tracking = &state.tracking;
    let mut lines = 0;
    each_shard(state, |shard| lines += shard.interest().map_or(0, |i| i.tracked.keys()));
    let max = state.tunables.tracked_max.load(Ordering::Relaxed);
    tracking.is_full.store(max > 0 && lines >= max, Ordering::Relaxed);
    let mut over = if max == 0 { 0 } else { lines.saturating_sub(max) };
    // Some of each, so that no shard loses all while others keep theirs.
    let share = over.div_ceil(state.keyspace.shards() as usize).clamp(1, PER_HOLD);
    while over > 0 {
        let before = over;
        each_shard(state, |shard| {
            let tracked = &mut shard.interest_mut().tracked;
            let count = tracked.keys().min(over).min(share);
            tracked.evict(count);
            over -= count;
            let lsn = shard.lsn;
            tell_of(state, thread, shard, lsn);
        });
        if over == before {
            break;
        }
    }
}

/// Takes readers that are gone out of all lines, and gives their numbers free; the next time, if somebody holds a shard for long.
fn forget_gone(state: &State) {
    let gone = std::mem::take(&mut state.tracking.numbers.lock().gone);
    if gone.is_empty() {
        return;
    }
    let mut readers = Readers::default();
    for number in &gone {
        readers.insert(*number);
    }
    for shard in 0..state.keyspace.shards() {
        let Ok(mut shard) = state.keyspace.hold_one(shard, Patience::STEADY) else {
            return state.tracking.numbers.lock().gone.extend(gone);
        };
        if shard.interest().is_some() {
            shard.interest_mut().tracked.forget(&readers);
            shard.drop_idle_interest();
        }
    }
    state.tracking.numbers.lock().free.extend(gone.into_iter().map(Reverse));
}

/// Nobody broadcasts any more. Who begins to meanwhile has said so before it walks over the shards.
fn list_no_more(state: &State) {
    let tracking = &state.tracking;
    let is_wanted = || tracking.beginning.load(Ordering::SeqCst) > 0 || tracking.prefixes() > 0;
    tracking.lists_all.store(false, Ordering::Relaxed);
    for shard in 0..state.keyspace.shards() {
        let held = state.keyspace.hold_one(shard, Patience::STEADY);
        let Some(mut shard) = held.ok().filter(|_| !is_wanted()) else {
            // Wanted again, or held for long: then the next time.
            tracking.lists_all.store(true, Ordering::Relaxed);
            return;
        };
        if shard.interest().is_some() {
            shard.interest_mut().tracked.list_all(false);
            shard.drop_idle_interest();
        }
    }
}
