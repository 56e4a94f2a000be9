//! What is known of saving and loading: figures for INFO, and the desk where wishes are left for whoever saves.
//!
//! One thread of the server saves. Wishes are carried out one after the other; so there is one snapshot at a time.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};
use russet_journal::Lsn;

/// Told how a wish came out: fine, or why not.
pub type Answer = Box<dyn FnOnce(Result<(), String>) + Send>;

/// What the saving thread can be asked for.
pub enum Wish {
    /// A snapshot. Whoever wishes it has set [`Persistence::begin_saving`], and hears of a failure or has it noted for others.
    Save(Option<Answer>),
    /// The same, by [`Persistence::save_anew`]; a failure is noted for others.
    SaveAnew(Option<Answer>),
    /// The data written to a file and read back, while nobody else sees it: DEBUG RELOAD.
    Reload(Reload, Answer),
    /// A new base of the append-only file, as a snapshot or as commands. Whoever wishes it has called
    /// [`crate::aof::Aof::begin_rewriting`].
    Rewrite {
        /// Whether it is to be a snapshot.
        is_snapshot: bool,
    },
    /// The append-only file read back, while nobody else sees it: DEBUG LOADAOF.
    LoadAof(Answer),
    /// A snapshot for a client, with this in it.
    Send(Contents, Box<dyn Recipient>),
    /// Nothing more: the thread ends.
    End,
}

impl fmt::Debug for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Save(_) => "Save",
            Self::SaveAnew(_) => "SaveAnew",
            Self::Reload(..) => "Reload",
            Self::Rewrite { .. } => "Rewrite",
            Self::LoadAof(_) => "LoadAof",
            Self::Send(..) => "Send",
            Self::End => "End",
        })
    }
}

/// What a snapshot for a client has in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contents {
    /// All keys and all libraries of functions.
    #[default]
    All,
    /// Libraries alone.
    Functions,
    /// Neither: what a file says of itself.
    Nothing,
}

/// A snapshot for a client. What it takes of the disk is free again when this is dropped.
pub struct Parcel {
    /// Its bytes.
    pub file: Box<dyn io::Read + Send>,
    /// How many they are.
    pub len: u64,
    /// The journal's position at the moment that it tells of.
    pub lsn: Lsn,
}

impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parcel({} bytes, {})", self.len, self.lsn)
    }
}

/// Who waits for a [`Parcel`]. Being dropped tells it that there is none.
pub trait Recipient: Send {
    /// Whether nobody waits any more.
    fn is_gone(&self) -> bool;

    /// Takes it.
    fn take(self: Box<Self>, parcel: Parcel);
}

/// What DEBUG RELOAD may leave out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reload {
    /// Reads the file that is there.
    pub no_save: bool,
    /// Keeps what is in memory.
    pub no_flush: bool,
    /// A key that is there already is replaced, and no error.
    pub merges: bool,
}

/// What saving and loading have come to.
#[derive(Debug)]
pub struct Persistence {
    wishes: Mutex<VecDeque<Wish>>,
    called: Condvar,
    is_saving: AtomicBool,
    is_cancelled: AtomicBool,
    /// Whether a client waits for the snapshot.
    is_awaited: AtomicBool,
    is_packing: AtomicBool,
    /// No more snapshots for clients, nor the one under way: the server ends.
    pub is_leaving: AtomicBool,
    /// How many clients have asked for a snapshot.
    pub asked: AtomicU64,
    /// Bytes of snapshots that clients were sent.
    pub sent_bytes: AtomicU64,
    /// When the last snapshot that succeeded was finished, in seconds since 1970; at first, when the server started.
    pub saved_s: AtomicU64,
    /// When a snapshot was tried last, in seconds since 1970.
    pub tried_s: AtomicU64,
    /// Whether the last one succeeded.
    pub is_ok: AtomicBool,
    /// How many seconds the last one took, or -1.
    pub took_s: AtomicI64,
    /// When the one under way began, in milliseconds since 1970, or 0.
    pub began_ms: AtomicU64,
    /// Keys that it has written.
    pub keys_done: AtomicU64,
    /// Keys that it has to write.
    pub keys_total: AtomicU64,
    /// Snapshots that succeeded.
    pub saves: AtomicU64,
    /// Snapshots, and rewrites of the append-only file, that have begun.
    pub begun: AtomicU64,
    /// All changes to data up to the moment that the last snapshot tells of.
    pub changes_saved: AtomicU64,
    /// For how many microseconds all shards were held at the last snapshot's moment.
    pub stopped_us: AtomicU64,
    /// A signal wants the server to end, and nothing has been done for that yet: SHUTDOWN ABORT can still take it back.
    pub is_ending: AtomicBool,
    /// Whether dumps and snapshots are taken whatever their checksums say; DEBUG SET-SKIP-CHECKSUM-VALIDATION.
    pub skips_checksums: AtomicBool,
    /// Loading, under way or the last one.
    pub loading: Loading,
}

