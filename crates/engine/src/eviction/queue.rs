//! What some policies keep beside the entries of a database: who came last, whom they remember, and how far their hand has come.
//!
//! A newcomer is known by 32 bits of its hash, which is what the table needs to find it: four bytes for each of the newest, a tenth of
//! the keys as a rule. Whether it is still there, and still among the newest, its entry says.

use std::collections::VecDeque;

use crate::access::{Access, Kind};
use crate::entry::Entry;
use crate::eviction::Sight;
use crate::eviction::ghosts::Ghosts;
use crate::policy::{NEWEST, Newest, Source, Verdict};
use crate::relocate::Mover;
use crate::size_class::usable;
use crate::table::{self, Table};

/// How many leave the newest, and how many buckets the hand passes, one after the other.
const STEPS: usize = 8;

/// And how often that is tried before another shard is asked.
const ROUNDS: usize = 4;

/// Buckets that are looked through at a time after another policy.
const SETTLED: usize = 256;

/// So many more than the newest may be are kept in order, until somebody takes one out.
const EXCESS: usize = 6;

/// Beside the entries of one database.
#[derive(Debug)]
pub struct Queue {
    kind: Kind,
    newest: VecDeque<u32>,
    ghosts: Ghosts,
    /// Where in the table the hand stands.
    cursor: u64,
    /// Whether it has passed the table and goes on along the newest.
    is_at_newest: bool,
    /// How far entries have been looked through for bits that mean something else under another policy; nothing when all have been.
    unsettled: Option<u64>,
}

/// What a hash is known by among the newest: the bits that lead to a bucket of the table, and those that stand in it.
const fn short_of(hash: u64) -> u32 {
    (hash as u32 & 0x00ff_ffff) | ((hash >> table::TAG_AT) as u32) << 24
}

/// A hash that leads to the same place.
const fn place_of(short: u32) -> u64 {
    table::place_of((short & 0x00ff_ffff) as usize, (short >> 24) as u64)
}

