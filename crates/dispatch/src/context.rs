//! What a handler is given: the data behind its keys, the reply, the client, and the server's state.
//!
//! Handlers never lock. They see only keys that their row declares, through [`Data`], whose methods are the one way to them: they hide
//! what has ended, keep the counts of hits and misses, and write down what changed.

use russet_engine::shard::{Met, note_change};
use russet_engine::{
    Access, Busy, Collection, Entry, Held, INLINE_MAX, Name, Patience, Shard, Told, Type, Value,
    View, raw_value, string_value,
};
use russet_resp::Writer;

use crate::args::Key;
use crate::effect::{GONE, Unit};
use crate::error::{Error, Stop};
use crate::notify::{Class, Note};
use crate::session::Session;
use crate::state::{State, Thread};
use crate::table::Row;

/// How a handler ends: it has replied, or it says why not.
pub type Outcome = Result<(), Stop>;

/// Everything a handler works with.
#[derive(Debug)]
pub struct Context<'a> {
    /// The keys it declared.
    pub data: Data<'a>,
    /// The reply under way.
    pub reply: Writer<'a>,
    /// The client.
    pub session: &'a mut Session,
    /// What all clients share.
    pub state: &'static State,
    /// What this thread owns.
    pub thread: &'a Thread,
    /// The command's row.
    pub row: &'static Row,
    /// Whether this runs on a worker thread, where it may take its time.
    pub is_worker: bool,
}

impl Context<'_> {
    /// Milliseconds since 1970; the same from the beginning to the end of a unit.
    #[inline]
    pub const fn now(&self) -> u64 {
        self.data.now
    }
}

/// The data behind the keys of a command, under the locks of their shards.
#[derive(Debug)]
pub struct Data<'a> {
    pub(crate) held: Held<'static, Shard>,
    pub(crate) state: &'static State,
    pub(crate) thread: &'a Thread,
    pub(crate) unit: &'a mut Unit,
    /// Milliseconds since 1970, fixed for the unit.
    pub now: u64,
    /// The database that keys are looked up in.
    pub db: u32,
    /// How uses of entries are noted.
    pub access: Access,
    /// Whether what is looked up counts as used.
    pub(crate) is_touching: bool,
    /// Whose command runs, by id.
    pub(crate) client: u64,
    /// A waiter is being served: keys whose shard is not held count as absent.
    pub(crate) is_serving: bool,
}

impl<'a> Data<'a> {
    pub(crate) fn new(
        state: &'static State,
        thread: &'a Thread,
        held: Held<'static, Shard>,
        unit: &'a mut Unit,
        session: &Session,
        now: u64,
    ) -> Self {
        Self {
            held,
            state,
            thread,
            unit,
            now,
            db: session.db,
            access: state.tunables.access(now),
            is_touching: !session.no_touch,
            client: session.id,
            is_serving: false,
        }
    }

