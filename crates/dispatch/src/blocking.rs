//! Who waits for which key, and how they are served.
//!
//! A blocking command that finds nothing is registered on all its keys under all their locks. Whoever changes such a key serves the
//! waiters at the end of its unit, before its own locks fall, by running their commands again; so waiters are served in the order they
//! came, and no element is ever between two owners.
//!
//! A waiter is claimed by one compare-and-swap: by the server of its key, by its timeout, by CLIENT UNBLOCK, by a kill or by its
//! disconnection. Who loses does nothing. Registrations that were not used go when somebody passes by.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use russet_engine::{NameBuf, Spot, Type, Waiter};
use russet_resp::{Output, Protocol};

use crate::args::{Key, OwnedRequest};
use crate::claim::Claim;
use crate::error::Error;
use crate::session::Client;
use crate::table::Row;

/// What a blocking handler asks for.
#[derive(Debug)]
pub struct Wait {
    /// The keys it waits for.
    pub keys: Vec<(Box<[u8]>, Spot)>,
    /// Where it will put what it gets.
    pub target: Option<Spot>,
    /// What a key must hold to be of use.
    pub kind: Type,
    /// How long, in milliseconds; zero is for ever.
    pub timeout_ms: u64,
    /// The reply when time is up.
    pub on_timeout: OnTimeout,
    /// When there may be something though nobody changes a key, in milliseconds since 1970: its command runs again then.
    pub again_ms: Option<u64>,
    /// Whether its command runs again also when a key is gone or holds something else, to say so.
    pub on_loss: bool,
    /// What runs again, where the client's own words would mean something else by then.
    pub request: Option<OwnedRequest>,
}

/// What a command gets that would wait where it may not, as in MULTI. Who has waited until the time is up always gets a null array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTimeout {
    /// A null array.
    NullArray,
    /// A null.
    Null,
}

impl Wait {
    /// Waits for keys that hold a `kind`.
    pub fn new<'a>(
        keys: impl Iterator<Item = Key<'a>>,
        kind: Type,
        timeout_ms: u64,
        on_timeout: OnTimeout,
    ) -> Self {
        let keys = keys.map(|key| (key.bytes.into(), key.spot)).collect();
        Self {
            keys,
            target: None,
            kind,
            timeout_ms,
            on_timeout,
            again_ms: None,
            on_loss: false,
            request: None,
        }
    }

    /// Says that the client is to be told when a key is gone or holds something else.
    #[must_use]
    pub fn or_loss(mut self) -> Self {
        self.on_loss = true;
        self
    }

    /// Says when there may be something by the mere passing of time.
    #[must_use]
    pub const fn again_at(mut self, again_ms: Option<u64>) -> Self {
        self.again_ms = again_ms;
        self
    }

    /// Says what runs again instead of the client's own words, which take their keys at the same places.
    #[must_use]
    pub fn running(mut self, request: OwnedRequest) -> Self {
        self.request = Some(request);
        self
    }

    /// Says where the element will go.
    #[must_use]
    pub fn moving_to(mut self, target: Key<'_>) -> Self {
        self.target = Some(target.spot);
        self
    }
}

/// A client that waits for keys.
#[derive(Debug)]
pub struct Blocked {
    pub(crate) claim: Claim,
    /// Who.
    pub client: Arc<Client>,
    /// In which database.
    pub db: u32,
    /// For what.
    pub wait: Wait,
    /// What [`Wait::again_ms`] is by now; 0 for none.
    pub(crate) again_ms: AtomicU64,
    /// The request, to be run again.
    pub request: OwnedRequest,
    /// Its row.
    pub row: &'static Row,
    /// How to write to the client.
    pub protocol: Protocol,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// The number that what it reads is remembered by, if it is.
    pub reads_as: Option<u32>,
    /// CLIENT REPLY has switched its reply off.
    pub(crate) is_silent: bool,
    /// What its command has taken so far without the waiting, in nanoseconds.
    pub spent_ns: AtomicU64,
}

impl Blocked {
    /// A waiter that nobody has claimed.
    pub const fn new(
        client: Arc<Client>,
        db: u32,
        wait: Wait,
        request: OwnedRequest,
        row: &'static Row,
        protocol: Protocol,
        no_touch: bool,
    ) -> Self {
        let again_ms = AtomicU64::new(match wait.again_ms {
            Some(at) => at,
            None => 0,
        });
        let (claim, reads_as, is_silent, spent_ns) = (Claim::new(), None, false, AtomicU64::new(0));
        Self {
            claim,
            client,
            db,
            wait,
            again_ms,
            request,
            row,
            protocol,
            no_touch,
            reads_as,
            is_silent,
            spent_ns,
        }
    }

    /// When its command is to run again if nothing has happened by then, in milliseconds since 1970.
    pub fn again_ms(&self) -> Option<u64> {
        Some(self.again_ms.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }

    /// Whether its client has switched the reply off.
    pub const fn is_silent(&self) -> bool {
        self.is_silent
    }

    /// What its client is to get of a reply: nothing if that is switched off.
    pub fn audible(&self, reply: Output) -> Bytes {
        if self.is_silent { Bytes::new() } else { reply.into_bytes() }
    }

    /// Claims the waiter for good: true for exactly one caller; see [`Claim`].
    pub fn claim(&self) -> bool {
        self.claim.claim()
    }

    /// The names it waits for, each with its shard.
    pub fn names(&self) -> impl Iterator<Item = (NameBuf, u32)> + '_ {
        self.wait
            .keys
            .iter()
            .map(|(key, spot)| (NameBuf { db: self.db, key: key.clone() }, spot.shard))
    }
}

impl Waiter for Blocked {
    fn is_open(&self) -> bool {
        self.claim.is_open()
    }

    fn target(&self) -> Option<u32> {
        self.wait.target.map(|spot| spot.shard)
    }

    fn heeds_loss(&self) -> bool {
        self.wait.on_loss
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A timeout argument in seconds, as milliseconds: what is less than one of them below zero is no timeout.
///
/// # Errors
///
/// It is negative, or its end lies beyond the end of time; `now` is in milliseconds since 1970.
pub fn timeout_ms(seconds: f64, now: u64) -> Result<u64, Error> {
    let milliseconds = (seconds * 1000.0).ceil();
    if milliseconds < 0.0 {
        return Err(Error::TimeoutNegative);
    }
    if milliseconds as u64 > (i64::MAX as u64).saturating_sub(now) {
        return Err(Error::TimeoutOutOfRange);
    }
    Ok(milliseconds as u64)
}
