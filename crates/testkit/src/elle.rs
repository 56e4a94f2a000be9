//! Are transactions strictly serializable? The list-append check of Elle (Kingsbury and Alvaro, VLDB 2020).
//!
//! Transactions append values that are used once to a few lists and read lists whole. A read thus shows
//! the order in which its list was written, and every value names its writer. From this follow the
//! dependencies any serial order must respect:
//!
//! ```text
//!   ww   T1 appended the value right before T2's            T1 ──▶ T2
//!   wr   T2's read ends with T1's value                     T1 ──▶ T2
//!   rw   T1's read ends right before T2's value             T1 ──▶ T2
//!   rt   T1 was answered before T2 was asked                T1 ──▶ T2
//! ```
//!
//! A cycle refutes every order; without `rt` edges in it, even serializability. Time is linear in the
//! elements read and the edges, so a million transactions are no trouble: strongly connected components
//! by Tarjan's algorithm, then the shortest cycle in the smallest of them.
//!
//! What is not looked at: the position of values nobody read, except that a read without them comes first.

mod graph;
mod history;
#[cfg(test)]
mod tests;

use std::fmt::{self, Display, Formatter};

pub use graph::{Dependency, Edge};

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// RPUSH key value; a value is used once for each key.
    Append {
        /// The list.
        key: u64,
        /// The value.
        value: u64,
    },
    /// LRANGE key 0 -1 and what it showed; what an unanswered transaction would have read is left empty.
    Read {
        /// The list.
        key: u64,
        /// Its elements.
        values: Vec<u64>,
    },
}

/// How a transaction ended for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// EXEC answered, at this stamp.
    Committed(u64),
    /// EXEC answered nil, or an error: nothing may have happened.
    Aborted,
    /// No answer came: all of it happened, or nothing.
    Unknown,
}

/// A transaction as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Who asked.
    pub client: u32,
    /// What was asked and read, in order.
    pub steps: Vec<Step>,
    /// When it was asked, in an order all clients share.
    pub invoked: u64,
    /// How it ended.
    pub end: End,
}

/// Why a history is not strictly serializable. Transactions are named by their index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// Two transactions append the same value to a list: the history itself is unfit.
    ValueUsedTwice {
        /// The list.
        key: u64,
        /// The value.
        value: u64,
    },
    /// A read shows a value that nobody appended.
    ValueFromNowhere {
        /// The reader.
        reader: usize,
        /// The list.
        key: u64,
        /// The value.
        value: u64,
    },
    /// A read shows a value of a transaction that was refused.
    AbortedRead {
        /// The reader.
        reader: usize,
        /// The writer.
        writer: usize,
        /// The list.
        key: u64,
    },
    /// Two reads of a list disagree on the order of its elements, or on one that is there twice.
    IncompatibleOrder {
        /// One reader.
        reader: usize,
        /// The reader of the longest version.
        longest: usize,
        /// The list.
        key: u64,
        /// The first index at which they differ.
        index: usize,
    },
    /// A transaction was seen half done: a read shows one of its appends to a list but not the next.
    IntermediateRead {
        /// The reader.
        reader: usize,
        /// The writer.
        writer: usize,
        /// The list.
        key: u64,
    },
    /// A read does not follow from what the transaction itself read and appended before.
    Internal {
        /// The transaction.
        reader: usize,
        /// The list.
        key: u64,
    },
    /// Transactions depend on each other in a circle.
    Cycle(Vec<Edge>),
}

impl Anomaly {
    /// The name in the literature.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ValueUsedTwice { .. } => "unfit history",
            Self::ValueFromNowhere { .. } => "value from nowhere",
            Self::AbortedRead { .. } => "G1a, aborted read",
            Self::IntermediateRead { .. } => "G1b, intermediate read",
            Self::IncompatibleOrder { .. } => "incompatible order",
            Self::Internal { .. } => "internal inconsistency",
            Self::Cycle(edges) => cycle_name(edges),
        }
    }
}

fn cycle_name(edges: &[Edge]) -> &'static str {
    let count = |kind| edges.iter().filter(|edge| edge.dependency.kind() == kind).count();
    match (count("rw"), count("wr"), count("rt")) {
        (0, 0, 0) => "G0, write cycle",
        (0, _, 0) => "G1c, circular information flow",
        (1, _, 0) => "G-single, read skew",
        (_, _, 0) => "G2, anti-dependency cycle",
        (0, 0, _) => "G0-realtime",
        (0, _, _) => "G1c-realtime",
        (1, _, _) => "G-single-realtime, stale read",
        _ => "G2-realtime",
    }
}

impl Display for Anomaly {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ", self.name())?;
        match self {
            Self::Cycle(edges) => {
                for edge in edges {
                    write!(out, "\n  {edge}")?;
                }
                Ok(())
            }
            other => write!(out, "{other:?}"),
        }
    }
}

/// Looks for an anomaly; none means that a serial order in real time is not refuted.
pub fn check(transactions: &[Transaction]) -> Result<(), Anomaly> {
    let versions = history::Versions::read(transactions)?;
    match graph::Graph::build(transactions, &versions).shortest_cycle() {
        Some(cycle) => Err(Anomaly::Cycle(cycle)),
        None => Ok(()),
    }
}