    #[inline]
    fn name<'k>(&self, key: Key<'k>) -> Name<'k> {
        Name { db: self.db, key: key.bytes, hash: key.spot.hash }
    }

    /// The shard of a key. `None` only while serving, for keys of others.
    #[inline]
    fn shard(&mut self, key: Key<'_>) -> Option<&mut Shard> {
        self.position(key).map(|at| self.held.nth_mut(at))
    }

    /// Where a key's shard stands among the held.
    #[inline]
    fn position(&self, key: Key<'_>) -> Option<usize> {
        let at = self.held.position(key.spot.shard);
        assert!(
            at.is_some() || self.is_serving,
            "a handler touches only keys that its row declares"
        );
        at
    }

    /// Whether a key can be seen. Not while a waiter is served, if another than its keys' shards are held: such a key counts as absent.
    pub fn is_reachable(&self, key: Key<'_>) -> bool {
        self.held.get(key.spot.shard).is_some()
    }

    /// The live entry of a key, marked as accessed.
    #[inline]
    pub fn find(&mut self, key: Key<'_>) -> Option<&Entry> {
        self.find_and_mark(key, self.use_of())
    }

    /// What a lookup notes of itself.
    #[inline]
    fn use_of(&self) -> Option<Access> {
        self.is_touching.then_some(self.access)
    }

    /// What a change notes of a key whose lookup has been noted as a use already.
    #[inline]
    fn use_of_change(&self) -> Option<Access> {
        self.use_of().filter(|access| matches!(access, Access::Change(_)))
    }

    #[inline]
    fn find_and_mark(&mut self, key: Key<'_>, access: Option<Access>) -> Option<&Entry> {
        let (name, now, thread) = (self.name(key), self.now, self.thread);
        let at = self.position(key)?;
        let shard = self.held.nth_mut(at);
        let has_deadlines = shard.database(name.db)?.has_deadlines();
        if has_deadlines && shard.get(name).is_some_and(|entry| entry.is_due(now)) {
            self.expire(key)?;
        }
        self.held.nth_mut(at).get_for_access(name, access, || thread.random())
    }

    /// As [`Data::find`], counted as a hit or a miss: for commands that read.
    #[inline]
    pub fn read(&mut self, key: Key<'_>) -> Option<&Entry> {
        self.tell_miss(key);
        let counters = &self.thread.counters;
        let found = self.find(key);
        if found.is_some() {
            counters.hits.add(1)
        } else {
            counters.misses.add(1)
        }
        found
    }

    /// The live entry of a key, neither marked nor counted: for OBJECT and kin.
    pub fn inspect(&mut self, key: Key<'_>) -> Option<&Entry> {
        self.find_and_mark(key, None)
    }

    /// As [`Data::inspect`], counted as a hit or a miss: for TTL, TYPE and others that ask about a key and not for its value.
    pub fn peek(&mut self, key: Key<'_>) -> Option<&Entry> {
        self.tell_miss(key);
        let counters = &self.thread.counters;
        let found = self.inspect(key);
        if found.is_some() {
            counters.hits.add(1)
        } else {
            counters.misses.add(1)
        }
        found
    }

    /// Tells that a key is asked for which is not there, if anybody wants to know.
    #[inline]
    fn tell_miss(&mut self, key: Key<'_>) {
        if self.wants(Class::Miss) && self.inspect(key).is_none() {
            self.notify(Class::Miss, "keymiss", key);
        }
    }

    /// As [`Data::read`], and marked even where CLIENT NO-TOUCH holds. Says whether the key is there.
    pub fn touch(&mut self, key: Key<'_>) -> bool {
        let is_touching = std::mem::replace(&mut self.is_touching, true);
        let exists = self.read(key).is_some();
        self.is_touching = is_touching;
        exists
    }

    /// Removes an entry that has ended, or those of its fields that have. While CLIENT PAUSE holds nothing is removed, and an entry that
    /// has ended is only not seen: `None` says so.
    #[cold]
    fn expire(&mut self, key: Key<'_>) -> Option<()> {
        let (name, now) = (self.name(key), self.now);
        let is_paused = self.state.is_paused();
        // What the client itself has changed so far is told apart.
        self.gather_stale(key, self.client);
        let shard = self.shard(key)?;
        if shard.get(name).is_some_and(|entry| entry.is_expired(now)) {
            if is_paused {
                return None;
            }
            shard.remove(name);
            self.thread.counters.expired.add(1);
            self.unit.expired(name.db, name.key);
            self.notify(Class::Expired, "expired", key);
        } else {
            let fields = shard.end_fields(name, now, usize::MAX);
            let is_gone = shard.get(name).is_none();
            self.thread.counters.expired_fields.add(fields.len() as u64);
            self.unit.fields_expired(name.db, name.key, &fields);
            self.notify(Class::Hash, "hexpired", key);
            if is_gone {
                self.notify(Class::Generic, "del", key);
            }
        }
        self.gather_stale(key, 0);
        Some(())
    }

    /// Takes what the shard of a key has listed as changed.
    fn gather_stale(&mut self, key: Key<'_>, by: u64) {
        if let Some(shard) = self.held.get_mut(key.spot.shard) {
            self.unit.stale.take(shard, by);
        }
    }

    /// Takes what all shards have listed as changed.
    pub(crate) fn gather_all_stale(&mut self, by: u64) {
        for shard in self.held.iter_mut() {
            self.unit.stale.take(shard, by);
        }
    }

    /// Everybody's caches are void.
    fn make_all_stale(&mut self) {
        if !self.state.tracking.is_used() {
            return;
        }
        for shard in self.held.iter_mut().filter(|shard| shard.interest().is_some()) {
            shard.interest_mut().tracked.clear();
        }
        self.unit.stale.add_all();
    }

    /// Removes keys of the database that have ended: what a command that walks has met.
    pub fn end_keys(&mut self, keys: &[Box<[u8]>]) {
        for bytes in keys {
            if self.holds_all() {
                self.exists(Key { bytes, spot: self.state.keyspace.locate(bytes) });
            } else {
                crate::expire::end(self.state, self.thread, self.db, bytes);
            }
        }
    }

    /// Whether a key is there.
    #[inline]
    pub fn exists(&mut self, key: Key<'_>) -> bool {
        self.find(key).is_some()
    }

    /// The string of a key, to be read.
    #[inline]
    pub fn string(&mut self, key: Key<'_>) -> Result<Option<Text<'_>>, Error> {
        self.read(key).map(Text::of).transpose()
    }

    /// The string of a key that is about to be changed: not counted as a hit or a miss.
    #[inline]
    pub fn string_to_change(&mut self, key: Key<'_>) -> Result<Option<Text<'_>>, Error> {
        self.find(key).map(Text::of).transpose()
    }

    /// Sets a key to a value, whatever it was. The command's own words go to the journal, unless it says otherwise.
    #[inline]
    pub fn set(&mut self, key: Key<'_>, value: Value<'_>, expiry: Option<u64>) {
        self.notify_before(key, || value.kind());
        let (name, access, thread) = (self.name(key), self.access, self.thread);
        self.unit.changed();
        if let Some(shard) = self.shard(key) {
            shard.set(name, value, expiry, access, || thread.random());
        }
    }

    /// Sets the bits that say how a key has been used. Nobody is told.
    pub fn set_access(&mut self, key: Key<'_>, bits: u32) {
        let name = self.name(key);
        if let Some(shard) = self.shard(key) {
            shard.set_access(name, bits);
        }
    }

    /// Sets a key to a string, and tells that it was set.
    #[inline]
    pub fn set_string(&mut self, key: Key<'_>, bytes: &[u8], expiry: Option<u64>) {
        self.set(key, string_value(bytes), expiry);
        self.notify(Class::String, "set", key);
    }

    /// Changes a live entry in place.
    pub fn update<R>(&mut self, key: Key<'_>, change: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        if !self.exists(key) {
            return None;
        }
        self.update_found(key, change)
    }

    /// As [`Data::update`], for a key that has just been found: it is not looked for again to see whether it has ended.
    #[inline]
    pub fn update_found<R>(
        &mut self,
        key: Key<'_>,
        change: impl FnOnce(&mut Entry) -> R,
    ) -> Option<R> {
        let (name, access, thread) = (self.name(key), self.use_of_change(), self.thread);
        self.unit.changed();
        self.shard(key)?.update(name, |entry| {
            note_change(entry, access, || thread.random());
            change(entry)
        })
    }

    /// Changes the string of a key in place; a key that is not there becomes the empty string first. `change` says whether it was a
    /// change: if not, nobody is told. What was made anew counts as changed.
    pub fn change_string<R>(
        &mut self,
        key: Key<'_>,
        change: impl FnOnce(&mut Entry) -> (R, bool),
    ) -> Result<R, Error> {
        let is_new = self.string_to_change(key)?.is_none();
        if is_new {
            self.notify_before(key, || Type::String);
        }
        let (name, access, thread) = (self.name(key), self.access, self.thread);
        let use_of_change = self.use_of_change();
        let shard = self.shard(key).expect("a handler that changes strings waits for nobody");
        if is_new {
            shard.set(name, raw_value(b""), None, access, || thread.random());
        }
        let change = |entry: &mut Entry| {
            note_change(entry, use_of_change, || thread.random());
            let (result, has_changed) = change(entry);
            ((result, has_changed || is_new), has_changed || is_new)
        };
        let (result, has_changed) = shard.change(name, change).expect("found or made above");
        if has_changed {
            self.unit.changed();
        }
        Ok(result)
    }

    /// The live entry of a key that was looked up before by one of the methods that mark and count: for commands that look at several
    /// keys side by side.
    pub fn again(&self, key: Key<'_>) -> Option<&Entry> {
        let entry = self.held.get(key.spot.shard)?.get(self.name(key))?;
        (!entry.is_expired(self.now)).then_some(entry)
    }

    /// The collection of a key, to be read.
    #[inline]
    pub fn read_as<T: Collection>(&mut self, key: Key<'_>) -> Result<Option<&T>, Error> {
        self.read(key).map(collection_of).transpose()
    }

    /// As [`Data::read_as`] for a command that writes: not counted as a hit or a miss. Also the check that a key holds nothing else.
    #[inline]
    pub fn find_as<T: Collection>(&mut self, key: Key<'_>) -> Result<Option<&T>, Error> {
        self.find(key).map(collection_of).transpose()
    }

    /// Changes the collection of a key, which `make` makes if it is not there. `change` says whether it was a change: if not, nobody is
    /// told and nothing is kept. A collection that is empty afterwards is removed.
    pub fn change<T: Collection, R>(
        &mut self,
        key: Key<'_>,
        make: impl FnOnce() -> T,
        change: impl FnOnce(&mut T) -> (R, bool),
    ) -> Result<R, Error> {
        let mut change = Some(telling(change));
        if let Some(result) = self.change_live(key, &mut change)? {
            return Ok(result);
        }
        let change = change.expect("nothing was there to be changed");
        let mut made = make();
        let (result, told) = change(&mut made);
        if told != Told::Nobody && !made.is_gone() {
            self.set(key, Value::Object(made.wrap()), None);
        }
        Ok(result)
    }

    /// As [`Data::change`], if there is such a key.
    pub fn change_found<T: Collection, R>(
        &mut self,
        key: Key<'_>,
        change: impl FnOnce(&mut T) -> (R, bool),
    ) -> Result<Option<R>, Error> {
        self.change_live(key, &mut Some(telling(change)))
    }

    /// As [`Data::change_found`], where `change` says who is to be told.
    pub fn change_telling<T: Collection, R>(
        &mut self,
        key: Key<'_>,
        change: impl FnOnce(&mut T) -> (R, Told),
    ) -> Result<Option<R>, Error> {
        self.change_live(key, &mut Some(change))
    }

    /// Changes the collection of a key, if it is there: found, judged and changed in one look, and looked for again only where something
    /// has ended. `change` is taken if it was called.
    fn change_live<T: Collection, R>(
        &mut self,
        key: Key<'_>,
        change: &mut Option<impl FnOnce(&mut T) -> (R, Told)>,
    ) -> Result<Option<R>, Error> {
        let (name, now, access, thread) = (self.name(key), self.now, self.use_of(), self.thread);
        loop {
            let Some(shard) = self.shard(key) else { return Ok(None) };
            let met = shard.change_live(
                name,
                now,
                access,
                || thread.random(),
                |it: &mut T| {
                    let change = change.take().expect("an entry is met once");
                    let (result, told) = change(it);
                    ((result, told, it.is_gone()), told)
                },
            );
            match met {
                Met::Absent => return Ok(None),
                Met::Other => return Err(Error::WrongType),
                Met::Due => {
                    if self.expire(key).is_none() {
                        return Ok(None);
                    }
                }
                Met::Changed((result, told, is_gone)) => {
                    self.end_change(key, told, is_gone);
                    return Ok(Some(result));
                }
            }
        }
    }

    /// Counts a change of a collection, which goes if it is empty.
    #[inline]
    fn end_change(&mut self, key: Key<'_>, told: Told, is_gone: bool) {
        if told == Told::Nobody {
            return;
        }
        self.unit.changed();
        if is_gone {
            let name = self.name(key);
            self.shard(key).expect("found there").remove(name);
        }
    }

    /// Sets a key to a whole collection, whatever it was; to nothing if the collection is empty. Says whether there is a key now or was one.
    pub fn put<T: Collection>(&mut self, key: Key<'_>, collection: T) -> bool {
        if collection.is_gone() {
            return self.remove(key);
        }
        self.set(key, Value::Object(collection.wrap()), None);
        true
    }

    /// Removes a live key. Says whether there was one.
    pub fn remove(&mut self, key: Key<'_>) -> bool {
        if !self.exists(key) {
            return false;
        }
        let name = self.name(key);
        self.unit.changed();
        self.notify(Class::Generic, "del", key);
        self.shard(key).is_some_and(|shard| shard.remove(name))
    }

    /// Removes a live key whose end has come, if there is one, and tells followers so.
    pub fn remove_ended(&mut self, key: Key<'_>) {
        if self.remove(key) {
            self.effect(&[GONE, key.bytes]);
        }
    }

    /// When a live key ends: `None` if there is no such key, `Some(None)` if it does not end.
    pub fn expiry(&mut self, key: Key<'_>) -> Option<Option<u64>> {
        self.find(key).map(Entry::expiry)
    }

    /// Changes when a key ends. An end that is not in the future removes it. Says whether there was such a key.
    pub fn set_expiry(&mut self, key: Key<'_>, expiry: Option<u64>) -> bool {
        if !self.exists(key) {
            return false;
        }
        if expiry.is_some_and(|at| at <= self.now) {
            self.remove_ended(key);
            return true;
        }
        let name = self.name(key);
        self.unit.changed();
        let event = if expiry.is_some() { "expire" } else { "persist" };
        self.notify(Class::Generic, event, key);
        self.shard(key).is_some_and(|shard| shard.set_expiry(name, expiry))
    }

    /// Moves a live entry to another key and database, over whatever is there. Its expiry goes with it. That the target is new is told
    /// of; the two events of the move are the handler's.
    pub fn rename(&mut self, from: Key<'_>, to: Key<'_>, to_db: u32) -> bool {
        if !self.exists(from) {
            return false;
        }
        let (source, target) = (self.name(from), Name { db: to_db, ..self.name(to) });
        self.unit.changed();
        self.in_db(to_db, |data| data.notify(Class::New, "new", to));
        let Some(entry) = self.shard(from).and_then(|shard| shard.take(source)) else {
            return false;
        };
        let expiry = entry.expiry();
        let Some(shard) = self.shard(to) else { return false };
        shard.remove(target);
        shard.put(target, entry.renamed(to.bytes, expiry));
        true
    }

    /// Puts a copy of a live value under another key and database, over whatever is there. The expiry is copied too.
    pub fn copy(&mut self, from: Key<'_>, to: Key<'_>, to_db: u32) -> bool {
        let access = self.access.first();
        let target = Name { db: to_db, ..self.name(to) };
        let Some(mut entry) = self.find(from).map(|entry| entry.copied(to.bytes)) else {
            return false;
        };
        entry.set_access(access);
        self.unit.changed();
        self.in_db(to_db, |data| data.notify(Class::New, "new", to));
        let Some(shard) = self.shard(to) else { return false };
        shard.remove(target);
        shard.put(target, entry);
        true
    }

    /// Runs `work` with keys looked up in another database.
    pub fn in_db<R>(&mut self, db: u32, work: impl FnOnce(&mut Self) -> R) -> R {
        let own = std::mem::replace(&mut self.db, db);
        let result = work(self);
        self.db = own;
        result
    }

    /// Empties databases: one, or all. Only for commands that take all shards. Answers how many keys there were.
    pub fn clear(&mut self, db: Option<u32>) -> usize {
        self.unit.changed();
        self.make_all_stale();
        let databases = |shard: &Shard| db.map_or(0..shard.databases(), |db| db..db + 1);
        self.held
            .iter_mut()
            .map(|shard| databases(shard).map(|db| shard.clear(db)).sum::<usize>())
            .sum()
    }

    /// Exchanges two databases. Only for commands that take all shards.
    pub fn swap(&mut self, one: u32, other: u32) {
        self.unit.changed();
        // A line says nothing of databases.
        self.make_all_stale();
        self.end_watched(one, other);
        self.held.iter_mut().for_each(|shard| shard.swap(one, other));
    }

    /// Removes what has ended under watched names of two databases, so that it is no change when it comes under another number.
    fn end_watched(&mut self, one: u32, other: u32) {
        let (now, seed) = (self.now, self.state.keyspace.seed());
        let tells = self.wants(Class::Expired);
        for shard in self.held.iter_mut() {
            let keys = shard
                .interest()
                .map_or_else(Vec::new, |interest| interest.watched_keys(one, other));
            for (key, db) in keys.iter().flat_map(|key| [(key, one), (key, other)]) {
                let name = Name { db, key, hash: seed.hash(key) };
                if shard.get(name).is_some_and(|entry| entry.is_expired(now)) {
                    shard.remove(name);
                    self.unit.expired(db, key);
                    if tells {
                        self.unit.note(Note::Event(db, "expired", key.clone()));
                    }
                }
            }
        }
    }

    /// Whether all shards are held, as inside a transaction that walks.
    pub fn holds_all(&self) -> bool {
        self.held.len() == self.state.keyspace.shards() as usize
    }

    /// Shows one shard to a command that walks: held already, or taken for the moment.
    pub fn visit<R>(&self, shard: u32, look: impl FnOnce(&Shard) -> R) -> Result<R, Busy> {
        match self.held.get(shard) {
            Some(held) => Ok(look(held)),
            None => Ok(look(&*self.state.keyspace.hold_one(shard, Patience::SHORT)?)),
        }
    }

    /// As [`Data::visit`], to change things that nobody is told of: neither the journal nor who waits. For DEBUG.
    pub fn visit_mut<R>(
        &mut self,
        shard: u32,
        change: impl FnOnce(&mut Shard) -> R,
    ) -> Result<R, Busy> {
        let change = |shard: &mut Shard| {
            let result = change(shard);
            shard.finish();
            result
        };
        match self.held.get_mut(shard) {
            Some(held) => Ok(change(held)),
            None => Ok(change(&mut *self.state.keyspace.hold_one(shard, Patience::SHORT)?)),
        }
    }

    /// Says that what was just changed reaches the journal as `argv`, not as the command's own words.
    pub fn effect(&mut self, argv: &[&[u8]]) {
        let db = self.db;
        self.unit.effect(db, argv);
    }

    /// Counts a change that removed or altered nothing Russet keeps, so that the command's words reach the journal all the same.
    pub fn changed(&mut self) {
        self.unit.changed();
    }

    /// Says that INFO's `rdb_changes_since_last_save` takes all that the command has changed so far as so many changes. Redis counts
    /// elements with some commands, keys or nothing at all with others.
    #[inline]
    pub fn count_as(&mut self, changes: usize) {
        self.unit.count_as(changes as u64);
    }

    /// Whether anybody reads the journal: if not, effects need not be spelled out.
    pub fn is_followed(&self) -> bool {
        self.unit.is_followed
    }
}

