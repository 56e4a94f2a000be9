//! The values in force: one per row.
//!
//! A `Config` is cheap to read (an index into a vector) and meant to be cloned, changed and swapped in whole:
//! whoever applies a change can drop the clone when applying fails. Typed reads panic when the row is of
//! another kind, which is a mistake in the program, not in the input.

use crate::file::Directive;
use crate::value::{self, AUTO, OutputBufferLimit, Reason, SaveRule, Value};
use crate::{Id, Kind, id};

/// The version of Redis whose behaviour and texts we follow.
pub const REDIS_VERSION: &str = "7.4.0";

/// What the server calls itself.
pub const SERVER_NAME: &str = "russet";

/// Its own version, one for all crates.
pub const SERVER_VERSION: &str = env!("CARGO_PKG_VERSION");

/// `hz` is a wish: it is brought into this range, not refused.
const HZ: std::ops::RangeInclusive<i64> = 1..=500;

/// All values in force, and the directives that are not parameters.
#[derive(Clone)]
pub struct Config {
    values: Vec<Value>,
    /// `save` lines add to each other once the first one has replaced the default.
    pub(crate) save_seen: bool,
    /// Lines read so far: options given on the command line count on from there.
    pub(crate) lines_read: usize,
    directives: Vec<Directive>,
    cores: usize,
}

impl std::fmt::Debug for Config {
    /// Says little: some values are passwords.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Config").finish_non_exhaustive()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// Every parameter at its default, on a machine with one core.
    pub fn new() -> Self {
        let values = Id::all().map(default).collect();
        Self { values, save_seen: false, lines_read: 0, directives: Vec::new(), cores: 1 }
    }

    /// The same on a machine with so many cores: what `io-threads auto` comes to.
    #[must_use]
    pub fn with_cores(self, cores: usize) -> Self {
        Self { cores: cores.max(1), ..self }
    }

    /// The value of the parameter called or nicknamed `name`, as CONFIG GET prints it.
    pub fn get(&self, name: &str) -> Option<String> {
        crate::find(name).map(|(id, _)| self.show(id))
    }

    /// The value as CONFIG GET prints it.
    pub fn show(&self, id: Id) -> String {
        self.shown(id.parameter().kind, self.value(id))
    }

    /// Gives `id` the value written as `text`, whatever CONFIG SET would say about changing it: for what the
    /// server itself changes, as REPLICAOF does, and for `dir`, which it keeps absolute.
    pub fn assign(&mut self, id: Id, text: &str) -> Result<(), String> {
        if !id.parameter().kind.multi() {
            return self.assign_words(id, &[text]);
        }
        let words: Vec<&str> = text.split(' ').collect();
        self.assign_words(id, &words)
    }

    /// A yes or a no.
    pub fn bool(&self, id: Id) -> bool {
        self.integer(id) != 0
    }

    /// A number as it is kept: of bytes, of a choice, the bits of flags or events, …
    #[inline]
    pub fn integer(&self, id: Id) -> i64 {
        match self.value(id) {
            Value::Number(number) => *number,
            _ => wrong_kind(id),
        }
    }

    /// Bytes.
    pub fn memory(&self, id: Id) -> u64 {
        self.integer(id) as u64
    }

    /// Text; empty where there is none.
    pub fn text(&self, id: Id) -> &str {
        match self.value(id) {
            Value::Text(text) => text,
            _ => wrong_kind(id),
        }
    }

