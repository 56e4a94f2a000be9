//! The logs of commands that cost much: time, a large request, a large reply.
//!
//! The latest of each kind are kept, with their words cut short and what is secret left out. A log is a ring behind a lock that only
//! those take who have something to write down.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use russet_config::{Config, id};
use russet_resp::Span;

use crate::observe::LogParameters;
use crate::redact;
use crate::session::Client;
use crate::table::Row;

/// Words of a request that are kept; the last of them says how many more there were.
const WORDS_MAX: usize = 32;

/// Bytes of a word that are kept.
const WORD_BYTES_MAX: usize = 128;

/// What a command cost too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Time, in microseconds.
    Time,
    /// Bytes of the request.
    Request,
    /// Bytes of the reply.
    Reply,
}

impl Cost {
    /// All, in the order in which they are kept.
    pub const ALL: [Self; 3] = [Self::Time, Self::Request, Self::Reply];

    /// As COMMANDLOG calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Time => "slow",
            Self::Request => "large-request",
            Self::Reply => "large-reply",
        }
    }
}

/// One command that was written down.
#[derive(Debug)]
pub struct Entry {
    /// Ascending, never used again.
    pub id: u64,
    /// When, in seconds since 1970.
    pub at: u64,
    /// Of what it cost too much; how much is in that unit.
    pub amount: u64,
    /// Its words, cut short.
    pub words: Vec<Box<[u8]>>,
    /// Who sent it.
    pub addr: String,
    /// What the client calls itself.
    pub client_name: String,
}

#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<Arc<Entry>>,
    next_id: u64,
}

/// One log.
#[derive(Debug, Default)]
pub struct CommandLog {
    parameters: LogParameters,
    ring: Mutex<Ring>,
}

impl CommandLog {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.ring.lock().entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Up to `count` entries, the latest first.
    pub fn latest(&self, count: usize) -> Vec<Arc<Entry>> {
        self.ring.lock().entries.iter().take(count).cloned().collect()
    }

    /// Forgets all entries; their numbers are not used again.
    pub fn reset(&self) {
        self.ring.lock().entries.clear();
    }

    fn push(&self, entry: Entry) {
        let len_max = self.parameters.len_max();
        let mut ring = self.ring.lock();
        if len_max > 0 {
            let entry = Entry { id: ring.next_id, ..entry };
            ring.next_id += 1;
            ring.entries.push_front(Arc::new(entry));
        }
        ring.entries.truncate(len_max);
    }
}

/// The three logs.
#[derive(Debug, Default)]
pub struct CommandLogs {
    logs: [CommandLog; 3],
}

/// A command that has run, as the logs see it.
#[derive(Clone, Copy, Debug)]
pub struct Ran<'a> {
    /// Its row.
    pub row: &'static Row,
    /// Where its words are.
    pub input: &'a [u8],
    /// Its words.
    pub spans: &'a [Span],
    /// Bytes of its reply.
    pub reply_bytes: usize,
    /// Who sent it.
    pub client: &'a Client,
}

impl Ran<'_> {
    /// Bytes of the request as it came: words with their lengths.
    pub fn request_bytes(&self) -> usize {
        let digits = |len: usize| len.max(1).ilog10() as usize + 1;
        let words: usize = self.spans.iter().map(|span| AROUND + digits(span.len) + span.len).sum();
        3 + digits(self.spans.len()) + words
    }

    /// No fewer bytes than that, without a look at every word: they lie one behind the other. O(1).
    fn request_bytes_max(&self) -> usize {
        let from = self.spans.first().map_or(0, |first| first.start);
        let to = self.spans.last().map_or(0, |last| last.start + last.len);
        3 + DIGITS_MAX + to - from + self.spans.len() * (AROUND + DIGITS_MAX)
    }
}

/// What stands around a word: `$`, its length, and two ends of line.
const AROUND: usize = 5;

/// Digits of any length.
const DIGITS_MAX: usize = 20;

impl CommandLogs {
    /// One of the logs.
    pub const fn of(&self, cost: Cost) -> &CommandLog {
        &self.logs[cost as usize]
    }

    /// Writes down what cost too much.
    pub(crate) fn note(&self, ran: &Ran<'_>, microseconds: u64, now_ms: u64) {
        if ran.row.has(crate::command::Flag::SkipSlowlog) {
            return;
        }
        for cost in Cost::ALL {
            let parameters = &self.of(cost).parameters;
            let amount = match cost {
                Cost::Time => microseconds,
                Cost::Request if !parameters.wants(ran.request_bytes_max() as u64) => continue,
                Cost::Request => ran.request_bytes() as u64,
                Cost::Reply => ran.reply_bytes as u64,
            };
            if parameters.wants(amount) {
                self.of(cost).push(entry(ran, amount, now_ms));
            }
        }
    }

    /// Takes over what is configured.
    pub(crate) fn apply(&self, config: &Config) {
        let set = |cost: Cost, threshold, len_max| {
            self.of(cost).parameters.set(config.integer(threshold), config.memory(len_max));
        };
        set(Cost::Time, const { id("slowlog-log-slower-than") }, const { id("slowlog-max-len") });
        set(
            Cost::Request,
            const { id("commandlog-request-larger-than") },
            const { id("commandlog-large-request-max-len") },
        );
        set(
            Cost::Reply,
            const { id("commandlog-reply-larger-than") },
            const { id("commandlog-large-reply-max-len") },
        );
    }
}

#[cold]
fn entry(ran: &Ran<'_>, amount: u64, now_ms: u64) -> Entry {
    let client_name = ran.client.labels.lock().name.clone();
    Entry {
        id: 0,
        at: now_ms / 1000,
        amount,
        words: words(ran),
        addr: ran.client.peer.addr(),
        client_name,
    }
}

fn words(ran: &Ran<'_>) -> Vec<Box<[u8]>> {
    let count = ran.spans.len();
    let is_cut = count > WORDS_MAX;
    let kept = if is_cut { WORDS_MAX - 1 } else { count };
    let word = |at: usize| ran.spans[at].of(ran.input);
    let secret = redact::Secrets::of(ran.row, count, word);
    let shown = |at: usize| match word(at) {
        _ if secret.hides(at) => redact::SHOWN.into(),
        long if long.len() > WORD_BYTES_MAX => cut(long),
        word => word.into(),
    };
    let rest = is_cut.then(|| format!("... ({} more arguments)", count - kept).into_bytes().into());
    (0..kept).map(shown).chain(rest).collect()
}

fn cut(word: &[u8]) -> Box<[u8]> {
    let (shown, rest) = word.split_at(WORD_BYTES_MAX);
    [shown, format!("... ({} more bytes)", rest.len()).as_bytes()].concat().into()
}
