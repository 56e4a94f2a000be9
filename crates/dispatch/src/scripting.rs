//! What the server keeps of scripts: their sources, the libraries of functions, and which are running.
//!
//! Nothing here knows Lua. The interpreters belong to threads; they look up sources and libraries here, by hash and by name, and keep what
//! they have compiled for as long as it stands here.
//!
//! How a script has behaved is kept with its source, since that decides how it runs next: see [`Manners`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;
use std::thread::ThreadId;
use std::time::Instant;

use arc_swap::ArcSwap;
use dashmap::DashMap;
use parking_lot::Mutex;
use russet_engine::relocate::Mover;

/// The SHA-1 of a script's source.
pub type Sha = [u8; 20];

/// How many scripts are kept that nobody has loaded with SCRIPT LOAD.
const EVALUATED_MAX: usize = 500;

/// What a script or a function has declared about itself; an OR of the constants below. Without a shebang a script declares nothing.
pub type ScriptFlags = u8;

/// It writes nothing.
pub const NO_WRITES: ScriptFlags = 1;
/// It may run when memory is full.
pub const ALLOW_OOM: ScriptFlags = 2;
/// It may run on a replica whose data may be stale.
pub const ALLOW_STALE: ScriptFlags = 4;
/// It does not run in a cluster.
pub const NO_CLUSTER: ScriptFlags = 8;
/// It may reach keys of several slots.
pub const ALLOW_CROSS_SLOT_KEYS: ScriptFlags = 16;

/// The names of the flags, in the order in which FUNCTION LIST prints them.
pub const FLAG_NAMES: [(ScriptFlags, &str); 5] = [
    (NO_WRITES, "no-writes"),
    (ALLOW_OOM, "allow-oom"),
    (ALLOW_STALE, "allow-stale"),
    (NO_CLUSTER, "no-cluster"),
    (ALLOW_CROSS_SLOT_KEYS, "allow-cross-slot-keys"),
];

/// How a script has behaved so far.
#[derive(Debug, Default)]
pub struct Manners {
    /// It has ended in time before, so it may run where its request arrived. Others run on a worker, where they may take their time.
    pub is_quick: AtomicBool,
    /// It has touched keys that it does not declare, so it begins with all shards.
    pub roams: AtomicBool,
}

/// A script of the cache.
#[derive(Debug)]
pub struct Source {
    /// Its hash.
    pub sha: Sha,
    /// Its text, the shebang included. Held by who reads or moves it.
    code: Mutex<Box<[u8]>>,
    /// What its shebang declares; `None` if it has none.
    pub flags: Option<ScriptFlags>,
    /// How it has behaved.
    pub manners: Manners,
    /// Whether it was loaded, not just evaluated: such scripts stay.
    is_loaded: AtomicBool,
    /// When it ran last, in runs.
    used: AtomicU64,
    /// Whether the cache has let go of it.
    is_gone: AtomicBool,
}

impl Source {
    /// A script that nobody has run yet. `is_quick` if it cannot take long.
    pub fn new(sha: Sha, code: &[u8], flags: Option<ScriptFlags>, is_quick: bool) -> Self {
        Self {
            sha,
            code: Mutex::new(code.into()),
            flags,
            manners: Manners { is_quick: AtomicBool::new(is_quick), roams: AtomicBool::default() },
            is_loaded: AtomicBool::default(),
            used: AtomicU64::new(u64::MAX),
            is_gone: AtomicBool::default(),
        }
    }

    /// Its text.
    pub fn code(&self) -> Box<[u8]> {
        self.code.lock().clone()
    }

    /// Moves its text.
    pub(crate) fn relocate(&self, mover: &mut Mover) {
        mover.slice(&mut self.code.lock());
    }

    /// Whether the cache has let go of it.
    pub fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }
}

/// A function of a library.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// What its author says of it.
    pub description: Option<Box<[u8]>>,
    /// What it declares.
    pub flags: ScriptFlags,
    /// How it has behaved.
    pub manners: Manners,
}

/// A library of functions.
#[derive(Debug)]
pub struct Library {
    /// Unique while the process lives.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its text, the shebang included.
    pub code: Box<[u8]>,
    /// Its functions, by name.
    pub functions: BTreeMap<String, Arc<Function>>,
}

/// All libraries, by name.
pub type Libraries = BTreeMap<String, Arc<Library>>;

/// A script that is running and may be for long.
#[derive(Debug)]
pub struct Running {
    /// Hash or function.
    pub name: String,
    /// The request that runs it.
    pub command: Vec<Box<[u8]>>,
    /// Whether it is a script and no function.
    pub is_eval: bool,
    /// The id of the client that runs it.
    pub client: u64,
    /// The thread that can do nothing else meanwhile, where other clients are served too; `None` on a worker.
    pub thread: Option<ThreadId>,
    /// Since when.
    pub since: Instant,
    /// Which shards it holds; `None` for all.
    pub shards: Mutex<Option<Vec<u32>>>,
    /// Whether it has run a command that writes.
    pub has_written: AtomicBool,
    /// Whether it is to end.
    pub is_killed: AtomicBool,
}

