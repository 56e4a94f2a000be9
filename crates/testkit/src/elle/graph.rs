//! Who must come before whom, and the circles in it.
//!
//! Edges are stored in one array sorted by their source. Real-time edges are reduced: a transaction is
//! linked to the ones answered before its call that no other such transaction already follows, so there
//! are about as many for each as there are clients.

use std::collections::VecDeque;
use std::fmt::{self, Display, Formatter};

use super::history::{List, Versions};
use super::{End, Step, Transaction};

/// Edges between readers of a last version and writers nobody read, at most so many of each a list.
const UNREAD_MAX: usize = 64;

/// Searches for a shortest cycle in one component.
const STARTS_MAX: usize = 256;

/// Why one transaction comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dependency {
    /// The second's append to this list follows the first's.
    WriteWrite(u64),
    /// The second read the first's append to this list.
    WriteRead(u64),
    /// The first read this list without the second's append.
    ReadWrite(u64),
    /// The first was answered before the second was asked.
    RealTime,
}

impl Dependency {
    /// Two letters: ww, wr, rw, rt.
    pub fn kind(self) -> &'static str {
        match self {
            Self::WriteWrite(_) => "ww",
            Self::WriteRead(_) => "wr",
            Self::ReadWrite(_) => "rw",
            Self::RealTime => "rt",
        }
    }
}

/// A dependency between two transactions, named by their index in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The transaction that comes first.
    pub source: u32,
    /// The transaction that comes later.
    pub target: u32,
    /// Why.
    pub dependency: Dependency,
}

impl Display for Edge {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Self { source, target, dependency } = self;
        match dependency {
            Dependency::WriteWrite(key) => {
                write!(out, "T{target} appended to {key} after T{source}")
            }
            Dependency::WriteRead(key) => {
                write!(out, "T{target} read what T{source} appended to {key}")
            }
            Dependency::ReadWrite(key) => {
                write!(out, "T{source} read {key} without what T{target} appended")
            }
            Dependency::RealTime => {
                write!(out, "T{source} was answered before T{target} was asked")
            }
        }
    }
}

/// The dependencies of a history.
#[derive(Debug)]
pub(super) struct Graph {
    edges: Vec<Edge>,
    /// Where the edges of each transaction begin; one more than there are transactions.
    begin: Vec<usize>,
}

impl Graph {
    pub(super) fn build(transactions: &[Transaction], versions: &Versions<'_>) -> Self {
        let mut edges = Vec::new();
        for (key, list) in &versions.lists {
            writes(*key, list, &mut edges);
            unread(*key, list, transactions, &mut edges);
        }
        for (index, transaction) in transactions.iter().enumerate() {
            if matches!(transaction.end, End::Committed(_)) {
                reads(index, transaction, versions, &mut edges);
            }
        }
        real_time(transactions, &mut edges);
        Self::new(transactions.len(), edges)
    }

    fn new(len: usize, mut edges: Vec<Edge>) -> Self {
        edges.retain(|edge| edge.source != edge.target);
        edges.sort_unstable();
        edges.dedup();
        let mut begin = vec![0; len + 1];
        for edge in &edges {
            begin[edge.source as usize + 1] += 1;
        }
        for index in 0..len {
            begin[index + 1] += begin[index];
        }
        Self { edges, begin }
    }

    fn from(&self, node: usize) -> &[Edge] {
        &self.edges[self.begin[node]..self.begin[node + 1]]
    }

    /// A shortest cycle of the smallest component that has one.
    pub(super) fn shortest_cycle(&self) -> Option<Vec<Edge>> {
        let component = Tarjan::run(self).into_iter().min_by_key(Vec::len)?;
        let mut inside = vec![false; self.begin.len()];
        for node in &component {
            inside[*node] = true;
        }
        let starts = component.iter().take(STARTS_MAX);
        starts.filter_map(|start| self.cycle_from(*start, &inside)).min_by_key(Vec::len)
    }

    /// Breadth first from a transaction until it is reached again.
    fn cycle_from(&self, start: usize, inside: &[bool]) -> Option<Vec<Edge>> {
        let mut reached: hashbrown::HashMap<usize, Edge> = hashbrown::HashMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for edge in self.from(node).iter().filter(|edge| inside[edge.target as usize]) {
                let target = edge.target as usize;
                if reached.contains_key(&target) {
                    continue;
                }
                reached.insert(target, *edge);
                if target == start {
                    return Some(walk_back(start, &reached));
                }
                queue.push_back(target);
            }
        }
        None
    }
}

fn walk_back(start: usize, reached: &hashbrown::HashMap<usize, Edge>) -> Vec<Edge> {
    let mut cycle = vec![reached[&start]];
    while cycle[cycle.len() - 1].source as usize != start {
        cycle.push(reached[&(cycle[cycle.len() - 1].source as usize)]);
    }
    cycle.reverse();
    cycle
}

fn edge(source: usize, target: usize, dependency: Dependency) -> Edge {
    Edge { source: source as u32, target: target as u32, dependency }
}