/// A change that tells everybody or nobody.
#[inline]
fn telling<T, R>(change: impl FnOnce(&mut T) -> (R, bool)) -> impl FnOnce(&mut T) -> (R, Told) {
    |it| {
        let (result, has_changed) = change(it);
        (result, Told::from(has_changed))
    }
}

#[inline]
fn collection_of<T: Collection>(entry: &Entry) -> Result<&T, Error> {
    entry.object().and_then(T::of).ok_or(Error::WrongType)
}

/// A string, however it is kept.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a>(View<'a>);

impl<'a> From<View<'a>> for Text<'a> {
    /// Of a view that is no collection, as a field of a hash and its value.
    #[inline]
    fn from(view: View<'a>) -> Self {
        debug_assert!(!matches!(view, View::Object(_)), "a string");
        Self(view)
    }
}

impl<'a> Text<'a> {
    /// The string of an entry.
    #[inline]
    pub fn of(entry: &'a Entry) -> Result<Self, Error> {
        match entry.view() {
            View::Object(_) => Err(Error::WrongType),
            view => Ok(Self(view)),
        }
    }

    /// Writes it as a bulk string; a large one by reference.
    #[inline]
    pub fn reply(self, reply: &mut Writer<'_>) {
        match self.0 {
            View::Short(bytes) => reply.bulk(bytes),
            View::Int(number) => reply.bulk_int(number),
            View::Chunks(chunks) => reply.shared(chunks.chunks()),
            View::Object(_) => unreachable!("checked when made"),
        }
    }