impl Running {
    /// How long it has run, in milliseconds.
    pub fn milliseconds(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Everything about scripts that threads share.
#[derive(Debug, Default)]
pub struct Scripts {
    sources: DashMap<Sha, Arc<Source>>,
    /// How many of them may be evicted; held while one is added.
    evaluated: Mutex<usize>,
    /// Runs so far, as far as they matter for who is evicted first.
    runs: AtomicU64,
    /// Scripts evicted so far.
    pub evicted: AtomicU64,
    /// Grows with SCRIPT FLUSH.
    flushes: AtomicU64,
    /// Who is to be woken then.
    awaiting_flush: Mutex<Vec<Waker>>,
    libraries: ArcSwap<Libraries>,
    /// Held by whoever changes the libraries.
    pub library_change: Mutex<()>,
    library_ids: AtomicU64,
    running: Mutex<Vec<Arc<Running>>>,
    /// Bytes that interpreters take.
    pub lua_bytes: AtomicU64,
    /// Whether the server is stopping, and all scripts with it.
    pub is_closing: AtomicBool,
    /// Whether scripts may run what is marked `noscript`; DEBUG SET-DISABLE-DENY-SCRIPTS.
    pub is_unrestricted: AtomicBool,
}

impl Scripts {
    /// A script of the cache.
    pub fn find(&self, sha: &Sha) -> Option<Arc<Source>> {
        self.sources.get(sha).map(|source| Arc::clone(&source))
    }

    /// Enters a script; answers the one that was there already, if there was. `is_loaded` scripts are not evicted.
    pub fn add(&self, source: Source, is_loaded: bool) -> Arc<Source> {
        let mut evaluated = self.evaluated.lock();
        if let Some(known) = self.find(&source.sha) {
            if is_loaded {
                *evaluated -= usize::from(!known.is_loaded.swap(true, Ordering::Relaxed));
            }
            return known;
        }
        if !is_loaded {
            if *evaluated >= EVALUATED_MAX {
                self.evict_oldest();
                *evaluated -= 1;
            }
            *evaluated += 1;
        }
        let source = Arc::new(source);
        source.is_loaded.store(is_loaded, Ordering::Relaxed);
        self.sources.insert(source.sha, Arc::clone(&source));
        self.touch(&source);
        source
    }

    /// Says that a script of the cache is to stay.
    pub fn promote(&self, source: &Source) {
        let mut evaluated = self.evaluated.lock();
        let was_loaded = source.is_loaded.swap(true, Ordering::Relaxed);
        *evaluated -= usize::from(!was_loaded && !source.is_gone());
    }

    fn evict_oldest(&self) {
        let evictable = self.sources.iter().filter(|s| !s.is_loaded.load(Ordering::Relaxed));
        let oldest = evictable.min_by_key(|s| s.used.load(Ordering::Relaxed)).map(|s| s.sha);
        if let Some((_, source)) = oldest.and_then(|sha| self.sources.remove(&sha)) {
            source.is_gone.store(true, Ordering::Release);
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Marks a script as the one that ran last. Costs two loads for whoever is it already, or is never evicted.
    pub fn touch(&self, source: &Source) {
        let runs = self.runs.load(Ordering::Relaxed);
        if source.used.load(Ordering::Relaxed) != runs && !source.is_loaded.load(Ordering::Relaxed)
        {
            source.used.store(self.runs.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// Forgets all scripts.
    pub fn flush(&self) {
        let mut evaluated = self.evaluated.lock();
        for source in &self.sources {
            source.is_gone.store(true, Ordering::Release);
        }
        self.sources.clear();
        *evaluated = 0;
        self.flushes.fetch_add(1, Ordering::Release);
        let awaiting = std::mem::take(&mut *self.awaiting_flush.lock());
        awaiting.into_iter().for_each(Waker::wake);
    }

    /// Has somebody woken by the next SCRIPT FLUSH.
    pub fn wake_at_flush(&self, waker: &Waker) {
        let mut awaiting = self.awaiting_flush.lock();
        if !awaiting.iter().any(|known| known.will_wake(waker)) {
            awaiting.push(waker.clone());
        }
    }

    /// How often SCRIPT FLUSH ran: interpreters from before begin anew.
    pub fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Acquire)
    }

    /// All scripts of the cache.
    pub(crate) fn sources(&self) -> Vec<Arc<Source>> {
        self.sources.iter().map(|source| Arc::clone(&source)).collect()
    }

    /// How many scripts are cached.
    pub fn count(&self) -> usize {
        self.sources.len()
    }

    /// Bytes of cached sources.
    pub fn source_bytes(&self) -> u64 {
        self.sources
            .iter()
            .map(|source| (source.code.lock().len() + size_of::<Source>()) as u64)
            .sum()
    }

    /// Bytes of libraries and what is known of their functions.
    pub fn library_bytes(&self) -> u64 {
        let of_library = |library: &Arc<Library>| {
            let functions = library.functions.len() * size_of::<Function>();
            (size_of::<Library>() + library.code.len() + functions) as u64
        };
        self.libraries.load().values().map(of_library).sum()
    }

    /// All libraries as they are now.
    pub fn libraries(&self) -> Arc<Libraries> {
        self.libraries.load_full()
    }

    /// How many functions there are.
    pub fn functions(&self) -> usize {
        self.libraries.load().values().map(|library| library.functions.len()).sum()
    }

    /// The function of a name, in small letters or large ones, and its library. O(libraries), or O(functions) if it is spelt otherwise
    /// than where it was registered.
    pub fn function(&self, name: &str) -> Option<(Arc<Library>, Arc<Function>)> {
        let libraries = self.libraries.load();
        let exact = |library: &'_ Arc<Library>| {
            library.functions.get(name).map(Arc::clone).map(|f| (Arc::clone(library), f))
        };
        libraries.values().find_map(exact).or_else(|| {
            let all = libraries.values().flat_map(|l| l.functions.values().map(move |f| (l, f)));
            let mut alike = all.filter(|(_, function)| function.name.eq_ignore_ascii_case(name));
            alike.next().map(|(library, function)| (Arc::clone(library), Arc::clone(function)))
        })
    }

    /// Puts other libraries in place. The caller holds `library_change`.
    pub fn set_libraries(&self, libraries: Libraries) {
        self.libraries.store(Arc::new(libraries));
    }

    /// The id of the next library.
    pub fn next_library_id(&self) -> u64 {
        self.library_ids.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Says that a script runs and may for long.
    pub fn enter(&self, running: &Arc<Running>) {
        self.running.lock().push(Arc::clone(running));
    }

    /// Says that it has ended.
    pub fn leave(&self, running: &Arc<Running>) {
        self.running.lock().retain(|other| !Arc::ptr_eq(other, running));
    }

    /// What runs, the longest first.
    pub fn running(&self) -> Vec<Arc<Running>> {
        self.running.lock().clone()
    }

    /// The threads that serve clients and cannot, since a script takes its time there.
    pub fn held_threads(&self) -> Vec<ThreadId> {
        self.running.lock().iter().filter_map(|one| one.thread).collect()
    }

    /// Ends what has run for `milliseconds` or longer, even if it has written.
    pub fn end_overdue(&self, milliseconds: u64) {
        let running = self.running.lock();
        let overdue = running.iter().filter(|one| one.milliseconds() >= milliseconds);
        overdue.for_each(|one| one.is_killed.store(true, Ordering::Release));
    }

    /// The script that has held any shard for `milliseconds` or longer.
    pub fn overdue_anywhere(&self, milliseconds: u64) -> Option<Arc<Running>> {
        let holds = |one: &Running| one.shards.lock().as_ref().is_none_or(|held| !held.is_empty());
        let running = self.running.lock();
        let found = running.iter().find(|one| one.milliseconds() >= milliseconds && holds(one));
        found.map(Arc::clone)
    }

    /// The script that has held a shard for `milliseconds` or longer.
    pub fn overdue(&self, shard: u32, milliseconds: u64) -> Option<Arc<Running>> {
        let holds = |running: &Running| match &*running.shards.lock() {
            None => true,
            Some(shards) => shards.contains(&shard),
        };
        let running = self.running.lock();
        let found = running.iter().find(|one| holds(one) && one.milliseconds() >= milliseconds);
        found.map(Arc::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(n: u32) -> Source {
        let mut sha = [0; 20];
        sha[..4].copy_from_slice(&n.to_be_bytes());
        Source::new(sha, b"return 1", None, true)
    }

    #[test]
    fn evaluated_scripts_are_evicted_and_loaded_ones_stay() {
        let scripts = Scripts::default();
        scripts.add(source(0), true);
        scripts.add(source(1), false);
        scripts.add(source(1), true);
        for n in 2..=EVALUATED_MAX as u32 + 1 {
            scripts.add(source(n), false);
        }
        assert_eq!(scripts.count(), EVALUATED_MAX + 2);
        scripts.touch(&scripts.find(&source(2).sha).expect("evaluated"));
        let third = scripts.find(&source(3).sha).expect("evaluated");
        scripts.add(source(9999), false);
        assert_eq!(scripts.count(), EVALUATED_MAX + 2);
        assert!(third.is_gone());
        for n in [0, 1, 2, 9999] {
            assert!(scripts.find(&source(n).sha).is_some(), "{n}");
        }
        scripts.flush();
        assert_eq!((scripts.count(), scripts.evicted.load(Ordering::Relaxed)), (0, 1));
    }
}
