//! What the reads say by themselves: the order of each list, and who wrote what.
//!
//! Invariants: `order` of a key is its longest read; every other read of the key is a prefix of it.

use hashbrown::{HashMap, HashSet};

use super::{Anomaly, End, Step, Transaction};

/// The versions of one list.
#[derive(Debug, Default)]
pub(super) struct List<'a> {
    /// The longest read.
    pub(super) order: &'a [u64],
    longest: usize,
    /// The committed readers of `order`.
    pub(super) last_readers: Vec<usize>,
    /// Who appended each value.
    pub(super) writer: HashMap<u64, usize>,
    /// The committed writers of values nobody read.
    pub(super) unread: Vec<usize>,
}

/// All lists of a history.
#[derive(Debug)]
pub(super) struct Versions<'a> {
    pub(super) lists: HashMap<u64, List<'a>>,
}

impl<'a> Versions<'a> {
    /// Reads the history, or finds that it contradicts itself without any graph.
    pub(super) fn read(transactions: &'a [Transaction]) -> Result<Self, Anomaly> {
        let mut versions = Self { lists: HashMap::new() };
        for (index, transaction) in transactions.iter().enumerate() {
            versions.note(index, transaction)?;
        }
        for (index, transaction) in transactions.iter().enumerate() {
            if matches!(transaction.end, End::Committed(_)) {
                check_internal(index, transaction)?;
                versions.check_reads(index, transaction)?;
            }
        }
        for (key, list) in &versions.lists {
            list.check_order(*key, transactions)?;
        }
        versions.find_unread(transactions);
        Ok(versions)
    }

    fn note(&mut self, index: usize, transaction: &'a Transaction) -> Result<(), Anomaly> {
        for step in &transaction.steps {
            match step {
                Step::Append { key, value } => {
                    let list = self.lists.entry(*key).or_default();
                    if list.writer.insert(*value, index).is_some() {
                        return Err(Anomaly::ValueUsedTwice { key: *key, value: *value });
                    }
                }
                Step::Read { key, values } if matches!(transaction.end, End::Committed(_)) => {
                    self.lists.entry(*key).or_default().note_read(index, values);
                }
                Step::Read { .. } => {}
            }
        }
        Ok(())
    }

    fn check_reads(&self, reader: usize, transaction: &Transaction) -> Result<(), Anomaly> {
        for step in &transaction.steps {
            let Step::Read { key, values } = step else { continue };
            let list = &self.lists[key];
            if let Some(index) =
                values.iter().zip(list.order).position(|(left, right)| left != right)
            {
                let longest = list.longest;
                return Err(Anomaly::IncompatibleOrder { reader, longest, key: *key, index });
            }
            list.check_whole(reader, *key, values.len())?;
        }
        Ok(())
    }

    /// Values of committed transactions that no read shows.
    fn find_unread(&mut self, transactions: &[Transaction]) {
        for list in self.lists.values_mut() {
            let read: HashSet<u64> = list.order.iter().copied().collect();
            let unread = list.writer.iter().filter(|(value, _)| !read.contains(*value));
            let committed = |writer: &usize| matches!(transactions[*writer].end, End::Committed(_));
            list.unread = unread.map(|(_, writer)| *writer).filter(committed).collect();
            list.unread.sort_unstable();
            list.unread.dedup();
        }
    }
}

impl<'a> List<'a> {
    fn note_read(&mut self, reader: usize, values: &'a [u64]) {
        if values.len() > self.order.len() {
            (self.order, self.longest) = (values, reader);
            self.last_readers.clear();
        }
        if values.len() == self.order.len() {
            self.last_readers.push(reader);
        }
    }

    /// The writer of the element at an index of the order.
    pub(super) fn writer_at(&self, index: usize) -> usize {
        self.writer[&self.order[index]]
    }

    /// A version must not end in the middle of another transaction's appends.
    fn check_whole(&self, reader: usize, key: u64, len: usize) -> Result<(), Anomaly> {
        if len == 0 || len >= self.order.len() {
            return Ok(());
        }
        let last = self.writer.get(&self.order[len - 1]);
        match last {
            Some(writer)
                if *writer != reader && self.writer.get(&self.order[len]) == Some(writer) =>
            {
                Err(Anomaly::IntermediateRead { reader, writer: *writer, key })
            }
            _ => Ok(()),
        }
    }

    /// Every element was appended once, by a transaction that was not refused.
    fn check_order(&self, key: u64, transactions: &[Transaction]) -> Result<(), Anomaly> {
        let reader = self.longest;
        let mut seen = HashSet::with_capacity(self.order.len());
        for (index, value) in self.order.iter().enumerate() {
            let Some(writer) = self.writer.get(value).copied() else {
                return Err(Anomaly::ValueFromNowhere { reader, key, value: *value });
            };
            if transactions[writer].end == End::Aborted {
                return Err(Anomaly::AbortedRead { reader, writer, key });
            }
            if !seen.insert(*value) {
                return Err(Anomaly::IncompatibleOrder { reader, longest: reader, key, index });
            }
        }
        Ok(())
    }
}

/// A transaction's later reads are its earlier ones and what it appended since.
fn check_internal(reader: usize, transaction: &Transaction) -> Result<(), Anomaly> {
    let mut known: HashMap<u64, Known<'_>> = HashMap::new();
    for step in &transaction.steps {
        match step {
            Step::Append { key, value } => known.entry(*key).or_default().appended.push(*value),
            Step::Read { key, values } => {
                let before = known.entry(*key).or_default();
                if !before.allows(values) {
                    return Err(Anomaly::Internal { reader, key: *key });
                }
                *before = Known { read: Some(values), appended: Vec::new() };
            }
        }
    }
    Ok(())
}

/// What a transaction knows of a list in its middle.
#[derive(Default)]
struct Known<'a> {
    read: Option<&'a [u64]>,
    appended: Vec<u64>,
}

impl Known<'_> {
    fn allows(&self, values: &[u64]) -> bool {
        let Some(older) = values.strip_suffix(self.appended.as_slice()) else { return false };
        self.read.is_none_or(|read| read == older)
    }
}
