//! What clients take of memory, and how much they may.
//!
//! Buffers of clients are kept apart from the data: all together they may take `maxmemory-clients`, and when they take more, the client
//! that takes most is cut, then the next. So a client that announces much, asks for much or lets much wait ends itself, not keys of
//! others.
//!
//! A connection reports what it takes once a turn, and only changes of many kilobytes reach the sum that all threads share, unless
//! there is hardly any room left. Invalidations are reported by who sends them, for their receiver may be another thread's. The sum says
//! when to look; who is looked at then is counted exactly. Now and then all are looked at, for what many clients have not reported is much,
//! too.
//!
//! Where `maxmemory-clients` is 0 there is no bound, and buffers count as data do, as in Redis.

use std::sync::atomic::{AtomicIsize, AtomicU64, Ordering};

use russet_config::{Share, id};

use crate::resident;
use crate::session::{Client, Labels, Session};
use crate::state::State;

/// Changes smaller than this are not reported.
const STEP_BYTES: usize = 16 * 1024;

/// What clients may take, where the server decides: the share of memory, and the least.
const AUTO_PERCENT: u64 = 10;
const AUTO_BYTES_MIN: u64 = 64 << 20;

/// In place of what a client has reported: it is gone.
const GONE: usize = usize::MAX;

/// What a watched key costs beside its name, which is kept twice.
pub(crate) const WATCH_BYTES: usize = 96;

/// Sums over all clients.
#[derive(Debug, Default)]
pub struct Burden {
    /// Below what it is for a moment, where two threads report.
    reported: AtomicIsize,
    /// What all may take; 0 for no limit.
    max: AtomicU64,
    cut: AtomicU64,
}

impl Burden {
    /// How many clients were cut.
    pub fn cut(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }

    /// Counts those who are cut anew.
    pub fn reset(&self) {
        self.cut.store(0, Ordering::Relaxed);
    }

    /// What all clients may take; 0 for no limit.
    pub fn max(&self) -> u64 {
        self.max.load(Ordering::Relaxed)
    }
}

impl Client {
    /// Changes the names that the client gives itself.
    pub fn relabel(&self, change: impl FnOnce(&mut Labels)) {
        let mut labels = self.labels.lock();
        change(&mut labels);
        let bytes = labels.name.len() + labels.lib_name.len() + labels.lib_ver.len();
        self.label_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Bytes of memory that the client takes: buffers, what it has queued and what is kept about it.
    pub fn burden(&self) -> usize {
        let parts = [
            &self.input_bytes,
            &self.input_free,
            &self.argv_bytes,
            &self.blocked_bytes,
            &self.queued_bytes,
            &self.output_bytes,
            &self.fieldset_bytes,
            &self.label_bytes,
            &self.watched_bytes,
            &self.subscribed_bytes,
            &self.tracking.prefix_bytes,
        ];
        let parts = parts.into_iter().map(|part| part.load(Ordering::Relaxed)).sum::<usize>();
        size_of::<Self>() + size_of::<Session>() + parts + self.mail_bytes()
    }

    /// Bytes of the request that waits for keys.
    pub fn blocked_bytes(&self) -> usize {
        self.blocked_bytes.load(Ordering::Relaxed)
    }

    /// Whether it may be cut.
    fn is_fair_game(&self) -> bool {
        !self.is_killed() && !self.no_evict.load(Ordering::Relaxed)
    }
}

impl State {
    /// Reports what a client takes now, whenever its buffers have changed. May cut it, or others, so not while holding a lock.
    #[inline]
    pub fn report(&self, client: &Client) {
        if self.is_too_much(client) {
            self.cut_burdens();
        }
    }

    /// Reports what a client takes now. Answers whether all take more than they may since that is more than before.
    #[inline]
    pub(crate) fn is_too_much(&self, client: &Client) -> bool {
        let (bytes, before) = (client.burden(), client.reported.load(Ordering::Relaxed));
        let is_news = bytes.abs_diff(before) >= STEP_BYTES
            || bytes > before && self.lacks_room(bytes - before);
        is_news && self.note_report(client, bytes)
    }

