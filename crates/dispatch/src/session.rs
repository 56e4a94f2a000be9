//! One client's state: the part that its thread owns, and the small part that others reach.
//!
//! Foreign bytes come to a connection only through its mailbox, see `mailbox.rs`.

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use russet_engine::Watch;
use russet_journal::Lsn;
use russet_resp::Protocol;

use crate::blocking::Blocked;
use crate::clock::Still;
use crate::fieldsets::Fieldsets;
use crate::mailbox::{Home, Mailbox};
use crate::meter::Late;
use crate::persistence::Contents;
use crate::promise::Promise;
use crate::pubsub::Subscriptions;
use crate::stats::Counter;
use crate::tracking::{Mode, Reader};
use crate::transaction::{Multi, Watching};

pub use crate::mailbox::Mail;

/// Where a connection comes from and goes to.
#[derive(Clone, Debug)]
pub enum Peer {
    /// TCP: their address, ours.
    Tcp(SocketAddr, SocketAddr),
    /// A Unix socket: its path.
    Unix(String),
    /// No socket: tests and the server itself.
    Internal,
}

impl Peer {
    /// `ip:port` of the other side, as CLIENT LIST prints it.
    pub fn addr(&self) -> String {
        match self {
            Self::Tcp(addr, _) => addr.to_string(),
            Self::Unix(path) => format!("{path}:0"),
            Self::Internal => "internal:0".to_owned(),
        }
    }

    /// `ip:port` of our side.
    pub fn laddr(&self) -> String {
        match self {
            Self::Tcp(_, laddr) => laddr.to_string(),
            _ => self.addr(),
        }
    }

    /// Whether the other side is on this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(addr, _) => addr.ip().to_canonical().is_loopback(),
            Self::Unix(_) | Self::Internal => true,
        }
    }
}

/// Names a client gives itself. Most give none, and those take no room for them.
#[derive(Clone, Debug, Default)]
pub struct Labels(Option<Box<Names>>);

/// See [`Labels`].
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// CLIENT SETNAME.
    pub name: String,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: String,
    /// CLIENT SETINFO LIB-VER.
    pub lib_ver: String,
}

static NO_NAMES: Names =
    Names { name: String::new(), lib_name: String::new(), lib_ver: String::new() };

impl Deref for Labels {
    type Target = Names;

    fn deref(&self) -> &Names {
        self.0.as_deref().unwrap_or(&NO_NAMES)
    }
}

impl DerefMut for Labels {
    fn deref_mut(&mut self) -> &mut Names {
        self.0.get_or_insert_default()
    }
}

/// What others may know of a client and do to it.
#[derive(Debug)]
pub struct Client {
    /// Unique, ascending.
    pub id: u64,
    /// Addresses.
    pub peer: Peer,
    /// File descriptor, for CLIENT LIST.
    pub fd: i32,
    /// When it connected, in milliseconds since 1970.
    pub created_ms: u64,
    /// Names.
    pub labels: Mutex<Labels>,
    /// Selected database.
    pub db: AtomicU32,
    /// When it last spoke, in milliseconds since 1970.
    pub active_ms: AtomicU64,
    /// Id of its last command, or `u32::MAX`.
    pub last_command: AtomicU32,
    /// Commands queued by MULTI, or -1.
    pub queued: AtomicI64,
    /// Bytes of that queue.
    pub queued_bytes: AtomicUsize,
    /// Number of watched keys.
    pub watched: AtomicU32,
    /// Bytes of their names.
    pub watched_bytes: AtomicUsize,
    /// Bytes of HIMPORT's lists of fields.
    pub(crate) fieldset_bytes: AtomicUsize,
    /// Bytes of [`Labels`].
    pub(crate) label_bytes: AtomicUsize,
    /// Bytes of the request that waits for keys.
    pub(crate) blocked_bytes: AtomicUsize,
    /// What was reported of what it takes; see `burden.rs`.
    pub(crate) reported: AtomicUsize,
    /// Bytes in its read buffer that are not parsed yet.
    pub input_bytes: AtomicUsize,
    /// Bytes free in its read buffer.
    pub input_free: AtomicUsize,
    /// Bytes of a greater buffer that what has been received is being moved into.
    pub growing_bytes: AtomicUsize,
    /// Bytes of the request under way that are parsed.
    pub argv_bytes: AtomicUsize,
    /// Since when half a request waits for the rest, in milliseconds since 1970, or 0.
    pub half_since_ms: AtomicU64,
    /// Bytes waiting to be written.
    pub output_bytes: AtomicUsize,
    /// Bytes of those that belong to others too.
    pub output_shared: AtomicUsize,
    /// Bytes read from it.
    pub total_in: Counter,
    /// Bytes written to it.
    pub total_out: Counter,
    /// Commands it has run.
    pub total_commands: AtomicU64,
    /// 2 or 3.
    pub protocol: AtomicU8,
    /// CLIENT NO-EVICT.
    pub no_evict: AtomicBool,
    /// CLIENT NO-TOUCH.
    pub no_touch: AtomicBool,
    /// CLIENT CAPA REDIRECT.
    pub takes_redirects: AtomicBool,
    /// CLIENT TRACKING.
    pub tracking: Mode,
    /// MONITOR.
    pub monitors: AtomicBool,
    /// Whether it closes once its replies are sent.
    pub closing: AtomicBool,
    delivery: AtomicU8,
    /// WATCH's mark, while it watches anything.
    pub watch: Mutex<Option<Arc<Watch>>>,
    /// Whether it has authenticated.
    pub authenticated: AtomicBool,
    /// Since when it has not, in milliseconds since 1970.
    pub stranger_since_ms: AtomicU64,
    /// What it waits for.
    pub blocked: Mutex<Option<Arc<Blocked>>>,
    /// Whether it waits for a reply that somebody else makes, or for a shard.
    pub awaits: AtomicBool,
    /// Whether it waits because of CLIENT PAUSE.
    pub paused: AtomicBool,
    /// How many channels, patterns and shard channels it is subscribed to, in this order.
    pub subscribed: [AtomicUsize; 3],
    /// Bytes of their names, on both sides.
    pub subscribed_bytes: AtomicUsize,
    /// The thread that serves it; none where there is no socket.
    pub home: OnceLock<Arc<Home>>,
    pub(crate) mailbox: Mailbox,
}

