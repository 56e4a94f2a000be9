//! One unit's effects, as the bytes that a follower reads.

/// Commands in the order they took effect, each for one database.
///
/// More than one command is wrapped in MULTI and EXEC, so that a follower applies all or nothing. A SELECT before the first one is not part
/// of a record: what is selected depends on the record before, which only the log knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    bytes: Vec<u8>,
    /// Where each command begins, and its database.
    commands: Vec<(usize, u32)>,
}

impl Record {
    /// A record of nothing.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), commands: Vec::new() }
    }

    /// Whether there is nothing to record.
    pub const fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Number of commands.
    pub const fn len(&self) -> usize {
        self.commands.len()
    }

    /// Forgets everything but the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.commands.clear();
    }

    /// Adds a command.
    pub fn push<'a>(&mut self, db: u32, argv: impl ExactSizeIterator<Item = &'a [u8]>) {
        self.commands.push((self.bytes.len(), db));
        encode(&mut self.bytes, argv);
    }

    /// Adds a command as it came over the wire, which is as [`encode`] writes it.
    #[inline]
    pub fn push_wire(&mut self, db: u32, wire: &[u8]) {
        self.commands.push((self.bytes.len(), db));
        self.bytes.extend_from_slice(wire);
    }

    /// The databases of the first command and of the last.
    pub(crate) fn databases(&self) -> Option<(u32, u32)> {
        Some((self.commands.first()?.1, self.commands.last()?.1))
    }

    /// Makes of the commands what stands in the stream, but for a SELECT of the first one's database; answers where that belongs, which
    /// for a transaction is behind MULTI, as in Redis.
    pub(crate) fn close(&mut self) -> usize {
        if self.commands.len() < 2 {
            return 0;
        }
        let mut out = Vec::with_capacity(self.bytes.len() + 64);
        encode(&mut out, [&b"MULTI"[..]].into_iter());
        let begin = out.len();
        let mut selected = None;
        for (nth, &(start, db)) in self.commands.iter().enumerate() {
            if selected.is_some_and(|selected| selected != db) {
                select(db, &mut out);
            }
            selected = Some(db);
            let end = self.commands.get(nth + 1).map_or(self.bytes.len(), |next| next.0);
            out.extend_from_slice(&self.bytes[start..end]);
        }
        encode(&mut out, [&b"EXEC"[..]].into_iter());
        self.bytes = out;
        self.commands.truncate(1);
        begin
    }

    /// All bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives the bytes away.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.commands.clear();
        std::mem::take(&mut self.bytes)
    }
}

/// Says which database the commands that follow are for.
pub(crate) fn select(db: u32, out: &mut Vec<u8>) {
    let text = db.to_string();
    encode(out, [&b"SELECT"[..], text.as_bytes()].into_iter());
}

/// Adds a command as the stream has it.
pub fn encode<'a>(out: &mut Vec<u8>, argv: impl ExactSizeIterator<Item = &'a [u8]>) {
    head(out, b'*', argv.len());
    for arg in argv {
        head(out, b'$', arg.len());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

fn head(out: &mut Vec<u8>, kind: u8, len: usize) {
    out.push(kind);
    out.extend_from_slice(itoa::Buffer::new().format(len).as_bytes());
    out.extend_from_slice(b"\r\n");
}