    /// How it is kept.
    pub const fn view(self) -> View<'a> {
        self.0
    }

    /// Number of bytes.
    pub fn len(self) -> usize {
        match self.0 {
            View::Short(bytes) => bytes.len(),
            View::Int(number) => russet_engine::number::digits(number),
            View::Chunks(chunks) => chunks.len(),
            View::Object(_) => unreachable!("checked when made"),
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The integer that it spells, if it does.
    pub fn int(self) -> Option<i64> {
        match self.0 {
            View::Int(number) => Some(number),
            View::Short(bytes) => russet_engine::number::parse_i64(bytes),
            _ => None,
        }
    }

    /// Shows its bytes, piece after piece.
    pub fn pieces(self, mut each: impl FnMut(&[u8])) {
        match self.0 {
            View::Chunks(chunks) => chunks.chunks().iter().for_each(|chunk| each(chunk)),
            _ => each(&self.bytes()),
        }
    }

    /// Its bytes, copied where they do not lie in one piece.
    pub fn bytes(self) -> std::borrow::Cow<'a, [u8]> {
        match self.0 {
            View::Short(bytes) => std::borrow::Cow::Borrowed(bytes),
            View::Int(number) => std::borrow::Cow::Owned(number.to_string().into_bytes()),
            View::Chunks(chunks) => std::borrow::Cow::Owned(chunks.to_vec()),
            View::Object(_) => unreachable!("checked when made"),
        }
    }

    /// Whether it equals some bytes.
    pub fn equals(self, other: &[u8]) -> bool {
        match self.0 {
            View::Chunks(chunks) => chunks.len() == other.len() && chunks.eq_slice(other),
            _ => *self.bytes() == *other,
        }
    }
}

/// Whether a string of this length is kept in chunks.
pub const fn is_large(len: usize) -> bool {
    len > INLINE_MAX
}

/// The type of an entry, as `TYPE` answers it.
pub fn type_name(entry: Option<&Entry>) -> &'static str {
    entry.map_or("none", |entry| Type::name(entry.kind()))
}