impl Client {
    /// A client that has just connected.
    pub fn new(id: u64, peer: Peer, fd: i32, now_ms: u64) -> Self {
        Self {
            id,
            peer,
            fd,
            created_ms: now_ms,
            labels: Mutex::default(),
            db: AtomicU32::new(0),
            active_ms: AtomicU64::new(now_ms),
            last_command: AtomicU32::new(u32::MAX),
            queued: AtomicI64::new(-1),
            queued_bytes: AtomicUsize::new(0),
            watched: AtomicU32::new(0),
            watched_bytes: AtomicUsize::new(0),
            fieldset_bytes: AtomicUsize::new(0),
            label_bytes: AtomicUsize::new(0),
            blocked_bytes: AtomicUsize::new(0),
            reported: AtomicUsize::new(0),
            input_bytes: AtomicUsize::new(0),
            input_free: AtomicUsize::new(0),
            growing_bytes: AtomicUsize::new(0),
            argv_bytes: AtomicUsize::new(0),
            half_since_ms: AtomicU64::new(0),
            output_bytes: AtomicUsize::new(0),
            output_shared: AtomicUsize::new(0),
            total_in: Counter::new(),
            total_out: Counter::new(),
            total_commands: AtomicU64::new(0),
            protocol: AtomicU8::new(2),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            takes_redirects: AtomicBool::new(false),
            tracking: Mode::default(),
            monitors: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            delivery: AtomicU8::default(),
            watch: Mutex::default(),
            authenticated: AtomicBool::new(false),
            stranger_since_ms: AtomicU64::new(now_ms),
            blocked: Mutex::new(None),
            awaits: AtomicBool::default(),
            paused: AtomicBool::new(false),
            subscribed: Default::default(),
            subscribed_bytes: AtomicUsize::new(0),
            home: OnceLock::new(),
            mailbox: Mailbox::default(),
        }
    }
}

impl Client {
    /// Whether it is subscribed to anything.
    pub fn is_subscriber(&self) -> bool {
        self.subscribed.iter().any(|count| count.load(Ordering::Relaxed) > 0)
    }

    /// How far the snapshot is that it has asked for.
    pub fn delivery(&self) -> Delivery {
        match self.delivery.load(Ordering::Relaxed) {
            0 => Delivery::None,
            1 => Delivery::Awaited,
            _ => Delivery::Sent,
        }
    }

    /// Says how far it is.
    pub fn set_delivery(&self, delivery: Delivery) {
        self.delivery.store(delivery as u8, Ordering::Relaxed);
    }
}