/// How far loading has come.
#[derive(Debug, Default)]
pub struct Loading {
    /// When it began, in seconds since 1970.
    pub began_s: AtomicU64,
    /// Bytes of the file.
    pub total_bytes: AtomicU64,
    /// Bytes that have been read.
    pub loaded_bytes: AtomicU64,
    /// Bytes of memory that whoever wrote the file had in use, if it says.
    pub used_memory: AtomicU64,
    /// Keys that were put in.
    pub keys: AtomicU64,
    /// Keys that had ended.
    pub expired: AtomicU64,
    /// Keys that had nothing in them.
    pub empty: AtomicU64,
    /// It is to be given up: the server ends.
    pub is_cancelled: AtomicBool,
}

impl Loading {
    /// Loading of a file of so many bytes begins.
    pub fn begin(&self, now_ms: u64, bytes: u64) {
        self.began_s.store(now_ms / 1000, Ordering::Relaxed);
        self.total_bytes.store(bytes, Ordering::Relaxed);
        let counts =
            [&self.loaded_bytes, &self.used_memory, &self.keys, &self.expired, &self.empty];
        for count in counts {
            count.store(0, Ordering::Relaxed);
        }
    }
}

impl Persistence {
    /// Of a server that started at `now_ms`.
    pub fn new(now_ms: u64) -> Self {
        Self {
            wishes: Mutex::default(),
            called: Condvar::new(),
            is_saving: AtomicBool::new(false),
            is_cancelled: AtomicBool::new(false),
            is_awaited: AtomicBool::new(false),
            is_packing: AtomicBool::new(false),
            is_leaving: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            saved_s: AtomicU64::new(now_ms / 1000),
            tried_s: AtomicU64::new(0),
            is_ok: AtomicBool::new(true),
            took_s: AtomicI64::new(-1),
            began_ms: AtomicU64::new(0),
            keys_done: AtomicU64::new(0),
            keys_total: AtomicU64::new(0),
            saves: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            changes_saved: AtomicU64::new(0),
            stopped_us: AtomicU64::new(0),
            is_ending: AtomicBool::new(false),
            skips_checksums: AtomicBool::new(false),
            loading: Loading::default(),
        }
    }

    /// Leaves a wish.
    pub fn ask(&self, wish: Wish) {
        self.wishes.lock().push_back(wish);
        self.called.notify_one();
    }

    /// The next wish, waited for. For the saving thread.
    pub fn next_wish(&self) -> Wish {
        let mut wishes = self.wishes.lock();
        self.called.wait_while(&mut wishes, |wishes| wishes.is_empty());
        wishes.pop_front().expect("waited for")
    }

    /// Those who have wished a snapshot with the same in it meanwhile, so that one does for all.
    pub fn take_recipients(&self, of: Contents) -> Vec<Box<dyn Recipient>> {
        let mut wishes = self.wishes.lock();
        let mut recipients = Vec::new();
        for wish in std::mem::take(&mut *wishes) {
            match wish {
                Wish::Send(contents, recipient) if contents == of => recipients.push(recipient),
                wish => wishes.push_back(wish),
            }
        }
        recipients
    }

    /// Whether a snapshot for the disk is under way or about to be.
    pub fn is_saving(&self) -> bool {
        self.is_saving.load(Ordering::Acquire)
    }

    /// Whether a snapshot is under way or about to be, for the disk or for clients.
    pub fn is_busy(&self) -> bool {
        self.is_saving() || self.is_packing()
    }

    /// Says that a snapshot is wished, by a client that waits for it or in the background; `false` if one is under way.
    pub fn begin_saving(&self, is_awaited: bool) -> bool {
        let begins = !self.is_saving.swap(true, Ordering::AcqRel);
        if begins {
            self.is_cancelled.store(false, Ordering::Release);
            self.is_awaited.store(is_awaited, Ordering::Release);
        }
        begins
    }

    /// Asks for a snapshot of what is there now.
    pub fn save_anew(&self, answer: Option<Answer>) {
        self.ask(Wish::SaveAnew(answer));
    }

    /// Ends a snapshot in the background, under way or about to be, without a result: it would tell of what is gone.
    pub fn give_up(&self) {
        if self.is_saving() && !self.is_awaited.load(Ordering::Acquire) {
            self.cancel();
        }
    }

    /// The snapshot is over.
    pub fn end_saving(&self) {
        self.began_ms.store(0, Ordering::Relaxed);
        self.is_saving.store(false, Ordering::Release);
    }

    /// A snapshot for clients begins.
    pub fn begin_packing(&self, now_ms: u64) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.began_ms.store(now_ms, Ordering::Relaxed);
        self.is_packing.store(true, Ordering::Release);
    }

    /// It is over.
    pub fn end_packing(&self) {
        self.began_ms.store(0, Ordering::Relaxed);
        self.is_packing.store(false, Ordering::Release);
    }

    /// Whether a snapshot for clients is under way.
    pub fn is_packing(&self) -> bool {
        self.is_packing.load(Ordering::Acquire)
    }

    /// Counts anew what clients were sent.
    pub fn reset(&self) {
        self.asked.store(0, Ordering::Relaxed);
        self.sent_bytes.store(0, Ordering::Relaxed);
    }

    /// Ends a snapshot under way without a result.
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Release);
    }

    /// Whether the snapshot under way is to be given up.
    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Acquire)
    }

    /// Changes since the moment of the last snapshot, of `all` that there were.
    pub fn changes_unsaved(&self, all: u64) -> u64 {
        all.saturating_sub(self.changes_saved.load(Ordering::Relaxed))
    }
}