fn writes(key: u64, list: &List<'_>, edges: &mut Vec<Edge>) {
    for index in 1..list.order.len() {
        let (source, target) = (list.writer_at(index - 1), list.writer_at(index));
        edges.push(edge(source, target, Dependency::WriteWrite(key)));
    }
    if let Some(last) = list.order.len().checked_sub(1) {
        let last = list.writer_at(last);
        let link = |writer: &usize| edge(last, *writer, Dependency::WriteWrite(key));
        edges.extend(list.unread.iter().map(link));
    }
}

fn reads(reader: usize, transaction: &Transaction, versions: &Versions<'_>, edges: &mut Vec<Edge>) {
    for step in &transaction.steps {
        let Step::Read { key, values } = step else { continue };
        let list = &versions.lists[key];
        if !values.is_empty() {
            let writer = list.writer_at(values.len() - 1);
            edges.push(edge(writer, reader, Dependency::WriteRead(*key)));
        }
        if values.len() < list.order.len() {
            let writer = list.writer_at(values.len());
            edges.push(edge(reader, writer, Dependency::ReadWrite(*key)));
        }
    }
}

/// Readers of the last version come before writers of values that nobody read. Of many, the latest
/// readers and the earliest writers say the most.
fn unread(key: u64, list: &List<'_>, transactions: &[Transaction], edges: &mut Vec<Edge>) {
    if list.unread.is_empty() {
        return;
    }
    let mut writers = list.unread.clone();
    writers.sort_by_key(|writer| returned(&transactions[*writer]));
    let mut readers = list.last_readers.clone();
    readers.sort_by_key(|reader| std::cmp::Reverse(transactions[*reader].invoked));
    for reader in readers.iter().take(UNREAD_MAX) {
        for writer in writers.iter().take(UNREAD_MAX) {
            edges.push(edge(*reader, *writer, Dependency::ReadWrite(key)));
        }
    }
}

fn returned(transaction: &Transaction) -> Option<u64> {
    match transaction.end {
        End::Committed(at) => Some(at),
        End::Aborted | End::Unknown => None,
    }
}

/// Links each call to the frontier: the answered transactions that no answered one follows.
fn real_time(transactions: &[Transaction], edges: &mut Vec<Edge>) {
    let mut events = Vec::with_capacity(transactions.len() * 2);
    for (index, transaction) in transactions.iter().enumerate() {
        if transaction.end != End::Aborted {
            events.push((transaction.invoked, false, index));
            events.extend(returned(transaction).map(|at| (at, true, index)));
        }
    }
    events.sort_unstable();
    let mut frontier: Vec<usize> = Vec::new();
    for (_, answered, index) in events {
        if answered {
            let invoked = transactions[index].invoked;
            frontier.retain(|other| returned(&transactions[*other]) >= Some(invoked));
            frontier.push(index);
        } else {
            let link = |other: &usize| edge(*other, index, Dependency::RealTime);
            edges.extend(frontier.iter().map(link));
        }
    }
}

/// Tarjan's algorithm with an explicit stack.
struct Tarjan<'a> {
    graph: &'a Graph,
    /// Order of discovery, from one; zero is undiscovered.
    index: Vec<u32>,
    low: Vec<u32>,
    on_path: Vec<bool>,
    path: Vec<usize>,
    /// Transactions being visited, each with the next edge to follow.
    calls: Vec<(usize, usize)>,
    discovered: u32,
    found: Vec<Vec<usize>>,
}

impl<'a> Tarjan<'a> {
    /// The strongly connected components of more than one transaction.
    fn run(graph: &'a Graph) -> Vec<Vec<usize>> {
        let len = graph.begin.len() - 1;
        let mut search = Self {
            graph,
            index: vec![0; len],
            low: vec![0; len],
            on_path: vec![false; len],
            path: Vec::new(),
            calls: Vec::new(),
            discovered: 0,
            found: Vec::new(),
        };
        for node in 0..len {
            if search.index[node] == 0 {
                search.visit(node);
            }
        }
        search.found
    }

    fn visit(&mut self, root: usize) {
        self.enter(root);
        while let Some((node, next)) = self.calls.last_mut() {
            let node = *node;
            let Some(edge) = self.graph.from(node).get(*next) else {
                self.leave(node);
                continue;
            };
            *next += 1;
            let target = edge.target as usize;
            if self.index[target] == 0 {
                self.enter(target);
            } else if self.on_path[target] {
                self.low[node] = self.low[node].min(self.index[target]);
            }
        }
    }

    fn enter(&mut self, node: usize) {
        self.discovered += 1;
        self.index[node] = self.discovered;
        self.low[node] = self.discovered;
        self.on_path[node] = true;
        self.path.push(node);
        self.calls.push((node, 0));
    }

    fn leave(&mut self, node: usize) {
        self.calls.pop();
        if let Some((caller, _)) = self.calls.last() {
            self.low[*caller] = self.low[*caller].min(self.low[node]);
        }
        if self.low[node] != self.index[node] {
            return;
        }
        let begin = self.path.iter().rposition(|other| *other == node);
        let component =
            self.path.split_off(begin.expect("a node stays on the path until its component"));
        for node in &component {
            self.on_path[*node] = false;
        }
        if component.len() > 1 {
            self.found.push(component);
        }
    }
}