    /// Whether clients, of which only their buffers are in the sum, would take more than they may with so many bytes more.
    fn lacks_room(&self, bytes: usize) -> bool {
        let Burden { reported, max, .. } = &self.burden;
        let unreported = self.clients.count() * (size_of::<Client>() + size_of::<Session>());
        let reported = reported.load(Ordering::Relaxed).max(0) as usize;
        let (sum, max) = (reported + unreported, max.load(Ordering::Relaxed));
        max > 0 && (sum + bytes) as u64 > max
    }

    #[cold]
    fn note_report(&self, client: &Client, bytes: usize) -> bool {
        let unless_gone = |before| (before != GONE).then_some(bytes);
        let noted = client.reported.fetch_update(Ordering::Relaxed, Ordering::Relaxed, unless_gone);
        let Ok(before) = noted else { return false };
        self.burden.reported.fetch_add(bytes as isize - before as isize, Ordering::Relaxed);
        bytes > before && self.lacks_room(0)
    }

    /// A client is gone. Who comes too late with something for it reports nothing any more.
    pub fn report_end(&self, client: &Client) {
        let before = client.reported.swap(GONE, Ordering::Relaxed);
        self.burden.reported.fetch_sub(before as isize, Ordering::Relaxed);
    }

    /// Cuts clients, those that take most first, until the others take no more than they may. O(clients).
    pub fn cut_burdens(&self) {
        let max = self.burden.max();
        if max == 0 {
            return;
        }
        let clients = self.clients.all();
        let fair_game = clients.iter().filter(|client| client.is_fair_game());
        let mut burdens: Vec<_> =
            fair_game.map(|client| (client.burden() as u64, client)).collect();
        let mut sum: u64 = burdens.iter().map(|(bytes, _)| bytes).sum();
        if sum <= max {
            return;
        }
        burdens.sort_unstable_by_key(|(bytes, client)| (*bytes, client.id));
        while sum > max
            && let Some((bytes, client)) = burdens.pop()
        {
            sum -= bytes;
            self.burden.cut.fetch_add(1, Ordering::Relaxed);
            client.evict();
        }
    }

    /// Cuts a client since its replies would take more than [`State::reply_bytes_max`].
    pub fn cut_for_replies(&self, client: &Client) {
        if self.reply_bytes_max(client) < self.mail_bytes_max(client) {
            self.burden.cut.fetch_add(1, Ordering::Relaxed);
            client.evict();
        } else {
            client.overflow();
        }
    }

    /// What clients take of memory that is not kept for data: nothing where it has no bound of its own.
    pub(crate) fn burden_beside_data(&self) -> u64 {
        if self.burden.max() == 0 {
            return 0;
        }
        let clients = self.clients.all();
        let own = |client: &Client| {
            (client.burden() + client.growing_bytes.load(Ordering::Relaxed))
                .saturating_sub(client.output_shared.load(Ordering::Relaxed))
        };
        clients.iter().map(|client| own(client) as u64).sum()
    }

    /// Brings the bound up to the configuration and to the memory that there is.
    pub(crate) fn judge_burden(&self) {
        let config = self.config.load();
        let memory = config.memory(const { id("maxmemory") });
        let max = match config.share(const { id("maxmemory-clients") }) {
            Share::Bytes(bytes) => bytes,
            Share::Percent(percent) => share_of(memory, percent),
            Share::Auto => {
                let system = self.gauges.system_memory.load(Ordering::Relaxed);
                let all = if memory > 0 { memory } else { system };
                let usual = share_of(all, AUTO_PERCENT).max(AUTO_BYTES_MIN);
                usual.min(resident::for_clients(memory, system))
            }
        };
        self.burden.max.store(max, Ordering::Relaxed);
    }
}

fn share_of(bytes: u64, percent: u64) -> u64 {
    (u128::from(bytes) * u128::from(percent) / 100) as u64
}
