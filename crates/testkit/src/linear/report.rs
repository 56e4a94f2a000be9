//! A counterexample as a person reads it: the last operations before the one that cannot be explained,
//! drawn as intervals, and the states in which it was tried.

use std::fmt::{self, Debug, Display, Formatter};

use super::{Operation, Stuck};

/// Operations shown before the unexplained one.
const SHOWN_MAX: usize = 24;

/// Unanswered operations shown, of which a long history may have gathered many.
const PENDING_MAX: usize = 6;

/// States shown.
const STATES_MAX: usize = 4;

/// Characters of one state or answer shown.
const TEXT_MAX: usize = 120;

/// Columns of the drawing.
const COLUMNS: usize = 40;

/// Why a history is not linearizable.
#[derive(Clone, Debug)]
pub struct Counterexample<O, R> {
    /// The operation whose answer no order explains.
    pub stuck: Operation<O, R>,
    /// The operations before it that matter most, by the time of their answers; `stuck` is the last but
    /// for those that were still open.
    pub window: Vec<Operation<O, R>>,
    /// How many earlier operations the window leaves out.
    pub hidden: usize,
    /// The states in which the answer was tried, each with the open operations already in place.
    pub tried: Vec<(String, Vec<String>)>,
}

impl<O: Clone + Debug, R: Clone + Debug> Counterexample<O, R> {
    pub(super) fn new(history: &[Operation<O, R>], stuck: &Stuck) -> Self {
        let last = &history[stuck.operation];
        let before = history.iter().filter(|operation| operation.invoked <= last.returned);
        let (pending, answered) = before.cloned().partition(Operation::is_pending);
        let (mut window, earlier) = newest(answered, SHOWN_MAX);
        let (pending, older) = newest(pending, PENDING_MAX);
        window.extend(pending);
        let tried =
            stuck.tried.iter().map(|(state, placed)| (state.clone(), names(history, placed)));
        Self { stuck: last.clone(), window, hidden: earlier + older, tried: tried.collect() }
    }
}

/// The last `max` operations by answer and call, and how many others there are.
fn newest<O, R>(mut all: Vec<Operation<O, R>>, max: usize) -> (Vec<Operation<O, R>>, usize) {
    all.sort_by_key(|operation| (operation.returned, operation.invoked));
    let hidden = all.len().saturating_sub(max);
    (all.split_off(hidden), hidden)
}

fn names<O: Debug, R: Debug>(history: &[Operation<O, R>], placed: &[usize]) -> Vec<String> {
    let shown = placed.iter().take(PENDING_MAX).map(|index| describe(&history[*index]));
    let more = placed.len().saturating_sub(PENDING_MAX);
    shown.chain((more > 0).then(|| format!("and {more} more"))).collect()
}

fn describe<O: Debug, R: Debug>(operation: &Operation<O, R>) -> String {
    let Operation { client, op, result, .. } = operation;
    let text = match result {
        Some(result) => format!("client {client}: {op:?} -> {result:?}"),
        None => format!("client {client}: {op:?} -> no answer"),
    };
    shorten(&text)
}

/// Keeps the end of a long text, where the newest elements of a list are.
fn shorten(text: &str) -> String {
    let len = text.chars().count();
    if len <= TEXT_MAX {
        return text.into();
    }
    let head: String = text.chars().take(TEXT_MAX / 2).collect();
    let tail: String = text.chars().skip(len - TEXT_MAX / 2).collect();
    format!("{head} ... {tail}")
}

impl<O: Debug, R: Debug> Counterexample<O, R> {
    /// The interval of an operation as a bar; open at the right end when the answer had not come.
    fn bar(&self, operation: &Operation<O, R>) -> String {
        let answered = self.window.iter().filter(|one| !one.is_pending());
        let from = answered.map(|one| one.invoked).min().unwrap_or(0);
        let span = self.stuck.returned.saturating_sub(from).max(1);
        let column = |stamp: u64| {
            let stamp = stamp.clamp(from, self.stuck.returned);
            ((stamp - from) as u128 * (COLUMNS as u128 - 1) / u128::from(span)) as usize
        };
        let (begin, end) = (column(operation.invoked), column(operation.returned));
        let close = if operation.returned > self.stuck.returned { '>' } else { ']' };
        let inner = "=".repeat((end - begin).saturating_sub(1));
        format!("{:COLUMNS$} ", format!("{}[{inner}{close}", " ".repeat(begin)))
    }
}

impl<O: Debug, R: Debug> Display for Counterexample<O, R> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        writeln!(out, "no order explains {}", describe(&self.stuck))?;
        if self.hidden > 0 {
            writeln!(out, "  ({} earlier operations are not shown)", self.hidden)?;
        }
        for operation in &self.window {
            let is_stuck =
                operation.client == self.stuck.client && operation.returned == self.stuck.returned;
            let mark = if is_stuck { "  <- this one" } else { "" };
            writeln!(out, "  {} {}{mark}", self.bar(operation), describe(operation))?;
        }
        writeln!(out, "it was tried in {} states:", self.tried.len())?;
        for (state, placed) in self.tried.iter().take(STATES_MAX) {
            writeln!(out, "  {}, with these open ones done: {placed:?}", shorten(state))?;
        }
        Ok(())
    }
}
