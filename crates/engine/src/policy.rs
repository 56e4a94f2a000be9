//! What an eviction policy is: what it keeps of an entry, what it is told, and what it answers. One file each.
//!
//! A policy has the 24 bits of access in the header of an entry, and nothing else of it. It is told when an entry comes ([`first`],
//! [`enter`]), is read ([`hit`]) or changed ([`update`]), and is asked how soon it should go ([`rank`]). Which policy holds is not
//! written down in entries: when it changes, the bits of entries that are there mean little until these are used again, as in Redis.
//! So a use costs a store into a line that is in the cache already, whatever the policy, and none where the bits stay as they are. All but
//! four of the bits are seen in the table (see [`Entry::glance`]), and that is what a rank goes by.
//!
//! Most orders are found by looking at some entries. A policy that wants to know who came last, or who was evicted lately, says so in
//! its [`Plan`]; then a [`Queue`] is kept beside the entries of each shard, from when memory is full until the policy changes.
//!
//! [`first`]: Policy::first
//! [`enter`]: Policy::enter
//! [`hit`]: Policy::hit
//! [`update`]: Policy::update
//! [`rank`]: Policy::rank
//! [`Queue`]: crate::eviction::queue::Queue

use crate::entry::GLANCE_BITS;

/// The 24 bits of an entry, and how they change. All of it is arithmetic: no clock, no allocation.
pub trait Policy: Copy {
    /// Where who is to go is looked for.
    const PLAN: Plan = Plan::SAMPLES;

    /// The bits of an entry that is new.
    fn first(self) -> u32;

    /// The bits of an entry that had these and is read. `dice` gives a random number; it is asked only where one is needed.
    fn hit(self, bits: u32, dice: impl FnOnce() -> u64) -> u32;

    /// The bits of an entry that had these and is changed.
    #[inline]
    fn update(self, bits: u32, dice: impl FnOnce() -> u64) -> u32 {
        self.hit(bits, dice)
    }

    /// How soon an entry should go of which a [glance](crate::Entry::glance) showed this: whoever has the highest goes first. Where who ends
    /// first goes nobody asks.
    fn rank(self, _glance: u32) -> u32 {
        0
    }

    /// The bits of a new entry when a queue is kept, and what is remembered of its key. Bits with [`NEWEST`] stand in the queue.
    fn enter(bits: u32, _remembered: Option<u8>) -> u32 {
        bits
    }

    /// The oldest of the newest leaves them.
    fn leave(self, bits: u32) -> Verdict {
        Verdict::Stay(bits)
    }

    /// The hand that goes round has come to an entry that is not among the newest.
    fn pass(self, bits: u32) -> Verdict {
        Verdict::Stay(bits)
    }

    /// What is to be remembered of an entry that is evicted, of four bits.
    fn memory(self, _bits: u32) -> Option<u8> {
        None
    }

    /// The bits of an entry that was last used so many seconds ago, where that is what they say.
    fn idle_for(self, _seconds: u64) -> Option<u32> {
        None
    }

    /// For how many seconds an entry has not been used, where its bits say that.
    fn idle_seconds(self, _bits: u32) -> Option<u32> {
        None
    }

    /// The bits of an entry with this count of uses, where there is one.
    fn counted(self, _count: u8) -> Option<u32> {
        None
    }

    /// The count of an entry as it is by now, where it has one.
    fn count(self, _bits: u32) -> Option<u32> {
        None
    }
}

/// Among the bits of an entry, for policies with a queue: it is one of the newest, and its turn has not come.
pub const NEWEST: u32 = 1 << 19;

/// The bits that a [glance](Entry::glance) shows. Policies with a queue have no others.
pub const GLANCE_MASK: u32 = (1 << GLANCE_BITS) - 1;

const _: () = assert!(NEWEST <= GLANCE_MASK);

/// What becomes of an entry whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays, with these bits.
    Stay(u32),
    /// It may go, with these bits, and as soon as this says.
    Go(u32, u64),
}

/// Where who is to go is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Among entries that have been there for a while.
    pub source: Source,
    /// Among those that came last.
    pub newest: Newest,
    /// Whether keys that were evicted are remembered.
    pub remembers: bool,
    /// Whether candidates are kept until somebody worse has come: who was seen before and was not used since is more likely to be of no use,
    /// which ranks do not tell where they go by counts. Where they go by ends, who ends soon stays to be the next.
    pub is_patient: bool,
}

impl Plan {
    /// A few entries are looked at; nothing is kept beside them.
    pub const SAMPLES: Self = Self {
        source: Source::Samples,
        newest: Newest::Unknown,
        remembers: false,
        is_patient: false,
    };

    /// Whether something is kept beside the entries.
    pub const fn has_queue(&self) -> bool {
        !matches!(self.newest, Newest::Unknown)
    }
}

/// Who is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// As many as are configured, at random.
    Samples,
    /// Whoever is met first.
    Anybody,
    /// Whoever ends first.
    Soonest,
    /// One after the other, as a hand goes round.
    Hand,
}

/// What is known of those who came last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newest {
    /// Nothing.
    Unknown,
    /// In which order they came, of the newest hundredths: whoever is older leaves them.
    Percent(usize),
    /// In which order they came since the hand began its round; it goes on with them at the end of it.
    Round,
}

pub mod change;
pub mod deadline;
pub mod frequency;
pub mod random;
pub mod recency;
pub mod s3fifo;
pub mod sieve;
pub mod tinylfu;