    /// The name of the choice made.
    pub fn choice(&self, id: Id) -> &'static str {
        match id.parameter().kind {
            Kind::Choice(names) => {
                value::name_of(names, self.integer(id)).expect("only numbers of names are kept")
            }
            _ => wrong_kind(id),
        }
    }

    /// How many threads; what is left to the server comes to one per available core.
    pub fn threads(&self, id: Id) -> usize {
        match self.integer(id) {
            0 => self.cores,
            count => count as usize,
        }
    }

    /// What all clients' buffers together may take.
    pub fn share(&self, id: Id) -> Share {
        match self.integer(id) {
            AUTO => Share::Auto,
            percent @ ..0 => Share::Percent(percent.unsigned_abs()),
            bytes => Share::Bytes(bytes as u64),
        }
    }

    /// Addresses to listen on.
    pub fn addresses(&self) -> &[String] {
        match self.value(const { id("bind") }) {
            Value::Words(words) => words,
            _ => wrong_kind(const { id("bind") }),
        }
    }

    /// Addresses to serve metrics on.
    pub fn metrics_addresses(&self) -> &[String] {
        match self.value(const { id("metrics-bind") }) {
            Value::Words(words) => words,
            _ => wrong_kind(const { id("metrics-bind") }),
        }
    }

    /// When to snapshot; empty for never.
    pub fn save_rules(&self) -> &[SaveRule] {
        match self.value(const { id("save") }) {
            Value::Save(rules) => rules,
            _ => wrong_kind(const { id("save") }),
        }
    }

    /// Limits of normal clients, replicas and subscribers, in this order.
    pub fn output_buffer_limits(&self) -> &[OutputBufferLimit; 3] {
        match self.value(const { id("client-output-buffer-limit") }) {
            Value::Limits(limits) => limits,
            _ => wrong_kind(const { id("client-output-buffer-limit") }),
        }
    }

    /// Scores of a primary, a replica and a child process, in this order.
    pub fn oom_scores(&self) -> [i32; 3] {
        match self.value(const { id("oom-score-adj-values") }) {
            Value::Scores(scores) => *scores,
            _ => wrong_kind(const { id("oom-score-adj-values") }),
        }
    }

    /// The percentiles INFO shows.
    pub fn percentiles(&self) -> &[f64] {
        match self.value(const { id("latency-tracking-info-percentiles") }) {
            Value::Percentiles(numbers) => numbers,
            _ => wrong_kind(const { id("latency-tracking-info-percentiles") }),
        }
    }

    /// The primary to follow.
    pub fn replica_of(&self) -> Option<(&str, u16)> {
        match self.value(const { id("replicaof") }) {
            Value::Replica(primary) => primary.as_ref().map(|(host, port)| (host.as_str(), *port)),
            _ => wrong_kind(const { id("replicaof") }),
        }
    }

    /// Whether `id` has its default value.
    pub fn is_default(&self, id: Id) -> bool {
        *self.value(id) == default(id)
    }

    /// The parameters that have no effect here and were nevertheless given another value than their default.
    pub fn inert_in_use(&self) -> Vec<&'static str> {
        let inert = Id::all().filter(|id| id.parameter().inert && !self.is_default(*id));
        inert.map(Id::name).collect()
    }

    /// Lines that are no parameters: `user`, `rename-command`, `loadmodule`, `sentinel` and names with a dot,
    /// in the order they were read.
    pub fn directives(&self) -> &[Directive] {
        &self.directives
    }

    pub(crate) fn push_directive(&mut self, directive: Directive) {
        self.directives.push(directive);
    }

    pub(crate) fn value(&self, id: Id) -> &Value {
        &self.values[id.index()]
    }

    /// Parses and keeps. What is spelled as it is already shown changes nothing.
    pub(crate) fn assign_words(&mut self, id: Id, words: &[&str]) -> Result<(), Reason> {
        let row = id.parameter();
        let value = value::parse(row.name, row.kind, words, self.value(id))?;
        if self.shown(row.kind, &value) != self.show(id) {
            self.values[id.index()] = value;
            self.settle();
        }
        Ok(())
    }

    pub(crate) fn replace(&mut self, id: Id, value: Value) {
        self.values[id.index()] = value;
    }

    fn shown(&self, kind: Kind, value: &Value) -> String {
        match (kind, value) {
            (Kind::Threads { .. }, Value::Number(0)) => self.cores.to_string(),
            _ => value::show(kind, value),
        }
    }

    /// Brings into range what is a wish.
    fn settle(&mut self) {
        let hz = const { id("hz") };
        let wish = self.integer(hz);
        self.replace(hz, Value::Number(wish.clamp(*HZ.start(), *HZ.end())));
    }
}

/// A limit that may follow from another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// The server decides.
    Auto,
    /// So many bytes; zero is no limit.
    Bytes(u64),
    /// So many percent of `maxmemory`.
    Percent(u64),
}

/// The default of a row.
pub(crate) fn default(id: Id) -> Value {
    let row = id.parameter();
    let words: Vec<&str> =
        if row.kind.multi() { row.default.split(' ').collect() } else { vec![row.default] };
    value::parse(row.name, row.kind, &words, &Value::Number(0))
        .unwrap_or_else(|reason| panic!("the default of {} is wrong: {reason}", row.name))
}

#[cold]
fn wrong_kind(id: Id) -> ! {
    panic!("{} is of another kind", id.name())
}