impl Queue {
    /// An empty queue of a policy.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            newest: VecDeque::new(),
            ghosts: Ghosts::default(),
            cursor: 0,
            is_at_newest: false,
            unsettled: Some(0),
        }
    }

    /// Whose queue this is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Bytes on the heap, its own as well.
    pub fn heap_bytes(&self) -> usize {
        let newest = match self.newest.capacity() {
            0 => 0,
            capacity => usable(capacity * size_of::<u32>()),
        };
        usable(size_of::<Self>()) + newest + self.ghosts.heap_bytes()
    }

    /// Moves what it owns.
    pub(crate) fn relocate(&mut self, mover: &mut Mover) {
        mover.deque(&mut self.newest);
        self.ghosts.relocate(mover);
    }

    /// An entry is about to come into a table.
    pub fn enter(&mut self, hash: u64, entry: &mut Entry, table: &mut Table) {
        // As a rule all of them are looked through before the first that is new, and then it keeps its turn.
        self.settle(table);
        let remembered = self.ghosts.recall(hash);
        let bits = self.kind.enter(entry.access(), remembered);
        entry.set_access(bits);
        if bits & NEWEST == 0 {
            return;
        }
        let most = match self.kind.plan().newest {
            Newest::Percent(_) => 2 * self.newest_max(table) + EXCESS,
            Newest::Round | Newest::Unknown => table.len() + EXCESS,
        };
        if self.newest.len() >= most
            && let Some((_, entry)) = self.oldest(table)
        {
            entry.set_glance(entry.glance() & !NEWEST);
        }
        self.newest.push_back(short_of(hash));
    }

    /// How many are new at a time: whoever came last always is.
    fn newest_max(&self, table: &Table) -> usize {
        match self.kind.plan().newest {
            Newest::Percent(percent) => (table.len() * percent / 100).max(1),
            Newest::Round | Newest::Unknown => 1,
        }
    }

    /// Where in the table so many of the oldest of the newest are looked for.
    pub fn first(&self, count: usize) -> impl Iterator<Item = u64> {
        self.newest.iter().take(count).copied().map(place_of)
    }

    /// Asks for what is remembered of a key, by its hash or another that leads to the same bucket of the table: of these there are more than of
    /// what is remembered.
    #[inline]
    pub fn prefetch_memory(&self, place: u64) {
        self.ghosts.prefetch(place);
    }

    /// Takes the oldest of the newest out of their order, with where it is; nothing if it is not there any more.
    fn oldest<'t>(&mut self, table: &'t mut Table) -> Option<(u64, &'t mut Entry)> {
        let place = place_of(self.newest.pop_front()?);
        Some((place, table.by_hash_mut(place, |entry| entry.glance() & NEWEST != 0)?))
    }

    /// Goes on to look for entries that only seem to be new. Who really is may be among them: then its turn has come early.
    fn settle(&mut self, table: &mut Table) {
        let Some(mut cursor) = self.unsettled else { return };
        for _ in 0..SETTLED {
            cursor = table.scan_mut(cursor, |entry| entry.set_glance(entry.glance() & !NEWEST));
            if cursor == 0 {
                self.unsettled = None;
                return;
            }
        }
        self.unsettled = Some(cursor);
    }

    /// Hands to `found` whoever's turn it is, and how soon it should go. `may_go` says who may go at all.
    pub fn nominate(
        &mut self,
        access: Access,
        table: &mut Table,
        may_go: impl Fn(&Entry) -> bool,
        mut found: impl FnMut(u64, Sight),
    ) {
        self.settle(table);
        let mut judge = |place: u64, entry: &mut Entry, verdict: Verdict| match verdict {
            Verdict::Stay(bits) => entry.set_glance(bits),
            Verdict::Go(bits, rank) => {
                entry.set_glance(bits);
                if may_go(entry) {
                    found(rank, Sight::of(place, entry));
                }
            }
        };
        for _ in 0..ROUNDS {
            let is_met = self.go_along_newest(access, table, &mut judge)
                || self.go_round_table(access, table, &mut judge);
            if is_met {
                break;
            }
        }
    }

    /// Lets those leave the newest who have been among them for long enough. Says whether the next who may go was met.
    fn go_along_newest(
        &mut self,
        access: Access,
        table: &mut Table,
        judge: &mut impl FnMut(u64, &mut Entry, Verdict),
    ) -> bool {
        let plan = self.kind.plan();
        let most = self.newest_max(table);
        if plan.newest == Newest::Round && !self.is_at_newest {
            return false;
        }
        for _ in 0..STEPS {
            if self.newest.len() <= most {
                self.is_at_newest = false;
                break;
            }
            let Some((place, entry)) = self.oldest(table) else { continue };
            let verdict = access.leave(entry.glance());
            judge(place, entry, verdict);
            // Where a hand goes round, whoever leaves goes before all others.
            if plan.source == Source::Hand && matches!(verdict, Verdict::Go(..)) {
                return true;
            }
        }
        plan.source != Source::Hand
    }

    /// Goes on round the table for a while. Says whether somebody was met who may go.
    fn go_round_table(
        &mut self,
        access: Access,
        table: &mut Table,
        judge: &mut impl FnMut(u64, &mut Entry, Verdict),
    ) -> bool {
        if self.is_at_newest {
            return false;
        }
        for _ in 0..STEPS {
            let mut is_met = false;
            self.cursor = table.scan_places(self.cursor, |place, entry| {
                let bits = entry.glance();
                if bits & NEWEST == 0 {
                    let verdict = access.pass(bits);
                    is_met |= matches!(verdict, Verdict::Go(..));
                    judge(place, entry, verdict);
                }
            });
            let is_round = self.cursor == 0;
            self.is_at_newest = is_round && self.kind.plan().newest == Newest::Round;
            if is_met || is_round {
                return is_met;
            }
        }
        false
    }

    /// An entry was evicted, beside about `keys` others.
    pub fn remember(&mut self, hash: u64, memory: Option<u8>, keys: usize) {
        if let Some(memory) = memory {
            self.ghosts.remember(hash, memory, keys);
        }
    }
}