/// How far a snapshot is that a client has asked for by SYNC: in Redis' view, such a client is a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It has not.
    None,
    /// It is being made.
    Awaited,
    /// It is being sent.
    Sent,
}

/// What REPLCONF has said: what kind of snapshot SYNC is to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replica {
    /// It wants a snapshot and nothing behind it.
    pub wants_snapshot_only: bool,
    /// It knows of snapshots that end with a mark.
    pub knows_marks: bool,
    /// What is to be in it.
    pub contents: Contents,
}

/// What sets a session apart from most others, one bit each: zero in the common case, which is all that the hot path asks.
pub mod mode {
    /// It has not authenticated.
    pub const STRANGER: u8 = 1;
    /// It is subscribed to something.
    pub const SUBSCRIBER: u8 = 2;
    /// It is subscribed and speaks RESP2: few commands make sense.
    pub const RESTRICTED: u8 = 4;
    /// The command under way has replied with pushes, which CLIENT REPLY does not silence.
    pub const PUSHED: u8 = 8;
    /// The connection closes after this reply.
    pub const CLOSING: u8 = 16;
    /// What it reads is remembered; see `tracking.rs`.
    pub const READER: u8 = 32;
    /// CLIENT CACHING has said so, or the contrary, for the next command.
    pub const CACHING: u8 = 64;
    /// It tracks, and hears of changes.
    pub const TOLD: u8 = 128;

    /// Those that may stand between a request and its execution. The others are about what follows.
    pub const JUDGED: u8 = STRANGER | RESTRICTED;
}

/// What CLIENT REPLY has set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replies {
    /// Every command is answered.
    #[default]
    On,
    /// None is.
    Off,
    /// The next one is not.
    SkipNext,
    /// This one is not; then On.
    Skip,
}

/// What few sessions have, and those seldom.
#[derive(Debug, Default)]
struct Seldom {
    /// HIMPORT's lists of fields.
    fieldsets: Option<Box<Fieldsets>>,
    /// Memory that is promised for the request under way.
    promise: Option<Promise>,
    /// What REPLCONF has said.
    replica: Replica,
}

/// What a connection's own thread knows of its client.
#[derive(Debug)]
pub struct Session {
    /// The part that others reach.
    pub client: Arc<Client>,
    /// The client's id.
    pub id: u64,
    /// Selected database.
    pub db: u32,
    /// What it speaks.
    pub protocol: Protocol,
    /// Whether it has given the password, or none is needed.
    pub authenticated: bool,
    /// Wrong passwords in a row.
    pub auth_failures: u32,
    /// MULTI's queue.
    pub multi: Option<Box<Multi>>,
    /// WATCH's keys.
    pub watching: Option<Box<Watching>>,
    /// What few clients have.
    seldom: Option<Box<Seldom>>,
    /// CLIENT REPLY.
    pub replies: Replies,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// Blocking commands answer at once, as inside a transaction.
    pub deny_blocking: bool,
    /// Those who monitor have seen the request under way, a script, before what it runs. It stays so when it begins anew.
    pub is_shown: bool,
    /// Its commands are those of a script.
    pub is_script: bool,
    /// What TIME answers, inside a transaction or a script.
    pub still: Option<Still>,
    /// What sets it apart: bits of [`mode`].
    pub modes: u8,
    /// What it is subscribed to.
    pub subscriptions: Option<Box<Subscriptions>>,
    /// What it tracks by, once it has tracked.
    pub(crate) reader: Option<Box<Reader>>,
    /// Commands that it has run.
    pub commands: u64,
    /// What has run and is to be accounted for when its reply comes.
    pub late: Option<Box<Late>>,
    /// A whole number of retries of the request under way, after Busy.
    pub retries: u32,
    /// The journal's position behind everything that the replies so far show, reads of others' writes included. They may leave when the
    /// policy's watermark has reached it. Kept only while somebody follows the journal.
    pub stamp: Lsn,
}

impl Session {
    /// The session of a client that has just connected.
    pub fn new(client: Arc<Client>, authenticated: bool) -> Self {
        Self {
            id: client.id,
            client,
            db: 0,
            protocol: Protocol::Resp2,
            authenticated,
            auth_failures: 0,
            multi: None,
            watching: None,
            seldom: None,
            replies: Replies::On,
            no_touch: false,
            deny_blocking: false,
            is_shown: false,
            is_script: false,
            still: None,
            modes: if authenticated { 0 } else { mode::STRANGER },
            subscriptions: None,
            reader: None,
            commands: 0,
            late: None,
            retries: 0,
            stamp: 0,
        }
    }

    /// No transaction is under way any more, however it ended.
    pub(crate) fn leave_unit(&mut self) {
        self.deny_blocking = false;
        self.still = None;
    }

    /// Counts a command that was blocked and has now been answered.
    pub fn count_answered(&mut self) {
        self.commands += 1;
        self.client.total_commands.store(self.commands, Ordering::Relaxed);
    }

    /// Whether CLIENT REPLY silences the command under way.
    pub fn is_silent(&self) -> bool {
        matches!(self.replies, Replies::Off | Replies::Skip)
    }

    /// Says whether the reply that has come is to be dropped, as CLIENT REPLY has ordered. SKIP is about one reply, and over with that.
    pub fn drops_reply(&mut self) -> bool {
        let is_silent = self.is_silent();
        if self.replies == Replies::Skip {
            self.replies = Replies::On;
        }
        is_silent
    }

    /// Whether the client holds memory beside its buffers, as keys that it watches: more with each command, perhaps.
    pub fn is_laden(&self) -> bool {
        self.multi.is_some()
            || self.watching.is_some()
            || self.subscriptions.is_some()
            || self.seldom.as_ref().is_some_and(|it| it.fieldsets.is_some())
            || self.reader().is_some_and(|reader| !reader.prefixes.is_empty())
    }

    /// Memory that is promised for the request under way.
    pub(crate) fn promise(&self) -> Option<&Promise> {
        self.seldom.as_ref()?.promise.as_ref()
    }

    /// Has other memory promised for it, or none.
    pub(crate) fn set_promise(&mut self, promise: Option<Promise>) {
        if promise.is_some() || self.seldom.is_some() {
            self.seldom.get_or_insert_default().promise = promise;
        }
    }

    /// What REPLCONF has said.
    pub fn replica(&self) -> Replica {
        self.seldom.as_ref().map(|seldom| seldom.replica).unwrap_or_default()
    }

    /// REPLCONF says more.
    pub fn replica_mut(&mut self) -> &mut Replica {
        &mut self.seldom.get_or_insert_default().replica
    }

    /// HIMPORT's list of this name.
    pub fn fieldset(&self, name: &[u8]) -> Option<&[Box<[u8]>]> {
        self.seldom.as_ref()?.fieldsets.as_ref()?.get(name)
    }

    /// Changes HIMPORT's lists of fields; they count as memory that the client takes.
    pub fn change_fieldsets<R>(
        &mut self,
        change: impl FnOnce(&mut Option<Box<Fieldsets>>) -> R,
    ) -> R {
        let fieldsets = &mut self.seldom.get_or_insert_default().fieldsets;
        let result = change(fieldsets);
        let bytes = fieldsets.as_ref().map_or(0, |sets| sets.bytes());
        self.client.fieldset_bytes.store(bytes, Ordering::Relaxed);
        result
    }

    /// Selects a database.
    pub fn select(&mut self, db: u32) {
        self.db = db;
        self.client.db.store(db, Ordering::Relaxed);
    }

    /// Chooses a protocol.
    pub fn speak(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        let version = if protocol == Protocol::Resp3 { 3 } else { 2 };
        self.client.protocol.store(version, Ordering::Relaxed);
        self.judge_restriction();
    }

    /// Switches bits of [`mode`] on or off.
    pub const fn set_mode(&mut self, bits: u8, on: bool) {
        if on {
            self.modes |= bits;
        } else {
            self.modes &= !bits;
        }
    }

    /// Whether one of these bits of [`mode`] is set.
    #[inline]
    pub const fn is_in_mode(&self, bits: u8) -> bool {
        self.modes & bits != 0
    }

    /// A subscriber that speaks RESP2 could not tell replies from messages, and is restricted to a few commands.
    pub(crate) fn judge_restriction(&mut self) {
        let is_restricted = self.is_in_mode(mode::SUBSCRIBER) && self.protocol == Protocol::Resp2;
        self.set_mode(mode::RESTRICTED, is_restricted);
    }

    /// The connection closes after this reply.
    pub const fn close(&mut self) {
        self.set_mode(mode::CLOSING, true);
    }

    /// Says whether the client may do more than authenticate.
    pub fn set_authenticated(&mut self, authenticated: bool) {
        self.authenticated = authenticated;
        self.set_mode(mode::STRANGER, !authenticated);
        self.client.authenticated.store(authenticated, Ordering::Relaxed);
    }
}
